//! Bundles on disk: made from an observation's folder, and read for verification.
//!
//! What goes in, and in which form, is decided by `skep_verify::select` and `skep_evidence::bundle`;
//! here are only the files. A bundle appears under its name whole or not at all.

use std::{
    fs::File,
    io::{self, BufWriter, Write as _},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use skep_evidence::{
    bundle::{BundleError, Member, Plan, Source, Step},
    file::{FileError, Files as _},
};
use skep_hash::{Sha256, sha256};
use skep_verify::{Failure, contents};

use crate::{report::READ_TRIES, store::DiskFiles};

/// How much of a file is read at once.
const CHUNK: usize = 1 << 20;

/// Why a bundle could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BundleWriteError {
    /// The observation does not hold, or a part of it is missing.
    #[error("{dir}: {failure}")]
    Observation {
        /// The folder.
        dir: PathBuf,
        /// What is wrong.
        failure: Box<Failure>,
    },
    /// The container does not hold such files.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// A part cannot be read.
    #[error(transparent)]
    Part(#[from] FileError),
    /// A part became shorter while it was read.
    #[error("{path} became shorter while it was read")]
    Shrunk {
        /// The part.
        path: String,
    },
    /// The bundle cannot be written.
    #[error("{path}: {error}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

/// A bundle that was made.
#[derive(Debug, Clone)]
pub struct Written {
    /// Its length in bytes.
    pub size_bytes: u64,
    /// How many files are in it, the manifest included.
    pub files: usize,
    /// How many records it covers.
    pub records: u64,
    /// How many records were not signed yet and stayed behind.
    pub uncovered: u64,
}

/// Makes the bundle of the observation in `dir` and writes it to `out`. `progress` is called with the
/// bytes done and the bytes to do.
///
/// # Errors
///
/// [`BundleWriteError`]; nothing stands under the name `out` then that did not stand there before.
pub fn write(
    dir: &Path,
    out: &Path,
    mut progress: impl FnMut(u64, u64),
) -> Result<Written, BundleWriteError> {
    for _ in 1..READ_TRIES {
        match write_once(dir, out, &mut progress) {
            Err(BundleWriteError::Observation { failure, .. })
                if matches!(*failure, Failure::Ledger(_) | Failure::Missing { .. }) => {}
            Err(BundleWriteError::Shrunk { .. }) => {}
            other => return other.inspect_err(|_| forget(out)),
        }
    }
    write_once(dir, out, &mut progress).inspect_err(|_| forget(out))
}

/// Removes what was written of a bundle that did not become one.
fn forget(out: &Path) {
    let _ = std::fs::remove_file(partial(out));
}

fn write_once(
    dir: &Path,
    out: &Path,
    progress: &mut impl FnMut(u64, u64),
) -> Result<Written, BundleWriteError> {
    let files = DiskFiles::new(dir);
    let selection = skep_verify::select(&files).map_err(|failure| {
        let dir = dir.to_owned();
        BundleWriteError::Observation {
            dir,
            failure: Box::new(failure),
        }
    })?;
    let to_do = 2 * selection.files.iter().map(|(_, len)| len).sum::<u64>();
    let mut done = 0;
    let mut members = Vec::new();
    for (path, len) in &selection.files {
        let mut hash = Sha256::new();
        copy(&files, path, *len, |part| {
            hash.update(part);
            done += part.len() as u64;
            progress(done, to_do);
            Ok(())
        })?;
        members.push(Member {
            path: path.clone(),
            len: *len,
            digest: hash.finish(),
        });
    }
    for (name, bytes) in selection.report.files() {
        let (path, len) = (contents::report_path(name), bytes.len() as u64);
        members.push(Member {
            path,
            len,
            digest: sha256(bytes),
        });
    }
    // The manifest and the page for people are added by the plan.
    let count = members.len() + 2;
    let plan = Plan::new(members)?;
    let part = partial(out);
    let write_error = |error| BundleWriteError::Write {
        path: part.clone(),
        error,
    };
    let mut archive = BufWriter::new(File::create(&part).map_err(write_error)?);
    let mut size_bytes = 0;
    for step in plan.steps() {
        match step {
            Step::Bytes(bytes) => {
                size_bytes += bytes.len() as u64;
                archive.write_all(&bytes).map_err(write_error)?;
            }
            Step::File { path, len } => {
                size_bytes += len;
                let reports = selection.report.files();
                let made = reports
                    .iter()
                    .find(|(name, _)| contents::report_path(name) == path);
                if let Some((_, bytes)) = made {
                    archive.write_all(bytes).map_err(write_error)?;
                    continue;
                }
                copy(&files, &path, len, |part| {
                    done += part.len() as u64;
                    progress(done, to_do);
                    archive.write_all(part).map_err(write_error)
                })?;
            }
        }
    }
    let archive = archive
        .into_inner()
        .map_err(|error| write_error(error.into_error()))?;
    archive.sync_all().map_err(write_error)?;
    std::fs::rename(&part, out).map_err(write_error)?;
    Ok(Written {
        size_bytes,
        files: count,
        records: selection.records,
        uncovered: selection.uncovered,
    })
}

/// The name of a bundle that is not whole yet.
fn partial(out: &Path) -> PathBuf {
    let mut name = out.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    out.with_file_name(name)
}

/// Gives `take` the first `len` bytes of a file, part by part.
fn copy(
    files: &DiskFiles,
    path: &str,
    len: u64,
    mut take: impl FnMut(&[u8]) -> Result<(), BundleWriteError>,
) -> Result<(), BundleWriteError> {
    let mut at = 0;
    while at < len {
        let part = files.read_at(path, at, (len - at).min(CHUNK as u64) as usize)?;
        if part.is_empty() {
            return Err(BundleWriteError::Shrunk {
                path: path.to_owned(),
            });
        }
        take(&part)?;
        at += part.len() as u64;
    }
    Ok(())
}

/// A bundle file, open for reading.
#[derive(Debug)]
pub struct BundleFile {
    file: File,
    len: u64,
    path: PathBuf,
}

impl BundleFile {
    /// Opens a bundle.
    ///
    /// # Errors
    ///
    /// [`io::Error`] if it cannot be opened, or is no file.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let data = file.metadata()?;
        if !data.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a file"));
        }
        Ok(Self {
            file,
            len: data.len(),
            path: path.to_owned(),
        })
    }
}

impl Source for BundleFile {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, len: usize) -> Result<Vec<u8>, FileError> {
        let left = self.len.saturating_sub(offset).min(len as u64);
        let mut bytes = vec![0; left as usize];
        let read = self.file.read_exact_at(&mut bytes, offset);
        read.map_err(|error| FileError {
            path: self.path.display().to_string(),
            doing: "reading",
            reason: error.to_string(),
            errno: error.raw_os_error(),
        })?;
        Ok(bytes)
    }
}
