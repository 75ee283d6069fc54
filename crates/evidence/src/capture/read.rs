//! A packet block of ours back to its payload.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{
    CaptureError, Direction, PAYLOAD_BYTES_MAX,
    block::{EPB_FLAGS, FLAGS_IN, FLAGS_OUT, PACKET, TCP, UDP},
};
use crate::journal::CaptureOffset;

/// TCP or UDP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// Bytes of a connection.
    Tcp,
    /// A datagram.
    Udp,
}

/// What a packet block holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CapturedPacket<'a> {
    /// TCP or UDP.
    pub protocol: Protocol,
    /// Which way it went.
    pub direction: Direction,
    /// Our end.
    pub local: SocketAddr,
    /// The other end.
    pub remote: SocketAddr,
    /// Nominal time: nanoseconds since 1970.
    pub utc_ns: u64,
    /// The bytes.
    pub payload: &'a [u8],
    /// Length of the whole block in the file.
    pub block_len: usize,
}

/// Greatest length of a packet block: the payload, 60 bytes of IPv6 and TCP headers, 44 of the
/// block with its option, and up to 3 of padding, rounded up.
pub const BLOCK_BYTES_MAX: usize = PAYLOAD_BYTES_MAX + 128;

/// Reads the packet block at the start of `block`, which is what the capture holds from `offset` on
/// ([`BLOCK_BYTES_MAX`] bytes are always enough).
///
/// # Errors
///
/// [`CaptureError::Truncated`] or [`CaptureError::NotAPacket`]. Headers are read, not judged: the
/// judge is [`super::Renderer::replay`], whose bytes must be the same.
pub fn packet_at(block: &[u8], offset: CaptureOffset) -> Result<CapturedPacket<'_>, CaptureError> {
    let wrong = |what| CaptureError::NotAPacket { offset, what };
    let truncated = || CaptureError::Truncated {
        offset,
        len: offset.0.saturating_add(block.len() as u64),
    };
    let word = |at: usize| le32(block, at).ok_or_else(truncated);
    if word(0)? != PACKET {
        return Err(wrong("block type"));
    }
    let block_len = word(4)? as usize;
    if !(44..=BLOCK_BYTES_MAX).contains(&block_len) || !block_len.is_multiple_of(4) {
        return Err(wrong("block length"));
    }
    let block = block.get(..block_len).ok_or_else(truncated)?;
    if word(block_len - 4)? as usize != block_len {
        return Err(wrong("second block length"));
    }
    if word(8)? != 0 {
        return Err(wrong("interface"));
    }
    let utc_ns = u64::from(word(12)?) << 32 | u64::from(word(16)?);
    let packet_len = word(20)? as usize;
    if word(24)? as usize != packet_len || packet_len > block_len {
        return Err(wrong("packet length"));
    }
    // After the packet: one option of 4 bytes, the end of options, and the block's length again.
    let options = 28 + packet_len.next_multiple_of(4);
    if options + 16 != block_len {
        return Err(wrong("options"));
    }
    if word(options)? != u32::from(EPB_FLAGS) | 4 << 16 || word(options + 8)? != 0 {
        return Err(wrong("options"));
    }
    let direction = match word(options + 4)? {
        FLAGS_IN => Direction::In,
        FLAGS_OUT => Direction::Out,
        _ => return Err(wrong("direction")),
    };
    let packet = block.get(28..28 + packet_len).ok_or_else(truncated)?;
    let (protocol, from, to, payload) = addressed(packet).ok_or(wrong("headers"))?;
    let (local, remote) = match direction {
        Direction::In => (to, from),
        Direction::Out => (from, to),
    };
    Ok(CapturedPacket {
        protocol,
        direction,
        local,
        remote,
        utc_ns,
        payload,
        block_len,
    })
}

fn le32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes
        .get(at..)?
        .first_chunk()
        .map(|word| u32::from_le_bytes(*word))
}

/// Protocol, source, destination and payload of an IP packet without options.
fn addressed(packet: &[u8]) -> Option<(Protocol, SocketAddr, SocketAddr, &[u8])> {
    let (number, from, to, rest): (u8, IpAddr, IpAddr, &[u8]) = match packet.first()? {
        0x45 => {
            let (head, rest) = packet.split_first_chunk::<20>()?;
            let from: [u8; 4] = *head[12..16].first_chunk()?;
            let to: [u8; 4] = *head[16..20].first_chunk()?;
            (
                head[9],
                Ipv4Addr::from(from).into(),
                Ipv4Addr::from(to).into(),
                rest,
            )
        }
        0x60 => {
            let (head, rest) = packet.split_first_chunk::<40>()?;
            let from: [u8; 16] = *head[8..24].first_chunk()?;
            let to: [u8; 16] = *head[24..40].first_chunk()?;
            (
                head[6],
                Ipv6Addr::from(from).into(),
                Ipv6Addr::from(to).into(),
                rest,
            )
        }
        _ => return None,
    };
    let (protocol, header_len) = match number {
        TCP => (Protocol::Tcp, 20),
        UDP => (Protocol::Udp, 8),
        _ => return None,
    };
    let payload = rest.get(header_len..)?;
    let port = |at: usize| Some(u16::from_be_bytes(*rest.get(at..)?.first_chunk()?));
    Some((
        protocol,
        SocketAddr::new(from, port(0)?),
        SocketAddr::new(to, port(2)?),
        payload,
    ))
}
