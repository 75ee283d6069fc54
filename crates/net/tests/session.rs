//! Sessions over real sockets on loopback: what is shared arrives, byte for byte, whatever lies in
//! the way.

#[path = "session/hostile.rs"]
mod hostile;
#[path = "session/links.rs"]
mod links;
#[path = "session/support.rs"]
mod support;
#[path = "session/versions.rs"]
mod versions;

use std::{
    io::{Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener},
    time::Duration,
};

use skep_net::session::{
    Phase, Place, Purpose, SeedUntil, Session, SessionConfig, SessionError, What,
};
use skep_net::tracker::{TrackerConfig, TrackerServer};
use skep_wire::{
    Block, PeerId, PieceIndex,
    metainfo::Version,
    peer::{self, HANDSHAKE_LEN, Handshake, Message, MessageId, Reserved, piece_header},
};
use support::{Case, LOOPBACK, join_within};

/// A seed of something else is none, and says so before anybody hears of it.
#[test]
fn what_is_not_there_is_not_shared() {
    let case = Case::file(100_000, 32_768);
    std::fs::write(case.source(), vec![0; 100_000]).expect("written");
    let (config, heard) = case.seed_config();
    let session = Session::start(config).expect("started");
    let error = session.join().expect_err("nothing is there");
    assert!(
        matches!(error, SessionError::NothingToShare { pieces: 4, .. }),
        "{error}"
    );
    assert_eq!(heard.count(|what| matches!(what, What::Tracker { .. })), 0);
}

/// Many files of odd lengths, one of them empty, with pieces that cross their borders.
#[test]
fn a_shared_folder_arrives_byte_for_byte() {
    let case = Case::folder(
        &[
            ("a", 100_000),
            ("sub/b", 1),
            ("sub/empty", 0),
            ("z", 777_777),
        ],
        32_768,
    );
    let (seed, seed_heard) = case.seed();
    let (config, heard) = case.get(&[seed.listen_addr()]);
    let ended = join_within(Session::start(config).expect("started"), 30);

    assert!(ended.complete);
    case.assert_arrived();
    assert!(
        case.out().join("t/sub/empty").exists(),
        "files without a byte are made, too"
    );
    assert!(!case.resume_file().exists(), "nothing is left to resume");
    assert_eq!(ended.stats.downloaded_bytes, 877_778, "no byte came twice");

    seed.stop();
    let seeded = join_within(seed, 10);
    assert_eq!(seeded.stats.uploaded_bytes, 877_778);
    // The truth of both ends agrees, block by block.
    let mut sent = seed_heard.blocks_sent();
    let mut received = heard.blocks_received();
    sent.sort();
    received.sort();
    assert_eq!(sent, received);
    assert_eq!(
        heard.count(|what| matches!(what, What::PieceVerified { .. })),
        27
    );
    assert_eq!(heard.count(|what| matches!(what, What::Completed)), 1);
}

#[test]
fn leechers_share_among_themselves_while_they_fetch() {
    let case = Case::file(4_000_000, 65_536);
    let (mut config, seed_heard) = case.seed_config();
    config.upload_bytes_per_sec = Some(4_000_000);
    let seed = Session::start(config).expect("started");
    let mut leechers = Vec::new();
    let mut known = vec![seed.listen_addr()];
    for n in 0..4 {
        let mut config = case.get_into(&format!("out{n}"), &known).0;
        config.purpose = Purpose::Get(SeedUntil::Forever);
        let session = Session::start(config).expect("started");
        known.push(session.listen_addr());
        leechers.push(session);
    }
    support::wait_until(60, || {
        leechers
            .iter()
            .all(|session| session.stats().bytes_held == 4_000_000)
    });
    for (n, session) in leechers.into_iter().enumerate() {
        session.stop();
        assert!(join_within(session, 10).complete);
        case.assert_arrived_in(&format!("out{n}"));
    }
    seed.stop();
    let seeded = join_within(seed, 10).stats.uploaded_bytes;
    assert!(
        seeded < 4 * 4_000_000,
        "the seeder sent everything itself: {seeded}"
    );
    assert!(!seed_heard.blocks_sent().is_empty());
}

#[test]
fn wrong_bytes_on_the_disk_are_fetched_again_and_right_ones_are_not() {
    let case = Case::file(1_000_000, 65_536);
    std::fs::create_dir_all(case.out()).expect("created");
    let mut content = std::fs::read(case.source()).expect("read");
    content[200_000] ^= 1;
    content.truncate(700_000);
    std::fs::write(case.out().join("t"), content).expect("written");
    let (seed, _) = case.seed();
    let (config, heard) = case.get(&[seed.listen_addr()]);
    let ended = join_within(Session::start(config).expect("started"), 30);

    assert!(ended.complete);
    case.assert_arrived();
    // Pieces 0 to 9 were there but for number 3; 10 to 15 were not.
    assert_eq!(
        ended.stats.downloaded_bytes,
        65_536 + (1_000_000 - 10 * 65_536)
    );
    assert!(heard.has(&What::Checked {
        pieces_held: 9,
        pieces: 16,
        from_resume: false
    }));
}

/// Stopped in the middle, a session leaves a claim that the next one believes without reading, and
/// together they fetch every byte once.
#[test]
fn a_stopped_download_goes_on_where_it_was() {
    let case = Case::file(2_000_000, 65_536);
    let (seed, _) = case.seed();
    let (mut config, _) = case.get(&[seed.listen_addr()]);
    // Ten seconds for all of it: nobody is so slow that there is nothing left to stop.
    config.download_bytes_per_sec = Some(200_000);
    let first = Session::start(config).expect("started");
    support::wait_until(30, || first.stats().pieces_held >= 5);
    first.stop();
    let first = join_within(first, 10);
    assert!(!first.complete);
    assert!(case.resume_file().exists());

    let (config, heard) = case.get(&[seed.listen_addr()]);
    let second = join_within(Session::start(config).expect("started"), 30);
    assert!(second.complete);
    case.assert_arrived();
    let held = first.stats.pieces_held;
    assert!(heard.has(&What::Checked {
        pieces_held: held,
        pieces: 31,
        from_resume: true
    }));
    let verified = heard.count(|what| matches!(what, What::PieceVerified { .. }));
    assert_eq!(
        verified as u32,
        31 - held,
        "no verified piece was fetched again"
    );
    assert!(!case.resume_file().exists());
}

/// Of two files with claimed pieces one is touched: it is read again, and the other is believed unread, as
/// shows by a byte that was changed in it with its time put back.
#[test]
fn only_files_that_were_touched_are_read_again() {
    let case = Case::folder(&[("a", 10 * 65_536), ("b", 10 * 65_536)], 65_536);
    // The first seeder lacks four pieces, so that the download cannot come to its end.
    let of_b = std::fs::read(case.source().join("b")).expect("read");
    std::fs::write(case.source().join("b"), &of_b[..6 * 65_536]).expect("cut");
    let (part, _) = case.seed();
    let (config, _) = case.get(&[part.listen_addr()]);
    let first = Session::start(config).expect("started");
    support::wait_until(30, || first.stats().pieces_held == 16);
    first.stop();
    let held = join_within(first, 10).stats.pieces_held;
    std::fs::write(case.source().join("b"), &of_b).expect("written");
    let (seed, _) = case.seed();

    let b = case.out().join("t/b");
    let time = std::fs::metadata(&b)
        .and_then(|meta| meta.modified())
        .expect("has one");
    let right = std::fs::read(&b).expect("read");
    let wrong: Vec<u8> = right.iter().map(|byte| byte ^ 1).collect();
    std::fs::write(&b, wrong).expect("written");
    let touch = |path: &std::path::Path, time| {
        let file = std::fs::File::options()
            .write(true)
            .open(path)
            .expect("opened");
        file.set_modified(time).expect("set");
    };
    touch(&b, time);
    touch(&case.out().join("t/a"), std::time::SystemTime::now());

    let (config, heard) = case.get(&[seed.listen_addr()]);
    assert!(join_within(Session::start(config).expect("started"), 30).complete);
    assert!(heard.has(&What::Checked {
        pieces_held: held,
        pieces: 20,
        from_resume: false
    }));
    let source = |name| std::fs::read(case.source().join(name)).expect("read");
    assert!(std::fs::read(case.out().join("t/a")).expect("read") == source("a"));
    assert!(
        std::fs::read(&b).expect("read") != source("b"),
        "b was read again"
    );
}

/// Nothing waits for neighbours that do not come: of a piece that takes minutes, what is there is written.
#[test]
fn what_comes_slowly_is_written_long_before_its_piece_is_whole() {
    const LEN: u32 = 16 << 20;
    let case = Case::file(LEN as usize, LEN);
    let (mut config, _) = case.seed_config();
    config.upload_bytes_per_sec = Some(40_000);
    let seed = Session::start(config).expect("started");
    let (config, _) = case.get(&[seed.listen_addr()]);
    let session = Session::start(config).expect("started");
    let content = std::fs::read(case.source()).expect("read");
    let blocks_written = || {
        let there = std::fs::read(case.out().join("t")).unwrap_or_default();
        let pairs = there.chunks(16_384).zip(content.chunks(16_384));
        pairs.filter(|(there, right)| there == right).count()
    };
    support::wait_until(60, || blocks_written() >= 4);
    assert_eq!(session.stats().pieces_held, 0);
    session.stop();
    join_within(session, 30);
}

/// A folder lies where a file should be: the piece is kept in memory, the file is named, and once
/// the folder is gone everything is written.
#[test]
fn a_disk_that_refuses_is_named_and_tried_again() {
    let case = Case::folder(&[("a", 65_536), ("b", 65_536)], 65_536);
    let (seed, _) = case.seed();
    let (mut config, heard) = case.get(&[]);
    config.peers.clear();
    let session = Session::start(config).expect("started");
    support::wait_until(10, || {
        heard.count(|what| matches!(what, What::Checked { .. })) == 1
    });
    let trap = case.out().join("t/b");
    std::fs::create_dir_all(&trap).expect("created");
    session.add_peer(seed.listen_addr());
    support::wait_until(20, || {
        heard.count(|what| matches!(what, What::DiskFailed { path, .. } if *path == trap)) == 1
    });
    std::fs::remove_dir(&trap).expect("removed");
    let ended = join_within(session, 30);
    assert!(ended.complete);
    case.assert_arrived();
    assert!(heard.has(&What::DiskRecovered));
    assert_eq!(
        ended.stats.downloaded_bytes, 131_072,
        "nothing was fetched twice for it"
    );
}

/// A folder lies where the resume file should be, so that nothing can be said to be kept: that is told once,
/// and tried again until it works.
#[test]
fn a_claim_that_the_disk_refuses_is_named_once_and_made_when_it_can_be() {
    let case = Case::file(200_000, 65_536);
    let (seed, _) = case.seed();
    let (config, heard) = case.get(&[]);
    let session = Session::start(config).expect("started");
    let trap = case.resume_file();
    support::wait_until(60, || trap.is_file());
    std::fs::remove_file(&trap).expect("removed");
    std::fs::create_dir(&trap).expect("created");
    session.add_peer(seed.listen_addr());
    let failed =
        || heard.count(|what| matches!(what, What::DiskFailed { path, .. } if *path == trap));
    support::wait_until(60, || failed() == 1);
    support::wait_until(60, || session.stats().phase == Phase::DiskWait);
    std::fs::remove_dir(&trap).expect("removed");
    assert!(join_within(session, 60).complete);
    case.assert_arrived();
    assert!(heard.has(&What::DiskRecovered));
    assert_eq!(failed(), 1);
}

/// A peer that answers in another order than it was asked, puts other messages between, and sends
/// in fragments of every size: every guess of the reader is wrong in some way.
#[test]
fn answers_out_of_order_and_in_fragments_arrive_all_the_same() {
    for seed in 1..=3 {
        let case = Case::file(1_500_000, 131_072);
        let content = std::fs::read(case.source()).expect("read");
        let listener = TcpListener::bind((LOOPBACK, 0)).expect("bound");
        let addr = listener.local_addr().expect("bound");
        let info_hash = case.torrent.info_hash;
        let server = std::thread::spawn(move || {
            let (stream, _) = listener.accept().expect("accepted");
            Shuffler {
                stream,
                content,
                piece_len: 131_072,
                random: seed,
            }
            .serve(info_hash);
        });
        let (config, _) = case.get(&[addr]);
        let ended = join_within(Session::start(config).expect("started"), 30);
        assert!(ended.complete, "seed {seed}");
        case.assert_arrived();
        assert_eq!(ended.stats.downloaded_bytes, 1_500_000);
        server.join().expect("the peer saw nothing wrong");
    }
}

/// A file of the torrent's name that is something else is kept, unless the user wants it gone. What
/// a killed run left is not taken for one, though no piece of it is right yet.
#[test]
fn a_foreign_file_is_not_overwritten_unasked() {
    let case = Case::file(300_000, 65_536);
    let file = case.out().join("t");
    std::fs::create_dir_all(case.out()).expect("created");
    std::fs::write(&file, b"a diary").expect("written");
    let (seed, _) = case.seed();
    let start = |overwrite| {
        let (mut config, _) = case.get(&[seed.listen_addr()]);
        config.overwrite = overwrite;
        Session::start(config).expect("started")
    };
    let error = start(false).join().expect_err("refused");
    assert!(
        error.to_string().contains("holds nothing of the torrent"),
        "{error}"
    );
    assert_eq!(std::fs::read(&file).expect("there"), b"a diary");

    assert!(join_within(start(true), 30).complete);
    case.assert_arrived();

    std::fs::write(&file, vec![0; 300_000]).expect("written");
    std::fs::write(case.resume_file(), b"torn").expect("written");
    assert!(join_within(start(false), 30).complete);
    case.assert_arrived();
}

/// One peer sends rubbish for everything, one is honest. The rubbish is found, its sender named and
/// banned, and the content arrives all the same.
#[test]
fn a_peer_that_sends_rubbish_is_banned_and_the_content_arrives() {
    let case = Case::file(1_500_000, 65_536);
    let content = std::fs::read(case.source()).expect("read");
    let content = content.iter().map(|byte| !byte).collect();
    let listener = TcpListener::bind((Ipv4Addr::new(127, 0, 0, 66), 0)).expect("bound");
    let rubbish = listener.local_addr().expect("bound");
    let info_hash = case.torrent.info_hash;
    std::thread::spawn(move || {
        let (stream, _) = listener.accept().expect("accepted");
        Shuffler {
            stream,
            content,
            piece_len: 65_536,
            random: 1,
        }
        .serve(info_hash);
    });
    let (config, heard) = case.get(&[rubbish]);
    let session = Session::start(config).expect("started");
    let banned = |heard: &support::Heard| {
        heard.all(|what| match what {
            What::PeerBanned { remote, .. } => Some(*remote),
            _ => None,
        })
    };
    support::wait_until(30, || !banned(&heard).is_empty());
    let (seed, _) = case.seed();
    session.add_peer(seed.listen_addr());
    assert!(join_within(session, 30).complete);
    case.assert_arrived();
    assert_eq!(banned(&heard), [rubbish]);
    assert!(heard.count(|what| matches!(what, What::PieceFailed { .. })) > 0);
}

struct Shuffler {
    stream: std::net::TcpStream,
    content: Vec<u8>,
    piece_len: usize,
    random: u64,
}

impl Shuffler {
    fn next(&mut self, below: usize) -> usize {
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.random >> 33) as usize % below
    }

    fn serve(mut self, info_hash: skep_wire::InfoHash) {
        let mut handshake = [0; HANDSHAKE_LEN];
        self.stream.read_exact(&mut handshake).expect("a handshake");
        let ours = Handshake {
            reserved: Reserved::OURS,
            info_hash,
            peer_id: PeerId(*b"-XX0001-shufflershuf"),
        };
        let mut out = ours.encode().to_vec();
        Message::HaveAll.encode(&mut out);
        Message::Unchoke.encode(&mut out);
        self.stream.write_all(&out).expect("written");
        self.stream
            .set_read_timeout(Some(Duration::from_millis(20)))
            .expect("set");
        let (mut bytes, mut asked) = (Vec::new(), Vec::<Block>::new());
        loop {
            let mut buf = [0; 4096];
            match self.stream.read(&mut buf) {
                Ok(0) => return,
                Ok(n) => bytes.extend_from_slice(&buf[..n]),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return,
                Err(_) => {}
            }
            while let Some((len, rest)) = bytes.split_first_chunk::<4>() {
                let len = u32::from_be_bytes(*len) as usize;
                let Some(body) = rest.get(..len) else { break };
                match peer::decode(len as u32, body).expect("we speak the protocol") {
                    Message::Request(block) => asked.push(block),
                    Message::Cancel(block) => asked.retain(|&other| other != block),
                    _ => {}
                }
                bytes.drain(..4 + len);
            }
            if self.answer(&mut asked).is_err() {
                return;
            }
        }
    }

    fn answer(&mut self, asked: &mut Vec<Block>) -> std::io::Result<()> {
        let mut out = Vec::new();
        for _ in 0..asked.len().min(12) {
            let at = match self.next(3) {
                // Mostly in order, so that guesses are right and wrong in turn.
                0 => self.next(asked.len()),
                _ => 0,
            };
            let block = asked.remove(at);
            if self.next(4) == 0 {
                Message::Unknown {
                    id: MessageId(99),
                    payload: b"odd",
                }
                .encode(&mut out);
            }
            out.extend_from_slice(&piece_header(block));
            let begin = block.piece.0 as usize * self.piece_len + block.begin as usize;
            out.extend_from_slice(&self.content[begin..begin + block.len as usize]);
        }
        let mut rest = &out[..];
        while !rest.is_empty() {
            let len = (1 + self.next(40_000)).min(rest.len());
            self.stream.write_all(&rest[..len])?;
            rest = &rest[len..];
            if self.next(3) == 0 {
                std::thread::yield_now();
            }
        }
        Ok(())
    }
}

#[test]
fn outgoing_connections_leave_from_the_address_that_we_listen_on() {
    let case = Case::file(100_000, 16_384);
    let (mut config, seed_heard) = case.seed_config();
    config.bind = Ipv4Addr::new(127, 7, 0, 1).into();
    let seed = Session::start(config).expect("started");
    let (mut config, _) = case.get(&[seed.listen_addr()]);
    config.bind = Ipv4Addr::new(127, 7, 0, 2).into();
    assert!(join_within(Session::start(config).expect("started"), 20).complete);
    let from: Vec<_> = seed_heard.all(|what| match what {
        What::Connected {
            remote,
            outgoing: false,
            ..
        } => Some(remote.ip()),
        _ => None,
    });
    assert_eq!(from, [Ipv4Addr::new(127, 7, 0, 2)]);
}

#[test]
fn a_limit_on_the_upload_is_kept() {
    let case = Case::file(1_000_000, 65_536);
    let (mut config, _) = case.seed_config();
    config.upload_bytes_per_sec = Some(500_000);
    let seed = Session::start(config).expect("started");
    let (config, _) = case.get(&[seed.listen_addr()]);
    let began = std::time::Instant::now();
    assert!(join_within(Session::start(config).expect("started"), 30).complete);
    let took = began.elapsed();
    assert!(
        took > Duration::from_millis(1_500),
        "1 MB at 0.5 MB/s took {took:?}"
    );
}

#[test]
fn a_port_that_is_taken_is_an_error_that_names_it() {
    let case = Case::file(20_000, 16_384);
    let (first, _) = case.seed();
    let (mut config, _) = case.seed_config();
    config.port = first.listen_addr().port();
    let error = Session::start(config).expect_err("taken");
    assert!(
        error.to_string().contains(&first.listen_addr().to_string()),
        "{error}"
    );
}

#[test]
fn what_is_complete_already_is_not_fetched_and_ends_at_once() {
    let case = Case::file(300_000, 16_384);
    std::fs::create_dir_all(case.out()).expect("created");
    std::fs::copy(case.source(), case.out().join("t")).expect("copied");
    let (config, heard) = case.get(&[]);
    let ended = join_within(Session::start(config).expect("started"), 10);
    assert!(ended.complete);
    assert_eq!(ended.stats.downloaded_bytes, 0);
    assert_eq!(heard.count(|what| matches!(what, What::Completed)), 0);
}

#[test]
fn a_seeder_offers_only_what_is_right() {
    let case = Case::file(300_000, 65_536);
    let mut content = std::fs::read(case.source()).expect("read");
    content[0] ^= 1;
    let other = case.dir.path().join("damaged");
    std::fs::write(&other, content).expect("written");
    let (mut config, seed_heard) = case.seed_config();
    config.place = Place::At(other);
    let seed = Session::start(config).expect("started");
    let (config, _) = case.get(&[seed.listen_addr()]);
    let session = Session::start(config).expect("started");
    support::wait_until(20, || session.stats().pieces_held == 4);
    session.stop();
    assert!(!join_within(session, 10).complete);
    assert!(
        seed_heard
            .blocks_sent()
            .iter()
            .all(|block| block.piece.0 != 0)
    );
}

/// Pieces are larger than all the memory there is, so nothing needs a whole one at once.
#[test]
fn the_least_memory_is_enough_for_pieces_of_16_mib() {
    let case = Case::file(40_000_000, 16 << 20);
    let (seed, _) = case.seed();
    let (mut config, _) = case.get(&[seed.listen_addr()]);
    config.buffers_bytes_max = 1;
    assert!(join_within(Session::start(config).expect("started"), 30).complete);
    case.assert_arrived();
}

/// A hundred seeders that each send slowly begin more stretches than there is memory for: the unfinished
/// ones are written, and read again when their piece is judged.
#[test]
fn more_unfinished_stretches_than_memory_still_become_the_content() {
    let case = Case::file(30_000_000, 1 << 18);
    let mut seeds = Vec::new();
    for _ in 0..100 {
        let (mut config, _) = case.seed_config();
        config.upload_bytes_per_sec = Some(100_000);
        seeds.push(Session::start(config).expect("started"));
    }
    let addrs: Vec<_> = seeds.iter().map(Session::listen_addr).collect();
    let (mut config, _) = case.get(&addrs);
    config.buffers_bytes_max = 1;
    assert!(join_within(Session::start(config).expect("started"), 300).complete);
    case.assert_arrived();
}

/// Whoever says nothing else listens for both IP versions, and sees peers of IPv4 under their own addresses.
#[test]
fn peers_of_both_ip_versions_come_to_one_listening_port() {
    let case = Case::file(200_000, 32_768);
    let (mut config, heard) = case.seed_config();
    config.bind = SessionConfig::get(case.torrent.clone(), "").bind;
    let seed = Session::start(config).expect("started");
    let port = seed.listen_addr().port();
    let loopbacks: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    for ip in loopbacks {
        if std::net::TcpListener::bind((ip, 0)).is_err() {
            eprintln!("this machine has no {ip}");
            continue;
        }
        let (mut config, _) = case.get_into(&format!("out{ip}"), &[(ip, port).into()]);
        config.bind = ip;
        assert!(join_within(Session::start(config).expect("started"), 60).complete);
        let came = |what: &What| {
            matches!(what, What::Connected { local, remote, outgoing: false, .. }
                if local.ip() == ip && remote.ip() == ip)
        };
        assert_eq!(heard.count(came), 1, "{ip}");
    }
}

/// Two leechers and a seeder that know nothing but trackers: the first tier answers nobody, the
/// second is over HTTP for one and over UDP for the others. They find each other, and the tracker
/// hears the end.
#[test]
fn peers_find_each_other_through_trackers_of_every_tier() {
    let mut server = TrackerConfig::new(60).expect("started");
    server.http.push((LOOPBACK, 0).into());
    server.udp.push((LOOPBACK, 0).into());
    let (started, start) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.expect("built").block_on(async move {
            started
                .send(TrackerServer::start(server).expect("started"))
                .expect("waits");
            std::future::pending::<()>().await;
        });
    });
    let tracker = start.recv().expect("started");
    let urls = tracker.urls();
    let dead = vec!["http://127.0.0.1:1/announce".to_owned()];
    let tiers = |url: &str| Some(vec![dead.clone(), vec![url.to_owned()]]);

    let case = Case::file(500_000, 32_768);
    let (mut config, _) = case.seed_config();
    config.trackers = tiers(&urls[0]);
    let seed = Session::start(config).expect("started");
    support::wait_until(20, || tracker.stats().counts.announces == 1);
    let mut leechers = Vec::new();
    for n in 0..2 {
        let (mut config, heard) = case.get_into(&format!("out{n}"), &[]);
        config.trackers = tiers(&urls[1]);
        leechers.push((Session::start(config).expect("started"), heard));
    }
    for (n, (session, heard)) in leechers.into_iter().enumerate() {
        assert!(join_within(session, 30).complete);
        case.assert_arrived_in(&format!("out{n}"));
        let failed = |what: &What| {
            matches!(
                what,
                What::Tracker {
                    outcome: Err(_),
                    ..
                }
            )
        };
        assert!(heard.count(failed) > 0, "the dead tracker was asked first");
    }
    seed.stop();
    join_within(seed, 20);
    // Started, completed and stopped of two, started and stopped of one.
    assert_eq!(tracker.stats().counts.announces, 8);
    assert_eq!(tracker.stats().peers, 0);
}

/// Moved in the middle to another folder, and renamed when it is whole: nothing is fetched twice, and a
/// peer that fetches from here meanwhile does not notice.
#[test]
fn content_moves_and_is_renamed_while_it_is_fetched_and_shared() {
    let case = Case::folder(&[("a", 1_000_000), ("sub/b", 1_000_000)], 65_536);
    let (seed, _) = case.seed();
    let (mut config, heard) = case.get(&[seed.listen_addr()]);
    config.download_bytes_per_sec = Some(2_000_000);
    config.purpose = Purpose::Get(SeedUntil::Forever);
    let renamed = case.out().join("renamed");
    config.move_when_complete = Some(Place::At(renamed.clone()));
    let first = Session::start(config).expect("started");
    let (config, _) = case.get_into("second", &[first.listen_addr()]);
    let second = Session::start(config).expect("started");
    support::wait_until(30, || first.stats().pieces_held >= 8);
    let elsewhere = case.out().join("elsewhere");
    first.move_to(Place::Under(elsewhere.clone()));
    support::wait_until(30, || {
        heard.count(|what| matches!(what, What::Moved { .. })) == 1
    });
    assert!(elsewhere.join("t/a").exists() && !case.out().join("t").exists());
    assert!(elsewhere.join("t.skep-resume").exists() && !case.resume_file().exists());

    assert!(join_within(second, 30).complete);
    case.assert_arrived_in("second");
    support::wait_until(30, || {
        heard.count(|what| matches!(what, What::Moved { .. })) == 2
    });
    assert!(!elsewhere.join("t").exists() && !elsewhere.join("t.skep-resume").exists());
    for file in ["a", "sub/b"] {
        let source = std::fs::read(case.source().join(file)).expect("read");
        assert!(std::fs::read(renamed.join(file)).expect("moved") == source);
    }
    let (config, _) = case.get_into("third", &[first.listen_addr()]);
    assert!(join_within(Session::start(config).expect("started"), 30).complete);
    case.assert_arrived_in("third");
    first.stop();
    assert_eq!(join_within(first, 30).stats.downloaded_bytes, 2_000_000);
}

const FILES: [(&str, usize); 6] = [
    ("a", 3 * 65_536 + 777),
    ("b", 16_384),
    ("deep/empty", 0),
    ("deep/one", 1),
    ("deep/er/whole", 2 * 65_536),
    ("z", 40_000),
];

/// From one session to another and on to a third, with pieces that end in the middle of everything, and
/// resumed in between with a wrong byte: in version 2 and in both at once.
#[test]
fn content_of_version_2_and_of_hybrids_arrives_and_is_checked() {
    for version in [Version::V2, Version::Hybrid] {
        let case = Case::folder_of(version, &FILES, 65_536);
        let (seed, _) = case.seed();
        let (mut config, _) = case.get(&[seed.listen_addr()]);
        config.purpose = Purpose::Get(SeedUntil::Forever);
        let first = Session::start(config).expect("started");
        let (config, _) = case.get_into("second", &[first.listen_addr()]);
        let second = join_within(Session::start(config).expect("started"), 30);
        assert!(second.complete);
        case.assert_arrived_in("second");
        // No padding is asked for.
        let payload = case.torrent.info.payload_bytes();
        assert_eq!(second.stats.downloaded_bytes, payload, "{version:?}");
        first.stop();
        assert!(join_within(first, 30).complete);
        case.assert_arrived();

        let path = case.out().join("t/deep/er/whole");
        let mut content = std::fs::read(&path).expect("read");
        content[70_000] ^= 1;
        std::fs::write(&path, content).expect("written");
        let (config, heard) = case.get(&[seed.listen_addr()]);
        let ended = join_within(Session::start(config).expect("started"), 30);
        assert!(ended.complete);
        assert_eq!(ended.stats.downloaded_bytes, 65_536, "{version:?}");
        assert_eq!(
            heard.count(|what| matches!(what, What::PieceVerified { .. })),
            1
        );
        case.assert_arrived();
    }
}

/// The two parts of the torrent name different content for one piece. Whoever fetches it, and whoever has it,
/// is told which piece and file.
#[test]
fn a_hybrid_that_contradicts_itself_ends_the_session_and_names_the_piece() {
    let mut case = Case::folder_of(Version::Hybrid, &FILES, 65_536);
    let (seed, _) = case.seed();
    let mut torn = (*case.torrent).clone();
    torn.info.pieces[2].0[7] ^= 1;
    case.torrent = std::sync::Arc::new(torn);
    let (fetching, _) = case.get(&[seed.listen_addr()]);
    let (checking, _) = case.seed_config();
    for (config, place) in [(fetching, case.out().join("t")), (checking, case.source())] {
        let session = Session::start(config).expect("started");
        support::wait_until(30, || session.is_over());
        match session.join() {
            Err(SessionError::Contradiction {
                piece,
                path,
                has_v1,
            }) => {
                assert_eq!(
                    (piece, path, has_v1),
                    (PieceIndex(2), place.join("a"), false)
                );
            }
            other => panic!("{other:?}"),
        }
    }
}
