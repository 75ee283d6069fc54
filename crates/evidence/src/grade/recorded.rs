//! What a ledger says about a grade: written down, not proof.

use std::{marker::PhantomData, net::SocketAddr};

use skep_wire::{
    Bitfield, Block, Moment, PieceIndex, Said,
    metainfo::{PieceDigests, PieceHashes},
    peer::Handshake,
};

use super::{
    Claimed, Delivered, Grade, Joined, NotJoined, NotVerified, Reached, Sentences, Verified, Whole,
};
use crate::{
    clock::UtcInterval,
    journal::{ConnId, Entry},
    record::{Body, Record},
};

/// A statement of grade `G` as a ledger has it. It can be printed only with the words "recorded as",
/// until [`Recorded::check`] has compared the retained bytes again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recorded<G> {
    index: u64,
    run: u32,
    at: Moment,
    utc: UtcInterval,
    conn: ConnId,
    endpoint: SocketAddr,
    fact: Fact,
    grade: PhantomData<fn() -> G>,
}

/// What a record adds to its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fact {
    None,
    Claim {
        pieces: u32,
    },
    Block(Block),
    Piece {
        piece: PieceIndex,
        digests: PieceDigests,
    },
}

/// Why a recorded statement did not become the grade again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CheckFailed {
    /// The step below, which is given as checked, is of another connection.
    #[error("record {index} is of connection {}, given was connection {}", .recorded.0, .given.0)]
    OtherConnection {
        /// The record's place in the ledger.
        index: u64,
        /// Its connection.
        recorded: ConnId,
        /// The given one.
        given: ConnId,
    },
    /// The record names another endpoint than the journal.
    #[error("record {index} names {recorded}, the journal names {journal}")]
    OtherEndpoint {
        /// The record's place in the ledger.
        index: u64,
        /// What the record names.
        recorded: SocketAddr,
        /// What the journal names.
        journal: SocketAddr,
    },
    /// The journal entry is not of a connection that stands.
    #[error("record {index} rests on a journal entry that opens no connection")]
    NotOpened {
        /// The record's place in the ledger.
        index: u64,
    },
    /// The handshake bytes do not hold.
    #[error("record {index}: {why}")]
    NotJoined {
        /// The record's place in the ledger.
        index: u64,
        /// Why not.
        why: NotJoined,
    },
    /// The record claims another number of pieces than the set.
    #[error("record {index} says {recorded} pieces, the set has {set}")]
    OtherClaim {
        /// The record's place in the ledger.
        index: u64,
        /// What the record says.
        recorded: u32,
        /// What the set has.
        set: u32,
    },
    /// The bytes of the piece do not hold.
    #[error("record {index}: {why}")]
    NotVerified {
        /// The record's place in the ledger.
        index: u64,
        /// Why not.
        why: NotVerified,
    },
    /// The record has other digests or another piece than the torrent and the blocks.
    #[error("record {index} says piece {} with digest {digests}, which is not what was compared", .piece.0)]
    OtherPiece {
        /// The record's place in the ledger.
        index: u64,
        /// The record's piece.
        piece: PieceIndex,
        /// The record's digests.
        digests: PieceDigests,
    },
}

impl<G> Recorded<G> {
    /// The record's place in the ledger.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// Its run.
    pub fn run(&self) -> u32 {
        self.run
    }

    /// Its monotonic time.
    pub fn at(&self) -> Moment {
        self.at
    }

    /// Its UTC.
    pub fn utc(&self) -> UtcInterval {
        self.utc
    }

    /// Its connection.
    pub fn conn(&self) -> ConnId {
        self.conn
    }

    /// Its endpoint.
    pub fn endpoint(&self) -> SocketAddr {
        self.endpoint
    }

    fn on(index: u64, record: &Record, conn: ConnId, endpoint: SocketAddr, fact: Fact) -> Self {
        let (run, at, utc) = (record.run, record.at, record.utc);
        Self {
            index,
            run,
            at,
            utc,
            conn,
            endpoint,
            fact,
            grade: PhantomData,
        }
    }

    /// `Some(conn)` if `conn` of `record` is the connection of `reached`.
    fn same(record: &Record, conn: ConnId, reached: &Recorded<Reached>) -> Option<ConnId> {
        (record.run == reached.run && conn == reached.conn).then_some(conn)
    }

    fn same_conn(&self, given: &Reached) -> Result<(), CheckFailed> {
        if given.conn() == self.conn {
            return Ok(());
        }
        let (index, recorded, given) = (self.index, self.conn, given.conn());
        Err(CheckFailed::OtherConnection {
            index,
            recorded,
            given,
        })
    }
}

impl<G: Sentences> Recorded<G> {
    /// The grade's name.
    pub fn grade(&self) -> Grade {
        G::GRADE
    }

    /// What a report may say from the ledger alone.
    pub fn shows(&self) -> String {
        let said = match self.fact {
            Fact::None => String::new(),
            Fact::Claim { pieces: 1 } => ", 1 piece by its own account".into(),
            Fact::Claim { pieces } => format!(", {pieces} pieces by its own account"),
            Fact::Block(block) => format!(", {} bytes of piece {}", block.len, block.piece.0),
            Fact::Piece { piece, .. } => format!(", piece {}", piece.0),
        };
        let again = match G::GRADE {
            Grade::Verified | Grade::Whole => ", not hashed again here",
            Grade::Listed | Grade::Reached | Grade::Joined | Grade::Claimed | Grade::Delivered => {
                ", not replayed here"
            }
        };
        format!(
            "{} recorded as {}{said}{again}",
            self.endpoint,
            G::GRADE.name()
        )
    }
}

impl Recorded<Reached> {
    /// Reads a `reached` record; `None` for any other.
    pub fn read(index: u64, record: &Record) -> Option<Self> {
        let Body::Reached { conn, endpoint, .. } = record.body else {
            return None;
        };
        Some(Self::on(index, record, conn, endpoint, Fact::None))
    }

    /// Compares with the journal's entry of the connection.
    ///
    /// # Errors
    ///
    /// [`CheckFailed`] if the entry opens no such connection.
    pub fn check(&self, entry: &Entry) -> Result<Reached, CheckFailed> {
        let index = self.index;
        let reached = Reached::from_entry(entry).ok_or(CheckFailed::NotOpened { index })?;
        self.same_conn(&reached)?;
        if reached.endpoint() != self.endpoint {
            let (recorded, journal) = (self.endpoint, reached.endpoint());
            return Err(CheckFailed::OtherEndpoint {
                index,
                recorded,
                journal,
            });
        }
        Ok(reached)
    }
}

impl Recorded<Joined> {
    /// Reads a `joined` record of the same connection; `None` for any other.
    pub fn read(index: u64, record: &Record, reached: &Recorded<Reached>) -> Option<Self> {
        let Body::Joined { conn, .. } = record.body else {
            return None;
        };
        let conn = Self::same(record, conn, reached)?;
        Some(Self::on(index, record, conn, reached.endpoint, Fact::None))
    }

    /// Compares the retained handshake bytes again.
    ///
    /// # Errors
    ///
    /// [`CheckFailed`] if they are no handshake of the swarm, or ours.
    pub fn check(
        &self,
        reached: Reached,
        ours: &Handshake,
        bytes: &[u8],
    ) -> Result<Joined, CheckFailed> {
        self.same_conn(&reached)?;
        let index = self.index;
        Joined::from_handshake(reached, ours, bytes)
            .map_err(|why| CheckFailed::NotJoined { index, why })
    }
}

impl Recorded<Claimed> {
    /// Reads a record of a claim on the same connection; `None` for any other.
    pub fn read(index: u64, record: &Record, reached: &Recorded<Reached>) -> Option<Self> {
        let (Body::ClaimedSet { conn, pieces, .. } | Body::ClaimedGain { conn, pieces, .. }) =
            record.body
        else {
            return None;
        };
        let conn = Self::same(record, conn, reached)?;
        Some(Self::on(
            index,
            record,
            conn,
            reached.endpoint,
            Fact::Claim { pieces },
        ))
    }

    /// Compares with the set as the retained messages built it.
    ///
    /// # Errors
    ///
    /// [`CheckFailed`] if the numbers differ.
    pub fn check(&self, joined: Joined, set: &Said<Bitfield>) -> Result<Claimed, CheckFailed> {
        self.same_conn(joined.reached())?;
        let claimed = Claimed::from_set(joined, set);
        match self.fact {
            Fact::Claim { pieces } if pieces != claimed.pieces().0 => {
                let (index, set) = (self.index, claimed.pieces().0);
                Err(CheckFailed::OtherClaim {
                    index,
                    recorded: pieces,
                    set,
                })
            }
            _ => Ok(claimed),
        }
    }
}

impl Recorded<Delivered> {
    /// Reads a `delivered` record of the same connection; `None` for any other.
    pub fn read(index: u64, record: &Record, reached: &Recorded<Reached>) -> Option<Self> {
        let Body::Delivered { conn, block, .. } = record.body else {
            return None;
        };
        let conn = Self::same(record, conn, reached)?;
        Some(Self::on(
            index,
            record,
            conn,
            reached.endpoint,
            Fact::Block(block),
        ))
    }
}

impl Recorded<Verified> {
    /// Reads a `verified` record of the same connection; `None` for any other.
    pub fn read(index: u64, record: &Record, reached: &Recorded<Reached>) -> Option<Self> {
        let Body::Verified {
            conn,
            piece,
            sha1,
            root,
        } = record.body
        else {
            return None;
        };
        let digests = PieceDigests { sha1, root };
        let conn = Self::same(record, conn, reached)?;
        Some(Self::on(
            index,
            record,
            conn,
            reached.endpoint,
            Fact::Piece { piece, digests },
        ))
    }

    /// Hashes the retained bytes of the piece again. `blocks` are its blocks as the retained
    /// messages brought them, `expected` is what the torrent file says of the piece.
    ///
    /// # Errors
    ///
    /// [`CheckFailed`] unless the bytes hash to the torrent and are of the recorded piece.
    pub fn check(
        &self,
        blocks: &[Delivered],
        bytes: &[u8],
        expected: &PieceHashes,
    ) -> Result<Verified, CheckFailed> {
        let index = self.index;
        if let Some(block) = blocks.first() {
            self.same_conn(block.claimed().joined().reached())?;
        }
        let verified = Verified::check(blocks, bytes, expected)
            .map_err(|why| CheckFailed::NotVerified { index, why })?;
        if let Fact::Piece { piece, digests } = self.fact
            && (piece != *verified.piece().get() || digests != verified.digests())
        {
            return Err(CheckFailed::OtherPiece {
                index,
                piece,
                digests,
            });
        }
        Ok(verified)
    }
}

impl Recorded<Whole> {
    /// Reads a `whole` record of the same connection; `None` for any other.
    pub fn read(index: u64, record: &Record, reached: &Recorded<Reached>) -> Option<Self> {
        let Body::Whole { conn } = record.body else {
            return None;
        };
        let conn = Self::same(record, conn, reached)?;
        Some(Self::on(index, record, conn, reached.endpoint, Fact::None))
    }
}
