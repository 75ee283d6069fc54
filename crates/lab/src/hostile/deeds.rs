//! What each kind of hostile actor does with a connection that came in.

use std::time::Duration;

use skep_hash::sha256;

use super::{
    Kind,
    link::{Link, handshake, message, numbers},
};
use crate::{content::Work, truth::What};

const CHOKE: u8 = 0;
const UNCHOKE: u8 = 1;
const HAVE: u8 = 4;
const BITFIELD: u8 = 5;
const REQUEST: u8 = 6;
const PIECE: u8 = 7;

/// The longest block that an actor answers with.
const BLOCK_LEN_MAX: u32 = 1 << 17;

/// How many pieces the flood is about while it is about pieces that exist.
const FLOOD_PIECES: u32 = 16;

/// How many haves the flood sends; then it rests, so that a demo's truth log stays readable.
const FLOOD: u32 = 2_000;

/// Plays the part until the connection ends.
pub(super) async fn act(kind: Kind, mut link: Link<'_>, work: &Work) -> std::io::Result<()> {
    match kind {
        Kind::Refused => Ok(()),
        Kind::Silent => wait(&mut link).await,
        Kind::Printer => printer(&mut link).await,
        Kind::Echo => echo(&mut link).await,
        Kind::SlowLoris => slow_loris(&mut link, work).await,
        Kind::OtherSwarm => {
            let mut other = work.info_hash.0;
            other[0] ^= 0xff;
            send_handshake(&mut link, other, kind).await?;
            wait(&mut link).await
        }
        Kind::FakeSeed
        | Kind::ClaimsAll
        | Kind::Oversized
        | Kind::HaveFlood
        | Kind::Garbage
        | Kind::UnderReporter => member(kind, &mut link, work).await,
    }
}

async fn wait(link: &mut Link<'_>) -> std::io::Result<()> {
    while !link.receive_some().await?.is_empty() {}
    Ok(())
}

async fn printer(link: &mut Link<'_>) -> std::io::Result<()> {
    while !link.receive_some().await?.is_empty() {
        let page = b"<html><title>LaserJet 4 Plus</title><p>Bad request.</html>";
        let head = format!(
            "HTTP/1.1 400 Bad Request\r\nServer: EWS/1.0\r\nContent-Type: text/html\r\n\
             Content-Length: {}\r\n\r\n",
            page.len()
        );
        link.send(What::Http, &[head.as_bytes(), page].concat())
            .await?;
    }
    Ok(())
}

async fn echo(link: &mut Link<'_>) -> std::io::Result<()> {
    loop {
        let bytes = link.receive_some().await?;
        if bytes.is_empty() {
            return Ok(());
        }
        link.send(What::Echo, &bytes).await?;
    }
}

async fn slow_loris(link: &mut Link<'_>, work: &Work) -> std::io::Result<()> {
    for byte in handshake(work.info_hash.0, peer_id(Kind::SlowLoris)) {
        link.send(What::Raw, &[byte]).await?;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    wait(link).await
}

/// The kinds that complete the handshake and lie afterwards.
async fn member(kind: Kind, link: &mut Link<'_>, work: &Work) -> std::io::Result<()> {
    if link.receive_handshake().await? != work.info_hash.0 {
        return Ok(());
    }
    send_handshake(link, work.info_hash.0, kind).await?;
    let claimed = if kind == Kind::UnderReporter {
        work.piece_count() / 2
    } else {
        work.piece_count()
    };
    if kind != Kind::HaveFlood {
        let what = What::Set { pieces: claimed };
        link.send(
            what,
            &message(BITFIELD, &bitfield(claimed, work.piece_count())),
        )
        .await?;
    }
    match kind {
        Kind::FakeSeed => {
            link.send(What::Message { id: CHOKE }, &message(CHOKE, &[]))
                .await?
        }
        Kind::Oversized => {
            link.send(What::Raw, &[0xff, 0xff, 0xff, 0xff, PIECE])
                .await?
        }
        Kind::HaveFlood => flood(link, work.piece_count()).await?,
        _ => {
            link.send(What::Message { id: UNCHOKE }, &message(UNCHOKE, &[]))
                .await?
        }
    }
    loop {
        let (id, body) = link.receive_message().await?;
        if let (REQUEST, [Some(piece), Some(begin), Some(len)]) = (id, numbers(&body))
            && len <= BLOCK_LEN_MAX
        {
            match kind {
                Kind::Garbage => send_block(link, (piece, begin), &garbage(len), false).await?,
                Kind::UnderReporter => {
                    if let Some(bytes) = work.block(piece, begin, len) {
                        send_block(link, (piece, begin), bytes, true).await?;
                    }
                }
                _ => {}
            }
        }
    }
}

async fn flood(link: &mut Link<'_>, piece_count: u32) -> std::io::Result<()> {
    for n in 0..FLOOD {
        // A few pieces over and over, then indices that do not exist.
        let piece = if n < FLOOD / 2 {
            n % FLOOD_PIECES.min(piece_count)
        } else {
            piece_count + n
        };
        link.send(What::Have { piece }, &message(HAVE, &piece.to_be_bytes()))
            .await?;
    }
    Ok(())
}

async fn send_handshake(
    link: &mut Link<'_>,
    info_hash: [u8; 20],
    kind: Kind,
) -> std::io::Result<()> {
    let hex = info_hash.iter().map(|byte| format!("{byte:02x}")).collect();
    link.send(
        What::Handshake { info_hash: hex },
        &handshake(info_hash, peer_id(kind)),
    )
    .await
}

async fn send_block(
    link: &mut Link<'_>,
    (piece, begin): (u32, u32),
    bytes: &[u8],
    genuine: bool,
) -> std::io::Result<()> {
    let len = u32::try_from(bytes.len()).expect("blocks are short");
    let body = [&piece.to_be_bytes()[..], &begin.to_be_bytes(), bytes].concat();
    link.send(
        What::Block {
            piece,
            begin,
            len,
            genuine: Some(genuine),
        },
        &message(PIECE, &body),
    )
    .await
}

/// Bytes that are not the content: the content is a run of SHA-256 digests, this is one pattern.
fn garbage(len: u32) -> Vec<u8> {
    b"garbage!"
        .iter()
        .copied()
        .cycle()
        .take(len as usize)
        .collect()
}

/// A peer id that looks like any client's, different for each kind.
pub(super) fn peer_id(kind: Kind) -> [u8; 20] {
    let mut id = *b"-UT3550-............";
    let digest = sha256(kind.name().as_bytes());
    for (byte, random) in id[8..].iter_mut().zip(digest.0) {
        *byte = b'a' + random % 26;
    }
    id
}

/// The first `claimed` of `count` pieces.
fn bitfield(claimed: u32, count: u32) -> Vec<u8> {
    let mut out = vec![0u8; count.div_ceil(8) as usize];
    for piece in 0..claimed {
        out[(piece / 8) as usize] |= 0x80 >> (piece % 8);
    }
    out
}
