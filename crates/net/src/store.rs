//! The observation's folder on disk: capture, journal, ledger and blobs, made durable in that order.
//!
//! ```text
//! DIR/operator.key, operator.vkey      the key (mode 0600) and its public half
//! DIR/lock                             held by the one writer
//! DIR/ledger/...                       skep_evidence::ledger
//! DIR/blobs/<sha256>                   torrent files, run configurations
//! DIR/runs/0001/{journal,capture.pcapng}
//! ```
//!
//! Whoever writes appends the bytes first ([`ObservationStore::append_packet`]), then the entry that
//! points at them, then the records that the machine made of it. [`ObservationStore::commit`] makes
//! them durable together: it syncs the capture, then the journal, then the ledger. After an error
//! the store takes nothing more: what is on disk is opened and mended by the next `open`.

mod append;
mod disk_files;
mod key;
mod layout;
mod mend;
mod read;

use std::path::Path;

use skep_evidence::{
    capture::{CaptureError, Packet, Renderer, Section},
    clock::ClockSample,
    file::{FileError, FileOp, Files, FilesMut},
    journal::{CaptureOffset, Entry, Input, frame},
    ledger::{CHECKPOINT, KeyError, Ledger, LedgerError, LedgerReader, PENDING, SigningKey},
    record::{Body, FORMAT, Record, RecordError},
};
use skep_hash::{Sha256Digest, sha256};
use skep_wire::Moment;

pub use disk_files::DiskFiles;
pub use read::ObservationReader;

use self::{
    append::Append,
    key::Lock,
    mend::{LastRun, Mended},
};

/// What the first record of a run commits to.
#[derive(Debug, Clone)]
pub struct RunBegin<'a> {
    /// Version of skep.
    pub version: &'a str,
    /// SHA-256 of the running binary's file.
    pub binary: Sha256Digest,
    /// Compiler, target and profile.
    pub build: &'a str,
    /// The encoded configuration; it becomes a blob.
    pub config: &'a [u8],
    /// The torrent files in target order; they become blobs.
    pub torrents: &'a [Vec<u8>],
    /// The first clock sample of the run, which is also its first journal entry.
    pub clock: ClockSample,
}

/// What opening found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OpenReport {
    /// Whether the folder was made now.
    pub created: bool,
    /// How many records it holds.
    pub records: u64,
    /// How many runs it holds.
    pub runs: u32,
    /// What a crash had torn and was cut: bytes of journal, capture and ledger.
    pub cut: Option<Cut>,
}

/// What was cut from the end of a run that a crash ended. None of it had been acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cut {
    /// The run.
    pub run: u32,
    /// Bytes of its journal.
    pub journal: u64,
    /// Bytes of its capture.
    pub capture: u64,
    /// Bytes of the ledger's pending file.
    pub ledger: u64,
}

/// Why the store cannot go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The system refused; names the file.
    #[error(transparent)]
    File(#[from] FileError),
    /// The ledger does not hold.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// A record of the ledger does not decode.
    #[error("record {index}: {why}")]
    Record {
        /// Its place in the ledger.
        index: u64,
        /// What is wrong.
        why: RecordError,
    },
    /// The capture cannot be rendered.
    #[error(transparent)]
    Capture(#[from] CaptureError),
    /// The key file does not hold.
    #[error("{path}: {why}")]
    Key {
        /// The file.
        path: &'static str,
        /// What is wrong.
        why: KeyError,
    },
    /// The public key is not that of the secret key, or one of the two is missing.
    #[error("{} is not the public half of {}", layout::VKEY, layout::KEY)]
    OtherKey,
    /// There is no observation in the folder.
    #[error("{dir} holds no observation: {missing} is missing")]
    NoObservation {
        /// The folder.
        dir: String,
        /// What is missing.
        missing: &'static str,
    },
    /// The system gave no random bytes for a key.
    #[error("no random bytes for a key: {reason}")]
    NoRandom {
        /// What the system said.
        reason: String,
    },
    /// The folder is in use for something else.
    #[error(
        "{dir} is not empty, as {found} is there, and holds no observation: {} is missing",
        layout::KEY
    )]
    Foreign {
        /// The folder.
        dir: String,
        /// What lies in it, one of several maybe.
        found: String,
    },
    /// Another process writes to this folder.
    #[error("{path} is held by another process that writes here")]
    Locked {
        /// The lock file.
        path: String,
    },
    /// A run's file is not what the ledger's last mark says.
    #[error("{path} was changed after the ledger marked it")]
    RunChanged {
        /// The file.
        path: String,
    },
    /// Bytes, entries or marks outside a run.
    #[error("no run has begun")]
    NoRun,
    /// A blob does not have the digest that names it.
    #[error("{path} hashes to {got}")]
    Blob {
        /// The file.
        path: String,
        /// What it hashes to.
        got: Sha256Digest,
    },
    /// An earlier call was refused: what is on disk is unknown until the store is opened again.
    #[error("the store stopped at an earlier error")]
    Stopped,
}

/// The writing end of an observation's folder. One process at a time.
///
/// `F` is the file layer; all but tests use [`DiskFiles`].
#[derive(Debug)]
pub struct ObservationStore<F = DiskFiles> {
    files: F,
    ledger: Ledger,
    run: Option<Run>,
    runs: u32,
    stopped: bool,
    /// Held as long as the store lives.
    _lock: Option<Lock>,
}

/// The run that is being written.
#[derive(Debug)]
struct Run {
    number: u32,
    renderer: Renderer,
    clock: ClockSample,
    /// The moment of the last entry; before there is one, that of the first clock sample.
    last: Moment,
    capture: Append,
    journal: Append,
}

impl ObservationStore {
    /// Opens the observation in `dir`, or makes one with a new key named `name`. What a crash has
    /// torn is cut, reported, and written down as a `RunCut` record.
    ///
    /// # Errors
    ///
    /// [`StoreError`]: another writer, no access, a folder in use for something else, or one whose parts
    /// were changed.
    pub fn open(dir: &Path, name: &str) -> Result<(Self, OpenReport), StoreError> {
        let mut files = DiskFiles::new(dir);
        files.apply(&FileOp::CreateDir {
            path: String::new(),
        })?;
        if let Some(found) = layout::foreign(&files.list("")?) {
            let (dir, found) = (dir.display().to_string(), found.to_owned());
            return Err(StoreError::Foreign { dir, found });
        }
        let lock = Lock::take(dir)?;
        let key = key::open(&mut files, name)?;
        let (mut store, report) = Self::open_on(files, key)?;
        store._lock = Some(lock);
        Ok((store, report))
    }
}

impl<F: FilesMut> ObservationStore<F> {
    /// The same over any file layer, with its key. Nothing keeps a second writer out.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn open_on(mut files: F, key: SigningKey) -> Result<(Self, OpenReport), StoreError> {
        if files.len(CHECKPOINT)?.is_none() && is_unused(&files)? {
            let (ledger, commit) = Ledger::create(key);
            apply(&mut files, &commit.ops)?;
            let store = Self {
                files,
                ledger,
                run: None,
                runs: 0,
                stopped: false,
                _lock: None,
            };
            return Ok((
                store,
                OpenReport {
                    created: true,
                    ..OpenReport::default()
                },
            ));
        }
        let verifier = key.verifier();
        let recovered = Ledger::recover(&files, key)?;
        apply(&mut files, &recovered.ops)?;
        let reader = LedgerReader::open(&files, &verifier)?;
        let mut last = None;
        for record in reader.records(&files) {
            let (index, bytes) = record?;
            let record = Record::decode(&bytes).map_err(|why| StoreError::Record { index, why })?;
            LastRun::follow(&mut last, &record);
        }
        let runs = last.as_ref().map_or(0, |last| last.run);
        let ledger = recovered.ledger;
        let mut store = Self {
            files,
            ledger,
            run: None,
            runs,
            stopped: false,
            _lock: None,
        };
        store.forget_unrecorded(runs + 1)?;
        let cut = match &last {
            Some(last) => store.mend(last, recovered.cut)?,
            None => None,
        };
        if store.ledger.size() > reader.size() && cut.is_none() {
            // A crash came between the last records and the checkpoint that was to cover them.
            store.checkpoint()?;
        }
        let records = store.ledger.size();
        Ok((
            store,
            OpenReport {
                created: false,
                records,
                runs,
                cut,
            },
        ))
    }

    /// The observer's name: the key's, as in every checkpoint's origin line.
    pub fn observer(&self) -> &str {
        self.ledger.key().name()
    }

    /// The number that the next run will have.
    pub fn next_run(&self) -> u32 {
        self.runs + 1
    }

    /// The file layer.
    pub fn files(&self) -> &F {
        &self.files
    }

    /// Keeps bytes under their digest.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn put_blob(&mut self, bytes: &[u8]) -> Result<Sha256Digest, StoreError> {
        let digest = sha256(bytes);
        let path = layout::blob(&digest);
        self.guard(|store| {
            let ops = [
                FileOp::CreateDir {
                    path: layout::BLOBS.to_owned(),
                },
                FileOp::Replace {
                    path,
                    bytes: bytes.to_vec(),
                },
                FileOp::SyncDir {
                    path: layout::BLOBS.to_owned(),
                },
                FileOp::SyncDir {
                    path: String::new(),
                },
            ];
            apply(&mut store.files, &ops)
        })?;
        Ok(digest)
    }

    /// Begins a run: blobs, folder, capture header, and the durable `RunStarted` record under a
    /// signed checkpoint. The caller then appends the `Clock` entry of `begin.clock` as the first
    /// journal entry.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn begin_run(&mut self, begin: &RunBegin<'_>) -> Result<u32, StoreError> {
        let config = self.put_blob(begin.config)?;
        let targets = begin
            .torrents
            .iter()
            .map(|torrent| self.put_blob(torrent))
            .collect::<Result<Vec<Sha256Digest>, _>>()?;
        self.guard(|store| {
            let (number, observer) = (store.next_run(), store.observer().to_owned());
            let version = begin.version.to_owned();
            let section = Section {
                observer: observer.clone(),
                run: number,
                version,
            };
            let (renderer, head) = Renderer::new(&section);
            let files = &mut store.files;
            files.apply(&FileOp::CreateDir {
                path: layout::run(number),
            })?;
            let mut capture = Append::create(files, layout::capture(number))?;
            let journal = Append::create(files, layout::journal(number))?;
            capture.append(files, &head)?;
            capture.sync(files)?;
            for path in [layout::run(number), layout::RUNS.to_owned(), String::new()] {
                files.apply(&FileOp::SyncDir { path })?;
            }
            let clock = begin.clock;
            let body = Body::RunStarted {
                format: FORMAT,
                observer,
                version: begin.version.to_owned(),
                binary: begin.binary,
                build: begin.build.to_owned(),
                config,
                targets,
            };
            let (at, utc) = (clock.after, clock.utc(clock.after));
            let record = Record {
                run: number,
                at,
                utc,
                body,
                unknown: Vec::new(),
            };
            store.ledger.append(&record.encode())?;
            store.checkpoint()?;
            store.runs = number;
            store.run = Some(Run {
                number,
                renderer,
                clock,
                last: clock.after,
                capture,
                journal,
            });
            Ok(number)
        })
    }

    /// Appends bytes to the capture (at most `capture::PAYLOAD_BYTES_MAX`).
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn append_packet(
        &mut self,
        at: Moment,
        packet: Packet,
        bytes: &[u8],
    ) -> Result<CaptureOffset, StoreError> {
        self.guard(|store| {
            let run = store.run.as_mut().ok_or(StoreError::NoRun)?;
            let (offset, block) = run.renderer.packet(at, packet, bytes)?;
            run.capture.append(&mut store.files, &block)?;
            Ok(offset)
        })
    }

    /// Appends an entry to the journal.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn append_entry(&mut self, entry: &Entry) -> Result<(), StoreError> {
        self.guard(|store| {
            let run = store.run.as_mut().ok_or(StoreError::NoRun)?;
            run.renderer.learn(entry)?;
            run.last = entry.at;
            if let Input::Clock(sample) = entry.input {
                run.clock = sample;
            }
            Ok(run
                .journal
                .append(&mut store.files, &frame(&entry.encode()))?)
        })
    }

    /// Appends a record to the ledger; returns its index. Acknowledged by the next `commit`.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn append_record(&mut self, record: &Record) -> Result<u64, StoreError> {
        self.guard(|store| Ok(store.ledger.append(&record.encode())?))
    }

    /// Makes everything appended durable; returns how many records are.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn commit(&mut self) -> Result<u64, StoreError> {
        self.guard(|store| {
            store.sync_run()?;
            let commit = store.ledger.commit();
            apply(&mut store.files, &commit.ops)?;
            Ok(commit.size)
        })
    }

    /// Commits, and covers it with a `Mark` record and a signed checkpoint. Every few seconds, and
    /// at the end of a run. The mark has the moment of the last entry.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn mark(&mut self) -> Result<u64, StoreError> {
        self.guard(|store| {
            store.sync_run()?;
            let run = store.run.as_ref().ok_or(StoreError::NoRun)?;
            let body = Body::Mark {
                journal_len: run.journal.len(),
                journal: run.journal.digest(),
                capture_len: run.capture.len(),
                capture: run.capture.digest(),
            };
            let (number, at, utc) = (run.number, run.last, run.clock.utc(run.last));
            let record = Record {
                run: number,
                at,
                utc,
                body,
                unknown: Vec::new(),
            };
            store.ledger.append(&record.encode())?;
            store.checkpoint()
        })
    }

    /// How many bytes the run's capture has.
    pub fn capture_len(&self) -> u64 {
        self.run.as_ref().map_or(0, |run| run.capture.len())
    }

    /// First the bytes, then the entries that point at them.
    fn sync_run(&mut self) -> Result<(), StoreError> {
        if let Some(run) = &mut self.run {
            run.capture.sync(&mut self.files)?;
            run.journal.sync(&mut self.files)?;
        }
        Ok(())
    }

    fn checkpoint(&mut self) -> Result<u64, StoreError> {
        let commit = self.ledger.checkpoint();
        apply(&mut self.files, &commit.ops)?;
        Ok(commit.size)
    }

    /// Mends the last run after a crash, and writes down what was cut.
    fn mend(&mut self, last: &LastRun, ledger_cut: u64) -> Result<Option<Cut>, StoreError> {
        let Some(mended) = mend::mend(&self.files, last)? else {
            return Ok(None);
        };
        apply(&mut self.files, &mended.ops)?;
        let Mended {
            journal,
            capture,
            journal_cut,
            capture_cut,
            at,
            utc,
            ..
        } = mended;
        let cut = Body::RunCut {
            journal_cut,
            capture_cut,
            ledger_cut,
        };
        let mark = Body::Mark {
            journal_len: journal.len,
            journal: journal.digest,
            capture_len: capture.len,
            capture: capture.digest,
        };
        for body in [cut, mark] {
            let record = Record {
                run: last.run,
                at,
                utc,
                body,
                unknown: Vec::new(),
            };
            self.ledger.append(&record.encode())?;
        }
        self.checkpoint()?;
        let (run, journal, capture, ledger) = (last.run, journal_cut, capture_cut, ledger_cut);
        Ok(Some(Cut {
            run,
            journal,
            capture,
            ledger,
        }))
    }

    /// Deletes the files of a run whose first record was never acknowledged.
    fn forget_unrecorded(&mut self, run: u32) -> Result<(), StoreError> {
        for path in [layout::journal(run), layout::capture(run)] {
            if self.files.len(&path)?.is_some() {
                self.files.apply(&FileOp::Delete { path })?;
            }
        }
        Ok(())
    }

    /// After an error nothing more is taken: what was done of it is unknown.
    fn guard<T>(
        &mut self,
        act: impl FnOnce(&mut Self) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        if self.stopped {
            return Err(StoreError::Stopped);
        }
        let done = act(self);
        self.stopped = done.is_err();
        done
    }
}

/// Whether no ledger was ever acknowledged here: its first checkpoint is the last thing that is made.
fn is_unused(files: &dyn Files) -> Result<bool, StoreError> {
    for name in files.list(PENDING)? {
        if files
            .len(&format!("{PENDING}/{name}"))?
            .is_some_and(|len| len > 0)
        {
            return Ok(false);
        }
    }
    Ok(files.list("ledger/tile")?.is_empty())
}

fn apply(files: &mut impl FilesMut, ops: &[FileOp]) -> Result<(), StoreError> {
    ops.iter()
        .try_for_each(|op| files.apply(op))
        .map_err(StoreError::from)
}
