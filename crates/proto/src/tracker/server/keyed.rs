//! A hash for tables whose keys strangers choose: SipHash-1-3 under a key drawn by the operator's
//! machine, so that nobody can prepare keys that collide.

use std::hash::{BuildHasher, Hasher};

/// Makes hashers under one key.
#[derive(Debug, Clone, Copy)]
pub(super) struct Keyed(pub(super) [u64; 2]);

impl BuildHasher for Keyed {
    type Hasher = Sip13;

    fn build_hasher(&self) -> Sip13 {
        let [k0, k1] = self.0;
        Sip13 {
            v: [
                k0 ^ 0x736f_6d65_7073_6575,
                k1 ^ 0x646f_7261_6e64_6f6d,
                k0 ^ 0x6c79_6765_6e65_7261,
                k1 ^ 0x7465_6462_7974_6573,
            ],
            tail: 0,
            tail_len: 0,
            len: 0,
        }
    }
}

/// The state over what was written so far.
#[derive(Debug, Clone)]
pub(super) struct Sip13 {
    v: [u64; 4],
    /// Bytes that fill no word yet, little-endian.
    tail: u64,
    tail_len: u32,
    len: u8,
}

impl Sip13 {
    fn round(&mut self) {
        let [mut a, mut b, mut c, mut d] = self.v;
        a = a.wrapping_add(b);
        b = b.rotate_left(13) ^ a;
        a = a.rotate_left(32);
        c = c.wrapping_add(d);
        d = d.rotate_left(16) ^ c;
        a = a.wrapping_add(d);
        d = d.rotate_left(21) ^ a;
        c = c.wrapping_add(b);
        b = b.rotate_left(17) ^ c;
        c = c.rotate_left(32);
        self.v = [a, b, c, d];
    }

    fn word(&mut self, word: u64) {
        self.v[3] ^= word;
        self.round();
        self.v[0] ^= word;
    }
}

impl Hasher for Sip13 {
    fn write(&mut self, bytes: &[u8]) {
        self.len = self.len.wrapping_add(bytes.len().to_le_bytes()[0]);
        let mut bytes = bytes;
        if self.tail_len == 0 {
            while let Some((word, rest)) = bytes.split_first_chunk::<8>() {
                self.word(u64::from_le_bytes(*word));
                bytes = rest;
            }
        }
        for &byte in bytes {
            self.tail |= u64::from(byte) << (8 * self.tail_len);
            self.tail_len += 1;
            if self.tail_len == 8 {
                let word = std::mem::take(&mut self.tail);
                self.tail_len = 0;
                self.word(word);
            }
        }
    }

    fn finish(&self) -> u64 {
        let mut state = self.clone();
        state.word(u64::from(self.len) << 56 | self.tail);
        state.v[2] ^= 0xff;
        (0..3).for_each(|_| state.round());
        state.v.into_iter().fold(0, |hash, v| hash ^ v)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The standard library's hasher is SipHash-1-3 too, under a zero key: an independent check,
    /// with writes split at every place.
    #[test]
    fn agrees_with_the_standard_librarys_siphash_however_writes_are_split() {
        let bytes: Vec<u8> = (0..40).collect();
        for len in 0..bytes.len() {
            let mut reference = std::collections::hash_map::DefaultHasher::new();
            reference.write(&bytes[..len]);
            for split in 0..=len {
                let mut ours = Keyed([0, 0]).build_hasher();
                ours.write(&bytes[..split]);
                ours.write(&bytes[split..len]);
                assert_eq!(
                    ours.finish(),
                    reference.finish(),
                    "{len} bytes, split at {split}"
                );
            }
        }
        let one = Keyed([1, 2]).hash_one(7u8);
        assert_ne!(one, Keyed([1, 3]).hash_one(7u8));
    }
}
