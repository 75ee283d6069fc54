//! Rule `portion/recorded`: what was fetched from an endpoint, and what became of it.

use skep_evidence::record::Body;
use skep_wire::{Derived, PieceIndex};

use crate::{
    group::Indexed,
    rule::{Rule, When},
};

/// The rule.
pub const RULE: Rule = Rule {
    name: "portion/recorded",
    says: "Blocks and bytes that came from the endpoint because we asked; pieces recorded as verified \
           (all blocks on one connection, hash as in the torrent) and as refuted (hash differs, or \
           agrees by a collision attack on SHA-1).",
    does_not_show: "Read from a ledger alone it is what was recorded: recorded as verified, not hashed \
                    again here. `skep verify` hashes the retained bytes again. A refuted piece shows \
                    bad bytes, not bad faith.",
};

/// What was recorded of one piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Portion {
    /// The piece.
    pub piece: PieceIndex,
    /// When the verdict was recorded.
    pub when: When,
}

/// What was fetched.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Portions {
    /// How many pieces, or single blocks, were asked for.
    pub asked: u64,
    /// Blocks that came.
    pub blocks: u64,
    /// Bytes in them.
    pub bytes: u64,
    /// Blocks that it refused.
    pub refused: u64,
    /// Pieces recorded as verified, in ledger order; one piece may come several times.
    pub verified: Vec<Portion>,
    /// Pieces refuted.
    pub refuted: Vec<Portion>,
}

impl Portions {
    /// How many distinct pieces are recorded as verified.
    pub fn verified_distinct(&self) -> usize {
        let mut pieces: Vec<_> = self.verified.iter().map(|portion| portion.piece).collect();
        pieces.sort_unstable();
        pieces.dedup();
        pieces.len()
    }
}

/// Everything that was fetched, with the records it rests on.
pub fn portions(records: &[Indexed<'_>]) -> Derived<Portions> {
    let mut found = Portions::default();
    let mut inputs = Vec::new();
    for &entry in records {
        let when = When::from(entry);
        match &entry.record.body {
            Body::PieceAsked { .. } => found.asked += 1,
            Body::Delivered { block, .. } => {
                found.blocks += 1;
                found.bytes += u64::from(block.len);
            }
            Body::Refused { .. } => found.refused += 1,
            Body::Verified { piece, .. } => found.verified.push(Portion {
                piece: *piece,
                when,
            }),
            Body::Refuted { piece, .. } => found.refuted.push(Portion {
                piece: *piece,
                when,
            }),
            _ => continue,
        }
        inputs.push(entry.index);
    }
    RULE.derive(found, inputs)
}
