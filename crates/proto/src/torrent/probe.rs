//! Which blocks of a bad piece are wrong (BEP 52): the hashes of the piece's blocks are asked of a peer
//! that has the piece, and compared with what came. They need not be believed: they must lead to the
//! piece's own hash, which the torrent names. So a bad block costs that block, and its sender is known
//! at once.
//!
//! ```text
//!   Bad(leaves) --hash request--> a peer   --hashes that lead to the piece's hash--> Refetch, ban senders
//!                                          --hashes that do not--> ban the peer, ask another
//!                                          --refusal, silence, end--> ask another
//!   nobody left to ask, or PROBE_SECS over --> the whole piece is fetched again, as in version 1
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

use skep_hash::{
    Sha256Digest,
    merkle::{self, Range, Shape},
};
use skep_wire::{
    Moment, PieceIndex,
    metainfo::{Info, Metainfo},
    peer::{HashRequest, hashes::HASHES_ASKED_MAX},
};

use super::{
    Action, BanReason, BlockDigests, Event, PROBE_ANSWER_SECS, PROBE_PEERS_MAX, PROBE_SECS,
    PROBES_MAX, PeerKey, Torrent, Verdict,
};

/// Where a piece lies in the tree of its file (BEP 52).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PieceTree {
    /// The root of the file's tree.
    pub file_root: Sha256Digest,
    /// The file's length in bytes.
    pub file_len: u64,
    /// The piece's number in its file.
    pub number: u32,
    /// The root of the piece's own part of the tree.
    pub root: Sha256Digest,
    /// How many leaves that part has room for: a power of two.
    pub width: u32,
}

/// What knows where pieces lie in the trees of their files: the torrent.
pub trait PieceTrees: fmt::Debug + Send + Sync {
    /// Where a piece lies; `None` if there is no such piece, or no tree.
    fn piece_tree(&self, piece: PieceIndex) -> Option<PieceTree>;
}

impl PieceTrees for Info {
    fn piece_tree(&self, piece: PieceIndex) -> Option<PieceTree> {
        let v2 = self.piece_v2(piece)?;
        let file = self.files.get(v2.file)?;
        Some(PieceTree {
            file_root: file.root?,
            file_len: file.len,
            number: piece.0 - self.file_pieces(v2.file).start,
            root: v2.root,
            width: v2.width,
        })
    }
}

impl PieceTrees for Metainfo {
    fn piece_tree(&self, piece: PieceIndex) -> Option<PieceTree> {
        self.info.piece_tree(piece)
    }
}

impl PieceTree {
    /// The request for the `part`th stretch of the piece's leaves; `None` after the last. The answer
    /// leads to the root of the piece, which is known, and no further.
    fn request(&self, part: u32) -> Option<HashRequest> {
        let length = self.width.min(HASHES_ASKED_MAX);
        let begin = part.checked_mul(length)?;
        let index = self.number.checked_mul(self.width)?.checked_add(begin)?;
        (begin < self.width).then_some(HashRequest {
            root: self.file_root,
            base_layer: 0,
            index,
            length,
            proof_layers: self.width.trailing_zeros().saturating_sub(1),
        })
    }

    /// Whether the answer to one of these requests leads to the piece's root.
    fn is_right(&self, request: &HashRequest, answer: &[Sha256Digest]) -> bool {
        let range = Range {
            base_layer: request.base_layer,
            index: request.index,
            length: request.length,
            proof_layers: request.proof_layers,
        };
        let climbed = Shape::of_len(self.file_len).climb(&range, answer);
        climbed.is_ok_and(|top| {
            let is_piece = (1u64 << top.layer) == u64::from(self.width) && top.index == self.number;
            is_piece && top.hash == self.root
        })
    }
}

/// A bad piece of which peers are asked.
#[derive(Debug)]
pub(super) struct Probe {
    tree: PieceTree,
    /// The leaves of what came.
    pub(super) ours: Vec<Sha256Digest>,
    /// Which blocks are wrong, as far as the answers reach.
    bad: Vec<usize>,
    /// Which stretch of leaves is asked for.
    part: u32,
    asked: Option<(PeerKey, HashRequest, Moment)>,
    /// Who did not help.
    pub(super) tried: BTreeSet<PeerKey>,
    over_at: Moment,
}

/// The bad piece of which the peer was asked this. It is asked no longer.
fn asked(
    probes: &mut BTreeMap<PieceIndex, Probe>,
    peer: PeerKey,
    request: HashRequest,
) -> Option<(PieceIndex, &mut Probe)> {
    let is_it = |(who, what, _): &mut _| *who == peer && *what == request;
    probes.iter_mut().find_map(|(&piece, probe)| {
        let asked = probe.asked.take_if(is_it).is_some();
        asked.then_some((piece, probe))
    })
}

impl Torrent {
    /// A piece is bad, and the leaves of what came are known: asks what is wrong in it, if that can be
    /// of use.
    pub(super) fn doubt(&mut self, piece: PieceIndex, leaves: Vec<Sha256Digest>, now: Moment) {
        let Some(senders) = self.picker.senders(piece) else {
            return;
        };
        let trees = self.config.trees.as_ref();
        let tree = trees.and_then(|trees| trees.piece_tree(piece));
        // Of one block nothing needs to be asked. Where the leaves are right, as in a hybrid whose
        // v1 hash alone is missed, nobody can say more.
        let tree = tree.filter(|tree| {
            tree.width > 1
                && tree.request(0).is_some()
                && senders.len() == leaves.len()
                && leaves.len() <= tree.width as usize
                && merkle::root(&leaves, tree.width.into()) != tree.root
        });
        let Some(tree) = tree.filter(|_| self.probes.len() < PROBES_MAX) else {
            return self.fail_whole(piece, leaves, now);
        };
        let probe = Probe {
            tree,
            ours: leaves,
            bad: Vec::new(),
            part: 0,
            asked: None,
            tried: BTreeSet::new(),
            over_at: now + Duration::from_secs(PROBE_SECS),
        };
        self.probes.insert(piece, probe);
        // Whoever sent all of it is to blame, whatever is wrong in it, and is asked nothing.
        let first = senders.first().copied();
        let lone = first.filter(|first| senders.iter().all(|sender| sender.ip() == first.ip()));
        if let Some(lone) = lone {
            self.ban(lone, BanReason::SentBadPiece(piece), now);
        }
        self.ask_probe(piece, now);
    }

    /// All of a bad piece is fetched again.
    fn fail_whole(&mut self, piece: PieceIndex, leaves: Vec<Sha256Digest>, now: Moment) {
        self.actions.push_back(Action::Abandon { piece });
        let blocks = BlockDigests::Leaves(leaves);
        self.take_verdict(piece, Verdict::Bad { blocks }, now);
    }

    /// Asks the next peer, or gives up where there is none.
    fn ask_probe(&mut self, piece: PieceIndex, now: Moment) {
        let Some(probe) = self
            .probes
            .get(&piece)
            .filter(|probe| probe.asked.is_none())
        else {
            return;
        };
        let Some(request) = probe.tree.request(probe.part) else {
            return;
        };
        let senders = self.picker.senders(piece).unwrap_or_default();
        let mut may_help: Vec<(bool, PeerKey)> = Vec::new();
        if probe.tried.len() < PROBE_PEERS_MAX {
            let open = self.peers.iter().filter(|(peer, entry)| {
                entry.conn.is_open()
                    && entry.conn.v2_agreed()
                    && entry.conn.peer_pieces().0.has(piece)
                    && !probe.tried.contains(peer)
            });
            may_help.extend(open.map(|(&peer, entry)| (senders.contains(&entry.addr), peer)));
        }
        if may_help.is_empty() {
            self.end_probe(piece, now);
            return;
        }
        // By lot, and those that sent nothing of it first: one of the others lied.
        self.rng.shuffle(&mut may_help);
        may_help.sort_by_key(|&(is_sender, _)| is_sender);
        for (_, peer) in may_help {
            let asks = self.peers.get_mut(&peer);
            if asks.is_some_and(|entry| entry.conn.request_hashes(request, now)) {
                self.touch(peer);
                if let Some(probe) = self.probes.get_mut(&piece) {
                    probe.asked = Some((peer, request, now));
                }
                return;
            }
        }
        // All of them have enough of our requests: the next tick tries again.
    }

    /// A peer says hashes that we asked for.
    pub(super) fn probe_heard(
        &mut self,
        peer: PeerKey,
        request: HashRequest,
        hashes: &[Sha256Digest],
        now: Moment,
    ) {
        let Some((piece, probe)) = asked(&mut self.probes, peer, request) else {
            return;
        };
        if !probe.tree.is_right(&request, hashes) {
            probe.tried.insert(peer);
            if let Some(addr) = self.peers.get(&peer).map(|entry| entry.addr) {
                self.ban(addr, BanReason::SentBadHashes(piece), now);
            }
            self.ask_probe(piece, now);
            return;
        }
        let begin = (probe.part * request.length) as usize;
        // Behind the leaves come the uncles that prove them.
        let leaves = hashes.iter().take(request.length as usize);
        let ours = probe.ours.iter().skip(begin).zip(leaves);
        let wrong = ours.enumerate().filter(|(_, (ours, right))| ours != right);
        let wrong: Vec<usize> = wrong.map(|(at, _)| begin + at).collect();
        probe.bad.extend(wrong);
        probe.part += 1;
        probe.over_at = now + Duration::from_secs(PROBE_SECS);
        if probe.tree.request(probe.part).is_some() {
            self.ask_probe(piece, now);
        } else {
            self.end_probe(piece, now);
        }
    }

    pub(super) fn probe_refused(&mut self, peer: PeerKey, request: HashRequest, now: Moment) {
        if let Some((piece, probe)) = asked(&mut self.probes, peer, request) {
            probe.tried.insert(peer);
            self.ask_probe(piece, now);
        }
    }

    /// The peer is gone.
    pub(super) fn probe_lost_peer(&mut self, peer: PeerKey, now: Moment) {
        let mut pieces = Vec::new();
        for (&piece, probe) in &mut self.probes {
            if probe.asked.take_if(|(asked, ..)| *asked == peer).is_some() {
                pieces.push(piece);
            }
        }
        pieces
            .into_iter()
            .for_each(|piece| self.ask_probe(piece, now));
    }

    pub(super) fn tick_probes(&mut self, now: Moment) {
        let pieces: Vec<PieceIndex> = self.probes.keys().copied().collect();
        for piece in pieces {
            let Some(probe) = self.probes.get_mut(&piece) else {
                continue;
            };
            let patience = Duration::from_secs(PROBE_ANSWER_SECS);
            let silent = probe.asked.take_if(|(.., since)| *since + patience <= now);
            if let Some((peer, request, _)) = silent {
                probe.tried.insert(peer);
                if let Some(entry) = self.peers.get_mut(&peer) {
                    entry.conn.forget_hashes(request);
                }
            }
            if probe.over_at <= now {
                self.end_probe(piece, now);
            } else {
                self.ask_probe(piece, now);
            }
        }
    }

    /// Either it is known which blocks are wrong, or it will not be.
    fn end_probe(&mut self, piece: PieceIndex, now: Moment) {
        let Some(probe) = self.probes.remove(&piece) else {
            return;
        };
        if let Some((peer, request, _)) = probe.asked
            && let Some(entry) = self.peers.get_mut(&peer)
        {
            entry.conn.forget_hashes(request);
        }
        let is_done = probe.tree.request(probe.part).is_none();
        if !is_done || probe.bad.is_empty() {
            self.fail_whole(piece, probe.ours, now);
            return;
        }
        let blocks = self.picker.reopen(piece, &probe.bad, now);
        let lens = blocks.iter().map(|(block, _)| u64::from(block.len));
        self.totals.failed += lens.sum::<u64>();
        self.actions.push_back(Action::Refetch {
            piece,
            blocks: blocks.iter().map(|&(block, _)| block).collect(),
        });
        self.events.push_back(Event::BlocksFailed {
            piece,
            blocks: blocks.clone(),
        });
        self.work_freed = true;
        for (block, from) in blocks {
            self.ban(from, BanReason::SentBadBlock(block), now);
        }
    }
}
