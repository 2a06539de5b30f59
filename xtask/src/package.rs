//! What a published package holds.

use crate::CommandExt as _;
use crate::groups::Group;

/// What users of the library build, read or must be given.
const HOLDS: [&str; 9] = [
    "src/",
    "shaders/",
    "examples/",
    "README.md",
    "CHANGELOG.md",
    "LICENSE-",
    "Cargo.toml",
    "Cargo.lock",
    ".cargo_vcs_info.json",
];

/// Fails where the package of the library holds something else.
pub fn check(group: &Group) -> Result<(), String> {
    let mut list = group.cargo(["package", "--list", "--allow-dirty"]);
    let list = list.args(["--package", group.package]).read()?;
    let list = String::from_utf8_lossy(&list).into_owned();
    let others = others(&list);
    match others.is_empty() {
        true => {
            println!("{} files, for users of the library", list.lines().count());
            Ok(())
        }
        false => Err(format!("the package holds {}", others.join(", "))),
    }
}

fn others(list: &str) -> Vec<&str> {
    let expected = |file: &&str| HOLDS.iter().any(|start| file.starts_with(start));
    list.lines().filter(|file| !expected(file)).collect()
}

#[cfg(test)]
mod tests {
    use super::others;

    #[test]
    fn goldens_and_pictures_are_noticed() {
        let list = "src/lib.rs\ntests/goldens/a.safetensors\nREADME.md\ndocs/a.svg\n";
        assert_eq!(others(list), ["tests/goldens/a.safetensors", "docs/a.svg"]);
    }
}
