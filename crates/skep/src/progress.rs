//! Progress bars: on standard error, only where that is a terminal, and not with `--quiet`.

use std::{
    sync::mpsc::{self, RecvTimeoutError},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::ui::Context;

/// How often a bar is drawn.
pub(crate) const REDRAW: Duration = Duration::from_millis(200);

/// How often a bar is told how far work is; it limits its own drawing.
const FOLLOWED: Duration = Duration::from_millis(50);

/// A bar that counts bytes.
pub(crate) fn bytes_bar(ctx: &Context, what: &str, size_bytes: u64) -> ProgressBar {
    let bar = hidden_unless_wanted(ctx, size_bytes);
    let style = ProgressStyle::with_template(
        "{prefix} {wide_bar} {bytes}/{total_bytes} {binary_bytes_per_sec} {eta}",
    );
    bar.set_style(style.expect("the template is well-formed"));
    bar.set_prefix(what.to_owned());
    bar
}

/// A bar whose message is written by the caller.
pub(crate) fn message_bar(ctx: &Context, size_bytes: u64) -> ProgressBar {
    let bar = hidden_unless_wanted(ctx, size_bytes);
    let style = ProgressStyle::with_template("{wide_bar} {percent:>3}% {msg}");
    bar.set_style(style.expect("the template is well-formed"));
    bar
}

/// One line that is written by the caller, for what has no end to count to.
pub(crate) fn line(ctx: &Context) -> ProgressBar {
    let bar = hidden_unless_wanted(ctx, 0);
    let style = ProgressStyle::with_template("{spinner} {elapsed} {msg}");
    bar.set_style(style.expect("the template is well-formed"));
    bar
}

fn hidden_unless_wanted(ctx: &Context, size_bytes: u64) -> ProgressBar {
    // A target of standard error hides itself where that is no terminal.
    let target = if ctx.quiet {
        ProgressDrawTarget::hidden()
    } else {
        ProgressDrawTarget::stderr()
    };
    ProgressBar::with_draw_target(Some(size_bytes), target)
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
