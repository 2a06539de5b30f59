//! An adapter's memory: buffer copies, copy kernels and sum kernels, each checked.

use wgpu_batchnorm::Tensor;

use super::super::device::GpuDevice;
use super::super::results::SUM_BOUND;
use super::super::sample::Effort;
use super::super::timer::{self, Timing};
use super::kernels::{self, Kernel};
use super::patterns::{COPIES, Pattern, SUMS};
use super::{BUFFER_COPY, KERNEL_COPY, KERNEL_SUM, Measured, Meter, TRIAL};
use crate::failure::Failure;
use testkit::data::Random;

/// The best kernels of an adapter, on tensors larger than its caches.
pub struct AdapterMeter<'a> {
    device: &'a GpuDevice,
    bytes: u64,
    /// Sources and destinations, gone round.
    pairs: Vec<[Tensor; 2]>,
    copy: (Pattern, Vec<Kernel>),
    sum: (Pattern, Vec<Kernel>),
}

impl<'a> AdapterMeter<'a> {
    /// Tries every pattern.
    pub fn new(
        device: &'a GpuDevice,
        rotation_bytes: u64,
        shown: &dyn Fn(),
    ) -> Result<Self, Failure> {
        let limits = device.device().limits();
        let most = limits
            .max_storage_buffer_binding_size
            .min(limits.max_buffer_size);
        let share = if device.is_software() { 4 } else { 2 };
        let wanted = (rotation_bytes / share).min(1 << 27);
        let bytes = 1u64 << wanted.min(most).ilog2();
        let pairs = rotation_bytes.div_ceil(2 * bytes).clamp(2, 8);
        Self::over(device, bytes, pairs, (&COPIES, &SUMS), shown)
    }

    /// The patterns of this meter, on a single pair of tensors of so many bytes.
    pub fn resized(&self, bytes: u64) -> Result<Self, Failure> {
        Self::over(
            self.device,
            bytes,
            1,
            (&[self.copy.0], &[self.sum.0]),
            &|| {},
        )
    }

    /// Bytes of a tensor.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    fn over(
        device: &'a GpuDevice,
        bytes: u64,
        pairs: u64,
        (to_copy, to_sum): (&[Pattern], &[Pattern]),
        shown: &dyn Fn(),
    ) -> Result<Self, Failure> {
        let values = Random::new(5).normals(1 << 16, 1.0, 1.0);
        let values: Vec<f32> = values
            .iter()
            .cycle()
            .take(bytes as usize / 4)
            .copied()
            .collect();
        let pair = |_| -> Result<[Tensor; 2], Failure> {
            let source = Tensor::upload(&device.gpu, &[values.len()], &values)?;
            Ok([source, Tensor::empty(&device.gpu, &[values.len()])?])
        };
        let pairs = (0..pairs).map(pair).collect::<Result<Vec<_>, _>>()?;
        let copy = best(to_copy, shown, |pattern| {
            let kernels = copies(device, pattern, &pairs);
            check_copy(device, &kernels[0], &pairs[0], &values)?;
            let timing = time(device, TRIAL, &kernels, 2 * bytes)?;
            Ok((timing, kernels))
        })?;
        let result = Tensor::empty(&device.gpu, &[1])?;
        let expected: f64 = values.iter().map(|&v| f64::from(v)).sum();
        let sum = best(to_sum, shown, |pattern| {
            let kernels = sums(device, pattern, &pairs, &result);
            check_sum(device, &kernels[0], &result, expected)?;
            let timing = time(device, TRIAL, &kernels, bytes)?;
            Ok((timing, kernels))
        })?;
        Ok(Self {
            device,
            bytes,
            pairs,
            copy,
            sum,
        })
    }
}

impl Meter for AdapterMeter<'_> {
    fn measure(&mut self, effort: Effort) -> Result<Vec<Measured>, Failure> {
        let Self { device, bytes, .. } = *self;
        let measured = |what, pattern: String, bytes, timing: Timing| Measured {
            what,
            pattern,
            bytes,
            summary: timing.summary,
        };
        let mut k = 0;
        let plain = timer::wall(device, effort, &mut |encoder| {
            let [source, destination] = &self.pairs[k % self.pairs.len()];
            encoder.copy_buffer_to_buffer(source.buffer(), 0, destination.buffer(), 0, bytes);
            k += 1;
        })?;
        let copy = time(device, effort, &self.copy.1, 2 * bytes)?;
        let sum = time(device, effort, &self.sum.1, bytes)?;
        let (copied, summed) = (self.copy.0.to_string(), self.sum.0.to_string());
        Ok(vec![
            measured(BUFFER_COPY, String::new(), 2 * bytes, plain),
            measured(KERNEL_COPY, copied, 2 * bytes, copy),
            measured(KERNEL_SUM, summed, bytes, sum),
        ])
    }

    fn sum_pattern(&self) -> Option<Pattern> {
        Some(self.sum.0)
    }
}

/// The fastest pattern, and what was made for it.
fn best<T>(
    patterns: &[Pattern],
    shown: &dyn Fn(),
    mut try_one: impl FnMut(Pattern) -> Result<(Timing, T), Failure>,
) -> Result<(Pattern, T), Failure> {
    let mut fastest: Option<(f64, Pattern, T)> = None;
    for &pattern in patterns {
        let (timing, made) = try_one(pattern)
            .map_err(|failure| failure.map(|text| format!("{text} ({pattern})")))?;
        let seconds = timing.summary.median;
        if fastest.as_ref().is_none_or(|(least, ..)| seconds < *least) {
            fastest = Some((seconds, pattern, made));
        }
        shown();
    }
    let (_, pattern, made) =
        fastest.ok_or_else(|| Failure::Machine("no pattern was tried".to_owned()))?;
    Ok((pattern, made))
}

fn vectors(tensor: &Tensor) -> u32 {
    (tensor.len() / 4) as u32
}

fn copies(device: &GpuDevice, pattern: Pattern, pairs: &[[Tensor; 2]]) -> Vec<Kernel> {
    let program = kernels::copy(device, pattern, vectors(&pairs[0][0]));
    let bind = |[from, to]: &[Tensor; 2]| program.bind(device, &[from.buffer(), to.buffer()]);
    pairs.iter().map(bind).collect()
}

fn sums(
    device: &GpuDevice,
    pattern: Pattern,
    pairs: &[[Tensor; 2]],
    result: &Tensor,
) -> Vec<Kernel> {
    let program = kernels::sum(device, pattern, vectors(&pairs[0][0]));
    let partials = program.partials(device);
    let bind = |[from, _]: &[Tensor; 2]| {
        program.bind(device, &[from.buffer(), &partials, result.buffer()])
    };
    pairs.iter().map(bind).collect()
}

/// Goes round the kernels, each of which moves `bytes`.
fn time(
    device: &GpuDevice,
    effort: Effort,
    kernels: &[Kernel],
    bytes: u64,
) -> Result<Timing, Failure> {
    timer::compute(device, effort, bytes, &|k, pass| {
        kernels[k % kernels.len()].encode(pass);
    })
}

/// What is there afterwards must be the source, and nothing that was there before.
fn check_copy(
    device: &GpuDevice,
    kernel: &Kernel,
    [_, destination]: &[Tensor; 2],
    values: &[f32],
) -> Result<(), Failure> {
    device.submit(|encoder| {
        encoder.clear_buffer(destination.buffer(), 0, None);
        kernel.encode(&mut encoder.begin_compute_pass(&Default::default()));
    });
    match destination.read_blocking()? == values {
        true => Ok(()),
        false => Err(Failure::Check("a copy kernel copied wrongly".to_owned())),
    }
}

fn check_sum(
    device: &GpuDevice,
    kernel: &Kernel,
    result: &Tensor,
    expected: f64,
) -> Result<(), Failure> {
    device.submit(|encoder| {
        encoder.clear_buffer(result.buffer(), 0, None);
        let mut pass = encoder.begin_compute_pass(&Default::default());
        kernel.encode(&mut pass);
    });
    let got = f64::from(result.read_blocking()?[0]);
    match (got - expected).abs() <= SUM_BOUND * expected.abs() {
        true => Ok(()),
        false => Err(Failure::Check(format!(
            "a sum kernel gives {got:e}, expected {expected:e}"
        ))),
    }
}
