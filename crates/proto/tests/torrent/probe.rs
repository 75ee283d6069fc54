//! Bad pieces of version 2: one wrong block costs that block, and its sender.

use std::sync::Arc;

use skep_hash::{
    Sha256Digest,
    merkle::{self, Range, Shape},
};
use skep_proto::{
    peer::{HASHES_UNASKED_MAX, InfoHashes},
    torrent::{
        BanReason, BlockDigests, Event, PROBE_ANSWER_SECS, PROBE_PEERS_MAX, PROBE_SECS, PROBES_MAX,
        PeerKey, PieceTree, PieceTrees, TorrentConfig, Verdict,
    },
};
use skep_wire::{
    Bitfield, Block, PieceIndex, PieceSizes,
    peer::{HashRequest, Message},
    piece::{BLOCK_LEN, blocks_of},
};

use crate::rig::{HASH, Rig, Said, US, V2, addr};

/// A file that begins with a torrent, and its tree.
#[derive(Debug)]
struct File {
    bytes: Vec<u8>,
    leaves: Vec<Sha256Digest>,
    shape: Shape,
    piece_len: u32,
}

impl File {
    /// So many blocks, the last one short, in pieces of so many.
    fn new(blocks: u32, blocks_per_piece: u32) -> Arc<Self> {
        let len = (blocks * BLOCK_LEN - 100) as usize;
        let bytes: Vec<u8> = (0..len)
            .map(|n| (n / BLOCK_LEN as usize * 7 + n % 251) as u8)
            .collect();
        let leaves = bytes.chunks(BLOCK_LEN as usize).map(merkle::leaf).collect();
        Arc::new(Self {
            shape: Shape::of_len(bytes.len() as u64),
            bytes,
            leaves,
            piece_len: blocks_per_piece * BLOCK_LEN,
        })
    }

    fn sizes(&self) -> PieceSizes {
        PieceSizes::uniform(self.piece_len, self.bytes.len() as u64)
    }

    fn piece_count(&self) -> u32 {
        self.sizes().count()
    }

    fn rig(self: &Arc<Self>) -> Rig {
        let mut setup = TorrentConfig::new(InfoHashes::V2(V2), US, self.sizes());
        setup.trees = Some(Arc::clone(self) as Arc<dyn PieceTrees>);
        Rig::new(setup)
    }

    fn full(&self) -> Bitfield {
        Bitfield::full(self.piece_count())
    }

    fn block(&self, block: Block) -> Vec<u8> {
        let begin = (block.piece.0 * self.piece_len + block.begin) as usize;
        self.bytes[begin..begin + block.len as usize].to_vec()
    }

    fn blocks(&self, piece: u32) -> Vec<Block> {
        let piece = PieceIndex(piece);
        blocks_of(piece, self.sizes().size(piece)).collect()
    }

    /// The right answer to a request.
    fn answer(&self, request: HashRequest) -> Vec<u8> {
        let range = Range {
            base_layer: request.base_layer,
            index: request.index,
            length: request.length,
            proof_layers: request.proof_layers,
        };
        let hashes = self.shape.answer(&range, &self.leaves).expect("it has one");
        hashes.into_iter().flat_map(|hash| hash.0).collect()
    }

    /// Gives the verdict on what waits for one.
    fn judge(&self, rig: &mut Rig) {
        for (piece, _) in std::mem::take(&mut rig.desk.verify) {
            let bytes = &rig.desk.buffers[&piece];
            let leaves: Vec<_> = bytes.chunks(BLOCK_LEN as usize).map(merkle::leaf).collect();
            let tree = self.piece_tree(piece).expect("one of its pieces");
            let good = merkle::root(&leaves, tree.width.into()) == tree.root;
            let verdict = if good {
                rig.desk.buffers.remove(&piece);
                let blocks = BlockDigests::none();
                Verdict::Good { blocks }
            } else {
                let blocks = BlockDigests::Leaves(leaves);
                Verdict::Bad { blocks }
            };
            rig.torrent.handle_verdict(piece, verdict, rig.now);
            rig.settle();
        }
    }
}

impl PieceTrees for File {
    fn piece_tree(&self, piece: PieceIndex) -> Option<PieceTree> {
        let per_piece = (self.piece_len / BLOCK_LEN) as usize;
        let leaves = self.leaves.chunks(per_piece).nth(piece.0 as usize)?;
        let width = match self.piece_count() {
            1 => leaves.len().next_power_of_two(),
            _ => per_piece,
        };
        Some(PieceTree {
            file_root: merkle::root(&self.leaves, self.shape.width(0)),
            file_len: self.bytes.len() as u64,
            number: piece.0,
            root: merkle::root(leaves, width as u64),
            width: width as u32,
        })
    }
}

fn bans(rig: &Rig) -> Vec<Event> {
    let events = rig.desk.events.iter();
    let bans = events.filter(|event| matches!(event, Event::Banned { .. }));
    bans.cloned().collect()
}

fn banned(n: u16, why: BanReason) -> Event {
    let addr = addr(n);
    Event::Banned { addr, why }
}

/// What hashes a peer is asked for.
fn hashes_asked(rig: &mut Rig, peer: PeerKey) -> Vec<HashRequest> {
    let said = rig.said(peer).into_iter();
    let asked = said.filter_map(|said| match said {
        Said::HashRequest(request) => Some(request),
        _ => None,
    });
    asked.collect()
}

fn answers(rig: &mut Rig, peer: PeerKey, request: HashRequest, hashes: &[u8]) {
    rig.says(peer, &[Message::Hashes { request, hashes }]);
}

/// The first two peers send a piece of eight blocks half and half; those of `wrong` are wrong.
struct Spoilt {
    file: Arc<File>,
    rig: Rig,
    senders: [PeerKey; 2],
    /// Others that have the piece.
    others: Vec<PeerKey>,
}

impl Spoilt {
    fn new(others: u16, wrong: &[usize]) -> Self {
        let file = File::new(8, 8);
        let mut rig = file.rig();
        let senders = [1, 2].map(|n| rig.joins_v2(n, &file.full()));
        let others: Vec<PeerKey> = (3..3 + others)
            .map(|n| rig.joins_v2(n, &file.full()))
            .collect();
        let mut this = Self {
            file,
            rig,
            senders,
            others,
        };
        this.sends(0, &[0, 1, 2, 3], wrong);
        this.sends(1, &[4, 5, 6, 7], wrong);
        this.file.judge(&mut this.rig);
        this
    }

    /// Sender `n` sends blocks of those that it is asked for, and chokes us.
    fn sends(&mut self, n: usize, blocks: &[usize], wrong: &[usize]) {
        let peer = self.senders[n];
        self.rig.says(peer, &[Message::Unchoke]);
        let all = self.file.blocks(0);
        let mut asked = self.rig.asked(peer);
        let mut sent = 0;
        while let Some(block) = asked.pop() {
            let at = all.iter().position(|known| *known == block).expect("ours");
            if blocks.contains(&at) {
                let mut bytes = self.file.block(block);
                bytes[5] ^= u8::from(wrong.contains(&at));
                self.rig.delivers_bytes(peer, block, &bytes);
                sent += 1;
            } else {
                self.rig.says(peer, &[Message::RejectRequest(block)]);
            }
            if sent == blocks.len() {
                self.rig.says(peer, &[Message::Choke]);
            }
            // A refusal is a pause.
            self.rig.wait(3);
            asked.extend(self.rig.asked(peer));
        }
        assert_eq!(sent, blocks.len());
    }

    fn whole() -> HashRequest {
        HashRequest {
            root: Sha256Digest::default(),
            base_layer: 0,
            index: 0,
            length: 8,
            proof_layers: 2,
        }
    }

    /// Who is asked for hashes now, and for what.
    fn asked(&mut self) -> Option<(PeerKey, HashRequest)> {
        let all = self.senders.into_iter().chain(self.others.clone());
        let mut asked = Vec::new();
        for peer in all {
            let requests = hashes_asked(&mut self.rig, peer);
            asked.extend(requests.into_iter().map(|request| (peer, request)));
        }
        assert!(asked.len() <= 1, "one is asked at a time: {asked:?}");
        let (peer, request) = asked.pop()?;
        let root = self.file.piece_tree(PieceIndex(0)).expect("one").file_root;
        let expected = HashRequest {
            root,
            ..Self::whole()
        };
        assert_eq!(request, expected);
        Some((peer, request))
    }

    fn answers(&mut self, peer: PeerKey, request: HashRequest) {
        let hashes = self.file.answer(request);
        answers(&mut self.rig, peer, request, &hashes);
    }

    /// The whole piece is fetched again.
    fn is_given_up(&self) -> bool {
        let failed = |event: &Event| matches!(event, Event::PieceFailed { .. });
        let given_up = self.rig.desk.events.iter().any(failed);
        assert_eq!(given_up, self.rig.desk.abandoned == [PieceIndex(0)]);
        given_up
    }
}

#[test]
fn one_wrong_block_is_fetched_again_and_its_sender_is_banned_and_nobody_else() {
    let mut spoilt = Spoilt::new(1, &[5]);
    let (peer, request) = spoilt.asked().expect("one is asked");
    assert_eq!(peer, spoilt.others[0], "one of the senders lied");
    spoilt.answers(peer, request);
    let Spoilt { file, mut rig, .. } = spoilt;
    let wrong = file.blocks(0)[5];
    assert_eq!(rig.desk.refetched, [(PieceIndex(0), vec![wrong])]);
    assert_eq!(bans(&rig), [banned(2, BanReason::SentBadBlock(wrong))]);
    let failed = Event::BlocksFailed {
        piece: PieceIndex(0),
        blocks: vec![(wrong, addr(2))],
    };
    assert!(rig.desk.events.contains(&failed));
    assert_eq!(rig.torrent.stats(rig.now).failed_bytes, 16 * 1024);
    rig.says(peer, &[Message::Unchoke]);
    assert_eq!(rig.asked(peer), [wrong], "all else is there");
    rig.delivers_bytes(peer, wrong, &file.block(wrong));
    file.judge(&mut rig);
    assert!(rig.torrent.is_complete());
    assert_eq!(rig.desk.abandoned, []);
}

#[test]
fn each_sender_of_a_wrong_block_is_banned() {
    let mut spoilt = Spoilt::new(1, &[0, 3, 7]);
    let (peer, request) = spoilt.asked().expect("one is asked");
    spoilt.answers(peer, request);
    let blocks = spoilt.file.blocks(0);
    let expected = [
        banned(1, BanReason::SentBadBlock(blocks[0])),
        banned(2, BanReason::SentBadBlock(blocks[7])),
    ];
    assert_eq!(bans(&spoilt.rig), expected);
    let wrong = [0, 3, 7].map(|at| blocks[at]).to_vec();
    assert_eq!(spoilt.rig.desk.refetched, [(PieceIndex(0), wrong)]);
}

/// Hashes that do not lead to the piece's own prove a lie. Its author pays, and another is asked.
#[test]
fn wrong_hashes_are_no_evidence_but_against_who_said_them() {
    let mut spoilt = Spoilt::new(2, &[5]);
    let (liar, request) = spoilt.asked().expect("one is asked");
    let mut lie = spoilt.file.answer(request);
    // As if block 1, which is right, were the wrong one.
    lie[32] ^= 1;
    answers(&mut spoilt.rig, liar, request, &lie);
    let n = 3 + spoilt
        .others
        .iter()
        .position(|peer| *peer == liar)
        .expect("one") as u16;
    let lied = banned(n, BanReason::SentBadHashes(PieceIndex(0)));
    assert_eq!(bans(&spoilt.rig), [lied]);
    assert_eq!(spoilt.rig.desk.refetched, []);
    spoilt.others.retain(|peer| *peer != liar);
    let (peer, request) = spoilt.asked().expect("the other is asked");
    assert_eq!(peer, spoilt.others[0]);
    spoilt.answers(peer, request);
    assert_eq!(spoilt.rig.desk.refetched.len(), 1);
    assert_eq!(bans(&spoilt.rig).len(), 2);
}

/// Refusing, falling silent, leaving: each time the next one is asked, the senders last. When nobody is
/// left, the piece is as lost as one of version 1, and nobody is banned for it.
#[test]
fn when_nobody_helps_the_whole_piece_is_fetched_again() {
    let mut spoilt = Spoilt::new(3, &[5]);
    let mut asked = Vec::new();
    for round in 0..5 {
        let (peer, request) = spoilt.asked().expect("there are more");
        assert!(!asked.contains(&peer));
        asked.push(peer);
        assert_eq!(spoilt.senders.contains(&peer), round >= 3);
        match round {
            0 => spoilt.rig.says(peer, &[Message::HashReject(request)]),
            1 => spoilt.rig.wait(PROBE_ANSWER_SECS + 1),
            2 => spoilt.rig.ends(peer),
            _ => spoilt.rig.says(peer, &[Message::HashReject(request)]),
        }
    }
    assert!(spoilt.is_given_up());
    assert_eq!(bans(&spoilt.rig), []);
    assert_eq!(spoilt.asked(), None);

    // A late answer is no answer to nothing.
    let silent = asked[1];
    let request = HashRequest {
        root: spoilt
            .file
            .piece_tree(PieceIndex(0))
            .expect("one")
            .file_root,
        ..Spoilt::whole()
    };
    spoilt.answers(silent, request);
    assert!(!spoilt.rig.is_closed(silent));
    assert_eq!(spoilt.rig.desk.refetched, []);
}

#[test]
fn the_hashes_are_not_waited_for_for_ever() {
    let mut spoilt = Spoilt::new(20, &[5]);
    let began = spoilt.rig.now;
    while !spoilt.is_given_up() {
        spoilt.rig.wait(1);
        spoilt.asked();
    }
    let took = spoilt.rig.now.since(began).as_secs();
    assert!((PROBE_SECS..=PROBE_SECS + 1).contains(&took), "{took}");

    let mut spoilt = Spoilt::new(20, &[5]);
    let mut asked = 0;
    while let Some((peer, request)) = spoilt.asked() {
        asked += 1;
        spoilt.rig.says(peer, &[Message::HashReject(request)]);
    }
    assert_eq!(asked, PROBE_PEERS_MAX);
    assert!(spoilt.is_given_up());
}

/// Nobody needs to say who it was; but what is right of the piece is kept.
#[test]
fn a_lone_sender_is_banned_at_once_and_its_right_blocks_are_kept() {
    let file = File::new(8, 8);
    let mut rig = file.rig();
    let liar = rig.joins_v2(1, &file.full());
    rig.says(liar, &[Message::Unchoke]);
    let other = rig.joins_v2(2, &file.full());
    let wrong = file.blocks(0)[6];
    for block in rig.asked(liar) {
        let mut bytes = file.block(block);
        bytes[0] ^= u8::from(block == wrong);
        rig.delivers_bytes(liar, block, &bytes);
        for block in rig.asked(liar) {
            let mut bytes = file.block(block);
            bytes[0] ^= u8::from(block == wrong);
            rig.delivers_bytes(liar, block, &bytes);
        }
    }
    file.judge(&mut rig);
    let why = BanReason::SentBadPiece(PieceIndex(0));
    assert_eq!(bans(&rig), [banned(1, why)]);
    let [request] = hashes_asked(&mut rig, other)[..] else {
        panic!("the other is asked");
    };
    answers(&mut rig, other, request, &file.answer(request));
    assert_eq!(rig.desk.refetched, [(PieceIndex(0), vec![wrong])]);
    assert_eq!(bans(&rig).len(), 1);
}

/// 1100 blocks in pieces of 1024: the leaves come in two stretches, each with an uncle.
#[test]
fn the_hashes_of_a_large_piece_are_asked_for_in_stretches() {
    let file = File::new(1100, 1024);
    let mut rig = file.rig();
    let sender = rig.joins_v2(1, &file.full());
    rig.says(sender, &[Message::Unchoke]);
    let other = rig.joins_v2(2, &file.full());
    let blocks = file.blocks(0);
    let wrong = [blocks[3], blocks[511], blocks[1023]];
    let mut asked = rig.asked(sender);
    while let Some(block) = asked.pop() {
        let mut bytes = file.block(block);
        bytes[0] ^= u8::from(wrong.contains(&block));
        rig.delivers_bytes(sender, block, &bytes);
        asked.extend(rig.asked(sender));
        if rig.desk.verify.contains(&(PieceIndex(0), false)) {
            break;
        }
    }
    file.judge(&mut rig);
    for index in [0, 512] {
        let [request] = hashes_asked(&mut rig, other)[..] else {
            panic!("it is asked");
        };
        assert_eq!(
            (request.index, request.length, request.uncles()),
            (index, 512, 1)
        );
        answers(&mut rig, other, request, &file.answer(request));
    }
    assert_eq!(rig.desk.refetched, [(PieceIndex(0), wrong.to_vec())]);
}

/// Who speaks version 1 only cannot say hashes, and who does not have the piece need not.
#[test]
fn only_those_are_asked_who_must_be_able_to_answer() {
    let file = File::new(8, 4);
    let mut setup = TorrentConfig::new(InfoHashes::Hybrid { v1: HASH, v2: V2 }, US, file.sizes());
    setup.trees = Some(Arc::clone(&file) as Arc<dyn PieceTrees>);
    let mut rig = Rig::new(setup);
    let liar = rig.joins_v2(1, &file.full());
    rig.says(liar, &[Message::Unchoke]);
    let v1 = rig.joins(2, &file.full());
    let lacks = rig.joins_v2(3, &Bitfield::empty(2));
    for _ in 0..8 {
        for block in rig.asked(liar) {
            rig.delivers(liar, block, 9);
        }
    }
    file.judge(&mut rig);
    assert_eq!(hashes_asked(&mut rig, v1), []);
    assert_eq!(hashes_asked(&mut rig, lacks), []);
    let failed = rig.desk.events.iter();
    let failed = failed.filter(|event| matches!(event, Event::PieceFailed { .. }));
    assert!(failed.count() > 0);
}

#[test]
fn few_pieces_are_in_doubt_at_once() {
    let count = PROBES_MAX as u32 + 4;
    let file = File::new(2 * count, 2);
    let mut rig = file.rig();
    let liar = rig.joins_v2(1, &file.full());
    let others: Vec<PeerKey> = (2..30).map(|n| rig.joins_v2(n, &file.full())).collect();
    rig.says(liar, &[Message::Unchoke]);
    let mut asked = rig.asked(liar);
    while let Some(block) = asked.pop() {
        rig.delivers(liar, block, 9);
        asked.extend(rig.asked(liar));
    }
    assert_eq!(rig.desk.verify.len(), count as usize);
    file.judge(&mut rig);
    let asked: usize = others
        .iter()
        .map(|&peer| hashes_asked(&mut rig, peer).len())
        .sum();
    assert_eq!(asked, PROBES_MAX);
    assert_eq!(rig.desk.abandoned.len(), 4);
}

/// The wrong block comes again from another peer, wrong again: that one is banned as well, and the rest of
/// the piece stays.
#[test]
fn a_second_wrong_copy_costs_its_sender_and_no_other_block() {
    let mut spoilt = Spoilt::new(3, &[5]);
    let wrong = spoilt.file.blocks(0)[5];
    let (first, request) = spoilt.asked().expect("one is asked");
    spoilt.answers(first, request);
    let second_liar = spoilt.others[0];
    spoilt.rig.says(second_liar, &[Message::Unchoke]);
    assert_eq!(spoilt.rig.asked(second_liar), [wrong]);
    let rubbish = vec![9; wrong.len as usize];
    spoilt.rig.delivers_bytes(second_liar, wrong, &rubbish);
    spoilt.file.judge(&mut spoilt.rig);
    let (again, request) = spoilt.asked().expect("one is asked again");
    spoilt.answers(again, request);
    let why = BanReason::SentBadBlock(wrong);
    assert_eq!(bans(&spoilt.rig), [banned(2, why), banned(3, why)]);
    assert_eq!(
        spoilt.rig.desk.refetched,
        vec![(PieceIndex(0), vec![wrong]); 2]
    );
    assert_eq!(
        spoilt.rig.torrent.stats(spoilt.rig.now).failed_bytes,
        32_768
    );
    assert!(!spoilt.is_given_up());
}

/// Hashes of other places, of another number, and those that nobody asked for: none of them is evidence. Who
/// goes on with them is closed, and the next peer is asked.
#[test]
fn hashes_that_were_not_asked_for_are_no_answer() {
    let mut spoilt = Spoilt::new(3, &[5]);
    let (peer, request) = spoilt.asked().expect("one is asked");
    let hashes = spoilt.file.answer(request);
    let other_place = HashRequest {
        index: 8,
        ..request
    };
    answers(&mut spoilt.rig, peer, other_place, &hashes);
    for other in spoilt.others.clone() {
        if other != peer {
            answers(&mut spoilt.rig, other, request, &hashes);
            assert!(!spoilt.rig.is_closed(other));
        }
    }
    assert_eq!(spoilt.rig.desk.refetched, []);
    assert_eq!(spoilt.asked(), None, "the first one is still waited for");
    for _ in 0..HASHES_UNASKED_MAX {
        answers(&mut spoilt.rig, peer, other_place, &hashes);
    }
    assert!(spoilt.rig.is_closed(peer));
    spoilt.others.retain(|other| *other != peer);
    let (next, request) = spoilt.asked().expect("the next one is asked");
    answers(&mut spoilt.rig, next, request, &hashes[32..]);
    assert!(spoilt.rig.is_closed(next), "one hash is missing");
    assert_eq!(spoilt.rig.desk.refetched, []);
    assert_eq!(bans(&spoilt.rig), []);
    spoilt.others.retain(|other| *other != next);
    let (last, request) = spoilt.asked().expect("the last one is asked");
    spoilt.answers(last, request);
    assert_eq!(spoilt.rig.desk.refetched.len(), 1);
}
