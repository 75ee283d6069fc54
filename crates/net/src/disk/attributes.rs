//! What a torrent says of its files beside their bytes (BEP 47): which are symbolic links, and which may be run.
//!
//! Links are made when all bytes are written, in folders that are reached without following one, and only to
//! what lies in the torrent. Nothing that is there already is replaced. A link that is missing is no missing
//! content, so whoever only reads needs none.

use std::{
    ffi::OsString,
    io::ErrorKind,
    path::{Component, Path, PathBuf},
};

use skep_wire::metainfo::Link;

use super::{
    DiskError,
    files::{Create, Files},
    system::{FileSystem, OpenFile as _},
};

/// What was not made as the torrent says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Left {
    /// How many links and files.
    pub count: usize,
    /// The first of them, and why it was not.
    pub first: Option<(PathBuf, String)>,
}

impl Left {
    fn add(&mut self, path: PathBuf, reason: String) {
        self.count += 1;
        self.first.get_or_insert((path, reason));
    }
}

/// Makes the links of content that is whole, and lets files be run of which the torrent says so. The caller
/// syncs.
///
/// # Errors
///
/// [`DiskError`] if the disk is full: this is to be tried again. What else the system refuses, or what
/// lies in the way, is left as it is and counted.
pub fn apply<S: FileSystem>(files: &mut Files<S>) -> Result<Left, DiskError> {
    let mut left = Left::default();
    let layout = files.layout().clone();
    for (file, slot) in layout.files().iter().enumerate() {
        let done = match &slot.link {
            _ if slot.padding => continue,
            Some(Link::Astray) => Err(Refused::Says("leads to nothing in the torrent".into())),
            Some(Link::To(target)) => make_link(files, file, target),
            None if slot.executable => let_run(files, file).map_err(Refused::Disk),
            None => continue,
        };
        match done {
            Ok(()) => {}
            Err(Refused::Disk(error)) if is_full(&error) => return Err(error),
            Err(Refused::Disk(error)) => left.add(files.path(file), error.to_string()),
            Err(Refused::Says(reason)) => left.add(files.path(file), reason),
        }
    }
    Ok(left)
}

/// Why a link is not made.
enum Refused {
    Disk(DiskError),
    Says(String),
}

fn is_full(error: &DiskError) -> bool {
    let full = [ErrorKind::StorageFull, ErrorKind::QuotaExceeded];
    matches!(error, DiskError::Io { source, .. } if full.contains(&source.kind()))
}

fn make_link<S: FileSystem>(
    files: &Files<S>,
    file: usize,
    target: &[String],
) -> Result<(), Refused> {
    let there = "a folder that may be created exists or is an error";
    let (dir, name) = files
        .parent(file, Create::Yes)
        .map_err(Refused::Disk)?
        .expect(there);
    let own = &files.layout().files()[file].path;
    let path = files.path(file);
    match files.system.link_in(&dir, &name, &text(own, target)) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            is_right(files, (&dir, &name), &path, own, target)
        }
        Err(error) => Err(Refused::Disk(DiskError::io("make link", &path)(error))),
    }
}

/// Whether what lies where a link should be leads where it should.
fn is_right<S: FileSystem>(
    files: &Files<S>,
    (dir, name): (&S::Folder, &OsString),
    path: &Path,
    own: &[String],
    target: &[String],
) -> Result<(), Refused> {
    if !files.system.is_link_in(dir, name) {
        let says = "something else is there, and is left as it is; the torrent has a symbolic link";
        return Err(Refused::Says(says.into()));
    }
    let there = files.system.read_link_in(dir, name);
    let there = there.map_err(|error| Refused::Disk(DiskError::io("read link", path)(error)))?;
    // The torrent's own folder, however the user named it.
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let root = path.ancestors().nth(own.len()).unwrap_or(&path);
    let folder = path.parent().unwrap_or(root);
    let wanted = target
        .iter()
        .fold(root.to_owned(), |at, name| at.join(name));
    if plain(&folder.join(there)) == plain(&wanted) {
        return Ok(());
    }
    let says = "another symbolic link is there, and is left as it is";
    Err(Refused::Says(says.into()))
}

/// A path without `.` and `..`, as its letters say.
fn plain(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                out.pop();
            }
            Component::Normal(_) | Component::RootDir | Component::Prefix(_) => out.push(part),
        }
    }
    out
}

/// What stands in a link at `own` to `target`, both below the torrent's folder: it goes up no further than
/// that, because each component but the last of `own` is a real folder, and none of `target` is `..`.
fn text(own: &[String], target: &[String]) -> PathBuf {
    let folder = own.split_last().map_or(own, |(_, folder)| folder);
    let shared = folder.iter().zip(target).take_while(|(a, b)| a == b);
    let shared = shared.count();
    let mut text: PathBuf = folder[shared..].iter().map(|_| "..").collect();
    text.extend(&target[shared..]);
    if text.as_os_str().is_empty() {
        text.push(".");
    }
    text
}

fn let_run<S: FileSystem>(files: &mut Files<S>, file: usize) -> Result<(), DiskError> {
    let path = files.path(file);
    let Some(open) = files.readable(file)? else {
        return Ok(());
    };
    open.let_run().map_err(DiskError::io("let run", &path))
}

#[cfg(test)]
mod tests;
