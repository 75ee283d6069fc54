//! A torrent's connections in the drain loop.

use skep_wire::{Block, Moment};

use super::{Action, Event, PeerKey, Torrent};
use crate::{
    drain::{Machine, Part, Span, World},
    peer::Want,
};

/// One connection of a torrent, as [`crate::drain::Inlet`] sees it.
#[derive(Debug)]
pub struct TorrentStream<'a> {
    /// The machine.
    pub torrent: &'a mut Torrent,
    /// The connection.
    pub peer: PeerKey,
}

impl Machine for TorrentStream<'_> {
    fn handle_bytes(&mut self, bytes: &[u8], now: Moment) -> (usize, Want) {
        self.torrent.handle_bytes(self.peer, bytes, now)
    }

    fn handle_payload(&mut self, block: Block, now: Moment) {
        self.torrent.handle_payload(self.peer, block, now);
    }

    fn handle_discarded(&mut self, now: Moment) {
        self.torrent.handle_discarded(self.peer, now);
    }
}

/// What surrounds a [`Torrent`].
pub trait TorrentWorld {
    /// A part of a payload has come, and [`Torrent::payload_place`] says that it belongs into its
    /// piece's buffer.
    fn payload(&mut self, part: Part<'_>);
    /// Do this.
    fn action(&mut self, torrent: &mut Torrent, action: Action);
    /// This happened.
    fn event(&mut self, torrent: &mut Torrent, event: Event);
}

impl<W: TorrentWorld> World<TorrentStream<'_>> for W {
    fn payload(&mut self, stream: &TorrentStream<'_>, part: Part<'_>) {
        if stream.torrent.payload_place(stream.peer).is_some() {
            TorrentWorld::payload(self, part);
        }
    }

    fn settle(&mut self, stream: &mut TorrentStream<'_>, _span: Span) {
        settle(stream.torrent, self);
    }
}

/// Drains a torrent: for calls that do not come from an [`crate::drain::Inlet`].
pub fn settle<W: TorrentWorld + ?Sized>(torrent: &mut Torrent, world: &mut W) {
    loop {
        while let Some(action) = torrent.poll_action() {
            world.action(torrent, action);
        }
        let Some(event) = torrent.poll_event() else {
            return;
        };
        world.event(torrent, event);
    }
}
