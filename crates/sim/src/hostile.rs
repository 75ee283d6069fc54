//! Peers that break the rules, each in one way.

mod lies;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use skep_proto::{
    drain::{Inlet, Span, settle},
    peer::{InfoHashes, PeerConfig, PeerConn},
};
use skep_wire::{
    Bitfield, Block, InfoHash, Moment, PeerId, PieceIndex,
    peer::{HANDSHAKE_LEN, Handshake, Message, Reserved, ext::ExtHandshake, piece_header},
};

pub use self::lies::HashLie;
use self::lies::Lies;
use crate::{
    content::Content,
    net::{Happening, HostId, Link, Net},
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
    /// Claims everything, unchokes and refuses every request.
    RefusesAll,
    /// Serves what is right, and falls silent at some byte while the stream stands.
    Stalls,
    /// Claims everything, takes pieces back and claims them again (BEP 54), and serves what is right.
    TakesBack,
    /// Chokes and unchokes every few seconds.
    Flaps,
    /// Names hundreds of addresses at which nobody is (BEP 11), and more each minute.
    NamesNobody,
    /// Asks for everything and does not read.
    NeverReads,
    /// Opens stream after stream and says nothing.
    Crowds,
    /// Asks for more hashes at once than anyone may.
    HashFlood,
    /// Asks for blocks' hashes all the time, as many at once as it may.
    HashPest,
    /// The same, and does not read.
    HashPestNeverReads,
    /// Asks for hashes that no tree can have.
    HashNonsense,
    /// Answers and refuses requests for hashes that nobody made.
    HashesUnasked,
    /// Serves what is right, and lies to who asks for hashes.
    HashLiar,
}

impl Kind {
    /// Those that every torrent of version 1 may meet.
    pub const PLAIN: [Self; 11] = [
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

    /// Those that keep more of the protocol.
    pub const SLY: [Self; 7] = [
        Self::RefusesAll,
        Self::Stalls,
        Self::TakesBack,
        Self::Flaps,
        Self::NamesNobody,
        Self::NeverReads,
        Self::Crowds,
    ];

    /// Those that speak of hashes (BEP 52); where version 2 was not agreed they are idle.
    pub const HASHES: [Self; 6] = [
        Self::HashFlood,
        Self::HashPest,
        Self::HashPestNeverReads,
        Self::HashNonsense,
        Self::HashesUnasked,
        Self::HashLiar,
    ];

    /// Whether it keeps the protocol but lies in what it offers or asks.
    fn speaks(self) -> bool {
        match self {
            Self::SlowLoris
            | Self::HaveFlood
            | Self::WrongIndex
            | Self::Unrequested
            | Self::TooLong
            | Self::Echo
            | Self::Http
            | Self::Silent
            | Self::Crowds => false,
            Self::DeliversNothing
            | Self::Garbage
            | Self::Poison
            | Self::RefusesAll
            | Self::Stalls
            | Self::TakesBack
            | Self::Flaps
            | Self::NamesNobody
            | Self::NeverReads
            | Self::HashFlood
            | Self::HashPest
            | Self::HashPestNeverReads
            | Self::HashNonsense
            | Self::HashesUnasked
            | Self::HashLiar => true,
        }
    }
}

/// How many of the addresses that the tracker names a hostile peer dials.
const DIALS: usize = 10;

/// How many streams one that crowds opens to each of them.
const CROWD: usize = 10;

/// Seconds between the times at which it does something of its own accord.
const TICK_SECS: u64 = 10;

/// A hostile peer.
#[derive(Debug)]
pub struct Hostile {
    kind: Kind,
    host: HostId,
    content: Arc<Content>,
    peer_id: PeerId,
    sessions: BTreeMap<Link, Session>,
    lie: HashLie,
    served: u64,
    asked: u64,
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
        let lie = *net.rng().choose(&HashLie::ALL).expect("there are some");
        Self {
            kind,
            host,
            content,
            peer_id,
            sessions: BTreeMap::new(),
            lie,
            served: 0,
            asked: 0,
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

    /// How it answers who asks it for hashes.
    pub fn lie(&self) -> HashLie {
        self.lie
    }

    /// How many requests for hashes it was sent.
    pub fn asked(&self) -> u64 {
        self.asked
    }

    /// Its host's number.
    pub fn host(&self) -> HostId {
        self.host
    }

    /// Deals with what happened to its host.
    pub fn handle(&mut self, what: Happening, net: &mut Net) {
        match what {
            Happening::Started => {
                self.announce(net);
                self.set_tick(net);
            }
            Happening::Named { swarm, addrs } => {
                let dials = if self.kind == Kind::Crowds { CROWD } else { 1 };
                let addrs = addrs.into_iter().take(DIALS);
                for addr in addrs.flat_map(|addr| std::iter::repeat_n(addr, dials)) {
                    let link = net.connect(self.host, addr);
                    let session = self.session(Some(swarm), net.now());
                    self.sessions.insert(link, session);
                }
            }
            Happening::Incoming { link, .. } => {
                let session = self.session(None, net.now());
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

    /// For a stream that it opened to a swarm, or that came in.
    fn session(&self, dialled: Option<InfoHash>, now: Moment) -> Session {
        if !self.kind.speaks() {
            return Session::Raw {
                got: 0,
                said: false,
            };
        }
        let names = self.content.names();
        let config = PeerConfig {
            info_hashes: names,
            info_hash: dialled.unwrap_or(names.first()),
            peer_id: self.peer_id,
            reserved: Reserved::OURS,
            sizes: self.content.sizes(InfoHashes::V1(names.first())),
            ext: Some(ExtHandshake::default()),
            outgoing: dialled.is_some(),
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
                    lie: self.lie,
                    content: &self.content,
                    link,
                    net,
                    sent: 0,
                    asked: 0,
                };
                let now = world.net.now();
                settle(conn, Span::default(), &mut world);
                inlet.feed(conn.as_mut(), bytes, now, &mut world);
                self.served += world.sent;
                self.asked += world.asked;
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
            Kind::Silent | Kind::Crowds => out.clear(),
            // They speak the protocol, or say nothing of their own.
            Kind::Echo
            | Kind::DeliversNothing
            | Kind::Garbage
            | Kind::Poison
            | Kind::RefusesAll
            | Kind::Stalls
            | Kind::TakesBack
            | Kind::Flaps
            | Kind::NamesNobody
            | Kind::NeverReads
            | Kind::HashFlood
            | Kind::HashPest
            | Kind::HashPestNeverReads
            | Kind::HashNonsense
            | Kind::HashesUnasked
            | Kind::HashLiar => {}
        }
        out
    }

    fn tick(&mut self, net: &mut Net) {
        for (&link, session) in &mut self.sessions {
            match session {
                Session::Raw { said: true, .. } if self.kind == Kind::SlowLoris => {
                    net.send(link, vec![0]);
                }
                Session::Raw { .. } => {}
                Session::Speaks { conn, .. } => {
                    let mut world = Lies {
                        kind: self.kind,
                        lie: self.lie,
                        content: &self.content,
                        link,
                        net,
                        sent: 0,
                        asked: 0,
                    };
                    world.tick(conn);
                    self.served += world.sent;
                    self.asked += world.asked;
                }
            }
        }
        if self.kind == Kind::Crowds {
            self.announce(net);
        }
        self.set_tick(net);
    }

    fn announce(&self, net: &mut Net) {
        let names = self.content.names();
        names.iter().for_each(|name| net.announce(self.host, name));
    }

    fn set_tick(&self, net: &mut Net) {
        net.timer(self.host, net.now() + Duration::from_secs(TICK_SECS), 0);
    }
}
