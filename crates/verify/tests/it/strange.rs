//! Whatever strangers send, in whatever order and however cut, the bundle of an honest operator
//! verifies: nobody can spoil evidence by talking nonsense.

use proptest::prelude::*;
use skep_sim::strangers::{Content, handshake};
use skep_wire::{
    Block, InfoHash, PieceIndex,
    peer::{Message, ext::ExtHandshake},
};

use crate::observation::{judge, said_by_one, small};

/// Something that a peer may say.
#[derive(Debug, Clone)]
enum Says {
    Have(u32),
    Bits(Vec<u8>),
    Plain(u8),
    Fast(u32),
    Reject(Block),
    Block { block: Block, forged: bool },
    Request(Block),
    Extended(Option<u16>),
    Raw(Vec<u8>),
}

fn blocks() -> impl Strategy<Value = Block> {
    let odd = (0..4_u32, 0..40_000_u32, 0..20_000_u32);
    let odd = odd.prop_map(|(piece, begin, len)| Block {
        piece: PieceIndex(piece),
        begin,
        len,
    });
    let whole = (0..2_u32, 0..2_u32).prop_map(|(piece, n)| Block {
        piece: PieceIndex(piece),
        begin: n * 16_384,
        len: 16_384,
    });
    prop_oneof![1 => odd, 6 => whole, 3 => Just(Block { piece: PieceIndex(2), begin: 0, len: 50 })]
}

fn says() -> impl Strategy<Value = Says> {
    prop_oneof![
        3 => (0..4_u32).prop_map(Says::Have),
        3 => prop_oneof![
            Just(vec![0b1110_0000]), Just(vec![0b1000_0000]), Just(vec![0b0010_0000]),
            proptest::collection::vec(any::<u8>(), 0..3),
        ].prop_map(Says::Bits),
        6 => (0..8_u8).prop_map(Says::Plain),
        2 => (0..4_u32).prop_map(Says::Fast),
        1 => blocks().prop_map(Says::Reject),
        8 => (blocks(), prop::bool::weighted(0.2)).prop_map(|(block, forged)| Says::Block { block, forged }),
        1 => blocks().prop_map(Says::Request),
        1 => any::<Option<u16>>().prop_map(Says::Extended),
        1 => proptest::collection::vec(any::<u8>(), 0..40).prop_map(Says::Raw),
    ]
}

fn encode(says: &Says, content: &Content, out: &mut Vec<u8>) {
    match says {
        Says::Have(piece) => Message::Have(PieceIndex(*piece)).encode(out),
        Says::Bits(bits) => Message::Bitfield(bits).encode(out),
        Says::Plain(0) => Message::Choke.encode(out),
        Says::Plain(1) => Message::Interested.encode(out),
        Says::Plain(2) => Message::NotInterested.encode(out),
        Says::Plain(3) => Message::KeepAlive.encode(out),
        Says::Plain(4) => Message::HaveAll.encode(out),
        Says::Plain(5) => Message::HaveNone.encode(out),
        Says::Plain(_) => Message::Unchoke.encode(out),
        Says::Fast(piece) => Message::AllowedFast(PieceIndex(*piece)).encode(out),
        Says::Reject(block) => Message::RejectRequest(*block).encode(out),
        Says::Request(block) => Message::Request(*block).encode(out),
        Says::Block { block, forged } => {
            Message::Piece(*block).encode(out);
            let from = block.piece.0 as usize * 32_768 + block.begin as usize;
            let byte = |at: usize| content.bytes.get(at).copied().unwrap_or(0) ^ u8::from(*forged);
            out.extend((from..from + block.len as usize).map(byte));
        }
        Says::Extended(port) => {
            let payload = ExtHandshake {
                listen_port: *port,
                ..ExtHandshake::default()
            }
            .encode();
            Message::Extended {
                id: 0,
                payload: &payload,
            }
            .encode(out);
        }
        Says::Raw(bytes) => out.extend(bytes),
    }
}

/// How it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Opening {
    /// With the handshake of a swarm that is not watched.
    OtherSwarm,
    /// With its handshake only.
    Bare,
    /// It claims all and unchokes, and says the rest later.
    Willing,
}

/// What it says, behind a handshake, cut into at most so many segments.
fn segments(
    content: &Content,
    all: &[Says],
    opening: Opening,
    cuts: &[prop::sample::Index],
) -> Vec<Vec<u8>> {
    let hash = match opening {
        Opening::OtherSwarm => InfoHash([9; 20]),
        Opening::Bare | Opening::Willing => content.target.metainfo.info_hash,
    };
    let mut bytes = handshake(hash, b"-XX0001-abcdefghijkl");
    if opening == Opening::Willing {
        encode(&Says::Bits(vec![0b1110_0000]), content, &mut bytes);
        Message::Unchoke.encode(&mut bytes);
    }
    let opened = bytes.len();
    all.iter()
        .for_each(|says| encode(says, content, &mut bytes));
    let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len())).collect();
    at.extend([0, opened, bytes.len()]);
    // No segment may be longer than an entry can say.
    at.extend((0..bytes.len()).step_by(60_000));
    at.sort_unstable();
    at.dedup();
    at.windows(2)
        .map(|ends| bytes[ends[0]..ends[1]].to_vec())
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_stranger_spoils_a_bundle(
        all in proptest::collection::vec(says(), 0..24),
        opening in prop_oneof![
            1 => Just(Opening::OtherSwarm),
            5 => Just(Opening::Bare),
            14 => Just(Opening::Willing),
        ],
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let content = small();
        let outcome = judge(&[said_by_one(&content, &segments(&content, &all, opening, &cuts))]);
        prop_assert!(outcome.verified(), "{}", outcome);
    }
}
