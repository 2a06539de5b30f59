//! What the recording layer leaves alone: devices, queues, and whatever lies beside its buffers;
//! and that any number of bindings, and the caller's own dispatches, share a pass.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use wgpu_batchnorm::check::{self, TrainResult};
use wgpu_batchnorm::wgpu::{self, ComputePass};
use wgpu_batchnorm::{
    Affine, BackwardBuffers, Binding, Context, Element, Gpu, HostGradients, InferenceBuffers,
    MomentsBuffers, MomentsRows, Plan, RunningStatistics, StatisticsRows, SumsRows, TrainBuffers,
    adapters,
};

use crate::buffers::{Buffers, Place, run, submit};
use crate::dispatches::{cases, plan};
use testkit::case::Case;
use testkit::gpu::{counted, gpu, limited, narrow, own_gpu, record, rows, running_of, saved_of};
use testkit::outcome::{Engine, Reference};

/// Recorded on any thread, from any thread.
const _: () = {
    const fn shared<T: Send + Sync>() {}
    shared::<Context>();
    shared::<Plan>();
    shared::<Binding>();
};

/// Small enough to cut the larger cases into pieces, large enough for every workspace.
const NARROW: u64 = 1 << 14;

/// Devices that bind tensors whole, and in pieces.
fn devices() -> [Gpu; 2] {
    let devices = [gpu(), narrow(NARROW)];
    let pieces = |gpu| plan(gpu, &cases()[0]).schedule().pieces.len();
    assert!(pieces(&devices[0]) == 1 && pieces(&devices[1]) > 1);
    devices
}

/// Bindings of every operation on `b`, forward ones first.
fn all(plan: &Plan, b: &Buffers) -> Vec<Binding> {
    let mut bindings = Vec::new();
    if b.running.is_some() {
        bindings.push(plan.bind_inference(&b.inference()).unwrap());
        bindings.push(plan.bind_backward(&b.backward_frozen()).unwrap());
    }
    bindings.push(plan.bind_train(&b.train()).unwrap());
    bindings.push(plan.bind_backward(&b.backward()).unwrap());
    bindings
}

/// Bindings of every operation on half a batch: training forward and backward, as if the other half
/// had the same values, and then y over x.
fn halves(plan: &Plan, b: &Buffers) -> Vec<Binding> {
    let half = plan.view().count() as f64;
    let rows = |k: usize, count| MomentsRows::new(b.moments[k].slice(), count);
    let moments =
        |k: usize| MomentsBuffers::new(b.x.slice(), b.moments[k].slice(), b.workspace.slice());
    let dx = b
        .backward()
        .with_dresidual(None)
        .with_grads(None)
        .with_sums(SumsRows::new(b.grads.slice(), 2.0 * half));
    let sums = b.backward().with_dx(None);
    let in_place = b.train().with_y(None);
    let mut bindings = vec![
        plan.bind_moments(&moments(0)).unwrap(),
        plan.bind_moments(&moments(1)).unwrap(),
        plan.bind_merge_moments(&rows(0, half), &rows(1, half))
            .unwrap(),
        plan.bind_train(&b.train().with_moments(rows(0, 2.0 * half)))
            .unwrap(),
        plan.bind_backward(&sums).unwrap(),
        plan.bind_backward(&dx).unwrap(),
        plan.bind_train(&in_place).unwrap(),
    ];
    if b.running.is_some() {
        let in_place = b.inference().with_y(None);
        bindings.push(plan.bind_inference(&in_place).unwrap());
    }
    bindings
}

/// All bits that an operation may write but the workspace's.
fn results(b: &Buffers) -> Vec<Vec<u32>> {
    let always = [&b.y, &b.dx, &b.grads, &b.saved].into_iter();
    let places = always.chain(&b.running).chain(&b.dresidual);
    places.chain(&b.moments).map(Place::bits).collect()
}

#[test]
fn nothing_runs_that_was_not_submitted() {
    for gpu in devices() {
        for case in cases() {
            let plan = plan(&gpu, &case);
            let b = Buffers::apart(&gpu, &plan, &case);
            let everything = || {
                let inputs = [b.x.bits(), b.dy.bits(), b.workspace.bits()];
                (results(&b), inputs)
            };
            let before = everything();
            let bindings = [all(&plan, &b), halves(&plan, &b)].concat();
            let mut encoder = gpu.device().create_command_encoder(&Default::default());
            let mut pass = encoder.begin_compute_pass(&Default::default());
            bindings
                .iter()
                .for_each(|binding| binding.encode(&mut pass));
            drop(pass);
            // Finished, and dropped.
            let _ = encoder.finish();
            assert!(everything() == before, "{}", case.name);
            // The same bindings do run when they are.
            run(&gpu, &bindings.iter().collect::<Vec<_>>());
            assert!(everything() != before, "{}", case.name);
        }
    }
}

#[test]
fn recording_needs_no_submission() {
    let adapters = pollster::block_on(adapters());
    let request = adapters[0].request_device(&Default::default());
    // Never touched; wgpu itself panics at bind groups of a device whose queue was dropped.
    let (device, _queue) = pollster::block_on(request).unwrap();
    record(&adapters[0].get_info());
    let context = Context::new(&device.clone()).unwrap();
    for case in cases().into_iter().filter(|case| case.running.is_some()) {
        let plan = context.plan(&case.config, &case.shape).unwrap();
        let longest = plan.tensor_bytes().max(plan.workspace_bytes());
        let place = longest.max(20 * case.view.channels() as u64);
        let place = place.next_multiple_of(256);
        let pool = device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: 9 * place,
            usage: wgpu::BufferUsages::STORAGE,
            mapped_at_creation: false,
        });
        let [x, y, dy, dx, affine, running, saved, grads, workspace] =
            std::array::from_fn(|k| pool.slice(k as u64 * place..(k as u64 + 1) * place));
        let affine = (case.config.affine != Affine::None).then_some(affine);
        let (dx, grads) = (Some(dx), Some(grads));
        let bindings = [
            plan.bind_train(
                &TrainBuffers::new(x, saved, workspace)
                    .with_y(y)
                    .with_affine(affine)
                    .with_running(running),
            ),
            plan.bind_inference(
                &InferenceBuffers::new(x, running)
                    .with_y(y)
                    .with_affine(affine),
            ),
            plan.bind_backward(
                &BackwardBuffers::new(x, dy, StatisticsRows::Saved(saved), workspace)
                    .with_dx(dx)
                    .with_affine(affine)
                    .with_grads(grads),
            ),
            plan.bind_backward(
                &BackwardBuffers::new(x, dy, StatisticsRows::Running(running), workspace)
                    .with_dx(dx)
                    .with_affine(affine)
                    .with_grads(grads),
            ),
        ];
        let mut encoder = device.create_command_encoder(&Default::default());
        let mut pass = encoder.begin_compute_pass(&Default::default());
        for binding in bindings {
            binding.unwrap().encode(&mut pass);
        }
        drop(pass);
        // Whatever is wrong with a recording comes to light here, as a panic.
        let _ = encoder.finish();
    }
}

#[test]
fn nothing_is_polled() {
    // What waits for an idle device is called back by the next poll or submission, whoever does
    // it.
    let gpu = own_gpu();
    let case = &cases()[0];
    let b = Buffers::apart(&gpu, &plan(&gpu, case), case);
    run(&gpu, &[]);
    let poll = || gpu.device().poll(wgpu::PollType::wait_indefinitely());
    poll().unwrap();
    let polled = Arc::new(AtomicBool::new(false));
    let told = polled.clone();
    gpu.queue()
        .on_submitted_work_done(move || told.store(true, Ordering::Relaxed));

    let context = Context::new(gpu.device()).unwrap();
    let plan = context.plan(&case.config, &case.shape).unwrap();
    let bindings = [all(&plan, &b), halves(&plan, &b)].concat();
    let mut encoder = gpu.device().create_command_encoder(&Default::default());
    let mut pass = encoder.begin_compute_pass(&Default::default());
    bindings
        .iter()
        .for_each(|binding| binding.encode(&mut pass));
    drop(pass);
    let commands = encoder.finish();
    assert!(!polled.load(Ordering::Relaxed));
    drop((commands, bindings, plan, context));
    assert!(!polled.load(Ordering::Relaxed));
    poll().unwrap();
    assert!(polled.load(Ordering::Relaxed), "it would have been seen");
}

#[test]
fn no_device_is_created_and_after_bind_nothing_at_all() {
    let (instance, gpu) = counted();
    let counts = || {
        let hub = instance.generate_report().expect("a native backend").hub;
        let devices = [hub.adapters, hub.devices, hub.queues];
        let made = [
            hub.buffers,
            hub.bind_groups,
            hub.bind_group_layouts,
            hub.pipeline_layouts,
            hub.shader_modules,
            hub.compute_pipelines,
            hub.command_encoders,
            hub.command_buffers,
        ];
        (
            devices.map(|objects| objects.num_kept_from_user),
            made.map(|objects| objects.num_kept_from_user),
        )
    };
    for case in cases() {
        let before = counts();
        let context = Context::new(&gpu.device().clone()).unwrap();
        let plan = context.plan(&case.config, &case.shape).unwrap();
        let b = Buffers::apart(&gpu, &plan, &case);
        let bindings = [all(&plan, &b), halves(&plan, &b)].concat();
        let mut encoder = gpu.device().create_command_encoder(&Default::default());
        let mut pass = encoder.begin_compute_pass(&Default::default());
        let bound = counts();
        assert_eq!(bound.0, before.0, "devices and queues");
        assert_ne!(bound.1, before.1, "binding makes what is counted");
        bindings
            .iter()
            .for_each(|binding| binding.encode(&mut pass));
        assert_eq!(counts(), bound);
    }
}

/// Every operation into one pass; inference and frozen backward into `first`, the rest into
/// `second`; then those on half a batch. All bits that they wrote.
fn everything(gpu: &Gpu, plan: &Plan, first: &Buffers, second: &Buffers) -> Vec<Vec<u32>> {
    let mut bindings = all(plan, first);
    bindings.truncate(bindings.len() - 2);
    let rest = all(plan, second);
    bindings.extend_from_slice(&rest[rest.len() - 2..]);
    run(gpu, &bindings.iter().collect::<Vec<_>>());
    let whole = [results(first), results(second)].concat();
    run(gpu, &halves(plan, second).iter().collect::<Vec<_>>());
    [whole, results(second), vec![second.x.bits()]].concat()
}

#[test]
fn one_pooled_buffer_gives_the_bits_of_separate_ones() {
    // At the alignment that devices have by default, and at the adapter's own, which is less.
    let own = |bytes: Option<u64>| {
        limited(|offered| wgpu::Limits {
            min_storage_buffer_offset_alignment: offered.min_storage_buffer_offset_alignment,
            max_storage_buffer_binding_size: bytes.unwrap_or(128 << 20),
            ..wgpu::Limits::default()
        })
    };
    for gpu in [gpu(), own(None), own(Some(NARROW))] {
        for case in cases() {
            let plan = plan(&gpu, &case);
            let apart = || Buffers::apart(&gpu, &plan, &case);
            let pooled = || Buffers::pooled(&gpu, &plan, &case);
            let separate = everything(&gpu, &plan, &apart(), &apart());
            let [(first, held), (second, also_held)] = [pooled(), pooled()];
            let together = everything(&gpu, &plan, &first, &second);
            assert!(separate == together, "{}", case.name);
            assert!(first.kept_between(&held), "{}", case.name);
            assert!(second.kept_between(&also_held), "{}", case.name);
        }
    }
}

#[test]
fn two_bindings_of_one_plan_share_a_pass_and_a_workspace() {
    for gpu in devices() {
        for case in cases() {
            let plan = plan(&gpu, &case);
            let other = Case {
                x: case.x.iter().rev().map(|x| x * 2.0).collect(),
                dy: case.dy.iter().rev().map(|dy| dy * 4.0).collect(),
                ..case.clone()
            };
            // One operation at a time, since forward and backward ones write the same tensors.
            let count = all(&plan, &Buffers::apart(&gpu, &plan, &case)).len();
            for operation in 0..count {
                let pair = || [&case, &other].map(|case| Buffers::apart(&gpu, &plan, case));
                let prepared = |pair: &[Buffers; 2]| {
                    // What backward needs.
                    for b in pair {
                        run(&gpu, &[&plan.bind_train(&b.train()).unwrap()]);
                    }
                };
                let alone = pair();
                prepared(&alone);
                for b in &alone {
                    run(&gpu, &[&all(&plan, b)[operation]]);
                }
                let mut together = pair();
                prepared(&together);
                together[1].workspace = together[0].workspace.clone();
                let [first, second] = together.each_ref().map(|b| all(&plan, b));
                run(&gpu, &[&first[operation], &second[operation]]);
                let [alone, together] = [alone, together].map(|pair| pair.map(|b| results(&b)));
                assert!(alone == together, "{operation} of {}", case.name);
            }
        }
    }
}

#[test]
fn two_bindings_of_one_plan_keep_their_own_options() {
    for gpu in devices() {
        for case in cases() {
            let plan = plan(&gpu, &case);
            let pair = [false, true].map(|accumulate| {
                let b = Buffers::apart(&gpu, &plan, &case);
                b.grads.write(&vec![100.0; b.grads.len]);
                run(&gpu, &[&plan.bind_train(&b.train()).unwrap()]);
                let backward = plan.bind_backward(&b.backward().with_accumulate(accumulate));
                (b, backward.unwrap())
            });
            let [(one, sets), (other, adds)] = pair;
            run(&gpu, &[&sets, &adds]);
            // Beside what was there, or added to it; the order of additions is the driver's.
            let there = vec![100.0; case.view.channels()];
            for (b, before) in [(&one, None), (&other, Some((&there[..], &there[..])))] {
                let [dweight, dbias] = rows(&b.grads.read());
                let dx = vec![];
                let gradients = HostGradients::new(dx, dweight, dbias);
                let report = check::backward(&case.input(), &case.dy, &gradients, before).unwrap();
                assert!(report.passed(), "{}: {:?}", case.name, report.worst());
            }
            assert!(one.dx.bits() == other.dx.bits(), "{}", case.name);
        }
    }
}

/// Asserts that `b` holds what training makes of the case.
fn assert_trained(case: &Case, b: &Buffers, after: Option<&RunningStatistics>) {
    let before = case.running.as_ref();
    let moved = before.zip(after).zip(case.config.running);
    let (y, saved) = (b.y.read(), saved_of(&b.saved.read()));
    let result = TrainResult::new(&y, &saved)
        .with_running(moved.map(|((before, after), running)| (before, after, running)));
    let report = check::train_forward(&case.input(), &result).unwrap();
    assert!(report.passed(), "{}: {:?}", case.name, report.worst());
}

#[test]
fn a_binding_encoded_twice_in_one_frame_steps_twice() {
    for gpu in devices() {
        let is_f32 = |case: &Case| case.config.element == Element::F32;
        for case in cases().into_iter().filter(is_f32) {
            let plan = plan(&gpu, &case);
            let b = Buffers::apart(&gpu, &plan, &case);
            let binding = plan.bind_train(&b.train()).unwrap();
            // Copies of what the first step gave.
            let first = Buffers::apart(&gpu, &plan, &case);
            let mut encoder = gpu.device().create_command_encoder(&Default::default());
            let step = |encoder: &mut wgpu::CommandEncoder| {
                binding.encode(&mut encoder.begin_compute_pass(&Default::default()));
            };
            step(&mut encoder);
            let kept = [(&b.y, &first.y), (&b.saved, &first.saved)];
            for (from, to) in kept.into_iter().chain(b.running.iter().zip(&first.running)) {
                let (from, to) = (from.tensor.buffer(), to.tensor.buffer());
                encoder.copy_buffer_to_buffer(from, 0, to, 0, from.size());
            }
            encoder.clear_buffer(b.y.tensor.buffer(), 0, None);
            step(&mut encoder);
            gpu.queue().submit([encoder.finish()]);

            let running = |b: &Buffers| b.running.as_ref().map(|place| running_of(&place.read()));
            let (once, twice) = (running(&first), running(&b));
            assert_trained(&case, &first, once.as_ref());
            // The second step starts where the first ended, by the reference.
            let moved = Reference.run(&case).running;
            let again = Case {
                running: moved,
                ..case
            };
            assert_trained(&again, &b, twice.as_ref());
        }
    }
}

#[test]
fn one_pass_moves_what_two_submissions_do() {
    for gpu in devices() {
        for case in cases() {
            let plan = plan(&gpu, &case);
            let results = [true, false].map(|one_pass| {
                let b = Buffers::apart(&gpu, &plan, &case);
                let binding = plan.bind_train(&b.train()).unwrap();
                if one_pass {
                    run(&gpu, &[&binding, &binding]);
                } else {
                    run(&gpu, &[&binding]);
                    run(&gpu, &[&binding]);
                }
                results(&b)
            });
            assert!(results[0] == results[1], "{}", case.name);
        }
    }
}

/// A kernel of the caller's own: `a[i] = a[i] * scale + shift`.
struct Own {
    pipeline: wgpu::ComputePipeline,
    /// One for each binding that the tensor needs.
    bind_groups: Vec<wgpu::BindGroup>,
    workgroups: u32,
}

impl Own {
    fn new(gpu: &Gpu, place: &Place, scale: f32, shift: f32) -> Self {
        let device = gpu.device();
        let source = format!(
            "@group(0) @binding(0) var<storage, read_write> a: array<f32>;
            @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {{
                if (id.x < arrayLength(&a)) {{ a[id.x] = a[id.x] * {scale:?} + {shift:?}; }}
            }}"
        );
        let pipeline = testkit::gpu::pipeline(device, &source);
        let bind_groups = (0..place.len).step_by(NARROW as usize / 4).map(|at| {
            let range = wgpu::BufferBinding {
                buffer: place.tensor.buffer(),
                offset: at as u64 * 4,
                size: wgpu::BufferSize::new(NARROW.min((place.len - at) as u64 * 4)),
            };
            device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: None,
                layout: &pipeline.get_bind_group_layout(0),
                entries: &[wgpu::BindGroupEntry {
                    binding: 0,
                    resource: wgpu::BindingResource::Buffer(range),
                }],
            })
        });
        Self {
            bind_groups: bind_groups.collect(),
            pipeline,
            workgroups: NARROW as u32 / 4 / 64,
        }
    }

    fn record(&self, pass: &mut ComputePass<'_>) {
        pass.set_pipeline(&self.pipeline);
        for bind_group in &self.bind_groups {
            pass.set_bind_group(0, bind_group, &[]);
            pass.dispatch_workgroups(self.workgroups, 1, 1);
        }
    }
}

/// An operation, its input that is scaled before it, its output that is added to after it.
type Operation = (
    fn(&Plan, &Buffers) -> Binding,
    fn(&Buffers) -> &Place,
    fn(&Buffers) -> &Place,
);

const OPERATIONS: [Operation; 4] = [
    (
        |plan, b| plan.bind_train(&b.train()).unwrap(),
        |b| &b.x,
        |b| &b.y,
    ),
    (
        |plan, b| plan.bind_inference(&b.inference()).unwrap(),
        |b| &b.x,
        |b| &b.y,
    ),
    (
        |plan, b| plan.bind_backward(&b.backward()).unwrap(),
        |b| &b.dy,
        |b| &b.dx,
    ),
    (
        |plan, b| plan.bind_backward(&b.backward_frozen()).unwrap(),
        |b| &b.dy,
        |b| &b.dx,
    ),
];

#[test]
fn the_callers_own_dispatches_see_the_same_pass() {
    for gpu in devices() {
        let whole_words =
            |case: &Case| case.running.is_some() && case.config.element == Element::F32;
        for case in cases().into_iter().filter(whole_words) {
            let plan = plan(&gpu, &case);
            for (bind, input, output) in OPERATIONS {
                let [apart, together] = [(); 2].map(|()| {
                    let b = Buffers::apart(&gpu, &plan, &case);
                    // What backward needs.
                    run(&gpu, &[&plan.bind_train(&b.train()).unwrap()]);
                    b
                });
                // Powers of two scale exactly, and so the host says what is right.
                let scaled = input(&apart)
                    .read()
                    .iter()
                    .map(|v| v * 4.0)
                    .collect::<Vec<_>>();
                input(&apart).write(&scaled);
                run(&gpu, &[&bind(&plan, &apart)]);
                let expected = output(&apart)
                    .read()
                    .iter()
                    .map(|v| (v + 1.0).to_bits())
                    .collect::<Vec<_>>();

                let before = Own::new(&gpu, input(&together), 4.0, 0.0);
                let binding = bind(&plan, &together);
                let after = Own::new(&gpu, output(&together), 1.0, 1.0);
                submit(&gpu, |pass| {
                    before.record(pass);
                    binding.encode(pass);
                    after.record(pass);
                });
                assert!(output(&together).bits() == expected, "{}", case.name);
            }
        }
    }
}
