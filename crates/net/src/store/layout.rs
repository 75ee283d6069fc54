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

/// The file that the one writer holds.
pub(crate) const LOCK: &str = "lock";

/// What a folder may hold whose observation a crash ended before it had a key. `lost+found` is that of an
/// empty file system.
const BEGINNINGS: &[&str] = &[LOCK, "operator.key.tmp", "lost+found"];

/// What makes a folder with the entries `names` unfit for an observation: something that lies there
/// although there is none yet.
pub(crate) fn foreign(names: &[String]) -> Option<&str> {
    let has = |part: &str| names.iter().any(|name| name == part);
    if has(KEY) || has(VKEY) {
        return None;
    }
    let found = names
        .iter()
        .find(|name| !BEGINNINGS.contains(&name.as_str()));
    found.map(String::as_str)
}

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
