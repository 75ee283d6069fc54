//! Peers that break the rules, each in one way.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use skep_proto::{
    drain::{Inlet, Part, PeerWorld, Span, settle},
    peer::{Event, PeerConfig, PeerConn, Transmit},
    rng::Rng,
};
use skep_wire::{
    Bitfield, Block, Moment, PeerId, PieceIndex,
    peer::{HANDSHAKE_LEN, Handshake, Message, Reserved, piece_header},
};

use crate::{
    content::Content,
    net::{Chunk, Happening, HostId, Link, Net},
};

/// What a hostile peer does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Claims everything, unchokes, takes requests and delivers nothing.
    DeliversNothing,
    /// Claims everything and delivers garbage.
    Garbage,
    /// Claims everything and falsifies every fourth block.
    Poison,
    /// Begins a long message and sends a byte of it every ten seconds.
    SlowLoris,
    /// Says the same have over and over.
    HaveFlood,
    /// Says that it has a piece that the torrent does not have.
    WrongIndex,
    /// Sends blocks that nobody asked for.
    Unrequested,
    /// Announces a message of 4 GiB.
    TooLong,
    /// Sends our own bytes back.
    Echo,
    /// Answers as a web server does.
    Http,
    /// Accepts and says nothing.
    Silent,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 11] = [
        Self::DeliversNothing,
        Self::Garbage,
        Self::Poison,
        Self::SlowLoris,
        Self::HaveFlood,
        Self::WrongIndex,
        Self::Unrequested,
        Self::TooLong,
        Self::Echo,
        Self::Http,
        Self::Silent,
    ];

    /// Whether it keeps the protocol but lies in what it offers.
    fn speaks(self) -> bool {
        matches!(self, Self::DeliversNothing | Self::Garbage | Self::Poison)
    }
}

/// How many of the addresses that the tracker names a hostile peer dials.
const DIALS: usize = 10;

/// A hostile peer.
#[derive(Debug)]
pub struct Hostile {
    kind: Kind,
    host: HostId,
    content: Arc<Content>,
    peer_id: PeerId,
    sessions: BTreeMap<Link, Session>,
    served: u64,
}

#[derive(Debug)]
enum Session {
    Speaks { conn: Box<PeerConn>, inlet: Inlet },
    Raw { got: usize, said: bool },
}

impl Hostile {
    /// Makes a hostile peer.
    pub fn new(kind: Kind, content: &Arc<Content>, host: HostId, net: &mut Net) -> Self {
        let mut peer_id = PeerId(*b"-XX6666-000000000000");
        net.rng().fill(&mut peer_id.0[8..]);
        let content = Arc::clone(content);
        Self {
            kind,
            host,
            content,
            peer_id,
            sessions: BTreeMap::new(),
            served: 0,
        }
    }

    /// What it does.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// How many blocks it sent, good or bad.
    pub fn served(&self) -> u64 {
        self.served
    }

    /// Its host's number.
    pub fn host(&self) -> HostId {
        self.host
    }

    /// Deals with what happened to its host.
    pub fn handle(&mut self, what: Happening, net: &mut Net) {
        match what {
            Happening::Started => net.announce(self.host),
            Happening::Named { addrs } => {
                for addr in addrs.into_iter().take(DIALS) {
                    let link = net.connect(self.host, addr);
                    let session = self.session(true, net.now());
                    self.sessions.insert(link, session);
                }
                net.timer(self.host, net.now() + Duration::from_secs(10), 0);
            }
            Happening::Incoming { link, .. } => {
                let session = self.session(false, net.now());
                self.sessions.insert(link, session);
            }
            Happening::Connected { link } => self.hear(link, &[], net),
            Happening::Bytes { link, bytes } => self.hear(link, bytes.bytes(), net),
            Happening::ConnectFailed { link, .. } | Happening::Ended { link, .. } => {
                self.sessions.remove(&link);
                net.close(link);
            }
            Happening::Timer { .. } => self.tick(net),
            Happening::Left { .. } | Happening::Datagram { .. } => {}
        }
    }

    fn session(&self, outgoing: bool, now: Moment) -> Session {
        if !self.kind.speaks() {
            return Session::Raw {
                got: 0,
                said: false,
            };
        }
        let config = PeerConfig {
            info_hashes: self.content.info_hash().into(),
            info_hash: self.content.info_hash(),
            peer_id: self.peer_id,
            reserved: Reserved::OURS,
            sizes: self.content.sizes(),
            ext: None,
            outgoing,
            have: Some(Bitfield::full(self.content.piece_count())),
        };
        Session::Speaks {
            conn: Box::new(PeerConn::new(config, now)),
            inlet: Inlet::default(),
        }
    }

    fn hear(&mut self, link: Link, bytes: &[u8], net: &mut Net) {
        let Some(mut session) = self.sessions.remove(&link) else {
            return;
        };
        match &mut session {
            Session::Speaks { conn, inlet } => {
                let mut world = Lies {
                    kind: self.kind,
                    content: &self.content,
                    link,
                    net,
                    sent: 0,
                };
                let now = world.net.now();
                settle(conn, Span::default(), &mut world);
                inlet.feed(conn.as_mut(), bytes, now, &mut world);
                self.served += world.sent;
                if conn.is_closed() {
                    return net.close(link);
                }
            }
            Session::Raw { got, said } => {
                *got += bytes.len();
                if self.kind == Kind::Echo {
                    net.send(link, bytes.to_vec());
                } else if *got >= HANDSHAKE_LEN && !std::mem::replace(said, true) {
                    let attack = self.attack();
                    net.send(link, attack);
                }
            }
        }
        self.sessions.insert(link, session);
    }

    /// What a kind that does not speak the protocol says once it has heard a handshake.
    fn attack(&self) -> Vec<u8> {
        let handshake = Handshake {
            reserved: Reserved::default(),
            info_hash: self.content.info_hash(),
            peer_id: self.peer_id,
        };
        let mut out = handshake.encode().to_vec();
        match self.kind {
            Kind::SlowLoris => {
                Message::Unchoke.encode(&mut out);
                out.extend_from_slice(&[0, 0, 0x40, 0, 20]);
            }
            Kind::HaveFlood => {
                for _ in 0..3000 {
                    Message::Have(PieceIndex(0)).encode(&mut out);
                }
            }
            Kind::WrongIndex => {
                Message::Have(PieceIndex(self.content.piece_count())).encode(&mut out);
            }
            Kind::Unrequested => {
                let len = self.content.piece_size(PieceIndex(0)).min(1024);
                let block = Block {
                    piece: PieceIndex(0),
                    begin: 0,
                    len,
                };
                for _ in 0..40 {
                    out.extend_from_slice(&piece_header(block));
                    out.extend_from_slice(&vec![0; len as usize]);
                }
            }
            Kind::TooLong => out.extend_from_slice(&[0xff; 5]),
            Kind::Http => out = b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
            Kind::Silent => out.clear(),
            Kind::DeliversNothing | Kind::Garbage | Kind::Poison | Kind::Echo => {}
        }
        out
    }

    fn tick(&mut self, net: &mut Net) {
        for (&link, session) in &mut self.sessions {
            match session {
                Session::Raw { said: true, .. } if self.kind == Kind::SlowLoris => {
                    net.send(link, vec![0]);
                }
                Session::Raw { .. } | Session::Speaks { .. } => {}
            }
        }
        net.timer(self.host, net.now() + Duration::from_secs(10), 0);
    }
}

/// The world of a hostile peer that keeps the protocol.
struct Lies<'a> {
    kind: Kind,
    content: &'a Arc<Content>,
    link: Link,
    net: &'a mut Net,
    sent: u64,
}

impl PeerWorld for Lies<'_> {
    fn payload(&mut self, _part: Part<'_>) {}

    fn transmit(&mut self, what: Transmit) {
        match what {
            Transmit::Bytes(bytes) => self.net.send(self.link, bytes),
            Transmit::Block(block) => {
                self.sent += 1;
                self.net.send(self.link, piece_header(block).to_vec());
                let honest = self.kind == Kind::Poison && self.net.rng().below(4) > 0;
                let payload = if honest {
                    self.content.block(block)
                } else {
                    self.garbage(block)
                };
                self.net.send(self.link, payload);
            }
        }
    }

    fn event(&mut self, conn: &mut PeerConn, event: Event, _span: Span) {
        let now = self.net.now();
        match event {
            Event::PeerInterested => conn.set_peer_choked(false, now),
            Event::PeerRequested(block) if self.kind != Kind::DeliversNothing => {
                conn.send_block(block, now);
            }
            _ => {}
        }
    }
}

impl Lies<'_> {
    fn garbage(&mut self, block: Block) -> Chunk {
        let mut bytes = vec![0; block.len as usize];
        let mut rng = Rng::new(self.net.rng().next_u64());
        rng.fill(&mut bytes);
        bytes.into()
    }
}
