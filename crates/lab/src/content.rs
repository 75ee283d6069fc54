//! What the swarm shares: content that a seed decides, and a torrent file for it.
//!
//! The torrent file is written by code of its own, twenty lines of bencode, so that the laboratory
//! does not check the project's encoder with itself.

use skep_hash::{Sha1Digest, sha1, sha256};
use skep_wire::InfoHash;

/// A work: content, pieces and info-hash.
#[derive(Debug)]
pub struct Work {
    /// Name in the torrent, and of the file.
    pub name: String,
    /// The content.
    pub bytes: Vec<u8>,
    /// Length of every piece but the last.
    pub piece_len: u32,
    /// One digest a piece.
    pub pieces: Vec<Sha1Digest>,
    /// SHA-1 of the info dictionary.
    pub info_hash: InfoHash,
    info: Vec<u8>,
}

impl Work {
    /// Makes the content that `seed` decides: SHA-256 of seed and counter, over and over.
    pub fn generate(name: &str, seed: u64, size: usize, piece_len: u32) -> Self {
        let mut bytes = Vec::with_capacity(size + 32);
        let mut counter = 0u64;
        while bytes.len() < size {
            let mut block = seed.to_be_bytes().to_vec();
            block.extend(counter.to_be_bytes());
            bytes.extend(sha256(&block).0);
            counter += 1;
        }
        bytes.truncate(size);
        let pieces: Vec<_> = bytes.chunks(piece_len as usize).map(sha1).collect();
        let info = info_dict(name, size, piece_len, &pieces);
        let info_hash = InfoHash(sha1(&info).0);
        Self {
            name: name.to_owned(),
            bytes,
            piece_len,
            pieces,
            info_hash,
            info,
        }
    }

    /// How many pieces there are.
    pub fn piece_count(&self) -> u32 {
        u32::try_from(self.pieces.len()).expect("a generated work is small")
    }

    /// The bytes of a block; `None` outside the content.
    pub fn block(&self, piece: u32, begin: u32, len: u32) -> Option<&[u8]> {
        let from = usize::try_from(piece)
            .ok()?
            .checked_mul(self.piece_len as usize)?;
        let from = from.checked_add(begin as usize)?;
        self.bytes.get(from..from.checked_add(len as usize)?)
    }

    /// The torrent file, with one tier a tracker.
    pub fn torrent(&self, trackers: &[String]) -> Vec<u8> {
        let mut out = b"d".to_vec();
        if let Some(first) = trackers.first() {
            out.extend(b"8:announce");
            string(&mut out, first.as_bytes());
            out.extend(b"13:announce-listl");
            for tracker in trackers {
                out.push(b'l');
                string(&mut out, tracker.as_bytes());
                out.push(b'e');
            }
            out.push(b'e');
        }
        out.extend(b"4:info");
        out.extend(&self.info);
        out.push(b'e');
        out
    }
}

fn info_dict(name: &str, size: usize, piece_len: u32, pieces: &[Sha1Digest]) -> Vec<u8> {
    let mut out = format!("d6:lengthi{size}e4:name").into_bytes();
    string(&mut out, name.as_bytes());
    out.extend(format!("12:piece lengthi{piece_len}e6:pieces").bytes());
    string(
        &mut out,
        &pieces
            .iter()
            .flat_map(|digest| digest.0)
            .collect::<Vec<_>>(),
    );
    out.push(b'e');
    out
}

fn string(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend(format!("{}:", bytes.len()).bytes());
    out.extend(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seed_decides_content_and_info_hash() {
        let a = Work::generate("work.bin", 7, 100_000, 16_384);
        let b = Work::generate("work.bin", 7, 100_000, 16_384);
        let c = Work::generate("work.bin", 8, 100_000, 16_384);
        assert_eq!((a.bytes.len(), a.piece_count()), (100_000, 7));
        assert_eq!(a.info_hash, b.info_hash);
        assert_ne!(a.info_hash, c.info_hash);
        assert_eq!(
            a.block(6, 0, 100_000 - 6 * 16_384).map(sha1),
            Some(a.pieces[6])
        );
        assert_eq!(a.block(6, 0, 16_384), None);
        assert_eq!(a.block(u32::MAX, u32::MAX, u32::MAX), None);
    }

    #[test]
    fn the_torrent_names_its_trackers_and_holds_the_info_dictionary() {
        let work = Work::generate("w", 1, 10, 16_384);
        let torrent = work.torrent(&["http://127.0.0.1:1/announce".to_owned()]);
        let text = torrent.escape_ascii().to_string();
        assert!(text.starts_with(
            "d8:announce27:http://127.0.0.1:1/announce\
             13:announce-listll27:http://127.0.0.1:1/announceee\
             4:infod6:lengthi10e4:name1:w12:piece lengthi16384e6:pieces20:"
        ));
        assert!(text.ends_with("ee"));
    }
}
