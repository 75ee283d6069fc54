//! The tracker client.
//!
//! What it is: [`HttpExchange`] and [`UdpExchange`], one question to one tracker over a byte stream
//! or over datagrams, and [`Announcer`], which keeps one torrent announced at all its trackers
//! (BEP 12) and says by [`Ask`] what its driver must do: look up a name, connect, send. What it is
//! not: it knows no socket and no resolver, so the engine, the simulator and the observer drive
//! the same machine, and a replay repeats it.

mod announcer;
mod http;
mod tiers;
mod udp;

use std::{net::SocketAddr, time::Duration};

use skep_wire::{
    InfoHash,
    http::{HttpError, UrlError},
    tracker::{
        AnnounceReply, AnnounceRequest, ScrapeEntry,
        http::{ReplyError, RetryIn},
    },
};

pub use announcer::{
    ADDRS_TRIED_MAX, AddrChoice, Announcer, AnnouncerConfig, EVENTS_MAX, Event, Mode, SideState,
    TRACKER_TIME_MAX, TRACKERS_MAX, TrackerState, Transfer,
};
pub use http::HttpExchange;
pub use tiers::TrackerTiers;
pub use udp::{CONNECTION_TIME_MAX, UdpConnection, UdpExchange, UdpPace};

/// What a tracker is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// An announce.
    Announce {
        /// What is announced.
        request: AnnounceRequest,
        /// The `tracker id` that this tracker gave before (HTTP only).
        tracker_id: Option<Vec<u8>>,
    },
    /// A scrape.
    Scrape {
        /// The torrents, at most [`skep_wire::tracker::udp::SCRAPE_HASHES_MAX`].
        info_hashes: Vec<InfoHash>,
    },
}

/// How an exchange ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// An announce was answered.
    Announced(AnnounceReply),
    /// A scrape was answered.
    Scraped(Vec<(InfoHash, ScrapeEntry)>),
    /// The same exchange goes on over a new connection, to [`HttpExchange::url`] as it is now.
    Redirected,
    /// Nothing came of it.
    Failed(TrackerFailure),
}

/// Why an exchange with a tracker came to nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TrackerFailure {
    /// The torrent names a URL that cannot be asked.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// The name has no address, or none of a family that we use.
    #[error("name has no usable address")]
    NameNotFound,
    /// No connection.
    #[error("no connection: {0}")]
    NotConnected(NoConnection),
    /// No whole answer within the time that we give.
    #[error("no answer within {secs} s")]
    TimedOut {
        /// How long we waited.
        secs: u64,
    },
    /// What came is not the HTTP that trackers speak.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// An HTTP status other than 200.
    #[error("http status {status}")]
    Status {
        /// The code.
        status: u16,
    },
    /// The connection carried more bytes than any reply needs.
    #[error("answer exceeds {limit} bytes on the wire")]
    TooMuch {
        /// The limit.
        limit: u64,
    },
    /// A redirect without a usable `Location`.
    #[error("redirect names no usable url")]
    RedirectUrl,
    /// A redirect to a URL where this exchange already was.
    #[error("redirected in a circle, to {url}")]
    RedirectCircle {
        /// The URL.
        url: String,
    },
    /// Too many redirects.
    #[error("more than {limit} redirects")]
    TooManyRedirects {
        /// The limit.
        limit: usize,
    },
    /// The body is no reply.
    #[error(transparent)]
    Reply(#[from] ReplyError),
    /// The tracker refused.
    #[error("tracker refuses: {reason}")]
    Refused {
        /// Its words.
        reason: String,
        /// When to come back (BEP 31).
        retry_in: Option<RetryIn>,
    },
    /// The URL has no scrape URL (BEP 48).
    #[error("tracker url has no scrape url")]
    NoScrape,
    /// A reply over UDP whose kind is not that of the request.
    #[error("udp reply of another kind than the request")]
    WrongKind,
}

/// Why there is no connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum NoConnection {
    /// Nothing listens there.
    #[error("refused")]
    Refused,
    /// No answer in time.
    #[error("timed out")]
    TimedOut,
    /// Network or host unreachable.
    #[error("unreachable")]
    Unreachable,
    /// A local error, by its number (`errno`).
    #[error("local error {0}")]
    Local(i32),
}

/// What the driver must do, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// Look a name up; answer with [`Announcer::handle_resolved`].
    Resolve {
        /// The look-up's number, ascending from 0 in each announcer.
        query: u32,
        /// The name.
        host: String,
    },
    /// Connect; answer with [`Announcer::handle_opened`] or [`Announcer::handle_failed`].
    Connect {
        /// The connection's number, ascending from 0 in each announcer.
        conn: u32,
        /// Where to.
        remote: SocketAddr,
        /// When to give up.
        timeout: Duration,
    },
    /// Send on a connection that stands.
    Send {
        /// The connection.
        conn: u32,
        /// What.
        bytes: Vec<u8>,
    },
    /// Close a connection, or stop trying to make it. Nothing of it is expected after.
    Close {
        /// The connection.
        conn: u32,
    },
    /// Send a datagram. The answer comes by [`Announcer::handle_datagram`] from the same address;
    /// where it cannot be sent at all, [`Announcer::handle_unsent`] saves waiting for one.
    SendTo {
        /// Where to.
        remote: SocketAddr,
        /// What.
        bytes: Vec<u8>,
    },
}

/// How many redirects one exchange follows. Browsers follow 20; a tracker that moved needs one.
pub const REDIRECTS_MAX: usize = 5;

/// How many bytes one answer may take on the wire, heads and chunk sizes included: twice the
/// greatest body, so that chunks of one byte do not keep us reading for ever.
pub const ANSWER_WIRE_LEN_MAX: u64 = 2 * skep_wire::http::BODY_LEN_MAX as u64;

/// How long an HTTP exchange may take once it is connected, each redirect anew.
pub const HTTP_TIME_MAX: Duration = Duration::from_secs(60);

/// How long a connection to a tracker may take to stand.
pub const CONNECT_TIME_MAX: Duration = Duration::from_secs(15);

/// How long a look-up may take.
pub const RESOLVE_TIME_MAX: Duration = Duration::from_secs(20);
