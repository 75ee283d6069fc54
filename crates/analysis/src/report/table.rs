//! The exhibit as plain text, for a terminal: the columns that fit, the rest is in the files.

use std::fmt::Write as _;

use crate::sheet::{EndpointRow, Sheet, SwarmRow};

/// How many characters of a client's name fit a column.
const CLIENT_CHARS_MAX: usize = 26;

const HEADINGS: [&str; 9] = [
    "No.",
    "Endpoint",
    "Grade",
    "First heard (UTC)",
    "Last heard (UTC)",
    "Client, as it says",
    "Has",
    "Offers",
    "Verified",
];

/// What the last columns are worth.
const CLAIMS: &str = "Has and Offers are what the endpoint says. Verified: pieces recorded as verified, not hashed again here.\n";

/// What the mark behind a time means.
const QUESTION_MARK: &str = "?  the kernel called the observer's clock unsynchronised: the time is only what that clock \
                             said\n";

/// Lays the exhibit of every swarm out as text.
pub fn table(sheet: &Sheet) -> String {
    let mut out = String::new();
    for swarm in &sheet.swarms {
        let _ = writeln!(
            out,
            "{}  {}  {}",
            swarm.name,
            swarm.info_hash,
            swarm.size_text()
        );
        let mut rows: Vec<[String; 9]> = vec![HEADINGS.map(str::to_owned)];
        rows.extend(swarm.endpoints.iter().map(cells));
        let width = |column: usize| {
            rows.iter()
                .map(|row| row[column].chars().count())
                .max()
                .unwrap_or(0)
        };
        let widths: [usize; 9] = std::array::from_fn(width);
        for row in &rows {
            let mut line = String::new();
            for ((column, cell), width) in row.iter().enumerate().zip(widths) {
                let pad = " ".repeat(width - cell.chars().count());
                // Numbers stand to the right.
                let (before, after) = if matches!(column, 0 | 6 | 7 | 8) {
                    (pad.as_str(), "")
                } else {
                    ("", pad.as_str())
                };
                let _ = write!(line, "{before}{cell}{after}  ");
            }
            let _ = writeln!(out, "{}", line.trim_end());
        }
        out.push('\n');
    }
    if !sheet.swarms.iter().all(|swarm| swarm.endpoints.is_empty()) {
        out.push_str(CLAIMS);
    }
    if sheet.swarms.iter().any(SwarmRow::unsynchronised) {
        out.push_str(QUESTION_MARK);
    }
    out
}

fn cells(row: &EndpointRow) -> [String; 9] {
    let time = |time: &Option<crate::sheet::Time>| {
        let unsynchronised =
            |time: &crate::sheet::Time| if time.utc.synchronised { "" } else { " ?" };
        time.as_ref().map_or("-".into(), |time| {
            format!("{}{}", time.short(), unsynchronised(time))
        })
    };
    let percent = |share: &Option<crate::sheet::ShareRow>| {
        share
            .as_ref()
            .map_or("-".into(), |share| format!("{} %", share.percent))
    };
    let client = row.client().map_or("-", String::as_str);
    let mut client: String = client.chars().take(CLIENT_CHARS_MAX).collect();
    if row.client().is_some_and(|whole| whole.len() > client.len()) {
        client.push('…');
    }
    let endpoint = if row.incoming {
        format!("{} (in)", row.endpoint())
    } else {
        row.endpoint()
    };
    [
        row.number.to_string(),
        endpoint,
        row.grade.name().to_owned(),
        time(&row.first_heard),
        time(&row.last_heard),
        client,
        percent(&row.claimed),
        percent(&row.offered),
        row.pieces_recorded_verified.to_string(),
    ]
}
