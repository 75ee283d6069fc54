//! Who is met in the tests.

use std::{net::SocketAddr, time::Duration};

use skep_proto::peer::{Event, PeerConfig, PeerConn, Transmit, Want};
use skep_wire::{
    Bitfield, Block, InfoHash, Moment, PeerId, PieceIndex,
    peer::{
        HANDSHAKE_LEN, Handshake, Message, Reserved,
        ext::{ExtHandshake, Pex, PexPeer, UT_PEX},
    },
    tracker::AnnounceReply,
};

use super::{Content, Says, Stranger};

/// An honest client with some pieces, which keeps the protocol by the peer machine itself.
pub struct Client {
    content: Content,
    peer_id: PeerId,
    /// The pieces that it has when the connection opens.
    have: Bitfield,
    listen_port: Option<u16>,
    upload_only: Option<bool>,
    /// What it sends in place of a block's bytes.
    forge: fn(Block, &[u8]) -> Vec<u8>,
    unchokes: bool,
    /// Pieces that it gains, and when after the opening.
    gains: Vec<(Duration, PieceIndex)>,
    pex: Vec<SocketAddr>,
    outgoing: bool,
    conn: Option<PeerConn>,
    input: Vec<u8>,
}

impl Client {
    /// A client that has everything and lets everybody fetch.
    pub fn seeder(content: &Content) -> Self {
        let have = Bitfield::full(content.piece_count());
        Self {
            content: content.clone(),
            peer_id: PeerId(*b"-XX0001-seederseeder"),
            have,
            listen_port: None,
            upload_only: None,
            forge: |_, bytes| bytes.to_vec(),
            unchokes: true,
            gains: vec![],
            pex: vec![],
            outgoing: false,
            conn: None,
            input: vec![],
        }
    }

    /// It has these pieces only.
    pub fn with_pieces(mut self, pieces: &[u32]) -> Self {
        self.have = Bitfield::empty(self.content.piece_count());
        for &piece in pieces {
            self.have.insert(PieceIndex(piece));
        }
        self
    }

    /// Its peer id is this one.
    pub fn named(mut self, peer_id: &[u8; 20]) -> Self {
        self.peer_id = PeerId(*peer_id);
        self
    }

    /// It lets nobody fetch.
    pub fn choking(mut self) -> Self {
        self.unchokes = false;
        self
    }

    /// It says that it only uploads.
    pub fn upload_only(mut self) -> Self {
        self.upload_only = Some(true);
        self
    }

    /// It says that it listens there.
    pub fn listening_at(mut self, port: u16) -> Self {
        self.listen_port = Some(port);
        self
    }

    /// It gains pieces: seconds after the opening, and which.
    pub fn gaining(mut self, gains: &[(u64, u32)]) -> Self {
        let gain = |&(secs, piece): &(u64, u32)| (Duration::from_secs(secs), PieceIndex(piece));
        self.gains = gains.iter().map(gain).collect();
        self
    }

    /// It tells of these peers by peer exchange.
    pub fn telling_of(mut self, peers: &[SocketAddr]) -> Self {
        self.pex = peers.to_vec();
        self
    }

    /// Sends other bytes than the content's.
    pub fn forging(mut self, forge: fn(Block, &[u8]) -> Vec<u8>) -> Self {
        self.forge = forge;
        self
    }

    /// It is the one who connects.
    pub fn calling(mut self) -> Self {
        self.outgoing = true;
        self
    }

    fn settle(&mut self, now: Moment) -> Vec<Says> {
        let mut out = Vec::new();
        let Some(conn) = &mut self.conn else {
            return vec![];
        };
        loop {
            while let Some(transmit) = conn.poll_transmit() {
                match transmit {
                    Transmit::Bytes(bytes) => out.extend(bytes),
                    Transmit::Block(block) => {
                        Message::Piece(block).encode(&mut out);
                        out.extend((self.forge)(block, self.content.block(block)));
                    }
                }
            }
            let Some(event) = conn.poll_event() else {
                break;
            };
            match event {
                Event::Opened { .. } if !self.pex.is_empty() => {
                    // Our extension handshake has said under which id it takes peer exchange: 1.
                    let added = self
                        .pex
                        .iter()
                        .map(|&addr| PexPeer { addr, flags: 0 })
                        .collect();
                    let payload = Pex {
                        added,
                        ..Pex::default()
                    }
                    .encode();
                    out.extend(
                        Message::Extended {
                            id: 1,
                            payload: &payload,
                        }
                        .to_bytes(),
                    );
                }
                Event::PeerInterested if self.unchokes => conn.set_peer_choked(false, now),
                Event::PeerRequested(block) => conn.send_block(block, now),
                _ => {}
            }
        }
        if out.is_empty() {
            vec![]
        } else {
            vec![Says::Bytes(out)]
        }
    }
}

impl Stranger for Client {
    fn opened(&mut self, now: Moment) -> Vec<Says> {
        let config = PeerConfig {
            info_hashes: self.content.target.info_hash.into(),
            info_hash: self.content.target.info_hash,
            peer_id: self.peer_id,
            reserved: Reserved::OURS,
            sizes: self.content.target.piece_sizes(),
            ext: Some(ExtHandshake {
                ids: vec![(UT_PEX.to_vec(), 3)],
                client: Some(b"Client 1.0".to_vec()),
                listen_port: self.listen_port,
                upload_only: self.upload_only,
                ..ExtHandshake::default()
            }),
            outgoing: self.outgoing,
            have: Some(self.have.clone()),
        };
        self.conn = Some(PeerConn::new(config, now));
        let mut said = self.settle(now);
        said.extend(self.gains.iter().map(|(after, _)| Says::Later(*after)));
        said
    }

    fn hears(&mut self, bytes: &[u8], now: Moment) -> Vec<Says> {
        self.input.extend(bytes);
        let mut said = Vec::new();
        loop {
            let Some(conn) = &mut self.conn else {
                return said;
            };
            let (used, want) = conn.handle_bytes(&self.input, now);
            self.input.drain(..used);
            said.extend(self.settle(now));
            if used == 0 || want != Want::Bytes {
                return said;
            }
        }
    }

    fn wakes(&mut self, now: Moment) -> Vec<Says> {
        if !self.gains.is_empty() {
            let (_, piece) = self.gains.remove(0);
            if let Some(conn) = &mut self.conn {
                conn.send_have(piece, now);
            }
        }
        self.settle(now)
    }
}

/// Says given bytes at given times after the opening (or after our handshake), whatever it hears.
pub struct Script {
    lines: Vec<(Duration, Vec<u8>)>,
    closes: bool,
    heard: usize,
    waits_for_handshake: bool,
}

impl Script {
    /// Milliseconds, and what is said then.
    pub fn new(lines: impl IntoIterator<Item = (u64, Vec<u8>)>) -> Self {
        let line = |(millis, bytes)| (Duration::from_millis(millis), bytes);
        let lines = lines.into_iter().map(line).collect();
        Self {
            lines,
            closes: false,
            heard: 0,
            waits_for_handshake: false,
        }
    }

    /// It closes after the last line.
    pub fn closing(mut self) -> Self {
        self.closes = true;
        self
    }

    /// The times count from our handshake.
    pub fn after_handshake(mut self) -> Self {
        self.waits_for_handshake = true;
        self
    }

    fn start(&self) -> Vec<Says> {
        self.lines
            .iter()
            .map(|(after, _)| Says::Later(*after))
            .collect()
    }
}

impl Stranger for Script {
    fn opened(&mut self, _now: Moment) -> Vec<Says> {
        if self.waits_for_handshake {
            vec![]
        } else {
            self.start()
        }
    }

    fn hears(&mut self, bytes: &[u8], _now: Moment) -> Vec<Says> {
        let before = self.heard;
        self.heard += bytes.len();
        let came = before < HANDSHAKE_LEN && self.heard >= HANDSHAKE_LEN;
        if self.waits_for_handshake && came {
            self.start()
        } else {
            vec![]
        }
    }

    fn wakes(&mut self, _now: Moment) -> Vec<Says> {
        if self.lines.is_empty() {
            return vec![];
        }
        let mut said = vec![Says::Bytes(self.lines.remove(0).1)];
        if self.lines.is_empty() && self.closes {
            said.push(Says::Close);
        }
        said
    }
}

/// Sends back what it gets.
pub struct Echo;

impl Stranger for Echo {
    fn hears(&mut self, bytes: &[u8], _now: Moment) -> Vec<Says> {
        vec![Says::Bytes(bytes.to_vec())]
    }
}

/// Accepts and says nothing.
pub struct Mute;

impl Stranger for Mute {}

/// A tracker over HTTP that names given peers.
pub struct HttpTracker {
    /// Whom it names.
    pub peers: Vec<SocketAddr>,
    /// Seconds until it wants to be asked again.
    pub interval_secs: u32,
    request: Vec<u8>,
}

impl HttpTracker {
    /// A tracker that names these peers.
    pub fn new(peers: &[SocketAddr]) -> Self {
        Self {
            peers: peers.to_vec(),
            interval_secs: 60,
            request: vec![],
        }
    }
}

impl Stranger for HttpTracker {
    fn hears(&mut self, bytes: &[u8], _now: Moment) -> Vec<Says> {
        self.request.extend(bytes);
        if !self.request.ends_with(b"\r\n\r\n") {
            return vec![];
        }
        use skep_wire::tracker::http as tracker;
        let reply = AnnounceReply {
            interval_secs: self.interval_secs,
            complete: Some(1),
            incomplete: Some(2),
            peers: self.peers.clone(),
            ..AnnounceReply::default()
        };
        let mut body = Vec::new();
        tracker::encode_announce(&mut body, &reply, tracker::PeerForm::Compact);
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        let out = [head.as_bytes(), &body].concat();
        vec![Says::Bytes(out), Says::Close]
    }
}

/// A handshake for a torrent, with the fast and extension protocols.
pub fn handshake(info_hash: InfoHash, peer_id: &[u8; 20]) -> Vec<u8> {
    let (reserved, peer_id) = (Reserved::OURS, PeerId(*peer_id));
    Handshake {
        reserved,
        info_hash,
        peer_id,
    }
    .encode()
    .to_vec()
}

/// Messages, one after the other.
pub fn messages(messages: &[Message<'_>]) -> Vec<u8> {
    messages.iter().flat_map(Message::to_bytes).collect()
}
