//! The last run of an observation after a crash: what of its journal and capture is whole.

use skep_evidence::{
    capture::{BLOCK_BYTES_MAX, Packet, Renderer, Section, packet_at},
    clock::{ClockSample, UtcInterval},
    file::{FileError, FileOp, Files},
    journal::{CaptureOffset, Entries, Entry, Input},
    record::{Body, Record},
};
use skep_hash::{Sha256, Sha256Digest, sha256};
use skep_wire::Moment;

use super::{StoreError, layout};

/// Greatest journal that is read into memory.
pub(super) const JOURNAL_BYTES_MAX: u64 = 1 << 32;

/// How much of a capture is read at a time.
const READ_BYTES: usize = 1 << 20;

/// What the ledger says of its last run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LastRun {
    pub(super) run: u32,
    pub(super) observer: String,
    pub(super) version: String,
    pub(super) at: Moment,
    pub(super) utc: UtcInterval,
    /// The last mark, and whether it is the run's last record.
    mark: Option<Mark>,
    marked: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark {
    journal: Part,
    capture: Part,
}

/// How much of a file, and its digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) len: u64,
    pub(super) digest: Sha256Digest,
}

impl LastRun {
    /// Takes the next record of the ledger into account.
    pub(super) fn follow(last: &mut Option<Self>, record: &Record) {
        let (run, at, utc) = (record.run, record.at, record.utc);
        match (&record.body, last) {
            (
                Body::RunStarted {
                    observer, version, ..
                },
                last,
            ) => {
                let (observer, version) = (observer.clone(), version.clone());
                let (mark, marked) = (None, false);
                *last = Some(Self {
                    run,
                    observer,
                    version,
                    at,
                    utc,
                    mark,
                    marked,
                });
            }
            (
                Body::Mark {
                    journal_len,
                    journal,
                    capture_len,
                    capture,
                },
                Some(last),
            ) => {
                let part = |len: &u64, digest: &Sha256Digest| Part {
                    len: *len,
                    digest: *digest,
                };
                let journal = part(journal_len, journal);
                last.mark = Some(Mark {
                    journal,
                    capture: part(capture_len, capture),
                });
                (last.marked, last.at, last.utc) = (true, at, utc);
            }
            (_, Some(last)) => (last.marked, last.at, last.utc) = (false, at, utc),
            (_, None) => {}
        }
    }
}

/// What is whole of a run, and what was cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mended {
    pub(super) journal: Part,
    pub(super) capture: Part,
    pub(super) journal_cut: u64,
    pub(super) capture_cut: u64,
    pub(super) at: Moment,
    pub(super) utc: UtcInterval,
    pub(super) ops: Vec<FileOp>,
}

/// Finds the longest beginning of the journal whose entries are whole and whose bytes are whole in
/// the capture. `None` if the ledger's last record is a mark and the files are as it says: nothing
/// to mend.
///
/// # Errors
///
/// [`StoreError::RunChanged`] if the files are not what the last mark says up to there: that is no
/// crash, since a mark is written after they are durable.
pub(super) fn mend(files: &dyn Files, last: &LastRun) -> Result<Option<Mended>, StoreError> {
    let (journal_path, capture_path) = (layout::journal(last.run), layout::capture(last.run));
    let journal = files
        .read(&journal_path, JOURNAL_BYTES_MAX)?
        .unwrap_or_default();
    let capture_len = files.len(&capture_path)?.unwrap_or(0);
    let mut replay = Replay::begin(files, last, &capture_path)?;
    let mut entries = Entries::new(&journal);
    let (mut at, mut utc, mut journal_good) = (last.at, last.utc, 0);
    while let Some((_, entry)) = entries.next() {
        if !replay.follow(&entry)? {
            break;
        }
        journal_good = entries.offset() as usize;
        if entry.at >= at
            && let Some(clock) = replay.clock
        {
            (at, utc) = (entry.at, clock.utc(entry.at));
        }
    }
    if let Some(mark) = last.mark {
        let marked = usize::try_from(mark.journal.len)
            .ok()
            .and_then(|len| journal.get(..len));
        if marked.map(part_of) != Some(mark.journal) {
            return Err(StoreError::RunChanged { path: journal_path });
        }
        if replay.marked != Some(mark.capture) {
            return Err(StoreError::RunChanged { path: capture_path });
        }
        let unchanged = journal.len() as u64 == mark.journal.len && capture_len == mark.capture.len;
        if last.marked && unchanged {
            return Ok(None);
        }
    }
    let (journal_part, capture) = (part_of(&journal[..journal_good]), replay.part());
    let mut ops = Vec::new();
    for (path, have, good) in [
        (capture_path, capture_len, capture.len),
        (journal_path, journal.len() as u64, journal_part.len),
    ] {
        if have != good {
            ops.push(FileOp::Truncate {
                path: path.clone(),
                len: good,
            });
        }
        ops.push(FileOp::Sync { path });
    }
    Ok(Some(Mended {
        journal: journal_part,
        capture,
        journal_cut: journal.len() as u64 - journal_part.len,
        capture_cut: capture_len - capture.len,
        at,
        utc,
        ops,
    }))
}

fn part_of(bytes: &[u8]) -> Part {
    Part {
        len: bytes.len() as u64,
        digest: sha256(bytes),
    }
}

/// The capture, read once from its start beside the journal's entries.
struct Replay<'a> {
    files: &'a dyn Files,
    path: &'a str,
    renderer: Renderer,
    clock: Option<ClockSample>,
    /// How much of the capture was followed, and the hash of it.
    at: u64,
    hash: Sha256,
    /// What was read of it from there on.
    read: Vec<u8>,
    /// How much of that was followed already.
    done: usize,
    /// The capture's length at the last mark, and what it was when that much was followed.
    mark_len: Option<u64>,
    marked: Option<Part>,
}

impl<'a> Replay<'a> {
    fn begin(files: &'a dyn Files, last: &LastRun, path: &'a str) -> Result<Self, StoreError> {
        let section = last.section();
        let (renderer, head) = Renderer::new(&section);
        let mark_len = last.mark.map(|mark| mark.capture.len);
        let (at, hash, read, done) = (0, Sha256::new(), Vec::new(), 0);
        let (clock, marked) = (None, None);
        let mut replay = Self {
            files,
            path,
            renderer,
            clock,
            at,
            hash,
            read,
            done,
            mark_len,
            marked,
        };
        replay.read_ahead(head.len())?;
        if !replay.ahead().starts_with(&head) {
            return Err(StoreError::RunChanged {
                path: path.to_owned(),
            });
        }
        replay.advance(head.len());
        Ok(replay)
    }

    /// Whether the entry, and the bytes that it points at, are whole.
    fn follow(&mut self, entry: &Entry) -> Result<bool, FileError> {
        if let Input::Clock(sample) = entry.input {
            self.clock = Some(sample);
        }
        if Packet::of(&entry.input).is_none() {
            return Ok(self.renderer.learn(entry).is_ok());
        }
        self.read_ahead(BLOCK_BYTES_MAX)?;
        let Ok(packet) = packet_at(&self.read[self.done..], CaptureOffset(self.at)) else {
            return Ok(false);
        };
        let len = packet.block_len;
        match self.renderer.replay(entry, packet.payload) {
            Ok(block) if self.ahead().starts_with(&block) && block.len() == len => {
                self.advance(len);
                Ok(true)
            }
            Ok(_) | Err(_) => Ok(false),
        }
    }

    /// What was read and not followed yet.
    fn ahead(&self) -> &[u8] {
        &self.read[self.done..]
    }

    fn read_ahead(&mut self, len: usize) -> Result<(), FileError> {
        if self.ahead().len() < len {
            self.read.drain(..self.done);
            self.done = 0;
            let from = self.at + self.read.len() as u64;
            self.read
                .extend(self.files.read_at(self.path, from, READ_BYTES)?);
        }
        Ok(())
    }

    fn advance(&mut self, len: usize) {
        self.hash.update(&self.read[self.done..][..len]);
        self.done += len;
        self.at += len as u64;
        if self.mark_len == Some(self.at) {
            self.marked = Some(self.part());
        }
    }

    fn part(&self) -> Part {
        Part {
            len: self.at,
            digest: self.hash.clone().finish(),
        }
    }
}

impl LastRun {
    fn section(&self) -> Section {
        let (observer, version) = (self.observer.clone(), self.version.clone());
        Section {
            observer,
            run: self.run,
            version,
        }
    }
}
