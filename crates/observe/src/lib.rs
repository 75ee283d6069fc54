//! The observer: one machine that watches swarms.
//!
//! What it is: the plan (whom to ask, whom to contact, when to come back) and the notes (records
//! with their grades), over the protocol machines of `skep-proto`. Inputs are journal entries with
//! their captured bytes; outputs are actions and records. The live driver and the verifier call the
//! same [`Observer::handle_entry`], so a replay gives the same actions and the same records.
//! What it is not: it uploads no payload (no code here can), it sends no peer exchange, and it
//! never says more than a grade allows.

mod action;
mod config;
mod fault;

use skep_evidence::{journal::Entry, record::Record};
use skep_hash::Sha256Digest;
use skep_wire::{Moment, metainfo::Metainfo};

pub use action::Action;
pub use config::{Config, ConfigError};
pub use fault::Fault;

/// A swarm to watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// SHA-256 of the torrent file's bytes.
    pub torrent: Sha256Digest,
    /// The torrent.
    pub metainfo: Metainfo,
}

/// The observer machine.
#[derive(Debug)]
pub struct Observer {}

#[allow(unused_variables, clippy::todo)]
impl Observer {
    /// Starts a run. `targets` are in the order that `RunStarted` commits to.
    pub fn new(config: Config, targets: Vec<Target>) -> Self {
        todo!("observe")
    }

    /// Feeds one journal entry; `bytes` are what it points at in the capture (empty where it points
    /// at nothing). Drain [`Observer::poll_record`] and [`Observer::poll_action`] to `None` before
    /// the next.
    ///
    /// # Errors
    ///
    /// [`Fault`]: the entry is none that a driver of this machine can make after the ones before. A
    /// live driver that sees one has broken its contract; in a replay the journal was altered.
    pub fn handle_entry(&mut self, entry: &Entry, bytes: &[u8]) -> Result<(), Fault> {
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
