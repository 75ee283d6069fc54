//! Whether the bytes of a piece are what the torrent says: by SHA-1 of the piece (BEP 3), by the root of
//! its part of its file's tree (BEP 52), or by both.
//!
//! Bytes may come in any order and in parts. A SHA-1 needs them in order, so what comes before its turn is
//! read again from the file when the piece is judged; the leaves of a tree need no order.

use skep_hash::{
    Sha1, Sha1Digest, Sha256Digest,
    lanes::{self, Stream},
    merkle,
};
use skep_wire::{
    PieceIndex,
    metainfo::{Info, PieceV2},
    piece::BLOCK_LEN,
};

use super::{
    DiskError,
    files::{CALL_BYTES_MAX, Files},
    system::FileSystem,
};

/// What the hashes say of a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    /// It has every hash that the torrent names for it.
    Good,
    /// It has none of them.
    Bad,
    /// A hybrid's two hashes contradict each other: no bytes can have both.
    Torn {
        /// Whether it is the SHA-1 of version 1 that the piece has, rather than its root in version 2.
        has_v1: bool,
    },
}

/// What the bytes of a piece hash to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Digests {
    /// The SHA-1 of the piece, where there is a version 1.
    pub v1: Option<Sha1Digest>,
    /// The root of its part of its file's tree, where there is a version 2.
    pub v2: Option<Sha256Digest>,
}

/// The hashes of a piece as far as its bytes have come.
#[derive(Default)]
pub(super) struct Hashing {
    sha1: Stream<Sha1>,
    /// How many bytes, from the first on, are in `sha1`.
    hashed: u32,
    /// The leaves of the piece's blocks, as far as they are known.
    leaves: Vec<Option<Sha256Digest>>,
}

/// A stretch of a piece that is there, or some blocks of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stretch<'a> {
    pub(super) piece: PieceIndex,
    /// Offset of the first byte in the piece, a multiple of a block.
    pub(super) begin: u32,
    pub(super) bytes: &'a [u8],
    /// One bit for each block that is there.
    pub(super) there: u16,
}

impl Stretch<'_> {
    pub(super) fn is_whole(&self) -> bool {
        let blocks = self.bytes.len().div_ceil(BLOCK_LEN as usize) as u32;
        self.there.trailing_ones() >= blocks
    }
}

/// Hashes stretches of several pieces at once. `hashing` has, and keeps, the state of each piece; of the
/// stretches of one piece, the earlier ones come first.
pub(super) fn hash_in_step(info: &Info, hashing: &mut impl Pieces, stretches: &[Stretch<'_>]) {
    if info.version.has_v1() {
        let mut left: Vec<&Stretch<'_>> = stretches.iter().filter(|one| one.is_whole()).collect();
        while !left.is_empty() {
            let mut round: Vec<(PieceIndex, Stream<Sha1>, &[u8])> = Vec::new();
            left.retain(|one| {
                let state = hashing.piece(one.piece);
                let is_next = state.hashed == one.begin;
                if is_next && !round.iter().any(|(piece, ..)| *piece == one.piece) {
                    state.hashed += one.bytes.len() as u32;
                    round.push((one.piece, std::mem::take(&mut state.sha1), one.bytes));
                    return false;
                }
                true
            });
            if round.is_empty() {
                break;
            }
            let mut parts: Vec<_> = round
                .iter_mut()
                .map(|(_, stream, bytes)| (stream, *bytes))
                .collect();
            lanes::update_each(&mut parts);
            for (piece, stream, _) in round {
                hashing.piece(piece).sha1 = stream;
            }
        }
    }
    if info.version.has_v2() {
        let mut places = Vec::new();
        let mut blocks = Vec::new();
        for one in stretches {
            let Some(v2) = info.piece_v2(one.piece) else {
                continue;
            };
            for (n, block) in one.bytes.chunks(BLOCK_LEN as usize).enumerate() {
                let begin = one.begin + n as u32 * BLOCK_LEN;
                // Padding is no part of the file's tree.
                let len = v2.len.saturating_sub(begin).min(block.len() as u32);
                if one.there & (1 << n) != 0 && len > 0 {
                    places.push((one.piece, begin / BLOCK_LEN, v2));
                    blocks.push(&block[..len as usize]);
                }
            }
        }
        for ((piece, number, v2), leaf) in places.into_iter().zip(lanes::sha256_each(&blocks)) {
            let leaves = hashing.piece(piece).leaves_of(v2);
            leaves[number as usize] = Some(leaf);
        }
    }
}

/// The states of pieces, made when they are first asked for.
pub(super) trait Pieces {
    fn piece(&mut self, piece: PieceIndex) -> &mut Hashing;
}

impl Pieces for std::collections::HashMap<PieceIndex, Hashing> {
    fn piece(&mut self, piece: PieceIndex) -> &mut Hashing {
        self.entry(piece).or_default()
    }
}

impl Hashing {
    fn leaves_of(&mut self, piece: PieceV2) -> &mut Vec<Option<Sha256Digest>> {
        if self.leaves.is_empty() {
            self.leaves = vec![None; piece.len.div_ceil(BLOCK_LEN) as usize];
        }
        &mut self.leaves
    }

    /// Compares the hashes of a piece all of which is in the files; what was not hashed as it came is read.
    pub(super) fn judge(
        &mut self,
        info: &Info,
        piece: PieceIndex,
        files: &mut Files<impl FileSystem>,
    ) -> Result<Finding, DiskError> {
        let got = self.digests(info, piece, files)?;
        let v1 = got
            .v1
            .map(|got| info.pieces.get(piece.0 as usize) == Some(&got));
        let v2 = got
            .v2
            .map(|got| info.pieces_v2.get(piece.0 as usize) == Some(&got));
        Ok(match (v1, v2) {
            (Some(has_v1), Some(has_v2)) if has_v1 != has_v2 => Finding::Torn { has_v1 },
            (Some(true), _) | (None, Some(true)) => Finding::Good,
            (Some(false), _) | (None, Some(false) | None) => Finding::Bad,
        })
    }

    /// The hashes of a piece all of which is in the files: those that the torrent's version has.
    pub(super) fn digests(
        &mut self,
        info: &Info,
        piece: PieceIndex,
        files: &mut Files<impl FileSystem>,
    ) -> Result<Digests, DiskError> {
        let v1 = if info.version.has_v1() {
            self.read_for_sha1(info, piece, files)?;
            Some(self.sha1.clone().finish())
        } else {
            None
        };
        let v2 = match info.piece_v2(piece) {
            Some(shape) => {
                self.read_for_leaves(info, piece, shape, files)?;
                let leaves: Vec<_> = self
                    .leaves
                    .iter()
                    .map(|leaf| leaf.unwrap_or_default())
                    .collect();
                Some(merkle::root(&leaves, shape.width.into()))
            }
            None => None,
        };
        Ok(Digests { v1, v2 })
    }

    /// The leaves of a piece that was judged; `None` where there is no version 2.
    pub(super) fn leaves(&self) -> Option<Vec<Sha256Digest>> {
        let all: Option<Vec<_>> = self.leaves.iter().copied().collect();
        all.filter(|leaves| !leaves.is_empty())
    }

    fn read_for_sha1(
        &mut self,
        info: &Info,
        piece: PieceIndex,
        files: &mut Files<impl FileSystem>,
    ) -> Result<(), DiskError> {
        let (size, start) = (info.piece_size(piece), start_of(info, piece));
        let mut buf = vec![0; CALL_BYTES_MAX.min((size - self.hashed) as usize)];
        while self.hashed < size {
            let part = buf.len().min((size - self.hashed) as usize);
            let part = &mut buf[..part];
            read(files, start + u64::from(self.hashed), part)?;
            self.sha1.update(part);
            self.hashed += part.len() as u32;
        }
        Ok(())
    }

    fn read_for_leaves(
        &mut self,
        info: &Info,
        piece: PieceIndex,
        v2: PieceV2,
        files: &mut Files<impl FileSystem>,
    ) -> Result<(), DiskError> {
        let start = start_of(info, piece);
        let mut buf = [0; BLOCK_LEN as usize];
        for (leaf, begin) in self
            .leaves_of(v2)
            .iter_mut()
            .zip((0..).step_by(BLOCK_LEN as usize))
        {
            if leaf.is_none() {
                let part = &mut buf[..BLOCK_LEN.min(v2.len - begin) as usize];
                read(files, start + u64::from(begin), part)?;
                *leaf = Some(merkle::leaf(part));
            }
        }
        Ok(())
    }
}

/// Where a piece begins in the piece space.
pub(super) fn start_of(info: &Info, piece: PieceIndex) -> u64 {
    u64::from(piece.0) * u64::from(info.piece_len)
}

/// Reads what should be there. What is not has no hash that fits, so zeroes do.
pub(super) fn read(
    files: &mut Files<impl FileSystem>,
    offset: u64,
    part: &mut [u8],
) -> Result<(), DiskError> {
    if !files.read_at(offset, part)? {
        part.fill(0);
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use std::{collections::HashMap, sync::Arc};

    use skep_hash::sha1;
    use skep_wire::metainfo::{Attr, Draft, File, Metainfo, Version};

    use super::*;
    use crate::{
        disk::{
            check::{self, Watch},
            files::Access,
            layout::Layout,
        },
        session::Place,
    };

    pub(in crate::disk) const PIECE_LEN: u32 = 4 * BLOCK_LEN;

    /// Three files that need pieces of every kind: some whole ones and a short one, one block and a bit,
    /// a few bytes.
    pub(in crate::disk) const LENS: [u64; 4] =
        [2 * PIECE_LEN as u64 + 20_000, 0, BLOCK_LEN as u64 + 1, 77];

    pub(in crate::disk) fn bytes_of(file: usize) -> Vec<u8> {
        (0..LENS[file])
            .map(|n| (n * 31 / 7 + file as u64 * 5) as u8)
            .collect()
    }

    pub(in crate::disk) fn torrent(version: Version) -> Metainfo {
        torrent_of(version, PIECE_LEN, &[0, 1, 2, 3].map(bytes_of))
    }

    /// A torrent of files named by their numbers.
    pub(in crate::disk) fn torrent_of(
        version: Version,
        piece_len: u32,
        contents: &[Vec<u8>],
    ) -> Metainfo {
        let file = |n: usize| {
            let leaves: Vec<_> = contents[n]
                .chunks(BLOCK_LEN as usize)
                .map(merkle::leaf)
                .collect();
            let width = leaves.len().next_power_of_two() as u64;
            File {
                path: vec![format!("{n}")],
                len: contents[n].len() as u64,
                offset: 0,
                padding: false,
                root: (!contents[n].is_empty() && version.has_v2())
                    .then(|| merkle::root(&leaves, width)),
                attr: Attr::default(),
            }
        };
        let files = Info::lay(version, piece_len, (0..contents.len()).map(file).collect());
        let last = files.last().expect("there are some");
        let mut space = vec![0; (last.offset + last.len) as usize];
        let mut pieces_v2 = Vec::new();
        for (n, file) in files.iter().filter(|file| !file.padding).enumerate() {
            space[file.offset as usize..][..file.len as usize].copy_from_slice(&contents[n]);
            for piece in contents[n].chunks(piece_len as usize) {
                let leaves: Vec<_> = piece.chunks(BLOCK_LEN as usize).map(merkle::leaf).collect();
                let is_whole_file = file.len <= piece_len.into();
                let width = if is_whole_file {
                    leaves.len().next_power_of_two()
                } else {
                    (piece_len / BLOCK_LEN) as usize
                };
                pieces_v2.push(merkle::root(&leaves, width as u64));
            }
        }
        let info = Info {
            version,
            name: "t".into(),
            piece_len,
            pieces: match version.has_v1() {
                true => space.chunks(piece_len as usize).map(sha1).collect(),
                false => Vec::new(),
            },
            pieces_v2: if version.has_v2() {
                pieces_v2
            } else {
                Vec::new()
            },
            files,
            single_file: false,
            private: false,
            source: None,
            size_bytes: space.len() as u64,
        };
        let draft = Draft {
            info,
            tiers: Vec::new(),
            web_seeds: Vec::new(),
            comment: None,
            created_by: None,
            creation_date: None,
        };
        Metainfo::from_bytes(&draft.encode().expect("encoded")).expect("a torrent")
    }

    const VERSIONS: [Version; 3] = [Version::V1, Version::V2, Version::Hybrid];

    /// The files of the torrent in a folder, whole.
    pub(in crate::disk) fn written(torrent: &Metainfo, dir: &std::path::Path) -> Files {
        for n in 0..LENS.len() {
            std::fs::create_dir_all(dir.join("t")).expect("created");
            std::fs::write(dir.join(format!("t/{n}")), bytes_of(n)).expect("written");
        }
        let layout = Arc::new(Layout::of(&torrent.info));
        Files::new(layout, &Place::Under(dir.to_owned()), "t", Access::Write)
    }

    fn there(files: &Files, info: &Info) -> Vec<u32> {
        let found = check::pieces_there(files, info, None, &Watch::default()).expect("checked");
        assert_eq!(found.torn, None);
        found.there.iter().map(|piece| piece.0).collect()
    }

    #[test]
    fn what_is_right_is_good_in_every_version_and_a_wrong_byte_makes_its_piece_bad() {
        for version in VERSIONS {
            let torrent = torrent(version);
            let info = &torrent.info;
            let dir = tempfile::tempdir().expect("temporary folder");
            let files = written(&torrent, dir.path());
            let all: Vec<u32> = (0..info.piece_count()).collect();
            assert_eq!(there(&files, info), all, "{version:?}");

            for (file, at) in [(0, 3), (0, PIECE_LEN + BLOCK_LEN), (2, BLOCK_LEN), (3, 76)] {
                let mut bytes = bytes_of(file);
                bytes[at as usize] ^= 1;
                let path = dir.path().join(format!("t/{file}"));
                std::fs::write(&path, bytes).expect("written");
                let number = info
                    .files
                    .iter()
                    .position(|f| f.path == [format!("{file}")]);
                let start = info.files[number.expect("there")].offset;
                let wrong = ((start + u64::from(at)) / u64::from(PIECE_LEN)) as u32;
                let right: Vec<u32> = all
                    .iter()
                    .copied()
                    .filter(|&piece| piece != wrong)
                    .collect();
                assert_eq!(
                    there(&files, info),
                    right,
                    "{version:?}, file {file} at {at}"
                );
                std::fs::write(&path, bytes_of(file)).expect("written");
            }
        }
    }

    #[test]
    fn a_missing_or_short_file_lacks_its_pieces_only() {
        let torrent = torrent(Version::V2);
        let dir = tempfile::tempdir().expect("temporary folder");
        let files = written(&torrent, dir.path());
        std::fs::remove_file(dir.path().join("t/3")).expect("removed");
        std::fs::write(
            dir.path().join("t/0"),
            &bytes_of(0)[..2 * PIECE_LEN as usize + 1],
        )
        .expect("cut");
        assert_eq!(there(&files, &torrent.info), [0, 1, 3]);
    }

    /// The parts of each piece in every order and size: the finding is the same.
    #[test]
    fn the_order_in_which_bytes_come_changes_nothing() {
        for version in VERSIONS {
            let torrent = torrent(version);
            let info = &torrent.info;
            let dir = tempfile::tempdir().expect("temporary folder");
            let mut files = written(&torrent, dir.path());
            for (masks, backwards) in [
                (vec![0xf], false),
                (vec![0b0101, 0b1010], false),
                (vec![0b1000, 0b0111], true),
            ] {
                let mut hashing: HashMap<PieceIndex, Hashing> = HashMap::new();
                let mut order: Vec<u32> = (0..info.piece_count()).collect();
                if backwards {
                    order.reverse();
                }
                for mask in masks {
                    let spaces: Vec<(PieceIndex, Vec<u8>)> = order
                        .iter()
                        .map(|&piece| {
                            let piece = PieceIndex(piece);
                            let mut bytes = vec![0; info.piece_size(piece) as usize];
                            assert!(
                                files
                                    .read_at(start_of(info, piece), &mut bytes)
                                    .expect("read")
                            );
                            (piece, bytes)
                        })
                        .collect();
                    let stretches: Vec<_> = spaces
                        .iter()
                        .map(|(piece, bytes)| Stretch {
                            piece: *piece,
                            begin: 0,
                            bytes,
                            there: mask,
                        })
                        .collect();
                    hash_in_step(info, &mut hashing, &stretches);
                }
                for piece in (0..info.piece_count()).map(PieceIndex) {
                    let found = hashing
                        .piece(piece)
                        .judge(info, piece, &mut files)
                        .expect("read");
                    assert_eq!(found, Finding::Good, "{version:?}, piece {}", piece.0);
                }
            }
        }
    }

    #[test]
    fn a_hybrid_that_contradicts_itself_is_torn_whichever_part_the_bytes_have() {
        let mut torrent = torrent(Version::Hybrid);
        let dir = tempfile::tempdir().expect("temporary folder");
        let files = written(&torrent, dir.path());
        torrent.info.pieces[1].0[0] ^= 1;
        let torn = |info: &Info| {
            check::pieces_there(&files, info, None, &Watch::default())
                .expect("checked")
                .torn
        };
        assert_eq!(torn(&torrent.info), Some((PieceIndex(1), false)));
        torrent.info.pieces[1].0[0] ^= 1;
        torrent.info.pieces_v2[3].0[0] ^= 1;
        assert_eq!(torn(&torrent.info), Some((PieceIndex(3), true)));
    }
}
