//! What hostile peers that keep the protocol say and serve.

use std::{net::SocketAddr, sync::Arc};

use skep_hash::Sha256Digest;
use skep_proto::{
    drain::{Part, PeerWorld, Span, settle},
    peer::{Event, HASH_REQUESTS_IN_MAX, HASHES_UNASKED_MAX, PeerConn, Transmit},
    rng::Rng,
};
use skep_wire::{
    Bitfield, Block, PieceIndex,
    peer::{
        HashRequest, Message,
        ext::{Pex, PexPeer},
        piece_header,
    },
};

use super::Kind;
use crate::{
    content::Content,
    net::{Chunk, Link, Net},
};

/// How a hostile peer answers who asks it for hashes (BEP 52).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum HashLie {
    /// It tells the truth, of bytes that it falsified too.
    Truth,
    /// Every hash is another.
    AllWrong,
    /// One hash is another.
    OneWrong,
    /// The hashes are right, and the last uncle, or without any the last hash, is another.
    LastWrong,
    /// One hash is missing.
    TooFew,
    /// It refuses.
    Refuses,
    /// It does not answer.
    Silent,
}

impl HashLie {
    /// Every way.
    pub const ALL: [Self; 7] = [
        Self::Truth,
        Self::AllWrong,
        Self::OneWrong,
        Self::LastWrong,
        Self::TooFew,
        Self::Refuses,
        Self::Silent,
    ];
}

/// How many addresses a message of peer exchange names.
const NAMED: u32 = 200;

/// The id under which the torrent machine wants peer exchange: the first that it names.
const PEX_ID: u8 = 1;

/// The world of a hostile peer that keeps the protocol.
pub(super) struct Lies<'a> {
    pub(super) kind: Kind,
    pub(super) lie: HashLie,
    pub(super) content: &'a Arc<Content>,
    pub(super) link: Link,
    pub(super) net: &'a mut Net,
    pub(super) sent: u64,
    pub(super) asked: u64,
}

impl PeerWorld for Lies<'_> {
    fn payload(&mut self, _part: Part<'_>) {}

    fn transmit(&mut self, what: Transmit) {
        match what {
            Transmit::Bytes(bytes) => self.net.send(self.link, bytes),
            Transmit::Block(block) => {
                self.sent += 1;
                self.net.send(self.link, piece_header(block).to_vec());
                let payload = if self.falsifies() {
                    self.garbage(block)
                } else {
                    self.content.block(block)
                };
                self.net.send(self.link, payload);
            }
        }
    }

    fn event(&mut self, conn: &mut PeerConn, event: Event, _span: Span) {
        let now = self.net.now();
        match event {
            Event::Opened { .. } => self.begin(conn),
            Event::PeerInterested => conn.set_peer_choked(false, now),
            Event::PeerRequested(_) if self.kind == Kind::DeliversNothing => {}
            Event::PeerRequested(block) if self.kind == Kind::RefusesAll => conn.reject(block, now),
            Event::PeerRequested(block) => conn.send_block(block, now),
            Event::PeerWantsHashes(request) => self.answer(conn, request),
            Event::Hashes { .. } | Event::HashesRefused(_) => self.pester(conn),
            Event::Extended(_) => self.take_back(conn),
            _ => {}
        }
    }
}

impl Lies<'_> {
    /// The connection stands.
    fn begin(&mut self, conn: &mut PeerConn) {
        let now = self.net.now();
        match self.kind {
            Kind::Stalls => {
                let most = 1 << self.net.rng().below(21);
                let bytes = self.net.rng().below(most);
                self.net.stall(self.link, bytes);
            }
            Kind::NamesNobody => self.name(),
            Kind::NeverReads => {
                conn.set_interested(true, now);
                self.net.stop_reading(self.link);
                for piece in (0..self.content.piece_count()).map(PieceIndex) {
                    let len = self.content.piece_size(piece).min(1024);
                    let block = Block {
                        piece,
                        begin: 0,
                        len,
                    };
                    self.say(&Message::Request(block));
                }
            }
            Kind::HashFlood if conn.v2_agreed() => {
                for _ in 0..2 * HASH_REQUESTS_IN_MAX {
                    if let Some(request) = self.any_request() {
                        self.say(&Message::HashRequest(request));
                    }
                }
            }
            Kind::HashPestNeverReads if conn.v2_agreed() => {
                self.net.stop_reading(self.link);
                for _ in 0..HASH_REQUESTS_IN_MAX {
                    if let Some(request) = self.any_request() {
                        self.say(&Message::HashRequest(request));
                    }
                }
            }
            Kind::HashPest => self.pester(conn),
            Kind::HashNonsense if conn.v2_agreed() => self.talk_nonsense(),
            Kind::HashesUnasked if conn.v2_agreed() => {
                let count = self.net.rng().below(2 * u64::from(HASHES_UNASKED_MAX));
                for n in 0..count {
                    let Some(request) = self.any_request() else {
                        return;
                    };
                    let hashes = &vec![7; 32 * request.hash_count().min(600) as usize];
                    match n % 2 {
                        0 => self.say(&Message::Hashes { request, hashes }),
                        _ => self.say(&Message::HashReject(request)),
                    }
                }
            }
            // They speak when spoken to, or in `tick`.
            Kind::DeliversNothing
            | Kind::Garbage
            | Kind::Poison
            | Kind::RefusesAll
            | Kind::TakesBack
            | Kind::Flaps
            | Kind::HashFlood
            | Kind::HashPestNeverReads
            | Kind::HashNonsense
            | Kind::HashesUnasked
            | Kind::HashLiar => {}
            // They speak no protocol.
            Kind::SlowLoris
            | Kind::HaveFlood
            | Kind::WrongIndex
            | Kind::Unrequested
            | Kind::TooLong
            | Kind::Echo
            | Kind::Http
            | Kind::Silent
            | Kind::Crowds => {}
        }
    }

    /// Some seconds have passed.
    pub(super) fn tick(&mut self, conn: &mut PeerConn) {
        if !conn.is_open() {
            return;
        }
        let now = self.net.now();
        if self.kind == Kind::Flaps {
            conn.set_peer_choked(!conn.we_choke_peer(), now);
        } else if self.kind == Kind::NamesNobody {
            self.name();
        } else if self.kind == Kind::HashNonsense && conn.v2_agreed() {
            self.talk_nonsense();
        }
        self.take_back(conn);
        self.pester(conn);
        settle(conn, Span::default(), self);
    }

    fn falsifies(&mut self) -> bool {
        let poisons = self.kind == Kind::Poison && self.net.rng().below(4) == 0;
        self.kind == Kind::Garbage || poisons
    }

    fn say(&mut self, message: &Message<'_>) {
        self.net.send(self.link, message.to_bytes());
    }

    /// Claims again what it took back, and takes another piece back.
    fn take_back(&mut self, conn: &mut PeerConn) {
        if self.kind == Kind::TakesBack {
            let count = u64::from(self.content.piece_count());
            let (back, gone) = (self.net.rng().below(count), self.net.rng().below(count));
            let now = self.net.now();
            conn.send_have(PieceIndex(back as u32), now);
            conn.send_dont_have(PieceIndex(gone as u32), now);
        }
    }

    fn name(&mut self) {
        let addrs = (0..NAMED).map(|_| {
            let ip = 0x0b00_0000 + self.net.rng().below(1 << 24) as u32;
            SocketAddr::from((std::net::Ipv4Addr::from(ip), 6881))
        });
        let added = addrs.map(|addr| PexPeer { addr, flags: 0 }).collect();
        let pex = Pex {
            added,
            ..Pex::default()
        };
        let payload = &pex.encode();
        self.say(&Message::Extended {
            id: PEX_ID,
            payload,
        });
    }

    /// Keeps a few requests for hashes of blocks outstanding.
    fn pester(&mut self, conn: &mut PeerConn) {
        let now = self.net.now();
        if self.kind == Kind::HashPest {
            while let Some(request) = self.any_request()
                && conn.request_hashes(request, now)
            {}
        }
    }

    /// A request that makes sense: as likely for blocks' hashes as for the others.
    fn any_request(&mut self) -> Option<HashRequest> {
        let files = &self.content.metainfo.info.files;
        let roots: Vec<_> = files
            .iter()
            .filter_map(|file| Some((file.root?, skep_hash::merkle::Shape::of_len(file.len))))
            .filter(|(_, shape)| shape.height() > 0)
            .collect();
        let rng = self.net.rng();
        let (root, shape) = *rng.choose(&roots)?;
        let base_layer = match rng.below(2) {
            0 => 0,
            _ => rng.below(u64::from(shape.height())) as u32,
        };
        let width = shape.width(base_layer);
        let length = (2 << rng.below(6)).min(width) as u32;
        let index = rng.below(width / u64::from(length)) as u32 * length;
        let proof_layers = rng.below(u64::from(shape.height() - base_layer)) as u32;
        Some(HashRequest {
            root,
            base_layer,
            index,
            length,
            proof_layers,
        })
    }

    fn talk_nonsense(&mut self) {
        let Some(sane) = self.any_request() else {
            return;
        };
        let insane = [
            HashRequest { length: 3, ..sane },
            HashRequest { length: 0, ..sane },
            HashRequest {
                index: 1,
                length: 2,
                ..sane
            },
            HashRequest {
                base_layer: u32::MAX,
                proof_layers: u32::MAX,
                ..sane
            },
            HashRequest {
                root: Sha256Digest([9; 32]),
                ..sane
            },
            HashRequest {
                index: 0x8000_0000,
                length: 8192,
                ..sane
            },
        ];
        for request in insane {
            self.say(&Message::HashRequest(request));
        }
    }

    fn answer(&mut self, conn: &mut PeerConn, request: HashRequest) {
        self.asked += 1;
        let now = self.net.now();
        let have = Bitfield::full(self.content.piece_count());
        let Some(mut hashes) = self.content.hashes(&have, &request) else {
            return conn.reject_hashes(request, now);
        };
        let lies = matches!(self.kind, Kind::Poison | Kind::Garbage | Kind::HashLiar);
        let lie = if lies { self.lie } else { HashLie::Truth };
        let spoil = |hash: Option<&mut Sha256Digest>| {
            if let Some(hash) = hash {
                hash.0[31] ^= 1;
            }
        };
        match lie {
            HashLie::Truth => {}
            HashLie::AllWrong => hashes.iter_mut().for_each(|hash| spoil(Some(hash))),
            HashLie::OneWrong => {
                let at = self.net.rng().below(u64::from(request.length));
                spoil(hashes.get_mut(at as usize));
            }
            HashLie::LastWrong => spoil(hashes.last_mut()),
            HashLie::TooFew => hashes.truncate(hashes.len() - 1),
            HashLie::Refuses => return conn.reject_hashes(request, now),
            HashLie::Silent => return,
        }
        conn.send_hashes(request, &hashes, now);
    }

    fn garbage(&mut self, block: Block) -> Chunk {
        let mut bytes = vec![0; block.len as usize];
        let mut rng = Rng::new(self.net.rng().next_u64());
        rng.fill(&mut bytes);
        bytes.into()
    }
}
