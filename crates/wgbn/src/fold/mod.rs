//! `wgbn fold`: batch norms folded into the layers before or behind them.

mod check;
mod checkpoint;
mod pairs;

use safetensors::tensor::Dtype;
use serde_json::json;
use wgpu_batchnorm::functional::{
    Float, Folded, LinearWeight, Trained, fold_into_next, fold_into_previous,
};
use wgpu_batchnorm::{Config, LayerState};

use crate::args::FoldArgs;
use crate::failure::Failure;
use crate::table::{self, Table};
use crate::{output, say};
use checkpoint::{Checkpoint, Tensor};
use pairs::{Left, Pair};

/// The tensors of a batch norm.
const NORM: [&str; 5] = [
    "weight",
    "bias",
    "running_mean",
    "running_var",
    "num_batches_tracked",
];
/// The tensors of a layer that can be folded.
const LAYER: [&str; 2] = ["weight", "bias"];

/// Refuses a layer or norm that has more to it than this knows.
fn only(file: &Checkpoint, name: &str, known: &[&str]) -> Result<(), Failure> {
    let rest = |tensor: &Tensor| {
        let rest = tensor.name.strip_prefix(name)?.strip_prefix('.')?;
        (!known.contains(&rest)).then(|| tensor.name.clone())
    };
    match file.tensors.iter().find_map(rest) {
        None => Ok(()),
        Some(tensor) => Err(Failure::Input(format!(
            "there is {tensor:?} too, so that {name} is more than this knows"
        ))),
    }
}

/// A batch norm that is gone, and how far the layer with it is from the two.
struct Done {
    pair: Pair,
    shape: Vec<usize>,
    /// Over what rounding each value once may do.
    error: f64,
}

pub fn run(args: &FoldArgs) -> Result<(), Failure> {
    output::check_place(&args.output)?;
    if output::is_npy(&args.output) {
        let path = args.output.display();
        return Err(Failure::Input(format!(
            "{path}: a checkpoint is a .safetensors file"
        )));
    }
    let bytes = Checkpoint::read(&args.input)?;
    let path = args.input.display();
    let folded = fold_all(args, &bytes);
    let folded = folded.map_err(|failure| match failure {
        Failure::Input(text) => Failure::Input(format!("{path}: {text}")),
        other => other,
    })?;
    output::write_bytes(&args.output, &folded.bytes)?;
    print(args, &folded.done, &folded.left)
}

/// A checkpoint without its batch norms.
pub struct FoldedFile {
    pub bytes: Vec<u8>,
    done: Vec<Done>,
    left: Vec<Left>,
}

/// Folds the batch norms of a checkpoint, as the arguments say.
pub fn fold_all(args: &FoldArgs, bytes: &[u8]) -> Result<FoldedFile, Failure> {
    let mut file = Checkpoint::of(bytes)?;
    let (pairs, mut left) = match args.pair.is_empty() {
        true => pairs::found(&file, args),
        false => (pairs::given(args, &file)?, vec![]),
    };
    let mut done = Vec::new();
    for pair in pairs {
        match fold(args, &file, bytes, &pair) {
            Ok((weight, bias, error)) => {
                let shape = weight.shape.clone();
                file.put(weight);
                file.put(bias);
                let own = NORM.map(|tensor| format!("{}.{tensor}", pair.norm));
                file.tensors.retain(|tensor| !own.contains(&tensor.name));
                done.push(Done { pair, shape, error });
            }
            // What is asked for by name is done or refused; what was only found may stay.
            Err(Failure::Input(why)) if args.pair.is_empty() => {
                left.push(Left {
                    norm: pair.norm,
                    why,
                });
            }
            Err(failure) => {
                let Pair { layer, norm } = &pair;
                return Err(failure.map(|text| format!("{norm} into {layer}: {text}")));
            }
        }
    }
    if done.is_empty() {
        let reasons = left
            .iter()
            .map(|left| format!("{}: {}", left.norm, left.why));
        let reasons: Vec<_> = reasons.collect();
        let why = match reasons.is_empty() {
            true => "it has no batch norm, which is what has a tensor NAME.running_mean".to_owned(),
            false => reasons.join("; "),
        };
        return Err(Failure::Input(format!("nothing to fold: {why}")));
    }
    Ok(FoldedFile {
        bytes: file.bytes(),
        done,
        left,
    })
}

/// The layer's new weight and bias, and the error of a check on random input.
fn fold(
    args: &FoldArgs,
    file: &Checkpoint,
    bytes: &[u8],
    pair: &Pair,
) -> Result<(Tensor, Tensor, f64), Failure> {
    only(file, &pair.norm, &NORM)?;
    only(file, &pair.layer, &LAYER)?;
    let mean = file.get(&format!("{}.running_mean", pair.norm));
    let channels = mean.map_or(0, |mean| {
        mean.bytes.len() / (mean.dtype.bitsize() / 8).max(1)
    });
    let config = Config::pytorch().with_eps(args.eps);
    let prefix = format!("{}.", pair.norm);
    let state = LayerState::from_safetensors(bytes, &prefix, channels, &config)
        .map_err(|e| Failure::Input(e.to_string()))?;
    let trained = Trained::of(&state, args.eps).map_err(wgpu_batchnorm::Error::from)?;
    let name = format!("{}.weight", pair.layer);
    let weight = file
        .get(&name)
        .ok_or_else(|| Failure::Input(format!("there is no tensor {name:?}")))?;
    let bias = file.get(&format!("{}.bias", pair.layer));
    if let Some(bias) = bias.filter(|bias| bias.shape.len() != 1) {
        return Err(Failure::Input(format!(
            "its bias has shape {:?}",
            bias.shape
        )));
    }
    if let Some(bias) = bias.filter(|bias| bias.dtype != weight.dtype) {
        return Err(Failure::Input(format!(
            "its weight is {:?} and its bias {:?}",
            weight.dtype, bias.dtype
        )));
    }
    macro_rules! folded {
        ($number:ty) => {{
            let (from, to) = (<$number>::from_le_bytes, <$number>::to_le_bytes);
            folded(args, &trained, weight, bias, from, to)
        }};
    }
    match weight.dtype {
        Dtype::F32 => folded!(f32),
        Dtype::F64 => folded!(f64),
        Dtype::F16 => folded!(half::f16),
        Dtype::BF16 => folded!(half::bf16),
        other => Err(Failure::Input(format!(
            "its weight is {other:?}, expected F64, F32, F16 or BF16"
        ))),
    }
}

fn folded<T: Float, const N: usize>(
    args: &FoldArgs,
    trained: &Trained<'_>,
    weight: &Tensor,
    bias: Option<&Tensor>,
    from: fn([u8; N]) -> T,
    to: fn(T) -> [u8; N],
) -> Result<(Tensor, Tensor, f64), Failure> {
    let values = |tensor: &Tensor| -> Vec<T> {
        let chunks = tensor.bytes.as_chunks().0.iter();
        chunks.map(|&bytes| from(bytes)).collect()
    };
    let (w, b) = (values(weight), bias.map(values));
    let mut all = w.iter().chain(b.iter().flatten());
    if all.any(|v| !v.to_f64().is_finite()) {
        return Err(Failure::Input(
            "its weight or bias is not finite".to_owned(),
        ));
    }
    let layer = match args.transposed {
        true => LinearWeight::transposed(&w, &weight.shape),
        false => LinearWeight::new(&w, &weight.shape),
    };
    let (output, input) = args.axes();
    let layer = layer.with_axes(output, input).with_groups(args.groups);
    let rank = weight.shape.len();
    let axes = [output, input].map(|axis| axis.rem_euclid(rank.max(1) as isize) as usize);
    let lens = weight.shape.iter().enumerate();
    let one_tap = lens
        .into_iter()
        .all(|(axis, &len)| axes.contains(&axis) || len == 1);
    let padded = !args.unpadded && !one_tap;
    let folded = match args.next {
        false => fold_into_previous(trained, &layer, b.as_deref()),
        true => fold_into_next(trained, &layer, b.as_deref(), padded),
    };
    let Folded {
        weight: folded_w,
        bias: folded_b,
        ..
    } = folded.map_err(|e| Failure::Input(e.to_string()))?;
    let wide = |values: &[T]| values.iter().map(|v| v.to_f64()).collect::<Vec<_>>();
    let check = check::Check {
        trained,
        layer: &layer,
        next: args.next,
        before: (wide(&w), b.as_deref().map(wide)),
        after: (wide(&folded_w), wide(&folded_b)),
    };
    let error = check.error(weight.dtype);
    if error.is_nan() || error > 1.0 {
        return Err(Failure::Check(format!(
            "on random input the folded layer is {error:.2} times as far from the two as rounding explains"
        )));
    }
    let bytes = |values: Vec<T>| values.into_iter().flat_map(to).collect::<Vec<u8>>();
    let name = weight.name.trim_end_matches("weight");
    let new_bias = Tensor {
        name: format!("{name}bias"),
        dtype: weight.dtype,
        shape: vec![folded_b.len()],
        bytes: bytes(folded_b),
    };
    let new_weight = Tensor {
        bytes: bytes(folded_w),
        ..weight.clone()
    };
    Ok((new_weight, new_bias, error))
}

fn print(args: &FoldArgs, done: &[Done], left: &[Left]) -> Result<(), Failure> {
    let path = args.output.display().to_string();
    if args.json {
        let folded = done.iter().map(|d| {
            json!({ "layer": d.pair.layer, "norm": d.pair.norm, "shape": d.shape, "error": d.error })
        });
        let left = left
            .iter()
            .map(|left| json!({ "norm": left.norm, "why": left.why }));
        let object = json!({
            "operation": "fold", "folded": folded.collect::<Vec<_>>(),
            "left": left.collect::<Vec<_>>(), "output": path,
        });
        return say!("{object}");
    }
    let mut rows = Table::new(&["norm", "folded into", "weight", "error"]);
    for Done { pair, shape, error } in done {
        let error = format!("{error:.2} of its bound");
        rows.row(&[
            pair.norm.clone(),
            pair.layer.clone(),
            table::shape(shape),
            error,
        ]);
    }
    say::text(format_args!("{rows}"))?;
    if !left.is_empty() {
        let mut rows = Table::new(&["left as it is", "why"]);
        left.iter()
            .for_each(|left| rows.row(&[left.norm.clone(), left.why.clone()]));
        say::text(format_args!("\n{rows}\n"))?;
    }
    say!("wrote {path}")
}
