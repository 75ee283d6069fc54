//! Canonical bencode out: a streaming writer, and owned values for building in any order.

use std::{collections::BTreeMap, io::Write as _, ops::Range};

/// Writes canonical bencode, piece by piece.
///
/// Our own mistakes (a key out of order, a value without a key, an unfinished list) are broken
/// promises and panic.
///
/// ```
/// use skep_wire::bencode::Encoder;
///
/// let mut out = Encoder::new();
/// out.begin_dict();
/// out.key("complete").int(3);
/// out.key("peers").begin_list();
/// out.bytes(b"x");
/// out.end();
/// out.end();
/// assert_eq!(out.finish(), b"d8:completei3e5:peersl1:xee");
/// ```
#[derive(Debug, Default)]
pub struct Encoder {
    out: Vec<u8>,
    open: Vec<Open>,
}

#[derive(Debug)]
enum Open {
    List,
    Dict {
        /// Where in the output the last key's bytes are.
        last_key: Option<Range<usize>>,
        value_due: bool,
    },
}

impl Encoder {
    /// Starts with nothing written.
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins a dictionary.
    pub fn begin_dict(&mut self) -> &mut Self {
        self.value_begins();
        self.out.push(b'd');
        self.open.push(Open::Dict {
            last_key: None,
            value_due: false,
        });
        self
    }

    /// Begins a list.
    pub fn begin_list(&mut self) -> &mut Self {
        self.value_begins();
        self.out.push(b'l');
        self.open.push(Open::List);
        self
    }

    /// Ends the innermost list or dictionary.
    pub fn end(&mut self) -> &mut Self {
        let open = self.open.pop().expect("a list or dictionary is open");
        let finished = !matches!(
            open,
            Open::Dict {
                value_due: true,
                ..
            }
        );
        assert!(finished, "every key has its value");
        self.out.push(b'e');
        self
    }

    /// Writes a dictionary key, which must sort after the one before it; its value comes next.
    pub fn key(&mut self, key: impl AsRef<[u8]>) -> &mut Self {
        let key = key.as_ref();
        let Some(Open::Dict {
            last_key,
            value_due,
        }) = self.open.last_mut()
        else {
            panic!("a key is written in a dictionary");
        };
        assert!(!*value_due, "every key has its value");
        let sorted = match last_key {
            Some(last) => self.out[last.clone()] < *key,
            None => true,
        };
        assert!(sorted, "keys are written in order");
        *value_due = true;
        let end = write_string(&mut self.out, key);
        *last_key = Some(end - key.len()..end);
        self
    }

    /// Writes an integer.
    pub fn int(&mut self, int: impl Into<i64>) -> &mut Self {
        self.value_begins();
        write!(self.out, "i{}e", int.into()).expect("a vector takes every write");
        self
    }

    /// Writes a byte string.
    pub fn bytes(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.value_begins();
        write_string(&mut self.out, bytes.as_ref());
        self
    }

    /// Writes a value that is already encoded. The caller promises that it is one canonical value.
    pub fn raw(&mut self, encoded: &[u8]) -> &mut Self {
        self.value_begins();
        self.out.extend_from_slice(encoded);
        self
    }

    /// Writes an owned value.
    pub fn item(&mut self, item: &Item) -> &mut Self {
        match item {
            Item::Int(int) => self.int(*int),
            Item::Bytes(bytes) => self.bytes(bytes),
            Item::Raw(encoded) => self.raw(encoded),
            Item::Dict(dict) => self.dict(dict),
            Item::List(items) => {
                self.begin_list();
                for item in items {
                    self.item(item);
                }
                self.end()
            }
        }
    }

    /// Writes an owned dictionary.
    pub fn dict(&mut self, dict: &Dict) -> &mut Self {
        self.begin_dict();
        for (key, item) in &dict.0 {
            self.key(key).item(item);
        }
        self.end()
    }

    fn value_begins(&mut self) {
        match self.open.last_mut() {
            Some(Open::List) => {}
            Some(Open::Dict { value_due, .. }) => {
                assert!(*value_due, "a value in a dictionary follows its key");
                *value_due = false;
            }
            None => assert!(self.out.is_empty(), "one value is written"),
        }
    }

    /// The bytes of the one value written.
    pub fn finish(self) -> Vec<u8> {
        assert!(!self.out.is_empty(), "one value is written");
        assert!(self.open.is_empty(), "every list and dictionary is ended");
        self.out
    }
}

/// A dictionary built in any order of keys and encoded in theirs.
///
/// ```
/// use skep_wire::bencode::Dict;
///
/// let reply = Dict::new().with("interval", 1800).with("complete", 3).with("id", "x");
/// assert_eq!(reply.encode(), b"d8:completei3e2:id1:x8:intervali1800ee");
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dict(BTreeMap<Vec<u8>, Item>);

/// An owned value, for building. What was received is a [`Node`](super::Node).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// An integer.
    Int(i64),
    /// A byte string.
    Bytes(Vec<u8>),
    /// A list.
    List(Vec<Item>),
    /// A dictionary.
    Dict(Dict),
    /// A value that is already encoded, canonically.
    Raw(Vec<u8>),
}

impl Dict {
    /// The empty dictionary.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an entry. A key that is there already is a broken promise, and panics.
    pub fn put(&mut self, key: impl AsRef<[u8]>, value: impl Into<Item>) {
        let before = self.0.insert(key.as_ref().to_vec(), value.into());
        assert!(before.is_none(), "a key is put once");
    }

    /// [`Dict::put`], by value.
    #[must_use]
    pub fn with(mut self, key: impl AsRef<[u8]>, value: impl Into<Item>) -> Self {
        self.put(key, value);
        self
    }

    /// Adds an entry if there is a value.
    #[must_use]
    pub fn with_some(self, key: impl AsRef<[u8]>, value: Option<impl Into<Item>>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }

    /// The canonical encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::new();
        out.dict(self);
        out.finish()
    }
}

impl Item {
    /// A list of these.
    pub fn list<T: Into<Self>>(items: impl IntoIterator<Item = T>) -> Self {
        Self::List(items.into_iter().map(Into::into).collect())
    }

    /// The canonical encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::new();
        out.item(self);
        out.finish()
    }
}

/// Appends a string; returns where it ends.
fn write_string(out: &mut Vec<u8>, bytes: &[u8]) -> usize {
    write!(out, "{}:", bytes.len()).expect("a vector takes every write");
    out.extend_from_slice(bytes);
    out.len()
}

impl From<Dict> for Item {
    fn from(dict: Dict) -> Self {
        Self::Dict(dict)
    }
}

impl From<Vec<Item>> for Item {
    fn from(items: Vec<Item>) -> Self {
        Self::List(items)
    }
}

impl From<Vec<u8>> for Item {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<&[u8]> for Item {
    fn from(bytes: &[u8]) -> Self {
        Self::Bytes(bytes.to_vec())
    }
}

impl<const N: usize> From<&[u8; N]> for Item {
    fn from(bytes: &[u8; N]) -> Self {
        Self::Bytes(bytes.to_vec())
    }
}

impl From<&str> for Item {
    fn from(text: &str) -> Self {
        Self::Bytes(text.as_bytes().to_vec())
    }
}

impl From<String> for Item {
    fn from(text: String) -> Self {
        Self::Bytes(text.into_bytes())
    }
}

impl From<i64> for Item {
    fn from(int: i64) -> Self {
        Self::Int(int)
    }
}

impl From<i32> for Item {
    fn from(int: i32) -> Self {
        Self::Int(int.into())
    }
}

impl From<u32> for Item {
    fn from(int: u32) -> Self {
        Self::Int(int.into())
    }
}

impl From<u16> for Item {
    fn from(int: u16) -> Self {
        Self::Int(int.into())
    }
}

impl From<u8> for Item {
    fn from(int: u8) -> Self {
        Self::Int(int.into())
    }
}
