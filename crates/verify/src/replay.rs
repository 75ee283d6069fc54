//! One run fed through the observer machine again, entry by entry, with everything that can be
//! compared on the way.

use std::{collections::VecDeque, time::Duration};

use skep_evidence::{
    capture::{Packet, Renderer, Section},
    clock::{ClockSample, UtcInterval},
    file::Files,
    journal::{CaptureOffset, Entries, Entry, Input, Tail},
    record::{Body, Record},
};
use skep_hash::{Sha256, Sha256Digest};
use skep_observe::{Action, Config, Fault, Replay, Target};
use skep_wire::{Moment, metainfo::Metainfo};

use crate::{
    Failure,
    contents::{self, BLOB_LEN_MAX, JOURNAL_LEN_MAX},
    listen::Listener,
    outcomes::{Outcomes, Wrong},
    stream::{self, PassageError},
};

/// What the first record of a run commits to.
pub(crate) struct Commitment {
    pub(crate) run: u32,
    pub(crate) observer: String,
    pub(crate) version: String,
    pub(crate) config: Config,
    pub(crate) targets: Vec<Target>,
}

impl Commitment {
    /// Reads the blobs that a `RunStarted` record names.
    pub(crate) fn read(files: &dyn Files, record: &Record) -> Result<Option<Self>, Failure> {
        let Body::RunStarted {
            observer,
            version,
            config,
            targets,
            ..
        } = &record.body
        else {
            return Ok(None);
        };
        let run = record.run;
        let blob = |digest: &Sha256Digest| {
            let path = contents::blob_path(digest);
            let bytes = files.read(&path, BLOB_LEN_MAX)?;
            bytes.ok_or(Failure::Missing { path })
        };
        let config =
            Config::decode(&blob(config)?).map_err(|error| Failure::Config { run, error })?;
        if config.run != run {
            return Err(Failure::ConfigRun {
                run,
                got: config.run,
            });
        }
        let mut swarms = Vec::new();
        for (digest, place) in targets.iter().zip(0..) {
            let metainfo =
                Metainfo::from_bytes(&blob(digest)?).map_err(|error| Failure::Torrent {
                    run,
                    digest: *digest,
                    error,
                })?;
            swarms.extend(Target::all(place, *digest, &metainfo));
        }
        let (observer, version) = (observer.clone(), version.clone());
        Ok(Some(Self {
            run,
            observer,
            version,
            config,
            targets: swarms,
        }))
    }
}

/// A file as it is read from its beginning: how far, and the digest of that much.
struct Progress {
    path: String,
    len: u64,
    hash: Sha256,
}

impl Progress {
    fn new(path: String) -> Self {
        Self {
            path,
            len: 0,
            hash: Sha256::new(),
        }
    }

    fn add(&mut self, bytes: &[u8]) {
        self.len += bytes.len() as u64;
        self.hash.update(bytes);
    }

    fn digest(&self) -> Sha256Digest {
        self.hash.clone().finish()
    }
}

/// A run under replay.
pub(crate) struct RunReplay<'a> {
    files: &'a dyn Files,
    journal: &'a [u8],
    entries: Entries<'a>,
    replay: Replay,
    renderer: Renderer,
    journal_read: Progress,
    capture_read: Progress,
    /// Records that the machine made and that the ledger has not been asked for yet.
    pub(crate) made: VecDeque<Record>,
    pub(crate) outcomes: Outcomes,
    pub(crate) listener: Listener<'a>,
    /// The first clock sample.
    pub(crate) first_clock: Option<ClockSample>,
    /// The latest clock sample, and when the last entry came.
    pub(crate) time: Option<(ClockSample, Moment)>,
    /// How many clock samples contradict the one before, and by how much at most.
    pub(crate) clock_steps: u64,
    pub(crate) clock_step_us_max: u64,
    /// How many entries were fed.
    pub(crate) steps: u64,
    /// The most that an entry came after the moment at which something was due.
    pub(crate) late_max: Duration,
    pub(crate) stalls: Stalls,
    over: bool,
}

/// When the observer was stalled.
#[derive(Debug, Default)]
pub(crate) struct Stalls {
    /// How often.
    pub(crate) count: u64,
    /// How long in all.
    pub(crate) total: Duration,
    /// The first of them, at most [`STALLS_SHOWN_MAX`]: since when something was due, until when.
    pub(crate) first: Vec<(UtcInterval, UtcInterval)>,
}

/// How many stalls are listed. The ledger has a record of each.
pub const STALLS_SHOWN_MAX: usize = 8;

/// The journal of a run, to be held while it is replayed.
pub(crate) fn read_journal(files: &dyn Files, run: u32) -> Result<Vec<u8>, Failure> {
    let path = contents::journal_path(run);
    files
        .read(&path, JOURNAL_LEN_MAX)?
        .ok_or(Failure::Missing { path })
}

impl<'a> RunReplay<'a> {
    /// Begins the replay, and compares the capture's first bytes.
    pub(crate) fn new(
        files: &'a dyn Files,
        journal: &'a [u8],
        commitment: Commitment,
    ) -> Result<Self, Failure> {
        let Commitment {
            run,
            observer,
            version,
            config,
            targets,
        } = commitment;
        let (renderer, head) = Renderer::new(&Section {
            observer,
            run,
            version,
        });
        let capture = contents::capture_path(run);
        let listener = Listener::new(files, capture.clone(), &targets);
        let mut begun = Self {
            files,
            journal,
            entries: Entries::new(journal),
            replay: Replay::new(config, targets),
            renderer,
            journal_read: Progress::new(contents::journal_path(run)),
            capture_read: Progress::new(capture),
            made: VecDeque::new(),
            outcomes: Outcomes::default(),
            listener,
            first_clock: None,
            time: None,
            clock_steps: 0,
            clock_step_us_max: 0,
            steps: 0,
            late_max: Duration::ZERO,
            stalls: Stalls::default(),
            over: false,
        };
        begun.compare_capture(&head)?;
        Ok(begun)
    }

    /// How far the journal was read.
    pub(crate) fn journal_len(&self) -> u64 {
        self.journal_read.len
    }

    /// How far the capture was compared.
    pub(crate) fn capture_len(&self) -> u64 {
        self.capture_read.len
    }

    pub(crate) fn journal_digest(&self) -> Sha256Digest {
        self.journal_read.digest()
    }

    pub(crate) fn capture_digest(&self) -> Sha256Digest {
        self.capture_read.digest()
    }

    /// Whether the machine says that the run is over.
    pub(crate) fn is_over(&self) -> bool {
        self.over
    }

    /// Feeds the next entry. False at the end of the journal.
    pub(crate) fn step(&mut self) -> Result<bool, Failure> {
        let Some((offset, entry)) = self.entries.next() else {
            return match self.entries.tail() {
                Tail::Clean => Ok(false),
                Tail::Torn { why, .. } => Err(Failure::Journal {
                    path: self.journal_read.path.clone(),
                    error: why,
                }),
            };
        };
        let frame = &self.journal[offset as usize..self.entries.offset() as usize];
        self.journal_read.add(frame);
        self.check_sample(offset, &entry)?;
        let payload = self.payload(offset, &entry)?;
        self.render(offset, &entry, &payload)?;
        self.note_late(entry.at);
        if let Err(wrong) = self.outcomes.entry(&entry, &payload) {
            return Err(self.wrong(offset, wrong));
        }
        self.listener.entry(&entry, &payload);
        if let Some(conn) = self.listener.payload_sent {
            let path = self.capture_read.path.clone();
            return Err(Failure::PayloadSent { path, conn: conn.0 });
        }
        let step = self
            .replay
            .step(&entry, &payload)
            .map_err(|fault| self.fault(offset, fault))?;
        step.records
            .iter()
            .for_each(|record| self.note_stall(record));
        self.made.extend(step.records);
        for action in step.actions {
            if let Action::Send { conn, bytes } = &action {
                self.listener.queued(*conn, bytes);
            }
            self.outcomes.action(action);
        }
        self.over = self.replay.is_over();
        self.note_time(&entry);
        self.steps += 1;
        Ok(true)
    }

    /// The bytes that an entry points at.
    fn payload(&self, entry_offset: u64, entry: &Entry) -> Result<Vec<u8>, Failure> {
        let Some((_, capture, _)) = Packet::of(&entry.input) else {
            return Ok(Vec::new());
        };
        let path = &self.capture_read.path;
        stream::payload(self.files, path, capture).map_err(|error| match error {
            PassageError::File(error) => Failure::File(error),
            PassageError::Capture(error) => Failure::Capture {
                path: path.clone(),
                entry: entry_offset,
                error,
            },
            PassageError::NoBlock | PassageError::OtherBlock | PassageError::Beyond => {
                self.differs(capture)
            }
        })
    }

    /// Renders the entry's block again and compares it with the capture.
    fn render(&mut self, offset: u64, entry: &Entry, payload: &[u8]) -> Result<(), Failure> {
        let block = self
            .renderer
            .replay(entry, payload)
            .map_err(|error| Failure::Capture {
                path: self.capture_read.path.clone(),
                entry: offset,
                error,
            })?;
        self.compare_capture(&block)
    }

    fn compare_capture(&mut self, rendered: &[u8]) -> Result<(), Failure> {
        let at = self.capture_read.len;
        let there = self
            .files
            .read_at(&self.capture_read.path, at, rendered.len())?;
        if there != rendered {
            let same = there
                .iter()
                .zip(rendered)
                .take_while(|(one, two)| one == two)
                .count();
            return Err(self.differs(CaptureOffset(at + same as u64)));
        }
        self.capture_read.add(rendered);
        Ok(())
    }

    fn differs(&self, at: CaptureOffset) -> Failure {
        Failure::CaptureDiffers {
            path: self.capture_read.path.clone(),
            offset: at.0,
        }
    }

    fn fault(&self, entry: u64, fault: Fault) -> Failure {
        if let Fault::NoOutcome {
            conn,
            remote,
            due,
            at,
        } = fault
        {
            return Failure::NoOutcome {
                index: self.listener.attempted_at(conn).unwrap_or_default(),
                conn: conn.0,
                remote: remote.to_string(),
                due,
                at,
            };
        }
        Failure::Fault {
            path: self.journal_read.path.clone(),
            entry,
            fault,
        }
    }

    fn wrong(&self, entry: u64, wrong: Wrong) -> Failure {
        match wrong {
            Wrong::NotQueued(conn) => Failure::NotQueued {
                path: self.journal_read.path.clone(),
                entry,
                conn: conn.0,
            },
            Wrong::DatagramNotQueued => self.fault(entry, Fault::DatagramNotQueued),
        }
    }

    /// A clock is read before its entry is written, between two readings of monotonic time.
    fn check_sample(&self, offset: u64, entry: &Entry) -> Result<(), Failure> {
        match entry.input {
            Input::Clock(sample) if sample.before > sample.after || sample.after > entry.at => {
                Err(Failure::ClockSample {
                    path: self.journal_read.path.clone(),
                    entry: offset,
                    before: sample.before.0,
                    after: sample.after.0,
                    at: entry.at.0,
                })
            }
            _ => Ok(()),
        }
    }

    fn note_time(&mut self, entry: &Entry) {
        if let Input::Clock(sample) = entry.input {
            if let Some((before, _)) = self.time {
                let (by_this, by_last) = (sample.utc(sample.after), before.utc(sample.after));
                let apart_us = by_last.apart_us(&by_this);
                self.clock_steps += u64::from(apart_us > 0);
                self.clock_step_us_max = self.clock_step_us_max.max(apart_us);
            }
            self.first_clock.get_or_insert(sample);
            self.time = Some((sample, entry.at));
        }
        if let Some((_, last)) = &mut self.time {
            *last = entry.at;
        }
    }

    fn note_late(&mut self, now: Moment) {
        if let Some(due) = self.replay.next_due() {
            let last = self.time.map_or(Moment::ZERO, |(_, last)| last);
            self.late_max = self.late_max.max(now.since(due.max(last)));
        }
    }

    fn note_stall(&mut self, record: &Record) {
        let Body::Stalled { due, .. } = record.body else {
            return;
        };
        let lasted = record.at.since(due);
        self.stalls.count += 1;
        self.stalls.total = self.stalls.total.saturating_add(lasted);
        if self.stalls.first.len() < STALLS_SHOWN_MAX {
            // The same clock reading as that of the record, so that the two tell how long it lasted.
            let back = i64::try_from(lasted.as_micros()).unwrap_or(i64::MAX);
            let UtcInterval {
                earliest_us,
                latest_us,
                synchronised,
            } = record.utc;
            let since = UtcInterval {
                earliest_us: earliest_us.saturating_sub(back),
                latest_us: latest_us.saturating_sub(back),
                synchronised,
            };
            self.stalls.first.push((since, record.utc));
        }
    }

    /// How many endpoints wait for their turn though it has come.
    pub(crate) fn waiting(&self) -> usize {
        self.replay.waiting()
    }
}

/// Whether a record is the driver's and not the machine's.
pub(crate) fn by_driver(body: &Body) -> bool {
    matches!(
        body,
        Body::RunStarted { .. } | Body::Mark { .. } | Body::RunCut { .. }
    )
}

/// Whether an entry names a connection as standing.
pub(crate) fn opens(input: &Input) -> bool {
    matches!(input, Input::Opened { .. } | Input::Incoming { .. })
}
