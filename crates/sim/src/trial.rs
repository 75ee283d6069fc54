//! A swarm that a seed draws, and the judge of what became of it.
//!
//! The seed decides the torrent (version 1, version 2 or both), who takes part, how the network behaves and
//! who comes and goes. Honest peers of a hybrid know both its names or one of them, so that its two
//! swarms meet in those that know both. Then time runs, and these must hold:
//!
//! - every honest peer that is not gone for good completes before [`DEADLINE_SECS`];
//! - no piece counts as good whose bytes are not those of the content;
//! - no honest peer is banned by another, or held to break the protocol, and who sends much garbage is;
//! - no machine ever keeps more of anything than its limit says ([`Torrent::holdings`]), and no driver
//!   has more to keep for it than the limits in [`Fault::Keeps`].
//!
//! What it is not: a measure of speed. The limits of time are those beyond which somebody is starved.

use std::{collections::BTreeSet, fmt, net::IpAddr, ops::RangeInclusive, time::Duration};

#[cfg(doc)]
use skep_proto::torrent::Torrent;
use skep_proto::{
    peer::{EXTENDED_BYTES_MAX, InfoHashes},
    rng::Rng,
    torrent::TorrentConfig,
};
use skep_wire::{Bitfield, Moment, PieceIndex, metainfo::Version};

use crate::{
    Swarm,
    content::Content,
    honest::{Accusation, Honest, Setup, WAITING_BYTES_MAX},
    hostile::Kind,
    net::{HostId, NetConfig},
};

/// Seconds of virtual time in which every honest peer must complete. The slowest of a thousand took less
/// than three minutes.
pub const DEADLINE_SECS: u64 = 600;

/// Seconds of virtual time between looks at what the machines keep.
const LOOK_SECS: u64 = 5;

/// Seconds of virtual time in which peers come, vanish and come back.
const CHURN_SECS: u64 = 60;

/// What may wait for a peer that does not read: hashes up to the limit and one answer more, and what the
/// machine says besides in the minute until the driver gives the stream up.
const WAITING_MOST: u64 = WAITING_BYTES_MAX + 512 * 1024;

/// How many blocks of garbage a peer may send before somebody must know.
const GARBAGE_UNSEEN_MAX: u64 = 50;

/// How many connections an honest peer has at most.
const PEERS_MAX: usize = 20;

/// A swarm that runs.
#[derive(Debug)]
pub struct Trial {
    seed: u64,
    plan: Plan,
    swarm: Swarm,
    /// Who vanishes when, and comes back when, the latest first.
    churn: Vec<Vanishing>,
    /// Who does not come back.
    gone: Vec<HostId>,
}

/// What the seed has drawn, in words.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Of which version the torrent is.
    pub version: Version,
    /// How many pieces there are.
    pub pieces: u32,
    /// Length of a piece in bytes.
    pub piece_len: u32,
    /// How many files.
    pub files: usize,
    /// How many honest peers know the torrent by both names, by the first alone, by the second alone.
    pub honest: [usize; 3],
    /// Who is not honest.
    pub hostile: Vec<Kind>,
    /// How often somebody vanishes.
    pub vanishings: usize,
    /// Of a thousand segments so many are lost, of attempts fail, of streams stall.
    pub per_mille: [u64; 3],
    /// One-way latency in milliseconds, at most.
    pub latency_ms_max: u64,
}

#[derive(Debug)]
struct Vanishing {
    at: Moment,
    host: HostId,
    /// `None` for good.
    back: Option<Moment>,
}

/// What a trial came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Figures {
    /// Peers, hostile ones included.
    pub peers: u64,
    /// Nanoseconds of virtual time.
    pub virtual_nanos: u64,
    /// Messages that honest peers sent.
    pub sent: u64,
    /// Happenings of which hosts were told: streams, stretches of bytes, timers.
    pub happenings: u64,
    /// Honest peers' accusations of hostile ones.
    pub accusations: u64,
    /// Blocks that were fetched again because they alone were wrong in their pieces.
    pub refetched: u64,
    /// The most bytes that waited for one peer that did not read.
    pub waiting_bytes_max: u64,
}

impl Figures {
    /// Adds those of another trial.
    pub fn add(&mut self, other: &Self) {
        self.peers += other.peers;
        self.virtual_nanos += other.virtual_nanos;
        self.sent += other.sent;
        self.happenings += other.happenings;
        self.accusations += other.accusations;
        self.refetched += other.refetched;
        self.waiting_bytes_max = self.waiting_bytes_max.max(other.waiting_bytes_max);
    }
}

/// What is seen of an honest peer.
#[derive(Debug, Clone)]
pub struct Seen<'a> {
    /// Its host.
    pub host: HostId,
    /// The pieces that count as good and are not, or whose blocks were judged wrongly.
    pub wrong: &'a [PieceIndex],
    /// Whom it holds to be wrong.
    pub accusations: &'a [Accusation],
    /// What it and its driver keep: of what, how much, how much at most.
    pub kept: Vec<(&'static str, u64, u64)>,
}

impl<'a> Seen<'a> {
    /// What there is to see now.
    pub fn of(peer: &'a Honest) -> Self {
        let own = peer.torrent().holdings();
        let own = own.map(|kept| (kept.what, kept.count as u64, kept.most as u64));
        let carried = peer.carried_max() as u64;
        let waiting = peer.waiting_bytes_max();
        let of_driver = [
            ("buffers", peer.buffer_count() as u64, PARTIALS_MAX as u64),
            (
                "bytes of a message",
                carried,
                u64::from(EXTENDED_BYTES_MAX) + 4,
            ),
            ("bytes that wait", waiting, WAITING_MOST),
        ];
        Self {
            host: peer.host(),
            wrong: peer.wrong_pieces(),
            accusations: peer.accusations(),
            kept: own.chain(of_driver).collect(),
        }
    }
}

/// Judges what is seen of a peer among those who are honest.
///
/// # Errors
///
/// The first [`Fault`] that can be seen of one peer alone.
pub fn judge(seen: &Seen<'_>, honest: &BTreeSet<IpAddr>) -> Result<(), Fault> {
    let peer = seen.host;
    if let Some(&piece) = seen.wrong.first() {
        return Err(Fault::Wrong { peer, piece });
    }
    let mut blamed = seen.accusations.iter();
    if let Some(blame) = blamed.find(|accusation| honest.contains(&accusation.whom)) {
        return Err(Fault::Blamed {
            by: peer,
            whom: blame.whom,
            why: blame.why.clone(),
        });
    }
    let mut kept = seen.kept.iter();
    match kept.find(|(_, count, most)| count > most) {
        Some(&(what, count, most)) => Err(Fault::Keeps {
            peer,
            what,
            count,
            most,
        }),
        None => Ok(()),
    }
}

/// What must not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Honest peers are not complete in time.
    Incomplete {
        /// They, each with how many pieces it lacks.
        peers: Vec<(HostId, u32)>,
    },
    /// Who sent much that is wrong was not found out by anybody.
    Spared {
        /// Its host.
        liar: HostId,
        /// How many blocks it sent.
        blocks: u64,
    },
    /// A piece counts as good and is not, or of a bad one other blocks are fetched again than the wrong ones.
    Wrong {
        /// At whom.
        peer: HostId,
        /// The piece.
        piece: PieceIndex,
    },
    /// An honest peer is banned, or said to break the protocol.
    Blamed {
        /// By whom.
        by: HostId,
        /// Whom.
        whom: IpAddr,
        /// For what.
        why: String,
    },
    /// A machine or its driver keeps more than it may.
    Keeps {
        /// Whose.
        peer: HostId,
        /// Of what.
        what: &'static str,
        /// How much.
        count: u64,
        /// How much it may keep.
        most: u64,
    },
}

/// A fault with what is needed to see it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// When it was seen.
    pub at: Moment,
    /// What.
    pub fault: Fault,
}

impl Trial {
    /// Draws a swarm of so many peers in all from a seed.
    pub fn new(seed: u64, peers: RangeInclusive<u64>) -> Self {
        let mut rng = Rng::new(seed ^ 0x7377_6172_6d73_2121);
        // Half of the swarms are in the first eighth of the range: what a swarm costs rises faster than
        // the number of its peers.
        let share = (0..3).fold(1 << 48, |share: u64, _| (share * rng.below(1 << 12)) >> 12);
        let count = peers.start() + (((peers.end() - peers.start() + 1) * share) >> 48);
        let version = match rng.below(5) {
            0 => Version::V1,
            1 | 2 => Version::V2,
            _ => Version::Hybrid,
        };
        let (content, piece_len) = draw_content(seed, version, &mut rng);
        let config = draw_net(&mut rng);
        let mut plan = Plan {
            version,
            pieces: content.piece_count(),
            piece_len,
            files: content.metainfo.info.files.len(),
            honest: [0; 3],
            hostile: vec![],
            vanishings: 0,
            per_mille: [
                config.loss_per_mille,
                config.connect_fail_per_mille,
                config.stall_per_mille,
            ],
            latency_ms_max: config.latency_ms.end,
        };
        let mut swarm = Swarm::new(content, config, rng.next_u64());
        let hostile = count * rng.below(26) / 100;
        let mut hosts = Vec::new();
        for n in 0..count - hostile {
            hosts.push(plan.add_honest(&mut swarm, n, &mut rng));
        }
        let mut kinds = Kind::PLAIN.to_vec();
        kinds.extend(Kind::SLY);
        kinds.extend(Kind::HASHES);
        // Corruption is what most is at stake with.
        kinds.extend([Kind::Garbage, Kind::Poison, Kind::Poison, Kind::Poison]);
        for _ in 0..hostile {
            let kind = *rng.choose(&kinds).expect("there are kinds");
            swarm.add_hostile(Moment::from_millis(rng.below(20_000)), kind);
            plan.hostile.push(kind);
        }
        plan.hostile.sort_unstable();
        let vanishings = rng.below(1 + count / 5);
        plan.vanishings = vanishings as usize;
        let mut churn: Vec<Vanishing> = (0..vanishings)
            .map(|_| draw_vanishing(&hosts, &mut rng))
            .collect();
        churn.sort_by_key(|vanishing| std::cmp::Reverse(vanishing.at));
        Self {
            seed,
            plan,
            swarm,
            churn,
            gone: Vec::new(),
        }
    }

    /// What was drawn.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The swarm.
    pub fn swarm(&self) -> &Swarm {
        &self.swarm
    }

    /// The swarm, for who meddles with it.
    pub fn swarm_mut(&mut self) -> &mut Swarm {
        &mut self.swarm
    }

    /// Lets time pass until every honest peer is complete, and judges.
    ///
    /// # Errors
    ///
    /// The first [`Fault`] that is seen.
    pub fn run(&mut self) -> Result<Figures, Box<Failure>> {
        let deadline = Moment::from_secs(DEADLINE_SECS);
        loop {
            let next = self.swarm.net.now() + Duration::from_secs(LOOK_SECS);
            self.run_until(next);
            let judged = self.judge();
            judged.map_err(|fault| self.failure(fault))?;
            let left: Vec<(HostId, u32)> = self
                .lasting()
                .filter(|peer| !peer.torrent().is_complete())
                .map(|peer| {
                    let have = peer.torrent().have();
                    (peer.host(), have.piece_count() - have.count())
                })
                .collect();
            if left.is_empty() && self.churn.is_empty() {
                return match self.spared() {
                    Some(fault) => Err(self.failure(fault)),
                    None => Ok(self.figures()),
                };
            }
            if next >= deadline {
                return Err(self.failure(Fault::Incomplete { peers: left }));
            }
        }
    }

    /// The honest peers that are not gone for good.
    fn lasting(&self) -> impl Iterator<Item = &Honest> {
        let peers = self.swarm.honest();
        peers.filter(|peer| !self.gone.contains(&peer.host()))
    }

    fn run_until(&mut self, until: Moment) {
        while let Some(next) = self.churn.pop_if(|vanishing| vanishing.at <= until) {
            self.swarm.run_until(next.at);
            if !self.swarm.net.is_up(next.host) || self.gone.contains(&next.host) {
                continue;
            }
            self.swarm.net.crash(next.host);
            match next.back {
                Some(back) => self.swarm.net.restart(next.host, back),
                None => self.gone.push(next.host),
            }
        }
        self.swarm.run_until(until);
    }

    fn judge(&self) -> Result<(), Fault> {
        let net = &self.swarm.net;
        let honest: BTreeSet<IpAddr> = self
            .swarm
            .honest()
            .map(|peer| net.addr(peer.host()).ip())
            .collect();
        let mut peers = self.swarm.honest();
        peers.try_for_each(|peer| judge(&Seen::of(peer), &honest))
    }

    /// A peer that sends nothing but garbage, sent much of it, and is accused by nobody.
    fn spared(&self) -> Option<Fault> {
        let liars = self.swarm.hostile();
        let mut loud =
            liars.filter(|peer| peer.kind() == Kind::Garbage && peer.served() > GARBAGE_UNSEEN_MAX);
        let spared = loud.find(|liar| {
            let ip = self.swarm.net.addr(liar.host()).ip();
            let mut all = self.swarm.honest().flat_map(Honest::accusations);
            !all.any(|accusation| accusation.whom == ip)
        })?;
        Some(Fault::Spared {
            liar: spared.host(),
            blocks: spared.served(),
        })
    }

    fn figures(&self) -> Figures {
        let honest = || self.swarm.honest();
        Figures {
            peers: (honest().count() + self.swarm.hostile().count()) as u64,
            virtual_nanos: self.swarm.net.now().0,
            sent: honest().map(Honest::sent).sum(),
            happenings: self.swarm.net.delivered(),
            accusations: honest().map(|peer| peer.accusations().len() as u64).sum(),
            refetched: honest().map(Honest::refetched).sum(),
            waiting_bytes_max: honest()
                .map(Honest::waiting_bytes_max)
                .max()
                .unwrap_or_default(),
        }
    }

    fn failure(&self, fault: Fault) -> Box<Failure> {
        Box::new(Failure {
            seed: self.seed,
            at: self.swarm.net.now(),
            fault,
        })
    }
}

/// How many pieces an honest peer has under way at most: few enough that the limit is met.
const PARTIALS_MAX: usize = 8;

impl Plan {
    /// Adds the `n`th honest peer. The first few have everything, and know every name.
    fn add_honest(&mut self, swarm: &mut Swarm, n: u64, rng: &mut Rng) -> HostId {
        let all = swarm.content.names();
        let is_seed = n == 0 || n < rng.below(4);
        let knows_all = is_seed || n < 10;
        let (at, names) = match all {
            InfoHashes::Hybrid { v1, v2 } if !knows_all => match rng.below(4) {
                0 => (1, InfoHashes::V1(v1)),
                1 => (2, InfoHashes::V2(v2)),
                _ => (0, all),
            },
            InfoHashes::Hybrid { .. } | InfoHashes::V1(_) | InfoHashes::V2(_) => (0, all),
        };
        self.honest[at] += 1;
        let pieces = swarm.content.piece_count();
        let setup = Setup {
            have: match is_seed {
                true => Bitfield::full(pieces),
                false => Bitfield::empty(pieces),
            },
            names,
            forgets: true,
        };
        let start = if is_seed { 0 } else { rng.below(30_000) };
        let slots = 2 + rng.below(4) as usize;
        let tune = |config: &mut TorrentConfig| {
            config.peers_max = PEERS_MAX;
            config.partial_pieces_max = PARTIALS_MAX;
            config.upload_slots = slots;
        };
        let host = swarm.add_honest_as(Moment::from_millis(start), setup, tune);
        if is_seed {
            swarm.net.set_rates(host, 200_000, 200_000);
        } else if rng.below(10) == 0 {
            swarm.net.set_listening(host, false);
        }
        host
    }
}

/// A few hundred kilobytes, seldom a few thousand, in one to six files, some of them empty or shorter than
/// a block.
fn draw_content(seed: u64, version: Version, rng: &mut Rng) -> (std::sync::Arc<Content>, u32) {
    let piece_len = match version {
        Version::V1 => [16 * 1024, 20 * 1024, 40 * 1024, 64 * 1024][rng.below(4) as usize],
        Version::V2 | Version::Hybrid => [16 * 1024, 32 * 1024, 64 * 1024][rng.below(3) as usize],
    };
    let files = 1 + rng.below(6);
    let mut lens: Vec<u64> = (1..files)
        .map(|_| match rng.below(4) {
            0 => 0,
            1 => 1 + rng.below(20_000),
            _ => rng.below(100_000),
        })
        .collect();
    let long = if rng.below(12) == 0 { 10 } else { 1 };
    lens.push(long * (80_000 + rng.below(220_000)));
    (
        Content::of_files(seed, version, &lens, piece_len as u32),
        piece_len as u32,
    )
}

fn draw_net(rng: &mut Rng) -> NetConfig {
    NetConfig {
        latency_ms: 5..[50, 120, 400][rng.below(3) as usize],
        up_rate: 10_000..100_000,
        down_rate: 50_000..500_000,
        loss_per_mille: [0, 5, 30][rng.below(3) as usize],
        connect_fail_per_mille: [0, 20, 100][rng.below(3) as usize],
        stall_per_mille: [0, 20, 100][rng.below(3) as usize],
        ..NetConfig::default()
    }
}

/// The first seeder always comes back: it may have the only copy.
fn draw_vanishing(hosts: &[HostId], rng: &mut Rng) -> Vanishing {
    let n = rng.below(hosts.len() as u64) as usize;
    let at = Moment::from_millis(rng.below(CHURN_SECS * 1000));
    let for_good = n > 9 && rng.below(4) == 0;
    let back = at + Duration::from_millis(rng.below(30_000));
    Vanishing {
        at,
        host: hosts[n],
        back: (!for_good).then_some(back),
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            version,
            pieces,
            piece_len,
            files,
            honest: [both, first, second],
            hostile,
            vanishings,
            per_mille: [lost, failing, stalling],
            latency_ms_max,
        } = self;
        write!(
            f,
            "{version:?}, {files} files, {pieces} pieces of {piece_len}; honest {both} (and {first} of the first swarm \
             alone, {second} of the second), hostile {}; {vanishings} vanish; of a thousand {lost} lost, {failing} fail, \
             {stalling} stall; latency to {latency_ms_max} ms",
            hostile.len()
        )
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Incomplete { peers } => {
                write!(f, "{} honest peers are incomplete:", peers.len())?;
                let some = peers.iter().take(5);
                some.copied()
                    .try_for_each(|(host, lacks)| write!(f, " host {} lacks {lacks}", host.0))
            }
            Self::Spared { liar, blocks } => {
                write!(
                    f,
                    "host {} sent {blocks} blocks of garbage, and nobody says so",
                    liar.0
                )
            }
            Self::Wrong { peer, piece } => {
                write!(
                    f,
                    "host {} judged piece {} or a block of it wrongly",
                    peer.0, piece.0
                )
            }
            Self::Blamed { by, whom, why } => {
                write!(f, "host {} blames honest {whom}: {why}", by.0)
            }
            Self::Keeps {
                peer,
                what,
                count,
                most,
            } => write!(f, "host {} keeps {count} {what}, at most {most}", peer.0),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secs = self.at.0 / 1_000_000_000;
        write!(f, "seed {} at {secs} s: {}", self.seed, self.fault)
    }
}
