//! What was seen so far, counted from the records.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

use skep_evidence::{
    grade::Grade,
    journal::ConnId,
    record::{Body, NamedBy, Record, TargetIndex},
};

use super::ObserveCounts;

/// An endpoint in a swarm; incoming ones are their own.
type Key = (Option<TargetIndex>, SocketAddr, bool);

#[derive(Debug, Default)]
pub(crate) struct Counter {
    counts: ObserveCounts,
    listed: BTreeSet<Key>,
    reached: BTreeMap<Grade, BTreeSet<Key>>,
    open: BTreeMap<ConnId, Key>,
}

impl Counter {
    /// Counts a record.
    pub(crate) fn take(&mut self, record: &Record) {
        match &record.body {
            Body::Listed {
                target,
                endpoint,
                by,
                ..
            } => {
                self.listed
                    .insert((Some(*target), *endpoint, *by == NamedBy::Incoming));
                self.counts.endpoints = self.listed.len() as u32;
            }
            Body::AttemptFailed { .. } => self.counts.failed += 1,
            Body::TrackerAnswered { .. } => self.counts.tracker_answers += 1,
            Body::TrackerFailed { .. } => self.counts.tracker_failures += 1,
            Body::Reached {
                target,
                conn,
                endpoint,
                incoming,
                ..
            } => {
                self.open.insert(*conn, (*target, *endpoint, *incoming));
                self.counts.open = self.open.len() as u32;
                self.note(Grade::Reached, *conn);
            }
            Body::Joined { target, conn, .. } => {
                if let Some(key) = self.open.get_mut(conn) {
                    key.0 = Some(*target);
                }
                self.note(Grade::Joined, *conn);
            }
            Body::ClaimedSet { conn, .. } | Body::ClaimedGain { conn, .. } => {
                self.note(Grade::Claimed, *conn);
            }
            Body::Delivered { conn, .. } => self.note(Grade::Delivered, *conn),
            Body::Verified { conn, .. } => self.note(Grade::Verified, *conn),
            Body::Whole { conn } => self.note(Grade::Whole, *conn),
            Body::Closed { conn, .. } => {
                self.open.remove(conn);
                self.counts.open = self.open.len() as u32;
            }
            Body::RunStarted { .. }
            | Body::Target { .. }
            | Body::Clock { .. }
            | Body::TrackerAsked { .. }
            | Body::Attempted { .. }
            | Body::Extended { .. }
            | Body::Offers { .. }
            | Body::PieceAsked { .. }
            | Body::Refused { .. }
            | Body::Refuted { .. }
            | Body::Violated { .. }
            | Body::Limited { .. }
            | Body::Stalled { .. }
            | Body::Mark { .. }
            | Body::RunCut { .. }
            | Body::RunEnded { .. }
            | Body::Unknown { .. } => {}
        }
    }

    /// The counts so far.
    pub(crate) fn counts(&mut self) -> &mut ObserveCounts {
        &mut self.counts
    }

    fn note(&mut self, grade: Grade, conn: ConnId) {
        let Some(&key) = self.open.get(&conn) else {
            return;
        };
        let seen = self.reached.entry(grade).or_default();
        seen.insert(key);
        let count = seen.len() as u32;
        match grade {
            Grade::Listed => {}
            Grade::Reached => self.counts.reached = count,
            Grade::Joined => self.counts.joined = count,
            Grade::Claimed => self.counts.claimed = count,
            Grade::Delivered => self.counts.delivered = count,
            Grade::Verified => self.counts.verified = count,
            Grade::Whole => self.counts.whole = count,
        }
    }
}
