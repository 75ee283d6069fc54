//! Where a value comes from. A number in a report is worth what its origin is worth, so the type
//! carries the origin.

/// Another party said so: a bitfield, a tracker's list, a peer id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Said<T>(pub T);

/// We measured it: an arrival, a source address, a byte count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Observed<T>(pub T);

/// Observed and compared with a hash. Only the functions in this module that compare make one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Checked<T>(T);

impl<T> Checked<T> {
    /// Hashes `bytes` and returns `value` as checked if the digest is `expected`.
    ///
    /// # Errors
    ///
    /// The digest that the bytes do have.
    pub fn sha1(
        value: T,
        bytes: &[u8],
        expected: skep_hash::Sha1Digest,
    ) -> Result<Self, skep_hash::Sha1Digest> {
        let got = skep_hash::sha1(bytes);
        if got == expected {
            Ok(Self(value))
        } else {
            Err(got)
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
