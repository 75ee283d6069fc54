//! Query strings. Info-hashes and peer ids are raw bytes, percent-coded.

use std::net::IpAddr;

use super::SCRAPE_HASHES_MAX;
use crate::{
    InfoHash, PeerId,
    http::Url,
    tracker::{AnnounceEvent, AnnounceRequest},
};

/// Why a query is no announce or scrape.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// A key that must be there is not.
    #[error("{key} is missing")]
    Missing {
        /// The key.
        key: &'static str,
    },
    /// An info-hash or peer id of the wrong length.
    #[error("{field} has {len} bytes, expected 20")]
    WrongLen {
        /// Which.
        field: HashField,
        /// Its length, decoded.
        len: usize,
    },
    /// A `%` without two hexadecimal digits.
    #[error("malformed percent-coding in {field}")]
    BadPercent {
        /// Where.
        field: HashField,
    },
    /// A number that is none, or is out of range.
    #[error("{key} is not a number in range")]
    BadNumber {
        /// The key.
        key: &'static str,
    },
    /// More torrents than one scrape may name.
    #[error("scrape of more than {limit} torrents")]
    TooManyHashes {
        /// [`SCRAPE_HASHES_MAX`].
        limit: usize,
    },
}

/// The fields that hold 20 raw bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HashField {
    /// `info_hash`.
    InfoHash,
    /// `peer_id`.
    PeerId,
}

impl std::fmt::Display for HashField {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::InfoHash => "info_hash",
            Self::PeerId => "peer_id",
        })
    }
}

/// Appends `bytes` with everything but unreserved characters (RFC 3986) percent-coded.
pub fn percent_encode(out: &mut String, bytes: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}

/// Decodes percent-coded bytes; `None` where a `%` is not followed by two digits. A `+` stays a
/// `+`: this is no form.
pub fn percent_decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, tail @ ..] = rest {
        if *first == b'%' {
            let [high, low, tail @ ..] = tail else {
                return None;
            };
            let digit = |c: u8| {
                char::from(c)
                    .to_digit(16)
                    .and_then(|d| u8::try_from(d).ok())
            };
            out.push(digit(*high)? << 4 | digit(*low)?);
            rest = tail;
        } else {
            out.push(*first);
            rest = tail;
        }
    }
    Some(out)
}

/// Path and query of an announce to `url`. `tracker_id` is what the tracker gave before.
pub fn announce_target(url: &Url, request: &AnnounceRequest, tracker_id: Option<&[u8]>) -> String {
    let mut out = with_query(url);
    out.push_str("info_hash=");
    percent_encode(&mut out, &request.info_hash.0);
    out.push_str("&peer_id=");
    percent_encode(&mut out, &request.peer_id.0);
    out.push_str(&format!(
        "&port={}&uploaded={}&downloaded={}&left={}&compact={}&no_peer_id=1&key={:08X}",
        request.port,
        request.uploaded,
        request.downloaded,
        request.left,
        u8::from(request.compact),
        request.key,
    ));
    if let Some(num_want) = request.num_want {
        out.push_str(&format!("&numwant={num_want}"));
    }
    match request.event {
        AnnounceEvent::Regular => {}
        AnnounceEvent::Started => out.push_str("&event=started"),
        AnnounceEvent::Completed => out.push_str("&event=completed"),
        AnnounceEvent::Stopped => out.push_str("&event=stopped"),
    }
    if let Some(ip) = request.ip {
        out.push_str("&ip=");
        percent_encode(&mut out, ip.to_string().as_bytes());
    }
    if let Some(id) = tracker_id {
        out.push_str("&trackerid=");
        percent_encode(&mut out, id);
    }
    out
}

/// Path and query of a scrape at `url`, which is a scrape URL ([`Url::scrape`]).
pub fn scrape_target(url: &Url, info_hashes: &[InfoHash]) -> String {
    let mut out = with_query(url);
    for (n, hash) in info_hashes.iter().take(SCRAPE_HASHES_MAX).enumerate() {
        out.push_str(if n == 0 { "info_hash=" } else { "&info_hash=" });
        percent_encode(&mut out, &hash.0);
    }
    out
}

/// The target of `url` and what joins another parameter to it.
fn with_query(url: &Url) -> String {
    let mut out = url.target.clone();
    match out.find('?') {
        None => out.push('?'),
        Some(at) if at + 1 < out.len() && !out.ends_with('&') => out.push('&'),
        Some(_) => {}
    }
    out
}

fn params(query: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    query
        .split(|&byte| byte == b'&')
        .map(|pair| match pair.iter().position(|&byte| byte == b'=') {
            Some(at) => (&pair[..at], &pair[at + 1..]),
            None => (pair, &pair[pair.len()..]),
        })
}

fn parse_hash(text: &[u8], field: HashField) -> Result<[u8; 20], QueryError> {
    let bytes = percent_decode(text).ok_or(QueryError::BadPercent { field })?;
    let len = bytes.len();
    bytes
        .try_into()
        .map_err(|_| QueryError::WrongLen { field, len })
}

fn parse_number<T: std::str::FromStr>(key: &'static str, text: &[u8]) -> Result<T, QueryError> {
    let bad = QueryError::BadNumber { key };
    let text = std::str::from_utf8(text).map_err(|_| bad.clone())?;
    text.parse().map_err(|_| bad)
}

/// Reads the query of an announce. Unknown keys and events are ignored; of a repeated key the last
/// one counts. Without `compact` the compact form is taken as wanted (BEP 23 recommends it).
///
/// # Errors
///
/// [`QueryError`] with the first thing that is missing or wrong.
pub fn parse_announce(query: &[u8]) -> Result<AnnounceRequest, QueryError> {
    let (mut info_hash, mut peer_id, mut port) = (None, None, None);
    let (mut uploaded, mut downloaded, mut left) = (0, 0, None);
    let (mut event, mut num_want, mut key, mut ip) = (AnnounceEvent::Regular, None, 0, None);
    let mut compact = true;
    for (name, value) in params(query) {
        match name {
            b"info_hash" => info_hash = Some(parse_hash(value, HashField::InfoHash)?),
            b"peer_id" => peer_id = Some(parse_hash(value, HashField::PeerId)?),
            b"port" => port = Some(parse_number("port", value)?),
            b"uploaded" => uploaded = parse_number("uploaded", value)?,
            b"downloaded" => downloaded = parse_number("downloaded", value)?,
            b"left" => left = Some(parse_left(value)?),
            b"event" => {
                event = match value {
                    b"started" => AnnounceEvent::Started,
                    b"completed" => AnnounceEvent::Completed,
                    b"stopped" => AnnounceEvent::Stopped,
                    _ => AnnounceEvent::Regular,
                }
            }
            b"numwant" => {
                // Negative leaves it to the tracker, as over UDP.
                num_want = u32::try_from(parse_number::<i64>("numwant", value)?).ok();
            }
            b"key" => key = parse_key(value),
            b"ip" => ip = parse_ip(value),
            b"compact" => compact = value != b"0",
            _ => {}
        }
    }
    Ok(AnnounceRequest {
        info_hash: InfoHash(info_hash.ok_or(QueryError::Missing { key: "info_hash" })?),
        peer_id: PeerId(peer_id.ok_or(QueryError::Missing { key: "peer_id" })?),
        port: port.ok_or(QueryError::Missing { key: "port" })?,
        uploaded,
        downloaded,
        left: left.ok_or(QueryError::Missing { key: "left" })?,
        event,
        num_want,
        key,
        ip,
        compact,
    })
}

/// `left`; clients that do not know it yet (magnet links) have sent -1.
fn parse_left(value: &[u8]) -> Result<u64, QueryError> {
    if value == b"-1" {
        Ok(u64::MAX)
    } else {
        parse_number("left", value)
    }
}

/// `key` is any text by custom; hexadecimal where it is ours, mixed into a number else.
fn parse_key(value: &[u8]) -> u32 {
    let hex = std::str::from_utf8(value)
        .ok()
        .and_then(|text| u32::from_str_radix(text, 16).ok());
    hex.unwrap_or_else(|| crate::http::gzip::crc32(value))
}

fn parse_ip(value: &[u8]) -> Option<IpAddr> {
    String::from_utf8(percent_decode(value)?).ok()?.parse().ok()
}

/// Reads the query of a scrape.
///
/// # Errors
///
/// [`QueryError`]; a scrape of everything (no info-hash) is refused.
pub fn parse_scrape(query: &[u8]) -> Result<Vec<InfoHash>, QueryError> {
    let mut hashes = Vec::new();
    for (_, value) in params(query).filter(|(name, _)| *name == b"info_hash") {
        if hashes.len() == SCRAPE_HASHES_MAX {
            return Err(QueryError::TooManyHashes {
                limit: SCRAPE_HASHES_MAX,
            });
        }
        hashes.push(InfoHash(parse_hash(value, HashField::InfoHash)?));
    }
    if hashes.is_empty() {
        return Err(QueryError::Missing { key: "info_hash" });
    }
    Ok(hashes)
}
