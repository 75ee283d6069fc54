//! Records as messages show them, and where two of them differ.

use skep_evidence::record::Record;
use skep_wire::bencode::{self, Limits, Value};

use crate::replay;

/// Greatest length of a record in a message, in characters.
const SHOWN_CHARS_MAX: usize = 200;

/// A record for a message: its fields as they are encoded, cut.
pub(super) fn describe(record: &Record) -> String {
    debug_assert!(
        !replay::by_driver(&record.body) || record.run > 0,
        "runs count from 1"
    );
    let encoded = record.encode();
    let fields = fields(&encoded);
    let mut text: Vec<String> = fields
        .iter()
        .map(|(name, value)| format!("{name}={}", shown(value)))
        .collect();
    text.insert(0, record.body.kind().to_owned());
    cut(&text.join(" "))
}

/// The first field of two records that differs, and what it is in each.
pub(super) fn first_difference(ledger: &[u8], replay: &[u8]) -> (String, String, String) {
    let (ledger, replay) = (fields(ledger), fields(replay));
    let of = |fields: &[(String, Vec<u8>)], name: &str| {
        fields
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.clone())
    };
    // The kind is the first thing to say where it differs: all other fields follow from it.
    let mut names: Vec<&String> = ledger.iter().chain(&replay).map(|(name, _)| name).collect();
    names.sort_by_key(|name| (*name != "kind", (*name).clone()));
    for name in names {
        let (one, two) = (of(&ledger, name), of(&replay, name));
        if one != two {
            let text =
                |value: Option<Vec<u8>>| value.map_or("absent".into(), |value| cut(&shown(&value)));
            return (name.clone(), text(one), text(two));
        }
    }
    ("none".into(), String::new(), String::new())
}

/// The top-level fields of an encoded record with their raw values.
fn fields(encoded: &[u8]) -> Vec<(String, Vec<u8>)> {
    let limits = Limits {
        depth_max: 8,
        values_max: 65_535,
        canonical: true,
    };
    let Ok(node) = bencode::decode(encoded, limits) else {
        return Vec::new();
    };
    let Value::Dict(entries) = node.value else {
        return Vec::new();
    };
    let field = |(name, node): &(&[u8], bencode::Node<'_>)| {
        (name.escape_ascii().to_string(), node.raw.to_vec())
    };
    entries.iter().map(field).collect()
}

/// A raw bencoded value as people read it: text and numbers plain, binary as hexadecimal.
fn shown(raw: &[u8]) -> String {
    if let [b'i', number @ .., b'e'] = raw {
        return number.escape_ascii().to_string();
    }
    let colon = raw.iter().position(|&byte| byte == b':');
    match colon {
        Some(colon) if raw[0].is_ascii_digit() => {
            let bytes = &raw[colon + 1..];
            match std::str::from_utf8(bytes) {
                Ok(text) if !text.contains(|char: char| char.is_control()) => {
                    format!("{text:?}")
                }
                _ => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
            }
        }
        _ => raw.escape_ascii().to_string(),
    }
}

fn cut(text: &str) -> String {
    let mut out: String = text.chars().take(SHOWN_CHARS_MAX).collect();
    if out.len() < text.len() {
        out.push('…');
    }
    out
}
