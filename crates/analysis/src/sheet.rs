//! The sheet: findings as they are printed. CSV, JSON and HTML are three ways to lay out this one
//! value, so that they cannot disagree. A serialized field is a promise: names stay.

mod endpoint;

use serde::Serialize;
use skep_evidence::{
    clock::UtcInterval,
    grade::{Claimed, Delivered, Grade, Joined, Reached, Sentences, Verified, Whole},
};
use skep_hash::Sha256Digest;

pub use endpoint::{
    Claim, EndpointRow, Failure, GainRow, PieceRow, ShareRow, Source, Violation, VisitRow,
};

use crate::{
    finding::{Findings, Run, Swarm},
    rule::{self, When},
    text, utc,
};

/// What a report made from a ledger alone says beside every verified portion.
pub const NOT_HASHED_AGAIN: &str = "recorded as verified, not hashed again here";

/// Name and version of the layout: of what the report's files say, in which words and order. Whoever
/// changes a byte that is printed for the same records raises the version, since a bundle's report is
/// compared byte for byte with the one that a verifier makes.
pub const LAYOUT: &str = "skep-report 4";

/// What the dagger behind a time means.
pub const UNSYNCHRONISED: &str = "† The kernel called the observer's clock unsynchronised: the time is \
                                  only what that clock said.";

/// The ledger that a report is made from.
#[derive(Debug, Clone)]
pub struct Ledger {
    /// Its name: the origin line of its checkpoints.
    pub origin: String,
    /// How many records it has.
    pub size: u64,
    /// The root of its tree.
    pub root: Sha256Digest,
}

/// A report's content.
#[derive(Debug, Serialize)]
pub struct Sheet {
    /// Name and version of this layout.
    pub format: &'static str,
    /// What a reader of any number here must know.
    pub note: &'static str,
    /// Where the records come from.
    pub ledger: LedgerRow,
    /// The first and the last instant of any record.
    pub span: Option<Span>,
    /// Runs.
    pub runs: Vec<RunRow>,
    /// Swarms.
    pub swarms: Vec<SwarmRow>,
    /// Connections that came in and named no swarm that was watched.
    pub strays: Vec<EndpointRow>,
    /// How many records no rule reads, and which.
    pub records_not_read: String,
    /// What each grade shows and does not show.
    pub grades: Vec<GradeRow>,
    /// The rules by which values follow from records.
    pub rules: Vec<RuleRow>,
}

/// The ledger's identity.
#[derive(Debug, Serialize)]
pub struct LedgerRow {
    /// Its name.
    pub origin: String,
    /// How many records.
    pub records: u64,
    /// Root of the tree, hexadecimal.
    pub root: String,
}

/// A span of time.
#[derive(Debug, Serialize)]
pub struct Span {
    /// The first record.
    pub from: Time,
    /// The last record.
    pub to: Time,
    /// From the one to the other, in words.
    pub duration: String,
    /// How far all times of a run may be off together, in words.
    pub clock_error: String,
    /// For drawings: microseconds since 1970.
    #[serde(skip)]
    pub us: (i64, i64),
}

impl Span {
    fn of((from, to): (When, When)) -> Self {
        let us = (utc::middle_us(from.utc), utc::middle_us(to.utc));
        let width = |when: When| when.utc.latest_us - when.utc.earliest_us;
        Self {
            from: from.into(),
            to: to.into(),
            duration: utc::duration(us.1 - us.0),
            clock_error: utc::duration(width(from).max(width(to)).saturating_add(1) / 2),
            us,
        }
    }
}

/// A time with its interval, its clock and the record that it was read from.
#[derive(Debug, Clone, Serialize)]
pub struct Time {
    /// Not before, UTC.
    pub earliest: String,
    /// Not after, UTC.
    pub latest: String,
    /// `synchronised`, or `unsynchronised`: then the interval is only what that clock said.
    pub clock: &'static str,
    /// The run.
    pub run: u32,
    /// The record's place in the ledger.
    pub record: u64,
    /// The interval itself.
    #[serde(skip)]
    pub utc: UtcInterval,
}

impl From<When> for Time {
    fn from(when: When) -> Self {
        Self {
            earliest: utc::rfc3339(when.utc.earliest_us),
            latest: utc::rfc3339(when.utc.latest_us),
            clock: utc::state(when.utc),
            run: when.run,
            record: when.index,
            utc: when.utc,
        }
    }
}

impl Time {
    /// `2012-03-30 10:15:00.123 ± 0.004 s`, for people; a dagger where the clock was
    /// unsynchronised, which pages explain ([`UNSYNCHRONISED`]).
    pub fn text(&self) -> String {
        let text = utc::plus_minus(self.utc);
        if self.utc.synchronised {
            text
        } else {
            format!("{text}\u{a0}†")
        }
    }

    /// `10:15:00`, for narrow columns that stand beside a full time.
    pub fn short(&self) -> String {
        let us = utc::middle_us(self.utc);
        format!("{} {}", utc::date(us), utc::clock(us))
    }
}

/// A run and its commitments.
#[derive(Debug, Serialize)]
pub struct RunRow {
    /// Its number.
    pub run: u32,
    /// When it began.
    pub started: Option<Time>,
    /// When it ended as planned; absent if it was cut off, or was going on when the report was made.
    pub ended: Option<Time>,
    /// Whether a crash cut it off, as was found when the ledger was opened again.
    pub crashed: bool,
    /// The last record.
    pub last_record: Time,
    /// The observer's name.
    pub observer: Option<String>,
    /// The observer's version.
    pub version: Option<String>,
    /// Build inputs.
    pub build: Option<String>,
    /// SHA-256 of the observer's binary.
    pub binary_sha256: Option<String>,
    /// SHA-256 of the configuration.
    pub config_sha256: Option<String>,
    /// SHA-256 of each torrent file.
    pub torrents_sha256: Vec<String>,
    /// How the clock stood, in sentences.
    pub clock: String,
    /// Clock samples.
    pub clock_samples: u64,
    /// Of these with a synchronised clock.
    pub clock_samples_synchronised: u64,
    /// Greatest stated error of these, in microseconds.
    pub clock_error_us_max: u64,
    /// Clock samples that contradict the one before: the clock was set in between.
    pub clock_steps: u64,
    /// When the observer was stalled, as a sentence; absent if it was not.
    pub stalled: Option<String>,
    /// How often it was.
    pub stalls: u64,
    /// How long in all, in microseconds.
    pub stalled_us: u64,
    /// Length of the journal that the last mark commits to.
    pub journal_bytes: Option<u64>,
    /// Its SHA-256.
    pub journal_sha256: Option<String>,
    /// Length of the capture that the last mark commits to.
    pub capture_bytes: Option<u64>,
    /// Its SHA-256.
    pub capture_sha256: Option<String>,
    /// What a crash cut, as a sentence.
    pub cut: Option<String>,
    /// Limits that were reached.
    pub limits: Vec<String>,
}

/// A swarm and its exhibit.
#[derive(Debug, Serialize)]
pub struct SwarmRow {
    /// Info-hash, hexadecimal.
    pub info_hash: String,
    /// The torrent's name, as the torrent has it (escapes for characters that do not print).
    pub name: String,
    /// Size of the content in bytes.
    pub size_bytes: u64,
    /// Piece length in bytes.
    pub piece_bytes: u32,
    /// Number of pieces.
    pub pieces: u32,
    /// SHA-256 of the torrent file.
    pub torrent_sha256: String,
    /// How many endpoints have each grade as their highest.
    pub grade_counts: Vec<GradeCount>,
    /// Trackers.
    pub trackers: Vec<TrackerRow>,
    /// The exhibit.
    pub endpoints: Vec<EndpointRow>,
}

impl SwarmRow {
    /// The size with a unit.
    pub fn size_text(&self) -> String {
        text::size(self.size_bytes)
    }

    /// The piece length with a unit.
    pub fn piece_text(&self) -> String {
        text::size(self.piece_bytes.into())
    }

    /// Whether any time of the exhibit rests on an unsynchronised clock.
    pub fn unsynchronised(&self) -> bool {
        let times = self.endpoints.iter().flat_map(|row| {
            [
                &row.first_named,
                &row.first_heard,
                &row.last_heard,
                &row.last_connected,
            ]
        });
        times.flatten().any(|time| !time.utc.synchronised)
    }

    /// Endpoints that something came from.
    pub fn answered(&self) -> Vec<&EndpointRow> {
        self.endpoints
            .iter()
            .filter(|row| row.grade != Grade::Listed)
            .collect()
    }

    /// Endpoints that nothing ever came from.
    pub fn silent(&self) -> Vec<&EndpointRow> {
        self.endpoints
            .iter()
            .filter(|row| row.grade == Grade::Listed)
            .collect()
    }
}

/// How many endpoints have a grade as their highest.
#[derive(Debug, Serialize)]
pub struct GradeCount {
    /// The grade.
    pub grade: Grade,
    /// Endpoints.
    pub endpoints: u64,
}

/// A tracker.
#[derive(Debug, Serialize)]
pub struct TrackerRow {
    /// Its URL, as the torrent has it.
    pub url: String,
    /// Questions.
    pub asked: u64,
    /// Answers.
    pub answered: u64,
    /// Failures.
    pub failed: u64,
    /// Most endpoints in one answer.
    pub endpoints_max: u32,
    /// Complete peers, as it last said.
    pub says_complete: Option<u32>,
    /// Incomplete peers, as it last said.
    pub says_incomplete: Option<u32>,
    /// When it was first asked.
    pub first_asked: Option<Time>,
    /// When it last answered.
    pub last_answer: Option<Time>,
    /// When it last failed.
    pub last_failure: Option<Time>,
    /// What was wrong then.
    pub last_failure_reason: Option<String>,
    /// The records.
    pub records: String,
}

/// A grade in words.
#[derive(Debug, Serialize)]
pub struct GradeRow {
    /// The grade.
    pub grade: Grade,
    /// What it shows.
    pub shows: &'static str,
    /// What it does not show.
    pub does_not_show: &'static str,
}

/// A rule in words.
#[derive(Debug, Serialize)]
pub struct RuleRow {
    /// Its name.
    pub rule: &'static str,
    /// What it makes of which records.
    pub says: &'static str,
    /// What must not be read into it.
    pub does_not_show: &'static str,
}

/// What each grade shows and does not show.
pub fn grade_rows() -> Vec<GradeRow> {
    fn row<G: Sentences>() -> GradeRow {
        GradeRow {
            grade: G::GRADE,
            shows: G::SHOWS,
            does_not_show: G::DOES_NOT_SHOW,
        }
    }
    let listed = GradeRow {
        grade: Grade::Listed,
        shows: "A tracker, a peer or the operator named this address and port, and nothing ever came \
                from it.",
        does_not_show: "It does not show that anything was ever there. Trackers and peers can name any \
                        address, and some do.",
    };
    vec![
        listed,
        row::<Reached>(),
        row::<Joined>(),
        row::<Claimed>(),
        row::<Delivered>(),
        row::<Verified>(),
        row::<Whole>(),
    ]
}

impl Sheet {
    /// Lays `findings` of `ledger` out.
    pub fn of(findings: &Findings, ledger: &Ledger) -> Self {
        let rule = |rule: &&rule::Rule| RuleRow {
            rule: rule.name,
            says: rule.says,
            does_not_show: rule.does_not_show,
        };
        Self {
            format: LAYOUT,
            note: "Made from the ledger alone. Grades are recorded statements, not checked again here; \
                   a verified portion is recorded as verified, not hashed again here. What endpoints, \
                   trackers and torrents say of themselves is a claim. The command skep verify on the \
                   bundle checks every statement against the retained bytes.",
            ledger: LedgerRow {
                origin: text::plain(&ledger.origin),
                records: ledger.size,
                root: ledger.root.to_string(),
            },
            span: findings.span().map(Span::of),
            runs: findings.runs.iter().map(run).collect(),
            swarms: findings.swarms.iter().map(swarm).collect(),
            strays: findings.strays.iter().map(EndpointRow::of).collect(),
            records_not_read: text::ranges(&findings.unread),
            grades: grade_rows(),
            rules: rule::ALL.iter().map(rule).collect(),
        }
    }
}

fn run(run: &Run) -> RunRow {
    let started = run.started.as_ref();
    let mark = run.last_mark;
    let clock = run.clock.value;
    RunRow {
        run: run.number,
        started: started.map(|started| started.when.into()),
        ended: run.ended.map(Time::from),
        crashed: run.cut.is_some(),
        last_record: run.last.into(),
        observer: started.map(|started| text::plain(&started.observer)),
        version: started.map(|started| text::plain(&started.version)),
        build: started.map(|started| text::plain(&started.build)),
        binary_sha256: started.map(|started| started.binary.to_string()),
        config_sha256: started.map(|started| started.config.to_string()),
        torrents_sha256: started
            .map(|started| started.targets.iter().map(ToString::to_string).collect())
            .unwrap_or_default(),
        clock: format!("{}{}", clock_sentence(clock), step_sentence(clock)),
        clock_samples: clock.samples,
        clock_samples_synchronised: clock.synchronised,
        clock_error_us_max: clock.error_us_max,
        clock_steps: clock.steps,
        stalled: stall_sentence(&run.stalls.value),
        stalls: run.stalls.value.count,
        stalled_us: micros(run.stalls.value.total).unsigned_abs(),
        journal_bytes: mark.map(|mark| mark.journal_len),
        journal_sha256: mark.map(|mark| mark.journal.to_string()),
        capture_bytes: mark.map(|mark| mark.capture_len),
        capture_sha256: mark.map(|mark| mark.capture.to_string()),
        cut: run.cut.map(|(_, [journal, capture, ledger])| {
            format!(
                "After a crash {journal} bytes of the journal, {capture} of the capture and {ledger} of the \
                 ledger's unsealed tail were cut; none of them had been acknowledged."
            )
        }),
        limits: run
            .limits
            .iter()
            .map(|(when, limit, value)| {
                format!("{} ({value}) at record {}", text::plain(limit), when.index)
            })
            .collect(),
    }
}

fn micros(time: std::time::Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

fn stall_sentence(stalls: &rule::stall::Stalls) -> Option<String> {
    let (longest, until) = stalls.longest?;
    let often = match stalls.count {
        1 => "once".to_owned(),
        count => format!("{count} times"),
    };
    Some(format!(
        "Nothing was done though something was due: {often}, {} in all, at longest {} until {} (record {}). \
         What was read after such a gap may have come at any time in it.",
        utc::duration(micros(stalls.total)),
        utc::duration(micros(longest)),
        utc::plus_minus(until.utc),
        until.index
    ))
}

fn clock_sentence(clock: rule::clock::ClockState) -> String {
    let error_ms = clock.error_us_max.div_ceil(1_000);
    match (clock.samples, clock.synchronised) {
        (0, _) => {
            "No clock sample is recorded: times are what the records say, without a stated error."
                .into()
        }
        (samples, 0) => format!(
            "The kernel called the clock unsynchronised at all {samples} samples: times are only what \
             that clock said."
        ),
        (samples, synchronised) if samples == synchronised => format!(
            "The kernel called the clock synchronised at all {samples} samples; greatest stated error \
             {error_ms} ms."
        ),
        (samples, synchronised) => format!(
            "The kernel called the clock synchronised at {synchronised} of {samples} samples; greatest \
             stated error at these {error_ms} ms. Rows say which times rest on the others."
        ),
    }
}

/// Says that the clock was set, where it was: then times on either side of it do not compare.
fn step_sentence(clock: rule::clock::ClockState) -> String {
    match clock.steps {
        0 => String::new(),
        steps => format!(
            " The clock was set while the run went on: {steps} of the samples contradict the one before, \
             by {} at most beyond the stated errors. Times before and after it do not compare; order and \
             distances within the run are the monotonic clock's, which every record holds.",
            utc::duration(i64::try_from(clock.step_us_max).unwrap_or(i64::MAX))
        ),
    }
}

fn swarm(swarm: &Swarm) -> SwarmRow {
    let count = |&grade: &Grade| GradeCount {
        grade,
        endpoints: swarm
            .endpoints
            .iter()
            .filter(|row| row.grade.value == grade)
            .count() as u64,
    };
    SwarmRow {
        info_hash: swarm.info_hash.to_string(),
        name: text::plain(&swarm.name),
        size_bytes: swarm.size_bytes,
        piece_bytes: swarm.piece_len,
        pieces: swarm.piece_count,
        torrent_sha256: swarm.torrent.to_string(),
        grade_counts: Grade::ALL.iter().map(count).collect(),
        trackers: swarm.trackers.iter().map(tracker).collect(),
        endpoints: swarm.endpoints.iter().map(EndpointRow::of).collect(),
    }
}

fn tracker(
    (url, answers): &(String, skep_wire::Derived<rule::tracker::TrackerAnswers>),
) -> TrackerRow {
    let found = &answers.value;
    TrackerRow {
        url: text::plain(url),
        asked: found.asked,
        answered: found.answered,
        failed: found.failed,
        endpoints_max: found.peers_max,
        says_complete: found.complete,
        says_incomplete: found.incomplete,
        first_asked: found.first.map(Time::from),
        last_answer: found.last_answer.map(Time::from),
        last_failure: found.last_failure.as_ref().map(|(when, _)| (*when).into()),
        last_failure_reason: found
            .last_failure
            .as_ref()
            .map(|(_, error)| text::plain(error)),
        records: text::ranges(&answers.inputs),
    }
}
