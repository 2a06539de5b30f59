//! Training and inference.

use super::{BatchNorm, read_running, read_saved};
use crate::check::{self, Check, Report};
use crate::element::Element;
use crate::error::ConfigError;
use crate::error::Error;
use crate::record::{InferenceBuffers, Plan, TrainBuffers};
use crate::stats::SavedStatistics;
use crate::tensor::Tensor;

/// Which statistics a forward pass normalizes with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The batch's own; running statistics move.
    Train,
    /// The running ones; the batch's own where the layer keeps none, as PyTorch does.
    Eval,
}

/// What a forward pass gives.
#[derive(Debug)]
pub struct Forward {
    /// The output, in the input's shape.
    pub y: Tensor,
    /// What [`BatchNorm::backward`] wants; it goes with this input alone.
    pub saved: Saved,
    /// The comparison with the reference, where the layer checks.
    pub report: Option<Report>,
}

/// What a forward pass does besides normalizing.
#[derive(Clone, Copy, Debug, Default)]
pub struct ForwardRequest<'a> {
    /// What is added before the activation, in the input's shape and element.
    pub residual: Option<&'a Tensor>,
    /// Puts `y` over `x`, without a tensor of its own. There is no backward after it, nor after another
    /// forward pass that had this tensor as its `x` or residual; a check that fails leaves `y` there.
    pub in_place: bool,
}

/// What a forward pass leaves for its backward pass: the statistics it normalized with.
#[derive(Debug)]
pub struct Saved {
    pub(super) shape: Vec<usize>,
    pub(super) element: Element,
    /// Kept until backward has found where the activation was.
    pub(super) residual: Option<Tensor>,
    pub(super) in_place: bool,
    pub(super) statistics: Used,
}

#[derive(Debug)]
pub(super) enum Used {
    /// Rows of saved statistics, `[5][C]`.
    Batch(Tensor),
    /// A copy of the running statistics, `[3][C]`.
    Frozen(Tensor),
}

impl Used {
    pub(super) fn rows(&self) -> &Tensor {
        match self {
            Self::Batch(rows) | Self::Frozen(rows) => rows,
        }
    }
}

impl Saved {
    fn new(x: &Tensor, request: ForwardRequest<'_>, statistics: Used) -> Self {
        Self {
            shape: x.shape().to_vec(),
            element: x.element(),
            residual: request.residual.cloned(),
            in_place: request.in_place,
            statistics,
        }
    }

    /// The batch's statistics on the host; `None` where running statistics were used.
    ///
    /// # Errors
    /// A device that was lost or reported a fault.
    pub async fn read(&self) -> Result<Option<SavedStatistics>, Error> {
        match &self.statistics {
            Used::Batch(rows) => Ok(Some(read_saved(rows).await?)),
            Used::Frozen(_) => Ok(None),
        }
    }
}

impl BatchNorm {
    /// Normalizes `x`, whose channel axis is the configuration's.
    ///
    /// # Errors
    /// A shape that does not fit the layer; one value per channel where the options rule that
    /// out; a failed check, which leaves running statistics as they were; a failed device.
    pub async fn forward(&mut self, x: &Tensor, mode: Mode) -> Result<Forward, Error> {
        self.forward_with(x, mode, ForwardRequest::default()).await
    }

    /// [`BatchNorm::forward`] with a residual, or in place: `y = g(BN(x) + residual)`, g the
    /// configuration's activation.
    ///
    /// # Errors
    /// As [`BatchNorm::forward`], and a residual that does not fit `x`.
    pub async fn forward_with(
        &mut self,
        x: &Tensor,
        mode: Mode,
        request: ForwardRequest<'_>,
    ) -> Result<Forward, Error> {
        let plan = self.plan(x)?;
        if let Some(residual) = request.residual {
            self.like(x, "residual", residual)?;
        }
        if mode == Mode::Eval && self.running.is_some() {
            return self.infer(&plan, x, request).await;
        }
        self.train(&plan, x, request).await
    }

    async fn train(
        &mut self,
        plan: &Plan,
        x: &Tensor,
        request: ForwardRequest<'_>,
    ) -> Result<Forward, Error> {
        let view = plan.view();
        // Refused before anything is allocated or moved.
        self.config.validate_training(&view)?;
        let before = match (&self.running, self.check) {
            (Some(running), Check::Report | Check::Enforce) => Some(read_running(running).await?),
            _ => None,
        };
        // In place, x is gone afterwards.
        let host = match self.check {
            Check::Off => None,
            _ => Some(self.host_input(view, x, request.residual).await?),
        };
        let (y, bound_y) = self.output(x, request)?;
        let saved = Tensor::empty(&self.gpu, &[5, self.channels])?;
        let workspace = self.workspace(plan.workspace_bytes())?;
        let outputs = [
            ("saved before the run", Some(&saved)),
            ("workspace before the run", Some(&workspace)),
            ("y before the run", bound_y.as_ref()),
        ];
        let proof = self.proof(&outputs).await?;
        let buffers = TrainBuffers::new(x.slice(), saved.slice(), workspace.slice())
            .with_y(bound_y.as_ref().map(Tensor::slice))
            .with_residual(request.residual.map(Tensor::slice))
            .with_affine(self.bound_affine())
            .with_running(self.running.as_ref().map(Tensor::slice));
        let binding = plan.bind_train(&buffers)?;
        let canary = proof.as_ref().map(|proof| &proof.canary);
        self.gpu.submit(|_| {}, |pass| binding.encode(pass), canary);
        let mut report = None;
        if let Some((host, proof)) = host.zip(proof) {
            let checked = self.check_train(&host, &y, &saved, before.as_ref()).await?;
            let checked = proof.complete(checked).await?;
            let enforced = self.check.apply(checked);
            if let (Err(_), Some(before)) = (&enforced, &before) {
                self.write_running(before)?;
            }
            report = enforced?;
        }
        if self.running.is_some() {
            self.num_batches_tracked += 1;
        }
        Ok(Forward {
            y,
            saved: Saved::new(x, request, Used::Batch(saved)),
            report,
        })
    }

    /// Where y goes, and what to bind for it: nothing in place.
    fn output(
        &self,
        x: &Tensor,
        request: ForwardRequest<'_>,
    ) -> Result<(Tensor, Option<Tensor>), Error> {
        if request.in_place {
            return Ok((x.clone(), None));
        }
        let y = Tensor::empty_as(&self.gpu, x.shape(), x.element())?;
        Ok((y.clone(), Some(y)))
    }

    async fn infer(
        &mut self,
        plan: &Plan,
        x: &Tensor,
        request: ForwardRequest<'_>,
    ) -> Result<Forward, Error> {
        let host = match self.check {
            Check::Off => None,
            _ => Some(self.host_input(plan.view(), x, request.residual).await?),
        };
        let running = self
            .running
            .as_ref()
            .ok_or(ConfigError::NoRunningStatistics)?;
        let (y, bound_y) = self.output(x, request)?;
        let buffers = InferenceBuffers::new(x.slice(), running.slice())
            .with_y(bound_y.as_ref().map(Tensor::slice))
            .with_residual(request.residual.map(Tensor::slice))
            .with_affine(self.bound_affine());
        let binding = plan.bind_inference(&buffers)?;
        // Backward wants the statistics as they are now, whatever training does meanwhile.
        let frozen = Tensor::empty(&self.gpu, running.shape())?;
        let outputs = [
            ("frozen statistics before the run", Some(&frozen)),
            ("y before the run", bound_y.as_ref()),
        ];
        let proof = self.proof(&outputs).await?;
        let bytes = running.buffer().size();
        self.gpu.submit(
            |encoder| {
                encoder.copy_buffer_to_buffer(running.buffer(), 0, frozen.buffer(), 0, bytes);
            },
            |pass| binding.encode(pass),
            proof.as_ref().map(|proof| &proof.canary),
        );
        let mut report = None;
        if let Some((host, proof)) = host.zip(proof) {
            let statistics = read_running(&frozen).await?;
            let (mean, variance) = (&statistics.mean, &statistics.variance);
            let checked = check::inference(&host.input(), mean, variance, &y.read().await?);
            let checked = proof.complete(checked).await?;
            report = self.check.apply(checked)?;
        }
        Ok(Forward {
            y,
            saved: Saved::new(x, request, Used::Frozen(frozen)),
            report,
        })
    }
}
