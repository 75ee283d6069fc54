//! What is shown while the demo runs: bars on a terminal, plain lines elsewhere.

use std::{
    fmt::Write,
    io::stderr,
    time::{Duration, Instant},
};

use indicatif::{MultiProgress, ProgressBar, ProgressState, ProgressStyle};
use skep_lab::{
    demo::{Part, Told},
    play::News,
};

use super::paint::{Colour, Paint};
use crate::{
    progress,
    ui::{self, Context},
    units::Bytes,
};

/// The demo's screen, on standard error.
pub(super) struct Screen {
    paint: Paint,
    quiet: bool,
    bars: MultiProgress,
    clock: ProgressBar,
    swarm: ProgressBar,
    observer: ProgressBar,
    watch: Duration,
    said: Duration,
    began: Instant,
}

/// How often plain lines say how it goes.
const PLAIN_EVERY: Duration = Duration::from_secs(5);

impl Screen {
    pub(super) fn new(ctx: &Context, watch: Duration) -> Self {
        let bars = MultiProgress::with_draw_target(progress::target(ctx));
        let paint = Paint::on(&stderr());
        let cells = move |state: &ProgressState, out: &mut dyn Write| {
            let cells = progress::fitting(state, "  watching   30 of 30 s ".len());
            let _ = write!(out, "{}", paint.colour(Colour::Cyan, &cells));
        };
        let line = |template: &str| {
            let style = ProgressStyle::with_template(template);
            let bar = ProgressBar::new(u64::try_from(watch.as_millis()).unwrap_or(u64::MAX));
            let style = style.expect("the template is well-formed");
            bar.set_style(style.with_key("cells", cells));
            bars.add(bar)
        };
        Self {
            paint,
            quiet: ctx.quiet,
            clock: line("  watching  {cells} {wide_msg}"),
            swarm: line("  swarm     {wide_msg}"),
            observer: line("  observer  {wide_msg}"),
            bars,
            watch,
            said: Duration::ZERO,
            began: Instant::now(),
        }
    }

    /// The lines that are drawn again and again.
    pub(super) fn bars(&self) -> MultiProgress {
        self.bars.clone()
    }

    /// A line that stays.
    pub(super) fn say(&self, line: &str) {
        if self.quiet {
            return;
        }
        if self.bars.is_hidden() {
            ui::say(line);
        } else {
            // An error would mean that the terminal is gone; there is nobody to tell.
            let _ = self.bars.println(line);
        }
    }

    pub(super) fn tell(&mut self, told: Told<'_>) {
        match told {
            Told::News(news) => self.news(news),
            Told::Done(part) => {
                self.take_down();
                let took = self.began.elapsed().as_secs_f64();
                self.say(&format!(
                    "  {} {} at {took:.1} s",
                    self.paint.dim("·"),
                    part_line(part)
                ));
            }
        }
    }

    fn news(&mut self, news: News<'_>) {
        match news {
            News::Enters {
                name,
                role,
                honest,
                endpoint,
            } => {
                let sign = self
                    .paint
                    .colour(if honest { Colour::Green } else { Colour::Red }, "+");
                self.say(&format!(
                    "  {sign} {name:<15} {:<22} {role}",
                    endpoint.to_string()
                ));
            }
            News::Leaves { name } => {
                self.say(&format!("  {} {name:<15} leaves", self.paint.dim("-")));
            }
            News::Watching {
                elapsed,
                honest_up,
                complete,
                seen,
            } => {
                let swarm = format!("{honest_up} honest peers up, {complete} have everything");
                let observer = format!(
                    "{} endpoints: {} reached, {} joined, {} claimed, {} delivered, {} verified; \
                     {} captured, {} records",
                    seen.endpoints,
                    seen.reached,
                    seen.joined,
                    seen.claimed,
                    seen.delivered,
                    seen.verified,
                    Bytes(seen.captured_bytes),
                    seen.records
                );
                let clock = format!("{} of {} s", elapsed.as_secs(), self.watch.as_secs());
                if self.bars.is_hidden() && elapsed >= self.said + PLAIN_EVERY {
                    self.said = elapsed;
                    self.say(&format!("  {clock}: {swarm}; observer: {observer}"));
                }
                self.clock
                    .set_position(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX));
                self.clock.set_message(clock);
                self.swarm.set_message(swarm);
                self.observer.set_message(observer);
            }
        }
    }

    /// Takes the bars away; lines that were said stay.
    pub(super) fn take_down(&self) {
        self.clock.finish_and_clear();
        self.swarm.finish_and_clear();
        self.observer.finish_and_clear();
    }
}

fn part_line(part: Part) -> &'static str {
    match part {
        Part::Observed => "the observation has ended",
        Part::Reported => "report written",
        Part::Bundled => "bundle written",
        Part::Verified => "bundle replayed and checked, statement by statement",
        Part::Scored => "truth log opened and compared",
    }
}
