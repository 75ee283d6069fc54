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

use crate::{Sha1, Sha1Digest, Sha256, Sha256Digest};

/// The two hashes, by the types of their single streams: [`Sha1`] and [`Sha256`].
pub trait Algorithm: sealed::Compress {}

impl Algorithm for Sha1 {}
impl Algorithm for Sha256 {}

mod sealed {
    /// What a stream needs of its hash. Both hash blocks of 64 bytes and pad alike (FIPS 180-4,
    /// section 5.1.1).
    pub trait Compress: Sized {
        /// The running state.
        type State: Copy;
        /// What comes out.
        type Digest: Copy;
        /// The state before the first block.
        const START: Self::State;
        /// Takes `blocks` into `state`, one after the other.
        fn compress(state: &mut Self::State, blocks: &[[u8; 64]]);
        /// The state after the last block as the digest's bytes.
        fn digest(state: &Self::State) -> Self::Digest;
    }
}

impl sealed::Compress for Sha1 {
    type State = [u32; 5];
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

/// The machine code that hashes. A value of it exists only where this machine can run it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Engine(Kind);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// One stream after the other, by the kept crates (SHA-NI where there is one).
    Single,
}

impl Engine {
    /// The fastest that this machine has.
    pub fn best() -> Self {
        Self(Kind::Single)
    }

    /// All that this machine has, to compare them.
    pub fn all() -> Vec<Self> {
        vec![Self(Kind::Single)]
    }

    /// A name for reports.
    pub fn name(self) -> &'static str {
        match self.0 {
            Kind::Single => "single stream",
        }
    }

    /// See [`sha1_each`].
    pub fn sha1_each(self, messages: &[&[u8]]) -> Vec<Sha1Digest> {
        messages
            .iter()
            .map(|message| crate::sha1(message))
            .collect()
    }

    /// See [`sha256_each`].
    pub fn sha256_each(self, messages: &[&[u8]]) -> Vec<Sha256Digest> {
        messages
            .iter()
            .map(|message| crate::sha256(message))
            .collect()
    }

    /// See [`sha256_blocks`].
    ///
    /// # Panics
    ///
    /// If `block_len` is 0.
    pub fn sha256_blocks(self, bytes: &[u8], block_len: usize) -> Vec<Sha256Digest> {
        bytes.chunks(block_len).map(crate::sha256).collect()
    }

    /// See [`sha256_pairs`].
    pub fn sha256_pairs(self, pairs: &[[Sha256Digest; 2]]) -> Vec<Sha256Digest> {
        pairs
            .iter()
            .map(|[left, right]| {
                let mut both = [0; 64];
                both[..32].copy_from_slice(&left.0);
                both[32..].copy_from_slice(&right.0);
                crate::sha256(&both)
            })
            .collect()
    }

    /// See [`update_each`].
    pub fn update_each<H: Algorithm>(self, parts: &mut [(&mut Stream<H>, &[u8])]) {
        for (stream, bytes) in parts {
            stream.update(bytes);
        }
    }

    /// See [`finish_each`].
    pub fn finish_each<H: Algorithm>(self, streams: Vec<Stream<H>>) -> Vec<H::Digest> {
        streams.into_iter().map(Stream::finish).collect()
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
