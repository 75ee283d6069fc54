use std::net::SocketAddr;

use proptest::prelude::*;

use super::*;
use crate::{
    InfoHash, PeerId,
    http::Url,
    tracker::{
        AnnounceEvent, AnnounceReply, AnnounceRequest, Oddity, PEERS_PER_REPLY_MAX, ScrapeEntry,
    },
};

/// The info-hash and its coding are the example of the unofficial specification of BEP 3.
#[test]
fn raw_bytes_are_percent_coded() {
    let hash = b"\x12\x34\x56\x78\x9a\xbc\xde\xf1\x23\x45\x67\x89\xab\xcd\xef\x12\x34\x56\x78\x9a";
    let mut out = String::new();
    percent_encode(&mut out, hash);
    assert_eq!(out, "%124Vx%9A%BC%DE%F1%23Eg%89%AB%CD%EF%124Vx%9A");
    assert_eq!(percent_decode(out.as_bytes()).as_deref(), Some(&hash[..]));
    assert_eq!(
        percent_decode(b"%e0+%E0").as_deref(),
        Some(&b"\xe0+\xe0"[..])
    );
    for torn in [&b"%"[..], b"%1", b"%1g", b"%g1", b"%+1"] {
        assert_eq!(percent_decode(torn), None);
    }
}

#[test]
fn announce_is_read_as_it_was_built() {
    let request = announce();
    let url = Url::parse("http://t:1/announce?key=secret").unwrap();
    let target = announce_target(&url, &request, Some(b"id 1"));
    assert!(
        target.starts_with("/announce?key=secret&info_hash=%C0"),
        "{target}"
    );
    assert!(target.ends_with("&trackerid=id%201"), "{target}");
    let (_, query) = target.split_once('?').unwrap();
    assert_eq!(parse_announce(query.as_bytes()), Ok(request));
}

/// What libtorrent, Transmission and aria2 send, with what they send besides.
#[test]
fn announces_of_other_clients_are_read() {
    let hash = "info_hash=%00%01%02aaaaaaaaaaaaaaaaa&peer_id=-XX0001-aaaaaaaaaaaa";
    let query = format!(
        "{hash}&port=6881&uploaded=0&downloaded=0&left=16384&corrupt=0&key=3A5B&event=started\
         &numwant=200&compact=1&no_peer_id=1&supportcrypto=1&redundant=0&ipv6=%3A%3A1"
    );
    let read = parse_announce(query.as_bytes()).unwrap();
    assert_eq!((read.port, read.left, read.key), (6881, 16_384, 0x3a5b));
    assert_eq!(
        (read.event, read.num_want),
        (AnnounceEvent::Started, Some(200))
    );
    assert!(read.compact && read.ip.is_none());
    let odd =
        format!("{hash}&port=1&left=-1&numwant=-1&event=paused&compact=0&key=zz&ip=1.2.3.4&&x");
    let read = parse_announce(odd.as_bytes()).unwrap();
    assert_eq!((read.left, read.num_want), (u64::MAX, None));
    assert_eq!((read.event, read.compact), (AnnounceEvent::Regular, false));
    assert_eq!(read.ip, Some("1.2.3.4".parse().unwrap()));
}

#[test]
fn malformed_announces_are_refused() {
    let hash = "info_hash=aaaaaaaaaaaaaaaaaaaa";
    let refused = |query: &str| parse_announce(query.as_bytes()).expect_err("an error");
    assert_eq!(refused(""), QueryError::Missing { key: "info_hash" });
    assert_eq!(refused(hash), QueryError::Missing { key: "peer_id" });
    let both = format!("{hash}&peer_id=bbbbbbbbbbbbbbbbbbbb");
    assert_eq!(refused(&both), QueryError::Missing { key: "port" });
    assert_eq!(
        refused(&format!("{both}&port=1")),
        QueryError::Missing { key: "left" }
    );
    let number = |text: &str| refused(&format!("{both}&{text}"));
    assert_eq!(number("port=65536"), QueryError::BadNumber { key: "port" });
    assert_eq!(number("port="), QueryError::BadNumber { key: "port" });
    assert_eq!(number("left=-2"), QueryError::BadNumber { key: "left" });
    assert_eq!(
        number("uploaded=1e3"),
        QueryError::BadNumber { key: "uploaded" }
    );
    let field = HashField::InfoHash;
    assert_eq!(
        refused("info_hash=abc"),
        QueryError::WrongLen { field, len: 3 }
    );
    assert_eq!(refused("info_hash=%zz"), QueryError::BadPercent { field });
}

#[test]
fn scrapes_name_some_torrents_and_not_too_many() {
    let hashes: Vec<_> = (0..SCRAPE_HASHES_MAX as u8)
        .map(|n| InfoHash([n; 20]))
        .collect();
    let url = Url::parse("http://t/scrape").unwrap();
    let target = scrape_target(&url, &hashes);
    let (_, query) = target.split_once('?').unwrap();
    assert_eq!(parse_scrape(query.as_bytes()), Ok(hashes));
    assert_eq!(
        parse_scrape(b"x=y"),
        Err(QueryError::Missing { key: "info_hash" })
    );
    let limit = SCRAPE_HASHES_MAX;
    let more = format!("{query}&info_hash=aaaaaaaaaaaaaaaaaaaa");
    assert_eq!(
        parse_scrape(more.as_bytes()),
        Err(QueryError::TooManyHashes { limit })
    );
}

fn reply(body: &[u8]) -> AnnounceReply {
    match decode_announce(body) {
        Ok(AnnounceResponse::Reply(reply)) => reply,
        other => panic!("{other:?}"),
    }
}

/// BEP 7, "Examples": `iiiipp` stands for an endpoint.
#[test]
fn compact_lists_of_both_families_are_read() {
    let read = reply(b"d8:intervali1800e5:peers6:iiiipp6:peers618:iiiiiiiiiiiiiiiippe");
    let v4 = addr("105.105.105.105:28784");
    let v6 = addr("[6969:6969:6969:6969:6969:6969:6969:6969]:28784");
    assert_eq!((read.interval_secs, read.peers), (1_800, vec![v4, v6]));
    assert_eq!(read.oddities, []);
}

/// BEP 3: a list of dictionaries. A host name is allowed there and is left out here.
#[test]
fn dictionary_lists_are_read() {
    let read = reply(
        b"d8:intervali900e5:peersl\
          d2:ip9:127.0.0.17:peer id20:aaaaaaaaaaaaaaaaaaaa4:porti6881ee\
          d2:ip3:::14:porti1ee\
          d2:ip9:localhost4:porti1ee\
          d2:ip9:127.0.0.14:porti65536ee\
          i5eee",
    );
    assert_eq!(read.peers, [addr("127.0.0.1:6881"), addr("[::1]:1")]);
    assert_eq!(read.oddities, [Oddity::PeersWithoutAddr { count: 3 }]);
}

#[test]
fn everything_else_in_a_reply_is_read() {
    let read = reply(
        b"d8:completei5e11:external ip4:\x7f\0\0\x0110:incompletei6e8:intervali60e\
          12:min intervali30e5:peers0:10:tracker id3:abc15:warning message5:oh\x07noe",
    );
    assert_eq!((read.complete, read.incomplete), (Some(5), Some(6)));
    assert_eq!((read.interval_secs, read.interval_secs_min), (60, Some(30)));
    assert_eq!(read.external_ip, Some("127.0.0.1".parse().unwrap()));
    assert_eq!(read.tracker_id.as_deref(), Some(&b"abc"[..]));
    assert_eq!(read.warning.as_deref(), Some("oh\\u{7}no"));
    assert_eq!(read.oddities, []);
}

#[test]
fn wrong_values_are_noted_and_the_rest_is_kept() {
    let read = reply(
        b"d8:completei-5e11:external ip1:x10:incomplete1:x8:intervali-9e12:min intervali999999999e\
          5:peers7:iiiippx6:peers6i0e10:tracker idi1ee",
    );
    let odd = |what, said, used| Oddity::Interval { what, said, used };
    let wrong = |key| Oddity::WrongValue { key };
    assert_eq!(
        (read.interval_secs, read.interval_secs_min),
        (1_800, Some(86_400))
    );
    assert_eq!(read.peers.len(), 1);
    assert_eq!(
        read.oddities,
        [
            odd("interval", -9, 1_800),
            odd("min interval", 999_999_999, 86_400),
            wrong("complete"),
            wrong("incomplete"),
            Oddity::RaggedPeers {
                key: "peers",
                len: 7,
                stride: 6
            },
            wrong("peers6"),
            wrong("external ip"),
            wrong("tracker id"),
        ]
    );
    assert_eq!(reply(b"d5:peers0:e").interval_secs, 1_800);
    assert_eq!(
        reply(b"d5:peers0:8:intervali5ee\n").oddities,
        [Oddity::NotCanonical]
    );
}

#[test]
fn huge_lists_are_cut_and_counted() {
    let said = PEERS_PER_REPLY_MAX + 10;
    let kept = PEERS_PER_REPLY_MAX;
    let compact = [
        format!("d5:peers{}:", 6 * said).as_bytes(),
        &vec![1; 6 * said],
        b"e",
    ]
    .concat();
    let dictionaries = format!("d5:peersl{}ee", "d2:ip7:1.2.3.44:porti1ee".repeat(said));
    for body in [compact, dictionaries.into_bytes()] {
        let read = reply(&body);
        assert_eq!(read.peers.len(), kept);
        assert_eq!(read.oddities, [Oddity::TooManyPeers { said, kept }]);
    }
}

#[test]
fn refusals_are_read_with_their_reason_and_when_to_come_back() {
    let refused = |body: &[u8]| match decode_announce(body) {
        Ok(AnnounceResponse::Failure { reason, retry_in }) => (reason, retry_in),
        other => panic!("{other:?}"),
    };
    let no = "no".to_owned();
    assert_eq!(refused(b"d14:failure reason2:noe"), (no.clone(), None));
    let never = b"d14:failure reason2:no8:retry in5:nevere";
    assert_eq!(refused(never), (no.clone(), Some(RetryIn::Never)));
    let minutes = (no, Some(RetryIn::Minutes(5)));
    assert_eq!(refused(b"d14:failure reason2:no8:retry ini5ee"), minutes);
    assert_eq!(refused(b"d14:failure reason2:no8:retry in1:5e"), minutes);
    assert_eq!(refused(b"d14:failure reasoni1ee"), (String::new(), None));
}

#[test]
fn what_is_no_reply_is_refused() {
    let refused = |body: &[u8]| decode_announce(body).expect_err("an error");
    assert!(matches!(refused(b""), ReplyError::NotBencode(_)));
    assert!(matches!(refused(b"<html>"), ReplyError::NotBencode(_)));
    assert!(matches!(
        refused(b"d5:peers999999999:x"),
        ReplyError::NotBencode(_)
    ));
    assert!(matches!(
        refused(&b"l".repeat(1_000)),
        ReplyError::NotBencode(_)
    ));
    let bomb = [b"d5:peersl".as_slice(), &b"de".repeat(300_000), b"ee"].concat();
    assert!(matches!(refused(&bomb), ReplyError::NotBencode(_)));
    assert_eq!(refused(b"le"), ReplyError::NotADictionary);
    let empty = ReplyError::Empty {
        expected: "interval and peers",
    };
    assert_eq!(refused(b"de"), empty);
    let empty = ReplyError::Empty { expected: "files" };
    assert_eq!(decode_scrape(b"d5:filesi0ee"), Err(empty));
}

/// BEP 48, "Example".
#[test]
fn scrape_replies_are_those_of_the_specification() {
    let body =
        b"d5:filesd20:xxxxxxxxxxxxxxxxxxxxd8:completei11e10:downloadedi13772e10:incompletei19ee\
                 20:yyyyyyyyyyyyyyyyyyyyd8:completei21e10:downloadedi206e10:incompletei20eeee";
    let x = ScrapeEntry {
        complete: 11,
        downloaded: 13_772,
        incomplete: 19,
    };
    let y = ScrapeEntry {
        complete: 21,
        downloaded: 206,
        incomplete: 20,
    };
    let entries = vec![(InfoHash([b'x'; 20]), x), (InfoHash([b'y'; 20]), y)];
    assert_eq!(
        decode_scrape(body),
        Ok(ScrapeResponse::Entries(entries.clone()))
    );
    let mut out = Vec::new();
    encode_scrape(&mut out, &[entries[1], entries[0], entries[1]]);
    assert_eq!(
        out.escape_ascii().to_string(),
        body.escape_ascii().to_string()
    );
    let refused = ScrapeResponse::Failure {
        reason: "no".to_owned(),
    };
    assert_eq!(decode_scrape(b"d14:failure reason2:noe"), Ok(refused));
}

proptest! {
    /// What the tracker writes is canonical bencode and is read as it was meant.
    #[test]
    fn any_reply_survives_the_wire(reply in any_reply(), dictionaries: bool) {
        let form = if dictionaries { PeerForm::Dictionaries } else { PeerForm::Compact };
        let mut body = Vec::new();
        encode_announce(&mut body, &reply, form);
        let mut expected = reply;
        if form == PeerForm::Compact {
            expected.peers.sort_by_key(SocketAddr::is_ipv6);
        }
        prop_assert_eq!(decode_announce(&body), Ok(AnnounceResponse::Reply(expected)));
    }

    #[test]
    fn any_bytes_survive_percent_coding(bytes: Vec<u8>) {
        let mut text = String::new();
        percent_encode(&mut text, &bytes);
        prop_assert_eq!(percent_decode(text.as_bytes()), Some(bytes));
    }
}

fn any_reply() -> impl Strategy<Value = AnnounceReply> {
    let endpoint = prop_oneof![
        (any::<[u8; 4]>(), any::<u16>()).prop_map(SocketAddr::from),
        (any::<[u8; 16]>(), any::<u16>()).prop_map(SocketAddr::from),
    ];
    (
        (
            1u32..=86_400,
            any::<Option<bool>>(),
            any::<Option<u32>>(),
            any::<Option<u32>>(),
        ),
        prop::collection::vec(endpoint, 0..20),
        (
            prop::option::of("[a-z ]{0,20}"),
            any::<Option<[u8; 4]>>(),
            any::<Option<[u8; 9]>>(),
        ),
    )
        .prop_map(
            |((interval_secs, min, complete, incomplete), peers, (warning, ip, id))| {
                AnnounceReply {
                    interval_secs,
                    interval_secs_min: min.map(|half| interval_secs.div_ceil(1 + u32::from(half))),
                    complete,
                    incomplete,
                    peers,
                    warning,
                    external_ip: ip.map(Into::into),
                    tracker_id: id.map(Vec::from),
                    oddities: Vec::new(),
                }
            },
        )
}

fn announce() -> AnnounceRequest {
    AnnounceRequest {
        info_hash: InfoHash([0xc0; 20]),
        peer_id: PeerId(*b"-SK0001-&?= %+abcdef"),
        port: 6881,
        uploaded: 1,
        downloaded: 2,
        left: 3,
        event: AnnounceEvent::Completed,
        num_want: Some(9),
        key: 0x00ab_cdef,
        ip: Some("::1".parse().unwrap()),
        compact: true,
    }
}

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}
