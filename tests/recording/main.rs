//! Recording is cheap: `encode` allocates no more than the wgpu calls it makes, and is quick.
//!
//! A binary of its own, since it counts what the allocator does.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::{Duration, Instant};

use wgpu_batchnorm::{Adapter, Binding, Config, Gpu, InferenceBuffers, Tensor, TrainBuffers, wgpu};

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

/// The system's allocator, counting what this thread asks for.
struct Counting;

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // A thread that is ending has no counter left.
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: as the caller promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: as the caller promised.
        unsafe { System.realloc(ptr, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations and time of `record` in a pass of its own; making and ending the pass is not counted.
fn recorded(gpu: &Gpu, record: impl Fn(&mut wgpu::ComputePass<'_>)) -> (usize, Duration) {
    let mut encoder = gpu.device().create_command_encoder(&Default::default());
    let mut pass = encoder.begin_compute_pass(&Default::default());
    let (before, start) = (ALLOCATIONS.get(), Instant::now());
    record(&mut pass);
    (ALLOCATIONS.get() - before, start.elapsed())
}

/// The middle of many runs, after some to warm up.
fn usual(gpu: &Gpu, record: impl Fn(&mut wgpu::ComputePass<'_>)) -> (usize, Duration) {
    let mut runs: Vec<_> = (0..300).map(|_| recorded(gpu, &record)).collect();
    runs.drain(..100);
    runs.sort_unstable();
    let allocations = runs[runs.len() / 2].0;
    runs.sort_unstable_by_key(|run| run.1);
    (allocations, runs[runs.len() / 2].1)
}

/// A dispatch of a kernel that does nothing to one buffer, by wgpu alone.
struct Bare {
    pipeline: wgpu::ComputePipeline,
    bind_group: wgpu::BindGroup,
}

impl Bare {
    fn new(gpu: &Gpu) -> Self {
        let device = gpu.device();
        let source = "@group(0) @binding(0) var<storage, read_write> a: array<u32>;
            @compute @workgroup_size(1) fn main() { a[0] = 1u; }";
        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: None,
            source: wgpu::ShaderSource::Wgsl(source.into()),
        });
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: None,
            layout: None,
            module: &module,
            entry_point: None,
            compilation_options: Default::default(),
            cache: None,
        });
        let buffer = Tensor::empty(gpu, &[64]).unwrap();
        let bind_group = device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout: &pipeline.get_bind_group_layout(0),
            entries: &[wgpu::BindGroupEntry {
                binding: 0,
                resource: buffer.buffer().as_entire_binding(),
            }],
        });
        Self {
            pipeline,
            bind_group,
        }
    }

    fn record(&self, pass: &mut wgpu::ComputePass<'_>) {
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &self.bind_group, &[]);
        pass.dispatch_workgroups(1, 1, 1);
    }
}

/// Training in two dispatches, and inference.
fn bindings(gpu: &Gpu) -> [Binding; 2] {
    let shape = [2, 3, 100, 200];
    let plan = gpu.context().plan(&Config::pytorch(), &shape).unwrap();
    let tensor = |shape: &[usize]| Tensor::empty(gpu, shape).unwrap();
    let (x, y, affine) = (tensor(&shape), tensor(&shape), tensor(&[2, 3]));
    let (running, saved) = (tensor(&[3, 3]), tensor(&[5, 3]));
    let workspace = tensor(&[plan.workspace_bytes() as usize / 4]);
    let train = TrainBuffers {
        x: x.buffer().slice(..),
        y: Some(y.buffer().slice(..)),
        residual: None,
        affine: Some(affine.buffer().slice(..)),
        running: Some(running.buffer().slice(..)),
        saved: saved.buffer().slice(..),
        workspace: workspace.buffer().slice(..),
    };
    let inference = InferenceBuffers {
        x: train.x,
        y: train.y,
        residual: None,
        affine: train.affine,
        running: running.buffer().slice(..),
    };
    [
        plan.bind_train(&train).unwrap(),
        plan.bind_inference(&inference).unwrap(),
    ]
}

#[test]
fn encode_costs_what_its_wgpu_calls_cost() {
    let gpu = Gpu::new_blocking(&Adapter::Best).unwrap();
    // One for each dispatch: wgpu leaves out what is set already.
    let bare = [Bare::new(&gpu), Bare::new(&gpu)];
    for binding in bindings(&gpu) {
        let dispatches = binding.dispatch_count();
        let (allocations, time) = usual(&gpu, |pass| binding.encode(pass));
        let (least, floor) = usual(&gpu, |pass| {
            for bare in &bare[..dispatches] {
                bare.record(pass);
            }
        });
        println!(
            "{dispatches} dispatches: {allocations} allocations, {time:?}; bare: {least}, {floor:?}"
        );
        assert!(allocations <= least, "{allocations} > {least}");
        assert!(time <= Duration::from_micros(20), "{time:?}");
    }
}
