//! Announce and scrape over UDP (BEP 15), with the URL option (BEP 41).
//!
//! ```text
//! request   connect   protocol id 8 | action 0 | transaction
//!           announce  connection 8 | action 1 | transaction | info-hash 20 | peer id 20 | downloaded 8
//!                     | left 8 | uploaded 8 | event 4 | ip 4 | key 4 | num_want 4 | port 2 | options
//!           scrape    connection 8 | action 2 | transaction | info-hash 20 ...
//! reply     connect   action 0 | transaction | connection 8
//!           announce  action 1 | transaction | interval 4 | incomplete 4 | complete 4 | endpoint ...
//!           scrape    action 2 | transaction | (complete 4 | downloaded 4 | incomplete 4) ...
//!           error     action 3 | transaction | text
//! ```
//!
//! All numbers are big-endian; action and transaction have 4 bytes. The endpoints of an announce
//! reply have the family of the datagram that carries them. Bytes after what is known are ignored:
//! the specification asks for that.

use std::net::{IpAddr, Ipv4Addr};

use super::{
    AnnounceEvent, AnnounceReply, AnnounceRequest, Family, Oddity, PEERS_PER_REPLY_MAX,
    ScrapeEntry, clamp_interval, compact_peers, message_text, put_compact,
};
use crate::{InfoHash, PeerId};

/// The magic number that begins a connect request.
pub const PROTOCOL_ID: u64 = 0x0417_2710_1980;

/// How many torrents one scrape may name (BEP 15, "Scrape": about 74).
pub const SCRAPE_HASHES_MAX: usize = 74;

/// The number by which request and reply find each other, drawn by the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransactionId(pub u32);

/// The number by which a tracker knows that the source address of a request is real.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// What a datagram asks for or answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Action(pub u32);

impl Action {
    /// A connection id.
    pub const CONNECT: Self = Self(0);
    /// Peers.
    pub const ANNOUNCE: Self = Self(1);
    /// Counts.
    pub const SCRAPE: Self = Self(2);
    /// A refusal (replies only).
    pub const ERROR: Self = Self(3);
}

/// A datagram to a tracker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Asks for a connection id.
    Connect {
        /// The client's number for this request.
        transaction: TransactionId,
    },
    /// Announces.
    Announce {
        /// As the tracker gave it.
        connection: ConnectionId,
        /// The client's number for this request.
        transaction: TransactionId,
        /// What is announced. `compact` has no meaning here and decodes as `true`.
        announce: AnnounceRequest,
        /// Path and query of the tracker's URL (BEP 41), empty if there is none.
        url_data: Vec<u8>,
    },
    /// Asks for counts.
    Scrape {
        /// As the tracker gave it.
        connection: ConnectionId,
        /// The client's number for this request.
        transaction: TransactionId,
        /// The torrents, at most [`SCRAPE_HASHES_MAX`]; more are not read.
        info_hashes: Vec<InfoHash>,
    },
}

/// A datagram from a tracker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// A connection id, to be used for one minute.
    Connect {
        /// The request's number.
        transaction: TransactionId,
        /// The id.
        connection: ConnectionId,
    },
    /// Peers.
    Announce {
        /// The request's number.
        transaction: TransactionId,
        /// What the tracker says.
        reply: AnnounceReply,
    },
    /// Counts, in the order of the request.
    Scrape {
        /// The request's number.
        transaction: TransactionId,
        /// What the tracker says, at most [`SCRAPE_HASHES_MAX`].
        entries: Vec<ScrapeEntry>,
    },
    /// A refusal.
    Error {
        /// The request's number.
        transaction: TransactionId,
        /// The tracker's words, printable.
        message: String,
    },
}

/// Why a datagram is none of this protocol.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UdpError {
    /// Too short for what it begins as.
    #[error("datagram of {len} bytes, at least {expected} expected")]
    TooShort {
        /// Its length.
        len: usize,
        /// The least length.
        expected: usize,
    },
    /// A connect request with another magic number.
    #[error("protocol id {got:#x}, expected {PROTOCOL_ID:#x}")]
    WrongProtocol {
        /// What came.
        got: u64,
    },
    /// An action that this side never receives.
    #[error("unexpected action {}", got.0)]
    UnexpectedAction {
        /// What came.
        got: Action,
    },
    /// An event that BEP 15 does not name.
    #[error("unknown event {got}")]
    UnknownEvent {
        /// What came.
        got: u32,
    },
}

/// Length of a connect request and of the head of every other request.
const REQUEST_HEAD_LEN: usize = 16;
/// Length of an announce request without options.
const ANNOUNCE_LEN: usize = 98;
/// BEP 41 option types.
const OPTION_END: u8 = 0;
const OPTION_NOP: u8 = 1;
const OPTION_URL_DATA: u8 = 2;

/// Reads big-endian fields off the front of a datagram whose length was checked before.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (head, rest) = self.0.split_first_chunk::<N>().expect("length was checked");
        self.0 = rest;
        *head
    }

    fn u16(&mut self) -> u16 {
        u16::from_be_bytes(self.take())
    }

    fn u32(&mut self) -> u32 {
        u32::from_be_bytes(self.take())
    }

    fn u64(&mut self) -> u64 {
        u64::from_be_bytes(self.take())
    }
}

fn fields(bytes: &[u8], expected: usize) -> Result<Fields<'_>, UdpError> {
    if bytes.len() < expected {
        return Err(UdpError::TooShort {
            len: bytes.len(),
            expected,
        });
    }
    Ok(Fields(bytes))
}

impl Request {
    /// Appends the datagram.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let (first, action, transaction) = match self {
            Self::Connect { transaction } => (PROTOCOL_ID, Action::CONNECT, transaction),
            Self::Announce {
                connection,
                transaction,
                ..
            } => (connection.0, Action::ANNOUNCE, transaction),
            Self::Scrape {
                connection,
                transaction,
                ..
            } => (connection.0, Action::SCRAPE, transaction),
        };
        out.extend_from_slice(&first.to_be_bytes());
        out.extend_from_slice(&action.0.to_be_bytes());
        out.extend_from_slice(&transaction.0.to_be_bytes());
        match self {
            Self::Connect { .. } => {}
            Self::Announce {
                announce, url_data, ..
            } => put_announce(out, announce, url_data),
            Self::Scrape { info_hashes, .. } => {
                for hash in info_hashes.iter().take(SCRAPE_HASHES_MAX) {
                    out.extend_from_slice(&hash.0);
                }
            }
        }
    }

    /// Reads a datagram that came to a tracker.
    ///
    /// # Errors
    ///
    /// [`UdpError`] where it is no request of this protocol.
    pub fn decode(bytes: &[u8]) -> Result<Self, UdpError> {
        let mut head = fields(bytes, REQUEST_HEAD_LEN)?;
        let first = head.u64();
        let action = Action(head.u32());
        let transaction = TransactionId(head.u32());
        let connection = ConnectionId(first);
        match action {
            Action::CONNECT if first == PROTOCOL_ID => Ok(Self::Connect { transaction }),
            Action::CONNECT => Err(UdpError::WrongProtocol { got: first }),
            Action::ANNOUNCE => {
                let mut rest = fields(bytes, ANNOUNCE_LEN)?;
                rest.take::<REQUEST_HEAD_LEN>();
                let announce = take_announce(&mut rest)?;
                let url_data = take_url_data(rest.0);
                Ok(Self::Announce {
                    connection,
                    transaction,
                    announce,
                    url_data,
                })
            }
            Action::SCRAPE => {
                let hashes = head.0.chunks_exact(20).take(SCRAPE_HASHES_MAX);
                let info_hashes = hashes
                    .map(|hash| InfoHash(hash.try_into().expect("chunks have 20 bytes")))
                    .collect();
                Ok(Self::Scrape {
                    connection,
                    transaction,
                    info_hashes,
                })
            }
            got => Err(UdpError::UnexpectedAction { got }),
        }
    }
}

fn put_announce(out: &mut Vec<u8>, announce: &AnnounceRequest, url_data: &[u8]) {
    out.extend_from_slice(&announce.info_hash.0);
    out.extend_from_slice(&announce.peer_id.0);
    out.extend_from_slice(&announce.downloaded.to_be_bytes());
    out.extend_from_slice(&announce.left.to_be_bytes());
    out.extend_from_slice(&announce.uploaded.to_be_bytes());
    let event: u32 = match announce.event {
        AnnounceEvent::Regular => 0,
        AnnounceEvent::Completed => 1,
        AnnounceEvent::Started => 2,
        AnnounceEvent::Stopped => 3,
    };
    out.extend_from_slice(&event.to_be_bytes());
    let ip = match announce.ip {
        Some(IpAddr::V4(ip)) => ip,
        Some(IpAddr::V6(_)) | None => Ipv4Addr::UNSPECIFIED,
    };
    out.extend_from_slice(&ip.octets());
    out.extend_from_slice(&announce.key.to_be_bytes());
    // The field is signed; -1 leaves the number to the tracker.
    let num_want = announce
        .num_want
        .map_or(-1, |n| i32::try_from(n).unwrap_or(i32::MAX));
    out.extend_from_slice(&num_want.to_be_bytes());
    out.extend_from_slice(&announce.port.to_be_bytes());
    for part in url_data.chunks(usize::from(u8::MAX)) {
        out.push(OPTION_URL_DATA);
        out.push(u8::try_from(part.len()).expect("chunks have at most 255 bytes"));
        out.extend_from_slice(part);
    }
}

fn take_announce(rest: &mut Fields<'_>) -> Result<AnnounceRequest, UdpError> {
    let info_hash = InfoHash(rest.take());
    let peer_id = PeerId(rest.take());
    let (downloaded, left, uploaded) = (rest.u64(), rest.u64(), rest.u64());
    let event = match rest.u32() {
        0 => AnnounceEvent::Regular,
        1 => AnnounceEvent::Completed,
        2 => AnnounceEvent::Started,
        3 => AnnounceEvent::Stopped,
        got => return Err(UdpError::UnknownEvent { got }),
    };
    let ip = Ipv4Addr::from(rest.u32());
    let key = rest.u32();
    let num_want = i32::from_be_bytes(rest.take());
    let port = rest.u16();
    Ok(AnnounceRequest {
        info_hash,
        peer_id,
        port,
        uploaded,
        downloaded,
        left,
        event,
        num_want: u32::try_from(num_want).ok(),
        key,
        ip: (!ip.is_unspecified()).then_some(IpAddr::V4(ip)),
        compact: true,
    })
}

/// Joins the URL data of the options that follow an announce. A torn option ends the list.
fn take_url_data(mut options: &[u8]) -> Vec<u8> {
    let mut url = Vec::new();
    while let [kind, rest @ ..] = options {
        match (*kind, rest) {
            (OPTION_END, _) => break,
            (OPTION_NOP, _) => options = rest,
            (kind, [len, rest @ ..]) => {
                let Some((data, rest)) = rest.split_at_checked(usize::from(*len)) else {
                    break;
                };
                if kind == OPTION_URL_DATA {
                    url.extend_from_slice(data);
                }
                options = rest;
            }
            (_, []) => break,
        }
    }
    url
}

impl Reply {
    /// The request's number.
    pub fn transaction(&self) -> TransactionId {
        match self {
            Self::Connect { transaction, .. }
            | Self::Announce { transaction, .. }
            | Self::Scrape { transaction, .. }
            | Self::Error { transaction, .. } => *transaction,
        }
    }

    /// Appends the datagram. Peers of another family than `family` are left out.
    pub fn encode(&self, family: Family, out: &mut Vec<u8>) {
        let action = match self {
            Self::Connect { .. } => Action::CONNECT,
            Self::Announce { .. } => Action::ANNOUNCE,
            Self::Scrape { .. } => Action::SCRAPE,
            Self::Error { .. } => Action::ERROR,
        };
        out.extend_from_slice(&action.0.to_be_bytes());
        out.extend_from_slice(&self.transaction().0.to_be_bytes());
        match self {
            Self::Connect { connection, .. } => out.extend_from_slice(&connection.0.to_be_bytes()),
            Self::Announce { reply, .. } => {
                out.extend_from_slice(&reply.interval_secs.to_be_bytes());
                out.extend_from_slice(&reply.incomplete.unwrap_or(0).to_be_bytes());
                out.extend_from_slice(&reply.complete.unwrap_or(0).to_be_bytes());
                for &peer in reply
                    .peers
                    .iter()
                    .filter(|peer| Family::of(peer.ip()) == family)
                {
                    put_compact(out, peer);
                }
            }
            Self::Scrape { entries, .. } => {
                for entry in entries {
                    out.extend_from_slice(&entry.complete.to_be_bytes());
                    out.extend_from_slice(&entry.downloaded.to_be_bytes());
                    out.extend_from_slice(&entry.incomplete.to_be_bytes());
                }
            }
            Self::Error { message, .. } => out.extend_from_slice(message.as_bytes()),
        }
    }

    /// Reads a datagram that came from a tracker over `family`.
    ///
    /// # Errors
    ///
    /// [`UdpError`] where it is no reply of this protocol.
    pub fn decode(bytes: &[u8], family: Family) -> Result<Self, UdpError> {
        let mut head = fields(bytes, 8)?;
        let action = Action(head.u32());
        let transaction = TransactionId(head.u32());
        match action {
            Action::CONNECT => {
                fields(bytes, 16)?;
                Ok(Self::Connect {
                    transaction,
                    connection: ConnectionId(head.u64()),
                })
            }
            Action::ANNOUNCE => {
                fields(bytes, 20)?;
                Ok(Self::Announce {
                    transaction,
                    reply: take_reply(&mut head, family),
                })
            }
            Action::SCRAPE => {
                let entries = head.0.chunks_exact(12).take(SCRAPE_HASHES_MAX);
                let entries = entries
                    .map(|chunk| {
                        let mut entry = Fields(chunk);
                        let (complete, downloaded) = (entry.u32(), entry.u32());
                        ScrapeEntry {
                            complete,
                            downloaded,
                            incomplete: entry.u32(),
                        }
                    })
                    .collect();
                Ok(Self::Scrape {
                    transaction,
                    entries,
                })
            }
            Action::ERROR => Ok(Self::Error {
                transaction,
                message: message_text(head.0),
            }),
            got => Err(UdpError::UnexpectedAction { got }),
        }
    }
}

fn take_reply(rest: &mut Fields<'_>, family: Family) -> AnnounceReply {
    // Signed, as trackers have sent negative ones.
    let said = i32::from_be_bytes(rest.take());
    let (interval_secs, oddity) = clamp_interval("interval", i64::from(said));
    let mut oddities = Vec::from_iter(oddity);
    let (incomplete, complete) = (rest.u32(), rest.u32());
    let peers: Vec<_> = compact_peers(rest.0, family)
        .take(PEERS_PER_REPLY_MAX)
        .collect();
    let said = rest.0.len() / family.stride();
    if said > peers.len() {
        oddities.push(Oddity::TooManyPeers {
            said,
            kept: peers.len(),
        });
    }
    if !rest.0.len().is_multiple_of(family.stride()) {
        let (len, stride) = (rest.0.len(), family.stride());
        oddities.push(Oddity::RaggedPeers {
            key: "peers",
            len,
            stride,
        });
    }
    AnnounceReply {
        interval_secs,
        complete: Some(complete),
        incomplete: Some(incomplete),
        peers,
        oddities,
        ..AnnounceReply::default()
    }
}

#[cfg(test)]
mod tests;
