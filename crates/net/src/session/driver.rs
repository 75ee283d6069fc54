//! The event loop of one session.

use std::net::{IpAddr, SocketAddr, TcpListener};

use tokio::sync::{mpsc, watch};

use super::{Command, Ended, SessionConfig, SessionError, Stats};

/// How many connections may wait to be accepted.
const BACKLOG: i32 = 256;

/// Binds the listening socket.
pub(super) fn listen(ip: IpAddr, port: u16) -> Result<TcpListener, SessionError> {
    let addr = SocketAddr::new(ip, port);
    let open = || {
        let domain = socket2::Domain::for_address(addr);
        let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&addr.into())?;
        socket.listen(BACKLOG)?;
        Ok(TcpListener::from(socket))
    };
    open().map_err(|source| SessionError::Listen { addr, source })
}

/// Runs the session to its end on the calling thread.
#[allow(unused_variables, clippy::todo)]
pub(super) fn run(
    config: SessionConfig,
    listener: TcpListener,
    inbox: mpsc::UnboundedReceiver<Command>,
    stats: watch::Sender<Stats>,
) -> Result<Ended, SessionError> {
    todo!("engine")
}
