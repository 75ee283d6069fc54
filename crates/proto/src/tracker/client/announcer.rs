//! One torrent, kept announced at its trackers.

use std::{
    collections::VecDeque,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use skep_wire::{
    Moment,
    tracker::{AnnounceEvent, AnnounceRequest},
};

use super::{Ask, NoConnection, Question, TrackerFailure, TrackerTiers};
use crate::rng::Rng;

mod asking;
mod outcome;
mod side;
mod types;

use asking::{Asking, Context};
use outcome::backoff;
use side::{Side, Tracker};
pub use types::{AddrChoice, AnnouncerConfig, Event, Mode, SideState, TrackerState, Transfer};

/// How many trackers of one torrent are asked; torrents with more name them in vain. Lists in the
/// wild have up to about a hundred.
pub const TRACKERS_MAX: usize = 128;

/// How many addresses of one tracker are tried for one announce; of each IP version, where each is
/// announced to.
pub const ADDRS_TRIED_MAX: usize = 4;

/// How long one tracker of a list may take before the next one is asked ([`Mode::Tiers`]). A UDP
/// tracker that is silent takes 105 s; several addresses and redirects, each within its own time,
/// could take a quarter of an hour, in which a list whose first tracker is hostile yields nobody.
pub const TRACKER_TIME_MAX: Duration = Duration::from_secs(150);

/// How many events wait to be polled before the oldest is dropped: an embedding that drains as it
/// must never has more than a few.
pub const EVENTS_MAX: usize = 4 * TRACKERS_MAX;

/// The longest time between two tries of a tracker that fails.
const RETRY_TIME_MAX: Duration = Duration::from_secs(3_600);

/// How long a farewell may take.
const FAREWELL_TIME_MAX: Duration = Duration::from_secs(6);

/// A way through the list (BEP 12).
#[derive(Debug)]
struct Pass {
    order: Vec<usize>,
    at: usize,
    /// Whether the tracker at this place was asked, over every side that is due.
    asked: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Before [`Announcer::start`].
    Idle,
    Running,
    /// Farewells are under way.
    Stopping,
    Stopped,
}

/// One torrent at its trackers. See the module above for whom it serves.
///
/// It is started, told of progress, completion and the end, and drained by
/// [`Announcer::poll_ask`] and [`Announcer::poll_event`] after each call.
///
/// A tracker whose name may have addresses of both IP versions has two *sides*, each announced to
/// by itself with the same key (BEP 7, "Tracker Hostname Resolution"): what one answers or fails in
/// does not touch the other. It has answered when one side has, and failed when both have.
#[derive(Debug)]
pub struct Announcer {
    config: AnnouncerConfig,
    trackers: Vec<Tracker>,
    tiers: TrackerTiers,
    rng: Rng,
    phase: Phase,
    transfer: Transfer,
    /// The download became whole while we watched.
    completed: bool,
    pass: Option<Pass>,
    /// When the next pass begins; used by [`Mode::Tiers`] only.
    pass_at: Option<Moment>,
    passes_failed: u32,
    numbers: asking::Numbers,
    asks: VecDeque<Ask>,
    events: VecDeque<Event>,
}

impl Announcer {
    /// Makes an announcer for the tiers of a torrent (BEP 12), or one tier of one tracker.
    pub fn new(config: AnnouncerConfig, tiers: &[Vec<String>], mut rng: Rng) -> Self {
        let mut trackers: Vec<Tracker> = Vec::new();
        let mut numbers = Vec::new();
        for (tier, urls) in tiers.iter().enumerate() {
            let room = TRACKERS_MAX - trackers.len();
            let from = trackers.len();
            let urls = urls.iter().take(room);
            trackers.extend(urls.map(|text| Tracker::new(text, tier, &config)));
            numbers.push((from..trackers.len()).collect());
        }
        Self {
            config,
            trackers,
            tiers: TrackerTiers::new(numbers, &mut rng),
            rng,
            phase: Phase::Idle,
            transfer: Transfer::default(),
            completed: false,
            pass: None,
            pass_at: None,
            passes_failed: 0,
            numbers: asking::Numbers::default(),
            asks: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// What is known of the trackers, by their numbers.
    pub fn trackers(&self) -> impl Iterator<Item = TrackerState> {
        self.trackers.iter().map(Tracker::state)
    }

    /// What is known of one tracker.
    pub fn tracker(&self, tracker: usize) -> Option<TrackerState> {
        self.trackers.get(tracker).map(Tracker::state)
    }

    /// What the next announces say of the transfer.
    pub fn set_transfer(&mut self, transfer: Transfer) {
        self.transfer = transfer;
    }

    /// Begins to announce.
    pub fn start(&mut self, now: Moment) {
        if self.phase != Phase::Idle {
            return;
        }
        self.phase = Phase::Running;
        self.announce_at(now);
        self.run(now);
    }

    /// The download became whole: trackers are told at once.
    pub fn complete(&mut self, now: Moment) {
        if self.phase != Phase::Running || self.completed {
            return;
        }
        self.completed = true;
        self.transfer.left = 0;
        self.announce_at(now);
        self.run(now);
    }

    /// Asks for peers ahead of time, as soon as each tracker's minimal interval allows.
    pub fn announce_soon(&mut self, now: Moment) {
        if self.phase != Phase::Running {
            return;
        }
        self.announce_at(now);
        self.run(now);
    }

    fn announce_at(&mut self, at: Moment) {
        match self.config.mode {
            Mode::Tiers => self.pass_at = Some(at),
            Mode::Every => {
                let completed = self.completed;
                for side in self.trackers.iter_mut().flat_map(|t| &mut t.sides) {
                    let urgent = side.event(completed) == AnnounceEvent::Completed;
                    let at = if urgent { at } else { at.max(side.not_before) };
                    side.next_at = Some(side.next_at.map_or(at, |next| next.min(at)));
                }
            }
        }
    }

    /// Says farewell to every tracker that knows of us, within a few seconds; then
    /// [`Announcer::is_stopped`].
    pub fn stop(&mut self, now: Moment) {
        if matches!(self.phase, Phase::Stopping | Phase::Stopped) {
            return;
        }
        self.phase = Phase::Stopping;
        (self.pass, self.pass_at) = (None, None);
        for tracker in 0..self.trackers.len() {
            let mut query = None;
            for side in 0..self.trackers[tracker].sides.len() {
                let entry = &mut self.trackers[tracker].sides[side];
                entry.next_at = None;
                if let Some((_, mut asking)) = entry.asking.take() {
                    asking.cancel(&mut self.asks);
                    // The tracker may know of us already: the answer may have been on its way.
                    entry.state.knows_us |= asking.was_sent();
                }
                if entry.state.knows_us {
                    self.ask(tracker, side, AnnounceEvent::Stopped, &mut query, now);
                }
            }
        }
        self.run(now);
    }

    /// Whether [`Announcer::stop`] was called and nothing is under way any more.
    pub fn is_stopped(&self) -> bool {
        self.phase == Phase::Stopped
    }

    /// What to do next.
    pub fn poll_ask(&mut self) -> Option<Ask> {
        self.asks.pop_front()
    }

    /// What happened next.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When to call [`Announcer::handle_timeout`] next, and for which timer.
    pub fn poll_timeout(&self) -> Option<(Moment, &'static str)> {
        let sides = || self.trackers.iter().flat_map(|tracker| &tracker.sides);
        let asking = sides().filter_map(|side| side.asking.as_ref()?.1.poll_timeout());
        let next = sides()
            .filter(|side| side.asking.is_none() && self.config.mode == Mode::Every)
            .filter_map(|side| side.next_at);
        let pass = self.pass_at.filter(|_| self.pass.is_none());
        let next = next.chain(pass).map(|at| (at, "announce"));
        asking.chain(next).min_by_key(|(at, _)| *at)
    }

    /// Tells that `now` has come.
    pub fn handle_timeout(&mut self, now: Moment) {
        self.each_asking(now, |asking, cx| asking.handle_timeout(cx));
        self.run(now);
    }

    /// A look-up was answered; `addrs` is empty if the name has none.
    pub fn handle_resolved(&mut self, query: u32, addrs: &[IpAddr], now: Moment) {
        self.each_asking(now, |asking, cx| asking.handle_resolved(query, addrs, cx));
        self.run(now);
    }

    /// A connection stands.
    pub fn handle_opened(&mut self, conn: u32, now: Moment) {
        self.each_asking(now, |asking, cx| asking.handle_opened(conn, cx));
        self.run(now);
    }

    /// A connection could not be made.
    pub fn handle_failed(&mut self, conn: u32, why: NoConnection, now: Moment) {
        self.each_asking(now, |asking, cx| asking.handle_failed(conn, why, cx));
        self.run(now);
    }

    /// Bytes came on a connection.
    pub fn handle_bytes(&mut self, conn: u32, bytes: &[u8], now: Moment) {
        self.each_asking(now, |asking, cx| asking.handle_bytes(conn, bytes, cx));
        self.run(now);
    }

    /// A connection was closed by the other end, or broke.
    pub fn handle_end(&mut self, conn: u32, now: Moment) {
        self.each_asking(now, |asking, cx| asking.handle_end(conn, cx));
        self.run(now);
    }

    /// A datagram came; returns whether it was an answer that this announcer waits for.
    pub fn handle_datagram(&mut self, remote: SocketAddr, bytes: &[u8], now: Moment) -> bool {
        let mut ours = false;
        self.each_asking(now, |asking, cx| {
            ours = ours || asking.handle_datagram(remote, bytes, cx);
        });
        self.run(now);
        ours
    }

    /// A datagram could not even be sent: there is no route to the address, or no socket for it.
    /// Where nobody says so, time does.
    pub fn handle_unsent(&mut self, remote: SocketAddr, now: Moment) {
        self.each_asking(now, |asking, cx| asking.handle_unsent(remote, cx));
        self.run(now);
    }

    fn each_asking(&mut self, now: Moment, mut f: impl FnMut(&mut Asking, &mut Context<'_>)) {
        let Self {
            trackers,
            config,
            rng,
            numbers,
            asks,
            ..
        } = self;
        let mut cx = Context {
            config,
            rng,
            numbers,
            asks,
            now,
        };
        let sides = trackers.iter_mut().flat_map(|tracker| &mut tracker.sides);
        for (_, asking) in sides.filter_map(|side| side.asking.as_mut()) {
            f(asking, &mut cx);
        }
    }

    /// Begins to ask one side of a tracker. `query` is the look-up that its sides share.
    fn ask(
        &mut self,
        tracker: usize,
        side: usize,
        event: AnnounceEvent,
        query: &mut Option<u32>,
        now: Moment,
    ) {
        let Self {
            trackers,
            config,
            rng,
            numbers,
            asks,
            transfer,
            phase,
            ..
        } = self;
        let Tracker { url, sides, .. } = &mut trackers[tracker];
        let Ok(url) = url.clone() else { return };
        // Where nobody else asks over the other version, a redirect may lead there.
        let apart = sides.len() > 1;
        let entry = &mut sides[side];
        let family = entry.state.family.filter(|_| apart);
        let request = AnnounceRequest {
            info_hash: config.info_hash,
            peer_id: config.peer_id,
            port: config.port,
            uploaded: transfer.uploaded,
            downloaded: transfer.downloaded,
            left: transfer.left,
            event,
            num_want: if event == AnnounceEvent::Stopped {
                Some(0)
            } else {
                config.num_want
            },
            key: config.key,
            ip: None,
            compact: true,
        };
        let question = Question::Announce {
            request,
            tracker_id: entry.id.clone(),
        };
        let farewell = (*phase == Phase::Stopping).then_some(FAREWELL_TIME_MAX);
        let mut cx = Context {
            config,
            rng,
            numbers,
            asks,
            now,
        };
        let connection = entry.connection;
        let asking = Asking::new(url, family, question, connection, farewell, query, &mut cx);
        entry.asking = Some((event, asking));
        entry.next_at = None;
    }

    /// Takes up outcomes and begins what is due, until nothing is left to do now.
    fn run(&mut self, now: Moment) {
        self.collect(now);
        if self.phase == Phase::Running {
            match self.config.mode {
                Mode::Tiers => self.run_pass(now),
                Mode::Every => self.run_every(now),
            }
        }
        if self.phase == Phase::Stopping && !self.trackers.iter().any(Tracker::is_asked) {
            self.phase = Phase::Stopped;
        }
    }

    fn run_every(&mut self, now: Moment) {
        for tracker in 0..self.trackers.len() {
            let is_due = |side: &Side| side.is_idle() && side.next_at.is_some_and(|at| at <= now);
            if !self.trackers[tracker].sides.iter().any(is_due) {
                continue;
            }
            let due = |side: &Side| is_due(side) || side.is_idle() && side.absent;
            let due = self.trackers[tracker].places(due);
            if self.usable(tracker) {
                self.ask_sides(tracker, &due, now);
            } else {
                self.trackers[tracker]
                    .sides
                    .iter_mut()
                    .for_each(|side| side.next_at = None);
            }
        }
        // An exchange never ends in the call that begins it, so there is nothing to collect.
    }

    fn run_pass(&mut self, now: Moment) {
        if self.pass.is_none() && self.pass_at.is_some_and(|at| at <= now) {
            self.pass_at = None;
            self.pass = Some(Pass {
                order: self.tiers.order(),
                at: 0,
                asked: false,
            });
        }
        while let Some(pass) = &mut self.pass {
            let Some(&tracker) = pass.order.get(pass.at) else {
                self.pass = None;
                let wait = backoff(self.config.retry_after, self.passes_failed);
                self.passes_failed = self.passes_failed.saturating_add(1);
                let given_up = self.trackers.iter().all(Tracker::is_given_up);
                self.pass_at = (!given_up).then_some(now + wait);
                return;
            };
            let entry = &self.trackers[tracker];
            if pass.asked {
                if entry.is_asked() {
                    return;
                }
                if entry.sides.iter().any(Side::answers) {
                    // The side that was due fails; the other one answered not long ago.
                    self.end_pass(entry.next_at(), now);
                    return;
                }
            } else if self.usable(tracker) {
                self.pass_asks(tracker, now);
                return;
            }
            if let Some(pass) = &mut self.pass {
                (pass.at, pass.asked) = (pass.at + 1, false);
            }
        }
    }

    /// The pass has come to a tracker that can be asked.
    fn pass_asks(&mut self, tracker: usize, now: Moment) {
        let entry = &self.trackers[tracker];
        let is_early = |side: &Side| {
            now < side.not_before && side.event(self.completed) == AnnounceEvent::Regular
        };
        let due = entry.places(|side| side.is_idle() && !is_early(side));
        if due.is_empty() && !entry.is_asked() {
            // It answered not long ago, and wants no more now.
            let early = entry.sides.iter().filter(|side| side.is_idle());
            let at = early.map(|side| side.not_before).min();
            return self.end_pass(at, now);
        }
        self.ask_sides(tracker, &due, now);
        if let Some(pass) = &mut self.pass {
            pass.asked = true;
        }
    }

    /// Ends a pass without a failure; the next one begins at `at`.
    fn end_pass(&mut self, at: Option<Moment>, now: Moment) {
        self.pass = None;
        self.pass_at = Some(at.unwrap_or(now + self.config.retry_after));
    }

    fn ask_sides(&mut self, tracker: usize, sides: &[usize], now: Moment) {
        let mut query = None;
        for &side in sides {
            let event = self.trackers[tracker].sides[side].event(self.completed);
            self.ask(tracker, side, event, &mut query, now);
        }
    }

    /// Whether a tracker can be asked; says once why not.
    fn usable(&mut self, tracker: usize) -> bool {
        let entry = &mut self.trackers[tracker];
        if let (Err(error), false) = (&entry.url, entry.url_said) {
            entry.url_said = true;
            let why = TrackerFailure::Url(error.clone());
            self.event(Event::Failed {
                tracker,
                remote: None,
                why,
                next_at: None,
                wholly: true,
            });
        }
        !self.trackers[tracker].is_given_up()
    }
}
