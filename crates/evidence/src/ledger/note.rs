//! Signed notes and their keys (C2SP signed-note), Ed25519.

/// The key that a verifier needs: a name and an Ed25519 public key, as C2SP vkey text
/// (`<name>+<key id>+<base64>`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierKey {}

/// The key that signs, and its name.
#[derive(Debug)]
pub struct SigningKey {}

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
}

#[allow(unused_variables, clippy::todo)]
impl VerifierKey {
    /// Reads a vkey, with or without a final newline.
    ///
    /// # Errors
    ///
    /// [`KeyError`].
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        todo!("evidence")
    }

    /// The vkey text, without a newline.
    pub fn encode(&self) -> String {
        todo!("evidence")
    }

    /// The key's name: the origin line of its checkpoints.
    pub fn name(&self) -> &str {
        todo!("evidence")
    }
}

#[allow(unused_variables, clippy::todo)]
impl SigningKey {
    /// From 32 random bytes.
    ///
    /// # Errors
    ///
    /// [`KeyError::Name`].
    pub fn new(name: &str, seed: [u8; 32]) -> Result<Self, KeyError> {
        todo!("evidence")
    }

    /// Reads the text of [`SigningKey::encode`].
    ///
    /// # Errors
    ///
    /// [`KeyError`].
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        todo!("evidence")
    }

    /// The key as a line of text, to be kept secret.
    pub fn encode(&self) -> String {
        todo!("evidence")
    }

    /// The key that verifies.
    pub fn verifier(&self) -> VerifierKey {
        todo!("evidence")
    }
}
