//! One connection against scripts.

use std::time::Duration;

use skep_proto::{
    drain::{Expect, Inlet, Part, PeerWorld, Span},
    peer::{
        ALLOWED_FAST_MAX, Event, HANDSHAKE_SECS_MAX, IDLE_SECS_MAX, KEEP_ALIVE_SECS,
        MESSAGE_SECS_MAX, PAYLOAD_SECS_MAX, PeerConfig, PeerConn, REQUESTS_OUT_DEFAULT,
        REQUESTS_OUT_MAX, SetKind, Transmit, VOIDED_MAX, Why,
    },
};
use skep_sim::lone::{
    Act, INFO_HASH, PIECE_COUNT, PIECE_LEN, Sim, config, handshake, handshake_with, hex, segments,
};
use skep_wire::{
    Bitfield, Block, Moment, PeerId, PieceIndex, PieceSizes, Said,
    peer::{
        Handshake, Message, MessageId, Reserved,
        ext::{ExtHandshake, Pex, PexPeer, UT_PEX},
        piece_header,
    },
};

const PEER: &[u8; 20] = b"-XX0001-abcdefghijkl";

fn opened(reserved: Reserved) -> Event {
    Event::Opened {
        peer_id: Said(PeerId(*PEER)),
        reserved: Said(reserved),
    }
}

fn says(secs: u64, bytes: impl Into<Vec<u8>>) -> (Moment, Act) {
    (Moment::from_secs(secs), Act::Says(bytes.into()))
}

fn we(secs: u64, call: impl FnOnce(&mut PeerConn, Moment) + 'static) -> (Moment, Act) {
    (Moment::from_secs(secs), Act::We(Box::new(call)))
}

fn all(messages: &[Message<'_>]) -> Vec<u8> {
    messages.iter().flat_map(Message::to_bytes).collect()
}

fn block(piece: u32, begin: u32) -> Block {
    Block {
        piece: PieceIndex(piece),
        begin,
        len: 16384,
    }
}

fn piece(block: Block, fill: u8) -> Vec<u8> {
    [&piece_header(block)[..], &vec![fill; block.len as usize]].concat()
}

/// A peer that announces a piece and falls silent has claimed it, not proved it, and counts as
/// gone after the idle limit. The bytes arrive split mid-message on purpose: segment boundaries
/// carry no meaning in TCP.
#[test]
fn silent_peer_is_dropped_and_its_claims_stay_claims() {
    let mut sim = Sim::default();
    let peer = sim.scripted_peer([
        (Moment::from_secs(1), handshake(b"-XX0001-abcdefghijkl")),
        (Moment::from_secs(2), hex("00 00 00 05 04 00")),
        (Moment::from_secs(3), hex("00 00 07")),
    ]);

    sim.run_until(Moment::from_secs(1_000));

    assert_eq!(
        sim.events(peer),
        [
            opened(Reserved::default()),
            Event::Has {
                piece: Said(PieceIndex(7))
            },
            Event::Closed { why: Why::Idle },
        ]
    );
    let (closed_at, ..) = sim.timed_events(peer)[2];
    assert_eq!(closed_at, Moment::from_secs(3 + IDLE_SECS_MAX));
    assert_eq!(sim.conn(peer).peer_pieces().0.count(), 1);
    assert_eq!(sim.payload(peer), []);
}

#[test]
fn a_peer_that_never_finishes_its_handshake_is_dropped() {
    let mut sim = Sim::default();
    let drip = handshake(PEER).into_iter().enumerate().take(60);
    let peer =
        sim.scripted_peer(drip.map(|(at, byte)| (Moment::from_millis(at as u64), vec![byte])));
    sim.run_until(Moment::from_secs(100));
    let closed = (
        Moment::from_secs(HANDSHAKE_SECS_MAX),
        Event::Closed { why: Why::Idle },
    );
    let Some((at, event, _)) = sim.timed_events(peer).last().cloned() else {
        panic!("no event")
    };
    assert_eq!((at, event), closed);
}

/// A byte every ten seconds keeps a connection from being idle, but a message must end.
#[test]
fn a_message_that_trickles_is_cut_off() {
    let mut sim = Sim::default();
    let drip = (1..100).map(|n| says(10 * n, [0]));
    let start = all(&[Message::Extended {
        id: 0,
        payload: &[0; 1000],
    }])[..9]
        .to_vec();
    let peer = sim.scripted_peer(
        [
            says(0, handshake_with(PEER, Reserved::OURS)),
            says(5, start),
        ]
        .into_iter()
        .chain(drip),
    );
    sim.run_until(Moment::from_secs(1_000));
    let (at, event, _) = sim.timed_events(peer).last().cloned().expect("an event");
    assert_eq!(event, Event::Closed { why: Why::Stalled });
    assert_eq!(at, Moment::from_secs(5 + MESSAGE_SECS_MAX));
}

#[test]
fn a_payload_that_trickles_is_cut_off() {
    let mut sim = Sim::default();
    let drip = (1..100).map(|n| says(10 * n, [0]));
    let script = [
        says(0, [handshake(PEER), Message::Unchoke.to_bytes()].concat()),
        we(1, |conn, now| assert!(conn.request(block(0, 0), now))),
        says(5, piece_header(block(0, 0))),
    ];
    let peer = sim.scripted_peer(script.into_iter().chain(drip));
    sim.run_until(Moment::from_secs(1_000));
    let (at, event, _) = sim.timed_events(peer).last().cloned().expect("an event");
    assert_eq!(event, Event::Closed { why: Why::Stalled });
    assert_eq!(at, Moment::from_secs(5 + PAYLOAD_SECS_MAX));
}

#[test]
fn a_quiet_connection_is_kept_alive_by_both() {
    let mut sim = Sim::default();
    let alive = (1..10).map(|n| says(120 * n, Message::KeepAlive.to_bytes()));
    let peer = sim.scripted_peer([says(0, handshake(PEER))].into_iter().chain(alive));
    sim.run_until(Moment::from_secs(1_000));
    assert_eq!(sim.events(peer), [opened(Reserved::default())]);
    let quiet = Transmit::Bytes(Message::KeepAlive.to_bytes());
    let sent = sim.sent(peer).iter().filter(|&what| *what == quiet).count() as u64;
    assert_eq!(sent, 1_000 / KEEP_ALIVE_SECS);
}

/// The same conversation, cut into segments in hundreds of ways, gives the same events from the same
/// bytes, the same answers and the same payload.
#[test]
fn segment_boundaries_carry_no_meaning() {
    let pex = Pex {
        added: vec![PexPeer {
            addr: "10.1.2.3:4".parse().expect("an address"),
            flags: 0,
        }],
        ..Pex::default()
    };
    let ext = ExtHandshake {
        ids: vec![(UT_PEX.to_vec(), 5)],
        ..ExtHandshake::default()
    };
    let (payload, names) = (ext.encode(), pex.encode());
    let first = [
        handshake_with(PEER, Reserved::OURS),
        all(&[
            Message::Bitfield(&[0xf0, 0]),
            Message::Extended {
                id: 0,
                payload: &payload,
            },
            Message::Unchoke,
        ]),
    ]
    .concat();
    let second = [
        all(&[
            Message::Have(PieceIndex(9)),
            Message::KeepAlive,
            Message::Interested,
            Message::Unknown {
                id: MessageId(77),
                payload: &[1, 2, 3],
            },
            Message::Request(block(0, 0)),
        ]),
        piece(block(1, 0), 3),
        piece(block(1, 16384), 4),
        all(&[
            Message::Extended {
                id: 5,
                payload: &names,
            },
            Message::Port(9),
            Message::Choke,
        ]),
    ]
    .concat();
    let run = |first: Vec<Vec<u8>>, second: Vec<Vec<u8>>| {
        let mut sim = Sim::default();
        let ours = PeerConfig {
            ext: Some(ext.clone()),
            ..config()
        };
        let ask = we(2, |conn, now| assert!(conn.request(block(1, 0), now)));
        let first = first.into_iter().map(|cut| says(1, cut));
        let second = second.into_iter().map(|cut| says(3, cut));
        let peer = sim.scripted_peer_with(ours, first.chain([ask]).chain(second));
        sim.run_until(Moment::from_secs(4));
        let events: Vec<(Event, Span)> = sim
            .timed_events(peer)
            .iter()
            .map(|(_, event, span)| (event.clone(), *span))
            .collect();
        (events, sim.sent_bytes(peer), sim.payload(peer).to_vec())
    };
    let whole = run(vec![first.clone()], vec![second.clone()]);
    assert_eq!(whole.0.len(), 12, "{:#?}", whole.0);
    assert_eq!(whole.0[0].1, Span { start: 0, end: 68 });
    assert_eq!(whole.2, vec![3; 16384]);
    for seed in 0..300 {
        let cut = run(segments(&first, seed), segments(&second, seed + 1000));
        assert_eq!(cut, whole, "seed {seed}");
    }
}

/// Bytes of unfinished messages are all that a stranger makes us keep.
#[test]
fn no_more_than_one_message_is_kept() {
    let payload = ExtHandshake {
        client: Some(vec![b'x'; 60_000]),
        ..Default::default()
    }
    .encode();
    let message = Message::Extended {
        id: 0,
        payload: &payload,
    }
    .to_bytes();
    let stream = [handshake_with(PEER, Reserved::OURS), message.repeat(3)].concat();
    for seed in 0..20 {
        let mut sim = Sim::default();
        let cuts = segments(&stream, seed).into_iter();
        let peer = sim.scripted_peer(cuts.map(|cut| (Moment::ZERO, Act::Says(cut))));
        sim.run_until(Moment::from_secs(1));
        assert_eq!(sim.events(peer).len(), 4);
        assert!(sim.carried_most(peer) <= sim.conn(peer).message_bytes_max());
    }
}

#[test]
fn what_we_say_first_depends_on_what_both_speak() {
    let full = PeerConfig {
        have: Some(Bitfield::full(PIECE_COUNT)),
        ..config()
    };
    let none = PeerConfig {
        have: Some(Bitfield::empty(PIECE_COUNT)),
        ..config()
    };
    let mut some = Bitfield::empty(PIECE_COUNT);
    some.insert(PieceIndex(1));
    let some = PeerConfig {
        have: Some(some),
        ..config()
    };
    let said = |ours: &PeerConfig, theirs: Reserved| {
        let mut sim = Sim::default();
        let script = [says(1, handshake_with(PEER, theirs))];
        let peer = sim.scripted_peer_with(ours.clone(), script);
        sim.run_until(Moment::from_secs(2));
        sim.sent_bytes(peer)[68..].to_vec()
    };
    let plain = Reserved::default();
    assert_eq!(said(&full, Reserved::OURS), Message::HaveAll.to_bytes());
    assert_eq!(
        said(&full, plain),
        Message::Bitfield(&[0xff, 0xff]).to_bytes()
    );
    assert_eq!(said(&none, Reserved::OURS), Message::HaveNone.to_bytes());
    assert_eq!(said(&none, plain), []);
    assert_eq!(
        said(&some, Reserved::OURS),
        Message::Bitfield(&[0x40, 0]).to_bytes()
    );
    assert_eq!(
        said(&config(), Reserved::OURS),
        [],
        "unknown pieces are not mentioned"
    );

    let ext = ExtHandshake {
        client: Some(b"skep".to_vec()),
        ..ExtHandshake::default()
    };
    let payload = ext.encode();
    let speaks = PeerConfig {
        ext: Some(ext),
        ..config()
    };
    let expected = Message::Extended {
        id: 0,
        payload: &payload,
    }
    .to_bytes();
    assert_eq!(said(&speaks, Reserved::OURS), expected);
    assert_eq!(said(&speaks, plain), []);
}

#[test]
fn an_incoming_connection_hears_our_handshake_after_its_own() {
    let mut sim = Sim::default();
    let ours = PeerConfig {
        outgoing: false,
        ..config()
    };
    let peer = sim.scripted_peer_with(ours, [says(1, handshake(PEER))]);
    assert_eq!(sim.sent(peer), []);
    sim.run_until(Moment::from_secs(2));
    let expected = Handshake {
        reserved: Reserved::OURS,
        info_hash: INFO_HASH,
        peer_id: config().peer_id,
    };
    assert_eq!(sim.sent_bytes(peer), expected.encode());
}

#[test]
fn a_piece_gained_before_the_handshakes_joins_the_set_and_later_ones_are_said() {
    let mut sim = Sim::default();
    let ours = PeerConfig {
        have: Some(Bitfield::empty(PIECE_COUNT)),
        ..config()
    };
    let script = [
        we(0, |conn, now| conn.send_have(PieceIndex(0), now)),
        says(1, handshake(PEER)),
        we(2, |conn, now| conn.send_have(PieceIndex(1), now)),
    ];
    let peer = sim.scripted_peer_with(ours, script);
    sim.run_until(Moment::from_secs(3));
    let expected = all(&[Message::Bitfield(&[0x80, 0]), Message::Have(PieceIndex(1))]);
    assert_eq!(sim.sent_bytes(peer)[68..], expected);
}

#[test]
fn nothing_is_asked_of_a_peer_that_chokes_us_but_what_it_allows() {
    let mut sim = Sim::default();
    let script = [
        we(0, |conn, now| {
            assert!(!conn.request(block(0, 0), now), "not open")
        }),
        says(
            1,
            [
                handshake_with(PEER, Reserved::OURS),
                Message::HaveAll.to_bytes(),
            ]
            .concat(),
        ),
        we(2, |conn, now| {
            assert!(!conn.request(block(0, 0), now), "choked")
        }),
        says(3, Message::AllowedFast(PieceIndex(3)).to_bytes()),
        we(4, |conn, now| {
            assert!(!conn.request(block(0, 0), now), "another piece");
            assert!(conn.request(block(3, 0), now));
            assert!(!conn.request(block(3, 0), now), "twice");
        }),
        says(5, Message::Unchoke.to_bytes()),
        we(6, |conn, now| {
            assert!(conn.request(block(0, 0), now));
            assert!(!conn.request(block(PIECE_COUNT, 0), now), "outside");
            conn.close(now);
            assert!(!conn.request(block(0, 16384), now), "closed");
        }),
    ];
    let peer = sim.scripted_peer(script);
    sim.run_until(Moment::from_secs(7));
    let asked = all(&[Message::Request(block(3, 0)), Message::Request(block(0, 0))]);
    assert_eq!(sim.sent_bytes(peer)[68..], asked);
}

/// Small blocks, so that there are enough of them.
fn nth(n: usize) -> Block {
    let n = n as u32;
    Block {
        piece: PieceIndex(n / 4096),
        begin: n % 4096 * 8,
        len: 8,
    }
}

#[test]
fn outstanding_requests_are_bounded_by_us_and_by_what_the_peer_takes() {
    assert_eq!(PIECE_LEN, 4096 * 8);
    let asked_of = |reqq: Option<u32>| {
        let payload = ExtHandshake {
            requests_max: reqq,
            ..Default::default()
        }
        .encode();
        let mut sim = Sim::default();
        let peer = sim.scripted_peer([
            says(0, handshake_with(PEER, Reserved::OURS)),
            says(
                1,
                all(&[
                    Message::Extended {
                        id: 0,
                        payload: &payload,
                    },
                    Message::Unchoke,
                ]),
            ),
            we(2, |conn, now| {
                let asked = (0..10_000).filter(|&n| conn.request(nth(n), now)).count();
                assert_eq!(asked, conn.outstanding_count());
            }),
        ]);
        sim.run_until(Moment::from_secs(3));
        sim.conn(peer).outstanding_count()
    };
    assert_eq!(asked_of(None), REQUESTS_OUT_DEFAULT);
    assert_eq!(asked_of(Some(7)), 7);
    assert_eq!(asked_of(Some(0)), 1, "a peer that takes nothing takes one");
    assert_eq!(asked_of(Some(1_000_000)), REQUESTS_OUT_MAX);
}

#[test]
fn choking_voids_requests_without_the_fast_extension_and_late_blocks_are_skipped() {
    let mut sim = Sim::default();
    let peer = sim.scripted_peer([
        says(0, [handshake(PEER), Message::Unchoke.to_bytes()].concat()),
        we(1, |conn, now| assert!(conn.request(block(0, 0), now))),
        says(
            2,
            [Message::Choke.to_bytes(), piece(block(0, 0), 1)].concat(),
        ),
    ]);
    sim.run_until(Moment::from_secs(3));
    assert_eq!(
        sim.events(peer)[2..],
        [
            Event::PeerChokedUs,
            Event::RequestRefused(block(0, 0)),
            Event::BlockUnrequested(block(0, 0)),
        ]
    );
    assert_eq!(sim.payload(peer), []);
}

#[test]
fn choking_with_the_fast_extension_leaves_requests_until_each_is_answered() {
    let mut sim = Sim::default();
    let peer = sim.scripted_peer([
        says(
            0,
            [
                handshake_with(PEER, Reserved::OURS),
                Message::Unchoke.to_bytes(),
            ]
            .concat(),
        ),
        we(1, |conn, now| {
            assert!(conn.request(block(0, 0), now) && conn.request(block(0, 16384), now));
        }),
        says(
            2,
            [
                Message::Choke.to_bytes(),
                piece(block(0, 0), 1),
                Message::RejectRequest(block(0, 16384)).to_bytes(),
            ]
            .concat(),
        ),
    ]);
    sim.run_until(Moment::from_secs(3));
    assert_eq!(
        sim.events(peer)[2..],
        [
            Event::PeerChokedUs,
            Event::BlockArrived(block(0, 0)),
            Event::RequestRefused(block(0, 16384)),
        ]
    );
    assert_eq!(sim.payload(peer), vec![1; 16384]);
    assert_eq!(sim.conn(peer).outstanding_count(), 0);
}

#[test]
fn a_cancelled_block_that_comes_all_the_same_is_skipped_once() {
    let mut sim = Sim::default();
    let peer = sim.scripted_peer([
        says(0, [handshake(PEER), Message::Unchoke.to_bytes()].concat()),
        we(1, |conn, now| {
            assert!(conn.request(block(0, 0), now));
            conn.cancel(block(0, 0), now);
            conn.cancel(block(0, 0), now);
        }),
        says(2, piece(block(0, 0), 1)),
    ]);
    sim.run_until(Moment::from_secs(3));
    assert_eq!(
        sim.events(peer)[2..],
        [Event::BlockUnrequested(block(0, 0))]
    );
    let said = all(&[Message::Request(block(0, 0)), Message::Cancel(block(0, 0))]);
    assert_eq!(sim.sent_bytes(peer)[68..], said);
}

/// More cancelled requests than are remembered: the late blocks of the forgotten ones count as not
/// asked for, those of the others do not.
#[test]
fn cancelled_requests_are_remembered_up_to_a_limit() {
    let mut sim = Sim::default();
    let total = VOIDED_MAX + 5;
    let late: Vec<u8> = (0..total).flat_map(|n| piece(nth(n), 0)).collect();
    let peer = sim.scripted_peer([
        says(0, [handshake(PEER), Message::Unchoke.to_bytes()].concat()),
        we(1, move |conn, now| {
            for n in 0..total {
                assert!(conn.request(nth(n), now));
                conn.cancel(nth(n), now);
            }
        }),
        says(2, late),
    ]);
    sim.run_until(Moment::from_secs(3));
    let skipped = sim
        .events(peer)
        .iter()
        .filter(|event| matches!(event, Event::BlockUnrequested(_)));
    assert_eq!(skipped.count(), total);
    assert!(
        sim.conn(peer).is_open(),
        "five are within what is passed over"
    );
}

/// While a payload is on its way to its place, a cancel comes too late and does nothing.
#[test]
fn a_block_that_is_arriving_cannot_be_cancelled() {
    let mut sim = Sim::default();
    let bytes = piece(block(0, 0), 9);
    let (head, tail) = bytes.split_at(100);
    let peer = sim.scripted_peer([
        says(0, [handshake(PEER), Message::Unchoke.to_bytes()].concat()),
        we(1, |conn, now| assert!(conn.request(block(0, 0), now))),
        says(2, head),
        we(3, |conn, now| conn.cancel(block(0, 0), now)),
        says(4, tail),
    ]);
    sim.run_until(Moment::from_secs(5));
    assert_eq!(sim.events(peer)[2..], [Event::BlockArrived(block(0, 0))]);
    assert_eq!(sim.payload(peer), vec![9; 16384]);
    let total = bytes.len() as u64;
    let (_, _, span) = sim.timed_events(peer)[2];
    assert_eq!(
        span,
        Span {
            start: 73,
            end: 73 + total
        }
    );
}

#[test]
fn a_peer_is_served_only_what_it_asked_for_while_unchoked() {
    let mut sim = Sim::default();
    let request = |n| Message::Request(block(n, 0)).to_bytes();
    let peer = sim.scripted_peer([
        says(0, handshake_with(PEER, Reserved::OURS)),
        says(1, request(0)),
        we(2, |conn, now| {
            conn.send_block(block(0, 0), now);
            conn.set_peer_choked(false, now);
            conn.send_block(block(1, 0), now);
        }),
        says(3, [request(1), request(2), request(3), request(4)].concat()),
        says(4, Message::Cancel(block(3, 0)).to_bytes()),
        we(5, |conn, now| {
            conn.send_block(block(1, 0), now);
            conn.send_block(block(1, 0), now);
            conn.send_block(block(3, 0), now);
            conn.reject(block(2, 0), now);
            conn.set_peer_choked(true, now);
            conn.send_block(block(4, 0), now);
        }),
    ]);
    sim.run_until(Moment::from_secs(6));
    let said = |message: Message<'_>| Transmit::Bytes(message.to_bytes());
    assert_eq!(
        sim.sent(peer)[1..],
        [
            said(Message::RejectRequest(block(0, 0))),
            said(Message::Unchoke),
            said(Message::RejectRequest(block(3, 0))),
            Transmit::Block(block(1, 0)),
            said(Message::RejectRequest(block(2, 0))),
            said(Message::Choke),
            said(Message::RejectRequest(block(4, 0))),
        ]
    );
}

#[test]
fn states_that_do_not_change_are_not_said_again() {
    let mut sim = Sim::default();
    let peer = sim.scripted_peer([
        says(0, handshake(PEER)),
        we(1, |conn, now| {
            for _ in 0..3 {
                conn.set_interested(true, now);
                conn.set_peer_choked(false, now);
            }
        }),
        says(2, Message::Interested.to_bytes().repeat(3)),
        says(3, Message::Choke.to_bytes().repeat(3)),
    ]);
    sim.run_until(Moment::from_secs(4));
    assert_eq!(
        sim.sent_bytes(peer)[68..],
        all(&[Message::Interested, Message::Unchoke])
    );
    assert_eq!(sim.events(peer)[1..], [Event::PeerInterested]);
}

#[test]
fn a_set_and_its_kind_are_told_apart() {
    for (message, how, count) in [
        (Message::Bitfield(&[0x80, 0x01]), SetKind::Bitfield, 2),
        (Message::HaveAll, SetKind::HaveAll, PIECE_COUNT),
        (Message::HaveNone, SetKind::HaveNone, 0),
    ] {
        let mut sim = Sim::default();
        let stream = [handshake_with(PEER, Reserved::OURS), message.to_bytes()].concat();
        let peer = sim.scripted_peer([says(0, stream)]);
        sim.run_until(Moment::from_secs(1));
        let Event::HasSet {
            pieces: Said(pieces),
            how: said,
        } = &sim.events(peer)[1]
        else {
            panic!("{:?}", sim.events(peer));
        };
        assert_eq!((pieces.count(), *said), (count, how));
    }
}

#[test]
fn pieces_allowed_while_choked_are_bounded() {
    let mut sim = Sim::default();
    let many = PeerConfig {
        sizes: PieceSizes::uniform(32768, 1000 * 32768),
        ..config()
    };
    let allowed: Vec<u8> = (0..1000)
        .flat_map(|n| Message::AllowedFast(PieceIndex(n)).to_bytes())
        .collect();
    let stream = [handshake_with(PEER, Reserved::OURS), allowed].concat();
    let peer = sim.scripted_peer_with(many, [says(0, stream)]);
    sim.run_until(Moment::from_secs(1));
    assert_eq!(sim.conn(peer).allowed_fast().len(), ALLOWED_FAST_MAX);
    assert_eq!(sim.events(peer).len(), 1 + ALLOWED_FAST_MAX);
}

#[test]
fn nothing_happens_after_the_end() {
    let mut sim = Sim::default();
    let peer = sim.scripted_peer([
        says(0, handshake(PEER)),
        (Moment::from_secs(1), Act::Closes),
        says(2, Message::Have(PieceIndex(1)).to_bytes()),
        (Moment::from_secs(3), Act::Closes),
        we(4, |conn, now| {
            conn.set_interested(true, now);
            conn.set_peer_choked(false, now);
            conn.send_have(PieceIndex(0), now);
            conn.close(now);
            conn.handle_timeout(now + Duration::from_secs(10_000));
        }),
    ]);
    let before = sim.sent(peer).len();
    sim.run_until(Moment::from_secs(5));
    let closed = Event::Closed {
        why: Why::PeerClosed,
    };
    assert_eq!(sim.events(peer), [opened(Reserved::default()), closed]);
    assert_eq!(sim.sent(peer).len(), before);
    assert_eq!(sim.conn(peer).poll_timeout(), None);
}

/// A driver that reads payload to its place itself says so with `pass`: the machine cannot tell.
#[test]
fn payload_may_be_read_straight_to_its_place() {
    let mut conn = PeerConn::new(config(), Moment::ZERO);
    let (mut inlet, mut world) = (Inlet::default(), Straight::default());
    let start = [handshake(PEER), Message::Unchoke.to_bytes()].concat();
    inlet.feed(&mut conn, &start, Moment::ZERO, &mut world);
    assert!(conn.request(block(0, 0), Moment::ZERO));
    inlet.feed(
        &mut conn,
        &piece_header(block(0, 0)),
        Moment::ZERO,
        &mut world,
    );
    let expects = |inlet: &Inlet, offset| {
        assert_eq!(
            inlet.expects(),
            Expect::Payload {
                block: block(0, 0),
                offset
            }
        );
    };
    expects(&inlet, 0);
    inlet.pass(&mut conn, 1_000, Moment::ZERO, &mut world);
    expects(&inlet, 1_000);
    inlet.feed(&mut conn, &[7; 500], Moment::ZERO, &mut world);
    expects(&inlet, 1_500);
    assert_eq!(
        world.payload, [7; 500],
        "only what went through `feed` is handed on"
    );
    inlet.pass(&mut conn, 100_000, Moment::ZERO, &mut world);
    assert_eq!(
        inlet.expects(),
        Expect::Bytes,
        "more than the rest does not count"
    );
    assert_eq!(world.events.last(), Some(&Event::BlockArrived(block(0, 0))));
    assert_eq!(inlet.taken(), 68 + 5 + 13 + 16_384);
    inlet.pass(&mut conn, 5, Moment::ZERO, &mut world);
    assert_eq!(inlet.taken(), 68 + 5 + 13 + 16_384);
}

#[derive(Default)]
struct Straight {
    payload: Vec<u8>,
    events: Vec<Event>,
}

impl PeerWorld for Straight {
    fn payload(&mut self, part: Part<'_>) {
        self.payload.extend_from_slice(part.bytes);
    }

    fn transmit(&mut self, _what: Transmit) {}

    fn event(&mut self, _conn: &mut PeerConn, event: Event, _span: Span) {
        self.events.push(event);
    }
}
