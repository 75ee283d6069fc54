//! Eight lanes in 256-bit vectors.

#![allow(
    unsafe_code,
    reason = "vector loads and stores take pointers, and calls into code for a detected feature"
)]

use std::arch::x86_64::*;

use super::{Blocks, LANES_MAX, Rows};

/// One word of each of eight lanes.
pub(super) type Vector = __m256i;

/// Says that the machine has what this module's code needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Avx2(());

impl Avx2 {
    /// The token, where the machine has AVX2.
    pub(super) fn detect() -> Option<Self> {
        std::arch::is_x86_feature_detected!("avx2").then_some(Self(()))
    }

    /// SHA-1 of the next `count` blocks of the first eight lanes.
    pub(super) fn sha1(self, rows: &mut Rows<5>, blocks: &Blocks<'_>, count: usize) {
        // SAFETY: a token exists only where the feature was detected.
        unsafe { plain::sha1(rows, blocks, count) }
    }

    /// SHA-256 of the next `count` blocks of the first eight lanes.
    pub(super) fn sha256(self, rows: &mut Rows<8>, blocks: &Blocks<'_>, count: usize) {
        // SAFETY: a token exists only where the feature was detected.
        unsafe { plain::sha256(rows, blocks, count) }
    }
}

/// The first eight words of a row.
#[target_feature(enable = "avx2")]
#[inline]
pub(super) fn load_row(row: &[u32; LANES_MAX]) -> Vector {
    // SAFETY: the row is 64 bytes, of which 32 are read; the instruction asks for no alignment.
    unsafe { _mm256_loadu_si256(row.as_ptr().cast()) }
}

#[target_feature(enable = "avx2")]
#[inline]
pub(super) fn store_row(row: &mut [u32; LANES_MAX], vector: Vector) {
    // SAFETY: the row is 64 bytes, of which 32 are written; the instruction asks for no alignment.
    unsafe { _mm256_storeu_si256(row.as_mut_ptr().cast(), vector) }
}

/// Words `4 * quarter` to `4 * quarter + 3` of a block.
#[target_feature(enable = "avx2")]
#[inline]
pub(super) fn load_four(block: &[u8; 64], quarter: usize) -> __m128i {
    let words = &block.as_chunks::<16>().0[quarter];
    // SAFETY: 16 bytes are read; the instruction asks for no alignment.
    unsafe { _mm_loadu_si128(words.as_ptr().cast()) }
}

/// Word `t` of block `n` of each of the first eight lanes as vector `t`.
///
/// Four words at a time: lane `l` and lane `l + 4` are loaded into the halves of one vector, so that
/// what is left is a transposition of 4 by 4 within each half.
#[target_feature(enable = "avx2")]
#[inline]
pub(super) fn load_words(blocks: &Blocks<'_>, n: usize) -> [Vector; 16] {
    let swap = _mm256_set_epi64x(
        0x0c0d_0e0f_0809_0a0b,
        0x0405_0607_0001_0203,
        0x0c0d_0e0f_0809_0a0b,
        0x0405_0607_0001_0203,
    );
    let mut out = [_mm256_setzero_si256(); 16];
    for quarter in 0..4 {
        let mut r = [_mm256_setzero_si256(); 4];
        for (l, row) in r.iter_mut().enumerate() {
            let low = load_four(&blocks[l][n], quarter);
            let high = load_four(&blocks[l + 4][n], quarter);
            let both = _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(low), high);
            *row = _mm256_shuffle_epi8(both, swap);
        }
        let s = [
            _mm256_unpacklo_epi32(r[0], r[1]),
            _mm256_unpackhi_epi32(r[0], r[1]),
            _mm256_unpacklo_epi32(r[2], r[3]),
            _mm256_unpackhi_epi32(r[2], r[3]),
        ];
        out[4 * quarter] = _mm256_unpacklo_epi64(s[0], s[2]);
        out[4 * quarter + 1] = _mm256_unpackhi_epi64(s[0], s[2]);
        out[4 * quarter + 2] = _mm256_unpacklo_epi64(s[1], s[3]);
        out[4 * quarter + 3] = _mm256_unpackhi_epi64(s[1], s[3]);
    }
    out
}

#[target_feature(enable = "avx2")]
#[inline]
pub(super) fn splat(word: u32) -> Vector {
    _mm256_set1_epi32(word.cast_signed())
}

#[target_feature(enable = "avx2")]
#[inline]
pub(super) fn add(a: Vector, b: Vector) -> Vector {
    _mm256_add_epi32(a, b)
}

#[target_feature(enable = "avx2")]
#[inline]
pub(super) fn xor(a: Vector, b: Vector) -> Vector {
    _mm256_xor_si256(a, b)
}

#[target_feature(enable = "avx2")]
#[inline]
pub(super) fn shift<const N: i32>(a: Vector) -> Vector {
    _mm256_srli_epi32::<N>(a)
}

/// What AVX2 has no single instruction for.
mod plain {
    use std::arch::x86_64::*;

    use super::{Blocks, Rows, Vector, add, load_row, load_words, shift, splat, store_row, xor};
    use crate::lanes::rounds::*;

    kernels!("avx2");

    #[target_feature(enable = "avx2")]
    #[inline]
    fn xor3(a: Vector, b: Vector, c: Vector) -> Vector {
        xor(xor(a, b), c)
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    fn choose(a: Vector, b: Vector, c: Vector) -> Vector {
        xor(c, _mm256_and_si256(a, xor(b, c)))
    }

    /// The `a ^ b` of one round is the `b ^ c` of the next, which the compiler sees.
    #[target_feature(enable = "avx2")]
    #[inline]
    fn majority(a: Vector, b: Vector, c: Vector) -> Vector {
        xor(b, _mm256_and_si256(xor(a, b), xor(b, c)))
    }

    /// Rotates each word left by `N`; `M` is `32 - N`.
    #[target_feature(enable = "avx2")]
    #[inline]
    fn left<const N: i32, const M: i32>(a: Vector) -> Vector {
        _mm256_or_si256(_mm256_slli_epi32::<N>(a), _mm256_srli_epi32::<M>(a))
    }

    /// Rotates each word right by `N`; `M` is `32 - N`.
    #[target_feature(enable = "avx2")]
    #[inline]
    fn right<const N: i32, const M: i32>(a: Vector) -> Vector {
        left::<M, N>(a)
    }
}
