//! Deterministic data, ordinary and ill-conditioned; the sweep and the tests share it.

use half::{bf16, f16};
use wgpu_batchnorm::{Element, View};

/// xorshift64*: small, and the same everywhere.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn bits(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// In [0, 1).
    pub fn uniform(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Standard normal, by Box and Muller.
    pub fn normal(&mut self) -> f64 {
        let r = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        r * (std::f64::consts::TAU * self.uniform()).cos()
    }

    pub fn normals(&mut self, len: usize, mean: f64, std: f64) -> Vec<f32> {
        (0..len)
            .map(|_| (mean + std * self.normal()) as f32)
            .collect()
    }
}

/// What storage of this type keeps of `values`: each rounded to nearest, ties to even.
pub fn stored(element: Element, values: &[f32]) -> Vec<f32> {
    let keep = |&v: &f32| match element {
        Element::F32 => v,
        Element::F16 => f16::from_f32(v).to_f32(),
        Element::Bf16 => bf16::from_f32(v).to_f32(),
        other => panic!("the test kit does not know how {other:?} rounds"),
    };
    values.iter().map(keep).collect()
}

/// Kinds of data; each is a function of channel, position in the channel, and count.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Independent normals.
    Normal { mean: f64, std: f64 },
    /// ±0.1, turn by turn.
    Alternating,
    /// Channel c is 10^(c-3) wide.
    Scales,
    /// A black frame around a bright image: first and last quarter zero.
    Border,
    /// A black frame one pixel thin around a bright square image.
    Frame,
    /// Ordinary, but for one value of 1e6.
    HotPixel,
    /// All values of a channel equal.
    Constant,
}

impl Kind {
    pub const ALL: [Self; 10] = [
        Self::Normal {
            mean: 0.3,
            std: 1.5,
        },
        Self::Normal {
            mean: 1e4,
            std: 1.0,
        },
        Self::Normal {
            mean: 1e3,
            std: 1e-2,
        },
        Self::Normal {
            mean: 1e6,
            std: 1.0,
        },
        Self::Alternating,
        Self::Scales,
        Self::Border,
        Self::Frame,
        Self::HotPixel,
        Self::Constant,
    ];

    /// Value `position` of `count` in channel `c`.
    pub fn value(self, random: &mut Random, c: usize, position: usize, count: usize) -> f32 {
        let value = match self {
            Self::Normal { mean, std } => mean + std * random.normal(),
            Self::Alternating if position.is_multiple_of(2) => 0.1,
            Self::Alternating => -0.1,
            Self::Scales => (random.normal() + 2.0) * 10f64.powi(c as i32 % 9 - 4),
            Self::Border if position < count / 4 || position >= count - count / 4 => 0.0,
            Self::Border => 200.0 + random.normal(),
            Self::Frame if on_frame(position, count) => 0.0,
            Self::Frame => 200.0 + random.normal(),
            Self::HotPixel if position == count / 3 => 1e6,
            Self::HotPixel => random.normal(),
            Self::Constant => 1234.567 * (c + 1) as f64,
        };
        value as f32
    }

    /// A whole tensor of it.
    pub fn tensor(self, random: &mut Random, view: &View) -> Vec<f32> {
        let mut x = vec![0.0; view.len()];
        for c in 0..view.channels() {
            for (position, i) in view.runs(c).flatten().enumerate() {
                x[i] = self.value(random, c, position, view.count());
            }
        }
        x
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Normal { mean, std } => write!(f, "mean {mean:e} std {std:e}"),
            Self::Alternating => f.write_str("±0.1 alternating"),
            Self::Scales => f.write_str("channels of different scale"),
            Self::Border => f.write_str("black border"),
            Self::Frame => f.write_str("thin black frame"),
            Self::HotPixel => f.write_str("one hot pixel"),
            Self::Constant => f.write_str("constant channels"),
        }
    }
}

/// Whether value `position` of a square image of `count` pixels is on its edge.
fn on_frame(position: usize, count: usize) -> bool {
    let width = count.isqrt();
    let (row, column) = (position / width, position % width);
    [row, column].iter().any(|&k| k == 0 || k + 1 >= width)
}
