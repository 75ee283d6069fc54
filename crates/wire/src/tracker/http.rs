//! Announce and scrape over HTTP: the query strings and the bencoded replies (BEP 3, 7, 23, 24, 31,
//! 48). The HTTP around them is [`crate::http`].
//!
//! What it is: both directions, for the client and for the tracker. Replies are read tolerantly,
//! and everything that was mended or left out is an [`super::Oddity`]; bytes are never believed
//! beyond the limits of [`super`].

mod query;
mod reply;
#[cfg(test)]
mod tests;

pub use query::{
    HashField, QueryError, announce_target, parse_announce, parse_scrape, percent_decode,
    percent_encode, scrape_target,
};
pub use reply::{
    AnnounceResponse, PeerForm, ReplyError, RetryIn, ScrapeResponse, decode_announce,
    decode_scrape, encode_announce, encode_failure, encode_scrape,
};

/// How many torrents one scrape may name, as over UDP.
pub const SCRAPE_HASHES_MAX: usize = super::udp::SCRAPE_HASHES_MAX;
