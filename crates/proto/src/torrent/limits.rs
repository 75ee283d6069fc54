//! The limits and intervals of a torrent machine. What strangers send must not decide how much we
//! remember, nor how often we act.

/// Greatest number of connections of one torrent, whatever the configuration says.
pub const PEERS_MAX: usize = 1000;

/// Greatest number of connection attempts under way at once.
pub const CONNECTING_MAX: usize = 20;

/// Greatest number of connection attempts begun in one tick. Peer exchange names whom it likes; we
/// must not become a tool that knocks at thousands of doors a second.
pub const DIALS_PER_TICK_MAX: usize = 30;

/// Greatest number of connections with one IP address. Peers behind one address translator share it,
/// and so does a test on one machine.
pub const PEERS_PER_IP_MAX: usize = 32;

/// Greatest number of addresses that are remembered to connect to.
pub const CANDIDATES_MAX: usize = 2000;

/// Greatest number of our own endpoints that are remembered.
pub const OWN_ADDRS_MAX: usize = 64;

/// Greatest number of banned IP addresses; the oldest ban is forgotten.
pub const BANS_MAX: usize = 1024;

/// Greatest number of bad pieces whose blocks' digests and senders are remembered until the piece
/// comes right; of further ones nobody is blamed but a lone sender.
pub const SUSPECT_PIECES_MAX: usize = 64;

/// Seconds between looks at everything that depends on time: timers of connections, slow peers,
/// candidates. Nothing here needs to be finer.
pub const TICK_SECS: u64 = 1;

/// Seconds between rounds of the choker: long enough for TCP to reach its rate (BEP 3).
pub const CHOKE_SECS: u64 = 10;

/// Rounds between changes of the optimistic unchoke: 30 seconds (BEP 3).
pub const OPTIMISTIC_ROUNDS: u32 = 3;

/// Seconds over which a peer's rate is taken for tit for tat (BEP 3: twenty).
pub const CHOKE_RATE_SECS: u64 = 20;

/// Seconds for which a peer keeps its slot when we have everything; then the one that has waited
/// longest gets it.
pub const SEED_TURN_SECS: u64 = 60;

/// Peers connected for less than this many seconds are three times as likely to become the
/// optimistic unchoke, so that newcomers get a first piece (BEP 3).
pub const NEWCOMER_SECS: u64 = 60;

/// Pieces that are picked at random before the rarest come first: a rare piece may take long, and
/// without any piece we have nothing to trade.
pub const RANDOM_FIRST_PIECES: u32 = 4;

/// Requests that a peer is sent at first: more follow for each block that comes, so a fast peer
/// soon has many, and a slow one does not sit on much that others could send.
pub const WINDOW_FIRST: usize = 4;

/// By how many requests a new window grows for each block that comes while answers come undelayed:
/// three, and the one that replaces the block, make four times as many with each answer. The aim is
/// the rate times delay and [`WINDOW_SPARE_MS`], which is four times what one answer brings at a
/// delay of a third of a second, and more below.
pub const WINDOW_GROWTH: usize = 3;

/// The fewest requests that a peer which delivers is kept busy with.
pub const WINDOW_MIN: usize = 2;

/// The fewest blocks that the driver may have for one peer: one that leaves and one that waits.
pub const UPLOAD_WINDOW_MIN: usize = 2;

/// Milliseconds by which a window is longer than rate times delay, so that the peer never runs dry
/// while our loop does something else, and so that a rising rate can show.
pub const WINDOW_SPARE_MS: u64 = 1000;

/// Seconds without a block from a peer that owes us some, after which its blocks are asked of
/// others and it is asked for one at a time. A block of 16 KiB at 1 kB/s takes 16 s.
pub const SNUB_SECS: u64 = 20;

/// Seconds without a block from such a peer after which it is disconnected.
pub const SNUB_DROP_SECS: u64 = 120;

/// Seconds for which a peer that refuses a request although it does not choke us is asked nothing.
pub const REFUSED_PAUSE_SECS: u64 = 2;

/// Greatest number of peers that the same block is asked of at once, in the end game.
pub const COPIES_MAX: usize = 3;

/// Milliseconds for which a peer may owe a block before another is asked for it: most come before,
/// and a copy of those would be waste.
pub const RELIEF_MS: u64 = 2000;

/// Milliseconds after which a second copy of a block that begins to arrive takes the place of the
/// first, which began and does not end.
pub const TAKEOVER_MS: u64 = 2000;

/// Seconds after which a piece under way that nobody is asked for is given up, if its buffer is
/// needed.
pub const STUCK_SECS: u64 = 30;

/// Seconds until an address that failed is tried again; doubled for each further failure.
pub const BACKOFF_SECS: u64 = 15;

/// The most that [`BACKOFF_SECS`] grows to, and the pause after a connection that was of no use.
pub const BACKOFF_SECS_MAX: u64 = 1800;

/// Failures in a row after which an address is forgotten.
pub const FAILURES_MAX: u8 = 6;

/// Seconds for which neither side is interested in the other before a connection may be given up for
/// a new candidate.
pub const USELESS_SECS: u64 = 60;

/// Seconds in which two connections with the same peer count as opened at once: both ends then keep
/// the one that the lower peer id opened. Later, the newer one goes.
pub const TWIN_SECS: u64 = 10;

/// Requests of a peer for the hashes of blocks, which may have to be read from the disk, and requests
/// that make no sense: this many at once, then one every [`LEAF_REQUEST_SECS`]. The others wait.
pub const LEAF_REQUESTS_BURST: u32 = 16;

/// See [`LEAF_REQUESTS_BURST`].
pub const LEAF_REQUEST_SECS: u64 = 1;

/// Seconds for which a peer waits whose request for hashes we refused: some ask again at once.
pub const HASH_REFUSAL_SECS: u64 = 1;

/// Greatest sum of the lengths of the pieces that a peer may fetch while we choke it (BEP 6), in bytes:
/// what every newcomer gets, whoever has the slots. Of longer pieces none is allowed.
pub const ALLOWED_FAST_BYTES_MAX: u32 = 4 * 1024 * 1024;

/// Greatest number of bad pieces at a time of which peers are asked which blocks are wrong (BEP 52).
/// Of further ones all blocks are fetched again.
pub const PROBES_MAX: usize = 16;

/// Seconds that a peer may take to say the hashes of a bad piece's blocks, up to 512 of them. Then the
/// next one is asked.
pub const PROBE_ANSWER_SECS: u64 = 8;

/// Seconds without a right answer after which the blocks of a bad piece are all fetched again.
pub const PROBE_SECS: u64 = 30;

/// How many peers are asked for the hashes of one bad piece at most.
pub const PROBE_PEERS_MAX: usize = 8;
