//! `skep verify`: every check of a bundle.

use std::path::PathBuf;

use anyhow::Context as _;
use skep_net::bundle::BundleFile;
use skep_verify::Policy;

use crate::ui::{self, CmdError, Context, Outcome};

/// Check a bundle: replay every run and compare everything
///
/// Needs no network and no account. It says statement by statement what was checked, what could not
/// be, and what it does not show. Without --policy the keys found in the bundle prove only that it
/// agrees with itself. Exit code 4 if anything does not verify.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The bundle.
    bundle: PathBuf,
    /// Whom you trust: a C2SP tlog-policy file with the operator's key, had from elsewhere.
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: Args, _ctx: &Context) -> Result<Outcome, CmdError> {
    let policy = args.policy.map(|path| {
        let bytes = std::fs::read(&path)
            .with_context(|| path.display().to_string())
            .map_err(CmdError::surroundings)?;
        Policy::parse(&bytes)
            .with_context(|| path.display().to_string())
            .map_err(CmdError::usage)
    });
    let policy = policy.transpose()?;
    let bundle = BundleFile::open(&args.bundle)
        .with_context(|| args.bundle.display().to_string())
        .map_err(|error| {
            CmdError::surroundings(error).or_hint("BUNDLE is the file that `skep bundle DIR` made")
        })?;
    let outcome = skep_verify::verify(bundle, policy.as_ref());
    if let Some((check, failure)) = outcome.failure()
        && failure.is_surroundings()
    {
        return Err(CmdError::surroundings(anyhow::anyhow!(
            "{}: {failure}",
            check.part
        )));
    }
    let text = if args.json {
        format!("{}\n", outcome.to_json())
    } else {
        outcome.to_string()
    };
    ui::print(text)?;
    Ok(if outcome.verified() {
        Outcome::Done
    } else {
        Outcome::DoesNotVerify
    })
}
