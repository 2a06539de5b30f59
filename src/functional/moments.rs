//! `tf.nn.moments` on the device and on the CPU path.

use crate::binding::Binding;
use crate::bindings::{Request, bind};
use crate::canary::Canary;
use crate::config::Config;
use crate::error::Error;
use crate::error::ShapeError;
use crate::operation::{Asked, Operation};
use crate::reduction::Reduction;
use crate::stats::Moments;
use crate::tensor::Tensor;

/// Moments on the device: what [`moments`] gives and [`normalize`](super::normalize()) takes.
#[derive(Clone, Debug)]
pub struct DeviceMoments {
    reduction: Reduction,
    keep_dims: bool,
    /// pivot, offset and m2, a row each.
    pub(super) rows: Tensor,
}

impl DeviceMoments {
    /// The shape of mean and variance: the kept axes, and 1 for each reduced one where
    /// `keep_dims` was asked for.
    pub fn shape(&self) -> Vec<usize> {
        self.reduction.statistics_shape(self.keep_dims)
    }

    /// How many values are behind each mean.
    pub fn count(&self) -> f64 {
        self.reduction.counts().0 as f64
    }

    /// The split of a tensor of this shape that has its statistics in these: as many axes, and the kept ones as
    /// long.
    pub(crate) fn split_of(&self, shape: &[usize]) -> Result<Reduction, ShapeError> {
        let split = self.reduction.on(shape)?;
        split.ok_or_else(|| ShapeError::Broadcast {
            tensor: "moments",
            got: self.reduction.statistics_shape(true),
            x: shape.to_vec(),
        })
    }

    /// pivot, offset and m2, `[3][K]`, on the device.
    pub fn rows(&self) -> &Tensor {
        &self.rows
    }

    /// Copies the moments to the host.
    ///
    /// # Errors
    /// A device that was lost or reported an error.
    pub async fn read(&self) -> Result<Moments, Error> {
        let rows = self.rows.read().await?;
        Moments::from_rows(self.count(), &rows)
    }

    /// Blocking twin of [`DeviceMoments::read`].
    ///
    /// # Errors
    /// As [`DeviceMoments::read`].
    #[cfg(feature = "blocking")]
    pub fn read_blocking(&self) -> Result<Moments, Error> {
        pollster::block_on(self.read())
    }
}

/// Mean and biased variance of `x` over `axes` (negative ones count from the end):
/// `tf.nn.moments`, `μ = Σx/m` and `σ² = Σ(x−μ)²/m` over the m values of the reduced axes. Two dispatches, submitted
/// and not waited for.
///
/// # Errors
/// Axes out of range or named twice; a tensor too large; no memory; a lost device, where wgpu tells it at once.
pub fn moments(x: &Tensor, axes: &[isize], keep_dims: bool) -> Result<DeviceMoments, Error> {
    let prepared = PreparedMoments::new(x, axes, keep_dims)?;
    prepared.submit(None)?;
    Ok(prepared.moments)
}

/// What [`moments`] submits, and where its results will be.
#[cfg(feature = "internals")]
pub fn bind_moments(
    x: &Tensor,
    axes: &[isize],
    keep_dims: bool,
) -> Result<(Binding, DeviceMoments), Error> {
    let prepared = PreparedMoments::new(x, axes, keep_dims)?;
    Ok((prepared.binding, prepared.moments))
}

/// What is submitted, where its results will be, and its scratch.
pub(crate) struct PreparedMoments {
    binding: Binding,
    pub(crate) moments: DeviceMoments,
    #[cfg_attr(
        not(feature = "reference"),
        expect(dead_code, reason = "checks fill it")
    )]
    pub(crate) workspace: Tensor,
}

impl PreparedMoments {
    pub(crate) fn new(x: &Tensor, axes: &[isize], keep_dims: bool) -> Result<Self, Error> {
        let gpu = x.gpu();
        let context = gpu.context();
        let reduction = Reduction::over(x.shape(), axes)?;
        let operation = Operation::Moments;
        let schedule = reduction.plan(x.element(), &operation.needs(), context.machine())?;
        let rows = Tensor::empty(gpu, &[3, reduction.counts().1])?;
        let workspace = Tensor::scratch(gpu, schedule.workspace_bytes())?;
        let request = Request {
            operation,
            // Moments have no options.
            config: &Config::pytorch().without_running(),
            schedule: &schedule,
            asked: Asked::default(),
            buffers: &[
                ("x", Some(x.slice())),
                ("moments", Some(rows.slice())),
                ("workspace", Some(workspace.slice())),
            ],
            textures: &[],
        };
        let binding = bind(context, &request)?;
        Ok(Self {
            binding,
            moments: DeviceMoments {
                reduction,
                keep_dims,
                rows,
            },
            workspace,
        })
    }

    pub(crate) fn submit(&self, canary: Option<&Canary>) -> Result<(), Error> {
        let encode = |pass: &mut wgpu::ComputePass<'_>| self.binding.encode(pass);
        let gpu = self.moments.rows.gpu();
        Ok(gpu.submit("moments", |_| {}, encode, canary)?)
    }
}

/// [`moments`] on the CPU path, of a tensor on the host: with the shape of mean and variance, whose values lie in
/// row-major order of the axes that are kept.
///
/// # Errors
/// Axes out of range or named twice; another number of values than `shape` has.
#[cfg(feature = "cpu")]
pub fn cpu_moments(
    x: &[f32],
    shape: &[usize],
    axes: &[isize],
    keep_dims: bool,
) -> Result<(Moments, Vec<usize>), Error> {
    let reduction = Reduction::over(shape, axes)?;
    reduction.check_len("x", x)?;
    let moments = match reduction.dense() {
        Some(view) => crate::cpu::moments(&view, x)?,
        None => {
            let (gathered, view) = reduction.gather(x);
            crate::cpu::moments(&view, &gathered)?
        }
    };
    Ok((moments, reduction.statistics_shape(keep_dims)))
}
