//! One question over UDP (BEP 15).

use std::{net::SocketAddr, time::Duration};

use skep_wire::{
    Moment,
    tracker::{
        Family,
        udp::{ConnectionId, Reply, Request, TransactionId},
    },
};

use super::{Outcome, Question, TrackerFailure};
use crate::rng::Rng;

/// How long the client uses a connection id (BEP 15: one minute).
pub const CONNECTION_TIME_MAX: Duration = Duration::from_secs(60);

/// The greatest exponent of the retransmission time (BEP 15: 15 * 2^8 = 3840 s).
const BACKOFF_EXPONENT_MAX: u32 = 8;

/// A connection id, where it came from and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UdpConnection {
    /// The tracker's address.
    pub remote: SocketAddr,
    /// The id.
    pub id: ConnectionId,
    /// When it came.
    pub since: Moment,
}

/// How patient a UDP exchange is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UdpPace {
    /// Time until the first retransmission; it doubles with each.
    pub first: Duration,
    /// How many datagrams are sent in vain before the exchange fails.
    pub tries_max: u32,
}

impl UdpPace {
    /// 15, 30 and 60 s: after 105 s the next tracker is worth more than a fourth try. BEP 15 would
    /// go on for hours; its times up to there are kept.
    pub const PATIENT: Self = Self {
        first: Duration::from_secs(15),
        tries_max: 3,
    };
    /// For a farewell: two datagrams, 2 s apart, 6 s in all.
    pub const FAREWELL: Self = Self {
        first: Duration::from_secs(2),
        tries_max: 2,
    };

    fn wait(self, tries: u32) -> Duration {
        self.first
            .saturating_mul(1 << tries.min(BACKOFF_EXPONENT_MAX))
    }
}

/// One question to one address of a UDP tracker.
///
/// ```text
/// Connecting --connect reply--> Asking --reply / error--> done
///     ^------- id is a minute old -----'
/// ```
///
/// Datagrams from elsewhere, with another transaction id or that are no reply are not ours, and
/// [`UdpExchange::handle_datagram`] says so.
#[derive(Debug)]
pub struct UdpExchange {
    remote: SocketAddr,
    question: Question,
    url_data: Vec<u8>,
    pace: UdpPace,
    connection: Option<UdpConnection>,
    /// Whether the connection id is from an earlier exchange, and may be forgotten there by now.
    inherited: bool,
    transaction: TransactionId,
    /// Datagrams sent since the last answer.
    tries: u32,
    started: Moment,
    transmit: Option<Vec<u8>>,
    outcome: Option<Outcome>,
    resend_at: Option<Moment>,
}

impl UdpExchange {
    /// Starts an exchange with `remote`. `connection` is one that an earlier exchange left
    /// ([`UdpExchange::connection`]); `url_data` is path and query of the URL (BEP 41).
    pub fn new(
        remote: SocketAddr,
        question: Question,
        url_data: &str,
        connection: Option<UdpConnection>,
        pace: UdpPace,
        rng: &mut Rng,
        now: Moment,
    ) -> Self {
        let connection = connection.filter(|connection| connection.remote == remote);
        let mut exchange = Self {
            remote,
            question,
            url_data: url_data.as_bytes().to_vec(),
            pace,
            connection,
            inherited: connection.is_some(),
            transaction: TransactionId(0),
            tries: 0,
            started: now,
            transmit: None,
            outcome: None,
            resend_at: None,
        };
        exchange.draw_transaction(rng);
        exchange.send(rng, now);
        exchange
    }

    /// Whom it asks.
    pub fn remote(&self) -> SocketAddr {
        self.remote
    }

    /// What to send to [`UdpExchange::remote`].
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.transmit.take()
    }

    /// How it ended; once.
    pub fn poll_outcome(&mut self) -> Option<Outcome> {
        self.outcome.take()
    }

    /// When to call [`UdpExchange::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<(Moment, &'static str)> {
        self.resend_at.map(|at| (at, "udp retransmission"))
    }

    /// The connection id, for the next exchange with the same address.
    pub fn connection(&self) -> Option<UdpConnection> {
        self.connection
    }

    /// Feeds a datagram; returns whether it was the answer to ours.
    pub fn handle_datagram(
        &mut self,
        remote: SocketAddr,
        bytes: &[u8],
        rng: &mut Rng,
        now: Moment,
    ) -> bool {
        if self.resend_at.is_none() || remote != self.remote {
            return false;
        }
        let Ok(reply) = Reply::decode(bytes, Family::of(remote.ip())) else {
            return false;
        };
        if reply.transaction() != self.transaction {
            return false;
        }
        let asking = self.asking();
        match (reply, &self.question) {
            (Reply::Error { .. }, _) if asking && self.inherited => {
                self.connection = None;
                self.inherited = false;
                self.tries = 0;
                self.draw_transaction(rng);
                self.send(rng, now);
            }
            (
                Reply::Error {
                    message: reason, ..
                },
                _,
            ) => {
                // The tracker may have forgotten the id, so the next exchange asks for a new one.
                self.connection = None;
                let why = TrackerFailure::Refused {
                    reason,
                    retry_in: None,
                };
                self.end(Outcome::Failed(why));
            }
            (Reply::Connect { connection, .. }, _) if !asking => {
                self.connection = Some(UdpConnection {
                    remote,
                    id: connection,
                    since: now,
                });
                self.tries = 0;
                self.draw_transaction(rng);
                self.send(rng, now);
            }
            (Reply::Announce { reply, .. }, Question::Announce { .. }) if asking => {
                self.end(Outcome::Announced(reply));
            }
            (Reply::Scrape { entries, .. }, Question::Scrape { info_hashes }) if asking => {
                let entries = info_hashes.iter().copied().zip(entries).collect();
                self.end(Outcome::Scraped(entries));
            }
            (Reply::Connect { .. } | Reply::Announce { .. } | Reply::Scrape { .. }, _) => {
                self.end(Outcome::Failed(TrackerFailure::WrongKind));
            }
        }
        true
    }

    /// Tells that `now` has come.
    pub fn handle_timeout(&mut self, rng: &mut Rng, now: Moment) {
        if self.resend_at.is_none_or(|at| at > now) {
            return;
        }
        if self.tries >= self.pace.tries_max {
            let secs = now.since(self.started).as_secs();
            return self.end(Outcome::Failed(TrackerFailure::TimedOut { secs }));
        }
        self.send(rng, now);
    }

    /// Whether the last datagram asked the question itself.
    fn asking(&self) -> bool {
        self.connection.is_some()
    }

    fn draw_transaction(&mut self, rng: &mut Rng) {
        let [a, b, c, d, ..] = rng.next_u64().to_be_bytes();
        self.transaction = TransactionId(u32::from_be_bytes([a, b, c, d]));
    }

    fn send(&mut self, rng: &mut Rng, now: Moment) {
        let expired = |since| now.since(since) >= CONNECTION_TIME_MAX;
        if self
            .connection
            .is_some_and(|connection| expired(connection.since))
        {
            self.connection = None;
            self.draw_transaction(rng);
        }
        let transaction = self.transaction;
        let request = match (self.connection, &self.question) {
            (None, _) => Request::Connect { transaction },
            (Some(UdpConnection { id, .. }), Question::Announce { request, .. }) => {
                Request::Announce {
                    connection: id,
                    transaction,
                    announce: request.clone(),
                    url_data: self.url_data.clone(),
                }
            }
            (Some(UdpConnection { id, .. }), Question::Scrape { info_hashes }) => Request::Scrape {
                connection: id,
                transaction,
                info_hashes: info_hashes.clone(),
            },
        };
        let mut bytes = Vec::new();
        request.encode(&mut bytes);
        self.transmit = Some(bytes);
        self.resend_at = Some(now + self.pace.wait(self.tries));
        self.tries += 1;
    }

    fn end(&mut self, outcome: Outcome) {
        self.resend_at = None;
        self.transmit = None;
        self.outcome = Some(outcome);
    }
}
