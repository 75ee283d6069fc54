//! The capture: what is rendered reads back, is a pure function, and is what tshark understands.

use std::{fs, net::SocketAddr, process::Command};

use proptest::prelude::*;
use skep_evidence::{
    capture::{
        BLOCK_BYTES_MAX, CaptureError, Direction, PAYLOAD_BYTES_MAX, Packet, Protocol, Renderer,
        Section, packet_at,
    },
    clock::ClockSample,
    journal::{CaptureOffset, ConnId, EndKind, Entry, Input},
};
use skep_wire::Moment;

use crate::samples::{v4, v6};

fn section() -> Section {
    Section {
        observer: "observer.example/1".into(),
        run: 1,
        version: "0.1.0".into(),
    }
}

fn clock() -> Entry {
    let (before, after) = (Moment(0), Moment(2_000));
    let (utc_us, error_us_max) = (1_795_400_000_000_000, 500);
    let sample = ClockSample {
        before,
        after,
        utc_us,
        error_us_max,
        synchronised: true,
    };
    Entry {
        at: after,
        input: Input::Clock(sample),
    }
}

fn at(secs: u64, input: Input) -> Entry {
    Entry {
        at: Moment::from_secs(secs),
        input,
    }
}

/// A capture that is being made, as a driver makes it.
pub(crate) struct Run {
    renderer: Renderer,
    pub(crate) capture: Vec<u8>,
    pub(crate) entries: Vec<(Entry, Vec<u8>)>,
}

impl Run {
    fn begin() -> Self {
        let (renderer, capture) = Renderer::new(&section());
        let mut run = Self {
            renderer,
            capture,
            entries: Vec::new(),
        };
        run.entry(clock());
        run
    }

    fn entry(&mut self, entry: Entry) {
        self.renderer
            .learn(&entry)
            .expect("the run opens each connection once");
        self.entries.push((entry, Vec::new()));
    }

    fn bytes(&mut self, secs: u64, packet: Packet, bytes: &[u8]) -> CaptureOffset {
        let moment = Moment::from_secs(secs);
        let (capture, block) = self
            .renderer
            .packet(moment, packet, bytes)
            .expect("the connection is open");
        assert_eq!(capture.0, self.capture.len() as u64);
        self.capture.extend(block);
        let len = bytes.len() as u32;
        let input = match packet {
            Packet::Tcp {
                conn,
                direction: Direction::In,
            } => Input::Received { conn, capture, len },
            Packet::Tcp {
                conn,
                direction: Direction::Out,
            } => Input::Sent { conn, capture, len },
            Packet::Udp {
                local,
                remote,
                direction: Direction::In,
            } => Input::Datagram {
                local,
                remote,
                capture,
                len,
            },
            Packet::Udp {
                local,
                remote,
                direction: Direction::Out,
            } => Input::DatagramSent {
                local,
                remote,
                capture,
                len,
            },
        };
        self.entries.push((at(secs, input), bytes.to_vec()));
        capture
    }

    fn tcp(
        &mut self,
        secs: u64,
        conn: ConnId,
        direction: Direction,
        bytes: &[u8],
    ) -> CaptureOffset {
        self.bytes(secs, Packet::Tcp { conn, direction }, bytes)
    }
}

fn handshake(peer_id: &[u8; 20]) -> Vec<u8> {
    let mut bytes = b"\x13BitTorrent protocol\0\0\0\0\0\x10\0\x04".to_vec();
    bytes.extend([0xab; 20]);
    bytes.extend(peer_id);
    bytes
}

/// Two connections (IPv4 and IPv6) and a tracker's datagrams, with a block of 16 KiB in two reads.
pub(crate) fn sample_run() -> Run {
    let mut run = Run::begin();
    let (near, far) = (SocketAddr::from(([127, 0, 0, 1], 40_000)), v4());
    let conn = ConnId(0);
    let tracker = SocketAddr::from(([127, 0, 0, 9], 6969));
    let datagram = |direction| Packet::Udp {
        local: near,
        remote: tracker,
        direction,
    };
    let connect = [
        &0x41727101980_u64.to_be_bytes()[..],
        &[0, 0, 0, 0, 1, 2, 3, 4],
    ]
    .concat();
    run.bytes(1, datagram(Direction::Out), &connect);
    run.bytes(
        1,
        datagram(Direction::In),
        &[&[0, 0, 0, 0, 1, 2, 3, 4][..], &[9; 8]].concat(),
    );
    run.entry(at(
        2,
        Input::Opened {
            conn,
            local: near,
            remote: far,
        },
    ));
    run.tcp(2, conn, Direction::Out, &handshake(b"-SK0100-observer0001"));
    run.tcp(3, conn, Direction::In, &handshake(b"-LT2110-abcdefghijkl"));
    run.tcp(
        3,
        conn,
        Direction::In,
        &[0, 0, 0, 2, 5, 0xf0, 0, 0, 0, 1, 1],
    );
    run.tcp(3, conn, Direction::Out, &[0, 0, 0, 1, 2]);
    let request = [&[0, 0, 0, 13, 6][..], &[0; 8], &16_384_u32.to_be_bytes()].concat();
    run.tcp(4, conn, Direction::Out, &request);
    let mut piece = [&16_393_u32.to_be_bytes()[..], &[7], &[0; 8]].concat();
    piece.extend((0..16_384_u32).map(|n| (n * 7) as u8));
    run.tcp(5, conn, Direction::In, &piece[..9_000]);
    run.tcp(5, conn, Direction::In, &piece[9_000..]);
    run.tcp(6, conn, Direction::In, &[0, 0, 0, 5, 4, 0, 0, 0, 3]);
    let (other, local) = (ConnId(1), SocketAddr::new(v6().ip(), 40_000));
    run.entry(at(
        7,
        Input::Incoming {
            conn: other,
            local,
            remote: v6(),
        },
    ));
    run.tcp(7, other, Direction::In, &handshake(b"-TR4060-mnopqrstuvwx"));
    run.tcp(
        7,
        other,
        Direction::Out,
        &handshake(b"-SK0100-observer0002"),
    );
    run.entry(at(
        8,
        Input::Ended {
            conn: other,
            how: EndKind::Closed,
        },
    ));
    run
}

#[test]
fn what_is_rendered_reads_back() {
    let run = sample_run();
    for (entry, bytes) in &run.entries {
        let Some((packet, offset, _)) = Packet::of(&entry.input) else {
            continue;
        };
        let block = &run.capture[offset.0 as usize..];
        let read = packet_at(block, offset).expect("our own block");
        assert_eq!(read.payload, &bytes[..]);
        match packet {
            Packet::Tcp { direction, .. } => {
                assert_eq!((read.protocol, read.direction), (Protocol::Tcp, direction));
            }
            Packet::Udp {
                local,
                remote,
                direction,
            } => {
                assert_eq!((read.protocol, read.direction), (Protocol::Udp, direction));
                assert_eq!((read.local, read.remote), (local, remote));
            }
        }
        assert_eq!(read.utc_ns, 1_795_400_000_000_000_000 + entry.at.0 - 1_000);
    }
}

#[test]
fn journal_and_bytes_alone_give_the_same_file_again() {
    let run = sample_run();
    let (mut renderer, mut again) = Renderer::new(&section());
    for (entry, bytes) in &run.entries {
        again.extend(
            renderer
                .replay(entry, bytes)
                .expect("what was rendered replays"),
        );
    }
    assert_eq!(again, run.capture);
    assert_eq!(renderer.len(), run.capture.len() as u64);
}

#[test]
fn replay_refuses_entries_that_point_elsewhere() {
    let run = sample_run();
    let (mut renderer, _) = Renderer::new(&section());
    renderer.replay(&run.entries[0].0, &[]).expect("the clock");
    let (mut entry, bytes) = run.entries[1].clone();
    let short = renderer.replay(&entry, &bytes[1..]);
    assert_eq!(
        short,
        Err(CaptureError::OtherLen {
            got: 15,
            expected: 16
        })
    );
    if let Input::DatagramSent { capture, .. } = &mut entry.input {
        capture.0 += 4;
    }
    assert!(matches!(
        renderer.replay(&entry, &bytes),
        Err(CaptureError::OtherOffset { .. })
    ));
}

#[test]
fn connections_clock_and_sizes_are_demanded() {
    let (mut renderer, _) = Renderer::new(&section());
    let conn = ConnId(2);
    let packet = Packet::Tcp {
        conn,
        direction: Direction::In,
    };
    assert_eq!(
        renderer.packet(Moment(0), packet, b"x"),
        Err(CaptureError::NoClock)
    );
    renderer.learn(&clock()).expect("a clock");
    assert_eq!(
        renderer.packet(Moment(0), packet, b"x"),
        Err(CaptureError::ConnNotOpen { conn })
    );
    let mixed = at(
        1,
        Input::Opened {
            conn,
            local: v4(),
            remote: v6(),
        },
    );
    assert!(matches!(
        renderer.learn(&mixed),
        Err(CaptureError::MixedFamilies { .. })
    ));
    let opened = at(
        1,
        Input::Opened {
            conn,
            local: v6(),
            remote: v6(),
        },
    );
    renderer.learn(&opened).expect("opened");
    assert_eq!(
        renderer.learn(&opened),
        Err(CaptureError::ConnOpenedTwice { conn })
    );
    let most = vec![7; PAYLOAD_BYTES_MAX];
    let (offset, block) = renderer
        .packet(Moment(0), packet, &most)
        .expect("the most that fits");
    assert!(block.len() <= BLOCK_BYTES_MAX);
    assert_eq!(packet_at(&block, offset).expect("ours").payload, most);
    let more = renderer.packet(Moment(0), packet, &vec![7; PAYLOAD_BYTES_MAX + 1]);
    assert_eq!(
        more,
        Err(CaptureError::PayloadTooLong {
            got: PAYLOAD_BYTES_MAX + 1
        })
    );
    renderer
        .learn(&at(
            2,
            Input::Ended {
                conn,
                how: EndKind::Reset,
            },
        ))
        .expect("ended");
    assert_eq!(
        renderer.packet(Moment(0), packet, b"x"),
        Err(CaptureError::ConnNotOpen { conn })
    );
}

#[test]
fn every_cut_of_a_block_is_told() {
    let run = sample_run();
    let offset = Packet::of(&run.entries[1].0.input).expect("a packet").1;
    let block = &run.capture[offset.0 as usize..];
    let len = packet_at(block, offset).expect("ours").block_len;
    for cut in 0..len {
        let error = packet_at(&block[..cut], offset).expect_err("cut");
        assert!(
            matches!(error, CaptureError::Truncated { .. }),
            "{cut}: {error}"
        );
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..300), ours in any::<bool>()) {
        if ours && bytes.len() >= 60 {
            let len = bytes.len() / 4 * 4;
            bytes[..4].copy_from_slice(&6_u32.to_le_bytes());
            bytes[4..8].copy_from_slice(&(len as u32).to_le_bytes());
            bytes[len - 4..len].copy_from_slice(&(len as u32).to_le_bytes());
        }
        let _ = packet_at(&bytes, CaptureOffset(u64::MAX));
    }
}

/// tshark opens the file, finds nothing malformed and no bad checksum, and its BitTorrent dissector
/// names the messages. Where tshark is not installed the test says so and proves nothing.
#[test]
fn tshark_names_the_messages() {
    if Command::new("tshark").arg("--version").output().is_err() {
        eprintln!(
            "SKIPPED tshark_names_the_messages: no tshark on this machine (apt install tshark)"
        );
        return;
    }
    let run = sample_run();
    let name = format!("skep-capture-{}.pcapng", std::process::id());
    let path = Temporary(std::env::temp_dir().join(name));
    fs::write(&path.0, &run.capture).expect("a temporary file");
    let tshark = |args: &[&str]| {
        let checks = ["tcp", "udp", "ip"].map(|layer| format!("{layer}.check_checksum:TRUE"));
        let mut command = Command::new("tshark");
        command
            .arg("-r")
            .arg(&path.0)
            .args(checks.iter().flat_map(|check| ["-o", check]))
            .args(args);
        let output = command.output().expect("tshark runs");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).expect("tshark writes UTF-8")
    };
    let packets = run
        .entries
        .iter()
        .filter(|(entry, _)| Packet::of(&entry.input).is_some())
        .count();
    assert_eq!(tshark(&[]).lines().count(), packets);
    assert_eq!(tshark(&["-Y", "_ws.malformed"]), "");
    for layer in ["ip.checksum", "tcp.checksum", "udp.checksum"] {
        assert_eq!(
            tshark(&["-Y", &format!("{layer}.status == \"Bad\"")]),
            "",
            "{layer}"
        );
        assert_ne!(
            tshark(&["-Y", &format!("{layer}.status == \"Good\"")]),
            "",
            "{layer}"
        );
    }
    assert_eq!(
        tshark(&[
            "-Y",
            "tcp.analysis.lost_segment || tcp.analysis.retransmission"
        ]),
        ""
    );
    let all = tshark(&["-V"]);
    for name in [
        "Bitfield",
        "Unchoke",
        "Interested",
        "Request",
        "Piece",
        "Have",
        "Protocol Name: BitTorrent protocol",
    ] {
        assert!(all.contains(name), "tshark does not name {name}");
    }
    assert!(all.contains("Direction: Inbound") && all.contains("Direction: Outbound"));
}

/// A file that is removed however the test ends.
struct Temporary(std::path::PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[test]
fn the_file_says_that_it_is_rebuilt() {
    let (_, head) = Renderer::new(&section());
    let says = |text: &[u8]| head.windows(text.len()).any(|bytes| bytes == text);
    assert!(says(b"Run 1 of observer.example/1."));
    assert!(says(
        b"Rebuilt from the bytes that went through sockets: no packet was seen."
    ));
}
