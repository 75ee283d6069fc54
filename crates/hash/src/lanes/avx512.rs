//! Sixteen lanes in 512-bit vectors, and eight in 256-bit vectors with the same instructions for
//! when few streams are left.
//!
//! Against AVX2 there are three gains: rotations are one instruction, any function of three words is
//! one (`ternarylogic`, whose constant is the function's truth table), and 32 registers hold the
//! whole message block.

#![allow(
    unsafe_code,
    reason = "vector loads and stores take pointers, and calls into code for a detected feature"
)]

use super::{Blocks, Rows};

/// Says that the machine has what this module's code needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Avx512(());

impl Avx512 {
    /// The token, where the machine has AVX-512 F, BW and VL (all that have BW have it in practice).
    pub(super) fn detect() -> Option<Self> {
        let has = std::arch::is_x86_feature_detected!("avx512f")
            && std::arch::is_x86_feature_detected!("avx512bw")
            && std::arch::is_x86_feature_detected!("avx512vl");
        has.then_some(Self(()))
    }

    /// SHA-1 of the next `count` blocks of all lanes.
    pub(super) fn sha1_sixteen(self, rows: &mut Rows<5>, blocks: &Blocks<'_>, count: usize) {
        // SAFETY: a token exists only where the features were detected.
        unsafe { wide::sha1(rows, blocks, count) }
    }

    /// SHA-1 of the next `count` blocks of the first eight lanes.
    pub(super) fn sha1_eight(self, rows: &mut Rows<5>, blocks: &Blocks<'_>, count: usize) {
        // SAFETY: a token exists only where the features were detected.
        unsafe { narrow::sha1(rows, blocks, count) }
    }

    /// SHA-256 of the next `count` blocks of all lanes.
    pub(super) fn sha256_sixteen(self, rows: &mut Rows<8>, blocks: &Blocks<'_>, count: usize) {
        // SAFETY: a token exists only where the features were detected.
        unsafe { wide::sha256(rows, blocks, count) }
    }

    /// SHA-256 of the next `count` blocks of the first eight lanes.
    pub(super) fn sha256_eight(self, rows: &mut Rows<8>, blocks: &Blocks<'_>, count: usize) {
        // SAFETY: a token exists only where the features were detected.
        unsafe { narrow::sha256(rows, blocks, count) }
    }
}

/// Truth tables of `ternarylogic`: bit `4x + 2y + z` is the function's value there.
const XOR3: i32 = 0x96;
const CHOOSE: i32 = 0xca;
const MAJORITY: i32 = 0xe8;

/// Sixteen lanes.
mod wide {
    use std::arch::x86_64::*;

    use super::{CHOOSE, MAJORITY, XOR3};
    use crate::lanes::{Blocks, LANES_MAX, Rows, avx2::load_four, rounds::*};

    type Vector = __m512i;

    kernels!("avx512f,avx512bw");

    #[target_feature(enable = "avx512f")]
    #[inline]
    fn load_row(row: &[u32; LANES_MAX]) -> Vector {
        // SAFETY: the row is 64 bytes; the instruction asks for no alignment.
        unsafe { _mm512_loadu_si512(row.as_ptr().cast()) }
    }

    #[target_feature(enable = "avx512f")]
    #[inline]
    fn store_row(row: &mut [u32; LANES_MAX], vector: Vector) {
        // SAFETY: the row is 64 bytes; the instruction asks for no alignment.
        unsafe { _mm512_storeu_si512(row.as_mut_ptr().cast(), vector) }
    }

    /// Word `t` of block `n` of every lane as vector `t`.
    ///
    /// Four words at a time: lanes `l`, `l + 4`, `l + 8` and `l + 12` are loaded into the quarters of
    /// one vector, so that what is left is a transposition of 4 by 4 within each quarter. That is as
    /// fast on Zen 4 as whole loads and a transposition of 16 by 16, with half its shuffles. Gathers
    /// take four times as long.
    #[target_feature(enable = "avx512f,avx512bw")]
    #[inline]
    fn load_words(blocks: &Blocks<'_>, n: usize) -> [Vector; 16] {
        let b = [
            &blocks[0][n],
            &blocks[1][n],
            &blocks[2][n],
            &blocks[3][n],
            &blocks[4][n],
            &blocks[5][n],
            &blocks[6][n],
            &blocks[7][n],
            &blocks[8][n],
            &blocks[9][n],
            &blocks[10][n],
            &blocks[11][n],
            &blocks[12][n],
            &blocks[13][n],
            &blocks[14][n],
            &blocks[15][n],
        ];
        let [w0, w1, w2, w3] = load_quarter(&b, 0);
        let [w4, w5, w6, w7] = load_quarter(&b, 1);
        let [w8, w9, w10, w11] = load_quarter(&b, 2);
        let [w12, w13, w14, w15] = load_quarter(&b, 3);
        [
            w0, w1, w2, w3, w4, w5, w6, w7, w8, w9, w10, w11, w12, w13, w14, w15,
        ]
    }

    /// Words `4 * quarter` to `4 * quarter + 3` of every lane.
    #[target_feature(enable = "avx512f,avx512bw")]
    #[inline]
    fn load_quarter(b: &[&[u8; 64]; 16], quarter: usize) -> [Vector; 4] {
        let r = [
            load_lanes([b[0], b[4], b[8], b[12]], quarter),
            load_lanes([b[1], b[5], b[9], b[13]], quarter),
            load_lanes([b[2], b[6], b[10], b[14]], quarter),
            load_lanes([b[3], b[7], b[11], b[15]], quarter),
        ];
        let s = [
            _mm512_unpacklo_epi32(r[0], r[1]),
            _mm512_unpackhi_epi32(r[0], r[1]),
            _mm512_unpacklo_epi32(r[2], r[3]),
            _mm512_unpackhi_epi32(r[2], r[3]),
        ];
        [
            _mm512_unpacklo_epi64(s[0], s[2]),
            _mm512_unpackhi_epi64(s[0], s[2]),
            _mm512_unpacklo_epi64(s[1], s[3]),
            _mm512_unpackhi_epi64(s[1], s[3]),
        ]
    }

    /// Four words of each of four lanes, in the order of our machine.
    #[target_feature(enable = "avx512f,avx512bw")]
    #[inline]
    fn load_lanes(b: [&[u8; 64]; 4], quarter: usize) -> Vector {
        let all = _mm512_castsi128_si512(load_four(b[0], quarter));
        let all = _mm512_mask_broadcast_i32x4(all, 0x00f0, load_four(b[1], quarter));
        let all = _mm512_mask_broadcast_i32x4(all, 0x0f00, load_four(b[2], quarter));
        let all = _mm512_mask_broadcast_i32x4(all, 0xf000, load_four(b[3], quarter));
        let swap = _mm_set_epi64x(0x0c0d_0e0f_0809_0a0b, 0x0405_0607_0001_0203);
        _mm512_shuffle_epi8(all, _mm512_broadcast_i32x4(swap))
    }

    #[target_feature(enable = "avx512f")]
    #[inline]
    fn splat(word: u32) -> Vector {
        _mm512_set1_epi32(word.cast_signed())
    }

    #[target_feature(enable = "avx512f")]
    #[inline]
    fn add(a: Vector, b: Vector) -> Vector {
        _mm512_add_epi32(a, b)
    }

    #[target_feature(enable = "avx512f")]
    #[inline]
    fn xor(a: Vector, b: Vector) -> Vector {
        _mm512_xor_si512(a, b)
    }

    #[target_feature(enable = "avx512f")]
    #[inline]
    fn xor3(a: Vector, b: Vector, c: Vector) -> Vector {
        _mm512_ternarylogic_epi32::<XOR3>(a, b, c)
    }

    #[target_feature(enable = "avx512f")]
    #[inline]
    fn choose(a: Vector, b: Vector, c: Vector) -> Vector {
        _mm512_ternarylogic_epi32::<CHOOSE>(a, b, c)
    }

    #[target_feature(enable = "avx512f")]
    #[inline]
    fn majority(a: Vector, b: Vector, c: Vector) -> Vector {
        _mm512_ternarylogic_epi32::<MAJORITY>(a, b, c)
    }

    /// Rotates each word left by `N`; `M` is `32 - N`.
    #[target_feature(enable = "avx512f")]
    #[inline]
    fn left<const N: i32, const M: i32>(a: Vector) -> Vector {
        _mm512_rol_epi32::<N>(a)
    }

    /// Rotates each word right by `N`; `M` is `32 - N`.
    #[target_feature(enable = "avx512f")]
    #[inline]
    fn right<const N: i32, const M: i32>(a: Vector) -> Vector {
        _mm512_ror_epi32::<N>(a)
    }

    #[target_feature(enable = "avx512f")]
    #[inline]
    fn shift<const N: u32>(a: Vector) -> Vector {
        _mm512_srli_epi32::<N>(a)
    }
}

/// Eight lanes.
mod narrow {
    use std::arch::x86_64::*;

    use super::{CHOOSE, MAJORITY, XOR3};
    use crate::lanes::{Blocks, Rows, avx2::*, rounds::*};

    kernels!("avx512f,avx512vl");

    #[target_feature(enable = "avx512f,avx512vl")]
    #[inline]
    fn xor3(a: Vector, b: Vector, c: Vector) -> Vector {
        _mm256_ternarylogic_epi32::<XOR3>(a, b, c)
    }

    #[target_feature(enable = "avx512f,avx512vl")]
    #[inline]
    fn choose(a: Vector, b: Vector, c: Vector) -> Vector {
        _mm256_ternarylogic_epi32::<CHOOSE>(a, b, c)
    }

    #[target_feature(enable = "avx512f,avx512vl")]
    #[inline]
    fn majority(a: Vector, b: Vector, c: Vector) -> Vector {
        _mm256_ternarylogic_epi32::<MAJORITY>(a, b, c)
    }

    /// Rotates each word left by `N`; `M` is `32 - N`.
    #[target_feature(enable = "avx512f,avx512vl")]
    #[inline]
    fn left<const N: i32, const M: i32>(a: Vector) -> Vector {
        _mm256_rol_epi32::<N>(a)
    }

    /// Rotates each word right by `N`; `M` is `32 - N`.
    #[target_feature(enable = "avx512f,avx512vl")]
    #[inline]
    fn right<const N: i32, const M: i32>(a: Vector) -> Vector {
        _mm256_ror_epi32::<N>(a)
    }
}
