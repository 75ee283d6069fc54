//! Answering peers that ask for hashes (BEP 52). The hashes are the driver's; here is who may have
//! them when.

use std::time::Duration;

use skep_hash::Sha256Digest;
use skep_wire::{Moment, peer::HashRequest, piece::BLOCK_LEN};

use super::{Action, HASH_REFUSAL_SECS, PeerKey, Torrent};

impl Torrent {
    /// Hands the peer's next request for hashes to the driver, if it may have one.
    pub(super) fn serve_hashes(&mut self, peer: PeerKey, now: Moment) {
        while let Some(entry) = self.peers.get_mut(&peer)
            && entry.hash_job.is_none()
            && now >= entry.hashes_from
        {
            let Some(request) = entry.conn.peer_hash_requests().next() else {
                return;
            };
            let makes_sense = request.check().is_ok();
            let piece_layer = (self.config.sizes.piece_len() / BLOCK_LEN).max(1).ilog2();
            // A layer below that of the pieces is made from blocks of the disk, which cost us much more
            // than the request costs the peer; of the piece layer and those above, everything is there.
            let is_costly = request.base_layer < piece_layer.max(1) || !makes_sense;
            if is_costly && entry.leaf_requests.take(now).is_none() {
                return;
            }
            if makes_sense {
                entry.hash_job = Some(request);
                self.actions
                    .push_back(Action::HashesWanted { peer, request });
            } else {
                entry.conn.reject_hashes(request, now);
                self.touch(peer);
            }
        }
    }

    pub(super) fn answer_hashes(
        &mut self,
        peer: PeerKey,
        request: HashRequest,
        hashes: Option<&[Sha256Digest]>,
        now: Moment,
    ) {
        let Some(entry) = self.peers.get_mut(&peer) else {
            return;
        };
        if entry.hash_job.take_if(|job| *job == request).is_none() {
            return;
        }
        match hashes.filter(|hashes| hashes.len() as u64 == request.hash_count()) {
            Some(hashes) => entry.conn.send_hashes(request, hashes, now),
            None => {
                entry.conn.reject_hashes(request, now);
                entry.hashes_from = now + Duration::from_secs(HASH_REFUSAL_SECS);
            }
        }
        self.touch(peer);
        self.serve_hashes(peer, now);
    }
}
