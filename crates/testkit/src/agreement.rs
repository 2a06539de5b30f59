//! What several parts of a batch say of the same: equal where one pipeline said it, and within the
//! bounds where drivers compiled several; the sweep and the tests share it.

use wgpu_batchnorm::check::{Finding, Report};
use wgpu_batchnorm::error::ShapeError;
use wgpu_batchnorm::internals::shaders::{Constants, Variant};
use wgpu_batchnorm::{Binding, Gpu};

/// What a pipeline is compiled from.
pub type Pipeline = (Variant, Constants);

/// The one pipeline of all dispatches, of which pieces may have several.
pub fn pipeline_of(binding: &Binding) -> Option<Pipeline> {
    let mut all = binding
        .dispatches()
        .iter()
        .map(|dispatch| (dispatch.variant, dispatch.constants));
    let first = all.next()?;
    all.all(|other| other == first).then_some(first)
}

/// The statistics of the whole batch as one part saved them.
pub struct Saved<'a> {
    pub gpu: &'a Gpu,
    pub pipeline: Option<Pipeline>,
    /// `[5][C]`.
    pub rows: Vec<f32>,
}

impl Saved<'_> {
    /// Whether the same pipeline of the same device computed both.
    fn is_of_the_pipeline_of(&self, other: &Self) -> bool {
        let same = self.pipeline == other.pipeline && self.gpu.device() == other.gpu.device();
        self.pipeline.is_some() && same
    }
}

/// Findings on all parts but the first. The same pipeline gives all parts the same bits. Drivers may
/// contract what different pipelines multiply and add differently, so of each further pipeline one
/// part is judged.
pub fn judge_others(
    all: &[Saved<'_>],
    judged: impl Fn(&[f32]) -> Result<Report, ShapeError>,
) -> Result<Vec<Finding>, ShapeError> {
    let mut findings = Vec::new();
    for (k, saved) in all.iter().enumerate().skip(1) {
        let earlier = &all[..k];
        match earlier
            .iter()
            .find(|first| saved.is_of_the_pipeline_of(first))
        {
            Some(first) => {
                let of_another = "saved of another part";
                findings.extend(Finding::held(of_another, &saved.rows, &first.rows));
            }
            None => {
                let of_saved = judged(&saved.rows)?.findings.into_iter();
                // y is of all parts, and was judged with the first.
                findings.extend(of_saved.filter(|finding| finding.tensor != "y"));
            }
        }
    }
    Ok(findings)
}
