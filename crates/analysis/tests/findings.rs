//! Findings from a made-up ledger: what is said, and what must not be.

#[path = "support/synthetic.rs"]
#[allow(dead_code)]
mod synthetic;

use skep_analysis::{Findings, finding::Endpoint, rule::presence::RULE};
use skep_evidence::{
    grade::Grade,
    journal::{ConnId, ConnectFailure, EndKind},
    record::{Body, ClaimKind, CloseKind},
};
use skep_wire::{Moment, Said};
use synthetic::{Made, PIECES, addr, observation, source};

fn endpoint<'a>(findings: &'a Findings, text: &str) -> &'a Endpoint {
    let found = findings.swarms[0]
        .endpoints
        .iter()
        .find(|row| row.endpoint == addr(text));
    found.unwrap_or_else(|| panic!("{text} is not in the exhibit"))
}

#[test]
fn endpoints_are_numbered_in_the_order_in_which_they_were_first_recorded() {
    let made = observation();
    let findings = Findings::of(&made.records);
    let rows = &findings.swarms[0].endpoints;
    let numbers: Vec<u64> = rows.iter().map(|row| row.number).collect();
    assert_eq!(numbers, (1..=rows.len() as u64).collect::<Vec<_>>());
    assert!(rows.is_sorted_by_key(|row| row.first_record.index));
    assert_eq!(rows[0].endpoint, addr("127.0.1.1:6881"));
}

#[test]
fn grade_is_the_highest_that_a_record_states_and_rests_on_that_record() {
    let made = observation();
    let findings = Findings::of(&made.records);
    let grade = |text| endpoint(&findings, text).grade.value;
    assert_eq!(grade("127.0.1.1:6881"), Grade::Verified);
    assert_eq!(grade("127.0.2.1:51413"), Grade::Claimed);
    assert_eq!(grade("127.0.2.5:51417"), Grade::Delivered);
    assert_eq!(
        grade("127.0.3.2:6881"),
        Grade::Delivered,
        "refuted bytes verify nothing"
    );
    assert_eq!(grade("127.0.3.3:80"), Grade::Reached);
    assert_eq!(grade("127.0.9.1:6881"), Grade::Listed);
    for row in &findings.swarms[0].endpoints {
        let [index] = row.grade.inputs[..] else {
            panic!("one record carries the grade")
        };
        assert_eq!(
            skep_analysis::rule::grade::stated(&made.records[index as usize].1.body),
            Some(row.grade.value)
        );
    }
}

#[test]
fn statements_from_a_ledger_say_recorded_and_never_sent() {
    let made = observation();
    let findings = Findings::of(&made.records);
    let seeder = endpoint(&findings, "127.0.1.1:6881");
    assert_eq!(
        seeder.statement,
        "127.0.1.1:6881 recorded as verified, piece 0, not hashed again here"
    );
    let dead = endpoint(&findings, "127.0.9.1:6881");
    assert_eq!(
        dead.statement,
        "127.0.9.1:6881 was named, and nothing is recorded to have come from it"
    );
}

/// The sentence on claims and the share beside it are of one record: the last that names a number.
#[test]
fn a_statement_on_claims_is_of_the_last_one() {
    let mut made = Made::new();
    made.at(1)
        .reached(0, "127.0.2.1:1")
        .joined(0, "client")
        .claims(0, 1);
    let statement = |made: &Made| {
        let findings = Findings::of(&made.records);
        endpoint(&findings, "127.0.2.1:1").statement.clone()
    };
    let said = |pieces: &str| {
        format!("127.0.2.1:1 recorded as claimed, {pieces} by its own account, not replayed here")
    };
    assert_eq!(statement(&made), said("1 piece"));
    made.at(2).has(0, 5, 2, Moment::from_millis(1));
    assert_eq!(statement(&made), said("2 pieces"));
    made.at(3).push(Body::ClaimedSet {
        conn: ConnId(0),
        how: ClaimKind::UploadOnly,
        pieces: 0,
        share_ppm: 0,
        gained: 0,
        since: None,
        source: source(13),
    });
    assert_eq!(statement(&made), said("2 pieces"));
}

/// A connection that we keep open while nothing comes shows no presence: the interval ends with the
/// last thing heard, not with our own closing.
#[test]
fn presence_ends_with_the_last_thing_heard_and_not_with_our_closing() {
    let mut made = Made::new();
    made.at(1_000)
        .attempted(0, "127.0.1.1:1")
        .at(1_010)
        .reached(0, "127.0.1.1:1");
    made.at(1_020)
        .joined(0, "x")
        .at(2_000)
        .claims(0, 5)
        .at(90_000)
        .closed(0, CloseKind::UsIdle);
    made.at(100_000)
        .attempted(2, "127.0.1.1:1")
        .at(100_001)
        .reached(2, "127.0.1.1:1");
    made.at(105_000).closed(2, CloseKind::Them(EndKind::Closed));
    let findings = Findings::of(&made.records);
    let visits = &endpoint(&findings, "127.0.1.1:1").visits;
    assert_eq!(visits.len(), 2);
    assert_eq!(visits[0].rule, RULE.name);
    assert_eq!(visits[0].value.from.at, Moment::from_millis(1_010));
    assert_eq!(visits[0].value.heard.at, Moment::from_millis(2_000));
    assert_eq!(
        visits[1].value.heard.at,
        Moment::from_millis(105_000),
        "its own closing is heard"
    );
    for visit in visits {
        let heard = visit.inputs.last().copied();
        assert_eq!(heard, Some(visit.value.heard.index));
    }
}

#[test]
fn failed_attempts_stay_with_their_reasons_and_open_ones_are_counted() {
    let mut made = Made::new();
    made.at(10).listed("127.0.9.9:9");
    made.at(20)
        .attempted(0, "127.0.9.9:9")
        .at(30)
        .failed(0, ConnectFailure::Refused);
    made.at(40)
        .attempted(2, "127.0.9.9:9")
        .at(50)
        .failed(2, ConnectFailure::Refused);
    made.at(60)
        .attempted(4, "127.0.9.9:9")
        .at(70)
        .failed(4, ConnectFailure::TimedOut);
    made.at(80).attempted(6, "127.0.9.9:9");
    let findings = Findings::of(&made.records);
    let row = endpoint(&findings, "127.0.9.9:9");
    let counts: Vec<(ConnectFailure, u64)> = row
        .attempts
        .value
        .failed
        .iter()
        .map(|(reason, (count, _))| (*reason, *count))
        .collect();
    assert_eq!(
        counts,
        [(ConnectFailure::Refused, 2), (ConnectFailure::TimedOut, 1)]
    );
    assert_eq!((row.attempts.value.made, row.attempts.value.open), (4, 1));
    assert_eq!(row.grade.value, Grade::Listed);
    assert!(row.heard_first().is_none());
}

#[test]
fn has_and_offers_differ_where_the_peer_claims_more_than_it_gives() {
    let mut made = Made::new();
    made.at(1)
        .reached(0, "127.0.3.1:1")
        .joined(0, "x")
        .claims(0, PIECES)
        .offers(0, 0, true);
    made.at(2)
        .reached(2, "127.0.3.2:1")
        .joined(2, "x")
        .claims(2, 8);
    let findings = Findings::of(&made.records);
    let row = endpoint(&findings, "127.0.3.1:1");
    assert_eq!(row.claimed.as_ref().unwrap().value.0.ppm, 1_000_000);
    assert_eq!(row.offered.as_ref().unwrap().value.0.ppm, 0);
    let quiet = endpoint(&findings, "127.0.3.2:1");
    assert!(
        quiet.offered.is_none(),
        "nothing was allowed or refused: unknown, not zero"
    );
}

#[test]
fn upload_only_claims_no_per_cent() {
    let mut made = Made::new();
    made.at(1)
        .reached(0, "127.0.3.1:1")
        .joined(0, "x")
        .push(Body::ClaimedSet {
            conn: skep_evidence::journal::ConnId(0),
            how: ClaimKind::UploadOnly,
            pieces: PIECES,
            share_ppm: 1_000_000,
            gained: 0,
            since: None,
            source: source(30),
        });
    let findings = Findings::of(&made.records);
    let row = endpoint(&findings, "127.0.3.1:1");
    assert_eq!(row.grade.value, Grade::Claimed);
    assert!(row.claimed.is_none());
}

#[test]
fn a_gain_is_an_interval_between_two_records() {
    let mut made = Made::new();
    made.at(1_000)
        .reached(0, "127.0.2.1:1")
        .joined(0, "x")
        .claims(0, 3);
    made.at(9_000).has(0, 7, 4, Moment::from_millis(1_000));
    let findings = Findings::of(&made.records);
    let gains = &endpoint(&findings, "127.0.2.1:1").gains;
    let [gain] = &gains[..] else {
        panic!("one gain")
    };
    let Said(value) = gain.value;
    assert_eq!(value.after.unwrap().at, Moment::from_millis(1_000));
    assert_eq!(value.until.at, Moment::from_millis(9_000));
    assert_eq!(gain.inputs, [value.after.unwrap().index, value.until.index]);
}

#[test]
fn who_connects_to_us_is_an_endpoint_of_its_own_once_it_names_the_swarm() {
    let made = observation();
    let findings = Findings::of(&made.records);
    let joined = endpoint(&findings, "127.0.2.3:40112");
    assert!(joined.incoming);
    assert_eq!(joined.client.value.listen_ports, [Said(6881)]);
    let [stray] = &findings.strays[..] else {
        panic!("one stray")
    };
    assert_eq!(stray.endpoint, addr("127.0.3.77:40113"));
    assert!(findings.unread.is_empty());
}

#[test]
fn every_record_of_a_row_speaks_of_it_and_none_is_in_two_rows() {
    let made = observation();
    let findings = Findings::of(&made.records);
    let mut all: Vec<u64> = Vec::new();
    let rows = findings.swarms.iter().flat_map(|swarm| &swarm.endpoints);
    for row in rows.chain(&findings.strays) {
        assert!(row.records.is_sorted());
        all.extend(&row.records);
    }
    let count = all.len();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), count);
}

#[test]
fn a_second_run_adds_to_the_rows_of_the_first() {
    let mut made = Made::new();
    made.at(1_000)
        .reached(0, "127.0.2.1:1")
        .joined(0, "x")
        .claims(0, 3);
    made.at(2_000).closed(0, CloseKind::UsDone).end();
    made.begin_run(2);
    made.at(500)
        .reached(0, "127.0.2.1:1")
        .joined(0, "x")
        .claims(0, 9);
    let findings = Findings::of(&made.records);
    let row = endpoint(&findings, "127.0.2.1:1");
    assert_eq!(
        row.visits.len(),
        2,
        "connection numbers begin again with each run"
    );
    assert_eq!(row.claimed.as_ref().unwrap().value.0.pieces, 9);
    assert_eq!(findings.swarms.len(), 1);
    assert!(findings.runs[0].ended.is_some() && findings.runs[1].ended.is_none());
}
