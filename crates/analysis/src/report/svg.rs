//! The two drawings of a report: who was present when, and completion over time. Plain SVG with
//! classes that the page's style sheet colours, so that they follow light, dark and paper.

mod completion;
mod timeline;

use std::fmt::Write as _;

pub(super) use completion::completion;
pub(super) use timeline::timeline;

use crate::utc;

/// Greatest number of endpoints in one drawing. Beyond it a drawing is a grey block; the table and
/// the CSV have them all, and the page says how many are left out.
pub(super) const ROWS_MAX: usize = 250;

/// A horizontal axis of time.
struct Axis {
    left: f64,
    width: f64,
    from_us: i64,
    until_us: i64,
}

impl Axis {
    /// An axis for the instants `us`; at least a second wide.
    fn new(left: f64, width: f64, us: (i64, i64)) -> Self {
        Self {
            left,
            width,
            from_us: us.0,
            until_us: us.1.max(us.0 + 1_000_000),
        }
    }

    /// The place of an instant.
    fn x(&self, us: i64) -> f64 {
        let span = (self.until_us - self.from_us) as f64;
        let at = (us.clamp(self.from_us, self.until_us) - self.from_us) as f64;
        self.left + self.width * at / span
    }

    /// Whole instants for about eight ticks: the step is one that people count in.
    fn ticks(&self) -> Vec<i64> {
        const STEPS_SECS: [i64; 19] = [
            1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600,
            43_200, 86_400, 604_800,
        ];
        let span_secs = (self.until_us - self.from_us) / 1_000_000;
        let step_secs = STEPS_SECS
            .into_iter()
            .find(|step| span_secs / step <= 8)
            .unwrap_or_else(|| (span_secs / 8 / 604_800 + 1) * 604_800);
        let step = step_secs * 1_000_000;
        let first = self.from_us.div_euclid(step) * step + step;
        (0..)
            .map(|n| first + n * step)
            .take_while(|&tick| tick < self.until_us)
            .collect()
    }

    /// Draws the grid and its labels from `top` to `bottom`; labels stand below.
    fn draw(&self, out: &mut String, top: f64, bottom: f64) {
        let days = utc::date(self.from_us) != utc::date(self.until_us);
        for tick in self.ticks() {
            let x = self.x(tick);
            line(out, "grid", (x, top), (x, bottom));
            let label = utc::clock(tick);
            text(out, "tick", (x, bottom + 16.0), "middle", &label);
            if days && tick.rem_euclid(86_400_000_000) == 0 {
                text(out, "tick", (x, bottom + 29.0), "middle", &utc::date(tick));
            }
        }
        let from = format!("{} UTC", utc::date(self.from_us));
        text(out, "tick", (self.left, bottom + 29.0), "start", &from);
    }
}

/// Begins a drawing. The numbers that follow are in user units; it scales to its container.
fn open(out: &mut String, width: f64, height: f64, label: &str) {
    put(
        out,
        format_args!(
            "<svg viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\" aria-label=\"{}\" \
             xmlns=\"http://www.w3.org/2000/svg\">\n",
            crate::text::escape(label)
        ),
    );
}

fn close(out: &mut String) {
    out.push_str("</svg>\n");
}

fn line(out: &mut String, class: &str, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) {
    put(
        out,
        format_args!(
            "<line class=\"{class}\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>\n"
        ),
    );
}

fn text(out: &mut String, class: &str, (x, y): (f64, f64), anchor: &str, words: &str) {
    put(
        out,
        format_args!(
            "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{}</text>\n",
            crate::text::escape(words)
        ),
    );
}

/// Appends; writing to a string has no error to report.
fn put(out: &mut String, args: std::fmt::Arguments<'_>) {
    let _ = out.write_fmt(args);
}
