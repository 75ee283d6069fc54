//! Strangers who do anything at any time: whatever they do, the notes keep their laws.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::Duration,
};

use skep_evidence::{
    journal::{ConnId, Input},
    record::{Body, Record},
};
use skep_observe::Action;
use skep_proto::rng::Rng;
use skep_sim::strangers::{
    Content, Host, HttpTracker, Says, Stranger, World, config, handshake, host,
};
use skep_wire::{
    Block, Moment, PieceIndex,
    peer::{
        Message,
        ext::{ExtHandshake, Pex, PexPeer},
    },
};

const URL: &str = "http://10.0.9.9:80/announce";

/// Each seed is a swarm of strangers who act at random for two minutes. A seed that fails is printed,
/// and alone repeats the run.
#[test]
fn no_stranger_makes_the_notes_break_their_laws() {
    for seed in 0..seeds() {
        let world = run(seed);
        // Replays the run, too.
        let records = world.records();
        check(seed, &world, &records);
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "whoever starts the test says how long"
)]
fn seeds() -> u64 {
    if std::env::var("SKEP_LONG").is_ok() {
        500
    } else {
        30
    }
}

fn run(seed: u64) -> World {
    let mut rng = Rng::new(seed);
    let content = Content::new(6 * 49_152 + 5_000, 49_152, &[URL]);
    let mut config = config();
    config.seed[0] = seed as u8;
    config.revisit_secs = 5;
    config.visit_secs = 20;
    config.announce_secs = 60;
    config.pieces_per_visit = rng.below(4) as u32;
    config.whole = rng.below(4) == 0;
    config.conns_max = 2 + rng.below(10) as u32;
    let mut world = World::new(config, vec![content.target.clone()]);
    let hosts: Vec<SocketAddr> = (1..=12).map(host).collect();
    let named = hosts.clone();
    world.takes("10.0.9.9:80".parse().expect("an address"), move || {
        HttpTracker::new(&named)
    });
    for &at in &hosts {
        match rng.below(10) {
            0 => drop(world.hosts.insert(at, Host::Silent)),
            1 => {}
            _ => {
                let (content, mut seeds) = (content.clone(), rng.split());
                world.takes(at, move || Anybody::new(&content, seeds.split(), false));
            }
        }
    }
    for n in 0..10 {
        let who = Anybody::new(&content, rng.split(), true);
        let from = SocketAddr::from(([10, 0, 2, n], 30_000 + u16::from(n)));
        world.comes_in(Duration::from_secs(rng.below(120)), from, who);
    }
    world.run_until(120);
    world.stop();
    world
}

/// The laws.
fn check(seed: u64, world: &World, records: &[Record]) {
    let mut conns: BTreeMap<ConnId, Seen> = BTreeMap::new();
    for record in records {
        let broken = |law: &str| panic!("seed {seed}: {law}: {record:?}");
        let Some(conn) = record.body.conn() else {
            continue;
        };
        let seen = conns.entry(conn).or_default();
        if seen.closed {
            broken("nothing is said of a connection that is closed");
        }
        match &record.body {
            Body::Attempted { .. } => seen.attempted = true,
            Body::AttemptFailed { .. } => {
                if !seen.attempted || seen.reached {
                    broken("who fails was attempted and not reached");
                }
                seen.closed = true;
            }
            Body::Reached { incoming, .. } => {
                if seen.attempted == *incoming || seen.reached {
                    broken("who is reached was attempted, or came");
                }
                seen.reached = true;
            }
            Body::Joined { .. } => {
                if !seen.reached || seen.joined {
                    broken("who joins is reached, and joins once");
                }
                seen.joined = true;
            }
            Body::ClaimedSet { .. } | Body::ClaimedGain { .. } => {
                if !seen.joined {
                    broken("who claims has joined");
                }
                seen.claimed = true;
            }
            Body::PieceAsked { piece, .. } => {
                if !seen.claimed {
                    broken("only what is claimed is asked for");
                }
                seen.asked.insert(*piece);
            }
            Body::Delivered { block, .. } => {
                if !seen.asked.contains(&block.piece) {
                    broken("only what was asked for is delivered");
                }
                seen.delivered.insert((block.piece, block.begin, block.len));
            }
            Body::Verified { piece, .. } | Body::Refuted { piece, .. } => {
                let came: u32 = seen
                    .delivered
                    .iter()
                    .filter(|(of, ..)| of == piece)
                    .map(|(_, _, len)| len)
                    .sum();
                if came < 5_000 {
                    broken("a verdict is on a whole piece of this connection");
                }
            }
            Body::Closed { payload_out, .. } => {
                if !seen.reached || *payload_out != 0 {
                    broken("who is closed was reached, and got no payload");
                }
                seen.closed = true;
            }
            _ => {}
        }
    }
    for (conn, seen) in &conns {
        assert!(
            !seen.reached || seen.closed,
            "seed {seed}: {conn:?} is never closed"
        );
    }
    nothing_after_a_close(seed, world);
}

/// No action and no entry names a connection after it was closed.
fn nothing_after_a_close(seed: u64, world: &World) {
    let mut closed = BTreeSet::new();
    for (entry, _, step) in world.log() {
        if let Input::Ended { conn, .. } | Input::Failed { conn, .. } = entry.input {
            closed.insert(conn);
        }
        for action in &step.actions {
            match action {
                Action::Connect { conn, .. } | Action::Send { conn, .. } => {
                    assert!(!closed.contains(conn), "seed {seed}: {action:?}");
                }
                Action::Close { conn } => {
                    assert!(closed.insert(*conn), "seed {seed}: {action:?}");
                }
                Action::Resolve { .. } | Action::SendTo { .. } | Action::Finished => {}
            }
        }
    }
}

#[derive(Default)]
struct Seen {
    attempted: bool,
    reached: bool,
    joined: bool,
    claimed: bool,
    closed: bool,
    asked: BTreeSet<PieceIndex>,
    delivered: BTreeSet<(PieceIndex, u32, u32)>,
}

/// Knows the protocol, and does what its generator says.
struct Anybody {
    content: Content,
    rng: Rng,
    calls: bool,
    heard: Vec<u8>,
    greeted: bool,
    /// How often, of a thousand acts, it does something that breaks the protocol.
    wicked: u64,
}

impl Anybody {
    fn new(content: &Content, mut rng: Rng, calls: bool) -> Self {
        let wicked = [0, 0, 5, 100][rng.below(4) as usize];
        Self {
            content: content.clone(),
            rng,
            calls,
            heard: vec![],
            greeted: false,
            wicked,
        }
    }

    fn greet(&mut self) -> Vec<Says> {
        self.greeted = true;
        let mut hash = self.content.target.metainfo.info_hash;
        if self.rng.below(1_000) < self.wicked {
            hash.0[3] ^= 1;
        }
        let mut id = *b"-XX0001-............";
        self.rng.fill(&mut id[8..]);
        let mut out = handshake(hash, &id);
        let none = Message::HaveNone;
        let all = Message::HaveAll;
        let some = [0b1010_1010];
        out.extend(match self.rng.below(5) {
            0 => none.to_bytes(),
            1 => Message::Bitfield(&some).to_bytes(),
            2 => vec![],
            _ => all.to_bytes(),
        });
        let first = Duration::from_millis(self.rng.below(2_000));
        vec![Says::Bytes(out), Says::Later(first)]
    }

    fn block(&mut self) -> Block {
        let piece = PieceIndex(self.rng.below(7) as u32);
        let begin = 16_384 * self.rng.below(3) as u32;
        let size = self.content.target.metainfo.info.piece_size(piece);
        Block {
            piece,
            begin,
            len: 16_384.min(size.saturating_sub(begin)).max(1),
        }
    }

    /// One act.
    fn act(&mut self) -> Vec<Says> {
        if self.rng.below(1_000) < self.wicked {
            let mut bytes = vec![0; self.rng.below(300) as usize];
            self.rng.fill(&mut bytes);
            return vec![Says::Bytes(bytes)];
        }
        let piece = PieceIndex(self.rng.below(7) as u32);
        let block = self.block();
        let port = 1 + self.rng.below(65_535) as u16;
        let pex = Pex {
            added: (0..self.rng.below(5))
                .map(|n| PexPeer {
                    addr: host(n as u8 + 1),
                    flags: 0,
                })
                .collect(),
            ..Pex::default()
        };
        let ext = ExtHandshake {
            listen_port: Some(port),
            upload_only: [None, Some(true), Some(false)][self.rng.below(3) as usize],
            requests_max: Some(self.rng.below(20) as u32),
            ..ExtHandshake::default()
        };
        let (pex, ext) = (pex.encode(), ext.encode());
        let message = match self.rng.below(16) {
            0 => Message::Choke,
            1..=4 => Message::Unchoke,
            5 | 6 => Message::Have(piece),
            7 => Message::AllowedFast(piece),
            8 => Message::SuggestPiece(piece),
            9 => Message::Interested,
            10 => Message::Request(block),
            11 => Message::Cancel(block),
            12 => Message::Extended {
                id: 0,
                payload: &ext,
            },
            13 => Message::Extended {
                id: 1,
                payload: &pex,
            },
            14 => Message::KeepAlive,
            _ => Message::Port(port),
        };
        let mut said = vec![Says::Bytes(message.to_bytes())];
        if self.rng.below(60) == 0 {
            said.push(Says::Close);
        }
        said
    }

    /// What it does with a request.
    fn answer(&mut self, block: Block) -> Vec<u8> {
        let mut out = Vec::new();
        match self.rng.below(10) {
            0 => Message::RejectRequest(block).encode(&mut out),
            1 => {}
            2 if self.wicked > 0 => {
                Message::Piece(block).encode(&mut out);
                out.extend(vec![0xee; block.len as usize]);
            }
            _ => {
                Message::Piece(block).encode(&mut out);
                out.extend(self.content.block(block));
            }
        }
        out
    }
}

impl Stranger for Anybody {
    fn opened(&mut self, _now: Moment) -> Vec<Says> {
        if self.calls { self.greet() } else { vec![] }
    }

    fn hears(&mut self, bytes: &[u8], _now: Moment) -> Vec<Says> {
        self.heard.extend(bytes);
        let mut said = Vec::new();
        if !self.greeted && self.heard.len() >= 68 {
            said = self.greet();
        }
        let mut out = Vec::new();
        while let Some(at) = self
            .heard
            .windows(5)
            .position(|part| part == [0, 0, 0, 13, 6])
            && let Some(request) = self.heard.get(at + 5..at + 17)
        {
            let word = |n: usize| {
                u32::from_be_bytes(request[n * 4..n * 4 + 4].try_into().expect("four bytes"))
            };
            let block = Block {
                piece: PieceIndex(word(0)),
                begin: word(1),
                len: word(2),
            };
            self.heard.drain(..at + 17);
            out.extend(self.answer(block));
        }
        if !out.is_empty() {
            said.push(Says::Bytes(out));
        }
        said
    }

    fn wakes(&mut self, _now: Moment) -> Vec<Says> {
        let mut said = self.act();
        said.push(Says::Later(Duration::from_millis(
            50 + self.rng.below(3_000),
        )));
        said
    }
}
