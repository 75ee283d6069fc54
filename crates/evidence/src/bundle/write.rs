//! Files to an archive, in one pass over headers and contents.

use std::collections::BTreeMap;

use skep_hash::sha256;

use super::{
    BLOCK_LEN, BundleError, FILE_LEN_MAX, FILES_MAX, MANIFEST, Member, README, README_TEXT,
    check_path, header, manifest_line,
};

/// What to write next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// These bytes.
    Bytes(Vec<u8>),
    /// The first `len` bytes of the file that goes to `path`.
    File {
        /// Its path in the bundle.
        path: String,
        /// How many bytes.
        len: u64,
    },
}

/// A bundle whose files are known by length and digest.
#[derive(Debug, Clone)]
pub struct Plan {
    members: Vec<Member>,
    manifest: String,
}

impl Plan {
    /// Plans a bundle of `members`, to which the manifest and the page for people are added.
    ///
    /// # Errors
    ///
    /// [`BundleError`] for a path or a length that the container does not hold, two files of one
    /// path, or too many.
    pub fn new(mut members: Vec<Member>) -> Result<Self, BundleError> {
        members.push(Member {
            path: README.to_owned(),
            len: README_TEXT.len() as u64,
            digest: sha256(README_TEXT.as_bytes()),
        });
        members.sort_by(|one, two| one.path.cmp(&two.path));
        if members.len() > FILES_MAX {
            return Err(BundleError::TooManyFiles);
        }
        let mut before = MANIFEST;
        for member in &members {
            check_path(&member.path)?;
            if member.len > FILE_LEN_MAX {
                let (path, got) = (member.path.clone(), member.len);
                return Err(BundleError::FileLen { path, got });
            }
            if member.path.as_str() <= before {
                let (path, before) = (member.path.clone(), before.to_owned());
                return Err(BundleError::Order { path, before });
            }
            before = &member.path;
        }
        let manifest = members
            .iter()
            .map(|member| manifest_line(&member.path, &member.digest))
            .collect();
        Ok(Self { members, manifest })
    }

    /// The archive's parts in order.
    pub fn steps(&self) -> impl Iterator<Item = Step> + '_ {
        let manifest = whole(MANIFEST, self.manifest.as_bytes());
        let members = self.members.iter().flat_map(|member| {
            if member.path == README {
                return vec![whole(README, README_TEXT.as_bytes())];
            }
            vec![
                Step::Bytes(header::render(&member.path, member.len).to_vec()),
                Step::File {
                    path: member.path.clone(),
                    len: member.len,
                },
                Step::Bytes(padding(member.len)),
            ]
        });
        let end = Step::Bytes(vec![0; 2 * BLOCK_LEN as usize]);
        std::iter::once(manifest)
            .chain(members)
            .chain(std::iter::once(end))
    }
}

/// Header, contents and padding of a small file.
fn whole(path: &str, contents: &[u8]) -> Step {
    let len = contents.len() as u64;
    let mut bytes = header::render(path, len).to_vec();
    bytes.extend(contents);
    bytes.extend(padding(len));
    Step::Bytes(bytes)
}

fn padding(len: u64) -> Vec<u8> {
    vec![0; (len.next_multiple_of(BLOCK_LEN) - len) as usize]
}

/// Makes a bundle of files that are in memory.
///
/// # Errors
///
/// As [`Plan::new`].
pub fn build(files: &BTreeMap<String, Vec<u8>>) -> Result<Vec<u8>, BundleError> {
    let member = |(path, bytes): (&String, &Vec<u8>)| Member {
        path: path.clone(),
        len: bytes.len() as u64,
        digest: sha256(bytes),
    };
    let plan = Plan::new(files.iter().map(member).collect())?;
    let mut archive = Vec::new();
    for step in plan.steps() {
        match step {
            Step::Bytes(bytes) => archive.extend(bytes),
            Step::File { path, .. } => archive.extend(&files[&path]),
        }
    }
    Ok(archive)
}
