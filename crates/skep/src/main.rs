//! `skep`: BitTorrent, whole and witnessed.
//!
//! One file a subcommand in `cmd/`; parsing validates and does nothing else, and the work is in the
//! libraries. Results go to standard output, everything else to standard error.

mod cmd;
mod progress;
mod torrent_file;
mod transfer;
mod ui;
mod units;

use std::process::ExitCode;

use clap::Parser;

/// BitTorrent, whole and witnessed: create, seed and get torrents, run a tracker, and watch swarms
/// so that every statement about them can be checked again by someone else.
#[derive(Debug, Parser)]
#[command(name = "skep", version, propagate_version = true, max_term_width = 100)]
struct Cli {
    /// Say less: no progress bars, only results and errors.
    #[arg(short, long, global = true)]
    quiet: bool,
    #[command(subcommand)]
    command: cmd::Command,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let ctx = ui::Context { quiet: cli.quiet };
    match cmd::run(cli.command, &ctx) {
        Ok(outcome) => outcome.exit_code(),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(error.kind.exit_code())
        }
    }
}
