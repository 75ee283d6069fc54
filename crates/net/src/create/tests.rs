use super::*;

fn hashed(survey: &Survey, version: Version) -> Result<Info, CreateError> {
    hash(survey, plan(survey, version, 16_384)?, &Watch::default())
}

#[test]
fn files_are_in_the_order_of_their_bytes_whatever_the_folder_says() {
    let dir = tempfile::tempdir().expect("temporary folder");
    for name in ["b", "a/z", "a-b", "a/B", "Z"] {
        let path = dir.path().join("t").join(name);
        std::fs::create_dir_all(path.parent().expect("has one")).expect("created");
        std::fs::write(path, name).expect("written");
    }
    let survey = survey(&dir.path().join("t"), Links::Refuse).expect("surveyed");
    let paths: Vec<_> = survey
        .files
        .iter()
        .map(|file| file.path.join("/"))
        .collect();
    assert_eq!(paths, ["Z", "a/B", "a/z", "a-b", "b"]);
    let info = hashed(&survey, Version::V1).expect("hashed");
    assert_eq!(info.pieces, [skep_hash::sha1(b"Za/Ba/za-bb")]);
}

#[test]
fn a_file_that_grew_or_vanished_since_the_survey_is_named() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let file = dir.path().join("f");
    std::fs::write(&file, b"content").expect("written");
    let before = survey(&file, Links::Refuse).expect("surveyed");
    std::fs::write(&file, b"content and more").expect("written");
    let grown = hashed(&before, Version::V1).expect_err("changed");
    assert!(
        matches!(&grown, CreateError::Changed { path } if *path == file),
        "{grown}"
    );
    std::fs::write(&file, b"con").expect("written");
    let shrunk = hashed(&before, Version::V1).expect_err("shrunk");
    assert!(
        matches!(&shrunk, CreateError::Disk(DiskError::Ended { path, at: 3, expected: 7 }) if *path == file),
        "{shrunk}"
    );
    std::fs::remove_file(&file).expect("removed");
    let gone = hashed(&before, Version::V1).expect_err("gone");
    assert!(
        gone.to_string()
            .starts_with(&format!("read {}", file.display())),
        "{gone}"
    );
}

#[test]
fn links_follow_the_policy_and_circles_end() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let root = dir.path().join("t");
    std::fs::create_dir(&root).expect("created");
    std::fs::write(root.join("f"), b"x").expect("written");
    std::os::unix::fs::symlink("f", root.join("g")).expect("linked");
    assert!(matches!(
        survey(&root, Links::Refuse),
        Err(CreateError::Link { .. })
    ));
    assert_eq!(survey(&root, Links::Skip).expect("skips").files.len(), 1);
    assert_eq!(
        survey(&root, Links::Follow).expect("follows").files.len(),
        2
    );
    std::os::unix::fs::symlink(".", root.join("again")).expect("linked");
    let circle = survey(&root, Links::Follow).expect_err("a circle");
    // The system's own limit on links may come first.
    assert!(
        matches!(circle, CreateError::TooDeep { .. } | CreateError::Disk(_)),
        "{circle}"
    );
}

#[test]
fn nothing_to_share_is_an_error() {
    let dir = tempfile::tempdir().expect("temporary folder");
    std::fs::create_dir_all(dir.path().join("t/empty")).expect("created");
    std::fs::write(dir.path().join("t/zero"), b"").expect("written");
    let error = survey(&dir.path().join("t"), Links::Refuse).expect_err("empty");
    assert!(
        matches!(error, CreateError::Empty { files: 1, .. }),
        "{error}"
    );
}

/// Content with a deep tree, an empty file, one of a byte, of exactly a block, of exactly a piece, and of
/// a piece and a byte.
fn content() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("temporary folder");
    let root = dir.path().join("t");
    for (name, len) in [
        ("a", 1),
        ("b/c/d/block", 16_384),
        ("b/empty", 0),
        ("b/piece", 65_536),
        ("more", 65_537),
        ("odd", 200_003),
    ] {
        let path = root.join(name);
        std::fs::create_dir_all(path.parent().expect("has one")).expect("created");
        let bytes: Vec<u8> = (0..len).map(|n: u64| (n / 5 + n * n / 7) as u8).collect();
        std::fs::write(path, bytes).expect("written");
    }
    (dir, root)
}

/// The roots are compared with those made leaf by leaf, and the torrent is read again.
#[test]
fn trees_and_pieces_are_those_of_the_bytes() {
    let (_dir, root) = content();
    let survey = survey(&root, Links::Refuse).expect("surveyed");
    for version in [Version::V1, Version::V2, Version::Hybrid] {
        let plan = plan(&survey, version, 65_536).expect("planned");
        let watch = Watch::default();
        let info = hash(&survey, plan, &watch).expect("hashed");
        let files = info.files.iter().filter(|file| !file.padding);
        for file in files {
            let bytes = std::fs::read(root.join(file.path.join("/"))).expect("read");
            let leaves: Vec<_> = bytes.chunks(16_384).map(merkle::leaf).collect();
            let root = merkle::root(&leaves, (leaves.len() as u64).next_power_of_two());
            let has_tree = version.has_v2() && !bytes.is_empty();
            assert_eq!(file.root, has_tree.then_some(root), "{:?}", file.path);
        }
        let draft = metainfo::Draft {
            info: info.clone(),
            tiers: Vec::new(),
            web_seeds: Vec::new(),
            comment: None,
            created_by: None,
            creation_date: None,
        };
        let bytes = draft.encode().expect("encoded");
        let torrent = metainfo::Metainfo::from_bytes(&bytes).expect("read");
        assert_eq!(torrent.info, info);

        let layout = Arc::new(Layout::of(&info));
        let files = Files::new(layout, &Place::At(root.clone()), "t", Access::Read);
        let found = check::pieces_there(&files, &info, None, &Watch::default());
        let found = found.expect("checked");
        assert_eq!(found.there.count(), info.piece_count());
    }
}

#[test]
fn a_file_that_ends_early_is_named_in_every_version() {
    for version in [Version::V1, Version::V2, Version::Hybrid] {
        let (_dir, root) = content();
        let survey = survey(&root, Links::Refuse).expect("surveyed");
        std::fs::write(root.join("b/piece"), b"short").expect("written");
        let error = hashed(&survey, version).expect_err("it is shorter");
        let path = root.join("b/piece");
        assert!(
            matches!(&error, CreateError::Disk(DiskError::Ended { path: it, at: 5, .. }) if *it == path),
            "{version:?}: {error}"
        );
    }
}

#[test]
fn kept_links_lead_to_what_is_in_the_content() {
    let (dir, root) = content();
    let link = |target: &str, name: &str| {
        std::os::unix::fs::symlink(target, root.join(name)).expect("linked");
    };
    link("../more", "b/up");
    link("c/./d", "b/down");
    let canonical = root.canonicalize().expect("is there").join("a");
    link(canonical.to_str().expect("is text"), "b/absolute");
    let kept = survey(&root, Links::Keep).expect("surveyed");
    let info = hashed(&kept, Version::Hybrid).expect("hashed");
    let links: Vec<_> = info
        .files
        .iter()
        .filter_map(|file| Some((file.path.join("/"), file.attr.link.clone()?)))
        .collect();
    let to = |path: &str| Link::To(path.split('/').map(str::to_owned).collect());
    let expected = [
        ("b/absolute", to("a")),
        ("b/down", to("b/c/d")),
        ("b/up", to("more")),
    ];
    assert_eq!(links, expected.map(|(path, link)| (path.to_owned(), link)));

    link("../nothing", "b/broken");
    let broken = survey(&root, Links::Keep).expect("surveyed");
    assert!(matches!(
        plan(&broken, Version::V1, 16_384),
        Err(CreateError::LinkAstray { path, .. }) if path == root.join("b/broken")
    ));
    std::fs::remove_file(root.join("b/broken")).expect("removed");
    for outside in ["../../x", "/etc/passwd", "..//../t/a"] {
        link(outside, "b/out");
        assert!(
            matches!(
                survey(&root, Links::Keep),
                Err(CreateError::LinkOutside { .. })
            ),
            "{outside}"
        );
        std::fs::remove_file(root.join("b/out")).expect("removed");
    }
    drop(dir);
}

#[test]
fn files_that_may_be_run_are_marked_if_that_is_asked_for() {
    let (_dir, root) = content();
    let path = root.join("a");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("set");
    for executable in [false, true] {
        let options = Options {
            executable,
            ..Options::default()
        };
        let survey = survey(&root, options).expect("surveyed");
        let plan = plan(&survey, Version::V1, 16_384).expect("planned");
        let marked: Vec<_> = plan.files.iter().map(|file| file.attr.executable).collect();
        assert_eq!(marked, [executable, false, false, false, false, false]);
    }
}

#[test]
fn a_folder_of_one_file_is_that_file_in_version_2() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let root = dir.path().join("t");
    std::fs::create_dir(&root).expect("created");
    std::fs::write(root.join("one"), b"1").expect("written");
    let folder = survey(&root, Links::Refuse).expect("surveyed");
    for (version, name) in [
        (Version::V1, "t"),
        (Version::V2, "one"),
        (Version::Hybrid, "t"),
    ] {
        let survey = folder.clone().for_version(version);
        let info = hashed(&survey, version).expect("hashed");
        assert_eq!(
            (info.name.as_str(), info.single_file),
            (name, name == "one")
        );
    }
}

#[test]
fn pieces_that_are_too_small_are_refused_before_anything_is_read() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let path = dir.path().join("sparse");
    let file = std::fs::File::create(&path).expect("created");
    let pieces = u64::from(metainfo::PIECES_MAX) + 1;
    file.set_len(pieces * 16_384).expect("set");
    let survey = survey(&path, Links::Refuse).expect("surveyed");
    assert!(matches!(
        plan(&survey, Version::V2, 16_384),
        Err(CreateError::TooManyPieces { pieces: got, piece_len: 16_384 }) if got == pieces
    ));
}
