//! Fuzzing, where the toolchain allows it.
//!
//! `cargo fuzz` wants unstable compiler flags. A nightly toolchain is used if there is one, else the
//! stable compiler is told to accept them (`RUSTC_BOOTSTRAP`). Corpus and past findings are replayed
//! by ordinary tests everywhere, so a machine without cargo-fuzz still checks them.

use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::shell;

/// Seconds a target in an ordinary run.
pub(crate) const SECONDS: u32 = 10;

/// What the fuzzer draws its changes from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Chance {
    /// A seed of its own in each run, to find what no run has found.
    Drawn,
    /// The same seed in every run: what fails then is a change of the code, not luck.
    Same,
}

pub(crate) fn run(args: &[String]) -> Result<()> {
    let seconds = args
        .iter()
        .find_map(|arg| arg.parse().ok())
        .unwrap_or(SECONDS);
    let only = args.iter().find(|arg| arg.parse::<u32>().is_err());
    if let Some(why) = missing() {
        bail!("cannot fuzz here: {why}");
    }
    all(only.map(String::as_str), seconds, Chance::Drawn)
}

/// Why fuzzing cannot be done here, if so. Installs cargo-fuzz where it is missing.
pub(crate) fn missing() -> Option<String> {
    let have = || shell::output(shell::cargo(&["fuzz", "--version"])).is_ok();
    if have() || shell::run(shell::cargo(&["install", "--locked", "cargo-fuzz"])).is_ok() && have()
    {
        return None;
    }
    Some("cargo-fuzz is not installed and cannot be".into())
}

/// Fuzzes every target (or one) for `seconds`.
pub(crate) fn all(only: Option<&str>, seconds: u32, chance: Chance) -> Result<()> {
    let targets = shell::output(fuzz(&["list"])).context("list fuzz targets")?;
    let targets: Vec<&str> = targets
        .lines()
        .filter(|target| only.is_none_or(|only| only == *target))
        .collect();
    if targets.is_empty() {
        bail!("no such fuzz target; cargo fuzz list names them");
    }
    let time = format!("-max_total_time={seconds}");
    let seed = match chance {
        Chance::Drawn => "-seed=0", // libFuzzer draws one
        Chance::Same => "-seed=1",
    };
    for target in targets {
        println!("fuzz: {target}, {seconds} s");
        let args = [
            "run",
            "-s",
            "none",
            target,
            "--",
            &time,
            seed,
            "-rss_limit_mb=1024",
            "-verbosity=0",
        ];
        shell::run(fuzz(&args)).with_context(|| format!("fuzz target {target}"))?;
    }
    Ok(())
}

fn fuzz(args: &[&str]) -> Command {
    let mut all = vec!["fuzz"];
    all.extend(args);
    let mut command = shell::cargo(&all);
    command.env("RUSTC_BOOTSTRAP", "1");
    command
}
