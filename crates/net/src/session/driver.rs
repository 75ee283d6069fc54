//! The life of one session: check what is there, listen, fetch and share, end cleanly.
//!
//! ```text
//! check --> run: listener, connections, timer, writer's reports, tracker, commands --> end
//! ```

mod relocate;

use std::{
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use skep_proto::{
    peer::InfoHashes,
    torrent::{Source, Torrent, TorrentConfig},
};
use skep_wire::{
    Bitfield, InfoHashV2, Moment, PeerId, PieceIndex,
    metainfo::{Info, Metainfo},
};
use tokio::{
    sync::{mpsc, watch},
    task::LocalSet,
};

use super::{
    Command, Ended, Phase, Place, Purpose, SeedUntil, SessionConfig, SessionError, Stats, What,
    core::{Core, Shared},
    hashes, link,
    stripes::Stripes,
    trackers::Trackers,
    world::World,
};
use crate::{
    disk::{
        DiskError,
        attributes::Left,
        check::{self, Watch},
        files::{Access, Files, descriptors_max},
        keeper::Keeper,
        layout::Layout,
        resume, start,
        writer::{Keep, Report, Writer},
    },
    rate::Bucket,
};

/// How often counts are refreshed and conditions looked at.
const TICK: Duration = Duration::from_millis(250);

/// How often the resume file is written while pieces arrive. Syncing costs a disk its throughput,
/// and what a kill leaves unclaimed is found again by hashing.
const RESUME_EVERY: Duration = Duration::from_secs(10);

/// How much may be under way at once, in pieces that have begun. Only what is arriving has memory.
const PARTIAL_BYTES_MAX: u64 = 64 << 20;

/// So many pieces may be under way however large they are: a few for each of a few peers.
const PARTIAL_PIECES_MIN: u64 = 32;

/// Descriptors for what is neither a peer nor a file of the torrent.
const DESCRIPTORS_SPARE: usize = 32;

/// How often a disk that refused a piece is tried again.
const DISK_RETRY_EVERY: Duration = Duration::from_secs(5);

/// A connection that takes nothing for this long is given up.
const STUCK_TIME_MAX: Duration = Duration::from_secs(60);

/// How long the end waits for a tracker to hear that everything is there.
const COMPLETION_TIME_MAX: Duration = Duration::from_secs(3);

/// How long the end waits for trackers.
const FAREWELL_TIME_MAX: Duration = Duration::from_secs(5);

/// How long the end waits for pieces that are being written.
const WRITING_TIME_MAX: Duration = Duration::from_secs(30);

/// Runs the session to its end on the calling thread.
pub(super) fn run(
    config: SessionConfig,
    listener: TcpListener,
    mut inbox: mpsc::UnboundedReceiver<Command>,
    stats: watch::Sender<Stats>,
) -> Result<Ended, SessionError> {
    let addr = listener.local_addr().map_err(SessionError::Start)?;
    let info = &config.torrent.info;
    let access = match config.purpose {
        Purpose::Seed => Access::Read,
        Purpose::Get(_) => Access::Write,
    };
    let files = Files::new(
        Arc::new(Layout::of(info)),
        &config.place,
        &info.name,
        access,
    );
    stats.send_modify(|stats| {
        stats.size_bytes = info.payload_sizes().size_bytes();
        stats.listen = Some(addr);
    });
    config
        .events
        .tell(config.clock.now(), What::Listening { addr });
    let resume_file = resume_path(&config);
    let found = find(&config, &files, &resume_file, &mut inbox, &stats)?;
    let Some(found) = found else {
        let stats = stats.borrow().clone();
        return Ok(Ended {
            stats,
            complete: false,
        });
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(SessionError::Start)?;
    let local = LocalSet::new();
    local.block_on(&runtime, async move {
        let session = Running::start(config, files, resume_file, found.have, addr)?;
        session.run(listener, found.asked, inbox, stats).await
    })
}

/// By what the torrent is known on the wire.
fn names_of(torrent: &Metainfo) -> InfoHashes {
    let first = torrent.info_hash;
    match torrent.info_hash_v2.map(InfoHashV2::truncated) {
        Some(v2) if torrent.info.version.has_v1() => InfoHashes::Hybrid { v1: first, v2 },
        Some(v2) => InfoHashes::V2(v2),
        None => InfoHashes::V1(first),
    }
}

/// The error for a piece whose two hashes contradict each other.
fn contradiction(info: &Info, files: &Files, piece: PieceIndex, has_v1: bool) -> SessionError {
    let file = info.piece_v2(piece).map_or(0, |v2| v2.file);
    SessionError::Contradiction {
        piece,
        path: files.path(file),
        has_v1,
    }
}

/// Where the resume file lies.
fn resume_path(config: &SessionConfig) -> PathBuf {
    match &config.place {
        Place::Under(dir) => resume::path_in(dir, &config.torrent.info.name),
        Place::At(path) => {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            resume::path_in(path.parent().unwrap_or(std::path::Path::new("")), &name)
        }
    }
}

/// What is known when the check is over.
struct Found {
    have: Bitfield,
    /// What was asked of the session meanwhile.
    asked: Vec<Command>,
}

/// Finds out which pieces are there. `None` if the session was told to stop meanwhile.
fn find(
    config: &SessionConfig,
    files: &Files,
    resume_file: &std::path::Path,
    inbox: &mut mpsc::UnboundedReceiver<Command>,
    stats: &watch::Sender<Stats>,
) -> Result<Option<Found>, SessionError> {
    let info = &config.torrent.info;
    let believed = match config.purpose {
        Purpose::Seed => None,
        Purpose::Get(_) => resume::load(resume_file, &config.torrent, files)?,
    };
    let mut asked = Vec::new();
    let mut stopped = false;
    let from_resume = believed
        .as_ref()
        .is_some_and(|believed| believed.doubtful.count() == 0);
    let only = believed.as_ref().map(|believed| &believed.doubtful);
    let mut have = match only {
        Some(doubtful) if doubtful.count() == 0 => doubtful.clone(),
        _ => {
            let watch = Watch::default();
            let waiter = std::thread::current();
            let found = std::thread::scope(|scope| {
                let check = scope.spawn(|| {
                    let found = check::pieces_there(files, info, only, &watch);
                    waiter.unpark();
                    found
                });
                while !check.is_finished() {
                    std::thread::park_timeout(Duration::from_millis(50));
                    let done = watch.bytes_done.load(Ordering::Relaxed);
                    stats.send_modify(|stats| stats.checked_bytes = done);
                    while let Ok(command) = inbox.try_recv() {
                        match command {
                            Command::AddPeer(_) | Command::Move(_) => asked.push(command),
                            Command::Stop => {
                                stopped = true;
                                watch.stop.store(true, Ordering::Relaxed);
                            }
                        }
                    }
                }
                check
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            });
            match found {
                Err(DiskError::Interrupted) if stopped => return Ok(None),
                found => {
                    let found = found?;
                    if let Some((piece, has_v1)) = found.torn {
                        return Err(contradiction(info, files, piece, has_v1));
                    }
                    found.there
                }
            }
        }
    };
    if stopped {
        return Ok(None);
    }
    for piece in believed.iter().flat_map(|believed| believed.have.iter()) {
        have.insert(piece);
    }
    let fetches = matches!(config.purpose, Purpose::Get(_));
    if fetches && have.count() == 0 && !config.overwrite && !resume_file.exists() {
        refuse_foreign(files)?;
    }
    if config.purpose == Purpose::Seed && have.count() == 0 && info.piece_count() > 0 {
        let path = match &config.place {
            Place::At(path) => path.clone(),
            Place::Under(dir) => dir.join(&info.name),
        };
        let pieces = info.piece_count();
        return Err(SessionError::NothingToShare { path, pieces });
    }
    config.events.tell(
        config.clock.now(),
        What::Checked {
            pieces_held: have.count(),
            pieces: info.piece_count(),
            from_resume,
        },
    );
    Ok(Some(Found { have, asked }))
}

/// Refuses files that an earlier run cannot have left: it leaves a resume file, and no piece that is
/// not right.
fn refuse_foreign(files: &Files) -> Result<(), DiskError> {
    for file in 0..files.layout().files().len() {
        if files.stamp(file)?.is_some_and(|stamp| stamp.len > 0) {
            return Err(DiskError::Foreign {
                path: files.path(file),
            });
        }
    }
    Ok(())
}

/// What is said of links that were not made; nothing if all were.
fn left_out(left: Left) -> Option<What> {
    let Left { count, first } = left;
    let (path, reason) = first?;
    Some(What::AttributesLeft {
        count,
        path,
        reason,
    })
}

/// A session whose content has been checked.
struct Running {
    config: SessionConfig,
    /// Sum of all pieces' lengths.
    size_bytes: u64,
    shared: Shared,
    report: mpsc::UnboundedSender<Report>,
    reports: mpsc::UnboundedReceiver<Report>,
    trackers: Trackers,
    /// When everything was there, if that is so.
    complete_at: Option<Moment>,
    /// What the resume file is being asked to say.
    keeping: Option<Kept>,
    /// The disk refused a claim, and is not to be asked again before.
    keep_at: Moment,
    /// Whether trackers were told that everything is there.
    is_told: bool,
    /// Whether the whole content is synced, or nothing of it was written by us.
    is_kept: bool,
    resume_at: Moment,
    disk_retry_at: Option<Moment>,
    listen: SocketAddr,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kept {
    Part,
    Whole,
}

impl Running {
    fn start(
        config: SessionConfig,
        files: Files,
        resume_file: PathBuf,
        have: Bitfield,
        addr: SocketAddr,
    ) -> Result<Self, SessionError> {
        let now = config.clock.now();
        let info = &config.torrent.info;
        let seed = match config.random_seed {
            Some(seed) => seed,
            None => u64::from_le_bytes(random_bytes()?),
        };
        let peer_id = match config.peer_id {
            Some(peer_id) => peer_id,
            None => made_up_peer_id()?,
        };
        let (report, reports) = mpsc::unbounded_channel();
        let is_complete = have.is_full();
        let fetches = matches!(config.purpose, Purpose::Get(_));
        let writer = if fetches && !is_complete {
            let torrent = &config.torrent;
            start::to_fetch(&files, torrent, &resume_file, &have, config.preallocate)?;
            let keeper = Keeper::new(&files, torrent.clone(), resume_file, have.clone());
            let report = report.clone();
            let report = move |what| drop(report.send(what));
            let started = Writer::start(&files, torrent, keeper, report);
            Some(started.map_err(SessionError::Start)?)
        } else {
            if fetches && let Some(what) = left_out(start::with_all(&files, &resume_file)?) {
                config.events.tell(now, what);
            }
            None
        };
        let names = names_of(&config.torrent);
        let sizes = info.payload_sizes();
        let mut machine = TorrentConfig::new(names, peer_id, sizes.clone());
        if info.version.has_v2() {
            machine.trees = Some(config.torrent.clone());
        }
        machine.have = have;
        machine.listen_port = Some(addr.port());
        if !addr.ip().is_unspecified() {
            machine.own_addrs = vec![addr];
        }
        machine.client = config.client.clone();
        machine.private = info.private;
        machine.fetch = writer.is_some();
        // Half of the descriptors are for files.
        let sockets = (descriptors_max() / 2).saturating_sub(DESCRIPTORS_SPARE);
        machine.peers_max = config.peers_max.min(sockets.max(1));
        machine.upload_slots = config.upload_slots;
        let pieces_max = PARTIAL_BYTES_MAX / u64::from(info.piece_len.max(1));
        machine.partial_pieces_max = pieces_max.clamp(PARTIAL_PIECES_MIN, 1024) as usize;
        machine.seed = seed;
        let world = World {
            torrent_file: config.torrent.clone(),
            sizes,
            clock: config.clock,
            events: config.events.clone(),
            lines: Default::default(),
            dialing: Default::default(),
            dial_next: Vec::new(),
            stripes: Stripes::new(info.piece_len, config.buffers_bytes_max, machine.peers_max),
            ready: Vec::new(),
            flush_at: None,
            flush_wanted: Default::default(),
            hashes: Default::default(),
            judge_next: None,
            files,
            writer,
            jobs: 0,
            refused: Vec::new(),
            is_unkept: false,
            is_in_doubt: false,
            doubting: 0,
            is_short: false,
            torn: None,
            is_moving: false,
            disk_refuses: false,
            resume_due: false,
            completed: false,
            upload: Bucket::new(config.upload_bytes_per_sec, now),
            download: Bucket::new(config.download_bytes_per_sec, now),
            uploaded_bytes: 0,
            downloaded_bytes: 0,
            scratch: vec![0; link::SCRATCH_BYTES],
        };
        let torrent = Torrent::new(machine, now);
        let trackers = Trackers::start(&config, peer_id, addr, seed, torrent.stats(now).left_bytes);
        let shared = Shared::new(
            Core {
                torrent,
                world,
                timer_at: None,
            },
            config.bind,
        );
        Ok(Self {
            size_bytes: config.torrent.info.payload_sizes().size_bytes(),
            shared,
            report,
            reports,
            trackers,
            complete_at: is_complete.then_some(now),
            keeping: None,
            keep_at: now,
            is_told: is_complete,
            is_kept: is_complete || !fetches,
            resume_at: now + RESUME_EVERY,
            disk_retry_at: None,
            listen: addr,
            config,
        })
    }

    async fn run(
        mut self,
        listener: TcpListener,
        asked: Vec<Command>,
        mut inbox: mpsc::UnboundedReceiver<Command>,
        stats: watch::Sender<Stats>,
    ) -> Result<Ended, SessionError> {
        let listener = tokio::net::TcpListener::from_std(listener).map_err(SessionError::Start)?;
        let accepting = tokio::task::spawn_local(accept(listener, self.shared.clone()));
        let timing = tokio::task::spawn_local(self.shared.clone().keep_time());
        let flushing = tokio::task::spawn_local(flush(self.shared.clone()));
        let answering = tokio::task::spawn_local(hashes::answer(self.shared.clone()));
        self.shared.turn(|core, now| {
            core.torrent
                .handle_candidates(Source::Operator, &self.config.peers, now)
        });
        for command in asked {
            self.obey(command).await;
        }
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                command = inbox.recv() => match command {
                    Some(Command::Stop) | None => break,
                    Some(command) => self.obey(command).await,
                },
                Some(report) = self.reports.recv() => self.report(report),
                (info_hash, peers) = self.trackers.next_peers(&self.config) => self.shared.turn(|core, now| {
                    core.torrent.handle_candidates_of(info_hash, Source::Tracker, &peers, now);
                }),
                _ = tick.tick() => {
                    self.tick();
                    stats.send_replace(self.stats());
                }
            }
            if self.complete_at.is_some()
                && self.is_kept
                && let Some(place) = self.config.move_when_complete.take()
            {
                self.relocate(place).await;
            }
            if self.is_over() || self.shared.turn(|core, _| core.world.torn.is_some()) {
                break;
            }
        }
        accepting.abort();
        self.end().await;
        timing.abort();
        flushing.abort();
        answering.abort();
        let mut last = self.stats();
        last.phase = Phase::Stopped;
        stats.send_replace(last.clone());
        let (complete, torn) = self
            .shared
            .turn(|core, _| (core.torrent.is_complete(), core.world.torn));
        if let Some((piece, has_v1)) = torn {
            let info = &self.config.torrent.info;
            let files = |core: &mut Core, _| contradiction(info, &core.world.files, piece, has_v1);
            return Err(self.shared.turn(files));
        }
        Ok(Ended {
            stats: last,
            complete,
        })
    }

    /// Does what the owner asks, but for ending.
    async fn obey(&mut self, command: Command) {
        match command {
            Command::AddPeer(addr) => self.shared.turn(|core, now| {
                core.torrent
                    .handle_candidates(Source::Operator, &[addr], now);
            }),
            Command::Move(place) => self.relocate(place).await,
            Command::Stop => {}
        }
    }

    /// The writer has something to say.
    fn report(&mut self, report: Report) {
        match report {
            Report::Done(done) => {
                self.shared.turn(|core, now| {
                    for (piece, verdict) in core.world.written(done) {
                        core.torrent.handle_verdict(piece, verdict, now);
                        core.settle();
                    }
                });
                self.after_verdict();
            }
            Report::Left(left) => {
                if let Some(what) = left_out(left) {
                    self.shared.turn(|core, _| core.world.tell(what));
                }
            }
            Report::Kept(kept) => {
                let what = self.keeping.take();
                match kept {
                    Ok(lost) if lost.is_empty() => {
                        self.is_kept |= what == Some(Kept::Whole);
                        self.shared.turn(|core, _| core.world.keep_recovered());
                    }
                    Ok(lost) => {
                        self.lose(&lost);
                        self.shared.turn(|core, _| core.world.keep_recovered());
                    }
                    Err(why) => {
                        self.keep_at = self.shared.clock().now() + DISK_RETRY_EVERY;
                        self.shared.turn(|core, _| core.world.keep_refused(&why));
                        self.lose(&why.lost);
                    }
                }
                self.after_verdict();
            }
        }
    }

    /// The disk has lost pieces that were written before a sync that failed: they are fetched again.
    fn lose(&mut self, lost: &[PieceIndex]) {
        if lost.is_empty() {
            return;
        }
        self.complete_at = None;
        self.shared.turn(|core, now| {
            core.world.completed = false;
            core.world.tell(What::PiecesLost {
                count: lost.len() as u32,
            });
            for &piece in lost {
                core.torrent.handle_piece_lost(piece, now);
            }
            core.settle();
        });
    }

    /// Looks whether everything is there now.
    fn after_verdict(&mut self) {
        let now = self.shared.clock().now();
        let (completed, is_ready) = self
            .shared
            .turn(|core, _| (core.world.completed, core.world.doubting == 0));
        if completed && self.complete_at.is_none() {
            self.complete_at = Some(now);
            if !std::mem::replace(&mut self.is_told, true) {
                self.trackers.complete();
            }
        }
        if completed && !self.is_kept && self.keeping.is_none() && is_ready && now >= self.keep_at {
            self.keep(Kept::Whole);
        }
    }

    fn keep(&mut self, what: Kept) {
        self.keeping = Some(what);
        self.shared.turn(|core, _| {
            core.world.resume_due = false;
            let keep = match what {
                Kept::Part => Keep::Pieces(core.torrent.have().clone()),
                Kept::Whole => Keep::Whole,
            };
            core.world
                .writer
                .as_ref()
                .expect("what was fetched was written")
                .keep(keep);
        });
    }

    fn tick(&mut self) {
        let now = self.shared.clock().now();
        let (resume_due, refused) = self
            .shared
            .turn(|core, _| (core.world.resume_due, !core.world.refused.is_empty()));
        let is_ready =
            self.keeping.is_none() && self.shared.turn(|core, _| core.world.doubting == 0);
        if self.complete_at.is_some() {
            // The content could not be synced before.
            self.after_verdict();
        } else if is_ready && resume_due && now >= self.resume_at.min(self.retry_keep_at()) {
            self.resume_at = now + RESUME_EVERY;
            self.keep(Kept::Part);
        }
        if !refused {
            self.disk_retry_at = None;
        } else if self.disk_retry_at.is_none_or(|at| now >= at) {
            if self.disk_retry_at.is_some() {
                self.shared.turn(|core, _| {
                    let jobs = std::mem::take(&mut core.world.refused);
                    core.world.write(jobs);
                });
            }
            self.disk_retry_at = Some(now + DISK_RETRY_EVERY);
        }
        let before = Moment(now.0.saturating_sub(STUCK_TIME_MAX.as_nanos() as u64));
        self.shared.turn(|core, _| {
            for peer in core.world.stuck_since(before) {
                core.end(peer);
                if let Some(line) = core.world.lines.get(&peer) {
                    line.wake.notify_one();
                }
            }
        });
        let stats = self.stats();
        let left = stats.size_bytes - stats.bytes_held;
        self.trackers
            .set_transfer(stats.uploaded_bytes, stats.downloaded_bytes, left);
    }

    /// When a claim that the disk refused is made again.
    fn retry_keep_at(&self) -> Moment {
        if self.shared.turn(|core, _| core.world.is_unkept) {
            self.keep_at
        } else {
            Moment(u64::MAX)
        }
    }

    /// Whether the purpose is fulfilled.
    fn is_over(&self) -> bool {
        let (Purpose::Get(until), Some(complete_at), true) =
            (self.config.purpose, self.complete_at, self.is_kept)
        else {
            return false;
        };
        match until {
            SeedUntil::Complete => true,
            SeedUntil::Forever => false,
            SeedUntil::Elapsed(time) => self.shared.clock().now().since(complete_at) >= time,
            SeedUntil::Ratio(ratio) => {
                let size = self.size_bytes as f64;
                self.shared.turn(|core, _| core.world.uploaded_bytes as f64) >= ratio * size
            }
        }
    }

    fn stats(&self) -> Stats {
        let size_bytes = self.size_bytes;
        self.shared.turn(|core, now| {
            let counts = core.torrent.stats(now);
            let phase = if !core.world.refused.is_empty() || core.world.is_unkept {
                Phase::DiskWait
            } else if core.world.writer.is_none() || self.complete_at.is_some() {
                Phase::Seeding
            } else {
                Phase::Getting
            };
            Stats {
                size_bytes,
                bytes_held: size_bytes.saturating_sub(counts.left_bytes),
                pieces_held: counts.pieces_held,
                checked_bytes: size_bytes,
                downloaded_bytes: core.world.downloaded_bytes,
                uploaded_bytes: core.world.uploaded_bytes,
                download_rate: counts.down_rate,
                upload_rate: counts.up_rate,
                peers: counts.peers as usize,
                seeds: counts.seeds as usize,
                listen: Some(self.listen),
                phase,
            }
        })
    }

    /// Closes the connections, waits for the writer and the trackers, and writes the resume file.
    async fn end(&mut self) {
        let stats = self.stats();
        let left = stats.size_bytes - stats.bytes_held;
        self.trackers
            .set_transfer(stats.uploaded_bytes, stats.downloaded_bytes, left);
        let told = self.trackers.told_completion(&self.config);
        let _ = tokio::time::timeout(COMPLETION_TIME_MAX, told).await;
        self.trackers.stop();
        self.shared.turn(|core, now| core.torrent.close(now));
        let writing = async {
            self.shared.turn(|core, _| core.world.flush());
            if !self.settled().await {
                return;
            }
            let due = self.shared.turn(|core, _| core.world.writer.is_some());
            if due && !self.is_kept {
                self.keep(Kept::Part);
                self.settled().await;
            }
        };
        // A disk that hangs must not keep the program from ending; what is not claimed is checked
        // again.
        let _ = tokio::time::timeout(WRITING_TIME_MAX, writing).await;
        let _ = tokio::time::timeout(FAREWELL_TIME_MAX, self.trackers.stopped()).await;
    }
}

/// Hands the writer what would wait too long for company.
async fn flush(shared: Shared) {
    let wanted = shared.turn(|core, _| core.world.flush_wanted.clone());
    loop {
        let wait = shared.turn(|core, now| core.world.flush_due(now));
        let Some(wait) = wait else {
            wanted.notified().await;
            continue;
        };
        let _ = tokio::time::timeout(wait, wanted.notified()).await;
    }
}

async fn accept(listener: tokio::net::TcpListener, shared: Shared) {
    loop {
        match listener.accept().await {
            Ok((stream, remote)) => shared.accept(stream, remote),
            // Out of descriptors, for one: those that are there go on.
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

fn random_bytes<const N: usize>() -> Result<[u8; N], SessionError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|error| SessionError::Start(std::io::Error::other(error)))?;
    Ok(bytes)
}

/// `-SK0100-` and twelve random letters and digits.
fn made_up_peer_id() -> Result<PeerId, SessionError> {
    const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut id = *b"-SK0100-............";
    for (out, random) in id[8..].iter_mut().zip(random_bytes::<12>()?) {
        *out = LETTERS[usize::from(random % 32)];
    }
    Ok(PeerId(id))
}

#[cfg(test)]
mod tests;
