//! Samples of the real-time clock.

use std::time::{SystemTime, UNIX_EPOCH};

use skep_evidence::clock::ClockSample;

use crate::clock::RunClock;

/// The bound on the error of a clock of whose state nothing is known: what Linux itself reports
/// while the clock is not synchronised (`NTP_PHASE_LIMIT`, 16 s).
pub const UNKNOWN_ERROR_US: u64 = 16_000_000;

/// Reads the real-time clock between two readings of the monotonic one, with what the kernel says
/// of its error.
///
/// Where the kernel cannot be asked, the sample says that the clock is not synchronised, with
/// [`UNKNOWN_ERROR_US`].
pub(crate) fn sample(clock: RunClock) -> ClockSample {
    let before = clock.now();
    let utc_us = match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_micros()).unwrap_or(i64::MAX),
        Err(early) => {
            i64::try_from(early.duration().as_micros()).map_or(i64::MIN, |before| -before)
        }
    };
    let after = clock.now();
    let (error_us_max, synchronised) = discipline().unwrap_or((UNKNOWN_ERROR_US, false));
    ClockSample {
        before,
        after,
        utc_us,
        error_us_max,
        synchronised,
    }
}

/// The kernel's bound on the clock's error in microseconds (`maxerror`), and whether it holds the
/// clock for synchronised (`STA_UNSYNC` is clear), as `adjtimex` reports them when it is told to
/// change nothing.
#[cfg(target_os = "linux")]
#[allow(
    unsafe_code,
    reason = "no kept crate wraps adjtimex for this; one call, which only fills a struct of ours"
)]
fn discipline() -> Option<(u64, bool)> {
    // SAFETY: `timex` is plain numbers, for which all zeroes is a value; `modes: 0` changes nothing;
    // the call writes into the struct that it is given and keeps no pointer to it.
    let (state, timex) = unsafe {
        let mut timex: libc::timex = std::mem::zeroed();
        (libc::adjtimex(&raw mut timex), timex)
    };
    let synchronised = state >= 0 && timex.status & libc::STA_UNSYNC == 0;
    (state >= 0).then(|| {
        (
            u64::try_from(timex.maxerror).unwrap_or(UNKNOWN_ERROR_US),
            synchronised,
        )
    })
}

#[cfg(not(target_os = "linux"))]
fn discipline() -> Option<(u64, bool)> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said of the clock is what the system's own tool would say: an error that is bounded,
    /// and no greater than the kernel's limit while the clock is synchronised.
    #[test]
    fn a_sample_says_what_the_kernel_says_of_its_error() {
        let sample = sample(RunClock::start());
        assert!(sample.before <= sample.after);
        assert!(sample.utc_us > 1_700_000_000_000_000, "{}", sample.utc_us);
        if sample.synchronised {
            assert!(
                sample.error_us_max < UNKNOWN_ERROR_US,
                "{}",
                sample.error_us_max
            );
        }
        if cfg!(target_os = "linux") {
            assert!(discipline().is_some());
        }
    }
}
