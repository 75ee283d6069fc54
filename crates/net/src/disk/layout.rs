//! Which bytes of which file a stretch of a torrent's content is.

use skep_wire::metainfo::{self, Info, Link};

/// The files of a torrent in its piece space: end to end, or each from a piece's beginning on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    files: Vec<Slot>,
    size_bytes: u64,
}

/// One file of a layout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// Path components below the place where the content lies; empty if the content is that one
    /// file.
    pub path: Vec<String>,
    /// Length in bytes.
    pub len: u64,
    /// Offset of its first byte in the content.
    pub offset: u64,
    /// Whether it is padding (BEP 47): zeroes that nobody stores.
    pub padding: bool,
    /// Where it leads, if it is a symbolic link (BEP 47). Then its length is 0.
    pub link: Option<Link>,
    /// Whether it may be run (BEP 47).
    pub executable: bool,
}

impl Slot {
    /// Whether it is a regular file: neither padding nor a link.
    pub fn is_stored(&self) -> bool {
        !self.padding && self.link.is_none()
    }
}

/// A stretch of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The file's number in the layout.
    pub file: usize,
    /// Offset in the file.
    pub at: u64,
    /// Length in bytes, never 0.
    pub len: u64,
}

impl Layout {
    /// Lays `files`, given as path and length, end to end.
    pub fn new(files: impl IntoIterator<Item = (Vec<String>, u64)>) -> Self {
        let mut size_bytes = 0u64;
        let files = files
            .into_iter()
            .map(|(path, len)| {
                let offset = size_bytes;
                size_bytes = size_bytes.saturating_add(len);
                Slot {
                    path,
                    len,
                    offset,
                    padding: false,
                    link: None,
                    executable: false,
                }
            })
            .collect();
        Self { files, size_bytes }
    }

    /// The layout of a torrent.
    pub fn of(info: &Info) -> Self {
        let slot = |file: &metainfo::File| Slot {
            path: file.path.clone(),
            len: file.len,
            offset: file.offset,
            padding: file.padding,
            link: file.attr.link.clone(),
            executable: file.attr.executable,
        };
        Self {
            files: info.files.iter().map(slot).collect(),
            size_bytes: info.size_bytes,
        }
    }

    /// The files in order.
    pub fn files(&self) -> &[Slot] {
        &self.files
    }

    /// The extent of the piece space in bytes: the sum of all lengths, and of the gaps of version 2.
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// The stretches of files that hold `len` bytes of content from `offset` on, in order. Gaps, and what
    /// lies beyond the content, are left out.
    pub fn spans(&self, offset: u64, len: u64) -> impl Iterator<Item = Span> {
        let end = offset.saturating_add(len).min(self.size_bytes);
        let first = self
            .files
            .partition_point(|slot| slot.offset + slot.len <= offset);
        self.files[first..]
            .iter()
            .enumerate()
            .take_while(move |(_, slot)| slot.offset < end && offset < end)
            .filter(|(_, slot)| slot.len > 0)
            .map(move |(n, slot)| {
                let begin = slot.offset.max(offset);
                let stop = (slot.offset + slot.len).min(end);
                Span {
                    file: first + n,
                    at: begin - slot.offset,
                    len: stop - begin,
                }
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(lens: &[u64]) -> Layout {
        Layout::new(
            lens.iter()
                .enumerate()
                .map(|(n, &len)| (vec![format!("{n}")], len)),
        )
    }

    fn spans(layout: &Layout, offset: u64, len: u64) -> Vec<(usize, u64, u64)> {
        layout
            .spans(offset, len)
            .map(|span| (span.file, span.at, span.len))
            .collect()
    }

    #[test]
    fn a_stretch_crosses_files_and_skips_empty_ones() {
        let files = layout(&[0, 5, 0, 0, 3, 10, 0]);
        assert_eq!(spans(&files, 0, 5), [(1, 0, 5)]);
        assert_eq!(spans(&files, 4, 5), [(1, 4, 1), (4, 0, 3), (5, 0, 1)]);
        assert_eq!(spans(&files, 5, 3), [(4, 0, 3)]);
        assert_eq!(spans(&files, 17, 9), [(5, 9, 1)]);
        assert_eq!(spans(&files, 18, 1), []);
        assert_eq!(spans(&files, 3, 0), []);
    }

    /// Every stretch of a few layouts, compared with counting bytes one by one.
    #[test]
    fn spans_are_what_counting_byte_by_byte_says() {
        for lens in [&[1u64, 2, 3][..], &[4, 0, 4], &[0, 0, 1], &[7]] {
            let files = layout(lens);
            let mut bytes = Vec::new();
            for (n, &len) in lens.iter().enumerate() {
                bytes.extend((0..len).map(|at| (n, at)));
            }
            for offset in 0..=bytes.len() {
                for len in 0..=bytes.len() + 1 - offset {
                    let counted: Vec<_> = bytes[offset..].iter().take(len).copied().collect();
                    let spanned: Vec<_> = files
                        .spans(offset as u64, len as u64)
                        .flat_map(|span| (0..span.len).map(move |n| (span.file, span.at + n)))
                        .collect();
                    assert_eq!(spanned, counted, "{lens:?} {offset}+{len}");
                }
            }
        }
    }
}
