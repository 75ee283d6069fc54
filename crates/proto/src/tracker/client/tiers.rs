//! The order of trackers (BEP 12).

use crate::rng::Rng;

/// The tiers of a torrent: trackers as numbers, shuffled within their tier when first read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrackerTiers {
    tiers: Vec<Vec<usize>>,
}

impl TrackerTiers {
    /// Shuffles each tier.
    pub fn new(mut tiers: Vec<Vec<usize>>, rng: &mut Rng) -> Self {
        tiers.retain(|tier| !tier.is_empty());
        for tier in &mut tiers {
            rng.shuffle(tier);
        }
        Self { tiers }
    }

    /// The order in which trackers are tried now.
    pub fn order(&self) -> Vec<usize> {
        self.tiers.concat()
    }

    /// Moves a tracker that answered to the front of its tier.
    pub fn promote(&mut self, tracker: usize) {
        for tier in &mut self.tiers {
            if let Some(at) = tier.iter().position(|&other| other == tracker) {
                tier[..=at].rotate_right(1);
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The second example of BEP 12, "Order of Processing".
    #[test]
    fn tracker_that_answered_goes_to_the_front_of_its_tier() {
        let mut tiers = TrackerTiers {
            tiers: vec![vec![1, 2, 3]],
        };
        tiers.promote(2);
        assert_eq!(tiers.order(), [2, 1, 3]);
        tiers.promote(3);
        assert_eq!(tiers.order(), [3, 2, 1]);
    }

    /// The first and third example: tiers stay in order whatever answers.
    #[test]
    fn no_tracker_leaves_its_tier() {
        let mut tiers = TrackerTiers {
            tiers: vec![vec![1], vec![2], vec![3]],
        };
        tiers.promote(3);
        assert_eq!(tiers.order(), [1, 2, 3]);
        for seed in 0..50 {
            let lists = vec![vec![1, 2], vec![], vec![3]];
            let mut tiers = TrackerTiers::new(lists, &mut Rng::new(seed));
            tiers.promote(3);
            assert_eq!(tiers.order()[2], 3);
        }
    }

    #[test]
    fn order_within_a_tier_is_drawn_from_the_seed() {
        let first = |seed| TrackerTiers::new(vec![vec![1, 2, 3]], &mut Rng::new(seed)).order()[0];
        let mut seen = [0; 4];
        (0..300).for_each(|seed| seen[first(seed)] += 1);
        assert!(seen[1..].iter().all(|&count| count > 60), "{seen:?}");
        assert_eq!(first(9), first(9));
    }
}
