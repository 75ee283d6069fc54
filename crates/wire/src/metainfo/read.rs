//! Torrent files in.

use skep_hash::Sha1Digest;

use super::{
    FILE_BYTES_MAX, File, Info, Metainfo, PIECE_LEN_MAX, PIECE_LEN_MIN_V2, PIECES_MAX, VALUES_MAX,
    Version,
    error::{Field, MetainfoError, Warning},
    files, hybrid, layers,
    path::{self, warn},
    tree, urls,
};
use crate::{
    InfoHash, InfoHashV2,
    bencode::{self, Limits, Node, Value},
};

/// Nesting: libtorrent's limit is 100 and real torrents need 6 (a path's component within a file
/// within the list of files within the info dictionary; version 2 trees more).
pub(super) const LIMITS: Limits = Limits {
    depth_max: 100,
    values_max: VALUES_MAX,
    canonical: false,
};

impl Metainfo {
    /// Reads a torrent file.
    ///
    /// # Errors
    ///
    /// [`MetainfoError`]. What skep does not need (trackers, comment, date) is left out with a
    /// [`Warning`] where it is malformed.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, MetainfoError> {
        if bytes.len() > FILE_BYTES_MAX {
            return Err(MetainfoError::FileTooLong {
                len: bytes.len(),
                limit: FILE_BYTES_MAX,
            });
        }
        let (root, noted) = bencode::decode_noting(bytes, LIMITS)?;
        if root.as_dict().is_none() {
            let expected = "a dictionary";
            return Err(MetainfoError::WrongType {
                field: Field::top("torrent file"),
                expected,
            });
        }
        let is_canonical = noted.is_empty();
        let mut warnings = noted.into_iter().map(Warning::NotCanonical).collect();
        let info_node = required(&root, "info", Field::top("info"))?;
        if info_node.as_dict().is_none() {
            let expected = "a dictionary";
            return Err(MetainfoError::WrongType {
                field: Field::top("info"),
                expected,
            });
        }
        // Whoever re-encodes what it decoded has another info-hash: BEP 52 has such torrents refused. Only
        // where something was noted is it asked again whether that lies in `info`.
        if !is_canonical && info_node.get_int("meta version").is_some() {
            let (_, noted) = bencode::decode_noting(info_node.raw, LIMITS)?;
            if let Some(&first) = noted.first() {
                return Err(MetainfoError::InfoNotCanonical(first));
            }
        }
        let version = read_version(info_node, &mut warnings)?;
        let info = read_info(&root, info_node, version, &mut warnings)?;
        let v2 = version
            .has_v2()
            .then(|| InfoHashV2(skep_hash::sha256(info_node.raw).0));
        let v1 = || InfoHash(skep_hash::sha1(info_node.raw).0);
        Ok(Self {
            info_hash: match (version, v2) {
                (Version::V2, Some(v2)) => v2.truncated(),
                (Version::V1 | Version::Hybrid | Version::V2, _) => v1(),
            },
            info_hash_v2: v2,
            info,
            info_bytes: info_node.raw.to_vec(),
            tiers: urls::tiers(&root, &mut warnings),
            web_seeds: urls::web_seeds(&root, &mut warnings),
            comment: text(&root, "comment.utf-8", &mut Vec::new())
                .or_else(|| text(&root, "comment", &mut warnings)),
            created_by: text(&root, "created by", &mut warnings),
            creation_date: creation_date(&root, &mut warnings),
            warnings,
        })
    }
}

/// BEP 52 has the version checked before anything else.
fn read_version(info: &Node<'_>, warnings: &mut Vec<Warning>) -> Result<Version, MetainfoError> {
    let version = info.get_int("meta version");
    match version {
        None | Some(1) if info.get("file tree").is_some() => Err(MetainfoError::TreeWithoutVersion),
        None | Some(1) => Ok(Version::V1),
        Some(2) => {
            let has_files = info.get("files").is_some() || info.get("length").is_some();
            let has_pieces = info.get("pieces").is_some();
            let mut ignore = |field| warn(warnings, || Warning::FieldIgnored { field });
            match (has_pieces, has_files) {
                (true, true) => return Ok(Version::Hybrid),
                (true, false) => ignore("info.pieces"),
                (false, true) => ignore("info.files"),
                (false, false) => {}
            }
            Ok(Version::V2)
        }
        Some(got) => Err(MetainfoError::Version { got }),
    }
}

fn read_info(
    root: &Node<'_>,
    info: &Node<'_>,
    version: Version,
    warnings: &mut Vec<Warning>,
) -> Result<Info, MetainfoError> {
    let mut name = read_name(info, warnings)?;
    let is_list = info.get("files").is_some();
    let (files, single_file) = match version {
        Version::V1 => (read_files(info, warnings)?, !is_list),
        Version::V2 => {
            let tree = tree::read(info, read_piece_len(info, version)?, warnings)?;
            let mut files = tree.files;
            if tree.is_single
                && !is_list
                && let Some(own) = files.first_mut().and_then(|file| file.path.pop())
            {
                let named = std::mem::replace(&mut name, own);
                if named != name {
                    warn(warnings, || Warning::NameOfFile { name: named });
                }
            }
            let single_file = matches!(files.as_slice(), [file] if file.path.is_empty());
            (files, single_file)
        }
        Version::Hybrid => {
            let piece_len = read_piece_len(info, version)?;
            // What is wrong with a name is said once.
            let tree = tree::read(info, piece_len, &mut Vec::new())?;
            let mut files = read_files(info, warnings)?;
            // The tree names the file that is alone, the list leaves it to the torrent.
            let single = if is_list { None } else { files.first_mut() };
            if let Some(file) = single {
                file.path.push(name.clone());
            }
            hybrid::join(&mut files, tree.files, piece_len)?;
            if !is_list {
                files.iter_mut().for_each(|file| file.path.clear());
            }
            (files, !is_list)
        }
    };
    let last = files.last().ok_or(MetainfoError::NoFiles)?;
    let size_bytes = last.offset + last.len;
    if size_bytes == 0 {
        return Err(MetainfoError::NoContent);
    }
    let piece_len = read_piece_len(info, version)?;
    let count = size_bytes.div_ceil(piece_len.into());
    let pieces = match version {
        Version::V1 | Version::Hybrid => read_pieces(info, count)?,
        Version::V2 if count > PIECES_MAX.into() => {
            let (got, limit) = (count, PIECES_MAX);
            return Err(MetainfoError::TooManyPieces { got, limit });
        }
        Version::V2 => Vec::new(),
    };
    let pieces_v2 = match version {
        Version::V1 => Vec::new(),
        Version::V2 | Version::Hybrid => layers::read(root, &name, &files, piece_len)?,
    };
    Ok(Info {
        version,
        name,
        piece_len,
        pieces,
        pieces_v2,
        files,
        single_file,
        private: private(info, warnings),
        source: text(info, "source", warnings),
        size_bytes,
    })
}

/// The files of version 1.
fn read_files(info: &Node<'_>, warnings: &mut Vec<Warning>) -> Result<Vec<File>, MetainfoError> {
    if info.get("files").is_none() {
        return Ok(vec![files::single(info)?]);
    }
    if info.get("length").is_some() {
        warn(warnings, || Warning::FieldIgnored {
            field: "info.length",
        });
    }
    files::multiple(info, warnings)
}

fn private(info: &Node<'_>, warnings: &mut Vec<Warning>) -> bool {
    match info.get("private").map(|node| &node.value) {
        Some(Value::Int(int)) => *int != 0,
        Some(Value::Bytes(_) | Value::List(_) | Value::Dict(_)) => {
            warn(warnings, || Warning::FieldIgnored {
                field: "info.private",
            });
            false
        }
        None => false,
    }
}

fn read_name(info: &Node<'_>, warnings: &mut Vec<Warning>) -> Result<String, MetainfoError> {
    let field = Field::top("info.name");
    let name = match info.get_str("name.utf-8") {
        Some(name) => name.to_owned(),
        None => path::text(bytes(required(info, "name", field)?, field)?, warnings),
    };
    path::check_name(&name, field, warnings)?;
    Ok(name)
}

fn read_piece_len(info: &Node<'_>, version: Version) -> Result<u32, MetainfoError> {
    let field = Field::top("info.piece length");
    let expected = "an integer";
    let got = required(info, "piece length", field)?
        .as_int()
        .ok_or(MetainfoError::WrongType { field, expected })?;
    match u32::try_from(got) {
        Ok(got) if (1..=PIECE_LEN_MAX).contains(&got) => {
            let fits_v2 = got >= PIECE_LEN_MIN_V2 && got.is_power_of_two();
            if version.has_v2() && !fits_v2 {
                return Err(MetainfoError::PieceLenV2 { got });
            }
            Ok(got)
        }
        _ => Err(MetainfoError::PieceLen {
            got,
            limit: PIECE_LEN_MAX,
        }),
    }
}

fn read_pieces(info: &Node<'_>, expected: u64) -> Result<Vec<Sha1Digest>, MetainfoError> {
    let field = Field::top("info.pieces");
    let bytes = bytes(required(info, "pieces", field)?, field)?;
    let (digests, []) = bytes.as_chunks::<20>() else {
        return Err(MetainfoError::PiecesLen { len: bytes.len() });
    };
    let got = digests.len() as u64;
    if got > u64::from(PIECES_MAX) {
        return Err(MetainfoError::TooManyPieces {
            got,
            limit: PIECES_MAX,
        });
    }
    if got != expected {
        return Err(MetainfoError::PieceCount { got, expected });
    }
    Ok(digests.iter().map(|&digest| Sha1Digest(digest)).collect())
}

pub(super) fn required<'n, 'a>(
    dict: &'n Node<'a>,
    key: &str,
    field: Field,
) -> Result<&'n Node<'a>, MetainfoError> {
    dict.get(key).ok_or(MetainfoError::Missing { field })
}

pub(super) fn bytes<'a>(node: &Node<'a>, field: Field) -> Result<&'a [u8], MetainfoError> {
    node.as_bytes().ok_or(MetainfoError::WrongType {
        field,
        expected: "a string",
    })
}

/// An optional text; left out with a warning if it is not UTF-8 text.
fn text(dict: &Node<'_>, key: &'static str, warnings: &mut Vec<Warning>) -> Option<String> {
    let node = dict.get(key)?;
    let text = node.as_str();
    if text.is_none() {
        warn(warnings, || Warning::FieldIgnored { field: key });
    }
    text.map(str::to_owned)
}

fn creation_date(root: &Node<'_>, warnings: &mut Vec<Warning>) -> Option<i64> {
    let date = root.get("creation date")?.as_int();
    if date.is_none() {
        warn(warnings, || Warning::FieldIgnored {
            field: "creation date",
        });
    }
    date
}
