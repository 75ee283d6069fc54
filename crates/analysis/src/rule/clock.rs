//! Rule `clock/samples`: how the observer's clock stood in a run.

use skep_evidence::record::{Body, Record};
use skep_wire::Derived;

use crate::{group::Indexed, rule::Rule};

/// The rule.
pub const RULE: Rule = Rule {
    name: "clock/samples",
    says: "The clock samples of the run: how many, how many of them with a clock that the kernel \
           called synchronised, the greatest error bound that it stated, and how often the clock was \
           set between two samples: they and the monotonic time between them contradict each other.",
    does_not_show: "The bound is the observer's own kernel's. An outsider knows the time only from \
                    witnesses and time stamps over checkpoints.",
};

/// The samples of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ClockState {
    /// How many samples are recorded.
    pub samples: u64,
    /// How many of them were taken with a synchronised clock.
    pub synchronised: u64,
    /// The greatest error bound of a synchronised sample, in microseconds.
    pub error_us_max: u64,
    /// How many samples contradict the one before: the clock was set, or ran wrong by more than it may.
    pub steps: u64,
    /// By how much at most, in microseconds beyond the stated errors.
    pub step_us_max: u64,
}

/// Summarises the samples of a run.
pub fn state(records: &[Indexed<'_>]) -> Derived<ClockState> {
    let mut found = ClockState::default();
    let mut inputs = Vec::new();
    let mut before: Option<&Record> = None;
    for entry in records {
        let Body::Clock { error_us_max, .. } = &entry.record.body else {
            continue;
        };
        found.samples += 1;
        if entry.record.utc.synchronised {
            found.synchronised += 1;
            found.error_us_max = found.error_us_max.max(*error_us_max);
        }
        if let Some(before) = before.replace(entry.record) {
            let elapsed_ns = entry.record.at.0.saturating_sub(before.at.0);
            let apart_us = before.utc.later(elapsed_ns).apart_us(&entry.record.utc);
            found.steps += u64::from(apart_us > 0);
            found.step_us_max = found.step_us_max.max(apart_us);
        }
        inputs.push(entry.index);
    }
    RULE.derive(found, inputs)
}
