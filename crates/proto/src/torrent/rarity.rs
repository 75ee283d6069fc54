//! Which open piece is the rarest, in constant time for every change.
//!
//! The open pieces (neither there nor under way) lie in one list, in buckets of ascending count; a
//! bucket is in random order. A piece whose count changes by one is swapped to the border of its
//! bucket, and the border moves over it.
//!
//! ```text
//! order   [ 7 2 9 | 4 | 1 5 8 3 | closed: 0 6 ]
//! count     0 0 0   1   2 2 2 2
//! begins    ^0      ^1  ^2      ^3, and so on
//! ```

use skep_wire::{Bitfield, PieceIndex};

use crate::rng::Rng;

/// Counts of holders, and the open pieces by count.
#[derive(Debug)]
pub(super) struct Rarity {
    order: Vec<u32>,
    /// Where in `order` each piece is.
    place: Vec<u32>,
    count: Vec<u16>,
    /// Where the bucket of each count begins; the last entry is where the closed pieces begin.
    begins: Vec<u32>,
    rng: Rng,
}

impl Rarity {
    /// All pieces that are not in `closed` are open and held by nobody.
    pub(super) fn new(closed: &Bitfield, mut rng: Rng) -> Self {
        let all = || (0..closed.piece_count()).map(PieceIndex);
        let mut order: Vec<u32> = all()
            .filter(|&piece| !closed.has(piece))
            .map(|piece| piece.0)
            .collect();
        rng.shuffle(&mut order);
        let open = order.len() as u32;
        order.extend(closed.iter().map(|piece| piece.0));
        let mut place = vec![0; order.len()];
        for (at, &piece) in order.iter().enumerate() {
            place[piece as usize] = at as u32;
        }
        let count = vec![0; order.len()];
        Self {
            order,
            place,
            count,
            begins: vec![0, open],
            rng,
        }
    }

    /// The open pieces, rarest first.
    pub(super) fn rarest(&self) -> impl Iterator<Item = PieceIndex> {
        self.order[..self.open()]
            .iter()
            .map(|&piece| PieceIndex(piece))
    }

    /// The open pieces from a place drawn by lot on, each once.
    pub(super) fn by_chance(&mut self) -> impl Iterator<Item = PieceIndex> {
        let open = self.open();
        let start = self.rng.index(open).unwrap_or(0);
        let (before, from) = self.order[..open].split_at(start);
        from.iter().chain(before).map(|&piece| PieceIndex(piece))
    }

    /// One more peer holds the piece.
    pub(super) fn add(&mut self, piece: PieceIndex) {
        let Some(&count) = self.count.get(piece.0 as usize) else {
            return;
        };
        if count == u16::MAX {
            return;
        }
        if self.is_open(piece) {
            self.reserve(count + 1);
            self.rise(piece, count);
            self.mix(piece, count + 1);
        }
        self.count[piece.0 as usize] += 1;
    }

    /// One peer less holds the piece.
    pub(super) fn remove(&mut self, piece: PieceIndex) {
        let Some(&count) = self.count.get(piece.0 as usize) else {
            return;
        };
        if count == 0 {
            return;
        }
        if self.is_open(piece) {
            self.fall(piece, count);
            self.mix(piece, count - 1);
        }
        self.count[piece.0 as usize] -= 1;
    }

    /// The piece is there or under way.
    pub(super) fn close(&mut self, piece: PieceIndex) {
        if !self.is_open(piece) {
            return;
        }
        for count in self.count[piece.0 as usize]..self.buckets() {
            self.rise(piece, count);
        }
    }

    /// The piece is to be had again.
    pub(super) fn open_again(&mut self, piece: PieceIndex) {
        if self.is_open(piece) || piece.0 as usize >= self.count.len() {
            return;
        }
        let count = self.count[piece.0 as usize];
        self.reserve(count);
        // To the border of the closed pieces, then down.
        self.swap(self.place[piece.0 as usize], self.open() as u32);
        for above in (count + 1..=self.buckets()).rev() {
            self.fall(piece, above);
        }
        self.mix(piece, count);
    }

    /// How many pieces are open.
    pub(super) fn open(&self) -> usize {
        self.begins[self.buckets() as usize] as usize
    }

    fn is_open(&self, piece: PieceIndex) -> bool {
        self.place
            .get(piece.0 as usize)
            .is_some_and(|&place| (place as usize) < self.open())
    }

    fn buckets(&self) -> u16 {
        (self.begins.len() - 1) as u16
    }

    /// Makes the buckets up to `count`.
    fn reserve(&mut self, count: u16) {
        let open = self.open() as u32;
        while self.buckets() <= count {
            self.begins.push(open);
        }
    }

    /// From bucket `count` to the next one: to its end, and the border steps back over it.
    fn rise(&mut self, piece: PieceIndex, count: u16) {
        let border = &mut self.begins[usize::from(count) + 1];
        *border -= 1;
        let last = *border;
        self.swap(self.place[piece.0 as usize], last);
    }

    /// From bucket `count` to the one before: to its beginning, and the border steps over it.
    fn fall(&mut self, piece: PieceIndex, count: u16) {
        let border = &mut self.begins[usize::from(count)];
        let first = *border;
        *border += 1;
        self.swap(self.place[piece.0 as usize], first);
    }

    /// Gives the piece a place by lot in its bucket.
    fn mix(&mut self, piece: PieceIndex, count: u16) {
        let (first, end) = (
            self.begins[usize::from(count)],
            self.begins[usize::from(count) + 1],
        );
        let other = first + self.rng.below(u64::from(end - first)) as u32;
        self.swap(self.place[piece.0 as usize], other);
    }

    fn swap(&mut self, a: u32, b: u32) {
        self.order.swap(a as usize, b as usize);
        self.place[self.order[a as usize] as usize] = a;
        self.place[self.order[b as usize] as usize] = b;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten thousand changes by lot, against counts that are sorted anew each time.
    #[test]
    fn open_pieces_stay_in_the_order_of_their_counts() {
        for seed in 0..5 {
            let mut rng = Rng::new(seed);
            let mut closed = Bitfield::empty(40);
            (0..10).for_each(|piece| assert!(closed.insert(PieceIndex(piece))));
            let mut rarity = Rarity::new(&closed, Rng::new(seed));
            let mut counts = [0u16; 40];
            for step in 0..10_000 {
                let piece = PieceIndex(rng.below(41) as u32);
                let known = counts.get_mut(piece.0 as usize);
                match rng.below(4) {
                    0 => {
                        rarity.add(piece);
                        known.into_iter().for_each(|count| *count += 1);
                    }
                    1 => {
                        rarity.remove(piece);
                        known
                            .into_iter()
                            .for_each(|count| *count = count.saturating_sub(1));
                    }
                    2 => {
                        rarity.close(piece);
                        closed.insert(piece);
                    }
                    _ => {
                        rarity.open_again(piece);
                        closed.remove(piece);
                    }
                }
                let listed: Vec<PieceIndex> = rarity.rarest().collect();
                let count = |piece: &PieceIndex| counts[piece.0 as usize];
                assert!(listed.is_sorted_by_key(count), "seed {seed}, step {step}");
                let mut sorted = listed;
                sorted.sort_unstable();
                let open = (0..40).map(PieceIndex).filter(|&piece| !closed.has(piece));
                assert!(sorted.into_iter().eq(open), "seed {seed}, step {step}");
            }
        }
    }

    #[test]
    fn equals_come_in_an_order_that_the_seed_decides() {
        let first = |seed| {
            let mut rarity = Rarity::new(&Bitfield::empty(100), Rng::new(seed));
            (0..100).for_each(|piece| rarity.add(PieceIndex(piece)));
            rarity.rarest().next()
        };
        let firsts: std::collections::BTreeSet<_> = (0..50).map(first).collect();
        assert!(firsts.len() > 20, "{firsts:?}");
        assert_eq!(first(1), first(1));
    }

    #[test]
    fn chance_names_every_open_piece_once() {
        let mut rarity = Rarity::new(&Bitfield::empty(50), Rng::new(1));
        rarity.close(PieceIndex(7));
        for _ in 0..20 {
            let mut named: Vec<_> = rarity.by_chance().collect();
            named.sort_unstable();
            assert_eq!(named.len(), 49);
            named.dedup();
            assert_eq!(named.len(), 49);
        }
    }
}
