//! The decoder.

use super::{Cause, DEPTH_MAX, DecodeError, Limits, NOTED_MAX, Node, Noted, Oddity, Value};

/// Decodes the whole of `bytes` as one value.
///
/// # Errors
///
/// [`DecodeError`], also for trailing bytes.
pub fn decode(bytes: &[u8], limits: Limits) -> Result<Node<'_>, DecodeError> {
    decode_noting(bytes, limits).map(|(node, _)| node)
}

/// Like [`decode`], and returns what was not canonical (at most [`NOTED_MAX`]).
///
/// # Errors
///
/// [`DecodeError`], also for trailing bytes.
pub fn decode_noting(bytes: &[u8], limits: Limits) -> Result<(Node<'_>, Vec<Noted>), DecodeError> {
    let mut decoder = Decoder::new(bytes, limits);
    let node = decoder.value(0)?;
    match bytes.len() - decoder.at {
        0 => Ok((node, decoder.noted)),
        len => Err(decoder.error_here(Cause::TrailingBytes { len })),
    }
}

/// Decodes one value from the front of `bytes`; returns it and the bytes that follow it.
///
/// # Errors
///
/// [`DecodeError`].
pub fn decode_prefix(bytes: &[u8], limits: Limits) -> Result<(Node<'_>, &[u8]), DecodeError> {
    let mut decoder = Decoder::new(bytes, limits);
    let node = decoder.value(0)?;
    Ok((node, &bytes[decoder.at..]))
}

struct Decoder<'a> {
    bytes: &'a [u8],
    /// Offset of the next byte; never beyond the end.
    at: usize,
    limits: Limits,
    values: u32,
    noted: Vec<Noted>,
}

impl<'a> Decoder<'a> {
    fn new(bytes: &'a [u8], limits: Limits) -> Self {
        let limits = Limits {
            depth_max: limits.depth_max.min(DEPTH_MAX),
            ..limits
        };
        Self {
            bytes,
            at: 0,
            limits,
            values: 0,
            noted: Vec::new(),
        }
    }

    fn error(&self, offset: usize, cause: Cause) -> DecodeError {
        DecodeError { offset, cause }
    }

    fn error_here(&self, cause: Cause) -> DecodeError {
        self.error(self.at, cause)
    }

    fn peek(&self) -> Result<u8, DecodeError> {
        self.bytes
            .get(self.at)
            .copied()
            .ok_or_else(|| self.error_here(Cause::Truncated))
    }

    fn note(&mut self, offset: usize, oddity: Oddity) -> Result<(), DecodeError> {
        if self.limits.canonical {
            return Err(self.error(offset, Cause::NotCanonical(oddity)));
        }
        if self.noted.len() < NOTED_MAX {
            self.noted.push(Noted { offset, oddity });
        }
        Ok(())
    }

    fn value(&mut self, depth: u32) -> Result<Node<'a>, DecodeError> {
        let start = self.at;
        if self.values == self.limits.values_max {
            return Err(self.error_here(Cause::TooManyValues {
                limit: self.limits.values_max,
            }));
        }
        self.values += 1;
        let value = match self.peek()? {
            b'i' => Value::Int(self.int()?),
            b'0'..=b'9' => Value::Bytes(self.string()?),
            b'l' => {
                self.open(depth)?;
                let mut items = Vec::new();
                while self.peek()? != b'e' {
                    items.push(self.value(depth + 1)?);
                }
                self.at += 1;
                // A vector starts with room for four; millions of short lists must not cost that.
                items.shrink_to_fit();
                Value::List(items)
            }
            b'd' => {
                self.open(depth)?;
                Value::Dict(self.entries(depth + 1)?)
            }
            got => return Err(self.error_here(Cause::NoValue { got })),
        };
        Ok(Node {
            value,
            raw: &self.bytes[start..self.at],
        })
    }

    /// Steps over the first byte of a list or dictionary at `depth`.
    fn open(&mut self, depth: u32) -> Result<(), DecodeError> {
        if depth >= self.limits.depth_max {
            return Err(self.error_here(Cause::TooDeep {
                limit: self.limits.depth_max,
            }));
        }
        self.at += 1;
        Ok(())
    }

    /// The entries of a dictionary and its end; its first byte is behind us.
    fn entries(&mut self, depth: u32) -> Result<Vec<(&'a [u8], Node<'a>)>, DecodeError> {
        let mut entries: Vec<(&'a [u8], Node<'a>)> = Vec::new();
        let mut sorted = true;
        loop {
            let key_at = self.at;
            match self.peek()? {
                b'e' => break,
                b'0'..=b'9' => {}
                got => return Err(self.error_here(Cause::KeyNotString { got })),
            }
            let key = self.string()?;
            if let Some((last, _)) = entries.last() {
                if key == *last {
                    self.note(key_at, Oddity::DuplicateKey)?;
                } else if key < *last {
                    sorted = false;
                    self.note(key_at, Oddity::UnsortedKeys)?;
                }
            }
            entries.push((key, self.value(depth)?));
        }
        self.at += 1;
        if !sorted {
            self.note_scattered_duplicates(&entries)?;
        }
        entries.shrink_to_fit();
        Ok(entries)
    }

    /// Notes the keys that occur twice with others between them, which the comparison with the
    /// key before cannot see.
    fn note_scattered_duplicates(
        &mut self,
        entries: &[(&'a [u8], Node<'a>)],
    ) -> Result<(), DecodeError> {
        let mut keys: Vec<(&[u8], usize)> = entries
            .iter()
            .enumerate()
            .map(|(n, (key, _))| (*key, n))
            .collect();
        keys.sort_unstable();
        for pair in keys.windows(2) {
            let [(a, a_at), (b, b_at)] = [pair[0], pair[1]];
            if a == b && a_at + 1 != b_at {
                // The key begins where the value before it ends.
                let before = entries[b_at - 1].1.raw;
                let before_at = before.as_ptr() as usize - self.bytes.as_ptr() as usize;
                let offset = before_at + before.len();
                self.note(offset, Oddity::DuplicateKey)?;
            }
        }
        Ok(())
    }

    fn int(&mut self) -> Result<i64, DecodeError> {
        let start = self.at;
        self.at += 1;
        let negative = self.peek()? == b'-';
        if negative {
            self.at += 1;
        }
        let digits_at = self.at;
        let mut magnitude: Option<u64> = Some(0);
        loop {
            match self.peek()? {
                digit @ b'0'..=b'9' => {
                    let digit = u64::from(digit - b'0');
                    magnitude = magnitude
                        .and_then(|sum| sum.checked_mul(10))
                        .and_then(|sum| sum.checked_add(digit));
                    self.at += 1;
                }
                b'e' if self.at > digits_at => break,
                got => return Err(self.error_here(Cause::BadInteger { got })),
            }
        }
        let len = self.at - digits_at;
        if self.bytes[digits_at] == b'0' && (len > 1 || negative) {
            self.note(start, Oddity::IntegerZeroes)?;
        }
        self.at += 1;
        let range = || DecodeError {
            offset: start,
            cause: Cause::IntegerRange,
        };
        let magnitude = magnitude.ok_or_else(range)?;
        if negative {
            0i64.checked_sub_unsigned(magnitude).ok_or_else(range)
        } else {
            i64::try_from(magnitude).map_err(|_| range())
        }
    }

    fn string(&mut self) -> Result<&'a [u8], DecodeError> {
        let start = self.at;
        let mut len: u64 = 0;
        loop {
            match self.peek()? {
                digit @ b'0'..=b'9' => {
                    len = len
                        .saturating_mul(10)
                        .saturating_add(u64::from(digit - b'0'));
                    self.at += 1;
                }
                b':' => break,
                got => return Err(self.error_here(Cause::BadLen { got })),
            }
        }
        if self.bytes[start] == b'0' && self.at - start > 1 {
            self.note(start, Oddity::LenZeroes)?;
        }
        self.at += 1;
        let left = self.bytes.len() - self.at;
        match usize::try_from(len) {
            Ok(wanted) if wanted <= left => {
                let string = &self.bytes[self.at..self.at + wanted];
                self.at += wanted;
                Ok(string)
            }
            _ => Err(self.error(start, Cause::StringTooLong { len, left })),
        }
    }
}
