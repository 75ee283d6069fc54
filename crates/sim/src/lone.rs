//! One connection machine against a script.

use std::collections::VecDeque;

use skep_proto::{
    drain::{Inlet, Part, PeerWorld, Span, settle},
    peer::{Event, PeerConfig, PeerConn, Transmit},
    rng::Rng,
};
use skep_wire::{
    InfoHash, Moment, PeerId, PieceSizes,
    peer::{Handshake, Reserved},
};

/// The torrent of scripts: 16 pieces of 32 KiB, the last one 20,000 bytes long.
pub const INFO_HASH: InfoHash = InfoHash(*b"a torrent of scripts");

/// See [`INFO_HASH`].
pub const PIECE_COUNT: u32 = 16;

/// See [`INFO_HASH`].
pub const PIECE_LEN: u32 = 32 * 1024;

/// See [`INFO_HASH`].
pub const SIZE_BYTES: u64 = 15 * PIECE_LEN as u64 + 20_000;

/// Connections of ours, each with a scripted peer at its other end, in virtual time.
#[derive(Default)]
pub struct Sim {
    now: Moment,
    peers: Vec<Scripted>,
}

/// A scripted peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScriptedId(usize);

/// What happens at a moment of a script.
pub enum Act {
    /// The peer sends bytes, which arrive at once, in one segment.
    Says(Vec<u8>),
    /// The peer closes.
    Closes,
    /// We call our machine.
    We(Call),
}

/// A call into our machine.
pub type Call = Box<dyn FnOnce(&mut PeerConn, Moment)>;

impl From<Vec<u8>> for Act {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Says(bytes)
    }
}

struct Scripted {
    conn: PeerConn,
    inlet: Inlet,
    script: VecDeque<(Moment, Act)>,
    log: Log,
}

#[derive(Default)]
struct Log {
    events: Vec<Event>,
    timed: Vec<(Moment, Event, Span)>,
    sent: Vec<Transmit>,
    payload: Vec<u8>,
    carried_most: usize,
    now: Moment,
}

impl PeerWorld for Log {
    fn payload(&mut self, part: Part<'_>) {
        self.payload.extend_from_slice(part.bytes);
    }

    fn transmit(&mut self, what: Transmit) {
        self.sent.push(what);
    }

    fn event(&mut self, _conn: &mut PeerConn, event: Event, span: Span) {
        self.timed.push((self.now, event.clone(), span));
        self.events.push(event);
    }
}

impl Sim {
    /// Connects to a peer that sends these bytes at these moments, and nothing else.
    pub fn scripted_peer<A: Into<Act>>(
        &mut self,
        script: impl IntoIterator<Item = (Moment, A)>,
    ) -> ScriptedId {
        self.scripted_peer_with(config(), script)
    }

    /// The same, with another configuration of our end.
    pub fn scripted_peer_with<A: Into<Act>>(
        &mut self,
        config: PeerConfig,
        script: impl IntoIterator<Item = (Moment, A)>,
    ) -> ScriptedId {
        let mut script: Vec<(Moment, Act)> = script
            .into_iter()
            .map(|(at, act)| (at, act.into()))
            .collect();
        script.sort_by_key(|(at, _)| *at);
        let mut peer = Scripted {
            conn: PeerConn::new(config, self.now),
            inlet: Inlet::default(),
            script: script.into(),
            log: Log {
                now: self.now,
                ..Log::default()
            },
        };
        settle(&mut peer.conn, Span::default(), &mut peer.log);
        self.peers.push(peer);
        ScriptedId(self.peers.len() - 1)
    }

    /// Lets time pass.
    pub fn run_until(&mut self, until: Moment) {
        for peer in &mut self.peers {
            while peer.step(until) {}
        }
        self.now = self.now.max(until);
    }

    /// What our machine said of a peer.
    pub fn events(&self, peer: ScriptedId) -> &[Event] {
        &self.peers[peer.0].log.events
    }

    /// The same, with times and the bytes of the stream that it follows from.
    pub fn timed_events(&self, peer: ScriptedId) -> &[(Moment, Event, Span)] {
        &self.peers[peer.0].log.timed
    }

    /// What our machine sent to a peer.
    pub fn sent(&self, peer: ScriptedId) -> &[Transmit] {
        &self.peers[peer.0].log.sent
    }

    /// The message bytes that our machine sent to a peer, without blocks.
    pub fn sent_bytes(&self, peer: ScriptedId) -> Vec<u8> {
        let parts = self.sent(peer).iter().map(|what| match what {
            Transmit::Bytes(bytes) => bytes.as_slice(),
            Transmit::Block(_) => &[],
        });
        parts.flatten().copied().collect()
    }

    /// Payload that came and was asked for.
    pub fn payload(&self, peer: ScriptedId) -> &[u8] {
        &self.peers[peer.0].log.payload
    }

    /// The most bytes of unfinished messages that were kept at any time.
    pub fn carried_most(&self, peer: ScriptedId) -> usize {
        self.peers[peer.0].log.carried_most
    }

    /// Our machine.
    pub fn conn(&self, peer: ScriptedId) -> &PeerConn {
        &self.peers[peer.0].conn
    }
}

impl Scripted {
    /// The next thing not after `until`; `false` if there is none.
    fn step(&mut self, until: Moment) -> bool {
        let timer = self.conn.poll_timeout().map(|(at, _)| at);
        let act = self.script.front().map(|&(at, _)| at);
        let Some(at) = timer.into_iter().chain(act).min().filter(|&at| at <= until) else {
            return false;
        };
        self.log.now = self.log.now.max(at);
        let now = self.log.now;
        if act == Some(at) {
            match self.script.pop_front() {
                Some((_, Act::Says(bytes))) => {
                    self.inlet.feed(&mut self.conn, &bytes, now, &mut self.log);
                    self.log.carried_most = self.log.carried_most.max(self.inlet.carried());
                }
                Some((_, Act::Closes)) => self.conn.handle_end(now),
                Some((_, Act::We(call))) => call(&mut self.conn, now),
                None => {}
            }
        } else {
            self.conn.handle_timeout(now);
        }
        settle(&mut self.conn, Span::default(), &mut self.log);
        true
    }
}

/// Our end of scripts: outgoing, fast and extension protocol spoken, nothing held.
pub fn config() -> PeerConfig {
    PeerConfig {
        info_hashes: INFO_HASH.into(),
        info_hash: INFO_HASH,
        peer_id: PeerId(*b"-SK0001-ours--------"),
        reserved: Reserved::OURS,
        sizes: PieceSizes::uniform(PIECE_LEN, SIZE_BYTES),
        ext: None,
        outgoing: true,
        have: None,
    }
}

/// A handshake for [`INFO_HASH`] without any extension.
pub fn handshake(peer_id: &[u8; 20]) -> Vec<u8> {
    handshake_with(peer_id, Reserved::default())
}

/// A handshake for [`INFO_HASH`].
pub fn handshake_with(peer_id: &[u8; 20], reserved: Reserved) -> Vec<u8> {
    let peer_id = PeerId(*peer_id);
    Handshake {
        reserved,
        info_hash: INFO_HASH,
        peer_id,
    }
    .encode()
    .to_vec()
}

/// Bytes from hexadecimal digits; blanks are ignored.
///
/// # Panics
///
/// On anything else: it is for tests.
pub fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .chars()
        .filter(|char| !char.is_whitespace())
        .map(|char| char.to_digit(16).expect("a hexadecimal digit") as u8)
        .collect();
    assert!(digits.len().is_multiple_of(2), "whole bytes");
    digits
        .chunks(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect()
}

/// Cuts a stream into segments at random.
pub fn segments(bytes: &[u8], seed: u64) -> Vec<Vec<u8>> {
    let mut rng = Rng::new(seed);
    let mut rest = bytes;
    let mut out = Vec::new();
    while !rest.is_empty() {
        let longest = [1, 3, 20, 100, 20_000][rng.below(5) as usize].min(rest.len());
        let (segment, after) = rest.split_at(1 + rng.below(longest as u64) as usize);
        out.push(segment.to_vec());
        rest = after;
    }
    out
}
