//! The GPU adapter: that there is one, and that the tests ran on it.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::{CommandExt as _, root};

/// The exit status with which `wgbn info --require-adapter` says that there is
/// no adapter.
const NO_ADAPTER: i32 = 3;

/// Debian's and Ubuntu's Vulkan loader and drivers, the software one among
/// them.
const APT_PACKAGES: [&str; 2] = ["mesa-vulkan-drivers", "libvulkan1"];

/// Prints the adapter that `wgbn` finds. Where there is none, installs Mesa's
/// Vulkan drivers if the system and the user allow it, and says what to do if
/// they do not.
pub fn ensure(wgbn: &Path) -> Result<(), String> {
    if probe(wgbn)? {
        return Ok(());
    }
    let system = System::this();
    if system.apt_prefix().is_none() {
        return Err(format!("there is no GPU adapter; {}", system.advice()));
    }
    println!("there is no GPU adapter: installing a software Vulkan driver");
    install(&APT_PACKAGES)?;
    if probe(wgbn)? {
        Ok(())
    } else {
        Err("there is no GPU adapter, though Mesa's Vulkan drivers are installed".to_owned())
    }
}

/// Whether this is CI.
pub fn in_ci() -> bool {
    System::this().ci
}

/// Installs packages of Debian or Ubuntu, where xtask may.
pub fn install(packages: &[&str]) -> Result<(), String> {
    let prefix = System::this().apt_prefix().ok_or("there is no apt-get")?;
    let apt_get = |args: &[&str]| {
        let mut words = prefix.iter().chain(args).copied();
        let mut command = Command::new(words.next().expect("the prefix ends in apt-get"));
        command
            .args(words)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .run()
    };
    // Lists that could not be refreshed may still do.
    if let Err(error) = apt_get(&["update"]) {
        eprintln!("xtask: {error}; going on with the package lists there are");
    }
    apt_get(&[&["install", "-y", "--no-install-recommends"][..], packages].concat())
}

/// Whether there is an adapter; the program prints it.
fn probe(wgbn: &Path) -> Result<bool, String> {
    println!("$ wgbn info --require-adapter");
    let status = Command::new(wgbn)
        .args(["info", "--require-adapter"])
        .current_dir(root())
        .stdin(Stdio::null())
        .status()
        .map_err(|error| format!("cannot run {}: {error}", wgbn.display()))?;
    match status.code() {
        Some(0) => Ok(true),
        Some(NO_ADAPTER) => Ok(false),
        _ => Err(format!(
            "`wgbn info --require-adapter` ended with {status} (0: an adapter, {NO_ADAPTER}: none)"
        )),
    }
}

/// What the way to an adapter depends on.
#[derive(Clone, Copy)]
struct System {
    os: &'static str,
    /// The system's package manager, if it is one of those known here.
    manager: Option<&'static str>,
    root: bool,
    ci: bool,
}

impl System {
    fn this() -> Self {
        let os = std::env::consts::OS;
        let answers = |program: &&str| {
            Command::new(program)
                .arg("--version")
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .is_ok()
        };
        let managers = ["apt-get", "dnf", "pacman"];
        let linux = os == "linux";
        Self {
            os,
            manager: managers.into_iter().find(|m| linux && answers(m)),
            root: linux && user_id().as_deref() == Some("0"),
            ci: is_set(std::env::var("CI").ok().as_deref()),
        }
    }

    /// The words before apt-get's own arguments, where xtask may install
    /// packages: for root, and in CI, where sudo asks for no password.
    fn apt_prefix(self) -> Option<&'static [&'static str]> {
        if self.os != "linux" || self.manager != Some("apt-get") {
            None
        } else if self.root {
            Some(&["apt-get"])
        } else if self.ci {
            // sudo drops the environment, so the variable goes behind it.
            Some(&[
                "sudo",
                "-n",
                "env",
                "DEBIAN_FRONTEND=noninteractive",
                "apt-get",
            ])
        } else {
            None
        }
    }

    /// What a person can do on this system.
    fn advice(self) -> String {
        let install = match (self.os, self.manager) {
            ("linux", Some("apt-get")) => &format!(
                "sudo apt-get install --no-install-recommends {}",
                APT_PACKAGES.join(" ")
            ),
            ("linux", Some("dnf")) => "sudo dnf install mesa-vulkan-drivers vulkan-loader",
            ("linux", Some("pacman")) => "sudo pacman -S vulkan-swrast vulkan-icd-loader",
            ("linux", _) => {
                return "install the Vulkan loader and Mesa's software Vulkan driver (lavapipe) \
                        with the system's package manager"
                    .to_owned();
            }
            ("macos", _) => {
                return "Metal is part of macOS and nothing can be installed for it: \
                        use a Mac, or a virtual machine, that has a Metal device"
                    .to_owned();
            }
            ("windows", _) => {
                return "Direct3D 12 and its software adapter (WARP) are part of Windows 10 and \
                        later: bring Windows up to date, or install the graphics driver"
                    .to_owned();
            }
            _ => {
                return "wgpu needs Vulkan, Metal or Direct3D 12 on this system".to_owned();
            }
        };
        format!("install a software Vulkan driver with:\n    {install}")
    }
}

/// Whether a variable like `CI` is set to something that is not a no.
fn is_set(value: Option<&str>) -> bool {
    !matches!(value, None | Some("" | "0" | "false"))
}

fn user_id() -> Option<String> {
    let output = Command::new("id").arg("-u").output().ok()?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}

/// Makes sure that the log has no line of an earlier run.
pub fn start_log(log: &Path) -> Result<(), String> {
    let result = match fs::remove_file(log) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        result => result,
    };
    result
        .and_then(|()| fs::create_dir_all(log.parent().unwrap_or(root())))
        .map_err(|error| format!("cannot prepare {}: {error}", log.display()))
}

/// Prints how much ran on which adapter, and fails if nothing ran on one.
pub fn read_log(log: &Path) -> Result<BTreeMap<String, usize>, String> {
    let text = match fs::read_to_string(log) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(format!("cannot read {}: {error}", log.display())),
    };
    let counts = count_contexts(text.as_deref())?;
    for (adapter, contexts) in &counts {
        println!("GPU contexts that tests made on {adapter}: {contexts}");
    }
    Ok(counts)
}

/// How many contexts the tests made on each adapter, from the log's lines
/// `<adapter>\t<backend>\t<test>`. It is an error if there is no log, no line
/// in it, a line of another form, or a line of the backend that computes
/// nothing.
fn count_contexts(log: Option<&str>) -> Result<BTreeMap<String, usize>, String> {
    let log = log.ok_or("no test ran on an adapter: the tests wrote no adapter log")?;
    let mut counts = BTreeMap::new();
    for line in log.lines() {
        let fields: Vec<&str> = line.split('\t').map(str::trim).collect();
        let [adapter, backend, test] = fields[..] else {
            return Err(format!("the adapter log has a malformed line: {line:?}"));
        };
        if [adapter, backend, test].contains(&"") {
            return Err(format!("the adapter log has an empty field: {line:?}"));
        }
        if backend.eq_ignore_ascii_case("noop") {
            return Err(format!("the test {test} ran on wgpu's no-op backend"));
        }
        *counts.entry(format!("{adapter} ({backend})")).or_default() += 1;
    }
    if counts.is_empty() {
        return Err("no test ran on an adapter: the adapter log is empty".to_owned());
    }
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contexts_are_counted_per_adapter_and_backend() {
        let log = "llvmpipe\tvulkan\tforward\n\
                   llvmpipe\tvulkan\tbackward\r\n\
                   llvmpipe\tgl\tforward\n\
                   Some GPU 4000\tvulkan\tforward\n";
        let counts = count_contexts(Some(log)).expect("the log is good");
        let counts: Vec<(&str, usize)> = counts.iter().map(|(k, v)| (&**k, *v)).collect();
        assert_eq!(
            counts,
            [
                ("Some GPU 4000 (vulkan)", 1),
                ("llvmpipe (gl)", 1),
                ("llvmpipe (vulkan)", 2),
            ]
        );
    }

    #[test]
    fn a_missing_or_empty_log_is_an_error() {
        for log in [None, Some("")] {
            let error = count_contexts(log).expect_err("nothing ran");
            assert!(error.starts_with("no test ran on an adapter"), "{error}");
        }
    }

    #[test]
    fn a_line_that_names_no_adapter_is_an_error() {
        for line in [
            "\n",
            "llvmpipe\n",
            "llvmpipe\tvulkan\n",
            "llvmpipe\tvulkan\tforward\tmore\n",
            "\tvulkan\tforward\n",
            "llvmpipe\t \tforward\n",
            "noop\tNoop\tforward\n",
        ] {
            let log = format!("llvmpipe\tvulkan\tforward\n{line}");
            assert!(count_contexts(Some(&log)).is_err(), "{line:?}");
        }
    }

    #[test]
    fn a_log_is_started_anew_and_read_back() {
        let folder = std::env::temp_dir().join(format!("xtask-log-{}", std::process::id()));
        let log = folder.join("adapter-log.txt");
        start_log(&log).expect("the folder can be made");
        assert!(read_log(&log).is_err());
        fs::write(&log, "llvmpipe\tvulkan\tforward\n").expect("the log can be written");
        let counts = read_log(&log).expect("the log is good");
        assert_eq!(counts["llvmpipe (vulkan)"], 1);
        start_log(&log).expect("the log can be removed");
        assert!(read_log(&log).is_err());
        fs::remove_dir_all(&folder).expect("the folder can be removed");
    }

    const DEBIAN: System = System {
        os: "linux",
        manager: Some("apt-get"),
        root: false,
        ci: false,
    };

    #[test]
    fn packages_are_installed_only_for_root_and_in_ci() {
        let root = System {
            root: true,
            ..DEBIAN
        };
        let ci = System { ci: true, ..DEBIAN };
        let fedora = System {
            manager: Some("dnf"),
            ..root
        };
        let mac = System {
            os: "macos",
            manager: None,
            ..ci
        };
        assert_eq!(DEBIAN.apt_prefix(), None);
        assert_eq!(root.apt_prefix(), Some(&["apt-get"][..]));
        assert_eq!(ci.apt_prefix().map(|words| words[0]), Some("sudo"));
        assert_eq!(fedora.apt_prefix(), None);
        assert_eq!(mac.apt_prefix(), None);
    }

    #[test]
    fn the_advice_is_that_of_the_system() {
        let advice = |os, manager| {
            System {
                os,
                manager,
                ..DEBIAN
            }
            .advice()
        };
        assert!(advice("linux", Some("apt-get")).contains("mesa-vulkan-drivers libvulkan1"));
        assert!(advice("linux", Some("dnf")).contains("sudo dnf install"));
        assert!(advice("linux", Some("pacman")).contains("sudo pacman -S"));
        assert!(advice("linux", None).contains("lavapipe"));
        assert!(advice("macos", None).contains("Metal"));
        assert!(advice("windows", None).contains("WARP"));
        assert!(advice("freebsd", None).contains("Vulkan"));
    }

    #[test]
    fn ci_may_be_switched_off() {
        for off in [None, Some(""), Some("0"), Some("false")] {
            assert!(!is_set(off), "{off:?}");
        }
        for on in [Some("1"), Some("true")] {
            assert!(is_set(on), "{on:?}");
        }
    }
}
