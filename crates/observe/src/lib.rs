//! The observer: one machine that watches swarms.
//!
//! What it is: the plan (whom to ask, whom to contact, when to come back) and the notes (records
//! with their grades), over the protocol machines of `skep-proto`. Inputs are journal entries with
//! their captured bytes; outputs are actions and records. The live driver and the verifier call the
//! same [`Observer::handle_entry`], so a replay gives the same actions and the same records.
//! What it is not: it uploads no payload (no code here can), it sends no peer exchange, and it
//! never says more than a grade allows.
//!
//! # Order of records
//!
//! The ledger of a run is, in this order:
//!
//! 1. `RunStarted`, made by the driver before the first entry: it commits to the configuration
//!    ([`Config::encode`]) and to the torrent files, in target order.
//! 2. For every journal entry, in journal order, the records that [`Observer::poll_record`] gives
//!    after [`Observer::handle_entry`] of that entry, in the order in which it gives them. Each bears
//!    the moment of its entry; most entries make none. The first entry is a clock sample, and makes
//!    `Clock` and then a `Target` for each target.
//! 3. Between the records of one entry and those of the next, any number of `Mark`s, made by the
//!    driver. The journal length of a mark ends with the last entry before it, and the mark has the
//!    moment of that entry.
//! 4. Last, after the entry that ends the run, `RunEnded` from the machine and a `Mark`. A run that
//!    a crash cut has neither `RunEnded`, but `RunCut` and a `Mark`, made when it was opened again.
//!
//! So nothing but the number and places of the marks is free, and a verifier that feeds the journal
//! to [`Replay`] must get every other record of the run, byte for byte.
//!
//! # What a driver owes
//!
//! - **What is due comes first.** `Clock` every [`CLOCK_SECS`], and the outcome of each `Connect` by
//!   its time-out ([`Observer::poll_duty`]), before any entry that bears a later moment. What else is
//!   due the machine does at whatever entry comes. A driver that was stalled thus breaks no rule, and
//!   its stall shows: a gap without entries though something was due, which makes a `Stalled` record.
//! - `ConnectFailure::TimedOut` is never said before the time-out.
//! - What is not durable yet is made durable, with its records, before an entry that is
//!   [`UNCOMMITTED_SECS_MAX`] or more after the first that is not.
//! - It drains records and actions to the end after each entry, and carries actions out in order.
//! - `Connect` is answered by `Opened` or `Failed`, unless `Close` for it came before.
//! - After `Close` for a connection, and after an `Ended` for it, no entry names it any more.
//! - Bytes are given to the machine in the order of their stream, at most [`ENTRY_BYTES_MAX`] at
//!   once, and an entry's moment is never before that of the one before it.
//! - Our end of every connection and datagram has the address that the plan binds to, if it names one,
//!   and of a connection that came in the planned listening port.
//! - `Timeout` is fed when the moment of [`Observer::poll_timeout`] has come and nothing else came.
//!
//! An entry that breaks any of this is a [`Fault`].

mod action;
mod allowance;
pub mod config;
mod desk;
mod duty;
mod fault;
mod fetch;
mod graded;
mod identity;
mod notes;
mod observer;
mod replay;
mod stream;
mod swarm;
mod talk;
mod timers;
mod visit;

use skep_hash::Sha256Digest;
use skep_wire::{
    InfoHash, InfoHashV2, PieceIndex, PieceSizes,
    metainfo::{Metainfo, PieceHashes},
};

pub use action::Action;
pub use allowance::{
    ADDRS_ACCOUNTED_MAX, FAULT_PAUSE_SECS, FAULTS_PER_ADDR_MAX, UNASKED_PER_ADDR_MAX,
    UNASKED_PER_ADDR_PER_SEC, UNASKED_PER_RUN_MAX, UNASKED_PER_RUN_PER_SEC,
};
pub use config::{Config, ConfigError};
pub use desk::{PEERS_WANTED, TRACKER_RETRY_SECS, TRACKERS_PER_TARGET_MAX};
pub use duty::{CLOCK_SECS, Duty, HEARING_SECS, STALL_SECS_MIN, UNCOMMITTED_SECS_MAX};
pub use fault::Fault;
pub use fetch::{
    BLOCKS_OUTSTANDING_MAX, FETCH_BYTES_MAX, FETCH_STALL_SECS_MAX, PIECES_UNDER_WAY_MAX,
};
pub use identity::CLIENT_PREFIX;
pub use notes::LIMITED_MAX;
pub use observer::{DATAGRAMS_WAITING_MAX, ENTRY_BYTES_MAX, FAREWELL_SECS_MAX, Observer};
pub use replay::{Replay, Step};
pub use swarm::{
    BACKOFF_SECS_MAX, ENDPOINTS_PER_TARGET_MAX, NAMED_AGAIN_SECS, NAMERS_PER_ENDPOINT_MAX,
};
pub use talk::{
    BYTES_UNASKED_MAX, PEX_NAMED_PER_CONN_MAX, READS_UNASKED_MAX, REFUSALS_PER_VISIT_MAX,
};
pub use visit::{LINGER_SECS_MAX, PIECE_PAUSE_SECS_MAX};

/// A swarm to watch: a torrent under one of its names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The torrent's place in the run's list, from 0.
    pub place: u32,
    /// SHA-256 of the torrent file's bytes.
    pub torrent: Sha256Digest,
    /// The torrent.
    pub metainfo: Metainfo,
    /// By which info-hash the swarm is known on the wire.
    pub info_hash: InfoHash,
}

impl Target {
    /// Every swarm of a torrent: one, or of a hybrid that of version 1 and then that of version 2, each with
    /// its own trackers' answers and endpoints. `place` is the torrent's in the run's list, from 0;
    /// `torrent` the SHA-256 of its file.
    pub fn all(place: u32, torrent: Sha256Digest, metainfo: &Metainfo) -> Vec<Self> {
        let target = |info_hash| Self {
            place,
            torrent,
            metainfo: metainfo.clone(),
            info_hash,
        };
        metainfo.info_hashes().map(target).collect()
    }

    /// Whether it is the swarm of version 2, in which a piece ends with its file.
    pub fn is_v2(&self) -> bool {
        let v2 = self.metainfo.info_hash_v2.map(InfoHashV2::truncated);
        v2 == Some(self.info_hash)
    }

    /// How long the pieces are that are asked for in the swarm. Of a hybrid's padding, which version 1 knows as
    /// part of the content and version 2 does not know, only the former has any.
    pub fn piece_sizes(&self) -> PieceSizes {
        match self.is_v2() {
            true => self.metainfo.info.payload_sizes(),
            false => self.metainfo.info.piece_sizes(),
        }
    }

    /// The length of one of them in bytes; 0 for an index outside the torrent.
    pub fn piece_size(&self, piece: PieceIndex) -> u32 {
        match self.is_v2() {
            true => self
                .metainfo
                .info
                .piece_v2(piece)
                .map_or(0, |piece| piece.len),
            false => self.metainfo.info.piece_size(piece),
        }
    }

    /// By what a piece that came in the swarm is judged: in version 2 by its root in the piece layers; in
    /// version 1 by its SHA-1, and in the swarm of version 1 of a hybrid by both.
    pub fn piece_hashes(&self, piece: PieceIndex) -> Option<PieceHashes> {
        match self.is_v2() {
            true => self.metainfo.info.piece_v2(piece).map(PieceHashes::from),
            false => self.metainfo.info.piece_hashes(piece),
        }
    }
}

/// What does not change while an entry is handled, but by the observer itself.
struct World {
    config: Config,
    identity: identity::Identity,
    swarms: Vec<swarm::Swarm>,
}

/// What a visit may use of the observer.
struct Env<'a> {
    world: &'a World,
    notes: &'a mut notes::Notes,
    /// What strangers sent unasked lately.
    allowance: &'a mut allowance::Allowance,
    /// Bytes of pieces that are under way, over all connections.
    fetching: &'a mut u64,
    /// Who was named, with the swarm's place.
    heard: &'a mut Vec<(usize, swarm::Naming)>,
    /// How many incoming connections joined.
    incoming: &'a mut u32,
}
