//! Replays the fuzz targets' seeds and past findings, so that no fuzzer is needed to keep them.
#![allow(clippy::disallowed_methods, reason = "a test reads its files")]

use std::{fs, path::Path};

#[path = "../../../fuzz/laws/observe.rs"]
#[allow(dead_code, reason = "the laws of the verifier use more of it")]
mod laws;

#[test]
fn every_seed_and_every_past_finding_keeps_its_law() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz");
    for (target, law) in laws::LAWS {
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
