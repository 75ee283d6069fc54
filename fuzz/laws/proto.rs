//! What must hold for any bytes that the machines of `skep-proto` read from a peer.

use skep_proto::{
    drain::{Inlet, Part, PeerWorld, Span, settle},
    peer::{Event, PeerConfig, PeerConn, Transmit, Violation, Why},
};
use skep_wire::{
    Bitfield, Block, InfoHash, Moment, PeerId, PieceIndex,
    peer::{Reserved, ext::ExtHandshake},
};

#[path = "proto_tracker.rs"]
pub(crate) mod tracker;

/// A target's name and its law.
pub(crate) type Law = (&'static str, fn(&[u8]));

/// Every target on machines of this crate.
pub(crate) const LAWS: &[Law] = &[
    ("peer_conn", peer_conn),
    ("tracker_client", tracker::client),
    ("tracker_server", tracker::server),
];

/// However a stream is cut, a connection says, sends and reads the same; and what it keeps is bounded
/// by the message that is arriving.
pub(crate) fn peer_conn(data: &[u8]) {
    for outgoing in [true, false] {
        let whole = run(data.chunks(usize::MAX), outgoing);
        let single = run(data.chunks(1), outgoing);
        assert_eq!(alike(whole.events.clone()), alike(single.events));
        assert_eq!(whole.sent, single.sent);
        assert_eq!(whole.payload, single.payload);
        let closed = |event: &Event| matches!(event, Event::Closed { .. });
        let after = whole
            .events
            .iter()
            .skip_while(|event| !closed(event))
            .count();
        assert_eq!(after, 1, "the last event, and only it, is the end");
    }
}

/// A stranger's first bytes are shown as far as they had come when the first of them was wrong.
fn alike(mut events: Vec<Event>) -> Vec<Event> {
    for event in &mut events {
        if let Event::Closed {
            why: Why::Violation(Violation::WrongProtocol { got }),
        } = event
        {
            got.clear();
        }
    }
    events
}

#[derive(Default)]
struct Seen {
    events: Vec<Event>,
    sent: Vec<Transmit>,
    payload: Vec<u8>,
}

impl PeerWorld for Seen {
    fn payload(&mut self, part: Part<'_>) {
        self.payload.extend(part.bytes);
    }

    fn transmit(&mut self, what: Transmit) {
        self.sent.push(what);
    }

    /// Does what an engine does: asks when it may, serves what is asked.
    fn event(&mut self, conn: &mut PeerConn, event: Event, _span: Span) {
        let now = Moment::from_secs(1);
        match &event {
            Event::Opened { .. } => {
                conn.set_interested(true, now);
                conn.set_peer_choked(false, now);
            }
            Event::PeerUnchokedUs | Event::AllowedFast { .. } => {
                for begin in [0, 16] {
                    conn.request(block(begin), now);
                }
            }
            Event::BlockArrived(block) if block.begin == 0 => conn.cancel(self::block(16), now),
            Event::PeerRequested(block) => conn.send_block(*block, now),
            _ => {}
        }
        self.events.push(event);
    }
}

fn block(begin: u32) -> Block {
    Block {
        piece: PieceIndex(1),
        begin,
        len: 16,
    }
}

fn run<'a>(parts: impl Iterator<Item = &'a [u8]>, outgoing: bool) -> Seen {
    let mut have = Bitfield::empty(10);
    have.insert(PieceIndex(0));
    let config = PeerConfig {
        info_hash: InfoHash(*b"aaaaaaaaaaaaaaaaaaaa"),
        peer_id: PeerId(*b"-SK0100-aaaaaaaaaaaa"),
        reserved: Reserved::OURS,
        piece_count: 10,
        piece_len: 32,
        size_bytes: 310,
        ext: Some(ExtHandshake::default()),
        outgoing,
        have: Some(have),
    };
    let now = Moment::from_secs(1);
    let mut conn = PeerConn::new(config, now);
    let (mut inlet, mut seen) = (Inlet::default(), Seen::default());
    settle(&mut conn, Span::default(), &mut seen);
    for part in parts {
        inlet.feed(&mut conn, part, now, &mut seen);
        assert!(inlet.carried() <= conn.message_bytes_max().max(part.len()));
    }
    conn.handle_end(now);
    settle(&mut conn, Span::default(), &mut seen);
    seen
}
