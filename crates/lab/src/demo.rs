//! The demo: a play, its report and bundle, their verification, and the examination.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use skep_analysis::Findings;
use skep_evidence::{
    bundle::{self, BundleError},
    file::{FileError, Files as _},
    record::Record,
};
use skep_net::store::{ObservationReader, StoreError};
use skep_verify::Outcome;

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
    /// The bundle is written.
    Bundled,
    /// The bundle was verified, or not.
    Verified,
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
    /// What the verification of the bundle says.
    pub verification: Outcome,
    /// What is where, for a reader: path below the folder, and what it is.
    pub files: Vec<(&'static str, &'static str)>,
    /// The examination.
    pub exam: Exam,
}

/// Name of the bundle in the demo's folder.
pub const BUNDLE: &str = "bundle.tar";

/// Why there is no demo to show. None of these is a finding about the observer.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The play could not be given.
    #[error(transparent)]
    Play(#[from] PlayError),
    /// The observation cannot be read again.
    #[error("read the observation again: {0}")]
    Store(#[from] StoreError),
    /// The observation makes no bundle.
    #[error("bundle: {0}")]
    Select(skep_verify::Failure),
    /// Its files make none.
    #[error("bundle: {0}")]
    Bundle(#[from] BundleError),
    /// A file of the observation cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
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
    let selection = skep_verify::select(observation.files()).map_err(DemoError::Select)?;
    let mut members = BTreeMap::new();
    for (name, bytes) in selection.report.files() {
        let path = skep_verify::contents::report_path(name);
        write(&played.observation.join(&path), bytes)?;
        members.insert(path, bytes.to_vec());
    }
    tell(Told::Done(Part::Reported));
    for (path, len) in selection.files {
        let len = usize::try_from(len).expect("what half a minute leaves fits in memory");
        let bytes = observation.files().read_at(&path, 0, len)?;
        members.insert(path, bytes);
    }
    let archive = dir.join(BUNDLE);
    write(&archive, &bundle::build(&members)?)?;
    tell(Told::Done(Part::Bundled));
    let archive = std::fs::read(&archive).map_err(|source| DemoError::Io {
        path: archive,
        source,
    })?;
    let verification = skep_verify::verify(archive, None);
    tell(Told::Done(Part::Verified));
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
        verification,
        files: files(),
        exam,
    })
}

fn files() -> Vec<(&'static str, &'static str)> {
    vec![
        (
            "observation/report/report.html",
            "the report: timeline, completion, what each grade shows",
        ),
        ("observation/report/exhibit.csv", "Exhibit A as a table"),
        (
            "observation",
            "the observation: ledger, journal, capture for Wireshark",
        ),
        (
            BUNDLE,
            "the bundle: check it with skep verify, or skep-verify",
        ),
        ("work.torrent", "the torrent that was watched"),
        ("truth.jsonl", "what every actor did, written by itself"),
        ("score.json", "the score"),
    ]
}

/// Writes a file and makes its folder.
fn write(path: &Path, bytes: &[u8]) -> Result<(), DemoError> {
    let made = path.parent().map_or(Ok(()), std::fs::create_dir_all);
    let written = made.and_then(|()| std::fs::write(path, bytes));
    written.map_err(|source| DemoError::Io {
        path: path.to_owned(),
        source,
    })
}
