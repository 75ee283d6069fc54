//! From files to an info dictionary: the walk, and the hashing on all cores.
//!
//! The same files give the same torrent: names are sorted by their bytes, component by component,
//! and nothing of the machine or the hour gets in. A file that changes while it is read is an
//! error, because no reader could ever reproduce its pieces.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::UNIX_EPOCH,
};

use skep_wire::metainfo::{self, Attr, Info, Version};

use crate::{
    disk::{
        DiskError,
        check::{self, Missing, Watch},
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
    /// What it looked like.
    pub stamp: Stamp,
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
    /// There are more files than a torrent may have.
    #[error("{} holds more than {} files", path.display(), metainfo::FILES_MAX)]
    TooManyFiles {
        /// The path.
        path: PathBuf,
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
pub fn survey(path: &Path, links: Links) -> Result<Survey, CreateError> {
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
        survey.add(Vec::new(), &meta);
    } else if meta.is_dir() {
        survey.walk(path, &mut Vec::new(), links)?;
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

/// Reads and hashes what was surveyed.
///
/// # Errors
///
/// [`CreateError`] if a file cannot be read, ends early, or changed since the survey.
pub fn hash(survey: &Survey, piece_len: u32, watch: &Watch) -> Result<Info, CreateError> {
    let layout = Layout::new(
        survey
            .files
            .iter()
            .map(|file| (file.path.clone(), file.stamp.len)),
    );
    let layout = Arc::new(layout);
    let place = Place::At(survey.path.clone());
    let files = Files::new(layout.clone(), &place, &survey.name, Access::Read);
    let digests = check::hash_pieces(&files, piece_len, Missing::IsError, watch)?;
    for (index, file) in survey.files.iter().enumerate() {
        if files.stamp(index)? != Some(file.stamp) {
            return Err(CreateError::Changed {
                path: files.path(index),
            });
        }
    }
    let mut offset = 0;
    let files = survey
        .files
        .iter()
        .map(|file| {
            let len = file.stamp.len;
            let file = metainfo::File {
                path: file.path.clone(),
                len,
                offset,
                padding: false,
                root: None,
                attr: Attr::default(),
            };
            offset += len;
            file
        })
        .collect();
    Ok(Info {
        version: Version::V1,
        pieces_v2: Vec::new(),
        name: survey.name.clone(),
        piece_len,
        pieces: digests
            .into_iter()
            .map(|digest| digest.expect("missing bytes are errors"))
            .collect(),
        files,
        single_file: survey.single_file,
        private: false,
        source: None,
        size_bytes: survey.size_bytes,
    })
}

impl Survey {
    fn add(&mut self, path: Vec<String>, meta: &std::fs::Metadata) {
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
        });
    }

    /// Adds what is below `dir`, whose components below the path are `parts`.
    fn walk(
        &mut self,
        dir: &Path,
        parts: &mut Vec<String>,
        links: Links,
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
                match links {
                    Links::Refuse => return Err(CreateError::Link { path }),
                    Links::Skip => {
                        self.links_skipped.push(path);
                        continue;
                    }
                    Links::Follow => {}
                }
            }
            let meta = std::fs::metadata(&path).map_err(DiskError::io("look at", &path))?;
            parts.push(utf8(&entry.file_name(), &path)?);
            if meta.is_dir() {
                self.walk(&path, parts, links)?;
            } else if meta.is_file() {
                self.add(parts.clone(), &meta);
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
}

fn utf8(name: &std::ffi::OsStr, path: &Path) -> Result<String, CreateError> {
    name.to_str()
        .map(str::to_owned)
        .ok_or(CreateError::NameNotUtf8 {
            path: path.to_owned(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_in_the_order_of_their_bytes_whatever_the_folder_says() {
        let dir = tempfile::tempdir().expect("temporary folder");
        for name in ["b", "a/z", "a-b", "a/B", "Z"] {
            let path = dir.path().join("t").join(name);
            std::fs::create_dir_all(path.parent().expect("has one")).expect("created");
            std::fs::write(path, name).expect("written");
        }
        let survey = survey(&dir.path().join("t"), Links::Refuse).expect("surveyed");
        let paths: Vec<_> = survey
            .files
            .iter()
            .map(|file| file.path.join("/"))
            .collect();
        assert_eq!(paths, ["Z", "a/B", "a/z", "a-b", "b"]);
        let watch = Watch::default();
        let info = hash(&survey, 16_384, &watch).expect("hashed");
        assert_eq!(info.pieces, [skep_hash::sha1(b"Za/Ba/za-bb")]);
    }

    #[test]
    fn a_file_that_grew_or_vanished_since_the_survey_is_named() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let file = dir.path().join("f");
        std::fs::write(&file, b"content").expect("written");
        let before = survey(&file, Links::Refuse).expect("surveyed");
        std::fs::write(&file, b"content and more").expect("written");
        let grown = hash(&before, 16_384, &Watch::default()).expect_err("changed");
        assert!(
            matches!(&grown, CreateError::Changed { path } if *path == file),
            "{grown}"
        );
        std::fs::write(&file, b"con").expect("written");
        let shrunk = hash(&before, 16_384, &Watch::default()).expect_err("shrunk");
        assert!(
            matches!(&shrunk, CreateError::Disk(DiskError::Ended { path, at: 3, expected: 7 }) if *path == file),
            "{shrunk}"
        );
        std::fs::remove_file(&file).expect("removed");
        let gone = hash(&before, 16_384, &Watch::default()).expect_err("gone");
        assert!(
            gone.to_string()
                .starts_with(&format!("read {}", file.display())),
            "{gone}"
        );
    }

    #[test]
    fn links_follow_the_policy_and_circles_end() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let root = dir.path().join("t");
        std::fs::create_dir(&root).expect("created");
        std::fs::write(root.join("f"), b"x").expect("written");
        std::os::unix::fs::symlink("f", root.join("g")).expect("linked");
        assert!(matches!(
            survey(&root, Links::Refuse),
            Err(CreateError::Link { .. })
        ));
        assert_eq!(survey(&root, Links::Skip).expect("skips").files.len(), 1);
        assert_eq!(
            survey(&root, Links::Follow).expect("follows").files.len(),
            2
        );
        std::os::unix::fs::symlink(".", root.join("again")).expect("linked");
        let circle = survey(&root, Links::Follow).expect_err("a circle");
        // The system's own limit on links may come first.
        assert!(
            matches!(circle, CreateError::TooDeep { .. } | CreateError::Disk(_)),
            "{circle}"
        );
    }

    #[test]
    fn nothing_to_share_is_an_error() {
        let dir = tempfile::tempdir().expect("temporary folder");
        std::fs::create_dir_all(dir.path().join("t/empty")).expect("created");
        std::fs::write(dir.path().join("t/zero"), b"").expect("written");
        let error = survey(&dir.path().join("t"), Links::Refuse).expect_err("empty");
        assert!(
            matches!(error, CreateError::Empty { files: 1, .. }),
            "{error}"
        );
    }
}
