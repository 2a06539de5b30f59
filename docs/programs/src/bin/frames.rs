//! Batch norm in a program that draws frames: compiled ahead, with pipelines kept on disk, in one pooled
//! buffer, and timed.

use programs::{Result, buffer, read_bytes, write};
use wgpu_batchnorm::wgpu::{self, Features};
use wgpu_batchnorm::{Config, Context, InferenceBuffers, RunningStatistics, WarmUp};

fn main() -> Result {
    let instance = wgpu::Instance::default();
    let adapter = pollster::block_on(instance.request_adapter(&Default::default()))?;
    // Optional: a pipeline cache, and timestamps inside of passes. Ask for what the adapter has.
    let timed = Features::TIMESTAMP_QUERY | Features::TIMESTAMP_QUERY_INSIDE_PASSES;
    let wanted = Features::PIPELINE_CACHE | timed;
    let descriptor = wgpu::DeviceDescriptor {
        required_features: adapter.features() & wanted,
        ..Default::default()
    };
    let (device, queue) = pollster::block_on(adapter.request_device(&descriptor))?;
    let context = Context::new(&device)?;

    let file = std::env::current_exe()?.with_extension("pipelines");
    if let Ok(bytes) = std::fs::read(&file) {
        // SAFETY: the file lies beside the program, and nobody else writes there.
        if let Err(reason) = unsafe { context.load_pipeline_cache(&bytes) } {
            println!("pipelines are compiled again: {reason}");
        }
    }

    let shape = [1, 4, 64, 64];
    let plan = context.plan(&Config::pytorch(), &shape)?;
    let loading = std::thread::spawn({
        let (context, plan) = (context.clone(), plan.clone());
        move || context.warm_up(&plan, &[WarmUp::inference().with_y()])
    });
    // ... the program loads its own pipelines and textures meanwhile ...
    loading.join().expect("the thread ended")?;
    if let Some(bytes) = context.pipeline_cache_data() {
        std::fs::write(&file, bytes)?;
    }

    // One buffer for everything. Each part starts where a storage binding may.
    let alignment = u64::from(device.limits().min_storage_buffer_offset_alignment);
    let mut end = 0;
    let mut part = |bytes: u64| {
        let start = end;
        end = (start + bytes).next_multiple_of(alignment);
        start..start + bytes
    };
    let (x, y) = (part(plan.tensor_bytes()), part(plan.tensor_bytes()));
    let (affine, running) = (part(plan.affine_bytes()), part(plan.running_bytes()));
    let pool = buffer(&device, end);
    let values: Vec<f32> = (0..4 * 64 * 64).map(|i| (i % 5) as f32).collect();
    write(&queue, &pool, x.start, &values);
    write(
        &queue,
        &pool,
        affine.start,
        &[3.0, 3.0, 3.0, 3.0, 1.0, 1.0, 1.0, 1.0],
    ); // weight, bias
    write(
        &queue,
        &pool,
        running.start,
        &RunningStatistics::new(4)?.to_rows()?,
    ); // mean 0, variance 1

    let buffers = InferenceBuffers::new(pool.slice(x), pool.slice(running))
        .with_y(pool.slice(y.clone()))
        .with_affine(pool.slice(affine));
    let normalize = plan.bind_inference(&buffers)?;

    let has_timestamps = device.features().contains(timed);
    let queries = has_timestamps.then(|| {
        device.create_query_set(&wgpu::QuerySetDescriptor {
            label: None,
            ty: wgpu::QueryType::Timestamp,
            count: 2,
        })
    });
    for _frame in 0..3 {
        let mut encoder = device.create_command_encoder(&Default::default());
        let mut pass = encoder.begin_compute_pass(&Default::default());
        match &queries {
            // Query 0 is written before the first dispatch, query 1 behind the last.
            Some(queries) => normalize.encode_timed(&mut pass, queries, 0)?,
            None => normalize.encode(&mut pass),
        }
        drop(pass);
        queue.submit([encoder.finish()]);
    }

    let bytes = read_bytes(&device, &queue, &pool, y)?;
    let words = bytes.chunks_exact(4);
    let y = words.map(|word| f32::from_ne_bytes(word.try_into().unwrap()));
    let expected = values.iter().map(|x| x / 1.00001f32.sqrt() * 3.0 + 1.0);
    assert!(y.zip(expected).all(|(y, v)| (y - v).abs() < 1e-4));
    Ok(())
}
