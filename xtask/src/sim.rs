//! Swarms in virtual time: the long form of the simulation's tests.

use anyhow::{Context as _, Result, bail};

use crate::shell;

/// How many seeds an ordinary run has.
pub(crate) const SEEDS: u64 = 100;

/// How many a long one has.
pub(crate) const SEEDS_LONG: u64 = 1000;

pub(crate) fn run(args: &[String]) -> Result<()> {
    let (mut from, mut seeds) = (0, SEEDS);
    let mut peers = (50, 300);
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        let value = rest
            .next()
            .with_context(|| format!("{arg} wants a value"))?;
        let number = |text: &str| -> Result<u64> {
            text.parse()
                .with_context(|| format!("{arg}: {text} is no number"))
        };
        match arg.as_str() {
            "--from" => from = number(value)?,
            "--seeds" => seeds = number(value)?,
            "--peers" => {
                let (least, most) = value
                    .split_once("..")
                    .context("--peers wants LEAST..MOST")?;
                peers = (number(least)?, number(most)?);
            }
            unknown => bail!("no option is called {unknown}"),
        }
    }
    let (least, most) = peers;
    if least < 20 || least > most || most > 10_000 {
        bail!("from {least} to {most} peers: a swarm has 20 to 10000");
    }
    swarms(from, seeds, peers)
}

/// Runs `seeds` swarms from the seed `from` on. Not a release build: these crates are optimised in every
/// build, and here sums are checked and assertions stand.
pub(crate) fn swarms(from: u64, seeds: u64, peers: (u64, u64)) -> Result<()> {
    let numbers = [from, seeds, peers.0, peers.1].map(|number| number.to_string());
    let mut command = shell::cargo(&["run", "--quiet", "--package", "skep-sim"]);
    command.args(["--example", "swarms", "--"]).args(numbers);
    shell::run(command).context("swarms in virtual time")
}
