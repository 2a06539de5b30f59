//! `tf.nn.moments` on the device, on the CPU path, and checked.

use crate::binding::Binding;
use crate::bindings::{Request, bind};
use crate::canary::Proof;
use crate::check::{self, Check, Finding, Report};
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
    pub(super) reduction: Reduction,
    keep_dims: bool,
    /// pivot, offset and m2, a row each.
    pub(super) rows: Tensor,
    /// The comparison with the reference, where one was asked for.
    pub report: Option<Report>,
}

impl DeviceMoments {
    /// The shape of mean and variance: the kept axes, and 1 for each reduced one where
    /// `keep_dims` was asked for.
    pub fn shape(&self) -> Vec<usize> {
        self.reduction.statistics_shape(self.keep_dims)
    }

    /// Values behind each mean.
    pub fn count(&self) -> usize {
        self.reduction.counts().0
    }

    /// pivot, offset and m2, `[3][K]`, on the device.
    pub fn rows(&self) -> &Tensor {
        &self.rows
    }

    /// Copies the moments to the host.
    ///
    /// # Errors
    /// A device that was lost or reported a fault.
    pub async fn read(&self) -> Result<Moments, Error> {
        let rows = self.rows.read().await?;
        Ok(Moments::from_rows(self.count() as u64, &rows))
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
/// `tf.nn.moments`. Two dispatches.
///
/// # Errors
/// Axes out of range or named twice; a tensor too large; a failed check; a failed device.
pub async fn moments(
    x: &Tensor,
    axes: &[isize],
    keep_dims: bool,
    check: Check,
) -> Result<DeviceMoments, Error> {
    let (binding, mut moments, workspace) = prepare(x, axes, keep_dims)?;
    let proof = match check {
        Check::Off => None,
        _ => {
            let outputs = [
                ("moments before the run", &moments.rows),
                ("workspace before the run", &workspace),
            ];
            Some(Proof::before(x.gpu(), &outputs).await?)
        }
    };
    let canary = proof.as_ref().map(|proof| &proof.canary);
    x.gpu().submit(|_| {}, |pass| binding.encode(pass), canary);
    if let Some(proof) = proof {
        let rows = moments.rows.read().await?;
        let got = Moments::from_rows(moments.count() as u64, &rows);
        let round = |v: Vec<f64>| -> Vec<f32> { v.into_iter().map(|v| v as f32).collect() };
        let (mean, variance) = (round(got.mean()), round(got.variance()));
        let mut report = check_moments(&x.read().await?, x.shape(), axes, &mean, &variance)?;
        report.findings.extend(Finding::unwritten("moments", &rows));
        let report = proof.complete(report).await?;
        moments.report = check.apply(report)?;
    }
    Ok(moments)
}

/// What [`moments`] submits, and where its results will be.
#[cfg(feature = "internals")]
pub fn bind_moments(
    x: &Tensor,
    axes: &[isize],
    keep_dims: bool,
) -> Result<(Binding, DeviceMoments), Error> {
    let (binding, moments, _) = prepare(x, axes, keep_dims)?;
    Ok((binding, moments))
}

/// What is submitted, where its results will be, and its scratch.
fn prepare(
    x: &Tensor,
    axes: &[isize],
    keep_dims: bool,
) -> Result<(Binding, DeviceMoments, Tensor), Error> {
    let gpu = x.gpu();
    let context = gpu.context();
    let reduction = Reduction::over(x.shape(), axes)?;
    let schedule = reduction.plan(x.element(), &Operation::Moments.needs(), context.machine())?;
    let rows = Tensor::empty(gpu, &[3, reduction.counts().1])?;
    let workspace = Tensor::scratch(gpu, schedule.workspace_bytes())?;
    let request = Request {
        operation: Operation::Moments,
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
    let moments = DeviceMoments {
        reduction,
        keep_dims,
        rows,
        report: None,
    };
    Ok((binding, moments, workspace))
}

/// [`moments`] on the CPU path, of a tensor on the host: with the shape of mean and variance.
///
/// # Errors
/// Axes out of range or named twice; another number of values than `shape` has.
#[cfg(feature = "cpu")]
pub fn cpu_moments(
    x: &[f32],
    shape: &[usize],
    axes: &[isize],
    keep_dims: bool,
) -> Result<(Moments, Vec<usize>), ShapeError> {
    let reduction = Reduction::over(shape, axes)?;
    reduction.check_len("x", x)?;
    let moments = match reduction.dense() {
        Some(view) => crate::cpu::moments(&view, x),
        None => {
            let (gathered, view) = reduction.gather(x);
            crate::cpu::moments(&view, &gathered)
        }
    };
    Ok((moments, reduction.statistics_shape(keep_dims)))
}

/// Compares mean and variance of `x` over `axes`, wherever they come from, with the reference.
///
/// # Errors
/// As [`moments`], and lengths that do not fit.
pub fn check_moments(
    x: &[f32],
    shape: &[usize],
    axes: &[isize],
    mean: &[f32],
    variance: &[f32],
) -> Result<Report, ShapeError> {
    let reduction = Reduction::over(shape, axes)?;
    reduction.check_len("x", x)?;
    let (gathered, view) = reduction.gather(x);
    Ok(check::moments(&view, &gathered, mean, variance))
}
