//! Runs that watched torrents of version 2 and hybrids: they verify from the bundle alone, and a piece that is
//! not the torrent's is not verified, whatever its operator writes.

use skep_evidence::{
    journal::{Entry, Input},
    record::{Body, Record},
};
use skep_hash::sha256;
use skep_sim::strangers::{Client, Content, World, config, host};
use skep_verify::Failure;
use skep_wire::metainfo::Version;

use crate::{
    listen::listen,
    observation::{Line, Run, judge, told_by},
};

/// A seeder of every swarm at one endpoint, and at another one that sends garbage.
fn watched(version: Version) -> Run {
    let contents = Content::of_files(9, version, &[70_000, 20_000, 40_000], 32_768);
    let mut config = config();
    config.endpoints = vec![(0, host(1)), (0, host(2))];
    (config.visit_secs, config.pieces_per_visit) = (6, 3);
    let targets = contents.iter().map(|content| content.target.clone());
    let mut world = World::new(config.clone(), targets.collect());
    let clients = |garbage: bool| {
        let client = move |content: &Content| match garbage {
            true => Client::seeder(content).forging(|_, bytes| vec![0xaa; bytes.len()]),
            false => Client::seeder(content),
        };
        // One visit in each swarm, that of version 1 first.
        contents.iter().rev().map(client).collect::<Vec<_>>()
    };
    for (n, garbage) in [(1, false), (2, true)] {
        let mut turns = clients(garbage);
        world.takes(host(n), move || turns.pop().unwrap());
    }
    world.run_until(30);
    told_by(world, config, &contents)
}

fn count(run: &Run, kind: &str) -> usize {
    let of = |line: &&Line| matches!(line, Line::Machine(record) if record.body.kind() == kind);
    run.lines.iter().filter(of).count()
}

#[test]
fn a_run_with_version_2_verifies_offline() {
    for (version, swarms) in [(Version::V2, 1), (Version::Hybrid, 2)] {
        let run = watched(version);
        assert_eq!(count(&run, "target"), swarms);
        let (verified, refuted) = (count(&run, "verified"), count(&run, "refuted"));
        assert!(
            verified >= 3 * swarms && refuted >= swarms,
            "{verified} {refuted}"
        );
        let outcome = judge(&[run]);
        assert!(outcome.verified(), "{version:?}: {outcome}");
        let said = format!(
            "{verified} pieces hashed and found to be the torrent's, {refuted} found not to be"
        );
        assert!(outcome.to_string().contains(&said), "{said}: {outcome}");
    }
}

/// One byte of a block in the capture is another. With the old records the ledger and its bytes differ; with
/// those that an observer makes of these bytes it verifies, and the piece is refuted.
#[test]
fn a_sample_with_a_changed_byte_is_not_verified() {
    let honest = watched(Version::V2);
    let (verified, refuted) = (count(&honest, "verified"), count(&honest, "refuted"));
    let mut forged = honest.clone();
    let of_verified = |line: &Line| match line {
        Line::Machine(record) => match record.body {
            Body::Verified { conn, .. } => Some(conn),
            _ => None,
        },
        Line::Mark(_) | Line::Cut => None,
    };
    let seeder = forged.lines.iter().find_map(of_verified).unwrap();
    // The longest read brought nothing but parts of blocks.
    let len = |(entry, bytes): &(Entry, Vec<u8>)| match entry.input {
        Input::Received { conn, .. } if conn == seeder => bytes.len(),
        _ => 0,
    };
    let place = (0..forged.log.len()).max_by_key(|&place| len(&forged.log[place]));
    let (_, bytes) = &mut forged.log[place.unwrap()];
    assert!(bytes.len() > 1_000, "{}", bytes.len());
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    forged.point_at_capture();
    let outcome = judge(&[forged.clone()]);
    let (_, failure) = outcome.failure().unwrap();
    assert!(
        matches!(failure, Failure::RecordDiffers { field, .. } if field == "src"),
        "{failure}"
    );
    forged.lines = forged.honest_lines(40);
    assert_eq!(
        (count(&forged, "verified"), count(&forged, "refuted")),
        (verified - 1, refuted + 1)
    );
    let outcome = judge(&[forged]);
    assert!(outcome.verified(), "{outcome}");
}

/// The second reading of the bytes finds without the machine that garbage is called verified, and that a piece
/// is said to have another root; and finds nothing where nothing was changed.
#[test]
fn false_records_of_trees_are_found_by_the_bytes_alone() {
    let garbage = |body: &mut Body| match *body {
        Body::Refuted {
            conn,
            piece,
            expected: sha1,
            expected_root: root,
            ..
        } => {
            *body = Body::Verified {
                conn,
                piece,
                sha1,
                root,
            };
            true
        }
        _ => false,
    };
    let other_root = |body: &mut Body| match body {
        Body::Verified {
            root: Some(root), ..
        } => {
            *root = sha256(b"another");
            true
        }
        _ => false,
    };
    let no_root = |body: &mut Body| match body {
        Body::Verified { root, .. } => root.take().is_some(),
        _ => false,
    };
    for version in [Version::V2, Version::Hybrid] {
        let run = watched(version);
        assert!(listen(&run, |_| {}).is_ok());
        let changes: [&dyn Fn(&mut Body) -> bool; 3] = [&garbage, &other_root, &no_root];
        for (number, change) in changes.into_iter().enumerate() {
            let mut changed = false;
            let heard = listen(&run, |record: &mut Record| {
                changed = changed || change(&mut record.body);
            });
            assert!(
                changed && heard.is_err(),
                "{version:?}, {number}: {heard:?}"
            );
        }
    }
}
