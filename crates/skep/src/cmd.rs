//! The subcommands: one file each, one line in each of the two lists below.

mod completions;

use crate::ui::{CmdError, Context, Outcome};

/// The subcommands.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    Completions(completions::Args),
}

/// Runs a subcommand.
pub(crate) fn run(command: Command, ctx: &Context) -> Result<Outcome, CmdError> {
    match command {
        Command::Completions(args) => completions::run(args, ctx),
    }
}
