//! Asking and serving: request windows, slow peers, slots.

use std::time::Duration;

use skep_wire::{Block, Moment};

use super::{
    CHOKE_RATE_SECS, PeerKey, REFUSED_PAUSE_SECS, RELIEF_MS, Torrent,
    choker::{Contender, Mode},
    peer::RATE_SECS,
    picker::Asker,
};

impl Torrent {
    /// Asks every peer that has room in its window; those that do not deliver get what is left.
    pub(super) fn ask_all(&mut self, now: Moment) {
        let all = self.peers.iter();
        let mut keys: Vec<(bool, PeerKey)> = all
            .map(|(&peer, entry)| (entry.is_silent(now), peer))
            .collect();
        keys.sort_unstable();
        keys.into_iter().for_each(|(_, peer)| self.ask(peer, now));
    }

    /// Fills the peer's window with requests.
    pub(super) fn ask(&mut self, peer: PeerKey, now: Moment) {
        if !self.config.fetch {
            return;
        }
        while let Some(entry) = self.peers.get_mut(&peer) {
            let chokes_us = entry.conn.peer_chokes_us();
            let blocked = chokes_us && entry.conn.allowed_fast().is_empty();
            let room = entry.conn.outstanding_count() < entry.window(now);
            if blocked || !room || entry.wanted == 0 || now < entry.paused_until {
                return;
            }
            let asker = Asker {
                peer,
                pieces: &entry.conn.peer_pieces().0,
                only: chokes_us.then(|| entry.conn.allowed_fast()),
                parole: entry.parole,
                current: entry.current,
            };
            let blame = &self.blame;
            let picked = self
                .picker
                .pick(asker, |piece| blame.is_suspect(piece), now);
            let Some(block) = picked.or_else(|| self.relieve(peer, now)) else {
                return;
            };
            let Some(entry) = self.peers.get_mut(&peer) else {
                return;
            };
            if !entry.conn.request(block, now) {
                return;
            }
            self.picker.ask(block, peer);
            entry.current = Some(block.piece);
            entry.window.asked(block, now);
            entry.owes_since.get_or_insert(now);
            entry.silent_since.get_or_insert(now);
            if entry.snubs_us {
                // It may prove itself by one block, but holds no piece up.
                self.picker.disown(peer);
            }
            self.touch(peer);
        }
    }

    /// Finds a block for a peer that has nothing to do: the last in the queue of the peer whose queue
    /// takes longest, if this one would send it in half the time. It is taken back from there, so
    /// that it is not sent twice. Of the last block in a queue, which may be on its way, a copy is
    /// asked for instead, and only in the end game, when every piece is under way that may be; if it
    /// was asked of enough peers already, it is taken back from this one all the same.
    ///
    /// A peer that has owed blocks for a while and sent none gets none: silent ones would take what is
    /// left from each other, over and over, and it would look late nowhere.
    fn relieve(&mut self, peer: PeerKey, now: Moment) -> Option<Block> {
        let entry = self.peers.get(&peer)?;
        if entry.conn.outstanding_count() > 0 || entry.is_silent(now) {
            return None;
        }
        let chokes_us = entry.conn.peer_chokes_us();
        let asker = Asker {
            peer,
            pieces: &entry.conn.peer_pieces().0,
            only: chokes_us.then(|| entry.conn.allowed_fast()),
            parole: entry.parole,
            current: None,
        };
        let own_ms = entry.queue_ms(1, now).unwrap_or(RELIEF_MS);
        let mut worst: Option<(u64, PeerKey, Block, bool)> = None;
        for (&other, busy) in self.peers.iter().filter(|&(&key, _)| key != peer) {
            let count = busy.conn.outstanding_count();
            let owes_ms = busy
                .owes_since
                .map_or(0, |since| now.since(since).as_millis() as u64);
            let wait_ms = match busy.queue_ms(count, now) {
                Some(wait_ms) => wait_ms.max(owes_ms),
                None if owes_ms >= RELIEF_MS => u64::MAX,
                None => continue,
            };
            let is_last = count == 1;
            let too_soon = is_last && (owes_ms < RELIEF_MS || !self.picker.is_end_game());
            let slower = wait_ms > own_ms.saturating_mul(2).saturating_add(RELIEF_MS / 2);
            if count == 0 || too_soon || !slower || worst.is_some_and(|(most, ..)| most >= wait_ms)
            {
                continue;
            }
            let Some(block) = busy.conn.outstanding().last() else {
                continue;
            };
            if self.picker.may_share(asker, block) {
                worst = Some((wait_ms, other, block, is_last));
            }
        }
        let (_, other, block, is_last) = worst?;
        if !is_last || !self.picker.may_copy(block) {
            let busy = self.peers.get_mut(&other)?;
            busy.conn.cancel(block, now);
            busy.window.lost(block);
            self.picker.release(block, other, now);
            self.touch(other);
        }
        Some(block)
    }

    /// The peer owes us blocks and sends none: others are asked for them.
    pub(super) fn snubbed(&mut self, peer: PeerKey, now: Moment) {
        let Some(entry) = self.peers.get_mut(&peer) else {
            return;
        };
        entry.snubs_us = true;
        entry.owes_since = None;
        let owed: Vec<Block> = entry.conn.outstanding().collect();
        for block in owed {
            entry.conn.cancel(block, now);
            entry.window.lost(block);
            self.picker.release(block, peer, now);
        }
        self.picker.disown(peer);
        self.work_freed = true;
        self.touch(peer);
    }

    pub(super) fn peer_refused(&mut self, peer: PeerKey, block: Block, now: Moment) {
        self.picker.release(block, peer, now);
        if let Some(entry) = self.peers.get_mut(&peer) {
            entry.window.lost(block);
            if entry.conn.outstanding_count() == 0 {
                entry.owes_since = None;
            }
            if !entry.conn.peer_chokes_us() {
                entry.paused_until = now + Duration::from_secs(REFUSED_PAUSE_SECS);
            }
            self.picker.disown(peer);
        }
        self.work_freed = true;
    }

    /// Hands the peer's next requests to the driver, as far as its window allows.
    pub(super) fn serve(&mut self, peer: PeerKey, now: Moment) {
        while let Some(entry) = self.peers.get_mut(&peer)
            && entry.in_flight < entry.upload_window(self.config.upload_window, now)
        {
            let next = entry.conn.peer_requests().next();
            let Some(block) = next else { return };
            if self.picker.have().has(block.piece) {
                entry.conn.send_block(block, now);
                entry.in_flight += 1;
            } else {
                entry.conn.reject(block, now);
            }
            self.touch(peer);
        }
    }

    /// Lets further peers fetch while slots are free.
    pub(super) fn fill_slots(&mut self, now: Moment) {
        let contenders = self.contenders(now);
        let more = self
            .choker
            .fill(&contenders, self.config.upload_slots, &mut self.rng);
        more.into_iter()
            .for_each(|peer| self.set_choked(peer, false, now));
    }

    pub(super) fn choke_round(&mut self, now: Moment) {
        let contenders = self.contenders(now);
        let mode = if self.is_done() {
            Mode::Serving
        } else {
            Mode::Fetching
        };
        let slots = self.config.upload_slots;
        let chosen = self
            .choker
            .round(&contenders, slots, mode, &mut self.rng, now);
        let keys: Vec<PeerKey> = self.peers.keys().copied().collect();
        for peer in keys {
            self.set_choked(peer, !chosen.contains(&peer), now);
        }
    }

    fn set_choked(&mut self, peer: PeerKey, choked: bool, now: Moment) {
        let Some(entry) = self.peers.get_mut(&peer) else {
            return;
        };
        if entry.conn.is_open() && entry.conn.we_choke_peer() != choked {
            entry.conn.set_peer_choked(choked, now);
            entry.turned_at = now;
            self.touch(peer);
        }
    }

    fn contenders(&self, now: Moment) -> Vec<Contender> {
        let open = self.peers.iter().filter(|(_, entry)| entry.conn.is_open());
        let interested = open.filter(|(_, entry)| entry.conn.peer_is_interested());
        interested
            .map(|(&peer, entry)| Contender {
                peer,
                opened_at: entry.opened_at.unwrap_or(entry.since),
                unchoked: !entry.conn.we_choke_peer(),
                turned_at: entry.turned_at,
                gave: match entry.snubs_us {
                    true => 0,
                    false => entry.down.per_sec(CHOKE_RATE_SECS, now),
                },
                takes: entry.up.per_sec(RATE_SECS, now),
            })
            .collect()
    }
}
