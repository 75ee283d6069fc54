//! A driver that was stalled: what is due comes first, and what came meanwhile is heard.

use std::time::Duration;

use skep_evidence::{
    journal::{ConnectFailure, Entry, Input},
    record::{Body, CloseKind},
};
use skep_observe::{Duty, Fault};
use skep_sim::strangers::{
    Client, Content, Host, Mute, Script, World, config, handshake, host, messages,
};
use skep_wire::{Moment, peer::Message};

fn stalls(world: &World) -> Vec<(Moment, Moment, Moment)> {
    let stall = |record: &skep_evidence::record::Record| match record.body {
        Body::Stalled { awake, due } => Some((awake, due, record.at)),
        _ => None,
    };
    world.records().iter().filter_map(stall).collect()
}

/// The record says since when it was awake and since when something was due; one for each stall, however
/// much was due in it, and none for a driver that is on time.
#[test]
fn a_stall_is_recorded_once_with_its_beginning() {
    let content = Content::small(&[]);
    let mut config = config();
    config.endpoints = (1..=9).map(|n| (0, host(n))).collect();
    let mut world = World::new(config, vec![content.target.clone()]);
    for n in 1..=9 {
        world.hosts.insert(host(n), Host::Silent);
    }
    world.run_until(3);
    world.stall(30);
    world.run_until(60);
    world.stall(7);
    world.run_until(100);
    let secs: Vec<(u64, u64, u64)> = stalls(&world)
        .into_iter()
        .map(|(awake, due, at)| {
            (
                awake.0 / 1_000_000_000,
                due.0 / 1_000_000_000,
                at.0 / 1_000_000_000,
            )
        })
        .collect();
    // The nine connects were due at 5 s; the clock was sampled at 33, 43 and 53 s.
    assert_eq!(secs, [(0, 5, 33), (53, 63, 67)]);
    let failed = |body: &Body| matches!(body, Body::AttemptFailed { .. });
    assert!(world.bodies().iter().filter(|body| failed(body)).count() >= 9);
}

/// A peer says something every minute. The driver is stalled for longer than a connection may be silent:
/// the peer was not, and what it said waits in the socket. A peer that really says nothing is left.
#[test]
fn what_came_in_a_stall_is_heard_before_it_is_said_that_nothing_came() {
    let content = Content::small(&[]);
    let mut world = World::new(config(), vec![content.target.clone()]);
    let hello = || handshake(content.target.metainfo.info_hash, b"-XX0001-abcdefghijkl");
    let alive = || messages(&[Message::KeepAlive]);
    let lines = (1..20).map(|n| (n * 60_000, alive()));
    let talker = Script::new([(0, hello())].into_iter().chain(lines));
    let silent = Script::new([(0, hello())]);
    world.comes_in(Duration::ZERO, host(1), talker);
    world.comes_in(Duration::ZERO, host(2), silent);
    world.run_until(20);
    world.stall(300);
    world.run_until(330);
    let closed: Vec<_> = world
        .records()
        .iter()
        .filter_map(|record| match record.body {
            Body::Closed { conn, how, .. } => Some((conn.0, how, record.at)),
            _ => None,
        })
        .collect();
    let heard = Moment::from_secs(321);
    assert_eq!(closed, [(3, CloseKind::UsIdle, heard)]);
}

/// An incoming connection is asked again from time to time. The times that a stall has swallowed are over.
#[test]
fn rounds_that_were_missed_are_not_made_up_for() {
    let content = Content::small(&[]);
    let mut config = config();
    (config.visit_secs, config.revisit_secs) = (5, 5);
    let mut world = World::new(config, vec![content.target.clone()]);
    let caller = Client::seeder(&content).calling();
    world.comes_in(Duration::from_secs(1), host(1), caller);
    world.run_until(8);
    world.stall(100);
    world.run_until(140);
    let asked: Vec<u64> = world
        .records()
        .iter()
        .filter(|record| matches!(record.body, Body::PieceAsked { .. }))
        .map(|record| record.at.0 / 1_000_000_000)
        .collect();
    // At 1 s, when its visit ends at 6 s, and then every 10 s; at 109 s once for all that were missed.
    assert_eq!(asked, [1, 6, 109, 116, 126, 136]);
}

/// Whatever stands where an outcome or a clock sample is due is a fault, and a time-out that comes early.
#[test]
fn what_is_due_comes_first_or_it_is_a_fault() {
    let content = Content::small(&[]);
    let mut config = config();
    config.endpoints = vec![(0, host(1)), (0, host(2))];
    let mut world = World::new(config, vec![content.target.clone()]);
    world.takes(host(1), || Mute);
    world.hosts.insert(host(2), Host::Silent);
    world.run_until(3);
    let log: Vec<(Entry, Vec<u8>)> = world
        .log()
        .map(|(entry, bytes, _)| (entry.clone(), bytes.to_vec()))
        .collect();
    let after = |inputs: &[(u64, Input)]| {
        let mut replay = world.replay();
        for (entry, bytes) in &log {
            replay.step(entry, bytes).expect("an honest run");
        }
        inputs.iter().try_for_each(|(millis, input)| {
            let (at, input) = (Moment::from_millis(*millis), input.clone());
            replay.step(&Entry { at, input }, &[]).map(|_| ())
        })
    };
    let mut replay = world.replay();
    for (entry, bytes) in &log {
        replay.step(entry, bytes).expect("an honest run");
    }
    let (due, duty) = replay
        .poll_duty(Moment::from_secs(3))
        .expect("one connects");
    let Duty::Outcome(conn) = duty else {
        panic!("the connect is due before the clock")
    };
    assert_eq!(due, Moment::from_millis(5_001));
    let failed = |reason| Input::Failed { conn, reason };
    let timed_out = || failed(ConnectFailure::TimedOut);
    let (remote, clock_due) = (host(2), Moment::from_millis(10_001));

    assert_eq!(
        after(&[(5_001, Input::Timeout), (5_001, timed_out())]),
        Ok(())
    );
    assert_eq!(after(&[(9_000, timed_out()), (9_000, Input::Stop)]), Ok(()));
    assert_eq!(
        after(&[(4_000, failed(ConnectFailure::Local(110)))]),
        Ok(())
    );
    let at = Moment::from_millis(5_000);
    assert_eq!(
        after(&[(5_000, timed_out())]),
        Err(Fault::TimedOutEarly { conn, at, due })
    );
    for input in [Input::Timeout, Input::Stop] {
        let at = Moment::from_millis(5_002);
        let fault = Fault::NoOutcome {
            conn,
            remote,
            due,
            at,
        };
        assert_eq!(after(&[(5_002, input)]), Err(fault));
    }
    for input in [Input::Timeout, Input::Stop, timed_out()] {
        let at = Moment::from_millis(10_002);
        let fault = Fault::NoClockSample { at, due: clock_due };
        assert_eq!(after(&[(10_002, input)]), Err(fault));
    }
}
