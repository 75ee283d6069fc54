//! `skep report`: Exhibit A of an observation.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use skep_analysis::report::{CSV_NAME, HTML_NAME, JSON_NAME, table};
use skep_net::report::{self, Made, REPORT_DIR};

use crate::{
    torrent_file,
    ui::{self, CmdError, Context, Outcome},
};

/// Print Exhibit A of an observation: numbered endpoints with times, claims and grades
///
/// Without --format, all three files (exhibit.csv, exhibit.json, report.html) go to DIR/report, and
/// a table of the endpoints is printed. With --format, that one file is printed. The report is made
/// from the ledger alone and says so; `skep verify` checks it against the bytes. The same ledger
/// gives the same bytes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The observation's folder.
    dir: PathBuf,
    /// Which file.
    #[arg(long, value_enum, default_value_t = Format::All)]
    format: Format,
    /// Where to: a folder for all, a file or a folder for one; "-" is standard output.
    #[arg(short, long, value_name = "PATH")]
    out: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// One line an endpoint.
    Csv,
    /// Everything.
    Json,
    /// A page that needs no other file.
    Html,
    /// All three.
    All,
}

impl Format {
    fn name(self) -> Option<&'static str> {
        match self {
            Self::Csv => Some(CSV_NAME),
            Self::Json => Some(JSON_NAME),
            Self::Html => Some(HTML_NAME),
            Self::All => None,
        }
    }
}

pub(crate) fn run(args: Args, ctx: &Context) -> Result<Outcome, CmdError> {
    let made = report::make(&args.dir).map_err(|error| {
        CmdError::surroundings(error)
            .or_hint("DIR is the folder that `skep observe --out DIR` made")
    })?;
    if made.uncovered > 0 {
        ctx.note(format!(
            "{} records are not signed yet and are not in this report",
            made.uncovered
        ));
    }
    match args.format.name() {
        None => all(&args, ctx, &made)?,
        Some(name) => one(args.out.as_deref(), name, &made)?,
    }
    Ok(Outcome::Done)
}

fn all(args: &Args, ctx: &Context, made: &Made) -> Result<(), CmdError> {
    let out = args
        .out
        .clone()
        .unwrap_or_else(|| args.dir.join(REPORT_DIR));
    if out == Path::new("-") {
        let error = anyhow::anyhow!("three files do not go to standard output");
        return Err(CmdError::usage(error).hint("choose one with --format"));
    }
    let paths = report::write(&made.report, &out).map_err(CmdError::surroundings)?;
    ui::print(table(&made.sheet))?;
    paths.iter().for_each(|path| ctx.note(path.display()));
    Ok(())
}

fn one(out: Option<&Path>, name: &str, made: &Made) -> Result<(), CmdError> {
    let files = made.report.files();
    let bytes = files
        .iter()
        .find(|file| file.0 == name)
        .map_or(&[][..], |file| file.1);
    match out {
        Some(path) if path != Path::new("-") => {
            let path = torrent_file::place(path.to_owned(), name);
            std::fs::write(&path, bytes)
                .with_context(|| path.display().to_string())
                .map_err(CmdError::surroundings)
        }
        Some(_) | None => ui::print(bytes).map(|_| ()),
    }
}
