//! The run's clock: the only place where the system's clock becomes a [`Moment`].
//!
//! It goes on while the machine sleeps (`CLOCK_BOOTTIME` on Linux; [`Instant`] is `CLOCK_MONOTONIC`
//! there, which does not). So a suspended laptop makes the gap that any other stall makes, and what was
//! heard before and after it has the times that a clock on the wall would give. Elsewhere it is what
//! [`Instant`] is.

use std::time::{Duration, Instant};

use skep_wire::Moment;

/// Turns the system's clock into moments since one start. A copy shares the start, so that two
/// drivers of one run speak of the same time.
#[derive(Debug, Clone, Copy)]
pub struct RunClock {
    start: Duration,
}

impl RunClock {
    /// Starts a run now.
    pub fn start() -> Self {
        Self { start: uptime() }
    }

    /// The time that has passed since the run began.
    pub fn now(self) -> Moment {
        Moment::ZERO + uptime().saturating_sub(self.start)
    }

    /// The instant at which `moment` comes, if the machine does not sleep until then; now, if it has
    /// come.
    pub fn instant(self, moment: Moment) -> Instant {
        let left = moment.since(self.now());
        Instant::now() + left
    }
}

/// The time since some fixed beginning, of sleep too.
#[cfg(target_os = "linux")]
fn uptime() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let (secs, nanos) = (now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs());
    Duration::from_secs(secs) + Duration::from_nanos(nanos)
}

#[cfg(not(target_os = "linux"))]
fn uptime() -> Duration {
    static BEGAN: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    BEGAN.get_or_init(Instant::now).elapsed()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A moment to come is as far away by the instant as by the clock, and one that is over is now.
    #[test]
    fn moments_and_instants_are_of_one_time() {
        let clock = RunClock::start();
        let before = Instant::now();
        let far = clock.instant(clock.now() + Duration::from_secs(3_600));
        let after = Instant::now() + Duration::from_secs(3_600);
        assert!(before + Duration::from_secs(3_600) <= far && far <= after);
        let over = clock.instant(Moment::ZERO);
        assert!(before <= over && over <= Instant::now());
    }

    /// The clock counts the time that the machine slept since it was started.
    #[test]
    #[cfg(target_os = "linux")]
    fn sleep_of_the_machine_counts() {
        use rustix::time::{ClockId, clock_gettime};
        let read = |id| {
            let now = clock_gettime(id);
            Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs() as u32)
        };
        let (before, clock) = (read(ClockId::Boottime), uptime());
        assert!(before <= clock && clock <= read(ClockId::Boottime));
        assert!(read(ClockId::Monotonic) <= read(ClockId::Boottime));
    }
}
