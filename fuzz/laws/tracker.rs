//! What must hold for any bytes that the tracker parts of `skep-wire` are given (HTTP, URLs, UDP).

use std::net::SocketAddr;

use skep_wire::{
    http::{BODY_LEN_MAX, INFLATED_LEN_MAX, Response, ResponseParser, Url, gunzip, parse_request},
    tracker::{
        AnnounceReply, Family, ODDITIES_PER_REPLY_MAX, PEERS_PER_REPLY_MAX,
        http::{
            AnnounceResponse, PeerForm, ScrapeResponse, announce_target, decode_announce,
            decode_scrape, encode_announce, encode_scrape, parse_announce, parse_scrape,
            scrape_target,
        },
        udp,
    },
};

use crate::Law;

/// Every target on these parsers.
pub const LAWS: &[Law] = &[
    ("http_request", http_request),
    ("http_response", http_response),
    ("gzip", gzip),
    ("url", url),
    ("tracker_query", tracker_query),
    ("tracker_reply", tracker_reply),
    ("udp_request", udp_request),
    ("udp_reply", udp_reply),
];

/// A request is whole exactly from its last byte on.
pub fn http_request(data: &[u8]) {
    let Ok(Some(request)) = parse_request(data) else {
        return;
    };
    assert!(request.len <= data.len());
    assert_eq!(parse_request(&data[..request.len]), Ok(Some(request)));
    assert_eq!(parse_request(&data[..request.len - 1]), Ok(None));
    let (path, query) = request.path_and_query();
    assert!(path.starts_with(b"/"));
    let _ = (parse_announce(query), parse_scrape(query));
}

/// However a stream is cut, the response is the same, and within the limits.
pub fn http_response(data: &[u8]) {
    let whole = response(data.chunks(usize::MAX));
    let single = response(data.chunks(1));
    assert_eq!(whole, single);
    if let Some(Some(response)) = whole {
        assert!(response.body.len() <= BODY_LEN_MAX.max(INFLATED_LEN_MAX));
    }
}

/// `None` for an error, whose numbers may depend on how the stream was cut.
fn response<'a>(parts: impl Iterator<Item = &'a [u8]>) -> Option<Option<Response>> {
    let mut parser = ResponseParser::new();
    for part in parts {
        if let Some(response) = parser.push(part).ok()? {
            return Some(Some(response));
        }
    }
    parser.end().ok()
}

/// Nothing inflates beyond its limit, whatever it claims.
pub fn gzip(data: &[u8]) {
    if let Ok(inflated) = gunzip(data, 10_000) {
        assert!(inflated.len() <= 10_000);
        assert_eq!(gunzip(data, inflated.len()), Ok(inflated));
    }
}

/// A URL taken apart and put together is the same URL, and so is what it redirects to.
pub fn url(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let (text, location) = text.split_once('\n').unwrap_or((text, "next"));
    let Ok(url) = Url::parse(text) else { return };
    for url in [Some(url.clone()), url.join(location).ok(), url.scrape()]
        .into_iter()
        .flatten()
    {
        let text = format!("{}://{}:{}{}", url.scheme, url.host, url.port, url.target);
        assert_eq!(Url::parse(&text).as_ref(), Ok(&url), "{text}");
        assert!(!url.host_header().contains(char::is_control));
    }
}

/// What a tracker reads of a query is what a client would have asked.
pub fn tracker_query(data: &[u8]) {
    let url = Url::parse("http://127.0.0.1/announce").expect("a URL");
    let query = |target: &str| {
        let (_, query) = target.split_once('?').expect("a query");
        query.as_bytes().to_vec()
    };
    if let Ok(announce) = parse_announce(data) {
        let again = query(&announce_target(&url, &announce, None));
        assert_eq!(parse_announce(&again), Ok(announce));
    }
    if let Ok(hashes) = parse_scrape(data) {
        assert_eq!(
            parse_scrape(&query(&scrape_target(&url, &hashes))),
            Ok(hashes)
        );
    }
}

/// A reply keeps its limits, and is read again as it is written.
pub fn tracker_reply(data: &[u8]) {
    match decode_announce(data) {
        Ok(AnnounceResponse::Reply(reply)) => {
            announce_limits(&reply);
            for form in [PeerForm::Compact, PeerForm::Dictionaries] {
                let mut out = Vec::new();
                encode_announce(&mut out, &reply, form);
                let Ok(AnnounceResponse::Reply(again)) = decode_announce(&out) else {
                    panic!("what was read can be written");
                };
                assert_eq!(sorted(&again.peers), sorted(&reply.peers));
                assert_eq!(again.interval_secs, reply.interval_secs);
                assert_eq!(again.tracker_id, reply.tracker_id);
                assert_eq!(again.external_ip, reply.external_ip);
            }
        }
        Ok(AnnounceResponse::Failure { reason, .. }) => {
            assert!(!reason.contains(char::is_control));
        }
        Err(_) => {}
    }
    if let Ok(ScrapeResponse::Entries(entries)) = decode_scrape(data) {
        let mut out = Vec::new();
        encode_scrape(&mut out, &entries);
        let Ok(ScrapeResponse::Entries(again)) = decode_scrape(&out) else {
            panic!("what was read can be written");
        };
        assert!(again.iter().all(|entry| entries.contains(entry)));
    }
}

fn announce_limits(reply: &AnnounceReply) {
    assert!(reply.peers.len() <= PEERS_PER_REPLY_MAX);
    assert!(reply.oddities.len() <= ODDITIES_PER_REPLY_MAX);
    let warning = reply.warning.as_deref().unwrap_or_default();
    assert!(!warning.contains(char::is_control));
}

fn sorted(peers: &[SocketAddr]) -> Vec<SocketAddr> {
    let mut peers = peers.to_vec();
    peers.sort();
    peers
}

/// A datagram to a tracker is read again as it is written.
pub fn udp_request(data: &[u8]) {
    if let Ok(request) = udp::Request::decode(data) {
        let mut out = Vec::new();
        request.encode(&mut out);
        assert_eq!(udp::Request::decode(&out), Ok(request));
    }
}

/// So is one from a tracker, but for what was odd in it.
pub fn udp_reply(data: &[u8]) {
    for family in [Family::V4, Family::V6] {
        let Ok(reply) = udp::Reply::decode(data, family) else {
            continue;
        };
        let mut out = Vec::new();
        reply.encode(family, &mut out);
        let again = udp::Reply::decode(&out, family).expect("what was read can be written");
        match (reply, again) {
            (udp::Reply::Announce { reply, .. }, udp::Reply::Announce { reply: again, .. }) => {
                announce_limits(&reply);
                assert_eq!(again.peers, reply.peers);
                assert_eq!(again.interval_secs, reply.interval_secs);
            }
            (udp::Reply::Error { message, .. }, udp::Reply::Error { .. }) => {
                assert!(!message.contains(char::is_control));
            }
            (reply, again) => assert_eq!(reply, again),
        }
    }
}
