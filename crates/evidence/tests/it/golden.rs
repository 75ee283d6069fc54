//! The golden observation of format 1 in `testdata/ledger`: old ledgers still open, and this build
//! writes the same bytes.
//!
//! `SKEP_BLESS=1 cargo test -p skep-evidence --test it golden` writes the files anew. That is right
//! only before a release: once a format is out, its golden files never change.

use std::{fs, path::PathBuf};

use skep_evidence::{
    capture::{CapturedPacket, Packet, Renderer, Section, packet_at},
    file::{FileError, FileOp, Files, FilesMut as _},
    journal::{Entries, Tail, frame},
    ledger::{Ledger, LedgerReader, TlogProof, VerifierKey},
    record::Record,
};
use skep_hash::sha256;
use skep_sim::disk::Disk;

use crate::{capture::sample_run, ledger::key, samples::records};

/// A full bundle, and two records more.
const RECORDS: usize = 258;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../testdata/ledger/format-1")
}

/// What this build writes: every kind of record, filled up with small ones; a run's journal and
/// capture; the public key; a proof.
fn written() -> Disk {
    let mut disk = Disk::new();
    let (mut ledger, commit) = Ledger::create(key());
    let mut ops = commit.ops;
    let samples = records();
    let small = samples
        .iter()
        .find(|record| record.body.kind() == "whole")
        .expect("a sample");
    for n in 0..RECORDS {
        let mut record = samples.get(n).unwrap_or(small).clone();
        record.at = skep_wire::Moment(n as u64 * 1_000_003);
        ledger.append(&record.encode()).expect("short");
        if n == 100 {
            ops.extend(ledger.checkpoint().ops);
        }
    }
    ops.extend(ledger.checkpoint().ops);
    ops.push(FileOp::CreateDir {
        path: "runs/0001".into(),
    });
    let run = sample_run();
    let journal = run
        .entries
        .iter()
        .flat_map(|(entry, _)| frame(&entry.encode()))
        .collect();
    for (path, bytes) in [
        ("runs/0001/journal", journal),
        ("runs/0001/capture.pcapng", run.capture),
        (
            "operator.vkey",
            format!("{}\n", key().verifier().encode()).into_bytes(),
        ),
    ] {
        ops.push(FileOp::Replace {
            path: path.into(),
            bytes,
        });
    }
    ops.iter()
        .try_for_each(|op| disk.apply(op))
        .expect("no fault");
    let reader = LedgerReader::open(&disk, &key().verifier()).expect("just written");
    let proof = reader.prove(7).expect("covered").encode().into_bytes();
    disk.apply(&FileOp::Replace {
        path: "record-7.tlog-proof".into(),
        bytes: proof,
    })
    .expect("no fault");
    disk
}

/// The committed files, in memory.
fn golden() -> Disk {
    fn copy(disk: &mut Disk, folder: &std::path::Path, path: &str) {
        for entry in fs::read_dir(folder).expect("testdata is there") {
            let entry = entry.expect("testdata can be listed");
            let name = entry.file_name().into_string().expect("ASCII");
            let path = if path.is_empty() {
                name
            } else {
                format!("{path}/{name}")
            };
            if entry.path().is_dir() {
                disk.apply(&FileOp::CreateDir { path: path.clone() })
                    .expect("no fault");
                copy(disk, &entry.path(), &path);
            } else {
                let bytes = fs::read(entry.path()).expect("testdata can be read");
                disk.apply(&FileOp::Replace { path, bytes })
                    .expect("no fault");
            }
        }
    }
    let mut disk = Disk::new();
    disk.apply(&FileOp::CreateDir {
        path: String::new(),
    })
    .expect("no fault");
    copy(&mut disk, &folder(), "");
    disk
}

fn vkey(files: &dyn Files) -> Result<VerifierKey, String> {
    let text = files
        .read("operator.vkey", 4_096)
        .map_err(|error: FileError| error.to_string())?;
    let text = String::from_utf8(text.ok_or("no key")?).map_err(|error| error.to_string())?;
    if !text.ends_with('\n') {
        return Err("the key's line is not ended".into());
    }
    VerifierKey::parse(&text).map_err(|error| error.to_string())
}

/// Reads everything with the committed key, as a stranger would who has only the format's page.
fn open(files: &dyn Files) -> Result<(), String> {
    let key = vkey(files)?;
    let reader = LedgerReader::open(files, &key).map_err(|error| error.to_string())?;
    if !reader.strays().is_empty() {
        return Err(format!("strays: {:?}", reader.strays()));
    }
    Ok(())
}

#[test]
fn golden_files_are_what_this_build_writes() {
    let written = written();
    if std::env::var_os("SKEP_BLESS").is_some() {
        let _ = fs::remove_dir_all(folder());
        for (path, bytes) in written.files() {
            let path = folder().join(path);
            fs::create_dir_all(path.parent().expect("below the folder")).expect("writable");
            fs::write(path, bytes).expect("writable");
        }
    }
    let golden = golden();
    let names = |disk: &Disk| {
        disk.files()
            .map(|(path, _)| path.to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&golden), names(&written));
    for ((path, golden), (_, written)) in golden.files().zip(written.files()) {
        assert!(
            golden == written,
            "{path} differs: {} and {} bytes",
            golden.len(),
            written.len()
        );
    }
}

#[test]
fn golden_observation_opens_and_replays() {
    let golden = golden();
    open(&golden).expect("old ledgers still verify");
    let key = vkey(&golden).expect("a key");
    let reader = LedgerReader::open(&golden, &key).expect("old ledgers still verify");
    assert_eq!((reader.size(), reader.uncovered()), (RECORDS as u64, 0));
    for read in reader.records(&golden) {
        let (index, bytes) = read.expect("compared when it was opened");
        let record = Record::decode(&bytes).expect("a record of format 1");
        assert_eq!(record.encode(), bytes, "record {index}");
    }
    let proof = golden
        .read("record-7.tlog-proof", 9_999)
        .expect("readable")
        .expect("there");
    let proof = TlogProof::parse(&String::from_utf8(proof).expect("text")).expect("a proof");
    let (_, seventh) = reader
        .records(&golden)
        .nth(7)
        .expect("258")
        .expect("checked");
    proof
        .verify(&seventh, &key)
        .expect("record 7 is in the log");

    let journal = golden
        .read("runs/0001/journal", 1 << 20)
        .expect("readable")
        .expect("there");
    let capture = golden
        .read("runs/0001/capture.pcapng", 1 << 20)
        .expect("readable")
        .expect("there");
    let section = Section {
        observer: key.name().into(),
        run: 1,
        version: "0.1.0".into(),
    };
    let (mut renderer, mut rendered) = Renderer::new(&section);
    let mut entries = Entries::new(&journal);
    for (_, entry) in entries.by_ref() {
        let payload = match Packet::of(&entry.input) {
            None => &[],
            Some((_, offset, _)) => {
                let block = &capture[offset.0 as usize..];
                let CapturedPacket { payload, .. } = packet_at(block, offset).expect("a packet");
                payload
            }
        };
        rendered.extend(renderer.replay(&entry, payload).expect("entries in order"));
    }
    assert_eq!(entries.tail(), Tail::Clean);
    assert_eq!(sha256(&rendered), sha256(&capture));
}

/// One bit in every seventh byte of every file of the ledger and of the key. (Every byte of a smaller
/// one is flipped in `ledger.rs`.)
#[test]
fn one_flipped_bit_in_the_golden_ledger_is_detected() {
    let mut disk = golden();
    let files: Vec<(String, usize)> = disk
        .files()
        .filter(|(path, _)| path.starts_with("ledger/") || *path == "operator.vkey")
        .map(|(path, bytes)| (path.to_owned(), bytes.len()))
        .collect();
    assert!(files.len() >= 7, "{files:?}");
    for (path, len) in files {
        for at in (0..len).step_by(7) {
            let mask = 1_u8 << (at % 8);
            disk.tamper(&path, |bytes| bytes[at] ^= mask)
                .expect("there");
            assert!(
                open(&disk).is_err(),
                "{path}: byte {at} ^ {mask:#04x} was not seen"
            );
            disk.tamper(&path, |bytes| bytes[at] ^= mask)
                .expect("there");
        }
    }
    open(&disk).expect("every change was taken back");
}
