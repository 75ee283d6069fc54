//! `skep-verify`: checks a bundle, offline. The binary that sceptics read.
//!
//! It is made of the pure crates and the standard library alone: it opens the files that it is given,
//! hands their bytes to [`skep_verify::verify`], and prints what comes out. Exit codes: 0 everything
//! that could be checked holds, 2 wrong arguments, 3 a file cannot be read or the result not printed,
//! 4 it does not verify.

// These panic where nobody reads any more.
#![warn(clippy::print_stdout, clippy::print_stderr)]

use std::{
    fs::File,
    io::{self, ErrorKind, Write as _},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use skep_verify::{
    Policy,
    source::{FileError, Source},
};

const USAGE: &str = "\
Checks a bundle of skep: replays every run and compares everything, offline.

usage: skep-verify BUNDLE [--policy FILE] [--json]

  --policy FILE  whom you trust: a C2SP tlog-policy with the operator's key, had from elsewhere;
                 without it the keys found in the bundle prove only that it agrees with itself
  --json         print JSON

exit codes: 0 verified, 2 usage, 3 a file cannot be read or the result not printed,
4 does not verify
";

struct Args {
    bundle: PathBuf,
    policy: Option<PathBuf>,
    json: bool,
}

fn main() -> ExitCode {
    let ended = match parse(std::env::args_os().skip(1)) {
        Ok(Some(args)) => run(&args),
        Ok(None) => print(USAGE).map(|()| true),
        Err(wrong) => Err((2, format!("{wrong}\n\n{USAGE}"))),
    };
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(4),
        Err((code, error)) => {
            // The exit code stands, also where nobody is left to read why.
            let _ = io::stderr().write_all(format!("error: {error}\n").as_bytes());
            ExitCode::from(code)
        }
    }
}

/// Prints a result. Whoever reads it may have read enough (`| head`); that changes no exit code.
fn print(text: &str) -> Result<(), (u8, String)> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err((3, format!("write to standard output: {error}")))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Whether it verifies; or an exit code and what is wrong.
fn run(args: &Args) -> Result<bool, (u8, String)> {
    let unread = |path: &Path, error: io::Error| (3, format!("{}: {error}", path.display()));
    let policy = match &args.policy {
        None => None,
        Some(path) => {
            let bytes = std::fs::read(path).map_err(|error| unread(path, error))?;
            let policy = Policy::parse(&bytes);
            Some(policy.map_err(|error| (2, format!("{}: {error}", path.display())))?)
        }
    };
    let bundle = Bundle::open(&args.bundle).map_err(|error| unread(&args.bundle, error))?;
    let outcome = skep_verify::verify(bundle, policy.as_ref());
    if let Some((check, failure)) = outcome.failure()
        && failure.is_surroundings()
    {
        return Err((3, format!("{}: {failure}", check.part)));
    }
    print(&if args.json {
        format!("{}\n", outcome.to_json())
    } else {
        outcome.to_string()
    })?;
    Ok(outcome.verified())
}

/// `None` if help is asked for.
fn parse(args: impl Iterator<Item = std::ffi::OsString>) -> Result<Option<Args>, String> {
    let mut args = args;
    let (mut bundle, mut policy, mut json) = (None, None, false);
    while let Some(arg) = args.next() {
        match arg.to_str() {
            Some("-h" | "--help") => return Ok(None),
            Some("--json") => json = true,
            Some("--policy") => {
                let file = args.next().ok_or("--policy needs a file")?;
                policy = Some(PathBuf::from(file));
            }
            Some(option) if option.starts_with('-') => {
                return Err(format!("unknown option {option}"));
            }
            _ if bundle.is_none() => bundle = Some(PathBuf::from(arg)),
            _ => return Err("more than one bundle".into()),
        }
    }
    let bundle = bundle.ok_or("no bundle given")?;
    Ok(Some(Args {
        bundle,
        policy,
        json,
    }))
}

/// A bundle on disk.
struct Bundle {
    file: File,
    len: u64,
}

impl Bundle {
    fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let data = file.metadata()?;
        if !data.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a file"));
        }
        Ok(Self {
            file,
            len: data.len(),
        })
    }
}

impl Source for Bundle {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, len: usize) -> Result<Vec<u8>, FileError> {
        let left = self.len.saturating_sub(offset).min(len as u64);
        let mut bytes = vec![0; left as usize];
        match self.file.read_exact_at(&mut bytes, offset) {
            Ok(()) => Ok(bytes),
            Err(error) => Err(FileError {
                path: "bundle".into(),
                doing: "reading",
                reason: error.to_string(),
                errno: error.raw_os_error(),
            }),
        }
    }
}
