//! Rule `presence/heard`: when an endpoint was there.

use skep_evidence::{
    grade::Grade,
    journal::ConnId,
    record::{Body, CloseKind, Transport},
};
use skep_wire::Derived;

use crate::{
    group::Indexed,
    rule::{Rule, When, grade},
};

/// The rule.
pub const RULE: Rule = Rule {
    name: "presence/heard",
    says: "One interval a connection: from the record that it stands to the last record on it that \
           rests on something that came from the endpoint (a message, a block, its own closing). \
           First and last heard are the outer ends of these intervals.",
    does_not_show: "It does not show absence between or outside the intervals, and not that the same \
                    machine held the address in two of them.",
};

/// One connection that stood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visit {
    /// Its number in the run.
    pub conn: ConnId,
    /// How the bytes travelled.
    pub transport: Transport,
    /// When it stood first.
    pub from: When,
    /// When something last came from the endpoint on it.
    pub heard: When,
    /// When and how it ended, if that is recorded.
    pub closed: Option<(When, CloseKind)>,
    /// The highest grade recorded on it.
    pub grade: Grade,
    /// When each portion was recorded as verified on it.
    pub verified: Vec<When>,
    /// When each portion was refuted on it.
    pub refuted: Vec<When>,
}

/// Whether a record rests on something that came from the endpoint.
fn heard(body: &Body) -> bool {
    match body {
        Body::Reached { .. }
        | Body::Joined { .. }
        | Body::Extended { .. }
        | Body::ClaimedSet { .. }
        | Body::ClaimedGain { .. }
        | Body::Offers { .. }
        | Body::Refused { .. }
        | Body::Delivered { .. }
        | Body::Verified { .. }
        | Body::Refuted { .. }
        | Body::Violated { .. }
        | Body::Whole { .. }
        | Body::Closed {
            how: CloseKind::Them(_),
            ..
        } => true,
        Body::Closed { .. }
        | Body::Limited { .. }
        | Body::RunStarted { .. }
        | Body::Target { .. }
        | Body::Clock { .. }
        | Body::TrackerAsked { .. }
        | Body::TrackerAnswered { .. }
        | Body::TrackerFailed { .. }
        | Body::Listed { .. }
        | Body::Attempted { .. }
        | Body::AttemptFailed { .. }
        | Body::PieceAsked { .. }
        | Body::Mark { .. }
        | Body::Stalled { .. }
        | Body::RunCut { .. }
        | Body::RunEnded { .. }
        | Body::Unknown { .. } => false,
    }
}

/// The visits among one endpoint's records, in the order in which they began.
pub fn visits(records: &[Indexed<'_>]) -> Vec<Derived<Visit>> {
    let mut visits: Vec<Derived<Visit>> = Vec::new();
    for &entry in records {
        let Some(conn) = entry.record.body.conn() else {
            continue;
        };
        if let Body::Reached { transport, .. } = &entry.record.body {
            let when = When::from(entry);
            let visit = Visit {
                conn,
                transport: *transport,
                from: when,
                heard: when,
                closed: None,
                grade: Grade::Reached,
                verified: vec![],
                refuted: vec![],
            };
            visits.push(RULE.derive(visit, vec![entry.index]));
            continue;
        }
        let same = |visit: &&mut Derived<Visit>| {
            visit.value.conn == conn && visit.value.from.run == entry.record.run
        };
        let Some(visit) = visits.iter_mut().rev().find(same) else {
            continue;
        };
        extend(&mut visit.value, entry);
        if heard(&entry.record.body) {
            visit.inputs.truncate(1);
            visit.inputs.push(entry.index);
        }
    }
    visits
}

fn extend(visit: &mut Visit, entry: Indexed<'_>) {
    let when = When::from(entry);
    if heard(&entry.record.body) {
        visit.heard = when;
    }
    if let Some(grade) = grade::stated(&entry.record.body) {
        visit.grade = visit.grade.max(grade);
    }
    match &entry.record.body {
        Body::Verified { .. } => visit.verified.push(when),
        Body::Refuted { .. } => visit.refuted.push(when),
        Body::Closed { how, .. } => visit.closed = Some((when, *how)),
        Body::RunStarted { .. }
        | Body::Target { .. }
        | Body::Clock { .. }
        | Body::TrackerAsked { .. }
        | Body::TrackerAnswered { .. }
        | Body::TrackerFailed { .. }
        | Body::Listed { .. }
        | Body::Attempted { .. }
        | Body::AttemptFailed { .. }
        | Body::Reached { .. }
        | Body::Joined { .. }
        | Body::Extended { .. }
        | Body::ClaimedSet { .. }
        | Body::ClaimedGain { .. }
        | Body::Offers { .. }
        | Body::PieceAsked { .. }
        | Body::Refused { .. }
        | Body::Delivered { .. }
        | Body::Whole { .. }
        | Body::Violated { .. }
        | Body::Limited { .. }
        | Body::Mark { .. }
        | Body::Stalled { .. }
        | Body::RunCut { .. }
        | Body::RunEnded { .. }
        | Body::Unknown { .. } => {}
    }
}
