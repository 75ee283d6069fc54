//! The observer: one machine that watches swarms.
//!
//! What it is: the plan (whom to ask, whom to contact, when to come back) and the notes (records
//! with their grades), over the protocol machines of `skep-proto`. Inputs are journal entries with
//! their captured bytes; outputs are actions and records. The live driver and the verifier call the
//! same [`Observer::handle_entry`], so a replay gives the same actions and the same records.
//! What it is not: it uploads no payload (no code here can), it sends no peer exchange, and it
//! never says more than a grade allows.

use std::net::SocketAddr;

use skep_evidence::{
    journal::{ConnId, Entry, QueryId},
    record::Record,
};
use skep_wire::{Moment, metainfo::Metainfo};

/// What the operator decided before the run. Encoded canonically (bencode) into a blob that
/// `RunStarted` commits to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Which run of the ledger, from 1.
    pub run: u32,
    /// Our listening port, announced to trackers and in extension handshakes.
    pub listen_port: u16,
    /// From this the peer ids and every random choice are derived; drawn before the run.
    pub seed: [u8; 32],
    /// Endpoints that the operator names (target index, endpoint).
    pub endpoints: Vec<(u32, SocketAddr)>,
    /// Pieces asked of a willing peer in one visit.
    pub pieces_per_visit: u32,
    /// Whether to fetch the whole content from a willing peer over its visits (grade `Whole`).
    pub whole: bool,
    /// Seconds between the end of a visit and the next one to the same endpoint.
    pub revisit_secs: u32,
    /// Seconds that a visit lasts at most: how long a connection is kept to listen to haves.
    pub visit_secs: u32,
    /// Milliseconds until an unanswered connect counts as timed out.
    pub connect_ms: u32,
    /// Greatest number of connections at once.
    pub conns_max: u32,
    /// Seconds between announces to one tracker, unless it asks for longer.
    pub announce_secs: u32,
}

/// What the driver must do. Actions come in order; each has an outcome that comes back as an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Look a name up; answer with `Input::Resolved`.
    Resolve {
        /// The look-up's number.
        query: QueryId,
        /// The name.
        host: String,
    },
    /// Connect; answer with `Input::Opened` or `Input::Failed` within `timeout_ms`.
    Connect {
        /// The connection's number.
        conn: ConnId,
        /// Where to.
        remote: SocketAddr,
        /// When to give up.
        timeout_ms: u32,
    },
    /// Send on a connection; each part that the system takes comes back as `Input::Sent`.
    Send {
        /// The connection.
        conn: ConnId,
        /// What.
        bytes: Vec<u8>,
    },
    /// Close a connection. No entry for it may come after.
    Close {
        /// The connection.
        conn: ConnId,
    },
    /// Send a datagram; answer with `Input::DatagramSent`.
    SendTo {
        /// Where to.
        remote: SocketAddr,
        /// What.
        bytes: Vec<u8>,
    },
    /// The run is over: nothing more will be asked.
    Finished,
}

/// The observer machine.
#[derive(Debug)]
pub struct Observer {}

#[allow(unused_variables, clippy::todo)]
impl Observer {
    /// Starts a run. `targets` are in the order that `RunStarted` commits to.
    pub fn new(config: Config, targets: Vec<Metainfo>) -> Self {
        todo!("observe")
    }

    /// Feeds one journal entry; `bytes` are what it points at in the capture (empty where it points
    /// at nothing).
    pub fn handle_entry(&mut self, entry: &Entry, bytes: &[u8]) {
        todo!("observe")
    }

    /// What to do next.
    pub fn poll_action(&mut self) -> Option<Action> {
        todo!("observe")
    }

    /// What to write down next.
    pub fn poll_record(&mut self) -> Option<Record> {
        todo!("observe")
    }

    /// When to feed `Input::Timeout` next, and for which timer.
    pub fn poll_timeout(&self) -> Option<(Moment, &'static str)> {
        todo!("observe")
    }
}
