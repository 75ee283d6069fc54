//! What an honest operator bundles verifies, and what was checked is said.

use skep_analysis::{report::JSON_NAME, sheet::LAYOUT};
use skep_evidence::bundle::build;
use skep_evidence::ledger::{Policy, SigningKey};
use skep_evidence::record::Body;
use skep_verify::{Failure, Verdict, contents, verify};

use crate::observation::{
    Line, OBSERVER, bundle, bundle_files, by_collision, half_a_piece_first, judge, key, lay_out,
    run, simulated, unasked_for,
};

#[test]
fn an_honest_bundle_verifies_and_every_check_was_made() {
    let run = run();
    let outcome = judge(std::slice::from_ref(&run));
    assert!(outcome.verified(), "{outcome}");
    assert!(
        outcome
            .checks
            .iter()
            .all(|check| matches!(check.verdict, Verdict::Holds(_)))
    );
    let parts: Vec<&str> = outcome
        .checks
        .iter()
        .map(|check| check.part.as_str())
        .collect();
    assert_eq!(
        parts,
        [
            "container",
            "MANIFEST",
            "ledger",
            "records",
            "contents",
            "run 1 replay",
            "run 1 journal",
            "run 1 capture",
            "run 1 sent bytes",
            "run 1 retained bytes",
            "report"
        ]
    );
    // The run has something of every kind to check.
    let count = |wanted: fn(&Body) -> bool| {
        run.lines
            .iter()
            .filter(|line| matches!(line, Line::Machine(record) if wanted(&record.body)))
            .count()
    };
    assert!(count(|body| matches!(body, Body::Verified { .. })) >= 2);
    assert!(count(|body| matches!(body, Body::Refuted { .. })) >= 1);
    assert!(count(|body| matches!(body, Body::ClaimedGain { .. })) >= 2);
    assert!(count(|body| matches!(body, Body::AttemptFailed { .. })) >= 3);
}

/// A piece that hashes right by a collision attack is in the ledger as refuted, and the bundle verifies.
#[test]
fn an_honest_bundle_with_a_collision_verifies() {
    let outcome = judge(&[by_collision()]);
    assert!(outcome.verified(), "{outcome}");
    let none = "0 pieces hashed and found to be the torrent's, 1 found not to be";
    assert!(outcome.to_string().contains(none), "{outcome}");
}

/// A report in another layout cannot be compared. That is no forgery, but it is no proof either.
#[test]
fn a_report_of_another_layout_fails_and_both_layouts_are_named() {
    let mut files = bundle_files(&lay_out(&[run()]));
    let path = contents::report_path(JSON_NAME);
    let json = String::from_utf8(files[&path].clone()).unwrap();
    let older = json.replacen(LAYOUT, "skep-report 999", 1);
    assert_ne!(json, older);
    // Longer, too: as the report of another version may be.
    files.insert(path.clone(), (older + "\n").into_bytes());
    let outcome = verify(build(&files).unwrap(), None);
    assert!(!outcome.verified());
    let (_, failure) = outcome.failure().unwrap();
    let expected = Failure::ReportLayout {
        path,
        made: "skep-report 999".into(),
        ours: LAYOUT,
    };
    assert_eq!(*failure, expected);
    let said = format!(
        "the report was made by layout \"skep-report 999\", this build checks layout \"{LAYOUT}\": verify \
         with that version, or make the report again"
    );
    assert!(failure.to_string().ends_with(&said), "{failure}");
}

#[test]
fn what_is_not_shown_stands_beside_every_check() {
    let outcome = judge(&[run()]);
    let text = outcome.to_string();
    assert!(text.starts_with("Without --policy, the keys found in the bundle prove only"));
    assert!(text.contains("wrote both directions of a conversation himself: peers sign nothing"));
    assert!(text.ends_with("VERIFIED: every check that could be made holds.\n"));
    for check in &outcome.checks {
        assert!(text.contains(check.does_not_show), "{}", check.part);
    }
}

#[test]
fn the_same_runs_make_the_same_bundle() {
    assert_eq!(bundle(&[run()]), bundle(&[run()]));
}

#[test]
fn two_runs_of_one_ledger_are_replayed_one_after_the_other() {
    let outcome = judge(&[run(), simulated(2, 0)]);
    assert!(outcome.verified(), "{outcome}");
    assert!(
        outcome
            .checks
            .iter()
            .any(|check| check.part == "run 2 replay")
    );
}

/// The first half came twice on one connection; the piece is judged by what came when all of it was
/// asked for again.
#[test]
fn a_piece_asked_for_twice_on_one_connection_verifies() {
    let run = half_a_piece_first();
    let asked = |body: &Body| matches!(body, Body::PieceAsked { blocks: 2, .. });
    let verified = |body: &Body| matches!(body, Body::Verified { .. });
    let count = |wanted: fn(&Body) -> bool| {
        let is_wanted = |line: &&Line| matches!(line, Line::Machine(it) if wanted(&it.body));
        run.lines.iter().filter(is_wanted).count()
    };
    assert!(count(asked) > 1);
    assert_eq!(count(verified), 1);
    let outcome = judge(&[run]);
    assert!(outcome.verified(), "{outcome}");
}

#[test]
fn a_policy_says_whom_the_reader_trusts() {
    let bundle = bundle(&[run()]);
    let policy = |key: &SigningKey, quorum: &str| {
        let text = format!("log {}\n{quorum}\n", key.verifier().encode());
        Policy::parse(text.as_bytes()).unwrap()
    };
    let trusted = verify(bundle.clone(), Some(&policy(&key(), "quorum none")));
    assert!(trusted.verified(), "{trusted}");
    assert!(!trusted.to_string().contains("Without --policy"));

    let stranger = SigningKey::new(OBSERVER, [8; 32]).unwrap();
    let refused = verify(bundle.clone(), Some(&policy(&stranger, "quorum none")));
    assert_eq!(refused.failure().unwrap().0.part, "policy");

    let witness = SigningKey::witness("witness.example", [9; 32]).unwrap();
    let wants = format!("witness w {}\nquorum w", witness.verifier().encode());
    let unwitnessed = verify(bundle, Some(&policy(&key(), &wants)));
    assert_eq!(unwitnessed.failure().unwrap().0.part, "policy");
}

#[test]
fn the_outcome_as_json_is_json() {
    let outcome = judge(&[run()]);
    let json: serde_json::Value = serde_json::from_str(&outcome.to_json()).unwrap();
    assert_eq!(json["verified"], true);
    assert_eq!(json["policy"], false);
    assert_eq!(
        json["checks"].as_array().unwrap().len(),
        outcome.checks.len()
    );
    assert_eq!(json["checks"][0]["result"], "holds");
}

/// A peer that claims one piece knows what will be asked for, and sends it in one segment with its
/// unchoke, before we have asked. That is no answer; what it sends after we asked is.
#[test]
fn a_block_that_comes_before_our_request_was_not_asked_for() {
    let run = unasked_for();
    let delivered = |line: &&Line| matches!(line, Line::Machine(it) if matches!(it.body, Body::Delivered { .. }));
    assert_eq!(
        run.lines.iter().filter(delivered).count(),
        1,
        "of the two that came"
    );
    let outcome = judge(&[run]);
    assert!(outcome.verified(), "{outcome}");
}
