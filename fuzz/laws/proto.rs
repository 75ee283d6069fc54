//! What must hold for any bytes that the machines of `skep-proto` read from a peer.

use skep_hash::Sha256Digest;
use skep_proto::{
    drain::{Inlet, Part, PeerWorld, Span, settle},
    peer::{Event, InfoHashes, PeerConfig, PeerConn, Transmit, Violation, Why},
};
use skep_wire::{
    Bitfield, Block, InfoHash, Moment, PeerId, PieceIndex, PieceSizes,
    peer::{
        HashRequest, Reserved,
        ext::{ExtHandshake, LT_DONTHAVE},
    },
};

use crate::Law;

/// Every target on the peer connection.
pub const LAWS: &[Law] = &[("peer_conn", peer_conn)];

/// However a stream is cut, a connection says, sends and reads the same; and what it keeps is bounded
/// by the message that is arriving.
pub fn peer_conn(data: &[u8]) {
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
                conn.allow_fast(PieceIndex(0), now);
                conn.set_peer_choked(false, now);
                conn.request_hashes(HASHES, now);
                conn.request_hashes(HashRequest { index: 2, ..HASHES }, now);
            }
            Event::PeerWantsHashes(request) => match request.length {
                2 => conn.send_hashes(*request, &[Sha256Digest([3; 32]); 3], now),
                _ => conn.reject_hashes(*request, now),
            },
            Event::Hashes { .. } => {
                conn.forget_hashes(HashRequest { index: 2, ..HASHES });
            }
            Event::PeerInterested => conn.send_dont_have(PieceIndex(0), now),
            Event::PeerNotInterested => conn.set_peer_choked(true, now),
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

/// What is asked of who speaks version 2.
const HASHES: HashRequest = HashRequest {
    root: Sha256Digest(*b"the root of a file with 32 bytes"),
    base_layer: 0,
    index: 0,
    length: 2,
    proof_layers: 1,
};

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
    let v1 = InfoHash(*b"aaaaaaaaaaaaaaaaaaaa");
    let v2 = InfoHash(*b"bbbbbbbbbbbbbbbbbbbb");
    let config = PeerConfig {
        info_hashes: InfoHashes::Hybrid { v1, v2 },
        info_hash: v1,
        peer_id: PeerId(*b"-SK0100-aaaaaaaaaaaa"),
        reserved: Reserved::OURS,
        sizes: PieceSizes::uniform(32, 310),
        ext: Some(ExtHandshake {
            ids: vec![(LT_DONTHAVE.to_vec(), 2)],
            ..ExtHandshake::default()
        }),
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
