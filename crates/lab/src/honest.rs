//! Honest peers: the ordinary engine, with its events written into the truth log.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::{Arc, Mutex},
};

use skep_net::{
    clock::RunClock,
    session::{
        EventSink, Happened, PeerKey, Place, Purpose, SeedUntil, Session, SessionConfig,
        SessionError, Stats, What as Did,
    },
};
use skep_wire::metainfo::Metainfo;

use crate::{
    hostile::Stage,
    truth::{Act, What, utc_us},
};

/// What an honest peer is to do.
#[derive(Debug, Clone)]
pub struct HonestPlan {
    /// Its name in the truth log.
    pub name: String,
    /// What it is, for the truth log.
    pub role: String,
    /// Its own address.
    pub ip: IpAddr,
    /// The torrent, with its trackers.
    pub torrent: Arc<Metainfo>,
    /// Where its content lies: the file to share, or the folder to fetch into.
    pub content: Content,
    /// Payload bytes sent a second, at most.
    pub upload_bytes_per_sec: u64,
    /// Payload bytes received a second, at most.
    pub download_bytes_per_sec: u64,
    /// Seed of its random choices.
    pub seed: u64,
}

/// Where an honest peer's content lies.
#[derive(Debug, Clone)]
pub enum Content {
    /// It has everything: this file.
    Complete(PathBuf),
    /// It fetches into this folder, and goes on from what is there.
    FetchInto(PathBuf),
}

/// An honest peer that is up.
#[derive(Debug)]
pub struct Honest {
    name: String,
    stage: Stage,
    session: Session,
}

/// How many peers an honest peer uploads to at once: few, so that a swarm of ten has chokes.
const UPLOAD_SLOTS: usize = 4;

impl Honest {
    /// Starts a peer.
    ///
    /// # Errors
    ///
    /// Those of [`Session::start`].
    pub fn start(plan: HonestPlan, stage: &Stage) -> Result<Self, SessionError> {
        let mut config = match plan.content {
            Content::Complete(file) => SessionConfig::seed(plan.torrent, file),
            Content::FetchInto(dir) => SessionConfig::get(plan.torrent, dir),
        };
        if matches!(config.place, Place::Under(_)) {
            config.purpose = Purpose::Get(SeedUntil::Forever);
        }
        config.bind = plan.ip;
        config.upload_bytes_per_sec = Some(plan.upload_bytes_per_sec);
        config.download_bytes_per_sec = Some(plan.download_bytes_per_sec);
        config.upload_slots = UPLOAD_SLOTS;
        config.random_seed = Some(plan.seed);
        config.clock = RunClock::start();
        let scribe = Scribe {
            name: plan.name.clone(),
            role: plan.role,
            stage: stage.clone(),
            began_us: utc_us(),
            ends: Mutex::default(),
        };
        config.events = EventSink::new(move |happened| scribe.write(&happened));
        let session = Session::start(config)?;
        Ok(Self {
            name: plan.name,
            stage: stage.clone(),
            session,
        })
    }

    /// Its name in the truth log.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it listens.
    pub fn endpoint(&self) -> SocketAddr {
        self.session.listen_addr()
    }

    /// Its counts.
    pub fn stats(&self) -> Stats {
        self.session.stats()
    }

    /// Whether it has left.
    pub fn is_over(&self) -> bool {
        self.session.is_over()
    }

    /// Asks it to leave; returns at once.
    pub fn leave(&self) {
        self.session.stop();
    }

    /// Waits until it has left. Blocks the calling thread.
    ///
    /// # Errors
    ///
    /// What ended it early.
    pub fn join(self) -> Result<(), SessionError> {
        let ended = self.session.join().map(drop);
        self.stage.truth.write(&self.name, Act::Leaves);
        ended
    }
}

/// Writes a session's events down as acts.
struct Scribe {
    name: String,
    role: String,
    stage: Stage,
    /// UTC at the session's moment zero.
    began_us: i64,
    ends: Mutex<BTreeMap<PeerKey, (SocketAddr, SocketAddr)>>,
}

impl Scribe {
    fn write(&self, happened: &Happened) {
        let mut ends = self
            .ends
            .lock()
            .expect("nothing panics while it holds the lock");
        // Kept beyond the end of the connection: what was queued may leave after the machine closed it.
        if let Did::Connected {
            peer,
            local,
            remote,
            ..
        } = happened.what
        {
            ends.insert(peer, (local, remote));
        }
        let at = self.began_us + i64::try_from(happened.at.0 / 1_000).unwrap_or(i64::MAX);
        for act in self.acts(&happened.what, &ends) {
            self.stage.truth.write_at(&self.name, act, at);
        }
    }

    fn acts(&self, did: &Did, ends: &BTreeMap<PeerKey, (SocketAddr, SocketAddr)>) -> Vec<Act> {
        let ends_of = |peer: &PeerKey| ends.get(peer).copied();
        let sends = |peer: &PeerKey, what: What, bytes: u64| {
            let sent = ends_of(peer).map(|(local, remote)| Act::Sends {
                local,
                remote,
                what,
                bytes,
            });
            sent.into_iter().collect()
        };
        let receives = |peer: &PeerKey, what: What, bytes: u64| {
            let ends = ends_of(peer);
            let came = ends.map(|(local, remote)| Act::Receives {
                local,
                remote,
                what,
                bytes,
            });
            came.into_iter().collect()
        };
        let info_hash = || self.stage.work.info_hash.to_string();
        match did {
            Did::Listening { addr } => {
                vec![Act::Enters {
                    role: self.role.clone(),
                    honest: true,
                    endpoint: *addr,
                }]
            }
            // A session says which pieces it gains; of what was there it says how many. All of
            // them is the only count that says which; a returning peer's are further up in the log.
            Did::Checked {
                pieces_held,
                pieces,
                ..
            } if pieces_held == pieces => (0..*pieces).map(|piece| Act::Has { piece }).collect(),
            Did::Connected {
                local,
                remote,
                outgoing: true,
                ..
            } => {
                vec![Act::Connects {
                    local: *local,
                    remote: *remote,
                }]
            }
            Did::Connected {
                local,
                remote,
                outgoing: false,
                ..
            } => {
                vec![Act::Accepts {
                    local: *local,
                    remote: *remote,
                }]
            }
            Did::HandshakeSent { peer } => sends(
                peer,
                What::Handshake {
                    info_hash: info_hash(),
                },
                68,
            ),
            Did::Opened { peer, .. } => receives(
                peer,
                What::Handshake {
                    info_hash: info_hash(),
                },
                68,
            ),
            Did::SetSent { peer, pieces } => {
                let bytes = 5 + u64::from(self.stage.work.piece_count().div_ceil(8));
                sends(peer, What::Set { pieces: *pieces }, bytes)
            }
            Did::HaveSent { peer, piece } => sends(peer, What::Have { piece: piece.0 }, 9),
            Did::BlockSent { peer, block, .. } => {
                let (piece, begin, len) = (block.piece.0, block.begin, block.len);
                // The engine offers only pieces whose hash it has checked.
                let what = What::Block {
                    piece,
                    begin,
                    len,
                    genuine: Some(true),
                };
                sends(peer, what, u64::from(len) + 13)
            }
            Did::BlockReceived { peer, block, .. } => {
                let (piece, begin, len) = (block.piece.0, block.begin, block.len);
                let what = What::Block {
                    piece,
                    begin,
                    len,
                    genuine: None,
                };
                receives(peer, what, u64::from(len) + 13)
            }
            Did::PieceVerified { piece } => vec![Act::Has { piece: piece.0 }],
            Did::Disconnected { peer, .. } => {
                let ends = ends_of(peer);
                ends.map(|(local, remote)| Act::Closes { local, remote })
                    .into_iter()
                    .collect()
            }
            Did::Checked { .. }
            | Did::ConnectFailed { .. }
            | Did::PieceFailed { .. }
            | Did::BlocksFailed { .. }
            | Did::PeerBanned { .. }
            | Did::Tracker { .. }
            | Did::TrackerPartly { .. }
            | Did::Completed
            | Did::DiskFailed { .. }
            | Did::DiskRecovered
            | Did::AttributesLeft { .. }
            | Did::PiecesLost { .. }
            | Did::Moved { .. }
            | Did::MoveFailed { .. } => vec![],
        }
    }
}
