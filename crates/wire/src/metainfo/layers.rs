//! Piece layers (BEP 52): the piece hashes of version 2, checked against the roots of their files.

use std::collections::BTreeMap;

use skep_hash::{Sha256Digest, merkle};

use super::{
    File,
    error::{Field, MetainfoError},
};
use crate::bencode::Node;

/// Returns one hash a piece: the layer of each file longer than a piece, and the root of each other file.
/// `torrent` is the whole file, in which the layers lie beside `info`; `name` is the torrent's, and that of
/// the file that has no path.
///
/// The caller has seen that there are no more pieces than a torrent may have.
pub(super) fn read(
    torrent: &Node<'_>,
    name: &str,
    files: &[File],
    piece_len: u32,
) -> Result<Vec<Sha256Digest>, MetainfoError> {
    let mut layers = entries(torrent)?;
    let mut pieces = Vec::new();
    let mut needed = BTreeMap::new();
    for file in files {
        let Some(root) = file.root else { continue };
        if file.len <= u64::from(piece_len) {
            pieces.push(root);
            continue;
        }
        let path = match file.path.as_slice() {
            [] => name.to_owned(),
            path => path.join("/"),
        };
        let layer = match needed.get(&root.0) {
            // Files of the same content have one root and share its layer.
            Some(&layer) => layer,
            None => {
                layers
                    .remove(root.0.as_slice())
                    .ok_or_else(|| MetainfoError::LayerMissing {
                        path: path.clone(),
                        root,
                    })?
            }
        };
        let claim = Claim {
            path,
            root,
            pieces: file.len.div_ceil(piece_len.into()),
        };
        let hashes = check(layer, claim, piece_len)?;
        needed.insert(root.0, layer);
        pieces.extend(hashes);
    }
    match layers.into_keys().next() {
        Some(key) => Err(MetainfoError::LayerOfNoFile {
            key: key.iter().take(32).copied().collect(),
        }),
        None => Ok(pieces),
    }
}

/// The dictionary as it came, the first of duplicates.
fn entries<'n>(torrent: &'n Node<'_>) -> Result<BTreeMap<&'n [u8], &'n [u8]>, MetainfoError> {
    let field = Field::top("piece layers");
    let wrong = |expected| MetainfoError::WrongType { field, expected };
    let Some(node) = torrent.get("piece layers") else {
        return Ok(BTreeMap::new());
    };
    let mut entries = BTreeMap::new();
    for (key, layer) in node.as_dict().ok_or(wrong("a dictionary"))? {
        let layer = layer.as_bytes().ok_or(wrong("a dictionary of strings"))?;
        entries.entry(*key).or_insert(layer);
    }
    Ok(entries)
}

/// What a layer must hash to.
struct Claim {
    path: String,
    root: Sha256Digest,
    pieces: u64,
}

fn check(layer: &[u8], claim: Claim, piece_len: u32) -> Result<Vec<Sha256Digest>, MetainfoError> {
    let Claim { path, root, pieces } = claim;
    let (hashes, rest) = layer.as_chunks::<32>();
    if !rest.is_empty() || hashes.len() as u64 != pieces {
        let got = layer.len();
        return Err(MetainfoError::LayerLen { path, got, pieces });
    }
    let hashes: Vec<_> = hashes.iter().map(|&hash| Sha256Digest(hash)).collect();
    let piece_layer = (piece_len / merkle::BLOCK_LEN).trailing_zeros();
    let got = merkle::root_above(&hashes, piece_layer, pieces.next_power_of_two());
    if got != root {
        return Err(MetainfoError::LayerWrong { path, root });
    }
    Ok(hashes)
}
