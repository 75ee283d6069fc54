//! Requests of either transport to replies.

use std::net::{IpAddr, SocketAddr};

use skep_wire::{
    InfoHash, Moment,
    http::Request as HttpRequest,
    tracker::{
        AnnounceReply, AnnounceRequest, Family,
        http::{
            PeerForm, encode_announce, encode_failure, encode_scrape, parse_announce, parse_scrape,
        },
        udp::{Reply, Request},
    },
};

use super::{ConnectionIds, PEERS_PER_ANSWER_MAX, PEERS_PER_DATAGRAM_V6_MAX, Store, StoreConfig};

/// How much was served since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Connection ids given (UDP).
    pub connects: u64,
    /// Announces answered.
    pub announces: u64,
    /// Scrapes answered.
    pub scrapes: u64,
    /// Requests refused with a reason.
    pub refused: u64,
    /// Datagrams that were no requests, or bore a foreign connection id.
    pub ignored: u64,
}

/// An announce that was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    /// Where it came from.
    pub from: SocketAddr,
    /// What it said.
    pub request: AnnounceRequest,
    /// What it was told.
    pub reply: AnnounceReply,
}

/// What came of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answered {
    /// Nothing is to be sent.
    Ignored,
    /// A reply was written.
    Other,
    /// An announce was answered.
    Announce(Box<Served>),
}

/// What an HTTP target asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetKind {
    /// A path that ends in `/announce`.
    Announce,
    /// A path that ends in `/scrape`.
    Scrape,
    /// Anything else.
    Unknown,
}

impl TargetKind {
    /// What a path asks for.
    pub fn of(path: &[u8]) -> Self {
        if path.ends_with(b"/announce") {
            Self::Announce
        } else if path.ends_with(b"/scrape") {
            Self::Scrape
        } else {
            Self::Unknown
        }
    }
}

/// A tracker without sockets.
#[derive(Debug)]
pub struct Answerer {
    store: Store,
    ids: ConnectionIds,
    counts: Counts,
}

impl Answerer {
    /// A tracker that knows of nobody. `secret` is the key of the connection ids.
    pub fn new(config: StoreConfig, secret: [u8; 32]) -> Self {
        Self {
            store: Store::new(config),
            ids: ConnectionIds::new(secret),
            counts: Counts::default(),
        }
    }

    /// The swarms.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The swarms, to inject endpoints and to let time pass.
    pub fn store_mut(&mut self) -> &mut Store {
        &mut self.store
    }

    /// How much was served.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Answers a datagram; the reply is appended to `out`.
    ///
    /// What is no request gets no answer, and no answer to an unproved address is longer than what
    /// came from it: the tracker must not help to flood a third party.
    pub fn answer_datagram(
        &mut self,
        from: SocketAddr,
        bytes: &[u8],
        now: Moment,
        out: &mut Vec<u8>,
    ) -> Answered {
        let Ok(request) = Request::decode(bytes) else {
            self.counts.ignored += 1;
            return Answered::Ignored;
        };
        let family = Family::of(from.ip().to_canonical());
        let (connection, transaction) = match &request {
            Request::Connect { transaction } => {
                self.counts.connects += 1;
                let connection = self.ids.issue(from.ip(), now);
                let reply = Reply::Connect {
                    transaction: *transaction,
                    connection,
                };
                reply.encode(family, out);
                return Answered::Other;
            }
            Request::Announce {
                connection,
                transaction,
                ..
            }
            | Request::Scrape {
                connection,
                transaction,
                ..
            } => (*connection, *transaction),
        };
        if !self.ids.issued(connection, from.ip(), now) {
            self.counts.ignored += 1;
            let before = out.len();
            let message = "connection id mismatch".to_owned();
            Reply::Error {
                transaction,
                message,
            }
            .encode(family, out);
            if out.len() - before > bytes.len() {
                out.truncate(before);
                return Answered::Ignored;
            }
            return Answered::Other;
        }
        let (reply, answered) = match request {
            Request::Announce { announce, .. } => {
                let peers_max = match family {
                    Family::V4 => PEERS_PER_ANSWER_MAX,
                    Family::V6 => PEERS_PER_DATAGRAM_V6_MAX,
                };
                match self.announce(from, announce, peers_max, now) {
                    Ok(mut served) => {
                        let reply = served.reply;
                        let reply = Reply::Announce { transaction, reply };
                        reply.encode(family, out);
                        let Reply::Announce { reply, .. } = reply else {
                            return Answered::Other;
                        };
                        served.reply = reply;
                        return Answered::Announce(Box::new(served));
                    }
                    Err(message) => (
                        Reply::Error {
                            transaction,
                            message,
                        },
                        Answered::Other,
                    ),
                }
            }
            Request::Scrape { info_hashes, .. } => {
                self.counts.scrapes += 1;
                let entries = info_hashes
                    .iter()
                    .map(|hash| self.store.scrape(hash, family));
                (
                    Reply::Scrape {
                        transaction,
                        entries: entries.collect(),
                    },
                    Answered::Other,
                )
            }
            Request::Connect { .. } => return Answered::Ignored,
        };
        reply.encode(family, out);
        answered
    }

    /// Answers the query of an announce or scrape over HTTP; the bencoded body is appended to `out`.
    pub fn answer_query(
        &mut self,
        from: SocketAddr,
        request: &HttpRequest<'_>,
        now: Moment,
        out: &mut Vec<u8>,
    ) -> Answered {
        let (path, query) = request.path_and_query();
        let refusal = match TargetKind::of(path) {
            TargetKind::Announce => match parse_announce(query) {
                Ok(announce) => {
                    let form = match announce.compact {
                        true => PeerForm::Compact,
                        false => PeerForm::Dictionaries,
                    };
                    match self.announce(from, announce, PEERS_PER_ANSWER_MAX, now) {
                        Ok(served) => {
                            encode_announce(out, &served.reply, form);
                            return Answered::Announce(Box::new(served));
                        }
                        Err(reason) => reason,
                    }
                }
                Err(error) => self.refuse(error.to_string()),
            },
            TargetKind::Scrape => match parse_scrape(query) {
                Ok(hashes) => {
                    self.counts.scrapes += 1;
                    encode_scrape(out, &self.scrape(&hashes, from.ip()));
                    return Answered::Other;
                }
                Err(error) => self.refuse(error.to_string()),
            },
            TargetKind::Unknown => self.refuse("not found".to_owned()),
        };
        encode_failure(out, &refusal);
        Answered::Other
    }

    fn announce(
        &mut self,
        from: SocketAddr,
        request: AnnounceRequest,
        peers_max: usize,
        now: Moment,
    ) -> Result<Served, String> {
        match self.store.announce(from.ip(), &request, peers_max, now) {
            Ok(reply) => {
                self.counts.announces += 1;
                Ok(Served {
                    from,
                    request,
                    reply,
                })
            }
            Err(error) => Err(self.refuse(error.to_string())),
        }
    }

    fn refuse(&mut self, reason: String) -> String {
        self.counts.refused += 1;
        reason
    }

    fn scrape(
        &self,
        hashes: &[InfoHash],
        from: IpAddr,
    ) -> Vec<(InfoHash, skep_wire::tracker::ScrapeEntry)> {
        let family = Family::of(from.to_canonical());
        hashes
            .iter()
            .map(|hash| (*hash, self.store.scrape(hash, family)))
            .collect()
    }
}
