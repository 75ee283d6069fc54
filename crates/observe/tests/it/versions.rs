//! Torrents of version 2 and hybrids: a swarm for each name, and what its version says of a piece.

use skep_evidence::record::{Body, Record, TargetIndex};
use skep_hash::{Sha256Digest, merkle};
use skep_sim::strangers::{Client, Content, World, config, host};
use skep_wire::{
    PieceIndex,
    metainfo::{PieceDigests, Version},
};

/// Two files that end within a piece and one of whole pieces.
const LENS: [u64; 3] = [70_000, 20_000, 2 * 32_768];

/// The content of both swarms of a hybrid, or of the only one.
fn contents(version: Version) -> Vec<Content> {
    Content::of_files(5, version, &LENS, 32_768)
}

/// What is recorded of a run in which the operator names an endpoint at which a client of each swarm answers,
/// for the torrent and for one that is not there.
fn watched(contents: &[Content], client: impl Fn(&Content) -> Client) -> Vec<Record> {
    let mut config = config();
    (config.whole, config.visit_secs) = (true, 10);
    config.endpoints = vec![(0, host(1)), (1, host(9))];
    let targets = contents.iter().map(|content| content.target.clone());
    let mut world = World::new(config, targets.collect());
    // It is visited in one swarm after the other.
    let mut turns: Vec<Client> = contents.iter().rev().map(client).collect();
    world.takes(host(1), move || {
        turns.pop().expect("one visit in each swarm")
    });
    world.run_until(50);
    world.stop();
    world.records()
}

fn bodies<'a>(records: &'a [Record], kind: &'a str) -> impl Iterator<Item = &'a Body> {
    let bodies = records.iter().map(|record| &record.body);
    bodies.filter(move |body| body.kind() == kind)
}

/// Which pieces were verified in a swarm, with their digests.
fn verified(records: &[Record], swarm: u32) -> Vec<(PieceIndex, PieceDigests)> {
    let joined = bodies(records, "joined").find_map(|body| match body {
        Body::Joined { target, conn, .. } => (target.0 == swarm).then_some(*conn),
        _ => None,
    });
    let joined = joined.expect("it joined in this swarm");
    let verified = bodies(records, "verified").filter_map(|body| match *body {
        Body::Verified {
            conn,
            piece,
            sha1,
            root,
        } => (conn == joined).then_some((piece, PieceDigests { sha1, root })),
        _ => None,
    });
    let mut verified: Vec<_> = verified.collect();
    verified.sort_unstable();
    verified
}

/// How many bytes of blocks were delivered.
fn delivered_bytes(records: &[Record]) -> u64 {
    let blocks = bodies(records, "delivered").filter_map(|body| match body {
        Body::Delivered { block, .. } => Some(u64::from(block.len)),
        _ => None,
    });
    blocks.sum()
}

/// Under the truncated info-hash it joins; every piece, each ending with its file, is verified by its root in
/// the piece layers alone, and the whole content came.
#[test]
fn a_torrent_of_version_2_is_verified_by_its_trees() {
    let contents = contents(Version::V2);
    let [content] = contents.as_slice() else {
        panic!("one swarm")
    };
    let records = watched(&contents, Client::seeder);
    let info = &content.target.metainfo.info;
    let full = content
        .target
        .metainfo
        .info_hash_v2
        .expect("it is of version 2");
    let named: Vec<&Body> = bodies(&records, "target").collect();
    match named.as_slice() {
        [
            Body::Target {
                info_hash,
                info_hash_v2,
                size_bytes,
                ..
            },
        ] => {
            assert_eq!((*info_hash, *info_hash_v2), (full.truncated(), Some(full)));
            assert_eq!(*size_bytes, LENS.iter().sum::<u64>());
        }
        other => panic!("{other:?}"),
    }
    let expected: Vec<_> = (0..info.piece_count())
        .map(|piece| {
            let root = Some(info.pieces_v2[piece as usize]);
            (PieceIndex(piece), PieceDigests { sha1: None, root })
        })
        .collect();
    assert_eq!(verified(&records, 0), expected);
    assert_eq!(delivered_bytes(&records), LENS.iter().sum::<u64>());
    assert_eq!(bodies(&records, "whole").count(), 1);
    assert_eq!(bodies(&records, "refuted").count(), 0);
}

/// Both swarms are watched, one visit after the other. In that of version 1 a piece has its padding and both
/// digests; in that of version 2 it ends with its file and has its root.
#[test]
fn both_swarms_of_a_hybrid_are_watched() {
    let contents = contents(Version::Hybrid);
    let records = watched(&contents, Client::seeder);
    let metainfo = &contents[0].target.metainfo;
    let info = &metainfo.info;
    let named = bodies(&records, "target").map(|body| match body {
        Body::Target {
            info_hash,
            info_hash_v2,
            ..
        } => (*info_hash, *info_hash_v2),
        other => panic!("{other:?}"),
    });
    let names: Vec<_> = metainfo.info_hashes().collect();
    assert_eq!(
        named.collect::<Vec<_>>(),
        [
            (names[0], metainfo.info_hash_v2),
            (names[1], metainfo.info_hash_v2)
        ]
    );
    let all = |with_sha1: bool| -> Vec<_> {
        let digests = |piece: usize| PieceDigests {
            sha1: with_sha1.then(|| info.pieces[piece]),
            root: Some(info.pieces_v2[piece]),
        };
        (0..info.piece_count())
            .map(|piece| (PieceIndex(piece), digests(piece as usize)))
            .collect()
    };
    assert_eq!(verified(&records, 0), all(true));
    assert_eq!(verified(&records, 1), all(false));
    let payload = LENS.iter().sum::<u64>();
    assert_eq!(delivered_bytes(&records), info.size_bytes + payload);
    assert_eq!(bodies(&records, "whole").count(), 2);
    let at = |wanted: &dyn Fn(&Body) -> bool| {
        let mut found = records.iter().filter(|record| wanted(&record.body));
        found.next().expect("there is one").at
    };
    let ended = at(&|body| matches!(body, Body::Closed { .. }));
    let second = TargetIndex(1);
    let begun = at(&|body| matches!(body, Body::Attempted { target, .. } if *target == second));
    assert_eq!(
        ended, begun,
        "the second visit waits for the end of the first"
    );
}

/// One byte of each piece is another: what came is delivered, and refuted with the roots of both, in whichever
/// swarm; nothing is verified.
#[test]
fn a_changed_byte_is_refuted_by_the_tree() {
    for version in [Version::V2, Version::Hybrid] {
        let contents = contents(version);
        let info = contents[0].target.metainfo.info.clone();
        let records = watched(&contents, |content| {
            Client::seeder(content).forging(|block, bytes| {
                let mut bytes = bytes.to_vec();
                bytes[0] ^= u8::from(block.begin == 0);
                bytes
            })
        });
        assert_eq!(bodies(&records, "verified").count(), 0);
        let mut count = 0;
        for body in bodies(&records, "refuted") {
            let &Body::Refuted {
                piece: index,
                expected_root,
                got_root,
                ..
            } = body
            else {
                unreachable!("of this kind")
            };
            count += 1;
            let piece = info.piece_v2(index).expect("it is in the torrent");
            assert_eq!(expected_root, Some(piece.root));
            let begin = index.0 as usize * info.piece_len as usize;
            let mut came = contents[0].bytes[begin..][..piece.len as usize].to_vec();
            came[0] ^= 1;
            let leaves: Vec<Sha256Digest> = came.chunks(16_384).map(merkle::leaf).collect();
            assert_eq!(got_root, Some(merkle::root(&leaves, piece.width.into())));
        }
        assert!(count > 0, "{version:?}");
    }
}
