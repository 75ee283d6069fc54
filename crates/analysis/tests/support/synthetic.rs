//! A ledger made up by hand: every kind of record, and the endpoints that a report must tell
//! apart. Nothing here was observed; it shows how findings follow from records.

use std::net::SocketAddr;

use skep_analysis::sheet::Ledger;
use skep_evidence::{
    clock::UtcInterval,
    journal::{CaptureOffset, ConnId, ConnectFailure, EndKind},
    record::{Body, ClaimKind, CloseKind, NamedBy, Record, Source, TargetIndex, Transport},
};
use skep_hash::{sha1, sha256};
use skep_wire::{Block, InfoHash, Moment, PeerId, PieceIndex, peer::Reserved};

/// 2012-03-30T10:15:00Z.
const BEGIN_US: i64 = 1_333_102_500_000_000;
/// Pieces of the made-up torrent.
pub(crate) const PIECES: u32 = 64;
/// Its only tracker that answers.
pub(crate) const TRACKER: &str = "http://127.0.0.1:6969/announce";

/// A ledger under construction.
pub(crate) struct Made {
    pub(crate) records: Vec<(u64, Record)>,
    at: Moment,
    run: u32,
    pub(crate) synchronised: bool,
    /// By how much somebody has set the clock.
    pub(crate) clock_set_us: i64,
}

pub(crate) fn addr(text: &str) -> SocketAddr {
    text.parse().expect("a test names a socket address")
}

pub(crate) fn source(len: u32) -> Source {
    Source {
        capture: CaptureOffset(4_096),
        stream: 0,
        len,
        digest: sha256(&len.to_be_bytes()),
    }
}

impl Made {
    /// A run that has said what it commits to, and its one target.
    pub(crate) fn new() -> Self {
        let mut made = Self {
            records: vec![],
            at: Moment::ZERO,
            run: 1,
            synchronised: true,
            clock_set_us: 0,
        };
        made.begin_run(1);
        made
    }

    /// Starts run `run`.
    pub(crate) fn begin_run(&mut self, run: u32) {
        self.run = run;
        self.push(Body::RunStarted {
            format: 1,
            observer: "observer.example/skep".into(),
            version: "0.1.0".into(),
            binary: sha256(b"binary"),
            build: "rustc 1.88.0, x86_64-unknown-linux-gnu, release".into(),
            config: sha256(b"config"),
            targets: vec![sha256(b"torrent")],
        });
        self.push(Body::Clock {
            error_us_max: 12_000,
            received: None,
        });
        self.push(Body::Target {
            target: TargetIndex(0),
            info_hash: InfoHash(sha1(b"info").0),
            info_hash_v2: None,
            torrent: sha256(b"torrent"),
            name: "debian-like-archive-12.iso".into(),
            size_bytes: 64 * 262_144 - 1_000,
            piece_len: 262_144,
            piece_count: PIECES,
        });
    }

    /// Samples the clock.
    pub(crate) fn clock(&mut self) -> &mut Self {
        self.push(Body::Clock {
            error_us_max: 12_000,
            received: None,
        })
    }

    /// Moves the clock to `millis` after the run's beginning.
    pub(crate) fn at(&mut self, millis: u64) -> &mut Self {
        self.at = Moment::from_millis(millis);
        self
    }

    /// Appends a record.
    pub(crate) fn push(&mut self, body: Body) -> &mut Self {
        let us = BEGIN_US + i64::from(self.run - 1) * 3_600_000_000 + (self.at.0 / 1_000) as i64;
        let us = us + self.clock_set_us;
        let utc = UtcInterval {
            earliest_us: us - 12_000,
            latest_us: us + 12_000,
            synchronised: self.synchronised,
        };
        let record = Record {
            run: self.run,
            at: self.at,
            utc,
            body,
            unknown: vec![],
        };
        self.records.push((self.records.len() as u64, record));
        self
    }

    pub(crate) fn listed(&mut self, endpoint: &str) -> &mut Self {
        self.push(Body::Listed {
            target: TargetIndex(0),
            endpoint: addr(endpoint),
            by: NamedBy::Tracker {
                url: TRACKER.into(),
            },
            source: Some(source(100)),
        })
    }

    pub(crate) fn attempted(&mut self, conn: u32, endpoint: &str) -> &mut Self {
        self.push(Body::Attempted {
            target: TargetIndex(0),
            conn: ConnId(conn),
            endpoint: addr(endpoint),
            transport: Transport::Tcp,
        })
    }

    pub(crate) fn failed(&mut self, conn: u32, reason: ConnectFailure) -> &mut Self {
        self.push(Body::AttemptFailed {
            conn: ConnId(conn),
            reason,
        })
    }

    pub(crate) fn reached(&mut self, conn: u32, endpoint: &str) -> &mut Self {
        self.push(Body::Reached {
            target: Some(TargetIndex(0)),
            conn: ConnId(conn),
            local: addr("127.0.0.1:51234"),
            endpoint: addr(endpoint),
            incoming: false,
            transport: Transport::Tcp,
        })
    }

    pub(crate) fn came_in(&mut self, conn: u32, endpoint: &str) -> &mut Self {
        self.push(Body::Reached {
            target: None,
            conn: ConnId(conn),
            local: addr("127.0.0.1:6881"),
            endpoint: addr(endpoint),
            incoming: true,
            transport: Transport::Tcp,
        })
    }

    pub(crate) fn joined(&mut self, conn: u32, client: &str) -> &mut Self {
        self.push(Body::Joined {
            target: TargetIndex(0),
            conn: ConnId(conn),
            peer_id: PeerId(*b"-LT2110-abcdefghijkl"),
            reserved: Reserved::OURS,
            client: "libtorrent 2.1.1".into(),
            source: source(68),
        })
        .push(Body::Extended {
            conn: ConnId(conn),
            client: Some(client.into()),
            listen_port: Some(6881),
            upload_only: None,
            your_ip: None,
            source: source(120),
        })
    }

    pub(crate) fn claims(&mut self, conn: u32, pieces: u32) -> &mut Self {
        self.push(Body::ClaimedSet {
            conn: ConnId(conn),
            how: ClaimKind::Bitfield,
            pieces,
            share_ppm: share_ppm(pieces),
            gained: 0,
            since: None,
            source: source(13),
        })
    }

    pub(crate) fn has(&mut self, conn: u32, piece: u32, pieces: u32, since: Moment) -> &mut Self {
        self.push(Body::ClaimedGain {
            conn: ConnId(conn),
            piece: PieceIndex(piece),
            since: Some(since),
            pieces,
            share_ppm: share_ppm(pieces),
            source: source(9),
        })
    }

    pub(crate) fn offers(&mut self, conn: u32, pieces: u32, choked: bool) -> &mut Self {
        self.push(Body::Offers {
            conn: ConnId(conn),
            pieces,
            share_ppm: share_ppm(pieces),
            choked,
            source: source(5),
        })
    }

    pub(crate) fn delivered(&mut self, conn: u32, piece: u32) -> &mut Self {
        for n in 0..16 {
            let block = Block {
                piece: PieceIndex(piece),
                begin: n * 16_384,
                len: 16_384,
            };
            self.push(Body::Delivered {
                conn: ConnId(conn),
                block,
                source: source(16_397),
            });
        }
        self
    }

    pub(crate) fn verified(&mut self, conn: u32, piece: u32) -> &mut Self {
        let piece = PieceIndex(piece);
        let sha1 = sha1(&piece.0.to_be_bytes());
        self.push(Body::Verified {
            conn: ConnId(conn),
            piece,
            sha1: Some(sha1),
            root: None,
        })
    }

    pub(crate) fn refuted(&mut self, conn: u32, piece: u32) -> &mut Self {
        self.push(Body::Refuted {
            conn: ConnId(conn),
            piece: PieceIndex(piece),
            expected: Some(sha1(b"expected")),
            got: Some(sha1(b"got")),
            expected_root: None,
            got_root: None,
            attack: None,
        })
    }

    pub(crate) fn closed(&mut self, conn: u32, how: CloseKind) -> &mut Self {
        self.push(Body::Closed {
            conn: ConnId(conn),
            how,
            bytes_in: 300_000,
            bytes_out: 2_000,
            digest_in: sha256(b"in"),
            digest_out: sha256(b"out"),
            payload_out: 0,
        })
    }

    /// The end of a run, with its mark.
    pub(crate) fn end(&mut self) -> &mut Self {
        self.push(Body::RunEnded {
            endpoints: 12,
            attempts: 20,
            received: None,
        })
        .push(Body::Mark {
            journal_len: 48_213,
            journal: sha256(b"journal"),
            capture_len: 12_345_678,
            capture: sha256(b"capture"),
        })
    }

    /// The ledger that these records would be.
    pub(crate) fn ledger(&self) -> Ledger {
        Ledger {
            origin: "observer.example/skep".into(),
            size: self.records.len() as u64,
            root: sha256(b"root"),
        }
    }
}

pub(crate) fn share_ppm(pieces: u32) -> u32 {
    pieces * 1_000_000 / PIECES
}

/// A whole observation: a seeder, downloaders that come and go, a stranger with a hostile name, one
/// that claims all and gives nothing, one that sends garbage, dead endpoints, a stray.
pub(crate) fn observation() -> Made {
    let mut made = Made::new();
    made.at(200).push(Body::TrackerAsked {
        target: TargetIndex(0),
        url: TRACKER.into(),
        conn: Some(ConnId(0)),
        remote: Some(addr("127.0.0.1:6969")),
    });
    made.at(260).push(Body::TrackerAnswered {
        target: TargetIndex(0),
        url: TRACKER.into(),
        remote: addr("127.0.0.1:6969"),
        complete: Some(2),
        incomplete: Some(7),
        peer_count: 11,
        interval_secs: 1_800,
        source: source(300),
    });
    made.at(300).push(Body::TrackerFailed {
        target: TargetIndex(0),
        url: "udp://tracker.invalid:80".into(),
        remote: None,
        error: "name \"tracker.invalid\" has no address".into(),
    });
    seeder_and_downloaders(&mut made);
    hostile_company(&mut made);
    made.at(118_000).end();
    made
}

fn seeder_and_downloaders(made: &mut Made) {
    made.at(320)
        .listed("127.0.1.1:6881")
        .at(340)
        .attempted(2, "127.0.1.1:6881");
    made.at(345)
        .reached(2, "127.0.1.1:6881")
        .at(350)
        .joined(2, "libtorrent/2.1.1.0");
    made.at(352)
        .claims(2, PIECES)
        .at(400)
        .offers(2, PIECES, false);
    for n in 0..6_u32 {
        made.at(1_000 + u64::from(n) * 900)
            .delivered(2, n * 7)
            .verified(2, n * 7);
    }
    made.at(30_400).closed(2, CloseKind::UsDone);
    made.at(61_000)
        .attempted(40, "127.0.1.1:6881")
        .at(61_004)
        .reached(40, "127.0.1.1:6881");
    made.at(61_010)
        .joined(40, "libtorrent/2.1.1.0")
        .at(61_012)
        .claims(40, PIECES);
    made.offers(40, PIECES, false)
        .at(63_000)
        .delivered(40, 50)
        .verified(40, 50);
    made.at(110_000).closed(40, CloseKind::UsStopped);
    for peer in 0..6_u32 {
        downloader(made, peer);
    }
}

fn downloader(made: &mut Made, peer: u32) {
    let endpoint = format!("127.0.2.{}:{}", peer + 1, 51_413 + peer);
    let conn = 4 + peer * 2;
    let begin = 400 + u64::from(peer) * 6_500;
    made.at(320)
        .listed(&endpoint)
        .at(begin)
        .attempted(conn, &endpoint);
    made.at(begin + 4)
        .reached(conn, &endpoint)
        .joined(conn, "Transmission 4.0.2");
    made.at(begin + 10).claims(conn, peer * 3);
    let mut since = Moment::from_millis(begin + 10);
    if peer.is_multiple_of(2) {
        made.at(begin + 20)
            .offers(conn, 0, true)
            .offers(conn, peer * 3, false);
    }
    for n in 0..40 - peer * 4 {
        let at = begin + 800 + u64::from(n) * (700 + u64::from(peer) * 260);
        made.at(at).has(conn, peer * 3 + n, peer * 3 + n + 1, since);
        since = Moment::from_millis(at);
        if peer == 2 && n == 12 {
            made.at(at + 5)
                .offers(conn, peer * 3 + n, false)
                .delivered(conn, 3)
                .verified(conn, 3);
        }
        if peer == 4 && n == 9 {
            made.at(at + 5).delivered(conn, 5);
        }
    }
    let how = if peer == 1 {
        EndKind::Reset
    } else {
        EndKind::Closed
    };
    let end = begin + 800 + u64::from(40 - peer * 4) * (700 + u64::from(peer) * 260);
    made.at(end).closed(conn, CloseKind::Them(how));
}

fn hostile_company(made: &mut Made) {
    // Claims everything, delivers nothing, and has a name that would break a careless page.
    made.at(330)
        .listed("127.0.3.1:6881")
        .at(2_000)
        .attempted(20, "127.0.3.1:6881");
    made.at(2_003).reached(20, "127.0.3.1:6881");
    made.joined(20, "<script>alert('x')</script>\u{202e}=HYPERLINK(\"x\")");
    made.claims(20, PIECES)
        .offers(20, PIECES, true)
        .at(32_000)
        .closed(20, CloseKind::UsIdle);
    // Sends garbage.
    made.at(335)
        .listed("127.0.3.2:6881")
        .at(3_000)
        .attempted(22, "127.0.3.2:6881");
    made.at(3_002)
        .reached(22, "127.0.3.2:6881")
        .joined(22, "µTorrent 3.5.5")
        .claims(22, PIECES);
    made.offers(22, PIECES, false)
        .at(4_200)
        .delivered(22, 9)
        .refuted(22, 9);
    made.push(Body::Violated {
        conn: ConnId(22),
        violation: "message of 4294967295 bytes exceeds the limit of 1048576".into(),
        source: Some(source(4)),
    });
    made.at(4_210).closed(22, CloseKind::UsViolation);
    // Answers, and speaks no BitTorrent.
    made.at(336)
        .listed("127.0.3.3:80")
        .at(5_000)
        .attempted(24, "127.0.3.3:80");
    made.at(5_001).reached(24, "127.0.3.3:80");
    made.push(Body::Violated {
        conn: ConnId(24),
        violation: "handshake names protocol \"HTTP/1.1 400\", expected \"BitTorrent protocol\""
            .into(),
        source: Some(source(20)),
    });
    made.at(5_020).closed(24, CloseKind::UsViolation);
    // Nobody there.
    for (n, reason) in [
        ConnectFailure::Refused,
        ConnectFailure::TimedOut,
        ConnectFailure::Unreachable,
    ]
    .into_iter()
    .enumerate()
    {
        let endpoint = format!("127.0.9.{}:6881", n + 1);
        let conn = 26 + 2 * n as u32;
        made.at(337).listed(&endpoint);
        for attempt in 0..3 {
            let conn = conn + 100 * attempt;
            let at = 6_000 + u64::from(attempt) * 30_000 + n as u64 * 100;
            made.at(at)
                .attempted(conn, &endpoint)
                .at(at + 50)
                .failed(conn, reason);
        }
    }
    made.at(338).listed("[2001:db8::7]:6881");
    // Connected to us; one says what it wants, one does not.
    made.at(41_000)
        .came_in(1, "127.0.2.3:40112")
        .joined(1, "qBittorrent/5.0.3")
        .claims(1, 60);
    made.at(60_000).closed(1, CloseKind::Them(EndKind::Closed));
    made.at(42_000)
        .came_in(3, "127.0.3.77:40113")
        .at(72_000)
        .closed(3, CloseKind::UsIdle);
}
