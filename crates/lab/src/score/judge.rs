//! What an observation must achieve to pass.

use std::{fmt, net::SocketAddr};

use skep_evidence::grade::Grade;

use super::{Score, Sighting, Statement, Truth};

/// What is asked of an observation.
#[derive(Debug, Clone)]
pub struct Requirements {
    /// When the observation ran, in microseconds since 1970.
    pub observed_us: (i64, i64),
    /// An honest peer that was up for this long while the observation ran is at least `Claimed`.
    pub up_us: i64,
    /// These actors are at least at these grades.
    pub at_least: Vec<(String, Grade)>,
}

/// A requirement that is not met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The exhibit states a grade above `Reached` that is false.
    FalseGrade(Statement<SocketAddr>),
    /// A record states an act above `Reached` that nobody did.
    FalseRecord(Box<Statement<Sighting>>),
    /// An actor is graded too low.
    TooLow {
        /// The actor.
        actor: String,
        /// Its highest grade; `None` if the exhibit does not name it.
        got: Option<Grade>,
        /// What is asked.
        expected: Grade,
    },
    /// The truth log has no such actor, so nothing was measured.
    NoSuchActor(String),
}

impl Failure {
    /// Whether something was stated that did not happen, rather than something missed.
    pub fn is_falsehood(&self) -> bool {
        match self {
            Self::FalseGrade(_) | Self::FalseRecord(_) => true,
            Self::TooLow { .. } | Self::NoSuchActor(_) => false,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FalseGrade(statement) => write!(
                f,
                "the exhibit says {} of {}, and no actor did that",
                statement.grade.name(),
                statement.subject
            ),
            Self::FalseRecord(statement) => {
                write!(
                    f,
                    "a record says {:?}, and no actor did that",
                    statement.subject
                )
            }
            Self::TooLow {
                actor,
                got,
                expected,
            } => {
                let got = got.map_or("not in the exhibit", Grade::name);
                write!(f, "{actor} is {got}, expected at least {}", expected.name())
            }
            Self::NoSuchActor(actor) => write!(f, "the truth log has no actor {actor}"),
        }
    }
}

/// Compares an observation with the requirements. `statements` are the exhibit's; empty is passed.
pub fn judge(
    requirements: &Requirements,
    truth: &Truth,
    statements: &[Statement<SocketAddr>],
    grades: &Score<SocketAddr>,
    records: &Score<Sighting>,
) -> Vec<Failure> {
    let above = |grade: Grade| grade > Grade::Reached;
    let false_grades = grades.wrong.iter().filter(|it| above(it.grade)).cloned();
    let false_records = records.wrong.iter().filter(|it| above(it.grade)).cloned();
    let mut failures: Vec<_> = false_grades.map(Failure::FalseGrade).collect();
    failures.extend(false_records.map(|it| Failure::FalseRecord(Box::new(it))));
    let highest = |actor: &super::ActorTruth| {
        let of_it = statements
            .iter()
            .filter(|it| actor.endpoints.contains(&it.subject));
        of_it.map(|statement| statement.grade).max()
    };
    for (name, expected) in wanted(requirements, truth) {
        let Some(actor) = truth.actors.get(&name) else {
            failures.push(Failure::NoSuchActor(name));
            continue;
        };
        let got = highest(actor);
        if got.is_none_or(|got| got < expected) {
            failures.push(Failure::TooLow {
                actor: name,
                got,
                expected,
            });
        }
    }
    failures
}

fn wanted(requirements: &Requirements, truth: &Truth) -> Vec<(String, Grade)> {
    let (from, to) = requirements.observed_us;
    let up_long = truth.actors.iter().filter(|(_, actor)| {
        let stays = actor.stays.iter();
        let longest = stays.map(|stay| stay.to_us.unwrap_or(to).min(to) - stay.from_us.max(from));
        actor.honest && longest.max().is_some_and(|up| up >= requirements.up_us)
    });
    let claimed = up_long.map(|(name, _)| (name.clone(), Grade::Claimed));
    claimed
        .chain(requirements.at_least.iter().cloned())
        .collect()
}
