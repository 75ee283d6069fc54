//! Wall-clock time, which exists only as an interval.
//!
//! A driver samples the real-time clock between two readings of the monotonic clock, with the
//! kernel's own estimate of its error. From the latest sample and a [`Moment`] the one function
//! here, [`ClockSample::utc`], makes an interval of UTC:
//!
//! ```text
//! elapsed_min = at - after   elapsed_max = at - before             (nanoseconds, may be negative)
//! drift       = DRIFT_PPM_MAX millionths of the greater magnitude of the two, rounded up
//! earliest    = utc_us + floor((elapsed_min - drift) / 1000) - error_us_max
//! latest      = utc_us + ceil ((elapsed_max + drift) / 1000) + error_us_max
//! ```
//!
//! All of it in 128-bit integers, clamped to `i64` at the end, so that any sample gives an interval.

mod text;

use skep_wire::Moment;

pub use text::rfc3339;

/// How fast the monotonic clock may drift from UTC between samples, in millionths: the bound to
/// which the kernel's clock discipline steers (500 ppm).
pub const DRIFT_PPM_MAX: u32 = 500;

/// One reading of the real-time clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockSample {
    /// Monotonic time just before the reading.
    pub before: Moment,
    /// Monotonic time just after it.
    pub after: Moment,
    /// The reading: microseconds since 1970-01-01T00:00:00Z.
    pub utc_us: i64,
    /// The kernel's bound on the clock's error in microseconds (`adjtimex` maxerror).
    pub error_us_max: u64,
    /// Whether the kernel says that the clock is synchronised.
    pub synchronised: bool,
}

/// An interval of UTC in which something happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UtcInterval {
    /// Not before: microseconds since 1970.
    pub earliest_us: i64,
    /// Not after: microseconds since 1970.
    pub latest_us: i64,
    /// Whether the clock was synchronised when it was sampled. Where it was not, the interval is
    /// only what that clock said.
    pub synchronised: bool,
}

/// Whether two stays overlap in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Simultaneity {
    /// Their intervals force it.
    Surely,
    /// Their intervals allow it.
    Possibly,
    /// Their intervals exclude it.
    Not,
}

/// Something that lasted: its first and its last sighting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Stay {
    /// The first sighting.
    pub first: UtcInterval,
    /// The last one.
    pub last: UtcInterval,
}

impl ClockSample {
    /// The interval of UTC in which `at` lies, by this sample.
    pub fn utc(&self, at: Moment) -> UtcInterval {
        let (elapsed_min, elapsed_max) = (nanos(at, self.after), nanos(at, self.before));
        let span = elapsed_min.unsigned_abs().max(elapsed_max.unsigned_abs()) as i128;
        let drift = (span * i128::from(DRIFT_PPM_MAX) + 999_999) / 1_000_000;
        let (utc, error) = (i128::from(self.utc_us), i128::from(self.error_us_max));
        let earliest = utc + (elapsed_min - drift).div_euclid(1_000) - error;
        let latest = utc - (-(elapsed_max + drift)).div_euclid(1_000) + error;
        UtcInterval {
            earliest_us: clamp(earliest),
            latest_us: clamp(latest),
            synchronised: self.synchronised,
        }
    }

    /// One number for `at` where a format has room for one only (packet time stamps): nanoseconds
    /// since 1970, counted from the middle of the sample, zero before 1970.
    pub fn utc_ns_nominal(&self, at: Moment) -> u64 {
        let middle = (i128::from(self.before.0) + i128::from(self.after.0)) / 2;
        let ns = i128::from(self.utc_us) * 1_000 + i128::from(at.0) - middle;
        u64::try_from(ns.max(0)).unwrap_or(u64::MAX)
    }
}

impl UtcInterval {
    /// How wide it is, in microseconds.
    pub fn width_us(&self) -> u64 {
        self.latest_us
            .saturating_sub(self.earliest_us)
            .max(0)
            .unsigned_abs()
    }

    /// The interval `elapsed_ns` nanoseconds later, by a clock that drifts by [`DRIFT_PPM_MAX`] at most.
    pub fn later(&self, elapsed_ns: u64) -> Self {
        let elapsed = i128::from(elapsed_ns);
        let drift = (elapsed * i128::from(DRIFT_PPM_MAX) + 999_999) / 1_000_000;
        let earliest = i128::from(self.earliest_us) + (elapsed - drift).div_euclid(1_000);
        let latest = i128::from(self.latest_us) - (-(elapsed + drift)).div_euclid(1_000);
        Self {
            earliest_us: clamp(earliest),
            latest_us: clamp(latest),
            synchronised: self.synchronised,
        }
    }

    /// How far apart two intervals are, in microseconds: 0 where one instant can lie in both.
    pub fn apart_us(&self, other: &Self) -> u64 {
        let gap = |a: &Self, b: &Self| i128::from(b.earliest_us) - i128::from(a.latest_us);
        let apart = gap(self, other).max(gap(other, self)).max(0);
        u64::try_from(apart).unwrap_or(u64::MAX)
    }
}

impl Stay {
    /// Whether this stay and `other` overlap.
    ///
    /// Within one run compare moments instead: they share a clock and have no error. An interval
    /// of a clock that was not synchronised forces and excludes nothing.
    pub fn overlap(&self, other: &Self) -> Simultaneity {
        let all = [self.first, self.last, other.first, other.last];
        if all.iter().any(|utc| !utc.synchronised) {
            return Simultaneity::Possibly;
        }
        let apart = |a: &Self, b: &Self| a.last.latest_us < b.first.earliest_us;
        if apart(self, other) || apart(other, self) {
            return Simultaneity::Not;
        }
        let begun = self.first.latest_us.max(other.first.latest_us);
        let lasts = self.last.earliest_us.min(other.last.earliest_us);
        if begun <= lasts {
            Simultaneity::Surely
        } else {
            Simultaneity::Possibly
        }
    }
}

fn nanos(later: Moment, earlier: Moment) -> i128 {
    i128::from(later.0) - i128::from(earlier.0)
}

fn clamp(us: i128) -> i64 {
    us.clamp(i64::MIN.into(), i64::MAX.into()) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(before: u64, after: u64, utc_us: i64, error_us_max: u64) -> ClockSample {
        let (before, after) = (Moment(before), Moment(after));
        ClockSample {
            before,
            after,
            utc_us,
            error_us_max,
            synchronised: true,
        }
    }

    fn utc(earliest_us: i64, latest_us: i64) -> UtcInterval {
        UtcInterval {
            earliest_us,
            latest_us,
            synchronised: true,
        }
    }

    #[test]
    fn interval_holds_reading_gap_drift_and_kernel_error() {
        // 10 s after the reading: drift 500 ppm of 10 s (and of 10 s + 2 us, rounded up) is 5,000 us.
        let interval = sample(1_000, 3_000, 1_000_000, 7).utc(Moment(10_000_003_000));
        assert_eq!(
            interval,
            utc(11_000_000 - 5_001 - 7, 11_000_002 + 5_001 + 7)
        );
    }

    #[test]
    fn a_moment_before_the_sample_has_an_interval_too() {
        let interval = sample(5_000_000, 5_000_000, 1_000, 0).utc(Moment(1_000_000));
        assert_eq!(interval, utc(-3_002, -2_998));
        assert_eq!(
            sample(5_000_000, 5_000_000, 1_000, 0).utc_ns_nominal(Moment(0)),
            0
        );
    }

    #[test]
    fn absurd_samples_are_clamped() {
        let wide = sample(0, u64::MAX, i64::MAX, u64::MAX).utc(Moment(0));
        assert_eq!((wide.earliest_us, wide.latest_us), (i64::MIN, i64::MAX));
        assert_eq!(wide.width_us(), i64::MAX as u64);
    }

    /// Ten seconds later at 500 ppm is 5 ms more on either side.
    #[test]
    fn an_interval_later_is_wider_by_the_drift() {
        let later = utc(1_000_000, 1_000_100).later(10_000_000_000);
        assert_eq!(later, utc(11_000_000 - 5_000, 11_000_100 + 5_000));
        assert_eq!(later.later(0), later);
        assert_eq!(utc(0, 10).apart_us(&utc(10, 20)), 0);
        assert_eq!(utc(0, 10).apart_us(&utc(13, 20)), 3);
        assert_eq!(utc(13, 20).apart_us(&utc(0, 10)), 3);
        let (first, last) = (utc(i64::MIN, i64::MIN), utc(i64::MAX, i64::MAX));
        assert_eq!(first.apart_us(&last), u64::MAX);
        assert_eq!(last.later(u64::MAX), last);
    }

    #[test]
    fn overlap_is_sure_only_where_the_intervals_force_it() {
        let stay = |a, b, c, d| Stay {
            first: utc(a, b),
            last: utc(c, d),
        };
        let early = stay(0, 10, 100, 110);
        assert_eq!(early.overlap(&stay(50, 60, 200, 210)), Simultaneity::Surely);
        assert_eq!(
            early.overlap(&stay(95, 105, 200, 210)),
            Simultaneity::Possibly
        );
        assert_eq!(early.overlap(&stay(111, 120, 200, 210)), Simultaneity::Not);
        assert_eq!(stay(111, 120, 200, 210).overlap(&early), Simultaneity::Not);
        let mut doubtful = early;
        doubtful.last.synchronised = false;
        assert_eq!(
            doubtful.overlap(&stay(111, 120, 200, 210)),
            Simultaneity::Possibly
        );
    }
}
