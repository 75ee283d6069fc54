//! The loop between the sockets, the folder and the machine.
//!
//! ```text
//! read -> capture -> journal -> machine -> records -> ledger
//!                                      '-> actions -> sockets -> capture -> journal -> machine ...
//! ```
//!
//! What is due comes first: [`Driver::stamp`] gives no time for an entry before the clock sample, the
//! outcomes of connects and the commit that were due by then are done. So a driver that was stopped
//! breaks none of its promises, however long it was, and its journal shows that it was.

use std::{
    collections::{BTreeSet, VecDeque},
    io,
    net::SocketAddr,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use skep_evidence::{
    capture::{Direction, PAYLOAD_BYTES_MAX, Packet},
    journal::{CaptureOffset, ConnId, ConnectFailure, EndKind, Entry, Input},
};
use skep_observe::{Action, Duty, Observer, UNCOMMITTED_SECS_MAX};
use skep_wire::Moment;
use tokio::{net::TcpStream, sync::mpsc};

use super::{
    ObserveError, ObserveSummary, Shared,
    clock::sample,
    counts::Counter,
    sockets::{Sockets, Word, failure, plain},
};
use crate::{clock::RunClock, store::ObservationStore};

/// How long what was appended may wait for the disk.
const COMMIT_AFTER: Duration = Duration::from_millis(100);

/// The longest that a slow disk may make it. The next commit waits as long as the last one took, so that
/// half the time is left for the network: behind a disk that needs a second to sync, a driver that
/// commits every 100 ms hears nothing.
const COMMIT_AFTER_MAX: Duration = Duration::from_secs(UNCOMMITTED_SECS_MAX);

/// How many words are taken before the machine's answers are written and the disk has its turn.
const WORDS_PER_TURN_MAX: usize = 256;

/// How many entries may wait for the disk.
const ENTRIES_UNCOMMITTED_MAX: u32 = 2_048;

/// How often a checkpoint is signed.
const MARK_EVERY: Duration = Duration::from_secs(5);

/// How many datagrams are read in one turn.
const DATAGRAMS_PER_TURN: usize = 16;

/// How many addresses are remembered to which datagrams were sent: 128 trackers of each of 100 targets
/// with a few addresses each.
const DATAGRAM_REMOTES_MAX: usize = 50_000;

pub(crate) struct Driver {
    pub(crate) run: u32,
    pub(crate) store: ObservationStore,
    pub(crate) observer: Observer,
    pub(crate) clock: RunClock,
    pub(crate) sockets: Sockets,
    pub(crate) shared: Arc<Shared>,
    /// When the run shall end by itself.
    pub(crate) ends_at: Option<Moment>,
    pub(crate) state: State,
}

/// What the driver keeps for itself.
#[derive(Default)]
pub(crate) struct State {
    counter: Counter,
    incoming: u32,
    /// Connections that have something to send and may be written.
    to_write: VecDeque<ConnId>,
    /// Whom datagrams were sent to. Those from elsewhere answer nothing, and are not taken up: a
    /// stranger must not be able to fill the disk.
    asked: BTreeSet<SocketAddr>,
    /// Datagrams that the machine wants sent.
    datagrams: VecDeque<(SocketAddr, Vec<u8>)>,
    buffer: Vec<u8>,
    uncommitted: u32,
    captured: u64,
    commit_at: Option<Moment>,
    /// How long the last commit took.
    commit_took: Duration,
    mark_at: Moment,
    stopped: bool,
    finished: bool,
}

impl Driver {
    /// Runs to the end. The first clock sample has been fed.
    pub(crate) async fn run(
        mut self,
        mut words: mpsc::Receiver<Word>,
    ) -> Result<ObserveSummary, ObserveError> {
        let shared = Arc::clone(&self.shared);
        self.state.mark_at = self.clock.now() + MARK_EVERY;
        while !self.state.finished {
            let next = tokio::time::Instant::from_std(self.next_turn());
            tokio::select! {
                biased;
                () = shared.stop.notified() => self.feed(Input::Stop, &[])?,
                word = words.recv() => match word {
                    Some(word) => {
                        self.take(word)?;
                        self.take_waiting(&mut words)?;
                    }
                    None => self.feed(Input::Stop, &[])?,
                },
                () = tokio::time::sleep_until(next) => {}
            }
            self.tick()?;
            self.write_all()?;
        }
        self.store.mark()?;
        let records = self.store.commit()?;
        let counts = self.state.counter.counts();
        counts.records = records;
        let counts = *counts;
        self.publish();
        Ok(ObserveSummary {
            run: self.run,
            counts,
        })
    }

    /// Takes what waits already, so that one commit covers it all.
    fn take_waiting(&mut self, words: &mut mpsc::Receiver<Word>) -> Result<(), ObserveError> {
        for _ in 1..WORDS_PER_TURN_MAX {
            if self.state.uncommitted >= ENTRIES_UNCOMMITTED_MAX {
                break;
            }
            let Ok(word) = words.try_recv() else { break };
            self.take(word)?;
        }
        Ok(())
    }

    /// Makes an entry of what happened now, after all that was due, and does what follows from it.
    pub(crate) fn feed(&mut self, input: Input, bytes: &[u8]) -> Result<(), ObserveError> {
        match self.stamp()? {
            Some(at) => self.feed_at(at, input, bytes),
            None => Ok(()),
        }
    }

    /// The time for an entry that is made now, once everything is done that was due before; `None` once
    /// the run is over, when nothing may be captured any more, either.
    ///
    /// What the machine then does may close any connection: who has one in hand looks again.
    fn stamp(&mut self) -> Result<Option<Moment>, ObserveError> {
        loop {
            let now = self.clock.now();
            if self.state.finished {
                return Ok(None);
            }
            if self.must_commit(now) {
                self.commit()?;
                continue;
            }
            match self.owes(now) {
                None => return Ok(Some(now)),
                Some(Duty::Clock) => {
                    let sample = sample(self.clock);
                    if !self.must_commit(sample.after) {
                        self.feed_at(sample.after, Input::Clock(sample), &[])?;
                    }
                }
                Some(Duty::Outcome(conn)) => self.settle(conn, now)?,
            }
        }
    }

    /// What is owed to the machine by now.
    fn owes(&self, now: Moment) -> Option<Duty> {
        let first = self.observer.poll_duty(now);
        first.filter(|(at, _)| *at <= now).map(|(_, duty)| duty)
    }

    /// Whether what was appended must be made durable before another entry is.
    fn must_commit(&self, now: Moment) -> bool {
        self.state.commit_at.is_some_and(|at| at <= now)
            || self.state.uncommitted >= ENTRIES_UNCOMMITTED_MAX
    }

    /// Says what came of a connect whose time is over: it may stand all the same, and we were late to
    /// see it.
    fn settle(&mut self, conn: ConnId, now: Moment) -> Result<(), ObserveError> {
        match self.sockets.made(conn) {
            Some(made) => self.connected_at(now, conn, made),
            None => self.failed_at(now, conn, ConnectFailure::TimedOut),
        }
    }

    fn feed_at(&mut self, at: Moment, input: Input, bytes: &[u8]) -> Result<(), ObserveError> {
        if self.state.finished {
            return Ok(());
        }
        let entry = Entry { at, input };
        self.store.append_entry(&entry)?;
        self.state.uncommitted += 1;
        let pause = self.state.commit_took.clamp(COMMIT_AFTER, COMMIT_AFTER_MAX);
        self.state.commit_at.get_or_insert(at + pause);
        self.observer.handle_entry(&entry, bytes)?;
        while let Some(record) = self.observer.poll_record() {
            self.state.counter.take(&record);
            self.store.append_record(&record)?;
        }
        while let Some(action) = self.observer.poll_action() {
            self.act(action);
        }
        Ok(())
    }

    /// When the loop must turn though nothing comes.
    fn next_turn(&self) -> Instant {
        let due = self.observer.next_due();
        let State {
            commit_at, mark_at, ..
        } = self.state;
        let ends_at = self.ends_at.filter(|_| !self.state.stopped);
        let next = [due, commit_at, ends_at, Some(mark_at)];
        let next = next.into_iter().flatten().min();
        self.clock.instant(next.unwrap_or_else(|| self.clock.now()))
    }

    /// Does what is due.
    fn tick(&mut self) -> Result<(), ObserveError> {
        let Some(now) = self.stamp()? else {
            return Ok(());
        };
        if !self.state.stopped && self.ends_at.is_some_and(|at| at <= now) {
            self.state.stopped = true;
            self.feed(Input::Stop, &[])?;
        }
        if self
            .observer
            .poll_timeout()
            .is_some_and(|(at, _)| at <= now)
        {
            self.feed(Input::Timeout, &[])?;
        }
        if self.state.mark_at <= now {
            self.state.mark_at = now + MARK_EVERY;
            let records = self.store.mark()?;
            self.committed(records, now);
        }
        Ok(())
    }

    /// Makes everything durable that was appended.
    fn commit(&mut self) -> Result<(), ObserveError> {
        let began = self.clock.now();
        let records = self.store.commit()?;
        self.committed(records, began);
        Ok(())
    }

    fn committed(&mut self, records: u64, began: Moment) {
        self.state.commit_took = self.clock.now().since(began);
        self.state.commit_at = None;
        self.state.uncommitted = 0;
        self.state.counter.counts().records = records;
        self.publish();
    }

    /// Shows the counts. They are shown only once what they count is durable.
    fn publish(&mut self) {
        let counts = self.state.counter.counts();
        counts.captured_bytes = self.state.captured;
        if let Ok(mut shown) = self.shared.counts.lock() {
            *shown = *counts;
        }
    }

    fn take(&mut self, word: Word) -> Result<(), ObserveError> {
        match word {
            Word::Connected(conn) => self.connected(conn),
            Word::Accepted(stream, remote) => self.accepted(stream, remote),
            Word::Readable(conn) => self.read(conn),
            Word::Writable(conn) => {
                if let Some(link) = self.sockets.link(conn) {
                    link.waits_to_write = false;
                    self.state.to_write.push_back(conn);
                }
                Ok(())
            }
            Word::Datagram(place) => self.read_datagrams(place),
            Word::Resolved(query, addrs) => self.feed(Input::Resolved { query, addrs }, &[]),
        }
    }

    fn connected(&mut self, conn: ConnId) -> Result<(), ObserveError> {
        let Some(now) = self.stamp()? else {
            return Ok(());
        };
        match self.sockets.made(conn) {
            Some(made) => self.connected_at(now, conn, made),
            None => Ok(()),
        }
    }

    /// A connect came to an end. Nothing is to be done before an entry of `now`.
    fn connected_at(
        &mut self,
        now: Moment,
        conn: ConnId,
        made: io::Result<Rc<TcpStream>>,
    ) -> Result<(), ObserveError> {
        let ends = made.and_then(|stream| {
            let ends = (plain(stream.local_addr()?), plain(stream.peer_addr()?));
            Ok((stream, ends))
        });
        match ends {
            Ok((stream, (local, remote))) => {
                self.sockets.stand(conn, stream);
                let opened = Input::Opened {
                    conn,
                    local,
                    remote,
                };
                self.feed_at(now, opened, &[])
            }
            Err(error) => self.failed_at(now, conn, failure(&error)),
        }
    }

    fn failed_at(
        &mut self,
        now: Moment,
        conn: ConnId,
        reason: ConnectFailure,
    ) -> Result<(), ObserveError> {
        self.sockets.close(conn);
        self.feed_at(now, Input::Failed { conn, reason }, &[])
    }

    fn accepted(&mut self, stream: TcpStream, remote: SocketAddr) -> Result<(), ObserveError> {
        // A connection whose own end is gone already cannot be told from none.
        let Ok(local) = stream.local_addr() else {
            return Ok(());
        };
        let conn = ConnId(self.state.incoming * 2 + 1);
        self.state.incoming += 1;
        let Some(at) = self.stamp()? else {
            return Ok(());
        };
        self.sockets.stand(conn, Rc::new(stream));
        let (local, remote) = (plain(local), plain(remote));
        self.feed_at(
            at,
            Input::Incoming {
                conn,
                local,
                remote,
            },
            &[],
        )
    }

    /// Reads once from a connection.
    fn read(&mut self, conn: ConnId) -> Result<(), ObserveError> {
        let Some(stream) = self.sockets.link(conn).and_then(|link| link.stream.clone()) else {
            return Ok(());
        };
        let mut buffer = std::mem::take(&mut self.state.buffer);
        buffer.resize(PAYLOAD_BYTES_MAX, 0);
        let result = match stream.try_read(&mut buffer) {
            Ok(0) => self.ended(conn, EndKind::Closed),
            Ok(len) => {
                let done = self.read_some(conn, &buffer[..len]);
                self.sockets.read_on(conn);
                done
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.sockets.read_on(conn);
                Ok(())
            }
            Err(error) => self.ended(conn, end_kind(&error)),
        };
        self.state.buffer = buffer;
        result
    }

    fn read_some(&mut self, conn: ConnId, bytes: &[u8]) -> Result<(), ObserveError> {
        let Some(at) = self.stamp()? else {
            return Ok(());
        };
        if self.sockets.link(conn).is_none() {
            // What was due has closed it: these bytes were never taken up.
            return Ok(());
        }
        let capture = self.capture(
            at,
            Packet::Tcp {
                conn,
                direction: Direction::In,
            },
            bytes,
        )?;
        let len = bytes.len() as u32;
        self.feed_at(at, Input::Received { conn, capture, len }, bytes)
    }

    fn read_datagrams(&mut self, place: usize) -> Result<(), ObserveError> {
        let (socket, local) = {
            let datagrams = &self.sockets.datagrams[place];
            (datagrams.socket.clone(), datagrams.local)
        };
        let mut buffer = std::mem::take(&mut self.state.buffer);
        buffer.resize(PAYLOAD_BYTES_MAX, 0);
        let mut result = Ok(());
        for _ in 0..DATAGRAMS_PER_TURN {
            // An error of the socket, such as a port that does not answer, is not about a datagram.
            let Ok((len, remote)) = socket.try_recv_from(&mut buffer) else {
                break;
            };
            let remote = plain(remote);
            if !self.state.asked.contains(&remote) {
                continue;
            }
            result = self.read_datagram(local, remote, &buffer[..len]);
            if result.is_err() {
                break;
            }
        }
        self.state.buffer = buffer;
        self.sockets.datagrams[place].read_on();
        result
    }

    fn read_datagram(
        &mut self,
        local: SocketAddr,
        remote: SocketAddr,
        bytes: &[u8],
    ) -> Result<(), ObserveError> {
        let Some(at) = self.stamp()? else {
            return Ok(());
        };
        let packet = Packet::Udp {
            local,
            remote,
            direction: Direction::In,
        };
        let capture = self.capture(at, packet, bytes)?;
        let len = bytes.len() as u32;
        self.feed_at(
            at,
            Input::Datagram {
                local,
                remote,
                capture,
                len,
            },
            bytes,
        )
    }

    fn ended(&mut self, conn: ConnId, how: EndKind) -> Result<(), ObserveError> {
        let Some(at) = self.stamp()? else {
            return Ok(());
        };
        if self.sockets.link(conn).is_none() {
            return Ok(());
        }
        self.sockets.close(conn);
        self.feed_at(at, Input::Ended { conn, how }, &[])
    }

    /// Writes everywhere as much as the system takes.
    fn write_all(&mut self) -> Result<(), ObserveError> {
        loop {
            if let Some(conn) = self.state.to_write.pop_front() {
                self.write(conn)?;
            } else if let Some((remote, bytes)) = self.state.datagrams.pop_front() {
                self.send_datagram(remote, &bytes)?;
            } else {
                return Ok(());
            }
        }
    }

    /// Sends a datagram. One that the system does not take is lost, as on the way; the tracker is
    /// asked again.
    fn send_datagram(&mut self, remote: SocketAddr, bytes: &[u8]) -> Result<(), ObserveError> {
        let family = |local: SocketAddr| local.is_ipv4() == remote.is_ipv4();
        let from = self
            .sockets
            .datagrams
            .iter()
            .find(|datagrams| family(datagrams.local));
        let Some((socket, local)) = from.map(|from| (from.socket.clone(), from.local)) else {
            return Ok(());
        };
        if self.state.asked.len() < DATAGRAM_REMOTES_MAX {
            self.state.asked.insert(remote);
        }
        let Some(before) = self.stamp()? else {
            return Ok(());
        };
        if socket.try_send_to(bytes, remote).is_err() {
            return Ok(());
        }
        let at = self.sent_at(before);
        let packet = Packet::Udp {
            local,
            remote,
            direction: Direction::Out,
        };
        let capture = self.capture(at, packet, bytes)?;
        let len = bytes.len() as u32;
        self.feed_at(
            at,
            Input::DatagramSent {
                local,
                remote,
                capture,
                len,
            },
            bytes,
        )
    }

    /// Appends bytes to the capture, before anything else looks at them.
    fn capture(
        &mut self,
        at: Moment,
        packet: Packet,
        bytes: &[u8],
    ) -> Result<CaptureOffset, ObserveError> {
        self.state.captured += bytes.len() as u64;
        Ok(self.store.append_packet(at, packet, bytes)?)
    }

    /// The time for an entry of what was sent between `before` and now. Where something has become due
    /// meanwhile it is the earlier end: what is sent cannot be taken back, and must be the next entry.
    fn sent_at(&self, before: Moment) -> Moment {
        let now = self.clock.now();
        if self.must_commit(now) || self.owes(now).is_some() {
            before
        } else {
            now
        }
    }

    fn write(&mut self, conn: ConnId) -> Result<(), ObserveError> {
        let Some(before) = self.stamp()? else {
            return Ok(());
        };
        let Some(link) = self.sockets.link(conn) else {
            return Ok(());
        };
        let Some(stream) = link.stream.clone().filter(|_| !link.out.is_empty()) else {
            return Ok(());
        };
        let first = link.out.len().min(PAYLOAD_BYTES_MAX);
        match stream.try_write(&link.out[..first]) {
            Ok(len) => {
                let bytes: Vec<u8> = link.out.drain(..len).collect();
                if !link.out.is_empty() {
                    self.state.to_write.push_back(conn);
                }
                let at = self.sent_at(before);
                let packet = Packet::Tcp {
                    conn,
                    direction: Direction::Out,
                };
                let capture = self.capture(at, packet, &bytes)?;
                let len = bytes.len() as u32;
                self.feed_at(at, Input::Sent { conn, capture, len }, &bytes)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.sockets.wait_to_write(conn);
                Ok(())
            }
            Err(error) => self.ended(conn, end_kind(&error)),
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Resolve { query, host } => self.sockets.resolve(query, host),
            Action::Connect { conn, remote, .. } => self.sockets.connect(conn, remote),
            Action::Send { conn, bytes } => {
                if let Some(link) = self.sockets.link(conn) {
                    link.out.extend(bytes);
                    if !link.waits_to_write {
                        self.state.to_write.push_back(conn);
                    }
                }
            }
            Action::Close { conn } => self.sockets.close(conn),
            Action::SendTo { remote, bytes } => self.state.datagrams.push_back((remote, bytes)),
            Action::Finished => self.state.finished = true,
        }
    }
}

fn end_kind(error: &io::Error) -> EndKind {
    match error.kind() {
        io::ErrorKind::ConnectionReset => EndKind::Reset,
        _ => EndKind::Error(error.raw_os_error().unwrap_or(0)),
    }
}
