//! Files of sizes that `wgbn tune` measured.
//!
//! A file is input from outside: it may be damaged, of another machine, or made to do harm. What is accepted
//! makes the planner neither panic nor overflow.

mod contents;
#[cfg(test)]
mod tests;

use serde::Deserialize;

use crate::error::TuningError;
pub use contents::{AdapterId, Contents};
#[cfg(feature = "internals")]
pub use contents::{Figures, Gain, Rate};

/// The number of the form that is read and written here.
pub const SCHEMA: u64 = 1;

/// A tuning file, as `wgbn tune` writes it: JSON that says how work is cut fastest on one adapter with one driver.
/// Sizes change speed, and results by no more than rounding.
#[derive(Clone, Debug, PartialEq)]
pub struct TuningFile {
    contents: Contents,
}

/// What every form of the file begins with.
#[derive(Deserialize)]
#[serde(expecting = "the object that a tuning file is")]
struct Head {
    schema: u64,
}

impl TuningFile {
    /// Reads a file's text. Whether it is of a device is seen where a context is made with it.
    ///
    /// # Errors
    /// [`TuningError`]: no JSON, or JSON with a field that is missing, unknown or of another type; another schema;
    /// sizes that do not go together.
    pub fn parse(text: &str) -> Result<Self, TuningError> {
        let head: Head = serde_json::from_str(text).map_err(damaged)?;
        if head.schema != SCHEMA {
            return Err(TuningError::Schema {
                got: head.schema,
                expected: SCHEMA,
            });
        }
        Self::of(serde_json::from_str(text).map_err(damaged)?)
    }

    /// When it was made: UTC, such as `2026-01-31T23:59:59Z`.
    pub fn made(&self) -> &str {
        &self.contents.made
    }

    /// The text that [`TuningFile::parse`] reads.
    ///
    /// # Errors
    /// [`TuningError::Damaged`] where the file holds what JSON does not.
    pub fn to_json(&self) -> Result<String, TuningError> {
        let text = serde_json::to_string_pretty(&self.contents).map_err(damaged)?;
        Ok(text + "\n")
    }

    /// A file of these contents.
    pub(crate) fn of(contents: Contents) -> Result<Self, TuningError> {
        if !is_time(&contents.made) {
            return Err(TuningError::Damaged {
                reason: "made is no time such as 2026-01-31T23:59:59Z".to_owned(),
            });
        }
        contents.sizes.accepted()?;
        Ok(Self { contents })
    }

    /// A file of these contents: for the program that measures them.
    ///
    /// # Errors
    /// As [`TuningFile::parse`].
    #[cfg(feature = "internals")]
    pub fn new(contents: Contents) -> Result<Self, TuningError> {
        Self::of(contents)
    }

    /// What it holds.
    #[cfg(feature = "internals")]
    pub fn contents(&self) -> &Contents {
        &self.contents
    }

    #[cfg(not(feature = "internals"))]
    pub(crate) fn contents(&self) -> &Contents {
        &self.contents
    }

    /// Refuses another adapter than the file's, and another driver.
    pub(crate) fn is_of(&self, here: &AdapterId) -> Result<(), TuningError> {
        let there = &self.contents.adapter;
        let (got, expected) = (there.adapter(), here.adapter());
        if got != expected {
            let got = brief(&got);
            return Err(TuningError::OtherAdapter { got, expected });
        }
        let (got, expected) = (there.driver(), here.driver());
        if got != expected {
            let got = brief(&got);
            return Err(TuningError::OtherDriver { got, expected });
        }
        Ok(())
    }
}

impl AdapterId {
    fn adapter(&self) -> String {
        let Self {
            name,
            backend,
            vendor,
            device,
            ..
        } = self;
        format!("{name} ({backend}, vendor {vendor:#06x}, device {device:#06x})")
    }

    fn driver(&self) -> String {
        format!("{} {}", self.driver, self.driver_info)
    }
}

/// Characters of what a file says that are quoted at most.
const MOST_QUOTED: usize = 200;

/// What a file says, no longer than is of use, without control characters.
fn brief(text: &str) -> String {
    let shown = text.chars().take(MOST_QUOTED);
    let mut shown: String = shown
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect();
    if text.chars().count() > MOST_QUOTED {
        shown.push('…');
    }
    shown
}

fn damaged(error: serde_json::Error) -> TuningError {
    let mut reason = brief(&error.to_string());
    if reason.ends_with('…') {
        reason += &format!(" at line {} column {}", error.line(), error.column());
    }
    TuningError::Damaged { reason }
}

/// Whether a text has the form of `2026-01-31T23:59:59Z`, which is printed.
fn is_time(text: &str) -> bool {
    let form = b"0000-00-00T00:00:00Z";
    let fits = |(&got, &form): (&u8, &u8)| match form {
        b'0' => got.is_ascii_digit(),
        form => got == form,
    };
    text.len() == form.len() && text.as_bytes().iter().zip(form).all(fits)
}
