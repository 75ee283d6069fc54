//! What endpoints say, and what it is worth.

use std::time::Duration;

use skep_evidence::record::{Body, ClaimKind, CloseKind};
use skep_sim::strangers::{Client, Content, Script, World, config, handshake, host, messages};
use skep_wire::{PieceIndex, peer::Message};

const ID: &[u8; 20] = b"-XX0001-abcdefghijkl";

/// A world with one endpoint, which the operator names.
fn world(content: &Content) -> World {
    let mut config = config();
    config.endpoints = vec![(0, host(1))];
    World::new(config, vec![content.target.clone()])
}

/// An honest seeder climbs the whole ladder up to a verified piece, in order.
#[test]
fn a_seeder_is_listed_reached_joined_claimed_delivered_and_verified() {
    let content = Content::small(&[]);
    let mut world = world(&content);
    let seeder = content.clone();
    world.takes(host(1), move || Client::seeder(&seeder));
    world.run_until(20);
    let bodies = world.bodies();
    let place = |what: fn(&Body) -> bool| bodies.iter().position(what).expect("it is recorded");
    let order = [
        place(|body| matches!(body, Body::Clock { .. })),
        place(|body| matches!(body, Body::Target { .. })),
        place(|body| matches!(body, Body::Listed { .. })),
        place(|body| matches!(body, Body::Attempted { .. })),
        place(|body| matches!(body, Body::Reached { .. })),
        place(|body| matches!(body, Body::Joined { .. })),
        place(|body| matches!(body, Body::ClaimedSet { .. })),
        place(|body| matches!(body, Body::Offers { .. })),
        place(|body| matches!(body, Body::PieceAsked { .. })),
        place(|body| matches!(body, Body::Delivered { .. })),
        place(|body| matches!(body, Body::Verified { .. })),
    ];
    assert!(order.is_sorted(), "{order:?}");
    let verified = bodies
        .iter()
        .filter(|body| matches!(body, Body::Verified { .. }))
        .count();
    assert_eq!(verified, 1, "one piece a visit is asked for");
    assert!(
        !bodies
            .iter()
            .any(|body| matches!(body, Body::Whole { .. } | Body::Refuted { .. }))
    );
}

/// A peer has everything, chokes us, and allows two pieces: it has ten and offers two. When it
/// unchokes us it offers ten, and when it chokes us again, two.
#[test]
fn what_it_has_is_not_what_it_offers() {
    let content = Content::small(&[]);
    let mut world = world(&content);
    let hash = content.target.metainfo.info_hash;
    world.takes(host(1), move || {
        let first = [
            handshake(hash, ID),
            messages(&[
                Message::HaveAll,
                Message::AllowedFast(PieceIndex(3)),
                Message::AllowedFast(PieceIndex(7)),
            ]),
        ];
        let (unchoke, choke) = (messages(&[Message::Unchoke]), messages(&[Message::Choke]));
        Script::new([(0, first.concat()), (2_000, unchoke), (3_000, choke)])
    });
    world.run_until(10);
    let bodies = world.bodies();
    let has: Vec<(u32, u32)> = bodies
        .iter()
        .filter_map(|body| match body {
            Body::ClaimedSet {
                pieces, share_ppm, ..
            } => Some((*pieces, *share_ppm)),
            _ => None,
        })
        .collect();
    let offers: Vec<(u32, u32, bool)> = bodies
        .iter()
        .filter_map(|body| match body {
            Body::Offers {
                pieces,
                share_ppm,
                choked,
                ..
            } => Some((*pieces, *share_ppm, *choked)),
            _ => None,
        })
        .collect();
    assert_eq!(has, [(10, 1_000_000)]);
    assert_eq!(
        offers,
        [
            (1, 100_000, true),
            (2, 200_000, true),
            (10, 1_000_000, false),
            (2, 200_000, true)
        ]
    );
    // While it choked us, only what it allowed was asked for.
    let asked = bodies.iter().find_map(|body| match body {
        Body::PieceAsked { piece, .. } => Some(*piece),
        _ => None,
    });
    assert_eq!(
        asked,
        Some(PieceIndex(3)),
        "the only piece that was allowed by then"
    );
}

/// A piece that a peer says it does not claim is never asked of it, though it allows it.
#[test]
fn an_allowed_piece_that_it_does_not_claim_is_not_offered() {
    let content = Content::small(&[]);
    let mut world = world(&content);
    let hash = content.target.metainfo.info_hash;
    world.takes(host(1), move || {
        let said = [
            handshake(hash, ID),
            messages(&[Message::HaveNone, Message::AllowedFast(PieceIndex(3))]),
        ];
        Script::new([(0, said.concat())])
    });
    world.run_until(10);
    let bodies = world.bodies();
    let asked = |body: &Body| matches!(body, Body::PieceAsked { .. } | Body::Offers { .. });
    assert!(!bodies.iter().any(asked));
    assert!(bodies.iter().any(|body| matches!(
        body,
        Body::ClaimedSet {
            how: ClaimKind::HaveNone,
            pieces: 0,
            ..
        }
    )));
}

/// Gains are claims with an interval: from when it was last heard without the piece.
#[test]
fn a_gain_has_the_interval_in_which_it_lies() {
    let content = Content::small(&[]);
    let mut world = world(&content);
    let client = content.clone();
    world.takes(host(1), move || {
        Client::seeder(&client)
            .with_pieces(&[0, 1])
            .gaining(&[(5, 2), (9, 3)])
            .choking()
    });
    world.run_until(20);
    let records = world.records();
    let set = records
        .iter()
        .find(|record| matches!(record.body, Body::ClaimedSet { pieces: 2, .. }))
        .expect("it says what it has");
    let gains: Vec<_> = records
        .iter()
        .filter_map(|record| match record.body {
            Body::ClaimedGain {
                piece,
                since,
                pieces,
                ..
            } => Some((piece.0, since, pieces, record.at)),
            _ => None,
        })
        .collect();
    assert_eq!(gains.len(), 2);
    assert_eq!((gains[0].0, gains[0].1, gains[0].2), (2, Some(set.at), 3));
    assert_eq!(
        (gains[1].0, gains[1].1, gains[1].2),
        (3, Some(gains[0].3), 4)
    );
    assert!(gains[1].3 > gains[0].3);
}

/// Between two visits it gained pieces: the second set says how many, and since when.
#[test]
fn growth_between_visits_is_a_gain_since_the_last_visit() {
    let content = Content::small(&[]);
    let mut world = world(&content);
    let (client, mut visits) = (content.clone(), 0);
    world.takes(host(1), move || {
        visits += 1;
        let pieces: Vec<u32> = (0..visits * 3).collect();
        Client::seeder(&client).with_pieces(&pieces).choking()
    });
    world.run_until(120);
    let sets: Vec<(u32, u32, bool)> = world
        .bodies()
        .iter()
        .filter_map(|body| match body {
            Body::ClaimedSet {
                pieces,
                gained,
                since,
                ..
            } => Some((*pieces, *gained, since.is_some())),
            _ => None,
        })
        .collect();
    assert_eq!(sets, [(3, 0, false), (6, 3, true)]);
}

#[test]
fn upload_only_is_a_claim_and_nothing_more() {
    let content = Content::small(&[]);
    let mut world = world(&content);
    let client = content.clone();
    world.takes(host(1), move || {
        Client::seeder(&client).upload_only().choking()
    });
    world.run_until(20);
    let bodies = world.bodies();
    let kinds: Vec<ClaimKind> = bodies
        .iter()
        .filter_map(|body| match body {
            Body::ClaimedSet { how, .. } => Some(*how),
            _ => None,
        })
        .collect();
    assert!(kinds.contains(&ClaimKind::UploadOnly), "{kinds:?}");
    assert!(
        !bodies
            .iter()
            .any(|body| matches!(body, Body::Delivered { .. }))
    );
}

/// Choked for ever: it stays Claimed, is never asked, and the visit ends as planned.
#[test]
fn a_peer_that_never_unchokes_stays_claimed() {
    let content = Content::small(&[]);
    let mut world = world(&content);
    let client = content.clone();
    world.takes(host(1), move || Client::seeder(&client).choking());
    world.run_until(40);
    let bodies = world.bodies();
    assert!(
        bodies
            .iter()
            .any(|body| matches!(body, Body::ClaimedSet { pieces: 10, .. }))
    );
    assert!(!bodies.iter().any(|body| matches!(
        body,
        Body::PieceAsked { .. } | Body::Offers { .. } | Body::Delivered { .. }
    )));
    let closed = bodies.iter().find_map(|body| match body {
        Body::Closed {
            how, payload_out, ..
        } => Some((*how, *payload_out)),
        _ => None,
    });
    assert_eq!(closed, Some((CloseKind::UsDone, 0)));
}

/// Every source names bytes that came: recomputing its digest from what was fed agrees.
#[test]
fn every_source_points_at_the_bytes_it_speaks_of() {
    let content = Content::small(&[]);
    let mut world = world(&content);
    let client = content.clone();
    world.takes(host(1), move || Client::seeder(&client).gaining(&[(2, 1)]));
    world.run_until(20);
    let (mut stream, mut offsets) = (Vec::new(), Vec::new());
    for (entry, bytes, _) in world.log() {
        if let skep_evidence::journal::Input::Received { capture, .. } = entry.input {
            offsets.push((stream.len() as u64, capture));
            stream.extend_from_slice(bytes);
        }
    }
    let mut seen = 0;
    for body in world.bodies() {
        let (Body::Joined { source, .. }
        | Body::Extended { source, .. }
        | Body::ClaimedSet { source, .. }
        | Body::Offers { source, .. }
        | Body::Delivered { source, .. }) = body
        else {
            continue;
        };
        let bytes = &stream[source.stream as usize..][..source.len as usize];
        assert_eq!(skep_hash::sha256(bytes), source.digest);
        let part = offsets
            .iter()
            .rev()
            .find(|(start, _)| *start <= source.stream);
        assert_eq!(part.map(|part| part.1), Some(source.capture));
        seen += 1;
    }
    assert!(seen >= 6, "{seen} statements with bytes");
}

/// What comes by minutes is not lost: a connection is listened to as long as a visit lasts.
#[test]
fn a_connection_is_kept_to_hear_haves() {
    let content = Content::small(&[]);
    let mut world = world(&content);
    let client = content.clone();
    world.takes(host(1), move || {
        Client::seeder(&client)
            .with_pieces(&[])
            .gaining(&[(10, 0), (25, 1)])
    });
    world.stop_after(Duration::from_secs(28));
    world.run_until(40);
    let gains = world
        .bodies()
        .iter()
        .filter(|body| matches!(body, Body::ClaimedGain { .. }))
        .count();
    assert_eq!(gains, 2);
}
