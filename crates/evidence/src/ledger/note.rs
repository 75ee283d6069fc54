//! Signed notes and their keys (C2SP signed-note): Ed25519 signatures of a log (type 0x01) and
//! timestamped cosignatures of witnesses (type 0x04, C2SP tlog-cosignature).
//!
//! ```text
//! vkey   <name>+<key id, 8 hex digits>+base64(type || public key)
//! key id first 4 bytes of SHA-256(name || 0x0A || type || public key)
//! note   <text ending in a newline> <newline> {— <name> base64(key id || signature) <newline>}
//! ```
//!
//! Whatever could be written in two ways is refused in all but one, so that no byte of a key or a
//! note can change unseen.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ed25519_dalek::{Signature, Signer as _};
use skep_hash::sha256;

/// Greatest size of a note in bytes.
pub const NOTE_BYTES_MAX: usize = 65_536;

/// Greatest number of signatures of a note; C2SP wants at least 16.
pub const SIGNATURES_MAX: usize = 64;

/// What a key signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyKind {
    /// The text of a note (a log's key).
    Note,
    /// A time and the text (a witness's key).
    Cosignature,
}

impl KeyKind {
    const fn byte(self) -> u8 {
        match self {
            Self::Note => 0x01,
            Self::Cosignature => 0x04,
        }
    }
}

/// The key that a verifier needs: a name and an Ed25519 public key, as C2SP vkey text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    kind: KeyKind,
    key: ed25519_dalek::VerifyingKey,
}

/// The key that signs, and its name.
pub struct SigningKey {
    name: String,
    kind: KeyKind,
    key: ed25519_dalek::SigningKey,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Why text is no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The name is empty, or has a space, a plus or a control character.
    #[error("key name {name:?} is empty or has a space, a plus or a control character")]
    Name {
        /// The name.
        name: String,
    },
    /// Not the parts of a key with plus signs between them.
    #[error("key has not the form name+id+base64")]
    Form,
    /// The encoded part is not base64, or not as long as a key.
    #[error("encoded part of the key is not base64 of 33 bytes")]
    Encoding,
    /// A type of signature that is not supported.
    #[error("key has signature type {got:#04x}, supported are 0x01 and 0x04")]
    Kind {
        /// The type.
        got: u8,
    },
    /// The bytes are no point of the curve.
    #[error("key is no Ed25519 public key")]
    Point,
    /// The id is not that of name and key.
    #[error("key id is {got}, name and key have {expected}")]
    Id {
        /// What the text says.
        got: String,
        /// What it should be.
        expected: String,
    },
}

fn check_name(name: &str) -> Result<(), KeyError> {
    let bad = |char: char| char.is_whitespace() || char.is_control() || char == '+';
    if name.is_empty() || name.contains(bad) {
        return Err(KeyError::Name {
            name: name.to_owned(),
        });
    }
    Ok(())
}

fn key_id(name: &str, kind: KeyKind, public: &[u8; 32]) -> [u8; 4] {
    let [a, b, c, d, ..] = sha256(&[name.as_bytes(), b"\n", &[kind.byte()], public].concat()).0;
    [a, b, c, d]
}

fn hex(id: [u8; 4]) -> String {
    format!("{:08x}", u32::from_be_bytes(id))
}

/// The kind and the 32 bytes in the encoded part of a key.
fn encoded_part(text: &str) -> Result<(KeyKind, [u8; 32]), KeyError> {
    let bytes = STANDARD.decode(text).map_err(|_| KeyError::Encoding)?;
    let [kind, key @ ..] = *<&[u8; 33]>::try_from(&bytes[..]).map_err(|_| KeyError::Encoding)?;
    match kind {
        0x01 => Ok((KeyKind::Note, key)),
        0x04 => Ok((KeyKind::Cosignature, key)),
        got => Err(KeyError::Kind { got }),
    }
}

fn check_id(got: &str, expected: [u8; 4]) -> Result<(), KeyError> {
    if got != hex(expected) {
        return Err(KeyError::Id {
            got: got.to_owned(),
            expected: hex(expected),
        });
    }
    Ok(())
}

impl VerifierKey {
    /// Reads a vkey, with or without a final newline.
    ///
    /// # Errors
    ///
    /// [`KeyError`].
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let text = text.strip_suffix('\n').unwrap_or(text);
        let (name, rest) = text.split_once('+').ok_or(KeyError::Form)?;
        let (id, encoded) = rest.split_once('+').ok_or(KeyError::Form)?;
        check_name(name)?;
        let (kind, public) = encoded_part(encoded)?;
        check_id(id, key_id(name, kind, &public))?;
        let key = ed25519_dalek::VerifyingKey::from_bytes(&public).map_err(|_| KeyError::Point)?;
        Ok(Self {
            name: name.to_owned(),
            kind,
            key,
        })
    }

    /// The vkey text, without a newline.
    pub fn encode(&self) -> String {
        let encoded = [&[self.kind.byte()][..], self.key.as_bytes()].concat();
        format!(
            "{}+{}+{}",
            self.name,
            hex(self.id()),
            STANDARD.encode(encoded)
        )
    }

    /// The key's name: the origin line of its checkpoints.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the key signs.
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// The public key.
    pub fn public(&self) -> &[u8; 32] {
        self.key.as_bytes()
    }

    fn id(&self) -> [u8; 4] {
        key_id(&self.name, self.kind, self.key.as_bytes())
    }
}

impl SigningKey {
    /// A log's key from 32 random bytes.
    ///
    /// # Errors
    ///
    /// [`KeyError::Name`].
    pub fn new(name: &str, seed: [u8; 32]) -> Result<Self, KeyError> {
        check_name(name)?;
        let key = ed25519_dalek::SigningKey::from_bytes(&seed);
        Ok(Self {
            name: name.to_owned(),
            kind: KeyKind::Note,
            key,
        })
    }

    /// A witness's key from 32 random bytes.
    ///
    /// # Errors
    ///
    /// [`KeyError::Name`].
    pub fn witness(name: &str, seed: [u8; 32]) -> Result<Self, KeyError> {
        Ok(Self {
            kind: KeyKind::Cosignature,
            ..Self::new(name, seed)?
        })
    }

    /// Reads the text of [`SigningKey::encode`].
    ///
    /// # Errors
    ///
    /// [`KeyError`].
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let text = text.strip_suffix('\n').unwrap_or(text);
        let rest = text.strip_prefix("PRIVATE+KEY+").ok_or(KeyError::Form)?;
        let (name, rest) = rest.split_once('+').ok_or(KeyError::Form)?;
        let (id, encoded) = rest.split_once('+').ok_or(KeyError::Form)?;
        check_name(name)?;
        let (kind, seed) = encoded_part(encoded)?;
        let key = ed25519_dalek::SigningKey::from_bytes(&seed);
        check_id(id, key_id(name, kind, key.verifying_key().as_bytes()))?;
        Ok(Self {
            name: name.to_owned(),
            kind,
            key,
        })
    }

    /// The key as a line of text, to be kept secret, in the form that Go's note package reads:
    /// `PRIVATE+KEY+<name>+<key id>+base64(type || seed)`.
    pub fn encode(&self) -> String {
        let encoded = [&[self.kind.byte()][..], self.key.as_bytes()].concat();
        let id = hex(self.verifier().id());
        format!(
            "PRIVATE+KEY+{}+{id}+{}",
            self.name,
            STANDARD.encode(encoded)
        )
    }

    /// The key that verifies.
    pub fn verifier(&self) -> VerifierKey {
        let key = self.key.verifying_key();
        VerifierKey {
            name: self.name.clone(),
            kind: self.kind,
            key,
        }
    }

    /// The key's name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// Why text is no note, or a signature does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoteError {
    /// Too large.
    #[error("note of {got} bytes, at most {NOTE_BYTES_MAX} are allowed")]
    TooLong {
        /// Its size.
        got: usize,
    },
    /// A control character other than a newline.
    #[error("note has the control character {got:#04x}")]
    Control {
        /// The character.
        got: u8,
    },
    /// No empty line before signature lines.
    #[error("note has no empty line before its signatures")]
    NoSignatures,
    /// Too many signatures.
    #[error("note has more than {SIGNATURES_MAX} signatures")]
    TooManySignatures,
    /// A line that is no signature line.
    #[error("line {line:?} of the note is no signature")]
    Line {
        /// The line.
        line: String,
    },
    /// No signature by this key.
    #[error("note has no signature by {key}")]
    NotSigned {
        /// The key's name.
        key: String,
    },
    /// A signature by this key that does not hold.
    #[error("signature by {key} does not hold")]
    BadSignature {
        /// The key's name.
        key: String,
    },
}

/// A text and its signatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<NoteSignature>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct NoteSignature {
    name: String,
    id: [u8; 4],
    signature: Vec<u8>,
}

impl Note {
    /// A note without a signature yet. The text ends in a newline and has no control characters.
    pub(super) fn unsigned(text: String) -> Self {
        Self {
            text,
            signatures: Vec::new(),
        }
    }

    /// Reads a note.
    ///
    /// # Errors
    ///
    /// [`NoteError`]; signatures are not checked yet.
    pub fn parse(note: &str) -> Result<Self, NoteError> {
        if note.len() > NOTE_BYTES_MAX {
            return Err(NoteError::TooLong { got: note.len() });
        }
        if let Some(&got) = note
            .as_bytes()
            .iter()
            .find(|&&byte| byte < 0x20 && byte != b'\n')
        {
            return Err(NoteError::Control { got });
        }
        let split = note.rfind("\n\n").ok_or(NoteError::NoSignatures)?;
        let (text, lines) = (&note[..=split], &note[split + 2..]);
        let lines = lines.strip_suffix('\n').ok_or(NoteError::NoSignatures)?;
        let mut signatures = Vec::new();
        for line in lines.split('\n') {
            if signatures.len() == SIGNATURES_MAX {
                return Err(NoteError::TooManySignatures);
            }
            signatures.push(NoteSignature::parse(line).ok_or_else(|| NoteError::Line {
                line: line.to_owned(),
            })?);
        }
        Ok(Self {
            text: text.to_owned(),
            signatures,
        })
    }

    /// The note as text.
    pub fn encode(&self) -> String {
        let mut note = format!("{}\n", self.text);
        for NoteSignature {
            name,
            id,
            signature,
        } in &self.signatures
        {
            let encoded = STANDARD.encode([&id[..], signature].concat());
            note += &format!("— {name} {encoded}\n");
        }
        note
    }

    /// The text, with its last newline.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Adds a signature over the text.
    pub fn sign(&mut self, key: &SigningKey) {
        let signature = key.key.sign(self.text.as_bytes()).to_bytes().to_vec();
        self.add(key, signature);
    }

    /// Adds a witness's cosignature over `utc_secs` (seconds since 1970) and the text.
    pub fn cosign(&mut self, key: &SigningKey, utc_secs: u64) {
        let mut signature = utc_secs.to_be_bytes().to_vec();
        signature.extend(key.key.sign(&self.cosigned(utc_secs)).to_bytes());
        self.add(key, signature);
    }

    fn add(&mut self, key: &SigningKey, signature: Vec<u8>) {
        let (name, id) = (key.name.clone(), key.verifier().id());
        self.signatures.push(NoteSignature {
            name,
            id,
            signature,
        });
    }

    fn cosigned(&self, utc_secs: u64) -> Vec<u8> {
        format!("cosignature/v1\ntime {utc_secs}\n{}", self.text).into_bytes()
    }

    /// Checks the signature by a log's key, or the cosignature by a witness's; for the latter
    /// returns its time in seconds since 1970, as the witness says. Signatures by other keys are
    /// ignored, as the specification wants.
    ///
    /// # Errors
    ///
    /// [`NoteError::NotSigned`] or [`NoteError::BadSignature`].
    pub fn verify(&self, key: &VerifierKey) -> Result<Option<u64>, NoteError> {
        let id = key.id();
        let mut by_key = self
            .signatures
            .iter()
            .filter(|one| one.name == key.name && one.id == id);
        let bad = || NoteError::BadSignature {
            key: key.name.clone(),
        };
        let Some(found) = by_key.next() else {
            return Err(NoteError::NotSigned {
                key: key.name.clone(),
            });
        };
        if by_key.next().is_some() {
            return Err(bad());
        }
        let (message, signature, time) = match key.kind {
            KeyKind::Note => (self.text.clone().into_bytes(), &found.signature[..], None),
            KeyKind::Cosignature => {
                let (time, signature) = found.signature.split_first_chunk().ok_or_else(bad)?;
                let time = u64::from_be_bytes(*time);
                (self.cosigned(time), signature, Some(time))
            }
        };
        let signature = Signature::from_slice(signature).map_err(|_| bad())?;
        key.key
            .verify_strict(&message, &signature)
            .map_err(|_| bad())?;
        Ok(time)
    }
}

impl NoteSignature {
    fn parse(line: &str) -> Option<Self> {
        let (name, encoded) = line.strip_prefix("— ")?.split_once(' ')?;
        check_name(name).ok()?;
        let bytes = STANDARD.decode(encoded).ok()?;
        let (id, signature) = bytes.split_first_chunk::<4>()?;
        Some(Self {
            name: name.to_owned(),
            id: *id,
            signature: signature.to_vec(),
        })
    }
}
