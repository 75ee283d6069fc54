//! Rule `stall/gaps`: when the observer was stalled.

use std::time::Duration;

use skep_evidence::record::Body;
use skep_wire::Derived;

use crate::{
    group::Indexed,
    rule::{Rule, When},
};

/// The rule.
pub const RULE: Rule = Rule {
    name: "stall/gaps",
    says: "The gaps of the run in which something was to be done and nothing was, because the observer's \
           process was stopped or starved, waited for its disk, or its machine slept: how many, how long \
           in all from the moment at which something was due, and the longest.",
    does_not_show: "What happened in a gap: nothing was asked in it, and what was read after it may have \
                    come at any time in it. A time-out that ends one says only that no connection stood \
                    by then. What stalled the observer is only what it says.",
};

/// The stalls of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stalls {
    /// How many.
    pub count: u64,
    /// How long in all.
    pub total: Duration,
    /// The longest, and the record at which it ended.
    pub longest: Option<(Duration, When)>,
}

/// Sums the stalls of a run up.
pub fn stalls(records: &[Indexed<'_>]) -> Derived<Stalls> {
    let mut found = Stalls::default();
    let mut inputs = Vec::new();
    for &entry in records {
        let Body::Stalled { due, .. } = entry.record.body else {
            continue;
        };
        let lasted = entry.record.at.since(due);
        found.count += 1;
        found.total = found.total.saturating_add(lasted);
        if found.longest.is_none_or(|(longest, _)| lasted > longest) {
            found.longest = Some((lasted, entry.into()));
        }
        inputs.push(entry.index);
    }
    RULE.derive(found, inputs)
}
