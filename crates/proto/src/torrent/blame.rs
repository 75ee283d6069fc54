//! Who sent what was wrong.
//!
//! A bad piece with one sender has one culprit. Of one with several, the digest and sender of each
//! block are kept; when the piece comes right, the blocks that differ name who lied.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

use skep_wire::PieceIndex;

use super::{BlockDigests, SUSPECT_PIECES_MAX, types::BlockDigest};

/// Bad pieces that wait for a good copy.
#[derive(Debug, Default)]
pub(super) struct Blame {
    suspects: BTreeMap<PieceIndex, Vec<Suspect>>,
    /// Pieces that failed with several senders: the next copy comes from one peer only.
    failed: BTreeSet<PieceIndex>,
}

/// One block of a bad piece. A block may have several suspects, from several failures.
#[derive(Debug)]
struct Suspect {
    at: usize,
    digest: BlockDigest,
    from: SocketAddr,
}

/// How many suspects one piece may have, in failures of the whole piece.
pub(super) const FAILURES_KEPT: usize = 4;

impl Blame {
    /// The piece failed. Returns the sender if there was only one (by IP address).
    pub(super) fn fail(
        &mut self,
        piece: PieceIndex,
        senders: &[SocketAddr],
        blocks: &BlockDigests,
    ) -> Option<SocketAddr> {
        let &first = senders.first()?;
        if senders.iter().all(|sender| sender.ip() == first.ip()) {
            return Some(first);
        }
        if self.failed.len() < SUSPECT_PIECES_MAX || self.failed.contains(&piece) {
            self.failed.insert(piece);
            let kept = self.suspects.entry(piece).or_default();
            if kept.len() < FAILURES_KEPT * senders.len() {
                let each = senders.iter().enumerate();
                kept.extend(each.filter_map(|(at, &from)| {
                    let digest = blocks.get(at)?;
                    Some(Suspect { at, digest, from })
                }));
            }
        }
        None
    }

    /// Whether the next copy of the piece is to come from one peer only.
    pub(super) fn is_suspect(&self, piece: PieceIndex) -> bool {
        self.failed.contains(&piece)
    }

    /// The piece came right; `blocks` are the digests of its blocks. Returns who sent a block that
    /// differs, and the number of the block in the piece; one entry an address.
    pub(super) fn clear(
        &mut self,
        piece: PieceIndex,
        blocks: &BlockDigests,
    ) -> Vec<(SocketAddr, usize)> {
        self.failed.remove(&piece);
        let suspects = self.suspects.remove(&piece).unwrap_or_default();
        let wrong = |s: &Suspect| blocks.get(s.at).is_some_and(|good| good.differs(s.digest));
        let mut liars = BTreeMap::new();
        for suspect in suspects.into_iter().filter(wrong) {
            liars.entry(suspect.from).or_insert(suspect.at);
        }
        liars.into_iter().collect()
    }

    /// How many pieces have suspects, and how many suspects there are.
    pub(super) fn counts(&self) -> (usize, usize) {
        let suspects = self.suspects.values().map(Vec::len).sum();
        (self.suspects.len().max(self.failed.len()), suspects)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: SocketAddr = SocketAddr::new(
        std::net::IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 1)),
        1,
    );
    const B: SocketAddr = SocketAddr::new(
        std::net::IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 2)),
        1,
    );

    fn digests(text: &str) -> BlockDigests {
        BlockDigests::Sha1(text.bytes().map(|byte| skep_hash::sha1(&[byte])).collect())
    }

    #[test]
    fn a_lone_sender_is_to_blame_at_once() {
        let mut blame = Blame::default();
        let other_port = SocketAddr::new(A.ip(), 9);
        assert_eq!(
            blame.fail(PieceIndex(3), &[A, other_port], &digests("xy")),
            Some(A)
        );
        assert!(!blame.is_suspect(PieceIndex(3)));
        assert_eq!(blame.fail(PieceIndex(3), &[], &BlockDigests::none()), None);
    }

    #[test]
    fn of_several_senders_the_one_whose_block_differs_is_to_blame() {
        let mut blame = Blame::default();
        assert_eq!(blame.fail(PieceIndex(3), &[A, B, A], &digests("abX")), None);
        assert!(blame.is_suspect(PieceIndex(3)));
        assert_eq!(blame.clear(PieceIndex(3), &digests("abc")), [(A, 2)]);
        assert!(!blame.is_suspect(PieceIndex(3)));
        assert_eq!(blame.clear(PieceIndex(3), &digests("xyz")), []);
    }

    #[test]
    fn what_is_kept_of_bad_pieces_is_bounded() {
        let mut blame = Blame::default();
        for round in 0..3 * FAILURES_KEPT {
            for piece in 0..2 * SUSPECT_PIECES_MAX as u32 {
                blame.fail(
                    PieceIndex(piece),
                    &[A, B],
                    &digests(&format!("{}b", round % 10)),
                );
            }
        }
        assert_eq!(blame.counts().0, SUSPECT_PIECES_MAX);
        assert!(
            blame
                .suspects
                .values()
                .all(|kept| kept.len() <= 2 * FAILURES_KEPT)
        );
    }
}
