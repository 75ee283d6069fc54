//! Files as this crate sees them: names, bytes, and the operations that a machine wants done in
//! order. Who does them (a disk, a test's memory, an archive) implements [`Files`].
//!
//! Paths are relative to the observation's folder, with `/` between components.

/// One thing to do to the files, in its place in a list. Each is done before the next begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileOp {
    /// Make a folder and those above it; it may exist.
    CreateDir {
        /// The folder.
        path: String,
    },
    /// Write bytes at an offset; makes the file if there is none. Durable only after [`Self::Sync`].
    Write {
        /// The file.
        path: String,
        /// Where.
        offset: u64,
        /// What.
        bytes: Vec<u8>,
    },
    /// Cut a file to a length. Durable only after [`Self::Sync`].
    Truncate {
        /// The file.
        path: String,
        /// Its new length.
        len: u64,
    },
    /// Make a file's contents and length durable.
    Sync {
        /// The file.
        path: String,
    },
    /// Put a whole file in place at once: written under another name in the same folder, made
    /// durable, renamed. The name is durable only after [`Self::SyncDir`].
    Replace {
        /// The file.
        path: String,
        /// Its contents.
        bytes: Vec<u8>,
    },
    /// Make the names in a folder durable.
    SyncDir {
        /// The folder; empty for the observation's folder itself.
        path: String,
    },
    /// Remove a file; it may be gone. Durable after [`Self::SyncDir`].
    Delete {
        /// The file.
        path: String,
    },
}

/// What the surroundings refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {doing}: {reason}")]
pub struct FileError {
    /// The file or folder.
    pub path: String,
    /// What was being done to it.
    pub doing: &'static str,
    /// What the system said.
    pub reason: String,
    /// The system's error number, if there is one.
    pub errno: Option<i32>,
}

/// Files that can be read.
pub trait Files {
    /// The whole file, `None` if there is none.
    ///
    /// # Errors
    ///
    /// [`FileError`], also for a file of more than `len_max` bytes.
    fn read(&self, path: &str, len_max: u64) -> Result<Option<Vec<u8>>, FileError>;

    /// `len` bytes at `offset`, fewer at the end of the file, none if there is no file.
    ///
    /// # Errors
    ///
    /// [`FileError`].
    fn read_at(&self, path: &str, offset: u64, len: usize) -> Result<Vec<u8>, FileError>;

    /// The file's length, `None` if there is none.
    ///
    /// # Errors
    ///
    /// [`FileError`].
    fn len(&self, path: &str) -> Result<Option<u64>, FileError>;

    /// The names in a folder, sorted; none if there is no folder.
    ///
    /// # Errors
    ///
    /// [`FileError`].
    fn list(&self, path: &str) -> Result<Vec<String>, FileError>;
}

/// Files that can be changed.
pub trait FilesMut: Files {
    /// Does one thing. When it returns, it has been handed to the system (and for the operations
    /// that say so, is durable).
    ///
    /// # Errors
    ///
    /// [`FileError`]; whether it was done in part is then unknown.
    fn apply(&mut self, op: &FileOp) -> Result<(), FileError>;
}
