//! What comes back through the activation, and how far it may be off.
//!
//! dz = dy·g'(z), and z may be off by what [`rounding`](super::rounding) says of each element. Away from a
//! kink that moves g' by the largest |g"| there times so much, which joins |g'| in scales. Where z is no
//! further from a kink than that, either slope will do. Where dy is infinite and the slope no more than
//! its error, f32 may have ∞·0 or the other sign's ∞: neither that element nor what sums it up is judged.

use super::judge::finite_or_zero;
use super::rounding::Rounding;
use super::{BACKWARD_BOUND, Epilogue, Input, SCALE_FLOOR};
use crate::config::Activation;
use crate::error::ShapeError;
use crate::reference::epilogue::{closes, curvature, kink_near, slope};
use crate::reference::{self, Moments};

/// What comes back through the activation.
pub(super) struct Upstream {
    /// dy·g'(z).
    pub dz: Vec<f64>,
    /// What stands for |dy| in scales; 0 where that is not finite, and compared as it is.
    pub size: Vec<f64>,
    /// How far dz may be off because z is at a kink; infinite where nothing is certain.
    pub slack: Vec<f64>,
    /// How far dz·x̂ may be off because x̂ is small.
    pub lost: Vec<f64>,
}

impl Upstream {
    pub(super) fn of(
        input: &Input<'_>,
        dy: &[f32],
        statistics: &Moments,
        through_batch: bool,
    ) -> Result<Self, ShapeError> {
        let Epilogue {
            activation,
            residual,
            ..
        } = input.epilogue;
        let shares = input.shares();
        // What padding holds is not looked at, and nothing comes back to it.
        let padding = |i: usize| shares.is_padding(i);
        let widened = || {
            let dy = dy.iter().enumerate();
            dy.map(|(i, &dy)| if padding(i) { 0.0 } else { f64::from(dy) })
        };
        if activation == Activation::None {
            return Ok(Self {
                dz: widened().collect(),
                size: widened().map(|dy| finite_or_zero(dy.abs())).collect(),
                slack: vec![0.0; dy.len()],
                lost: vec![0.0; dy.len()],
            });
        }
        let view = input.view;
        let rounding = Rounding::of(input, statistics, through_batch);
        // Where the statistics are not finite, z is not known, nor which side of a kink it is on.
        let normalize = match through_batch {
            true => reference::train_forward_by,
            false => reference::normalize_by,
        };
        let Input {
            parameters, eps, ..
        } = *input;
        let z = normalize(&view, input.x, &shares, statistics, parameters, eps)?;
        let mut upstream = Self {
            dz: Vec::with_capacity(dy.len()),
            size: Vec::with_capacity(dy.len()),
            slack: Vec::with_capacity(dy.len()),
            lost: Vec::with_capacity(dy.len()),
        };
        for (i, dy) in widened().enumerate() {
            if padding(i) {
                upstream.dz.push(0.0);
                upstream.size.push(0.0);
                upstream.slack.push(0.0);
                upstream.lost.push(0.0);
                continue;
            }
            let (c, x) = (view.channel_of(i), f64::from(input.x[i]));
            let residual = residual.map_or(0.0, |r| f64::from(r[i]));
            let z = z[i] + residual;
            let off = rounding.z(c, x, residual);
            let slope = slope(activation, z);
            let bend = slope_error(activation, z, off);
            if closes(activation) && slope == 0.0 {
                // Nothing comes through, of infinity neither.
                upstream.dz.push(0.0);
                upstream.size.push(0.0);
            } else {
                upstream.dz.push(dy * slope);
                // dz may be taken for zero where it is subnormal.
                let vanished = if bend > 0.0 { SCALE_FLOOR } else { 0.0 };
                let size = dy.abs() * (slope.abs() + bend / BACKWARD_BOUND);
                let size = size + vanished / BACKWARD_BOUND;
                upstream.size.push(finite_or_zero(size));
            }
            upstream
                .slack
                .push(if let Some(jump) = kink_near(activation, z, off) {
                    dy.abs() * jump
                } else if dy.is_infinite()
                    && slope != 0.0
                    && slope.abs() <= bend + f64::from(f32::EPSILON)
                {
                    f64::INFINITY
                } else {
                    0.0
                });
            let lost = upstream.size[i] * rounding.xhat(c, x);
            upstream.lost.push(finite_or_zero(lost));
        }
        Ok(upstream)
    }
}

/// How far the slope is off, away from kinks, where z may be `off` so far.
fn slope_error(activation: Activation, z: f64, off: f64) -> f64 {
    if curvature(activation, 0.0) == 0.0 {
        return 0.0;
    }
    let nearest = (z.abs() - off).max(0.0);
    curvature(activation, nearest) * off + vanished(z)
}

/// What smooth activations and their slopes lose at z where an adapter takes subnormal numbers for zero, as WGSL
/// allows: tanh's slope has four times an exponential, silu and gelu have z times one.
pub(super) fn vanished(z: f64) -> f64 {
    SCALE_FLOOR * (4.0 + z.abs())
}
