//! A run over real sockets on loopback, and the same run again from its folder.

use std::{
    io::{Read as _, Write as _},
    net::{IpAddr, SocketAddr, TcpListener},
    path::Path,
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use skep_evidence::{
    capture::packet_at,
    clock::UtcInterval,
    journal::{Entries, Entry, Input},
    record::{Body, RECORD_BYTES_MAX, Record, TEXT_BYTES_MAX},
};
use skep_hash::sha256;
use skep_net::{
    create,
    disk::check::Watch,
    observe::{ObserveError, ObserveOptions, ObservePlan, ObserveRun, TARGETS_MAX},
    session::{Purpose, SeedUntil, Session, SessionConfig},
    store::ObservationReader,
    tracker::{TrackerConfig, TrackerServer},
};
use skep_observe::{
    BYTES_UNASKED_MAX, Config, Replay, Target, UNASKED_PER_ADDR_MAX, UNASKED_PER_ADDR_PER_SEC,
};
use skep_wire::{
    Moment,
    metainfo::{Draft, Metainfo, Version},
};

const OBSERVER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 41, 1));

/// A seeder, two leechers, an HTTP and a UDP tracker, a web server and a dead port that a tracker
/// lists, on addresses of their own. The observer grades each, and its folder gives the same records
/// when it is replayed.
#[test]
fn a_swarm_is_observed_and_its_folder_replays() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let trackers = Trackers::start();
    let (torrent, metainfo) = torrent(dir.path(), 1_500_000, vec![trackers.urls.clone()]);
    let web = web_server();
    let dead: SocketAddr = "127.0.41.9:9".parse().expect("an address");
    trackers.inject(&metainfo, &[web, dead]);

    let seeder = session(
        SessionConfig::seed(Arc::clone(&metainfo), dir.path().join("t")),
        "127.0.41.2",
    );
    let leechers: Vec<Session> = ["127.0.41.3", "127.0.41.4"]
        .into_iter()
        .map(|ip| {
            let mut config = SessionConfig::get(Arc::clone(&metainfo), dir.path().join(ip));
            config.purpose = Purpose::Get(SeedUntil::Forever);
            session(config, ip)
        })
        .collect();

    let folder = dir.path().join("observation");
    let run = ObserveRun::start(options(&folder, torrent.clone())).expect("it starts");
    let seeder_addr = seeder.listen_addr();
    wait_until(30, || {
        let counts = run.counts();
        counts.verified >= 3 && counts.failed >= 1 && counts.tracker_answers >= 2
    });
    run.stop();
    let summary = run.wait().expect("it ends well");
    assert_eq!(summary.run, 1);
    drop((seeder, leechers));

    let records = replayed(&folder, 1);
    let bodies: Vec<&Body> = records.iter().map(|record| &record.body).collect();
    assert_eq!(summary.counts.records, records.len() as u64);
    assert!(matches!(bodies.last(), Some(Body::Mark { .. })));
    assert!(matches!(bodies[bodies.len() - 2], Body::RunEnded { .. }));
    let conns = |endpoint: SocketAddr| -> Vec<_> {
        let of =
            |body: &&&Body| matches!(body, Body::Reached { endpoint: e, .. } if *e == endpoint);
        let conn = |body: &&Body| match body {
            Body::Reached { conn, .. } => Some(*conn),
            _ => None,
        };
        bodies.iter().filter(of).filter_map(conn).collect()
    };
    let seen = |endpoint| conns(endpoint);
    let verified = |endpoint| {
        let conns = conns(endpoint);
        bodies
            .iter()
            .any(|body| matches!(body, Body::Verified { conn, .. } if conns.contains(conn)))
    };
    assert!(
        verified(seeder_addr),
        "the seeder delivers a verified piece"
    );
    assert!(!seen(web).is_empty() && !verified(web));
    assert!(seen(dead).is_empty());
    let joined = |conn| {
        bodies
            .iter()
            .any(|body| matches!(body, Body::Joined { conn: c, .. } if *c == conn))
    };
    assert!(
        seen(web).into_iter().all(|conn| !joined(conn)),
        "a web server joins no swarm"
    );
}

/// A second run into the same folder continues the ledger under the next number.
#[test]
fn a_second_run_continues_the_ledger() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let (torrent, metainfo) = torrent(dir.path(), 200_000, vec![]);
    let seeder = session(
        SessionConfig::seed(metainfo, dir.path().join("t")),
        "127.0.42.2",
    );
    let folder = dir.path().join("observation");
    for number in 1..=2 {
        let mut options = options(&folder, torrent.clone());
        options.plan.endpoints = vec![(0, seeder.listen_addr())];
        options.duration = Some(Duration::from_secs(1));
        let run = ObserveRun::start(options).expect("it starts");
        assert_eq!(run.run(), number);
        assert_eq!(run.opened().created, number == 1);
        let summary = run.wait().expect("it ends by itself");
        assert_eq!((summary.run, summary.counts.verified), (number, 1));
        replayed(&folder, number);
    }
}

/// There is no "queue full, drop": where the ledger cannot be written, the run ends and says so, and
/// what was acknowledged until then is whole.
#[test]
fn a_ledger_that_cannot_be_written_ends_the_run() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let (torrent, metainfo) = torrent(dir.path(), 200_000, vec![]);
    let seeder = session(
        SessionConfig::seed(metainfo, dir.path().join("t")),
        "127.0.43.2",
    );
    let folder = dir.path().join("observation");
    let mut options = options(&folder, torrent);
    options.plan.endpoints = vec![(0, seeder.listen_addr())];
    let run = ObserveRun::start(options).expect("it starts");
    wait_until(20, || run.counts().verified > 0);
    let acknowledged = run.counts().records;
    let (ledger, away) = (folder.join("ledger"), dir.path().join("away"));
    std::fs::rename(&ledger, &away).expect("renamed");
    wait_until(20, || run.is_finished());
    let error = run.wait().expect_err("it cannot go on");
    assert!(matches!(error, ObserveError::Store(_)), "{error:?}");

    // The folder as it was: nothing that was acknowledged is missing.
    if ledger.exists() {
        std::fs::remove_dir_all(&ledger).expect("removed");
    }
    std::fs::rename(&away, &ledger).expect("renamed back");
    let reader = ObservationReader::open(&folder).expect("the ledger is whole");
    assert!(reader.records().count() as u64 >= acknowledged);
}

/// A stranger connects, says hello, sends 60 kB that nobody asked for again and again, and connects again
/// when it is shown out. The disk does not fill, an honest peer is seen, and the run replays.
#[test]
fn a_stranger_that_connects_again_and_again_does_not_fill_the_disk() {
    const CONNS: usize = 24;
    let dir = tempfile::tempdir().expect("temporary folder");
    let (torrent, metainfo) = torrent(dir.path(), 200_000, vec![]);
    let mut hello = b"\x13BitTorrent protocol\0\0\0\0\0\0\0\0".to_vec();
    hello.extend(metainfo.info_hash.0);
    hello.extend(b"-XX0001-strangerstra");
    let mut message = 60_001u32.to_be_bytes().to_vec();
    message.push(99);
    message.resize(4 + 60_001, 7);

    let folder = dir.path().join("observation");
    let run = ObserveRun::start(options(&folder, torrent)).expect("it starts");
    let mut shown_out_at_once = 0;
    for _ in 0..CONNS {
        let mut stream = std::net::TcpStream::connect(run.listen_addr()).expect("it listens");
        let mut sent = 0;
        if stream.write_all(&hello).is_ok() {
            // More than one connection may bring, or what is still in the system's buffers.
            while sent < 64_000_000 && stream.write_all(&message).is_ok() {
                sent += message.len();
            }
        }
        shown_out_at_once += usize::from(sent < BYTES_UNASKED_MAX as usize / 2);
    }
    let captured = run.counts().captured_bytes;
    let expected = UNASKED_PER_ADDR_MAX + UNASKED_PER_ADDR_PER_SEC * 60;
    assert!(captured < expected * 11 / 10, "{captured}");
    assert!(shown_out_at_once >= CONNS / 2, "{shown_out_at_once}");

    let mut config = SessionConfig::seed(metainfo, dir.path().join("t"));
    config.peers = vec![run.listen_addr()];
    let _seeder = session(config, "127.0.44.2");
    wait_until(30, || run.counts().verified > 0);
    run.stop();
    run.wait().expect("it ends well");
    let records = replayed(&folder, 1);
    assert!(records.iter().any(|record| matches!(
        &record.body,
        Body::Limited { limit, .. } if limit == "UNASKED_PER_ADDR_MAX"
    )));
}

#[test]
fn a_swarm_over_ipv6_is_observed() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let (torrent, metainfo) = torrent(dir.path(), 200_000, vec![]);
    let seeder = session(SessionConfig::seed(metainfo, dir.path().join("t")), "::1");
    let folder = dir.path().join("observation");
    for (number, bind) in [(1, "::1"), (2, "::")] {
        let mut options = options(&folder, torrent.clone());
        options.bind = bind.parse().expect("an address");
        options.plan.endpoints = vec![(0, seeder.listen_addr())];
        let run = ObserveRun::start(options).expect("it starts");
        wait_until(20, || run.counts().verified > 0);
        run.stop();
        run.wait().expect("it ends");
        let records = replayed(&folder, number);
        let reached =
            |record: &Record| matches!(record.body, Body::Reached { local, .. } if local.is_ipv6());
        assert!(records.iter().any(reached));
    }
}

#[test]
fn what_cannot_start_says_why() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let (torrent, _) = torrent(dir.path(), 1_000, vec![]);
    let folder = dir.path().join("observation");
    let error = |options| ObserveRun::start(options).expect_err("it cannot start");

    let mut none = options(&folder, torrent.clone());
    none.torrents.clear();
    assert!(matches!(error(none), ObserveError::NoTarget));

    let mut same = options(&folder, torrent.clone());
    same.torrents.push(torrent.clone());
    assert!(matches!(
        error(same),
        ObserveError::SameTarget {
            first: 0,
            second: 1,
            ..
        }
    ));

    let mut many = options(&folder, torrent.clone());
    many.torrents = (0..=TARGETS_MAX).map(tiny).collect();
    assert!(matches!(
        error(many),
        ObserveError::TooManyTargets { got, .. } if got == TARGETS_MAX + 1
    ));
    assert!(!folder.exists(), "nothing is written before");

    let broken = options(&folder, b"de".to_vec());
    assert!(matches!(
        error(broken),
        ObserveError::Torrent { number: 0, .. }
    ));

    let taken = TcpListener::bind((OBSERVER, 0)).expect("bound");
    let mut busy = options(&folder, torrent.clone());
    busy.listen_port = taken.local_addr().expect("it has one").port();
    assert!(matches!(error(busy), ObserveError::Bind { .. }));

    let run = ObserveRun::start(options(&folder, torrent.clone())).expect("it starts");
    assert!(
        matches!(error(options(&folder, torrent)), ObserveError::Store(_)),
        "the folder has one writer"
    );
    run.stop();
    run.wait().expect("it ends");
}

/// The first record of a run names every torrent, and has room for all that are allowed beside texts of
/// any length.
#[test]
fn the_first_record_has_room_for_as_many_swarms_as_are_allowed() {
    let text = "t".repeat(TEXT_BYTES_MAX);
    let record = Record {
        run: u32::MAX,
        at: Moment(u64::MAX),
        utc: UtcInterval {
            earliest_us: i64::MIN,
            latest_us: i64::MIN,
            synchronised: true,
        },
        body: Body::RunStarted {
            format: 1,
            observer: text.clone(),
            version: text.clone(),
            binary: sha256(b"binary"),
            build: text,
            config: sha256(b"config"),
            targets: vec![sha256(b"torrent"); TARGETS_MAX],
        },
        unknown: vec![],
    };
    let len = record.encode().len();
    assert!(len <= RECORD_BYTES_MAX, "{len}");
}

/// The n-th torrent of five bytes.
fn tiny(n: usize) -> Vec<u8> {
    let name = format!("content {n}");
    let pieces = "7".repeat(20);
    format!(
        "d4:infod6:lengthi5e4:name{}:{name}12:piece lengthi16384e6:pieces20:{pieces}ee",
        name.len()
    )
    .into_bytes()
}

fn options(folder: &Path, torrent: Vec<u8>) -> ObserveOptions {
    ObserveOptions {
        dir: folder.to_owned(),
        name: "test.example/observer".into(),
        torrents: vec![torrent],
        bind: OBSERVER,
        listen_port: 0,
        duration: None,
        plan: ObservePlan {
            revisit: Duration::from_secs(1),
            visit: Duration::from_secs(3),
            announce: Duration::from_secs(1),
            ..ObservePlan::default()
        },
        seed: Some([9; 32]),
    }
}

/// Replays a run from its folder: every record but the driver's own comes again, byte for byte.
/// Returns all records of the run.
fn replayed(folder: &Path, run: u32) -> Vec<Record> {
    let reader = ObservationReader::open(folder).expect("the ledger is whole");
    let records: Vec<Record> = reader
        .records()
        .map(|record| record.expect("it decodes").1)
        .filter(|record| record.run == run)
        .collect();
    let Body::RunStarted {
        config, targets, ..
    } = &records[0].body
    else {
        panic!("a run begins with RunStarted, not {:?}", records[0]);
    };
    let config = Config::decode(&reader.blob(config).expect("kept")).expect("ours");
    assert_eq!(config.run, run);
    let swarms = |(digest, place)| {
        let bytes = reader.blob(digest).expect("kept");
        let metainfo = Metainfo::from_bytes(&bytes).expect("a torrent");
        Target::all(place, skep_hash::sha256(&bytes), &metainfo)
    };
    let swarms = targets.iter().zip(0..).flat_map(swarms).collect();
    let mut replay = Replay::new(config, swarms);
    let journal = reader.journal(run).expect("readable");
    let capture = std::fs::read(folder.join(ObservationReader::capture_path(run))).expect("there");
    let mut again = Vec::new();
    let mut entries = Entries::new(&journal);
    for (_, entry) in entries.by_ref() {
        let bytes = captured(&capture, &entry);
        again.extend(replay.step(&entry, bytes).expect("an honest run").records);
    }
    assert_eq!(
        entries.offset(),
        journal.len() as u64,
        "the journal is whole"
    );
    assert!(replay.is_over());
    let ours = |record: &&Record| {
        !matches!(
            record.body,
            Body::RunStarted { .. } | Body::Mark { .. } | Body::RunCut { .. }
        )
    };
    let recorded: Vec<Vec<u8>> = records.iter().filter(ours).map(Record::encode).collect();
    assert_eq!(recorded.len(), again.len());
    for (recorded, again) in recorded.iter().zip(&again) {
        assert_eq!(*recorded, again.encode(), "{again:?}");
    }
    records
}

fn captured<'a>(capture: &'a [u8], entry: &Entry) -> &'a [u8] {
    match entry.input {
        Input::Received { capture: at, .. }
        | Input::Sent { capture: at, .. }
        | Input::Datagram { capture: at, .. }
        | Input::DatagramSent { capture: at, .. } => {
            packet_at(&capture[at.0 as usize..], at)
                .expect("it points at a packet")
                .payload
        }
        _ => &[],
    }
}

/// Content, its torrent file, and the torrent.
fn torrent(dir: &Path, len: usize, tiers: Vec<Vec<String>>) -> (Vec<u8>, Arc<Metainfo>) {
    let bytes: Vec<u8> = (0..len).map(|n| (n / 3 + n * n / 17) as u8).collect();
    std::fs::write(dir.join("t"), bytes).expect("written");
    let survey = create::survey(&dir.join("t"), create::Links::Refuse).expect("surveyed");
    let info = create::plan(&survey, Version::V1, 65_536)
        .and_then(|plan| create::hash(&survey, plan, &Watch::default()))
        .expect("hashed");
    let draft = Draft {
        info,
        tiers,
        web_seeds: vec![],
        comment: None,
        created_by: None,
        creation_date: None,
    };
    let file = draft.encode().expect("encoded");
    let metainfo = Metainfo::from_bytes(&file).expect("read");
    (file, Arc::new(metainfo))
}

fn session(mut config: SessionConfig, ip: &str) -> Session {
    config.bind = ip.parse().expect("an address");
    Session::start(config).expect("started")
}

/// Something that answers every connection with a page.
fn web_server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.41.8:0").expect("bound");
    let addr = listener.local_addr().expect("it has one");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let _ = stream.read(&mut [0; 68]);
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        }
    });
    addr
}

/// Two trackers, on a thread of their own.
struct Trackers {
    urls: Vec<String>,
    names: mpsc::Sender<(Arc<Metainfo>, Vec<SocketAddr>)>,
}

impl Trackers {
    fn start() -> Self {
        let (urls_out, urls) = mpsc::channel();
        let (names, to_name) = mpsc::channel::<(Arc<Metainfo>, Vec<SocketAddr>)>();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                let mut config = TrackerConfig::new(1).expect("an interval");
                config
                    .http
                    .push("127.0.41.7:0".parse().expect("an address"));
                config.udp.push("127.0.41.7:0".parse().expect("an address"));
                let server = TrackerServer::start(config).expect("it starts");
                urls_out.send(server.urls()).expect("the test waits");
                loop {
                    match to_name.try_recv() {
                        Ok((torrent, addrs)) => {
                            addrs
                                .iter()
                                .for_each(|&addr| server.inject(torrent.info_hash, addr));
                        }
                        Err(mpsc::TryRecvError::Empty) => {}
                        Err(mpsc::TryRecvError::Disconnected) => return,
                    }
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            });
        });
        Self {
            urls: urls.recv().expect("the trackers start"),
            names,
        }
    }

    fn inject(&self, torrent: &Arc<Metainfo>, addrs: &[SocketAddr]) {
        self.names
            .send((Arc::clone(torrent), addrs.to_vec()))
            .expect("the trackers run");
    }
}

/// How many times slower than ours a machine may be before a test calls what is late missing.
const SLOWNESS: u32 = 5;

fn wait_until(secs: u64, mut done: impl FnMut() -> bool) {
    let until = Instant::now() + SLOWNESS * Duration::from_secs(secs);
    while !done() {
        assert!(Instant::now() < until, "did not come within {secs} s");
        std::thread::sleep(Duration::from_millis(20));
    }
}
