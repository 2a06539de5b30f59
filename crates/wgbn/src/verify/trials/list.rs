//! The list of trials, and what it is made of.

use wgpu_batchnorm::wgpu::TextureFormat;
use wgpu_batchnorm::{
    Activation, Affine, Element, Momentum, NonFinite, Outside, Pattern, RunningVariance, View,
};

use super::cuts::{CUTS, NARROW};
use super::{Data, Moving, Trial, Weighing, slug};
use testkit::data::Kind;

/// Shape classes: a shape and its channel axis. The first of either pattern stand first.
const SHAPES: [(&[usize], isize); 12] = [
    (&[8, 3, 28, 28], 1),
    (&[4, 28, 28, 3], -1),
    (&[16, 10], 1),
    (&[6, 5, 17], 1),
    (&[8, 64, 7, 7], 1),
    (&[512, 128], 1),
    (&[8, 7, 7, 64], -1),
    (&[2, 16, 13, 17], 1),
    (&[2, 4, 6, 8, 5], 1),
    (&[3, 1000, 2], 1),
    (&[64, 300], 0),
    (&[1, 1, 1_000_000], 1),
];
/// Those that a quick sweep takes: compiling is what takes time.
const QUICK: usize = 5;

/// Shapes whose channels have a power of two of values, so that their means may be exact.
const ROUND: [(&[usize], isize); 6] = [
    (&[4, 3, 64], 1),
    (&[64, 4], -1),
    (&[2, 5, 1, 8], 1),
    (&[256, 64], 1),
    (&[8, 7, 4, 8], 1),
    (&[1024, 2], 1),
];

/// Images as tensors: height, width, channels.
const IMAGES: [&[usize]; 2] = [&[3, 61, 4], &[300, 64, 4]];

/// What shaders read images of.
const FORMATS: [TextureFormat; 9] = [
    TextureFormat::Rgba8Unorm,
    TextureFormat::Rgba8UnormSrgb,
    TextureFormat::Bgra8Unorm,
    TextureFormat::Bgra8UnormSrgb,
    TextureFormat::Rgba16Float,
    TextureFormat::Rgba32Float,
    TextureFormat::R16Float,
    TextureFormat::Rg11b10Ufloat,
    TextureFormat::Rgb10a2Unorm,
];

/// Interleaved shapes whose channels are as many as a workgroup of those takes.
const COLUMNS: [(&[usize], isize); 3] =
    [(&[11, 5, 16], -1), (&[11, 5, 32], -1), (&[11, 5, 64], -1)];

/// Shapes that small bindings cut along the outer axis, between channels, inside a run and across
/// rows.
const PIECES: [(&[usize], isize); 5] = [
    (&[9, 5, 7, 11], 1),
    (&[3, 7, 29, 31], 1),
    (&[2, 3, 61, 67], 1),
    (&[5, 17, 19, 12], -1),
    (&[9001, 2], 1),
];

const ELEMENTS: [Element; 3] = [Element::F32, Element::F16, Element::Bf16];

const ACTIVATIONS: [Activation; 14] = [
    Activation::None,
    Activation::Relu,
    Activation::LeakyRelu(0.1),
    Activation::Sigmoid,
    Activation::Tanh,
    Activation::Silu,
    Activation::Gelu,
    Activation::Relu6,
    Activation::HardTanh(-0.75, 0.5),
    Activation::HardSigmoid,
    Activation::HardSwish,
    Activation::Elu(0.3),
    Activation::Softplus,
    Activation::GeluTanh,
];

const WEIGHINGS: [Weighing; 4] = [
    Weighing::Values(Outside::Zero),
    Weighing::Samples(Outside::Normalize),
    Weighing::Values(Outside::Normalize),
    Weighing::Samples(Outside::Zero),
];

const AFFINES: [Affine; 4] = [Affine::Both, Affine::Weight, Affine::Bias, Affine::None];

/// The first is what a trial has where its name says nothing of it.
pub const MOVING: [Moving; 5] = [
    Moving::By(Momentum::Exponential(0.1), RunningVariance::Unbiased),
    Moving::By(Momentum::Exponential(0.01), RunningVariance::Biased),
    Moving::By(Momentum::Cumulative, RunningVariance::Unbiased),
    Moving::By(Momentum::Cumulative, RunningVariance::Biased),
    Moving::No,
];

/// All trials. Every shape meets every kind of data plainly; then shapes and sizes meet the options in
/// turn, so that any two options meet; then exact data.
pub fn all() -> Vec<Trial> {
    let mut trials = Vec::new();
    let mut add = |trial: Trial| {
        let (number, name) = (trials.len() + 1, slug(&trial.to_string()));
        trials.push(Trial {
            number,
            name,
            ..trial
        });
    };
    let plain = |(shape, axis), data| Trial {
        number: 0,
        name: String::new(),
        quick: false,
        shape,
        axis,
        data,
        element: Element::F32,
        affine: Affine::Both,
        moving: MOVING[0],
        activation: Activation::None,
        residual: false,
        weighing: Weighing::None,
        sizes: 0,
    };
    for (s, shape) in SHAPES.into_iter().enumerate() {
        for kind in Kind::ALL {
            add(Trial {
                quick: s < QUICK,
                ..plain(shape, Data::Kind(kind))
            });
        }
    }
    let mut k = 0;
    // The last is large, and has nothing here that small ones lack.
    for (s, shape) in SHAPES.into_iter().rev().skip(1).rev().enumerate() {
        // Software adapters compile several columns a lane for up to a minute.
        let turns = if is_wide(shape) { 3 } else { 4 };
        for sizes in 0..CUTS {
            for n in 0..turns {
                let kind = Kind::ALL[(k + k / 10) % 10];
                let element = match ELEMENTS[(n + sizes) % 3] {
                    // Its largest value is 65,504.
                    Element::F16 if reaches(kind, shape) > 65_000.0 => Element::Bf16,
                    element => element,
                };
                add(Trial {
                    quick: s < 2 && sizes == 0 && n < 2,
                    element,
                    affine: AFFINES[(k / 3) % 4],
                    moving: MOVING[(k + k / 5) % 5],
                    activation: ACTIVATIONS[(k + k / 4) % 14],
                    residual: (n + s + sizes) % 2 == 0,
                    sizes,
                    ..plain(shape, Data::Kind(kind))
                });
                k += 1;
            }
        }
    }
    for (s, shape) in COLUMNS.into_iter().enumerate() {
        // Halves of either kind are the same variants.
        for element in [Element::F32, [Element::Bf16, Element::F16][s % 2]] {
            add(Trial {
                element,
                sizes: CUTS + s,
                ..plain(shape, Data::Kind(Kind::ALL[0]))
            });
        }
    }
    for (s, shape) in ROUND.into_iter().enumerate() {
        for sizes in 0..CUTS {
            for fused in [false, true] {
                add(Trial {
                    quick: s < 3 && sizes == 0 && !fused,
                    // 0.5 and 1/k at the k-th of 1, 2, 4, ... batches are exact; m/(m − 1) is not.
                    moving: Moving::By(
                        match sizes % 2 {
                            0 => Momentum::Exponential(0.5),
                            _ => Momentum::Cumulative,
                        },
                        RunningVariance::Biased,
                    ),
                    affine: AFFINES[s % 4],
                    activation: match fused {
                        true => Activation::Relu,
                        false => Activation::None,
                    },
                    residual: fused,
                    sizes,
                    ..plain(shape, Data::Exact)
                });
            }
        }
    }
    for (s, shape) in PIECES.into_iter().enumerate() {
        for (e, element) in ELEMENTS.into_iter().enumerate() {
            let fused = (s + e) % 2 == 1;
            add(Trial {
                quick: s == 0 && e == 0,
                element,
                activation: match fused {
                    true => ACTIVATIONS[1 + (3 * s + e) % 13],
                    false => Activation::None,
                },
                residual: fused,
                sizes: NARROW,
                ..plain(shape, Data::Kind(Kind::ALL[s]))
            });
        }
    }
    // Weights: every shape, then tensors in pieces.
    let whole = SHAPES.into_iter().rev().skip(1).rev();
    let whole = whole.flat_map(|shape| [0, 1].map(|k| (shape, k)));
    // One binding holds all weights: few, where bindings are small.
    let pieces = PIECES.into_iter().take(4).map(|shape| (shape, NARROW));
    for (k, (shape, sizes)) in whole.chain(pieces).enumerate() {
        let weighing = match sizes == NARROW {
            true => WEIGHINGS[1 + 2 * (k % 2)],
            false => WEIGHINGS[(k + k / 4) % 4],
        };
        let element = ELEMENTS[(k / 2) % 3];
        add(Trial {
            quick: k < 4 && sizes == 0,
            element,
            weighing,
            // Some of what has both is refused.
            activation: match k % 2 {
                0 => Activation::None,
                _ => ACTIVATIONS[1 + k % 13],
            },
            residual: k % 2 == 0 || element == Element::F32,
            moving: MOVING[k % 5],
            sizes: if sizes == 1 {
                1 + k / 2 % (CUTS - 1)
            } else {
                sizes
            },
            ..plain(shape, Data::Kind(Kind::ALL[k % 10]))
        });
    }
    for (s, shape) in SHAPES.into_iter().take(QUICK + 1).enumerate() {
        for (v, value) in [f32::NAN, f32::INFINITY].into_iter().enumerate() {
            let policy = [NonFinite::Skip, NonFinite::Propagate][(s / 2 + v) % 2];
            add(Trial {
                quick: s < 2 && v == 0,
                element: ELEMENTS[match v {
                    0 => 0,
                    _ => s % 3,
                }],
                ..plain(shape, Data::NotFinite(value, policy))
            });
        }
    }
    for (k, format) in FORMATS.into_iter().enumerate() {
        for sizes in 0..CUTS {
            let floats = matches!(
                format,
                TextureFormat::Rgba16Float | TextureFormat::Rgba32Float
            );
            let data = Data::Image {
                format,
                keep_alpha: (k + sizes / 2) % 2 == 1,
                far: floats && sizes >= 2,
            };
            add(Trial {
                quick: sizes == 0 && k == 1,
                activation: ACTIVATIONS[(k + 5 * sizes) % 14],
                affine: AFFINES[(k + sizes) % 4],
                sizes,
                ..plain((IMAGES[sizes % 2], -1), data)
            });
        }
    }
    trials
}

/// Whether lanes may take several fours of its channels.
fn is_wide((shape, axis): (&[usize], isize)) -> bool {
    View::new(shape, axis).is_ok_and(|v| v.pattern() == Pattern::Interleaved && v.channels() >= 64)
}

/// Roughly the largest magnitude of such data.
fn reaches(kind: Kind, (shape, axis): (&[usize], isize)) -> f64 {
    let channels = shape[axis.rem_euclid(shape.len() as isize) as usize];
    match kind {
        Kind::Normal { mean, std } => mean.abs() + 10.0 * std,
        Kind::HotPixel => 1e6,
        Kind::Constant => 1234.567 * channels as f64,
        Kind::Scales => 1e5,
        Kind::Alternating | Kind::Border | Kind::Frame => 300.0,
    }
}

#[cfg(test)]
mod tests {
    use std::fmt;

    use super::super::fnv;
    use super::*;

    #[test]
    fn numbers_are_positions() {
        for (k, trial) in all().iter().enumerate() {
            assert_eq!(trial.number, k + 1);
        }
    }

    #[test]
    fn names_are_apart_and_need_no_quotes() {
        let trials = all();
        let mut names: Vec<_> = trials.iter().map(|trial| &trial.name).collect();
        names.sort_unstable();
        for pair in names.windows(2) {
            assert_ne!(pair[0], pair[1]);
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-';
        assert!(names.iter().all(|name| name.chars().all(plain)));
        // They say what the case is, and are what earlier reports know it by.
        assert_eq!(trials[0].name, "8x3x28x28-axis-1-mean-3e-1-std-1.5e0");
        assert_eq!(fnv(b"a"), 0xaf63_dc4c_8601_ec8c);
    }

    /// Asserts that whatever `a` and `b` tell apart meets, and that there are so many of each.
    fn meet<A: fmt::Debug, B: fmt::Debug>(
        (a, as_many): (impl Fn(&Trial) -> A, usize),
        (b, bs_many): (impl Fn(&Trial) -> B, usize),
    ) {
        let mut pairs: Vec<_> = all()
            .iter()
            // Exact data, images and columns have fewer options.
            .filter(|trial| matches!(trial.data, Data::Kind(_)) && trial.sizes < CUTS)
            .map(|trial| format!("{:?} and {:?}", a(trial), b(trial)))
            .collect();
        pairs.sort_unstable();
        pairs.dedup();
        assert_eq!(pairs.len(), as_many * bs_many, "{pairs:#?}");
    }

    #[test]
    fn any_two_options_meet() {
        let element = |trial: &Trial| trial.element;
        let activation = |trial: &Trial| trial.activation;
        let affine = |trial: &Trial| trial.affine;
        let residual = |trial: &Trial| trial.residual;
        let sizes = |trial: &Trial| trial.sizes;
        let in_place = Trial::in_place;
        let interleaved = |trial: &Trial| trial.axis != 1 || trial.shape.len() == 2;
        meet((element, 3), (activation, 14));
        meet((element, 3), (affine, 4));
        meet((element, 3), (residual, 2));
        meet((element, 3), (sizes, 4));
        meet((element, 3), (interleaved, 2));
        meet((activation, 14), (affine, 4));
        meet((activation, 14), (residual, 2));
        meet((activation, 14), (sizes, 4));
        meet((activation, 14), (interleaved, 2));
        meet((affine, 4), (residual, 2));
        meet((affine, 4), (sizes, 4));
        meet((residual, 2), (sizes, 4));
        meet((sizes, 4), (interleaved, 2));
        meet((element, 3), (in_place, 2));
        meet((activation, 14), (in_place, 2));
        meet((residual, 2), (in_place, 2));
        meet((sizes, 4), (in_place, 2));
        meet((interleaved, 2), (in_place, 2));
        let moving = |trial: &Trial| trial.moving;
        meet((moving, 5), (element, 3));
        meet((moving, 5), (sizes, 4));
        meet((moving, 5), (interleaved, 2));
        let kinds = |trial: &Trial| trial.data;
        meet((kinds, 10), (sizes, 4));
        meet((kinds, 10), (interleaved, 2));
    }
}
