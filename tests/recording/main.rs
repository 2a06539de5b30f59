//! Recording is cheap: `encode` allocates no more than the wgpu calls it makes, and is quick.
//!
//! A binary of its own, since it counts what the allocator does.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::{Duration, Instant};

use wgpu_batchnorm::{
    BackwardBuffers, Binding, Config, Gpu, InferenceBuffers, StatisticsRows, Tensor, TrainBuffers,
    wgpu,
};

use testkit::gpu::{gpu, narrow};

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

/// The system's allocator, counting what this thread asks for.
struct Counting;

// SAFETY: every call goes to the system's allocator as it came.
#[allow(unsafe_code, reason = "an allocator is nothing else")]
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
        let pipeline = testkit::gpu::pipeline(device, source);
        let bind_group = Self::bind(gpu, &pipeline);
        Self {
            pipeline,
            bind_group,
        }
    }

    /// The same kernel on another buffer.
    fn with_own_bind_group(&self, gpu: &Gpu) -> Self {
        Self {
            pipeline: self.pipeline.clone(),
            bind_group: Self::bind(gpu, &self.pipeline),
        }
    }

    fn bind(gpu: &Gpu, pipeline: &wgpu::ComputePipeline) -> wgpu::BindGroup {
        let buffer = Tensor::empty(gpu, &[64]).unwrap();
        gpu.device().create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout: &pipeline.get_bind_group_layout(0),
            entries: &[wgpu::BindGroupEntry {
                binding: 0,
                resource: buffer.buffer().as_entire_binding(),
            }],
        })
    }

    fn record(&self, pass: &mut wgpu::ComputePass<'_>) {
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &self.bind_group, &[]);
        pass.dispatch_workgroups(1, 1, 1);
    }
}

/// Every operation, by name and with how many kernels it has.
fn bindings(gpu: &Gpu) -> Vec<(&'static str, usize, Binding)> {
    let shape = [2, 3, 100, 200];
    let plan = gpu.context().plan(&Config::pytorch(), &shape).unwrap();
    let tensor = |shape: &[usize]| Tensor::empty(gpu, shape).unwrap();
    let [x, y, dy, dx] = [(); 4].map(|()| tensor(&shape));
    let (affine, grads) = (tensor(&[2, 3]), tensor(&[2, 3]));
    let (running, saved) = (tensor(&[3, 3]), tensor(&[5, 3]));
    let workspace = tensor(&[plan.workspace_bytes() as usize / 4]);
    let train = TrainBuffers::new(x.slice(), saved.slice(), workspace.slice())
        .with_y(y.slice())
        .with_affine(affine.slice())
        .with_running(running.slice());
    let inference = InferenceBuffers::new(x.slice(), running.slice())
        .with_y(y.slice())
        .with_affine(affine.slice());
    let [backward, frozen] = [
        StatisticsRows::Saved(saved.slice()),
        StatisticsRows::Running(running.slice()),
    ]
    .map(|statistics| {
        BackwardBuffers::new(x.slice(), dy.slice(), statistics, workspace.slice())
            .with_dx(dx.slice())
            .with_affine(affine.slice())
            .with_grads(grads.slice())
    });
    vec![
        ("train", 2, plan.bind_train(&train).unwrap()),
        ("inference", 1, plan.bind_inference(&inference).unwrap()),
        ("backward", 2, plan.bind_backward(&backward).unwrap()),
        ("frozen", 2, plan.bind_backward(&frozen).unwrap()),
    ]
}

/// Dispatches by wgpu alone, of as many kernels: wgpu leaves out what is set already.
fn bare(gpu: &Gpu, name: &str, kernels: usize, dispatches: usize) -> Vec<Bare> {
    let firsts: Vec<_> = (0..kernels).map(|_| Bare::new(gpu)).collect();
    let pieces = dispatches.div_ceil(kernels);
    let kernel = |k: usize| match name {
        // Its second kernel merges, once for all pieces.
        "frozen" => usize::from(k + 1 == dispatches),
        _ => k / pieces,
    };
    let all = (0..dispatches).map(|k| firsts[kernel(k)].with_own_bind_group(gpu));
    all.collect()
}

/// `encode` against the bare calls, on tensors in so many pieces.
fn assert_cheap(gpu: &Gpu, pieces: usize) {
    for (name, kernels, binding) in bindings(gpu) {
        let dispatches = binding.dispatch_count();
        let expected = match name {
            "inference" => pieces,
            "frozen" => pieces + 1,
            _ => 2 * pieces,
        };
        assert_eq!(dispatches, expected, "{name}");
        let bare = bare(gpu, name, kernels, dispatches);
        let (allocations, time) = usual(gpu, |pass| binding.encode(pass));
        let (least, floor) = usual(gpu, |pass| {
            pass.push_debug_group("wgpu-batchnorm training forward");
            bare.iter().for_each(|bare| bare.record(pass));
            pass.pop_debug_group();
        });
        println!(
            "{name}, {dispatches} dispatches: {allocations} allocations, {time:?}; bare: {least}, {floor:?}"
        );
        assert!(allocations <= least, "{name}: {allocations} > {least}");
        let budget = Duration::from_micros(10) * dispatches.max(2) as u32;
        assert!(time <= budget, "{name}: {time:?}");
    }
}

#[test]
fn encode_costs_what_its_wgpu_calls_cost() {
    assert_cheap(&gpu(), 1);
}

#[test]
fn encode_in_pieces_costs_what_its_wgpu_calls_cost() {
    // 480 kB, between channels.
    assert_cheap(&narrow(100_000), 6);
}
