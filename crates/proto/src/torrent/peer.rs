//! What a torrent keeps of one connection.

use std::{net::SocketAddr, time::Duration};

use skep_wire::{Block, Moment, PeerId, PieceIndex, Said, peer::HashRequest, piece::BLOCK_LEN};

use super::{
    CHOKE_RATE_SECS, LEAF_REQUEST_SECS, LEAF_REQUESTS_BURST, PeerKey, PeerView, RELIEF_MS,
    UPLOAD_WINDOW_MIN, WINDOW_FIRST, WINDOW_GROWTH, WINDOW_MIN, WINDOW_SPARE_MS, rate::Rate,
};
use crate::peer::{PeerConn, bucket::Bucket};

/// Seconds over which rates are shown and windows sized.
pub(super) const RATE_SECS: u64 = 5;

/// A connection that stands.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) conn: PeerConn,
    pub(super) addr: SocketAddr,
    pub(super) outgoing: bool,
    /// Where it can be connected to: the address that we dialled, or its listening port as it says.
    pub(super) listens_at: Option<SocketAddr>,
    pub(super) since: Moment,
    pub(super) opened_at: Option<Moment>,
    pub(super) peer_id: Option<Said<PeerId>>,
    pub(super) client: Option<Said<String>>,
    pub(super) upload_only: bool,
    /// Whether its set of pieces was counted by the picker piece for piece.
    pub(super) counted: bool,
    /// How many pieces it claims that we lack.
    pub(super) wanted: u32,
    pub(super) down: Rate,
    pub(super) up: Rate,
    pub(super) down_bytes: u64,
    pub(super) up_bytes: u64,
    pub(super) window: Window,
    /// The piece that it was last asked for.
    pub(super) current: Option<PieceIndex>,
    /// Since when it owes a block of what is outstanding.
    pub(super) owes_since: Option<Moment>,
    /// Since when it has owed blocks and sent none, taken-back requests included.
    pub(super) silent_since: Option<Moment>,
    pub(super) snubs_us: bool,
    pub(super) parole: bool,
    /// It refused while it did not choke us: nothing is asked before.
    pub(super) paused_until: Moment,
    /// Blocks that the driver has and has not reported sent.
    pub(super) in_flight: usize,
    /// When we last choked or unchoked it.
    pub(super) turned_at: Moment,
    /// Since when neither side is interested.
    pub(super) useless_since: Option<Moment>,
    /// Its request for hashes that the driver has.
    pub(super) hash_job: Option<HashRequest>,
    /// For requests that cost us more than they cost the peer.
    pub(super) leaf_requests: Bucket,
    /// Its requests for hashes wait until then.
    pub(super) hashes_from: Moment,
}

impl Peer {
    pub(super) fn new(conn: PeerConn, addr: SocketAddr, outgoing: bool, now: Moment) -> Self {
        Self {
            conn,
            addr,
            outgoing,
            listens_at: outgoing.then_some(addr),
            since: now,
            opened_at: None,
            peer_id: None,
            client: None,
            upload_only: false,
            counted: true,
            wanted: 0,
            down: Rate::new(now),
            up: Rate::new(now),
            down_bytes: 0,
            up_bytes: 0,
            window: Window::default(),
            current: None,
            owes_since: None,
            silent_since: None,
            snubs_us: false,
            parole: false,
            paused_until: Moment::ZERO,
            in_flight: 0,
            turned_at: now,
            useless_since: Some(now),
            hash_job: None,
            leaf_requests: Bucket::new(LEAF_REQUESTS_BURST, LEAF_REQUEST_SECS),
            hashes_from: Moment::ZERO,
        }
    }

    /// Whether it came in and has not shaken hands.
    pub(super) fn is_unopened(&self) -> bool {
        !self.outgoing && self.opened_at.is_none() && !self.conn.is_closed()
    }

    /// Whether it claims every piece.
    pub(super) fn claims_all(&self) -> bool {
        self.conn.peer_pieces().0.is_full()
    }

    /// Whether it says that it fetches nothing more (BEP 21), or has everything.
    pub(super) fn fetches_nothing(&self) -> bool {
        self.upload_only || self.claims_all()
    }

    /// Whether it has owed blocks for a while and sent none. It may prove itself by a block, but what
    /// others would send is asked of them.
    pub(super) fn is_silent(&self, now: Moment) -> bool {
        let late = |since| now.since(since) >= Duration::from_millis(RELIEF_MS);
        self.snubs_us || self.silent_since.is_some_and(late)
    }

    /// How many requests may be outstanding now.
    pub(super) fn window(&self, now: Moment) -> usize {
        if self.is_silent(now) {
            1
        } else {
            self.window.size.min(self.conn.requests_max())
        }
    }

    /// How many blocks the driver may have for it: what leaves in half a second, for what was handed
    /// over cannot be taken back when the peer cancels.
    pub(super) fn upload_window(&self, most: usize, now: Moment) -> usize {
        let blocks = self.up.per_sec(RATE_SECS, now) / (2 * u64::from(BLOCK_LEN));
        usize::try_from(blocks)
            .unwrap_or(usize::MAX)
            .clamp(UPLOAD_WINDOW_MIN, most.max(UPLOAD_WINDOW_MIN))
    }

    /// How many milliseconds it takes to send `blocks` blocks, by what it sent lately; `None` while
    /// it has sent nothing lately.
    pub(super) fn queue_ms(&self, blocks: usize, now: Moment) -> Option<u64> {
        let bytes = (blocks as u64).saturating_mul(u64::from(BLOCK_LEN));
        bytes
            .saturating_mul(1000)
            .checked_div(self.down.per_sec(CHOKE_RATE_SECS, now))
    }

    pub(super) fn view(&self, peer: PeerKey, now: Moment) -> PeerView {
        PeerView {
            peer,
            addr: self.addr,
            outgoing: self.outgoing,
            peer_id: self.peer_id,
            client: self.client.clone(),
            pieces: Said(self.conn.peer_pieces().0.count()),
            down_rate: self.down.per_sec(RATE_SECS, now),
            up_rate: self.up.per_sec(RATE_SECS, now),
            down_bytes: self.down_bytes,
            up_bytes: self.up_bytes,
            peer_chokes_us: self.conn.peer_chokes_us(),
            we_choke_peer: self.conn.we_choke_peer(),
            outstanding: self.conn.outstanding_count(),
        }
    }
}

/// How many requests keep a peer busy: its rate times the delay of an answer, and a second more.
///
/// At first it grows with each block that comes, until the rate no longer rises by a quarter in a
/// second; by then rate and delay are known. The delay is the least that was seen, for a longer one
/// contains our own queue, and grows slowly so that a changed path is noticed.
///
/// That first growth is fourfold from answer to answer while answers take no longer than the first
/// did, for then nothing queues yet: clients that look at their requests twice a second only would
/// otherwise take five seconds to reach their rate. Once answers take twice as long, our requests
/// wait for each other, and the window grows by no more than what comes.
#[derive(Debug)]
pub(super) struct Window {
    size: usize,
    starting: bool,
    rate_before: u64,
    delay_nanos: Option<u64>,
    /// Whether the latest delay was more than twice the least.
    queues: bool,
    probe: Option<(Block, Moment)>,
}

impl Default for Window {
    fn default() -> Self {
        Self {
            size: WINDOW_FIRST,
            starting: true,
            rate_before: 0,
            delay_nanos: None,
            queues: false,
            probe: None,
        }
    }
}

impl Window {
    /// A block was asked for.
    pub(super) fn asked(&mut self, block: Block, now: Moment) {
        self.probe.get_or_insert((block, now));
    }

    /// A block came.
    pub(super) fn arrived(&mut self, block: Block, now: Moment) {
        if let Some((_, at)) = self.probe.take_if(|(probe, _)| *probe == block) {
            let delay = now.since(at).as_nanos() as u64;
            let least = self.delay_nanos.map_or(delay, |least| least.min(delay));
            self.delay_nanos = Some(least);
            self.queues = delay > 2 * least;
        }
        if self.starting {
            self.size += if self.queues { 1 } else { WINDOW_GROWTH };
        }
    }

    /// A request was taken back or refused.
    pub(super) fn lost(&mut self, block: Block) {
        self.probe.take_if(|(probe, _)| *probe == block);
    }

    /// A second has passed; `rate` is what came lately in bytes a second.
    pub(super) fn tick(&mut self, rate: u64) {
        if self.starting && rate > 0 && self.rate_before > 0 {
            self.starting = rate > self.rate_before + self.rate_before / 4;
        }
        self.rate_before = rate;
        if let Some(delay) = &mut self.delay_nanos {
            *delay += *delay / 64;
        }
        if !self.starting {
            let delay = Duration::from_nanos(self.delay_nanos.unwrap_or(0))
                + Duration::from_millis(WINDOW_SPARE_MS);
            let bytes = u128::from(rate) * delay.as_nanos() / 1_000_000_000;
            let blocks = bytes / u128::from(BLOCK_LEN);
            self.size = usize::try_from(blocks)
                .unwrap_or(usize::MAX)
                .max(WINDOW_MIN);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 10 MB/s at 50 ms: 640 blocks a second times 1.05 s.
    #[test]
    fn the_window_settles_at_rate_times_delay_and_a_second_more() {
        let mut window = Window::default();
        let block = Block {
            piece: PieceIndex(0),
            begin: 0,
            len: BLOCK_LEN,
        };
        window.asked(block, Moment::ZERO);
        window.arrived(block, Moment::from_millis(50));
        assert_eq!(window.size, WINDOW_FIRST + WINDOW_GROWTH);
        window.tick(5_000_000);
        window.tick(10_000_000);
        assert!(window.starting);
        window.tick(10_485_760);
        assert_eq!(window.size, 673, "the delay has grown by three 64ths");
        window.tick(0);
        assert_eq!(window.size, WINDOW_MIN);
    }
}
