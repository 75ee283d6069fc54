//! Bencoded replies.

use std::net::{IpAddr, SocketAddr};

use super::SCRAPE_HASHES_MAX;
use crate::{
    InfoHash,
    bencode::{self, DecodeError, Limits, Node},
    tracker::{
        AnnounceReply, Family, INTERVAL_SECS_DEFAULT, ODDITIES_PER_REPLY_MAX, Oddity,
        PEERS_PER_REPLY_MAX, ScrapeEntry, clamp_interval, compact_peers, message_text, put_compact,
    },
};

/// What a tracker says to an announce.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AnnounceResponse {
    /// Peers.
    Reply(AnnounceReply),
    /// `failure reason`.
    Failure {
        /// The tracker's words, printable.
        reason: String,
        /// `retry in` (BEP 31).
        retry_in: Option<RetryIn>,
    },
}

/// What a tracker says to a scrape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScrapeResponse {
    /// Counts, at most [`SCRAPE_HASHES_MAX`] torrents.
    Entries(Vec<(InfoHash, ScrapeEntry)>),
    /// `failure reason`.
    Failure {
        /// The tracker's words, printable.
        reason: String,
    },
}

/// When a refused client may come back (BEP 31).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryIn {
    /// After this many minutes.
    Minutes(u32),
    /// Never: this is no tracker.
    Never,
}

/// Why a body is no reply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReplyError {
    /// It is not bencode.
    #[error("reply is not bencode: {0}")]
    NotBencode(#[from] DecodeError),
    /// It is bencode, and no dictionary.
    #[error("reply is no dictionary")]
    NotADictionary,
    /// It is a dictionary without anything that a reply has.
    #[error("reply has neither {expected} nor a failure reason")]
    Empty {
        /// What is missing.
        expected: &'static str,
    },
}

/// In which form peers are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerForm {
    /// `peers` and `peers6` as byte strings (BEP 23, 7).
    Compact,
    /// A list of dictionaries without peer ids (BEP 3, `no_peer_id`).
    Dictionaries,
}

/// Lists of this size are what [`crate::http::INFLATED_LEN_MAX`] can hold of dictionaries.
const LIMITS: Limits = Limits {
    depth_max: 10,
    values_max: 200_000,
    canonical: false,
};

fn decode_dict(body: &[u8]) -> Result<(Node<'_>, bool), ReplyError> {
    // Some trackers end the body with a line end.
    let (node, noted) = bencode::decode_noting(body.trim_ascii_end(), LIMITS)?;
    match node.as_dict() {
        Some(_) => Ok((node, noted.is_empty())),
        None => Err(ReplyError::NotADictionary),
    }
}

/// Reads the reply to an announce.
///
/// # Errors
///
/// [`ReplyError`] where it is none. What can be survived is an [`Oddity`] in the reply.
pub fn decode_announce(body: &[u8]) -> Result<AnnounceResponse, ReplyError> {
    let (dict, canonical) = decode_dict(body)?;
    if let Some(reason) = dict.get("failure reason") {
        let reason = reason.as_bytes().map(message_text).unwrap_or_default();
        return Ok(AnnounceResponse::Failure {
            reason,
            retry_in: retry_in(&dict),
        });
    }
    if ["interval", "peers", "peers6"]
        .iter()
        .all(|key| dict.get(key).is_none())
    {
        return Err(ReplyError::Empty {
            expected: "interval and peers",
        });
    }
    let mut oddities = Oddities::default();
    if !canonical {
        oddities.note(Oddity::NotCanonical);
    }
    let interval_secs = match oddities.int(&dict, "interval") {
        Some(said) => oddities.interval("interval", said),
        None => INTERVAL_SECS_DEFAULT,
    };
    let min = oddities
        .int(&dict, "min interval")
        .filter(|&said| said != 0);
    let interval_secs_min = min.map(|said| oddities.interval("min interval", said));
    let complete = oddities.count(&dict, "complete");
    let incomplete = oddities.count(&dict, "incomplete");
    let peers = peers(&dict, &mut oddities);
    let warning = oddities.bytes(&dict, "warning message").map(message_text);
    let external_ip = oddities.bytes(&dict, "external ip").and_then(|bytes| {
        let ip = ip_of_bytes(bytes);
        if ip.is_none() {
            oddities.note(Oddity::WrongValue { key: "external ip" });
        }
        ip
    });
    let tracker_id = oddities.bytes(&dict, "tracker id").and_then(|id| {
        if id.len() > TRACKER_ID_LEN_MAX {
            oddities.note(Oddity::WrongValue { key: "tracker id" });
            return None;
        }
        Some(id.to_vec())
    });
    Ok(AnnounceResponse::Reply(AnnounceReply {
        interval_secs,
        interval_secs_min,
        complete,
        incomplete,
        peers,
        warning,
        external_ip,
        tracker_id,
        oddities: oddities.0,
    }))
}

/// A tracker id goes into every later announce: a longer one is not kept.
const TRACKER_ID_LEN_MAX: usize = 256;

fn retry_in(dict: &Node<'_>) -> Option<RetryIn> {
    let node = dict.get("retry in")?;
    if node
        .as_bytes()
        .is_some_and(|text| text.eq_ignore_ascii_case(b"never"))
    {
        return Some(RetryIn::Never);
    }
    let text = || node.as_str().and_then(|text| text.trim().parse().ok());
    let minutes = node.as_int().or_else(text)?;
    u32::try_from(minutes).ok().map(RetryIn::Minutes)
}

#[derive(Default)]
struct Oddities(Vec<Oddity>);

impl Oddities {
    fn note(&mut self, oddity: Oddity) {
        if self.0.len() < ODDITIES_PER_REPLY_MAX {
            self.0.push(oddity);
        }
    }

    fn int(&mut self, dict: &Node<'_>, key: &'static str) -> Option<i64> {
        let node = dict.get(key)?;
        let int = node.as_int();
        if int.is_none() {
            self.note(Oddity::WrongValue { key });
        }
        int
    }

    fn count(&mut self, dict: &Node<'_>, key: &'static str) -> Option<u32> {
        let count = u32::try_from(self.int(dict, key)?).ok();
        if count.is_none() {
            self.note(Oddity::WrongValue { key });
        }
        count
    }

    fn bytes<'a>(&mut self, dict: &Node<'a>, key: &'static str) -> Option<&'a [u8]> {
        let node = dict.get(key)?;
        let bytes = node.as_bytes();
        if bytes.is_none() {
            self.note(Oddity::WrongValue { key });
        }
        bytes
    }

    fn interval(&mut self, what: &'static str, said: i64) -> u32 {
        let (used, oddity) = clamp_interval(what, said);
        if let Some(oddity) = oddity {
            self.note(oddity);
        }
        used
    }
}

fn peers(dict: &Node<'_>, oddities: &mut Oddities) -> Vec<SocketAddr> {
    let mut peers = Vec::new();
    let mut said = 0;
    for (key, family) in [("peers", Family::V4), ("peers6", Family::V6)] {
        let Some(node) = dict.get(key) else { continue };
        let room = PEERS_PER_REPLY_MAX - peers.len();
        if let Some(bytes) = node.as_bytes() {
            let stride = family.stride();
            said += bytes.len() / stride;
            if !bytes.len().is_multiple_of(stride) {
                oddities.note(Oddity::RaggedPeers {
                    key,
                    len: bytes.len(),
                    stride,
                });
            }
            peers.extend(compact_peers(bytes, family).take(room));
        } else if let Some(list) = node.as_list() {
            said += list.len();
            let (mut kept, mut without_addr) = (0, 0);
            for peer in list.iter().take(room) {
                match dict_peer(peer) {
                    Some(addr) => peers.push(addr),
                    None => without_addr += 1,
                }
                kept += 1;
            }
            // What was left out for another reason is not counted again as too many.
            said -= without_addr.min(kept);
            if without_addr > 0 {
                oddities.note(Oddity::PeersWithoutAddr {
                    count: without_addr,
                });
            }
        } else {
            oddities.note(Oddity::WrongValue { key });
        }
    }
    if said > peers.len() {
        oddities.note(Oddity::TooManyPeers {
            said,
            kept: peers.len(),
        });
    }
    peers
}

fn dict_peer(peer: &Node<'_>) -> Option<SocketAddr> {
    let ip = peer.get_str("ip")?.parse::<IpAddr>().ok()?;
    let port = u16::try_from(peer.get_int("port")?).ok()?;
    Some(SocketAddr::new(ip, port))
}

fn ip_of_bytes(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(ip) = <[u8; 4]>::try_from(bytes) {
        return Some(ip.into());
    }
    if let Ok(ip) = <[u8; 16]>::try_from(bytes) {
        return Some(ip.into());
    }
    // As text, which some trackers send against BEP 24.
    std::str::from_utf8(bytes).ok()?.parse().ok()
}

/// Reads the reply to a scrape. Entries without counts count as zero.
///
/// # Errors
///
/// [`ReplyError`] where it is none.
pub fn decode_scrape(body: &[u8]) -> Result<ScrapeResponse, ReplyError> {
    let (dict, _) = decode_dict(body)?;
    let files = dict.get("files").and_then(Node::as_dict);
    if let Some(reason) = dict.get("failure reason")
        && files.is_none()
    {
        let reason = reason.as_bytes().map(message_text).unwrap_or_default();
        return Ok(ScrapeResponse::Failure { reason });
    }
    let files = files.ok_or(ReplyError::Empty { expected: "files" })?;
    let entries = files.iter().filter_map(|(hash, entry)| {
        let hash = InfoHash(<[u8; 20]>::try_from(*hash).ok()?);
        let count = |key| {
            entry
                .get_int(key)
                .and_then(|n| u32::try_from(n).ok())
                .unwrap_or(0)
        };
        let entry = ScrapeEntry {
            complete: count("complete"),
            downloaded: count("downloaded"),
            incomplete: count("incomplete"),
        };
        Some((hash, entry))
    });
    Ok(ScrapeResponse::Entries(
        entries.take(SCRAPE_HASHES_MAX).collect(),
    ))
}

/// Appends the reply to an announce. Keys are sorted, as bencode asks.
pub fn encode_announce(out: &mut Vec<u8>, reply: &AnnounceReply, form: PeerForm) {
    out.push(b'd');
    put_count(out, "complete", reply.complete);
    if let Some(ip) = reply.external_ip {
        put_str(out, b"external ip");
        match ip {
            IpAddr::V4(ip) => put_str(out, &ip.octets()),
            IpAddr::V6(ip) => put_str(out, &ip.octets()),
        }
    }
    put_count(out, "incomplete", reply.incomplete);
    put_count(out, "interval", Some(reply.interval_secs));
    put_count(out, "min interval", reply.interval_secs_min);
    match form {
        PeerForm::Compact => {
            let v6 = reply.peers.iter().filter(|peer| peer.is_ipv6()).count();
            put_str(out, b"peers");
            put_len(out, (reply.peers.len() - v6) * Family::V4.stride());
            reply
                .peers
                .iter()
                .filter(|peer| peer.is_ipv4())
                .for_each(|&p| put_compact(out, p));
            if v6 > 0 {
                put_str(out, b"peers6");
                put_len(out, v6 * Family::V6.stride());
                reply
                    .peers
                    .iter()
                    .filter(|peer| peer.is_ipv6())
                    .for_each(|&p| put_compact(out, p));
            }
        }
        PeerForm::Dictionaries => {
            put_str(out, b"peers");
            out.push(b'l');
            for peer in &reply.peers {
                out.push(b'd');
                put_str(out, b"ip");
                put_str(out, peer.ip().to_string().as_bytes());
                put_count(out, "port", Some(u32::from(peer.port())));
                out.push(b'e');
            }
            out.push(b'e');
        }
    }
    if let Some(id) = &reply.tracker_id {
        put_str(out, b"tracker id");
        put_str(out, id);
    }
    if let Some(warning) = &reply.warning {
        put_str(out, b"warning message");
        put_str(out, warning.as_bytes());
    }
    out.push(b'e');
}

/// Appends a refusal.
pub fn encode_failure(out: &mut Vec<u8>, reason: &str) {
    out.push(b'd');
    put_str(out, b"failure reason");
    put_str(out, reason.as_bytes());
    out.push(b'e');
}

/// Appends the reply to a scrape; `entries` are sorted here.
pub fn encode_scrape(out: &mut Vec<u8>, entries: &[(InfoHash, ScrapeEntry)]) {
    let mut entries = entries.to_vec();
    entries.sort_unstable_by_key(|(hash, _)| *hash);
    entries.dedup_by_key(|(hash, _)| *hash);
    out.extend_from_slice(b"d5:filesd");
    for (hash, entry) in entries {
        put_str(out, &hash.0);
        out.push(b'd');
        put_count(out, "complete", Some(entry.complete));
        put_count(out, "downloaded", Some(entry.downloaded));
        put_count(out, "incomplete", Some(entry.incomplete));
        out.push(b'e');
    }
    out.extend_from_slice(b"ee");
}

fn put_len(out: &mut Vec<u8>, len: usize) {
    out.extend_from_slice(format!("{len}:").as_bytes());
}

fn put_str(out: &mut Vec<u8>, bytes: &[u8]) {
    put_len(out, bytes.len());
    out.extend_from_slice(bytes);
}

fn put_count(out: &mut Vec<u8>, key: &str, count: Option<u32>) {
    if let Some(count) = count {
        put_str(out, key.as_bytes());
        out.extend_from_slice(format!("i{count}e").as_bytes());
    }
}
