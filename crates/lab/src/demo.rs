//! The demo: a play, its report and bundle, their verification, and the examination.

use std::path::{Path, PathBuf};

use skep_analysis::Findings;
use skep_evidence::record::Record;
use skep_net::{
    bundle::{self, BundleFile, BundleWriteError},
    report::{self, ReportMakeError},
    store::{ObservationReader, StoreError},
};
use skep_verify::Outcome;

use crate::{
    exam::{Exam, ExamError, examine},
    play::{News, PEERS, PlayError, Played, perform},
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
    /// The report.
    #[error("report: {0}")]
    Report(#[from] ReportMakeError),
    /// The bundle.
    #[error("bundle: {0}")]
    Bundle(#[from] BundleWriteError),
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
    let made = report::make(&played.observation)?;
    report::write(&made.report, &played.observation.join("report"))?;
    tell(Told::Done(Part::Reported));
    let archive = dir.join(BUNDLE);
    bundle::write(&played.observation, &archive, |_, _| {})?;
    tell(Told::Done(Part::Bundled));
    let opened = BundleFile::open(&archive);
    let opened = opened.map_err(|source| DemoError::Io {
        path: archive,
        source,
    })?;
    let verification = skep_verify::verify(opened, None);
    tell(Told::Done(Part::Verified));
    let exam = examine(&played, &findings, &records)?;
    write(
        &dir.join("score.json"),
        exam.to_json(scenario.seed).as_bytes(),
    )?;
    // What the downloaders fetched is the same as `content`, several times over.
    let peers = dir.join(PEERS);
    std::fs::remove_dir_all(&peers).map_err(|source| DemoError::Io {
        path: peers,
        source,
    })?;
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

fn write(path: &Path, bytes: &[u8]) -> Result<(), DemoError> {
    std::fs::write(path, bytes).map_err(|source| DemoError::Io {
        path: path.to_owned(),
        source,
    })
}
