//! The one test command: every phase in order, each with its time, and what was skipped and why.

use std::time::Instant;

use anyhow::{Context as _, Result, bail};

use crate::{docs, fuzz, shell, sim, tidy};

/// What a phase came to.
enum Verdict {
    Passed,
    Skipped(String),
}

type Phase = (&'static str, fn(bool) -> Result<Verdict>);

const PHASES: &[Phase] = &[
    ("fmt", |_| {
        passed(shell::run(shell::cargo(&["fmt", "--all", "--", "--check"])))
    }),
    ("clippy", |_| {
        passed(shell::run(shell::cargo(&[
            "clippy",
            "--workspace",
            "--all-targets",
            "--quiet",
            "--",
            "-D",
            "warnings",
        ])))
    }),
    ("tidy", |_| {
        tidy::run()?;
        passed(docs::run(&["--check".into()]))
    }),
    ("unit", unit),
    ("swarms", |long| match long {
        true => passed(sim::swarms(0, sim::SEEDS_LONG, (50, 300))),
        false => Ok(Verdict::Skipped("unit has some; --long".into())),
    }),
    ("release", |_| {
        passed(shell::run(shell::cargo(&[
            "build",
            "--release",
            "--package",
            "skep",
            "--package",
            "skep-verify-bin",
        ])))
    }),
    ("demo", demo),
    ("fuzz", fuzz_all),
    ("interop", interop),
];

pub(crate) fn run(args: &[String]) -> Result<()> {
    let long = args.iter().any(|arg| arg == "--long");
    let wanted: Vec<&str> = args
        .iter()
        .map(String::as_str)
        .filter(|arg| !arg.starts_with("--"))
        .collect();
    if let Some(unknown) = wanted
        .iter()
        .find(|name| PHASES.iter().all(|(phase, _)| phase != *name))
    {
        bail!("no phase is called {unknown}");
    }
    let mut lines = Vec::new();
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for (name, phase) in PHASES {
        if !wanted.is_empty() && !wanted.contains(name) {
            continue;
        }
        println!("== {name}");
        let start = Instant::now();
        let outcome = phase(long);
        let seconds = start.elapsed().as_secs_f32();
        lines.push(match outcome {
            Ok(Verdict::Passed) => {
                passed += 1;
                format!("{name:<8} passed   {seconds:>7.1} s")
            }
            Ok(Verdict::Skipped(why)) => {
                skipped += 1;
                format!("{name:<8} skipped  {seconds:>7.1} s  {why}")
            }
            Err(error) => {
                failed += 1;
                eprintln!("{name}: {error:#}");
                format!("{name:<8} FAILED   {seconds:>7.1} s  {error:#}")
            }
        });
    }
    println!("\n{}\n", lines.join("\n"));
    println!("{passed} passed, {failed} failed, {skipped} skipped");
    if failed > 0 {
        bail!("{failed} of {} phases failed", passed + failed + skipped);
    }
    Ok(())
}

fn passed(outcome: Result<()>) -> Result<Verdict> {
    outcome.map(|()| Verdict::Passed)
}

/// Unit tests, simulations and command scripts.
fn unit(long: bool) -> Result<Verdict> {
    let mut command = shell::cargo(&["test", "--workspace", "--quiet", "--no-fail-fast"]);
    if long {
        command.env("SKEP_SIM_SEEDS", "1000").env("SKEP_LONG", "1");
    }
    passed(shell::run(command))
}

/// The demo, as a newcomer runs it: it scores itself and fails if the observer said a false thing.
fn demo(_long: bool) -> Result<Verdict> {
    let out = shell::root().join("target/demo");
    if out.exists() {
        std::fs::remove_dir_all(&out).context("remove the last demo")?;
    }
    let out = out.to_str().context("path is not UTF-8")?.to_owned();
    let skep = shell::root().join("target/release/skep");
    let skep = skep.to_str().context("path is not UTF-8")?.to_owned();
    passed(shell::run(shell::command(&skep, &["demo", "--out", &out])))
}

fn fuzz_all(long: bool) -> Result<Verdict> {
    if let Some(why) = fuzz::missing() {
        return Ok(Verdict::Skipped(why));
    }
    passed(if long {
        fuzz::all(None, 600, fuzz::Chance::Drawn)
    } else {
        fuzz::all(None, fuzz::SECONDS, fuzz::Chance::Same)
    })
}

/// Real peers on loopback: libtorrent, aria2, transmission and qbittorrent; in the long form also rtorrent,
/// deluge, rqbit and webtorrent.
fn interop(long: bool) -> Result<Verdict> {
    let (install, run) = if long {
        (
            &["bench/peers/install.sh", "long"][..],
            ". bench/peers/env.sh && exec \"$PY\" interop/run.py --long",
        )
    } else {
        (
            &["bench/peers/install.sh"][..],
            ". bench/peers/env.sh && exec \"$PY\" interop/run.py",
        )
    };
    if let Err(error) = shell::run(shell::command("bash", install)) {
        return Ok(Verdict::Skipped(format!(
            "the peers cannot be installed here: {error:#}"
        )));
    }
    passed(shell::run(shell::command("bash", &["-c", run])))
}
