//! A torrent's content, made from a seed.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use skep_hash::{
    Sha256Digest, merkle,
    merkle::{Range, Shape},
    sha1,
};
use skep_proto::{
    peer::InfoHashes,
    rng::Rng,
    torrent::{PieceTree, PieceTrees},
};
use skep_wire::{
    Bitfield, Block, InfoHash, PieceIndex, PieceSizes,
    metainfo::{Attr, Draft, File, Info, Metainfo, Version},
    peer::HashRequest,
    piece::BLOCK_LEN,
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
    /// The hashes of each file's blocks.
    leaves: Vec<Vec<Sha256Digest>>,
}

impl Content {
    /// Makes a version 1 torrent of one file of `len` bytes from a seed.
    ///
    /// # Panics
    ///
    /// If no torrent can have that many bytes in such pieces: this is for tests.
    pub fn new(seed: u64, len: usize, piece_len: u32) -> Arc<Self> {
        Self::of_files(seed, Version::V1, &[len as u64], piece_len)
    }

    /// Makes a torrent of files of these lengths from a seed: of a single file without a folder.
    ///
    /// # Panics
    ///
    /// As [`Content::new`].
    pub fn of_files(seed: u64, version: Version, lens: &[u64], piece_len: u32) -> Arc<Self> {
        let single_file = lens.len() == 1;
        let files = lens.iter().enumerate().map(|(n, &len)| File {
            path: match single_file {
                true => vec![],
                false => vec![format!("file {n:03}")],
            },
            len,
            offset: 0,
            padding: false,
            root: None,
            attr: Attr::default(),
        });
        let mut files = Info::lay(version, piece_len, files.collect());
        let end = files.last().map_or(0, |file| file.offset + file.len);
        let extent = end.next_multiple_of(piece_len.into());
        let mut bytes = vec![0; extent as usize];
        let mut rng = Rng::new(seed ^ 0x636f_6e74_656e_7421);
        let mut pieces_v2 = Vec::new();
        for file in files.iter_mut().filter(|file| !file.padding) {
            let own = &mut bytes[file.offset as usize..(file.offset + file.len) as usize];
            rng.fill(own);
            if version.has_v2() && file.len > 0 {
                let leaves = leaves(own);
                let shape = Shape::of_len(file.len);
                let up = (piece_len / BLOCK_LEN).trailing_zeros();
                pieces_v2.extend(merkle::layer_above(&leaves, 0, up.min(shape.height())));
                file.root = Some(merkle::root(&leaves, shape.width(0)));
            }
        }
        let pieces = match version.has_v1() {
            true => bytes[..end as usize].chunks(piece_len as usize),
            false => [].chunks(1),
        };
        let info = Info {
            version,
            pieces_v2,
            name: format!("content {seed}"),
            piece_len,
            pieces: pieces.map(sha1).collect(),
            files,
            single_file,
            private: false,
            source: None,
            size_bytes: end,
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
        let files = metainfo.info.files.iter();
        let ends = files.map(|file| (file.offset as usize, (file.offset + file.len) as usize));
        let leaves = ends
            .map(|(start, end)| leaves(&bytes[start..end]))
            .collect();
        Arc::new(Self {
            metainfo,
            torrent,
            bytes: bytes.into(),
            leaves,
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

    /// Every name of the torrent.
    pub fn names(&self) -> InfoHashes {
        let v1 = self.metainfo.info_hash;
        match self.metainfo.info_hash_v2.map(|hash| hash.truncated()) {
            Some(v2) if self.metainfo.info.version.has_v1() => InfoHashes::Hybrid { v1, v2 },
            Some(v2) => InfoHashes::V2(v2),
            None => InfoHashes::V1(v1),
        }
    }

    /// How long the pieces are for who knows the torrent by these names: in version 2 they end with
    /// their files, and a hybrid's padding need not be fetched.
    pub fn sizes(&self, names: InfoHashes) -> PieceSizes {
        let info = &self.metainfo.info;
        match names.v2() {
            Some(_) => info.payload_sizes(),
            None => PieceSizes::uniform(info.piece_len, info.size_bytes),
        }
    }

    /// How many pieces there are.
    pub fn piece_count(&self) -> u32 {
        self.metainfo.info.piece_count()
    }

    /// The piece space: the files, and zeroes where there are gaps and padding.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Length of a piece in bytes.
    pub fn piece_size(&self, piece: PieceIndex) -> u32 {
        self.metainfo.info.piece_size(piece)
    }

    /// Whether these bytes have the hashes of a piece, of each version of which there is a name: what
    /// a driver finds out. They are as many as [`Content::sizes`] says.
    pub fn is_piece(&self, names: InfoHashes, piece: PieceIndex, bytes: &[u8]) -> bool {
        let info = &self.metainfo.info;
        let v1 = names.v1().is_none() || {
            let mut padded = bytes.to_vec();
            padded.resize(info.piece_size(piece) as usize, 0);
            info.pieces.get(piece.0 as usize) == Some(&sha1(&padded))
        };
        let v2 = names.v2().is_none() || {
            let v2 = info.piece_v2(piece);
            v2.is_some_and(|v2| merkle::root(&leaves(bytes), v2.width.into()) == v2.root)
        };
        v1 && v2
    }

    /// Whether the piece begins with these bytes, whatever any hash says.
    pub fn begins_with(&self, piece: PieceIndex, bytes: &[u8]) -> bool {
        let start = piece.0 as usize * self.piece_len() as usize;
        self.bytes[start..].starts_with(bytes)
    }

    /// Answers a request for hashes as a driver does that has the pieces `have`; `None` is a refusal.
    pub fn hashes(&self, have: &Bitfield, request: &HashRequest) -> Option<Vec<Sha256Digest>> {
        let info = &self.metainfo.info;
        let of_root = |file: &File| file.root == Some(request.root);
        let n = info.files.iter().position(of_root)?;
        let file = &info.files[n];
        let range = Range {
            base_layer: request.base_layer,
            index: request.index,
            length: request.length,
            proof_layers: request.proof_layers,
        };
        let shape = Shape::of_len(file.len);
        shape.check(&range).ok()?;
        let up = (info.piece_len / BLOCK_LEN).trailing_zeros();
        if let Some(below) = up.min(shape.height()).checked_sub(range.base_layer)
            && below > 0
        {
            let pieces = info.file_pieces(n);
            let first = pieces.start + (range.index >> below);
            let last = pieces.start + ((range.index + range.length - 1) >> below);
            let mut needed = (first..=last.min(pieces.end - 1)).map(PieceIndex);
            if !needed.all(|piece| have.has(piece)) {
                return None;
            }
        }
        let base = merkle::layer_above(&self.leaves[n], 0, range.base_layer);
        shape.answer(&range, &base).ok()
    }

    /// The bytes of a block that lies in the content or in the gap after a file.
    pub fn block(&self, block: Block) -> Chunk {
        let start = block.piece.0 as usize * self.piece_len() as usize + block.begin as usize;
        Chunk::shared(&self.bytes, start..start + block.len as usize)
    }
}

impl PieceTrees for Content {
    fn piece_tree(&self, piece: PieceIndex) -> Option<PieceTree> {
        self.metainfo.piece_tree(piece)
    }
}

fn leaves(bytes: &[u8]) -> Vec<Sha256Digest> {
    bytes.chunks(BLOCK_LEN as usize).map(merkle::leaf).collect()
}
