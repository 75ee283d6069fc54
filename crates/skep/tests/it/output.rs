//! Where the output goes: to nobody, to a full disk, or nowhere at all. No command panics, and each ends
//! with the exit code that it deserves.

use std::{
    fs::File,
    path::Path,
    process::{Child, ExitStatus, Stdio},
};

use crate::support::{Running, done, interrupt, line_with, seeder, skep, wait_until};

/// A command in the folder that [`prepare`] makes, and the exit code that it deserves.
struct Row {
    args: &'static [&'static str],
    code: i32,
    ends: Ends,
}

/// What it takes to end a command.
#[derive(Clone, Copy)]
enum Ends {
    /// Nothing.
    ByItself,
    /// An interruption, which it gets as soon as it heeds one.
    Interrupted,
}

const fn row(code: i32, args: &'static [&'static str]) -> Row {
    let ends = Ends::ByItself;
    Row { args, code, ends }
}

const fn until_interrupted(code: i32, args: &'static [&'static str]) -> Row {
    let ends = Ends::Interrupted;
    Row { args, code, ends }
}

/// Every command but the demo, which has a test of its own.
const ROWS: &[Row] = &[
    row(0, &["create", "t", "--out", "c.torrent", "--force"]),
    row(0, &["inspect", "t.torrent"]),
    row(0, &["inspect", "t.torrent", "--json"]),
    row(
        0,
        &[
            "edit",
            "t.torrent",
            "--comment",
            "x",
            "--out",
            "e.torrent",
            "--force",
        ],
    ),
    until_interrupted(
        0,
        &["seed", "t.torrent", "t", "-v", "--listen", "127.0.0.1"],
    ),
    row(0, &["get", "t.torrent", "-v", "--listen", "127.0.0.1"]),
    until_interrupted(
        1,
        &[
            "get",
            "t.torrent",
            "-v",
            "--out",
            "empty",
            "--listen",
            "127.0.0.1",
        ],
    ),
    row(0, &["recheck", "t.torrent", "t"]),
    row(1, &["recheck", "t.torrent", "other"]),
    until_interrupted(
        0,
        &["tracker", "--http", "127.0.0.1:0", "--udp", "127.0.0.1:0"],
    ),
    row(
        0,
        &[
            "observe",
            "t.torrent",
            "--out",
            "seen",
            "--for",
            "1s",
            "--listen",
            "127.0.0.1",
        ],
    ),
    row(0, &["report", "obs"]),
    row(0, &["report", "obs", "--format", "csv"]),
    row(0, &["records", "obs"]),
    row(0, &["bundle", "obs", "--out", "again.tar"]),
    row(0, &["verify", "o.tar"]),
    row(0, &["verify", "o.tar", "--json"]),
    row(4, &["verify", "other"]),
    row(0, &["completions", "bash"]),
    row(0, &["--help"]),
    row(0, &["help", "get"]),
    row(0, &["--version"]),
];

/// `COMMAND | true` and `COMMAND 2>&1 | true`.
#[test]
fn a_reader_that_leaves_ends_no_command_and_changes_no_exit_code() {
    let dir = prepare();
    for Row { args, code, ends } in ROWS {
        let mut child = start(dir.path(), args, closed(), Stdio::piped());
        let heard = child.0.stderr.take().expect("it is piped");
        let status = ended(child, *ends);
        let said = std::io::read_to_string(heard).expect("text");
        assert_eq!(status.code(), Some(*code), "{args:?} | true: {said}");
        assert!(!said.contains("error:"), "{args:?}: {said}");

        let status = ended(start(dir.path(), args, closed(), closed()), *ends);
        assert_eq!(status.code(), Some(*code), "{args:?} 2>&1 | true");
    }
}

/// `COMMAND > /dev/full`: what was asked for cannot be had, and that is said.
#[test]
fn a_full_disk_under_the_results_is_an_error_that_says_so() {
    let dir = prepare();
    for Row { args, ends, .. } in ROWS {
        // The tracker has nowhere to print its addresses, and so does not begin.
        let ends = if args[0] == "tracker" {
            Ends::ByItself
        } else {
            *ends
        };
        let mut child = start(dir.path(), args, full(), Stdio::piped());
        let heard = child.0.stderr.take().expect("it is piped");
        let status = ended(child, ends);
        let said = std::io::read_to_string(heard).expect("text");
        assert_eq!(status.code(), Some(3), "{args:?} > /dev/full: {said}");
        assert!(
            said.contains(
                "error: write to standard output: No space left on device (os error 28)\nhint: "
            ),
            "{args:?}: {said}"
        );
    }
}

/// `COMMAND 2> /dev/full`: progress and notes are lost, and nothing else.
#[test]
fn a_full_disk_under_standard_error_changes_nothing() {
    let dir = prepare();
    for Row { args, code, ends } in ROWS {
        let status = ended(start(dir.path(), args, Stdio::null(), full()), *ends);
        assert_eq!(status.code(), Some(*code), "{args:?} 2> /dev/full");
    }
}

/// Errors, too, may find no reader; the exit code is theirs.
#[test]
fn errors_that_nobody_reads_keep_their_exit_codes() {
    let dir = prepare();
    for (code, args) in [
        (2, &["create"][..]),
        (2, &["get", "absent.torrent"]),
        (2, &["demo", "--out", "obs"]),
        (3, &["report", "absent"]),
    ] {
        let status = ended(start(dir.path(), args, closed(), closed()), Ends::ByItself);
        assert_eq!(status.code(), Some(code), "{args:?}");
    }
}

/// A transfer is wanted for what it transfers: both ends say everything, nobody hears it, and the content
/// arrives.
#[test]
fn a_transfer_that_nobody_hears_goes_on() {
    let dir = prepare();
    let (_seeder, addr) = {
        let args = ["seed", "t.torrent", "t", "-v", "--listen", "127.0.0.1"];
        let mut seeder = start(dir.path(), &args, closed(), Stdio::piped());
        let line = line_with(&mut seeder.0, "listening on ");
        (
            seeder,
            line.rsplit(' ').next().expect("an address").to_owned(),
        )
    };
    let args = [
        "get",
        "t.torrent",
        "-v",
        "--out",
        "empty",
        "--listen",
        "127.0.0.1",
        "--peer",
        &addr,
    ];
    let status = ended(start(dir.path(), &args, closed(), closed()), Ends::ByItself);
    assert_eq!(status.code(), Some(0));
    let read = |path: &str| std::fs::read(dir.path().join(path)).expect("there");
    assert!(read("empty/t") == read("t"));
}

/// The demo takes its time, so it is run once: nobody hears it, and its exit code is that of its score.
#[test]
fn a_demo_that_nobody_hears_is_played_to_its_end() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let args = ["demo", "--seed", "7", "--seconds", "24", "--out", "demo"];
    let child = start(dir.path(), &args, closed(), closed());
    let status = ended(child, Ends::ByItself);
    let score = std::fs::read(dir.path().join("demo/score.json")).expect("it is scored");
    let score: serde_json::Value = serde_json::from_slice(&score).expect("JSON");
    let passed = score["failures"].as_array().is_some_and(Vec::is_empty);
    let code = if passed { 0 } else { 1 };
    assert_eq!(status.code(), Some(code), "{}", score["failures"]);
}

/// A new command gets a row, or this fails.
#[test]
fn every_command_has_a_row() {
    let help = done(Path::new("."), &["--help"]);
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let commands = commands.take_while(|line| !line.is_empty());
    let names: Vec<&str> = commands
        .filter_map(|line| line.strip_prefix("  ")?.split(' ').next())
        .filter(|name| !name.is_empty())
        .collect();
    assert!(names.len() > 10, "{names:?}");
    for name in names {
        let has_row = name == "demo" || ROWS.iter().any(|row| row.args[0] == name);
        assert!(has_row, "{name}");
    }
}

/// A file, its torrent, something else, an observation of the file, and the bundle of that.
fn prepare() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("temporary folder");
    let dir = folder.path();
    std::fs::write(dir.join("t"), vec![7; 200_000]).expect("written");
    std::fs::write(dir.join("other"), "neither the content nor a bundle").expect("written");
    std::fs::create_dir(dir.join("empty")).expect("made");
    done(dir, &["create", "t", "--piece-size", "64KiB"]);
    let (_seeder, addr) = seeder(dir, "127.0.0.1");
    let observe = ["observe", "t.torrent", "--out", "obs", "--for", "1s"];
    done(
        dir,
        &[&observe[..], &["--listen", "127.0.0.1", "--peer", &addr]].concat(),
    );
    done(dir, &["bundle", "obs", "--out", "o.tar"]);
    folder
}

fn start(dir: &Path, args: &[&str], stdout: Stdio, stderr: Stdio) -> Running {
    let mut command = skep(dir, args);
    command.stdout(stdout).stderr(stderr);
    Running(command.spawn().expect("it starts"))
}

fn ended(mut child: Running, ends: Ends) -> ExitStatus {
    match ends {
        Ends::ByItself => {}
        Ends::Interrupted => {
            wait_until(|| heeds_interruptions(&child.0));
            interrupt(&child.0);
        }
    }
    wait_until(|| child.0.try_wait().expect("it is ours").is_some());
    child.0.wait().expect("it has ended")
}

/// Whether the program catches SIGINT by now.
fn heeds_interruptions(child: &Child) -> bool {
    const SIGINT_BIT: u64 = 1 << 1;
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).expect("it runs");
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let caught = caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    caught.is_some_and(|mask| mask & SIGINT_BIT != 0)
}

/// A pipe that nobody reads.
fn closed() -> Stdio {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    writer.into()
}

/// A disk without room.
fn full() -> Stdio {
    File::options()
        .write(true)
        .open("/dev/full")
        .expect("there is one")
        .into()
}
