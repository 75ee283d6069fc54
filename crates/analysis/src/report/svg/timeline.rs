//! Who was present when: a line an endpoint, a bar a connection from the moment that it stood to the
//! last thing heard on it, coloured by the highest grade recorded on it. Ticks in a bar are portions
//! recorded as verified; crosses are pieces that were refuted; dots are attempts that failed.

use super::{Axis, ROWS_MAX, close, line, open, put, text};
use crate::{
    sheet::{EndpointRow, VisitRow},
    text::escape,
    utc,
};

const WIDTH: f64 = 1_080.0;
const LEFT: f64 = 226.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 8.0;
const ROW: f64 = 20.0;
const BAR: f64 = 11.0;
/// Ticks nearer than this to the one before are not drawn: nobody could tell them apart.
const TICK_GAP: f64 = 1.5;

/// Draws the timeline of `rows` over `us` (microseconds since 1970).
pub(in crate::report) fn timeline(rows: &[EndpointRow], us: (i64, i64)) -> String {
    let rows = &rows[..rows.len().min(ROWS_MAX)];
    let axis = Axis::new(LEFT, WIDTH - LEFT - RIGHT, us);
    let bottom = TOP + ROW * rows.len() as f64;
    let mut out = String::new();
    open(&mut out, WIDTH, bottom + 36.0, "Who was present when");
    for place in 0..rows.len() {
        let middle = TOP + ROW * (place as f64 + 0.5);
        if place % 2 == 1 {
            put(
                &mut out,
                format_args!(
                    "<rect class=\"stripe\" x=\"0\" y=\"{:.1}\" width=\"{WIDTH:.1}\" height=\"{ROW:.1}\"/>\n",
                    middle - ROW / 2.0
                ),
            );
        }
    }
    axis.draw(&mut out, TOP, bottom);
    for (place, row) in rows.iter().enumerate() {
        let middle = TOP + ROW * (place as f64 + 0.5);
        label(&mut out, row, middle);
        line(&mut out, "base", (LEFT, middle), (WIDTH - RIGHT, middle));
        for &failed in &row.failed_us {
            put(
                &mut out,
                format_args!(
                    "<circle class=\"failed\" cx=\"{:.1}\" cy=\"{middle:.1}\" r=\"2.2\"/>\n",
                    axis.x(failed)
                ),
            );
        }
        for visit in &row.visits {
            bar(&mut out, &axis, row, visit, middle);
        }
    }
    close(&mut out);
    out
}

fn label(out: &mut String, row: &EndpointRow, middle: f64) {
    text(
        out,
        "number",
        (30.0, middle + 4.0),
        "end",
        &row.number.to_string(),
    );
    let endpoint = row.endpoint();
    let class = if endpoint.len() > 24 {
        "endpoint small"
    } else {
        "endpoint"
    };
    text(out, class, (40.0, middle + 4.0), "start", &endpoint);
    if row.incoming {
        text(out, "tick", (LEFT - 8.0, middle + 4.0), "end", "← in");
    }
}

fn bar(out: &mut String, axis: &Axis, row: &EndpointRow, visit: &VisitRow, middle: f64) {
    let from = axis.x(utc::middle_us(visit.from.utc));
    let until = axis.x(utc::middle_us(visit.heard.utc)).max(from + 3.0);
    let top = middle - BAR / 2.0;
    put(
        out,
        format_args!(
            "<rect class=\"bar g-{}\" x=\"{from:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{BAR:.1}\" \
             rx=\"2\"><title>{}</title></rect>\n",
            visit.grade.name(),
            until - from,
            escape(&format!(
                "No. {}, connection {}: {} from {} to {}",
                row.number,
                visit.connection,
                visit.grade.name(),
                visit.from.text(),
                visit.heard.text()
            ))
        ),
    );
    let mut last = f64::NEG_INFINITY;
    for &verified in &visit.verified_us {
        let x = axis.x(verified);
        if x - last >= TICK_GAP {
            line(out, "portion", (x, top + 1.5), (x, top + BAR - 1.5));
            last = x;
        }
    }
    let mut last = f64::NEG_INFINITY;
    for &refuted in &visit.refuted_us {
        let x = axis.x(refuted);
        if x - last >= TICK_GAP {
            let (left, right) = (x - 4.0, x + 4.0);
            line(out, "refuted", (left, middle - 4.0), (right, middle + 4.0));
            line(out, "refuted", (left, middle + 4.0), (right, middle - 4.0));
            last = x;
        }
    }
}
