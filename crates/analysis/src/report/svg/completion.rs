//! Completion over time, as each endpoint claims it: a stepped line an endpoint. Steps, because
//! between two claims nothing was said.

use super::{Axis, ROWS_MAX, close, line, open, put, text};
use crate::sheet::{Claim, EndpointRow};

const WIDTH: f64 = 1_080.0;
const HEIGHT: f64 = 320.0;
const LEFT: f64 = 46.0;
const RIGHT: f64 = 64.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = HEIGHT - 36.0;
/// How many hues the style sheet has for lines.
const HUES: u64 = 8;
/// Least distance between two labels at the right end, in user units.
const LABEL_GAP: f64 = 12.0;
/// How many dots one line gets.
const DOTS_MAX: usize = 200;
/// How many lines get a label: as many as fit in the drawing's height.
const LABELS_MAX: usize = 22;

/// Draws the claims of `rows` over `us`; `None` if nobody claimed anything.
pub(in crate::report) fn completion(rows: &[EndpointRow], us: (i64, i64)) -> Option<String> {
    let rows: Vec<&EndpointRow> = rows
        .iter()
        .filter(|row| !row.completion.is_empty())
        .take(ROWS_MAX)
        .collect();
    if rows.is_empty() {
        return None;
    }
    let axis = Axis::new(LEFT, WIDTH - LEFT - RIGHT, us);
    let mut out = String::new();
    open(&mut out, WIDTH, HEIGHT, "Completion over time, as claimed");
    axis.draw(&mut out, TOP, BOTTOM);
    for percent in [0, 25, 50, 75, 100] {
        let y = y(percent * 10_000);
        line(&mut out, "grid", (LEFT, y), (WIDTH - RIGHT, y));
        text(
            &mut out,
            "tick",
            (LEFT - 8.0, y + 4.0),
            "end",
            &format!("{percent} %"),
        );
    }
    for row in &rows {
        curve(&mut out, &axis, row);
    }
    labels(&mut out, &rows);
    close(&mut out);
    Some(out)
}

fn y(ppm: u32) -> f64 {
    BOTTOM - (BOTTOM - TOP) * f64::from(ppm.min(1_000_000)) / 1_000_000.0
}

fn hue(row: &EndpointRow) -> u64 {
    (row.number - 1) % HUES
}

fn curve(out: &mut String, axis: &Axis, row: &EndpointRow) {
    let mut path = String::new();
    for claim in &row.completion {
        let (x, y) = (axis.x(claim.us), y(claim.ppm));
        if claim.begins {
            put(&mut path, format_args!("M{x:.1} {y:.1}"));
        } else {
            put(&mut path, format_args!("H{x:.1}V{y:.1}"));
        }
    }
    let hue = hue(row);
    put(
        out,
        format_args!("<path class=\"curve h{hue}\" d=\"{path}\"/>\n"),
    );
    // A dot where a connection's claims begin: it is all there is of a connection with one claim.
    let begun = row.completion.iter().filter(|claim| claim.begins);
    for claim in begun.chain(row.completion.last()).take(DOTS_MAX) {
        put(
            out,
            format_args!(
                "<circle class=\"claim h{hue}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"2.6\"><title>No. {} claims \
                 {} %</title></circle>\n",
                axis.x(claim.us),
                y(claim.ppm),
                row.number,
                crate::text::percent(claim.ppm)
            ),
        );
    }
}

/// Numbers at the right end, near each line's last value: endpoints that end at one value share a
/// label, and labels that would overlap move down.
fn labels(out: &mut String, rows: &[&EndpointRow]) {
    let mut ends: Vec<(u32, Vec<u64>)> = Vec::new();
    for row in rows {
        let Some(&Claim { ppm, .. }) = row.completion.last() else {
            continue;
        };
        match ends.iter_mut().find(|end| end.0 == ppm) {
            Some(end) => end.1.push(row.number),
            None => ends.push((ppm, vec![row.number])),
        }
    }
    ends.sort_by_key(|end| std::cmp::Reverse(end.0));
    let mut at = f64::NEG_INFINITY;
    for (ppm, numbers) in ends.iter().take(LABELS_MAX) {
        at = (y(*ppm) + 4.0).max(at + LABEL_GAP);
        let words = match numbers.as_slice() {
            [one] => format!("No. {one}"),
            [one, two] => format!("{one}, {two}"),
            [one, rest @ ..] => format!("{one} +{}", rest.len()),
            [] => continue,
        };
        text(out, "tick", (WIDTH - RIGHT + 6.0, at), "start", &words);
    }
}
