//! The proof that one record is in the log, checkable offline (C2SP tlog-proof).

use base64::{Engine as _, engine::general_purpose::STANDARD};
use skep_hash::{
    Sha256Digest,
    tree::{self, leaf_hash, verify_inclusion},
};

use super::{
    checkpoint::{Checkpoint, CheckpointError, decode_hash},
    note::{NOTE_BYTES_MAX, NoteError, VerifierKey},
    policy::{Policy, PolicyReport, PolicyUnmet},
};

/// First line of a proof.
const HEADER: &str = "c2sp.org/tlog-proof@v1";

/// Most hashes that an inclusion proof can have.
const HASHES_MAX: usize = 64;

/// A record's index, its audit path, and the checkpoint that covers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlogProof {
    /// Data that nobody has checked.
    pub extra: Option<Vec<u8>>,
    /// The record's index.
    pub index: u64,
    /// Hashes from the leaf's sibling up.
    pub path: Vec<Sha256Digest>,
    /// The signed head.
    pub checkpoint: Checkpoint,
}

/// Why a proof does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProofError {
    /// Too large.
    #[error("proof of {got} bytes, at most {} are allowed", 2 * NOTE_BYTES_MAX)]
    TooLong {
        /// Its size.
        got: usize,
    },
    /// Another first line.
    #[error("proof begins with {got:?}, expected {HEADER:?}")]
    Header {
        /// The line.
        got: String,
    },
    /// A line that does not belong there.
    #[error("line {line:?} of the proof is not {expected}")]
    Line {
        /// The line.
        line: String,
        /// What should be there.
        expected: &'static str,
    },
    /// No checkpoint after an empty line.
    #[error("proof has no checkpoint")]
    NoCheckpoint,
    /// The checkpoint does not hold.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// Its signature does not hold.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The policy is not met.
    #[error(transparent)]
    Policy(#[from] PolicyUnmet),
    /// The path does not lead from the record to the root.
    #[error("record {index} is not proved: {why:?}")]
    Inclusion {
        /// The record's index.
        index: u64,
        /// What is wrong with the path.
        why: tree::ProofError,
    },
}

impl TlogProof {
    /// The proof as text.
    pub fn encode(&self) -> String {
        let mut text = format!("{HEADER}\n");
        if let Some(extra) = &self.extra {
            text += &format!("extra {}\n", STANDARD.encode(extra));
        }
        text += &format!("index {}\n", self.index);
        for hash in &self.path {
            text += &format!("{}\n", STANDARD.encode(hash.0));
        }
        text += "\n";
        text + &self.checkpoint.encode()
    }

    /// Reads a proof; nothing is checked yet.
    ///
    /// # Errors
    ///
    /// [`ProofError`].
    pub fn parse(text: &str) -> Result<Self, ProofError> {
        if text.len() > 2 * NOTE_BYTES_MAX {
            return Err(ProofError::TooLong { got: text.len() });
        }
        let wrong = |line: &str, expected| ProofError::Line {
            line: line.to_owned(),
            expected,
        };
        let (head, note) = text.split_once("\n\n").ok_or(ProofError::NoCheckpoint)?;
        let mut lines = head.split('\n').peekable();
        let header = lines.next().unwrap_or_default();
        if header != HEADER {
            return Err(ProofError::Header {
                got: header.to_owned(),
            });
        }
        let extra = match lines.peek().and_then(|line| line.strip_prefix("extra ")) {
            None => None,
            Some(encoded) => {
                let extra = STANDARD
                    .decode(encoded)
                    .map_err(|_| wrong(encoded, "base64"))?;
                lines.next();
                Some(extra)
            }
        };
        let line = lines.next().unwrap_or_default();
        let index = line
            .strip_prefix("index ")
            .and_then(|digits| {
                digits
                    .parse()
                    .ok()
                    .filter(|n: &u64| n.to_string() == digits)
            })
            .ok_or_else(|| wrong(line, "an index"))?;
        let mut path = Vec::new();
        for line in lines {
            if path.len() == HASHES_MAX {
                return Err(wrong(line, "the end of the hashes"));
            }
            path.push(decode_hash(line).ok_or_else(|| wrong(line, "a hash in base64"))?);
        }
        Ok(Self {
            extra,
            index,
            path,
            checkpoint: Checkpoint::parse(note)?,
        })
    }

    /// Checks that `record` is in the log that `key` signs.
    ///
    /// # Errors
    ///
    /// [`ProofError`].
    pub fn verify(&self, record: &[u8], key: &VerifierKey) -> Result<(), ProofError> {
        Checkpoint::open(&self.checkpoint.encode(), key)?;
        self.verify_path(record)
    }

    /// Checks that `record` is in a log that `policy` knows, cosigned as it wants.
    ///
    /// # Errors
    ///
    /// [`ProofError`].
    pub fn verify_by(&self, record: &[u8], policy: &Policy) -> Result<PolicyReport, ProofError> {
        let report = policy.check(&self.checkpoint)?;
        self.verify_path(record)?;
        Ok(report)
    }

    fn verify_path(&self, record: &[u8]) -> Result<(), ProofError> {
        let (index, head) = (self.index, self.checkpoint.head());
        verify_inclusion(&leaf_hash(record), index, head.size, &self.path, &head.root)
            .map_err(|why| ProofError::Inclusion { index, why })
    }
}
