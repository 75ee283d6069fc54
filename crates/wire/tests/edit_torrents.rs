//! Editing a torrent file: what is asked for changes, and nothing else does.

use proptest::prelude::*;
use skep_wire::metainfo::{Edit, Metainfo, with_source};

const INFO: &str =
    "d6:lengthi5e4:name1:x12:piece lengthi16384e6:pieces20:aaaaaaaaaaaaaaaaaaaa3:zzzli-0eee";

fn torrent(before: &str, after: &str) -> Vec<u8> {
    format!("d{before}4:info{INFO}{after}e").into_bytes()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

fn tiers(urls: &[&[&str]]) -> Option<Vec<Vec<String>>> {
    let tier = |tier: &&[&str]| tier.iter().map(|&url| url.to_owned()).collect();
    Some(urls.iter().map(tier).collect())
}

fn comment(text: &str) -> Edit {
    Edit {
        comment: Some(Some(text.to_owned())),
        ..Edit::default()
    }
}

#[test]
fn an_edit_of_nothing_gives_the_same_bytes() {
    // Keys out of order, twice, with leading zeroes, and unknown ones.
    let odd = torrent(
        "3:zoo03:abc1:ai007e3:zool1:xe",
        "7:comment1:x3:abcd0:0:e7:comment1:y",
    );
    assert_eq!(text(&Edit::default().apply(&odd).unwrap()), text(&odd));
}

#[test]
fn keys_are_replaced_added_in_their_place_and_removed() {
    let odd = torrent("03:foo3:bar", "11:nobody knewi-0e");
    let edit = Edit {
        tiers: tiers(&[&["http://a/", "http://b/"], &["udp://c"]]),
        web_seeds: Some(vec!["http://w/".to_owned()]),
        comment: Some(Some("new".to_owned())),
    };
    let expected = format!(
        "d8:announce9:http://a/13:announce-listll9:http://a/9:http://b/el7:udp://cee7:comment3:new\
         03:foo3:bar4:info{INFO}11:nobody knewi-0e8:url-list9:http://w/e"
    );
    let edited = edit.apply(&odd).unwrap();
    assert_eq!(text(&edited), expected);
    let none = Edit {
        tiers: Some(Vec::new()),
        web_seeds: Some(Vec::new()),
        comment: Some(None),
    };
    assert_eq!(text(&none.apply(&edited).unwrap()), text(&odd));
}

#[test]
fn one_tracker_needs_no_list_and_an_old_list_goes() {
    let edit = |urls: &[&[&str]], torrent: &[u8]| {
        Edit {
            tiers: tiers(urls),
            ..Edit::default()
        }
        .apply(torrent)
        .unwrap()
    };
    let two = edit(&[&["http://a/"], &["http://b/"]], &torrent("", ""));
    let one = edit(&[&["http://b/"]], &two);
    assert_eq!(text(&one), format!("d8:announce9:http://b/4:info{INFO}e"));
}

#[test]
fn every_comment_there_is_gives_way() {
    let old = torrent("7:comment1:x13:comment.utf-81:y7:comment1:z", "");
    let edited = comment("new").apply(&old).unwrap();
    assert_eq!(text(&edited), format!("d7:comment3:new4:info{INFO}e"));
    assert_eq!(
        Metainfo::from_bytes(&edited).unwrap().comment.as_deref(),
        Some("new")
    );
}

#[test]
fn what_is_no_torrent_is_not_edited() {
    for bytes in [&b""[..], b"le", b"d4:infodee", b"d4:info"] {
        assert!(
            comment("x").apply(bytes).is_err(),
            "{}",
            bytes.escape_ascii()
        );
    }
}

#[test]
fn another_source_is_another_info_dictionary() {
    let with = with_source(INFO.as_bytes(), "EX").unwrap();
    assert_eq!(text(&with), INFO.replace("3:zzz", "6:source2:EX3:zzz"));
    let again = with_source(&with, "EX").unwrap();
    assert_eq!(text(&again), text(&with));
    let other = with_source(&with, "other").unwrap();
    assert_eq!(text(&other), INFO.replace("3:zzz", "6:source5:other3:zzz"));
}

proptest! {
    #[test]
    fn whatever_is_edited_the_info_dictionary_stays(
        new in ".{0,20}",
        old in proptest::option::of("[a-z]{0,9}"),
        urls in proptest::collection::vec(proptest::collection::vec("[a-z]{1,9}", 0..3), 0..3),
        seeds in proptest::collection::vec("[a-z]{1,9}", 0..3),
    ) {
        let before = old.map_or(String::new(), |old| format!("7:comment{}:{old}", old.len()));
        let torrent = torrent(&before, "1:q2:qq");
        let edit = Edit { tiers: Some(urls.clone()), web_seeds: Some(seeds.clone()), ..comment(&new) };
        let edited = edit.apply(&torrent).unwrap();
        let got = Metainfo::from_bytes(&edited).unwrap();
        prop_assert_eq!(got.info_bytes, INFO.as_bytes());
        prop_assert_eq!(got.comment, Some(new));
        prop_assert_eq!(got.web_seeds, seeds);
        let kept: Vec<_> = urls.into_iter().filter(|tier| !tier.is_empty()).collect();
        prop_assert_eq!(got.tiers, kept);
        prop_assert_eq!(edit.apply(&edited).unwrap(), edited);
    }
}
