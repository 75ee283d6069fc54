//! Asking for hashes, and being asked (BEP 52).

use std::collections::VecDeque;

use skep_hash::Sha256Digest;
use skep_wire::{
    Moment, Said,
    peer::{
        HashRequest, Message,
        hashes::{HASH_LEN, HASHES_ASKED_MAX, digests},
    },
};

use super::{
    Event, HASH_REQUESTS_IN_MAX, HASH_REQUESTS_OUT_MAX, HASHES_UNASKED_MAX, HASHES_VOIDED_MAX,
    PeerConn, Violation, conn::Phase,
};

/// The requests of both sides.
#[derive(Debug, Default)]
pub(super) struct HashTalk {
    /// Ours that were neither answered nor refused.
    outstanding: VecDeque<HashRequest>,
    /// Ours that we no longer wait for, whose answers may still come.
    voided: VecDeque<HashRequest>,
    /// The peer's that were neither answered nor refused.
    wanted: VecDeque<HashRequest>,
    unasked: u32,
}

impl HashTalk {
    pub(super) fn clear(&mut self) {
        self.outstanding.clear();
        self.wanted.clear();
    }

    /// How many requests are outstanding, voided, and unanswered by us.
    pub(super) fn counts(&self) -> [usize; 3] {
        [&self.outstanding, &self.voided, &self.wanted].map(VecDeque::len)
    }

    /// Whether the answer is to a request that stands; `None` if it is to none that was ever made.
    fn take(&mut self, request: HashRequest) -> Option<bool> {
        if take(&mut self.outstanding, request) {
            Some(true)
        } else {
            take(&mut self.voided, request).then_some(false)
        }
    }

    fn note_unasked(&mut self) -> Result<(), Violation> {
        self.unasked += 1;
        let limit = HASHES_UNASKED_MAX;
        if self.unasked > limit {
            return Err(Violation::HashesUnasked { limit });
        }
        Ok(())
    }
}

fn take(queue: &mut VecDeque<HashRequest>, request: HashRequest) -> bool {
    let at = queue.iter().position(|&known| known == request);
    at.is_some_and(|at| queue.remove(at).is_some())
}

impl PeerConn {
    /// Asks for hashes. Returns `false`, and does nothing, unless version 2 was agreed, the request
    /// makes sense and is for at most [`HASHES_ASKED_MAX`] hashes of a layer, fewer than
    /// [`HASH_REQUESTS_OUT_MAX`] are outstanding, and it is none of these.
    pub fn request_hashes(&mut self, request: HashRequest, now: Moment) -> bool {
        let may = self.phase == Phase::Open
            && self.agreed.v2
            && request.check().is_ok()
            && request.length <= HASHES_ASKED_MAX
            && self.hash_talk.outstanding.len() < HASH_REQUESTS_OUT_MAX
            && !self.hash_talk.outstanding.contains(&request);
        if may {
            self.hash_talk.outstanding.push_back(request);
            self.say(&Message::HashRequest(request), now);
        }
        may
    }

    /// Waits for the answer no longer. One that still comes is passed over.
    pub fn forget_hashes(&mut self, request: HashRequest) {
        if take(&mut self.hash_talk.outstanding, request) {
            if self.hash_talk.voided.len() == HASHES_VOIDED_MAX {
                self.hash_talk.voided.pop_front();
            }
            self.hash_talk.voided.push_back(request);
        }
    }

    /// The requests for hashes that the peer made and that were neither answered nor refused, oldest
    /// first.
    pub fn peer_hash_requests(&self) -> impl Iterator<Item = HashRequest> {
        self.hash_talk.wanted.iter().copied()
    }

    /// Answers a request for hashes. Does nothing unless it is unanswered.
    pub fn send_hashes(&mut self, request: HashRequest, hashes: &[Sha256Digest], now: Moment) {
        if take(&mut self.hash_talk.wanted, request) {
            let bytes: Vec<u8> = hashes.iter().flat_map(|hash| hash.0).collect();
            let hashes = &bytes;
            self.say(&Message::Hashes { request, hashes }, now);
        }
    }

    /// Refuses a request for hashes. Does nothing unless it is unanswered.
    pub fn reject_hashes(&mut self, request: HashRequest, now: Moment) {
        if take(&mut self.hash_talk.wanted, request) {
            self.say(&Message::HashReject(request), now);
        }
    }

    pub(super) fn take_hash_request(&mut self, request: HashRequest) -> Result<(), Violation> {
        let limit = HASH_REQUESTS_IN_MAX;
        if self.hash_talk.wanted.len() >= limit {
            return Err(Violation::HashRequestsTooMany { limit });
        }
        self.hash_talk.wanted.push_back(request);
        self.push_event(Event::PeerWantsHashes(request));
        Ok(())
    }

    pub(super) fn take_hashes(
        &mut self,
        request: HashRequest,
        hashes: &[u8],
    ) -> Result<(), Violation> {
        match self.hash_talk.take(request) {
            Some(true) => {
                let (got, expected) = ((hashes.len() / HASH_LEN) as u64, request.hash_count());
                if got != expected {
                    return Err(Violation::HashCount { got, expected });
                }
                let hashes = Said(digests(hashes).collect());
                self.push_event(Event::Hashes { request, hashes });
                Ok(())
            }
            Some(false) => Ok(()),
            None => self.hash_talk.note_unasked(),
        }
    }

    pub(super) fn take_hash_reject(&mut self, request: HashRequest) -> Result<(), Violation> {
        match self.hash_talk.take(request) {
            Some(true) => {
                self.push_event(Event::HashesRefused(request));
                Ok(())
            }
            Some(false) => Ok(()),
            None => self.hash_talk.note_unasked(),
        }
    }
}
