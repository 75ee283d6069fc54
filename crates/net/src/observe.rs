//! The live driver of the observer machine: sockets, clock, capture, journal and ledger.
//!
//! Captured bytes are appended before anything else looks at them; then the journal entry; then the
//! machine is called, and its records go to the ledger. If any of these cannot be written, the run
//! ends with [`ObserveError`]: nothing is dropped.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

/// What a run is to do.
#[derive(Debug, Clone)]
pub struct ObserveOptions {
    /// The observation's folder; made if it is not there. A second run into it continues its ledger.
    pub dir: PathBuf,
    /// The bytes of each torrent file, in target order.
    pub torrents: Vec<Vec<u8>>,
    /// The source address of everything we send, and where we listen.
    pub bind: IpAddr,
    /// The listening port, 0 for any.
    pub listen_port: u16,
    /// End the run after this long; `None` runs until [`ObserveRun::stop`].
    pub duration: Option<Duration>,
    /// The plan.
    pub plan: ObservePlan,
    /// From this the peer ids and choices are derived; `None` draws one from the system.
    pub seed: Option<[u8; 32]>,
}

/// The plan's numbers, as [`skep_observe::Config`] holds them.
#[derive(Debug, Clone)]
pub struct ObservePlan {
    /// Endpoints that the operator names (target index, endpoint).
    pub endpoints: Vec<(u32, SocketAddr)>,
    /// Pieces asked of a willing peer in one visit.
    pub pieces_per_visit: u32,
    /// Whether to fetch the whole content from a willing peer over its visits.
    pub whole: bool,
    /// Time between the end of a visit and the next one to the same endpoint.
    pub revisit: Duration,
    /// How long a visit lasts at most.
    pub visit: Duration,
    /// How long a connect may take.
    pub connect: Duration,
    /// Greatest number of connections at once.
    pub conns_max: u32,
    /// Time between announces to one tracker, unless it asks for longer.
    pub announce: Duration,
}

impl Default for ObservePlan {
    fn default() -> Self {
        Self {
            endpoints: Vec::new(),
            pieces_per_visit: 1,
            whole: false,
            revisit: Duration::from_secs(60),
            visit: Duration::from_secs(120),
            connect: Duration::from_secs(10),
            conns_max: 200,
            announce: Duration::from_secs(300),
        }
    }
}

/// What was seen so far, for display. Counted from the ledger's records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ObserveCounts {
    /// Endpoints that somebody named, or that came to us.
    pub endpoints: u32,
    /// Connections that stand now.
    pub open: u32,
    /// Endpoints that were reached at least once.
    pub reached: u32,
    /// Endpoints that joined.
    pub joined: u32,
    /// Endpoints that claimed.
    pub claimed: u32,
    /// Endpoints that delivered a block.
    pub delivered: u32,
    /// Endpoints that delivered a verified piece.
    pub verified: u32,
    /// Endpoints from which the whole content came.
    pub whole: u32,
    /// Attempts that failed.
    pub failed: u32,
    /// Tracker answers.
    pub tracker_answers: u32,
    /// Tracker failures.
    pub tracker_failures: u32,
    /// Bytes captured, both ways.
    pub captured_bytes: u64,
    /// Records that are durable.
    pub records: u64,
}

/// How a run ended.
#[derive(Debug, Clone)]
pub struct ObserveSummary {
    /// Which run of the ledger, from 1.
    pub run: u32,
    /// The last counts.
    pub counts: ObserveCounts,
}

/// Why a run could not start or go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ObserveError {
    /// No torrent was given.
    #[error("no torrent to watch")]
    NoTarget,
}

/// A run in progress, on a thread of its own. Dropping the handle stops the run.
#[derive(Debug)]
pub struct ObserveRun {}

#[allow(unused_variables, clippy::todo)]
impl ObserveRun {
    /// Starts a run; when this returns, the listening port is bound and the run's first records are
    /// durable.
    ///
    /// # Errors
    ///
    /// [`ObserveError`] if a torrent does not parse, the folder cannot be used, or a socket cannot
    /// be bound.
    pub fn start(options: ObserveOptions) -> Result<Self, ObserveError> {
        todo!("observe")
    }

    /// Where we listen.
    pub fn listen_addr(&self) -> SocketAddr {
        todo!("observe")
    }

    /// What was seen so far.
    pub fn counts(&self) -> ObserveCounts {
        todo!("observe")
    }

    /// Asks the run to end cleanly. Harmless when repeated.
    pub fn stop(&self) {
        todo!("observe")
    }

    /// Whether the run has ended.
    pub fn is_finished(&self) -> bool {
        todo!("observe")
    }

    /// Waits for the end (blocks the calling thread; in async code use `spawn_blocking`).
    ///
    /// # Errors
    ///
    /// [`ObserveError`] if the run could not go on: what was acknowledged until then is durable.
    pub fn wait(self) -> Result<ObserveSummary, ObserveError> {
        todo!("observe")
    }
}
