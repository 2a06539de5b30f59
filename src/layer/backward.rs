//! Gradients.

use super::recorded::Recorded;
use super::saved::Used;
use super::{BackwardRequest, BatchNorm};
use crate::canary::Canary;
use crate::element::Element;
use crate::error::Error;
use crate::record::{BackwardBuffers, StatisticsRows};
use crate::shape::{same_element, same_shape};
use crate::stats::rows;
use crate::tensor::Tensor;

/// What errors call the tensors of a backward pass.
const BOUND: [&str; 10] = [
    "x",
    "dy",
    "dx",
    "residual",
    "dresidual",
    "saved",
    "grads",
    "grads",
    "affine",
    "weights",
];

/// Gradients of one backward pass.
#[derive(Debug)]
#[non_exhaustive]
pub struct Gradients {
    /// Gradient of the input, where it was wanted.
    pub dx: Option<Tensor>,
    /// Gradient of the residual, where it was wanted.
    pub dresidual: Option<Tensor>,
    /// Gradients of the parameters: rows of dweight and dbias, `[2, C]` in f32. For a parameter that the layer lacks,
    /// it is the gradient of a weight of 1 or a bias of 0.
    pub parameters: Tensor,
    recorded: Recorded<{ BOUND.len() }>,
}

impl Gradients {
    /// The weight's gradient on the host, `[C]`.
    ///
    /// # Errors
    /// A device that was lost or reported an error.
    pub async fn dweight(&self) -> Result<Vec<f32>, Error> {
        let [dweight, _] = rows(&self.parameters.read().await?)?;
        Ok(dweight)
    }

    /// The bias's gradient on the host, `[C]`.
    ///
    /// # Errors
    /// A device that was lost or reported an error.
    pub async fn dbias(&self) -> Result<Vec<f32>, Error> {
        let [_, dbias] = rows(&self.parameters.read().await?)?;
        Ok(dbias)
    }

    /// Blocking twin of [`Gradients::dweight`].
    ///
    /// # Errors
    /// As there.
    #[cfg(feature = "blocking")]
    pub fn dweight_blocking(&self) -> Result<Vec<f32>, Error> {
        pollster::block_on(self.dweight())
    }

    /// Blocking twin of [`Gradients::dbias`].
    ///
    /// # Errors
    /// As there.
    #[cfg(feature = "blocking")]
    pub fn dbias_blocking(&self) -> Result<Vec<f32>, Error> {
        pollster::block_on(self.dbias())
    }

    /// What a check fills before a run; rows that are added to are not among them.
    #[cfg(feature = "reference")]
    pub(crate) fn outputs(&self, adds: bool) -> Vec<(&'static str, &Tensor)> {
        let mut outputs = Vec::new();
        let mut add = |name, tensor: Option<_>| outputs.extend(tensor.map(|t| (name, t)));
        add(
            "gradients before the run",
            (!adds).then_some(&self.parameters),
        );
        add("workspace before the run", self.recorded.workspace.as_ref());
        add("dx before the run", self.dx.as_ref());
        add("dresidual before the run", self.dresidual.as_ref());
        outputs
    }
}

impl BatchNorm {
    /// Gradients of a forward pass on `x` with upstream gradient `dy`, through batch statistics after
    /// [`Mode::Train`](super::Mode::Train) and through frozen ones after [`Mode::Eval`](super::Mode::Eval): records and
    /// submits, and does not wait.
    ///
    /// `request` is a `&`[`Saved`](super::Saved), or a [`BackwardRequest`] that leaves out `dx`, asks for `dresidual` or adds to
    /// given gradients. One forward pass may have any number of backward passes.
    ///
    /// # Errors
    /// Shapes or elements that do not fit the forward pass; a forward pass in place, which left no `x`; an
    /// `x`, parameters or (behind an activation) a residual that was written since the forward pass; no
    /// memory; a lost device, where wgpu tells it at once.
    pub fn backward<'a>(
        &self,
        x: &Tensor,
        dy: &Tensor,
        request: impl Into<BackwardRequest<'a>>,
    ) -> Result<Gradients, Error> {
        let gradients = self.prepare_backward(x, dy, request.into(), None)?;
        self.submit_backward(&gradients, None)?;
        Ok(gradients)
    }

    /// [`BatchNorm::backward`] into what an earlier pass gave, which is overwritten. While the tensors and the request stay
    /// the same, it makes no buffer, no bind group and no pipeline, and writes nothing from the host.
    ///
    /// Before the call, tensors of `gradients` may be replaced by others of the same shape and element.
    /// Afterwards, what the request leaves out is `None`. What is wanted and was `None` is made.
    ///
    /// # Errors
    /// As [`BatchNorm::backward`]; tensors of `gradients` that do not fit; a tensor that was destroyed, by its name. `gradients`
    /// then stays as it was.
    pub fn backward_into<'a>(
        &self,
        x: &Tensor,
        dy: &Tensor,
        request: impl Into<BackwardRequest<'a>>,
        gradients: &mut Gradients,
    ) -> Result<(), Error> {
        let request = request.into();
        request.saved.check(x, &self.affine)?;
        let outputs = Outputs {
            dx: gradients.dx.clone().filter(|_| request.dx),
            dresidual: gradients.dresidual.clone().filter(|_| request.dresidual),
            rows: request.add_into.unwrap_or(&gradients.parameters).clone(),
        };
        let whole =
            outputs.dx.is_some() == request.dx && outputs.dresidual.is_some() == request.dresidual;
        let tensors = self.bound_backward(x, dy, request, &outputs);
        if !(whole && gradients.recorded.fits(tensors, None)) {
            *gradients = self.prepare_backward(x, dy, request, Some(gradients))?;
        }
        self.submit_backward(gradients, None)
    }

    /// What a binding is made of, but for its scratch: tensors for [`BOUND`].
    fn bound_backward<'a>(
        &'a self,
        x: &'a Tensor,
        dy: &'a Tensor,
        request: BackwardRequest<'a>,
        outputs: &'a Outputs,
    ) -> [Option<&'a Tensor>; BOUND.len()] {
        let saved = request.saved;
        [
            Some(x),
            Some(dy),
            outputs.dx.as_ref(),
            saved.residual.as_ref(),
            outputs.dresidual.as_ref(),
            Some(saved.statistics.rows()),
            // Added to, they stand here; written, below.
            request.add_into,
            request.add_into.is_none().then_some(&outputs.rows),
            // Another layer may have reused all of the others.
            Some(&self.affine),
            saved.weights.as_ref().map(|(weights, _)| weights),
        ]
    }

    /// Everything of a backward pass but its submission; outputs are those of `given`, where it has some.
    pub(crate) fn prepare_backward(
        &self,
        x: &Tensor,
        dy: &Tensor,
        request: BackwardRequest<'_>,
        given: Option<&Gradients>,
    ) -> Result<Gradients, Error> {
        let saved = request.saved;
        saved.check(x, &self.affine)?;
        self.like(x, "dy", dy)?;
        self.gpu.owns("saved", saved.statistics.rows().gpu())?;
        let plan = self.plan(x)?;
        let outputs = self.outputs(x, request, given)?;
        let workspace = self.workspace(plan.workspace_bytes())?;
        let statistics = match &saved.statistics {
            Used::Batch(rows) => StatisticsRows::Saved(rows.slice()),
            Used::Frozen(rows) => StatisticsRows::Running(rows.slice()),
        };
        let buffers = BackwardBuffers::new(x.slice(), dy.slice(), statistics, workspace.slice())
            .with_weights(self.weights(saved.weights.as_ref().map(|(w, outside)| (w, *outside)))?)
            .with_dx(outputs.dx.as_ref().map(Tensor::slice))
            .with_residual(saved.residual.as_ref().map(Tensor::slice))
            .with_dresidual(outputs.dresidual.as_ref().map(Tensor::slice))
            .with_affine(self.bound_affine())
            .with_grads(outputs.rows.slice())
            .with_accumulate(request.add_into.is_some());
        let binding = plan.bind_backward(&buffers)?;
        let tensors = self.bound_backward(x, dy, request, &outputs);
        let recorded = Recorded::new(binding, tensors, None, Some(workspace));
        Ok(Gradients {
            dx: outputs.dx,
            dresidual: outputs.dresidual,
            parameters: outputs.rows,
            recorded,
        })
    }

    /// Where the gradients go.
    fn outputs(
        &self,
        x: &Tensor,
        request: BackwardRequest<'_>,
        given: Option<&Gradients>,
    ) -> Result<Outputs, Error> {
        let map = |wanted: bool, name, given: Option<&Tensor>| match given {
            _ if !wanted => Ok(None),
            Some(tensor) => {
                self.like(x, name, tensor)?;
                Ok(Some(tensor.clone()))
            }
            None => Ok::<_, Error>(Some(Tensor::empty_as(&self.gpu, x.shape(), x.element())?)),
        };
        let given_dx = given.and_then(|given| given.dx.as_ref());
        let given_dresidual = given.and_then(|given| given.dresidual.as_ref());
        Ok(Outputs {
            dx: map(request.dx, "dx", given_dx)?,
            dresidual: map(request.dresidual, "dresidual", given_dresidual)?,
            rows: match request.add_into.or(given.map(|given| &given.parameters)) {
                Some(rows) => {
                    self.gpu.owns("gradients", rows.gpu())?;
                    same_shape("gradients", rows.shape(), &[2, self.channels])?;
                    same_element("gradients", rows.element(), Element::F32)?;
                    rows.clone()
                }
                None => Tensor::empty(&self.gpu, &[2, self.channels])?,
            },
        })
    }

    /// Submits a prepared pass, and a canary behind it where there is one.
    pub(crate) fn submit_backward(
        &self,
        gradients: &Gradients,
        canary: Option<&Canary>,
    ) -> Result<(), Error> {
        let encode = |pass: &mut wgpu::ComputePass<'_>| gradients.recorded.binding.encode(pass);
        let submitted = self
            .gpu
            .submit("batch norm, backward", |_| {}, encode, canary);
        submitted.map_err(|error| self.gpu.blame(error, gradients.recorded.named(BOUND)))?;
        let outputs = [gradients.dx.as_ref(), gradients.dresidual.as_ref()];
        outputs.into_iter().flatten().for_each(Tensor::written);
        gradients.parameters.written();
        Ok(())
    }
}

/// The tensors that a backward pass writes.
struct Outputs {
    dx: Option<Tensor>,
    dresidual: Option<Tensor>,
    rows: Tensor,
}
