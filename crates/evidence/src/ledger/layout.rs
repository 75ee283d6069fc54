//! Where things are in a ledger's folder (C2SP tlog-tiles).

/// Hashes a full tile has, and records a full bundle.
pub const TILE_WIDTH: u64 = 256;

/// The signed checkpoint.
pub const CHECKPOINT: &str = "ledger/checkpoint";

/// The folder of pending files.
pub const PENDING: &str = "ledger/pending";

/// Which kind of tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    /// A bundle of records.
    Entries,
    /// Hashes of a level.
    Hashes(u8),
}

/// The path of tile `n`, full (`width` 256) or partial.
pub(super) fn tile(level: Level, n: u64, width: u64) -> String {
    let level = match level {
        Level::Entries => String::from("entries"),
        Level::Hashes(level) => level.to_string(),
    };
    let suffix = if width == TILE_WIDTH {
        String::new()
    } else {
        format!(".p/{width}")
    };
    format!("ledger/tile/{level}/{}{suffix}", index(n))
}

/// A tile's number as path elements of three digits, all but the last behind an `x`: 1234067 is
/// `x001/x234/067`.
fn index(n: u64) -> String {
    let mut path = format!("{:03}", n % 1_000);
    let mut rest = n / 1_000;
    while rest > 0 {
        path = format!("x{:03}/{path}", rest % 1_000);
        rest /= 1_000;
    }
    path
}

/// The pending file that begins with record `first`.
pub(super) fn pending(first: u64) -> String {
    format!("{PENDING}/{first}")
}

/// The first record of a pending file, by its name.
pub(super) fn pending_first(name: &str) -> Option<u64> {
    let first: u64 = name.parse().ok()?;
    (first.is_multiple_of(TILE_WIDTH) && first.to_string() == name).then_some(first)
}

/// The folder that a path is in.
pub(super) fn folder(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// The tiles of a tree of `size` leaves: level, number, width.
pub(super) fn tiles(size: u64) -> Vec<(Level, u64, u64)> {
    let mut tiles = Vec::new();
    let mut hashes = size;
    for level in 0..8 {
        let (full, partial) = (hashes / TILE_WIDTH, hashes % TILE_WIDTH);
        let each = (0..full)
            .map(|n| (n, TILE_WIDTH))
            .chain((partial > 0).then_some((full, partial)));
        for (n, width) in each {
            if level == 0 {
                tiles.push((Level::Entries, n, width));
            }
            tiles.push((Level::Hashes(level), n, width));
        }
        hashes = full;
    }
    tiles
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_the_specification() {
        assert_eq!(
            tile(Level::Hashes(0), 1_234_067, 256),
            "ledger/tile/0/x001/x234/067"
        );
        assert_eq!(tile(Level::Hashes(1), 0, 17), "ledger/tile/1/000.p/17");
        assert_eq!(
            tile(Level::Entries, 1_000, 256),
            "ledger/tile/entries/x001/000"
        );
        assert_eq!(pending_first("512"), Some(512));
        assert_eq!(pending_first("0512"), None);
        assert_eq!(pending_first("5"), None);
    }

    /// The example of tlog-tiles, "Partial Tiles".
    #[test]
    fn tree_of_70_000_has_the_tiles_of_the_example() {
        let hashes: Vec<_> = tiles(70_000)
            .into_iter()
            .filter(|(level, ..)| *level != Level::Entries)
            .collect();
        assert_eq!(hashes.len(), 273 + 1 + 1 + 1 + 1);
        assert!(hashes.contains(&(Level::Hashes(0), 273, 112)));
        assert!(hashes.contains(&(Level::Hashes(1), 0, 256)));
        assert!(hashes.contains(&(Level::Hashes(1), 1, 17)));
        assert!(hashes.contains(&(Level::Hashes(2), 0, 1)));
        let of_256 = [
            (Level::Entries, 0, 256),
            (Level::Hashes(0), 0, 256),
            (Level::Hashes(1), 0, 1),
        ];
        assert_eq!(tiles(256), of_256);
        assert_eq!(tiles(0), []);
    }
}
