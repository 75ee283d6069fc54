//! `skep observe` as a user runs it: interrupted, killed, and run again.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    process::{Child, Command, Output, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

const SKEP: &str = env!("CARGO_BIN_EXE_skep");

/// Ctrl-C ends the run cleanly, with everything that was seen, and the bundle of it verifies.
#[test]
fn an_interruption_ends_the_run_with_nothing_lost() {
    let case = Case::new("127.0.71");
    let mut observer = case.observe(&[]);
    case.wait_for_bytes(&mut observer);
    interrupt(&observer);
    let ended = wait_within(observer, 20);
    assert!(ended.status.success(), "{ended:?}");
    let said = String::from_utf8_lossy(&ended.stdout);
    assert!(said.contains("1 delivered a verified piece"), "{said}");
    case.assert_verifies();
}

/// Killed at some moment, again and again: each time the folder opens, the next run continues the
/// ledger, and in the end every run that was cut still replays.
#[test]
fn a_killed_run_is_cut_where_it_was_acknowledged_and_the_next_one_continues() {
    let case = Case::new("127.0.72");
    for kill in 0..4 {
        let mut observer = case.observe(&["--whole"]);
        case.wait_for_bytes(&mut observer);
        std::thread::sleep(Duration::from_millis(37 * kill));
        observer.kill().expect("it runs");
        observer.wait().expect("it was killed");
    }
    let last = wait_within(case.observe(&["--for", "2s"]), 30);
    assert!(last.status.success(), "{last:?}");
    let said = String::from_utf8_lossy(&last.stdout);
    assert!(said.starts_with("run 5 of "), "{said}");
    case.assert_verifies();
}

#[test]
fn wrong_use_says_what_is_wrong() {
    let case = Case::new("127.0.73");
    let run = |args: &[&str]| {
        Command::new(SKEP)
            .current_dir(case.dir.path())
            .args(args)
            .output()
            .expect("it runs")
    };
    let nothing = run(&["observe", "nowhere.torrent", "--out", "seen"]);
    assert_eq!(nothing.status.code(), Some(2), "{nothing:?}");
    let two = [
        "observe",
        "t.torrent",
        "--out",
        "seen",
        "--bind",
        "127.0.73.4",
    ];
    let two = run(&[&two[..], &["--listen", "127.0.73.5"]].concat());
    assert_eq!(two.status.code(), Some(2), "{two:?}");
    assert!(!case.dir.path().join("seen").exists(), "nothing was made");

    let taken = std::net::TcpListener::bind("127.0.73.6:0").expect("bound");
    let taken = taken.local_addr().expect("it has one").to_string();
    let busy = run(&["observe", "t.torrent", "--out", "seen", "--listen", &taken]);
    assert_eq!(busy.status.code(), Some(3), "{busy:?}");
    let said = String::from_utf8_lossy(&busy.stderr).into_owned();
    assert!(
        said.contains(&taken[..10]) && said.contains("hint:"),
        "{said}"
    );
}

/// A torrent, its seeder, and a folder for what is seen.
struct Case {
    dir: tempfile::TempDir,
    net: &'static str,
    seeder: Child,
    seeder_addr: String,
}

impl Case {
    fn new(net: &'static str) -> Self {
        let dir = tempfile::tempdir().expect("temporary folder");
        let bytes: Vec<u8> = (0..4_000_000u32)
            .map(|n| (n / 3).wrapping_add(n.wrapping_mul(n)) as u8)
            .collect();
        std::fs::write(dir.path().join("t"), bytes).expect("written");
        let made = Command::new(SKEP)
            .current_dir(dir.path())
            .args(["-q", "create", "t", "-o", "t.torrent"])
            .output()
            .expect("it runs");
        assert!(made.status.success(), "{made:?}");
        let mut seeder = Command::new(SKEP)
            .current_dir(dir.path())
            .args(["seed", "t.torrent", "t", "--listen", &format!("{net}.2")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let line = line_with(&mut seeder, "listening on ");
        let seeder_addr = line.rsplit(' ').next().expect("an address").to_owned();
        Self {
            dir,
            net,
            seeder,
            seeder_addr,
        }
    }

    fn observe(&self, more: &[&str]) -> Child {
        Command::new(SKEP)
            .current_dir(self.dir.path())
            .args(["observe", "t.torrent", "--out", "seen"])
            .args([
                "--listen",
                &format!("{}.1", self.net),
                "--peer",
                &self.seeder_addr,
            ])
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts")
    }

    /// Waits until the run has captured something of a piece, and it is on the disk.
    fn wait_for_bytes(&self, observer: &mut Child) {
        let line = line_with(observer, "listening on ");
        let run: u32 = line
            .split(' ')
            .nth(1)
            .and_then(|run| run.parse().ok())
            .expect("its number");
        let capture = self
            .dir
            .path()
            .join(format!("seen/runs/{run:04}/capture.pcapng"));
        let until = Instant::now() + Duration::from_secs(30);
        while std::fs::metadata(&capture).map_or(0, |meta| meta.len()) < 17_000 {
            assert!(Instant::now() < until, "nothing is captured");
            std::thread::sleep(Duration::from_millis(5));
        }
        // A little more, so that it is acknowledged, too.
        std::thread::sleep(Duration::from_millis(300));
    }

    /// What was seen, as a bundle, verifies.
    fn assert_verifies(&self) {
        for args in [
            &["bundle", "seen", "--out", "b.tar"][..],
            &["verify", "b.tar"],
        ] {
            let ended = Command::new(SKEP)
                .current_dir(self.dir.path())
                .args(args)
                .output();
            let ended = ended.expect("it runs");
            assert!(
                ended.status.success(),
                "{}",
                String::from_utf8_lossy(&ended.stdout)
            );
        }
    }
}

impl Drop for Case {
    fn drop(&mut self) {
        let _ = self.seeder.kill();
        let _ = self.seeder.wait();
    }
}

/// Reads standard error until a line with `text`; the rest is read and forgotten.
fn line_with(child: &mut Child, text: &'static str) -> String {
    let stderr = child.stderr.take().expect("it is piped");
    let (found, wait) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            if line.contains(text) {
                let _ = found.send(line);
            }
        }
    });
    wait.recv_timeout(Duration::from_secs(30))
        .expect("it says so")
}

fn interrupt(child: &Child) {
    let sent = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(sent.expect("there is kill").success());
}

fn wait_within(mut child: Child, secs: u64) -> Output {
    let until = Instant::now() + Duration::from_secs(secs);
    loop {
        if let Some(status) = child.try_wait().expect("it is ours") {
            let mut stdout = Vec::new();
            child
                .stdout
                .take()
                .expect("it is piped")
                .read_to_end(&mut stdout)
                .expect("readable");
            return Output {
                status,
                stdout,
                stderr: vec![],
            };
        }
        if Instant::now() > until {
            let _ = child.kill();
            panic!("it did not end within {secs} s");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}
