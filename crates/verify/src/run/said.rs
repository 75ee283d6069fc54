//! What is said of a run that was replayed.

use std::collections::BTreeMap;

use skep_analysis::utc;
use skep_evidence::clock::{UtcInterval, rfc3339};
use skep_observe::Config;

use crate::{
    Outcome, check,
    replay::{RunReplay, Stalls},
};

/// The plan in words: a reader who sees that nobody was visited should see why.
pub(super) fn plan(config: &Config) -> String {
    format!(
        "the plan, which the first record commits to: at most {} connections at once, {} ms for each to \
         stand; visits of {} s, again after {} s, {}; trackers every {} s; {} endpoints named by the \
         operator. That it was made before the run is only what the observer says",
        config.conns_max,
        config.connect_ms,
        config.visit_secs,
        config.revisit_secs,
        if config.whole {
            "for the whole content".to_owned()
        } else {
            format!("pieces a visit: {}", config.pieces_per_visit)
        },
        config.announce_secs,
        config.endpoints.len()
    )
}

/// Says what was done.
pub(super) fn report(
    run: u32,
    records: u64,
    done: &RunReplay<'_>,
    ended: &Ended,
    outcome: &mut Outcome,
) {
    let (steps, marks) = (done.steps, ended.marks);
    outcome.holds(format!(
        "{steps} entries replayed make {} records",
        records - 1 - marks
    ));
    outcome.note(ended.sentence());
    outcome.note(format!(
        "the greatest time by which an entry came after something was due is {} ms; what was due comes \
         first there, so nothing was judged with a tolerance",
        done.late_max.as_millis()
    ));
    if let Some(stalled) = stalled(&done.stalls) {
        outcome.note(stalled);
    }
    outcome.note(waiting(done.waiting()));
    outcome.begin_run(&check::JOURNAL, run);
    outcome.holds(format!(
        "{steps} frames, {marks} marks, {} bytes",
        done.journal_len()
    ));
    if done.clock_steps > 0 {
        let (steps, ms) = (done.clock_steps, done.clock_step_us_max.div_ceil(1_000));
        outcome.note(format!(
            "{steps} clock samples contradict the one before, by {ms} ms at most beyond the stated errors: \
             the clock was set while the run went on, and UTC before and after it does not compare"
        ));
    }
    outcome.begin_run(&check::CAPTURE, run);
    outcome.holds(format!("{} bytes rendered again", done.capture_len()));
    outcome.begin_run(&check::SENT, run);
    let asked = &done.outcomes;
    outcome.holds(format!(
        "{} bytes sent, all queued by the machine; {} connects with their outcomes, {} given up when \
         they were closed",
        asked.sent_bytes, asked.connected_or_failed, asked.given_up
    ));
    if asked.datagrams_not_taken > 0 {
        let count = asked.datagrams_not_taken;
        outcome.note(format!(
            "{count} datagrams that the machine queued were never sent"
        ));
    }
    for (count, what) in [
        (
            asked.connects_open(),
            "connects have no outcome yet where the journal ends",
        ),
        (
            asked.lookups_open(),
            "look-ups of names have no answer where the journal ends",
        ),
        (
            asked.bytes_open(),
            "queued bytes were not sent yet where the journal ends",
        ),
    ] {
        if count > 0 {
            outcome.note(format!("{count} {what}"));
        }
    }
    outcome.begin_run(&check::BYTES, run);
    let counts = done.listener.counts;
    outcome.holds(format!(
        "{} pieces hashed and found to be the torrent's, {} found not to be; {} passages, {} blocks, {} \
         handshakes, {} claims read again",
        counts.verified,
        counts.refuted,
        counts.passages,
        counts.delivered,
        counts.joined,
        counts.claims
    ));
    if counts.early > 0 {
        let count = counts.early;
        outcome.note(format!(
            "{count} blocks came before our request for them had left: the peer knew what would be asked"
        ));
    }
    if counts.joined_unanswered > 0 {
        let count = counts.joined_unanswered;
        outcome.note(format!(
            "{count} handshakes were not compared with ours: the connection was over before we sent one"
        ));
    }
}

/// When the observer was stalled, if it was.
fn stalled(stalls: &Stalls) -> Option<String> {
    let time = |interval: &UtcInterval| rfc3339(utc::middle_us(*interval));
    let of = |(since, until): &(UtcInterval, UtcInterval)| {
        format!("from {} to {}", time(since), time(until))
    };
    let shown: Vec<String> = stalls.first.iter().map(of).collect();
    let more = stalls.count - shown.len() as u64;
    let more = match more {
        0 => String::new(),
        more => format!(" and {more} times more"),
    };
    let often = match stalls.count {
        1 => "once".to_owned(),
        count => format!("{count} times"),
    };
    (stalls.count > 0).then(|| {
        format!(
            "the observer was stalled {often}, {}.{} s in all, as the gaps of its journal show: {}{more}. \
             Nothing was asked in that time; what was read after it may have come at any time in it",
            stalls.total.as_secs(),
            stalls.total.subsec_millis() / 100,
            shown.join(", ")
        )
    })
}

/// How far the plan was carried out.
fn waiting(count: usize) -> String {
    let waiting = match count {
        0 => "every endpoint whose turn had come was contacted".to_owned(),
        count => format!(
            "{count} endpoints whose turn had come were waiting for a connection to be free"
        ),
    };
    format!(
        "every attempt, visit and announce was made when the plan says, at the first entry from then on; {waiting}"
    )
}

/// How a run ended.
pub(super) struct Ended {
    pub(super) planned: bool,
    pub(super) cut: bool,
    pub(super) marks: u64,
    /// Records that the replay makes after the last one in the ledger, lost in the crash: how many of
    /// each kind.
    pub(super) lost: BTreeMap<String, u64>,
}

impl Ended {
    fn sentence(&self) -> String {
        match (self.planned, self.cut) {
            (true, _) => "the run ended as planned".into(),
            (false, true) => {
                let count: u64 = self.lost.values().sum();
                let kinds: Vec<String> = self
                    .lost
                    .iter()
                    .map(|(kind, count)| format!("{count} {kind}"))
                    .collect();
                let kinds = if kinds.is_empty() {
                    String::new()
                } else {
                    format!(" ({})", kinds.join(", "))
                };
                format!(
                    "the run was cut off by a crash, and says so; the replay makes {count} more records{kinds}, \
                     which the ledger had not taken when the crash came. How much was torn off is only what \
                     the observer says"
                )
            }
            (false, false) => {
                "the run has no end in this bundle: it was going on, or was cut off, after \
                               the last mark"
                    .into()
            }
        }
    }
}
