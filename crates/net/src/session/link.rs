//! One connection: its task, and the reading of payload straight to its place.
//!
//! ```text
//! one readv:  [rest of this payload] [header][payload] [header][payload] ... [whatever follows]
//!                 its piece's buffer    13 B   buffer     13 B   buffer          scratch
//! ```
//!
//! Peers answer requests in order, so the blocks that we asked for first are guessed to come next.
//! A header that says otherwise costs one copy: everything behind it is put back into the order of
//! the stream and fed to the machine like any other bytes.

use std::{
    io::{self, IoSliceMut},
    net::SocketAddr,
    rc::Rc,
    time::Duration,
};

use skep_proto::{
    drain::{Expect, Inlet},
    torrent::TorrentStream,
};
use skep_wire::{Block, Moment, peer::PIECE_HEADER_LEN};
use tokio::{io::Interest, net::TcpStream, sync::Notify};

use super::{
    PeerKey, What,
    core::{Core, Shared},
    send::{Flushed, Mark, Outbox},
    stripes::StripeKey,
    world::Line,
};

/// How many blocks are guessed ahead: 256 KiB a call, about what a socket holds.
const GUESSES_MAX: usize = 16;

/// How many bytes are read that have no place: messages, and payload behind a wrong guess.
pub(super) const SCRATCH_BYTES: usize = 64 * 1024;

/// How many reads one connection makes before others have their turn.
const READS_PER_TURN: usize = 8;

/// While a download limit is set, one read takes this much at most, so that peers take turns.
const LIMITED_READ_BYTES: usize = 16 * 1024;

/// How long a connection that has no room to read into waits, if nobody tells it before.
const ROOM_RETRY: Duration = Duration::from_millis(20);

/// One connection, as its own task sees it.
struct Link {
    peer: PeerKey,
    stream: TcpStream,
    inlet: Inlet,
    guesses: Vec<Block>,
    headers: [[u8; PIECE_HEADER_LEN]; GUESSES_MAX],
}

/// What a connection's task does next.
enum Next {
    /// End.
    Over,
    /// Let others have their turn, then go on.
    Again,
    /// Wait for one of these.
    Wait {
        interest: Option<Interest>,
        until: Option<Moment>,
    },
}

/// Serves a connection until it is over.
pub(super) async fn serve(shared: Shared, peer: PeerKey, stream: TcpStream, wake: Rc<Notify>) {
    let clock = shared.clock();
    let mut link = Link {
        peer,
        stream,
        inlet: Inlet::default(),
        guesses: Vec::with_capacity(GUESSES_MAX),
        headers: [[0; PIECE_HEADER_LEN]; GUESSES_MAX],
    };
    loop {
        match shared.turn(|core, _| link.turn(core)) {
            Next::Over => break,
            Next::Again => tokio::task::yield_now().await,
            Next::Wait { interest, until } => {
                let ready = async {
                    match interest {
                        Some(interest) => link.stream.ready(interest).await.map(drop),
                        None => std::future::pending().await,
                    }
                };
                let sleep = async {
                    match until {
                        Some(at) => tokio::time::sleep_until(clock.instant(at).into()).await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    // An error shows itself in the read that follows.
                    _ = ready => {}
                    () = wake.notified() => {}
                    () = sleep => {}
                }
            }
        }
    }
    shared.turn(|core, _| core.world.lines.remove(&peer));
}

/// The line of a connection that has just been made, with the notice that wakes its task.
pub(super) fn line(remote: SocketAddr, now: Moment) -> (Line, Rc<Notify>) {
    let wake = Rc::new(Notify::new());
    let out = Outbox::new(now);
    (
        Line {
            remote,
            out,
            wake: wake.clone(),
            is_closing: false,
        },
        wake,
    )
}

impl Link {
    /// Reads and writes what can be read and written now.
    fn turn(&mut self, core: &mut Core) -> Next {
        let mut reads = 0;
        loop {
            let flushed = self.flush(core);
            if core
                .world
                .lines
                .get(&self.peer)
                .is_none_or(|line| line.is_closing)
            {
                return Next::Over;
            }
            let (wants_write, mut until) = match flushed {
                Flushed::Empty => (false, None),
                Flushed::Blocked => (true, None),
                Flushed::Limited(at) => (false, Some(at)),
                Flushed::Broken | Flushed::Unreadable(_) => {
                    core.end(self.peer);
                    continue;
                }
            };
            if reads >= READS_PER_TURN {
                return Next::Again;
            }
            let out = core.world.lines.get(&self.peer).map(|line| &line.out);
            if out.is_some_and(Outbox::is_too_long) {
                core.end(self.peer);
                continue;
            }
            if out.is_some_and(Outbox::is_long) {
                let interest = wants_write.then_some(Interest::WRITABLE);
                return Next::Wait { interest, until };
            }
            let now = core.world.clock.now();
            if let Some(at) = core.world.download.wait_until(now) {
                until = Some(until.map_or(at, |until| until.min(at)));
                let interest = wants_write.then_some(Interest::WRITABLE);
                return Next::Wait { interest, until };
            }
            let has_room = core.world.has_room(&core.torrent);
            if !has_room && self.placed(core).is_none() {
                let at = now + ROOM_RETRY;
                let until = Some(until.map_or(at, |until| until.min(at)));
                let interest = wants_write.then_some(Interest::WRITABLE);
                return Next::Wait { interest, until };
            }
            match self.read(core, has_room, now) {
                Ok(0) => core.end(self.peer),
                Ok(_) => reads += 1,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let interest = if wants_write {
                        Interest::READABLE | Interest::WRITABLE
                    } else {
                        Interest::READABLE
                    };
                    return Next::Wait {
                        interest: Some(interest),
                        until,
                    };
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => core.end(self.peer),
            }
        }
    }

    /// Sends what waits, tells what has left, and sends what comes of that.
    fn flush(&mut self, core: &mut Core) -> Flushed {
        loop {
            let now = core.world.clock.now();
            let world = &mut core.world;
            let piece_len = world.torrent_file.info.piece_len;
            let Some(line) = world.lines.get_mut(&self.peer) else {
                return Flushed::Empty;
            };
            let flushed = line.out.flush(
                &self.stream,
                &mut world.files,
                piece_len,
                &mut world.upload,
                now,
            );
            let remote = line.remote;
            let mut blocks = false;
            while let Some(mark) = core.world.next_mark(self.peer) {
                core.world.tell(mark.what(self.peer, remote));
                if let Mark::Block(block) = mark {
                    blocks = true;
                    core.world.uploaded_bytes += u64::from(block.len);
                    core.torrent.handle_block_sent(self.peer, block, now);
                    core.settle();
                }
            }
            if let Flushed::Unreadable(error) = &flushed {
                core.world.tell(What::DiskFailed {
                    path: error.path().map(ToOwned::to_owned).unwrap_or_default(),
                    reason: error.to_string(),
                });
            }
            let more = blocks
                && core
                    .world
                    .lines
                    .get(&self.peer)
                    .is_some_and(|line| !line.out.is_empty());
            if !more || !matches!(flushed, Flushed::Empty) {
                return flushed;
            }
        }
    }

    /// The rest of the payload that is arriving, if it belongs into its stripe.
    fn placed(&self, core: &Core) -> Option<Block> {
        let Expect::Payload { block, offset } = self.inlet.expects() else {
            return None;
        };
        let is_placed = core.torrent.payload_place(self.peer) == Some(block);
        is_placed.then_some(Block {
            begin: block.begin + offset,
            len: block.len - offset,
            ..block
        })
    }

    /// Reads once; without room only what has its place already.
    fn read(&mut self, core: &mut Core, has_room: bool, now: Moment) -> io::Result<usize> {
        let limit = if core.world.download.is_unlimited() {
            usize::MAX
        } else {
            LIMITED_READ_BYTES
        };
        let current = self.placed(core);
        let past = match (self.inlet.expects(), current) {
            (Expect::Payload { block, offset }, None) => Some(block.len - offset),
            (Expect::Discard { len }, _) => Some(len),
            (Expect::Payload { .. } | Expect::Bytes | Expect::Nothing, _) => None,
        };
        if let Some(len) = past {
            return self.read_past(core, len.min(limit as u32), now);
        }
        self.guess(core, current, limit);
        let mut scratch = std::mem::take(&mut core.world.scratch);
        let tail = if has_room {
            scratch.len().min(limit)
        } else {
            0
        };
        if !has_room {
            self.guesses.clear();
        }
        let read = self.read_to_places(core, current, &mut scratch[..tail]);
        if let Ok(len) = read {
            core.world.download.pay(len as u64);
            self.take(core, current, &scratch, len, now);
        }
        core.world.scratch = scratch;
        read
    }

    /// Reads bytes that nobody wants.
    fn read_past(&mut self, core: &mut Core, len: u32, now: Moment) -> io::Result<usize> {
        let mut scratch = std::mem::take(&mut core.world.scratch);
        let part = SCRATCH_BYTES.min(len as usize);
        let read = self.stream.try_read(&mut scratch[..part]);
        core.world.scratch = scratch;
        if let Ok(len) = read {
            core.world.download.pay(len as u64);
            let mut stream = TorrentStream {
                torrent: &mut core.torrent,
                peer: self.peer,
            };
            self.inlet.pass(&mut stream, len, now, &mut core.world);
        }
        read
    }

    /// Guesses which blocks follow. Within a stripe they ascend, and no stripe comes twice, so that
    /// its buffer can be cut up in one go.
    fn guess(&mut self, core: &Core, current: Option<Block>, limit: usize) {
        self.guesses.clear();
        if self.inlet.carried() >= PIECE_HEADER_LEN || limit != usize::MAX {
            return;
        }
        let mut last = current;
        for block in core.torrent.expected(self.peer).take(GUESSES_MAX) {
            let key = StripeKey::of(block);
            let fits = match last {
                Some(last) if StripeKey::of(last) == key => block.begin >= last.begin + last.len,
                _ => {
                    let is_known = |known: &Block| StripeKey::of(*known) == key;
                    !self.guesses.iter().any(is_known) && !current.as_ref().is_some_and(is_known)
                }
            };
            if !fits {
                return;
            }
            self.guesses.push(block);
            last = Some(block);
        }
    }

    /// The one `readv`.
    fn read_to_places(
        &mut self,
        core: &mut Core,
        current: Option<Block>,
        tail: &mut [u8],
    ) -> io::Result<usize> {
        let mut taken: Vec<(StripeKey, Vec<u8>)> = Vec::new();
        for &block in current.iter().chain(&self.guesses) {
            let key = StripeKey::of(block);
            if taken.last().is_none_or(|(last, _)| *last != key) {
                taken.push((key, core.world.stripes.take(key)));
            }
        }
        let mut places = Vec::with_capacity(2 * GUESSES_MAX + 2);
        let mut headers = self.headers.iter_mut();
        let mut first_header = PIECE_HEADER_LEN.saturating_sub(self.inlet.carried());
        let mut blocks = current
            .iter()
            .map(|&block| (block, Kind::Current))
            .chain(self.guesses.iter().map(|&block| (block, Kind::Guess)))
            .peekable();
        for (key, buf) in &mut taken {
            let mut rest: &mut [u8] = buf;
            let mut at = key.begin();
            while let Some((block, kind)) =
                blocks.next_if(|(block, _)| StripeKey::of(*block) == *key)
            {
                if kind == Kind::Guess {
                    let header = headers.next().expect("one header a guess");
                    places.push(IoSliceMut::new(&mut header[..first_header]));
                    first_header = PIECE_HEADER_LEN;
                }
                let (_, from) = rest.split_at_mut((block.begin - at) as usize);
                let (place, behind) = from.split_at_mut(block.len as usize);
                places.push(IoSliceMut::new(place));
                rest = behind;
                at = block.begin + block.len;
            }
        }
        places.push(IoSliceMut::new(tail));
        let read = self.stream.try_read_vectored(&mut places);
        drop(places);
        for (key, buf) in taken {
            core.world.stripes.put(key, buf);
        }
        read
    }

    /// Hands over what one `readv` brought.
    fn take(
        &mut self,
        core: &mut Core,
        current: Option<Block>,
        scratch: &[u8],
        len: usize,
        now: Moment,
    ) {
        let mut left = len;
        let peer = self.peer;
        if let Some(rest) = current {
            let part = left.min(rest.len as usize);
            let mut stream = TorrentStream {
                torrent: &mut core.torrent,
                peer,
            };
            self.inlet.pass(&mut stream, part, now, &mut core.world);
            left -= part;
        }
        let mut header_len = PIECE_HEADER_LEN.saturating_sub(self.inlet.carried());
        for n in 0..self.guesses.len() {
            if left == 0 {
                return;
            }
            let guess = self.guesses[n];
            let part = left.min(header_len);
            left -= part;
            header_len = PIECE_HEADER_LEN;
            let mut stream = TorrentStream {
                torrent: &mut core.torrent,
                peer,
            };
            self.inlet
                .feed(&mut stream, &self.headers[n][..part], now, &mut core.world);
            if left == 0 {
                return;
            }
            let came = self.inlet.expects()
                == Expect::Payload {
                    block: guess,
                    offset: 0,
                };
            if !came || core.torrent.payload_place(peer) != Some(guess) {
                self.take_unguessed(core, n, scratch, left, now);
                return;
            }
            let part = left.min(guess.len as usize);
            let mut stream = TorrentStream {
                torrent: &mut core.torrent,
                peer,
            };
            self.inlet.pass(&mut stream, part, now, &mut core.world);
            left -= part;
        }
        if left > 0 {
            let mut stream = TorrentStream {
                torrent: &mut core.torrent,
                peer,
            };
            self.inlet
                .feed(&mut stream, &scratch[..left], now, &mut core.world);
        }
    }

    /// Guess `n` was wrong: the `left` bytes from its payload's place on go back into the order of
    /// the stream.
    fn take_unguessed(
        &mut self,
        core: &mut Core,
        n: usize,
        scratch: &[u8],
        left: usize,
        now: Moment,
    ) {
        let mut bytes = Vec::with_capacity(left);
        for (m, guess) in self.guesses.iter().enumerate().skip(n) {
            if m > n {
                bytes.extend_from_slice(&self.headers[m]);
            }
            let Some(place) = core.world.stripes.bytes(*guess) else {
                // The piece was given up between the read and now, and these bytes with it.
                core.end(self.peer);
                return;
            };
            bytes.extend_from_slice(place);
            if bytes.len() >= left {
                break;
            }
        }
        bytes.extend_from_slice(scratch);
        bytes.truncate(left);
        let mut stream = TorrentStream {
            torrent: &mut core.torrent,
            peer: self.peer,
        };
        self.inlet.feed(&mut stream, &bytes, now, &mut core.world);
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Current,
    Guess,
}
