//! The form of the JSON that measuring programs write, and a check of it.
//!
//! `wgbn bench --json`, the programs in `benches/peers` and `cargo xtask machine-code --json` write such
//! files. [`read`] refuses a file that has another form and says what is wrong, and where. Those who make
//! tables of the files (`cargo xtask records`, `cargo xtask peers`) read them through it, so that a
//! table is never made of half a file. `benches/peers/README.md` describes the fields.

mod bench;
mod field;
mod machine_code;
mod problem;

use serde_json::Value;

use self::field::Field;

pub use bench::ENGINES;
pub use problem::{Problem, Refused};

/// The number that the field `schema` holds. A change of the form that old tables cannot read raises it.
pub const SCHEMA: u64 = 1;

/// What a file records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Times of operations.
    Bench,
    /// Registers and instructions of compiled shaders.
    MachineCode,
}

/// Parses a file and checks its form.
///
/// # Errors
/// Names each field that is missing or holds what it should not.
pub fn read(text: &[u8]) -> Result<(Kind, Value), Refused> {
    let value: Value = serde_json::from_slice(text).map_err(|error| {
        Refused(vec![Problem {
            place: format!("line {}", error.line()),
            what: format!("this is no JSON: {error}"),
        }])
    })?;
    check(&value).map(|kind| (kind, value))
}

/// Checks the form of a file that was parsed.
///
/// # Errors
/// As [`read`].
pub fn check(value: &Value) -> Result<Kind, Refused> {
    let mut problems = Vec::new();
    let file = Field::root(value);
    let kind = file.kind(&mut problems);
    // The fields of another schema, or of no known program, would be wrong all over.
    if problems.is_empty() {
        match kind {
            Kind::Bench => bench::check(&file, &mut problems),
            Kind::MachineCode => machine_code::check(&file, &mut problems),
        }
    }
    match problems.is_empty() {
        true => Ok(kind),
        false => Err(Refused(problems)),
    }
}

impl Field<'_> {
    fn kind(&self, problems: &mut Vec<Problem>) -> Kind {
        let schema = self.get("schema");
        if schema.value.as_u64() != Some(SCHEMA) {
            schema.wrong(&format!("the schema number {SCHEMA}"), problems);
        }
        let program = self.get("program");
        match program.value.as_str() {
            Some("machine-code") => Kind::MachineCode,
            Some("wgpu-batchnorm" | "pytorch" | "burn") => Kind::Bench,
            _ => {
                let known = "\"wgpu-batchnorm\", \"pytorch\", \"burn\" or \"machine-code\"";
                program.wrong(known, problems);
                Kind::Bench
            }
        }
    }
}

#[cfg(test)]
mod tests;
