//! The HTTP side: one task a connection.
//!
//! A connection takes a read buffer, which no client can make longer than one head
//! ([`HEAD_LEN_MAX`]) and the next read, the answers that it has not taken ([`OUT_LEN_MAX`] and one
//! more), and time: [`ServerConfig::request_time_max`](super::ServerConfig) for a request from its
//! first byte on and for taking the answer. That is 100 kB at the very most, with what vectors grow
//! ahead: 0.4 GB for 4,096 strangers who ask much and take nothing.

use std::{net::SocketAddr, sync::Arc};

use skep_proto::tracker::server::{Answered, TargetKind};
use skep_wire::http::{
    HEAD_LEN_MAX, HttpError, Request, head_may_end, parse_request, put_response,
    response::ResponseHead,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::{Instant, timeout_at},
};

use super::{
    Shared,
    conns::{Conns, Place},
};

/// Bytes of answers that wait to be written before requests that came together are read on. One
/// answer has 14 kB at most (200 peers of IPv6 as dictionaries).
const OUT_LEN_MAX: usize = 16 * 1024;

/// How much a read has room for, and how much an idle connection keeps.
const READ_LEN: usize = 1_024;

/// How long to wait after the system refused a connection for want of descriptors, until those that
/// made way have given back theirs.
const ACCEPT_PAUSE: std::time::Duration = std::time::Duration::from_millis(10);

const TEXT: &str = "text/plain; charset=utf-8";

pub(super) async fn serve(listener: TcpListener, shared: Arc<Shared>, conns: Conns) {
    loop {
        let (stream, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                if is_want_of_descriptors(&error) {
                    conns.shrink();
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let place = conns.enter(from.ip());
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            tokio::select! {
                () = converse(stream, from, &shared, &place) => {}
                () = place.displaced() => {}
            }
        });
        // Who made way gives back its descriptor before the next one is taken.
        tokio::task::yield_now().await;
    }
}

/// Whether an accept failed because this program or the system has no descriptor left, rather than
/// because the client went away.
fn is_want_of_descriptors(error: &std::io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

async fn converse(mut stream: TcpStream, from: SocketAddr, shared: &Shared, place: &Place) {
    // Answers are written whole; without this the last part could wait for an acknowledgement.
    let _ = stream.set_nodelay(true);
    let from = SocketAddr::new(from.ip().to_canonical(), from.port());
    let mut inbox = Inbox::default();
    let mut out = Vec::new();
    loop {
        // The clock runs from the first byte of a request: a byte now and then buys no time.
        let mut deadline = Instant::now() + shared.idle_time_max;
        let mut begun = !inbox.bytes.is_empty();
        if begun {
            deadline = Instant::now() + shared.request_time_max;
        }
        let keep_alive = loop {
            match inbox.take_requests(from, shared, &mut out) {
                Taken::Some { keep_alive } => break keep_alive,
                Taken::None => {}
            }
            inbox.bytes.reserve(READ_LEN);
            match timeout_at(deadline, stream.read_buf(&mut inbox.bytes)).await {
                Ok(Ok(0) | Err(_)) => return,
                Ok(Ok(_)) if begun => {}
                Ok(Ok(_)) => {
                    begun = true;
                    deadline = Instant::now() + shared.request_time_max;
                }
                Err(_) if begun => {
                    let head = ResponseHead {
                        status: 408,
                        keep_alive: false,
                    };
                    put_response(&mut out, head, TEXT, b"request took too long\n");
                    break false;
                }
                Err(_) => return,
            }
        };
        place.answered();
        let deadline = Instant::now() + shared.request_time_max;
        match timeout_at(deadline, stream.write_all(&out)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return,
        }
        if !keep_alive {
            close(stream, &mut inbox.bytes, deadline).await;
            return;
        }
        // What an idle connection keeps is little: there may be thousands.
        out = Vec::new();
        inbox.bytes.shrink_to(READ_LEN);
    }
}

/// Ends our side, then reads on a little: closing with unread bytes would reset the connection, and
/// the client might never see the answer.
async fn close(mut stream: TcpStream, buf: &mut Vec<u8>, deadline: Instant) {
    let _ = stream.shutdown().await;
    let mut rest = 4 * HEAD_LEN_MAX;
    while rest > 0 {
        buf.clear();
        buf.reserve(1_024);
        match timeout_at(deadline, stream.read_buf(buf)).await {
            Ok(Ok(len)) if len > 0 => rest = rest.saturating_sub(len),
            Ok(Ok(_) | Err(_)) | Err(_) => return,
        }
    }
}

enum Taken {
    /// No request is whole yet.
    None,
    /// At least one answer was written.
    Some { keep_alive: bool },
}

/// What came and is not answered.
#[derive(Debug, Default)]
struct Inbox {
    bytes: Vec<u8>,
    /// How many of them were looked at for the end of a head.
    scanned: usize,
}

impl Inbox {
    /// Answers the requests that are whole.
    fn take_requests(&mut self, from: SocketAddr, shared: &Shared, out: &mut Vec<u8>) -> Taken {
        let mut taken = Taken::None;
        let mut used = 0;
        while out.len() <= OUT_LEN_MAX && head_may_end(&self.bytes[used..], &mut self.scanned) {
            let keep_alive = match parse_request(&self.bytes[used..]) {
                Ok(None) => break,
                Ok(Some(request)) => {
                    used += request.len;
                    self.scanned = 0;
                    answer(&request, from, shared, out)
                }
                Err(error) => {
                    let status = match error {
                        HttpError::HeadTooLong { .. } | HttpError::TooManyHeaders { .. } => 431,
                        HttpError::RequestWithBody => 413,
                        _ => 400,
                    };
                    let head = ResponseHead {
                        status,
                        keep_alive: false,
                    };
                    put_response(out, head, TEXT, format!("{error}\n").as_bytes());
                    false
                }
            };
            taken = Taken::Some { keep_alive };
            if !keep_alive {
                break;
            }
        }
        self.bytes.drain(..used);
        taken
    }
}

/// Writes the answer to one request; returns whether the connection goes on.
fn answer(request: &Request<'_>, from: SocketAddr, shared: &Shared, out: &mut Vec<u8>) -> bool {
    let keep_alive = request.keep_alive;
    if request.method != b"GET" {
        // What follows may be a body, and after HEAD the client expects none of ours: nothing that
        // comes now could be told apart for sure.
        let head = ResponseHead {
            status: 405,
            keep_alive: false,
        };
        let body: &[u8] = match request.method {
            b"HEAD" => b"",
            _ => b"only GET is served\n",
        };
        put_response(out, head, TEXT, body);
        return false;
    }
    let (path, _) = request.path_and_query();
    let now = shared.clock.now();
    match TargetKind::of(path) {
        TargetKind::Announce | TargetKind::Scrape => {
            let mut body = Vec::new();
            {
                let mut answerer = shared.lock();
                let answered = answerer.answer_query(from, request, now, &mut body);
                if let Answered::Announce(served) = &answered {
                    shared.served(served);
                }
            }
            let head = ResponseHead {
                status: 200,
                keep_alive,
            };
            put_response(out, head, TEXT, &body);
        }
        TargetKind::Unknown if path == b"/" => {
            let (torrents, peers) = {
                let answerer = shared.lock();
                (answerer.store().torrents(), answerer.store().peers())
            };
            let body = format!("skep tracker: {torrents} torrents, {peers} peers\n");
            put_response(
                out,
                ResponseHead {
                    status: 200,
                    keep_alive,
                },
                TEXT,
                body.as_bytes(),
            );
        }
        TargetKind::Unknown => {
            put_response(
                out,
                ResponseHead {
                    status: 404,
                    keep_alive,
                },
                TEXT,
                b"not found\n",
            );
        }
    }
    keep_alive
}
