//! Changing what lies around the info dictionary of a torrent file.
//!
//! Everything that is not changed stays byte for byte, also what nobody here knows or what is not canonical,
//! and the info dictionary always: the torrent keeps its info-hashes.

use std::collections::BTreeMap;

use super::{Metainfo, error::MetainfoError, read::LIMITS, write};
use crate::bencode::{self, DecodeError, Item};

/// What to change. `None` leaves a thing as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Edit {
    /// The trackers in tiers (`announce`, `announce-list`); empty for none.
    pub tiers: Option<Vec<Vec<String>>>,
    /// The web seeds (`url-list`); empty for none.
    pub web_seeds: Option<Vec<String>>,
    /// The comment (`comment`, and `comment.utf-8`, which would count more); `Some(None)` for none.
    pub comment: Option<Option<String>>,
}

impl Edit {
    /// The torrent file with the changes.
    ///
    /// # Errors
    ///
    /// [`MetainfoError`] if `torrent` is not one, or would not be one any more.
    pub fn apply(&self, torrent: &[u8]) -> Result<Vec<u8>, MetainfoError> {
        Metainfo::from_bytes(torrent)?;
        let mut changes = BTreeMap::new();
        if let Some(tiers) = &self.tiers {
            let (announce, list) = write::trackers(tiers);
            changes.insert("announce", announce);
            changes.insert("announce-list", list);
        }
        if let Some(web_seeds) = &self.web_seeds {
            changes.insert("url-list", write::web_seeds(web_seeds));
        }
        if let Some(comment) = &self.comment {
            changes.insert("comment", comment.clone().map(Item::from));
            changes.insert("comment.utf-8", None);
        }
        let edited = splice(torrent, &changes)?;
        Metainfo::from_bytes(&edited)?;
        Ok(edited)
    }
}

/// An info dictionary with another `source`: that of another torrent, as its hash is another.
///
/// # Errors
///
/// [`DecodeError`] if `info` is no bencode.
pub fn with_source(info: &[u8], source: &str) -> Result<Vec<u8>, DecodeError> {
    splice(
        info,
        &BTreeMap::from([("source", Some(Item::from(source)))]),
    )
}

/// A dictionary with other values for some keys, or without them; all the rest stays as it is, the order too.
/// What is not a dictionary is returned as it is.
fn splice(dict: &[u8], changes: &BTreeMap<&str, Option<Item>>) -> Result<Vec<u8>, DecodeError> {
    let (root, _) = bencode::decode_noting(dict, LIMITS)?;
    let Some(entries) = root.as_dict() else {
        return Ok(dict.to_vec());
    };
    let mut out = b"d".to_vec();
    let mut due: BTreeMap<&[u8], &Item> = changes
        .iter()
        .filter_map(|(key, item)| Some((key.as_bytes(), item.as_ref()?)))
        .collect();
    let mut rest = dict.get(1..).unwrap_or_default();
    for (key, value) in entries {
        // The value is a part of `rest`; what is before it is the key as it came.
        let begin = value.raw.as_ptr().addr() - rest.as_ptr().addr();
        let (entry, after) = rest.split_at(begin + value.raw.len());
        rest = after;
        while let Some((&first, _)) = due.first_key_value()
            && first < *key
        {
            let (key, item) = due.pop_first().expect("it has a first");
            put(&mut out, key, item);
        }
        let is_changed = std::str::from_utf8(key).is_ok_and(|key| changes.contains_key(key));
        if !is_changed {
            out.extend(entry);
        } else if let Some(item) = due.remove(key) {
            put(&mut out, key, item);
        }
    }
    for (key, item) in due {
        put(&mut out, key, item);
    }
    out.push(b'e');
    Ok(out)
}

fn put(out: &mut Vec<u8>, key: &[u8], item: &Item) {
    out.extend(format!("{}:", key.len()).bytes());
    out.extend(key);
    let mut encoder = bencode::Encoder::new();
    encoder.item(item);
    out.extend(encoder.finish());
}
