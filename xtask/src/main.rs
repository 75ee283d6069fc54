//! Everything that builds, checks and measures skep: `cargo xtask`.
//!
//! One file a task. `cargo xtask test` is the one test command of the project: it runs every phase
//! in order, installs what a phase needs, and says what it skipped and why.

mod bench;
mod docs;
mod fuzz;
mod shell;
mod sim;
mod test;
mod tidy;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask TASK

  test [PHASE...] [--long]   every check in order, or only the named phases:
                             fmt clippy tidy unit swarms release demo fuzz interop
                             --long: a thousand seeds, 10 minutes a fuzz target
  tidy                       layering, file sizes and the other rules of docs/style.md
  docs [--check]             write the generated pages of docs/ (or check that they are current)
  fuzz [TARGET] [SECONDS]    fuzz one target or all of them, 10 s each
  sim [--from SEED] [--seeds N] [--peers LEAST..MOST]
                             swarms in virtual time, each judged; 100 seeds of 50..300 peers
  bench [NAME...] [--reps N] [--mib N] [--meta v1|v2|hybrid] [--piece KIB] [--dir DIR [--cold]] [--all] [--keep FILE]
                             measure skep beside its peers: create recheck transfer swarm ledger hash
                             memory (that one only if it is named: 16 GiB, written to a disk)
                             --dir: content there (a disk, say) instead of in memory
                             --cold: which is out of the page cache before each run
                             --all: also the peers that take long to build (rqbit, imdl, ...)
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let rest = args.get(1..).unwrap_or_default();
    let outcome = match args.first().map(String::as_str) {
        Some("test") => test::run(rest),
        Some("tidy") => tidy::run(),
        Some("docs") => docs::run(rest),
        Some("fuzz") => fuzz::run(rest),
        Some("sim") => sim::run(rest),
        Some("bench") => bench::run(rest),
        Some("help" | "-h" | "--help") => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
