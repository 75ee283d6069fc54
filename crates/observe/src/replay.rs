//! The same entries again, for whoever checks them.

use skep_evidence::{journal::Entry, record::Record};
use skep_wire::Moment;

use crate::{Action, Config, Duty, Fault, Observer, Target};

/// What one entry leads to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Step {
    /// The records, in ledger order.
    pub records: Vec<Record>,
    /// What the driver is asked for, in order.
    pub actions: Vec<Action>,
}

/// Feeds a journal through the machine, entry by entry.
///
/// The machine itself judges that what is said to have been sent is what it queued, that only
/// connections it asked for were opened, to where it asked, and that nothing comes after a close. The
/// caller compares each [`Step::records`] with the ledger.
#[derive(Debug)]
pub struct Replay {
    observer: Observer,
}

impl Replay {
    /// Begins with the configuration and the torrents that `RunStarted` commits to.
    pub fn new(config: Config, targets: Vec<Target>) -> Self {
        Self {
            observer: Observer::new(config, targets),
        }
    }

    /// Feeds one entry with the captured bytes that it points at.
    ///
    /// # Errors
    ///
    /// [`Fault`] if no run can have this entry here.
    pub fn step(&mut self, entry: &Entry, bytes: &[u8]) -> Result<Step, Fault> {
        self.observer.handle_entry(entry, bytes)?;
        let mut step = Step::default();
        while let Some(record) = self.observer.poll_record() {
            step.records.push(record);
        }
        while let Some(action) = self.observer.poll_action() {
            step.actions.push(action);
        }
        Ok(step)
    }

    /// When the machine wants to be called next.
    pub fn poll_timeout(&self) -> Option<(Moment, &'static str)> {
        self.observer.poll_timeout()
    }

    /// What the driver owes next, and when: see [`Observer::poll_duty`].
    pub fn poll_duty(&self, now: Moment) -> Option<(Moment, Duty)> {
        self.observer.poll_duty(now)
    }

    /// When something is to be done next. An entry that is later tells by how much the driver was late.
    pub fn next_due(&self) -> Option<Moment> {
        self.observer.next_due()
    }

    /// How many endpoints wait for their turn: see [`Observer::waiting`].
    pub fn waiting(&self) -> usize {
        self.observer.waiting()
    }

    /// Whether the run ended as planned.
    pub fn is_over(&self) -> bool {
        self.observer.is_over()
    }
}
