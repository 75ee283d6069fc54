//! What an announcer is made from and what it says.

use std::{net::SocketAddr, time::Duration};

use skep_wire::{
    InfoHash, Moment, PeerId,
    http::Url,
    tracker::{AnnounceEvent, AnnounceReply, Family},
};

use crate::tracker::client::{TrackerFailure, UdpPace};

/// Whom to announce to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// To the first tracker that answers, in the order of BEP 12: for the engine.
    Tiers,
    /// To every tracker by itself: for the observer, who wants to know what each one says.
    Every,
}

/// Which addresses of a tracker are announced to, where its name has several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddrChoice {
    /// One of each IP version, as announces of their own with results of their own (BEP 7): so
    /// peers of both versions are heard of, and both of our addresses are listed. For the engine.
    EachFamily,
    /// The first that answers, in the order of the look-up. For the observer, whose records say
    /// one question and one answer a tracker.
    FirstThatAnswers,
}

/// What an announcer is made from.
#[derive(Debug, Clone)]
pub struct AnnouncerConfig {
    /// The torrent.
    pub info_hash: InfoHash,
    /// Our peer id.
    pub peer_id: PeerId,
    /// Our listening port.
    pub port: u16,
    /// The number by which trackers know us again.
    pub key: u32,
    /// How many peers are wanted.
    pub num_want: Option<u32>,
    /// Whom to announce to.
    pub mode: Mode,
    /// What we call ourselves over HTTP.
    pub user_agent: String,
    /// The address families that we can send from. Addresses of others are not tried.
    pub families: Vec<Family>,
    /// Which addresses of a tracker are announced to.
    pub addr_choice: AddrChoice,
    /// Wished time between announces to one tracker; `None` takes the tracker's own. It is never
    /// shorter than the tracker's `min interval`, or than its interval where it names no minimum.
    pub announce_every: Option<Duration>,
    /// Time until a tracker (or, in tiers, the whole list) that failed is tried again; it doubles
    /// with each failure, up to an hour.
    pub retry_after: Duration,
    /// The retransmission of UDP.
    pub udp_pace: UdpPace,
}

impl AnnouncerConfig {
    /// Sensible values for everything but the torrent and ourselves.
    pub fn new(info_hash: InfoHash, peer_id: PeerId, port: u16) -> Self {
        Self {
            info_hash,
            peer_id,
            port,
            key: 0,
            num_want: None,
            mode: Mode::Tiers,
            user_agent: concat!("skep/", env!("CARGO_PKG_VERSION")).to_owned(),
            families: vec![Family::V4, Family::V6],
            addr_choice: AddrChoice::EachFamily,
            announce_every: None,
            retry_after: Duration::from_secs(30),
            udp_pace: UdpPace::PATIENT,
        }
    }
}

/// What we say of our transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Transfer {
    /// Bytes uploaded.
    pub uploaded: u64,
    /// Bytes downloaded.
    pub downloaded: u64,
    /// Bytes missing.
    pub left: u64,
}

/// What happened. Trackers are numbered through all tiers, in the torrent's order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A tracker answered.
    Announced {
        /// Which.
        tracker: usize,
        /// Its address.
        remote: SocketAddr,
        /// What for.
        event: AnnounceEvent,
        /// What it says.
        reply: AnnounceReply,
        /// When it is asked again.
        next_at: Option<Moment>,
    },
    /// A tracker redirects us; the announce goes on there.
    Redirected {
        /// Which.
        tracker: usize,
        /// Where to.
        url: Url,
    },
    /// A tracker could not be asked, or refused.
    Failed {
        /// Which.
        tracker: usize,
        /// Its address, if one was tried: the last one.
        remote: Option<SocketAddr>,
        /// Why.
        why: TrackerFailure,
        /// When it is asked again; `None` where only the end of the list or an event decides.
        next_at: Option<Moment>,
        /// Whether it is the tracker that fails: it neither answers over the other IP version nor
        /// is being asked over it.
        wholly: bool,
    },
}

/// What is known of one tracker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrackerState {
    /// Its URL as the torrent names it.
    pub url: String,
    /// Its tier, from 0.
    pub tier: usize,
    /// Whether it is never asked again: its URL cannot be asked, or all sides are given up.
    pub given_up: bool,
    /// Its sides: one for each IP version that is asked by itself.
    pub sides: Vec<SideState>,
}

/// What is known of a tracker over one IP version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SideState {
    /// The version; `None` where the first address that answers is taken, of either.
    pub family: Option<Family>,
    /// Failures since the last answer.
    pub failures: u32,
    /// Whether it knows of us: it answered, and was not told that we stopped.
    pub knows_us: bool,
    /// Whether it said that it is never to be asked again (BEP 31).
    pub given_up: bool,
}
