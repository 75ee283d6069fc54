//! Replays the fuzz targets' seeds and past findings, so that no fuzzer is needed to keep them.

use std::{collections::BTreeSet, fs, path::Path};

use skep_laws::{Law, evidence, observe, proto, proto_tracker, tracker, verify, wire};

const ALL: [&[Law]; 7] = [
    wire::LAWS,
    tracker::LAWS,
    proto::LAWS,
    proto_tracker::LAWS,
    evidence::LAWS,
    observe::LAWS,
    verify::LAWS,
];

#[test]
fn parsers_keep_their_laws() {
    replay_all(wire::LAWS);
    replay_all(tracker::LAWS);
}

#[test]
fn machines_keep_their_laws() {
    replay_all(proto::LAWS);
    replay_all(proto_tracker::LAWS);
}

#[test]
fn readers_of_evidence_keep_their_laws() {
    replay_all(evidence::LAWS);
}

#[test]
fn the_observer_keeps_its_laws() {
    replay_all(observe::LAWS);
}

#[test]
fn the_verifier_keeps_its_laws() {
    replay_all(verify::LAWS);
}

/// Nothing is fuzzed that is not replayed, and nothing replayed that is not fuzzed.
#[test]
fn every_law_has_a_target_and_every_target_a_law() {
    let laws: Vec<&str> = ALL.iter().copied().flatten().map(|law| law.0).collect();
    let names: BTreeSet<String> = laws.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(names.len(), laws.len(), "two laws have one name");
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let targets = fs::read_dir(fuzz.join("fuzz_targets")).expect("the folder can be listed");
    let targets: BTreeSet<String> = targets
        .map(|entry| entry.expect("the folder can be listed").path())
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
        .collect();
    assert_eq!(names, targets);
    let manifest = fs::read_to_string(fuzz.join("Cargo.toml")).expect("it can be read");
    for name in names {
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
    }
}

fn replay_all(laws: &[Law]) {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for (target, law) in laws {
        let seeds = replay(&fuzz.join("corpus").join(target), *law);
        assert!(seeds > 0, "{target} has no seeds");
        replay(&fuzz.join("findings").join(target), *law);
    }
}

/// Runs `law` on every file in `folder`; returns how many there are.
fn replay(folder: &Path, law: fn(&[u8])) -> usize {
    let Ok(entries) = fs::read_dir(folder) else {
        return 0;
    };
    let mut count = 0;
    for entry in entries {
        let path = entry.expect("the folder can be listed").path();
        // Printed only if the law is broken.
        println!("{}", path.display());
        law(&fs::read(&path).expect("a seed can be read"));
        count += 1;
    }
    count
}
