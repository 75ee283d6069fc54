//! Bytes a second over the last seconds, in whole numbers so that replays agree.

use skep_wire::Moment;

/// Seconds that are kept.
const SECS: usize = 21;

/// Counts bytes by the second.
#[derive(Debug, Clone)]
pub(super) struct Rate {
    /// Bytes of second `n` at `n % SECS`, for the seconds up to `at`.
    buckets: [u64; SECS],
    at: u64,
    /// The first second that counts.
    since: u64,
}

impl Rate {
    pub(super) fn new(now: Moment) -> Self {
        let at = second(now);
        Self {
            buckets: [0; SECS],
            at,
            since: at,
        }
    }

    pub(super) fn add(&mut self, bytes: u64, now: Moment) {
        let now = second(now);
        // Seconds that passed without bytes are cleared, all of them at most once.
        for passed in (self.at + 1..=now).take(SECS) {
            self.buckets[passed as usize % SECS] = 0;
        }
        if now.saturating_sub(self.at) >= SECS as u64 {
            self.buckets = [0; SECS];
        }
        self.at = self.at.max(now);
        self.buckets[self.at as usize % SECS] += bytes;
    }

    /// Bytes a second over the last `secs` whole seconds (at most 20) and the begun one.
    pub(super) fn per_sec(&self, secs: u64, now: Moment) -> u64 {
        let now_sec = second(now);
        let secs = secs.min(SECS as u64 - 1);
        let first = now_sec.saturating_sub(secs).max(self.since);
        let counted = (first..=self.at.min(now_sec)).take(SECS);
        let old = self.at.saturating_sub(SECS as u64 - 1);
        let bytes: u64 = counted
            .filter(|&sec| sec >= old)
            .map(|sec| self.buckets[sec as usize % SECS])
            .sum();
        let nanos = now
            .0
            .saturating_sub(first * 1_000_000_000)
            .max(1_000_000_000);
        u64::try_from(u128::from(bytes) * 1_000_000_000 / u128::from(nanos)).unwrap_or(u64::MAX)
    }
}

fn second(at: Moment) -> u64 {
    at.0 / 1_000_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_stream_has_its_rate_and_forgets_it_when_it_ends() {
        let mut rate = Rate::new(Moment::from_secs(100));
        for tenth in 0..300 {
            rate.add(100, Moment::from_millis(100_000 + tenth * 100));
        }
        assert_eq!(rate.per_sec(5, Moment::from_secs(130)), 1000);
        assert_eq!(rate.per_sec(20, Moment::from_secs(130)), 1000);
        assert_eq!(rate.per_sec(5, Moment::from_secs(136)), 0);
        assert_eq!(rate.per_sec(20, Moment::from_secs(140)), 500);
        assert_eq!(rate.per_sec(20, Moment::from_secs(151)), 0);
        rate.add(100, Moment::from_secs(500));
        assert_eq!(rate.per_sec(20, Moment::from_secs(501)), 5);
    }

    #[test]
    fn the_first_second_is_not_divided_by_less_than_a_second() {
        let mut rate = Rate::new(Moment::from_millis(900));
        rate.add(5000, Moment::from_millis(950));
        assert_eq!(rate.per_sec(5, Moment::from_millis(951)), 5000);
    }
}
