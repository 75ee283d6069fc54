//! Exhibit A as CSV (RFC 4180): one line an endpoint, a header line, UTF-8.
//!
//! Claims have `claimed` in their column's name, and what strangers said stands in single quotation
//! marks. A cell is empty where nothing is recorded.

use super::ReportError;
use crate::sheet::{EndpointRow, Sheet, SwarmRow, Time};

/// The columns, in order.
const COLUMNS: [&str; 49] = [
    "number",
    "info_hash",
    "torrent_name",
    "content_size_bytes",
    "address",
    "port",
    "connected_to_us",
    "grade",
    "statement",
    "first_named_utc_earliest",
    "first_named_utc_latest",
    "first_heard_utc_earliest",
    "first_heard_utc_latest",
    "last_heard_utc_earliest",
    "last_heard_utc_latest",
    "last_connected_utc_earliest",
    "last_connected_utc_latest",
    "clock",
    "peer_ids_claimed",
    "clients_claimed_by_peer_id",
    "clients_claimed_by_extension_handshake",
    "listen_ports_claimed",
    "percent_claimed",
    "percent_claimed_utc_earliest",
    "percent_claimed_utc_latest",
    "percent_offered",
    "percent_offered_utc_earliest",
    "percent_offered_utc_latest",
    "percent_offered_most",
    "gains_claimed",
    "last_gain_claimed_utc_after",
    "last_gain_claimed_utc_until",
    "blocks_delivered",
    "bytes_delivered",
    "pieces_recorded_verified",
    "verified_note",
    "last_verified_utc_earliest",
    "last_verified_utc_latest",
    "pieces_refuted",
    "last_refuted_utc_latest",
    "connections",
    "attempts",
    "attempts_failed",
    "failure_reasons",
    "attempts_without_outcome",
    "named_by",
    "violations",
    "grade_records",
    "ledger_records",
];

/// Writes the table.
pub(super) fn write(sheet: &Sheet) -> Result<Vec<u8>, ReportError> {
    let mut out = csv::Writer::from_writer(Vec::new());
    out.write_record(COLUMNS)?;
    for swarm in &sheet.swarms {
        for row in &swarm.endpoints {
            out.write_record(cells(swarm, row))?;
        }
    }
    out.into_inner()
        .map_err(|error| ReportError::Csv(error.into_error().into()))
}

fn cells(swarm: &SwarmRow, row: &EndpointRow) -> [String; COLUMNS.len()] {
    let [named, heard, last, connected] = [
        &row.first_named,
        &row.first_heard,
        &row.last_heard,
        &row.last_connected,
    ]
    .map(interval);
    let claimed_at = interval(&row.claimed.as_ref().map(|share| share.at.clone()));
    let offered_at = interval(&row.offered.as_ref().map(|share| share.at.clone()));
    let verified_at = interval(&row.last_verified().map(|piece| piece.at.clone()));
    let gain = row.gains_claimed.last();
    let gains: u64 = row
        .gains_claimed
        .iter()
        .map(|gain| u64::from(gain.count))
        .sum();
    let percent = |share: &Option<crate::sheet::ShareRow>, none: &str| {
        share
            .as_ref()
            .map_or(none.to_owned(), |share| share.percent.clone())
    };
    let violations: Vec<&str> = row
        .violations
        .iter()
        .map(|violation| violation.violation.as_str())
        .collect();
    let ports: Vec<String> = row
        .listen_ports_claimed
        .iter()
        .map(ToString::to_string)
        .collect();
    [
        row.number.to_string(),
        swarm.info_hash.clone(),
        format!("'{}'", swarm.name),
        swarm.size_bytes.to_string(),
        row.address.clone(),
        row.port.to_string(),
        yes_no(row.incoming),
        row.grade.name().to_owned(),
        row.statement.clone(),
        named.0,
        named.1,
        heard.0,
        heard.1,
        last.0,
        last.1,
        connected.0,
        connected.1,
        clock(row),
        row.peer_ids_claimed.join("; "),
        row.clients_claimed_by_peer_id.join("; "),
        row.clients_claimed_by_extension.join("; "),
        ports.join("; "),
        percent(&row.claimed, ""),
        claimed_at.0,
        claimed_at.1,
        percent(&row.offered, "unknown"),
        offered_at.0,
        offered_at.1,
        percent(&row.offered_most, "unknown"),
        gains.to_string(),
        gain.and_then(|gain| gain.after.as_ref())
            .map(|at| at.earliest.clone())
            .unwrap_or_default(),
        gain.map(|gain| gain.until.latest.clone())
            .unwrap_or_default(),
        row.blocks_delivered.to_string(),
        row.bytes_delivered.to_string(),
        row.pieces_recorded_verified.to_string(),
        row.verified_note.unwrap_or_default().to_owned(),
        verified_at.0,
        verified_at.1,
        row.refuted.len().to_string(),
        row.refuted
            .last()
            .map(|piece| piece.at.latest.clone())
            .unwrap_or_default(),
        row.visits.len().to_string(),
        row.attempts.to_string(),
        row.failed().to_string(),
        row.failure_words(),
        row.attempts_open.to_string(),
        row.named_by_words(),
        violations.join("; "),
        row.grade_records.clone(),
        row.records.clone(),
    ]
}

fn yes_no(flag: bool) -> String {
    if flag { "yes" } else { "no" }.to_owned()
}

fn interval(time: &Option<Time>) -> (String, String) {
    time.as_ref()
        .map(|time| (time.earliest.clone(), time.latest.clone()))
        .unwrap_or_default()
}

/// The worst clock state among the row's times.
fn clock(row: &EndpointRow) -> String {
    let times = [
        &row.first_named,
        &row.first_heard,
        &row.last_heard,
        &row.last_connected,
    ];
    let worst = times
        .into_iter()
        .flatten()
        .find(|time| !time.utc.synchronised);
    let any = times.into_iter().flatten().next();
    worst
        .or(any)
        .map(|time| time.clock.to_owned())
        .unwrap_or_default()
}
