//! Whole downloads and moves on a disk that fails, cuts short, delays, is killed or loses power at each of its
//! calls in turn.
//!
//! What a session does is done here by the same parts in the same order, without sockets and threads: what
//! was claimed is read, the rest checked, stripes are written, pieces judged and claims kept.

mod faulty;

use std::{
    collections::{BTreeSet, VecDeque},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use faulty::{Call, Disk, Fault};
use skep_proto::rng::Rng;
use skep_wire::{
    Bitfield, PieceIndex,
    metainfo::{Metainfo, Version},
    piece::BLOCK_LEN,
};

use super::{
    DiskError,
    check::{self, Watch},
    files::{Access, Files},
    judge::{self, Finding, tests::torrent_of},
    keeper::{Keeper, Unkept},
    layout::Layout,
    moving, resume, start,
    writer::{Done, Job, Keep, StripeJob, Worker},
};
use crate::session::Place;

const VERSIONS: [Version; 2] = [Version::V1, Version::V2];

const PIECE_LEN: u32 = 2 * BLOCK_LEN;

const STRIPE: u32 = BLOCK_LEN;

/// Three files and an empty one. In version 1 they share pieces.
const LENS: [u32; 4] = [4 * PIECE_LEN + 300, 0, BLOCK_LEN + 1, 77];

fn bytes_of(file: usize) -> Vec<u8> {
    let bytes = 0..LENS[file];
    bytes
        .map(|n| (n * 31 / 7 + file as u32 * 5 + 1) as u8)
        .collect()
}

/// So many jobs are handed over at once: pieces are cut in the middle.
const BATCH: usize = 4;

/// A download that has not ended after so many batches never will.
const ROUNDS_MAX: usize = 60;

#[derive(Clone)]
struct Case {
    torrent: Arc<Metainfo>,
    contents: Arc<[Vec<u8>; LENS.len()]>,
    /// The piece space.
    space: Arc<Vec<u8>>,
    place: Place,
    allocate: bool,
}

/// What a download that came to its end met on the way.
struct Seen {
    errors: Vec<DiskError>,
    lost: usize,
}

/// A download under way.
struct Download {
    case: Case,
    disk: Disk,
    have: Bitfield,
    worker: Arc<Mutex<Worker<Disk>>>,
    keeper: Arc<Mutex<Keeper<Disk>>>,
    /// What has come and was not handed over.
    coming: VecDeque<Job>,
    under_way: BTreeSet<PieceIndex>,
    refused: Vec<Job>,
    seen: Seen,
}

type Shared<T> = Arc<Mutex<T>>;

fn share<T>(value: T) -> Shared<T> {
    Arc::new(Mutex::new(value))
}

impl Case {
    fn new(version: Version) -> Self {
        let contents = [0, 1, 2, 3].map(bytes_of);
        let torrent = torrent_of(version, PIECE_LEN, &contents);
        let mut space = vec![0; torrent.info.size_bytes as usize];
        for file in torrent.info.files.iter().filter(|file| !file.padding) {
            let number: usize = file.path[0].parse().expect("a number");
            let bytes = &contents[number];
            space[file.offset as usize..][..bytes.len()].copy_from_slice(bytes);
        }
        Self {
            torrent: Arc::new(torrent),
            contents: Arc::new(contents),
            space: Arc::new(space),
            place: Place::Under("/home/out".into()),
            allocate: false,
        }
    }

    fn files(&self, disk: &Disk) -> Files<Disk> {
        let layout = Arc::new(Layout::of(&self.torrent.info));
        Files::on(disk.clone(), layout, &self.place, "t", Access::Write)
    }

    fn resume_file(&self) -> PathBuf {
        resume::path_in(Path::new("/home/out"), "t")
    }

    fn piece(&self, piece: PieceIndex) -> &[u8] {
        let start = judge::start_of(&self.torrent.info, piece) as usize;
        &self.space[start..][..self.torrent.info.piece_size(piece) as usize]
    }

    /// No piece of these has a wrong byte.
    fn assert_right(&self, disk: &Disk, pieces: &Bitfield, what: &str) {
        let mut files = self.files(&disk.copy());
        for piece in pieces.iter() {
            let right = self.piece(piece);
            let mut read = vec![0; right.len()];
            let offset = judge::start_of(&self.torrent.info, piece);
            let is_there = files
                .read_at(offset, &mut read)
                .expect("a copy refuses nothing");
            assert!(
                is_there && read == right,
                "{what}: piece {} is wrong",
                piece.0
            );
        }
    }

    /// If the power went now, nothing that is wrong would be believed.
    fn assert_claim(&self, disk: &Disk) {
        let disk = disk.copy();
        // Another subset survives each time.
        disk.cut_power(&mut Rng::new(disk.calls_before() as u64));
        let believed = resume::load(&self.resume_file(), &self.torrent, &self.files(&disk));
        if let Some(believed) = believed.expect("nothing is refused") {
            self.assert_right(&disk, &believed.have, "believed after a power cut");
        }
    }

    /// Every file is there, whole, and with its right bytes; so it is if the power goes.
    fn assert_whole(&self, disk: &Disk) {
        let cut = disk.copy();
        cut.cut_power(&mut Rng::new(3));
        for disk in [disk, &cut] {
            for (n, bytes) in self.contents.iter().enumerate() {
                let path = format!("/home/out/t/{n}");
                assert!(disk.holds(Path::new(&path), bytes), "{path} is not right");
            }
        }
        assert!(!disk.paths().contains(&self.resume_file()));
    }

    /// One run of the program.
    fn download(&self, disk: &Disk) -> Result<Seen, DiskError> {
        let (info, files) = (&self.torrent.info, self.files(disk));
        let believed = resume::load(&self.resume_file(), &self.torrent, &files)?;
        let only = believed.as_ref().map(|believed| &believed.doubtful);
        let mut have = check::pieces_there(&files, info, only, &Watch::default())?.there;
        for piece in believed.iter().flat_map(|believed| believed.have.iter()) {
            have.insert(piece);
        }
        self.assert_right(disk, &have, "found");
        if have.is_full() {
            start::with_all(&files, &self.resume_file())?;
            let (errors, lost) = (Vec::new(), 0);
            return Ok(Seen { errors, lost });
        }
        start::to_fetch(
            &files,
            &self.torrent,
            &self.resume_file(),
            &have,
            self.allocate,
        )?;
        self.assert_claim(disk);
        let torrent = self.torrent.clone();
        let keeper = Keeper::new(&files, torrent.clone(), self.resume_file(), have.clone());
        let mut download = Download {
            case: self.clone(),
            disk: disk.clone(),
            have,
            worker: share(Worker::new(files, torrent)),
            keeper: share(keeper),
            coming: VecDeque::new(),
            under_way: BTreeSet::new(),
            refused: Vec::new(),
            seen: Seen {
                errors: Vec::new(),
                lost: 0,
            },
        };
        for _ in 0..ROUNDS_MAX {
            if download.round() {
                return Ok(download.seen);
            }
            if disk.is_dead() {
                return Err(download.seen.errors.pop().expect("it said so"));
            }
        }
        panic!("still not whole: {:?}", download.seen.errors);
    }

    /// A stripe at a time, and then the piece is to be judged.
    fn jobs(&self, piece: PieceIndex) -> impl Iterator<Item = Job> {
        let bytes = self.piece(piece).to_vec();
        let stripes: Vec<Job> = (0..)
            .zip(bytes.chunks(STRIPE as usize))
            .map(|(n, part)| {
                Job::Stripe(StripeJob {
                    piece,
                    begin: n * STRIPE,
                    len: part.len() as u32,
                    buf: part.to_vec(),
                    there: u16::MAX,
                    is_retry: false,
                })
            })
            .collect();
        let digests = false;
        stripes.into_iter().chain([Job::Judge { piece, digests }])
    }
}

impl Download {
    /// Writes a batch and keeps a claim; `true` when everything is there and kept.
    fn round(&mut self) -> bool {
        if self.refused.is_empty() && self.under_way.is_empty() && self.have.is_full() {
            return self.keep(Keep::Whole);
        }
        let batch = self.next_batch();
        // What a write may be overtaken by.
        let (keeper, claim) = (self.keeper.clone(), self.have.clone());
        let kept = share(None);
        let told = kept.clone();
        self.disk.meanwhile(move || {
            let said = keeper.lock().expect("held once").keep(&Keep::Pieces(claim));
            *told.lock().expect("held once") = Some(said);
        });
        let done = self.worker.lock().expect("held once").work(batch);
        self.written(done);
        if let Some(said) = kept.lock().expect("held once").take() {
            self.kept(said);
        }
        self.keep(Keep::Pieces(self.have.clone()));
        false
    }

    fn next_batch(&mut self) -> Vec<Job> {
        if self.coming.is_empty() && self.under_way.is_empty() {
            let pieces = (0..self.have.piece_count()).map(PieceIndex);
            // From both ends, so that neighbours do not always come together.
            let mut missing: Vec<_> = pieces.filter(|&piece| !self.have.has(piece)).collect();
            missing.sort_by_key(|piece| (piece.0 % 2, piece.0));
            for piece in missing {
                self.under_way.insert(piece);
                self.coming.extend(self.case.jobs(piece));
            }
        }
        let mut batch = std::mem::take(&mut self.refused);
        batch.extend(self.coming.drain(..BATCH.min(self.coming.len())));
        batch
    }

    fn written(&mut self, done: Done) {
        if let Some(error) = done.error {
            self.refuse(error);
        }
        self.refused.extend(done.refused);
        for judged in done.judged {
            self.under_way.remove(&judged.piece);
            match judged.finding {
                Finding::Good => {
                    self.have.insert(judged.piece);
                }
                Finding::Bad => assert!(judged.in_doubt, "an honest sender is blamed"),
                Finding::Torn { .. } => panic!("the torrent does not contradict itself"),
            }
        }
        self.case.assert_right(&self.disk, &self.have, "had");
    }

    /// Keeps a claim; whether it is kept whole. What a sync may be overtaken by is a batch.
    fn keep(&mut self, keep: Keep) -> bool {
        let batch = share(match &keep {
            Keep::Pieces(_) => self.next_batch(),
            Keep::Whole => Vec::new(),
        });
        let (worker, left, written) = (self.worker.clone(), batch.clone(), share(None));
        let told = written.clone();
        self.disk.meanwhile(move || {
            let batch = std::mem::take(&mut *left.lock().expect("held once"));
            let done = worker.lock().expect("held once").work(batch);
            *told.lock().expect("held once") = Some(done);
        });
        let said = self.keeper.lock().expect("held once").keep(&keep);
        let is_kept = self.kept(said);
        if let Some(done) = written.lock().expect("held once").take() {
            self.written(done);
        }
        // What nothing overtook comes later.
        let batch = std::mem::take(&mut *batch.lock().expect("held once"));
        self.refused.extend(batch);
        is_kept
    }

    fn kept(&mut self, said: Result<Vec<PieceIndex>, Unkept>) -> bool {
        self.case.assert_claim(&self.disk);
        let is_kept = said.as_ref().is_ok_and(Vec::is_empty);
        let lost = match said {
            Ok(lost) => lost,
            Err(Unkept {
                error,
                in_doubt,
                lost,
            }) => {
                self.refuse(error);
                if in_doubt {
                    let done = self.worker.lock().expect("held once").doubt();
                    assert!(done.doubted);
                }
                lost
            }
        };
        self.seen.lost += lost.len();
        for &piece in &lost {
            assert!(self.have.remove(piece), "only what was had is lost");
        }
        self.case.assert_right(&self.disk, &self.have, "had");
        is_kept
    }

    fn refuse(&mut self, error: DiskError) {
        assert_named(&error);
        // The second time there is room again.
        if !self.seen.errors.is_empty() {
            self.disk.heal();
        }
        self.seen.errors.push(error);
    }
}

/// The error says which file and why.
fn assert_named(error: &DiskError) {
    let path = error.path().expect("it names one").display().to_string();
    let text = error.to_string();
    assert!(text.contains(&path) && text.contains("os error"), "{text}");
}

/// Strikes at each call of a download for which `strikes` says so, and has `after` look at the outcome.
fn at_every_call(
    fault: Fault,
    strikes: impl Fn(Call) -> bool,
    after: impl Fn(&Case, &Disk, Result<Seen, DiskError>),
) {
    for version in VERSIONS {
        let mut case = Case::new(version);
        case.allocate = version == Version::V2;
        let disk = Disk::new();
        // Counting starts here.
        disk.arm(usize::MAX, fault);
        let seen = case.download(&disk).expect("a disk without faults");
        assert!(seen.errors.is_empty() && seen.lost == 0);
        case.assert_whole(&disk);
        let calls = disk.calls();
        assert!(calls.len() > 100);
        for (n, _) in calls.iter().enumerate().filter(|(_, call)| strikes(**call)) {
            let disk = Disk::new();
            disk.arm(n, fault);
            let seen = case.download(&disk);
            assert!(disk.is_struck(), "{version:?} at call {n}");
            if let Err(error) = &seen {
                assert_named(error);
            }
            after(&case, &disk, seen);
        }
    }
}

/// If it did not come to its end, the next run does, and then it lasts.
fn assert_whole_or_goes_on(case: &Case, disk: &Disk, seen: &Result<Seen, DiskError>) {
    if seen.is_err() {
        disk.restart();
        let again = case.download(disk).expect("a disk without faults");
        assert!(again.errors.is_empty());
    }
    case.assert_whole(disk);
}

/// After a sync that fails, some of what it should have written is lost on this disk. That is found out, and
/// fetched again.
#[test]
fn one_error_at_any_call_loses_nothing_and_names_the_file() {
    let lost = Mutex::new(0);
    let error = Fault::Once(libc::EIO);
    at_every_call(
        error,
        |_| true,
        |case, disk, seen| {
            if let Ok(seen) = &seen {
                *lost.lock().expect("held once") += seen.lost;
            }
            assert_whole_or_goes_on(case, disk, &seen);
        },
    );
    assert!(lost.into_inner().expect("held once") > 0);
}

#[test]
fn a_disk_that_is_full_from_any_call_on_loses_nothing_and_the_download_goes_on() {
    let takes_space = |call| matches!(call, Call::Write | Call::Make);
    at_every_call(Fault::Full, takes_space, |case, disk, seen| {
        let full = |error: &DiskError| error.to_string().contains("No space left on device");
        match &seen {
            Ok(seen) => assert!(!seen.errors.is_empty() && seen.errors.iter().all(full)),
            Err(error) => assert!(full(error), "{error}"),
        }
        assert_whole_or_goes_on(case, disk, &seen);
    });
}

#[test]
fn a_short_read_or_write_at_any_call_changes_nothing() {
    let is_cut = |call| matches!(call, Call::Read | Call::Write);
    at_every_call(Fault::Short, is_cut, |case, disk, seen| {
        assert!(seen.expect("the rest follows").errors.is_empty());
        case.assert_whole(disk);
    });
}

/// While a claim is kept a batch is written, and the other way round, in the middle of any call.
#[test]
fn a_delay_at_any_call_changes_nothing() {
    at_every_call(
        Fault::Delay,
        |_| true,
        |case, disk, seen| {
            assert!(seen.expect("nothing is refused").errors.is_empty());
            case.assert_whole(disk);
        },
    );
}

/// What the killed run wrote is in the system's memory and perhaps not on the disk, which the next run's
/// claims allow for.
#[test]
fn a_kill_at_any_call_loses_nothing() {
    at_every_call(
        Fault::Death,
        |_| true,
        |case, disk, seen| {
            if seen.is_err() {
                case.assert_claim(disk);
            }
            assert_whole_or_goes_on(case, disk, &seen);
        },
    );
}

#[test]
fn a_power_cut_at_any_call_leaves_nothing_wrong_that_is_believed() {
    at_every_call(
        Fault::Death,
        |_| true,
        |case, disk, _| {
            disk.cut_power(&mut Rng::new(disk.calls().len() as u64));
            let again = case.download(disk).expect("a disk without faults");
            assert!(again.errors.is_empty());
            case.assert_whole(disk);
        },
    );
}

/// Everything moves or nothing does, within a file system and to another; after a power cut each file is in
/// one of its two places at least.
#[test]
fn a_fault_at_any_call_of_a_move_loses_nothing() {
    for target in ["/home/new", "/other/new"] {
        let mut old = Case::new(Version::V1);
        old.allocate = true;
        let whole = Disk::new();
        old.download(&whole).expect("a disk without faults");
        whole.cut_power(&mut Rng::new(1));
        let mut new = old.clone();
        new.place = Place::Under(target.into());
        let go = |disk: &Disk| moving::move_content(&old.files(disk), &new.files(disk));
        let at = |disk: &Disk, dir: &str, n: usize| {
            disk.holds(Path::new(&format!("{dir}/t/{n}")), &old.contents[n])
        };
        let all_at = |disk: &Disk, dir: &str| (0..LENS.len()).all(|n| at(disk, dir, n));
        let left = |disk: &Disk, dir: &str| disk.paths().iter().any(|path| path.starts_with(dir));

        let disk = whole.copy();
        go(&disk).expect("moved");
        assert!(all_at(&disk, target) && !left(&disk, "/home/out/t"));
        let calls = disk.calls().len();
        for n in 0..calls {
            for fault in [
                Fault::Once(libc::EIO),
                Fault::Full,
                Fault::Short,
                Fault::Death,
            ] {
                let disk = whole.copy();
                disk.arm(n, fault);
                let moved = go(&disk);
                if fault == Fault::Death {
                    for seed in 0..3 {
                        let disk = disk.copy();
                        disk.cut_power(&mut Rng::new(seed));
                        let is_safe = |n| at(&disk, "/home/out", n) || at(&disk, target, n);
                        assert!((0..LENS.len()).all(is_safe), "{target} at call {n}");
                    }
                    continue;
                }
                let dir = if let Err(error) = &moved {
                    assert_named(error);
                    "/home/out"
                } else {
                    target
                };
                assert!(
                    all_at(&disk, dir),
                    "{target}, {fault:?} at call {n}: {moved:?}"
                );
            }
        }
    }
}
