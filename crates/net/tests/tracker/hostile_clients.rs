//! Strangers who ask the tracker over HTTP and mean no good, and what everybody else sees of it.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use skep_net::tracker::{TrackerConfig, TrackerHandle, TrackerServer};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

use super::{TORRENT, start};

/// How long any single thing may take here.
const PATIENCE: Duration = Duration::from_secs(120);

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";

#[tokio::test]
async fn connection_serves_many_requests_even_if_they_come_together_or_in_parts() {
    let server = start("http", "127.0.0.1:0");
    let mut stream = TcpStream::connect(server.http_addrs()[0]).await.unwrap();
    let request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    stream.write_all(&request.repeat(2)).await.unwrap();
    stream.write_all(&request[..9]).await.unwrap();
    tokio::task::yield_now().await;
    stream.write_all(&request[9..]).await.unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut answers = String::new();
    stream.read_to_string(&mut answers).await.unwrap();
    assert_eq!(
        answers.matches("HTTP/1.1 200 OK\r\n").count(),
        4,
        "{answers}"
    );
    assert_eq!(
        answers.matches("Connection: close\r\n").count(),
        1,
        "{answers}"
    );
}

#[tokio::test]
async fn oversized_head_is_refused_and_the_connection_closed() {
    let server = start("http", "127.0.0.1:0");
    let mut stream = TcpStream::connect(server.http_addrs()[0]).await.unwrap();
    let head = format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(20_000));
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
}

/// A byte now and then does not buy more time than one request has.
#[tokio::test]
async fn slow_client_is_let_go_and_others_are_served_meanwhile() {
    let mut config = TrackerConfig::new(60).unwrap();
    config.http.push("127.0.0.1:0".parse().unwrap());
    config.request_time_max = Duration::from_millis(150);
    let server = TrackerServer::start(config).unwrap();
    let mut slow = TcpStream::connect(server.http_addrs()[0]).await.unwrap();
    let (mut read, mut write) = slow.split();
    let trickle = async {
        loop {
            if write.write_all(b"G").await.is_err() {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let mut answer = Vec::new();
    let mut chunk = [0; 256];
    let reading = async {
        while let Ok(len) = read.read(&mut chunk).await
            && len > 0
        {
            answer.extend_from_slice(&chunk[..len]);
        }
    };
    tokio::select! {
        () = trickle => {}
        () = reading => {}
        () = tokio::time::sleep(PATIENCE) => panic!("never let go"),
    }
    assert!(
        answer.starts_with(b"HTTP/1.1 408 "),
        "{}",
        answer.escape_ascii()
    );
}

/// Strangers hold every connection, some silent, some with a request that they never end; whoever
/// comes is served at once all the same.
#[tokio::test]
async fn newcomers_are_served_though_strangers_hold_every_connection() {
    let server = start_with(|config| config.conns_max = 64);
    let mut strangers = Vec::new();
    for n in 0..500_u16 {
        let mut stream = connect(&server, 10 + (n % 100) as u8).await;
        if n % 2 == 0 {
            stream.write_all(b"GET /announce?").await.unwrap();
        }
        strangers.push(stream);
        if n % 25 == 0 {
            let answer = ask_and_close(connect(&server, 5).await, b"GET / HTTP/1.0\r\n\r\n").await;
            assert!(
                answer.starts_with(b"HTTP/1.1 200 "),
                "{n}: {}",
                answer.escape_ascii()
            );
        }
    }
}

/// A flood from one address displaces none of the others' connections, however long they are idle.
#[tokio::test]
async fn flood_from_one_address_costs_nobody_else_a_connection() {
    let server = start_with(|config| config.conns_max = 64);
    let mut friend = connect(&server, 5).await;
    assert_eq!(exchange(&mut friend, GET).await, 1);
    let mut flood = Vec::new();
    for _ in 0..500 {
        let mut stream = connect(&server, 9).await;
        let _ = stream.write_all(b"GET").await;
        flood.push(stream);
    }
    assert_eq!(exchange(&mut friend, GET).await, 1);
}

/// The answers together are longer than what is held at once: they come in several writes, and none
/// is left out.
#[tokio::test]
async fn long_answers_to_requests_that_come_together_all_arrive() {
    let server = start("http", "127.0.0.1:0");
    for n in 0..200_u16 {
        server.inject(TORRENT, SocketAddr::from(([127, 3, 3, n as u8], 1_000 + n)));
    }
    let hash = "%5e".repeat(20);
    let request = format!(
        "GET /announce?info_hash={hash}&peer_id={hash}&port=7&left=1&compact=0&numwant=200 HTTP/1.1\r\n\r\n"
    );
    let mut stream = connect(&server, 2).await;
    assert_eq!(
        exchange(&mut stream, &request.as_bytes().repeat(100)).await,
        100
    );
    assert_eq!(server.stats().counts.announces, 100);
}

/// Who asks and asks and reads no answer is let go once its time is over; what it was answered does
/// not pile up meanwhile.
#[tokio::test]
async fn client_that_takes_no_answers_is_let_go() {
    let server = start_with(|config| config.request_time_max = Duration::from_millis(200));
    let mut stream = connect(&server, 2).await;
    let requests = GET.repeat(1_000);
    let asking = async { while stream.write_all(&requests).await.is_ok() {} };
    timeout(PATIENCE, asking)
        .await
        .expect("the connection ends");
    let mut other = connect(&server, 3).await;
    assert_eq!(exchange(&mut other, GET).await, 1);
}

/// A head that comes byte by byte, and one whose client has closed its side, are requests like
/// others; one that is cut in the middle gets no answer.
#[tokio::test]
async fn slow_and_half_closed_requests_are_answered() {
    let server = start("http", "127.0.0.1:0");
    let mut stream = connect(&server, 2).await;
    stream.set_nodelay(true).unwrap();
    for byte in b"GET / HTTP/1.0\r\nX: y\r\n\r\n" {
        stream.write_all(&[*byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    let answer = ask_and_close(stream, b"").await;
    assert!(
        answer.starts_with(b"HTTP/1.1 200 "),
        "{}",
        answer.escape_ascii()
    );
    let answer = ask_and_close(connect(&server, 2).await, GET).await;
    assert!(
        answer.starts_with(b"HTTP/1.1 200 "),
        "{}",
        answer.escape_ascii()
    );
    assert_eq!(
        ask_and_close(connect(&server, 2).await, b"GET / HT").await,
        b""
    );
}

/// Nothing of a request comes back as a header field or as a second answer, and what cannot be told
/// apart from a body for sure is never read as a request.
#[tokio::test]
async fn answers_cannot_be_split_nor_requests_smuggled() {
    let server = start("http", "127.0.0.1:0");
    let smuggled = "GET /smuggled HTTP/1.1\r\n\r\n";
    let len = smuggled.len();
    let cases = [
        (
            "GET /a%0d%0aSet-Cookie:%20b=c HTTP/1.1\r\n\r\n".to_owned(),
            "404",
        ),
        (
            "GET /announce?info_hash=%0d%0aX:y&peer_id=%0d%0a&port=%0d%0a HTTP/1.1\r\n\r\n"
                .to_owned(),
            "200",
        ),
        (
            "GET /scrape?info_hash=\rX: HTTP/1.1\r\n\r\n".to_owned(),
            "400",
        ),
        ("X\rSet-Cookie: a=b\r\n\r\n".to_owned(), "400"),
        (
            format!("POST /announce HTTP/1.1\r\nContent-Length: {len}\r\n\r\n{smuggled}"),
            "413",
        ),
        (
            format!(
                "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1a\r\n{smuggled}0\r\n\r\n"
            ),
            "413",
        ),
        (
            format!(
                "GET / HTTP/1.1\r\nContent-Length: 0\r\nContent-Length: {len}\r\n\r\n{smuggled}"
            ),
            "413",
        ),
        (
            format!("GET / HTTP/1.1\r\nContent-Length : {len}\r\n\r\n{smuggled}"),
            "400",
        ),
        (
            format!("GET / HTTP/1.1\r\nA: b\r\n Content-Length: {len}\r\n\r\n{smuggled}"),
            "400",
        ),
        (format!("PUT / HTTP/1.1\r\n\r\n{smuggled}"), "405"),
        (format!("HEAD / HTTP/1.1\r\n\r\n{smuggled}"), "405"),
    ];
    for (request, status) in cases {
        let answer = ask_and_close(connect(&server, 2).await, request.as_bytes()).await;
        let answer = String::from_utf8(answer).unwrap();
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{request:?}: {answer}"
        );
        assert_eq!(
            answer.matches("HTTP/1.1 ").count(),
            1,
            "{request:?}: {answer}"
        );
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let names: Vec<&str> = head
            .lines()
            .skip(1)
            .map(|l| l.split(':').next().unwrap())
            .collect();
        let ours = ["Content-Type", "Content-Length", "Connection"];
        assert!(
            names.iter().all(|name| ours.contains(name)),
            "{request:?}: {head}"
        );
        assert_eq!(body.is_empty(), request.starts_with("HEAD"), "{answer}");
    }
    assert_eq!(server.stats().peers, 0);
}

/// Numbers that no honest client sends: each is refused or taken within limits.
#[tokio::test]
async fn absurd_numbers_are_refused_or_taken_within_limits() {
    let server = start("http", "127.0.0.1:0");
    for n in 0..250_u16 {
        server.inject(TORRENT, SocketAddr::from(([127, 3, 3, n as u8], 1_000 + n)));
    }
    let hash = "%5e".repeat(20);
    let named = |body: &str| {
        body.split("5:peers")
            .nth(1)
            .map(|peers| peers.split(':').next().unwrap().parse::<usize>().unwrap() / 6)
    };
    for (params, expected) in [
        ("port=7&left=1&numwant=-1", Some(50)),
        ("port=7&left=1&numwant=-9223372036854775808", Some(50)),
        ("port=7&left=1&numwant=4294967295", Some(200)),
        ("port=7&left=1&numwant=9223372036854775807", Some(50)),
        ("port=7&left=1&numwant=99999999999999999999", None),
        ("port=7&left=18446744073709551615&numwant=1", Some(1)),
        ("port=7&left=18446744073709551616", None),
        ("port=7&left=-2", None),
        ("port=0&left=1", None),
        ("port=65536&left=1", None),
        ("port=-1&left=1", None),
    ] {
        let request =
            format!("GET /announce?info_hash={hash}&peer_id={hash}&{params} HTTP/1.0\r\n\r\n");
        let answer = ask_and_close(connect(&server, 2).await, request.as_bytes()).await;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert_eq!(named(&answer), expected, "{params}: {answer}");
        assert_eq!(
            answer.contains("failure reason"),
            expected.is_none(),
            "{params}: {answer}"
        );
    }
    let scrape = format!(
        "GET /scrape?{} HTTP/1.0\r\n\r\n",
        format!("info_hash={hash}&").repeat(10_000)
    );
    let answer = ask_and_close(connect(&server, 2).await, scrape.as_bytes()).await;
    assert!(
        answer.starts_with(b"HTTP/1.1 431 "),
        "{}",
        answer.escape_ascii()
    );
}

fn start_with(change: impl FnOnce(&mut TrackerConfig)) -> TrackerHandle {
    let mut config = TrackerConfig::new(60).unwrap();
    config.http.push("127.0.0.1:0".parse().unwrap());
    change(&mut config);
    TrackerServer::start(config).unwrap()
}

/// Connects from 127.0.0.`last`.
async fn connect(server: &TrackerHandle, last: u8) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket
        .bind((Ipv4Addr::new(127, 0, 0, last), 0).into())
        .unwrap();
    let connecting = socket.connect(server.http_addrs()[0]);
    timeout(PATIENCE, connecting).await.unwrap().unwrap()
}

/// Sends, closes our side, and reads to the end. A reset after the answer is an end, too.
async fn ask_and_close(mut stream: TcpStream, request: &[u8]) -> Vec<u8> {
    let mut answer = Vec::new();
    let asking = async {
        let _ = stream.write_all(request).await;
        let _ = stream.shutdown().await;
        let _ = stream.read_to_end(&mut answer).await;
    };
    timeout(PATIENCE, asking)
        .await
        .expect("the connection ends");
    answer
}

/// Sends requests that keep the connection, and reads until as many answers have come.
async fn exchange(stream: &mut TcpStream, requests: &[u8]) -> usize {
    let count = requests
        .windows(4)
        .filter(|window| window == b"\r\n\r\n")
        .count();
    let (mut read, mut write) = stream.split();
    let mut answers = Vec::new();
    let reading = async {
        let mut ends = 0;
        while ends < count && read.read_buf(&mut answers).await.unwrap() > 0 {
            ends = answers
                .windows(9)
                .filter(|window| window == b"HTTP/1.1 ")
                .count();
        }
        ends
    };
    let both = async { tokio::join!(write.write_all(requests), reading) };
    let (written, ends) = timeout(PATIENCE, both).await.expect("answers come");
    written.unwrap();
    ends
}
