//! `skep seed`: share what is here.

use std::{path::PathBuf, sync::Arc};

use skep_net::session::SessionConfig;

use crate::{
    torrent_file, transfer,
    ui::{CmdError, Context, Outcome},
};

/// Share the content of a torrent until interrupted
///
/// The content is checked first and never changed. Pieces that are missing or wrong are not offered; where
/// none is there, that is an error.
///
/// Trackers are asked as BEP 12 says: tier after tier, in a tier in an order that is drawn, until one
/// answers. The others are asked only where that one fails, so not every tracker hears of us.
///
/// For example: skep seed album.torrent album --upload-limit 2MiB
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The torrent file.
    torrent: PathBuf,
    /// The file or folder that is the torrent's content, whatever it is called.
    path: PathBuf,
    #[command(flatten)]
    transfer: transfer::Options,
}

pub(crate) fn run(args: Args, ctx: &Context) -> Result<Outcome, CmdError> {
    let (torrent, _) = torrent_file::read(&args.torrent)?;
    if let Err(error) = args.path.metadata() {
        let error = anyhow::Error::new(error).context(format!("look at {}", args.path.display()));
        return Err(CmdError::usage(error).hint("to fetch what is not here, use skep get"));
    }
    let config = SessionConfig::seed(Arc::new(torrent), args.path);
    transfer::run(config, &args.transfer, ctx)
}
