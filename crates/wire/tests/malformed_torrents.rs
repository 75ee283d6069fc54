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
    [encodings(), types(), numbers(), names()].concat()
}

/// What is wrong before the content is looked at.
#[rustfmt::skip]
fn encodings() -> Vec<Case> {
    let good = torrent(single());
    let deep = |open: &[u8]| [b"d4:info", &*open.repeat(100_000)].concat();
    let many = [&b"d1:xl"[..], &b"i0e".repeat(2_000_001), b"ee"].concat();
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
        ("many-values", many, "more than 2000000 values"),
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
        ("v2-only", torrent(base().with("meta version", 2).with("file tree", Dict::new())),
            "torrent is of version 2 only, which is not supported yet"),
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
