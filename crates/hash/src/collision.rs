//! SHA-1 that looks for collision attacks.
//!
//! Two inputs with one SHA-1 are made by choosing blocks that steer the internal state along a known
//! differential path, and such blocks betray themselves: from one of the pair alone, the other can be
//! worked out and the collision of the states be seen ("counter-cryptanalysis", M. Stevens, CRYPTO 2013; all
//! attacks that are known to be practical take these paths). Innocent bytes bear such marks with a
//! probability near 2^-90. What it is not: a repair of SHA-1. An attack along another path is not seen, and
//! neither is a torrent file that names another digest than its reader thinks.
//!
//! It costs three to four times as much as a plain stream, and there are no lanes for it: for evidence, and on
//! demand.

use sha1_checked::{CollisionResult, Digest as _};

use crate::Sha1Digest;

/// The bytes bear the marks of a collision attack: other bytes with the same SHA-1 exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the bytes hash to {digest} and bear the marks of a SHA-1 collision attack")]
pub struct CollisionAttack {
    /// Their SHA-1, which is also that of other bytes.
    pub digest: Sha1Digest,
}

/// A SHA-1 over bytes that arrive in parts, and a look for collision attacks in them.
#[derive(Clone)]
pub struct DetectingSha1(sha1_checked::Sha1);

impl Default for DetectingSha1 {
    fn default() -> Self {
        // The crate's own remedy is another digest for such bytes; a torrent's digest is the plain one.
        Self(sha1_checked::Sha1::builder().safe_hash(false).build())
    }
}

impl DetectingSha1 {
    /// Starts an empty stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends `bytes`.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Returns the digest of everything appended.
    ///
    /// # Errors
    ///
    /// [`CollisionAttack`], with the digest.
    pub fn finish(self) -> Result<Sha1Digest, CollisionAttack> {
        match self.0.try_finalize() {
            CollisionResult::Ok(digest) => Ok(Sha1Digest(digest.into())),
            CollisionResult::Mitigated(digest) | CollisionResult::Collision(digest) => {
                let digest = Sha1Digest(digest.into());
                Err(CollisionAttack { digest })
            }
        }
    }
}

/// Returns the SHA-1 of `bytes`, in which no collision attack was found.
///
/// # Errors
///
/// [`CollisionAttack`], with the digest.
pub fn sha1_detecting(bytes: &[u8]) -> Result<Sha1Digest, CollisionAttack> {
    let mut sha1 = DetectingSha1::new();
    sha1.update(bytes);
    sha1.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sha1;

    const ONE: &[u8] = include_bytes!("../../../testdata/sha1/shattered-1.bin");
    const OTHER: &[u8] = include_bytes!("../../../testdata/sha1/shattered-2.bin");

    #[test]
    fn two_inputs_with_one_sha1_are_both_found() {
        assert_ne!(ONE, OTHER);
        let digest = sha1(ONE);
        assert_eq!(
            digest.to_string(),
            "f92d74e3874587aaf443d1db961d4e26dde13e9c"
        );
        for bytes in [ONE, OTHER] {
            assert_eq!(sha1_detecting(bytes), Err(CollisionAttack { digest }));
            // What follows the attack has one SHA-1 for both, too.
            let followed = [bytes, b"and whatever else"].concat();
            let digest = sha1(&[ONE, b"and whatever else"].concat());
            assert_eq!(sha1_detecting(&followed), Err(CollisionAttack { digest }));
        }
    }

    #[test]
    fn an_attack_is_found_however_its_bytes_arrive() {
        for cut in [1, 63, 64, 192, 200, 319] {
            let mut stream = DetectingSha1::new();
            stream.update(&ONE[..cut]);
            stream.update(&ONE[cut..]);
            assert!(stream.finish().is_err(), "cut at {cut}");
        }
    }

    /// The pair's first three blocks, which both have; the pair broken by one bit; the pair after other
    /// bytes, from which its blocks do not collide.
    #[test]
    fn bytes_without_an_attack_have_their_plain_sha1() {
        let mut broken = ONE.to_vec();
        broken[200] ^= 1;
        let moved = [&[0; 64], ONE].concat();
        let long: Vec<u8> = (0..100_000_u32).map(|n| (n * 31 / 7) as u8).collect();
        for bytes in [&ONE[..192], &broken, &moved, &long, b""] {
            assert_eq!(sha1_detecting(bytes), Ok(sha1(bytes)));
        }
    }
}
