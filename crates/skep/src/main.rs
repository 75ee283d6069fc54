//! `skep`: BitTorrent, whole and witnessed.
//!
//! One file a subcommand in `cmd/`; parsing validates and does nothing else, and the work is in the
//! libraries. Results go to standard output, everything else to standard error, both through `ui`.

// These panic where nobody reads any more.
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod cmd;
mod hints;
mod options;
mod progress;
mod signals;
mod torrent_file;
mod transfer;
mod ui;
mod units;

use std::process::ExitCode;

use clap::Parser;

use crate::ui::{Kind, Outcome};

/// What stands below the list of commands.
const EXITS: &str = "\
Exit codes: 0 done, 1 the finding is negative, 2 wrong usage or input, 3 disk or network refused, \
4 evidence does not verify.\n\
Results go to standard output, all else to standard error. A reader that leaves early (`| head`) ends \
no command and changes no exit code: a download, a tracker or an observation goes on.";

/// BitTorrent, whole and witnessed: create, seed and get torrents, run a tracker, and watch swarms
/// so that every statement about them can be checked again by someone else.
#[derive(Debug, Parser)]
#[command(name = "skep", version, propagate_version = true, max_term_width = 100, after_help = EXITS)]
struct Cli {
    /// Say less: no progress bars, only results and errors.
    #[arg(short, long, global = true)]
    quiet: bool,
    #[command(subcommand)]
    command: cmd::Command,
}

fn main() -> ExitCode {
    let ended = match Cli::try_parse() {
        Ok(cli) => {
            skep_net::disk::files::raise_descriptors();
            let ctx = ui::Context { quiet: cli.quiet };
            cmd::run(cli.command, &ctx)
        }
        Err(said) if said.use_stderr() => {
            // Nobody is left to tell if this cannot be said.
            let _ = said.print();
            return ExitCode::from(Kind::Usage.exit_code());
        }
        // Help, or the version.
        Err(said) => ui::printed(said.print()).map(|_| Outcome::Done),
    };
    match ended {
        Ok(outcome) => outcome.exit_code(),
        Err(error) => {
            ui::say(&error);
            ExitCode::from(error.kind.exit_code())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use clap::CommandFactory as _;

    use super::*;

    /// A letter means one thing, whatever the command, and what has a letter has it everywhere.
    #[test]
    fn short_options_are_the_same_in_every_command() {
        let mut cli = Cli::command();
        cli.build();
        let (mut longs, mut shorts) = (BTreeMap::new(), BTreeMap::new());
        for command in cli.get_subcommands() {
            let options = command.get_arguments().filter_map(|arg| {
                let long = arg.get_long()?.to_owned();
                Some((long, arg.get_short()))
            });
            for (long, short) in options {
                let known = *longs.entry(long.clone()).or_insert(short);
                assert_eq!(known, short, "--{long} in {}", command.get_name());
                if let Some(short) = short {
                    let known = shorts.entry(short).or_insert(long.clone());
                    assert_eq!(*known, long, "-{short} in {}", command.get_name());
                }
            }
        }
        assert_eq!(longs["out"], Some('o'));
        cli.debug_assert();
    }
}
