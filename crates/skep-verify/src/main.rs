//! `skep-verify`: checks a bundle, offline. The binary that sceptics read.
//!
//! It is made of the pure crates and the standard library alone: it opens the files that it is given,
//! hands their bytes to [`skep_verify::verify`], and prints what comes out. Exit codes: 0 everything
//! that could be checked holds, 2 wrong arguments, 3 a file cannot be read, 4 it does not verify.

use std::{
    fs::File,
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

exit codes: 0 verified, 2 usage, 3 a file cannot be read, 4 does not verify
";

struct Args {
    bundle: PathBuf,
    policy: Option<PathBuf>,
    json: bool,
}

fn main() -> ExitCode {
    let args = match parse(std::env::args_os().skip(1)) {
        Ok(Some(args)) => args,
        Ok(None) => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(wrong) => {
            eprintln!("error: {wrong}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(&args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(4),
        Err((code, error)) => {
            eprintln!("error: {error}");
            ExitCode::from(code)
        }
    }
}

/// Whether it verifies; or an exit code and what is wrong.
fn run(args: &Args) -> Result<bool, (u8, String)> {
    let unread = |path: &Path, error: std::io::Error| (3, format!("{}: {error}", path.display()));
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
    if args.json {
        println!("{}", outcome.to_json());
    } else {
        print!("{outcome}");
    }
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
    fn open(path: &Path) -> std::io::Result<Self> {
        let file = File::open(path)?;
        let data = file.metadata()?;
        if !data.is_file() {
            return Err(std::io::Error::new(
                std::io::ErrorKind::InvalidInput,
                "not a file",
            ));
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
