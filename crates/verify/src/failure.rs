//! Why a bundle does not verify: one variant a cause, each naming the part and, where there is one,
//! the record.

use skep_analysis::report::ReportError;
use skep_evidence::{
    bundle::BundleError,
    capture::CaptureError,
    file::FileError,
    grade::CheckFailed,
    journal::JournalError,
    ledger::{KeyError, LedgerError, PolicyUnmet},
    record::RecordError,
};
use skep_hash::Sha256Digest;
use skep_observe::{ConfigError, Fault};
use skep_wire::{Moment, metainfo::MetainfoError};

/// Why a bundle does not verify.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The archive or its manifest.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// A part cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// A part is missing.
    #[error("{path} is missing")]
    Missing {
        /// Its path.
        path: String,
    },
    /// A text file is not as its only writer writes it.
    #[error("{path} is not in its only form")]
    Text {
        /// Its path.
        path: String,
    },
    /// The operator's key is none.
    #[error("operator.vkey: {0}")]
    Key(#[from] KeyError),
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The policy does not accept the checkpoint.
    #[error("policy: {0}")]
    Policy(#[from] PolicyUnmet),
    /// A record does not decode.
    #[error("record {index}: {error}")]
    Record {
        /// Its place in the ledger.
        index: u64,
        /// What is wrong.
        error: RecordError,
    },
    /// A file that belongs to nothing.
    #[error("{path} belongs to no record, run or report")]
    Unexpected {
        /// Its path.
        path: String,
    },
    /// A blob whose name is not its digest.
    #[error("{path} hashes to {got}")]
    Blob {
        /// Its path.
        path: String,
        /// Its digest.
        got: Sha256Digest,
    },
    /// A record that cannot stand where it does.
    #[error("record {index} ({kind}) of run {run} cannot stand here: {why}")]
    Place {
        /// Its place in the ledger.
        index: u64,
        /// Its kind.
        kind: String,
        /// Its run.
        run: u32,
        /// Why not.
        why: &'static str,
    },
    /// A record of the driver's with a field that its kind does not have: nothing compares it.
    #[error("record {index} ({kind}) holds the field {field}, which no record of its kind has")]
    UnknownField {
        /// The record's place.
        index: u64,
        /// Its kind.
        kind: String,
        /// The field.
        field: String,
    },
    /// The observer named in the first record is not the ledger's.
    #[error("record {index} names the observer {got:?}, the ledger is of {expected:?}")]
    Observer {
        /// The record's place.
        index: u64,
        /// What it names.
        got: String,
        /// The ledger's name.
        expected: String,
    },
    /// The configuration does not decode.
    #[error("configuration of run {run}: {error}")]
    Config {
        /// The run.
        run: u32,
        /// What is wrong.
        error: ConfigError,
    },
    /// The configuration is another run's.
    #[error("configuration of run {run} is made for run {got}")]
    ConfigRun {
        /// The run.
        run: u32,
        /// What it says.
        got: u32,
    },
    /// A torrent file does not decode.
    #[error("torrent file {digest} of run {run}: {error}")]
    Torrent {
        /// The run.
        run: u32,
        /// The blob.
        digest: Sha256Digest,
        /// What is wrong.
        error: MetainfoError,
    },
    /// A file has another length or digest than a mark says.
    #[error("{path}: record {index} (mark) says {said}, there is {got}")]
    Mark {
        /// The record's place.
        index: u64,
        /// The file.
        path: String,
        /// Length and digest that the mark says.
        said: String,
        /// What there is.
        got: String,
    },
    /// A mark's journal length is inside a frame.
    #[error("{path}: record {index} (mark) ends inside the entry before {offset}")]
    MarkInside {
        /// The record's place.
        index: u64,
        /// The file.
        path: String,
        /// Where the next frame begins.
        offset: u64,
    },
    /// Bytes after the last mark.
    #[error("{path} has {got} bytes, the last mark of the run covers {covered}")]
    Uncovered {
        /// The file.
        path: String,
        /// Its length.
        got: u64,
        /// How much is covered.
        covered: u64,
    },
    /// A clock sample that no clock gave: it was read before its entry, and its end not before its
    /// beginning.
    #[error(
        "{path}: entry at {entry}: the clock was read between {before} and {after} ns, and the entry is of {at} ns"
    )]
    ClockSample {
        /// The file.
        path: String,
        /// Offset of the entry.
        entry: u64,
        /// Run time before the reading, in nanoseconds.
        before: u64,
        /// After it.
        after: u64,
        /// Of the entry.
        at: u64,
    },
    /// A frame of the journal.
    #[error("{path}: {error}")]
    Journal {
        /// The file.
        path: String,
        /// What is wrong.
        error: JournalError,
    },
    /// The capture cannot be read or rendered where an entry points.
    #[error("{path}: entry at {entry} of the journal: {error}")]
    Capture {
        /// The capture.
        path: String,
        /// The entry's offset in the journal.
        entry: u64,
        /// What is wrong.
        error: CaptureError,
    },
    /// The capture is another than the one rendered.
    #[error("{path} differs at {offset} from what journal and bytes render")]
    CaptureDiffers {
        /// The capture.
        path: String,
        /// The first byte that differs.
        offset: u64,
    },
    /// An entry that no run can have there.
    #[error("{path}: entry at {entry}: {fault}")]
    Fault {
        /// The journal.
        path: String,
        /// The entry's offset.
        entry: u64,
        /// What is wrong.
        fault: Fault,
    },
    /// A record says something else than the replay.
    #[error(
        "record {index} ({kind}): field {field} is {ledger} in the ledger, the replay makes {replay}"
    )]
    RecordDiffers {
        /// Its place in the ledger.
        index: u64,
        /// Its kind.
        kind: String,
        /// The field.
        field: String,
        /// What the ledger says.
        ledger: String,
        /// What the replay makes.
        replay: String,
    },
    /// A record that the replay makes is left out.
    #[error(
        "left out at place {index} of the ledger: the replay makes {replay} here, the ledger has {ledger}"
    )]
    LeftOut {
        /// Where it should stand.
        index: u64,
        /// What the replay makes.
        replay: String,
        /// What stands there.
        ledger: String,
    },
    /// A record that the replay does not make.
    #[error("record {index} ({ledger}) does not follow from journal and capture")]
    NotMade {
        /// Its place in the ledger.
        index: u64,
        /// What it says.
        ledger: String,
    },
    /// An attempt without its outcome.
    #[error(
        "left out: record {index} attempts connection {conn} to {remote}; its outcome was due by {due:?}, \
         and the journal goes on at {at:?} without one"
    )]
    NoOutcome {
        /// The record of the attempt.
        index: u64,
        /// The connection.
        conn: u32,
        /// To where.
        remote: String,
        /// When its outcome was due.
        due: Moment,
        /// The moment of the entry that stands there instead.
        at: Moment,
    },
    /// Bytes that are said to be sent were never queued.
    #[error(
        "{path}: entry at {entry}: bytes sent on connection {conn} are not those that the machine queued"
    )]
    NotQueued {
        /// The journal.
        path: String,
        /// The entry's offset.
        entry: u64,
        /// The connection.
        conn: u32,
    },
    /// The observer uploaded.
    #[error("{path}: a piece message was sent on connection {conn}: the observer uploads nothing")]
    PayloadSent {
        /// The capture.
        path: String,
        /// The connection.
        conn: u32,
    },
    /// A passage that a record points at has another digest, or is not there.
    #[error(
        "record {index}: the {len} bytes that it points at, from {offset} of the capture on, {what}"
    )]
    Passage {
        /// The record's place.
        index: u64,
        /// Where in the capture.
        offset: u64,
        /// How many bytes.
        len: u32,
        /// What is wrong.
        what: String,
    },
    /// A grade does not hold when it is checked from the bytes.
    #[error(transparent)]
    Grade(#[from] CheckFailed),
    /// A grade for which the capture has no bytes.
    #[error("record {index}: {what}")]
    NoBytes {
        /// The record's place.
        index: u64,
        /// What is missing.
        what: String,
    },
    /// A report is another than the one made from the records.
    #[error("{path} differs at {offset} from the one made from the records")]
    Report {
        /// The file.
        path: String,
        /// The first byte that differs.
        offset: u64,
    },
    /// The report was laid out by another version of this program: it may hold, and cannot be compared.
    #[error(
        "{path}: the report was made by layout \"{made}\", this build checks layout \"{ours}\": verify with \
         that version, or make the report again"
    )]
    ReportLayout {
        /// The file that says so.
        path: String,
        /// The layout that it names.
        made: String,
        /// The layout that this build makes.
        ours: &'static str,
    },
    /// The report cannot be made.
    #[error("report: {0}")]
    ReportMade(String),
}

impl From<ReportError> for Failure {
    fn from(error: ReportError) -> Self {
        Self::ReportMade(error.to_string())
    }
}

impl Failure {
    /// Whether it is not the bundle that is wrong but the system that would not let it be read.
    pub fn is_surroundings(&self) -> bool {
        let file = match self {
            Self::File(error)
            | Self::Bundle(BundleError::File(error))
            | Self::Ledger(LedgerError::File(error)) => error,
            _ => return false,
        };
        file.errno.is_some()
    }
}
