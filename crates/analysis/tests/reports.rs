//! The three files of a report.

#[path = "support/synthetic.rs"]
#[allow(dead_code)]
mod synthetic;

use proptest::prelude::*;
use skep_analysis::{
    report::{Report, layout_of},
    sheet::LAYOUT,
};
use skep_evidence::{
    journal::ConnId,
    record::{Body, TargetIndex},
};
use skep_wire::Moment;
use synthetic::{Made, observation};

fn report(made: &Made) -> Report {
    Report::of(&made.records, &made.ledger()).expect("no record makes a writer refuse")
}

fn html(made: &Made) -> String {
    String::from_utf8(report(made).html).expect("a page is UTF-8")
}

#[test]
fn the_same_ledger_gives_the_same_bytes() {
    assert_eq!(report(&observation()), report(&observation()));
}

/// Whoever has a bundle compares its report byte for byte with the one that his own build makes. A
/// layout that changed under the same name would look like a forgery.
#[test]
fn what_is_printed_does_not_change_under_the_same_version_of_the_layout() {
    let mut all = skep_hash::Sha256::new();
    for (name, bytes) in report(&observation()).files() {
        all.update(name.as_bytes());
        all.update(bytes);
    }
    assert_eq!(
        (LAYOUT, all.finish().to_string().as_str()),
        (
            "skep-report 4",
            "54ce3011b15b0cd2e42efd375655890ee8411b94c87c6eb47082062e6fd94a8a"
        ),
        "the report of the same records has other bytes than before: bump the version in \
         skep_analysis::sheet::LAYOUT, and put the new version and digest here"
    );
}

#[test]
fn the_layout_of_a_report_is_read_from_its_first_bytes() {
    let json = report(&observation()).json;
    assert_eq!(layout_of(&json), Some(LAYOUT));
    assert_eq!(layout_of(&json[..64]), Some(LAYOUT));
    let other = |version: &str| format!("{{\n  \"format\": \"skep-report {version}\",\n");
    assert_eq!(layout_of(other("17").as_bytes()), Some("skep-report 17"));
    for strange in ["", "1234567890", "1x", "\u{1b}[2J"] {
        assert_eq!(layout_of(other(strange).as_bytes()), None, "{strange}");
    }
    assert_eq!(layout_of(b"{\n  \"format\": \"skep-report 1"), None);
    assert_eq!(layout_of(b""), None);
}

/// An observer that was stalled says so, how often and how long, with the record; one that was not says
/// nothing of it.
#[test]
fn a_stalled_observer_is_said() {
    let json = |made: &Made| String::from_utf8(report(made).json).expect("text");
    let mut made = observation();
    assert!(json(&made).contains("\"stalled\": null"));
    assert!(json(&made).contains("\"stalls\": 0,"));
    assert!(!html(&made).contains("Observer stalled"));
    for (awake, due, woke) in [(119_000, 120_000, 122_500), (125_000, 129_000, 160_000)] {
        made.at(woke).push(Body::Stalled {
            awake: Moment::from_millis(awake),
            due: Moment::from_millis(due),
        });
    }
    let last = made.records.len() - 1;
    let sentence = "Nothing was done though something was due: 2 times, 33.5 s in all, at longest 31.0 s until ";
    assert!(json(&made).contains(sentence), "{}", json(&made));
    assert!(json(&made).contains(&format!("(record {last})")));
    assert!(json(&made).contains("\"stalled_us\": 33500000"));
    assert!(html(&made).contains("<dt>Observer stalled</dt>") && html(&made).contains(sentence));
}

#[test]
fn one_record_more_changes_every_file() {
    let before = report(&observation());
    let mut made = observation();
    made.at(119_000).listed("127.0.9.200:1");
    let after = report(&made);
    for ((name, before), (_, after)) in before.files().into_iter().zip(after.files()) {
        assert_ne!(before, after, "{name}");
    }
}

#[test]
fn the_page_needs_no_other_file_and_no_script() {
    let html = html(&observation());
    for absent in [
        "<script",
        "src=",
        "@import",
        "url(",
        "<link",
        "<iframe",
        "javascript:",
    ] {
        assert!(!html.contains(absent), "{absent}");
    }
    // The only address is the name of the SVG namespace and what strangers said.
    let addresses = html.matches("http").count();
    let namespaces = html.matches("xmlns=\"http://www.w3.org/2000/svg\"").count();
    let said = html.matches("http://127.0.0.1:6969/announce").count();
    assert_eq!(addresses, namespaces + said);
}

#[test]
fn every_grade_is_printed_with_what_it_does_not_show() {
    let html = html(&observation());
    for row in skep_analysis::sheet::grade_rows() {
        let escaped = skep_analysis::text::escape(row.does_not_show);
        assert!(
            html.contains(&escaped) || html.contains(row.does_not_show),
            "{:?}",
            row.grade
        );
    }
    assert!(html.contains("recorded as verified, not hashed again here"));
}

#[test]
fn unsynchronised_clocks_are_said_in_every_file() {
    let mut made = Made::new();
    made.synchronised = false;
    made.at(5).listed("127.0.2.1:1").reached(0, "127.0.2.1:1");
    for (name, bytes) in report(&made).files() {
        assert!(
            String::from_utf8_lossy(bytes).contains("unsynchronised"),
            "{name}"
        );
    }
}

/// The table for a terminal says what its marks and columns mean, and nothing of what is not in it.
#[test]
fn the_table_explains_itself() {
    let table = |made: &Made| {
        let findings = skep_analysis::Findings::of(&made.records);
        skep_analysis::report::table(&skep_analysis::sheet::Sheet::of(&findings, &made.ledger()))
    };
    let mut made = Made::new();
    assert!(!table(&made).contains("Has and Offers"));
    made.at(5).listed("127.0.2.1:1").reached(0, "127.0.2.1:1");
    let before = table(&made);
    assert!(before.contains("Has and Offers are what the endpoint says."));
    assert!(before.contains("not hashed again here") && !before.contains('?'));
    made.synchronised = false;
    made.at(6).reached(2, "127.0.2.1:1");
    assert!(table(&made).contains("?  the kernel called the observer's clock unsynchronised"));
}

/// Where nobody was met, times stand on the page all the same, and with them the dagger.
#[test]
fn a_dagger_is_explained_on_a_page_without_endpoints() {
    let mut made = Made::new();
    let page = html(&made);
    assert!(!page.contains('†'));
    made.synchronised = false;
    made.clock();
    let page = html(&made);
    assert!(page.contains("s\u{a0}†") && page.contains("† The kernel called"));
}

/// Samples every ten seconds; between the second and the third somebody sets the clock back an hour.
#[test]
fn a_clock_that_was_set_is_said() {
    let mut made = Made::new();
    made.at(10_000).clock();
    assert!(!html(&made).contains("The clock was set"));
    made.clock_set_us = -3_600_000_000;
    made.at(20_000).clock().at(30_000).clock();
    let page = html(&made);
    assert!(page.contains("The clock was set while a run went on"));
    // An hour, less both errors (12 ms on either side) and 5 ms of drift.
    let said = "1 of the samples contradict the one before, by 59 min 59 s at most";
    assert!(page.contains(said), "{page}");
    let json: serde_json::Value = serde_json::from_slice(&report(&made).json).unwrap();
    assert_eq!(json["runs"][0]["clock_steps"], 1);
}

/// A run without an end may go on still: only a crash that was found is called one.
#[test]
fn a_run_without_an_end_is_not_called_cut_off() {
    let mut made = Made::new();
    let going_on = "no end is recorded: it was going on, or was cut off";
    assert!(html(&made).contains(going_on));
    made.push(Body::RunCut {
        journal_cut: 1,
        capture_cut: 2,
        ledger_cut: 3,
    });
    let page = html(&made);
    assert!(!page.contains(going_on) && page.contains("<strong>cut off</strong> by a crash"));
}

#[test]
fn the_table_has_one_line_an_endpoint_and_no_cell_that_calculates() {
    let made = observation();
    let csv = report(&made).csv;
    let mut table = csv::Reader::from_reader(csv.as_slice());
    let mut lines = 0;
    for line in table.records() {
        let line = line.unwrap();
        assert!(
            line.iter()
                .all(|cell| !cell.starts_with(['=', '+', '-', '@'])),
            "{line:?}"
        );
        lines += 1;
    }
    let findings = skep_analysis::Findings::of(&made.records);
    assert_eq!(lines, findings.swarms[0].endpoints.len());
}

#[test]
fn an_empty_ledger_still_gives_a_report() {
    let made = Made::new();
    let page = html(&made);
    assert!(page.contains("No endpoint answered."));
    let nothing = Report::of(&[], &made.ledger()).unwrap();
    assert!(
        String::from_utf8(nothing.html)
            .unwrap()
            .contains("No swarm")
    );
}

/// Reverses the direction of what follows it.
const OVERRIDE: char = '\u{202e}';

/// Whatever a stranger sends as its name, as an error or as a torrent's name, it stays text.
fn strangers_text() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("</title><script>alert(1)</script>".to_owned()),
        Just("\"><img src=x onerror=alert(1)>".to_owned()),
        Just(format!("a{OVERRIDE}b")),
        Just("' onmouseover='x".to_owned()),
        any::<String>(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn strangers_cannot_write_markup(text in strangers_text()) {
        let mut made = Made::new();
        made.at(1).reached(0, "127.0.2.1:1").joined(0, &text);
        made.push(Body::Violated { conn: ConnId(0), violation: text.clone(), source: None });
        made.push(Body::TrackerFailed {
            target: TargetIndex(0), url: text.clone(), remote: None, error: text.clone(),
        });
        let tags = |html: &str| html.matches('<').count();
        let mut plain = Made::new();
        plain.at(1).reached(0, "127.0.2.1:1").joined(0, "x");
        plain.push(Body::Violated { conn: ConnId(0), violation: "x".into(), source: None });
        plain.push(Body::TrackerFailed {
            target: TargetIndex(0), url: "x".into(), remote: None, error: "x".into(),
        });
        prop_assert_eq!(tags(&html(&made)), tags(&html(&plain)));
        let rearranges = html(&made).contains(OVERRIDE);
        prop_assert!(!rearranges);
    }
}
