//! `skep completions`: tab completion for shells.

use clap::CommandFactory as _;

use crate::ui::{self, CmdError, Context, Outcome};

/// Print a tab-completion script for a shell
///
/// For example: skep completions bash > /etc/bash_completion.d/skep
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The shell.
    shell: clap_complete::Shell,
}

pub(crate) fn run(args: Args, _ctx: &Context) -> Result<Outcome, CmdError> {
    let mut command = crate::Cli::command();
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "skep", &mut script);
    ui::print(script)?;
    Ok(Outcome::Done)
}
