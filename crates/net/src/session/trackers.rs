//! The session's trackers: what they name becomes candidates, and they learn how it goes. A hybrid has
//! two swarms, and each tracker is asked for both.

use std::{net::SocketAddr, sync::Arc};

use skep_proto::tracker::client::{AnnouncerConfig, Event, Transfer};
use skep_wire::{InfoHash, PeerId, tracker::AnnounceEvent};

use super::{SessionConfig, What};
use crate::tracker::{SystemResolver, TrackerClient, TrackerClientConfig};

/// What announces to the session's trackers; nothing if the torrent has none.
pub(super) struct Trackers {
    swarms: Vec<Swarm>,
    urls: Vec<String>,
}

/// One info-hash, at all trackers.
struct Swarm {
    info_hash: InfoHash,
    /// `None` once it has ended.
    client: Option<TrackerClient>,
    /// Whether some tracker has answered.
    is_known: bool,
    /// Whether the trackers were told to announce completion, and none has answered that yet.
    completion_due: bool,
}

impl Trackers {
    /// Starts announcing.
    pub(super) fn start(
        config: &SessionConfig,
        peer_id: PeerId,
        addr: SocketAddr,
        seed: u64,
        left: u64,
    ) -> Self {
        let tiers = config.trackers.as_ref().unwrap_or(&config.torrent.tiers);
        let urls: Vec<String> = tiers.iter().flatten().cloned().collect();
        if urls.is_empty() {
            let swarms = Vec::new();
            return Self { swarms, urls };
        }
        let resolver = Arc::new(SystemResolver::new());
        let start = |info_hash| {
            let mut announcer = AnnouncerConfig::new(info_hash, peer_id, addr.port());
            announcer.key = (seed >> 32) as u32;
            let client = TrackerClient::start(TrackerClientConfig {
                announcer,
                tiers: tiers.clone(),
                bind: config.bind,
                resolver: resolver.clone(),
                clock: config.clock,
                seed,
                transfer: Transfer {
                    uploaded: 0,
                    downloaded: 0,
                    left,
                },
            });
            Swarm {
                info_hash,
                client: Some(client),
                is_known: false,
                completion_due: false,
            }
        };
        let swarms = config.torrent.info_hashes().map(start).collect();
        Self { swarms, urls }
    }

    /// Waits for the next answer and returns the peers that it names, and of which swarm.
    pub(super) async fn next_peers(
        &mut self,
        config: &SessionConfig,
    ) -> (InfoHash, Vec<SocketAddr>) {
        let first = self.swarms.len().min(1);
        let (first, second) = self.swarms.split_at_mut(first);
        let (first, second) = (first.first_mut(), second.first_mut());
        let (info_hash, event) = tokio::select! {
            answer = next_event(first) => answer,
            answer = next_event(second) => answer,
        };
        let Some(event) = event else {
            return (info_hash, Vec::new());
        };
        let url_of = |tracker| self.urls.get(tracker).cloned().unwrap_or_default();
        let (what, peers) = match event {
            Event::Announced { tracker, reply, .. } => {
                let (url, outcome) = (url_of(tracker), Ok(reply.peers.len()));
                (What::Tracker { url, outcome }, reply.peers)
            }
            Event::Redirected { .. } => return (info_hash, Vec::new()),
            Event::Failed {
                tracker,
                remote,
                why,
                wholly,
                ..
            } => {
                let (url, reason) = (url_of(tracker), why.to_string());
                let what = match wholly {
                    true => What::Tracker {
                        url,
                        outcome: Err(reason),
                    },
                    false => What::TrackerPartly {
                        url,
                        remote,
                        reason,
                    },
                };
                (what, Vec::new())
            }
        };
        config.events.tell(config.clock.now(), what);
        (info_hash, peers)
    }

    /// What the next announces say.
    pub(super) fn set_transfer(&self, uploaded: u64, downloaded: u64, left: u64) {
        for client in self.clients() {
            client.set_transfer(Transfer {
                uploaded,
                downloaded,
                left,
            });
        }
    }

    /// Everything is there.
    pub(super) fn complete(&mut self) {
        for swarm in &mut self.swarms {
            if let Some(client) = &swarm.client {
                swarm.completion_due = swarm.is_known;
                client.complete();
            }
        }
    }

    /// Waits until a tracker that knows of us has heard that everything is there: a farewell that
    /// overtakes it would make the download uncounted.
    pub(super) async fn told_completion(&mut self, config: &SessionConfig) {
        let is_due = |swarm: &Swarm| swarm.completion_due && swarm.client.is_some();
        while self.swarms.iter().any(is_due) {
            self.next_peers(config).await;
        }
    }

    /// Begins the farewell.
    pub(super) fn stop(&self) {
        self.clients().for_each(TrackerClient::stop);
    }

    /// Waits until the farewell is done.
    pub(super) async fn stopped(&mut self) {
        for client in self
            .swarms
            .iter_mut()
            .filter_map(|swarm| swarm.client.take())
        {
            client.stopped().await;
        }
    }

    fn clients(&self) -> impl Iterator<Item = &TrackerClient> {
        self.swarms.iter().filter_map(|swarm| swarm.client.as_ref())
    }
}

/// What a swarm's trackers say next; `None` if there is no more. Waits for ever where there is no swarm.
async fn next_event(swarm: Option<&mut Swarm>) -> (InfoHash, Option<Event>) {
    let Some(swarm) = swarm else {
        return std::future::pending().await;
    };
    let Some(client) = &mut swarm.client else {
        return std::future::pending().await;
    };
    let event = client.next_event().await;
    match &event {
        Some(Event::Announced { event, .. }) => {
            swarm.is_known = true;
            swarm.completion_due &= *event != AnnounceEvent::Completed;
        }
        Some(Event::Redirected { .. } | Event::Failed { .. }) => {}
        None => swarm.client = None,
    }
    (swarm.info_hash, event)
}
