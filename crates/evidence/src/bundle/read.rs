//! An archive back to its files, with every byte of the container compared.

use std::collections::BTreeMap;

use skep_hash::{Sha256, Sha256Digest};

use super::{
    BLOCK_LEN, BundleError, FILE_LEN_MAX, FILES_MAX, MANIFEST, README, README_TEXT, Source,
    check_path, header, manifest_line,
};
use crate::file::{FileError, Files};

/// How much is read at once when a file is hashed.
const CHUNK: usize = 1 << 20;
/// Bytes of a line of the manifest at most: digest, two spaces, path, newline.
const MANIFEST_LINE_MAX: u64 = 64 + 2 + super::PATH_LEN_MAX as u64 + 1;

/// A bundle whose container is canonical.
#[derive(Debug)]
pub struct Bundle<S> {
    source: S,
    /// Where each file's contents begin, and their length.
    files: BTreeMap<String, (u64, u64)>,
}

impl<S: Source> Bundle<S> {
    /// Reads every header of the archive and compares it with the one that the format has; checks the
    /// order of the files, the padding and the end.
    ///
    /// # Errors
    ///
    /// [`BundleError`] naming the part.
    pub fn open(source: S) -> Result<Self, BundleError> {
        let mut files = BTreeMap::new();
        let mut before = String::new();
        let mut offset = 0;
        loop {
            let block = block_at(&source, offset, &before)?;
            if block.iter().all(|&byte| byte == 0) {
                end(&source, offset)?;
                break;
            }
            if offset == 0 && !header::is_ustar(&block) {
                return Err(BundleError::NotABundle);
            }
            let (path, len) = header::read(&block);
            let wrong = |field| BundleError::Header {
                path: path.clone(),
                offset,
                field,
            };
            let len = len.ok_or_else(|| wrong("size"))?;
            check_path(&path)?;
            if let Some(field) = header::differs(&block, &header::render(&path, len)) {
                return Err(wrong(field));
            }
            if !before.is_empty() && path <= before {
                return Err(BundleError::Order { path, before });
            }
            if files.len() >= FILES_MAX {
                return Err(BundleError::TooManyFiles);
            }
            let contents = offset + BLOCK_LEN;
            offset = contents + len.next_multiple_of(BLOCK_LEN);
            if offset > source.len() {
                return Err(BundleError::Truncated {
                    path,
                    len: source.len(),
                });
            }
            let pad = source.read_at(contents + len, (offset - contents - len) as usize)?;
            if pad.iter().any(|&byte| byte != 0) {
                return Err(BundleError::Padding { path });
            }
            files.insert(path.clone(), (contents, len));
            before = path;
        }
        Ok(Self { source, files })
    }

    /// The files' paths and lengths, in order.
    pub fn paths(&self) -> impl Iterator<Item = (&str, u64)> {
        self.files
            .iter()
            .map(|(path, &(_, len))| (path.as_str(), len))
    }

    /// Hashes every file and compares with the manifest, byte for byte, and the page for people with
    /// the text of the format. Returns how many files the manifest covers.
    ///
    /// # Errors
    ///
    /// [`BundleError`] naming the file.
    pub fn check_manifest(&self) -> Result<usize, BundleError> {
        let missing = |path: &str| BundleError::Missing {
            path: path.to_owned(),
        };
        let &(offset, len) = self.files.get(MANIFEST).ok_or_else(|| missing(MANIFEST))?;
        let most = MANIFEST_LINE_MAX * self.files.len() as u64;
        if len > most {
            return Err(BundleError::Manifest {
                line: self.files.len(),
                path: "the end".into(),
            });
        }
        let manifest = self.source.read_at(offset, len as usize)?;
        let mut rest = manifest.as_slice();
        let mut line = 0;
        for path in self.files.keys().filter(|path| *path != MANIFEST) {
            line += 1;
            let got = self.digest(path)?;
            let expected = manifest_line(path, &got);
            rest = match rest.strip_prefix(expected.as_bytes()) {
                Some(rest) => rest,
                None => return Err(manifest_error(rest, path, line, got)),
            };
        }
        if !rest.is_empty() {
            return Err(BundleError::Manifest {
                line: line + 1,
                path: "the end".into(),
            });
        }
        let &(offset, len) = self.files.get(README).ok_or_else(|| missing(README))?;
        let readme = (len == README_TEXT.len() as u64)
            .then(|| self.source.read_at(offset, README_TEXT.len()))
            .transpose()?;
        if readme.as_deref() != Some(README_TEXT.as_bytes()) {
            return Err(BundleError::Readme);
        }
        Ok(line)
    }

    /// The SHA-256 of a file; of nothing if there is no such file.
    ///
    /// # Errors
    ///
    /// [`FileError`] if it cannot be read.
    pub fn digest(&self, path: &str) -> Result<Sha256Digest, FileError> {
        let &(offset, len) = self.files.get(path).unwrap_or(&(0, 0));
        let mut hash = Sha256::new();
        let mut at = 0;
        while at < len {
            let part = self
                .source
                .read_at(offset + at, (len - at).min(CHUNK as u64) as usize)?;
            if part.is_empty() {
                return Err(shrunk(path));
            }
            hash.update(&part);
            at += part.len() as u64;
        }
        Ok(hash.finish())
    }
}

/// Which is wrong, the file's digest or the line as such.
fn manifest_error(rest: &[u8], path: &str, line: usize, got: Sha256Digest) -> BundleError {
    let said = rest.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let expected = std::str::from_utf8(said)
        .ok()
        .and_then(|said| said.strip_suffix(path)?.strip_suffix("  "))
        .and_then(Sha256Digest::from_hex);
    match expected {
        // The digest may be the same where only the line's form differs: upper-case digits.
        Some(expected) if expected != got => BundleError::Digest {
            path: path.to_owned(),
            got,
            expected,
        },
        _ => BundleError::Manifest {
            line,
            path: path.to_owned(),
        },
    }
}

fn block_at(source: &impl Source, offset: u64, before: &str) -> Result<header::Block, BundleError> {
    let block = source.read_at(offset, BLOCK_LEN as usize)?;
    let part = if before.is_empty() {
        "the first header"
    } else {
        before
    };
    let short = |_| BundleError::Truncated {
        path: part.to_owned(),
        len: source.len(),
    };
    header::Block::try_from(block).map_err(short)
}

/// Two zero blocks, the first of which is at `offset`, end the archive.
fn end(source: &impl Source, offset: u64) -> Result<(), BundleError> {
    let second = source.read_at(offset + BLOCK_LEN, BLOCK_LEN as usize)?;
    let zero = second.iter().all(|&byte| byte == 0);
    if zero && source.len() == offset + 2 * BLOCK_LEN {
        return Ok(());
    }
    Err(BundleError::End { offset })
}

fn shrunk(path: &str) -> FileError {
    FileError {
        path: path.to_owned(),
        doing: "read",
        reason: "the archive became shorter while it was read".into(),
        errno: None,
    }
}

impl<S: Source> Files for Bundle<S> {
    fn read(&self, path: &str, len_max: u64) -> Result<Option<Vec<u8>>, FileError> {
        let Some(&(offset, len)) = self.files.get(path) else {
            return Ok(None);
        };
        if len > len_max.min(FILE_LEN_MAX) {
            return Err(FileError {
                path: path.to_owned(),
                doing: "read",
                reason: format!("{len} bytes, at most {len_max} are expected"),
                errno: None,
            });
        }
        let bytes = self.source.read_at(offset, len as usize)?;
        if bytes.len() as u64 == len {
            Ok(Some(bytes))
        } else {
            Err(shrunk(path))
        }
    }

    fn read_at(&self, path: &str, offset: u64, len: usize) -> Result<Vec<u8>, FileError> {
        let Some(&(begin, file_len)) = self.files.get(path) else {
            return Ok(Vec::new());
        };
        let left = file_len.saturating_sub(offset).min(len as u64);
        self.source
            .read_at(begin.saturating_add(offset), left as usize)
    }

    fn len(&self, path: &str) -> Result<Option<u64>, FileError> {
        Ok(self.files.get(path).map(|&(_, len)| len))
    }

    fn list(&self, path: &str) -> Result<Vec<String>, FileError> {
        let prefix = if path.is_empty() {
            String::new()
        } else {
            format!("{path}/")
        };
        let below = self
            .files
            .range(prefix.clone()..)
            .map(|(path, _)| path.as_str());
        let mut names: Vec<String> = Vec::new();
        for name in below.map_while(|path| path.strip_prefix(&prefix)) {
            let name = name.split('/').next().unwrap_or(name);
            if names.last().map(String::as_str) != Some(name) {
                names.push(name.to_owned());
            }
        }
        // `a.b` sorts between `a` and `a/b`, so the names are sorted again.
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }
}
