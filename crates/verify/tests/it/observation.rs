//! An observation in memory: a simulated run, laid out as the store lays it out, and bundled. Whoever
//! holds the operator's key can change anything in it and lay it out again: so do the forgeries.

use std::{collections::BTreeMap, net::SocketAddr, sync::OnceLock, time::Duration};

use skep_evidence::{
    bundle::build,
    capture::{Packet, Renderer, Section},
    clock::ClockSample,
    journal::{CaptureOffset, ConnId, ConnectFailure, Entry, Input, frame},
    ledger::{Ledger, SigningKey},
    record::{Body, FORMAT, Record},
};
use skep_hash::{Sha256Digest, sha256};
use skep_observe::{Action, Config, Duty, Observer, Replay, Target};
use skep_sim::memory::Memory;
use skep_sim::strangers::{Client, Content, Script, World, config, handshake, host, messages};
use skep_verify::{Outcome, contents, select, verify};
use skep_wire::{Block, Moment, PieceIndex, peer::Message};

/// The observer's name.
pub(crate) const OBSERVER: &str = "observer.example/skep";
const VERSION: &str = "0.1.0";

/// The operator's key: whoever forges has it too.
pub(crate) fn key() -> SigningKey {
    SigningKey::new(OBSERVER, [7; 32]).unwrap()
}

/// A line of the ledger, as the operator writes it.
#[derive(Clone)]
#[expect(clippy::large_enum_variant, reason = "nearly all are records")]
pub(crate) enum Line {
    /// A record of the machine.
    Machine(Record),
    /// A mark after so many entries.
    Mark(usize),
    /// A crash was found when the ledger was opened again.
    Cut,
}

/// One run: what the journal says with the bytes, and what the ledger says.
#[derive(Clone)]
pub(crate) struct Run {
    pub(crate) config: Config,
    pub(crate) targets: Vec<Target>,
    pub(crate) torrents: Vec<Vec<u8>>,
    pub(crate) log: Vec<(Entry, Vec<u8>)>,
    pub(crate) lines: Vec<Line>,
    /// By how many hours the times of driver's records are forged: of the first one, and of marks.
    pub(crate) started_late_hours: i8,
    pub(crate) marked_late_hours: i8,
}

/// A seeder, a downloader that gains pieces, one that claims all and chokes, one that sends garbage, one
/// that is silent, and two where nobody is.
///
/// The observer may be stalled for so many seconds, from 3 s on: while it waits for the silent one and
/// is told of gains.
pub(crate) fn simulated(run: u32, stalled_secs: u64) -> Run {
    let content = Content::new(6 * 32_768 + 9_000, 32_768, &[]);
    let mut config = config();
    config.run = run;
    config.endpoints = (1..=7).map(|n| (0, host(n))).collect();
    config.revisit_secs = 20;
    config.visit_secs = 8;
    let mut world = World::new(config.clone(), vec![content.target.clone()]);
    let of = || content.clone();
    let (seeder, leecher, miser, liar) = (of(), of(), of(), of());
    world.takes(host(1), move || {
        Client::seeder(&seeder).named(b"-LT2110-seederseeder")
    });
    world.takes(host(2), move || {
        Client::seeder(&leecher)
            .with_pieces(&[0, 2])
            .gaining(&[(1, 3), (3, 4)])
    });
    world.takes(host(3), move || Client::seeder(&miser).choking());
    world.takes(host(4), move || {
        Client::seeder(&liar).forging(|_, bytes| bytes.iter().map(|byte| !byte).collect())
    });
    world
        .hosts
        .insert(host(5), skep_sim::strangers::Host::Silent);
    world.run_until(3);
    world.stall(stalled_secs);
    world.run_until(40 + stalled_secs);
    told_by(world, config, &[content])
}

/// A peer comes in, delivers half of piece 0, falls silent, and is asked for all of it again when the
/// next round begins; then it delivers all of it.
pub(crate) fn half_a_piece_first() -> Run {
    let content = Content::new(4 * 32_768, 32_768, &[]);
    let mut config = config();
    (config.run, config.revisit_secs, config.visit_secs) = (1, 2, 8);
    let mut world = World::new(config.clone(), vec![content.target.clone()]);
    let blocks = |range: std::ops::Range<u32>| {
        let mut out = Vec::new();
        for n in range {
            let block = Block {
                piece: PieceIndex(0),
                begin: n * 16_384,
                len: 16_384,
            };
            Message::Piece(block).encode(&mut out);
            out.extend(content.block(block));
        }
        out
    };
    let hello = handshake(content.target.metainfo.info_hash, b"-XX0001-abcdefghijkl");
    let claims = messages(&[Message::Bitfield(&[0b1000_0000]), Message::Unchoke]);
    let script = Script::new([
        (0, [hello, claims].concat()),
        (1_000, blocks(0..1)),
        (100_000, blocks(0..2)),
    ]);
    world.comes_in(Duration::ZERO, host(1), script);
    world.run_until(110);
    told_by(world, config, &[content])
}

/// A peer sends the other of two inputs with one SHA-1 for the first piece of a torrent.
pub(crate) fn by_collision() -> Run {
    let one = include_bytes!("../../../../testdata/sha1/shattered-1.bin");
    let other = include_bytes!("../../../../testdata/sha1/shattered-2.bin");
    let mut content = small();
    content.bytes[..one.len()].copy_from_slice(one);
    let content = Content::of(content.bytes, 32_768, &[]);
    let mut config = config();
    (config.run, config.endpoints) = (1, vec![(0, host(1))]);
    let mut world = World::new(config.clone(), vec![content.target.clone()]);
    let mut client = content.clone();
    client.bytes[..other.len()].copy_from_slice(other);
    world.takes(host(1), move || Client::seeder(&client).with_pieces(&[0]));
    world.run_until(30);
    told_by(world, config, &[content])
}

/// A peer comes in, claims one small piece, and sends it with the unchoke, unasked, in one segment.
pub(crate) fn unasked_for() -> Run {
    let content = small();
    let hello = handshake(content.target.metainfo.info_hash, b"-XX0001-abcdefghijkl");
    let block = Block {
        piece: PieceIndex(2),
        begin: 0,
        len: 50,
    };
    let mut unasked = messages(&[Message::Unchoke]);
    Message::Piece(block).encode(&mut unasked);
    unasked.extend(content.block(block));
    let claims = messages(&[Message::Bitfield(&[0b0010_0000])]);
    said_by_one(
        &content,
        &[[hello, claims].concat(), unasked.clone(), unasked],
    )
}

/// Two pieces of 32 KiB and one of 50 bytes.
pub(crate) fn small() -> Content {
    Content::new(2 * 32_768 + 50, 32_768, &[])
}

/// A run in which one peer comes in and says these segments, one a second.
pub(crate) fn said_by_one(content: &Content, segments: &[Vec<u8>]) -> Run {
    let mut config = config();
    (config.run, config.pieces_per_visit, config.revisit_secs) = (1, 3, 2);
    let mut run = Run {
        config,
        targets: vec![content.target.clone()],
        torrents: vec![content.torrent.clone()],
        log: vec![],
        lines: vec![],
        started_late_hours: 0,
        marked_late_hours: 0,
    };
    run.drive(segments);
    run.point_at_capture();
    run.lines = run.honest_lines(7);
    run
}

/// What a run says that watched the swarms of one torrent.
pub(crate) fn told_by(mut world: World, config: Config, swarms: &[Content]) -> Run {
    world.stop();
    let log: Vec<(Entry, Vec<u8>)> = world
        .log()
        .map(|(entry, bytes, _)| (entry.clone(), bytes.to_vec()))
        .collect();
    let mut run = Run {
        config,
        targets: swarms.iter().map(|swarm| swarm.target.clone()).collect(),
        torrents: vec![swarms[0].torrent.clone()],
        log,
        lines: vec![],
        started_late_hours: 0,
        marked_late_hours: 0,
    };
    run.point_at_capture();
    run.lines = run.honest_lines(40);
    run
}

impl Run {
    /// A run in which one peer comes in and says `segments`, one a second, each in one piece.
    fn drive(&mut self, segments: &[Vec<u8>]) {
        let mut observer = Observer::new(self.config.clone(), self.targets.clone());
        let conn = ConnId(1);
        let local = SocketAddr::new(self.config.bind, self.config.listen_port);
        let sample = |at: Moment| ClockSample {
            before: at,
            after: at,
            utc_us: 1_300_000_000_000_000 + (at.0 / 1_000) as i64,
            error_us_max: 250,
            synchronised: true,
        };
        let received = |bytes: &Vec<u8>| {
            let (capture, len) = (CaptureOffset(0), bytes.len() as u32);
            (Input::Received { conn, capture, len }, bytes.clone())
        };
        let mut inputs = vec![
            (Input::Clock(sample(Moment::ZERO)), vec![]),
            (
                Input::Incoming {
                    conn,
                    local,
                    remote: host(1),
                },
                vec![],
            ),
        ];
        inputs.extend(segments.iter().map(received));
        inputs.push((Input::Stop, vec![]));
        let mut closed = false;
        let mut inputs = (0..).map(Moment::from_secs).zip(inputs).peekable();
        while !observer.is_over() {
            let timeout = observer.next_due();
            let (at, input, bytes) = match inputs.peek().map(|(at, _)| *at) {
                Some(at) if timeout.is_none_or(|timeout| at <= timeout) => {
                    let (at, (input, bytes)) = inputs.next().unwrap();
                    (at, input, bytes)
                }
                _ => {
                    let at = timeout.expect("it waits for something");
                    let input = match observer.poll_duty(at) {
                        Some((due, Duty::Clock)) if due == at => Input::Clock(sample(at)),
                        _ => Input::Timeout,
                    };
                    (at, input, vec![])
                }
            };
            if closed && matches!(input, Input::Received { .. }) {
                continue;
            }
            let mut waiting = vec![(input, bytes)];
            while let Some((input, bytes)) = waiting.pop() {
                let entry = Entry { at, input };
                observer.handle_entry(&entry, &bytes).unwrap();
                while observer.poll_record().is_some() {}
                while let Some(action) = observer.poll_action() {
                    match action {
                        Action::Send { conn, bytes } => {
                            let (capture, len) = (CaptureOffset(0), bytes.len() as u32);
                            waiting.insert(0, (Input::Sent { conn, capture, len }, bytes));
                        }
                        Action::Connect { conn, .. } => {
                            let reason = ConnectFailure::Refused;
                            waiting.insert(0, (Input::Failed { conn, reason }, vec![]));
                        }
                        Action::Close { conn: of } if of == conn => {
                            closed = true;
                            waiting.retain(|(input, _)| !matches!(input, Input::Sent { .. }));
                        }
                        _ => {}
                    }
                }
                self.log.push((entry, bytes));
            }
        }
    }

    /// Gives every entry the offset at which its bytes stand in the capture.
    pub(crate) fn point_at_capture(&mut self) {
        let (mut renderer, _) = Renderer::new(&self.section());
        for (entry, bytes) in &mut self.log {
            renderer.learn(entry).unwrap();
            if let Some((packet, ..)) = Packet::of(&entry.input) {
                let (offset, _) = renderer.packet(entry.at, packet, bytes).unwrap();
                *capture_of(&mut entry.input) = offset;
            }
        }
    }

    fn section(&self) -> Section {
        Section {
            observer: OBSERVER.into(),
            run: self.config.run,
            version: VERSION.into(),
        }
    }

    /// What an honest driver writes of this journal, with a mark after every `every` entries.
    pub(crate) fn honest_lines(&self, every: usize) -> Vec<Line> {
        let mut replay = Replay::new(self.config.clone(), self.targets.clone());
        let mut lines = Vec::new();
        for (count, (entry, bytes)) in (1..).zip(&self.log) {
            let step = replay.step(entry, bytes).unwrap();
            lines.extend(step.records.into_iter().map(Line::Machine));
            if count % every == 0 && count < self.log.len() {
                lines.push(Line::Mark(count));
            }
        }
        lines.push(Line::Mark(self.log.len()));
        lines
    }

    /// The place of the first machine record that `wanted` accepts.
    pub(crate) fn place(&self, wanted: impl Fn(&Body) -> bool) -> usize {
        let found = self.lines.iter().position(|line| match line {
            Line::Machine(record) => wanted(&record.body),
            Line::Mark(_) | Line::Cut => false,
        });
        found.expect("the run has such a record")
    }

    /// The record at a place.
    pub(crate) fn record(&mut self, place: usize) -> &mut Record {
        match &mut self.lines[place] {
            Line::Machine(record) => record,
            Line::Mark(_) | Line::Cut => panic!("a record is at {place}"),
        }
    }
}

fn capture_of(input: &mut Input) -> &mut CaptureOffset {
    match input {
        Input::Received { capture, .. }
        | Input::Sent { capture, .. }
        | Input::Datagram { capture, .. }
        | Input::DatagramSent { capture, .. } => capture,
        _ => panic!("an entry with bytes"),
    }
}

/// Lays runs out as a folder, signed by the operator.
pub(crate) fn lay_out(runs: &[Run]) -> Memory {
    let (mut ledger, commit) = Ledger::create(key());
    let mut folder = Memory::default();
    folder.apply_all(&commit.ops);
    let vkey = format!("{}\n", key().verifier().encode());
    folder
        .files
        .insert("operator.vkey".into(), vkey.into_bytes());
    for run in runs {
        lay_out_run(run, &mut ledger, &mut folder);
    }
    folder
}

fn lay_out_run(run: &Run, ledger: &mut Ledger, folder: &mut Memory) {
    let number = run.config.run;
    let config = run.config.encode();
    let blob = |folder: &mut Memory, bytes: &[u8]| -> Sha256Digest {
        let digest = sha256(bytes);
        folder
            .files
            .insert(contents::blob_path(&digest), bytes.to_vec());
        digest
    };
    let Input::Clock(first) = run.log[0].0.input else {
        panic!("a run begins with the clock")
    };
    let started = Body::RunStarted {
        format: FORMAT,
        observer: OBSERVER.into(),
        version: VERSION.into(),
        binary: sha256(b"the observer's binary"),
        build: "test".into(),
        config: blob(folder, &config),
        targets: run
            .torrents
            .iter()
            .map(|torrent| blob(folder, torrent))
            .collect(),
    };
    let mut clock = first;
    let (mut renderer, mut capture) = Renderer::new(&run.section());
    // Lengths of journal and capture after each entry.
    let mut journal = Vec::new();
    let mut lens = vec![(0, capture.len())];
    let mut clocks: Vec<ClockSample> = vec![clock];
    for (entry, bytes) in &run.log {
        if let Input::Clock(sample) = entry.input {
            clock = sample;
        }
        clocks.push(clock);
        renderer.learn(entry).unwrap();
        if let Some((packet, ..)) = Packet::of(&entry.input) {
            capture.extend(renderer.packet(entry.at, packet, bytes).unwrap().1);
        }
        journal.extend(frame(&entry.encode()));
        lens.push((journal.len(), capture.len()));
    }
    let hours = i64::from(run.started_late_hours) * 3_600_000_000;
    let mut started = by_driver(number, first.after, &first, started);
    started.utc.earliest_us += hours;
    started.utc.latest_us += hours;
    append(ledger, &started);
    folder.apply_all(&ledger.checkpoint().ops);
    for line in &run.lines {
        match line {
            Line::Machine(record) => append(ledger, record),
            Line::Mark(entries) => {
                let (journal_len, capture_len) = lens[*entries];
                let body = Body::Mark {
                    journal_len: journal_len as u64,
                    journal: sha256(&journal[..journal_len]),
                    capture_len: capture_len as u64,
                    capture: sha256(&capture[..capture_len]),
                };
                let at = run.log[..*entries]
                    .last()
                    .map_or(first.after, |(entry, _)| entry.at);
                let mut mark = by_driver(number, at, &clocks[*entries], body);
                mark.at.0 += run.marked_late_hours.unsigned_abs() as u64 * 3_600_000_000_000;
                mark.utc = clocks[*entries].utc(mark.at);
                append(ledger, &mark);
                folder.apply_all(&ledger.checkpoint().ops);
            }
            Line::Cut => {
                let body = Body::RunCut {
                    journal_cut: 9,
                    capture_cut: 0,
                    ledger_cut: 70,
                };
                let last = run.log.last().map_or(first.after, |(entry, _)| entry.at);
                append(ledger, &by_driver(number, last, &clock, body));
            }
        }
    }
    folder.files.insert(contents::journal_path(number), journal);
    folder.files.insert(contents::capture_path(number), capture);
}

fn by_driver(run: u32, at: skep_wire::Moment, clock: &ClockSample, body: Body) -> Record {
    Record {
        run,
        at,
        utc: clock.utc(at),
        body,
        unknown: vec![],
    }
}

fn append(ledger: &mut Ledger, record: &Record) {
    ledger.append(&record.encode()).unwrap();
}

/// The files of the bundle of a folder.
pub(crate) fn bundle_files(folder: &Memory) -> BTreeMap<String, Vec<u8>> {
    let selection = select(folder).unwrap();
    let mut files: BTreeMap<String, Vec<u8>> = selection
        .files
        .iter()
        .map(|(path, len)| (path.clone(), folder.files[path][..*len as usize].to_vec()))
        .collect();
    for (name, bytes) in selection.report.files() {
        files.insert(contents::report_path(name), bytes.to_vec());
    }
    files
}

/// The bundle of runs, honest or not, as their operator makes it.
pub(crate) fn bundle(runs: &[Run]) -> Vec<u8> {
    build(&bundle_files(&lay_out(runs))).unwrap()
}

/// What a stranger says of it.
pub(crate) fn judge(runs: &[Run]) -> Outcome {
    verify(bundle(runs), None)
}

/// One run, simulated once for all tests. Its observer was stalled for a while, so that what the tests
/// forge is forged in a run that has a gap to hide things in.
pub(crate) fn run() -> Run {
    static RUN: OnceLock<Run> = OnceLock::new();
    RUN.get_or_init(|| simulated(1, STALLED_SECS)).clone()
}

/// How long the observer of [`run`] was stalled.
pub(crate) const STALLED_SECS: u64 = 25;
