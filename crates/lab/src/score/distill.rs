//! From the lines of a truth log to what was true of each endpoint towards one observer.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
};

use serde::Serialize;
use skep_evidence::grade::Grade;
use skep_wire::{PieceIndex, piece::blocks_of};

use super::{Acts, Sighting};
use crate::truth::{Act, Line, What};

/// What a truth log says, as far as one observer could have seen it.
#[derive(Debug, Clone, Default)]
pub struct Truth {
    /// Every actor by its name.
    pub actors: BTreeMap<String, ActorTruth>,
    /// For each endpoint and grade, when the act happened.
    pub grades: Acts<SocketAddr>,
    /// The same act by act, for each connection with the observer.
    pub sightings: Acts<Sighting>,
    /// How many pieces the work has.
    pub piece_count: u32,
}

/// An actor and its stays.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ActorTruth {
    /// What it is.
    pub role: String,
    /// Whether it keeps to the protocol.
    pub honest: bool,
    /// Every endpoint of it that the observer could have met: where it listened, and its own end
    /// of each connection with the observer.
    pub endpoints: BTreeSet<SocketAddr>,
    /// When it was up.
    pub stays: Vec<Stay>,
    /// When it gained each piece.
    pub has: BTreeMap<u32, i64>,
    /// The greatest number of pieces that it told the observer it has.
    pub pieces_claimed_max: Option<u32>,
}

/// One stay of an actor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stay {
    /// From here.
    pub from_us: i64,
    /// To here; `None` if it never left.
    pub to_us: Option<i64>,
}

/// How far claims agree with what the claimants held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Worth {
    /// Actors that claimed what they held.
    pub agree: u32,
    /// Actors that claimed more.
    pub over: u32,
    /// Actors that claimed less.
    pub under: u32,
}

/// The lines do not begin as a truth log does.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a truth log begins with its stage, this one does not")]
pub struct NotATruthLog;

/// What one connection with the observer has shown so far.
#[derive(Debug, Default)]
struct Conn {
    joined: bool,
    set: BTreeSet<u32>,
    blocks: BTreeMap<u32, BTreeSet<u32>>,
}

impl Truth {
    /// Reads `lines`, keeping what concerns the observer at `observer`.
    ///
    /// # Errors
    ///
    /// [`NotATruthLog`] if the first line sets no stage.
    pub fn distill(lines: &[Line], observer: IpAddr) -> Result<Self, NotATruthLog> {
        let Some(Line {
            act:
                Act::Stage {
                    info_hash,
                    size_bytes,
                    piece_len,
                    piece_count,
                },
            ..
        }) = lines.first()
        else {
            return Err(NotATruthLog);
        };
        let stage = StageTruth {
            info_hash: info_hash.clone(),
            size_bytes: *size_bytes,
            piece_len: *piece_len,
        };
        let mut truth = Self {
            piece_count: *piece_count,
            ..Self::default()
        };
        let mut conns = BTreeMap::new();
        let mut whole = BTreeMap::new();
        // Actors write from many threads: times, not places in the file, say what came first.
        let mut lines: Vec<_> = lines.iter().collect();
        lines.sort_by_key(|line| line.utc_us);
        for line in lines {
            truth.take(line, &stage, observer, &mut conns, &mut whole);
        }
        Ok(truth)
    }

    /// How far claims agree with what the claimants held when all was over. Counted over the actors
    /// that claimed anything to the observer.
    pub fn worth(&self) -> Worth {
        let mut worth = Worth::default();
        for actor in self.actors.values() {
            let held = u32::try_from(actor.has.len()).unwrap_or(u32::MAX);
            match actor.pieces_claimed_max.map(|claimed| claimed.cmp(&held)) {
                None => {}
                // An honest downloader gains pieces after it has last told the observer.
                Some(std::cmp::Ordering::Less) if actor.honest => worth.agree += 1,
                Some(std::cmp::Ordering::Less) => worth.under += 1,
                Some(std::cmp::Ordering::Equal) => worth.agree += 1,
                Some(std::cmp::Ordering::Greater) => worth.over += 1,
            }
        }
        worth
    }

    fn take(
        &mut self,
        line: &Line,
        stage: &StageTruth,
        observer: IpAddr,
        conns: &mut BTreeMap<(SocketAddr, SocketAddr), Conn>,
        whole: &mut BTreeMap<SocketAddr, BTreeSet<u32>>,
    ) {
        let at = line.utc_us;
        let actor = self.actors.entry(line.actor.clone()).or_default();
        match &line.act {
            Act::Stage { .. } | Act::Lists { .. } | Act::Receives { .. } => {}
            Act::Enters {
                role,
                honest,
                endpoint,
            } => {
                actor.role.clone_from(role);
                actor.honest = *honest;
                actor.endpoints.insert(*endpoint);
                actor.stays.push(Stay {
                    from_us: at,
                    to_us: None,
                });
            }
            Act::Leaves => {
                if let Some(stay) = actor.stays.last_mut() {
                    stay.to_us = Some(at);
                }
            }
            Act::Has { piece } => {
                actor.has.entry(*piece).or_insert(at);
            }
            // What counts is what the observer was told, not what else is on the list.
            Act::Names { to, endpoints } if to.ip() == observer => {
                endpoints
                    .iter()
                    .for_each(|endpoint| self.grade(*endpoint, Grade::Listed, at));
            }
            Act::Connects { local, remote } | Act::Accepts { local, remote }
                if remote.ip() == observer =>
            {
                actor.endpoints.insert(*local);
                conns.insert((*local, *remote), Conn::default());
                self.grade(*local, Grade::Reached, at);
                self.sight(
                    Sighting::Reached {
                        peer: *local,
                        observer: *remote,
                    },
                    at,
                );
            }
            Act::Sends {
                local,
                remote,
                what,
                ..
            } if remote.ip() == observer => {
                let conn = conns.entry((*local, *remote)).or_default();
                let ends = (*local, *remote);
                let sent = Sent { ends, what, at };
                if let Some(claimed) = claims(conn, what) {
                    let max = actor.pieces_claimed_max.get_or_insert(0);
                    *max = claimed.max(*max);
                }
                self.take_sent(&sent, stage, conn, whole.entry(*local).or_default());
            }
            Act::Names { .. }
            | Act::Connects { .. }
            | Act::Accepts { .. }
            | Act::Sends { .. }
            | Act::Closes { .. } => {}
        }
    }

    fn take_sent(
        &mut self,
        sent: &Sent<'_>,
        stage: &StageTruth,
        conn: &mut Conn,
        whole: &mut BTreeSet<u32>,
    ) {
        let (peer, observer) = sent.ends;
        match sent.what {
            What::Handshake { info_hash } if *info_hash == stage.info_hash => {
                conn.joined = true;
                self.grade(peer, Grade::Joined, sent.at);
                self.sight(Sighting::Joined { peer, observer }, sent.at);
            }
            What::Set { pieces } if conn.joined => {
                self.grade(peer, Grade::Claimed, sent.at);
                self.sight(
                    Sighting::Set {
                        peer,
                        observer,
                        pieces: *pieces,
                    },
                    sent.at,
                );
            }
            What::Have { piece } if conn.joined && *piece < self.piece_count => {
                self.grade(peer, Grade::Claimed, sent.at);
                self.sight(
                    Sighting::Have {
                        peer,
                        observer,
                        piece: *piece,
                    },
                    sent.at,
                );
            }
            What::Block {
                piece,
                begin,
                genuine,
                ..
            } if conn.joined => {
                self.grade(peer, Grade::Delivered, sent.at);
                let block = Sighting::Block {
                    peer,
                    observer,
                    piece: *piece,
                    begin: *begin,
                };
                self.sight(block, sent.at);
                let blocks = conn.blocks.entry(*piece).or_default();
                if *genuine == Some(true) {
                    blocks.insert(*begin);
                } else {
                    blocks.remove(begin);
                }
                if stage.is_whole(*piece, blocks) {
                    self.grade(peer, Grade::Verified, sent.at);
                    self.sight(
                        Sighting::Piece {
                            peer,
                            observer,
                            piece: *piece,
                        },
                        sent.at,
                    );
                    whole.insert(*piece);
                    if whole.len() as u64 == u64::from(self.piece_count) {
                        self.grade(peer, Grade::Whole, sent.at);
                        self.sight(Sighting::Whole { peer }, sent.at);
                    }
                }
            }
            What::Handshake { .. }
            | What::Set { .. }
            | What::Have { .. }
            | What::Block { .. }
            | What::Echo
            | What::Request { .. }
            | What::Message { .. }
            | What::Http
            | What::Raw => {}
        }
    }

    fn grade(&mut self, endpoint: SocketAddr, grade: Grade, at: i64) {
        self.grades.entry((endpoint, grade)).or_default().push(at);
    }

    fn sight(&mut self, sighting: Sighting, at: i64) {
        let grade = sighting.grade();
        self.sightings
            .entry((sighting, grade))
            .or_default()
            .push(at);
    }
}

/// Something that an actor sent to the observer.
struct Sent<'a> {
    ends: (SocketAddr, SocketAddr),
    what: &'a What,
    at: i64,
}

/// What the swarm shares.
struct StageTruth {
    info_hash: String,
    size_bytes: u64,
    piece_len: u32,
}

impl StageTruth {
    /// Whether `begins` are all the blocks of `piece`.
    fn is_whole(&self, piece: u32, begins: &BTreeSet<u32>) -> bool {
        let from = u64::from(piece) * u64::from(self.piece_len);
        let left = self
            .size_bytes
            .saturating_sub(from)
            .min(u64::from(self.piece_len));
        let size = u32::try_from(left).unwrap_or(self.piece_len);
        size > 0 && blocks_of(PieceIndex(piece), size).all(|block| begins.contains(&block.begin))
    }
}

/// How many pieces the actor has claimed on this connection, once `what` is sent.
fn claims(conn: &mut Conn, what: &What) -> Option<u32> {
    match what {
        What::Set { pieces } => {
            conn.set = (0..*pieces).collect();
            Some(*pieces)
        }
        What::Have { piece } => {
            conn.set.insert(*piece);
            u32::try_from(conn.set.len()).ok()
        }
        What::Handshake { .. }
        | What::Echo
        | What::Request { .. }
        | What::Block { .. }
        | What::Message { .. }
        | What::Http
        | What::Raw => None,
    }
}
