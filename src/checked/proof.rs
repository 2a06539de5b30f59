//! What surrounds a checked run: patterns that outputs hold before it, and a canary.

use crate::canary::Canary;
use crate::check::{Finding, POISON, Report};
use crate::error::Error;
use crate::gpu::Gpu;
use crate::tensor::Tensor;

/// Shows that the device ran what was submitted.
#[derive(Debug)]
pub(super) struct Proof {
    pub(super) canary: Canary,
    findings: Vec<Finding>,
}

impl Proof {
    /// Fills what the run will write with [`POISON`], and reads back whether it is there.
    pub(super) async fn before(
        gpu: &Gpu,
        outputs: &[(&'static str, &Tensor)],
    ) -> Result<Self, Error> {
        let canary = Canary::new(gpu)?;
        let mut findings = Vec::new();
        for (name, tensor) in outputs {
            let pattern = vec![POISON; tensor.len()];
            tensor.write(&pattern)?;
            findings.extend(Finding::held(name, &tensor.read().await?, &pattern));
        }
        Ok(Self { canary, findings })
    }

    /// Adds to a report the canary's finding, in front, since of findings that are equally bad the last is
    /// told, and what did not hold its pattern before the run.
    pub(super) async fn complete(self, judged: Report) -> Result<Report, Error> {
        let mut findings = Vec::new();
        if !self.canary.ran().await? {
            findings.push(Finding::unexecuted());
        }
        findings.extend(judged.findings);
        findings.extend(self.findings);
        Ok(Report { findings })
    }
}
