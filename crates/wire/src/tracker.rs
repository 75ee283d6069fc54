//! What a tracker is asked and what it answers, whatever the transport. The transports are
//! [`udp`] (BEP 15) and [`http`] (BEP 3, 7, 23, 48).

pub mod http;
pub mod udp;

use std::net::{IpAddr, SocketAddr};

use crate::{InfoHash, PeerId};

/// Why an announce is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AnnounceEvent {
    /// At an interval.
    Regular,
    /// The first one.
    Started,
    /// The download became whole.
    Completed,
    /// The last one.
    Stopped,
}

/// An announce. Everything in it is what the announcer says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnnounceRequest {
    /// The torrent.
    pub info_hash: InfoHash,
    /// The announcer's peer id.
    pub peer_id: PeerId,
    /// Its listening port.
    pub port: u16,
    /// Bytes uploaded.
    pub uploaded: u64,
    /// Bytes downloaded.
    pub downloaded: u64,
    /// Bytes missing.
    pub left: u64,
    /// Why.
    pub event: AnnounceEvent,
    /// How many peers are wanted; `None` leaves it to the tracker.
    pub num_want: Option<u32>,
    /// A number by which the tracker knows the announcer again when its address changes.
    pub key: u32,
    /// `ip=`: an address that the announcer claims. A claim, never believed by default.
    pub ip: Option<IpAddr>,
    /// HTTP only: whether the compact answer (BEP 23) is accepted.
    pub compact: bool,
}

/// A tracker's answer to an announce. All of it is what the tracker says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AnnounceReply {
    /// Seconds until the next announce is welcome, already clamped to sane limits.
    pub interval_secs: u32,
    /// Seconds below which the tracker does not want to be asked.
    pub interval_secs_min: Option<u32>,
    /// Peers that it says are complete.
    pub complete: Option<u32>,
    /// Peers that it says are not.
    pub incomplete: Option<u32>,
    /// Addresses that it names, at most [`PEERS_PER_REPLY_MAX`].
    pub peers: Vec<SocketAddr>,
    /// `warning message`.
    pub warning: Option<String>,
    /// `external ip` (BEP 24).
    pub external_ip: Option<IpAddr>,
    /// `tracker id`, to be sent back.
    pub tracker_id: Option<Vec<u8>>,
}

/// How many addresses of one reply are kept. A tracker gives 50 to 200; a reply with more is
/// truncated here and says so in a warning.
pub const PEERS_PER_REPLY_MAX: usize = 5_000;

/// One torrent's counts in a scrape answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ScrapeEntry {
    /// Peers that are complete.
    pub complete: u32,
    /// How often a download was completed.
    pub downloaded: u32,
    /// Peers that are not complete.
    pub incomplete: u32,
}
