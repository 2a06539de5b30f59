//! What the sweep tries: a closed list of trials, each known by its name and, for short, its number.

mod cuts;
mod list;

use std::fmt;

use wgpu_batchnorm::wgpu::TextureFormat;
use wgpu_batchnorm::{
    Activation, Affine, Config, Element, Momentum, NonFinite, Outside, RunningVariance,
};

pub use cuts::{Cut, SIZES};
pub use list::all;

use crate::table;
use testkit::data::Kind;

/// How running statistics move.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Moving {
    No,
    By(Momentum, RunningVariance),
}

/// Which values have weights of their own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Weighing {
    None,
    /// Each value of a channel.
    Values(Outside),
    /// Each sample.
    Samples(Outside),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Data {
    Kind(Kind),
    /// Ordinary, but for this one value in the middle, and what it does to running statistics.
    NotFinite(f32, NonFinite),
    /// Two values a channel, in turn: every sum, mean and square root is exact in f32.
    Exact,
    /// An image of this format to the textures that kernels write and to render targets.
    Image {
        format: TextureFormat,
        keep_alpha: bool,
        /// Values about 1,000 instead of from 0 to 1.
        far: bool,
    },
}

/// One set of options, data and sizes; all operations are tried on it.
#[derive(Clone, Debug)]
pub struct Trial {
    /// From 1; another after cases were added or taken out.
    pub number: usize,
    /// Says all that the case consists of, and stays when numbers change. Its data follow from it.
    pub name: String,
    pub quick: bool,
    pub shape: &'static [usize],
    pub axis: isize,
    pub data: Data,
    pub element: Element,
    pub affine: Affine,
    pub moving: Moving,
    pub activation: Activation,
    pub residual: bool,
    pub weighing: Weighing,
    /// An index into [`SIZES`].
    pub sizes: usize,
}

impl Trial {
    pub fn config(&self) -> Config {
        let config = Config::pytorch()
            .with_axis(self.axis)
            .with_affine(self.affine)
            .with_activation(self.activation);
        let config = match self.moving {
            Moving::No => config.without_running(),
            Moving::By(momentum, variance) => config
                .with_momentum(momentum)
                .with_running_variance(variance),
        };
        match self.data {
            // With the variances of the data and of the running statistics it makes powers of four.
            Data::Exact => config.with_eps(0.9375),
            Data::NotFinite(_, non_finite) => config.with_non_finite(non_finite),
            Data::Kind(_) | Data::Image { .. } => config,
        }
    }

    /// What the case's random data come from: its name's FNV-1a hash.
    pub fn seed(&self) -> u64 {
        fnv(self.name.as_bytes())
    }

    /// Options that no list holds take turns by this, from 0 to 11.
    pub fn turn(&self) -> u64 {
        self.seed() % 12
    }

    /// Whether forwards are tried with y over x too.
    pub fn in_place(&self) -> bool {
        (self.turn() / 2).is_multiple_of(2)
    }

    /// Whether nothing is asked that the CPU path lacks.
    pub fn is_plain(&self) -> bool {
        self.element == Element::F32 && self.sizes == 0 && !matches!(self.data, Data::Image { .. })
    }
}

impl fmt::Display for Trial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.data {
            Data::Image {
                format,
                keep_alpha,
                far,
            } => {
                let (height, width) = (self.shape[0], self.shape[1]);
                write!(f, "an image of {width}×{height} pixels, {format:?}")?;
                if keep_alpha {
                    f.write_str(", alpha kept")?;
                }
                if far {
                    f.write_str(", about 1,000")?;
                }
            }
            Data::Exact => write!(f, "{}, exact", shape(self))?,
            Data::Kind(kind) => write!(f, "{}, {kind}", shape(self))?,
            Data::NotFinite(value, policy) => {
                write!(f, "{}, one {value}, {policy:?}", shape(self))?;
            }
        }
        match self.element {
            Element::F32 => {}
            element => write!(f, ", {}", element.name())?,
        }
        if self.activation != Activation::None {
            write!(f, ", {:?}", self.activation)?;
        }
        if self.residual {
            f.write_str(", residual")?;
        }
        match self.weighing {
            Weighing::None => {}
            Weighing::Values(outside) => write!(f, ", values weighted, {outside:?}")?,
            Weighing::Samples(outside) => write!(f, ", samples weighted, {outside:?}")?,
        }
        if self.affine != Affine::Both {
            write!(f, ", affine {:?}", self.affine)?;
        }
        match self.moving {
            Moving::No => f.write_str(", no running statistics")?,
            moving if moving == list::MOVING[0] => {}
            Moving::By(momentum, variance) => write!(f, ", {momentum:?} {variance:?}")?,
        }
        match self.sizes {
            0 => Ok(()),
            sizes => write!(f, ", {}", SIZES[sizes].0),
        }
    }
}

/// Lower-case words and numbers with hyphens between them, as a shell takes them without quotes.
fn slug(text: &str) -> String {
    let plain = text.to_lowercase().replace(" -", " minus ");
    let plain = plain.replace('×', "x").replace('±', "plus-minus ");
    let words = plain.split(|c: char| !c.is_ascii_alphanumeric() && c != '.');
    let words: Vec<_> = words.filter(|word| !word.is_empty()).collect();
    words.join("-")
}

/// The 64-bit FNV-1a hash.
pub fn fnv(bytes: &[u8]) -> u64 {
    let mix = |hash: u64, &byte: &u8| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, mix)
}

fn shape(trial: &Trial) -> String {
    format!("{} axis {}", table::shape(trial.shape), trial.axis)
}
