//! What a bundle has to hold: chosen when one is made, checked when one is read.

use std::collections::{BTreeMap, BTreeSet};

use skep_analysis::{report::Report, sheet::Ledger};
use skep_evidence::{
    bundle::{Bundle, MANIFEST, README, Source, VKEY},
    file::Files,
    ledger::{LedgerReader, VerifierKey},
    record::{Body, Record},
};
use skep_hash::Sha256Digest;

use crate::{Failure, operator_key, read_records};

/// Greatest length of a key file.
pub(crate) const TEXT_LEN_MAX: u64 = 65_536;
/// Greatest length of a blob: a torrent file, which may have 64 MiB, or a configuration.
pub const BLOB_LEN_MAX: u64 = 64 << 20;
/// Greatest length of a journal that is read: it is held in memory whole. An entry has about 100
/// bytes, so this is a run of ten million of them.
pub const JOURNAL_LEN_MAX: u64 = 1 << 30;

/// Path of a run's journal.
pub fn journal_path(run: u32) -> String {
    format!("runs/{run:04}/journal")
}

/// Path of a run's capture.
pub fn capture_path(run: u32) -> String {
    format!("runs/{run:04}/capture.pcapng")
}

/// Path of a blob.
pub fn blob_path(digest: &Sha256Digest) -> String {
    format!("blobs/{digest}")
}

/// Path of a report's file.
pub fn report_path(name: &str) -> String {
    format!("report/{name}")
}

/// What the last mark of a run covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Covered {
    pub(crate) journal_len: u64,
    pub(crate) capture_len: u64,
}

/// What each run's last mark covers; runs without a mark have committed to nothing but themselves.
pub(crate) fn covered(records: &[(u64, Record)]) -> BTreeMap<u32, Covered> {
    let mark = |(_, record): &(u64, Record)| match record.body {
        Body::Mark {
            journal_len,
            capture_len,
            ..
        } => Some((
            record.run,
            Covered {
                journal_len,
                capture_len,
            },
        )),
        _ => None,
    };
    records.iter().filter_map(mark).collect()
}

/// The blobs that records name.
fn blobs(records: &[(u64, Record)]) -> BTreeSet<Sha256Digest> {
    let named = |(_, record): &(u64, Record)| match &record.body {
        Body::RunStarted {
            config, targets, ..
        } => {
            let mut named = targets.clone();
            named.push(*config);
            named
        }
        _ => Vec::new(),
    };
    records.iter().flat_map(named).collect()
}

/// The files of an observation that go into a bundle, and the report that goes with them.
#[derive(Debug)]
pub struct Selection {
    /// Paths, the same in folder and bundle, and how many bytes of each.
    pub files: Vec<(String, u64)>,
    /// The report.
    pub report: Report,
    /// How many records the checkpoint covers.
    pub records: u64,
    /// How many more are not signed yet, and stay behind.
    pub uncovered: u64,
}

/// Chooses what a bundle of the observation in `files` holds: everything that its last checkpoint
/// covers. What was written after it stays behind.
///
/// # Errors
///
/// [`Failure`] if the ledger does not hold or a part is missing.
pub fn select(files: &dyn Files) -> Result<Selection, Failure> {
    let key = operator_key(files)?;
    let ledger = LedgerReader::open(files, &key)?;
    let records = read_records(files, &ledger)?;
    ends_with_mark(&records)?;
    let report = make_report(&records, &ledger, &key)?;
    let mut chosen: Vec<(String, u64)> = Vec::new();
    let mut paths = ledger.paths();
    paths.push(VKEY.to_owned());
    paths.extend(blobs(&records).iter().map(blob_path));
    for path in paths {
        let len = files
            .len(&path)?
            .ok_or_else(|| Failure::Missing { path: path.clone() })?;
        chosen.push((path, len));
    }
    for (run, covered) in covered(&records) {
        for (path, len) in [
            (journal_path(run), covered.journal_len),
            (capture_path(run), covered.capture_len),
        ] {
            if files.len(&path)?.is_none_or(|there| there < len) {
                return Err(Failure::Missing { path });
            }
            chosen.push((path, len));
        }
    }
    Ok(Selection {
        files: chosen,
        report,
        records: ledger.size(),
        uncovered: ledger.uncovered(),
    })
}

/// Records after a run's last mark could not be replayed from what the mark covers. A ledger that
/// is opened again puts a mark behind them.
fn ends_with_mark(records: &[(u64, Record)]) -> Result<(), Failure> {
    let mut at = records.iter().peekable();
    while let Some((index, record)) = at.next() {
        let last = at.peek().is_none_or(|(_, next)| next.run != record.run);
        if last && !matches!(record.body, Body::Mark { .. } | Body::RunStarted { .. }) {
            let (kind, run) = (record.body.kind().to_owned(), record.run);
            let why =
                "the last record of a run is a mark; let the observation go on, or open it again";
            return Err(Failure::Place {
                index: *index,
                kind,
                run,
                why,
            });
        }
    }
    Ok(())
}

/// The report of the records that the checkpoint covers.
pub(crate) fn make_report(
    records: &[(u64, Record)],
    ledger: &LedgerReader,
    key: &VerifierKey,
) -> Result<Report, Failure> {
    let ledger = Ledger {
        origin: key.name().to_owned(),
        size: ledger.size(),
        root: ledger.root(),
    };
    Ok(Report::of(records, &ledger)?)
}

/// Checks that a bundle holds what [`select`] chooses and nothing else, and that each blob has its
/// digest as its name. Returns how many blobs there are.
pub(crate) fn check(
    bundle: &Bundle<impl Source>,
    ledger: &LedgerReader,
    records: &[(u64, Record)],
) -> Result<usize, Failure> {
    let blobs = blobs(records);
    let mut expected: BTreeSet<String> = ledger.paths().into_iter().collect();
    expected.extend([MANIFEST, README, VKEY].map(str::to_owned));
    expected.extend(blobs.iter().map(blob_path));
    for run in covered(records).keys() {
        expected.extend([journal_path(*run), capture_path(*run)]);
    }
    let names = [
        skep_analysis::report::CSV_NAME,
        skep_analysis::report::JSON_NAME,
        skep_analysis::report::HTML_NAME,
    ];
    expected.extend(names.map(report_path));
    for (path, _) in bundle.paths() {
        if !expected.remove(path) {
            return Err(Failure::Unexpected {
                path: path.to_owned(),
            });
        }
    }
    if let Some(path) = expected.pop_first() {
        return Err(Failure::Missing { path });
    }
    for digest in &blobs {
        let path = blob_path(digest);
        let got = bundle.digest(&path)?;
        if got != *digest {
            return Err(Failure::Blob { path, got });
        }
    }
    Ok(blobs.len())
}
