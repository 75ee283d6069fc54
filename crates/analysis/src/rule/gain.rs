//! Rule `gain/interval`: when an endpoint said that it gained a piece.

use skep_evidence::{
    journal::ConnId,
    record::{Body, ClaimKind},
};
use skep_wire::{Derived, PieceIndex, Said};

use crate::{
    group::Indexed,
    rule::{Rule, When},
};

/// The rule.
pub const RULE: Rule = Rule {
    name: "gain/interval",
    says: "A `have` claims a gain between the last set that the endpoint claimed on that connection \
           (or its handshake) and the `have`. Growth between two sets claims as many gains between \
           the two.",
    does_not_show: "It is what the endpoint said, in an interval that can be long, and not that it \
                    received the piece from anyone in particular.",
};

/// A gain that was claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gain {
    /// Which piece, where it was said.
    pub piece: Option<PieceIndex>,
    /// How many pieces.
    pub count: u32,
    /// When the endpoint was last heard not to claim it; `None` if that is not among the records.
    pub after: Option<When>,
    /// When it claimed it.
    pub until: When,
}

/// Every claimed gain, in ledger order.
pub fn gains(records: &[Indexed<'_>]) -> Vec<Derived<Said<Gain>>> {
    let mut gains = Vec::new();
    // What each claim of the endpoint so far was heard on: for `have` the last set on the same
    // connection counts, for growth the moment that the record names.
    let mut sets: Vec<(ConnId, When)> = Vec::new();
    for &entry in records {
        let when = When::from(entry);
        match &entry.record.body {
            Body::Joined { conn, .. } => sets.push((*conn, when)),
            Body::ClaimedSet {
                how: ClaimKind::UploadOnly,
                ..
            } => {}
            Body::ClaimedSet {
                conn,
                gained,
                since,
                ..
            } => {
                if *gained > 0 {
                    let heard = |known: &&(ConnId, When)| {
                        known.1.run == when.run && Some(known.1.at) == *since
                    };
                    let after = sets.iter().rev().find(heard).map(|known| known.1);
                    gains.push(gain(None, *gained, after, when));
                }
                sets.push((*conn, when));
            }
            Body::ClaimedGain { conn, piece, .. } => {
                let same = |known: &&(ConnId, When)| known.0 == *conn && known.1.run == when.run;
                let after = sets.iter().rev().find(same).map(|known| known.1);
                gains.push(gain(Some(*piece), 1, after, when));
            }
            _ => {}
        }
    }
    gains
}

fn gain(
    piece: Option<PieceIndex>,
    count: u32,
    after: Option<When>,
    until: When,
) -> Derived<Said<Gain>> {
    let inputs = after
        .iter()
        .map(|after| after.index)
        .chain([until.index])
        .collect();
    RULE.derive(
        Said(Gain {
            piece,
            count,
            after,
            until,
        }),
        inputs,
    )
}
