//! Which batch norm belongs to which layer, by PyTorch's usual names.

use std::collections::BTreeSet;

use super::checkpoint::Checkpoint;
use crate::args::FoldArgs;
use crate::failure::Failure;

/// A layer and the batch norm that folds into it, by what stands before the dot of their tensors' names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    pub layer: String,
    pub norm: String,
}

/// A batch norm that stays, and why.
#[derive(Clone, Debug)]
pub struct Left {
    pub norm: String,
    pub why: String,
}

/// The batch norms of a checkpoint: whatever has a running mean.
pub fn norms(file: &Checkpoint) -> Vec<String> {
    let names = file.tensors.iter().map(|tensor| &tensor.name);
    let norms = names.filter_map(|name| name.strip_suffix(".running_mean"));
    norms.map(str::to_owned).collect()
}

/// `LAYER=NORM`, as given.
pub fn given(args: &FoldArgs, file: &Checkpoint) -> Result<Vec<Pair>, Failure> {
    let (texts, next) = (&args.pair, args.next);
    let pairs = texts.iter().map(|text| {
        let refused = |why: String| Failure::Input(format!("--pair {text}: {why}"));
        let (layer, norm) = text
            .split_once('=')
            .ok_or_else(|| refused("expected LAYER=NORM".to_owned()))?;
        if file.get(&format!("{layer}.weight")).is_none() {
            return Err(refused(format!("there is no tensor \"{layer}.weight\"")));
        }
        if file.get(&format!("{norm}.running_mean")).is_none() {
            return Err(refused(format!(
                "there is no tensor \"{norm}.running_mean\""
            )));
        }
        let order = (numbered(layer), numbered(norm));
        if let (Some((parent, a)), Some((other, b))) = order
            && parent == other
            && (a < b) == next
        {
            return Err(refused(format!(
                "the norm's number says that it comes {} the layer",
                if next { "behind" } else { "before" }
            )));
        }
        if let Some(between) = between(layer, norm, file) {
            return Err(refused(format!("{between} stands between them")));
        }
        Ok(Pair {
            layer: layer.to_owned(),
            norm: norm.to_owned(),
        })
    });
    let pairs = pairs.collect::<Result<Vec<_>, _>>()?;
    for (what, name) in [
        ("layer", (|p| &p.layer) as fn(&Pair) -> &String),
        ("norm", |p| &p.norm),
    ] {
        let mut seen = BTreeSet::new();
        if let Some(twice) = pairs.iter().map(name).find(|name| !seen.insert(*name)) {
            let why = match what {
                "layer" => "two batch norms take its output",
                _ => "two layers share it",
            };
            return Err(Failure::Input(format!(
                "--pair: {what} {twice:?} is named twice; {why}"
            )));
        }
    }
    Ok(pairs)
}

/// What a sequence of numbered layers has between these two.
fn between(layer: &str, norm: &str, file: &Checkpoint) -> Option<String> {
    let (parent, a) = numbered(layer)?;
    let (other, b) = numbered(norm)?;
    if parent != other {
        return None;
    }
    let inside = a.min(b) + 1..a.max(b);
    let names = file
        .tensors
        .iter()
        .filter_map(|t| t.name.strip_prefix(parent));
    let mut numbers = names.filter_map(|rest| rest.split('.').next()?.parse::<usize>().ok());
    numbers
        .find(|n| inside.contains(n))
        .map(|n| format!("{parent}{n}"))
}

/// `features.` and 3 of `features.3`.
fn numbered(name: &str) -> Option<(&str, usize)> {
    let at = name.rfind('.').map_or(0, |dot| dot + 1);
    let (parent, text) = name.split_at(at);
    let number: usize = text.parse().ok()?;
    // `+1` and `01` are other names.
    (number.to_string() == text).then_some((parent, number))
}

/// The pairs that the names show, and the batch norms that have no layer.
pub fn found(file: &Checkpoint, args: &FoldArgs) -> (Vec<Pair>, Vec<Left>) {
    let next = args.next;
    let (mut pairs, mut left) = (Vec::<Pair>::new(), Vec::new());
    let elsewhere = (!next).then(|| fits_inputs(file, args.axes())).flatten();
    for norm in norms(file) {
        let why = match candidate(&norm, next) {
            None => "its name tells no layer".to_owned(),
            Some(layer) if file.get(&format!("{layer}.weight")).is_none() => {
                format!("there is no {layer}.weight")
            }
            Some(layer) if file.get(&format!("{layer}.running_mean")).is_some() => {
                format!("{layer} is a batch norm")
            }
            Some(layer) if looks_transposed(&layer) => {
                format!("{layer} may be a transposed convolution: give --pair and --transposed")
            }
            Some(layer) if pairs.iter().any(|pair| pair.layer == layer) => {
                format!("another batch norm takes the output of {layer}")
            }
            Some(layer) => match &elsewhere {
                Some(shown) => format!(
                    "{shown} has the channels of its layer's inputs: the norms of this file may come first, or its layers \
                     be transposed; give --pair"
                ),
                None => {
                    pairs.push(Pair { layer, norm });
                    continue;
                }
            },
        };
        left.push(Left { norm, why });
    }
    (pairs, left)
}

/// The layer before a batch norm of this name, or behind it.
fn candidate(norm: &str, next: bool) -> Option<String> {
    if let Some((parent, n)) = numbered(norm) {
        let n = if next {
            n.checked_add(1)?
        } else {
            n.checked_sub(1)?
        };
        return Some(format!("{parent}{n}"));
    }
    // `bn1` comes behind `conv1`. What is behind `bn1` its name does not tell.
    let leaf = leaf_of(norm);
    let number = leaf
        .strip_prefix("bn")
        .filter(|n| n.bytes().all(|b| b.is_ascii_digit()));
    let parent = &norm[..norm.len() - leaf.len()];
    number
        .filter(|_| !next)
        .map(|number| format!("{parent}conv{number}"))
}

fn leaf_of(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

/// The first norm that has as many channels as its layer has inputs, and not as many as it has outputs.
fn fits_inputs(file: &Checkpoint, (output, input): (isize, isize)) -> Option<String> {
    norms(file).into_iter().find(|norm| {
        let layer = candidate(norm, false).and_then(|layer| file.get(&format!("{layer}.weight")));
        let mean = file.get(&format!("{norm}.running_mean"));
        match (layer.map(|t| &t.shape[..]), mean.map(|t| &t.shape[..])) {
            (Some(shape), Some([channels])) if shape.len() > 1 => {
                let len = |axis: isize| shape[axis.rem_euclid(shape.len() as isize) as usize];
                *channels == len(input) && *channels != len(output)
            }
            _ => false,
        }
    })
}

fn looks_transposed(layer: &str) -> bool {
    let lower = layer.to_ascii_lowercase();
    let words = ["deconv", "transp", "upconv", "upsample"];
    words.iter().any(|word| lower.contains(word)) || lower.split('.').any(|word| word == "up")
}
