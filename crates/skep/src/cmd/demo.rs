//! `skep demo`: the whole of it on loopback, scored against the truth.

mod paint;
mod screen;
mod tables;

use std::{
    io::stdout,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use anyhow::{Context as _, anyhow};
use indicatif::MultiProgress;
use skep_lab::{
    demo::{self, Demo},
    hostile::Kind,
    scenario::{DEMO_SECS_MAX, DEMO_SECS_MIN, Deed, Scenario},
    score::Failure,
};
use tokio::signal::unix::{SignalKind, signal};

use self::{
    paint::{Colour, Paint},
    screen::Screen,
};
use crate::{
    signals::Ending,
    ui::{self, CmdError, Context, Outcome},
};

/// Watch a real swarm on this machine and see how well it was seen
///
/// Starts a tracker, a seeder, downloaders that come and go, and hostile company, each on its own
/// 127.x.y.z address with real sockets. Watches the swarm as `skep observe` does, prints the
/// exhibit, writes the report and the bundle, verifies the bundle as `skep verify` does, and only
/// then opens the actors' own log and counts what was stated rightly, wrongly, or not at all.
/// Needs no network, takes less than a minute, and fails if anything above "reached" was stated
/// falsely. Ctrl-C ends it with exit code 130; what it wrote until then stays, and shows nothing.
///
/// For example: skep demo --seed 7 --out /tmp/demo
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The folder for everything that the demo leaves; new or empty [default: skep-demo-SEED].
    #[arg(short, long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Decides the content, who comes and goes when, and every random choice [default: drawn].
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// How long to watch the swarm, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 30,
          value_parser = clap::value_parser!(u32).range(i64::from(DEMO_SECS_MIN)..=i64::from(DEMO_SECS_MAX)))]
    seconds: u32,
}

/// The greatest drawn seed: short enough to type.
const DRAWN_SEED_BELOW: u64 = 1_000_000;

pub(crate) fn run(args: Args, ctx: &Context) -> Result<Outcome, CmdError> {
    let began = Instant::now();
    let seed = match args.seed {
        Some(seed) => seed,
        None => draw_seed()?,
    };
    let dir = args
        .out
        .unwrap_or_else(|| PathBuf::from(format!("skep-demo-{seed}")));
    make_empty(&dir)?;
    let scenario = Scenario::demo(seed, args.seconds);
    let mut screen = Screen::new(ctx, scenario.watch);
    let is_made = heed_interruptions(&dir, screen.bars()).map_err(CmdError::surroundings)?;
    screen.say(&opening(&scenario, &dir));
    let result = demo::run(&scenario, &dir, &mut |told| screen.tell(told));
    screen.take_down();
    is_made.store(true, Ordering::Relaxed);
    let demo = result
        .inspect_err(|_| ui::say(half(&dir)))
        .map_err(CmdError::surroundings)?;
    ui::print(closing(&demo, &dir, seed, Paint::on(&stdout())))?;
    screen.say(&format!("\n{:.1} s in all.", began.elapsed().as_secs_f64()));
    Ok(if !demo.verification.verified() {
        Outcome::DoesNotVerify
    } else if demo.exam.failures.is_empty() {
        Outcome::Done
    } else {
        Outcome::Negative
    })
}

/// From now on an interruption ends the program with exit code 128 and the signal's number, as a shell says
/// it, and is said with what it leaves behind. What is returned is to be set when the folder is whole.
fn heed_interruptions(dir: &Path, bars: MultiProgress) -> std::io::Result<Arc<AtomicBool>> {
    const INTERRUPTED: i32 = 128 + 2;
    const TERMINATED: i32 = 128 + 15;
    let is_made = Arc::new(AtomicBool::new(false));
    let (is_whole, dir) = (is_made.clone(), dir.to_owned());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (mut interrupt, mut ending) = {
        let _inside = runtime.enter();
        (signal(SignalKind::interrupt())?, Ending::new()?)
    };
    let wait = async move {
        let code = tokio::select! {
            _ = interrupt.recv() => INTERRUPTED,
            () = ending.recv() => TERMINATED,
        };
        // The bars are in the way of the line; if they stay, so be it.
        let _ = bars.clear();
        let left = if is_whole.load(Ordering::Relaxed) {
            format!("{} is whole", dir.display())
        } else {
            half(&dir)
        };
        ui::say(format!("interrupted: {left}"));
        std::process::exit(code)
    };
    std::thread::Builder::new()
        .name("interruptions".to_owned())
        .spawn(move || runtime.block_on(wait))?;
    Ok(is_made)
}

/// What is to be said of the folder of a demo that did not come to its end.
fn half(dir: &Path) -> String {
    format!(
        "{} holds half a demo, which shows nothing; remove it",
        dir.display()
    )
}

fn opening(scenario: &Scenario, dir: &Path) -> String {
    let paint = Paint::on(&std::io::stderr());
    let fetching = scenario
        .cast
        .iter()
        .filter(|part| matches!(part.deed, Deed::Fetches { .. }));
    format!(
        "{} A swarm on loopback: one tracker, one seeder, {} downloaders that come and go, and {} \
         hostile endpoints.\nThe observer watches it for {} s and knows nothing of who is who. Seed \
         {}; files in {}.",
        paint.bold("skep demo."),
        fetching.count(),
        Kind::ALL.len(),
        scenario.watch.as_secs(),
        scenario.seed,
        dir.display()
    )
}

/// Everything that is printed as the result.
fn closing(demo: &Demo, dir: &Path, seed: u64, paint: Paint) -> String {
    let mut out = format!(
        "\n{}\n\n",
        paint.bold("EXHIBIT A, and beside it who it was")
    );
    out += &tables::exhibit(&demo.findings, &demo.exam, paint);
    out += &format!(
        "\n{}\n\n",
        paint.bold("VERIFICATION, offline, from the bundle alone")
    );
    out += &tables::verification(&demo.verification, paint);
    out += &format!("\n{}\n\n", paint.bold("SCORE, against the actors' own log"));
    out += &tables::score(&demo.exam, paint);
    out += &format!("\n{}\n\n", paint.bold("FILES"));
    for (path, what) in &demo.files {
        let path = dir.join(path).display().to_string();
        out += &format!("  {path:<44} {what}\n");
    }
    out += &format!("\n{}\n\n", paint.bold("ASKED WAS"));
    let failures = &demo.exam.failures;
    let asked = [
        (
            "no false statement above Reached",
            !failures.iter().any(Failure::is_falsehood),
        ),
        (
            "every honest peer that was up for 20 s at least Claimed, the seeder Verified",
            !failures.iter().any(|failure| !failure.is_falsehood()),
        ),
        ("the bundle verifies", demo.verification.verified()),
    ];
    for (what, holds) in asked {
        let mark = if holds {
            paint.colour(Colour::Green, "ok  ")
        } else {
            paint.colour(Colour::Red, "FAIL")
        };
        out += &format!("  {mark} {what}\n");
    }
    for failure in failures {
        out += &format!("       {failure}\n");
    }
    out += &if asked.iter().all(|(_, holds)| *holds) {
        format!(
            "\n{} The same again: skep demo --seed {seed}\n",
            paint.colour(Colour::Green, "PASSED.")
        )
    } else {
        format!("\n{}\n", paint.colour(Colour::Red, "FAILED."))
    };
    out
}

fn draw_seed() -> Result<u64, CmdError> {
    let drawn = getrandom::u64().map_err(|error| CmdError::surroundings(anyhow!("{error}")))?;
    Ok(drawn % DRAWN_SEED_BELOW)
}

/// Makes `dir`; what is in it already is not ours to mix with.
fn make_empty(dir: &Path) -> Result<(), CmdError> {
    let context = || format!("{}", dir.display());
    std::fs::create_dir_all(dir)
        .with_context(context)
        .map_err(CmdError::surroundings)?;
    let mut entries = std::fs::read_dir(dir)
        .with_context(context)
        .map_err(CmdError::surroundings)?;
    if entries.next().is_some() {
        return Err(CmdError::usage(anyhow!("{} is not empty", dir.display()))
            .hint("name a new folder with --out"));
    }
    Ok(())
}
