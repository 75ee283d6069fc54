//! Hashing what is there, on all cores: for `create`, and for the check before a session.
//!
//! Each thread takes a group of neighbouring pieces, reads a stretch of each in turn into a buffer that
//! stays in its cache, and hashes all of them at once (`skep_hash::lanes`):
//!
//! ```text
//! piece 0   ▓▓▓▒░░░░░░░░   ▓ hashed   ▒ this step's stretch   ░ still to be read
//! piece 1   ▓▓▓▒░░░░░░░░
//!   ...
//! piece 15  ▓▓▓▒░░░░░░░░
//! ```
//!
//! Memory is that buffer, [`BUF_BYTES`] and a little, a thread, whatever the piece length. Files are not
//! mapped: that would save the copy, and kill us when one is cut short under our eyes (`SIGBUS`).

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
};

use skep_hash::{collision::DetectingSha1, lanes::Engine};
use skep_wire::{Bitfield, PieceIndex, metainfo::Info, piece::BLOCK_LEN};

use super::{
    DiskError,
    files::Files,
    judge::{self, Digests, Finding, Hashing, Pieces, Stretch},
    system::FileSystem,
};

/// What the stretches of a group take together: half of a second-level cache of 1 MiB, into which they are
/// copied by the kernel and from which they are hashed.
const BUF_BYTES: u32 = 512 * 1024;

/// The longest stretch, of groups of a piece or two: as many blocks as a [`Stretch`] can name.
const STRETCH_MAX: u32 = 16 * BLOCK_LEN;

/// Pieces that a group has at most. With more, calls for short stretches would cost more than lanes gain.
const GROUP_MAX: u32 = 16;

/// Between the stretches of two pieces in the buffer. If they lay a power of two apart, all lanes would
/// want the same few sets of the first-level cache, which costs a tenth of the speed.
const SKEW_BYTES: u32 = 64;

/// How far ahead the disk is asked to read, in each piece.
const AHEAD: u32 = 1 << 20;

/// How the caller follows a long check, and ends it.
#[derive(Debug, Default)]
pub struct Watch {
    /// Bytes hashed or found missing so far.
    pub bytes_done: AtomicU64,
    /// Set to end early, with [`DiskError::Interrupted`].
    pub stop: AtomicBool,
    /// Pieces in which a collision attack on SHA-1 was found. None is looked for unless this is there: that
    /// takes several times as long as hashing in lanes.
    pub attacked: Option<Mutex<Vec<PieceIndex>>>,
}

impl Watch {
    /// One that has collision attacks looked for, where there is a version 1.
    pub fn for_attacks() -> Self {
        Self {
            attacked: Some(Mutex::default()),
            ..Self::default()
        }
    }

    /// The pieces in which a collision attack was found, in order. Each bears its marks whether or not it has
    /// the hash that the torrent names.
    pub fn attacked(&self) -> Vec<PieceIndex> {
        let attacked = self.attacked.as_ref().map(|attacked| attacked.lock());
        let mut pieces = attacked.map_or_else(Vec::new, |pieces| {
            pieces.unwrap_or_else(PoisonError::into_inner).clone()
        });
        pieces.sort_unstable();
        pieces
    }

    fn add(&self, bytes: u32) {
        self.bytes_done.fetch_add(bytes.into(), Ordering::Relaxed);
    }
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
/// hashes.
///
/// # Errors
///
/// [`DiskError`] if a file is there and cannot be read.
pub fn pieces_there<S: FileSystem>(
    files: &Files<S>,
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
fn in_groups<T: Send, S: FileSystem>(
    files: &Files<S>,
    info: &Info,
    only: Option<&Bitfield>,
    watch: &Watch,
    each: impl Fn(&mut GroupCheck<'_, S>, &[PieceIndex]) -> Result<Vec<(PieceIndex, T)>, DiskError>
    + Sync,
) -> Result<Vec<(PieceIndex, T)>, DiskError> {
    let count = info.piece_count();
    let lanes = (Engine::best().lanes() as u32).min(GROUP_MAX);
    let (threads, group) = shares(count, files.system.readers(), lanes);
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

/// How many of `threads` take how many of `count` pieces at once, so that lanes are full and no thread has
/// work left when the others have none: each takes equally often, equally many.
fn shares(count: u32, threads: u32, lanes: u32) -> (u32, u32) {
    let times = count.div_ceil(threads * lanes).max(1);
    let group = count.div_ceil(threads * times).max(1);
    (count.div_ceil(group).min(threads), group)
}

/// Hashes groups of pieces on one thread.
struct GroupCheck<'a, S: FileSystem> {
    files: Files<S>,
    info: &'a Info,
    watch: &'a Watch,
    buf: Vec<u8>,
}

/// The pieces of a group.
struct Group {
    pieces: Vec<PieceIndex>,
    /// The state of each.
    hashing: Vec<Hashing>,
    /// The same for each when collision attacks are looked for.
    detecting: Vec<DetectingSha1>,
    /// The first stretch of each that is not there, offset and length in the piece space.
    gone: Vec<Option<(u64, u32)>>,
}

impl Pieces for Group {
    fn piece(&mut self, piece: PieceIndex) -> &mut Hashing {
        let at = self.pieces.iter().position(|&one| one == piece);
        &mut self.hashing[at.expect("only pieces of the group are hashed")]
    }
}

impl<'a, S: FileSystem> GroupCheck<'a, S> {
    fn new(files: Files<S>, info: &'a Info, watch: &'a Watch) -> Self {
        Self {
            files,
            info,
            watch,
            buf: vec![0; (BUF_BYTES + GROUP_MAX * SKEW_BYTES) as usize],
        }
    }

    /// Judges the pieces that are there; those that are not are left out.
    fn check(&mut self, pieces: &[PieceIndex]) -> Result<Vec<(PieceIndex, Finding)>, DiskError> {
        let mut group = self.read(pieces)?;
        let mut found = Vec::with_capacity(pieces.len());
        for (n, &piece) in pieces.iter().enumerate() {
            if group.gone[n].is_none() {
                let finding = group.hashing[n].judge(self.info, piece, &mut self.files)?;
                found.push((piece, finding));
            }
        }
        Ok(found)
    }

    /// Hashes the pieces, all of which must be there.
    fn hash(&mut self, pieces: &[PieceIndex]) -> Result<Vec<(PieceIndex, Digests)>, DiskError> {
        let mut group = self.read(pieces)?;
        let mut found = Vec::with_capacity(pieces.len());
        for (n, &piece) in pieces.iter().enumerate() {
            if let Some((offset, len)) = group.gone[n] {
                return Err(ended(&self.files, offset, len.into()));
            }
            let digests = group.hashing[n].digests(self.info, piece, &mut self.files)?;
            found.push((piece, digests));
        }
        Ok(found)
    }

    fn read(&mut self, pieces: &[PieceIndex]) -> Result<Group, DiskError> {
        let mut group = Group {
            pieces: pieces.to_vec(),
            hashing: pieces.iter().map(|_| Hashing::default()).collect(),
            detecting: Vec::new(),
            gone: vec![None; pieces.len()],
        };
        let attacked = self.watch.attacked.as_ref();
        if attacked.is_some() && self.info.version.has_v1() {
            group.detecting.resize_with(pieces.len(), Default::default);
        }
        let blocks = BUF_BYTES / BLOCK_LEN / (pieces.len() as u32).max(1);
        let stretch = (blocks * BLOCK_LEN).clamp(BLOCK_LEN, STRETCH_MAX);
        let longest = pieces.iter().map(|&piece| self.info.piece_size(piece));
        let mut asked = 0;
        for begin in (0..longest.max().unwrap_or(0)).step_by(stretch as usize) {
            if begin >= asked {
                self.read_ahead(pieces, begin);
                asked = begin + AHEAD;
            }
            self.step(&mut group, begin, stretch)?;
        }
        for ((detecting, piece), gone) in group.detecting.drain(..).zip(pieces).zip(&group.gone) {
            if let (Some(attacked), None, Err(_)) = (attacked, gone, detecting.finish()) {
                let mut attacked = attacked.lock().unwrap_or_else(PoisonError::into_inner);
                attacked.push(*piece);
            }
        }
        Ok(group)
    }

    /// Asks for what follows in each piece, so that the disk is at work while we are.
    fn read_ahead(&mut self, pieces: &[PieceIndex], begin: u32) {
        for &piece in pieces {
            let from = judge::start_of(self.info, piece) + u64::from(begin);
            let rest = self.info.piece_size(piece).saturating_sub(begin);
            self.files.read_ahead(from, rest.min(2 * AHEAD).into());
        }
    }

    /// Reads and hashes what lies from `begin` on in each piece, `stretch` bytes at most.
    fn step(&mut self, group: &mut Group, begin: u32, stretch: u32) -> Result<(), DiskError> {
        if self.watch.stop.load(Ordering::Relaxed) {
            return Err(DiskError::Interrupted);
        }
        let mut stretches = Vec::with_capacity(group.pieces.len());
        let slots = self.buf.chunks_mut((stretch + SKEW_BYTES) as usize);
        let gone = group.gone.iter_mut();
        for (n, ((&piece, gone), slot)) in group.pieces.iter().zip(gone).zip(slots).enumerate() {
            let rest = self.info.piece_size(piece).saturating_sub(begin);
            if rest == 0 || gone.is_some() {
                continue;
            }
            let len = rest.min(stretch);
            let bytes = &mut slot[..len as usize];
            let from = judge::start_of(self.info, piece) + u64::from(begin);
            if self.files.read_at(from, bytes)? {
                if let Some(detecting) = group.detecting.get_mut(n) {
                    detecting.update(bytes);
                }
                stretches.push(Stretch {
                    piece,
                    begin,
                    bytes,
                    there: u16::MAX,
                });
                self.watch.add(len);
            } else {
                *gone = Some((from, len));
                self.watch.add(rest);
            }
        }
        judge::hash_in_step(self.info, group, &stretches);
        Ok(())
    }
}

/// The error for content that ended: names the file that is too short or gone.
fn ended<S: FileSystem>(files: &Files<S>, offset: u64, len: u64) -> DiskError {
    let layout = files.layout().clone();
    for span in layout.spans(offset, len) {
        let path = files.path(span.file);
        let expected = layout.files()[span.file].len;
        match files.system.look(&path) {
            Ok(look) if look.len < expected => {
                return DiskError::Ended {
                    path,
                    at: look.len,
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

#[cfg(test)]
mod tests;
