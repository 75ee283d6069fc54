use std::{path::Path, sync::Arc};

use skep_hash::sha1;
use skep_wire::metainfo::{self, Attr, Version};

use super::*;
use crate::{
    disk::{files::Access, layout::Layout},
    session::Place,
};

const PIECE_LEN: u32 = 16 * 1024;

/// A torrent of version 1 that has no hashes yet, of files of these lengths, written to `dir`; and its
/// content.
fn written(dir: &Path, lens: &[u64], piece_len: u32) -> (Info, Files, Vec<u8>) {
    let size_bytes: u64 = lens.iter().sum();
    let bytes: Vec<u8> = (0..size_bytes).map(|n| (n * 31 / 7) as u8).collect();
    let file = |(n, &len): (usize, &u64)| metainfo::File {
        path: vec![n.to_string()],
        len,
        offset: 0,
        padding: false,
        root: None,
        attr: Attr::default(),
    };
    let files = lens.iter().enumerate().map(file).collect();
    let files = Info::lay(Version::V1, piece_len, files);
    for file in &files {
        let content = &bytes[file.offset as usize..][..file.len as usize];
        std::fs::write(dir.join(&file.path[0]), content).expect("written");
    }
    let info = Info {
        version: Version::V1,
        name: "t".into(),
        piece_len,
        pieces: vec![Default::default(); bytes.len().div_ceil(piece_len as usize)],
        pieces_v2: Vec::new(),
        files,
        single_file: false,
        private: false,
        source: None,
        size_bytes,
    };
    let place = Place::At(dir.to_owned());
    let files = Files::new(Arc::new(Layout::of(&info)), &place, "t", Access::Read);
    (info, files, bytes)
}

/// Every number of pieces up to more than two groups for each of two threads, and a short last one: files
/// end in the middle of pieces, pieces in the middle of files.
#[test]
fn however_many_pieces_there_are_each_has_its_digest() {
    for count in (1..=70).step_by(3) {
        let dir = tempfile::tempdir().expect("temporary folder");
        let lens = [7, count * 1000, 1, count * 9000, count * 5000 + 11];
        let (info, files, bytes) = written(dir.path(), &lens, PIECE_LEN);
        let watch = Watch::default();
        let digests = digests(&files, &info, &watch).expect("hashed");
        let got: Vec<_> = digests.iter().map(|digests| digests.v1).collect();
        let pieces = bytes.chunks(PIECE_LEN as usize);
        let expected: Vec<_> = pieces.map(|piece| Some(sha1(piece))).collect();
        assert_eq!(got, expected, "{} pieces", expected.len());
        assert_eq!(watch.bytes_done.into_inner(), bytes.len() as u64);
    }
}

/// Pieces of more than a stretch, in groups whose stretches are short, long, and the longest.
#[test]
fn a_piece_is_hashed_in_as_many_stretches_as_it_takes() {
    for pieces in [1, 2, 5, 33] {
        let piece_len = 1 << 19;
        let dir = tempfile::tempdir().expect("temporary folder");
        let lens = [pieces * u64::from(piece_len) - 100_001];
        let (info, files, bytes) = written(dir.path(), &lens, piece_len);
        let digests = digests(&files, &info, &Watch::default()).expect("hashed");
        let got: Vec<_> = digests.iter().map(|digests| digests.v1).collect();
        let expected = bytes.chunks(piece_len as usize).map(sha1).map(Some);
        assert_eq!(got, expected.collect::<Vec<_>>());
    }
}

/// Files that are gone, cut in the middle of a piece, or wrong in one byte: exactly the pieces that they
/// touch are not there, and what was asked for is counted.
#[test]
fn a_gap_takes_its_own_pieces_and_no_neighbour() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let lens = [300_000, 200_000, 400_000, 77];
    let (mut info, files, bytes) = written(dir.path(), &lens, PIECE_LEN);
    info.pieces = bytes.chunks(PIECE_LEN as usize).map(sha1).collect();
    let all: Vec<u32> = (0..info.piece_count()).collect();
    let there = |only: Option<&Bitfield>| {
        let watch = Watch::default();
        let found = pieces_there(&files, &info, only, &watch).expect("checked");
        assert_eq!(watch.bytes_done.into_inner(), bytes.len() as u64);
        found.there.iter().map(|piece| piece.0).collect::<Vec<_>>()
    };
    assert_eq!(there(None), all);

    let touched = |from: u64, to: u64| from / 16_384..to.div_ceil(16_384);
    let without = |gaps: &[std::ops::Range<u64>]| {
        let is_right = |piece: &u32| gaps.iter().all(|gap| !gap.contains(&u64::from(*piece)));
        all.iter().copied().filter(is_right).collect::<Vec<_>>()
    };
    std::fs::remove_file(dir.path().join("1")).expect("removed");
    let gone = touched(300_000, 500_000);
    assert_eq!(there(None), without(std::slice::from_ref(&gone)));
    let cut = &bytes[500_000..600_000];
    std::fs::write(dir.path().join("2"), cut).expect("cut");
    let short = touched(600_000, 900_000);
    assert_eq!(there(None), without(&[gone.clone(), short.clone()]));
    let mut first = bytes[..300_000].to_vec();
    first[100_000] ^= 1;
    std::fs::write(dir.path().join("0"), first).expect("changed");
    let wrong = touched(100_000, 100_001);
    let right = without(&[gone, short, wrong]);
    assert_eq!(there(None), right);

    let mut only = Bitfield::empty(info.piece_count());
    let asked = [0, 6, 7, 20, 35].map(PieceIndex);
    asked.into_iter().for_each(|piece| {
        only.insert(piece);
    });
    let expected: Vec<u32> = right
        .into_iter()
        .filter(|&piece| only.has(PieceIndex(piece)))
        .collect();
    assert_eq!(there(Some(&only)), expected);
}

/// Attacks at the beginning of some pieces, one of which is cut off after them: those that are there are named, and
/// nothing is looked for unasked.
#[test]
fn collision_attacks_are_found_in_the_pieces_that_begin_with_them() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let (mut info, files, mut bytes) = written(dir.path(), &[40 * 16_384 + 500], PIECE_LEN);
    let pair = [
        include_bytes!("../../../../../testdata/sha1/shattered-1.bin"),
        include_bytes!("../../../../../testdata/sha1/shattered-2.bin"),
    ];
    let attacked = [0, 5, 39, 40];
    for (n, piece) in attacked.iter().enumerate() {
        let start = piece * PIECE_LEN as usize;
        bytes[start..start + 320].copy_from_slice(pair[n % 2]);
    }
    info.pieces = bytes.chunks(PIECE_LEN as usize).map(sha1).collect();
    let found = |watch: &Watch| {
        let found = pieces_there(&files, &info, None, watch).expect("checked");
        let attacked = watch.attacked().into_iter().map(|piece| piece.0 as usize);
        (found.there.count(), attacked.collect::<Vec<_>>())
    };
    std::fs::write(dir.path().join("0"), &bytes).expect("written");
    assert_eq!(found(&Watch::default()), (41, vec![]));
    assert_eq!(found(&Watch::for_attacks()), (41, attacked.to_vec()));
    let digests = digests(&files, &info, &Watch::for_attacks()).expect("hashed");
    let v1: Vec<_> = digests.iter().filter_map(|digests| digests.v1).collect();
    assert_eq!(v1, info.pieces);
    std::fs::write(dir.path().join("0"), &bytes[..40 * 16_384 + 400]).expect("cut");
    assert_eq!(found(&Watch::for_attacks()), (40, vec![0, 5, 39]));
}

#[test]
fn whoever_asks_it_to_stop_is_obeyed() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let (info, files, _) = written(dir.path(), &[100_000], PIECE_LEN);
    let watch = Watch::default();
    watch.stop.store(true, Ordering::Relaxed);
    let stopped = pieces_there(&files, &info, None, &watch);
    assert!(matches!(stopped, Err(DiskError::Interrupted)));
}

/// The lanes are as full as they can be when every thread has something to do, and no thread works alone at
/// the end for longer than the others worked together.
#[test]
fn pieces_are_shared_out_evenly() {
    for lanes in [1, 4, 8, 16] {
        for threads in 1..=9 {
            for count in 1..=400 {
                let (used, group) = shares(count, threads, lanes);
                let of = format!("{count} pieces, {threads} threads, {lanes} lanes");
                assert!((1..=lanes).contains(&group), "{group}: {of}");
                assert!((1..=threads).contains(&used), "{used}: {of}");
                let groups = count.div_ceil(group);
                assert!(used <= groups, "a thread without a group: {of}");
                let fewest = count.div_ceil(threads * lanes);
                assert_eq!(groups.div_ceil(used), fewest, "{group} {used}: {of}");
            }
        }
    }
}
