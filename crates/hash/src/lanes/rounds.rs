//! The rounds of SHA-1 and SHA-256 (FIPS 180-4, sections 6.1.2 and 6.2.2), written once for every
//! width of vector.
//!
//! A vector holds one 32-bit word of each lane. [`kernels`] makes the two compression functions from
//! the vector operations that stand in the module where it is used: `load_row`, `store_row`,
//! `load_words`, `splat`, `add`, `xor`, `xor3`, `choose`, `majority`, `left` and `right`.

/// The round constants of SHA-256.
pub(super) const K256: [u32; 64] = [
    0x428a_2f98,
    0x7137_4491,
    0xb5c0_fbcf,
    0xe9b5_dba5,
    0x3956_c25b,
    0x59f1_11f1,
    0x923f_82a4,
    0xab1c_5ed5,
    0xd807_aa98,
    0x1283_5b01,
    0x2431_85be,
    0x550c_7dc3,
    0x72be_5d74,
    0x80de_b1fe,
    0x9bdc_06a7,
    0xc19b_f174,
    0xe49b_69c1,
    0xefbe_4786,
    0x0fc1_9dc6,
    0x240c_a1cc,
    0x2de9_2c6f,
    0x4a74_84aa,
    0x5cb0_a9dc,
    0x76f9_88da,
    0x983e_5152,
    0xa831_c66d,
    0xb003_27c8,
    0xbf59_7fc7,
    0xc6e0_0bf3,
    0xd5a7_9147,
    0x06ca_6351,
    0x1429_2967,
    0x27b7_0a85,
    0x2e1b_2138,
    0x4d2c_6dfc,
    0x5338_0d13,
    0x650a_7354,
    0x766a_0abb,
    0x81c2_c92e,
    0x9272_2c85,
    0xa2bf_e8a1,
    0xa81a_664b,
    0xc24b_8b70,
    0xc76c_51a3,
    0xd192_e819,
    0xd699_0624,
    0xf40e_3585,
    0x106a_a070,
    0x19a4_c116,
    0x1e37_6c08,
    0x2748_774c,
    0x34b0_bcb5,
    0x391c_0cb3,
    0x4ed8_aa4a,
    0x5b9c_ca4f,
    0x682e_6ff3,
    0x748f_82ee,
    0x78a5_636f,
    0x84c8_7814,
    0x8cc7_0208,
    0x90be_fffa,
    0xa450_6ceb,
    0xbef9_a3f7,
    0xc671_78f2,
];

/// One round of SHA-1; the caller renames the variables instead of moving them.
macro_rules! sha1_round {
    ($f:ident, $k:ident, $w:ident, $t:expr, $a:ident, $b:ident, $c:ident, $d:ident, $e:ident) => {
        if $t >= 16 {
            let mixed = xor3($w[($t + 13) % 16], $w[($t + 8) % 16], $w[($t + 2) % 16]);
            $w[$t % 16] = left::<1, 31>(xor(mixed, $w[$t % 16]));
        }
        $e = add(add($e, $k), $w[$t % 16]);
        $e = add($e, add(left::<5, 27>($a), $f($b, $c, $d)));
        $b = left::<30, 2>($b);
    };
}

/// Twenty rounds of SHA-1 with one function and one constant.
macro_rules! sha1_twenty {
    ($f:ident, $k:literal, $w:ident, $t:expr, $a:ident, $b:ident, $c:ident, $d:ident, $e:ident) => {
        let k = splat($k);
        sha1_twenty!(@five $f, k, $w, $t, $a, $b, $c, $d, $e);
        sha1_twenty!(@five $f, k, $w, $t + 5, $a, $b, $c, $d, $e);
        sha1_twenty!(@five $f, k, $w, $t + 10, $a, $b, $c, $d, $e);
        sha1_twenty!(@five $f, k, $w, $t + 15, $a, $b, $c, $d, $e);
    };
    (@five $f:ident, $k:ident, $w:ident, $t:expr, $a:ident, $b:ident, $c:ident, $d:ident, $e:ident) => {
        sha1_round!($f, $k, $w, $t, $a, $b, $c, $d, $e);
        sha1_round!($f, $k, $w, $t + 1, $e, $a, $b, $c, $d);
        sha1_round!($f, $k, $w, $t + 2, $d, $e, $a, $b, $c);
        sha1_round!($f, $k, $w, $t + 3, $c, $d, $e, $a, $b);
        sha1_round!($f, $k, $w, $t + 4, $b, $c, $d, $e, $a);
    };
}

/// One round of SHA-256; the caller renames the variables.
macro_rules! sha256_round {
    ($w:ident, $t:expr, $a:ident, $b:ident, $c:ident, $d:ident, $e:ident, $f:ident, $g:ident, $h:ident) => {
        if $t >= 16 {
            let early = $w[($t + 1) % 16];
            let early = xor3(
                right::<7, 25>(early),
                right::<18, 14>(early),
                shift::<3>(early),
            );
            let late = $w[($t + 14) % 16];
            let late = xor3(
                right::<17, 15>(late),
                right::<19, 13>(late),
                shift::<10>(late),
            );
            $w[$t % 16] = add(add($w[$t % 16], early), add($w[($t + 9) % 16], late));
        }
        let sum = xor3(right::<6, 26>($e), right::<11, 21>($e), right::<25, 7>($e));
        let kw = add($w[$t % 16], splat(K256[$t]));
        $h = add(add($h, kw), add(sum, choose($e, $f, $g)));
        $d = add($d, $h);
        let sum = xor3(right::<2, 30>($a), right::<13, 19>($a), right::<22, 10>($a));
        $h = add($h, add(sum, majority($a, $b, $c)));
    };
}

/// Eight rounds of SHA-256, after which the names are where they were.
macro_rules! sha256_eight {
    ($w:ident, $t:expr, $a:ident, $b:ident, $c:ident, $d:ident, $e:ident, $f:ident, $g:ident, $h:ident) => {
        sha256_round!($w, $t, $a, $b, $c, $d, $e, $f, $g, $h);
        sha256_round!($w, $t + 1, $h, $a, $b, $c, $d, $e, $f, $g);
        sha256_round!($w, $t + 2, $g, $h, $a, $b, $c, $d, $e, $f);
        sha256_round!($w, $t + 3, $f, $g, $h, $a, $b, $c, $d, $e);
        sha256_round!($w, $t + 4, $e, $f, $g, $h, $a, $b, $c, $d);
        sha256_round!($w, $t + 5, $d, $e, $f, $g, $h, $a, $b, $c);
        sha256_round!($w, $t + 6, $c, $d, $e, $f, $g, $h, $a, $b);
        sha256_round!($w, $t + 7, $b, $c, $d, $e, $f, $g, $h, $a);
    };
}

/// The two compression functions over the vector operations in scope.
macro_rules! kernels {
    ($features:literal) => {
        /// Takes the next `count` blocks of each lane into its column of `rows`.
        #[target_feature(enable = $features)]
        pub(super) fn sha1(rows: &mut Rows<5>, blocks: &Blocks<'_>, count: usize) {
            let [mut a, mut b, mut c, mut d, mut e] = load_rows(rows);
            for n in 0..count {
                let mut w = load_words(blocks, n);
                let old = [a, b, c, d, e];
                sha1_twenty!(choose, 0x5a82_7999, w, 0, a, b, c, d, e);
                sha1_twenty!(xor3, 0x6ed9_eba1, w, 20, a, b, c, d, e);
                sha1_twenty!(majority, 0x8f1b_bcdc, w, 40, a, b, c, d, e);
                sha1_twenty!(xor3, 0xca62_c1d6, w, 60, a, b, c, d, e);
                [a, b, c, d, e] = add_each(old, [a, b, c, d, e]);
            }
            store_rows(rows, [a, b, c, d, e]);
        }

        /// Takes the next `count` blocks of each lane into its column of `rows`.
        #[target_feature(enable = $features)]
        pub(super) fn sha256(rows: &mut Rows<8>, blocks: &Blocks<'_>, count: usize) {
            let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = load_rows(rows);
            for n in 0..count {
                let mut w = load_words(blocks, n);
                let old = [a, b, c, d, e, f, g, h];
                sha256_eight!(w, 0, a, b, c, d, e, f, g, h);
                sha256_eight!(w, 8, a, b, c, d, e, f, g, h);
                sha256_eight!(w, 16, a, b, c, d, e, f, g, h);
                sha256_eight!(w, 24, a, b, c, d, e, f, g, h);
                sha256_eight!(w, 32, a, b, c, d, e, f, g, h);
                sha256_eight!(w, 40, a, b, c, d, e, f, g, h);
                sha256_eight!(w, 48, a, b, c, d, e, f, g, h);
                sha256_eight!(w, 56, a, b, c, d, e, f, g, h);
                [a, b, c, d, e, f, g, h] = add_each(old, [a, b, c, d, e, f, g, h]);
            }
            store_rows(rows, [a, b, c, d, e, f, g, h]);
        }

        #[target_feature(enable = $features)]
        #[inline]
        fn load_rows<const N: usize>(rows: &Rows<N>) -> [Vector; N] {
            let mut out = [splat(0); N];
            for (vector, row) in out.iter_mut().zip(rows) {
                *vector = load_row(row);
            }
            out
        }

        #[target_feature(enable = $features)]
        #[inline]
        fn store_rows<const N: usize>(rows: &mut Rows<N>, vectors: [Vector; N]) {
            for (row, vector) in rows.iter_mut().zip(vectors) {
                store_row(row, vector);
            }
        }

        #[target_feature(enable = $features)]
        #[inline]
        fn add_each<const N: usize>(mut a: [Vector; N], b: [Vector; N]) -> [Vector; N] {
            for (a, b) in a.iter_mut().zip(b) {
                *a = add(*a, b);
            }
            a
        }
    };
}

pub(super) use {kernels, sha1_round, sha1_twenty, sha256_eight, sha256_round};
