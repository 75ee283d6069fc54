//! Symbolic links and programs of a torrent (BEP 47), on real sockets.

use std::{
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
    sync::Arc,
};

use skep_net::{
    disk::{
        check::{self, Watch},
        files::{Access, Files},
        layout::Layout,
    },
    session::{Place, Session, SessionConfig, What},
};
use skep_wire::metainfo::Version;

use crate::support::{Case, join_within};

fn case(version: Version) -> Case {
    let write = |root: &Path| {
        std::fs::create_dir_all(root.join("lib/deep")).expect("created");
        std::fs::write(root.join("lib/one.so"), [1; 40_000]).expect("written");
        std::fs::write(root.join("run"), [2; 20_000]).expect("written");
        let may_run = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(root.join("run"), may_run).expect("set");
        symlink("one.so", root.join("lib/new.so")).expect("linked");
        symlink("../../run", root.join("lib/deep/run")).expect("linked");
        symlink("lib", root.join("all")).expect("linked");
    };
    Case::make(write, 32_768, version)
}

fn assert_arrived(root: &Path) {
    for (path, target) in [
        ("lib/new.so", "one.so"),
        ("lib/deep/run", "../../run"),
        ("all", "lib"),
    ] {
        let text = std::fs::read_link(root.join(path)).expect("a link");
        assert_eq!(text, Path::new(target), "{path}");
    }
    let mode = |path| std::fs::metadata(root.join(path)).expect("there");
    let mode = |path| mode(path).permissions().mode() & 0o100;
    assert_eq!([mode("run"), mode("lib/one.so")], [0o100, 0]);
    let read = std::fs::read(root.join("all/deep/run"));
    assert_eq!(read.expect("read"), [2; 20_000]);
}

fn left(what: &What) -> bool {
    matches!(what, What::AttributesLeft { .. })
}

#[test]
fn links_and_programs_arrive_as_such_also_where_the_content_is_moved_to() {
    for version in [Version::V1, Version::V2, Version::Hybrid] {
        let case = case(version);
        let (seed, _) = case.seed();
        let (mut config, heard) = case.get(&[seed.listen_addr()]);
        let moved = case.dir.path().join("moved");
        config.move_when_complete = Some(Place::Under(moved.clone()));
        let ended = join_within(Session::start(config).expect("started"), 30);
        assert!(ended.complete, "{version:?}");
        assert_eq!(heard.count(left), 0);
        assert_arrived(&moved.join("t"));
        assert!(!case.out().join("t").exists());
    }
}

/// The original is whole as it is; a link that was lost since is made again, and one that leads elsewhere stays.
#[test]
fn the_original_with_its_links_is_whole() {
    let case = case(Version::V1);
    let root = case.source();
    let folder = root.parent().expect("has one").to_owned();
    let get = || {
        let (config, heard) = case.get(&[]);
        let place = Place::Under(folder.clone());
        let config = SessionConfig { place, ..config };
        let ended = join_within(Session::start(config).expect("started"), 30);
        assert!(ended.complete);
        heard.count(left)
    };
    assert_eq!(get(), 0);
    assert_arrived(&root);
    std::fs::remove_file(root.join("lib/new.so")).expect("removed");
    let info = &case.torrent.info;
    let place = Place::At(root.clone());
    let files = Files::new(Arc::new(Layout::of(info)), &place, "t", Access::Read);
    let found = check::pieces_there(&files, info, None, &Watch::default()).expect("checked");
    assert!(
        found.there.is_full(),
        "a missing link is no missing content"
    );
    assert_eq!(get(), 0);
    assert_arrived(&root);
    std::fs::remove_file(root.join("all")).expect("removed");
    symlink("elsewhere", root.join("all")).expect("linked");
    assert_eq!(get(), 1);
    let text = std::fs::read_link(root.join("all")).expect("a link");
    assert_eq!(text, Path::new("elsewhere"));
}
