//! The container: what was packed comes back, and no byte of it goes unread.

use std::collections::BTreeMap;

use proptest::prelude::*;
use skep_evidence::{
    bundle::{BLOCK_LEN, Bundle, BundleError, FILE_LEN_MAX, Member, Plan, README_TEXT, build},
    file::Files,
};
use skep_hash::Sha256Digest;

fn files() -> BTreeMap<String, Vec<u8>> {
    let long = (0..200_u32).flat_map(u32::to_be_bytes).collect();
    [
        (
            "operator.vkey",
            b"observer.example+00000000+AAAA\n".to_vec(),
        ),
        ("blobs/aa", vec![]),
        ("ledger/checkpoint", vec![7; 512]),
        ("ledger/tile/0/000", vec![1; 513]),
        ("ledger/tile/0/000.p/3", vec![2; 96]),
        ("runs/0001/journal", long),
    ]
    .map(|(path, bytes)| (path.to_owned(), bytes))
    .into()
}

fn check(archive: &[u8]) -> Result<usize, BundleError> {
    Bundle::open(archive.to_vec())?.check_manifest()
}

#[test]
fn what_was_packed_comes_back() {
    let files = files();
    let bundle = Bundle::open(build(&files).unwrap()).unwrap();
    assert_eq!(bundle.check_manifest().unwrap(), files.len() + 1);
    for (path, bytes) in &files {
        assert_eq!(
            bundle.read(path, 1 << 20).unwrap().as_ref(),
            Some(bytes),
            "{path}"
        );
        assert_eq!(bundle.len(path).unwrap(), Some(bytes.len() as u64));
    }
    assert_eq!(
        bundle.read_at("ledger/tile/0/000.p/3", 90, 100).unwrap(),
        [2; 6]
    );
    assert_eq!(bundle.read("ledger/none", 9).unwrap(), None);
    assert_eq!(bundle.list("ledger/tile/0").unwrap(), ["000", "000.p"]);
    assert_eq!(bundle.list("").unwrap()[..2], ["MANIFEST", "README.txt"]);
    assert!(
        bundle.read("runs/0001/journal", 100).is_err(),
        "more than the reader expects"
    );
}

#[test]
fn the_same_files_give_the_same_bytes() {
    assert_eq!(build(&files()).unwrap(), build(&files()).unwrap());
}

/// Exhaustive: each byte of a small bundle, changed in one bit.
#[test]
fn one_changed_byte_anywhere_is_found() {
    let archive = build(&files()).unwrap();
    assert!(check(&archive).is_ok());
    for at in 0..archive.len() {
        let mut changed = archive.clone();
        changed[at] ^= 1 << (at % 8);
        assert!(check(&changed).is_err(), "byte {at}");
    }
}

#[test]
fn an_archive_that_is_cut_or_continued_is_none() {
    let archive = build(&files()).unwrap();
    for len in (0..archive.len()).step_by(7) {
        assert!(check(&archive[..len]).is_err(), "{len} bytes");
    }
    for more in [1, 512, 1_024, 10_240] {
        let mut longer = archive.clone();
        longer.resize(archive.len() + more, 0);
        assert!(
            matches!(check(&longer), Err(BundleError::End { .. })),
            "{more} bytes more"
        );
    }
}

#[test]
fn errors_name_the_part() {
    let archive = build(&files()).unwrap();
    let place = |path: &str| {
        let named = |block: &[u8]| block.starts_with(path.as_bytes()) && block[path.len()] == 0;
        archive.chunks(BLOCK_LEN as usize).position(named).unwrap() * BLOCK_LEN as usize
    };
    let flip = |at: usize| {
        let mut changed = archive.clone();
        changed[at] ^= 1;
        check(&changed).unwrap_err().to_string()
    };
    let journal = place("runs/0001/journal");
    assert!(flip(journal + 600).starts_with("runs/0001/journal hashes to "));
    assert!(
        flip(journal + 136).contains("runs/0001/journal at"),
        "its header"
    );
    assert!(flip(journal + 136).ends_with("field mtime"));
    assert!(flip(place("README.txt") + 512).contains("README.txt"));
    assert!(flip(place("MANIFEST") + 512).contains("MANIFEST says"));
    assert!(flip(place("ledger/tile/0/000") + 512 + 514).contains("ledger/tile/0/000 has another"));
}

#[test]
fn paths_that_leave_the_bundle_are_refused() {
    let member = |path: &str, len| Member {
        path: path.into(),
        len,
        digest: Sha256Digest::default(),
    };
    for path in [
        "../x",
        "/x",
        "a//b",
        "a/./b",
        "",
        "a b",
        "ü",
        "a/",
        &"x".repeat(101),
    ] {
        let plan = Plan::new(vec![member(path, 1)]);
        assert!(matches!(plan, Err(BundleError::Path { .. })), "{path:?}");
    }
    let twice = Plan::new(vec![member("a", 1), member("a", 1)]);
    assert!(matches!(twice, Err(BundleError::Order { .. })));
    let long = Plan::new(vec![member("a", FILE_LEN_MAX + 1)]);
    assert!(matches!(long, Err(BundleError::FileLen { .. })));
}

#[test]
fn the_page_for_people_is_plain_text_of_plain_lines() {
    for line in README_TEXT.lines() {
        assert!(line.is_ascii() && line.len() <= 98, "{line}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Garbage is refused without a panic and without reading more than there is.
    #[test]
    fn garbage_is_refused(bytes in proptest::collection::vec(any::<u8>(), 0..4_096)) {
        prop_assert!(check(&bytes).is_err());
    }

    #[test]
    fn any_files_come_back(
        contents in proptest::collection::btree_map(
            "[a-z]{1,8}(/[a-z0-9.]{1,8}x){0,2}",
            proptest::collection::vec(any::<u8>(), 0..1_200),
            0..6,
        )
    ) {
        let bundle = Bundle::open(build(&contents).unwrap()).unwrap();
        prop_assert_eq!(bundle.check_manifest().unwrap(), contents.len() + 1);
        for (path, bytes) in &contents {
            let read = bundle.read(path, 4_096).unwrap();
            prop_assert_eq!(read.as_ref(), Some(bytes));
        }
    }
}
