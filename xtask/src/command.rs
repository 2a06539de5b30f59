//! Commands that a step runs, and what it reads of them.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

/// The repository's root: where cargo runs this now, which may have moved since it was built.
pub fn root() -> &'static Path {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    ROOT.get_or_init(|| {
        let package = env::var_os("CARGO_MANIFEST_DIR");
        let package = PathBuf::from(package.expect("xtask is run by cargo"));
        let root = package.parent();
        root.expect("xtask lies in the repository").to_owned()
    })
}

/// A cargo command in the repository's root, of the toolchain that runs this.
pub fn cargo<'a>(args: impl IntoIterator<Item = &'a str>) -> Command {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(args);
    command
}

pub trait CommandExt {
    /// Runs the command in the repository's root, without standard input,
    /// until it ends, and is an error unless it succeeds.
    fn run(&mut self) -> Result<(), String>;

    /// Like [`run`](Self::run); gives what the command wrote to its standard
    /// output.
    fn read(&mut self) -> Result<Vec<u8>, String>;
}

impl CommandExt for Command {
    fn run(&mut self) -> Result<(), String> {
        let line = command_line(self);
        println!("$ {line}");
        let status = self
            .current_dir(root())
            .stdin(Stdio::null())
            .status()
            .map_err(|error| format!("cannot run `{line}`: {error}"))?;
        if status.success() {
            Ok(())
        } else {
            Err(format!("`{line}` ended with {status}"))
        }
    }

    fn read(&mut self) -> Result<Vec<u8>, String> {
        let line = command_line(self);
        println!("$ {line}");
        let output = self
            .current_dir(root())
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .map_err(|error| format!("cannot run `{line}`: {error}"))?;
        if output.status.success() {
            Ok(output.stdout)
        } else {
            Err(format!("`{line}` ended with {}", output.status))
        }
    }
}

/// The command as one would type it, the program without its folder.
pub fn command_line(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let program = program.file_stem().unwrap_or(program.as_os_str());
    std::iter::once(program)
        .chain(command.get_args())
        .map(OsStr::to_string_lossy)
        .collect::<Vec<_>>()
        .join(" ")
}

/// Runs this `cargo build`, and says where the program `name` is that it built.
pub fn build_program(build: &mut Command, name: &str) -> Result<PathBuf, String> {
    let messages = build
        .arg("--message-format=json-render-diagnostics")
        .read()?;
    String::from_utf8_lossy(&messages)
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .find_map(|message| executable(&message, name))
        .ok_or_else(|| format!("cargo built no program `{name}`"))
}

/// The path of the program `name`, where this message of cargo tells it.
pub fn executable(message: &Value, name: &str) -> Option<PathBuf> {
    let target = &message["target"];
    let built = message["reason"] == "compiler-artifact"
        && target["name"] == name
        && target["kind"][0] == "bin"
        && message["profile"]["test"] == false;
    built.then(|| message["executable"].as_str().map(PathBuf::from))?
}

/// A file in the target folder, for what the tests note.
pub fn in_target(metadata: &Value, name: &str) -> PathBuf {
    match metadata["target_directory"].as_str() {
        Some(target) => Path::new(target).join(name),
        None => root().join("target").join(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_program_is_found_and_its_unit_tests_are_not() {
        let message = |name: &str, kind: &str, test: bool| {
            json!({
                "reason": "compiler-artifact",
                "target": { "name": name, "kind": [kind] },
                "profile": { "test": test },
                "executable": "/somewhere/wgbn",
            })
        };
        assert_eq!(
            executable(&message("wgbn", "bin", false), "wgbn"),
            Some(PathBuf::from("/somewhere/wgbn"))
        );
        assert_eq!(executable(&message("wgbn", "bin", true), "wgbn"), None);
        assert_eq!(executable(&message("other", "bin", false), "wgbn"), None);
        assert_eq!(executable(&message("wgbn", "test", false), "wgbn"), None);
        assert_eq!(
            executable(&json!({ "reason": "build-finished" }), "wgbn"),
            None
        );
    }

    #[test]
    fn a_command_line_names_the_program_without_its_folder() {
        let mut command = Command::new("/some/folder/cargo");
        command.args(["test", "--locked"]);
        assert_eq!(command_line(&command), "cargo test --locked");
    }
}
