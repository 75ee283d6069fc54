//! The comparison is code too: a report with a planted falsehood must fail it.
#![allow(clippy::unwrap_used)]

use std::net::{IpAddr, SocketAddr};

use skep_evidence::grade::Grade;
use skep_lab::{
    score::{Failure, Requirements, Score, Sighting, Statement, Truth, When, judge, score},
    truth::{Act, Line, What},
};

const SECOND: i64 = 1_000_000;

#[test]
fn a_true_exhibit_passes() {
    assert_eq!(verdict(&truth(), &exhibit(), &records()), []);
}

/// A printer that "joined", a liar that "delivered", a seeder that gave everything: none of it
/// happened.
#[test]
fn a_planted_grade_fails_and_is_named() {
    for (endpoint, grade) in [
        (printer(), Grade::Joined),
        (liar(), Grade::Delivered),
        (seeder(), Grade::Whole),
        (SocketAddr::from(([127, 9, 9, 9], 9)), Grade::Claimed),
    ] {
        let mut statements = exhibit();
        let planted = Statement {
            subject: endpoint,
            grade,
            when: None,
        };
        statements.push(planted.clone());
        assert_eq!(
            verdict(&truth(), &statements, &records()),
            [Failure::FalseGrade(planted)]
        );
    }
}

/// It delivered, but an hour before the exhibit says so.
#[test]
fn a_planted_time_fails() {
    let mut statements = exhibit();
    let at = 3_600 * SECOND;
    let when = Some(When {
        earliest_us: at,
        latest_us: at,
    });
    let planted = Statement {
        subject: seeder(),
        grade: Grade::Verified,
        when,
    };
    statements.push(planted.clone());
    assert_eq!(
        verdict(&truth(), &statements, &records()),
        [Failure::FalseGrade(planted)]
    );
}

#[test]
fn a_planted_record_fails_and_is_named() {
    let (peer, observer) = (seeder(), observer_end());
    for planted in [
        Sighting::Piece {
            peer,
            observer,
            piece: 1,
        },
        Sighting::Block {
            peer,
            observer,
            piece: 0,
            begin: 1,
        },
        Sighting::Set {
            peer,
            observer,
            pieces: 1,
        },
        Sighting::Joined {
            peer,
            observer: SocketAddr::new(observer.ip(), 7),
        },
        Sighting::Joined {
            peer: printer(),
            observer,
        },
    ] {
        let mut records = records();
        records.push(stated(planted));
        let failures = verdict(&truth(), &exhibit(), &records);
        assert_eq!(failures, [Failure::FalseRecord(Box::new(stated(planted)))]);
    }
}

/// A false `Reached` is counted and does not fail the run: something may have answered there.
#[test]
fn a_false_reached_is_counted_but_forgiven() {
    let truth = truth();
    let mut statements = exhibit();
    let subject = SocketAddr::from(([127, 9, 9, 9], 9));
    statements.push(Statement {
        subject,
        grade: Grade::Reached,
        when: None,
    });
    assert_eq!(verdict(&truth, &statements, &records()), []);
    let tally = score(&statements, &truth.grades).tallies[Grade::Reached as usize];
    assert_eq!((tally.right, tally.wrong, tally.missed), (3, 1, 0));
}

/// The seeder graded too low, the seeder left out, and a peer that nobody has heard of.
#[test]
fn what_is_missing_fails() {
    let truth = truth();
    let all = exhibit();
    let without = |grade| -> Vec<_> {
        all.iter()
            .filter(|it| it.subject != seeder() || it.grade < grade)
            .cloned()
            .collect()
    };
    let too_low = |got, expected| Failure::TooLow {
        actor: "seeder".into(),
        got,
        expected,
    };
    assert_eq!(
        verdict(&truth, &without(Grade::Verified), &records()),
        [too_low(Some(Grade::Delivered), Grade::Verified)]
    );
    assert_eq!(
        verdict(&truth, &without(Grade::Listed), &records()),
        [
            too_low(None, Grade::Claimed),
            too_low(None, Grade::Verified)
        ]
    );
    let at_least = vec![("second seeder".into(), Grade::Verified)];
    let requirements = Requirements {
        at_least,
        ..requirements()
    };
    assert_eq!(
        judge(
            &requirements,
            &truth,
            &all,
            &grades(&truth, &all),
            &acts(&truth, &records())
        ),
        [Failure::NoSuchActor("second seeder".into())]
    );
}

/// The printer was up all the time and is not asked to be anything: it is not honest. A peer that
/// was up for 19 s is not asked either.
#[test]
fn only_honest_peers_that_stayed_must_be_claimed() {
    let mut lines = lines();
    let endpoint = SocketAddr::from(([127, 1, 1, 7], 7));
    let enters = Act::Enters {
        role: "downloader".into(),
        honest: true,
        endpoint,
    };
    lines.push(Line {
        utc_us: 5 * SECOND,
        actor: "short".into(),
        act: enters,
    });
    lines.push(Line {
        utc_us: 24 * SECOND,
        actor: "short".into(),
        act: Act::Leaves,
    });
    let truth = Truth::distill(&lines, observer_ip()).unwrap();
    assert_eq!(verdict(&truth, &exhibit(), &records()), []);
    lines.last_mut().unwrap().utc_us = 25 * SECOND;
    let truth = Truth::distill(&lines, observer_ip()).unwrap();
    let too_low = Failure::TooLow {
        actor: "short".into(),
        got: None,
        expected: Grade::Claimed,
    };
    assert_eq!(verdict(&truth, &exhibit(), &records()), [too_low]);
}

#[test]
fn what_passes_between_others_is_not_counted() {
    let truth = Truth::distill(&lines(), IpAddr::from([127, 1, 1, 100])).unwrap();
    assert!(truth.sightings.is_empty());
    assert!(truth.grades.is_empty());
    assert!(Truth::distill(&lines()[1..], observer_ip()).is_err());
}

#[test]
fn claims_are_counted_apart_from_what_was_given() {
    let truth = truth();
    let verified = |endpoint| truth.grades.contains_key(&(endpoint, Grade::Verified));
    assert!(verified(seeder()));
    assert!(!verified(liar()));
    let worth = truth.worth();
    assert_eq!((worth.agree, worth.over, worth.under), (1, 1, 0));
}

/// All blocks of a piece, but one of them wrong; then all right, but on two connections.
#[test]
fn wrong_bytes_and_scattered_blocks_make_no_verified_piece() {
    let block = |remote: SocketAddr, begin, genuine| Line {
        utc_us: 10 * SECOND,
        actor: "liar".into(),
        act: Act::Sends {
            local: liar(),
            remote,
            what: What::Block {
                piece: 1,
                begin,
                len: 16_384,
                genuine: Some(genuine),
            },
            bytes: 1,
        },
    };
    let other_end = SocketAddr::new(observer_ip(), 7);
    let made = |blocks: [Line; 2]| {
        let mut lines = lines();
        let what = What::Handshake {
            info_hash: "ab".repeat(20),
        };
        let act = Act::Sends {
            local: liar(),
            remote: other_end,
            what,
            bytes: 68,
        };
        lines.push(Line {
            utc_us: 9 * SECOND,
            actor: "liar".into(),
            act,
        });
        lines.extend(blocks);
        let truth = Truth::distill(&lines, observer_ip()).unwrap();
        truth.grades.contains_key(&(liar(), Grade::Verified))
    };
    assert!(!made([
        block(observer_end(), 0, true),
        block(observer_end(), 16_384, false)
    ]));
    assert!(!made([
        block(observer_end(), 0, true),
        block(other_end, 16_384, true)
    ]));
    assert!(made([
        block(observer_end(), 0, true),
        block(observer_end(), 16_384, true)
    ]));
}

fn verdict(
    truth: &Truth,
    statements: &[Statement<SocketAddr>],
    records: &[Statement<Sighting>],
) -> Vec<Failure> {
    let (grades, acts) = (grades(truth, statements), acts(truth, records));
    judge(&requirements(), truth, statements, &grades, &acts)
}

fn grades(truth: &Truth, statements: &[Statement<SocketAddr>]) -> Score<SocketAddr> {
    score(statements, &truth.grades)
}

fn acts(truth: &Truth, records: &[Statement<Sighting>]) -> Score<Sighting> {
    score(records, &truth.sightings)
}

fn requirements() -> Requirements {
    Requirements {
        observed_us: (0, 30 * SECOND),
        up_us: 20 * SECOND,
        at_least: vec![("seeder".into(), Grade::Verified)],
    }
}

fn truth() -> Truth {
    Truth::distill(&lines(), observer_ip()).unwrap()
}

/// The exhibit that an observer without error makes of [`lines`].
fn exhibit() -> Vec<Statement<SocketAddr>> {
    let rows = [
        (seeder(), Grade::Verified),
        (liar(), Grade::Claimed),
        (printer(), Grade::Reached),
    ];
    let stated = |(subject, top): (SocketAddr, Grade)| {
        let grades = Grade::ALL.into_iter().filter(move |grade| *grade <= top);
        grades.map(move |grade| Statement {
            subject,
            grade,
            when: None,
        })
    };
    rows.into_iter().flat_map(stated).collect()
}

/// Records that an observer without error makes of [`lines`].
fn records() -> Vec<Statement<Sighting>> {
    let (peer, observer) = (seeder(), observer_end());
    [
        Sighting::Reached { peer, observer },
        Sighting::Joined { peer, observer },
        Sighting::Set {
            peer,
            observer,
            pieces: 2,
        },
        Sighting::Block {
            peer,
            observer,
            piece: 0,
            begin: 0,
        },
        Sighting::Block {
            peer,
            observer,
            piece: 0,
            begin: 16_384,
        },
        Sighting::Piece {
            peer,
            observer,
            piece: 0,
        },
    ]
    .map(stated)
    .to_vec()
}

fn stated(subject: Sighting) -> Statement<Sighting> {
    Statement {
        subject,
        grade: subject.grade(),
        when: None,
    }
}

/// A seeder that gave piece 0, a liar that claimed everything, and a printer.
fn lines() -> Vec<Line> {
    let at = |seconds: i64, actor: &str, act: Act| Line {
        utc_us: seconds * SECOND,
        actor: actor.to_owned(),
        act,
    };
    let hash = "ab".repeat(20);
    let enters = |endpoint, honest| Act::Enters {
        role: "actor".into(),
        honest,
        endpoint,
    };
    let accepts = |local| Act::Accepts {
        local,
        remote: observer_end(),
    };
    let sends = |local, what| Act::Sends {
        local,
        remote: observer_end(),
        what,
        bytes: 1,
    };
    let block = |piece, begin, genuine| What::Block {
        piece,
        begin,
        len: 16_384,
        genuine: Some(genuine),
    };
    let (size_bytes, piece_len, piece_count) = (65_536, 32_768, 2);
    let info_hash = hash.clone();
    let mut lines = vec![at(
        0,
        "lab",
        Act::Stage {
            info_hash,
            size_bytes,
            piece_len,
            piece_count,
        },
    )];
    for (name, endpoint) in [
        ("seeder", seeder()),
        ("liar", liar()),
        ("printer", printer()),
    ] {
        lines.push(at(0, name, enters(endpoint, name == "seeder")));
        lines.push(at(
            1,
            "tracker",
            Act::Names {
                to: observer_end(),
                endpoints: vec![endpoint],
            },
        ));
        lines.push(at(2, name, accepts(endpoint)));
    }
    lines.push(at(0, "seeder", Act::Has { piece: 0 }));
    lines.push(at(0, "seeder", Act::Has { piece: 1 }));
    for (name, local) in [("seeder", seeder()), ("liar", liar())] {
        lines.push(at(
            3,
            name,
            sends(
                local,
                What::Handshake {
                    info_hash: hash.clone(),
                },
            ),
        ));
        lines.push(at(3, name, sends(local, What::Set { pieces: 2 })));
    }
    lines.push(at(3, "printer", sends(printer(), What::Echo)));
    lines.push(at(4, "seeder", sends(seeder(), block(0, 0, true))));
    lines.push(at(5, "seeder", sends(seeder(), block(0, 16_384, true))));
    lines
}

fn observer_ip() -> IpAddr {
    IpAddr::from([127, 1, 1, 99])
}

fn observer_end() -> SocketAddr {
    SocketAddr::new(observer_ip(), 50_000)
}

fn seeder() -> SocketAddr {
    SocketAddr::from(([127, 1, 1, 1], 1))
}

fn liar() -> SocketAddr {
    SocketAddr::from(([127, 1, 1, 2], 2))
}

fn printer() -> SocketAddr {
    SocketAddr::from(([127, 1, 1, 3], 9_100))
}
