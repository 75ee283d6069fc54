//! Torrent files that must be refused, each for its own reason, and that are kept in
//! `testdata/torrents` so that other programs, commands and fuzzers can be fed with them too.
//!
//! The tables below make them. After changing one, write the files again with
//! `SKEP_WRITE_TESTDATA=1 cargo test -p skep-wire --test malformed_torrents`.
#![allow(clippy::disallowed_methods, reason = "a test reads its files")]

use std::{fs, path::PathBuf};

use skep_wire::{
    bencode::{Dict, Item},
    metainfo::Metainfo,
};

/// A name, the file, and what the error says.
type Case = (&'static str, Vec<u8>, &'static str);

fn cases() -> Vec<Case> {
    [
        encodings(),
        types(),
        numbers(),
        names(),
        trees(),
        layers(),
        hybrids(),
    ]
    .concat()
}

/// What is wrong before the content is looked at.
#[rustfmt::skip]
fn encodings() -> Vec<Case> {
    let good = torrent(single());
    let deep = |open: &[u8]| [b"d4:info", &*open.repeat(100_000)].concat();
    let many = [&b"d1:xl"[..], &b"i0e".repeat(3_000_001), b"ee"].concat();
    vec![
        ("empty", Vec::new(),
            "not a torrent file: at byte 0: input ends within a value"),
        ("html", b"<html>404</html>".to_vec(),
            "not a torrent file: at byte 0: byte 0x3c begins no value"),
        ("cut", good[..good.len() - 1].to_vec(), "input ends within a value"),
        ("cut-string", good[..good.len() - 9].to_vec(), "string of 20 bytes, 13 are left"),
        ("trailing-byte", [&good[..], b"e"].concat(), "1 bytes follow the value"),
        ("trailing-newline", [&good[..], b"\n"].concat(), "1 bytes follow the value"),
        ("twice", good.repeat(2), "bytes follow the value"),
        ("nested-lists", deep(b"l"), "nesting exceeds 100"),
        ("nested-dictionaries", deep(b"d1:a"), "nesting exceeds 100"),
        ("many-values", many, "more than 3000000 values"),
        ("string-length-huge", b"d4:info99999999999999999999:x".to_vec(),
            "string of 18446744073709551615 bytes, 1 are left"),
        ("string-length-negative", b"d4:info-1:e".to_vec(), "byte 0x2d begins no value"),
        ("integer-empty", b"d4:infod6:lengthieee".to_vec(), "byte 0x65 in an integer"),
        ("integer-fraction", b"d4:infod6:lengthi1.5eee".to_vec(), "byte 0x2e in an integer"),
        ("key-is-integer", b"d4:infodi1ei2eee".to_vec(),
            "dictionary key begins with 0x69, not with a digit"),
    ]
}

/// What has a wrong type, or is not there.
#[rustfmt::skip]
fn types() -> Vec<Case> {
    let base = || Dict::new().with("name", "x").with("piece length", 16_384);
    let whole = || base().with("pieces", &[7; 20]);
    let sized = || base().with("length", 5);
    let file = |file: Dict| torrent(whole().with("files", Item::list([file])));
    let length = || Dict::new().with("length", 5);
    let unsorted = b"d4:infod12:meta versioni2e9:file treede4:name1:x12:piece lengthi16384eee";
    vec![
        ("list", b"le".to_vec(), "torrent file is not a dictionary"),
        ("no-info", b"d8:announce4:httpe".to_vec(), "info is missing"),
        ("info-is-string", b"d4:info2:dee".to_vec(), "info is not a dictionary"),
        ("no-name", torrent(length()), "info.name is missing"),
        ("name-is-list", torrent(length().with("name", Item::list(["x"]))),
            "info.name is not a string"),
        ("no-length", torrent(whole()), "info.length is missing"),
        ("length-is-string", torrent(whole().with("length", "5")),
            "info.length is not an integer"),
        ("no-piece-length", torrent(length().with("name", "x")),
            "info.piece length is missing"),
        ("no-pieces", torrent(sized()), "info.pieces is missing"),
        ("pieces-is-list", torrent(sized().with("pieces", Item::list(["x"]))),
            "info.pieces is not a string"),
        ("files-is-dictionary", torrent(whole().with("files", Dict::new())),
            "info.files is not a list"),
        ("files-empty", torrent(whole().with("files", Item::List(Vec::new()))),
            "torrent has no files"),
        ("file-is-string", torrent(whole().with("files", Item::list(["x"]))),
            "info.files[0].* is not a dictionary"),
        ("file-no-path", file(length()), "info.files[0].path is missing"),
        ("file-no-length", file(Dict::new().with("path", Item::list(["a"]))),
            "info.files[0].length is missing"),
        ("path-is-string", file(length().with("path", "a")),
            "info.files[0].path is not a list"),
        ("path-holds-integer", file(length().with("path", Item::list([1]))),
            "info.files[0].path is not a string"),
        ("v2-no-tree", torrent(base().with("meta version", 2)), "info.file tree is missing"),
        ("v2-tree-is-list",
            torrent(base().with("meta version", 2).with("file tree", Item::List(Vec::new()))),
            "info.file tree is not a dictionary"),
        ("v2-tree-empty", torrent(base().with("meta version", 2).with("file tree", Dict::new())),
            "torrent has no files"),
        ("v2-tree-without-version", torrent(whole().with("length", 5).with("file tree", Dict::new())),
            "info.file tree is there, info.meta version is not 2"),
        ("v2-keys-unsorted", unsorted.to_vec(),
            "info, at byte 19 of it: dictionary keys are not in order, in a torrent with a meta version"),
        ("v3", torrent(whole().with("length", 5).with("meta version", 3)),
            "torrent has meta version 3, versions up to 2 are known"),
    ]
}

/// What does not add up.
#[rustfmt::skip]
fn numbers() -> Vec<Case> {
    let base = |piece_len: i64, pieces_bytes: usize, len: i64| {
        let dict = Dict::new().with("name", "x").with("piece length", piece_len);
        torrent(dict.with("pieces", vec![7; pieces_bytes]).with("length", len))
    };
    let files = |lens: &[i64]| {
        let files = lens.iter().enumerate().map(|(n, &len)| entry(&[&n.to_string()], len));
        let dict = Dict::new().with("name", "x").with("piece length", 16_384);
        torrent(dict.with("pieces", &[7; 20]).with("files", Item::list(files)))
    };
    vec![
        ("piece-length-zero", base(0, 20, 5), "piece length is 0, not from 1 to 536870912"),
        ("piece-length-negative", base(-16_384, 20, 5), "piece length is -16384, not from 1"),
        ("piece-length-huge", base(1 << 40, 20, 5), "piece length is 1099511627776, not from"),
        ("pieces-21-bytes", base(16_384, 21, 5), "pieces has 21 bytes, not a multiple of 20"),
        ("pieces-too-few", base(16_384, 20, 16_385),
            "torrent has 1 piece hashes, its content has 2 pieces"),
        ("pieces-too-many", base(16_384, 40, 16_384),
            "torrent has 2 piece hashes, its content has 1 pieces"),
        ("pieces-none", base(16_384, 0, 5),
            "torrent has 0 piece hashes, its content has 1 pieces"),
        ("length-huge", base(1, 20, i64::MAX),
            "torrent has 1 piece hashes, its content has 9223372036854775807 pieces"),
        ("length-beyond-64-bits", b"d4:infod6:lengthi9223372036854775808eee".to_vec(),
            "integer is outside 64 bits"),
        ("length-negative", base(16_384, 20, -1),
            "info.length is -1, a length cannot be negative"),
        ("length-zero", base(16_384, 0, 0), "torrent has no content: its files are all empty"),
        ("file-length-negative", files(&[5, -5]),
            "info.files[1].length is -5, a length cannot be negative"),
        ("lengths-overflow", files(&[i64::MAX, 1, 1]),
            "lengths up to info.files[1].length add up to more than 63 bits"),
        ("lengths-zero", files(&[0, 0]), "torrent has no content: its files are all empty"),
    ]
}

/// What must not reach a file system.
#[rustfmt::skip]
fn names() -> Vec<Case> {
    let base = || Dict::new().with("piece length", 16_384).with("pieces", &[7; 20]);
    let name = |name: &[u8]| torrent(base().with("name", name).with("length", 5));
    let paths = |paths: &[&[&str]]| {
        let files = Item::list(paths.iter().map(|path| entry(path, 5)));
        torrent(base().with("name", "x").with("files", files))
    };
    let utf8 = entry(&["ok"], 5).with("path.utf-8", Item::list(["..", "evil"]));
    let utf8 = torrent(base().with("name", "x").with("files", Item::list([utf8])));
    let long = "n".repeat(256);
    vec![
        ("name-empty", name(b""), r#"info.name holds "", an empty name"#),
        ("name-dot", name(b"."), r#"info.name holds ".", the name of the folder itself"#),
        ("name-dot-dot", name(b".."), r#"info.name holds "..", the name of the folder above"#),
        ("name-absolute", name(b"/etc/passwd"),
            r#"info.name holds "/etc/passwd", an absolute path"#),
        ("name-drive", name(b"C:\\boot.ini"),
            r#"info.name holds "C:\\boot.ini", an absolute path"#),
        ("name-nul", name(b"a\0b"), r#"info.name holds "a\0b", a NUL byte"#),
        ("name-slash", name(b"a/../../b"), r#"info.name holds "a/../../b", a path separator"#),
        ("name-not-utf8-traversal", name(b"\xff/../x"),
            r#"info.name holds "%FF/../x", a path separator"#),
        ("name-too-long", name(long.as_bytes()), "a name of 256 bytes, more than 255"),
        ("path-empty", paths(&[&[]]), "info.files[0].path is empty"),
        ("path-dot-dot", paths(&[&["a"], &["..", "..", "x"]]),
            r#"info.files[1].path holds "..", the name of the folder above"#),
        ("path-dot", paths(&[&["a", ".", "b"]]),
            r#"info.files[0].path holds ".", the name of the folder itself"#),
        ("path-empty-component", paths(&[&["a", "", "b"]]),
            r#"info.files[0].path holds "", an empty name"#),
        ("path-slash", paths(&[&["a/b"]]),
            r#"info.files[0].path holds "a/b", a path separator"#),
        ("path-backslash", paths(&[&["a\\..\\b"]]),
            r#"info.files[0].path holds "a\\..\\b", a path separator"#),
        ("path-absolute", paths(&[&["/root", ".ssh"]]),
            r#"info.files[0].path holds "/root", an absolute path"#),
        ("path-share", paths(&[&["\\\\host\\share"]]), "an absolute path"),
        ("path-reserved", paths(&[&["con"]]),
            r#"info.files[0].path holds "con", a reserved name"#),
        ("path-reserved-extension", paths(&[&["dir", "Nul .txt"]]),
            r#"info.files[0].path holds "Nul .txt", a reserved name"#),
        ("path-reserved-port", paths(&[&["COM\u{b9}.log"]]), "a reserved name"),
        ("path-deep", paths(&[&["d"; 65]]),
            "info.files[0].path has 65 components, more than 64"),
        ("path-utf8-evil", utf8,
            r#"info.files[0].path holds "..", the name of the folder above"#),
        ("duplicate-file", paths(&[&["a", "b"], &["c"], &["a", "b"]]),
            r#"files 0 and 2 are both "a/b""#),
        ("file-is-folder", paths(&[&["a", "b"], &["a"]]),
            r#""a" is file 1, and the folder of file 0"#),
    ]
}

/// What a file tree of version 2 must not be.
#[rustfmt::skip]
fn trees() -> Vec<Case> {
    let v2 = |tree: Dict| torrent(tree_info(tree));
    let file = |file: Dict| v2(Dict::new().with("x", leaf(file)));
    let root = [7u8; 32];
    let deep = (0..65).fold(leaf(small()), |inner, _| Dict::new().with("d", inner));
    let beside = Dict::new().with("", small()).with("b", leaf(small()));
    vec![
        ("v2-piece-length-odd", torrent(tree_info_of("x", 65_537, one())),
            "piece length is 65537, version 2 needs a power of two from 16384"),
        ("v2-piece-length-small", torrent(tree_info_of("x", 8_192, one())),
            "piece length is 8192, version 2 needs a power of two from 16384"),
        ("v2-entry-is-string", v2(Dict::new().with("x", "y")), "info.file tree[0].* is not a dictionary"),
        ("v2-file-is-string", v2(Dict::new().with("x", Dict::new().with("", "y"))),
            "info.file tree[0].* is not a dictionary"),
        ("v2-tree-is-file", v2(Dict::new().with("", small())),
            r#"info.file tree has a file's properties where there is a folder: """#),
        ("v2-file-and-folder", v2(Dict::new().with("a", beside)),
            r#"info.file tree has a file's properties where there is a folder: "a""#),
        ("v2-no-length", file(Dict::new().with("pieces root", &root)),
            "info.file tree[0].length is missing"),
        ("v2-length-negative", file(Dict::new().with("length", -1).with("pieces root", &root)),
            "info.file tree[0].length is -1, a length cannot be negative"),
        ("v2-no-root", file(Dict::new().with("length", 5)), "info.file tree[0].pieces root is missing"),
        ("v2-root-is-integer", file(Dict::new().with("length", 5).with("pieces root", 5)),
            "info.file tree[0].pieces root is not a string"),
        ("v2-root-short", file(Dict::new().with("length", 5).with("pieces root", &[7; 31])),
            "info.file tree[0].pieces root has 31 bytes, not 32 that are not all zero"),
        ("v2-root-zero", file(Dict::new().with("length", 5).with("pieces root", &[0; 32])),
            "info.file tree[0].pieces root has 32 bytes, not 32 that are not all zero"),
        ("v2-padding", file(small().with("attr", "p")),
            "info.file tree[0].attr marks a padding file, which a file tree has no place for"),
        ("v2-all-empty", file(Dict::new().with("length", 0)),
            "torrent has no content: its files are all empty"),
        ("v2-too-many-pieces", file(Dict::new().with("length", i64::MAX).with("pieces root", &root)),
            "torrent of 562949953421312 pieces exceeds the limit of 2097152"),
        ("v2-lengths-overflow", v2(Dict::new()
            .with("a", leaf(Dict::new().with("length", i64::MAX).with("pieces root", &root)))
            .with("b", leaf(small()))),
            "lengths up to info.file tree[1].length add up to more than 63 bits"),
        ("v2-name-dot-dot", v2(Dict::new().with("a", Dict::new().with("..", leaf(small())))),
            r#"info.file tree[0].path holds "..", the name of the folder above"#),
        ("v2-name-slash", v2(Dict::new().with("a/b", leaf(small()))),
            r#"info.file tree[0].path holds "a/b", a path separator"#),
        ("v2-deep", v2(deep), "info.file tree[0].path has 65 components, more than 64"),
    ]
}

/// Piece layers that do not fit.
#[rustfmt::skip]
fn layers() -> Vec<Case> {
    // Two pieces, whose hashes make the root.
    let hashes = [[1u8; 32], [2; 32]];
    let root = skep_hash::sha256(&hashes.concat()).0;
    let large = |root: [u8; 32]| Dict::new().with("length", 20_000).with("pieces root", &root);
    let info = || tree_info(Dict::new().with("x", leaf(large(root))));
    let with = |layers: Item| Dict::new().with("info", info()).with("piece layers", layers).encode();
    let layer = |layer: &[u8]| with(Dict::new().with(root, layer).into());
    let other = Dict::new().with(root, hashes.concat()).with([9u8; 32], hashes.concat());
    vec![
        ("v2-layers-missing", torrent(info()), "piece layers has none for \"x\", whose root is "),
        ("v2-layers-is-list", with(Item::List(Vec::new())), "piece layers is not a dictionary"),
        ("v2-layer-is-integer", with(Dict::new().with(root, 5).into()),
            "piece layers is not a dictionary of strings"),
        ("v2-layer-short", layer(&[1; 32]),
            "piece layer of \"x\" has 32 bytes, its 2 pieces need 32 each"),
        ("v2-layer-odd", layer(&[1; 65]), "piece layer of \"x\" has 65 bytes, its 2 pieces need 32 each"),
        ("v2-layer-wrong", layer(&[1; 64]), "piece layer of \"x\" does not hash to its root "),
        ("v2-layer-of-no-file", with(other.into()), "which is the root of no file longer than a piece"),
        ("v2-layer-of-small-file",
            Dict::new().with("info", tree_info(one()))
                .with("piece layers", Dict::new().with([7u8; 32], &[7; 32])).encode(),
            "which is the root of no file longer than a piece"),
    ]
}

/// Hybrids whose two parts are not the same.
#[rustfmt::skip]
fn hybrids() -> Vec<Case> {
    let info = |files: &[Dict], pieces: usize| {
        let tree = Dict::new().with("a", leaf(small())).with("b", leaf(small()));
        let files = Item::list(files.iter().cloned());
        torrent(tree_info(tree).with("files", files).with("pieces", vec![7; 20 * pieces]))
    };
    let file = |name: &str| entry(&[name], 5);
    let pad = |len: i64| entry(&[".pad", &len.to_string()], len).with("attr", "p");
    let full = 16_384 - 5;
    let single = |name: &str| {
        let tree = Dict::new().with("y", leaf(small()));
        torrent(tree_info_of(name, 16_384, tree).with("length", 5).with("pieces", &[7; 20]))
    };
    assert!(Metainfo::from_bytes(&info(&[file("a"), pad(full), file("b"), pad(full)], 2)).is_ok());
    assert!(Metainfo::from_bytes(&info(&[file("a"), pad(full), file("b")], 2)).is_ok());
    assert!(Metainfo::from_bytes(&single("y")).is_ok());
    vec![
        ("hybrid-path", info(&[file("a"), pad(full), file("c")], 2),
            r#"hybrid disagrees: file 1 is "c" in version 1 and "b" in version 2"#),
        ("hybrid-order", info(&[file("b"), pad(full), file("a")], 2),
            r#"hybrid disagrees: file 0 is "b" in version 1 and "a" in version 2"#),
        ("hybrid-length", info(&[file("a"), pad(full), entry(&["b"], 6)], 2),
            r#"hybrid disagrees: "b" has 6 bytes in version 1 and 5 in version 2"#),
        ("hybrid-no-padding", info(&[file("a"), file("b")], 1),
            r#"hybrid disagrees: "b" begins at byte 5 in version 1 and at byte 16384 in version 2"#),
        ("hybrid-wide-padding", info(&[file("a"), pad(full + 16_384), file("b")], 3),
            r#""b" begins at byte 32768 in version 1 and at byte 16384 in version 2"#),
        ("hybrid-padding-first", info(&[pad(16_384), file("a"), pad(full), file("b")], 3),
            r#""a" begins at byte 16384 in version 1 and at byte 0 in version 2"#),
        ("hybrid-file-missing", info(&[file("a"), pad(full)], 1),
            "hybrid disagrees: 1 files in version 1 without padding, 2 in version 2"),
        ("hybrid-file-more", info(&[file("a"), pad(full), file("b"), pad(full), file("c")], 3),
            "hybrid disagrees: 3 files in version 1 without padding, 2 in version 2"),
        ("hybrid-tail", info(&[file("a"), pad(full), file("b"), pad(full + 1)], 3),
            "hybrid disagrees: 3 pieces in version 1 and 2 in version 2"),
        ("hybrid-single-name", single("x"),
            r#"hybrid disagrees: file 0 is "x" in version 1 and "y" in version 2"#),
    ]
}

fn tree_info(tree: Dict) -> Dict {
    tree_info_of("x", 16_384, tree)
}

fn tree_info_of(name: &str, piece_len: u32, tree: Dict) -> Dict {
    Dict::new()
        .with("file tree", tree)
        .with("meta version", 2)
        .with("name", name)
        .with("piece length", piece_len)
}

/// A tree of one small file.
fn one() -> Dict {
    Dict::new().with("x", leaf(small()))
}

fn small() -> Dict {
    Dict::new().with("length", 5).with("pieces root", &[7; 32])
}

fn leaf(file: Dict) -> Dict {
    Dict::new().with("", file)
}

fn single() -> Dict {
    let dict = Dict::new().with("length", 5).with("name", "x");
    dict.with("piece length", 16_384).with("pieces", &[7; 20])
}

fn entry(path: &[&str], len: i64) -> Dict {
    Dict::new()
        .with("length", len)
        .with("path", Item::list(path.iter().copied()))
}

fn torrent(info: Dict) -> Vec<u8> {
    Dict::new().with("info", info).encode()
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../testdata/torrents")
}

#[test]
fn every_malformed_torrent_is_refused_for_its_own_reason() {
    for (name, bytes, reason) in cases() {
        let error = Metainfo::from_bytes(&bytes).expect_err(name).to_string();
        assert!(
            error.contains(reason),
            "{name}: \"{error}\" does not say \"{reason}\""
        );
    }
    assert!(
        Metainfo::from_bytes(&torrent(single())).is_ok(),
        "what they are made from is good"
    );
}

#[test]
fn no_two_malformed_torrents_are_the_same() {
    let mut all: Vec<_> = cases()
        .into_iter()
        .map(|(name, bytes, _)| (bytes, name))
        .collect();
    all.sort();
    for pair in all.windows(2) {
        assert_ne!(pair[0].0, pair[1].0, "{} and {}", pair[0].1, pair[1].1);
    }
    assert!(all.len() >= 70, "{}", all.len());
}

#[test]
fn the_files_in_testdata_are_those_of_the_tables() {
    let mut expected = vec!["README.md".to_owned()];
    for (name, bytes, _) in cases() {
        // Those that are large for nothing are made where they are needed.
        if bytes.len() > 4_096 {
            continue;
        }
        let path = folder().join(format!("{name}.torrent"));
        if std::env::var_os("SKEP_WRITE_TESTDATA").is_some() {
            fs::write(&path, &bytes).expect("testdata is writable");
        }
        let found = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(found == bytes, "{name} differs from its table");
        expected.push(format!("{name}.torrent"));
    }
    let mut found: Vec<String> = fs::read_dir(folder())
        .expect("testdata is there")
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .into_string()
                .expect("a name")
        })
        .collect();
    expected.sort();
    found.sort();
    assert_eq!(found, expected);
}

#[test]
fn a_file_beyond_the_limit_is_refused_before_it_is_read() {
    let error = Metainfo::from_bytes(&vec![b'd'; 64 * 1024 * 1024 + 1]).expect_err("too long");
    let expected = "torrent file of 67108865 bytes exceeds the limit of 67108864";
    assert_eq!(error.to_string(), expected);
}
