use proptest::prelude::*;

use super::*;
use crate::bencode::{Dict, Item, Noted, Oddity};

fn file(path: &[&str], len: u64, offset: u64) -> File {
    File {
        path: path.iter().map(|&name| name.to_owned()).collect(),
        len,
        offset,
        padding: false,
        root: None,
        attr: Attr::default(),
    }
}

/// A folder of four files, one of them empty, over three pieces of 16 KiB.
fn folder() -> Info {
    let files = vec![
        file(&["a"], 10_000, 0),
        file(&["empty"], 0, 10_000),
        file(&["sub", "b"], 30_000, 10_000),
        file(&["sub", "c"], 1, 40_000),
    ];
    Info {
        version: Version::V1,
        pieces_v2: Vec::new(),
        name: "folder".to_owned(),
        piece_len: 16_384,
        pieces: (0..3).map(|n| skep_hash::sha1(&[n])).collect(),
        files,
        single_file: false,
        private: false,
        source: None,
        size_bytes: 40_001,
    }
}

fn draft(info: Info) -> Draft {
    Draft {
        info,
        tiers: Vec::new(),
        web_seeds: Vec::new(),
        comment: None,
        created_by: None,
        creation_date: None,
    }
}

fn spans(info: &Info, begin: u64, len: u64) -> Vec<(usize, u64, u64)> {
    info.spans(begin, len)
        .map(|span| (span.file, span.offset, span.len))
        .collect()
}

#[test]
fn a_draft_is_read_back_as_it_was_meant() {
    let mut draft = draft(folder());
    draft.info.private = true;
    draft.info.source = Some("hive".to_owned());
    draft.info.files[1].padding = true;
    draft.tiers = vec![
        vec!["udp://a:1".into(), "udp://b:2".into()],
        vec!["http://c/an".into()],
    ];
    draft.web_seeds = vec!["http://d/".into(), "http://e/".into()];
    draft.comment = Some("comb".to_owned());
    draft.created_by = Some("skep 0.1.0".to_owned());
    draft.creation_date = Some(1_317_945_600);

    let bytes = draft.encode().unwrap();
    let got = Metainfo::from_bytes(&bytes).unwrap();

    assert_eq!(got.info, draft.info);
    assert_eq!(got.tiers, draft.tiers);
    assert_eq!(got.web_seeds, draft.web_seeds);
    assert_eq!(got.comment, draft.comment);
    assert_eq!(got.created_by, draft.created_by);
    assert_eq!(got.creation_date, draft.creation_date);
    assert_eq!(got.warnings, []);
    assert_eq!(got.info_hash.0, skep_hash::sha1(&got.info_bytes).0);
    assert_eq!(
        draft.encode().unwrap(),
        bytes,
        "the same draft gives the same bytes"
    );
}

#[test]
fn the_bytes_of_a_small_torrent_are_exactly_these() {
    let mut info = folder();
    info.name = "x".to_owned();
    info.files = vec![file(&[], 5, 0)];
    info.single_file = true;
    info.size_bytes = 5;
    info.pieces = vec![Sha1Digest(*b"aaaaaaaaaaaaaaaaaaaa")];
    let mut draft = draft(info);
    draft.tiers = vec![vec!["http://t/a".to_owned()]];
    draft.web_seeds = vec!["http://w/".to_owned()];
    let expected = "d8:announce10:http://t/a4:infod6:lengthi5e4:name1:x12:piece lengthi16384e\
        6:pieces20:aaaaaaaaaaaaaaaaaaaae8:url-list9:http://w/e";
    assert_eq!(draft.encode().unwrap().escape_ascii().to_string(), expected);
}

#[test]
fn a_draft_that_could_not_be_read_back_is_refused() {
    let mut bad = draft(folder());
    bad.info.files[0].path = vec!["..".to_owned()];
    assert!(matches!(bad.encode(), Err(MetainfoError::BadName { .. })));
    let mut bad = draft(folder());
    bad.info.pieces.pop();
    assert_eq!(
        bad.encode(),
        Err(MetainfoError::PieceCount {
            got: 2,
            expected: 3
        })
    );
    let mut bad = draft(folder());
    bad.info.files.clear();
    assert_eq!(bad.encode(), Err(MetainfoError::NoFiles));
}

#[test]
fn spans_of_a_range_skip_empty_files_and_end_with_the_content() {
    let info = folder();
    assert_eq!(
        spans(&info, 0, 40_001),
        [(0, 0, 10_000), (2, 0, 30_000), (3, 0, 1)]
    );
    assert_eq!(spans(&info, 9_999, 2), [(0, 9_999, 1), (2, 0, 1)]);
    assert_eq!(spans(&info, 10_000, 1), [(2, 0, 1)]);
    assert_eq!(spans(&info, 40_000, u64::MAX), [(3, 0, 1)]);
    assert_eq!(spans(&info, 40_001, 5), []);
    assert_eq!(spans(&info, 100, 0), []);
    assert_eq!(spans(&info, u64::MAX, u64::MAX), []);
    let piece = info
        .piece_spans(PieceIndex(2))
        .map(|span| span.len)
        .collect::<Vec<_>>();
    assert_eq!(piece, [7_232, 1]);
    let block = Block {
        piece: PieceIndex(1),
        begin: 100,
        len: 50,
    };
    let block: Vec<Span> = info.block_spans(block).collect();
    assert_eq!(
        block,
        [Span {
            file: 2,
            offset: 6_484,
            len: 50
        }]
    );
}

#[test]
fn the_piece_length_follows_its_table() {
    const MIB: u64 = 1 << 20;
    const KIB: u32 = 1 << 10;
    for (size, expected) in [
        (0, 16 * KIB),
        (1, 16 * KIB),
        (32 * MIB, 16 * KIB),
        (32 * MIB + 1, 32 * KIB),
        (1024 * MIB, 512 * KIB),
        (1024 * MIB + 1, 1024 * KIB),
        (16 * 1024 * MIB, 8192 * KIB),
        (16 * 1024 * MIB + 1, 16_384 * KIB),
        (32 * 1024 * 1024 * MIB, 16_384 * KIB),
        (32 * 1024 * 1024 * MIB + 1, 32_768 * KIB),
        (u64::MAX, PIECE_LEN_MAX),
    ] {
        assert_eq!(piece_len_for(size), expected, "{size}");
    }
}

/// In a hybrid of many files, small pieces keep the padding below an eighth of the content, unless that
/// needs too many pieces.
#[test]
fn hybrids_of_many_files_have_smaller_pieces() {
    const KIB: u64 = 1 << 10;
    let len = |version, count: usize, len: u64| piece_len_for_files(version, &vec![len; count]);
    let padding = |count: u64, len: u64, piece_len: u32| {
        let padded = len.next_multiple_of(piece_len.into()) * count;
        (padded - len * count) * 100 / (len * count)
    };
    for version in [Version::V1, Version::V2] {
        assert_eq!(len(version, 1_000, 10_000 * KIB), 8 << 20);
    }
    assert_eq!(len(Version::Hybrid, 1, 10_000_000 * KIB), 8 << 20);
    let thousand = len(Version::Hybrid, 1_000, 10_000 * KIB);
    assert_eq!(
        (thousand, padding(1_000, 10_000 * KIB, thousand)),
        (2 << 20, 2)
    );
    // 100,000 files of 100 KiB: at 32 KiB there would be four pieces for each.
    let many = len(Version::Hybrid, 100_000, 100 * KIB);
    assert_eq!((many, padding(100_000, 100 * KIB, many)), (64 << 10, 28));
    assert_eq!(len(Version::Hybrid, 100_000, KIB), 16 << 10);
    assert_eq!(len(Version::Hybrid, 2, u64::MAX), PIECE_LEN_MAX);
}

/// A torrent whose keys are written in a bad order has the info-hash of the bytes as they are.
#[test]
fn the_info_hash_is_over_the_raw_bytes() {
    let info = b"d4:name1:x6:lengthi5e12:piece lengthi16384e6:pieces20:aaaaaaaaaaaaaaaaaaaae";
    let torrent = [&b"d4:info"[..], info, b"e"].concat();
    let got = Metainfo::from_bytes(&torrent).unwrap();
    assert_eq!(got.info_bytes, info);
    assert_eq!(got.info_hash.to_string(), skep_hash::sha1(info).to_string());
    let noted = Noted {
        offset: 17,
        oddity: Oddity::UnsortedKeys,
    };
    assert_eq!(got.warnings, [Warning::NotCanonical(noted)]);
}

fn info_dict() -> Dict {
    Dict::new()
        .with("name", "x")
        .with("piece length", 16_384)
        .with("pieces", &[7; 20])
}

fn read(info: Dict, root: Dict) -> Metainfo {
    Metainfo::from_bytes(&root.with("info", info).encode()).unwrap()
}

#[test]
fn trackers_come_from_the_list_and_else_from_announce() {
    let info = || info_dict().with("length", 5);
    let list = |urls: &[&str]| Item::list(urls.iter().copied());
    let lists = |tiers: &[&[&str]]| Item::list(tiers.iter().map(|tier| list(tier)));
    let announce = || Dict::new().with("announce", " http://a/ ");
    let tiers = |root: Dict| read(info(), root).tiers;

    assert_eq!(tiers(announce()), [["http://a/"]]);
    let root = announce().with(
        "announce-list",
        lists(&[&["udp://b", ""], &[], &["udp://c"]]),
    );
    assert_eq!(tiers(root), [["udp://b"], ["udp://c"]]);
    assert_eq!(
        tiers(announce().with("announce-list", lists(&[&[""]]))),
        [["http://a/"]]
    );
    let root = announce().with("announce-list", list(&["udp://flat"]));
    let got = read(info(), root);
    assert_eq!(got.tiers, [["http://a/"]]);
    assert_eq!(
        got.warnings,
        [Warning::FieldIgnored {
            field: "announce-list"
        }]
    );
    assert_eq!(tiers(Dict::new()), Vec::<Vec<String>>::new());
}

#[test]
fn a_flood_of_trackers_is_cut_at_the_limit() {
    let urls: Vec<Item> = (0..3_000).map(|n| format!("udp://t{n}").into()).collect();
    let root = Dict::new().with("announce-list", Item::list([Item::List(urls)]));
    let got = read(info_dict().with("length", 5), root);
    assert_eq!(got.tiers[0].len(), URLS_MAX);
    let cut = Warning::ListCut {
        field: "announce-list",
        limit: URLS_MAX,
    };
    assert_eq!(got.warnings, [cut]);
}

#[test]
fn what_is_not_needed_is_left_out_where_it_is_malformed() {
    let info = info_dict()
        .with("length", 5)
        .with("private", "1")
        .with("source", b"\xff");
    let root = Dict::new()
        .with("announce", 3)
        .with("comment", Item::List(Vec::new()))
        .with("creation date", "today")
        .with("url-list", 7);
    let got = read(info, root);
    assert_eq!(got.tiers.len() + got.web_seeds.len(), 0);
    assert_eq!(
        (got.comment, got.creation_date, got.info.source),
        (None, None, None)
    );
    let fields = [
        "info.private",
        "source",
        "announce",
        "url-list",
        "comment",
        "creation date",
    ];
    assert_eq!(
        got.warnings,
        fields.map(|field| Warning::FieldIgnored { field })
    );
}

#[test]
fn utf8_names_are_preferred_and_others_are_shown_without_loss() {
    let latin = Dict::new()
        .with("length", 5)
        .with("path", Item::list([b"caf\xe9"]));
    let both = Dict::new()
        .with("length", 5)
        .with("path", Item::list([b"th\xe9"]))
        .with("path.utf-8", Item::list(["thé"]));
    let info = info_dict().with("files", Item::list([latin, both]));
    let got = read(info.with("name.utf-8", "ruche"), Dict::new());
    assert_eq!(got.info.name, "ruche");
    assert_eq!(got.info.files[0].path, ["caf%E9"]);
    assert_eq!(got.info.files[1].path, ["thé"]);
    assert_eq!(
        got.warnings,
        [Warning::NameNotUtf8 {
            name: b"caf\xe9".to_vec()
        }]
    );
}

#[test]
fn unusual_names_are_accepted_with_a_warning() {
    let entry = |path: &[&str]| {
        Dict::new()
            .with("length", 1)
            .with("path", Item::list(path.iter().copied()))
    };
    let files = [
        entry(&["Readme"]),
        entry(&["README"]),
        entry(&["what?"]),
        entry(&["dot."]),
        entry(&["a\u{202e}gpj.exe"]),
        entry(&["..."]),
        entry(&["COM10", "nullary"]),
    ];
    let got = read(info_dict().with("files", Item::list(files)), Dict::new());
    assert_eq!(
        got.warnings,
        [
            Warning::NameNotPortable {
                name: "what?".to_owned()
            },
            Warning::NameNotPortable {
                name: "dot.".to_owned()
            },
            Warning::NameDeceives {
                name: "a\u{202e}gpj.exe".to_owned()
            },
            Warning::NameNotPortable {
                name: "...".to_owned()
            },
            Warning::CaseConflict {
                path: "Readme".to_owned()
            },
        ]
    );
}

#[test]
fn padding_files_may_share_a_path_and_are_marked() {
    let pad = || {
        let path = Item::list([".pad", "9"]);
        Item::from(
            Dict::new()
                .with("attr", "p")
                .with("length", 9)
                .with("path", path),
        )
    };
    let real = Item::from(
        Dict::new()
            .with("length", 9)
            .with("path", Item::list(["a"])),
    );
    let got = read(
        info_dict().with("files", Item::list([pad(), real, pad()])),
        Dict::new(),
    );
    let padding: Vec<bool> = got.info.files.iter().map(|file| file.padding).collect();
    assert_eq!(padding, [true, false, true]);
    assert_eq!(got.warnings, []);
}

#[test]
fn warnings_stop_at_the_limit() {
    let entry = |n: usize| {
        Item::from(
            Dict::new()
                .with("length", 1)
                .with("path", Item::list([format!("{n}?")])),
        )
    };
    let files: Vec<Item> = (0..500).map(entry).collect();
    let got = read(info_dict().with("files", files), Dict::new());
    assert_eq!(got.warnings.len(), WARNINGS_MAX);
}

#[test]
fn a_url_beyond_the_limit_is_left_out() {
    let url = |len: usize| format!("http://{}", "u".repeat(len - 7));
    let root = |len| Dict::new().with("announce", url(len));
    let info = || info_dict().with("length", 5);
    assert_eq!(read(info(), root(URL_BYTES_MAX)).tiers.len(), 1);
    let got = read(info(), root(URL_BYTES_MAX + 1));
    assert_eq!(got.tiers.len(), 0);
    assert_eq!(got.warnings, [Warning::FieldIgnored { field: "announce" }]);
}

#[test]
fn more_files_or_pieces_than_the_limits_are_refused() {
    let refused = |info: Dict| Metainfo::from_bytes(&Dict::new().with("info", info).encode());
    let entry = |n: usize| {
        Dict::new()
            .with("length", 0)
            .with("path", Item::list([n.to_string()]))
    };
    let files = Item::list((0..=FILES_MAX).map(entry));
    let (got, limit) = (FILES_MAX + 1, FILES_MAX);
    let expected = MetainfoError::TooManyFiles { got, limit };
    assert_eq!(refused(info_dict().with("files", files)), Err(expected));

    let count = u64::from(PIECES_MAX) + 1;
    let info = Dict::new()
        .with("length", i64::try_from(count).unwrap())
        .with("name", "x")
        .with("piece length", 1)
        .with("pieces", vec![7; count as usize * 20]);
    let expected = MetainfoError::TooManyPieces {
        got: count,
        limit: PIECES_MAX,
    };
    assert_eq!(refused(info), Err(expected));
}

fn any_name() -> impl Strategy<Value = String> {
    "[a-zé ]{0,6}[a-z]".prop_filter("device names", |name| {
        !matches!(&**name, "con" | "prn" | "aux" | "nul")
    })
}

proptest! {
    #[test]
    fn every_sane_draft_is_read_back(
        name in any_name(),
        folders in proptest::collection::vec((proptest::collection::vec(any_name(), 1..4), 0u64..90_000), 1..8),
        piece_len_log in 10u32..20,
        private: bool,
        comment: Option<String>,
        creation_date: Option<i64>,
        trackers in proptest::collection::vec(proptest::collection::vec("[a-z]{1,5}", 1..3), 0..3),
    ) {
        let mut files = Vec::new();
        let mut offset = 0;
        for (n, (mut path, len)) in folders.into_iter().enumerate() {
            // The first component keeps paths apart, whatever the rest.
            path.insert(0, n.to_string());
            files.push(File { path, len, offset, padding: false, root: None, attr: Attr::default() });
            offset += len;
        }
        prop_assume!(offset > 0);
        let piece_len = 1 << piece_len_log;
        let pieces = (0..offset.div_ceil(piece_len.into())).map(|n| skep_hash::sha1(&n.to_be_bytes()));
        let pieces = pieces.collect();
        let info = Info {
            version: Version::V1,
            pieces_v2: Vec::new(),
            name, piece_len, pieces, files, single_file: false, private, source: None, size_bytes: offset,
        };
        let draft = Draft { tiers: trackers, comment, creation_date, ..draft(info) };
        let got = Metainfo::from_bytes(&draft.encode().unwrap()).unwrap();
        prop_assert_eq!(&got.info, &draft.info);
        prop_assert_eq!(got.tiers, draft.tiers);
        prop_assert_eq!(got.comment, draft.comment);
        prop_assert_eq!(got.creation_date, draft.creation_date);

        let mut at = 0;
        for piece in (0..got.info.piece_count()).map(PieceIndex) {
            let sum: u64 = got.info.piece_spans(piece).map(|span| span.len).sum();
            prop_assert_eq!(sum, u64::from(got.info.piece_size(piece)));
            for span in got.info.piece_spans(piece) {
                let file = &got.info.files[span.file];
                prop_assert_eq!(file.offset + span.offset, at);
                prop_assert!(span.offset + span.len <= file.len);
                at += span.len;
            }
        }
        prop_assert_eq!(at, got.info.size_bytes);
    }

    #[test]
    fn a_changed_byte_never_panics(at: prop::sample::Index, byte: u8) {
        let mut bytes = draft(folder()).encode().unwrap();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _ = Metainfo::from_bytes(&bytes);
    }
}
