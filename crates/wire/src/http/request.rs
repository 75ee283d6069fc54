//! Requests: read by the tracker, written by its client.

use super::{
    HEADERS_MAX, HttpError, Url, excerpt, head_end, is_token, lines, parse_content_length,
    parse_header,
};

/// A request, borrowed from the buffer that it came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request<'a> {
    /// `GET`, `HEAD` and so on, as it came.
    pub method: &'a [u8],
    /// Path and query as they came, percent-coded.
    pub target: &'a [u8],
    /// Whether the client accepts another response on this connection.
    pub keep_alive: bool,
    /// Bytes of the buffer that the request fills.
    pub len: usize,
}

impl<'a> Request<'a> {
    /// Path and query, without the `?` between them.
    pub fn path_and_query(&self) -> (&'a [u8], &'a [u8]) {
        match self.target.iter().position(|&byte| byte == b'?') {
            Some(at) => (&self.target[..at], &self.target[at + 1..]),
            None => (self.target, b""),
        }
    }
}

/// Reads one request off the front of `bytes`; `None` if it is not whole yet.
///
/// # Errors
///
/// [`HttpError`] where no request that a tracker answers can follow; the connection is then of no
/// further use.
pub fn parse_request(bytes: &[u8]) -> Result<Option<Request<'_>>, HttpError> {
    // A client may send an empty line before a request (RFC 9112, "Message Parsing").
    let blank = bytes
        .iter()
        .take_while(|byte| matches!(byte, b'\r' | b'\n'))
        .take(4)
        .count();
    let Some(end) = head_end(&bytes[blank..])? else {
        return Ok(None);
    };
    let mut lines = lines(&bytes[blank..blank + end]);
    let line = lines.next().unwrap_or_default();
    let not_http = || HttpError::NotHttp {
        line: excerpt(line),
    };
    let mut words = line.split(|&byte| byte == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(not_http());
    };
    let minor = match version {
        b"HTTP/1.0" => 0,
        b"HTTP/1.1" => 1,
        _ => return Err(not_http()),
    };
    let method_ok = !method.is_empty() && method.iter().all(|&byte| is_token(byte));
    // A bare carriage return is a line end to some that stand between (RFC 9112, "Message Format").
    let target_ok = target.starts_with(b"/") && !target.iter().any(u8::is_ascii_control);
    if !method_ok || !target_ok {
        return Err(not_http());
    }
    let mut keep_alive = minor == 1;
    for (n, line) in lines.enumerate() {
        if n == HEADERS_MAX {
            return Err(HttpError::TooManyHeaders { limit: HEADERS_MAX });
        }
        let header = parse_header(line)?;
        if header
            .value
            .iter()
            .any(|byte| matches!(byte, b'\r' | b'\0'))
        {
            return Err(HttpError::BadHeader {
                line: excerpt(line),
            });
        }
        if header.name.eq_ignore_ascii_case(b"connection") {
            for word in header
                .value
                .split(|&byte| byte == b',')
                .map(<[u8]>::trim_ascii)
            {
                if word.eq_ignore_ascii_case(b"close") {
                    keep_alive = false;
                } else if word.eq_ignore_ascii_case(b"keep-alive") {
                    keep_alive = true;
                }
            }
        } else if header.name.eq_ignore_ascii_case(b"content-length") {
            if parse_content_length(header.value)? != 0 {
                return Err(HttpError::RequestWithBody);
            }
        } else if header.name.eq_ignore_ascii_case(b"transfer-encoding") {
            return Err(HttpError::RequestWithBody);
        }
    }
    Ok(Some(Request {
        method,
        target,
        keep_alive,
        len: blank + end,
    }))
}

/// Appends a GET request for `target` at the host of `url`, on a connection that is closed after
/// the response.
pub fn put_request(out: &mut Vec<u8>, url: &Url, target: &str, user_agent: &str) {
    let host = url.host_header();
    out.extend_from_slice(
        format!(
            "GET {target} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {user_agent}\r\n\
             Accept-Encoding: gzip\r\nConnection: close\r\n\r\n"
        )
        .as_bytes(),
    );
}
