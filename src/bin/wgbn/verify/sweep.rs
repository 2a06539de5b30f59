//! One trial: every operation on it, each judged.

use wgpu_batchnorm::check::{self, Report};
use wgpu_batchnorm::functional::{self, AffineStep, Statistics, blocking};
use wgpu_batchnorm::plan::Schedule;
use wgpu_batchnorm::shaders::Load;
use wgpu_batchnorm::{
    BackwardRequest, BatchNorm, Binding, Check, Context, ForwardRequest, Gpu, LayerState, Mode,
    Parameters, Pattern, RunningStatistics, Tensor, View,
};

use super::image;
use super::trials::{Data, Trial};
use crate::args;
use crate::backward::check_gradients;
use crate::data::{Kind, Random};
use crate::engine::{Engine, Job};
use crate::failure::Failure;
use crate::forward;
use crate::parts::{Batch, Merge, Split};
use crate::stored::Stored;
use crate::texels;

/// An operation, the way its kernels went, and what came of it.
pub struct Outcome {
    pub operation: &'static str,
    pub variant: String,
    pub report: Report,
}

/// What a trial is tried on.
struct Values {
    view: View,
    x: Vec<f32>,
    dy: Vec<f32>,
    residual: Vec<f32>,
    state: LayerState,
}

impl Values {
    fn of(trial: &Trial) -> Result<Self, Failure> {
        let view = View::new(trial.shape, trial.axis)?;
        let mut random = Random::new(trial.number as u64);
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
        let c = view.channels;
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
                    false => x[c * view.inner],
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
    for c in 0..view.channels {
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
            _ => on_gpu(gpus, trial, &values)?,
        },
    };
    if trial.data == Data::Exact {
        let findings = outcomes.iter_mut().flat_map(|o| &mut o.report.findings);
        findings.for_each(|finding| finding.bound = 0.0);
    }
    Ok(outcomes)
}

/// All axes but the channel's; every second axis, over which exact data need have no exact mean.
fn moment_axes(trial: &Trial) -> Vec<(&'static str, Vec<isize>)> {
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
    let mut add = |operation, report| {
        outcomes.push(Outcome {
            operation,
            variant: pattern(&values.view).to_owned(),
            report,
        });
    };
    let job = Job {
        config: trial.config(),
        shape: trial.shape,
        view: values.view,
        state: &values.state,
        x: Stored::f32(&values.x),
    };
    for (at, names) in [
        (args::Mode::Train, ["train forward", "backward"]),
        (args::Mode::Eval, ["inference", "backward, frozen"]),
    ] {
        let mode = forward::mode(at);
        if mode == Mode::Eval && job.config.running.is_none() {
            continue;
        }
        add(names[0], forward::check(&job, &engine.forward(&job, mode)?));
        let backward = engine.backward(&job, Stored::f32(&values.dy), mode)?;
        let gradients = &backward.gradients;
        add(names[1], check_gradients(&job, &values.dy, at, gradients));
    }
    for (operation, axes) in moment_axes(trial) {
        let (moments, ..) = engine.moments(trial.shape, job.x, &axes, false)?;
        let round = |v: Vec<f64>| -> Vec<f32> { v.into_iter().map(|v| v as f32).collect() };
        let (mean, variance) = (round(moments.mean()), round(moments.variance()));
        let (x, shape) = (&values.x, trial.shape);
        add(
            operation,
            functional::check_moments(x, shape, &axes, &mean, &variance)?,
        );
    }
    Ok(outcomes)
}

fn pattern(view: &View) -> &'static str {
    match view.pattern() {
        Pattern::Planar => "planar",
        Pattern::Interleaved => "interleaved",
    }
}

/// How the kernels of `operation` go over memory, and whether they take a channel in one dispatch.
fn variant(schedule: &Schedule, operation: &str) -> String {
    let wide = match schedule.load != Load::Scalar {
        true => ", fours",
        false => "",
    };
    let resident = if operation.starts_with("train") {
        schedule.resident_train.is_some()
    } else {
        operation == "backward" && schedule.resident_backward.is_some()
    };
    let resident = if resident { ", resident" } else { "" };
    format!("{}{wide}{resident}", pattern(&schedule.view))
}

fn on_gpu(gpus: &[Gpu], trial: &Trial, values: &Values) -> Result<Vec<Outcome>, Failure> {
    let gpu = &gpus[trial.sizes];
    let config = trial.config();
    let plan = gpu
        .context()
        .plan(&config.with_element(trial.element), trial.shape)?;
    let schedule = plan.schedule();
    let mut outcomes = Vec::new();
    let mut add = |operation, report: Option<Report>| {
        outcomes.push(Outcome {
            operation,
            variant: variant(schedule, operation),
            report: report.unwrap_or_default(),
        });
    };
    let upload = |values: &[f32]| Tensor::upload_as(gpu, trial.shape, trial.element, values);
    let (x, dy) = (upload(&values.x)?, upload(&values.dy)?);
    let residual = match trial.residual {
        true => Some(upload(&values.residual)?),
        false => None,
    };
    let again = || {
        let mut layer = BatchNorm::with_state(gpu, config, values.view.channels, &values.state)?;
        layer.set_check(Check::Report);
        Ok::<_, Failure>(layer)
    };
    let request = ForwardRequest {
        residual: residual.as_ref(),
        in_place: false,
    };
    let in_place = ForwardRequest {
        in_place: true,
        ..request
    };
    let wanted = BackwardRequest {
        dresidual: residual.is_some(),
        ..Default::default()
    };
    let names = [
        (
            Mode::Train,
            ["train forward", "backward", "train forward, y over x"],
        ),
        (
            Mode::Eval,
            ["inference", "backward, frozen", "inference, y over x"],
        ),
    ];
    for (mode, [forward, backward, over]) in names {
        if mode == Mode::Eval && config.running.is_none() {
            continue;
        }
        let mut layer = again()?;
        let result = layer.forward_with_blocking(&x, mode, request)?;
        add(forward, result.report);
        let gradients = layer.backward_with_blocking(&x, &dy, result.saved, wanted)?;
        add(backward, gradients.report);
        // The parameters' gradients alone, and on top of those.
        let constant = upload(&vec![1.0; values.x.len()])?;
        for (dy, dx, add_into) in [
            (&dy, false, None),
            (&constant, true, Some(&gradients.affine)),
        ] {
            let mut layer = again()?;
            let result = layer.forward_with_blocking(&x, mode, request)?;
            let wanted = BackwardRequest {
                dx,
                dresidual: dx && wanted.dresidual,
                add_into,
            };
            let gradients = layer.backward_with_blocking(&x, dy, result.saved, wanted)?;
            add(backward, gradients.report);
        }
        if trial.in_place() {
            let mut layer = again()?;
            let result = layer.forward_with_blocking(&upload(&values.x)?, mode, in_place)?;
            add(over, result.report);
        }
    }
    for (operation, report) in over_axes(gpu, trial, &x, schedule.pieces.len() == 1)? {
        add(operation, report);
    }
    let channel_axis = trial.axis.rem_euclid(trial.shape.len() as isize);
    if trial.shape[0] > 1 && channel_axis > 0 && values.x.len() < 100_000 {
        let (operation, report) = in_parts(gpus, trial, values)?;
        add(operation, Some(report));
    }
    Ok(outcomes)
}

/// Moments and normalization; over alternating axes only where one binding holds the tensor.
fn over_axes(
    gpu: &Gpu,
    trial: &Trial,
    x: &Tensor,
    whole: bool,
) -> Result<Vec<(&'static str, Option<Report>)>, Failure> {
    let config = trial.config();
    let mut reports = Vec::new();
    for (operation, axes) in moment_axes(trial) {
        if operation != "moments" && !whole {
            continue;
        }
        let keep_dims = trial.number.is_multiple_of(2);
        let moments = blocking::moments(x, &axes, keep_dims, Check::Report)?;
        reports.push((operation, moments.report.clone()));

        let host = moments.read_blocking()?;
        let len = host.mean().len();
        let upload = |shape: &[usize], values: Vec<f32>| Tensor::upload(gpu, shape, &values);
        let scale = (0..len).map(|k| [0.5, -1.0, 2.0, -4.0, 1.0][k % 5]);
        let offset = (0..len).map(|k| [3.0, 0.0, -1.0][k % 3]);
        let affine = |shape: &[usize]| -> Result<[Tensor; 2], Failure> {
            let [scale, offset] = [scale.clone().collect(), offset.clone().collect()];
            Ok([upload(shape, scale)?, upload(shape, offset)?])
        };
        let normalized = |statistics: Statistics<'_>, [scale, offset]: &[Tensor; 2]| {
            let step = AffineStep {
                scale: config.affine.has_weight().then_some(scale),
                offset: config.affine.has_bias().then_some(offset),
            };
            let (_, report) = blocking::normalize(x, statistics, step, config.eps, Check::Report)?;
            Ok::<_, Failure>(report)
        };
        let report = normalized((&moments).into(), &affine(&moments.shape())?)?;
        reports.push(("normalize", report));
        let mut kept = trial.shape.to_vec();
        axes.iter().for_each(|&k| kept[k as usize] = 1);
        let round = |v: Vec<f64>| v.into_iter().map(|v| v as f32).collect();
        let mean = upload(&kept, round(host.mean()))?;
        let variance = upload(&kept, round(host.variance()))?;
        let report = normalized((&mean, &variance).into(), &affine(&kept)?)?;
        reports.push(("normalize, plain statistics", report));
    }
    Ok(reports)
}

/// Training forward and backward of the first sample and of the others, or of halves, merged on the device or on the
/// host; there the second part is on the adapter's first device, which small bindings are not.
fn in_parts(
    gpus: &[Gpu],
    trial: &Trial,
    values: &Values,
) -> Result<(&'static str, Report), Failure> {
    let gpu = &gpus[trial.sizes];
    let element = trial.element;
    let stored = |values: &[f32]| -> Result<Vec<f32>, Failure> {
        let tensor = Tensor::upload_as(gpu, trial.shape, element, values)?;
        Ok(tensor.read_blocking()?)
    };
    let (x, dy) = (stored(&values.x)?, stored(&values.dy)?);
    let residual = stored(&values.residual)?;
    let config = trial.config();
    let batch = Batch {
        shape: trial.shape,
        config,
        input: check::Input {
            view: values.view,
            x: &x,
            parameters: Parameters {
                weight: values.state.weight.as_deref(),
                bias: values.state.bias.as_deref(),
            },
            eps: config.eps,
            epilogue: check::Epilogue {
                element,
                activation: trial.activation,
                residual: trial.residual.then_some(&residual),
            },
        },
        dy: &dy,
        running: values.state.running.as_ref(),
    };
    let place = |gpu| -> (&Gpu, &Context) { (gpu, gpu.context()) };
    let in_place = trial.number.is_multiple_of(3);
    let merge = match trial.number % 2 {
        0 => Merge::Device,
        _ => Merge::Host,
    };
    // Equal parts of exact data have exact moments too.
    let first = match trial.data {
        Data::Exact => trial.shape[0] / 2,
        _ => 1,
    };
    let (here, there) = ([place(gpu)], [place(gpu), place(&gpus[0])]);
    let split = Split {
        places: match merge {
            Merge::Device => &here,
            Merge::Host => &there,
        },
        samples: &[first, trial.shape[0] - first],
        merge,
        in_place,
        run: &submit,
    };
    let operation = match (merge, in_place) {
        (Merge::Device, false) => "two parts, merged on the device",
        (Merge::Device, true) => "two parts, merged on the device, y over x",
        (Merge::Host, false) => "two parts, merged on the host",
        (Merge::Host, true) => "two parts, merged on the host, y over x",
    };
    Ok((operation, split.judged(&batch)?))
}

pub fn submit(gpu: &Gpu, bindings: &[&Binding]) {
    let mut encoder = gpu.device().create_command_encoder(&Default::default());
    {
        let mut pass = encoder.begin_compute_pass(&Default::default());
        bindings
            .iter()
            .for_each(|binding| binding.encode(&mut pass));
    }
    gpu.queue().submit([encoder.finish()]);
}
