//! The ledger's records against the replays of its runs, in one pass.

use std::{collections::BTreeMap, time::Duration};

use skep_evidence::{
    clock::{ClockSample, UtcInterval},
    file::Files,
    record::{Body, Record},
};
use skep_observe::Config;
use skep_wire::{
    Moment,
    bencode::{self, Limits, Value},
};

use crate::{
    Failure, Outcome, check,
    contents::{self, Covered},
    replay::{self, Commitment, RunReplay},
};

/// How many records of the replay are looked at to tell a record left out from one altered.
const LOOK_AHEAD_MAX: usize = 256;
/// Greatest length of a record in a message, in characters.
const SHOWN_CHARS_MAX: usize = 200;

/// How far a mark may be from the entry before it: a driver marks every few seconds, and reads the clock
/// every ten.
const MARK_SLACK: Duration = Duration::from_secs(60);
/// Over how long a time the records may spread that a crash took. A driver makes records durable ten
/// times a second, and makes none while it waits for the disk.
const LOST_SPAN_MAX: Duration = Duration::from_secs(10);

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
    let plan = plan(&commitment.config);
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
    report(run, records.len() as u64 + 1, &replayed, &ended, outcome);
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

/// The plan in words: a reader who sees that nobody was visited should see why.
fn plan(config: &Config) -> String {
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
fn report(run: u32, records: u64, done: &RunReplay<'_>, ended: &Ended, outcome: &mut Outcome) {
    let (steps, marks) = (done.steps, ended.marks);
    outcome.holds(format!(
        "{steps} entries replayed make {} records",
        records - 1 - marks
    ));
    outcome.note(ended.sentence());
    outcome.note(format!(
        "the greatest time by which an entry came later than the machine wanted to be called is {} ms",
        done.late_max.as_millis()
    ));
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

/// How a run ended.
struct Ended {
    planned: bool,
    cut: bool,
    marks: u64,
    /// Records that the replay makes after the last one in the ledger, lost in the crash: how many of
    /// each kind.
    lost: BTreeMap<String, u64>,
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
        if last.at.since(first.at) > LOST_SPAN_MAX {
            return Err(self.left_out(first, index, &describe(cut)));
        }
        Ok(())
    }

    /// The driver's records have the time of the journal's clock, as the machine's have.
    fn check_time(&self, index: u64, record: &Record) -> Result<(), Failure> {
        let Some((clock, last)) = self.replayed.time else {
            // The crash came before the first entry: all the time there is is that of the first record.
            let (at, utc) = (self.first.1.at, self.first.1.utc);
            return same_time(index, record, at, utc);
        };
        let (at, utc) = (record.at, clock.utc(record.at));
        let off = at.since(last).max(last.since(at));
        same_time(index, record, if off > MARK_SLACK { last } else { at }, utc)
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

/// A record for a message: its fields as they are encoded, cut.
fn describe(record: &Record) -> String {
    debug_assert!(
        !replay::by_driver(&record.body) || record.run > 0,
        "runs count from 1"
    );
    let encoded = record.encode();
    let fields = fields(&encoded);
    let mut text: Vec<String> = fields
        .iter()
        .map(|(name, value)| format!("{name}={}", shown(value)))
        .collect();
    text.insert(0, record.body.kind().to_owned());
    cut(&text.join(" "))
}

/// The first field of two records that differs, and what it is in each.
fn first_difference(ledger: &[u8], replay: &[u8]) -> (String, String, String) {
    let (ledger, replay) = (fields(ledger), fields(replay));
    let of = |fields: &[(String, Vec<u8>)], name: &str| {
        fields
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.clone())
    };
    // The kind is the first thing to say where it differs: all other fields follow from it.
    let mut names: Vec<&String> = ledger.iter().chain(&replay).map(|(name, _)| name).collect();
    names.sort_by_key(|name| (*name != "kind", (*name).clone()));
    for name in names {
        let (one, two) = (of(&ledger, name), of(&replay, name));
        if one != two {
            let text =
                |value: Option<Vec<u8>>| value.map_or("absent".into(), |value| cut(&shown(&value)));
            return (name.clone(), text(one), text(two));
        }
    }
    ("none".into(), String::new(), String::new())
}

/// The top-level fields of an encoded record with their raw values.
fn fields(encoded: &[u8]) -> Vec<(String, Vec<u8>)> {
    let limits = Limits {
        depth_max: 8,
        values_max: 65_535,
        canonical: true,
    };
    let Ok(node) = bencode::decode(encoded, limits) else {
        return Vec::new();
    };
    let Value::Dict(entries) = node.value else {
        return Vec::new();
    };
    let field = |(name, node): &(&[u8], bencode::Node<'_>)| {
        (name.escape_ascii().to_string(), node.raw.to_vec())
    };
    entries.iter().map(field).collect()
}

/// A raw bencoded value as people read it: text and numbers plain, binary as hexadecimal.
fn shown(raw: &[u8]) -> String {
    if let [b'i', number @ .., b'e'] = raw {
        return number.escape_ascii().to_string();
    }
    let colon = raw.iter().position(|&byte| byte == b':');
    match colon {
        Some(colon) if raw[0].is_ascii_digit() => {
            let bytes = &raw[colon + 1..];
            match std::str::from_utf8(bytes) {
                Ok(text) if !text.contains(|char: char| char.is_control()) => {
                    format!("{text:?}")
                }
                _ => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
            }
        }
        _ => raw.escape_ascii().to_string(),
    }
}

fn cut(text: &str) -> String {
    let mut out: String = text.chars().take(SHOWN_CHARS_MAX).collect();
    if out.len() < text.len() {
        out.push('…');
    }
    out
}
