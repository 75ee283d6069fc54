//! Hostile and broken company: endpoints that are in no swarm, and peers that lie.
//!
//! Each has its own address (or shares one on purpose), listens on a port that the system chose,
//! and writes what it does into the truth log. They are written on raw sockets with the simplest
//! code that does the deed; nothing of the engine is in them.
//!
//! | kind | what it does | highest grade that is true of it |
//! |---|---|---|
//! | `Refused` | nothing listens where it is listed | `Listed` |
//! | `Silent` | accepts and says nothing | `Reached` |
//! | `Printer` | answers everything with an HTTP error, as printers do | `Reached` |
//! | `Echo` | sends back every byte, our handshake too | `Reached` |
//! | `OtherSwarm` | completes a handshake for another info-hash | `Reached` |
//! | `SlowLoris` | sends its handshake one byte a second | `Reached` |
//! | `FakeSeed` | claims everything and chokes for ever | `Claimed` |
//! | `ClaimsAll` | claims everything, unchokes, sends nothing | `Claimed` |
//! | `Oversized` | joins, claims, then announces a message of 4 GiB | `Claimed` |
//! | `HaveFlood` | joins and sends haves, valid and absurd, without end | `Claimed` |
//! | `Garbage` | answers each request with wrong bytes | `Delivered` |
//! | `UnderReporter` | has everything, claims half, delivers what it claims | `Verified` |

mod announce;
mod deeds;
mod link;

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use skep_evidence::grade::Grade;
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::watch,
    task::{JoinHandle, JoinSet},
};

pub use announce::{Announcement, announce};

use crate::{
    content::Work,
    truth::{Act, TruthLog},
};

/// What every actor is given: where to write, and what the swarm shares.
#[derive(Debug, Clone)]
pub struct Stage {
    /// The truth log.
    pub truth: TruthLog,
    /// The work.
    pub work: Arc<Work>,
}

/// What a hostile actor does. See the module's table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Nothing listens.
    Refused,
    /// Accepts and says nothing.
    Silent,
    /// Answers HTTP.
    Printer,
    /// Sends back what came.
    Echo,
    /// Handshake for another info-hash.
    OtherSwarm,
    /// One byte a second.
    SlowLoris,
    /// Claims everything, chokes for ever.
    FakeSeed,
    /// Claims everything, unchokes, sends nothing.
    ClaimsAll,
    /// Announces a message of 4 GiB.
    Oversized,
    /// Haves without end.
    HaveFlood,
    /// Wrong bytes.
    Garbage,
    /// Claims less than it has.
    UnderReporter,
}

impl Kind {
    /// All kinds, from the least to the most that is true of them.
    pub const ALL: [Self; 12] = [
        Self::Refused,
        Self::Silent,
        Self::Printer,
        Self::Echo,
        Self::OtherSwarm,
        Self::SlowLoris,
        Self::FakeSeed,
        Self::ClaimsAll,
        Self::Oversized,
        Self::HaveFlood,
        Self::Garbage,
        Self::UnderReporter,
    ];

    /// Its name in the truth log and in the demo's table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Silent => "silent",
            Self::Printer => "printer",
            Self::Echo => "echo",
            Self::OtherSwarm => "other-swarm",
            Self::SlowLoris => "slow-loris",
            Self::FakeSeed => "fake-seed",
            Self::ClaimsAll => "claims-all",
            Self::Oversized => "oversized",
            Self::HaveFlood => "have-flood",
            Self::Garbage => "garbage",
            Self::UnderReporter => "under-reporter",
        }
    }

    /// What it does, for a reader.
    pub fn story(self) -> &'static str {
        match self {
            Self::Refused => "listed, but nothing listens there",
            Self::Silent => "accepts connections and says nothing",
            Self::Printer => "a printer: answers everything with HTTP",
            Self::Echo => "sends our own handshake back",
            Self::OtherSwarm => "a peer of another swarm",
            Self::SlowLoris => "sends its handshake one byte a second",
            Self::FakeSeed => "claims everything, chokes for ever",
            Self::ClaimsAll => "claims everything, delivers nothing",
            Self::Oversized => "announces a message of 4 GiB",
            Self::HaveFlood => "floods haves, valid and absurd",
            Self::Garbage => "delivers garbage",
            Self::UnderReporter => "has everything, claims half",
        }
    }

    /// The highest grade that can be true of it.
    pub fn grade_max(self) -> Grade {
        match self {
            Self::Refused => Grade::Listed,
            Self::Silent | Self::Printer | Self::Echo | Self::OtherSwarm | Self::SlowLoris => {
                Grade::Reached
            }
            Self::FakeSeed | Self::ClaimsAll | Self::Oversized | Self::HaveFlood => Grade::Claimed,
            Self::Garbage => Grade::Delivered,
            Self::UnderReporter => Grade::Verified,
        }
    }

    /// Whether it is a member of the swarm that announces itself to the tracker. The others do not
    /// know of BitTorrent; the tracker's list is bogus where it names them.
    pub fn announces(self) -> bool {
        self.grade_max() >= Grade::Joined
    }
}

/// A hostile actor that is up. Dropping it ends it.
#[derive(Debug)]
pub struct Hostile {
    /// What it does.
    pub kind: Kind,
    /// Its name in the truth log.
    pub name: String,
    /// Where it listens, or pretends to.
    pub endpoint: SocketAddr,
    stage: Stage,
    stop: watch::Sender<bool>,
    task: Option<JoinHandle<()>>,
    /// The port that refuses is bound but does not listen, so nobody else can take it.
    _held: Option<TcpSocket>,
}

/// How many connections one actor holds at once; more are closed as they come.
pub const CONNS_MAX: usize = 256;

/// How many connections wait in the kernel for `accept`.
const BACKLOG: u32 = 64;

impl Hostile {
    /// Starts an actor on a free port of `ip`.
    ///
    /// # Errors
    ///
    /// The address cannot be bound.
    pub async fn start(
        kind: Kind,
        name: &str,
        ip: IpAddr,
        stage: &Stage,
    ) -> Result<Self, std::io::Error> {
        let socket = if ip.is_ipv4() {
            TcpSocket::new_v4()?
        } else {
            TcpSocket::new_v6()?
        };
        socket.bind(SocketAddr::new(ip, 0))?;
        let endpoint = socket.local_addr()?;
        let (stop, stopped) = watch::channel(false);
        let (task, held) = if kind == Kind::Refused {
            (None, Some(socket))
        } else {
            let scene = Scene {
                kind,
                name: name.to_owned(),
                stage: stage.clone(),
            };
            (
                Some(tokio::spawn(accept_loop(
                    socket.listen(BACKLOG)?,
                    scene,
                    stopped,
                ))),
                None,
            )
        };
        let role = kind.story().to_owned();
        let pieces_held = if kind == Kind::UnderReporter {
            stage.work.piece_count()
        } else {
            0
        };
        stage.truth.write(
            name,
            Act::Enters {
                role,
                honest: false,
                endpoint,
            },
        );
        (0..pieces_held).for_each(|piece| stage.truth.write(name, Act::Has { piece }));
        Ok(Self {
            kind,
            name: name.to_owned(),
            endpoint,
            stage: stage.clone(),
            stop,
            task,
            _held: held,
        })
    }

    /// Ends the actor: closes its listener and its connections.
    pub async fn stop(mut self) {
        // An error would mean that the loop is gone already.
        let _ = self.stop.send(true);
        if let Some(task) = self.task.take() {
            let _ = task.await;
        }
        self.stage.truth.write(&self.name, Act::Leaves);
    }
}

/// What a connection's task needs to know of its actor.
#[derive(Debug, Clone)]
struct Scene {
    kind: Kind,
    name: String,
    stage: Stage,
}

async fn accept_loop(listener: TcpListener, scene: Scene, mut stopped: watch::Receiver<bool>) {
    let mut conns = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, remote)) if conns.len() < CONNS_MAX => {
                    conns.spawn(one_connection(stream, remote, scene.clone()));
                }
                // Too many at once, or one that broke before we took it: the next may be better.
                Ok(_) | Err(_) => tokio::task::yield_now().await,
            },
            Some(_) = conns.join_next() => {}
            _ = stopped.changed() => break,
        }
    }
    conns.shutdown().await;
}

async fn one_connection(stream: TcpStream, remote: SocketAddr, scene: Scene) {
    let Ok(local) = stream.local_addr() else {
        return;
    };
    let (name, truth) = (scene.name.clone(), scene.stage.truth.clone());
    truth.write(&name, Act::Accepts { local, remote });
    let link = link::Link::new(stream, local, remote, &scene.name, &scene.stage.truth);
    // An error is the other end's way to hang up.
    let _ = deeds::act(scene.kind, link, &scene.stage.work).await;
    truth.write(&name, Act::Closes { local, remote });
}
