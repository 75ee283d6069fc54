//! The HTTP side: one task a connection.
//!
//! A connection takes one read buffer, which no client can make longer than one head
//! ([`HEAD_LEN_MAX`]), and time: [`ServerConfig::request_time_max`](super::ServerConfig) for a
//! request from its first byte on and for taking the answer.

use std::{net::SocketAddr, sync::Arc};

use skep_proto::tracker::server::{Answered, TargetKind};
use skep_wire::http::{
    HEAD_LEN_MAX, HttpError, Request, parse_request, put_response, response::ResponseHead,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{Instant, timeout_at},
};

use super::Shared;

/// Answers that wait to be written before requests that came together are read on.
const OUT_LEN_MAX: usize = 64 * 1024;

/// How long to wait after the system refused a connection for want of descriptors.
const ACCEPT_PAUSE: std::time::Duration = std::time::Duration::from_millis(100);

const TEXT: &str = "text/plain; charset=utf-8";

pub(super) async fn serve(listener: TcpListener, shared: Arc<Shared>, places: Arc<Semaphore>) {
    loop {
        let (stream, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(_) => {
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        match Arc::clone(&places).try_acquire_owned() {
            Ok(place) => {
                let shared = Arc::clone(&shared);
                tokio::spawn(async move {
                    converse(stream, from, &shared).await;
                    drop(place);
                });
            }
            Err(_) => {
                let mut out = Vec::new();
                let head = ResponseHead {
                    status: 503,
                    keep_alive: false,
                };
                put_response(&mut out, head, TEXT, b"too many connections\n");
                // The empty send buffer of a new connection takes it, or nobody is there.
                let _ = stream.try_write(&out);
            }
        }
    }
}

async fn converse(mut stream: TcpStream, from: SocketAddr, shared: &Shared) {
    // Answers are written whole; without this the last part could wait for an acknowledgement.
    let _ = stream.set_nodelay(true);
    let from = SocketAddr::new(from.ip().to_canonical(), from.port());
    let mut buf: Vec<u8> = Vec::with_capacity(1_024);
    let mut out = Vec::with_capacity(1_024);
    loop {
        // The clock runs from the first byte of a request: a byte now and then buys no time.
        let mut deadline = Instant::now() + shared.idle_time_max;
        let mut begun = !buf.is_empty();
        if begun {
            deadline = Instant::now() + shared.request_time_max;
        }
        let mut keep_alive = loop {
            match take_requests(&mut buf, from, shared, &mut out) {
                Taken::Some { keep_alive } => break keep_alive,
                Taken::None => {}
            }
            buf.reserve(1_024);
            match timeout_at(deadline, stream.read_buf(&mut buf)).await {
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
        keep_alive &= out.len() <= OUT_LEN_MAX;
        let deadline = Instant::now() + shared.request_time_max;
        match timeout_at(deadline, stream.write_all(&out)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return,
        }
        out.clear();
        if !keep_alive {
            close(stream, &mut buf, deadline).await;
            return;
        }
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

/// Answers the requests that are whole.
fn take_requests(buf: &mut Vec<u8>, from: SocketAddr, shared: &Shared, out: &mut Vec<u8>) -> Taken {
    let mut taken = Taken::None;
    let mut used = 0;
    while out.len() <= OUT_LEN_MAX {
        let keep_alive = match parse_request(&buf[used..]) {
            Ok(None) => break,
            Ok(Some(request)) => {
                used += request.len;
                answer(&request, from, shared, out);
                request.keep_alive
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
    buf.drain(..used);
    taken
}

fn answer(request: &Request<'_>, from: SocketAddr, shared: &Shared, out: &mut Vec<u8>) {
    let keep_alive = request.keep_alive;
    if request.method != b"GET" {
        let head = ResponseHead {
            status: 405,
            keep_alive,
        };
        return put_response(out, head, TEXT, b"only GET is served\n");
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
}
