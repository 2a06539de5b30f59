//! One trial: every operation on it, each judged.

use wgpu_batchnorm::check::Report;
use wgpu_batchnorm::{Gpu, LayerState, Mode, Pattern, RunningStatistics, View};

use super::audit::{digests, saved_results};
use super::trials::{Data, Trial};
use super::{gpu, image};
use crate::args;
use crate::engine::{Engine, ForwardResult, Job};
use crate::failure::Failure;
use crate::forward;
use crate::stored::Stored;
use testkit::data::{Kind, Random};
use testkit::layout::running_rows;
use testkit::texels;

/// An operation, the way its kernels went, and what came of it.
pub struct Outcome {
    pub operation: &'static str,
    pub variant: String,
    pub report: Report,
    /// A hash of every output tensor's bits.
    pub digests: Vec<(&'static str, u64)>,
}

/// What a trial is tried on.
pub struct Values {
    pub view: View,
    pub x: Vec<f32>,
    pub dy: Vec<f32>,
    pub residual: Vec<f32>,
    pub state: LayerState,
}

impl Values {
    fn of(trial: &Trial) -> Result<Self, Failure> {
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
        let running = config.running.map(|_| RunningStatistics {
            mean: (0..c)
                .map(|c| match exact {
                    // Near the batch, so that inference gives ordinary numbers.
                    false => x[c * view.inner()],
                    true => (c % 7) as f32 - 3.0,
                })
                .collect(),
            variance: (0..c)
                .map(|c| match exact {
                    false => (0.5 + random.uniform()) as f32,
                    true => [1.0, 4.0, 16.0][c % 3] - config.eps,
                })
                .collect(),
            // The next batch is the first, second, fourth or eighth.
            batches: (0..c).map(|c| (1 << (c % 4)) - 1).collect(),
        });
        Ok(Self {
            view,
            x,
            dy,
            residual,
            state: LayerState {
                weight: config.affine.has_weight().then_some(weight),
                bias: config.affine.has_bias().then_some(bias),
                num_batches_tracked: running.as_ref().map_or(0, |_| 3),
                running,
            },
        })
    }
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

/// Every operation of `trial`.
pub fn run(engine: &Engine, gpus: &[Gpu], trial: &Trial) -> Result<Vec<Outcome>, Failure> {
    let values = Values::of(trial)?;
    let mut outcomes = match engine {
        Engine::Cpu { .. } => on_cpu(engine, trial, &values)?,
        Engine::Gpu(_) => match trial.data {
            Data::Image {
                format, keep_alpha, ..
            } => {
                let x = texels::bytes(format, &values.x);
                let image = image::Image {
                    gpu: &gpus[trial.sizes],
                    config: trial.config(),
                    size: [trial.shape[1] as u32, trial.shape[0] as u32],
                    format,
                    keep_alpha,
                    state: &values.state,
                };
                image.sweep(&x)?
            }
            _ => gpu::sweep(gpus, trial, &values)?,
        },
    };
    if trial.data == Data::Exact {
        let findings = outcomes.iter_mut().flat_map(|o| &mut o.report.findings);
        findings.for_each(|finding| finding.bound = 0.0);
    }
    Ok(outcomes)
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

fn on_cpu(engine: &Engine, trial: &Trial, values: &Values) -> Result<Vec<Outcome>, Failure> {
    let mut outcomes = Vec::new();
    let mut add = |operation, report, results: &[(&'static str, Vec<f32>)]| {
        outcomes.push(Outcome {
            operation,
            variant: pattern(&values.view).to_owned(),
            report,
            digests: digests(results),
        });
    };
    let job = Job {
        config: trial.config(),
        shape: trial.shape,
        view: values.view,
        state: &values.state,
        x: Stored::f32(&values.x),
        check: true,
    };
    for (at, names) in [
        (args::Mode::Train, ["train forward", "backward"]),
        (args::Mode::Eval, ["inference", "backward, frozen"]),
    ] {
        let mode = forward::mode(at);
        if mode == Mode::Eval && job.config.running.is_none() {
            continue;
        }
        let mut result = engine.forward(&job, mode)?;
        let report = result.report.take().unwrap_or_default();
        add(names[0], report, &forward_results(result));
        let backward = engine.backward(&job, Stored::f32(&values.dy), mode)?;
        let (gradients, report) = (backward.gradients, backward.report.unwrap_or_default());
        let results = [
            ("dx", gradients.dx),
            ("dweight", gradients.dweight),
            ("dbias", gradients.dbias),
        ];
        add(names[1], report, &results);
    }
    for (operation, axes) in moment_axes(trial) {
        let result = engine.moments((trial.shape, job.x), &axes, false, true)?;
        let results = [("mean", result.mean), ("variance", result.variance)];
        add(operation, result.report.unwrap_or_default(), &results);
    }
    Ok(outcomes)
}

fn forward_results(result: ForwardResult) -> Vec<(&'static str, Vec<f32>)> {
    let mut results = vec![("y", result.y)];
    if let Some(saved) = result.saved {
        results.extend(saved_results(saved));
    }
    results.extend(result.running.map(|r| ("running", running_rows(&r))));
    results
}

pub fn pattern(view: &View) -> &'static str {
    match view.pattern() {
        Pattern::Planar => "planar",
        Pattern::Interleaved => "interleaved",
    }
}
