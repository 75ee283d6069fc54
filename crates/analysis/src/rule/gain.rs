//! Rule `gain/interval`: when an endpoint said that it gained a piece.

use skep_evidence::record::{Body, ClaimKind};
use skep_wire::{Derived, Moment, PieceIndex, Said};

use crate::{
    group::Indexed,
    rule::{Rule, When},
};

/// The rule.
pub const RULE: Rule = Rule {
    name: "gain/interval",
    says: "A `have` claims a gain between the last moment at which the endpoint was heard to say what \
           it has without that piece, and the `have`. Growth between two sets claims as many gains \
           between the two.",
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
    for (place, &entry) in records.iter().enumerate() {
        let (piece, count, since) = match &entry.record.body {
            Body::ClaimedSet {
                how: ClaimKind::UploadOnly,
                ..
            }
            | Body::ClaimedSet { gained: 0, .. } => continue,
            Body::ClaimedSet { gained, since, .. } => (None, *gained, *since),
            Body::ClaimedGain { piece, since, .. } => (Some(*piece), 1, *since),
            _ => continue,
        };
        let after = since.and_then(|since| heard_at(&records[..place], entry.record.run, since));
        gains.push(gain(piece, count, after, entry.into()));
    }
    gains
}

/// The last claim that was recorded at the moment `at` of `run`, among records in ledger order.
fn heard_at(records: &[Indexed<'_>], run: u32, at: Moment) -> Option<When> {
    let end = records.partition_point(|entry| (entry.record.run, entry.record.at) <= (run, at));
    let same = |entry: &&Indexed<'_>| (entry.record.run, entry.record.at) == (run, at);
    let claims = |entry: &&Indexed<'_>| {
        matches!(
            entry.record.body,
            Body::ClaimedSet { .. } | Body::ClaimedGain { .. }
        )
    };
    records[..end]
        .iter()
        .rev()
        .take_while(same)
        .find(claims)
        .map(|&entry| entry.into())
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
