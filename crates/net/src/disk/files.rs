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
    fs::File,
    io::IoSlice,
    os::unix::fs::{FileExt as _, MetadataExt as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::UNIX_EPOCH,
};

use rustix::{
    fd::OwnedFd,
    fs::{FileType, Mode, OFlags},
    io::Errno,
};

use super::{
    DiskError,
    layout::{Layout, Slot, Span},
};
use crate::session::Place;

/// How many files of one torrent are open at once on one thread, at most. Torrents with tens of
/// thousands of files exist.
pub const FILES_OPEN_MAX: usize = 128;

/// Torrents of more files have their file system synced rather than file by file.
const SYNCED_SINGLY_MAX: usize = 64;

const DIR_FLAGS: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::CLOEXEC);

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
pub struct Files {
    layout: Arc<Layout>,
    pub(super) base: PathBuf,
    prefix: Option<String>,
    access: Access,
    open: Vec<Option<Arc<File>>>,
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
        let (base, prefix) = match place {
            Place::Under(dir) => (dir.clone(), Some(name.to_owned())),
            Place::At(path) => (path.clone(), None),
        };
        let open = vec![None; layout.files().len()];
        Self {
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
        Self {
            layout: self.layout.clone(),
            base: self.base.clone(),
            prefix: self.prefix.clone(),
            access,
            open: vec![None; self.open.len()],
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

    /// Length and modification time of a file; `None` if there is none.
    ///
    /// # Errors
    ///
    /// [`DiskError`] if the system refuses to say.
    pub fn stamp(&self, file: usize) -> Result<Option<Stamp>, DiskError> {
        if self.layout.files()[file].padding {
            return Ok(None);
        }
        let path = self.path(file);
        let meta = match self.access {
            Access::Read => std::fs::metadata(&path),
            Access::Write => std::fs::symlink_metadata(&path),
        };
        match meta {
            Ok(meta) => {
                let since = meta
                    .modified()
                    .ok()
                    .and_then(|at| at.duration_since(UNIX_EPOCH).ok());
                let modified_ns = since.map_or(0, |since| since.as_nanos() as u64);
                Ok(Some(Stamp {
                    len: meta.len(),
                    modified_ns,
                }))
            }
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(DiskError::io("look at", &path)(error)),
        }
    }

    /// Opens a file for reading; `None` if there is none.
    ///
    /// # Errors
    ///
    /// [`DiskError`] if it cannot be opened or is not a regular file.
    pub fn readable(&mut self, file: usize) -> Result<Option<Arc<File>>, DiskError> {
        self.opened(file, Create::No)
    }

    /// Opens a file for writing, creating it and its folders, at its full length (sparse).
    fn writable(&mut self, file: usize) -> Result<Arc<File>, DiskError> {
        let open = self.opened(file, Create::Yes)?;
        Ok(open.expect("a file that may be created exists or is an error"))
    }

    fn opened(&mut self, file: usize, create: Create) -> Result<Option<Arc<File>>, DiskError> {
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

    fn open_file(&self, file: usize, create: Create) -> Result<Option<File>, DiskError> {
        let path = self.path(file);
        let parts: Vec<String> = self.components(file).map(str::to_owned).collect();
        let flags = match self.access {
            Access::Read => OFlags::RDONLY,
            Access::Write => OFlags::RDWR,
        } | OFlags::CLOEXEC
            // A pipe that lies where a file should be must not make us wait for its other end.
            | OFlags::NONBLOCK;
        let fd = if self.access == Access::Read || parts.is_empty() {
            match rustix::fs::open(&path, flags, Mode::empty()) {
                Ok(fd) => fd,
                Err(errno) if is_absent(&errno.into()) => return Ok(None),
                Err(errno) => return Err(DiskError::io("open", &path)(errno.into())),
            }
        } else {
            match self.open_beneath(&parts, flags, create)? {
                Some(fd) => fd,
                None => return Ok(None),
            }
        };
        let fresh = File::from(fd);
        let meta = fresh.metadata().map_err(DiskError::io("look at", &path))?;
        if !meta.is_file() {
            return Err(DiskError::NotAFile { path });
        }
        let expected = self.layout.files()[file].len;
        if meta.len() > expected && self.access == Access::Write {
            return Err(DiskError::TooLong {
                path,
                len: meta.len(),
                expected,
            });
        }
        if create == Create::Yes && meta.len() < expected {
            fresh
                .set_len(expected)
                .map_err(DiskError::io("extend", &path))?;
        }
        Ok(Some(fresh))
    }

    /// Opens what lies at `parts` below the base, following no link.
    fn open_beneath(
        &self,
        parts: &[String],
        flags: OFlags,
        create: Create,
    ) -> Result<Option<OwnedFd>, DiskError> {
        let (last, folders) = parts
            .split_last()
            .expect("the caller gives at least one component");
        let Some((dir, mut path)) = self.walk(folders, create)? else {
            return Ok(None);
        };
        path.push(last);
        let mut nofollow = flags | OFlags::NOFOLLOW;
        if create == Create::Yes {
            nofollow |= OFlags::CREATE;
        }
        match rustix::fs::openat(&dir, last.as_str(), nofollow, Mode::from_raw_mode(0o666)) {
            Ok(fd) => Ok(Some(fd)),
            Err(Errno::NOENT) if create == Create::No => Ok(None),
            Err(errno) => Err(link_or(&dir, last, path, "open", errno)),
        }
    }

    /// The folder that holds a file, and the file's name there. `None` if there is no such folder and
    /// it is not to be created.
    pub(super) fn parent(
        &self,
        file: usize,
        create: Create,
    ) -> Result<Option<(OwnedFd, OsString)>, DiskError> {
        let parts: Vec<String> = self.components(file).map(str::to_owned).collect();
        if let Some((last, folders)) = parts.split_last() {
            let found = self.walk(folders, create)?;
            return Ok(found.map(|(dir, _)| (dir, last.into())));
        }
        // The content is one file, at a path of the user's own.
        let dir = match self.base.parent() {
            Some(dir) if !dir.as_os_str().is_empty() => dir,
            _ => Path::new("."),
        };
        if create == Create::Yes {
            std::fs::create_dir_all(dir).map_err(DiskError::io("create folder", dir))?;
        }
        let name = self.base.file_name().unwrap_or_default().to_owned();
        match rustix::fs::open(dir, DIR_FLAGS, Mode::empty()) {
            Ok(dir) => Ok(Some((dir, name))),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(DiskError::io("open folder", dir)(errno.into())),
        }
    }

    /// Walks `folders` below the base, one descriptor at a time, following no link.
    fn walk(
        &self,
        folders: &[String],
        create: Create,
    ) -> Result<Option<(OwnedFd, PathBuf)>, DiskError> {
        let mut path = self.base.clone();
        if create == Create::Yes {
            std::fs::create_dir_all(&path).map_err(DiskError::io("create folder", &path))?;
        }
        let mut dir = match rustix::fs::open(&path, DIR_FLAGS, Mode::empty()) {
            Ok(dir) => dir,
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(DiskError::io("open folder", &path)(errno.into())),
        };
        for folder in folders {
            path.push(folder);
            let nofollow = DIR_FLAGS | OFlags::NOFOLLOW;
            let mut opened = rustix::fs::openat(&dir, folder.as_str(), nofollow, Mode::empty());
            if opened.as_ref().err() == Some(&Errno::NOENT) && create == Create::Yes {
                match rustix::fs::mkdirat(&dir, folder.as_str(), Mode::from_raw_mode(0o777)) {
                    // Another thread may have been quicker.
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(errno) => {
                        return Err(DiskError::io("create folder", &path)(errno.into()));
                    }
                }
                opened = rustix::fs::openat(&dir, folder.as_str(), nofollow, Mode::empty());
            }
            dir = match opened {
                Ok(next) => next,
                Err(Errno::NOENT) => return Ok(None),
                Err(errno) => return Err(link_or(&dir, folder, path, "open folder", errno)),
            };
        }
        Ok(Some((dir, path)))
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
            if len > 0 && !slot.padding {
                let open = self.writable(file)?;
                let all = rustix::fs::FallocateFlags::empty();
                rustix::fs::fallocate(&open, all, 0, len).map_err(|errno| {
                    DiskError::io("take disk space for", &self.path(file))(errno.into())
                })?;
            }
        }
        Ok(())
    }

    /// Creates the files of length 0, which no piece ever touches.
    ///
    /// # Errors
    ///
    /// [`DiskError`] naming the file that could not be created.
    pub fn create_empty_files(&mut self) -> Result<(), DiskError> {
        let is_empty = |slot: &Slot| slot.len == 0 && !slot.padding;
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
            match file.read_exact_at(part, span.at) {
                Ok(()) => {}
                Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                    return Ok(false);
                }
                Err(error) => return Err(DiskError::io("read", &self.path(span.file))(error)),
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
            if let (Ok(Some(file)), Some(len)) =
                (self.readable(span.file), std::num::NonZero::new(span.len))
            {
                let soon = rustix::fs::Advice::WillNeed;
                let _ = rustix::fs::fadvise(&file, span.at, Some(len), soon);
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

    fn write_span(&mut self, span: Span, mut slices: &mut [IoSlice<'_>]) -> Result<(), DiskError> {
        let file = self.writable(span.file)?;
        let mut at = span.at;
        while !slices.is_empty() {
            let written = match rustix::io::pwritev(&file, slices, at) {
                Ok(0) => Err(std::io::ErrorKind::WriteZero.into()),
                Ok(n) => Ok(n),
                Err(Errno::INTR) => continue,
                Err(errno) => Err(errno.into()),
            };
            let written = written.map_err(DiskError::io("write", &self.path(span.file)))?;
            at += written as u64;
            IoSlice::advance_slices(&mut slices, written);
        }
        Ok(())
    }

    /// Makes everything that is written in these files, by whomever, survive a power cut; the
    /// folders that hold them, too. Of more than [`SYNCED_SINGLY_MAX`] files the whole file system is
    /// synced instead: a disk takes milliseconds for each file.
    ///
    /// # Errors
    ///
    /// [`DiskError`] naming the file or folder that could not be synced.
    pub fn sync_all(&mut self) -> Result<(), DiskError> {
        let mut dirs = std::collections::BTreeSet::new();
        let mut devices = std::collections::BTreeSet::new();
        let singly = self.open.len() <= SYNCED_SINGLY_MAX;
        for file in 0..self.open.len() {
            if self.layout.files()[file].padding {
                continue;
            }
            let path = self.path(file);
            if !singly {
                let is_new = match std::fs::metadata(&path) {
                    Ok(meta) => devices.insert(meta.dev()),
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
                open.sync_all().map_err(DiskError::io("sync", &path))?;
                dirs.extend(path.ancestors().skip(1).map(Path::to_owned));
            } else {
                rustix::fs::syncfs(&open).map_err(|errno| {
                    DiskError::io("sync the file system of", &path)(errno.into())
                })?;
            }
        }
        dirs.iter()
            .filter(|dir| dir.starts_with(&self.base) && !dir.as_os_str().is_empty())
            .try_for_each(|dir| sync_dir(dir))
    }
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
pub(super) fn sync_dir(dir: &Path) -> Result<(), DiskError> {
    File::open(dir)
        .and_then(|open| open.sync_all())
        .map_err(DiskError::io("sync folder", dir))
}

fn is_absent(error: &std::io::Error) -> bool {
    // A component that is a file where a folder should be: what we look for is not there either.
    matches!(
        error.kind(),
        std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
    )
}

/// The error for a component that could not be opened: a link, if it is one.
fn link_or(dir: &OwnedFd, name: &str, path: PathBuf, act: &'static str, errno: Errno) -> DiskError {
    let stat = rustix::fs::statat(dir, name, rustix::fs::AtFlags::SYMLINK_NOFOLLOW);
    if stat.is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Symlink) {
        return DiskError::SymbolicLink { path };
    }
    DiskError::io(act, &path)(errno.into())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

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
