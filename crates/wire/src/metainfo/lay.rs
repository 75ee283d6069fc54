//! Where the files of a new torrent lie.

use super::{Attr, File, Info, Version, links};

impl Info {
    /// Places files, given in the torrent's order, in the piece space of a version, and adds the padding
    /// that it needs. Of each file its path, length, root and attributes count.
    ///
    /// In a hybrid each file that does not end with a piece is followed by padding, the last one too unless
    /// it is the only one: so do the program in BEP 52 and libtorrent, and the same files then give the same
    /// info dictionary everywhere. Links that lead to nothing become [`Link::Astray`](super::Link::Astray), as
    /// when they are read. Offsets beyond 64 bits stay there, and are refused when the torrent is written.
    pub fn lay(version: Version, piece_len: u32, files: Vec<File>) -> Vec<File> {
        let piece_len = u64::from(piece_len.max(1));
        let mut laid = Vec::with_capacity(files.len());
        let is_padded = version == Version::Hybrid && files.len() > 1;
        let mut end = 0u64;
        for mut file in files {
            if version == Version::V2 && file.len > 0 {
                end = align(end, piece_len);
            }
            file.offset = end;
            end = end.saturating_add(file.len);
            let has_bytes = file.len > 0;
            laid.push(file);
            let gap = align(end, piece_len) - end;
            if is_padded && has_bytes && gap > 0 {
                laid.push(padding(end, gap));
                end += gap;
            }
        }
        links::settle(&mut laid, &mut Vec::new());
        laid
    }
}

fn align(end: u64, piece_len: u64) -> u64 {
    end.checked_next_multiple_of(piece_len).unwrap_or(end)
}

fn padding(offset: u64, len: u64) -> File {
    File {
        path: vec![".pad".to_owned(), len.to_string()],
        len,
        offset,
        padding: true,
        root: None,
        attr: Attr::default(),
    }
}
