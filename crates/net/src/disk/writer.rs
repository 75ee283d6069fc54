//! The threads that hash and write whole pieces, and the one that makes them last.
//!
//! ```text
//! event loop --Job: a piece's buffer--> worker: SHA-1, pwrite --Done: the buffer back--> event loop
//! event loop --Keep: pieces verified--> keeper: fsync, then the resume file
//! ```
//!
//! One message a piece in each direction; no thread is woken for a block. The channels need no
//! bound of their own: each job owns a buffer, and the session limits the sum of its buffers.

use std::{
    num::NonZero,
    path::PathBuf,
    sync::{Arc, Mutex, mpsc},
    thread::JoinHandle,
};

use skep_hash::{Sha1Digest, sha1};
use skep_wire::{Bitfield, InfoHash, PieceIndex, piece::BLOCK_LEN};

use super::{
    DiskError,
    files::{Access, Files},
    resume,
};

/// More threads than this do not help: the event loop that feeds them is one core.
const WORKERS_MAX: usize = 4;

/// A piece whose bytes are all there.
#[derive(Debug)]
pub struct Job {
    /// The piece.
    pub piece: PieceIndex,
    /// Its offset in the content.
    pub offset: u64,
    /// Its bytes.
    pub buf: Vec<u8>,
    /// The digest that it should have; `None` if it was compared already and only the write is to
    /// be tried again.
    pub expected: Option<Sha1Digest>,
    /// Whether the digests of its blocks are wanted even if it is good.
    pub digests: bool,
}

/// What became of a job.
#[derive(Debug)]
pub struct Done {
    /// The piece.
    pub piece: PieceIndex,
    /// The buffer.
    pub buf: Vec<u8>,
    /// What became of it.
    pub outcome: Outcome,
    /// The digests of its blocks, if it is bad or if they were asked for.
    pub blocks: Vec<Sha1Digest>,
}

/// What became of a piece.
#[derive(Debug)]
pub enum Outcome {
    /// It has its digest and is written.
    Written,
    /// It has another digest.
    WrongDigest(Sha1Digest),
    /// It has its digest and could not be written.
    Failed(DiskError),
}

/// Claims for the keeper.
#[derive(Debug)]
pub enum Keep {
    /// These pieces are written: sync them, then say so in the resume file.
    Pieces(Bitfield),
    /// Everything is written: sync it, then remove the resume file.
    Whole,
}

/// What the threads tell the event loop.
#[derive(Debug)]
pub enum Report {
    /// A piece is done.
    Done(Done),
    /// The resume file says what it was asked to say, or cannot.
    Kept(Result<(), DiskError>),
}

/// The threads. Dropping it lets them end when their queues are empty, and waits.
#[derive(Debug)]
pub struct Writer {
    jobs: Option<mpsc::Sender<Job>>,
    keeps: Option<mpsc::Sender<Keep>>,
    threads: Vec<JoinHandle<()>>,
}

impl Writer {
    /// Starts the threads. `report` is called on them.
    ///
    /// # Errors
    ///
    /// What the system says when it refuses a thread.
    pub fn start(
        files: &Files,
        resume_file: PathBuf,
        info_hash: InfoHash,
        report: impl Fn(Report) + Clone + Send + 'static,
    ) -> std::io::Result<Self> {
        let (jobs, queue) = mpsc::channel();
        let (keeps, keep_queue) = mpsc::channel();
        let mut writer = Self {
            jobs: Some(jobs),
            keeps: Some(keeps),
            threads: Vec::new(),
        };
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..workers() {
            let (files, queue, report) =
                (files.again(Access::Write), queue.clone(), report.clone());
            let work = move || work(files, &queue, report);
            writer.threads.push(
                std::thread::Builder::new()
                    .name("skep-write".into())
                    .spawn(work)?,
            );
        }
        let files = files.again(Access::Write);
        let keep = move || keep(files, &resume_file, info_hash, &keep_queue, report);
        writer.threads.push(
            std::thread::Builder::new()
                .name("skep-keep".into())
                .spawn(keep)?,
        );
        Ok(writer)
    }

    /// Hands over a piece.
    pub fn write(&self, job: Job) {
        let jobs = self.jobs.as_ref().expect("open until dropped");
        jobs.send(job).expect("workers live as long as the writer");
    }

    /// Hands over a claim.
    pub fn keep(&self, keep: Keep) {
        let keeps = self.keeps.as_ref().expect("open until dropped");
        keeps
            .send(keep)
            .expect("the keeper lives as long as the writer");
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.jobs = None;
        self.keeps = None;
        for thread in self.threads.drain(..) {
            if let Err(panic) = thread.join()
                && !std::thread::panicking()
            {
                std::panic::resume_unwind(panic);
            }
        }
    }
}

/// One core stays with the event loop.
fn workers() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    cores.saturating_sub(1).clamp(1, WORKERS_MAX)
}

fn work(mut files: Files, queue: &Mutex<mpsc::Receiver<Job>>, report: impl Fn(Report)) {
    loop {
        let next = queue
            .lock()
            .expect("no worker panics while it waits")
            .recv();
        let Ok(Job {
            piece,
            offset,
            buf,
            expected,
            digests,
        }) = next
        else {
            return;
        };
        let wrong = expected.and_then(|expected| {
            let got = sha1(&buf);
            (got != expected).then_some(got)
        });
        let outcome = match wrong {
            Some(got) => Outcome::WrongDigest(got),
            None => match files.write_at(offset, &buf) {
                Ok(()) => Outcome::Written,
                Err(error) => Outcome::Failed(error),
            },
        };
        let blocks = if digests || matches!(outcome, Outcome::WrongDigest(_)) {
            buf.chunks(BLOCK_LEN as usize).map(sha1).collect()
        } else {
            Vec::new()
        };
        report(Report::Done(Done {
            piece,
            buf,
            outcome,
            blocks,
        }));
    }
}

fn keep(
    mut files: Files,
    resume_file: &std::path::Path,
    info_hash: InfoHash,
    queue: &mpsc::Receiver<Keep>,
    report: impl Fn(Report),
) {
    while let Ok(keep) = queue.recv() {
        // Only the latest claim matters.
        let keep = queue.try_iter().last().unwrap_or(keep);
        let kept = match keep {
            Keep::Pieces(pieces) => files
                .sync_all()
                .and_then(|()| resume::stamps_of(&files))
                .and_then(|stamps| resume::save(resume_file, info_hash, &pieces, &stamps)),
            Keep::Whole => files.sync_all().and_then(|()| resume::remove(resume_file)),
        };
        report(Report::Kept(kept));
    }
}
