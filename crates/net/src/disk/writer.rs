//! The threads that hash and write what arrives, and the one that makes it last.
//!
//! ```text
//! event loop --batch: stripes, pieces to judge--> worker: hash in step, write --buffers, verdicts--> event loop
//! event loop --Keep: pieces verified-----------> keeper: sync, then the resume file --what lasts-> event loop
//! ```
//!
//! One message a batch in each direction; no thread is woken for a block, and stripes that lie end to end
//! are written in one call. The channels need no bound
//! of their own: each stripe owns a buffer, and the session limits their number.
//!
//! A piece is hashed as its stripes come, those of several pieces at once. A stripe that comes before
//! its turn is only written, and read again when the piece is judged. What is written is in the file
//! before its hash is known, but nothing counts as there before its piece is judged good.

use std::{
    collections::{HashMap, HashSet},
    num::NonZero,
    sync::{Arc, mpsc},
    thread::JoinHandle,
};

use skep_hash::sha1;
use skep_proto::torrent::BlockDigests;
use skep_wire::{
    Bitfield, PieceIndex,
    metainfo::{Info, Metainfo},
    piece::BLOCK_LEN,
};

use super::{
    DiskError,
    attributes::Left,
    files::{Access, CALL_BYTES_MAX, Files, PARTS_MAX},
    judge::{self, Finding, Hashing, Pieces as _, Stretch},
    keeper::{Keeper, Unkept},
    system::FileSystem,
};

/// More threads than this do not help: the event loop that feeds them is one core.
const WORKERS_MAX: usize = 4;

/// Pieces go to the workers in groups of so many neighbours, so that those of one file meet there.
const GROUP: u32 = 16;

/// A stretch of a piece, some or all blocks of which are there.
#[derive(Debug, PartialEq, Eq)]
pub struct StripeJob {
    /// The piece.
    pub piece: PieceIndex,
    /// Offset of the first byte in the piece.
    pub begin: u32,
    /// Length in bytes.
    pub len: u32,
    /// At least so many bytes.
    pub buf: Vec<u8>,
    /// One bit for each block that is there.
    pub there: u16,
    /// Whether the disk refused it before: only the write is to be tried again.
    pub is_retry: bool,
}

/// What the worker does.
#[derive(Debug)]
pub enum Job {
    /// Write this, and hash it if it is the next stretch of its piece.
    Stripe(StripeJob),
    /// All of a piece has been handed over: compare its hash.
    Judge {
        /// The piece.
        piece: PieceIndex,
        /// Whether the digests of its blocks are wanted even if it is good.
        digests: bool,
    },
    /// Forget what was hashed of a piece: it will come again from the beginning.
    Forget {
        /// The piece.
        piece: PieceIndex,
    },
}

impl StripeJob {
    fn stretch(&self) -> Stretch<'_> {
        Stretch {
            piece: self.piece,
            begin: self.begin,
            bytes: self.bytes(),
            there: self.there,
        }
    }

    fn bytes(&self) -> &[u8] {
        &self.buf[..self.len as usize]
    }

    /// Where it begins in the piece space.
    fn offset(&self, info: &Info) -> u64 {
        judge::start_of(info, self.piece) + u64::from(self.begin)
    }
}

impl Job {
    fn piece(&self) -> PieceIndex {
        match self {
            Self::Stripe(stripe) => stripe.piece,
            Self::Judge { piece, .. } | Self::Forget { piece } => *piece,
        }
    }
}

/// The verdict on a piece.
#[derive(Debug)]
pub struct Judged {
    /// The piece.
    pub piece: PieceIndex,
    /// What its hashes say.
    pub finding: Finding,
    /// The digests of its blocks, if it is bad or if they were asked for.
    pub blocks: BlockDigests,
    /// Whether some of it was written before a sync failed: if it is bad, the disk may have lost that, and no
    /// sender is to blame.
    pub in_doubt: bool,
}

/// What became of a batch.
#[derive(Debug, Default)]
pub struct Done {
    /// The buffers of what is written.
    pub spare: Vec<Vec<u8>>,
    /// The pieces that were judged.
    pub judged: Vec<Judged>,
    /// What the disk refused, in order, to be handed over again later; and its first error.
    pub refused: Vec<Job>,
    /// The first error.
    pub error: Option<DiskError>,
    /// Whether this answers [`Writer::doubt`].
    pub doubted: bool,
}

/// Claims for the keeper.
#[derive(Debug, PartialEq, Eq)]
pub enum Keep {
    /// These pieces are written: sync them, then say so in the resume file.
    Pieces(Bitfield),
    /// Everything is written: sync it, then remove the resume file.
    Whole,
}

/// What the threads tell the event loop.
#[derive(Debug)]
pub enum Report {
    /// A batch is done.
    Done(Done),
    /// The links of content that is whole are made, but for these. Comes before the claim is kept.
    Left(Left),
    /// A claim is kept but for these pieces, which the disk has lost; or cannot be.
    Kept(Result<Vec<PieceIndex>, Unkept>),
}

/// What a worker is told.
enum Order {
    Batch(Vec<Job>),
    Doubt,
}

/// The threads. Dropping it lets them end when their queues are empty, and waits.
#[derive(Debug)]
pub struct Writer {
    workers: Vec<mpsc::Sender<Order>>,
    keeps: Option<mpsc::Sender<Keep>>,
    threads: Vec<JoinHandle<()>>,
}

impl Writer {
    /// Starts the threads. `report` is called on them.
    ///
    /// # Errors
    ///
    /// What the system says when it refuses a thread.
    pub fn start<S: FileSystem>(
        files: &Files<S>,
        torrent: &Arc<Metainfo>,
        mut keeper: Keeper<S>,
        report: impl Fn(Report) + Clone + Send + 'static,
    ) -> std::io::Result<Self> {
        let (keeps, keep_queue) = mpsc::channel::<Keep>();
        let mut writer = Self {
            workers: Vec::new(),
            keeps: Some(keeps),
            threads: Vec::new(),
        };
        for _ in 0..workers() {
            let (batches, queue) = mpsc::channel();
            let mut worker = Worker::new(files.again(Access::Write), torrent.clone());
            let report = report.clone();
            let work = move || {
                while let Ok(order) = queue.recv() {
                    report(Report::Done(match order {
                        Order::Batch(batch) => worker.work(batch),
                        Order::Doubt => worker.doubt(),
                    }));
                }
            };
            writer.workers.push(batches);
            writer.threads.push(
                std::thread::Builder::new()
                    .name("skep-write".into())
                    .spawn(work)?,
            );
        }
        let keep = move || {
            while let Ok(keep) = keep_queue.recv() {
                // Only the latest claim matters.
                let keep = keep_queue.try_iter().last().unwrap_or(keep);
                let kept = keeper.keep(&keep);
                if let Some(left) = keeper.take_left().filter(|_| kept.is_ok()) {
                    report(Report::Left(left));
                }
                report(Report::Kept(kept));
            }
        };
        writer.threads.push(
            std::thread::Builder::new()
                .name("skep-keep".into())
                .spawn(keep)?,
        );
        Ok(writer)
    }

    /// Hands over jobs. Those of one piece are done in the order in which they come. Returns how many
    /// messages that took, each of which is answered by one [`Report::Done`].
    pub fn write(&self, jobs: Vec<Job>) -> usize {
        let mut batches: Vec<Vec<Job>> = Vec::new();
        batches.resize_with(self.workers.len(), Vec::new);
        for job in jobs {
            let group = (job.piece().0 / GROUP) as usize;
            batches[group % self.workers.len()].push(job);
        }
        let full = batches.into_iter().zip(&self.workers);
        let full = full.filter(|(batch, _)| !batch.is_empty());
        full.map(|(batch, worker)| {
            worker
                .send(Order::Batch(batch))
                .expect("workers live as long as the writer");
        })
        .count()
    }

    /// Has the workers forget what they hashed of pieces that are not judged: a sync has failed, and what was
    /// written before may be lost. Those pieces are read again. Returns how many messages that took, each of
    /// which is answered by one [`Report::Done`] that says so; what is judged after it was read.
    pub fn doubt(&self) -> usize {
        for worker in &self.workers {
            worker
                .send(Order::Doubt)
                .expect("workers live as long as the writer");
        }
        self.workers.len()
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
        self.workers.clear();
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

/// What one thread keeps.
pub(super) struct Worker<S: FileSystem> {
    files: Files<S>,
    torrent: Arc<Metainfo>,
    /// Pieces of which something came and that are not judged.
    pieces: HashMap<PieceIndex, Hashing>,
    /// Those of them that were begun when a sync failed.
    in_doubt: HashSet<PieceIndex>,
    /// How many stripes of a piece the disk refused.
    refused: HashMap<PieceIndex, usize>,
}

impl<S: FileSystem> Worker<S> {
    pub(super) fn new(files: Files<S>, torrent: Arc<Metainfo>) -> Self {
        Self {
            files,
            torrent,
            pieces: HashMap::new(),
            in_doubt: HashSet::new(),
            refused: HashMap::new(),
        }
    }

    /// Does a batch. Only between `Forget` and what follows it does the order of the jobs of one piece
    /// matter, and that of stripes and `Judge`; so everything up to a `Forget` is done together.
    pub(super) fn work(&mut self, batch: Vec<Job>) -> Done {
        let mut done = Done::default();
        let mut stripes = Vec::new();
        let mut judges = Vec::new();
        for job in batch {
            match job {
                Job::Stripe(stripe) => stripes.push(stripe),
                Job::Judge { piece, digests } => judges.push((piece, digests)),
                Job::Forget { piece } => {
                    self.write_all(&mut stripes, &mut done);
                    self.judge_all(&mut judges, &mut done);
                    self.pieces.remove(&piece);
                    self.in_doubt.remove(&piece);
                    self.refused.remove(&piece);
                }
            }
        }
        self.write_all(&mut stripes, &mut done);
        self.judge_all(&mut judges, &mut done);
        done
    }

    /// Forgets what was hashed of what the disk may have lost.
    pub(super) fn doubt(&mut self) -> Done {
        self.in_doubt.extend(self.pieces.keys());
        let hashed = self.pieces.values_mut();
        hashed.for_each(|hashing| *hashing = Hashing::default());
        Done {
            doubted: true,
            ..Done::default()
        }
    }

    fn write_all(&mut self, stripes: &mut Vec<StripeJob>, done: &mut Done) {
        stripes.sort_by_key(|stripe| (stripe.piece, stripe.begin));
        for stripe in &*stripes {
            // What is written of it is known to be, hashed or not.
            self.pieces.piece(stripe.piece);
        }
        let fresh = stripes.iter().filter(|stripe| !stripe.is_retry);
        let stretches: Vec<_> = fresh.map(StripeJob::stretch).collect();
        judge::hash_in_step(&self.torrent.info, &mut self.pieces, &stretches);
        let is_written = self.write_runs(stripes);
        for (stripe, is_written) in stripes.drain(..).zip(is_written) {
            if stripe.is_retry {
                self.settle_refused(stripe.piece);
            }
            match is_written {
                Ok(()) => done.spare.push(stripe.buf),
                Err(error) => {
                    *self.refused.entry(stripe.piece).or_default() += 1;
                    done.error.get_or_insert(error);
                    let is_retry = true;
                    done.refused
                        .push(Job::Stripe(StripeJob { is_retry, ..stripe }));
                }
            }
        }
    }

    /// Writes stripes, which are in order, neighbours in one call. What the disk says of each.
    fn write_runs(&mut self, stripes: &[StripeJob]) -> Vec<Result<(), DiskError>> {
        let info = &self.torrent.info;
        let mut said = Vec::with_capacity(stripes.len());
        let mut left = stripes;
        while !left.is_empty() {
            let count = run_len(info, left);
            let (run, rest) = left.split_at(count);
            left = rest;
            let parts: Vec<&[u8]> = run.iter().map(StripeJob::bytes).collect();
            if count > 1 && self.files.write_parts(run[0].offset(info), &parts).is_ok() {
                said.extend(run.iter().map(|_| Ok(())));
                continue;
            }
            // One by one the disk says which of them it refuses.
            for stripe in run {
                said.push(write_blocks(&mut self.files, stripe.offset(info), stripe));
            }
        }
        said
    }

    fn judge_all(&mut self, judges: &mut Vec<(PieceIndex, bool)>, done: &mut Done) {
        for (piece, digests) in judges.drain(..) {
            match self.judge(piece, digests) {
                Ok(Some(judged)) => {
                    let may_stay = matches!(judged.blocks, BlockDigests::Leaves(_));
                    if judged.finding == Finding::Bad && may_stay {
                        // Its right blocks are known to be written until the others have come again.
                        self.pieces.insert(piece, Hashing::default());
                    } else {
                        self.pieces.remove(&piece);
                    }
                    done.judged.push(judged);
                }
                Ok(None) => done.refused.push(Job::Judge { piece, digests }),
                Err(error) => {
                    done.error.get_or_insert(error);
                    done.refused.push(Job::Judge { piece, digests });
                }
            }
        }
    }

    /// Compares the hashes of a piece; `None` if the disk refused some of it.
    fn judge(&mut self, piece: PieceIndex, digests: bool) -> Result<Option<Judged>, DiskError> {
        if self.refused.contains_key(&piece) {
            return Ok(None);
        }
        let info = &self.torrent.info;
        let hashing = self.pieces.piece(piece);
        let finding = hashing.judge(info, piece, &mut self.files)?;
        let (size, start) = (info.piece_size(piece), judge::start_of(info, piece));
        let mut blocks = Vec::new();
        let wanted = digests || finding != Finding::Good;
        let leaves = hashing.leaves().filter(|_| wanted);
        if wanted && leaves.is_none() {
            let mut buf = vec![0; BLOCK_LEN as usize];
            for at in (0..size).step_by(BLOCK_LEN as usize) {
                let part = &mut buf[..BLOCK_LEN.min(size - at) as usize];
                judge::read(&mut self.files, start + u64::from(at), part)?;
                blocks.push(sha1(part));
            }
        }
        Ok(Some(Judged {
            piece,
            finding,
            blocks: leaves.map_or(BlockDigests::Sha1(blocks), BlockDigests::Leaves),
            in_doubt: self.in_doubt.remove(&piece),
        }))
    }

    /// A stripe that the disk refused is tried again.
    fn settle_refused(&mut self, piece: PieceIndex) {
        if let Some(count) = self.refused.get_mut(&piece) {
            *count -= 1;
            if *count == 0 {
                self.refused.remove(&piece);
            }
        }
    }
}

/// How many of these stripes, the first of which there is, are whole and lie end to end: as many as one call
/// may write.
fn run_len(info: &Info, stripes: &[StripeJob]) -> usize {
    let mut end = stripes[0].offset(info);
    let mut bytes = 0;
    let run = stripes.iter().take(PARTS_MAX).take_while(|stripe| {
        let is_next = stripe.stretch().is_whole() && stripe.offset(info) == end;
        end += u64::from(stripe.len);
        bytes += stripe.len as usize;
        is_next && bytes <= CALL_BYTES_MAX
    });
    run.count().max(1)
}

/// Writes the blocks of a stripe that are there, neighbours in one call.
fn write_blocks(
    files: &mut Files<impl FileSystem>,
    offset: u64,
    stripe: &StripeJob,
) -> Result<(), DiskError> {
    let bytes = &stripe.buf[..stripe.len as usize];
    let mut at = 0;
    let is_there = |at: u32| stripe.there & (1 << (at / BLOCK_LEN)) != 0;
    while at < stripe.len {
        let begin = at;
        while at < stripe.len && is_there(at) {
            at = stripe.len.min(at + BLOCK_LEN);
        }
        if at > begin {
            files.write_at(
                offset + u64::from(begin),
                &bytes[begin as usize..at as usize],
            )?;
        } else {
            at += BLOCK_LEN;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use skep_hash::merkle;
    use skep_wire::{bencode::Dict, metainfo::Version};

    use super::*;
    use crate::{
        disk::{layout::Layout, system::System},
        session::Place,
    };

    const STRIPE: u32 = 16 * BLOCK_LEN;
    const PIECE_LEN: u32 = 4 * STRIPE;
    const PIECE: PieceIndex = PieceIndex(0);

    fn content() -> Vec<u8> {
        (0..PIECE_LEN + 5000).map(|n| (n / 977) as u8).collect()
    }

    /// A worker for a torrent of two pieces, the second short, in a folder.
    fn worker(dir: &std::path::Path) -> Worker<System> {
        let content = content();
        let pieces = content.chunks(PIECE_LEN as usize);
        let pieces: Vec<u8> = pieces.flat_map(|piece| sha1(piece).0).collect();
        let info = Dict::new()
            .with("length", content.len() as i64)
            .with("name", "t")
            .with("piece length", i64::from(PIECE_LEN))
            .with("pieces", pieces);
        let bytes = Dict::new().with("info", info).encode();
        let torrent = Metainfo::from_bytes(&bytes).expect("a torrent");
        let layout = Arc::new(Layout::of(&torrent.info));
        let place = Place::Under(dir.to_owned());
        Worker::new(
            Files::new(layout, &place, "t", Access::Write),
            Arc::new(torrent),
        )
    }

    fn stripe(number: u32, there: u16) -> Job {
        let begin = number * STRIPE;
        let buf = content()[begin as usize..(begin + STRIPE) as usize].to_vec();
        let (piece, len, is_retry) = (PIECE, STRIPE, false);
        Job::Stripe(StripeJob {
            piece,
            begin,
            len,
            buf,
            there,
            is_retry,
        })
    }

    const JUDGE: fn() -> Job = || Job::Judge {
        piece: PIECE,
        digests: false,
    };

    fn is_good(done: &Done) -> Option<bool> {
        assert!(done.error.is_none(), "{:?}", done.error);
        done.judged
            .first()
            .map(|judged| judged.finding == Finding::Good)
    }

    #[test]
    fn stripes_in_any_order_and_in_parts_are_the_piece() {
        for order in [[0, 1, 2, 3], [3, 2, 1, 0], [1, 0, 3, 2], [2, 0, 1, 3]] {
            let dir = tempfile::tempdir().expect("temporary folder");
            let mut worker = worker(dir.path());
            for number in order {
                // The second stripe comes in two parts, as when memory runs short.
                let parts: &[u16] = if number == 1 {
                    &[0x0f0f, 0xf0f0]
                } else {
                    &[0xffff]
                };
                for &there in parts {
                    let done = worker.work(vec![stripe(number, there)]);
                    assert_eq!((is_good(&done), done.spare.len()), (None, 1));
                }
            }
            let done = worker.work(vec![JUDGE()]);
            assert_eq!(is_good(&done), Some(true), "{order:?}");
            assert_eq!(done.judged[0].blocks, BlockDigests::none());
            assert!(worker.pieces.is_empty());
        }
    }

    #[test]
    fn a_wrong_byte_makes_the_piece_bad_and_the_digests_show_where() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let mut worker = worker(dir.path());
        let mut batch: Vec<Job> = (0..4).map(|number| stripe(number, 0xffff)).collect();
        if let Job::Stripe(stripe) = &mut batch[2] {
            stripe.buf[3 * BLOCK_LEN as usize + 7] ^= 1;
        }
        batch.push(JUDGE());
        let done = worker.work(batch);
        assert_eq!(is_good(&done), Some(false));
        let content = content();
        let right: Vec<_> = content[..PIECE_LEN as usize]
            .chunks(BLOCK_LEN as usize)
            .map(sha1)
            .collect();
        let BlockDigests::Sha1(got) = &done.judged[0].blocks else {
            panic!("{:?}", done.judged[0]);
        };
        let wrong = got.iter().zip(&right).enumerate();
        let wrong: Vec<usize> = wrong
            .filter(|(_, (got, right))| got != right)
            .map(|(n, _)| n)
            .collect();
        assert_eq!(wrong, [35]);

        // It comes again, right.
        let mut batch: Vec<Job> = (0..4).map(|number| stripe(number, 0xffff)).collect();
        batch.push(JUDGE());
        assert_eq!(is_good(&worker.work(batch)), Some(true));
    }

    /// Of a bad piece of version 2 only the wrong block comes again. What stays of it may be lost by a disk that
    /// refuses a sync meanwhile, which is then known.
    #[test]
    fn the_right_blocks_of_a_bad_piece_of_version_2_stay() {
        use judge::tests::{PIECE_LEN, bytes_of, torrent, written};

        for (sync_fails, right) in [(false, true), (true, true), (true, false)] {
            let dir = tempfile::tempdir().expect("temporary folder");
            let torrent = torrent(Version::V2);
            let files = written(&torrent, dir.path());
            let mut worker = Worker::new(files, Arc::new(torrent));
            let comes = |there: u16, is_wrong: bool| {
                let mut buf = bytes_of(0)[..PIECE_LEN as usize].to_vec();
                buf[2 * BLOCK_LEN as usize] ^= u8::from(is_wrong);
                let (piece, begin, len, is_retry) = (PIECE, 0, PIECE_LEN, false);
                Job::Stripe(StripeJob {
                    piece,
                    begin,
                    len,
                    buf,
                    there,
                    is_retry,
                })
            };
            let done = worker.work(vec![comes(0b1111, true), JUDGE()]);
            assert_eq!(is_good(&done), Some(false));
            let BlockDigests::Leaves(got) = &done.judged[0].blocks else {
                panic!("{:?}", done.judged[0]);
            };
            let bytes = &bytes_of(0)[..PIECE_LEN as usize];
            let leaves = bytes.chunks(BLOCK_LEN as usize).map(merkle::leaf);
            let differs: Vec<bool> = leaves.zip(got).map(|(leaf, got)| leaf != *got).collect();
            assert_eq!(differs, [false, false, true, false]);
            if sync_fails {
                worker.doubt();
            }
            let done = worker.work(vec![comes(0b0100, !right), JUDGE()]);
            assert_eq!(is_good(&done), Some(right));
            assert_eq!(done.judged[0].in_doubt, sync_fails);
            let done = worker.work(vec![Job::Forget { piece: PIECE }]);
            assert!(done.judged.is_empty() && worker.pieces.is_empty());
        }
    }

    #[test]
    fn what_was_hashed_of_a_piece_that_was_given_up_does_not_count() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let mut worker = worker(dir.path());
        let Job::Stripe(mut wrong) = stripe(0, 0xffff) else {
            unreachable!()
        };
        wrong.buf.fill(0);
        let mut batch = vec![Job::Stripe(wrong), Job::Forget { piece: PIECE }];
        batch.extend((0..4).map(|number| stripe(number, 0xffff)));
        batch.push(JUDGE());
        assert_eq!(is_good(&worker.work(batch)), Some(true));
    }

    #[test]
    fn stripes_that_lie_end_to_end_are_written_in_one_call_of_bounded_size() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let worker = worker(dir.path());
        let info = &worker.torrent.info;
        let run = |stripes: &[(u32, u32, u32, u16)]| {
            let stripe = |&(piece, begin, len, there)| StripeJob {
                piece: PieceIndex(piece),
                begin,
                len,
                buf: vec![0; len as usize],
                there,
                is_retry: false,
            };
            let stripes: Vec<_> = stripes.iter().map(stripe).collect();
            run_len(info, &stripes)
        };
        let quarter = STRIPE / 4;
        let of = |n: u32| (0, n * quarter, quarter, 0xffff);
        assert_eq!(run(&[of(0), of(1), of(2)]), 3);
        assert_eq!(run(&[of(0), of(2)]), 1, "a gap");
        assert_eq!(
            run(&[of(0), of(1), (0, 2 * quarter, quarter, 0b0111)]),
            2,
            "a part"
        );
        assert_eq!(run(&[(0, 0, quarter, 0b0111), of(1)]), 1);
        let last = (0, PIECE_LEN - quarter, quarter, 0xffff);
        assert_eq!(
            run(&[last, (1, 0, 5000, 0xffff)]),
            2,
            "the next piece follows"
        );
        let many: Vec<_> = (0..16).map(of).collect();
        assert_eq!(run(&many) * quarter as usize, CALL_BYTES_MAX);
        let small: Vec<_> = (0..100)
            .map(|n| (0, n * BLOCK_LEN / 4, BLOCK_LEN / 4, 1))
            .collect();
        assert_eq!(run(&small), PARTS_MAX);
    }

    /// The file cannot be written while a folder lies in its place.
    #[test]
    fn what_the_disk_refuses_comes_back_and_is_judged_once_it_is_written() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let mut worker = worker(dir.path());
        std::fs::create_dir(dir.path().join("t")).expect("created");
        let mut batch: Vec<Job> = (0..4).map(|number| stripe(number, 0xffff)).collect();
        batch.push(JUDGE());
        let mut done = worker.work(batch);
        assert!(done.error.is_some());
        assert_eq!(
            (done.refused.len(), done.judged.len(), done.spare.len()),
            (5, 0, 0)
        );

        std::fs::remove_dir(dir.path().join("t")).expect("removed");
        let last = done.refused.remove(3);
        let done = worker.work(done.refused);
        assert_eq!(
            (is_good(&done), done.refused.len(), done.spare.len()),
            (None, 1, 3)
        );
        let done = worker.work(vec![last, JUDGE()]);
        assert_eq!((is_good(&done), done.spare.len()), (Some(true), 1));
        let written = std::fs::read(dir.path().join("t")).expect("there");
        assert_eq!(
            written[..PIECE_LEN as usize],
            content()[..PIECE_LEN as usize]
        );
    }
}
