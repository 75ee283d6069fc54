//! One tracker, and its sides: the IP versions over which it is announced to, each by itself.

use skep_wire::{
    Moment,
    http::{Host, Url, UrlError},
    tracker::{AnnounceEvent, Family},
};

use super::{AddrChoice, AnnouncerConfig, SideState, TrackerState, asking::Asking};
use crate::tracker::client::UdpConnection;

/// One tracker as the torrent names it.
#[derive(Debug)]
pub(super) struct Tracker {
    text: String,
    tier: usize,
    pub(super) url: Result<Url, UrlError>,
    /// Whether it was said that the URL cannot be asked.
    pub(super) url_said: bool,
    /// One at least; one for each IP version where each is asked.
    pub(super) sides: Vec<Side>,
}

/// What stands between us and a tracker over one IP version (BEP 7): events heard, times, ids.
#[derive(Debug)]
pub(super) struct Side {
    pub(super) state: SideState,
    /// `tracker id`, sent back.
    pub(super) id: Option<Vec<u8>>,
    pub(super) connection: Option<UdpConnection>,
    pub(super) completed_said: bool,
    pub(super) asking: Option<(AnnounceEvent, Asking)>,
    /// When it is asked next. In [`super::Mode::Tiers`] this decides when the next pass begins.
    pub(super) next_at: Option<Moment>,
    /// Before this it does not want to be asked again without an event.
    pub(super) not_before: Moment,
    /// The name had no address of this version when it was last looked up. It is looked up again
    /// whenever the other side is asked.
    pub(super) absent: bool,
}

impl Tracker {
    pub(super) fn new(text: &str, tier: usize, config: &AnnouncerConfig) -> Self {
        let url = Url::parse(text);
        let sides = match (config.addr_choice, url.as_ref().map(|url| &url.host)) {
            (AddrChoice::FirstThatAnswers, _) | (_, Err(_)) => vec![None],
            (AddrChoice::EachFamily, Ok(Host::Addr(ip))) => {
                vec![Some(Family::of(ip.to_canonical()))]
            }
            (AddrChoice::EachFamily, Ok(Host::Name(_))) => {
                let mut families: Vec<_> = config.families.iter().copied().map(Some).collect();
                families.sort();
                families.dedup();
                // Without a family nothing can be asked, which one side says.
                if families.is_empty() {
                    vec![None]
                } else {
                    families
                }
            }
        };
        Self {
            text: text.to_owned(),
            tier,
            url,
            url_said: false,
            sides: sides.into_iter().map(Side::new).collect(),
        }
    }

    pub(super) fn state(&self) -> TrackerState {
        TrackerState {
            url: self.text.clone(),
            tier: self.tier,
            given_up: self.is_given_up(),
            sides: self.sides.iter().map(|side| side.state).collect(),
        }
    }

    /// Whether it is never asked again.
    pub(super) fn is_given_up(&self) -> bool {
        self.url.is_err() || self.sides.iter().all(|side| side.state.given_up)
    }

    /// Whether an exchange is under way.
    pub(super) fn is_asked(&self) -> bool {
        self.sides.iter().any(|side| side.asking.is_some())
    }

    /// When the first of its sides that answered is asked again.
    pub(super) fn next_at(&self) -> Option<Moment> {
        self.sides.iter().filter_map(|side| side.next_at).min()
    }

    /// The places of the sides that are so.
    pub(super) fn places(&self, is_so: impl Fn(&Side) -> bool) -> Vec<usize> {
        let sides = self.sides.iter().enumerate();
        sides
            .filter_map(|(at, side)| is_so(side).then_some(at))
            .collect()
    }

    /// All sides but one.
    pub(super) fn others(&self, side: usize) -> impl Iterator<Item = &Side> {
        let others = self.sides.iter().enumerate();
        others.filter_map(move |(at, other)| (at != side).then_some(other))
    }
}

impl Side {
    fn new(family: Option<Family>) -> Self {
        Self {
            state: SideState {
                family,
                failures: 0,
                knows_us: false,
                given_up: false,
            },
            id: None,
            connection: None,
            completed_said: false,
            asking: None,
            next_at: None,
            not_before: Moment::ZERO,
            absent: false,
        }
    }

    /// Which event it has not heard yet; `completed` is whether the download became whole.
    pub(super) fn event(&self, completed: bool) -> AnnounceEvent {
        match (self.state.knows_us, completed && !self.completed_said) {
            (false, _) => AnnounceEvent::Started,
            (true, true) => AnnounceEvent::Completed,
            (true, false) => AnnounceEvent::Regular,
        }
    }

    /// Whether it could be asked at all.
    pub(super) fn is_idle(&self) -> bool {
        self.asking.is_none() && !self.state.given_up
    }

    /// Whether the last exchange was answered.
    pub(super) fn answers(&self) -> bool {
        self.state.knows_us && self.state.failures == 0 && !self.absent
    }
}
