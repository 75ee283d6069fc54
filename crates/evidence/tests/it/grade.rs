//! Grades are made by their acts and by nothing less.

use skep_evidence::{
    clock::UtcInterval,
    grade::{
        CheckFailed, Claimed, Delivered, Grade, Joined, NotDelivered, NotJoined, NotVerified,
        NotWhole, Reached, Recorded, Sentences, Verified, Whole,
    },
    journal::{ConnId, Entry, Input},
    record::{Body, Record, Transport},
};
use skep_hash::{Sha1Digest, merkle, sha1};
use skep_wire::{
    Bitfield, Block, InfoHash, Moment, PeerId, PieceIndex, Said,
    metainfo::{PieceHashes, PieceV2},
    peer::{Handshake, Reserved},
    piece::blocks_of,
};

use crate::samples::{v4, v6};

const PIECE_LEN: u32 = 40_000;

fn opened(conn: u32) -> Entry {
    let input = Input::Opened {
        conn: ConnId(conn),
        local: v4(),
        remote: v4(),
    };
    Entry {
        at: Moment(5),
        input,
    }
}

fn reached(conn: u32) -> Reached {
    Reached::from_entry(&opened(conn)).expect("a connection that stands")
}

fn handshake(peer_id: [u8; 20]) -> Handshake {
    let (reserved, info_hash) = (Reserved::OURS, InfoHash([7; 20]));
    Handshake {
        reserved,
        info_hash,
        peer_id: PeerId(peer_id),
    }
}

fn ours() -> Handshake {
    handshake(*b"-SK0100-observer0001")
}

fn theirs() -> [u8; 68] {
    handshake(*b"-LT2110-abcdefghijkl").encode()
}

fn joined(conn: u32) -> Joined {
    Joined::from_handshake(reached(conn), &ours(), &theirs()).expect("a handshake")
}

fn claimed(conn: u32) -> Claimed {
    Claimed::from_set(joined(conn), &Said(Bitfield::full(2)))
}

fn content(piece: u32) -> Vec<u8> {
    (0..PIECE_LEN).map(|n| (n * 7 + piece) as u8).collect()
}

fn delivered(conn: u32, piece: u32) -> Vec<Delivered> {
    let content = content(piece);
    blocks_of(PieceIndex(piece), PIECE_LEN)
        .map(|block| {
            let payload = &content[block.begin as usize..][..block.len as usize];
            Delivered::from_payload(claimed(conn), block, block, payload).expect("the block")
        })
        .collect()
}

fn verified(conn: u32, piece: u32) -> Verified {
    let content = content(piece);
    Verified::check(&delivered(conn, piece), &content, &sha1(&content).into()).expect("the piece")
}

#[test]
fn only_a_standing_connection_is_reached() {
    let incoming = Input::Incoming {
        conn: ConnId(1),
        local: v6(),
        remote: v6(),
    };
    let entry = Entry {
        at: Moment(6),
        input: incoming,
    };
    let reached = Reached::from_entry(&entry).expect("a connection that stands");
    assert!(reached.incoming());
    assert_eq!(
        (reached.endpoint(), reached.transport()),
        (v6(), Transport::Tcp)
    );
    let others = crate::samples::entries();
    assert_eq!(others.iter().filter_map(Reached::from_entry).count(), 2);
}

#[test]
fn echoes_other_swarms_and_other_protocols_do_not_join() {
    let join = |bytes: &[u8]| Joined::from_handshake(reached(0), &ours(), bytes);
    assert_eq!(join(&ours().encode()), Err(NotJoined::OwnPeerId));
    let mut other = handshake(*b"-LT2110-abcdefghijkl");
    other.info_hash = InfoHash([8; 20]);
    let expected = InfoHash([7; 20]);
    let error = NotJoined::InfoHash {
        got: other.info_hash,
        expected,
    };
    assert_eq!(join(&other.encode()), Err(error));
    assert!(matches!(
        join(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
        Err(NotJoined::Len { got: 28 })
    ));
    let mut http = [b' '; 68];
    http[..8].copy_from_slice(b"HTTP/1.1");
    assert!(matches!(join(&http), Err(NotJoined::Protocol { .. })));
    let joined = join(&theirs()).expect("a handshake");
    assert_eq!(joined.peer_id(), Said(PeerId(*b"-LT2110-abcdefghijkl")));
}

#[test]
fn a_claim_is_worded_as_a_claim() {
    let mut set = Bitfield::empty(4);
    set.insert(PieceIndex(2));
    let claimed = Claimed::from_set(joined(0), &Said(set));
    assert_eq!(
        (claimed.pieces(), claimed.share_ppm()),
        (Said(1), Said(250_000))
    );
    assert_eq!(claimed.shows(), "127.0.0.2:6881 claims 1 of 4 pieces");
    assert!(Claimed::DOES_NOT_SHOW.contains("not show that it has them"));
}

#[test]
fn blocks_that_were_not_asked_for_are_not_delivered() {
    let asked = Block {
        piece: PieceIndex(0),
        begin: 0,
        len: 4,
    };
    let got = Block { begin: 4, ..asked };
    let other = Delivered::from_payload(claimed(0), asked, got, b"four");
    assert_eq!(other, Err(NotDelivered::OtherBlock { got, asked }));
    let short = Delivered::from_payload(claimed(0), asked, asked, b"two");
    assert_eq!(
        short,
        Err(NotDelivered::Len {
            got: 3,
            expected: 4
        })
    );
}

#[test]
fn a_piece_is_verified_only_whole_from_one_connection_and_by_its_hash() {
    let (content, blocks) = (content(0), delivered(0, 0));
    let expected = PieceHashes::from(sha1(&content));
    assert_eq!(
        Verified::check(&[], &content, &expected),
        Err(NotVerified::NoBlock)
    );
    let gap = Verified::check(&blocks[1..], &content, &expected);
    assert_eq!(
        gap,
        Err(NotVerified::Gap {
            got: 16_384,
            expected: 0
        })
    );
    let short = Verified::check(&blocks[..2], &content, &expected);
    assert_eq!(
        short,
        Err(NotVerified::Gap {
            got: 40_000,
            expected: 32_768
        })
    );
    let twice = [&blocks[..1], &blocks].concat();
    assert!(matches!(
        Verified::check(&twice, &content, &expected),
        Err(NotVerified::Gap { .. })
    ));
    let mut two_senders = blocks.clone();
    two_senders[0] = delivered(2, 0)[0];
    let error = NotVerified::SeveralSenders(ConnId(2), ConnId(0));
    assert_eq!(
        Verified::check(&two_senders, &content, &expected),
        Err(error)
    );
    let mut two_pieces = blocks.clone();
    two_pieces[0] = delivered(0, 1)[0];
    let error = NotVerified::SeveralPieces(PieceIndex(1), PieceIndex(0));
    assert_eq!(
        Verified::check(&two_pieces, &content, &expected),
        Err(error)
    );
    let mut garbage = content.clone();
    garbage[9] ^= 1;
    let error = NotVerified::Digest {
        got: expected.hash(&garbage),
        expected: expected.digests(),
    };
    assert_eq!(Verified::check(&blocks, &garbage, &expected), Err(error));
    let collided = include_bytes!("../../../../testdata/sha1/shattered-2.bin");
    let of_torrent = sha1(include_bytes!("../../../../testdata/sha1/shattered-1.bin"));
    let of_torrent = PieceHashes::from(of_torrent);
    let attack = [collided, &content[collided.len()..]].concat();
    let error = NotVerified::Digest {
        got: of_torrent.hash(&attack),
        expected: of_torrent.digests(),
    };
    assert_eq!(Verified::check(&blocks, &attack, &of_torrent), Err(error));
    let sha1 = sha1(&attack);
    let error = NotVerified::Attack { sha1 };
    assert_eq!(Verified::check(&blocks, &attack, &sha1.into()), Err(error));
    let mut shuffled = blocks;
    shuffled.reverse();
    let verified = Verified::check(&shuffled, &content, &expected).expect("the piece");
    assert_eq!(
        (*verified.piece().get(), verified.digests()),
        (PieceIndex(0), expected.digests())
    );
}

#[test]
fn whole_needs_every_piece_from_one_endpoint() {
    let missing = Whole::from_pieces(&[verified(0, 1), verified(2, 1)]);
    assert_eq!(
        missing,
        Err(NotWhole::Missing {
            got: 1,
            expected: 2
        })
    );
    assert_eq!(Whole::from_pieces(&[]), Err(NotWhole::NoPiece));
    let whole = Whole::from_pieces(&[verified(0, 1), verified(2, 0)]).expect("both pieces");
    assert_eq!(
        whole.shows(),
        "127.0.0.2:6881 sent all 2 pieces, each verified"
    );
}

fn recorded(body: Body) -> Record {
    let utc = UtcInterval {
        earliest_us: 0,
        latest_us: 1,
        synchronised: true,
    };
    Record {
        run: 1,
        at: Moment(5),
        utc,
        body,
        unknown: Vec::new(),
    }
}

/// In version 2 the same blocks are judged by the root of their tree, and the record by the roots.
#[test]
fn a_piece_of_version_2_is_verified_by_its_root() {
    let (content, blocks) = (content(0), delivered(0, 0));
    let leaves: Vec<_> = content.chunks(16_384).map(merkle::leaf).collect();
    let root = merkle::root(&leaves, 4);
    let expected = PieceHashes::from(PieceV2 {
        file: 0,
        len: PIECE_LEN,
        root,
        width: 4,
    });
    let verified = Verified::check(&blocks, &content, &expected).expect("the piece");
    assert_eq!(verified.digests(), expected.digests());
    assert!(verified.shows().contains(&root.to_string()));
    let mut garbage = content.clone();
    garbage[39_999] ^= 1;
    let error = NotVerified::Digest {
        got: expected.hash(&garbage),
        expected: expected.digests(),
    };
    assert_eq!(Verified::check(&blocks, &garbage, &expected), Err(error));
    // A ledger that says the SHA-1 instead, however right it is, says what was not compared.
    let recorded = recorded_verified(sha1(&content));
    assert!(matches!(
        recorded.check(&blocks, &content, &expected),
        Err(CheckFailed::OtherPiece { index: 9, .. })
    ));
}

fn recorded_verified(sha1: Sha1Digest) -> Recorded<Verified> {
    let (conn, transport) = (ConnId(0), Transport::Tcp);
    let (local, endpoint, incoming, target) = (v4(), v4(), false, None);
    let reached = recorded(Body::Reached {
        target,
        conn,
        local,
        endpoint,
        incoming,
        transport,
    });
    let reached = Recorded::<Reached>::read(3, &reached).expect("its kind");
    assert!(reached.check(&opened(0)).is_ok());
    assert!(matches!(
        reached.check(&opened(2)),
        Err(CheckFailed::OtherConnection { .. })
    ));
    let verified = recorded(Body::Verified {
        conn,
        piece: PieceIndex(0),
        sha1: Some(sha1),
        root: None,
    });
    assert_eq!(Recorded::<Joined>::read(9, &verified, &reached), None);
    Recorded::<Verified>::read(9, &verified, &reached).expect("its kind and connection")
}

#[test]
fn what_is_recorded_becomes_the_grade_only_by_hashing_again() {
    let content = content(0);
    let digest = sha1(&content);
    let record = recorded_verified(digest);
    let words = "127.0.0.2:6881 recorded as verified, piece 0, not hashed again here";
    assert_eq!(
        (record.grade(), record.shows()),
        (Grade::Verified, words.into())
    );
    let checked = record
        .check(&delivered(0, 0), &content, &digest.into())
        .expect("the piece");
    assert!(
        checked
            .shows()
            .starts_with("127.0.0.2:6881 sent piece 0, which hashes to")
    );
    let mut changed = content.clone();
    changed[0] ^= 1;
    let error = record
        .check(&delivered(0, 0), &changed, &digest.into())
        .expect_err("changed");
    assert!(
        matches!(error, CheckFailed::NotVerified { index: 9, .. }),
        "{error}"
    );
    let other = record
        .check(&delivered(2, 0), &content, &digest.into())
        .expect_err("other connection");
    assert!(
        matches!(other, CheckFailed::OtherConnection { index: 9, .. }),
        "{other}"
    );
    let forged = recorded_verified(sha1(b"something else"));
    let error = forged
        .check(&delivered(0, 0), &content, &digest.into())
        .expect_err("forged");
    assert!(
        matches!(error, CheckFailed::OtherPiece { index: 9, .. }),
        "{error}"
    );
}

#[test]
fn grades_are_ordered_as_the_ladder() {
    assert!(Grade::ALL.is_sorted());
    let names: Vec<&str> = Grade::ALL.iter().map(|grade| grade.name()).collect();
    assert_eq!(
        names.join(" "),
        "listed reached joined claimed delivered verified whole"
    );
}
