//! `skep tracker`: tell peers of each other.

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    time::Duration,
};

use anyhow::Context as _;
use skep_net::tracker::{TrackerConfig, TrackerHandle, TrackerServer, TrackerServerError};

use crate::{
    hints, options,
    signals::Ending,
    ui::{self, CmdError, Context, Outcome},
    units::Span,
};

/// The port that trackers use by custom.
const PORT: u16 = 6969;

/// Run a tracker over HTTP and UDP
///
/// It serves any torrent, over IPv4 and IPv6, and keeps the swarms in memory. The announce URLs are
/// printed first, one a line; Ctrl-C ends it. Without --http and --udp it listens on port 6969 of
/// all addresses, and prints the URLs with the one towards the network and with that of loopback.
///
/// Peers are listed under the address that they announce from, whatever they say of themselves.
/// Answers come from the address that was asked, also where it listens on all of them.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Serve HTTP here, for example 127.0.0.1:6969 or [::]:6969; may be repeated. Port 0 lets the
    /// system choose.
    #[arg(long, value_name = "ADDR:PORT", value_parser = options::listen_exactly)]
    http: Vec<SocketAddr>,
    /// Serve UDP here; likewise.
    #[arg(long, value_name = "ADDR:PORT", value_parser = options::listen_exactly)]
    udp: Vec<SocketAddr>,
    /// How long clients are to wait between announces. A peer that misses two is gone.
    #[arg(long, value_name = "TIME", default_value = "30m", value_parser = interval)]
    interval: u32,
    /// Keep at most this many torrents of each of IPv4 and IPv6; the smallest and quietest go first. A
    /// million take 200 to 300 MB.
    #[arg(long, value_name = "COUNT", default_value_t = 1_000_000, value_parser = limit)]
    torrents_max: usize,
    /// Keep at most this many peers; the quietest go first. A million take about 35 MB.
    #[arg(long, value_name = "COUNT", default_value_t = 10_000_000, value_parser = limit)]
    peers_max: usize,
    /// Serve at most this many HTTP connections at once; for whoever comes beyond it, the one goes that
    /// was answered longest ago. Each takes 100 kB at most.
    #[arg(long, value_name = "COUNT", default_value_t = 4_096, value_parser = limit)]
    conns_max: usize,
    /// Print a line of counts to standard error this often; 0 never does.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = options::span_or_none)]
    stats: Span,
}

fn interval(text: &str) -> Result<u32, String> {
    let Span(time) = text.parse()?;
    match u32::try_from(time.as_secs()) {
        Ok(secs @ 1..=86_400) => Ok(secs),
        _ => Err("an interval lasts from 1s to 1d".to_owned()),
    }
}

fn limit(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count @ 1..=1_000_000_000) => Ok(count),
        _ => Err("a limit is a number from 1 to 1000000000".to_owned()),
    }
}

pub(crate) fn run(args: Args, ctx: &Context) -> Result<Outcome, CmdError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(CmdError::surroundings)?;
    runtime.block_on(serve(args, ctx))
}

async fn serve(args: Args, ctx: &Context) -> Result<Outcome, CmdError> {
    let mut config = TrackerConfig::new(args.interval).map_err(CmdError::surroundings)?;
    (config.http, config.udp) = (args.http, args.udp);
    if config.http.is_empty() && config.udp.is_empty() {
        config.http = everywhere();
        config.udp = everywhere();
    }
    config.store.torrents_max = args.torrents_max;
    config.store.peers_max = args.peers_max;
    config.conns_max = args.conns_max;
    let server = TrackerServer::start(config).map_err(cannot_start)?;
    // The tracker serves on when whoever read this has gone: `tracker | head -1` runs one.
    ui::print(server.urls().join("\n") + "\n")?;
    if server.is_everywhere() {
        ctx.note(
            "it listens on all addresses of this machine; a name of it will do in their place, too",
        );
    }
    let mut interrupt = Signals::new().map_err(CmdError::surroundings)?;
    let every = args.stats.0;
    loop {
        tokio::select! {
            () = interrupt.any() => break,
            () = pause(every), if !ctx.quiet && !every.is_zero() => ctx.note(line(&server)),
        }
    }
    ctx.note(line(&server));
    Ok(Outcome::Done)
}

fn cannot_start(error: TrackerServerError) -> CmdError {
    let hint = match &error {
        TrackerServerError::Listen { error, .. } => hints::of_listening(error),
        _ => None,
    };
    let error = CmdError::surroundings(error);
    match hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

async fn pause(time: Duration) {
    tokio::time::sleep(time).await;
}

fn line(server: &TrackerHandle) -> String {
    let stats = server.stats();
    let counts = stats.counts;
    format!(
        "{} torrents, {} peers; {} announces, {} scrapes, {} connects, {} refused, {} ignored",
        stats.torrents,
        stats.peers,
        counts.announces,
        counts.scrapes,
        counts.connects,
        counts.refused,
        counts.ignored
    )
}

/// All addresses of the families that this machine has.
fn everywhere() -> Vec<SocketAddr> {
    let mut addrs = vec![SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT))];
    if UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).is_ok() {
        addrs.push(SocketAddr::from((Ipv6Addr::UNSPECIFIED, PORT)));
    }
    addrs
}

/// The ways to be asked to end.
struct Signals {
    ending: Ending,
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            ending: Ending::new().context("cannot listen to signals")?,
            interrupt: signal(SignalKind::interrupt()).context("cannot listen to signals")?,
        })
    }

    async fn any(&mut self) {
        tokio::select! {
            () = self.ending.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
