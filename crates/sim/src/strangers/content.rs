//! A torrent and its bytes, as many as a test wants.

use skep_hash::{sha1, sha256};
use skep_observe::Target;
use skep_wire::{
    Block,
    metainfo::{Attr, Draft, File, Info, Metainfo, Version},
};

/// What is shared in the tests.
#[derive(Debug, Clone)]
pub struct Content {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// The torrent file.
    pub torrent: Vec<u8>,
    /// What an observer is told of it.
    pub target: Target,
}

impl Content {
    /// Content of `size` bytes in pieces of `piece_len`, announced to `trackers`.
    ///
    /// # Panics
    ///
    /// If no torrent can have that many bytes in such pieces: this is for tests.
    pub fn new(size: usize, piece_len: u32, trackers: &[&str]) -> Self {
        let bytes = (0..size).map(|n| (n / 7 + n * n / 11) as u8).collect();
        Self::of(bytes, piece_len, trackers)
    }

    /// Content that is `bytes`, in pieces of `piece_len`, announced to `trackers`.
    ///
    /// # Panics
    ///
    /// If no torrent can have that many bytes in such pieces.
    pub fn of(bytes: Vec<u8>, piece_len: u32, trackers: &[&str]) -> Self {
        let size = bytes.len();
        let info = Info {
            version: Version::V1,
            pieces_v2: Vec::new(),
            name: "content".into(),
            piece_len,
            pieces: bytes.chunks(piece_len as usize).map(sha1).collect(),
            files: vec![File {
                path: vec![],
                len: size as u64,
                offset: 0,
                padding: false,
                root: None,
                attr: Attr::default(),
            }],
            single_file: true,
            private: false,
            source: None,
            size_bytes: size as u64,
        };
        let draft = Draft {
            info,
            tiers: trackers.iter().map(|url| vec![(*url).to_owned()]).collect(),
            web_seeds: vec![],
            comment: None,
            created_by: None,
            creation_date: None,
        };
        let torrent = draft.encode().expect("the draft is sane");
        let metainfo = Metainfo::from_bytes(&torrent).expect("it was just written");
        Self {
            bytes,
            target: Target {
                place: 0,
                torrent: sha256(&torrent),
                info_hash: metainfo.info_hash,
                metainfo,
            },
            torrent,
        }
    }

    /// The content of [`crate::content::Content::of_files`] from a seed, once for each of its swarms: of a
    /// hybrid for that of version 1 and then for that of version 2.
    ///
    /// # Panics
    ///
    /// As [`Content::new`].
    pub fn of_files(seed: u64, version: Version, lens: &[u64], piece_len: u32) -> Vec<Self> {
        let made = crate::content::Content::of_files(seed, version, lens, piece_len);
        let targets = Target::all(0, sha256(&made.torrent), &made.metainfo);
        let content = |target| Self {
            bytes: made.bytes().to_vec(),
            torrent: made.torrent.clone(),
            target,
        };
        targets.into_iter().map(content).collect()
    }

    /// Ten pieces of 32 KiB, the last one short.
    pub fn small(trackers: &[&str]) -> Self {
        Self::new(9 * 32_768 + 20_000, 32_768, trackers)
    }

    /// How many pieces there are.
    pub fn piece_count(&self) -> u32 {
        self.target.metainfo.info.piece_count()
    }

    /// The bytes of a block that lies in the content.
    pub fn block(&self, block: Block) -> &[u8] {
        let piece_len = self.target.metainfo.info.piece_len;
        let from = block.piece.0 as usize * piece_len as usize + block.begin as usize;
        &self.bytes[from..from + block.len as usize]
    }
}
