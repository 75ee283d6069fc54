//! The ledger: an append-only log of records in the C2SP formats, as a machine that says what to
//! write and when to sync.
//!
//! ```text
//! ledger/checkpoint                 tlog-checkpoint, a signed note (Ed25519)
//! ledger/tile/<L>/<N>[.p/<W>]       tlog-tiles: hashes, 256 a tile
//! ledger/tile/entries/<N>[.p/<W>]   tlog-tiles: records, 256 a bundle
//! ledger/pending/<first>            frames of the records from index <first> (a multiple of 256) on
//! ```
//!
//! [`Ledger::append`] gives a record its index, [`Ledger::commit`] the operations that make
//! everything appended durable. Only when all of them are done are the records acknowledged. A
//! commit appends to the pending file and syncs it; that is one write and one sync however many
//! records there are. A checkpoint moves full bundles out of the pending file:
//!
//! 1. the pending file is durable: it holds every record that is not in a full bundle;
//! 2. bundles and tiles are put in place under their names, and the names made durable;
//! 3. the checkpoint is put in place;
//! 4. a new pending file with the records after the last full bundle is put in place;
//! 5. the old pending file, and partial tiles whose full tile is there, are deleted.
//!
//! Each step begins when the one before it is durable, so whatever a crash leaves undone, the pending
//! file with the highest number holds all that no full bundle holds. Steps 2 to 5 are functions of
//! the records alone; when a crash interrupted them, the next checkpoint does them again.

mod checkpoint;
mod layout;
mod load;
mod note;
mod policy;
mod proof;
mod reader;

use std::collections::BTreeSet;

use skep_hash::{
    Sha256Digest,
    tree::{Frontier, Head, leaf_hash, root},
};

pub use checkpoint::{Checkpoint, CheckpointError};
pub use layout::{CHECKPOINT, PENDING, TILE_WIDTH};
pub use load::LedgerError;
pub use note::{
    KeyError, KeyKind, NOTE_BYTES_MAX, Note, NoteError, SIGNATURES_MAX, SigningKey, VerifierKey,
};
pub use policy::{
    POLICY_BYTES_MAX, POLICY_ITEMS_MAX, Policy, PolicyError, PolicyReport, PolicyUnmet,
};
pub use proof::{ProofError, TlogProof};
pub use reader::LedgerReader;

use self::{
    layout::{Level, folder},
    load::Loaded,
};
use crate::{
    file::{FileOp, Files},
    journal::frame,
    record::RECORD_BYTES_MAX,
};

/// Records that a pending file holds at most: a commit with more makes a checkpoint.
pub const PENDING_RECORDS_MAX: usize = 65_536;

/// Bytes of records that a pending file holds at most, likewise.
pub const PENDING_BYTES_MAX: u64 = 64 << 20;

/// What to do, and what is acknowledged when it is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// In this order.
    pub ops: Vec<FileOp>,
    /// Records below this index are durable when all are done.
    pub size: u64,
}

/// A ledger that was opened again.
#[derive(Debug)]
pub struct Recovered {
    /// The ledger; it holds every acknowledged record.
    pub ledger: Ledger,
    /// What to do before anything is appended.
    pub ops: Vec<FileOp>,
    /// Bytes cut from the end of the pending file: a torn write that was never acknowledged.
    pub cut: u64,
}

/// The writing end of a ledger.
#[derive(Debug)]
pub struct Ledger {
    key: SigningKey,
    /// The hash tree's edge over every record.
    frontier: Frontier,
    /// Per level, the hashes of the tile that is not full yet, counting full bundles only; level 0
    /// is always empty here.
    edges: Vec<Vec<Sha256Digest>>,
    /// Index of the first record in the pending file.
    first: u64,
    /// The records from there on.
    pending: Vec<Vec<u8>>,
    /// Length of the pending file once all operations handed out are done.
    pending_len: u64,
    /// Frames that no operation holds yet.
    unwritten: Vec<u8>,
    /// Partial tiles that are on disk.
    partials: BTreeSet<String>,
    /// Folders whose names are durable.
    dirs: BTreeSet<String>,
}

impl Ledger {
    /// An empty ledger whose checkpoints are signed by `key`, and how to lay it out.
    pub fn create(key: SigningKey) -> (Self, Commit) {
        let mut ledger = Self {
            key,
            frontier: Frontier::new(),
            edges: Vec::new(),
            first: 0,
            pending: Vec::new(),
            pending_len: 0,
            unwritten: Vec::new(),
            partials: BTreeSet::new(),
            dirs: BTreeSet::new(),
        };
        let mut ops = Ops::new(&mut ledger.dirs);
        ops.replace(layout::pending(0), Vec::new());
        let mut ops = ops.durable();
        ops.extend(ledger.checkpoint().ops);
        (ledger, Commit { ops, size: 0 })
    }

    /// Opens a ledger for appending.
    ///
    /// # Errors
    ///
    /// [`LedgerError`] naming the part that was changed, lost or cannot be read.
    pub fn recover(files: &dyn Files, key: SigningKey) -> Result<Recovered, LedgerError> {
        let Loaded {
            tree,
            first,
            pending,
            pending_len,
            pending_path,
            cut,
            partials,
            strays,
            ..
        } = Loaded::read(files, &key.verifier())?;
        let mut ledger = Self {
            key,
            frontier: Frontier::from_nodes(&tree, tree.size()).expect("a tree has its own leaves"),
            edges: load::edges(&tree, first),
            first,
            pending,
            pending_len,
            unwritten: Vec::new(),
            partials,
            dirs: BTreeSet::new(),
        };
        let mut ops = Vec::new();
        match pending_path {
            Some(path) if cut > 0 => {
                ops.push(FileOp::Truncate {
                    path: path.clone(),
                    len: pending_len,
                });
                ops.push(FileOp::Sync { path });
            }
            Some(_) => {}
            None => {
                let frames: Vec<u8> = ledger.pending.iter().flat_map(|one| frame(one)).collect();
                ledger.pending_len = frames.len() as u64;
                let mut put = Ops::new(&mut ledger.dirs);
                put.replace(layout::pending(first), frames);
                ops.extend(put.durable());
            }
        }
        // What an interrupted checkpoint left behind; a later crash at worst leaves it again.
        let left_behind = strays.into_iter().filter(|path| load::is_leftover(path));
        ops.extend(left_behind.map(|path| FileOp::Delete { path }));
        Ok(Recovered { ledger, ops, cut })
    }

    /// How many records there are, acknowledged or not.
    pub fn size(&self) -> u64 {
        self.frontier.size()
    }

    /// The ledger's name and key.
    pub fn key(&self) -> &SigningKey {
        &self.key
    }

    /// Appends an encoded record; returns its index.
    ///
    /// # Errors
    ///
    /// [`LedgerError::RecordTooLong`].
    pub fn append(&mut self, record: &[u8]) -> Result<u64, LedgerError> {
        if record.len() > RECORD_BYTES_MAX {
            return Err(LedgerError::RecordTooLong { got: record.len() });
        }
        self.unwritten.extend(frame(record));
        self.pending.push(record.to_vec());
        Ok(self.frontier.push(leaf_hash(record)))
    }

    /// What makes everything appended durable.
    pub fn commit(&mut self) -> Commit {
        let bytes = self.pending_len + self.unwritten.len() as u64;
        if self.pending.len() > PENDING_RECORDS_MAX || bytes > PENDING_BYTES_MAX {
            return self.checkpoint();
        }
        Commit {
            ops: self.write_pending(),
            size: self.size(),
        }
    }

    /// The same, and a signed checkpoint over all of it.
    pub fn checkpoint(&mut self) -> Commit {
        let mut ops = self.write_pending();
        let first = self.first;
        let mut tiles = Ops::new(&mut self.dirs);
        let full: Vec<Vec<u8>> = {
            let full = self.pending.len() / TILE_WIDTH as usize * TILE_WIDTH as usize;
            self.pending.drain(..full).collect()
        };
        let mut filled = Vec::new();
        for bundle in full.chunks_exact(TILE_WIDTH as usize) {
            let n = self.first / TILE_WIDTH;
            tiles.replace(
                layout::tile(Level::Entries, n, TILE_WIDTH),
                bundle_bytes(bundle),
            );
            filled.push((Level::Entries, n));
            let leaves = bundle.iter().map(|record| leaf_hash(record)).collect();
            put_full(&mut tiles, &mut self.edges, &mut filled, 0, n, leaves);
            self.first += TILE_WIDTH;
        }
        let kept: Vec<String> = put_partials(&mut tiles, &self.edges, self.first, &self.pending);
        ops.extend(tiles.durable());

        let head = Head {
            size: self.size(),
            root: self.frontier.root(),
        };
        let mut sign = Ops::new(&mut self.dirs);
        let checkpoint = Checkpoint::sign(&self.key, head).encode();
        sign.replace(layout::CHECKPOINT.to_owned(), checkpoint.into_bytes());
        ops.extend(sign.durable());

        self.partials.extend(kept);
        if self.first > first {
            let frames: Vec<u8> = self
                .pending
                .iter()
                .flat_map(|record| frame(record))
                .collect();
            self.pending_len = frames.len() as u64;
            let mut turn = Ops::new(&mut self.dirs);
            turn.replace(layout::pending(self.first), frames);
            ops.extend(turn.durable());
            ops.push(FileOp::Delete {
                path: layout::pending(first),
            });
            for (level, n) in filled {
                let prefix = format!("{}.p/", layout::tile(level, n, TILE_WIDTH));
                let (gone, kept) = std::mem::take(&mut self.partials)
                    .into_iter()
                    .partition::<BTreeSet<String>, _>(|path| path.starts_with(&prefix));
                self.partials = kept;
                ops.extend(gone.into_iter().map(|path| FileOp::Delete { path }));
            }
        }
        Commit {
            ops,
            size: self.size(),
        }
    }

    fn write_pending(&mut self) -> Vec<FileOp> {
        if self.unwritten.is_empty() {
            return Vec::new();
        }
        let (path, offset) = (layout::pending(self.first), self.pending_len);
        let bytes = std::mem::take(&mut self.unwritten);
        self.pending_len += bytes.len() as u64;
        vec![
            FileOp::Write {
                path: path.clone(),
                offset,
                bytes,
            },
            FileOp::Sync { path },
        ]
    }
}

/// Puts a full tile of hashes in place, and the tiles above that it fills.
fn put_full(
    ops: &mut Ops<'_>,
    edges: &mut Vec<Vec<Sha256Digest>>,
    filled: &mut Vec<(Level, u64)>,
    level: u8,
    n: u64,
    hashes: Vec<Sha256Digest>,
) {
    ops.replace(
        layout::tile(Level::Hashes(level), n, TILE_WIDTH),
        tile_bytes(&hashes),
    );
    filled.push((Level::Hashes(level), n));
    let above = usize::from(level) + 1;
    if edges.len() <= above {
        edges.resize(above + 1, Vec::new());
    }
    edges[above].push(root(&hashes));
    if edges[above].len() as u64 == TILE_WIDTH {
        let hashes = std::mem::take(&mut edges[above]);
        put_full(ops, edges, filled, level + 1, n / TILE_WIDTH, hashes);
    }
}

/// Puts the partial tiles of the tree's right edge in place; returns their paths.
fn put_partials(
    ops: &mut Ops<'_>,
    edges: &[Vec<Sha256Digest>],
    first: u64,
    pending: &[Vec<u8>],
) -> Vec<String> {
    let mut paths = Vec::new();
    let mut put = |level, n, width: usize, bytes| {
        let path = layout::tile(level, n, width as u64);
        paths.push(path.clone());
        ops.replace(path, bytes);
    };
    if !pending.is_empty() {
        let n = first / TILE_WIDTH;
        put(Level::Entries, n, pending.len(), bundle_bytes(pending));
        let leaves: Vec<Sha256Digest> = pending.iter().map(|record| leaf_hash(record)).collect();
        put(Level::Hashes(0), n, leaves.len(), tile_bytes(&leaves));
    }
    for (level, hashes) in edges
        .iter()
        .enumerate()
        .skip(1)
        .filter(|(_, edge)| !edge.is_empty())
    {
        let n = (first >> (8 * level)) / TILE_WIDTH;
        let level = u8::try_from(level).expect("a tree of 2^64 leaves has 8 levels of tiles");
        put(Level::Hashes(level), n, hashes.len(), tile_bytes(hashes));
    }
    paths
}

fn tile_bytes(hashes: &[Sha256Digest]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| hash.0).collect()
}

/// An entry bundle: each record behind its length in two bytes.
fn bundle_bytes(records: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for record in records {
        let len = u16::try_from(record.len()).expect("append takes at most 65,535 bytes");
        bytes.extend(len.to_be_bytes());
        bytes.extend(record);
    }
    bytes
}

/// Operations that put whole files in place, and the syncs that make their names durable.
struct Ops<'a> {
    ops: Vec<FileOp>,
    dirs: &'a mut BTreeSet<String>,
    dirty: BTreeSet<String>,
}

impl<'a> Ops<'a> {
    fn new(dirs: &'a mut BTreeSet<String>) -> Self {
        Self {
            ops: Vec::new(),
            dirs,
            dirty: BTreeSet::new(),
        }
    }

    fn replace(&mut self, path: String, bytes: Vec<u8>) {
        let dir = folder(&path).to_owned();
        if !self.dirs.contains(&dir) {
            self.ops.push(FileOp::CreateDir { path: dir.clone() });
            let mut new = &dir[..];
            while !new.is_empty() && self.dirs.insert(new.to_owned()) {
                new = folder(new);
                self.dirty.insert(new.to_owned());
            }
        }
        self.dirty.insert(dir);
        self.ops.push(FileOp::Replace { path, bytes });
    }

    fn durable(mut self) -> Vec<FileOp> {
        let syncs = self.dirty.into_iter().map(|path| FileOp::SyncDir { path });
        self.ops.extend(syncs);
        self.ops
    }
}
