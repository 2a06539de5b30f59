//! Running `wgbn` in a folder of its own.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::tensors::{Stored, Tensors};
use testkit::log::append;

/// Longer than any command here takes by far.
const LIMIT: Duration = Duration::from_secs(300);

/// Where each test that takes a device runs.
pub const DEVICES: [&str; 2] = ["cpu", "gpu"];

/// A temporary folder in which `wgbn` runs.
pub struct Folder {
    dir: TempDir,
    environment: Vec<(&'static str, Option<OsString>)>,
}

/// What a process left behind.
#[derive(Debug)]
pub struct Run {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
    #[allow(dead_code, reason = "printed when an assertion fails")]
    what: String,
}

impl Folder {
    pub fn new() -> Self {
        Self {
            dir: TempDir::new().unwrap(),
            environment: vec![],
        }
    }

    /// A folder whose processes see this environment variable, or do not.
    pub fn with_env(mut self, name: &'static str, value: Option<&OsStr>) -> Self {
        self.environment.push((name, value.map(OsStr::to_owned)));
        self
    }

    /// A folder whose processes find no GPU driver.
    pub fn without_adapter() -> Self {
        let folder = Self::new();
        let nothing = folder.write("no_driver.json", b"");
        let nothing = Some(nothing.as_os_str());
        let folder = folder
            .with_env("VK_DRIVER_FILES", nothing)
            .with_env("VK_ICD_FILENAMES", nothing);
        match cfg!(target_os = "linux") {
            true => folder,
            // Elsewhere a backend that is not Vulkan would find one.
            false => folder.with_env("WGPU_BACKEND", Some("vulkan".as_ref())),
        }
    }

    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    pub fn save(&self, name: &str, tensors: &Tensors) -> PathBuf {
        self.write(name, &tensors.bytes())
    }

    pub fn bytes(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    pub fn load(&self, name: &str) -> Stored {
        Stored::read(&self.bytes(name))
    }

    /// The names of everything in the folder.
    pub fn names(&self) -> Vec<OsString> {
        let entries = std::fs::read_dir(self.dir.path()).unwrap();
        let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name()).collect();
        names.sort();
        names
    }

    pub fn command<A: AsRef<OsStr>>(&self, args: &[A]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wgbn"));
        command.args(args).current_dir(self.dir.path());
        for (name, value) in &self.environment {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command
    }

    /// Runs `wgbn` with these arguments.
    pub fn run<A: AsRef<OsStr>>(&self, args: &[A]) -> Run {
        finish(self.command(args))
    }

    /// Runs `wgbn` with the words of `line`, none of which holds a space.
    pub fn wgbn(&self, line: &str) -> Run {
        self.run(&words(line))
    }

    /// Runs a command that succeeds, with `--json`, and gives what it printed. A run on an
    /// adapter is put on record.
    pub fn json(&self, line: &str) -> Value {
        let run = self.wgbn(&format!("{line} --json"));
        let stdout = run.succeeded();
        assert_eq!(stdout.lines().count(), 1, "{line}: {stdout}");
        let value: Value = serde_json::from_str(stdout).unwrap();
        record(value["device"].as_str().unwrap());
        value
    }

    /// A run that must fail with one line that holds `needle`, and leave the folder as it was.
    pub fn refused(&self, line: &str, status: i32, needle: &str) {
        let before = self.names();
        let run = self.wgbn(line);
        run.failed(status, needle);
        assert_eq!(self.names(), before, "{line}: files came or went");
    }
}

impl Run {
    /// Asserts exit status 0 and nothing on stderr, and gives stdout.
    pub fn succeeded(&self) -> &str {
        assert_eq!(self.status, 0, "{self:#?}");
        assert_eq!(self.stderr, "", "{self:#?}");
        &self.stdout
    }

    /// Asserts this exit status, nothing on stdout, and on stderr one line that holds `needle`.
    pub fn failed(&self, status: i32, needle: &str) {
        self.failed_after_printing(status, needle);
        assert_eq!(self.stdout, "", "{self:#?}");
    }

    /// As [`Run::failed`], whatever is on stdout.
    pub fn failed_after_printing(&self, status: i32, needle: &str) {
        assert_eq!(self.status, status, "{self:#?}");
        let line = self.stderr.strip_suffix('\n');
        let line = line.unwrap_or_else(|| panic!("no line on stderr: {self:#?}"));
        assert!(!line.contains(['\n', '\r']), "{self:#?}");
        assert!(line.starts_with("wgbn: "), "{self:#?}");
        assert!(line.contains(needle), "not {needle:?}: {self:#?}");
    }
}

pub fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

/// Runs a command to its end; one that hangs fails the test.
pub fn finish(mut command: Command) -> Run {
    let what = format!("{command:?}");
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("{what}: {e}"));
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || sender.send(child.wait_with_output()));
    let output = receiver.recv_timeout(LIMIT);
    let output = output.unwrap_or_else(|_| panic!("{what} is still running"));
    let Output {
        status,
        stdout,
        stderr,
    } = output.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Run {
        status: status.code().unwrap_or(-1),
        stdout: text(stdout),
        stderr: text(stderr),
        what,
    }
}

/// Puts a run on an adapter on record, as the tests do that hold a device themselves.
/// `device` is what `wgbn` calls it: `NAME (BACKEND)` or `NAME (BACKEND, software)`.
pub fn record(device: &str) {
    if device == "CPU path" {
        return;
    }
    let (name, backend) = device.rsplit_once(" (").expect("a name and a backend");
    let backend = backend.trim_end_matches([')']);
    let backend = backend.split(", ").next().unwrap();
    append("WGBN_ADAPTER_LOG", &[name, backend]);
}

pub fn golden_path(name: &str) -> PathBuf {
    let file = format!("tests/goldens/{name}.safetensors");
    testkit::repository(&file)
}
