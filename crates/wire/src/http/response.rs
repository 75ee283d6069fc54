//! Responses: read by the client, written by the tracker.

use super::{
    BODY_LEN_MAX, HEADERS_MAX, HttpError, INFLATED_LEN_MAX, excerpt, gunzip, head_end,
    head_may_end, lines, parse_content_length, parse_header,
};

/// A whole response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The `Location` header, where there is one.
    pub location: Option<Vec<u8>>,
    /// The body: chunks joined, gzip inflated.
    pub body: Vec<u8>,
}

/// Reads one response from bytes as they come. Bytes after it are ignored.
///
/// ```text
/// Head --head whole--> Sized | Chunked | ToEnd --body whole--> Done
/// ```
#[derive(Debug, Default)]
pub struct ResponseParser {
    state: State,
    /// What came and is not used yet, from `used` on: the head, or the line of a chunk.
    buf: Vec<u8>,
    /// Bytes of `buf` that are used up. They go at the next push, and not one line at a time: a
    /// body in chunks of one byte would move what follows as often.
    used: usize,
    /// Bytes of a head that were looked at.
    scanned: usize,
    body: Vec<u8>,
    received: u64,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Head,
    Body {
        head: Head,
        body: BodyState,
    },
    Done,
}

#[derive(Debug, Clone)]
struct Head {
    status: u16,
    location: Option<Vec<u8>>,
    gzip: bool,
}

/// What of the body comes next.
#[derive(Debug, Clone, Copy)]
enum BodyState {
    /// This many bytes.
    Sized { missing: usize },
    /// The line with a chunk's size.
    ChunkSize,
    /// This many bytes of a chunk.
    Chunk { missing: usize },
    /// The line end after a chunk.
    ChunkEnd,
    /// Lines up to an empty one.
    Trailer { lines: usize },
    /// Whatever comes until the stream ends.
    ToEnd,
}

/// Greatest length of the line with a chunk's size, and of a trailer line.
const CHUNK_LINE_LEN_MAX: usize = 1_024;

impl ResponseParser {
    /// Starts before the first byte.
    pub fn new() -> Self {
        Self::default()
    }

    /// Feeds bytes; returns the response once it is whole, once.
    ///
    /// # Errors
    ///
    /// [`HttpError`] with what is wrong; the parser is then of no further use.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Option<Response>, HttpError> {
        self.received = self.received.saturating_add(bytes.len() as u64);
        match self.state {
            State::Done => return Ok(None),
            State::Body {
                body: BodyState::Sized { .. } | BodyState::ToEnd,
                ..
            } if self.used == self.buf.len() => {
                // The common case of a long body goes without the detour through `buf`.
                return self.body_bytes(bytes);
            }
            State::Head | State::Body { .. } => {}
        }
        let mut bytes = bytes;
        loop {
            // Line by line: never more than a head is buffered at once.
            self.buf.drain(..self.used);
            self.used = 0;
            let room = super::HEAD_LEN_MAX.saturating_sub(self.buf.len());
            let (now, later) = bytes.split_at(bytes.len().min(room));
            self.buf.extend_from_slice(now);
            bytes = later;
            if let Some(response) = self.advance()? {
                return Ok(Some(response));
            }
            if bytes.is_empty() || matches!(self.state, State::Done) {
                return Ok(None);
            }
        }
    }

    /// Tells that the stream ended; returns the response if that completes it.
    ///
    /// # Errors
    ///
    /// [`HttpError::Truncated`] if the response was not whole.
    pub fn end(&mut self) -> Result<Option<Response>, HttpError> {
        match &self.state {
            State::Done => Ok(None),
            State::Body {
                body: BodyState::ToEnd,
                ..
            } => self.finish(),
            State::Head | State::Body { .. } => Err(HttpError::Truncated { got: self.received }),
        }
    }

    /// Whether a response was returned.
    pub fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Uses what is buffered as far as it goes.
    fn advance(&mut self) -> Result<Option<Response>, HttpError> {
        loop {
            match &mut self.state {
                State::Done => return Ok(None),
                State::Head => {
                    let unused = &self.buf[self.used..];
                    if !head_may_end(unused, &mut self.scanned) {
                        return Ok(None);
                    }
                    let Some(end) = head_end(unused)? else {
                        return Ok(None);
                    };
                    let (head, body) = parse_head(&unused[..end])?;
                    self.used += end;
                    self.scanned = 0;
                    // 1xx: the real response follows (RFC 9110, "Informational 1xx").
                    if (100..200).contains(&head.status) {
                        continue;
                    }
                    let empty = matches!(body, BodyState::Sized { missing: 0 });
                    self.state = State::Body { head, body };
                    if empty {
                        return self.finish();
                    }
                }
                State::Body {
                    body: BodyState::Sized { .. } | BodyState::ToEnd,
                    ..
                } => {
                    let bytes = std::mem::take(&mut self.buf);
                    let used = std::mem::take(&mut self.used);
                    return self.body_bytes(&bytes[used..]);
                }
                State::Body { body, .. } => {
                    let unused = &self.buf[self.used..];
                    let (next, used) = match *body {
                        BodyState::Chunk { missing } => {
                            let len = missing.min(unused.len());
                            if len == 0 {
                                return Ok(None);
                            }
                            self.body.extend_from_slice(&unused[..len]);
                            let missing = missing - len;
                            let next = match missing {
                                0 => BodyState::ChunkEnd,
                                missing => BodyState::Chunk { missing },
                            };
                            (next, len)
                        }
                        state => match chunk_line(state, unused, self.body.len())? {
                            Line::Partial => return Ok(None),
                            Line::End => return self.finish(),
                            Line::Next(next, used) => (next, used),
                        },
                    };
                    *body = next;
                    self.used += used;
                }
            }
        }
    }

    /// Bytes of a body that is delimited by its length or by the end of the stream.
    fn body_bytes(&mut self, bytes: &[u8]) -> Result<Option<Response>, HttpError> {
        let State::Body { body, .. } = &mut self.state else {
            return Ok(None);
        };
        if let BodyState::Sized { missing } = body {
            let len = bytes.len().min(*missing);
            *missing -= len;
            let whole = *missing == 0;
            self.body.extend_from_slice(&bytes[..len]);
            return if whole { self.finish() } else { Ok(None) };
        }
        let len = self.body.len() + bytes.len();
        if len > BODY_LEN_MAX {
            return Err(HttpError::BodyTooLong {
                len: len as u64,
                limit: BODY_LEN_MAX,
            });
        }
        self.body.extend_from_slice(bytes);
        Ok(None)
    }

    fn finish(&mut self) -> Result<Option<Response>, HttpError> {
        let State::Body { head, .. } = std::mem::replace(&mut self.state, State::Done) else {
            return Ok(None);
        };
        let body = std::mem::take(&mut self.body);
        let body = if head.gzip && !body.is_empty() {
            gunzip(&body, INFLATED_LEN_MAX)?
        } else {
            body
        };
        Ok(Some(Response {
            status: head.status,
            location: head.location,
            body,
        }))
    }
}

enum Line {
    /// The line end is not there yet.
    Partial,
    /// The body is whole.
    End,
    /// What comes next, and the bytes used.
    Next(BodyState, usize),
}

/// Reads one line of the chunked coding (RFC 9112, "Chunked Transfer Coding").
fn chunk_line(state: BodyState, buf: &[u8], body_len: usize) -> Result<Line, HttpError> {
    let Some(at) = buf
        .iter()
        .take(CHUNK_LINE_LEN_MAX)
        .position(|&byte| byte == b'\n')
    else {
        return if buf.len() >= CHUNK_LINE_LEN_MAX {
            Err(HttpError::BadChunk)
        } else {
            Ok(Line::Partial)
        };
    };
    let line = buf[..at].strip_suffix(b"\r").unwrap_or(&buf[..at]);
    let next = match state {
        BodyState::ChunkSize => {
            let digits = line
                .split(|&byte| byte == b';')
                .next()
                .unwrap_or_default()
                .trim_ascii();
            let size = parse_chunk_size(digits)?;
            let len = size.saturating_add(body_len as u64);
            if len > BODY_LEN_MAX as u64 {
                return Err(HttpError::BodyTooLong {
                    len,
                    limit: BODY_LEN_MAX,
                });
            }
            match usize::try_from(size).map_err(|_| HttpError::BadChunk)? {
                0 => BodyState::Trailer { lines: 0 },
                missing => BodyState::Chunk { missing },
            }
        }
        BodyState::ChunkEnd if line.is_empty() => BodyState::ChunkSize,
        BodyState::Trailer { .. } if line.is_empty() => return Ok(Line::End),
        BodyState::Trailer { lines } if lines < HEADERS_MAX => {
            BodyState::Trailer { lines: lines + 1 }
        }
        BodyState::Trailer { .. } => {
            return Err(HttpError::TooManyHeaders { limit: HEADERS_MAX });
        }
        BodyState::ChunkEnd
        | BodyState::Chunk { .. }
        | BodyState::Sized { .. }
        | BodyState::ToEnd => return Err(HttpError::BadChunk),
    };
    Ok(Line::Next(next, at + 1))
}

fn parse_chunk_size(digits: &[u8]) -> Result<u64, HttpError> {
    if digits.is_empty() || digits.len() > 15 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return Err(HttpError::BadChunk);
    }
    let text = std::str::from_utf8(digits).map_err(|_| HttpError::BadChunk)?;
    u64::from_str_radix(text, 16).map_err(|_| HttpError::BadChunk)
}

fn parse_head(head: &[u8]) -> Result<(Head, BodyState), HttpError> {
    let mut lines = lines(head);
    let line = lines.next().unwrap_or_default();
    let status = parse_status(line).ok_or_else(|| HttpError::NotHttp {
        line: excerpt(line),
    })?;
    let mut parsed = Head {
        status,
        location: None,
        gzip: false,
    };
    let (mut length, mut chunked) = (None, false);
    for (n, line) in lines.enumerate() {
        if n == HEADERS_MAX {
            return Err(HttpError::TooManyHeaders { limit: HEADERS_MAX });
        }
        let header = parse_header(line)?;
        let is = |name: &str| header.name.eq_ignore_ascii_case(name.as_bytes());
        if is("content-length") {
            let value = parse_content_length(header.value)?;
            if length.is_some_and(|before| before != value) {
                return Err(HttpError::BadContentLength {
                    value: excerpt(header.value),
                });
            }
            length = Some(value);
        } else if is("transfer-encoding") {
            if header.value.eq_ignore_ascii_case(b"chunked") {
                chunked = true;
            } else if !header.value.eq_ignore_ascii_case(b"identity") {
                let value = excerpt(header.value);
                return Err(HttpError::UnknownTransferCoding { value });
            }
        } else if is("content-encoding") {
            let value = header.value;
            if value.eq_ignore_ascii_case(b"gzip") || value.eq_ignore_ascii_case(b"x-gzip") {
                parsed.gzip = true;
            } else if !(value.is_empty() || value.eq_ignore_ascii_case(b"identity")) {
                return Err(HttpError::UnknownContentCoding {
                    value: excerpt(value),
                });
            }
        } else if is("location") && parsed.location.is_none() {
            parsed.location = Some(header.value.to_vec());
        }
    }
    let body = match length {
        // No body ever follows these (RFC 9112, "Message Body Length").
        _ if (100..200).contains(&status) || matches!(status, 204 | 304) => {
            BodyState::Sized { missing: 0 }
        }
        _ if chunked => BodyState::ChunkSize,
        Some(len) => match usize::try_from(len) {
            Ok(missing) if missing <= BODY_LEN_MAX => BodyState::Sized { missing },
            _ => {
                return Err(HttpError::BodyTooLong {
                    len,
                    limit: BODY_LEN_MAX,
                });
            }
        },
        None => BodyState::ToEnd,
    };
    Ok((parsed, body))
}

/// The code of a status line: `HTTP/1.1 200 OK`.
fn parse_status(line: &[u8]) -> Option<u16> {
    let rest = line.strip_prefix(b"HTTP/1.")?;
    let [
        b'0' | b'1',
        b' ',
        a @ b'1'..=b'9',
        b @ b'0'..=b'9',
        c @ b'0'..=b'9',
        rest @ ..,
    ] = rest
    else {
        return None;
    };
    if !matches!(rest, [] | [b' ', ..]) {
        return None;
    }
    Some(
        [a, b, c]
            .iter()
            .fold(0, |n, digit| n * 10 + u16::from(*digit - b'0')),
    )
}

/// What a response says besides its body.
#[derive(Debug, Clone, Copy)]
pub struct ResponseHead {
    /// The status code.
    pub status: u16,
    /// Whether the connection stays open for the next request.
    pub keep_alive: bool,
}

/// Appends a response.
pub fn put_response(out: &mut Vec<u8>, head: ResponseHead, content_type: &str, body: &[u8]) {
    let reason = match head.status {
        200 => "OK",
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        413 => "Content Too Large",
        431 => "Request Header Fields Too Large",
        503 => "Service Unavailable",
        505 => "HTTP Version Not Supported",
        _ => "",
    };
    let connection = if head.keep_alive {
        "keep-alive"
    } else {
        "close"
    };
    out.extend_from_slice(
        format!(
            "HTTP/1.1 {} {reason}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\
             Connection: {connection}\r\n\r\n",
            head.status,
            body.len()
        )
        .as_bytes(),
    );
    out.extend_from_slice(body);
}
