//! What random cases are filled with.

use proptest::prelude::*;
use proptest::sample::select;
use wgpu_batchnorm::Element;

use testkit::case::stored;
use testkit::data::{Kind, Random};

/// What the channels of a tensor hold.
#[derive(Clone, Copy, Debug)]
pub enum Data {
    Kind(Kind),
    /// 0 and −0.
    Zeros,
    /// Subnormal numbers alone. Adapters may take any of them for 0 at any step, and saved statistics
    /// are f32 and lose digits here too: the bounds hold for the moments of the CPU path alone, and
    /// all else is held to be finite.
    Subnormal,
    /// Ordinary values, the first of them, subnormal ones and zeros of either sign.
    Mixed,
    /// As large as the sum of their squares allows, in their type.
    Huge,
    /// Squares vanish in f32; subnormal in f16.
    Tiny,
}

pub fn data() -> impl Strategy<Value = Data> {
    let exponent = || -3.0..4.0;
    let scaled = (exponent(), exponent(), any::<bool>());
    let normal = scaled.prop_map(|(mean, std, negative)| {
        let sign = if negative { -1.0 } else { 1.0 };
        Kind::Normal {
            mean: sign * 10f64.powf(mean),
            std: 10f64.powf(std),
        }
    });
    prop_oneof![
        4 => normal.prop_map(Data::Kind),
        2 => select(Kind::ALL.to_vec()).prop_map(Data::Kind),
        2 => select(vec![Data::Zeros, Data::Subnormal, Data::Mixed, Data::Huge, Data::Tiny]),
    ]
}

impl Data {
    /// The values of channel `c`, `count` of them, as `element` stores them.
    pub fn channel(
        self,
        random: &mut Random,
        element: Element,
        c: usize,
        count: usize,
    ) -> Vec<f32> {
        let f16 = element == Element::F16;
        let huge = if f16 {
            1e4
        } else {
            3e18 / (count as f64).sqrt()
        };
        let tiny = if f16 { 1e-6 } else { 1e-30 };
        let value = |position| match self {
            Self::Kind(kind) => kind.value(random, c, position, count),
            Self::Zeros => zero(random),
            Self::Subnormal => subnormal(random),
            Self::Mixed => match random.bits() % 4 {
                0 if position > 0 => zero(random),
                1 if position > 0 => subnormal(random),
                _ => random.normal() as f32,
            },
            Self::Huge => (huge * random.normal()) as f32,
            Self::Tiny => (tiny * random.normal()) as f32,
        };
        stored(element, &(0..count).map(value).collect::<Vec<_>>())
    }
}

fn zero(random: &mut Random) -> f32 {
    if random.bits() >> 63 == 0 { 0.0 } else { -0.0 }
}

/// Of either sign, and of every exponent.
fn subnormal(random: &mut Random) -> f32 {
    let magnitude = (random.bits() as u32 & 0x007f_ffff) >> (random.bits() % 23);
    f32::from_bits(magnitude.max(1) | (random.bits() as u32 & 0x8000_0000))
}
