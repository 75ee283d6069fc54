//! The observation's folder: what was acknowledged is found again, in all three files.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, process::Command};

use skep_evidence::{
    capture::{Direction, Packet, Renderer, Section, packet_at},
    clock::ClockSample,
    file::{Files, FilesMut},
    journal::{CaptureOffset, ConnId, Entries, Entry, Input, Tail},
    ledger::{LedgerReader, SigningKey},
    record::{Body, Record},
};
use skep_hash::sha256;
use skep_net::store::{DiskFiles, ObservationReader, ObservationStore, RunBegin, StoreError};
use skep_proto::rng::Rng;
use skep_sim::disk::Disk;
use skep_wire::{Moment, PieceIndex};

const CONN: ConnId = ConnId(0);
const VERSION: &str = "0.1.0";

fn key() -> SigningKey {
    SigningKey::new("observer.example/1", [7; 32]).expect("a good name")
}

fn clock() -> ClockSample {
    let (before, after) = (Moment(1_000), Moment(2_000));
    let (utc_us, error_us_max) = (1_795_400_000_000_000, 500);
    ClockSample {
        before,
        after,
        utc_us,
        error_us_max,
        synchronised: true,
    }
}

fn begin<F: FilesMut>(store: &mut ObservationStore<F>) -> Result<u32, StoreError> {
    let torrents = [b"d4:infodee".to_vec()];
    let begin = RunBegin {
        version: VERSION,
        binary: sha256(b"binary"),
        build: "test",
        config: b"de",
        torrents: &torrents,
        clock: clock(),
    };
    let run = store.begin_run(&begin)?;
    store.append_entry(&Entry {
        at: clock().after,
        input: Input::Clock(clock()),
    })?;
    let end = |port| std::net::SocketAddr::from(([127, 0, 0, 2], port));
    let (local, remote) = (end(40_000), end(6_881));
    store.append_entry(&Entry {
        at: at(0),
        input: Input::Opened {
            conn: CONN,
            local,
            remote,
        },
    })?;
    Ok(run)
}

fn at(step: u32) -> Moment {
    Moment(10_000 + u64::from(step) * 1_000)
}

fn payload(run: u32, step: u32) -> Vec<u8> {
    let mut bytes = format!("run {run} step {step} ").into_bytes();
    bytes.resize(bytes.len() + step as usize * 131 % 3_000, step as u8);
    bytes
}

/// The record of a step; its index in the ledger depends on the marks between.
fn record(run: u32, step: u32) -> Record {
    let (piece, blocks) = (PieceIndex(step), 1);
    let body = Body::PieceAsked {
        conn: CONN,
        piece,
        blocks,
    };
    Record {
        run,
        at: at(step),
        utc: clock().utc(at(step)),
        body,
        unknown: Vec::new(),
    }
}

/// One step of a run: bytes, the entry that points at them, a record.
fn step<F: FilesMut>(
    store: &mut ObservationStore<F>,
    run: u32,
    step: u32,
) -> Result<u64, StoreError> {
    let bytes = payload(run, step);
    let packet = Packet::Tcp {
        conn: CONN,
        direction: Direction::In,
    };
    let capture = store.append_packet(at(step), packet, &bytes)?;
    let len = bytes.len() as u32;
    let input = Input::Received {
        conn: CONN,
        capture,
        len,
    };
    store.append_entry(&Entry {
        at: at(step),
        input,
    })?;
    store.append_record(&record(run, step))
}

/// What a crash must not take: per run, how many steps were acknowledged.
type Acknowledged = Vec<u32>;

/// Reads everything and compares it with what the steps say; returns how many steps each run has.
fn examine(files: &dyn Files, acknowledged: &Acknowledged, mended: bool) {
    let reader = LedgerReader::open(files, &key().verifier()).expect("the ledger holds");
    let mut steps: Vec<u32> = vec![0; acknowledged.len() + 1];
    let mut runs = 0;
    for read in reader.records(files) {
        let (index, bytes) = read.expect("compared when it was opened");
        let found = Record::decode(&bytes).expect("our own record");
        match found.body {
            Body::RunStarted { .. } => runs = found.run,
            Body::PieceAsked { piece, .. } => {
                let steps = &mut steps[found.run as usize - 1];
                assert_eq!(
                    (piece.0, &found),
                    (*steps, &record(found.run, *steps)),
                    "at {index}"
                );
                *steps += 1;
            }
            Body::Mark {
                journal_len,
                journal,
                capture_len,
                capture,
            } => {
                let part = |path: String, len: u64| {
                    sha256(&files.read_at(&path, 0, len as usize).expect("readable"))
                };
                assert_eq!(
                    part(ObservationReader::journal_path(found.run), journal_len),
                    journal
                );
                assert_eq!(
                    part(ObservationReader::capture_path(found.run), capture_len),
                    capture
                );
            }
            Body::RunCut { .. } => {}
            other => panic!("record {index} was never written: {other:?}"),
        }
    }
    for (run, steps) in (1..).zip(&steps).take(runs as usize) {
        let durable = acknowledged.get(run as usize - 1).copied().unwrap_or(0);
        assert!(
            *steps >= durable,
            "run {run}: {steps} of {durable} acknowledged steps"
        );
        let entries = examine_run(files, run, mended || run < runs);
        assert!(
            entries >= *steps,
            "run {run}: {entries} entries for {steps} records"
        );
    }
    let begun = acknowledged
        .iter()
        .rposition(|&steps| steps > 0)
        .map_or(0, |last| last + 1);
    assert!(runs as usize >= begun, "{runs} runs of {begun}");
}

/// The run's journal and capture: whole entries, whose bytes are in the capture as rendered.
fn examine_run(files: &dyn Files, run: u32, mended: bool) -> u32 {
    let path = ObservationReader::journal_path(run);
    let journal = files
        .read(&path, u64::MAX)
        .expect("readable")
        .unwrap_or_default();
    let capture = files
        .read(&ObservationReader::capture_path(run), u64::MAX)
        .expect("readable")
        .expect("made before the run's first record");
    let section = Section {
        observer: "observer.example/1".into(),
        run,
        version: VERSION.into(),
    };
    let (mut renderer, mut rendered) = Renderer::new(&section);
    let (mut entries, mut steps) = (Entries::new(&journal), 0);
    for (_, entry) in entries.by_ref() {
        let Some((_, CaptureOffset(offset), _)) = Packet::of(&entry.input) else {
            renderer.learn(&entry).expect("entries in order");
            continue;
        };
        let Some(block) = capture.get(offset as usize..) else {
            break;
        };
        let Ok(packet) = packet_at(block, CaptureOffset(offset)) else {
            break;
        };
        if packet.payload != payload(run, steps) {
            assert!(!mended, "run {run}: bytes of step {steps} are others");
            break;
        }
        rendered.extend(
            renderer
                .replay(&entry, packet.payload)
                .expect("as it was rendered"),
        );
        steps += 1;
    }
    if mended {
        assert_eq!(entries.tail(), Tail::Clean);
        assert_eq!(
            rendered, capture,
            "run {run}: the capture is what the journal renders"
        );
    } else {
        assert!(capture.starts_with(&rendered[..rendered.len().min(capture.len())]));
    }
    steps
}

/// The power goes at a random operation, also while a crash is being mended; of what was not synced
/// any part may be there. 220 seeds with up to 4 cuts each, every seed a folder with several runs.
#[test]
fn acknowledged_steps_survive_power_cuts() {
    let mut cuts = 0;
    for seed in 0..220 {
        cuts += survive(seed);
    }
    assert!(cuts > 500, "only {cuts} power cuts");
}

fn survive(seed: u64) -> u32 {
    let mut rng = Rng::new(seed);
    let mut disk = Disk::new();
    let mut acknowledged = Acknowledged::new();
    let mut cuts = 0;
    for _ in 0..4 {
        disk.fail_after(rng.below(90));
        match work(&mut disk, &mut rng, &mut acknowledged) {
            Ok(()) => {}
            Err(StoreError::File(_)) => cuts += 1,
            Err(error) => panic!("seed {seed}: {error}"),
        }
        disk.crash(&mut rng);
        if !acknowledged.is_empty() {
            examine(&disk, &acknowledged, false);
        }
    }
    let (store, _) = ObservationStore::open_on(disk, key()).expect("no more power cuts");
    if !acknowledged.is_empty() {
        examine(store.files(), &acknowledged, true);
    }
    cuts
}

/// Opens the folder, begins a run, and takes steps until the power goes.
fn work(disk: &mut Disk, rng: &mut Rng, acknowledged: &mut Acknowledged) -> Result<(), StoreError> {
    let files = Lent(disk);
    let (mut store, _) = ObservationStore::open_on(files, key())?;
    let run = begin(&mut store)?;
    acknowledged.resize(run as usize, 0);
    let mut steps = 0;
    for _ in 0..12 {
        for _ in 0..rng.below(20) {
            step(&mut store, run, steps)?;
            steps += 1;
        }
        if rng.below(3) == 0 {
            store.mark()?
        } else {
            store.commit()?
        };
        acknowledged[run as usize - 1] = steps;
    }
    Ok(())
}

/// The test's disk, lent to a store.
#[derive(Debug)]
struct Lent<'a>(&'a mut Disk);

impl Files for Lent<'_> {
    fn read(
        &self,
        path: &str,
        len_max: u64,
    ) -> Result<Option<Vec<u8>>, skep_evidence::file::FileError> {
        self.0.read(path, len_max)
    }

    fn read_at(
        &self,
        path: &str,
        offset: u64,
        len: usize,
    ) -> Result<Vec<u8>, skep_evidence::file::FileError> {
        self.0.read_at(path, offset, len)
    }

    fn len(&self, path: &str) -> Result<Option<u64>, skep_evidence::file::FileError> {
        self.0.len(path)
    }

    fn list(&self, path: &str) -> Result<Vec<String>, skep_evidence::file::FileError> {
        self.0.list(path)
    }
}

impl FilesMut for Lent<'_> {
    fn apply(
        &mut self,
        op: &skep_evidence::file::FileOp,
    ) -> Result<(), skep_evidence::file::FileError> {
        self.0.apply(op)
    }
}

/// A run on a real disk, ended properly, and a second one into the same folder.
#[test]
fn a_second_run_continues_the_ledger() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path().join("observation");
    for run in 1..=2 {
        let (mut store, report) = ObservationStore::open(&dir, "observer.example/1").expect("ours");
        assert_eq!(
            (report.created, report.runs, report.cut),
            (run == 1, run - 1, None)
        );
        assert_eq!(begin(&mut store).expect("a run"), run);
        for number in 0..300 {
            step(&mut store, run, number).expect("a step");
        }
        store.mark().expect("a mark");
    }
    let reader = ObservationReader::open(&dir).expect("whole");
    assert_eq!(reader.ledger().size(), 2 * 302);
    assert_eq!(reader.ledger().strays(), [""; 0]);
    assert_eq!(reader.records().filter(Result::is_ok).count(), 604);
    for run in 1..=2 {
        assert_eq!(examine_run(reader.files(), run, true), 300);
    }
    assert_eq!(reader.blob(&sha256(b"de")).expect("kept"), b"de");
    assert!(matches!(
        reader.blob(&sha256(b"other")),
        Err(StoreError::Blob { .. })
    ));
    stranger_agrees(&dir);
    let mode = |name: &str| {
        fs::metadata(dir.join(name))
            .expect("there")
            .permissions()
            .mode()
            & 0o777
    };
    assert_eq!(
        (mode("operator.key"), mode("operator.vkey")),
        (0o600, 0o644)
    );
}

/// The verifier in Python that was written from the page of formats.
fn stranger_agrees(dir: &Path) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../evidence/tests/stranger/verify.py");
    let Ok(output) = Command::new("python3").arg(script).arg(dir).output() else {
        eprintln!("SKIPPED the check by a stranger: no python3 on this machine");
        return;
    };
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        said.contains("run 2: 302 journal entries render the capture's 300 packets"),
        "{said}"
    );
}

/// What lies in a folder already is not mixed with; a crash before there was a key leaves only a beginning.
#[test]
fn a_folder_in_use_for_something_else_is_refused_and_left_as_it_is() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    fs::write(dir.join("thesis.txt"), "mine").expect("writable");
    let error = ObservationStore::open(dir, "observer.example/1").expect_err("not ours");
    assert!(
        matches!(&error, StoreError::Foreign { found, .. } if found == "thesis.txt"),
        "{error}"
    );
    assert_eq!(fs::read_dir(dir).expect("readable").count(), 1);

    fs::remove_file(dir.join("thesis.txt")).expect("there");
    fs::write(dir.join("lock"), "").expect("writable");
    fs::write(dir.join("operator.key.tmp"), "PRIVATE").expect("writable");
    drop(ObservationStore::open(dir, "observer.example/1").expect("a beginning"));
    fs::write(dir.join("notes.txt"), "mine").expect("writable");
    drop(ObservationStore::open(dir, "observer.example/1").expect("notes beside it are welcome"));
}

#[test]
fn only_one_writer_and_only_with_its_key() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    let (store, _) = ObservationStore::open(dir, "observer.example/1").expect("ours");
    let second = ObservationStore::open(dir, "observer.example/1").expect_err("held");
    assert!(matches!(second, StoreError::Locked { .. }), "{second}");
    drop(store);
    drop(ObservationStore::open(dir, "observer.example/1").expect("free again"));
    let secret = fs::read(dir.join("operator.key")).expect("there");
    fs::remove_file(dir.join("operator.key")).expect("there");
    let error = ObservationStore::open(dir, "observer.example/1").expect_err("no key");
    assert!(matches!(error, StoreError::OtherKey), "{error}");
    fs::remove_file(dir.join("operator.vkey")).expect("there");
    let error = ObservationStore::open(dir, "observer.example/1").expect_err("no keys");
    assert!(matches!(error, StoreError::Foreign { .. }), "{error}");
    fs::write(dir.join("operator.vkey"), "another").expect("writable");
    fs::write(dir.join("operator.key"), &secret).expect("writable");
    let error = ObservationStore::open(dir, "observer.example/1").expect_err("another vkey");
    assert!(matches!(error, StoreError::OtherKey), "{error}");
    fs::remove_file(dir.join("operator.vkey")).expect("there");
    drop(
        ObservationStore::open(dir, "observer.example/1")
            .expect("the secret key makes the public one"),
    );
    let nothing = tempfile::tempdir().expect("a folder");
    let error = ObservationReader::open(nothing.path()).expect_err("nothing there");
    assert!(matches!(error, StoreError::NoObservation { .. }), "{error}");
}

/// Journal and capture up to the last mark cannot be changed unseen; what follows it is mended.
#[test]
fn changed_runs_are_refused_and_torn_ones_are_mended() {
    let whole = || {
        let mut disk = Disk::new();
        let (mut store, _) = ObservationStore::open_on(Lent(&mut disk), key()).expect("new");
        begin(&mut store).expect("a run");
        for number in 0..10 {
            step(&mut store, 1, number).expect("a step");
        }
        store.mark().expect("a mark");
        for number in 10..20 {
            step(&mut store, 1, number).expect("a step");
        }
        store.commit().expect("durable");
        drop(store);
        disk
    };
    for path in ["runs/0001/journal", "runs/0001/capture.pcapng"] {
        let mut disk = whole();
        disk.tamper(path, |bytes| bytes[200] ^= 1).expect("there");
        let error = ObservationStore::open_on(disk, key())
            .map(|_| ())
            .expect_err("changed");
        assert!(
            matches!(&error, StoreError::RunChanged { path: named } if named == path),
            "{error}"
        );
        let mut disk = whole();
        disk.tamper(path, |bytes| bytes.extend([0; 77]))
            .expect("there");
        let (mut store, report) = ObservationStore::open_on(disk, key()).expect("torn only");
        let cut = report.cut.expect("a run that a crash ended");
        let expected = if path.ends_with("journal") {
            (1, 77, 0)
        } else {
            (1, 0, 77)
        };
        assert_eq!((cut.run, cut.journal, cut.capture), expected);
        examine(store.files(), &vec![20], true);
        assert_eq!(begin(&mut store).expect("the next run"), 2);
    }
}

#[test]
fn errors_of_the_system_name_the_file_and_stop_the_store() {
    let mut disk = Disk::new();
    let (mut store, _) = ObservationStore::open_on(Lent(&mut disk), key()).expect("new");
    let run = begin(&mut store).expect("a run");
    step(&mut store, run, 0).expect("a step");
    drop(store);
    disk.fail_after(90);
    let (mut store, _) = ObservationStore::open_on(Lent(&mut disk), key()).expect("mended");
    let run = begin(&mut store).expect("a run");
    let error = (0..)
        .find_map(|number| {
            step(&mut store, run, number)
                .and_then(|_| store.commit())
                .err()
        })
        .expect("the disk fails");
    assert!(error.to_string().starts_with("runs/0002/"), "{error}");
    assert!(matches!(store.commit(), Err(StoreError::Stopped)));
}

/// `/dev/full` says what a full disk says.
#[test]
fn a_full_disk_is_a_typed_error() {
    if !Path::new("/dev/full").exists() {
        eprintln!("SKIPPED a_full_disk_is_a_typed_error: no /dev/full on this machine");
        return;
    }
    let dir = tempfile::tempdir().expect("a folder");
    std::os::unix::fs::symlink("/dev/full", dir.path().join("journal")).expect("a link");
    let mut files = DiskFiles::new(dir.path());
    let (path, bytes) = (String::from("journal"), vec![7; 10]);
    let op = skep_evidence::file::FileOp::Write {
        path,
        offset: 0,
        bytes,
    };
    let error = files.apply(&op).expect_err("full");
    assert_eq!(error.errno, Some(28), "{error}");
    assert!(error.to_string().contains("journal: writing: "), "{error}");
}
