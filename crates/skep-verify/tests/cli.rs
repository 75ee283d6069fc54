//! The binary that sceptics run: its exit codes and its first line.

use std::{
    collections::BTreeMap,
    fs::File,
    path::Path,
    process::{Command, Stdio},
};

use skep_evidence::{
    bundle::build,
    ledger::{Ledger, SigningKey},
};
use skep_sim::memory::Memory;
use skep_verify::{contents, select};

/// The bundle of a ledger in which nothing stands yet, and its public key.
fn empty_bundle() -> (Vec<u8>, String) {
    let key = SigningKey::new("observer.example", [3; 32]).expect("a name");
    let vkey = key.verifier().encode();
    let (_, commit) = Ledger::create(key);
    let mut folder = Memory::default();
    folder.apply_all(&commit.ops);
    folder.put("operator.vkey", format!("{vkey}\n"));
    let selection = select(&folder).expect("an observation");
    let mut files: BTreeMap<String, Vec<u8>> = selection
        .files
        .iter()
        .map(|(path, _)| (path.clone(), folder.files[path].clone()))
        .collect();
    for (name, bytes) in selection.report.files() {
        files.insert(contents::report_path(name), bytes.to_vec());
    }
    (build(&files).expect("a bundle"), vkey)
}

fn run(dir: &Path, args: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_skep-verify"));
    let output = command
        .current_dir(dir)
        .args(args)
        .output()
        .expect("it runs");
    (
        output.status.code(),
        String::from_utf8(output.stdout).expect("text"),
    )
}

#[test]
fn exit_codes_tell_apart_what_is_wrong() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let dir = dir.path();
    let (bundle, vkey) = empty_bundle();
    let mut changed = bundle.clone();
    changed[700] ^= 1;
    let write = |name: &str, bytes: &[u8]| std::fs::write(dir.join(name), bytes).expect("written");
    write("good.tar", &bundle);
    write("changed.tar", &changed);
    write("policy", format!("log {vkey}\nquorum none\n").as_bytes());
    write("nonsense", b"nonsense\n");

    let (code, said) = run(dir, &["good.tar"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.starts_with("Without --policy, the keys found in the bundle prove only"));
    let (code, said) = run(dir, &["good.tar", "--policy", "policy"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(!said.contains("Without --policy"));
    let (code, said) = run(dir, &["good.tar", "--json"]);
    assert_eq!(code, Some(0));
    assert!(said.contains("\"verified\": true"), "{said}");
    let (code, said) = run(dir, &["changed.tar"]);
    assert_eq!(code, Some(4));
    assert!(said.contains("DOES NOT VERIFY"), "{said}");

    assert_eq!(run(dir, &["--help"]).0, Some(0));
    for args in [&[][..], &["a", "b"], &["--frob"], &["good.tar", "--policy"]] {
        assert_eq!(run(dir, args).0, Some(2), "{args:?}");
    }
    assert_eq!(run(dir, &["good.tar", "--policy", "nonsense"]).0, Some(2));
    assert_eq!(run(dir, &["absent.tar"]).0, Some(3));
    assert_eq!(run(dir, &["."]).0, Some(3));
    assert_eq!(run(dir, &["good.tar", "--policy", "absent"]).0, Some(3));
}

/// `skep-verify BUNDLE | head -1`: no panic, and the exit code is still the finding's. A full disk is
/// another matter.
#[test]
fn a_reader_that_leaves_changes_no_exit_code_and_a_full_disk_does() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let (bundle, _) = empty_bundle();
    std::fs::write(dir.path().join("good.tar"), &bundle).expect("written");
    std::fs::write(dir.path().join("junk.tar"), b"junk").expect("written");
    let ended = |args: &[&str], stdout: Stdio, stderr: Stdio| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_skep-verify"));
        command.current_dir(dir.path()).args(args);
        command.stdout(stdout).stderr(stderr);
        let output = command.output().expect("it runs");
        let said = String::from_utf8(output.stderr).expect("text");
        (output.status.code(), said)
    };
    let full = || {
        Stdio::from(
            File::options()
                .write(true)
                .open("/dev/full")
                .expect("there"),
        )
    };
    for (args, code) in [
        (&["good.tar"][..], 0),
        (&["good.tar", "--json"], 0),
        (&["junk.tar"], 4),
        (&["--help"], 0),
    ] {
        let read_enough = ended(args, closed(), Stdio::piped());
        assert_eq!(read_enough, (Some(code), String::new()), "{args:?}");
        assert_eq!(ended(args, closed(), closed()).0, Some(code), "{args:?}");
        let (code, said) = ended(args, full(), Stdio::piped());
        assert_eq!(code, Some(3), "{args:?}: {said}");
        assert!(
            said.starts_with("error: write to standard output: No space left"),
            "{said}"
        );
    }
    assert_eq!(ended(&["--frob"], closed(), closed()).0, Some(2));
}

/// A pipe that nobody reads.
fn closed() -> Stdio {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    writer.into()
}
