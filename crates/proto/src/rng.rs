//! Random numbers for machines: SplitMix64, seeded by argument.
//!
//! A replay must draw what the run drew, so the generator is fixed here to the bit and never
//! changes: the state is one `u64`, begins as the seed, and every draw is (all sums and products
//! modulo 2^64, `>>` shifts in zeros)
//!
//! ```text
//! state = state + 0x9e3779b97f4a7c15
//! z = state
//! z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9
//! z = (z ^ (z >> 27)) * 0x94d049bb133111eb
//! draw = z ^ (z >> 31)
//! ```
//!
//! What it is not: a source of secrets. Who sees a few draws can compute the rest.

/// A generator. A clone repeats the draws of its original.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rng {
    state: u64,
}

impl Rng {
    /// Starts a generator whose state is `seed`.
    pub const fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// Starts a generator from longer material: the state starts at 0 and, for each 8 bytes taken
    /// as a big-endian number (the last part filled up with zero bytes), becomes one draw of the
    /// generator whose state is `state XOR number`.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let mut rng = Self::new(0);
        for part in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..part.len()].copy_from_slice(part);
            rng = Self::new(Self::new(rng.state ^ u64::from_be_bytes(word)).next_u64());
        }
        rng
    }

    /// The next draw, uniform over all `u64`.
    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`: the high 64 bits of `draw * bound` as a 128-bit product. Uneven by at
    /// most `bound` in 2^64. Draws nothing and returns 0 if `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 {
            return 0;
        }
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// An index into a list of `len` entries, by [`Rng::below`]; `None` if it is empty.
    pub fn index(&mut self, len: usize) -> Option<usize> {
        if len == 0 {
            None
        } else {
            Some(self.below(len as u64) as usize)
        }
    }

    /// An entry of `list`; `None` if it is empty.
    pub fn choose<'a, T>(&mut self, list: &'a [T]) -> Option<&'a T> {
        self.index(list.len()).map(|at| &list[at])
    }

    /// Puts `list` in random order: for `i` from the last index down to 1, swaps entries `i` and
    /// `below(i + 1)`.
    pub fn shuffle<T>(&mut self, list: &mut [T]) {
        for i in (1..list.len()).rev() {
            list.swap(i, self.below(i as u64 + 1) as usize);
        }
    }

    /// Fills `out` with draws in big-endian order; the last draw is cut.
    pub fn fill(&mut self, out: &mut [u8]) {
        for part in out.chunks_mut(8) {
            let word = self.next_u64().to_be_bytes();
            part.copy_from_slice(&word[..part.len()]);
        }
    }

    /// A generator for a part of the machine: its seed is the next draw of this one.
    pub fn split(&mut self) -> Self {
        Self::new(self.next_u64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors are those of the reference implementation (Vigna, splitmix64.c) for seed
    /// 1234567: whoever writes a second verifier can compare.
    #[test]
    fn draws_are_those_of_splitmix64() {
        let mut rng = Rng::new(1_234_567);
        let drawn: Vec<u64> = (0..5).map(|_| rng.next_u64()).collect();
        assert_eq!(
            drawn,
            [
                6_457_827_717_110_365_317,
                3_203_168_211_198_807_973,
                9_817_491_932_198_370_423,
                4_593_380_528_125_082_431,
                16_408_922_859_458_223_821,
            ]
        );
    }

    #[test]
    fn bounded_draws_stay_below_their_bound_and_reach_every_value() {
        let mut rng = Rng::new(7);
        let mut seen = [0u32; 10];
        for _ in 0..10_000 {
            seen[rng.below(10) as usize] += 1;
        }
        assert!(
            seen.iter().all(|&count| (850..1150).contains(&count)),
            "{seen:?}"
        );
        assert_eq!(rng.below(0), 0);
        assert_eq!(rng.index(0), None);
    }

    #[test]
    fn a_shuffle_keeps_every_entry() {
        let mut list: Vec<u32> = (0..100).collect();
        Rng::new(3).shuffle(&mut list);
        assert_ne!(list, (0..100).collect::<Vec<_>>());
        list.sort_unstable();
        assert_eq!(list, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn seeds_from_bytes_differ_with_every_byte() {
        let base = Rng::from_bytes(&[0; 32]);
        for at in 0..32 {
            let mut bytes = [0; 32];
            bytes[at] = 1;
            assert_ne!(Rng::from_bytes(&bytes), base, "byte {at}");
        }
    }
}
