//! Hashing what is there, on all cores: for `create`, and for the check before a session.
//!
//! Each thread takes the next piece, reads it in calls of [`CALL_BYTES_MAX`] into a buffer that
//! stays in its cache, and hashes it. Memory is one such buffer a thread, whatever the piece length.

use std::{
    num::NonZero,
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
};

use skep_hash::{Sha1, Sha1Digest};
use skep_wire::{Bitfield, PieceIndex, metainfo::Info};

use super::{
    DiskError,
    files::{CALL_BYTES_MAX, Files},
};

/// How the caller follows a long check, and ends it.
#[derive(Debug, Default)]
pub struct Watch {
    /// Bytes hashed or found missing so far.
    pub bytes_done: std::sync::atomic::AtomicU64,
    /// Set to end early, with [`DiskError::Interrupted`].
    pub stop: AtomicBool,
}

/// What to do where a file is missing or short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// The piece has no digest.
    IsNoDigest,
    /// It is an error.
    IsError,
}

/// Returns the digest of every piece of the content, `None` where bytes are missing, and for pieces
/// that are not in `only`, if that is given.
///
/// # Errors
///
/// [`DiskError`] of the first file that cannot be read.
pub fn hash_pieces(
    files: &Files,
    piece_len: u32,
    missing: Missing,
    only: Option<&Bitfield>,
    watch: &Watch,
) -> Result<Vec<Option<Sha1Digest>>, DiskError> {
    let size = files.layout().size_bytes();
    let count = size.div_ceil(u64::from(piece_len.max(1))) as u32;
    let next = AtomicU32::new(0);
    let work = || -> Result<Vec<(u32, Option<Sha1Digest>)>, DiskError> {
        let mut files = files.again(files.access());
        let mut buf = vec![0; CALL_BYTES_MAX.min(piece_len as usize)];
        let mut found = Vec::new();
        loop {
            let piece = next.fetch_add(1, Ordering::Relaxed);
            if piece >= count {
                return Ok(found);
            }
            let offset = u64::from(piece) * u64::from(piece_len);
            let len = (size - offset).min(u64::from(piece_len));
            if only.is_some_and(|only| !only.has(PieceIndex(piece))) {
                watch.bytes_done.fetch_add(len, Ordering::Relaxed);
                continue;
            }
            let digest = hash_range(&mut files, offset, len, &mut buf, missing, watch)
                .inspect_err(|_| watch.stop.store(true, Ordering::Relaxed))?;
            found.push((piece, digest));
        }
    };
    let mut digests = vec![None; count as usize];
    let mut failed = None;
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads().min(count as usize))
            .map(|_| scope.spawn(work))
            .collect();
        for thread in threads {
            match thread
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            {
                Ok(found) => {
                    for (piece, digest) in found {
                        digests[piece as usize] = digest;
                    }
                }
                // The thread that met the trouble says what it was; the others were interrupted.
                Err(error) if matches!(failed, None | Some(DiskError::Interrupted)) => {
                    failed = Some(error);
                }
                Err(_) => {}
            }
        }
    });
    failed.map_or(Ok(digests), Err)
}

/// Returns which pieces of the torrent, or of `only`, if that is given, are there with their right hash.
///
/// # Errors
///
/// [`DiskError`] if a file is there and cannot be read.
pub fn pieces_there(
    files: &Files,
    info: &Info,
    only: Option<&Bitfield>,
    watch: &Watch,
) -> Result<Bitfield, DiskError> {
    let digests = hash_pieces(files, info.piece_len, Missing::IsNoDigest, only, watch)?;
    let mut there = Bitfield::empty(info.piece_count());
    for (index, (got, expected)) in (0..).zip(digests.iter().zip(&info.pieces)) {
        if got.as_ref() == Some(expected) {
            there.insert(PieceIndex(index));
        }
    }
    Ok(there)
}

/// As many threads as there are cores, and two at least: one reads while the other hashes.
fn threads() -> usize {
    std::thread::available_parallelism()
        .map_or(2, NonZero::get)
        .max(2)
}

fn hash_range(
    files: &mut Files,
    offset: u64,
    len: u64,
    buf: &mut [u8],
    missing: Missing,
    watch: &Watch,
) -> Result<Option<Sha1Digest>, DiskError> {
    let mut hash = Sha1::new();
    let mut done = 0;
    while done < len {
        if watch.stop.load(Ordering::Relaxed) {
            return Err(DiskError::Interrupted);
        }
        let part = &mut buf[..(len - done).min(CALL_BYTES_MAX as u64) as usize];
        if !files.read_at(offset + done, part)? {
            watch.bytes_done.fetch_add(len - done, Ordering::Relaxed);
            return match missing {
                Missing::IsNoDigest => Ok(None),
                Missing::IsError => Err(ended(files, offset + done, part.len() as u64)),
            };
        }
        hash.update(part);
        done += part.len() as u64;
        watch
            .bytes_done
            .fetch_add(part.len() as u64, Ordering::Relaxed);
    }
    Ok(Some(hash.finish()))
}

/// The error for content that ended: names the file that is too short or gone.
fn ended(files: &Files, offset: u64, len: u64) -> DiskError {
    let layout = files.layout().clone();
    for span in layout.spans(offset, len) {
        let path = files.path(span.file);
        let expected = layout.files()[span.file].len;
        match std::fs::metadata(&path) {
            Ok(meta) if meta.len() < expected => {
                return DiskError::Ended {
                    path,
                    at: meta.len(),
                    expected,
                };
            }
            Ok(_) => {}
            Err(source) => {
                return DiskError::Io {
                    act: "read",
                    path,
                    source,
                };
            }
        }
    }
    // It has grown again since.
    let span = layout
        .spans(offset, len)
        .next()
        .expect("a range that ended has a span");
    DiskError::Ended {
        path: files.path(span.file),
        at: span.at,
        expected: layout.files()[span.file].len,
    }
}
