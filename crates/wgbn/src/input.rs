//! Files in: safetensors and NumPy. Sizes in a header are never trusted.

mod npy;
mod npz;
mod tensor;
mod weights;

use std::path::Path;

use safetensors::SafeTensors;
use wgpu_batchnorm::error::StateError;
use wgpu_batchnorm::{Config, LayerState, Lookup, Names, View};

use crate::args::Mode;
use crate::failure::Failure;
use crate::output::is_npy;
use npy::Array;
pub use tensor::HostTensor;

/// The tensors of a file that are not a layer's.
const DATA: [&str; 5] = ["x", "dy", "residual", "weights", "lengths"];

/// The most channels that a new layer has for an empty batch, and the most moments of one.
pub const NEW_CHANNELS: usize = 1 << 20;

/// What an input file holds of a batch norm's arguments.
#[derive(Debug)]
pub struct Inputs {
    pub x: HostTensor,
    pub dy: Option<HostTensor>,
    pub residual: Option<HostTensor>,
    pub weights: Option<HostTensor>,
    pub lengths: Option<HostTensor>,
    /// What was not taken as it stands, a sentence each.
    pub notes: Vec<String>,
    /// The file as safetensors; empty where it is `x` alone.
    bytes: Vec<u8>,
}

/// A layer for the tensor `x`.
#[derive(Debug)]
pub struct Layer {
    pub state: LayerState,
    /// With the affine parameters that the file has.
    pub config: Config,
    pub view: View,
    /// How it was found, what was not taken as it stands, and what was not used; a sentence each.
    pub notes: Vec<String>,
}

impl Inputs {
    /// Reads `x`, and `dy`, `residual`, `weights` and `lengths` where the file has them.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let bytes = std::fs::read(path)
            .map_err(|e| Failure::Input(format!("cannot read {}: {e}", path.display())))?;
        Self::from_bytes(bytes, is_npy(path))
            .map_err(|failure| failure.map(|text| format!("{}: {text}", path.display())))
    }

    /// What [`Inputs::read`] makes of a file's bytes; `npy` is whether its name says NumPy.
    pub fn from_bytes(bytes: Vec<u8>, npy: bool) -> Result<Self, Failure> {
        if npy || bytes.starts_with(npy::MAGIC) {
            let Array {
                dtype,
                shape,
                bytes,
            } = Array::read(&bytes[..])?;
            let (x, note) = HostTensor::new("x", dtype, shape, &bytes)?;
            return Ok(Self {
                x,
                dy: None,
                residual: None,
                weights: None,
                lengths: None,
                notes: note.into_iter().collect(),
                bytes: vec![],
            });
        }
        let (bytes, mut notes) = match bytes.starts_with(npz::MAGIC) {
            true => npz::as_safetensors(&bytes)?,
            false => (bytes, vec![]),
        };
        let file = parse(&bytes)?;
        let mut tensor = |name| {
            let Ok(view) = file.tensor(name) else {
                return Ok(None);
            };
            let shape = view.shape().to_vec();
            let (tensor, note) = HostTensor::new(name, view.dtype(), shape, view.data())?;
            // Lengths are counts, which f32 holds as far as they go.
            notes.extend(note.filter(|_| name != "lengths"));
            Ok::<_, Failure>(Some(tensor))
        };
        let x = tensor("x")?.ok_or_else(|| bad("tensor \"x\" is missing"))?;
        let (dy, residual) = (tensor("dy")?, tensor("residual")?);
        let (weights, lengths) = (tensor("weights")?, tensor("lengths")?);
        Ok(Self {
            x,
            dy,
            residual,
            weights,
            lengths,
            notes,
            bytes,
        })
    }

    /// The layer in the file: its parameters, and the statistics that `mode` needs.
    pub fn layer(&self, lookup: &Lookup, config: Config, mode: Mode) -> Result<Layer, Failure> {
        let view = config.view(&self.x.shape);
        let view = view.map_err(|e| Failure::Input(format!("x: {e}")))?;
        config
            .validate()
            .map_err(|e| Failure::Input(e.to_string()))?;
        let empty = "x is an empty batch: nothing is computed, and nothing moves";
        let mut layer = Layer {
            state: LayerState::default(),
            config,
            view,
            notes: view
                .is_empty()
                .then(|| empty.to_owned())
                .into_iter()
                .collect(),
        };
        if !self.bytes.is_empty() {
            self.find(lookup, &mut layer)?;
        }
        let state = &mut layer.state;
        layer.config = config.with_affine(state.affine());
        if state.running.is_none() {
            if mode == Mode::Eval {
                let prefix = lookup.prefix.as_deref().unwrap_or_default();
                return Err(bad(&format!(
                    "inference needs tensors \"{prefix}running_mean\" and \"{prefix}running_var\""
                )));
            }
            // No value of an empty batch vouches for the header's number of channels.
            if view.is_empty() && view.channels() > NEW_CHANNELS {
                return Err(bad(&format!(
                    "x has no values, and of its {} channels the file has no running statistics; a new layer for an empty batch has {NEW_CHANNELS} at most",
                    view.channels()
                )));
            }
            state.running = LayerState::new(view.channels(), &layer.config)?.running;
            state.num_batches_tracked = 0;
        }
        Ok(layer)
    }

    /// Fills in the state that the file has, and says how.
    fn find(&self, lookup: &Lookup, layer: &mut Layer) -> Result<(), Failure> {
        let channels = layer.view.channels();
        let unused = match LayerState::find(&self.bytes, lookup, channels, &layer.config) {
            Ok(found) => {
                if lookup.prefix.is_none() && !found.prefix.is_empty() {
                    let prefix = format!("the layer is the one with the prefix {:?}", found.prefix);
                    layer.notes.push(prefix);
                }
                if lookup.names == Names::Auto && found.names != Names::Pytorch {
                    let names = format!("its tensors have the names of {}", found.names.as_str());
                    layer.notes.push(names);
                }
                layer.notes.extend(found.notes);
                layer.state = found.state;
                found.unused
            }
            // Nobody asked for a layer of the file: it may hold `x` alone.
            Err(StateError::Unrecognized { mut names, .. }) => {
                names.retain(|name| !DATA.contains(&name.as_str()));
                if !names.is_empty() {
                    let refused = StateError::Unrecognized { names, channels };
                    return Err(bad(&format!("{refused}; --prefix or --names may help")));
                }
                let file = parse(&self.bytes)?;
                let mut names: Vec<_> = file.names().into_iter().map(str::to_owned).collect();
                names.sort_unstable();
                names
            }
            Err(error) => {
                let option = match error {
                    StateError::Prefix { .. } | StateError::Prefixes { .. } => "--prefix: ",
                    StateError::MixedNames { .. } => "--names: ",
                    _ => "",
                };
                return Err(bad(&format!("{option}{error}")));
            }
        };
        layer.notes.extend(not_used(&unused, &DATA));
        Ok(())
    }

    /// What to say of the tensors beside `x` where it is all that is wanted.
    pub fn beside_x(&self) -> Result<Option<String>, Failure> {
        if self.bytes.is_empty() {
            return Ok(None);
        }
        let file = parse(&self.bytes)?;
        let mut names: Vec<_> = file.names().into_iter().map(str::to_owned).collect();
        names.sort_unstable();
        Ok(not_used(&names, &["x", "weights"]))
    }

    /// `dy`, in the shape of `x`.
    pub fn upstream(&self) -> Result<&HostTensor, Failure> {
        let dy = self.dy.as_ref();
        self.like_x("dy", dy.ok_or_else(|| bad("tensor \"dy\" is missing"))?)
    }

    /// `residual`, in the shape of `x`, where the file has it.
    pub fn residual(&self) -> Result<Option<&HostTensor>, Failure> {
        let residual = self.residual.as_ref();
        residual.map(|r| self.like_x("residual", r)).transpose()
    }

    fn like_x<'a>(&self, name: &str, tensor: &'a HostTensor) -> Result<&'a HostTensor, Failure> {
        if tensor.shape != self.x.shape {
            return Err(bad(&format!(
                "{name} has shape {:?}, expected {:?}, the shape of x",
                tensor.shape, self.x.shape
            )));
        }
        if tensor.element != self.x.element {
            return Err(bad(&format!(
                "{name} has element type {:?}, expected {:?}, that of x",
                tensor.element, self.x.element
            )));
        }
        Ok(tensor)
    }
}

fn not_used(names: &[String], but: &[&str]) -> Option<String> {
    let names = names.iter().filter(|name| !but.contains(&name.as_str()));
    let names: Vec<_> = names.map(|name| format!("{name:?}")).collect();
    (!names.is_empty()).then(|| format!("not used: {}", names.join(", ")))
}

fn bad(text: &str) -> Failure {
    Failure::Input(text.to_owned())
}

pub fn parse(bytes: &[u8]) -> Result<SafeTensors<'_>, Failure> {
    SafeTensors::deserialize(bytes).map_err(|e| bad(&format!("not a valid safetensors file: {e}")))
}
