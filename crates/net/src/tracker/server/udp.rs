//! The UDP side: datagrams in, datagrams out.

use std::{net::SocketAddr, sync::Arc};

use skep_proto::tracker::server::Answered;
use tokio::net::UdpSocket;

use super::Shared;

/// The longest request is a scrape of 74 torrents, 1,496 bytes; an announce with a long URL is
/// below 2,400. What is longer is cut, and then is no request.
const REQUEST_LEN_MAX: usize = 4_096;

/// How many datagrams are answered before other tasks have their turn.
const BATCH_MAX: usize = 64;

pub(super) async fn serve(socket: UdpSocket, shared: Arc<Shared>) {
    let mut request = vec![0; REQUEST_LEN_MAX];
    let mut reply = Vec::new();
    loop {
        // Errors are about earlier datagrams (ICMP), and reading them clears them.
        if socket.readable().await.is_err() {
            tokio::task::yield_now().await;
        }
        for _ in 0..BATCH_MAX {
            match socket.try_recv_from(&mut request) {
                Ok((len, from)) => answer(&socket, &shared, from, &request[..len], &mut reply),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                Err(_) => {}
            }
        }
        tokio::task::yield_now().await;
    }
}

fn answer(
    socket: &UdpSocket,
    shared: &Shared,
    from: SocketAddr,
    request: &[u8],
    reply: &mut Vec<u8>,
) {
    reply.clear();
    let now = shared.clock.now();
    let answered = {
        let mut answerer = shared.lock();
        let answered = answerer.answer_datagram(from, request, now, reply);
        if let Answered::Announce(served) = &answered {
            shared.served(served);
        }
        answered
    };
    if answered != Answered::Ignored {
        // A full send buffer loses the reply, as the network may; clients ask again.
        let _ = socket.try_send_to(reply, from);
    }
}
