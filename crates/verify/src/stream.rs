//! Where the bytes of each connection are in a capture: so that any passage of a stream can be read
//! again without keeping the stream.

use std::collections::BTreeMap;

use skep_evidence::{
    capture::{BLOCK_BYTES_MAX, CaptureError, packet_at},
    file::{FileError, Files},
    journal::{CaptureOffset, ConnId},
};

/// A packet block of a connection: where its payload begins in the stream, where it is, how long.
#[derive(Debug, Clone, Copy)]
struct Segment {
    stream: u64,
    capture: CaptureOffset,
    len: u32,
}

/// Whose bytes a packet block holds.
#[derive(Debug, Clone, Copy)]
enum Holder {
    Conn { conn: ConnId, stream: u64 },
    Datagram,
}

/// The incoming bytes of a run, by connection.
#[derive(Debug, Default)]
pub struct Streams {
    conns: BTreeMap<ConnId, Vec<Segment>>,
    holders: BTreeMap<CaptureOffset, Holder>,
}

/// Why a passage cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PassageError {
    /// The capture cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The block is none.
    #[error(transparent)]
    Capture(#[from] CaptureError),
    /// No incoming packet block begins there.
    #[error("are not at the beginning of incoming bytes")]
    NoBlock,
    /// The block does not hold the first byte.
    #[error("begin elsewhere: the block there holds other bytes of the stream")]
    OtherBlock,
    /// The stream ends before the passage does.
    #[error("go beyond what came")]
    Beyond,
}

impl Streams {
    /// Notes incoming bytes of a connection; returns where they begin in its stream.
    pub fn received(&mut self, conn: ConnId, capture: CaptureOffset, len: u32) -> u64 {
        let segments = self.conns.entry(conn).or_default();
        let stream = segments
            .last()
            .map_or(0, |last| last.stream + u64::from(last.len));
        segments.push(Segment {
            stream,
            capture,
            len,
        });
        self.holders.insert(capture, Holder::Conn { conn, stream });
        stream
    }

    /// Notes an incoming datagram.
    pub fn datagram(&mut self, capture: CaptureOffset) {
        self.holders.insert(capture, Holder::Datagram);
    }

    /// Reads the passage that begins in the packet block at `capture`, at `stream` in its stream.
    ///
    /// # Errors
    ///
    /// [`PassageError`].
    pub fn passage(
        &self,
        files: &dyn Files,
        path: &str,
        (capture, stream, len): (CaptureOffset, u64, u32),
    ) -> Result<Vec<u8>, PassageError> {
        match self.holders.get(&capture) {
            None => Err(PassageError::NoBlock),
            Some(Holder::Datagram) => {
                let payload = payload(files, path, capture)?;
                let end =
                    usize::try_from(stream.saturating_add(u64::from(len))).unwrap_or(usize::MAX);
                let passage = payload.get(stream as usize..end);
                passage.map(<[u8]>::to_vec).ok_or(PassageError::Beyond)
            }
            Some(&Holder::Conn {
                conn,
                stream: begin,
            }) => {
                let segments = self.conns.get(&conn).map_or(&[][..], Vec::as_slice);
                let at = segments.partition_point(|segment| segment.stream < begin);
                let held = segments.get(at).map_or(0, |segment| u64::from(segment.len));
                if stream < begin || stream >= begin + held {
                    return Err(PassageError::OtherBlock);
                }
                self.read(files, path, conn, (stream, len))
            }
        }
    }

    /// Reads `len` bytes at `stream` of what came on `conn`.
    ///
    /// # Errors
    ///
    /// [`PassageError`].
    pub fn read(
        &self,
        files: &dyn Files,
        path: &str,
        conn: ConnId,
        (stream, len): (u64, u32),
    ) -> Result<Vec<u8>, PassageError> {
        let segments = self.conns.get(&conn).map_or(&[][..], Vec::as_slice);
        let end = stream.saturating_add(len.into());
        let first = segments.partition_point(|one| one.stream + u64::from(one.len) <= stream);
        let mut passage = Vec::new();
        for segment in segments[first..]
            .iter()
            .take_while(|segment| segment.stream < end)
        {
            let payload = payload(files, path, segment.capture)?;
            let from = stream.saturating_sub(segment.stream) as usize;
            let until = ((end - segment.stream) as usize).min(payload.len());
            passage.extend_from_slice(payload.get(from..until).ok_or(PassageError::Beyond)?);
        }
        if passage.len() == len as usize {
            Ok(passage)
        } else {
            Err(PassageError::Beyond)
        }
    }
}

/// The payload of the packet block at `capture`.
pub(crate) fn payload(
    files: &dyn Files,
    path: &str,
    capture: CaptureOffset,
) -> Result<Vec<u8>, PassageError> {
    let block = files.read_at(path, capture.0, BLOCK_BYTES_MAX)?;
    Ok(packet_at(&block, capture)?.payload.to_vec())
}
