//! What the machine does to a run: no adapter, no room, nobody who listens; and results that
//! fail their check.

use serde_json::Value;

use crate::support::Folder;
use crate::tensors::{Tensors, small};

#[test]
fn gpu_without_an_adapter() {
    let folder = Folder::without_adapter();
    folder.save("in.safetensors", &small());
    for line in [
        "forward in.safetensors -o out.safetensors",
        "forward in.safetensors -o out.npy --mode eval",
        "backward in.safetensors -o out.safetensors",
        "moments in.safetensors -o out.safetensors --axes 0,2",
        "demo",
        "verify --quick",
    ] {
        folder.refused(
            &format!("{line} --device gpu"),
            3,
            "no GPU adapter was found",
        );
    }
    // A name is something else: it is the argument that is wrong.
    let line = "forward in.safetensors -o out.safetensors --device llvmpipe";
    folder.refused(line, 2, "\"llvmpipe\"; found: none");
    folder.json("forward in.safetensors -o out.safetensors --device cpu");
}

#[test]
fn auto_without_an_adapter_is_the_cpu_path() {
    let folder = Folder::without_adapter();
    folder.save("in.safetensors", &small());
    for line in [
        "forward in.safetensors -o out.safetensors",
        "backward in.safetensors -o out.safetensors",
        "moments in.safetensors -o out.safetensors --axes 0,2",
    ] {
        let value = folder.json(line);
        assert_eq!(value["device"], "CPU path");
        assert_says_how(value["note"].as_str().unwrap());
        let run = folder.wgbn(line);
        assert_says_how(run.succeeded().lines().next().unwrap());
        // Asked for, it is no news.
        assert!(folder.json(&format!("{line} --device cpu"))["note"].is_null());
    }
}

fn assert_says_how(line: &str) {
    assert!(line.contains("no GPU adapter was found"), "{line}");
    assert!(line.contains("CPU path"), "{line}");
    assert!(line.contains("mesa-vulkan-drivers"), "{line}");
}

#[test]
fn demo_without_an_adapter() {
    let folder = Folder::without_adapter();
    let run = folder.wgbn("demo");
    let text = run.succeeded();
    assert_says_how(text.lines().next().unwrap());
    let said = text.lines().filter(|line| line.contains("no GPU adapter"));
    assert_eq!(said.count(), 1, "{text}");
    assert!(text.contains("running on CPU path"), "{text}");
    crate::commands::assert_demo_table(text);
}

#[test]
fn verify_without_an_adapter() {
    let folder = Folder::without_adapter();
    let (text, value) = crate::commands::verified(&folder, "verify --quick --device auto");
    assert_says_how(text.lines().next().unwrap());
    assert_eq!(value["device"], "CPU path");
    assert_says_how(value["note"].as_str().unwrap());
    // Kernels are verified on an adapter or not at all, unless it is said otherwise.
    folder.refused("verify --quick", 3, "no GPU adapter");
}

#[test]
fn info_without_an_adapter() {
    let folder = Folder::without_adapter();
    let run = folder.wgbn("info");
    assert!(run.succeeded().starts_with("no adapter"), "{run:?}");
    let run = folder.wgbn("info --json");
    let value: Value = serde_json::from_str(run.succeeded()).unwrap();
    assert_eq!(value["adapters"], serde_json::json!([]));
    folder.refused("info --require-adapter", 3, "no GPU adapter was found");
    folder.refused(
        "info --require-adapter --json",
        3,
        "no GPU adapter was found",
    );
}

/// Drivers look for a session there, and complain where they do not find one.
#[test]
fn drivers_keep_quiet_whatever_the_session() {
    let nowhere = Folder::new().path("nowhere");
    for folder in [
        Folder::new().with_env("XDG_RUNTIME_DIR", None),
        Folder::new().with_env("XDG_RUNTIME_DIR", Some(nowhere.as_os_str())),
    ] {
        folder.save("in.safetensors", &small());
        folder.json("forward in.safetensors -o out.safetensors --device gpu");
        folder.wgbn("info").succeeded();
        folder.refused(
            "forward nothing -o out.safetensors --device gpu",
            2,
            "nothing",
        );
    }
}

/// Inputs on which f32 overflows half-way, and the f64 reference has a number for the result.
fn out_of_reach(command: &str) -> Tensors {
    let tensors = Tensors::default().f32("running_mean", &[2], &[0.0; 2]).f32(
        "running_var",
        &[2],
        &[1e-30, 1.0],
    );
    match command {
        // x − mean.
        "forward" => tensors
            .f32("x", &[2, 2], &[3e38, 3e38, 1.0, 2.0])
            .f32("running_mean", &[2], &[-3e38, 0.0])
            .f32("running_var", &[2], &[1e10, 1.0]),
        // weight · inv_std.
        _ => tensors
            .f32("x", &[2, 2], &[1.0, 2.0, 3.0, 4.0])
            .f32("dy", &[2, 2], &[1e-30, 1.0, 1e-30, 1.0])
            .f32("weight", &[2], &[3e38, 1.0]),
    }
}

/// On the CPU path: what an adapter does on its way to an overflow is its compiler's choice.
#[test]
fn a_failed_check_writes_nothing() {
    let folder = Folder::new();
    folder.write("there", b"precious");
    for (command, tensor) in [("forward", "y[0]"), ("backward", "dx[0]")] {
        folder.save("in.safetensors", &out_of_reach(command));
        let line = format!("{command} in.safetensors --mode eval --eps 0 --device cpu");
        let needle = format!("check failed: {tensor}");
        for more in [
            "-o out.safetensors",
            "-o out.safetensors --json",
            "-o there",
        ] {
            folder.refused(&format!("{line} {more}"), 1, &needle);
        }
        // Not looked at, it is written.
        folder.json(&format!("{line} -o out.safetensors --no-check"));
        std::fs::remove_file(folder.path("out.safetensors")).unwrap();
    }
    assert_eq!(folder.bytes("there"), b"precious");
}

#[cfg(unix)]
mod unix {
    use std::fs::File;
    use std::process::{Command, Stdio};

    use super::*;
    use crate::support::{Run, finish};
    use crate::tensors::Tensors;
    use testkit::log::skipped;

    /// 64 KiB of values.
    fn large() -> Tensors {
        Tensors::default().f32("x", &[64, 256], &vec![0.5; 64 * 256])
    }

    /// The small output of an earlier step, which holds a layer's state.
    fn checkpoint(folder: &Folder, name: &str) -> Vec<u8> {
        folder.save("small.safetensors", &small());
        let line = format!("forward small.safetensors --device cpu -o {name}");
        folder.json(&line);
        std::fs::remove_file(folder.path("small.safetensors")).unwrap();
        folder.load(name).tensor("running_mean");
        folder.bytes(name)
    }

    /// Runs `sh -c SCRIPT wgbn …` in the folder.
    fn shell(folder: &Folder, script: &str, line: &str) -> Run {
        let wgbn = folder.command(&crate::support::words(line));
        let mut shell = Command::new("sh");
        shell.args(["-c", script]).arg(wgbn.get_program());
        shell.args(wgbn.get_args());
        shell.current_dir(wgbn.get_current_dir().unwrap());
        finish(shell)
    }

    /// Files may not grow past 16 blocks, as on a disk that is full.
    #[test]
    fn no_room_for_the_output() {
        let folder = Folder::new();
        folder.save("in.safetensors", &large());
        let old = checkpoint(&folder, "out.safetensors");
        let script = "trap '' XFSZ; ulimit -f 16; exec \"$0\" \"$@\"";
        for output in ["out.safetensors", "new.safetensors", "new.npy"] {
            let line = format!("forward in.safetensors --device cpu -o {output}");
            let run = shell(&folder, script, &line);
            run.failed(3, &format!("cannot write {output}"));
        }
        assert_eq!(folder.names(), ["in.safetensors", "out.safetensors"]);
        assert_eq!(folder.bytes("out.safetensors"), old);
        // What does fit is written.
        let moments = "moments in.safetensors --axes 0 --keep-dims --device cpu -o out.safetensors";
        shell(&folder, script, moments).succeeded();
        folder.load("out.safetensors").tensor("mean");
    }

    /// A file system of 64 KiB, seen by one process only.
    #[test]
    fn a_full_file_system() {
        let folder = Folder::new();
        folder.save("in.safetensors", &large());
        std::fs::create_dir(folder.path("small")).unwrap();
        checkpoint(&folder, "old");
        let mount = "mount -t tmpfs -o size=64k tmpfs small";
        let inside = |then: &str| {
            let mut command = Command::new("unshare");
            let script = format!("{mount} && {then}");
            command.args(["--map-root-user", "--mount", "sh", "-c", &script]);
            command.arg(env!("CARGO_BIN_EXE_wgbn"));
            command.current_dir(folder.path(""));
            command
        };
        let possible = inside("true").output();
        if !possible.is_ok_and(|output| output.status.success()) {
            skipped(&format!("`unshare` and `{mount}` are not possible here"));
            return;
        }
        let wgbn = "\"$0\" forward in.safetensors --device cpu -o small/out.safetensors";
        // The exit status, and what is left in the folder: nothing, or the file that was there.
        let script = format!("{wgbn}; echo $?; ls -A small");
        let kept = format!(
            "cp old small/out.safetensors && {{ {wgbn}; echo $?; ls -A small; }} && \
             cmp old small/out.safetensors"
        );
        let run = finish(inside(&kept));
        assert_eq!(run.status, 0, "{run:?}");
        assert_eq!(run.stdout, "3\nout.safetensors\n", "{run:?}");
        let run = finish(inside(&script));
        assert_eq!((run.status, run.stdout.as_str()), (0, "3\n"), "{run:?}");
        assert_eq!(run.stderr.lines().count(), 1, "{run:?}");
        assert!(
            run.stderr
                .starts_with("wgbn: cannot write small/out.safetensors"),
            "{run:?}"
        );
        assert!(run.stderr.contains("No space left"), "{run:?}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_device() {
        let folder = Folder::new();
        folder.save("in.safetensors", &small());
        for command in ["forward", "backward", "moments --axes 0"] {
            let line = format!("{command} in.safetensors --device cpu -o /dev/full");
            folder.refused(&line, 3, "cannot write /dev/full");
        }
        let line = "forward in.safetensors --device cpu -o out.safetensors";
        for line in [line, "info", "demo --device cpu", "--help"] {
            let mut command = folder.command(&crate::support::words(line));
            let full = File::options().write(true).open("/dev/full").unwrap();
            let output = command.stdout(full).output().unwrap();
            assert_eq!(output.status.code(), Some(3), "{line}");
            let stderr = String::from_utf8(output.stderr).unwrap();
            assert!(
                stderr.starts_with("wgbn: cannot write to stdout"),
                "{line}: {stderr}"
            );
            assert_eq!(stderr.lines().count(), 1, "{line}: {stderr}");
        }
    }

    /// As in `wgbn demo | head -1`: a reader that has left is no failure.
    #[test]
    fn nobody_reads() {
        let folder = Folder::new();
        folder.save("in.safetensors", &small());
        let forward = "forward in.safetensors --device cpu -o out.safetensors";
        for line in [
            "demo --device cpu",
            "info",
            "info --json",
            "--help",
            forward,
        ] {
            let mut command = folder.command(&crate::support::words(line));
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
            let mut child = command.spawn().unwrap();
            drop(child.stdout.take());
            let output = child.wait_with_output().unwrap();
            assert_eq!(output.status.code(), Some(0), "{line}");
            assert!(output.stderr.is_empty(), "{line}");
        }
        folder.load("out.safetensors").tensor("y");
    }

    /// An output folder that may not be written to; root may write anywhere.
    #[test]
    fn a_folder_that_is_locked() {
        use std::os::unix::fs::PermissionsExt;
        let folder = Folder::new();
        folder.save("in.safetensors", &small());
        let locked = folder.path("locked");
        std::fs::create_dir(&locked).unwrap();
        std::fs::set_permissions(&locked, PermissionsExt::from_mode(0o500)).unwrap();
        if File::create(locked.join("probe")).is_ok() {
            skipped("root may write anywhere");
            return;
        }
        let line = "forward in.safetensors --device cpu -o locked/out.safetensors";
        folder.refused(line, 3, "cannot write locked/out.safetensors");
    }
}
