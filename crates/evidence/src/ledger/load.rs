//! Reading a whole ledger and comparing every part of it with every other.

use std::collections::BTreeSet;

use skep_hash::{
    Sha256Digest,
    tree::{Nodes as _, Tree, leaf_hash, root_at},
};

use super::{
    checkpoint::{Checkpoint, CheckpointError},
    layout::{self, CHECKPOINT, Level, PENDING, TILE_WIDTH},
    note::{NOTE_BYTES_MAX, VerifierKey},
};
use crate::{
    file::{FileError, Files},
    journal::{JournalError, unframe},
    record::RECORD_BYTES_MAX,
};

/// Greatest size of a bundle's file.
const BUNDLE_BYTES_MAX: u64 = TILE_WIDTH * (2 + RECORD_BYTES_MAX as u64);

/// Greatest size of a pending file that is read: what a commit allows, twice, and what one commit
/// may bring.
const PENDING_FILE_BYTES_MAX: u64 = 4 * super::PENDING_BYTES_MAX;

/// Greatest depth of folders below `ledger`: `tile`, level, and seven of three digits each.
const DEPTH_MAX: u32 = 12;

/// Why a ledger does not hold. Each names the part.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// The files cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A record that is too long.
    #[error("record of {got} bytes, at most {RECORD_BYTES_MAX} fit")]
    RecordTooLong {
        /// Its length.
        got: usize,
    },
    /// A file that must be there is not.
    #[error("{path} is missing")]
    Missing {
        /// The file.
        path: String,
    },
    /// The checkpoint does not hold.
    #[error("{CHECKPOINT}: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// The checkpoint is not text.
    #[error("{CHECKPOINT} is not UTF-8")]
    CheckpointText,
    /// A bundle does not split into its records.
    #[error("{path} has {got} whole records and {rest} more bytes, expected {expected} records")]
    Bundle {
        /// The file.
        path: String,
        /// Whole records at its start.
        got: u64,
        /// Bytes after them.
        rest: usize,
        /// How many records its name says.
        expected: u64,
    },
    /// A record does not have the hash that the tiles, the pending file or the checkpoint's tree
    /// have for it.
    #[error("record {index} in {path} does not have the hash that {other} has for it")]
    Record {
        /// The file.
        path: String,
        /// The record's index.
        index: u64,
        /// What it was compared with.
        other: String,
    },
    /// A tile has not the size that its name says.
    #[error("{path} has {got} bytes, expected {expected}")]
    TileLen {
        /// The file.
        path: String,
        /// Its size.
        got: usize,
        /// What its name says.
        expected: u64,
    },
    /// A hash in a tile is not that of the records below it.
    #[error("hash {at} in {path} is not that of the records")]
    Tile {
        /// The file.
        path: String,
        /// The hash's place in the tile.
        at: u64,
    },
    /// The records do not have the root that the checkpoint signs.
    #[error("the first {size} records have root {got}, the checkpoint signs {expected}")]
    Root {
        /// The checkpoint's size.
        size: u64,
        /// What the records have.
        got: Sha256Digest,
        /// What is signed.
        expected: Sha256Digest,
    },
    /// Fewer records than the checkpoint signs.
    #[error("{path} ends at record {have}, the checkpoint signs {signed}{}", because(.why))]
    Lost {
        /// The file that should hold the next one.
        path: String,
        /// How many there are.
        have: u64,
        /// How many are signed.
        signed: u64,
        /// What ended the pending file.
        why: Option<JournalError>,
    },
    /// The pending file holds fewer records than a bundle that was made from it.
    #[error("{path} holds {have} records from {first} on, a bundle has more")]
    PendingShort {
        /// The pending file.
        path: String,
        /// Index of its first record.
        first: u64,
        /// How many it holds.
        have: u64,
    },
    /// Folders are nested more deeply than any ledger's.
    #[error("{path} is nested too deeply")]
    TooDeep {
        /// The folder.
        path: String,
    },
}

fn because(why: &Option<JournalError>) -> String {
    why.as_ref()
        .map_or_else(String::new, |why| format!(": {why}"))
}

/// Everything that a ledger holds, compared.
pub(super) struct Loaded {
    pub(super) checkpoint: Checkpoint,
    pub(super) text: String,
    /// Every record's hash, signed or not.
    pub(super) tree: Tree,
    /// Index of the first record that is not in a full bundle below it.
    pub(super) first: u64,
    /// The records from there on.
    pub(super) pending: Vec<Vec<u8>>,
    /// How many bytes of the pending file hold them.
    pub(super) pending_len: u64,
    /// The pending file; `None` where the partial bundle stands for it.
    pub(super) pending_path: Option<String>,
    /// Bytes after them.
    pub(super) cut: u64,
    /// Partial tiles.
    pub(super) partials: BTreeSet<String>,
    /// Files that belong to no ledger.
    pub(super) strays: Vec<String>,
}

impl Loaded {
    pub(super) fn read(files: &dyn Files, key: &VerifierKey) -> Result<Self, LedgerError> {
        let bytes = need(files, CHECKPOINT, NOTE_BYTES_MAX as u64)?;
        let text = String::from_utf8(bytes).map_err(|_| LedgerError::CheckpointText)?;
        let checkpoint = Checkpoint::open(&text, key)?;
        let head = checkpoint.head();

        let names = files.list(PENDING)?;
        let highest = names
            .iter()
            .filter_map(|name| layout::pending_first(name))
            .max();
        let first = highest.unwrap_or(head.size / TILE_WIDTH * TILE_WIDTH);
        let mut tree = Tree::new();
        for n in 0..first / TILE_WIDTH {
            let path = layout::tile(Level::Entries, n, TILE_WIDTH);
            for record in bundle(&path, &need(files, &path, BUNDLE_BYTES_MAX)?, TILE_WIDTH)? {
                tree.push(leaf_hash(record));
            }
        }
        let rest = Rest::read(files, highest, first, head.size)?;
        for record in &rest.records {
            tree.push(leaf_hash(record));
        }
        if tree.size() < head.size {
            let (have, signed) = (tree.size(), head.size);
            return Err(LedgerError::Lost {
                path: rest.path,
                have,
                signed,
                why: rest.why,
            });
        }
        let mut loaded = Self {
            checkpoint,
            text,
            tree,
            first,
            pending: rest.records,
            pending_len: rest.len,
            pending_path: highest.map(layout::pending),
            cut: rest.cut,
            partials: BTreeSet::new(),
            strays: Vec::new(),
        };
        loaded.compare_tiles(files)?;
        let got = root_at(&loaded.tree, head.size).expect("the tree has that many leaves");
        if got != head.root {
            return Err(LedgerError::Root {
                size: head.size,
                got,
                expected: head.root,
            });
        }
        Ok(loaded)
    }

    /// Compares every file below `ledger/tile` with the records, and wants all that the checkpoint's
    /// size needs.
    fn compare_tiles(&mut self, files: &dyn Files) -> Result<(), LedgerError> {
        let mut paths = Vec::new();
        walk(files, "ledger", 0, &mut paths)?;
        for path in &paths {
            if path == CHECKPOINT || Some(path) == self.pending_path.as_ref() {
                continue;
            }
            match parse_tile(path) {
                Some((level, n, width)) if self.has(level, n, width) => {
                    self.compare(files, path, level, n, width)?;
                    if width < TILE_WIDTH {
                        self.partials.insert(path.clone());
                    }
                }
                // A tile beyond the records: its records were in a pending file that is cut.
                Some(_) if self.pending_path.is_some() => {
                    let path = layout::pending(self.first);
                    let have = self.pending.len() as u64;
                    return Err(LedgerError::PendingShort {
                        path,
                        first: self.first,
                        have,
                    });
                }
                Some(_) | None => self.strays.push(path.clone()),
            }
        }
        let present: BTreeSet<&String> = paths.iter().collect();
        for (level, n, width) in layout::tiles(self.checkpoint.head().size) {
            let path = layout::tile(level, n, width);
            if !present.contains(&path) {
                return Err(LedgerError::Missing { path });
            }
        }
        Ok(())
    }

    fn has(&self, level: Level, n: u64, width: u64) -> bool {
        let level = match level {
            Level::Entries => 0,
            Level::Hashes(level) => level,
        };
        let count = self
            .tree
            .size()
            .checked_shr(8 * u32::from(level))
            .unwrap_or(0);
        n.checked_mul(TILE_WIDTH)
            .and_then(|at| at.checked_add(width))
            .is_some_and(|end| end <= count)
    }

    fn compare(
        &self,
        files: &dyn Files,
        path: &str,
        level: Level,
        n: u64,
        width: u64,
    ) -> Result<(), LedgerError> {
        let Level::Hashes(level) = level else {
            if n < self.first / TILE_WIDTH && width == TILE_WIDTH {
                return Ok(()); // The tree was made of it.
            }
            let bytes = need(files, path, BUNDLE_BYTES_MAX)?;
            for (record, at) in bundle(path, &bytes, width)?.into_iter().zip(0..) {
                let index = n * TILE_WIDTH + at;
                if self.tree.node(0, index) != Some(leaf_hash(record)) {
                    let (path, other) = (path.to_owned(), self.holder(index));
                    return Err(LedgerError::Record { path, index, other });
                }
            }
            return Ok(());
        };
        let bytes = need(files, path, 32 * TILE_WIDTH)?;
        if bytes.len() as u64 != 32 * width {
            let (path, got, expected) = (path.to_owned(), bytes.len(), 32 * width);
            return Err(LedgerError::TileLen {
                path,
                got,
                expected,
            });
        }
        for (hash, at) in bytes.as_chunks::<32>().0.iter().zip(0..) {
            let index = n * TILE_WIDTH + at;
            if self.tree.node(8 * level, index) == Some(Sha256Digest(*hash)) {
                continue;
            }
            if level == 0 {
                let (path, other) = (self.holder(index), path.to_owned());
                return Err(LedgerError::Record { path, index, other });
            }
            return Err(LedgerError::Tile {
                path: path.to_owned(),
                at,
            });
        }
        Ok(())
    }

    /// The file that the tree has a record from.
    fn holder(&self, index: u64) -> String {
        let n = index / TILE_WIDTH;
        if index < self.first {
            layout::tile(Level::Entries, n, TILE_WIDTH)
        } else if let Some(path) = &self.pending_path {
            path.clone()
        } else {
            layout::tile(Level::Entries, n, self.pending.len() as u64)
        }
    }
}

/// The records that are in no full bundle: of the pending file, or of the partial bundle.
struct Rest {
    path: String,
    records: Vec<Vec<u8>>,
    len: u64,
    cut: u64,
    why: Option<JournalError>,
}

impl Rest {
    fn read(
        files: &dyn Files,
        highest: Option<u64>,
        first: u64,
        signed: u64,
    ) -> Result<Self, LedgerError> {
        if highest.is_some() {
            let path = layout::pending(first);
            let bytes = need(files, &path, PENDING_FILE_BYTES_MAX)?;
            let (records, len, why) = pending_records(&bytes);
            let cut = (bytes.len() - len) as u64;
            return Ok(Self {
                path,
                records,
                len: len as u64,
                cut,
                why,
            });
        }
        let width = signed - first;
        let path = layout::tile(Level::Entries, first / TILE_WIDTH, width);
        let mut records = Vec::new();
        if width > 0 {
            let bytes = need(files, &path, BUNDLE_BYTES_MAX)?;
            records = bundle(&path, &bytes, width)?
                .into_iter()
                .map(<[u8]>::to_vec)
                .collect();
        }
        Ok(Self {
            path,
            records,
            len: 0,
            cut: 0,
            why: None,
        })
    }
}

/// The whole frames at the start of a pending file, their length, and what ends them early.
pub(super) fn pending_records(bytes: &[u8]) -> (Vec<Vec<u8>>, usize, Option<JournalError>) {
    let (mut records, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        match unframe(&bytes[at..], at as u64, RECORD_BYTES_MAX) {
            Ok(record) => {
                at += crate::journal::FRAME_HEADER_LEN + record.len();
                records.push(record.to_vec());
            }
            Err(why) => return (records, at, Some(why)),
        }
    }
    (records, at, None)
}

/// The records of a bundle.
pub(super) fn bundle<'a>(
    path: &str,
    bytes: &'a [u8],
    expected: u64,
) -> Result<Vec<&'a [u8]>, LedgerError> {
    let (mut records, mut rest) = (Vec::new(), bytes);
    while let Some((len, after)) = rest.split_first_chunk::<2>()
        && let Some((record, after)) = after.split_at_checked(u16::from_be_bytes(*len).into())
    {
        records.push(record);
        rest = after;
    }
    let got = records.len() as u64;
    if got != expected || !rest.is_empty() {
        let (path, rest) = (path.to_owned(), rest.len());
        return Err(LedgerError::Bundle {
            path,
            got,
            rest,
            expected,
        });
    }
    Ok(records)
}

/// A file that must be there.
pub(super) fn need(files: &dyn Files, path: &str, len_max: u64) -> Result<Vec<u8>, LedgerError> {
    files
        .read(path, len_max)?
        .ok_or_else(|| LedgerError::Missing {
            path: path.to_owned(),
        })
}

/// Every file below a folder.
fn walk(
    files: &dyn Files,
    path: &str,
    depth: u32,
    found: &mut Vec<String>,
) -> Result<(), LedgerError> {
    if depth > DEPTH_MAX {
        return Err(LedgerError::TooDeep {
            path: path.to_owned(),
        });
    }
    for name in files.list(path)? {
        let path = format!("{path}/{name}");
        if files.len(&path)?.is_some() {
            found.push(path);
        } else {
            walk(files, &path, depth + 1, found)?;
        }
    }
    Ok(())
}

/// Level, number and width of a tile, if the path is one's.
fn parse_tile(path: &str) -> Option<(Level, u64, u64)> {
    let (level, rest) = path.strip_prefix("ledger/tile/")?.split_once('/')?;
    let level = match level {
        "entries" => Level::Entries,
        level => Level::Hashes(level.parse().ok().filter(|&level: &u8| level < 8)?),
    };
    let (index, width) = match rest.split_once(".p/") {
        Some((index, width)) => (
            index,
            width.parse().ok().filter(|&width| width < TILE_WIDTH)?,
        ),
        None => (rest, TILE_WIDTH),
    };
    let digits: String = index.chars().filter(char::is_ascii_digit).collect();
    let n = digits.parse().ok()?;
    (layout::tile(level, n, width) == path && width > 0).then_some((level, n, width))
}

/// Whether a stray file can be what an interrupted checkpoint left: an older pending file, or a file
/// that was about to be renamed.
pub(super) fn is_leftover(path: &str) -> bool {
    let old_pending = path
        .strip_prefix("ledger/pending/")
        .is_some_and(|name| layout::pending_first(name).is_some());
    old_pending || path.ends_with(".tmp")
}

/// Per level, the hashes of the tile that is not full yet, over the first `first` records.
pub(super) fn edges(tree: &Tree, first: u64) -> Vec<Vec<Sha256Digest>> {
    let mut edges = vec![Vec::new()];
    for level in 1..8_u8 {
        let count = first >> (8 * level);
        if count == 0 {
            break;
        }
        let from = count / TILE_WIDTH * TILE_WIDTH;
        let hash = |index| {
            tree.node(8 * level, index)
                .expect("a tree has its own nodes")
        };
        edges.push((from..count).map(hash).collect());
    }
    edges
}
