//! The run's clock: the only place where the monotonic clock becomes a [`Moment`].

use std::time::{Duration, Instant};

use skep_wire::Moment;

/// Turns the monotonic clock into moments since one start. A copy shares the start, so that two
/// drivers of one run speak of the same time.
#[derive(Debug, Clone, Copy)]
pub struct RunClock {
    start: Instant,
}

impl RunClock {
    /// Starts a run now.
    pub fn start() -> Self {
        Self {
            start: Instant::now(),
        }
    }

    /// The time that has passed since the run began.
    pub fn now(self) -> Moment {
        Moment::ZERO + self.start.elapsed()
    }

    /// The instant of the monotonic clock at which `moment` comes.
    pub fn instant(self, moment: Moment) -> Instant {
        self.start + Duration::from_nanos(moment.0)
    }
}
