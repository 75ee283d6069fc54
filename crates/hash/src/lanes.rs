//! Many SHA-1 or SHA-256 streams at once.
//!
//! What it is: digests of many messages (pieces, blocks, pairs of a Merkle layer) in one call, and
//! running states of many streams that are fed together. What it is not: a reason to gather what
//! comes singly; one message alone is hashed by [`crate::sha1`] and [`crate::sha256`] just as fast.
//!
//! ```text
//! sha256_blocks   equal blocks of one stretch of bytes: the leaves of BEP 52
//! sha256_pairs    two digests to one: a layer of its tree from the layer below
//! sha1_each       messages of any lengths, all at hand
//! Stream          a message that comes in parts; update_each feeds many streams a part each
//! ```
//!
//! [`Engine`] is the machine code that does the work. Which one was chosen changes no digest.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod engine;
#[cfg(target_arch = "x86_64")]
mod rounds;
mod schedule;
#[cfg(target_arch = "x86_64")]
mod sha_ni;

use crate::{Sha1, Sha1Digest, Sha256, Sha256Digest};
use engine::Code;
pub use engine::Engine;
use schedule::Job;

/// Lanes of the widest code.
const LANES_MAX: usize = 16;

/// Messages whose states and padded ends are held at once: a few ten KiB, however many there are.
const MESSAGES_AT_ONCE: usize = 256;

/// The states of all lanes: one row a word, one column a lane.
type Rows<const WORDS: usize> = [[u32; LANES_MAX]; WORDS];

/// What each lane hashes next.
type Blocks<'b> = [&'b [[u8; 64]]; LANES_MAX];

/// The two hashes, by the types of their single streams: [`Sha1`] and [`Sha256`].
pub trait Algorithm: sealed::Compress {}

impl Algorithm for Sha1 {}
impl Algorithm for Sha256 {}

mod sealed {
    /// What a stream needs of its hash. Both hash blocks of 64 bytes and pad alike (FIPS 180-4,
    /// section 5.1.1).
    pub trait Compress: Sized {
        /// The running state.
        type State: Copy + AsRef<[u32]> + AsMut<[u32]>;
        /// What comes out.
        type Digest: Copy;
        /// The state before the first block.
        const START: Self::State;
        /// The states of all lanes, word by word.
        type Rows: AsMut<[[u32; super::LANES_MAX]]>;
        /// Rows of zeroes.
        const ROWS: Self::Rows;
        /// Takes `blocks` into `state`, one after the other.
        fn compress(state: &mut Self::State, blocks: &[[u8; 64]]);
        /// The code that pays for `live` streams; none if they go one after the other.
        fn code(engine: super::Engine, live: usize) -> Option<super::Code>;
        /// Takes the next `count` blocks of each of the first `live` lanes into its column of `rows`.
        fn run(
            code: super::Code,
            live: usize,
            rows: &mut Self::Rows,
            blocks: &super::Blocks<'_>,
            count: usize,
        );
        /// The state after the last block as the digest's bytes.
        fn digest(state: &Self::State) -> Self::Digest;
    }
}

impl sealed::Compress for Sha1 {
    type State = [u32; 5];
    type Rows = Rows<5>;
    const ROWS: Rows<5> = [[0; LANES_MAX]; 5];
    type Digest = Sha1Digest;
    const START: [u32; 5] = [
        0x6745_2301,
        0xefcd_ab89,
        0x98ba_dcfe,
        0x1032_5476,
        0xc3d2_e1f0,
    ];

    fn compress(state: &mut [u32; 5], blocks: &[[u8; 64]]) {
        sha1::block_api::compress(state, blocks);
    }

    fn code(engine: Engine, live: usize) -> Option<Code> {
        engine.sha1(live)
    }

    fn run(code: Code, live: usize, rows: &mut Rows<5>, blocks: &Blocks<'_>, count: usize) {
        code.run_sha1(live, rows, blocks, count);
    }

    fn digest(state: &[u32; 5]) -> Sha1Digest {
        let mut out = [0; 20];
        for (four, word) in out.as_chunks_mut::<4>().0.iter_mut().zip(state) {
            *four = word.to_be_bytes();
        }
        Sha1Digest(out)
    }
}

impl sealed::Compress for Sha256 {
    type State = [u32; 8];
    type Rows = Rows<8>;
    const ROWS: Rows<8> = [[0; LANES_MAX]; 8];
    type Digest = Sha256Digest;
    const START: [u32; 8] = [
        0x6a09_e667,
        0xbb67_ae85,
        0x3c6e_f372,
        0xa54f_f53a,
        0x510e_527f,
        0x9b05_688c,
        0x1f83_d9ab,
        0x5be0_cd19,
    ];

    fn compress(state: &mut [u32; 8], blocks: &[[u8; 64]]) {
        sha2::block_api::compress256(state, blocks);
    }

    fn code(engine: Engine, live: usize) -> Option<Code> {
        engine.sha256(live)
    }

    fn run(code: Code, live: usize, rows: &mut Rows<8>, blocks: &Blocks<'_>, count: usize) {
        code.run_sha256(live, rows, blocks, count);
    }

    fn digest(state: &[u32; 8]) -> Sha256Digest {
        let mut out = [0; 32];
        for (four, word) in out.as_chunks_mut::<4>().0.iter_mut().zip(state) {
            *four = word.to_be_bytes();
        }
        Sha256Digest(out)
    }
}

/// Returns the SHA-1 of each message, in order. Lengths may differ.
pub fn sha1_each(messages: &[&[u8]]) -> Vec<Sha1Digest> {
    Engine::best().sha1_each(messages)
}

/// Returns the SHA-256 of each message, in order. Lengths may differ.
pub fn sha256_each(messages: &[&[u8]]) -> Vec<Sha256Digest> {
    Engine::best().sha256_each(messages)
}

/// Returns the SHA-256 of each block of `block_len` bytes, in order; the last may be shorter. No
/// bytes are no block.
///
/// # Panics
///
/// If `block_len` is 0.
pub fn sha256_blocks(bytes: &[u8], block_len: usize) -> Vec<Sha256Digest> {
    Engine::best().sha256_blocks(bytes, block_len)
}

/// Returns for each pair the SHA-256 of its 64 bytes: the layer above, in a tree of BEP 52.
pub fn sha256_pairs(pairs: &[[Sha256Digest; 2]]) -> Vec<Sha256Digest> {
    Engine::best().sha256_pairs(pairs)
}

/// Appends to each stream its bytes. The streams are hashed in step, so give stretches that fit into
/// the cache together (a few ten KiB each), of about the same length.
pub fn update_each<H: Algorithm>(parts: &mut [(&mut Stream<H>, &[u8])]) {
    Engine::best().update_each(parts);
}

/// Returns the digest of each stream, in order.
pub fn finish_each<H: Algorithm>(streams: Vec<Stream<H>>) -> Vec<H::Digest> {
    Engine::best().finish_each(streams)
}

impl Engine {
    /// See [`sha1_each`].
    pub fn sha1_each(self, messages: &[&[u8]]) -> Vec<Sha1Digest> {
        self.each::<Sha1>(messages)
    }

    /// See [`sha256_each`].
    pub fn sha256_each(self, messages: &[&[u8]]) -> Vec<Sha256Digest> {
        self.each::<Sha256>(messages)
    }

    /// See [`sha256_blocks`].
    ///
    /// # Panics
    ///
    /// If `block_len` is 0.
    pub fn sha256_blocks(self, bytes: &[u8], block_len: usize) -> Vec<Sha256Digest> {
        let blocks: Vec<&[u8]> = bytes.chunks(block_len).collect();
        self.each::<Sha256>(&blocks)
    }

    /// See [`sha256_pairs`].
    pub fn sha256_pairs(self, pairs: &[[Sha256Digest; 2]]) -> Vec<Sha256Digest> {
        let mut digests = Vec::with_capacity(pairs.len());
        let (end, _) = padded(&[], 64);
        let mut messages = [[[0; 64], end[0]]; LANES_MAX];
        for pairs in pairs.chunks(self.lanes()) {
            for ([message, _], [left, right]) in messages.iter_mut().zip(pairs) {
                message[..32].copy_from_slice(&left.0);
                message[32..].copy_from_slice(&right.0);
            }
            schedule::start_equal::<Sha256>(self, &messages[..pairs.len()], &mut digests);
        }
        digests
    }

    /// See [`update_each`].
    pub fn update_each<H: Algorithm>(self, parts: &mut [(&mut Stream<H>, &[u8])]) {
        let mut jobs = Vec::with_capacity(parts.len());
        for (stream, bytes) in parts.iter_mut() {
            let (blocks, rest) = stream.fill(bytes).as_chunks();
            stream.keep(blocks.len(), rest);
            jobs.push(Job {
                state: stream.state,
                blocks,
            });
        }
        schedule::run::<H>(self, &mut jobs);
        for ((stream, _), job) in parts.iter_mut().zip(jobs) {
            stream.state = job.state;
        }
    }

    /// See [`finish_each`].
    pub fn finish_each<H: Algorithm>(self, streams: Vec<Stream<H>>) -> Vec<H::Digest> {
        let ends: Vec<_> = streams
            .iter()
            .map(|stream| padded(&stream.tail[..stream.held()], stream.len))
            .collect();
        let mut digests = Vec::with_capacity(streams.len());
        let ends = ends.iter().map(|(blocks, count)| &blocks[..*count]);
        self.compress::<H>(
            streams.iter().map(|stream| stream.state).zip(ends),
            &mut digests,
        );
        digests
    }

    /// The digests of whole messages.
    fn each<H: Algorithm>(self, messages: &[&[u8]]) -> Vec<H::Digest> {
        let mut digests = Vec::with_capacity(messages.len());
        for messages in messages.chunks(MESSAGES_AT_ONCE) {
            let mut jobs = Vec::with_capacity(messages.len());
            let mut ends = Vec::with_capacity(messages.len());
            for message in messages {
                let (blocks, rest) = message.as_chunks();
                jobs.push(Job {
                    state: H::START,
                    blocks,
                });
                ends.push(padded(rest, message.len() as u64));
            }
            schedule::run::<H>(self, &mut jobs);
            let ends = ends.iter().map(|(blocks, count)| &blocks[..*count]);
            self.compress::<H>(jobs.iter().map(|job| job.state).zip(ends), &mut digests);
        }
        digests
    }

    /// Appends the digests of states after the blocks that end their messages.
    fn compress<'b, H: Algorithm>(
        self,
        ends: impl Iterator<Item = (H::State, &'b [[u8; 64]])>,
        digests: &mut Vec<H::Digest>,
    ) {
        let mut jobs: Vec<_> = ends.map(|(state, blocks)| Job { state, blocks }).collect();
        schedule::run::<H>(self, &mut jobs);
        digests.extend(jobs.iter().map(|job| H::digest(&job.state)));
    }
}

/// One message that comes in parts, to be fed together with others by [`update_each`].
#[derive(Clone)]
pub struct Stream<H: Algorithm> {
    state: H::State,
    /// What does not fill a block yet: the first `len % 64` bytes.
    tail: [u8; 64],
    /// Bytes appended so far. FIPS 180-4 ends at 2⁶¹ bytes, which nobody reaches.
    len: u64,
}

/// A SHA-1 stream for [`update_each`].
pub type Sha1Stream = Stream<Sha1>;

/// A SHA-256 stream for [`update_each`].
pub type Sha256Stream = Stream<Sha256>;

impl<H: Algorithm> Default for Stream<H> {
    fn default() -> Self {
        Self::new()
    }
}

impl<H: Algorithm> Stream<H> {
    /// Starts an empty stream.
    pub fn new() -> Self {
        Self {
            state: H::START,
            tail: [0; 64],
            len: 0,
        }
    }

    /// Appends bytes to this stream alone.
    pub fn update(&mut self, bytes: &[u8]) {
        let bytes = self.fill(bytes);
        let (blocks, rest) = bytes.as_chunks();
        H::compress(&mut self.state, blocks);
        self.keep(blocks.len(), rest);
    }

    /// Returns the digest of everything appended.
    pub fn finish(mut self) -> H::Digest {
        let (blocks, count) = padded(&self.tail[..self.held()], self.len);
        H::compress(&mut self.state, &blocks[..count]);
        H::digest(&self.state)
    }

    /// How many bytes of `tail` count.
    fn held(&self) -> usize {
        (self.len % 64) as usize
    }

    /// Completes the block that `tail` began; returns the bytes that are left, which begin at a
    /// block's border unless none are.
    fn fill<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        let held = self.held();
        if held == 0 {
            return bytes;
        }
        let (first, rest) = bytes.split_at(bytes.len().min(64 - held));
        self.tail[held..held + first.len()].copy_from_slice(first);
        self.len += first.len() as u64;
        if self.held() == 0 {
            H::compress(&mut self.state, &[self.tail]);
        }
        rest
    }

    /// Counts `blocks` whole blocks that were compressed, and keeps the rest.
    fn keep(&mut self, blocks: usize, rest: &[u8]) {
        self.len += 64 * blocks as u64;
        let held = self.held();
        self.tail[held..held + rest.len()].copy_from_slice(rest);
        self.len += rest.len() as u64;
    }
}

/// The last one or two blocks of a message of `len` bytes whose whole blocks were compressed and of
/// which `rest` is left: a one bit, zeroes, the length in bits.
fn padded(rest: &[u8], len: u64) -> ([[u8; 64]; 2], usize) {
    let mut blocks = [[0; 64]; 2];
    let count = if rest.len() < 56 { 1 } else { 2 };
    blocks[0][..rest.len()].copy_from_slice(rest);
    blocks[0][rest.len()] = 0x80;
    blocks[count - 1][56..].copy_from_slice(&(len << 3).to_be_bytes());
    (blocks, count)
}

#[cfg(test)]
mod tests;
