//! States as safetensors files.

use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensorError, SafeTensors};

use super::lookup::{Place, per_channel};
use super::names::{Names, Part};
use super::values::{TYPES, note, to_count, to_f32, width};
use super::{LayerState, Lookup, each_channel};
use crate::config::{Affine, Config, Momentum};
use crate::error::StateError;
use crate::stats::{RunningStatistics, variance_taken};

/// A layer that a file has.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Found {
    /// What its tensors hold.
    pub state: LayerState,
    /// Whose names they have.
    pub names: Names,
    /// What stands before the names.
    pub prefix: String,
    /// Tensors of the file that are not the layer's, in the order of their names.
    pub unused: Vec<String>,
    /// What was not taken as it stands, a sentence each: values rounded to f32, a count rounded down.
    pub notes: Vec<String>,
}

impl LayerState {
    /// Reads a layer's tensors, `{prefix}weight` and so on, out of a safetensors file, which may hold any number
    /// of layers and other tensors, by whatever library's [`Names`] fit. [`LayerState::find`] finds the prefix too.
    ///
    /// `channels` is C. Values of all floating-point types and integers are taken, each as the nearest f32. Each channel
    /// is taken to have counted `num_batches_tracked` batches, and a file without that number to have counted none.
    ///
    /// # Errors
    /// Not a safetensors file; a prefix under which it has no tensor of a layer, where `config` asks for any, or tensors by
    /// several libraries' names; running mean and variance one without the other; cumulative averaging without
    /// `num_batches_tracked`; wrong dtypes or shapes; a finite value that f32 does not hold; a
    /// running mean that is not finite, or a running variance that is not finite or that is below 0 even with `eps`, with
    /// its channel; a count that is negative, or not whole where averaging is cumulative.
    pub fn from_safetensors(
        bytes: &[u8],
        prefix: &str,
        channels: usize,
        config: &Config,
    ) -> Result<Self, StateError> {
        let lookup = Lookup::default().with_prefix(prefix.to_owned());
        Ok(Self::find(bytes, &lookup, channels, config)?.state)
    }

    /// The layer of `channels` channels that a safetensors file has, and what else it holds.
    ///
    /// # Errors
    /// As [`LayerState::from_safetensors`]; without a prefix in `lookup`, several under which a layer stands; no tensor of
    /// a layer in a file that has others as long as there are channels.
    pub fn find(
        bytes: &[u8],
        lookup: &Lookup,
        channels: usize,
        config: &Config,
    ) -> Result<Found, StateError> {
        let file = SafeTensors::deserialize(bytes).map_err(format)?;
        let place = lookup.place(&file, channels)?;
        let asked = config.affine != Affine::None || config.running.is_some();
        if place.is_none() && asked {
            return Err(none(&file, lookup, channels));
        }
        let place = place.unwrap_or(Place {
            names: lookup.names,
            prefix: lookup.prefix.clone().unwrap_or_default(),
            tensors: vec![],
        });
        let mut layer = Layer {
            file: &file,
            place: &place,
            channels,
            config,
            notes: vec![],
        };
        let state = layer.state(lookup.affine)?;
        let notes = layer.notes;
        let used: Vec<_> = place
            .tensors
            .iter()
            .map(|(_, name)| name.as_str())
            .collect();
        let mut unused = file.names();
        unused.retain(|name| !used.contains(name));
        unused.sort_unstable();
        Ok(Found {
            state,
            names: place.names,
            unused: unused.into_iter().map(str::to_owned).collect(),
            prefix: place.prefix,
            notes,
        })
    }

    /// The state as a safetensors file under PyTorch's names, each with `prefix` before it.
    ///
    /// Batches that a channel did not count, because they were not finite, are not told
    /// apart: PyTorch's format has one count a layer.
    ///
    /// Values that are not finite are written as they are, so that a training run that went to NaN can still be saved
    /// and looked at. [`LayerState::from_safetensors`] refuses running statistics that are not finite.
    ///
    /// # Errors
    /// Weight, bias and running statistics of unequal lengths, the first that differs by name; what the writer refuses.
    pub fn to_safetensors(&self, prefix: &str) -> Result<Vec<u8>, StateError> {
        Self::all_to_safetensors(&[(prefix, self)])
    }

    /// Several layers as one safetensors file, the tensors of each under its own prefix. [`LayerState::from_safetensors`]
    /// reads each of them by its prefix.
    ///
    /// # Errors
    /// Two layers of one prefix; as [`LayerState::to_safetensors`].
    pub fn all_to_safetensors(layers: &[(&str, &Self)]) -> Result<Vec<u8>, StateError> {
        let mut tensors = Vec::new();
        for (k, (prefix, state)) in layers.iter().enumerate() {
            if layers[..k].iter().any(|(other, _)| other == prefix) {
                return Err(StateError::RepeatedPrefix {
                    prefix: (*prefix).to_owned(),
                });
            }
            let first = state.rows().into_iter().find_map(|(_, row)| row);
            state.check_lengths(prefix, first.map_or(0, <[f32]>::len))?;
            tensors.extend(state.tensors(prefix));
        }
        let views = tensors.iter().map(|(name, dtype, shape, bytes)| {
            let view = TensorView::new(*dtype, shape.clone(), bytes).map_err(format)?;
            Ok((name, view))
        });
        let views = views.collect::<Result<Vec<_>, StateError>>()?;
        safetensors::serialize(views, None).map_err(format)
    }

    /// Each tensor with its name, type and shape, and its bytes, little endian.
    fn tensors(&self, prefix: &str) -> Vec<(String, Dtype, Vec<usize>, Vec<u8>)> {
        let rows = self.rows().into_iter().filter_map(|(name, values)| {
            let values = values?;
            let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
            let shape = vec![values.len()];
            Some((format!("{prefix}{name}"), Dtype::F32, shape, bytes))
        });
        let mut tensors: Vec<_> = rows.collect();
        if self.running.is_some() {
            let dtype = match i64::try_from(self.num_batches_tracked) {
                Ok(_) => Dtype::I64,
                Err(_) => Dtype::U64,
            };
            let bytes = self.num_batches_tracked.to_le_bytes().to_vec();
            let name = format!("{prefix}num_batches_tracked");
            tensors.push((name, dtype, vec![], bytes));
        }
        tensors
    }
}

fn format(error: SafeTensorError) -> StateError {
    StateError::Format {
        reason: error.to_string(),
    }
}

/// The error for a file without a layer: what was looked for, or the tensors that could be a layer's.
fn none(file: &SafeTensors<'_>, lookup: &Lookup, channels: usize) -> StateError {
    if let Some(prefix) = &lookup.prefix {
        return StateError::Prefix {
            prefix: prefix.clone(),
        };
    }
    let tensors = file.iter();
    let likely = tensors.filter(|(_, view)| per_channel(view, channels));
    let mut names: Vec<_> = likely.map(|(name, _)| name.to_owned()).collect();
    names.sort_unstable();
    StateError::Unrecognized { names, channels }
}

/// The tensors of a layer as they are read.
struct Layer<'a> {
    file: &'a SafeTensors<'a>,
    place: &'a Place,
    channels: usize,
    config: &'a Config,
    notes: Vec<String>,
}

impl Layer<'_> {
    fn state(&mut self, affine: Affine) -> Result<LayerState, StateError> {
        let tracked = self.count()?;
        let running = match (self.row(Part::Mean)?, self.row(Part::Variance)?) {
            (None, None) => None,
            (Some(_), None) => return Err(self.missing(Part::Variance)),
            (None, Some(_)) => return Err(self.missing(Part::Mean)),
            (Some(mean), Some(variance)) => Some(self.running([mean, variance], tracked)?),
        };
        let mut asked = |part, asked: bool| match asked {
            true => self.row(part),
            false => Ok(None),
        };
        Ok(LayerState {
            weight: asked(Part::Weight, affine.has_weight())?,
            bias: asked(Part::Bias, affine.has_bias())?,
            running,
            num_batches_tracked: tracked.unwrap_or(0),
        })
    }

    fn missing(&self, part: Part) -> StateError {
        StateError::Missing {
            name: self.place.name(part),
        }
    }

    fn running(
        &self,
        [mut mean, mut variance]: [Vec<f32>; 2],
        tracked: Option<u64>,
    ) -> Result<RunningStatistics, StateError> {
        if let Some(factor) = self.factor()? {
            // Caffe has sums, and what to divide them by; none were added where that is 0.
            let divided = |v: &mut f32| match factor {
                0.0 => *v = 0.0,
                factor => *v /= factor,
            };
            mean.iter_mut().chain(&mut variance).for_each(divided);
        }
        let name = |part| self.place.name(part);
        each_channel(name(Part::Mean), &mean, "a finite mean", f32::is_finite)?;
        let expected = "a finite variance of at least 0, or one that eps brings above 0";
        let good = |v: f32| v.is_finite() && variance_taken(v, self.config.eps);
        each_channel(name(Part::Variance), &variance, expected, good)?;
        let momentum = self.config.running.map(|r| r.momentum);
        if momentum == Some(Momentum::Cumulative) && tracked.is_none() {
            return Err(self.missing(Part::Count));
        }
        let counted = u32::try_from(tracked.unwrap_or(0)).unwrap_or(u32::MAX);
        Ok(RunningStatistics {
            mean,
            variance,
            batches: vec![counted; self.channels],
        })
    }

    /// The tensor, where the file has it.
    fn tensor(&self, part: Part) -> Option<(String, TensorView<'_>)> {
        let (_, name) = self
            .place
            .tensors
            .iter()
            .find(|(other, _)| *other == part)?;
        Some((name.clone(), self.file.tensor(name).ok()?))
    }

    /// A tensor of one value for each channel in f32.
    fn row(&mut self, part: Part) -> Result<Option<Vec<f32>>, StateError> {
        let Some((name, view)) = self.tensor(part) else {
            return Ok(None);
        };
        check_shape(&name, &view, &[self.channels])?;
        let (values, note) = row_of(&name, &view)?;
        self.notes.extend(note);
        Ok(Some(values))
    }

    /// What divides mean and variance, where the file has it.
    fn factor(&self) -> Result<Option<f32>, StateError> {
        let Some((name, view)) = self.tensor(Part::Factor) else {
            return Ok(None);
        };
        check_one(&name, &view)?;
        let (values, _) = row_of(&name, &view)?;
        let factor = values[0];
        match factor.is_finite() && factor >= 0.0 {
            true => Ok(Some(factor)),
            false => Err(StateError::Value {
                name,
                got: format!("{factor:?}"),
                expected: "a finite number of at least 0",
            }),
        }
    }

    /// `num_batches_tracked`, where the file has it.
    fn count(&mut self) -> Result<Option<u64>, StateError> {
        let Some((name, view)) = self.tensor(Part::Count) else {
            return Ok(None);
        };
        if width(view.dtype()).is_none() {
            return Err(dtype(name, &view));
        }
        check_one(&name, &view)?;
        let read = |fractions| to_count(view.dtype(), view.data(), fractions);
        let cumulative = self.config.running.map(|r| r.momentum) == Some(Momentum::Cumulative);
        let refused = |got, expected| StateError::Value {
            name: name.clone(),
            got,
            expected,
        };
        let (count, note) = match (read(false), cumulative) {
            (Ok(count), _) => (count, None),
            (Err(got), true) => return Err(refused(got, "a count, a whole number of at least 0")),
            (Err(got), false) => {
                let count = read(true).map_err(|got| refused(got, "a count of at least 0"))?;
                let note = format!("{name} holds {got} and is rounded down to {count}");
                (count, Some(note))
            }
        };
        self.notes.extend(note);
        Ok(Some(count))
    }
}

fn check_shape(name: &str, view: &TensorView<'_>, expected: &[usize]) -> Result<(), StateError> {
    match view.shape() == expected {
        true => Ok(()),
        false => Err(StateError::Shape {
            name: name.to_owned(),
            got: view.shape().to_vec(),
            expected: expected.to_vec(),
        }),
    }
}

/// Refuses all but one number, of rank 0 or 1.
fn check_one(name: &str, view: &TensorView<'_>) -> Result<(), StateError> {
    match view.shape() {
        [1] => Ok(()),
        _ => check_shape(name, view, &[]),
    }
}

fn dtype(name: String, view: &TensorView<'_>) -> StateError {
    StateError::Dtype {
        name,
        got: format!("{:?}", view.dtype()),
        expected: TYPES,
    }
}

/// Values in f32, and what is to be said of that.
fn row_of(name: &str, view: &TensorView<'_>) -> Result<(Vec<f32>, Option<String>), StateError> {
    if width(view.dtype()).is_none() {
        return Err(dtype(name.to_owned(), view));
    }
    let values = to_f32(view.dtype(), view.data()).map_err(|too_large| StateError::Value {
        name: name.to_owned(),
        got: format!("{:e}", too_large.value),
        expected: "values that f32 holds",
    })?;
    Ok((values, note(name, view.dtype())))
}
