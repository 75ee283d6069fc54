//! Whom we visit and when, and how a run ends.

use std::time::Duration;

use skep_evidence::{
    journal::Input,
    record::{Body, CloseKind},
};
use skep_observe::Action;
use skep_sim::strangers::{
    Client, Content, Host, HttpTracker, Mute, Script, World, config, handshake, host, messages,
};
use skep_wire::{Moment, peer::Message};

fn attempts(world: &World) -> Vec<Moment> {
    let attempted = |body: &Body| matches!(body, Body::Attempted { .. });
    world
        .records()
        .iter()
        .filter(|record| attempted(&record.body))
        .map(|record| record.at)
        .collect()
}

/// Visits last as long as planned and come back after the planned pause.
#[test]
fn an_endpoint_is_visited_again_after_the_pause() {
    let content = Content::small(&[]);
    let mut config = config();
    config.endpoints = vec![(0, host(1))];
    let mut world = World::new(config, vec![content.target.clone()]);
    let client = content.clone();
    world.takes(host(1), move || Client::seeder(&client));
    world.run_until(300);
    let at = attempts(&world);
    let between: Vec<u64> = at
        .windows(2)
        .map(|pair| pair[1].since(pair[0]).as_secs())
        .collect();
    assert_eq!(between, [90, 90, 90], "30 s of visit and 60 s of pause");
}

/// The pause doubles with each failure, up to an hour, and is short again after a handshake.
#[test]
fn failures_are_tried_less_and_less_often() {
    let content = Content::small(&[]);
    let mut config = config();
    config.endpoints = vec![(0, host(1))];
    let mut world = World::new(config, vec![content.target.clone()]);
    world.run_until(16_000);
    let at = attempts(&world);
    let between: Vec<u64> = at
        .windows(2)
        .map(|pair| pair[1].since(pair[0]).as_secs())
        .collect();
    assert_eq!(
        between,
        [60, 120, 240, 480, 960, 1_920, 3_600, 3_600, 3_600]
    );

    let client = content.clone();
    world.takes(host(1), move || Client::seeder(&client));
    world.run_until(30_000);
    let at = attempts(&world);
    let last = at[at.len() - 1].since(at[at.len() - 2]).as_secs();
    assert_eq!(last, 90);
}

/// Never more connections of ours at once than planned; the others wait for their turn, first come
/// first served.
#[test]
fn connections_are_bounded_and_everybody_gets_a_turn() {
    let content = Content::small(&[]);
    let mut config = config();
    config.conns_max = 3;
    config.endpoints = (1..=10).map(|n| (0, host(n))).collect();
    let mut world = World::new(config, vec![content.target.clone()]);
    for n in 1..=10 {
        if n % 3 == 0 {
            world.hosts.insert(host(n), Host::Silent);
        } else {
            world.takes(host(n), || Mute);
        }
    }
    world.run_until(100);
    let (mut open, mut most) = (0i32, 0);
    for (entry, _, step) in world.log() {
        open -= i32::from(matches!(entry.input, Input::Failed { .. }));
        for action in &step.actions {
            match action {
                Action::Connect { .. } => open += 1,
                Action::Close { .. } => open -= 1,
                _ => {}
            }
        }
        most = most.max(open);
    }
    assert_eq!(most, 3);
    let mut first = Vec::new();
    for body in world.bodies() {
        if let Body::Attempted { endpoint, .. } = body
            && !first.contains(&endpoint)
        {
            first.push(endpoint);
        }
    }
    assert_eq!(first, (1..=10).map(host).collect::<Vec<_>>());
}

/// As many may come in as we open; one more is reached, and left at once.
#[test]
fn incoming_connections_are_bounded() {
    let content = Content::small(&[]);
    let mut config = config();
    config.conns_max = 2;
    let mut world = World::new(config, vec![content.target.clone()]);
    for n in 1..=3 {
        let caller = Client::seeder(&content).calling();
        world.comes_in(Duration::from_secs(u64::from(n)), host(n), caller);
    }
    world.run_until(10);
    let bodies = world.bodies();
    let count = |what: fn(&Body) -> bool| bodies.iter().filter(|body| what(body)).count();
    assert_eq!(
        count(|body| matches!(body, Body::Reached { incoming: true, .. })),
        3
    );
    assert_eq!(count(|body| matches!(body, Body::Joined { .. })), 2);
    assert_eq!(
        count(|body| matches!(body, Body::Limited { value: 2, .. })),
        1
    );
}

/// An incoming connection is asked again after a while: nobody can visit it.
#[test]
fn an_incoming_connection_is_asked_again() {
    let content = Content::small(&[]);
    let mut world = World::new(config(), vec![content.target.clone()]);
    world.comes_in(
        Duration::from_secs(1),
        host(1),
        Client::seeder(&content).calling(),
    );
    world.run_until(130);
    let verified: Vec<u64> = world
        .records()
        .iter()
        .filter(|record| matches!(record.body, Body::Verified { .. }))
        .map(|record| record.at.0 / 1_000_000_000)
        .collect();
    assert_eq!(verified, [1, 31, 121]);
}

/// A stop closes every connection with its digests, tells the trackers, and ends the run.
#[test]
fn a_stop_ends_everything_with_nothing_lost() {
    let url = "http://10.0.9.9:80/announce";
    let content = Content::small(&[url]);
    let mut world = World::new(config(), vec![content.target.clone()]);
    world.takes("10.0.9.9:80".parse().expect("an address"), || {
        HttpTracker::new(&[host(1)])
    });
    let client = content.clone();
    world.takes(host(1), move || Client::seeder(&client));
    world.run_until(10);
    world.stop();
    let bodies = world.bodies();
    let stopped = |body: &Body| {
        matches!(
            body,
            Body::Closed {
                how: CloseKind::UsStopped,
                ..
            }
        )
    };
    assert_eq!(bodies.iter().filter(|body| stopped(body)).count(), 1);
    assert!(matches!(
        bodies.last(),
        Some(Body::RunEnded {
            endpoints: 1,
            attempts: 1,
            ..
        })
    ));
    let said: Vec<u8> = world.sent.values().flatten().copied().collect();
    let said = String::from_utf8_lossy(&said);
    assert!(said.contains("event=started") && said.contains("event=stopped"));
}

/// The digests of a closed connection are those of all bytes that went either way.
#[test]
fn a_closed_connection_has_the_digests_of_both_streams() {
    let content = Content::small(&[]);
    let mut config = config();
    config.endpoints = vec![(0, host(1))];
    let mut world = World::new(config, vec![content.target.clone()]);
    let client = content.clone();
    world.takes(host(1), move || Client::seeder(&client));
    world.run_until(40);
    let (mut came, mut went) = (Vec::new(), Vec::new());
    for (entry, bytes, _) in world.log() {
        match entry.input {
            Input::Received { .. } => came.extend_from_slice(bytes),
            Input::Sent { .. } => went.extend_from_slice(bytes),
            _ => {}
        }
    }
    let closed = world.bodies().into_iter().find_map(|body| match body {
        Body::Closed {
            bytes_in,
            bytes_out,
            digest_in,
            digest_out,
            ..
        } => Some((bytes_in, bytes_out, digest_in, digest_out)),
        _ => None,
    });
    let expected = (
        came.len() as u64,
        went.len() as u64,
        skep_hash::sha256(&came),
        skep_hash::sha256(&went),
    );
    assert_eq!(closed, Some(expected));
}

/// Two swarms in one run: the same endpoint in both is visited for each.
#[test]
fn two_swarms_are_watched_at_once() {
    let (a, mut b) = (Content::small(&[]), Content::new(100_000, 32_768, &[]));
    b.target.place = 1;
    let mut config = config();
    config.endpoints = vec![(0, host(1)), (1, host(2))];
    let mut world = World::new(config, vec![a.target.clone(), b.target.clone()]);
    let (of_a, of_b) = (a.clone(), b.clone());
    world.takes(host(1), move || Client::seeder(&of_a));
    world.takes(host(2), move || Client::seeder(&of_b));
    world.comes_in(
        Duration::from_secs(1),
        host(3),
        Client::seeder(&b).calling(),
    );
    world.run_until(10);
    let bodies = world.bodies();
    let mut joined: Vec<u32> = bodies
        .iter()
        .filter_map(|body| match body {
            Body::Joined { target, .. } => Some(target.0),
            _ => None,
        })
        .collect();
    joined.sort_unstable();
    assert_eq!(joined, [0, 1, 1]);
}

/// The run shall end while blocks are on their way: they are waited for, recorded as delivered, and
/// no more are asked for. What the other end says that it uploaded, and our ledger, agree.
#[test]
fn blocks_on_their_way_are_not_lost_at_the_end() {
    let content = Content::new(8 * 1_048_576, 1_048_576, &[]);
    let mut config = config();
    config.endpoints = vec![(0, host(1))];
    config.whole = true;
    let mut world = World::new(config, vec![content.target.clone()]);
    let client = content.clone();
    world.takes(host(1), move || Client::seeder(&client));
    world.stop_after(Duration::from_millis(300));
    world.run_until(10);
    assert!(world.is_over());
    let bodies = world.bodies();
    let count = |what: fn(&Body) -> bool| bodies.iter().filter(|body| what(body)).count();
    let delivered = count(|body| matches!(body, Body::Delivered { .. }));
    let requests = world
        .sent
        .values()
        .flat_map(|sent| sent[68..].windows(5))
        .filter(|part| **part == [0, 0, 0, 13, 6])
        .count();
    assert!(delivered > 16, "{delivered}");
    assert_eq!(
        delivered, requests,
        "every block that was asked for came and is recorded"
    );
    assert!(
        count(|body| matches!(body, Body::Verified { .. })) < 8,
        "the run was cut short"
    );
}

/// A peer that never answers does not keep the run from ending.
#[test]
fn a_stop_waits_only_a_moment_for_blocks() {
    let content = Content::small(&[]);
    let mut config = config();
    config.endpoints = vec![(0, host(1))];
    let mut world = World::new(config, vec![content.target.clone()]);
    let hash = content.target.metainfo.info_hash;
    world.takes(host(1), move || {
        let claims = messages(&[Message::HaveAll, Message::Unchoke]);
        let said = [handshake(hash, b"-XX0001-abcdefghijkl"), claims];
        Script::new([(0, said.concat())])
    });
    world.stop_after(Duration::from_secs(2));
    world.run_until(4);
    assert!(!world.is_over());
    world.run_until(6);
    assert!(world.is_over());
    let bodies = world.bodies();
    let ended = |body: &Body| {
        matches!(
            body,
            Body::Closed {
                how: CloseKind::UsStopped,
                ..
            }
        )
    };
    assert!(bodies.iter().any(ended));
}

/// A piece that keeps coming is not cut off by the end of a visit.
#[test]
fn a_visit_lasts_as_long_as_its_piece_keeps_coming() {
    let content = Content::new(2 * 131_072, 131_072, &[]);
    let mut config = config();
    config.endpoints = vec![(0, host(1))];
    config.visit_secs = 5;
    let mut world = World::new(config, vec![content.target.clone()]);
    let (hash, all) = (content.target.metainfo.info_hash, content.clone());
    world.takes(host(1), move || {
        let claims = messages(&[Message::Bitfield(&[0b1000_0000]), Message::Unchoke]);
        let hello = [handshake(hash, b"-XX0001-abcdefghijkl"), claims].concat();
        let piece = skep_wire::PieceIndex(0);
        let blocks = skep_wire::piece::blocks_of(piece, 131_072)
            .zip(1u64..)
            .map(|(block, n)| {
                let mut out = Message::Piece(block).to_bytes();
                out.extend(all.block(block));
                (n * 4_000, out)
            });
        Script::new(std::iter::once((0, hello)).chain(blocks.collect::<Vec<_>>()))
    });
    world.run_until(60);
    let verified = |body: &Body| matches!(body, Body::Verified { .. });
    assert_eq!(
        world.bodies().iter().filter(|body| verified(body)).count(),
        1
    );
}
