//! Runs that did not end as planned.

use skep_verify::Failure;

use crate::observation::{Line, judge, run};

/// The last records were not in the ledger when the crash came: what is there is a prefix.
#[test]
fn a_crashed_run_is_accepted_and_said() {
    let mut crashed = run();
    let entries = crashed.log.len() / 2;
    crashed.log.truncate(entries);
    let kept = crashed.honest_lines(usize::MAX);
    let lost = 2;
    crashed.lines = kept[..kept.len() - 1 - lost].to_vec();
    crashed.lines.extend([Line::Cut, Line::Mark(entries)]);
    let outcome = judge(&[crashed]);
    assert!(outcome.verified(), "{outcome}");
    let text = outcome.to_string();
    assert!(
        text.contains("the run was cut off by a crash, and says so"),
        "{text}"
    );
    assert!(text.contains("the replay makes 2 more records"), "{text}");
}

/// What a crash takes is the end. A record missing before it is left out all the same.
#[test]
fn a_crash_does_not_excuse_a_gap() {
    let mut crashed = run();
    let entries = crashed.log.len() / 2;
    crashed.log.truncate(entries);
    let mut lines = crashed.honest_lines(usize::MAX);
    lines.pop();
    lines.remove(lines.len() / 2);
    lines.extend([Line::Cut, Line::Mark(entries)]);
    crashed.lines = lines;
    let outcome = judge(&[crashed]);
    let (_, failure) = outcome.failure().expect("a record is left out");
    assert!(
        matches!(
            failure,
            Failure::LeftOut { .. } | Failure::RecordDiffers { .. }
        ),
        "{failure}"
    );
}

/// A crash takes what was not durable yet: a fraction of a second. It does not excuse an operator who
/// takes back everything that came after a certain mark.
#[test]
fn a_crash_does_not_excuse_half_a_run() {
    let mut forged = run();
    let entries = forged.log.len();
    let mark = forged
        .lines
        .iter()
        .position(|line| matches!(line, Line::Mark(_)))
        .unwrap();
    forged.lines.truncate(mark + 1);
    forged.lines.extend([Line::Cut, Line::Mark(entries)]);
    let outcome = judge(&[forged]);
    let (_, failure) = outcome.failure().expect("much is left out");
    match failure {
        Failure::LeftOut { index, ledger, .. } => {
            assert_eq!(*index, mark as u64 + 2);
            assert!(ledger.starts_with("run-cut"), "{ledger}");
        }
        other => panic!("{other}"),
    }
}

/// Without a crash record, a ledger that ends before its journal is not excused.
#[test]
fn an_end_missing_without_a_crash_is_left_out() {
    let mut forged = run();
    let entries = forged.log.len();
    let place = forged.lines.len() - 2;
    forged.lines.truncate(place);
    forged.lines.push(Line::Mark(entries));
    let outcome = judge(&[forged]);
    let (_, failure) = outcome.failure().expect("the end is left out");
    assert!(matches!(failure, Failure::LeftOut { .. }), "{failure}");
}

/// The first record of a run is covered before anything was asked.
#[test]
fn a_run_that_only_began_is_said_not_checked() {
    let mut begun = run();
    begun.lines.clear();
    let outcome = judge(&[begun]);
    assert!(outcome.verified(), "{outcome}");
    assert!(
        outcome
            .to_string()
            .contains("not checked: the run committed to its plan")
    );
}
