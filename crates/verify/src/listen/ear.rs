//! One direction of a connection, message by message.

use std::collections::{BTreeMap, BTreeSet};

use skep_observe::Target;
use skep_wire::{
    Bitfield, Block, InfoHash,
    peer::{self, HANDSHAKE_LEN, Handshake, MESSAGE_LEN_MAX, Message, MessageId},
};

/// Follows one direction of a connection. Where the bytes stop being messages it goes deaf: what
/// comes then claims and delivers nothing.
#[derive(Default)]
pub(super) struct Ear {
    head: Vec<u8>,
    pub(super) info_hash: Option<InfoHash>,
    deaf: bool,
    /// How much of the stream was understood.
    at: u64,
    /// Bytes of a message that is not whole yet, or of a `piece` its first 13.
    buf: Vec<u8>,
    /// Bytes of a payload still to be passed over.
    skip: u64,
    pub(super) set: Option<Bitfield>,
    /// How many pieces were claimed before and after each message of the last bytes, by its end.
    pub(super) claims: BTreeMap<u64, (u32, u32)>,
    /// Blocks that came, by the place of their payloads.
    pub(super) arrived: BTreeMap<u64, Block>,
    /// Blocks that were asked for.
    pub(super) asked: BTreeSet<Block>,
}

impl Ear {
    pub(super) fn handshake(&self) -> Option<&[u8; HANDSHAKE_LEN]> {
        self.head.first_chunk()
    }

    pub(super) fn feed(&mut self, mut bytes: &[u8], torrents: &BTreeMap<InfoHash, Target>) {
        self.claims.clear();
        if self.head.len() < HANDSHAKE_LEN {
            let take = bytes.len().min(HANDSHAKE_LEN - self.head.len());
            let (head, rest) = bytes.split_at(take);
            self.head.extend_from_slice(head);
            bytes = rest;
            if let Some(head) = self.handshake() {
                let torrent = Handshake::decode(head).ok();
                let torrent = torrent.and_then(|shake| torrents.get(&shake.info_hash));
                self.info_hash = torrent.map(|torrent| torrent.info_hash);
                self.set =
                    torrent.map(|torrent| Bitfield::empty(torrent.metainfo.info.piece_count()));
                self.deaf = torrent.is_none();
                self.at = HANDSHAKE_LEN as u64;
            }
        }
        while !bytes.is_empty() && !self.deaf {
            bytes = self.hear(bytes);
        }
    }

    /// Takes some of `bytes`; returns the rest.
    fn hear<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        if self.skip > 0 {
            let take = bytes
                .len()
                .min(usize::try_from(self.skip).unwrap_or(usize::MAX));
            self.skip -= take as u64;
            self.at += take as u64;
            return &bytes[take..];
        }
        let need = self.need();
        let take = bytes.len().min(need - self.buf.len());
        self.buf.extend_from_slice(&bytes[..take]);
        self.at += take as u64;
        if self.buf.len() == self.need() {
            self.message();
        }
        &bytes[take..]
    }

    /// How many bytes the buffer must hold before anything can be said: the prefix, then the id, then
    /// the body (of `piece` its first 9 bytes).
    fn need(&mut self) -> usize {
        let Some(prefix) = self.buf.first_chunk::<4>() else {
            return 4;
        };
        let len = u32::from_be_bytes(*prefix);
        if len > MESSAGE_LEN_MAX {
            self.deaf = true;
            return 4;
        }
        match self.buf.get(4) {
            None if len == 0 => 4,
            None => 5,
            Some(&id) => 4 + peer::body_len(len, MessageId(id)) as usize,
        }
    }

    fn message(&mut self) {
        let buf = std::mem::take(&mut self.buf);
        let Some((prefix, body)) = buf.split_first_chunk::<4>() else {
            return;
        };
        let len = u32::from_be_bytes(*prefix);
        if self.deaf
            || body
                .first()
                .is_some_and(|&id| is_hash_message(MessageId(id)))
        {
            return;
        }
        let Ok(message) = peer::decode(len, body) else {
            self.deaf = true;
            return;
        };
        match message {
            Message::Have(piece) => self.claim(|set| {
                set.insert(piece);
            }),
            Message::Bitfield(bits) => {
                let count = self.set.as_ref().map_or(0, Bitfield::piece_count);
                match Bitfield::from_bytes(bits, count) {
                    Ok(bits) => self.claim(|set| add(set, &bits)),
                    Err(_) => self.deaf = true,
                }
            }
            Message::HaveAll => self.claim(|set| *set = Bitfield::full(set.piece_count())),
            Message::HaveNone => self.claim(|_| {}),
            Message::Piece(block) => {
                self.arrived.insert(self.at, block);
                self.skip = block.len.into();
            }
            Message::Request(block) => {
                self.asked.insert(block);
            }
            Message::KeepAlive
            | Message::Choke
            | Message::Unchoke
            | Message::Interested
            | Message::NotInterested
            | Message::Cancel(_)
            | Message::Port(_)
            | Message::SuggestPiece(_)
            | Message::RejectRequest(_)
            | Message::AllowedFast(_)
            | Message::Extended { .. }
            | Message::HashRequest(_)
            | Message::Hashes { .. }
            | Message::HashReject(_)
            | Message::Unknown { .. } => {}
        }
    }

    /// Notes what a message adds to the set. Nothing takes a piece back: a set that comes after
    /// haves, which is late, adds to them.
    fn claim(&mut self, add: impl FnOnce(&mut Bitfield)) {
        if let Some(set) = &mut self.set {
            let before = set.count();
            add(set);
            self.claims.insert(self.at, (before, set.count()));
        }
    }
}

/// Hash messages (BEP 52) say nothing that the torrent file does not: as for the machine, which talks of no
/// hashes, they are of an unknown kind, and nothing in them is judged.
fn is_hash_message(id: MessageId) -> bool {
    [
        MessageId::HASH_REQUEST,
        MessageId::HASHES,
        MessageId::HASH_REJECT,
    ]
    .contains(&id)
}

fn add(set: &mut Bitfield, more: &Bitfield) {
    for piece in more.iter() {
        set.insert(piece);
    }
}
