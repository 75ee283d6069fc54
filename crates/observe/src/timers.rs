//! The deadlines of everything in the machine, in order.

use std::collections::{BTreeMap, BTreeSet};

use skep_evidence::journal::ConnId;
use skep_wire::Moment;

/// What a deadline is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    Visit(ConnId),
    Tracker(usize),
}

#[derive(Default)]
pub(crate) struct Timers {
    order: BTreeSet<(Moment, Timer)>,
    at: BTreeMap<Timer, Moment>,
}

impl Timers {
    /// Sets or clears a deadline.
    pub(crate) fn set(&mut self, timer: Timer, at: Option<Moment>) {
        if let Some(before) = self.at.remove(&timer) {
            self.order.remove(&(before, timer));
        }
        if let Some(at) = at {
            self.at.insert(timer, at);
            self.order.insert((at, timer));
        }
    }

    /// The first deadline.
    pub(crate) fn first(&self) -> Option<(Moment, Timer)> {
        self.order.first().copied()
    }

    /// Everything that is due, first the earliest.
    pub(crate) fn due(&self, now: Moment) -> Vec<Timer> {
        self.order
            .iter()
            .take_while(|(at, _)| *at <= now)
            .map(|&(_, timer)| timer)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_moved_and_cleared() {
        let (mut timers, at) = (Timers::default(), Moment::from_secs);
        timers.set(Timer::Visit(ConnId(0)), Some(at(5)));
        timers.set(Timer::Tracker(0), Some(at(3)));
        assert_eq!(timers.first(), Some((at(3), Timer::Tracker(0))));
        timers.set(Timer::Tracker(0), Some(at(9)));
        assert_eq!(timers.due(at(8)), [Timer::Visit(ConnId(0))]);
        timers.set(Timer::Visit(ConnId(0)), None);
        assert_eq!(timers.due(at(9)), [Timer::Tracker(0)]);
    }
}
