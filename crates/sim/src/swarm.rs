//! Many actors around one torrent.

use std::{sync::Arc, time::Duration};

use skep_proto::torrent::{Event, TorrentConfig};
use skep_wire::{Bitfield, Moment};

use crate::{
    content::{Content, TRACKER},
    honest::{Honest, Setup},
    hostile::{Hostile, Kind},
    net::{HostId, Net, NetConfig},
    tracker::Tracker,
    watcher::Watcher,
};

/// A swarm.
#[derive(Debug)]
pub struct Swarm {
    /// The network.
    pub net: Net,
    /// The torrent.
    pub content: Arc<Content>,
    actors: Vec<Actor>,
}

#[derive(Debug)]
enum Actor {
    Honest(Box<Honest>),
    Hostile(Box<Hostile>),
    Tracker(Box<Tracker>),
    Watcher(Box<Watcher>),
}

impl Swarm {
    /// Starts an empty swarm.
    pub fn new(content: Arc<Content>, config: NetConfig, seed: u64) -> Self {
        Self {
            net: Net::new(config, seed),
            content,
            actors: Vec::new(),
        }
    }

    /// Adds an honest peer that comes up at `at` with everything.
    pub fn add_seed(&mut self, at: Moment) -> HostId {
        let have = Bitfield::full(self.content.piece_count());
        self.add_honest(at, have, |_| {})
    }

    /// Adds an honest peer that comes up at `at` with nothing.
    pub fn add_leecher(&mut self, at: Moment) -> HostId {
        let have = Bitfield::empty(self.content.piece_count());
        self.add_honest(at, have, |_| {})
    }

    /// Adds an honest peer.
    pub fn add_honest(
        &mut self,
        at: Moment,
        have: Bitfield,
        tune: impl FnOnce(&mut TorrentConfig),
    ) -> HostId {
        let setup = Setup {
            have,
            names: self.content.names(),
            forgets: false,
        };
        self.add_honest_as(at, setup, tune)
    }

    /// Adds an honest peer that knows the torrent by some of its names only, or forgets its events.
    pub fn add_honest_as(
        &mut self,
        at: Moment,
        setup: Setup,
        tune: impl FnOnce(&mut TorrentConfig),
    ) -> HostId {
        let host = self.net.add_host(at);
        let peer = Honest::new(&self.content, setup, host, &mut self.net, tune);
        self.actors.push(Actor::Honest(Box::new(peer)));
        host
    }

    /// Adds a hostile peer.
    pub fn add_hostile(&mut self, at: Moment, kind: Kind) -> HostId {
        let host = self.net.add_host(at);
        let peer = Hostile::new(kind, &self.content, host, &mut self.net);
        self.actors.push(Actor::Hostile(Box::new(peer)));
        host
    }

    /// Adds an observer that watches from `from` to `until`, and the tracker that it asks.
    pub fn add_watcher(
        &mut self,
        from: Moment,
        until: Moment,
        tune: impl FnOnce(&mut skep_observe::Config),
    ) -> HostId {
        let host = self.net.add_host_at(TRACKER, Moment::ZERO);
        let tracker = Tracker::new(host, &mut self.net);
        self.actors.push(Actor::Tracker(Box::new(tracker)));
        let host = self.net.add_host(from);
        let watcher = Watcher::new(&self.content, host, until, &mut self.net, tune);
        self.actors.push(Actor::Watcher(Box::new(watcher)));
        host
    }

    /// Lets time pass.
    pub fn run_until(&mut self, until: Moment) {
        while let Some((host, what)) = self.net.next(until) {
            match &mut self.actors[host.0] {
                Actor::Honest(peer) => peer.handle(what, &mut self.net),
                Actor::Hostile(peer) => peer.handle(what, &mut self.net),
                Actor::Tracker(tracker) => tracker.handle(what, &mut self.net),
                Actor::Watcher(watcher) => watcher.handle(what, &mut self.net),
            }
        }
    }

    /// Lets time pass until every honest peer that is up has everything, looking once a second.
    /// Returns when that was, or `None` if it was not by `deadline`.
    pub fn run_until_complete(&mut self, deadline: Moment) -> Option<Moment> {
        while self.net.now() < deadline {
            self.run_until(self.net.now() + Duration::from_secs(1));
            if self.honest().all(|peer| peer.torrent().is_complete()) {
                return Some(self.net.now());
            }
        }
        None
    }

    /// The honest peers.
    pub fn honest(&self) -> impl Iterator<Item = &Honest> {
        self.actors.iter().filter_map(|actor| match actor {
            Actor::Honest(peer) => Some(peer.as_ref()),
            Actor::Hostile(_) | Actor::Tracker(_) | Actor::Watcher(_) => None,
        })
    }

    /// The hostile peers.
    pub fn hostile(&self) -> impl Iterator<Item = &Hostile> {
        self.actors.iter().filter_map(|actor| match actor {
            Actor::Hostile(peer) => Some(peer.as_ref()),
            Actor::Honest(_) | Actor::Tracker(_) | Actor::Watcher(_) => None,
        })
    }

    /// The observer, if there is one.
    pub fn watcher(&self) -> Option<&Watcher> {
        self.actors.iter().find_map(|actor| match actor {
            Actor::Watcher(watcher) => Some(watcher.as_ref()),
            Actor::Honest(_) | Actor::Hostile(_) | Actor::Tracker(_) => None,
        })
    }

    /// An honest peer.
    pub fn peer(&self, host: HostId) -> Option<&Honest> {
        self.honest().find(|peer| peer.host() == host)
    }

    /// Every ban that an honest peer pronounced, as (who, whom).
    pub fn bans(&self) -> Vec<(HostId, std::net::SocketAddr)> {
        let all = self
            .honest()
            .flat_map(|peer| peer.events().iter().map(move |(_, e)| (peer, e)));
        all.filter_map(|(peer, event)| match event {
            Event::Banned { addr, .. } => Some((peer.host(), *addr)),
            _ => None,
        })
        .collect()
    }
}
