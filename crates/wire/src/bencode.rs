//! Bencode (BEP 3): values that borrow from the input and know the raw bytes they came from.

/// How much a decoder accepts.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Greatest nesting of lists and dictionaries.
    pub depth_max: u32,
    /// Greatest number of values in all.
    pub values_max: u32,
    /// Whether unsorted or duplicate keys, leading zeroes and the like are errors (`true`) or
    /// warnings (`false`). Canonical input decodes and re-encodes to the same bytes.
    pub canonical: bool,
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
