//! Which pieces a newcomer may fetch while we choke it (BEP 6).

use std::net::{IpAddr, Ipv4Addr};

use skep_hash::sha1;
use skep_wire::{InfoHash, Moment, PieceIndex};

use super::{ALLOWED_FAST_BYTES_MAX, PeerKey, Torrent};
use crate::peer::ALLOWED_FAST_OFFERED_MAX;

/// How many digests are drawn at most for one set. Each names five pieces, so this ends only where
/// the torrent has hardly more pieces than are wanted.
const ROUNDS_MAX: usize = 32;

impl Torrent {
    /// A peer that has next to nothing is allowed a few pieces that we have, so that it soon has
    /// something to trade. Which ones follows from its network and the torrent: asking from many
    /// addresses of one network gains nothing.
    pub(super) fn allow_fast(&mut self, peer: PeerKey, now: Moment) {
        let Some(entry) = self.peers.get_mut(&peer) else {
            return;
        };
        let IpAddr::V4(ip) = entry.addr.ip() else {
            return;
        };
        let count = ALLOWED_FAST_BYTES_MAX / self.config.sizes.piece_len().max(1);
        let count = ALLOWED_FAST_OFFERED_MAX.min(count as usize);
        let theirs = &entry.conn.peer_pieces().0;
        let is_newcomer = (theirs.count() as usize) < count;
        if !is_newcomer || !entry.conn.we_choke_peer() || !entry.conn.fast_agreed() {
            return;
        }
        let set = allowed_set(
            ip,
            self.config.info_hashes.first(),
            self.config.sizes.count(),
            count,
        );
        let useful = |piece: &PieceIndex| self.picker.have().has(*piece) && !theirs.has(*piece);
        let useful: Vec<PieceIndex> = set.into_iter().filter(useful).collect();
        for piece in useful {
            entry.conn.allow_fast(piece, now);
        }
        self.touch(peer);
    }
}

/// The set of BEP 6 for an address, fewer where the torrent is small.
fn allowed_set(
    ip: Ipv4Addr,
    info_hash: InfoHash,
    piece_count: u32,
    count: usize,
) -> Vec<PieceIndex> {
    let [a, b, c, _] = ip.octets();
    let mut x = [&[a, b, c, 0][..], &info_hash.0].concat();
    let mut set = Vec::new();
    for _ in 0..ROUNDS_MAX {
        x = sha1(&x).0.to_vec();
        for y in x.as_chunks::<4>().0 {
            let index = u32::from_be_bytes(*y).checked_rem(piece_count);
            let Some(piece) = index.map(PieceIndex) else {
                return set;
            };
            if set.len() < count && !set.contains(&piece) {
                set.push(piece);
            }
        }
        if set.len() >= count {
            break;
        }
    }
    set
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of BEP 6.
    #[test]
    fn the_set_of_bep_6_comes_out() {
        let ip = Ipv4Addr::new(80, 4, 4, 200);
        let info_hash = InfoHash([0xaa; 20]);
        let set = |count| -> Vec<u32> {
            let set = allowed_set(ip, info_hash, 1313, count);
            set.into_iter().map(|piece| piece.0).collect()
        };
        let nine = [1059, 431, 808, 1217, 287, 376, 1188, 353, 508];
        assert_eq!(set(7), nine[..7]);
        assert_eq!(set(9), nine);
    }

    #[test]
    fn a_small_torrent_has_a_small_set() {
        let ip = Ipv4Addr::LOCALHOST;
        let of = |pieces| allowed_set(ip, InfoHash([1; 20]), pieces, 5).len();
        assert_eq!([of(0), of(1), of(3), of(5)], [0, 1, 3, 5]);
    }
}
