//! An observation handed over: `observe`, `report`, `bundle` and `verify` as programs, with their exit
//! codes, and the bundle in the hands of other people's tools.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use crate::support::{done, interrupt, run, seeder, skep, wait_until, wait_within};

/// A small observation: a seeder, and a port where nobody is. It lasts until two pieces of the seeder's
/// are on the disk, and an attempt at the port that failed.
fn observed(dir: &Path) {
    std::fs::write(dir.join("t"), vec![7; 200_000]).expect("written");
    done(dir, &["create", "t", "--piece-size", "64KiB"]);
    let (_seeder, addr) = seeder(dir, "127.0.0.1");
    let args = ["observe", "t.torrent", "--out", "obs", "--pieces", "2"];
    let mut observer = skep(dir, &args);
    observer.args(["--listen", "127.0.0.1", "--for", "10m"]);
    observer.args(["--peer", &addr, "--peer", "127.0.0.1:1"]);
    observer.stdout(Stdio::null()).stderr(Stdio::null());
    let observer = observer.spawn().expect("it starts");
    let count = |records: &str, kind: &str| records.matches(&format!("\"{kind}\"")).count();
    wait_until(|| {
        let records = run(dir, &["records", "obs"]).stdout;
        let records = String::from_utf8_lossy(&records);
        count(&records, "verified") >= 2 && count(&records, "attempt-failed") >= 1
    });
    interrupt(&observer);
    let ended = wait_within(observer, 60);
    assert!(ended.status.success(), "{ended:?}");
}

#[test]
fn what_was_observed_is_reported_bundled_and_verified() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let dir = dir.path();
    observed(dir);

    let table = done(dir, &["report", "obs"]);
    assert!(
        table.contains("verified") && table.contains("listed"),
        "{table}"
    );
    let first = std::fs::read(dir.join("obs/report/report.html")).expect("written");
    done(dir, &["report", "obs"]);
    assert_eq!(
        std::fs::read(dir.join("obs/report/report.html")).expect("written"),
        first
    );
    let csv = done(dir, &["report", "obs", "--format", "csv"]);
    assert_eq!(csv.lines().count(), 3, "{csv}");
    let json = done(dir, &["report", "obs", "--format", "json"]);
    let json: serde_json::Value = serde_json::from_str(&json).expect("it is JSON");
    assert_eq!(json["swarms"][0]["endpoints"][0]["grade"], "verified");

    done(dir, &["bundle", "obs", "--out", "o.tar"]);
    let said = done(dir, &["verify", "o.tar"]);
    assert!(said.starts_with("Without --policy"), "{said}");
    assert!(
        said.contains("2 pieces hashed and found to be the torrent's"),
        "{said}"
    );
    done(dir, &["bundle", "obs", "--out", "again.tar"]);
    assert!(
        read(dir, "o.tar") == read(dir, "again.tar"),
        "one observation, one bundle"
    );

    let vkey = std::fs::read_to_string(dir.join("obs/operator.vkey")).expect("there");
    std::fs::write(dir.join("policy"), format!("log {vkey}quorum none\n")).expect("written");
    let said = done(dir, &["verify", "o.tar", "--policy", "policy", "--json"]);
    let said: serde_json::Value = serde_json::from_str(&said).expect("it is JSON");
    assert_eq!(
        (&said["verified"], &said["policy"]),
        (&true.into(), &true.into())
    );
}

#[test]
fn a_changed_bundle_exits_with_4_and_names_the_part() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let dir = dir.path();
    observed(dir);
    done(dir, &["bundle", "obs", "--out", "o.tar"]);
    let mut bytes = read(dir, "o.tar");
    let journal = bytes
        .windows(17)
        .rposition(|at| at == b"runs/0001/journal")
        .expect("a member");
    // The member's header takes 512 bytes. Where little happened the journal is short, and padding follows.
    bytes[journal + 512 + 20] ^= 1;
    std::fs::write(dir.join("o.tar"), bytes).expect("written");
    let output = run(dir, &["verify", "o.tar"]);
    assert_eq!(output.status.code(), Some(4));
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        said.contains("DOES NOT VERIFY: MANIFEST: runs/0001/journal hashes to"),
        "{said}"
    );
}

#[test]
fn wrong_use_exits_with_2_and_missing_files_with_3() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let dir = dir.path();
    std::fs::write(dir.join("policy"), "lock the door\n").expect("written");
    std::fs::write(dir.join("o.tar"), "no bundle").expect("written");
    for (args, code) in [
        (&["verify"][..], 2),
        (&["verify", "o.tar", "--policy", "policy"], 2),
        (&["verify", "o.tar", "--policy", "absent"], 3),
        (&["verify", "absent.tar"], 3),
        (&["verify", "."], 3),
        (&["verify", "o.tar"], 4),
        (&["report", "absent"], 3),
        (&["report", "absent", "--format", "pdf"], 2),
        (&["bundle", "absent"], 3),
    ] {
        let output = run(dir, args);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {output:?}");
    }
}

/// `tar` unpacks the bundle and `sha256sum` checks it, as README.txt in it says.
#[test]
fn other_tools_open_the_bundle() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let dir = dir.path();
    observed(dir);
    done(dir, &["bundle", "obs", "--out", "o.tar"]);
    let shell = "mkdir out && tar -xf o.tar -C out && cd out && sha256sum --check --quiet MANIFEST";
    let output = Command::new("sh")
        .current_dir(dir)
        .args(["-c", shell])
        .output()
        .expect("a shell");
    assert!(output.status.success(), "{output:?}");
    assert!(
        !dir.join("out/operator.key").exists(),
        "the secret key stays at home"
    );
}

/// A reader that has read enough (`skep verify BUNDLE | head -1`) ends nothing with a panic, and the
/// exit code is still the finding's.
#[test]
fn a_reader_that_leaves_does_not_change_the_verdict() {
    let dir = tempfile::tempdir().expect("temporary folder");
    std::fs::write(dir.path().join("junk.tar"), b"junk").expect("written");
    let child = skep(dir.path(), &["verify", "junk.tar"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.expect("it runs");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert!(!said.contains("panicked"), "{said}");
}

fn read(dir: &Path, name: &str) -> Vec<u8> {
    std::fs::read(dir.join(name)).expect("there")
}
