//! Passes of a layer, compared with the reference.

use super::host::{HostInput, optional};
use super::proof::Proof;
use crate::check::{self, Finding, Report};
use crate::error::Error;
use crate::layer::{BackwardRequest, BatchNorm, Forward, ForwardRequest, Gradients, Saved, Used};
use crate::stats::{HostGradients, RunningStatistics, SavedStatistics};
use crate::tensor::Tensor;

/// [`BatchNorm::forward`], and how far its results are from the reference.
///
/// # Errors
/// As [`BatchNorm::forward`]; a device that was lost or reported an error.
pub async fn forward<'a>(
    layer: &mut BatchNorm,
    x: &Tensor,
    request: impl Into<ForwardRequest<'a>>,
) -> Result<(Forward, Report), Error> {
    let request = request.into();
    let mut forward = layer.prepare_forward(x, request, None)?;
    let before = running(layer.running()).await?;
    // In place, x is gone afterwards.
    let host = HostInput::read(layer, x, request.residual, request.weights).await?;
    let proof = Proof::before(layer.gpu(), &forward.outputs()).await?;
    layer.submit_forward(x, &mut forward, Some(&proof.canary))?;
    let y = forward.y.read().await?;
    let judged = match &forward.saved.statistics {
        Used::Batch(rows) => {
            let saved = SavedStatistics::from_rows(&rows.read().await?)?;
            match request.keep_running {
                true => {
                    let mut report = judge_train(layer, &host, &y, &saved, None).await?;
                    let after = running(layer.running()).await?;
                    let rows = [after, before].map(|running| running.map(|r| r.to_rows()));
                    let [after, before] = rows.map(|rows| rows.transpose());
                    let (after, before) = (after?.unwrap_or_default(), before?.unwrap_or_default());
                    let moved = Finding::held("running statistics", &after, &before);
                    report.findings.extend(moved);
                    report
                }
                false => judge_train(layer, &host, &y, &saved, before.as_ref()).await?,
            }
        }
        Used::Frozen(rows) => {
            let used = RunningStatistics::from_rows(&rows.read().await?)?;
            check::inference(&host.input(), &used.mean, &used.variance, &y)?
        }
    };
    Ok((forward, proof.complete(judged).await?))
}

async fn judge_train(
    layer: &BatchNorm,
    host: &HostInput,
    y: &[f32],
    saved: &SavedStatistics,
    before: Option<&RunningStatistics>,
) -> Result<Report, Error> {
    let after = running(layer.running()).await?;
    let moved = before.zip(after.as_ref()).zip(layer.config().running);
    let result = check::TrainResult {
        y,
        saved,
        running: moved.map(|((before, after), options)| (before, after, options)),
    };
    Ok(check::train_forward(&host.input(), &result)?)
}

/// [`BatchNorm::infer`], and how far its result is from the reference.
///
/// # Errors
/// As [`BatchNorm::infer`]; a device that was lost or reported an error.
pub async fn infer(layer: &BatchNorm, x: &Tensor) -> Result<(Tensor, Report), Error> {
    let inference = layer.prepare_inference(x)?;
    let host = HostInput::read(layer, x, None, None).await?;
    let proof = Proof::before(layer.gpu(), &[("y before the run", &inference.y)]).await?;
    layer.submit_inference(&inference, Some(&proof.canary))?;
    let y = inference.y.read().await?;
    let judged = match (&inference.batch, running(layer.running()).await?) {
        (None, Some(used)) => check::inference(&host.input(), &used.mean, &used.variance, &y)?,
        (batch, _) => {
            let saved = match batch {
                Some(batch) => batch.read().await?.unwrap_or_default(),
                None => SavedStatistics::default(),
            };
            judge_train(layer, &host, &y, &saved, None).await?
        }
    };
    Ok((inference.y, proof.complete(judged).await?))
}

/// [`BatchNorm::backward`], and how far its results are from the reference.
///
/// # Errors
/// As [`BatchNorm::backward`]; a device that was lost or reported an error.
pub async fn backward<'a>(
    layer: &BatchNorm,
    x: &Tensor,
    dy: &Tensor,
    request: impl Into<BackwardRequest<'a>>,
) -> Result<(Gradients, Report), Error> {
    let request = request.into();
    let gradients = layer.prepare_backward(x, dy, request, None)?;
    let before = optional(request.add_into).await?;
    let outputs = gradients.outputs(request.add_into.is_some());
    let proof = Proof::before(layer.gpu(), &outputs).await?;
    layer.submit_backward(&gradients, Some(&proof.canary))?;
    let judged = judge_backward(layer, (x, dy), request.saved, &gradients, before.as_deref());
    let report = proof.complete(judged.await?).await?;
    Ok((gradients, report))
}

async fn judge_backward(
    layer: &BatchNorm,
    (x, dy): (&Tensor, &Tensor),
    saved: &Saved,
    gradients: &Gradients,
    before: Option<&[f32]>,
) -> Result<Report, Error> {
    let weights = saved
        .weights
        .as_ref()
        .map(|(weights, outside)| (weights, *outside));
    let host = HostInput::read(layer, x, saved.residual.as_ref(), weights).await?;
    let dy = dy.read().await?;
    let result = HostGradients {
        dx: optional(gradients.dx.as_ref()).await?.unwrap_or_default(),
        dweight: gradients.dweight().await?,
        dbias: gradients.dbias().await?,
    };
    let before = before.map(|rows| rows.split_at(layer.channels()));
    let input = host.input();
    let frozen = match &saved.statistics {
        Used::Batch(_) => None,
        Used::Frozen(rows) => running(Some(rows)).await?,
    };
    let frozen = frozen.as_ref().map(|r| (&r.mean[..], &r.variance[..]));
    let mut report = match frozen {
        None => check::backward(&input, &dy, &result, before)?,
        Some((mean, variance)) => {
            check::backward_frozen(&input, &dy, mean, variance, &result, before)?
        }
    };
    if let Some(got) = optional(gradients.dresidual.as_ref()).await? {
        let judged = check::dresidual(&input, &dy, frozen, &got)?;
        report.findings.extend(judged.findings);
    }
    Ok(report)
}

async fn running(rows: Option<&Tensor>) -> Result<Option<RunningStatistics>, Error> {
    let rows = optional(rows).await?;
    let running = rows.map(|rows| RunningStatistics::from_rows(&rows));
    Ok(running.transpose()?)
}

/// A layer whose every pass is compared with the reference and fails if a result is beyond its bound.
///
/// A training forward that fails leaves running statistics and the count of batches as they were. In place,
/// `y` stays over `x`.
#[derive(Debug)]
pub struct Checked {
    layer: BatchNorm,
}

impl Checked {
    /// Checks every pass of `layer` from now on.
    pub fn new(layer: BatchNorm) -> Self {
        Self { layer }
    }

    /// The layer. What is called on it is not checked.
    pub fn layer(&self) -> &BatchNorm {
        &self.layer
    }

    /// The layer. What is called on it is not checked.
    pub fn layer_mut(&mut self) -> &mut BatchNorm {
        &mut self.layer
    }

    /// The layer, no longer checked.
    pub fn into_inner(self) -> BatchNorm {
        self.layer
    }

    /// [`BatchNorm::forward`], checked.
    ///
    /// # Errors
    /// As [`forward`]; a result beyond its bound.
    pub async fn forward<'a>(
        &mut self,
        x: &Tensor,
        request: impl Into<ForwardRequest<'a>>,
    ) -> Result<Forward, Error> {
        let before = running(self.layer.running()).await?;
        let batches = self.layer.num_batches_tracked();
        let (forward, report) = forward(&mut self.layer, x, request).await?;
        let Err(failed) = report.enforce() else {
            return Ok(forward);
        };
        if let Some(before) = before {
            self.layer.restore(&before, batches)?;
        }
        Err(failed.into())
    }

    /// [`BatchNorm::infer`], checked.
    ///
    /// # Errors
    /// As [`infer`]; a result beyond its bound.
    pub async fn infer(&self, x: &Tensor) -> Result<Tensor, Error> {
        let (y, report) = infer(&self.layer, x).await?;
        report.enforce()?;
        Ok(y)
    }

    /// [`BatchNorm::backward`], checked.
    ///
    /// # Errors
    /// As [`backward`]; a result beyond its bound.
    pub async fn backward<'a>(
        &self,
        x: &Tensor,
        dy: &Tensor,
        request: impl Into<BackwardRequest<'a>>,
    ) -> Result<Gradients, Error> {
        let (gradients, report) = backward(&self.layer, x, dy, request).await?;
        report.enforce()?;
        Ok(gradients)
    }
}
