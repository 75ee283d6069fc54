//! Up to four streams with the SHA instructions, their rounds interleaved.
//!
//! One stream leaves the unit idle most of the time, because each instruction waits for the one
//! before: on AMD's Zen four streams go more than twice as fast as one. The layouts of the registers
//! are those of the kept crates and of the instructions' manual: for SHA-1 `abcd` from the highest
//! word down and `e` in the highest of another, for SHA-256 `abef` and `cdgh`.

#![allow(
    unsafe_code,
    reason = "vector loads take pointers, and calls into code for a detected feature"
)]

use std::arch::x86_64::*;

use super::{Blocks, Rows, rounds::K256};

/// Says that the machine has what this module's code needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ShaNi(());

impl ShaNi {
    /// The token, where the machine has the SHA instructions and SSE 4.1.
    pub(super) fn detect() -> Option<Self> {
        let has = std::arch::is_x86_feature_detected!("sha")
            && std::arch::is_x86_feature_detected!("sse4.1");
        has.then_some(Self(()))
    }

    /// SHA-1 of the next `count` blocks of the first `lanes` lanes.
    pub(super) fn sha1(self, lanes: usize, rows: &mut Rows<5>, blocks: &Blocks<'_>, count: usize) {
        for first in (0..lanes).step_by(4) {
            // SAFETY: a token exists only where the features were detected.
            unsafe {
                match lanes - first {
                    1 => sha1::<1>(rows, blocks, first, count),
                    2 => sha1::<2>(rows, blocks, first, count),
                    3 => sha1::<3>(rows, blocks, first, count),
                    _ => sha1::<4>(rows, blocks, first, count),
                }
            }
        }
    }

    /// SHA-256 of the next `count` blocks of the first `lanes` lanes.
    pub(super) fn sha256(
        self,
        lanes: usize,
        rows: &mut Rows<8>,
        blocks: &Blocks<'_>,
        count: usize,
    ) {
        for first in (0..lanes).step_by(4) {
            // SAFETY: a token exists only where the features were detected.
            unsafe {
                match lanes - first {
                    1 => sha256::<1>(rows, blocks, first, count),
                    2 => sha256::<2>(rows, blocks, first, count),
                    3 => sha256::<3>(rows, blocks, first, count),
                    _ => sha256::<4>(rows, blocks, first, count),
                }
            }
        }
    }
}

/// Words `w[3]` down to `w[0]` as one vector.
#[target_feature(enable = "sse4.1")]
#[inline]
fn pack(w: [u32; 4]) -> __m128i {
    let [a, b, c, d] = w.map(u32::cast_signed);
    _mm_set_epi32(d, c, b, a)
}

/// The words of a vector from the lowest up.
#[target_feature(enable = "sse4.1")]
#[inline]
fn unpack(v: __m128i) -> [u32; 4] {
    [
        _mm_extract_epi32::<0>(v).cast_unsigned(),
        _mm_extract_epi32::<1>(v).cast_unsigned(),
        _mm_extract_epi32::<2>(v).cast_unsigned(),
        _mm_extract_epi32::<3>(v).cast_unsigned(),
    ]
}

#[target_feature(enable = "sse4.1")]
#[inline]
fn load_four(block: &[u8; 64], quarter: usize) -> __m128i {
    let words = &block.as_chunks::<16>().0[quarter];
    // SAFETY: 16 bytes are read; the instruction asks for no alignment.
    unsafe { _mm_loadu_si128(words.as_ptr().cast()) }
}

/// Block `n` of the lanes from `first` on.
#[inline]
fn nth<'b, const N: usize>(blocks: &Blocks<'b>, first: usize, n: usize) -> [&'b [u8; 64]; N] {
    let mut block = [&[0; 64]; N];
    for (block, lane) in block.iter_mut().zip(&blocks[first..]) {
        *block = &lane[n];
    }
    block
}

/// Four rounds of each stream. Round group `$i` takes words `4 * $i` to `4 * $i + 3`.
macro_rules! sha1_four {
    ($n:ident, $block:ident, $abcd:ident, $e:ident, $w:ident, $i:literal, $k:literal) => {
        for l in 0..$n {
            let words = if $i < 4 {
                _mm_shuffle_epi8(
                    load_four($block[l], $i % 4),
                    _mm_set_epi64x(0x0001_0203_0405_0607, 0x0809_0a0b_0c0d_0e0f),
                )
            } else {
                let mixed = _mm_sha1msg1_epu32($w[l][$i % 4], $w[l][($i + 1) % 4]);
                let mixed = _mm_xor_si128(mixed, $w[l][($i + 2) % 4]);
                _mm_sha1msg2_epu32(mixed, $w[l][($i + 3) % 4])
            };
            $w[l][$i % 4] = words;
            let with_e = if $i == 0 {
                _mm_add_epi32($e[l], words)
            } else {
                _mm_sha1nexte_epu32($e[l], words)
            };
            $e[l] = $abcd[l];
            $abcd[l] = _mm_sha1rnds4_epu32::<$k>($abcd[l], with_e);
        }
    };
}

/// SHA-1 of `N` lanes from `first` on.
#[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
fn sha1<const N: usize>(rows: &mut Rows<5>, blocks: &Blocks<'_>, first: usize, count: usize) {
    let zero = _mm_setzero_si128();
    let (mut abcd, mut e) = ([zero; N], [zero; N]);
    for l in 0..N {
        let at = first + l;
        abcd[l] = pack([rows[3][at], rows[2][at], rows[1][at], rows[0][at]]);
        e[l] = pack([0, 0, 0, rows[4][at]]);
    }
    for n in 0..count {
        let block = nth::<N>(blocks, first, n);
        let mut w = [[zero; 4]; N];
        let (old_abcd, old_e) = (abcd, e);
        sha1_four!(N, block, abcd, e, w, 0, 0);
        sha1_four!(N, block, abcd, e, w, 1, 0);
        sha1_four!(N, block, abcd, e, w, 2, 0);
        sha1_four!(N, block, abcd, e, w, 3, 0);
        sha1_four!(N, block, abcd, e, w, 4, 0);
        sha1_four!(N, block, abcd, e, w, 5, 1);
        sha1_four!(N, block, abcd, e, w, 6, 1);
        sha1_four!(N, block, abcd, e, w, 7, 1);
        sha1_four!(N, block, abcd, e, w, 8, 1);
        sha1_four!(N, block, abcd, e, w, 9, 1);
        sha1_four!(N, block, abcd, e, w, 10, 2);
        sha1_four!(N, block, abcd, e, w, 11, 2);
        sha1_four!(N, block, abcd, e, w, 12, 2);
        sha1_four!(N, block, abcd, e, w, 13, 2);
        sha1_four!(N, block, abcd, e, w, 14, 2);
        sha1_four!(N, block, abcd, e, w, 15, 3);
        sha1_four!(N, block, abcd, e, w, 16, 3);
        sha1_four!(N, block, abcd, e, w, 17, 3);
        sha1_four!(N, block, abcd, e, w, 18, 3);
        sha1_four!(N, block, abcd, e, w, 19, 3);
        for l in 0..N {
            e[l] = _mm_sha1nexte_epu32(e[l], old_e[l]);
            abcd[l] = _mm_add_epi32(abcd[l], old_abcd[l]);
        }
    }
    for l in 0..N {
        let at = first + l;
        [rows[3][at], rows[2][at], rows[1][at], rows[0][at]] = unpack(abcd[l]);
        rows[4][at] = unpack(e[l])[3];
    }
}

/// Four rounds of each stream. Round group `$i` takes words `4 * $i` to `4 * $i + 3`.
macro_rules! sha256_four {
    ($n:ident, $block:ident, $abef:ident, $cdgh:ident, $w:ident, $i:literal) => {
        let k = pack([
            K256[4 * $i],
            K256[4 * $i + 1],
            K256[4 * $i + 2],
            K256[4 * $i + 3],
        ]);
        for l in 0..$n {
            let words = if $i < 4 {
                _mm_shuffle_epi8(
                    load_four($block[l], $i % 4),
                    _mm_set_epi64x(0x0c0d_0e0f_0809_0a0b, 0x0405_0607_0001_0203),
                )
            } else {
                let late = $w[l][($i + 3) % 4];
                let mixed = _mm_sha256msg1_epu32($w[l][$i % 4], $w[l][($i + 1) % 4]);
                let mixed = _mm_add_epi32(mixed, _mm_alignr_epi8::<4>(late, $w[l][($i + 2) % 4]));
                _mm_sha256msg2_epu32(mixed, late)
            };
            $w[l][$i % 4] = words;
            let kw = _mm_add_epi32(words, k);
            $cdgh[l] = _mm_sha256rnds2_epu32($cdgh[l], $abef[l], kw);
            $abef[l] = _mm_sha256rnds2_epu32($abef[l], $cdgh[l], _mm_shuffle_epi32::<0x0e>(kw));
        }
    };
}

/// SHA-256 of `N` lanes from `first` on.
#[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
fn sha256<const N: usize>(rows: &mut Rows<8>, blocks: &Blocks<'_>, first: usize, count: usize) {
    let zero = _mm_setzero_si128();
    let (mut abef, mut cdgh) = ([zero; N], [zero; N]);
    for l in 0..N {
        let at = first + l;
        abef[l] = pack([rows[5][at], rows[4][at], rows[1][at], rows[0][at]]);
        cdgh[l] = pack([rows[7][at], rows[6][at], rows[3][at], rows[2][at]]);
    }
    for n in 0..count {
        let block = nth::<N>(blocks, first, n);
        let mut w = [[zero; 4]; N];
        let (old_abef, old_cdgh) = (abef, cdgh);
        sha256_four!(N, block, abef, cdgh, w, 0);
        sha256_four!(N, block, abef, cdgh, w, 1);
        sha256_four!(N, block, abef, cdgh, w, 2);
        sha256_four!(N, block, abef, cdgh, w, 3);
        sha256_four!(N, block, abef, cdgh, w, 4);
        sha256_four!(N, block, abef, cdgh, w, 5);
        sha256_four!(N, block, abef, cdgh, w, 6);
        sha256_four!(N, block, abef, cdgh, w, 7);
        sha256_four!(N, block, abef, cdgh, w, 8);
        sha256_four!(N, block, abef, cdgh, w, 9);
        sha256_four!(N, block, abef, cdgh, w, 10);
        sha256_four!(N, block, abef, cdgh, w, 11);
        sha256_four!(N, block, abef, cdgh, w, 12);
        sha256_four!(N, block, abef, cdgh, w, 13);
        sha256_four!(N, block, abef, cdgh, w, 14);
        sha256_four!(N, block, abef, cdgh, w, 15);
        for l in 0..N {
            abef[l] = _mm_add_epi32(abef[l], old_abef[l]);
            cdgh[l] = _mm_add_epi32(cdgh[l], old_cdgh[l]);
        }
    }
    for l in 0..N {
        let at = first + l;
        [rows[5][at], rows[4][at], rows[1][at], rows[0][at]] = unpack(abef[l]);
        [rows[7][at], rows[6][at], rows[3][at], rows[2][at]] = unpack(cdgh[l]);
    }
}
