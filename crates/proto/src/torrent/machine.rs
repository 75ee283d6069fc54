//! The torrent machine: what the driver calls, and how calls become actions.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, VecDeque},
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use skep_hash::Sha256Digest;
use skep_wire::{
    Bitfield, Block, InfoHash, Moment, PieceIndex, peer::HashRequest, piece::BLOCK_LEN,
};

use super::{
    Action, BlockDigests, CONNECTING_MAX, DIALS_PER_TICK_MAX, Event, PEERS_MAX, PEERS_PER_IP_MAX,
    PeerKey, PeerView, Source, Stats, TICK_SECS, TorrentConfig, Verdict,
    blame::Blame,
    book::{Book, Outcome},
    choker::Choker,
    peer::{Peer, RATE_SECS},
    picker::Picker,
    probe::Probe,
    rate::Rate,
};
use crate::{
    peer::{PeerConn, Want},
    rng::Rng,
};

/// The machine of one torrent. See the module's documentation.
#[derive(Debug)]
pub struct Torrent {
    pub(super) config: TorrentConfig,
    pub(super) rng: Rng,
    pub(super) picker: Picker,
    pub(super) peers: BTreeMap<PeerKey, Peer>,
    /// Whom we dial, and by which name of the torrent.
    connecting: BTreeMap<PeerKey, (SocketAddr, InfoHash)>,
    next_key: u64,
    /// Connection attempts begun since the last tick.
    dials: usize,
    pub(super) book: Book,
    pub(super) blame: Blame,
    /// Bad pieces of which peers are asked what is wrong.
    pub(super) probes: BTreeMap<PieceIndex, Probe>,
    pub(super) choker: Choker,
    tick_at: Moment,
    closing: bool,
    pub(super) complete_at: Option<Moment>,
    pub(super) totals: Totals,
    pub(super) down: Rate,
    pub(super) up: Rate,
    /// Connections whose machines may have something to say.
    touched: Vec<PeerKey>,
    /// Whether peers with room in their windows should look for work: blocks became free.
    pub(super) work_freed: bool,
    /// Whether a slot may have become free.
    pub(super) slot_freed: bool,
    pub(super) actions: VecDeque<Action>,
    pub(super) events: VecDeque<Event>,
}

/// Payload bytes since the beginning.
#[derive(Debug, Default)]
pub(super) struct Totals {
    pub(super) down: u64,
    pub(super) up: u64,
    pub(super) wasted: u64,
    pub(super) failed: u64,
}

impl Torrent {
    /// Starts the machine. It connects to nobody before it hears of candidates.
    pub fn new(config: TorrentConfig, now: Moment) -> Self {
        let mut book = Book::default();
        config.own_addrs.iter().for_each(|&addr| book.add_own(addr));
        let mut rng = Rng::new(config.seed);
        let picker = Picker::new(
            config.have.clone(),
            config.sizes.clone(),
            config.partial_pieces_max,
            rng.split(),
        );
        Self {
            rng,
            picker,
            peers: BTreeMap::new(),
            connecting: BTreeMap::new(),
            next_key: 0,
            dials: 0,
            book,
            blame: Blame::default(),
            probes: BTreeMap::new(),
            choker: Choker::new(now),
            tick_at: now + Duration::from_secs(TICK_SECS),
            closing: false,
            complete_at: None,
            totals: Totals::default(),
            down: Rate::new(now),
            up: Rate::new(now),
            touched: Vec::new(),
            work_freed: false,
            slot_freed: false,
            actions: VecDeque::new(),
            events: VecDeque::new(),
            config,
        }
    }

    /// Addresses were named by `source`, in the swarm of the torrent's first info-hash.
    pub fn handle_candidates(&mut self, source: Source, addrs: &[SocketAddr], now: Moment) {
        self.handle_candidates_of(self.config.info_hashes.first(), source, addrs, now);
    }

    /// Addresses were named by `source`, in the swarm of `info_hash`: a hybrid has two. Who is in both
    /// is dialled by the v1 info-hash, with the bit that says that we speak version 2 too (BEP 52).
    pub fn handle_candidates_of(
        &mut self,
        info_hash: InfoHash,
        source: Source,
        addrs: &[SocketAddr],
        now: Moment,
    ) {
        let name = self.name_of(info_hash);
        let each = addrs.iter();
        each.for_each(|&addr| self.book.add(addr, source, name, now));
        self.settle(now);
    }

    /// An endpoint is our own: it is never connected to.
    pub fn handle_own_addr(&mut self, addr: SocketAddr) {
        self.book.add_own(addr);
    }

    /// A connection that [`Action::Connect`] asked for stands.
    pub fn handle_connected(&mut self, peer: PeerKey, now: Moment) {
        let Some((addr, info_hash)) = self.connecting.remove(&peer) else {
            return;
        };
        if self.closing || self.book.is_banned(addr.ip()) {
            self.book.release(addr, Outcome::Useless, now);
            self.actions.push_back(Action::Close { peer });
        } else {
            let conn = PeerConn::new(self.peer_config(addr, Some(info_hash)), now);
            self.peers.insert(peer, Peer::new(conn, addr, true, now));
            self.touch(peer);
        }
        self.settle(now);
    }

    /// A connection that [`Action::Connect`] asked for could not be made. The key is closed; no
    /// [`Action::Close`] follows.
    pub fn handle_connect_failed(&mut self, peer: PeerKey, now: Moment) {
        let Some((addr, _)) = self.connecting.remove(&peer) else {
            return;
        };
        self.book.release(addr, Outcome::Failed, now);
        self.settle(now);
    }

    /// A connection came in. `None`: it is not wanted (too many, or banned) and is to be closed.
    /// The driver that serves several torrents has read the handshake's info-hash already; all
    /// bytes, the handshake's included, are then given to [`Torrent::handle_bytes`].
    ///
    /// Where there is no room, a connection that came earlier and has not shaken hands makes it: who
    /// connects and says nothing must not keep others out.
    pub fn handle_incoming(&mut self, remote: SocketAddr, now: Moment) -> Option<PeerKey> {
        if self.closing || self.book.is_banned(remote.ip()) {
            return None;
        }
        let of_ip = self
            .peers
            .values()
            .filter(|peer| peer.addr.ip() == remote.ip());
        let displaced = if of_ip.count() >= PEERS_PER_IP_MAX {
            Some(self.oldest_unopened(remote.ip())?)
        } else if self.peers.len() + self.connecting.len() >= self.peers_max() {
            Some(self.oldest_unopened_of_most()?)
        } else {
            None
        };
        if let Some(displaced) = displaced {
            self.close_peer(displaced, now);
        }
        let peer = self.new_key();
        let conn = PeerConn::new(self.peer_config(remote, None), now);
        self.peers.insert(peer, Peer::new(conn, remote, false, now));
        self.settle(now);
        Some(peer)
    }

    /// The oldest of the address's connections that came in and have not shaken hands.
    fn oldest_unopened(&self, ip: IpAddr) -> Option<PeerKey> {
        let mut unopened = self.peers.iter().filter(|(_, peer)| peer.is_unopened());
        unopened.find_map(|(&key, peer)| (peer.addr.ip() == ip).then_some(key))
    }

    /// The oldest of the connections that came in and have not shaken hands, of the address with the
    /// most of them.
    fn oldest_unopened_of_most(&self) -> Option<PeerKey> {
        let mut of_ip = BTreeMap::<IpAddr, (usize, Reverse<PeerKey>)>::new();
        for (&key, peer) in self.peers.iter().filter(|(_, peer)| peer.is_unopened()) {
            let entry = of_ip.entry(peer.addr.ip());
            entry.or_insert((0, Reverse(key))).0 += 1;
        }
        of_ip.into_values().max().map(|(_, Reverse(oldest))| oldest)
    }

    /// Feeds message bytes of a connection, as [`crate::peer::PeerConn::handle_bytes`].
    pub fn handle_bytes(&mut self, peer: PeerKey, bytes: &[u8], now: Moment) -> (usize, Want) {
        let Some(entry) = self.peers.get_mut(&peer) else {
            return (0, Want::Nothing);
        };
        let (used, want) = entry.conn.handle_bytes(bytes, now);
        if let (Want::Payload(block), true) = (want, used > 0) {
            entry.owes_since = Some(now);
            if let Some(partial) = self.picker.partial_mut(block.piece) {
                partial.begin(block, peer, now);
            }
        }
        self.touch(peer);
        self.settle(now);
        let want = self
            .peers
            .get(&peer)
            .map_or(Want::Nothing, |entry| entry.conn.want());
        (used, want)
    }

    /// Where the payload that is arriving from `peer` goes at this moment: the block's place in its
    /// piece's buffer, or `None` for nowhere.
    pub fn payload_place(&self, peer: PeerKey) -> Option<Block> {
        let Want::Payload(block) = self.peers.get(&peer)?.conn.want() else {
            return None;
        };
        let partial = self.picker.partial(block.piece)?;
        partial.is_receiving(block, peer).then_some(block)
    }

    /// The blocks that `peer` is expected to send next, oldest request first, without the one that is
    /// arriving. It ends at the first block that would not go to its piece's buffer if it came now.
    ///
    /// A driver may read to these places before the header that names them has been seen: if the
    /// guess is wrong, only places of blocks that have not come hold rubbish.
    pub fn expected(&self, peer: PeerKey) -> impl Iterator<Item = Block> {
        let entry = self.peers.get(&peer);
        let arriving = entry.map(|entry| entry.conn.want());
        entry
            .into_iter()
            .flat_map(|entry| entry.conn.outstanding())
            .filter(move |&block| arriving != Some(Want::Payload(block)))
            .take_while(move |&block| {
                let partial = self.picker.partial(block.piece);
                partial.is_some_and(|partial| partial.is_free_for(block, peer))
            })
    }

    /// The payload last returned as [`Want::Payload`] has passed, wherever it went.
    pub fn handle_payload(&mut self, peer: PeerKey, block: Block, now: Moment) {
        let placed = self.payload_place(peer) == Some(block);
        let Some(entry) = self.peers.get_mut(&peer) else {
            return;
        };
        if entry.conn.want() != Want::Payload(block) {
            return;
        }
        entry.conn.handle_payload(block, now);
        self.take_block(peer, block, placed, now);
        self.touch(peer);
        self.settle(now);
    }

    /// The bytes last returned as [`Want::Discard`] have passed.
    pub fn handle_discarded(&mut self, peer: PeerKey, now: Moment) {
        let Some(entry) = self.peers.get_mut(&peer) else {
            return;
        };
        entry.conn.handle_discarded(now);
        self.touch(peer);
        self.settle(now);
    }

    /// The stream has ended, by the peer or by an error of the socket.
    pub fn handle_end(&mut self, peer: PeerKey, now: Moment) {
        let Some(entry) = self.peers.get_mut(&peer) else {
            return;
        };
        entry.conn.handle_end(now);
        self.touch(peer);
        self.settle(now);
    }

    /// A block of [`Action::Send`] has left, whole.
    pub fn handle_block_sent(&mut self, peer: PeerKey, block: Block, now: Moment) {
        let Some(entry) = self.peers.get_mut(&peer) else {
            return;
        };
        entry.in_flight = entry.in_flight.saturating_sub(1);
        entry.up.add(u64::from(block.len), now);
        entry.up_bytes += u64::from(block.len);
        self.up.add(u64::from(block.len), now);
        self.totals.up += u64::from(block.len);
        self.serve(peer, now);
        self.settle(now);
    }

    /// The answer to [`Action::Verify`].
    pub fn handle_verdict(&mut self, piece: PieceIndex, verdict: Verdict, now: Moment) {
        if self.probes.contains_key(&piece) {
            return;
        }
        match verdict {
            Verdict::Bad {
                blocks: BlockDigests::Leaves(leaves),
            } => self.doubt(piece, leaves, now),
            other => self.take_verdict(piece, other, now),
        }
        self.settle(now);
    }

    pub(super) fn take_verdict(&mut self, piece: PieceIndex, verdict: Verdict, now: Moment) {
        let good = matches!(verdict, Verdict::Good { .. });
        let Some(senders) = self.picker.judge(piece, good) else {
            return;
        };
        match verdict {
            Verdict::Good { blocks } => self.gain(piece, &senders, &blocks, now),
            Verdict::Bad { blocks } => self.fail(piece, senders, &blocks, now),
            Verdict::Lost => {}
        }
        self.work_freed = true;
    }

    /// A piece that was there is there no longer: the disk has lost it. It is fetched again.
    pub fn handle_piece_lost(&mut self, piece: PieceIndex, now: Moment) {
        self.lose(piece, now);
        self.settle(now);
    }

    /// The answer to [`Action::HashesWanted`]: the hashes of the base layer and then the uncles, as many
    /// as [`HashRequest::hash_count`] says, or `None` where the file is not of this torrent, where
    /// the layer or the hashes do not exist, or where they would have to be made of pieces that are
    /// not there. An answer of another number is a refusal.
    ///
    /// The driver answers when less than a megabyte waits to be sent on that connection, so that who
    /// asks and does not read cannot make us keep more.
    pub fn handle_hashes(
        &mut self,
        peer: PeerKey,
        request: HashRequest,
        hashes: Option<&[Sha256Digest]>,
        now: Moment,
    ) {
        self.answer_hashes(peer, request, hashes, now);
        self.settle(now);
    }

    /// Tells the machine that `now` has come. Early and repeated calls are harmless.
    pub fn handle_timeout(&mut self, now: Moment) {
        if now < self.tick_at {
            return;
        }
        self.tick_at = now + Duration::from_secs(TICK_SECS);
        self.dials = 0;
        let keys: Vec<PeerKey> = self.peers.keys().copied().collect();
        for &peer in &keys {
            self.tick_peer(peer, now);
            self.touch(peer);
        }
        self.tick_probes(now);
        if let Some(piece) = self.picker.abandon_stuck(now) {
            self.actions.push_back(Action::Abandon { piece });
        }
        if self.choker.is_due(now) {
            self.choke_round(now);
        }
        self.work_freed = true;
        self.settle(now);
    }

    /// Closes every connection from our side and starts no other.
    pub fn close(&mut self, now: Moment) {
        self.closing = true;
        let keys: Vec<PeerKey> = self.peers.keys().copied().collect();
        keys.into_iter().for_each(|peer| self.close_peer(peer, now));
        self.settle(now);
    }

    /// What to do next.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// What happened next.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When to call [`Torrent::handle_timeout`] next, and for which timer. `None` once closed.
    pub fn poll_timeout(&self) -> Option<(Moment, &'static str)> {
        let over = self.closing && self.peers.is_empty();
        (!over).then_some((self.tick_at, "tick"))
    }

    /// The pieces that are there and checked.
    pub fn have(&self) -> &Bitfield {
        self.picker.have()
    }

    /// Whether everything is there.
    pub fn is_complete(&self) -> bool {
        self.picker.is_complete()
    }

    /// Counts and rates. Payload rates are of the last seconds before `now`.
    pub fn stats(&self, now: Moment) -> Stats {
        let open = || self.peers.values().filter(|peer| peer.conn.is_open());
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Stats {
            pieces_held: self.picker.held(),
            piece_count: self.picker.have().piece_count(),
            pieces_partial: count(self.picker.partial_count()),
            left_bytes: self.picker.left_bytes(),
            down_bytes: self.totals.down,
            up_bytes: self.totals.up,
            wasted_bytes: self.totals.wasted,
            failed_bytes: self.totals.failed,
            down_rate: self.down.per_sec(RATE_SECS, now),
            up_rate: self.up.per_sec(RATE_SECS, now),
            peers: count(open().count()),
            seeds: count(open().filter(|peer| peer.claims_all()).count()),
            unchoking_us: count(open().filter(|peer| !peer.conn.peer_chokes_us()).count()),
            unchoked: count(open().filter(|peer| !peer.conn.we_choke_peer()).count()),
            connecting: count(self.connecting.len()),
            candidates: count(self.book.known_count()),
            banned: count(self.book.banned_count()),
            complete_at: self.complete_at,
        }
    }

    /// The connections whose handshakes are done, by key.
    pub fn peers(&self, now: Moment) -> impl Iterator<Item = PeerView> {
        let open = self.peers.iter().filter(|(_, peer)| peer.conn.is_open());
        open.map(move |(&key, peer)| peer.view(key, now))
    }

    /// Whether nothing more is to be fetched: all is there, or nothing should be.
    pub(super) fn is_done(&self) -> bool {
        !self.config.fetch || self.picker.is_complete()
    }

    pub(super) fn touch(&mut self, peer: PeerKey) {
        self.touched.push(peer);
    }

    pub(super) fn close_peer(&mut self, peer: PeerKey, now: Moment) {
        if let Some(entry) = self.peers.get_mut(&peer) {
            entry.conn.close(now);
            self.touch(peer);
        }
    }

    /// Turns what the connections have to say into actions and events, until all is quiet. Each
    /// round either empties a queue or sends a request, of which there are finitely many.
    fn settle(&mut self, now: Moment) {
        loop {
            while let Some(peer) = self.touched.pop() {
                self.drain_peer(peer, now);
            }
            if std::mem::take(&mut self.slot_freed) {
                self.fill_slots(now);
            } else if std::mem::take(&mut self.work_freed) {
                self.ask_all(now);
            } else {
                break;
            }
        }
        self.connect(now);
    }

    fn drain_peer(&mut self, peer: PeerKey, now: Moment) {
        while let Some(entry) = self.peers.get_mut(&peer) {
            if let Some(what) = entry.conn.poll_transmit() {
                self.actions.push_back(Action::Send { peer, what });
            } else if let Some(event) = entry.conn.poll_event() {
                self.take_event(peer, event, now);
            } else {
                break;
            }
        }
    }

    fn connect(&mut self, now: Moment) {
        while !self.closing
            && self.connecting.len() < CONNECTING_MAX
            && self.dials < DIALS_PER_TICK_MAX
            && self.peers.len() + self.connecting.len() < self.peers_max()
            && let Some((addr, name)) = self.book.take(&mut self.rng, now)
        {
            let peer = self.new_key();
            let info_hash = self.hash_of(name);
            self.connecting.insert(peer, (addr, info_hash));
            self.dials += 1;
            self.actions.push_back(Action::Connect { peer, addr });
        }
    }

    pub(super) fn connecting_count(&self) -> usize {
        self.connecting.len()
    }

    pub(super) fn peers_max(&self) -> usize {
        self.config.peers_max.min(PEERS_MAX)
    }

    fn new_key(&mut self) -> PeerKey {
        let key = PeerKey(self.next_key);
        self.next_key += 1;
        key
    }

    /// A block has passed, into its buffer or not.
    fn take_block(&mut self, peer: PeerKey, block: Block, placed: bool, now: Moment) {
        let Some(entry) = self.peers.get_mut(&peer) else {
            return;
        };
        entry.window.arrived(block, now);
        entry.down.add(u64::from(block.len), now);
        entry.owes_since = Some(now).filter(|_| entry.conn.outstanding_count() > 0);
        (entry.silent_since, entry.snubs_us) = (None, false);
        let from = entry.addr;
        self.down.add(u64::from(block.len), now);
        let partial = self.picker.partial_mut(block.piece).filter(|_| placed);
        let Some(partial) = partial else {
            self.totals.wasted += u64::from(block.len);
            self.picker.release(block, peer, now);
            self.events.push_back(Event::BlockWasted { peer, block });
            self.ask(peer, now);
            return;
        };
        let others = partial.arrive(block, peer, from);
        if partial.is_whole() {
            partial.verifying = true;
            let digests = self.blame.is_suspect(block.piece);
            self.actions.push_back(Action::Verify {
                piece: block.piece,
                digests,
            });
        }
        entry.down_bytes += u64::from(block.len);
        self.totals.down += u64::from(block.len);
        self.events.push_back(Event::BlockArrived { peer, block });
        for other in others {
            if let Some(entry) = self.peers.get_mut(&other) {
                entry.conn.cancel(block, now);
                entry.window.lost(block);
                self.touch(other);
                self.work_freed = true;
            }
        }
        self.ask(peer, now);
    }
}

const _: () = assert!(BLOCK_LEN <= crate::peer::BLOCK_BYTES_MAX);
