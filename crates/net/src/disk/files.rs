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
    fs::File,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::UNIX_EPOCH,
};

use rustix::{
    fs::{FileType, Mode, OFlags},
    io::Errno,
};

use super::{
    DiskError,
    layout::{Layout, Span},
};
use crate::session::Place;

/// How many files of one torrent are open at once on one thread. The usual limit of a process is
/// 1,024 descriptors; torrents with tens of thousands of files exist.
pub const FILES_OPEN_MAX: usize = 128;

/// The most that one read or write call is given: large enough that calls cost nothing beside the
/// copying, small enough to stay in the second-level cache where the bytes are hashed.
pub const CALL_BYTES_MAX: usize = 512 * 1024;

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
    base: PathBuf,
    prefix: Option<String>,
    access: Access,
    open: Vec<Option<Arc<File>>>,
    /// Numbers of open files, the least recently used first.
    used: Vec<usize>,
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
        if self.used.len() >= FILES_OPEN_MAX {
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

    /// Walks `parts` below the base, one descriptor at a time, following no link.
    fn open_beneath(
        &self,
        parts: &[String],
        flags: OFlags,
        create: Create,
    ) -> Result<Option<rustix::fd::OwnedFd>, DiskError> {
        let mut path = self.base.clone();
        if create == Create::Yes {
            std::fs::create_dir_all(&path).map_err(DiskError::io("create folder", &path))?;
        }
        let dir_flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let mut dir = match rustix::fs::open(&path, dir_flags, Mode::empty()) {
            Ok(dir) => dir,
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(DiskError::io("open folder", &path)(errno.into())),
        };
        let (last, folders) = parts
            .split_last()
            .expect("the caller gives at least one component");
        for folder in folders {
            path.push(folder);
            let nofollow = dir_flags | OFlags::NOFOLLOW;
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

    /// Creates the files of length 0, which no piece ever touches.
    ///
    /// # Errors
    ///
    /// [`DiskError`] naming the file that could not be created.
    pub fn create_empty_files(&mut self) -> Result<(), DiskError> {
        let empty: Vec<usize> = (0..self.open.len())
            .filter(|&file| self.layout.files()[file].len == 0)
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

    /// Writes content at `offset`, creating what is missing.
    ///
    /// # Errors
    ///
    /// [`DiskError`] naming the file that could not be created or written.
    pub fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        let mut done = 0;
        let layout = self.layout.clone();
        for span in layout.spans(offset, bytes.len() as u64) {
            let part = &bytes[done..done + span.len as usize];
            done += part.len();
            self.write_span(span, part)?;
        }
        Ok(())
    }

    fn write_span(&mut self, span: Span, part: &[u8]) -> Result<(), DiskError> {
        let file = self.writable(span.file)?;
        file.write_all_at(part, span.at)
            .map_err(DiskError::io("write", &self.path(span.file)))
    }

    /// Makes everything that is written in these files, by whomever, survive a power cut; the
    /// folders that hold them, too.
    ///
    /// # Errors
    ///
    /// [`DiskError`] naming the file or folder that could not be synced.
    pub fn sync_all(&mut self) -> Result<(), DiskError> {
        let mut dirs = std::collections::BTreeSet::new();
        for file in 0..self.open.len() {
            let path = self.path(file);
            // A file that did not change since the last sync costs one call.
            let Some(open) = self.readable(file)? else {
                continue;
            };
            open.sync_all().map_err(DiskError::io("sync", &path))?;
            dirs.extend(path.ancestors().skip(1).map(Path::to_owned));
        }
        dirs.iter()
            .filter(|dir| dir.starts_with(&self.base) && !dir.as_os_str().is_empty())
            .try_for_each(|dir| sync_dir(dir))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Create {
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
fn link_or(
    dir: &rustix::fd::OwnedFd,
    name: &str,
    path: PathBuf,
    act: &'static str,
    errno: Errno,
) -> DiskError {
    let stat = rustix::fs::statat(dir, name, rustix::fs::AtFlags::SYMLINK_NOFOLLOW);
    if stat.is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Symlink) {
        return DiskError::SymbolicLink { path };
    }
    DiskError::io(act, &path)(errno.into())
}
