//! What comes after the normalization, in f64: activations, their slopes, and how much they magnify
//! an error.

use std::f64::consts::{FRAC_1_SQRT_2, PI};

use crate::config::Activation;

/// g(z).
pub fn activate(activation: Activation, z: f64) -> f64 {
    match activation {
        Activation::None => z,
        // `f64::max` would lose a NaN.
        Activation::Relu if z < 0.0 => 0.0,
        Activation::Relu => z,
        Activation::LeakyRelu(slope) if z < 0.0 => z * f64::from(slope),
        Activation::LeakyRelu(_) => z,
        Activation::Sigmoid => sigmoid(z),
        Activation::Tanh => z.tanh(),
        Activation::Silu => z * sigmoid(z),
        Activation::Gelu => z * normal(z),
    }
}

/// dg/dz; at the kink of relu 0, at leaky relu's its slope.
pub fn slope(activation: Activation, z: f64) -> f64 {
    match activation {
        _ if z.is_nan() => z,
        Activation::None => 1.0,
        Activation::Relu => f64::from(u8::from(z > 0.0)),
        Activation::LeakyRelu(slope) if z <= 0.0 => f64::from(slope),
        Activation::LeakyRelu(_) => 1.0,
        Activation::Sigmoid => sigmoid(z) * sigmoid(-z),
        Activation::Tanh => z.cosh().powi(-2),
        Activation::Silu => sigmoid(z) + z * sigmoid(z) * sigmoid(-z),
        Activation::Gelu => normal(z) + z * (-z * z / 2.0).exp() / (2.0 * PI).sqrt(),
    }
}

/// The largest |dg/dz|, rounded up.
pub fn steepest(activation: Activation) -> f64 {
    match activation {
        Activation::None | Activation::Relu | Activation::Tanh => 1.0,
        Activation::LeakyRelu(slope) => f64::from(slope).abs().max(1.0),
        Activation::Sigmoid => 0.25,
        Activation::Silu => 1.1,
        Activation::Gelu => 1.13,
    }
}

/// The largest |d²g/dz²| at `z` and further from zero, away from kinks, rounded up.
pub fn curvature(activation: Activation, z: f64) -> f64 {
    let z = z.abs();
    // What is largest near zero, and what decays beyond.
    let (largest, decaying) = match activation {
        Activation::None | Activation::Relu | Activation::LeakyRelu(_) => (0.0, 0.0),
        Activation::Sigmoid => (0.097, (-z).exp()),
        Activation::Tanh => (0.77, 8.0 * (-2.0 * z).exp()),
        Activation::Silu => (0.5, (2.0 + z) * (-z).exp()),
        Activation::Gelu => (
            0.8,
            (2.0 + z * z) * (-z * z / 2.0).exp() / (2.0 * PI).sqrt(),
        ),
    };
    if z.is_infinite() {
        return 0.0;
    }
    decaying.min(largest)
}

/// The largest |dg/dz| no further than `reach` from `z`, rounded up.
pub fn steepest_near(activation: Activation, z: f64, reach: f64) -> f64 {
    let steepest = steepest(activation);
    if kink(activation) > 0.0 && z.abs() <= reach {
        return steepest;
    }
    let nearest = (z.abs() - reach).max(0.0);
    let slope = slope(activation, z).abs() + curvature(activation, nearest) * reach;
    slope.min(steepest)
}

/// How far the slope jumps at zero.
pub fn kink(activation: Activation) -> f64 {
    match activation {
        Activation::Relu => 1.0,
        Activation::LeakyRelu(slope) => (1.0 - f64::from(slope)).abs(),
        _ => 0.0,
    }
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

    const ALL: [Activation; 7] = [
        Activation::None,
        Activation::Relu,
        Activation::LeakyRelu(0.1),
        Activation::Sigmoid,
        Activation::Tanh,
        Activation::Silu,
        Activation::Gelu,
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
        near(slope(Activation::Relu, 0.0), 0.0);
        near(slope(Activation::LeakyRelu(0.25), 0.0), 0.25);
        for activation in ALL {
            assert!(activate(activation, f64::NAN).is_nan(), "{activation:?}");
            assert!(slope(activation, f64::NAN).is_nan(), "{activation:?}");
        }
    }
}
