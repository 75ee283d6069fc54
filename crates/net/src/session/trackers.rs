//! The session's trackers: what they name becomes candidates, and they learn how it goes.

use std::{net::SocketAddr, sync::Arc};

use skep_proto::tracker::client::{AnnouncerConfig, Event, Transfer};
use skep_wire::{PeerId, tracker::AnnounceEvent};

use super::{SessionConfig, What};
use crate::tracker::{SystemResolver, TrackerClient, TrackerClientConfig};

/// The client, unless the torrent has no tracker.
pub(super) struct Trackers {
    client: Option<TrackerClient>,
    urls: Vec<String>,
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
        let tiers = config
            .trackers
            .as_ref()
            .unwrap_or(&config.torrent.tiers)
            .clone();
        let urls: Vec<String> = tiers.iter().flatten().cloned().collect();
        if urls.is_empty() {
            return Self {
                client: None,
                urls,
                is_known: false,
                completion_due: false,
            };
        }
        let mut announcer = AnnouncerConfig::new(config.torrent.info_hash, peer_id, addr.port());
        announcer.key = (seed >> 32) as u32;
        let client = TrackerClient::start(TrackerClientConfig {
            announcer,
            tiers,
            bind: config.bind,
            resolver: Arc::new(SystemResolver::new()),
            clock: config.clock,
            seed,
            transfer: Transfer {
                uploaded: 0,
                downloaded: 0,
                left,
            },
        });
        Self {
            client: Some(client),
            urls,
            is_known: false,
            completion_due: false,
        }
    }

    /// Waits for the next answer and returns the peers that it names.
    pub(super) async fn next_peers(&mut self, config: &SessionConfig) -> Vec<SocketAddr> {
        let Some(client) = &mut self.client else {
            return std::future::pending().await;
        };
        let Some(event) = client.next_event().await else {
            self.client = None;
            return Vec::new();
        };
        if let Event::Announced { event, .. } = &event {
            self.is_known = true;
            self.completion_due &= *event != AnnounceEvent::Completed;
        }
        let url_of = |tracker| self.urls.get(tracker).cloned().unwrap_or_default();
        let (what, peers) = match event {
            Event::Announced { tracker, reply, .. } => {
                let (url, outcome) = (url_of(tracker), Ok(reply.peers.len()));
                (What::Tracker { url, outcome }, reply.peers)
            }
            Event::Redirected { .. } => return Vec::new(),
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
        peers
    }

    /// What the next announces say.
    pub(super) fn set_transfer(&self, uploaded: u64, downloaded: u64, left: u64) {
        if let Some(client) = &self.client {
            client.set_transfer(Transfer {
                uploaded,
                downloaded,
                left,
            });
        }
    }

    /// Everything is there.
    pub(super) fn complete(&mut self) {
        if let Some(client) = &self.client {
            self.completion_due = self.is_known;
            client.complete();
        }
    }

    /// Waits until a tracker that knows of us has heard that everything is there: a farewell that
    /// overtakes it would make the download uncounted.
    pub(super) async fn told_completion(&mut self, config: &SessionConfig) {
        while self.completion_due && self.client.is_some() {
            self.next_peers(config).await;
        }
    }

    /// Begins the farewell.
    pub(super) fn stop(&self) {
        if let Some(client) = &self.client {
            client.stop();
        }
    }

    /// Waits until the farewell is done.
    pub(super) async fn stopped(&mut self) {
        if let Some(client) = self.client.take() {
            client.stopped().await;
        }
    }
}
