//! The rules by which findings follow from records: a file each, a pure function from one
//! endpoint's records to a [`Derived`] value, and a paragraph on what it does not show.

pub mod attempt;
pub mod client;
pub mod clock;
pub mod completion;
pub mod gain;
pub mod grade;
pub mod naming;
pub mod portion;
pub mod presence;
pub mod share;
pub mod stall;
pub mod tracker;

use skep_evidence::{clock::UtcInterval, record::Record};
use skep_wire::{Derived, Moment};

use crate::group::Indexed;

/// When something was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct When {
    /// The record's place in the ledger.
    pub index: u64,
    /// The run.
    pub run: u32,
    /// The run's monotonic time.
    pub at: Moment,
    /// The same as UTC.
    pub utc: UtcInterval,
}

impl From<Indexed<'_>> for When {
    fn from(Indexed { index, record }: Indexed<'_>) -> Self {
        let Record { run, at, utc, .. } = *record;
        Self {
            index,
            run,
            at,
            utc,
        }
    }
}

/// A rule, as reports list it.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// Its name.
    pub name: &'static str,
    /// What it makes of which records.
    pub says: &'static str,
    /// What must not be read into it.
    pub does_not_show: &'static str,
}

impl Rule {
    /// `value` by this rule from `inputs`.
    fn derive<T>(&self, value: T, inputs: Vec<u64>) -> Derived<T> {
        Derived {
            value,
            rule: self.name,
            inputs,
        }
    }
}

/// Every rule.
pub const ALL: [&Rule; 12] = [
    &grade::RULE,
    &presence::RULE,
    &share::CLAIMED,
    &share::OFFERED,
    &gain::RULE,
    &portion::RULE,
    &attempt::RULE,
    &naming::RULE,
    &client::RULE,
    &tracker::RULE,
    &clock::RULE,
    &stall::RULE,
];
