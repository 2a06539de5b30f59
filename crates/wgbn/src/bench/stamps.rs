//! Timestamps at the ends of compute passes.

use wgpu_batchnorm::wgpu;

use super::sample::LONGEST_BATCH;
use crate::failure::Failure;

/// Room for a batch of begin and end times, and the way back to the host.
pub struct Stamps {
    queries: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    period_ns: f64,
}

const PAIRS: u32 = LONGEST_BATCH as u32;
const BYTES: u64 = PAIRS as u64 * 16;

impl Stamps {
    pub fn new(device: &wgpu::Device, queue: &wgpu::Queue) -> Self {
        Self {
            queries: device.create_query_set(&wgpu::QuerySetDescriptor {
                label: Some("wgbn bench"),
                ty: wgpu::QueryType::Timestamp,
                count: 2 * PAIRS,
            }),
            resolved: device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("wgbn bench timestamps"),
                size: BYTES,
                usage: wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC,
                mapped_at_creation: false,
            }),
            period_ns: f64::from(queue.get_timestamp_period()),
        }
    }

    /// Nanoseconds of a tick.
    pub fn period_ns(&self) -> f64 {
        self.period_ns
    }

    /// Where pass `k` of a batch writes its times.
    pub fn pass(&self, k: usize) -> wgpu::ComputePassTimestampWrites<'_> {
        let first = 2 * k as u32;
        wgpu::ComputePassTimestampWrites {
            query_set: &self.queries,
            beginning_of_pass_write_index: Some(first),
            end_of_pass_write_index: Some(first + 1),
        }
    }

    /// Begin and end of the first `passes` passes of the batch submitted last. `submit` takes what is to be
    /// recorded, and `wait` waits for it.
    pub fn read(
        &self,
        device: &wgpu::Device,
        passes: usize,
        submit: impl FnOnce(&dyn Fn(&mut wgpu::CommandEncoder)),
        wait: impl FnOnce() -> Result<(), Failure>,
    ) -> Result<Vec<[u64; 2]>, Failure> {
        let failed =
            |e: &dyn std::fmt::Display| Failure::Machine(format!("timestamps cannot be read: {e}"));
        let staging = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("wgbn bench timestamps"),
            size: BYTES,
            usage: wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ,
            mapped_at_creation: false,
        });
        submit(&|encoder| {
            encoder.resolve_query_set(&self.queries, 0..2 * passes as u32, &self.resolved, 0);
            encoder.copy_buffer_to_buffer(&self.resolved, 0, &staging, 0, BYTES);
        });
        // A failed mapping shows below.
        staging.slice(..).map_async(wgpu::MapMode::Read, |_| {});
        wait()?;
        let view = staging.slice(..).get_mapped_range();
        let view = view.map_err(|e| failed(&e))?;
        let ticks: Vec<u64> = bytemuck::pod_collect_to_vec(&view);
        let pairs = ticks.chunks_exact(2).take(passes);
        Ok(pairs.map(|pair| [pair[0], pair[1]]).collect())
    }
}
