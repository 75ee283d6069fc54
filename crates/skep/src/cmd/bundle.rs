//! `skep bundle`: one archive of an observation that stands by itself.

use std::path::PathBuf;

use skep_net::bundle::{self, BundleWriteError};

use crate::{
    progress, torrent_file,
    ui::{self, CmdError, Context, Outcome},
    units::Bytes,
};

/// Make one archive of an observation that anyone can check offline
///
/// The bundle holds the ledger, the torrent files, the journals and captures of every run, the
/// operator's public key and the report: everything that the last signed checkpoint covers. The
/// operator's secret key is never in it. It is an ordinary tar archive; README.txt in it says how to
/// check each part with other people's tools, and `skep verify` does it all.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The observation's folder.
    dir: PathBuf,
    /// Where to write it, or the folder for it; by default DIR with ".skep.tar" added to its name.
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(crate) fn run(args: Args, ctx: &Context) -> Result<Outcome, CmdError> {
    let beside = beside(&args.dir);
    let out = match args.out {
        Some(out) => torrent_file::place(out, beside.file_name().unwrap_or_default()),
        None => beside,
    };
    let bar = progress::bytes_bar(ctx, "bundling", 0);
    let written = bundle::write(&args.dir, &out, |done, to_do| {
        bar.set_length(to_do);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    let written = written.map_err(|error| match error {
        BundleWriteError::Observation { .. } => CmdError::surroundings(error)
            .or_hint("DIR is the folder that `skep observe --out DIR` made"),
        other => CmdError::surroundings(other),
    })?;
    if written.uncovered > 0 {
        ctx.note(format!(
            "{} records are not signed yet and stay behind",
            written.uncovered
        ));
    }
    ui::print(format!(
        "{}  {} files, {} records, {}\n",
        out.display(),
        written.files,
        written.records,
        Bytes(written.size_bytes)
    ))?;
    Ok(Outcome::Done)
}

/// The name beside the folder.
fn beside(dir: &std::path::Path) -> PathBuf {
    let name = dir.canonicalize().ok();
    let name = name
        .as_deref()
        .and_then(|dir| dir.file_name())
        .unwrap_or_default();
    let mut name = name.to_owned();
    name.push(".skep.tar");
    dir.parent().unwrap_or(std::path::Path::new("")).join(name)
}
