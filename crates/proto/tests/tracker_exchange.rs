//! One question to one tracker, in virtual time: retransmission, foreign datagrams, hostile answers.
#![allow(clippy::unwrap_used)]

use std::{net::SocketAddr, time::Duration};

use skep_proto::{
    rng::Rng,
    tracker::client::{
        HttpExchange, Outcome, Question, REDIRECTS_MAX, TrackerFailure, UdpConnection, UdpExchange,
        UdpPace,
    },
};
use skep_wire::{
    InfoHash, Moment, PeerId,
    http::{GzipError, HttpError, Url},
    tracker::{
        AnnounceEvent, AnnounceReply, AnnounceRequest, Family, ScrapeEntry,
        http::ReplyError,
        udp::{ConnectionId, Reply, Request, TransactionId},
    },
};

const CONNECTION: ConnectionId = ConnectionId(0xc0ffee);

/// Runs an exchange and answers connects after a second; returns when which datagram left.
fn datagrams(
    mut exchange: UdpExchange,
    answer_connects: u32,
    until: u64,
) -> Vec<(u64, &'static str)> {
    let mut rng = Rng::new(5);
    let mut now = Moment::ZERO;
    let mut answered = 0;
    let mut sent = Vec::new();
    loop {
        while let Some(bytes) = exchange.poll_transmit() {
            let at = now.since(Moment::ZERO).as_secs();
            match Request::decode(&bytes).unwrap() {
                Request::Connect { transaction } => {
                    sent.push((at, "connect"));
                    if answered < answer_connects {
                        answered += 1;
                        now = now + Duration::from_secs(1);
                        let reply = Reply::Connect {
                            transaction,
                            connection: CONNECTION,
                        };
                        assert!(feed(&mut exchange, &reply, &mut rng, now));
                    }
                }
                Request::Announce { connection, .. } => {
                    assert_eq!(connection, CONNECTION);
                    sent.push((at, "announce"));
                }
                Request::Scrape { .. } => sent.push((at, "scrape")),
            }
        }
        match exchange.poll_timeout() {
            Some((at, _)) if at <= Moment::from_secs(until) => now = at,
            _ => return sent,
        }
        exchange.handle_timeout(&mut rng, now);
    }
}

/// BEP 15, "Examples: Connect times out".
#[test]
fn connect_is_sent_again_after_15_30_60_seconds() {
    let pace = UdpPace {
        tries_max: 5,
        ..UdpPace::PATIENT
    };
    let sent = datagrams(udp(pace, None), 0, 1_000);
    let connect = |at| (at, "connect");
    assert_eq!(sent, [0, 15, 45, 105, 225].map(connect));
}

/// BEP 15, "Examples: Announce times out", with the answer after one second: the id that came then
/// is too old at the fourth announce, and the waiting goes on where it was.
#[test]
fn announce_is_sent_again_and_an_old_connection_is_renewed() {
    let pace = UdpPace {
        tries_max: 5,
        ..UdpPace::PATIENT
    };
    let sent = datagrams(udp(pace, None), 1, 300);
    let announce = |at| (at, "announce");
    let expected = [
        (0, "connect"),
        announce(1),
        announce(16),
        announce(46),
        (106, "connect"),
    ];
    assert_eq!(sent[..5], expected);
    assert_eq!(sent[5..], [(226, "connect")]);
}

/// The exponent grows to 8 and no further: 15 * 2^8 = 3,840 s.
#[test]
fn waiting_grows_to_3840_seconds_and_no_further() {
    let pace = UdpPace {
        tries_max: 12,
        ..UdpPace::PATIENT
    };
    let sent = datagrams(udp(pace, None), 0, 100_000);
    let gaps: Vec<u64> = sent.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
    assert_eq!(
        gaps,
        [15, 30, 60, 120, 240, 480, 960, 1_920, 3_840, 3_840, 3_840]
    );
}

#[test]
fn exchange_fails_after_its_last_try() {
    let mut exchange = udp(UdpPace::PATIENT, None);
    let mut rng = Rng::new(5);
    while let Some((at, _)) = exchange.poll_timeout() {
        // Early and repeated calls are harmless.
        exchange.handle_timeout(&mut rng, Moment::ZERO);
        exchange.handle_timeout(&mut rng, at);
    }
    let why = TrackerFailure::TimedOut { secs: 105 };
    assert_eq!(exchange.poll_outcome(), Some(Outcome::Failed(why)));
    assert_eq!(exchange.poll_outcome(), None);
}

#[test]
fn connection_of_an_earlier_exchange_is_used_for_a_minute() {
    let left = |age| {
        let since = Moment::ZERO;
        let connection = UdpConnection {
            remote: tracker(),
            id: CONNECTION,
            since,
        };
        let now = Moment::from_secs(age);
        let pace = UdpPace::PATIENT;
        let mut exchange = UdpExchange::new(
            tracker(),
            question(),
            "",
            Some(connection),
            pace,
            &mut Rng::new(1),
            now,
        );
        Request::decode(&exchange.poll_transmit().unwrap()).unwrap()
    };
    assert!(matches!(left(59), Request::Announce { .. }));
    assert!(matches!(left(60), Request::Connect { .. }));
}

/// What a third party can send without seeing our datagrams changes nothing.
#[test]
fn foreign_datagrams_are_not_ours() {
    let mut rng = Rng::new(5);
    let mut exchange = udp(UdpPace::PATIENT, None);
    let Request::Connect { transaction } = sent(&mut exchange) else {
        panic!("connect first")
    };
    let now = Moment::ZERO;
    let good = encode(&Reply::Connect {
        transaction,
        connection: CONNECTION,
    });
    let elsewhere: SocketAddr = "127.0.0.8:6969".parse().unwrap();
    assert!(!exchange.handle_datagram(elsewhere, &good, &mut rng, now));
    let other_port: SocketAddr = "127.0.0.9:6968".parse().unwrap();
    assert!(!exchange.handle_datagram(other_port, &good, &mut rng, now));
    let transaction = TransactionId(transaction.0 ^ 1);
    let wrong = Reply::Connect {
        transaction,
        connection: CONNECTION,
    };
    assert!(!feed(&mut exchange, &wrong, &mut rng, now));
    assert!(!exchange.handle_datagram(tracker(), &good[..15], &mut rng, now));
    assert!(!exchange.handle_datagram(tracker(), b"", &mut rng, now));
    assert_eq!(exchange.poll_outcome(), None);
    assert!(exchange.handle_datagram(tracker(), &good, &mut rng, now));
    assert!(matches!(
        sent(&mut exchange),
        Request::Announce {
            connection: CONNECTION,
            ..
        }
    ));
    // The same reply again has an old transaction id by now.
    assert!(!exchange.handle_datagram(tracker(), &good, &mut rng, now));
}

#[test]
fn reply_of_another_kind_and_an_error_end_the_exchange() {
    let end = |make: fn(TransactionId) -> Reply| {
        let mut rng = Rng::new(5);
        let mut exchange = asking(question(), &mut rng);
        let Request::Announce { transaction, .. } = sent(&mut exchange) else {
            panic!("asking")
        };
        assert!(feed(
            &mut exchange,
            &make(transaction),
            &mut rng,
            Moment::ZERO
        ));
        assert_eq!(exchange.poll_timeout(), None);
        exchange.poll_outcome()
    };
    let wrong = end(|transaction| Reply::Scrape {
        transaction,
        entries: vec![],
    });
    assert_eq!(wrong, Some(Outcome::Failed(TrackerFailure::WrongKind)));
    let wrong = end(|transaction| Reply::Connect {
        transaction,
        connection: CONNECTION,
    });
    assert_eq!(wrong, Some(Outcome::Failed(TrackerFailure::WrongKind)));
    let refused = end(|transaction| Reply::Error {
        transaction,
        message: "no".to_owned(),
    });
    let why = TrackerFailure::Refused {
        reason: "no".to_owned(),
        retry_in: None,
    };
    assert_eq!(refused, Some(Outcome::Failed(why)));
}

/// A tracker that was restarted knows no id that it gave before; that is no reason to wait.
#[test]
fn refused_old_connection_is_renewed_at_once() {
    let mut rng = Rng::new(5);
    let connection = UdpConnection {
        remote: tracker(),
        id: CONNECTION,
        since: Moment::ZERO,
    };
    let pace = UdpPace::PATIENT;
    let now = Moment::from_secs(5);
    let mut exchange = UdpExchange::new(
        tracker(),
        question(),
        "",
        Some(connection),
        pace,
        &mut rng,
        now,
    );
    let Request::Announce { transaction, .. } = sent(&mut exchange) else {
        panic!("asking")
    };
    let refusal = Reply::Error {
        transaction,
        message: "connection id mismatch".to_owned(),
    };
    assert!(feed(&mut exchange, &refusal, &mut rng, now));
    assert_eq!(exchange.poll_outcome(), None);
    let Request::Connect { transaction } = sent(&mut exchange) else {
        panic!("connect")
    };
    // Once only: refused again, it is a refusal.
    let refusal = Reply::Error {
        transaction,
        message: "no".to_owned(),
    };
    assert!(feed(&mut exchange, &refusal, &mut rng, now));
    assert!(matches!(exchange.poll_outcome(), Some(Outcome::Failed(_))));
}

#[test]
fn scrape_over_udp_pairs_counts_with_torrents() {
    let hashes = vec![InfoHash([1; 20]), InfoHash([2; 20])];
    let mut rng = Rng::new(5);
    let mut exchange = asking(
        Question::Scrape {
            info_hashes: hashes.clone(),
        },
        &mut rng,
    );
    let Request::Scrape {
        transaction,
        info_hashes,
        ..
    } = sent(&mut exchange)
    else {
        panic!("scrape")
    };
    assert_eq!(info_hashes, hashes);
    // One entry too few, as a tracker sends that knows nothing of the second.
    let entry = ScrapeEntry {
        complete: 3,
        downloaded: 2,
        incomplete: 1,
    };
    let reply = Reply::Scrape {
        transaction,
        entries: vec![entry],
    };
    assert!(feed(&mut exchange, &reply, &mut rng, Moment::ZERO));
    assert_eq!(
        exchange.poll_outcome(),
        Some(Outcome::Scraped(vec![(hashes[0], entry)]))
    );
}

fn http(answer: &[u8]) -> Outcome {
    let url = Url::parse("http://127.0.0.1/announce").unwrap();
    let mut exchange = HttpExchange::new(url, question(), "test", Moment::ZERO).unwrap();
    let request = exchange.poll_transmit().expect("a request");
    assert!(request.starts_with(b"GET /announce?info_hash="));
    for part in answer.chunks(1_000) {
        exchange.handle_bytes(part, Moment::ZERO);
    }
    exchange.handle_end(Moment::ZERO);
    let outcome = exchange.poll_outcome().expect("an outcome");
    assert_eq!(exchange.poll_outcome(), None);
    outcome
}

fn failure(answer: &[u8]) -> TrackerFailure {
    match http(answer) {
        Outcome::Failed(why) => why,
        other => panic!("{other:?}"),
    }
}

fn ok(body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

#[test]
fn answers_over_http_are_read() {
    let reply = AnnounceReply {
        interval_secs: 5,
        ..AnnounceReply::default()
    };
    assert_eq!(
        http(&ok("d8:intervali5e5:peers0:e")),
        Outcome::Announced(reply)
    );
    let refused = |reason: &str| TrackerFailure::Refused {
        reason: reason.to_owned(),
        retry_in: None,
    };
    assert_eq!(failure(&ok("d14:failure reason2:noe")), refused("no"));
    // Private trackers have sent their reason with a status of its own.
    let forbidden = b"HTTP/1.1 403 Forbidden\r\n\r\nd14:failure reason7:unknowne";
    assert_eq!(failure(forbidden), refused("unknown"));
}

/// Each hostile or broken answer has its own typed failure.
#[test]
fn hostile_answers_over_http_fail_with_their_reason() {
    assert!(matches!(
        failure(&ok("<html>moved</html>")),
        TrackerFailure::Reply(ReplyError::NotBencode(_))
    ));
    assert_eq!(
        failure(b"HTTP/1.1 404 Not Found\r\n\r\n"),
        TrackerFailure::Status { status: 404 }
    );
    assert_eq!(
        failure(b"HTTP/1.1 500 x\r\n\r\nd8:intervali5e5:peers0:e"),
        TrackerFailure::Status { status: 500 }
    );
    assert!(matches!(
        failure(b"SSH-2.0-x\r\n\r\n"),
        TrackerFailure::Http(HttpError::NotHttp { .. })
    ));
    assert_eq!(
        failure(b""),
        TrackerFailure::Http(HttpError::Truncated { got: 0 })
    );
    let bomb = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\nnot gzip";
    let why = TrackerFailure::Http(HttpError::Gzip(GzipError::NoHeader));
    assert_eq!(failure(bomb), why);
    // One byte a chunk, each with a long extension, for ever.
    let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    let chunk = format!("1;{}\r\nx\r\n", "y".repeat(900));
    let endless = [head, chunk.as_bytes().repeat(3_000)].concat();
    assert!(matches!(failure(&endless), TrackerFailure::TooMuch { .. }));
    // Interim responses, for ever.
    let endless = b"HTTP/1.1 100 Continue\r\n\r\n".repeat(100_000);
    assert!(matches!(failure(&endless), TrackerFailure::TooMuch { .. }));
}

#[test]
fn silent_tracker_over_http_times_out() {
    let url = Url::parse("http://127.0.0.1/announce").unwrap();
    let mut exchange = HttpExchange::new(url, question(), "test", Moment::from_secs(7)).unwrap();
    exchange.handle_bytes(b"HTTP/1.1 200 OK\r\n", Moment::from_secs(60));
    exchange.handle_timeout(Moment::from_secs(66));
    assert_eq!(exchange.poll_outcome(), None);
    assert_eq!(
        exchange.poll_timeout().map(|(at, _)| at),
        Some(Moment::from_secs(67))
    );
    exchange.handle_timeout(Moment::from_secs(67));
    let why = TrackerFailure::TimedOut { secs: 60 };
    assert_eq!(exchange.poll_outcome(), Some(Outcome::Failed(why)));
    // What comes later is for nobody.
    exchange.handle_bytes(&ok("d8:intervali5e5:peers0:e"), Moment::from_secs(68));
    exchange.handle_end(Moment::from_secs(68));
    assert_eq!(exchange.poll_outcome(), None);
}

/// Follows redirects to `location(n)` until something else comes of it.
fn redirected(location: impl Fn(usize) -> String) -> (usize, TrackerFailure) {
    let url = Url::parse("http://127.0.0.1/announce").unwrap();
    let mut exchange = HttpExchange::new(url, question(), "test", Moment::ZERO).unwrap();
    for count in 0.. {
        assert!(exchange.poll_transmit().is_some());
        let answer = format!(
            "HTTP/1.1 302 Found\r\nLocation: {}\r\n\r\n",
            location(count)
        );
        exchange.handle_bytes(answer.as_bytes(), Moment::ZERO);
        exchange.handle_end(Moment::ZERO);
        match exchange.poll_outcome() {
            Some(Outcome::Redirected) => {}
            Some(Outcome::Failed(why)) => return (count, why),
            other => panic!("{other:?}"),
        }
    }
    unreachable!("redirects end")
}

#[test]
fn redirects_are_followed_within_limits_and_never_in_a_circle() {
    let circle = |url: &str| TrackerFailure::RedirectCircle {
        url: url.to_owned(),
    };
    assert_eq!(
        redirected(|_| "/announce".to_owned()),
        (0, circle("http://127.0.0.1/announce"))
    );
    let back = |count: usize| ["http://b/", "http://127.0.0.1/announce"][count % 2].to_owned();
    assert_eq!(redirected(back), (1, circle("http://127.0.0.1/announce")));
    let limit = REDIRECTS_MAX;
    let ever_on = redirected(|count| format!("/{count}"));
    assert_eq!(ever_on, (limit, TrackerFailure::TooManyRedirects { limit }));
    for nowhere in ["", "https://b/", "udp://b:1/", "http://"] {
        let why = redirected(|_| nowhere.to_owned()).1;
        let expected = [
            TrackerFailure::RedirectUrl,
            circle("http://127.0.0.1/announce"),
        ];
        assert!(expected.contains(&why), "{nowhere}: {why}");
    }
    assert_eq!(
        failure(b"HTTP/1.1 301 Moved\r\n\r\n"),
        TrackerFailure::RedirectUrl
    );
}

#[test]
fn redirected_exchange_asks_at_the_new_place() {
    let url = Url::parse("http://127.0.0.1/announce").unwrap();
    let mut exchange = HttpExchange::new(url, question(), "test", Moment::ZERO).unwrap();
    exchange.poll_transmit();
    exchange.handle_bytes(
        b"HTTP/1.1 307 x\r\nLocation: http://b:8/a?k=1\r\nContent-Length: 0\r\n\r\n",
        Moment::ZERO,
    );
    assert_eq!(exchange.poll_outcome(), Some(Outcome::Redirected));
    assert_eq!(exchange.url().to_string(), "http://b:8/a?k=1");
    let request = exchange.poll_transmit().unwrap();
    assert!(
        request.starts_with(b"GET /a?k=1&info_hash="),
        "{}",
        request.escape_ascii()
    );
    exchange.handle_bytes(&ok("d8:intervali5e5:peers0:e"), Moment::ZERO);
    assert!(matches!(
        exchange.poll_outcome(),
        Some(Outcome::Announced(_))
    ));
}

#[test]
fn scrape_over_http_needs_a_scrape_url() {
    let scrape = || Question::Scrape {
        info_hashes: vec![InfoHash([b'x'; 20])],
    };
    let url = |text| Url::parse(text).unwrap();
    let refused = HttpExchange::new(url("http://a/x"), scrape(), "test", Moment::ZERO);
    assert_eq!(refused.map(|_| ()).unwrap_err(), TrackerFailure::NoScrape);
    let mut exchange =
        HttpExchange::new(url("http://a/announce"), scrape(), "test", Moment::ZERO).unwrap();
    let request = exchange.poll_transmit().unwrap();
    assert!(request.starts_with(b"GET /scrape?info_hash=xxxxxxxxxxxxxxxxxxxx HTTP/1.1\r\n"));
    let body = "d5:filesd20:xxxxxxxxxxxxxxxxxxxxd8:completei1eeee";
    exchange.handle_bytes(&ok(body), Moment::ZERO);
    let entry = ScrapeEntry {
        complete: 1,
        ..ScrapeEntry::default()
    };
    let scraped = Outcome::Scraped(vec![(InfoHash([b'x'; 20]), entry)]);
    assert_eq!(exchange.poll_outcome(), Some(scraped));
}

fn tracker() -> SocketAddr {
    "127.0.0.9:6969".parse().unwrap()
}

fn udp(pace: UdpPace, connection: Option<UdpConnection>) -> UdpExchange {
    let mut rng = Rng::new(1);
    UdpExchange::new(
        tracker(),
        question(),
        "/announce",
        connection,
        pace,
        &mut rng,
        Moment::ZERO,
    )
}

/// An exchange that has its connection id.
fn asking(question: Question, rng: &mut Rng) -> UdpExchange {
    let pace = UdpPace::PATIENT;
    let mut exchange = UdpExchange::new(tracker(), question, "", None, pace, rng, Moment::ZERO);
    let Request::Connect { transaction } = sent(&mut exchange) else {
        panic!("connect first")
    };
    let reply = Reply::Connect {
        transaction,
        connection: CONNECTION,
    };
    assert!(feed(&mut exchange, &reply, rng, Moment::ZERO));
    exchange
}

fn sent(exchange: &mut UdpExchange) -> Request {
    Request::decode(&exchange.poll_transmit().expect("a datagram")).unwrap()
}

fn encode(reply: &Reply) -> Vec<u8> {
    let mut bytes = Vec::new();
    reply.encode(Family::V4, &mut bytes);
    bytes
}

fn feed(exchange: &mut UdpExchange, reply: &Reply, rng: &mut Rng, now: Moment) -> bool {
    exchange.handle_datagram(tracker(), &encode(reply), rng, now)
}

fn question() -> Question {
    let request = AnnounceRequest {
        info_hash: InfoHash([0x11; 20]),
        peer_id: PeerId([b'p'; 20]),
        port: 6881,
        uploaded: 0,
        downloaded: 0,
        left: 1,
        event: AnnounceEvent::Started,
        num_want: None,
        key: 1,
        ip: None,
        compact: true,
    };
    Question::Announce {
        request,
        tracker_id: None,
    }
}
