//! The tracker server and the tracker client on real sockets.
#![allow(clippy::unwrap_used)]

mod hostile_clients;
mod hostile_trackers;

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use skep_net::{
    clock::RunClock,
    tracker::{
        Resolve, SystemResolver, TrackerClient, TrackerClientConfig, TrackerConfig, TrackerHandle,
        TrackerServer, TrackerServerError, client::resolve::Addrs,
    },
};
use skep_proto::tracker::client::{AnnouncerConfig, Event, Mode, Transfer};
use skep_wire::{
    InfoHash, PeerId,
    tracker::{
        AnnounceEvent,
        udp::{Request, TransactionId},
    },
};
use tokio::net::UdpSocket;

const TORRENT: InfoHash = InfoHash([0x5e; 20]);

#[tokio::test]
async fn two_clients_find_each_other_over_udp_and_ipv4() {
    meet("udp", "127.0.0.1:0", ["127.0.0.2", "127.0.0.3"]).await;
}

#[tokio::test]
async fn two_clients_find_each_other_over_http_and_ipv4() {
    meet("http", "127.0.0.1:0", ["127.0.0.2", "127.0.0.3"]).await;
}

/// Loopback has one IPv6 address, so the two differ in their port only.
#[tokio::test]
async fn two_clients_find_each_other_over_udp_and_ipv6() {
    meet("udp", "[::1]:0", ["::1", "::1"]).await;
}

#[tokio::test]
async fn two_clients_find_each_other_over_http_and_ipv6() {
    meet("http", "[::1]:0", ["::1", "::1"]).await;
}

async fn meet(transport: &str, addr: &str, ips: [&str; 2]) {
    let server = start(transport, addr);
    let mut first = client(&server, ips[0], 1_001, 0);
    let (event, peers) = announced(&mut first).await;
    assert_eq!((event, peers), (AnnounceEvent::Started, vec![]));
    let mut second = client(&server, ips[1], 1_002, 5);
    let (event, peers) = announced(&mut second).await;
    let expected = SocketAddr::new(ips[0].parse().unwrap(), 1_001);
    assert_eq!((event, peers), (AnnounceEvent::Started, vec![expected]));
    second.complete();
    assert_eq!(
        announced(&mut second).await,
        (AnnounceEvent::Completed, vec![])
    );
    assert_eq!(server.stats().peers, 2);
    second.stopped().await;
    assert_eq!(server.stats().peers, 1);
    assert_eq!(server.stats().counts.announces, 4);
}

fn start(transport: &str, addr: &str) -> TrackerHandle {
    try_start(transport, addr).unwrap()
}

fn try_start(transport: &str, addr: &str) -> Result<TrackerHandle, TrackerServerError> {
    let mut config = TrackerConfig::new(60).unwrap();
    match transport {
        "udp" => config.udp.push(addr.parse().unwrap()),
        _ => config.http.push(addr.parse().unwrap()),
    }
    TrackerServer::start(config)
}

fn client(server: &TrackerHandle, ip: &str, port: u16, left: u64) -> TrackerClient {
    let mut announcer = AnnouncerConfig::new(TORRENT, PeerId([b'x'; 20]), port);
    announcer.mode = Mode::Every;
    TrackerClient::start(TrackerClientConfig {
        announcer,
        tiers: vec![server.urls()],
        bind: ip.parse::<IpAddr>().unwrap(),
        resolver: Arc::new(SystemResolver::new()),
        clock: RunClock::start(),
        seed: u64::from(port),
        transfer: Transfer {
            left,
            ..Transfer::default()
        },
    })
}

async fn announced(client: &mut TrackerClient) -> (AnnounceEvent, Vec<SocketAddr>) {
    match next(client).await {
        Event::Announced { event, reply, .. } => (event, reply.peers),
        other => panic!("{other:?}"),
    }
}

async fn next(client: &mut TrackerClient) -> Event {
    let event = tokio::time::timeout(Duration::from_secs(120), client.next_event());
    event
        .await
        .expect("an event within 10 s")
        .expect("the client is at work")
}

/// One name, two addresses, one port: each address is announced to, and each swarm hears of us.
#[tokio::test]
async fn tracker_with_both_ip_versions_is_announced_to_over_both() {
    for transport in ["udp", "http"] {
        let (v4, v6, port) = start_both(transport);
        let others: [SocketAddr; 2] = ["127.0.0.9:9".parse().unwrap(), "[::9]:9".parse().unwrap()];
        v4.inject(TORRENT, others[0]);
        v6.inject(TORRENT, others[1]);
        let mut client = TrackerClient::start(TrackerClientConfig {
            announcer: AnnouncerConfig::new(TORRENT, PeerId([b'x'; 20]), 1_001),
            tiers: vec![vec![format!("{transport}://tracker.test:{port}/announce")]],
            bind: "0.0.0.0".parse().unwrap(),
            resolver: Arc::new(Names(vec![
                "127.0.0.1".parse().unwrap(),
                "::1".parse().unwrap(),
            ])),
            clock: RunClock::start(),
            seed: 1,
            transfer: Transfer {
                left: 5,
                ..Transfer::default()
            },
        });
        let mut heard = Vec::new();
        for _ in 0..2 {
            let Event::Announced { remote, reply, .. } = next(&mut client).await else {
                panic!("both answer");
            };
            assert_eq!(remote.port(), port);
            heard.push((remote.ip().to_string(), reply.peers));
        }
        heard.sort();
        assert_eq!(
            heard,
            [
                ("127.0.0.1".to_owned(), vec![others[0]]),
                ("::1".to_owned(), vec![others[1]])
            ],
            "{transport}"
        );
        for server in [&v4, &v6] {
            assert_eq!(server.stats().peers, 2, "{transport}");
        }
        client.stopped().await;
        for server in [&v4, &v6] {
            assert_eq!(
                (server.stats().peers, server.stats().counts.announces),
                (1, 2)
            );
        }
    }
}

/// The tracker serves all addresses of the machine; whom a client asks, it hears from. By its route
/// every one of these answers would come from 127.0.0.1.
#[tokio::test]
async fn wildcard_address_answers_from_the_address_that_was_asked() {
    let server = start("udp", "0.0.0.0:0");
    let port = server.udp_addrs()[0].port();
    for (last, from) in [(5_u8, 9_u8), (6, 9), (1, 1), (200, 3)] {
        let socket = UdpSocket::bind((Ipv4Addr::new(127, 0, 0, from), 0))
            .await
            .unwrap();
        let tracker = SocketAddr::from(([127, 0, 0, last], port));
        let connection = exchange(&socket, tracker, &connect(last.into())).await;
        assert_eq!(
            connection[..8],
            [&[0; 4][..], &u32::from(last).to_be_bytes()].concat()
        );
    }
    let server = start("udp", "[::]:0");
    let tracker = SocketAddr::from((Ipv6Addr::LOCALHOST, server.udp_addrs()[0].port()));
    let socket = UdpSocket::bind("[::1]:0").await.unwrap();
    assert_eq!(
        exchange(&socket, tracker, &connect(7)).await[..8],
        [0, 0, 0, 0, 0, 0, 0, 7]
    );
}

/// A whole announce against a wildcard address, from a client that minds where answers come from.
#[tokio::test]
async fn client_announces_to_any_address_of_a_wildcard_server() {
    let server = start("udp", "0.0.0.0:0");
    let port = server.udp_addrs()[0].port();
    let mut client = TrackerClient::start(TrackerClientConfig {
        announcer: AnnouncerConfig::new(TORRENT, PeerId([b'x'; 20]), 1_001),
        tiers: vec![vec![format!("udp://127.0.0.77:{port}")]],
        bind: "127.0.0.2".parse().unwrap(),
        resolver: Arc::new(SystemResolver::new()),
        clock: RunClock::start(),
        seed: 1,
        transfer: Transfer::default(),
    });
    assert_eq!(announced(&mut client).await.0, AnnounceEvent::Started);
    client.stopped().await;
    assert_eq!(server.stats().counts.announces, 2);
}

/// Datagrams that the system joins, as they are of one length and sender, are requests each.
#[tokio::test]
async fn datagrams_that_arrive_joined_are_answered_each() {
    let server = start("udp", "127.0.0.1:0");
    let socket = UdpSocket::bind("127.0.0.2:0").await.unwrap();
    let state = quinn_udp::UdpSocketState::new((&socket).into()).unwrap();
    let count = state.max_gso_segments().min(8) as u32;
    let contents: Vec<u8> = (0..count).flat_map(connect).collect();
    let transmit = quinn_udp::Transmit {
        destination: server.udp_addrs()[0],
        ecn: None,
        contents: &contents,
        segment_size: Some(16),
        src_ip: None,
    };
    socket.writable().await.unwrap();
    state.try_send((&socket).into(), &transmit).unwrap();
    for transaction in 0..count {
        let mut reply = [0; 64];
        let receive = tokio::time::timeout(Duration::from_secs(120), socket.recv(&mut reply));
        assert_eq!(receive.await.unwrap().unwrap(), 16);
        assert_eq!(reply[4..8], transaction.to_be_bytes());
    }
    assert_eq!(server.stats().counts.connects, u64::from(count));
}

/// A connect request (BEP 15).
fn connect(transaction: u32) -> Vec<u8> {
    let mut request = Vec::new();
    let transaction = TransactionId(transaction);
    Request::Connect { transaction }.encode(&mut request);
    request
}

/// Asks and waits for the answer, which must come from where the question went.
async fn exchange(socket: &UdpSocket, tracker: SocketAddr, request: &[u8]) -> Vec<u8> {
    socket.send_to(request, tracker).await.unwrap();
    let mut reply = vec![0; 2_048];
    let receive = tokio::time::timeout(Duration::from_secs(120), socket.recv_from(&mut reply));
    let (len, from) = receive.await.expect("an answer within 10 s").unwrap();
    assert_eq!(from, tracker);
    reply.truncate(len);
    reply
}

/// Any name has these addresses.
#[derive(Debug)]
struct Names(Vec<IpAddr>);

impl Resolve for Names {
    fn addrs(&self, _: String) -> Addrs {
        let addrs = self.0.clone();
        Box::pin(async move { addrs })
    }
}

/// A server of each IP version on one port.
fn start_both(transport: &str) -> (TrackerHandle, TrackerHandle, u16) {
    // The port that the system chooses for one may be taken for the other.
    for _ in 0..50 {
        let v4 = start(transport, "127.0.0.1:0");
        let port = v4
            .http_addrs()
            .iter()
            .chain(v4.udp_addrs())
            .next()
            .unwrap()
            .port();
        if let Ok(v6) = try_start(transport, &format!("[::1]:{port}")) {
            return (v4, v6, port);
        }
    }
    panic!("no port is free for both");
}

/// The lie that the laboratory needs is told to everybody who asks, and stays.
#[tokio::test]
async fn injected_endpoint_is_named_though_it_never_announced() {
    let server = start("http", "127.0.0.1:0");
    let bogus: SocketAddr = "127.9.9.9:9".parse().unwrap();
    server.inject(TORRENT, bogus);
    let mut client = client(&server, "127.0.0.2", 1_001, 5);
    assert_eq!(announced(&mut client).await.1, [bogus]);
}

/// Nobody listens there, which over TCP is known at once; the other has no address of our family. A
/// farewell to nobody takes no time.
#[tokio::test]
async fn dead_tracker_is_a_failure_and_stopping_is_quick() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/announce", listener.local_addr().unwrap());
    drop(listener);
    let mut client = TrackerClient::start(TrackerClientConfig {
        announcer: AnnouncerConfig::new(TORRENT, PeerId([b'x'; 20]), 1_001),
        tiers: vec![vec![url, "udp://[::1]:1".to_owned()]],
        bind: "127.0.0.2".parse().unwrap(),
        resolver: Arc::new(SystemResolver::new()),
        clock: RunClock::start(),
        seed: 1,
        transfer: Transfer::default(),
    });
    let mut said = Vec::new();
    for _ in 0..2 {
        match next(&mut client).await {
            Event::Failed { tracker, why, .. } => said.push((tracker, why.to_string())),
            other => panic!("{other:?}"),
        }
    }
    said.sort();
    assert_eq!(said[0], (0, "no connection: refused".to_owned()));
    assert_eq!(said[1], (1, "name has no usable address".to_owned()));
    let stopping = tokio::time::timeout(Duration::from_secs(4), client.stopped());
    stopping.await.expect("there is nobody to take leave of");
}
