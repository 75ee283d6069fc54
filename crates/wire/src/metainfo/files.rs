//! The files of version 1: `length`, or the list `files` (BEP 3, with the attributes of BEP 47).

use super::{
    Attr, FILES_MAX, File, Link, PATH_COMPONENTS_MAX,
    error::{Field, MetainfoError, Warning},
    links, path,
    read::{bytes, required},
};
use crate::bencode::Node;

/// What BitComet names its padding files, which it does not mark.
const PADDING_NAME: &str = "_____padding_file_";

/// The one file of a torrent that has `length`.
pub(super) fn single(info: &Node<'_>) -> Result<File, MetainfoError> {
    let field = Field::top("info.length");
    let len = read_len(required(info, "length", field)?, field)?;
    Ok(File {
        path: Vec::new(),
        len,
        offset: 0,
        padding: false,
        root: None,
        attr: Attr {
            link: None,
            ..Flags::of(info).attr
        },
    })
}

/// The files of the list `files`.
pub(super) fn multiple(
    info: &Node<'_>,
    warnings: &mut Vec<Warning>,
) -> Result<Vec<File>, MetainfoError> {
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
        let flags = Flags::of(node);
        // A link has no bytes, whatever length stands beside it (BEP 47).
        let len = match flags.attr.link {
            Some(_) => 0,
            None => read_len(required(node, "length", field)?, field)?,
        };
        let path = read_path(
            node,
            Entry {
                index,
                len,
                flags: &flags,
            },
            warnings,
        )?;
        let padding = flags.padding || path.iter().any(|name| name.contains(PADDING_NAME));
        files.push(File {
            path,
            len,
            offset,
            padding,
            root: None,
            attr: if padding { Attr::default() } else { flags.attr },
        });
        offset = end_of(offset, len, field)?;
    }
    finish(&mut files, warnings)?;
    Ok(files)
}

/// Checks that no two files claim one place, and where links lead.
pub(super) fn finish(files: &mut [File], warnings: &mut Vec<Warning>) -> Result<(), MetainfoError> {
    // Padding files (BEP 47) are not written, and those of one length share one path.
    let written = files.iter().enumerate().filter(|(_, file)| !file.padding);
    path::check_conflicts(
        written.map(|(n, file)| (file.path.as_slice(), n)).collect(),
        warnings,
    )?;
    links::settle(files, warnings);
    Ok(())
}

/// The end of a file at `offset`, which must fit into the 63 bits that a torrent's integers have.
pub(super) fn end_of(offset: u64, len: u64, field: Field) -> Result<u64, MetainfoError> {
    offset
        .checked_add(len)
        .filter(|&sum| i64::try_from(sum).is_ok())
        .ok_or(MetainfoError::SizeOverflow { field })
}

/// The flags of `attr` (BEP 47); unknown ones are ignored.
pub(super) struct Flags {
    pub(super) padding: bool,
    /// A link is as it came: it is looked at when all files are known.
    pub(super) attr: Attr,
}

impl Flags {
    pub(super) fn of(file: &Node<'_>) -> Self {
        let flags = file.get_bytes("attr").unwrap_or_default();
        let has = |flag: u8| flags.contains(&flag);
        Self {
            padding: has(b'p'),
            attr: Attr {
                executable: has(b'x'),
                hidden: has(b'h'),
                link: has(b'l').then(|| link(file)),
            },
        }
    }
}

/// The target of a link; astray if it is no path, or has a component that no path may have.
fn link(file: &Node<'_>) -> Link {
    let names = file.get_list("symlink path").unwrap_or_default();
    let mut target = Vec::new();
    for name in names.iter().take(PATH_COMPONENTS_MAX + 1) {
        let Some(name) = name.as_bytes() else {
            return Link::Astray;
        };
        let name = path::text(name, &mut Vec::new());
        if path::fault(&name).is_some() {
            return Link::Astray;
        }
        target.push(name);
    }
    if target.is_empty() || target.len() > PATH_COMPONENTS_MAX {
        return Link::Astray;
    }
    Link::To(target)
}

/// What is known of an entry of `files` before its path.
struct Entry<'f> {
    index: usize,
    len: u64,
    flags: &'f Flags,
}

fn read_path(
    file: &Node<'_>,
    entry: Entry<'_>,
    warnings: &mut Vec<Warning>,
) -> Result<Vec<String>, MetainfoError> {
    let Entry { index, len, flags } = entry;
    let field = Field::of(index, "path");
    let utf8 = file
        .get_list("path.utf-8")
        .filter(|p| p.iter().all(|name| name.as_str().is_some()));
    let names = match utf8 {
        Some(names) if !names.is_empty() => names,
        // A padding file needs no path (BEP 47); this is the one that it recommends.
        _ if flags.padding && file.get_list("path").is_none_or(<[_]>::is_empty) => {
            return Ok(vec![".pad".to_owned(), len.to_string()]);
        }
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

pub(super) fn read_len(node: &Node<'_>, field: Field) -> Result<u64, MetainfoError> {
    let expected = "an integer";
    let got = node
        .as_int()
        .ok_or(MetainfoError::WrongType { field, expected })?;
    u64::try_from(got).map_err(|_| MetainfoError::NegativeLen { field, got })
}
