//! Torrent files out.

use std::collections::BTreeMap;

use super::{File, Info, Link, Metainfo, error::MetainfoError, path};
use crate::bencode::{Dict, Item};

/// A torrent file to be written: what is in it besides what follows from that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// The info dictionary, and the piece hashes of version 2. `offset`s and `size_bytes` follow from the
    /// lengths and are not read. The padding of a hybrid is written as it is in the list.
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
        let (announce, announce_list) = trackers(&self.tiers);
        // What could not be written as it is, such as two files of one path, is an error here already.
        let written = self.info.files.iter().filter(|file| !file.padding);
        let paths = written
            .enumerate()
            .map(|(n, file)| (file.path.as_slice(), n));
        path::check_conflicts(paths.collect(), &mut Vec::new())?;
        let info = info(&self.info);
        let layers = self.info.version.has_v2().then(|| layers(&self.info));
        let bytes = Dict::new()
            .with_some("announce", announce)
            .with_some("announce-list", announce_list)
            .with_some("comment", self.comment.clone())
            .with_some("created by", self.created_by.clone())
            .with_some("creation date", self.creation_date)
            .with("info", info)
            .with_some("piece layers", layers)
            .with_some("url-list", web_seeds(&self.web_seeds))
            .encode();
        Metainfo::from_bytes(&bytes)?;
        Ok(bytes)
    }
}

/// `announce` and `announce-list`.
pub(super) fn trackers(tiers: &[Vec<String>]) -> (Option<Item>, Option<Item>) {
    let tiers: Vec<&Vec<String>> = tiers.iter().filter(|tier| !tier.is_empty()).collect();
    let count: usize = tiers.iter().map(|tier| tier.len()).sum();
    let announce = tiers.first().and_then(|tier| tier.first()).cloned();
    let list = (count > 1).then(|| Item::List(tiers.into_iter().map(texts).collect()));
    (announce.map(Item::from), list)
}

/// `url-list`.
pub(super) fn web_seeds(urls: &[String]) -> Option<Item> {
    match urls {
        [] => None,
        [one] => Some(Item::from(one.as_str())),
        several => Some(texts(several)),
    }
}

fn info(info: &Info) -> Dict {
    let mut out = Dict::new()
        .with("name", info.name.as_str())
        .with("piece length", info.piece_len)
        .with_some("private", info.private.then_some(1))
        .with_some("source", info.source.clone());
    if info.version.has_v1() {
        let pieces: Vec<u8> = info.pieces.iter().flat_map(|digest| digest.0).collect();
        out.put("pieces", pieces);
        match info.files.as_slice() {
            [file] if info.single_file => {
                out.put("length", int(file.len));
                if let Some(flags) = flags(file) {
                    out.put("attr", flags);
                }
            }
            files => out.put("files", files.iter().map(entry).collect::<Vec<Item>>()),
        }
    }
    if info.version.has_v2() {
        out.put("meta version", 2);
        out.put("file tree", tree(info));
    }
    out
}

/// A file in the list of version 1.
fn entry(file: &File) -> Item {
    properties(file).with("path", texts(&file.path)).into()
}

/// What the list and the tree say of a file alike.
fn properties(file: &File) -> Dict {
    let target = match &file.attr.link {
        Some(Link::To(target)) => Some(texts(target)),
        Some(Link::Astray) | None => None,
    };
    Dict::new()
        .with_some("attr", flags(file))
        .with("length", int(file.len))
        .with_some("symlink path", target)
}

/// The flags in the order in which BEP 47 and libtorrent write them.
fn flags(file: &File) -> Option<String> {
    let flags: String = [
        (file.padding, 'p'),
        (file.attr.hidden, 'h'),
        (file.attr.executable, 'x'),
        (file.attr.link.is_some(), 'l'),
    ]
    .into_iter()
    .filter_map(|(is_set, flag)| is_set.then_some(flag))
    .collect();
    (!flags.is_empty()).then_some(flags)
}

/// The file tree of version 2, in the order of its names.
fn tree(info: &Info) -> Dict {
    let name = std::slice::from_ref(&info.name);
    let mut files: Vec<(&[String], &File)> = info
        .files
        .iter()
        .filter(|file| !file.padding)
        .map(|file| {
            let is_top = info.single_file && file.path.is_empty();
            (if is_top { name } else { file.path.as_slice() }, file)
        })
        .collect();
    files.sort_by_key(|(path, _)| *path);
    folder(&files, 0)
}

/// The folder of `files`, whose paths begin alike up to `depth`; sorted.
fn folder(files: &[(&[String], &File)], depth: usize) -> Dict {
    let mut out = Dict::new();
    for group in files.chunk_by(|(a, _), (b, _)| a.get(depth) == b.get(depth)) {
        let [(path, file), ..] = group else { continue };
        let Some(name) = path.get(depth) else {
            continue;
        };
        if path.len() == depth + 1 {
            let root = file.root.map(|root| root.0.to_vec());
            let file = properties(file).with_some("pieces root", root);
            out.put(name, Dict::new().with("", file));
        } else {
            out.put(name, folder(group, depth + 1));
        }
    }
    out
}

/// The piece layers of the files that are longer than a piece.
fn layers(info: &Info) -> Dict {
    let mut layers = BTreeMap::new();
    let piece_len = u64::from(info.piece_len.max(1));
    let mut pieces = info.pieces_v2.as_slice();
    for file in info.files.iter().filter(|file| !file.padding) {
        // A draft with too few hashes is refused when it is read again.
        let count = usize::try_from(file.len.div_ceil(piece_len)).unwrap_or(usize::MAX);
        let (layer, rest) = pieces.split_at(count.min(pieces.len()));
        pieces = rest;
        if let (Some(root), true) = (file.root, file.len > piece_len) {
            let layer: Vec<u8> = layer.iter().flat_map(|hash| hash.0).collect();
            layers.insert(root.0, layer);
        }
    }
    let mut out = Dict::new();
    for (root, layer) in layers {
        out.put(root, layer);
    }
    out
}

fn int(len: u64) -> Item {
    Item::Int(i64::try_from(len).unwrap_or(i64::MAX))
}

fn texts<'a>(texts: impl IntoIterator<Item = &'a String>) -> Item {
    Item::list(texts.into_iter().map(String::as_str))
}
