//! An honest peer: the torrent machine with a virtual disk.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use skep_hash::{Sha1Digest, sha1};
use skep_proto::{
    drain::{Inlet, Part},
    peer::Transmit,
    torrent::{
        Action, Event, PeerKey, Source, Torrent, TorrentConfig, TorrentStream, TorrentWorld,
        Verdict, settle,
    },
};
use skep_wire::{
    Bitfield, Block, Moment, PeerId, PieceIndex, peer::piece_header, piece::BLOCK_LEN,
};

use crate::{
    content::Content,
    net::{Happening, HostId, Link, Net},
};

/// Seconds between announces to the tracker.
const ANNOUNCE_SECS: u64 = 30;

const TICK: u64 = u64::MAX;
const ANNOUNCE: u64 = u64::MAX - 1;

/// An honest peer.
#[derive(Debug)]
pub struct Honest {
    torrent: Torrent,
    desk: Desk,
    config: TorrentConfig,
}

/// All that surrounds the machine.
#[derive(Debug)]
struct Desk {
    content: Arc<Content>,
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
    events: Vec<(Moment, Event)>,
}

/// The desk with the network at hand.
struct Hands<'a> {
    desk: &'a mut Desk,
    net: &'a mut Net,
}

impl Honest {
    /// Makes a peer that has `have`. It begins when its host is started.
    pub fn new(
        content: &Arc<Content>,
        have: Bitfield,
        host: HostId,
        net: &mut Net,
        tune: impl FnOnce(&mut TorrentConfig),
    ) -> Self {
        let mut peer_id = PeerId(*b"-SK0001-000000000000");
        net.rng().fill(&mut peer_id.0[8..]);
        let mut config = TorrentConfig::new(content.info_hash(), peer_id, content.sizes());
        config.have = have.clone();
        config.listen_port = Some(net.addr(host).port());
        config.seed = net.rng().next_u64();
        config.peers_max = 20;
        tune(&mut config);
        let desk = Desk {
            content: Arc::clone(content),
            host,
            links: BTreeMap::new(),
            keys: BTreeMap::new(),
            inlets: BTreeMap::new(),
            outboxes: BTreeMap::new(),
            buffers: BTreeMap::new(),
            digests: BTreeMap::new(),
            disk: have,
            events: Vec::new(),
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

    /// Everything that the machine said, with its time.
    pub fn events(&self) -> &[(Moment, Event)] {
        &self.desk.events
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
                self.set_tick(net);
            }
            Happening::Timer { tag: ANNOUNCE } => self.announce(net),
            Happening::Timer { tag } => self.verify(PieceIndex(tag as u32), net),
            Happening::Named { addrs } => {
                self.torrent.handle_candidates(Source::Tracker, &addrs, now);
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
        self.set_tick(net);
        self.announce(net);
    }

    fn announce(&self, net: &mut Net) {
        let host = self.desk.host;
        net.announce(host);
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
        let good = self.desk.content.is_piece(piece, &bytes);
        let digests = |on: bool| -> Vec<Sha1Digest> {
            if on {
                bytes.chunks(BLOCK_LEN as usize).map(sha1).collect()
            } else {
                Vec::new()
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

impl Hands<'_> {
    fn flush(&mut self) {
        for (peer, bytes) in std::mem::take(&mut self.desk.outboxes) {
            if let Some(&link) = self.desk.links.get(&peer) {
                self.net.send(link, bytes);
            }
        }
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
        let size = self.desk.content.piece_size(part.block.piece) as usize;
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
                self.desk
                    .outboxes
                    .entry(peer)
                    .or_default()
                    .extend_from_slice(&bytes);
            }
            Action::Send {
                peer,
                what: Transmit::Block(block),
            } => self.send_block(peer, block),
            Action::Close { peer } => {
                if let Some(link) = self.desk.links.get(&peer).copied() {
                    if let Some(bytes) = self.desk.outboxes.remove(&peer) {
                        self.net.send(link, bytes);
                    }
                    self.net.close(link);
                    self.desk.links.remove(&peer);
                    self.desk.keys.remove(&link);
                    self.desk.inlets.remove(&peer);
                }
            }
            Action::Verify { piece, digests } => {
                self.desk.digests.insert(piece, digests);
                let takes = Duration::from_micros(100 + self.net.rng().below(20_000));
                self.net
                    .timer(self.desk.host, self.net.now() + takes, u64::from(piece.0));
            }
            Action::HashesWanted { peer, request } => {
                torrent.handle_hashes(peer, request, None, self.net.now());
            }
            Action::Abandon { piece } => {
                self.desk.buffers.remove(&piece);
            }
        }
    }

    fn event(&mut self, _torrent: &mut Torrent, event: Event) {
        self.desk.events.push((self.net.now(), event));
    }
}
