//! Files: where a torrent's content lies, how it is opened safely, checked, written and resumed.

use std::path::PathBuf;

/// The disk refused, or what lies there is not what it should be.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// A file or folder could not be opened, created, read, written or synced.
    #[error("{act} {}: {source}", path.display())]
    Io {
        /// What we did.
        act: &'static str,
        /// To what.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
}
