//! Rule `attempt/outcome`: every attempt to connect and what became of it. Failures are evidence.

use std::collections::BTreeMap;

use skep_evidence::{
    journal::{ConnId, ConnectFailure},
    record::Body,
};
use skep_wire::Derived;

use crate::{
    group::Indexed,
    rule::{Rule, When},
};

/// The rule.
pub const RULE: Rule = Rule {
    name: "attempt/outcome",
    says: "Attempts to connect, those that succeeded, those that failed by reason, and those without \
           a recorded outcome.",
    does_not_show: "A failed attempt does not show that nobody was there: firewalls, full peers and \
                    lost packets look the same.",
};

/// Attempts and outcomes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attempts {
    /// Attempts that we made.
    pub made: u64,
    /// Connections that stood, ours and theirs.
    pub stood: u64,
    /// Failures by reason, with the last time.
    pub failed: BTreeMap<ConnectFailure, (u64, When)>,
    /// When each attempt failed.
    pub failed_at: Vec<When>,
    /// Attempts without a recorded outcome.
    pub open: u64,
}

/// Counts the attempts.
pub fn attempts(records: &[Indexed<'_>]) -> Derived<Attempts> {
    let mut found = Attempts::default();
    let mut inputs = Vec::new();
    let mut open: BTreeMap<(u32, ConnId), ()> = BTreeMap::new();
    for &entry in records {
        let when = When::from(entry);
        match &entry.record.body {
            Body::Attempted { conn, .. } => {
                found.made += 1;
                open.insert((when.run, *conn), ());
            }
            Body::AttemptFailed { conn, reason } => {
                open.remove(&(when.run, *conn));
                let known = found.failed.entry(*reason).or_insert((0, when));
                *known = (known.0 + 1, when);
                found.failed_at.push(when);
            }
            Body::Reached { conn, .. } => {
                open.remove(&(when.run, *conn));
                found.stood += 1;
            }
            _ => continue,
        }
        inputs.push(entry.index);
    }
    found.open = open.len() as u64;
    RULE.derive(found, inputs)
}

/// A failure in words.
pub fn failure_words(reason: ConnectFailure) -> String {
    match reason {
        ConnectFailure::Refused => "refused".into(),
        ConnectFailure::TimedOut => "no answer in time".into(),
        ConnectFailure::Unreachable => "unreachable".into(),
        ConnectFailure::Local(errno) => format!("local error {errno}"),
    }
}
