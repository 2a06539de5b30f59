//! The functional forms, compared with the reference.

use super::host::optional;
use super::proof::Proof;
use crate::check::{self, Finding, Report};
use crate::error::Error;
use crate::functional::{
    AffineStep, DeviceMoments, PreparedMoments, PreparedNormalize, Statistics,
};
use crate::reference;
use crate::stats::Parameters;
use crate::tensor::Tensor;

/// [`functional::moments`](crate::functional::moments()), and how far the results are from the reference.
///
/// # Errors
/// As there; a device that was lost or reported an error.
pub async fn moments(
    x: &Tensor,
    axes: &[isize],
    keep_dims: bool,
) -> Result<(DeviceMoments, Report), Error> {
    judged_moments(x, None, axes, keep_dims).await
}

/// [`functional::weighted_moments`](crate::functional::weighted_moments()), and how far the results are from the reference.
///
/// # Errors
/// As there; a weight that is negative or not finite; a device that was lost or reported an error.
pub async fn weighted_moments(
    x: &Tensor,
    weights: &Tensor,
    axes: &[isize],
    keep_dims: bool,
) -> Result<(DeviceMoments, Report), Error> {
    judged_moments(x, Some(weights), axes, keep_dims).await
}

async fn judged_moments(
    x: &Tensor,
    weights: Option<&Tensor>,
    axes: &[isize],
    keep_dims: bool,
) -> Result<(DeviceMoments, Report), Error> {
    let prepared = PreparedMoments::new(x, weights, axes, keep_dims)?;
    let outputs = [
        ("moments before the run", prepared.moments.rows()),
        ("workspace before the run", &prepared.workspace),
    ];
    let proof = Proof::before(x.gpu(), &outputs).await?;
    prepared.submit(Some(&proof.canary))?;
    let moments = prepared.moments;
    let rows = moments.rows().read().await?;
    let got = moments.read().await?;
    let round = |v: Vec<f64>| -> Vec<f32> { v.into_iter().map(|v| v as f32).collect() };
    let (mean, variance) = (round(got.mean()), round(got.variance()));
    let values = x.read().await?;
    let mut report = match weights {
        None => check::moments_over(&values, x.shape(), axes, &mean, &variance)?,
        Some(weights) => {
            let given = weights.read().await?;
            let given = (&given[..], weights.shape());
            check::weighted_moments_over((&values, x.shape()), given, axes, &mean, &variance)?
        }
    };
    report.findings.extend(Finding::unwritten("moments", &rows));
    Ok((moments, proof.complete(report).await?))
}

/// [`functional::normalize`](crate::functional::normalize()), and how far the result is from the reference.
///
/// # Errors
/// As there; a device that was lost or reported an error.
pub async fn normalize<'a>(
    x: &Tensor,
    statistics: impl Into<Statistics<'a>>,
    affine: AffineStep<'_>,
    eps: f32,
) -> Result<(Tensor, Report), Error> {
    let statistics = statistics.into();
    let prepared = PreparedNormalize::new(x, statistics, affine, eps)?;
    let proof = Proof::before(x.gpu(), &[("y before the run", &prepared.y)]).await?;
    prepared.submit(Some(&proof.canary))?;
    let y = prepared.y;
    let reduction = statistics.split_of(x)?;
    let (gathered, view) = reduction.gather(&x.read().await?);
    let (result, _) = reduction.gather(&y.read().await?);
    let given = match statistics {
        Statistics::Moments(moments) => {
            let moments = moments.read().await?;
            reference::Moments::new(moments.mean(), moments.variance())?
        }
        Statistics::Plain { mean, variance } => {
            let widen = |v: Vec<f32>| v.into_iter().map(f64::from).collect();
            let mean = widen(mean.read().await?);
            reference::Moments::new(mean, widen(variance.read().await?))?
        }
    };
    let (weight, bias) = (optional(affine.scale).await?, optional(affine.shift).await?);
    let input = check::Input {
        view,
        x: &gathered,
        parameters: Parameters {
            weight: weight.as_deref(),
            bias: bias.as_deref(),
        },
        eps,
        epilogue: check::Epilogue {
            element: x.element(),
            ..Default::default()
        },
        weights: None,
        sub_batches: None,
    };
    let report = check::normalize(&input, &given, &result)?;
    Ok((y, proof.complete(report).await?))
}
