//! Whether the two parts of a hybrid describe the same content (BEP 52, "Upgrade Path").

use super::{File, error::MetainfoError};

/// Gives the files of version 1 the roots and attributes of version 2.
///
/// Padding is version 1's own. Beyond that the files must be the same: one who trusts version 1 and one
/// who trusts version 2 must end with the same bytes at the same places.
pub(super) fn join(v1: &mut [File], v2: Vec<File>, piece_len: u32) -> Result<(), MetainfoError> {
    let count = v1.iter().filter(|file| !file.padding).count();
    let extents = [v1.last(), v2.last()].map(|file| {
        let end = file.map_or(0, |file| file.offset + file.len);
        end.div_ceil(piece_len.into())
    });
    let pairs = v1.iter_mut().filter(|file| !file.padding).zip(&v2);
    for (file, (v1, v2)) in pairs.enumerate() {
        let path = || v1.path.join("/");
        if v1.path != v2.path {
            let (v1, v2) = (path(), v2.path.join("/"));
            return Err(MetainfoError::HybridPath { file, v1, v2 });
        }
        if v1.len != v2.len {
            let (path, v1, v2) = (path(), v1.len, v2.len);
            return Err(MetainfoError::HybridLen { path, v1, v2 });
        }
        if v1.len > 0 && v1.offset != v2.offset {
            let (path, v1, v2) = (path(), v1.offset, v2.offset);
            return Err(MetainfoError::HybridOffset { path, v1, v2 });
        }
        v1.root = v2.root;
        v1.attr = v2.attr.clone();
    }
    if count != v2.len() {
        let (v1, v2) = (count, v2.len());
        return Err(MetainfoError::HybridCount { v1, v2 });
    }
    // Padding after the last file may end its piece and no more.
    let [v1, v2] = extents;
    if v1 != v2 {
        return Err(MetainfoError::HybridPieces { v1, v2 });
    }
    Ok(())
}
