//! The tracker of a scenario: the ordinary server, whose list is made bogus on purpose.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use skep_net::tracker::{TrackerConfig, TrackerHandle, TrackerServer, server::TrackerServerError};
use skep_wire::tracker::AnnounceEvent;

use crate::{
    hostile::Stage,
    truth::{Act, TruthLog},
};

/// A tracker that is up.
#[derive(Debug)]
pub struct TrackerActor {
    handle: TrackerHandle,
    stage: Stage,
}

/// Its name in the truth log.
pub const TRACKER: &str = "tracker";

/// Seconds between announces that clients are told: short, because the swarm lives for half a
/// minute.
const INTERVAL_SECS: u32 = 3;

impl TrackerActor {
    /// Starts a tracker for HTTP and UDP on free ports of `ip`, on the current runtime.
    ///
    /// # Errors
    ///
    /// Those of [`TrackerServer::start`].
    pub fn start(ip: IpAddr, stage: &Stage) -> Result<Self, TrackerServerError> {
        let mut config = TrackerConfig::new(INTERVAL_SECS)?;
        config.http = vec![SocketAddr::new(ip, 0)];
        config.udp = vec![SocketAddr::new(ip, 0)];
        let truth = stage.truth.clone();
        config.on_announce = Some(Arc::new(move |served| {
            let (said, to) = (&served.request, served.from);
            let endpoint = SocketAddr::new(to.ip(), said.port);
            if said.event != AnnounceEvent::Stopped {
                truth.write(
                    TRACKER,
                    Act::Lists {
                        endpoint,
                        bogus: false,
                    },
                );
            }
            note_names(&truth, to, &served.reply.peers);
        }));
        let handle = TrackerServer::start(config)?;
        for endpoint in handle.http_addrs().iter().chain(handle.udp_addrs()) {
            let role = "the tracker".to_owned();
            stage.truth.write(
                TRACKER,
                Act::Enters {
                    role,
                    honest: false,
                    endpoint: *endpoint,
                },
            );
        }
        Ok(Self {
            handle,
            stage: stage.clone(),
        })
    }

    /// Its announce URLs, HTTP first.
    pub fn urls(&self) -> Vec<String> {
        self.handle.urls()
    }

    /// Where it serves HTTP.
    pub fn http(&self) -> SocketAddr {
        self.handle.http_addrs()[0]
    }

    /// Lists an endpoint that never announced itself.
    pub fn list(&self, endpoint: SocketAddr) {
        self.handle.inject(self.stage.work.info_hash, endpoint);
        self.stage.truth.write(
            TRACKER,
            Act::Lists {
                endpoint,
                bogus: true,
            },
        );
    }

    /// Ends the tracker.
    pub fn stop(self) {
        drop(self.handle);
        self.stage.truth.write(TRACKER, Act::Leaves);
    }
}

fn note_names(truth: &TruthLog, to: SocketAddr, endpoints: &[SocketAddr]) {
    truth.write(
        TRACKER,
        Act::Names {
            to,
            endpoints: endpoints.to_vec(),
        },
    );
}
