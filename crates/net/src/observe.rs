//! The live driver of the observer machine: sockets, clock, capture, journal and ledger.
//!
//! Captured bytes are appended before anything else looks at them; then the journal entry; then the
//! machine is called, and its records go to the ledger. If any of these cannot be written, the run
//! ends with [`ObserveError`]: nothing is dropped.

mod clock;
mod counts;
mod driver;
mod sockets;

use std::{
    io::{self, Read as _},
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::{Arc, Mutex, OnceLock},
    thread::JoinHandle,
    time::Duration,
};

use skep_evidence::journal::Input;
use skep_hash::{Sha256, Sha256Digest};
use skep_observe::{Config, ConfigError, Fault, Observer, Target};
use skep_wire::{
    InfoHash,
    metainfo::{Metainfo, MetainfoError},
};
use tokio::sync::mpsc;

use crate::{
    clock::RunClock,
    store::{ObservationStore, OpenReport, RunBegin, StoreError},
};

pub use clock::UNKNOWN_ERROR_US;
use driver::Driver;
use sockets::{Sockets, Word};

/// How many torrents one run watches: the first record of a run names each by 32 bytes, and a record
/// has at most 65,535, of which three texts take up to 6 KiB.
pub const TARGETS_MAX: usize = 1_800;

/// What a run is to do.
#[derive(Debug, Clone)]
pub struct ObserveOptions {
    /// The observation's folder; made if it is not there. A second run into it continues its ledger.
    pub dir: PathBuf,
    /// The observer's name, if the folder is made: the origin line of its ledger's checkpoints.
    pub name: String,
    /// The bytes of each torrent file, in target order.
    pub torrents: Vec<Vec<u8>>,
    /// The source address of everything we send, and where we listen.
    pub bind: IpAddr,
    /// The listening port, 0 for any.
    pub listen_port: u16,
    /// End the run after this long; `None` runs until [`ObserveRun::stop`].
    pub duration: Option<Duration>,
    /// The plan.
    pub plan: ObservePlan,
    /// From this the peer ids and choices are derived; `None` draws one from the system.
    pub seed: Option<[u8; 32]>,
}

/// The plan's numbers, as [`skep_observe::Config`] holds them.
#[derive(Debug, Clone)]
pub struct ObservePlan {
    /// Endpoints that the operator names (the torrent's place in the list, endpoint).
    pub endpoints: Vec<(u32, SocketAddr)>,
    /// Pieces asked of a willing peer in one visit.
    pub pieces_per_visit: u32,
    /// Whether to fetch the whole content from a willing peer over its visits.
    pub whole: bool,
    /// Time between the end of a visit and the next one to the same endpoint.
    pub revisit: Duration,
    /// How long a visit lasts at most.
    pub visit: Duration,
    /// How long a connect may take.
    pub connect: Duration,
    /// Greatest number of connections at once.
    pub conns_max: u32,
    /// Time between announces to one tracker, unless it asks for longer.
    pub announce: Duration,
}

impl Default for ObservePlan {
    fn default() -> Self {
        Self {
            endpoints: Vec::new(),
            pieces_per_visit: 1,
            whole: false,
            revisit: Duration::from_secs(60),
            visit: Duration::from_secs(120),
            connect: Duration::from_secs(10),
            conns_max: 200,
            announce: Duration::from_secs(300),
        }
    }
}

/// What was seen so far, for display. Counted from the ledger's records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ObserveCounts {
    /// Endpoints that somebody named, or that came to us.
    pub endpoints: u32,
    /// Connections that stand now.
    pub open: u32,
    /// Endpoints that were reached at least once.
    pub reached: u32,
    /// Endpoints that joined.
    pub joined: u32,
    /// Endpoints that claimed.
    pub claimed: u32,
    /// Endpoints that delivered a block.
    pub delivered: u32,
    /// Endpoints that delivered a verified piece.
    pub verified: u32,
    /// Endpoints from which the whole content came.
    pub whole: u32,
    /// Attempts that failed.
    pub failed: u32,
    /// Tracker answers.
    pub tracker_answers: u32,
    /// Tracker failures.
    pub tracker_failures: u32,
    /// Bytes captured, both ways.
    pub captured_bytes: u64,
    /// Records that are durable.
    pub records: u64,
}

/// How a run ended.
#[derive(Debug, Clone)]
pub struct ObserveSummary {
    /// Which run of the ledger, from 1.
    pub run: u32,
    /// The last counts.
    pub counts: ObserveCounts,
}

/// Why a run could not start or go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ObserveError {
    /// No torrent was given.
    #[error("no torrent to watch")]
    NoTarget,
    /// More torrents than [`TARGETS_MAX`].
    #[error("{got} torrents, one run watches at most {limit}")]
    TooManyTargets {
        /// How many.
        got: usize,
        /// The limit.
        limit: usize,
    },
    /// A torrent file does not parse.
    #[error("torrent {}: {error}", number + 1)]
    Torrent {
        /// Which, from 0.
        number: usize,
        /// What is wrong with it.
        error: MetainfoError,
    },
    /// Two torrent files are of one swarm.
    #[error("torrents {} and {} have the same info-hash {info_hash}", first + 1, second + 1)]
    SameTarget {
        /// Which, from 0.
        first: usize,
        /// Which, from 0.
        second: usize,
        /// Their info-hash.
        info_hash: InfoHash,
    },
    /// A socket cannot be bound.
    #[error("{bind} port {port}: {error}")]
    Bind {
        /// The address.
        bind: IpAddr,
        /// The port.
        port: u16,
        /// What the system says.
        error: io::Error,
    },
    /// The plan is beyond what a run is made for: no verifier would read it.
    #[error(transparent)]
    Plan(#[from] ConfigError),
    /// The folder cannot be written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The system gives no random numbers.
    #[error("no random numbers: {0}")]
    Random(#[from] getrandom::Error),
    /// The running binary's file cannot be read, so that the run could not be tied to it.
    #[error("file of the running program: {0}")]
    Binary(io::Error),
    /// A thread or its event loop cannot be started.
    #[error("event loop: {0}")]
    Runtime(io::Error),
    /// The driver broke its contract with the machine. The run up to there is good.
    #[error("driver: {0}")]
    Fault(#[from] Fault),
    /// The run's thread panicked. What was acknowledged until then is durable.
    #[error("the run panicked")]
    Panicked,
}

/// A run in progress, on a thread of its own. Dropping the handle stops the run.
#[derive(Debug)]
pub struct ObserveRun {
    shared: Arc<Shared>,
    listen_addr: SocketAddr,
    run: u32,
    opened: OpenReport,
    thread: Option<JoinHandle<Result<ObserveSummary, ObserveError>>>,
}

/// What the run's thread and its handle share.
#[derive(Debug, Default)]
struct Shared {
    stop: tokio::sync::Notify,
    counts: Mutex<ObserveCounts>,
}

/// What the thread says when the run has begun.
struct Begun {
    listen_addr: SocketAddr,
    run: u32,
    opened: OpenReport,
}

impl ObserveRun {
    /// Starts a run; when this returns, the listening port is bound and the run's first records are
    /// durable.
    ///
    /// # Errors
    ///
    /// [`ObserveError`] if a torrent does not parse, the folder cannot be used, or a socket cannot
    /// be bound.
    pub fn start(options: ObserveOptions) -> Result<Self, ObserveError> {
        let targets = targets(&options.torrents)?;
        let shared = Arc::new(Shared::default());
        let (begun, wait) = std::sync::mpsc::channel();
        let inside = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("observe".into())
            .spawn(move || whole_run(options, targets, inside, &begun))
            .map_err(ObserveError::Runtime)?;
        match wait.recv() {
            Ok(Begun {
                listen_addr,
                run,
                opened,
            }) => Ok(Self {
                shared,
                listen_addr,
                run,
                opened,
                thread: Some(thread),
            }),
            Err(_) => match thread.join() {
                Ok(Err(error)) => Err(error),
                Ok(Ok(_)) | Err(_) => Err(ObserveError::Panicked),
            },
        }
    }

    /// Where we listen.
    pub fn listen_addr(&self) -> SocketAddr {
        self.listen_addr
    }

    /// Which run of the ledger it is, from 1.
    pub fn run(&self) -> u32 {
        self.run
    }

    /// What was found in the folder, and mended, before the run began.
    pub fn opened(&self) -> &OpenReport {
        &self.opened
    }

    /// What was seen so far. Only what is durable is counted.
    pub fn counts(&self) -> ObserveCounts {
        self.shared
            .counts
            .lock()
            .map_or_else(|error| *error.into_inner(), |counts| *counts)
    }

    /// Asks the run to end cleanly: trackers hear that we leave, for a few seconds at most. Called
    /// again, it ends at once, and as cleanly.
    pub fn stop(&self) {
        self.shared.stop.notify_one();
    }

    /// Whether the run has ended.
    pub fn is_finished(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Waits for the end (blocks the calling thread; in async code use `spawn_blocking`).
    ///
    /// # Errors
    ///
    /// [`ObserveError`] if the run could not go on: what was acknowledged until then is durable.
    pub fn wait(mut self) -> Result<ObserveSummary, ObserveError> {
        let thread = self.thread.take().expect("only wait takes the thread");
        thread.join().unwrap_or(Err(ObserveError::Panicked))
    }
}

impl Drop for ObserveRun {
    fn drop(&mut self) {
        self.stop();
    }
}

fn targets(torrents: &[Vec<u8>]) -> Result<Vec<Target>, ObserveError> {
    if torrents.is_empty() {
        return Err(ObserveError::NoTarget);
    }
    if torrents.len() > TARGETS_MAX {
        let (got, limit) = (torrents.len(), TARGETS_MAX);
        return Err(ObserveError::TooManyTargets { got, limit });
    }
    let mut targets: Vec<Target> = Vec::new();
    for (number, bytes) in torrents.iter().enumerate() {
        let metainfo =
            Metainfo::from_bytes(bytes).map_err(|error| ObserveError::Torrent { number, error })?;
        for target in Target::all(number as u32, skep_hash::sha256(bytes), &metainfo) {
            let info_hash = target.info_hash;
            if let Some(same) = targets.iter().find(|other| other.info_hash == info_hash) {
                return Err(ObserveError::SameTarget {
                    first: same.place as usize,
                    second: number,
                    info_hash,
                });
            }
            targets.push(target);
        }
    }
    Ok(targets)
}

fn whole_run(
    options: ObserveOptions,
    targets: Vec<Target>,
    shared: Arc<Shared>,
    begun: &std::sync::mpsc::Sender<Begun>,
) -> Result<ObserveSummary, ObserveError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(ObserveError::Runtime)?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async move {
        let (driver, words, begin) = begin(&options, targets, shared)?;
        // Whoever started the run may have gone already; it runs until it is stopped.
        let _ = begun.send(begin);
        driver.run(words).await
    })
}

/// Binds the sockets, and writes down what the run is before anything is asked.
fn begin(
    options: &ObserveOptions,
    targets: Vec<Target>,
    shared: Arc<Shared>,
) -> Result<(Driver, mpsc::Receiver<Word>, Begun), ObserveError> {
    let (bind, port) = (options.bind, options.listen_port);
    let (sockets, words) =
        Sockets::bind(bind, port).map_err(|error| ObserveError::Bind { bind, port, error })?;
    let listen_addr = sockets.listen_addr();
    let (mut store, opened) = ObservationStore::open(&options.dir, &options.name)?;
    let config = config(options, store.next_run(), listen_addr.port())?;
    // Before the clock: a program that is not optimized needs seconds to hash its own file, which are none
    // of the run's.
    let binary = binary_digest()?;
    let clock = RunClock::start();
    let sample = clock::sample(clock);
    let run = store.begin_run(&RunBegin {
        version: env!("CARGO_PKG_VERSION"),
        binary,
        build: env!("SKEP_BUILD"),
        config: &config.encode(),
        torrents: &options.torrents,
        clock: sample,
    })?;
    let mut driver = Driver {
        run,
        store,
        observer: Observer::new(config, targets),
        clock,
        sockets,
        shared,
        ends_at: None,
        state: driver::State::default(),
    };
    driver.feed(Input::Clock(sample), &[])?;
    driver.ends_at = options.duration.map(|lasts| clock.now() + lasts);
    Ok((
        driver,
        words,
        Begun {
            listen_addr,
            run,
            opened,
        },
    ))
}

fn config(options: &ObserveOptions, run: u32, listen_port: u16) -> Result<Config, ObserveError> {
    let seed = match options.seed {
        Some(seed) => seed,
        None => {
            let mut seed = [0; 32];
            getrandom::fill(&mut seed)?;
            seed
        }
    };
    let plan = &options.plan;
    let secs = |time: Duration| u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
    let config = Config {
        run,
        bind: options.bind,
        listen_port,
        seed,
        endpoints: plan.endpoints.clone(),
        pieces_per_visit: plan.pieces_per_visit,
        whole: plan.whole,
        revisit_secs: secs(plan.revisit),
        visit_secs: secs(plan.visit),
        connect_ms: u32::try_from(plan.connect.as_millis()).unwrap_or(u32::MAX),
        conns_max: plan.conns_max,
        announce_secs: secs(plan.announce),
    };
    config.check()?;
    Ok(config)
}

/// SHA-256 of the running binary's file, once for a process.
fn binary_digest() -> Result<Sha256Digest, ObserveError> {
    static DIGEST: OnceLock<Sha256Digest> = OnceLock::new();
    if let Some(digest) = DIGEST.get() {
        return Ok(*digest);
    }
    let path = std::env::current_exe().map_err(ObserveError::Binary)?;
    let mut file = std::fs::File::open(path).map_err(ObserveError::Binary)?;
    let (mut hash, mut buffer) = (Sha256::new(), vec![0; 256 * 1024]);
    loop {
        match file.read(&mut buffer).map_err(ObserveError::Binary)? {
            0 => break,
            len => hash.update(&buffer[..len]),
        }
    }
    Ok(*DIGEST.get_or_init(|| hash.finish()))
}
