//! `skep seed` and `skep get` as programs: a kill at any moment loses no verified piece.

use std::{path::Path, process::Stdio};

use crate::support::{done, interrupt, run, seeder, skep, wait_until};

const SIZE: u64 = 61 * PIECE;
const PIECE: u64 = 65_536;

/// Kills a download again and again at odd moments. Each time, what was there before the kill is
/// still there, and the last run receives only what was missing.
#[test]
fn killed_downloads_fetch_no_verified_piece_again() {
    let dir = tempfile::tempdir().expect("temporary folder");
    content(dir.path());
    let (_seeder, addr) = seeder(dir.path(), "127.0.0.1");
    let get = |limit: &str| {
        let mut command = skep(dir.path(), &["get", "t.torrent", "--out", "out"]);
        command.args([
            "--listen",
            "127.0.0.1",
            "--peer",
            &addr,
            "--download-limit",
            limit,
        ]);
        command.stdout(Stdio::piped()).stderr(Stdio::null());
        command
    };
    let mut before = 0;
    for beyond in [200_000, 100_000, 500_000, 1] {
        let mut child = get("1MB").spawn().expect("started");
        wait_until(|| bytes_right(dir.path()) >= before + beyond);
        child.kill().expect("killed");
        child.wait().expect("over");
        let right = bytes_right(dir.path());
        assert!(
            right >= before + beyond,
            "{right} of {before} bytes are left after a kill"
        );
        before = right;
    }
    assert!(before < SIZE, "the kills came in the middle: {before}");

    let output = get("1TB").output().expect("ran");
    assert!(output.status.success());
    let said = String::from_utf8(output.stdout).expect("text");
    let received = (SIZE - before) as f64 / f64::from(1 << 20);
    let expected = format!("({received:.1} MiB received");
    assert!(said.contains(&expected), "{said:?} should say {expected:?}");
    let (source, out) = (dir.path().join("t"), dir.path().join("out/t"));
    assert!(std::fs::read(source).expect("read") == std::fs::read(out).expect("read"));
}

/// The first interruption ends a download cleanly: exit code 1, and a resume file for the next run.
#[test]
fn interrupted_download_ends_cleanly_and_says_how_far_it_came() {
    let dir = tempfile::tempdir().expect("temporary folder");
    content(dir.path());
    let (_seeder, addr) = seeder(dir.path(), "127.0.0.1");
    let child = skep(dir.path(), &["get", "t.torrent", "--out", "out"])
        .args(["--listen", "127.0.0.1", "--peer", &addr])
        .args(["--download-limit", "1MB"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("started");
    wait_until(|| dir.path().join("out/t").exists());
    interrupt(&child);
    let output = child.wait_with_output().expect("over");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stdout).expect("text");
    assert!(
        said.starts_with("t: not complete, ") && said.ends_with("of 3.8 MiB\n"),
        "{said}"
    );
    assert!(dir.path().join("out/t.skep-resume").exists());
}

fn content(dir: &Path) {
    let bytes: Vec<u8> = (0..SIZE)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    std::fs::write(dir.join("t"), bytes).expect("written");
    done(dir, &["create", "t", "--piece-size", "64KiB"]);
}

/// Bytes in the pieces of `out/t` that are what they should be.
fn bytes_right(dir: &Path) -> u64 {
    if !dir.join("out/t").exists() {
        return 0;
    }
    let output = run(dir, &["recheck", "t.torrent", "out/t"]);
    let text = String::from_utf8(output.stdout).expect("text");
    let count: u64 = text
        .split(' ')
        .next()
        .and_then(|n| n.parse().ok())
        .expect("a count");
    count * PIECE
}
