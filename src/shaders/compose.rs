//! From the files under `shaders/` to the WGSL of a variant.
//!
//! A file's first lines say which other files it needs: `// needs: lanes, walk`. A name is that of a
//! file in `shaders/shared`, or one that a variant chooses a file for, such as `walk` or `element`.

macro_rules! files {
    ($($path:literal)*) => {
        &[$(($path, include_str!(concat!("../../shaders/", $path, ".wgsl"))),)*]
    };
}

/// All files, in the order in which they stand in a composed shader.
const FILES: &[(&str, &str)] = files![
    "shared/params"
    "shared/load_scalar"
    "shared/load_run4"
    "shared/load_channel4"
    "shared/numerics"
    "shared/lanes"
    "shared/axes"
    "shared/walk_dense"
    "shared/walk_strided"
    "shared/walk_texture"
    "shared/walk_flat"
    "shared/next4"
    "shared/element_f32"
    "shared/subnormal_integer"
    "shared/subnormal_float"
    "shared/half"
    "shared/widen"
    "shared/element_half1"
    "shared/element_half4"
    "shared/decode_half1"
    "shared/decode_half4"
    "shared/decode_f16_1"
    "shared/decode_f16_4"
    "shared/convert_unorm"
    "shared/convert_half"
    "shared/convert_single"
    "shared/place"
    "shared/x_texture"
    "shared/x_planes"
    "shared/texel"
    "shared/out_texture"
    "shared/out_planes"
    "shared/no_residual"
    "shared/out"
    "shared/no_out"
    "shared/flat_channel"
    "shared/flat_channel_strided"
    "shared/flat"
    "shared/out_flat"
    "shared/x"
    "shared/x_or_out"
    "shared/weights"
    "shared/weight_element"
    "shared/weight_element_texture"
    "shared/weight_scalar"
    "shared/weight_run4"
    "shared/weight_channel4"
    "shared/weighted"
    "shared/dy"
    "shared/residual"
    "shared/activation"
    "shared/dresidual"
    "shared/no_dresidual"
    "shared/dresidual_flat"
    "shared/partial_moments"
    "shared/weighted_moments"
    "shared/partial_sums"
    "shared/partial_sums_weighted"
    "shared/reduce_workgroup"
    "shared/folded"
    "shared/folded_weighted"
    "shared/candidates"
    "shared/pivot"
    "shared/pivot_weighted"
    "shared/merged_pivot"
    "shared/merged_pivot_weighted"
    "shared/lane_moments"
    "shared/lane_moments_weighted"
    "shared/merge_moments"
    "shared/merge_sums"
    "shared/given_sums"
    "shared/given_sums_weighted"
    "shared/statistics"
    "shared/saved_channel"
    "shared/frozen"
    "shared/y"
    "shared/apply"
    "shared/apply_weighted"
    "shared/batch_total"
    "shared/batch_total_weighted"
    "shared/flat_y"
    "shared/flat_y_weighted"
    "shared/batch_statistics"
    "shared/finish_train"
    "shared/merged_y"
    "shared/merged_y_weighted"
    "shared/saved"
    "shared/gradient_pair"
    "shared/gradient_pair_weighted"
    "shared/lane_sums"
    "shared/lane_sums_weighted"
    "shared/eight_moments"
    "shared/eight_moments_weighted"
    "shared/lane_parts"
    "shared/lane_parts_eight"
    "shared/known_sums"
    "shared/known_sums_weighted"
    "shared/write_sums"
    "shared/write_gradients"
    "shared/dx"
    "shared/dx_weighted"
    "shared/apply_dx"
    "shared/merged_dx"
    "shared/merged_dx_weighted"
    "shared/flat_pairs"
    "shared/held"
    "shared/held_moments"
    "shared/held_moments_weighted"
    "shared/held_sums"
    "shared/held_sums_weighted"
    "shared/affine"
    "shared/frozen_rows"
    "shared/running_rows"
    "shared/moments_rows"
    "shared/saved_rows"
    "shared/stored_moments"
    "shared/stored_sums"
    "shared/grads"
    "shared/given"
    "shared/visit_dresidual"
    "kernels/moments"
    "kernels/normalize"
    "kernels/inference"
    "kernels/moments_finish"
    "kernels/train_finish"
    "kernels/backward_sums"
    "kernels/backward_dx"
    "kernels/backward_frozen"
    "kernels/gradients"
    "kernels/train_resident"
    "kernels/backward_resident"
    "kernels/train_held"
    "kernels/backward_held"
    "kernels/moments_merge"
    "kernels/flat_normalize"
    "kernels/flat_inference"
    "kernels/flat_dx"
    "kernels/flat_frozen_dx"
    "kernels/texels"
    "render/normalize"
    "proof/halves"
    "columns/one/parts"
    "columns/several/parts"
    "shared/mapped_four"
    "shared/mapped_pairs"
    "shared/write_four"
    "shared/write_eight"
    "columns/one/write"
    "columns/one/write_eight"
    "columns/several/write"
    "columns/one/store"
    "columns/several/store"
    "columns/one/map"
    "columns/flat/stretch"
    "columns/flat/stretch_eight"
    "columns/flat/map"
    "columns/several/map"
    "columns/one/resident"
    "columns/several/resident"
    "shared/entry"
];

/// `root` and everything that it needs, each file once, in the order of [`FILES`]. What is `given` is
/// text of the variant and stands behind the parameters. `choice` says which file serves for a name;
/// where it has no answer, that is the file of this name in `shaders/shared`.
///
/// # Panics
/// Where a file is missing that another one names, which the tests of all variants would show.
pub(super) fn compose(
    root: &str,
    given: &str,
    choice: &dyn Fn(&str) -> Option<&'static str>,
) -> String {
    let mut chosen = vec![false; FILES.len()];
    let mut waiting = vec![position("shared/params"), position(root)];
    while let Some(at) = waiting.pop() {
        if std::mem::replace(&mut chosen[at], true) {
            continue;
        }
        waiting.extend(needs(FILES[at].1).map(|name| match choice(name) {
            Some(file) => position(file),
            None => position(&format!("shared/{name}")),
        }));
    }
    let mut parts = Vec::new();
    for (&(_, text), _) in FILES.iter().zip(chosen).filter(|(_, chosen)| *chosen) {
        parts.push(text);
        if parts.len() == 1 {
            parts.push(given);
        }
    }
    parts.join("\n")
}

/// The file that stands for that of this name where values have weights, if there is one.
pub(super) fn weighted(name: &str) -> Option<&'static str> {
    let mut paths = FILES.iter().map(|(path, _)| *path);
    paths.find(|path| {
        let twin = path.strip_suffix("_weighted");
        twin.and_then(|twin| twin.strip_prefix("shared/")) == Some(name)
    })
}

fn position(path: &str) -> usize {
    let found = FILES.iter().position(|(name, _)| *name == path);
    found.unwrap_or_else(|| panic!("there is no shaders/{path}.wgsl"))
}

/// The names that a file's first lines give.
fn needs(text: &str) -> impl Iterator<Item = &str> {
    let lines = text
        .lines()
        .map_while(|line| line.strip_prefix("// needs: "));
    lines.flat_map(|line| line.split(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::Path;

    #[test]
    fn every_file_is_listed_once() {
        fn walk(folder: &Path, found: &mut BTreeSet<String>, root: &Path) {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    walk(&path, found, root);
                } else {
                    let name = path.strip_prefix(root).unwrap().with_extension("");
                    found.insert(name.to_str().unwrap().replace('\\', "/"));
                }
            }
        }
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("shaders");
        let mut found = BTreeSet::new();
        walk(&root, &mut found, &root);
        // A program of its own.
        found.remove("canary");
        let listed: BTreeSet<_> = FILES.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(listed, found);
        assert_eq!(listed.len(), FILES.len());
    }

    #[test]
    fn what_is_needed_is_named_at_the_top() {
        let text = "// needs: a, b_c\n// needs: d\n// What it does.\n// needs: nothing\n";
        assert_eq!(needs(text).collect::<Vec<_>>(), ["a", "b_c", "d"]);
        assert_eq!(needs("fn f() {}\n// needs: a\n").count(), 0);
        // A line that is misspelt would be a comment.
        for (name, text) in FILES {
            let after = text.lines().skip(needs_lines(text));
            assert!(after.clone().all(|line| !line.contains("needs:")), "{name}");
        }
    }

    fn needs_lines(text: &str) -> usize {
        let lines = text.lines();
        lines
            .take_while(|line| line.starts_with("// needs: "))
            .count()
    }

    #[test]
    fn files_come_once_and_in_order() {
        let none = |_: &str| None;
        let text = compose("shared/lanes", "GIVEN", &none);
        let at = |what: &str| text.find(what).unwrap();
        assert!(at("struct Params") < at("GIVEN") && at("GIVEN") < at("struct Lane"));
        assert_eq!(text.matches("struct Params").count(), 1);
    }
}
