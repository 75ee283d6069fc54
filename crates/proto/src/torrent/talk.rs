//! What a connection's events do to the torrent.

use std::net::SocketAddr;

use skep_wire::{
    Bitfield, InfoHash, Moment, PeerId, PieceIndex, Said,
    peer::{
        Reserved,
        ext::{ExtHandshake, LT_DONTHAVE, Pex, UT_PEX},
    },
    piece::BLOCK_LEN,
};

use super::{
    BanReason, BlockDigests, Event, PeerKey, SNUB_DROP_SECS, SNUB_SECS, Source, TWIN_SECS, Torrent,
    USELESS_SECS,
    book::{Name, Outcome},
    peer::RATE_SECS,
};
use crate::peer::{Event as Heard, PeerConfig, REQUESTS_IN_OFFERED, Violation, Why};

/// The id under which we want to receive peer exchange.
const PEX_ID: u8 = 1;

/// The id under which we want to hear that a peer has a piece no longer.
const DONT_HAVE_ID: u8 = 2;

impl Torrent {
    /// For a connection that we dialled by this name of the torrent, or that came in.
    pub(super) fn peer_config(&self, remote: SocketAddr, dialled: Option<InfoHash>) -> PeerConfig {
        let info_hashes = self.config.info_hashes;
        PeerConfig {
            info_hashes,
            info_hash: dialled.unwrap_or(info_hashes.first()),
            peer_id: self.config.peer_id,
            reserved: Reserved::OURS,
            sizes: self.config.sizes.clone(),
            ext: Some(self.ext_handshake(remote)),
            outgoing: dialled.is_some(),
            have: Some(self.picker.have().clone()),
        }
    }

    fn ext_handshake(&self, remote: SocketAddr) -> ExtHandshake {
        let mut ids = vec![(LT_DONTHAVE.to_vec(), DONT_HAVE_ID)];
        if !self.config.private {
            ids.push((UT_PEX.to_vec(), PEX_ID));
        }
        ExtHandshake {
            ids,
            client: Some(self.config.client.clone().into_bytes()),
            listen_port: self.config.listen_port,
            requests_max: Some(REQUESTS_IN_OFFERED),
            upload_only: self.is_done().then_some(true),
            metadata_size: None,
            your_ip: Some(remote.ip()),
        }
    }

    pub(super) fn take_event(&mut self, peer: PeerKey, event: Heard, now: Moment) {
        match event {
            Heard::Opened { peer_id, .. } => self.peer_opened(peer, peer_id, now),
            Heard::Extended(ext) => self.peer_extended(peer, ext, now),
            Heard::HasSet { pieces, .. } => self.peer_has_set(peer, &pieces.0, now),
            Heard::Has { piece } => self.peer_has(peer, piece.0, now),
            Heard::HasNoLonger { piece } => self.peer_lost(peer, piece.0, now),
            Heard::PeerWantsHashes(_) => self.serve_hashes(peer, now),
            Heard::PeerUnchokedUs => self.ask(peer, now),
            Heard::PeerChokedUs => {
                self.picker.disown(peer);
                if let Some(entry) = self.peers.get_mut(&peer) {
                    entry.silent_since = None;
                }
            }
            Heard::PeerInterested | Heard::PeerNotInterested => {
                self.slot_freed = true;
                self.mark_useless(peer, now);
            }
            Heard::PeerRequested(_) => self.serve(peer, now),
            Heard::RequestRefused(block) => self.peer_refused(peer, block, now),
            Heard::AllowedFast { .. } => self.ask(peer, now),
            Heard::BlockUnrequested(block) => {
                self.totals.wasted += u64::from(block.len);
                self.events.push_back(Event::BlockWasted { peer, block });
            }
            Heard::Pex(pex) => self.peer_named(peer, &pex, now),
            Heard::Closed { why } => self.peer_closed(peer, why, now),
            Heard::Hashes { request, hashes } => self.probe_heard(peer, request, &hashes.0, now),
            Heard::HashesRefused(request) => self.probe_refused(peer, request, now),
            // The block was taken in `handle_payload`; a cancelled request left its queue; nothing
            // follows from a suggestion, a DHT port or a message that we do not know.
            Heard::BlockArrived(_)
            | Heard::PeerCancelled(_)
            | Heard::Suggested { .. }
            | Heard::DhtPort(_)
            | Heard::UnknownMessage { .. } => {}
        }
    }

    fn peer_opened(&mut self, peer: PeerKey, peer_id: Said<PeerId>, now: Moment) {
        let Some(entry) = self.peers.get_mut(&peer) else {
            return;
        };
        entry.opened_at = Some(now);
        entry.peer_id = Some(peer_id);
        let addr = entry.addr;
        self.events.push_back(Event::Opened {
            peer,
            addr,
            peer_id,
        });
        if let Some(loser) = self.twin(peer, peer_id, now) {
            self.close_peer(loser, now);
        }
    }

    /// If there is another connection with the same peer at the same address: the one to close. Two
    /// peers that dial each other at once must decide alike, so then the connection stays that the
    /// lower peer id opened.
    fn twin(&self, peer: PeerKey, peer_id: Said<PeerId>, now: Moment) -> Option<PeerKey> {
        let this = self.peers.get(&peer)?;
        let (&other, twin) = self.peers.iter().find(|&(&key, entry)| {
            key != peer && entry.peer_id == Some(peer_id) && entry.addr.ip() == this.addr.ip()
        })?;
        let at_once = now.since(twin.since).as_secs() < TWIN_SECS;
        if !at_once || this.outgoing == twin.outgoing {
            return Some(peer);
        }
        let ours_stays = self.config.peer_id < peer_id.0;
        Some(if this.outgoing == ours_stays {
            other
        } else {
            peer
        })
    }

    fn peer_extended(&mut self, peer: PeerKey, ext: Said<ExtHandshake>, now: Moment) {
        let Some(entry) = self.peers.get_mut(&peer) else {
            return;
        };
        let Said(ext) = ext;
        if let Some(client) = ext.client {
            entry.client = Some(Said(String::from_utf8_lossy(&client).into_owned()));
        }
        if let Some(only) = ext.upload_only {
            entry.upload_only = only;
        }
        if let (Some(port), None) = (ext.listen_port, entry.listens_at) {
            let addr = SocketAddr::new(entry.addr.ip(), port);
            entry.listens_at = Some(addr);
            let said = entry.conn.peer_info_hash();
            let name = said.map_or(Name::First, |Said(hash)| self.name_of(hash));
            self.book.add(addr, Source::Incoming, name, now);
            self.book.set_busy(addr);
        }
        self.drop_if_useless(peer, now);
    }

    fn peer_has_set(&mut self, peer: PeerKey, pieces: &Bitfield, now: Moment) {
        let Some(entry) = self.peers.get_mut(&peer) else {
            return;
        };
        entry.counted = !pieces.is_full();
        entry.wanted = self.picker.wanted(pieces);
        self.picker.count_set(pieces);
        self.update_interest(peer, now);
        self.allow_fast(peer, now);
        self.drop_if_useless(peer, now);
        self.ask(peer, now);
    }

    fn peer_has(&mut self, peer: PeerKey, piece: PieceIndex, now: Moment) {
        let Some(entry) = self.peers.get_mut(&peer) else {
            return;
        };
        self.picker.count_have(piece);
        if !self.picker.have().has(piece) {
            entry.wanted += 1;
            self.update_interest(peer, now);
            self.ask(peer, now);
        }
        self.drop_if_useless(peer, now);
    }

    fn peer_lost(&mut self, peer: PeerKey, piece: PieceIndex, now: Moment) {
        let Some(entry) = self.peers.get_mut(&peer) else {
            return;
        };
        if entry.counted {
            self.picker.uncount_one(piece);
        } else {
            entry.counted = true;
            self.picker.count_set(&entry.conn.peer_pieces().0);
        }
        self.picker.disown_piece(piece, peer);
        self.work_freed = true;
        if !self.picker.have().has(piece) {
            entry.wanted = entry.wanted.saturating_sub(1);
            self.update_interest(peer, now);
        }
    }

    /// A piece of ours is gone.
    pub(super) fn lose(&mut self, piece: PieceIndex, now: Moment) {
        let was_done = self.is_done();
        if !self.picker.lose(piece) {
            return;
        }
        self.complete_at = None;
        let keys: Vec<PeerKey> = self.peers.keys().copied().collect();
        for peer in keys {
            let Some(addr) = self.peers.get(&peer).map(|entry| entry.addr) else {
                continue;
            };
            let ext = ExtHandshake {
                upload_only: Some(self.is_done()),
                ..self.ext_handshake(addr)
            };
            let Some(entry) = self.peers.get_mut(&peer) else {
                continue;
            };
            entry.conn.send_dont_have(piece, now);
            if was_done && ext.upload_only == Some(false) {
                entry.conn.send_ext_handshake(ext, now);
            }
            if entry.conn.peer_pieces().0.has(piece) {
                entry.wanted += 1;
            }
            self.update_interest(peer, now);
        }
        self.work_freed = true;
    }

    /// By which name of the torrent someone is known.
    pub(super) fn name_of(&self, info_hash: InfoHash) -> Name {
        match self.config.info_hashes.first() == info_hash {
            true => Name::First,
            false => Name::Second,
        }
    }

    pub(super) fn hash_of(&self, name: Name) -> InfoHash {
        let all = self.config.info_hashes;
        match name {
            Name::First => all.first(),
            Name::Second => all.v2().unwrap_or(all.first()),
        }
    }

    fn update_interest(&mut self, peer: PeerKey, now: Moment) {
        let fetch = self.config.fetch;
        if let Some(entry) = self.peers.get_mut(&peer) {
            entry.conn.set_interested(fetch && entry.wanted > 0, now);
            self.touch(peer);
            self.mark_useless(peer, now);
        }
    }

    fn mark_useless(&mut self, peer: PeerKey, now: Moment) {
        if let Some(entry) = self.peers.get_mut(&peer) {
            let useful = entry.conn.we_are_interested() || entry.conn.peer_is_interested();
            entry.useless_since = match useful {
                true => None,
                false => entry.useless_since.or(Some(now)),
            };
        }
    }

    /// Two that have everything have nothing to say to each other.
    fn drop_if_useless(&mut self, peer: PeerKey, now: Moment) {
        let drops = self.config.drop_seeds_when_complete && self.is_done();
        if drops
            && self
                .peers
                .get(&peer)
                .is_some_and(|entry| entry.fetches_nothing())
        {
            self.close_peer(peer, now);
        }
    }

    /// Whom a peer names is in the swarm in which it is itself.
    fn peer_named(&mut self, peer: PeerKey, pex: &Said<Pex>, now: Moment) {
        let entry = self.peers.get(&peer);
        let said = entry.and_then(|entry| entry.conn.peer_info_hash());
        let name = said.map_or(Name::First, |Said(hash)| self.name_of(hash));
        if !self.config.private {
            let added = pex.0.added.iter();
            added.for_each(|named| self.book.add(named.addr, Source::Pex, name, now));
        }
    }

    fn peer_closed(&mut self, peer: PeerKey, why: Why, now: Moment) {
        let Some(entry) = self.peers.remove(&peer) else {
            return;
        };
        for block in entry.conn.outstanding() {
            self.picker.release(block, peer, now);
        }
        self.picker.disown(peer);
        if entry.counted {
            self.picker.uncount(&entry.conn.peer_pieces().0);
        }
        let useless = self.is_done() && entry.fetches_nothing();
        let outcome = match &why {
            Why::Violation(Violation::OwnPeerId) => {
                entry
                    .listens_at
                    .into_iter()
                    .for_each(|addr| self.book.add_own(addr));
                Outcome::Useless
            }
            Why::Violation(_) => Outcome::Useless,
            Why::WeClosed | Why::PeerClosed if useless => Outcome::Useless,
            Why::PeerClosed | Why::WeClosed | Why::Idle | Why::Stalled => {
                let useful = entry.down_bytes > 0 || entry.up_bytes > 0;
                if useful {
                    Outcome::Ended
                } else {
                    Outcome::Failed
                }
            }
        };
        if let Some(addr) = entry.listens_at {
            self.book.release(addr, outcome, now);
            if entry.outgoing && entry.opened_at.is_none() {
                self.book.try_other_name(addr);
            }
        }
        self.probe_lost_peer(peer, now);
        self.work_freed = true;
        self.slot_freed = true;
        self.actions.push_back(super::Action::Close { peer });
        self.events.push_back(Event::Closed {
            peer,
            addr: entry.addr,
            why,
        });
    }

    /// What time does to a connection.
    pub(super) fn tick_peer(&mut self, peer: PeerKey, now: Moment) {
        let full = self.peers.len() >= self.config.peers_max;
        let Some(entry) = self.peers.get_mut(&peer) else {
            return;
        };
        entry.conn.handle_timeout(now);
        entry.window.tick(entry.down.per_sec(RATE_SECS, now));
        let long = |since: Option<_>, secs| {
            since.is_some_and(|since: Moment| now.since(since).as_secs() >= secs)
        };
        let silent = long(entry.silent_since, SNUB_DROP_SECS);
        let useless = full && long(entry.useless_since, USELESS_SECS) && entry.opened_at.is_some();
        if silent || useless {
            self.close_peer(peer, now);
        } else if long(entry.owes_since, SNUB_SECS) && entry.conn.outstanding_count() > 0 {
            self.snubbed(peer, now);
        }
        self.serve_hashes(peer, now);
    }

    /// A piece is there and good.
    pub(super) fn gain(
        &mut self,
        piece: PieceIndex,
        senders: &[SocketAddr],
        blocks: &BlockDigests,
        now: Moment,
    ) {
        self.events.push_back(Event::PieceVerified { piece });
        for (addr, at) in self.blame.clear(piece, blocks) {
            let size = self.picker.piece_size(piece);
            let begin = at as u32 * BLOCK_LEN;
            let len = BLOCK_LEN.min(size.saturating_sub(begin));
            let block = skep_wire::Block { piece, begin, len };
            self.ban(addr, BanReason::SentBadBlock(block), now);
        }
        let lone = senders
            .first()
            .filter(|first| senders.iter().all(|s| s == *first))
            .copied();
        let keys: Vec<PeerKey> = self.peers.keys().copied().collect();
        for peer in keys {
            let Some(entry) = self.peers.get_mut(&peer) else {
                continue;
            };
            entry.parole &= lone != Some(entry.addr);
            entry.conn.send_have(piece, now);
            if entry.conn.peer_pieces().0.has(piece) {
                entry.wanted = entry.wanted.saturating_sub(1);
            }
            self.update_interest(peer, now);
        }
        if self.picker.is_complete() && self.complete_at.is_none() {
            self.complete(now);
        }
    }

    fn complete(&mut self, now: Moment) {
        self.complete_at = Some(now);
        self.events.push_back(Event::Complete);
        let keys: Vec<PeerKey> = self.peers.keys().copied().collect();
        for peer in keys {
            if let Some(addr) = self.peers.get(&peer).map(|entry| entry.addr) {
                let ext = self.ext_handshake(addr);
                if let Some(entry) = self.peers.get_mut(&peer) {
                    entry.conn.send_ext_handshake(ext, now);
                    self.touch(peer);
                }
            }
            self.drop_if_useless(peer, now);
        }
    }

    /// A piece is bad.
    pub(super) fn fail(
        &mut self,
        piece: PieceIndex,
        senders: Vec<SocketAddr>,
        blocks: &BlockDigests,
        now: Moment,
    ) {
        self.totals.failed += u64::from(self.picker.piece_size(piece));
        if let Some(lone) = self.blame.fail(piece, &senders, blocks) {
            self.ban(lone, BanReason::SentBadPiece(piece), now);
        } else {
            for entry in self
                .peers
                .values_mut()
                .filter(|entry| senders.contains(&entry.addr))
            {
                entry.parole = true;
            }
        }
        let mut distinct = senders;
        distinct.sort_unstable();
        distinct.dedup();
        self.events.push_back(Event::PieceFailed {
            piece,
            senders: distinct,
        });
    }

    pub(super) fn ban(&mut self, addr: SocketAddr, why: BanReason, now: Moment) {
        // Several pieces of one sender may be with the worker at once; it is banned for the first.
        if !self.book.is_banned(addr.ip()) {
            self.book.ban(addr.ip());
            self.events.push_back(Event::Banned { addr, why });
        }
        let same_ip = self
            .peers
            .iter()
            .filter(|(_, entry)| entry.addr.ip() == addr.ip());
        let keys: Vec<PeerKey> = same_ip.map(|(&key, _)| key).collect();
        keys.into_iter().for_each(|peer| self.close_peer(peer, now));
    }
}
