//! Rule `clock/samples`: how the observer's clock stood in a run.

use skep_evidence::record::Body;
use skep_wire::Derived;

use crate::{group::Indexed, rule::Rule};

/// The rule.
pub const RULE: Rule = Rule {
    name: "clock/samples",
    says: "The clock samples of the run: how many, how many of them with a clock that the kernel \
           called synchronised, and the greatest error bound that it stated.",
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
}

/// Summarises the samples of a run.
pub fn state(records: &[Indexed<'_>]) -> Derived<ClockState> {
    let mut found = ClockState::default();
    let mut inputs = Vec::new();
    for entry in records {
        let Body::Clock { error_us_max, .. } = &entry.record.body else {
            continue;
        };
        found.samples += 1;
        if entry.record.utc.synchronised {
            found.synchronised += 1;
            found.error_us_max = found.error_us_max.max(*error_us_max);
        }
        inputs.push(entry.index);
    }
    RULE.derive(found, inputs)
}
