//! What makes verified pieces last: sync, then the resume file.
//!
//! **After a sync that failed** the system may hold bytes in memory that the disk never got and that it will
//! not write again: they read right, the next sync succeeds, and a power cut loses them. So nothing that was
//! written since the last good sync is believed any more. The system is told to forget what it holds, the
//! pieces in question are hashed again from what the disk then gives, and only then is there a claim. What
//! is lost is fetched again.

use std::{path::PathBuf, sync::Arc};

use skep_wire::{Bitfield, PieceIndex, metainfo::Metainfo};

use super::{
    DiskError,
    attributes::{self, Left},
    check::{self, Watch},
    files::{Access, Files},
    resume,
    system::{FileSystem, System},
    writer::Keep,
};

/// What keeps the claims of one session.
#[derive(Debug)]
pub struct Keeper<S: FileSystem = System> {
    files: Files<S>,
    torrent: Arc<Metainfo>,
    resume_file: PathBuf,
    /// Pieces that a sync has made last.
    safe: Bitfield,
    /// Whether a sync has failed since.
    in_doubt: bool,
    /// What was found when the links of whole content were made, until somebody asks.
    left: Option<Left>,
}

/// Why a claim is not kept.
#[derive(Debug)]
pub struct Unkept {
    /// What the disk refused.
    pub error: DiskError,
    /// Whether that was a sync: then what was hashed of pieces that are not whole is to be forgotten, for what
    /// was written of them may be lost.
    pub in_doubt: bool,
    /// Pieces of the claim that are lost, as far as that could be found out.
    pub lost: Vec<PieceIndex>,
}

impl<S: FileSystem> Keeper<S> {
    /// A keeper for files of which the pieces `safe` are synced.
    pub fn new(
        files: &Files<S>,
        torrent: Arc<Metainfo>,
        resume_file: PathBuf,
        safe: Bitfield,
    ) -> Self {
        Self {
            files: files.again(Access::Write),
            torrent,
            resume_file,
            safe,
            in_doubt: false,
            left: None,
        }
    }

    /// Makes a claim last. Returns the pieces of it that the disk has lost, which are not claimed: only after
    /// a sync that failed are there any.
    ///
    /// # Errors
    ///
    /// [`Unkept`], naming the file that could not be synced, read or written. Nothing new is claimed.
    pub fn keep(&mut self, keep: &Keep) -> Result<Vec<PieceIndex>, Unkept> {
        let mut claim = match keep {
            Keep::Pieces(pieces) => pieces.clone(),
            Keep::Whole => Bitfield::full(self.torrent.info.piece_count()),
        };
        let was_in_doubt = self.in_doubt;
        self.try_keep(keep, &mut claim).map_err(|error| {
            let lost = if self.in_doubt && !was_in_doubt {
                // What cannot be read now is looked at before the next claim.
                self.lost_of(&claim).unwrap_or_default()
            } else {
                Vec::new()
            };
            Unkept {
                error,
                in_doubt: self.in_doubt,
                lost,
            }
        })
    }

    /// What was not made as the torrent says, if the last claim was of all and links were made.
    pub fn take_left(&mut self) -> Option<Left> {
        self.left.take()
    }

    fn try_keep(
        &mut self,
        keep: &Keep,
        claim: &mut Bitfield,
    ) -> Result<Vec<PieceIndex>, DiskError> {
        let lost = if self.in_doubt {
            self.lost_of(claim)?
        } else {
            Vec::new()
        };
        for &piece in &lost {
            claim.remove(piece);
        }
        let is_whole = *keep == Keep::Whole && lost.is_empty();
        if is_whole {
            self.left = Some(attributes::apply(&mut self.files)?);
        }
        if let Err(error) = self.files.sync_all() {
            self.in_doubt = true;
            self.files.forget_cached()?;
            return Err(error);
        }
        self.in_doubt = false;
        self.safe = claim.clone();
        let system = &self.files.system;
        if is_whole {
            resume::remove(system, &self.resume_file)?;
        } else {
            let stamps = resume::stamps_of(&self.files)?;
            let info_hash = self.torrent.info_hash;
            resume::save(system, &self.resume_file, info_hash, claim, &stamps)?;
        }
        Ok(lost)
    }

    /// The pieces of a claim that are not safe and do not have their hashes on the disk.
    fn lost_of(&self, claim: &Bitfield) -> Result<Vec<PieceIndex>, DiskError> {
        let mut doubtful = claim.clone();
        for piece in self.safe.iter() {
            doubtful.remove(piece);
        }
        let info = &self.torrent.info;
        let found = check::pieces_there(&self.files, info, Some(&doubtful), &Watch::default())?;
        let lost = doubtful.iter().filter(|&piece| !found.there.has(piece));
        Ok(lost.collect())
    }
}
