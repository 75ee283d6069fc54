//! `skep tracker` under the limits of a real process.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    process::{Command, Stdio},
    time::Duration,
};

use crate::support::Running;

/// Most systems give a program 1,024 descriptors, fewer than the connections that it would serve.
/// Strangers take them all; newcomers are served at once all the same.
#[test]
fn newcomers_are_served_though_strangers_hold_every_descriptor() {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 48 && exec \"$0\" \"$@\""]);
    command.arg(env!("CARGO_BIN_EXE_skep"));
    command.args(["tracker", "--http", "127.0.0.1:0", "--stats", "0s"]);
    command.stdout(Stdio::piped()).stderr(Stdio::null());
    let mut tracker = Running(command.spawn().expect("it starts"));
    let mut url = String::new();
    let stdout = tracker.0.stdout.take().expect("it is piped");
    BufReader::new(stdout).read_line(&mut url).expect("text");
    let addr = url.trim().strip_prefix("http://").expect("a url");
    let addr = addr.strip_suffix("/announce").expect("an announce url");
    let mut strangers = Vec::new();
    for n in 0..200 {
        strangers.push(TcpStream::connect(addr).expect("a place in the queue"));
        if n % 20 == 19 {
            let mut stream = TcpStream::connect(addr).expect("a place in the queue");
            let patience = Some(Duration::from_secs(120));
            stream.set_read_timeout(patience).expect("settable");
            stream.write_all(b"GET / HTTP/1.0\r\n\r\n").expect("sent");
            let mut answer = String::new();
            stream
                .read_to_string(&mut answer)
                .expect("an answer within 10 s");
            assert!(answer.starts_with("HTTP/1.1 200 "), "{n}: {answer}");
        }
    }
}
