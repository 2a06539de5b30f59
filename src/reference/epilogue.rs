//! What comes after the normalization, in f64: activations, their slopes, and how much they magnify
//! an error.

use std::f64::consts::{FRAC_1_SQRT_2, PI};

use crate::config::Activation;

/// g(z).
pub fn activate(activation: Activation, z: f64) -> f64 {
    match activation {
        // Comparisons would lose it.
        _ if z.is_nan() => z,
        Activation::None => z,
        Activation::Relu => z.max(0.0),
        Activation::Relu6 => z.clamp(0.0, 6.0),
        Activation::HardTanh(low, high) => z.clamp(low.into(), high.into()),
        Activation::HardSigmoid => hard_sigmoid(z),
        Activation::HardSwish => z * hard_sigmoid(z),
        Activation::LeakyRelu(slope) if z < 0.0 => z * f64::from(slope),
        Activation::LeakyRelu(_) => z,
        Activation::Elu(number) if z < 0.0 => f64::from(number) * z.exp_m1(),
        Activation::Elu(_) => z,
        Activation::Sigmoid => sigmoid(z),
        Activation::Softplus => z.max(0.0) + (-z.abs()).exp().ln_1p(),
        Activation::Tanh => z.tanh(),
        Activation::Silu => z * sigmoid(z),
        Activation::Gelu => z * normal(z),
        Activation::GeluTanh => z * sigmoid(2.0 * inner(z)),
    }
}

/// dg/dz; at kinks as PyTorch has it.
pub fn slope(activation: Activation, z: f64) -> f64 {
    let open = |low: f64, high: f64| f64::from(u8::from(low < z && z < high));
    match activation {
        _ if z.is_nan() => z,
        Activation::None => 1.0,
        Activation::Relu => f64::from(u8::from(z > 0.0)),
        Activation::Relu6 => open(0.0, 6.0),
        Activation::HardTanh(low, high) => open(low.into(), high.into()),
        Activation::HardSigmoid => open(-3.0, 3.0) / 6.0,
        Activation::HardSwish if z >= 3.0 => 1.0,
        Activation::HardSwish => open(-3.0, 3.0) * (z / 3.0 + 0.5),
        Activation::LeakyRelu(slope) if z <= 0.0 => f64::from(slope),
        Activation::LeakyRelu(_) => 1.0,
        Activation::Elu(number) if z <= 0.0 => f64::from(number) * z.exp(),
        Activation::Elu(_) => 1.0,
        Activation::Sigmoid => sigmoid(z) * sigmoid(-z),
        Activation::Softplus => sigmoid(z),
        Activation::Tanh => z.cosh().powi(-2),
        Activation::Silu => sigmoid(z) + z * sigmoid(z) * sigmoid(-z),
        Activation::Gelu => normal(z) + z * (-z * z / 2.0).exp() / (2.0 * PI).sqrt(),
        Activation::GeluTanh => {
            let s = sigmoid(2.0 * inner(z));
            let bend = s * sigmoid(-2.0 * inner(z));
            // Far out the factor of 0 meets one that overflows.
            s + if bend == 0.0 {
                0.0
            } else {
                z * bend * 2.0 * inner_slope(z)
            }
        }
    }
}

/// Whether nothing comes back where the slope is 0, not even an infinite gradient.
pub fn closes(activation: Activation) -> bool {
    matches!(
        activation,
        Activation::Relu
            | Activation::Relu6
            | Activation::HardTanh(..)
            | Activation::HardSigmoid
            | Activation::HardSwish
    )
}

/// The largest |dg/dz|, rounded up.
pub fn steepest(activation: Activation) -> f64 {
    match activation {
        Activation::None
        | Activation::Relu
        | Activation::Relu6
        | Activation::HardTanh(..)
        | Activation::Softplus
        | Activation::Tanh => 1.0,
        Activation::LeakyRelu(slope) => f64::from(slope).abs().max(1.0),
        Activation::Elu(number) => f64::from(number).abs().max(1.0),
        Activation::HardSigmoid => 1.0 / 6.0,
        Activation::HardSwish => 1.5,
        Activation::Sigmoid => 0.25,
        Activation::Silu => 1.1,
        Activation::Gelu | Activation::GeluTanh => 1.13,
    }
}

/// The largest |d²g/dz²| at `z` and further from zero, away from kinks, rounded up.
pub fn curvature(activation: Activation, z: f64) -> f64 {
    let z = z.abs();
    if z.is_infinite() {
        return 0.0;
    }
    // What is largest near zero, and what decays beyond.
    let (largest, decaying) = match activation {
        Activation::None
        | Activation::Relu
        | Activation::Relu6
        | Activation::HardTanh(..)
        | Activation::HardSigmoid
        | Activation::LeakyRelu(_) => (0.0, 0.0),
        Activation::HardSwish => (0.334, if z <= 3.0 { 0.334 } else { 0.0 }),
        Activation::Elu(number) => {
            let number = 1.001 * f64::from(number).abs();
            (number, number * (-z).exp())
        }
        Activation::Sigmoid => (0.097, (-z).exp()),
        Activation::Softplus => (0.25, (-z).exp()),
        Activation::Tanh => (0.77, 8.0 * (-2.0 * z).exp()),
        Activation::Silu => (0.5, (2.0 + z) * (-z).exp()),
        Activation::Gelu => (
            0.8,
            (2.0 + z * z) * (-z * z / 2.0).exp() / (2.0 * PI).sqrt(),
        ),
        // With v = 2u: g″ = (2v′ + z·v″)·s(1 − s) + z·v′²·s(1 − s)(1 − 2s), where s(1 − s) ≤ e^−|v|.
        Activation::GeluTanh => {
            let (v, rise) = (2.0 * inner(z), 2.0 * inner_slope(z));
            let bend = 2.0 * INNER * 6.0 * CUBE * z;
            let decays = (-v).exp();
            let far = (2.0 * rise + z * bend + z * rise * rise) * decays;
            (0.81, if decays == 0.0 { 0.0 } else { far })
        }
    };
    decaying.min(largest)
}

/// The largest |dg/dz| no further than `reach` from `z`, rounded up.
pub fn steepest_near(activation: Activation, z: f64, reach: f64) -> f64 {
    let steepest = steepest(activation);
    if kink_near(activation, z, reach).is_some() {
        return steepest;
    }
    let nearest = (z.abs() - reach).max(0.0);
    let slope = slope(activation, z).abs() + curvature(activation, nearest) * reach;
    slope.min(steepest)
}

/// Whether the slope jumps no further than `reach` from `z`, and the furthest that it jumps there.
pub fn kink_near(activation: Activation, z: f64, reach: f64) -> Option<f64> {
    let near = |place: f64, jump: f64| ((z - place).abs() <= reach && jump > 0.0).then_some(jump);
    let ends = |(low, at_low), (high, at_high)| {
        near(low, at_low)
            .into_iter()
            .chain(near(high, at_high))
            .reduce(f64::max)
    };
    match activation {
        Activation::Relu => near(0.0, 1.0),
        Activation::Relu6 => ends((0.0, 1.0), (6.0, 1.0)),
        Activation::HardTanh(low, high) => ends((low.into(), 1.0), (high.into(), 1.0)),
        Activation::HardSigmoid => ends((-3.0, 1.0 / 6.0), (3.0, 1.0 / 6.0)),
        Activation::HardSwish => ends((-3.0, 0.5), (3.0, 0.5)),
        Activation::LeakyRelu(number) | Activation::Elu(number) => {
            near(0.0, (1.0 - f64::from(number)).abs())
        }
        _ => None,
    }
}

/// √(2/π), and what the cube has before it in gelu's tanh.
const INNER: f64 = 0.797_884_560_802_865_4;
const CUBE: f64 = 0.044_715;

/// What gelu takes the tanh of, and its slope.
fn inner(z: f64) -> f64 {
    INNER * (z + CUBE * z * z * z)
}

fn inner_slope(z: f64) -> f64 {
    INNER * (1.0 + 3.0 * CUBE * z * z)
}

fn hard_sigmoid(z: f64) -> f64 {
    ((z + 3.0) / 6.0).clamp(0.0, 1.0)
}

fn sigmoid(z: f64) -> f64 {
    1.0 / (1.0 + (-z).exp())
}

/// The normal distribution, Φ.
fn normal(z: f64) -> f64 {
    libm::erfc(-z * FRAC_1_SQRT_2) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Activation; 15] = [
        Activation::None,
        Activation::Relu,
        Activation::Relu6,
        Activation::LeakyRelu(0.1),
        Activation::HardTanh(-2.0, 0.6),
        Activation::HardSigmoid,
        Activation::HardSwish,
        Activation::Elu(1.0),
        Activation::Elu(0.7),
        Activation::Sigmoid,
        Activation::Softplus,
        Activation::Tanh,
        Activation::Silu,
        Activation::Gelu,
        Activation::GeluTanh,
    ];

    #[test]
    fn slopes_are_those_of_the_activations() {
        for activation in ALL {
            for k in -60..60 {
                // Zero, where there are kinks, is none of these.
                let z = (f64::from(k) + 0.5) / 7.0;
                let h = 1e-5;
                let rise = activate(activation, z + h) - activate(activation, z - h);
                let got = slope(activation, z);
                assert!(
                    (rise / (2.0 * h) - got).abs() < 1e-8,
                    "{activation:?} at {z}"
                );
                assert!(got.abs() <= steepest(activation), "{activation:?} at {z}");
                let bend = (slope(activation, z + h) - slope(activation, z - h)) / (2.0 * h);
                // The difference itself is off by 1e-16/2h.
                assert!(
                    bend.abs() <= curvature(activation, z) + 1e-10,
                    "{activation:?} at {z}"
                );
                assert!(
                    curvature(activation, z) >= curvature(activation, 1.1 * z),
                    "{activation:?} at {z}"
                );
            }
        }
    }

    #[test]
    fn no_slope_nearby_is_steeper() {
        for activation in ALL {
            for k in -60..=60 {
                let z = f64::from(k) / 7.0;
                for reach in [0.0, 1e-6, 0.1, 1.0, 5.0] {
                    let steepest = steepest_near(activation, z, reach);
                    for n in -20..=20 {
                        let there = slope(activation, z + reach * f64::from(n) / 20.0);
                        assert!(
                            there.abs() <= steepest + 1e-15,
                            "{activation:?} at {z}, {reach}"
                        );
                    }
                }
            }
        }
        assert_eq!(steepest_near(Activation::Relu, -1.0, 0.5), 0.0);
        assert!(steepest_near(Activation::Tanh, 10.0, 0.5) < 1e-6);
    }

    #[test]
    fn known_values() {
        let near = |got: f64, expected: f64| assert!((got - expected).abs() < 1e-12, "{got}");
        near(activate(Activation::Relu, -2.0), 0.0);
        near(activate(Activation::LeakyRelu(0.25), -2.0), -0.5);
        near(activate(Activation::Sigmoid, 1.0), 0.731_058_578_630_004_9);
        near(activate(Activation::Tanh, 1.0), 0.761_594_155_955_764_9);
        near(activate(Activation::Silu, 1.0), 0.731_058_578_630_004_9);
        near(activate(Activation::Gelu, 1.0), 0.841_344_746_068_542_9);
        near(activate(Activation::HardSwish, -1.0), -1.0 / 3.0);
        near(activate(Activation::HardSigmoid, 1.0), 2.0 / 3.0);
        near(activate(Activation::Elu(2.0), -1.0), -1.264_241_117_657_115);
        near(activate(Activation::Softplus, 1.0), 1.313_261_687_518_222_8);
        near(activate(Activation::GeluTanh, 1.0), 0.841_191_990_608_302_3);
        near(activate(Activation::GeluTanh, -1e20), 0.0);
        near(slope(Activation::GeluTanh, 1e20), 1.0);
        // The report's values, and each end.
        for (z, y, dy) in [(-1.0, 0.0, 0.0), (3.0, 3.0, 1.0), (9.0, 6.0, 0.0)] {
            near(activate(Activation::Relu6, z), y);
            near(slope(Activation::Relu6, z), dy);
        }
        for (activation, z, expected) in [
            (Activation::Relu6, 0.0, 0.0),
            (Activation::Relu6, 6.0, 0.0),
            (Activation::HardTanh(-2.0, 0.5), -2.0, 0.0),
            (Activation::HardTanh(-2.0, 0.5), 0.5, 0.0),
            (Activation::HardSigmoid, -3.0, 0.0),
            (Activation::HardSigmoid, 3.0, 0.0),
            (Activation::HardSwish, -3.0, 0.0),
            (Activation::HardSwish, 3.0, 1.0),
            (Activation::Elu(0.7), 0.0, f64::from(0.7f32)),
        ] {
            near(slope(activation, z), expected);
        }
        near(slope(Activation::Relu, 0.0), 0.0);
        near(slope(Activation::LeakyRelu(0.25), 0.0), 0.25);
        for activation in ALL {
            assert!(activate(activation, f64::NAN).is_nan(), "{activation:?}");
            assert!(slope(activation, f64::NAN).is_nan(), "{activation:?}");
        }
    }
}
