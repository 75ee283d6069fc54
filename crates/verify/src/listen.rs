//! The retained bytes, read again by code that knows nothing of the machine: what was asked, what came,
//! what it hashes to.
//!
//! An [`Ear`] follows each direction of a connection message by message. Every passage that a record
//! points at is read from the capture and hashed; every grade that a record states is made again
//! from the bytes by the constructors of `skep_evidence::grade`, which know no other way.

mod ear;

use std::collections::BTreeMap;

use skep_evidence::{
    file::Files,
    grade::{CheckFailed, Claimed, Delivered, Joined, NotVerified, Reached, Recorded, Verified},
    journal::{ConnId, Entry, Input},
    record::{Attack, Body, ClaimKind, Record, Source},
};
use skep_hash::sha256;
use skep_observe::Target;
use skep_wire::{
    Bitfield, Block, Checked, InfoHash, NotChecked, PieceIndex, Said,
    metainfo::{PieceDigests, PieceHashes},
    peer::{Handshake, PIECE_HEADER_LEN},
};

use self::ear::Ear;
use crate::{
    Failure, replay,
    stream::{PassageError, Streams},
};

/// What was done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Passages hashed.
    pub passages: u64,
    /// Handshakes compared.
    pub joined: u64,
    /// Claims counted again.
    pub claims: u64,
    /// Blocks found.
    pub delivered: u64,
    /// Blocks that came before our request for them had left: the peer knew what we would ask for.
    pub early: u64,
    /// Pieces put together, hashed and found to be the torrent's.
    pub verified: u64,
    /// Pieces hashed and found not to be.
    pub refuted: u64,
    /// Handshakes that could not be compared with ours because none of ours was queued before the end.
    pub joined_unanswered: u64,
}

/// Reads a run's bytes as they come, and judges its records by them.
pub struct Listener<'a> {
    files: &'a dyn Files,
    capture: String,
    torrents: BTreeMap<InfoHash, Target>,
    streams: Streams,
    conns: BTreeMap<ConnId, Conn>,
    attempts: BTreeMap<ConnId, u64>,
    /// The first connection on which we sent a `piece` message.
    pub(crate) payload_sent: Option<ConnId>,
    /// What was done.
    pub counts: Counts,
}

/// How many pieces a record says are claimed.
enum Claim {
    Set(u32),
    Gain(u32),
}

/// A connection that stands.
struct Conn {
    opened: Entry,
    theirs: Ear,
    ours: Ear,
    /// What we meant to send: the system may take it a moment later.
    queued: Ear,
    reached: Option<Recorded<Reached>>,
    joined: Option<(Recorded<Joined>, Option<Joined>)>,
    /// Blocks of pieces without a verdict, each with the place of its payload in the stream.
    delivered: BTreeMap<PieceIndex, Vec<(Delivered, u64)>>,
}

impl<'a> Listener<'a> {
    /// Begins before the first entry; `capture` is the path of the run's capture.
    pub fn new(files: &'a dyn Files, capture: String, targets: &[Target]) -> Self {
        let torrent = |target: &Target| (target.info_hash, target.clone());
        Self {
            files,
            capture,
            torrents: targets.iter().map(torrent).collect(),
            streams: Streams::default(),
            conns: BTreeMap::new(),
            attempts: BTreeMap::new(),
            payload_sent: None,
            counts: Counts::default(),
        }
    }

    /// The record that a connection was attempted, or a tracker asked on it.
    pub(crate) fn attempted_at(&self, conn: ConnId) -> Option<u64> {
        self.attempts.get(&conn).copied()
    }

    /// Takes an entry of the journal with its bytes.
    pub fn entry(&mut self, entry: &Entry, bytes: &[u8]) {
        match entry.input {
            Input::Opened { conn, .. } | Input::Incoming { conn, .. } => {
                debug_assert!(
                    replay::opens(&entry.input),
                    "the two lists of opening entries agree"
                );
                self.conns.insert(conn, Conn::new(entry.clone()));
            }
            Input::Received { conn, capture, len } => {
                self.streams.received(conn, capture, len);
                if let Some(conn) = self.conns.get_mut(&conn) {
                    conn.theirs.feed(bytes, &self.torrents);
                }
            }
            Input::Sent { conn, .. } => {
                if let Some(known) = self.conns.get_mut(&conn) {
                    known.ours.feed(bytes, &self.torrents);
                    if !known.ours.arrived.is_empty() {
                        self.payload_sent.get_or_insert(conn);
                    }
                }
            }
            Input::Datagram { capture, .. } => self.streams.datagram(capture),
            Input::Clock(_)
            | Input::Timeout
            | Input::Resolved { .. }
            | Input::Failed { .. }
            | Input::Ended { .. }
            | Input::DatagramSent { .. }
            | Input::Stop => {}
        }
    }

    /// Takes what is to be sent because of the last entry.
    pub fn queued(&mut self, conn: ConnId, bytes: &[u8]) {
        if let Some(conn) = self.conns.get_mut(&conn) {
            conn.queued.feed(bytes, &self.torrents);
        }
    }

    /// Judges a record of the ledger by the bytes that came until then.
    ///
    /// # Errors
    ///
    /// [`Failure`] naming the record.
    pub fn record(&mut self, index: u64, record: &Record) -> Result<(), Failure> {
        if let Some(source) = source_of(&record.body) {
            self.check_passage(index, source)?;
        }
        match &record.body {
            Body::Attempted { conn, .. }
            | Body::TrackerAsked {
                conn: Some(conn), ..
            } => {
                self.attempts.insert(*conn, index);
            }
            Body::Reached { conn, .. } => self.check_reached(index, record, *conn)?,
            Body::Joined { conn, .. } => {
                let conn = self.conn(index, *conn)?;
                let reached = conn
                    .reached
                    .ok_or(no_bytes(index, "joined, but not reached"))?;
                let recorded = Recorded::<Joined>::read(index, record, &reached)
                    .ok_or(no_bytes(index, "joined on another connection than reached"))?;
                conn.joined = Some((recorded, None));
            }
            Body::ClaimedSet {
                how: ClaimKind::UploadOnly,
                ..
            } => {}
            Body::ClaimedSet {
                conn,
                pieces,
                source,
                ..
            } => {
                self.check_claim(index, *conn, Claim::Set(*pieces), source)?;
            }
            Body::ClaimedGain {
                conn,
                pieces,
                source,
                ..
            } => {
                self.check_claim(index, *conn, Claim::Gain(*pieces), source)?;
            }
            Body::Delivered {
                conn,
                block,
                source,
            } => {
                self.check_delivered(index, *conn, *block, source)?;
            }
            Body::Verified { conn, piece, .. } => {
                self.check_verified(index, record, *conn, *piece)?;
            }
            &Body::Refuted {
                conn,
                piece,
                expected: sha1,
                got,
                expected_root: root,
                got_root,
                attack,
            } => {
                let expected = PieceDigests { sha1, root };
                let got = PieceDigests {
                    sha1: got,
                    root: got_root,
                };
                self.check_refuted(index, conn, piece, (expected, got, attack))?;
            }
            Body::Closed { conn, .. } => self.close(*conn)?,
            // No more than their passages can be judged by bytes: the replay makes the machine's records
            // again, and `run` judges those about the run.
            Body::RunStarted { .. }
            | Body::Target { .. }
            | Body::Clock { .. }
            | Body::TrackerAsked { conn: None, .. }
            | Body::TrackerAnswered { .. }
            | Body::TrackerFailed { .. }
            | Body::Listed { .. }
            | Body::AttemptFailed { .. }
            | Body::Extended { .. }
            | Body::Offers { .. }
            | Body::PieceAsked { .. }
            | Body::Refused { .. }
            | Body::Whole { .. }
            | Body::Violated { .. }
            | Body::Limited { .. }
            | Body::Stalled { .. }
            | Body::Mark { .. }
            | Body::RunCut { .. }
            | Body::RunEnded { .. }
            | Body::Unknown { .. } => {}
        }
        Ok(())
    }

    /// The run is over: judges the handshakes of connections that were not closed.
    ///
    /// # Errors
    ///
    /// As [`Listener::record`].
    pub fn finish(&mut self) -> Result<(), Failure> {
        let open: Vec<ConnId> = self.conns.keys().copied().collect();
        open.into_iter().try_for_each(|conn| self.close(conn))
    }

    fn conn(&mut self, index: u64, conn: ConnId) -> Result<&mut Conn, Failure> {
        let none = || {
            no_bytes(
                index,
                "its connection never stood, as far as the journal says",
            )
        };
        self.conns.get_mut(&conn).ok_or_else(none)
    }

    fn check_passage(&mut self, index: u64, source: &Source) -> Result<(), Failure> {
        let wrong = |what: String| Failure::Passage {
            index,
            offset: source.capture.0,
            len: source.len,
            what,
        };
        let place = (source.capture, source.stream, source.len);
        let bytes = self.streams.passage(self.files, &self.capture, place);
        let bytes = bytes.map_err(|error| wrong(error.to_string()))?;
        let got = sha256(&bytes);
        if got != source.digest {
            return Err(wrong(format!(
                "hash to {got}, the record says {}",
                source.digest
            )));
        }
        self.counts.passages += 1;
        Ok(())
    }

    fn check_reached(&mut self, index: u64, record: &Record, conn: ConnId) -> Result<(), Failure> {
        let conn = self.conn(index, conn)?;
        if let Some(recorded) = Recorded::<Reached>::read(index, record) {
            recorded.check(&conn.opened)?;
            conn.reached = Some(recorded);
        }
        Ok(())
    }

    /// How many pieces it claimed after the message that the record points at. A late set is many
    /// gains, one after the other: each of them is between what it claimed before and after.
    fn check_claim(
        &mut self,
        index: u64,
        conn: ConnId,
        claim: Claim,
        source: &Source,
    ) -> Result<(), Failure> {
        let conn = self.conn(index, conn)?;
        let end = source.stream + u64::from(source.len);
        let what = "no message that claims pieces ends where it points";
        let (before, after) = *conn.theirs.claims.get(&end).ok_or(no_bytes(index, what))?;
        let (recorded, holds) = match claim {
            Claim::Set(pieces) => (pieces, pieces == after),
            Claim::Gain(pieces) => (pieces, (before + 1..=after).contains(&pieces)),
        };
        if !holds {
            let set = after;
            return Err(CheckFailed::OtherClaim {
                index,
                recorded,
                set,
            }
            .into());
        }
        self.counts.claims += 1;
        Ok(())
    }

    fn check_delivered(
        &mut self,
        index: u64,
        conn_id: ConnId,
        block: Block,
        source: &Source,
    ) -> Result<(), Failure> {
        let payload_at = source.stream + PIECE_HEADER_LEN as u64;
        let conn = self.conns.get_mut(&conn_id);
        let conn = conn.ok_or(no_bytes(index, "its connection never stood"))?;
        let joined = conn.join(index, &mut self.counts)?;
        let arrived = conn.theirs.arrived.remove(&payload_at);
        let arrived = arrived.ok_or(no_bytes(index, "no block begins where it points"))?;
        let asked = conn.queued.asked.take(&block);
        if !conn.ours.asked.remove(&block) {
            self.counts.early += 1;
        }
        let asked = asked.ok_or(no_bytes(index, "the block was not asked for"))?;
        let set = conn
            .theirs
            .set
            .clone()
            .unwrap_or_else(|| Bitfield::empty(0));
        let claimed = Claimed::from_set(joined, &Said(set));
        let place = (payload_at, block.len);
        let payload = self.streams.read(self.files, &self.capture, conn_id, place);
        let payload = payload.map_err(|error| passage(index, source, &error))?;
        let delivered = Delivered::from_payload(claimed, asked, arrived, &payload)
            .map_err(|error| no_bytes(index, &error.to_string()))?;
        // A piece that was given up half-way and asked for again on the same connection is judged by
        // the blocks that came last: all of them were asked for again.
        let blocks = conn.delivered.entry(block.piece).or_default();
        blocks.retain(|(earlier, _)| earlier.block() != block);
        blocks.push((delivered, payload_at));
        self.counts.delivered += 1;
        Ok(())
    }

    /// The bytes of a piece, its blocks, and what the torrent says of it.
    fn piece(
        &mut self,
        index: u64,
        conn_id: ConnId,
        piece: PieceIndex,
    ) -> Result<(Vec<Delivered>, Vec<u8>, PieceHashes), Failure> {
        let conn = self.conns.get_mut(&conn_id);
        let conn = conn.ok_or(no_bytes(index, "its connection never stood"))?;
        let mut blocks = conn.delivered.remove(&piece).unwrap_or_default();
        blocks.sort_by_key(|(delivered, _)| delivered.block());
        let torrent = conn
            .theirs
            .info_hash
            .and_then(|hash| self.torrents.get(&hash));
        let torrent = torrent.ok_or(no_bytes(index, "its swarm is not among the targets"))?;
        let expected = torrent
            .piece_hashes(piece)
            .ok_or(no_bytes(index, "the torrent has no such piece"))?;
        let mut bytes = Vec::new();
        for (delivered, at) in &blocks {
            let place = (*at, delivered.block().len);
            let payload = self.streams.read(self.files, &self.capture, conn_id, place);
            bytes.extend(payload.map_err(|error| no_bytes(index, &error.to_string()))?);
        }
        let whole = torrent.piece_size(piece) as usize;
        if bytes.len() != whole {
            let (got, expected) = (bytes.len() as u64, whole as u64);
            let why = NotVerified::Gap { got, expected };
            return Err(CheckFailed::NotVerified { index, why }.into());
        }
        Ok((
            blocks.into_iter().map(|(delivered, _)| delivered).collect(),
            bytes,
            expected,
        ))
    }

    fn check_verified(
        &mut self,
        index: u64,
        record: &Record,
        conn: ConnId,
        piece: PieceIndex,
    ) -> Result<(), Failure> {
        let (blocks, bytes, expected) = self.piece(index, conn, piece)?;
        let reached = self.conn(index, conn)?.reached;
        let reached = reached.ok_or(no_bytes(index, "verified, but not reached"))?;
        let recorded = Recorded::<Verified>::read(index, record, &reached).ok_or(no_bytes(
            index,
            "verified on another connection than reached",
        ))?;
        recorded.check(&blocks, &bytes, &expected)?;
        self.counts.verified += 1;
        Ok(())
    }

    fn check_refuted(
        &mut self,
        index: u64,
        conn: ConnId,
        piece: PieceIndex,
        said: (PieceDigests, PieceDigests, Option<Attack>),
    ) -> Result<(), Failure> {
        let (_, bytes, hashes) = self.piece(index, conn, piece)?;
        let expected = hashes.digests();
        let found = match Checked::piece((), &bytes, &hashes) {
            Ok(_) => (expected, expected, None),
            Err(NotChecked::Digest { got, expected }) => (expected, got, None),
            Err(NotChecked::Attack(_)) => (expected, expected, Some(Attack::Sha1Collision)),
        };
        let (_, got, attack) = found;
        if (got == expected && attack.is_none()) || found != said {
            let by = attack.map_or("", |_| " by a collision attack");
            let what = format!(
                "refuted piece {} hashes to {got}{by}, the torrent has {expected}",
                piece.0
            );
            return Err(Failure::NoBytes { index, what });
        }
        self.counts.refuted += 1;
        Ok(())
    }

    fn close(&mut self, conn: ConnId) -> Result<(), Failure> {
        let Some(mut conn) = self.conns.remove(&conn) else {
            return Ok(());
        };
        if let Some((recorded, None)) = &conn.joined {
            let index = recorded.index();
            if conn.queued.handshake().is_some() {
                conn.join(index, &mut self.counts)?;
            } else {
                self.counts.joined_unanswered += 1;
            }
        }
        Ok(())
    }
}

fn no_bytes(index: u64, what: &str) -> Failure {
    Failure::NoBytes {
        index,
        what: what.to_owned(),
    }
}

fn passage(index: u64, source: &Source, error: &PassageError) -> Failure {
    let what = error.to_string();
    Failure::Passage {
        index,
        offset: source.capture.0,
        len: source.len,
        what,
    }
}

impl Conn {
    fn new(opened: Entry) -> Self {
        Self {
            opened,
            theirs: Ear::default(),
            ours: Ear::default(),
            queued: Ear::default(),
            reached: None,
            joined: None,
            delivered: BTreeMap::new(),
        }
    }

    /// Compares the two handshakes, once.
    fn join(&mut self, index: u64, counts: &mut Counts) -> Result<Joined, Failure> {
        let none = |what: &str| no_bytes(index, what);
        let (recorded, checked) = self
            .joined
            .as_mut()
            .ok_or(none("its connection never joined"))?;
        if let Some(joined) = checked {
            return Ok(*joined);
        }
        let reached =
            Reached::from_entry(&self.opened).ok_or(none("its connection never stood"))?;
        let ours = self
            .queued
            .handshake()
            .ok_or(none("we queued no handshake"))?;
        let ours = Handshake::decode(ours).map_err(|error| none(&error.to_string()))?;
        let theirs = self
            .theirs
            .handshake()
            .ok_or(none("it sent no handshake"))?;
        let joined = recorded.check(reached, &ours, theirs)?;
        *checked = Some(joined);
        counts.joined += 1;
        Ok(joined)
    }
}

/// The passage that a record points at.
fn source_of(body: &Body) -> Option<&Source> {
    match body {
        Body::TrackerAnswered { source, .. }
        | Body::Joined { source, .. }
        | Body::Extended { source, .. }
        | Body::ClaimedSet { source, .. }
        | Body::ClaimedGain { source, .. }
        | Body::Offers { source, .. }
        | Body::Refused { source, .. }
        | Body::Delivered { source, .. } => Some(source),
        Body::Listed { source, .. } | Body::Violated { source, .. } => source.as_ref(),
        Body::RunStarted { .. }
        | Body::Target { .. }
        | Body::Clock { .. }
        | Body::TrackerAsked { .. }
        | Body::TrackerFailed { .. }
        | Body::Attempted { .. }
        | Body::AttemptFailed { .. }
        | Body::Reached { .. }
        | Body::PieceAsked { .. }
        | Body::Verified { .. }
        | Body::Refuted { .. }
        | Body::Whole { .. }
        | Body::Limited { .. }
        | Body::Stalled { .. }
        | Body::Closed { .. }
        | Body::Mark { .. }
        | Body::RunCut { .. }
        | Body::RunEnded { .. }
        | Body::Unknown { .. } => None,
    }
}
