//! Samples of the real-time clock.

use std::time::{SystemTime, UNIX_EPOCH};

use skep_evidence::clock::ClockSample;

use crate::clock::RunClock;

/// The bound on the error of a clock of whose state nothing is known: what Linux itself reports
/// while the clock is not synchronised (`NTP_PHASE_LIMIT`, 16 s).
pub const UNKNOWN_ERROR_US: u64 = 16_000_000;

/// Reads the real-time clock between two readings of the monotonic one.
///
/// Whether the kernel holds the clock for synchronised is known only by `adjtimex`, for which there
/// is no safe interface here; so the sample says that it is not, with [`UNKNOWN_ERROR_US`].
pub(crate) fn sample(clock: RunClock) -> ClockSample {
    let before = clock.now();
    let utc_us = match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_micros()).unwrap_or(i64::MAX),
        Err(early) => {
            i64::try_from(early.duration().as_micros()).map_or(i64::MIN, |before| -before)
        }
    };
    let after = clock.now();
    ClockSample {
        before,
        after,
        utc_us,
        error_us_max: UNKNOWN_ERROR_US,
        synchronised: false,
    }
}
