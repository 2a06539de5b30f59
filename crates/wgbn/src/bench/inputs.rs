//! The numbers that go in: normals with an offset and a width for each channel, never zeros.

use wgpu_batchnorm::{Config, Element, Parameters, RunningStatistics, View};

use super::suite::Case;
use crate::failure::Failure;
use testkit::data::{self, Random};

/// Everything an operation reads, on the host.
pub struct Inputs {
    pub case: Case,
    pub view: View,
    pub config: Config,
    pub x: Vec<f32>,
    pub dy: Vec<f32>,
    pub weight: Vec<f32>,
    pub bias: Vec<f32>,
    /// Before training, and what inference uses.
    pub running: RunningStatistics,
}

/// Normals are drawn once and repeated: a prime, so that no shape repeats with them.
const NORMALS: usize = 65_521;

impl Inputs {
    pub fn new(case: &Case) -> Result<Self, Failure> {
        let view = case.view()?;
        let c = view.channels();
        let mut random = Random::new(view.len() as u64);
        let normals = random.normals(NORMALS, 0.0, 1.0);
        let mean = random.normals(c, 0.0, 3.0);
        let width: Vec<f32> = (0..c).map(|_| (0.5 + random.uniform()) as f32).collect();
        let mut x = Vec::with_capacity(view.len());
        let mut dy = Vec::with_capacity(view.len());
        for run in 0..view.outer() * view.channels() {
            let c = run % view.channels();
            let start = run * view.inner();
            let normal = |i: usize| normals[i % NORMALS];
            let run = start..start + view.inner();
            x.extend(run.clone().map(|i| mean[c] + width[c] * normal(i)));
            dy.extend(run.map(|i| 0.1 + normal(i * 3 + 7)));
        }
        let variance = width.iter().map(|w| w * w * 1.1).collect();
        Ok(Self {
            case: case.clone(),
            view,
            config: case.config(),
            x: stored(case.element, x),
            dy: stored(case.element, dy),
            weight: random.normals(c, 1.0, 0.25),
            bias: random.normals(c, 0.0, 1.0),
            running: RunningStatistics::from_parts(
                mean.iter().map(|m| m + 0.1).collect(),
                variance,
                vec![3; c],
            )?,
        })
    }

    pub fn parameters(&self) -> Parameters<'_> {
        Parameters::default()
            .with_weight(&self.weight[..])
            .with_bias(&self.bias[..])
    }

    /// The axes that a mean per channel reduces.
    pub fn reduced_axes(&self) -> Vec<isize> {
        let rank = self.case.shape.len() as isize;
        let channels = self.config.axis.rem_euclid(rank);
        (0..rank).filter(|&axis| axis != channels).collect()
    }

    /// How many sets of tensors to go round in, so that together they exceed the caches.
    pub fn sets(&self, rotation_bytes: u64) -> usize {
        let touched = 2 * self.case.bytes();
        let sets = rotation_bytes.div_ceil(touched);
        usize::try_from(sets)
            .unwrap_or(MOST_SETS)
            .clamp(1, MOST_SETS)
    }
}

/// What storage keeps of values.
fn stored(element: Element, values: Vec<f32>) -> Vec<f32> {
    match element {
        Element::F32 => values,
        element => data::stored(element, &values),
    }
}

/// Small tensors would need more sets than there can be buffers.
const MOST_SETS: usize = 256;
