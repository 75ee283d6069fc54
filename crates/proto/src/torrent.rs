//! One torrent: whom to connect to, what to ask of whom, whom to serve. A pure machine that a
//! session drives from sockets and the simulator from virtual time.
//!
//! What it is: the owner of the torrent's [`PeerConn`]s and of every decision about them: candidates,
//! picker, request windows, end game, choker, bans. What it is not: it holds no payload, hashes
//! nothing, knows no tracker and no file; those are the driver's.
//!
//! ```text
//!   candidates --Connect--> driver --handle_connected--> PeerConn --events--> picker, choker
//!   handle_bytes --> Want::Payload(block): driver reads into the piece's buffer (payload_place)
//!   last block of a piece --Verify--> driver hashes, writes --handle_verdict--> have to all
//!   peer's request --Send(Transmit::Block)--> driver sends the file range --handle_block_sent-->
//! ```
//!
//! # For the driver
//!
//! - After every `handle_*`, drain [`Torrent::poll_action`] and [`Torrent::poll_event`] to `None`, and
//!   ask [`Torrent::poll_timeout`] anew.
//! - A [`PeerKey`] names a connection from the `Connect` that asks for it (or from
//!   [`Torrent::handle_incoming`]) to its `Close`, which comes exactly once, whoever ended it. Calls
//!   with a key that is closed or unknown do nothing.
//! - The stream is read as with a [`PeerConn`] (see [`crate::drain`]). Where [`Want::Payload`] is
//!   returned, each part of the payload goes to the buffer of its piece if
//!   [`Torrent::payload_place`] says so *at that moment*, and is skipped if not: in the end game two
//!   peers may be sending the same block, and only one of them writes. Either way
//!   [`Torrent::handle_payload`] is called when all of it has passed.
//! - A piece's buffer lives from the first payload that goes there until its verdict has been given,
//!   or until [`Action::Abandon`].
//! - A connection whose socket takes nothing for a minute while something waits to be sent is to be
//!   ended with [`Torrent::handle_end`]; the machine cannot see the socket.

mod blame;
mod book;
mod choker;
mod fast;
mod hashes;
mod holdings;
mod limits;
mod machine;
mod partial;
mod peer;
mod picker;
mod probe;
mod rarity;
mod rate;
mod stream;
mod talk;
mod types;
mod work;

pub use limits::*;
pub use machine::Torrent;
pub use probe::{PieceTree, PieceTrees};
pub use stream::{TorrentStream, TorrentWorld, settle};
pub use types::{
    Action, BanReason, BlockDigests, Event, PeerKey, PeerView, Source, Stats, TorrentConfig,
    Verdict,
};

#[cfg(doc)]
use crate::peer::{PeerConn, Want};
