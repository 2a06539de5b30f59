use wgpu_batchnorm::wgpu::{self, BufferUsages as Usages};
use wgpu_batchnorm::{Adapter, Config, Context, Gpu, Parameters, RunningStatistics, TrainBuffers};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // In your program: its own device, with WebGPU's default limits and no feature.
    let gpu = Gpu::new_blocking(&Adapter::Best)?;
    let (device, queue) = (gpu.device().clone(), gpu.queue().clone());

    let context = Context::new(&device)?; // one for each device: it keeps the pipelines
    let plan = context.plan(&Config::pytorch(), &[8, 16, 32, 32])?; // 16 channels

    // Your own buffers. Slices of one large buffer work as well.
    let make = |size, usage| {
        device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size,
            usage,
            mapped_at_creation: false,
        })
    };
    let filled = |bytes: u64, values: &[f32]| {
        let buffer = make(bytes, Usages::STORAGE | Usages::COPY_DST | Usages::COPY_SRC);
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_ne_bytes()).collect();
        queue.write_buffer(&buffer, 0, &bytes);
        buffer
    };
    let values: Vec<f32> = (0..8 * 16 * 32 * 32).map(|i| (i % 13) as f32).collect();
    let parameters = Parameters::default()
        .with_weight(&[2.0; 16][..])
        .with_bias(&[0.5; 16][..]);
    let x = filled(plan.tensor_bytes(), &values);
    let y = filled(plan.tensor_bytes(), &[]);
    let affine = filled(plan.affine_bytes(), &parameters.to_rows(16)?);
    let running = filled(
        plan.running_bytes(),
        &RunningStatistics::new(16)?.to_rows()?,
    );
    let saved = filled(plan.saved_bytes(), &[]); // what backward needs
    let workspace = filled(plan.workspace_bytes(), &[]);

    let buffers = TrainBuffers::new(x.slice(..), saved.slice(..), workspace.slice(..))
        .with_y(y.slice(..)) // without it, y goes over x
        .with_affine(affine.slice(..))
        .with_running(running.slice(..));
    let train = plan.bind_train(&buffers)?; // nothing is created after this

    let mut encoder = device.create_command_encoder(&Default::default());
    let mut pass = encoder.begin_compute_pass(&Default::default());
    train.encode(&mut pass); // between your own dispatches, as often as you like
    drop(pass);

    let readback = make(y.size(), Usages::MAP_READ | Usages::COPY_DST);
    encoder.copy_buffer_to_buffer(&y, 0, &readback, 0, y.size());
    queue.submit([encoder.finish()]);
    readback.map_async(wgpu::MapMode::Read, .., |result| result.expect("mapped"));
    device.poll(wgpu::PollType::wait_indefinitely())?;
    let bytes = readback.get_mapped_range(..)?;
    let words = bytes.chunks_exact(4).map(|word| word.try_into().unwrap());
    let y: Vec<f32> = words.map(f32::from_ne_bytes).collect();

    let mean = y.iter().sum::<f32>() / y.len() as f32;
    let variance = y.iter().map(|y| (y - mean).powi(2)).sum::<f32>() / y.len() as f32;
    assert!((mean - 0.5).abs() < 1e-3 && (variance - 4.0).abs() < 1e-2); // bias, weight²
    Ok(())
}
