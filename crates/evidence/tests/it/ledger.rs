//! The ledger: what was acknowledged is found again whatever the power does, and nothing that was
//! changed passes.

use skep_evidence::{
    file::{Files, FilesMut as _},
    ledger::{Checkpoint, Commit, Ledger, LedgerError, LedgerReader, SigningKey, TlogProof},
    record::RECORD_BYTES_MAX,
};
use skep_sim::disk::Disk;
use skep_sim::rng::Rng;

pub(crate) fn key() -> SigningKey {
    SigningKey::new("observer.example/1", [7; 32]).expect("a good name")
}

fn apply(disk: &mut Disk, commit: &Commit) -> Result<u64, skep_evidence::file::FileError> {
    commit.ops.iter().try_for_each(|op| disk.apply(op))?;
    Ok(commit.size)
}

/// A record whose bytes say its index, of a length that the index decides.
fn record(index: u64) -> Vec<u8> {
    let mut bytes = format!("record {index} ").into_bytes();
    bytes.resize(bytes.len() + (index * 37 % 300) as usize, b'.');
    bytes
}

fn filled(disk: &mut Disk, sizes: &[u64]) -> Ledger {
    let (mut ledger, commit) = Ledger::create(key());
    apply(disk, &commit).expect("no fault");
    for &size in sizes {
        while ledger.size() < size {
            let index = ledger.size();
            assert_eq!(ledger.append(&record(index)), Ok(index));
        }
        assert_eq!(apply(disk, &ledger.checkpoint()), Ok(size));
    }
    ledger
}

fn open(disk: &Disk) -> Result<LedgerReader, LedgerError> {
    LedgerReader::open(disk, &key().verifier())
}

fn expect_records(disk: &Disk, reader: &LedgerReader, size: u64) {
    let mut expected = 0;
    for read in reader.records(disk) {
        let (index, bytes) = read.expect("it was checked when it was opened");
        assert_eq!((index, bytes), (expected, record(expected)));
        expected += 1;
    }
    assert_eq!(expected, size);
}

#[test]
fn records_come_back_in_order_whatever_the_sizes_of_checkpoints() {
    for sizes in [
        &[0][..],
        &[1],
        &[255],
        &[256],
        &[257],
        &[3, 256, 300, 511, 512, 1_500],
    ] {
        let mut disk = Disk::new();
        let mut ledger = filled(&mut disk, sizes);
        let size = *sizes.last().expect("not empty");
        for _ in 0..5 {
            ledger.append(&record(ledger.size())).expect("short");
        }
        apply(&mut disk, &ledger.commit()).expect("no fault");
        let reader = open(&disk).expect("nothing was changed");
        assert_eq!(
            (reader.size(), reader.uncovered(), reader.torn()),
            (size, 5, 0)
        );
        assert_eq!(reader.strays(), [""; 0]);
        expect_records(&disk, &reader, size + 5);
    }
}

/// 66,000 records fill a tile of level 1; the pending file would be too long and makes a checkpoint
/// by itself.
#[test]
fn tiles_of_level_2_are_made_and_long_pending_files_are_not() {
    let mut disk = Disk::new();
    let mut ledger = filled(&mut disk, &[]);
    for index in 0..66_000_u64 {
        ledger.append(&index.to_be_bytes()).expect("short");
    }
    apply(&mut disk, &ledger.commit()).expect("no fault");
    assert!(
        disk.files()
            .any(|(path, _)| path == "ledger/tile/2/000.p/1")
    );
    let reader = open(&disk).expect("nothing was changed");
    assert_eq!((reader.size(), reader.uncovered()), (66_000, 0));
    let recovered = Ledger::recover(&disk, key()).expect("nothing was changed");
    let mut ledger = recovered.ledger;
    for index in 66_000..70_000_u64 {
        ledger.append(&index.to_be_bytes()).expect("short");
    }
    apply(&mut disk, &ledger.checkpoint()).expect("no fault");
    assert_eq!(open(&disk).map(|reader| reader.size()), Ok(70_000));
}

#[test]
fn too_long_a_record_is_refused_and_changes_nothing() {
    let mut disk = Disk::new();
    let mut ledger = filled(&mut disk, &[2]);
    let got = RECORD_BYTES_MAX + 1;
    assert_eq!(
        ledger.append(&vec![0; got]),
        Err(LedgerError::RecordTooLong { got })
    );
    assert_eq!(ledger.size(), 2);
    assert_eq!(ledger.append(&vec![0; RECORD_BYTES_MAX]), Ok(2));
    apply(&mut disk, &ledger.checkpoint()).expect("no fault");
    assert_eq!(open(&disk).map(|reader| reader.size()), Ok(3));
}

/// Only the files that a bundle names, and no pending file.
#[test]
fn the_published_layout_alone_is_a_ledger() {
    for size in [0, 1, 256, 700] {
        let mut disk = Disk::new();
        filled(&mut disk, &[size / 2, size]);
        let paths = open(&disk).expect("nothing was changed").paths();
        let all: Vec<String> = disk.files().map(|(path, _)| path.to_owned()).collect();
        for path in all.iter().filter(|path| !paths.contains(path)) {
            disk.remove(path);
        }
        let reader = open(&disk).expect("complete");
        assert_eq!((reader.size(), reader.uncovered()), (size, 0));
        assert_eq!(reader.paths(), paths);
        expect_records(&disk, &reader, size);
        for path in &paths {
            let mut disk = disk.clone();
            disk.remove(path);
            let error = open(&disk).expect_err("a part is missing");
            assert_eq!(error, LedgerError::Missing { path: path.clone() });
        }
        // It can be continued, too.
        let recovered = Ledger::recover(&disk, key()).expect("complete");
        let mut ledger = recovered.ledger;
        recovered
            .ops
            .iter()
            .try_for_each(|op| disk.apply(op))
            .expect("no fault");
        ledger.append(&record(size)).expect("short");
        apply(&mut disk, &ledger.commit()).expect("no fault");
        expect_records(&disk, &open(&disk).expect("continued"), size + 1);
    }
}

/// The power goes at a random operation, again and again, also while the ledger is being opened; of
/// what was not synced any part may be there. 300 seeds, up to 5 cuts each.
#[test]
fn every_acknowledged_record_survives_power_cuts_and_none_is_false() {
    let mut cuts = 0;
    for seed in 0..300 {
        cuts += survive(seed);
    }
    assert!(cuts > 800, "only {cuts} power cuts");
}

fn survive(seed: u64) -> u32 {
    let mut rng = Rng::new(seed);
    let mut disk = Disk::new();
    let (mut acknowledged, mut signed, mut created) = (0, 0, false);
    let mut cuts = 0;
    for _ in 0..5 {
        disk.fail_after(rng.below(50));
        match work(
            &mut disk,
            &mut rng,
            &mut acknowledged,
            &mut signed,
            &mut created,
        ) {
            Ok(()) => disk.fail_after(u64::MAX),
            Err(LedgerError::File(_)) => cuts += 1,
            Err(error) => panic!("seed {seed}: {error}"),
        }
        disk.crash(&mut rng);
        if !created {
            continue;
        }
        let reader = open(&disk).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        let size = reader.size() + reader.uncovered();
        assert!(
            size >= acknowledged,
            "seed {seed}: {size} of {acknowledged} acknowledged"
        );
        assert!(
            reader.size() >= signed,
            "seed {seed}: {} of {signed} signed",
            reader.size()
        );
        expect_records(&disk, &reader, size);
    }
    cuts
}

/// Opens the ledger and works until the power goes.
fn work(
    disk: &mut Disk,
    rng: &mut Rng,
    acknowledged: &mut u64,
    signed: &mut u64,
    created: &mut bool,
) -> Result<(), LedgerError> {
    let mut ledger = if *created {
        let recovered = Ledger::recover(disk, key())?;
        recovered.ops.iter().try_for_each(|op| disk.apply(op))?;
        recovered.ledger
    } else {
        let (ledger, commit) = Ledger::create(key());
        apply(disk, &commit)?;
        *created = true;
        ledger
    };
    assert!(ledger.size() >= *acknowledged);
    for _ in 0..12 {
        for _ in 0..rng.below(40) {
            let index = ledger.size();
            ledger.append(&record(index))?;
        }
        let checkpoint = rng.below(3) == 0;
        let commit = if checkpoint {
            ledger.checkpoint()
        } else {
            ledger.commit()
        };
        *acknowledged = apply(disk, &commit)?;
        if checkpoint {
            *signed = commit.size;
        }
    }
    Ok(())
}

/// Every file, every byte: one bit each in a ledger with a full bundle, all eight in a small one.
/// The pending file's records beyond the checkpoint are the one part that nothing signs yet.
#[test]
fn one_flipped_bit_anywhere_is_detected() {
    let mut large = Disk::new();
    let (mut ledger, commit) = Ledger::create(key());
    apply(&mut large, &commit).expect("no fault");
    for index in 0..258_u16 {
        ledger.append(&index.to_be_bytes()).expect("short");
    }
    apply(&mut large, &ledger.checkpoint()).expect("no fault");
    let mut small = Disk::new();
    filled(&mut small, &[3]);
    for (disk, bits) in [(large, 1), (small, 8)] {
        open(&disk).expect("nothing was changed");
        let files: Vec<(String, usize)> = disk
            .files()
            .map(|(path, bytes)| (path.to_owned(), bytes.len()))
            .collect();
        let mut disk = disk;
        for (path, len) in files {
            for at in 0..len * bits {
                let (byte, mask) = (at / bits, 1_u8 << ((at + byte_of(at, bits)) % 8));
                let mut flip = || disk.tamper(&path, |bytes| bytes[byte] ^= mask);
                flip().expect("the file is there");
                let opened = open(&disk);
                assert!(
                    opened.is_err(),
                    "{path}: byte {byte} ^ {mask:#04x} was not seen"
                );
                let mut flip = || disk.tamper(&path, |bytes| bytes[byte] ^= mask);
                flip().expect("the file is there");
            }
        }
        open(&disk).expect("every change was taken back");
    }
}

/// With one bit a byte, another bit from byte to byte.
fn byte_of(at: usize, bits: usize) -> usize {
    if bits == 1 { at / 8 } else { 0 }
}

#[test]
fn errors_name_the_part() {
    let ledger = || {
        let mut disk = Disk::new();
        filled(&mut disk, &[600]);
        disk
    };
    let error = |change: &dyn Fn(&mut Disk)| {
        let mut disk = ledger();
        change(&mut disk);
        open(&disk).expect_err("it was changed")
    };
    let flip = |path: &'static str, at: usize| {
        error(&move |disk| disk.tamper(path, |bytes| bytes[at] ^= 1).expect("there"))
    };
    let record_error = flip("ledger/tile/entries/001", 40);
    let LedgerError::Record { path, index, other } = record_error else {
        panic!("{record_error}")
    };
    assert_eq!(
        (&path[..], &other[..]),
        ("ledger/tile/entries/001", "ledger/tile/0/001")
    );
    assert_eq!(index, 256);
    let tile_error = flip("ledger/tile/1/000.p/2", 33);
    let expected = LedgerError::Tile {
        path: "ledger/tile/1/000.p/2".into(),
        at: 1,
    };
    assert_eq!(tile_error, expected);
    let lost = flip("ledger/pending/512", 3_000);
    let LedgerError::Lost {
        path,
        signed: 600,
        why: Some(_),
        ..
    } = &lost
    else {
        panic!("{lost}")
    };
    assert_eq!(path, "ledger/pending/512");
    assert!(matches!(
        flip("ledger/checkpoint", 3),
        LedgerError::Checkpoint(_)
    ));
    let gone = error(&|disk| disk.remove("ledger/tile/entries/000").expect("there"));
    assert_eq!(
        gone,
        LedgerError::Missing {
            path: "ledger/tile/entries/000".into()
        }
    );
}

/// An operator who has the key cannot shorten a ledger and keep its old checkpoint, and a stranger
/// with another key cannot sign one.
#[test]
fn shortened_ledgers_and_other_keys_are_refused() {
    let mut long = Disk::new();
    filled(&mut long, &[10, 20]);
    let mut short = Disk::new();
    filled(&mut short, &[10]);
    let checkpoint = long
        .read("ledger/checkpoint", 4_096)
        .expect("a disk")
        .expect("a file");
    short
        .tamper("ledger/checkpoint", |bytes| *bytes = checkpoint)
        .expect("there");
    let error = open(&short).expect_err("shortened");
    assert!(
        matches!(
            error,
            LedgerError::Lost {
                have: 10,
                signed: 20,
                ..
            }
        ),
        "{error}"
    );
    let other = SigningKey::new("observer.example/1", [8; 32]).expect("a good name");
    let error = LedgerReader::open(&long, &other.verifier()).expect_err("not that key's");
    assert!(matches!(error, LedgerError::Checkpoint(_)), "{error}");
}

#[test]
fn proofs_hold_for_their_record_alone() {
    let mut disk = Disk::new();
    filled(&mut disk, &[300]);
    let reader = open(&disk).expect("nothing was changed");
    let verifier = key().verifier();
    for index in [0, 1, 255, 256, 299] {
        let text = reader.prove(index).expect("covered").encode();
        let proof = TlogProof::parse(&text).expect("our own");
        assert_eq!(proof.encode(), text);
        assert_eq!(proof.verify(&record(index), &verifier), Ok(()));
        assert!(proof.verify(&record(index + 1), &verifier).is_err());
        let mut moved = proof.clone();
        moved.index ^= 1;
        assert!(moved.verify(&record(index), &verifier).is_err());
    }
    assert_eq!(reader.prove(300), None);
    let checkpoint = Checkpoint::open(reader.checkpoint_text(), &verifier).expect("signed");
    assert_eq!(checkpoint.head().size, 300);
}
