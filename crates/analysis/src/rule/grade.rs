//! Rule `grade/highest`: the highest grade that is recorded of an endpoint.

use std::net::SocketAddr;

use skep_evidence::{
    grade::{Claimed, Delivered, Grade, Joined, Reached, Recorded, Sentences, Verified, Whole},
    record::{Body, ClaimKind},
};
use skep_wire::Derived;

use crate::{group::Indexed, rule::Rule};

/// The rule.
pub const RULE: Rule = Rule {
    name: "grade/highest",
    says: "The highest grade that any record of the endpoint states. Listed: someone named it, or \
           we tried it in vain. Reached: a TCP connection stood. Joined: it completed a handshake for this \
           info-hash that was not an echo of ours. Claimed: it said what it has. Delivered: bytes of a \
           block that we asked for came from it. Verified: all blocks of a piece came from it on one \
           connection and hash to the torrent. Whole: the entire content did.",
    does_not_show: "It does not show that a person did anything, who used the address, or that a lower \
                    grade means innocence or a higher one guilt. It is the state of one port of one \
                    address at the recorded times, and not before or after.",
};

/// The grade that one record states, if it states one.
pub fn stated(body: &Body) -> Option<Grade> {
    match body {
        Body::Listed { .. } | Body::Attempted { .. } | Body::AttemptFailed { .. } => {
            Some(Grade::Listed)
        }
        Body::Reached { .. } => Some(Grade::Reached),
        Body::Joined { .. } => Some(Grade::Joined),
        Body::ClaimedSet { .. } | Body::ClaimedGain { .. } => Some(Grade::Claimed),
        Body::Delivered { .. } => Some(Grade::Delivered),
        Body::Verified { .. } => Some(Grade::Verified),
        Body::Whole { .. } => Some(Grade::Whole),
        Body::RunStarted { .. }
        | Body::Target { .. }
        | Body::Clock { .. }
        | Body::TrackerAsked { .. }
        | Body::TrackerAnswered { .. }
        | Body::TrackerFailed { .. }
        | Body::Extended { .. }
        | Body::Offers { .. }
        | Body::PieceAsked { .. }
        | Body::Refused { .. }
        | Body::Refuted { .. }
        | Body::Violated { .. }
        | Body::Limited { .. }
        | Body::Stalled { .. }
        | Body::RunCut { .. }
        | Body::Closed { .. }
        | Body::Mark { .. }
        | Body::RunEnded { .. }
        | Body::Unknown { .. } => None,
    }
}

/// The highest grade among `records`, resting on the first record that states it.
pub fn highest(records: &[Indexed<'_>]) -> Derived<Grade> {
    let mut best: Option<(Grade, u64)> = None;
    for entry in records {
        if let Some(grade) = stated(&entry.record.body)
            && best.is_none_or(|(known, _)| grade > known)
        {
            best = Some((grade, entry.index));
        }
    }
    let (grade, inputs) = best.map_or((Grade::Listed, vec![]), |(grade, index)| {
        (grade, vec![index])
    });
    RULE.derive(grade, inputs)
}

/// What may be said of an endpoint from the ledger alone, by the record that [`highest`] found. Of claims
/// the last one speaks: it is the share that stands beside the sentence.
pub fn statement(
    endpoint: SocketAddr,
    records: &[Indexed<'_>],
    highest: &Derived<Grade>,
) -> String {
    let of = |index: &u64| records.iter().rposition(|entry| entry.index == *index);
    let first = highest.inputs.first().and_then(of);
    let place = match highest.value {
        Grade::Claimed => records.iter().rposition(claims_pieces).or(first),
        Grade::Listed
        | Grade::Reached
        | Grade::Joined
        | Grade::Delivered
        | Grade::Verified
        | Grade::Whole => first,
    };
    let said = place.and_then(|place| recorded(&records[..=place], highest.value));
    said.unwrap_or_else(|| {
        format!("{endpoint} was named, and nothing is recorded to have come from it")
    })
}

/// Whether a record says how many pieces it claims: that it only uploads says nothing of that.
fn claims_pieces(entry: &Indexed<'_>) -> bool {
    let body = &entry.record.body;
    let is_set = |how: &ClaimKind| *how != ClaimKind::UploadOnly;
    matches!(body, Body::ClaimedGain { .. })
        || matches!(body, Body::ClaimedSet { how, .. } if is_set(how))
}

/// The sentence of the last of `records`, by way of the record that its connection stood.
fn recorded(records: &[Indexed<'_>], grade: Grade) -> Option<String> {
    fn sentence<G: Sentences>(recorded: Option<Recorded<G>>) -> Option<String> {
        recorded.map(|recorded| recorded.shows())
    }
    let Indexed { index, record } = *records.last()?;
    // Of the connections that stood, the one that the record is about; `read` compares the numbers.
    records.iter().rev().find_map(|below| {
        let reached = Recorded::<Reached>::read(below.index, below.record)?;
        match grade {
            Grade::Listed => None,
            Grade::Reached => Some(reached.shows()),
            Grade::Joined => sentence(Recorded::<Joined>::read(index, record, &reached)),
            Grade::Claimed => sentence(Recorded::<Claimed>::read(index, record, &reached)),
            Grade::Delivered => sentence(Recorded::<Delivered>::read(index, record, &reached)),
            Grade::Verified => sentence(Recorded::<Verified>::read(index, record, &reached)),
            Grade::Whole => sentence(Recorded::<Whole>::read(index, record, &reached)),
        }
    })
}
