//! Peers that misbehave on real sockets.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    sync::mpsc,
    time::Duration,
};

use skep_net::session::{EventSink, Session, What};
use skep_wire::{
    Block, PeerId, PieceIndex,
    peer::{HANDSHAKE_LEN, Handshake, Message, Reserved},
    piece::BLOCK_LEN,
};

use crate::support::{self, Case};

const BLOCK: Block = Block {
    piece: PieceIndex(1),
    begin: 0,
    len: BLOCK_LEN,
};

fn handshake(case: &Case) -> Vec<u8> {
    let ours = Handshake {
        reserved: Reserved::OURS,
        info_hash: case.torrent.info_hash,
        peer_id: PeerId(*b"-XX0001-hostilehosti"),
    };
    ours.encode().to_vec()
}

/// What a leecher without a piece says until it is sent its first block.
fn first_words(case: &Case) -> Vec<u8> {
    let mut words = handshake(case);
    Message::HaveNone.encode(&mut words);
    Message::Interested.encode(&mut words);
    words
}

/// Reads messages until one whose id is `id`; returns what follows the id.
pub(crate) fn read_until(stream: &mut TcpStream, id: u8) -> Vec<u8> {
    loop {
        let mut len = [0; 4];
        stream.read_exact(&mut len).expect("a message");
        let mut body = vec![0; u32::from_be_bytes(len) as usize];
        stream.read_exact(&mut body).expect("a message");
        if body.first() == Some(&id) {
            return body.split_off(1);
        }
    }
}

/// A connection that may fetch.
pub(crate) fn unchoked(case: &Case, addr: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(addr).expect("connected");
    stream.write_all(&first_words(case)).expect("written");
    let mut theirs = [0; HANDSHAKE_LEN];
    stream.read_exact(&mut theirs).expect("a handshake");
    read_until(&mut stream, 1);
    stream
}

/// A download beside all that still works: from another address, as one has a limit of its own.
fn assert_serves(case: &Case, seed: &Session) {
    let (mut config, _) = case.get(&[seed.listen_addr()]);
    config.bind = Ipv4Addr::new(127, 7, 0, 3).into();
    assert!(support::join_within(Session::start(config).expect("started"), 30).complete);
    case.assert_arrived();
}

/// The session listens before it has looked at its content, however long that takes. Who comes meanwhile
/// waits, and is served then. The check is held up by the event that comes before it.
#[test]
fn who_dials_during_the_check_is_served_after_it() {
    let case = Case::file(200_000, 65_536);
    let (mut config, _) = case.seed_config();
    let (go_on, held) = mpsc::channel();
    let held = std::sync::Mutex::new(held);
    let (tell, checked) = mpsc::channel();
    config.events = EventSink::new(move |happened| match happened.what {
        What::Listening { .. } => held.lock().expect("once").recv().expect("told"),
        What::Checked { .. } => tell.send(()).expect("heard"),
        _ => {}
    });
    let seed = Session::start(config).expect("started");
    let mut early: Vec<TcpStream> = (0..20)
        .map(|_| TcpStream::connect(seed.listen_addr()).expect("connected"))
        .collect();
    early[0].write_all(&first_words(&case)).expect("written");
    assert!(checked.try_recv().is_err(), "nothing is checked yet");
    go_on.send(()).expect("it waits");
    let mut theirs = [0; HANDSHAKE_LEN];
    early[0].read_exact(&mut theirs).expect("a handshake");
    early[0]
        .write_all(&Message::Request(BLOCK).to_bytes())
        .expect("written");
    read_until(&mut early[0], 7);
}

/// Requests that are taken back at once are refused one by one. Whoever reads none of the refusals is
/// not read either, so that nothing piles up but what the sockets hold.
#[test]
fn a_peer_that_reads_nothing_is_not_read() {
    let case = Case::file(200_000, 65_536);
    let (seed, _) = case.seed();
    let mut peer = unchoked(&case, seed.listen_addr());
    peer.set_write_timeout(Some(Duration::from_secs(2)))
        .expect("set");
    let mut pair = Message::Request(BLOCK).to_bytes();
    Message::Cancel(BLOCK).encode(&mut pair);
    let pairs = pair.repeat(10_000);
    let mut taken = 0;
    loop {
        match peer.write(&pairs) {
            Ok(n) => taken += n,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => panic!("after {taken} bytes: {error}"),
        }
        assert!(taken < 64 << 20, "{taken} bytes were read");
    }
    assert_serves(&case, &seed);
}

/// A reset at each offset of what a leecher says first, the request for a block included.
#[test]
fn a_reset_at_any_byte_harms_nobody_else() {
    let case = Case::file(200_000, 65_536);
    let (seed, _) = case.seed();
    let mut words = first_words(&case);
    Message::Request(BLOCK).encode(&mut words);
    for end in 0..=words.len() {
        let mut peer = TcpStream::connect(seed.listen_addr()).expect("connected");
        peer.write_all(&words[..end]).expect("written");
        let reset = Some(Duration::ZERO);
        socket2::SockRef::from(&peer)
            .set_linger(reset)
            .expect("set");
    }
    assert_serves(&case, &seed);
    seed.stop();
    let ended = support::join_within(seed, 10);
    assert_eq!(ended.stats.peers, 0);
}
