//! One record of every kind and one journal entry of every kind, some in several forms.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use skep_evidence::{
    clock::{ClockSample, UtcInterval},
    journal::{CaptureOffset, ConnId, ConnectFailure, EndKind, Entry, Input, QueryId},
    record::{
        Attack, Body, ClaimKind, CloseKind, FORMAT, NamedBy, Record, Source, TargetIndex, Transport,
    },
};
use skep_hash::{sha1, sha256};
use skep_wire::{Block, InfoHash, InfoHashV2, Moment, PeerId, PieceIndex, peer::Reserved};

const CONN: ConnId = ConnId(4);
const TARGET: TargetIndex = TargetIndex(0);

pub(crate) fn v4() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2), 6881))
}

pub(crate) fn v6() -> SocketAddr {
    SocketAddr::from((Ipv6Addr::LOCALHOST, 51413))
}

fn source() -> Source {
    Source {
        capture: CaptureOffset(1 << 33),
        stream: 68,
        len: 17,
        digest: sha256(b"message"),
    }
}

fn listed(endpoint: SocketAddr, by: NamedBy, source: Option<Source>) -> Body {
    Body::Listed {
        target: TARGET,
        endpoint,
        by,
        source,
    }
}

fn closed(how: CloseKind) -> Body {
    let (digest_in, digest_out) = (sha256(b"in"), sha256(b"out"));
    Body::Closed {
        conn: CONN,
        how,
        bytes_in: 1 << 40,
        bytes_out: 68,
        digest_in,
        digest_out,
        payload_out: 0,
    }
}

fn claimed(how: ClaimKind, since: Option<Moment>) -> Body {
    let (pieces, share_ppm, gained, source) = (3, 750_000, 1, source());
    Body::ClaimedSet {
        conn: CONN,
        how,
        pieces,
        share_ppm,
        gained,
        since,
        source,
    }
}

fn bodies() -> Vec<Body> {
    let (conn, target, source) = (CONN, TARGET, source());
    let (piece, url) = (PieceIndex(2), String::from("udp://127.0.0.1:6969/announce"));
    let block = Block {
        piece,
        begin: 16_384,
        len: 16_384,
    };
    vec![
        Body::RunStarted {
            format: FORMAT,
            observer: "observer.example/1".into(),
            version: "0.1.0".into(),
            binary: sha256(b"binary"),
            build: "rustc 1.95, x86_64-unknown-linux-gnu, release".into(),
            config: sha256(b"config"),
            targets: vec![sha256(b"one"), sha256(b"two")],
        },
        Body::Target {
            target,
            info_hash: InfoHash([7; 20]),
            info_hash_v2: None,
            torrent: sha256(b"one"),
            name: "Bienenkorb ä".into(),
            size_bytes: 1 << 41,
            piece_len: 1 << 18,
            piece_count: 4,
        },
        Body::Clock {
            error_us_max: 16_000_000,
            received: Some(sha256(b"all that came")),
        },
        Body::TrackerAsked {
            target,
            url: url.clone(),
            conn: None,
            remote: None,
        },
        Body::TrackerAsked {
            target,
            url: url.clone(),
            conn: Some(conn),
            remote: Some(v6()),
        },
        Body::TrackerAnswered {
            target,
            url: url.clone(),
            remote: v4(),
            complete: Some(1),
            incomplete: Some(6),
            peer_count: 7,
            interval_secs: 1_800,
            source,
        },
        Body::TrackerFailed {
            target,
            url: url.clone(),
            remote: Some(v4()),
            error: "no answer".into(),
        },
        listed(v4(), NamedBy::Tracker { url }, Some(source)),
        listed(v6(), NamedBy::Pex { conn }, Some(source)),
        listed(v4(), NamedBy::ListenPort { conn }, Some(source)),
        listed(v4(), NamedBy::Incoming, None),
        listed(v4(), NamedBy::Operator, None),
        Body::Attempted {
            target,
            conn,
            endpoint: v4(),
            transport: Transport::Tcp,
        },
        Body::AttemptFailed {
            conn,
            reason: ConnectFailure::Refused,
        },
        Body::AttemptFailed {
            conn,
            reason: ConnectFailure::TimedOut,
        },
        Body::AttemptFailed {
            conn,
            reason: ConnectFailure::Unreachable,
        },
        Body::AttemptFailed {
            conn,
            reason: ConnectFailure::Local(99),
        },
        Body::Reached {
            target: Some(target),
            conn,
            local: v6(),
            endpoint: v6(),
            incoming: true,
            transport: Transport::UtpMse,
        },
        Body::Joined {
            target,
            conn,
            peer_id: PeerId(*b"-LT2110-abcdefghijkl"),
            reserved: Reserved::OURS,
            client: "libtorrent 2.1.1".into(),
            source,
        },
        Body::Extended {
            conn,
            client: Some("qBittorrent".into()),
            listen_port: Some(6881),
            upload_only: Some(false),
            your_ip: Some(v6().ip()),
            source,
        },
        claimed(ClaimKind::Bitfield, None),
        claimed(ClaimKind::HaveAll, Some(Moment(9))),
        claimed(ClaimKind::HaveNone, None),
        claimed(ClaimKind::UploadOnly, None),
        Body::ClaimedGain {
            conn,
            piece,
            since: Some(Moment(1)),
            pieces: 4,
            share_ppm: 1_000_000,
            source,
        },
        Body::Offers {
            conn,
            pieces: 0,
            share_ppm: 0,
            choked: true,
            source,
        },
        Body::PieceAsked {
            conn,
            piece,
            blocks: 16,
        },
        Body::Refused {
            conn,
            block,
            source,
        },
        Body::Delivered {
            conn,
            block,
            source,
        },
        Body::Verified {
            conn,
            piece,
            sha1: Some(sha1(b"piece")),
            root: None,
        },
        Body::Refuted {
            conn,
            piece,
            expected: Some(sha1(b"piece")),
            got: Some(sha1(b"garbage")),
            expected_root: None,
            got_root: None,
            attack: None,
        },
        Body::Whole { conn },
        Body::Violated {
            conn,
            violation: "bitfield of 2 bytes, the torrent needs 1".into(),
            source: Some(source),
        },
        Body::Limited {
            target: Some(target),
            conn: Some(conn),
            limit: "ENDPOINTS_MAX".into(),
            value: 100_000,
        },
        closed(CloseKind::Them(EndKind::Closed)),
        closed(CloseKind::Them(EndKind::Reset)),
        closed(CloseKind::Them(EndKind::Error(-110))),
        closed(CloseKind::UsDone),
        closed(CloseKind::UsIdle),
        closed(CloseKind::UsViolation),
        closed(CloseKind::UsStopped),
        Body::Mark {
            journal_len: 12,
            journal: sha256(b"journal"),
            capture_len: 34,
            capture: sha256(b"capture"),
        },
        Body::Stalled {
            awake: Moment(11),
            due: Moment(12),
        },
        Body::RunCut {
            journal_cut: 1,
            capture_cut: 2,
            ledger_cut: 3,
        },
        Body::RunEnded {
            endpoints: 9,
            attempts: 12,
            received: Some(sha256(b"all that came")),
        },
    ]
}

/// Every kind of record.
pub(crate) fn records() -> Vec<Record> {
    let utc = UtcInterval {
        earliest_us: -1,
        latest_us: 1_795_400_000_000_000,
        synchronised: true,
    };
    bodies()
        .into_iter()
        .enumerate()
        .map(|(n, body)| {
            let at = Moment(n as u64 * 1_000_003);
            Record {
                run: 1,
                at,
                utc,
                body,
                unknown: Vec::new(),
            }
        })
        .collect()
}

/// Records with fields that were added after the golden files were written.
pub(crate) fn later_records() -> Vec<Record> {
    let (conn, piece) = (CONN, PieceIndex(0));
    let (sha1, root) = (Some(sha1(b"piece")), Some(sha256(b"piece")));
    let info_hash_v2 = InfoHashV2([9; 32]);
    let bodies = [
        Body::Refuted {
            conn,
            piece,
            expected: sha1,
            got: sha1,
            expected_root: None,
            got_root: None,
            attack: Some(Attack::Sha1Collision),
        },
        Body::Refuted {
            conn,
            piece,
            expected: sha1,
            got: sha1,
            expected_root: root,
            got_root: Some(sha256(b"garbage")),
            attack: None,
        },
        Body::Verified {
            conn,
            piece,
            sha1: None,
            root,
        },
        Body::Target {
            target: TargetIndex(1),
            info_hash: info_hash_v2.truncated(),
            info_hash_v2: Some(info_hash_v2),
            torrent: sha256(b"two"),
            name: "two".into(),
            size_bytes: 1,
            piece_len: 1 << 14,
            piece_count: 1,
        },
    ];
    let record = |body| Record {
        body,
        ..records().remove(0)
    };
    bodies.into_iter().map(record).collect()
}

/// Every kind of entry, as a run could have them.
pub(crate) fn entries() -> Vec<Entry> {
    let conn = CONN;
    let (before, after) = (Moment(10), Moment(20));
    let clock = ClockSample {
        before,
        after,
        utc_us: 1_795_400_000_000_000,
        error_us_max: 9,
        synchronised: true,
    };
    let (capture, len) = (CaptureOffset(320), 68);
    let inputs = vec![
        Input::Clock(clock),
        Input::Timeout,
        Input::Resolved {
            query: QueryId(0),
            addrs: vec![v4().ip(), v6().ip()],
        },
        Input::Resolved {
            query: QueryId(1),
            addrs: Vec::new(),
        },
        Input::Opened {
            conn,
            local: v4(),
            remote: v4(),
        },
        Input::Failed {
            conn: ConnId(6),
            reason: ConnectFailure::Local(24),
        },
        Input::Incoming {
            conn: ConnId(1),
            local: v6(),
            remote: v6(),
        },
        Input::Received { conn, capture, len },
        Input::Sent { conn, capture, len },
        Input::Ended {
            conn,
            how: EndKind::Error(104),
        },
        Input::Datagram {
            local: v4(),
            remote: v4(),
            capture,
            len,
        },
        Input::DatagramSent {
            local: v6(),
            remote: v6(),
            capture,
            len,
        },
        Input::Stop,
    ];
    let at = |n: usize| Moment(20 + n as u64 * 7);
    inputs
        .into_iter()
        .enumerate()
        .map(|(n, input)| Entry { at: at(n), input })
        .collect()
}
