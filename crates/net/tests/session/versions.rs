//! What version 2 and hybrids have of their own, on real sockets.

use std::io::Write as _;

use skep_hash::sha1;
use skep_wire::{Block, PieceIndex, metainfo::Version, peer::Message, piece::BLOCK_LEN};

use crate::{
    hostile::{read_until, unchoked},
    support::Case,
};

const PIECE_LEN: u32 = 4 * BLOCK_LEN;

/// Version 1 has padding between the files of a hybrid, and its peers fetch it: as nothing but zeroes, so
/// that the piece has its SHA-1. So may those that think of the space behind the last file as padding.
#[test]
fn peers_that_ask_for_the_padding_of_a_hybrid_get_zeroes() {
    let case = Case::folder_of(Version::Hybrid, &[("a", 65_536 + 777), ("b", 1)], PIECE_LEN);
    let (seed, _) = case.seed();
    let mut peer = unchoked(&case, seed.listen_addr());
    for (piece, file, from) in [(1, "a", 65_536), (2, "b", 0)] {
        let mut expected = std::fs::read(case.source().join(file)).expect("read")[from..].to_vec();
        expected.resize(PIECE_LEN as usize, 0);
        let mut got = Vec::new();
        for begin in (0..PIECE_LEN).step_by(BLOCK_LEN as usize) {
            let block = Block {
                piece: PieceIndex(piece),
                begin,
                len: BLOCK_LEN,
            };
            peer.write_all(&Message::Request(block).to_bytes())
                .expect("written");
            got.extend_from_slice(&read_until(&mut peer, 7)[8..]);
        }
        assert!(got == expected, "piece {piece}");
        let named = case.torrent.info.pieces[piece as usize];
        let len = case.torrent.info.piece_size(PieceIndex(piece)) as usize;
        assert_eq!(sha1(&got[..len]), named);
    }
}
