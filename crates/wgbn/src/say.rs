//! What goes to stdout.

use std::fmt::Arguments;
use std::io::{self, Write};

use crate::failure::Failure;

/// `println!` that gives an error where that panics.
macro_rules! say {
    ($($arg:tt)*) => { $crate::say::text(format_args!("{}\n", format_args!($($arg)*))) };
}

/// Writes `text` as it is. A reader that has left is no failure.
pub fn text(text: Arguments<'_>) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_fmt(text).and_then(|()| stdout.flush()) {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::Machine(format!("cannot write to stdout: {e}")))
        }
        _ => Ok(()),
    }
}
