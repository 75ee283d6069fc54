//! The findings of a ledger: every rule applied to every run, swarm, tracker and endpoint.

use std::net::SocketAddr;

use skep_evidence::{
    grade::Grade,
    record::{Body, Record},
};
use skep_hash::Sha256Digest;
use skep_wire::{Derived, InfoHash, Said};

use crate::{
    group::{self, EndpointRecords, RunRecords, SwarmRecords},
    rule::{
        When,
        attempt::{self, Attempts},
        client::{self, Client},
        clock::{self, ClockState},
        completion,
        gain::{self, Gain},
        grade,
        naming::{self, Naming},
        portion::{self, Portions},
        presence::{self, Visit},
        share::{self, Share},
        stall::{self, Stalls},
        tracker::{self, TrackerAnswers},
    },
};

/// All findings.
#[derive(Debug)]
pub struct Findings {
    /// Runs, ascending.
    pub runs: Vec<Run>,
    /// Swarms in the order in which they were introduced.
    pub swarms: Vec<Swarm>,
    /// Connections that came in and named no swarm that was watched.
    pub strays: Vec<Endpoint>,
    /// How many records there are.
    pub records: u64,
    /// Records that no rule reads.
    pub unread: Vec<u64>,
}

/// A run and what it committed to before it asked anything.
#[derive(Debug)]
pub struct Run {
    /// Its number.
    pub number: u32,
    /// Its first commitment, unless the record is missing.
    pub started: Option<Started>,
    /// When it ended; `None` if it was cut off.
    pub ended: Option<When>,
    /// The last record of any kind.
    pub last: When,
    /// Clock samples.
    pub clock: Derived<ClockState>,
    /// When the observer was stalled.
    pub stalls: Derived<Stalls>,
    /// Marks that tie the journal and the capture to the ledger.
    pub marks: u64,
    /// The last of them.
    pub last_mark: Option<Mark>,
    /// Bytes of journal, capture and ledger that were cut after a crash.
    pub cut: Option<(When, [u64; 3])>,
    /// Limits that were reached, so that something was not kept or not followed.
    pub limits: Vec<(When, String, u64)>,
}

/// The commitments in `RunStarted`.
#[derive(Debug)]
pub struct Started {
    /// When.
    pub when: When,
    /// Version of the record format.
    pub format: u32,
    /// The observer's name: the origin line of its checkpoints.
    pub observer: String,
    /// Version of the observer.
    pub version: String,
    /// SHA-256 of the binary.
    pub binary: Sha256Digest,
    /// Build inputs.
    pub build: String,
    /// SHA-256 of the configuration.
    pub config: Sha256Digest,
    /// SHA-256 of each torrent file.
    pub targets: Vec<Sha256Digest>,
}

/// Length and digest of the files of a run.
#[derive(Debug, Clone, Copy)]
pub struct Mark {
    /// When.
    pub when: When,
    /// Journal length in bytes.
    pub journal_len: u64,
    /// SHA-256 of the journal.
    pub journal: Sha256Digest,
    /// Capture length in bytes.
    pub capture_len: u64,
    /// SHA-256 of the capture.
    pub capture: Sha256Digest,
}

/// A swarm.
#[derive(Debug)]
pub struct Swarm {
    /// The record that introduced it.
    pub introduced: When,
    /// Info-hash.
    pub info_hash: InfoHash,
    /// SHA-256 of the torrent file.
    pub torrent: Sha256Digest,
    /// Name in the torrent.
    pub name: String,
    /// Size of the content in bytes.
    pub size_bytes: u64,
    /// Piece length in bytes.
    pub piece_len: u32,
    /// Number of pieces.
    pub piece_count: u32,
    /// Trackers, by URL.
    pub trackers: Vec<(String, Derived<TrackerAnswers>)>,
    /// Endpoints, numbered from 1 in the order of their first records.
    pub endpoints: Vec<Endpoint>,
}

/// A row of the exhibit.
#[derive(Debug)]
pub struct Endpoint {
    /// Its number in the swarm, from 1.
    pub number: u64,
    /// Address and port.
    pub endpoint: SocketAddr,
    /// Whether it connected to us.
    pub incoming: bool,
    /// Its grade, as recorded.
    pub grade: Derived<Grade>,
    /// The grade as a sentence, from the ledger alone.
    pub statement: String,
    /// The first record of it, of whatever kind.
    pub first_record: When,
    /// Who named it.
    pub named: Derived<Vec<Naming>>,
    /// Attempts and failures.
    pub attempts: Derived<Attempts>,
    /// Connections that stood.
    pub visits: Vec<Derived<Visit>>,
    /// What it says of itself.
    pub client: Derived<Client>,
    /// Per cent claimed, last.
    pub claimed: Option<Derived<Said<Share>>>,
    /// Per cent offered, last.
    pub offered: Option<Derived<Said<Share>>>,
    /// Per cent offered, most.
    pub offered_most: Option<Derived<Said<Share>>>,
    /// Claimed completion over time.
    pub completion: Vec<completion::Point>,
    /// Gains that it claimed.
    pub gains: Vec<Derived<Said<Gain>>>,
    /// What was fetched from it.
    pub portions: Derived<Portions>,
    /// Where it broke the protocol.
    pub violations: Vec<(When, String)>,
    /// Every record that speaks of it, ascending.
    pub records: Vec<u64>,
}

impl Endpoint {
    /// When something first came from it.
    pub fn heard_first(&self) -> Option<When> {
        self.visits.first().map(|visit| visit.value.from)
    }

    /// When something last came from it.
    pub fn heard_last(&self) -> Option<When> {
        self.visits
            .iter()
            .map(|visit| visit.value.heard)
            .max_by_key(|heard| heard.index)
    }

    /// When a connection with it last stood first: "last connected".
    pub fn connected_last(&self) -> Option<When> {
        self.visits.last().map(|visit| visit.value.from)
    }
}

impl Findings {
    /// Reads the findings out of `records`, which are in ledger order with their places.
    pub fn of(records: &[(u64, Record)]) -> Self {
        let groups = group::group(records);
        Self {
            runs: groups.runs.iter().map(run).collect(),
            swarms: groups.swarms.iter().filter_map(swarm).collect(),
            strays: number(&groups.strays),
            records: records.len() as u64,
            unread: groups.unread,
        }
    }

    /// The first and the last record of any run.
    pub fn span(&self) -> Option<(When, When)> {
        let first = self.runs.first()?;
        let begun = first
            .started
            .as_ref()
            .map_or(first.last, |started| started.when);
        Some((begun, self.runs.last()?.last))
    }
}

fn run(group: &RunRecords<'_>) -> Run {
    let mut run = Run {
        number: group.run,
        started: None,
        ended: None,
        last: group.last.into(),
        clock: clock::state(&group.records),
        stalls: stall::stalls(&group.records),
        marks: 0,
        last_mark: None,
        cut: None,
        limits: vec![],
    };
    for &entry in &group.records {
        let when = When::from(entry);
        match &entry.record.body {
            Body::RunStarted {
                format,
                observer,
                version,
                binary,
                build,
                config,
                targets,
            } => {
                run.started = Some(Started {
                    when,
                    format: *format,
                    observer: observer.clone(),
                    version: version.clone(),
                    binary: *binary,
                    build: build.clone(),
                    config: *config,
                    targets: targets.clone(),
                });
            }
            Body::Mark {
                journal_len,
                journal,
                capture_len,
                capture,
            } => {
                run.marks += 1;
                run.last_mark = Some(Mark {
                    when,
                    journal_len: *journal_len,
                    journal: *journal,
                    capture_len: *capture_len,
                    capture: *capture,
                });
            }
            Body::RunCut {
                journal_cut,
                capture_cut,
                ledger_cut,
            } => {
                run.cut = Some((when, [*journal_cut, *capture_cut, *ledger_cut]));
            }
            Body::Limited { limit, value, .. } => {
                run.limits.push((when, limit.clone(), *value));
            }
            Body::RunEnded { .. } => run.ended = Some(when),
            // Clock and stalls have rules of their own, and the others are of a swarm or an endpoint.
            Body::Target { .. }
            | Body::Clock { .. }
            | Body::Stalled { .. }
            | Body::TrackerAsked { .. }
            | Body::TrackerAnswered { .. }
            | Body::TrackerFailed { .. }
            | Body::Listed { .. }
            | Body::Attempted { .. }
            | Body::AttemptFailed { .. }
            | Body::Reached { .. }
            | Body::Joined { .. }
            | Body::Extended { .. }
            | Body::ClaimedSet { .. }
            | Body::ClaimedGain { .. }
            | Body::Offers { .. }
            | Body::PieceAsked { .. }
            | Body::Refused { .. }
            | Body::Delivered { .. }
            | Body::Verified { .. }
            | Body::Refuted { .. }
            | Body::Whole { .. }
            | Body::Violated { .. }
            | Body::Closed { .. }
            | Body::Unknown { .. } => {}
        }
    }
    run
}

fn swarm(group: &SwarmRecords<'_>) -> Option<Swarm> {
    let Body::Target {
        info_hash,
        torrent,
        name,
        size_bytes,
        piece_len,
        piece_count,
        ..
    } = &group.target.record.body
    else {
        return None;
    };
    let answers = |(url, records): (&&str, &Vec<_>)| ((*url).to_owned(), tracker::answers(records));
    Some(Swarm {
        introduced: group.target.into(),
        info_hash: *info_hash,
        torrent: *torrent,
        name: name.clone(),
        size_bytes: *size_bytes,
        piece_len: *piece_len,
        piece_count: *piece_count,
        trackers: group.trackers.iter().map(answers).collect(),
        endpoints: number(&group.endpoints),
    })
}

fn number(groups: &[EndpointRecords<'_>]) -> Vec<Endpoint> {
    let numbered = (1..).zip(groups);
    numbered
        .filter_map(|(number, group)| endpoint(number, group))
        .collect()
}

fn endpoint(number: u64, group: &EndpointRecords<'_>) -> Option<Endpoint> {
    let records = &group.records;
    let violation = |entry: &group::Indexed<'_>| {
        let Body::Violated { violation, .. } = &entry.record.body else {
            return None;
        };
        Some((When::from(*entry), violation.clone()))
    };
    let highest = grade::highest(records);
    Some(Endpoint {
        number,
        endpoint: group.endpoint,
        incoming: group.incoming,
        statement: grade::statement(group.endpoint, records, &highest),
        grade: highest,
        first_record: (*records.first()?).into(),
        named: naming::sources(records),
        attempts: attempt::attempts(records),
        visits: presence::visits(records),
        client: client::client(records),
        claimed: share::claimed(records),
        offered: share::offered(records),
        offered_most: share::offered_most(records),
        completion: completion::series(records),
        gains: gain::gains(records),
        portions: portion::portions(records),
        violations: records.iter().filter_map(violation).collect(),
        records: records.iter().map(|entry| entry.index).collect(),
    })
}
