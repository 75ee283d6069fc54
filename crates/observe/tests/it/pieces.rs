//! Which pieces are asked for, and what comes of it.

use std::collections::BTreeSet;

use skep_evidence::record::Body;
use skep_sim::strangers::{Client, Content, Script, World, config, handshake, host, messages};
use skep_wire::{PieceIndex, peer::Message};

fn asked(bodies: &[Body]) -> Vec<PieceIndex> {
    bodies
        .iter()
        .filter_map(|body| match body {
            Body::PieceAsked { piece, .. } => Some(*piece),
            _ => None,
        })
        .collect()
}

fn verified(bodies: &[Body]) -> Vec<PieceIndex> {
    bodies
        .iter()
        .filter_map(|body| match body {
            Body::Verified { piece, .. } => Some(*piece),
            _ => None,
        })
        .collect()
}

/// As many pieces a visit as planned; those that it delivered verified come last.
#[test]
fn each_visit_asks_for_other_pieces() {
    let content = Content::small(&[]);
    let mut config = config();
    config.endpoints = vec![(0, host(1))];
    config.pieces_per_visit = 3;
    let mut world = World::new(config, vec![content.target.clone()]);
    let client = content.clone();
    world.takes(host(1), move || Client::seeder(&client));
    world.run_until(20);
    assert_eq!(asked(&world.bodies()).len(), 3);
    world.run_until(92 * 3 + 20);
    let pieces = verified(&world.bodies());
    assert_eq!(pieces.len(), 12, "four visits");
    let first: BTreeSet<PieceIndex> = pieces[..10].iter().copied().collect();
    assert_eq!(first.len(), 10, "no piece twice before every piece once");
}

/// What is asked for follows from the seed, the endpoint and the info-hash, and from nothing else.
#[test]
fn the_choice_follows_from_the_seed() {
    let choice = |seed: u8| {
        let content = Content::small(&[]);
        let mut config = config();
        config.seed = [seed; 32];
        config.pieces_per_visit = 4;
        config.endpoints = vec![(0, host(1)), (0, host(2))];
        let mut world = World::new(config, vec![content.target.clone()]);
        for n in [1, 2] {
            let client = content.clone();
            world.takes(host(n), move || Client::seeder(&client));
        }
        world.run_until(20);
        asked(&world.bodies())
    };
    assert_eq!(choice(1), choice(1));
    assert_ne!(choice(1), choice(2));
}

/// In whole mode every piece is fetched from the one endpoint, over visits if need be, and the last
/// one makes it `Whole`, once.
#[test]
fn the_whole_content_from_one_endpoint_is_whole() {
    let content = Content::small(&[]);
    let mut config = config();
    config.endpoints = vec![(0, host(1)), (0, host(2))];
    config.whole = true;
    let mut world = World::new(config, vec![content.target.clone()]);
    let (seeder, half) = (content.clone(), content.clone());
    world.takes(host(1), move || Client::seeder(&seeder));
    world.takes(host(2), move || {
        Client::seeder(&half).with_pieces(&[0, 1, 2, 3, 4, 5, 6, 7, 8])
    });
    world.run_until(300);
    let bodies = world.bodies();
    assert_eq!(verified(&bodies).len(), 19, "ten and nine, none twice");
    let whole: Vec<_> = bodies
        .iter()
        .filter_map(|body| match body {
            Body::Whole { conn } => Some(*conn),
            _ => None,
        })
        .collect();
    assert_eq!(whole.len(), 1);
    let last = bodies
        .iter()
        .position(|body| matches!(body, Body::Whole { .. }));
    assert!(
        matches!(
            last.and_then(|at| bodies.get(at - 1)),
            Some(Body::Verified { conn, .. }) if *conn == whole[0]
        ),
        "it follows from the piece that came last"
    );
    assert!(bodies.iter().any(|body| matches!(
        body,
        Body::Reached { conn, endpoint, .. } if *conn == whole[0] && *endpoint == host(1)
    )));
}

/// Choked in the middle of a piece, without the fast extension: the requests are void, and are made
/// again when it unchokes. All blocks come on this connection, so the piece is verified.
#[test]
fn a_piece_is_finished_after_a_choke() {
    let content = Content::new(4 * 65_536, 65_536, &[]);
    let mut config = config();
    config.endpoints = vec![(0, host(1))];
    let mut world = World::new(config, vec![content.target.clone()]);
    let (hash, all) = (content.target.metainfo.info_hash, content.clone());
    world.takes(host(1), move || {
        let mut hello = handshake(hash, b"-XX0001-abcdefghijkl");
        hello[20..28].fill(0);
        let piece = PieceIndex(0);
        let blocks: Vec<_> = skep_wire::piece::blocks_of(piece, 65_536).collect();
        let send = |range: std::ops::Range<usize>| {
            let mut out = Vec::new();
            for &block in &blocks[range] {
                Message::Piece(block).encode(&mut out);
                out.extend(all.block(block));
            }
            out
        };
        let claims = messages(&[Message::Bitfield(&[0b1000_0000]), Message::Unchoke]);
        let choke = [send(0..2), messages(&[Message::Choke])].concat();
        Script::new([
            (0, [hello, claims].concat()),
            (1_000, choke),
            (2_000, messages(&[Message::Unchoke])),
            (3_000, send(2..4)),
        ])
    });
    world.run_until(20);
    let bodies = world.bodies();
    let refused = bodies
        .iter()
        .filter(|body| matches!(body, Body::Refused { .. }))
        .count();
    assert_eq!(refused, 2);
    assert!(
        bodies
            .iter()
            .any(|body| matches!(body, Body::PieceAsked { blocks: 4, .. }))
    );
    assert!(
        bodies
            .iter()
            .any(|body| matches!(body, Body::PieceAsked { blocks: 2, .. }))
    );
    assert_eq!(verified(&bodies), [PieceIndex(0)]);
}

/// A connection ends in the middle of a piece. The next one begins it anew: blocks of two connections
/// never make one piece.
#[test]
fn blocks_of_two_connections_make_no_piece() {
    let content = Content::new(2 * 32_768, 32_768, &[]);
    let mut config = config();
    config.endpoints = vec![(0, host(1))];
    let mut world = World::new(config, vec![content.target.clone()]);
    let (hash, all, mut visit) = (content.target.metainfo.info_hash, content.clone(), 0);
    world.takes(host(1), move || {
        let hello = handshake(hash, b"-XX0001-abcdefghijkl");
        let blocks: Vec<_> = skep_wire::piece::blocks_of(PieceIndex(0), 32_768).collect();
        let block = blocks[visit % 2];
        visit += 1;
        let mut out = Message::Piece(block).to_bytes();
        out.extend(all.block(block));
        let claims = messages(&[Message::Bitfield(&[0b1000_0000]), Message::Unchoke]);
        Script::new([(0, [hello, claims].concat()), (1_000, out)]).closing()
    });
    world.run_until(130);
    let bodies = world.bodies();
    let delivered: BTreeSet<u32> = bodies
        .iter()
        .filter_map(|body| match body {
            Body::Delivered { block, .. } => Some(block.begin),
            _ => None,
        })
        .collect();
    assert_eq!(delivered.len(), 2, "both halves came");
    assert_eq!(verified(&bodies), [], "but never on one connection");
}

/// A piece of many blocks is asked for in steps, and verified.
#[test]
fn a_large_piece_is_fetched_in_steps() {
    let content = Content::new(2 * 1_048_576, 1_048_576, &[]);
    let mut config = config();
    config.endpoints = vec![(0, host(1))];
    let mut world = World::new(config, vec![content.target.clone()]);
    let client = content.clone();
    world.takes(host(1), move || Client::seeder(&client));
    world.run_until(20);
    let bodies = world.bodies();
    assert_eq!(verified(&bodies).len(), 1);
    let delivered = bodies
        .iter()
        .filter(|body| matches!(body, Body::Delivered { .. }))
        .count();
    assert_eq!(delivered, 64);
    let steps = bodies
        .iter()
        .filter(|body| matches!(body, Body::PieceAsked { .. }))
        .count();
    assert_eq!(steps, 1);
}

/// It refuses one block of a piece and sends the other a moment later. We ask for another piece
/// instead, and yet record what came: no block that it uploaded to us is missing.
#[test]
fn a_block_that_comes_after_its_piece_was_given_up_is_recorded() {
    let content = Content::new(4 * 32_768, 32_768, &[]);
    let mut config = config();
    config.endpoints = vec![(0, host(1))];
    let mut world = World::new(config, vec![content.target.clone()]);
    let (hash, all) = (content.target.metainfo.info_hash, content.clone());
    world.takes(host(1), move || {
        let hello = handshake(hash, b"-XX0001-abcdefghijkl");
        let blocks: Vec<_> = skep_wire::piece::blocks_of(PieceIndex(0), 32_768).collect();
        let claims = messages(&[Message::Bitfield(&[0b1000_0000]), Message::Unchoke]);
        let refusal = messages(&[Message::RejectRequest(blocks[0])]);
        let mut late = Message::Piece(blocks[1]).to_bytes();
        late.extend(all.block(blocks[1]));
        Script::new([
            (0, [hello, claims].concat()),
            (1_000, refusal),
            (2_000, late),
        ])
    });
    world.run_until(20);
    let bodies = world.bodies();
    let delivered: Vec<u32> = bodies
        .iter()
        .filter_map(|body| match body {
            Body::Delivered { block, .. } => Some(block.begin),
            _ => None,
        })
        .collect();
    assert_eq!(delivered, [16_384]);
    assert_eq!(verified(&bodies), []);
}
