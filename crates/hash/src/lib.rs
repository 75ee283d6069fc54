//! Digests and Merkle trees.
//!
//! What it is: the two hashes that BitTorrent and the ledger are made of (SHA-1, BEP 3; SHA-256,
//! BEP 52 and RFC 6962), as one-shot functions, as streams and many at once ([`lanes`]); a SHA-1 that looks
//! for collision attacks ([`collision`]); the BEP 52 tree over the blocks of a file ([`merkle`]) and the
//! RFC 6962 tree over record hashes ([`tree`]). What it is not: a place for keys or signatures (those are in
//! `skep-evidence`).

pub mod collision;
pub mod lanes;
pub mod merkle;
pub mod tree;

use std::fmt;

use sha1::Digest as _;

/// A SHA-1 digest, 20 bytes (BEP 3 pieces and info-hashes).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Sha1Digest(pub [u8; 20]);

/// A SHA-256 digest, 32 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Sha256Digest(pub [u8; 32]);

/// Returns the SHA-1 of `bytes`.
pub fn sha1(bytes: &[u8]) -> Sha1Digest {
    Sha1Digest(sha1::Sha1::digest(bytes).into())
}

/// Returns the SHA-256 of `bytes`.
pub fn sha256(bytes: &[u8]) -> Sha256Digest {
    Sha256Digest(sha2::Sha256::digest(bytes).into())
}

/// A SHA-1 over bytes that arrive in parts.
#[derive(Clone, Default)]
pub struct Sha1(sha1::Sha1);

impl Sha1 {
    /// Starts an empty stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends `bytes`.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Returns the digest of everything appended.
    pub fn finish(self) -> Sha1Digest {
        Sha1Digest(self.0.finalize().into())
    }
}

/// A SHA-256 over bytes that arrive in parts. A clone is a checkpoint of the stream.
#[derive(Clone, Default)]
pub struct Sha256(sha2::Sha256);

impl Sha256 {
    /// Starts an empty stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends `bytes`.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Returns the digest of everything appended.
    pub fn finish(self) -> Sha256Digest {
        Sha256Digest(self.0.finalize().into())
    }
}

macro_rules! digest_text {
    ($name:ident, $len:literal) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl $name {
            /// Reads lower- or upper-case hexadecimal; `None` unless it is exactly the digest's
            /// length.
            pub fn from_hex(text: &str) -> Option<Self> {
                let text = text.as_bytes();
                if text.len() != 2 * $len {
                    return None;
                }
                let mut out = [0u8; $len];
                for (byte, pair) in out.iter_mut().zip(text.chunks_exact(2)) {
                    let high = char::from(pair[0]).to_digit(16)?;
                    let low = char::from(pair[1]).to_digit(16)?;
                    *byte = u8::try_from(high * 16 + low).ok()?;
                }
                Some(Self(out))
            }
        }
    };
}

digest_text!(Sha1Digest, 20);
digest_text!(Sha256Digest, 32);
