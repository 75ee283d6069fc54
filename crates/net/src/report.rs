//! Reports on disk: made from an observation's folder, and put into it.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use skep_analysis::{
    Findings,
    report::{Report, ReportError},
    sheet::{Ledger, Sheet},
};
use skep_evidence::record::Record;

use crate::store::{ObservationReader, StoreError};

/// Folder of the report below the observation's.
pub const REPORT_DIR: &str = "report";

/// Why a report could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportMakeError {
    /// The observation cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The report cannot be laid out.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// A file cannot be written.
    #[error("{path}: {error}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

/// A report and what it is made from.
#[derive(Debug)]
pub struct Made {
    /// The content.
    pub sheet: Sheet,
    /// The files.
    pub report: Report,
    /// How many records are not signed yet and are not in it.
    pub uncovered: u64,
}

/// How often an observation is read that someone is writing to: a new checkpoint may be put in place
/// between two reads, and then what was read does not fit together.
pub(crate) const READ_TRIES: usize = 3;

/// Makes the report of all that the last checkpoint in `dir` covers: the same that a bundle holds.
///
/// # Errors
///
/// [`ReportMakeError`].
pub fn make(dir: &Path) -> Result<Made, ReportMakeError> {
    for _ in 1..READ_TRIES {
        match make_once(dir) {
            Err(ReportMakeError::Store(StoreError::Ledger(_))) => {}
            other => return other,
        }
    }
    make_once(dir)
}

fn make_once(dir: &Path) -> Result<Made, ReportMakeError> {
    let observation = ObservationReader::open(dir)?;
    let ledger = observation.ledger();
    let covered = usize::try_from(ledger.size()).unwrap_or(usize::MAX);
    let records = observation.records().take(covered);
    let records = records.collect::<Result<Vec<(u64, Record)>, StoreError>>()?;
    let origin = observation.key().name().to_owned();
    let named = Ledger {
        origin,
        size: ledger.size(),
        root: ledger.root(),
    };
    let sheet = Sheet::of(&Findings::of(&records), &named);
    let report = Report::of_sheet(&sheet)?;
    Ok(Made {
        sheet,
        report,
        uncovered: ledger.uncovered(),
    })
}

/// Writes the three files into the folder `out`; returns their paths.
///
/// # Errors
///
/// [`ReportMakeError::Write`].
pub fn write(report: &Report, out: &Path) -> Result<Vec<PathBuf>, ReportMakeError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |error| ReportMakeError::Write { path, error }
    };
    fs::create_dir_all(out).map_err(failed(out))?;
    let mut paths = Vec::new();
    for (name, bytes) in report.files() {
        let path = out.join(name);
        fs::write(&path, bytes).map_err(failed(&path))?;
        paths.push(path);
    }
    Ok(paths)
}
