//! A token bucket in virtual time: a burst at once, then one per interval.

use std::time::Duration;

use skep_wire::Moment;

/// Counts events against a rate, in whole nanoseconds so that replays agree.
#[derive(Debug, Clone)]
pub(crate) struct Bucket {
    /// When the bucket would be full again; never more than `burst` intervals ahead of now.
    full_at: Moment,
    interval: Duration,
    burst: u32,
}

impl Bucket {
    pub(crate) fn new(burst: u32, interval_secs: u64) -> Self {
        Self {
            full_at: Moment::ZERO,
            interval: Duration::from_secs(interval_secs),
            burst,
        }
    }

    /// Takes a token; `None` if there is none.
    pub(crate) fn take(&mut self, now: Moment) -> Option<()> {
        let full_at = self.full_at.max(now) + self.interval;
        if full_at.since(now) > self.interval * self.burst {
            return None;
        }
        self.full_at = full_at;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_one_per_interval() {
        let mut bucket = Bucket::new(3, 10);
        let mut taken = |secs| bucket.take(Moment::from_secs(secs)).is_some();
        assert_eq!(
            [taken(5), taken(5), taken(5), taken(5)],
            [true, true, true, false]
        );
        assert_eq!([taken(14), taken(15), taken(15)], [false, true, false]);
        assert_eq!(
            [taken(900), taken(900), taken(900), taken(900)],
            [true, true, true, false]
        );
    }
}
