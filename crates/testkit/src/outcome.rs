//! What an implementation makes of a case, and the one judge of it.

use wgpu_batchnorm::check::{self, Report, TrainResult};
use wgpu_batchnorm::error::ShapeError;
use wgpu_batchnorm::{HostGradients, RunningStatistics, SavedStatistics};

use crate::case::Case;

/// Every operation's results on one case.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    pub y: Vec<f32>,
    pub saved: SavedStatistics,
    pub running: Option<RunningStatistics>,
    pub gradients: HostGradients,
    /// Where there was a residual.
    pub dresidual: Vec<f32>,
    /// With the running statistics from before the step, where there are any.
    pub frozen: Option<Frozen>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Frozen {
    pub y: Vec<f32>,
    pub gradients: HostGradients,
    pub dresidual: Vec<f32>,
}

impl Outcome {
    /// Every tensor by name, as bits: NaN equals itself, and −0 is not 0.
    pub fn bits(&self) -> Vec<(&'static str, Vec<u32>)> {
        let none = Frozen::default();
        let (frozen, saved) = (self.frozen.as_ref().unwrap_or(&none), &self.saved);
        let mut tensors: Vec<(_, &[f32])> = vec![
            ("y", &self.y),
            ("pivot", &saved.pivot),
            ("offset", &saved.offset),
            ("inv_std", &saved.inv_std),
            ("batch_mean", &saved.batch_mean),
            ("batch_var", &saved.batch_var),
            ("dx", &self.gradients.dx),
            ("dweight", &self.gradients.dweight),
            ("dbias", &self.gradients.dbias),
            ("dresidual", &self.dresidual),
            ("frozen dresidual", &frozen.dresidual),
            ("frozen y", &frozen.y),
            ("frozen dx", &frozen.gradients.dx),
            ("frozen dweight", &frozen.gradients.dweight),
            ("frozen dbias", &frozen.gradients.dbias),
        ];
        if let Some(running) = &self.running {
            tensors.push(("running_mean", &running.mean));
            tensors.push(("running_var", &running.variance));
        }
        let bits = |v: &[f32]| v.iter().map(|v| v.to_bits()).collect();
        let mut tensors: Vec<_> = tensors.into_iter().map(|(n, v)| (n, bits(v))).collect();
        let batches = self.running.iter().map(|r| ("batches", r.batches.clone()));
        tensors.extend(batches);
        tensors
    }

    /// Panics at the first bit in which two outcomes differ.
    pub fn assert_same_bits(&self, other: &Self, what: &str) {
        for ((name, a), (_, b)) in self.bits().iter().zip(&other.bits()) {
            let differ = a.iter().zip(b).position(|(a, b)| a != b);
            assert_eq!(differ, None, "{what}: {name} differs");
            assert_eq!(a.len(), b.len(), "{what}: {name}");
        }
    }
}

/// Something that computes batch normalization.
pub trait Engine {
    fn name(&self) -> String;
    fn run(&self, case: &Case) -> Outcome;
}

/// Compares every result with the reference; panics where one is not as long as the case says.
pub fn judge(case: &Case, outcome: &Outcome) -> Report {
    judged(case, outcome).unwrap()
}

fn judged(case: &Case, outcome: &Outcome) -> Result<Report, ShapeError> {
    let input = case.input();
    let before = case.running.as_ref();
    let moved = before
        .zip(outcome.running.as_ref())
        .zip(case.config.running);
    let train = TrainResult::new(&outcome.y, &outcome.saved)
        .with_running(moved.map(|((before, after), running)| (before, after, running)));
    let mut findings = check::train_forward(&input, &train)?.findings;
    findings.extend(check::backward(&input, &case.dy, &outcome.gradients, None)?.findings);
    if let (Some(frozen), Some(running)) = (&outcome.frozen, before) {
        let (mean, variance) = (&running.mean, &running.variance);
        let y = check::inference(&input, mean, variance, &frozen.y)?;
        findings.extend(y.findings);
        let gradients = &frozen.gradients;
        let report = check::backward_frozen(&input, &case.dy, mean, variance, gradients, None)?;
        findings.extend(report.findings);
        if case.residual.is_some() {
            let frozen_by = Some((&mean[..], &variance[..]));
            let report = check::dresidual(&input, &case.dy, frozen_by, &frozen.dresidual)?;
            findings.extend(report.findings);
        }
    }
    if case.residual.is_some() {
        let report = check::dresidual(&input, &case.dy, None, &outcome.dresidual)?;
        findings.extend(report.findings);
    }
    Ok(findings.into())
}

/// The reference driven as an implementation: it must pass its own judge.
pub struct Reference;

impl Engine for Reference {
    fn name(&self) -> String {
        "reference".to_owned()
    }

    fn run(&self, case: &Case) -> Outcome {
        use wgpu_batchnorm::reference;
        let (view, eps) = (&case.view, case.config.eps);
        let round = |v: &[f64]| -> Vec<f32> { v.iter().map(|&v| v as f32).collect() };
        let gradients = |g: reference::Gradients| {
            HostGradients::new(round(&g.dx), round(&g.dweight), round(&g.dbias))
        };
        let (y, batch) = reference::train_forward(view, &case.x, case.parameters(), eps).unwrap();
        let weight = case.weight.as_deref();
        let running = case.running.as_ref().zip(case.config.running);
        let running = running.map(|(before, running)| {
            let count = view.count();
            let moved = reference::update_running(before, &batch, count, running);
            let (after, batches) = moved.unwrap();
            RunningStatistics::from_parts(round(&after.mean), round(&after.variance), batches)
                .unwrap()
        });
        let frozen = case.running.as_ref().map(|running| {
            let widen = |v: &[f32]| v.iter().map(|&v| f64::from(v)).collect();
            let (mean, variance) = (widen(&running.mean), widen(&running.variance));
            let frozen = reference::Moments::new(mean, variance).unwrap();
            let y = reference::normalize(view, &case.x, &frozen, case.parameters(), eps);
            let (x, dy) = (&case.x, &case.dy);
            let backward = reference::backward_frozen(view, x, dy, &frozen, weight, eps);
            Frozen {
                y: round(&y.unwrap()),
                gradients: gradients(backward.unwrap()),
                dresidual: vec![],
            }
        });
        let backward = reference::backward(view, &case.x, &case.dy, weight, eps).unwrap();
        let lost = |&m: &f64| (m - f64::from(m as f32)) as f32;
        let mut saved = SavedStatistics::default();
        saved.pivot = round(&batch.mean);
        saved.offset = batch.mean.iter().map(lost).collect();
        saved.inv_std = round(&batch.inv_std(eps));
        saved.batch_mean = round(&batch.mean);
        saved.batch_var = round(&batch.variance);
        Outcome {
            y: round(&y),
            saved,
            running,
            gradients: gradients(backward),
            dresidual: vec![],
            frozen,
        }
    }
}

/// The CPU path.
pub struct Cpu;

impl Engine for Cpu {
    fn name(&self) -> String {
        "cpu".to_owned()
    }

    fn run(&self, case: &Case) -> Outcome {
        use wgpu_batchnorm::cpu;
        let input = cpu::Input::new(case.view, &case.x, case.parameters(), case.config.eps)
            .with_activation(case.config.activation)
            .with_residual(case.residual.as_deref())
            .with_weights(case.weights());
        let gradients =
            |dx, of: cpu::ParameterGradients| HostGradients::new(dx, of.dweight, of.dbias);
        let nan = || vec![f32::NAN; case.view.len()];
        let mut y = nan();
        let mut running = case.running.clone();
        let moved = running.as_mut().zip(case.config.running);
        let moved = moved.map(|(statistics, update)| cpu::Running::new(statistics, update));
        let saved = cpu::train_forward(&input, moved, &mut y).unwrap();
        let mut dx = nan();
        let sums = cpu::backward(&input, &case.dy, &saved, Some(&mut dx)).unwrap();
        let through_batch = gradients(dx, sums);
        let wanted = || case.residual.as_ref().map(|_| nan());
        let mut dresidual = wanted();
        if let Some(dresidual) = &mut dresidual {
            cpu::dresidual(&input, &case.dy, &saved, dresidual).unwrap();
        }
        let frozen = case.running.as_ref().map(|running| {
            let mut y = nan();
            cpu::inference(&input, running, &mut y).unwrap();
            let mut dx = nan();
            let sums = cpu::backward_frozen(&input, &case.dy, running, Some(&mut dx)).unwrap();
            let mut dresidual = wanted();
            if let Some(dresidual) = &mut dresidual {
                cpu::dresidual_frozen(&input, &case.dy, running, dresidual).unwrap();
            }
            Frozen {
                y,
                gradients: gradients(dx, sums),
                dresidual: dresidual.unwrap_or_default(),
            }
        });
        Outcome {
            y,
            saved,
            running,
            gradients: through_batch,
            dresidual: dresidual.unwrap_or_default(),
            frozen,
        }
    }
}
