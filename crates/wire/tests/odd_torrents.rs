//! Torrents that break a rule and are shared all the same: skep reads them as libtorrent does. The
//! expected info-hashes, names and paths are what libtorrent 2.1.1.0 (PyPI) printed for these bytes.

use skep_wire::metainfo::Metainfo;

#[track_caller]
fn assert_read(bytes: &[u8], info_hash: &str, name: &str, paths: &[&str]) {
    let torrent = Metainfo::from_bytes(bytes).expect("accepted");
    assert_eq!(torrent.info_hash.to_string(), info_hash);
    assert_eq!(torrent.info.name, name);
    let got: Vec<String> = torrent
        .info
        .files
        .iter()
        .map(|file| file.path.join("/"))
        .collect();
    assert_eq!(got, paths);
    assert!(!torrent.warnings.is_empty(), "what is unusual is said");
}

#[test]
fn of_two_info_dictionaries_the_first_counts() {
    assert_read(
        b"d4:infod4:name1:a6:lengthi5e12:piece lengthi16384e6:pieces20:aaaaaaaaaaaaaaaaaaaae\
          4:infod4:name1:b6:lengthi5e12:piece lengthi16384e6:pieces20:aaaaaaaaaaaaaaaaaaaaee",
        "e63fd68b74c6ba345a2343bf975fc5dd98b2db69",
        "a",
        &[""],
    );
}

#[test]
fn of_two_names_the_first_counts() {
    assert_read(
        b"d4:infod4:name1:a4:name1:b6:lengthi5e12:piece lengthi16384e\
          6:pieces20:aaaaaaaaaaaaaaaaaaaaee",
        "c7c500a3385b7af13a940882591448b1613e2c73",
        "a",
        &[""],
    );
}

#[test]
fn numbers_with_leading_zeroes_are_read() {
    assert_read(
        b"d4:infod4:name1:a6:lengthi005e12:piece lengthi16384e6:pieces020:aaaaaaaaaaaaaaaaaaaaee",
        "8d58cedb87e36de71f10a8149aabc033b8386aff",
        "a",
        &[""],
    );
}

#[test]
fn minus_zero_is_read() {
    assert_read(
        b"d1:xi-0e4:infod4:name1:a6:lengthi5e12:piece lengthi16384e\
          6:pieces20:aaaaaaaaaaaaaaaaaaaaee",
        "e63fd68b74c6ba345a2343bf975fc5dd98b2db69",
        "a",
        &[""],
    );
}

#[test]
fn files_count_more_than_length() {
    assert_read(
        b"d4:infod4:name1:a6:lengthi5e5:filesld6:lengthi5e4:pathl1:zeee12:piece lengthi16384e\
          6:pieces20:aaaaaaaaaaaaaaaaaaaaee",
        "d51205f72004491a1fe1d2b9483e102167707bfd",
        "a",
        &["z"],
    );
}

#[test]
fn unsorted_keys_are_read_and_hashed_as_they_came() {
    assert_read(
        b"d4:infod4:name1:x6:lengthi5e12:piece lengthi16384e6:pieces20:aaaaaaaaaaaaaaaaaaaaee",
        "112e90d6a6c05c630813b18cb9c4fef90cfb9e34",
        "x",
        &[""],
    );
}
