//! Short plays on real sockets, watched by the ordinary observer and examined.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use skep_analysis::Findings;
use skep_evidence::{grade::Grade, record::Body};
use skep_lab::{
    demo::{self, Demo},
    exam::examine,
    hostile::Kind,
    scenario::{Deed, Part, SEEDER, Scenario, Stay},
    score::Failure,
};

/// The whole of the demo's company for a quarter of the time, and then the same with a falsehood in
/// the ledger: a record that a printer completed the seeder's handshake.
#[test]
fn a_short_demo_states_nothing_false_and_a_planted_falsehood_fails_it() {
    let dir = tempfile::tempdir().unwrap();
    let scenario = Scenario {
        watch: Duration::from_secs(14),
        ..Scenario::demo(1, 32)
    };
    let demo = demo::run(&scenario, dir.path(), &mut |_| {}).unwrap();
    assert_eq!(demo.exam.failures, []);
    assert!(demo.verification.verified(), "{}", demo.verification);

    let printer = demo.exam.truth.actors["printer"].endpoints.first().unwrap();
    let reached = demo
        .records
        .iter()
        .find_map(|(_, record)| match &record.body {
            Body::Reached { conn, endpoint, .. } if endpoint == printer => Some((record, *conn)),
            _ => None,
        });
    let (reached, printers_conn) = reached.unwrap();
    let mut planted = reached.clone();
    let joined = demo
        .records
        .iter()
        .find(|(_, it)| matches!(it.body, Body::Joined { .. }));
    planted.body = joined.unwrap().1.body.clone();
    if let Body::Joined { conn, .. } = &mut planted.body {
        *conn = printers_conn;
    }
    let mut records = demo.records.clone();
    records.push((records.len() as u64, planted));
    let exam = examine(&demo.played, &Findings::of(&records), &records).unwrap();
    assert_eq!(exam.failures.len(), 2);
    assert!(
        exam.failures.iter().all(Failure::is_falsehood),
        "{:?}",
        exam.failures
    );
    assert!(matches!(&exam.failures[0], Failure::FalseGrade(it) if it.subject == *printer));
}

/// Nobody but liars and strangers: nothing they do lifts one of them above what is true of its
/// kind, and the absence of the seeder is noticed.
#[test]
fn hostile_company_alone_is_graded_as_its_kinds_allow() {
    let demo = play(Scenario {
        cast: cast(Kind::ALL.map(Deed::Hostile)),
        watch: Duration::from_secs(12),
        ..Scenario::demo(2, 32)
    });
    for kind in Kind::ALL {
        let row = demo.exam.rows.iter().find(|row| {
            let actor = row.actor.as_deref();
            actor == Some(kind.name())
        });
        assert_eq!(row.unwrap().stated, kind.grade_max(), "{kind:?}");
    }
    let missing = Failure::NoSuchActor(SEEDER.to_owned());
    assert_eq!(demo.exam.failures, [missing]);
    assert!(demo.exam.records.wrong.is_empty());
}

/// An honest downloader and a liar share an address: what the one gives is not credited to the
/// other, and what the other claims is not held against the one.
#[test]
fn grades_do_not_leak_between_two_peers_of_one_address() {
    let stays = vec![Stay {
        from: Duration::ZERO,
        to: None,
    }];
    let (upload, download) = (1 << 20, 1 << 20);
    let mut cast = cast([
        Deed::Seeds { upload },
        Deed::Fetches {
            upload,
            download,
            stays,
        },
        Deed::Hostile(Kind::Garbage),
    ]);
    cast[2].home = cast[1].home;
    let scenario = Scenario {
        cast,
        watch: Duration::from_secs(14),
        size: 1 << 20,
        ..Scenario::demo(3, 32)
    };
    let demo = play(scenario);
    assert_eq!(demo.exam.failures, []);
    let listening = |name: &str| {
        let truth = &demo.exam.truth.actors[name];
        let mut rows = demo.exam.rows.iter();
        rows.find(|row| truth.endpoints.contains(&row.endpoint) && row.stated > Grade::Claimed)
    };
    let (honest, liar) = (
        listening("downloader-1").unwrap(),
        listening("garbage").unwrap(),
    );
    assert_eq!(honest.endpoint.ip(), liar.endpoint.ip());
    // The honest one may have given everything by then; the liar beside it is never more than this.
    assert!(honest.stated >= Grade::Verified, "{:?}", honest.stated);
    assert_eq!(liar.stated, Grade::Delivered);
}

/// Actors at an address each: liars named after their kind, the others after their place.
fn cast(deeds: impl IntoIterator<Item = Deed>) -> Vec<Part> {
    let part = |(home, deed): (u8, Deed)| {
        let name = match deed {
            Deed::Hostile(kind) => kind.name().to_owned(),
            Deed::Seeds { .. } => SEEDER.to_owned(),
            Deed::Fetches { .. } => format!("downloader-{home}"),
        };
        Part { name, home, deed }
    };
    (0u8..).zip(deeds).map(part).collect()
}

fn play(scenario: Scenario) -> Demo {
    let dir = tempfile::tempdir().unwrap();
    demo::run(&scenario, dir.path(), &mut |_| {}).unwrap()
}
