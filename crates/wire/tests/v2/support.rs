//! Content made into torrents of every version.

use skep_hash::{merkle, sha1};
use skep_wire::metainfo::{Attr, Draft, File, Info, Link, Version};

/// A file and its bytes.
#[derive(Clone)]
pub(crate) struct Piece {
    pub(crate) path: Vec<String>,
    pub(crate) bytes: Vec<u8>,
    pub(crate) attr: Attr,
}

/// A file at `path`, components between slashes; the torrent itself if it is empty.
pub(crate) fn file(path: &str, bytes: &[u8]) -> Piece {
    let names = path.split('/').filter(|name| !name.is_empty());
    Piece {
        path: names.map(str::to_owned).collect(),
        bytes: bytes.to_vec(),
        attr: Attr::default(),
    }
}

/// A link at `path`.
pub(crate) fn link(path: &str, target: &[&str]) -> Piece {
    let target = target.iter().map(|&name| name.to_owned()).collect();
    let mut piece = file(path, b"");
    piece.attr.link = Some(Link::To(target));
    piece
}

/// The torrent file of some content, in its order.
pub(crate) fn torrent(version: Version, piece_len: u32, name: &str, content: &[Piece]) -> Vec<u8> {
    draft(version, piece_len, name, content)
        .encode()
        .expect("the draft is sane")
}

/// The draft of some content: every hash made from the bytes, as plainly as can be.
pub(crate) fn draft(version: Version, piece_len: u32, name: &str, content: &[Piece]) -> Draft {
    let slots = u64::from(piece_len / merkle::BLOCK_LEN);
    let mut pieces_v2 = Vec::new();
    let mut files = Vec::new();
    for piece in content {
        let leaves: Vec<_> = piece.bytes.chunks(16_384).map(merkle::leaf).collect();
        let width = (leaves.len() as u64).next_power_of_two();
        let has_tree = version.has_v2() && !piece.bytes.is_empty();
        let root = has_tree.then(|| merkle::root(&leaves, width));
        if let Some(root) = root {
            if piece.bytes.len() <= piece_len as usize {
                pieces_v2.push(root);
            } else {
                let subtrees = leaves.chunks(slots as usize);
                pieces_v2.extend(subtrees.map(|leaves| merkle::root(leaves, slots)));
            }
        }
        files.push(File {
            path: piece.path.clone(),
            len: piece.bytes.len() as u64,
            offset: 0,
            padding: false,
            root,
            attr: piece.attr.clone(),
        });
    }
    let files = Info::lay(version, piece_len, files);
    let mut stream = Vec::new();
    for file in files.iter().filter(|_| version.has_v1()) {
        match content.iter().find(|piece| piece.path == file.path) {
            Some(piece) if !file.padding => stream.extend(&piece.bytes),
            _ => stream.resize(stream.len() + file.len as usize, 0),
        }
    }
    let info = Info {
        version,
        name: name.to_owned(),
        piece_len,
        pieces: stream.chunks(piece_len as usize).map(sha1).collect(),
        pieces_v2,
        size_bytes: files.last().map_or(0, |file| file.offset + file.len),
        single_file: content.len() == 1 && content[0].path.is_empty(),
        files,
        private: false,
        source: None,
    };
    Draft {
        info,
        tiers: Vec::new(),
        web_seeds: Vec::new(),
        comment: None,
        created_by: None,
        creation_date: None,
    }
}
