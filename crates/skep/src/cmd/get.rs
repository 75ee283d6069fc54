//! `skep get`: fetch a torrent.

use std::{path::PathBuf, sync::Arc};

use skep_net::session::{Place, Purpose, SeedUntil, SessionConfig};

use crate::{
    options, torrent_file, transfer,
    ui::{CmdError, Context, Outcome},
    units::Span,
};

/// Fetch the content of a torrent
///
/// What is there already is checked and kept; what was fetched is never fetched again, also after a
/// crash. Ends when everything is there, unless it is told to go on sharing.
///
/// When everything is there, the torrent's symbolic links are made and its programs may be run (BEP 47). A link
/// that leads out of the torrent is not made, and nothing that lies where a link should be is replaced.
///
/// Trackers are asked as BEP 12 says: tier after tier, in a tier in an order that is drawn, until one
/// answers. The others are asked only where that one fails, so not every tracker hears of us.
///
/// For example: skep get debian.torrent --out downloads --seed-ratio 1.5
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The torrent file.
    torrent: PathBuf,
    /// The folder in which the content is put, under the torrent's own name.
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    out: PathBuf,
    /// Go on sharing for this long once everything is there (for example 10m).
    #[arg(long, value_name = "TIME", value_parser = options::run_time, conflicts_with_all = ["seed_ratio", "seed"])]
    seed_for: Option<Span>,
    /// Go on sharing until that many times the size was uploaded.
    #[arg(long, value_name = "RATIO", value_parser = options::ratio, conflicts_with = "seed",
          allow_negative_numbers = true)]
    seed_ratio: Option<f64>,
    /// Go on sharing until interrupted.
    #[arg(long)]
    seed: bool,
    /// Overwrite files that lie in the way and hold nothing of the torrent.
    #[arg(long)]
    overwrite: bool,
    /// Take the disk space of all files before anything is fetched [default: files are sparse and grow].
    #[arg(long)]
    preallocate: bool,
    /// Move the files to this folder once everything is there.
    #[arg(long, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    move_to: Option<PathBuf>,
    #[command(flatten)]
    transfer: transfer::Options,
}

pub(crate) fn run(args: Args, ctx: &Context) -> Result<Outcome, CmdError> {
    let (torrent, _) = torrent_file::read(&args.torrent)?;
    let until = match (args.seed, args.seed_for, args.seed_ratio) {
        (true, _, _) => SeedUntil::Forever,
        (_, Some(Span(time)), _) => SeedUntil::Elapsed(time),
        (_, _, Some(ratio)) => SeedUntil::Ratio(ratio),
        (false, None, None) => SeedUntil::Complete,
    };
    let mut config = SessionConfig::get(Arc::new(torrent), args.out);
    config.purpose = Purpose::Get(until);
    config.overwrite = args.overwrite;
    config.preallocate = args.preallocate;
    config.move_when_complete = args.move_to.map(Place::Under);
    transfer::run(config, &args.transfer, ctx)
}
