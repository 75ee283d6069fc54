//! Extension messages (BEP 10): the handshake dictionary, `ut_pex` (BEP 11), `lt_donthave` (BEP 54).

use std::net::{IpAddr, SocketAddr};

use crate::{
    PieceIndex,
    bencode::{self, DecodeError, Dict, Limits, Node},
};

/// The extension handshake (BEP 10), as far as skep reads it. Everything in it is a claim.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExtHandshake {
    /// `m`: extension name to the id under which the sender wants to receive it (0: disabled).
    pub ids: Vec<(Vec<u8>, u8)>,
    /// `v`: client name and version.
    pub client: Option<Vec<u8>>,
    /// `p`: the sender's listening port.
    pub listen_port: Option<u16>,
    /// `reqq`: how many outstanding requests the sender accepts.
    pub requests_max: Option<u32>,
    /// `upload_only` (BEP 21).
    pub upload_only: Option<bool>,
    /// `metadata_size` (BEP 9).
    pub metadata_size: Option<u32>,
    /// `yourip`: the address that the sender sees us under, 4 or 16 bytes.
    pub your_ip: Option<IpAddr>,
}

/// One peer in a `ut_pex` message, with its flags (BEP 11).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PexPeer {
    /// The address that the sender says it is or was connected to.
    pub addr: SocketAddr,
    /// Flags: 0x01 prefers encryption, 0x02 seed, 0x04 uTP, 0x08 holepunch, 0x10 reachable.
    pub flags: u8,
}

/// A `ut_pex` message (BEP 11).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pex {
    /// Peers that the sender says it connected to.
    pub added: Vec<PexPeer>,
    /// Peers that the sender says it lost.
    pub dropped: Vec<SocketAddr>,
    /// How many more there were in the message than [`PEX_PEERS_MAX`] of a list and address family.
    pub left_out: u32,
}

/// How many peers of one list and address family of a message are kept. BEP 11 allows 50, and more
/// only in the first message; what comes beyond 200 is a flood and is only counted.
pub const PEX_PEERS_MAX: usize = 200;

/// The id under which a peer sends the extension handshake.
pub const HANDSHAKE_ID: u8 = 0;

/// The name of peer exchange in [`ExtHandshake::ids`].
pub const UT_PEX: &[u8] = b"ut_pex";

/// The name of the message that takes a piece back (BEP 54) in [`ExtHandshake::ids`].
pub const LT_DONTHAVE: &[u8] = b"lt_donthave";

/// How many extension names of a handshake are kept. Known clients send about ten.
pub const EXT_NAMES_MAX: usize = 64;

/// The longest client or extension name that is kept, in bytes. Known ones have about 40.
pub const TEXT_BYTES_MAX: usize = 256;

/// What is wrong with an extension message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExtError {
    /// Not bencode.
    #[error(transparent)]
    Bencode(#[from] DecodeError),
    /// Bencode, but not a dictionary.
    #[error("payload is not a dictionary")]
    NotDict,
    /// A field of another type than the BEP says.
    #[error("field \"{field}\" has the wrong type")]
    FieldType {
        /// The field.
        field: &'static str,
    },
    /// An address list that is not a whole number of addresses.
    #[error("field \"{field}\" has {len} bytes, not a multiple of {unit}")]
    AddrsLen {
        /// The field.
        field: &'static str,
        /// Its length in bytes.
        len: usize,
        /// The length of one address and port.
        unit: usize,
    },
    /// A payload of another length than the BEP says.
    #[error("payload has {got} bytes, not {expected}")]
    Len {
        /// Its length in bytes.
        got: usize,
        /// The length that it must have.
        expected: usize,
    },
}

impl ExtHandshake {
    /// Reads the dictionary: the payload of extension message 0.
    ///
    /// # Errors
    ///
    /// [`ExtError`] unless it is a dictionary. A field of a wrong type or range is left out, as
    /// clients do, for a peer must not lose its connection over a field that we do not need.
    pub fn decode(payload: &[u8]) -> Result<Self, ExtError> {
        // Nothing follows the dictionary but in `ut_metadata` (BEP 9). Transmission passes over what
        // does, anacrolix/torrent closes the connection, as we do, and has done so for years in the
        // same swarms: no client is known that sends more. So the strict reading costs no peer, and it
        // names the fault.
        let root = bencode::decode(payload, Limits::MESSAGE)?;
        let fields = root.as_dict().ok_or(ExtError::NotDict)?;
        let mut out = Self::default();
        for (key, node) in fields {
            match *key {
                b"m" => out.read_ids(node),
                b"v" => out.client = out.client.or(text(node)),
                b"p" => out.listen_port = out.listen_port.or(number(node)).filter(|&p| p != 0),
                b"reqq" => out.requests_max = out.requests_max.or(number(node)),
                b"upload_only" => {
                    out.upload_only = out.upload_only.or(node.as_int().map(|int| int != 0));
                }
                b"metadata_size" => out.metadata_size = out.metadata_size.or(number(node)),
                b"yourip" => out.your_ip = out.your_ip.or(ip(node)),
                _ => {}
            }
        }
        Ok(out)
    }

    fn read_ids(&mut self, node: &Node<'_>) {
        for (name, id) in node.as_dict().unwrap_or_default() {
            let known = self.ids.iter().any(|(n, _)| n == name);
            if known || self.ids.len() == EXT_NAMES_MAX || name.len() > TEXT_BYTES_MAX {
                continue;
            }
            if let Some(id) = number(id) {
                self.ids.push((name.to_vec(), id));
            }
        }
    }

    /// The dictionary, to be sent as extension message 0. Of two ids for one name the first counts.
    pub fn encode(&self) -> Vec<u8> {
        let mut ids = Dict::new();
        for (n, (name, id)) in self.ids.iter().enumerate() {
            if self.ids[..n].iter().all(|(before, _)| before != name) {
                ids.put(name, *id);
            }
        }
        let your_ip = self.your_ip.map(|ip| match ip {
            IpAddr::V4(ip) => ip.octets().to_vec(),
            IpAddr::V6(ip) => ip.octets().to_vec(),
        });
        Dict::new()
            .with("m", ids)
            .with_some("metadata_size", self.metadata_size)
            .with_some("p", self.listen_port)
            .with_some("reqq", self.requests_max)
            .with_some("upload_only", self.upload_only.map(i32::from))
            .with_some("v", self.client.clone())
            .with_some("yourip", your_ip)
            .encode()
    }

    /// The id under which the sender wants to receive the extension; `None` if it does not.
    pub fn id_of(&self, name: &[u8]) -> Option<u8> {
        self.ids
            .iter()
            .find(|(n, id)| n == name && *id != 0)
            .map(|&(_, id)| id)
    }
}

impl Pex {
    /// Reads the payload of a `ut_pex` message.
    ///
    /// # Errors
    ///
    /// [`ExtError`].
    pub fn decode(payload: &[u8]) -> Result<Self, ExtError> {
        let root = bencode::decode(payload, Limits::MESSAGE)?;
        if root.as_dict().is_none() {
            return Err(ExtError::NotDict);
        }
        let mut out = Self::default();
        let flags = field(&root, "added.f")?.unwrap_or_default();
        let flags6 = field(&root, "added6.f")?.unwrap_or_default();
        for (n, addr) in addrs_v4(&root, "added", &mut out.left_out)?
            .into_iter()
            .enumerate()
        {
            out.added.push(PexPeer {
                addr,
                flags: flags.get(n).copied().unwrap_or(0),
            });
        }
        for (n, addr) in addrs_v6(&root, "added6", &mut out.left_out)?
            .into_iter()
            .enumerate()
        {
            out.added.push(PexPeer {
                addr,
                flags: flags6.get(n).copied().unwrap_or(0),
            });
        }
        out.dropped = addrs_v4(&root, "dropped", &mut out.left_out)?;
        out.dropped
            .extend(addrs_v6(&root, "dropped6", &mut out.left_out)?);
        Ok(out)
    }

    /// The payload. Only the IPv4 fields are always there, as BEP 11's example has it.
    pub fn encode(&self) -> Vec<u8> {
        let [mut added, mut flags, mut added6, mut flags6] = [const { Vec::<u8>::new() }; 4];
        for peer in &self.added {
            if peer.addr.is_ipv4() {
                put_addr(&mut added, peer.addr);
                flags.push(peer.flags);
            } else {
                put_addr(&mut added6, peer.addr);
                flags6.push(peer.flags);
            }
        }
        let [mut dropped, mut dropped6] = [const { Vec::<u8>::new() }; 2];
        for &addr in &self.dropped {
            put_addr(
                if addr.is_ipv4() {
                    &mut dropped
                } else {
                    &mut dropped6
                },
                addr,
            );
        }
        let some = |bytes: Vec<u8>| (!bytes.is_empty()).then_some(bytes);
        Dict::new()
            .with("added", added)
            .with("added.f", flags)
            .with_some("added6", some(added6))
            .with_some("added6.f", some(flags6))
            .with("dropped", dropped)
            .with_some("dropped6", some(dropped6))
            .encode()
    }
}

/// Reads the payload of an `lt_donthave` message (BEP 54): the piece that the sender has no longer.
///
/// # Errors
///
/// [`ExtError::Len`] unless it is one number of 32 bits.
pub fn decode_dont_have(payload: &[u8]) -> Result<PieceIndex, ExtError> {
    let bytes = payload.try_into().map_err(|_| ExtError::Len {
        got: payload.len(),
        expected: 4,
    })?;
    Ok(PieceIndex(u32::from_be_bytes(bytes)))
}

/// The payload of an `lt_donthave` message (BEP 54).
pub fn encode_dont_have(piece: PieceIndex) -> [u8; 4] {
    piece.0.to_be_bytes()
}

/// A string short enough to keep.
fn text(node: &Node<'_>) -> Option<Vec<u8>> {
    node.as_bytes()
        .filter(|bytes| bytes.len() <= TEXT_BYTES_MAX)
        .map(<[u8]>::to_vec)
}

fn number<T: TryFrom<i64>>(node: &Node<'_>) -> Option<T> {
    T::try_from(node.as_int()?).ok()
}

fn ip(node: &Node<'_>) -> Option<IpAddr> {
    let bytes = node.as_bytes()?;
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from))
        .ok()
}

/// A string field; `None` if it is absent.
fn field<'a>(root: &Node<'a>, field: &'static str) -> Result<Option<&'a [u8]>, ExtError> {
    match root.get(field) {
        Some(node) => node
            .as_bytes()
            .map(Some)
            .ok_or(ExtError::FieldType { field }),
        None => Ok(None),
    }
}

/// An address list in units of `UNIT` bytes; what is beyond the limit is counted in `left_out`.
fn addrs<const UNIT: usize>(
    root: &Node<'_>,
    name: &'static str,
    left_out: &mut u32,
    read: impl Fn(&[u8; UNIT]) -> SocketAddr,
) -> Result<Vec<SocketAddr>, ExtError> {
    let bytes = field(root, name)?.unwrap_or_default();
    let (chunks, []) = bytes.as_chunks::<UNIT>() else {
        return Err(ExtError::AddrsLen {
            field: name,
            len: bytes.len(),
            unit: UNIT,
        });
    };
    *left_out = left_out.saturating_add(chunks.len().saturating_sub(PEX_PEERS_MAX) as u32);
    Ok(chunks.iter().take(PEX_PEERS_MAX).map(read).collect())
}

fn addrs_v4(
    root: &Node<'_>,
    name: &'static str,
    left_out: &mut u32,
) -> Result<Vec<SocketAddr>, ExtError> {
    addrs(root, name, left_out, |&[a, b, c, d, p, q]| {
        SocketAddr::from(([a, b, c, d], u16::from_be_bytes([p, q])))
    })
}

fn addrs_v6(
    root: &Node<'_>,
    name: &'static str,
    left_out: &mut u32,
) -> Result<Vec<SocketAddr>, ExtError> {
    addrs(root, name, left_out, |bytes: &[u8; 18]| {
        let mut ip = [0; 16];
        ip.copy_from_slice(&bytes[..16]);
        SocketAddr::from((ip, u16::from_be_bytes([bytes[16], bytes[17]])))
    })
}

fn put_addr(out: &mut Vec<u8>, addr: SocketAddr) {
    match addr.ip() {
        IpAddr::V4(ip) => out.extend_from_slice(&ip.octets()),
        IpAddr::V6(ip) => out.extend_from_slice(&ip.octets()),
    }
    out.extend_from_slice(&addr.port().to_be_bytes());
}

#[cfg(test)]
mod tests;
