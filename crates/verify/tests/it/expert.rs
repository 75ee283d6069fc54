//! Forgeries by one who knows every byte of the format: each part agrees with every other, and what
//! was added or changed is where no record looks.

use skep_evidence::{
    clock::ClockSample,
    file::Files as _,
    journal::{Entry, Input, frame},
    ledger::{Ledger, LedgerReader},
    record::{Body, Record, RecordError},
};
use skep_sim::memory::Memory;
use skep_verify::{Failure, Outcome, verify};
use skep_wire::Moment;

use crate::observation::{Line, Run, bundle_files, judge, key, lay_out, run};

/// The first half of the run: bundled while it went on, or said to have crashed.
fn half(crashed: bool) -> Run {
    let mut half = run();
    half.log.truncate(half.log.len() / 2);
    half.lines = half.honest_lines(40);
    if crashed {
        let mark = half.lines.pop().unwrap();
        half.lines.extend([Line::Cut, mark]);
    }
    half
}

fn failure(outcome: &Outcome) -> &Failure {
    outcome.failure().expect("a forgery does not verify").1
}

/// Frames behind what the last mark covers, of which the machine makes no record, and an hour of them
/// behind a crash: nothing would be compared with them.
#[test]
fn a_journal_that_goes_on_after_the_last_mark() {
    for (crashed, pause_secs, count) in [(false, 0, 5), (true, 1, 3_600)] {
        let half = half(crashed);
        let mut at = half.log.last().unwrap().0.at;
        let mut files = bundle_files(&lay_out(&[half]));
        let honest = skep_evidence::bundle::build(&files).unwrap();
        assert!(verify(honest, None).verified());
        let journal = files.get_mut("runs/0001/journal").unwrap();
        let covered = journal.len() as u64;
        for _ in 0..count {
            at.0 += pause_secs * 1_000_000_000;
            let input = Input::Timeout;
            journal.extend(frame(&Entry { at, input }.encode()));
        }
        let forged = verify(skep_evidence::bundle::build(&files).unwrap(), None);
        match failure(&forged) {
            Failure::Uncovered {
                path, covered: of, ..
            } => {
                assert_eq!((path.as_str(), *of), ("runs/0001/journal", covered));
            }
            other => panic!("{other}"),
        }
    }
}

#[test]
fn a_capture_that_goes_on_after_the_last_mark() {
    let mut files = bundle_files(&lay_out(&[run()]));
    files
        .get_mut("runs/0001/capture.pcapng")
        .unwrap()
        .extend([0; 4]);
    let forged = verify(skep_evidence::bundle::build(&files).unwrap(), None);
    assert!(
        matches!(failure(&forged), Failure::Uncovered { path, .. } if path.ends_with("pcapng"))
    );
}

/// The records of the driver are made by no replay. What they hold beside their fields is refused.
#[test]
fn a_field_more_in_a_record_that_no_replay_makes() {
    let crashed = half(true);
    for kind in ["run-started", "mark", "run-cut"] {
        let forged = rewritten(&crashed, |record| {
            if record.body.kind() == kind {
                record.unknown = vec![(b"remark".to_vec(), b"4:true".to_vec())];
            }
        });
        match failure(&forged) {
            Failure::UnknownField {
                kind: of, field, ..
            } => assert_eq!((of.as_str(), field.as_str()), (kind, "remark")),
            other => panic!("{kind}: {other}"),
        }
    }
}

#[test]
fn a_record_format_that_never_was() {
    let run = run();
    let started = |format: u32| {
        rewritten(&run, |record| {
            if let Body::RunStarted { format: said, .. } = &mut record.body {
                *said = format;
            }
        })
    };
    assert!(started(1).verified());
    match failure(&started(0)) {
        Failure::Record { index, error } => {
            assert_eq!((*index, error), (0, &RecordError::Format { got: 0 }));
        }
        other => panic!("{other}"),
    }
}

/// The whole run is dated anew by a sample that was taken an hour after it was written down, or whose
/// end lies before its beginning. Every record follows from it.
#[test]
fn a_clock_sample_that_no_clock_gave() {
    let hour = 3_600_000_000_000;
    for (before, after) in [(hour, hour), (5, 1), (0, hour)] {
        let mut forged = run();
        let at = forged.log[0].0.at;
        let Input::Clock(sample) = &mut forged.log[0].0.input else {
            panic!("a run begins with the clock")
        };
        (sample.before, sample.after) = (Moment(at.0 + before), Moment(at.0 + after));
        forged.point_at_capture();
        forged.lines = forged.honest_lines(40);
        let outcome = judge(&[forged]);
        match failure(&outcome) {
            Failure::ClockSample { path, entry, .. } => {
                assert_eq!((path.as_str(), *entry), ("runs/0001/journal", 0));
            }
            other => panic!("{other}"),
        }
    }
}

/// A clock may be set while a run goes on. That is no forgery, and it is said.
#[test]
fn a_clock_that_was_set_is_said() {
    let set = run();
    let place = set.log.len() / 2;
    let at = set.log[place].0.at;
    let sample = |utc_us| ClockSample {
        before: at,
        after: at,
        utc_us,
        error_us_max: 250,
        synchronised: true,
    };
    let before = set.log[..place].iter().rev();
    let mut before = before.filter_map(|(entry, _)| match entry.input {
        Input::Clock(sample) => Some(sample),
        _ => None,
    });
    let before = before.next().expect("a run begins with the clock");
    let right = before.utc_us + (at.since(before.after).as_micros() as i64);
    for (utc_us, said) in [
        (right, false),
        (right - 1_000_000, true),
        (right + 1_000_000, true),
    ] {
        let mut set = set.clone();
        for (entry, _) in &mut set.log[place..] {
            if let Input::Clock(sample) = &mut entry.input {
                sample.utc_us += utc_us - right;
            }
        }
        let input = Input::Clock(sample(utc_us));
        set.log.insert(place, (Entry { at, input }, vec![]));
        set.lines = set.honest_lines(40);
        let outcome = judge(&[set]);
        assert!(outcome.verified(), "{outcome}");
        let text = outcome.to_string();
        let note = text.contains("1 clock samples contradict the one before");
        assert_eq!(note, said, "{utc_us}: {text}");
    }
}

/// The verdict on a run whose ledger was written again with other records.
fn rewritten(run: &Run, change: impl Fn(&mut Record)) -> Outcome {
    let folder = lay_out(std::slice::from_ref(run));
    let reader = LedgerReader::open(&folder, &key().verifier()).unwrap();
    let (mut ledger, commit) = Ledger::create(key());
    let mut forged = Memory::default();
    let kept = |path: &&String| !path.starts_with("ledger/");
    for path in folder.files.keys().filter(kept) {
        let bytes = folder.read(path, u64::MAX).unwrap().unwrap();
        forged.files.insert(path.clone(), bytes);
    }
    forged.apply_all(&commit.ops);
    for entry in reader.records(&folder) {
        let mut record = Record::decode(&entry.unwrap().1).unwrap();
        change(&mut record);
        ledger.append(&record.encode()).unwrap();
    }
    forged.apply_all(&ledger.checkpoint().ops);
    let files = match skep_verify::select(&forged) {
        Ok(_) => bundle_files(&forged),
        // The operator's own program refuses to make it: then by hand, with another report.
        Err(_) => {
            let mut files = bundle_files(&folder);
            files.retain(|path, _| !path.starts_with("ledger/"));
            let ledger = LedgerReader::open(&forged, &key().verifier()).unwrap();
            let paths = ledger.paths();
            files.extend(
                paths
                    .iter()
                    .map(|path| (path.clone(), forged.files[path].clone())),
            );
            files
        }
    };
    verify(skep_evidence::bundle::build(&files).unwrap(), None)
}
