//! A checkpoint (C2SP tlog-checkpoint): the origin, size and root of the log, in a signed note.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use skep_hash::{Sha256Digest, tree::Head};

use super::note::{Note, NoteError, SigningKey, VerifierKey};

/// A signed statement of what the log holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    origin: String,
    head: Head,
    note: Note,
}

/// Why a note is no checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The note does not hold.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// Not the three lines: origin, size, root.
    #[error("checkpoint text has {got} lines, expected 3")]
    Lines {
        /// How many there are.
        got: usize,
    },
    /// An empty origin.
    #[error("checkpoint has an empty origin")]
    Origin,
    /// Another log's.
    #[error("checkpoint is of {got:?}, the key is of {expected:?}")]
    OtherOrigin {
        /// What the checkpoint says.
        got: String,
        /// The key's name.
        expected: String,
    },
    /// The size is not a decimal number without leading zeroes.
    #[error("checkpoint size {got:?} is no size")]
    Size {
        /// The line.
        got: String,
    },
    /// The root is not base64 of 32 bytes.
    #[error("checkpoint root {got:?} is not base64 of 32 bytes")]
    Root {
        /// The line.
        got: String,
    },
}

impl Checkpoint {
    /// Signs the head of a log.
    pub fn sign(key: &SigningKey, head: Head) -> Self {
        let (origin, root) = (key.name().to_owned(), STANDARD.encode(head.root.0));
        let mut note = Note::unsigned(format!("{origin}\n{}\n{root}\n", head.size));
        note.sign(key);
        Self { origin, head, note }
    }

    /// Reads a checkpoint; no signature is checked. Extension lines, which nobody can audit, are
    /// refused.
    ///
    /// # Errors
    ///
    /// [`CheckpointError`].
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        let note = Note::parse(text)?;
        let lines: Vec<&str> = note.text().split_terminator('\n').collect();
        let [origin, size, root] = lines[..] else {
            return Err(CheckpointError::Lines { got: lines.len() });
        };
        if origin.is_empty() {
            return Err(CheckpointError::Origin);
        }
        let number: Option<u64> = size.parse().ok();
        let number = number
            .filter(|number| number.to_string() == size)
            .ok_or_else(|| CheckpointError::Size {
                got: size.to_owned(),
            })?;
        let root = decode_hash(root).ok_or(CheckpointError::Root {
            got: root.to_owned(),
        })?;
        let (origin, head) = (origin.to_owned(), Head { size: number, root });
        Ok(Self { origin, head, note })
    }

    /// Reads a checkpoint of the log that `key` signs, and checks its signature.
    ///
    /// # Errors
    ///
    /// [`CheckpointError`].
    pub fn open(text: &str, key: &VerifierKey) -> Result<Self, CheckpointError> {
        let checkpoint = Self::parse(text)?;
        if checkpoint.origin != key.name() {
            let (got, expected) = (checkpoint.origin, key.name().to_owned());
            return Err(CheckpointError::OtherOrigin { got, expected });
        }
        checkpoint.note.verify(key)?;
        Ok(checkpoint)
    }

    /// The log's name.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Size and root.
    pub fn head(&self) -> Head {
        self.head
    }

    /// The note, for signatures and cosignatures.
    pub fn note(&self) -> &Note {
        &self.note
    }

    /// The note, to add a cosignature.
    pub fn note_mut(&mut self) -> &mut Note {
        &mut self.note
    }

    /// The text of the file.
    pub fn encode(&self) -> String {
        self.note.encode()
    }
}

/// Reads base64 of a SHA-256.
pub(super) fn decode_hash(text: &str) -> Option<Sha256Digest> {
    STANDARD
        .decode(text)
        .ok()?
        .try_into()
        .ok()
        .map(Sha256Digest)
}
