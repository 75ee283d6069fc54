//! A journal that was altered is found out by feeding it again.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use skep_evidence::{
    journal::{ConnId, Entry, Input},
    record::Record,
};
use skep_observe::Fault;
use skep_sim::strangers::{Client, Content, World, config, host};
use skep_wire::Moment;

type Log = Vec<(Entry, Vec<u8>)>;

fn run() -> (World, Log, Vec<Record>) {
    let content = Content::small(&[]);
    let mut config = config();
    config.endpoints = vec![(0, host(1)), (0, host(2))];
    let mut world = World::new(config, vec![content.target.clone()]);
    let client = content.clone();
    world.takes(host(1), move || Client::seeder(&client).gaining(&[(3, 1)]));
    world.run_until(40);
    world.stop();
    let log = world
        .log()
        .map(|(entry, bytes, _)| (entry.clone(), bytes.to_vec()))
        .collect();
    let records = world.records();
    (world, log, records)
}

/// Feeds a log; returns the records, or the fault with its place.
fn replay(world: &World, log: &Log) -> Result<Vec<Record>, (usize, Fault)> {
    let mut replay = world.replay();
    let mut records = Vec::new();
    for (place, (entry, bytes)) in log.iter().enumerate() {
        records.extend(
            replay
                .step(entry, bytes)
                .map_err(|fault| (place, fault))?
                .records,
        );
    }
    Ok(records)
}

/// Any bit of any byte that was received, flipped, is found: the records differ, or what was sent
/// no longer is what would have been sent.
#[test]
fn a_changed_byte_changes_the_records() {
    let (world, log, records) = run();
    assert_eq!(replay(&world, &log), Ok(records.clone()));
    let received = |entry: &Entry| matches!(entry.input, Input::Received { .. });
    let mut changed = 0;
    for place in 0..log.len() {
        if !received(&log[place].0) {
            continue;
        }
        for byte in [0, log[place].1.len() / 2, log[place].1.len() - 1] {
            let mut other = log.clone();
            other[place].1[byte] ^= 1;
            assert_ne!(
                replay(&world, &other),
                Ok(records.clone()),
                "entry {place} byte {byte}"
            );
            changed += 1;
        }
    }
    assert!(changed > 20, "{changed}");
}

/// A byte of what we sent, flipped, is a fault at its entry.
#[test]
fn a_changed_byte_of_ours_is_a_fault() {
    let (world, log, _) = run();
    for place in 0..log.len() {
        let Input::Sent { conn, .. } = log[place].0.input else {
            continue;
        };
        let mut other = log.clone();
        other[place].1[0] ^= 1;
        assert_eq!(
            replay(&world, &other),
            Err((place, Fault::NotQueued { conn }))
        );
    }
}

/// An entry left out is found, whichever it is: nobody can pick only the hits.
#[test]
fn an_entry_left_out_is_found() {
    let (world, log, records) = run();
    for place in 0..log.len() {
        let mut other = log.clone();
        let (entry, _) = other.remove(place);
        // A timeout at which nothing was due changes nothing, and says nothing.
        if entry.input == Input::Timeout || matches!(entry.input, Input::Sent { .. }) {
            continue;
        }
        assert_ne!(
            replay(&world, &other),
            Ok(records.clone()),
            "entry {place}: {entry:?}"
        );
    }
}

/// Where an attempt failed, an entry that says it was never made has no place.
#[test]
fn an_attempt_cannot_become_a_success() {
    let (world, log, records) = run();
    let place = log
        .iter()
        .position(|(entry, _)| matches!(entry.input, Input::Failed { .. }))
        .expect("nobody is at the second endpoint");
    let Input::Failed { conn, .. } = log[place].0.input else {
        unreachable!("it was just found")
    };
    let local = SocketAddr::new(config().bind, 9);
    let mut other = log.clone();
    other[place].0.input = Input::Opened {
        conn,
        local,
        remote: host(1),
    };
    let fault = Fault::Conn {
        conn,
        input: "opened",
    };
    assert_eq!(
        replay(&world, &other),
        Err((place, fault)),
        "it was asked for another endpoint"
    );
    other[place].0.input = Input::Opened {
        conn,
        local,
        remote: host(2),
    };
    assert_ne!(replay(&world, &other), Ok(records));
}

#[test]
fn entries_that_cannot_be_are_faults() {
    let (world, log, _) = run();
    let with = |change: &dyn Fn(&mut Log)| {
        let mut other = log.clone();
        change(&mut other);
        replay(&world, &other)
            .map(|_| ())
            .map_err(|(_, fault)| fault)
    };
    let at = |log: &Log, place: usize| log[place].0.at;
    assert_eq!(with(&|log| drop(log.remove(0))), Err(Fault::NoClock));
    let last = at(&log, 4);
    assert_eq!(
        with(&|log| log[5].0.at = Moment::ZERO),
        Err(Fault::Backwards {
            at: Moment::ZERO,
            last
        })
    );
    let conn = ConnId(88);
    assert_eq!(
        with(&|log| {
            let how = skep_evidence::journal::EndKind::Closed;
            let entry = Entry {
                at: at(log, 5),
                input: Input::Ended { conn, how },
            };
            log.insert(6, (entry, vec![]));
        }),
        Err(Fault::Conn {
            conn,
            input: "ended"
        })
    );
    assert_eq!(
        with(&|log| {
            let at = at(log, log.len() - 1);
            log.push((
                Entry {
                    at,
                    input: Input::Timeout,
                },
                vec![],
            ));
        }),
        Err(Fault::AfterEnd)
    );
    let place = log
        .iter()
        .position(|(entry, _)| matches!(entry.input, Input::Received { .. }))
        .expect("something came");
    let said = log[place].1.len();
    assert_eq!(
        with(&|log| {
            log[place].1.pop();
        }),
        Err(Fault::Len {
            said: said as u32,
            got: said - 1
        })
    );
}

/// Where we send from and listen is in the plan: an entry whose own end is elsewhere is none of this run's,
/// whatever its kind. A plan that leaves the address to the system fixes the listening port alone.
#[test]
fn our_end_of_everything_is_where_the_plan_says() {
    let content = Content::small(&["udp://10.0.9.9:80/announce"]);
    let ends = |bind: IpAddr| {
        let mut config = config();
        config.bind = bind;
        config.endpoints = vec![(0, host(1))];
        let mut world = World::new(config, vec![content.target.clone()]);
        let (client, caller) = (content.clone(), Client::seeder(&content).calling());
        world.takes(host(1), move || Client::seeder(&client));
        world.comes_in(Duration::from_secs(1), host(2), caller);
        world.udp.insert(
            SocketAddr::from(([10, 0, 9, 9], 80)),
            Box::new(|_, _| vec![0; 4]),
        );
        world.run_until(10);
        let log: Log = world
            .log()
            .map(|(entry, bytes, _)| (entry.clone(), bytes.to_vec()))
            .collect();
        let other = |local: SocketAddr, ip: bool| match ip {
            true => SocketAddr::new([10, 9, 9, 9].into(), local.port()),
            false => SocketAddr::new(local.ip(), local.port() ^ 1),
        };
        let mut faults = BTreeSet::new();
        for (place, ip) in (0..log.len()).flat_map(|place| [(place, true), (place, false)]) {
            let mut log = log.clone();
            let (kind, local) = match &mut log[place].0.input {
                Input::Opened { local, .. } => ("opened", local),
                Input::Incoming { local, .. } => ("incoming", local),
                Input::Datagram { local, .. } => ("datagram", local),
                Input::DatagramSent { local, .. } => ("datagram sent", local),
                _ => continue,
            };
            *local = other(*local, ip);
            let (forged, found) = (*local, replay(&world, &log).err());
            let named =
                |fault: &Fault| matches!(fault, Fault::NotOurEnd { local, .. } if *local == forged);
            if found.is_some_and(|(at, fault)| at == place && named(&fault)) {
                faults.insert((kind, if ip { "address" } else { "port" }));
            }
        }
        faults
    };
    let port = ("incoming", "port");
    let addr = |kind| (kind, "address");
    assert_eq!(
        ends(config().bind),
        BTreeSet::from([
            addr("opened"),
            addr("incoming"),
            addr("datagram"),
            addr("datagram sent"),
            port
        ])
    );
    assert_eq!(
        ends(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
        BTreeSet::from([port])
    );
}
