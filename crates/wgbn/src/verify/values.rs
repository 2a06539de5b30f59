//! The data of a trial, and what depends on its shape alone.

use wgpu_batchnorm::{Activation, LayerState, Outside, Pattern, RunningStatistics, View};

use super::trials::{Data, Trial, Weighing};
use crate::failure::Failure;
use testkit::data::{Kind, Random};
use testkit::weights::HostWeights;

/// What a trial is tried on.
pub struct Values {
    pub view: View,
    pub x: Vec<f32>,
    pub dy: Vec<f32>,
    pub residual: Vec<f32>,
    pub weights: Option<HostWeights>,
    pub state: LayerState,
}

impl Values {
    pub fn of(trial: &Trial) -> Result<Self, Failure> {
        let view = View::new(trial.shape, trial.axis)?;
        let mut random = Random::new(trial.seed());
        let exact = trial.data == Data::Exact;
        let x = match trial.data {
            Data::Kind(kind) => kind.tensor(&mut random, &view),
            Data::NotFinite(value, _) => {
                let mut x = Kind::ALL[0].tensor(&mut random, &view);
                x[view.len() / 2] = value;
                x
            }
            Data::Exact => two_values(&view),
            Data::Image { far, .. } => photograph(&mut random, view.len(), far),
        };
        let normals = |random: &mut Random, len, mean, std, reach: u64| match exact {
            false => random.normals(len, mean, std),
            true => (0..len).map(|_| integer(random, reach)).collect(),
        };
        let dy = normals(&mut random, x.len(), 0.1, 1.0, 4);
        let residual = normals(&mut random, x.len(), -0.2, 0.7, 2);
        let c = view.channels();
        let weight = match exact {
            false => random.normals(c, 1.0, 0.5),
            true => (0..c).map(|c| [0.5, -1.0, 2.0, -4.0, 1.0][c % 5]).collect(),
        };
        let bias = normals(&mut random, c, 0.0, 1.0, 3);
        let config = trial.config();
        let running = config.running.map(|_| {
            let mean = (0..c).map(|c| match exact {
                // Near the batch, so that inference gives ordinary numbers.
                false => x[c * view.inner()],
                true => (c % 7) as f32 - 3.0,
            });
            let variance = (0..c).map(|c| match exact {
                false => (0.5 + random.uniform()) as f32,
                true => [1.0, 4.0, 16.0][c % 3] - config.eps,
            });
            // The next batch is the first, second, fourth or eighth.
            let batches = (0..c).map(|c| (1 << (c % 4)) - 1);
            RunningStatistics::from_parts(mean.collect(), variance.collect(), batches.collect())
        });
        let running = running.transpose()?;
        let weights = weights(trial, &mut random);
        Ok(Self {
            weights,
            view,
            x,
            dy,
            residual,
            state: LayerState::default()
                .with_weight(config.affine.has_weight().then_some(weight))
                .with_bias(config.affine.has_bias().then_some(bias))
                .with_num_batches_tracked(running.as_ref().map_or(0, |_| 3))
                .with_running(running),
        })
    }
}

impl Values {
    /// Whether backward through frozen statistics takes all that there is.
    pub fn has_frozen_backward(&self, trial: &Trial) -> bool {
        let pads = |weights: &HostWeights| weights.outside == Outside::Zero;
        let through = trial.residual && trial.activation != Activation::None;
        !(through && self.weights.as_ref().is_some_and(pads))
    }

    /// The weights beside the moments of this operation: those along the axes that it reduces.
    pub fn weights_of(&self, operation: &str) -> Option<&HostWeights> {
        self.weights.as_ref().filter(|_| operation == "moments")
    }
}

/// Weights of a trial: a third of them is 0.
fn weights(trial: &Trial, random: &mut Random) -> Option<HostWeights> {
    let (samples, outside) = match trial.weighing {
        Weighing::None => return None,
        Weighing::Values(outside) => (false, outside),
        Weighing::Samples(outside) => (true, outside),
    };
    let channel = trial.axis.rem_euclid(trial.shape.len() as isize) as usize;
    let varies = |axis: usize| axis != channel && (axis == 0 || !samples);
    let lengths = trial.shape.iter().enumerate();
    let shape: Vec<_> = lengths
        .map(|(axis, &len)| if varies(axis) { len } else { 1 })
        .collect();
    let values = (0..shape.iter().product()).map(|k| {
        let weight = 0.1 + 2.0 * random.uniform();
        if k % 3 == 0 { 0.0 } else { weight as f32 }
    });
    Some(HostWeights {
        values: values.collect(),
        shape,
        outside,
    })
}

/// An integer from -`reach` to `reach`.
fn integer(random: &mut Random, reach: u64) -> f32 {
    ((random.bits() >> 32) % (2 * reach + 1)) as f32 - reach as f32
}

/// μ ± d in turn, where d² and an eps of 0.9375 make 4 or 1.
fn two_values(view: &View) -> Vec<f32> {
    let mut x = vec![0.0; view.len()];
    for c in 0..view.channels() {
        let mean = [0.0, -3.0, 10_000.0, 17.0][c % 4];
        let d = [1.75, 0.25][c % 2];
        for (position, i) in view.runs(c).flatten().enumerate() {
            x[i] = mean + [d, -d][position % 2];
        }
    }
    x
}

/// Four channels of different brightness and contrast, from 0 to 1. Contrast is high: bytes are k/255,
/// and hardware may be a unit in the last place off that, which must stay small beside the spread. Or
/// `far` from zero, where texels can be.
fn photograph(random: &mut Random, len: usize, far: bool) -> Vec<f32> {
    let channels = [(0.55, 0.2), (0.3, 0.15), (0.8, 0.25), (0.5, 0.3)];
    let values = channels.iter().cycle().take(len);
    let values = values.map(|(mean, deviation)| mean + deviation * random.normal());
    let place = |v: f64| if far { 1000.0 + 4.0 * v } else { v };
    values.map(|v| place(v.clamp(0.0, 1.0)) as f32).collect()
}

/// All axes but the channel's; every second axis, over which exact data need have no exact mean.
pub fn moment_axes(trial: &Trial) -> Vec<(&'static str, Vec<isize>)> {
    let rank = trial.shape.len() as isize;
    let channel = trial.axis.rem_euclid(rank);
    let others = (0..rank).filter(|&k| k != channel).collect();
    let mut all = vec![("moments", others)];
    if trial.data != Data::Exact {
        all.push(("moments, other axes", (0..rank).step_by(2).collect()));
    }
    all
}

pub fn pattern(view: &View) -> &'static str {
    match view.pattern() {
        Pattern::Planar => "planar",
        Pattern::Interleaved => "interleaved",
    }
}
