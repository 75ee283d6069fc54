//! From files to an info dictionary: the walk, and the hashing on all cores.
//!
//! The same files give the same torrent: names are sorted by their bytes, component by component,
//! and nothing of the machine or the hour gets in. A file that changes while it is read is an
//! error, because no reader could ever reproduce its pieces.

#[cfg(test)]
mod tests;

use std::{
    os::unix::fs::PermissionsExt as _,
    path::{Component, Path, PathBuf},
    sync::Arc,
    time::UNIX_EPOCH,
};

use skep_hash::{Sha1Digest, Sha256Digest, merkle};
use skep_wire::{
    PieceIndex,
    metainfo::{self, Attr, Info, Link, Version},
};

use crate::{
    disk::{
        DiskError,
        check::{self, Watch},
        files::{Access, Files, Stamp},
        layout::Layout,
    },
    session::Place,
};

/// Folders nested deeper than this are refused: a walk that follows links must end.
pub const DEPTH_MAX: usize = 100;

/// What to do with symbolic links below the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Links {
    /// They are an error.
    #[default]
    Refuse,
    /// What they point to is taken as if it lay there.
    Follow,
    /// They are left out.
    Skip,
    /// They are links in the torrent, too (BEP 47). One that leads out of the path is an error.
    Keep,
}

/// What a survey looks at besides names and lengths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// What to do with symbolic links.
    pub links: Links,
    /// Say which files may be run (BEP 47).
    pub executable: bool,
}

impl From<Links> for Options {
    fn from(links: Links) -> Self {
        Self {
            links,
            executable: false,
        }
    }
}

/// What lies at a path, before anything is read.
#[derive(Debug, Clone)]
pub struct Survey {
    /// The path.
    pub path: PathBuf,
    /// The torrent's name: the last component of the path.
    pub name: String,
    /// Whether the path is a file and not a folder.
    pub single_file: bool,
    /// The files in the order of the torrent.
    pub files: Vec<SurveyedFile>,
    /// Folders without any file: a torrent cannot hold them.
    pub empty_dirs: Vec<PathBuf>,
    /// Links that were left out.
    pub links_skipped: Vec<PathBuf>,
    /// Sum of the lengths in bytes.
    pub size_bytes: u64,
}

/// One file of a survey.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SurveyedFile {
    /// Components below the path; empty if the path is the file.
    pub path: Vec<String>,
    /// What it looked like; a link has no length.
    pub stamp: Stamp,
    /// Whether its owner may run it. Said only if the survey was asked for it.
    pub executable: bool,
    /// Where it points to, components below the path, if it is a link that was kept.
    pub link: Option<Vec<String>>,
}

/// Why no torrent can be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CreateError {
    /// Reading failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// There is no byte to share.
    #[error("{} holds no content: {files} files, 0 bytes", path.display())]
    Empty {
        /// The path.
        path: PathBuf,
        /// How many files it has.
        files: usize,
    },
    /// A torrent holds names as UTF-8, and this is none.
    #[error("{} has a name that is not UTF-8", path.display())]
    NameNotUtf8 {
        /// The path.
        path: PathBuf,
    },
    /// The path has no last component to name the torrent by.
    #[error("{} has no name", path.display())]
    NoName {
        /// The path.
        path: PathBuf,
    },
    /// A symbolic link, which the caller wants refused.
    #[error("{} is a symbolic link", path.display())]
    Link {
        /// The link.
        path: PathBuf,
    },
    /// Neither a file nor a folder.
    #[error("{} is neither a file nor a folder", path.display())]
    Special {
        /// The path.
        path: PathBuf,
    },
    /// Folders are nested too deep; perhaps a link leads back.
    #[error("{} lies more than {DEPTH_MAX} folders deep", path.display())]
    TooDeep {
        /// The path.
        path: PathBuf,
    },
    /// A symbolic link that leads out of the path.
    #[error("{} is a symbolic link that leads out of the content, to {}", path.display(), target.display())]
    LinkOutside {
        /// The link.
        path: PathBuf,
        /// What it points to.
        target: PathBuf,
    },
    /// A symbolic link to something that is not in the torrent.
    #[error("{} is a symbolic link to {}, which is not in the content", path.display(), target.display())]
    LinkAstray {
        /// The link.
        path: PathBuf,
        /// What it points to.
        target: PathBuf,
    },
    /// The pieces are too small for so much content.
    #[error(
        "{pieces} pieces of {piece_len} bytes are more than a torrent may have, {}",
        metainfo::PIECES_MAX
    )]
    TooManyPieces {
        /// How many there would be.
        pieces: u64,
        /// Their length in bytes.
        piece_len: u32,
    },
    /// There are more files than a torrent may have.
    #[error("{} holds more than {} files", path.display(), metainfo::FILES_MAX)]
    TooManyFiles {
        /// The path.
        path: PathBuf,
    },
    /// Pieces bear the marks of a collision attack on SHA-1.
    #[error(
        "{} bears the marks of a SHA-1 collision attack: other bytes have the hash of piece {}, too (pieces with marks: {count})",
        path.display(), piece.0
    )]
    Attacked {
        /// The first file that the first such piece lies in.
        path: PathBuf,
        /// The first such piece.
        piece: PieceIndex,
        /// How many there are.
        count: usize,
    },
    /// A file is not what it was when the survey was made.
    #[error("{} changed while it was read", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
}

/// Walks `path`.
///
/// # Errors
///
/// [`CreateError`] naming the first path that cannot be in a torrent.
pub fn survey(path: &Path, options: impl Into<Options>) -> Result<Survey, CreateError> {
    let options = options.into();
    // `.` and `dir/..` have names, too, once they are resolved.
    let named = if path.file_name().is_some() {
        path.to_owned()
    } else {
        path.canonicalize()
            .map_err(DiskError::io("look at", path))?
    };
    let name = named.file_name().ok_or(CreateError::NoName {
        path: path.to_owned(),
    })?;
    let name = utf8(name, path)?;
    let mut survey = Survey {
        path: path.to_owned(),
        name,
        single_file: false,
        files: Vec::new(),
        empty_dirs: Vec::new(),
        links_skipped: Vec::new(),
        size_bytes: 0,
    };
    // The path itself may be a link: the user named it.
    let meta = std::fs::metadata(path).map_err(DiskError::io("look at", path))?;
    if meta.is_file() {
        survey.single_file = true;
        survey.add(Vec::new(), &meta, options);
    } else if meta.is_dir() {
        survey.walk(path, &mut Vec::new(), options)?;
    } else {
        return Err(CreateError::Special {
            path: path.to_owned(),
        });
    }
    survey.files.sort_by(|a, b| a.path.cmp(&b.path));
    if survey.size_bytes == 0 {
        return Err(CreateError::Empty {
            path: path.to_owned(),
            files: survey.files.len(),
        });
    }
    Ok(survey)
}

/// Says how a torrent of what was surveyed lies in its pieces: an info dictionary without hashes.
///
/// # Errors
///
/// [`CreateError::TooManyPieces`], [`CreateError::LinkAstray`].
pub fn plan(survey: &Survey, version: Version, piece_len: u32) -> Result<Info, CreateError> {
    let file = |file: &SurveyedFile| metainfo::File {
        path: file.path.clone(),
        len: file.stamp.len,
        offset: 0,
        padding: false,
        root: None,
        attr: Attr {
            executable: file.executable,
            hidden: false,
            link: file.link.clone().map(Link::To),
        },
    };
    let files = Info::lay(version, piece_len, survey.files.iter().map(file).collect());
    let written = files.iter().filter(|file| !file.padding);
    for (laid, file) in written.zip(&survey.files) {
        let Some(target) = &file.link else { continue };
        if laid.attr.link.as_ref() != Some(&Link::To(target.clone())) {
            let path = |parts: &[String]| parts.iter().fold(survey.path.clone(), |a, b| a.join(b));
            return Err(CreateError::LinkAstray {
                path: path(&file.path),
                target: path(target),
            });
        }
    }
    let size_bytes = files.last().map_or(0, |file| file.offset + file.len);
    let pieces = size_bytes.div_ceil(piece_len.max(1).into());
    if pieces > metainfo::PIECES_MAX.into() {
        return Err(CreateError::TooManyPieces { pieces, piece_len });
    }
    Ok(Info {
        version,
        name: survey.name.clone(),
        piece_len,
        pieces: Vec::new(),
        pieces_v2: Vec::new(),
        files,
        single_file: survey.single_file,
        private: false,
        source: None,
        size_bytes,
    })
}

/// Reads what was surveyed, each byte once, and puts its hashes into the plan.
///
/// # Errors
///
/// [`CreateError`] if a file cannot be read, ends early, or changed since the survey, or if `watch` looks for
/// collision attacks and one was found.
pub fn hash(survey: &Survey, plan: Info, watch: &Watch) -> Result<Info, CreateError> {
    let mut info = plan;
    let layout = Arc::new(Layout::of(&info));
    let place = Place::At(survey.path.clone());
    let files = Files::new(layout, &place, &survey.name, Access::Read);
    // How many pieces there are is known by their hashes.
    let count = info.size_bytes.div_ceil(info.piece_len.into()) as usize;
    if info.version.has_v1() {
        info.pieces = vec![Sha1Digest::default(); count];
    }
    if info.version.has_v2() {
        info.pieces_v2 = vec![Sha256Digest::default(); count];
    }
    let digests = check::digests(&files, &info, watch)?;
    let attacked = watch.attacked();
    if let Some(&piece) = attacked.first() {
        let mut spans = info.piece_spans(piece);
        return Err(CreateError::Attacked {
            path: files.path(spans.next().map_or(0, |span| span.file)),
            piece,
            count: attacked.len(),
        });
    }
    if info.version.has_v1() {
        let v1 = digests.iter().map(|digests| digests.v1);
        info.pieces = v1.map(|v1| v1.expect("version 1 has each")).collect();
    }
    if info.version.has_v2() {
        let v2 = digests.iter().map(|digests| digests.v2);
        info.pieces_v2 = v2.map(|v2| v2.expect("version 2 has each")).collect();
        plant(&mut info);
    }
    let written = (0..).zip(&info.files).filter(|(_, file)| !file.padding);
    for ((index, _), file) in written.zip(&survey.files) {
        if file.link.is_none() && files.stamp(index)? != Some(file.stamp) {
            return Err(CreateError::Changed {
                path: files.path(index),
            });
        }
    }
    Ok(info)
}

/// Gives each file the root of its tree, which follows from its pieces.
fn plant(info: &mut Info) {
    let piece_layer = (info.piece_len / merkle::BLOCK_LEN).trailing_zeros();
    for index in 0..info.files.len() {
        let file = &info.files[index];
        if file.padding || file.len == 0 {
            continue;
        }
        let pieces = info.file_pieces(index);
        let layer = &info.pieces_v2[pieces.start as usize..pieces.end as usize];
        info.files[index].root = Some(match layer {
            [root] => *root,
            layer => {
                let width = (layer.len() as u64).next_power_of_two();
                merkle::root_above(layer, piece_layer, width)
            }
        });
    }
}

impl Survey {
    /// The survey for a torrent of a version. Version 2 has no folder of one file: the tree is the same as
    /// that of the file alone, which counts, by its own name. All others stay as they are.
    #[must_use]
    pub fn for_version(mut self, version: Version) -> Self {
        let only = match (version, self.files.as_mut_slice()) {
            (Version::V2, [file]) if file.path.len() == 1 => file.path.pop(),
            (Version::V1 | Version::V2 | Version::Hybrid, _) => None,
        };
        if let Some(name) = only {
            self.path.push(&name);
            self.name = name;
            self.single_file = true;
        }
        self
    }

    fn add(&mut self, path: Vec<String>, meta: &std::fs::Metadata, options: Options) {
        let since = meta
            .modified()
            .ok()
            .and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        let modified_ns = since.map_or(0, |since| since.as_nanos() as u64);
        self.size_bytes = self.size_bytes.saturating_add(meta.len());
        self.files.push(SurveyedFile {
            path,
            stamp: Stamp {
                len: meta.len(),
                modified_ns,
            },
            executable: options.executable && meta.permissions().mode() & 0o100 != 0,
            link: None,
        });
    }

    /// Adds what is below `dir`, whose components below the path are `parts`.
    fn walk(
        &mut self,
        dir: &Path,
        parts: &mut Vec<String>,
        options: Options,
    ) -> Result<(), CreateError> {
        if parts.len() >= DEPTH_MAX {
            return Err(CreateError::TooDeep {
                path: dir.to_owned(),
            });
        }
        let mut is_empty = true;
        for entry in std::fs::read_dir(dir).map_err(DiskError::io("list folder", dir))? {
            let entry = entry.map_err(DiskError::io("list folder", dir))?;
            let path = entry.path();
            let kind = entry.file_type().map_err(DiskError::io("look at", &path))?;
            is_empty = false;
            if kind.is_symlink() {
                match options.links {
                    Links::Refuse => return Err(CreateError::Link { path }),
                    Links::Skip => {
                        self.links_skipped.push(path);
                        continue;
                    }
                    Links::Keep => {
                        let name = utf8(&entry.file_name(), &path)?;
                        self.keep_link(&path, parts, name)?;
                        continue;
                    }
                    Links::Follow => {}
                }
            }
            let meta = std::fs::metadata(&path).map_err(DiskError::io("look at", &path))?;
            parts.push(utf8(&entry.file_name(), &path)?);
            if meta.is_dir() {
                self.walk(&path, parts, options)?;
            } else if meta.is_file() {
                self.add(parts.clone(), &meta, options);
            } else {
                return Err(CreateError::Special { path });
            }
            parts.pop();
            if self.files.len() > metainfo::FILES_MAX {
                return Err(CreateError::TooManyFiles {
                    path: self.path.clone(),
                });
            }
        }
        if is_empty {
            self.empty_dirs.push(dir.to_owned());
        }
        Ok(())
    }

    /// Adds a link, with its target as BEP 47 writes it: from the torrent's folder.
    fn keep_link(
        &mut self,
        path: &Path,
        folder: &[String],
        name: String,
    ) -> Result<(), CreateError> {
        let target = std::fs::read_link(path).map_err(DiskError::io("read link", path))?;
        let outside = || CreateError::LinkOutside {
            path: path.to_owned(),
            target: target.clone(),
        };
        let root = self.path.canonicalize();
        let root = root.map_err(DiskError::io("look at", &self.path))?;
        let (mut to, relative) = match target.strip_prefix(&root) {
            Ok(below) => (Vec::new(), below),
            Err(_) if target.is_absolute() => return Err(outside()),
            Err(_) => (folder.to_vec(), target.as_path()),
        };
        for part in relative.components() {
            match part {
                Component::Normal(name) => to.push(utf8(name, path)?),
                Component::CurDir => {}
                Component::ParentDir => {
                    to.pop().ok_or_else(outside)?;
                }
                Component::RootDir | Component::Prefix(_) => return Err(outside()),
            }
        }
        let own = folder.iter().cloned().chain([name]).collect();
        self.files.push(SurveyedFile {
            path: own,
            stamp: Stamp {
                len: 0,
                modified_ns: 0,
            },
            executable: false,
            link: Some(to),
        });
        Ok(())
    }
}

fn utf8(name: &std::ffi::OsStr, path: &Path) -> Result<String, CreateError> {
    name.to_str()
        .map(str::to_owned)
        .ok_or(CreateError::NameNotUtf8 {
            path: path.to_owned(),
        })
}
