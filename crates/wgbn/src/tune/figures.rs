//! Figures of the machine: bandwidth over sizes, what a dispatch costs, what runs side by side, and the last cache.

use std::time::Duration;

use wgpu_batchnorm::Tensor;
use wgpu_batchnorm::internals::tuning::{Figures, Rate};

use crate::bench::bandwidth::adapter::AdapterMeter;
use crate::bench::bandwidth::kernels;
use crate::bench::bandwidth::patterns::COPIES;
use crate::bench::bandwidth::{KERNEL_COPY, KERNEL_SUM, Meter};
use crate::bench::device::GpuDevice;
use crate::bench::sample::Effort;
use crate::bench::timer;
use crate::failure::Failure;

/// The figures, and how the best kernels go through memory.
pub struct Measured {
    pub figures: Figures,
    /// The pattern of the best copy, and of the best sum.
    pub patterns: [String; 2],
}

/// The smallest tensor; each next one is four times as large.
const SMALLEST: u64 = 1 << 18;
/// Tensors gone round for each second that there is, and at most.
const ROUND: f64 = (16 << 20) as f64;
const MOST_ROUND: f64 = (512 << 20) as f64;
/// The share of the time that each size gets.
const SHARE: f64 = 0.01;
/// A cache is where sums are so much faster than from memory.
const FASTER: f64 = 1.5;
/// Where the largest tensor is smaller, a cache may hold that as well.
const BEYOND: u64 = 64 << 20;

pub fn measure(device: &GpuDevice, seconds: f64, shown: &dyn Fn()) -> Result<Measured, Failure> {
    let round = (seconds * ROUND).clamp(ROUND, MOST_ROUND);
    let effort = Effort {
        budget: Duration::from_secs_f64(seconds * SHARE),
        least: 3,
    };
    let mut largest = AdapterMeter::new(device, round as u64, shown)?;
    let mut figures = Figures {
        f16_proved: device.gpu.context().f16_proved(),
        ..Figures::default()
    };
    let mut bytes = SMALLEST;
    while bytes < largest.bytes() {
        add(&mut figures, &mut largest.resized(bytes)?, bytes, effort)?;
        shown();
        bytes *= 4;
    }
    let bytes = largest.bytes();
    let patterns = add(&mut figures, &mut largest, bytes, effort)?;
    drop(largest);
    // Software adapters are bound by instructions, and what differs there is noise.
    figures.cache_bytes = match device.is_software() {
        true => None,
        false => cache(&figures.sum),
    };
    figures.dispatch_us = dispatch(device, effort)? * 1e6;
    figures.workgroups_at_once = at_once(device, effort)?;
    Ok(Measured { figures, patterns })
}

fn add(
    figures: &mut Figures,
    meter: &mut AdapterMeter<'_>,
    bytes: u64,
    effort: Effort,
) -> Result<[String; 2], Failure> {
    let mut patterns = [String::new(), String::new()];
    for measured in meter.measure(effort)? {
        let rate = Rate {
            bytes,
            gb_per_s: measured.rate() / 1e9,
        };
        match measured.what {
            KERNEL_COPY => {
                figures.copy.push(rate);
                patterns[0] = measured.pattern;
            }
            KERNEL_SUM => {
                figures.sum.push(rate);
                patterns[1] = measured.pattern;
            }
            _ => {}
        }
    }
    Ok(patterns)
}

/// The largest tensor that is read again much faster than the largest of all.
fn cache(sums: &[Rate]) -> Option<u64> {
    let memory = sums.last().filter(|sum| sum.bytes >= BEYOND)?;
    let near = sums
        .iter()
        .filter(|sum| sum.gb_per_s > FASTER * memory.gb_per_s);
    near.map(|sum| sum.bytes).max()
}

/// Dispatches of a pass beside the first.
const DISPATCHES: usize = 32;

/// Seconds between a dispatch and the next one, which waits for it: both write the same small buffer.
fn dispatch(device: &GpuDevice, effort: Effort) -> Result<f64, Failure> {
    let bytes = 1usize << 14;
    let tensor = || Tensor::upload(&device.gpu, &[bytes / 4], &vec![1.0; bytes / 4]);
    let (from, to) = (tensor()?, tensor()?);
    let program = kernels::copy(device, COPIES[0], (bytes / 16) as u32);
    let kernel = program.bind(device, &[from.buffer(), to.buffer()]);
    let took = |dispatches: usize| {
        let timing = timer::compute(device, effort, 0, &|_, pass| {
            (0..dispatches).for_each(|_| kernel.encode(pass));
        })?;
        Ok::<_, Failure>(timing.summary.median)
    };
    let one = took(1)?;
    let many = took(1 + DISPATCHES)?;
    Ok(((many - one) / DISPATCHES as f64).max(0.0))
}

/// More workgroups than any device runs side by side; software adapters run one a thread.
const WORKGROUPS: u32 = 4096;
const WORKGROUPS_IN_SOFTWARE: u32 = 64;
/// Places of a chain, and how far apart two steps are: in no nearby line, and back at the start only after all.
const PLACES: u32 = 1 << 16;
const STEP: u32 = 32 * 1031;

/// How many workgroups of 256 lanes run side by side: as many times as long one workgroup takes as its share of many.
fn at_once(device: &GpuDevice, effort: Effort) -> Result<f64, Failure> {
    let many = match device.is_software() {
        true => WORKGROUPS_IN_SOFTWARE,
        false => WORKGROUPS,
    };
    // Places are below 2²⁴, and bits are bits.
    let chain = (0..PLACES).map(|place| f32::from_bits((place + STEP) % PLACES));
    let chain: Vec<_> = chain.collect();
    let chain = Tensor::upload(&device.gpu, &[chain.len()], &chain)?;
    let ends = device.storage(u64::from(many) * 256 * 4);
    let took = |groups: u32| {
        let kernel = kernels::chase(device, groups).bind(device, &[chain.buffer(), &ends]);
        let timing = timer::compute(device, effort, 0, &|_, pass| kernel.encode(pass))?;
        Ok::<_, Failure>(timing.summary.median)
    };
    let (one, all) = (took(1)?, took(many)?);
    Ok((f64::from(many) * one / all).max(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_is_what_is_faster_than_memory() {
        let rates = |rates: &[f64]| -> Vec<Rate> {
            let sizes = (18..).step_by(2).map(|log| 1u64 << log);
            let rates = sizes.zip(rates);
            rates
                .map(|(bytes, &gb_per_s)| Rate { bytes, gb_per_s })
                .collect()
        };
        assert_eq!(cache(&[]), None);
        assert_eq!(cache(&rates(&[10.0, 11.0, 10.0, 9.0, 10.0])), None);
        // A dispatch's own time hides the smallest tensor's speed.
        let found = rates(&[5.0, 30.0, 31.0, 11.0, 10.0]);
        assert_eq!(cache(&found), Some(1 << 22));
        // What is largest here may be in a cache itself.
        assert_eq!(cache(&found[..4]), None);
    }
}
