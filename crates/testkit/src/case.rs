//! The seed table: one case is one shape, options and data.

use wgpu_batchnorm::{
    Activation, Affine, Config, Momentum, NonFinite, Outside, Parameters, RunningStatistics,
    RunningVariance, View, Weights, check,
};

pub use crate::data::stored;
use crate::data::{Kind, Random};
use crate::weights::HostWeights;

#[derive(Clone, Debug)]
pub struct Case {
    pub name: String,
    pub shape: Vec<usize>,
    pub view: View,
    pub config: Config,
    pub x: Vec<f32>,
    pub dy: Vec<f32>,
    pub weight: Option<Vec<f32>>,
    pub bias: Option<Vec<f32>>,
    pub residual: Option<Vec<f32>>,
    pub weights: Option<HostWeights>,
    /// Before the step, and what inference uses.
    pub running: Option<RunningStatistics>,
}

impl Case {
    pub fn new(shape: &[usize], config: Config, kind: Kind, seed: u64) -> Self {
        let view = config.view(shape).unwrap();
        let mut random = Random::new(seed);
        let x = stored(config.element, &kind.tensor(&mut random, &view));
        let dy = stored(config.element, &random.normals(view.len(), 0.1, 1.0));
        let c = view.channels();
        let weight = random.normals(c, 1.0, 0.5);
        let bias = random.normals(c, 0.0, 1.0);
        let running = config.running.map(|_| {
            // Near the batch, so that inference normalizes to ordinary numbers.
            let mean = (0..c).map(|c| x[view.runs(c).next().unwrap().start]);
            let variance = (0..c).map(|_| (0.5 + random.uniform()) as f32).collect();
            let batches = (0..c).map(|c| c as u32 % 5).collect();
            RunningStatistics::from_parts(mean.collect(), variance, batches).unwrap()
        });
        Self {
            name: format!("{shape:?} axis {} {kind:?} {config:?}", config.axis),
            shape: shape.to_vec(),
            view,
            config,
            x,
            dy,
            weight: config.affine.has_weight().then_some(weight),
            bias: config.affine.has_bias().then_some(bias),
            residual: None,
            weights: None,
            running,
        }
    }

    /// With something to add before the activation.
    pub fn with_residual(mut self, seed: u64) -> Self {
        let residual = Random::new(seed).normals(self.view.len(), -0.2, 0.7);
        self.residual = Some(stored(self.config.element, &residual));
        self
    }

    /// With weights of this shape.
    pub fn with_weights(mut self, shape: &[usize], values: Vec<f32>, outside: Outside) -> Self {
        self.weights = Some(HostWeights {
            values,
            shape: shape.to_vec(),
            outside,
        });
        self
    }

    /// The weights, as the host has them.
    pub fn weights(&self) -> Option<Weights<'_>> {
        let weights = self.weights.as_ref()?;
        Some(weights.of(&self.shape, self.config.axis).unwrap())
    }

    /// Whether backward through frozen statistics takes all that the case has.
    pub fn has_frozen_backward(&self) -> bool {
        let pads = |weights: &HostWeights| weights.outside == Outside::Zero;
        let activates = self.config.activation != Activation::None;
        !(self.residual.is_some() && activates && self.weights.as_ref().is_some_and(pads))
    }

    pub fn with_dy(mut self, dy: Vec<f32>) -> Self {
        self.dy = dy;
        self
    }

    pub fn parameters(&self) -> Parameters<'_> {
        Parameters::default()
            .with_weight(self.weight.as_deref())
            .with_bias(self.bias.as_deref())
    }

    pub fn input(&self) -> check::Input<'_> {
        check::Input::new(self.view, &self.x, self.parameters(), self.config.eps)
            .with_weights(self.weights())
            .with_epilogue(
                check::Epilogue::default()
                    .with_element(self.config.element)
                    .with_activation(self.config.activation)
                    .with_residual(self.residual.as_deref()),
            )
    }
}

/// Shapes that find the corners: every rank and axis, odd and tiny `inner`, one and many channels.
pub fn shapes() -> Vec<(Vec<usize>, isize)> {
    [
        (&[32, 10][..], 1),
        (&[2, 1], 1),
        (&[300, 1], -1),
        (&[1000, 3], 1),
        (&[7, 257], 1),
        (&[6, 5, 17], 1),
        (&[5, 7, 2], 1),
        (&[2, 1000, 3], 1),
        (&[4, 6, 7, 7], 1),
        (&[3, 5, 13, 17], 1),
        (&[4, 7, 7, 6], -1),
        (&[2, 9, 11, 3], 3),
        (&[2, 5, 5, 64], -1),
        (&[2, 3, 4, 5, 3], 1),
        (&[2, 3, 4, 5, 3], -2),
        (&[8, 40], 0),
        (&[1, 3, 100, 101], 1),
        (&[1, 1, 4096], 1),
        (&[70_000, 3], 1),
    ]
    .into_iter()
    .map(|(shape, axis)| (shape.to_vec(), axis))
    .collect()
}

/// Options, each used with some shape.
pub fn configs() -> Vec<Config> {
    let base = Config::pytorch();
    vec![
        base,
        Config::keras(),
        Config::onnx(),
        base.with_affine(Affine::Weight),
        base.with_affine(Affine::Bias),
        base.with_affine(Affine::None),
        base.with_momentum(Momentum::Cumulative),
        base.with_momentum(Momentum::new(1.0)),
        base.with_momentum(Momentum::new(0.0)),
        base.with_running_variance(RunningVariance::Biased),
        base.with_non_finite(NonFinite::Propagate),
        base.without_running(),
        base.without_running().with_affine(Affine::None),
    ]
}

/// The seed table: every shape with ordinary data, every kind of data in both patterns, every
/// option on a small shape.
pub fn table() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut add = |shape: &[usize], config, kind| {
        cases.push(Case::new(shape, config, kind, cases.len() as u64 + 1));
    };
    for (shape, axis) in shapes() {
        add(&shape, Config::pytorch().with_axis(axis), Kind::ALL[0]);
    }
    for kind in Kind::ALL {
        add(&[4, 9, 19, 23], Config::pytorch(), kind);
        add(&[4, 19, 23, 9], Config::pytorch().with_axis(-1), kind);
    }
    for config in configs() {
        add(&[6, 5, 9], config.with_axis(1), Kind::ALL[0]);
        add(&[6, 9, 5], config.with_axis(-1), Kind::ALL[0]);
    }
    cases
}
