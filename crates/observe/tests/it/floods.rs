//! Strangers that come again after they were shown out, and neighbours that do nothing of the kind.

use std::{net::SocketAddr, time::Duration};

use skep_evidence::record::Body;
use skep_observe::{
    BYTES_UNASKED_MAX, FAULT_PAUSE_SECS, FAULTS_PER_ADDR_MAX, UNASKED_PER_ADDR_MAX,
    UNASKED_PER_ADDR_PER_SEC,
};
use skep_sim::strangers::{Client, Content, Script, World, config, handshake, host};

const ID: &[u8; 20] = b"-XX0001-abcdefghijkl";

/// Somebody who connects again and again to send what nobody asked for.
fn floods(world: &mut World, content: &Content, from: SocketAddr, count: u32, bytes: usize) {
    let hash = content.target.metainfo.info_hash;
    for n in 0..count {
        let mut message = (0x0f_0000u32 - 4).to_be_bytes().to_vec();
        message.push(99);
        message.resize(0x0f_0000, 7);
        let flood = std::iter::repeat_n(message, bytes / 0x0f_0000 + 1)
            .zip(1u64..)
            .map(|(m, n)| (n * 10, m));
        let script = Script::new(std::iter::once((0, handshake(hash, ID))).chain(flood));
        world.comes_in(Duration::from_secs(1 + u64::from(n)), from, script);
    }
}

fn bytes_in(bodies: &[Body]) -> u64 {
    let of = |body: &Body| match body {
        Body::Closed { bytes_in, .. } => *bytes_in,
        _ => 0,
    };
    bodies.iter().map(of).sum()
}

fn limited(bodies: &[Body], name: &str) -> usize {
    let of = |body: &&Body| matches!(body, Body::Limited { limit, .. } if limit == name);
    bodies.iter().filter(of).count()
}

/// A limit per connection alone would let it send that much on each.
#[test]
fn one_address_that_connects_again_and_again_fills_no_disk() {
    let content = Content::small(&[]);
    let mut world = World::new(config(), vec![content.target.clone()]);
    floods(
        &mut world,
        &content,
        host(1),
        12,
        BYTES_UNASKED_MAX as usize,
    );
    // Somebody else is heard all the same.
    let caller = Client::seeder(&content).calling();
    world.comes_in(Duration::from_secs(9), host(2), caller);
    world.run_until(20);
    let bodies = world.bodies();
    let came = bytes_in(&bodies);
    let over = 20 * UNASKED_PER_ADDR_PER_SEC + 0x20_0000;
    assert!(came > UNASKED_PER_ADDR_MAX / 2, "{came}");
    assert!(came <= UNASKED_PER_ADDR_MAX + over, "{came}");
    assert!(limited(&bodies, "UNASKED_PER_ADDR_MAX") > 0);
    assert!(
        bodies
            .iter()
            .any(|body| matches!(body, Body::Verified { .. }))
    );
}

/// Fifty peers behind one address each send a set of 256 KiB, and none is turned away.
#[test]
fn many_peers_behind_one_address_are_all_heard() {
    let content = Content::small(&[]);
    let mut world = World::new(config(), vec![content.target.clone()]);
    for n in 0..50u16 {
        let hash = content.target.metainfo.info_hash;
        let mut message = vec![0, 4, 0, 0, 99];
        message.resize(4 + 256 * 1024, 7);
        let script = Script::new([(0, handshake(hash, ID)), (50, message)]);
        let from = SocketAddr::from(([10, 0, 1, 1], 9_000 + n));
        world.comes_in(
            Duration::from_millis(1_000 + 100 * u64::from(n)),
            from,
            script,
        );
    }
    world.run_until(20);
    world.stop();
    let bodies = world.bodies();
    let joined = |body: &&Body| matches!(body, Body::Joined { .. });
    assert_eq!(bodies.iter().filter(joined).count(), 50);
    assert!(bytes_in(&bodies) > 50 * 256 * 1024);
    assert!(
        !bodies
            .iter()
            .any(|body| matches!(body, Body::Limited { .. }))
    );
}

/// Whoever errs on every connection is taken rarely after a while.
#[test]
fn an_address_whose_connections_all_err_is_taken_rarely() {
    let content = Content::small(&[]);
    let mut world = World::new(config(), vec![content.target.clone()]);
    let count = FAULTS_PER_ADDR_MAX as u32 + 30;
    for n in 0..count {
        let script = Script::new([(
            0,
            b"GET / HTTP/1.1\r\nHost: an.observer\r\n\r\n................".to_vec(),
        )]);
        world.comes_in(
            Duration::from_millis(1_000 + 100 * u64::from(n)),
            host(1),
            script,
        );
    }
    world.run_until(20);
    let bodies = world.bodies();
    let erred = |body: &&Body| matches!(body, Body::Violated { .. });
    let erred = bodies.iter().filter(erred).count() as u64;
    let forgiven = 10 / FAULT_PAUSE_SECS;
    assert!(
        (FAULTS_PER_ADDR_MAX..=FAULTS_PER_ADDR_MAX + forgiven).contains(&erred),
        "{erred}"
    );
    assert_eq!(limited(&bodies, "FAULTS_PER_ADDR_MAX"), 1);
}
