//! Answers to peers that ask for hashes of files' trees (BEP 52). They may take reading megabytes, so they
//! are made one at a time beside the event loop.

use std::{collections::VecDeque, rc::Rc, time::Duration};

use skep_wire::peer::HashRequest;
use tokio::sync::Notify;

use super::{PeerKey, core::Shared};
use crate::disk::tree::Trees;

/// A peer that lets so many bytes wait is not answered before it reads.
const WAITING_BYTES_MAX: u64 = 1 << 20;

/// How long to wait before looking again whether it has read.
const PAUSE: Duration = Duration::from_millis(100);

/// What peers ask for and were not told yet. The machine gives at most one request of each.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    pub(super) queue: VecDeque<(PeerKey, HashRequest)>,
    pub(super) is_there: Rc<Notify>,
}

/// Answers for as long as the session lives.
pub(super) async fn answer(shared: Shared) {
    let (wanted, torrent) = shared.turn(|core, _| {
        let world = &core.world;
        (world.hashes.is_there.clone(), world.torrent_file.clone())
    });
    let mut trees = Trees::of(&torrent.info);
    loop {
        wanted.notified().await;
        let mut late = Vec::new();
        while let Some((peer, request)) = shared.turn(|core, _| core.world.hashes.queue.pop_front())
        {
            let (waiting, have, mut files) = shared.turn(|core, _| {
                let line = core.world.lines.get(&peer);
                let waiting = line.map_or(0, |line| line.out.waiting_bytes());
                let files = &core.world.files;
                (
                    waiting,
                    core.torrent.have().clone(),
                    files.again(files.access()),
                )
            });
            if waiting > WAITING_BYTES_MAX {
                late.push((peer, request));
                continue;
            }
            let torrent = torrent.clone();
            let work = move || {
                let answer = trees.answer(&torrent.info, &have, &mut files, &request);
                (trees, answer)
            };
            let done = tokio::task::spawn_blocking(work).await;
            let (back, answer) =
                done.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
            trees = back;
            // A file that cannot be read is told of when its bytes are wanted.
            let answer = answer.ok().flatten();
            shared.turn(|core, now| {
                core.torrent
                    .handle_hashes(peer, request, answer.as_deref(), now);
            });
        }
        if !late.is_empty() {
            tokio::time::sleep(PAUSE).await;
            shared.turn(|core, _| core.world.hashes.queue.extend(late));
            wanted.notify_one();
        }
    }
}
