//! What was heard on a connection, as records.

use std::net::SocketAddr;

use skep_evidence::{
    grade::{Claimed, Joined, NotVerified, Reached},
    journal::EndKind,
    record::{Attack, Body, ClaimKind, CloseKind, NamedBy, Source, TEXT_BYTES_MAX, TargetIndex},
};
use skep_proto::peer::{Event, PeerConn, SetKind, Violation, Why};
use skep_wire::{
    Bitfield, Block, PieceIndex, Said,
    peer::{
        Handshake,
        ext::{ExtHandshake, Pex},
    },
};

use super::asking::{Round, may_ask};
use crate::{
    Env, World, fetch, graded,
    swarm::{Memory, Namer, Naming},
};

/// How many endpoints one connection may name by peer exchange: eight messages of 200, and 50 a
/// minute for an hour.
pub const PEX_NAMED_PER_CONN_MAX: u32 = 5_000;

/// What was heard and what is asked: all of a [`Talk`] but the machine that it listens to.
pub(super) struct Book {
    pub(super) swarm: usize,
    pub(super) reached: Reached,
    pub(super) ours: Handshake,
    pub(super) joined: Option<Joined>,
    pub(super) claimed: Option<Claimed>,
    /// Whether it chokes us, and how many pieces it offers, as last recorded.
    pub(super) offers: (bool, u32),
    /// The payload of the block that is arriving.
    pub(super) payload: Vec<u8>,
    /// How many bytes of blocks that we asked for came.
    pub(super) payload_bytes: u64,
    /// How many reads brought none.
    pub(super) reads_unasked: u32,
    pub(super) pex_named: u32,
    /// The port at which the other end of an incoming connection says that it listens.
    pub(super) listens_at: Option<SocketAddr>,
    pub(super) round: Round,
    /// What the machine wants sent.
    pub(super) out: Vec<u8>,
}

/// The bytes of which an event speaks.
#[derive(Clone, Copy)]
pub(super) struct Heard<'a> {
    pub(super) source: Option<Source>,
    pub(super) bytes: &'a [u8],
}

impl Book {
    /// Writes down what happened; returns how the connection ends, if it does.
    pub(super) fn note(
        &mut self,
        peer: &mut PeerConn,
        event: Event,
        heard: Heard<'_>,
        memory: &mut Memory,
        env: &mut Env<'_>,
    ) -> Option<CloseKind> {
        match (event, heard.source) {
            (Event::Closed { why }, source) => return Some(self.note_end(why, source, env)),
            (Event::Opened { .. }, Some(source)) => {
                return self.note_handshake(peer, heard.bytes, source, env);
            }
            (Event::Extended(ext), Some(source)) => {
                self.note_extended(peer, ext, source, memory, env)
            }
            (Event::HasSet { pieces, how }, Some(source)) => {
                let how = match how {
                    SetKind::Bitfield => ClaimKind::Bitfield,
                    SetKind::HaveAll => ClaimKind::HaveAll,
                    SetKind::HaveNone => ClaimKind::HaveNone,
                };
                self.note_set(pieces, how, source, memory, env);
                self.note_offers(peer, source, env);
            }
            (Event::Has { piece }, Some(source)) => {
                self.note_gain(peer, piece, source, memory, env);
                self.note_offers(peer, source, env);
            }
            (Event::PeerChokedUs | Event::PeerUnchokedUs, Some(source)) => {
                self.round.progress_at = env.notes.now;
                self.note_offers(peer, source, env);
            }
            (Event::AllowedFast { .. }, Some(source)) => self.note_offers(peer, source, env),
            (Event::RequestRefused(block), Some(source)) => {
                self.note_refused(peer, block, source, env)
            }
            (Event::BlockArrived(block), Some(source)) => {
                self.note_block(block, source, memory, env);
            }
            (Event::Pex(pex), Some(source)) => self.note_pex(&pex, source, env),
            (
                Event::PeerInterested
                | Event::PeerNotInterested
                | Event::PeerRequested(_)
                | Event::PeerCancelled(_)
                | Event::Suggested { .. }
                | Event::BlockUnrequested(_)
                // We neither offer to hear of pieces that are gone nor talk of hashes: the torrent file has
                // those of every piece.
                | Event::HasNoLonger { .. }
                | Event::PeerWantsHashes(_)
                | Event::Hashes { .. }
                | Event::HashesRefused(_)
                | Event::DhtPort(_)
                | Event::UnknownMessage { .. },
                _,
            ) => {}
            (
                Event::Opened { .. }
                | Event::Extended(_)
                | Event::HasSet { .. }
                | Event::Has { .. }
                | Event::PeerChokedUs
                | Event::PeerUnchokedUs
                | Event::AllowedFast { .. }
                | Event::RequestRefused(_)
                | Event::BlockArrived(_)
                | Event::Pex(_),
                None,
            ) => panic!("what a peer said has bytes"),
        }
        None
    }

    fn note_end(&self, why: Why, source: Option<Source>, env: &mut Env<'_>) -> CloseKind {
        match why {
            Why::Violation(violation) => self.note_violation(&violation, source, env),
            Why::Idle | Why::Stalled => CloseKind::UsIdle,
            Why::WeClosed => CloseKind::UsDone,
            Why::PeerClosed => CloseKind::Them(EndKind::Closed),
        }
    }

    fn note_violation(
        &self,
        violation: &dyn std::error::Error,
        source: Option<Source>,
        env: &mut Env<'_>,
    ) -> CloseKind {
        let conn = self.reached.conn();
        let violation = violation.to_string();
        env.notes.write(Body::Violated {
            conn,
            violation,
            source,
        });
        CloseKind::UsViolation
    }

    fn note_handshake(
        &mut self,
        peer: &mut PeerConn,
        handshake: &[u8],
        source: Source,
        env: &mut Env<'_>,
    ) -> Option<CloseKind> {
        let joined = match Joined::from_handshake(self.reached, &self.ours, handshake) {
            Ok(joined) if env.world.identity.is_ours(joined.peer_id().0) => {
                return Some(self.note_violation(&Violation::OwnPeerId, Some(source), env));
            }
            Ok(joined) => joined,
            Err(error) => return Some(self.note_violation(&error, Some(source), env)),
        };
        let target = self.target(env.world);
        if self.reached.incoming() {
            *env.incoming += 1;
            env.notes.write(Body::Listed {
                target,
                endpoint: self.reached.endpoint(),
                by: NamedBy::Incoming,
                source: None,
            });
        }
        env.notes.write(graded::joined(&joined, target, source));
        self.joined = Some(joined);
        peer.set_interested(true, env.notes.now);
        None
    }

    fn note_extended(
        &mut self,
        peer: &mut PeerConn,
        Said(ext): Said<ExtHandshake>,
        source: Source,
        memory: &mut Memory,
        env: &mut Env<'_>,
    ) {
        env.notes.write(Body::Extended {
            conn: self.reached.conn(),
            client: ext.client.as_deref().map(said_text),
            listen_port: ext.listen_port,
            upload_only: ext.upload_only,
            your_ip: ext.your_ip,
            source,
        });
        if ext.upload_only == Some(true) {
            let pieces = peer.peer_pieces().clone();
            self.note_set(pieces, ClaimKind::UploadOnly, source, memory, env);
        }
        let endpoint = self.reached.endpoint();
        if let Some(port) = ext.listen_port
            && self.reached.incoming()
        {
            self.listens_at = Some(SocketAddr::new(endpoint.ip(), port));
            env.heard.push((
                self.swarm,
                Naming {
                    endpoint: SocketAddr::new(endpoint.ip(), port),
                    namer: Namer::ListenPort(endpoint),
                    by: NamedBy::ListenPort {
                        conn: self.reached.conn(),
                    },
                    source: Some(source),
                },
            ));
        }
    }

    fn note_set(
        &mut self,
        pieces: Said<Bitfield>,
        how: ClaimKind,
        source: Source,
        memory: &mut Memory,
        env: &mut Env<'_>,
    ) {
        let Some(joined) = self.joined else { return };
        let claimed = Claimed::from_set(joined, &pieces);
        let (gained, since) = match &memory.claims {
            Some((before, at)) => {
                let gained = pieces.0.iter().filter(|&piece| !before.has(piece)).count();
                (gained as u32, Some(*at))
            }
            None => (0, None),
        };
        env.notes.write(graded::claimed_set(
            &claimed,
            graded::Set { how, gained, since },
            source,
        ));
        self.claimed = Some(claimed);
        memory.claims = Some((pieces.0, env.notes.now));
    }

    fn note_gain(
        &mut self,
        peer: &mut PeerConn,
        Said(piece): Said<PieceIndex>,
        source: Source,
        memory: &mut Memory,
        env: &mut Env<'_>,
    ) {
        let Some(joined) = self.joined else { return };
        let pieces = peer.peer_pieces();
        let claimed = Claimed::from_set(joined, pieces);
        let since = match &memory.claims {
            Some((before, at)) if !before.has(piece) => Some(*at),
            Some(_) | None => None,
        };
        env.notes
            .write(graded::claimed_gain(&claimed, piece, since, source));
        self.claimed = Some(claimed);
        let (known, at) = memory
            .claims
            .get_or_insert_with(|| (Bitfield::empty(pieces.0.piece_count()), env.notes.now));
        known.insert(piece);
        *at = env.notes.now;
    }

    /// Writes down what it offers if that changed.
    fn note_offers(&mut self, peer: &PeerConn, source: Source, env: &mut Env<'_>) {
        let choked = peer.peer_chokes_us();
        let claims = &peer.peer_pieces().0;
        let pieces = if choked {
            peer.allowed_fast()
                .iter()
                .filter(|&&piece| claims.has(piece))
                .count() as u32
        } else {
            claims.count()
        };
        if (choked, pieces) != self.offers {
            self.offers = (choked, pieces);
            let share = u64::from(pieces) * 1_000_000;
            env.notes.write(Body::Offers {
                conn: self.reached.conn(),
                pieces,
                share_ppm: share.checked_div(claims.piece_count().into()).unwrap_or(0) as u32,
                choked,
                source,
            });
        }
    }

    fn note_refused(&mut self, peer: &PeerConn, block: Block, source: Source, env: &mut Env<'_>) {
        env.notes.write(Body::Refused {
            conn: self.reached.conn(),
            block,
            source,
        });
        let Some(fetch) = self.round.fetch(block.piece) else {
            return;
        };
        fetch.refused(block);
        if may_ask(peer, block.piece) {
            self.give_up_piece(block.piece, env);
        }
    }

    fn note_block(&mut self, block: Block, source: Source, memory: &mut Memory, env: &mut Env<'_>) {
        let payload = std::mem::take(&mut self.payload);
        self.round.progress_at = env.notes.now;
        let Some(Ok(delivered)) = self
            .claimed
            .map(|claimed| fetch::deliver(claimed, block, &payload))
        else {
            return;
        };
        env.notes.write(graded::delivered(&delivered, source));
        let Some(fetch) = self.round.fetch(block.piece) else {
            return;
        };
        if !fetch.arrived(delivered, &payload) {
            return;
        }
        let (conn, piece) = (self.reached.conn(), fetch.piece());
        let target = &env.world.swarms[self.swarm].target;
        let pieces = target.metainfo.info.piece_count();
        let expected = target
            .piece_hashes(piece)
            .expect("what was asked for is in the torrent");
        match fetch.check(&expected) {
            Ok(verified) => {
                env.notes.write(graded::verified(&verified));
                if let Some(whole) = memory.verify(verified, pieces) {
                    env.notes.write(graded::whole(&whole));
                }
            }
            Err(NotVerified::Digest { got, expected }) => {
                env.notes.write(Body::Refuted {
                    conn,
                    piece,
                    expected: expected.sha1,
                    got: got.sha1,
                    expected_root: expected.root,
                    got_root: got.root,
                    attack: None,
                });
                self.round.refusals += 1;
            }
            Err(NotVerified::Attack { sha1 }) => {
                env.notes.write(Body::Refuted {
                    conn,
                    piece,
                    expected: Some(sha1),
                    got: Some(sha1),
                    expected_root: None,
                    got_root: None,
                    attack: Some(Attack::Sha1Collision),
                });
                self.round.refusals += 1;
            }
            Err(error) => panic!("the blocks of one fetch cover one piece: {error}"),
        }
        self.drop_piece(piece, env);
    }

    fn note_pex(&mut self, Said(pex): &Said<Pex>, source: Source, env: &mut Env<'_>) {
        for peer in &pex.added {
            if self.pex_named >= PEX_NAMED_PER_CONN_MAX {
                let (target, conn) = (self.target(env.world), self.reached.conn());
                let limit = PEX_NAMED_PER_CONN_MAX.into();
                env.notes
                    .limited(Some(target), Some(conn), "PEX_NAMED_PER_CONN_MAX", limit);
                return;
            }
            self.pex_named += 1;
            env.heard.push((
                self.swarm,
                Naming {
                    endpoint: peer.addr,
                    namer: Namer::Pex(self.reached.endpoint()),
                    by: NamedBy::Pex {
                        conn: self.reached.conn(),
                    },
                    source: Some(source),
                },
            ));
        }
    }

    pub(super) fn target(&self, world: &World) -> TargetIndex {
        world.swarms[self.swarm].index
    }
}

/// A stranger's text, cut to what a record takes.
fn said_text(bytes: &[u8]) -> String {
    let mut text = String::from_utf8_lossy(bytes).into_owned();
    while text.len() > TEXT_BYTES_MAX {
        text.pop();
    }
    text
}
