//! Where a value comes from. A number in a report is worth what its origin is worth, so the type
//! carries the origin.

use skep_hash::collision::CollisionAttack;

use crate::metainfo::{PieceDigests, PieceHashes};

/// Another party said so: a bitfield, a tracker's list, a peer id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Said<T>(pub T);

/// We measured it: an arrival, a source address, a byte count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Observed<T>(pub T);

/// Why bytes check nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotChecked {
    /// They have another digest.
    #[error("the bytes hash to {got}, not to {expected}")]
    Digest {
        /// What they hash to.
        got: PieceDigests,
        /// What they should.
        expected: PieceDigests,
    },
    /// They have the digest, and so have other bytes that somebody made together with them.
    #[error(transparent)]
    Attack(#[from] CollisionAttack),
}

/// Observed and compared with a hash. Only the functions in this module that compare make one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Checked<T>(T);

impl<T> Checked<T> {
    /// Hashes `bytes`, a whole piece, and returns `value` as checked if every digest that the torrent has
    /// of it is theirs, and, where SHA-1 speaks alone, no collision attack is in the bytes.
    ///
    /// # Errors
    ///
    /// [`NotChecked`]; another digest is named rather than an attack.
    pub fn piece(value: T, bytes: &[u8], expected: &PieceHashes) -> Result<Self, NotChecked> {
        let (got, attack) = expected.examine(bytes);
        let expected = expected.digests();
        match attack {
            _ if got != expected => Err(NotChecked::Digest { got, expected }),
            Some(attack) => Err(NotChecked::Attack(attack)),
            None => Ok(Self(value)),
        }
    }

    /// The value that was checked.
    pub fn get(&self) -> &T {
        &self.0
    }
}

/// Follows from other records by a named rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Derived<T> {
    /// What follows.
    pub value: T,
    /// The name of the rule, as in the documentation of the findings.
    pub rule: &'static str,
    /// Ledger indices of the records that it follows from.
    pub inputs: Vec<u64>,
}
