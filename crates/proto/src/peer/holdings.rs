//! How much a connection machine keeps, each kind beside its limit: for those who check that what a
//! stranger sends does not decide it.

use super::{
    ALLOWED_FAST_MAX, ALLOWED_FAST_OFFERED_MAX, HASH_REQUESTS_IN_MAX, HASH_REQUESTS_OUT_MAX,
    HASHES_VOIDED_MAX, PeerConn, REQUESTS_IN_MAX, REQUESTS_OUT_MAX, VOIDED_MAX,
};

/// How much is kept of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holding {
    /// What, in words.
    pub what: &'static str,
    /// How many.
    pub count: usize,
    /// How many there may be.
    pub most: usize,
}

impl Holding {
    pub(crate) fn new(what: &'static str, count: usize, most: usize) -> Self {
        Self { what, count, most }
    }
}

impl PeerConn {
    /// How much it keeps. What is to be sent and told is part of it: a driver that has drained the
    /// machine finds none.
    pub fn holdings(&self) -> impl Iterator<Item = Holding> {
        let (transmits, events) = self.undrained();
        let [hashes_out, hashes_voided, hashes_in] = self.hash_talk.counts();
        let (voided, allowed) = self.ours.counts();
        [
            ("messages to send", transmits, 0),
            ("events of a connection", events, 0),
            (
                "blocks asked for",
                self.ours.outstanding.len(),
                REQUESTS_OUT_MAX,
            ),
            ("blocks taken back", voided, VOIDED_MAX),
            ("pieces allowed", allowed, ALLOWED_FAST_OFFERED_MAX),
            (
                "blocks a peer asks for",
                self.remote.requests.len(),
                REQUESTS_IN_MAX,
            ),
            (
                "pieces a peer allows",
                self.remote.allowed_fast.len(),
                ALLOWED_FAST_MAX,
            ),
            ("hashes asked for", hashes_out, HASH_REQUESTS_OUT_MAX),
            ("hashes no longer awaited", hashes_voided, HASHES_VOIDED_MAX),
            ("hashes a peer asks for", hashes_in, HASH_REQUESTS_IN_MAX),
        ]
        .into_iter()
        .map(|(what, count, most)| Holding::new(what, count, most))
    }
}
