//! The demo's tables, as text: the exhibit with who everybody was, and the score.

use std::fmt::Write as _;

use skep_analysis::{Findings, finding::Endpoint};
use skep_evidence::grade::Grade;
use skep_lab::{
    exam::{Exam, Row},
    score::Tally,
};
use skep_verify::{Outcome, Verdict};

use super::paint::{Colour, Paint};

/// Exhibit A, one line an endpoint, with the actor behind it from the truth log.
pub(super) fn exhibit(findings: &Findings, exam: &Exam, paint: Paint) -> String {
    let mut out = String::new();
    let head = format!(
        "{:>3}  {:<22}{:<3} {:<9} {:<20} {:>6} {:>6} {:>7}  who it was",
        "no", "endpoint", "", "grade", "client, as it says", "claims", "offers", "proved"
    );
    let _ = writeln!(out, "{}", paint.dim(&head));
    let endpoints = findings.swarms.iter().flat_map(|swarm| {
        swarm
            .endpoints
            .iter()
            .map(move |endpoint| (endpoint, swarm.piece_count))
    });
    let strays = findings.strays.iter().map(|endpoint| (endpoint, 0));
    for ((endpoint, piece_count), row) in endpoints.chain(strays).zip(&exam.rows) {
        let _ = writeln!(out, "{}", exhibit_line(endpoint, piece_count, row, paint));
    }
    out
}

fn exhibit_line(endpoint: &Endpoint, piece_count: u32, row: &Row, paint: Paint) -> String {
    let share = |ppm: Option<u32>| match ppm {
        Some(ppm) => format!("{} %", ppm / 10_000),
        None => "-".to_owned(),
    };
    let claims = share(endpoint.claimed.as_ref().map(|share| share.value.0.ppm));
    let offers = share(endpoint.offered.as_ref().map(|share| share.value.0.ppm));
    let portions = &endpoint.portions.value;
    let pieces = u64::try_from(portions.verified_distinct()).unwrap_or(u64::MAX);
    let proved = match (pieces, portions.refuted.len()) {
        (0, 0) => "-".to_owned(),
        (0, bad) => format!("{bad} bad"),
        // One piece of many is not nothing.
        (pieces, _) => format!(
            "{} %",
            (pieces * 100 / u64::from(piece_count.max(1))).max(1)
        ),
    };
    let way = if endpoint.incoming { "in" } else { "" };
    let grade = paint.colour(
        grade_colour(row.stated),
        &format!("{:<9}", capital(row.stated)),
    );
    let who = match &row.actor {
        Some(name) => name.as_str(),
        None => "-",
    };
    let who = if row.honest {
        who.to_owned()
    } else {
        paint.colour(Colour::Red, who)
    };
    format!(
        "{:>3}  {:<22}{way:<3} {grade} {:<20} {claims:>6} {offers:>6} {proved:>7}  {who}",
        endpoint.number,
        endpoint.endpoint.to_string(),
        cut(&client(endpoint), 20),
    )
}

fn client(endpoint: &Endpoint) -> String {
    let client = &endpoint.client.value;
    let name = client.names.last().map(|name| name.0.clone());
    let name = name.or_else(|| client.peer_ids.last().map(|id| id.0.1.clone()));
    name.map_or_else(|| "-".to_owned(), |name| crate::units::shown(&name))
}

/// The verification, one line a check; the whole of it is what `skep verify` prints.
pub(super) fn verification(outcome: &Outcome, paint: Paint) -> String {
    let mut out = String::new();
    for check in &outcome.checks {
        let (mark, what) = match &check.verdict {
            Verdict::Holds(what) => (paint.colour(Colour::Green, "ok  "), what.clone()),
            Verdict::Fails(failure) => (paint.colour(Colour::Red, "FAIL"), failure.to_string()),
            Verdict::NotChecked(why) => (paint.dim("--  "), format!("not checked: {why}")),
        };
        let _ = writeln!(out, "  {mark} {:<22} {}", check.part, cut(&what, 70));
    }
    out
}

/// The score: grades of endpoints, then records of the ledger.
pub(super) fn score(exam: &Exam, paint: Paint) -> String {
    let mut out = String::new();
    let head = |of: &str| {
        format!(
            "{of:<25} {:>6} {:>6} {:>20} {:>8} {:>20}",
            "true", "false", "false share, 95 %", "missed", "missed share, 95 %"
        )
    };
    let _ = writeln!(out, "{}", paint.dim(&head("grades in the exhibit")));
    for tally in exam.grades.tallies.iter().rev() {
        let _ = writeln!(out, "{}", score_line(capital(tally.grade), tally, paint));
    }
    let _ = writeln!(out, "\n{}", paint.dim(&head("records in the ledger")));
    for tally in exam
        .records
        .tallies
        .iter()
        .rev()
        .filter(|tally| tally.grade > Grade::Listed)
    {
        let _ = writeln!(out, "{}", score_line(act(tally.grade), tally, paint));
    }
    let worth = exam.worth;
    let _ = writeln!(
        out,
        "\nMissed is what a peer sent as the observer hung up, or after it had taken its request back.\n\
         Of the peers that claimed to have pieces, {} told the truth, {} claimed more than they had \
         and {} less.\nThat is why a claim is never printed as more than a claim.",
        worth.agree, worth.over, worth.under
    );
    out
}

fn score_line(name: &str, tally: &Tally, paint: Paint) -> String {
    let range = |share: skep_lab::interval::Share| {
        if share.of == 0 {
            return "-".to_owned();
        }
        format!("{:.2} - {:.2} %", share.low * 100.0, share.high * 100.0)
    };
    let wrong = match tally.wrong {
        0 => paint.colour(Colour::Green, &format!("{:>6}", 0)),
        wrong => paint.colour(Colour::Red, &format!("{wrong:>6}")),
    };
    format!(
        "{name:<25} {:>6} {wrong} {:>20} {:>8} {:>20}",
        tally.right,
        range(tally.wrong_share),
        tally.missed,
        range(tally.missed_share)
    )
}

/// What one record of a grade states.
fn act(grade: Grade) -> &'static str {
    match grade {
        Grade::Listed => "someone named it",
        Grade::Reached => "a connection stood",
        Grade::Joined => "a handshake came",
        Grade::Claimed => "it claimed pieces",
        Grade::Delivered => "a block came",
        Grade::Verified => "a piece came and hashes",
        Grade::Whole => "the whole content came",
    }
}

/// A grade as reports write it.
fn capital(grade: Grade) -> &'static str {
    match grade {
        Grade::Listed => "Listed",
        Grade::Reached => "Reached",
        Grade::Joined => "Joined",
        Grade::Claimed => "Claimed",
        Grade::Delivered => "Delivered",
        Grade::Verified => "Verified",
        Grade::Whole => "Whole",
    }
}

fn grade_colour(grade: Grade) -> Colour {
    match grade {
        Grade::Listed | Grade::Reached => Colour::Dim,
        Grade::Joined | Grade::Claimed => Colour::Yellow,
        Grade::Delivered => Colour::Cyan,
        Grade::Verified | Grade::Whole => Colour::Green,
    }
}

/// At most `width` characters, the last one a mark where something is cut.
fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width - 1).chain(['…']).collect()
}
