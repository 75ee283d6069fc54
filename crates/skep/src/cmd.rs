//! The subcommands: one file each, one line in each of the two lists below.

mod bundle;
mod completions;
mod create;
mod demo;
mod edit;
mod get;
mod inspect;
mod observe;
mod recheck;
mod records;
mod report;
mod seed;
mod tracker;
mod verify;

use crate::ui::{CmdError, Context, Outcome};

/// The subcommands.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    Create(create::Args),
    Demo(demo::Args),
    Inspect(inspect::Args),
    Edit(edit::Args),
    Seed(seed::Args),
    Get(get::Args),
    Recheck(recheck::Args),
    Tracker(tracker::Args),
    Observe(observe::Args),
    Report(report::Args),
    Records(records::Args),
    Bundle(bundle::Args),
    Verify(verify::Args),
    Completions(completions::Args),
}

/// Runs a subcommand.
pub(crate) fn run(command: Command, ctx: &Context) -> Result<Outcome, CmdError> {
    match command {
        Command::Create(args) => create::run(args, ctx),
        Command::Demo(args) => demo::run(args, ctx),
        Command::Inspect(args) => inspect::run(args, ctx),
        Command::Edit(args) => edit::run(args, ctx),
        Command::Seed(args) => seed::run(args, ctx),
        Command::Get(args) => get::run(args, ctx),
        Command::Recheck(args) => recheck::run(args, ctx),
        Command::Tracker(args) => tracker::run(args, ctx),
        Command::Observe(args) => observe::run(args, ctx),
        Command::Report(args) => report::run(args, ctx),
        Command::Records(args) => records::run(args, ctx),
        Command::Bundle(args) => bundle::run(args, ctx),
        Command::Verify(args) => verify::run(args, ctx),
        Command::Completions(args) => completions::run(args, ctx),
    }
}
