//! The resume file: which pieces are verified, kept across runs.
//!
//! It lies beside the content as `NAME.skep-resume` and is gone once the content is whole:
//!
//! ```text
//! body = canonical bencode { "files": 16 bytes a file, "info-hash": 20 bytes, "pieces": bitfield,
//!                            "version": 1 }
//! file = body | SHA-256(body)
//! ```
//!
//! A file's 16 bytes are its length and its modification time in nanoseconds since 1970, both
//! big-endian; sixteen times 0xff for a file that is not there.
//!
//! **Rule of validity.** The claim is written only after the content that it claims was synced, by
//! replacing the file as a whole. It is believed only if the digest and the info-hash fit and every
//! file has the length and the time written here. Otherwise everything is hashed again: after a
//! kill the times differ, the check finds every piece that was written, and none is fetched twice.

use std::{
    io::{ErrorKind, IoSlice},
    path::{Path, PathBuf},
};

use skep_hash::sha256;
use skep_wire::{
    Bitfield, InfoHash, PieceIndex,
    bencode::{self, Dict},
    metainfo::Metainfo,
};

use super::{
    DiskError,
    files::{Files, Stamp, folder_of, read_whole, sync_folder, write_whole},
    system::{FileSystem, How, OpenFile as _},
};

/// What the name of a resume file ends with.
pub const SUFFIX: &str = ".skep-resume";

/// Longer resume files are not believed: one of a torrent of a million files has 16 MB.
const BYTES_MAX: u64 = 64 << 20;

const VERSION: i64 = 1;
const STAMP_LEN: usize = 16;
const ABSENT: [u8; STAMP_LEN] = [0xff; STAMP_LEN];
const DIGEST_LEN: usize = 32;

/// Where the resume file of the torrent `name` lies whose content lies in `dir`.
pub fn path_in(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("{name}{SUFFIX}"))
}

/// What a resume file says, as far as it may be believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Believed {
    /// Pieces that are there: synced before the claim, in files that nobody has touched since.
    pub have: Bitfield,
    /// Pieces of files that were touched since: only their hashes can tell.
    pub doubtful: Bitfield,
}

/// Returns what the resume file at `path` claims of the files that are as they were then.
///
/// # Errors
///
/// [`DiskError`] if a file of the content cannot be looked at. A resume file that is missing,
/// damaged or of another torrent is no error: there is nothing to believe.
pub fn load<S: FileSystem>(
    path: &Path,
    torrent: &Metainfo,
    files: &Files<S>,
) -> Result<Option<Believed>, DiskError> {
    let Some(bytes) = read(&files.system, path) else {
        return Ok(None);
    };
    let Some((stamps, pieces)) = decode(&bytes, torrent.info_hash, torrent.info.piece_count())
    else {
        return Ok(None);
    };
    let now = stamps_of(files)?;
    if stamps.len() != now.len() {
        return Ok(None);
    }
    let info = &torrent.info;
    let mut doubtful = Bitfield::empty(info.piece_count());
    let stamps = stamps.as_chunks::<STAMP_LEN>().0.iter();
    let now = now.as_chunks::<STAMP_LEN>().0.iter();
    let changed = stamps.zip(now).zip(files.layout().files());
    for (_, slot) in changed.filter(|((then, now), slot)| then != now && slot.len > 0) {
        let piece_len = u64::from(info.piece_len);
        let last = (slot.offset + slot.len - 1) / piece_len;
        for piece in slot.offset / piece_len..=last {
            doubtful.insert(PieceIndex(piece as u32));
        }
    }
    let mut have = Bitfield::empty(info.piece_count());
    for piece in pieces.iter().filter(|&piece| !doubtful.has(piece)) {
        have.insert(piece);
    }
    Ok(Some(Believed { have, doubtful }))
}

/// The bytes of a resume file, unless it cannot be read, is a link, or is too long to be one.
fn read<S: FileSystem>(system: &S, path: &Path) -> Option<Vec<u8>> {
    let dir = system.open_folder(folder_of(path)).ok()?;
    let file = system.open_in(&dir, path.file_name()?, How::Read).ok()?;
    let look = file.look().ok()?;
    let len = look.len.min(BYTES_MAX);
    let mut bytes = vec![0; usize::try_from(len).ok()?];
    let is_whole = look.is_file && read_whole(&file, &mut bytes, 0).ok()?;
    is_whole.then_some(bytes)
}

/// Replaces the resume file. The caller promises that the content of `pieces` has been synced, and
/// that `stamps` were taken before any later write.
///
/// # Errors
///
/// [`DiskError`] naming the resume file.
pub fn save(
    system: &impl FileSystem,
    path: &Path,
    info_hash: InfoHash,
    pieces: &Bitfield,
    stamps: &[u8],
) -> Result<(), DiskError> {
    let mut bytes = Dict::new()
        .with("files", stamps.to_vec())
        .with("info-hash", info_hash.0.to_vec())
        .with("pieces", pieces.as_bytes().to_vec())
        .with("version", VERSION)
        .encode();
    bytes.extend_from_slice(&sha256(&bytes).0);

    let fresh = path.with_extension("skep-resume.new");
    // What lies there is the rest of a run that was killed, or a trap; it is not written through.
    let _ = system.remove(&fresh);
    let written = write_new(system, &fresh, &bytes).and_then(|()| {
        system
            .replace(&fresh, path)
            .map_err(DiskError::io("replace", path))
    });
    if written.is_err() {
        // On a full disk not even its name should stay.
        let _ = system.remove(&fresh);
    }
    written?;
    sync_folder(system, folder_of(path))
}

fn write_new(system: &impl FileSystem, path: &Path, bytes: &[u8]) -> Result<(), DiskError> {
    let file = system
        .open(path, How::New)
        .map_err(DiskError::io("create", path))?;
    write_whole(&file, &mut [IoSlice::new(bytes)], 0).map_err(DiskError::io("write", path))?;
    file.sync().map_err(DiskError::io("sync", path))
}

/// Removes the resume file, if there is one.
///
/// # Errors
///
/// [`DiskError`] naming it.
pub fn remove(system: &impl FileSystem, path: &Path) -> Result<(), DiskError> {
    match system.remove(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(DiskError::io("remove", path)(error))
        }
        _ => Ok(()),
    }
}

/// Lengths and times of all files as the resume file holds them.
///
/// # Errors
///
/// [`DiskError`] if one cannot be looked at.
pub fn stamps_of(files: &Files<impl FileSystem>) -> Result<Vec<u8>, DiskError> {
    let count = files.layout().files().len();
    let mut bytes = Vec::with_capacity(STAMP_LEN * count);
    for file in 0..count {
        match files.stamp(file)? {
            Some(Stamp { len, modified_ns }) => {
                bytes.extend_from_slice(&len.to_be_bytes());
                bytes.extend_from_slice(&modified_ns.to_be_bytes());
            }
            None => bytes.extend_from_slice(&ABSENT),
        }
    }
    Ok(bytes)
}

fn decode(bytes: &[u8], info_hash: InfoHash, piece_count: u32) -> Option<(Vec<u8>, Bitfield)> {
    let (body, digest) = bytes.split_at_checked(bytes.len().checked_sub(DIGEST_LEN)?)?;
    if sha256(body).0 != digest {
        return None;
    }
    let node = bencode::decode(body, bencode::Limits::CANONICAL).ok()?;
    let fits = node.get_int("version") == Some(VERSION)
        && node.get_bytes("info-hash") == Some(&info_hash.0[..]);
    let pieces = Bitfield::from_bytes(node.get_bytes("pieces")?, piece_count).ok()?;
    fits.then_some((node.get_bytes("files")?.to_vec(), pieces))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use skep_wire::metainfo::{self, Attr, Draft, Info, Version};

    use super::*;
    use crate::{
        disk::{files::Access, layout::Layout, system::System},
        session::Place,
    };

    struct Case {
        dir: tempfile::TempDir,
        torrent: Metainfo,
        files: Files,
        claim: Bitfield,
    }

    fn case() -> Case {
        let dir = tempfile::tempdir().expect("temporary folder");
        let info = Info {
            version: Version::V1,
            pieces_v2: Vec::new(),
            name: "t".into(),
            piece_len: 16_384,
            pieces: vec![skep_hash::sha1(b"x"); 3],
            files: vec![metainfo::File {
                path: Vec::new(),
                len: 40_000,
                offset: 0,
                padding: false,
                root: None,
                attr: Attr::default(),
            }],
            single_file: true,
            private: false,
            source: None,
            size_bytes: 40_000,
        };
        let draft = Draft {
            info,
            tiers: Vec::new(),
            web_seeds: Vec::new(),
            comment: None,
            created_by: None,
            creation_date: None,
        };
        let torrent = Metainfo::from_bytes(&draft.encode().expect("encoded")).expect("read");
        let layout = Arc::new(Layout::of(&torrent.info));
        let place = Place::Under(dir.path().to_owned());
        let mut files = Files::new(layout, &place, "t", Access::Write);
        files.write_at(0, &[1; 16_384]).expect("written");
        let mut claim = Bitfield::empty(3);
        claim.insert(PieceIndex(0));
        Case {
            dir,
            torrent,
            files,
            claim,
        }
    }

    impl Case {
        fn path(&self) -> PathBuf {
            path_in(self.dir.path(), "t")
        }

        fn save(&self) {
            let stamps = stamps_of(&self.files).expect("stamped");
            save(
                &System,
                &self.path(),
                self.torrent.info_hash,
                &self.claim,
                &stamps,
            )
            .expect("saved");
        }

        fn load(&self) -> Option<Believed> {
            load(&self.path(), &self.torrent, &self.files).expect("looked at")
        }

        fn believed(&self) -> Option<Believed> {
            let (have, doubtful) = (self.claim.clone(), Bitfield::empty(3));
            Some(Believed { have, doubtful })
        }

        fn doubted(&self) -> Option<Believed> {
            let mut doubtful = Bitfield::empty(3);
            for n in 0..3 {
                doubtful.insert(PieceIndex(n));
            }
            let have = Bitfield::empty(3);
            Some(Believed { have, doubtful })
        }
    }

    #[test]
    fn what_was_saved_is_believed_while_the_files_are_as_they_were() {
        let case = case();
        assert_eq!(case.load(), None);
        case.save();
        assert_eq!(case.load(), case.believed());
        case.save();
        assert_eq!(
            case.load(),
            case.believed(),
            "replacing an older one works too"
        );
        remove(&System, &case.path()).expect("removed");
        remove(&System, &case.path()).expect("removing nothing is no error");
        assert_eq!(case.load(), None);
    }

    #[test]
    fn a_file_touched_since_makes_its_pieces_doubtful() {
        let mut case = case();
        case.save();
        case.files.write_at(20_000, b"later").expect("written");
        let file = std::fs::File::options()
            .write(true)
            .open(case.dir.path().join("t"))
            .expect("opened");
        file.set_modified(std::time::SystemTime::now())
            .expect("touched");
        assert_eq!(case.load(), case.doubted());
    }

    #[test]
    fn a_missing_file_makes_its_pieces_doubtful() {
        let case = case();
        case.save();
        std::fs::remove_file(case.dir.path().join("t")).expect("removed");
        assert_eq!(case.load(), case.doubted());
    }

    /// Every byte of the file, changed one at a time.
    #[test]
    fn no_damaged_claim_is_believed() {
        let case = case();
        case.save();
        let whole = std::fs::read(case.path()).expect("read");
        for n in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[n] ^= 1;
            std::fs::write(case.path(), &damaged).expect("written");
            assert_eq!(case.load(), None, "byte {n}");
            std::fs::write(case.path(), &whole[..n]).expect("written");
            assert_eq!(case.load(), None, "cut at {n}");
        }
    }
}
