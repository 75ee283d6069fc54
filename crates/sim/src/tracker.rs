//! A tracker that answers datagrams (BEP 15): the server machine, fed with whomever
//! [`Net::announce`] has brought.

use skep_proto::tracker::server::{Answerer, StoreConfig};

use crate::net::{Happening, HostId, Net};

/// Seconds between announces that clients are told.
const INTERVAL_SECS: u32 = 60;

/// A tracker.
#[derive(Debug)]
pub struct Tracker {
    host: HostId,
    answerer: Answerer,
}

impl Tracker {
    /// Makes a tracker that knows of nobody.
    pub fn new(host: HostId, net: &mut Net) -> Self {
        let mut seed = [0; 32];
        net.rng().fill(&mut seed);
        let config = StoreConfig::with_interval(INTERVAL_SECS, seed);
        Self {
            host,
            answerer: Answerer::new(config, seed),
        }
    }

    /// Its host's number.
    pub fn host(&self) -> HostId {
        self.host
    }

    /// Deals with what happened to its host.
    pub fn handle(&mut self, what: Happening, net: &mut Net) {
        match what {
            Happening::Datagram { from, bytes } => {
                let now = net.now();
                for (swarm, addr) in net.listed() {
                    self.answerer.store_mut().inject(swarm, addr, now);
                }
                let mut reply = Vec::new();
                self.answerer.answer_datagram(from, &bytes, now, &mut reply);
                if !reply.is_empty() {
                    net.send_datagram(self.host, from, reply);
                }
            }
            Happening::Incoming { link, .. } => net.close(link),
            Happening::Started
            | Happening::Connected { .. }
            | Happening::ConnectFailed { .. }
            | Happening::Bytes { .. }
            | Happening::Left { .. }
            | Happening::Ended { .. }
            | Happening::Timer { .. }
            | Happening::Named { .. } => {}
        }
    }
}
