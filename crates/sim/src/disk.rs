//! A disk in memory that loses power.
//!
//! What it is: a file layer ([`FilesMut`]) that keeps apart what was made durable from what was only
//! handed over. [`Disk::crash`] keeps everything durable and, of the rest, a random part: any subset
//! of the 512-byte sectors of any write since the file's last sync, any subset of the names that were
//! made, moved or deleted since their folder's last sync. What it is not: a model of one file
//! system. It is meaner than all of them, except that a durable byte stays what it is.

use std::collections::{BTreeMap, BTreeSet};

use skep_evidence::file::{FileError, FileOp, Files, FilesMut};
use skep_proto::rng::Rng;

/// What a disk writes at once.
const SECTOR_BYTES: usize = 512;

/// Contents of a file, wherever its name is.
#[derive(Debug, Clone, Default)]
struct Content {
    now: Vec<u8>,
    durable: Vec<u8>,
    /// Since the last sync, in order.
    changes: Vec<Change>,
}

#[derive(Debug, Clone)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Len(usize),
}

type ContentId = usize;

/// The disk. See the module's documentation.
#[derive(Debug, Clone, Default)]
pub struct Disk {
    contents: Vec<Content>,
    names: BTreeMap<String, ContentId>,
    durable_names: BTreeMap<String, ContentId>,
    dirs: BTreeSet<String>,
    durable_dirs: BTreeSet<String>,
    /// Operations until the power goes; `None` for never.
    ops_left: Option<u64>,
    /// Operations done since the beginning.
    ops: u64,
}

impl Disk {
    /// An empty disk.
    pub fn new() -> Self {
        Self::default()
    }

    /// The power goes after `ops` more operations: the next one is begun and refused.
    pub fn fail_after(&mut self, ops: u64) {
        self.ops_left = Some(ops);
    }

    /// How many operations were done.
    pub fn ops(&self) -> u64 {
        self.ops
    }

    /// Every file's name and bytes as a process sees them.
    pub fn files(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.names
            .iter()
            .map(|(path, id)| (&path[..], &self.contents[*id].now[..]))
    }

    /// The bytes of a file, to be changed behind everybody's back; `None` if there is none. The
    /// change is durable.
    pub fn tamper(&mut self, path: &str, change: impl FnOnce(&mut Vec<u8>)) -> Option<()> {
        let content = &mut self.contents[*self.names.get(path)?];
        change(&mut content.now);
        (content.durable, content.changes) = (content.now.clone(), Vec::new());
        Some(())
    }

    /// Removes a file behind everybody's back.
    pub fn remove(&mut self, path: &str) -> Option<()> {
        self.durable_names.remove(path);
        self.names.remove(path).map(|_| ())
    }

    /// The power is gone and comes back: what was not durable survives in part, as `rng` will have
    /// it. Nothing fails after that until [`Disk::fail_after`] says so again.
    pub fn crash(&mut self, rng: &mut Rng) {
        self.ops_left = None;
        let mut gone = BTreeSet::new();
        for dir in &self.dirs {
            let above_gone = ancestors(dir).any(|above| gone.contains(above));
            if above_gone || (!self.durable_dirs.contains(dir) && rng.below(2) == 0) {
                gone.insert(dir.clone());
            }
        }
        self.dirs.retain(|dir| !gone.contains(dir));
        let mut names = BTreeMap::new();
        let all: BTreeSet<&String> = self.names.keys().chain(self.durable_names.keys()).collect();
        for path in all {
            let (now, durable) = (self.names.get(path), self.durable_names.get(path));
            let kept = if rng.below(2) == 0 { now } else { durable };
            if let Some(&id) = kept
                && !ancestors(path).any(|above| gone.contains(above))
            {
                names.insert(path.clone(), id);
            }
        }
        self.names = names;
        for content in &mut self.contents {
            content.crash(rng);
        }
        self.durable_names = self.names.clone();
        self.durable_dirs = self.dirs.clone();
    }

    /// Whether the next operation happens.
    fn begin(&mut self, path: &str) -> Result<(), FileError> {
        match &mut self.ops_left {
            Some(0) => {
                let (doing, reason) = ("working", String::from("the power is gone"));
                return Err(FileError {
                    path: path.to_owned(),
                    doing,
                    reason,
                    errno: None,
                });
            }
            Some(left) => *left -= 1,
            None => {}
        }
        self.ops += 1;
        Ok(())
    }

    fn content(&mut self, path: &str) -> Result<&mut Content, FileError> {
        if !self.dirs.contains(folder(path)) {
            return Err(absent(path));
        }
        let next = self.contents.len();
        let id = *self.names.entry(path.to_owned()).or_insert(next);
        if id == next {
            self.contents.push(Content::default());
        }
        Ok(&mut self.contents[id])
    }

    fn sync_dir(&mut self, dir: &str) {
        let inside = |path: &String| folder(path) == dir;
        self.durable_names.retain(|path, _| !inside(path));
        let names = self.names.iter().filter(|(path, _)| inside(path));
        self.durable_names
            .extend(names.map(|(path, id)| (path.clone(), *id)));
        let dirs = self
            .dirs
            .iter()
            .filter(|path| inside(path) && !path.is_empty());
        self.durable_dirs.extend(dirs.cloned().collect::<Vec<_>>());
    }
}

impl Content {
    fn write(&mut self, offset: usize, bytes: &[u8]) {
        put(&mut self.now, offset, bytes);
        self.changes.push(Change::Write {
            offset,
            bytes: bytes.to_vec(),
        });
    }

    fn sync(&mut self) {
        (self.durable, self.changes) = (self.now.clone(), Vec::new());
    }

    fn crash(&mut self, rng: &mut Rng) {
        for change in std::mem::take(&mut self.changes) {
            match change {
                Change::Len(len) if rng.below(2) == 0 => self.durable.resize(len, 0),
                Change::Len(_) => {}
                // Whole, lost, or torn: sectors of the file, not of the write.
                Change::Write { offset, bytes } => match rng.below(4) {
                    0 => put(&mut self.durable, offset, &bytes),
                    1 => {}
                    _ => {
                        for (at, part) in sectors(offset, &bytes) {
                            if rng.below(2) == 0 {
                                put(&mut self.durable, at, part);
                            }
                        }
                    }
                },
            }
        }
        self.now = self.durable.clone();
    }
}

/// A write's bytes, cut where sectors of the file begin.
fn sectors(mut offset: usize, mut bytes: &[u8]) -> Vec<(usize, &[u8])> {
    let mut parts = Vec::new();
    while !bytes.is_empty() {
        let len = (SECTOR_BYTES - offset % SECTOR_BYTES).min(bytes.len());
        let (part, rest) = bytes.split_at(len);
        parts.push((offset, part));
        (offset, bytes) = (offset + len, rest);
    }
    parts
}

fn put(file: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    if file.len() < end {
        file.resize(end, 0);
    }
    file[offset..end].copy_from_slice(bytes);
}

fn folder(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// The folders that a path is in, the innermost first, without the root.
fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(folder(path)), |dir| Some(folder(dir)))
        .take_while(|dir| !dir.is_empty())
}

fn absent(path: &str) -> FileError {
    let (doing, reason) = ("opening", String::from("no such folder"));
    FileError {
        path: path.to_owned(),
        doing,
        reason,
        errno: Some(2),
    }
}

impl Files for Disk {
    fn read(&self, path: &str, len_max: u64) -> Result<Option<Vec<u8>>, FileError> {
        let bytes = self
            .names
            .get(path)
            .map(|id| self.contents[*id].now.clone());
        if let Some(bytes) = &bytes
            && bytes.len() as u64 > len_max
        {
            let reason = format!("{} bytes, at most {len_max} are expected", bytes.len());
            return Err(FileError {
                path: path.to_owned(),
                doing: "reading",
                reason,
                errno: None,
            });
        }
        Ok(bytes)
    }

    fn read_at(&self, path: &str, offset: u64, len: usize) -> Result<Vec<u8>, FileError> {
        let Some(id) = self.names.get(path) else {
            return Ok(Vec::new());
        };
        let bytes = &self.contents[*id].now;
        let from = usize::try_from(offset).map_or(bytes.len(), |from| from.min(bytes.len()));
        Ok(bytes[from..].iter().take(len).copied().collect())
    }

    fn len(&self, path: &str) -> Result<Option<u64>, FileError> {
        Ok(self
            .names
            .get(path)
            .map(|id| self.contents[*id].now.len() as u64))
    }

    fn list(&self, path: &str) -> Result<Vec<String>, FileError> {
        let inside = |name: &&String| folder(name) == path && !name.is_empty();
        let last = |name: &String| name[path.len()..].trim_start_matches('/').to_owned();
        let all: BTreeSet<String> = self
            .names
            .keys()
            .chain(&self.dirs)
            .filter(inside)
            .map(last)
            .collect();
        Ok(all.into_iter().collect())
    }
}

impl FilesMut for Disk {
    fn apply(&mut self, op: &FileOp) -> Result<(), FileError> {
        match op {
            FileOp::CreateDir { path } => {
                self.begin(path)?;
                let above: Vec<String> = ancestors(path).map(str::to_owned).collect();
                self.dirs.extend(above);
                self.dirs.insert(path.clone());
                self.dirs.insert(String::new());
                self.durable_dirs.insert(String::new());
            }
            FileOp::Write {
                path,
                offset,
                bytes,
            } => {
                // A write that the power cut interrupts may be there in part.
                let begun = self.begin(path);
                let offset = usize::try_from(*offset).expect("a test's file is small");
                self.content(path)?.write(offset, bytes);
                begun?;
            }
            FileOp::Truncate { path, len } => {
                self.begin(path)?;
                let len = usize::try_from(*len).expect("a test's file is small");
                let content = self.content(path)?;
                content.now.resize(len, 0);
                content.changes.push(Change::Len(len));
            }
            FileOp::Sync { path } => {
                self.begin(path)?;
                self.content(path)?.sync();
            }
            FileOp::Replace { path, bytes } => {
                let begun = self.begin(path);
                if begun.is_err() {
                    // Interrupted before the rename: the temporary file is there in part.
                    self.content(&format!("{path}.tmp"))?.write(0, bytes);
                }
                begun?;
                if !self.dirs.contains(folder(path)) {
                    return Err(absent(path));
                }
                let mut content = Content::default();
                content.write(0, bytes);
                content.sync();
                self.names.insert(path.clone(), self.contents.len());
                self.contents.push(content);
            }
            FileOp::SyncDir { path } => {
                self.begin(path)?;
                self.sync_dir(path);
            }
            FileOp::Delete { path } => {
                self.begin(path)?;
                self.names.remove(path);
            }
        }
        Ok(())
    }
}
