//! Torrent files out.

use super::{Info, Metainfo, error::MetainfoError};
use crate::bencode::{Dict, Item};

/// A torrent file to be written: what is in it besides what follows from that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// The info dictionary. `offset`s and `size_bytes` follow from the lengths and are not read.
    pub info: Info,
    /// Trackers in tiers.
    pub tiers: Vec<Vec<String>>,
    /// `url-list`.
    pub web_seeds: Vec<String>,
    /// `comment`.
    pub comment: Option<String>,
    /// `created by`.
    pub created_by: Option<String>,
    /// `creation date`, seconds since 1970 in UTC.
    pub creation_date: Option<i64>,
}

impl Draft {
    /// The canonical torrent file: the same draft gives the same bytes.
    ///
    /// `announce` is the first tracker, for clients that do not know tiers; `announce-list` is
    /// written if there is a second one.
    ///
    /// # Errors
    ///
    /// [`MetainfoError`] that reading the file again gives.
    pub fn encode(&self) -> Result<Vec<u8>, MetainfoError> {
        let tiers: Vec<&Vec<String>> = self.tiers.iter().filter(|tier| !tier.is_empty()).collect();
        let tracker_count: usize = tiers.iter().map(|tier| tier.len()).sum();
        let announce = tiers.first().and_then(|tier| tier.first()).cloned();
        let announce_list = (tracker_count > 1).then(|| tiers.into_iter().map(texts).collect());
        let web_seeds = match self.web_seeds.as_slice() {
            [] => None,
            [one] => Some(Item::from(one.as_str())),
            several => Some(texts(several)),
        };
        let bytes = Dict::new()
            .with_some("announce", announce)
            .with_some("announce-list", announce_list.map(Item::List))
            .with_some("comment", self.comment.clone())
            .with_some("created by", self.created_by.clone())
            .with_some("creation date", self.creation_date)
            .with("info", info(&self.info))
            .with_some("url-list", web_seeds)
            .encode();
        Metainfo::from_bytes(&bytes)?;
        Ok(bytes)
    }
}

fn info(info: &Info) -> Dict {
    let pieces: Vec<u8> = info.pieces.iter().flat_map(|digest| digest.0).collect();
    let mut out = Dict::new()
        .with("name", info.name.as_str())
        .with("piece length", info.piece_len)
        .with("pieces", pieces)
        .with_some("private", info.private.then_some(1))
        .with_some("source", info.source.clone());
    let len = |len| Item::Int(i64::try_from(len).unwrap_or(i64::MAX));
    match info.files.as_slice() {
        [file] if info.single_file => out.put("length", len(file.len)),
        files => {
            let item = |file: &super::File| {
                Dict::new()
                    .with_some("attr", file.padding.then_some("p"))
                    .with("length", len(file.len))
                    .with("path", texts(&file.path))
                    .into()
            };
            out.put("files", files.iter().map(item).collect::<Vec<Item>>());
        }
    }
    out
}

fn texts<'a>(texts: impl IntoIterator<Item = &'a String>) -> Item {
    Item::list(texts.into_iter().map(String::as_str))
}
