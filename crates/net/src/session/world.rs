//! What surrounds the torrent machine in a session: its connections, buffers, files and listeners.

use std::{collections::HashMap, net::SocketAddr, rc::Rc, sync::Arc};

use skep_proto::{
    drain::Part,
    peer::Transmit,
    torrent::{Action, Event, Torrent, TorrentWorld},
};
use skep_wire::{Moment, PieceIndex, metainfo::Metainfo};
use tokio::{sync::Notify, task::AbortHandle};

use super::{
    EventSink, PeerKey, What,
    send::{Mark, Outbox},
};
use crate::{
    clock::RunClock,
    disk::{
        files::Files,
        writer::{Done, Job, Outcome, Writer},
    },
    rate::Bucket,
};

/// What surrounds the machine.
pub(super) struct World {
    pub(super) torrent_file: Arc<Metainfo>,
    pub(super) clock: RunClock,
    pub(super) events: EventSink,
    /// The connections that stand.
    pub(super) lines: HashMap<PeerKey, Line>,
    /// The connections that are being made.
    pub(super) dialing: HashMap<PeerKey, Option<AbortHandle>>,
    /// The connections that the machine wants made.
    pub(super) dial_next: Vec<(PeerKey, SocketAddr)>,
    /// Pieces under way. The machine limits their number.
    pub(super) buffers: HashMap<PieceIndex, Vec<u8>>,
    /// Buffers that were used before: their memory is there already.
    pub(super) buffers_spare: Vec<Vec<u8>>,
    pub(super) buffers_spare_max: usize,
    /// For sending.
    pub(super) files: Files,
    /// For writing; a session that only shares has none.
    pub(super) writer: Option<Writer>,
    /// Pieces that the writer has.
    pub(super) jobs: usize,
    /// Good pieces that the disk refused.
    pub(super) refused: Vec<Job>,
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

    /// The buffer of a piece, made if there is none.
    pub(super) fn take_buffer(&mut self, piece: PieceIndex) -> Vec<u8> {
        if let Some(buf) = self.buffers.remove(&piece) {
            return buf;
        }
        let len = self.torrent_file.info.piece_size(piece) as usize;
        let mut buf = self.buffers_spare.pop().unwrap_or_default();
        if buf.capacity() == 0 {
            // Fresh zeroed pages come from the system for nothing.
            return vec![0; len];
        }
        buf.resize(len, 0);
        buf
    }

    /// Gives a buffer back.
    pub(super) fn spare(&mut self, buf: Vec<u8>) {
        if self.buffers_spare.len() < self.buffers_spare_max {
            self.buffers_spare.push(buf);
        }
    }

    /// Hands a whole piece to the writer.
    fn verify(&mut self, piece: PieceIndex, digests: bool) {
        let info = &self.torrent_file.info;
        let expected = info.pieces[piece.0 as usize];
        let offset = u64::from(piece.0) * u64::from(info.piece_len);
        let buf = self.take_buffer(piece);
        self.write(Job {
            piece,
            offset,
            buf,
            expected: Some(expected),
            digests,
        });
    }

    /// Hands a job to the writer.
    pub(super) fn write(&mut self, job: Job) {
        self.jobs += 1;
        self.writer
            .as_ref()
            .expect("only a session that fetches is asked to verify")
            .write(job);
    }

    /// The writer is done with a piece. Returns the verdict for the machine, unless the disk has
    /// refused the piece, which is then kept.
    pub(super) fn written(&mut self, done: Done) -> Option<skep_proto::torrent::Verdict> {
        use skep_proto::torrent::Verdict;
        self.jobs -= 1;
        let Done {
            piece,
            buf,
            outcome,
            blocks,
        } = done;
        match outcome {
            Outcome::Written => {
                self.spare(buf);
                self.resume_due = true;
                if std::mem::take(&mut self.disk_refuses) {
                    self.tell(What::DiskRecovered);
                }
                Some(Verdict::Good { blocks })
            }
            Outcome::WrongDigest(_) => {
                self.spare(buf);
                Some(Verdict::Bad { blocks })
            }
            Outcome::Failed(error) => {
                if !std::mem::replace(&mut self.disk_refuses, true) {
                    let path = error.path().map(ToOwned::to_owned).unwrap_or_default();
                    self.tell(What::DiskFailed {
                        path,
                        reason: error.to_string(),
                    });
                }
                let offset = u64::from(piece.0) * u64::from(self.torrent_file.info.piece_len);
                self.refused.push(Job {
                    piece,
                    offset,
                    buf,
                    expected: None,
                    digests: false,
                });
                None
            }
        }
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
            Transmit::Block(block) => line.out.push_block(block),
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
        let mut buf = self.take_buffer(part.block.piece);
        let begin = (part.block.begin + part.offset) as usize;
        buf[begin..begin + part.bytes.len()].copy_from_slice(part.bytes);
        self.buffers.insert(part.block.piece, buf);
    }

    fn action(&mut self, _torrent: &mut Torrent, action: Action) {
        match action {
            Action::Connect { peer, addr } => {
                self.dialing.insert(peer, None);
                self.dial_next.push((peer, addr));
            }
            Action::Send { peer, what } => self.send(peer, what),
            Action::Close { peer } => self.close(peer),
            Action::Verify { piece, digests } => self.verify(piece, digests),
            Action::Abandon { piece } => {
                if let Some(buf) = self.buffers.remove(&piece) {
                    self.spare(buf);
                }
            }
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
