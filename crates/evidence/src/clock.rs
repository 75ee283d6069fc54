//! Wall-clock time, which exists only as an interval.
//!
//! A driver samples the real-time clock between two readings of the monotonic clock, with the
//! kernel's own estimate of its error. From the latest sample and a [`Moment`] the one function
//! here makes an interval of UTC.

use skep_wire::Moment;

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
