//! The limits of a peer connection. What a stranger sends must not decide how much we remember.

/// Seconds until a peer must have sent its handshake, whole.
pub const HANDSHAKE_SECS_MAX: u64 = 20;

/// Seconds without a byte after which a connection counts as dead: BEP 3 peers send a keep-alive
/// every two minutes.
pub const IDLE_SECS_MAX: u64 = 150;

/// Seconds without a byte of ours after which we send a keep-alive: well under the two minutes after
/// which other clients give up.
pub const KEEP_ALIVE_SECS: u64 = 100;

/// Seconds that a message may take from its first byte to its last. The longest message that is
/// held, 64 KiB, then needs 1.1 kB/s; most are 17 bytes.
pub const MESSAGE_SECS_MAX: u64 = 60;

/// Seconds that a payload may take: 16 KiB at 137 bytes a second, below any modem.
pub const PAYLOAD_SECS_MAX: u64 = 120;

/// Length of the longest extension message that is read: extension handshakes have some hundred
/// bytes, `ut_pex` with 200 peers of 18 + 1 bytes under 4 KiB; other clients stop at 64 KiB to 1 MiB.
pub const EXTENDED_BYTES_MAX: u32 = 64 * 1024;

/// Length of the longest message of an unknown kind that is skipped rather than ending the
/// connection. It is never held.
pub const UNKNOWN_BYTES_MAX: u32 = 1024 * 1024;

/// Length of the longest block that a peer may ask for or send: everyone asks for 16 KiB, some old
/// clients for 32 KiB; BEP 3 allows to close above 16 KiB, and mainline closed above 128 KiB.
pub const BLOCK_BYTES_MAX: u32 = 128 * 1024;

/// How many of our requests may be outstanding, whatever the peer's `reqq` says: 500 blocks of 16 KiB
/// are 8 MiB, enough for 600 Mbit/s at 100 ms.
pub const REQUESTS_OUT_MAX: usize = 500;

/// How many of our requests may be outstanding while the peer has not said its `reqq`: what other
/// clients assume.
pub const REQUESTS_OUT_DEFAULT: usize = 250;

/// How many unanswered requests of a peer are kept; more is a violation. Our extension handshake
/// should offer a `reqq` below it, see [`REQUESTS_IN_OFFERED`].
pub const REQUESTS_IN_MAX: usize = 2048;

/// The `reqq` that our extension handshake offers.
pub const REQUESTS_IN_OFFERED: u32 = 500;

/// How many requests a peer may send in one spell of being choked. A few cross our choke on the way:
/// at most its whole window.
pub const REQUESTS_CHOKED_MAX: u32 = 4096;

/// How many taken-back or voided requests are remembered, to tell their late blocks from blocks
/// that nobody asked for. Two full windows.
pub const VOIDED_MAX: usize = 2 * REQUESTS_OUT_MAX;

/// How many blocks that nobody asked for are skipped before that is a violation.
pub const UNREQUESTED_MAX: u32 = 16;

/// How many refusals of requests that we never made are passed over. BEP 6 would have us close at
/// the first, but clients answer a cancel with a refusal although the block is on its way.
pub const REJECTS_UNASKED_MAX: u32 = 64;

/// How many pieces a peer may allow us to fetch while choked; further ones are ignored. BEP 6
/// suggests 10.
pub const ALLOWED_FAST_MAX: usize = 64;

/// How many `have` messages for pieces that it already claimed a peer may send, beside one for each
/// piece (clients exist that send all-zero or partial bitfields and haves for everything).
pub const HAVES_REPEATED_MAX: u32 = 1024;

/// How many new pieces a set may name that comes after other messages: each is an event, and all of
/// them come at once.
pub const LATE_GAINS_MAX: u32 = 65_536;

/// Extension handshakes: this many at once, then one every [`EXT_HANDSHAKE_SECS`].
pub const EXT_HANDSHAKES_BURST: u32 = 16;

/// See [`EXT_HANDSHAKES_BURST`].
pub const EXT_HANDSHAKE_SECS: u64 = 10;

/// Peer exchange messages: this many at once, then one every [`PEX_SECS`]. BEP 11 has one a minute;
/// clients drift and send one more when the connection is young.
pub const PEX_BURST: u32 = 8;

/// See [`PEX_BURST`].
pub const PEX_SECS: u64 = 45;

/// Changes of choking and interest by the peer: this many at once, then one every [`TURN_SECS`].
/// Without it a few bytes of choke and unchoke would make us send a window of requests each time.
pub const TURNS_BURST: u32 = 64;

/// See [`TURNS_BURST`].
pub const TURN_SECS: u64 = 1;

/// Pieces that a peer takes back (BEP 54): this many at once, then one every [`DONT_HAVE_SECS`]. Each
/// makes room for one more `have`.
pub const DONT_HAVES_BURST: u32 = 1024;

/// See [`DONT_HAVES_BURST`].
pub const DONT_HAVE_SECS: u64 = 1;

/// How many of our requests for hashes may be outstanding (BEP 52): one that is answered and one that
/// waits, as in libtorrent.
pub const HASH_REQUESTS_OUT_MAX: usize = 2;

/// How many unanswered requests for hashes of a peer are kept; more is a violation. Known clients
/// have two outstanding.
pub const HASH_REQUESTS_IN_MAX: usize = 32;

/// How many requests for hashes that we no longer wait for are remembered, to tell their late answers
/// from answers to nothing.
pub const HASHES_VOIDED_MAX: usize = 32;

/// How many answers to requests for hashes that we never made are passed over.
pub const HASHES_UNASKED_MAX: u32 = 8;

/// How many pieces we let a peer fetch while we choke it (BEP 6), as in libtorrent.
pub const ALLOWED_FAST_OFFERED_MAX: usize = 5;
