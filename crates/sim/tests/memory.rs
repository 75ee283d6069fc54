//! The two kinds of files in memory.

use skep_evidence::file::{FileOp, Files as _, FilesMut as _};
use skep_sim::{disk::Disk, memory::Memory, rng::Rng};

/// Whatever is done to both, memory reads like a disk to which nothing happens.
#[test]
fn memory_is_a_disk_that_keeps_its_power() {
    for seed in 0..50 {
        let mut rng = Rng::new(seed);
        let (mut disk, mut memory) = (Disk::new(), Memory::default());
        let mut both = |op: FileOp| {
            disk.apply(&op).expect("it has power");
            memory.apply_all(&[op]);
        };
        both(FileOp::CreateDir { path: "a/b".into() });
        for _ in 0..60 {
            both(any_op(&mut rng));
        }
        let files: Vec<(&str, &[u8])> = disk.files().collect();
        assert!(!files.is_empty(), "seed {seed}");
        let same = memory
            .files
            .iter()
            .map(|(path, bytes)| (&path[..], &bytes[..]));
        assert_eq!(same.collect::<Vec<_>>(), files, "seed {seed}");
        for (path, bytes) in files {
            assert_eq!(memory.read(path, 1_000), disk.read(path, 1_000));
            assert_eq!(memory.len(path), disk.len(path));
            assert_eq!(memory.read_at(path, 3, 50), disk.read_at(path, 3, 50));
            if let Some(limit) = (bytes.len() as u64).checked_sub(1) {
                assert_eq!(memory.read(path, limit), disk.read(path, limit));
            }
        }
        assert_eq!(memory.list("a/b"), disk.list("a/b"), "seed {seed}");
    }
}

fn any_op(rng: &mut Rng) -> FileOp {
    let path = ["a/one", "a/b/two", "a/b/three"][rng.below(3) as usize].to_owned();
    let bytes = vec![rng.below(256) as u8; rng.below(100) as usize];
    match rng.below(8) {
        0..=2 => FileOp::Write {
            path,
            offset: rng.below(150),
            bytes,
        },
        3 => FileOp::Truncate {
            path,
            len: rng.below(150),
        },
        4 | 5 => FileOp::Replace { path, bytes },
        6 => FileOp::SyncDir { path: "a/b".into() },
        _ => FileOp::Delete { path },
    }
}
