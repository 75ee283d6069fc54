//! What version 2 and its company add to a connection: two names, hashes, pieces taken back, pieces
//! allowed while choked.

use skep_hash::Sha256Digest;
use skep_proto::peer::{
    ALLOWED_FAST_OFFERED_MAX, DONT_HAVES_BURST, Event, HASH_REQUESTS_IN_MAX, HASH_REQUESTS_OUT_MAX,
    HASHES_UNASKED_MAX, HASHES_VOIDED_MAX, InfoHashes, PeerConfig, PeerConn, Transmit, Violation,
    Why,
};
use skep_sim::lone::{Act, INFO_HASH, PIECE_LEN, ScriptedId, Sim, config};
use skep_wire::{
    Block, InfoHash, Moment, PeerId, PieceIndex, Said,
    peer::{
        HANDSHAKE_LEN, Handshake, HashRequest, Message, MessageError, MessageId, Reserved, decode,
        ext::{ExtHandshake, LT_DONTHAVE, decode_dont_have, encode_dont_have},
        hashes::{HASHES_ASKED_MAX, HASHES_LEN_MAX},
    },
};

const PEER: &[u8; 20] = b"-XX0001-abcdefghijkl";
const V2: InfoHash = InfoHash(*b"its name in SHA-256!");
const OTHER: InfoHash = InfoHash(*b"another torrent!!!!!");

const ASK: HashRequest = HashRequest {
    root: Sha256Digest([5; 32]),
    base_layer: 0,
    index: 0,
    length: 2,
    proof_layers: 1,
};

fn ask(index: u32) -> HashRequest {
    HashRequest { index, ..ASK }
}

fn hybrid(outgoing: bool) -> PeerConfig {
    let v1 = INFO_HASH;
    PeerConfig {
        info_hashes: InfoHashes::Hybrid { v1, v2: V2 },
        outgoing,
        ..config()
    }
}

fn v2_only() -> PeerConfig {
    PeerConfig {
        info_hashes: InfoHashes::V2(V2),
        info_hash: V2,
        ..config()
    }
}

fn handshake(info_hash: InfoHash, reserved: Reserved) -> Vec<u8> {
    let peer_id = PeerId(*PEER);
    let handshake = Handshake {
        reserved,
        info_hash,
        peer_id,
    };
    handshake.encode().to_vec()
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

/// Our end is `config`; the other names V2 and does as the script says.
fn run(config: PeerConfig, script: impl IntoIterator<Item = (Moment, Act)>) -> (Sim, ScriptedId) {
    let mut sim = Sim::default();
    let opening = says(0, handshake(V2, Reserved::OURS));
    let peer = sim.scripted_peer_with(config, [opening].into_iter().chain(script));
    sim.run_until(Moment::from_secs(90));
    (sim, peer)
}

fn judged(sim: &Sim, peer: ScriptedId) -> Option<Violation> {
    match sim.events(peer).last() {
        Some(Event::Closed {
            why: Why::Violation(violation),
        }) => Some(violation.clone()),
        _ => None,
    }
}

/// What we said after our handshake.
fn messages(sim: &Sim, peer: ScriptedId) -> Vec<Vec<u8>> {
    let bytes = sim.sent_bytes(peer);
    let mut rest = &bytes[HANDSHAKE_LEN..];
    let mut out = Vec::new();
    while let Some((prefix, body)) = rest.split_first_chunk::<4>() {
        let (message, after) = body.split_at(u32::from_be_bytes(*prefix) as usize);
        out.push(message.to_vec());
        rest = after;
    }
    out
}

#[test]
fn a_connection_speaks_version_2_where_both_ends_name_it() {
    let bit = Reserved::OURS.with_v2(true);
    let no_bit = Reserved::OURS;
    // (ours, the peer's handshake, ours in answer or before it, whether version 2 is spoken)
    for (ours, theirs, said, v2) in [
        // We dial by the v1 name and say that we know the other; the peer may take it up.
        (hybrid(true), (INFO_HASH, no_bit), (INFO_HASH, bit), false),
        (hybrid(true), (INFO_HASH, bit), (INFO_HASH, bit), false),
        (hybrid(true), (V2, no_bit), (INFO_HASH, bit), true),
        // Who comes by the v1 name and knows the other is answered by the other.
        (hybrid(false), (INFO_HASH, bit), (V2, no_bit), true),
        (hybrid(false), (INFO_HASH, no_bit), (INFO_HASH, bit), false),
        (hybrid(false), (V2, no_bit), (V2, no_bit), true),
        (v2_only(), (V2, no_bit), (V2, no_bit), true),
        // The bit means nothing to a v1 torrent.
        (config(), (INFO_HASH, bit), (INFO_HASH, no_bit), false),
    ] {
        let mut sim = Sim::default();
        let peer = sim.scripted_peer_with(ours, [says(0, handshake(theirs.0, theirs.1))]);
        sim.run_until(Moment::from_secs(1));
        let bytes = sim.sent_bytes(peer);
        let bytes = bytes.first_chunk().expect("a handshake");
        let sent = Handshake::decode(bytes).expect("ours");
        assert_eq!((sent.info_hash, sent.reserved), said);
        assert_eq!(sim.conn(peer).v2_agreed(), v2);
        assert_eq!(sim.conn(peer).peer_info_hash(), Some(Said(theirs.0)));
    }
}

#[test]
fn a_name_that_was_not_asked_for_ends_the_connection() {
    let dials_v2 = PeerConfig {
        info_hash: V2,
        ..hybrid(true)
    };
    for (ours, got, expected) in [
        (hybrid(true), OTHER, INFO_HASH),
        (hybrid(false), OTHER, INFO_HASH),
        (dials_v2, INFO_HASH, V2),
        (v2_only(), INFO_HASH, V2),
        (config(), V2, INFO_HASH),
    ] {
        let mut sim = Sim::default();
        let peer = sim.scripted_peer_with(ours, [says(0, handshake(got, Reserved::OURS))]);
        sim.run_until(Moment::from_secs(1));
        let wrong = Violation::WrongInfoHash { got, expected };
        assert_eq!(judged(&sim, peer), Some(wrong));
    }
}

/// Nothing in it is judged, as with any message that we do not know.
#[test]
fn where_version_2_is_not_spoken_its_messages_are_unknown() {
    let stream = [
        handshake(INFO_HASH, Reserved::OURS),
        Message::HashRequest(ASK).to_bytes(),
        vec![0, 0, 0, 2, 22, 1],
        vec![0, 0, 0, 1, 23],
    ];
    let mut sim = Sim::default();
    let peer = sim.scripted_peer_with(hybrid(true), [says(0, stream.concat())]);
    sim.run_until(Moment::from_secs(1));
    let unknown: Vec<_> = sim.events(peer)[1..].to_vec();
    let id = |id, len| Event::UnknownMessage {
        id: MessageId(id),
        len,
    };
    assert_eq!(unknown, [id(21, 48), id(22, 1), id(23, 0)]);
}

#[test]
fn hashes_are_asked_for_and_come_or_are_refused() {
    let hashes = [[1; 32], [2; 32], [3; 32]].concat();
    let answer = Message::Hashes {
        request: ask(2),
        hashes: &hashes,
    };
    let script = [
        we(1, |conn, now| {
            let too_long = HashRequest {
                length: 2 * HASHES_ASKED_MAX,
                ..ASK
            };
            assert!(!conn.request_hashes(too_long, now));
            assert!(
                !conn.request_hashes(ask(1), now),
                "no multiple of its length"
            );
            for n in 0..HASH_REQUESTS_OUT_MAX as u32 {
                assert!(conn.request_hashes(ask(2 * n), now));
                assert!(!conn.request_hashes(ask(2 * n), now), "it stands");
            }
            assert!(!conn.request_hashes(ask(1000), now), "too many stand");
        }),
        says(2, answer.to_bytes()),
        says(2, Message::HashReject(ask(0)).to_bytes()),
        we(3, |conn, now| assert!(conn.request_hashes(ask(1000), now))),
    ];
    let (sim, peer) = run(v2_only(), script);
    let digest = |n| Sha256Digest([n; 32]);
    assert_eq!(
        sim.events(peer)[1..],
        [
            Event::Hashes {
                request: ask(2),
                hashes: Said(vec![digest(1), digest(2), digest(3)]),
            },
            Event::HashesRefused(ask(0)),
        ]
    );
    let asked = [ask(0), ask(2), ask(1000)].map(|ask| Message::HashRequest(ask).to_bytes());
    let asked = asked.map(|frame| frame[4..].to_vec());
    assert_eq!(messages(&sim, peer), asked);
}

#[test]
fn hashes_of_another_number_than_was_asked_for_end_the_connection() {
    for got in [0, 2, 4] {
        let hashes = vec![1; 32 * got];
        let answer = Message::Hashes {
            request: ASK,
            hashes: &hashes,
        };
        let script = [
            we(1, |conn, now| assert!(conn.request_hashes(ASK, now))),
            says(2, answer.to_bytes()),
        ];
        let (sim, peer) = run(v2_only(), script);
        let (got, expected) = (got as u64, 3);
        let wrong = Violation::HashCount { got, expected };
        assert_eq!(judged(&sim, peer), Some(wrong));
    }
}

#[test]
fn hash_messages_of_a_wrong_length_end_the_connection() {
    let too_long = |len, limit| Violation::MessageTooLong { len, limit };
    let (id, least) = (MessageId::HASHES, 49);
    for (bytes, wrong) in [
        (vec![0, 0, 0, 50, 21], too_long(50, 49)),
        (vec![0, 0, 0, 50, 23], too_long(50, 49)),
        (
            [&(HASHES_LEN_MAX + 1).to_be_bytes()[..], &[22]].concat(),
            too_long(HASHES_LEN_MAX + 1, HASHES_LEN_MAX),
        ),
        (
            vec![0, 0, 0, 2, 22, 0],
            Violation::Message(MessageError::TooShort { id, len: 2, least }),
        ),
    ] {
        let (sim, peer) = run(v2_only(), [says(1, bytes)]);
        assert_eq!(judged(&sim, peer), Some(wrong));
    }
}

/// A late answer to what we no longer wait for is no answer to nothing; but what we remember of those
/// is bounded, and so is our patience.
#[test]
fn answers_to_nothing_are_passed_over_up_to_a_limit() {
    let forgotten = HASHES_VOIDED_MAX as u32 + 4;
    let script = [
        we(1, move |conn, now| {
            for n in 0..forgotten {
                assert!(conn.request_hashes(ask(2 * n), now));
                conn.forget_hashes(ask(2 * n));
            }
        }),
        says(2, {
            let late = (0..forgotten).map(|n| Message::HashReject(ask(2 * n)));
            all(&late.collect::<Vec<_>>())
        }),
        says(3, {
            let answer = Message::Hashes {
                request: ASK,
                hashes: &[],
            };
            all(&vec![answer; HASHES_UNASKED_MAX as usize - 4])
        }),
        we(4, |conn, _| assert!(conn.is_open())),
        says(5, Message::HashReject(ASK).to_bytes()),
    ];
    let (sim, peer) = run(v2_only(), script);
    let limit = HASHES_UNASKED_MAX;
    assert_eq!(judged(&sim, peer), Some(Violation::HashesUnasked { limit }));
    assert_eq!(sim.events(peer).len(), 2, "{:?}", sim.events(peer));
}

#[test]
fn a_peer_that_asks_for_hashes_is_answered_once() {
    let script = [
        says(
            1,
            all(&[0, 2, 4].map(|index| Message::HashRequest(ask(index)))),
        ),
        we(2, |conn, now| {
            let waiting: Vec<_> = conn.peer_hash_requests().collect();
            assert_eq!(waiting, [ask(0), ask(2), ask(4)]);
            conn.send_hashes(ask(2), &[Sha256Digest([9; 32]); 3], now);
            conn.send_hashes(ask(2), &[Sha256Digest([9; 32]); 3], now);
            conn.reject_hashes(ask(0), now);
            conn.reject_hashes(ask(0), now);
            conn.reject_hashes(ask(6), now);
        }),
    ];
    let (sim, peer) = run(v2_only(), script);
    let wants = [0, 2, 4].map(|index| Event::PeerWantsHashes(ask(index)));
    assert_eq!(sim.events(peer)[1..], wants);
    let said = messages(&sim, peer);
    let said: Vec<_> = said
        .iter()
        .map(|body| decode(body.len() as u32, body).expect("ours"))
        .collect();
    let request = ask(2);
    let hashes = &[9; 96];
    assert_eq!(
        said,
        [
            Message::Hashes { request, hashes },
            Message::HashReject(ask(0))
        ]
    );
}

#[test]
fn what_a_peer_asks_for_at_once_is_bounded() {
    let limit = HASH_REQUESTS_IN_MAX;
    let flood = |count| all(&vec![Message::HashRequest(ASK); count]);
    let (sim, peer) = run(v2_only(), [says(1, flood(limit))]);
    assert_eq!(judged(&sim, peer), None);
    assert_eq!(sim.conn(peer).peer_hash_requests().count(), limit);
    let (sim, peer) = run(v2_only(), [says(1, flood(limit + 1))]);
    let wrong = Violation::HashRequestsTooMany { limit };
    assert_eq!(judged(&sim, peer), Some(wrong));
    assert_eq!(sim.conn(peer).peer_hash_requests().count(), 0);
}

/// An end of ours that wants to hear of pieces taken back, under the id 7.
fn hears_dont_have(reserved: Reserved) -> PeerConfig {
    PeerConfig {
        reserved,
        ext: Some(ExtHandshake {
            ids: vec![(LT_DONTHAVE.to_vec(), 7)],
            ..ExtHandshake::default()
        }),
        ..v2_only()
    }
}

fn dont_have(piece: u32) -> Vec<u8> {
    let payload = &encode_dont_have(PieceIndex(piece));
    Message::Extended { id: 7, payload }.to_bytes()
}

fn block(piece: u32, begin: u32) -> Block {
    Block {
        piece: PieceIndex(piece),
        begin,
        len: 16384,
    }
}

#[test]
fn a_piece_that_is_taken_back_leaves_the_set() {
    let script = [
        says(
            1,
            all(&[Message::Have(PieceIndex(3)), Message::Have(PieceIndex(4))]),
        ),
        says(2, [dont_have(3), dont_have(5)].concat()),
    ];
    let (sim, peer) = run(hears_dont_have(Reserved::OURS), script);
    let piece = Said(PieceIndex(3));
    assert_eq!(sim.events(peer)[3..], [Event::HasNoLonger { piece }]);
    let pieces: Vec<_> = sim.conn(peer).peer_pieces().0.iter().collect();
    assert_eq!(pieces, [PieceIndex(4)]);
}

/// With the fast extension each request is refused by itself; without it they just stand no longer.
#[test]
fn without_the_fast_extension_what_was_asked_of_a_piece_goes_with_it() {
    let no_fast = Reserved([0, 0, 0, 0, 0, 0x10, 0, 0]);
    for (reserved, refused) in [(Reserved::OURS, 0), (no_fast, 2)] {
        let script = [
            says(
                1,
                all(&[
                    Message::Have(PieceIndex(3)),
                    Message::Have(PieceIndex(4)),
                    Message::Unchoke,
                ]),
            ),
            we(2, |conn, now| {
                for block in [block(3, 0), block(4, 0), block(3, 16384)] {
                    assert!(conn.request(block, now));
                }
            }),
            says(3, dont_have(3)),
        ];
        let (sim, peer) = run(hears_dont_have(reserved), script);
        let events = sim.events(peer).iter();
        let got = events.filter(|event| matches!(event, Event::RequestRefused(_)));
        assert_eq!(got.count(), refused);
        assert_eq!(sim.conn(peer).outstanding_count(), 3 - refused);
    }
}

#[test]
fn pieces_taken_back_are_bounded_and_judged() {
    let ours = || hears_dont_have(Reserved::OURS);
    let flood = |count: u32| {
        (0..count)
            .flat_map(|n| dont_have(n % 4))
            .collect::<Vec<_>>()
    };
    let (sim, peer) = run(ours(), [says(1, flood(DONT_HAVES_BURST))]);
    assert_eq!(judged(&sim, peer), None);
    let (sim, peer) = run(ours(), [says(1, flood(DONT_HAVES_BURST + 1))]);
    let (burst, secs) = (DONT_HAVES_BURST, 1);
    let wrong = Violation::DontHavesTooMany { burst, secs };
    assert_eq!(judged(&sim, peer), Some(wrong));

    let (sim, peer) = run(ours(), [says(1, dont_have(16))]);
    let wrong = judged(&sim, peer).expect("no such piece");
    assert!(matches!(wrong, Violation::PieceOutside { .. }), "{wrong}");
    let short = Message::Extended {
        id: 7,
        payload: &[0],
    };
    let (sim, peer) = run(ours(), [says(1, short.to_bytes())]);
    let wrong = judged(&sim, peer).expect("no number");
    assert!(matches!(wrong, Violation::DontHave(_)), "{wrong}");
}

#[test]
fn a_piece_of_ours_is_taken_back_where_the_peer_listens() {
    let listens = |id| {
        let ext = ExtHandshake {
            ids: vec![(LT_DONTHAVE.to_vec(), id)],
            ..ExtHandshake::default()
        };
        let payload = &ext.encode();
        Message::Extended { id: 0, payload }.to_bytes()
    };
    let script = [
        says(1, Message::Interested.to_bytes()),
        we(2, |conn, now| {
            conn.set_peer_choked(false, now);
            conn.send_dont_have(PieceIndex(1), now);
        }),
        says(
            3,
            [listens(9), Message::Request(block(2, 0)).to_bytes()].concat(),
        ),
        we(4, |conn, now| conn.send_dont_have(PieceIndex(2), now)),
        says(5, listens(0)),
        we(6, |conn, now| conn.send_dont_have(PieceIndex(3), now)),
    ];
    let (sim, peer) = run(v2_only(), script);
    let said = messages(&sim, peer);
    let taken_back: Vec<_> = said
        .iter()
        .filter_map(|body| match decode(body.len() as u32, body) {
            Ok(Message::Extended { id: 9, payload }) => decode_dont_have(payload).ok(),
            _ => None,
        })
        .collect();
    assert_eq!(taken_back, [PieceIndex(2)]);
    let refused = Message::RejectRequest(block(2, 0)).to_bytes();
    assert!(said.contains(&refused[4..].to_vec()), "{said:?}");
    assert_eq!(sim.conn(peer).peer_requests().count(), 0);
}

#[test]
fn a_choked_peer_may_fetch_what_it_was_allowed_and_once() {
    let both = [block(2, 0), block(2, 16384)];
    assert_eq!(both[1].begin + both[1].len, PIECE_LEN);
    let asks = both.map(Message::Request);
    let script = [
        we(1, |conn, now| {
            for _ in 0..2 {
                conn.allow_fast(PieceIndex(2), now);
            }
        }),
        says(
            2,
            [all(&asks), Message::Request(block(3, 0)).to_bytes()].concat(),
        ),
        we(3, move |conn, now| {
            let waiting: Vec<_> = conn.peer_requests().collect();
            assert_eq!(waiting, both);
            both.into_iter()
                .for_each(|block| conn.send_block(block, now));
        }),
        says(4, all(&asks)),
    ];
    let (sim, peer) = run(v2_only(), script);
    let blocks = sim.sent(peer).iter();
    let blocks = blocks.filter(|sent| matches!(sent, Transmit::Block(_)));
    assert_eq!(blocks.count(), 2);
    let said = messages(&sim, peer);
    let count = |message: Message<'_>| {
        let body = &message.to_bytes()[4..];
        said.iter().filter(|said| *said == body).count()
    };
    assert_eq!(count(Message::AllowedFast(PieceIndex(2))), 1);
    assert_eq!(count(Message::RejectRequest(block(3, 0))), 1);
    assert_eq!(count(Message::RejectRequest(block(2, 0))), 1, "once more");
}

/// What was asked while it could fetch, and may be fetched choked, stands when it is choked.
#[test]
fn a_choke_leaves_the_requests_that_are_allowed() {
    let script = [
        we(1, |conn, now| {
            conn.set_peer_choked(false, now);
            conn.allow_fast(PieceIndex(2), now);
        }),
        says(
            2,
            all(&[Message::Request(block(1, 0)), Message::Request(block(2, 0))]),
        ),
        we(3, |conn, now| conn.set_peer_choked(true, now)),
    ];
    let (sim, peer) = run(v2_only(), script);
    let waiting: Vec<_> = sim.conn(peer).peer_requests().collect();
    assert_eq!(waiting, [block(2, 0)]);
}

#[test]
fn few_pieces_are_allowed_and_none_without_the_fast_extension() {
    let allows = |conn: &mut PeerConn, now| {
        (0..16).for_each(|piece| conn.allow_fast(PieceIndex(piece), now));
        conn.allow_fast(PieceIndex(16), now);
    };
    for (reserved, expected) in [
        (Reserved::OURS, ALLOWED_FAST_OFFERED_MAX),
        (Reserved::default(), 0),
    ] {
        let ours = PeerConfig {
            reserved,
            ..v2_only()
        };
        let (sim, peer) = run(ours, [we(1, allows)]);
        assert_eq!(messages(&sim, peer).len(), expected);
    }
}
