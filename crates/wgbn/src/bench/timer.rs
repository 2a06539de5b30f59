//! Timing what an adapter does, by its clock or the host's.

use std::time::Instant;

use wgpu_batchnorm::wgpu;

use super::device::GpuDevice;
use super::sample::{Clock, Effort, LONGEST_BATCH, Summary, batch_of, believed, sample, summary};
use super::stamps::Stamps;
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
            stamped(device, stamps, runs, bytes, &mut k, record)
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

/// Seconds of each of so many runs by the adapter's clock, where they are believed.
fn stamped(
    device: &GpuDevice,
    stamps: &Stamps,
    runs: usize,
    bytes: u64,
    k: &mut usize,
    record: Record<'_>,
) -> Result<Vec<f64>, Failure> {
    let mut encoder = encoder(device);
    for pass in 0..runs {
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
            label: None,
            timestamp_writes: Some(stamps.pass(pass)),
        });
        record(*k, &mut pass);
        *k += 1;
    }
    let wall = submitted(device, encoder)?;
    let pairs = stamps.read(
        device.device(),
        runs,
        |record| device.submit(record),
        || device.wait(),
    )?;
    Ok(believed(&pairs, stamps.period_ns(), bytes, wall))
}

/// Two works, timed in turn.
#[derive(Clone, Debug, Default)]
pub struct Paired {
    /// Seconds of a run of each, a pair for each round.
    pub rounds: Vec<[f64; 2]>,
}

/// Times two works in rounds of A B B A, so that whatever else the machine does disturbs both alike.
pub fn paired(
    device: &GpuDevice,
    effort: Effort,
    bytes: u64,
    works: [Record<'_>; 2],
) -> Result<Paired, Failure> {
    let mut k = 0;
    let mut batch = |record: Record<'_>, runs: usize, by_stamps: bool| {
        if let (Some(stamps), true) = (&device.stamps, by_stamps) {
            let seconds = stamped(device, stamps, runs, bytes, &mut k, record)?;
            return Ok(summary(seconds, runs).map(|summary| summary.median));
        }
        let mut encoder = encoder(device);
        for _ in 0..runs {
            record(k, &mut encoder.begin_compute_pass(&Default::default()));
            k += 1;
        }
        Ok::<_, Failure>(Some(submitted(device, encoder)? / runs as f64))
    };
    let (mut runs, mut by_stamps) = (LONGEST_BATCH, true);
    for work in works {
        // The first run finds cold caches.
        by_stamps &= batch(work, 1, by_stamps)?.is_some();
        let one = batch(work, 1, false)?.unwrap_or_default();
        runs = runs.min(batch_of(one));
    }
    let (mut paired, mut tries) = (Paired::default(), 0);
    let start = Instant::now();
    while tries < effort.least || start.elapsed() < effort.budget {
        let [a, b] = works;
        let mut seconds = [0.0; 4];
        let mut whole = true;
        for (seconds, work) in seconds.iter_mut().zip([a, b, b, a]) {
            match batch(work, runs, by_stamps)? {
                Some(measured) => *seconds = measured,
                None => whole = false,
            }
        }
        if whole {
            let [first, second, third, last] = seconds;
            let round = [(first + last) / 2.0, (second + third) / 2.0];
            paired.rounds.push(round);
        }
        tries += 1;
    }
    match paired.rounds.is_empty() {
        true => Err(Failure::Machine("nothing was measured".to_owned())),
        false => Ok(paired),
    }
}

impl Paired {
    /// Seconds of each: the median of the rounds.
    pub fn medians(&self) -> [f64; 2] {
        [0, 1].map(|k| {
            let seconds = self.rounds.iter().map(|round| round[k]).collect();
            summary(seconds, self.rounds.len()).map_or(0.0, |summary| summary.median)
        })
    }
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
