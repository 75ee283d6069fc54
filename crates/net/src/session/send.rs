//! What waits to be sent on one connection, and how it leaves.
//!
//! Messages are bytes; a block is its 13-byte header, held back in the kernel by `MSG_MORE`, and then
//! the file range, which goes from the page cache to the socket without passing through us.

use std::{collections::VecDeque, io, os::fd::AsFd};

use rustix::net::SendFlags;
use skep_wire::{
    Block, Moment, PieceIndex,
    peer::{HANDSHAKE_LEN, PIECE_HEADER_LEN, piece_header},
};
use tokio::{io::Interest, net::TcpStream};

use super::{What, world::AHEAD_BYTES};
use crate::{
    disk::{DiskError, files::Files, layout::Span},
    rate::Bucket,
};

/// Messages are gathered up to this length into one call.
const GATHER_BYTES_MAX: usize = 16 * 1024;

/// What is copied at once where the kernel does not send from that file system itself.
const COPY_BYTES: usize = 16 * 1024;

/// Who leaves more bytes of messages waiting than this is not read until some have left: a peer that
/// asks, takes back and never reads would otherwise fill our memory with refusals. More than the largest
/// set of pieces, and what a peer that reads slowly has waiting in any case.
const UNREAD_BYTES_MAX: usize = 256 * 1024;

/// Whom more waits for than this is let go: `have` messages come of themselves, however little it reads.
const WAITING_BYTES_MAX: usize = 1024 * 1024;

/// What waits to be sent on one connection. Requests are limited by their windows, blocks by the upload
/// window, all else by [`UNREAD_BYTES_MAX`] and [`WAITING_BYTES_MAX`].
#[derive(Debug, Default)]
pub(super) struct Outbox {
    queue: VecDeque<Item>,
    /// Bytes of messages that wait.
    waiting: usize,
    /// Bytes that were ever queued, and that ever left.
    queued: u64,
    sent: u64,
    /// What is to be told once so many bytes have left.
    marks: VecDeque<(u64, Mark)>,
    /// When something left last, or the queue was last empty.
    pub(super) moved_at: Moment,
    /// The stretch that was asked for last: a piece and a number in it.
    ahead: Option<(PieceIndex, u32)>,
    handshake_queued: bool,
}

#[derive(Debug)]
enum Item {
    Bytes {
        bytes: Vec<u8>,
        sent: usize,
    },
    Block {
        block: Block,
        header: [u8; PIECE_HEADER_LEN],
        sent: usize,
    },
}

/// What has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    Handshake,
    Set { pieces: u32 },
    Have(PieceIndex),
    Block(Block),
}

/// How a flush ended.
#[derive(Debug)]
pub(super) enum Flushed {
    /// Nothing waits any more.
    Empty,
    /// The socket takes no more now.
    Blocked,
    /// The rate limit forbids the next block until then.
    Limited(Moment),
    /// The connection is broken.
    Broken,
    /// A block cannot be read: the content is not what it was.
    Unreadable(DiskError),
}

impl Outbox {
    pub(super) fn new(now: Moment) -> Self {
        Self {
            moved_at: now,
            ..Self::default()
        }
    }

    /// Queues messages. `piece_count` tells a set of pieces from its spare bits.
    pub(super) fn push_bytes(&mut self, bytes: Vec<u8>, piece_count: u32) {
        self.mark_messages(&bytes, piece_count);
        self.queued += bytes.len() as u64;
        self.waiting += bytes.len();
        if let Some(Item::Bytes { bytes: last, .. }) = self.queue.back_mut()
            && last.len() + bytes.len() <= GATHER_BYTES_MAX
        {
            last.extend_from_slice(&bytes);
        } else {
            self.queue.push_back(Item::Bytes { bytes, sent: 0 });
        }
    }

    /// Queues a block. Returns whether it is the first of a stretch of [`AHEAD_BYTES`] of its piece, which
    /// the disk had better read before its turn comes: sending waits for it, and all connections with it.
    pub(super) fn push_block(&mut self, block: Block) -> bool {
        let stretch = (block.piece, block.begin / AHEAD_BYTES);
        let is_new = self.ahead != Some(stretch);
        self.ahead = Some(stretch);
        self.queued += (PIECE_HEADER_LEN as u64) + u64::from(block.len);
        self.marks.push_back((self.queued, Mark::Block(block)));
        self.queue.push_back(Item::Block {
            block,
            header: piece_header(block),
            sent: 0,
        });
        is_new
    }

    /// What has left since the last call.
    pub(super) fn next_mark(&mut self) -> Option<Mark> {
        let &(end, mark) = self.marks.front()?;
        if end > self.sent {
            return None;
        }
        self.marks.pop_front();
        Some(mark)
    }

    /// How many bytes wait to leave.
    pub(super) fn waiting_bytes(&self) -> u64 {
        self.queued - self.sent
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether so much waits that the peer is not to be read.
    pub(super) fn is_long(&self) -> bool {
        self.waiting > UNREAD_BYTES_MAX
    }

    /// Whether so much waits that the connection is to end.
    pub(super) fn is_too_long(&self) -> bool {
        self.waiting > WAITING_BYTES_MAX
    }

    /// Sends what the socket and the limit allow.
    pub(super) fn flush(
        &mut self,
        stream: &TcpStream,
        files: &mut Files,
        piece_len: u32,
        limit: &mut Bucket,
        now: Moment,
    ) -> Flushed {
        loop {
            let follows = self.queue.len() > 1;
            let Some(item) = self.queue.front_mut() else {
                self.moved_at = now;
                return Flushed::Empty;
            };
            let (result, whole) = match item {
                Item::Bytes { bytes, sent } => {
                    let result = send(stream, &bytes[*sent..], follows);
                    if let Ok(n) = result {
                        *sent += n;
                        self.waiting -= n;
                    }
                    (result, *sent == bytes.len())
                }
                Item::Block {
                    block,
                    header,
                    sent,
                } if *sent < PIECE_HEADER_LEN => {
                    if *sent == 0
                        && let Some(at) = limit.wait_until(now)
                    {
                        self.moved_at = now;
                        return Flushed::Limited(at);
                    }
                    let result = send(stream, &header[*sent..], true);
                    if let Ok(n) = result {
                        *sent += n;
                    }
                    (result, block.len == 0 && *sent == PIECE_HEADER_LEN)
                }
                Item::Block { block, sent, .. } => {
                    let done = *sent - PIECE_HEADER_LEN;
                    let offset = u64::from(block.piece.0) * u64::from(piece_len)
                        + u64::from(block.begin)
                        + done as u64;
                    let left = block.len as usize - done;
                    let result = match send_content(
                        stream,
                        files,
                        piece_len,
                        offset,
                        left as u64,
                        follows,
                    ) {
                        Ok(result) => result,
                        Err(error) => return Flushed::Unreadable(error),
                    };
                    if let Ok(n) = result {
                        *sent += n;
                        limit.pay(n as u64);
                    }
                    let whole = result_len(&result) == left;
                    (result, whole)
                }
            };
            match result {
                Ok(n) => {
                    self.sent += n as u64;
                    self.moved_at = now;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Flushed::Blocked,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return Flushed::Broken,
            }
            if whole {
                self.queue.pop_front();
            }
        }
    }

    /// Notes what the messages in `bytes` will have said once they left: for the record of our own
    /// acts. The machine queues whole messages.
    fn mark_messages(&mut self, bytes: &[u8], piece_count: u32) {
        let mut at = 0;
        if !self.handshake_queued && bytes.len() >= HANDSHAKE_LEN {
            self.handshake_queued = true;
            at = HANDSHAKE_LEN;
            self.marks
                .push_back((self.queued + at as u64, Mark::Handshake));
        }
        while let Some((len, rest)) = bytes[at..].split_first_chunk::<4>() {
            let len = u32::from_be_bytes(*len) as usize;
            let Some(body) = rest.get(..len) else { return };
            at += 4 + len;
            let mark = match body {
                [4, index @ ..] => index
                    .try_into()
                    .ok()
                    .map(|index| Mark::Have(PieceIndex(u32::from_be_bytes(index)))),
                [5, set @ ..] => Some(Mark::Set {
                    pieces: set.iter().map(|byte| byte.count_ones()).sum(),
                }),
                [14] => Some(Mark::Set {
                    pieces: piece_count,
                }),
                [15] => Some(Mark::Set { pieces: 0 }),
                _ => None,
            };
            if let Some(mark) = mark {
                self.marks.push_back((self.queued + at as u64, mark));
            }
        }
    }
}

impl Mark {
    /// The event that says so.
    pub(super) fn what(self, peer: super::PeerKey, remote: std::net::SocketAddr) -> What {
        match self {
            Self::Handshake => What::HandshakeSent { peer },
            Self::Set { pieces } => What::SetSent { peer, pieces },
            Self::Have(piece) => What::HaveSent { peer, piece },
            Self::Block(block) => What::BlockSent {
                peer,
                remote,
                block,
            },
        }
    }
}

fn result_len(result: &io::Result<usize>) -> usize {
    result.as_ref().map_or(0, |&n| n)
}

fn send(stream: &TcpStream, bytes: &[u8], more_follows: bool) -> io::Result<usize> {
    let mut flags = SendFlags::NOSIGNAL;
    if more_follows {
        flags |= SendFlags::MORE;
    }
    stream.try_io(Interest::WRITABLE, || {
        rustix::net::send(stream.as_fd(), bytes, flags).map_err(io::Error::from)
    })
}

/// Sends content from `offset` on; `follows` says whether something is to leave behind it, for which the
/// kernel may wait. The outer error says that the content is not there or cannot be read.
fn send_content(
    stream: &TcpStream,
    files: &mut Files,
    piece_len: u32,
    offset: u64,
    len: u64,
    follows: bool,
) -> Result<io::Result<usize>, DiskError> {
    let more_than = |part: usize| follows || (part as u64) < len;
    let layout = files.layout();
    let span = layout.spans(offset, len).next();
    let zeroes = match span {
        Some(span) => layout.files()[span.file].padding.then_some(span.len),
        // The gap behind a file of version 2.
        None => {
            let end = layout.size_bytes().next_multiple_of(piece_len.into());
            (offset < end).then_some(len)
        }
    };
    if let Some(len) = zeroes {
        let part = COPY_BYTES.min(len as usize);
        return Ok(send(stream, &[0; COPY_BYTES][..part], more_than(part)));
    }
    let Some(span) = span else {
        return Ok(Err(io::ErrorKind::InvalidInput.into()));
    };
    let Some(file) = files.readable(span.file)? else {
        return Err(ended(files, span.file, 0));
    };
    let mut at = span.at;
    let sent = stream.try_io(Interest::WRITABLE, || {
        rustix::fs::sendfile(
            stream.as_fd(),
            file.as_fd(),
            Some(&mut at),
            span.len as usize,
        )
        .map_err(io::Error::from)
    });
    match sent {
        // The file ends where it did not end before.
        Ok(0) => Err(ended(files, span.file, span.at)),
        Err(error) if !is_of_the_moment(&error) => {
            let part = COPY_BYTES.min(span.len as usize);
            copy_content(stream, files, &span, offset, part, more_than(part))
        }
        sent => Ok(sent),
    }
}

/// Sends `len` bytes of content, at most [`COPY_BYTES`], through our memory: for file systems from which the
/// kernel does not send itself. And whatever else `sendfile` refuses, this tells whose fault it is: an
/// error of the file names it, and one of the socket comes again.
fn copy_content(
    stream: &TcpStream,
    files: &mut Files,
    span: &Span,
    offset: u64,
    len: usize,
    follows: bool,
) -> Result<io::Result<usize>, DiskError> {
    let mut buf = [0; COPY_BYTES];
    let part = &mut buf[..len];
    if !files.read_at(offset, part)? {
        return Err(ended(files, span.file, span.at));
    }
    Ok(send(stream, part, follows))
}

/// A file that is shorter than it was, or gone.
fn ended(files: &Files, file: usize, at: u64) -> DiskError {
    DiskError::Ended {
        path: files.path(file),
        at,
        expected: files.layout().files()[file].len,
    }
}

/// Whether the socket or a signal says "later", and nothing is wrong.
fn is_of_the_moment(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}

#[cfg(test)]
mod tests {
    use skep_wire::{
        InfoHash, PeerId,
        peer::{Handshake, Message, Reserved},
    };

    use super::*;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("bound");
        let addr = listener.local_addr().expect("bound");
        let (ours, theirs) = tokio::join!(TcpStream::connect(addr), listener.accept());
        let (ours, (theirs, _)) = (ours.expect("connected"), theirs.expect("accepted"));
        ours.writable().await.expect("writable");
        (ours, theirs)
    }

    /// Content of one file, `t` in the folder `t` under `dir`.
    fn files(dir: &std::path::Path, len: u64) -> Files {
        let layout = crate::disk::layout::Layout::new([(vec!["t".to_owned()], len)]);
        let place = crate::session::Place::Under(dir.to_owned());
        let access = crate::disk::files::Access::Read;
        Files::new(std::sync::Arc::new(layout), &place, "t", access)
    }

    #[tokio::test]
    async fn what_the_kernel_does_not_send_itself_is_copied_and_is_the_same() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let content: Vec<u8> = (0..60_000u32).map(|n| (n * n / 7) as u8).collect();
        std::fs::create_dir(dir.path().join("t")).expect("created");
        std::fs::write(dir.path().join("t/t"), &content).expect("written");
        let mut files = files(dir.path(), content.len() as u64);
        for copied in [false, true] {
            let (ours, mut theirs) = pair().await;
            let mut at = 0;
            while at < content.len() as u64 {
                let left = content.len() as u64 - at;
                let span = Span {
                    file: 0,
                    at,
                    len: left,
                };
                let sent = if copied {
                    let len = COPY_BYTES.min(left as usize);
                    copy_content(&ours, &mut files, &span, at, len, false)
                } else {
                    send_content(&ours, &mut files, 65_536, at, left, false)
                };
                at += sent.expect("readable").expect("room in the socket") as u64;
            }
            drop(ours);
            let mut read = Vec::new();
            let reading = tokio::io::AsyncReadExt::read_to_end(&mut theirs, &mut read);
            reading.await.expect("read");
            assert!(read == content, "copied: {copied}");
        }
    }

    /// Whose fault an error is: a file that was cut short or is gone is named, and a connection that is
    /// gone is the connection's.
    #[tokio::test]
    async fn a_file_that_cannot_be_sent_is_named_and_a_broken_connection_is_not_its_fault() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let path = dir.path().join("t/t");
        std::fs::create_dir(dir.path().join("t")).expect("created");
        std::fs::write(&path, [7; 10_000]).expect("written");
        let (ours, theirs) = pair().await;
        let mut short = files(dir.path(), 30_000);
        let sent = send_content(&ours, &mut short, 65_536, 12_000, 100, false);
        assert!(
            matches!(&sent, Err(DiskError::Ended { path: named, .. }) if *named == path),
            "{sent:?}"
        );
        let span = Span {
            file: 0,
            at: 12_000,
            len: 100,
        };
        let copied = copy_content(&ours, &mut short, &span, 12_000, 100, false);
        assert!(
            matches!(&copied, Err(DiskError::Ended { path: named, .. }) if *named == path),
            "{copied:?}"
        );

        let nowhere = dir.path().join("nowhere");
        let sent = send_content(&ours, &mut files(&nowhere, 9), 65_536, 0, 9, false);
        assert!(
            matches!(&sent, Err(DiskError::Ended { path: named, .. }) if *named == nowhere.join("t/t")),
            "{sent:?}"
        );

        socket2::SockRef::from(&theirs)
            .set_linger(Some(std::time::Duration::ZERO))
            .expect("set");
        drop(theirs);
        let mut whole = files(dir.path(), 10_000);
        loop {
            match send_content(&ours, &mut whole, 65_536, 0, 10_000, false) {
                Ok(Err(error)) if is_of_the_moment(&error) => tokio::task::yield_now().await,
                Ok(Ok(_)) => {}
                Ok(Err(_)) => break,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// A socket whose other end reads nothing: refusals pile up to the one limit, `have` messages to the
    /// other; once all has left, nothing waits.
    #[tokio::test]
    async fn what_waits_for_a_peer_that_does_not_read_is_counted() {
        let (ours, mut theirs) = pair().await;
        let mut files = files("nowhere".as_ref(), 1);
        let mut limit = Bucket::new(None, Moment::ZERO);
        let mut out = Outbox::default();
        let have = Message::Have(PieceIndex(7)).to_bytes();
        let mut pushed = 0;
        let mut long_at = None;
        while !out.is_too_long() {
            out.push_bytes(have.clone(), 9);
            pushed += have.len();
            out.flush(&ours, &mut files, 1, &mut limit, Moment::ZERO);
            while out.next_mark().is_some() {}
            if out.is_long() {
                long_at.get_or_insert(pushed);
            }
        }
        let between = pushed - long_at.expect("that limit is lower");
        assert!(between.abs_diff(WAITING_BYTES_MAX - UNREAD_BYTES_MAX) <= have.len());
        assert!(out.queue.len() <= WAITING_BYTES_MAX / (GATHER_BYTES_MAX / 2) + 1);

        let reader =
            tokio::spawn(async move { tokio::io::copy(&mut theirs, &mut tokio::io::sink()).await });
        while !out.is_empty() {
            ours.writable().await.expect("writable");
            out.flush(&ours, &mut files, 1, &mut limit, Moment::ZERO);
        }
        drop(ours);
        let read = reader.await.expect("ran").expect("read");
        assert_eq!(read, pushed as u64);
        assert!(out.is_empty() && out.waiting == 0 && !out.is_long());
    }

    #[test]
    fn what_we_say_is_noted_when_its_last_byte_leaves() {
        let mut out = Outbox::default();
        let handshake = Handshake {
            reserved: Reserved::OURS,
            info_hash: InfoHash([1; 20]),
            peer_id: PeerId([2; 20]),
        };
        let mut first = handshake.encode().to_vec();
        Message::HaveAll.encode(&mut first);
        out.push_bytes(first, 9);
        out.push_bytes(Message::Have(PieceIndex(7)).to_bytes(), 9);
        let block = Block {
            piece: PieceIndex(1),
            begin: 0,
            len: 5,
        };
        out.push_block(block);

        let mut told_at = Vec::new();
        for sent in 0..=out.queued {
            out.sent = sent;
            while let Some(mark) = out.next_mark() {
                told_at.push((sent, mark));
            }
        }
        assert_eq!(
            told_at,
            [
                (68, Mark::Handshake),
                (73, Mark::Set { pieces: 9 }),
                (82, Mark::Have(PieceIndex(7))),
                (82 + 13 + 5, Mark::Block(block)),
            ]
        );
    }
}
