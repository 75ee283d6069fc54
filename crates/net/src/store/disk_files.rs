//! The file layer of an observation on a disk.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use skep_evidence::file::{FileError, FileOp, Files, FilesMut};

/// Files kept open for writing: the pending file, journal and capture, and a few old ones.
const OPEN_FILES_MAX: usize = 16;

/// A folder on disk. Paths are relative to it.
#[derive(Debug)]
pub struct DiskFiles {
    root: PathBuf,
    open: BTreeMap<String, File>,
}

impl DiskFiles {
    /// The folder `root`; it need not exist yet.
    pub fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            open: BTreeMap::new(),
        }
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn path(&self, path: &str) -> PathBuf {
        if path.is_empty() {
            self.root.clone()
        } else {
            self.root.join(path)
        }
    }

    fn file(&mut self, path: &str, doing: &'static str) -> Result<&File, FileError> {
        if !self.open.contains_key(path) {
            if self.open.len() >= OPEN_FILES_MAX {
                self.open.clear();
            }
            let full = self.path(path);
            let mut options = OpenOptions::new();
            let file = options
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(&full);
            let file = file.map_err(|error| refused(&full, doing, &error))?;
            self.open.insert(path.to_owned(), file);
        }
        Ok(self.open.get(path).expect("opened above"))
    }

    fn sync_dir(&self, path: &str) -> Result<(), FileError> {
        let full = self.path(path);
        File::open(&full)
            .and_then(|dir| dir.sync_all())
            .map_err(|error| refused(&full, "syncing the folder", &error))
    }

    /// [`FileOp::Replace`], and who may read the file.
    pub(super) fn replace(&mut self, path: &str, bytes: &[u8], mode: u32) -> Result<(), FileError> {
        self.open.remove(path);
        let full = self.path(path);
        let mut name = full.clone().into_os_string();
        name.push(".tmp");
        let temporary = PathBuf::from(name);
        let write = || {
            let mut options = OpenOptions::new();
            let file = options
                .write(true)
                .create(true)
                .truncate(true)
                .mode(mode)
                .open(&temporary)?;
            file.write_all_at(bytes, 0)?;
            file.sync_all()
        };
        write().map_err(|error| refused(&temporary, "writing", &error))?;
        fs::rename(&temporary, &full).map_err(|error| refused(&full, "renaming", &error))
    }
}

impl Files for DiskFiles {
    fn read(&self, path: &str, len_max: u64) -> Result<Option<Vec<u8>>, FileError> {
        let full = self.path(path);
        let Some(len) = self.len(path)? else {
            return Ok(None);
        };
        if len > len_max {
            return Err(FileError {
                path: full.display().to_string(),
                doing: "reading",
                reason: format!("{len} bytes, at most {len_max} are expected"),
                errno: None,
            });
        }
        fs::read(&full)
            .map(Some)
            .map_err(|error| refused(&full, "reading", &error))
    }

    fn read_at(&self, path: &str, offset: u64, len: usize) -> Result<Vec<u8>, FileError> {
        let full = self.path(path);
        let read = || {
            let file = match File::open(&full) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
                opened => opened?,
            };
            let left = file.metadata()?.len().saturating_sub(offset);
            let mut bytes = vec![0; usize::try_from(left).map_or(len, |left| left.min(len))];
            let mut have = 0;
            while have < bytes.len() {
                match file.read_at(&mut bytes[have..], offset + have as u64)? {
                    0 => break,
                    more => have += more,
                }
            }
            bytes.truncate(have);
            Ok(bytes)
        };
        read().map_err(|error| refused(&full, "reading", &error))
    }

    fn len(&self, path: &str) -> Result<Option<u64>, FileError> {
        let full = self.path(path);
        match fs::metadata(&full) {
            Ok(data) => Ok(data.is_file().then_some(data.len())),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(refused(&full, "looking at", &error)),
        }
    }

    fn list(&self, path: &str) -> Result<Vec<String>, FileError> {
        let full = self.path(path);
        let names = || {
            let entries = match fs::read_dir(&full) {
                Err(error) if is_absent(&error) => return Ok(Vec::new()),
                entries => entries?,
            };
            let mut names = entries
                .map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()))
                .collect::<io::Result<Vec<String>>>()?;
            names.sort_unstable();
            Ok(names)
        };
        names().map_err(|error| refused(&full, "listing", &error))
    }
}

impl FilesMut for DiskFiles {
    fn apply(&mut self, op: &FileOp) -> Result<(), FileError> {
        match op {
            FileOp::CreateDir { path } => {
                let full = self.path(path);
                fs::create_dir_all(&full)
                    .map_err(|error| refused(&full, "making the folder", &error))
            }
            FileOp::Write {
                path,
                offset,
                bytes,
            } => self
                .file(path, "opening")?
                .write_all_at(bytes, *offset)
                .map_err(|error| refused(&self.path(path), "writing", &error)),
            FileOp::Truncate { path, len } => self
                .file(path, "opening")?
                .set_len(*len)
                .map_err(|error| refused(&self.path(path), "cutting", &error)),
            FileOp::Sync { path } => self
                .file(path, "opening")?
                .sync_data()
                .map_err(|error| refused(&self.path(path), "syncing", &error)),
            FileOp::Replace { path, bytes } => self.replace(path, bytes, 0o644),
            FileOp::SyncDir { path } => self.sync_dir(path),
            FileOp::Delete { path } => {
                self.open.remove(path);
                let full = self.path(path);
                match fs::remove_file(&full) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        Err(refused(&full, "deleting", &error))
                    }
                    _ => Ok(()),
                }
            }
        }
    }
}

/// Nothing has this name, or something above it is no folder.
fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

pub(super) fn refused(path: &Path, doing: &'static str, error: &io::Error) -> FileError {
    FileError {
        path: path.display().to_string(),
        doing,
        reason: error.to_string(),
        errno: error.raw_os_error(),
    }
}
