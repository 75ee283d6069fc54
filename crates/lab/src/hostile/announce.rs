//! An announce to an HTTP tracker in the simplest way, from the actor's own address.

use std::net::{IpAddr, SocketAddr};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpSocket,
};

use super::{Kind, Stage, deeds};
use crate::truth::Act;

/// What a hostile member tells the tracker of itself.
#[derive(Debug, Clone, Copy)]
pub struct Announcement {
    /// Who announces.
    pub kind: Kind,
    /// Where it listens.
    pub endpoint: SocketAddr,
    /// Bytes that it says are missing.
    pub left: u64,
}

/// The answer is read up to here and not looked at further.
const ANSWER_LEN_MAX: u64 = 1 << 16;

/// Announces `what` under `name` to the tracker at `tracker`, path `/announce`.
///
/// # Errors
///
/// The tracker cannot be reached, or does not answer with status 200.
pub async fn announce(
    stage: &Stage,
    name: &str,
    what: Announcement,
    tracker: SocketAddr,
) -> std::io::Result<()> {
    let socket = match what.endpoint.ip() {
        IpAddr::V4(_) => TcpSocket::new_v4()?,
        IpAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.bind(SocketAddr::new(what.endpoint.ip(), 0))?;
    let mut stream = socket.connect(tracker).await?;
    let query = format!(
        "GET /announce?info_hash={}&peer_id={}&port={}&uploaded=0&downloaded=0&left={}&compact=1\
         &event=started HTTP/1.1\r\nHost: {tracker}\r\nConnection: close\r\n\r\n",
        percent(&stage.work.info_hash.0),
        percent(&deeds::peer_id(what.kind)),
        what.endpoint.port(),
        what.left,
    );
    stream.write_all(query.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(ANSWER_LEN_MAX).read_to_end(&mut answer).await?;
    let status = answer.split(|byte| *byte == b' ').nth(1);
    if status != Some(b"200") {
        return Err(std::io::ErrorKind::InvalidData.into());
    }
    stage.truth.write(
        name,
        Act::Lists {
            endpoint: what.endpoint,
            bogus: false,
        },
    );
    Ok(())
}

fn percent(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("%{byte:02x}")).collect()
}
