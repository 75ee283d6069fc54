//! What the peer's messages do once the handshakes are done.

use std::collections::VecDeque;

use skep_wire::{
    Bitfield, Block, InfoHash, Moment, PieceIndex, Said,
    peer::{
        Message, MessageId,
        ext::{ExtHandshake, HANDSHAKE_ID, LT_DONTHAVE, Pex, UT_PEX, decode_dont_have},
    },
};

use super::{
    ALLOWED_FAST_MAX, ALLOWED_FAST_OFFERED_MAX, BLOCK_BYTES_MAX, DONT_HAVE_SECS, DONT_HAVES_BURST,
    EXT_HANDSHAKE_SECS, EXT_HANDSHAKES_BURST, Event, HAVES_REPEATED_MAX, LATE_GAINS_MAX, PEX_BURST,
    PEX_SECS, PeerConfig, PeerConn, REJECTS_UNASKED_MAX, REQUESTS_CHOKED_MAX, REQUESTS_IN_MAX,
    REQUESTS_OUT_DEFAULT, SetKind, TURN_SECS, TURNS_BURST, UNREQUESTED_MAX, VOIDED_MAX, Violation,
    bucket::Bucket, conn::Next,
};

/// What both sides said that they speak.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Agreed {
    pub(super) fast: bool,
    pub(super) ext: bool,
    pub(super) v2: bool,
}

/// What the peer said and asked.
#[derive(Debug)]
pub(super) struct Remote {
    /// The torrent's name in its handshake.
    pub(super) info_hash: Option<InfoHash>,
    pub(super) chokes_us: bool,
    pub(super) interested: bool,
    pub(super) pieces: Said<Bitfield>,
    pub(super) allowed_fast: Vec<PieceIndex>,
    pub(super) requests: VecDeque<Block>,
    pub(super) requests_choked: u32,
    pub(super) requests_max: usize,
    /// The id under which it may send us peer exchange.
    pex_id: Option<u8>,
    /// The id under which it may take pieces back.
    lost_id: Option<u8>,
    /// The id under which it wants to hear of pieces that we have no longer.
    pub(super) dont_have_id: Option<u8>,
    /// Whether it said anything after which a set of pieces may no longer come.
    past_set: bool,
    haves_repeated: u32,
    unrequested: u32,
    rejects_unasked: u32,
    turns: Bucket,
    ext_handshakes: Bucket,
    pexes: Bucket,
    dont_haves: Bucket,
}

/// What we said and asked.
#[derive(Debug)]
pub(super) struct Ours {
    pub(super) chokes_peer: bool,
    pub(super) interested: bool,
    pub(super) outstanding: VecDeque<Block>,
    /// Requests that we took back or that choking voided, whose blocks may still come.
    voided: VecDeque<Block>,
    /// The pieces that the peer may fetch while we choke it, and how many bytes of each are left.
    allowed: Vec<(PieceIndex, u32)>,
}

impl Remote {
    pub(super) fn new(config: &PeerConfig) -> Self {
        let id_of = |name| config.ext.as_ref().and_then(|ext| ext.id_of(name));
        Self {
            info_hash: None,
            chokes_us: true,
            interested: false,
            pieces: Said(Bitfield::empty(config.sizes.count())),
            allowed_fast: Vec::new(),
            requests: VecDeque::new(),
            requests_choked: 0,
            requests_max: REQUESTS_OUT_DEFAULT,
            pex_id: id_of(UT_PEX),
            lost_id: id_of(LT_DONTHAVE),
            dont_have_id: None,
            past_set: false,
            haves_repeated: 0,
            unrequested: 0,
            rejects_unasked: 0,
            turns: Bucket::new(TURNS_BURST, TURN_SECS),
            ext_handshakes: Bucket::new(EXT_HANDSHAKES_BURST, EXT_HANDSHAKE_SECS),
            pexes: Bucket::new(PEX_BURST, PEX_SECS),
            dont_haves: Bucket::new(DONT_HAVES_BURST, DONT_HAVE_SECS),
        }
    }

    pub(super) fn take_request(&mut self, block: Block) -> Option<Block> {
        let at = self.requests.iter().position(|&asked| asked == block)?;
        self.requests.remove(at)
    }
}

impl Default for Ours {
    fn default() -> Self {
        Self {
            chokes_peer: true,
            interested: false,
            outstanding: VecDeque::new(),
            voided: VecDeque::new(),
            allowed: Vec::new(),
        }
    }
}

impl Ours {
    /// Remembers a request that no longer stands. The oldest is forgotten at the limit: its block
    /// then counts as not asked for, and [`UNREQUESTED_MAX`] of those are passed over.
    pub(super) fn void(&mut self, block: Block) {
        if self.voided.len() == VOIDED_MAX {
            self.voided.pop_front();
        }
        self.voided.push_back(block);
    }

    /// How many requests were taken back, and how many pieces the peer may fetch while choked.
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.voided.len(), self.allowed.len())
    }

    /// Blocks come in the order of their requests, so the search is short.
    pub(super) fn take_outstanding(&mut self, block: Block) -> Option<Block> {
        let at = self.outstanding.iter().position(|&asked| asked == block)?;
        self.outstanding.remove(at)
    }

    /// Notes that the peer may fetch a piece of `size` bytes while choked; `false` if it may already,
    /// or too many others.
    pub(super) fn allow(&mut self, piece: PieceIndex, size: u32) -> bool {
        let known = self.allowed.iter().any(|&(allowed, _)| allowed == piece);
        let may = !known && size > 0 && self.allowed.len() < ALLOWED_FAST_OFFERED_MAX;
        if may {
            self.allowed.push((piece, size));
        }
        may
    }

    /// Whether the peer may have the block although we choke it. What it takes is not given twice.
    pub(super) fn take_allowance(&mut self, block: Block) -> bool {
        let allowed = self.allowed.iter_mut();
        let mut of_piece = allowed.filter(|(piece, _)| *piece == block.piece);
        of_piece.next().is_some_and(|(_, left)| {
            let rest = left.checked_sub(block.len);
            *left = rest.unwrap_or(*left);
            rest.is_some()
        })
    }

    fn take_voided(&mut self, block: Block) -> Option<Block> {
        let at = self.voided.iter().position(|&asked| asked == block)?;
        self.voided.remove(at)
    }
}

impl PeerConn {
    /// Applies one message.
    pub(super) fn take(&mut self, message: Message<'_>, now: Moment) -> Result<(), Violation> {
        let id = message.id().unwrap_or(MessageId::CHOKE);
        self.check_order(&message, id)?;
        let is_past_set = !matches!(
            message,
            Message::KeepAlive
                | Message::Port(_)
                | Message::Extended { .. }
                | Message::HashRequest(_)
                | Message::Hashes { .. }
                | Message::HashReject(_)
                | Message::Unknown { .. }
        );
        match message {
            Message::KeepAlive => {}
            Message::Choke => self.take_choke(now)?,
            Message::Unchoke => self.take_unchoke(now)?,
            Message::Interested => self.take_interest(true, now)?,
            Message::NotInterested => self.take_interest(false, now)?,
            Message::Have(piece) => self.take_have(piece)?,
            Message::Bitfield(raw) => {
                let pieces = Bitfield::from_bytes(raw, self.config.sizes.count())?;
                self.take_set(pieces, SetKind::Bitfield)?;
            }
            Message::HaveAll => {
                self.take_set(Bitfield::full(self.config.sizes.count()), SetKind::HaveAll)?;
            }
            Message::HaveNone => {
                self.take_set(
                    Bitfield::empty(self.config.sizes.count()),
                    SetKind::HaveNone,
                )?;
            }
            Message::Request(block) => self.take_peer_request(block, now)?,
            Message::Piece(block) => self.take_piece(block)?,
            Message::Cancel(block) => self.take_cancel(block, now)?,
            Message::Port(port) => self.push_event(Event::DhtPort(Said(port))),
            Message::SuggestPiece(piece) => {
                self.check_piece(id, piece)?;
                self.push_event(Event::Suggested { piece: Said(piece) });
            }
            Message::RejectRequest(block) => self.take_reject(block)?,
            Message::AllowedFast(piece) => self.take_allowed_fast(piece)?,
            Message::Extended { id, payload } => self.take_extended(id, payload, now)?,
            Message::HashRequest(request) => self.take_hash_request(request)?,
            Message::Hashes { request, hashes } => self.take_hashes(request, hashes)?,
            Message::HashReject(request) => self.take_hash_reject(request)?,
            Message::Unknown { id, payload } => {
                let len = u32::try_from(payload.len()).unwrap_or(u32::MAX);
                self.push_event(Event::UnknownMessage { id, len });
            }
        }
        // Common clients send extension handshakes and DHT ports before their set.
        self.remote.past_set |= is_past_set;
        Ok(())
    }

    /// Judges whether the message may come: those of the fast extension only where it was agreed.
    fn check_order(&self, message: &Message<'_>, id: MessageId) -> Result<(), Violation> {
        match message {
            Message::KeepAlive
            | Message::Port(_)
            | Message::Extended { .. }
            | Message::HashRequest(_)
            | Message::Hashes { .. }
            | Message::HashReject(_)
            | Message::Unknown { .. } => return Ok(()),
            Message::SuggestPiece(_)
            | Message::HaveAll
            | Message::HaveNone
            | Message::RejectRequest(_)
            | Message::AllowedFast(_) => {
                if !self.agreed.fast {
                    return Err(Violation::NotFast { id });
                }
            }
            Message::Choke
            | Message::Unchoke
            | Message::Interested
            | Message::NotInterested
            | Message::Have(_)
            | Message::Bitfield(_)
            | Message::Request(_)
            | Message::Piece(_)
            | Message::Cancel(_) => {}
        }
        Ok(())
    }

    fn take_choke(&mut self, now: Moment) -> Result<(), Violation> {
        if self.remote.chokes_us {
            return Ok(());
        }
        self.take_turn(now)?;
        self.remote.chokes_us = true;
        self.push_event(Event::PeerChokedUs);
        if !self.agreed.fast {
            for block in std::mem::take(&mut self.ours.outstanding) {
                self.ours.void(block);
                self.push_event(Event::RequestRefused(block));
            }
        }
        Ok(())
    }

    fn take_unchoke(&mut self, now: Moment) -> Result<(), Violation> {
        if self.remote.chokes_us {
            self.take_turn(now)?;
            self.remote.chokes_us = false;
            self.push_event(Event::PeerUnchokedUs);
        }
        Ok(())
    }

    fn take_interest(&mut self, interested: bool, now: Moment) -> Result<(), Violation> {
        if self.remote.interested != interested {
            self.take_turn(now)?;
            self.remote.interested = interested;
            self.push_event(match interested {
                true => Event::PeerInterested,
                false => Event::PeerNotInterested,
            });
        }
        Ok(())
    }

    fn take_turn(&mut self, now: Moment) -> Result<(), Violation> {
        let (burst, secs) = (TURNS_BURST, TURN_SECS);
        self.remote
            .turns
            .take(now)
            .ok_or(Violation::TurnsTooMany { burst, secs })
    }

    fn take_have(&mut self, piece: PieceIndex) -> Result<(), Violation> {
        self.check_piece(MessageId::HAVE, piece)?;
        if self.remote.pieces.0.insert(piece) {
            self.push_event(Event::Has { piece: Said(piece) });
            return Ok(());
        }
        self.note_repeated_have()
    }

    fn note_repeated_have(&mut self) -> Result<(), Violation> {
        self.remote.haves_repeated += 1;
        if self.remote.haves_repeated > HAVES_REPEATED_MAX {
            return Err(Violation::HavesRepeated {
                limit: HAVES_REPEATED_MAX,
            });
        }
        Ok(())
    }

    /// The first word about pieces and choking may be a whole set (BEP 3, BEP 6). A set that comes
    /// later means what as many `have` messages would mean: aria2 1.36 sends one where it has gained
    /// twenty pieces or more. What it does not name is not taken back.
    fn take_set(&mut self, pieces: Bitfield, how: SetKind) -> Result<(), Violation> {
        if !self.remote.past_set {
            self.remote.pieces = Said(pieces.clone());
            self.push_event(Event::HasSet {
                pieces: Said(pieces),
                how,
            });
            return Ok(());
        }
        let mut gained = 0;
        for piece in pieces.iter() {
            if self.remote.pieces.0.insert(piece) {
                gained += 1;
                if gained > LATE_GAINS_MAX {
                    return Err(Violation::LateSetTooLarge {
                        limit: LATE_GAINS_MAX,
                    });
                }
                self.push_event(Event::Has { piece: Said(piece) });
            }
        }
        if gained == 0 {
            self.note_repeated_have()?;
        }
        Ok(())
    }

    fn take_peer_request(&mut self, block: Block, now: Moment) -> Result<(), Violation> {
        if block.len > BLOCK_BYTES_MAX {
            return Err(Violation::RequestTooLong {
                len: block.len,
                limit: BLOCK_BYTES_MAX,
            });
        }
        self.check_request(MessageId::REQUEST, block)?;
        if self.ours.chokes_peer && !self.ours.take_allowance(block) {
            // It may have crossed our choke on the way. BEP 6 wants it refused.
            self.remote.requests_choked += 1;
            if self.remote.requests_choked > REQUESTS_CHOKED_MAX {
                return Err(Violation::RequestsWhileChoked {
                    limit: REQUESTS_CHOKED_MAX,
                });
            }
            self.say_reject(block, now);
            return Ok(());
        }
        if self.remote.requests.len() >= REQUESTS_IN_MAX {
            return Err(Violation::RequestsTooMany {
                limit: REQUESTS_IN_MAX,
            });
        }
        self.remote.requests.push_back(block);
        self.push_event(Event::PeerRequested(block));
        Ok(())
    }

    fn take_piece(&mut self, block: Block) -> Result<(), Violation> {
        self.check_block(MessageId::PIECE, block)?;
        if self.ours.outstanding.contains(&block) {
            self.next = Next::Payload(block);
            return Ok(());
        }
        if self.ours.take_voided(block).is_none() {
            self.remote.unrequested += 1;
            if self.remote.unrequested > UNREQUESTED_MAX {
                return Err(Violation::BlocksUnrequested {
                    limit: UNREQUESTED_MAX,
                });
            }
        }
        self.skip(Some(block), block.len);
        Ok(())
    }

    fn take_cancel(&mut self, block: Block, now: Moment) -> Result<(), Violation> {
        self.check_request(MessageId::CANCEL, block)?;
        if self.remote.take_request(block).is_some() {
            // BEP 6: every request is answered, by its block or by a refusal.
            self.say_reject(block, now);
            self.push_event(Event::PeerCancelled(block));
        }
        Ok(())
    }

    fn take_reject(&mut self, block: Block) -> Result<(), Violation> {
        if self.ours.take_outstanding(block).is_some() {
            self.push_event(Event::RequestRefused(block));
        } else if self.ours.take_voided(block).is_none() {
            self.remote.rejects_unasked += 1;
            if self.remote.rejects_unasked > REJECTS_UNASKED_MAX {
                return Err(Violation::RejectsUnasked {
                    limit: REJECTS_UNASKED_MAX,
                });
            }
        }
        Ok(())
    }

    fn take_allowed_fast(&mut self, piece: PieceIndex) -> Result<(), Violation> {
        self.check_piece(MessageId::ALLOWED_FAST, piece)?;
        let known = &mut self.remote.allowed_fast;
        if known.len() < ALLOWED_FAST_MAX && !known.contains(&piece) {
            known.push(piece);
            self.push_event(Event::AllowedFast { piece: Said(piece) });
        }
        Ok(())
    }

    fn take_extended(&mut self, id: u8, payload: &[u8], now: Moment) -> Result<(), Violation> {
        if self.agreed.ext && id == HANDSHAKE_ID {
            let (burst, secs) = (EXT_HANDSHAKES_BURST, EXT_HANDSHAKE_SECS);
            let too_many = Violation::ExtHandshakesTooMany { burst, secs };
            self.remote.ext_handshakes.take(now).ok_or(too_many)?;
            let ext = ExtHandshake::decode(payload).map_err(Violation::ExtHandshake)?;
            if let Some(max) = ext.requests_max {
                self.remote.requests_max = max.max(1) as usize;
            }
            if let Some((_, id)) = ext.ids.iter().find(|(name, _)| name == LT_DONTHAVE) {
                self.remote.dont_have_id = Some(*id).filter(|&id| id != 0);
            }
            self.push_event(Event::Extended(Said(ext)));
        } else if self.agreed.ext && self.remote.pex_id == Some(id) {
            let (burst, secs) = (PEX_BURST, PEX_SECS);
            self.remote
                .pexes
                .take(now)
                .ok_or(Violation::PexTooOften { burst, secs })?;
            let pex = Pex::decode(payload).map_err(Violation::Pex)?;
            self.push_event(Event::Pex(Said(pex)));
        } else if self.agreed.ext && self.remote.lost_id == Some(id) {
            let piece = decode_dont_have(payload).map_err(Violation::DontHave)?;
            self.take_dont_have(piece, now)?;
        } else {
            let len = u32::try_from(payload.len() + 1).unwrap_or(u32::MAX);
            self.push_event(Event::UnknownMessage {
                id: MessageId::EXTENDED,
                len,
            });
        }
        Ok(())
    }

    /// Without the fast extension what was asked of the piece will not come, and nothing says so
    /// (BEP 54).
    fn take_dont_have(&mut self, piece: PieceIndex, now: Moment) -> Result<(), Violation> {
        self.check_piece(MessageId::EXTENDED, piece)?;
        let (burst, secs) = (DONT_HAVES_BURST, DONT_HAVE_SECS);
        self.remote
            .dont_haves
            .take(now)
            .ok_or(Violation::DontHavesTooMany { burst, secs })?;
        if !self.remote.pieces.0.remove(piece) {
            return Ok(());
        }
        self.push_event(Event::HasNoLonger { piece: Said(piece) });
        if !self.agreed.fast {
            let of_piece = |block: &&Block| block.piece == piece;
            let void: Vec<Block> = self
                .ours
                .outstanding
                .iter()
                .filter(of_piece)
                .copied()
                .collect();
            self.ours.outstanding.retain(|block| block.piece != piece);
            for block in void {
                self.ours.void(block);
                self.push_event(Event::RequestRefused(block));
            }
        }
        Ok(())
    }

    fn check_piece(&self, id: MessageId, got: PieceIndex) -> Result<(), Violation> {
        let piece_count = self.config.sizes.count();
        if got.0 < piece_count {
            Ok(())
        } else {
            Err(Violation::PieceOutside {
                id,
                got,
                piece_count,
            })
        }
    }

    /// Judges a block that we ask for or that comes.
    pub(super) fn check_block(&self, id: MessageId, block: Block) -> Result<(), Violation> {
        self.check_within(id, block, self.config.sizes.size(block.piece))
    }

    /// Judges a block that the peer asks for.
    fn check_request(&self, id: MessageId, block: Block) -> Result<(), Violation> {
        self.check_within(id, block, self.config.sizes.reach(block.piece))
    }

    fn check_within(&self, id: MessageId, block: Block, piece_len: u32) -> Result<(), Violation> {
        self.check_piece(id, block.piece)?;
        let end = u64::from(block.begin) + u64::from(block.len);
        if block.len == 0 || end > u64::from(piece_len) {
            return Err(Violation::BlockOutside {
                id,
                block,
                piece_len,
            });
        }
        Ok(())
    }
}
