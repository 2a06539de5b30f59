//! Timing what an adapter does, by its clock or the host's.

use std::time::Instant;

use wgpu_batchnorm::wgpu;

use super::device::GpuDevice;
use super::sample::{Clock, Effort, Summary, believed, sample, summary};
use crate::failure::Failure;

/// A figure, and what it was read from.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    pub summary: Summary,
    pub clock: Clock,
}

/// Records run number `k` into a pass; tensors are rotated by `k`.
pub type Record<'a> = &'a dyn Fn(usize, &mut wgpu::ComputePass<'_>);

/// Times what `record` records, `bytes` moved by each run at least.
pub fn compute(
    device: &GpuDevice,
    effort: Effort,
    bytes: u64,
    record: Record<'_>,
) -> Result<Timing, Failure> {
    let mut k = 0;
    if let Some(stamps) = &device.stamps {
        let (samples, tries) = sample(effort, &mut |runs| {
            let mut encoder = encoder(device);
            for pass in 0..runs {
                let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
                    label: None,
                    timestamp_writes: Some(stamps.pass(pass)),
                });
                record(k, &mut pass);
                k += 1;
            }
            let wall = submitted(device, encoder)?;
            let pairs = stamps.read(
                device.device(),
                runs,
                |record| device.submit(record),
                || device.wait(),
            )?;
            Ok(believed(&pairs, stamps.period_ns(), bytes, wall))
        })?;
        // Where most are nonsense, the rest is luck.
        if 2 * samples.len() > tries {
            let runs = samples.len();
            return timing(samples, runs, Clock::Timestamps);
        }
    }
    wall(device, effort, &mut |encoder| {
        record(k, &mut encoder.begin_compute_pass(&Default::default()));
        k += 1;
    })
}

/// Times what `record` records on the host's clock: a batch is submitted and waited for at once.
pub fn wall(
    device: &GpuDevice,
    effort: Effort,
    record: &mut dyn FnMut(&mut wgpu::CommandEncoder),
) -> Result<Timing, Failure> {
    let (samples, runs) = sample(effort, &mut |runs| {
        let mut encoder = encoder(device);
        (0..runs).for_each(|_| record(&mut encoder));
        Ok(vec![submitted(device, encoder)? / runs as f64])
    })?;
    timing(samples, runs, Clock::Wall)
}

/// Times calls on the host; `finish` waits for what they started.
pub fn host(
    effort: Effort,
    call: &mut dyn FnMut() -> Result<(), Failure>,
    finish: &dyn Fn() -> Result<(), Failure>,
) -> Result<Timing, Failure> {
    let (samples, runs) = sample(effort, &mut |runs| {
        let start = Instant::now();
        for _ in 0..runs {
            call()?;
        }
        finish()?;
        Ok(vec![start.elapsed().as_secs_f64() / runs as f64])
    })?;
    timing(samples, runs, Clock::Wall)
}

fn timing(samples: Vec<f64>, runs: usize, clock: Clock) -> Result<Timing, Failure> {
    let summary = summary(samples, runs);
    let summary = summary.ok_or_else(|| Failure::Machine("nothing was measured".to_owned()))?;
    Ok(Timing { summary, clock })
}

fn encoder(device: &GpuDevice) -> wgpu::CommandEncoder {
    device.device().create_command_encoder(&Default::default())
}

/// Seconds from submission until all is done.
fn submitted(device: &GpuDevice, encoder: wgpu::CommandEncoder) -> Result<f64, Failure> {
    let commands = encoder.finish();
    let start = Instant::now();
    device.gpu.queue().submit([commands]);
    device.wait()?;
    Ok(start.elapsed().as_secs_f64())
}
