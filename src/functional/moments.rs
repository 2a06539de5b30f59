//! `tf.nn.moments` on the device and on the CPU path.

use crate::binding::Binding;
use crate::bindings::{Request, bind};
use crate::canary::Canary;
use crate::config::Config;
use crate::element::Element;
use crate::error::Error;
use crate::error::ShapeError;
use crate::operation::{Asked, AskedWeights, Operation};
use crate::plan::Needs;
use crate::reduction::Reduction;
#[cfg(feature = "cpu")]
use crate::shape::check_len;
use crate::shape::same_element;
use crate::stats::Moments;
use crate::tensor::Tensor;
use crate::weights::{Outside, Weights};

/// Moments on the device: what [`moments`] gives and [`normalize`](super::normalize()) takes.
#[derive(Clone, Debug)]
pub struct DeviceMoments {
    reduction: Reduction,
    keep_dims: bool,
    /// pivot, offset and m2, a row each; of weighted values σ² in place of m2.
    pub(super) rows: Tensor,
    pub(crate) weights: Option<Tensor>,
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

    /// What the last of the rows is to be divided by.
    pub(crate) fn divisor(&self) -> f64 {
        match self.weights {
            Some(_) => 1.0,
            None => self.count(),
        }
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

    /// pivot, offset and m2, `[3][K]`, on the device; of weighted values pivot, offset and the variance.
    pub fn rows(&self) -> &Tensor {
        &self.rows
    }

    /// Copies the moments to the host; those of weighted values with the sum of weights for their count, which takes
    /// the weights.
    ///
    /// # Errors
    /// A device that was lost or reported an error; a weight that is negative or not finite.
    pub async fn read(&self) -> Result<Moments, Error> {
        let mut rows = self.rows.read().await?;
        let Some(weights) = &self.weights else {
            return Moments::from_rows(self.count(), &rows);
        };
        let values = weights.read().await?;
        let places = self.reduction.places_of(weights.shape())?;
        let weights = Weights::at(&values, places, Outside::Normalize);
        weights.validate()?;
        let sum = weights.sum();
        let squares = 2 * rows.len() / 3;
        let to_squares = |variance: &mut f32| *variance = (f64::from(*variance) * sum) as f32;
        rows[squares..].iter_mut().for_each(to_squares);
        Moments::from_rows(sum, &rows)
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
    let prepared = PreparedMoments::new(x, None, axes, keep_dims)?;
    prepared.submit(None)?;
    Ok(prepared.moments)
}

/// Mean and biased variance of `x` over `axes` by weights: `tf.nn.weighted_moments`, `μ = Σwx/W` and `σ² = Σw(x−μ)²/W`,
/// where W = Σw over the reduced axes. `weights` is f32, and its shape is 1 on the kept axes and, on each other, 1 or as
/// long as `x`, aligned from the right. Where a weight is 0, `x` may hold anything. Of weights that are all 0, and
/// where one is negative or not finite, mean and variance are NaN.
///
/// ```
/// use wgpu_batchnorm::{Tensor, functional};
///
/// # let gpu = wgpu_batchnorm::Gpu::new_blocking(&wgpu_batchnorm::Adapter::Best)?;
/// let x = Tensor::upload(&gpu, &[3, 1], &[0.0, 1.0, f32::NAN])?;
/// let weights = Tensor::upload(&gpu, &[3, 1], &[1.0, 2.0, 0.0])?;
/// let moments = functional::weighted_moments(&x, &weights, &[0], false)?.read_blocking()?;
/// assert!((moments.mean()[0] - 2.0 / 3.0).abs() < 1e-6);
/// assert!((moments.variance()[0] - 2.0 / 9.0).abs() < 1e-6);
/// # Ok::<_, wgpu_batchnorm::Error>(())
/// ```
///
/// # Errors
/// As [`moments`]; weights that do not fit `x`.
pub fn weighted_moments(
    x: &Tensor,
    weights: &Tensor,
    axes: &[isize],
    keep_dims: bool,
) -> Result<DeviceMoments, Error> {
    let prepared = PreparedMoments::new(x, Some(weights), axes, keep_dims)?;
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
    let prepared = PreparedMoments::new(x, None, axes, keep_dims)?;
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
    pub(crate) fn new(
        x: &Tensor,
        weights: Option<&Tensor>,
        axes: &[isize],
        keep_dims: bool,
    ) -> Result<Self, Error> {
        let gpu = x.gpu();
        let context = gpu.context();
        let reduction = Reduction::over(x.shape(), axes)?;
        let mut asked = Asked::default();
        if let Some(weights) = weights {
            gpu.owns("weights", weights.gpu())?;
            same_element("weights", weights.element(), Element::F32)?;
            asked.weights = Some(AskedWeights {
                places: reduction.places_of(weights.shape())?,
                outside: Outside::Normalize,
                per_weight: true,
            });
        }
        let operation = Operation::Moments;
        let needs = Needs {
            looks: if weights.is_some() { 2 } else { 1 },
            ..operation.needs()
        };
        let schedule = reduction.plan(x.element(), &needs, context.machine())?;
        let rows = Tensor::empty(gpu, &[3, reduction.counts().1])?;
        let workspace = Tensor::scratch(gpu, schedule.workspace_bytes())?;
        let request = Request {
            operation,
            // Moments have no options.
            config: &Config::pytorch().without_running(),
            schedule: &schedule,
            asked,
            buffers: &[
                ("x", Some(x.slice())),
                ("weights", weights.map(Tensor::slice)),
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
                weights: weights.cloned(),
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

/// [`weighted_moments`] on the CPU path, of tensors on the host: as [`cpu_moments`], with weights of a shape of their own.
///
/// # Errors
/// As there; weights that do not fit `x`; one that is negative or not finite.
#[cfg(feature = "cpu")]
pub fn cpu_weighted_moments(
    (x, shape): (&[f32], &[usize]),
    (weights, weights_shape): (&[f32], &[usize]),
    axes: &[isize],
    keep_dims: bool,
) -> Result<(Moments, Vec<usize>), Error> {
    let reduction = Reduction::over(shape, axes)?;
    reduction.check_len("x", x)?;
    let places = reduction.places_of(weights_shape)?;
    check_len("weights", weights.len(), places.len)?;
    let weights = Weights::at(weights, places, Outside::Normalize);
    let moments = match reduction.dense() {
        Some(view) => crate::cpu::weighted_moments(&view, x, &weights)?,
        None => {
            let (gathered, view) = reduction.gather(x);
            let spread = reduction.gather_weights(&weights);
            let runs = [1, view.channels(), view.count()];
            let weights = Weights::new(&spread, &[view.count()], &runs, 1, Outside::Normalize)?;
            crate::cpu::weighted_moments(&view, &gathered, &weights)?
        }
    };
    Ok((moments, reduction.statistics_shape(keep_dims)))
}
