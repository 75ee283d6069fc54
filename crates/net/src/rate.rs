//! Rate limits: a bucket that fills at the permitted rate and may go into debt.
//!
//! Debt is what keeps it simple: whoever may act at all acts on a whole block and pays afterwards,
//! so no block is ever cut in two, and the average is exact.

use std::time::Duration;

use skep_wire::Moment;

/// How much unused permission is kept: a quarter of a second's worth.
const BURST: Duration = Duration::from_millis(250);

/// A limit on bytes a second, or none.
#[derive(Debug, Clone)]
pub struct Bucket {
    bytes_per_sec: Option<u64>,
    /// Bytes permitted now; below 0 is debt.
    level: i64,
    filled_at: Moment,
}

impl Bucket {
    /// A bucket for that many bytes a second; `None` is no limit. A limit of 0 is taken as 1.
    pub fn new(bytes_per_sec: Option<u64>, now: Moment) -> Self {
        let bytes_per_sec = bytes_per_sec.map(|rate| rate.clamp(1, u64::MAX / 4_000_000_000));
        Self {
            bytes_per_sec,
            level: 0,
            filled_at: now,
        }
    }

    /// Whether there is no limit.
    pub fn is_unlimited(&self) -> bool {
        self.bytes_per_sec.is_none()
    }

    /// Notes that `bytes` were moved.
    pub fn pay(&mut self, bytes: u64) {
        if self.bytes_per_sec.is_some() {
            self.level = self.level.saturating_sub_unsigned(bytes);
        }
    }

    /// Returns `None` if bytes may move now, otherwise when they may.
    pub fn wait_until(&mut self, now: Moment) -> Option<Moment> {
        let rate = self.bytes_per_sec?;
        self.fill(rate, now);
        if self.level >= 0 {
            return None;
        }
        let nanos = self.level.unsigned_abs() as u128 * 1_000_000_000 / u128::from(rate);
        Some(now + Duration::from_nanos(nanos as u64 + 1))
    }

    fn fill(&mut self, rate: u64, now: Moment) {
        let elapsed = now.since(self.filled_at);
        let gained = elapsed.as_nanos() * u128::from(rate) / 1_000_000_000;
        if gained == 0 {
            return;
        }
        // Only the time that made whole bytes is used up.
        let used = gained * 1_000_000_000 / u128::from(rate);
        self.filled_at = self.filled_at + Duration::from_nanos(used as u64);
        let most = (u128::from(rate) * BURST.as_nanos() / 1_000_000_000) as i64;
        self.level = self
            .level
            .saturating_add_unsigned(gained as u64)
            .min(most.max(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A greedy sender that moves 16 KiB whenever it may, for ten seconds of virtual time.
    #[test]
    fn the_average_is_the_limit_whatever_the_block() {
        for rate in [1_000u64, 100_000, 7_654_321] {
            let mut bucket = Bucket::new(Some(rate), Moment::ZERO);
            let (mut now, mut sent) = (Moment::ZERO, 0u64);
            while now < Moment::from_secs(100) {
                match bucket.wait_until(now) {
                    Some(later) => now = later,
                    None => {
                        bucket.pay(16_384);
                        sent += 16_384;
                    }
                }
            }
            let expected = rate * 100;
            assert!(
                sent.abs_diff(expected) <= rate / 4 + 2 * 16_384,
                "{sent} of {expected}"
            );
        }
    }

    #[test]
    fn an_idle_bucket_keeps_a_quarter_second_and_no_more() {
        let mut bucket = Bucket::new(Some(1_000_000), Moment::ZERO);
        assert_eq!(bucket.wait_until(Moment::from_secs(3_600)), None);
        bucket.pay(250_000);
        assert_eq!(bucket.wait_until(Moment::from_secs(3_600)), None);
        bucket.pay(1_000_000);
        let wait = bucket
            .wait_until(Moment::from_secs(3_600))
            .expect("in debt");
        assert_eq!(wait.since(Moment::from_secs(3_600)).as_millis(), 1_000);
    }

    #[test]
    fn no_limit_never_waits() {
        let mut bucket = Bucket::new(None, Moment::ZERO);
        bucket.pay(u64::MAX);
        assert_eq!(bucket.wait_until(Moment::ZERO), None);
    }
}
