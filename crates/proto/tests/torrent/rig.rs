//! A torrent machine with the test around it. Its peers are addresses that say what the test has
//! them say; time passes when the test says so.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use skep_hash::{Sha256Digest, sha1};
use skep_proto::{
    drain::{Inlet, Part},
    peer::Transmit,
    torrent::{
        Action, BlockDigests, Event, PeerKey, Torrent, TorrentConfig, TorrentStream, TorrentWorld,
        Verdict, settle,
    },
};
use skep_wire::{
    Bitfield, Block, InfoHash, Moment, PeerId, PieceIndex, PieceSizes,
    peer::{
        HANDSHAKE_LEN, Handshake, HashRequest, Message, Reserved, decode, hashes::digests,
        piece_header,
    },
    piece::{BLOCK_LEN, blocks_of},
};

/// Pieces have two blocks.
pub(crate) const PIECE_LEN: u32 = 2 * BLOCK_LEN;
pub(crate) const HASH: InfoHash = InfoHash(*b"a torrent under test");
/// The torrent's name in version 2, where it has one.
pub(crate) const V2: InfoHash = InfoHash(*b"its name in SHA-256!");
pub(crate) const US: PeerId = PeerId(*b"-SK0001-mmmmmmmmmmmm");

pub(crate) struct Rig {
    pub(crate) torrent: Torrent,
    pub(crate) now: Moment,
    inlets: BTreeMap<PeerKey, Inlet>,
    pub(crate) desk: Desk,
}

/// What the machine wanted.
#[derive(Default)]
pub(crate) struct Desk {
    pub(crate) events: Vec<Event>,
    pub(crate) dialled: Vec<(PeerKey, SocketAddr)>,
    pub(crate) closed: Vec<PeerKey>,
    pub(crate) verify: Vec<(PieceIndex, bool)>,
    pub(crate) abandoned: Vec<PieceIndex>,
    pub(crate) refetched: Vec<(PieceIndex, Vec<Block>)>,
    pub(crate) hashes_wanted: Vec<(PeerKey, HashRequest)>,
    pub(crate) blocks_sent: Vec<(PeerKey, Block)>,
    sent: BTreeMap<PeerKey, Vec<u8>>,
    piece_lens: Vec<usize>,
    pub(crate) buffers: BTreeMap<PieceIndex, Vec<u8>>,
}

impl Desk {
    /// Everything said to a peer since the last call.
    pub(crate) fn bytes_sent(&mut self, peer: PeerKey) -> Vec<u8> {
        self.sent.remove(&peer).unwrap_or_default()
    }

    /// The peers to whom something was said that nobody has looked at.
    pub(crate) fn talked(&self) -> Vec<PeerKey> {
        self.sent.keys().copied().collect()
    }
}

impl TorrentWorld for Desk {
    fn payload(&mut self, part: Part<'_>) {
        let buffer = self
            .buffers
            .entry(part.block.piece)
            .or_insert_with(|| vec![0; self.piece_lens[part.block.piece.0 as usize]]);
        let start = (part.block.begin + part.offset) as usize;
        buffer[start..start + part.bytes.len()].copy_from_slice(part.bytes);
    }

    fn action(&mut self, _torrent: &mut Torrent, action: Action) {
        match action {
            Action::Connect { peer, addr } => self.dialled.push((peer, addr)),
            Action::Send {
                peer,
                what: Transmit::Bytes(bytes),
            } => {
                self.sent.entry(peer).or_default().extend(bytes);
            }
            Action::Send {
                peer,
                what: Transmit::Block(block),
            } => {
                self.blocks_sent.push((peer, block));
            }
            Action::Close { peer } => self.closed.push(peer),
            Action::Verify { piece, digests } => self.verify.push((piece, digests)),
            Action::Refetch { piece, blocks } => self.refetched.push((piece, blocks)),
            Action::HashesWanted { peer, request } => self.hashes_wanted.push((peer, request)),
            Action::Abandon { piece } => {
                self.buffers.remove(&piece);
                self.abandoned.push(piece);
            }
        }
    }

    fn event(&mut self, _torrent: &mut Torrent, event: Event) {
        self.events.push(event);
    }
}

pub(crate) fn config(pieces: u32) -> TorrentConfig {
    let size_bytes = u64::from(pieces) * u64::from(PIECE_LEN);
    TorrentConfig::new(HASH, US, PieceSizes::uniform(PIECE_LEN, size_bytes))
}

/// The n-th address.
pub(crate) fn addr(n: u16) -> SocketAddr {
    SocketAddr::from(([10, 0, (n >> 8) as u8, n as u8], 6881))
}

pub(crate) fn peer_id(n: u16) -> PeerId {
    let mut id = PeerId(*b"-XX0001-zzzzzzzzzz\0\0");
    id.0[18..].copy_from_slice(&n.to_be_bytes());
    id
}

pub(crate) fn handshake(peer_id: PeerId) -> Vec<u8> {
    Handshake {
        reserved: Reserved::OURS,
        info_hash: HASH,
        peer_id,
    }
    .encode()
    .to_vec()
}

pub(crate) fn set(pieces: u32, held: impl IntoIterator<Item = u32>) -> Bitfield {
    let mut set = Bitfield::empty(pieces);
    held.into_iter()
        .for_each(|piece| assert!(set.insert(PieceIndex(piece))));
    set
}

/// The n-th block of all.
pub(crate) fn block(n: u32) -> Block {
    Block {
        piece: PieceIndex(n / 2),
        begin: n % 2 * BLOCK_LEN,
        len: BLOCK_LEN,
    }
}

impl Rig {
    pub(crate) fn new(config: TorrentConfig) -> Self {
        let now = Moment::from_secs(1);
        let all = (0..config.sizes.count()).map(PieceIndex);
        let piece_lens = all.map(|piece| config.sizes.size(piece) as usize);
        let desk = Desk {
            piece_lens: piece_lens.collect(),
            ..Desk::default()
        };
        let torrent = Torrent::new(config, now);
        Self {
            torrent,
            now,
            inlets: BTreeMap::new(),
            desk,
        }
    }

    /// Peer `n` connects to us and says what it has.
    pub(crate) fn joins(&mut self, n: u16, pieces: &Bitfield) -> PeerKey {
        self.joins_from(addr(n), peer_id(n), pieces)
    }

    pub(crate) fn joins_from(
        &mut self,
        from: SocketAddr,
        id: PeerId,
        pieces: &Bitfield,
    ) -> PeerKey {
        let peer = self
            .torrent
            .handle_incoming(from, self.now)
            .expect("it is wanted");
        self.greets(peer, id, pieces);
        peer
    }

    /// Peer `n` connects to us by the name of version 2.
    pub(crate) fn joins_v2(&mut self, n: u16, pieces: &Bitfield) -> PeerKey {
        let peer = self.torrent.handle_incoming(addr(n), self.now);
        let peer = peer.expect("it is wanted");
        let hello = Handshake {
            reserved: Reserved::OURS,
            info_hash: V2,
            peer_id: peer_id(n),
        };
        self.inlets.insert(peer, Inlet::default());
        self.bytes(peer, &hello.encode());
        self.says(peer, &[Message::Bitfield(pieces.as_bytes())]);
        peer
    }

    pub(crate) fn greets(&mut self, peer: PeerKey, id: PeerId, pieces: &Bitfield) {
        self.inlets.insert(peer, Inlet::default());
        self.bytes(peer, &handshake(id));
        self.says(peer, &[Message::Bitfield(pieces.as_bytes())]);
    }

    /// The same, and it lets us fetch.
    pub(crate) fn joins_unchoking(&mut self, n: u16, pieces: &Bitfield) -> PeerKey {
        let peer = self.joins(n, pieces);
        self.says(peer, &[Message::Unchoke]);
        peer
    }

    pub(crate) fn bytes(&mut self, peer: PeerKey, bytes: &[u8]) {
        let mut inlet = self.inlets.remove(&peer).unwrap_or_default();
        let mut stream = TorrentStream {
            torrent: &mut self.torrent,
            peer,
        };
        inlet.feed(&mut stream, bytes, self.now, &mut self.desk);
        self.inlets.insert(peer, inlet);
        self.settle();
    }

    pub(crate) fn says(&mut self, peer: PeerKey, messages: &[Message<'_>]) {
        let bytes: Vec<u8> = messages.iter().flat_map(Message::to_bytes).collect();
        self.bytes(peer, &bytes);
    }

    /// The peer sends a block full of `fill`.
    pub(crate) fn delivers(&mut self, peer: PeerKey, block: Block, fill: u8) {
        self.delivers_bytes(peer, block, &vec![fill; block.len as usize]);
    }

    pub(crate) fn delivers_bytes(&mut self, peer: PeerKey, block: Block, bytes: &[u8]) {
        self.bytes(peer, &piece_header(block));
        self.bytes(peer, bytes);
    }

    pub(crate) fn ends(&mut self, peer: PeerKey) {
        self.torrent.handle_end(peer, self.now);
        self.settle();
    }

    pub(crate) fn settle(&mut self) {
        settle(&mut self.torrent, &mut self.desk);
    }

    /// Lets time pass.
    pub(crate) fn wait_ms(&mut self, ms: u64) {
        let until = self.now + Duration::from_millis(ms);
        while let Some((at, _)) = self.torrent.poll_timeout()
            && at <= until
        {
            self.now = self.now.max(at);
            self.torrent.handle_timeout(self.now);
            self.settle();
        }
        self.now = until;
    }

    pub(crate) fn wait(&mut self, secs: u64) {
        self.wait_ms(secs * 1000);
    }

    /// Everything said to a peer since the last call, without handshake and blocks.
    pub(crate) fn said(&mut self, peer: PeerKey) -> Vec<Said> {
        let bytes = self.desk.sent.remove(&peer).unwrap_or_default();
        let mut rest = match bytes.first() {
            Some(19) => &bytes[HANDSHAKE_LEN..],
            _ => &bytes[..],
        };
        let mut out = Vec::new();
        while let Some((prefix, body)) = rest.split_first_chunk::<4>() {
            let len = u32::from_be_bytes(*prefix);
            let message = decode(len, &body[..len as usize]).expect("we keep the protocol");
            out.push(Said::from(message));
            rest = &body[len as usize..];
        }
        out
    }

    /// The requests said since the last call; everything else that was said is passed over.
    pub(crate) fn asked(&mut self, peer: PeerKey) -> Vec<Block> {
        let said = self.said(peer).into_iter();
        said.filter_map(|said| {
            if let Said::Request(block) = said {
                Some(block)
            } else {
                None
            }
        })
        .collect()
    }

    /// Gives the verdict on every piece that is to be verified: good if it is all `fill`.
    pub(crate) fn judge(&mut self, fill: u8) {
        for (piece, digests) in std::mem::take(&mut self.desk.verify) {
            let bytes = self
                .desk
                .buffers
                .remove(&piece)
                .expect("a whole piece has a buffer");
            let blocks = bytes.chunks(BLOCK_LEN as usize).map(sha1).collect();
            let blocks = BlockDigests::Sha1(blocks);
            let verdict = match bytes.iter().all(|&byte| byte == fill) {
                true if digests => Verdict::Good { blocks },
                true => Verdict::Good {
                    blocks: BlockDigests::none(),
                },
                false => Verdict::Bad { blocks },
            };
            self.torrent.handle_verdict(piece, verdict, self.now);
            self.settle();
        }
    }

    /// The peer sends a whole piece, if it was asked for, and the verdict is given.
    pub(crate) fn delivers_piece(&mut self, peer: PeerKey, piece: PieceIndex, fill: u8) {
        for block in blocks_of(piece, PIECE_LEN) {
            self.delivers(peer, block, fill);
        }
        self.judge(fill);
    }

    pub(crate) fn is_closed(&self, peer: PeerKey) -> bool {
        self.desk.closed.contains(&peer)
    }
}

/// A message without borrows, as far as tests look at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Said {
    Choke,
    Unchoke,
    Interested,
    NotInterested,
    Have(PieceIndex),
    Request(Block),
    Cancel(Block),
    Reject(Block),
    Ext(Vec<u8>),
    AllowedFast(PieceIndex),
    HashRequest(HashRequest),
    Hashes(HashRequest, Vec<Sha256Digest>),
    HashReject(HashRequest),
    Set,
    Other,
}

impl From<Message<'_>> for Said {
    fn from(message: Message<'_>) -> Self {
        match message {
            Message::Choke => Self::Choke,
            Message::Unchoke => Self::Unchoke,
            Message::Interested => Self::Interested,
            Message::NotInterested => Self::NotInterested,
            Message::Have(piece) => Self::Have(piece),
            Message::Request(block) => Self::Request(block),
            Message::Cancel(block) => Self::Cancel(block),
            Message::RejectRequest(block) => Self::Reject(block),
            Message::Extended { payload, .. } => Self::Ext(payload.to_vec()),
            Message::AllowedFast(piece) => Self::AllowedFast(piece),
            Message::HashRequest(request) => Self::HashRequest(request),
            Message::Hashes { request, hashes } => Self::Hashes(request, digests(hashes).collect()),
            Message::HashReject(request) => Self::HashReject(request),
            Message::Bitfield(_) | Message::HaveAll | Message::HaveNone => Self::Set,
            _ => Self::Other,
        }
    }
}
