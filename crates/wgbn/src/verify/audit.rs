//! What surrounds the judging of a trial: inputs as the device holds them, canaries, and digests.

use std::cell::RefCell;

use wgpu_batchnorm::check::{Finding, Report};
use wgpu_batchnorm::{Binding, Canary, Element, Error, Gpu, SavedStatistics, Tensor};

use super::outcome::Outcome;
use super::trials::fnv;
use crate::failure::Failure;
use testkit::data::stored;

/// Uploads `values`, and finds out whether the device holds them, bit for bit.
pub fn upload(
    gpu: &Gpu,
    (name, shape, element): (&'static str, &[usize], Element),
    values: &[f32],
    findings: &mut Vec<Finding>,
) -> Result<Tensor, Failure> {
    let tensor = Tensor::upload_as(gpu, shape, element, values)?;
    let held = tensor.read_blocking()?;
    findings.extend(Finding::held(name, &held, &stored(element, values)));
    Ok(tensor)
}

/// Submissions of bindings, each with a canary of its own.
#[derive(Default)]
pub struct Canaries(RefCell<Vec<Result<Canary, Error>>>);

impl Canaries {
    /// Submits `bindings` in one pass, and a canary in the same submission.
    pub fn submit(&self, gpu: &Gpu, bindings: &[&Binding]) {
        self.submit_encoded(gpu, |encoder| {
            let mut pass = encoder.begin_compute_pass(&Default::default());
            bindings.iter().for_each(|b| b.encode(&mut pass));
        });
    }

    /// Submits what `record` encodes, and a canary in the same submission.
    pub fn submit_encoded(
        &self,
        gpu: &Gpu,
        record: impl FnOnce(&mut wgpu_batchnorm::wgpu::CommandEncoder),
    ) {
        let encoder = || gpu.device().create_command_encoder(&Default::default());
        let mut work = encoder();
        record(&mut work);
        let canary = Canary::new(gpu);
        let last = canary.as_ref().ok().map(|canary| {
            let mut encoder = encoder();
            canary.encode(&mut encoder.begin_compute_pass(&Default::default()));
            encoder.finish()
        });
        gpu.queue().submit([work.finish()].into_iter().chain(last));
        self.0.borrow_mut().push(canary);
    }

    /// What became of the canaries since the last call.
    pub fn findings(&self) -> Result<Vec<Finding>, Failure> {
        let mut findings = Vec::new();
        for canary in self.0.take() {
            if !canary?.ran_blocking()? {
                findings.push(Finding::unexecuted());
            }
        }
        Ok(findings)
    }
}

/// Outcomes of one trial as they come.
pub struct Outcomes<V> {
    all: Vec<Outcome>,
    /// The variant that an operation ran.
    variant: V,
    /// Of the inputs that all operations share.
    shared: Vec<Finding>,
}

impl<V: Fn(&str) -> String> Outcomes<V> {
    pub fn new(variant: V, shared: Vec<Finding>) -> Self {
        Self {
            all: Vec::new(),
            variant,
            shared,
        }
    }

    /// Takes in what a judge found, what was found of inputs of this run alone, and its results.
    pub fn add(
        &mut self,
        operation: &'static str,
        report: Report,
        own: Vec<Finding>,
        results: &[(&'static str, Vec<f32>)],
    ) {
        let variant = (self.variant)(operation);
        self.add_as(operation, variant, report, own, results);
    }

    /// The same of a variant that the operation alone does not tell.
    pub fn add_as(
        &mut self,
        operation: &'static str,
        variant: String,
        mut report: Report,
        own: Vec<Finding>,
        results: &[(&'static str, Vec<f32>)],
    ) {
        report.findings.extend(self.shared.iter().cloned());
        report.findings.extend(own);
        self.all.push(Outcome {
            operation,
            variant,
            report,
            digests: digests(results),
        });
    }

    pub fn into_inner(self) -> Vec<Outcome> {
        self.all
    }
}

/// Saved statistics by name.
pub fn saved_results(saved: SavedStatistics) -> [(&'static str, Vec<f32>); 5] {
    [
        ("pivot", saved.pivot),
        ("offset", saved.offset),
        ("inv_std", saved.inv_std),
        ("batch_mean", saved.batch_mean),
        ("batch_var", saved.batch_var),
    ]
}

/// A hash of each tensor's bits.
pub fn digests(results: &[(&'static str, Vec<f32>)]) -> Vec<(&'static str, u64)> {
    let digest = |values: &[f32]| fnv(bytemuck::cast_slice(values));
    let results = results.iter();
    results.map(|(name, v)| (*name, digest(v))).collect()
}
