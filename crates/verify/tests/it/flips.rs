//! One byte changed anywhere: it fails, and the part is named.

use proptest::prelude::*;
use skep_evidence::bundle::{BLOCK_LEN, Bundle};
use skep_verify::{Failure, verify};

use crate::observation::{bundle, run};

/// The file whose contents or header the byte at `at` belongs to.
fn part_at(archive: &[u8], at: usize) -> String {
    let bundle = Bundle::open(archive.to_vec()).unwrap();
    let mut offset = 0;
    for (path, len) in bundle.paths() {
        offset += (BLOCK_LEN + len.next_multiple_of(BLOCK_LEN)) as usize;
        if at < offset {
            return path.to_owned();
        }
    }
    "the end".into()
}

/// Flips a bit; the failure names the part, or stands right before or after it in the archive.
fn flipped(archive: &[u8], at: usize, bit: u8) -> Result<(), String> {
    let part = part_at(archive, at);
    let mut changed = archive.to_vec();
    changed[at] ^= 1 << bit;
    let outcome = verify(changed, None);
    let Some((check, failure)) = outcome.failure() else {
        return Err(format!("byte {at} of {part} is changed, and it verifies"));
    };
    let text = failure.to_string();
    let named = match part.as_str() {
        // A zero block that is not zero any more reads as a header.
        "the end" => check.part == "container",
        // A line of the manifest is about a file; the error names that file and the manifest.
        "MANIFEST" => text.contains("MANIFEST") || text.contains("header of"),
        // A header's path may be what was changed: then its place is named.
        part => text.contains(part) || text.contains("header of") || text.contains("path"),
    };
    if named {
        Ok(())
    } else {
        Err(format!("byte {at} of {part}: {}: {text}", check.part))
    }
}

/// Every part's header, first and last bytes, and its contents in strides.
#[test]
fn one_byte_of_every_part_at_strides() {
    let archive = bundle(&[run()]);
    let parts: Vec<(String, u64)> = {
        let bundle = Bundle::open(archive.clone()).unwrap();
        bundle
            .paths()
            .map(|(path, len)| (path.to_owned(), len))
            .collect()
    };
    let mut begin = 0;
    for (path, len) in parts {
        let contents = begin + BLOCK_LEN as usize;
        let next = contents + len.next_multiple_of(BLOCK_LEN) as usize;
        let header = [0, 99, 100, 124, 130, 148, 156, 257, 345, 511].map(|at| begin + at);
        let body = (contents..next).step_by(((next - contents) / 12).max(1));
        for at in header.into_iter().chain(body).chain([next - 1]) {
            flipped(&archive, at, (at % 8) as u8).unwrap_or_else(|error| panic!("{path}: {error}"));
        }
        begin = next;
    }
    for at in begin..archive.len() {
        if at % 97 == 0 {
            flipped(&archive, at, 0).unwrap();
        }
    }
}

/// A re-made manifest hides a flip from the digests: then what the digests stood for finds it.
#[test]
fn one_byte_of_every_file_under_a_manifest_made_again() {
    let files = crate::observation::bundle_files(&crate::observation::lay_out(&[run()]));
    for (path, bytes) in &files {
        let stride = (bytes.len() / 5).max(1);
        for at in (0..bytes.len()).step_by(stride).chain([bytes.len() - 1]) {
            let mut changed = files.clone();
            changed.get_mut(path).unwrap()[at] ^= 1;
            let archive = skep_evidence::bundle::build(&changed).unwrap();
            let outcome = verify(archive, None);
            let (_, failure) = outcome
                .failure()
                .unwrap_or_else(|| panic!("{path} byte {at}"));
            assert!(
                !matches!(failure, Failure::Bundle(_)),
                "{path} byte {at}: {failure}"
            );
        }
    }
}

#[test]
fn a_file_added_or_missing_is_named() {
    let files = crate::observation::bundle_files(&crate::observation::lay_out(&[run()]));
    let judge = |files| verify(skep_evidence::bundle::build(&files).unwrap(), None);
    for path in files.keys() {
        let mut fewer = files.clone();
        fewer.remove(path);
        let outcome = judge(fewer);
        let (_, failure) = outcome.failure().expect("a file is missing");
        assert!(failure.to_string().contains(path), "{path}: {failure}");
    }
    for path in [
        "blobs/00",
        "runs/0002/journal",
        "ledger/tile/9",
        "letter.txt",
    ] {
        let mut more = files.clone();
        more.insert(path.into(), b"more".to_vec());
        let outcome = judge(more);
        let (_, failure) = outcome.failure().expect("a file is too many");
        assert!(failure.to_string().contains(path), "{path}: {failure}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn one_byte_anywhere(place in any::<proptest::sample::Index>(), bit in 0_u8..8) {
        let archive = bundle(&[run()]);
        let found = flipped(&archive, place.index(archive.len()), bit);
        prop_assert!(found.is_ok(), "{}", found.unwrap_err());
    }
}
