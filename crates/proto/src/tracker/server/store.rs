//! All swarms, within limits.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use skep_wire::{
    InfoHash, Moment,
    tracker::{AnnounceEvent, AnnounceReply, AnnounceRequest, Family, ScrapeEntry, compact_peers},
};

use super::{
    PEERS_PER_ANSWER_DEFAULT, PEERS_PER_ANSWER_MAX,
    keyed::Keyed,
    swarm::{Standing, Swarm},
};
use crate::rng::Rng;

/// What a store is made from.
#[derive(Debug, Clone)]
pub struct StoreConfig {
    /// Seconds between announces that clients are told.
    pub interval_secs: u32,
    /// Seconds below which they are told not to ask (HTTP only).
    pub interval_secs_min: Option<u32>,
    /// Seconds after which a silent peer is gone.
    pub peer_secs_max: u32,
    /// Greatest number of torrents of each address family. Beyond it the smallest and most silent
    /// of a few drawn ones is forgotten.
    pub torrents_max: usize,
    /// Greatest number of peers in all. Beyond it the most silent of a few drawn ones is forgotten.
    pub peers_max: usize,
    /// Greatest number of peers of one torrent and family; likewise.
    pub peers_per_torrent_max: usize,
    /// From this every draw is derived, and the key of the tables: unknown to clients.
    pub seed: [u8; 32],
}

impl StoreConfig {
    /// Half-hour intervals, and room for a million torrents of each family and ten million peers:
    /// 0.7 GB where strangers fill it as badly as they can (two million torrents of few peers each).
    pub fn new(seed: [u8; 32]) -> Self {
        Self::with_interval(1_800, seed)
    }

    /// The same with another interval. A peer that misses two announces, and a minute, is gone.
    pub fn with_interval(interval_secs: u32, seed: [u8; 32]) -> Self {
        Self {
            interval_secs,
            interval_secs_min: Some(interval_secs.min(60).max(interval_secs / 2)),
            peer_secs_max: interval_secs.saturating_mul(2).saturating_add(60),
            torrents_max: 1_000_000,
            peers_max: 10_000_000,
            peers_per_torrent_max: 200_000,
            seed,
        }
    }
}

/// Why an announce is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Nobody can be reached on port 0.
    #[error("port 0")]
    PortZero,
}

/// Over how long one sweep for silent peers is spread.
const SWEEP_TIME: Duration = Duration::from_secs(60);

/// How often the sweep goes on.
const SWEEP_STEP: Duration = Duration::from_secs(1);

/// How many torrents are looked at to find one to let go.
const EVICTION_SAMPLE: usize = 8;

/// The swarms of a tracker. IPv4 and IPv6 are apart: who asks over one is told of peers of that one.
///
/// `ip=` in announces is not believed: what is listed is the address that the request came from
/// with the port that it names.
#[derive(Debug)]
pub struct Store {
    config: StoreConfig,
    rng: Rng,
    keyed: Keyed,
    v4: Table<6>,
    v6: Table<18>,
    swept_at: Moment,
    drawn: Vec<u32>,
}

#[derive(Debug)]
struct Table<const N: usize> {
    index: HashMap<InfoHash, u32, Keyed>,
    slots: Vec<Option<(InfoHash, Swarm<N>)>>,
    free: Vec<u32>,
    /// The slots of swarms that have peers, so that one that can let a peer go is found at once
    /// however many are empty.
    live: Vec<u32>,
    peers: usize,
    sweep_at: usize,
}

/// What the tables share during one announce.
struct Context<'a> {
    config: &'a StoreConfig,
    rng: &'a mut Rng,
    keyed: Keyed,
    drawn: &'a mut Vec<u32>,
    /// Peers of both families.
    peers: usize,
    now_secs: u32,
}

fn secs(now: Moment) -> u32 {
    // One below STAYS at most; a run of 136 years ends with peers that never expire.
    u32::try_from(now.since(Moment::ZERO).as_secs())
        .unwrap_or(u32::MAX)
        .min(u32::MAX - 1)
}

fn compact<const N: usize>(ip: &[u8], port: u16) -> [u8; N] {
    let mut endpoint = [0; N];
    endpoint[..N - 2].copy_from_slice(ip);
    endpoint[N - 2..].copy_from_slice(&port.to_be_bytes());
    endpoint
}

impl Store {
    /// An empty store.
    pub fn new(config: StoreConfig) -> Self {
        let mut rng = Rng::from_bytes(&config.seed);
        let keyed = Keyed([rng.next_u64(), rng.next_u64()]);
        Self {
            config,
            rng,
            keyed,
            v4: Table::new(keyed),
            v6: Table::new(keyed),
            swept_at: Moment::ZERO,
            drawn: Vec::new(),
        }
    }

    /// How many torrents have peers or a history, in both families.
    pub fn torrents(&self) -> usize {
        self.v4.index.len() + self.v6.index.len()
    }

    /// How many peers are known, in both families.
    pub fn peers(&self) -> usize {
        self.v4.peers + self.v6.peers
    }

    /// Takes up an announce from `from` and answers it with at most `peers_max` peers.
    ///
    /// # Errors
    ///
    /// [`StoreError`] where it is refused.
    pub fn announce(
        &mut self,
        from: IpAddr,
        request: &AnnounceRequest,
        peers_max: usize,
        now: Moment,
    ) -> Result<AnnounceReply, StoreError> {
        if request.port == 0 {
            return Err(StoreError::PortZero);
        }
        let wanted = request
            .num_want
            .map_or(PEERS_PER_ANSWER_DEFAULT, |n| n as usize);
        let wanted = wanted.min(PEERS_PER_ANSWER_MAX).min(peers_max);
        let peers = self.peers();
        let Self {
            config,
            rng,
            keyed,
            v4,
            v6,
            drawn,
            ..
        } = self;
        let mut cx = Context {
            config,
            rng,
            keyed: *keyed,
            drawn,
            peers,
            now_secs: secs(now),
        };
        let pays = match from.to_canonical() {
            IpAddr::V4(_) => v4.peers > 0,
            IpAddr::V6(_) => v6.peers > 0,
        };
        let reply = match from.to_canonical() {
            IpAddr::V4(ip) => {
                let endpoint = compact::<6>(&ip.octets(), request.port);
                v4.announce(endpoint, Family::V4, request, wanted, &mut cx)
            }
            IpAddr::V6(ip) => {
                let endpoint = compact::<18>(&ip.octets(), request.port);
                v6.announce(endpoint, Family::V6, request, wanted, &mut cx)
            }
        };
        // Who had nobody of its own to let go takes the place from the other family.
        if !pays && v4.peers + v6.peers > config.peers_max {
            match from.to_canonical() {
                IpAddr::V4(_) => v6.evict_peer(rng),
                IpAddr::V6(_) => v4.evict_peer(rng),
            }
        }
        Ok(reply)
    }

    /// The counts of a torrent, as they stand for clients of `family`.
    pub fn scrape(&self, info_hash: &InfoHash, family: Family) -> ScrapeEntry {
        match family {
            Family::V4 => self.v4.scrape(info_hash),
            Family::V6 => self.v6.scrape(info_hash),
        }
    }

    /// Lists an endpoint that did not announce itself, for good. It is a lie by the operator, for
    /// the laboratory only: an observer must not take a tracker's list for truth.
    pub fn inject(&mut self, info_hash: InfoHash, addr: SocketAddr, now: Moment) {
        let now_secs = secs(now);
        let (rng, keyed, config) = (&mut self.rng, self.keyed, &self.config);
        match addr.ip().to_canonical() {
            IpAddr::V4(ip) => {
                let slot = self.v4.slot(info_hash, now_secs, config, rng);
                let endpoint = compact::<6>(&ip.octets(), addr.port());
                self.v4.change(slot, |swarm| swarm.inject(endpoint, keyed));
            }
            IpAddr::V6(ip) => {
                let slot = self.v6.slot(info_hash, now_secs, config, rng);
                let endpoint = compact::<18>(&ip.octets(), addr.port());
                self.v6.change(slot, |swarm| swarm.inject(endpoint, keyed));
            }
        }
    }

    /// When to call [`Store::handle_timeout`] next.
    pub fn poll_timeout(&self) -> Option<(Moment, &'static str)> {
        Some((self.swept_at + SWEEP_STEP, "sweep"))
    }

    /// Goes on looking for silent peers: as much as is due since the last call, so that no call
    /// takes long.
    pub fn handle_timeout(&mut self, now: Moment) {
        let due = now.since(self.swept_at);
        if due < SWEEP_STEP {
            return;
        }
        self.swept_at = now;
        let before_secs = secs(now).saturating_sub(self.config.peer_secs_max);
        self.v4.sweep(due, before_secs);
        self.v6.sweep(due, before_secs);
    }
}

impl<const N: usize> Table<N> {
    fn new(keyed: Keyed) -> Self {
        Self {
            index: HashMap::with_hasher(keyed),
            slots: Vec::new(),
            free: Vec::new(),
            live: Vec::new(),
            peers: 0,
            sweep_at: 0,
        }
    }

    fn announce(
        &mut self,
        endpoint: [u8; N],
        family: Family,
        request: &AnnounceRequest,
        wanted: usize,
        cx: &mut Context<'_>,
    ) -> AnnounceReply {
        let standing = match (request.event, request.left) {
            (AnnounceEvent::Stopped, _) => Standing::Gone,
            (AnnounceEvent::Completed, 0) => Standing::Seed {
                completed_now: true,
            },
            (AnnounceEvent::Regular | AnnounceEvent::Started, 0) => Standing::Seed {
                completed_now: false,
            },
            (_, _) => Standing::Leech,
        };
        let mut reply = AnnounceReply {
            interval_secs: cx.config.interval_secs,
            interval_secs_min: cx.config.interval_secs_min,
            complete: Some(0),
            incomplete: Some(0),
            ..AnnounceReply::default()
        };
        let slot = match (self.index.get(&request.info_hash), standing) {
            (Some(&slot), _) => slot as usize,
            // Who goes from a swarm that is not known leaves no trace.
            (None, Standing::Gone) => return reply,
            (None, Standing::Leech | Standing::Seed { .. }) => {
                self.slot(request.info_hash, cx.now_secs, cx.config, cx.rng)
            }
        };
        if standing != Standing::Gone {
            self.make_room(slot, &endpoint, cx);
        }
        self.change(slot, |swarm| {
            swarm.update(endpoint, standing, cx.now_secs, cx.keyed)
        });
        let Some((_, swarm)) = &self.slots[slot] else {
            return reply;
        };
        reply.complete = u32::try_from(swarm.seeds()).ok();
        reply.incomplete = u32::try_from(swarm.leeches()).ok();
        if standing != Standing::Gone {
            reply.peers.reserve(wanted.min(swarm.len()));
            let peers = &mut reply.peers;
            swarm.draw(&endpoint, wanted, cx.rng, cx.drawn, |peer| {
                peers.extend(compact_peers(peer, family));
            });
        }
        reply
    }

    /// Keeps the limits on peers before one is added.
    fn make_room(&mut self, slot: usize, endpoint: &[u8; N], cx: &mut Context<'_>) {
        let Some((_, swarm)) = &self.slots[slot] else {
            return;
        };
        if swarm.has(endpoint) {
            return;
        }
        if swarm.len() >= cx.config.peers_per_torrent_max {
            self.change(slot, |swarm| swarm.evict(cx.rng));
        } else if cx.peers >= cx.config.peers_max {
            // The limit is on both families; who comes pays with a peer of its own.
            self.evict_peer(cx.rng);
        }
    }

    /// Lets one peer go: of a few drawn torrents, one of that with the most.
    fn evict_peer(&mut self, rng: &mut Rng) {
        let drawn = (0..EVICTION_SAMPLE).filter_map(|_| rng.index(self.live.len()));
        let drawn = drawn.map(|at| self.live[at] as usize);
        let peers_of = |slot: &usize| self.slots[*slot].as_ref().map_or(0, |(_, s)| s.len());
        if let Some(slot) = drawn.max_by_key(peers_of) {
            self.change(slot, |swarm| swarm.evict(rng));
        }
    }

    /// The slot of a torrent, made if need be.
    fn slot(
        &mut self,
        info_hash: InfoHash,
        now_secs: u32,
        config: &StoreConfig,
        rng: &mut Rng,
    ) -> usize {
        if let Some(&slot) = self.index.get(&info_hash) {
            return slot as usize;
        }
        if self.index.len() >= config.torrents_max {
            self.evict_torrent(rng);
        }
        let entry = Some((info_hash, Swarm::new(now_secs)));
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = entry;
                slot
            }
            None => {
                self.slots.push(entry);
                u32::try_from(self.slots.len() - 1).expect("torrents_max fits 32 bits")
            }
        };
        self.index.insert(info_hash, slot);
        slot as usize
    }

    /// Forgets a torrent: of a few drawn ones the one with the fewest peers, then the most silent.
    fn evict_torrent(&mut self, rng: &mut Rng) {
        let drawn = (0..EVICTION_SAMPLE).filter_map(|_| rng.index(self.slots.len()));
        let worth = drawn.filter_map(|slot| {
            let (_, swarm) = self.slots[slot].as_ref()?;
            Some((swarm.len(), swarm.touched_secs, slot))
        });
        let any = || self.slots.iter().position(Option::is_some);
        if let Some(slot) = worth.min().map(|(_, _, slot)| slot).or_else(any) {
            self.forget(slot);
        }
    }

    fn forget(&mut self, slot: usize) {
        if let Some((info_hash, swarm)) = self.slots[slot].take() {
            self.peers -= swarm.len();
            if let Some(at) = swarm.live_at {
                self.bury(at);
            }
            self.index.remove(&info_hash);
            self.free.push(slot as u32);
        }
    }

    /// Changes a swarm and keeps count.
    fn change(&mut self, slot: usize, f: impl FnOnce(&mut Swarm<N>)) {
        let Some((_, swarm)) = &mut self.slots[slot] else {
            return;
        };
        let before = swarm.len();
        f(swarm);
        self.peers = self.peers + swarm.len() - before;
        match (swarm.len(), swarm.live_at) {
            (1.., None) => {
                swarm.live_at = Some(self.live.len() as u32);
                self.live.push(slot as u32);
            }
            (0, Some(at)) => {
                swarm.live_at = None;
                self.bury(at);
            }
            (1.., Some(_)) | (0, None) => {}
        }
    }

    /// Takes a place out of the list of swarms that have peers; the last one takes it.
    fn bury(&mut self, at: u32) {
        self.live.swap_remove(at as usize);
        if let Some(&moved) = self.live.get(at as usize)
            && let Some((_, swarm)) = &mut self.slots[moved as usize]
        {
            swarm.live_at = Some(at);
        }
    }

    fn scrape(&self, info_hash: &InfoHash) -> ScrapeEntry {
        let slot = self.index.get(info_hash).map(|&slot| slot as usize);
        let Some((_, swarm)) = slot.and_then(|slot| self.slots[slot].as_ref()) else {
            return ScrapeEntry::default();
        };
        ScrapeEntry {
            complete: u32::try_from(swarm.seeds()).unwrap_or(u32::MAX),
            downloaded: swarm.downloaded,
            incomplete: u32::try_from(swarm.leeches()).unwrap_or(u32::MAX),
        }
    }

    /// Looks at the share of all slots and peers that is due after `due`.
    fn sweep(&mut self, due: Duration, before_secs: u32) {
        let work = (self.slots.len() + self.peers) as u128;
        let share = work * due.as_millis() / SWEEP_TIME.as_millis() + 1;
        let mut budget = usize::try_from(share.min(work)).unwrap_or(usize::MAX);
        let mut seen = 0;
        while budget > 0 && seen < self.slots.len() {
            let slot = self.sweep_at % self.slots.len();
            self.sweep_at = slot + 1;
            seen += 1;
            let Some((_, swarm)) = &self.slots[slot] else {
                budget -= 1;
                continue;
            };
            budget = budget.saturating_sub(1 + swarm.len());
            let mut is_worthless = false;
            self.change(slot, |swarm| {
                swarm.expire(before_secs);
                // A count of downloads is worth keeping until the room is needed.
                is_worthless = swarm.len() == 0 && swarm.downloaded == 0;
            });
            if is_worthless {
                self.forget(slot);
            }
        }
    }
}
