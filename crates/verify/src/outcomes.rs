//! What the machine asked of its driver, and what became of it: bytes that it queued against bytes that
//! are said to have been sent, and how many connects, look-ups and bytes are open. Whether an outcome
//! came by its time the machine judges.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::SocketAddr,
};

use skep_evidence::journal::{ConnId, Entry, Input, QueryId};
use skep_observe::Action;

/// What is open.
#[derive(Debug, Default)]
pub struct Outcomes {
    connects: BTreeSet<ConnId>,
    queued: BTreeMap<ConnId, VecDeque<u8>>,
    datagrams: VecDeque<(SocketAddr, Vec<u8>)>,
    lookups: BTreeSet<QueryId>,
    /// Bytes that were sent on connections and in datagrams.
    pub sent_bytes: u64,
    /// Connects that had an outcome.
    pub connected_or_failed: u64,
    /// Connects that the machine gave up before their outcome was due, because the run ended.
    pub given_up: u64,
    /// Datagrams that the system never took.
    pub datagrams_not_taken: u64,
}

/// What an entry says that no driver of this machine could do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrong {
    /// These bytes were not queued.
    NotQueued(ConnId),
    /// This datagram was not queued.
    DatagramNotQueued,
}

impl Outcomes {
    /// Judges an entry before the machine sees it.
    ///
    /// # Errors
    ///
    /// [`Wrong`].
    pub fn entry(&mut self, entry: &Entry, bytes: &[u8]) -> Result<(), Wrong> {
        match &entry.input {
            Input::Opened { conn, .. } | Input::Failed { conn, .. } => {
                if self.connects.remove(conn) {
                    self.connected_or_failed += 1;
                }
            }
            Input::Sent { conn, .. } => {
                let queue = self.queued.get_mut(conn).ok_or(Wrong::NotQueued(*conn))?;
                if queue.len() < bytes.len()
                    || !queue.iter().zip(bytes).all(|(one, two)| one == two)
                {
                    return Err(Wrong::NotQueued(*conn));
                }
                queue.drain(..bytes.len());
                self.sent_bytes += bytes.len() as u64;
            }
            Input::DatagramSent { remote, .. } => loop {
                let (to, queued) = self.datagrams.pop_front().ok_or(Wrong::DatagramNotQueued)?;
                if to == *remote && queued == bytes {
                    self.sent_bytes += bytes.len() as u64;
                    break;
                }
                self.datagrams_not_taken += 1;
            },
            Input::Ended { conn, .. } => {
                self.queued.remove(conn);
            }
            Input::Resolved { query, .. } => {
                self.lookups.remove(query);
            }
            Input::Clock(_)
            | Input::Timeout
            | Input::Incoming { .. }
            | Input::Received { .. }
            | Input::Datagram { .. }
            | Input::Stop => {}
        }
        Ok(())
    }

    /// Takes what the machine asks for.
    pub fn action(&mut self, action: Action) {
        match action {
            Action::Connect { conn, .. } => {
                self.connects.insert(conn);
            }
            Action::Send { conn, bytes } => self.queued.entry(conn).or_default().extend(bytes),
            Action::SendTo { remote, bytes } => self.datagrams.push_back((remote, bytes)),
            Action::Close { conn } => {
                self.queued.remove(&conn);
                if self.connects.remove(&conn) {
                    self.given_up += 1;
                }
            }
            Action::Resolve { query, .. } => {
                self.lookups.insert(query);
            }
            Action::Finished => {}
        }
    }

    /// Connects without an outcome so far: only a run that has no end yet has any, and none is due.
    pub fn connects_open(&self) -> usize {
        self.connects.len()
    }

    /// Look-ups of names without an answer so far.
    pub fn lookups_open(&self) -> usize {
        self.lookups.len()
    }

    /// Bytes that were queued on connections that stand and that the system has not taken.
    pub fn bytes_open(&self) -> usize {
        self.queued.values().map(VecDeque::len).sum()
    }
}
