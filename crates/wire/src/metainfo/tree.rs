//! The files of version 2: the file tree (BEP 52).

use skep_hash::Sha256Digest;

use super::{
    FILES_MAX, File, PATH_COMPONENTS_MAX,
    error::{Field, MetainfoError, Warning},
    files::{self, Flags, end_of, read_len},
    path::{self, warn},
    read::required,
};
use crate::bencode::Node;

/// The files of a tree.
pub(super) struct Tree {
    /// In the order of the tree, each that is not empty at a multiple of the piece length; the paths are
    /// below the tree.
    pub(super) files: Vec<File>,
    /// Whether the tree is nothing but a file at its top: `{NAME: {"": {..}}}`.
    pub(super) is_single: bool,
}

/// Reads the file tree.
pub(super) fn read(
    info: &Node<'_>,
    piece_len: u32,
    warnings: &mut Vec<Warning>,
) -> Result<Tree, MetainfoError> {
    let field = Field::top("info.file tree");
    let root = required(info, "file tree", field)?;
    let Some(entries) = root.as_dict() else {
        let expected = "a dictionary";
        return Err(MetainfoError::WrongType { field, expected });
    };
    let is_single = matches!(entries, [(_, one)] if leaf(one).is_some());
    let mut walk = Walk {
        piece_len,
        files: Vec::new(),
        end: 0,
        warnings,
    };
    walk.folder(entries, &mut Vec::new())?;
    let mut files = walk.files;
    files::finish(&mut files, warnings)?;
    Ok(Tree { files, is_single })
}

/// The properties of a file, if the entry is one: a dictionary with the empty key alone.
fn leaf<'n, 'a>(node: &'n Node<'a>) -> Option<&'n Node<'a>> {
    match node.as_dict() {
        Some([(b"", properties)]) => Some(properties),
        _ => None,
    }
}

struct Walk<'w> {
    piece_len: u32,
    files: Vec<File>,
    /// Where the last file ended.
    end: u64,
    warnings: &'w mut Vec<Warning>,
}

impl Walk<'_> {
    /// Adds what is in a folder. Recurses, at most [`PATH_COMPONENTS_MAX`] deep.
    fn folder(
        &mut self,
        entries: &[(&[u8], Node<'_>)],
        path: &mut Vec<String>,
    ) -> Result<(), MetainfoError> {
        let field = Field::in_tree(self.files.len(), "path");
        if path.len() >= PATH_COMPONENTS_MAX {
            let (got, limit) = (path.len() + 1, PATH_COMPONENTS_MAX);
            return Err(MetainfoError::PathTooDeep { field, got, limit });
        }
        for (name, node) in entries {
            if name.is_empty() {
                let path = path.join("/");
                return Err(MetainfoError::FolderIsFile { path });
            }
            let field = Field::in_tree(self.files.len(), "path");
            let name = path::text(name, self.warnings);
            path::check_name(&name, field, self.warnings)?;
            path.push(name);
            match (leaf(node), node.as_dict()) {
                (Some(properties), _) => self.file(properties, path.clone())?,
                (None, Some([])) => warn(self.warnings, || Warning::FolderEmpty {
                    path: path.join("/"),
                }),
                (None, Some(entries)) => self.folder(entries, path)?,
                (None, None) => {
                    let expected = "a dictionary";
                    let field = Field::in_tree(self.files.len(), "*");
                    return Err(MetainfoError::WrongType { field, expected });
                }
            }
            path.pop();
        }
        Ok(())
    }

    fn file(&mut self, node: &Node<'_>, path: Vec<String>) -> Result<(), MetainfoError> {
        let index = self.files.len();
        if index >= FILES_MAX {
            let (got, limit) = (index + 1, FILES_MAX);
            return Err(MetainfoError::TooManyFiles { got, limit });
        }
        if node.as_dict().is_none() {
            let (field, expected) = (Field::in_tree(index, "*"), "a dictionary");
            return Err(MetainfoError::WrongType { field, expected });
        }
        let flags = Flags::of(node);
        if flags.padding {
            let field = Field::in_tree(index, "attr");
            return Err(MetainfoError::PaddingInTree { field });
        }
        let field = Field::in_tree(index, "length");
        let len = match flags.attr.link {
            Some(_) => 0,
            None => read_len(required(node, "length", field)?, field)?,
        };
        let offset = if len > 0 {
            let up = self.end.next_multiple_of(self.piece_len.into());
            end_of(up, 0, field)?
        } else {
            self.end
        };
        self.end = end_of(offset, len, field)?;
        self.files.push(File {
            path,
            len,
            offset,
            padding: false,
            root: if len > 0 {
                Some(root(node, index)?)
            } else {
                None
            },
            attr: flags.attr,
        });
        Ok(())
    }
}

fn root(node: &Node<'_>, index: usize) -> Result<Sha256Digest, MetainfoError> {
    let field = Field::in_tree(index, "pieces root");
    let expected = "a string";
    let bytes = required(node, "pieces root", field)?
        .as_bytes()
        .ok_or(MetainfoError::WrongType { field, expected })?;
    match <[u8; 32]>::try_from(bytes) {
        Ok(root) if root != [0; 32] => Ok(Sha256Digest(root)),
        _ => {
            let got = bytes.len();
            Err(MetainfoError::BadRoot { field, got })
        }
    }
}
