//! Gradients.

use super::forward::Used;
use super::{BatchNorm, Saved, row};
use crate::check::{Check, Report};
use crate::element::Element;
use crate::error::ConfigError;
use crate::error::Error;
use crate::record::{BackwardBuffers, StatisticsRows};
use crate::shape::{same_element, same_shape};
use crate::tensor::Tensor;

/// Gradients of one backward pass.
#[derive(Debug)]
pub struct Gradients {
    /// Gradient of the input, where it was wanted.
    pub dx: Option<Tensor>,
    /// Gradient of the residual, where it was wanted.
    pub dresidual: Option<Tensor>,
    /// dweight and dbias, `[2][C]`; for a parameter the layer lacks, that of a weight of 1 or a
    /// bias of 0.
    pub affine: Tensor,
    /// The comparison with the reference, where the layer checks.
    pub report: Option<Report>,
}

impl Gradients {
    /// The weight's gradient on the host, `[C]`.
    ///
    /// # Errors
    /// A device that was lost or reported a fault.
    pub async fn dweight(&self) -> Result<Vec<f32>, Error> {
        Ok(row(&self.affine.read().await?, 2, 0))
    }

    /// The bias's gradient on the host, `[C]`.
    ///
    /// # Errors
    /// A device that was lost or reported a fault.
    pub async fn dbias(&self) -> Result<Vec<f32>, Error> {
        Ok(row(&self.affine.read().await?, 2, 1))
    }
}

/// What a backward pass is to compute.
#[derive(Clone, Copy, Debug)]
pub struct BackwardRequest<'a> {
    /// Whether the input's gradient is wanted.
    pub dx: bool,
    /// Whether the residual's gradient is wanted. Without an activation it is `dy`.
    pub dresidual: bool,
    /// Rows of dweight and dbias, `[2, C]`, to add into; fresh ones where `None`.
    pub add_into: Option<&'a Tensor>,
}

impl Default for BackwardRequest<'_> {
    fn default() -> Self {
        Self {
            dx: true,
            dresidual: false,
            add_into: None,
        }
    }
}

impl BatchNorm {
    /// Gradients of the forward pass on `x` that gave `saved`, with upstream gradient `dy`:
    /// through batch statistics after [`Mode::Train`](super::Mode::Train), through frozen ones after [`Mode::Eval`](super::Mode::Eval).
    ///
    /// # Errors
    /// Shapes or elements that do not fit `saved`; a forward in place, which left no `x`; a failed check;
    /// a failed device.
    pub async fn backward(
        &mut self,
        x: &Tensor,
        dy: &Tensor,
        saved: Saved,
    ) -> Result<Gradients, Error> {
        self.backward_with(x, dy, saved, BackwardRequest::default())
            .await
    }

    /// [`BatchNorm::backward`], without `dx`, with `dresidual`, or adding into given gradients.
    ///
    /// # Errors
    /// As [`BatchNorm::backward`].
    pub async fn backward_with(
        &mut self,
        x: &Tensor,
        dy: &Tensor,
        saved: Saved,
        request: BackwardRequest<'_>,
    ) -> Result<Gradients, Error> {
        if saved.in_place {
            return Err(ConfigError::InPlace.into());
        }
        same_shape("x", x.shape(), &saved.shape)?;
        same_element("x", x.element(), saved.element)?;
        self.like(x, "dy", dy)?;
        self.gpu.owns("saved", saved.statistics.rows().gpu())?;
        let plan = self.plan(x)?;
        let dx = match request.dx {
            true => Some(Tensor::empty_as(&self.gpu, x.shape(), x.element())?),
            false => None,
        };
        let dresidual = match request.dresidual {
            true => Some(Tensor::empty_as(&self.gpu, x.shape(), x.element())?),
            false => None,
        };
        let grads = match request.add_into {
            Some(grads) => {
                self.gpu.owns("gradients", grads.gpu())?;
                same_shape("gradients", grads.shape(), &[2, self.channels])?;
                same_element("gradients", grads.element(), Element::F32)?;
                grads.clone()
            }
            None => Tensor::empty(&self.gpu, &[2, self.channels])?,
        };
        let before = match (request.add_into, self.check) {
            (Some(grads), Check::Report | Check::Enforce) => Some(grads.read().await?),
            _ => None,
        };
        let accumulate = request.add_into.is_some();
        let workspace = self.workspace(plan.workspace_bytes())?;
        let fresh_grads = (!accumulate).then_some(&grads);
        let outputs = [
            ("gradients before the run", fresh_grads),
            ("workspace before the run", Some(&workspace)),
            ("dx before the run", dx.as_ref()),
            ("dresidual before the run", dresidual.as_ref()),
        ];
        let proof = self.proof(&outputs).await?;
        let statistics = match &saved.statistics {
            Used::Batch(rows) => StatisticsRows::Saved(rows.slice()),
            Used::Frozen(running) => StatisticsRows::Running(running.slice()),
        };
        let buffers = BackwardBuffers::new(x.slice(), dy.slice(), statistics, workspace.slice())
            .with_dx(dx.as_ref().map(Tensor::slice))
            .with_residual(saved.residual.as_ref().map(Tensor::slice))
            .with_dresidual(dresidual.as_ref().map(Tensor::slice))
            .with_affine(self.bound_affine())
            .with_grads(grads.slice())
            .with_accumulate(accumulate);
        let binding = plan.bind_backward(&buffers)?;
        let canary = proof.as_ref().map(|proof| &proof.canary);
        self.gpu.submit(|_| {}, |pass| binding.encode(pass), canary);
        let mut gradients = Gradients {
            dx,
            dresidual,
            affine: grads,
            report: None,
        };
        if let Some(proof) = proof {
            let checked = self
                .check_backward(plan.view(), x, dy, &saved, &gradients, before.as_deref())
                .await?;
            let checked = proof.complete(checked).await?;
            gradients.report = self.check.apply(checked)?;
        }
        Ok(gradients)
    }
}
