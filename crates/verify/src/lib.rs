//! Every check of a bundle: what is in it is not believed but done again.
//!
//! What it is: a pure function from a bundle's bytes to an [`Outcome`], statement by statement: what
//! was checked, what could not be, and what it does not show. It takes no signature for truth: every
//! run is replayed from journal and capture through the observer machine, and every record, every
//! byte sent and every byte of the capture and of the reports is compared with what comes out.
//! What it is not: it opens no file, asks nobody, and knows no key but the ones it is given.
//!
//! How it works: the archive and its manifest (`skep_evidence::bundle`), the ledger with its tiles and
//! its signature (`skep_evidence::ledger`), [`contents`] (nothing is missing, nothing
//! is left over), [`replay`] (journal and capture through the machine against the records), [`listen`]
//! (the retained bytes read and hashed again by code that knows nothing of the machine), and the
//! reports. A check that fails ends the work: what comes after it would rest on it.

pub mod check;
pub mod contents;
pub mod failure;
pub mod listen;
pub mod outcomes;
pub mod replay;
pub mod stream;

/// What a caller implements to give a bundle's bytes.
pub mod source {
    pub use skep_evidence::{bundle::Source, file::FileError};
}

mod run;

use skep_analysis::{
    report::{JSON_NAME, Report, layout_of},
    sheet::LAYOUT,
};
use skep_evidence::{
    bundle::{Bundle, Source, VKEY},
    file::Files,
    ledger::{LedgerReader, VerifierKey},
    record::Record,
};

pub use check::{Check, Outcome, Verdict};
pub use contents::{Selection, select};
pub use failure::Failure;
pub use skep_evidence::ledger::{Policy, PolicyError};

use crate::{contents::TEXT_LEN_MAX, run::Ledgered};

/// Checks a bundle.
pub fn verify(source: impl Source, policy: Option<&Policy>) -> Outcome {
    let mut outcome = Outcome::new(policy.is_some());
    if let Err(failure) = checks(source, policy, &mut outcome) {
        outcome.fail(failure);
    }
    outcome
}

fn checks(
    source: impl Source,
    policy: Option<&Policy>,
    outcome: &mut Outcome,
) -> Result<(), Failure> {
    outcome.begin(&check::CONTAINER);
    let bundle = Bundle::open(source)?;
    outcome.holds(format!("{} files", bundle.paths().count()));

    outcome.begin(&check::MANIFEST);
    let covered = bundle.check_manifest()?;
    outcome.holds(format!("{covered} files hash as MANIFEST says"));

    outcome.begin(&check::SIGNATURE);
    let key = operator_key(&bundle)?;
    let ledger = LedgerReader::open(&bundle, &key)?;
    let (size, root) = (ledger.size(), ledger.root());
    outcome.holds(format!(
        "{size} records, root {root}, signed by {}",
        key.encode()
    ));

    if let Some(policy) = policy {
        outcome.begin(&check::POLICY);
        outcome.holds(judge(policy, &ledger)?);
    }

    outcome.begin(&check::RECORDS);
    let records = read_records(&bundle, &ledger)?;
    outcome.holds(format!(
        "{} records, each in its only encoding",
        records.len()
    ));

    outcome.begin(&check::CONTENTS);
    let blobs = contents::check(&bundle, &ledger, &records)?;
    outcome.holds(format!(
        "{blobs} blobs named by their digests; nothing missing, nothing more"
    ));

    let ledgered = Ledgered {
        files: &bundle,
        records: &records,
        observer: key.name(),
    };
    run::check_all(&ledgered, outcome)?;

    outcome.begin(&check::REPORT);
    let report = contents::make_report(&records, &ledger, &key)?;
    outcome.holds(check_report(&bundle, &report)?);
    Ok(())
}

fn operator_key(files: &dyn Files) -> Result<VerifierKey, Failure> {
    let missing = || Failure::Missing {
        path: VKEY.to_owned(),
    };
    let text = files.read(VKEY, TEXT_LEN_MAX)?.ok_or_else(missing)?;
    let text = String::from_utf8(text).map_err(|_| Failure::Text {
        path: VKEY.to_owned(),
    })?;
    let key = VerifierKey::parse(&text)?;
    // One key, one text: the newline at the end included.
    if format!("{}\n", key.encode()) != text {
        return Err(Failure::Text {
            path: VKEY.to_owned(),
        });
    }
    Ok(key)
}

/// Every record that the checkpoint covers, with its place.
fn read_records(files: &dyn Files, ledger: &LedgerReader) -> Result<Vec<(u64, Record)>, Failure> {
    let mut records = Vec::new();
    for entry in ledger.records(files) {
        let (index, bytes) = entry?;
        if index >= ledger.size() {
            break;
        }
        let record = Record::decode(&bytes).map_err(|error| Failure::Record { index, error })?;
        records.push((index, record));
    }
    Ok(records)
}

fn judge(policy: &Policy, ledger: &LedgerReader) -> Result<String, Failure> {
    let found = policy.check(ledger.checkpoint())?;
    let witnesses = found.witnesses.len();
    let asked = if found.quorum_none {
        "it asks for no witness"
    } else {
        "its quorum is reached"
    };
    Ok(format!(
        "signed by {}, which your policy names; {witnesses} witnesses, {asked}",
        found.log
    ))
}

/// How many bytes of a report are read to find its layout's name.
const LAYOUT_HEAD_LEN: usize = 64;

fn check_report(files: &dyn Files, report: &Report) -> Result<String, Failure> {
    let path = contents::report_path(JSON_NAME);
    let head = files.read_at(&path, 0, LAYOUT_HEAD_LEN)?;
    if let Some(made) = layout_of(&head).filter(|made| *made != LAYOUT) {
        let made = made.to_owned();
        return Err(Failure::ReportLayout {
            path,
            made,
            ours: LAYOUT,
        });
    }
    let made = report.files();
    for (name, expected) in made {
        let path = contents::report_path(name);
        let missing = || Failure::Missing { path: path.clone() };
        let got = files
            .read(&path, expected.len() as u64)?
            .ok_or_else(missing)?;
        if got != expected {
            let same = got
                .iter()
                .zip(expected)
                .take_while(|(got, made)| got == made)
                .count();
            return Err(Failure::Report {
                path,
                offset: same as u64,
            });
        }
    }
    Ok(format!(
        "{} files made again from the records, byte for byte",
        made.len()
    ))
}
