//! Runs swarms of many seeds and judges each: the long form of the tests, for `cargo xtask sim`.
//!
//! ```text
//! swarms FIRST COUNT PEERS_MIN PEERS_MAX
//! ```
//!
//! One line a seed that fails, with the command that runs it again; a line of progress now and then; at
//! the end the figures.

#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "what runs the pure machines has a clock and arguments"
)]

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use skep_sim::trial::{Figures, Trial};

/// Between lines of progress.
const PROGRESS: Duration = Duration::from_secs(10);

/// A seed that takes longer is told of.
const SLOW_SECS: f64 = 10.0;

fn main() -> ExitCode {
    let numbers: Option<Vec<u64>> = std::env::args()
        .skip(1)
        .map(|arg| arg.parse().ok())
        .collect();
    let Some([first, count, least, most]) = numbers.as_deref() else {
        eprintln!("usage: swarms FIRST COUNT PEERS_MIN PEERS_MAX");
        return ExitCode::from(2);
    };
    let (start, mut said) = (Instant::now(), Instant::now());
    let (mut sum, mut failed, mut slowest) = (Figures::default(), Vec::new(), (0, 0));
    let mut memory = 0.0f64;
    for seed in *first..first + count {
        let before = peak_kib(true);
        let begun = cpu_secs().unwrap_or_default();
        let mut trial = Trial::new(seed, *least..=*most);
        if *count == 1 {
            eprintln!("seed {seed}: {}", trial.plan());
        }
        match trial.run() {
            Ok(figures) => {
                sum.add(&figures);
                if let (Some(_), Some(peak)) = (before, peak_kib(false)) {
                    memory = memory.max(peak as f64 / figures.peers as f64);
                }
                slowest = slowest.max((figures.virtual_nanos / 1_000_000_000, seed));
            }
            Err(failure) => {
                eprintln!("{failure}\n  {}", trial.plan());
                eprintln!(
                    "  again: cargo xtask sim --from {seed} --seeds 1 --peers {least}..{most}"
                );
                failed.push(seed);
            }
        }
        let took = cpu_secs().unwrap_or_default() - begun;
        if took > SLOW_SECS {
            eprintln!("seed {seed} took {took:.1} s of a core: {}", trial.plan());
        }
        if said.elapsed() > PROGRESS {
            said = Instant::now();
            let done = seed - first + 1;
            eprintln!("{done} of {count} seeds, {} failed", failed.len());
        }
    }
    let secs = cpu_secs().unwrap_or(start.elapsed().as_secs_f64());
    println!("seeds                    {count}, {} failed", failed.len());
    println!("peers                    {}", sum.peers);
    println!(
        "virtual hours            {:.1} (longest {} s, seed {})",
        sum.virtual_nanos as f64 / 3.6e12,
        slowest.0,
        slowest.1
    );
    println!(
        "messages sent            {} ({:.0} a second)",
        sum.sent,
        sum.sent as f64 / secs
    );
    println!(
        "happenings               {} ({:.0} a second)",
        sum.happenings,
        sum.happenings as f64 / secs
    );
    println!("accusations of liars     {}", sum.accusations);
    println!("blocks fetched again     {}", sum.refetched);
    println!("most waited for a peer   {} bytes", sum.waiting_bytes_max);
    println!(
        "peak memory a peer       {:.1} KiB, all of the simulation counted",
        memory
    );
    println!(
        "seconds                  {secs:.1} of one core, {:.1} on the wall",
        start.elapsed().as_secs_f64()
    );
    match failed.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// Time on a core, as Linux counts it.
fn cpu_secs() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/self/schedstat").ok()?;
    let nanos: f64 = text.split(' ').next()?.parse().ok()?;
    Some(nanos / 1e9)
}

/// The most memory that the process had, in KiB, as Linux counts it; of the time from now on if it is to
/// begin `anew`.
fn peak_kib(anew: bool) -> Option<u64> {
    if anew {
        std::fs::write("/proc/self/clear_refs", "5").ok()?;
    }
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}
