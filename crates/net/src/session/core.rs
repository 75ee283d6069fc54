//! The machine with its world, shared by the tasks of one session.

use std::{
    cell::RefCell,
    net::{IpAddr, SocketAddr},
    rc::Rc,
    time::Duration,
};

use skep_proto::torrent::{Torrent, settle};
use skep_wire::Moment;
use tokio::{
    net::{TcpSocket, TcpStream},
    sync::Notify,
};

use super::{PeerKey, What, link, world::World};
use crate::clock::RunClock;

/// How long a connection may take to stand.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(10);

/// The machine with its world.
pub(super) struct Core {
    pub(super) torrent: Torrent,
    pub(super) world: World,
    /// When the timer's task wakes next.
    pub(super) timer_at: Option<Moment>,
}

/// The core as the tasks hold it. All of them run on one thread.
#[derive(Clone)]
pub(super) struct Shared {
    core: Rc<RefCell<Core>>,
    /// Tells the timer's task that its deadline has come nearer.
    pub(super) timer: Rc<Notify>,
    clock: RunClock,
    bind: IpAddr,
}

impl Core {
    /// Drains the machine.
    pub(super) fn settle(&mut self) {
        settle(&mut self.torrent, &mut self.world);
    }

    /// A connection is over, by the other end or because we could not go on with it.
    pub(super) fn end(&mut self, peer: PeerKey) {
        self.torrent.handle_end(peer, self.world.clock.now());
        self.settle();
        if let Some(line) = self.world.lines.get_mut(&peer) {
            line.is_closing = true;
        }
    }
}

impl Shared {
    pub(super) fn new(core: Core, bind: IpAddr) -> Self {
        let clock = core.world.clock;
        Self {
            core: Rc::new(RefCell::new(core)),
            timer: Rc::new(Notify::new()),
            clock,
            bind,
        }
    }

    pub(super) fn clock(&self) -> RunClock {
        self.clock
    }

    /// Does something with the core, drains the machine, and starts the connections that it wants.
    pub(super) fn turn<R>(&self, act: impl FnOnce(&mut Core, Moment) -> R) -> R {
        let (result, dials) = {
            let mut core = self.core.borrow_mut();
            let result = act(&mut core, self.clock.now());
            core.settle();
            let due = core.torrent.poll_timeout().map(|(at, _)| at);
            if due.is_some() && core.timer_at.is_none_or(|at| due < Some(at)) {
                core.timer_at = due;
                self.timer.notify_one();
            }
            (result, std::mem::take(&mut core.world.dial_next))
        };
        for (peer, remote) in dials {
            self.dial(peer, remote);
        }
        result
    }

    /// Opens a connection that the machine asked for.
    fn dial(&self, peer: PeerKey, remote: SocketAddr) {
        let shared = self.clone();
        let task = tokio::task::spawn_local(async move {
            let opening = tokio::time::timeout(CONNECT_TIME_MAX, open(shared.bind, remote));
            let opened = match opening.await {
                Ok(Ok(stream)) => stream.local_addr().map(|local| (stream, local)),
                Ok(Err(error)) => Err(error),
                Err(_) => Err(std::io::ErrorKind::TimedOut.into()),
            };
            match opened {
                Ok((stream, local)) => {
                    let wake = shared.turn(|core, now| {
                        core.world.dialing.remove(&peer);
                        let (line, wake) = link::line(remote, now);
                        core.world.lines.insert(peer, line);
                        core.world.tell(What::Connected {
                            peer,
                            local,
                            remote,
                            outgoing: true,
                        });
                        core.torrent.handle_connected(peer, now);
                        wake
                    });
                    link::serve(shared, peer, stream, wake).await;
                }
                Err(error) => shared.turn(|core, now| {
                    core.world.dialing.remove(&peer);
                    core.world.tell(What::ConnectFailed {
                        remote,
                        reason: error.to_string(),
                    });
                    core.torrent.handle_connect_failed(peer, now);
                }),
            }
        });
        self.note_dial(peer, task.abort_handle());
    }

    /// Notes how to stop a connection attempt; the machine may have given it up already.
    fn note_dial(&self, peer: PeerKey, task: tokio::task::AbortHandle) {
        match self.core.borrow_mut().world.dialing.get_mut(&peer) {
            Some(dialing) => *dialing = Some(task),
            None => task.abort(),
        }
    }

    /// Takes in a connection that came.
    pub(super) fn accept(&self, stream: TcpStream, remote: SocketAddr) {
        let Ok(local) = stream.local_addr() else {
            return;
        };
        // A socket for both families shows IPv4 peers as mapped addresses; they are one endpoint.
        let canonical = |addr: SocketAddr| SocketAddr::new(addr.ip().to_canonical(), addr.port());
        let (local, remote) = (canonical(local), canonical(remote));
        let _ = stream.set_nodelay(true);
        let taken = self.turn(|core, now| {
            let peer = core.torrent.handle_incoming(remote, now)?;
            let (line, wake) = link::line(remote, now);
            core.world.lines.insert(peer, line);
            core.world.tell(What::Connected {
                peer,
                local,
                remote,
                outgoing: false,
            });
            Some((peer, wake))
        });
        if let Some((peer, wake)) = taken {
            tokio::task::spawn_local(link::serve(self.clone(), peer, stream, wake));
        }
    }

    /// Tells the machine when its deadlines come, for as long as the session lives.
    pub(super) async fn keep_time(self) {
        loop {
            let due = self.core.borrow().timer_at;
            let sleep = async {
                match due {
                    Some(at) => tokio::time::sleep_until(self.clock.instant(at).into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = sleep => {}
                () = self.timer.notified() => continue,
            }
            self.turn(|core, now| {
                core.timer_at = None;
                core.torrent.handle_timeout(now);
            });
        }
    }
}

/// Connects from the session's own address.
async fn open(bind: IpAddr, remote: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = match remote {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    if !bind.is_unspecified() {
        socket.bind((bind, 0).into())?;
    }
    socket.set_nodelay(true)?;
    socket.connect(remote).await
}
