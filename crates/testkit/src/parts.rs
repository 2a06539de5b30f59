//! A batch in parts, each with its own plan and tensors: moments and sums are merged between the two
//! halves of training forward and of backward; the sweep and the tests share it.

use std::ops::Range;

use wgpu_batchnorm::check::{self, Finding, POISON, Report, TrainResult};
use wgpu_batchnorm::{
    BackwardBuffers, Binding, Config, Context, Error, Gpu, HostGradients, Moments, MomentsBuffers,
    MomentsRows, Outside, Plan, RunningStatistics, StatisticsRows, SumsRows, Tensor, TrainBuffers,
    WeightsBuffer,
};

use crate::agreement::{Saved, judge_others, pipeline_of};
use crate::layout::{rows, running_of, running_rows, saved_of};
use crate::weights::HostWeights;

/// What is cut into parts along its first axis, which is not the channels'.
#[derive(Clone, Copy)]
pub struct Batch<'a> {
    pub shape: &'a [usize],
    pub config: Config,
    /// With x and residual as they are stored.
    pub input: check::Input<'a>,
    pub dy: &'a [f32],
    /// Those that the input has.
    pub weights: Option<&'a HostWeights>,
    pub running: Option<&'a RunningStatistics>,
}

/// Where moments and sums are merged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Merge {
    Device,
    Host,
}

/// Tensors that came out, by name.
pub type Results = Vec<(&'static str, Vec<f32>)>;

/// How a batch is cut, and where its parts are.
pub struct Split<'a> {
    /// The k-th part is on the k-th of these, from the front again after the last. Several take
    /// [`Merge::Host`].
    pub places: &'a [(&'a Gpu, &'a Context)],
    /// Samples of each part.
    pub samples: &'a [usize],
    pub merge: Merge,
    /// y over x, which leaves nothing to go back through.
    pub in_place: bool,
    /// What encodes and submits.
    pub run: &'a dyn Fn(&Gpu, &[&Binding]),
}

impl Split<'_> {
    /// Training forward and backward of the whole batch, against the reference, and what came out.
    pub fn judged(&self, batch: &Batch<'_>) -> Result<(Report, Results), Error> {
        let mut start = 0;
        let mut parts = Vec::new();
        for (place, &len) in self.places.iter().cycle().zip(self.samples) {
            parts.push(Part::new(*place, batch, start..start + len, self.in_place)?);
            start += len;
        }
        let mut held = Vec::new();
        for part in &parts {
            held.extend(part.held(batch)?);
        }
        let total = self.merge_moments(&parts)?;
        let moments = self.merged(&parts, 0).moments.read_blocking()?;
        let (mut report, mut results) = self.train(&parts, batch, total)?;
        results.push(("moments", moments));
        report.findings.extend(held);
        if !self.in_place {
            self.merge_sums(&parts)?;
            let (backward, gradients) = self.backward(&parts, batch, total)?;
            report.findings.extend(backward.findings);
            results.extend(gradients);
        }
        Ok((report, results))
    }

    /// Who holds what was merged for the k-th part.
    fn merged<'p>(&self, parts: &'p [Part], k: usize) -> &'p Part {
        match self.merge {
            Merge::Device => &parts[0],
            Merge::Host => &parts[k],
        }
    }

    /// The moments of all parts; how many values a channel they are of.
    fn merge_moments(&self, parts: &[Part]) -> Result<f64, Error> {
        for part in parts {
            (self.run)(&part.gpu, &[&part.moments()?]);
        }
        if self.merge == Merge::Device {
            // Pairs, then pairs of those: a chain would round once a part.
            let mut counts: Vec<f64> = parts.iter().map(Part::count).collect();
            let mut apart = 1;
            while apart < parts.len() {
                for k in (0..parts.len() - apart).step_by(2 * apart) {
                    let into = parts[k].rows(counts[k]);
                    let other = parts[k + apart].rows(counts[k + apart]);
                    let merge = parts[k].plan.bind_merge_moments(&into, &other)?;
                    (self.run)(&parts[k].gpu, &[&merge]);
                    counts[k] += counts[k + apart];
                }
                apart *= 2;
            }
            return Ok(counts[0]);
        }
        let read = |part: &Part| -> Result<Moments, Error> {
            let rows = part.moments.read_blocking()?;
            Moments::from_rows(part.count(), &rows)
        };
        let all: Vec<Moments> = parts.iter().map(read).collect::<Result<_, _>>()?;
        let whole = Moments::merge_all(&all)?;
        for part in parts {
            part.moments.write(&whole.to_rows())?;
        }
        Ok(whole.count())
    }

    fn train(
        &self,
        parts: &[Part],
        batch: &Batch<'_>,
        total: f64,
    ) -> Result<(Report, Results), Error> {
        // Running statistics are moved once.
        let running = batch.running.map(|before| {
            let shape = [3, before.mean.len()];
            Tensor::upload(&parts[0].gpu, &shape, &running_rows(before))
        });
        let running = running.transpose()?;
        let mut all_saved = Vec::new();
        for (k, part) in parts.iter().enumerate() {
            let moments = self.merged(parts, k).rows(total);
            let running = running.as_ref().filter(|_| k == 0);
            let train = part.train(running, &moments)?;
            (self.run)(&part.gpu, &[&train]);
            all_saved.push(Saved {
                gpu: &part.gpu,
                pipeline: pipeline_of(&train),
                rows: part.saved.read_blocking()?,
            });
        }
        let mut y = Vec::new();
        for part in parts {
            y.extend(part.y.as_ref().unwrap_or(&part.x).read_blocking()?);
        }
        let after = running.as_ref().map(Tensor::read_blocking).transpose()?;
        let after = after.as_deref().map(running_of);
        let moved = batch.running.zip(after.as_ref()).zip(batch.config.running);
        let running = moved.map(|((before, after), running)| (before, after, running));
        let judged = |saved: &[f32], running| {
            let saved = &saved_of(saved);
            let y = &y;
            check::train_forward(
                &batch.input,
                &TrainResult::new(y, saved).with_running(running),
            )
        };
        let mut report = judged(&all_saved[0].rows, running)?;
        let others = judge_others(&all_saved, |saved| judged(saved, None))?;
        report.findings.extend(others);
        let saved = all_saved.into_iter().flat_map(|saved| saved.rows);
        let mut results = vec![("saved of all parts", saved.collect())];
        results.extend(after.map(|after| ("running", running_rows(&after))));
        results.push(("y", y));
        Ok((report, results))
    }

    /// The sums of all parts: added up on the way, or read, added and written back.
    fn merge_sums(&self, parts: &[Part]) -> Result<(), Error> {
        for (k, part) in parts.iter().enumerate() {
            let buffers = part
                .backward(&self.merged(parts, k).grads)
                .with_accumulate(self.merge == Merge::Device && k > 0);
            (self.run)(&part.gpu, &[&part.plan.bind_backward(&buffers)?]);
        }
        if self.merge == Merge::Device {
            return Ok(());
        }
        let mut whole = vec![0.0f64; parts[0].grads.len()];
        for part in parts {
            let sums = part.grads.read_blocking()?;
            let pairs = whole.iter_mut().zip(sums);
            pairs.for_each(|(whole, sum)| *whole += f64::from(sum));
        }
        let whole: Vec<f32> = whole.into_iter().map(|sum| sum as f32).collect();
        for part in parts {
            part.grads.write(&whole)?;
        }
        Ok(())
    }

    fn backward(
        &self,
        parts: &[Part],
        batch: &Batch<'_>,
        total: f64,
    ) -> Result<(Report, Results), Error> {
        let (mut dx, mut dresidual) = (Vec::new(), Vec::new());
        for (k, part) in parts.iter().enumerate() {
            let buffers = part.dx_from(&self.merged(parts, k).grads, total);
            let binding = part.plan.bind_backward(&buffers)?;
            (self.run)(&part.gpu, &[&binding]);
            dx.extend(part.dx.read_blocking()?);
            if part.residual.is_some() {
                dresidual.extend(part.dresidual.read_blocking()?);
            }
        }
        let [dweight, dbias] = rows(&parts[0].grads.read_blocking()?);
        let gradients = HostGradients::new(dx, dweight, dbias);
        let mut report = check::backward(&batch.input, batch.dy, &gradients, None)?;
        if batch.input.epilogue.residual.is_some() {
            let judged = check::dresidual(&batch.input, batch.dy, None, &dresidual)?;
            report.findings.extend(judged.findings);
        }
        let mut results = vec![
            ("dx", gradients.dx),
            ("dweight", gradients.dweight),
            ("dbias", gradients.dbias),
        ];
        if !dresidual.is_empty() {
            results.push(("dresidual", dresidual));
        }
        Ok((report, results))
    }
}

/// Samples of a batch with all that they need.
pub struct Part {
    gpu: Gpu,
    /// Where its values lie in the batch's.
    values: Range<usize>,
    pub plan: Plan,
    x: Tensor,
    dy: Tensor,
    residual: Option<Tensor>,
    weights: Option<(Tensor, Outside)>,
    /// Values a channel, or the sum of their weights.
    count: f64,
    y: Option<Tensor>,
    dx: Tensor,
    dresidual: Tensor,
    affine: Option<Tensor>,
    pub moments: Tensor,
    pub grads: Tensor,
    saved: Tensor,
    workspace: Tensor,
}

impl Part {
    pub fn new(
        (gpu, context): (&Gpu, &Context),
        batch: &Batch<'_>,
        samples: Range<usize>,
        in_place: bool,
    ) -> Result<Self, Error> {
        let (input, epilogue) = (&batch.input, &batch.input.epilogue);
        let (c, element) = (input.view.channels(), epilogue.element);
        let sample = input.x.len() / batch.shape[0];
        let values = samples.start * sample..samples.end * sample;
        let shape = [&[samples.len()], &batch.shape[1..]].concat();
        let upload = |all: &[f32]| Tensor::upload_as(gpu, &shape, element, &all[values.clone()]);
        // What is not written does not pass.
        let rows = |rows: usize| Tensor::upload(gpu, &[rows, c], &vec![POISON; rows * c]);
        let scratch = |len: usize| Tensor::upload(gpu, &[len], &vec![POISON; len]);
        let blank = || Tensor::upload_as(gpu, &shape, element, &vec![POISON; values.len()]);
        let plan = context.plan(&batch.config.with_element(element), &shape)?;
        let parameters = input.parameters;
        let affine = (parameters.weight.is_some() || parameters.bias.is_some())
            .then(|| Tensor::upload(gpu, &[2, c], &parameters.to_rows(c)?));
        let weights = batch
            .weights
            .map(|weights| weights.of_samples(samples, shape.len()));
        let count = match &weights {
            Some(weights) => weights.of(&shape, batch.config.axis)?.sum(),
            None => plan.view().count() as f64,
        };
        let weights = weights.map(|weights| {
            let tensor = Tensor::upload(gpu, &weights.shape, &weights.values)?;
            Ok::<_, Error>((tensor, weights.outside))
        });
        Ok(Self {
            weights: weights.transpose()?,
            count,
            gpu: gpu.clone(),
            values: values.clone(),
            x: upload(input.x)?,
            dy: upload(batch.dy)?,
            residual: epilogue.residual.map(upload).transpose()?,
            y: (!in_place).then(blank).transpose()?,
            dx: blank()?,
            dresidual: blank()?,
            affine: affine.transpose()?,
            moments: rows(3)?,
            grads: rows(2)?,
            saved: rows(5)?,
            workspace: scratch(plan.workspace_bytes() as usize / 4)?,
            plan,
        })
    }

    /// Whether the device holds what it was given, bit for bit.
    fn held(&self, batch: &Batch<'_>) -> Result<Vec<Finding>, Error> {
        let input = &batch.input;
        let mut findings = Vec::new();
        if let (Some((tensor, _)), Some(given)) = (&self.weights, batch.weights) {
            let held = tensor.read_blocking()?;
            let sample = input.x.len() / batch.shape[0];
            let samples = self.values.start / sample..self.values.end / sample;
            let given = given.of_samples(samples, batch.shape.len());
            findings.extend(Finding::held("weights on the device", &held, &given.values));
        }
        let maps = [
            ("x on the device", Some(&self.x), Some(input.x)),
            ("dy on the device", Some(&self.dy), Some(batch.dy)),
            (
                "residual on the device",
                self.residual.as_ref(),
                input.epilogue.residual,
            ),
        ];
        for (name, tensor, given) in maps {
            if let Some((tensor, given)) = tensor.zip(given) {
                let held = tensor.read_blocking()?;
                findings.extend(Finding::held(name, &held, &given[self.values.clone()]));
            }
        }
        if let Some(affine) = &self.affine {
            let given = input.parameters.to_rows(input.view.channels())?;
            let held = affine.read_blocking()?;
            findings.extend(Finding::held("affine on the device", &held, &given));
        }
        Ok(findings)
    }

    /// Values a channel, or the sum of their weights.
    pub fn count(&self) -> f64 {
        self.count
    }

    pub fn rows(&self, count: f64) -> MomentsRows<'_> {
        MomentsRows::new(self.moments.slice(), count)
    }

    fn weights(&self) -> Option<WeightsBuffer<'_>> {
        let (tensor, outside) = self.weights.as_ref()?;
        Some(WeightsBuffer::new(tensor.slice(), tensor.shape(), *outside))
    }

    fn moments(&self) -> Result<Binding, Error> {
        let (x, moments) = (self.x.slice(), self.moments.slice());
        let buffers = MomentsBuffers::new(x, moments, self.workspace.slice());
        Ok(self
            .plan
            .bind_moments(&buffers.with_weights(self.weights()))?)
    }

    pub fn train(
        &self,
        running: Option<&Tensor>,
        moments: &MomentsRows<'_>,
    ) -> Result<Binding, Error> {
        let buffers = TrainBuffers::new(self.x.slice(), self.saved.slice(), self.workspace.slice())
            .with_weights(self.weights())
            .with_y(self.y.as_ref().map(|y| y.slice()))
            .with_residual(self.residual.as_ref().map(|r| r.slice()))
            .with_affine(self.affine.as_ref().map(|a| a.slice()))
            .with_running(running.map(|rows| rows.slice()))
            .with_moments(*moments);
        Ok(self.plan.bind_train(&buffers)?)
    }

    /// Into these sums.
    pub fn backward<'a>(&'a self, sums: &'a Tensor) -> BackwardBuffers<'a> {
        let residual = self.residual.as_ref();
        BackwardBuffers::new(
            self.x.slice(),
            self.dy.slice(),
            StatisticsRows::Saved(self.saved.slice()),
            self.workspace.slice(),
        )
        .with_weights(self.weights())
        .with_residual(residual.map(|r| r.slice()))
        .with_dresidual(residual.map(|_| self.dresidual.slice()))
        .with_affine(self.affine.as_ref().map(|a| a.slice()))
        .with_grads(sums.slice())
    }

    /// From these sums, which are of `count` values a channel.
    pub fn dx_from<'a>(&'a self, sums: &'a Tensor, count: f64) -> BackwardBuffers<'a> {
        self.backward(sums)
            .with_dx(self.dx.slice())
            .with_dresidual(None)
            .with_grads(None)
            .with_sums(SumsRows::new(sums.slice(), count))
    }
}
