use std::net::SocketAddr;

use proptest::prelude::*;

use super::*;

/// The packets of BEP 15, field by field as its tables have them.
#[test]
fn requests_have_the_layout_of_the_specification() {
    let mut connect = Vec::new();
    let transaction = TransactionId(0x0102_0304);
    Request::Connect { transaction }.encode(&mut connect);
    assert_eq!(connect, hex("00000417 27101980 00000000 01020304"));

    let request = announce();
    let mut bytes = Vec::new();
    request.encode(&mut bytes);
    let expected = hex("a0a1a2a3a4a5a6a7 00000001 01020304 \
         1111111111111111111111111111111111111111 2222222222222222222222222222222222222222 \
         0000000000000005 0000000000000006 0000000000000007 00000002 00000000 deadbeef ffffffff 1ae1");
    assert_eq!(bytes.len(), 98);
    assert_eq!(bytes, expected);
    assert_eq!(Request::decode(&bytes), Ok(request));

    let scrape = Request::Scrape {
        connection: ConnectionId(1),
        transaction,
        info_hashes: vec![InfoHash([3; 20]), InfoHash([4; 20])],
    };
    let mut bytes = Vec::new();
    scrape.encode(&mut bytes);
    assert_eq!(bytes[..16], hex("0000000000000001 00000002 01020304"));
    assert_eq!(bytes.len(), 16 + 2 * 20);
    assert_eq!(Request::decode(&bytes), Ok(scrape));
}

#[test]
fn replies_have_the_layout_of_the_specification() {
    let transaction = TransactionId(0x0102_0304);
    let decode = |text: &str| Reply::decode(&hex(text), Family::V4).unwrap();
    let connection = ConnectionId(0xa0a1_a2a3_a4a5_a6a7);
    assert_eq!(
        decode("00000000 01020304 a0a1a2a3a4a5a6a7"),
        Reply::Connect {
            transaction,
            connection
        }
    );
    let reply = AnnounceReply {
        interval_secs: 1_800,
        complete: Some(2),
        incomplete: Some(1),
        peers: vec![addr("10.0.0.1:6881"), addr("10.0.0.2:1")],
        ..AnnounceReply::default()
    };
    let bytes = "00000001 01020304 00000708 00000001 00000002 0a0000011ae1 0a0000020001";
    let announced = Reply::Announce { transaction, reply };
    assert_eq!(decode(bytes), announced);
    let mut encoded = Vec::new();
    announced.encode(Family::V4, &mut encoded);
    assert_eq!(encoded, hex(bytes));
    let entries = vec![ScrapeEntry {
        complete: 1,
        downloaded: 2,
        incomplete: 3,
    }];
    assert_eq!(
        decode("00000002 01020304 00000001 00000002 00000003"),
        Reply::Scrape {
            transaction,
            entries
        }
    );
    assert_eq!(
        decode("00000003 01020304 6e6f"),
        Reply::Error {
            transaction,
            message: "no".to_owned()
        }
    );
}

/// BEP 15, "IPv6": the stride is 18, decided by the datagram's own family.
#[test]
fn endpoints_have_the_size_of_the_datagrams_family() {
    let bytes =
        hex("00000001 00000000 00000708 00000000 00000000 20010db8000000000000000000000001 1ae1");
    let peers = |family| match Reply::decode(&bytes, family).unwrap() {
        Reply::Announce { reply, .. } => reply,
        other => panic!("{other:?}"),
    };
    assert_eq!(peers(Family::V6).peers, [addr("[2001:db8::1]:6881")]);
    assert_eq!(peers(Family::V4).peers.len(), 3);
    assert_eq!(peers(Family::V4).oddities, []);
}

/// BEP 41: options after the announce, torn ones included.
#[test]
fn url_data_is_joined_from_its_options() {
    let with = |options: &[u8]| {
        let mut bytes = Vec::new();
        announce().encode(&mut bytes);
        bytes.extend_from_slice(options);
        match Request::decode(&bytes).unwrap() {
            Request::Announce { url_data, .. } => String::from_utf8(url_data).unwrap(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(
        with(b"\x02\x04/dir\x01\x02\x04?a=b\x00\x02\x01x"),
        "/dir?a=b"
    );
    assert_eq!(with(b"\x09\x02zz\x02\x01/"), "/");
    assert_eq!(with(b"\x02\x00"), "");
    assert_eq!(with(b"\x02"), "");
    assert_eq!(with(b"\x02\x05/a"), "");
    let Request::Announce {
        connection,
        transaction,
        announce,
        ..
    } = announce()
    else {
        unreachable!("it is one")
    };
    let url_data = [b'/'; 600].to_vec();
    let long = Request::Announce {
        connection,
        transaction,
        announce,
        url_data,
    };
    let mut bytes = Vec::new();
    long.encode(&mut bytes);
    assert_eq!(bytes.len(), 98 + 600 + 3 * 2);
    assert_eq!(Request::decode(&bytes), Ok(long));
}

#[test]
fn malformed_datagrams_are_refused() {
    let request = |text: &str| Request::decode(&hex(text)).expect_err("an error");
    assert_eq!(
        request(""),
        UdpError::TooShort {
            len: 0,
            expected: 16
        }
    );
    let got = 0x417_2710_1981;
    assert_eq!(
        request("0000041727101981 00000000 00000000"),
        UdpError::WrongProtocol { got }
    );
    assert_eq!(
        request("0000000000000000 00000003 00000000"),
        UdpError::UnexpectedAction { got: Action(3) }
    );
    assert_eq!(
        request("0000000000000000 00000001 00000000"),
        UdpError::TooShort {
            len: 16,
            expected: 98
        }
    );
    let mut bytes = Vec::new();
    announce().encode(&mut bytes);
    bytes[83] = 4;
    assert_eq!(
        Request::decode(&bytes),
        Err(UdpError::UnknownEvent { got: 4 })
    );
    let reply = |text: &str| Reply::decode(&hex(text), Family::V4).expect_err("an error");
    assert_eq!(
        reply("00000000"),
        UdpError::TooShort {
            len: 4,
            expected: 8
        }
    );
    assert_eq!(
        reply("00000000 00000000 00"),
        UdpError::TooShort {
            len: 9,
            expected: 16
        }
    );
    assert_eq!(
        reply("00000001 00000000 00000708 00000000 000000"),
        UdpError::TooShort {
            len: 19,
            expected: 20
        }
    );
    assert_eq!(
        reply("00000009 00000000"),
        UdpError::UnexpectedAction { got: Action(9) }
    );
}

#[test]
fn negative_and_enormous_intervals_are_clamped_and_what_was_said_is_kept() {
    let interval = |secs: &str| {
        let bytes = hex(&format!("00000001 00000000 {secs} 00000000 00000000"));
        match Reply::decode(&bytes, Family::V4).unwrap() {
            Reply::Announce { reply, .. } => (reply.interval_secs, reply.oddities),
            other => panic!("{other:?}"),
        }
    };
    let odd = |said, used| {
        (
            used,
            vec![Oddity::Interval {
                what: "interval",
                said,
                used,
            }],
        )
    };
    assert_eq!(interval("00000001"), (1, vec![]));
    assert_eq!(interval("ffffffff"), odd(-1, 1_800));
    assert_eq!(interval("00000000"), odd(0, 1_800));
    assert_eq!(interval("7fffffff"), odd(0x7fff_ffff, 86_400));
}

/// A full datagram of endpoints, and one endpoint cut in the middle.
#[test]
fn more_peers_than_are_kept_are_counted() {
    let mut bytes = hex("00000001 00000000 00000708 00000000 00000000");
    bytes.extend(vec![7; 6 * (PEERS_PER_REPLY_MAX + 3) + 1]);
    let Reply::Announce { reply, .. } = Reply::decode(&bytes, Family::V4).unwrap() else {
        panic!("it is one")
    };
    assert_eq!(reply.peers.len(), PEERS_PER_REPLY_MAX);
    let (said, kept) = (PEERS_PER_REPLY_MAX + 3, PEERS_PER_REPLY_MAX);
    let ragged = Oddity::RaggedPeers {
        key: "peers",
        len: 6 * said + 1,
        stride: 6,
    };
    assert_eq!(
        reply.oddities,
        [Oddity::TooManyPeers { said, kept }, ragged]
    );
}

#[test]
fn error_texts_become_printable() {
    let bytes = [
        &hex("00000003 00000000")[..],
        b"a\x1b[31m\xff",
        &[b'x'; 2_000],
    ]
    .concat();
    let Reply::Error { message, .. } = Reply::decode(&bytes, Family::V4).unwrap() else {
        panic!("it is one")
    };
    assert!(message.starts_with("a\\u{1b}[31m\u{fffd}x"), "{message}");
    assert!(message.len() < 600);
}

proptest! {
    #[test]
    fn any_request_that_is_read_is_written_as_it_came(bytes in prop::collection::vec(any::<u8>(), 0..220), action in 0u32..4) {
        let mut bytes = bytes;
        if bytes.len() >= 12 {
            bytes[8..12].copy_from_slice(&action.to_be_bytes());
        }
        if bytes.len() >= 84 {
            bytes[80..83].fill(0);
        }
        if let Ok(request) = Request::decode(&bytes) {
            let mut again = Vec::new();
            request.encode(&mut again);
            prop_assert_eq!(Request::decode(&again), Ok(request));
        }
    }

    #[test]
    fn any_reply_that_is_read_reads_the_same_again(bytes in prop::collection::vec(any::<u8>(), 0..220), action in 0u32..4, v6: bool) {
        let mut bytes = bytes;
        if bytes.len() >= 4 {
            bytes[..4].copy_from_slice(&action.to_be_bytes());
        }
        let family = if v6 { Family::V6 } else { Family::V4 };
        let Ok(mut reply) = Reply::decode(&bytes, family) else { return Ok(()) };
        match &mut reply {
            Reply::Announce { reply, .. } => reply.oddities.clear(),
            // A message is made printable, and grows by that.
            Reply::Error { message, .. } => {
                prop_assert!(!message.contains(char::is_control));
                return Ok(());
            }
            Reply::Connect { .. } | Reply::Scrape { .. } => {}
        }
        let mut again = Vec::new();
        reply.encode(family, &mut again);
        prop_assert_eq!(Reply::decode(&again, family), Ok(reply));
    }
}

fn announce() -> Request {
    Request::Announce {
        connection: ConnectionId(0xa0a1_a2a3_a4a5_a6a7),
        transaction: TransactionId(0x0102_0304),
        announce: AnnounceRequest {
            info_hash: InfoHash([0x11; 20]),
            peer_id: PeerId([0x22; 20]),
            port: 6881,
            uploaded: 7,
            downloaded: 5,
            left: 6,
            event: AnnounceEvent::Started,
            num_want: None,
            key: 0xdead_beef,
            ip: None,
            compact: true,
        },
        url_data: Vec::new(),
    }
}

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .bytes()
        .filter(|byte| !byte.is_ascii_whitespace())
        .map(|byte| char::from(byte).to_digit(16).unwrap() as u8)
        .collect();
    digits
        .chunks(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect()
}
