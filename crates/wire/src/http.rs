//! HTTP/1.1 as trackers use it (RFC 9110, RFC 9112): requests and responses, both sides.
//!
//! What it is: bounded, incremental parsers over bytes that came, and writers of what goes out.
//! What it is not: a general HTTP library. Only what trackers and their clients do is understood:
//! GET without a body, and responses delimited by Content-Length, chunks or the end of the stream,
//! gzip-coded or not. Everything else is a typed error.

pub mod gzip;
pub mod request;
pub mod response;
pub mod url;

pub use gzip::{GzipError, gunzip};
pub use request::{Request, parse_request, put_request};
pub use response::{Response, ResponseParser, put_response};
pub use url::{Host, Scheme, Url, UrlError};

/// Greatest length of a head: the first line and all header fields with their line ends.
pub const HEAD_LEN_MAX: usize = 16 * 1024;

/// Greatest number of header fields.
pub const HEADERS_MAX: usize = 64;

/// Greatest length of a response body as it comes, after chunks are joined. A reply with
/// [`crate::tracker::PEERS_PER_REPLY_MAX`] peers as dictionaries has about 400 KiB.
pub const BODY_LEN_MAX: usize = 1024 * 1024;

/// Greatest length of a response body once inflated.
pub const INFLATED_LEN_MAX: usize = 2 * 1024 * 1024;

/// Why bytes are not the HTTP that is understood here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HttpError {
    /// The head does not end within the limit.
    #[error("head exceeds {limit} bytes")]
    HeadTooLong {
        /// [`HEAD_LEN_MAX`].
        limit: usize,
    },
    /// Too many header fields.
    #[error("more than {limit} header fields")]
    TooManyHeaders {
        /// [`HEADERS_MAX`].
        limit: usize,
    },
    /// The first line is neither a request line nor a status line of HTTP/1.
    #[error("first line is not HTTP/1: {line:?}")]
    NotHttp {
        /// The beginning of the line, escaped.
        line: String,
    },
    /// A header field without a colon, or with a name that is no token.
    #[error("malformed header field: {line:?}")]
    BadHeader {
        /// The beginning of the line, escaped.
        line: String,
    },
    /// A Content-Length that is no number, or several that differ.
    #[error("malformed content-length: {value:?}")]
    BadContentLength {
        /// What came, escaped.
        value: String,
    },
    /// A request with a body; trackers are asked without.
    #[error("request with a body")]
    RequestWithBody,
    /// A transfer coding other than `chunked`.
    #[error("unknown transfer-encoding: {value:?}")]
    UnknownTransferCoding {
        /// What came, escaped.
        value: String,
    },
    /// A content coding other than gzip.
    #[error("unknown content-encoding: {value:?}")]
    UnknownContentCoding {
        /// What came, escaped.
        value: String,
    },
    /// A chunk without a size, or without its line end.
    #[error("malformed chunk")]
    BadChunk,
    /// The body exceeds the limit, by what it says or by what came.
    #[error("body of {len} bytes exceeds the limit of {limit}")]
    BodyTooLong {
        /// Its length as far as known.
        len: u64,
        /// [`BODY_LEN_MAX`].
        limit: usize,
    },
    /// The stream ended before the response was whole.
    #[error("stream ended after {got} bytes, before the response was whole")]
    Truncated {
        /// How many bytes of the response came.
        got: u64,
    },
    /// The gzip coding of the body.
    #[error("gzip body: {0}")]
    Gzip(#[from] GzipError),
}

/// The first bytes of foreign text, printable, for an error.
fn excerpt(bytes: &[u8]) -> String {
    const EXCERPT_LEN_MAX: usize = 64;
    bytes[..bytes.len().min(EXCERPT_LEN_MAX)]
        .escape_ascii()
        .to_string()
}

/// One header field: name as it came, value without surrounding blanks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header<'a> {
    /// The name; compare without regard to case.
    pub name: &'a [u8],
    /// The value.
    pub value: &'a [u8],
}

/// Finds the end of a head: the index behind the empty line.
fn head_end(bytes: &[u8]) -> Result<Option<usize>, HttpError> {
    let window = &bytes[..bytes.len().min(HEAD_LEN_MAX)];
    let mut from = 0;
    while let Some(at) = window[from..].iter().position(|&byte| byte == b'\n') {
        let next = from + at + 1;
        match &window[next..] {
            [b'\n', ..] => return Ok(Some(next + 1)),
            [b'\r', b'\n', ..] => return Ok(Some(next + 2)),
            _ => from = next,
        }
    }
    if bytes.len() >= HEAD_LEN_MAX {
        return Err(HttpError::HeadTooLong {
            limit: HEAD_LEN_MAX,
        });
    }
    Ok(None)
}

/// Whether a head may end in `bytes`, or is too long by now: whether reading one is worth a try.
///
/// `scanned` is how many bytes were looked at by earlier calls; 0 for a new head. So each byte of a
/// head that comes a byte at a time is looked at once, and not as often as there are bytes.
pub fn head_may_end(bytes: &[u8], scanned: &mut usize) -> bool {
    // The line end before an empty line may have come earlier.
    let from = scanned.saturating_sub(3).min(bytes.len());
    *scanned = bytes.len();
    let mut rest = &bytes[from..];
    while let Some(at) = rest.iter().position(|&byte| byte == b'\n') {
        rest = &rest[at + 1..];
        if matches!(rest, [b'\n', ..] | [b'\r', b'\n', ..]) {
            return true;
        }
    }
    bytes.len() >= HEAD_LEN_MAX
}

/// The lines of a head without their line ends, up to the empty line.
fn lines(head: &[u8]) -> impl Iterator<Item = &[u8]> {
    head.split(|&byte| byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
        .take_while(|line| !line.is_empty())
}

fn parse_header(line: &[u8]) -> Result<Header<'_>, HttpError> {
    let bad = || HttpError::BadHeader {
        line: excerpt(line),
    };
    let colon = line.iter().position(|&byte| byte == b':').ok_or_else(bad)?;
    let name = &line[..colon];
    if name.is_empty() || !name.iter().all(|&byte| is_token(byte)) {
        return Err(bad());
    }
    Ok(Header {
        name,
        value: line[colon + 1..].trim_ascii(),
    })
}

/// RFC 9110, "Tokens".
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn parse_content_length(value: &[u8]) -> Result<u64, HttpError> {
    let bad = || HttpError::BadContentLength {
        value: excerpt(value),
    };
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(bad());
    }
    let text = std::str::from_utf8(value).map_err(|_| bad())?;
    text.parse().map_err(|_| bad())
}

#[cfg(test)]
mod tests;
