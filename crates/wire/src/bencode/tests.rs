use proptest::prelude::*;

use super::*;

const TOLERANT: Limits = Limits {
    depth_max: 8,
    values_max: 1000,
    canonical: false,
};
const STRICT: Limits = Limits {
    canonical: true,
    ..TOLERANT
};

fn refused(input: &[u8], limits: Limits) -> (usize, Cause) {
    let error = decode(input, limits).expect_err("refused");
    (error.offset, error.cause)
}

#[test]
fn values_know_the_bytes_that_they_came_from() {
    let input = b"d3:cowl3:mooi-3ee4:spamd1:ai0eee";
    let root = decode(input, STRICT).unwrap();
    assert_eq!(root.raw, input);
    assert_eq!(root.get("cow").unwrap().raw, b"l3:mooi-3ee");
    assert_eq!(root.get_list("cow").unwrap()[0].as_str(), Some("moo"));
    assert_eq!(root.get_list("cow").unwrap()[1].as_int(), Some(-3));
    assert_eq!(root.get("spam").unwrap().raw, b"d1:ai0ee");
    assert_eq!(root.get("spam").unwrap().get_int("a"), Some(0));
    assert_eq!(root.get("none"), None);
    assert_eq!(root.get_str("cow"), None);
}

#[test]
fn what_is_no_bencode_is_refused_with_its_offset_and_cause() {
    let cases: &[(&[u8], usize, Cause)] = &[
        (b"", 0, Cause::Truncated),
        (b"x", 0, Cause::NoValue { got: b'x' }),
        (b"-1:", 0, Cause::NoValue { got: b'-' }),
        (b"i12", 3, Cause::Truncated),
        (b"ie", 1, Cause::BadInteger { got: b'e' }),
        (b"i-e", 2, Cause::BadInteger { got: b'e' }),
        (b"i--1e", 2, Cause::BadInteger { got: b'-' }),
        (b"i+1e", 1, Cause::BadInteger { got: b'+' }),
        (b"i1.5e", 2, Cause::BadInteger { got: b'.' }),
        (b"i9223372036854775808e", 0, Cause::IntegerRange),
        (b"i-9223372036854775809e", 0, Cause::IntegerRange),
        (b"i99999999999999999999999e", 0, Cause::IntegerRange),
        (b"4:abc", 0, Cause::StringTooLong { len: 4, left: 3 }),
        (
            b"99999999999999999999999:a",
            0,
            Cause::StringTooLong {
                len: u64::MAX,
                left: 1,
            },
        ),
        (b"3abc", 1, Cause::BadLen { got: b'a' }),
        (b"12", 2, Cause::Truncated),
        (b"l", 1, Cause::Truncated),
        (b"li1e", 4, Cause::Truncated),
        (b"d", 1, Cause::Truncated),
        (b"d1:a", 4, Cause::Truncated),
        (b"d1:ae", 4, Cause::NoValue { got: b'e' }),
        (b"di1ei2ee", 1, Cause::KeyNotString { got: b'i' }),
        (b"i1ei2e", 3, Cause::TrailingBytes { len: 3 }),
        (b"de\n", 2, Cause::TrailingBytes { len: 1 }),
    ];
    for (input, offset, cause) in cases {
        let text = input.escape_ascii();
        assert_eq!(refused(input, TOLERANT), (*offset, *cause), "{text}");
        assert_eq!(refused(input, STRICT), (*offset, *cause), "{text}");
    }
}

#[test]
fn oddities_are_noted_where_tolerated_and_refused_where_not() {
    let cases: &[(&[u8], usize, Oddity)] = &[
        (b"i-0e", 0, Oddity::IntegerZeroes),
        (b"i007e", 0, Oddity::IntegerZeroes),
        (b"i-01e", 0, Oddity::IntegerZeroes),
        (b"l03:abce", 1, Oddity::LenZeroes),
        (b"d1:bi1e1:ai2ee", 7, Oddity::UnsortedKeys),
        (b"d1:ai1e1:ai2ee", 7, Oddity::DuplicateKey),
    ];
    for &(input, offset, oddity) in cases {
        let text = input.escape_ascii();
        let (_, noted) = decode_noting(input, TOLERANT).unwrap();
        assert_eq!(noted, [Noted { offset, oddity }], "{text}");
        assert_eq!(
            refused(input, STRICT),
            (offset, Cause::NotCanonical(oddity)),
            "{text}"
        );
    }
}

#[test]
fn the_first_of_duplicate_keys_counts_and_scattered_ones_are_noted_too() {
    let (root, noted) = decode_noting(b"d1:bi1e1:ai2e1:bi3ee", TOLERANT).unwrap();
    assert_eq!(root.get_int("b"), Some(1));
    let oddities: Vec<Oddity> = noted.iter().map(|n| n.oddity).collect();
    assert_eq!(oddities, [Oddity::UnsortedKeys, Oddity::DuplicateKey]);
    assert_eq!(noted[1].offset, 13);
}

#[test]
fn nesting_stops_at_the_limit_and_no_limit_exhausts_the_stack() {
    let nested = |depth| [vec![b'l'; depth], vec![b'e'; depth]].concat();
    assert!(decode(&nested(8), TOLERANT).is_ok());
    assert_eq!(
        refused(&nested(9), TOLERANT),
        (8, Cause::TooDeep { limit: 8 })
    );
    let boundless = Limits {
        depth_max: u32::MAX,
        values_max: u32::MAX,
        canonical: false,
    };
    let limit = DEPTH_MAX;
    assert_eq!(
        refused(&nested(1_000_000), boundless),
        (100, Cause::TooDeep { limit })
    );
    assert_eq!(
        refused(&b"d1:a".repeat(1_000_000), boundless),
        (400, Cause::TooDeep { limit })
    );
}

#[test]
fn the_number_of_values_stops_at_the_limit() {
    let list = |items| [&b"l"[..], &b"le".repeat(items), b"e"].concat();
    assert!(decode(&list(999), TOLERANT).is_ok());
    assert_eq!(
        refused(&list(1000), TOLERANT),
        (1999, Cause::TooManyValues { limit: 1000 })
    );
}

#[test]
fn no_more_oddities_are_kept_than_the_limit() {
    let (_, noted) =
        decode_noting(&[&b"l"[..], &b"i00e".repeat(900), b"e"].concat(), TOLERANT).unwrap();
    assert_eq!(noted.len(), NOTED_MAX);
}

#[test]
fn a_prefix_leaves_what_follows_it() {
    let (node, rest) = decode_prefix(b"d1:ai1eetail", STRICT).unwrap();
    assert_eq!((node.raw, rest), (&b"d1:ai1ee"[..], &b"tail"[..]));
}

#[test]
fn the_ends_of_the_integers_are_exact() {
    for int in [i64::MIN, i64::MIN + 1, -1, 0, 1, i64::MAX] {
        let encoded = Item::Int(int).encode();
        assert_eq!(encoded, format!("i{int}e").as_bytes());
        assert_eq!(decode(&encoded, STRICT).unwrap().as_int(), Some(int));
    }
}

#[test]
#[should_panic(expected = "keys are written in order")]
fn keys_out_of_order_are_a_broken_promise() {
    let mut out = Encoder::new();
    out.begin_dict().key("b").int(1).key("a");
}

#[test]
#[should_panic(expected = "keys are written in order")]
fn a_key_written_twice_is_a_broken_promise() {
    let mut out = Encoder::new();
    out.begin_dict().key("a").int(1).key("a");
}

#[test]
#[should_panic(expected = "a value in a dictionary follows its key")]
fn a_value_without_its_key_is_a_broken_promise() {
    Encoder::new().begin_dict().int(1);
}

#[test]
#[should_panic(expected = "every key has its value")]
fn a_key_without_its_value_is_a_broken_promise() {
    Encoder::new().begin_dict().key("a").end();
}

#[test]
#[should_panic(expected = "one value is written")]
fn two_values_are_a_broken_promise() {
    Encoder::new().int(1).int(2);
}

#[test]
#[should_panic(expected = "a key is put once")]
fn a_key_put_twice_is_a_broken_promise() {
    let _ = Dict::new().with("a", 1).with("a", 2);
}

fn any_item() -> impl Strategy<Value = Item> {
    let leaf = prop_oneof![
        any::<i64>().prop_map(Item::Int),
        proptest::collection::vec(any::<u8>(), 0..20).prop_map(Item::Bytes),
    ];
    leaf.prop_recursive(5, 64, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Item::List),
            proptest::collection::btree_map(
                proptest::collection::vec(any::<u8>(), 0..8),
                inner,
                0..6
            )
            .prop_map(|entries| {
                let mut dict = Dict::new();
                entries
                    .into_iter()
                    .for_each(|(key, item)| dict.put(key, item));
                Item::Dict(dict)
            }),
        ]
    })
}

fn item_of(node: &Node<'_>) -> Item {
    match &node.value {
        Value::Int(int) => Item::Int(*int),
        Value::Bytes(bytes) => Item::Bytes(bytes.to_vec()),
        Value::List(items) => Item::List(items.iter().map(item_of).collect()),
        Value::Dict(entries) => {
            let mut dict = Dict::new();
            entries
                .iter()
                .for_each(|(key, node)| dict.put(key, item_of(node)));
            Item::Dict(dict)
        }
    }
}

proptest! {
    #[test]
    fn every_value_comes_back_from_its_encoding(item in any_item()) {
        let encoded = item.encode();
        let node = decode(&encoded, Limits::CANONICAL).unwrap();
        prop_assert_eq!(item_of(&node), item);
    }

    /// Bytes from bencode's alphabet, so that much of it decodes.
    #[test]
    fn canonical_input_is_the_only_encoding_of_its_value(
        input in proptest::collection::vec(proptest::sample::select(b"ilde0123:-ab".to_vec()), 0..24)
    ) {
        if let Ok(node) = decode(&input, STRICT) {
            prop_assert_eq!(item_of(&node).encode(), input.clone());
        }
        if let Ok((_, noted)) = decode_noting(&input, TOLERANT) {
            prop_assert_eq!(noted.is_empty(), decode(&input, STRICT).is_ok());
        }
    }

    #[test]
    fn a_changed_byte_never_panics(item in any_item(), at: prop::sample::Index, byte: u8) {
        let mut encoded = item.encode();
        let at = at.index(encoded.len());
        encoded[at] = byte;
        let _ = decode_noting(&encoded, TOLERANT);
    }
}
