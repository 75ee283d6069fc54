//! Values to bencode dictionaries and back: what records and journal entries share.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use skep_hash::{Sha1Digest, Sha256Digest};
use skep_wire::{
    Block, InfoHash, InfoHashV2, Moment, PeerId, PieceIndex,
    bencode::{self, DecodeError, Dict, Item, Limits, Node, Value},
    peer::Reserved,
};

use crate::{
    journal::{CaptureOffset, ConnId, ConnectFailure, EndKind, QueryId},
    record::{
        Attack, ClaimKind, CloseKind, NamedBy, Source, TEXT_BYTES_MAX, TargetIndex, Transport,
    },
};

/// What is wrong with one field, or with the dictionary that holds it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FieldError {
    /// Not canonical bencode.
    #[error("bencode: {0}")]
    Bencode(#[from] DecodeError),
    /// Not a dictionary.
    #[error("{tag} is not a dictionary")]
    NotDict {
        /// The field, or the whole.
        tag: &'static str,
    },
    /// A field is missing.
    #[error("{tag} is missing")]
    Missing {
        /// The field.
        tag: &'static str,
    },
    /// A field has another type.
    #[error("{tag} is not {expected}")]
    Type {
        /// The field.
        tag: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// A number is outside its field's range.
    #[error("{tag} is {got}, at most {max} is possible")]
    Range {
        /// The field.
        tag: &'static str,
        /// The number.
        got: i64,
        /// The greatest that fits; none is below zero.
        max: u64,
    },
    /// A string of the wrong length.
    #[error("{tag} has {got} bytes")]
    Len {
        /// The field.
        tag: &'static str,
        /// Its length.
        got: usize,
    },
    /// A name that the field does not know.
    #[error("{tag} is {got:?}, which it cannot be")]
    Name {
        /// The field.
        tag: &'static str,
        /// The name.
        got: String,
    },
    /// A key that does not belong there.
    #[error("{tag} has the key {key:?}")]
    Key {
        /// The field, or the whole.
        tag: &'static str,
        /// The key, escaped.
        key: String,
    },
    /// Decodes, but would be encoded otherwise.
    #[error("not the one encoding of its value")]
    NotCanonical,
}

/// The fields of a dictionary that are still to be read.
pub(crate) struct Fields<'a> {
    tag: &'static str,
    left: BTreeMap<&'a [u8], Node<'a>>,
}

impl<'a> Fields<'a> {
    /// Decodes canonical bytes whose whole is called `tag`.
    pub(crate) fn decode(tag: &'static str, bytes: &'a [u8]) -> Result<Self, FieldError> {
        Self::of(tag, bencode::decode(bytes, Limits::CANONICAL)?)
    }

    fn of(tag: &'static str, node: Node<'a>) -> Result<Self, FieldError> {
        let Value::Dict(pairs) = node.value else {
            return Err(FieldError::NotDict { tag });
        };
        Ok(Self {
            tag,
            left: pairs.into_iter().collect(),
        })
    }

    fn has(&self, tag: &str) -> bool {
        self.left.contains_key(tag.as_bytes())
    }

    fn node(&mut self, tag: &'static str) -> Result<Node<'a>, FieldError> {
        self.left
            .remove(tag.as_bytes())
            .ok_or(FieldError::Missing { tag })
    }

    pub(crate) fn take<T: Field>(&mut self, tag: &'static str) -> Result<T, FieldError> {
        T::take(tag, self)
    }

    fn number(&mut self, tag: &'static str, max: u64) -> Result<u64, FieldError> {
        let got = self.node(tag)?.as_int().ok_or(FieldError::Type {
            tag,
            expected: "a number",
        })?;
        u64::try_from(got)
            .ok()
            .filter(|&number| number <= max)
            .ok_or(FieldError::Range { tag, got, max })
    }

    fn bytes(&mut self, tag: &'static str) -> Result<&'a [u8], FieldError> {
        self.node(tag)?.as_bytes().ok_or(FieldError::Type {
            tag,
            expected: "a string",
        })
    }

    fn array<const N: usize>(&mut self, tag: &'static str) -> Result<[u8; N], FieldError> {
        let bytes = self.bytes(tag)?;
        bytes.try_into().map_err(|_| FieldError::Len {
            tag,
            got: bytes.len(),
        })
    }

    fn text(&mut self, tag: &'static str) -> Result<&'a str, FieldError> {
        std::str::from_utf8(self.bytes(tag)?).map_err(|_| FieldError::Type {
            tag,
            expected: "a text in UTF-8",
        })
    }

    fn dict(&mut self, tag: &'static str) -> Result<Self, FieldError> {
        Self::of(tag, self.node(tag)?)
    }

    /// What was not read, as it came.
    pub(crate) fn rest(self) -> Vec<(Vec<u8>, Vec<u8>)> {
        self.left
            .into_iter()
            .map(|(key, node)| (key.to_vec(), node.raw.to_vec()))
            .collect()
    }

    /// All was read.
    pub(crate) fn end(self) -> Result<(), FieldError> {
        match self.left.first_key_value() {
            None => Ok(()),
            Some((key, _)) => Err(FieldError::Key {
                tag: self.tag,
                key: key.escape_ascii().to_string(),
            }),
        }
    }
}

/// A value that is a field.
pub(crate) trait Field: Sized {
    /// Writes it under `tag`.
    fn put(&self, tag: &'static str, dict: &mut Dict);
    /// Reads it from under `tag`.
    fn take(tag: &'static str, fields: &mut Fields<'_>) -> Result<Self, FieldError>;
}

impl<T: Field> Field for Option<T> {
    fn put(&self, tag: &'static str, dict: &mut Dict) {
        if let Some(value) = self {
            value.put(tag, dict);
        }
    }

    fn take(tag: &'static str, fields: &mut Fields<'_>) -> Result<Self, FieldError> {
        if fields.has(tag) {
            T::take(tag, fields).map(Some)
        } else {
            Ok(None)
        }
    }
}

/// Bencode's integers are 64 bits with a sign here; a greater number is written as the greatest.
fn int(number: u64) -> Item {
    Item::Int(i64::try_from(number).unwrap_or(i64::MAX))
}

macro_rules! numbers {
    ($($type:ty, $max:expr, $value:ident => $number:expr, $back:expr;)*) => {$(
        impl Field for $type {
            fn put(&self, tag: &'static str, dict: &mut Dict) {
                let $value = self;
                dict.put(tag, int($number.into()));
            }

            fn take(tag: &'static str, fields: &mut Fields<'_>) -> Result<Self, FieldError> {
                let number = fields.number(tag, $max)?;
                Ok($back(number))
            }
        }
    )*};
}

const U32: u64 = u32::MAX as u64;

numbers! {
    bool, 1, value => *value, |number| number == 1;
    u16, u64::from(u16::MAX), value => *value, |number| number as u16;
    u32, U32, value => *value, |number| number as u32;
    u64, u64::MAX, value => *value, |number| number;
    Moment, u64::MAX, value => value.0, Moment;
    CaptureOffset, u64::MAX, value => value.0, CaptureOffset;
    ConnId, U32, value => value.0, |number| ConnId(number as u32);
    QueryId, U32, value => value.0, |number| QueryId(number as u32);
    TargetIndex, U32, value => value.0, |number| TargetIndex(number as u32);
    PieceIndex, U32, value => value.0, |number| PieceIndex(number as u32);
}

impl Field for i64 {
    fn put(&self, tag: &'static str, dict: &mut Dict) {
        dict.put(tag, Item::Int(*self));
    }

    fn take(tag: &'static str, fields: &mut Fields<'_>) -> Result<Self, FieldError> {
        fields.node(tag)?.as_int().ok_or(FieldError::Type {
            tag,
            expected: "a number",
        })
    }
}

macro_rules! arrays {
    ($($type:ident)*) => {$(
        impl Field for $type {
            fn put(&self, tag: &'static str, dict: &mut Dict) {
                dict.put(tag, Item::Bytes(self.0.to_vec()));
            }

            fn take(tag: &'static str, fields: &mut Fields<'_>) -> Result<Self, FieldError> {
                fields.array(tag).map($type)
            }
        }
    )*};
}

arrays!(Sha1Digest Sha256Digest InfoHash InfoHashV2 PeerId Reserved);

impl Field for Vec<Sha256Digest> {
    fn put(&self, tag: &'static str, dict: &mut Dict) {
        dict.put(
            tag,
            Item::Bytes(self.iter().flat_map(|digest| digest.0).collect()),
        );
    }

    fn take(tag: &'static str, fields: &mut Fields<'_>) -> Result<Self, FieldError> {
        let bytes = fields.bytes(tag)?;
        let (digests, rest) = bytes.as_chunks::<32>();
        if !rest.is_empty() {
            return Err(FieldError::Len {
                tag,
                got: bytes.len(),
            });
        }
        Ok(digests.iter().copied().map(Sha256Digest).collect())
    }
}

/// The longest beginning of `text` that a record keeps.
fn clip(text: &str) -> &str {
    let mut end = text.len().min(TEXT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

impl Field for String {
    fn put(&self, tag: &'static str, dict: &mut Dict) {
        dict.put(tag, Item::Bytes(clip(self).as_bytes().to_vec()));
    }

    fn take(tag: &'static str, fields: &mut Fields<'_>) -> Result<Self, FieldError> {
        let text = fields.text(tag)?;
        if text.len() > TEXT_BYTES_MAX {
            return Err(FieldError::Len {
                tag,
                got: text.len(),
            });
        }
        Ok(text.to_owned())
    }
}

fn ip_bytes(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

fn ip_of(tag: &'static str, bytes: &[u8]) -> Result<IpAddr, FieldError> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Ok(Ipv4Addr::from(v4).into());
    }
    let v6 = <[u8; 16]>::try_from(bytes).map_err(|_| FieldError::Len {
        tag,
        got: bytes.len(),
    })?;
    Ok(Ipv6Addr::from(v6).into())
}

impl Field for IpAddr {
    fn put(&self, tag: &'static str, dict: &mut Dict) {
        dict.put(tag, Item::Bytes(ip_bytes(*self)));
    }

    fn take(tag: &'static str, fields: &mut Fields<'_>) -> Result<Self, FieldError> {
        ip_of(tag, fields.bytes(tag)?)
    }
}

/// Each address as its own 4 or 16 bytes, in a list.
impl Field for Vec<IpAddr> {
    fn put(&self, tag: &'static str, dict: &mut Dict) {
        dict.put(
            tag,
            Item::List(self.iter().map(|&ip| Item::Bytes(ip_bytes(ip))).collect()),
        );
    }

    fn take(tag: &'static str, fields: &mut Fields<'_>) -> Result<Self, FieldError> {
        let expected = "a list of addresses";
        let node = fields.node(tag)?;
        let list = node.as_list().ok_or(FieldError::Type { tag, expected })?;
        let bytes = |node: &Node<'_>| node.as_bytes().map(<[u8]>::to_vec);
        list.iter()
            .map(|node| ip_of(tag, &bytes(node).ok_or(FieldError::Type { tag, expected })?))
            .collect()
    }
}

/// Address and port in network byte order, 6 or 18 bytes, as in BEP 23 and BEP 7. An IPv6 scope is
/// of one machine and is not kept.
impl Field for SocketAddr {
    fn put(&self, tag: &'static str, dict: &mut Dict) {
        let mut bytes = ip_bytes(self.ip());
        bytes.extend(self.port().to_be_bytes());
        dict.put(tag, Item::Bytes(bytes));
    }

    fn take(tag: &'static str, fields: &mut Fields<'_>) -> Result<Self, FieldError> {
        let bytes = fields.bytes(tag)?;
        let (ip, port) = bytes.split_last_chunk::<2>().ok_or(FieldError::Len {
            tag,
            got: bytes.len(),
        })?;
        Ok(SocketAddr::new(ip_of(tag, ip)?, u16::from_be_bytes(*port)))
    }
}

impl Field for Block {
    fn put(&self, tag: &'static str, dict: &mut Dict) {
        let mut block = Dict::new();
        self.begin.put("begin", &mut block);
        self.len.put("len", &mut block);
        self.piece.put("piece", &mut block);
        dict.put(tag, Item::Dict(block));
    }

    fn take(tag: &'static str, fields: &mut Fields<'_>) -> Result<Self, FieldError> {
        let mut block = fields.dict(tag)?;
        let value = Self {
            piece: block.take("piece")?,
            begin: block.take("begin")?,
            len: block.take("len")?,
        };
        block.end().map(|()| value)
    }
}

impl Field for Source {
    fn put(&self, tag: &'static str, dict: &mut Dict) {
        let mut source = Dict::new();
        self.capture.put("capture", &mut source);
        self.len.put("len", &mut source);
        self.digest.put("sha256", &mut source);
        self.stream.put("stream", &mut source);
        dict.put(tag, Item::Dict(source));
    }

    fn take(tag: &'static str, fields: &mut Fields<'_>) -> Result<Self, FieldError> {
        let mut source = fields.dict(tag)?;
        let value = Self {
            capture: source.take("capture")?,
            stream: source.take("stream")?,
            len: source.take("len")?,
            digest: source.take("sha256")?,
        };
        source.end().map(|()| value)
    }
}

impl Field for NamedBy {
    fn put(&self, tag: &'static str, dict: &mut Dict) {
        let mut by = Dict::new();
        match self {
            Self::Tracker { url } => url.put("tracker", &mut by),
            Self::Pex { conn } => conn.put("pex", &mut by),
            Self::Incoming => true.put("incoming", &mut by),
            Self::ListenPort { conn } => conn.put("listen_port", &mut by),
            Self::Operator => true.put("operator", &mut by),
        }
        dict.put(tag, Item::Dict(by));
    }

    fn take(tag: &'static str, fields: &mut Fields<'_>) -> Result<Self, FieldError> {
        let mut by = fields.dict(tag)?;
        let value = if by.has("tracker") {
            Self::Tracker {
                url: by.take("tracker")?,
            }
        } else if by.has("pex") {
            Self::Pex {
                conn: by.take("pex")?,
            }
        } else if by.has("listen_port") {
            Self::ListenPort {
                conn: by.take("listen_port")?,
            }
        } else if by.has("incoming") {
            by.number("incoming", 1)?;
            Self::Incoming
        } else {
            by.number("operator", 1)?;
            Self::Operator
        };
        by.end().map(|()| value)
    }
}

/// Enums that are a name, some with the system's error number after a space.
macro_rules! names {
    ($($type:ident { $($variant:pat => $name:literal $(+ $errno:ident)?, $make:expr;)* })*) => {$(
        impl Field for $type {
            fn put(&self, tag: &'static str, dict: &mut Dict) {
                let name = match self {
                    $($variant => String::from($name) $(+ " " + &$errno.to_string())?,)*
                };
                dict.put(tag, Item::Bytes(name.into_bytes()));
            }

            fn take(tag: &'static str, fields: &mut Fields<'_>) -> Result<Self, FieldError> {
                let text = fields.text(tag)?;
                let (name, errno) = match text.split_once(' ') {
                    Some((name, errno)) => (name, errno.parse::<i32>().ok()),
                    None => (text, None),
                };
                match (name, errno) {
                    $(($name, names!(@errno $($errno)?)) => Ok($make),)*
                    _ => Err(FieldError::Name { tag, got: text.to_owned() }),
                }
            }
        }
    )*};
    (@errno) => { None };
    (@errno $errno:ident) => { Some($errno) };
}

names! {
    Transport {
        Self::Tcp => "tcp", Self::Tcp;
        Self::TcpMse => "tcp-mse", Self::TcpMse;
        Self::Utp => "utp", Self::Utp;
        Self::UtpMse => "utp-mse", Self::UtpMse;
    }
    Attack {
        Self::Sha1Collision => "sha1-collision", Self::Sha1Collision;
    }
    ClaimKind {
        Self::Bitfield => "bitfield", Self::Bitfield;
        Self::HaveAll => "have-all", Self::HaveAll;
        Self::HaveNone => "have-none", Self::HaveNone;
        Self::UploadOnly => "upload-only", Self::UploadOnly;
    }
    ConnectFailure {
        Self::Refused => "refused", Self::Refused;
        Self::TimedOut => "timed-out", Self::TimedOut;
        Self::Unreachable => "unreachable", Self::Unreachable;
        Self::Local(errno) => "local" + errno, Self::Local(errno);
    }
    EndKind {
        Self::Closed => "closed", Self::Closed;
        Self::Reset => "reset", Self::Reset;
        Self::Error(errno) => "error" + errno, Self::Error(errno);
    }
    CloseKind {
        Self::Them(EndKind::Closed) => "them-closed", Self::Them(EndKind::Closed);
        Self::Them(EndKind::Reset) => "them-reset", Self::Them(EndKind::Reset);
        Self::Them(EndKind::Error(errno)) => "them-error" + errno, Self::Them(EndKind::Error(errno));
        Self::UsDone => "us-done", Self::UsDone;
        Self::UsIdle => "us-idle", Self::UsIdle;
        Self::UsViolation => "us-violation", Self::UsViolation;
        Self::UsStopped => "us-stopped", Self::UsStopped;
    }
}
