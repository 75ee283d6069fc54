//! `skep demo` used wrongly. Used rightly, it is a stage of the test command: it scores itself.

use std::{path::Path, process::Stdio};

use crate::support::{interrupt, run, skep, wait_until, wait_within};

#[test]
fn what_lies_in_the_folder_already_is_not_mixed_with() {
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::write(dir.path().join("thesis.txt"), "mine").expect("it is writable");
    let path = dir.path().to_str().expect("a path in UTF-8");
    let (code, said) = demo(&["--out", path]);
    assert_eq!(code, Some(2), "{said}");
    assert!(
        said.contains("is not empty") && said.contains("hint: name a new folder"),
        "{said}"
    );
    assert_eq!(
        std::fs::read_dir(dir.path())
            .expect("it is readable")
            .count(),
        1
    );
}

/// Shorter than an honest peer has to stay, or so long that the minute is over.
#[test]
fn a_length_that_shows_nothing_is_refused() {
    for secs in ["5", "23", "46", "x"] {
        let (code, said) = demo(&["--seconds", secs, "--out", "nowhere"]);
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains("--seconds"), "{said}");
    }
    assert!(!Path::new("nowhere").exists());
}

/// Half a demo shows nothing, so the folder is named for what it is.
#[test]
fn an_interrupted_demo_says_what_it_leaves() {
    let dir = tempfile::tempdir().expect("a folder");
    let said = dir.path().join("said");
    let errors = std::fs::File::create(&said).expect("it is writable");
    let mut command = skep(dir.path(), &["demo", "--seed", "7", "--out", "half"]);
    command.stdout(Stdio::null()).stderr(errors);
    let child = command.spawn().expect("it starts");
    let said = || std::fs::read_to_string(&said).expect("text");
    wait_until(|| said().contains("files in half"));
    interrupt(&child);
    let ended = wait_within(child, 60);
    assert_eq!(ended.status.code(), Some(130), "{}", said());
    let expected = "interrupted: half holds half a demo, which shows nothing; remove it\n";
    assert!(said().ends_with(expected), "{}", said());
}

fn demo(args: &[&str]) -> (Option<i32>, String) {
    let output = run(Path::new("."), &[&["demo"], args].concat());
    assert!(output.stdout.is_empty());
    (
        output.status.code(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}
