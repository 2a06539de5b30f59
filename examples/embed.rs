//! Batch norm between two compute passes of one's own, in one pooled buffer of one's own.
//!
//! `cargo run --release --example embed`
//!
//! A program that has its device, its kernels and its memory already gives the library three
//! things: the device, slices of its buffer, and a pass to record into. Here the first pass of
//! the program makes a tensor, the second one is batch norm, the third one is a relu. Nothing is
//! read back until all of it has run; then the answer is compared with the f64 reference.

use std::error::Error;

use wgpu_batchnorm::{Config, Context, Parameters, TrainBuffers, reference, wgpu};

/// N, C, H, W.
const SHAPE: [usize; 4] = [8, 16, 32, 32];
const CHANNELS: usize = SHAPE[1];
const LEN: usize = SHAPE[0] * SHAPE[1] * SHAPE[2] * SHAPE[3];

/// The program's own kernels. The pool is bound read-write throughout, inputs too: wgpu refuses a
/// buffer that one dispatch binds both ways, and batch norm's kernels do the same.
const KERNELS: &str = "
@group(0) @binding(0) var<storage, read_write> source: array<f32>;
@group(0) @binding(1) var<storage, read_write> result: array<f32>;

const PER_CHANNEL = 32u * 32u;
const CHANNELS = 16u;

// Ripples, each channel with a mean and a scale of its own.
@compute @workgroup_size(64) fn ripples(@builtin(global_invocation_id) id: vec3u) {
    let channel = f32((id.x / PER_CHANNEL) % CHANNELS);
    let at = vec2f(f32(id.x % 32u), f32((id.x / 32u) % 32u)) - 16.0;
    let image = f32(id.x / (PER_CHANNEL * CHANNELS));
    let ripple = sin(length(at) * (0.2 + 0.05 * channel) + image);
    result[id.x] = 100.0 * channel + (1.0 + channel) * ripple;
}

@compute @workgroup_size(64) fn relu(@builtin(global_invocation_id) id: vec3u) {
    result[id.x] = max(source[id.x], 0.0);
}
";

fn main() -> Result<(), Box<dyn Error>> {
    pollster::block_on(run())
}

async fn run() -> Result<(), Box<dyn Error>> {
    // The program's own device: batch norm needs no feature and WebGPU's default limits.
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
        backends: wgpu::Backends::from_env().unwrap_or(wgpu::Backends::PRIMARY),
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    });
    let adapter = instance.request_adapter(&Default::default()).await?;
    let (device, queue) = adapter.request_device(&Default::default()).await?;
    println!("adapter   {}", adapter.get_info().name);

    // A context for the device, kept for as long as the program runs; a plan for each shape.
    let context = Context::new(&device)?;
    let config = Config::pytorch();
    let plan = context.plan(&config, &SHAPE)?;

    // One buffer holds everything. Each part starts where a storage binding may.
    let mut layout = Layout::new(&device);
    let x = layout.part("x", plan.tensor_bytes());
    let y = layout.part("y", plan.tensor_bytes());
    let z = layout.part("z", plan.tensor_bytes());
    let affine = layout.part("affine", plan.affine_bytes());
    let running = layout.part("running", plan.running_bytes());
    let saved = layout.part("saved", plan.saved_bytes());
    let workspace = layout.part("workspace", plan.workspace_bytes());
    let pool = device.create_buffer(&wgpu::BufferDescriptor {
        label: Some("pool"),
        size: layout.end,
        usage: wgpu::BufferUsages::STORAGE
            | wgpu::BufferUsages::COPY_SRC
            | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    });

    // weight and bias; running mean 0, variance 1 and no batch counted.
    let weight: Vec<f32> = (0..CHANNELS).map(|c| 0.5 + 0.1 * c as f32).collect();
    let bias: Vec<f32> = (0..CHANNELS).map(|c| 0.1 * c as f32 - 0.8).collect();
    let parameters = [&weight[..], &bias].concat();
    queue.write_buffer(&pool, affine.start, bytemuck::cast_slice(&parameters));
    let fresh = [[0.0; CHANNELS], [1.0; CHANNELS], [0.0_f32; CHANNELS]];
    queue.write_buffer(&pool, running.start, bytemuck::cast_slice(&fresh));

    // Bound once, recorded as often as wanted: `bind_train` makes all that the operation needs.
    let part = |part: &Part| pool.slice(part.clone());
    let buffers = TrainBuffers::new(part(&x), part(&saved), part(&workspace))
        .with_y(part(&y))
        .with_affine(part(&affine))
        .with_running(part(&running));
    let batch_norm = plan.bind_train(&buffers)?;
    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: Some("the program's own"),
        source: wgpu::ShaderSource::Wgsl(KERNELS.into()),
    });
    let own = |entry| Kernel::new(&device, &module, entry, &pool);
    let ripples = own("ripples").bind(&[(1, x.clone())]);
    let relu = own("relu").bind(&[(0, y.clone()), (1, z.clone())]);

    // One encoder, three passes, one submission. Batch norm could as well be recorded into
    // either of the other two: dispatches of a pass see what earlier ones wrote.
    let mut encoder = device.create_command_encoder(&Default::default());
    ripples.encode(&mut encoder.begin_compute_pass(&Default::default()));
    batch_norm.encode(&mut encoder.begin_compute_pass(&Default::default()));
    relu.encode(&mut encoder.begin_compute_pass(&Default::default()));

    // Only now the results are copied out, in the same submission.
    let readback = device.create_buffer(&wgpu::BufferDescriptor {
        label: Some("readback"),
        size: layout.end,
        usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    });
    encoder.copy_buffer_to_buffer(&pool, 0, &readback, 0, layout.end);
    queue.submit([encoder.finish()]);
    readback.slice(..).map_async(wgpu::MapMode::Read, |_| {});
    device.poll(wgpu::PollType::wait_indefinitely())?;
    let bytes = readback.slice(..).get_mapped_range()?;
    let read = |part: &Part| -> Vec<f32> {
        bytemuck::pod_collect_to_vec(&bytes[part.start as usize..part.end as usize])
    };

    println!("shape     {SHAPE:?}, axis {}", config.axis);
    println!(
        "passes    ripples, batch norm (dispatches: {}), relu",
        batch_norm.dispatch_count()
    );
    print!("{}", plan.describe());

    // The same in f64 on the same x.
    let x = read(&x);
    let parameters = Parameters::default()
        .with_weight(&weight[..])
        .with_bias(&bias[..]);
    let (y, batch) = reference::train_forward(&plan.view(), &x, parameters, config.eps)?;
    let pairs = read(&z).into_iter().zip(&y);
    let worst = pairs.map(|(z, y)| (f64::from(z) - y.max(0.0)).abs());
    let worst = worst.fold(0.0, f64::max);
    let running = read(&running);
    for c in [0, CHANNELS - 1] {
        println!(
            "channel {c:2}: batch mean {:8.3}, variance {:7.3}; running mean {:7.3}, variance {:6.3}",
            batch.mean[c],
            batch.variance[c],
            running[c],
            running[CHANNELS + c],
        );
    }
    println!("largest difference from the f64 reference: {worst:.1e}");
    if !(worst < 5e-6 && x.iter().all(|x| x.is_finite())) {
        return Err("the result is not what the reference says".into());
    }
    Ok(())
}

type Part = std::ops::Range<u64>;

/// Hands out parts of the pool, one after another.
struct Layout {
    alignment: u64,
    end: u64,
}

impl Layout {
    fn new(device: &wgpu::Device) -> Self {
        Self {
            alignment: device.limits().min_storage_buffer_offset_alignment.into(),
            end: 0,
        }
    }

    fn part(&mut self, name: &str, bytes: u64) -> Part {
        let start = self.end.next_multiple_of(self.alignment);
        self.end = start + bytes;
        println!("pool      {start:8} .. {:8}  {name}", self.end);
        start..self.end
    }
}

/// A kernel of the program's own on parts of the pool.
struct Kernel<'a> {
    device: &'a wgpu::Device,
    pool: &'a wgpu::Buffer,
    pipeline: wgpu::ComputePipeline,
}

impl<'a> Kernel<'a> {
    fn new(
        device: &'a wgpu::Device,
        module: &wgpu::ShaderModule,
        entry: &str,
        pool: &'a wgpu::Buffer,
    ) -> Self {
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(entry),
            layout: None,
            module,
            entry_point: Some(entry),
            compilation_options: Default::default(),
            cache: None,
        });
        Self {
            device,
            pool,
            pipeline,
        }
    }

    fn bind(self, parts: &[(u32, Part)]) -> Bound {
        let entry = |(binding, part): &(u32, Part)| wgpu::BindGroupEntry {
            binding: *binding,
            resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                buffer: self.pool,
                offset: part.start,
                size: wgpu::BufferSize::new(part.end - part.start),
            }),
        };
        let entries: Vec<_> = parts.iter().map(entry).collect();
        let bind_group = self.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout: &self.pipeline.get_bind_group_layout(0),
            entries: &entries,
        });
        Bound {
            pipeline: self.pipeline,
            bind_group,
        }
    }
}

struct Bound {
    pipeline: wgpu::ComputePipeline,
    bind_group: wgpu::BindGroup,
}

impl Bound {
    fn encode(&self, pass: &mut wgpu::ComputePass<'_>) {
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &self.bind_group, &[]);
        pass.dispatch_workgroups(LEN as u32 / 64, 1, 1);
    }
}

#[test]
fn the_answer_is_the_references() {
    main().unwrap();
}
