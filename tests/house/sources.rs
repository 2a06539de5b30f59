//! The modules of a package, and what each names of the others.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// A package's modules by their paths, such as `record/plan`; the root is the empty path.
pub struct Package {
    name: String,
    modules: BTreeMap<String, Module>,
    edges: BTreeMap<String, BTreeSet<String>>,
}

/// A file without its comments and tests.
struct Module {
    code: String,
    /// The code without its `use` items.
    body: String,
    lines: usize,
    uses: Vec<Use>,
}

/// One name that a `use` brings in.
struct Use {
    public: bool,
    path: Vec<String>,
    /// What it is called here.
    name: String,
}

impl Package {
    pub fn read(folder: &Path) -> Self {
        let source = folder.join("src");
        let mut modules = BTreeMap::new();
        read_folder(&source, &source, &mut modules);
        assert!(!modules.is_empty(), "{}", source.display());
        let mut package = Self {
            name: folder.file_name().unwrap().to_string_lossy().into_owned(),
            modules,
            edges: BTreeMap::new(),
        };
        let files = package.modules.keys();
        package.edges = files
            .map(|file| (file.clone(), package.known(file)))
            .collect();
        package
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Which files each file knows.
    pub fn edges(&self) -> &BTreeMap<String, BTreeSet<String>> {
        &self.edges
    }

    /// The code of each file.
    pub fn sources(&self) -> impl Iterator<Item = (&String, &String)> {
        self.modules
            .iter()
            .map(|(file, module)| (file, &module.code))
    }

    /// Lines of each file without its tests.
    pub fn lengths(&self) -> impl Iterator<Item = (&String, usize)> {
        self.modules
            .iter()
            .map(|(file, module)| (file, module.lines))
    }

    fn known(&self, file: &str) -> BTreeSet<String> {
        let module = &self.modules[file];
        let mut known = BTreeSet::new();
        for used in &module.uses {
            let mut words = module
                .body
                .split(|c: char| !c.is_alphanumeric() && c != '_');
            // What is only passed on, it does not know.
            if !used.public || words.any(|word| word == used.name) {
                known.extend(self.resolve(file, &used.path, 0));
            }
        }
        for path in paths(&module.body) {
            known.extend(self.resolve(file, &path, 0));
        }
        known.remove(file);
        known
    }

    /// The file in which what `path` means in `file` stands; nothing for other crates.
    fn resolve(&self, file: &str, path: &[String], depth: usize) -> Option<String> {
        let mut here = file.to_owned();
        let mut rest = path.iter();
        let first = rest.next()?;
        match &**first {
            "crate" => here.clear(),
            "self" => {}
            "super" => here = parent(&here),
            name => {
                let child = join(&here, name);
                if !self.modules.contains_key(&child) {
                    return None;
                }
                here = child;
            }
        }
        for name in rest {
            if name == "super" {
                here = parent(&here);
                continue;
            }
            let child = join(&here, name);
            if self.modules.contains_key(&child) {
                here = child;
                continue;
            }
            let uses = self.modules.get(&here).map(|module| module.uses.iter());
            let passed_on = uses.into_iter().flatten();
            let passed_on = passed_on.filter(|used| used.public && used.name == *name);
            let deeper = passed_on.filter(|_| depth < 8);
            let mut found = deeper.filter_map(|used| self.resolve(&here, &used.path, depth + 1));
            return found.next().or(Some(here));
        }
        Some(here)
    }
}

fn parent(module: &str) -> String {
    module
        .rsplit_once('/')
        .map_or("", |(parent, _)| parent)
        .to_owned()
}

fn join(module: &str, child: &str) -> String {
    match module {
        "" => child.to_owned(),
        _ => format!("{module}/{child}"),
    }
}

fn read_folder(folder: &Path, root: &Path, modules: &mut BTreeMap<String, Module>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let relative = path.strip_prefix(root).unwrap().with_extension("");
        let mut name = relative.to_str().unwrap().replace('\\', "/");
        if path.is_dir() {
            if !name.ends_with("tests") {
                read_folder(&path, root, modules);
            }
            continue;
        }
        if path.extension().is_none_or(|extension| extension != "rs") || name.ends_with("tests") {
            continue;
        }
        name = name.strip_suffix("/mod").unwrap_or(&name).to_owned();
        if name == "lib" || name == "main" && !root.join("lib.rs").exists() {
            name.clear();
        }
        if name == "main" {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        modules.insert(name, Module::new(&text));
    }
}

impl Module {
    fn new(text: &str) -> Self {
        // Tests stand last.
        let tests = text.find("#[cfg(test)]\nmod ").unwrap_or(text.len());
        let text = &text[..tests];
        let lines = text.lines().count();
        let code = text.lines().map(|line| line.split("//").next().unwrap());
        let code = code.collect::<Vec<_>>().join("\n");
        let (uses, body) = uses(&code);
        Self {
            code,
            body,
            lines,
            uses,
        }
    }
}

/// The `use` items of a file, and its code without them.
fn uses(code: &str) -> (Vec<Use>, String) {
    let (mut all, mut body) = (Vec::new(), String::new());
    let mut rest = code;
    while let Some(at) = rest.find("use ") {
        let before = rest[..at].rsplit('\n').next().unwrap_or("").trim();
        if !before.is_empty() && !before.starts_with("pub") {
            body += &rest[..at + 4];
            rest = &rest[at + 4..];
            continue;
        }
        body += &rest[..at];
        let end = rest[at..].find(';').map_or(rest.len(), |end| at + end);
        let words: Vec<_> = rest[at + 4..end].split_whitespace().collect();
        expand(&words.join(" "), &[], before.starts_with("pub"), &mut all);
        rest = &rest[end..];
    }
    body += rest;
    (all, body)
}

/// `a::{b, c::{self, d as e}}` as one path each.
fn expand(tree: &str, before: &[String], public: bool, all: &mut Vec<Use>) {
    let tree = tree.trim();
    if let Some(open) = tree.find('{') {
        let mut prefix = before.to_vec();
        prefix.extend(segments(&tree[..open]));
        let inside = tree[open + 1..].trim_end().strip_suffix('}').unwrap_or("");
        let (mut depth, mut start) = (0, 0);
        for (k, c) in inside.char_indices() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    expand(&inside[start..k], &prefix, public, all);
                    start = k + 1;
                }
                _ => {}
            }
        }
        if !inside[start..].trim().is_empty() {
            expand(&inside[start..], &prefix, public, all);
        }
        return;
    }
    let (path, alias) = match tree.split_once(" as ") {
        Some((path, alias)) => (path, Some(alias.trim().to_owned())),
        None => (tree, None),
    };
    let mut full = before.to_vec();
    full.extend(segments(path));
    if full.len() > 1
        && full
            .last()
            .is_some_and(|last| last == "self" || last == "*")
    {
        full.pop();
    }
    if let Some(name) = alias.or_else(|| full.last().cloned()) {
        let path = full;
        all.push(Use { public, path, name });
    }
}

fn segments(path: &str) -> impl Iterator<Item = String> {
    let parts = path.split("::").map(str::trim);
    parts.filter(|part| !part.is_empty()).map(str::to_owned)
}

/// Paths in a file's code that start at `crate` or `super`.
fn paths(body: &str) -> Vec<Vec<String>> {
    let of_path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let texts = body.split(|c: char| !of_path(c));
    let texts = texts.filter(|text| ["crate::", "super::"].iter().any(|s| text.starts_with(s)));
    texts.map(|text| segments(text).collect()).collect()
}
