//! Hashes of files' trees for peers that ask (BEP 52).
//!
//! ```text
//!   root
//!   layers above the pieces    from the torrent's piece layers
//!   ---- piece layer ----
//!   layers below               from the blocks themselves, which are read
//! ```

use std::collections::HashMap;

use skep_hash::{
    Sha256Digest, lanes,
    merkle::{self, Range, Shape},
};
use skep_wire::{Bitfield, PieceIndex, metainfo::Info, peer::HashRequest, piece::BLOCK_LEN};

use super::{DiskError, files::Files, judge};

/// The most blocks that are read for one answer: 32 MiB. Whoever wants more asks in parts.
pub const BLOCKS_READ_MAX: u32 = 2048;

/// How much is read at once for it, in bytes: memory that strangers make us take.
const READ_LEN: u32 = 512 * 1024;

/// The files of a torrent by the roots of their trees.
#[derive(Debug, Default)]
pub struct Trees {
    files: HashMap<Sha256Digest, usize>,
    /// The layers above the piece layer, lowest first, of the files that somebody asked for: in all no
    /// more hashes than the torrent has pieces and files. Without them 53 bytes would have us hash a whole
    /// piece layer, 80 ms of a core for two million pieces, as often as a peer likes.
    above: HashMap<usize, Vec<Vec<Sha256Digest>>>,
}

impl Trees {
    /// Those of a torrent; none in version 1 alone.
    pub fn of(info: &Info) -> Self {
        let files = info.files.iter().enumerate();
        Self {
            files: files
                .filter_map(|(n, file)| Some((file.root?, n)))
                .collect(),
            above: HashMap::new(),
        }
    }

    /// Answers a request: the hashes and then the uncles. `None` if there is no such file or stretch, or
    /// if it takes blocks that are not there, or more than [`BLOCKS_READ_MAX`].
    ///
    /// # Errors
    ///
    /// [`DiskError`] if a file cannot be read.
    pub fn answer(
        &mut self,
        info: &Info,
        have: &Bitfield,
        files: &mut Files,
        request: &HashRequest,
    ) -> Result<Option<Vec<Sha256Digest>>, DiskError> {
        let Some(&file) = self.files.get(&request.root) else {
            return Ok(None);
        };
        let range = Range {
            base_layer: request.base_layer,
            index: request.index,
            length: request.length,
            proof_layers: request.proof_layers,
        };
        let shape = Shape::of_len(info.files[file].len);
        if shape.check(&range).is_err() {
            return Ok(None);
        }
        // The whole layer that the torrent itself names, and how high it lies.
        let layer = info.file_layer(file);
        let piece_layer = (info.piece_len / BLOCK_LEN)
            .trailing_zeros()
            .min(shape.height());
        let above = self
            .above
            .entry(file)
            .or_insert_with(|| layers_above(layer, piece_layer, shape.height()));
        let upper = |at_layer: u32, n: u32| {
            let row = match at_layer.checked_sub(piece_layer + 1) {
                None => layer,
                Some(up) => above.get(up as usize).map_or(&[][..], Vec::as_slice),
            };
            at(row, n, at_layer)
        };
        if range.base_layer >= piece_layer {
            let wanted = range.index..range.index + range.length;
            let mut answer: Vec<_> = wanted.map(|n| upper(range.base_layer, n)).collect();
            let own_layers = range.length.trailing_zeros();
            for up in own_layers.max(1)..=range.proof_layers {
                answer.push(upper(range.base_layer + up, (range.index >> up) ^ 1));
            }
            return Ok(Some(answer));
        }
        let below = piece_layer - range.base_layer;
        let first = range.index >> below;
        let count = (range.length >> below).max(1);
        let blocks = u64::from(count) << piece_layer;
        if blocks > BLOCKS_READ_MAX.into() {
            return Ok(None);
        }
        let Some(leaves) = leaves(info, have, files, file, first, count)? else {
            return Ok(None);
        };
        let mut row = merkle::layer_above(&leaves, 0, range.base_layer);
        let (mut start, mut index, mut height) = (first << below, range.index, range.base_layer);
        let wanted = range.index..range.index + range.length;
        let mut answer: Vec<_> = wanted.map(|n| at(&row, n - start, height)).collect();
        let own_layers = range.length.trailing_zeros();
        for up in 1..=range.proof_layers {
            if height < piece_layer {
                row = merkle::layer_above(&row, height, 1);
                start /= 2;
            }
            height += 1;
            index /= 2;
            if up >= own_layers {
                answer.push(match height < piece_layer {
                    true => at(&row, (index ^ 1) - start, height),
                    false => upper(height, index ^ 1),
                });
            }
        }
        Ok(Some(answer))
    }
}

/// The hash at a place of a layer, of which `row` has those that cover the file.
fn at(row: &[Sha256Digest], n: u32, layer: u32) -> Sha256Digest {
    let hash = row.get(n as usize).copied();
    hash.unwrap_or_else(|| merkle::pad(layer))
}

/// The layers above `layer`, which is the `lowest`, up to the root's.
fn layers_above(layer: &[Sha256Digest], lowest: u32, root: u32) -> Vec<Vec<Sha256Digest>> {
    let mut all: Vec<Vec<Sha256Digest>> = Vec::new();
    for height in lowest..root {
        let below = all.last().map_or(layer, Vec::as_slice);
        all.push(merkle::layer_above(below, height, 1));
    }
    all
}

/// The leaves of `count` pieces of a file, from its piece `first` on, as far as the file goes. `None` if one
/// of them is not there.
fn leaves(
    info: &Info,
    have: &Bitfield,
    files: &mut Files,
    file: usize,
    first: u32,
    count: u32,
) -> Result<Option<Vec<Sha256Digest>>, DiskError> {
    let pieces = info.file_pieces(file);
    let wanted = pieces.start.saturating_add(first)..pieces.end;
    let mut leaves = Vec::new();
    let mut buf = Vec::new();
    for piece in wanted.take(count as usize).map(PieceIndex) {
        let Some(v2) = info.piece_v2(piece).filter(|_| have.has(piece)) else {
            return Ok(None);
        };
        let start = judge::start_of(info, piece);
        for offset in (0..v2.len).step_by(READ_LEN as usize) {
            buf.resize((v2.len - offset).min(READ_LEN) as usize, 0);
            if !files.read_at(start + u64::from(offset), &mut buf)? {
                return Ok(None);
            }
            leaves.extend(lanes::sha256_blocks(&buf, BLOCK_LEN as usize));
        }
    }
    Ok(Some(leaves))
}

#[cfg(test)]
mod tests {
    use skep_wire::metainfo::Version;

    use super::*;
    use crate::disk::judge::tests::{LENS, bytes_of, torrent, written};

    /// Every request that makes sense for each file, compared with the answer from all leaves.
    #[test]
    fn every_stretch_of_every_layer_is_answered_with_its_uncles() {
        for version in [Version::V2, Version::Hybrid] {
            let torrent = torrent(version);
            let info = &torrent.info;
            let dir = tempfile::tempdir().expect("temporary folder");
            let mut files = written(&torrent, dir.path());
            let mut trees = Trees::of(info);
            let have = Bitfield::full(info.piece_count());
            let mut answered = 0;
            for (n, &len) in LENS.iter().enumerate() {
                let Some(root) = info
                    .files
                    .iter()
                    .filter(|file| !file.padding)
                    .nth(n)
                    .and_then(|file| file.root)
                else {
                    continue;
                };
                let shape = Shape::of_len(len);
                let leaves: Vec<_> = bytes_of(n)
                    .chunks(BLOCK_LEN as usize)
                    .map(merkle::leaf)
                    .collect();
                for base_layer in 0..=shape.height() {
                    let layer = merkle::layer_above(&leaves, 0, base_layer);
                    for length in [1, 2, 4, 8, 16] {
                        for index in 0..20 {
                            for proof_layers in 0..6 {
                                let range = Range {
                                    base_layer,
                                    index,
                                    length,
                                    proof_layers,
                                };
                                let request = HashRequest {
                                    root,
                                    base_layer,
                                    index,
                                    length,
                                    proof_layers,
                                };
                                let got = trees
                                    .answer(info, &have, &mut files, &request)
                                    .expect("read");
                                assert_eq!(
                                    got,
                                    shape.answer(&range, &layer).ok(),
                                    "file {n}, {range:?}"
                                );
                                answered += usize::from(got.is_some());
                            }
                        }
                    }
                }
            }
            assert!(answered > 50, "{answered}");
            let kept = trees.above.values().flatten().map(Vec::len).sum::<usize>();
            let most = info.piece_count() as usize + LENS.len();
            assert!((1..=most).contains(&kept), "{kept} of {most}");
        }
    }

    #[test]
    fn blocks_that_are_not_there_and_files_of_others_are_not_answered_for() {
        let torrent = torrent(Version::V2);
        let info = &torrent.info;
        let dir = tempfile::tempdir().expect("temporary folder");
        let mut files = written(&torrent, dir.path());
        let mut trees = Trees::of(info);
        let root = info.files[0].root.expect("it has one");
        let mut have = Bitfield::full(info.piece_count());
        let request = HashRequest {
            root,
            base_layer: 0,
            index: 4,
            length: 4,
            proof_layers: 0,
        };
        let mut ask = |have: &Bitfield, request: &HashRequest| {
            trees.answer(info, have, &mut files, request).expect("read")
        };
        assert!(ask(&have, &request).is_some());
        have = Bitfield::empty(info.piece_count());
        have.insert(PieceIndex(0));
        assert_eq!(ask(&have, &request), None);
        assert!(
            ask(
                &have,
                &HashRequest {
                    index: 0,
                    ..request
                }
            )
            .is_some()
        );
        assert!(
            ask(
                &have,
                &HashRequest {
                    base_layer: 2,
                    index: 0,
                    length: 2,
                    ..request
                }
            )
            .is_some(),
            "the torrent names these"
        );
        assert_eq!(
            ask(
                &have,
                &HashRequest {
                    root: Sha256Digest([7; 32]),
                    index: 0,
                    ..request
                }
            ),
            None
        );
    }
}
