//! An honest peer: the torrent machine with a virtual disk.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use skep_hash::{merkle, sha1};
use skep_proto::{
    drain::{Inlet, Part},
    peer::{InfoHashes, Transmit, Violation, Why},
    torrent::{
        Action, BlockDigests, Event, PeerKey, Source, Torrent, TorrentConfig, TorrentStream,
        TorrentWorld, Verdict, settle,
    },
};
use skep_wire::{
    Bitfield, Block, Moment, PeerId, PieceIndex, PieceSizes,
    peer::{HashRequest, piece_header},
    piece::{BLOCK_LEN, blocks_of},
};

use crate::{
    content::Content,
    net::{Happening, HostId, Link, Net},
};

/// Seconds between announces to the tracker.
const ANNOUNCE_SECS: u64 = 30;

/// Seconds for which a socket may take nothing before the driver gives the stream up.
const STUCK_SECS: u64 = 60;

/// A peer that lets so many bytes wait is not told hashes before it reads.
pub const WAITING_BYTES_MAX: u64 = 1 << 20;

const TICK: u64 = u64::MAX;
const ANNOUNCE: u64 = u64::MAX - 1;

/// An honest peer.
#[derive(Debug)]
pub struct Honest {
    torrent: Torrent,
    desk: Desk,
    config: TorrentConfig,
}

/// What is said of an honest peer besides its pieces.
#[derive(Debug)]
pub struct Setup {
    /// What it has from the start.
    pub have: Bitfield,
    /// The names by which it knows the torrent: of a hybrid both, or one.
    pub names: InfoHashes,
    /// Whether only accusations are remembered, not every event: for large swarms.
    pub forgets: bool,
}

/// An honest peer holds somebody's bytes or words to be wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accusation {
    /// When.
    pub at: Moment,
    /// Whom.
    pub whom: IpAddr,
    /// The ban or the violation, in words.
    pub why: String,
}

/// All that surrounds the machine.
#[derive(Debug)]
struct Desk {
    content: Arc<Content>,
    names: InfoHashes,
    sizes: PieceSizes,
    host: HostId,
    links: BTreeMap<PeerKey, Link>,
    keys: BTreeMap<Link, PeerKey>,
    inlets: BTreeMap<PeerKey, Inlet>,
    /// Message bytes of one step leave together, as with a real socket.
    outboxes: BTreeMap<PeerKey, Vec<u8>>,
    buffers: BTreeMap<PieceIndex, Vec<u8>>,
    digests: BTreeMap<PieceIndex, bool>,
    /// Survives a crash: pieces that were verified and written.
    disk: Bitfield,
    /// Requests for hashes of peers that do not read.
    late: Vec<(PeerKey, HashRequest)>,
    /// Since when a socket takes nothing.
    stuck: BTreeMap<PeerKey, Moment>,
    forgets: bool,
    events: Vec<(Moment, Event)>,
    accusations: Vec<Accusation>,
    wrong: Vec<PieceIndex>,
    refetched: u64,
    sent: u64,
    waiting_bytes_max: u64,
}

/// The desk with the network at hand.
struct Hands<'a> {
    desk: &'a mut Desk,
    net: &'a mut Net,
}

impl Honest {
    /// Makes a peer. It begins when its host is started.
    pub fn new(
        content: &Arc<Content>,
        setup: Setup,
        host: HostId,
        net: &mut Net,
        tune: impl FnOnce(&mut TorrentConfig),
    ) -> Self {
        let Setup {
            have,
            names,
            forgets,
        } = setup;
        let mut peer_id = PeerId(*b"-SK0001-000000000000");
        net.rng().fill(&mut peer_id.0[8..]);
        let mut config = TorrentConfig::new(names, peer_id, content.sizes(names));
        if names.v2().is_some() {
            config.trees = Some(content.clone());
        }
        config.have = have.clone();
        config.listen_port = Some(net.addr(host).port());
        config.seed = net.rng().next_u64();
        config.peers_max = 20;
        tune(&mut config);
        let desk = Desk {
            content: Arc::clone(content),
            names,
            sizes: config.sizes.clone(),
            host,
            links: BTreeMap::new(),
            keys: BTreeMap::new(),
            inlets: BTreeMap::new(),
            outboxes: BTreeMap::new(),
            buffers: BTreeMap::new(),
            digests: BTreeMap::new(),
            disk: have,
            late: Vec::new(),
            stuck: BTreeMap::new(),
            forgets,
            events: Vec::new(),
            accusations: Vec::new(),
            wrong: Vec::new(),
            refetched: 0,
            sent: 0,
            waiting_bytes_max: 0,
        };
        Self {
            torrent: Torrent::new(config.clone(), net.now()),
            desk,
            config,
        }
    }

    /// The machine.
    pub fn torrent(&self) -> &Torrent {
        &self.torrent
    }

    /// Everything that the machine said, with its time; nothing if it [`Setup::forgets`].
    pub fn events(&self) -> &[(Moment, Event)] {
        &self.desk.events
    }

    /// Whom it holds to be wrong.
    pub fn accusations(&self) -> &[Accusation] {
        &self.desk.accusations
    }

    /// How many blocks it fetched again because they alone were wrong in their pieces (BEP 52).
    pub fn refetched(&self) -> u64 {
        self.desk.refetched
    }

    /// The pieces whose hash agreed although their bytes are not those of the content, or of which a right
    /// block was fetched again, or a wrong one was not.
    pub fn wrong_pieces(&self) -> &[PieceIndex] {
        &self.desk.wrong
    }

    /// How many messages it sent, blocks included.
    pub fn sent(&self) -> u64 {
        self.desk.sent
    }

    /// The most bytes that waited for one peer that did not read, payloads not counted.
    pub fn waiting_bytes_max(&self) -> u64 {
        self.desk.waiting_bytes_max
    }

    /// How many pieces have a buffer.
    pub fn buffer_count(&self) -> usize {
        self.desk.buffers.len()
    }

    /// The most bytes of an unfinished message that are kept of one connection.
    pub fn carried_max(&self) -> usize {
        let inlets = self.desk.inlets.values();
        inlets.map(Inlet::carried).max().unwrap_or(0)
    }

    /// The names by which it knows the torrent.
    pub fn names(&self) -> InfoHashes {
        self.desk.names
    }

    /// Its host's number.
    pub fn host(&self) -> HostId {
        self.desk.host
    }

    /// Its peer id.
    pub fn peer_id(&self) -> PeerId {
        self.config.peer_id
    }

    /// Deals with what happened to its host.
    pub fn handle(&mut self, what: Happening, net: &mut Net) {
        let now = net.now();
        match what {
            Happening::Started => self.start(net),
            Happening::Connected { link } => {
                if let Some(&peer) = self.desk.keys.get(&link) {
                    self.desk.inlets.insert(peer, Inlet::default());
                    self.torrent.handle_connected(peer, now);
                }
            }
            Happening::ConnectFailed { link, .. } => {
                if let Some(peer) = self.desk.keys.remove(&link) {
                    self.desk.links.remove(&peer);
                    self.torrent.handle_connect_failed(peer, now);
                }
            }
            Happening::Incoming { link, remote } => {
                match self.torrent.handle_incoming(remote, now) {
                    Some(peer) => self.desk.open(peer, link),
                    None => net.close(link),
                }
            }
            Happening::Bytes { link, bytes } => self.feed(link, bytes.bytes(), net),
            Happening::Left { link, block } => {
                if let Some(&peer) = self.desk.keys.get(&link) {
                    self.torrent.handle_block_sent(peer, block, now);
                }
            }
            Happening::Ended { link, .. } => {
                if let Some(&peer) = self.desk.keys.get(&link) {
                    self.torrent.handle_end(peer, now);
                }
            }
            Happening::Timer { tag: TICK } => {
                self.torrent.handle_timeout(now);
                self.look_at_sockets(net);
                self.set_tick(net);
            }
            Happening::Timer { tag: ANNOUNCE } => self.announce(net),
            Happening::Timer { tag } => self.verify(PieceIndex(tag as u32), net),
            Happening::Named { swarm, addrs } => {
                self.torrent
                    .handle_candidates_of(swarm, Source::Tracker, &addrs, now);
            }
            Happening::Datagram { .. } => {}
        }
        let mut hands = Hands {
            desk: &mut self.desk,
            net,
        };
        settle(&mut self.torrent, &mut hands);
        hands.flush();
    }

    /// Connects to an address, as if the user had named it.
    pub fn name(&mut self, addr: std::net::SocketAddr, net: &mut Net) {
        self.torrent
            .handle_candidates(Source::Operator, &[addr], net.now());
        let mut hands = Hands {
            desk: &mut self.desk,
            net,
        };
        settle(&mut self.torrent, &mut hands);
        hands.flush();
    }

    /// A start, or a restart after a crash: what is on the disk is there, all else is lost.
    fn start(&mut self, net: &mut Net) {
        self.config.have = self.desk.disk.clone();
        self.config.seed = net.rng().next_u64();
        self.torrent = Torrent::new(self.config.clone(), net.now());
        self.desk.links.clear();
        self.desk.keys.clear();
        self.desk.inlets.clear();
        self.desk.outboxes.clear();
        self.desk.buffers.clear();
        self.desk.late.clear();
        self.desk.stuck.clear();
        self.set_tick(net);
        self.announce(net);
    }

    fn announce(&self, net: &mut Net) {
        let host = self.desk.host;
        self.desk
            .names
            .iter()
            .for_each(|name| net.announce(host, name));
        net.timer(
            host,
            net.now() + Duration::from_secs(ANNOUNCE_SECS),
            ANNOUNCE,
        );
    }

    fn set_tick(&self, net: &mut Net) {
        if let Some((at, _)) = self.torrent.poll_timeout() {
            net.timer(self.desk.host, at, TICK);
        }
    }

    /// What a driver does for sockets that take nothing: hashes wait, and in the end the stream is
    /// given up.
    fn look_at_sockets(&mut self, net: &mut Net) {
        let now = net.now();
        for (&peer, &link) in &self.desk.links {
            let waiting = net.waiting_bytes(link);
            self.desk.waiting_bytes_max = self.desk.waiting_bytes_max.max(waiting);
            if net.is_stuck(link) {
                self.desk.stuck.entry(peer).or_insert(now);
            }
        }
        let long = Duration::from_secs(STUCK_SECS);
        let stuck = self.desk.stuck.iter();
        let given_up = stuck.filter(|(_, since)| now.since(**since) >= long);
        for peer in given_up.map(|(&peer, _)| peer).collect::<Vec<_>>() {
            self.desk.stuck.remove(&peer);
            self.torrent.handle_end(peer, now);
        }
        for (peer, request) in std::mem::take(&mut self.desk.late) {
            let mut hands = Hands {
                desk: &mut self.desk,
                net,
            };
            hands.tell_hashes(&mut self.torrent, peer, request);
        }
    }

    fn feed(&mut self, link: Link, bytes: &[u8], net: &mut Net) {
        let now = net.now();
        let Some(&peer) = self.desk.keys.get(&link) else {
            return;
        };
        let Some(mut inlet) = self.desk.inlets.remove(&peer) else {
            return;
        };
        let mut stream = TorrentStream {
            torrent: &mut self.torrent,
            peer,
        };
        inlet.feed(
            &mut stream,
            bytes,
            now,
            &mut Hands {
                desk: &mut self.desk,
                net,
            },
        );
        if self.desk.links.contains_key(&peer) {
            self.desk.inlets.insert(peer, inlet);
        }
    }

    fn verify(&mut self, piece: PieceIndex, net: &mut Net) {
        let Some(bytes) = self.desk.buffers.remove(&piece) else {
            return;
        };
        let wants = self.desk.digests.remove(&piece).unwrap_or(false);
        let good = self.desk.content.is_piece(self.desk.names, piece, &bytes);
        if good && !self.desk.content.begins_with(piece, &bytes) {
            self.desk.wrong.push(piece);
        }
        let has_tree = self.desk.names.v2().is_some();
        let digests = |on: bool| {
            let blocks = bytes.chunks(BLOCK_LEN as usize).filter(|_| on);
            match has_tree {
                true => BlockDigests::Leaves(blocks.map(merkle::leaf).collect()),
                false => BlockDigests::Sha1(blocks.map(sha1).collect()),
            }
        };
        let verdict = if good {
            self.desk.disk.insert(piece);
            Verdict::Good {
                blocks: digests(wants),
            }
        } else {
            Verdict::Bad {
                blocks: digests(true),
            }
        };
        if has_tree && !good {
            // What is right of it may be kept.
            self.desk.buffers.insert(piece, bytes);
        }
        self.torrent.handle_verdict(piece, verdict, net.now());
    }
}

impl Desk {
    fn open(&mut self, peer: PeerKey, link: Link) {
        self.links.insert(peer, link);
        self.keys.insert(link, peer);
        self.inlets.insert(peer, Inlet::default());
    }
}

impl Desk {
    /// The blocks that are fetched again must be the wrong ones of the piece, and all of them.
    fn note_refetch(&mut self, piece: PieceIndex, blocks: &[Block]) {
        self.refetched += blocks.len() as u64;
        let buffer = self.buffers.get(&piece);
        let is_right = |block: &Block| {
            let part = block.begin as usize..(block.begin + block.len) as usize;
            let came = buffer.and_then(|buffer| buffer.get(part));
            came == Some(self.content.block(*block).bytes())
        };
        let mut all = blocks_of(piece, self.sizes.size(piece));
        if all.any(|block| is_right(&block) == blocks.contains(&block)) {
            self.wrong.push(piece);
        }
    }
}

impl Hands<'_> {
    fn flush(&mut self) {
        for (peer, bytes) in std::mem::take(&mut self.desk.outboxes) {
            if let Some(&link) = self.desk.links.get(&peer) {
                self.net.send(link, bytes);
            }
        }
    }

    fn tell_hashes(&mut self, torrent: &mut Torrent, peer: PeerKey, request: HashRequest) {
        let Some(&link) = self.desk.links.get(&peer) else {
            return;
        };
        if self.net.waiting_bytes(link) > WAITING_BYTES_MAX {
            self.desk.late.push((peer, request));
            return;
        }
        let hashes = self.desk.content.hashes(&self.desk.disk, &request);
        torrent.handle_hashes(peer, request, hashes.as_deref(), self.net.now());
    }

    fn send_block(&mut self, peer: PeerKey, block: Block) {
        let mut header = self.desk.outboxes.remove(&peer).unwrap_or_default();
        header.extend_from_slice(&piece_header(block));
        if let Some(&link) = self.desk.links.get(&peer) {
            assert!(
                self.desk.disk.has(block.piece),
                "only what is on the disk is served"
            );
            self.net.send(link, header);
            self.net
                .send_block(link, self.desk.content.block(block), block);
        }
    }
}

impl TorrentWorld for Hands<'_> {
    fn payload(&mut self, part: Part<'_>) {
        let size = self.desk.sizes.size(part.block.piece) as usize;
        let buffer = self
            .desk
            .buffers
            .entry(part.block.piece)
            .or_insert_with(|| vec![0; size]);
        let start = (part.block.begin + part.offset) as usize;
        buffer[start..start + part.bytes.len()].copy_from_slice(part.bytes);
    }

    fn action(&mut self, torrent: &mut Torrent, action: Action) {
        match action {
            Action::Connect { peer, addr } => {
                let link = self.net.connect(self.desk.host, addr);
                self.desk.links.insert(peer, link);
                self.desk.keys.insert(link, peer);
            }
            Action::Send {
                peer,
                what: Transmit::Bytes(bytes),
            } => {
                self.desk.sent += 1;
                self.desk
                    .outboxes
                    .entry(peer)
                    .or_default()
                    .extend_from_slice(&bytes);
            }
            Action::Send {
                peer,
                what: Transmit::Block(block),
            } => {
                self.desk.sent += 1;
                self.send_block(peer, block);
            }
            Action::Close { peer } => {
                if let Some(link) = self.desk.links.get(&peer).copied() {
                    if let Some(bytes) = self.desk.outboxes.remove(&peer) {
                        self.net.send(link, bytes);
                    }
                    self.net.close(link);
                    self.desk.links.remove(&peer);
                    self.desk.keys.remove(&link);
                    self.desk.inlets.remove(&peer);
                    self.desk.stuck.remove(&peer);
                }
            }
            Action::Verify { piece, digests } => {
                self.desk.digests.insert(piece, digests);
                let takes = Duration::from_micros(100 + self.net.rng().below(20_000));
                self.net
                    .timer(self.desk.host, self.net.now() + takes, u64::from(piece.0));
            }
            Action::Refetch { piece, blocks } => self.desk.note_refetch(piece, &blocks),
            Action::HashesWanted { peer, request } => {
                self.tell_hashes(torrent, peer, request);
            }
            Action::Abandon { piece } => {
                self.desk.buffers.remove(&piece);
            }
        }
    }

    fn event(&mut self, _torrent: &mut Torrent, event: Event) {
        let at = self.net.now();
        if let Some((whom, why)) = accusation(&event) {
            self.desk.accusations.push(Accusation { at, whom, why });
        }
        if !self.desk.forgets {
            self.desk.events.push((at, event));
        }
    }
}

/// Whom an event accuses of what. That we connected to ourselves is nobody's fault, nor that who knows
/// a hybrid by one of its names was called by the other.
fn accusation(event: &Event) -> Option<(IpAddr, String)> {
    let of = |addr: &SocketAddr, why: String| Some((addr.ip(), why));
    match event {
        Event::Banned { addr, why } => of(addr, format!("banned: {why}")),
        Event::Closed { addr, why, .. } => match why {
            Why::Violation(Violation::OwnPeerId | Violation::WrongInfoHash { .. }) => None,
            Why::Violation(violation) => of(addr, violation.to_string()),
            Why::PeerClosed | Why::WeClosed | Why::Idle | Why::Stalled => None,
        },
        Event::Opened { .. }
        | Event::BlockArrived { .. }
        | Event::BlockWasted { .. }
        | Event::PieceVerified { .. }
        | Event::PieceFailed { .. }
        | Event::BlocksFailed { .. }
        | Event::Complete => None,
    }
}
