//! Hashing what is there, on all cores: for `create`, and for the check before a session.
//!
//! Each thread takes the next piece, reads it in calls of [`CALL_BYTES_MAX`] into a buffer that
//! stays in its cache, and hashes it. Memory is one such buffer a thread, whatever the piece length.

use std::{
    collections::HashMap,
    num::NonZero,
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
};

use skep_hash::{Sha1, Sha1Digest};
use skep_wire::{Bitfield, PieceIndex, metainfo::Info, piece::BLOCK_LEN};

use super::{
    DiskError,
    files::{CALL_BYTES_MAX, Files},
    judge::{self, Digests, Finding, Hashing, Pieces as _, Stretch},
};

/// How the caller follows a long check, and ends it.
#[derive(Debug, Default)]
pub struct Watch {
    /// Bytes hashed or found missing so far.
    pub bytes_done: std::sync::atomic::AtomicU64,
    /// Set to end early, with [`DiskError::Interrupted`].
    pub stop: AtomicBool,
}

impl Watch {
    fn add(&self, bytes: u32) {
        self.bytes_done.fetch_add(bytes.into(), Ordering::Relaxed);
    }
}

/// What to do where a file is missing or short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// The piece has no digest.
    IsNoDigest,
    /// It is an error.
    IsError,
}

/// Returns the digest of every piece of the content, `None` where bytes are missing.
///
/// # Errors
///
/// [`DiskError`] of the first file that cannot be read.
pub fn hash_pieces(
    files: &Files,
    piece_len: u32,
    missing: Missing,
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

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The pieces that are there with all their hashes.
    pub there: Bitfield,
    /// The first piece whose two hashes contradict each other (only in a hybrid), and whether it has that
    /// of version 1.
    pub torn: Option<(PieceIndex, bool)>,
}

/// Finds out which pieces of the torrent, or of `only`, if that is given, are there with their right
/// hashes. Each thread takes [`GROUP`] neighbouring pieces and hashes a stretch of each in turn, all at
/// once; its memory is 1 MiB, whatever the piece length.
///
/// # Errors
///
/// [`DiskError`] if a file is there and cannot be read.
pub fn pieces_there(
    files: &Files,
    info: &Info,
    only: Option<&Bitfield>,
    watch: &Watch,
) -> Result<Found, DiskError> {
    let findings = in_groups(files, info, only, watch, |group, pieces| {
        group.check(pieces)
    })?;
    let mut found = Found {
        there: Bitfield::empty(info.piece_count()),
        torn: None,
    };
    for (piece, what) in findings {
        match what {
            Finding::Good => {
                found.there.insert(piece);
            }
            Finding::Bad => {}
            Finding::Torn { has_v1 } => {
                let is_first = found.torn.is_none_or(|(first, _)| piece < first);
                if is_first {
                    found.torn = Some((piece, has_v1));
                }
            }
        }
    }
    Ok(found)
}

/// Returns the hashes of every piece, in order, as [`pieces_there`] makes them. Of `info` no hash is looked
/// at: they are what is wanted.
///
/// # Errors
///
/// [`DiskError`] of the first file that cannot be read or is shorter than `info` says.
pub fn digests(files: &Files, info: &Info, watch: &Watch) -> Result<Vec<Digests>, DiskError> {
    let mut digests = in_groups(files, info, None, watch, |group, pieces| group.hash(pieces))?;
    digests.sort_unstable_by_key(|(piece, _)| *piece);
    Ok(digests.into_iter().map(|(_, digests)| digests).collect())
}

/// Does something with each group of neighbouring pieces, on all cores, and gathers what it gives in no
/// order.
fn in_groups<T: Send>(
    files: &Files,
    info: &Info,
    only: Option<&Bitfield>,
    watch: &Watch,
    each: impl Fn(&mut GroupCheck<'_>, &[PieceIndex]) -> Result<Vec<(PieceIndex, T)>, DiskError> + Sync,
) -> Result<Vec<(PieceIndex, T)>, DiskError> {
    let count = info.piece_count();
    let threads = threads().min(count as usize).max(1);
    let group = count.div_ceil(threads as u32).clamp(1, GROUP);
    let next = AtomicU32::new(0);
    let work = || -> Result<Vec<(PieceIndex, T)>, DiskError> {
        let mut group_check = GroupCheck::new(files.again(files.access()), info, watch);
        let mut found = Vec::new();
        loop {
            let first = next.fetch_add(group, Ordering::Relaxed);
            if first >= count {
                return Ok(found);
            }
            let pieces = (first..count.min(first + group)).map(PieceIndex);
            let pieces: Vec<PieceIndex> = pieces
                .filter(|&piece| {
                    let is_wanted = only.is_none_or(|only| only.has(piece));
                    if !is_wanted {
                        watch.add(info.piece_size(piece));
                    }
                    is_wanted
                })
                .collect();
            let done = each(&mut group_check, &pieces);
            found.extend(done.inspect_err(|_| watch.stop.store(true, Ordering::Relaxed))?);
        }
    };
    let mut found = Vec::new();
    let mut failed = None;
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        for thread in threads {
            match thread
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            {
                Ok(pieces) => found.extend(pieces),
                // The thread that met the trouble says what it was; the others were interrupted.
                Err(error) if matches!(failed, None | Some(DiskError::Interrupted)) => {
                    failed = Some(error);
                }
                Err(_) => {}
            }
        }
    });
    failed.map_or(Ok(found), Err)
}

/// How many pieces are hashed in step.
const GROUP: u32 = 16;

/// How much of each of them is read before all are hashed. The stretches of a group fit into the
/// second-level cache together.
const STRETCH: u32 = 4 * BLOCK_LEN;

/// How far ahead the disk is asked to read, in each piece.
const AHEAD: u32 = 1 << 20;

/// Checks groups of pieces on one thread.
struct GroupCheck<'a> {
    files: Files,
    info: &'a Info,
    watch: &'a Watch,
    buf: Vec<u8>,
}

impl<'a> GroupCheck<'a> {
    fn new(files: Files, info: &'a Info, watch: &'a Watch) -> Self {
        Self {
            files,
            info,
            watch,
            buf: vec![0; (STRETCH * GROUP) as usize],
        }
    }

    /// Judges the pieces that are there; those that are not are left out.
    fn check(&mut self, pieces: &[PieceIndex]) -> Result<Vec<(PieceIndex, Finding)>, DiskError> {
        let read = self.read(pieces)?;
        let mut hashing = read.hashing;
        let mut found = Vec::with_capacity(read.left.len());
        for piece in read.left {
            let finding = hashing
                .piece(piece)
                .judge(self.info, piece, &mut self.files)?;
            found.push((piece, finding));
        }
        Ok(found)
    }

    /// Hashes the pieces, all of which must be there.
    fn hash(&mut self, pieces: &[PieceIndex]) -> Result<Vec<(PieceIndex, Digests)>, DiskError> {
        let read = self.read(pieces)?;
        if let Some((offset, len)) = read.gone {
            return Err(ended(&self.files, offset, len));
        }
        let mut hashing = read.hashing;
        let mut found = Vec::with_capacity(read.left.len());
        for piece in read.left {
            let digests = hashing
                .piece(piece)
                .digests(self.info, piece, &mut self.files)?;
            found.push((piece, digests));
        }
        Ok(found)
    }

    fn read(&mut self, pieces: &[PieceIndex]) -> Result<Read, DiskError> {
        let info = self.info;
        let mut hashing: HashMap<PieceIndex, Hashing> = HashMap::new();
        let mut left = pieces.to_vec();
        let mut missing = None;
        for begin in (0..info.piece_len).step_by(STRETCH as usize) {
            if begin % AHEAD == 0 {
                for &piece in &left {
                    let from = judge::start_of(info, piece) + u64::from(begin);
                    let len = info.piece_size(piece).saturating_sub(begin).min(2 * AHEAD);
                    self.files.read_ahead(from, len.into());
                }
            }
            let mut stretches = Vec::new();
            let mut gone = Vec::new();
            for (&piece, buf) in left.iter().zip(self.buf.chunks_mut(STRETCH as usize)) {
                if self.watch.stop.load(Ordering::Relaxed) {
                    return Err(DiskError::Interrupted);
                }
                let rest = info.piece_size(piece).saturating_sub(begin);
                let bytes = &mut buf[..rest.min(STRETCH) as usize];
                if bytes.is_empty() {
                    continue;
                }
                let from = judge::start_of(info, piece) + u64::from(begin);
                if self.files.read_at(from, bytes)? {
                    self.watch.add(bytes.len() as u32);
                    let there = u16::MAX;
                    stretches.push(Stretch {
                        piece,
                        begin,
                        bytes,
                        there,
                    });
                } else {
                    self.watch.add(rest);
                    missing = missing.or(Some((from, bytes.len() as u64)));
                    gone.push(piece);
                }
            }
            if stretches.is_empty() && gone.is_empty() {
                break;
            }
            judge::hash_in_step(info, &mut hashing, &stretches);
            left.retain(|piece| !gone.contains(piece));
        }
        Ok(Read {
            hashing,
            left,
            gone: missing,
        })
    }
}

/// What was read of a group of pieces.
struct Read {
    hashing: HashMap<PieceIndex, Hashing>,
    /// The pieces all of which was there.
    left: Vec<PieceIndex>,
    /// The first stretch that was not, offset and length in the piece space.
    gone: Option<(u64, u64)>,
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
