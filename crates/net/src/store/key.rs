//! The operator's key and the lock of the one writer.

use std::{
    fs::{File, OpenOptions},
    path::Path,
    thread,
    time::Duration,
};

use rustix::fs::{FlockOperation, flock};
use skep_evidence::{
    file::{FileOp, Files as _, FilesMut as _},
    ledger::{SigningKey, VerifierKey},
};

use super::{DiskFiles, StoreError, disk_files::refused, layout};

/// Greatest size of a key file.
const KEY_BYTES_MAX: u64 = 4_096;

/// Opens the key, or makes one named `name` that only its owner can read.
pub(super) fn open(files: &mut DiskFiles, name: &str) -> Result<SigningKey, StoreError> {
    let public = files.read(layout::VKEY, KEY_BYTES_MAX)?;
    let key = match files.read(layout::KEY, KEY_BYTES_MAX)? {
        Some(secret) => {
            SigningKey::parse(&String::from_utf8_lossy(&secret)).map_err(|why| StoreError::Key {
                path: layout::KEY,
                why,
            })?
        }
        None if public.is_some() => return Err(StoreError::OtherKey),
        None => {
            let mut seed = [0; 32];
            getrandom::fill(&mut seed).map_err(|error| StoreError::NoRandom {
                reason: error.to_string(),
            })?;
            let key = SigningKey::new(name, seed).map_err(|why| StoreError::Key {
                path: layout::KEY,
                why,
            })?;
            files.replace(layout::KEY, format!("{}\n", key.encode()).as_bytes(), 0o600)?;
            key
        }
    };
    let vkey = format!("{}\n", key.verifier().encode()).into_bytes();
    match public {
        Some(public) if public != vkey => return Err(StoreError::OtherKey),
        Some(_) => {}
        None => files.replace(layout::VKEY, &vkey, 0o644)?,
    }
    files.apply(&FileOp::SyncDir {
        path: String::new(),
    })?;
    Ok(key)
}

/// Reads the public key of an observation.
pub(super) fn open_public(files: &DiskFiles) -> Result<VerifierKey, StoreError> {
    let public = files.read(layout::VKEY, KEY_BYTES_MAX)?.ok_or_else(|| {
        let dir = files.root().display().to_string();
        StoreError::NoObservation {
            dir,
            missing: layout::VKEY,
        }
    })?;
    VerifierKey::parse(&String::from_utf8_lossy(&public)).map_err(|why| StoreError::Key {
        path: layout::VKEY,
        why,
    })
}

/// How often the lock is tried.
const ATTEMPTS: u32 = 5;

/// How long between.
const RETRY_AFTER: Duration = Duration::from_millis(20);

/// Keeps other writers out until it is dropped, or its process dies.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    pub(super) fn take(dir: &Path) -> Result<Self, StoreError> {
        let path = dir.join(layout::LOCK);
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|error| refused(&path, "opening", &error))?;
        // A reader that asks whether somebody writes holds the lock for a moment.
        for _ in 0..ATTEMPTS {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Self { _file: file }),
                Err(rustix::io::Errno::WOULDBLOCK) => thread::sleep(RETRY_AFTER),
                Err(errno) => return Err(refused(&path, "locking", &errno.into()).into()),
            }
        }
        Err(StoreError::Locked {
            path: path.display().to_string(),
        })
    }

    /// Whether a writer is at work. What cannot be told counts as no.
    pub(super) fn is_held(dir: &Path) -> bool {
        let Ok(file) = File::open(dir.join(layout::LOCK)) else {
            return false;
        };
        flock(&file, FlockOperation::NonBlockingLockShared) == Err(rustix::io::Errno::WOULDBLOCK)
    }
}
