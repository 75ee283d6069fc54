//! The torrent machine.

use std::net::SocketAddr;

use skep_wire::{Bitfield, Block, Moment, PieceIndex};

use super::{Action, Event, PeerKey, PeerView, Source, Stats, TorrentConfig, Verdict};
use crate::peer::Want;

/// The machine of one torrent. See the module's documentation.
#[derive(Debug)]
pub struct Torrent {
    have: Bitfield,
}

#[allow(unused_variables, clippy::todo)]
impl Torrent {
    /// Starts the machine. It connects to nobody before it hears of candidates.
    pub fn new(config: TorrentConfig, now: Moment) -> Self {
        todo!("proto")
    }

    /// Addresses were named by `source`.
    pub fn handle_candidates(&mut self, source: Source, addrs: &[SocketAddr], now: Moment) {
        todo!("proto")
    }

    /// A connection that [`Action::Connect`] asked for stands.
    pub fn handle_connected(&mut self, peer: PeerKey, now: Moment) {
        todo!("proto")
    }

    /// A connection that [`Action::Connect`] asked for could not be made.
    pub fn handle_connect_failed(&mut self, peer: PeerKey, now: Moment) {
        todo!("proto")
    }

    /// A connection came in. `None`: it is not wanted (too many, or banned) and is to be closed.
    /// The driver that serves several torrents has read the handshake's info-hash already; all
    /// bytes, the handshake's included, are then given to [`Torrent::handle_bytes`].
    pub fn handle_incoming(&mut self, remote: SocketAddr, now: Moment) -> Option<PeerKey> {
        todo!("proto")
    }

    /// Feeds message bytes of a connection, as [`crate::peer::PeerConn::handle_bytes`].
    pub fn handle_bytes(&mut self, peer: PeerKey, bytes: &[u8], now: Moment) -> (usize, Want) {
        todo!("proto")
    }

    /// Where the payload that is arriving from `peer` goes at this moment: the block's place in its
    /// piece's buffer, or `None` for nowhere.
    pub fn payload_place(&self, peer: PeerKey) -> Option<Block> {
        todo!("proto")
    }

    /// The payload last returned as [`Want::Payload`] has passed, wherever it went.
    pub fn handle_payload(&mut self, peer: PeerKey, block: Block, now: Moment) {
        todo!("proto")
    }

    /// The bytes last returned as [`Want::Discard`] have passed.
    pub fn handle_discarded(&mut self, peer: PeerKey, now: Moment) {
        todo!("proto")
    }

    /// The stream has ended, by the peer or by an error of the socket.
    pub fn handle_end(&mut self, peer: PeerKey, now: Moment) {
        todo!("proto")
    }

    /// A block of [`Action::Send`] has left, whole.
    pub fn handle_block_sent(&mut self, peer: PeerKey, block: Block, now: Moment) {
        todo!("proto")
    }

    /// The answer to [`Action::Verify`].
    pub fn handle_verdict(&mut self, piece: PieceIndex, verdict: Verdict, now: Moment) {
        todo!("proto")
    }

    /// Tells the machine that `now` has come. Early and repeated calls are harmless.
    pub fn handle_timeout(&mut self, now: Moment) {
        todo!("proto")
    }

    /// Closes every connection from our side and starts no other.
    pub fn close(&mut self, now: Moment) {
        todo!("proto")
    }

    /// What to do next.
    pub fn poll_action(&mut self) -> Option<Action> {
        todo!("proto")
    }

    /// What happened next.
    pub fn poll_event(&mut self) -> Option<Event> {
        todo!("proto")
    }

    /// When to call [`Torrent::handle_timeout`] next, and for which timer.
    pub fn poll_timeout(&self) -> Option<(Moment, &'static str)> {
        todo!("proto")
    }

    /// The pieces that are there and checked.
    pub fn have(&self) -> &Bitfield {
        &self.have
    }

    /// Whether everything is there.
    pub fn is_complete(&self) -> bool {
        self.have.is_full()
    }

    /// Counts and rates. Payload rates are of the last seconds before `now`.
    pub fn stats(&self, now: Moment) -> Stats {
        todo!("proto")
    }

    /// The connections whose handshakes are done, by key.
    pub fn peers(&self, now: Moment) -> impl Iterator<Item = PeerView> {
        std::iter::empty()
    }
}
