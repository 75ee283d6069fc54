//! What the hostile actors do, met by a plain socket, and what their truth log says of it.
#![allow(clippy::unwrap_used)]

use std::{net::IpAddr, sync::Arc, time::Duration};

use skep_evidence::grade::Grade;
use skep_lab::{
    content::Work,
    hostile::{Hostile, Kind, Stage},
    loopback::Subnet,
    score::Truth,
    truth::{self, Act, TruthLog},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

const PATIENCE: Duration = Duration::from_secs(120);

/// Each kind, visited by an observer that handshakes and asks for all blocks of piece 0, comes out
/// of its own truth log with the grade that the table gives it, and no higher.
#[tokio::test]
async fn every_kind_does_what_its_row_of_the_table_says() {
    let mut subnet = Subnet::take();
    let (dir, stage) = stage();
    let observer = subnet.next_ip();
    for kind in Kind::ALL {
        let actor = Hostile::start(kind, kind.name(), subnet.next_ip(), &stage)
            .await
            .unwrap();
        visit(kind, &actor, observer, &stage.work).await;
        actor.stop().await;
    }
    stage.truth.finish().unwrap();

    let lines = truth::read(&dir.path().join("truth.jsonl")).unwrap();
    let truth = Truth::distill(&lines, observer).unwrap();
    for kind in Kind::ALL {
        let actor = &truth.actors[kind.name()];
        let grades = truth
            .grades
            .keys()
            .filter(|(endpoint, _)| actor.endpoints.contains(endpoint));
        let highest = grades.map(|(_, grade)| *grade).max();
        let expected = Some(kind.grade_max()).filter(|grade| *grade != Grade::Listed);
        assert_eq!(highest, expected, "{kind:?}");
        assert!(!actor.honest && actor.stays.len() == 1 && actor.stays[0].to_us.is_some());
    }
}

#[tokio::test]
async fn the_echo_sends_back_the_handshake_and_the_garbage_is_not_the_content() {
    let mut subnet = Subnet::take();
    let (_dir, stage) = stage();
    let observer = subnet.next_ip();
    let echo = Hostile::start(Kind::Echo, "echo", subnet.next_ip(), &stage)
        .await
        .unwrap();
    let mut stream = dial(observer, &echo).await.unwrap();
    let ours = handshake(&stage.work);
    stream.write_all(&ours).await.unwrap();
    let mut back = [0; 68];
    timeout(PATIENCE, stream.read_exact(&mut back))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(back.as_slice(), ours);

    let garbage = Hostile::start(Kind::Garbage, "garbage", subnet.next_ip(), &stage)
        .await
        .unwrap();
    let blocks = visit(Kind::Garbage, &garbage, observer, &stage.work).await;
    assert_eq!(blocks.len(), 2);
    assert_ne!(
        Some(blocks.concat().as_slice()),
        stage.work.block(0, 0, 32_768)
    );
}

#[tokio::test]
async fn two_actors_behind_one_address_are_two_endpoints() {
    let mut subnet = Subnet::take();
    let (dir, stage) = stage();
    let (observer, shared) = (subnet.next_ip(), subnet.next_ip());
    let liar = Hostile::start(Kind::ClaimsAll, "liar", shared, &stage)
        .await
        .unwrap();
    let giver = Hostile::start(Kind::UnderReporter, "giver", shared, &stage)
        .await
        .unwrap();
    assert_eq!(liar.endpoint.ip(), giver.endpoint.ip());
    for actor in [&liar, &giver] {
        visit(actor.kind, actor, observer, &stage.work).await;
    }
    let endpoints = [liar.endpoint, giver.endpoint];
    liar.stop().await;
    giver.stop().await;
    stage.truth.finish().unwrap();

    let lines = truth::read(&dir.path().join("truth.jsonl")).unwrap();
    let truth = Truth::distill(&lines, observer).unwrap();
    assert!(truth.grades.contains_key(&(endpoints[1], Grade::Verified)));
    assert!(!truth.grades.contains_key(&(endpoints[0], Grade::Delivered)));
}

/// The connections of a stopped actor end, and nobody is left to answer.
#[tokio::test]
async fn a_stopped_actor_is_gone() {
    let mut subnet = Subnet::take();
    let (_dir, stage) = stage();
    let observer = subnet.next_ip();
    let actor = Hostile::start(Kind::Silent, "silent", subnet.next_ip(), &stage)
        .await
        .unwrap();
    let mut stream = dial(observer, &actor).await.unwrap();
    let endpoint = actor.endpoint;
    actor.stop().await;
    let mut buf = [0; 1];
    // End of stream, or a reset where the connection was still waiting to be accepted.
    let end = timeout(PATIENCE, stream.read(&mut buf)).await.unwrap();
    assert!(matches!(end, Ok(0) | Err(_)));
    assert!(TcpStream::connect(endpoint).await.is_err());
}

fn stage() -> (tempfile::TempDir, Stage) {
    let dir = tempfile::tempdir().unwrap();
    let truth = TruthLog::create(&dir.path().join("truth.jsonl")).unwrap();
    let work = Arc::new(Work::generate("work.bin", 1, 10 * 32_768 + 5, 32_768));
    truth.write("lab", Act::stage(&work));
    (dir, Stage { truth, work })
}

async fn dial(from: IpAddr, actor: &Hostile) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((from, 0).into())?;
    socket.connect(actor.endpoint).await
}

/// A short visit: handshake, then requests for both blocks of piece 0 if the actor is one that
/// serves. Returns the payloads that came.
async fn visit(kind: Kind, actor: &Hostile, from: IpAddr, work: &Work) -> Vec<Vec<u8>> {
    let stream = dial(from, actor).await;
    if kind == Kind::Refused {
        assert_eq!(
            stream.unwrap_err().kind(),
            std::io::ErrorKind::ConnectionRefused
        );
        return vec![];
    }
    let mut stream = stream.unwrap();
    stream.write_all(&handshake(work)).await.unwrap();
    match kind {
        Kind::Refused | Kind::Silent => {
            // Nothing comes until the actor has seen the end of our stream.
            stream.shutdown().await.unwrap();
            let mut rest = Vec::new();
            timeout(PATIENCE, stream.read_to_end(&mut rest))
                .await
                .unwrap()
                .unwrap();
            assert_eq!(rest, b"");
            return vec![];
        }
        Kind::Printer => {
            let mut head = [0; 12];
            timeout(PATIENCE, stream.read_exact(&mut head))
                .await
                .unwrap()
                .unwrap();
            assert_eq!(&head, b"HTTP/1.1 400");
            return vec![];
        }
        Kind::SlowLoris => {
            let mut first = [0; 1];
            timeout(PATIENCE, stream.read_exact(&mut first))
                .await
                .unwrap()
                .unwrap();
            assert_eq!(first, [19]);
            return vec![];
        }
        _ => {}
    }
    let mut theirs = [0; 68];
    timeout(PATIENCE, stream.read_exact(&mut theirs))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(theirs[28..48] == work.info_hash.0, kind != Kind::OtherSwarm);
    if kind == Kind::Echo || kind == Kind::OtherSwarm {
        return vec![];
    }
    let mut blocks = Vec::new();
    let (first, _) = message(&mut stream).await;
    assert_eq!(first, if kind == Kind::HaveFlood { 4 } else { 5 });
    if matches!(kind, Kind::Garbage | Kind::UnderReporter) {
        assert_eq!(message(&mut stream).await.0, 1);
        for begin in [0u32, 16_384] {
            let mut request = vec![0, 0, 0, 13, 6, 0, 0, 0, 0];
            request.extend(begin.to_be_bytes());
            request.extend(16_384u32.to_be_bytes());
            stream.write_all(&request).await.unwrap();
            let (id, body) = message(&mut stream).await;
            assert_eq!((id, body.len()), (7, 8 + 16_384));
            blocks.push(body[8..].to_vec());
        }
    }
    blocks
}

async fn message(stream: &mut TcpStream) -> (u8, Vec<u8>) {
    let mut len = [0; 4];
    timeout(PATIENCE, stream.read_exact(&mut len))
        .await
        .unwrap()
        .unwrap();
    let mut body = vec![0; u32::from_be_bytes(len) as usize];
    timeout(PATIENCE, stream.read_exact(&mut body))
        .await
        .unwrap()
        .unwrap();
    let id = body.remove(0);
    (id, body)
}

fn handshake(work: &Work) -> Vec<u8> {
    let mut out = b"\x13BitTorrent protocol\0\0\0\0\0\0\0\0".to_vec();
    out.extend(work.info_hash.0);
    out.extend(b"-SK0100-observerobse");
    out
}
