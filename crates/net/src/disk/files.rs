//! Opening a torrent's files without leaving the folder that the user named.
//!
//! The user's own path is trusted and may contain links. What the torrent adds to it is not: every
//! component is opened relative to its parent's descriptor with `O_NOFOLLOW`, so a link that lies
//! there, or that somebody puts there between two calls, leads nowhere. Whoever only reads (a
//! seeder) follows links: what is shared must match its hash anyway.
//!
//! Nobody shares a [`Files`] between threads: each thread has its own descriptors, so there is no
//! lock, and closing one cannot hurt another.

use std::{
    ffi::OsString,
    io::{self, ErrorKind, IoSlice},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    DiskError,
    layout::{Layout, Slot, Span},
    system::{FileSystem, How, Look, OpenFile, System},
};
use crate::session::Place;

/// How many files of one torrent are open at once on one thread, at most. Torrents with tens of
/// thousands of files exist.
pub const FILES_OPEN_MAX: usize = 128;

/// Torrents of more files have their file system synced rather than file by file.
const SYNCED_SINGLY_MAX: usize = 64;

/// The threads that may hold files of one session: the event loop, the keeper, and the workers that
/// check and write.
const THREADS_MAX: usize = 7;

/// How many descriptors the system allows this process.
pub(crate) fn descriptors_max() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let limit = limit.current.unwrap_or(u64::MAX);
    usize::try_from(limit).unwrap_or(usize::MAX)
}

/// Lets this process have as many descriptors as it may: peers and files need one each, and the usual
/// limit of 1,024 is there for programs that cannot count further. What the system refuses stays as it is.
pub fn raise_descriptors() {
    let mut limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    limit.current = limit.maximum;
    let _ = rustix::process::setrlimit(rustix::process::Resource::Nofile, limit);
}

/// Half of the process's descriptors are for files, shared out evenly.
fn open_max(descriptors: usize) -> usize {
    (descriptors / 2 / THREADS_MAX).clamp(4, FILES_OPEN_MAX)
}

/// The most that one read or write call is given: large enough that calls cost nothing beside the
/// copying, small enough to stay in the second-level cache where the bytes are hashed.
pub const CALL_BYTES_MAX: usize = 512 * 1024;

/// The most parts that one write call is given.
pub const PARTS_MAX: usize = 64;

/// What may be done with the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Read only; links are followed.
    Read,
    /// Read, create and write; links are refused.
    Write,
}

/// The files of one torrent, opened when they are needed.
#[derive(Debug)]
pub struct Files<S: FileSystem = System> {
    pub(super) system: S,
    layout: Arc<Layout>,
    pub(super) base: PathBuf,
    prefix: Option<String>,
    access: Access,
    open: Vec<Option<Arc<S::Open>>>,
    /// Numbers of open files, the least recently used first.
    used: Vec<usize>,
    open_max: usize,
}

/// What a file's metadata say, to know it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Length in bytes.
    pub len: u64,
    /// Time of the last modification, nanoseconds since 1970.
    pub modified_ns: u64,
}

impl Files {
    /// The files of `layout` at `place`; `name` is the torrent's own name.
    pub fn new(layout: Arc<Layout>, place: &Place, name: &str, access: Access) -> Self {
        Self::on(System, layout, place, name, access)
    }
}

impl<S: FileSystem> Files<S> {
    /// The same on any file system.
    pub fn on(system: S, layout: Arc<Layout>, place: &Place, name: &str, access: Access) -> Self {
        let (base, prefix) = match place {
            Place::Under(dir) => (dir.clone(), Some(name.to_owned())),
            Place::At(path) => (path.clone(), None),
        };
        let mut open = Vec::new();
        open.resize_with(layout.files().len(), || None);
        Self {
            system,
            layout,
            base,
            prefix,
            access,
            open,
            used: Vec::new(),
            open_max: open_max(descriptors_max()),
        }
    }

    /// What may be done with the files.
    pub fn access(&self) -> Access {
        self.access
    }

    /// The same files for another thread.
    pub fn again(&self, access: Access) -> Self {
        let mut open = Vec::new();
        open.resize_with(self.open.len(), || None);
        Self {
            system: self.system.clone(),
            layout: self.layout.clone(),
            base: self.base.clone(),
            prefix: self.prefix.clone(),
            access,
            open,
            used: Vec::new(),
            open_max: self.open_max,
        }
    }

    /// Which bytes of which file.
    pub fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// The path of a file, for messages and for `stat`.
    pub fn path(&self, file: usize) -> PathBuf {
        let mut path = self.base.clone();
        path.extend(self.components(file));
        path
    }

    fn components(&self, file: usize) -> impl Iterator<Item = &str> {
        let own = &self.layout.files()[file].path;
        self.prefix.iter().chain(own).map(String::as_str)
    }

    /// Length and modification time of a file; `None` if there is none, or none is to be.
    ///
    /// # Errors
    ///
    /// [`DiskError`] if the system refuses to say.
    pub fn stamp(&self, file: usize) -> Result<Option<Stamp>, DiskError> {
        if !self.layout.files()[file].is_stored() {
            return Ok(None);
        }
        let path = self.path(file);
        let look = match self.access {
            Access::Read => self.system.look(&path),
            Access::Write => self.system.look_at_link(&path),
        };
        match look {
            Ok(look) => Ok(Some(Stamp {
                len: look.len,
                modified_ns: look.modified_ns,
            })),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(DiskError::io("look at", &path)(error)),
        }
    }

    /// Opens a file for reading; `None` if there is none.
    ///
    /// # Errors
    ///
    /// [`DiskError`] if it cannot be opened or is not a regular file.
    pub fn readable(&mut self, file: usize) -> Result<Option<Arc<S::Open>>, DiskError> {
        self.opened(file, Create::No)
    }

    /// Opens a file for writing, creating it and its folders, at its full length (sparse).
    fn writable(&mut self, file: usize) -> Result<Arc<S::Open>, DiskError> {
        let open = self.opened(file, Create::Yes)?;
        Ok(open.expect("a file that may be created exists or is an error"))
    }

    fn opened(&mut self, file: usize, create: Create) -> Result<Option<Arc<S::Open>>, DiskError> {
        if let Some(open) = &self.open[file] {
            let open = open.clone();
            if self.used.last() != Some(&file) {
                self.used.retain(|&used| used != file);
                self.used.push(file);
            }
            return Ok(Some(open));
        }
        let Some(fresh) = self.open_file(file, create)? else {
            return Ok(None);
        };
        if self.used.len() >= self.open_max {
            let oldest = self.used.remove(0);
            self.open[oldest] = None;
        }
        let fresh = Arc::new(fresh);
        self.open[file] = Some(fresh.clone());
        self.used.push(file);
        Ok(Some(fresh))
    }

    fn open_file(&self, file: usize, create: Create) -> Result<Option<S::Open>, DiskError> {
        let path = self.path(file);
        let how = match (self.access, create) {
            (Access::Read, _) => How::Read,
            (Access::Write, Create::No) => How::Change,
            (Access::Write, Create::Yes) => How::Make,
        };
        let parts: Vec<String> = self.components(file).map(str::to_owned).collect();
        let opened = if self.access == Access::Read || parts.is_empty() {
            if how == How::Make {
                make_folders(&self.system, folder_of(&path))?;
            }
            match self.system.open(&path, how) {
                Ok(open) => Some(open),
                Err(error) if is_absent(&error) && create == Create::No => None,
                Err(error) => return Err(DiskError::io("open", &path)(error)),
            }
        } else {
            self.open_beneath(&parts, how)?
        };
        let Some(fresh) = opened else {
            return Ok(None);
        };
        let Look { len, is_file, .. } = fresh.look().map_err(DiskError::io("look at", &path))?;
        if !is_file {
            return Err(DiskError::NotAFile { path });
        }
        let expected = self.layout.files()[file].len;
        if len > expected && self.access == Access::Write {
            return Err(DiskError::TooLong {
                path,
                len,
                expected,
            });
        }
        if create == Create::Yes && len < expected {
            fresh
                .set_len(expected)
                .map_err(DiskError::io("extend", &path))?;
        }
        Ok(Some(fresh))
    }

    /// Opens what lies at `parts` below the base, following no link.
    fn open_beneath(&self, parts: &[String], how: How) -> Result<Option<S::Open>, DiskError> {
        let (last, folders) = parts
            .split_last()
            .expect("the caller gives at least one component");
        let create = match how {
            How::Make | How::New => Create::Yes,
            How::Read | How::Change => Create::No,
        };
        let Some((dir, mut path)) = self.walk(folders, create)? else {
            return Ok(None);
        };
        path.push(last);
        match self.system.open_in(&dir, last.as_ref(), how) {
            Ok(open) => Ok(Some(open)),
            Err(error) if error.kind() == ErrorKind::NotFound && create == Create::No => Ok(None),
            Err(error) => Err(self.link_or(&dir, last, path, "open", error)),
        }
    }

    /// The folder that holds a file, and the file's name there. `None` if there is no such folder and
    /// it is not to be created.
    pub(super) fn parent(
        &self,
        file: usize,
        create: Create,
    ) -> Result<Option<(S::Folder, OsString)>, DiskError> {
        let parts: Vec<String> = self.components(file).map(str::to_owned).collect();
        if let Some((last, folders)) = parts.split_last() {
            let found = self.walk(folders, create)?;
            return Ok(found.map(|(dir, _)| (dir, last.into())));
        }
        // The content is one file, at a path of the user's own.
        let dir = folder_of(&self.base);
        if create == Create::Yes {
            make_folders(&self.system, dir)?;
        }
        let name = self.base.file_name().unwrap_or_default().to_owned();
        match self.system.open_folder(dir) {
            Ok(dir) => Ok(Some((dir, name))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(DiskError::io("open folder", dir)(error)),
        }
    }

    /// Walks `folders` below the base, one descriptor at a time, following no link.
    fn walk(
        &self,
        folders: &[String],
        create: Create,
    ) -> Result<Option<(S::Folder, PathBuf)>, DiskError> {
        let mut path = self.base.clone();
        if create == Create::Yes {
            make_folders(&self.system, &path)?;
        }
        let mut dir = match self.system.open_folder(&path) {
            Ok(dir) => dir,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(DiskError::io("open folder", &path)(error)),
        };
        for folder in folders {
            path.push(folder);
            let mut opened = self.system.open_folder_in(&dir, folder.as_ref());
            let is_absent = |error: &io::Error| error.kind() == ErrorKind::NotFound;
            if opened.as_ref().is_err_and(is_absent) && create == Create::Yes {
                match self.system.make_folder_in(&dir, folder.as_ref()) {
                    Ok(()) => {}
                    // Another thread may have been quicker.
                    Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                    Err(error) => return Err(DiskError::io("create folder", &path)(error)),
                }
                opened = self.system.open_folder_in(&dir, folder.as_ref());
            }
            dir = match opened {
                Ok(next) => next,
                Err(error) if is_absent(&error) => return Ok(None),
                Err(error) => return Err(self.link_or(&dir, folder, path, "open folder", error)),
            };
        }
        Ok(Some((dir, path)))
    }

    /// The error for a component that could not be opened: a link, if it is one.
    fn link_or(
        &self,
        dir: &S::Folder,
        name: &str,
        path: PathBuf,
        act: &'static str,
        error: io::Error,
    ) -> DiskError {
        if self.system.is_link_in(dir, name.as_ref()) {
            return DiskError::SymbolicLink { path };
        }
        DiskError::io(act, &path)(error)
    }

    /// Takes the disk space of every file now, so that the disk cannot be full later.
    ///
    /// # Errors
    ///
    /// [`DiskError`] naming the file for which there is no space, or whose file system cannot do it.
    pub fn allocate(&mut self) -> Result<(), DiskError> {
        for file in 0..self.open.len() {
            let slot = &self.layout.files()[file];
            let len = slot.len;
            if len > 0 && slot.is_stored() {
                let open = self.writable(file)?;
                open.allocate(len)
                    .map_err(DiskError::io("take disk space for", &self.path(file)))?;
            }
        }
        Ok(())
    }

    /// Creates the files of length 0, which no piece ever touches; not the links, which have no bytes either.
    ///
    /// # Errors
    ///
    /// [`DiskError`] naming the file that could not be created.
    pub fn create_empty_files(&mut self) -> Result<(), DiskError> {
        let is_empty = |slot: &Slot| slot.len == 0 && slot.is_stored();
        let empty: Vec<usize> = (0..self.open.len())
            .filter(|&file| is_empty(&self.layout.files()[file]))
            .collect();
        empty
            .into_iter()
            .try_for_each(|file| self.writable(file).map(drop))
    }

    /// Reads content from `offset` on until `buf` is full. Returns whether all of it was there.
    ///
    /// # Errors
    ///
    /// [`DiskError`] if a file is there and cannot be read.
    pub fn read_at(&mut self, offset: u64, buf: &mut [u8]) -> Result<bool, DiskError> {
        let mut done = 0;
        let layout = self.layout.clone();
        for span in layout.spans(offset, buf.len() as u64) {
            let part = &mut buf[done..done + span.len as usize];
            done += part.len();
            if layout.files()[span.file].padding {
                part.fill(0);
                continue;
            }
            let Some(file) = self.readable(span.file)? else {
                return Ok(false);
            };
            let read = read_whole(&*file, part, span.at);
            if !read.map_err(DiskError::io("read", &self.path(span.file)))? {
                return Ok(false);
            }
        }
        Ok(done == buf.len())
    }

    /// Tells the system that content from `offset` on will be read soon. It may not listen.
    pub fn read_ahead(&mut self, offset: u64, len: u64) {
        let layout = self.layout.clone();
        for span in layout.spans(offset, len) {
            if layout.files()[span.file].padding {
                continue;
            }
            if let Ok(Some(file)) = self.readable(span.file) {
                file.read_soon(span.at, span.len);
            }
        }
    }

    /// Writes content at `offset`, creating what is missing.
    ///
    /// # Errors
    ///
    /// [`DiskError`] naming the file that could not be created or written.
    pub fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        self.write_parts(offset, &[bytes])
    }

    /// Writes parts end to end at `offset`, those of one file in one call, creating what is missing. There
    /// are at most [`PARTS_MAX`] of them, and no gap of the layout within.
    ///
    /// # Errors
    ///
    /// [`DiskError`] naming the file that could not be created or written. What precedes it is written.
    pub fn write_parts(&mut self, offset: u64, parts: &[&[u8]]) -> Result<(), DiskError> {
        let len = parts.iter().map(|part| part.len() as u64).sum();
        let layout = self.layout.clone();
        let mut done = 0;
        for span in layout.spans(offset, len) {
            if !layout.files()[span.file].padding {
                let mut slices: Vec<IoSlice<'_>> = cut(parts, done, span.len as usize)
                    .map(IoSlice::new)
                    .collect();
                self.write_span(span, &mut slices)?;
            }
            done += span.len as usize;
        }
        Ok(())
    }

    fn write_span(&mut self, span: Span, slices: &mut [IoSlice<'_>]) -> Result<(), DiskError> {
        let file = self.writable(span.file)?;
        write_whole(&*file, slices, span.at).map_err(DiskError::io("write", &self.path(span.file)))
    }

    /// Makes everything that is written in these files, by whomever, survive a power cut; the
    /// folders that hold them, too. Of more than [`SYNCED_SINGLY_MAX`] files the whole file system is
    /// synced instead: a disk takes milliseconds for each file.
    ///
    /// # Errors
    ///
    /// [`DiskError`] naming the file or folder that could not be synced.
    pub fn sync_all(&mut self) -> Result<(), DiskError> {
        let mut devices = std::collections::BTreeSet::new();
        let singly = self.open.len() <= SYNCED_SINGLY_MAX;
        for file in 0..self.open.len() {
            if !self.layout.files()[file].is_stored() {
                continue;
            }
            let path = self.path(file);
            if !singly {
                let is_new = match self.system.look(&path) {
                    Ok(look) => devices.insert(look.device),
                    Err(error) if is_absent(&error) => continue,
                    Err(error) => return Err(DiskError::io("look at", &path)(error)),
                };
                if !is_new {
                    continue;
                }
            }
            // A file that did not change since the last sync costs one call.
            let Some(open) = self.readable(file)? else {
                continue;
            };
            if singly {
                open.sync().map_err(DiskError::io("sync", &path))?;
            } else {
                open.sync_file_system()
                    .map_err(DiskError::io("sync the file system of", &path))?;
            }
        }
        if singly { self.sync_folders() } else { Ok(()) }
    }

    /// Makes the names of these files survive a power cut.
    ///
    /// # Errors
    ///
    /// [`DiskError`] naming the folder that could not be synced.
    pub(super) fn sync_folders(&self) -> Result<(), DiskError> {
        let top = match self.prefix {
            Some(_) => &self.base,
            // Content that is one file lies in a folder of the user's, and content in a folder has a name there.
            None => folder_of(&self.base),
        };
        let mut dirs = std::collections::BTreeSet::from([top.to_owned()]);
        for (file, slot) in self.layout.files().iter().enumerate() {
            if !slot.padding {
                let path = self.path(file);
                let above = path.ancestors().skip(1);
                let below_top = above.take_while(|dir| dir.starts_with(top) && *dir != top);
                dirs.extend(
                    below_top
                        .filter(|dir| !dir.as_os_str().is_empty())
                        .map(Path::to_owned),
                );
            }
        }
        for dir in dirs {
            match self.system.sync_folder(&dir) {
                Err(error) if !is_absent(&error) => {
                    return Err(DiskError::io("sync folder", &dir)(error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Has the system forget what it keeps of these files and need not write: after a sync that failed it
    /// may hold bytes that the disk never got, and that nobody will write any more.
    ///
    /// # Errors
    ///
    /// [`DiskError`] naming a file that is there and cannot be opened.
    pub fn forget_cached(&mut self) -> Result<(), DiskError> {
        for file in 0..self.open.len() {
            if self.layout.files()[file].is_stored()
                && let Some(open) = self.readable(file)?
            {
                open.forget_cached();
            }
        }
        Ok(())
    }
}

/// Reads until `buf` is full; `false` if the file ends before.
pub(super) fn read_whole(
    file: &impl OpenFile,
    mut buf: &mut [u8],
    mut at: u64,
) -> io::Result<bool> {
    while !buf.is_empty() {
        match file.read_at(buf, at) {
            Ok(0) => return Ok(false),
            Ok(n) => {
                buf = &mut buf[n..];
                at += n as u64;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

/// Writes slices that lie end to end.
pub(super) fn write_whole(
    file: &impl OpenFile,
    mut slices: &mut [IoSlice<'_>],
    mut at: u64,
) -> io::Result<()> {
    while !slices.is_empty() {
        match file.write_at(slices, at) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(n) => {
                at += n as u64;
                IoSlice::advance_slices(&mut slices, n);
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The `len` bytes from `skip` on of parts that lie end to end; none of them empty.
fn cut<'a>(parts: &'a [&'a [u8]], skip: usize, len: usize) -> impl Iterator<Item = &'a [u8]> {
    let mut start = 0;
    let slices = parts.iter().map(move |part| {
        let begin = skip.clamp(start, start + part.len()) - start;
        let end = (skip + len).clamp(start, start + part.len()) - start;
        start += part.len();
        &part[begin..end]
    });
    slices.filter(|slice| !slice.is_empty())
}

/// Whether what is missing is made.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Create {
    Yes,
    No,
}

/// Makes the entries of a folder survive a power cut.
pub(super) fn sync_folder(system: &impl FileSystem, dir: &Path) -> Result<(), DiskError> {
    system
        .sync_folder(dir)
        .map_err(DiskError::io("sync folder", dir))
}

/// The folder in which a path lies.
pub(super) fn folder_of(path: &Path) -> &Path {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    dir.unwrap_or(Path::new("."))
}

/// Makes a folder and those above it that are missing, so that they survive a power cut.
///
/// # Errors
///
/// [`DiskError`] naming the folder that could not be made.
pub fn make_folders(system: &impl FileSystem, dir: &Path) -> Result<(), DiskError> {
    if dir.as_os_str().is_empty() || system.open_folder(dir).is_ok() {
        return Ok(());
    }
    let mut made = system.make_folder(dir);
    if made
        .as_ref()
        .is_err_and(|error| error.kind() == ErrorKind::NotFound)
    {
        make_folders(system, folder_of(dir))?;
        made = system.make_folder(dir);
    }
    match made {
        Ok(()) => sync_folder(system, folder_of(dir)),
        // Another thread may have been quicker.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(DiskError::io("create folder", dir)(error)),
    }
}

fn is_absent(error: &io::Error) -> bool {
    // A component that is a file where a folder should be: what we look for is not there either.
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, symlink};

    use rustix::fs::{FileType, Mode};

    use super::*;

    fn files(base: &Path, access: Access) -> Files {
        let parts = |parts: &[&str]| parts.iter().map(|&part| part.to_owned()).collect();
        let layout = Layout::new([
            (parts(&["a"]), 10),
            (parts(&["sub", "empty"]), 0),
            (parts(&["sub", "b"]), 20),
        ]);
        Files::new(
            Arc::new(layout),
            &Place::Under(base.to_owned()),
            "t",
            access,
        )
    }

    #[test]
    fn writing_creates_folders_and_full_sparse_files_and_reading_finds_the_bytes() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let mut writing = files(&dir.path().join("new/folder"), Access::Write);
        writing.create_empty_files().expect("created");
        let content: Vec<u8> = (0..12).collect();
        writing.write_at(8, &content).expect("written");
        writing.sync_all().expect("synced");

        let root = dir.path().join("new/folder/t");
        assert_eq!(std::fs::metadata(root.join("a")).expect("there").len(), 10);
        assert_eq!(
            std::fs::metadata(root.join("sub/b")).expect("there").len(),
            20
        );
        assert_eq!(
            std::fs::metadata(root.join("sub/empty"))
                .expect("there")
                .len(),
            0
        );
        let mut read = [0; 12];
        assert!(
            files(&dir.path().join("new/folder"), Access::Read)
                .read_at(8, &mut read)
                .expect("read")
        );
        assert_eq!(read[..], content[..]);
    }

    /// Parts of every length, end to end across three files, are what one write of all of them is.
    #[test]
    fn parts_are_written_end_to_end_wherever_files_begin() {
        let content: Vec<u8> = (1..=30).collect();
        for len in 1..=30 {
            let dir = tempfile::tempdir().expect("temporary folder");
            let mut writing = files(dir.path(), Access::Write);
            let parts: Vec<&[u8]> = content.chunks(len).collect();
            writing.write_parts(0, &parts).expect("written");
            let mut read = [0; 30];
            assert!(writing.read_at(0, &mut read).expect("read"));
            assert_eq!(read[..], content[..], "parts of {len}");
        }
    }

    #[test]
    fn a_large_file_is_sparse_until_it_is_written() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let layout = Layout::new([(Vec::new(), 1 << 30)]);
        let place = Place::Under(dir.path().to_owned());
        let mut files = Files::new(Arc::new(layout), &place, "big", Access::Write);
        files.write_at(1 << 29, &[7; 4096]).expect("written");
        let meta = std::fs::metadata(dir.path().join("big")).expect("there");
        assert_eq!(meta.len(), 1 << 30);
        assert!(meta.blocks() * 512 < 1 << 20, "{} blocks", meta.blocks());
    }

    /// A link at every place where the torrent names a file or folder: nothing is written through
    /// it, and the error names it.
    #[test]
    fn no_link_leads_out_of_the_folder() {
        for trap in ["t", "t/sub", "t/a"] {
            let dir = tempfile::tempdir().expect("temporary folder");
            let (base, outside) = (dir.path().join("base"), dir.path().join("outside"));
            std::fs::create_dir_all(outside.join("sub")).expect("created");
            std::fs::write(outside.join("a"), b"0123456789").expect("written");
            let trap = base.join(trap);
            std::fs::create_dir_all(trap.parent().expect("has one")).expect("created");
            let target = if trap.ends_with("a") {
                outside.join("a")
            } else {
                outside.clone()
            };
            symlink(target, &trap).expect("linked");

            let error = files(&base, Access::Write)
                .write_at(0, &[1; 30])
                .expect_err("refused");
            assert!(
                matches!(&error, DiskError::SymbolicLink { path } if *path == trap),
                "{error} for {trap:?}"
            );
            assert_eq!(
                std::fs::read(outside.join("a")).expect("there"),
                b"0123456789"
            );
            assert!(!outside.join("sub/b").exists());
        }
    }

    #[test]
    fn a_longer_file_and_a_pipe_are_refused() {
        let dir = tempfile::tempdir().expect("temporary folder");
        std::fs::create_dir(dir.path().join("t")).expect("created");
        let path = dir.path().join("t/a");
        std::fs::write(&path, [0; 11]).expect("written");
        let longer = files(dir.path(), Access::Write)
            .write_at(0, &[1])
            .expect_err("refused");
        assert!(
            matches!(
                longer,
                DiskError::TooLong {
                    len: 11,
                    expected: 10,
                    ..
                }
            ),
            "{longer}"
        );
        std::fs::remove_file(&path).expect("removed");
        let mode = Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, &path, FileType::Fifo, mode, 0).expect("made");
        let pipe = files(dir.path(), Access::Write)
            .write_at(0, &[1])
            .expect_err("refused");
        assert!(matches!(pipe, DiskError::NotAFile { .. }), "{pipe}");
    }

    #[test]
    fn allocated_files_take_their_space_at_once() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let mut files = files(dir.path(), Access::Write);
        files.allocate().expect("there is space for 30 bytes");
        let meta = std::fs::metadata(dir.path().join("t/sub/b")).expect("there");
        assert_eq!(meta.len(), 20);
        assert!(meta.blocks() > 0);
        let mut read = [1; 30];
        assert!(files.read_at(0, &mut read).expect("read"));
        assert_eq!(read, [0; 30]);
    }

    #[test]
    fn more_files_than_may_be_open_are_all_written() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let count = FILES_OPEN_MAX + 10;
        let layout = Layout::new((0..count).map(|n| (vec![n.to_string()], 1)));
        let place = Place::Under(dir.path().to_owned());
        let mut files = Files::new(Arc::new(layout), &place, "t", Access::Write);
        files.write_at(0, &vec![9; count]).expect("written");
        assert!(files.used.len() <= FILES_OPEN_MAX);
        assert_eq!(
            [256, 512, 1024, usize::MAX].map(open_max),
            [18, 36, 73, FILES_OPEN_MAX]
        );
        let mut read = vec![0; count];
        assert!(files.read_at(0, &mut read).expect("read"));
        assert_eq!(read, vec![9; count]);
    }
}
