//! One swarm of one address family.

use super::{
    keyed::Keyed,
    peers::{Peer, Peers, STAYS},
};
use crate::rng::Rng;

/// All peers of one torrent. Seeds and the others apart: seeds are not told of seeds.
#[derive(Debug)]
pub(super) struct Swarm<const N: usize> {
    leeches: Peers<N>,
    seeds: Peers<N>,
    /// How many were seen to become seeds.
    pub(super) downloaded: u32,
    /// When somebody last announced, in seconds since the run began.
    pub(super) touched_secs: u32,
    /// Its place in the table's list of swarms that have peers.
    pub(super) live_at: Option<u32>,
}

/// What an announce says of the announcer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Leech,
    Seed { completed_now: bool },
    Gone,
}

/// How many peers are looked at to find one to let go.
const EVICTION_SAMPLE: usize = 8;

impl<const N: usize> Swarm<N> {
    pub(super) fn new(touched_secs: u32) -> Self {
        Self {
            leeches: Peers::new(),
            seeds: Peers::new(),
            downloaded: 0,
            touched_secs,
            live_at: None,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.leeches.len() + self.seeds.len()
    }

    pub(super) fn seeds(&self) -> usize {
        self.seeds.len()
    }

    pub(super) fn leeches(&self) -> usize {
        self.leeches.len()
    }

    /// Whether the endpoint is a peer of this swarm.
    pub(super) fn has(&self, endpoint: &[u8; N]) -> bool {
        self.leeches.find(endpoint).is_some() || self.seeds.find(endpoint).is_some()
    }

    /// Takes up what a peer says of itself.
    pub(super) fn update(
        &mut self,
        endpoint: [u8; N],
        standing: Standing,
        now_secs: u32,
        keyed: Keyed,
    ) {
        self.touched_secs = now_secs;
        let leech = self.leeches.find(&endpoint);
        let (here, there, found_here) = match standing {
            Standing::Leech => (&mut self.leeches, &mut self.seeds, leech),
            Standing::Seed { completed_now } => {
                if completed_now && leech.is_some() {
                    self.downloaded = self.downloaded.saturating_add(1);
                }
                let found = self.seeds.find(&endpoint);
                (&mut self.seeds, &mut self.leeches, found)
            }
            Standing::Gone => {
                if let Some(at) = leech {
                    self.leeches.remove(at);
                }
                if let Some(at) = self.seeds.find(&endpoint) {
                    self.seeds.remove(at);
                }
                return;
            }
        };
        if let Some(at) = found_here {
            return here.touch(at, now_secs);
        }
        let mut peer = Peer {
            endpoint,
            seen_secs: now_secs,
        };
        if let Some(at) = there.find(&endpoint)
            && there.remove(at).seen_secs == STAYS
        {
            peer.seen_secs = STAYS;
        }
        here.push(peer, keyed);
    }

    /// Puts an endpoint there that stays until it says that it goes.
    pub(super) fn inject(&mut self, endpoint: [u8; N], keyed: Keyed) {
        self.update(endpoint, Standing::Gone, self.touched_secs, keyed);
        self.leeches.push(
            Peer {
                endpoint,
                seen_secs: STAYS,
            },
            keyed,
        );
    }

    /// Calls `name` with up to `wanted` peers for `asker`, drawn without preference: never the
    /// asker, and no seeds where it is one.
    pub(super) fn draw(
        &self,
        asker: &[u8; N],
        wanted: usize,
        rng: &mut Rng,
        drawn: &mut Vec<u32>,
        mut name: impl FnMut(&[u8; N]),
    ) {
        let seeding = self.seeds.find(asker);
        let own = match seeding {
            Some(_) => None,
            None => self.leeches.find(asker),
        };
        let seeds = if seeding.is_some() {
            0
        } else {
            self.seeds.len()
        };
        let count = self.leeches.len() + seeds - usize::from(own.is_some());
        // Numbers 0..count name every candidate: leeches, then seeds, less the asker.
        let mut take = |number: usize| {
            let at = number + usize::from(own.is_some_and(|own| number >= own));
            let peer = match at.checked_sub(self.leeches.len()) {
                None => self.leeches.at(at),
                Some(at) => self.seeds.at(at),
            };
            name(&peer.endpoint);
        };
        if count <= wanted {
            return (0..count).for_each(take);
        }
        // Floyd's sampling: every set of `wanted` candidates is equally likely.
        drawn.clear();
        for last in count - wanted..count {
            let number = rng.below(last as u64 + 1) as u32;
            let number = if drawn.contains(&number) {
                last as u32
            } else {
                number
            };
            drawn.push(number);
            take(number as usize);
        }
    }

    /// Removes peers last heard of before `before_secs`; returns how many.
    pub(super) fn expire(&mut self, before_secs: u32) -> usize {
        self.leeches.expire(before_secs) + self.seeds.expire(before_secs)
    }

    /// Lets one peer go: of a few drawn ones, the one that was silent for longest. Those that stay
    /// go too if nobody else is drawn.
    pub(super) fn evict(&mut self, rng: &mut Rng) {
        let drawn = (0..EVICTION_SAMPLE).filter_map(|_| rng.index(self.len()));
        let peer = |at: usize| match at.checked_sub(self.leeches.len()) {
            None => self.leeches.at(at),
            Some(at) => self.seeds.at(at),
        };
        let Some(at) = drawn.min_by_key(|&at| (peer(at).seen_secs, at)) else {
            return;
        };
        match at.checked_sub(self.leeches.len()) {
            None => self.leeches.remove(at),
            Some(at) => self.seeds.remove(at),
        };
    }
}
