//! Progress bars: on standard error, only where that is a terminal whose cursor can be moved, and not with
//! `--quiet`. They are made anew for the terminal's width each time they are drawn, and never wider.

use std::{
    fmt::Write,
    sync::mpsc::{self, RecvTimeoutError},
    time::Duration,
};

use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use rustix::termios::tcgetwinsize;

use crate::ui::Context;

/// How often a bar is drawn.
pub(crate) const REDRAW: Duration = Duration::from_millis(200);

/// How often a bar is told how far work is; it limits its own drawing.
const FOLLOWED: Duration = Duration::from_millis(50);

/// The width that a terminal is taken to have that does not say.
const COLUMNS_DEFAULT: usize = 80;

/// A bar shorter than this shows nothing and is left out.
const CELLS_MIN: usize = 10;

/// A bar longer than this shows no more.
const CELLS_MAX: usize = 40;

/// A bar that counts bytes.
pub(crate) fn bytes_bar(ctx: &Context, what: &'static str, size_bytes: u64) -> ProgressBar {
    let bar = hidden_unless_wanted(ctx, size_bytes);
    let line = move |state: &ProgressState, out: &mut dyn Write| {
        let done = percent(state);
        let rate = HumanBytes(state.per_sec() as u64);
        let left = state.eta().as_secs();
        let counts = format!("{what} {done:>3}%  {rate}/s  {left} s left");
        let cells = cells(columns(), counts.len() + 2);
        let _ = write!(out, "{counts}  {}", cells_text(state, cells));
    };
    let style = ProgressStyle::with_template("{line}").expect("the template is well-formed");
    bar.set_style(style.with_key("line", line));
    bar
}

/// A bar whose message is written by the caller. Where it is too long its end is cut off.
pub(crate) fn message_bar(ctx: &Context, size_bytes: u64) -> ProgressBar {
    /// The columns that the message is left at least, if there are so many.
    const MESSAGE_COLUMNS: usize = 55;
    let bar = hidden_unless_wanted(ctx, size_bytes);
    let cells_key = |state: &ProgressState, out: &mut dyn Write| {
        let cells = cells(columns(), "100%  ".len() + MESSAGE_COLUMNS);
        if cells > 0 {
            let _ = write!(out, "{} ", cells_text(state, cells));
        }
    };
    let style = ProgressStyle::with_template("{cells}{percent:>3}% {wide_msg}");
    let style = style.expect("the template is well-formed");
    bar.set_style(style.with_key("cells", cells_key));
    bar
}

/// One line that is written by the caller, for what has no end to count to.
pub(crate) fn line(ctx: &Context) -> ProgressBar {
    let bar = hidden_unless_wanted(ctx, 0);
    let style = ProgressStyle::with_template("{spinner} {elapsed} {wide_msg}");
    bar.set_style(style.expect("the template is well-formed"));
    bar
}

fn hidden_unless_wanted(ctx: &Context, size_bytes: u64) -> ProgressBar {
    ProgressBar::with_draw_target(Some(size_bytes), target(ctx))
}

/// Where bars are drawn, if they are.
pub(crate) fn target(ctx: &Context) -> ProgressDrawTarget {
    if ctx.quiet || is_dumb(std::env::var("TERM").ok().as_deref()) {
        ProgressDrawTarget::hidden()
    } else {
        // It hides itself where standard error is no terminal.
        ProgressDrawTarget::stderr()
    }
}

/// Whether a terminal of the type that TERM names takes text and nothing else.
pub(crate) fn is_dumb(term: Option<&str>) -> bool {
    matches!(term, None | Some("" | "dumb"))
}

/// The width of the terminal that is standard error.
fn columns() -> usize {
    let size = tcgetwinsize(std::io::stderr());
    match size.map(|size| usize::from(size.ws_col)) {
        Ok(columns @ 1..) => columns,
        Ok(0) | Err(_) => COLUMNS_DEFAULT,
    }
}

/// How long a bar is that leaves `taken` of `columns`, and the last one, to others; 0 if it is left out.
fn cells(columns: usize, taken: usize) -> usize {
    match columns.saturating_sub(taken + 1) {
        0..CELLS_MIN => 0,
        cells => cells.min(CELLS_MAX),
    }
}

fn percent(state: &ProgressState) -> u64 {
    (state.fraction() * 100.0) as u64
}

/// A bar of `cells`.
fn cells_text(state: &ProgressState, cells: usize) -> String {
    drawn(state.fraction(), cells)
}

/// A bar of `cells`, of which `fraction` is done.
fn drawn(fraction: f32, cells: usize) -> String {
    let full = ((fraction * cells as f32) as usize).min(cells);
    format!("{}{}", "█".repeat(full), "░".repeat(cells - full))
}

/// The part of a bar of a fixed message that fits beside it: for screens of several lines.
pub(crate) fn fitting(state: &ProgressState, taken: usize) -> String {
    cells_text(state, cells(columns(), taken))
}

/// Runs `work` while `bar` follows what `done` says.
pub(crate) fn follow<T: Send>(
    bar: &ProgressBar,
    done: impl Fn() -> u64 + Sync,
    work: impl FnOnce() -> T + Send,
) -> T {
    std::thread::scope(|scope| {
        // The end of `work` closes the channel, which nothing is sent through.
        let (working, finished) = mpsc::channel::<()>();
        let worker = scope.spawn(move || {
            let _working = working;
            work()
        });
        while let Err(RecvTimeoutError::Timeout) = finished.recv_timeout(FOLLOWED) {
            bar.set_position(done());
        }
        bar.finish_and_clear();
        worker
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_takes_what_is_left_of_the_line_and_goes_where_that_is_little() {
        assert_eq!(cells(80, 55), 24);
        assert_eq!(cells(200, 55), CELLS_MAX);
        assert_eq!(cells(66, 55), 10);
        assert_eq!(cells(65, 55), 0);
        assert_eq!(cells(1, 55), 0);
    }

    #[test]
    fn a_bar_is_as_long_as_it_should_be_however_much_is_done() {
        for fraction in [0.0, 0.004, 0.5, 0.999, 1.0, 1.5] {
            assert_eq!(drawn(fraction, 20).chars().count(), 20, "{fraction}");
        }
        assert_eq!(drawn(0.5, 4), "██░░");
    }

    #[test]
    fn a_terminal_of_no_known_type_is_dumb() {
        assert!(is_dumb(None) && is_dumb(Some("")) && is_dumb(Some("dumb")));
        assert!(!is_dumb(Some("xterm-256color")) && !is_dumb(Some("linux")));
    }
}
