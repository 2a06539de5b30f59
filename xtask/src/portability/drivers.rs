//! The test suite on each driver that is installed.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use serde_json::Value;

use super::{Report, Row, suite};
use crate::{ADAPTER_LOG, CommandExt as _, adapter};

/// Where systems keep the manifests of Vulkan drivers.
const MANIFESTS: [&str; 3] = [
    "/usr/share/vulkan/icd.d",
    "/usr/local/share/vulkan/icd.d",
    "/etc/vulkan/icd.d",
];

/// Where browsers keep SwiftShader: Debian's Chromium, Fedora's, Chrome.
const SWIFTSHADER: [&str; 3] = [
    "/usr/lib/chromium/vk_swiftshader_icd.json",
    "/usr/lib64/chromium-browser/vk_swiftshader_icd.json",
    "/opt/google/chrome/vk_swiftshader_icd.json",
];

/// Tests that are left out on drivers, by a part of their names, and why: nearly all of the time goes
/// into compiling kernels, seconds for some, and SwiftShader keeps none.
const LEFT_OUT: [(&str, &str); 9] = [
    ("shaders::", "they need no adapter, and ran above"),
    ("harness::", "what the judge is worth, whatever it judges"),
    (
        "dispatches::",
        "they count what plans record, and run none of it",
    ),
    ("costs_no_dispatch", "as those"),
    (
        "recording::",
        "how bindings share a pass, which wgpu keeps in order on every driver alike",
    ),
    (
        "large::",
        "the kernels of smaller tensors, on parts that the host cuts",
    ),
    ("pieces", "as those"),
    (
        "in_every_shape",
        "every shape runs plain, and activations and halves in fewer",
    ),
    (
        "one_digest_for_each_operation",
        "`gpu_repeats_itself` repeats a few of its hundred times",
    ),
];

/// The same for GL alone.
const LEFT_OUT_ON_GL: [(&str, &str); 2] = [
    (
        "one_image_for_both",
        "it wants an sRGB view of a linear texture, and wgpu's GL has none",
    ),
    (
        "textures::render::",
        "wgpu's GL has no target of rgba32float, and draws nothing after tests in which wgpu refused \
         something; those of other formats pass in processes of their own",
    ),
];

/// Random cases a test: a software driver compiles for nearly each.
const RANDOM_CASES: &str = "32";

pub const GET_SWIFTSHADER: &str =
    "SwiftShader comes with Chromium (Debian: apt-get install chromium) and Chrome";

const GET_GL: &str = "EGL and a driver are in Debian's and Ubuntu's packages libegl1 and \
                      libgl1-mesa-dri";

/// SwiftShader's manifest, where a browser brought it.
pub fn swiftshader() -> Option<PathBuf> {
    let mut all = SWIFTSHADER.iter().map(PathBuf::from);
    all.find(|manifest| manifest.is_file())
}

/// The variables by which the Vulkan loader, old or new, finds this driver and no other.
pub fn variables(manifest: &Path) -> Vec<(&'static str, OsString)> {
    ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"]
        .map(|name| (name, manifest.as_os_str().to_owned()))
        .to_vec()
}

pub struct Driver {
    /// What the run calls it until the driver says its own name.
    pub name: String,
    /// What selects it, where it may be here.
    select: Option<Vec<(&'static str, OsString)>>,
    /// How to get it, where it should be everywhere.
    get: Option<&'static str>,
}

/// SwiftShader, GL, and every driver of Vulkan that is installed; elsewhere than on Linux what wgpu takes.
pub fn all() -> Vec<Driver> {
    if !cfg!(target_os = "linux") {
        return vec![Driver {
            name: "the system's own".to_owned(),
            select: Some(vec![]),
            get: Some("wgpu needs Metal or Direct3D 12 on this system"),
        }];
    }
    let mut manifests: Vec<PathBuf> = MANIFESTS
        .iter()
        .filter_map(|folder| fs::read_dir(folder).ok())
        .flatten()
        .filter_map(|file| Some(file.ok()?.path()))
        .filter(|file| file.extension() == Some(OsStr::new("json")))
        .collect();
    manifests.sort();
    let vulkan = |manifest: &Path| {
        let mut variables = variables(manifest);
        variables.push(("WGPU_BACKEND", "vulkan".into()));
        variables
    };
    let named = |manifest: &PathBuf| Driver {
        name: manifest
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned(),
        select: Some(vulkan(manifest)),
        get: None,
    };
    let mut all = vec![
        Driver {
            name: "SwiftShader".to_owned(),
            select: swiftshader().map(|m| vulkan(&m)),
            get: Some(GET_SWIFTSHADER),
        },
        Driver {
            name: "GL".to_owned(),
            select: Some(vec![("WGPU_BACKEND", "gl".into())]),
            get: Some(GET_GL),
        },
    ];
    all.extend(manifests.iter().map(named));
    all
}

impl Driver {
    /// Its tests, unless it is the driver that wgpu takes of itself.
    pub fn run(
        &self,
        report: &mut Report,
        wgbn: &Path,
        folder: &Path,
        usual: Option<&Device>,
    ) -> Result<(), String> {
        let start = Instant::now();
        let select = self.select.iter().flatten();
        let mut variables: Vec<(&str, &OsStr)> =
            select.map(|(name, value)| (*name, &**value)).collect();
        let device = match self.select {
            Some(_) => Device::found(wgbn, &variables)?,
            None => None,
        };
        let Some(device) = device else {
            match self.get {
                Some(how) => report.missing(format!("{}: {how}", self.name)),
                // A driver is often installed where its device is not.
                None => println!("{} finds no device here", self.name),
            }
            return Ok(());
        };
        if Some(&device) == usual {
            let mut row = Row {
                name: device.title(),
                version: device.driver,
                ..Row::default()
            };
            row.skip("all tests: it is what wgpu takes here, and `cargo xtask test` runs on it");
            report.ran(start, row);
            return Ok(());
        }
        let log = folder.join(format!("{}.adapters.txt", self.name));
        adapter::start_log(&log)?;
        variables.push((ADAPTER_LOG, log.as_os_str()));
        variables.push(("WGBN_PROPTEST_CASES", OsStr::new(RANDOM_CASES)));
        let output = folder.join(format!("{}.log", self.name));
        let gl = device.backend == "gl";
        let mut left_out = LEFT_OUT.to_vec();
        if gl {
            left_out.extend(LEFT_OUT_ON_GL);
        }
        let skips = left_out.iter().flat_map(|(tests, _)| ["--skip", *tests]);
        let mut filters: Vec<&str> = skips.collect();
        if gl {
            // A context of EGL is one thread's at a time, and wgpu panics (BadAccess) where another
            // test's thread still has the device's.
            filters.push("--test-threads=1");
        }
        let mut row = suite::run(&suite::TESTS, &filters, &variables, &output)?;
        row.failures.extend(match adapter::read_log(&log) {
            Ok(ran_on) => device.misses(ran_on.keys()),
            Err(reason) => vec![reason],
        });
        for (tests, why) in &left_out {
            row.skip(&format!("tests named *{tests}*: {why}"));
        }
        row.skip(&format!("random cases: {RANDOM_CASES} a test, not 256"));
        row.name = device.title();
        row.version = device.driver;
        report.ran(start, row);
        Ok(())
    }
}

/// What `wgbn info` says of the first adapter.
#[derive(PartialEq)]
pub struct Device {
    name: String,
    backend: String,
    driver: String,
}

impl Device {
    /// What these variables select.
    pub fn found(wgbn: &Path, variables: &[(&str, &OsStr)]) -> Result<Option<Self>, String> {
        let mut info = Command::new(wgbn);
        info.args(["info", "--json"])
            .envs(variables.iter().copied());
        let info: Value = serde_json::from_slice(&info.read()?)
            .map_err(|e| format!("`wgbn info` gave no JSON: {e}"))?;
        Ok(Self::first_of(&info))
    }

    fn first_of(info: &Value) -> Option<Self> {
        let text = |key: &str| Some(info["adapters"][0][key].as_str()?.to_owned());
        Some(Self {
            name: text("name")?,
            backend: text("backend")?,
            driver: format!("{} {}", text("driver")?, text("driver_info")?)
                .trim()
                .to_owned(),
        })
    }

    fn title(&self) -> String {
        format!("{} ({})", self.name, self.backend)
    }

    /// Adapters that tests ran on and that are not this one.
    fn misses<'a>(&self, ran_on: impl Iterator<Item = &'a String>) -> Vec<String> {
        let title = self.title();
        let others = ran_on.filter(|adapter| !adapter.eq_ignore_ascii_case(&title));
        others
            .map(|other| format!("tests ran on {other} instead"))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_device_is_known_by_name_and_backend() {
        let info = json!({ "adapters": [{
            "name": "llvmpipe", "backend": "vulkan", "driver": "llvmpipe", "driver_info": "Mesa 22",
        }] });
        let device = Device::first_of(&info).expect("there is one");
        assert_eq!(device.driver, "llvmpipe Mesa 22");
        let [this, other] = ["llvmpipe (Vulkan)", "llvmpipe (gl)"].map(str::to_owned);
        assert_eq!(device.misses([&this].into_iter()), [""; 0]);
        assert_eq!(device.misses([&this, &other].into_iter()).len(), 1);
        assert!(Device::first_of(&json!({ "adapters": [] })).is_none());
    }

    #[test]
    fn a_driver_that_is_not_here_is_named_with_the_way_to_get_it() {
        let driver = Driver {
            name: "SwiftShader".to_owned(),
            select: None,
            get: Some(GET_SWIFTSHADER),
        };
        let mut report = Report::default();
        let nowhere = Path::new("nowhere");
        assert_eq!(driver.run(&mut report, nowhere, nowhere, None), Ok(()));
        assert!(report.rows.is_empty());
        assert!(report.missing[0].contains("apt-get install chromium"));
    }
}
