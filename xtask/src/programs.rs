//! The programs that README.md and docs/embedding.md show.
//!
//! They are a package outside the workspace, `docs/programs`, that depends on the library as a user's
//! program does, with its default features: no feature that a test asks for can leak into them. Each
//! program checks its own answer. The unit tests here hold the pages' code to the programs' files.

use std::fs;

use crate::groups::Group;
use crate::{CommandExt as _, Failed, Steps, cargo, root};

const GROUP: Group = Group {
    name: "programs",
    manifest: "docs/programs/Cargo.toml",
    package: "programs",
};
const FOLDER: &str = "docs/programs/src/bin";

/// What a dependency on the library alone must not bring.
const TOOLS: [&str; 8] = [
    "clap",
    "indicatif",
    "npyz",
    "rayon",
    "safetensors",
    "serde",
    "serde_json",
    "tempfile",
];

/// Builds and runs every program, as a user would.
pub fn run(steps: &mut Steps) -> Result<(), Failed> {
    steps.run(&GROUP.step("what the library brings"), || {
        let mut tree = GROUP.cargo(["tree", "--edges", "normal"]);
        let tree = tree.args(["--prefix", "none", "--format", "{p}"]).read()?;
        let tree = String::from_utf8_lossy(&tree);
        let mut names = tree.lines().filter_map(|line| line.split(' ').next());
        match names.find(|name| TOOLS.contains(name)) {
            Some(name) => Err(format!("a dependency on the library alone brings {name}")),
            None => Ok(()),
        }
    })?;
    steps.run(&GROUP.step("rustfmt"), || {
        let mut fmt = cargo(["fmt", "--manifest-path", GROUP.manifest]);
        fmt.args(["--", "--check"]).run()
    })?;
    steps.run(&GROUP.step("build and run"), || {
        let target = ["--target-dir", "target"];
        GROUP.cargo(["build", "--bins"]).args(target).run()?;
        names()?.iter().try_for_each(|name| {
            let mut run = GROUP.cargo(["run", "--quiet", "--bin", name]);
            run.args(target).run()
        })
    })
}

/// The names of the programs, in order.
fn names() -> Result<Vec<String>, String> {
    let folder = root().join(FOLDER);
    let problem = |e| format!("cannot list {}: {e}", folder.display());
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder).map_err(problem)? {
        let path = entry.map_err(problem)?.path();
        let name = path.file_stem().and_then(|name| name.to_str());
        names.extend(name.map(str::to_owned));
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The line before a block of code that a program's file holds.
    const MARK: &str = "<!-- program: ";

    /// Each block of Rust with the name of its program; an error names the first block that has none.
    fn blocks(page: &str) -> Result<Vec<(String, String)>, String> {
        let mut blocks = Vec::new();
        let mut before = "";
        let mut lines = page.lines();
        while let Some(line) = lines.next() {
            if line == "```rust" {
                let name = before
                    .strip_prefix(MARK)
                    .and_then(|rest| rest.strip_suffix(" -->"))
                    .ok_or_else(|| {
                        format!("no `{MARK}NAME -->` stands before a block: {before}")
                    })?;
                let code: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
                blocks.push((name.to_owned(), code.join("\n")));
            }
            before = line;
        }
        Ok(blocks)
    }

    /// Whether the file holds these lines one after another, all indented by the same.
    fn holds(file: &str, part: &str) -> bool {
        let (file, part): (Vec<&str>, Vec<&str>) = (file.lines().collect(), part.lines().collect());
        let same = |at: &[&str]| {
            let indent = at[0].len().saturating_sub(part[0].len());
            at.iter()
                .zip(&part)
                .all(|(line, expected)| match expected.is_empty() {
                    true => line.is_empty(),
                    false => {
                        line.get(indent..) == Some(expected) && line[..indent].trim().is_empty()
                    }
                })
        };
        !part.is_empty() && file.windows(part.len()).any(same)
    }

    fn text(path: &str) -> String {
        fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
    }

    fn program(name: &str) -> String {
        text(&format!("{FOLDER}/{name}.rs"))
    }

    #[test]
    fn readme_shows_whole_programs() {
        let blocks = blocks(&text("README.md")).unwrap();
        assert!(
            blocks.len() >= 2,
            "README.md shows the layer and the recording layer"
        );
        for (name, code) in blocks {
            let file = program(&name);
            assert!(
                file.trim_end() == code,
                "README.md differs from {FOLDER}/{name}.rs"
            );
            assert!(code.contains("fn main()"), "{name} is no whole program");
            let hidden = code
                .lines()
                .any(|line| line.starts_with("# ") || line == "#");
            assert!(!hidden, "{name} has lines that only rustdoc hides");
            let other = ["pollster::", "bytemuck::", "half::"].map(|c| code.contains(c));
            assert!(other == [false; 3], "{name} needs more than the library");
        }
    }

    /// README's snippet of the recording layer once gave 0 everywhere, for it never wrote `affine` and
    /// `running`. It writes them now, and asserts the mean and the variance of `y` each time it is run.
    #[test]
    fn readme_zeros() {
        let code = program("recording");
        let at = |text: &str| code.find(text).unwrap_or_else(|| panic!("no `{text}`"));
        assert!(at("parameters.to_rows(16)") < at("plan.bind_train"));
        assert!(at("RunningStatistics::new(16)") < at("plan.bind_train"));
        assert!(at("queue.submit") < at("assert!((mean - 0.5).abs() < 1e-3 && (variance - 4.0)"));
    }

    #[test]
    fn embedding_shows_parts_of_programs() {
        let blocks = blocks(&text("docs/embedding.md")).unwrap();
        assert!(!blocks.is_empty());
        for (name, code) in blocks {
            assert!(
                holds(&program(&name), &code),
                "{FOLDER}/{name}.rs does not hold what docs/embedding.md shows:\n{code}"
            );
        }
    }

    #[test]
    fn every_program_is_shown() {
        let pages = [text("README.md"), text("docs/embedding.md")].concat();
        let names = names().unwrap();
        assert!(!names.is_empty());
        for name in names {
            let shown = format!("{MARK}{name} -->");
            let linked = format!("({FOLDER}/{name}.rs)");
            assert!(
                pages.contains(&shown) || pages.contains(&linked),
                "no page shows {name}"
            );
        }
    }

    #[test]
    fn a_part_is_found_at_any_depth_and_a_changed_line_is_not() {
        let file = "fn main() {\n    let a = 1;\n\n    if a > 0 {\n        say(a);\n    }\n}\n";
        assert!(holds(file, "let a = 1;\n\nif a > 0 {\n    say(a);\n}"));
        assert!(holds(file, file.trim_end()));
        for other in [
            "let a = 2;",
            "let a = 1;\nif a > 0 {",
            "if a > 0 {\nsay(a);",
            "",
        ] {
            assert!(!holds(file, other), "{other}");
        }
    }

    #[test]
    fn a_block_without_a_program_is_refused() {
        let page = "<!-- program: a -->\n```rust\nfn main() {}\n```\n```sh\nls\n```\n";
        let found = blocks(page).unwrap();
        assert_eq!(found, [("a".to_owned(), "fn main() {}".to_owned())]);
        let page = "words\n```rust\nfn main() {}\n```\n";
        assert!(blocks(page).unwrap_err().ends_with("words"));
    }
}
