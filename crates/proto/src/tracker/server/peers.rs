//! A set of peers of one kind: dense, so that random ones are found at once, and indexed once it is
//! too long to be searched.

use std::collections::HashMap;

use super::keyed::Keyed;

/// One peer: its endpoint in compact form, and when it was last heard of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer<const N: usize> {
    pub(super) endpoint: [u8; N],
    /// Seconds since the run began; [`STAYS`] for one that was put there by hand.
    pub(super) seen_secs: u32,
}

/// Never expires.
pub(super) const STAYS: u32 = u32::MAX;

/// From this length on the set has an index. Shorter ones are searched faster than hashed: 96
/// entries of 12 bytes are 18 cache lines.
const INDEXED_FROM: usize = 96;

#[derive(Debug, Default)]
pub(super) struct Peers<const N: usize> {
    list: Vec<Peer<N>>,
    /// Where in the list an endpoint is.
    #[expect(
        clippy::box_collection,
        reason = "most sets are short, and there are millions"
    )]
    index: Option<Box<HashMap<[u8; N], u32, Keyed>>>,
}

impl<const N: usize> Peers<N> {
    pub(super) const fn new() -> Self {
        Self {
            list: Vec::new(),
            index: None,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    pub(super) fn at(&self, at: usize) -> Peer<N> {
        self.list[at]
    }

    pub(super) fn find(&self, endpoint: &[u8; N]) -> Option<usize> {
        match &self.index {
            Some(index) => index.get(endpoint).map(|&at| at as usize),
            None => self.list.iter().position(|peer| peer.endpoint == *endpoint),
        }
    }

    /// Says that a peer was heard of. One that stays, stays.
    pub(super) fn touch(&mut self, at: usize, seen_secs: u32) {
        let seen = &mut self.list[at].seen_secs;
        if *seen != STAYS {
            *seen = seen_secs;
        }
    }

    /// Adds a peer that is not there; returns where it is.
    pub(super) fn push(&mut self, peer: Peer<N>, keyed: Keyed) -> usize {
        let at = self.list.len();
        self.list.push(peer);
        if let Some(index) = &mut self.index {
            index.insert(peer.endpoint, at as u32);
        } else if self.list.len() >= INDEXED_FROM {
            let mut index = HashMap::with_capacity_and_hasher(2 * INDEXED_FROM, keyed);
            let places = self.list.iter().enumerate();
            index.extend(places.map(|(at, peer)| (peer.endpoint, at as u32)));
            self.index = Some(Box::new(index));
        }
        at
    }

    /// Removes a peer; the last one takes its place.
    pub(super) fn remove(&mut self, at: usize) -> Peer<N> {
        let peer = self.list.swap_remove(at);
        if let Some(index) = &mut self.index {
            index.remove(&peer.endpoint);
            if let Some(moved) = self.list.get(at) {
                index.insert(moved.endpoint, at as u32);
            }
            // Half of the limit, so that a set at the limit does not build and drop its index.
            if self.list.len() < INDEXED_FROM / 2 {
                self.index = None;
            }
        }
        if self.list.capacity() > 8 && self.list.len() < self.list.capacity() / 4 {
            self.list.shrink_to(self.list.len() * 2);
        }
        peer
    }

    /// Removes all that were last heard of before `before_secs`; returns how many.
    pub(super) fn expire(&mut self, before_secs: u32) -> usize {
        let len = self.list.len();
        for at in (0..len).rev() {
            if self.list[at].seen_secs < before_secs {
                self.remove(at);
            }
        }
        len - self.list.len()
    }
}
