//! What is done before the first byte of a download is fetched.

use std::path::Path;

use skep_wire::{Bitfield, metainfo::Metainfo};

use super::{
    DiskError,
    attributes::{self, Left},
    files::{Access, Files, folder_of, make_folders},
    resume,
    system::FileSystem,
};

/// Makes ready to fetch what is missing beside `have`: folders, empty files, the space if `allocate` says so,
/// and the resume file, so that what lies there is known for ours from now on. What is there already is
/// synced before it is claimed: a killed run may have left it in the system's memory only.
///
/// # Errors
///
/// [`DiskError`] naming what could not be made, synced or written.
pub fn to_fetch<S: FileSystem>(
    files: &Files<S>,
    torrent: &Metainfo,
    resume_file: &Path,
    have: &Bitfield,
    allocate: bool,
) -> Result<(), DiskError> {
    let mut files = files.again(Access::Write);
    make_folders(&files.system, folder_of(resume_file))?;
    files.create_empty_files()?;
    if have.count() > 0 {
        files.sync_all()?;
    }
    let stamps = resume::stamps_of(&files)?;
    resume::save(&files.system, resume_file, torrent.info_hash, have, &stamps)?;
    if allocate {
        files.allocate()?;
    }
    Ok(())
}

/// Makes sure that content that is whole stays so, with its links and what may be run, and removes its resume
/// file.
///
/// # Errors
///
/// [`DiskError`] naming what could not be made, synced or removed.
pub fn with_all<S: FileSystem>(files: &Files<S>, resume_file: &Path) -> Result<Left, DiskError> {
    let mut files = files.again(Access::Write);
    files.create_empty_files()?;
    let left = attributes::apply(&mut files)?;
    files.sync_all()?;
    resume::remove(&files.system, resume_file)?;
    Ok(left)
}
