//! The score: what an observation stated, against what the actors wrote down.
//!
//! Two comparisons, by one rule. In the first a statement is a grade of an endpoint in the exhibit
//! (an endpoint graded `Delivered` states `Reached`, `Joined`, `Claimed` and `Delivered`). In the
//! second it is one record of the ledger: this block came on that connection. A statement is
//! *true* if the actor wrote the act down, at about the time stated; *false* if not; an act that
//! nobody stated is *missed*. Each share comes with its exact 95 % interval.
//!
//! What it is not: a judgement of what a peer said. A seeder that lies about its pieces and is
//! recorded as claiming them is a true statement; [`Worth`] counts how far claims agree with what
//! the claimants held.

mod distill;
mod exhibit;
mod judge;
mod ledger;

use std::collections::BTreeMap;

use serde::Serialize;
use skep_evidence::grade::Grade;

pub use distill::{ActorTruth, NotATruthLog, Stay, Truth, Worth};
pub use exhibit::exhibit;
pub use judge::{Failure, Requirements, judge};
pub use ledger::{Sighting, sightings};

use crate::interval::Share;

/// An interval of UTC, microseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct When {
    /// Not before.
    pub earliest_us: i64,
    /// Not after.
    pub latest_us: i64,
}

/// A statement: of `subject` the act of `grade` is said, if `when` is given at that time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Statement<S> {
    /// Of what.
    pub subject: S,
    /// The grade.
    pub grade: Grade,
    /// When the act is said to have been observed first.
    pub when: Option<When>,
}

/// How far the time of an act may lie outside the stated interval, in microseconds. The actor logs
/// before it sends and after it receives, the observer after it receives; between the two lie
/// the scheduler and, for a slow reader, the socket's buffer.
pub const SLACK_US: i64 = 5_000_000;

/// The counts of one grade.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Tally {
    /// The grade.
    pub grade: Grade,
    /// Statements that are true.
    pub right: u64,
    /// Statements that are false.
    pub wrong: u64,
    /// Acts that nobody stated.
    pub missed: u64,
    /// The share of statements that are false.
    pub wrong_share: Share,
    /// The share of acts that were missed.
    pub missed_share: Share,
}

/// The counts of every grade, and the statements and acts behind the errors.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Score<S> {
    /// One tally a grade, upwards.
    pub tallies: Vec<Tally>,
    /// False statements.
    pub wrong: Vec<Statement<S>>,
    /// Missed acts.
    pub missed: Vec<(S, Grade)>,
}

/// When each act happened: for a subject and a grade, the times in ascending order.
pub type Acts<S> = BTreeMap<(S, Grade), Vec<i64>>;

/// Compares statements with acts.
pub fn score<S: Clone + Ord>(statements: &[Statement<S>], acts: &Acts<S>) -> Score<S> {
    let mut wrong = Vec::new();
    let mut stated = BTreeMap::<(S, Grade), bool>::new();
    for statement in statements {
        let key = (statement.subject.clone(), statement.grade);
        let is_true = acts
            .get(&key)
            .is_some_and(|times| happened(times, statement.when));
        if !is_true {
            wrong.push(statement.clone());
        }
        *stated.entry(key).or_insert(false) |= is_true;
    }
    let missed: Vec<_> = acts
        .keys()
        .filter(|key| !stated.get(key).is_some_and(|is_true| *is_true))
        .cloned()
        .collect();
    let tallies = Grade::ALL.map(|grade| {
        let of = |list: &[Statement<S>]| list.iter().filter(|it| it.grade == grade).count() as u64;
        let false_count = of(&wrong);
        let right = of(statements) - false_count;
        let missed = missed.iter().filter(|(_, at)| *at == grade).count() as u64;
        let acts = acts.keys().filter(|(_, at)| *at == grade).count() as u64;
        Tally {
            grade,
            right,
            wrong: false_count,
            missed,
            wrong_share: Share::new(false_count, right + false_count),
            missed_share: Share::new(missed, acts),
        }
    });
    Score {
        tallies: tallies.to_vec(),
        wrong,
        missed,
    }
}

fn happened(times: &[i64], when: Option<When>) -> bool {
    match when {
        None => !times.is_empty(),
        Some(when) => times
            .iter()
            .any(|at| (when.earliest_us - SLACK_US..=when.latest_us + SLACK_US).contains(at)),
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    fn endpoint(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 1, 2, 3], port))
    }

    fn acts(list: &[(u16, Grade, i64)]) -> Acts<SocketAddr> {
        let mut acts = Acts::new();
        for (port, grade, at) in list {
            acts.entry((endpoint(*port), *grade))
                .or_insert_with(Vec::new)
                .push(*at);
        }
        acts
    }

    #[test]
    fn a_statement_without_its_act_is_false_and_an_act_without_its_statement_is_missed() {
        let acts = acts(&[
            (1, Grade::Reached, 0),
            (1, Grade::Joined, 0),
            (2, Grade::Reached, 0),
        ]);
        let statements = [Grade::Reached, Grade::Joined, Grade::Claimed].map(|grade| Statement {
            subject: endpoint(1),
            grade,
            when: None,
        });

        let score = score(&statements, &acts);

        let tally = |grade: Grade| {
            let tally = score.tallies[grade as usize];
            assert_eq!(tally.grade, grade);
            (tally.right, tally.wrong, tally.missed)
        };
        assert_eq!(tally(Grade::Listed), (0, 0, 0));
        assert_eq!(tally(Grade::Reached), (1, 0, 1));
        assert_eq!(tally(Grade::Joined), (1, 0, 0));
        assert_eq!(tally(Grade::Claimed), (0, 1, 0));
        assert_eq!(tally(Grade::Whole), (0, 0, 0));
        assert_eq!(score.missed, [(endpoint(2), Grade::Reached)]);
        assert_eq!(score.wrong.len(), 1);
    }

    /// An act at another time does not make a statement true: the address may have had another
    /// tenant then.
    #[test]
    fn a_statement_with_the_wrong_time_is_false() {
        let acts = acts(&[(1, Grade::Joined, 100_000_000)]);
        let at = |earliest_us: i64| Statement {
            subject: endpoint(1),
            grade: Grade::Joined,
            when: Some(When {
                earliest_us,
                latest_us: earliest_us + 1_000,
            }),
        };
        let wrong = |at_us| score(&[at(at_us)], &acts).wrong.len();
        assert_eq!(wrong(100_000_000), 0);
        assert_eq!(wrong(100_000_000 + SLACK_US), 0);
        assert_eq!(wrong(100_000_001 + SLACK_US), 1);
        assert_eq!(wrong(99_998_999 - SLACK_US), 1);
        assert_eq!(
            score(&[at(0)], &acts).missed,
            [(endpoint(1), Grade::Joined)]
        );
    }
}
