//! Files in: safetensors and NumPy. Sizes in a header are never trusted.

use std::path::Path;

use safetensors::SafeTensors;
use safetensors::tensor::Dtype;
use wgpu_batchnorm::error::StateError;
use wgpu_batchnorm::{Config, Element, LayerState, View};

use crate::args::Mode;
use crate::failure::Failure;
use crate::output::is_npy;
use crate::stored::{Stored, widened};

/// A tensor as the file has it, and widened to f32.
#[derive(Clone, Debug)]
pub struct HostTensor {
    pub shape: Vec<usize>,
    pub element: Element,
    pub values: Vec<f32>,
    /// f16 and bf16 as the file has them; empty for f32, which `values` holds bit for bit.
    halves: Vec<u8>,
}

impl HostTensor {
    fn new(shape: Vec<usize>, element: Element, bytes: &[u8]) -> Result<Self, Failure> {
        let halves = match element {
            Element::F32 => vec![],
            _ => bytes.to_vec(),
        };
        Ok(Self {
            shape,
            element,
            values: widened(element, bytes)?,
            halves,
        })
    }

    /// Its values as the file has them.
    pub fn stored(&self) -> Stored<'_> {
        match self.element {
            Element::F32 => Stored::f32(&self.values),
            element => Stored {
                element,
                bytes: &self.halves,
                values: &self.values,
            },
        }
    }
}

/// What an input file holds of a batch norm's arguments.
#[derive(Debug)]
pub struct Inputs {
    pub x: HostTensor,
    pub dy: Option<HostTensor>,
    bytes: Vec<u8>,
}

const NPY_MAGIC: &[u8] = b"\x93NUMPY";
/// A NumPy header of a plain array is some hundred bytes; a longer one is not parsed.
const LONGEST_NPY_HEADER: usize = 1024;

impl Inputs {
    /// Reads `x`, and `dy` where the file has it.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let bytes = std::fs::read(path)
            .map_err(|e| Failure::Input(format!("cannot read {}: {e}", path.display())))?;
        Self::from_bytes(bytes, is_npy(path))
            .map_err(|failure| failure.map(|text| format!("{}: {text}", path.display())))
    }

    /// What [`Inputs::read`] makes of a file's bytes; `npy` is whether its name says NumPy.
    pub fn from_bytes(bytes: Vec<u8>, npy: bool) -> Result<Self, Failure> {
        if npy || bytes.starts_with(NPY_MAGIC) {
            return Ok(Self {
                x: read_npy(&bytes)?,
                dy: None,
                bytes: vec![],
            });
        }
        let file = parse(&bytes)?;
        let x = tensor(&file, "x")?.ok_or_else(|| bad("tensor \"x\" is missing"))?;
        let dy = tensor(&file, "dy")?;
        Ok(Self { x, dy, bytes })
    }

    /// The layer in the file: its parameters, and the statistics that `mode` needs.
    ///
    /// The configuration's affine parameters become those the file has.
    pub fn layer(
        &self,
        prefix: &str,
        config: Config,
        mode: Mode,
    ) -> Result<(LayerState, Config, View), Failure> {
        let view =
            View::new(&self.x.shape, config.axis).map_err(|e| Failure::Input(format!("x: {e}")))?;
        config
            .validate()
            .map_err(|e| Failure::Input(e.to_string()))?;
        let mut state = LayerState::default();
        if !self.bytes.is_empty() {
            let channels = view.channels();
            state = match LayerState::from_safetensors(&self.bytes, prefix, channels, &config) {
                // Nobody asked for a layer of the file: it may hold `x` alone.
                Err(StateError::Prefix { .. }) if prefix.is_empty() => state,
                Err(error @ StateError::Prefix { .. }) => {
                    return Err(bad(&format!("--prefix: {error}")));
                }
                read => read.map_err(|e| Failure::Input(e.to_string()))?,
            };
        }
        let config = config.with_affine(state.affine());
        if state.running.is_none() {
            if mode == Mode::Eval {
                return Err(bad(&format!(
                    "inference needs tensors \"{prefix}running_mean\" and \"{prefix}running_var\""
                )));
            }
            state.running = LayerState::new(view.channels(), &config)?.running;
            state.num_batches_tracked = 0;
        }
        Ok((state, config, view))
    }

    /// `dy`, in the shape of `x`.
    pub fn upstream(&self) -> Result<&HostTensor, Failure> {
        let dy = self
            .dy
            .as_ref()
            .ok_or_else(|| bad("tensor \"dy\" is missing"))?;
        if dy.shape != self.x.shape {
            return Err(bad(&format!(
                "dy has shape {:?}, expected {:?}, the shape of x",
                dy.shape, self.x.shape
            )));
        }
        if dy.element != self.x.element {
            return Err(bad(&format!(
                "dy has element type {:?}, expected {:?}, that of x",
                dy.element, self.x.element
            )));
        }
        Ok(dy)
    }
}

fn bad(text: &str) -> Failure {
    Failure::Input(text.to_owned())
}

fn parse(bytes: &[u8]) -> Result<SafeTensors<'_>, Failure> {
    SafeTensors::deserialize(bytes).map_err(|e| bad(&format!("not a valid safetensors file: {e}")))
}

fn tensor(file: &SafeTensors<'_>, name: &str) -> Result<Option<HostTensor>, Failure> {
    let Ok(view) = file.tensor(name) else {
        return Ok(None);
    };
    let element = match view.dtype() {
        Dtype::F32 => Element::F32,
        Dtype::F16 => Element::F16,
        Dtype::BF16 => Element::Bf16,
        got => {
            return Err(bad(&format!(
                "tensor {name:?} has dtype {got:?}, expected F32, F16 or BF16"
            )));
        }
    };
    let shape = view.shape().to_vec();
    HostTensor::new(shape, element, view.data()).map(Some)
}

fn read_npy(bytes: &[u8]) -> Result<HostTensor, Failure> {
    let invalid = |e: &dyn std::fmt::Display| bad(&format!("not a valid .npy file: {e}"));
    if !bytes.starts_with(NPY_MAGIC) {
        return Err(invalid(&"it does not begin as one"));
    }
    // Magic, version, header length (2 bytes in version 1, else 4), header, data.
    let wide = bytes.get(6).is_some_and(|&major| major > 1);
    let start = if wide { 12 } else { 10 };
    let header_len = match bytes.get(8..start) {
        Some(&[a, b]) => usize::from(u16::from_le_bytes([a, b])),
        Some(&[a, b, c, d]) => u32::from_le_bytes([a, b, c, d]) as usize,
        _ => return Err(invalid(&"it ends within the header")),
    };
    if header_len > LONGEST_NPY_HEADER {
        return Err(invalid(&format!("a header of {header_len} bytes")));
    }
    let Some((text, data)) = bytes[start..].split_at_checked(header_len) else {
        return Err(invalid(&"it ends within the header"));
    };
    guard_npy_header(text).map_err(|why| invalid(&why))?;
    let header = npyz::NpyHeader::from_reader(bytes).map_err(|e| {
        // The lines after the first draw the header.
        invalid(&e.to_string().lines().next().unwrap_or_default())
    })?;
    if header.order() != npyz::Order::C {
        return Err(bad("x is in Fortran order, expected C order"));
    }
    let dtype = header.dtype().descr();
    let element = match dtype.as_str() {
        "'<f4'" => Element::F32,
        "'<f2'" => Element::F16,
        _ => {
            return Err(bad(&format!(
                "x has dtype {dtype}, expected '<f4' or '<f2'"
            )));
        }
    };
    let shape: Option<Vec<usize>> = header.shape().iter().map(|&n| n.try_into().ok()).collect();
    let expected = shape.as_ref().and_then(|shape| {
        shape
            .iter()
            .try_fold(element.bytes() as usize, |n, &len| n.checked_mul(len))
    });
    let (Some(shape), Some(expected)) = (shape, expected) else {
        return Err(invalid(&"its shape overflows"));
    };
    if data.len() != expected {
        return Err(invalid(&format!(
            "{} bytes of data, expected {expected}",
            data.len()
        )));
    }
    HostTensor::new(shape, element, data)
}

/// Refuses what npyz cannot take: nested brackets, in which it tries every combination, and axes
/// whose product overflows.
fn guard_npy_header(text: &[u8]) -> Result<(), &'static str> {
    let count = |bracket| text.iter().filter(|&&b| b == bracket).count();
    if count(b'[') > 0 || count(b'{') > 1 || count(b'(') > 1 {
        return Err("its header is not that of a plain array");
    }
    let mut product = 1u64;
    for word in text.split(|b| !b.is_ascii_alphanumeric() && *b != b'_') {
        if !word.first().is_some_and(u8::is_ascii_digit) {
            continue;
        }
        let number = str::from_utf8(word).ok().and_then(|word| word.parse().ok());
        let next = number.and_then(|number: u64| product.checked_mul(number.max(1)));
        product = next.ok_or("its shape overflows, or is not of plain numbers")?;
    }
    Ok(())
}
