//! `verify` on a device that does not do all that it is told to: a Vulkan layer (`tests/dropping`) leaves
//! commands out between wgpu and the driver.

use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};

use serde_json::Value;
use wgbn_dropping_layer::{Mode, NAME, VARIABLE, manifest};

use crate::support::{Folder, record, words};
use crate::tensors::Tensors;
use testkit::data::Random;

/// One operation on one variant.
#[derive(Debug)]
struct Row {
    operation: String,
    variant: String,
    exact: bool,
    runs: u64,
    /// Runs in which something is beyond its bound, the canary's pattern or another tensor.
    failed: u64,
    /// Runs in which a tensor other than the canary's is.
    failed_by_judge: u64,
}

impl Row {
    fn of(row: &Value) -> Self {
        let text = |name: &str| row[name].as_str().unwrap().to_owned();
        let number = |name: &str| row[name].as_u64().unwrap();
        Self {
            operation: text("operation"),
            variant: text("variant"),
            exact: row["exact"].as_bool().unwrap(),
            runs: number("runs"),
            failed: number("failed"),
            failed_by_judge: number("failed_by_judge"),
        }
    }

    fn key(&self) -> (&str, &str, bool, u64) {
        (&self.operation, &self.variant, self.exact, self.runs)
    }

    /// How many of its runs have a second dispatch, or need the result of one.
    fn with_a_second(&self) -> u64 {
        let planar = self.variant == "planar" && !self.exact;
        let resident = self.variant.ends_with("resident");
        match &*self.operation {
            // A dispatch for each piece: one quick case has a tensor that needs several bindings.
            "inference" | "normalize, plain statistics" => u64::from(planar),
            "inference, y over x" | "image, inference" => 0,
            "image, tensor" if self.variant.ends_with("running statistics") => 0,
            "train forward" | "train forward, y over x" if resident => 0,
            // Of three backward runs, the one without dx has two dispatches.
            "backward" if resident => self.runs / 3,
            _ => self.runs,
        }
    }
}

/// A folder whose processes have the layer before their driver.
fn behind(mode: Mode) -> Folder {
    let library = format!("{DLL_PREFIX}wgbn_dropping_layer{DLL_SUFFIX}");
    let library = std::env::current_exe().unwrap().with_file_name(library);
    assert!(
        library.exists(),
        "cargo puts what tests depend on beside them: no {library:?}"
    );
    let folder = Folder::new();
    folder.write("layer.json", manifest(library.to_str().unwrap()).as_bytes());
    let place = folder.path("");
    folder
        .with_env("VK_ADD_LAYER_PATH", Some(place.as_os_str()))
        .with_env("VK_INSTANCE_LAYERS", Some(NAME.as_ref()))
        .with_env(VARIABLE, Some(mode.name().as_ref()))
        .with_env("WGPU_BACKEND", Some("vulkan".as_ref()))
}

/// A quick sweep behind the layer, and its exit status.
fn swept(mode: Mode) -> (i32, Vec<Row>) {
    let folder = behind(mode);
    let run = folder.run(&words("verify --quick --device gpu --json report.json"));
    assert!(run.status == 0 || run.status == 1, "{run:#?}");
    let report: Value = serde_json::from_slice(&folder.bytes("report.json")).unwrap();
    record(report["device"].as_str().unwrap());
    let rows = report["rows"].as_array().unwrap();
    (run.status, rows.iter().map(Row::of).collect())
}

#[test]
fn commands_notice_what_is_dropped() {
    const SHAPE: [usize; 4] = [8, 3, 28, 28];
    let mut random = Random::new(1);
    let mut normals = || random.normals(SHAPE.iter().product(), 0.3, 1.5);
    let tensors = Tensors::default()
        .f32("x", &SHAPE, &normals())
        .f32("dy", &SHAPE, &normals());
    // Where everything is zero, memory that nobody wrote holds the right results.
    let zeros = vec![0.0; SHAPE.iter().product()];
    let zeros = Tensors::default()
        .f32("x", &SHAPE, &zeros)
        .f32("dy", &SHAPE, &zeros);
    for mode in Mode::ALL {
        let folder = behind(mode);
        folder.save("in.safetensors", &tensors);
        folder.save("zero.safetensors", &zeros);
        let before = folder.names();
        for line in [
            "demo",
            "forward in.safetensors -o out.safetensors",
            "backward in.safetensors -o out.safetensors",
            "moments in.safetensors -o out.safetensors --axes 0,2,3",
            "forward zero.safetensors -o out.safetensors",
            "backward zero.safetensors -o out.safetensors",
            "moments zero.safetensors -o out.safetensors --axes 0,2,3",
        ] {
            let run = folder.wgbn(&format!("{line} --device gpu"));
            // The software adapter's sizes split these channels, so that there is a second dispatch.
            if mode == Mode::Nothing {
                assert_eq!(run.status, 0, "{line}: {run:#?}");
                continue;
            }
            assert_eq!(run.status, 1, "{mode:?}, {line}: {run:#?}");
            // What is told is a judge's finding, not the canary's.
            assert!(
                !run.stderr.contains("did not execute"),
                "{mode:?}, {line}: {run:#?}"
            );
            assert_eq!(folder.names(), before, "{mode:?}, {line}");
            if mode == Mode::Dispatches && line != "demo" {
                let run = folder.wgbn(&format!("{line} --device gpu --no-check"));
                assert_eq!(run.status, 3, "{line}: {run:#?}");
            }
        }
        if mode == Mode::Nothing {
            std::fs::remove_file(folder.path("out.safetensors")).unwrap();
        }
    }
}

#[test]
fn what_is_dropped_is_noticed() {
    let (status, whole) = swept(Mode::Nothing);
    assert_eq!(status, 0, "{whole:#?}");
    for mode in Mode::ALL {
        if mode == Mode::Nothing {
            assert!(whole.iter().all(|row| row.failed == 0), "{whole:#?}");
            continue;
        }
        let (status, rows) = swept(mode);
        assert_eq!(status, 1, "{mode:?}");
        let keys =
            |rows: &[Row]| -> Vec<_> { rows.iter().map(|r| format!("{:?}", r.key())).collect() };
        assert_eq!(keys(&rows), keys(&whole), "{mode:?}");
        let noticed = |row: &Row| match mode {
            Mode::SecondDispatch => row.with_a_second(),
            _ => row.runs,
        };
        let wrong: Vec<_> = rows
            .iter()
            .filter(|row| row.failed_by_judge != noticed(row))
            .collect();
        assert!(wrong.is_empty(), "{mode:?}: {wrong:#?}");
    }
}
