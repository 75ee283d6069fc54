//! `skep create`: a torrent file from a file or a folder.

use std::{
    path::{Path, PathBuf},
    sync::atomic::Ordering,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::anyhow;
use skep_net::{
    create::{self, CreateError, Links, Survey},
    disk::{DiskError, check::Watch},
};
use skep_wire::metainfo::{self, Draft, Metainfo, Version};

use crate::{
    options, progress,
    torrent_file::{self, Replace},
    ui::{self, CmdError, Context, Outcome},
    units::{Bytes, shown},
};

/// Make a torrent file from a file or a folder
///
/// The same content and options give the same bytes, whenever and wherever they are used.
///
/// For example: skep create album --tracker udp://tracker.example:6969 --comment "Live, 2025"
#[derive(Debug, clap::Args)]
#[command(after_long_help = PIECE_SIZES)]
pub(crate) struct Args {
    /// The file or folder to share.
    path: PathBuf,
    /// Where to write the torrent file, or the folder for it [default: NAME.torrent in the current folder].
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Which format to make.
    ///
    /// All clients read version 1. Version 2 names each file by the root of its own tree of SHA-256, so
    /// that one bad block is found and the same file is known in every torrent; fewer clients read it. A
    /// hybrid is both, for peers of both; it costs a larger torrent file, and padding between the files.
    #[arg(long, value_enum, default_value_t, value_name = "VERSION")]
    torrent_version: Format,
    /// A tracker; each use is a new tier, commas separate trackers of one tier (BEP 12).
    #[arg(short, long, value_name = "URL[,URL...]", value_parser = parse_tier)]
    tracker: Vec<Tier>,
    /// A web server that has the content, too (BEP 19); may be used several times.
    #[arg(short, long, value_name = "URL", value_parser = parse_url)]
    web_seed: Vec<String>,
    /// A comment for readers of the torrent file.
    #[arg(short, long)]
    comment: Option<String>,
    /// Ask clients to find peers through the trackers only (BEP 27).
    #[arg(short, long)]
    private: bool,
    /// Where the torrent comes from; changes its info-hash, so that sites can tell copies apart.
    #[arg(short, long)]
    source: Option<String>,
    /// The torrent's name instead of that of the file or folder.
    #[arg(long, value_parser = options::name)]
    name: Option<String>,
    /// Length of a piece, a power of two from 16KiB to 64MiB [default: by the size of the content, see
    /// --help].
    #[arg(long, value_name = "SIZE", value_parser = parse_piece_len)]
    piece_size: Option<u32>,
    /// Write a creation date: `now`, or seconds since 1970. Without it there is none.
    #[arg(long, value_name = "WHEN", value_parser = parse_date)]
    date: Option<i64>,
    /// What to do with symbolic links in the folder.
    #[arg(long, value_enum, default_value_t)]
    links: LinkPolicy,
    /// Mark the files that their owner may run, for clients that then let them be run where they come
    /// (BEP 47).
    #[arg(long)]
    executable_bits: bool,
    /// Refuse content in which a SHA-1 collision attack is found.
    ///
    /// Whoever made such content can have made other content with the same hash, to put in its place later. To
    /// look for it takes several times as long as hashing. Version 2 does not use SHA-1.
    #[arg(long)]
    detect_collisions: bool,
    /// Replace the torrent file if it is there.
    #[arg(short, long)]
    force: bool,
}

/// Trackers of one tier.
#[derive(Debug, Clone)]
pub(super) struct Tier(pub(super) Vec<String>);

#[derive(Debug, Clone, Copy, Default, clap::ValueEnum)]
enum LinkPolicy {
    /// They are an error.
    #[default]
    Refuse,
    /// What they point to is shared.
    Follow,
    /// They are left out.
    Skip,
    /// They are links in the torrent, too (BEP 47); one that leads out of the folder is an error.
    Keep,
}

#[derive(Debug, Clone, Copy, Default, clap::ValueEnum)]
enum Format {
    /// Version 1 (BEP 3).
    #[default]
    #[value(name = "1")]
    V1,
    /// Version 2 (BEP 52).
    #[value(name = "2")]
    V2,
    /// Both.
    Hybrid,
}

impl From<Format> for Version {
    fn from(format: Format) -> Self {
        match format {
            Format::V1 => Self::V1,
            Format::V2 => Self::V2,
            Format::Hybrid => Self::Hybrid,
        }
    }
}

/// The table of [`metainfo::piece_len_for`].
const PIECE_SIZES: &str = "\
Piece sizes without --piece-size:
  content up to   piece       content up to   piece       content up to   piece
         32 MiB   16 KiB            512 MiB   256 KiB             8 GiB   4 MiB
         64 MiB   32 KiB              1 GiB   512 KiB            16 GiB   8 MiB
        128 MiB   64 KiB              2 GiB   1 MiB              32 TiB   16 MiB
        256 MiB   128 KiB             4 GiB   2 MiB              beyond   up to 512 MiB

  There are at most 2048 pieces up to 32 GiB. Small pieces are shared and checked sooner; large ones
  keep the torrent file small: a piece costs 20 bytes in version 1, 32 in version 2, 52 in a hybrid.
  In version 2 each file begins with a piece of its own. A hybrid of many small files has smaller
  pieces than here, as each file is padded to whole pieces for clients of version 1.";

pub(crate) fn run(args: Args, ctx: &Context) -> Result<Outcome, CmdError> {
    if let Err(error) = std::fs::symlink_metadata(&args.path) {
        let error = anyhow::Error::new(error).context(format!("look at {}", args.path.display()));
        return Err(CmdError::usage(error));
    }
    let links = match args.links {
        LinkPolicy::Refuse => Links::Refuse,
        LinkPolicy::Follow => Links::Follow,
        LinkPolicy::Skip => Links::Skip,
        LinkPolicy::Keep => Links::Keep,
    };
    let options = create::Options {
        links,
        executable: args.executable_bits,
    };
    let version = Version::from(args.torrent_version);
    let folder = create::survey(&args.path, options).map_err(explain)?;
    let was_file = folder.single_file;
    let mut survey = folder.for_version(version);
    if let Some(name) = args.name {
        survey.name = name;
    }
    let name = format!("{}.torrent", survey.name);
    let out = match args.out {
        Some(out) => torrent_file::place(out, name),
        None => PathBuf::from(name),
    };
    let replace = if args.force {
        Replace::Yes
    } else {
        Replace::No
    };
    check_out(&out, &survey, replace)?;
    warn_left_out(&survey);

    if survey.single_file && !was_file {
        let name = shown(&survey.name);
        ui::say(format!(
            "warning: version 2 has no folder of one file: the torrent is the file {name}"
        ));
    }

    let piece_len = args.piece_size.unwrap_or_else(|| {
        let lens: Vec<u64> = survey.files.iter().map(|file| file.stamp.len).collect();
        metainfo::piece_len_for_files(version, &lens)
    });
    let plan = create::plan(&survey, version, piece_len).map_err(explain)?;
    let watch = if args.detect_collisions {
        Watch::for_attacks()
    } else {
        Watch::default()
    };
    let bar = progress::bytes_bar(ctx, "hashing", plan.size_bytes);
    let done = || watch.bytes_done.load(Ordering::Relaxed);
    let mut info =
        progress::follow(&bar, done, || create::hash(&survey, plan, &watch)).map_err(explain)?;
    info.private = args.private;
    info.source = args.source;
    let draft = Draft {
        info,
        tiers: args.tracker.into_iter().map(|tier| tier.0).collect(),
        web_seeds: args.web_seed,
        comment: args.comment,
        created_by: None,
        creation_date: args.date,
    };
    let bytes = draft.encode().map_err(CmdError::usage)?;
    let torrent = Metainfo::from_bytes(&bytes).map_err(CmdError::usage)?;
    torrent_file::write(&out, &bytes, replace)?;
    ui::print(made(&out, &torrent))?;
    Ok(Outcome::Done)
}

/// Refuses a place for the torrent file that is taken, or that lies in what it describes.
fn check_out(out: &Path, survey: &Survey, replace: Replace) -> Result<(), CmdError> {
    if replace == Replace::No && out.symlink_metadata().is_ok() {
        return Err(torrent_file::already_there(out));
    }
    let dir = match out.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    let dir = dir.canonicalize().map_err(|error| {
        CmdError::surroundings(anyhow!(error).context(format!("look at folder {}", dir.display())))
            .or_hint("make the folder first, or choose another one with --out")
    })?;
    let content = survey.path.canonicalize().map_err(CmdError::surroundings)?;
    let is_content = survey.single_file && out.canonicalize().is_ok_and(|out| out == content);
    if is_content || (!survey.single_file && dir.starts_with(&content)) {
        return Err(CmdError::usage(anyhow!(
            "{} would lie in the content that it describes",
            out.display()
        ))
        .hint("name a place outside of it with --out"));
    }
    Ok(())
}

fn warn_left_out(survey: &Survey) {
    for dir in &survey.empty_dirs {
        let dir = shown(&dir.display().to_string());
        ui::say(format!(
            "warning: {dir} is empty and left out: a torrent holds files only"
        ));
    }
    for link in &survey.links_skipped {
        let link = shown(&link.display().to_string());
        ui::say(format!("warning: {link} is a link and left out"));
    }
}

/// What was made, for the user.
fn made(out: &Path, torrent: &Metainfo) -> String {
    let info = &torrent.info;
    let files = match info.files.iter().filter(|file| !file.padding).count() {
        1 => "1 file".to_owned(),
        n => format!("{n} files"),
    };
    let mut text = format!("torrent    {}\n", out.display());
    if info.version.has_v1() {
        text += &format!("info-hash  {}\n", torrent.info_hash);
    }
    if let Some(hash) = torrent.info_hash_v2 {
        text += &format!("hash (v2)  {hash}\n");
    }
    text += &format!(
        "content    {}, {} in {files}\n",
        shown(&info.name),
        Bytes(info.payload_bytes())
    );
    if info.padding_bytes() > 0 {
        let padding = Bytes(info.padding_bytes());
        text += &format!("padding    {padding}, for clients of version 1\n");
    }
    text + &format!(
        "pieces     {} of {}\n",
        info.piece_count(),
        Bytes(info.piece_len.into())
    )
}

fn explain(error: CreateError) -> CmdError {
    match error {
        CreateError::Disk(DiskError::Ended { .. }) | CreateError::Changed { .. } => {
            CmdError::surroundings(error).hint("wait until nothing writes there, then create again")
        }
        CreateError::Disk(_) => CmdError::surroundings(error),
        CreateError::Link { .. } => CmdError::usage(error).hint(
            "choose --links follow (share what it points to), --links keep (as a link) or --links skip",
        ),
        CreateError::LinkOutside { .. } | CreateError::LinkAstray { .. } => {
            CmdError::usage(error).hint("choose --links follow (share what it points to) or --links skip")
        }
        CreateError::Attacked { .. } => CmdError::usage(error)
            .hint("make it with --torrent-version 2, which does not rest on SHA-1"),
        CreateError::TooManyPieces { .. } => {
            CmdError::usage(error).hint("choose larger ones, or leave --piece-size out")
        }
        CreateError::NameNotUtf8 { .. } => {
            CmdError::usage(error).hint("rename it: torrent files hold names as UTF-8")
        }
        _ => CmdError::usage(error),
    }
}

pub(super) fn parse_tier(text: &str) -> Result<Tier, String> {
    text.split(',')
        .map(parse_url)
        .collect::<Result<_, _>>()
        .map(Tier)
}

pub(super) fn parse_url(text: &str) -> Result<String, String> {
    let text = text.trim();
    let (scheme, rest) = text
        .split_once("://")
        .ok_or("no scheme such as udp:// or http://")?;
    let is_known = matches!(scheme, "http" | "https" | "udp" | "ws" | "wss" | "ftp");
    match (is_known, rest.is_empty()) {
        (false, _) => Err(format!("unknown scheme {scheme:?}")),
        (_, true) => Err("no host".to_owned()),
        (true, false) => Ok(text.to_owned()),
    }
}

fn parse_piece_len(text: &str) -> Result<u32, String> {
    let Bytes(len) = text.parse()?;
    let most = metainfo::PIECE_LEN_MAX.min(64 << 20);
    match u32::try_from(len) {
        Ok(len) if len.is_power_of_two() && (16_384..=most).contains(&len) => Ok(len),
        _ => Err(format!(
            "not a power of two from 16KiB to {}",
            Bytes(most.into())
        )),
    }
}

/// The end of the year 9999.
const DATE_MAX: i64 = 253_402_300_799;

fn parse_date(text: &str) -> Result<i64, String> {
    if text == "now" {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        return Ok(since.as_secs() as i64);
    }
    match text.parse() {
        Ok(secs @ 0..=DATE_MAX) => Ok(secs),
        _ => Err("neither `now` nor a number of seconds since 1970".to_owned()),
    }
}
