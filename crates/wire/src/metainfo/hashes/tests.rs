use skep_hash::sha256;

use super::*;

/// The tree of three blocks, the last one short, in a piece of four.
fn piece(bytes: &[u8]) -> PieceV2 {
    let leaves: Vec<_> = bytes.chunks(16_384).map(sha256).collect();
    PieceV2 {
        file: 0,
        len: bytes.len() as u32,
        root: merkle::root(&leaves, 4),
        width: 4,
    }
}

fn content() -> Vec<u8> {
    (0..40_000u32).map(|n| (n * 7 % 251) as u8).collect()
}

#[test]
fn bytes_have_the_digests_of_the_kinds_that_the_torrent_has() {
    let bytes = content();
    let (v1, v2) = (sha1(&bytes), piece(&bytes));
    let (of_v1, of_v2) = (PieceHashes::from(v1), PieceHashes::from(v2));
    let (sha1, root) = (Some(v1), Some(v2.root));
    assert_eq!(of_v1.digests(), PieceDigests { sha1, root: None });
    assert_eq!(of_v2.digests(), PieceDigests { sha1: None, root });
    for hashes in [of_v1, of_v2] {
        assert_eq!(hashes.hash(&bytes), hashes.digests());
        for at in [0, 16_384, 39_999] {
            let mut other = bytes.clone();
            other[at] ^= 1;
            assert_ne!(hashes.hash(&other), hashes.digests(), "byte {at}");
        }
    }
}

/// Fewer bytes, or more than the piece has, are another tree; zeroes at the end too.
#[test]
fn a_tree_is_of_exactly_the_bytes_of_its_piece() {
    let bytes = content();
    let hashes = PieceHashes::from(piece(&bytes));
    for len in [
        0, 1, 16_384, 32_768, 39_999, 40_001, 49_152, 65_536, 65_537, 200_000,
    ] {
        let mut other = bytes.clone();
        other.resize(len, 0);
        assert_ne!(hashes.hash(&other), hashes.digests(), "{len} bytes");
    }
}

/// In a hybrid the SHA-1 is of the padding too, of which the tree knows nothing: each finds what is its own.
#[test]
fn padding_counts_for_version_1_alone() {
    let bytes = content();
    let mut padded = bytes.clone();
    padded.resize(65_536, 0);
    let hashes = PieceHashes {
        v1: Some(sha1(&padded)),
        v2: Some(piece(&bytes)),
    };
    assert_eq!(hashes.hash(&padded), hashes.digests());
    padded[50_000] = 1;
    let got = hashes.hash(&padded);
    assert_eq!(got.root, hashes.digests().root);
    assert_ne!(got.sha1, hashes.digests().sha1);
    let text = hashes.digests().to_string();
    assert_eq!(text.len(), 40 + " and ".len() + 64, "{text}");
}
