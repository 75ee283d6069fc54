//! Endpoints that deceive, break the protocol or waste our time.

use skep_evidence::record::{Attack, Body, CloseKind};
use skep_hash::sha1;
use skep_observe::{BYTES_UNASKED_MAX, REFUSALS_PER_VISIT_MAX};
use skep_sim::strangers::{
    Client, Content, Echo, Host, Mute, Script, Stranger, World, config, handshake, host, messages,
};
use skep_wire::{Block, InfoHash, PieceIndex, peer::Message};

const ID: &[u8; 20] = b"-XX0001-abcdefghijkl";

/// Visits one stranger for a minute; returns the records' bodies.
fn visited<S: Stranger + 'static>(
    content: &Content,
    make: impl FnMut() -> S + 'static,
) -> Vec<Body> {
    let mut config = config();
    config.endpoints = vec![(0, host(1))];
    let mut world = World::new(config, vec![content.target.clone()]);
    world.takes(host(1), make);
    world.run_until(60);
    world.bodies()
}

fn above_reached(body: &Body) -> bool {
    matches!(
        body,
        Body::Joined { .. }
            | Body::ClaimedSet { .. }
            | Body::ClaimedGain { .. }
            | Body::Delivered { .. }
            | Body::Verified { .. }
            | Body::Whole { .. }
    )
}

fn violation(bodies: &[Body]) -> Option<&str> {
    bodies.iter().find_map(|body| match body {
        Body::Violated { violation, .. } => Some(violation.as_str()),
        _ => None,
    })
}

fn closed(bodies: &[Body]) -> Option<CloseKind> {
    bodies.iter().find_map(|body| match body {
        Body::Closed { how, .. } => Some(*how),
        _ => None,
    })
}

#[test]
fn an_echo_of_our_handshake_is_reached_and_never_joined() {
    let bodies = visited(&Content::small(&[]), || Echo);
    assert!(
        bodies
            .iter()
            .any(|body| matches!(body, Body::Reached { .. }))
    );
    assert!(!bodies.iter().any(above_reached));
    assert_eq!(
        violation(&bodies),
        Some("handshake carries our own peer id")
    );
    assert_eq!(closed(&bodies), Some(CloseKind::UsViolation));
}

#[test]
fn a_web_server_is_reached_and_never_joined() {
    let page = b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec();
    let bodies = visited(&Content::small(&[]), move || {
        Script::new([(50, page.clone())]).closing()
    });
    assert!(!bodies.iter().any(above_reached));
    let said = violation(&bodies).expect("HTTP is no handshake");
    assert!(
        said.starts_with("handshake begins with \"HTTP/1.1"),
        "{said}"
    );
}

#[test]
fn a_mute_endpoint_is_reached_and_left_when_it_says_nothing() {
    let bodies = visited(&Content::small(&[]), || Mute);
    assert!(
        bodies
            .iter()
            .any(|body| matches!(body, Body::Reached { .. }))
    );
    assert!(!bodies.iter().any(above_reached));
    assert_eq!(closed(&bodies), Some(CloseKind::UsIdle));
}

#[test]
fn a_silent_address_is_attempted_and_not_reached() {
    let content = Content::small(&[]);
    let mut config = config();
    config.endpoints = vec![(0, host(1)), (0, host(2))];
    let mut world = World::new(config, vec![content.target]);
    world.hosts.insert(host(1), Host::Silent);
    world.run_until(20);
    use skep_evidence::journal::ConnectFailure::{Refused, TimedOut};
    let failures: Vec<_> = world
        .bodies()
        .iter()
        .filter_map(|body| match body {
            Body::AttemptFailed { reason, .. } => Some(*reason),
            _ => None,
        })
        .collect();
    assert_eq!(failures, [Refused, TimedOut]);
    assert!(
        !world
            .bodies()
            .iter()
            .any(|body| matches!(body, Body::Reached { .. }))
    );
}

/// A handshake for another torrent does not make it a member of this swarm.
#[test]
fn another_info_hash_is_not_joined() {
    let bodies = visited(&Content::small(&[]), || {
        Script::new([(0, handshake(InfoHash([9; 20]), ID))])
    });
    assert!(!bodies.iter().any(above_reached));
    assert!(violation(&bodies).is_some_and(|said| said.contains("0909")));
}

/// It answers every request, but not with the content: the blocks are delivered, the piece is
/// refuted with the digest of what came, and nothing is verified.
#[test]
fn garbage_is_delivered_and_refuted() {
    let content = Content::small(&[]);
    let client = content.clone();
    let bodies = visited(&content, move || {
        Client::seeder(&client).forging(|_, bytes| vec![0xaa; bytes.len()])
    });
    let refuted = bodies.iter().find_map(|body| match body {
        Body::Refuted {
            piece,
            expected,
            got,
            ..
        } => Some((*piece, *expected, *got)),
        _ => None,
    });
    let (piece, expected, got) = refuted.expect("the piece does not hash to the torrent");
    let info = &content.target.metainfo.info;
    assert_eq!(expected, Some(info.pieces[piece.0 as usize]));
    let came = sha1(&vec![0xaa; info.piece_size(piece) as usize]);
    assert_eq!(got, Some(came));
    assert!(
        bodies
            .iter()
            .any(|body| matches!(body, Body::Delivered { .. }))
    );
    assert!(
        !bodies
            .iter()
            .any(|body| matches!(body, Body::Verified { .. }))
    );
}

/// The first piece of the torrent begins with one of the two inputs that SHAttered made, and a peer sends the
/// other: the hash agrees, the bytes do not. Nor are the right bytes proof, as nobody can tell which are right.
#[test]
fn a_piece_that_hashes_right_by_a_collision_attack_is_refuted() {
    let one = include_bytes!("../../../../testdata/sha1/shattered-1.bin");
    let other = include_bytes!("../../../../testdata/sha1/shattered-2.bin");
    let mut bytes = Content::small(&[]).bytes;
    bytes[..one.len()].copy_from_slice(one);
    let content = Content::of(bytes, 32_768, &[]);
    for sent in [one, other] {
        let mut client = content.clone();
        client.bytes[..sent.len()].copy_from_slice(sent);
        let bodies = visited(&content, move || Client::seeder(&client).with_pieces(&[0]));
        let expected = content.target.metainfo.info.pieces[0];
        let refuted = bodies.iter().find_map(|body| match *body {
            Body::Refuted {
                piece,
                expected,
                got,
                attack,
                ..
            } => Some((piece, expected, got, attack)),
            _ => None,
        });
        let attack = Some(Attack::Sha1Collision);
        assert_eq!(
            refuted,
            Some((PieceIndex(0), Some(expected), Some(expected), attack))
        );
        let is_verified = |body| matches!(body, &Body::Verified { .. });
        assert!(!bodies.iter().any(is_verified));
    }
}

/// One wrong byte in one block is enough.
#[test]
fn one_wrong_byte_refutes_a_piece() {
    let content = Content::small(&[]);
    let client = content.clone();
    let bodies = visited(&content, move || {
        Client::seeder(&client).forging(|block, bytes| {
            let mut bytes = bytes.to_vec();
            if block.begin > 0 {
                bytes[100] ^= 1;
            }
            bytes
        })
    });
    assert!(
        bodies
            .iter()
            .any(|body| matches!(body, Body::Refuted { .. }))
    );
    assert!(
        !bodies
            .iter()
            .any(|body| matches!(body, Body::Verified { .. }))
    );
}

/// It claims everything, unchokes us, and never answers: claimed, asked, and nothing more.
#[test]
fn claiming_everything_and_delivering_nothing_stays_a_claim() {
    let content = Content::small(&[]);
    let hash = content.target.metainfo.info_hash;
    let bodies = visited(&content, move || {
        let said = [
            handshake(hash, ID),
            messages(&[Message::HaveAll, Message::Unchoke]),
        ];
        Script::new([(0, said.concat())])
    });
    let has = |what: fn(&Body) -> bool| bodies.iter().any(what);
    assert!(has(|body| matches!(
        body,
        Body::ClaimedSet {
            share_ppm: 1_000_000,
            ..
        }
    )));
    assert!(has(|body| matches!(body, Body::PieceAsked { .. })));
    assert!(!has(|body| matches!(
        body,
        Body::Delivered { .. } | Body::Verified { .. }
    )));
    assert_eq!(closed(&bodies), Some(CloseKind::UsDone));
}

/// It rejects every request: after some pieces we ask for no more on this visit.
#[test]
fn refusals_are_recorded_and_end_the_asking() {
    let content = Content::small(&[]);
    let hash = content.target.metainfo.info_hash;
    struct Refuses(Vec<u8>, Script);
    impl Stranger for Refuses {
        fn opened(&mut self, now: skep_wire::Moment) -> Vec<skep_sim::strangers::Says> {
            self.1.opened(now)
        }
        fn wakes(&mut self, now: skep_wire::Moment) -> Vec<skep_sim::strangers::Says> {
            self.1.wakes(now)
        }
        fn hears(
            &mut self,
            bytes: &[u8],
            _now: skep_wire::Moment,
        ) -> Vec<skep_sim::strangers::Says> {
            self.0.extend(bytes);
            let mut out = Vec::new();
            // A request is 17 bytes: length 13, id 6, piece, begin, length.
            while let Some(at) = self.0.windows(5).position(|part| part == [0, 0, 0, 13, 6])
                && let Some(request) = self.0.get(at..at + 17)
            {
                out.extend([0, 0, 0, 13, 16]);
                out.extend(&request[5..]);
                self.0.drain(..at + 17);
            }
            if out.is_empty() {
                vec![]
            } else {
                vec![skep_sim::strangers::Says::Bytes(out)]
            }
        }
    }
    let bodies = visited(&content, move || {
        let said = [
            handshake(hash, ID),
            messages(&[Message::HaveAll, Message::Unchoke]),
        ];
        Refuses(Vec::new(), Script::new([(0, said.concat())]))
    });
    let asked = bodies
        .iter()
        .filter(|body| matches!(body, Body::PieceAsked { .. }))
        .count();
    assert_eq!(asked as u32, REFUSALS_PER_VISIT_MAX);
    assert!(
        bodies
            .iter()
            .any(|body| matches!(body, Body::Refused { .. }))
    );
    assert!(
        !bodies
            .iter()
            .any(|body| matches!(body, Body::Delivered { .. }))
    );
}

/// A byte a second: the handshake does not come in time, and the endpoint is left.
#[test]
fn a_slow_loris_is_left() {
    let content = Content::small(&[]);
    let hash = content.target.metainfo.info_hash;
    let bodies = visited(&content, move || {
        let bytes = handshake(hash, ID);
        Script::new(
            bytes
                .into_iter()
                .zip(0..)
                .map(|(byte, n)| (n * 1_000, vec![byte])),
        )
    });
    assert!(!bodies.iter().any(above_reached));
    assert_eq!(closed(&bodies), Some(CloseKind::UsIdle));
}

/// Blocks that nobody asked for are no delivery.
#[test]
fn an_unrequested_block_is_not_delivered() {
    let content = Content::small(&[]);
    let hash = content.target.metainfo.info_hash;
    let block = Block {
        piece: PieceIndex(0),
        begin: 0,
        len: 16_384,
    };
    let payload = content.block(block).to_vec();
    let bodies = visited(&content, move || {
        let mut said = handshake(hash, ID);
        said.extend(messages(&[Message::HaveAll, Message::Piece(block)]));
        said.extend(&payload);
        Script::new([(0, said)])
    });
    assert!(
        bodies
            .iter()
            .any(|body| matches!(body, Body::ClaimedSet { .. }))
    );
    assert!(
        !bodies
            .iter()
            .any(|body| matches!(body, Body::Delivered { .. }))
    );
}

#[test]
fn an_absurd_length_is_a_violation_with_both_numbers() {
    let content = Content::small(&[]);
    let hash = content.target.metainfo.info_hash;
    let bodies = visited(&content, move || {
        let said = [handshake(hash, ID), vec![0xff, 0xff, 0xff, 0xff, 5, 0, 0]];
        Script::new([(0, said.concat())])
    });
    let said = violation(&bodies).expect("no bitfield is that long");
    assert!(
        said.starts_with("message of 4294967295 bytes exceeds the limit"),
        "{said}"
    );
    assert!(bodies.iter().any(|body| matches!(
        body,
        Body::Violated {
            source: Some(_),
            ..
        }
    )));
}

/// A flood of messages of an unknown kind fills no memory, ends the connection, and is said.
#[test]
fn a_flood_ends_the_connection_by_a_named_limit() {
    let content = Content::small(&[]);
    let hash = content.target.metainfo.info_hash;
    let bodies = visited(&content, move || {
        let mut message = vec![0, 0x0f, 0, 0, 99];
        message.resize(4 + 0x0f_0000, 7);
        let count = BYTES_UNASKED_MAX as usize / message.len() + 2;
        let flood = std::iter::repeat_n(message, count)
            .zip(1u64..)
            .map(|(m, n)| (n * 10, m));
        Script::new(std::iter::once((0, handshake(hash, ID))).chain(flood))
    });
    assert!(bodies.iter().any(|body| matches!(
        body,
        Body::Limited { limit, conn: Some(_), .. } if limit == "BYTES_UNASKED_MAX"
    )));
    assert_eq!(closed(&bodies), Some(CloseKind::UsDone));
}

/// Single bytes, for ever: keep-alives cut into four. Each read costs us more than it brings, so there
/// is a limit to reads, too.
#[test]
fn a_trickle_ends_the_connection_by_a_named_limit() {
    struct Trickle(InfoHash, u32);
    impl Stranger for Trickle {
        fn opened(&mut self, _now: skep_wire::Moment) -> Vec<skep_sim::strangers::Says> {
            let later = skep_sim::strangers::Says::Later(std::time::Duration::from_millis(1));
            vec![
                skep_sim::strangers::Says::Bytes(handshake(self.0, ID)),
                later,
            ]
        }
        fn wakes(&mut self, _now: skep_wire::Moment) -> Vec<skep_sim::strangers::Says> {
            self.1 += 1;
            let mut said: Vec<_> = (0..400)
                .map(|_| skep_sim::strangers::Says::Bytes(vec![0]))
                .collect();
            if self.1 < 600 {
                said.push(skep_sim::strangers::Says::Later(
                    std::time::Duration::from_millis(1),
                ));
            }
            said
        }
    }
    let content = Content::small(&[]);
    let hash = content.target.metainfo.info_hash;
    let mut config = config();
    config.endpoints = vec![(0, host(1))];
    let mut world = World::new(config, vec![content.target.clone()]);
    world.takes(host(1), move || Trickle(hash, 0));
    world.run_until(5);
    let reads = world
        .log()
        .filter(|(entry, ..)| matches!(entry.input, skep_evidence::journal::Input::Received { .. }))
        .count();
    assert!((200_000..200_100).contains(&reads), "{reads}");
    let said =
        |body: &Body| matches!(body, Body::Limited { limit, .. } if limit == "READS_UNASKED_MAX");
    assert!(world.bodies().iter().any(said));
}

/// It asks us for blocks as fast as it can, choked as it is. Nothing that leaves us is payload: our
/// stream holds no `piece` message at all.
#[test]
fn we_never_upload() {
    let content = Content::small(&[]);
    let hash = content.target.metainfo.info_hash;
    let mut config = config();
    config.endpoints = vec![(0, host(1))];
    let mut world = World::new(config, vec![content.target.clone()]);
    world.takes(host(1), move || {
        let asks: Vec<Message<'_>> = (0..10)
            .map(|piece| {
                let piece = PieceIndex(piece);
                Message::Request(Block {
                    piece,
                    begin: 0,
                    len: 16_384,
                })
            })
            .collect();
        let said = [
            handshake(hash, ID),
            messages(&[Message::HaveNone, Message::Interested]),
            messages(&asks),
        ];
        Script::new([(0, said.concat())])
    });
    world.run_until(20);
    let sent = world.sent.values().next().expect("we said something");
    let mut rest = &sent[68..];
    let (mut ids, mut rejects) = (Vec::new(), 0);
    while let Some((len, after)) = rest.split_first_chunk::<4>() {
        let (body, after) = after.split_at(u32::from_be_bytes(*len) as usize);
        ids.extend(body.first().copied());
        rejects += u32::from(body.first() == Some(&16));
        rest = after;
    }
    assert_eq!(rejects, 10, "BEP 6 wants each refused");
    // have-none, extended, interested, rejects: no unchoke, have, bitfield, piece, and no more.
    assert!(ids.iter().all(|id| [15, 20, 2, 16].contains(id)), "{ids:?}");
    assert_eq!(
        ids.iter().filter(|id| **id == 20).count(),
        1,
        "no peer exchange"
    );
    let payload: Vec<u64> = world
        .bodies()
        .iter()
        .filter_map(|body| match body {
            Body::Closed { payload_out, .. } => Some(*payload_out),
            _ => None,
        })
        .collect();
    assert!(payload.iter().all(|bytes| *bytes == 0));
}

/// The code cannot even ask for it: the sources of this crate name no way to send a block, a have
/// or an unchoke.
#[test]
fn no_code_here_sends_a_block() {
    let sources = [
        include_str!("../../src/talk.rs"),
        include_str!("../../src/talk/asking.rs"),
        include_str!("../../src/talk/book.rs"),
        include_str!("../../src/observer/acts.rs"),
        include_str!("../../src/observer/entries.rs"),
        include_str!("../../src/visit.rs"),
        include_str!("../../src/observer.rs"),
        include_str!("../../src/desk.rs"),
    ];
    for source in sources {
        for call in [".send_block(", ".send_have(", ".set_peer_choked("] {
            assert!(!source.contains(call), "{call}");
        }
    }
}
