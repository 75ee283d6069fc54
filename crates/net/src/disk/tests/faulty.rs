//! A disk in memory for tests, which refuses, cuts short, delays, is killed or loses power at any call.
//!
//! It is meaner than any file system. A power cut keeps any subset of the 512-byte sectors that were not
//! synced, any subset of the names that were made, moved or removed since their folder was synced, and the
//! time of a write without its bytes. A sync that fails drops what it should have written, as Linux does: the
//! bytes read right until the system forgets them, and the next sync succeeds.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fmt,
    io::{self, IoSlice},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
};

use skep_proto::rng::Rng;

use crate::disk::system::{FileSystem, How, Look, OpenFile};

const SECTOR: usize = 512;

/// So many calls happen within one tick of the clock that stamps files.
const CALLS_PER_TICK: u64 = 8;

/// What happens at a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// It is refused with this error; if it is a write, after half of it.
    Once(i32),
    /// It and all that take space are refused, until [`Disk::heal`].
    Full,
    /// It reads or writes half of what it should.
    Short,
    /// It takes so long that others are done before: what [`Disk::meanwhile`] was given runs.
    Delay,
    /// It and all that follow are refused, until [`Disk::restart`] or [`Disk::cut_power`].
    Death,
}

/// What a call is, as far as faults differ by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    /// It looks, opens what is there, moves or removes: nothing that takes space.
    Other,
    Sync,
    Read,
    Write,
    /// It makes or extends something.
    Make,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entry {
    Folder,
    File(usize),
}

/// A change of names that no sync has made last.
#[derive(Debug, Clone)]
enum Naming {
    Made(PathBuf, Entry),
    Removed(PathBuf),
    Moved(PathBuf, PathBuf, Entry),
}

#[derive(Debug, Clone)]
enum Change {
    Bytes(usize, Vec<u8>),
    Len(usize),
}

/// A file, whatever its name.
#[derive(Debug, Clone, Default)]
struct Node {
    now: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<Change>,
    modified: u64,
    modified_durable: u64,
}

type Meanwhile = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct State {
    nodes: Vec<Node>,
    names: BTreeMap<PathBuf, Entry>,
    durable: BTreeMap<PathBuf, Entry>,
    pending: Vec<Naming>,
    calls: Vec<Call>,
    /// Calls of the disk of which this is a copy.
    calls_before: usize,
    fault: Option<(usize, Fault)>,
    is_full: bool,
    is_dead: bool,
    meanwhile: Option<Meanwhile>,
}

/// The disk.
#[derive(Clone)]
pub(super) struct Disk(Arc<Mutex<State>>);

/// A file that is open.
#[derive(Debug)]
pub(super) struct Open {
    disk: Disk,
    node: usize,
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Disk({} calls)", self.state().calls.len())
    }
}

fn errno(code: i32) -> io::Error {
    io::Error::from_raw_os_error(code)
}

/// What becomes of a call that is not refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Allowed {
    Whole,
    Half,
}

impl Disk {
    /// With the root and two file systems: names below `/other` are on the second.
    pub(super) fn new() -> Self {
        let mut state = State::default();
        for path in ["/", "/other"] {
            state.names.insert(path.into(), Entry::Folder);
        }
        state.durable = state.names.clone();
        Self(Arc::new(Mutex::new(state)))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0
            .lock()
            .expect("no test panics while it holds the disk")
    }

    /// The calls so far.
    pub(super) fn calls(&self) -> Vec<Call> {
        self.state().calls.clone()
    }

    /// The calls of the disk of which this is a copy, until then.
    pub(super) fn calls_before(&self) -> usize {
        self.state().calls_before
    }

    /// Something happens at the call of this number, from now on counted from 0.
    pub(super) fn arm(&self, call: usize, fault: Fault) {
        let mut state = self.state();
        state.calls.clear();
        state.fault = Some((call, fault));
    }

    /// Whether it has happened.
    pub(super) fn is_struck(&self) -> bool {
        self.state().fault.is_none()
    }

    /// There is room again.
    pub(super) fn heal(&self) {
        self.state().is_full = false;
    }

    /// Whether the process is dead.
    pub(super) fn is_dead(&self) -> bool {
        self.state().is_dead
    }

    /// What others do while a call takes long.
    pub(super) fn meanwhile(&self, act: impl FnOnce() + Send + 'static) {
        self.state().meanwhile = Some(Box::new(act));
    }

    /// The process was killed, and another begins.
    pub(super) fn restart(&self) {
        let mut state = self.state();
        (state.is_dead, state.is_full, state.fault) = (false, false, None);
        state.meanwhile = None;
    }

    /// Another disk that is as this one is now, and without faults.
    pub(super) fn copy(&self) -> Self {
        let state = self.state();
        Self(Arc::new(Mutex::new(State {
            nodes: state.nodes.clone(),
            names: state.names.clone(),
            durable: state.durable.clone(),
            pending: state.pending.clone(),
            calls_before: state.calls.len(),
            ..State::default()
        })))
    }

    /// The power goes and comes back.
    pub(super) fn cut_power(&self, rng: &mut Rng) {
        self.restart();
        let state = &mut *self.state();
        for change in std::mem::take(&mut state.pending) {
            if rng.below(2) == 0 {
                name(&mut state.durable, change);
            }
        }
        let all = state.durable.clone();
        let is_there = |path: &Path| all.get(path) == Some(&Entry::Folder);
        let above = |path: &PathBuf| path.ancestors().skip(1).all(is_there);
        state.durable.retain(|path, _| above(path));
        state.names = state.durable.clone();
        for node in &mut state.nodes {
            node.cut_power(rng);
        }
    }

    /// Whether a file is there and a process reads these bytes.
    pub(super) fn holds(&self, path: &Path, bytes: &[u8]) -> bool {
        let state = self.state();
        match state.names.get(path) {
            Some(Entry::File(node)) => state.nodes[*node].now == bytes,
            Some(Entry::Folder) | None => false,
        }
    }

    /// Every path that there is.
    pub(super) fn paths(&self) -> Vec<PathBuf> {
        self.state().names.keys().cloned().collect()
    }

    /// Begins a call: does what is to happen, and says what is left to do.
    fn call(&self, call: Call) -> io::Result<Allowed> {
        let mut state = self.state();
        let number = state.calls.len();
        state.calls.push(call);
        let takes_space = matches!(call, Call::Write | Call::Make);
        let mut allowed = Allowed::Whole;
        if let Some((_, fault)) = state.fault.take_if(|(at, _)| *at == number) {
            match fault {
                Fault::Once(code) => return Err(errno(code)),
                Fault::Full => state.is_full = true,
                Fault::Short => allowed = Allowed::Half,
                Fault::Delay => {
                    if let Some(act) = state.meanwhile.take() {
                        drop(state);
                        act();
                        state = self.state();
                    }
                }
                Fault::Death => state.is_dead = true,
            }
        }
        if state.is_dead {
            return Err(errno(libc::ENODEV));
        }
        if state.is_full && takes_space {
            return Err(errno(libc::ENOSPC));
        }
        Ok(allowed)
    }
}

impl State {
    fn now(&self) -> u64 {
        1 + self.calls.len() as u64 / CALLS_PER_TICK
    }

    fn change_name(&mut self, change: Naming) {
        name(&mut self.names, change.clone());
        self.pending.push(change);
    }

    fn entry(&self, path: &Path) -> io::Result<Entry> {
        let entry = self.names.get(path);
        entry.copied().ok_or_else(|| errno(libc::ENOENT))
    }

    fn is_folder(&self, path: &Path) -> io::Result<()> {
        match self.entry(path)? {
            Entry::Folder => Ok(()),
            Entry::File(_) => Err(errno(libc::ENOTDIR)),
        }
    }

    fn is_free(&self, path: &Path) -> io::Result<()> {
        self.is_folder(path.parent().unwrap_or(Path::new("/")))?;
        match self.names.contains_key(path) {
            true => Err(errno(libc::EEXIST)),
            false => Ok(()),
        }
    }
}

/// Does a change of names, as far as what it is about is there.
fn name(names: &mut BTreeMap<PathBuf, Entry>, change: Naming) {
    match change {
        Naming::Made(path, entry) => drop(names.insert(path, entry)),
        Naming::Removed(path) => drop(names.remove(&path)),
        Naming::Moved(from, to, entry) => {
            if names.get(&from) == Some(&entry) {
                names.remove(&from);
            }
            names.insert(to, entry);
        }
    }
}

fn is_in_folder(change: &Naming, dir: &Path) -> bool {
    let is_in = |path: &PathBuf| path.parent() == Some(dir);
    match change {
        Naming::Made(path, _) | Naming::Removed(path) => is_in(path),
        Naming::Moved(from, to, _) => is_in(from) || is_in(to),
    }
}

fn put(bytes: &mut Vec<u8>, at: usize, part: &[u8]) {
    let end = at + part.len();
    bytes.resize(bytes.len().max(end), 0);
    bytes[at..end].copy_from_slice(part);
}

impl Node {
    fn change(&mut self, change: Change, now: u64) {
        self.modified = now;
        apply(&mut self.now, &change);
        self.pending.push(change);
    }

    fn sync(&mut self) {
        for change in std::mem::take(&mut self.pending) {
            apply(&mut self.durable, &change);
        }
        self.modified_durable = self.modified;
    }

    fn cut_power(&mut self, rng: &mut Rng) {
        for change in std::mem::take(&mut self.pending) {
            match change {
                Change::Len(_) => {
                    if rng.below(2) == 0 {
                        apply(&mut self.durable, &change);
                    }
                }
                Change::Bytes(at, bytes) => {
                    for (n, part) in bytes.chunks(SECTOR).enumerate() {
                        if rng.below(2) == 0 {
                            put(&mut self.durable, at + n * SECTOR, part);
                        }
                    }
                }
            }
        }
        if rng.below(2) == 0 {
            self.modified_durable = self.modified;
        }
        self.modified = self.modified_durable;
        self.now = self.durable.clone();
    }
}

fn apply(bytes: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Bytes(at, part) => put(bytes, *at, part),
        Change::Len(len) => bytes.resize(*len, 0),
    }
}

impl FileSystem for Disk {
    type Open = Open;
    type Folder = PathBuf;

    fn readers(&self) -> u32 {
        1
    }

    fn open(&self, path: &Path, how: How) -> io::Result<Open> {
        let is_there = self.state().names.contains_key(path);
        let makes = !is_there && matches!(how, How::Make | How::New);
        self.call(if makes { Call::Make } else { Call::Other })?;
        let mut state = self.state();
        let node = match state.entry(path) {
            Ok(Entry::Folder) => return Err(errno(libc::EISDIR)),
            Ok(Entry::File(_)) if how == How::New => return Err(errno(libc::EEXIST)),
            Ok(Entry::File(node)) => node,
            Err(error) if !makes => return Err(error),
            Err(_) => {
                state.is_free(path)?;
                state.nodes.push(Node::default());
                let node = state.nodes.len() - 1;
                state.change_name(Naming::Made(path.to_owned(), Entry::File(node)));
                node
            }
        };
        let disk = self.clone();
        Ok(Open { disk, node })
    }

    fn open_folder(&self, path: &Path) -> io::Result<PathBuf> {
        self.call(Call::Other)?;
        self.state().is_folder(path)?;
        Ok(path.to_owned())
    }

    fn make_folder(&self, path: &Path) -> io::Result<()> {
        self.call(Call::Make)?;
        let mut state = self.state();
        state.is_free(path)?;
        state.change_name(Naming::Made(path.to_owned(), Entry::Folder));
        Ok(())
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        self.call(Call::Sync)?;
        let state = &mut *self.state();
        state.is_folder(path)?;
        let (now, later) = std::mem::take(&mut state.pending)
            .into_iter()
            .partition(|change| is_in_folder(change, path));
        state.pending = later;
        let now: Vec<Naming> = now;
        now.into_iter()
            .for_each(|change| name(&mut state.durable, change));
        Ok(())
    }

    fn look(&self, path: &Path) -> io::Result<Look> {
        self.call(Call::Other)?;
        let state = self.state();
        let device = u64::from(path.starts_with("/other"));
        Ok(match state.entry(path)? {
            Entry::File(node) => Look {
                len: state.nodes[node].now.len() as u64,
                modified_ns: state.nodes[node].modified,
                is_file: true,
                device,
            },
            Entry::Folder => Look {
                len: 0,
                modified_ns: 0,
                is_file: false,
                device,
            },
        })
    }

    fn look_at_link(&self, path: &Path) -> io::Result<Look> {
        self.look(path)
    }

    fn replace(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call(Call::Other)?;
        let mut state = self.state();
        let entry = state.entry(from)?;
        state.change_name(Naming::Moved(from.to_owned(), to.to_owned(), entry));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.call(Call::Other)?;
        let mut state = self.state();
        match state.entry(path)? {
            Entry::File(_) => state.change_name(Naming::Removed(path.to_owned())),
            Entry::Folder => return Err(errno(libc::EISDIR)),
        }
        Ok(())
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        self.call(Call::Other)?;
        let mut state = self.state();
        state.is_folder(path)?;
        if state.names.keys().any(|other| other.parent() == Some(path)) {
            return Err(errno(libc::ENOTEMPTY));
        }
        state.change_name(Naming::Removed(path.to_owned()));
        Ok(())
    }

    fn open_in(&self, folder: &PathBuf, name: &OsStr, how: How) -> io::Result<Open> {
        self.open(&folder.join(name), how)
    }

    fn open_folder_in(&self, folder: &PathBuf, name: &OsStr) -> io::Result<PathBuf> {
        self.open_folder(&folder.join(name))
    }

    fn make_folder_in(&self, folder: &PathBuf, name: &OsStr) -> io::Result<()> {
        self.make_folder(&folder.join(name))
    }

    fn is_link_in(&self, _folder: &PathBuf, _name: &OsStr) -> bool {
        false
    }

    fn is_in(&self, folder: &PathBuf, name: &OsStr) -> io::Result<bool> {
        self.call(Call::Other)?;
        Ok(self.state().names.contains_key(&folder.join(name)))
    }

    fn rename_in(&self, from: (&PathBuf, &OsStr), to: (&PathBuf, &OsStr)) -> io::Result<()> {
        self.call(Call::Other)?;
        let (from, to) = (from.0.join(from.1), to.0.join(to.1));
        if from.starts_with("/other") != to.starts_with("/other") {
            return Err(errno(libc::EXDEV));
        }
        let mut state = self.state();
        let entry = state.entry(&from)?;
        state.is_free(&to)?;
        state.change_name(Naming::Moved(from, to, entry));
        Ok(())
    }

    /// It knows no links, like FAT.
    fn link_in(&self, _folder: &PathBuf, _name: &OsStr, _text: &Path) -> io::Result<()> {
        self.call(Call::Make)?;
        Err(errno(libc::EPERM))
    }

    fn read_link_in(&self, _folder: &PathBuf, _name: &OsStr) -> io::Result<PathBuf> {
        self.call(Call::Other)?;
        Err(errno(libc::EINVAL))
    }

    fn remove_in(&self, folder: &PathBuf, name: &OsStr) -> io::Result<()> {
        self.remove(&folder.join(name))
    }
}

impl Open {
    fn with<T>(&self, act: impl FnOnce(&mut Node, u64) -> T) -> T {
        let mut state = self.disk.state();
        let now = state.now();
        act(&mut state.nodes[self.node], now)
    }
}

impl OpenFile for Open {
    fn look(&self) -> io::Result<Look> {
        self.disk.call(Call::Other)?;
        Ok(self.with(|node, _| Look {
            len: node.now.len() as u64,
            modified_ns: node.modified,
            is_file: true,
            device: 0,
        }))
    }

    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        let allowed = self.disk.call(Call::Read)?;
        self.with(|node, _| {
            let there = node.now.get(at as usize..).unwrap_or_default();
            let mut len = there.len().min(buf.len());
            if allowed == Allowed::Half {
                len = len.div_ceil(2);
            }
            buf[..len].copy_from_slice(&there[..len]);
            Ok(len)
        })
    }

    fn write_at(&self, parts: &[IoSlice<'_>], at: u64) -> io::Result<usize> {
        let mut bytes = Vec::new();
        parts.iter().for_each(|part| bytes.extend_from_slice(part));
        let half = bytes.len().div_ceil(2);
        let write =
            |bytes| self.with(|node, now| node.change(Change::Bytes(at as usize, bytes), now));
        match self.disk.call(Call::Write) {
            Ok(Allowed::Whole) => {}
            Ok(Allowed::Half) => bytes.truncate(half),
            Err(error) => {
                if error.raw_os_error() == Some(libc::EIO) {
                    bytes.truncate(half);
                    write(bytes);
                }
                return Err(error);
            }
        }
        let len = bytes.len();
        write(bytes);
        Ok(len)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.disk.call(Call::Make)?;
        self.with(|node, now| node.change(Change::Len(len as usize), now));
        Ok(())
    }

    /// It knows no permissions.
    fn let_run(&self) -> io::Result<()> {
        self.disk.call(Call::Other)?;
        Ok(())
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.disk.call(Call::Make)?;
        self.with(|node, now| {
            let len = node.now.len().max(len as usize);
            node.change(Change::Len(len), now);
        });
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let allowed = self.disk.call(Call::Sync);
        self.with(|node, _| match allowed {
            Ok(_) => {
                node.sync();
                Ok(())
            }
            Err(error) => {
                // Nobody will write them any more.
                let is_refused = error.raw_os_error() == Some(libc::EIO);
                if is_refused {
                    node.pending
                        .retain(|change| matches!(change, Change::Len(_)));
                }
                Err(error)
            }
        })
    }

    fn sync_file_system(&self) -> io::Result<()> {
        self.sync()
    }

    fn read_soon(&self, _at: u64, _len: u64) {}

    fn forget_cached(&self) {
        self.with(|node, _| {
            let mut bytes = node.durable.clone();
            for change in &node.pending {
                apply(&mut bytes, change);
            }
            node.now = bytes;
        });
    }

    fn copy_to(&self, to: &Self) -> io::Result<()> {
        let mut buf = [0; 50_000];
        let mut at = 0;
        loop {
            let len = self.read_at(&mut buf, at)?;
            if len == 0 {
                return Ok(());
            }
            let mut done = 0;
            while done < len {
                done += to.write_at(&[IoSlice::new(&buf[done..len])], at + done as u64)?;
            }
            at += len as u64;
        }
    }
}
