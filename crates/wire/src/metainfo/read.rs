//! Torrent files in.

use skep_hash::Sha1Digest;

use super::{
    FILE_BYTES_MAX, FILES_MAX, File, Info, Metainfo, PATH_COMPONENTS_MAX, PIECE_LEN_MAX,
    PIECES_MAX, URL_BYTES_MAX, URLS_MAX, VALUES_MAX,
    error::{Field, MetainfoError, Warning},
    path::{self, warn},
};
use crate::{
    InfoHash,
    bencode::{self, Limits, Node, Value},
};

/// Nesting: libtorrent's limit is 100 and real torrents need 6 (a path's component within a file
/// within the list of files within the info dictionary; version 2 trees more).
const LIMITS: Limits = Limits {
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
        let mut warnings = noted.into_iter().map(Warning::NotCanonical).collect();
        let info_node = required(&root, "info", Field::top("info"))?;
        if info_node.as_dict().is_none() {
            let expected = "a dictionary";
            return Err(MetainfoError::WrongType {
                field: Field::top("info"),
                expected,
            });
        }
        let info = read_info(info_node, &mut warnings)?;
        Ok(Self {
            info_hash: InfoHash(skep_hash::sha1(info_node.raw).0),
            info,
            info_bytes: info_node.raw.to_vec(),
            tiers: tiers(&root, &mut warnings),
            web_seeds: web_seeds(&root, &mut warnings),
            comment: text(&root, "comment.utf-8", &mut Vec::new())
                .or_else(|| text(&root, "comment", &mut warnings)),
            created_by: text(&root, "created by", &mut warnings),
            creation_date: creation_date(&root, &mut warnings),
            warnings,
        })
    }
}

fn read_info(info: &Node<'_>, warnings: &mut Vec<Warning>) -> Result<Info, MetainfoError> {
    check_version(info, warnings)?;
    let (name, single_file) = (read_name(info, warnings)?, info.get("files").is_none());
    let files = if single_file {
        vec![single(info)?]
    } else {
        if info.get("length").is_some() {
            warn(warnings, || Warning::FieldIgnored {
                field: "info.length",
            });
        }
        multiple(info, warnings)?
    };
    let last = files.last().ok_or(MetainfoError::NoFiles)?;
    let size_bytes = last.offset + last.len;
    if size_bytes == 0 {
        return Err(MetainfoError::NoContent);
    }
    let piece_len = read_piece_len(info)?;
    let pieces = read_pieces(info, size_bytes.div_ceil(piece_len.into()))?;
    let private = match info.get("private").map(|node| &node.value) {
        Some(Value::Int(int)) => *int != 0,
        Some(Value::Bytes(_) | Value::List(_) | Value::Dict(_)) => {
            warn(warnings, || Warning::FieldIgnored {
                field: "info.private",
            });
            false
        }
        None => false,
    };
    let source = text(info, "source", warnings);
    Ok(Info {
        name,
        piece_len,
        pieces,
        files,
        single_file,
        private,
        source,
        size_bytes,
    })
}

/// BEP 52 has the version checked before anything else.
fn check_version(info: &Node<'_>, warnings: &mut Vec<Warning>) -> Result<(), MetainfoError> {
    match info.get_int("meta version") {
        None | Some(1) => Ok(()),
        Some(2) if info.get("pieces").is_none() => Err(MetainfoError::V2Only),
        Some(2) => {
            warn(warnings, || Warning::Hybrid);
            Ok(())
        }
        Some(got) => Err(MetainfoError::Version { got }),
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

fn single(info: &Node<'_>) -> Result<File, MetainfoError> {
    let field = Field::top("info.length");
    let len = read_len(required(info, "length", field)?, field)?;
    Ok(File {
        path: Vec::new(),
        len,
        offset: 0,
        padding: false,
    })
}

fn multiple(info: &Node<'_>, warnings: &mut Vec<Warning>) -> Result<Vec<File>, MetainfoError> {
    let nodes = info.get_list("files").ok_or(MetainfoError::WrongType {
        field: Field::top("info.files"),
        expected: "a list",
    })?;
    if nodes.len() > FILES_MAX {
        return Err(MetainfoError::TooManyFiles {
            got: nodes.len(),
            limit: FILES_MAX,
        });
    }
    let mut files = Vec::with_capacity(nodes.len());
    let mut offset = 0u64;
    for (index, node) in nodes.iter().enumerate() {
        if node.as_dict().is_none() {
            let (field, expected) = (Field::of(index, "*"), "a dictionary");
            return Err(MetainfoError::WrongType { field, expected });
        }
        let field = Field::of(index, "length");
        let len = read_len(required(node, "length", field)?, field)?;
        let attrs = node.get_bytes("attr").unwrap_or_default();
        if attrs.contains(&b'l') {
            warn(warnings, || Warning::FieldIgnored {
                field: "info.files[].symlink path",
            });
        }
        let path = read_path(node, index, warnings)?;
        files.push(File {
            path,
            len,
            offset,
            padding: attrs.contains(&b'p'),
        });
        offset = offset
            .checked_add(len)
            .filter(|&sum| i64::try_from(sum).is_ok())
            .ok_or(MetainfoError::SizeOverflow { field })?;
    }
    // Padding files (BEP 47) are not written, and those of one length share one path.
    let written = files.iter().enumerate().filter(|(_, file)| !file.padding);
    path::check_conflicts(
        written.map(|(n, file)| (file.path.as_slice(), n)).collect(),
        warnings,
    )?;
    Ok(files)
}

fn read_path(
    file: &Node<'_>,
    index: usize,
    warnings: &mut Vec<Warning>,
) -> Result<Vec<String>, MetainfoError> {
    let field = Field::of(index, "path");
    let utf8 = file
        .get_list("path.utf-8")
        .filter(|p| p.iter().all(|name| name.as_str().is_some()));
    let names = match utf8 {
        Some(names) if !names.is_empty() => names,
        _ => required(file, "path", field)?
            .as_list()
            .ok_or(MetainfoError::WrongType {
                field,
                expected: "a list",
            })?,
    };
    if names.is_empty() {
        return Err(MetainfoError::EmptyPath { field });
    }
    if names.len() > PATH_COMPONENTS_MAX {
        let (got, limit) = (names.len(), PATH_COMPONENTS_MAX);
        return Err(MetainfoError::PathTooDeep { field, got, limit });
    }
    let mut path = Vec::with_capacity(names.len());
    for name in names {
        let name = path::text(bytes(name, field)?, warnings);
        path::check_name(&name, field, warnings)?;
        path.push(name);
    }
    Ok(path)
}

fn read_len(node: &Node<'_>, field: Field) -> Result<u64, MetainfoError> {
    let expected = "an integer";
    let got = node
        .as_int()
        .ok_or(MetainfoError::WrongType { field, expected })?;
    u64::try_from(got).map_err(|_| MetainfoError::NegativeLen { field, got })
}

fn read_piece_len(info: &Node<'_>) -> Result<u32, MetainfoError> {
    let field = Field::top("info.piece length");
    let expected = "an integer";
    let got = required(info, "piece length", field)?
        .as_int()
        .ok_or(MetainfoError::WrongType { field, expected })?;
    match u32::try_from(got) {
        Ok(len) if (1..=PIECE_LEN_MAX).contains(&len) => Ok(len),
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

fn required<'n, 'a>(
    dict: &'n Node<'a>,
    key: &str,
    field: Field,
) -> Result<&'n Node<'a>, MetainfoError> {
    dict.get(key).ok_or(MetainfoError::Missing { field })
}

fn bytes<'a>(node: &Node<'a>, field: Field) -> Result<&'a [u8], MetainfoError> {
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

/// Trackers: `announce-list` if it names any, else `announce` (BEP 12).
fn tiers(root: &Node<'_>, warnings: &mut Vec<Warning>) -> Vec<Vec<String>> {
    let mut urls = Urls {
        field: "announce-list",
        count: 0,
        warnings,
    };
    let mut tiers = Vec::new();
    if let Some(list) = root.get("announce-list") {
        for tier in urls.list(list) {
            let items = urls.list(tier);
            let tier: Vec<String> = items.iter().filter_map(|item| urls.url(item)).collect();
            if !tier.is_empty() {
                tiers.push(tier);
            }
        }
    }
    if tiers.is_empty() {
        urls.field = "announce";
        tiers.extend(
            root.get("announce")
                .and_then(|node| urls.url(node))
                .map(|url| vec![url]),
        );
    }
    tiers
}

/// Web seeds: one string or a list of them (BEP 19).
fn web_seeds(root: &Node<'_>, warnings: &mut Vec<Warning>) -> Vec<String> {
    let Some(node) = root.get("url-list") else {
        return Vec::new();
    };
    let mut urls = Urls {
        field: "url-list",
        count: 0,
        warnings,
    };
    match &node.value {
        Value::List(items) => items.iter().filter_map(|item| urls.url(item)).collect(),
        Value::Bytes(_) | Value::Int(_) | Value::Dict(_) => urls.url(node).into_iter().collect(),
    }
}

/// Reads URLs of one field, each with a warning where it is unusable.
struct Urls<'w> {
    field: &'static str,
    count: usize,
    warnings: &'w mut Vec<Warning>,
}

impl Urls<'_> {
    fn list<'n, 'a>(&mut self, node: &'n Node<'a>) -> &'n [Node<'a>] {
        node.as_list().unwrap_or_else(|| {
            self.ignored();
            &[]
        })
    }

    /// The URL without white space around it; none for an empty string, which makers leave there.
    fn url(&mut self, node: &Node<'_>) -> Option<String> {
        let Some(url) = node
            .as_str()
            .map(str::trim)
            .filter(|url| url.len() <= URL_BYTES_MAX)
        else {
            self.ignored();
            return None;
        };
        if url.is_empty() {
            return None;
        }
        self.count += 1;
        if self.count > URLS_MAX {
            if self.count == URLS_MAX + 1 {
                let field = self.field;
                warn(self.warnings, || Warning::ListCut {
                    field,
                    limit: URLS_MAX,
                });
            }
            return None;
        }
        Some(url.to_owned())
    }

    fn ignored(&mut self) {
        let warning = Warning::FieldIgnored { field: self.field };
        if !self.warnings.contains(&warning) {
            warn(self.warnings, || warning);
        }
    }
}
