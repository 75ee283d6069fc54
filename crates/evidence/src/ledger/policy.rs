//! Whom a reader trusts: logs, witnesses, and how many of them (C2SP tlog-policy).

use std::collections::{BTreeMap, BTreeSet};

use super::{
    checkpoint::Checkpoint,
    note::{KeyError, KeyKind, VerifierKey},
};

/// Greatest size of a policy file in bytes.
pub const POLICY_BYTES_MAX: usize = 1 << 20;

/// Greatest number of logs, of witnesses and of groups; the specification wants at least 32.
pub const POLICY_ITEMS_MAX: usize = 1_024;

/// Which checkpoints a reader accepts.
#[derive(Debug, Clone)]
pub struct Policy {
    logs: Vec<VerifierKey>,
    /// In the file's order, so that a member stands before its group.
    parties: Vec<Party>,
    /// Index of the party that must have witnessed; `None` for `quorum none`.
    quorum: Option<usize>,
}

#[derive(Debug, Clone)]
struct Party {
    name: String,
    what: What,
}

#[derive(Debug, Clone)]
enum What {
    Witness(VerifierKey),
    Group { needed: usize, members: Vec<usize> },
}

/// What a policy found in a checkpoint that it accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyReport {
    /// The log that signed.
    pub log: String,
    /// The witnesses that cosigned, with the time that each gives in seconds since 1970.
    pub witnesses: Vec<(String, u64)>,
    /// Whether the policy wants no witness at all.
    pub quorum_none: bool,
}

/// Why a checkpoint is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyUnmet {
    /// No log of the policy signed it.
    #[error("checkpoint of {origin:?} is signed by no log of the policy")]
    NoLog {
        /// The checkpoint's origin.
        origin: String,
    },
    /// Too few witnesses.
    #[error("quorum {quorum:?} is not reached, {} cosigned", list(.cosigned))]
    Quorum {
        /// The quorum's name.
        quorum: String,
        /// Who did cosign.
        cosigned: Vec<String>,
    },
}

fn list(names: &[String]) -> String {
    if names.is_empty() {
        String::from("nobody")
    } else {
        names.join(", ")
    }
}

/// What is wrong with a policy file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// Too large.
    #[error("policy of {got} bytes, at most {POLICY_BYTES_MAX} are allowed")]
    TooLong {
        /// Its size.
        got: usize,
    },
    /// A control character other than tab and newline.
    #[error("line {line}: control character {got:#04x}")]
    Control {
        /// The line, from 1.
        line: usize,
        /// The character.
        got: u8,
    },
    /// The last line has no newline.
    #[error("last line does not end in a newline")]
    NoNewline,
    /// A line that begins with none of the four words, or has too few or too many.
    #[error("line {line}: not a log, witness, group or quorum line")]
    Line {
        /// The line.
        line: usize,
    },
    /// A key that is none, or of the other kind.
    #[error("line {line}: {why}")]
    Key {
        /// The line.
        line: usize,
        /// Why.
        why: KeyError,
    },
    /// A witness's key where a log's belongs, or the other way round.
    #[error("line {line}: the key's signature type does not fit")]
    KeyKind {
        /// The line.
        line: usize,
    },
    /// The same public key twice.
    #[error("line {line}: the key occurs twice")]
    DuplicateKey {
        /// The line.
        line: usize,
    },
    /// A name defined twice, or `none`.
    #[error("line {line}: name {name:?} is taken")]
    NameTaken {
        /// The line.
        line: usize,
        /// The name.
        name: String,
    },
    /// A name that no line before defines.
    #[error("line {line}: no line before defines {name:?}")]
    NameUnknown {
        /// The line.
        line: usize,
        /// The name.
        name: String,
    },
    /// A name that is a member twice.
    #[error("line {line}: {name:?} is a member already")]
    MemberTwice {
        /// The line.
        line: usize,
        /// The name.
        name: String,
    },
    /// A group that needs none or more than all of its members.
    #[error("line {line}: {got:?} of {members} members cannot be needed")]
    Threshold {
        /// The line.
        line: usize,
        /// The word.
        got: String,
        /// How many members there are.
        members: usize,
    },
    /// Too many lines of a kind.
    #[error("line {line}: more than {POLICY_ITEMS_MAX} logs, witnesses or groups")]
    TooMany {
        /// The line.
        line: usize,
    },
    /// Not exactly one quorum line.
    #[error("{got} quorum lines, expected 1")]
    QuorumLines {
        /// How many there are.
        got: usize,
    },
}

impl Policy {
    /// Reads a policy file. Names are kept as UTF-8 with replacements; they are compared as bytes.
    ///
    /// # Errors
    ///
    /// [`PolicyError`] naming the line.
    pub fn parse(bytes: &[u8]) -> Result<Self, PolicyError> {
        if bytes.len() > POLICY_BYTES_MAX {
            return Err(PolicyError::TooLong { got: bytes.len() });
        }
        let body = match bytes {
            [] => &[][..],
            [body @ .., b'\n'] => body,
            _ => return Err(PolicyError::NoNewline),
        };
        let mut parser = Parser::default();
        for (bytes, line) in body.split(|&byte| byte == b'\n').zip(1..) {
            let control = |byte: &&u8| (**byte < 0x20 && **byte != b'\t') || **byte == 0x7f;
            if let Some(&got) = bytes.iter().find(control) {
                return Err(PolicyError::Control { line, got });
            }
            let words: Vec<&[u8]> = bytes
                .split(|byte| matches!(byte, b' ' | b'\t'))
                .filter(|word| !word.is_empty())
                .collect();
            if words.first().is_some_and(|word| !word.starts_with(b"#")) {
                parser.line(line, &words)?;
            }
        }
        match parser.quorums[..] {
            [quorum] => Ok(Self {
                logs: parser.logs,
                parties: parser.parties,
                quorum,
            }),
            _ => Err(PolicyError::QuorumLines {
                got: parser.quorums.len(),
            }),
        }
    }

    /// Whether a checkpoint is signed by a log of the policy and witnessed by its quorum. A policy
    /// that names no log accepts none: `skep verify` then says that the key is the bundle's own.
    ///
    /// # Errors
    ///
    /// [`PolicyUnmet`].
    pub fn check(&self, checkpoint: &Checkpoint) -> Result<PolicyReport, PolicyUnmet> {
        let (origin, note) = (checkpoint.origin(), checkpoint.note());
        let mut logs = self.logs.iter().filter(|key| key.name() == origin);
        if !logs.any(|key| note.verify(key).is_ok()) {
            return Err(PolicyUnmet::NoLog {
                origin: origin.to_owned(),
            });
        }
        let mut witnesses = Vec::new();
        let mut held = Vec::with_capacity(self.parties.len());
        for party in &self.parties {
            held.push(match &party.what {
                What::Witness(key) => {
                    let time = note.verify(key).ok().flatten();
                    witnesses.extend(time.map(|time| (party.name.clone(), time)));
                    time.is_some()
                }
                What::Group { needed, members } => {
                    members.iter().filter(|&&member| held[member]).count() >= *needed
                }
            });
        }
        if let Some(quorum) = self.quorum
            && !held[quorum]
        {
            let cosigned = witnesses.into_iter().map(|(name, _)| name).collect();
            return Err(PolicyUnmet::Quorum {
                quorum: self.parties[quorum].name.clone(),
                cosigned,
            });
        }
        let (log, quorum_none) = (origin.to_owned(), self.quorum.is_none());
        Ok(PolicyReport {
            log,
            witnesses,
            quorum_none,
        })
    }
}

#[derive(Default)]
struct Parser {
    logs: Vec<VerifierKey>,
    parties: Vec<Party>,
    by_name: BTreeMap<Vec<u8>, usize>,
    members: BTreeSet<usize>,
    keys: BTreeSet<(bool, [u8; 32])>,
    quorums: Vec<Option<usize>>,
}

impl Parser {
    fn line(&mut self, line: usize, words: &[&[u8]]) -> Result<(), PolicyError> {
        if self.logs.len() >= POLICY_ITEMS_MAX || self.parties.len() >= 2 * POLICY_ITEMS_MAX {
            return Err(PolicyError::TooMany { line });
        }
        match words {
            [b"log", key] | [b"log", key, _] => {
                let key = self.key(line, key, KeyKind::Note)?;
                self.logs.push(key);
                Ok(())
            }
            [b"witness", name, key] | [b"witness", name, key, _] => {
                let key = self.key(line, key, KeyKind::Cosignature)?;
                self.define(line, name, What::Witness(key))
            }
            [b"group", name, needed, members @ ..] if !members.is_empty() => {
                let members = members
                    .iter()
                    .map(|name| self.member(line, name))
                    .collect::<Result<Vec<usize>, _>>()?;
                let needed = threshold(line, needed, members.len())?;
                self.define(line, name, What::Group { needed, members })
            }
            [b"quorum", b"none"] => {
                self.quorums.push(None);
                Ok(())
            }
            [b"quorum", name] => {
                let party = self.known(line, name)?;
                self.quorums.push(Some(party));
                Ok(())
            }
            _ => Err(PolicyError::Line { line }),
        }
    }

    fn key(&mut self, line: usize, key: &[u8], kind: KeyKind) -> Result<VerifierKey, PolicyError> {
        let text = String::from_utf8_lossy(key);
        let key = VerifierKey::parse(&text).map_err(|why| PolicyError::Key { line, why })?;
        if key.kind() != kind {
            return Err(PolicyError::KeyKind { line });
        }
        if !self.keys.insert((kind == KeyKind::Note, *key.public())) {
            return Err(PolicyError::DuplicateKey { line });
        }
        Ok(key)
    }

    fn define(&mut self, line: usize, name: &[u8], what: What) -> Result<(), PolicyError> {
        let text = String::from_utf8_lossy(name).into_owned();
        if name == b"none" || self.by_name.contains_key(name) {
            return Err(PolicyError::NameTaken { line, name: text });
        }
        self.by_name.insert(name.to_vec(), self.parties.len());
        self.parties.push(Party { name: text, what });
        Ok(())
    }

    fn known(&self, line: usize, name: &[u8]) -> Result<usize, PolicyError> {
        let unknown = || PolicyError::NameUnknown {
            line,
            name: String::from_utf8_lossy(name).into_owned(),
        };
        self.by_name.get(name).copied().ok_or_else(unknown)
    }

    fn member(&mut self, line: usize, name: &[u8]) -> Result<usize, PolicyError> {
        let party = self.known(line, name)?;
        if !self.members.insert(party) {
            let name = String::from_utf8_lossy(name).into_owned();
            return Err(PolicyError::MemberTwice { line, name });
        }
        Ok(party)
    }
}

fn threshold(line: usize, word: &[u8], members: usize) -> Result<usize, PolicyError> {
    let wrong = || PolicyError::Threshold {
        line,
        got: String::from_utf8_lossy(word).into_owned(),
        members,
    };
    match word {
        b"all" => Ok(members),
        b"any" => Ok(1),
        digits if digits.iter().all(u8::is_ascii_digit) => std::str::from_utf8(digits)
            .ok()
            .and_then(|digits| digits.parse().ok())
            .filter(|needed| (1..=members).contains(needed))
            .ok_or_else(wrong),
        _ => Err(wrong()),
    }
}
