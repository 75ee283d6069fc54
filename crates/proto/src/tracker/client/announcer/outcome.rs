//! What exchanges came to, and what follows from it.

use std::{net::SocketAddr, time::Duration};

use skep_wire::{
    Moment,
    tracker::{AnnounceEvent, AnnounceReply, http::RetryIn},
};

use super::{
    super::{Outcome, TrackerFailure},
    Announcer, EVENTS_MAX, Event, Mode, Phase, RETRY_TIME_MAX, Side,
};

impl Announcer {
    /// Takes up what the exchanges came to.
    pub(super) fn collect(&mut self, now: Moment) {
        for tracker in 0..self.trackers.len() {
            for side in 0..self.trackers[tracker].sides.len() {
                self.collect_side(tracker, side, now);
            }
        }
    }

    fn collect_side(&mut self, tracker: usize, side: usize, now: Moment) {
        let Some((event, asking)) = &mut self.trackers[tracker].sides[side].asking else {
            return;
        };
        let event = *event;
        let (redirects, connection) = (asking.take_redirects(), asking.connection());
        let outcome = asking.poll_outcome();
        for url in redirects {
            self.event(Event::Redirected { tracker, url });
        }
        let Some((remote, outcome)) = outcome else {
            return;
        };
        let entry = &mut self.trackers[tracker].sides[side];
        entry.asking = None;
        entry.connection = connection.or(entry.connection);
        match (outcome, remote) {
            (Outcome::Announced(reply), Some(remote)) => {
                self.announced((tracker, side), remote, event, reply, now);
            }
            (Outcome::Failed(TrackerFailure::NameNotFound), None)
                if self.is_absent(tracker, side) => {}
            (Outcome::Failed(why), remote) => self.failed((tracker, side), remote, why, now),
            (Outcome::Announced(_) | Outcome::Scraped(_) | Outcome::Redirected, _) => {
                unreachable!("an announce is answered by an address, and as an announce")
            }
        }
    }

    /// The name has no address for a side: is that no failure, as it may have one for the other?
    fn is_absent(&mut self, tracker: usize, side: usize) -> bool {
        let entry = &mut self.trackers[tracker];
        entry.sides[side].absent = true;
        // Who is still being asked says so itself if it is absent, too.
        let present =
            |other: &Side| other.asking.is_some() || !other.absent && !other.state.given_up;
        entry.others(side).any(present)
    }

    fn announced(
        &mut self,
        (tracker, side): (usize, usize),
        remote: SocketAddr,
        event: AnnounceEvent,
        reply: AnnounceReply,
        now: Moment,
    ) {
        let least = reply.interval_secs_min.unwrap_or(reply.interval_secs);
        let least = Duration::from_secs(u64::from(least));
        let interval = Duration::from_secs(u64::from(reply.interval_secs));
        let wait = self
            .config
            .announce_every
            .map_or(interval.max(least), |wish| wish.max(least));
        let entry = &mut self.trackers[tracker].sides[side];
        entry.state.failures = 0;
        entry.state.knows_us = event != AnnounceEvent::Stopped;
        entry.absent = false;
        entry.completed_said |= event == AnnounceEvent::Completed;
        entry.id = reply.tracker_id.clone().or(entry.id.take());
        entry.not_before = now + least;
        // Completed while the answer was under way: that event is still to be told.
        let owes = self.completed && !entry.completed_said;
        let next_at = (self.phase == Phase::Running).then_some(if owes { now } else { now + wait });
        entry.next_at = next_at;
        if self.config.mode == Mode::Tiers {
            self.tiers.promote(tracker);
            self.pass = None;
            self.pass_at = self.trackers[tracker].next_at();
            self.passes_failed = 0;
        }
        self.event(Event::Announced {
            tracker,
            remote,
            event,
            reply,
            next_at,
        });
    }

    fn failed(
        &mut self,
        (tracker, side): (usize, usize),
        remote: Option<SocketAddr>,
        why: TrackerFailure,
        now: Moment,
    ) {
        let others = || self.trackers[tracker].others(side);
        let wholly = !others().any(|other| other.asking.is_some() || other.answers());
        let entry = &mut self.trackers[tracker].sides[side];
        let wait = match &why {
            TrackerFailure::Refused {
                retry_in: Some(RetryIn::Never),
                ..
            } => {
                entry.state.given_up = true;
                None
            }
            TrackerFailure::Refused {
                retry_in: Some(RetryIn::Minutes(minutes)),
                ..
            } => {
                let asked = Duration::from_secs(u64::from(*minutes) * 60);
                Some(asked.clamp(self.config.retry_after, RETRY_TIME_MAX))
            }
            _ => Some(backoff(self.config.retry_after, entry.state.failures)),
        };
        entry.state.failures = entry.state.failures.saturating_add(1);
        let wait = wait.filter(|_| self.phase == Phase::Running);
        // In tiers it is the end of the list that decides, or the other side.
        let next_at = match self.config.mode {
            Mode::Every => wait.map(|wait| now + wait),
            Mode::Tiers => None,
        };
        entry.next_at = next_at;
        self.event(Event::Failed {
            tracker,
            remote,
            why,
            next_at,
            wholly,
        });
    }

    pub(super) fn event(&mut self, event: Event) {
        if self.events.len() == EVENTS_MAX {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }
}

/// `first`, doubled with each failure before.
pub(super) fn backoff(first: Duration, failures: u32) -> Duration {
    first
        .saturating_mul(1 << failures.min(16))
        .min(RETRY_TIME_MAX.max(first))
}
