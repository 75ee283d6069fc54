//! `kill -9` of a process that writes an observation, at random moments, at least 200 times: every
//! acknowledged record is found again, and none is false.
//!
//! This program starts itself again as the writer. The writer opens the folder, begins a run, and
//! after each commit prints how many steps of the run are durable; the test kills it, opens the
//! folder as the next writer would, and compares.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::SocketAddr,
    path::Path,
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use skep_evidence::{
    capture::{Direction, Packet},
    clock::ClockSample,
    journal::{ConnId, Entry, Input},
    record::{Body, Record},
};
use skep_hash::sha256;
use skep_net::store::{ObservationReader, ObservationStore, RunBegin, StoreError};
use skep_proto::rng::Rng;
use skep_wire::{Moment, PieceIndex};

const KILLS: u32 = 200;
/// A new folder after so many, so that opening stays quick.
const KILLS_PER_FOLDER: u32 = 20;
/// How long a loaded machine may take to start a writer.
const WRITES_WITHIN: Duration = Duration::from_secs(60);
const CONN: ConnId = ConnId(0);

fn main() {
    let mut args = std::env::args().skip(1);
    if args.next().as_deref() == Some("write") {
        let dir = args.next().expect("the folder");
        write(Path::new(&dir)).expect("nothing but the kill ends the writer");
        return;
    }
    // A runner that lists tests before it runs them wants to know of this one only.
    let has = |wanted: &str| std::env::args().any(|arg| arg == wanted);
    if has("--list") {
        if !has("--ignored") {
            println!("a_killed_writer_loses_nothing_acknowledged: test");
        }
        return;
    }
    let begun = Instant::now();
    let seed = u64::from(std::process::id());
    println!("kill: {KILLS} kills, seed {seed}");
    let mut rng = Rng::new(seed);
    let (mut steps, mut cuts) = (0, 0);
    for _ in 0..KILLS / KILLS_PER_FOLDER {
        let dir = tempfile::tempdir().expect("a folder");
        let mut acknowledged = Vec::new();
        for _ in 0..KILLS_PER_FOLDER {
            acknowledged.extend(kill_after(dir.path(), &mut rng));
            cuts += u32::from(examine(dir.path(), &acknowledged));
        }
        steps += acknowledged
            .iter()
            .map(|(_, steps)| u64::from(*steps))
            .sum::<u64>();
    }
    assert!(
        steps > u64::from(KILLS),
        "the writer got to write: {steps} steps"
    );
    let secs = begun.elapsed().as_secs_f32();
    println!("kill: ok. {steps} acknowledged steps found again, {cuts} runs mended, {secs:.1} s");
}

/// Starts a writer and kills it; returns its run and the last number of steps that it acknowledged.
/// One in four is killed while it starts and opens the folder, the others while they write.
fn kill_after(dir: &Path, rng: &mut Rng) -> Option<(u32, u32)> {
    let program = std::env::current_exe().expect("our own path");
    let mut writer = Command::new(program)
        .arg("write")
        .arg(dir)
        .stdout(Stdio::piped())
        .spawn()
        .expect("the writer starts");
    let lines = BufReader::new(writer.stdout.take().expect("piped"));
    let (sender, said) = mpsc::channel();
    let reader = thread::spawn(move || {
        lines
            .lines()
            .map_while(Result::ok)
            .try_for_each(|line| sender.send(line))
    });
    let mut last = None;
    if rng.below(4) > 0 {
        last = Some(
            said.recv_timeout(WRITES_WITHIN)
                .expect("the writer gets to write"),
        );
        thread::sleep(Duration::from_micros(rng.below(15_000)));
    } else {
        thread::sleep(Duration::from_micros(rng.below(30_000)));
    }
    writer.kill().expect("the writer runs until it is killed");
    let status = writer.wait().expect("a child of ours");
    assert!(!status.success(), "the writer never ends by itself");
    reader
        .join()
        .expect("the reader ends with the pipe")
        .expect("we listen to the end");
    last = said.try_iter().last().or(last);
    // A line that the kill has cut lacks its last word; the line before it is forgotten then, which
    // only asks for less.
    let line = last?;
    let mut words = line
        .strip_suffix(" durable")?
        .split(' ')
        .map(|word| word.parse().ok());
    Some((words.next()??, words.next()??))
}

/// Opens the folder for writing, which mends it, and compares every record. Returns whether there
/// was something to mend.
fn examine(dir: &Path, acknowledged: &[(u32, u32)]) -> bool {
    if dir.join("operator.vkey").exists() && dir.join("ledger/checkpoint").exists() {
        ObservationReader::open(dir).expect("what a killed writer leaves can be read");
    }
    let (store, report) = ObservationStore::open(dir, "observer.example/1").expect("it opens");
    drop(store);
    let reader = ObservationReader::open(dir).expect("mended");
    let mut found = vec![0; report.runs as usize + 1];
    for read in reader.records() {
        let (index, record) = read.expect("every record decodes");
        match record.body {
            Body::PieceAsked { piece, .. } => {
                let steps = &mut found[record.run as usize];
                assert_eq!(
                    record,
                    expected(record.run, *steps),
                    "record {index} is false"
                );
                assert_eq!(piece.0, *steps);
                *steps += 1;
            }
            Body::RunStarted { .. } | Body::Mark { .. } | Body::RunCut { .. } => {}
            other => panic!("record {index} was never written: {other:?}"),
        }
    }
    for (run, steps) in acknowledged {
        let have = found.get(*run as usize).copied().unwrap_or(0);
        assert!(
            have >= *steps,
            "run {run}: {have} of {steps} acknowledged steps"
        );
    }
    report.cut.is_some()
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

fn at(step: u32) -> Moment {
    Moment(10_000 + u64::from(step) * 1_000)
}

fn expected(run: u32, step: u32) -> Record {
    let body = Body::PieceAsked {
        conn: CONN,
        piece: PieceIndex(step),
        blocks: 1,
    };
    Record {
        run,
        at: at(step),
        utc: clock().utc(at(step)),
        body,
        unknown: Vec::new(),
    }
}

/// Writes until it is killed.
fn write(dir: &Path) -> Result<(), StoreError> {
    let (mut store, _) = ObservationStore::open(dir, "observer.example/1")?;
    let torrents = [b"d4:infodee".to_vec()];
    let run = store.begin_run(&RunBegin {
        version: "0.1.0",
        binary: sha256(b"binary"),
        build: "test",
        config: b"de",
        torrents: &torrents,
        clock: clock(),
    })?;
    store.append_entry(&Entry {
        at: clock().after,
        input: Input::Clock(clock()),
    })?;
    let (local, remote) = (
        SocketAddr::from(([127, 0, 0, 1], 40_000)),
        SocketAddr::from(([127, 0, 0, 2], 6_881)),
    );
    let opened = Input::Opened {
        conn: CONN,
        local,
        remote,
    };
    store.append_entry(&Entry {
        at: at(0),
        input: opened,
    })?;
    let mut out = std::io::stdout().lock();
    for step in 0.. {
        let bytes = vec![step as u8; 100 + step as usize % 9_000];
        let packet = Packet::Tcp {
            conn: CONN,
            direction: Direction::In,
        };
        let capture = store.append_packet(at(step), packet, &bytes)?;
        let input = Input::Received {
            conn: CONN,
            capture,
            len: bytes.len() as u32,
        };
        store.append_entry(&Entry {
            at: at(step),
            input,
        })?;
        store.append_record(&expected(run, step))?;
        if step % 7 == 6 {
            if step % 49 == 48 {
                store.mark()?
            } else {
                store.commit()?
            };
            // The last word tells a whole line from a cut one.
            writeln!(out, "{run} {} durable", step + 1).expect("the pipe is open");
            out.flush().expect("the pipe is open");
        }
    }
    Ok(())
}
