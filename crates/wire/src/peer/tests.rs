use proptest::prelude::*;

use super::*;

const BLOCK: Block = Block {
    piece: PieceIndex(7),
    begin: 0x4000,
    len: 0x4000,
};

/// Every kind of message beside its bytes, written out by hand from BEP 3, 5, 6, 10 and 52.
fn table() -> Vec<(Message<'static>, &'static [u8])> {
    vec![
        (Message::KeepAlive, b"\0\0\0\0"),
        (Message::Choke, b"\0\0\0\x01\0"),
        (Message::Unchoke, b"\0\0\0\x01\x01"),
        (Message::Interested, b"\0\0\0\x01\x02"),
        (Message::NotInterested, b"\0\0\0\x01\x03"),
        (
            Message::Have(PieceIndex(0x0102_0304)),
            b"\0\0\0\x05\x04\x01\x02\x03\x04",
        ),
        (Message::Bitfield(b"\xf0"), b"\0\0\0\x02\x05\xf0"),
        (
            Message::Request(BLOCK),
            b"\0\0\0\x0d\x06\0\0\0\x07\0\0\x40\0\0\0\x40\0",
        ),
        (
            Message::Piece(BLOCK),
            b"\0\0\x40\x09\x07\0\0\0\x07\0\0\x40\0",
        ),
        (
            Message::Cancel(BLOCK),
            b"\0\0\0\x0d\x08\0\0\0\x07\0\0\x40\0\0\0\x40\0",
        ),
        (Message::Port(6881), b"\0\0\0\x03\x09\x1a\xe1"),
        (
            Message::SuggestPiece(PieceIndex(1)),
            b"\0\0\0\x05\x0d\0\0\0\x01",
        ),
        (Message::HaveAll, b"\0\0\0\x01\x0e"),
        (Message::HaveNone, b"\0\0\0\x01\x0f"),
        (
            Message::RejectRequest(BLOCK),
            b"\0\0\0\x0d\x10\0\0\0\x07\0\0\x40\0\0\0\x40\0",
        ),
        (
            Message::AllowedFast(PieceIndex(2)),
            b"\0\0\0\x05\x11\0\0\0\x02",
        ),
        (
            Message::Extended {
                id: 3,
                payload: b"de",
            },
            b"\0\0\0\x04\x14\x03de",
        ),
        (Message::HashRequest(ASK), ASK_FRAME),
        (
            Message::Hashes {
                request: ASK,
                hashes: &[9; 96],
            },
            &HASHES_FRAME,
        ),
        (Message::HashReject(ASK), &REJECT_FRAME),
        (
            Message::Unknown {
                id: MessageId(24),
                payload: b"x",
            },
            b"\0\0\0\x02\x18x",
        ),
    ]
}

/// Two hashes of layer 3 from the sixth on, and one uncle.
const ASK: HashRequest = HashRequest {
    root: skep_hash::Sha256Digest(*b"the root of a file with 32 bytes"),
    base_layer: 3,
    index: 6,
    length: 2,
    proof_layers: 1,
};

const ASK_FRAME: &[u8; 53] =
    b"\0\0\0\x31\x15the root of a file with 32 bytes\0\0\0\x03\0\0\0\x06\0\0\0\x02\0\0\0\x01";

const REJECT_FRAME: [u8; 53] = {
    let mut frame = *ASK_FRAME;
    frame[4] = 23;
    frame
};

const HASHES_FRAME: [u8; 149] = {
    let mut frame = [9; 149];
    let (head, _) = frame.split_at_mut(53);
    head.copy_from_slice(ASK_FRAME);
    frame[3] += 96;
    frame[4] = 22;
    frame
};

fn decode_frame(frame: &[u8]) -> Result<Message<'_>, MessageError> {
    let (len, body) = frame.split_first_chunk().expect("a frame has a length");
    decode(u32::from_be_bytes(*len), body)
}

#[test]
fn every_message_encodes_to_the_bytes_of_its_bep_and_back() {
    for (message, bytes) in table() {
        assert_eq!(message.to_bytes(), bytes, "{message:?}");
        assert_eq!(decode_frame(bytes).as_ref(), Ok(&message));
        assert_eq!(message.id().map(|id| id.0), bytes.get(4).copied());
    }
}

#[test]
fn messages_of_fixed_length_are_refused_at_any_other_length() {
    for (message, bytes) in table() {
        let fixed = match message {
            Message::KeepAlive
            | Message::Bitfield(_)
            | Message::Piece(_)
            | Message::Extended { .. }
            | Message::Hashes { .. }
            | Message::Unknown { .. } => continue,
            fixed => fixed,
        };
        let id = fixed.id().unwrap();
        let expected = bytes.len() as u32 - 4;
        let mut longer = bytes[4..].to_vec();
        longer.push(0);
        let got = decode(expected + 1, &longer);
        assert_eq!(
            got,
            Err(MessageError::Len {
                id,
                len: expected + 1,
                expected
            }),
            "{fixed:?}"
        );
        if expected > 1 {
            let got = decode(expected - 1, &bytes[4..bytes.len() - 1]);
            assert_eq!(
                got,
                Err(MessageError::Len {
                    id,
                    len: expected - 1,
                    expected
                })
            );
        }
    }
}

#[test]
fn hashes_without_their_request_or_with_part_of_a_digest_are_refused() {
    let id = MessageId::HASHES;
    let (len, least) = (48, 49);
    let got = decode(48, &HASHES_FRAME[4..52]);
    assert_eq!(got, Err(MessageError::TooShort { id, len, least }));
    let got = decode(49 + 33, &HASHES_FRAME[4..][..49 + 33]);
    assert_eq!(got, Err(MessageError::HashesLen { len: 33 }));
    let none = decode(49, &HASHES_FRAME[4..53]);
    let (request, hashes) = (ASK, &[][..]);
    assert_eq!(none, Ok(Message::Hashes { request, hashes }));
    assert_eq!(hashes::digests(&[9; 96]).count(), 3);
}

#[test]
fn a_piece_without_its_nine_bytes_and_an_extended_without_its_id_are_too_short() {
    let id = MessageId::PIECE;
    assert_eq!(
        decode(8, &[7, 0, 0, 0, 0, 0, 0, 0]),
        Err(MessageError::TooShort {
            id,
            len: 8,
            least: 9
        })
    );
    let id = MessageId::EXTENDED;
    assert_eq!(
        decode(1, &[20]),
        Err(MessageError::TooShort {
            id,
            len: 1,
            least: 2
        })
    );
}

#[test]
fn a_body_of_another_length_than_its_prefix_is_the_callers_error_and_no_panic() {
    assert_eq!(
        decode(5, &[4, 0, 0]),
        Err(MessageError::Body {
            got: 3,
            expected: 5
        })
    );
    assert_eq!(
        decode(1, &[]),
        Err(MessageError::Body {
            got: 0,
            expected: 1
        })
    );
    assert_eq!(
        decode(0, &[0]),
        Err(MessageError::Body {
            got: 1,
            expected: 0
        })
    );
    let whole_piece = [7, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    assert_eq!(
        decode(10, &whole_piece),
        Err(MessageError::Body {
            got: 10,
            expected: 9
        })
    );
}

#[test]
fn a_handshake_is_68_bytes_that_begin_with_the_protocol_name() {
    let handshake = Handshake {
        reserved: Reserved::OURS,
        info_hash: InfoHash(*b"aaaaaaaaaaaaaaaaaaaa"),
        peer_id: PeerId(*b"-SK0100-bbbbbbbbbbbb"),
    };
    let bytes = handshake.encode();
    let expected =
        b"\x13BitTorrent protocol\0\0\0\0\0\x10\0\x04aaaaaaaaaaaaaaaaaaaa-SK0100-bbbbbbbbbbbb";
    assert_eq!(&bytes, expected);
    assert_eq!(Handshake::decode(&bytes), Ok(handshake));
    assert!(handshake.reserved.extended() && handshake.reserved.fast());
}

#[test]
fn the_bit_of_version_2_is_the_fourth_of_the_last_byte() {
    let reserved = Reserved::OURS.with_v2(true);
    assert_eq!(reserved.0, [0, 0, 0, 0, 0, 0x10, 0, 0x14]);
    assert!(reserved.v2() && !Reserved::OURS.v2());
    assert_eq!(reserved.with_v2(false), Reserved::OURS);
}

#[test]
fn another_protocol_is_known_by_its_first_byte() {
    for len in 0..=HANDSHAKE_LEN {
        let bytes = [&b"\x13BitTorrent protocol"[..], &[0; 48]].concat();
        assert_eq!(Handshake::check_prefix(&bytes[..len]), Ok(()));
    }
    let got = Handshake::check_prefix(b"HTTP/1.1 400 Bad Request\r\n");
    assert_eq!(
        got,
        Err(HandshakeError::WrongProtocol {
            got: b"HTTP/1.1 400 Bad Req".to_vec()
        })
    );
    assert!(Handshake::check_prefix(b"H").is_err());
    assert!(Handshake::check_prefix(b"\x13BitTorrent Protocol").is_err());
    assert_eq!(
        got.unwrap_err().to_string(),
        "handshake begins with \"HTTP/1.1 400 Bad Req\", not with the protocol name"
    );
}

proptest! {
    #[test]
    fn any_body_decodes_to_an_error_or_to_what_encodes_to_it(body: Vec<u8>) {
        if let Ok(message) = decode(body.len() as u32, &body) {
            let bytes = message.to_bytes();
            let (len, rest) = bytes.split_first_chunk().unwrap();
            prop_assert_eq!(u32::from_be_bytes(*len) as usize, body.len());
            prop_assert_eq!(rest, body.as_slice());
        }
    }
}
