//! What version 2 and hybrids have of their own, on real sockets.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        mpsc::{self, Receiver, Sender},
    },
};

use skep_hash::{
    merkle::{self, Range, Shape},
    sha1,
};
use skep_net::session::{Session, What};
use skep_wire::{
    Block, PeerId, PieceIndex,
    metainfo::{Metainfo, Version},
    peer::{self, HANDSHAKE_LEN, Handshake, HashRequest, Message, Reserved, piece_header},
    piece::BLOCK_LEN,
};

use crate::{
    hostile::{read_until, unchoked},
    support::{Case, join_within},
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

/// Pieces of 16 blocks, so that what was right of the bad one is in several stripes.
const LONG: u32 = 16 * BLOCK_LEN;

const WRONG: Block = Block {
    piece: PieceIndex(1),
    begin: 5 * BLOCK_LEN,
    len: BLOCK_LEN,
};

/// One peer sends everything, with one wrong byte, and is banned. The other sends nothing until it was
/// asked for the hashes of the piece's blocks: after that one block comes again, and all others are kept.
/// The wrong block is sent only when the other peer is known to have the piece.
#[test]
fn of_a_bad_piece_of_version_2_only_the_wrong_block_comes_again() {
    for version in [Version::V2, Version::Hybrid] {
        let files = [("a", 3 * LONG as usize + 777), ("empty", 0)];
        let case = Case::folder_of(version, &files, LONG);
        let content = Arc::new(std::fs::read(case.source().join("a")).expect("read"));
        let (is_there, go_on) = mpsc::channel();
        let liar = Seeder::Liar(go_on).listen(66, &case.torrent, &content);
        let witness = Seeder::Witness(is_there).listen(67, &case.torrent, &content);

        let (config, heard) = case.get(&[liar, witness]);
        let ended = join_within(Session::start(config).expect("started"), 120);
        assert!(ended.complete);
        case.assert_arrived();
        let failed = heard.all(|what| match what {
            What::BlocksFailed { piece, blocks } => Some((*piece, blocks.clone())),
            _ => None,
        });
        assert_eq!(failed, [(WRONG.piece, vec![WRONG])], "{version:?}");
        assert_eq!(
            heard.count(|what| matches!(what, What::PieceFailed { .. })),
            0
        );
        let banned = heard.all(|what| match what {
            What::PeerBanned { remote, .. } => Some(*remote),
            _ => None,
        });
        assert_eq!(banned, [liar]);
        let again = heard.blocks_received();
        let of_piece = again.iter().filter(|block| block.piece == WRONG.piece);
        assert_eq!(of_piece.count(), 16 + 1, "{version:?}");
        let downloaded = case.torrent.info.payload_bytes() + u64::from(BLOCK_LEN);
        assert_eq!(ended.stats.downloaded_bytes, downloaded, "{version:?}");
    }
}

/// A seeder for one connection.
enum Seeder {
    /// Sends all that it is asked for; one byte of [`WRONG`] is wrong, and this block waits for a word.
    Liar(Receiver<()>),
    /// Says when its peer is interested; unchokes it once it was asked for hashes.
    Witness(Sender<()>),
}

impl Seeder {
    fn listen(self, host: u8, torrent: &Arc<Metainfo>, content: &Arc<Vec<u8>>) -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::new(127, 0, 0, host), 0)).expect("bound");
        let addr = listener.local_addr().expect("bound");
        let (torrent, content) = (torrent.clone(), content.clone());
        std::thread::spawn(move || {
            let (stream, _) = listener.accept().expect("accepted");
            self.serve(stream, host, &torrent, &content);
        });
        addr
    }

    /// Ends with the connection.
    fn serve(self, mut stream: TcpStream, host: u8, torrent: &Metainfo, content: &[u8]) {
        let mut theirs = [0; HANDSHAKE_LEN];
        stream.read_exact(&mut theirs).expect("a handshake");
        let ours = Handshake {
            reserved: Reserved::OURS,
            info_hash: torrent.info_hash_v2.expect("it has one").truncated(),
            peer_id: PeerId([host; 20]),
        };
        let mut out = ours.encode().to_vec();
        Message::HaveAll.encode(&mut out);
        if matches!(self, Self::Liar(_)) {
            Message::Unchoke.encode(&mut out);
        }
        while stream.write_all(&out).is_ok() {
            out.clear();
            let mut len = [0; 4];
            if stream.read_exact(&mut len).is_err() {
                return;
            }
            let mut body = vec![0; u32::from_be_bytes(len) as usize];
            if stream.read_exact(&mut body).is_err() {
                return;
            }
            match peer::decode(body.len() as u32, &body).expect("we speak the protocol") {
                Message::Interested => {
                    if let Self::Witness(is_there) = &self {
                        // Once the liar is gone nobody waits.
                        let _ = is_there.send(());
                    }
                }
                Message::Request(block) => {
                    let begin = (block.piece.0 * LONG + block.begin) as usize;
                    let mut bytes = content[begin..begin + block.len as usize].to_vec();
                    if let (Self::Liar(go_on), true) = (&self, block == WRONG) {
                        go_on.recv().expect("the other comes");
                        bytes[77] ^= 1;
                    }
                    out.extend_from_slice(&piece_header(block));
                    out.extend_from_slice(&bytes);
                }
                Message::HashRequest(request) => {
                    let hashes = &hashes(content, request);
                    Message::Hashes { request, hashes }.encode(&mut out);
                    Message::Unchoke.encode(&mut out);
                }
                _ => {}
            }
        }
    }
}

/// The right answer to a request for hashes of the only file.
fn hashes(content: &[u8], request: HashRequest) -> Vec<u8> {
    let leaves: Vec<_> = content
        .chunks(BLOCK_LEN as usize)
        .map(merkle::leaf)
        .collect();
    let range = Range {
        base_layer: request.base_layer,
        index: request.index,
        length: request.length,
        proof_layers: request.proof_layers,
    };
    let shape = Shape::of_len(content.len() as u64);
    let hashes = shape.answer(&range, &leaves).expect("it makes sense");
    hashes.into_iter().flat_map(|hash| hash.0).collect()
}
