//! A session: one torrent fetched, shared, or both.
//!
//! What it is: the driver that gives `skep_proto`'s torrent machine its sockets, its files and its
//! clock, and that moves the payload, which no machine ever sees. What it is not: a place of
//! decisions; those are the machine's.
//!
//! ```text
//! sockets --readv--> piece buffer --one message a piece--> worker: SHA-1, pwrite --> "verified"
//! files  --sendfile--> sockets
//! ```
//!
//! A session owns one thread with one event loop; a second thread hashes and writes whole pieces,
//! so that the threads speak once a piece and not once a block.

mod core;
mod driver;
mod hashes;
mod link;
mod listen;
mod send;
mod stripes;
mod trackers;
mod world;

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

pub use skep_proto::torrent::PeerKey;
use skep_wire::{Block, Moment, PeerId, PieceIndex, metainfo::Metainfo};

use tokio::sync::{mpsc, watch};

use crate::{clock::RunClock, disk::DiskError};

/// What a session is to do. Start from [`SessionConfig::get`] or [`SessionConfig::seed`] and change
/// what differs.
#[derive(Clone)]
pub struct SessionConfig {
    /// The torrent.
    pub torrent: Arc<Metainfo>,
    /// Where its content lies.
    pub place: Place,
    /// Whether missing pieces are fetched and what happens afterwards.
    pub purpose: Purpose,
    /// Whether files may be overwritten that lie in the way and hold nothing of the torrent.
    pub overwrite: bool,
    /// Whether disk space is taken for all files before anything is fetched; otherwise files are sparse
    /// and grow as pieces come.
    pub preallocate: bool,
    /// The address to listen on. If it is not an unspecified address, outgoing connections leave
    /// from it too, so that several peers of one machine can be told apart. The unspecified address of IPv6
    /// listens for both IP versions, on a machine without IPv6 for IPv4.
    pub bind: IpAddr,
    /// The port to listen on; 0 lets the system choose.
    pub port: u16,
    /// Where the content is moved once everything is there; sharing goes on from there.
    pub move_when_complete: Option<Place>,
    /// Our peer id; `None` makes one up.
    pub peer_id: Option<PeerId>,
    /// What the extension handshake says as client name.
    pub client: String,
    /// The trackers to use instead of the torrent's own; empty for none.
    pub trackers: Option<Vec<Vec<String>>>,
    /// Peers to connect to besides those that others name.
    pub peers: Vec<SocketAddr>,
    /// Greatest number of payload bytes sent a second.
    pub upload_bytes_per_sec: Option<u64>,
    /// Greatest number of payload bytes received a second.
    pub download_bytes_per_sec: Option<u64>,
    /// Greatest number of connections.
    pub peers_max: usize,
    /// Greatest sum of the buffers for payload that is arriving or being written, in bytes; 3 MiB and
    /// 64 KiB for each of `peers_max` (less for pieces under 64 KiB) are always allowed.
    pub buffers_bytes_max: u64,
    /// How many peers we upload to at once, the optimistic one included.
    pub upload_slots: usize,
    /// The clock of the run; sessions that share it report comparable moments.
    pub clock: RunClock,
    /// Seed of the session's random choices; `None` takes one from the system.
    pub random_seed: Option<u64>,
    /// Who is told of everything that happens, in order, on the session's thread.
    pub events: EventSink,
}

/// Where a torrent's content lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In this folder, under the torrent's own name.
    Under(PathBuf),
    /// Exactly here, whatever the torrent's name is.
    At(PathBuf),
}

/// What a session is for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Purpose {
    /// Share what is there; fetch nothing, write nothing. Missing or wrong pieces are not offered; where
    /// there is none at all, the session ends with [`SessionError::NothingToShare`].
    Seed,
    /// Fetch what is missing, then stop when the condition holds.
    Get(SeedUntil),
}

/// How long to go on sharing once everything is there.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SeedUntil {
    /// Not at all: stop at once.
    Complete,
    /// For this long.
    Elapsed(Duration),
    /// Until that many times the content's size was uploaded.
    Ratio(f64),
    /// Until told to stop.
    Forever,
}

/// Who is told of events. The call must not block.
#[derive(Clone, Default)]
pub struct EventSink(Option<Arc<dyn Fn(Happened) + Send + Sync>>);

impl EventSink {
    /// Tells `hear` of every event.
    pub fn new(hear: impl Fn(Happened) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(hear)))
    }

    /// Tells nobody.
    pub fn none() -> Self {
        Self(None)
    }

    pub(crate) fn tell(&self, at: Moment, what: What) {
        if let Some(hear) = &self.0 {
            hear(Happened { at, what });
        }
    }
}

impl fmt::Debug for EventSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() {
            "EventSink(some)"
        } else {
            "EventSink(none)"
        })
    }
}

/// One thing that happened, and when.
#[derive(Debug, Clone, PartialEq)]
pub struct Happened {
    /// When, on the session's clock.
    pub at: Moment,
    /// What.
    pub what: What,
}

/// What happened. These are the session's own acts and what it saw: for a laboratory they are the
/// truth.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// We listen here.
    Listening {
        /// The address with the port that the system chose.
        addr: SocketAddr,
    },
    /// The content that was there has been checked.
    Checked {
        /// Pieces that are there.
        pieces_held: u32,
        /// Pieces of the torrent.
        pieces: u32,
        /// Whether the resume file was believed, so that nothing was read.
        from_resume: bool,
    },
    /// A TCP connection stands.
    Connected {
        /// The connection.
        peer: PeerKey,
        /// Our end.
        local: SocketAddr,
        /// The other end.
        remote: SocketAddr,
        /// Whether we opened it.
        outgoing: bool,
    },
    /// A TCP connection could not be made.
    ConnectFailed {
        /// Whom we tried.
        remote: SocketAddr,
        /// Why, as the system says.
        reason: String,
    },
    /// The peer's handshake came and fits.
    Opened {
        /// The connection.
        peer: PeerKey,
        /// The peer's id.
        peer_id: PeerId,
    },
    /// A block has left for a peer: the kernel took all of it.
    BlockSent {
        /// The connection.
        peer: PeerKey,
        /// The other end.
        remote: SocketAddr,
        /// The block.
        block: Block,
    },
    /// A block that we asked for came.
    BlockReceived {
        /// The connection.
        peer: PeerKey,
        /// The other end.
        remote: SocketAddr,
        /// The block.
        block: Block,
    },
    /// Our handshake has left.
    HandshakeSent {
        /// The connection.
        peer: PeerKey,
    },
    /// We said which pieces we have: `bitfield`, `have_all` or `have_none`.
    SetSent {
        /// The connection.
        peer: PeerKey,
        /// How many pieces it names.
        pieces: u32,
    },
    /// We said `have` to a peer.
    HaveSent {
        /// The connection.
        peer: PeerKey,
        /// The piece.
        piece: PieceIndex,
    },
    /// A piece has its hash, and is written.
    PieceVerified {
        /// The piece.
        piece: PieceIndex,
    },
    /// A piece does not have its hash, and all of it is fetched again.
    PieceFailed {
        /// The piece.
        piece: PieceIndex,
    },
    /// A piece does not have its hash, and a peer said the hashes of its blocks (BEP 52): these alone are
    /// fetched again.
    BlocksFailed {
        /// The piece.
        piece: PieceIndex,
        /// Its wrong blocks, ascending.
        blocks: Vec<Block>,
    },
    /// A peer will not be connected to again.
    PeerBanned {
        /// Its address.
        remote: SocketAddr,
        /// Why.
        reason: String,
    },
    /// A connection is over.
    Disconnected {
        /// The connection.
        peer: PeerKey,
        /// The other end.
        remote: SocketAddr,
        /// Why.
        reason: String,
    },
    /// A tracker answered, or did not.
    Tracker {
        /// Its address as the torrent gives it.
        url: String,
        /// How many peers it named, or what went wrong.
        outcome: Result<usize, String>,
    },
    /// A tracker fails over one IP version; over the other it answers, or is still being asked.
    TrackerPartly {
        /// Its address as the torrent gives it.
        url: String,
        /// Where it was asked, if it was.
        remote: Option<SocketAddr>,
        /// What went wrong.
        reason: String,
    },
    /// Every piece is there.
    Completed,
    /// Everything is there, but some symbolic links are not made, or some files may not be run, as the torrent says
    /// (BEP 47).
    AttributesLeft {
        /// How many.
        count: usize,
        /// The first.
        path: PathBuf,
        /// Why it is left as it is.
        reason: String,
    },
    /// The disk refused; nothing is fetched until it takes the piece.
    DiskFailed {
        /// The file.
        path: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// The disk takes pieces again.
    DiskRecovered,
    /// The disk refused to make pieces last and then turned out to have lost some: they are fetched again.
    PiecesLost {
        /// How many.
        count: u32,
    },
    /// The content lies elsewhere now.
    Moved {
        /// Where.
        place: Place,
    },
    /// The content could not be moved; it lies where it lay.
    MoveFailed {
        /// What stood in the way.
        reason: String,
    },
}

/// A session's counts at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Stats {
    /// Bytes of the torrent's content.
    pub size_bytes: u64,
    /// Bytes in verified pieces.
    pub bytes_held: u64,
    /// Pieces that are verified.
    pub pieces_held: u32,
    /// Bytes read so far by the check at the start.
    pub checked_bytes: u64,
    /// Payload bytes received in this session.
    pub downloaded_bytes: u64,
    /// Payload bytes sent in this session.
    pub uploaded_bytes: u64,
    /// Received bytes a second, over the last few seconds.
    pub download_rate: u64,
    /// Sent bytes a second, over the last few seconds.
    pub upload_rate: u64,
    /// Connections whose handshake is done.
    pub peers: usize,
    /// Those of them that say they have everything.
    pub seeds: usize,
    /// Where we listen.
    pub listen: Option<SocketAddr>,
    /// What the session is doing.
    pub phase: Phase,
}

/// What a session is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Phase {
    /// Reading what is there.
    #[default]
    Checking,
    /// Fetching what is missing.
    Getting,
    /// Sharing what is there.
    Seeding,
    /// Waiting for the disk.
    DiskWait,
    /// Over.
    Stopped,
}

/// How a session ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Ended {
    /// The last counts.
    pub stats: Stats,
    /// Whether every piece is there.
    pub complete: bool,
}

/// Greatest number of connections unless the configuration says otherwise.
pub const PEERS_MAX: usize = 200;

/// Memory for payload that is arriving or being written, unless the configuration says otherwise:
/// 256 stretches of 64 KiB, of which a batch of 64 waits, one is hashed and written, and the rest arrive.
pub const BUFFERS_BYTES_MAX: u64 = 16 << 20;

impl SessionConfig {
    /// Fetch `torrent` into `dir`, and stop when it is whole.
    pub fn get(torrent: Arc<Metainfo>, dir: impl Into<PathBuf>) -> Self {
        Self {
            torrent,
            place: Place::Under(dir.into()),
            purpose: Purpose::Get(SeedUntil::Complete),
            overwrite: false,
            preallocate: false,
            move_when_complete: None,
            bind: IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            port: 0,
            peer_id: None,
            client: concat!("skep ", env!("CARGO_PKG_VERSION")).to_owned(),
            trackers: None,
            peers: Vec::new(),
            upload_bytes_per_sec: None,
            download_bytes_per_sec: None,
            peers_max: PEERS_MAX,
            buffers_bytes_max: BUFFERS_BYTES_MAX,
            upload_slots: 8,
            clock: RunClock::start(),
            random_seed: None,
            events: EventSink::none(),
        }
    }

    /// Share the content of `torrent` that lies at `path`.
    pub fn seed(torrent: Arc<Metainfo>, path: impl Into<PathBuf>) -> Self {
        let mut config = Self::get(torrent, PathBuf::new());
        config.place = Place::At(path.into());
        config.purpose = Purpose::Seed;
        config
    }
}

/// A running session. Dropping it asks it to stop and does not wait.
#[derive(Debug)]
pub struct Session {
    listen: SocketAddr,
    commands: mpsc::UnboundedSender<Command>,
    stats: watch::Receiver<Stats>,
    thread: Option<std::thread::JoinHandle<Result<Ended, SessionError>>>,
}

/// What the owner of a session asks of it.
#[derive(Debug)]
pub(crate) enum Command {
    /// Move the content.
    Move(Place),
    /// Connect to this address, too.
    AddPeer(SocketAddr),
    /// Say goodbye to the trackers, write the resume file, end.
    Stop,
}

/// Why a session could not go on.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// We cannot listen there.
    #[error("listen on {addr}: {source}")]
    Listen {
        /// Where.
        addr: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
    /// A hybrid torrent whose two parts name different content. No bytes can have both hashes.
    #[error(
        "the torrent contradicts itself: piece {}, in {}, has its hash of version {} and not that of version {}",
        piece.0, path.display(), if *has_v1 { 1 } else { 2 }, if *has_v1 { 2 } else { 1 }
    )]
    Contradiction {
        /// The piece.
        piece: PieceIndex,
        /// The file that it lies in.
        path: PathBuf,
        /// Whether the bytes that were found have the hash of version 1.
        has_v1: bool,
    },
    /// What is to be shared is not there: none of its pieces.
    #[error("{}: 0 of {pieces} pieces are here", path.display())]
    NothingToShare {
        /// Where it should lie.
        path: PathBuf,
        /// Pieces of the torrent.
        pieces: u32,
    },
    /// The content could not be read or written.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The system refused a thread, an event loop or random numbers.
    #[error("start the session: {0}")]
    Start(std::io::Error),
}

impl Session {
    /// Binds the listening socket and starts the session's thread. Peers can connect from now on: who
    /// does so while the content is being checked waits for its handshake until that is done, and the
    /// trackers are told of us only then.
    ///
    /// # Errors
    ///
    /// [`SessionError::Listen`] if the address or port is not to be had, [`SessionError::Start`]
    /// if the system refuses a thread. What fails later comes from [`Session::join`].
    pub fn start(config: SessionConfig) -> Result<Self, SessionError> {
        let listener = listen::listen(config.bind, config.port)?;
        let listen = listener.local_addr().map_err(SessionError::Start)?;
        let (commands, inbox) = mpsc::unbounded_channel();
        let (stats_out, stats) = watch::channel(Stats::default());
        let thread = std::thread::Builder::new()
            .name("skep-session".to_owned())
            .spawn(move || driver::run(config, listener, inbox, stats_out))
            .map_err(SessionError::Start)?;
        Ok(Self {
            listen,
            commands,
            stats,
            thread: Some(thread),
        })
    }

    /// Where the session listens.
    pub fn listen_addr(&self) -> SocketAddr {
        self.listen
    }

    /// Connects to `addr`, too. Without effect on a session that is over.
    pub fn add_peer(&self, addr: SocketAddr) {
        let _ = self.commands.send(Command::AddPeer(addr));
    }

    /// The latest counts, refreshed about four times a second.
    pub fn stats(&self) -> Stats {
        self.stats.borrow().clone()
    }

    /// The counts as they change; the channel closes when the session is over.
    pub fn watch(&self) -> watch::Receiver<Stats> {
        self.stats.clone()
    }

    /// Asks the session to move its content to `place`, which may also be another name in the same
    /// folder. Fetching waits meanwhile; sharing goes on. [`What::Moved`] or [`What::MoveFailed`] tells
    /// how it ended.
    pub fn move_to(&self, place: Place) {
        let _ = self.commands.send(Command::Move(place));
    }

    /// Asks the session to end cleanly: trackers are told, the resume file is written. Returns at
    /// once; wait with [`Session::join`].
    pub fn stop(&self) {
        let _ = self.commands.send(Command::Stop);
    }

    /// Whether the session's thread has ended.
    pub fn is_over(&self) -> bool {
        self.thread
            .as_ref()
            .is_none_or(std::thread::JoinHandle::is_finished)
    }

    /// Waits until the session is over. Blocks the calling thread.
    ///
    /// # Errors
    ///
    /// What ended the session early.
    pub fn join(mut self) -> Result<Ended, SessionError> {
        let thread = self.thread.take().expect("only join takes the thread");
        thread
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.stop();
    }
}
