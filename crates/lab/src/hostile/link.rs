//! One connection of a hostile actor: bytes out and in, each written into the truth log.
//!
//! The framing is written here again, apart from the project's own, in the simplest way.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::truth::{Act, TruthLog, What, utc_us};

/// A message longer than this ends the connection: nobody sends us payload.
const MESSAGE_LEN_MAX: usize = 1 << 18;

/// A connection with its place in the truth log.
#[derive(Debug)]
pub(super) struct Link<'a> {
    stream: TcpStream,
    local: SocketAddr,
    remote: SocketAddr,
    actor: &'a str,
    truth: &'a TruthLog,
}

impl<'a> Link<'a> {
    pub(super) fn new(
        stream: TcpStream,
        local: SocketAddr,
        remote: SocketAddr,
        actor: &'a str,
        truth: &'a TruthLog,
    ) -> Self {
        // Small messages at once: a slow peer is slow on purpose, not by Nagle's algorithm.
        let _ = stream.set_nodelay(true);
        Self {
            stream,
            local,
            remote,
            actor,
            truth,
        }
    }

    /// Sends and writes it down, with the time before the first byte left.
    pub(super) async fn send(&mut self, what: What, bytes: &[u8]) -> std::io::Result<()> {
        let at = utc_us();
        self.stream.write_all(bytes).await?;
        let (local, remote, bytes) = (self.local, self.remote, bytes.len() as u64);
        self.truth.write_at(
            self.actor,
            Act::Sends {
                local,
                remote,
                what,
                bytes,
            },
            at,
        );
        Ok(())
    }

    /// Whatever comes next; empty at the end of the stream.
    pub(super) async fn receive_some(&mut self) -> std::io::Result<Vec<u8>> {
        let mut buf = vec![0; 1 << 14];
        let len = self.stream.read(&mut buf).await?;
        buf.truncate(len);
        if len > 0 {
            self.note_receipt(What::Raw, len);
        }
        Ok(buf)
    }

    /// The other end's handshake: its 20-byte info-hash.
    pub(super) async fn receive_handshake(&mut self) -> std::io::Result<[u8; 20]> {
        let mut buf = [0; 68];
        self.stream.read_exact(&mut buf).await?;
        let mut info_hash = [0; 20];
        info_hash.copy_from_slice(&buf[28..48]);
        let info_hash_hex = buf[28..48]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        self.note_receipt(
            What::Handshake {
                info_hash: info_hash_hex,
            },
            buf.len(),
        );
        Ok(info_hash)
    }

    /// The next message, keep-alives skipped: its id and what follows.
    pub(super) async fn receive_message(&mut self) -> std::io::Result<(u8, Vec<u8>)> {
        loop {
            let mut len = [0; 4];
            self.stream.read_exact(&mut len).await?;
            let len = u32::from_be_bytes(len) as usize;
            if len == 0 {
                continue;
            }
            if len > MESSAGE_LEN_MAX {
                return Err(std::io::ErrorKind::InvalidData.into());
            }
            let mut body = vec![0; len];
            self.stream.read_exact(&mut body).await?;
            let id = body.remove(0);
            self.note_receipt(what_came(id, &body), len + 4);
            return Ok((id, body));
        }
    }

    fn note_receipt(&self, what: What, len: usize) {
        let (local, remote, bytes) = (self.local, self.remote, len as u64);
        self.truth.write(
            self.actor,
            Act::Receives {
                local,
                remote,
                what,
                bytes,
            },
        );
    }
}

fn what_came(id: u8, body: &[u8]) -> What {
    match (id, numbers(body)) {
        (4, [Some(piece), ..]) => What::Have { piece },
        (6, [Some(piece), Some(begin), Some(len)]) => What::Request { piece, begin, len },
        _ => What::Message { id },
    }
}

/// The first three numbers of a message's body, as far as it has them.
pub(super) fn numbers(body: &[u8]) -> [Option<u32>; 3] {
    [0, 4, 8].map(|at| {
        let bytes = body.get(at..at + 4)?;
        Some(u32::from_be_bytes(bytes.try_into().ok()?))
    })
}

/// A message: length, id, body.
pub(super) fn message(id: u8, body: &[u8]) -> Vec<u8> {
    let len = u32::try_from(body.len() + 1).expect("our own messages are small");
    let mut out = len.to_be_bytes().to_vec();
    out.push(id);
    out.extend(body);
    out
}

/// A handshake with no extensions.
pub(super) fn handshake(info_hash: [u8; 20], peer_id: [u8; 20]) -> Vec<u8> {
    let mut out = b"\x13BitTorrent protocol\0\0\0\0\0\0\0\0".to_vec();
    out.extend(info_hash);
    out.extend(peer_id);
    out
}
