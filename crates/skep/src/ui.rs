//! What every command shares: its context, what it says and where, its outcome, its errors and their
//! exit codes.
//!
//! Results go to standard output by [`print`]; everything else goes to standard error by [`say`] or
//! [`Context::note`]. Nothing else in this program writes to either, so that what happens when
//! nobody reads any more is decided here alone:
//!
//! - Whoever reads the results may have read enough (`| head`). That ends nothing and is no error: the
//!   command does what it was asked, and its exit code is the one it deserves. A command that does
//!   nothing but print stops early.
//! - Results that cannot be written for another reason (a full disk) are an error of our surroundings.
//! - What is lost of standard error is not missed: the exit code says how it ended.

use std::{
    fmt,
    io::{self, ErrorKind, Write as _},
    process::ExitCode,
};

use anyhow::Context as _;

use crate::hints;

/// What the command line said for all commands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context {
    /// No progress bars, only results and errors.
    pub(crate) quiet: bool,
}

impl Context {
    /// Says something on standard error that a user who wants quiet can do without.
    pub(crate) fn note(&self, text: impl fmt::Display) {
        if !self.quiet {
            say(text);
        }
    }
}

/// Whether somebody still reads our standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reader {
    /// As far as we know.
    There,
    /// No: a pipe is closed at its other end. Nothing that is printed from now on is read.
    Gone,
}

/// Prints a result, as it is, on standard output.
///
/// # Errors
///
/// Anything but a reader that is gone.
pub(crate) fn print(text: impl AsRef<[u8]>) -> Result<Reader, CmdError> {
    let mut out = io::stdout().lock();
    printed(out.write_all(text.as_ref()).and_then(|()| out.flush()))
}

/// What an attempt to write to standard output came to.
pub(crate) fn printed(written: io::Result<()>) -> Result<Reader, CmdError> {
    match written {
        Ok(()) => Ok(Reader::There),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(Reader::Gone),
        Err(error) => Err(error)
            .context("write to standard output")
            .map_err(CmdError::surroundings)
            .map_err(|error| error.hint("make room where the output goes, or send it elsewhere")),
    }
}

/// Says a line on standard error.
pub(crate) fn say(text: impl fmt::Display) {
    // In one call, so that lines of several threads do not mix. An error leaves nobody to tell.
    let _ = io::stderr().write_all(format!("{text}\n").as_bytes());
}

/// How a command ended that did what it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Done (exit code 0).
    Done,
    /// Done, and the finding is negative: a recheck found bad pieces (exit code 1).
    Negative,
    /// Evidence does not verify (exit code 4).
    DoesNotVerify,
}

impl Outcome {
    pub(crate) fn exit_code(self) -> ExitCode {
        ExitCode::from(match self {
            Self::Done => 0,
            Self::Negative => 1,
            Self::DoesNotVerify => 4,
        })
    }
}

/// Whose fault an error is, which decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The arguments, or a file that the user gave (exit code 2).
    Usage,
    /// Disk, network, permissions (exit code 3).
    Surroundings,
}

impl Kind {
    pub(crate) fn exit_code(self) -> u8 {
        match self {
            Self::Usage => 2,
            Self::Surroundings => 3,
        }
    }
}

/// An error with its context and one hint.
#[derive(Debug)]
pub(crate) struct CmdError {
    pub(crate) kind: Kind,
    pub(crate) error: anyhow::Error,
    pub(crate) hint: Option<String>,
}

impl CmdError {
    pub(crate) fn usage(error: impl Into<anyhow::Error>) -> Self {
        Self {
            kind: Kind::Usage,
            error: error.into(),
            hint: None,
        }
    }

    pub(crate) fn surroundings(error: impl Into<anyhow::Error>) -> Self {
        Self {
            kind: Kind::Surroundings,
            error: error.into(),
            hint: None,
        }
    }

    /// With the one hint that fits.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// With a hint for all that the system's own error does not explain.
    pub(crate) fn or_hint(self, hint: impl Into<String>) -> Self {
        if hints::of(&self.said()).is_some() {
            return self;
        }
        self.hint(hint)
    }

    /// The error with its causes.
    fn said(&self) -> String {
        // Some errors name their cause in their own words; a cause that stands there already is not
        // said twice.
        let mut said = String::new();
        for cause in self.error.chain().map(ToString::to_string) {
            if said.is_empty() {
                said = cause;
            } else if !said.contains(&cause) {
                said = format!("{said}: {cause}");
            }
        }
        said
    }
}

impl fmt::Display for CmdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said = self.said();
        let of_system = hints::of(&said).map(str::to_owned);
        write!(f, "error: {said}")?;
        if let Some(hint) = self.hint.clone().or(of_system) {
            write!(f, "\nhint: {hint}")?;
        }
        Ok(())
    }
}
