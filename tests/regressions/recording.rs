//! The recording layer: calls on what does not fit together, and what compiles when.

use std::collections::HashMap;

use testkit::gpu::{featured, limited, own_gpu};
use testkit::log::skipped;
use wgpu_batchnorm::error::{BindError, CacheError, DeviceError, EncodeError};
use wgpu_batchnorm::wgpu::{self, BufferSlice, BufferUsages, Features, Limits};
use wgpu_batchnorm::{
    BackwardBuffers, Binding, Config, Context, Gpu, InferenceBuffers, MomentsBuffers, MomentsRows,
    Momentum, Plan, StatisticsRows, SumsRows, Tensor, TrainBuffers, WarmUp,
};

/// Two samples of three channels, four values each.
const SHAPE: [usize; 3] = [2, 3, 4];
/// Channels too large for one workgroup, so that training and backward take two dispatches.
const LARGE: [usize; 3] = [2, 3, 20_000];

/// A device whose handler panics on whatever a call does not catch, wgpu's default.
fn strict() -> Gpu {
    limited(|_| Limits::default())
}

/// A buffer for each argument of any operation, by the name that errors call it.
#[derive(Clone)]
struct Arguments(HashMap<&'static str, wgpu::Buffer>);

const TENSORS: [&str; 6] = ["x", "y", "dy", "dx", "residual", "dresidual"];
const ROWS: [&str; 8] = [
    "affine", "running", "saved", "grads", "sums", "moments", "into", "other",
];

impl Arguments {
    fn new(gpu: &Gpu, plan: &Plan) -> Self {
        let buffer = |bytes| {
            gpu.device().create_buffer(&wgpu::BufferDescriptor {
                label: None,
                size: bytes,
                usage: BufferUsages::STORAGE | BufferUsages::COPY_DST | BufferUsages::COPY_SRC,
                mapped_at_creation: false,
            })
        };
        let tensors = TENSORS.map(|name| (name, buffer(plan.tensor_bytes())));
        let rows = ROWS.map(|name| (name, buffer(plan.saved_bytes())));
        let workspace = ("workspace", buffer(plan.workspace_bytes()));
        Self(tensors.into_iter().chain(rows).chain([workspace]).collect())
    }

    fn get(&self, name: &str) -> BufferSlice<'_> {
        self.0[name].slice(..)
    }

    fn train(&self) -> TrainBuffers<'_> {
        TrainBuffers::new(self.get("x"), self.get("saved"), self.get("workspace"))
            .with_y(self.get("y"))
            .with_residual(self.get("residual"))
            .with_affine(self.get("affine"))
            .with_running(self.get("running"))
    }

    /// Without anything to write.
    fn backward<'a>(&'a self, statistics: StatisticsRows<'a>) -> BackwardBuffers<'a> {
        let (x, dy) = (self.get("x"), self.get("dy"));
        BackwardBuffers::new(x, dy, statistics, self.get("workspace"))
            .with_residual(self.get("residual"))
            .with_affine(self.get("affine"))
    }

    fn saved(&self) -> StatisticsRows<'_> {
        StatisticsRows::Saved(self.get("saved"))
    }

    fn running(&self) -> StatisticsRows<'_> {
        StatisticsRows::Running(self.get("running"))
    }
}

type Bind = fn(&Plan, &Arguments) -> Result<Binding, BindError>;

/// Every operation with all that it can be given, what it compiles, and the names of its arguments.
fn operations() -> Vec<(Bind, WarmUp, Vec<&'static str>)> {
    fn all<'a>(backward: BackwardBuffers<'a>, b: &'a Arguments) -> BackwardBuffers<'a> {
        backward
            .with_dx(b.get("dx"))
            .with_dresidual(b.get("dresidual"))
            .with_grads(b.get("grads"))
    }
    const COUNT: f64 = 1e5;
    let backward = ["x", "dy", "dx", "residual", "dresidual", "affine", "grads"];
    vec![
        (
            |plan, b| plan.bind_train(&b.train()),
            WarmUp::train().with_y().with_residual(),
            vec![
                "x",
                "y",
                "residual",
                "affine",
                "running",
                "saved",
                "workspace",
            ],
        ),
        (
            |plan, b| {
                let moments = MomentsRows::new(b.get("moments"), COUNT);
                plan.bind_train(&b.train().with_moments(moments))
            },
            WarmUp::train().with_y().with_residual().with_moments(),
            vec![
                "x",
                "y",
                "residual",
                "affine",
                "running",
                "saved",
                "moments",
                "workspace",
            ],
        ),
        (
            |plan, b| {
                let inference = InferenceBuffers::new(b.get("x"), b.get("running"))
                    .with_y(b.get("y"))
                    .with_residual(b.get("residual"))
                    .with_affine(b.get("affine"));
                plan.bind_inference(&inference)
            },
            WarmUp::inference().with_y().with_residual(),
            vec!["x", "y", "residual", "affine", "running"],
        ),
        (
            |plan, b| plan.bind_backward(&all(b.backward(b.saved()), b)),
            WarmUp::backward()
                .with_dx()
                .with_residual()
                .with_dresidual(),
            [&backward[..], &["saved", "workspace"]].concat(),
        ),
        (
            |plan, b| plan.bind_backward(&all(b.backward(b.running()), b)),
            WarmUp::backward_frozen()
                .with_dx()
                .with_residual()
                .with_dresidual(),
            [&backward[..], &["running", "workspace"]].concat(),
        ),
        (
            |plan, b| plan.bind_backward(&all(b.backward(b.saved()), b).with_dx(None)),
            WarmUp::backward().with_residual().with_dresidual(),
            vec!["grads"],
        ),
        (
            |plan, b| {
                let sums = SumsRows::new(b.get("sums"), COUNT);
                let dx = b.backward(b.saved()).with_dx(b.get("dx"));
                plan.bind_backward(&dx.with_sums(sums))
            },
            WarmUp::backward().with_sums().with_residual(),
            vec![
                "x",
                "dy",
                "dx",
                "residual",
                "affine",
                "saved",
                "sums",
                "workspace",
            ],
        ),
        (
            |plan, b| {
                let (x, moments) = (b.get("x"), b.get("moments"));
                plan.bind_moments(&MomentsBuffers::new(x, moments, b.get("workspace")))
            },
            WarmUp::moments(),
            vec!["x", "moments", "workspace"],
        ),
        (
            |plan, b| {
                let [into, other] =
                    ["into", "other"].map(|name| MomentsRows::new(b.get(name), COUNT));
                plan.bind_merge_moments(&into, &other)
            },
            WarmUp::merge_moments(),
            vec!["into", "other"],
        ),
    ]
}

fn plan(gpu: &Gpu) -> Plan {
    plan_of(gpu, &SHAPE)
}

fn plan_of(gpu: &Gpu, shape: &[usize]) -> Plan {
    gpu.context().plan(&Config::pytorch(), shape).unwrap()
}

fn submit(gpu: &Gpu, record: impl FnOnce(&mut wgpu::ComputePass<'_>)) {
    let mut encoder = gpu.device().create_command_encoder(&Default::default());
    record(&mut encoder.begin_compute_pass(&Default::default()));
    gpu.queue().submit([encoder.finish()]);
}

/// A momentum was written through the caller's queue, and one of another device panicked in that device's
/// handler, which no call of ours can watch. It takes no queue now.
#[test]
fn foreign_queue() {
    let here = strict();
    let config = Config::pytorch().with_momentum(Momentum::new(0.5));
    let plan = here.context().plan(&config, &SHAPE).unwrap();
    let upload = |shape: &[usize], values: &[f32]| Tensor::upload(&here, shape, values).unwrap();
    // Channel c holds 4·c in one sample and 4·c + 2 in the other: means of 1, 5 and 9.
    let values: Vec<f32> = (0..24)
        .map(|k| (k / 4 % 3 * 4 + k / 12 * 2) as f32)
        .collect();
    let x = upload(&SHAPE, &values);
    let affine = upload(&[2, 3], &[1.0, 1.0, 1.0, 0.0, 0.0, 0.0]);
    let running = upload(&[3, 3], &[0.0; 9]);
    let b = Arguments::new(&here, &plan);
    let buffers = TrainBuffers::new(x.slice(), b.get("saved"), b.get("workspace"))
        .with_y(b.get("y"))
        .with_affine(affine.slice())
        .with_running(running.slice());
    let mut binding = plan.bind_train(&buffers).unwrap();
    let step = |binding: &Binding| {
        submit(&here, |pass| binding.encode(pass));
        running.read_blocking().unwrap()[..3].to_vec()
    };
    assert_eq!(step(&binding), [0.5, 2.5, 4.5]);
    binding.set_momentum(Momentum::new(0.25)).unwrap();
    assert_eq!(step(&binding), [0.625, 3.125, 5.625]);
}

/// A pass of another device is told by wgpu where the commands are checked, when its encoder is finished, to
/// whoever watches that device: the call itself neither panics nor reports anything to our own.
#[test]
fn foreign_pass() {
    let [here, there] = [(); 2].map(|()| strict());
    let plan = plan(&here);
    let b = Arguments::new(&here, &plan);
    let binding = plan.bind_train(&b.train()).unwrap();
    let scope = there
        .device()
        .push_error_scope(wgpu::ErrorFilter::Validation);
    let mut encoder = there.device().create_command_encoder(&Default::default());
    binding.encode(&mut encoder.begin_compute_pass(&Default::default()));
    drop(encoder.finish());
    let reported = pollster::block_on(scope.pop());
    assert!(matches!(reported, Some(wgpu::Error::Validation { .. })));
    // Our own device is as it was.
    submit(&here, |pass| binding.encode(pass));
}

/// The same on a device that is lost: whatever the call answers, it panics in no handler.
#[test]
fn momentum_of_a_lost_device() {
    let gpu = own_gpu();
    let plan = plan(&gpu);
    let b = Arguments::new(&gpu, &plan);
    let mut binding = plan.bind_train(&b.train()).unwrap();
    gpu.device().destroy();
    let _ = binding.set_momentum(Momentum::new(0.25));
}

/// A binding makes a buffer of 3,584 bytes for what its operation does not use.
#[test]
fn small_device() {
    for max_buffer_size in [256, 2048, 3583] {
        let error = small(max_buffer_size).unwrap_err();
        let DeviceError::Limit {
            limit: "max_buffer_size",
            got,
            expected: 3584,
        } = error
        else {
            panic!("{max_buffer_size}: {error}");
        };
        assert_eq!(got, max_buffer_size);
    }
    // From there on, what does not fit is told by the call that needs it.
    for max_buffer_size in [3584, 4096, 8192] {
        let context = small(max_buffer_size).unwrap();
        assert!(context.plan(&Config::pytorch(), &SHAPE).is_ok());
    }
}

/// A context on a device with these limits.
fn small(max_buffer_size: u64) -> Result<Context, DeviceError> {
    let adapters = wgpu_batchnorm::adapters_blocking();
    let adapter = adapters.first().expect("an adapter");
    testkit::gpu::record(&adapter.get_info());
    let request = wgpu::DeviceDescriptor {
        required_limits: Limits {
            max_buffer_size,
            max_storage_buffer_binding_size: max_buffer_size,
            ..Limits::default()
        },
        ..Default::default()
    };
    let (device, _queue) = pollster::block_on(adapter.request_device(&request)).unwrap();
    Context::new(&device)
}

/// A backward pass that would write nothing.
#[test]
fn nothing_asked() {
    let gpu = strict();
    let plan = plan(&gpu);
    let b = Arguments::new(&gpu, &plan);
    for statistics in [b.saved(), b.running()] {
        let nothing = b.backward(statistics);
        let refused = plan.bind_backward(&nothing).err();
        assert_eq!(refused, Some(BindError::NothingAsked));
        let refused = plan.bind_backward(&nothing.with_accumulate(true)).err();
        assert_eq!(refused, Some(BindError::Missing { buffer: "grads" }));
        for something in [
            nothing.with_dx(b.get("dx")),
            nothing.with_dresidual(b.get("dresidual")),
            nothing.with_grads(b.get("grads")),
        ] {
            assert!(plan.bind_backward(&something).is_ok());
        }
    }
}

/// A buffer of another device, or one that was destroyed, is refused by its name in every place.
#[test]
fn unnamed_buffer() {
    let [here, there] = [(); 2].map(|()| strict());
    // A workspace that no dispatch binds would not matter.
    let plan = plan_of(&here, &LARGE);
    let good = Arguments::new(&here, &plan);
    let foreign = Arguments::new(&there, &plan);
    let destroyed = Arguments::new(&here, &plan);
    destroyed.0.values().for_each(wgpu::Buffer::destroy);
    for (bind, _, names) in operations() {
        for name in names {
            for bad in [&foreign, &destroyed] {
                let mut b = good.clone();
                b.0.insert(name, bad.0[name].clone());
                match bind(&plan, &b).err() {
                    Some(BindError::Unusable { name: told, reason }) => {
                        assert_eq!(told, name, "{reason}");
                    }
                    other => panic!("{name}: {other:?}"),
                }
            }
        }
        bind(&plan, &good).unwrap();
    }
}

/// What was compiled ahead, on another thread, is not compiled in the frame.
#[test]
fn first_frame() {
    let gpu = strict();
    let context = gpu.context().clone();
    let operations = operations();
    let warm: Vec<WarmUp> = operations.iter().map(|(_, warm, _)| warm.clone()).collect();
    let count = || context.compiled().len();
    for shape in [SHAPE, LARGE] {
        let plan = plan_of(&gpu, &shape);
        let b = Arguments::new(&gpu, &plan);
        let before = count();
        std::thread::scope(|scope| {
            let warming = scope.spawn(|| context.warm_up(&plan, &warm));
            warming.join().unwrap()
        })
        .unwrap();
        let compiled = count();
        assert!(compiled > before);
        for (bind, ..) in &operations {
            let binding = bind(&plan, &b).unwrap();
            submit(&gpu, |pass| binding.encode(pass));
            assert_eq!(count(), compiled, "{binding:?}");
        }
    }
    let (plan, compiled) = (plan(&gpu), count());
    let b = Arguments::new(&gpu, &plan);
    // In place takes a pipeline of its own, which was not asked for.
    plan.bind_train(&b.train().with_y(None)).unwrap();
    assert!(count() > compiled);

    let other = Context::new(gpu.device()).unwrap();
    let refused = other.warm_up(&plan, &warm);
    assert_eq!(refused, Err(BindError::OtherContext));
    let refused = context.warm_up(&plan, &[WarmUp::train().with_dx()]);
    assert_eq!(refused, Err(BindError::Unexpected { buffer: "dx" }));
    let refused = context.warm_up(&plan, &[WarmUp::inference().with_moments()]);
    assert_eq!(refused, Err(BindError::Unexpected { buffer: "moments" }));
}

/// Bytes for [`Context::load_pipeline_cache`], as this test was given them.
#[allow(unsafe_code, reason = "that is what the test is about")]
fn load(context: &Context, bytes: &[u8]) -> Result<(), CacheError> {
    // SAFETY: the bytes come from `pipeline_cache_data`; those that were changed since fail the checks
    // that stand in front of the driver, as the test asserts.
    unsafe { context.load_pipeline_cache(bytes) }
}

#[test]
fn a_pipeline_cache_survives_and_damage_does_not_reach_the_driver() {
    let Some(gpu) = featured(Features::PIPELINE_CACHE) else {
        return skipped("the adapter keeps no pipeline cache");
    };
    let warm = |context: &Context| {
        let plan = context.plan(&Config::pytorch(), &SHAPE).unwrap();
        context.warm_up(&plan, &[WarmUp::inference()]).unwrap();
    };
    let empty = gpu.context().pipeline_cache_data().unwrap();
    warm(gpu.context());
    let bytes = gpu.context().pipeline_cache_data().unwrap();
    assert!(bytes.len() >= empty.len());

    let later = Context::new(gpu.device()).unwrap();
    load(&later, &bytes).unwrap();
    warm(&later);
    assert!(later.pipeline_cache_data().unwrap().len() >= empty.len());

    let fresh = Context::new(gpu.device()).unwrap();
    for len in [0, 7, 8, 27, 28, bytes.len() / 2, bytes.len() - 1] {
        assert!(load(&fresh, &bytes[..len]).is_err(), "{len} bytes");
    }
    for at in (0..bytes.len()).step_by(bytes.len() / 50 + 1) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        assert!(load(&fresh, &damaged).is_err(), "byte {at}");
    }
    let longer = [&bytes[..], &[0]].concat();
    assert!(matches!(
        load(&fresh, &longer),
        Err(CacheError::Length { .. })
    ));
    warm(&fresh);
    // A cache after another one takes its place.
    load(&fresh, &bytes).unwrap();
}

#[test]
fn a_device_without_a_pipeline_cache_says_so() {
    let gpu = strict();
    assert_eq!(gpu.context().pipeline_cache_data(), None);
    assert_eq!(load(gpu.context(), &[]), Err(CacheError::Unsupported));
}

fn timestamps(gpu: &Gpu, count: u32) -> wgpu::QuerySet {
    gpu.device().create_query_set(&wgpu::QuerySetDescriptor {
        label: None,
        ty: wgpu::QueryType::Timestamp,
        count,
    })
}

#[test]
fn timestamps_stand_around_an_operation() {
    let features = Features::TIMESTAMP_QUERY | Features::TIMESTAMP_QUERY_INSIDE_PASSES;
    let Some(gpu) = featured(features) else {
        return skipped("the adapter writes no timestamps inside passes");
    };
    let plan = plan(&gpu);
    let b = Arguments::new(&gpu, &plan);
    let train = plan.bind_train(&b.train()).unwrap();
    let queries = timestamps(&gpu, 4);
    let usage = BufferUsages::QUERY_RESOLVE | BufferUsages::COPY_SRC;
    let resolved = gpu.device().create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: 32,
        usage,
        mapped_at_creation: false,
    });
    let told = Tensor::upload(&gpu, &[8], &[0.0; 8]).unwrap();
    let mut encoder = gpu.device().create_command_encoder(&Default::default());
    {
        let mut pass = encoder.begin_compute_pass(&Default::default());
        for first in [3, 4, u32::MAX] {
            let refused = train.encode_timed(&mut pass, &queries, first);
            assert_eq!(refused, Err(EncodeError::QueryRange { first, count: 4 }));
        }
        let occlusion = gpu.device().create_query_set(&wgpu::QuerySetDescriptor {
            label: None,
            ty: wgpu::QueryType::Occlusion,
            count: 4,
        });
        let refused = train.encode_timed(&mut pass, &occlusion, 0);
        assert!(matches!(refused, Err(EncodeError::QueryType { .. })));
        // Inside a group of the caller's own; each encode closes the groups that it opens.
        pass.push_debug_group("the caller's own");
        train.encode_timed(&mut pass, &queries, 0).unwrap();
        train.encode_timed(&mut pass, &queries, 2).unwrap();
        pass.pop_debug_group();
    }
    encoder.resolve_query_set(&queries, 0..4, &resolved, 0);
    encoder.copy_buffer_to_buffer(&resolved, 0, told.buffer(), 0, 32);
    gpu.queue().submit([encoder.finish()]);
    let words: Vec<u64> = told
        .read_blocking()
        .unwrap()
        .into_iter()
        .map(|v| v.to_bits().into())
        .collect();
    let times: Vec<u64> = words
        .chunks(2)
        .map(|word| word[0] | word[1] << 32)
        .collect();
    assert!(times[0] > 0 && times.is_sorted(), "{times:?}");
}

#[test]
fn a_device_without_timestamps_says_so() {
    let Some(gpu) = featured(Features::TIMESTAMP_QUERY) else {
        return skipped("the adapter writes no timestamps");
    };
    let plan = plan(&gpu);
    let b = Arguments::new(&gpu, &plan);
    let train = plan.bind_train(&b.train()).unwrap();
    let queries = timestamps(&gpu, 2);
    submit(&gpu, |pass| {
        let refused = train.encode_timed(pass, &queries, 0);
        assert_eq!(refused, Err(EncodeError::NoTimestamps));
    });
}
