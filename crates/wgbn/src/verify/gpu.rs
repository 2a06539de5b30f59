//! One trial on an adapter: every operation through the library, each judged.

use wgpu_batchnorm::check::{self, Finding};
use wgpu_batchnorm::checked;
use wgpu_batchnorm::functional::{self, AffineStep, Statistics};
use wgpu_batchnorm::internals::plan::Schedule;
use wgpu_batchnorm::internals::shaders::Load;
use wgpu_batchnorm::{
    BackwardRequest, BatchNorm, Context, Element, ForwardRequest, Gpu, Gradients, Mode, Outside,
    Parameters, Saved, Tensor,
};

use super::audit::{Canaries, Outcomes, saved_results, upload};
use super::outcome::Outcome;
use super::trials::{Data, Trial};
use super::values::{Values, moment_axes, pattern};
use crate::engine::on_gpu::state_held;
use crate::failure::Failure;
use testkit::data::stored;
use testkit::parts::{Batch, Merge, Split};

/// Every operation of `trial`, on the device that cuts the work as it says.
pub fn sweep(gpus: &[Gpu], trial: &Trial, values: &Values) -> Result<Vec<Outcome>, Failure> {
    let gpu = &gpus[trial.sizes];
    let config = trial.config().with_element(trial.element);
    let plan = gpu.context().plan(&config, trial.shape)?;
    let schedule = plan.schedule();
    let tensor = |name, values: &[f32], findings: &mut Vec<Finding>| {
        let place = (name, trial.shape, trial.element);
        upload(gpu, place, values, findings)
    };
    // Every operation reads x; the others have what else they read.
    let (mut findings, mut of_residual, mut of_weights) = Default::default();
    let (mut of_dy, mut of_ones) = Default::default();
    let ones = vec![1.0; values.x.len()];
    let inputs = Inputs {
        x: tensor("x on the device", &values.x, &mut findings)?,
        dy: tensor("dy on the device", &values.dy, &mut of_dy)?,
        ones: tensor("dy of ones on the device", &ones, &mut of_ones)?,
        residual: match trial.residual {
            true => Some(tensor(
                "residual on the device",
                &values.residual,
                &mut of_residual,
            )?),
            false => None,
        },
        weights: match &values.weights {
            Some(weights) => {
                let place = ("weights on the device", &weights.shape[..], Element::F32);
                let tensor = upload(gpu, place, &weights.values, &mut of_weights)?;
                Some((tensor, weights.outside))
            }
            None => None,
        },
        of_residual,
        of_weights,
        of_dy,
        of_ones,
    };
    let mut outcomes = Outcomes::new(|operation: &str| variant(schedule, operation), findings);
    let layers = Layers {
        gpu,
        trial,
        values,
        inputs: &inputs,
    };
    layers.sweep(&mut outcomes)?;
    over_axes(
        gpu,
        trial,
        values,
        &inputs,
        schedule.pieces.len() == 1,
        &mut outcomes,
    )?;
    let channel_axis = trial.axis.rem_euclid(trial.shape.len() as isize);
    if trial.shape[0] > 1 && channel_axis > 0 && values.x.len() < 100_000 {
        in_parts(gpus, trial, values, &mut outcomes)?;
    }
    Ok(outcomes.into_inner())
}

/// Tensors that several operations read.
struct Inputs {
    x: Tensor,
    dy: Tensor,
    ones: Tensor,
    residual: Option<Tensor>,
    weights: Option<(Tensor, Outside)>,
    /// What the device does not hold of each as the host gave it.
    of_residual: Vec<Finding>,
    of_weights: Vec<Finding>,
    of_dy: Vec<Finding>,
    of_ones: Vec<Finding>,
}

/// The layer's operations.
struct Layers<'a> {
    gpu: &'a Gpu,
    trial: &'a Trial,
    values: &'a Values,
    inputs: &'a Inputs,
}

impl Layers<'_> {
    fn sweep<V: Fn(&str) -> String>(&self, outcomes: &mut Outcomes<V>) -> Result<(), Failure> {
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
            if mode == Mode::Eval && self.trial.config().running.is_none() {
                continue;
            }
            if mode == Mode::Train || self.values.has_frozen_backward(self.trial) {
                self.apart(mode, [forward, backward], outcomes)?;
            }
            if self.trial.in_place() {
                self.in_place(mode, over, outcomes)?;
            }
        }
        Ok(())
    }

    fn request(&self, mode: Mode) -> ForwardRequest<'_> {
        let request = ForwardRequest::new(mode).with_residual(self.inputs.residual.as_ref());
        match &self.inputs.weights {
            Some((weights, outside)) => request.with_weights(weights, *outside),
            None => request,
        }
    }

    /// A layer with the trial's state, and what is wrong of that on the device.
    fn layer(&self) -> Result<(BatchNorm, Vec<Finding>), Failure> {
        let Self { gpu, values, .. } = self;
        let channels = values.view.channels();
        let layer = BatchNorm::with_state(gpu, channels, self.trial.config(), &values.state)?;
        let mut findings = state_held(&layer, &values.state)?;
        findings.extend(self.inputs.of_residual.iter().cloned());
        findings.extend(self.inputs.of_weights.iter().cloned());
        Ok((layer, findings))
    }

    /// Forward, and three backward passes of it: all gradients, those of the parameters alone, and
    /// all of them added to what is there.
    fn apart<V: Fn(&str) -> String>(
        &self,
        mode: Mode,
        [forward, backward]: [&'static str; 2],
        outcomes: &mut Outcomes<V>,
    ) -> Result<(), Failure> {
        let Inputs {
            x,
            dy,
            ones,
            residual,
            of_dy,
            of_ones,
            ..
        } = self.inputs;
        let request = self.request(mode);
        let c = self.values.view.channels();
        // Numbers that the host knows, and that exact sums stay exact with.
        let there: Vec<f32> = (0..2 * c).map(|k| k as f32 % 5.0 - 2.0).collect();
        let mut of_last = of_ones.clone();
        let place = ("gradients on the device", &[2, c][..], Element::F32);
        let there = upload(self.gpu, place, &there, &mut of_last)?;
        for (k, (dy, own, dx, add_into)) in [
            (dy, of_dy, true, None),
            (dy, of_dy, false, None),
            (ones, &of_last, true, Some(&there)),
        ]
        .into_iter()
        .enumerate()
        {
            let (mut layer, mut findings) = self.layer()?;
            let saved = if k == 0 {
                let (result, report) = checked::forward_blocking(&mut layer, x, request)?;
                let results = forward_results(&layer, &result.y, &result.saved)?;
                outcomes.add(forward, report, findings.clone(), &results);
                result.saved
            } else {
                layer.forward(x, request)?.saved
            };
            let mut wanted = BackwardRequest::new(&saved)
                .with_dx(dx)
                .with_dresidual(dx && residual.is_some());
            if let Some(there) = add_into {
                wanted = wanted.with_add_into(there);
            }
            let (gradients, report) = checked::backward_blocking(&layer, x, dy, wanted)?;
            let results = gradient_results(&gradients)?;
            findings.extend(own.iter().cloned());
            outcomes.add(backward, report, findings, &results);
        }
        Ok(())
    }

    /// Forward with y over x, and again over -x: a run that leaves x as it is cannot be right twice
    /// but for the identity.
    fn in_place<V: Fn(&str) -> String>(
        &self,
        mode: Mode,
        operation: &'static str,
        outcomes: &mut Outcomes<V>,
    ) -> Result<(), Failure> {
        let request = self.request(mode).with_in_place(true);
        for sign in [1.0, -1.0] {
            let (mut layer, mut findings) = self.layer()?;
            let x: Vec<f32> = self.values.x.iter().map(|v| sign * v).collect();
            let place = ("x on the device", self.trial.shape, self.trial.element);
            let x = upload(self.gpu, place, &x, &mut findings)?;
            let (forward, report) = checked::forward_blocking(&mut layer, &x, request)?;
            let results = forward_results(&layer, &forward.y, &forward.saved)?;
            outcomes.add(operation, report, findings, &results);
        }
        Ok(())
    }
}

type Results = Vec<(&'static str, Vec<f32>)>;

fn forward_results(layer: &BatchNorm, y: &Tensor, saved: &Saved) -> Result<Results, Failure> {
    let mut results = vec![("y", y.read_blocking()?)];
    if let Some(saved) = saved.read_blocking()? {
        results.extend(saved_results(saved));
    }
    if let Some(running) = layer.running() {
        results.push(("running", running.read_blocking()?));
    }
    Ok(results)
}

fn gradient_results(gradients: &Gradients) -> Result<Results, Failure> {
    let mut results = vec![("gradients", gradients.parameters.read_blocking()?)];
    let maps = [("dx", &gradients.dx), ("dresidual", &gradients.dresidual)];
    for (name, tensor) in maps {
        if let Some(tensor) = tensor {
            results.push((name, tensor.read_blocking()?));
        }
    }
    Ok(results)
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

/// Moments and normalization; over alternating axes only where one binding holds the tensor.
fn over_axes<V: Fn(&str) -> String>(
    gpu: &Gpu,
    trial: &Trial,
    values: &Values,
    inputs: &Inputs,
    whole: bool,
    outcomes: &mut Outcomes<V>,
) -> Result<(), Failure> {
    let config = trial.config();
    for (operation, axes) in moment_axes(trial) {
        if operation != "moments" && !whole {
            continue;
        }
        let keep_dims = trial.turn().is_multiple_of(2);
        let x = &inputs.x;
        let weights = inputs.weights.as_ref().zip(values.weights_of(operation));
        let (moments, report) = match weights {
            Some(((weights, _), _)) => {
                checked::weighted_moments_blocking(x, weights, &axes, keep_dims)?
            }
            None => checked::moments_blocking(x, &axes, keep_dims)?,
        };
        // What is wrong of the moments is wrong of what is normalized by them, too.
        let given = report.findings.iter().filter(|finding| !finding.passed());
        let given: Vec<_> = given.cloned().collect();
        let results = [("moments", moments.rows().read_blocking()?)];
        outcomes.add(operation, report, vec![], &results);

        // Plain statistics owe nothing to the device.
        let stored = stored(trial.element, &values.x);
        let (host, _) = functional::cpu_moments(&stored, trial.shape, &axes, keep_dims)?;
        let len = host.mean().len();
        let mut normalized = |operation, statistics: Statistics<'_>, shape: &[usize], own| {
            let mut findings: Vec<Finding> = own;
            let mut row = |name, pattern: &[f32]| {
                let values: Vec<f32> = (0..len).map(|k| pattern[k % pattern.len()]).collect();
                upload(gpu, (name, shape, Element::F32), &values, &mut findings)
            };
            let scale = row("scale on the device", &[0.5, -1.0, 2.0, -4.0, 1.0])?;
            let shift = row("shift on the device", &[3.0, 0.0, -1.0])?;
            let step = AffineStep::default()
                .with_scale(config.affine.has_weight().then_some(&scale))
                .with_shift(config.affine.has_bias().then_some(&shift));
            let (y, report) = checked::normalize_blocking(x, statistics, step, config.eps)?;
            let results = [("y", y.read_blocking()?)];
            outcomes.add(operation, report, findings, &results);
            Ok::<_, Failure>(())
        };
        normalized("normalize", (&moments).into(), &moments.shape(), given)?;
        let mut kept = trial.shape.to_vec();
        axes.iter().for_each(|&k| kept[k as usize] = 1);
        let mut own = Vec::new();
        let mut row = |name, values: Vec<f64>| {
            let values: Vec<f32> = values.into_iter().map(|v| v as f32).collect();
            upload(gpu, (name, &kept, Element::F32), &values, &mut own)
        };
        let mean = row("mean on the device", host.mean())?;
        let variance = row("variance on the device", host.variance())?;
        let plain = (&mean, &variance).into();
        normalized("normalize, plain statistics", plain, &kept, own)?;
    }
    Ok(())
}

/// Training forward and backward of the first sample and of the others, or of halves, merged on the device or on the
/// host; there the second part is on the adapter's first device, which small bindings are not.
fn in_parts<V: Fn(&str) -> String>(
    gpus: &[Gpu],
    trial: &Trial,
    values: &Values,
    outcomes: &mut Outcomes<V>,
) -> Result<(), Failure> {
    let gpu = &gpus[trial.sizes];
    let element = trial.element;
    let [x, dy, residual] =
        [&values.x, &values.dy, &values.residual].map(|values| stored(element, values));
    let config = trial.config();
    let weights = values.weights.as_ref();
    let weights = weights.map(|weights| weights.of(trial.shape, trial.axis));
    let weights = weights.transpose()?;
    let batch = Batch {
        shape: trial.shape,
        config,
        input: check::Input::new(
            values.view,
            &x,
            Parameters::default()
                .with_weight(values.state.weight.as_deref())
                .with_bias(values.state.bias.as_deref()),
            config.eps,
        )
        .with_weights(weights)
        .with_epilogue(
            check::Epilogue::default()
                .with_element(element)
                .with_activation(trial.activation)
                .with_residual(trial.residual.then_some(&residual[..])),
        ),
        dy: &dy,
        weights: values.weights.as_ref(),
        running: values.state.running.as_ref(),
    };
    let place = |gpu| -> (&Gpu, &Context) { (gpu, gpu.context()) };
    let in_place = trial.turn().is_multiple_of(3);
    let merge = match trial.turn() % 2 {
        0 => Merge::Device,
        _ => Merge::Host,
    };
    // Equal parts of exact data have exact moments too.
    let first = match trial.data {
        Data::Exact => trial.shape[0] / 2,
        _ => 1,
    };
    let (here, there) = ([place(gpu)], [place(gpu), place(&gpus[0])]);
    let canaries = Canaries::default();
    let split = Split {
        places: match merge {
            Merge::Device => &here,
            Merge::Host => &there,
        },
        samples: &[first, trial.shape[0] - first],
        merge,
        in_place,
        run: &|gpu, bindings| canaries.submit(gpu, bindings),
    };
    let operation = match (merge, in_place) {
        (Merge::Device, false) => "two parts, merged on the device",
        (Merge::Device, true) => "two parts, merged on the device, y over x",
        (Merge::Host, false) => "two parts, merged on the host",
        (Merge::Host, true) => "two parts, merged on the host, y over x",
    };
    let (report, results) = split.judged(&batch)?;
    outcomes.add(operation, report, canaries.findings()?, &results);
    Ok(())
}
