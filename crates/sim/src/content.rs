//! A torrent's content, made from a seed.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use skep_hash::sha1;
use skep_proto::rng::Rng;
use skep_wire::{
    Block, InfoHash, PieceIndex, PieceSizes,
    metainfo::{Attr, Draft, File, Info, Metainfo, Version},
};

use crate::net::Chunk;

/// Where the simulated tracker answers datagrams; torrents name it.
pub const TRACKER: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(10, 255, 0, 1)), 6969);

/// Bytes with their torrent.
#[derive(Debug, Clone)]
pub struct Content {
    /// The torrent.
    pub metainfo: Metainfo,
    /// Its file.
    pub torrent: Vec<u8>,
    bytes: Arc<[u8]>,
}

impl Content {
    /// Makes `len` bytes from a seed.
    ///
    /// # Panics
    ///
    /// If no torrent can have that many bytes in such pieces: this is for tests.
    pub fn new(seed: u64, len: usize, piece_len: u32) -> Arc<Self> {
        let mut rng = Rng::new(seed ^ 0x636f_6e74_656e_7421);
        let mut bytes = vec![0; len];
        rng.fill(&mut bytes);
        let size_bytes = len as u64;
        let info = Info {
            version: Version::V1,
            pieces_v2: Vec::new(),
            name: format!("content {seed}"),
            piece_len,
            pieces: bytes.chunks(piece_len as usize).map(sha1).collect(),
            files: vec![File {
                path: vec![],
                len: size_bytes,
                offset: 0,
                padding: false,
                root: None,
                attr: Attr::default(),
            }],
            single_file: true,
            private: false,
            source: None,
            size_bytes,
        };
        let draft = Draft {
            info,
            tiers: vec![vec![format!("udp://{TRACKER}/announce")]],
            web_seeds: vec![],
            comment: None,
            created_by: None,
            creation_date: None,
        };
        let torrent = draft.encode().expect("the draft is sane");
        let metainfo = Metainfo::from_bytes(&torrent).expect("it was just written");
        Arc::new(Self {
            metainfo,
            torrent,
            bytes: bytes.into(),
        })
    }

    /// The torrent's name in the protocol.
    pub fn info_hash(&self) -> InfoHash {
        self.metainfo.info_hash
    }

    /// Length of every piece but the last, in bytes.
    pub fn piece_len(&self) -> u32 {
        self.metainfo.info.piece_len
    }

    /// Length in bytes.
    pub fn size_bytes(&self) -> u64 {
        self.metainfo.info.size_bytes
    }

    /// How long the pieces are.
    pub fn sizes(&self) -> PieceSizes {
        self.metainfo.info.piece_sizes()
    }

    /// How many pieces there are.
    pub fn piece_count(&self) -> u32 {
        self.metainfo.info.piece_count()
    }

    /// Length of a piece in bytes.
    pub fn piece_size(&self, piece: PieceIndex) -> u32 {
        self.metainfo.info.piece_size(piece)
    }

    /// Whether these are the bytes of a piece.
    pub fn is_piece(&self, piece: PieceIndex, bytes: &[u8]) -> bool {
        self.metainfo.info.pieces.get(piece.0 as usize) == Some(&sha1(bytes))
    }

    /// The bytes of a block that lies in the content.
    pub fn block(&self, block: Block) -> Chunk {
        let start = block.piece.0 as usize * self.piece_len() as usize + block.begin as usize;
        Chunk::shared(&self.bytes, start..start + block.len as usize)
    }
}
