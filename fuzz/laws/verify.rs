//! What must hold for the verifier, whatever a run has seen: an honest bundle verifies, and one whose
//! operator changed a record and signed again does not.

use std::collections::BTreeMap;

use skep_evidence::{
    bundle,
    clock::ClockSample,
    journal::{Input, frame},
    ledger::{Ledger, SigningKey},
    record::{Body, FORMAT, Record},
};
use skep_hash::sha256;
use skep_sim::memory::Memory;
use skep_verify::{contents, select, verify};
use skep_wire::Moment;

use crate::{
    Law,
    observe::{self, OBSERVER, VERSION, World},
};

/// Every target on this crate.
pub const LAWS: &[Law] = &[("forgery", forgery), ("verify_bytes", verify_bytes)];

/// The first two bytes say what the operator changes, the rest what the run sees.
pub fn forgery(data: &[u8]) {
    let Some(([what, place], seen)) = data.split_first_chunk().map(|(a, b)| (*a, b)) else {
        return;
    };
    let mut world = World::new(seen);
    while world.act() {}
    world.finish();
    let records: Vec<Record> = world
        .journal
        .iter()
        .flat_map(|(_, _, records)| records.clone())
        .collect();

    let honest = verify(archive(&world, &records), None);
    assert!(honest.verified(), "{:?}", honest.failure());

    let mut forged = records.clone();
    let at = usize::from(place) % forged.len();
    match what % 5 {
        0 => drop(forged.remove(at)),
        1 => forged.insert(at, records[at].clone()),
        2 => forged.swap(at, (at + 1) % records.len()),
        3 => forged[at].at = Moment(forged[at].at.0 + 1),
        _ => forged[at].utc.earliest_us -= 1,
    }
    if forged != records {
        let outcome = verify(archive(&world, &forged), None);
        assert!(!outcome.verified(), "record {at} was changed ({what})");
    }
}

/// Bytes that are no bundle are told apart without a panic.
pub fn verify_bytes(data: &[u8]) {
    let outcome = verify(data.to_vec(), None);
    assert!(
        !outcome.verified() || data.len() > 10_000,
        "no bundle is so small"
    );
}

/// The bundle of a finished run, with these records of the machine in its ledger.
fn archive(world: &World<'_>, records: &[Record]) -> Vec<u8> {
    let mut folder = Memory::default();
    let key = SigningKey::new(OBSERVER, [7; 32]).expect("a name");
    folder.put(
        "operator.vkey",
        format!("{}\n", key.verifier().encode()).into_bytes(),
    );
    let (config, torrent) = (observe::config().encode(), observe::torrent());
    folder.put(&contents::blob_path(&sha256(&config)), config.clone());
    folder.put(&contents::blob_path(&sha256(&torrent)), torrent.clone());
    let journal: Vec<u8> = world
        .journal
        .iter()
        .flat_map(|(entry, ..)| frame(&entry.encode()))
        .collect();
    let clocks = world
        .journal
        .iter()
        .filter_map(|(entry, ..)| match entry.input {
            Input::Clock(sample) => Some(sample),
            _ => None,
        });
    let clocks: Vec<ClockSample> = clocks.collect();

    let (mut ledger, commit) = Ledger::create(key);
    folder.apply_all(&commit.ops);
    let of_driver = |at: Moment, clock: &ClockSample, body: Body| {
        Record {
            run: 1,
            at,
            utc: clock.utc(at),
            body,
            unknown: Vec::new(),
        }
        .encode()
    };
    let started = Body::RunStarted {
        format: FORMAT,
        observer: OBSERVER.to_owned(),
        version: VERSION.to_owned(),
        binary: sha256(b"binary"),
        build: "fuzz".to_owned(),
        config: sha256(&config),
        targets: vec![sha256(&torrent)],
    };
    let first = world.journal.first().expect("a run has entries").0.at;
    let mark = Body::Mark {
        journal_len: journal.len() as u64,
        journal: sha256(&journal),
        capture_len: world.capture.len() as u64,
        capture: sha256(&world.capture),
    };
    let last = world.journal.last().map_or(first, |(entry, ..)| entry.at);
    let lines = [of_driver(first, &clocks[0], started)]
        .into_iter()
        .chain(records.iter().map(Record::encode))
        .chain([of_driver(last, clocks.last().expect("a clock"), mark)]);
    for line in lines {
        ledger.append(&line).expect("a record");
    }
    folder.apply_all(&ledger.checkpoint().ops);
    folder.put(&contents::journal_path(1), journal);
    folder.put(&contents::capture_path(1), world.capture.clone());
    pack(&folder)
}

/// As the operator's own tool packs it; where it refuses, as a forger would go on without it.
fn pack(folder: &Memory) -> Vec<u8> {
    let Ok(selection) = select(folder) else {
        return bundle::build(&folder.files).expect("files have paths");
    };
    let files = selection.files.iter();
    let mut files: BTreeMap<String, Vec<u8>> = files
        .map(|(path, len)| (path.clone(), folder.files[path][..*len as usize].to_vec()))
        .collect();
    for (name, bytes) in selection.report.files() {
        files.insert(contents::report_path(name), bytes.to_vec());
    }
    bundle::build(&files).expect("files have paths")
}
