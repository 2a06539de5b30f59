//! Training and inference.

use super::recorded::Recorded;
use super::saved::Used;
use super::{BatchNorm, ForwardRequest, Mode, Saved};
use crate::binding::Binding;
use crate::canary::Canary;
use crate::config::Momentum;
use crate::error::ConfigError;
use crate::error::Error;
use crate::record::{InferenceBuffers, Plan, TrainBuffers};
use crate::shape::{same_element, same_shape};
use crate::tensor::Tensor;

/// What errors call the tensors of a forward pass.
const BOUND: [&str; 7] = [
    "x", "y", "residual", "affine", "running", "saved", "weights",
];

/// What a forward pass gives.
#[derive(Debug)]
#[non_exhaustive]
pub struct Forward {
    /// The output, in the input's shape and element.
    pub y: Tensor,
    /// What [`BatchNorm::backward`] wants.
    pub saved: Saved,
    /// Whether running statistics moved.
    moves: bool,
    recorded: Recorded<{ BOUND.len() }>,
}

/// Where y stands among the tensors of [`BatchNorm::bound`].
#[cfg(feature = "reference")]
const Y: usize = 1;

impl Forward {
    /// What a check fills before a run.
    #[cfg(feature = "reference")]
    pub(crate) fn outputs(&self) -> Vec<(&'static str, &Tensor)> {
        let mut outputs = Vec::new();
        match &self.saved.statistics {
            // Of an empty batch they are there before.
            Used::Batch(_) if self.y.is_empty() => {}
            Used::Batch(saved) => outputs.push(("saved before the run", saved)),
            Used::Frozen(frozen) => outputs.push(("frozen statistics before the run", frozen)),
        }
        let workspace = self.recorded.workspace.as_ref();
        outputs.extend(workspace.map(|tensor| ("workspace before the run", tensor)));
        // In place there is no y before the run.
        let apart = self.recorded.tensor(Y);
        outputs.extend(apart.map(|y| ("y before the run", y)));
        outputs
    }
}

impl BatchNorm {
    /// Normalizes `x`, whose channel axis is the configuration's: records and submits, and does not wait.
    ///
    /// `request` is a [`Mode`], or a [`ForwardRequest`] that adds a residual or works in place.
    ///
    /// # Errors
    /// A shape that does not fit the layer; one value per channel where the options rule that out; a residual that
    /// does not fit `x`; no memory; a lost device, where wgpu tells it at once. Nothing has moved then.
    pub fn forward<'a>(
        &mut self,
        x: &Tensor,
        request: impl Into<ForwardRequest<'a>>,
    ) -> Result<Forward, Error> {
        let request = request.into();
        let mut forward = self.prepare_forward(x, request, None)?;
        self.submit_forward(x, &mut forward, None)?;
        Ok(forward)
    }

    /// [`BatchNorm::forward`] into what an earlier pass gave: `y` and the saved statistics are overwritten. While
    /// `x`, the request and the layer's momentum stay the same, it makes no buffer, no bind group and no pipeline, and writes
    /// nothing from the host.
    ///
    /// Before the call, `forward.y` may be replaced by another tensor of `x`'s shape and element.
    ///
    /// # Errors
    /// As [`BatchNorm::forward`]; a `forward.y` that does not fit `x`; a tensor that was destroyed, by its name. `forward` then stays
    /// as it was. Where it makes nothing, wgpu tells it nothing of a lost device: the next read does.
    pub fn forward_into<'a>(
        &mut self,
        x: &Tensor,
        request: impl Into<ForwardRequest<'a>>,
        forward: &mut Forward,
    ) -> Result<(), Error> {
        let request = request.into();
        let used = match (self.frozen(request.mode), &forward.saved.statistics) {
            (true, Used::Frozen(rows)) | (false, Used::Batch(rows)) => Some(rows),
            _ => None,
        };
        let same = used.is_some_and(|rows| {
            let y = (!request.in_place).then_some(&forward.y);
            let tensors = self.bound(x, y, request, rows);
            let outside = |weights: Option<_>| weights.map(|(_, outside)| outside);
            outside(request.weights) == outside(forward.saved.weights.as_ref().map(|w| (&w.0, w.1)))
                && forward.recorded.fits(tensors, self.momentum(request))
        });
        if !same {
            *forward = self.prepare_forward(x, request, Some(forward))?;
        }
        self.submit_forward(x, forward, None)
    }

    /// Inference: normalizes `x` with the running statistics, or with the batch's own where the layer keeps none.
    /// It records and submits, and does not wait. Nothing of the layer moves, so any number of threads may call it at once.
    ///
    /// # Errors
    /// As [`BatchNorm::forward`].
    pub fn infer(&self, x: &Tensor) -> Result<Tensor, Error> {
        let inference = self.prepare_inference(x)?;
        self.submit_inference(&inference, None)?;
        Ok(inference.y)
    }

    /// Whether this mode normalizes with running statistics.
    fn frozen(&self, mode: Mode) -> bool {
        mode == Mode::Eval && self.running.is_some()
    }

    /// The running statistics that this pass reads or moves.
    fn running_of(&self, request: ForwardRequest<'_>) -> Option<&Tensor> {
        let kept = request.keep_running && !self.frozen(request.mode);
        self.running.as_ref().filter(|_| !kept)
    }

    /// How fast it moves them.
    fn momentum(&self, request: ForwardRequest<'_>) -> Option<Momentum> {
        let moved = self.running_of(request).is_some() && !self.frozen(request.mode);
        let running = self.config.running.filter(|_| moved);
        running.map(|running| running.momentum)
    }

    /// What a binding is made of, but for its scratch: tensors for [`BOUND`].
    fn bound<'a>(
        &'a self,
        x: &'a Tensor,
        y: Option<&'a Tensor>,
        request: ForwardRequest<'a>,
        statistics: &'a Tensor,
    ) -> [Option<&'a Tensor>; BOUND.len()] {
        [
            Some(x),
            y,
            request.residual,
            Some(&self.affine),
            self.running_of(request),
            Some(statistics),
            request.weights.map(|(weights, _)| weights),
        ]
    }

    /// Everything of a forward pass but its submission; outputs are those of `given`, where it has some.
    pub(crate) fn prepare_forward(
        &self,
        x: &Tensor,
        request: ForwardRequest<'_>,
        given: Option<&Forward>,
    ) -> Result<Forward, Error> {
        let plan = self.plan(x)?;
        if let Some(residual) = request.residual {
            self.like(x, "residual", residual)?;
        }
        let weights = self.weights(request.weights)?;
        let frozen = self.frozen(request.mode);
        if !frozen {
            // Refused before anything is allocated.
            self.config.validate_training(&plan.view())?;
        }
        let y = match given {
            _ if request.in_place => None,
            // In place it was x.
            Some(given) if !given.y.is(x) => {
                self.gpu.owns("y", given.y.gpu())?;
                same_shape("y", given.y.shape(), x.shape())?;
                same_element("y", given.y.element(), x.element())?;
                Some(given.y.clone())
            }
            _ => Some(Tensor::empty_as(&self.gpu, x.shape(), x.element())?),
        };
        let given = given.map(|given| given.saved.statistics.clone_rows());
        let (statistics, workspace, binding) = if frozen {
            let rows = match given {
                Some(Used::Frozen(rows)) if self.fits(&rows, 3) => rows,
                _ => Tensor::empty(&self.gpu, &[3, self.channels])?,
            };
            let binding = self.bind_inference(&plan, x, y.as_ref(), request)?;
            (Used::Frozen(rows), None, binding)
        } else {
            let rows = match given {
                Some(Used::Batch(rows)) if self.fits(&rows, 5) && !x.is_empty() => rows,
                _ if x.is_empty() => {
                    // A batch of nothing has no statistics, and no kernel runs that could say so.
                    let rows = vec![f32::NAN; 5 * self.channels];
                    Tensor::upload(&self.gpu, &[5, self.channels], &rows)?
                }
                _ => Tensor::empty(&self.gpu, &[5, self.channels])?,
            };
            let workspace = self.workspace(plan.workspace_bytes())?;
            let buffers = TrainBuffers::new(x.slice(), rows.slice(), workspace.slice())
                .with_weights(weights)
                .with_y(y.as_ref().map(Tensor::slice))
                .with_residual(request.residual.map(Tensor::slice))
                .with_affine(self.bound_affine())
                .with_running(self.running_of(request).map(Tensor::slice))
                .with_keep_running(request.keep_running);
            let binding = plan.bind_train(&buffers)?;
            (Used::Batch(rows), Some(workspace), binding)
        };
        let tensors = self.bound(x, y.as_ref(), request, statistics.rows());
        let momentum = self.momentum(request);
        let recorded = Recorded::new(binding, tensors, momentum, workspace);
        let activation = self.config.activation;
        let saved = Saved::new(x, request, &self.affine, activation, statistics);
        Ok(Forward {
            y: y.unwrap_or_else(|| x.clone()),
            saved,
            moves: momentum.is_some() && !x.is_empty(),
            recorded,
        })
    }

    /// Whether these rows of per-channel values may be this layer's.
    fn fits(&self, tensor: &Tensor, rows: usize) -> bool {
        self.gpu.owns("saved", tensor.gpu()).is_ok() && tensor.shape() == [rows, self.channels]
    }

    fn bind_inference(
        &self,
        plan: &Plan,
        x: &Tensor,
        y: Option<&Tensor>,
        request: ForwardRequest<'_>,
    ) -> Result<Binding, Error> {
        let running = self.running.as_ref();
        let running = running.ok_or(ConfigError::NoRunningStatistics)?;
        let buffers = InferenceBuffers::new(x.slice(), running.slice())
            .with_weights(self.weights(request.weights)?)
            .with_y(y.map(Tensor::slice))
            .with_residual(request.residual.map(Tensor::slice))
            .with_affine(self.bound_affine());
        Ok(plan.bind_inference(&buffers)?)
    }

    /// Submits a prepared pass, and a canary behind it where there is one.
    pub(crate) fn submit_forward(
        &mut self,
        x: &Tensor,
        forward: &mut Forward,
        canary: Option<&Canary>,
    ) -> Result<(), Error> {
        let copy = match &forward.saved.statistics {
            Used::Batch(_) => None,
            // Backward wants the statistics as they are now, whatever training does meanwhile.
            Used::Frozen(frozen) => self.running.as_ref().map(|running| (running, frozen)),
        };
        let operation = match copy {
            None => "batch norm, training forward",
            Some(_) => "batch norm, inference",
        };
        let submitted = self.gpu.submit(
            operation,
            |encoder| {
                if let Some((running, frozen)) = copy {
                    let bytes = running.word_bytes();
                    encoder.copy_buffer_to_buffer(running.buffer(), 0, frozen.buffer(), 0, bytes);
                }
            },
            |pass| forward.recorded.binding.encode(pass),
            canary,
        );
        submitted.map_err(|error| self.gpu.blame(error, forward.recorded.named(BOUND)))?;
        if forward.moves {
            self.num_batches_tracked = self.num_batches_tracked.saturating_add(1);
        }
        forward.saved.renew(x, &self.affine);
        forward.y.written();
        Ok(())
    }

    /// Everything of an inference but its submission.
    pub(crate) fn prepare_inference(&self, x: &Tensor) -> Result<Inference, Error> {
        if self.frozen(Mode::Eval) {
            let plan = self.plan(x)?;
            let y = Tensor::empty_as(&self.gpu, x.shape(), x.element())?;
            let binding = self.bind_inference(&plan, x, Some(&y), Mode::Eval.into())?;
            return Ok(Inference {
                y,
                binding,
                batch: None,
            });
        }
        let forward = self.prepare_forward(x, Mode::Eval.into(), None)?;
        Ok(Inference {
            y: forward.y,
            binding: forward.recorded.binding,
            batch: Some(forward.saved),
        })
    }

    pub(crate) fn submit_inference(
        &self,
        inference: &Inference,
        canary: Option<&Canary>,
    ) -> Result<(), Error> {
        let encode = |pass: &mut wgpu::ComputePass<'_>| inference.binding.encode(pass);
        Ok(self
            .gpu
            .submit("batch norm, inference", |_| {}, encode, canary)?)
    }
}

/// An inference that is ready to be submitted.
#[derive(Debug)]
pub(crate) struct Inference {
    pub(crate) y: Tensor,
    binding: Binding,
    /// The statistics of the batch, where the layer keeps none.
    #[cfg_attr(
        not(feature = "reference"),
        expect(dead_code, reason = "checks read it")
    )]
    pub(crate) batch: Option<Saved>,
}
