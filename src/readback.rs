//! Bytes of a buffer, copied to the host.

use crate::error::RunError;
use crate::faults::{allocated, is_lost, watched_as};

/// Copies `bytes` of a buffer to the host. `fault` tells, once the device is done, what it reported meanwhile.
///
/// On native targets this waits for the device on the calling thread; in browsers it yields.
pub(crate) async fn read<T: bytemuck::Pod>(
    device: &wgpu::Device,
    queue: &wgpu::Queue,
    buffer: &wgpu::Buffer,
    bytes: u64,
    fault: impl FnOnce() -> Result<(), RunError>,
) -> Result<Vec<T>, RunError> {
    if bytes == 0 {
        fault()?;
        return Ok(vec![]);
    }
    let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
    let staging = allocated(device, "wgpu-batchnorm readback", bytes, usage)?;
    watched_as("readback", device, || {
        let mut encoder = device.create_command_encoder(&Default::default());
        encoder.copy_buffer_to_buffer(buffer, 0, &staging, 0, bytes);
        queue.submit([encoder.finish()]);
    })?;
    let (sender, receiver) = futures_intrusive::channel::shared::oneshot_channel();
    let mapped = watched_as("readback", device, || {
        let told = move |result| {
            // The receiver is gone where the caller dropped the future.
            let _ = sender.send(result);
        };
        staging.slice(..).map_async(wgpu::MapMode::Read, told);
    });
    #[cfg(not(target_arch = "wasm32"))]
    let polled = device.poll(wgpu::PollType::wait_indefinitely());
    #[cfg(target_arch = "wasm32")]
    let polled: Result<(), wgpu::PollError> = Ok(());
    fault()?;
    mapped?;
    let failed = |reason: String| match is_lost(device) {
        true => RunError::DeviceLost { reason },
        false => RunError::Readback { bytes, reason },
    };
    polled.map_err(|e| failed(e.to_string()))?;
    match receiver.receive().await {
        Some(Ok(())) => {}
        Some(Err(e)) => return Err(failed(e.to_string())),
        None => return Err(failed("the mapping was abandoned".to_owned())),
    }
    let view = staging.slice(..).get_mapped_range();
    let view = view.map_err(|e| failed(e.to_string()))?;
    Ok(bytemuck::pod_collect_to_vec(&view))
}
