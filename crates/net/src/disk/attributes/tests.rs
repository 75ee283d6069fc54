use std::{
    os::unix::fs::{PermissionsExt as _, symlink},
    sync::Arc,
};

use skep_wire::{
    bencode::{Dict, Item},
    metainfo::{Info, Metainfo, MetainfoError},
};

use super::*;
use crate::{
    disk::{files::Access, layout::Layout, moving::move_content},
    session::Place,
};

fn parts(path: &str) -> Vec<Item> {
    path.split('/').map(Item::from).collect()
}

/// A torrent `t` of these files: path, length, `attr`, and where a link leads.
fn torrent(files: &[(&str, i64, &str, &str)]) -> Info {
    let file = |&(path, len, attr, target): &(&str, i64, &str, &str)| {
        let dict = Dict::new()
            .with("attr", attr)
            .with("length", len)
            .with("path", parts(path));
        match target {
            "" => dict,
            target => dict.with("symlink path", parts(target)),
        }
    };
    let list: Vec<Item> = files.iter().map(|given| file(given).into()).collect();
    let len: i64 = files.iter().map(|file| file.1).sum();
    let info = Dict::new()
        .with("files", list)
        .with("name", "t")
        .with("piece length", 16_384_i64)
        .with("pieces", vec![0; 20 * len.div_euclid(16_384) as usize + 20]);
    let bytes = Dict::new().with("info", info).encode();
    Metainfo::from_bytes(&bytes).expect("a torrent").info
}

fn sample() -> Info {
    torrent(&[
        ("bin/run", 10, "x", ""),
        ("data/plain", 20, "", ""),
        ("data/deep/up", 0, "l", "bin/run"),
        ("data/here", 0, "l", "data"),
        ("tool", 0, "l", "bin/run"),
        ("all", 0, "l", "data"),
        ("out", 0, "l", "../etc"),
        ("empty", 0, "x", ""),
    ])
}

const ASTRAY: usize = 6;

fn files(info: &Info, base: &Path) -> Files {
    let place = Place::Under(base.to_owned());
    Files::new(Arc::new(Layout::of(info)), &place, "t", Access::Write)
}

fn write(files: &mut Files) {
    files.create_empty_files().expect("created");
    files.write_at(0, &[7; 30]).expect("written");
}

fn mode(path: &Path) -> u32 {
    let meta = std::fs::metadata(path).expect("there");
    meta.permissions().mode() & 0o777
}

fn leads(path: &Path) -> String {
    let text = std::fs::read_link(path).expect("a link");
    text.to_str().expect("UTF-8").to_owned()
}

fn assert_made(root: &Path) {
    assert_eq!(leads(&root.join("data/deep/up")), "../../bin/run");
    assert_eq!(leads(&root.join("data/here")), ".");
    assert_eq!(leads(&root.join("tool")), "bin/run");
    assert_eq!(leads(&root.join("all")), "data");
    assert_eq!(std::fs::read(root.join("tool")).expect("read"), [7; 10]);
    let plain = std::fs::read(root.join("all/here/here/plain"));
    assert_eq!(plain.expect("read"), [7; 20]);
    assert!(root.join("out").symlink_metadata().is_err());
}

#[test]
fn links_are_made_when_all_is_written_and_astray_ones_are_left_out_and_counted() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let mut files = files(&sample(), dir.path());
    let root = dir.path().join("t");
    write(&mut files);
    for link in ["data/deep/up", "data/here", "tool", "all", "out"] {
        assert!(root.join(link).symlink_metadata().is_err(), "{link}");
    }
    let left = apply(&mut files).expect("applied");
    let reason = "leads to nothing in the torrent".to_owned();
    let first = Some((root.join("out"), reason));
    assert_eq!(left, Left { count: 1, first });
    files.sync_all().expect("synced");
    assert_made(&root);
    assert_eq!(files.stamp(ASTRAY).expect("looked at"), None);
    assert_eq!(
        apply(&mut files).expect("applied again").count,
        1,
        "links that are right are taken as they are"
    );
}

#[test]
fn a_file_may_be_run_by_whom_it_may_be_read_and_no_other_is_touched() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let mut files = files(&sample(), dir.path());
    let root = dir.path().join("t");
    write(&mut files);
    for (path, bits) in [("bin/run", 0o640), ("empty", 0o604), ("data/plain", 0o644)] {
        let bits = std::fs::Permissions::from_mode(bits);
        std::fs::set_permissions(root.join(path), bits).expect("set");
    }
    apply(&mut files).expect("applied");
    let modes = ["bin/run", "empty", "data/plain"].map(|path| mode(&root.join(path)));
    assert_eq!(modes, [0o750, 0o705, 0o644]);
}

/// What lies where a link should be is neither replaced nor followed, whatever it is.
#[test]
fn what_is_in_the_way_of_a_link_stays_and_is_counted() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let (base, outside) = (dir.path().join("base"), dir.path().join("outside"));
    let mut files = files(&sample(), &base);
    let root = base.join("t");
    write(&mut files);
    std::fs::create_dir(&outside).expect("created");
    std::fs::write(root.join("tool"), b"mine").expect("written");
    symlink("bin", root.join("all")).expect("linked");
    symlink(&outside, root.join("data/deep")).expect("linked");
    // As somebody else might have written it.
    symlink("./../../t/data/../data/", root.join("data/here")).expect("linked");
    let left = apply(&mut files).expect("applied");
    assert_eq!(left.count, 4, "tool, all, data/deep/up and out: {left:?}");
    assert_eq!(std::fs::read(root.join("tool")).expect("read"), b"mine");
    assert_eq!(leads(&root.join("all")), "bin");
    let inside = std::fs::read_dir(&outside).expect("listed").count();
    assert_eq!(inside, 0, "no link is made through another");
}

/// A torrent whose link is the folder of another file is refused; two that share a folder are not written
/// through each other's links.
#[test]
fn nothing_is_written_through_a_link_of_a_torrent() {
    let entry = |path: &str| Dict::new().with("length", 0_i64).with("path", parts(path));
    let link = entry("a")
        .with("attr", "l")
        .with("symlink path", parts("b"));
    let list = vec![link.into(), entry("a/x").into(), Item::from(entry("b/y"))];
    let info = Dict::new()
        .with("files", list)
        .with("name", "t")
        .with("piece length", 16_384_i64)
        .with("pieces", "");
    let refused = Metainfo::from_bytes(&Dict::new().with("info", info).encode());
    let error = refused.expect_err("a link is no folder");
    assert!(
        matches!(error, MetainfoError::FileIsFolder { .. }),
        "{error}"
    );

    let dir = tempfile::tempdir().expect("temporary folder");
    let mut first = files(&sample(), dir.path());
    write(&mut first);
    apply(&mut first).expect("applied");
    for path in ["all/plain", "tool"] {
        let mut second = files(&torrent(&[(path, 20, "", "")]), dir.path());
        let error = second.write_at(0, &[9; 20]).expect_err("refused");
        assert!(matches!(error, DiskError::SymbolicLink { .. }), "{error}");
    }
    assert_made(&dir.path().join("t"));
}

/// /dev/shm is another file system than that of temporary files, or both moves are within one.
#[test]
fn links_and_what_may_be_run_move_along() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let shm = Path::new("/dev/shm");
    let other = match shm.is_dir() {
        true => tempfile::tempdir_in(shm),
        false => tempfile::tempdir(),
    };
    let other = other.expect("temporary folder");
    let info = sample();
    let mut old = files(&info, &dir.path().join("old"));
    write(&mut old);
    apply(&mut old).expect("applied");
    for base in [dir.path().join("new"), other.path().to_owned()] {
        let new = files(&info, &base);
        move_content(&old, &new).expect("moved");
        assert_made(&base.join("t"));
        assert_eq!(mode(&base.join("t/bin/run")) & 0o100, 0o100);
        assert!(!old.path(0).exists());
        let folder = old.path(0).ancestors().nth(2).map(Path::to_owned);
        assert!(!folder.expect("has one").exists(), "nothing stays behind");
        old = new;
    }
}
