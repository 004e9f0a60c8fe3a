//! One error type for the whole crate: every message says where, what was expected and what was found.

use std::path::{Path, PathBuf};

/// What every fallible function of the crate returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why something could not be done; [`Error::exit_code`] maps it to the process exit code.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An operation was given an argument of the wrong shape, type or range.
    #[error("{op}: {arg}: expected {expected}, got {got}")]
    Op { op: &'static str, arg: &'static str, expected: String, got: String },

    /// A file holds something other than it should.
    #[error("{}: {field}: expected {expected}, found {found}{}", path.display(), hint_suffix(hint))]
    Input { path: PathBuf, field: String, expected: String, found: String, hint: String },

    /// The operating system refused.
    #[error("{}: cannot {action}: {source}", path.display())]
    Io { path: PathBuf, action: &'static str, source: std::io::Error },

    /// The command line asks for something that does not exist or does not fit together.
    #[error("{0}")]
    Usage(String),

    /// Training met a value that is not a number; the last good checkpoint is kept.
    #[error("{0}")]
    Diverged(String),

    /// Work was stopped on request before its end; nothing is lost.
    #[error("{0}")]
    Stopped(String),

    /// A check that was asked for found something wrong and has said what.
    #[error("{0}")]
    Unwell(String),

    /// The device asked for cannot be had here.
    #[error("device={device}: {reason}")]
    Device { device: String, reason: String },
}

fn hint_suffix(hint: &str) -> String {
    if hint.is_empty() { String::new() } else { format!(" ({hint})") }
}

impl Error {
    /// A shape, type or range error of operation `op`.
    pub fn op(op: &'static str, arg: &'static str, expected: impl Into<String>, got: impl Into<String>) -> Self {
        Error::Op { op, arg, expected: expected.into(), got: got.into() }
    }

    /// A file whose `field` is not what it should be.
    pub fn input(
        path: impl AsRef<Path>,
        field: impl Into<String>,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Self {
        Error::Input {
            path: path.as_ref().to_path_buf(),
            field: field.into(),
            expected: expected.into(),
            found: found.into(),
            hint: String::new(),
        }
    }

    /// Adds what the user can do about it to an [`Error::Input`].
    pub fn hint(mut self, text: impl Into<String>) -> Self {
        if let Error::Input { hint, .. } = &mut self {
            *hint = text.into();
        }
        self
    }

    /// An operating-system error on `path` while trying to `action` ("read", "create", …).
    pub fn io(path: impl AsRef<Path>, action: &'static str, source: std::io::Error) -> Self {
        Error::Io { path: path.as_ref().to_path_buf(), action, source }
    }

    /// Process exit code: 1 negative answer, 2 usage, 3 bad input.
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Usage(_) => 2,
            Error::Diverged(_) | Error::Stopped(_) | Error::Unwell(_) => 1,
            Error::Op { .. } | Error::Input { .. } | Error::Io { .. } | Error::Device { .. } => 3,
        }
    }
}
