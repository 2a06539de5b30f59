//! naga's translations of every shader, judged by the validators of each language.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use super::{Report, Row, suite, version};

/// Something that checks files by itself.
struct Validator {
    language: &'static str,
    extensions: &'static [&'static str],
    program: &'static str,
    arguments: &'static [&'static str],
    package: &'static str,
}

const VALIDATORS: [Validator; 2] = [
    Validator {
        language: "SPIR-V",
        extensions: &["spv"],
        program: "spirv-val",
        arguments: &["--target-env", "vulkan1.1"],
        package: "spirv-tools",
    },
    Validator {
        language: "GLSL ES 3.1",
        extensions: &["comp", "vert", "frag"],
        program: "glslangValidator",
        arguments: &[],
        package: "glslang-tools",
    },
];

/// Languages that naga writes and nothing here can judge.
const UNJUDGED: [(&str, &str); 2] = [("HLSL", "hlsl"), ("MSL", "metal")];

pub fn run(report: &mut Report, folder: &Path, shaders: &Path) -> Result<(), String> {
    let start = Instant::now();
    let variables = [("WGBN_TRANSLATIONS", shaders.as_os_str())];
    let log = folder.join("translations.log");
    let tests = suite::run(&["kernels"], &["shaders::"], &variables, &log)?;
    let naga = Row {
        name: "naga's checks and writers".to_owned(),
        version: naga_version(),
        ..tests
    };
    report.ran(start, naga);
    for (language, extension) in UNJUDGED {
        let count = files(shaders, &[extension])?.len();
        println!("{count} shaders translated to {language}; nothing here validates it");
    }
    for validator in VALIDATORS {
        validator.run(report, shaders)?;
    }
    Ok(())
}

impl Validator {
    fn run(&self, report: &mut Report, shaders: &Path) -> Result<(), String> {
        let start = Instant::now();
        let Some(version) = version(self.program) else {
            report.missing(format!(
                "{}: {} is in Debian's and Ubuntu's package {}",
                self.language, self.program, self.package
            ));
            return Ok(());
        };
        let mut row = Row {
            name: format!("{}, {}", self.language, self.program),
            version,
            ..Row::default()
        };
        let files = files(shaders, self.extensions)?;
        if files.is_empty() {
            row.failures.push("no file to judge".to_owned());
        }
        for file in files {
            match self.judge(&file)? {
                None => row.passed += 1,
                Some(complaint) => {
                    row.failed += 1;
                    let name = file.file_name().unwrap_or_default().to_string_lossy();
                    row.failures.push(format!("{name}: {complaint}"));
                }
            }
        }
        report.ran(start, row);
        Ok(())
    }

    /// What there is to complain of.
    fn judge(&self, file: &Path) -> Result<Option<String>, String> {
        let output = Command::new(self.program)
            .args(self.arguments)
            .arg(file)
            .stdin(Stdio::null())
            .output()
            .map_err(|e| format!("cannot run {}: {e}", self.program))?;
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text).trim().to_owned();
        Ok((!output.status.success()).then_some(text))
    }
}

/// Files with these extensions, in the order of their names.
pub fn files(folder: &Path, extensions: &[&str]) -> Result<Vec<PathBuf>, String> {
    let entries = fs::read_dir(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut files: Vec<PathBuf> = paths
        .filter(|path| {
            extensions
                .iter()
                .any(|e| path.extension().is_some_and(|x| x == *e))
        })
        .collect();
    files.sort();
    Ok(files)
}

/// naga's version, out of Cargo.lock.
fn naga_version() -> String {
    let lock = include_str!("../../../Cargo.lock");
    let mut lines = lock.lines().skip_while(|line| *line != "name = \"naga\"");
    let version = lines
        .nth(1)
        .and_then(|line| line.strip_prefix("version = "));
    format!("naga {}", version.unwrap_or_default().trim_matches('"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_naga_is_a_version() {
        let version = naga_version();
        assert!(
            version.starts_with("naga ") && version.contains('.'),
            "{version}"
        );
    }

    #[test]
    fn a_validator_that_is_missing_is_named_with_its_package() {
        let validator = Validator {
            program: "no such program",
            ..VALIDATORS[0]
        };
        let mut report = Report::default();
        assert_eq!(validator.run(&mut report, Path::new("nowhere")), Ok(()));
        assert!(report.missing[0].contains("package spirv-tools"));
    }
}
