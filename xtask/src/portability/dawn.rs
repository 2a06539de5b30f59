//! Every shader compiled by Tint, the compiler of Chromium, and every variant run on Dawn, its
//! WebGPU, on the tests' cases and before their judge.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use serde_json::Value;

use super::drivers::{GET_SWIFTSHADER, swiftshader, variables};
use super::translations::files;
use super::{Report, Row, suite, version};
use crate::CommandExt as _;

const SCRIPTS: &str = "tests/portability";

/// Tests that run what they bind through `testkit::dawn`: every variant, data of every kind,
/// what is not finite, images, and other frameworks' results. A texture of several levels or layers
/// does not travel.
const KERNELS: [&str; 7] = [
    "variants",
    "strided",
    "accuracy::every_kind",
    "special",
    "textures::accuracy",
    "--skip",
    "levels_and_layers",
];
const GOLDENS: [&str; 1] = ["goldens::recording_layer_agrees"];

pub fn run(report: &mut Report, folder: &Path, shaders: &Path) -> Result<(), String> {
    if version("node").is_none() || version("npm").is_none() {
        report.missing(
            "Dawn: it needs Node 20 or later and npm (Debian: apt-get install nodejs npm)",
        );
        return Ok(());
    }
    Command::new("npm")
        .args(["ci", "--no-audit", "--no-fund", "--prefix", SCRIPTS])
        .run()?;
    // Dawn refuses Mesa's software driver before version 23.
    let select = match swiftshader() {
        Some(manifest) => variables(&manifest),
        None => vec![],
    };
    let start = Instant::now();
    let mut compile = Command::new("node");
    compile.arg(format!("{SCRIPTS}/compile.mjs")).arg(shaders);
    compile.envs(select.iter().cloned());
    let answer: Value = serde_json::from_slice(&compile.read()?)
        .map_err(|e| format!("the compiling script gave no JSON: {e}"))?;
    let Some(name) = answer["name"].as_str() else {
        report.missing(format!("Dawn: {}; {GET_SWIFTSHADER}", answer["missing"]));
        return Ok(());
    };
    let texts = |key: &str| -> Vec<String> {
        let all = answer[key].as_array().into_iter().flatten();
        all.filter_map(|text| Some(text.as_str()?.to_owned()))
            .collect()
    };
    let (compiled, failures) = (texts("compiled"), texts("failures"));
    report.ran(
        start,
        Row {
            name: "Tint, shaders compiled".to_owned(),
            version: name.to_owned(),
            passed: compiled.len(),
            failed: failures.len(),
            failures,
            ..Row::default()
        },
    );
    replay(report, name, folder, shaders, &select)
}

fn replay(
    report: &mut Report,
    name: &str,
    folder: &Path,
    shaders: &Path,
    select: &[(&'static str, OsString)],
) -> Result<(), String> {
    let start = Instant::now();
    let ran = folder.join("dawn.variants.txt");
    let mut variables: Vec<(&str, &OsStr)> = select.iter().map(|(n, v)| (*n, &**v)).collect();
    variables.push(("WGBN_DAWN", ran.as_os_str()));
    let log = folder.join("dawn.log");
    let mut row = suite::run(&["kernels"], &KERNELS, &variables, &log)?;
    let goldens = suite::run(
        &["api"],
        &GOLDENS,
        &variables,
        &folder.join("dawn.goldens.log"),
    )?;
    row.add(goldens);
    row.skip("images of several levels or layers, which do not travel");
    let ran = fs::read_to_string(&ran).unwrap_or_default();
    let ran: BTreeSet<&str> = ran
        .lines()
        .filter_map(|line| line.split('\t').nth(1))
        .collect();
    for file in files(shaders, &["wgsl"])? {
        let variant = file.file_stem().unwrap_or_default().to_string_lossy();
        // The render shaders and the proof are no kernels: they are compiled and that is all.
        let kernel = !["render_", "proof_"]
            .iter()
            .any(|other| variant.starts_with(other));
        if kernel && !ran.contains(&*variant) {
            row.failures.push(format!("{variant} never ran"));
        }
    }
    println!("{} variants ran on Dawn", ran.len());
    row.name = format!("Dawn, {} variants run", ran.len());
    row.version = name.to_owned();
    report.ran(start, row);
    Ok(())
}
