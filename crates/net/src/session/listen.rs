//! Where a session listens.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
};

use rustix::io::Errno;

use super::SessionError;

/// How many connections may wait to be accepted: also while the content is being checked.
const BACKLOG: i32 = 256;

/// Binds the listening socket. At the unspecified address of IPv6 it takes peers of both IP versions, and
/// on a machine without IPv6 those of IPv4.
pub(super) fn listen(ip: IpAddr, port: u16) -> Result<TcpListener, SessionError> {
    listen_by(ip, port, open)
}

fn listen_by<T>(
    ip: IpAddr,
    port: u16,
    open: impl Fn(SocketAddr) -> io::Result<T>,
) -> Result<T, SessionError> {
    let addr = SocketAddr::new(ip, port);
    let opened = match open(addr) {
        Err(error) if ip == Ipv6Addr::UNSPECIFIED && lacks_ipv6(&error) => {
            open((Ipv4Addr::UNSPECIFIED, port).into())
        }
        opened => opened,
    };
    opened.map_err(|source| SessionError::Listen { addr, source })
}

fn open(addr: SocketAddr) -> io::Result<TcpListener> {
    let domain = socket2::Domain::for_address(addr);
    let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    if addr.is_ipv6() {
        // What it is otherwise is a setting of the machine.
        socket.set_only_v6(!addr.ip().is_unspecified())?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(TcpListener::from(socket))
}

/// Whether the system says that it does not know IPv6, or has no address of it.
fn lacks_ipv6(error: &io::Error) -> bool {
    let number = error.raw_os_error();
    [Errno::AFNOSUPPORT, Errno::ADDRNOTAVAIL]
        .iter()
        .any(|errno| number == Some(errno.raw_os_error()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_ipv6_the_session_listens_on_ipv4() {
        let v6 = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
        for errno in [Errno::AFNOSUPPORT, Errno::ADDRNOTAVAIL] {
            let open = |addr: SocketAddr| match addr {
                SocketAddr::V4(_) => Ok(addr),
                SocketAddr::V6(_) => Err(io::Error::from(errno)),
            };
            let bound = listen_by(v6, 7, open).expect("IPv4 is there");
            assert_eq!(bound, SocketAddr::from((Ipv4Addr::UNSPECIFIED, 7)));
            // Who names an address means it.
            listen_by(Ipv6Addr::LOCALHOST.into(), 7, open).expect_err("no IPv6");
        }
        let taken = |_| Err::<(), _>(io::Error::from(Errno::ADDRINUSE));
        let error = listen_by(v6, 7, taken).expect_err("the port is taken");
        assert!(matches!(error, SessionError::Listen { addr, .. } if addr.is_ipv6()));
    }
}
