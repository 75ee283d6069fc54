//! The examination: an observation's exhibit and ledger, against the truth log of the same play.
//!
//! The truth log is opened here and nowhere else, after the observation has ended and its report
//! and bundle are made.

use std::net::SocketAddr;

use serde::Serialize;
use skep_analysis::Findings;
use skep_evidence::{grade::Grade, record::Record};

use crate::{
    play::Played,
    scenario::SEEDER,
    score::{
        Failure, NotATruthLog, Requirements, Score, Sighting, Statement, Tally, Truth, Worth,
        exhibit, judge, score, sightings,
    },
    truth::{self, TruthError},
};

/// What an examination found.
#[derive(Debug)]
pub struct Exam {
    /// What was true.
    pub truth: Truth,
    /// One row for each endpoint of the exhibit, in its order.
    pub rows: Vec<Row>,
    /// The grades of the exhibit against the truth.
    pub grades: Score<SocketAddr>,
    /// The records of the ledger against the truth.
    pub records: Score<Sighting>,
    /// How far claims agree with what the claimants held.
    pub worth: Worth,
    /// Requirements that are not met; empty is passed.
    pub failures: Vec<Failure>,
}

/// An endpoint of the exhibit, and who it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The endpoint.
    pub endpoint: SocketAddr,
    /// The grade that the exhibit states.
    pub stated: Grade,
    /// The highest grade that is true of it; `None` if no actor did anything there.
    pub happened: Option<Grade>,
    /// The actor.
    pub actor: Option<String>,
    /// Whether it was honest.
    pub honest: bool,
}

/// Why there was no examination.
#[derive(Debug, thiserror::Error)]
pub enum ExamError {
    /// The truth log cannot be read.
    #[error(transparent)]
    Truth(#[from] TruthError),
    /// It does not begin as one.
    #[error(transparent)]
    NotATruthLog(#[from] NotATruthLog),
}

/// An honest peer that was up for this long must be claimed.
const UP_US: i64 = 20_000_000;

/// Examines the observation of a play.
///
/// # Errors
///
/// [`ExamError`] if the truth log cannot be read.
pub fn examine(
    played: &Played,
    findings: &Findings,
    records: &[(u64, Record)],
) -> Result<Exam, ExamError> {
    let truth = Truth::distill(&truth::read(&played.truth)?, played.observer)?;
    let statements = exhibit(findings, records);
    let grades = score(&statements, &truth.grades);
    let records = score(&sightings(records), &truth.sightings);
    let requirements = Requirements {
        observed_us: played.observed_us,
        up_us: UP_US,
        at_least: vec![(SEEDER.to_owned(), Grade::Verified)],
    };
    let failures = judge(&requirements, &truth, &statements, &grades, &records);
    let worth = truth.worth();
    let rows = rows(findings, &truth);
    Ok(Exam {
        truth,
        rows,
        grades,
        records,
        worth,
        failures,
    })
}

fn rows(findings: &Findings, truth: &Truth) -> Vec<Row> {
    let endpoints = findings.swarms.iter().flat_map(|swarm| &swarm.endpoints);
    let row = |row: &skep_analysis::finding::Endpoint| {
        let actor = truth
            .actors
            .iter()
            .find(|(_, actor)| actor.endpoints.contains(&row.endpoint));
        let mut grades = Grade::ALL.into_iter().rev();
        Row {
            endpoint: row.endpoint,
            stated: row.grade.value,
            happened: grades.find(|grade| truth.grades.contains_key(&(row.endpoint, *grade))),
            actor: actor.map(|(name, _)| name.clone()),
            honest: actor.is_some_and(|(_, actor)| actor.honest),
        }
    };
    endpoints.chain(&findings.strays).map(row).collect()
}

/// The score as a file, for those who would rather read numbers by machine.
#[derive(Debug, Serialize)]
pub struct ScoreFile<'a> {
    /// The scenario's seed.
    pub seed: u64,
    /// Grades of endpoints in the exhibit.
    pub grades: &'a [Tally],
    /// False statements among them.
    pub false_grades: &'a [Statement<SocketAddr>],
    /// Missed ones.
    pub missed_grades: &'a [(SocketAddr, Grade)],
    /// Records of the ledger.
    pub records: &'a [Tally],
    /// False records.
    pub false_records: &'a [Statement<Sighting>],
    /// Missed ones.
    pub missed_records: &'a [(Sighting, Grade)],
    /// Claims and what they were worth.
    pub claims: Worth,
    /// Requirements that are not met.
    pub failures: Vec<String>,
}

impl Exam {
    /// The score as indented JSON.
    pub fn to_json(&self, seed: u64) -> String {
        let file = ScoreFile {
            seed,
            grades: &self.grades.tallies,
            false_grades: &self.grades.wrong,
            missed_grades: &self.grades.missed,
            records: &self.records.tallies,
            false_records: &self.records.wrong,
            missed_records: &self.records.missed,
            claims: self.worth,
            failures: self.failures.iter().map(ToString::to_string).collect(),
        };
        serde_json::to_string_pretty(&file).expect("a score has only string keys")
    }
}
