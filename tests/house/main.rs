//! The house: which file may know which, without circles, and how long files are.

mod sources;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use sources::Package;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The library and the packages under `crates/`.
fn packages() -> Vec<Package> {
    let mut folders = vec![root()];
    let crates = std::fs::read_dir(root().join("crates")).unwrap();
    folders.extend(crates.map(|entry| entry.unwrap().path()));
    let packages: Vec<_> = folders.iter().map(|folder| Package::read(folder)).collect();
    assert!(packages.len() >= 3);
    packages
}

/// The words of the library, which all of it knows.
const WORDS: &[&str] = &[
    "element",
    "error",
    "shape",
    "config",
    "stats",
    "weights",
    "sub_batches",
];

/// What each module of the library may know beside the words and itself; a module that is not listed
/// may know everything.
const FLOORS: &[(&str, &[&str])] = &[
    ("element", &[]),
    ("error", &[]),
    ("shape", &[]),
    ("config", &[]),
    ("stats", &[]),
    ("weights", &[]),
    ("sub_batches", &[]),
    ("reference", &[]),
    ("cpu", &[]),
    ("plan", &[]),
    ("check", &["reference", "reduction"]),
    ("shaders", &["plan"]),
    ("reduction", &["plan"]),
    ("operation", &["plan", "shaders"]),
    ("tuning", &["plan"]),
    ("faults", &[]),
    ("pipeline_cache", &["faults"]),
    ("shader_module", &[]),
    ("readback", &["faults"]),
    ("context", RECORDING),
    ("proof", RECORDING),
    ("binding", RECORDING),
    ("bindings", RECORDING),
    ("record", RECORDING),
    ("image", RECORDING),
    ("state", &[]),
    ("gpu", LAYER),
    ("tensor", LAYER),
    ("canary", LAYER),
    ("functional", LAYER),
    ("layer", LAYER),
];

/// What the recording layer knows: neither the layer above nor the checks beside it.
const RECORDING: &[&str] = &[
    "plan",
    "tuning",
    "shaders",
    "operation",
    "faults",
    "pipeline_cache",
    "shader_module",
    "readback",
    "context",
    "binding",
    "bindings",
    "record",
    "image",
];

/// What the layer and the functional forms know: not the checks beside them.
const LAYER: &[&str] = &[
    "plan",
    "tuning",
    "operation",
    "faults",
    "readback",
    "context",
    "binding",
    "bindings",
    "record",
    "reduction",
    "cpu",
    "gpu",
    "tensor",
    "canary",
    "functional",
    "layer",
    "state",
];

/// Modules that know nothing of wgpu, and so can be used where there is none.
const HOST: &[&str] = &[
    "element",
    "error",
    "shape",
    "config",
    "stats",
    "reference",
    "cpu",
    "plan",
    "check",
    "shaders",
    "reduction",
    "operation",
    "tuning",
];

#[test]
fn no_floor_knows_the_ones_above() {
    let library = Package::read(&root());
    let mut seen = BTreeSet::new();
    for (file, known) in library.edges() {
        let of = |file: &str| file.split('/').next().unwrap().to_owned();
        let from = of(file);
        let Some((_, may)) = FLOORS.iter().find(|(name, _)| *name == from) else {
            continue;
        };
        seen.insert(from.clone());
        for other in known {
            let to = of(other);
            let allowed = to == from || WORDS.contains(&&*to) || may.contains(&&*to);
            assert!(allowed, "{file} knows {other}");
        }
    }
    let listed: BTreeSet<_> = FLOORS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(seen, listed, "a module of the list is gone");
}

#[test]
fn the_host_part_does_not_name_wgpu() {
    let library = Package::read(&root());
    for (file, source) in library.sources() {
        let module = file.split('/').next().unwrap();
        if HOST.contains(&module) {
            assert!(!source.contains("wgpu::"), "{file} names wgpu");
        }
    }
}

#[test]
fn no_files_know_each_other_in_a_circle() {
    let mut circles = Vec::new();
    for package in packages() {
        let found = circles_of(package.edges());
        circles.extend(
            found
                .into_iter()
                .map(|circle| (package.name().to_owned(), circle)),
        );
    }
    assert!(circles.is_empty(), "{circles:#?}");
}

/// Files that reach each other, by groups.
fn circles_of(edges: &BTreeMap<String, BTreeSet<String>>) -> BTreeSet<Vec<String>> {
    let reach = |from: &String| {
        let mut reached = BTreeSet::new();
        let mut waiting: Vec<&String> = edges.get(from).into_iter().flatten().collect();
        while let Some(file) = waiting.pop() {
            if reached.insert(file.clone()) {
                waiting.extend(edges.get(file).into_iter().flatten());
            }
        }
        reached
    };
    let reached: BTreeMap<_, _> = edges
        .keys()
        .map(|file| (file.clone(), reach(file)))
        .collect();
    let in_circle = edges.keys().filter(|file| reached[*file].contains(*file));
    let group = |file: &String| {
        let mutual = reached[file]
            .iter()
            .filter(|other| reached[*other].contains(file));
        mutual.cloned().collect()
    };
    in_circle.map(group).collect()
}

#[test]
fn a_circle_is_found() {
    let edges = [("a", "b"), ("b", "c"), ("c", "a"), ("d", "a"), ("e", "e")];
    let mut graph = BTreeMap::<String, BTreeSet<String>>::new();
    for (from, to) in edges {
        graph
            .entry(from.to_owned())
            .or_default()
            .insert(to.to_owned());
    }
    let circles: Vec<_> = circles_of(&graph).into_iter().collect();
    assert_eq!(circles, [vec!["a", "b", "c"], vec!["e"]]);
}

/// Lines of a file without its tests.
const MOST_LINES: usize = 400;

#[test]
fn no_file_of_the_library_is_long() {
    let library = Package::read(&root());
    let long: Vec<_> = library
        .lengths()
        .filter(|(_, lines)| *lines > MOST_LINES)
        .collect();
    assert!(long.is_empty(), "more than {MOST_LINES} lines: {long:?}");
}

/// A file of another package is a dependency on that package, not a path to it.
#[test]
fn no_path_leaves_its_package() {
    let mut found = 0;
    let mut leaves = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                if name != "target" && !name.starts_with('.') {
                    folders.push(path);
                }
            } else if name.ends_with(".rs") {
                found += 1;
                let text = std::fs::read_to_string(&path).unwrap();
                let lines = text.lines().map(str::trim);
                let paths = lines.filter_map(|line| line.strip_prefix("#[path = \""));
                for to in paths.filter_map(|rest| rest.strip_suffix("\"]")) {
                    let to = path.parent().unwrap().join(to).canonicalize().unwrap();
                    if package_of(&to) != package_of(&path) {
                        leaves.push((path.clone(), to));
                    }
                }
            }
        }
    }
    assert!(found > 200, "{found}");
    assert!(leaves.is_empty(), "{leaves:#?}");
}

/// The nearest folder above with a manifest.
fn package_of(file: &Path) -> PathBuf {
    let mut folders = file.ancestors().skip(1);
    let package = folders.find(|folder| folder.join("Cargo.toml").exists());
    package.unwrap().canonicalize().unwrap()
}

/// Names are followed to where they are, through what modules pass on.
#[test]
fn what_a_file_knows_is_read_from_its_text() {
    let library = Package::read(&root());
    let knows = |from: &str, to: &str| library.edges()[from].contains(to);
    // By `use crate::`, through a name that `plan` passes on, and by a path in the code.
    assert!(knows("plan/cuts", "shape"));
    assert!(knows("operation/params", "plan/grid"));
    assert!(knows("plan/cuts", "plan/machine"));
    assert!(!knows("plan", "plan/cuts"), "it only passes on");
    assert!(!knows("plan/grid", "plan/cuts"));
}

/// The registers in a kernel's header are those of the snapshot of its machine code.
#[test]
fn headers_give_the_registers_of_the_snapshot() {
    let snapshot = std::fs::read_to_string(root().join("tests/machine-code/ampere.txt")).unwrap();
    let rows = snapshot
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    // Flat maps are of halves alone.
    let element = |kernel: &str| match kernel {
        kernel if kernel.starts_with("flat_") => "f16",
        kernel if kernel.starts_with("texels") => "texel",
        _ => "f32",
    };
    let plain = rows.filter(|row| row.len() > 5 && row[1..3] == [element(row[0]), "none"]);
    let registers: BTreeMap<_, _> = plain
        .map(|row| (row[0].to_owned(), row[5].to_owned()))
        .collect();
    let mut read = 0;
    for entry in std::fs::read_dir(root().join("shaders/kernels")).unwrap() {
        let path = entry.unwrap().path();
        let kernel = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        let header = text.lines().map_while(|line| line.strip_prefix("//"));
        let header = header.collect::<Vec<_>>().join("").replace('\n', " ");
        let of = format!("(NVK, {}, no activation): ", element(&kernel));
        let said = header.split(&of).nth(1).unwrap();
        for (loads, variant) in [
            (" by values", kernel.clone()),
            (" by fours of a run", format!("{kernel}_run4")),
            (" by fours of channels", format!("{kernel}_channel4")),
            (" by words", format!("{kernel}_f16")),
            (" into a tensor", format!("{kernel}_channel4_texture_in")),
            (
                " into rgba8unorm",
                format!("{kernel}_channel4_texture_out_rgba8unorm"),
            ),
            (
                " into rgba16float",
                format!("{kernel}_channel4_texture_out_rgba16float"),
            ),
        ] {
            let number = said
                .split(loads)
                .next()
                .unwrap()
                .rsplit(' ')
                .next()
                .unwrap();
            match registers.get(&variant) {
                Some(expected) => {
                    assert_eq!(number, expected, "{variant}");
                    read += 1;
                }
                None => assert!(!said.contains(loads), "{variant} is in no snapshot"),
            }
        }
    }
    // Four kernels walk no tensor, and so have no loads of a run. Four are flat, and one has texels three ways.
    assert_eq!(read, 14 * 3 - 4 + 4 + 3);
}
