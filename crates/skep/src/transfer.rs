//! What `get` and `seed` share: their options, the progress line, interruption, and how it ended.

mod notes;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use anyhow::anyhow;
use indicatif::ProgressBar;
use skep_net::{
    disk::DiskError,
    session::{
        Ended, EventSink, Happened, Phase, Purpose, Session, SessionConfig, SessionError, Stats,
        What,
    },
};

use self::notes::Notes;
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    hints, options, progress,
    signals::Ending,
    ui::{self, CmdError, Context, Outcome},
    units::{Bytes, shown},
};

/// How often a line says how it goes where no terminal shows it.
const LINE_EVERY: Duration = Duration::from_secs(30);

/// The options of a transfer.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Listen here for peers: an address, an address and a port, or :PORT [default: all addresses, IPv4 and
    /// IPv6, and any port].
    #[arg(long, value_name = "ADDR[:PORT]", value_parser = options::listen_both, default_value = "::",
          hide_default_value = true)]
    listen: SocketAddr,
    /// Connect to this peer, too; may be used several times.
    #[arg(long, value_name = "ADDR:PORT", value_parser = options::peer)]
    peer: Vec<SocketAddr>,
    /// Ask no tracker: only peers that are named or that come.
    #[arg(long)]
    no_trackers: bool,
    /// Send at most this much payload a second.
    #[arg(long, value_name = "SIZE", value_parser = options::upload_rate)]
    upload_limit: Option<Bytes>,
    /// Receive at most this much payload a second.
    #[arg(long, value_name = "SIZE", value_parser = options::download_rate)]
    download_limit: Option<Bytes>,
    /// Keep at most so many connections.
    #[arg(long, value_name = "COUNT", default_value_t = skep_net::session::PEERS_MAX, value_parser = options::conns)]
    max_peers: usize,
    /// Use at most this much memory for payload that is arriving or being written (at least 3MiB and 64KiB a peer).
    #[arg(long, value_name = "SIZE", default_value = "16MiB", value_parser = options::memory)]
    memory: Bytes,
    /// Say on standard error what happens: connections, pieces, trackers.
    #[arg(short, long)]
    verbose: bool,
}

/// Runs a session to its end.
pub(crate) fn run(
    mut config: SessionConfig,
    args: &Options,
    ctx: &Context,
) -> Result<Outcome, CmdError> {
    config.bind = args.listen.ip();
    config.port = args.listen.port();
    config.peers.clone_from(&args.peer);
    config.upload_bytes_per_sec = args.upload_limit.map(|limit| limit.0);
    config.download_bytes_per_sec = args.download_limit.map(|limit| limit.0);
    config.peers_max = args.max_peers;
    config.buffers_bytes_max = args.memory.0;
    if args.no_trackers {
        config.trackers = Some(Vec::new());
    }
    let trackers = config.trackers.as_ref().unwrap_or(&config.torrent.tiers);
    if trackers.iter().all(Vec::is_empty) && config.peers.is_empty() {
        ctx.note("no tracker and no --peer: waiting for peers to come");
    }
    let name = shown(&config.torrent.info.name);
    let purpose = config.purpose;
    let bar = progress::message_bar(ctx, config.torrent.info.payload_sizes().size_bytes());
    let notes = Notes::new(bar.clone(), ctx, args.verbose, purpose, &config.peers);
    let trouble = Arc::new(Mutex::new(None));
    let hear = {
        let trouble = trouble.clone();
        move |happened: Happened| {
            let mut trouble = trouble.lock().expect("nobody panics with it");
            match &happened.what {
                // The first is kept: where there is no room for a piece, there is none for the resume
                // file either.
                What::DiskFailed { reason, .. } if trouble.is_none() => {
                    *trouble = Some(Trouble::Write(reason.clone()));
                }
                What::MoveFailed { reason } => *trouble = Some(Trouble::Move(reason.clone())),
                What::DiskRecovered => *trouble = None,
                _ => {}
            }
            drop(trouble);
            notes.tell(&happened);
        }
    };
    config.events = EventSink::new(hear);
    let began = Instant::now();
    let session = Session::start(config).map_err(explain)?;
    wait(&session, &bar, purpose, ctx)?;
    bar.finish_and_clear();
    let ended = session.join().map_err(explain)?;
    let trouble = trouble.lock().expect("nobody panics with it").take();
    report(&name, purpose, &ended, began.elapsed(), trouble)
}

/// What the disk refused, and why.
enum Trouble {
    /// Writing a file.
    Write(String),
    /// Moving the content.
    Move(String),
}

/// Shows progress until the session is over; asks it to end when the user interrupts.
fn wait(
    session: &Session,
    bar: &ProgressBar,
    purpose: Purpose,
    ctx: &Context,
) -> Result<(), CmdError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(CmdError::surroundings)?;
    runtime.block_on(async {
        // Both live as long as the loop: a signal that comes together with something else is heard in
        // the next round, where one that is listened for anew each time would be lost.
        let mut interrupt = signal(SignalKind::interrupt()).map_err(CmdError::surroundings)?;
        let mut ending = Ending::new().map_err(CmdError::surroundings)?;
        let mut interrupted = false;
        let mut stats = session.watch();
        let mut line_at = Instant::now() + LINE_EVERY;
        loop {
            tokio::select! {
                changed = stats.changed() => if changed.is_err() { return Ok(()) },
                () = tokio::time::sleep(progress::REDRAW) => {}
                _ = interrupt.recv() => {
                    if interrupted {
                        return Err(CmdError::surroundings(anyhow!("interrupted twice, ended at once"))
                            .hint("what is on the disk is checked when you start again"));
                    }
                    interrupted = true;
                    session.stop();
                }
                () = ending.recv() => session.stop(),
            }
            if session.is_over() {
                return Ok(());
            }
            let now = session.stats();
            let done = if now.phase == Phase::Checking { now.checked_bytes } else { now.bytes_held };
            let text = line(&now, purpose, interrupted);
            if bar.is_hidden() && line_at <= Instant::now() {
                line_at += LINE_EVERY;
                let percent = done.saturating_mul(100) / now.size_bytes.max(1);
                ctx.note(format!("{percent}% {text}"));
            }
            bar.set_position(done);
            bar.set_message(text);
        }
    })
}

/// The message beside the bar.
fn line(stats: &Stats, purpose: Purpose, interrupted: bool) -> String {
    if interrupted {
        return "ending".to_owned();
    }
    let peers = match stats.peers {
        1 => "1 peer".to_owned(),
        peers => format!("{peers} peers"),
    };
    let down = format!("down {}/s", Bytes(stats.download_rate));
    let up = format!("up {}/s", Bytes(stats.upload_rate));
    match stats.phase {
        Phase::Checking => "checking what is here".to_owned(),
        Phase::DiskWait => "waiting for the disk".to_owned(),
        Phase::Stopped => "ending".to_owned(),
        Phase::Seeding if purpose == Purpose::Seed || stats.bytes_held == stats.size_bytes => {
            format!(
                "sharing  {up}  {} sent  {peers}",
                Bytes(stats.uploaded_bytes)
            )
        }
        Phase::Seeding | Phase::Getting => {
            let left = stats.size_bytes.saturating_sub(stats.bytes_held);
            let eta = match left.checked_div(stats.download_rate) {
                Some(secs) => format!("{} left", time_text(secs)),
                None => "no estimate".to_owned(),
            };
            // What matters most is first: a narrow terminal cuts the end off.
            format!("{down}  {eta}  {up}  {peers}")
        }
    }
}

fn time_text(secs: u64) -> String {
    match secs {
        0..60 => format!("{secs} s"),
        60..3_600 => format!("{} min {} s", secs / 60, secs % 60),
        _ => format!("{} h {} min", secs / 3_600, secs % 3_600 / 60),
    }
}

/// Says how it ended, on standard output.
fn report(
    name: &str,
    purpose: Purpose,
    ended: &Ended,
    took: Duration,
    trouble: Option<Trouble>,
) -> Result<Outcome, CmdError> {
    let stats = &ended.stats;
    match purpose {
        Purpose::Seed => {
            ui::print(format!("{name}: {} sent\n", Bytes(stats.uploaded_bytes)))?;
            Ok(Outcome::Done)
        }
        Purpose::Get(_) if ended.complete => {
            if let Some(Trouble::Move(reason)) = trouble {
                return Err(CmdError::surroundings(anyhow!("{name}: complete, but not moved: {reason}"))
                    .hint("it lies where it was fetched to; move it by hand, or make way and run the same command again"));
            }
            ui::print(format!(
                "{name}: complete, {} ({} received, {} sent) in {:.1} s\n",
                Bytes(stats.size_bytes),
                Bytes(stats.downloaded_bytes),
                Bytes(stats.uploaded_bytes),
                took.as_secs_f64()
            ))?;
            Ok(Outcome::Done)
        }
        Purpose::Get(_) => {
            if let Some(Trouble::Write(reason)) = trouble {
                let hint = hints::of(&reason).unwrap_or("mend that");
                let error = anyhow!("{name}: not complete: {reason}");
                return Err(CmdError::surroundings(error).hint(format!(
                    "{hint}; then run the same command again: what was fetched is kept"
                )));
            }
            ui::print(format!(
                "{name}: not complete, {} of {}\n",
                Bytes(stats.bytes_held),
                Bytes(stats.size_bytes)
            ))?;
            Ok(Outcome::Negative)
        }
    }
}

fn explain(error: SessionError) -> CmdError {
    match error {
        SessionError::Listen { ref source, .. } => {
            let hint = hints::of_listening(source)
                .unwrap_or("choose another address or port with --listen");
            CmdError::surroundings(error).hint(hint)
        }
        SessionError::Disk(DiskError::NotAFile { .. }) => {
            CmdError::surroundings(error).hint("move it away, or choose another folder with --out")
        }
        SessionError::Disk(DiskError::TooLong { .. }) => CmdError::surroundings(error)
            .hint("move it away, or choose another folder with --out: it is probably another file"),
        SessionError::Disk(DiskError::Foreign { .. }) => CmdError::surroundings(error)
            .hint("choose another folder with --out, or replace it with --overwrite"),
        SessionError::Disk(DiskError::SymbolicLink { .. }) => {
            CmdError::surroundings(error).hint("replace the link with a real file or folder")
        }
        SessionError::Contradiction { .. } => CmdError::usage(error)
            .hint("the torrent file is wrong: whoever made it must make it again"),
        SessionError::NothingToShare { .. } => CmdError::usage(error)
            .hint("name the file or folder that is the content, or fetch it with skep get"),
        SessionError::Disk(_) | SessionError::Start(_) => CmdError::surroundings(error),
    }
}
