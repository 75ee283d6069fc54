//! Version 2 and hybrid torrents (BEP 52): what is read is what was meant, and lies where it should.

mod support;

use proptest::prelude::*;
use skep_hash::{Sha256Digest, merkle, sha1, sha256};
use skep_wire::{
    PieceIndex,
    bencode::{Dict, Item},
    metainfo::{
        Attr, FILES_MAX, LINK_STEPS_MAX, Link, Metainfo, MetainfoError, PIECES_MAX, Version,
        Warning,
    },
};
use support::{Piece, draft, file, link, torrent};

const V2: Version = Version::V2;
const HYBRID: Version = Version::Hybrid;

fn read(bytes: &[u8]) -> Metainfo {
    Metainfo::from_bytes(bytes).expect("accepted")
}

/// A torrent of one folder `x` with this tree and these other keys, without layers.
fn tree(tree: Dict) -> Vec<u8> {
    let info = Dict::new()
        .with("file tree", tree)
        .with("meta version", 2)
        .with("name", "x")
        .with("piece length", 16_384);
    Dict::new().with("info", info).encode()
}

fn leaf(len: i64) -> Dict {
    let file = Dict::new().with("length", len);
    let root = (len > 0).then_some(vec![7; 32]);
    Dict::new().with("", file.with_some("pieces root", root))
}

fn link_to(target: &[&str]) -> Dict {
    let target = Item::list(target.iter().copied());
    Dict::new().with(
        "",
        Dict::new().with("attr", "l").with("symlink path", target),
    )
}

#[test]
fn the_bytes_of_a_small_v2_torrent_are_exactly_these() {
    let small = torrent(V2, 16_384, "x", &[file("", b"spam")]);
    let root = sha256(b"spam");
    let mut expected = b"d4:infod9:file treed1:xd0:d6:lengthi4e11:pieces root32:".to_vec();
    expected.extend(root.0);
    expected.extend(b"eee12:meta versioni2e4:name1:x12:piece lengthi16384ee12:piece layersdee");
    assert_eq!(
        small.escape_ascii().to_string(),
        expected.escape_ascii().to_string()
    );

    let got = read(&small);
    assert_eq!(
        got.info_hash_v2.map(|hash| hash.0),
        Some(sha256(&got.info_bytes).0)
    );
    assert_eq!(got.info_hash.0, sha256(&got.info_bytes).0[..20]);
    assert_eq!(got.info_hashes().collect::<Vec<_>>(), [got.info_hash]);
    assert!(got.info.single_file && got.info.files[0].path.is_empty());
    assert_eq!(got.check_v1(), Err(MetainfoError::V2Only));
    assert_eq!(got.warnings, []);
}

#[test]
fn a_hybrid_has_two_info_hashes_and_both_parts() {
    let content = [
        file("a", &[1; 20_000]),
        file("empty", b""),
        file("sub/b", &[2; 5]),
    ];
    let got = read(&torrent(HYBRID, 16_384, "folder", &content));
    let hashes: Vec<_> = got.info_hashes().collect();
    let v2 = sha256(&got.info_bytes);
    assert_eq!(hashes[0].0, sha1(&got.info_bytes).0);
    assert_eq!(hashes[1].0, v2.0[..20]);
    assert_eq!(
        (hashes.len(), got.info_hash, got.check_v1()),
        (2, hashes[0], Ok(()))
    );

    let info = &got.info;
    let files: Vec<_> = info
        .files
        .iter()
        .map(|file| (file.path.join("/"), file.offset, file.len, file.padding))
        .collect();
    let expected = [
        ("a", 0, 20_000, false),
        (".pad/12768", 20_000, 12_768, true),
        ("empty", 32_768, 0, false),
        ("sub/b", 32_768, 5, false),
        (".pad/16379", 32_773, 16_379, true),
    ];
    let expected =
        expected.map(|(path, offset, len, padding)| (path.to_owned(), offset, len, padding));
    assert_eq!(files, expected);
    assert_eq!(
        (info.payload_bytes(), info.padding_bytes()),
        (20_005, 29_147)
    );
    assert_eq!((info.piece_count(), info.size_bytes), (3, 49_152));
    assert_eq!(info.files[3].root, Some(merkle::leaf(&[2; 5])));
    assert_eq!(info.piece_size(PieceIndex(2)), 16_384, "with its padding");
    assert_eq!(info.piece_v2(PieceIndex(2)).map(|piece| piece.len), Some(5));
    assert_eq!(
        [0, 1, 2, 3].map(|file| info.file_layer(file).len()),
        [2, 0, 0, 1]
    );
    assert_eq!(
        [0, 2, 3, 9].map(|file| info.file_pieces(file)),
        [0..2, 0..0, 2..3, 0..0]
    );
}

/// 100 KiB in pieces of 64 KiB: the second piece has 3 blocks of 4 slots. A file of 40 KiB fits into
/// a piece, so its tree has the 4 slots that its own 3 blocks need, and not the piece's.
#[test]
fn a_piece_is_as_wide_as_its_blocks_or_its_whole_file() {
    let content = [
        file("a", &[1; 100 << 10]),
        file("b", &[2; 40 << 10]),
        file("c", b"3"),
    ];
    let info = read(&torrent(V2, 64 << 10, "x", &content)).info;
    let pieces: Vec<_> = (0..5).map(|n| info.piece_v2(PieceIndex(n))).collect();
    let shape = |n: usize| pieces[n].map(|piece| (piece.file, piece.len, piece.width));
    assert_eq!(shape(0), Some((0, 64 << 10, 4)));
    assert_eq!(shape(1), Some((0, 36 << 10, 4)));
    assert_eq!(shape(2), Some((1, 40 << 10, 4)));
    assert_eq!(shape(3), Some((2, 1, 1)));
    assert_eq!(shape(4), None);
    assert_eq!(pieces[2].map(|piece| piece.root), info.files[1].root);
    assert_eq!(
        info.files[1].offset,
        128 << 10,
        "no padding file, but a gap"
    );
    assert_eq!(
        (info.padding_bytes(), info.payload_bytes()),
        (0, (140 << 10) + 1)
    );
    assert_eq!(info.size_bytes, (192 << 10) + 1);
}

#[test]
fn files_of_the_same_content_share_a_layer() {
    let content = [file("a", &[1; 40_000]), file("b", &[1; 40_000])];
    let got = read(&torrent(V2, 16_384, "x", &content));
    assert_eq!(got.info.file_layer(0), got.info.file_layer(1));
    assert_eq!(got.info.piece_count(), 6);
}

#[test]
fn the_name_of_a_file_that_is_alone_is_that_of_the_tree() {
    let got = read(&tree(Dict::new().with("y", leaf(5))));
    assert_eq!((got.info.name.as_str(), got.info.single_file), ("y", true));
    assert_eq!(
        got.warnings,
        [Warning::NameOfFile {
            name: "x".to_owned()
        }]
    );

    let got = read(&tree(
        Dict::new().with("dir", Dict::new().with("y", leaf(5))),
    ));
    assert_eq!((got.info.name.as_str(), got.info.single_file), ("x", false));
    assert_eq!(got.info.files[0].path, ["dir", "y"]);
    assert_eq!(got.warnings, []);
}

#[test]
fn a_folder_of_one_file_is_not_mistaken_for_the_file() {
    let got = read(&torrent(HYBRID, 16_384, "x", &[file("x", b"1")]));
    assert_eq!(
        (got.info.single_file, got.info.files.len()),
        (false, 1),
        "no padding for one file"
    );
    let bytes = torrent(V2, 16_384, "x", &[file("sub/x", b"1")]);
    assert!(!read(&bytes).info.single_file);
}

#[test]
fn what_is_no_content_is_left_out_with_a_warning() {
    let folder = Dict::new().with("a", leaf(5)).with("e", Dict::new());
    let got = read(&tree(folder.with("f", Dict::new().with("g", Dict::new()))));
    assert_eq!(got.info.files.len(), 1);
    let empty = |path: &str| Warning::FolderEmpty {
        path: path.to_owned(),
    };
    assert_eq!(got.warnings, [empty("e"), empty("f/g")]);
}

/// What is not canonical around the info dictionary is no reason to refuse it.
#[test]
fn only_the_info_dictionary_must_be_canonical() {
    let good = torrent(V2, 16_384, "x", &[file("", b"spam")]);
    let odd = [b"d3:zooi007e", &good[1..]].concat();
    let got = read(&odd);
    assert_eq!(got.info_bytes, read(&good).info_bytes);
    assert_eq!(got.warnings.len(), 2, "{:?}", got.warnings);
}

#[test]
fn half_a_part_of_version_1_is_ignored_with_a_warning() {
    let info = |key: &str, value: Item| {
        let info = Dict::new()
            .with("file tree", Dict::new().with("x", leaf(5)))
            .with("meta version", 2)
            .with("name", "x")
            .with("piece length", 16_384);
        read(&Dict::new().with("info", info.with(key, value)).encode())
    };
    for (key, value, field) in [
        ("pieces", Item::from(&[7; 20]), "info.pieces"),
        ("length", Item::from(5), "info.files"),
    ] {
        let got = info(key, value);
        assert_eq!(got.info.version, V2);
        assert_eq!(got.warnings, [Warning::FieldIgnored { field }]);
    }
}

#[test]
fn attributes_are_read_and_written_in_all_versions() {
    for version in [Version::V1, V2, HYBRID] {
        let mut content = vec![
            file("run", b"#!"),
            file("sub/.hid", b"h"),
            link("sub/to", &["run"]),
        ];
        content[0].attr.executable = true;
        content[1].attr.hidden = true;
        let got = read(&torrent(version, 16_384, "x", &content));
        let attrs: Vec<_> = got.info.files.iter().filter(|file| !file.padding).collect();
        assert_eq!(attrs[0].attr, content[0].attr);
        assert_eq!(attrs[1].attr, content[1].attr);
        let to = Some(Link::To(vec!["run".to_owned()]));
        assert_eq!(
            (&attrs[2].attr.link, attrs[2].len, attrs[2].root),
            (&to, 0, None)
        );
        assert_eq!(got.warnings, []);
        let mut single = file("", b"#!");
        single.attr = Attr {
            executable: true,
            hidden: true,
            link: None,
        };
        let got = read(&torrent(version, 16_384, "x", &[single.clone()]));
        assert_eq!(got.info.files[0].attr, single.attr, "{version:?}");
    }
}

/// A link leads to a file, a folder or a link of the torrent, named from the torrent's folder or (by
/// old makers) from the link's own. Every other one is astray, and the torrent is read all the same.
#[test]
fn links_lead_into_the_torrent_or_astray() {
    let to = |target: &[&str]| {
        Some(Link::To(
            target.iter().map(|&name| name.to_owned()).collect(),
        ))
    };
    let astray = Some(Link::Astray);
    let cases: [(&[&str], Option<Link>); 13] = [
        (&["a"], to(&["a"])),
        (&["dir"], to(&["dir"])),
        (&["dir", "b"], to(&["dir", "b"])),
        (&["b"], to(&["dir", "b"])),
        (&["to dir", "b"], to(&["to dir", "b"])),
        (&["to dir"], to(&["to dir"])),
        (&["to dir", "nothing"], astray.clone()),
        (&["a", "b"], astray.clone()),
        (&["nothing"], astray.clone()),
        (&[".."], astray.clone()),
        (&["..", "a"], astray.clone()),
        (&["/etc/passwd"], astray.clone()),
        (&[], astray.clone()),
    ];
    for (target, expected) in cases {
        let dir = Dict::new().with("b", leaf(5)).with("link", link_to(target));
        let files = Dict::new().with("a", leaf(5)).with("dir", dir);
        let got = read(&tree(files.with("to dir", link_to(&["dir"]))));
        let link = got
            .info
            .files
            .iter()
            .find(|file| file.path == ["dir", "link"])
            .unwrap();
        assert_eq!(link.attr.link, expected, "{target:?}");
        let warning = Warning::LinkAstray {
            path: "dir/link".to_owned(),
        };
        assert_eq!(
            got.warnings.contains(&warning),
            expected == astray,
            "{target:?}"
        );
    }
}

#[test]
fn links_that_run_in_circles_end() {
    let files = Dict::new()
        .with("a", link_to(&["b", "x"]))
        .with("b", link_to(&["a", "x"]))
        .with("c", link_to(&["c"]))
        .with("d", link_to(&["e"]))
        .with("e", link_to(&["d"]))
        .with("f", leaf(5));
    let got = read(&tree(files));
    let links: Vec<_> = got
        .info
        .files
        .iter()
        .map(|file| file.attr.link.clone())
        .collect();
    let to = |name: &str| Some(Link::To(vec![name.to_owned()]));
    let astray = Some(Link::Astray);
    assert_eq!(
        links,
        [
            astray.clone(),
            astray.clone(),
            astray,
            to("e"),
            to("d"),
            None
        ]
    );
}

/// Each link walks through a deep folder to find that nothing is there.
#[test]
fn looking_for_links_stops_at_the_limit() {
    let deep: Vec<String> = (0..40).map(|n| n.to_string()).collect();
    let mut at: Vec<&str> = deep.iter().map(String::as_str).collect();
    let folder = deep
        .iter()
        .rev()
        .fold(Dict::new().with("f", leaf(5)), |inner, name| {
            Dict::new().with(name, inner)
        });
    let mut files = folder;
    at.push("nothing");
    let count = LINK_STEPS_MAX as usize / (at.len() - 1) + 2;
    for n in 0..count {
        files.put(format!("l{n:07}"), link_to(&at));
    }
    files.put("to", link_to(&["0"]));
    at[0] = "to";
    at[40] = "f";
    files.put("z", link_to(&at));
    let got = read(&tree(files));
    let last = got.info.files.last().unwrap();
    assert_eq!(
        (last.path[0].as_str(), &last.attr.link),
        ("z", &Some(Link::Astray))
    );

    let files = deep
        .iter()
        .rev()
        .fold(Dict::new().with("f", leaf(5)), |inner, name| {
            Dict::new().with(name, inner)
        });
    let got = read(&tree(
        files.with("to", link_to(&["0"])).with("z", link_to(&at)),
    ));
    let last = got.info.files.last().unwrap();
    assert!(
        matches!(last.attr.link, Some(Link::To(_))),
        "within the limit it is found"
    );
}

#[test]
fn more_files_or_pieces_than_the_limits_are_refused() {
    let many = (0..=FILES_MAX).fold(Dict::new(), |tree, n| tree.with(n.to_string(), leaf(0)));
    let refused = Metainfo::from_bytes(&tree(many));
    let (got, limit) = (FILES_MAX + 1, FILES_MAX);
    assert_eq!(refused, Err(MetainfoError::TooManyFiles { got, limit }));

    let len = (i64::from(PIECES_MAX) + 1) * 16_384;
    let refused = Metainfo::from_bytes(&tree(Dict::new().with("x", leaf(len))));
    let (got, limit) = (u64::from(PIECES_MAX) + 1, PIECES_MAX);
    assert_eq!(refused, Err(MetainfoError::TooManyPieces { got, limit }));
}

#[test]
fn padding_needs_no_path_and_bitcomets_has_only_a_name() {
    let file = |path: Option<&[&str]>, attr: Option<&str>| {
        let path = path.map(|path| Item::list(path.iter().copied()));
        Dict::new()
            .with("length", 5)
            .with_some("path", path)
            .with_some("attr", attr)
    };
    let files = [
        file(Some(&["a"]), None),
        file(None, Some("p")),
        file(Some(&["_____padding_file_0_if you see this file"]), None),
    ];
    let info = Dict::new()
        .with("files", Item::list(files))
        .with("name", "x")
        .with("piece length", 16_384)
        .with("pieces", &[7; 20]);
    let got = read(&Dict::new().with("info", info).encode());
    let padding: Vec<_> = got.info.files.iter().map(|file| file.padding).collect();
    assert_eq!(padding, [false, true, true]);
    assert_eq!(got.info.files[1].path, [".pad", "5"]);
    assert_eq!(got.info.payload_bytes(), 5);
}

proptest! {
    /// A draft of any files is read back as it was meant, and each piece is where counting says.
    #[test]
    fn every_draft_is_read_back_and_adds_up(
        lens in proptest::collection::vec(0usize..90_000, 1..6),
        piece_len_log in 14u32..18,
        version in prop_oneof![Just(Version::V1), Just(V2), Just(HYBRID)],
        nested: bool,
    ) {
        prop_assume!(lens.iter().any(|&len| len > 0));
        // Version 2 has no folder of one file: that is the file.
        prop_assume!(nested || lens.len() > 1 || version != V2);
        let path = |n: usize| if nested { format!("{}/{n}", n / 2) } else { n.to_string() };
        let content: Vec<Piece> = lens
            .iter()
            .enumerate()
            .map(|(n, &len)| file(&path(n), &vec![n as u8; len]))
            .collect();
        let draft = draft(version, 1 << piece_len_log, "name", &content);
        let bytes = draft.encode().unwrap();
        prop_assert_eq!(&bytes, &draft.encode().unwrap());
        let got = read(&bytes);
        prop_assert_eq!(&got.info, &draft.info);
        let info = &got.info;
        let payload: usize = lens.iter().sum();
        prop_assert_eq!(info.payload_bytes(), payload as u64);

        let (sizes, fetched) = (info.piece_sizes(), info.payload_sizes());
        prop_assert_eq!(sizes.count(), info.piece_count());
        let mut payload = 0;
        for piece in (0..info.piece_count()).map(PieceIndex) {
            prop_assert_eq!(sizes.size(piece), info.piece_size(piece));
            let mut bytes = Vec::new();
            for span in info.piece_spans(piece) {
                let stretch = span.offset as usize..(span.offset + span.len) as usize;
                let file = &info.files[span.file];
                if file.padding {
                    bytes.resize(bytes.len() + stretch.len(), 0);
                } else {
                    let source = content.iter().find(|source| source.path == file.path).unwrap();
                    bytes.extend(&source.bytes[stretch.clone()]);
                    payload += stretch.len();
                }
            }
            prop_assert_eq!(bytes.len(), info.piece_size(piece) as usize);
            if version.has_v1() {
                prop_assert_eq!(info.pieces[piece.0 as usize], sha1(&bytes));
            }
            match info.piece_v2(piece) {
                Some(v2) => {
                    prop_assert!(version.has_v2());
                    prop_assert_eq!(fetched.size(piece), v2.len);
                    let leaves: Vec<Sha256Digest> =
                        bytes[..v2.len as usize].chunks(16_384).map(merkle::leaf).collect();
                    prop_assert_eq!(merkle::root(&leaves, v2.width.into()), v2.root);
                    prop_assert!(info.file_pieces(v2.file).contains(&piece.0));
                }
                None => {
                    prop_assert_eq!(version, Version::V1);
                    prop_assert_eq!(fetched.size(piece), info.piece_size(piece));
                }
            }
        }
        prop_assert_eq!(fetched.size_bytes(), info.payload_bytes());
        prop_assert_eq!(payload as u64, info.payload_bytes());
        prop_assert_eq!(sizes.size_bytes(), match version {
            V2 => info.payload_bytes(),
            Version::V1 | HYBRID => info.size_bytes,
        });
        for (n, file) in info.files.iter().enumerate() {
            if let Some(root) = file.root {
                let layer = info.file_layer(n);
                let up = piece_len_log - 14;
                let above = merkle::root_above(layer, up, (layer.len() as u64).next_power_of_two());
                prop_assert!(above == root || layer == [root]);
            }
        }
    }

    #[test]
    fn a_changed_byte_of_a_hybrid_never_panics(at: prop::sample::Index, byte: u8) {
        let content = [file("a", &[1; 40_000]), link("b", &["a"]), file("c/d", b"x")];
        let mut bytes = torrent(HYBRID, 16_384, "x", &content);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _ = Metainfo::from_bytes(&bytes);
    }
}
