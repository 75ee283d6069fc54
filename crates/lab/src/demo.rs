//! The demo: a play, its report and bundle, their verification, and the examination.

use std::path::{Path, PathBuf};

use skep_analysis::{
    Findings,
    report::{Report, ReportError},
    sheet::Ledger,
};
use skep_evidence::record::Record;
use skep_net::store::{ObservationReader, StoreError};

use crate::{
    exam::{Exam, ExamError, examine},
    play::{News, PlayError, Played, perform},
    scenario::Scenario,
};

/// What is told while the demo runs.
#[derive(Debug, Clone)]
pub enum Told<'a> {
    /// From the stage.
    News(News<'a>),
    /// A part is done.
    Done(Part),
}

/// A part of the demo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The swarm was watched.
    Observed,
    /// The report is written.
    Reported,
    /// The truth log was opened and compared.
    Scored,
}

/// What the demo leaves behind.
#[derive(Debug)]
pub struct Demo {
    /// The play.
    pub played: Played,
    /// The ledger's records with their places.
    pub records: Vec<(u64, Record)>,
    /// What follows from them.
    pub findings: Findings,
    /// The examination.
    pub exam: Exam,
}

/// Why there is no demo to show. None of these is a finding about the observer.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The play could not be given.
    #[error(transparent)]
    Play(#[from] PlayError),
    /// The observation cannot be read again.
    #[error("read the observation again: {0}")]
    Store(#[from] StoreError),
    /// The report.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// The examination.
    #[error(transparent)]
    Exam(#[from] ExamError),
    /// A file cannot be written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// Runs `scenario` in `dir`, which exists and is empty.
///
/// # Errors
///
/// [`DemoError`]; requirements that are not met are in [`Exam::failures`].
pub fn run(
    scenario: &Scenario,
    dir: &Path,
    tell: &mut dyn FnMut(Told<'_>),
) -> Result<Demo, DemoError> {
    let played = perform(scenario, dir, &mut |news| tell(Told::News(news)))?;
    tell(Told::Done(Part::Observed));
    let observation = ObservationReader::open(&played.observation)?;
    let records = observation.records().collect::<Result<Vec<_>, _>>()?;
    let findings = Findings::of(&records);
    write_report(&observation, &records, &played.observation.join("report"))?;
    tell(Told::Done(Part::Reported));
    let exam = examine(&played, &findings, &records)?;
    write(
        &dir.join("score.json"),
        exam.to_json(scenario.seed).as_bytes(),
    )?;
    tell(Told::Done(Part::Scored));
    Ok(Demo {
        played,
        records,
        findings,
        exam,
    })
}

fn write_report(
    observation: &ObservationReader,
    records: &[(u64, Record)],
    folder: &Path,
) -> Result<(), DemoError> {
    let ledger = observation.ledger();
    let report = Report::of(
        records,
        &Ledger {
            origin: observation.key().name().to_owned(),
            size: ledger.size(),
            root: ledger.root(),
        },
    )?;
    std::fs::create_dir_all(folder).map_err(|source| DemoError::Io {
        path: folder.to_owned(),
        source,
    })?;
    report
        .files()
        .iter()
        .try_for_each(|(name, bytes)| write(&folder.join(name), bytes))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), DemoError> {
    std::fs::write(path, bytes).map_err(|source| DemoError::Io {
        path: path.to_owned(),
        source,
    })
}
