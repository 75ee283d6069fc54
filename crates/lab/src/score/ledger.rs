//! From a ledger's records to statements, record by record.

use std::{collections::BTreeMap, net::SocketAddr};

use serde::Serialize;
use skep_evidence::{
    grade::Grade,
    journal::ConnId,
    record::{Body, ClaimKind, Record},
};

use super::{Statement, When};

/// One act on one connection, as a record and as a truth log state it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Sighting {
    /// A connection stood.
    Reached {
        /// The peer's end.
        peer: SocketAddr,
        /// The observer's end.
        observer: SocketAddr,
    },
    /// A handshake for this info-hash came.
    Joined {
        /// The peer's end.
        peer: SocketAddr,
        /// The observer's end.
        observer: SocketAddr,
    },
    /// A whole set of pieces was claimed.
    Set {
        /// The peer's end.
        peer: SocketAddr,
        /// The observer's end.
        observer: SocketAddr,
        /// How many pieces.
        pieces: u32,
    },
    /// A piece was claimed.
    Have {
        /// The peer's end.
        peer: SocketAddr,
        /// The observer's end.
        observer: SocketAddr,
        /// The piece.
        piece: u32,
    },
    /// A block came.
    Block {
        /// The peer's end.
        peer: SocketAddr,
        /// The observer's end.
        observer: SocketAddr,
        /// The piece.
        piece: u32,
        /// Offset in the piece.
        begin: u32,
    },
    /// A whole piece came and hashes to the torrent.
    Piece {
        /// The peer's end.
        peer: SocketAddr,
        /// The observer's end.
        observer: SocketAddr,
        /// The piece.
        piece: u32,
    },
    /// The whole content came from this endpoint.
    Whole {
        /// The peer's end.
        peer: SocketAddr,
    },
}

impl Sighting {
    /// The grade that the act makes.
    pub fn grade(&self) -> Grade {
        match self {
            Self::Reached { .. } => Grade::Reached,
            Self::Joined { .. } => Grade::Joined,
            Self::Set { .. } | Self::Have { .. } => Grade::Claimed,
            Self::Block { .. } => Grade::Delivered,
            Self::Piece { .. } => Grade::Verified,
            Self::Whole { .. } => Grade::Whole,
        }
    }
}

/// The statements of a ledger's records. Records about trackers, attempts and our own acts state
/// nothing of a peer; `upload_only` is a claim in a handshake that the truth log does not break
/// down.
pub fn sightings(records: &[(u64, Record)]) -> Vec<Statement<Sighting>> {
    let mut ends = BTreeMap::<(u32, ConnId), (SocketAddr, SocketAddr)>::new();
    let mut statements = Vec::new();
    for (_, record) in records {
        if let Body::Reached {
            conn,
            local,
            endpoint,
            ..
        } = &record.body
        {
            ends.insert((record.run, *conn), (*endpoint, *local));
        }
        let ends_of = |conn: &ConnId| ends.get(&(record.run, *conn)).copied();
        if let Some(subject) = sighting(&record.body, ends_of) {
            let when = Some(When::from(record.utc));
            statements.push(Statement {
                subject,
                grade: subject.grade(),
                when,
            });
        }
    }
    statements
}

fn sighting(
    body: &Body,
    ends_of: impl Fn(&ConnId) -> Option<(SocketAddr, SocketAddr)>,
) -> Option<Sighting> {
    Some(match body {
        Body::Reached { conn, .. } => {
            let (peer, observer) = ends_of(conn)?;
            Sighting::Reached { peer, observer }
        }
        Body::Joined { conn, .. } => {
            let (peer, observer) = ends_of(conn)?;
            Sighting::Joined { peer, observer }
        }
        Body::ClaimedSet {
            how: ClaimKind::UploadOnly,
            ..
        } => return None,
        Body::ClaimedSet { conn, pieces, .. } => {
            let (peer, observer) = ends_of(conn)?;
            Sighting::Set {
                peer,
                observer,
                pieces: *pieces,
            }
        }
        Body::ClaimedGain { conn, piece, .. } => {
            let (peer, observer) = ends_of(conn)?;
            Sighting::Have {
                peer,
                observer,
                piece: piece.0,
            }
        }
        Body::Delivered { conn, block, .. } => {
            let (peer, observer) = ends_of(conn)?;
            Sighting::Block {
                peer,
                observer,
                piece: block.piece.0,
                begin: block.begin,
            }
        }
        Body::Verified { conn, piece, .. } => {
            let (peer, observer) = ends_of(conn)?;
            Sighting::Piece {
                peer,
                observer,
                piece: piece.0,
            }
        }
        Body::Whole { conn, .. } => Sighting::Whole {
            peer: ends_of(conn)?.0,
        },
        _ => return None,
    })
}
