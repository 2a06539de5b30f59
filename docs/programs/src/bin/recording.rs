use wgpu_batchnorm::{Config, Context, TrainBuffers, wgpu};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Your own device. The library needs WebGPU's default limits and no feature.
    let instance = wgpu::Instance::default();
    let adapter = pollster::block_on(instance.request_adapter(&Default::default()))?;
    let (device, queue) = pollster::block_on(adapter.request_device(&Default::default()))?;

    let context = Context::new(&device)?; // one for each device: it keeps the pipelines
    let plan = context.plan(&Config::pytorch(), &[8, 16, 32, 32])?; // 16 channels

    // Your own buffers. Slices of one large buffer work as well.
    let usage =
        wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC;
    let make = |size, usage| {
        device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size,
            usage,
            mapped_at_creation: false,
        })
    };
    let (x, y) = (
        make(plan.tensor_bytes(), usage),
        make(plan.tensor_bytes(), usage),
    );
    let affine = make(plan.affine_bytes(), usage);
    let running = make(plan.running_bytes(), usage);
    let saved = make(plan.saved_bytes(), usage); // what backward needs
    let workspace = make(plan.workspace_bytes(), usage);

    let write = |buffer, values: &[f32]| {
        let bytes: Vec<u8> = values
            .iter()
            .flat_map(|value| value.to_ne_bytes())
            .collect();
        queue.write_buffer(buffer, 0, &bytes);
    };
    let values: Vec<f32> = (0..8 * 16 * 32 * 32).map(|i| (i % 13) as f32).collect();
    write(&x, &values);
    write(&affine, &[[2.0; 16], [0.5; 16]].concat()); // weight, bias
    write(&running, &[[0.0; 16], [1.0; 16], [0.0; 16]].concat()); // mean, variance, batches

    let buffers = TrainBuffers::new(x.slice(..), saved.slice(..), workspace.slice(..))
        .with_y(y.slice(..)) // without it, y goes over x
        .with_affine(affine.slice(..))
        .with_running(running.slice(..));
    let train = plan.bind_train(&buffers)?; // nothing is created after this

    let mut encoder = device.create_command_encoder(&Default::default());
    let mut pass = encoder.begin_compute_pass(&Default::default());
    train.encode(&mut pass); // between your own dispatches, as often as you like
    drop(pass);

    let readback = make(
        y.size(),
        wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
    );
    encoder.copy_buffer_to_buffer(&y, 0, &readback, 0, y.size());
    queue.submit([encoder.finish()]);
    readback.map_async(wgpu::MapMode::Read, .., |result| {
        result.expect("y is mapped")
    });
    device.poll(wgpu::PollType::wait_indefinitely())?;
    let bytes = readback.get_mapped_range(..)?;
    let y: Vec<f32> = bytes
        .chunks_exact(4)
        .map(|b| f32::from_ne_bytes(b.try_into().unwrap()))
        .collect();

    let count = y.len() as f32;
    let mean = y.iter().sum::<f32>() / count;
    let variance = y.iter().map(|y| (y - mean).powi(2)).sum::<f32>() / count;
    assert!(
        (mean - 0.5).abs() < 1e-3 && (variance - 4.0).abs() < 1e-2,
        "{mean} {variance}"
    );
    Ok(())
}
