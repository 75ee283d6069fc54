//! `skep seed` and `skep get` as programs: a kill at any moment loses no verified piece.

use std::{path::Path, process::Stdio};

use crate::support::{Running, done, interrupt, line_with, run, seeder, skep, wait_until};

pub(crate) const SIZE: u64 = 61 * PIECE;
pub(crate) const PIECE: u64 = 65_536;

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

/// Makes `t` and its torrent.
pub(crate) fn content(dir: &Path) {
    let bytes: Vec<u8> = (0..SIZE)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    std::fs::write(dir.join("t"), bytes).expect("written");
    done(dir, &["create", "t", "--piece-size", "64KiB"]);
}

/// Bytes in the pieces of `out/t` that are what they should be.
pub(crate) fn bytes_right(dir: &Path) -> u64 {
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

/// Few descriptors at both ends, and disk space taken before: 15,000 files with 512 in the long form, and
/// 3,000 with 128 otherwise.
#[test]
fn a_torrent_of_thousands_of_files_needs_few_descriptors() {
    let long = std::env::var_os("SKEP_LONG").is_some();
    let (files, descriptors) = if long { (15_000, 512) } else { (3_000, 128) };
    let dir = tempfile::tempdir().expect("temporary folder");
    for n in 0..files {
        let folder = dir.path().join(format!("t/{}", n / 500));
        if n % 500 == 0 {
            std::fs::create_dir_all(&folder).expect("created");
        }
        std::fs::write(folder.join(format!("{n}")), format!("{n}").repeat(20)).expect("written");
    }
    done(dir.path(), &["create", "t", "--piece-size", "16KiB"]);
    let limited = |args: &str| {
        let program = env!("CARGO_BIN_EXE_skep");
        let mut command = std::process::Command::new("sh");
        command.current_dir(dir.path()).stdin(Stdio::null());
        command.args([
            "-c",
            &format!("ulimit -n {descriptors} && exec {program} {args}"),
        ]);
        command
    };
    let mut seed = limited("seed t.torrent t --listen 127.0.0.1");
    seed.stdout(Stdio::null()).stderr(Stdio::piped());
    let mut seed = Running(seed.spawn().expect("started"));
    let line = line_with(&mut seed.0, "listening on ");
    let addr = line.rsplit(' ').next().expect("an address");
    let get = format!("get t.torrent --out out --listen 127.0.0.1 --preallocate --peer {addr}");
    let output = limited(&get).output().expect("ran");
    assert!(output.status.success(), "{output:?}");
    for n in 0..files {
        let path = dir.path().join(format!("out/t/{}/{n}", n / 500));
        let text = std::fs::read_to_string(path).expect("arrived");
        assert_eq!(text, format!("{n}").repeat(20));
    }
}

/// The files go where the user wants them once they are whole; what lies in the way there is named and stays.
#[test]
fn a_finished_download_is_moved() {
    let dir = tempfile::tempdir().expect("temporary folder");
    content(dir.path());
    let (_seeder, addr) = seeder(dir.path(), "127.0.0.1");
    let get = ["get", "t.torrent", "--listen", "127.0.0.1", "--peer", &addr];
    done(
        dir.path(),
        &[&get[..], &["--out", "out", "--move-to", "done/for good"]].concat(),
    );
    let source = std::fs::read(dir.path().join("t")).expect("read");
    assert!(std::fs::read(dir.path().join("done/for good/t")).expect("moved") == source);
    assert!(!dir.path().join("out/t").exists());

    let again = run(
        dir.path(),
        &[&get[..], &["--out", "again", "--move-to", "done/for good"]].concat(),
    );
    assert_eq!(again.status.code(), Some(3));
    let said = String::from_utf8(again.stderr).expect("text");
    assert!(
        said.contains("complete, but not moved: done/for good/t is there already"),
        "{said}"
    );
    assert!(std::fs::read(dir.path().join("again/t")).expect("it stayed") == source);
}
