//! The files of a torrent to another place.
//!
//! Within a file system a file is renamed, which is done at once and loses nothing; between two it is
//! copied and synced, and a link made anew, and only when all have arrived are the old ones removed. If anything fails, what was
//! done is undone: then everything lies where it lay. Whoever has an old file open goes on reading it.

use std::{ffi::OsString, io::ErrorKind, path::Path};

use super::{
    DiskError,
    files::{Create, Files},
    system::{FileSystem, How, OpenFile as _},
};

/// What was done with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moved {
    Absent,
    Renamed,
    Copied,
}

/// Moves the files that are there from their place in `from` to that in `to`, which is the same layout
/// elsewhere, or under another name.
///
/// # Errors
///
/// [`DiskError`] naming the file that could not be moved, or lies in the way; nothing is moved then.
pub fn move_content<S: FileSystem>(from: &Files<S>, to: &Files<S>) -> Result<(), DiskError> {
    // Before anything lies in the new folders, so that a power cut cannot take them away with it.
    if let Err(error) = make_folders(from, to) {
        remove_empty_folders(to);
        return Err(error);
    }
    let count = from.layout().files().len();
    let mut moved = Vec::with_capacity(count);
    for file in 0..count {
        let is_padding = from.layout().files()[file].padding;
        let done = if is_padding {
            Ok(Moved::Absent)
        } else {
            move_file(from, to, file)
        };
        match done {
            Ok(done) => moved.push(done),
            Err(error) => {
                undo(from, to, &moved);
                return Err(error);
            }
        }
    }
    // The old ones go when the new ones cannot be lost any more.
    let mut settled = to.sync_folders();
    for (n, (file, _)) in all(&moved, Moved::Copied).enumerate() {
        if settled.is_err() {
            break;
        }
        let removed = remove(from, file);
        // What is left behind when others are gone does no harm; everything is at the new place.
        if n == 0 {
            settled = removed;
        }
    }
    if let Err(error) = settled {
        undo(from, to, &moved);
        return Err(error);
    }
    remove_empty_folders(from);
    Ok(())
}

/// Makes the folders for the files that are there.
fn make_folders<S: FileSystem>(from: &Files<S>, to: &Files<S>) -> Result<(), DiskError> {
    for (file, slot) in from.layout().files().iter().enumerate() {
        if !slot.padding && is_there(from, file)?.is_some() {
            to.parent(file, Create::Yes)?;
        }
    }
    to.sync_folders()
}

/// The folder and the name of a file, if it is there.
fn is_there<S: FileSystem>(
    files: &Files<S>,
    file: usize,
) -> Result<Option<(S::Folder, OsString)>, DiskError> {
    let Some((dir, name)) = files.parent(file, Create::No)? else {
        return Ok(None);
    };
    let is_there = match files.layout().files()[file].link {
        // What is no link where one should be is not of the torrent.
        Some(_) => files.system.is_link_in(&dir, &name),
        None => {
            let is_there = files.system.is_in(&dir, &name);
            is_there.map_err(DiskError::io("look at", &files.path(file)))?
        }
    };
    Ok(is_there.then_some((dir, name)))
}

fn all(moved: &[Moved], what: Moved) -> impl Iterator<Item = (usize, Moved)> {
    moved
        .iter()
        .copied()
        .enumerate()
        .filter(move |(_, done)| *done == what)
}

fn move_file<S: FileSystem>(
    from: &Files<S>,
    to: &Files<S>,
    file: usize,
) -> Result<Moved, DiskError> {
    let Some((old_dir, old_name)) = is_there(from, file)? else {
        return Ok(Moved::Absent);
    };
    let (system, old_path) = (&from.system, from.path(file));
    let there = "a folder that may be created exists or is an error";
    let (new_dir, new_name) = to.parent(file, Create::Yes)?.expect(there);
    let new_path = to.path(file);
    let in_the_way = |path| Err(DiskError::InTheWay { path });
    match system.rename_in((&old_dir, &old_name), (&new_dir, &new_name)) {
        Ok(()) => return Ok(Moved::Renamed),
        Err(error) => match error.kind() {
            ErrorKind::AlreadyExists => return in_the_way(new_path),
            // Another file system, or one that cannot rename in this way.
            ErrorKind::CrossesDevices | ErrorKind::InvalidInput | ErrorKind::Unsupported => {}
            _ => return Err(DiskError::io("move to", &new_path)(error)),
        },
    }
    let slot = &from.layout().files()[file];
    if slot.link.is_some() {
        let text = system
            .read_link_in(&old_dir, &old_name)
            .map_err(DiskError::io("read link", &old_path))?;
        return match system.link_in(&new_dir, &new_name, &text) {
            Ok(()) => Ok(Moved::Copied),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => in_the_way(new_path),
            Err(error) => Err(DiskError::io("make link", &new_path)(error)),
        };
    }
    let old = system
        .open_in(&old_dir, &old_name, How::Read)
        .map_err(DiskError::io("open", &old_path))?;
    let new = match system.open_in(&new_dir, &new_name, How::New) {
        Ok(new) => new,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return in_the_way(new_path),
        Err(error) => return Err(DiskError::io("create", &new_path)(error)),
    };
    if slot.executable {
        // Not every file system knows such files; the content is none the worse for it.
        let _ = new.let_run();
    }
    let copied = old.copy_to(&new).and_then(|()| new.sync());
    copied.map_err(|error| {
        // The rest of what was copied is of no use to anybody.
        let _ = system.remove_in(&new_dir, &new_name);
        DiskError::io("copy to", &new_path)(error)
    })?;
    Ok(Moved::Copied)
}

/// Brings back what was moved. What cannot be brought back stays where it is: the error that led here
/// is the one to be told.
fn undo<S: FileSystem>(from: &Files<S>, to: &Files<S>, moved: &[Moved]) {
    for (file, _) in all(moved, Moved::Renamed) {
        let ends = (from.parent(file, Create::Yes), to.parent(file, Create::No));
        if let (Ok(Some((old_dir, old_name))), Ok(Some((new_dir, new_name)))) = ends {
            let (new, old) = ((&new_dir, &*new_name), (&old_dir, &*old_name));
            let _ = from.system.rename_in(new, old);
        }
    }
    for (file, _) in all(moved, Moved::Copied) {
        let _ = remove(to, file);
    }
    remove_empty_folders(to);
}

fn remove<S: FileSystem>(files: &Files<S>, file: usize) -> Result<(), DiskError> {
    if let Some((dir, name)) = files.parent(file, Create::No)? {
        files
            .system
            .remove_in(&dir, &name)
            .map_err(DiskError::io("remove", &files.path(file)))?;
    }
    Ok(())
}

/// Removes the folders of the torrent that are empty now, never the one that the user named.
fn remove_empty_folders<S: FileSystem>(files: &Files<S>) {
    let mut dirs = std::collections::BTreeSet::new();
    for file in 0..files.layout().files().len() {
        let path = files.path(file);
        let above = path.ancestors().skip(1);
        let inside = above.take_while(|dir| dir.starts_with(&files.base) && *dir != files.base);
        dirs.extend(inside.map(Path::to_owned));
    }
    // Longer paths come later in the order, and are emptied first.
    for dir in dirs.iter().rev() {
        let _ = files.system.remove_folder(dir);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        disk::{files::Access, layout::Layout},
        session::Place,
    };

    fn files(place: Place) -> Files {
        let parts = |parts: &[&str]| parts.iter().map(|&part| part.to_owned()).collect();
        let layout = Layout::new([
            (parts(&["a"]), 10),
            (parts(&["sub", "empty"]), 0),
            (parts(&["sub", "b"]), 20),
            (parts(&["absent"]), 5),
        ]);
        Files::new(Arc::new(layout), &place, "t", Access::Write)
    }

    fn write(files: &mut Files) {
        files.create_empty_files().expect("created");
        let content: Vec<u8> = (0..30).collect();
        files.write_at(0, &content).expect("written");
    }

    fn assert_there(files: &mut Files) {
        let mut read = [0; 30];
        assert!(files.read_at(0, &mut read).expect("read"));
        assert!(read.iter().copied().eq(0..30));
        assert!(files.path(1).exists());
        assert!(!files.path(3).exists(), "what was not there was not made");
    }

    #[test]
    fn files_move_to_another_folder_and_name_and_leave_nothing_behind() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let mut old = files(Place::Under(dir.path().join("old")));
        write(&mut old);
        let mut new = files(Place::At(dir.path().join("new/place/renamed")));
        move_content(&old, &new).expect("moved");
        assert_there(&mut new);
        assert!(!dir.path().join("old/t").exists());
        assert!(
            dir.path().join("old").exists(),
            "the user's own folder stays"
        );
    }

    /// /dev/shm is another file system than that of temporary files, or this test moves within one.
    #[test]
    fn files_move_to_another_file_system() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let shm = Path::new("/dev/shm");
        let other = if shm.is_dir() {
            tempfile::tempdir_in(shm)
        } else {
            tempfile::tempdir()
        };
        let other = other.expect("temporary folder");
        let mut old = files(Place::Under(dir.path().to_owned()));
        write(&mut old);
        let mut new = files(Place::Under(other.path().to_owned()));
        move_content(&old, &new).expect("moved");
        assert_there(&mut new);
        assert!(!dir.path().join("t").exists());
    }

    #[test]
    fn a_file_in_the_way_is_named_and_everything_stays() {
        let dir = tempfile::tempdir().expect("temporary folder");
        for target in [
            dir.path().join("new"),
            tempfile::tempdir_in("/dev/shm")
                .expect("temporary folder")
                .keep(),
        ] {
            let mut old = files(Place::Under(dir.path().join("old")));
            write(&mut old);
            let in_the_way = target.join("t/sub/b");
            std::fs::create_dir_all(in_the_way.parent().expect("has one")).expect("created");
            std::fs::write(&in_the_way, b"mine").expect("written");
            let new = files(Place::Under(target.clone()));
            let error = move_content(&old, &new).expect_err("refused");
            assert!(
                matches!(&error, DiskError::InTheWay { path } if *path == in_the_way),
                "{error}"
            );
            assert_there(&mut files(Place::Under(dir.path().join("old"))));
            assert!(!new.path(0).exists());
            assert_eq!(std::fs::read(&in_the_way).expect("read"), b"mine");
            std::fs::remove_dir_all(target).expect("removed");
        }
    }
}
