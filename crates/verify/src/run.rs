//! The ledger's records against the replays of its runs, in one pass.

mod said;
mod shown;

use std::{collections::BTreeMap, time::Duration};

use skep_evidence::{
    clock::{ClockSample, UtcInterval},
    file::Files,
    record::{Body, Record},
};
use skep_observe::UNCOMMITTED_SECS_MAX;
use skep_wire::Moment;

use crate::{
    Failure, Outcome, check,
    contents::{self, Covered},
    replay::{self, Commitment, RunReplay},
};
use said::Ended;
use shown::{describe, first_difference};

/// How many records of the replay are looked at to tell a record left out from one altered.
const LOOK_AHEAD_MAX: usize = 256;

/// Over how long a time the records spread, at most, that a crash took: a driver that is later than this
/// makes what it has durable before it writes another entry.
const LOST_SPAN_MAX: Duration = Duration::from_secs(UNCOMMITTED_SECS_MAX);

/// A ledger's records and the files beside them.
pub(crate) struct Ledgered<'a> {
    pub(crate) files: &'a dyn Files,
    pub(crate) records: &'a [(u64, Record)],
    pub(crate) observer: &'a str,
}

/// Checks every run.
pub(crate) fn check_all(ledger: &Ledgered<'_>, outcome: &mut Outcome) -> Result<(), Failure> {
    let covered = contents::covered(ledger.records);
    let mut rest = ledger.records;
    let mut before = 0;
    while let Some((index, first)) = rest.first() {
        let run = first.run;
        if run != before + 1 || !matches!(first.body, Body::RunStarted { .. }) {
            outcome.begin_run(&check::REPLAY, run);
            return Err(place(
                *index,
                first,
                "a run begins with run-started, under the next number",
            ));
        }
        let len = rest
            .iter()
            .take_while(|(_, record)| record.run == run)
            .count();
        let (records, after) = rest.split_at(len);
        check_run(ledger, records, covered.get(&run).copied(), outcome)?;
        (rest, before) = (after, run);
    }
    Ok(())
}

/// Checks one run; `records` are all of it, `RunStarted` first.
fn check_run(
    ledger: &Ledgered<'_>,
    records: &[(u64, Record)],
    covered: Option<Covered>,
    outcome: &mut Outcome,
) -> Result<(), Failure> {
    let Some(((index, first), records)) = records.split_first() else {
        return Ok(());
    };
    let run = first.run;
    outcome.begin_run(&check::REPLAY, run);
    let commitment = Commitment::read(ledger.files, first)?
        .ok_or_else(|| place(*index, first, "a run begins with run-started"))?;
    if commitment.observer != ledger.observer {
        return Err(Failure::Observer {
            index: *index,
            got: commitment.observer,
            expected: ledger.observer.to_owned(),
        });
    }
    check_own_fields(*index, first)?;
    let Some(covered) = covered else {
        if let Some((index, record)) = records.first() {
            return Err(place(*index, record, "records of a run without a mark"));
        }
        outcome.not_checked("the run committed to its plan and nothing after it is covered".into());
        return Ok(());
    };
    let plan = said::plan(&commitment.config);
    let journal = replay::read_journal(ledger.files, run)?;
    check_covered(ledger.files, run, journal.len() as u64, covered)?;
    let mut replayed = RunReplay::new(ledger.files, &journal, commitment)?;
    let ended = Pass {
        replayed: &mut replayed,
        records,
        first: (*index, first),
        place: 0,
        cut: None,
    }
    .run()?;
    said::report(run, records.len() as u64 + 1, &replayed, &ended, outcome);
    outcome.note_on_run(&check::REPLAY, run, plan);
    Ok(())
}

/// Nothing stands in journal and capture after what the last mark covers: no record would be compared
/// with it.
fn check_covered(
    files: &dyn Files,
    run: u32,
    journal_len: u64,
    covered: Covered,
) -> Result<(), Failure> {
    let capture = contents::capture_path(run);
    let capture_len = files.len(&capture)?.unwrap_or(0);
    for (path, got, covered) in [
        (
            contents::journal_path(run),
            journal_len,
            covered.journal_len,
        ),
        (capture, capture_len, covered.capture_len),
    ] {
        if got > covered {
            return Err(Failure::Uncovered { path, got, covered });
        }
    }
    Ok(())
}

/// A record of the driver's is compared with nothing but what its kind has: it holds nothing else.
fn check_own_fields(index: u64, record: &Record) -> Result<(), Failure> {
    match record.unknown.first() {
        None => Ok(()),
        Some((key, _)) => Err(Failure::UnknownField {
            index,
            kind: record.body.kind().to_owned(),
            field: key.escape_ascii().to_string(),
        }),
    }
}

/// One pass over a run's records.
struct Pass<'a, 'b> {
    replayed: &'a mut RunReplay<'b>,
    records: &'a [(u64, Record)],
    /// `RunStarted`.
    first: (u64, &'a Record),
    place: usize,
    /// `RunCut`, once it was met.
    cut: Option<(u64, &'a Record)>,
}

impl Pass<'_, '_> {
    fn run(mut self) -> Result<Ended, Failure> {
        let mut marks = 0;
        let mut last_is_mark = false;
        while let Some((index, record)) = self.records.get(self.place) {
            if replay::by_driver(&record.body) {
                check_own_fields(*index, record)?;
            }
            match &record.body {
                Body::RunStarted { .. } => {
                    return Err(place(*index, record, "the run has begun already"));
                }
                Body::RunCut { .. } if self.cut.is_some() || self.replayed.is_over() => {
                    return Err(place(*index, record, "the run has ended already"));
                }
                Body::RunCut { .. } => self.cut = Some((*index, record)),
                Body::Mark { .. } => {
                    self.mark(*index, record)?;
                    marks += 1;
                }
                _ if self.cut.is_some() => {
                    return Err(place(
                        *index,
                        record,
                        "nothing but a mark comes after a crash",
                    ));
                }
                _ => self.machine_record(*index, record)?,
            }
            last_is_mark = matches!(record.body, Body::Mark { .. });
            self.place += 1;
        }
        if let (Some((index, record)), false) = (self.records.last(), last_is_mark) {
            return Err(place(*index, record, "the last record of a run is a mark"));
        }
        if let Some(clock) = self.replayed.first_clock {
            self.check_first_time(clock)?;
        }
        let mut lost = BTreeMap::new();
        for made in &self.replayed.made {
            *lost.entry(made.body.kind().to_owned()).or_insert(0) += 1;
        }
        self.replayed.listener.finish()?;
        Ok(Ended {
            planned: self.replayed.is_over(),
            cut: self.cut.is_some(),
            marks,
            lost,
        })
    }

    /// A mark covers the journal so far, and everything that the replay makes of it stands before.
    fn mark(&mut self, index: u64, record: &Record) -> Result<(), Failure> {
        let Body::Mark {
            journal_len,
            journal,
            capture_len,
            capture,
        } = record.body
        else {
            return Ok(());
        };
        while self.replayed.journal_len() < journal_len {
            if !self.replayed.step()? {
                break;
            }
        }
        if let (Some(made), None) = (self.replayed.made.front(), self.cut) {
            return Err(self.left_out(made, index, &describe(record)));
        }
        self.check_lost()?;
        for (index, record) in self.cut.into_iter().chain([(index, record)]) {
            self.check_time(index, record)?;
        }
        let run = record.run;
        if self.replayed.journal_len() > journal_len {
            let (path, offset) = (contents::journal_path(run), self.replayed.journal_len());
            return Err(Failure::MarkInside {
                index,
                path,
                offset,
            });
        }
        let said = [(journal_len, journal), (capture_len, capture)];
        let got = [
            (self.replayed.journal_len(), self.replayed.journal_digest()),
            (self.replayed.capture_len(), self.replayed.capture_digest()),
        ];
        let paths = [contents::journal_path(run), contents::capture_path(run)];
        for ((path, said), got) in paths.into_iter().zip(said).zip(got) {
            if said != got {
                let text = |(len, digest)| format!("{len} bytes hashing to {digest}");
                return Err(Failure::Mark {
                    index,
                    path,
                    said: text(said),
                    got: text(got),
                });
            }
        }
        Ok(())
    }

    /// A crash takes what was not durable yet, and no more.
    fn check_lost(&self) -> Result<(), Failure> {
        let made = &self.replayed.made;
        let (Some((index, cut)), Some(first), Some(last)) = (self.cut, made.front(), made.back())
        else {
            return Ok(());
        };
        if last.at.since(first.at) >= LOST_SPAN_MAX {
            return Err(self.left_out(first, index, &describe(cut)));
        }
        Ok(())
    }

    /// A driver's record has the time of the last entry before it, as a machine's would.
    fn check_time(&self, index: u64, record: &Record) -> Result<(), Failure> {
        let Some((clock, last)) = self.replayed.time else {
            // The crash came before the first entry: all the time there is is that of the first record.
            let (at, utc) = (self.first.1.at, self.first.1.utc);
            return same_time(index, record, at, utc);
        };
        same_time(index, record, last, clock.utc(last))
    }

    /// A run begins when the first clock sample was taken.
    fn check_first_time(&self, clock: ClockSample) -> Result<(), Failure> {
        let (index, record) = self.first;
        same_time(index, record, clock.after, clock.utc(clock.after))
    }

    /// A record of the machine's is the next that the replay makes.
    fn machine_record(&mut self, index: u64, record: &Record) -> Result<(), Failure> {
        while self.replayed.made.is_empty() {
            if !self.replayed.step()? {
                return Err(Failure::NotMade {
                    index,
                    ledger: describe(record),
                });
            }
        }
        let Some(made) = self.replayed.made.pop_front() else {
            return Err(Failure::NotMade {
                index,
                ledger: describe(record),
            });
        };
        if made.encode() != record.encode() {
            return Err(self.differs(index, record, &made));
        }
        self.replayed.listener.record(index, record)
    }

    /// Tells apart: a record left out, one put in, one altered.
    fn differs(&mut self, index: u64, record: &Record, made: &Record) -> Failure {
        let ledger_next = self.records.get(self.place + 1).map(|(_, next)| next);
        if ledger_next == Some(made) {
            return Failure::NotMade {
                index,
                ledger: describe(record),
            };
        }
        while self.replayed.made.len() < LOOK_AHEAD_MAX && matches!(self.replayed.step(), Ok(true))
        {
        }
        if self
            .replayed
            .made
            .iter()
            .take(LOOK_AHEAD_MAX)
            .any(|later| later == record)
        {
            return self.left_out(made, index, &describe(record));
        }
        let (field, ledger, replay) = first_difference(&record.encode(), &made.encode());
        Failure::RecordDiffers {
            index,
            kind: record.body.kind().to_owned(),
            field,
            ledger,
            replay,
        }
    }

    fn left_out(&self, made: &Record, index: u64, ledger: &str) -> Failure {
        Failure::LeftOut {
            index,
            replay: describe(made),
            ledger: ledger.to_owned(),
        }
    }
}

fn same_time(index: u64, record: &Record, at: Moment, utc: UtcInterval) -> Result<(), Failure> {
    if (record.at, record.utc) == (at, utc) {
        return Ok(());
    }
    let due = Record {
        at,
        utc,
        ..record.clone()
    };
    let (field, ledger, replay) = first_difference(&record.encode(), &due.encode());
    Err(Failure::RecordDiffers {
        index,
        kind: record.body.kind().to_owned(),
        field,
        ledger,
        replay,
    })
}

fn place(index: u64, record: &Record, why: &'static str) -> Failure {
    let kind = record.body.kind().to_owned();
    Failure::Place {
        index,
        kind,
        run: record.run,
        why,
    }
}
