//! A program that was written from `docs/evidence-format.md` alone, in another language, judges the
//! golden observation. So page and code cannot part unseen.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

fn crate_dir() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn judge(folder: &Path) -> Output {
    Command::new("python3")
        .arg(crate_dir().join("tests/stranger/verify.py"))
        .arg(folder)
        .arg("--samples")
        .output()
        .expect("python3 was there a moment ago")
}

/// A copy of the golden observation, removed however the test ends.
struct Copy(PathBuf);

impl Copy {
    fn make() -> Self {
        let copy = Self(std::env::temp_dir().join(format!("skep-stranger-{}", std::process::id())));
        copy_dir(&crate_dir().join("../../testdata/ledger/format-1"), &copy.0);
        copy
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("writable");
    for entry in fs::read_dir(from).expect("readable") {
        let entry = entry.expect("readable");
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_dir(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).expect("writable");
        }
    }
}

#[test]
fn a_stranger_with_only_the_page_agrees() {
    if Command::new("python3").arg("--version").output().is_err() {
        eprintln!("SKIPPED a_stranger_with_only_the_page_agrees: no python3 on this machine");
        return;
    }
    let copy = Copy::make();
    let output = judge(&copy.0);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    for sentence in [
        "checkpoint of 258 records signed by observer.example/1",
        "258 records of 28 kinds are canonical bencode",
        "record 7 is proved",
        "run 1: 16 journal entries render the capture's 12 packets",
    ] {
        assert!(said.contains(sentence), "{sentence:?} is not in {said}");
    }
    // What we refuse, the stranger refuses too.
    for (path, at) in [
        ("operator.vkey", 30),
        ("ledger/checkpoint", 25),
        ("ledger/checkpoint", 150),
        ("ledger/tile/entries/000", 5_000),
        ("ledger/tile/0/000", 77),
        ("ledger/tile/1/000.p/1", 3),
        ("ledger/pending/256", 30),
        ("record-7.tlog-proof", 60),
        ("runs/0001/journal", 400),
        ("runs/0001/capture.pcapng", 900),
    ] {
        let path = copy.0.join(path);
        let bytes = fs::read(&path).expect("readable");
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        fs::write(&path, changed).expect("writable");
        assert!(
            !judge(&copy.0).status.success(),
            "{}: byte {at} was not seen",
            path.display()
        );
        fs::write(&path, bytes).expect("writable");
    }
}
