//! What goes out of the machine: records, each with the time of the entry that made it, and actions.

use std::{
    collections::{BTreeSet, VecDeque},
    time::Duration,
};

use skep_evidence::{
    clock::{ClockSample, UtcInterval},
    journal::ConnId,
    record::{Body, Record, TargetIndex},
};
use skep_wire::Moment;

use crate::{action::Action, duty::Duties};

pub(crate) struct Notes {
    run: u32,
    /// The moment of the entry that is being handled.
    pub(crate) now: Moment,
    pub(crate) clock: Option<ClockSample>,
    /// What the driver owes for what it was asked.
    pub(crate) duties: Duties,
    limited: BTreeSet<(Option<TargetIndex>, Option<ConnId>, &'static str)>,
    actions: VecDeque<Action>,
    records: VecDeque<Record>,
}

impl Notes {
    pub(crate) fn new(run: u32) -> Self {
        Self {
            run,
            now: Moment::ZERO,
            clock: None,
            duties: Duties::default(),
            limited: BTreeSet::new(),
            actions: VecDeque::new(),
            records: VecDeque::new(),
        }
    }

    /// Writes a record down.
    pub(crate) fn write(&mut self, body: Body) {
        self.records.push_back(Record {
            run: self.run,
            at: self.now,
            utc: self.utc(),
            body,
            unknown: Vec::new(),
        });
    }

    /// Writes down, once for a swarm or connection, that a named limit was reached.
    pub(crate) fn limited(
        &mut self,
        target: Option<TargetIndex>,
        conn: Option<ConnId>,
        limit: &'static str,
        value: u64,
    ) {
        if self.limited.len() < LIMITED_MAX && self.limited.insert((target, conn, limit)) {
            self.write(Body::Limited {
                target,
                conn,
                limit: limit.to_owned(),
                value,
            });
        }
    }

    /// Asks the driver for something.
    pub(crate) fn act(&mut self, action: Action) {
        match &action {
            Action::Connect {
                conn,
                remote,
                timeout_ms,
            } => {
                let within = Duration::from_millis((*timeout_ms).into());
                self.duties.connect(*conn, *remote, self.now + within);
            }
            Action::Close { conn } => self.duties.settled(*conn),
            Action::Resolve { .. }
            | Action::Send { .. }
            | Action::SendTo { .. }
            | Action::Finished => {}
        }
        self.actions.push_back(action);
    }

    pub(crate) fn next_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    pub(crate) fn next_record(&mut self) -> Option<Record> {
        self.records.pop_front()
    }

    fn utc(&self) -> UtcInterval {
        let sample = self.clock.expect("the first entry is a clock sample");
        sample.utc(self.now)
    }
}

/// How many reached limits are written down in a run.
pub const LIMITED_MAX: usize = 10_000;
