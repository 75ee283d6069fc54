//! Files in memory that lose nothing: an observation's folder for tests that do not ask what a crash
//! leaves ([`crate::disk`] does).

use std::collections::BTreeMap;

use skep_evidence::file::{FileError, FileOp, Files, FilesMut};

/// A folder. Whoever holds it may change it in any way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Memory {
    /// Every file by its path.
    pub files: BTreeMap<String, Vec<u8>>,
}

impl Memory {
    /// Puts a file in place.
    pub fn put(&mut self, path: &str, bytes: impl Into<Vec<u8>>) {
        self.files.insert(path.to_owned(), bytes.into());
    }

    /// Does everything in order.
    pub fn apply_all(&mut self, ops: &[FileOp]) {
        for op in ops {
            self.apply(op).expect("memory refuses nothing");
        }
    }
}

impl Files for Memory {
    fn read(&self, path: &str, len_max: u64) -> Result<Option<Vec<u8>>, FileError> {
        match self.files.get(path) {
            Some(bytes) if bytes.len() as u64 > len_max => Err(FileError {
                path: path.to_owned(),
                doing: "reading",
                reason: format!("{} bytes, at most {len_max} are expected", bytes.len()),
                errno: None,
            }),
            found => Ok(found.cloned()),
        }
    }

    fn read_at(&self, path: &str, offset: u64, len: usize) -> Result<Vec<u8>, FileError> {
        let bytes = self.files.get(path).map_or(&[][..], Vec::as_slice);
        let from = usize::try_from(offset).map_or(bytes.len(), |from| from.min(bytes.len()));
        Ok(bytes[from..].iter().take(len).copied().collect())
    }

    fn len(&self, path: &str) -> Result<Option<u64>, FileError> {
        Ok(self.files.get(path).map(|bytes| bytes.len() as u64))
    }

    fn list(&self, path: &str) -> Result<Vec<String>, FileError> {
        let folder = match path {
            "" => String::new(),
            path => format!("{path}/"),
        };
        let below = self
            .files
            .keys()
            .filter_map(|file| file.strip_prefix(&folder));
        let mut names: Vec<String> = below
            .filter_map(|rest| rest.split('/').next())
            .map(str::to_owned)
            .collect();
        names.sort();
        names.dedup();
        Ok(names)
    }
}

impl FilesMut for Memory {
    fn apply(&mut self, op: &FileOp) -> Result<(), FileError> {
        match op {
            FileOp::Write {
                path,
                offset,
                bytes,
            } => {
                let offset = usize::try_from(*offset).expect("a test's file is small");
                let file = self.files.entry(path.clone()).or_default();
                file.resize(file.len().max(offset + bytes.len()), 0);
                file[offset..][..bytes.len()].copy_from_slice(bytes);
            }
            FileOp::Truncate { path, len } => {
                let len = usize::try_from(*len).expect("a test's file is small");
                self.files.entry(path.clone()).or_default().resize(len, 0);
            }
            FileOp::Replace { path, bytes } => self.put(path, &bytes[..]),
            FileOp::Delete { path } => drop(self.files.remove(path)),
            FileOp::CreateDir { .. } | FileOp::Sync { .. } | FileOp::SyncDir { .. } => {}
        }
        Ok(())
    }
}
