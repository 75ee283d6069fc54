//! A row of the exhibit as it is printed.

use serde::Serialize;
use skep_evidence::{
    grade::Grade,
    journal::EndKind,
    record::{CloseKind, NamedBy, Transport},
};
use skep_wire::{Derived, Said};

use super::{NOT_HASHED_AGAIN, Time};
use crate::{
    finding::Endpoint,
    rule::{attempt, gain::Gain, naming::Naming, portion::Portion, presence::Visit, share::Share},
    text, utc,
};

/// An endpoint.
#[derive(Debug, Serialize)]
pub struct EndpointRow {
    /// Its number in the swarm, from 1, in the order of first records.
    pub number: u64,
    /// Its address.
    pub address: String,
    /// Its port: the source port if it connected to us.
    pub port: u16,
    /// Whether it connected to us.
    pub incoming: bool,
    /// The highest recorded grade.
    pub grade: Grade,
    /// That grade as a sentence, from the ledger alone.
    pub statement: String,
    /// When it was first named.
    pub first_named: Option<Time>,
    /// When something first came from it.
    pub first_heard: Option<Time>,
    /// When something last came from it.
    pub last_heard: Option<Time>,
    /// When a connection with it was last made.
    pub last_connected: Option<Time>,
    /// Peer ids, as it says.
    pub peer_ids_claimed: Vec<String>,
    /// Clients that the peer ids name, as it says.
    pub clients_claimed_by_peer_id: Vec<String>,
    /// Client names in extension handshakes, as it says.
    pub clients_claimed_by_extension: Vec<String>,
    /// Listening ports, as it says.
    pub listen_ports_claimed: Vec<u16>,
    /// Whether it says that it only uploads.
    pub upload_only_claimed: Option<bool>,
    /// Share that it last claimed.
    pub claimed: Option<ShareRow>,
    /// Share that it last offered; absent if unknown.
    pub offered: Option<ShareRow>,
    /// Greatest share that it offered.
    pub offered_most: Option<ShareRow>,
    /// Gains that it claimed.
    pub gains_claimed: Vec<GainRow>,
    /// Blocks that came because we asked.
    pub blocks_delivered: u64,
    /// Bytes in them.
    pub bytes_delivered: u64,
    /// Blocks that it refused.
    pub blocks_refused: u64,
    /// Distinct pieces recorded as verified.
    pub pieces_recorded_verified: u64,
    /// What that means here.
    pub verified_note: Option<&'static str>,
    /// Each, in ledger order.
    pub verified: Vec<PieceRow>,
    /// Pieces that came from it alone and do not hash to the torrent.
    pub refuted: Vec<PieceRow>,
    /// Who named it.
    pub named_by: Vec<Source>,
    /// Attempts to connect that we made.
    pub attempts: u64,
    /// Attempts that failed, by reason.
    pub failures: Vec<Failure>,
    /// Attempts without a recorded outcome.
    pub attempts_open: u64,
    /// Connections that stood.
    pub visits: Vec<VisitRow>,
    /// Where it broke the protocol.
    pub violations: Vec<Violation>,
    /// The records that all this rests on, as ranges.
    pub records: String,
    /// The records that the grade rests on, as ranges.
    pub grade_records: String,
    /// Times of failed attempts, for the drawing.
    #[serde(skip)]
    pub failed_us: Vec<i64>,
    /// Claimed completion over time, for the drawing.
    #[serde(skip)]
    pub completion: Vec<Claim>,
}

/// A point of the drawing of completion.
#[derive(Debug, Clone, Copy)]
pub struct Claim {
    /// Microseconds since 1970.
    pub us: i64,
    /// Parts per million.
    pub ppm: u32,
    /// Whether it is the first on its connection.
    pub begins: bool,
}

/// A share at a time, as the endpoint says.
#[derive(Debug, Clone, Serialize)]
pub struct ShareRow {
    /// Per cent.
    pub percent: String,
    /// Pieces.
    pub pieces: u32,
    /// When.
    pub at: Time,
}

/// A gain, as the endpoint says.
#[derive(Debug, Serialize)]
pub struct GainRow {
    /// Which piece, where it said which.
    pub piece: Option<u32>,
    /// How many pieces.
    pub count: u32,
    /// When it was last heard without them.
    pub after: Option<Time>,
    /// When it said so.
    pub until: Time,
}

/// A piece and its verdict's time.
#[derive(Debug, Serialize)]
pub struct PieceRow {
    /// The piece.
    pub piece: u32,
    /// When the verdict was recorded.
    pub at: Time,
}

/// Who named an endpoint.
#[derive(Debug, Serialize)]
pub struct Source {
    /// Who.
    pub by: String,
    /// When first.
    pub first: Time,
    /// When last.
    pub last: Time,
}

/// Failed attempts.
#[derive(Debug, Serialize)]
pub struct Failure {
    /// Why.
    pub reason: String,
    /// How often.
    pub count: u64,
    /// When last.
    pub last: Time,
}

/// A connection that stood.
#[derive(Debug, Serialize)]
pub struct VisitRow {
    /// Its number in the run.
    pub connection: u32,
    /// `tcp`, ...
    pub transport: &'static str,
    /// When it stood first.
    pub from: Time,
    /// When something last came on it.
    pub heard: Time,
    /// When it was over.
    pub closed: Option<Time>,
    /// How it ended.
    pub ended: String,
    /// Highest grade recorded on it.
    pub grade: Grade,
    /// When portions were recorded as verified: microseconds since 1970.
    #[serde(skip)]
    pub verified_us: Vec<i64>,
    /// When portions were refuted.
    #[serde(skip)]
    pub refuted_us: Vec<i64>,
}

/// A broken rule of the protocol.
#[derive(Debug, Serialize)]
pub struct Violation {
    /// When.
    pub at: Time,
    /// Which, in the words of the error.
    pub violation: String,
}

impl EndpointRow {
    /// Lays one endpoint out.
    pub fn of(found: &Endpoint) -> Self {
        let client = &found.client.value;
        let portions = &found.portions.value;
        let attempts = &found.attempts.value;
        Self {
            number: found.number,
            address: found.endpoint.ip().to_string(),
            port: found.endpoint.port(),
            incoming: found.incoming,
            grade: found.grade.value,
            statement: found.statement.clone(),
            first_named: found.named.value.first().map(|naming| naming.first.into()),
            first_heard: found.heard_first().map(Time::from),
            last_heard: found.heard_last().map(Time::from),
            last_connected: found.connected_last().map(Time::from),
            peer_ids_claimed: client
                .peer_ids
                .iter()
                .map(|Said((id, _))| format!("'{}'", id.0.escape_ascii()))
                .collect(),
            clients_claimed_by_peer_id: distinct(
                client
                    .peer_ids
                    .iter()
                    .map(|Said((_, client))| text::quoted(client)),
            ),
            clients_claimed_by_extension: distinct(
                client.names.iter().map(|Said(name)| text::quoted(name)),
            ),
            listen_ports_claimed: client.listen_ports.iter().map(|port| port.0).collect(),
            upload_only_claimed: client.upload_only.map(|said| said.0),
            claimed: found.claimed.as_ref().map(share),
            offered: found.offered.as_ref().map(share),
            offered_most: found.offered_most.as_ref().map(share),
            gains_claimed: found
                .gains
                .iter()
                .map(|gain| gain_row(gain.value.0))
                .collect(),
            blocks_delivered: portions.blocks,
            bytes_delivered: portions.bytes,
            blocks_refused: portions.refused,
            pieces_recorded_verified: portions.verified_distinct() as u64,
            verified_note: (!portions.verified.is_empty()).then_some(NOT_HASHED_AGAIN),
            verified: portions.verified.iter().map(piece).collect(),
            refuted: portions.refuted.iter().map(piece).collect(),
            named_by: found.named.value.iter().map(source).collect(),
            attempts: attempts.made,
            failures: attempts
                .failed
                .iter()
                .map(|(reason, (count, last))| Failure {
                    reason: attempt::failure_words(*reason),
                    count: *count,
                    last: (*last).into(),
                })
                .collect(),
            attempts_open: attempts.open,
            visits: found.visits.iter().map(visit).collect(),
            violations: found
                .violations
                .iter()
                .map(|(when, violation)| Violation {
                    at: (*when).into(),
                    violation: text::plain(violation),
                })
                .collect(),
            records: text::ranges(&found.records),
            grade_records: text::ranges(&found.grade.inputs),
            failed_us: attempts
                .failed_at
                .iter()
                .map(|when| utc::middle_us(when.utc))
                .collect(),
            completion: found
                .completion
                .iter()
                .map(|point| Claim {
                    us: utc::middle_us(point.share.0.when.utc),
                    ppm: point.share.0.ppm,
                    begins: point.begins,
                })
                .collect(),
        }
    }

    /// `address:port`, with brackets around an IPv6 address.
    pub fn endpoint(&self) -> String {
        if self.address.contains(':') {
            format!("[{}]:{}", self.address, self.port)
        } else {
            format!("{}:{}", self.address, self.port)
        }
    }

    /// The client in a narrow column: by extension handshake where it said so, else by peer id.
    pub fn client(&self) -> Option<&String> {
        self.clients_claimed_by_extension
            .first()
            .or(self.clients_claimed_by_peer_id.first())
    }

    /// How many attempts failed.
    pub fn failed(&self) -> u64 {
        self.failures.iter().map(|failure| failure.count).sum()
    }

    /// The last portion recorded as verified.
    pub fn last_verified(&self) -> Option<&PieceRow> {
        self.verified.last()
    }

    /// Who named it, in words.
    pub fn named_by_words(&self) -> String {
        let mut words: Vec<&str> = self
            .named_by
            .iter()
            .map(|source| source.by.as_str())
            .collect();
        words.dedup();
        words.join("; ")
    }

    /// Why attempts failed, in words.
    pub fn failure_words(&self) -> String {
        let words = |failure: &Failure| format!("{} × {}", failure.count, failure.reason);
        self.failures
            .iter()
            .map(words)
            .collect::<Vec<_>>()
            .join("; ")
    }
}

fn distinct(texts: impl Iterator<Item = String>) -> Vec<String> {
    let mut known = Vec::new();
    for text in texts {
        if !known.contains(&text) {
            known.push(text);
        }
    }
    known
}

fn share(share: &Derived<Said<Share>>) -> ShareRow {
    let Said(Share {
        pieces, ppm, when, ..
    }) = share.value;
    ShareRow {
        percent: text::percent(ppm),
        pieces,
        at: when.into(),
    }
}

fn gain_row(gain: Gain) -> GainRow {
    GainRow {
        piece: gain.piece.map(|piece| piece.0),
        count: gain.count,
        after: gain.after.map(Time::from),
        until: gain.until.into(),
    }
}

fn piece(portion: &Portion) -> PieceRow {
    PieceRow {
        piece: portion.piece.0,
        at: portion.when.into(),
    }
}

fn source(naming: &Naming) -> Source {
    let run = naming.first.run;
    let by = match &naming.by {
        NamedBy::Tracker { url } => format!("tracker {}", text::plain(url)),
        NamedBy::Pex { conn } => format!("peer exchange on connection {} of run {run}", conn.0),
        NamedBy::Incoming => "itself, by connecting to us".into(),
        NamedBy::ListenPort { conn } => {
            format!(
                "listening port claimed on connection {} of run {run}",
                conn.0
            )
        }
        NamedBy::Operator => "the operator".into(),
    };
    Source {
        by,
        first: naming.first.into(),
        last: naming.last.into(),
    }
}

fn visit(visit: &Derived<Visit>) -> VisitRow {
    let visit = &visit.value;
    VisitRow {
        connection: visit.conn.0,
        transport: match visit.transport {
            Transport::Tcp => "tcp",
            Transport::TcpMse => "tcp, mse",
            Transport::Utp => "utp",
            Transport::UtpMse => "utp, mse",
        },
        from: visit.from.into(),
        heard: visit.heard.into(),
        closed: visit.closed.map(|(when, _)| when.into()),
        ended: match visit.closed {
            None => "no end recorded".into(),
            Some((_, CloseKind::Them(EndKind::Closed))) => "closed by it".into(),
            Some((_, CloseKind::Them(EndKind::Reset))) => "reset by it".into(),
            Some((_, CloseKind::Them(EndKind::Error(errno)))) => format!("error {errno}"),
            Some((_, CloseKind::UsDone)) => "closed by us, visit done".into(),
            Some((_, CloseKind::UsIdle)) => "closed by us, nothing came".into(),
            Some((_, CloseKind::UsViolation)) => "closed by us, it broke the protocol".into(),
            Some((_, CloseKind::UsStopped)) => "closed by us, run ended".into(),
        },
        grade: visit.grade,
        verified_us: visit
            .verified
            .iter()
            .map(|when| utc::middle_us(when.utc))
            .collect(),
        refuted_us: visit
            .refuted
            .iter()
            .map(|when| utc::middle_us(when.utc))
            .collect(),
    }
}
