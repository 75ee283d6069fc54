//! What version 2 and hybrids add: two swarms in one machine, hashes for who asks, pieces that are
//! lost, pieces for newcomers.

use skep_hash::Sha256Digest;
use skep_proto::{
    peer::InfoHashes,
    torrent::{
        ALLOWED_FAST_BYTES_MAX, Event, HASH_REFUSAL_SECS, LEAF_REQUESTS_BURST, PeerKey, Source,
        TorrentConfig,
    },
};
use skep_wire::{
    Bitfield, InfoHash, PeerId, PieceIndex, PieceSizes,
    peer::{
        Handshake, HashRequest, Message, Reserved,
        ext::{ExtHandshake, LT_DONTHAVE},
    },
    piece::BLOCK_LEN,
};

use crate::rig::{HASH, Rig, Said, US, V2, addr, block, config, peer_id, set};

fn hybrid(pieces: u32) -> TorrentConfig {
    TorrentConfig {
        info_hashes: InfoHashes::Hybrid { v1: HASH, v2: V2 },
        ..config(pieces)
    }
}

fn v2_only(pieces: u32) -> TorrentConfig {
    TorrentConfig {
        info_hashes: InfoHashes::V2(V2),
        ..config(pieces)
    }
}

fn handshake(info_hash: InfoHash, peer_id: PeerId) -> Vec<u8> {
    let reserved = Reserved::OURS;
    let handshake = Handshake {
        reserved,
        info_hash,
        peer_id,
    };
    handshake.encode().to_vec()
}

/// The name that our handshake on a connection says, and whether its bit of version 2 is set.
fn dials_as(rig: &mut Rig, peer: PeerKey) -> (InfoHash, bool) {
    rig.torrent.handle_connected(peer, rig.now);
    rig.settle();
    let bytes = rig.desk.bytes_sent(peer);
    let ours = Handshake::decode(bytes.first_chunk().expect("whole")).expect("ours");
    (ours.info_hash, ours.reserved.v2())
}

#[test]
fn who_is_named_in_one_swarm_is_dialled_by_its_name() {
    let mut rig = Rig::new(hybrid(4));
    let now = rig.now;
    for (info_hash, addrs) in [
        (V2, &[addr(1), addr(2)][..]),
        (HASH, &[addr(2), addr(3)]),
        (V2, &[addr(3)]),
    ] {
        rig.torrent
            .handle_candidates_of(info_hash, Source::Tracker, addrs, now);
    }
    rig.settle();
    let mut dialled = rig.desk.dialled.clone();
    dialled.sort_by_key(|(_, to)| *to);
    let names: Vec<_> = dialled
        .into_iter()
        .map(|(peer, _)| dials_as(&mut rig, peer))
        .collect();
    // The second was dialled before it was named in the other swarm.
    assert_eq!(names, [(V2, false), (V2, false), (HASH, true)]);
}

/// Peers of the second swarm alone do not know the first name, and close.
#[test]
fn who_does_not_answer_to_one_name_is_dialled_by_the_other() {
    let mut rig = Rig::new(hybrid(4));
    rig.torrent
        .handle_candidates(Source::Operator, &[addr(1)], rig.now);
    rig.settle();
    for name in [(HASH, true), (V2, false), (HASH, true)] {
        let (peer, _) = rig.desk.dialled.pop().expect("it is dialled");
        assert_eq!(dials_as(&mut rig, peer), name);
        rig.ends(peer);
        rig.wait(1800);
    }
}

#[test]
fn a_peer_that_comes_by_both_names_is_one_peer() {
    let mut rig = Rig::new(hybrid(4));
    let first = rig.joins(1, &set(4, [0]));
    let second = rig.torrent.handle_incoming(addr(1), rig.now);
    let second = second.expect("it may be another");
    rig.bytes(second, &handshake(V2, peer_id(1)));
    assert!(rig.is_closed(second) && !rig.is_closed(first));
    let other = rig.joins_v2(2, &set(4, [0]));
    assert!(!rig.is_closed(other));
    assert_eq!(rig.torrent.stats(rig.now).peers, 2);
}

#[test]
fn we_know_ourselves_by_either_name() {
    let mut rig = Rig::new(hybrid(4));
    for name in [HASH, V2] {
        let peer = rig.torrent.handle_incoming(addr(1), rig.now);
        let peer = peer.expect("it may be another");
        rig.bytes(peer, &handshake(name, US));
        assert!(rig.is_closed(peer));
    }
}

fn ask(base_layer: u32, index: u32) -> HashRequest {
    HashRequest {
        root: Sha256Digest([5; 32]),
        base_layer,
        index,
        length: 2,
        proof_layers: 0,
    }
}

fn wants(rig: &mut Rig, peer: PeerKey, requests: &[HashRequest]) {
    let messages: Vec<_> = requests.iter().copied().map(Message::HashRequest).collect();
    rig.says(peer, &messages);
}

/// What a peer was told of hashes.
fn told(rig: &mut Rig, peer: PeerKey) -> Vec<Said> {
    let said = rig.said(peer).into_iter();
    said.filter(|said| matches!(said, Said::Hashes(..) | Said::HashReject(_)))
        .collect()
}

#[test]
fn the_driver_has_one_request_for_hashes_of_a_peer_at_a_time() {
    let mut rig = Rig::new(v2_only(4));
    let peer = rig.joins_v2(1, &set(4, []));
    let other = rig.joins_v2(2, &set(4, []));
    wants(&mut rig, peer, &[ask(3, 0), ask(3, 2), ask(3, 4)]);
    wants(&mut rig, other, &[ask(0, 2)]);
    let wanted = std::mem::take(&mut rig.desk.hashes_wanted);
    assert_eq!(wanted, [(peer, ask(3, 0)), (other, ask(0, 2))]);

    let hashes = [Sha256Digest([1; 32]), Sha256Digest([2; 32])];
    let now = rig.now;
    let answers = |rig: &mut Rig, to, request, hashes: Option<&[_]>| {
        rig.torrent.handle_hashes(to, request, hashes, now);
        rig.settle();
    };
    answers(&mut rig, peer, ask(3, 2), Some(&hashes));
    assert_eq!(told(&mut rig, peer), [], "it was not handed out");
    answers(&mut rig, peer, ask(3, 0), Some(&hashes));
    let right = Said::Hashes(ask(3, 0), hashes.to_vec());
    assert_eq!(told(&mut rig, peer), [right]);
    assert_eq!(rig.desk.hashes_wanted, [(peer, ask(3, 2))]);

    // One hash is no answer to a request for two.
    answers(&mut rig, peer, ask(3, 2), Some(&hashes[..1]));
    assert_eq!(told(&mut rig, peer), [Said::HashReject(ask(3, 2))]);
    assert_eq!(rig.desk.hashes_wanted.len(), 1, "a refusal is a pause");
    rig.wait(HASH_REFUSAL_SECS + 1);
    assert_eq!(rig.desk.hashes_wanted.pop(), Some((peer, ask(3, 4))));
    answers(&mut rig, other, ask(0, 2), None);
    assert_eq!(told(&mut rig, other), [Said::HashReject(ask(0, 2))]);
}

/// Leaves may have to be read from the disk: 53 bytes may cost us a piece.
#[test]
fn requests_that_cost_much_are_answered_slowly() {
    let senseless = HashRequest {
        length: 3,
        ..ask(3, 0)
    };
    for (piece_blocks, request) in [
        (2, ask(0, 0)),
        (2, senseless),
        (1024, ask(1, 0)),
        (1024, ask(9, 0)),
    ] {
        let mut setup = v2_only(4);
        let piece_len = piece_blocks * BLOCK_LEN;
        setup.sizes = PieceSizes::uniform(piece_len, 4 * u64::from(piece_len));
        let mut rig = Rig::new(setup);
        let peer = rig.joins_v2(1, &set(4, []));
        let mut answered = 0;
        let mut most = 0;
        for second in 0..20 {
            wants(
                &mut rig,
                peer,
                &[request; 3][..if second < 10 { 3 } else { 0 }],
            );
            while let Some((to, wanted)) = rig.desk.hashes_wanted.pop() {
                assert_eq!((to, wanted), (peer, request));
                let hashes = [Sha256Digest::default(); 2];
                rig.torrent
                    .handle_hashes(to, wanted, Some(&hashes), rig.now);
                rig.settle();
            }
            answered += told(&mut rig, peer).len();
            most = most.max(answered.saturating_sub(second));
            rig.wait(1);
        }
        assert_eq!(answered, 30, "all are answered in the end");
        let burst = LEAF_REQUESTS_BURST as usize;
        assert!((burst..=burst + 1).contains(&most), "{most}");
    }
}

#[test]
fn a_piece_that_the_disk_lost_is_taken_back_and_fetched_again() {
    let mut setup = v2_only(4);
    setup.have = Bitfield::full(4);
    let mut rig = Rig::new(setup);
    let peer = rig.joins_v2(1, &set(4, [2]));
    let ext = ExtHandshake {
        ids: vec![(LT_DONTHAVE.to_vec(), 9)],
        ..ExtHandshake::default()
    };
    let payload = &ext.encode();
    rig.says(peer, &[Message::Extended { id: 0, payload }]);
    rig.said(peer);
    rig.torrent.handle_piece_lost(PieceIndex(2), rig.now);
    rig.torrent.handle_piece_lost(PieceIndex(2), rig.now);
    rig.settle();
    let said = rig.said(peer);
    let is_taken_back = |said: &&Said| **said == Said::Ext(vec![0, 0, 0, 2]);
    assert_eq!(said.iter().filter(is_taken_back).count(), 1, "{said:?}");
    assert!(said.contains(&Said::Interested));
    let exts = said.iter().filter_map(|said| match said {
        Said::Ext(payload) => ExtHandshake::decode(payload).ok(),
        _ => None,
    });
    let only: Vec<_> = exts.map(|ext| ext.upload_only).collect();
    assert_eq!(only, [Some(false)], "we fetch again");
    assert_eq!(rig.torrent.stats(rig.now).left_bytes, 32 * 1024);
    rig.says(peer, &[Message::Unchoke]);
    assert_eq!(rig.asked(peer), [block(4), block(5)]);
    rig.delivers_piece(peer, PieceIndex(2), 1);
    assert!(rig.torrent.is_complete());
    assert!(rig.desk.events.contains(&Event::Complete));
}

/// A seeder loses a piece, and gets it back.
#[test]
fn a_piece_that_a_peer_has_lost_is_not_asked_of_it() {
    let mut rig = Rig::new(v2_only(2));
    let peer = rig.joins_v2(1, &Bitfield::full(2));
    // Ours is the id 2.
    let lost = |piece: u32| Message::Extended {
        id: 2,
        payload: if piece == 0 { &[0; 4] } else { &[0, 0, 0, 1] },
    };
    rig.says(peer, &[lost(0), lost(1)]);
    assert_eq!(rig.torrent.stats(rig.now).seeds, 0);
    assert!(rig.said(peer).ends_with(&[Said::NotInterested]));
    rig.says(peer, &[Message::Have(PieceIndex(1)), Message::Unchoke]);
    assert_eq!(rig.asked(peer), [block(2), block(3)]);
    rig.says(peer, &[lost(1), Message::RejectRequest(block(2))]);
    rig.says(peer, &[Message::RejectRequest(block(3))]);
    rig.wait(10);
    assert_eq!(rig.asked(peer), []);
    let other = rig.joins_v2(2, &Bitfield::full(2));
    rig.says(other, &[Message::Unchoke]);
    for _ in 0..4 {
        for block in rig.asked(other) {
            rig.delivers(other, block, 1);
            rig.judge(1);
        }
    }
    assert!(rig.torrent.is_complete());
}

#[test]
fn a_newcomer_may_fetch_a_few_pieces_that_we_have_before_it_has_a_slot() {
    let allowed = |setup: TorrentConfig, theirs: &Bitfield| {
        let mut rig = Rig::new(setup);
        let peer = rig.joins(1, theirs);
        let said = rig.said(peer).into_iter();
        let allowed = said.filter_map(|said| match said {
            Said::AllowedFast(piece) => Some(piece),
            _ => None,
        });
        allowed.collect::<Vec<_>>()
    };
    let seeds = |pieces, piece_len: u32| {
        let size_bytes = u64::from(pieces) * u64::from(piece_len);
        let sizes = PieceSizes::uniform(piece_len, size_bytes);
        let mut setup = TorrentConfig::new(HASH, US, sizes);
        setup.have = Bitfield::full(pieces);
        setup
    };
    let to_newcomer = allowed(seeds(100, 32 * 1024), &set(100, []));
    assert_eq!(to_newcomer.len(), 5);
    assert_eq!(allowed(seeds(100, 32 * 1024), &set(100, 0..5)), []);
    let has_some = allowed(seeds(100, 32 * 1024), &set(100, [to_newcomer[0].0]));
    assert_eq!(has_some, to_newcomer[1..]);
    let mut lacks_some = seeds(100, 32 * 1024);
    lacks_some.have.remove(to_newcomer[1]);
    assert_eq!(allowed(lacks_some, &set(100, [])).len(), 4);
    let half = allowed(seeds(100, ALLOWED_FAST_BYTES_MAX / 2), &set(100, []));
    assert_eq!(half.len(), 2);
    let long = allowed(seeds(100, ALLOWED_FAST_BYTES_MAX + 1), &set(100, []));
    assert_eq!(long, []);
}

/// Pieces that end in the middle, as at the ends of files in version 2.
#[test]
fn short_pieces_in_the_middle_are_asked_for_as_they_are() {
    let short = [(PieceIndex(0), 20_000), (PieceIndex(2), 1)];
    let sizes = PieceSizes::with_short(32 * 1024, 4, short).expect("they ascend");
    let mut setup = TorrentConfig::new(InfoHashes::V2(V2), US, sizes);
    setup.have = set(4, [3]);
    let mut rig = Rig::new(setup);
    assert_eq!(rig.torrent.stats(rig.now).left_bytes, 20_000 + 32_768 + 1);
    let peer = rig.joins_v2(1, &Bitfield::full(4));
    rig.says(peer, &[Message::Unchoke]);
    let mut lens = Vec::new();
    let mut asked = rig.asked(peer);
    while let Some(block) = asked.pop() {
        lens.push((block.piece.0, block.begin, block.len));
        rig.delivers(peer, block, 1);
        rig.judge(1);
        asked.extend(rig.asked(peer));
    }
    lens.sort_unstable();
    let (full, rest) = (16_384, 20_000 - 16_384);
    let expected = [
        (0, 0, full),
        (0, full, rest),
        (1, 0, full),
        (1, full, full),
        (2, 0, 1),
    ];
    assert_eq!(lens, expected);
    assert!(rig.torrent.is_complete());
}
