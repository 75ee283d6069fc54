//! A ledger as a stranger reads it: every byte checked before the first record is given out.

use skep_hash::{
    Sha256Digest,
    tree::{Nodes as _, Tree, leaf_hash, prove_inclusion},
};

use super::{
    checkpoint::Checkpoint,
    layout::{self, CHECKPOINT, Level, TILE_WIDTH},
    load::{self, LedgerError, Loaded},
    note::VerifierKey,
    proof::TlogProof,
};
use crate::{file::Files, record::RECORD_BYTES_MAX};

/// A ledger all of whose parts agree with its checkpoint, whose signature holds.
#[derive(Debug)]
pub struct LedgerReader {
    checkpoint: Checkpoint,
    text: String,
    tree: Tree,
    first: u64,
    rest: Vec<Vec<u8>>,
    torn: u64,
    strays: Vec<String>,
}

impl LedgerReader {
    /// Reads the whole ledger below `ledger/` once and checks it: signature, root, every tile and
    /// bundle that is there, every one that must be.
    ///
    /// # Errors
    ///
    /// [`LedgerError`] naming the part.
    pub fn open(files: &dyn Files, key: &VerifierKey) -> Result<Self, LedgerError> {
        let Loaded {
            checkpoint,
            text,
            tree,
            first,
            pending,
            cut,
            strays,
            ..
        } = Loaded::read(files, key)?;
        Ok(Self {
            checkpoint,
            text,
            tree,
            first,
            rest: pending,
            torn: cut,
            strays,
        })
    }

    /// How many records the checkpoint covers.
    pub fn size(&self) -> u64 {
        self.checkpoint.head().size
    }

    /// How many more records lie in the pending file: durable, but not signed yet.
    pub fn uncovered(&self) -> u64 {
        self.tree.size() - self.size()
    }

    /// Bytes at the end of the pending file that are no record: a write that a crash has torn, or
    /// that is under way.
    pub fn torn(&self) -> u64 {
        self.torn
    }

    /// The root that the checkpoint signs.
    pub fn root(&self) -> Sha256Digest {
        self.checkpoint.head().root
    }

    /// The signed checkpoint.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The same as it stands in its file.
    pub fn checkpoint_text(&self) -> &str {
        &self.text
    }

    /// The tree over all records, covered and uncovered, for proofs.
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// Files below `ledger/` that are no part of the ledger, and of which nothing was checked.
    pub fn strays(&self) -> &[String] {
        &self.strays
    }

    /// Every record's bytes in order, covered and uncovered, read again bundle by bundle and compared
    /// with its leaf hash.
    pub fn records<'a>(
        &'a self,
        files: &'a dyn Files,
    ) -> impl Iterator<Item = Result<(u64, Vec<u8>), LedgerError>> + 'a {
        let bundles = (0..self.first / TILE_WIDTH).flat_map(move |n| {
            let read = self.bundle(files, n);
            let (records, error) = match read {
                Ok(records) => (records, None),
                Err(error) => (Vec::new(), Some(Err(error))),
            };
            let indexed = (n * TILE_WIDTH..).zip(records).map(Ok);
            indexed.chain(error)
        });
        bundles.chain((self.first..).zip(self.rest.iter().cloned()).map(Ok))
    }

    fn bundle(&self, files: &dyn Files, n: u64) -> Result<Vec<Vec<u8>>, LedgerError> {
        let path = layout::tile(Level::Entries, n, TILE_WIDTH);
        let bytes_max = TILE_WIDTH * (2 + RECORD_BYTES_MAX as u64);
        let bytes = load::need(files, &path, bytes_max)?;
        let records = load::bundle(&path, &bytes, TILE_WIDTH)?;
        for (index, record) in (n * TILE_WIDTH..).zip(&records) {
            if self.tree.node(0, index) != Some(leaf_hash(record)) {
                let other = String::from("what was read before");
                return Err(LedgerError::Record { path, index, other });
            }
        }
        Ok(records.into_iter().map(<[u8]>::to_vec).collect())
    }

    /// A proof for one record that anyone with the log's key can check offline; `None` for a record
    /// that the checkpoint does not cover.
    pub fn prove(&self, index: u64) -> Option<TlogProof> {
        let path = prove_inclusion(&self.tree, index, self.size())?;
        Some(TlogProof {
            extra: None,
            index,
            path,
            checkpoint: self.checkpoint.clone(),
        })
    }

    /// The paths (below the observation's folder) of the files that a bundle of this ledger needs,
    /// sorted: checkpoint, tiles and entry bundles, full and partial, of the checkpoint's size.
    pub fn paths(&self) -> Vec<String> {
        let tiles = layout::tiles(self.size());
        let mut paths: Vec<String> = tiles
            .into_iter()
            .map(|(level, n, width)| layout::tile(level, n, width))
            .collect();
        paths.push(CHECKPOINT.to_owned());
        paths.sort_unstable();
        paths
    }
}
