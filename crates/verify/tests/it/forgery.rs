//! Bundles made again with the operator's own key after something was changed: signatures, digests,
//! marks, capture and report all agree with each other. Replay finds the change and names the record.

use skep_evidence::{
    clock::UtcInterval,
    journal::{ConnectFailure, Input},
    record::Body,
};
use skep_verify::Failure;
use skep_wire::{Moment, PieceIndex};

use crate::observation::{Line, Run, judge, run};

/// The failure of a forged run. The first record of the ledger is the driver's, so the line at place
/// n is record n + 1.
fn found(run: Run) -> Failure {
    let outcome = judge(&[run]);
    let (_, failure) = outcome.failure().expect("a forgery does not verify");
    failure.clone()
}

/// Changes the first record of a kind, and expects its index and field in the failure.
fn alter(wanted: fn(&Body) -> bool, change: impl Fn(&mut Body), named: &str) {
    let mut forged = run();
    let place = forged.place(wanted);
    change(&mut forged.record(place).body);
    match found(forged) {
        Failure::RecordDiffers { index, field, .. } => {
            assert_eq!((index, field.as_str()), (place as u64 + 1, named));
        }
        other => panic!("{other}"),
    }
}

#[test]
fn a_grade_that_was_raised() {
    let mut forged = run();
    // The one that sent garbage: refuted becomes verified.
    let place = forged.place(|body| matches!(body, Body::Refuted { .. }));
    let record = forged.record(place);
    let Body::Refuted {
        conn,
        piece,
        expected,
        expected_root: root,
        ..
    } = record.body
    else {
        unreachable!()
    };
    record.body = Body::Verified {
        conn,
        piece,
        sha1: expected,
        root,
    };
    match found(forged) {
        Failure::RecordDiffers {
            index,
            field,
            ledger,
            replay,
            ..
        } => {
            assert_eq!((index, field.as_str()), (place as u64 + 1, "kind"));
            assert_eq!(
                (ledger.as_str(), replay.as_str()),
                ("\"verified\"", "\"refuted\"")
            );
        }
        other => panic!("{other}"),
    }
}

#[test]
fn a_piece_that_was_exchanged() {
    let exchange = |body: &mut Body| {
        let Body::Verified { piece, .. } = body else {
            unreachable!()
        };
        *piece = PieceIndex(piece.0 ^ 1);
    };
    alter(
        |body| matches!(body, Body::Verified { .. }),
        exchange,
        "piece",
    );
}

#[test]
fn a_port_that_was_mistyped() {
    let mistype = |body: &mut Body| {
        let Body::Reached { endpoint, .. } = body else {
            unreachable!()
        };
        endpoint.set_port(endpoint.port() + 1);
    };
    alter(
        |body| matches!(body, Body::Reached { .. }),
        mistype,
        "endpoint",
    );
}

#[test]
fn a_claim_that_was_inflated() {
    let inflate = |body: &mut Body| {
        let Body::ClaimedSet { pieces, .. } = body else {
            unreachable!()
        };
        *pieces += 1;
    };
    alter(
        |body| matches!(body, Body::ClaimedSet { .. }),
        inflate,
        "claims",
    );
}

#[test]
fn a_time_that_was_shifted() {
    let mut forged = run();
    let place = forged.place(|body| matches!(body, Body::Verified { .. }));
    let record = forged.record(place);
    let UtcInterval {
        earliest_us,
        latest_us,
        ..
    } = &mut record.utc;
    *earliest_us += 3_600_000_000;
    *latest_us += 3_600_000_000;
    match found(forged) {
        Failure::RecordDiffers { index, field, .. } => {
            assert_eq!(index, place as u64 + 1);
            assert!(field.starts_with("utc"), "{field}");
        }
        other => panic!("{other}"),
    }
}

#[test]
fn any_record_moved_by_a_nanosecond() {
    for place in (0..run().lines.len()).step_by(5) {
        let mut forged = run();
        let Line::Machine(record) = &mut forged.lines[place] else {
            continue;
        };
        record.at = Moment(record.at.0 + 1);
        match found(forged) {
            Failure::RecordDiffers { index, .. } => assert_eq!(index, place as u64 + 1),
            other => panic!("place {place}: {other}"),
        }
    }
}

/// The records of the driver have no entry of their own. Their times are the journal's all the same.
#[test]
fn a_beginning_or_a_mark_at_another_time() {
    for (started, marked, kind, wrong) in [
        (1, 0, "run-started", "utc_max"),
        (-1, 0, "run-started", "utc_max"),
        (0, 1, "mark", "at"),
    ] {
        let mut forged = run();
        (forged.started_late_hours, forged.marked_late_hours) = (started, marked);
        match found(forged) {
            Failure::RecordDiffers {
                kind: of, field, ..
            } => assert_eq!((of.as_str(), field.as_str()), (kind, wrong)),
            other => panic!("{other}"),
        }
    }
}

/// With a plan by which nobody is contacted the replay would make no attempt.
#[test]
fn attempts_left_out_by_another_plan() {
    let mut forged = run();
    forged.config.conns_max = 0;
    forged
        .log
        .retain(|(entry, _)| matches!(entry.input, Input::Clock(_) | Input::Timeout | Input::Stop));
    forged.point_at_capture();
    forged.lines = forged.honest_lines(40);
    assert!(matches!(found(forged), Failure::Config { run: 1, .. }));
}

/// What came on no visit (a tracker's refusal, a stray datagram) is said by the digest of everything.
#[test]
fn a_digest_of_everything_received_that_was_changed() {
    let ended = |body: &Body| matches!(body, Body::RunEnded { .. });
    let change = |body: &mut Body| {
        if let Body::RunEnded { received, .. } = body {
            *received = received.map(|digest| skep_hash::sha256(&digest.0));
        }
    };
    alter(ended, change, "received_sha256");
}

/// One byte of what came is changed everywhere where it stands; offsets, blocks, digests of marks and
/// the pcapng's own checksums are made again. The records still say what the bytes said before.
#[test]
fn one_byte_of_capture() {
    let received = |input: &Input| matches!(input, Input::Received { .. } | Input::Datagram { .. });
    let places: Vec<usize> = run()
        .log
        .iter()
        .enumerate()
        .filter(|(_, (entry, _))| received(&entry.input))
        .map(|(place, _)| place)
        .collect();
    let mut tried = 0;
    for place in places.into_iter().step_by(2) {
        let len = run().log[place].1.len();
        for at in [0, len / 2, len - 1] {
            let mut forged = run();
            forged.log[place].1[at] ^= 1;
            let failure = found(forged);
            let text = failure.to_string();
            assert!(
                matches!(
                    failure,
                    Failure::RecordDiffers { .. }
                        | Failure::LeftOut { .. }
                        | Failure::NotMade { .. }
                        | Failure::NotQueued { .. }
                        | Failure::Fault { .. }
                ),
                "entry {place} byte {at}: {text}"
            );
            assert!(
                text.contains("record ") || text.contains("place ") || text.contains("entry at")
            );
            tried += 1;
        }
    }
    assert!(tried > 10, "{tried}");
}

/// A byte of a verified piece: the piece no longer hashes, and the record that says so is named.
#[test]
fn one_byte_of_a_verified_piece() {
    let mut forged = run();
    let delivered = forged.place(|body| matches!(body, Body::Delivered { .. }));
    let Body::Delivered { source, .. } = forged.record(delivered).body else {
        unreachable!()
    };
    let holds = |input: &Input| match input {
        Input::Received { capture, .. } => *capture == source.capture,
        _ => false,
    };
    let (_, bytes) = forged
        .log
        .iter_mut()
        .find(|(entry, _)| holds(&entry.input))
        .unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    match found(forged) {
        Failure::RecordDiffers { index, kind, .. } => {
            assert!(
                index > 0 && ["delivered", "verified", "closed"].contains(&kind.as_str()),
                "{kind}"
            );
        }
        other => panic!("{other}"),
    }
}

/// The operator drops an attempt that failed, from the ledger and from the journal. Its listing is
/// still there, so the replay attempts it.
#[test]
fn an_attempt_left_out() {
    let mut forged = run();
    let failed = forged.place(|body| {
        matches!(
            body,
            Body::AttemptFailed {
                reason: ConnectFailure::Refused,
                ..
            }
        )
    });
    let Body::AttemptFailed { conn, .. } = forged.record(failed).body else {
        unreachable!()
    };
    let of_conn = |body: &Body| match body {
        Body::Attempted { conn: of, .. } | Body::AttemptFailed { conn: of, .. } => *of == conn,
        _ => false,
    };
    let attempted = forged.place(of_conn);
    let gone = |line: &Line| matches!(line, Line::Machine(record) if of_conn(&record.body));
    forged.lines.retain(|line| !gone(line));
    let failed = |input: &Input| matches!(input, Input::Failed { conn: of, .. } if *of == conn);
    drop_entry(&mut forged, failed);
    match found(forged) {
        Failure::LeftOut { index, replay, .. } => {
            assert_eq!(index, attempted as u64 + 1);
            assert!(replay.starts_with("attempted"), "{replay}");
        }
        other => panic!("{other}"),
    }
}

/// Only its failure is dropped: the attempt stays open in the replay.
#[test]
fn a_failure_left_out() {
    let mut forged = run();
    let failed = forged.place(|body| {
        matches!(
            body,
            Body::AttemptFailed {
                reason: ConnectFailure::Refused,
                ..
            }
        )
    });
    let Body::AttemptFailed { conn, .. } = forged.record(failed).body else {
        unreachable!()
    };
    forged.lines.remove(failed);
    drop_entry(
        &mut forged,
        |input| matches!(input, Input::Failed { conn: of, .. } if *of == conn),
    );
    let failure = found(forged);
    match &failure {
        Failure::NoOutcome {
            conn: of, index, ..
        } => {
            assert_eq!(*of, conn.0);
            assert!(*index > 0);
        }
        Failure::RecordDiffers { .. } | Failure::LeftOut { .. } | Failure::NotMade { .. } => {}
        other => panic!("{other}"),
    }
}

/// The operator takes a whole refuted piece out of the ledger, and nothing else.
#[test]
fn a_refuted_piece_left_out_of_the_ledger() {
    let mut forged = run();
    let place = forged.place(|body| matches!(body, Body::Refuted { .. }));
    forged.lines.remove(place);
    match found(forged) {
        Failure::LeftOut { index, replay, .. } => {
            assert_eq!(index, place as u64 + 1);
            assert!(replay.starts_with("refuted"), "{replay}");
        }
        other => panic!("{other}"),
    }
}

#[test]
fn any_one_record_left_out_is_named() {
    for place in (0..run().lines.len()).step_by(5) {
        let mut forged = run();
        if !matches!(forged.lines[place], Line::Machine(_)) {
            continue;
        }
        forged.lines.remove(place);
        match found(forged) {
            Failure::LeftOut { index, .. } | Failure::RecordDiffers { index, .. } => {
                assert_eq!(index, place as u64 + 1);
            }
            other => panic!("place {place}: {other}"),
        }
    }
}

#[test]
fn a_record_put_in_is_named() {
    let mut forged = run();
    let place = forged.place(|body| matches!(body, Body::Verified { .. }));
    let record = forged.record(place).clone();
    forged.lines.insert(place + 1, Line::Machine(record));
    match found(forged) {
        Failure::NotMade { index, .. } | Failure::RecordDiffers { index, .. } => {
            assert_eq!(index, place as u64 + 2);
        }
        other => panic!("{other}"),
    }
}

#[test]
fn two_records_in_the_wrong_order() {
    let mut forged = run();
    let place = forged.place(|body| matches!(body, Body::Joined { .. }));
    forged.lines.swap(place, place + 1);
    match found(forged) {
        Failure::LeftOut { index, .. }
        | Failure::RecordDiffers { index, .. }
        | Failure::NotMade { index, .. } => assert_eq!(index, place as u64 + 1),
        other => panic!("{other}"),
    }
}

/// Other bytes than those that the machine queued are said to have been sent.
#[test]
fn a_byte_that_we_never_sent() {
    let mut forged = run();
    let (_, bytes) = forged
        .log
        .iter_mut()
        .find(|(entry, _)| matches!(entry.input, Input::Sent { .. }))
        .unwrap();
    bytes[0] ^= 1;
    assert!(matches!(found(forged), Failure::NotQueued { .. }));
}

/// The torrent is exchanged for one with other hashes.
#[test]
fn another_torrent() {
    let mut forged = run();
    forged.torrents[0].push(b' ');
    let failure = found(forged);
    assert!(
        matches!(
            failure,
            Failure::Torrent { .. } | Failure::RecordDiffers { .. }
        ),
        "{failure}"
    );
}

/// The end of the run is cut off, ledger and journal alike: what is left still replays, and the
/// missing end is said.
#[test]
fn an_end_cut_off_is_said_not_hidden() {
    let mut forged = run();
    let marks: Vec<usize> = forged
        .lines
        .iter()
        .enumerate()
        .filter(|(_, line)| matches!(line, Line::Mark(_)))
        .map(|(place, _)| place)
        .collect();
    let last = marks[marks.len() / 2];
    forged.lines.truncate(last + 1);
    let outcome = judge(&[forged]);
    assert!(outcome.verified(), "{outcome}");
    assert!(
        outcome
            .to_string()
            .contains("the run has no end in this bundle")
    );
}

/// Removes an entry from the journal, with the places of marks after it, and renders again. Offsets
/// do not move: the entry has no bytes.
fn drop_entry(run: &mut Run, wanted: impl Fn(&Input) -> bool) {
    let place = run
        .log
        .iter()
        .position(|(entry, _)| wanted(&entry.input))
        .unwrap();
    run.log.remove(place);
    for line in &mut run.lines {
        if let Line::Mark(entries) = line
            && *entries > place
        {
            *entries -= 1;
        }
    }
}
