//! What the tests share: the program, a seeder to meet, and ways to wait and to interrupt.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    path::Path,
    process::{Child, Command, Output, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

/// The program with `args` in `dir`, without anything to read.
pub(crate) fn skep(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_skep"));
    command.current_dir(dir).args(args).stdin(Stdio::null());
    command
}

/// Runs a command to its end.
pub(crate) fn run(dir: &Path, args: &[&str]) -> Output {
    skep(dir, args).output().expect("it runs")
}

/// Runs a command that succeeds; returns what it printed.
pub(crate) fn done(dir: &Path, args: &[&str]) -> String {
    let output = run(dir, args);
    assert!(output.status.success(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).expect("text")
}

/// A program that is killed when the test is over.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A seeder of `t` that listens on `ip`, and its address.
pub(crate) fn seeder(dir: &Path, ip: &str) -> (Running, String) {
    let mut command = skep(dir, &["seed", "t.torrent", "t", "--listen", ip]);
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    let mut seeder = Running(command.spawn().expect("it starts"));
    let line = line_with(&mut seeder.0, "listening on ");
    let addr = line.rsplit(' ').next().expect("an address").to_owned();
    (seeder, addr)
}

/// Reads standard error until a line with `text`; the rest is read and forgotten.
pub(crate) fn line_with(child: &mut Child, text: &'static str) -> String {
    let stderr = child.stderr.take().expect("it is piped");
    let (found, wait) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            if line.contains(text) {
                let _ = found.send(line);
            }
        }
    });
    wait.recv_timeout(Duration::from_secs(150))
        .expect("it says so")
}

/// What Ctrl-C does.
pub(crate) fn interrupt(child: &Child) {
    signal(child, "-INT");
}

/// Sends a signal, as `kill` does.
pub(crate) fn signal(child: &Child, signal: &str) {
    let sent = Command::new("kill")
        .args([signal, &child.id().to_string()])
        .status();
    assert!(sent.expect("there is kill").success());
}

/// Waits for the end of `child`; returns how it ended and what is left of its output.
pub(crate) fn wait_within(mut child: Child, secs: u64) -> Output {
    // Five times slower than ours a machine may be before what is late is missing.
    let until = Instant::now() + 5 * Duration::from_secs(secs);
    loop {
        if let Some(status) = child.try_wait().expect("it is ours") {
            let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
            if let Some(mut pipe) = child.stdout.take() {
                pipe.read_to_end(&mut stdout).expect("readable");
            }
            if let Some(mut pipe) = child.stderr.take() {
                pipe.read_to_end(&mut stderr).expect("readable");
            }
            return Output {
                status,
                stdout,
                stderr,
            };
        }
        if Instant::now() > until {
            let _ = child.kill();
            panic!("it did not end within {secs} s");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Waits until `done` holds.
pub(crate) fn wait_until(mut done: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(300);
    while !done() {
        assert!(Instant::now() < until, "did not come within 300 s");
        std::thread::sleep(Duration::from_millis(10));
    }
}
