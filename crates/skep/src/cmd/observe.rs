//! `skep observe`: watch swarms and keep what was seen so that it can be checked.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use indicatif::ProgressBar;
use skep_net::observe::{
    ObserveCounts, ObserveError, ObserveOptions, ObservePlan, ObserveRun, ObserveSummary,
};
use skep_net::store::StoreError;

use crate::{
    hints, options, progress,
    signals::Ending,
    torrent_file,
    ui::{self, CmdError, Context, Outcome},
    units::{Bytes, Span},
};

/// How often a line of counts is printed where no terminal shows them.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Watch swarms, and keep what was seen so that anyone can check it
///
/// Asks every tracker of the torrents, contacts every endpoint that it hears of, keeps what each one
/// says as a claim, asks willing ones for pieces and checks them. It never uploads, and it sends no
/// peer exchange. Of a hybrid it watches both swarms. Everything goes into the folder --out: a signed ledger, the capture and the
/// journal. Run it again into the same folder to continue the same ledger.
///
/// It ends after --for, with Ctrl-C, or when its terminal is closed; trackers then hear that it
/// leaves, for a few seconds at most. A second Ctrl-C ends at once. Nothing is lost either way.
///
/// For example: skep observe work.torrent --out seen --for 1h
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The torrent files.
    #[arg(required = true, value_name = "TORRENT")]
    torrents: Vec<PathBuf>,
    /// The folder to write to; it is made if it is not there.
    #[arg(short, long, value_name = "DIR")]
    out: PathBuf,
    /// End after this long [default: run until interrupted].
    #[arg(long = "for", value_name = "TIME", value_parser = options::run_time)]
    lasts: Option<Span>,
    /// Listen here for peers: an address, or an address and a port [default: any port].
    #[arg(long, value_name = "ADDR[:PORT]", value_parser = options::listen)]
    listen: Option<SocketAddr>,
    /// Send from this address [default: that of --listen, or what the system chooses].
    #[arg(long, value_name = "IP", value_parser = options::bind)]
    bind: Option<IpAddr>,
    /// Ask for so many pieces on each visit.
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    pieces: u32,
    /// Fetch the whole content from each endpoint that lets us, over as many visits as it takes.
    #[arg(long)]
    whole: bool,
    /// How long after the end of a visit the next one to the same endpoint begins.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = options::span)]
    revisit: Span,
    /// How long a visit lasts at most.
    #[arg(long, value_name = "TIME", default_value = "2m", value_parser = options::span)]
    visit: Span,
    /// How long a connection may take to stand.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = options::span)]
    connect: Span,
    /// How often each tracker is asked, unless it wants to be asked less often.
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = options::span)]
    announce: Span,
    /// Contact this endpoint, too, for each torrent; may be used several times.
    #[arg(long, value_name = "ADDR:PORT", value_parser = options::peer)]
    peer: Vec<SocketAddr>,
    /// Open at most so many connections at once; as many may come in.
    #[arg(long, value_name = "COUNT", default_value_t = 200,
          value_parser = clap::value_parser!(u32).range(1..=10_000))]
    max_conns: u32,
    /// The observer's name in a new folder's ledger, without blanks or plus signs.
    #[arg(long, value_name = "NAME", default_value = "skep.local/observer", value_parser = options::key_name)]
    name: String,
}

pub(crate) fn run(args: Args, ctx: &Context) -> Result<Outcome, CmdError> {
    let options = options(&args)?;
    let folder = args.out.clone();
    let run = ObserveRun::start(options).map_err(explain)?;
    if let Some(cut) = run.opened().cut {
        let lost = cut.journal + cut.capture + cut.ledger;
        ui::say(format!(
            "run {} had ended in a crash; {lost} bytes that were not acknowledged are cut",
            cut.run
        ));
    }
    ctx.note(format!(
        "run {} into {}, listening on {}",
        run.run(),
        folder.display(),
        run.listen_addr()
    ));
    wait(&run, ctx)?;
    let summary = run.wait().map_err(|error| explain_end(error, &folder))?;
    ui::print(report(&summary, &folder))?;
    ctx.note(format!("next: skep report {}", folder.display()));
    Ok(Outcome::Done)
}

fn options(args: &Args) -> Result<ObserveOptions, CmdError> {
    let listen_ip = args.listen.map(|listen| listen.ip());
    let bind = match (args.bind, listen_ip) {
        (Some(bind), Some(listen)) if bind != listen && !listen.is_unspecified() => {
            let error = anyhow::anyhow!("--bind {bind} and --listen {listen} are two addresses");
            return Err(CmdError::usage(error)
                .hint("an observer has one; give the port alone to --listen, as in :6881"));
        }
        (Some(bind), _) => bind,
        (None, Some(listen)) => listen,
        (None, None) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
    };
    let torrents = args
        .torrents
        .iter()
        .map(|path| torrent_file::read(path).map(|(_, bytes)| bytes))
        .collect::<Result<Vec<_>, _>>()?;
    let endpoints = (0..torrents.len() as u32)
        .flat_map(|target| args.peer.iter().map(move |&peer| (target, peer)))
        .collect();
    Ok(ObserveOptions {
        dir: args.out.clone(),
        name: args.name.clone(),
        torrents,
        bind,
        listen_port: args.listen.map_or(0, |listen| listen.port()),
        duration: args.lasts.map(|span| span.0),
        plan: ObservePlan {
            endpoints,
            pieces_per_visit: args.pieces,
            whole: args.whole,
            revisit: args.revisit.0,
            visit: args.visit.0,
            connect: args.connect.0,
            conns_max: args.max_conns,
            announce: args.announce.0,
        },
        seed: None,
    })
}

/// Shows counts until the run is over, and asks it to end when the user interrupts.
fn wait(run: &ObserveRun, ctx: &Context) -> Result<(), CmdError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(CmdError::surroundings)?;
    let bar = progress::line(ctx);
    let shown = runtime.block_on(show(run, &bar, ctx));
    bar.finish_and_clear();
    shown
}

async fn show(run: &ObserveRun, bar: &ProgressBar, ctx: &Context) -> Result<(), CmdError> {
    use tokio::signal::unix::{SignalKind, signal};
    let listen = |kind| signal(kind).context("cannot listen to signals");
    let mut ending = Ending::new()
        .context("cannot listen to signals")
        .map_err(CmdError::surroundings)?;
    let mut interrupt = listen(SignalKind::interrupt()).map_err(CmdError::surroundings)?;
    let mut line_at = Instant::now() + LINE_EVERY;
    while !run.is_finished() {
        tokio::select! {
            () = tokio::time::sleep(progress::REDRAW) => {}
            () = ending.recv() => run.stop(),
            _ = interrupt.recv() => run.stop(),
        }
        let text = line(&run.counts());
        if bar.is_hidden() && line_at <= Instant::now() {
            line_at += LINE_EVERY;
            ctx.note(&text);
        }
        bar.set_message(text);
        bar.tick();
    }
    Ok(())
}

fn line(counts: &ObserveCounts) -> String {
    let mut text = format!(
        "{} named, {} reached, {} joined, {} claimed, {} delivered, {} verified",
        counts.endpoints,
        counts.reached,
        counts.joined,
        counts.claimed,
        counts.delivered,
        counts.verified
    );
    if counts.whole > 0 {
        text += &format!(", {} whole", counts.whole);
    }
    text + &format!(
        "; {} open, {} records, {} captured",
        counts.open,
        counts.records,
        Bytes(counts.captured_bytes)
    )
}

/// How it ended.
fn report(summary: &ObserveSummary, folder: &Path) -> String {
    let ObserveSummary { run, counts } = summary;
    let whole = match counts.whole {
        0 => String::new(),
        whole => format!("{whole:>8} delivered the whole content\n"),
    };
    format!(
        "run {run} of {}\n\
         {:>8} endpoints were named or came\n\
         {:>8} reached ({} attempts failed)\n\
         {:>8} joined the swarm\n\
         {:>8} claimed pieces\n\
         {:>8} delivered blocks\n\
         {:>8} delivered a verified piece\n\
         {whole}\
         {:>8} answers of trackers, {} failures\n\
         {:>8} records, {} captured\n",
        folder.display(),
        counts.endpoints,
        counts.reached,
        counts.failed,
        counts.joined,
        counts.claimed,
        counts.delivered,
        counts.verified,
        counts.tracker_answers,
        counts.tracker_failures,
        counts.records,
        Bytes(counts.captured_bytes)
    )
}

fn explain(error: ObserveError) -> CmdError {
    match error {
        ObserveError::NoTarget
        | ObserveError::TooManyTargets { .. }
        | ObserveError::Torrent { .. }
        | ObserveError::SameTarget { .. }
        | ObserveError::Plan(_) => CmdError::usage(error),
        ObserveError::Bind {
            error: ref source, ..
        } => {
            let hint = hints::of_listening(source)
                .unwrap_or("choose another address or port with --listen");
            CmdError::surroundings(error).hint(hint)
        }
        ObserveError::Store(StoreError::Foreign { .. }) => CmdError::usage(error)
            .hint("name a new folder with --out, or that of an earlier observation to continue it"),
        other => CmdError::surroundings(other),
    }
}

/// The same for a run that had begun.
fn explain_end(error: ObserveError, folder: &Path) -> CmdError {
    let is_store = matches!(error, ObserveError::Store(_));
    let error = explain(error);
    if !is_store {
        return error;
    }
    let hint = format!("what was acknowledged is safe in {}", folder.display());
    match hints::of(&error.to_string()) {
        Some(of_system) => error.hint(format!("{of_system}; {hint}")),
        None => error.hint(hint),
    }
}
