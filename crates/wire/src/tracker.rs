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
    /// Seconds until the next announce is welcome, clamped to 1..=[`INTERVAL_SECS_MAX`]; where that
    /// changed it, [`Oddity::Interval`] keeps what was said. [`INTERVAL_SECS_DEFAULT`] if missing.
    pub interval_secs: u32,
    /// Seconds below which the tracker does not want to be asked.
    pub interval_secs_min: Option<u32>,
    /// Peers that it says are complete.
    pub complete: Option<u32>,
    /// Peers that it says are not.
    pub incomplete: Option<u32>,
    /// Addresses that it names, at most [`PEERS_PER_REPLY_MAX`], in its order, as they came: a
    /// port may be 0 and an address may be nobody's.
    pub peers: Vec<SocketAddr>,
    /// `warning message`.
    pub warning: Option<String>,
    /// `external ip` (BEP 24).
    pub external_ip: Option<IpAddr>,
    /// `tracker id`, to be sent back.
    pub tracker_id: Option<Vec<u8>>,
    /// What was wrong with the reply, and mended or left out here.
    pub oddities: Vec<Oddity>,
}

/// Something in a reply that is against the rules and that the reader survives. At most
/// [`ODDITIES_PER_REPLY_MAX`] are kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Oddity {
    /// An interval that cannot be meant.
    #[error("{what} of {said} s is taken as {used} s")]
    Interval {
        /// `interval` or `min interval`.
        what: &'static str,
        /// What the tracker said.
        said: i64,
        /// What we go by.
        used: u32,
    },
    /// More addresses than are kept.
    #[error("{said} addresses are listed, the first {kept} are kept")]
    TooManyPeers {
        /// How many the reply lists.
        said: usize,
        /// How many are kept.
        kept: usize,
    },
    /// A compact list that is no whole number of addresses; the rest is left out.
    #[error("{key} has {len} bytes, no multiple of {stride}")]
    RaggedPeers {
        /// `peers` or `peers6`.
        key: &'static str,
        /// Its length.
        len: usize,
        /// Bytes per address.
        stride: usize,
    },
    /// Entries of a dictionary list that hold no address (a host name, a wrong type): left out.
    #[error("{count} listed peers have no usable address")]
    PeersWithoutAddr {
        /// How many.
        count: usize,
    },
    /// A key with a value of the wrong type or out of range: ignored.
    #[error("value of {key} is not of the expected type or range")]
    WrongValue {
        /// The key.
        key: &'static str,
    },
    /// The dictionary breaks a rule of bencode that does not hinder reading it.
    #[error("not canonical bencode")]
    NotCanonical,
}

/// How many oddities of one reply are kept: there are fewer kinds than this.
pub const ODDITIES_PER_REPLY_MAX: usize = 16;

/// How many addresses of one reply are kept. A tracker gives 50 to 200; of a reply with more the
/// first ones are kept, and [`Oddity::TooManyPeers`] says how many there were.
pub const PEERS_PER_REPLY_MAX: usize = 5_000;

/// The greatest interval that is believed: a day. A tracker that names more would silence us for
/// good with one reply.
pub const INTERVAL_SECS_MAX: u32 = 86_400;

/// The interval where a tracker names none, zero or a negative one: what most trackers say.
pub const INTERVAL_SECS_DEFAULT: u32 = 1_800;

/// How many bytes of a failure reason, warning or error message are kept.
pub const MESSAGE_LEN_MAX: usize = 512;

/// An IP version, which decides the size of addresses in compact lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// 6 bytes an endpoint.
    V4,
    /// 18 bytes an endpoint.
    V6,
}

impl Family {
    /// The family of an address.
    pub fn of(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    /// Bytes of an endpoint in a compact list.
    pub fn stride(self) -> usize {
        match self {
            Self::V4 => 6,
            Self::V6 => 18,
        }
    }
}

/// Appends an endpoint in compact form: address and port in network byte order.
pub fn put_compact(out: &mut Vec<u8>, addr: SocketAddr) {
    match addr.ip() {
        IpAddr::V4(ip) => out.extend_from_slice(&ip.octets()),
        IpAddr::V6(ip) => out.extend_from_slice(&ip.octets()),
    }
    out.extend_from_slice(&addr.port().to_be_bytes());
}

/// Reads a compact list; bytes after the last whole endpoint are left out.
pub fn compact_peers(bytes: &[u8], family: Family) -> impl Iterator<Item = SocketAddr> + '_ {
    bytes.chunks_exact(family.stride()).map(move |chunk| {
        let (ip, port) = chunk.split_at(chunk.len() - 2);
        let port = u16::from_be_bytes([port[0], port[1]]);
        let ip = match family {
            Family::V4 => IpAddr::from(<[u8; 4]>::try_from(ip).expect("stride is 4 + 2")),
            Family::V6 => IpAddr::from(<[u8; 16]>::try_from(ip).expect("stride is 16 + 2")),
        };
        SocketAddr::new(ip, port)
    })
}

/// A tracker's text as printable UTF-8: invalid bytes replaced, control characters escaped, at
/// most [`MESSAGE_LEN_MAX`] bytes read.
pub(crate) fn message_text(bytes: &[u8]) -> String {
    let bytes = &bytes[..bytes.len().min(MESSAGE_LEN_MAX)];
    let text = String::from_utf8_lossy(bytes);
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            out.extend(c.escape_default())
        } else {
            out.push(c)
        }
    }
    out
}

/// An interval that a tracker said, made usable; the second value is the oddity if it was not.
pub(crate) fn clamp_interval(what: &'static str, said: i64) -> (u32, Option<Oddity>) {
    let used = match u32::try_from(said) {
        Ok(0) => INTERVAL_SECS_DEFAULT,
        Ok(secs) => secs.min(INTERVAL_SECS_MAX),
        Err(_) if said < 0 => INTERVAL_SECS_DEFAULT,
        Err(_) => INTERVAL_SECS_MAX,
    };
    let oddity = (i64::from(used) != said).then_some(Oddity::Interval { what, said, used });
    (used, oddity)
}

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
