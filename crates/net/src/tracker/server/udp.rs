//! The UDP side: datagrams in, datagrams out.
//!
//! An answer comes from the address that was asked. A socket on a wildcard address would send from
//! whatever address its route to the client begins with, and a client takes no answer from one that
//! it did not ask; so each datagram brings its destination along (IP_PKTINFO, IPV6_RECVPKTINFO).

use std::{
    io::{self, IoSliceMut},
    net::SocketAddr,
    sync::Arc,
};

use quinn_udp::{RecvMeta, Transmit, UdpSocketState};
use skep_proto::tracker::server::Answered;
use tokio::{io::Interest, net::UdpSocket};

use super::Shared;

/// The longest request is a scrape of 74 torrents, 1,496 bytes; an announce with a long URL is
/// below 2,400. What is longer is cut, and then is no request.
const REQUEST_LEN_MAX: usize = 4_096;

/// What one read may bring: the system joins datagrams of one length and sender (GRO).
const RECEIVED_LEN_MAX: usize = 65_536;

/// How many reads are answered before other tasks have their turn.
const BATCH_MAX: usize = 64;

/// A socket that knows where datagrams were sent to.
pub(super) struct Datagrams {
    socket: UdpSocket,
    state: UdpSocketState,
}

impl Datagrams {
    pub(super) fn new(socket: UdpSocket) -> io::Result<Self> {
        let state = UdpSocketState::new((&socket).into())?;
        Ok(Self { socket, state })
    }

    pub(super) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn try_receive(&self, buf: &mut [u8]) -> io::Result<RecvMeta> {
        let mut meta = [RecvMeta::default()];
        self.socket.try_io(Interest::READABLE, || {
            let bufs = &mut [IoSliceMut::new(buf)];
            self.state.recv((&self.socket).into(), bufs, &mut meta)
        })?;
        let [meta] = meta;
        Ok(meta)
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.socket.try_io(Interest::WRITABLE, || {
            self.state.try_send((&self.socket).into(), transmit)
        })
    }
}

pub(super) async fn serve(datagrams: Datagrams, shared: Arc<Shared>) {
    let mut buf = vec![0; RECEIVED_LEN_MAX];
    let mut reply = Vec::new();
    loop {
        // Errors are about earlier datagrams (ICMP), and reading them clears them.
        if datagrams.socket.readable().await.is_err() {
            tokio::task::yield_now().await;
        }
        for _ in 0..BATCH_MAX {
            match datagrams.try_receive(&mut buf) {
                Ok(meta) => {
                    let received = &buf[..meta.len.min(buf.len())];
                    for request in received.chunks(meta.stride.max(1)) {
                        answer(&datagrams, &shared, &meta, request, &mut reply);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => {}
            }
        }
        tokio::task::yield_now().await;
    }
}

fn answer(
    datagrams: &Datagrams,
    shared: &Shared,
    meta: &RecvMeta,
    request: &[u8],
    reply: &mut Vec<u8>,
) {
    reply.clear();
    let now = shared.clock.now();
    let request = &request[..request.len().min(REQUEST_LEN_MAX)];
    let answered = {
        let mut answerer = shared.lock();
        let answered = answerer.answer_datagram(meta.addr, request, now, reply);
        if let Answered::Announce(served) = &answered {
            shared.served(served);
        }
        answered
    };
    if answered != Answered::Ignored {
        let transmit = Transmit {
            destination: meta.addr,
            ecn: None,
            contents: reply,
            segment_size: None,
            src_ip: meta.dst_ip,
        };
        // A full send buffer loses the reply, as the network may; clients ask again.
        let _ = datagrams.try_send(&transmit);
    }
}
