//! Bencode (BEP 3): values that borrow from the input and know the raw bytes they came from.
//!
//! ```text
//! integer     "i" ["-"] digits "e"              i-3e
//! string      length ":" bytes                  4:spam
//! list        "l" values "e"                    l4:spami1ee
//! dictionary  "d" (string value)* "e"           d3:cow3:moo4:spam4:eggse
//! ```
//!
//! A value has one canonical encoding: no leading zeroes, no minus zero, keys sorted as raw bytes,
//! none twice. Where [`Limits::canonical`] is set everything else is an error; elsewhere it is
//! accepted and noted, because torrents that break these rules are shared and libtorrent reads
//! them. Everything that a value was read from is kept as [`Node::raw`], so a hash is always over
//! the bytes that came.
//!
//! Decoding and walking recurse, at most [`DEPTH_MAX`] deep.

mod decode;
mod encode;
#[cfg(test)]
mod tests;

pub use decode::{decode, decode_noting, decode_prefix};
pub use encode::{Dict, Encoder, Item};

/// How much a decoder accepts.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Greatest nesting of lists and dictionaries; never more than [`DEPTH_MAX`] counts.
    pub depth_max: u32,
    /// Greatest number of values in all, keys not counted.
    pub values_max: u32,
    /// Whether unsorted or duplicate keys, leading zeroes and the like are errors (`true`) or
    /// warnings (`false`). Canonical input decodes and re-encodes to the same bytes.
    pub canonical: bool,
}

/// The nesting that no limits exceed, so that walking and dropping a value never exhausts a stack.
pub const DEPTH_MAX: u32 = 100;

impl Limits {
    /// For our own records, journal entries and messages: only the canonical encoding.
    pub const CANONICAL: Self = Self {
        depth_max: 16,
        values_max: 100_000,
        canonical: true,
    };
    /// For what peers and trackers send: small, and tolerant of what clients get wrong.
    pub const MESSAGE: Self = Self {
        depth_max: 10,
        values_max: 20_000,
        canonical: false,
    };
}

/// One decoded value and the bytes that encoded it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node<'a> {
    /// The value.
    pub value: Value<'a>,
    /// Exactly the bytes it was decoded from.
    pub raw: &'a [u8],
}

/// A bencoded value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value<'a> {
    /// An integer. Those outside `i64` are an error.
    Int(i64),
    /// A byte string.
    Bytes(&'a [u8]),
    /// A list.
    List(Vec<Node<'a>>),
    /// A dictionary in input order.
    Dict(Vec<(&'a [u8], Node<'a>)>),
}

/// Why bytes are not acceptable bencode, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("at byte {offset}: {cause}")]
pub struct DecodeError {
    /// Offset in the input of the byte that is wrong, or of the value that it begins.
    pub offset: usize,
    /// What is wrong there.
    pub cause: Cause,
}

/// What is wrong with a bencoded input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Cause {
    /// The input ends within a value.
    #[error("input ends within a value")]
    Truncated,
    /// Bytes follow the value.
    #[error("{len} bytes follow the value")]
    TrailingBytes {
        /// How many.
        len: usize,
    },
    /// A byte that begins no value.
    #[error("byte {got:#04x} begins no value")]
    NoValue {
        /// The byte.
        got: u8,
    },
    /// A byte other than a digit in an integer.
    #[error("byte {got:#04x} in an integer")]
    BadInteger {
        /// The byte.
        got: u8,
    },
    /// An integer outside `i64`.
    #[error("integer is outside 64 bits")]
    IntegerRange,
    /// A byte other than a digit or a colon in a string's length.
    #[error("byte {got:#04x} in the length of a string")]
    BadLen {
        /// The byte.
        got: u8,
    },
    /// A string longer than what is left of the input.
    #[error("string of {len} bytes, {left} are left")]
    StringTooLong {
        /// The length it names; the greatest `u64` for one beyond it.
        len: u64,
        /// Bytes left.
        left: usize,
    },
    /// A dictionary key that is not a string.
    #[error("dictionary key begins with {got:#04x}, not with a digit")]
    KeyNotString {
        /// The byte.
        got: u8,
    },
    /// Lists and dictionaries nested too deeply.
    #[error("nesting exceeds {limit}")]
    TooDeep {
        /// The limit.
        limit: u32,
    },
    /// Too many values.
    #[error("more than {limit} values")]
    TooManyValues {
        /// The limit.
        limit: u32,
    },
    /// Decodable, but not the canonical encoding, where only that is accepted.
    #[error("not canonical: {0}")]
    NotCanonical(Oddity),
}

/// A way in which an encoding is not the canonical one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Oddity {
    /// A key that sorts before the key that it follows.
    #[error("dictionary keys are not in order")]
    UnsortedKeys,
    /// A key that the same dictionary already has. The first one counts.
    #[error("dictionary key occurs twice")]
    DuplicateKey,
    /// `i007e`, or `i-0e`.
    #[error("integer has leading zeroes or is minus zero")]
    IntegerZeroes,
    /// `03:abc`.
    #[error("length of a string has leading zeroes")]
    LenZeroes,
}

/// An [`Oddity`] and where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Noted {
    /// Offset in the input.
    pub offset: usize,
    /// What.
    pub oddity: Oddity,
}

/// How many oddities of one input are kept; the rest add nothing.
pub const NOTED_MAX: usize = 64;

impl<'a> Node<'a> {
    /// The integer, if it is one.
    pub fn as_int(&self) -> Option<i64> {
        match self.value {
            Value::Int(int) => Some(int),
            Value::Bytes(_) | Value::List(_) | Value::Dict(_) => None,
        }
    }

    /// The byte string, if it is one.
    pub fn as_bytes(&self) -> Option<&'a [u8]> {
        match self.value {
            Value::Bytes(bytes) => Some(bytes),
            Value::Int(_) | Value::List(_) | Value::Dict(_) => None,
        }
    }

    /// The byte string, if it is one and is UTF-8.
    pub fn as_str(&self) -> Option<&'a str> {
        std::str::from_utf8(self.as_bytes()?).ok()
    }

    /// The items, if it is a list.
    pub fn as_list(&self) -> Option<&[Node<'a>]> {
        match &self.value {
            Value::List(items) => Some(items),
            Value::Int(_) | Value::Bytes(_) | Value::Dict(_) => None,
        }
    }

    /// The entries in input order, if it is a dictionary.
    pub fn as_dict(&self) -> Option<&[(&'a [u8], Node<'a>)]> {
        match &self.value {
            Value::Dict(entries) => Some(entries),
            Value::Int(_) | Value::Bytes(_) | Value::List(_) => None,
        }
    }

    /// The value of `key`, if this is a dictionary that has it; the first one of duplicates.
    pub fn get(&self, key: &str) -> Option<&Node<'a>> {
        self.as_dict()?
            .iter()
            .find(|(k, _)| *k == key.as_bytes())
            .map(|(_, node)| node)
    }

    /// The value of `key`, if it is an integer.
    pub fn get_int(&self, key: &str) -> Option<i64> {
        self.get(key)?.as_int()
    }

    /// The value of `key`, if it is a byte string.
    pub fn get_bytes(&self, key: &str) -> Option<&'a [u8]> {
        self.get(key)?.as_bytes()
    }

    /// The value of `key`, if it is a UTF-8 string.
    pub fn get_str(&self, key: &str) -> Option<&'a str> {
        self.get(key)?.as_str()
    }

    /// The value of `key`, if it is a list.
    pub fn get_list(&self, key: &str) -> Option<&[Node<'a>]> {
        self.get(key)?.as_list()
    }
}
