//! What comes after the normalization, and back through it: a pass of its own over what was normalized.
//!
//! Formulas are those of the shaders and of the reference, written once more, since the reference judges what these give.

use std::borrow::Cow;
use std::f64::consts::{FRAC_1_SQRT_2, PI};

use rayon::prelude::*;

use super::arguments::{Input, Saved, Statistics};
use super::operations::{Inference, Normalized, Operation};
use super::run;
use crate::config::Activation;
use crate::error::ShapeError;
use crate::stats::filled;

/// Elements of a task.
const TASK: usize = 8192;

/// `z` becomes g(z + residual).
pub(super) fn activate(input: &Input<'_>, z: &mut [f32]) {
    if input.activation == Activation::None && input.residual.is_none() {
        return;
    }
    let tasks = z.par_chunks_mut(TASK).enumerate();
    tasks.for_each(|(k, z)| {
        add_residual(input, k * TASK, z);
        z.iter_mut()
            .for_each(|z| *z = value(input.activation, f64::from(*z)) as f32);
    });
}

/// dy·g'(z + residual), where z is normalized by what a batch saved.
pub(super) fn upstream<'a>(
    input: &Input<'_>,
    dy: &'a [f32],
    saved: Saved<'_>,
) -> Result<Cow<'a, [f32]>, ShapeError> {
    let parameters = input.parameters;
    through(input, dy, &Normalized { saved, parameters })
}

/// The same by given statistics.
pub(super) fn upstream_frozen<'a>(
    input: &Input<'_>,
    dy: &'a [f32],
    statistics: Statistics<'_>,
) -> Result<Cow<'a, [f32]>, ShapeError> {
    let op = Inference {
        statistics,
        parameters: input.parameters,
        eps: input.eps,
    };
    through(input, dy, &op)
}

fn through<'a>(
    input: &Input<'_>,
    dy: &'a [f32],
    normalize: &impl Operation,
) -> Result<Cow<'a, [f32]>, ShapeError> {
    if input.activation == Activation::None {
        return Ok(Cow::Borrowed(dy));
    }
    let mut dz = filled(dy.len(), 0.0)?;
    run(&input.view, input.x, None, Some(&mut dz), normalize);
    let tasks = dz.par_chunks_mut(TASK).zip(dy.par_chunks(TASK)).enumerate();
    tasks.for_each(|(k, (z, dy))| {
        add_residual(input, k * TASK, z);
        for (z, dy) in z.iter_mut().zip(dy) {
            let slope = slope(input.activation, f64::from(*z));
            let closed = slope == 0.0 && closes(input.activation);
            // Where it is closed nothing comes through, infinity neither.
            *z = if closed {
                0.0
            } else {
                (f64::from(*dy) * slope) as f32
            };
        }
    });
    Ok(Cow::Owned(dz))
}

fn add_residual(input: &Input<'_>, start: usize, z: &mut [f32]) {
    if let Some(residual) = input.residual {
        let there = residual[start..start + z.len()].iter();
        z.iter_mut().zip(there).for_each(|(z, r)| *z += r);
    }
}

fn closes(activation: Activation) -> bool {
    use Activation::{HardSigmoid, HardSwish, HardTanh, Relu, Relu6};
    matches!(
        activation,
        Relu | Relu6 | HardTanh(..) | HardSigmoid | HardSwish
    )
}

fn value(activation: Activation, z: f64) -> f64 {
    let clamped = |low: f64, high: f64| {
        if z > high {
            high
        } else if z < low {
            low
        } else {
            z
        }
    };
    match activation {
        Activation::None => z,
        Activation::Relu => clamped(0.0, f64::INFINITY),
        Activation::Relu6 => clamped(0.0, 6.0),
        Activation::HardTanh(low, high) => clamped(low.into(), high.into()),
        Activation::LeakyRelu(number) if z < 0.0 => f64::from(number) * z,
        Activation::Elu(number) if z < 0.0 => f64::from(number) * z.exp_m1(),
        Activation::LeakyRelu(_) | Activation::Elu(_) => z,
        Activation::HardSigmoid => (clamped(-3.0, 3.0) + 3.0) / 6.0,
        Activation::HardSwish => z * ((clamped(-3.0, 3.0) + 3.0) / 6.0),
        Activation::Sigmoid => sigmoid(z),
        Activation::Softplus => clamped(0.0, f64::INFINITY) + (-z.abs()).exp().ln_1p(),
        Activation::Tanh => z.tanh(),
        Activation::Silu => z * sigmoid(z),
        Activation::Gelu => z * libm::erfc(-z * FRAC_1_SQRT_2) / 2.0,
        Activation::GeluTanh => z * sigmoid(gelu_inner(z)),
    }
}

/// At kinks as PyTorch has it; NaN where z is.
fn slope(activation: Activation, z: f64) -> f64 {
    let inside = |low: f64, high: f64, slope: f64| match low < z && z < high {
        true => slope,
        false => 0.0,
    };
    match activation {
        _ if z.is_nan() => z,
        Activation::None => 1.0,
        Activation::Relu if z > 0.0 => 1.0,
        Activation::Relu => 0.0,
        Activation::Relu6 => inside(0.0, 6.0, 1.0),
        Activation::HardTanh(low, high) => inside(low.into(), high.into(), 1.0),
        Activation::HardSigmoid => inside(-3.0, 3.0, 1.0 / 6.0),
        Activation::HardSwish if z >= 3.0 => 1.0,
        Activation::HardSwish => inside(-3.0, 3.0, z / 3.0 + 0.5),
        Activation::LeakyRelu(number) if z <= 0.0 => number.into(),
        Activation::Elu(number) if z <= 0.0 => f64::from(number) * z.exp(),
        Activation::LeakyRelu(_) | Activation::Elu(_) => 1.0,
        Activation::Sigmoid => sigmoid(z) * sigmoid(-z),
        Activation::Softplus => sigmoid(z),
        Activation::Tanh => {
            let e = (-2.0 * z.abs()).exp();
            4.0 * e / ((1.0 + e) * (1.0 + e))
        }
        Activation::Silu => sigmoid(z) * (1.0 + z * sigmoid(-z)),
        Activation::Gelu => {
            let density = (-z * z / 2.0).exp() / (2.0 * PI).sqrt();
            libm::erfc(-z * FRAC_1_SQRT_2) / 2.0 + z * density
        }
        Activation::GeluTanh => {
            // Beyond 40 its bend is 0, and no square overflows.
            let near = z.clamp(-40.0, 40.0);
            let (s, rise) = (sigmoid(gelu_inner(near)), 1.0 + 3.0 * CUBE * near * near);
            s + near * s * sigmoid(-gelu_inner(near)) * ROOT * rise
        }
    }
}

fn sigmoid(z: f64) -> f64 {
    1.0 / (1.0 + (-z).exp())
}

/// 2·√(2/π), and what z³ is multiplied by, of gelu by tanh: (1 + tanh u)/2 is the sigmoid of 2u.
const ROOT: f64 = 1.595_769_121_605_730_8;
const CUBE: f64 = 0.044_715;

fn gelu_inner(z: f64) -> f64 {
    ROOT * (z + CUBE * z * z * z)
}
