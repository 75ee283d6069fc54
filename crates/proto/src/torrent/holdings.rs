//! How much the machine keeps, each kind beside its limit.

use skep_wire::piece::BLOCK_LEN;

use super::{
    BANS_MAX, CANDIDATES_MAX, CONNECTING_MAX, OWN_ADDRS_MAX, PROBE_PEERS_MAX, PROBES_MAX,
    SUSPECT_PIECES_MAX, Torrent, blame::FAILURES_KEPT,
};
use crate::peer::Holding;

impl Torrent {
    /// How much the machine keeps, its connections included. What is to be done and told is part of it:
    /// a driver that has drained the machine finds none.
    pub fn holdings(&self) -> impl Iterator<Item = Holding> {
        let (suspect_pieces, suspects) = self.blame.counts();
        let blocks = self.config.sizes.piece_len().div_ceil(BLOCK_LEN) as usize;
        let own = [
            ("actions", self.actions.len(), 0),
            ("events", self.events.len(), 0),
            (
                "connections",
                self.peers.len() + self.connecting_count(),
                self.peers_max(),
            ),
            ("attempts", self.connecting_count(), CONNECTING_MAX),
            ("candidates", self.book.known_count(), CANDIDATES_MAX),
            ("bans", self.book.banned_count(), BANS_MAX),
            ("addresses of ours", self.book.own_count(), OWN_ADDRS_MAX),
            (
                "pieces under way",
                self.picker.partial_count(),
                self.config.partial_pieces_max.max(1),
            ),
            ("suspect pieces", suspect_pieces, SUSPECT_PIECES_MAX),
            (
                "suspects",
                suspects,
                SUSPECT_PIECES_MAX * FAILURES_KEPT * blocks,
            ),
            ("pieces in doubt", self.probes.len(), PROBES_MAX),
            (
                "peers that could not say what is wrong",
                self.probes.values().map(|probe| probe.tried.len()).sum(),
                PROBES_MAX * PROBE_PEERS_MAX,
            ),
            (
                "hashes of pieces in doubt",
                self.probes.values().map(|probe| probe.ours.len()).sum(),
                PROBES_MAX * blocks,
            ),
        ];
        let own = own.map(|(what, count, most)| Holding::new(what, count, most));
        let of_peers = self.peers.values().flat_map(|peer| peer.conn.holdings());
        own.into_iter().chain(of_peers)
    }
}
