//! What the disk code asks of the operating system, and nothing more: tests put a disk of their own under
//! it, which refuses, cuts short, delays, or loses power at any of these calls.
//!
//! Calls with a folder and a name follow no link; calls with a path do.

use std::{
    ffi::{OsStr, OsString},
    fmt::Debug,
    fs::{File, Metadata, Permissions},
    io::{self, IoSlice},
    num::NonZero,
    os::unix::{
        ffi::OsStringExt as _,
        fs::{MetadataExt as _, PermissionsExt as _},
    },
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use rustix::{
    fd::OwnedFd,
    fs::{AtFlags, FallocateFlags, FileType, Mode, OFlags, RenameFlags},
    io::Errno,
};

/// How a file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// To read what is there.
    Read,
    /// To read and write what is there.
    Change,
    /// To read and write what is there, or made now.
    Make,
    /// To write what must not be there yet.
    New,
}

/// What is known of a file without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// Length in bytes.
    pub len: u64,
    /// Time of the last modification, nanoseconds since 1970.
    pub modified_ns: u64,
    /// Whether it is a regular file.
    pub is_file: bool,
    /// The number of its file system.
    pub device: u64,
}

/// Files and folders, by name.
pub trait FileSystem: Debug + Clone + Send + Sync + 'static {
    /// A file that is open.
    type Open: OpenFile;
    /// A folder that is open.
    type Folder;

    /// How many threads read from it side by side: one for each core, and two at least, so that one reads while
    /// the other hashes.
    fn readers(&self) -> u32 {
        std::thread::available_parallelism().map_or(2, |cores| cores.get().max(2) as u32)
    }

    /// Opens a file.
    fn open(&self, path: &Path, how: How) -> io::Result<Self::Open>;
    /// Opens a folder.
    fn open_folder(&self, path: &Path) -> io::Result<Self::Folder>;
    /// Makes a folder whose parent is there.
    fn make_folder(&self, path: &Path) -> io::Result<()>;
    /// Makes the entries of a folder survive a power cut.
    fn sync_folder(&self, path: &Path) -> io::Result<()>;
    /// Looks at a file.
    fn look(&self, path: &Path) -> io::Result<Look>;
    /// Looks at a file, or at the link that lies there.
    fn look_at_link(&self, path: &Path) -> io::Result<Look>;
    /// Puts a file in the place of another, if there is one.
    fn replace(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Removes a folder that is empty.
    fn remove_folder(&self, path: &Path) -> io::Result<()>;

    /// Opens a file of a folder.
    fn open_in(&self, folder: &Self::Folder, name: &OsStr, how: How) -> io::Result<Self::Open>;
    /// Opens a folder of a folder.
    fn open_folder_in(&self, folder: &Self::Folder, name: &OsStr) -> io::Result<Self::Folder>;
    /// Makes a folder in a folder.
    fn make_folder_in(&self, folder: &Self::Folder, name: &OsStr) -> io::Result<()>;
    /// Whether a name in a folder is a link.
    fn is_link_in(&self, folder: &Self::Folder, name: &OsStr) -> bool;
    /// Whether there is something of this name in a folder.
    fn is_in(&self, folder: &Self::Folder, name: &OsStr) -> io::Result<bool>;
    /// Moves a file from one name to another where nothing is.
    fn rename_in(
        &self,
        from: (&Self::Folder, &OsStr),
        to: (&Self::Folder, &OsStr),
    ) -> io::Result<()>;
    /// Makes a link with this text where nothing is.
    fn link_in(&self, folder: &Self::Folder, name: &OsStr, text: &Path) -> io::Result<()>;
    /// The text of a link.
    fn read_link_in(&self, folder: &Self::Folder, name: &OsStr) -> io::Result<PathBuf>;
    /// Removes a file of a folder.
    fn remove_in(&self, folder: &Self::Folder, name: &OsStr) -> io::Result<()>;
}

/// A file that is open.
pub trait OpenFile: Debug + Send + Sync {
    /// Looks at it.
    fn look(&self) -> io::Result<Look>;
    /// Reads some bytes; 0 at the end of the file.
    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize>;
    /// Writes some of these bytes, which lie end to end.
    fn write_at(&self, parts: &[IoSlice<'_>], at: u64) -> io::Result<usize>;
    /// Cuts or extends it; what is new are zeroes, and takes no space.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Takes the space of its first bytes.
    fn allocate(&self, len: u64) -> io::Result<()>;
    /// Makes what is written survive a power cut.
    fn sync(&self) -> io::Result<()>;
    /// The same for its whole file system.
    fn sync_file_system(&self) -> io::Result<()>;
    /// Says that these bytes will be read soon.
    fn read_soon(&self, at: u64, len: u64);
    /// Has the system forget what it keeps of the file that need not be written: what is read then is what
    /// the disk has.
    fn forget_cached(&self);
    /// Lets everybody run it who may read it.
    fn let_run(&self) -> io::Result<()>;
    /// Copies all of it to the beginning of another.
    fn copy_to(&self, to: &Self) -> io::Result<()>;
}

/// The operating system's own files.
#[derive(Debug, Clone, Copy, Default)]
pub struct System;

const FOLDER: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::CLOEXEC);

/// What a new file may be used for, less what the user's mask takes away.
const NEW_FILE: Mode = Mode::from_raw_mode(0o666);

const NEW_FOLDER: Mode = Mode::from_raw_mode(0o777);

impl How {
    fn flags(self) -> OFlags {
        // A pipe that lies where a file should be must not make us wait for its other end.
        let always = OFlags::CLOEXEC | OFlags::NONBLOCK;
        always
            | match self {
                Self::Read => OFlags::RDONLY,
                Self::Change => OFlags::RDWR,
                Self::Make => OFlags::RDWR | OFlags::CREATE,
                Self::New => OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL,
            }
    }
}

impl From<&Metadata> for Look {
    fn from(meta: &Metadata) -> Self {
        let modified = meta.modified().ok();
        let since = modified.and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        Self {
            len: meta.len(),
            modified_ns: since.map_or(0, |since| since.as_nanos() as u64),
            is_file: meta.is_file(),
            device: meta.dev(),
        }
    }
}

impl FileSystem for System {
    type Open = File;
    type Folder = OwnedFd;

    fn open(&self, path: &Path, how: How) -> io::Result<File> {
        Ok(rustix::fs::open(path, how.flags(), NEW_FILE)?.into())
    }

    fn open_folder(&self, path: &Path) -> io::Result<OwnedFd> {
        Ok(rustix::fs::open(path, FOLDER, Mode::empty())?)
    }

    fn make_folder(&self, path: &Path) -> io::Result<()> {
        std::fs::create_dir(path)
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn look(&self, path: &Path) -> io::Result<Look> {
        Ok(Look::from(&std::fs::metadata(path)?))
    }

    fn look_at_link(&self, path: &Path) -> io::Result<Look> {
        Ok(Look::from(&std::fs::symlink_metadata(path)?))
    }

    fn replace(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_dir(path)
    }

    fn open_in(&self, folder: &OwnedFd, name: &OsStr, how: How) -> io::Result<File> {
        let flags = how.flags() | OFlags::NOFOLLOW;
        Ok(rustix::fs::openat(folder, name, flags, NEW_FILE)?.into())
    }

    fn open_folder_in(&self, folder: &OwnedFd, name: &OsStr) -> io::Result<OwnedFd> {
        let flags = FOLDER | OFlags::NOFOLLOW;
        Ok(rustix::fs::openat(folder, name, flags, Mode::empty())?)
    }

    fn make_folder_in(&self, folder: &OwnedFd, name: &OsStr) -> io::Result<()> {
        Ok(rustix::fs::mkdirat(folder, name, NEW_FOLDER)?)
    }

    fn is_link_in(&self, folder: &OwnedFd, name: &OsStr) -> bool {
        let stat = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW);
        stat.is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Symlink)
    }

    fn is_in(&self, folder: &OwnedFd, name: &OsStr) -> io::Result<bool> {
        match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }

    fn rename_in(&self, from: (&OwnedFd, &OsStr), to: (&OwnedFd, &OsStr)) -> io::Result<()> {
        let flags = RenameFlags::NOREPLACE;
        Ok(rustix::fs::renameat_with(
            from.0, from.1, to.0, to.1, flags,
        )?)
    }

    fn link_in(&self, folder: &OwnedFd, name: &OsStr, text: &Path) -> io::Result<()> {
        Ok(rustix::fs::symlinkat(text, folder, name)?)
    }

    fn read_link_in(&self, folder: &OwnedFd, name: &OsStr) -> io::Result<PathBuf> {
        let text = rustix::fs::readlinkat(folder, name, Vec::new())?;
        Ok(OsString::from_vec(text.into_bytes()).into())
    }

    fn remove_in(&self, folder: &OwnedFd, name: &OsStr) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(folder, name, AtFlags::empty())?)
    }
}

impl OpenFile for File {
    fn look(&self) -> io::Result<Look> {
        Ok(Look::from(&self.metadata()?))
    }

    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        std::os::unix::fs::FileExt::read_at(self, buf, at)
    }

    fn write_at(&self, parts: &[IoSlice<'_>], at: u64) -> io::Result<usize> {
        match parts {
            [one] => std::os::unix::fs::FileExt::write_at(self, one, at),
            _ => Ok(rustix::io::pwritev(self, parts, at)?),
        }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        Self::set_len(self, len)
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        Ok(rustix::fs::fallocate(
            self,
            FallocateFlags::empty(),
            0,
            len,
        )?)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_all()
    }

    fn sync_file_system(&self) -> io::Result<()> {
        Ok(rustix::fs::syncfs(self)?)
    }

    fn read_soon(&self, at: u64, len: u64) {
        if let Some(len) = NonZero::new(len) {
            // The system may not listen.
            let _ = rustix::fs::fadvise(self, at, Some(len), rustix::fs::Advice::WillNeed);
        }
    }

    fn forget_cached(&self) {
        let _ = rustix::fs::fadvise(self, 0, None, rustix::fs::Advice::DontNeed);
    }

    fn let_run(&self) -> io::Result<()> {
        let mode = self.metadata()?.mode() & 0o7777;
        let wanted = mode | (mode & 0o444) >> 2;
        if mode == wanted {
            return Ok(());
        }
        self.set_permissions(Permissions::from_mode(wanted))
    }

    fn copy_to(&self, to: &Self) -> io::Result<()> {
        let (mut from, mut to) = (self, to);
        io::copy(&mut from, &mut to).map(drop)
    }
}
