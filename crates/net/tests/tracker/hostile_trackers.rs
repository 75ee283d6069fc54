//! Trackers that answer the client in bad faith.

use std::{sync::Arc, time::Duration};

use skep_net::{
    clock::RunClock,
    tracker::{SystemResolver, TrackerClient, TrackerClientConfig},
};
use skep_proto::tracker::client::{AnnouncerConfig, Event, Mode, Transfer};
use skep_wire::{
    PeerId,
    tracker::{INTERVAL_SECS_MAX, PEERS_PER_REPLY_MAX},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, UdpSocket},
};

use super::{TORRENT, next, start};

/// Each tracker is hostile in its own way, and each fails for its own reason; the last one is good,
/// and serves us all the same.
#[tokio::test]
async fn hostile_trackers_fail_each_for_its_reason_and_the_rest_goes_on() {
    let good = start("http", "127.0.0.1:0");
    let ok = |rest: &str| format!("HTTP/1.1 200 OK\r\n{rest}").into_bytes();
    let moved = |to: &str| format!("HTTP/1.1 302 x\r\nLocation: {to}\r\n\r\n").into_bytes();
    let body = |body: &str| ok(&format!("\r\n{body}"));
    let cases: Vec<(Answer, &str)> = vec![
        (Answer::Once(body("<html>")), "not bencode"),
        (Answer::Once(body("")), "not bencode"),
        (Answer::Once(body(&"l".repeat(100_000))), "not bencode"),
        (
            Answer::Once(body("d8:intervali99999999999999999999e5:peers0:e")),
            "not bencode",
        ),
        (Answer::Once(moved("/announce")), "in a circle"),
        (Answer::Once(moved("udp://127.0.0.1:1")), "no usable url"),
        (Answer::Once(moved("file:///etc/passwd")), "no usable url"),
        (
            Answer::Once(moved(&format!("/{}", "x".repeat(5_000)))),
            "no usable url",
        ),
        (
            Answer::Once(b"HTTP/1.1 302 x\r\n\r\n".to_vec()),
            "no usable url",
        ),
        (Answer::RedirectsOn, "more than 5 redirects"),
        (
            Answer::Once([ok("Content-Encoding: gzip\r\n\r\n"), gzip_bomb()].concat()),
            "inflates to more than",
        ),
        (
            Answer::Once([ok("Content-Encoding: gzip\r\n\r\n"), vec![0x1f, 0x8b, 8, 4]].concat()),
            "gzip",
        ),
        (
            Answer::Once(ok("Content-Encoding: br\r\n\r\nx")),
            "content-encoding",
        ),
        (
            Answer::Once(ok("Content-Length: 60000000\r\n\r\nd5:peers60000000:")),
            "exceeds the limit",
        ),
        (
            Answer::Once(ok("Content-Length: -1\r\n\r\n")),
            "content-length",
        ),
        (
            Answer::Once(ok("Content-Length: 9\r\n\r\nd8:inter")),
            "stream ended",
        ),
        (
            Answer::Forever(ok("\r\n"), b"x".repeat(999)),
            "exceeds the limit",
        ),
        (
            Answer::Forever(ok("Transfer-Encoding: chunked\r\n\r\n"), chunk(900)),
            "on the wire",
        ),
        (
            Answer::Forever(
                ok("Transfer-Encoding: chunked\r\n\r\n"),
                b"1\r\nx\r\n".repeat(99),
            ),
            "on the wire",
        ),
        (
            Answer::Forever(
                ok("Transfer-Encoding: chunked\r\n\r\n0\r\n"),
                b"X: y\r\n".to_vec(),
            ),
            "header fields",
        ),
        (
            Answer::Forever(ok(""), b"X: y\r\n".to_vec()),
            "head exceeds",
        ),
        (Answer::Forever(ok("X: "), b"y".repeat(999)), "head exceeds"),
        (
            Answer::Forever(vec![], b"HTTP/1.1 100 Continue\r\n\r\n".repeat(99)),
            "on the wire",
        ),
        (Answer::Forever(vec![], b"\r\n\r\n".repeat(999)), "HTTP/1"),
    ];
    let mut urls = Vec::new();
    let mut reasons = Vec::new();
    for (answer, reason) in cases {
        urls.push(hostile(answer).await);
        reasons.push(reason);
    }
    urls.extend(good.urls());
    let mut client = ask(urls);
    let mut heard = vec![None; reasons.len() + 1];
    while heard.iter().any(Option::is_none) {
        match next(&mut client).await {
            Event::Announced { tracker, .. } => heard[tracker] = Some("answered".to_owned()),
            Event::Failed { tracker, why, .. } => heard[tracker] = Some(why.to_string()),
            Event::Redirected { .. } => {}
        }
    }
    reasons.push("answered");
    for (heard, expected) in heard.iter().flatten().zip(&reasons) {
        assert!(heard.contains(expected), "{heard:?}, expected {expected:?}");
        assert!(heard.len() < 1_000, "{heard}");
    }
}

/// Ten million peers cannot be listed within what is read; of as many as can, some are kept, and
/// an interval of centuries is taken for a day.
#[tokio::test]
async fn huge_lists_and_intervals_are_cut() {
    let compact = [127, 0, 0, 1, 0, 7].repeat(160_000);
    let mut list = b"d8:intervali9223372036854775807e12:min intervali-5e5:peers960000:".to_vec();
    list.extend(compact);
    list.extend(b"10:tracker id3000:");
    list.extend(b"x".repeat(3_000));
    list.extend(b"15:warning message40000:");
    list.extend(b"\x1b".repeat(40_000));
    list.push(b'e');
    let over_http = hostile(Answer::Once(
        [b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), list].concat(),
    ))
    .await;
    let over_udp = hostile_udp().await;
    let mut client = ask(vec![over_http, over_udp]);
    for _ in 0..2 {
        let Event::Announced { reply, .. } = next(&mut client).await else {
            panic!("it can be read");
        };
        assert_eq!(reply.peers.len(), PEERS_PER_REPLY_MAX);
        assert_eq!(reply.interval_secs, INTERVAL_SECS_MAX);
        assert_eq!(reply.tracker_id, None);
        assert!(
            reply
                .warning
                .is_none_or(|text| text.len() < 8_000 && !text.contains('\x1b'))
        );
    }
}

/// A byte now and then buys a tracker no more time than a minute (in `skep-proto`, in virtual time);
/// meanwhile the other trackers are asked, and the farewell waits for nobody.
#[tokio::test]
async fn tracker_that_trickles_holds_up_neither_others_nor_the_end() {
    let good = start("http", "127.0.0.1:0");
    let mut urls = vec![hostile(Answer::Trickle).await];
    urls.extend(good.urls());
    let mut client = ask(urls);
    assert!(matches!(
        next(&mut client).await,
        Event::Announced { tracker: 1, .. }
    ));
    // It has seen our request, so it is told that we go; it has 6 s for that.
    let stopping = tokio::time::timeout(Duration::from_secs(60), client.stopped());
    stopping.await.expect("a farewell of a few seconds");
}

/// What a hostile tracker does.
enum Answer {
    /// Sends this, and closes its side.
    Once(Vec<u8>),
    /// Sends the first, and then the second again and again while it is taken.
    Forever(Vec<u8>, Vec<u8>),
    /// Redirects to ever new places of its own.
    RedirectsOn,
    /// Sends a byte of a head every tenth of a second.
    Trickle,
}

/// Starts a hostile tracker; returns its URL.
async fn hostile(answer: Answer) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut count = 0;
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 4_096]).await;
            count += 1;
            match &answer {
                Answer::Once(bytes) => drop(stream.write_all(bytes).await),
                Answer::Forever(first, then) => {
                    let _ = stream.write_all(first).await;
                    while stream.write_all(then).await.is_ok() {}
                }
                Answer::RedirectsOn => {
                    let head = format!("HTTP/1.1 302 x\r\nLocation: /announce/{count}\r\n\r\n");
                    let _ = stream.write_all(head.as_bytes()).await;
                }
                Answer::Trickle => {
                    tokio::spawn(async move {
                        while stream.write_all(b"H").await.is_ok() {
                            tokio::time::sleep(Duration::from_millis(100)).await;
                        }
                    });
                    continue;
                }
            }
            let _ = stream.shutdown().await;
            let _ = stream.read(&mut [0; 1]).await;
        }
    });
    format!("http://{addr}/announce")
}

/// A tracker that lists as many peers as a datagram has room for, with the longest interval, amid
/// datagrams that are none of ours.
async fn hostile_udp() -> String {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let addr = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut request = [0; 2_048];
        while let Ok((len, from)) = socket.recv_from(&mut request).await {
            let mut reply = request[8..16].to_vec();
            match len {
                16 => reply.extend([7; 8]),
                _ => {
                    reply.extend([0x7f, 0xff, 0xff, 0xff]);
                    reply.extend([0xff; 8]);
                    reply.extend([127, 0, 0, 1, 0, 7].repeat(10_900));
                }
            }
            for junk in [&b""[..], b"x", &[0; 8], &[0xff; 30_000]] {
                let _ = socket.send_to(junk, from).await;
            }
            let _ = socket.send_to(&reply, from).await;
        }
    });
    format!("udp://{addr}")
}

/// A chunk with a comment as long as a line may be, for one byte of content.
fn chunk(comment_len: usize) -> Vec<u8> {
    format!("1;{}\r\nx\r\n", "y".repeat(comment_len)).into_bytes()
}

/// Three megabytes of zeroes as gzip has them: one block of a fixed code, in which each repeat of
/// 258 bytes at distance 1 takes 13 bits. Put together here, as no compressor is at hand.
fn gzip_bomb() -> Vec<u8> {
    let mut bits: Vec<bool> = Vec::new();
    // The last block, of a fixed code; codes are written from their highest bit on.
    bits.extend([true, true, false]);
    let code = |bits: &mut Vec<bool>, code: u32, len: u32| {
        bits.extend((0..len).rev().map(|at| code >> at & 1 == 1));
    };
    code(&mut bits, 0x30, 8);
    for _ in 0..12_000 {
        // Length 258 is symbol 285, distance 1 is symbol 0.
        code(&mut bits, 0b1100_0101, 8);
        code(&mut bits, 0, 5);
    }
    code(&mut bits, 0, 7);
    let byte = |bits: &[bool]| {
        bits.iter()
            .rev()
            .fold(0, |byte, &bit| byte << 1 | u8::from(bit))
    };
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
    out.extend(bits.chunks(8).map(byte));
    out.extend([0; 8]);
    out
}

/// A client that asks each of the trackers by itself.
fn ask(urls: Vec<String>) -> TrackerClient {
    let mut announcer = AnnouncerConfig::new(TORRENT, PeerId([b'x'; 20]), 1_001);
    announcer.mode = Mode::Every;
    TrackerClient::start(TrackerClientConfig {
        announcer,
        tiers: vec![urls],
        bind: "127.0.0.2".parse().unwrap(),
        resolver: Arc::new(SystemResolver::new()),
        clock: RunClock::start(),
        seed: 1,
        transfer: Transfer::default(),
    })
}
