//! What every command shares: its context, its outcome, its errors and their exit codes.

use std::{fmt, process::ExitCode};

/// What the command line said for all commands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context {
    /// No progress bars, only results and errors.
    pub(crate) quiet: bool,
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

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for CmdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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
        write!(f, "error: {said}")?;
        if let Some(hint) = &self.hint {
            write!(f, "\nhint: {hint}")?;
        }
        Ok(())
    }
}
