//! Where things are in an observation's folder, beside the ledger.

use skep_hash::Sha256Digest;

/// The secret key.
pub(crate) const KEY: &str = "operator.key";
/// The public key.
pub(crate) const VKEY: &str = "operator.vkey";
/// The folder of runs.
pub(crate) const RUNS: &str = "runs";
/// The folder of blobs.
pub(crate) const BLOBS: &str = "blobs";

/// The folder of a run.
pub(crate) fn run(run: u32) -> String {
    format!("{RUNS}/{run:04}")
}

/// The journal of a run.
pub(crate) fn journal(run: u32) -> String {
    format!("{}/journal", self::run(run))
}

/// The capture of a run.
pub(crate) fn capture(run: u32) -> String {
    format!("{}/capture.pcapng", self::run(run))
}

/// The blob with a digest.
pub(crate) fn blob(digest: &Sha256Digest) -> String {
    format!("{BLOBS}/{digest}")
}
