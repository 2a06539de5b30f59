//! What the programs of docs/embedding.md share: a device, buffers, and reading back. A renderer or a runtime
//! has its own.

use wgpu_batchnorm::wgpu;

pub type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// A device of one's own, without any feature.
pub fn open() -> Result<(wgpu::Adapter, wgpu::Device, wgpu::Queue)> {
    let instance = wgpu::Instance::default();
    let adapter = pollster::block_on(instance.request_adapter(&Default::default()))?;
    let (device, queue) = pollster::block_on(adapter.request_device(&Default::default()))?;
    Ok((adapter, device, queue))
}

/// A buffer that kernels read and write, and that can be filled and copied.
pub fn buffer(device: &wgpu::Device, bytes: u64) -> wgpu::Buffer {
    device.create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: bytes,
        usage: wgpu::BufferUsages::STORAGE
            | wgpu::BufferUsages::COPY_DST
            | wgpu::BufferUsages::COPY_SRC,
        mapped_at_creation: false,
    })
}

/// Writes f32 values from `offset` on.
pub fn write(queue: &wgpu::Queue, buffer: &wgpu::Buffer, offset: u64, values: &[f32]) {
    let bytes: Vec<u8> = values
        .iter()
        .flat_map(|value| value.to_ne_bytes())
        .collect();
    queue.write_buffer(buffer, offset, &bytes);
}

/// Copies bytes of a buffer to the host and waits for them.
pub fn read_bytes(
    device: &wgpu::Device,
    queue: &wgpu::Queue,
    buffer: &wgpu::Buffer,
    range: std::ops::Range<u64>,
) -> Result<Vec<u8>> {
    let size = range.end - range.start;
    let readback = device.create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size,
        usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    });
    let mut encoder = device.create_command_encoder(&Default::default());
    encoder.copy_buffer_to_buffer(buffer, range.start, &readback, 0, size);
    queue.submit([encoder.finish()]);
    readback.map_async(wgpu::MapMode::Read, .., |result| {
        result.expect("it is mapped")
    });
    device.poll(wgpu::PollType::wait_indefinitely())?;
    Ok(readback.slice(..).get_mapped_range()?.to_vec())
}

/// The same as f32 values, of a whole buffer.
pub fn read(device: &wgpu::Device, queue: &wgpu::Queue, buffer: &wgpu::Buffer) -> Result<Vec<f32>> {
    let bytes = read_bytes(device, queue, buffer, 0..buffer.size())?;
    let words = bytes.chunks_exact(4);
    Ok(words
        .map(|word| f32::from_ne_bytes(word.try_into().unwrap()))
        .collect())
}
