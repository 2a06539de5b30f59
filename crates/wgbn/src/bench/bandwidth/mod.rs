//! What each device's memory can do, in the same run: the floor under every row.

pub mod adapter;
pub mod host;
pub mod kernels;
pub mod patterns;

use std::time::Duration;

use super::device::Device;
use super::op::{Op, Traffic};
use super::sample::{Effort, Summary};
use crate::failure::Failure;
use patterns::Pattern;

/// Bytes a second, of the best way found.
#[derive(Clone, Copy, Debug)]
pub struct Bandwidth {
    /// Read and write, by whatever copies fastest.
    pub copy: f64,
    /// Read and write, by a kernel, or by threads.
    pub kernel_copy: f64,
    /// Read, by a kernel or threads that sum.
    pub sum: f64,
}

/// One measurement of a bandwidth.
#[derive(Clone, Debug)]
pub struct Measured {
    pub what: &'static str,
    /// How it went through memory.
    pub pattern: String,
    /// Moved by each run.
    pub bytes: u64,
    pub summary: Summary,
}

/// A way to copy or to sum, and how to measure it again.
pub trait Meter {
    /// Measures the best ways again.
    fn measure(&mut self, effort: Effort) -> Result<Vec<Measured>, Failure>;

    /// The pattern that sums fastest, of an adapter.
    fn sum_pattern(&self) -> Option<Pattern> {
        None
    }
}

impl Measured {
    pub fn rate(&self) -> f64 {
        self.bytes as f64 / self.summary.median
    }
}

impl Bandwidth {
    /// The fastest of each kind.
    pub fn of(measured: &[Measured]) -> Self {
        let best = |kinds: &[&str]| {
            let mine = measured.iter().filter(|m| kinds.contains(&m.what));
            mine.map(Measured::rate).fold(0.0, f64::max)
        };
        Self {
            copy: best(&[BUFFER_COPY, KERNEL_COPY, THREAD_COPY]),
            kernel_copy: best(&[KERNEL_COPY, THREAD_COPY]),
            sum: best(&[KERNEL_SUM, THREAD_SUM]),
        }
    }

    /// The faster of both, kind by kind.
    pub fn better(self, other: Self) -> Self {
        Self {
            copy: self.copy.max(other.copy),
            kernel_copy: self.kernel_copy.max(other.kernel_copy),
            sum: self.sum.max(other.sum),
        }
    }

    /// Seconds below which `op` on a tensor of `bytes` cannot go where nothing is cached: passes
    /// that only read at the speed of the sum, the others at the speed of the copy. That is an
    /// approximation: a pass with two reads to a write is neither.
    pub fn floor(&self, op: Op, bytes: u64) -> f64 {
        let Traffic { read_only, mixed } = op.traffic();
        (read_only * bytes) as f64 / self.sum + (mixed * bytes) as f64 / self.kernel_copy
    }
}

pub const BUFFER_COPY: &str = "buffer copy";
pub const KERNEL_COPY: &str = "copy kernel";
pub const KERNEL_SUM: &str = "sum kernel";
pub const THREAD_COPY: &str = "thread copy";
pub const THREAD_SUM: &str = "thread sum";

/// Finds the fastest ways of `device`.
pub fn meter<'a>(
    device: &'a Device,
    rotation_bytes: u64,
    shown: &dyn Fn(),
) -> Result<Box<dyn Meter + 'a>, Failure> {
    Ok(match device {
        Device::Gpu(gpu) => Box::new(adapter::AdapterMeter::new(gpu, rotation_bytes, shown)?),
        Device::Cpu => Box::new(host::HostMeter::new(rotation_bytes, shown)?),
    })
}

/// To choose between ways.
const TRIAL: Effort = Effort {
    budget: Duration::ZERO,
    least: 2,
};

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(what: &'static str, rate: u64) -> Measured {
        Measured {
            what,
            pattern: String::new(),
            bytes: rate,
            summary: Summary {
                median: 1.0,
                low: 1.0,
                high: 1.0,
                runs: 1,
            },
        }
    }

    #[test]
    fn floors_add_up_what_the_operations_move() {
        let bandwidth = Bandwidth::of(&[
            measured(BUFFER_COPY, 400),
            measured(KERNEL_COPY, 200),
            measured(KERNEL_COPY, 150),
            measured(KERNEL_SUM, 100),
        ]);
        assert_eq!(bandwidth.copy, 400.0);
        let disturbed = Bandwidth::of(&[measured(KERNEL_COPY, 50), measured(KERNEL_SUM, 100)]);
        let bandwidth = disturbed.better(bandwidth);
        let floor = |op| bandwidth.floor(op, 1000);
        assert_eq!(floor(Op::Train), 10.0 + 10.0);
        assert_eq!(floor(Op::Inference), 10.0);
        assert_eq!(floor(Op::Backward), 20.0 + 15.0);
        assert_eq!(floor(Op::Frozen), 15.0);
        assert_eq!(floor(Op::Moments), 10.0);
        assert_eq!(floor(Op::Sum), 10.0);
        assert_eq!(floor(Op::Step), floor(Op::Train) + floor(Op::Backward));
    }
}
