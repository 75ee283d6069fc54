//! The two byte streams of a connection: what came, with the place in the capture of every byte,
//! and what we queued, until the system has taken it.

use std::collections::VecDeque;

use skep_evidence::{journal::CaptureOffset, record::Source};
use skep_hash::{Sha256, Sha256Digest};
use skep_proto::drain::Span;

/// What came on a connection.
#[derive(Default)]
pub(crate) struct Incoming {
    /// The bytes from `start` on.
    window: Vec<u8>,
    start: u64,
    /// Where in the capture they are: (stream offset, packet block), from the part that holds
    /// `start` on.
    parts: VecDeque<(u64, CaptureOffset)>,
    /// Where the first byte of the stream is.
    first: Option<CaptureOffset>,
    len: u64,
    digest: Sha256,
}

impl Incoming {
    /// Notes bytes that came.
    pub(crate) fn push(&mut self, capture: CaptureOffset, bytes: &[u8]) {
        self.digest.update(bytes);
        self.first.get_or_insert(capture);
        self.parts.push_back((self.len, capture));
        self.len += bytes.len() as u64;
        self.window.extend_from_slice(bytes);
    }

    /// The bytes of `span` that are still held.
    pub(crate) fn bytes(&self, span: Span) -> &[u8] {
        let at = |offset: u64| (offset.saturating_sub(self.start) as usize).min(self.window.len());
        &self.window[at(span.start)..at(span.end)]
    }

    /// All bytes that are still held.
    pub(crate) fn held(&self) -> &[u8] {
        &self.window
    }

    /// Where the bytes of `span`, which are still held, are; `None` if it is empty.
    pub(crate) fn source(&self, span: Span) -> Option<Source> {
        let part = self
            .parts
            .iter()
            .rev()
            .find(|(start, _)| *start <= span.start)?;
        (span.end > span.start).then(|| Source {
            capture: part.1,
            stream: span.start,
            len: source_len(span.end - span.start),
            digest: skep_hash::sha256(self.bytes(span)),
        })
    }

    /// Where all that came is; `None` if nothing came.
    pub(crate) fn source_of_all(&self) -> Option<Source> {
        self.first.filter(|_| self.len > 0).map(|capture| Source {
            capture,
            stream: 0,
            len: source_len(self.len),
            digest: self.digest.clone().finish(),
        })
    }

    /// Lets go of the bytes before `offset`.
    pub(crate) fn release(&mut self, offset: u64) {
        let count = (offset.saturating_sub(self.start) as usize).min(self.window.len());
        self.window.drain(..count);
        self.start += count as u64;
        while self
            .parts
            .get(1)
            .is_some_and(|(start, _)| *start <= self.start)
        {
            self.parts.pop_front();
        }
    }

    /// How many bytes came.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// How many bytes came, and their digest.
    pub(crate) fn total(&self) -> (u64, Sha256Digest) {
        (self.len, self.digest.clone().finish())
    }
}

/// A statement rests on one message, far below 4 GiB.
fn source_len(len: u64) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

/// What we queued on a connection.
#[derive(Default)]
pub(crate) struct Outgoing {
    queued: VecDeque<u8>,
    len: u64,
    digest: Sha256,
}

impl Outgoing {
    /// Queues bytes.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.queued.extend(bytes);
    }

    /// Notes that the system took `bytes`; `None` if they are not the next that were queued.
    pub(crate) fn sent(&mut self, bytes: &[u8]) -> Option<()> {
        if bytes.len() > self.queued.len() || !self.queued.iter().zip(bytes).all(|(a, b)| a == b) {
            return None;
        }
        self.queued.drain(..bytes.len());
        self.len += bytes.len() as u64;
        self.digest.update(bytes);
        Some(())
    }

    /// How many bytes the system took, and their digest.
    pub(crate) fn total(&self) -> (u64, Sha256Digest) {
        (self.len, self.digest.clone().finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three messages in two parts: each source names the part that holds its first byte, its place
    /// in the stream, and the digest of exactly its bytes.
    #[test]
    fn a_message_knows_where_its_bytes_are() {
        let mut stream = Incoming::default();
        let span = |start, end| Span { start, end };
        stream.push(CaptureOffset(100), b"aaabb");
        assert_eq!(stream.source(span(0, 0)), None);
        let first = stream.source(span(0, 3)).expect("bytes came");
        assert_eq!(
            (first.capture, first.stream, first.len),
            (CaptureOffset(100), 0, 3)
        );
        assert_eq!(first.digest, skep_hash::sha256(b"aaa"));

        stream.release(3);
        stream.push(CaptureOffset(200), b"bbcc");
        let second = stream.source(span(3, 7)).expect("bytes came");
        assert_eq!(
            (second.capture, second.stream, second.len),
            (CaptureOffset(100), 3, 4)
        );
        assert_eq!(second.digest, skep_hash::sha256(b"bbbb"));

        stream.release(7);
        let third = stream.source(span(7, 9)).expect("bytes came");
        assert_eq!(
            (third.capture, third.stream, third.len),
            (CaptureOffset(200), 7, 2)
        );
        assert_eq!(third.digest, skep_hash::sha256(b"cc"));
        assert_eq!(stream.held(), b"cc");
        assert_eq!(stream.total(), (9, skep_hash::sha256(b"aaabbbbcc")));
        let all = stream.source_of_all().expect("bytes came");
        assert_eq!(
            (all.capture, all.stream, all.len),
            (CaptureOffset(100), 0, 9)
        );
    }

    #[test]
    fn only_what_was_queued_can_be_sent() {
        let mut stream = Outgoing::default();
        stream.push(b"abcdef");
        assert_eq!(stream.sent(b"abc"), Some(()));
        assert_eq!(stream.sent(b"dx"), None);
        assert_eq!(stream.sent(b"defg"), None);
        assert_eq!(stream.sent(b"def"), Some(()));
        assert_eq!(stream.total(), (6, skep_hash::sha256(b"abcdef")));
    }
}
