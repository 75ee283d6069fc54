//! Observers that were stalled: what they saw verifies, and a stall excuses nothing.

use skep_evidence::{
    journal::{ConnId, Input},
    record::Body,
};
use skep_observe::{CLOCK_SECS, Replay, STALL_SECS_MIN};
use skep_verify::Failure;
use skep_wire::Moment;

use crate::observation::{Line, Run, STALLED_SECS, judge, run, simulated};

/// The place of the first entry after the stall.
fn woke(run: &Run) -> usize {
    let late = |at: Moment| at >= Moment::from_secs(3 + STALLED_SECS);
    let found = run.log.iter().position(|(entry, _)| late(entry.at));
    found.expect("the run goes on after its stall")
}

fn failure(run: Run) -> Failure {
    let outcome = judge(&[run]);
    let (_, failure) = outcome.failure().expect("a forgery does not verify");
    failure.clone()
}

/// The ledger that an operator makes of a journal that he has changed; `None` where no machine takes it.
fn made_again(run: &mut Run) -> Option<()> {
    let mut replay = Replay::new(run.config.clone(), run.targets.clone());
    for (entry, bytes) in &run.log {
        replay.step(entry, bytes).ok()?;
    }
    run.point_at_capture();
    run.lines = run.honest_lines(40);
    Some(())
}

#[test]
fn a_run_with_a_stall_verifies_and_says_from_when_to_when() {
    let run = run();
    let place = run.place(|body| matches!(body, Body::Stalled { .. }));
    let Line::Machine(record) = &run.lines[place] else {
        unreachable!()
    };
    let Body::Stalled { awake, due } = record.body else {
        unreachable!()
    };
    let (from, until) = (Moment::from_secs(3), Moment::from_secs(3 + STALLED_SECS));
    assert!(
        awake < from && from < due && due < Moment::from_secs(8),
        "{due:?}"
    );
    assert_eq!(record.at, until);
    let outcome = judge(&[run]);
    assert!(outcome.verified(), "{outcome}");
    let text = outcome.to_string();
    assert!(
        text.contains("the observer was stalled once, 22.9 s in all"),
        "{text}"
    );
    assert!(
        text.contains("to 2011-03-13T07:07:08.0"),
        "until when: {text}"
    );
}

#[test]
fn a_run_without_a_stall_says_of_none() {
    let outcome = judge(&[simulated(1, 0)]);
    assert!(outcome.verified(), "{outcome}");
    assert!(!outcome.to_string().contains("stalled"), "{outcome}");
}

/// However long it lasts: a second, longer than every time-out of the plan, a night.
#[test]
fn stalls_of_any_length_verify() {
    for secs in [1, 2, 6, 15, 70, 36_000] {
        let outcome = judge(&[simulated(1, secs)]);
        assert!(outcome.verified(), "{secs} s: {outcome}");
    }
}

/// The stall itself cannot be hidden: the replay makes its record.
#[test]
fn a_stall_left_out_is_named() {
    let mut forged = run();
    let place = forged.place(|body| matches!(body, Body::Stalled { .. }));
    forged.lines.remove(place);
    match failure(forged) {
        Failure::LeftOut { index, replay, .. } => {
            assert_eq!(index, place as u64 + 1);
            assert!(replay.starts_with("stalled"), "{replay}");
        }
        other => panic!("{other}"),
    }
}

/// A connect was under way when the stall began. Its outcome and the record of it are taken out: its
/// attempt is named, though the outcome was late by the whole stall.
#[test]
fn an_outcome_left_out_in_a_stall_is_named() {
    let mut forged = run();
    let place = woke(&forged);
    let failed = |(entry, _): &(skep_evidence::journal::Entry, Vec<u8>)| match entry.input {
        Input::Failed { conn, .. } => Some(conn),
        _ => None,
    };
    let (at, conn) = (place..)
        .find_map(|at| Some((at, failed(forged.log.get(at)?)?)))
        .expect("the silent one times out when the observer wakes");
    assert_eq!(forged.log[at].0.at, forged.log[place].0.at);
    forged.log.remove(at);
    let of_conn = |line: &Line| {
        matches!(line, Line::Machine(record)
            if matches!(record.body, Body::AttemptFailed { conn: of, .. } if of == conn))
    };
    forged.lines.retain(|line| !of_conn(line));
    for line in &mut forged.lines {
        if let Line::Mark(entries) = line
            && *entries > at
        {
            *entries -= 1;
        }
    }
    let attempted =
        forged.place(|body| matches!(body, Body::Attempted { conn: of, .. } if *of == conn));
    match failure(forged) {
        Failure::NoOutcome {
            index,
            conn: of,
            due,
            at,
            ..
        } => {
            assert_eq!((index, of), (attempted as u64 + 1, conn.0));
            assert!(due < at, "{due:?} {at:?}");
        }
        other => panic!("{other}"),
    }
}

/// The plan had visits to make in the stall; they are made when it ends, and leaving one of those out,
/// with its outcome, is named like any other.
#[test]
fn an_attempt_left_out_after_a_stall_is_named() {
    let mut forged = run();
    let woke_at = forged.log[woke(&forged)].0.at;
    let place = forged.lines.iter().position(|line| {
        matches!(line, Line::Machine(record)
            if record.at >= woke_at && matches!(record.body, Body::Attempted { .. }))
    });
    let place = place.expect("visits were due in the stall");
    let Body::Attempted { conn, .. } = forged.record(place).body else {
        unreachable!()
    };
    let of_conn = |line: &Line| match line {
        Line::Machine(record) => {
            matches!(record.body,
            Body::Attempted { conn: of, .. } | Body::AttemptFailed { conn: of, .. } if of == conn)
        }
        Line::Mark(_) | Line::Cut => false,
    };
    forged.lines.retain(|line| !of_conn(line));
    match failure(forged) {
        Failure::LeftOut { index, replay, .. } => {
            assert_eq!(index, place as u64 + 1);
            assert!(replay.starts_with("attempted"), "{replay}");
        }
        other => panic!("{other}"),
    }
}

/// An operator takes out what happened in some seconds of an honest run, or has it happen at their end,
/// and makes the ledger of what is left: as if he had been stalled. Either no machine can have had such a
/// journal, or the verifier says that the observer was stalled then; if something was due, that is: the
/// clock is every ten seconds.
#[test]
fn a_piece_cut_out_of_the_journal_is_at_least_a_stall() {
    let honest = simulated(1, 0);
    let (mut refused, mut said) = (0, 0);
    let windows = (0..56)
        .step_by(3)
        .flat_map(|from| [(from, 3), (from, 6), (from, 12)]);
    for ((half_secs, secs), taken_out) in windows.flat_map(|of| [(of, true), (of, false)]) {
        let from = Moment::from_millis(half_secs * 500);
        let until = Moment::from_millis(half_secs * 500 + secs * 1_000);
        let mut forged = honest.clone();
        let inside = |at: Moment| from < at && at < until;
        let outcome = |input: &Input| matches!(input, Input::Opened { .. } | Input::Failed { .. });
        let is_clock = |input: &Input| matches!(input, Input::Clock(_));
        if taken_out {
            forged.log.retain(|(entry, _)| !inside(entry.at));
        } else {
            // What was due comes first, as a driver that was stalled has it.
            let in_window = forged.log.iter().filter(|(entry, _)| inside(entry.at));
            let mut late: Vec<_> = in_window.cloned().collect();
            late.sort_by_key(|(entry, _)| (!is_clock(&entry.input), !outcome(&entry.input)));
            late.iter_mut().for_each(|(entry, _)| entry.at = until);
            let first = forged.log.partition_point(|(entry, _)| entry.at <= from);
            forged.log.splice(first..first + late.len(), late);
        }
        let before = forged.log.partition_point(|(entry, _)| entry.at <= from);
        let (Some((last, _)), Some((next, _))) =
            (forged.log[..before].last(), forged.log.get(before))
        else {
            continue;
        };
        let gap = next.at.since(last.at);
        let was = honest
            .log
            .iter()
            .map(|(entry, _)| entry.at)
            .filter(|at| inside(*at))
            .count();
        if was == 0 {
            // Nothing happened: it is the honest run.
            continue;
        }
        if made_again(&mut forged).is_none() {
            refused += 1;
            continue;
        }
        let outcome = judge(&[forged]);
        if outcome.verified() {
            let text = outcome.to_string();
            let stalled = text.contains("the observer was stalled");
            let unnamed_max = CLOCK_SECS + STALL_SECS_MIN;
            assert!(
                stalled || gap.as_secs() < unnamed_max,
                "{from:?} to {until:?}: {text}"
            );
            said += usize::from(stalled);
        } else {
            refused += 1;
        }
    }
    assert!(refused > 30 && said > 2, "{refused} refused, {said} said");
}

/// The same with a stall of his own making: the clock and the outcomes that are due then, at its end, so
/// that the machine takes it. That is a run like any other; it says that it was stalled, and the
/// endpoints that were to be visited in the gap are visited after it.
#[test]
fn an_invented_stall_hides_no_endpoint() {
    let quiet = simulated(1, 0);
    let stalled = run();
    let visited = |run: &Run| {
        let mut found = std::collections::BTreeSet::new();
        for line in &run.lines {
            if let Line::Machine(record) = line
                && let Body::Attempted { endpoint, .. } = record.body
            {
                found.insert(endpoint);
            }
        }
        found
    };
    assert_eq!(visited(&stalled), visited(&quiet));
    assert_eq!(visited(&quiet).len(), 7);
}

/// The entry that ends a stall is moved into it, to make it look shorter.
#[test]
fn an_entry_moved_into_a_stall_is_found() {
    let mut forged = run();
    let place = woke(&forged);
    let earlier = |at: &mut Moment| *at = Moment(at.0 - 5_000_000_000);
    let entry = &mut forged.log[place].0;
    earlier(&mut entry.at);
    let Input::Clock(sample) = &mut entry.input else {
        panic!("the clock was due first")
    };
    earlier(&mut sample.before);
    earlier(&mut sample.after);
    let failure = failure(forged);
    assert!(
        matches!(
            failure,
            Failure::RecordDiffers { .. } | Failure::LeftOut { .. }
        ),
        "{failure}"
    );
}

/// A time-out is said to have come while there was time left.
#[test]
fn a_time_out_before_its_time_is_refused() {
    let mut forged = simulated(1, 0);
    let timed_out = |input: &Input| {
        let reason = skep_evidence::journal::ConnectFailure::TimedOut;
        matches!(input, Input::Failed { reason: of, .. } if *of == reason)
    };
    let place = forged
        .log
        .iter()
        .position(|(entry, _)| timed_out(&entry.input));
    let place = place.expect("one is silent");
    forged.log[place].0.at = forged.log[place - 1].0.at;
    let failure = failure(forged);
    assert!(
        failure
            .to_string()
            .contains("to have timed out, which it could not before"),
        "{failure}"
    );
}

/// The times of everything after a clock sample would rest on an old one.
#[test]
fn a_clock_sample_left_out_is_refused() {
    let mut forged = simulated(1, 0);
    let is_clock = |input: &Input| matches!(input, Input::Clock(_));
    let places: Vec<usize> = (0..forged.log.len())
        .filter(|&place| is_clock(&forged.log[place].0.input))
        .collect();
    assert!(places.len() > 3, "one every ten seconds");
    forged.log.remove(places[2]);
    assert!(made_again(&mut forged).is_none());
}

/// Before a stall everything was durable, or became so before the first entry after it: a crash behind a
/// stall takes what came after it and no more.
#[test]
fn a_crash_after_a_stall_takes_no_more_than_any_other() {
    let cut = |lost_secs: u64| {
        let mut run = run();
        let end = woke(&run) + 3;
        run.log.truncate(end);
        let until = run.log[end - 1].0.at;
        let keeps = Moment(until.0 - lost_secs * 1_000_000_000);
        let mut lines = run.honest_lines(usize::MAX);
        lines.pop();
        lines.retain(|line| matches!(line, Line::Machine(record) if record.at < keeps));
        lines.extend([Line::Cut, Line::Mark(end)]);
        run.lines = lines;
        judge(&[run])
    };
    let honest = cut(1);
    assert!(honest.verified(), "{honest}");
    assert!(
        honest
            .to_string()
            .contains("cut off by a crash, and says so; the replay makes")
    );
    let forged = cut(STALLED_SECS + 2);
    let (_, failure) = forged.failure().expect("the stall excuses no more");
    assert!(matches!(failure, Failure::LeftOut { .. }), "{failure}");
}

/// The connection of an entry does not matter: nothing but what is due may stand after it was.
#[test]
fn any_entry_in_the_place_of_a_due_one_is_refused() {
    let honest = run();
    let place = woke(&honest);
    assert!(matches!(honest.log[place].0.input, Input::Clock(_)));
    let at = honest.log[place].0.at;
    for input in [
        Input::Timeout,
        Input::Stop,
        Input::Failed {
            conn: ConnId(0),
            reason: skep_evidence::journal::ConnectFailure::Refused,
        },
    ] {
        let mut forged = honest.clone();
        let entry = skep_evidence::journal::Entry { at, input };
        forged.log.insert(place, (entry, vec![]));
        let failure = failure(forged);
        assert!(
            failure
                .to_string()
                .contains("comes before the clock sample"),
            "{failure}"
        );
    }
}
