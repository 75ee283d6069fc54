//! The content to another place while the session runs.

use super::{Kept, Running, resume_path};
use crate::{
    disk::{
        files::Files,
        keeper::{Keeper, Unkept},
        moving, resume,
        system::System,
        writer::Writer,
    },
    session::{Place, SessionConfig, SessionError, What},
};

impl Running {
    /// Moves the content: waits for what is being written, moves the files, and goes on with them.
    pub(super) async fn relocate(&mut self, place: Place) {
        self.shared.turn(|core, _| {
            core.world.flush();
            core.world.is_moving = true;
        });
        if !self.settled().await {
            return;
        }
        let fetches = self.shared.turn(|core, _| core.world.writer.is_some());
        if fetches && !self.is_kept {
            // What lies there is synced, so that the new place needs nothing of the old one.
            self.keep(Kept::Part);
            if !self.settled().await {
                return;
            }
        }
        let mut fresh = self.config.clone();
        fresh.place = place;
        let is_in_doubt = self.shared.turn(|core, _| core.world.is_in_doubt);
        let moved = if is_in_doubt {
            let reason = "the disk does not keep what was written here".to_owned();
            What::MoveFailed { reason }
        } else {
            match self.move_files(fresh).await {
                Ok(place) => What::Moved { place },
                Err(error) => What::MoveFailed {
                    reason: error.to_string(),
                },
            }
        };
        self.shared.turn(|core, _| {
            core.world.is_moving = false;
            core.world.tell(moved);
            core.world.flush();
        });
    }

    /// Waits until the writer has nothing to do; `false` if it is gone.
    pub(super) async fn settled(&mut self) -> bool {
        while self.shared.turn(|core, _| core.world.jobs) > 0 || self.keeping.is_some() {
            let Some(report) = self.reports.recv().await else {
                return false;
            };
            self.report(report);
        }
        true
    }

    /// Moves the files to the place that `fresh` names, and has reader and writer use them there.
    async fn move_files(&mut self, fresh: SessionConfig) -> Result<Place, SessionError> {
        let info = &fresh.torrent.info;
        let (access, old) = self.shared.turn(|core, _| {
            let files = &core.world.files;
            (files.access(), files.again(files.access()))
        });
        let new = Files::new(old.layout().clone(), &fresh.place, &info.name, access);
        let target = new.again(access);
        let moving = tokio::task::spawn_blocking(move || moving::move_content(&old, &target));
        let moved = moving.await;
        moved.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))?;

        let (old_resume, resume_file) = (resume_path(&self.config), resume_path(&fresh));
        self.config.place = fresh.place.clone();
        let have = self.shared.turn(|core, _| {
            core.world.files = new.again(access);
            core.torrent.have().clone()
        });
        if self.shared.turn(|core, _| core.world.writer.is_some()) {
            let torrent = &fresh.torrent;
            // The files are there already; if this cannot be written, the next run checks them.
            let saved = if have.is_full() {
                Ok(())
            } else {
                let save = |stamps: Vec<u8>| {
                    resume::save(&System, &resume_file, torrent.info_hash, &have, &stamps)
                };
                resume::stamps_of(&new).and_then(save)
            };
            let keeper = Keeper::new(&new, torrent.clone(), resume_file, have);
            // If it stays, it is one that no file fits.
            if old_resume != resume_path(&fresh) {
                let _ = resume::remove(&System, &old_resume);
            }
            let report = self.report.clone();
            let report = move |what| drop(report.send(what));
            let writer = Writer::start(&new, torrent, keeper, report);
            let writer = writer.map_err(SessionError::Start)?;
            self.shared.turn(|core, _| {
                core.world.writer = Some(writer);
                // Before anything of the same pieces: the new threads do not know what is missing.
                let refused = std::mem::take(&mut core.world.refused);
                core.world.write(refused);
                if let Err(error) = saved {
                    core.world.keep_refused(&Unkept {
                        error,
                        in_doubt: false,
                        lost: Vec::new(),
                    });
                }
            });
        }
        Ok(fresh.place)
    }
}
