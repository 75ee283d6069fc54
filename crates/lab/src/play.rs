//! A scenario on real sockets: actors, tracker and observer, from the first bind to the last line
//! of the truth log.
//!
//! The stage manager's own code does no more than start and stop: peers find one another through
//! the tracker, and the observer is the code that `skep observe` runs. Sessions and observer have
//! threads of their own; hostile actors and the clock of the play share this one.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use skep_net::{
    observe::{ObserveCounts, ObserveError, ObserveOptions, ObserveRun},
    session::SessionError,
    tracker::server::TrackerServerError,
};
use skep_wire::metainfo::{Metainfo, MetainfoError};

use crate::{
    content::Work,
    honest::{Content, Honest, HonestPlan},
    hostile::{Announcement, Hostile, Kind, Stage, announce},
    loopback::Subnet,
    scenario::{Deed, Part, Scenario},
    tracker::TrackerActor,
    truth::{Act, TruthError, TruthLog, utc_us},
};

/// What happens on stage, for whoever shows it.
#[derive(Debug, Clone)]
pub enum News<'a> {
    /// An actor is up.
    Enters {
        /// Its name.
        name: &'a str,
        /// What it is.
        role: &'a str,
        /// Whether it keeps to the protocol.
        honest: bool,
        /// Where it listens.
        endpoint: SocketAddr,
    },
    /// An actor is gone.
    Leaves {
        /// Its name.
        name: &'a str,
    },
    /// Time passes; told several times a second.
    Watching {
        /// Since the observation began.
        elapsed: Duration,
        /// How many honest peers are up.
        honest_up: usize,
        /// How many of them have everything.
        complete: usize,
        /// What the observer has seen so far.
        seen: ObserveCounts,
    },
}

/// What a play leaves behind.
#[derive(Debug, Clone)]
pub struct Played {
    /// The folder of the observation.
    pub observation: PathBuf,
    /// The torrent file.
    pub torrent: PathBuf,
    /// The truth log, complete.
    pub truth: PathBuf,
    /// How many lines it has.
    pub truth_lines: u64,
    /// The observer's address.
    pub observer: IpAddr,
    /// When the observation began and ended, in microseconds since 1970.
    pub observed_us: (i64, i64),
    /// The observer's last counts.
    pub seen: ObserveCounts,
}

/// Why a play could not be given. None of these is a finding about the observer.
#[derive(Debug, thiserror::Error)]
pub enum PlayError {
    /// The system refused a file.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: std::io::Error,
    },
    /// The truth log.
    #[error(transparent)]
    Truth(#[from] TruthError),
    /// A hostile actor could not be started.
    #[error("{name}: {source}")]
    Actor {
        /// Its name.
        name: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// An honest peer could not start or go on.
    #[error("{name}: {source}")]
    Session {
        /// Its name.
        name: String,
        /// What was wrong.
        source: SessionError,
    },
    /// The tracker.
    #[error("tracker: {0}")]
    Tracker(#[from] TrackerServerError),
    /// Our own torrent file is not one.
    #[error("torrent: {0}")]
    Metainfo(#[from] MetainfoError),
    /// The observation.
    #[error("observe: {0}")]
    Observe(#[from] ObserveError),
}

/// The folder in which downloaders keep what they fetch.
pub const PEERS: &str = "peers";

/// The observer's name in its ledger.
const OBSERVER: &str = "skep.example/demo";

/// How often the stage manager looks at the clock.
const TICK: Duration = Duration::from_millis(100);

/// How long the observer and the peers are given to end.
const PARTING: Duration = Duration::from_secs(10);

/// Gives the play in `dir`, which exists and is empty, and tells `tell` what happens.
///
/// # Errors
///
/// [`PlayError`].
pub fn perform(
    scenario: &Scenario,
    dir: &Path,
    tell: &mut dyn FnMut(News<'_>),
) -> Result<Played, PlayError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| PlayError::Io {
            path: dir.to_owned(),
            source,
        })?;
    runtime.block_on(async {
        let mut manager = Manager::set_up(scenario, dir, tell).await?;
        let played = manager.give().await;
        manager.clear().await?;
        played
    })
}

/// The stage manager.
struct Manager<'a> {
    scenario: &'a Scenario,
    dir: PathBuf,
    tell: &'a mut dyn FnMut(News<'_>),
    stage: Stage,
    torrent_bytes: Vec<u8>,
    torrent: Arc<Metainfo>,
    homes: BTreeMap<u8, IpAddr>,
    observer: IpAddr,
    tracker: TrackerActor,
    hostile: Vec<Hostile>,
    honest: Vec<Honest>,
    leaving: Vec<Honest>,
}

impl<'a> Manager<'a> {
    async fn set_up(
        scenario: &'a Scenario,
        dir: &Path,
        tell: &'a mut dyn FnMut(News<'_>),
    ) -> Result<Self, PlayError> {
        let mut subnet = Subnet::take();
        let (tracker_ip, observer) = (subnet.next_ip(), subnet.next_ip());
        let mut homes = BTreeMap::new();
        for part in &scenario.cast {
            homes.entry(part.home).or_insert_with(|| subnet.next_ip());
        }
        let work = Arc::new(Work::generate(
            "work.bin",
            scenario.seed,
            scenario.size,
            scenario.piece_len,
        ));
        let truth = TruthLog::create(&dir.join("truth.jsonl"))?;
        truth.write("lab", Act::stage(&work));
        let stage = Stage { truth, work };
        let tracker = TrackerActor::start(tracker_ip, &stage)?;
        let torrent_bytes = stage.work.torrent(&tracker.urls());
        let torrent = Arc::new(Metainfo::from_bytes(&torrent_bytes)?);
        let mut manager = Self {
            scenario,
            dir: dir.to_owned(),
            tell,
            stage,
            torrent_bytes,
            torrent,
            homes,
            observer,
            tracker,
            hostile: vec![],
            honest: vec![],
            leaving: vec![],
        };
        manager.write_file("work.torrent", &manager.torrent_bytes)?;
        manager.make_dir("content")?;
        manager.make_dir(PEERS)?;
        manager.write_file("content/work.bin", &manager.stage.work.bytes)?;
        manager.start_hostile().await?;
        Ok(manager)
    }

    async fn give(&mut self) -> Result<Played, PlayError> {
        for part in &self.scenario.cast {
            if let Deed::Seeds { .. } = part.deed {
                self.start_honest(part, 0)?;
            }
        }
        let began_us = utc_us();
        let run = ObserveRun::start(ObserveOptions {
            dir: self.dir.join("observation"),
            name: OBSERVER.to_owned(),
            torrents: vec![self.torrent_bytes.clone()],
            bind: self.observer,
            listen_port: 0,
            duration: None,
            plan: self.scenario.plan.clone(),
            seed: Some(skep_hash::sha256(&self.scenario.seed.to_be_bytes()).0),
        })?;
        self.watch(&run).await?;
        run.stop();
        let patience = Instant::now() + PARTING;
        while !run.is_finished() && Instant::now() < patience {
            tokio::time::sleep(TICK).await;
        }
        let ended_us = utc_us();
        let seen = run.wait()?.counts;
        Ok(Played {
            observation: self.dir.join("observation"),
            torrent: self.dir.join("work.torrent"),
            truth: self.dir.join("truth.jsonl"),
            truth_lines: 0,
            observer: self.observer,
            observed_us: (began_us, ended_us),
            seen,
        })
    }

    /// Raises and lowers the curtain for each stay until the time is over.
    async fn watch(&mut self, run: &ObserveRun) -> Result<(), PlayError> {
        let began = Instant::now();
        let mut cues = self.cues();
        loop {
            let elapsed = began.elapsed();
            while cues.last().is_some_and(|(at, _)| *at <= elapsed) {
                let (_, cue) = cues.pop().expect("the last cue was just seen");
                self.play_cue(cue)?;
            }
            self.part_with_leavers()?;
            let counts: Vec<_> = self.honest.iter().map(Honest::stats).collect();
            let is_complete = |held: &u64| *held == self.scenario.size as u64;
            let complete = counts
                .iter()
                .map(|stats| stats.bytes_held)
                .filter(is_complete)
                .count();
            let honest_up = counts.len();
            (self.tell)(News::Watching {
                elapsed,
                honest_up,
                complete,
                seen: run.counts(),
            });
            if elapsed >= self.scenario.watch || run.is_finished() {
                return Ok(());
            }
            tokio::time::sleep(TICK).await;
        }
    }

    /// All entrances and exits, latest first.
    fn cues(&self) -> Vec<(Duration, Cue<'a>)> {
        let scenario = self.scenario;
        let mut cues = Vec::new();
        for part in &scenario.cast {
            if let Deed::Fetches { stays, .. } = &part.deed {
                for (number, stay) in (0u64..).zip(stays) {
                    cues.push((stay.from, Cue::Enter(part, number)));
                    cues.extend(stay.to.map(|to| (to, Cue::Leave(&part.name))));
                }
            }
        }
        cues.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        cues
    }

    fn play_cue(&mut self, cue: Cue<'_>) -> Result<(), PlayError> {
        match cue {
            Cue::Enter(part, stay) => self.start_honest(part, stay),
            Cue::Leave(name) => {
                if let Some(at) = self.honest.iter().position(|peer| peer.name() == name) {
                    let peer = self.honest.remove(at);
                    peer.leave();
                    self.leaving.push(peer);
                    (self.tell)(News::Leaves { name });
                }
                Ok(())
            }
        }
    }

    fn part_with_leavers(&mut self) -> Result<(), PlayError> {
        while let Some(at) = self.leaving.iter().position(Honest::is_over) {
            join(self.leaving.remove(at))?;
        }
        Ok(())
    }

    fn start_honest(&mut self, part: &Part, stay: u64) -> Result<(), PlayError> {
        let (role, content, upload, download) = match &part.deed {
            Deed::Seeds { upload } => {
                let file = self.dir.join("content/work.bin");
                (
                    "has everything and shares it",
                    Content::Complete(file),
                    *upload,
                    u64::MAX,
                )
            }
            Deed::Fetches {
                upload, download, ..
            } => {
                let folder = format!("{PEERS}/{}", part.name);
                self.make_dir(&folder)?;
                let folder = self.dir.join(folder);
                (
                    "fetches and shares",
                    Content::FetchInto(folder),
                    *upload,
                    *download,
                )
            }
            Deed::Hostile(_) => return Ok(()),
        };
        let seed = skep_hash::sha256(format!("{} {}", part.name, self.scenario.seed).as_bytes());
        let seed = u64::from_be_bytes(seed.0[..8].try_into().expect("a digest has 32 bytes"));
        let plan = HonestPlan {
            name: part.name.clone(),
            role: role.to_owned(),
            ip: self.homes[&part.home],
            torrent: Arc::clone(&self.torrent),
            content,
            upload_bytes_per_sec: upload,
            download_bytes_per_sec: download,
            seed: seed.wrapping_add(stay),
        };
        let peer = Honest::start(plan, &self.stage).map_err(|source| PlayError::Session {
            name: part.name.clone(),
            source,
        })?;
        let (name, endpoint) = (peer.name(), peer.endpoint());
        (self.tell)(News::Enters {
            name,
            role,
            honest: true,
            endpoint,
        });
        self.honest.push(peer);
        Ok(())
    }

    /// Starts the hostile actors. Members announce themselves; the tracker's list is bogus where it
    /// names the others.
    async fn start_hostile(&mut self) -> Result<(), PlayError> {
        for part in &self.scenario.cast {
            let Deed::Hostile(kind) = part.deed else {
                continue;
            };
            let trouble = |source| PlayError::Actor {
                name: part.name.clone(),
                source,
            };
            let ip = self.homes[&part.home];
            let actor = Hostile::start(kind, &part.name, ip, &self.stage)
                .await
                .map_err(trouble)?;
            let endpoint = actor.endpoint;
            if kind.announces() {
                let left = if kind == Kind::UnderReporter {
                    self.scenario.size as u64 / 2
                } else {
                    0
                };
                let what = Announcement {
                    kind,
                    endpoint,
                    left,
                };
                announce(&self.stage, &part.name, what, self.tracker.http())
                    .await
                    .map_err(trouble)?;
            } else {
                self.tracker.list(endpoint);
            }
            let (name, role) = (part.name.as_str(), kind.story());
            (self.tell)(News::Enters {
                name,
                role,
                honest: false,
                endpoint,
            });
            self.hostile.push(actor);
        }
        Ok(())
    }

    /// Ends everybody and the truth log.
    async fn clear(&mut self) -> Result<u64, PlayError> {
        self.leaving.append(&mut self.honest);
        for peer in &self.leaving {
            peer.leave();
        }
        let patience = Instant::now() + PARTING;
        while self.leaving.iter().any(|peer| !peer.is_over()) && Instant::now() < patience {
            tokio::time::sleep(TICK).await;
        }
        self.leaving.drain(..).try_for_each(join)?;
        for actor in self.hostile.drain(..) {
            actor.stop().await;
        }

        Ok(self.stage.truth.finish()?)
    }

    fn write_file(&self, name: &str, bytes: &[u8]) -> Result<(), PlayError> {
        let path = self.dir.join(name);
        std::fs::write(&path, bytes).map_err(|source| PlayError::Io { path, source })
    }

    fn make_dir(&self, name: &str) -> Result<(), PlayError> {
        let path = self.dir.join(name);
        std::fs::create_dir_all(&path).map_err(|source| PlayError::Io { path, source })
    }
}

/// An entrance or an exit.
enum Cue<'a> {
    Enter(&'a Part, u64),
    Leave(&'a str),
}

fn join(peer: Honest) -> Result<(), PlayError> {
    let name = peer.name().to_owned();
    peer.join()
        .map_err(|source| PlayError::Session { name, source })
}
