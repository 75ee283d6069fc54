//! `skep get` onto a file system that is really full: 4 MiB in memory, mounted where nobody else sees it.

use std::{
    fs::File,
    path::Path,
    process::{Child, Command, Stdio},
};

use crate::{
    support::{interrupt, run, seeder, skep, wait_until, wait_within},
    transfer::{PIECE, SIZE, bytes_right, content},
};

/// Set for the run in the namespace, and names the folder of the test.
const INSIDE: &str = "SKEP_TEST_FULL_DISK";

/// The test runs itself again in a mount namespace of its own, so that nothing stays mounted, however it
/// ends. Root may do so, and elsewhere whoever may make user namespaces.
#[test]
fn a_full_disk_is_named_loses_nothing_and_the_download_goes_on_when_there_is_room() {
    if let Some(dir) = std::env::var_os(INSIDE) {
        return fills_up_and_goes_on(Path::new(&dir));
    }
    let dir = tempfile::tempdir().expect("temporary folder");
    std::fs::create_dir(dir.path().join("out")).expect("created");
    let mount = "mount -t tmpfs -o size=4m none out || exit 77; exec \"$@\"";
    let inside = |flags: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(flags).args(["sh", "-c", mount, "sh"]);
        command.current_dir(dir.path()).env(INSIDE, dir.path());
        command
    };
    let tries = [&["--mount"][..], &["--user", "--map-root-user", "--mount"]];
    let can = |flags: &&&[&str]| {
        let output = inside(flags).arg("true").output();
        let can = output.as_ref().is_ok_and(|output| output.status.success());
        if !can {
            eprintln!("unshare {flags:?}: {output:?}");
        }
        can
    };
    let Some(flags) = tries.iter().find(can) else {
        eprintln!("skipped: no file system can be mounted here");
        return;
    };
    let test = std::env::current_exe().expect("it has a name");
    let name =
        "full_disk::a_full_disk_is_named_loses_nothing_and_the_download_goes_on_when_there_is_room";
    let output = inside(flags)
        .arg(test)
        .args(["--exact", name, "--nocapture"])
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{output:?}"
    );
    assert!(
        bytes_right(dir.path()) == 0,
        "what is mounted is seen only there"
    );
}

fn fills_up_and_goes_on(dir: &Path) {
    content(dir);
    let filler = dir.join("out/filler");
    std::fs::write(&filler, vec![1; 2_000_000]).expect("written");
    let (_seeder, addr) = seeder(dir, "127.0.0.1");
    let get = |errors: &str| -> Child {
        let errors = File::create(dir.join(errors)).expect("created");
        let args = [
            "get",
            "t.torrent",
            "--out",
            "out",
            "--listen",
            "127.0.0.1",
            "--peer",
            &addr,
        ];
        let mut command = skep(dir, &args);
        command.stdout(Stdio::piped()).stderr(errors);
        command.spawn().expect("started")
    };
    let errors = |name: &str| std::fs::read_to_string(dir.join(name)).expect("text");
    let full = "write out/t: No space left on device";

    let first = get("first");
    wait_until(|| errors("first").contains(full));
    interrupt(&first);
    assert_eq!(wait_within(first, 20).status.code(), Some(3));
    let said = errors("first");
    assert!(said.contains(&format!("t: not complete: {full}")), "{said}");
    assert!(
        !dir.join("out/t.skep-resume.new").exists(),
        "no torn file is left"
    );
    let right = bytes_right(dir);
    assert!((1_900_000..SIZE).contains(&right), "{right}");

    // No room for anything: what is there stays.
    let second = wait_within(get("second"), 20);
    assert_eq!(second.status.code(), Some(3));
    assert!(
        errors("second").contains("No space left on device"),
        "{}",
        errors("second")
    );
    assert_eq!(bytes_right(dir), right);

    // Room for a few pieces; then, while it waits, for everything.
    std::fs::write(&filler, vec![1; (2_000_000 - 8 * PIECE) as usize]).expect("written");
    let third = get("third");
    wait_until(|| errors("third").contains(full));
    assert!(bytes_right(dir) > right, "what there was room for is there");
    std::fs::remove_file(&filler).expect("removed");
    let third = wait_within(third, 60);
    assert_eq!(third.status.code(), Some(0), "{}", errors("third"));
    assert!(errors("third").contains("the disk takes pieces again"));
    let said = String::from_utf8(third.stdout).expect("text");
    let received = (SIZE - right) as f64 / f64::from(1 << 20);
    assert!(
        said.contains(&format!("({received:.1} MiB received")),
        "{said} should say {received:.1}"
    );
    assert_eq!(bytes_right(dir), SIZE);
    assert_eq!(
        run(dir, &["recheck", "t.torrent", "out/t"]).status.code(),
        Some(0)
    );
}
