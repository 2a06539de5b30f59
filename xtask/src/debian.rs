//! Packages of Debian 13, unpacked into a folder and not installed: drivers and layers that this
//! system lacks, or has older.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::{command_line, root};

/// Debian 13.
const RELEASE: &str = "trixie";

/// The keys that Debian's releases are signed with: package `debian-archive-keyring`.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// The file that says which packages lie unpacked beside it.
const STAMP: &str = "packages";

/// Unpacked packages, with all that they depend on.
pub struct Unpacked {
    folder: PathBuf,
}

/// Unpacks packages with their dependencies into a folder of `target/debian`, unless they are there.
/// Needs no root. The machine's own apt fetches them from the mirror that it is set up for and
/// checks Debian's signature.
///
/// # Errors
/// In one line, what this system lacks: callers skip what they wanted it for, or fail.
pub fn unpack(packages: &[&str]) -> Result<Unpacked, String> {
    let name = packages.join("+");
    let parent = root().join("target").join("debian");
    let unpacked = Unpacked {
        folder: parent.join(&name),
    };
    if unpacked.folder.join(STAMP).is_file() {
        return Ok(unpacked);
    }
    needs()?;
    // What is incomplete has another name, so that a run that was ended leaves nothing half done, and
    // two runs at once do not meet.
    let work = parent.join(format!("{name}.{}", std::process::id()));
    let outcome = fetch(&work, packages).and_then(|()| {
        fs::rename(&work, &unpacked.folder)
            .map_err(|error| format!("cannot make {}: {error}", unpacked.folder.display()))
    });
    fs::remove_dir_all(&work).ok();
    if let Err(reason) = outcome
        // Another run may have been first.
        && !unpacked.folder.join(STAMP).is_file()
    {
        return Err(format!("Debian's {}: {reason}", packages.join(", ")));
    }
    Ok(unpacked)
}

impl Unpacked {
    /// A file of the packages, by its path on a system where they are installed.
    pub fn file(&self, path: &str) -> PathBuf {
        self.folder.join("root").join(path.trim_start_matches('/'))
    }

    /// The folder of libraries.
    pub fn libraries(&self) -> PathBuf {
        self.file("/usr/lib/x86_64-linux-gnu")
    }

    /// A command that runs `program` with these libraries, the C library among them, in place of the
    /// system's. Libraries of the list `preload` come before all others. The arguments that are
    /// added to the command are the program's.
    pub fn command(&self, program: &Path, preload: &[&str]) -> Command {
        let mut command = Command::new(self.file("/usr/lib64/ld-linux-x86-64.so.2"));
        command.arg("--library-path").arg(self.libraries());
        for library in preload {
            command.arg("--preload").arg(self.libraries().join(library));
        }
        command.arg(program);
        command
    }
}

/// What this needs of the system, as an error where it is not there.
fn needs() -> Result<(), String> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return Err("packages of Debian run on Linux on x86-64 alone".to_owned());
    }
    for program in ["apt-get", "dpkg-deb"] {
        let answer = Command::new(program)
            .arg("--version")
            .stdout(Stdio::null())
            .status();
        if answer.is_err() {
            return Err(format!(
                "there is no {program} to fetch packages of Debian with"
            ));
        }
    }
    if !Path::new(KEYRING).is_file() {
        return Err(format!(
            "there is no {KEYRING} to check packages of Debian with (package debian-archive-keyring)"
        ));
    }
    Ok(())
}

/// Fetches and unpacks packages into a folder, and leaves the stamp there.
fn fetch(folder: &Path, packages: &[&str]) -> Result<(), String> {
    let io = |error: std::io::Error| format!("cannot write {}: {error}", folder.display());
    let mirror = mirror()?;
    let apt = folder.join("apt");
    for part in ["lists/partial", "cache/archives/partial", "parts"] {
        fs::create_dir_all(apt.join(part)).map_err(io)?;
    }
    let source = format!("deb [signed-by={KEYRING}] {mirror} {RELEASE} main\n");
    fs::write(apt.join("sources.list"), source).map_err(io)?;
    // Nothing is installed, so that every dependency is fetched, the C library among them.
    fs::write(apt.join("status"), "").map_err(io)?;

    println!("fetching packages of Debian: {}", packages.join(" "));
    let apt_get = |args: &[&str]| {
        let mut command = Command::new("apt-get");
        let set = |key: &str, value: &OsStr| {
            let mut option = std::ffi::OsString::from(format!("-o{key}="));
            option.push(value);
            option
        };
        for (key, place) in [
            ("Dir::Etc::sourcelist", "sources.list"),
            ("Dir::Etc::sourceparts", "parts"),
            ("Dir::State::lists", "lists"),
            ("Dir::State::status", "status"),
            ("Dir::Cache", "cache"),
        ] {
            command.arg(set(key, apt.join(place).as_os_str()));
        }
        for (key, value) in [
            ("APT::Architecture", "amd64"),
            ("APT::Architectures", "amd64"),
            ("APT::Sandbox::User", "root"),
            ("Debug::NoLocking", "true"),
            // A mirror that cannot be reached is an error, not a warning.
            ("APT::Update::Error-Mode", "any"),
            // Whatever the machine's own settings say.
            ("APT::Get::AllowUnauthenticated", "false"),
            ("Acquire::AllowInsecureRepositories", "false"),
            ("Acquire::AllowWeakRepositories", "false"),
            ("Acquire::AllowDowngradeToInsecureRepositories", "false"),
        ] {
            command.arg(set(key, OsStr::new(value)));
        }
        command.args(args);
        output(&mut command).map(drop)
    };
    apt_get(&["-q", "update"])?;
    let install = [
        "-qy",
        "--no-install-recommends",
        "--download-only",
        "install",
    ];
    apt_get(&[&install[..], packages].concat())?;

    let unpacked = folder.join("root");
    let mut names = Vec::new();
    for file in fs::read_dir(apt.join("cache/archives")).map_err(io)? {
        let file = file.map_err(io)?.path();
        if file.extension() == Some(OsStr::new("deb")) {
            let mut command = Command::new("dpkg-deb");
            output(command.arg("--extract").arg(&file).arg(&unpacked))?;
            let name = file.file_stem().unwrap_or_default().to_string_lossy();
            names.push(name.into_owned() + "\n");
        }
    }
    fs::remove_dir_all(&apt).map_err(io)?;
    names.sort();
    fs::write(folder.join(STAMP), names.concat()).map_err(io)
}

/// The address from which this machine's apt takes Debian.
fn mirror() -> Result<String, String> {
    let mut command = Command::new("apt-get");
    command.args(["indextargets", "--format"]);
    command.arg("$(RELEASE) $(COMPONENT) $(REPO_URI)");
    let targets = output(command.arg("Created-By: Packages"))?;
    let system = fs::read_to_string("/etc/os-release").unwrap_or_default();
    mirror_of(&system, &targets).ok_or_else(|| {
        "apt has no mirror of Debian here: packages of Debian can be fetched on Debian alone"
            .to_owned()
    })
}

/// The first address that has the system's own release, by the lines of `/etc/os-release` and lines
/// `RELEASE COMPONENT ADDRESS` of apt's sources. Updates of security and other people's packages lie
/// elsewhere, under other names of releases or components.
fn mirror_of(system: &str, targets: &str) -> Option<String> {
    let value = |key: &str| {
        let line = system.lines().find_map(|line| line.strip_prefix(key));
        line.map(|value| value.trim_matches('"'))
    };
    if value("ID=") != Some("debian") {
        return None;
    }
    let own = ["stable", "oldstable", "testing", "unstable", "sid"];
    targets.lines().find_map(|line| {
        let [release, component, address] = line.split_whitespace().collect::<Vec<_>>()[..]
            .try_into()
            .ok()?;
        let of_debian = value("VERSION_CODENAME=") == Some(release) || own.contains(&release);
        (of_debian && component == "main").then(|| str::to_owned(address))
    })
}

/// Runs a command in a language that is known, and gives what it printed; an error is in one line.
fn output(command: &mut Command) -> Result<String, String> {
    let program = command_line(command);
    let program = program.split(' ').next().unwrap_or_default().to_owned();
    let output = command
        .env("LC_ALL", "C")
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("cannot run {program}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    // apt says what went wrong first, and then what follows from it.
    let line = said.lines().find(|line| line.starts_with("E: "));
    let line = line.or(said.lines().last()).unwrap_or_default();
    Err(format!("{program} ended with {}: {line}", output.status))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOKWORM: &str = "ID=debian\nVERSION_CODENAME=bookworm\n";

    #[test]
    fn the_mirror_is_the_one_of_the_systems_own_release() {
        let targets = "bookworm stable https://docker.example/debian/\n\
                       bookworm-security main http://mirror.example/debian-security/\n\
                       nodistro main https://node.example/\n\
                       bookworm main http://mirror.example/debian/\n";
        let mirror = Some("http://mirror.example/debian/".to_owned());
        assert_eq!(mirror_of(BOOKWORM, targets), mirror);
        assert_eq!(
            mirror_of("ID=ubuntu\nVERSION_CODENAME=bookworm\n", targets),
            None
        );
        assert_eq!(
            mirror_of("ID=debian\nVERSION_CODENAME=sid\n", targets),
            None
        );
        assert_eq!(
            mirror_of(BOOKWORM, "testing main http://a/\n").as_deref(),
            Some("http://a/")
        );
    }

    #[test]
    fn a_program_runs_with_the_libraries_that_were_unpacked() {
        let unpacked = Unpacked {
            folder: PathBuf::from("/there"),
        };
        let mut command = unpacked.command(Path::new("/bin/program"), &["libshim.so"]);
        command.arg("--option");
        assert_eq!(
            command.get_program(),
            "/there/root/usr/lib64/ld-linux-x86-64.so.2"
        );
        let args: Vec<&OsStr> = command.get_args().collect();
        let libraries = "/there/root/usr/lib/x86_64-linux-gnu";
        assert_eq!(args[..2], ["--library-path", libraries]);
        assert_eq!(
            args[2..4],
            ["--preload", &format!("{libraries}/libshim.so")]
        );
        assert_eq!(args[4..], ["/bin/program", "--option"]);
    }
}
