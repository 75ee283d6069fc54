//! Extension messages (BEP 10): the handshake dictionary and `ut_pex` (BEP 11).

use std::net::SocketAddr;

use crate::bencode::DecodeError;

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
    pub your_ip: Option<std::net::IpAddr>,
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

/// How many extension names of a handshake are kept. Known clients send about ten.
pub const EXT_NAMES_MAX: usize = 64;

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
}

impl ExtHandshake {
    /// Reads the dictionary: the payload of extension message 0.
    ///
    /// # Errors
    ///
    /// [`ExtError`] unless it is a dictionary. A field of a wrong type or range is left out, as
    /// clients do, for a peer must not lose its connection over a field that we do not need.
    pub fn decode(payload: &[u8]) -> Result<Self, ExtError> {
        let _ = payload;
        todo!()
    }

    /// The dictionary, to be sent as extension message 0.
    pub fn encode(&self) -> Vec<u8> {
        todo!()
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
        let _ = payload;
        todo!()
    }

    /// The payload.
    pub fn encode(&self) -> Vec<u8> {
        todo!()
    }
}
