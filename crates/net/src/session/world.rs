//! What surrounds the torrent machine in a session: its connections, buffers, files and listeners.

use std::{collections::HashMap, net::SocketAddr, rc::Rc, sync::Arc, time::Duration};

use skep_proto::{
    drain::Part,
    peer::Transmit,
    torrent::{Action, Event, Torrent, TorrentWorld, Verdict},
};
use skep_wire::{Block, Moment, PieceIndex, PieceSizes, metainfo::Metainfo};
use tokio::{sync::Notify, task::AbortHandle};

use super::{
    EventSink, PeerKey, What,
    hashes::Wanted,
    send::{Mark, Outbox},
    stripes::{ROOM, StripeKey, Stripes},
};
use crate::{
    clock::RunClock,
    disk::{
        DiskError,
        files::Files,
        judge::Finding,
        keeper::Unkept,
        writer::{Done, Job, Judged, Writer},
    },
    rate::Bucket,
};

/// A batch for the writer is handed over when it has so many jobs: 4 MiB, so that there are several
/// pieces to hash in step, with a few to judge.
const BATCH: usize = 64;

/// How long a finished stripe may wait for its neighbours, with which it is written in one call. At 10 MB a
/// second two calls of 256 KiB come of it.
const NEIGHBOURS_WITHIN: Duration = Duration::from_millis(50);

/// How long a piece all of which is there may wait for others that are hashed in step with it.
const JUDGED_WITHIN: Duration = Duration::from_millis(5);

/// How far beyond a peer's request the disk is asked to read: a peer mostly wants the rest of the piece.
pub(super) const AHEAD_BYTES: u32 = 1 << 20;

/// What surrounds the machine.
pub(super) struct World {
    pub(super) torrent_file: Arc<Metainfo>,
    /// What is fetched of each piece.
    pub(super) sizes: PieceSizes,
    pub(super) clock: RunClock,
    pub(super) events: EventSink,
    /// The connections that stand.
    pub(super) lines: HashMap<PeerKey, Line>,
    /// The connections that are being made.
    pub(super) dialing: HashMap<PeerKey, Option<AbortHandle>>,
    /// The connections that the machine wants made.
    pub(super) dial_next: Vec<(PeerKey, SocketAddr)>,
    /// What is arriving.
    pub(super) stripes: Stripes,
    /// What the writer gets with the next batch.
    pub(super) ready: Vec<Job>,
    /// When what waits in `ready` is handed over at the latest.
    pub(super) flush_at: Option<Moment>,
    /// Tells the flusher's task that `flush_at` is earlier than it was.
    pub(super) flush_wanted: Rc<Notify>,
    /// Hashes that peers ask for.
    pub(super) hashes: Wanted,
    /// The piece that the machine has asked to judge, until it tells of the piece's last block.
    pub(super) judge_next: Option<Job>,
    /// For sending.
    pub(super) files: Files,
    /// For writing; a session that only shares has none.
    pub(super) writer: Option<Writer>,
    /// Batches that the writer has.
    pub(super) jobs: usize,
    /// What the disk refused.
    pub(super) refused: Vec<Job>,
    /// Whether the disk refused the last claim: nothing more is read from peers until it takes one.
    pub(super) is_unkept: bool,
    /// Whether it refused a sync: what was written since the one before may be lost.
    pub(super) is_in_doubt: bool,
    /// How many of the writer's threads still have hashes of what may be lost.
    pub(super) doubting: usize,
    /// Whether connections wait for the writer to give buffers back.
    pub(super) is_short: bool,
    /// A piece whose two hashes contradict each other, and whether it has that of version 1.
    pub(super) torn: Option<(PieceIndex, bool)>,
    /// Whether the files are being moved: nothing is written meanwhile.
    pub(super) is_moving: bool,
    /// Whether the disk refused the last piece, as far as we told.
    pub(super) disk_refuses: bool,
    /// Whether there are good pieces that the resume file does not know.
    pub(super) resume_due: bool,
    pub(super) completed: bool,
    pub(super) upload: Bucket,
    pub(super) download: Bucket,
    /// Payload bytes that left and that came.
    pub(super) uploaded_bytes: u64,
    pub(super) downloaded_bytes: u64,
    /// Where bytes are read that have no place yet; taken while in use.
    pub(super) scratch: Vec<u8>,
}

/// A connection that stands, as others see it.
pub(super) struct Line {
    pub(super) remote: SocketAddr,
    pub(super) out: Outbox,
    /// Wakes its task.
    pub(super) wake: Rc<Notify>,
    /// The machine has closed it.
    pub(super) is_closing: bool,
}

impl World {
    pub(super) fn tell(&self, what: What) {
        self.events.tell(self.clock.now(), what);
    }

    /// Queues work for the writer.
    fn push_ready(&mut self, job: Job) {
        let within = match &job {
            Job::Stripe(_) => NEIGHBOURS_WITHIN,
            Job::Judge { .. } | Job::Forget { .. } => JUDGED_WITHIN,
        };
        self.ready.push(job);
        if self.ready.len() >= BATCH {
            self.flush();
            return;
        }
        let due = self.clock.now() + within;
        if self.flush_at.is_none_or(|at| due < at) {
            self.flush_at = Some(due);
            self.flush_wanted.notify_one();
        }
    }

    /// Hands the writer what waits for it.
    pub(super) fn flush(&mut self) {
        if self.is_moving {
            return;
        }
        self.flush_at = None;
        let jobs = std::mem::take(&mut self.ready);
        self.write(jobs);
    }

    /// Hands the writer what waits for it, if that is due; if not, returns how long it may still wait.
    pub(super) fn flush_due(&mut self, now: Moment) -> Option<Duration> {
        let at = self.flush_at?;
        if now >= at {
            self.flush();
            return None;
        }
        Some(at.since(now))
    }

    /// Hands jobs to the writer.
    pub(super) fn write(&mut self, jobs: Vec<Job>) {
        if !jobs.is_empty() {
            let writer = self.writer.as_ref();
            self.jobs += writer
                .expect("only a session that fetches has anything to write")
                .write(jobs);
        }
    }

    /// Whether there is memory for what one read may bring. If not, what waits is written, and if
    /// nothing does, the oldest unfinished stripes as they are; the connections wait until their
    /// buffers come back.
    pub(super) fn has_room(&mut self, torrent: &Torrent) -> bool {
        let is_held = self.is_moving || self.is_unkept && !self.completed;
        if self.writer.is_none() || !is_held && self.stripes.free() >= ROOM {
            return true;
        }
        self.is_short = true;
        if is_held && (self.is_moving || self.stripes.free() >= ROOM) {
            return false;
        }
        if self.jobs == 0 && self.ready.is_empty() && !self.disk_refuses {
            let busy: Vec<StripeKey> = self
                .lines
                .keys()
                .filter_map(|&peer| torrent.payload_place(peer))
                .map(StripeKey::of)
                .collect();
            let is_busy = |key| busy.contains(&key);
            let spilled = self
                .stripes
                .spill(ROOM, is_busy, |piece| self.sizes.size(piece));
            self.ready.extend(spilled.into_iter().map(Job::Stripe));
        }
        self.flush();
        false
    }

    /// The writer is done with a batch. Returns the verdicts for the machine.
    pub(super) fn written(&mut self, done: Done) -> Vec<(PieceIndex, Verdict)> {
        self.jobs -= 1;
        let Done {
            spare,
            judged,
            refused,
            error,
            doubted,
        } = done;
        self.doubting -= usize::from(doubted);
        spare
            .into_iter()
            .for_each(|buf| self.stripes.give_back(buf));
        self.wake_short();
        self.refused.extend(refused);
        if let Some(error) = error {
            if !std::mem::replace(&mut self.disk_refuses, true) {
                self.tell_refused(&error);
            }
        } else if self.refused.is_empty() && std::mem::take(&mut self.disk_refuses) {
            self.tell(What::DiskRecovered);
        }
        let verdict = |judged: Judged| {
            let (piece, blocks) = (judged.piece, judged.blocks);
            let verdict = match judged.finding {
                Finding::Good => {
                    self.resume_due = true;
                    Verdict::Good { blocks }
                }
                // Nobody who sent it is to blame.
                Finding::Bad if judged.in_doubt => Verdict::Lost,
                Finding::Bad => Verdict::Bad { blocks },
                Finding::Torn { has_v1 } => {
                    self.torn = self.torn.or(Some((piece, has_v1)));
                    Verdict::Lost
                }
            };
            (piece, verdict)
        };
        judged.into_iter().map(verdict).collect()
    }

    /// Connections that wait for memory look again whether there is some.
    fn wake_short(&mut self) {
        if std::mem::take(&mut self.is_short) {
            self.lines.values().for_each(|line| line.wake.notify_one());
        }
    }

    fn tell_refused(&self, error: &DiskError) {
        let path = error.path().map(ToOwned::to_owned).unwrap_or_default();
        let reason = error.to_string();
        self.tell(What::DiskFailed { path, reason });
    }

    /// The disk refused a claim.
    pub(super) fn keep_refused(&mut self, why: &Unkept) {
        self.resume_due = true;
        if !std::mem::replace(&mut self.is_unkept, true) {
            self.tell_refused(&why.error);
        }
        self.is_in_doubt = why.in_doubt;
        if let Some(writer) = self.writer.as_ref().filter(|_| why.in_doubt) {
            let messages = writer.doubt();
            self.doubting += messages;
            self.jobs += messages;
        }
    }

    /// The disk took a claim.
    pub(super) fn keep_recovered(&mut self) {
        self.is_in_doubt = false;
        if std::mem::take(&mut self.is_unkept) {
            self.tell(What::DiskRecovered);
            self.wake_short();
        }
    }

    /// A block is in its place.
    fn placed(&mut self, block: Block) {
        let size = self.sizes.size(block.piece);
        if let Some(stripe) = self.stripes.arrived(block, size) {
            self.push_ready(Job::Stripe(stripe));
        }
        if let Some(judge) = self.judge_next.take() {
            for stripe in self.stripes.close_piece(block.piece, size) {
                self.push_ready(Job::Stripe(stripe));
            }
            self.push_ready(judge);
        }
    }

    /// A piece is given up.
    fn abandon(&mut self, piece: PieceIndex) {
        self.stripes.forget(piece);
        let refused = std::mem::take(&mut self.refused);
        for job in refused {
            match job {
                Job::Stripe(stripe) if stripe.piece == piece => self.stripes.give_back(stripe.buf),
                Job::Stripe(_) | Job::Judge { .. } | Job::Forget { .. } => self.refused.push(job),
            }
        }
        self.push_ready(Job::Forget { piece });
    }

    /// What has left for a peer since the last call.
    pub(super) fn next_mark(&mut self, peer: PeerKey) -> Option<Mark> {
        self.lines.get_mut(&peer)?.out.next_mark()
    }

    fn send(&mut self, peer: PeerKey, what: Transmit) {
        let Some(line) = self.lines.get_mut(&peer) else {
            return;
        };
        if line.out.is_empty() {
            line.out.moved_at = self.clock.now();
        }
        match what {
            Transmit::Bytes(bytes) => {
                line.out
                    .push_bytes(bytes, self.torrent_file.info.piece_count());
            }
            Transmit::Block(block) => {
                if line.out.push_block(block) {
                    let info = &self.torrent_file.info;
                    let offset = u64::from(block.piece.0) * u64::from(info.piece_len)
                        + u64::from(block.begin);
                    let stretch = AHEAD_BYTES - block.begin % AHEAD_BYTES;
                    let left = info.piece_size(block.piece).saturating_sub(block.begin);
                    self.files.read_ahead(offset, left.min(stretch).into());
                }
            }
        }
        line.wake.notify_one();
    }

    fn close(&mut self, peer: PeerKey) {
        if let Some(line) = self.lines.get_mut(&peer) {
            line.is_closing = true;
            line.wake.notify_one();
        }
        if let Some(Some(task)) = self.dialing.remove(&peer) {
            task.abort();
        }
    }

    /// Connections of which nothing has left for so long although something waits.
    pub(super) fn stuck_since(&self, before: Moment) -> Vec<PeerKey> {
        let is_stuck =
            |line: &Line| !line.is_closing && !line.out.is_empty() && line.out.moved_at < before;
        self.lines
            .iter()
            .filter(|(_, line)| is_stuck(line))
            .map(|(&peer, _)| peer)
            .collect()
    }
}

impl TorrentWorld for World {
    fn payload(&mut self, part: Part<'_>) {
        self.stripes.copy(part.block, part.offset, part.bytes);
    }

    fn action(&mut self, _torrent: &mut Torrent, action: Action) {
        match action {
            Action::Connect { peer, addr } => {
                self.dialing.insert(peer, None);
                self.dial_next.push((peer, addr));
            }
            Action::Send { peer, what } => self.send(peer, what),
            Action::Close { peer } => self.close(peer),
            // The event that tells of its last block follows.
            Action::Verify { piece, digests } => {
                self.judge_next = Some(Job::Judge { piece, digests });
            }
            Action::HashesWanted { peer, request } => {
                self.hashes.queue.push_back((peer, request));
                self.hashes.is_there.notify_one();
            }
            // What is right of the piece is in the files, and is read again when it is judged.
            Action::Refetch { .. } => {}
            Action::Abandon { piece } => self.abandon(piece),
        }
    }

    fn event(&mut self, _torrent: &mut Torrent, event: Event) {
        let what = match event {
            Event::Opened { peer, peer_id, .. } => What::Opened {
                peer,
                peer_id: peer_id.0,
            },
            Event::Closed { peer, addr, why } => What::Disconnected {
                peer,
                remote: addr,
                reason: why.to_string(),
            },
            Event::BlockArrived { peer, block } => {
                self.placed(block);
                self.downloaded_bytes += u64::from(block.len);
                let Some(line) = self.lines.get(&peer) else {
                    return;
                };
                What::BlockReceived {
                    peer,
                    remote: line.remote,
                    block,
                }
            }
            Event::BlockWasted { block, .. } => {
                self.downloaded_bytes += u64::from(block.len);
                return;
            }
            Event::PieceVerified { piece } => What::PieceVerified { piece },
            Event::PieceFailed { piece, .. } => What::PieceFailed { piece },
            Event::BlocksFailed { piece, blocks } => What::BlocksFailed {
                piece,
                blocks: blocks.into_iter().map(|(block, _)| block).collect(),
            },
            Event::Complete => {
                self.completed = true;
                What::Completed
            }
            Event::Banned { addr, why } => What::PeerBanned {
                remote: addr,
                reason: why.to_string(),
            },
        };
        self.tell(what);
    }
}
