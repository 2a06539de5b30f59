//! What went wrong, in one line, and the exit status that says what kind of thing it was.

use std::fmt;
use std::process::ExitCode;

use wgpu_batchnorm::Error;
use wgpu_batchnorm::error::{
    BindError, CheckError, ConfigError, DeviceError, PlanError, RunError, ShapeError, StateError,
};

/// A failure and its exit status.
#[derive(Debug)]
pub enum Failure {
    /// 1: a result is beyond its bound; nothing was written.
    Check(String),
    /// 2: bad usage or bad input.
    Input(String),
    /// 3: the machine failed.
    Machine(String),
}

impl Failure {
    pub fn status(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Check(_) => 1,
            Self::Input(_) => 2,
            Self::Machine(_) => 3,
        })
    }

    /// The same kind of failure, saying more.
    pub fn map(self, f: impl FnOnce(String) -> String) -> Self {
        match self {
            Self::Check(text) => Self::Check(f(text)),
            Self::Input(text) => Self::Input(f(text)),
            Self::Machine(text) => Self::Machine(f(text)),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Check(text) | Self::Input(text) | Self::Machine(text)) = self;
        // One line, whatever drivers and parsers put into theirs.
        let words: Vec<_> = text.split_whitespace().collect();
        f.write_str(&words.join(" "))
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        match error {
            Error::Check(_) => Self::Check(text),
            Error::Device(DeviceError::NoAdapterNamed { .. }) => Self::Input(text),
            Error::Device(_) => Self::Machine(text),
            Error::Run(_) => Self::Machine(text),
            _ => Self::Input(text),
        }
    }
}

macro_rules! from_phases {
    ($($error:ty),*) => {
        $(impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Error::from(error).into()
            }
        })*
    };
}

from_phases!(
    BindError,
    CheckError,
    ConfigError,
    DeviceError,
    PlanError,
    RunError,
    ShapeError,
    StateError
);

/// What the parser of the command line said, without its tips.
pub fn usage(error: &clap::Error) -> Failure {
    let text = error.to_string();
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let first = lines
        .next()
        .unwrap_or("bad usage")
        .trim_start_matches("error: ");
    // A missing argument is named in the line after.
    let rest: Vec<_> = lines
        .take_while(|line| line.starts_with(['<', '-', '[']))
        .collect();
    Failure::Input(match rest.is_empty() {
        true if text.starts_with("error: ") => format!("{first} (see --help)"),
        true => {
            "a command is needed: demo, forward, backward, moments, info, verify, bench or tune"
                .to_owned()
        }
        false => format!("{first} {} (see --help)", rest.join(" ")),
    })
}
