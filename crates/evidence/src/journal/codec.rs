//! Journal entries to bytes and back.
//!
//! ```text
//! frame   len u32 BE | first 4 bytes of SHA-256(body) | body
//! body    canonical bencode dictionary of at most ENTRY_BYTES_MAX bytes
//! ```
//!
//! The four check bytes tell a torn write from a whole one. They protect against nobody: the
//! journal's SHA-256 in the ledger's marks does.

use skep_hash::sha256;
use skep_wire::{Moment, bencode::Dict};

use super::{ADDRS_PER_NAME_MAX, Entry, Input};
use crate::{
    clock::ClockSample,
    codec::{Field, FieldError, Fields},
};

/// Greatest size of an entry's body: a look-up with [`ADDRS_PER_NAME_MAX`] addresses needs 400.
pub const ENTRY_BYTES_MAX: usize = 1_024;

/// Length of what stands before a body.
pub const FRAME_HEADER_LEN: usize = 8;

/// Why bytes are no journal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// The bytes end within a frame.
    #[error("frame at {offset} needs {expected} bytes, {got} are left")]
    FrameTruncated {
        /// Where the frame begins.
        offset: u64,
        /// What it needs, as far as it is known.
        expected: usize,
        /// What there is.
        got: usize,
    },
    /// A frame says a length that no entry has.
    #[error("frame at {offset} says {len} bytes, at most {ENTRY_BYTES_MAX} are allowed")]
    FrameLen {
        /// Where the frame begins.
        offset: u64,
        /// The length that it says.
        len: u32,
    },
    /// A body does not have its frame's check bytes.
    #[error("frame at {offset} has check bytes {expected:02x?}, its body has {got:02x?}")]
    FrameCheck {
        /// Where the frame begins.
        offset: u64,
        /// What the frame says.
        expected: [u8; 4],
        /// What the body has.
        got: [u8; 4],
    },
    /// A field is wrong.
    #[error("entry at {offset}: {why}")]
    Field {
        /// Where the frame begins.
        offset: u64,
        /// What is wrong.
        why: FieldError,
    },
    /// An entry of a kind that this build does not know: it cannot be replayed.
    #[error("entry at {offset} is of the unknown kind {kind:?}")]
    Kind {
        /// Where the frame begins.
        offset: u64,
        /// The kind.
        kind: String,
    },
    /// Too many addresses of one name.
    #[error("entry at {offset} has {got} addresses, at most {ADDRS_PER_NAME_MAX} are allowed")]
    TooManyAddrs {
        /// Where the frame begins.
        offset: u64,
        /// How many.
        got: usize,
    },
    /// Time goes backwards.
    #[error("entry at {offset} is of {got:?}, the one before it of {before:?}")]
    Backwards {
        /// Where the frame begins.
        offset: u64,
        /// The entry's time.
        got: Moment,
        /// The time of the entry before it.
        before: Moment,
    },
}

/// Where a journal stops being one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tail {
    /// It ends with its last frame.
    Clean,
    /// Bytes from `offset` on are no whole frame, or no entry that can follow.
    Torn {
        /// Where.
        offset: u64,
        /// How many bytes there are from there on.
        len: u64,
        /// What is wrong with the first of them.
        why: JournalError,
    },
}

/// Wraps a body in its frame.
pub fn frame(body: &[u8]) -> Vec<u8> {
    let len = u32::try_from(body.len()).expect("a body is shorter than 4 GiB");
    let mut frame = Vec::with_capacity(FRAME_HEADER_LEN + body.len());
    frame.extend(len.to_be_bytes());
    frame.extend(check_bytes(body));
    frame.extend(body);
    frame
}

/// Reads the frame at the start of `bytes`; returns its body. `offset` is for the error.
///
/// # Errors
///
/// [`JournalError`] if it is not whole or longer than `len_max`.
pub(crate) fn unframe(bytes: &[u8], offset: u64, len_max: usize) -> Result<&[u8], JournalError> {
    let truncated = |expected| JournalError::FrameTruncated {
        offset,
        expected,
        got: bytes.len(),
    };
    let Some((header, rest)) = bytes.split_first_chunk::<FRAME_HEADER_LEN>() else {
        return Err(truncated(FRAME_HEADER_LEN));
    };
    let [a, b, c, d, expected @ ..] = *header;
    let len = u32::from_be_bytes([a, b, c, d]);
    if len as usize > len_max {
        return Err(JournalError::FrameLen { offset, len });
    }
    let body = rest
        .get(..len as usize)
        .ok_or(truncated(FRAME_HEADER_LEN + len as usize))?;
    let got = check_bytes(body);
    if got != expected {
        return Err(JournalError::FrameCheck {
            offset,
            expected,
            got,
        });
    }
    Ok(body)
}

fn check_bytes(body: &[u8]) -> [u8; 4] {
    let [a, b, c, d, ..] = sha256(body).0;
    [a, b, c, d]
}

macro_rules! inputs {
    ($($variant:ident $name:literal { $($field:ident $tag:literal)* })*) => {
        impl Input {
            /// The entry's kind, as in its field `in`.
            pub fn kind(&self) -> &'static str {
                match self {
                    Self::Clock(_) => "clock",
                    $(Self::$variant { .. } => $name,)*
                }
            }

            fn put(&self, dict: &mut Dict) {
                match self {
                    Self::Clock(sample) => {
                        sample.before.put("before", dict);
                        sample.after.put("after", dict);
                        sample.utc_us.put("utc", dict);
                        sample.error_us_max.put("error", dict);
                        sample.synchronised.put("sync", dict);
                    }
                    $(Self::$variant { $($field),* } => { $($field.put($tag, dict);)* })*
                }
            }

            fn take(kind: &str, fields: &mut Fields<'_>) -> Result<Option<Self>, FieldError> {
                Ok(Some(match kind {
                    "clock" => Self::Clock(ClockSample {
                        before: fields.take("before")?,
                        after: fields.take("after")?,
                        utc_us: fields.take("utc")?,
                        error_us_max: fields.take("error")?,
                        synchronised: fields.take("sync")?,
                    }),
                    $($name => Self::$variant { $($field: fields.take($tag)?),* },)*
                    _ => return Ok(None),
                }))
            }
        }
    };
}

inputs! {
    Timeout "timeout" {}
    Resolved "resolved" { query "query" addrs "addrs" }
    Opened "opened" { conn "conn" local "local" remote "remote" }
    Failed "failed" { conn "conn" reason "reason" }
    Incoming "incoming" { conn "conn" local "local" remote "remote" }
    Received "received" { conn "conn" capture "capture" len "len" }
    Sent "sent" { conn "conn" capture "capture" len "len" }
    Ended "ended" { conn "conn" how "how" }
    Datagram "datagram" { local "local" remote "remote" capture "capture" len "len" }
    DatagramSent "datagram-sent" { local "local" remote "remote" capture "capture" len "len" }
    Stop "stop" {}
}

impl Entry {
    /// The one encoding of this entry's body.
    pub fn encode(&self) -> Vec<u8> {
        let mut dict = Dict::new();
        self.at.put("at", &mut dict);
        self.input.kind().to_owned().put("in", &mut dict);
        self.input.put(&mut dict);
        dict.encode()
    }

    /// Reads a body; refuses every encoding but the canonical one, and what cannot be replayed:
    /// unknown kinds and fields. `offset` is for the error.
    ///
    /// # Errors
    ///
    /// [`JournalError`].
    pub fn decode(body: &[u8], offset: u64) -> Result<Self, JournalError> {
        let field = |why| JournalError::Field { offset, why };
        let mut fields = Fields::decode("entry", body).map_err(field)?;
        let kind: String = fields.take("in").map_err(field)?;
        let at = fields.take("at").map_err(field)?;
        let Some(input) = Input::take(&kind, &mut fields).map_err(field)? else {
            return Err(JournalError::Kind { offset, kind });
        };
        fields.end().map_err(field)?;
        if let Input::Resolved { addrs, .. } = &input
            && addrs.len() > ADDRS_PER_NAME_MAX
        {
            return Err(JournalError::TooManyAddrs {
                offset,
                got: addrs.len(),
            });
        }
        let entry = Self { at, input };
        if entry.encode() != body {
            return Err(field(FieldError::NotCanonical));
        }
        Ok(entry)
    }
}

/// The entries of a journal in order, each with the offset of its frame. Ends at the first frame
/// that is not whole, or holds no entry that can follow; [`Entries::tail`] then says what is there.
#[derive(Debug, Clone)]
pub struct Entries<'a> {
    journal: &'a [u8],
    offset: usize,
    before: Moment,
}

impl<'a> Entries<'a> {
    /// Starts at the beginning of a journal.
    pub fn new(journal: &'a [u8]) -> Self {
        Self {
            journal,
            offset: 0,
            before: Moment::ZERO,
        }
    }

    /// Where the next frame begins.
    pub fn offset(&self) -> u64 {
        self.offset as u64
    }

    /// What follows the last entry given out.
    pub fn tail(&self) -> Tail {
        match self.peek() {
            None | Some(Ok(_)) => Tail::Clean,
            Some(Err(why)) => {
                let len = (self.journal.len() - self.offset) as u64;
                Tail::Torn {
                    offset: self.offset(),
                    len,
                    why,
                }
            }
        }
    }

    fn peek(&self) -> Option<Result<(usize, Entry), JournalError>> {
        let rest = &self.journal[self.offset..];
        (!rest.is_empty()).then(|| {
            let offset = self.offset();
            let body = unframe(rest, offset, ENTRY_BYTES_MAX)?;
            let entry = Entry::decode(body, offset)?;
            if entry.at < self.before {
                let (got, before) = (entry.at, self.before);
                return Err(JournalError::Backwards {
                    offset,
                    got,
                    before,
                });
            }
            Ok((FRAME_HEADER_LEN + body.len(), entry))
        })
    }
}

impl Iterator for Entries<'_> {
    type Item = (u64, Entry);

    fn next(&mut self) -> Option<Self::Item> {
        let (len, entry) = self.peek()?.ok()?;
        let offset = self.offset();
        self.offset += len;
        self.before = entry.at;
        Some((offset, entry))
    }
}
