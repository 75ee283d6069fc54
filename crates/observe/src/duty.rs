//! What a driver owes at fixed times, and how a stall is known.
//!
//! **What is due comes first.** Before any other entry, a driver that is late writes what was due: a
//! clock sample every [`CLOCK_SECS`], the outcome of every connect by its time-out. The timers of the
//! machine need no rule of their own: every entry brings the time, and does all that is due. So
//! nothing is ever judged with a tolerance, and a driver that was stopped for an hour breaks no rule:
//! whatever made it late shows in the journal as a gap, in which no entry stands though something was
//! due, and the first entry after it makes a `stalled` record.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::Duration,
};

use skep_evidence::journal::{ConnId, ConnectFailure, Entry, Input};
use skep_wire::Moment;

use crate::Fault;

/// Seconds from one clock sample to the next: drift at 500 ppm adds 5 ms to the error in them.
pub const CLOCK_SECS: u64 = 10;

/// By how many seconds the first entry after a gap must be late for the gap to be recorded as a stall.
/// Nothing else depends on it: a shorter one is not judged otherwise, only not named.
pub const STALL_SECS_MIN: u64 = 1;

/// Seconds after a stall in which the machine only listens: what came in the stall is read before
/// timers say that nothing came.
pub const HEARING_SECS: u64 = 1;

/// Within how many seconds of run time after the first entry that is not durable, at the latest, a
/// driver makes it durable with its records, before it writes any other entry.
pub const UNCOMMITTED_SECS_MAX: u64 = 2;

/// What a driver owes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Duty {
    /// A clock sample: `Input::Clock`.
    Clock,
    /// The outcome of a connect: `Input::Opened`, or `Input::Failed` with `ConnectFailure::TimedOut`.
    Outcome(ConnId),
}

/// A connect that was asked for and has no outcome.
#[derive(Debug, Clone, Copy)]
struct Connect {
    remote: SocketAddr,
    due: Moment,
}

/// What is owed in a run.
#[derive(Debug, Default)]
pub(crate) struct Duties {
    /// When the next clock sample is due, once there was one.
    clock: Option<Moment>,
    connects: BTreeMap<ConnId, Connect>,
    /// The connects by when they are due. As many as stand and are being made: `conns max`, and a few
    /// for each tracker.
    order: BTreeSet<(Moment, ConnId)>,
}

impl Duties {
    /// What is to be done first, and when. The clock, once it is overdue: so the times of all that
    /// follows rest on a sample that is younger than the delay.
    pub(crate) fn first(&self, now: Moment) -> Option<(Moment, Duty)> {
        let clock = self.clock.map(|at| (at, Duty::Clock));
        let outcome = self
            .order
            .first()
            .map(|&(at, conn)| (at, Duty::Outcome(conn)));
        clock
            .filter(|(at, _)| *at < now)
            .or_else(|| [clock, outcome].into_iter().flatten().min())
    }

    /// When the first thing is due.
    pub(crate) fn due(&self) -> Option<Moment> {
        let outcome = self.order.first().map(|(at, _)| *at);
        [self.clock, outcome].into_iter().flatten().min()
    }

    /// A connect was asked for.
    pub(crate) fn connect(&mut self, conn: ConnId, remote: SocketAddr, due: Moment) {
        self.connects.insert(conn, Connect { remote, due });
        self.order.insert((due, conn));
    }

    /// A connect has its outcome, or was given up.
    pub(crate) fn settled(&mut self, conn: ConnId) {
        if let Some(connect) = self.connects.remove(&conn) {
            self.order.remove(&(connect.due, conn));
        }
    }

    /// The clock was sampled.
    pub(crate) fn sampled(&mut self, now: Moment) {
        self.clock = Some(now + Duration::from_secs(CLOCK_SECS));
    }

    /// Judges an entry: it may stand only if nothing was due before it, or if it is what was due.
    pub(crate) fn check(&self, entry: &Entry) -> Result<(), Fault> {
        let at = entry.at;
        if let Input::Failed { conn, reason } = &entry.input
            && *reason == ConnectFailure::TimedOut
            && let Some(connect) = self.connects.get(conn)
            && at < connect.due
        {
            let (conn, due) = (*conn, connect.due);
            return Err(Fault::TimedOutEarly { conn, at, due });
        }
        let is_clock = matches!(entry.input, Input::Clock(_));
        if let Some(due) = self.clock.filter(|due| *due < at) {
            return match is_clock {
                true => Ok(()),
                false => Err(Fault::NoClockSample { at, due }),
            };
        }
        let overdue = self.order.first().filter(|(due, _)| *due < at);
        let Some(&(due, conn)) = overdue else {
            return Ok(());
        };
        let of = match entry.input {
            Input::Opened { conn, .. } | Input::Failed { conn, .. } => self.connects.get(&conn),
            _ => None,
        };
        if of.is_some_and(|connect| connect.due < at) {
            return Ok(());
        }
        let remote = self.connects.get(&conn).map(|connect| connect.remote);
        let remote = remote.expect("both hold the same connects");
        Err(Fault::NoOutcome {
            conn,
            remote,
            due,
            at,
        })
    }
}
