//! Every way to break the protocol, by a scripted peer: what is judged, with which numbers, and what
//! is still allowed just below the limit.

use std::time::Duration;

use skep_proto::peer::{self, Event, HAVES_REPEATED_MAX, PeerConfig, Violation, Why};
use skep_sim::lone::{Act, INFO_HASH, PIECE_COUNT, Sim, config, handshake, handshake_with, hex};
use skep_wire::{
    Block, InfoHash, Moment, PeerId, PieceIndex, PieceSizes,
    bitfield::BitfieldError,
    peer::{
        Handshake, Message, MessageError, MessageId, Reserved,
        ext::{ExtHandshake, Pex, UT_PEX},
        piece_header,
    },
};

const PEER: &[u8; 20] = b"-XX0001-abcdefghijkl";

/// What the peer is judged for, if it sends its handshake with all extensions and then `bytes`.
fn judged(bytes: impl Into<Vec<u8>>) -> Option<Violation> {
    judged_after(
        handshake_with(PEER, Reserved::OURS),
        config(),
        [(1, bytes.into())],
    )
}

/// The same for a peer and an end of ours of any kind, and any times.
fn judged_after(
    handshake: Vec<u8>,
    config: PeerConfig,
    script: impl IntoIterator<Item = (u64, Vec<u8>)>,
) -> Option<Violation> {
    let script = script
        .into_iter()
        .map(|(ms, bytes)| (Moment::from_millis(ms), bytes));
    let mut sim = Sim::default();
    let peer = sim.scripted_peer_with(
        config,
        [(Moment::ZERO, handshake)].into_iter().chain(script),
    );
    // Long enough for the script, too short for idleness.
    sim.run_until(Moment::from_millis(140_000));
    match sim.events(peer).last() {
        Some(Event::Closed {
            why: Why::Violation(violation),
        }) => Some(violation.clone()),
        Some(Event::Closed { why }) => panic!("closed for {why:?}"),
        _ => None,
    }
}

fn say(messages: &[Message<'_>]) -> Vec<u8> {
    messages.iter().flat_map(Message::to_bytes).collect()
}

fn block(piece: u32, begin: u32, len: u32) -> Block {
    Block {
        piece: PieceIndex(piece),
        begin,
        len,
    }
}

#[test]
fn another_protocol_is_known_by_its_first_wrong_byte() {
    let got = b"HTTP/1.1 400 Bad Req".to_vec();
    let http = b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec();
    assert_eq!(
        judged_after(http, config(), []),
        Some(Violation::WrongProtocol { got })
    );
    let got = hex("13 42 69 58");
    assert_eq!(
        judged_after(got.clone(), config(), []),
        Some(Violation::WrongProtocol { got })
    );
}

#[test]
fn a_handshake_for_another_torrent_names_both() {
    let got = InfoHash(*b"some other torrent!!");
    let handshake = Handshake {
        reserved: Reserved::OURS,
        info_hash: got,
        peer_id: PeerId(*PEER),
    };
    let judged = judged_after(handshake.encode().to_vec(), config(), []);
    assert_eq!(
        judged,
        Some(Violation::WrongInfoHash {
            got,
            expected: INFO_HASH
        })
    );
}

/// An echo server sends back what we send: our peer id is how we know it.
#[test]
fn an_echo_is_not_a_peer() {
    let ours = config();
    let echo = handshake_with(&ours.peer_id.0, ours.reserved);
    assert_eq!(judged_after(echo, config(), []), Some(Violation::OwnPeerId));
}

#[test]
fn a_message_is_too_long_by_its_kind_before_its_body_comes() {
    let limit_of = |id: u8, len: u32| {
        let head = [&len.to_be_bytes()[..], &[id]].concat();
        match judged(head) {
            Some(Violation::MessageTooLong { len: said, limit }) if said == len => Some(limit),
            other => panic!("{other:?}"),
        }
    };
    let longest = u32::MAX;
    assert_eq!(limit_of(4, longest), Some(13));
    assert_eq!(limit_of(5, longest), Some(1 + PIECE_COUNT.div_ceil(8)));
    assert_eq!(limit_of(7, longest), Some(9 + peer::BLOCK_BYTES_MAX));
    assert_eq!(limit_of(20, longest), Some(peer::EXTENDED_BYTES_MAX));
    assert_eq!(limit_of(99, longest), Some(peer::UNKNOWN_BYTES_MAX));
    assert_eq!(
        limit_of(99, peer::UNKNOWN_BYTES_MAX + 1),
        Some(peer::UNKNOWN_BYTES_MAX)
    );
}

#[test]
fn a_message_of_a_fixed_kind_has_its_length() {
    let expected = MessageError::Len {
        id: MessageId::HAVE,
        len: 6,
        expected: 5,
    };
    assert_eq!(
        judged(hex("00000006 04 00000000 00")),
        Some(Violation::Message(expected))
    );
    let least = MessageError::TooShort {
        id: MessageId::PIECE,
        len: 8,
        least: 9,
    };
    assert_eq!(
        judged(hex("00000008 07 00000000 000000")),
        Some(Violation::Message(least))
    );
}

#[test]
fn a_bitfield_fits_the_torrent() {
    let short = Violation::Bitfield(BitfieldError::Len {
        got: 1,
        expected: 2,
    });
    assert_eq!(judged(hex("00000002 05 ff")), Some(short));
    let odd = PeerConfig {
        sizes: PieceSizes::uniform(32 * 1024, 13 * 32 * 1024),
        ..config()
    };
    let spare = Violation::Bitfield(BitfieldError::SpareBits { last: 0xfc });
    let script = [(1, hex("00000003 05 ff fc"))];
    let handshake = handshake_with(PEER, Reserved::OURS);
    assert_eq!(judged_after(handshake, odd, script), Some(spare));
}

/// aria2 does that where it would have to send many haves.
#[test]
fn a_set_that_comes_late_means_as_many_haves() {
    let messages = [
        Message::Have(PieceIndex(1)),
        Message::Unchoke,
        Message::Bitfield(&[0b1100_0000, 0b0000_0001]),
    ];
    let mut sim = Sim::default();
    let script = [
        (Moment::ZERO, handshake_with(PEER, Reserved::OURS)),
        (Moment::from_millis(1), say(&messages)),
    ];
    let peer = sim.scripted_peer_with(config(), script);
    sim.run_until(Moment::from_millis(140_000));
    let events = sim.events(peer);
    let gained: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            Event::Has { piece } => Some(piece.0.0),
            _ => None,
        })
        .collect();
    assert_eq!(gained, [1, 0, 15]);
    let is_end = |event: &Event| matches!(event, Event::HasSet { .. } | Event::Closed { .. });
    assert!(!events.iter().any(is_end));
}

#[test]
fn late_sets_that_say_nothing_new_are_counted() {
    let nothing = say(&[Message::Unchoke]);
    let repeats = HAVES_REPEATED_MAX as usize;
    let again = say(&[Message::HaveNone]).repeat(repeats);
    assert_eq!(judged([nothing.clone(), again].concat()), None);
    let once_more = say(&[Message::HaveNone]).repeat(repeats + 1);
    let limit = HAVES_REPEATED_MAX;
    assert_eq!(
        judged([nothing, once_more].concat()),
        Some(Violation::HavesRepeated { limit })
    );
}

/// Common clients send these before their bitfield.
#[test]
fn an_extension_handshake_a_port_and_a_keep_alive_may_come_before_the_set() {
    let payload = ExtHandshake::default().encode();
    let messages = [
        Message::Extended {
            id: 0,
            payload: &payload,
        },
        Message::Port(6881),
        Message::KeepAlive,
        Message::Bitfield(&[0xff, 0xff]),
    ];
    assert_eq!(judged(say(&messages)), None);
}

#[test]
fn fast_messages_need_the_fast_extension() {
    let piece = PieceIndex(0);
    for message in [
        Message::HaveAll,
        Message::HaveNone,
        Message::SuggestPiece(piece),
        Message::AllowedFast(piece),
        Message::RejectRequest(block(0, 0, 16384)),
    ] {
        let id = message.id().expect("it is no keep-alive");
        let script = || [(1, message.to_bytes())];
        let plain = judged_after(handshake(PEER), config(), script());
        assert_eq!(plain, Some(Violation::NotFast { id }), "peer without it");
        let ours = PeerConfig {
            reserved: Reserved::default(),
            ..config()
        };
        let plain = judged_after(handshake_with(PEER, Reserved::OURS), ours, script());
        assert_eq!(plain, Some(Violation::NotFast { id }), "we without it");
        assert_eq!(judged(message.to_bytes()), None, "both with it");
    }
}

#[test]
fn a_piece_outside_the_torrent_is_named_with_the_count() {
    let got = PieceIndex(PIECE_COUNT);
    for message in [
        Message::Have(got),
        Message::SuggestPiece(got),
        Message::AllowedFast(got),
    ] {
        let id = message.id().expect("it is no keep-alive");
        let expected = Violation::PieceOutside {
            id,
            got,
            piece_count: PIECE_COUNT,
        };
        assert_eq!(judged(message.to_bytes()), Some(expected));
    }
    assert_eq!(
        judged(Message::Have(PieceIndex(PIECE_COUNT - 1)).to_bytes()),
        None
    );
}

#[test]
fn a_block_lies_in_its_piece() {
    let cases = [
        (block(0, 32768, 1), 32768),
        (block(0, 32767, 2), 32768),
        (block(0, u32::MAX, 16384), 32768),
        (block(0, 0, 0), 32768),
        (block(PIECE_COUNT - 1, 16384, 16384), 20_000),
    ];
    for (block, piece_len) in cases {
        for message in [Message::Request(block), Message::Cancel(block)] {
            let id = message.id().expect("it is no keep-alive");
            let expected = Violation::BlockOutside {
                id,
                block,
                piece_len,
            };
            assert_eq!(judged(message.to_bytes()), Some(expected));
        }
        if block.len > 0 {
            let id = MessageId::PIECE;
            let expected = Violation::BlockOutside {
                id,
                block,
                piece_len,
            };
            assert_eq!(judged(piece_header(block).to_vec()), Some(expected));
        }
    }
    assert_eq!(
        judged(Message::Request(block(PIECE_COUNT - 1, 16384, 3616)).to_bytes()),
        None
    );
}

#[test]
fn a_request_is_not_longer_than_anyone_serves() {
    let (len, limit) = (peer::BLOCK_BYTES_MAX + 1, peer::BLOCK_BYTES_MAX);
    let judged = judged(Message::Request(block(0, 0, len)).to_bytes());
    assert_eq!(judged, Some(Violation::RequestTooLong { len, limit }));
}

#[test]
fn unanswered_requests_are_bounded() {
    let count = |count: usize| {
        let mut sim = Sim::default();
        let requests = Message::Request(block(0, 0, 16384))
            .to_bytes()
            .repeat(count);
        let peer = sim.scripted_peer([
            (
                Moment::ZERO,
                Act::Says(handshake_with(PEER, Reserved::OURS)),
            ),
            (
                Moment::from_secs(1),
                Act::We(Box::new(|conn, now| conn.set_peer_choked(false, now))),
            ),
            (Moment::from_secs(2), Act::Says(requests)),
        ]);
        sim.run_until(Moment::from_secs(10));
        (
            sim.conn(peer).peer_requests().count(),
            sim.events(peer).last().cloned(),
        )
    };
    let limit = peer::REQUESTS_IN_MAX;
    assert_eq!(count(limit).0, limit);
    let why = Why::Violation(Violation::RequestsTooMany { limit });
    assert_eq!(count(limit + 1), (0, Some(Event::Closed { why })));
}

#[test]
fn requests_while_choked_are_refused_and_bounded() {
    let limit = peer::REQUESTS_CHOKED_MAX;
    let request = Message::Request(block(0, 0, 16384)).to_bytes();
    assert_eq!(judged(request.repeat(limit as usize)), None);
    let judged = judged(request.repeat(limit as usize + 1));
    assert_eq!(judged, Some(Violation::RequestsWhileChoked { limit }));
}

#[test]
fn refusals_of_what_was_not_asked_are_bounded() {
    let limit = peer::REJECTS_UNASKED_MAX;
    let reject = Message::RejectRequest(block(0, 0, 16384)).to_bytes();
    assert_eq!(judged(reject.repeat(limit as usize)), None);
    assert_eq!(
        judged(reject.repeat(limit as usize + 1)),
        Some(Violation::RejectsUnasked { limit })
    );
}

#[test]
fn blocks_that_nobody_asked_for_are_skipped_and_bounded() {
    let limit = peer::UNREQUESTED_MAX;
    let sent = [&piece_header(block(0, 0, 100))[..], &[7; 100]].concat();
    assert_eq!(judged(sent.repeat(limit as usize)), None);
    let judged = judged(sent.repeat(limit as usize + 1));
    assert_eq!(judged, Some(Violation::BlocksUnrequested { limit }));
}

/// Every piece may be said once, and some more often: clients exist that send an incomplete bitfield
/// and haves for all.
#[test]
fn a_flood_of_haves_ends() {
    let limit = peer::HAVES_REPEATED_MAX;
    let have = Message::Have(PieceIndex(3)).to_bytes();
    assert_eq!(judged(have.repeat(limit as usize + 1)), None);
    assert_eq!(
        judged(have.repeat(limit as usize + 2)),
        Some(Violation::HavesRepeated { limit })
    );
}

#[test]
fn choking_and_unchoking_over_and_over_ends() {
    let (burst, secs) = (peer::TURNS_BURST, peer::TURN_SECS);
    let turn = say(&[Message::Unchoke, Message::Choke]);
    assert_eq!(judged(turn.repeat(burst as usize / 2)), None);
    let judged_for = judged(turn.repeat(burst as usize / 2 + 1));
    assert_eq!(judged_for, Some(Violation::TurnsTooMany { burst, secs }));
    let interest = say(&[Message::Interested, Message::NotInterested]);
    let judged_for = judged(interest.repeat(burst as usize / 2 + 1));
    assert_eq!(judged_for, Some(Violation::TurnsTooMany { burst, secs }));
    let slowly = (0..120).map(|n| (1000 * n, turn[..5 * (1 + n as usize % 2)].to_vec()));
    let handshake = handshake_with(PEER, Reserved::OURS);
    assert_eq!(
        judged_after(handshake, config(), slowly),
        None,
        "an honest pace"
    );
}

#[test]
fn an_extension_handshake_is_a_dictionary_and_comes_rarely() {
    let not_dict = Message::Extended {
        id: 0,
        payload: b"i1e",
    }
    .to_bytes();
    assert!(matches!(judged(not_dict), Some(Violation::ExtHandshake(_))));
    let payload = ExtHandshake::default().encode();
    let message = Message::Extended {
        id: 0,
        payload: &payload,
    }
    .to_bytes();
    let (burst, secs) = (peer::EXT_HANDSHAKES_BURST, peer::EXT_HANDSHAKE_SECS);
    assert_eq!(judged(message.repeat(burst as usize)), None);
    let judged = judged(message.repeat(burst as usize + 1));
    assert_eq!(
        judged,
        Some(Violation::ExtHandshakesTooMany { burst, secs })
    );
}

#[test]
fn peer_exchange_is_readable_and_comes_rarely() {
    let ext = ExtHandshake {
        ids: vec![(UT_PEX.to_vec(), 5)],
        ..ExtHandshake::default()
    };
    let ours = || PeerConfig {
        ext: Some(ext.clone()),
        ..config()
    };
    let theirs = || handshake_with(PEER, Reserved::OURS);
    let odd = Message::Extended {
        id: 5,
        payload: b"d5:added5:12345e",
    }
    .to_bytes();
    let judged = judged_after(theirs(), ours(), [(1, odd)]);
    assert!(matches!(judged, Some(Violation::Pex(_))), "{judged:?}");

    let payload = Pex::default().encode();
    let pex = Message::Extended {
        id: 5,
        payload: &payload,
    }
    .to_bytes();
    let (burst, secs) = (peer::PEX_BURST, peer::PEX_SECS);
    let at_once = |count: u32| vec![(1, pex.repeat(count as usize))];
    assert_eq!(judged_after(theirs(), ours(), at_once(burst)), None);
    let too_often = Some(Violation::PexTooOften { burst, secs });
    assert_eq!(
        judged_after(theirs(), ours(), at_once(burst + 1)),
        too_often
    );
    let later = Duration::from_secs(secs).as_millis() as u64 + 1;
    let spread = [at_once(burst), vec![(later, pex.clone())]].concat();
    assert_eq!(judged_after(theirs(), ours(), spread), None);
    assert_eq!(
        judged_after(theirs(), config(), at_once(burst + 1)),
        None,
        "not offered: skipped"
    );
}
