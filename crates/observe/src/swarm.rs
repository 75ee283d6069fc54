//! A swarm that the run watches: its torrent, and the table of the endpoints that somebody named.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use skep_evidence::{
    grade::{Verified, Whole},
    journal::ConnId,
    record::{NamedBy, Source, TargetIndex},
};
use skep_wire::{Bitfield, Moment, PieceIndex};

use crate::Target;

/// How many endpoints of one swarm are kept. A larger swarm is watched in part, and the record says
/// so.
pub const ENDPOINTS_PER_TARGET_MAX: usize = 20_000;

/// How many sources are remembered, and recorded, for one endpoint. In a swarm of 200 that all know
/// one another every endpoint is named by some 200; a few dozen say as much.
pub const NAMERS_PER_ENDPOINT_MAX: usize = 32;

/// Seconds after which a source that names an endpoint again is recorded again.
pub const NAMED_AGAIN_SECS: u64 = 3_600;

/// The longest time between two visits to an endpoint that fails, in seconds.
pub const BACKOFF_SECS_MAX: u64 = 3_600;

/// Somebody named an endpoint.
pub(crate) struct Naming {
    pub(crate) endpoint: SocketAddr,
    pub(crate) namer: Namer,
    pub(crate) by: NamedBy,
    pub(crate) source: Option<Source>,
}

/// A source of endpoints, for knowing it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Namer {
    /// A tracker, by its place among the target's trackers.
    Tracker(u32),
    /// The peer at this address.
    Pex(SocketAddr),
    /// The incoming connection from this address.
    ListenPort(SocketAddr),
    /// The operator.
    Operator,
}

/// What naming an endpoint led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Named {
    /// It is new, or named by a new source or again after [`NAMED_AGAIN_SECS`]: to be recorded.
    Listed {
        /// Whether it is new and shall be contacted.
        contact: bool,
    },
    /// Nothing that is not recorded already.
    Known,
    /// There is no room for it, or for the source: the limit by name.
    Full(&'static str, usize),
}

/// A swarm.
pub(crate) struct Swarm {
    pub(crate) index: TargetIndex,
    pub(crate) target: Target,
    pub(crate) endpoints: BTreeMap<SocketAddr, Endpoint>,
}

/// An endpoint that somebody named.
#[derive(Default)]
pub(crate) struct Endpoint {
    named: BTreeMap<Namer, Moment>,
    /// The place in the order in which endpoints were first named.
    pub(crate) order: u64,
    /// The connection that stands or is being made.
    pub(crate) conn: Option<ConnId>,
    /// Whether its turn came while it was visited in the other swarm of a hybrid: it is when that visit ends.
    pub(crate) held_back: bool,
    /// Whether a visit to it had a handshake.
    pub(crate) joined: bool,
    /// Visits in a row that ended without a handshake.
    pub(crate) failures: u32,
    /// What is known from visits; moved into the visit while one lasts.
    pub(crate) memory: Memory,
}

/// What is remembered of an endpoint from one visit to the next.
#[derive(Default)]
pub(crate) struct Memory {
    /// How many visits were made.
    pub(crate) visits: u32,
    /// What it last claimed, and when it was last heard to claim something.
    pub(crate) claims: Option<(Bitfield, Moment)>,
    /// The pieces that it delivered verified.
    pub(crate) verified: BTreeMap<PieceIndex, Verified>,
    /// Whether `Whole` is recorded.
    pub(crate) whole: bool,
}

impl Memory {
    /// Notes a verified piece; returns the grade `Whole` when it was the last that was missing.
    pub(crate) fn verify(&mut self, verified: Verified, piece_count: u32) -> Option<Whole> {
        self.verified.insert(*verified.piece().get(), verified);
        if self.whole || self.verified.len() as u64 != u64::from(piece_count) {
            return None;
        }
        // The grade speaks of the connection on which the last piece came: this one.
        let piece = verified.piece();
        let before = self
            .verified
            .iter()
            .filter(|(index, _)| *index != piece.get());
        let all: Vec<Verified> = before.map(|(_, other)| *other).chain([verified]).collect();
        let whole = Whole::from_pieces(&all).ok()?;
        self.whole = true;
        Some(whole)
    }
}

impl Swarm {
    pub(crate) fn new(index: TargetIndex, target: Target) -> Self {
        Self {
            index,
            target,
            endpoints: BTreeMap::new(),
        }
    }

    /// Notes that `namer` named `endpoint`.
    pub(crate) fn name(&mut self, endpoint: SocketAddr, namer: Namer, now: Moment) -> Named {
        let full = self.endpoints.len() >= ENDPOINTS_PER_TARGET_MAX;
        let order = self.endpoints.len() as u64;
        let contact = !self.endpoints.contains_key(&endpoint);
        if contact && full {
            return Named::Full("ENDPOINTS_PER_TARGET_MAX", ENDPOINTS_PER_TARGET_MAX);
        }
        let known = self.endpoints.entry(endpoint).or_insert_with(|| Endpoint {
            order,
            ..Endpoint::default()
        });
        match known.named.get(&namer) {
            Some(last) if now.since(*last) < Duration::from_secs(NAMED_AGAIN_SECS) => {
                return Named::Known;
            }
            Some(_) => {}
            None if known.named.len() >= NAMERS_PER_ENDPOINT_MAX => {
                return Named::Full("NAMERS_PER_ENDPOINT_MAX", NAMERS_PER_ENDPOINT_MAX);
            }
            None => {}
        }
        known.named.insert(namer, now);
        Named::Listed {
            contact: contact && may_be_contacted(endpoint),
        }
    }
}

impl Endpoint {
    /// Whether it takes part in the swarm, has delivered nothing on a visit, and is not being
    /// visited: many clients allow an address one connection, and so turn us away while they have
    /// one to us.
    pub(crate) fn turned_us_away(&self) -> bool {
        self.joined && self.conn.is_none() && self.memory.verified.is_empty()
    }

    /// How long to wait until the next visit.
    pub(crate) fn pause(&self, revisit_secs: u32) -> Duration {
        let secs = u64::from(revisit_secs.max(1)) << self.failures.saturating_sub(1).min(12);
        let longest = BACKOFF_SECS_MAX.max(u64::from(revisit_secs));
        Duration::from_secs(secs.min(longest))
    }
}

/// Whether an address can be an endpoint at all.
fn may_be_contacted(endpoint: SocketAddr) -> bool {
    let ip = endpoint.ip();
    let broadcast = matches!(ip, IpAddr::V4(v4) if v4.is_broadcast());
    endpoint.port() != 0 && !ip.is_unspecified() && !ip.is_multicast() && !broadcast
}
