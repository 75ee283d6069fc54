//! Rule `tracker/answers`: which trackers were asked, and how they answered.

use skep_evidence::record::Body;
use skep_wire::Derived;

use crate::{
    group::Indexed,
    rule::{Rule, When},
};

/// The rule.
pub const RULE: Rule = Rule {
    name: "tracker/answers",
    says: "For each tracker how often it was asked, answered and failed, the greatest number of \
           endpoints in one answer, the counts that it last stated, and the last failure.",
    does_not_show: "Counts and endpoints are what the tracker says. Trackers keep peers that have left, \
                    and some mix in random addresses.",
};

/// What became of asking one tracker.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrackerAnswers {
    /// Questions.
    pub asked: u64,
    /// Answers.
    pub answered: u64,
    /// Failures.
    pub failed: u64,
    /// Greatest number of endpoints in one answer.
    pub peers_max: u32,
    /// Complete peers, as it last said.
    pub complete: Option<u32>,
    /// Incomplete peers, as it last said.
    pub incomplete: Option<u32>,
    /// When it was first asked.
    pub first: Option<When>,
    /// When it last answered.
    pub last_answer: Option<When>,
    /// The last failure.
    pub last_failure: Option<(When, String)>,
}

/// Summarises one tracker.
pub fn answers(records: &[Indexed<'_>]) -> Derived<TrackerAnswers> {
    let mut found = TrackerAnswers::default();
    let mut inputs = Vec::new();
    for &entry in records {
        let when = When::from(entry);
        match &entry.record.body {
            Body::TrackerAsked { .. } => {
                found.asked += 1;
                found.first = found.first.or(Some(when));
            }
            Body::TrackerAnswered {
                complete,
                incomplete,
                peer_count,
                ..
            } => {
                found.answered += 1;
                found.peers_max = found.peers_max.max(*peer_count);
                found.complete = complete.or(found.complete);
                found.incomplete = incomplete.or(found.incomplete);
                found.last_answer = Some(when);
            }
            Body::TrackerFailed { error, .. } => {
                found.failed += 1;
                found.last_failure = Some((when, error.clone()));
            }
            _ => continue,
        }
        inputs.push(entry.index);
    }
    RULE.derive(found, inputs)
}
