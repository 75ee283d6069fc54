//! `skep observe` as a user runs it: interrupted, killed, and run again.

use std::{
    process::{Child, Command, Stdio},
    time::Duration,
};

use crate::support::{
    Running, done, interrupt, line_with, run, seeder, signal, skep, wait_until, wait_within,
};

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

/// A terminal that is closed ends the run as cleanly, unless the program was started to outlive it.
#[test]
fn a_closed_terminal_ends_the_run_with_nothing_lost_unless_it_is_to_be_outlived() {
    let hang_up = |child: &Child| {
        let id = child.id().to_string();
        let sent = Command::new("kill")
            .args(["-HUP", &id])
            .status()
            .expect("kill runs");
        assert!(sent.success());
    };
    let program = |by: &[&str], case: &Case| {
        let mut command = Command::new(by[0]);
        command
            .current_dir(case.dir.path())
            .args(&by[1..])
            .arg(env!("CARGO_BIN_EXE_skep"))
            .stdin(Stdio::null());
        command
    };
    let case = Case::new("127.0.74");
    // Whoever runs the tests may have made SIGHUP ignored.
    let default = program(&["env", "--default-signal=HUP"], &case);
    let mut observer = case.observe_by(default, &[]);
    case.wait_for_bytes(&mut observer);
    hang_up(&observer);
    let ended = wait_within(observer, 20);
    assert!(ended.status.success(), "{ended:?}");
    let said = String::from_utf8_lossy(&ended.stdout);
    assert!(said.contains("1 delivered a verified piece"), "{said}");

    let nohup = program(&["nohup"], &case);
    let mut outlives = case.observe_by(nohup, &[]);
    case.wait_for_bytes(&mut outlives);
    hang_up(&outlives);
    std::thread::sleep(Duration::from_millis(500));
    assert!(
        outlives.try_wait().expect("it is ours").is_none(),
        "nohup's choice was not respected"
    );
    interrupt(&outlives);
    let ended = wait_within(outlives, 20);
    assert!(ended.status.success(), "{ended:?}");
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

/// The observer's process is stopped in the middle of its work, with connects under way, visits due and
/// bytes waiting, for longer than any time-out of its plan; then it goes on. What it saw verifies, and
/// the verifier says that it was stalled and when. The long form stops it for 16 s, so that the clock
/// was to be sampled too.
#[test]
fn a_process_that_was_stopped_leaves_a_bundle_that_verifies_and_says_so() {
    let case = Case::new("127.0.74");
    // Takes no connection: two stand in its queue, and then connects stay without an answer.
    let deaf = Deaf::new("127.0.74.9");
    let deaf = deaf.addr.to_string();
    let plan = [
        "--peer",
        &deaf,
        "--peer",
        "127.0.74.8:9",
        "--connect",
        "1s",
        "--visit",
        "2s",
        "--revisit",
        "1s",
    ];
    let mut observer = case.observe(&plan);
    case.wait_for_bytes(&mut observer);
    let secs = if std::env::var("SKEP_LONG").is_ok() {
        16
    } else {
        4
    };
    for _ in 0..2 {
        signal(&observer, "-STOP");
        std::thread::sleep(Duration::from_secs(secs));
        signal(&observer, "-CONT");
        std::thread::sleep(Duration::from_millis(1_500));
    }
    interrupt(&observer);
    let ended = wait_within(observer, 20);
    assert!(ended.status.success(), "{ended:?}");
    let said = case.assert_verifies();
    let number = |after: &str| -> u64 {
        let rest = said.split(after).nth(1).unwrap_or_else(|| panic!("{said}"));
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().unwrap_or_else(|_| panic!("{said}"))
    };
    // A loaded machine may stall it more often.
    assert!(number("the observer was stalled ") >= 2);
    assert!(number("came after something was due is ") >= (secs - 2) * 1_000);
}

#[test]
fn wrong_use_says_what_is_wrong() {
    let case = Case::new("127.0.73");
    let run = |args: &[&str]| run(case.dir.path(), args);
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
    _seeder: Running,
    seeder_addr: String,
}

impl Case {
    fn new(net: &'static str) -> Self {
        let dir = tempfile::tempdir().expect("temporary folder");
        let bytes: Vec<u8> = (0..4_000_000u32)
            .map(|n| (n / 3).wrapping_add(n.wrapping_mul(n)) as u8)
            .collect();
        std::fs::write(dir.path().join("t"), bytes).expect("written");
        done(dir.path(), &["-q", "create", "t", "-o", "t.torrent"]);
        let (seeder, seeder_addr) = seeder(dir.path(), &format!("{net}.2"));
        Self {
            dir,
            net,
            _seeder: seeder,
            seeder_addr,
        }
    }

    fn observe(&self, more: &[&str]) -> Child {
        self.observe_by(skep(self.dir.path(), &[]), more)
    }

    /// The same, by a command that takes a command of skep as its further arguments.
    fn observe_by(&self, mut command: Command, more: &[&str]) -> Child {
        command
            .args(["observe", "t.torrent", "--out", "seen"])
            .args([
                "--listen",
                &format!("{}.1", self.net),
                "--peer",
                &self.seeder_addr,
            ])
            .args(more)
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
        wait_until(|| std::fs::metadata(&capture).is_ok_and(|meta| meta.len() >= 17_000));
        // A little more, so that it is acknowledged, too.
        std::thread::sleep(Duration::from_secs(1));
    }

    /// What was seen, as a bundle, verifies. Returns what the verifier says.
    fn assert_verifies(&self) -> String {
        done(self.dir.path(), &["bundle", "seen", "--out", "b.tar"]);
        done(self.dir.path(), &["verify", "b.tar"])
    }
}

/// A listener whose queue is full, so that connects to it get no answer at all.
struct Deaf {
    addr: std::net::SocketAddr,
    _held: (socket2::Socket, Vec<socket2::Socket>),
}

impl Deaf {
    fn new(ip: &str) -> Self {
        use socket2::{Domain, Socket, Type};
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        let addr: std::net::SocketAddr = format!("{ip}:0").parse().expect("an address");
        socket.bind(&addr.into()).expect("bound");
        socket.listen(0).expect("it listens");
        let addr = socket.local_addr().expect("bound").as_socket().expect("IP");
        let fill = |_| {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
            socket.set_nonblocking(true).expect("set");
            // It stands, or waits for ever: either fills the queue.
            let _ = socket.connect(&addr.into());
            socket
        };
        let filled = (0..4).map(fill).collect();
        Self {
            addr,
            _held: (socket, filled),
        }
    }
}
