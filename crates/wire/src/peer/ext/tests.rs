use proptest::prelude::*;

use super::*;

fn addr(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

#[test]
fn an_extension_handshake_comes_back_from_its_bytes() {
    let handshake = ExtHandshake {
        ids: vec![(b"ut_metadata".to_vec(), 2), (UT_PEX.to_vec(), 1)],
        client: Some(b"skep 0.1.0".to_vec()),
        listen_port: Some(6881),
        requests_max: Some(500),
        upload_only: Some(true),
        metadata_size: Some(31_235),
        your_ip: Some(IpAddr::from([127, 0, 0, 9])),
    };
    let bytes = handshake.encode();
    let expected = b"d1:md11:ut_metadatai2e6:ut_pexi1ee13:metadata_sizei31235e1:pi6881e\
        4:reqqi500e11:upload_onlyi1e1:v10:skep 0.1.06:yourip4:\x7f\0\0\x09e";
    assert_eq!(
        bytes.escape_ascii().to_string(),
        expected.escape_ascii().to_string()
    );
    assert_eq!(ExtHandshake::decode(&bytes), Ok(handshake));
}

#[test]
fn the_handshake_of_bep_10_is_read() {
    let got = ExtHandshake::decode(
        b"d1:md11:LT_metadatai1e6:\xb5T_PEXi2ee1:pi6881e1:v13:\xc2\xb5Torrent 1.2e",
    );
    let got = got.unwrap();
    assert_eq!(got.id_of(b"LT_metadata"), Some(1));
    assert_eq!(got.id_of(b"\xb5T_PEX"), Some(2));
    assert_eq!(got.listen_port, Some(6881));
    assert_eq!(got.client.as_deref(), Some("µTorrent 1.2".as_bytes()));
    assert_eq!(got.upload_only, None);
}

#[test]
fn an_extension_with_id_0_is_disabled_and_so_kept_but_not_offered() {
    let got = ExtHandshake::decode(b"d1:md6:ut_pexi0eee").unwrap();
    assert_eq!(got.ids, [(b"ut_pex".to_vec(), 0)]);
    assert_eq!(got.id_of(UT_PEX), None);
}

#[test]
fn fields_of_a_wrong_type_or_range_are_left_out() {
    for (payload, why) in [
        (&b"d1:mi1ee"[..], "m is no dictionary"),
        (b"d1:md6:ut_pex1:1ee", "an id is no integer"),
        (b"d1:md6:ut_pexi256eee", "an id is beyond a byte"),
        (b"d1:md6:ut_pexi-1eee", "an id is negative"),
        (b"d1:pi65536ee", "a port is beyond 16 bits"),
        (b"d1:pi0ee", "a port is 0"),
        (b"d4:reqqi-5ee", "a count is negative"),
        (
            b"d13:metadata_sizei99999999999ee",
            "a size is beyond 32 bits",
        ),
        (b"d1:vi7ee", "a name is no string"),
        (b"d6:yourip5:abcdee", "an address has 5 bytes"),
    ] {
        assert_eq!(
            ExtHandshake::decode(payload),
            Ok(ExtHandshake::default()),
            "{why}"
        );
    }
    let long = [&b"d1:v300:"[..], &[b'x'; 300], b"e"].concat();
    assert_eq!(ExtHandshake::decode(&long), Ok(ExtHandshake::default()));
}

#[test]
fn a_flood_of_extension_names_is_cut_at_the_limit() {
    let mut names = Dict::new();
    (0..500).for_each(|n| names.put(format!("ext{n:03}"), 7));
    let got = ExtHandshake::decode(&Dict::new().with("m", names).encode()).unwrap();
    assert_eq!(got.ids.len(), EXT_NAMES_MAX);
}

#[test]
fn what_is_no_dictionary_is_refused() {
    assert_eq!(ExtHandshake::decode(b"le"), Err(ExtError::NotDict));
    assert_eq!(Pex::decode(b"i1e"), Err(ExtError::NotDict));
    assert!(matches!(
        ExtHandshake::decode(b""),
        Err(ExtError::Bencode(_))
    ));
    assert!(matches!(Pex::decode(b"dejunk"), Err(ExtError::Bencode(_))));
}

#[test]
fn peer_exchange_reads_both_families_and_their_flags() {
    let payload = b"d5:added12:\x7f\0\0\x01\x1a\xe1\x7f\0\0\x02\x1a\xe27:added.f2:\x02\x10\
        6:added618:\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x1a\xe18:added6.f1:\x01\
        7:dropped6:\x7f\0\0\x03\0\x508:dropped60:e";
    let got = Pex::decode(payload).unwrap();
    let added = [
        PexPeer {
            addr: addr("127.0.0.1:6881"),
            flags: 0x02,
        },
        PexPeer {
            addr: addr("127.0.0.2:6882"),
            flags: 0x10,
        },
        PexPeer {
            addr: addr("[2001:db8::1]:6881"),
            flags: 0x01,
        },
    ];
    assert_eq!(got.added, added);
    assert_eq!(got.dropped, [addr("127.0.0.3:80")]);
    assert_eq!(got.left_out, 0);
}

#[test]
fn missing_flags_are_zero() {
    let got = Pex::decode(b"d5:added6:\x7f\0\0\x01\x1a\xe1e").unwrap();
    assert_eq!(
        got.added,
        [PexPeer {
            addr: addr("127.0.0.1:6881"),
            flags: 0
        }]
    );
}

#[test]
fn broken_address_lists_are_refused_by_name() {
    for (payload, error) in [
        (
            &b"d5:added5:aaaaae"[..],
            ExtError::AddrsLen {
                field: "added",
                len: 5,
                unit: 6,
            },
        ),
        (
            b"d6:added66:aaaaaae",
            ExtError::AddrsLen {
                field: "added6",
                len: 6,
                unit: 18,
            },
        ),
        (
            b"d7:dropped1:ae",
            ExtError::AddrsLen {
                field: "dropped",
                len: 1,
                unit: 6,
            },
        ),
        (
            b"d8:dropped61:ae",
            ExtError::AddrsLen {
                field: "dropped6",
                len: 1,
                unit: 18,
            },
        ),
        (b"d5:addedlee", ExtError::FieldType { field: "added" }),
        (b"d7:added.fi1ee", ExtError::FieldType { field: "added.f" }),
    ] {
        assert_eq!(Pex::decode(payload), Err(error));
    }
}

#[test]
fn a_piece_that_is_taken_back_is_one_number() {
    let payload = encode_dont_have(PieceIndex(0x0102_0304));
    assert_eq!(payload, [1, 2, 3, 4]);
    assert_eq!(decode_dont_have(&payload), Ok(PieceIndex(0x0102_0304)));
    for got in [0, 3, 5] {
        let error = ExtError::Len { got, expected: 4 };
        assert_eq!(decode_dont_have(&[0; 5][..got]), Err(error));
    }
}

#[test]
fn a_flood_of_exchanged_peers_is_cut_at_the_limit_and_counted() {
    let peers = |unit: usize| vec![1u8; unit * (PEX_PEERS_MAX + 3)];
    let dict = Dict::new()
        .with("added", peers(6))
        .with("added6", peers(18));
    let got = Pex::decode(&dict.with("dropped", peers(6)).encode()).unwrap();
    assert_eq!(got.added.len(), 2 * PEX_PEERS_MAX);
    assert_eq!(got.dropped.len(), PEX_PEERS_MAX);
    assert_eq!(got.left_out, 9);
}

proptest! {
    #[test]
    fn peer_exchange_comes_back_from_its_bytes(
        added in proptest::collection::vec(any::<([u8; 4], u16, u8)>(), 0..20),
        added6 in proptest::collection::vec(any::<([u8; 16], u16, u8)>(), 0..20),
        dropped in proptest::collection::vec(any::<([u8; 4], u16)>(), 0..20),
    ) {
        let v4 = added.iter().map(|&(ip, port, flags)| PexPeer { addr: (ip, port).into(), flags });
        let v6 = added6.iter().map(|&(ip, port, flags)| PexPeer { addr: (ip, port).into(), flags });
        let pex = Pex {
            added: v4.chain(v6).collect(),
            dropped: dropped.into_iter().map(SocketAddr::from).collect(),
            left_out: 0,
        };
        prop_assert_eq!(Pex::decode(&pex.encode()), Ok(pex));
    }

    #[test]
    fn a_changed_byte_never_panics(at: prop::sample::Index, byte: u8) {
        let mut payload = b"d5:added6:\x7f\0\0\x01\x1a\xe17:added.f1:\x021:md6:ut_pexi1eee".to_vec();
        let at = at.index(payload.len());
        payload[at] = byte;
        let _ = Pex::decode(&payload);
        let _ = ExtHandshake::decode(&payload);
    }
}
