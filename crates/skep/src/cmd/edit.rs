//! `skep edit`: changes around the info dictionary of a torrent file.

use std::path::PathBuf;

use anyhow::anyhow;
use skep_wire::metainfo::{self, Edit, Metainfo};

use super::create::{Tier, parse_tier, parse_url};
use crate::{
    torrent_file::{self, Replace},
    ui::{self, CmdError, Context, Outcome},
    units::shown,
};

/// Change the trackers, web seeds or comment of a torrent file
///
/// The torrent stays the same torrent: its info dictionary, and so its info-hash, is never touched, and what
/// is not changed stays byte for byte. The file is replaced at once and whole, or with --out a new one is
/// written.
///
/// For example: skep edit album.torrent --add-tracker udp://tracker.example:6969 --no-comment
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The torrent file.
    torrent: PathBuf,
    /// Write the changed torrent to this file or into this folder, and leave the given one as it is.
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// A tracker in place of those that are there; each use is a new tier, commas separate trackers of one
    /// tier (BEP 12).
    #[arg(short, long, value_name = "URL[,URL...]", value_parser = parse_tier)]
    tracker: Vec<Tier>,
    /// One more tier of trackers, after the others; may be used several times.
    #[arg(long, value_name = "URL[,URL...]", value_parser = parse_tier)]
    add_tracker: Vec<Tier>,
    /// A tracker to take out; may be used several times.
    #[arg(long, value_name = "URL")]
    remove_tracker: Vec<String>,
    /// Take all trackers out.
    #[arg(long, conflicts_with = "tracker")]
    no_trackers: bool,
    /// A web seed in place of those that are there (BEP 19); may be used several times.
    #[arg(short, long, value_name = "URL", value_parser = parse_url)]
    web_seed: Vec<String>,
    /// One more web seed; may be used several times.
    #[arg(long, value_name = "URL", value_parser = parse_url)]
    add_web_seed: Vec<String>,
    /// A web seed to take out; may be used several times.
    #[arg(long, value_name = "URL")]
    remove_web_seed: Vec<String>,
    /// Take all web seeds out.
    #[arg(long, conflicts_with = "web_seed")]
    no_web_seeds: bool,
    /// Another comment.
    #[arg(short, long)]
    comment: Option<String>,
    /// Take the comment out.
    #[arg(long, conflicts_with = "comment")]
    no_comment: bool,
    /// Refused unless it is the source that is there: `source` lies in the info dictionary, so another one
    /// makes another torrent. The error names that torrent's info-hash; `skep create --source` makes it.
    #[arg(short, long)]
    source: Option<String>,
    /// Replace the file of --out if it is there.
    #[arg(short, long, requires = "out")]
    force: bool,
}

pub(crate) fn run(args: Args, _ctx: &Context) -> Result<Outcome, CmdError> {
    let (torrent, bytes) = torrent_file::read(&args.torrent)?;
    if let Some(source) = &args.source {
        check_source(&torrent, source)?;
    }
    let edit = edit(&args, &torrent)?;
    let edited = edit.apply(&bytes).map_err(CmdError::usage)?;
    let after = Metainfo::from_bytes(&edited).map_err(CmdError::usage)?;
    check_kept(&edit, &after)?;
    match &args.out {
        Some(out) => {
            let replace = if args.force {
                Replace::Yes
            } else {
                Replace::No
            };
            let name = args.torrent.file_name().unwrap_or_default();
            torrent_file::write(&torrent_file::place(out.clone(), name), &edited, replace)?;
        }
        None if edited == bytes => {}
        None => {
            // A link stays a link: what it points to is replaced.
            let path = args.torrent.canonicalize();
            let path = path.map_err(CmdError::surroundings)?;
            torrent_file::write(&path, &edited, Replace::Yes)?;
        }
    }
    ui::print(changes(&torrent, &after))?;
    Ok(Outcome::Done)
}

/// Says why another source cannot be, with the info-hash that the torrent would have.
fn check_source(torrent: &Metainfo, source: &str) -> Result<(), CmdError> {
    if torrent.info.source.as_deref() == Some(source) {
        return Ok(());
    }
    let info = metainfo::with_source(&torrent.info_bytes, source).map_err(CmdError::usage)?;
    let mut hashes = Vec::new();
    if torrent.info.version.has_v1() {
        hashes.push(skep_hash::sha1(&info).to_string());
    }
    if torrent.info.version.has_v2() {
        hashes.push(skep_hash::sha256(&info).to_string());
    }
    let (was, hashes) = (torrent.info_hash, hashes.join(" and "));
    let error = anyhow!(
        "source is in the info dictionary, whose hash names the torrent: now that is {was}, with this source \
         it would be {hashes}"
    );
    Err(CmdError::usage(error).hint(
        "peers of the two do not find each other; if that is what you want, make it with skep create --source",
    ))
}

fn edit(args: &Args, torrent: &Metainfo) -> Result<Edit, CmdError> {
    let mut edit = Edit::default();
    let has = |lists: &[usize], clear: bool| clear || lists.iter().any(|&len| len > 0);
    let lens = [
        args.tracker.len(),
        args.add_tracker.len(),
        args.remove_tracker.len(),
    ];
    if has(&lens, args.no_trackers) {
        let own = |tiers: &[Tier]| tiers.iter().map(|tier| tier.0.clone()).collect::<Vec<_>>();
        let mut tiers = match (args.no_trackers, args.tracker.as_slice()) {
            (true, _) => Vec::new(),
            (false, []) => torrent.tiers.clone(),
            (false, tiers) => own(tiers),
        };
        for url in &args.remove_tracker {
            let before: usize = tiers.iter().map(Vec::len).sum();
            tiers
                .iter_mut()
                .for_each(|tier| tier.retain(|it| it != url));
            let after: usize = tiers.iter().map(Vec::len).sum();
            check_removed(before - after, "tracker", url)?;
        }
        tiers.extend(own(&args.add_tracker));
        tiers.retain(|tier| !tier.is_empty());
        edit.tiers = Some(tiers);
    }
    let lens = [
        args.web_seed.len(),
        args.add_web_seed.len(),
        args.remove_web_seed.len(),
    ];
    if has(&lens, args.no_web_seeds) {
        let mut seeds = match (args.no_web_seeds, args.web_seed.as_slice()) {
            (true, _) => Vec::new(),
            (false, []) => torrent.web_seeds.clone(),
            (false, seeds) => seeds.to_vec(),
        };
        for url in &args.remove_web_seed {
            let before = seeds.len();
            seeds.retain(|it| it != url);
            check_removed(before - seeds.len(), "web seed", url)?;
        }
        seeds.extend(args.add_web_seed.iter().cloned());
        edit.web_seeds = Some(seeds);
    }
    if args.no_comment || args.comment.is_some() {
        edit.comment = Some(args.comment.clone());
    }
    Ok(edit)
}

fn check_removed(count: usize, what: &str, url: &str) -> Result<(), CmdError> {
    if count > 0 {
        return Ok(());
    }
    let error = anyhow!("the torrent has no {what} {}", shown(url));
    Err(CmdError::usage(error).hint("skep inspect lists what it has"))
}

/// Refuses what a reader would cut: more URLs, or longer ones, than are kept.
fn check_kept(edit: &Edit, after: &Metainfo) -> Result<(), CmdError> {
    let tiers = edit
        .tiers
        .as_ref()
        .is_none_or(|tiers| *tiers == after.tiers);
    let seeds = edit
        .web_seeds
        .as_ref()
        .is_none_or(|seeds| *seeds == after.web_seeds);
    if tiers && seeds {
        return Ok(());
    }
    Err(CmdError::usage(anyhow!(
        "more than {} URLs, or one of more than {} bytes, would not be read again",
        metainfo::URLS_MAX,
        metainfo::URL_BYTES_MAX
    )))
}

/// What is otherwise now, a line each: what went with a minus, what came with a plus.
fn changes(before: &Metainfo, after: &Metainfo) -> String {
    let trackers = |torrent: &Metainfo| {
        let tiers = torrent.tiers.iter().enumerate();
        let lines = tiers.flat_map(|(n, tier)| {
            let line = move |url: &String| format!("tracker {}  {}", n + 1, shown(url));
            tier.iter().map(line)
        });
        lines.collect::<Vec<_>>()
    };
    let others = |torrent: &Metainfo| {
        let seeds = torrent.web_seeds.iter();
        let seeds = seeds.map(|url| format!("web seed   {}", shown(url)));
        let comment = torrent.comment.iter();
        let comment = comment.map(|text| format!("comment    {}", shown(text)));
        seeds.chain(comment).collect::<Vec<_>>()
    };
    let all = |torrent: &Metainfo| [trackers(torrent), others(torrent)].concat();
    let (old, new) = (all(before), all(after));
    let gone = old.iter().filter(|line| !new.contains(line));
    let come = new.iter().filter(|line| !old.contains(line));
    let gone = gone.map(|line| format!("- {line}\n"));
    let lines: String = gone.chain(come.map(|line| format!("+ {line}\n"))).collect();
    if lines.is_empty() {
        return "nothing to change\n".to_owned();
    }
    lines
}
