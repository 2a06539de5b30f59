//! Bad input to the recording layer: each mistake has its error, before anything is recorded, and
//! the next good call works.

use wgpu_batchnorm::error::{BindError, ConfigError, DeviceError, PlanError, ShapeError};
use wgpu_batchnorm::internals::plan::Tuning;
use wgpu_batchnorm::wgpu::{self, BufferUsages};
use wgpu_batchnorm::{
    Affine, BackwardBuffers, Binding, Config, Context, Gpu, Momentum, Plan, SumsRows, adapters,
    check,
};

use crate::buffers::{Buffers, Place, run};
use testkit::case::Case;
use testkit::data::Kind;
use testkit::gpu::{gpu, record};

fn case(config: Config) -> Case {
    Case::new(&[3, 5, 7], config, Kind::ALL[0], 11)
}

fn plan(gpu: &Gpu, case: &Case) -> Plan {
    gpu.context().plan(&case.config, &case.shape).unwrap()
}

type Bind = fn(&Plan, &Buffers) -> Result<Binding, BindError>;
const TRAIN: Bind = |plan, b| plan.bind_train(&b.train());
const INFERENCE: Bind = |plan, b| plan.bind_inference(&b.inference());
const BACKWARD: Bind = |plan, b| plan.bind_backward(&b.backward());
const FROZEN: Bind = |plan, b| plan.bind_backward(&b.backward_frozen());

/// Every operation and its buffers.
const OPERATIONS: [(Bind, &[&str]); 4] = [
    (
        TRAIN,
        &["x", "y", "affine", "running", "saved", "workspace"],
    ),
    (INFERENCE, &["x", "y", "affine", "running"]),
    (
        BACKWARD,
        &["x", "dy", "dx", "affine", "saved", "grads", "workspace"],
    ),
    (
        FROZEN,
        &["x", "dy", "dx", "affine", "running", "grads", "workspace"],
    ),
];

fn arguments() -> impl Iterator<Item = (Bind, &'static str)> {
    let operations = OPERATIONS.iter();
    operations.flat_map(|&(bind, names)| names.iter().map(move |&name| (bind, name)))
}

/// Asserts that every argument of every operation, spoilt by `spoil`, is refused as `expected`
/// says, and that a good call works afterwards.
fn every_argument_refused(
    spoil: impl Fn(&Gpu, &mut Place),
    expected: impl Fn(&'static str, &Place) -> BindError,
) {
    let gpu = gpu();
    let case = case(Config::pytorch());
    let plan = plan(&gpu, &case);
    let good = Buffers::apart(&gpu, &plan, &case);
    for (bind, name) in arguments() {
        let mut b = good.clone();
        spoil(&gpu, b.place(name));
        let expected = expected(name, b.place(name));
        assert!(expected.to_string().starts_with(name), "{expected}");
        assert_eq!(bind(&plan, &b).err(), Some(expected));
    }
    assert_untouched(&good);
    assert_good_call_works(&gpu, &plan, &case);
}

fn assert_untouched(b: &Buffers) {
    for place in [&b.y, &b.dx, &b.saved, &b.grads, &b.workspace] {
        assert!(place.read().iter().all(|v| v.is_nan()));
    }
}

/// The good call is inference, and its `y` is checked.
fn assert_good_call_works(gpu: &Gpu, plan: &Plan, case: &Case) {
    let b = Buffers::apart(gpu, plan, case);
    run(gpu, &[&plan.bind_inference(&b.inference()).unwrap()]);
    let running = case.running.as_ref().unwrap();
    let report =
        check::inference(&case.input(), &running.mean, &running.variance, &b.y.read()).unwrap();
    report.enforce().unwrap();
}

#[test]
fn short_buffers() {
    every_argument_refused(
        |_, place| place.len -= 1,
        |buffer, place| BindError::Size {
            buffer,
            got: place.len as u64 * 4,
            expected: place.len as u64 * 4 + 4,
        },
    );
}

#[test]
fn misaligned_offsets() {
    every_argument_refused(
        |gpu, place| {
            *place = Place::new(gpu, &vec![0.0; place.len + 1]);
            (place.at, place.len) = (1, place.len - 1);
        },
        |buffer, place| BindError::Alignment {
            buffer,
            got: 4,
            alignment: {
                let limits = place.tensor.gpu().device().limits();
                limits.min_storage_buffer_offset_alignment.into()
            },
        },
    );
}

#[test]
fn buffers_that_are_no_storage() {
    let gpu = gpu();
    let case = case(Config::pytorch());
    let plan = plan(&gpu, &case);
    let good = Buffers::apart(&gpu, &plan, &case);
    let buffer = gpu.device().create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: plan.tensor_bytes(),
        usage: BufferUsages::COPY_DST | BufferUsages::COPY_SRC,
        mapped_at_creation: false,
    });
    let train = good.train().with_y(buffer.slice(..));
    let refused = plan.bind_train(&train).err();
    assert_eq!(
        refused,
        Some(BindError::Usage {
            buffer: "y",
            expected: "STORAGE"
        })
    );
    let backward = good.backward().with_dx(buffer.slice(..));
    let refused = plan.bind_backward(&backward).err();
    assert_eq!(
        refused,
        Some(BindError::Usage {
            buffer: "dx",
            expected: "STORAGE"
        })
    );
    assert_untouched(&good);
    assert_good_call_works(&gpu, &plan, &case);
}

#[test]
fn buffers_that_overlap() {
    let gpu = gpu();
    let case = case(Config::pytorch());
    let plan = plan(&gpu, &case);
    let good = Buffers::apart(&gpu, &plan, &case);
    let long = Place::new(&gpu, &[0.0; 1024]);
    let step = gpu.device().limits().min_storage_buffer_offset_alignment as usize / 4;
    // Inputs as well: all are bound writable, and browsers refuse writable bindings that overlap.
    for (bind, names) in OPERATIONS {
        for (k, &one) in names.iter().enumerate() {
            for &two in &names[..k] {
                // The same start; one that begins within the other, and the other way round.
                for (at, other_at) in [(0, 0), (step, 0), (0, step)] {
                    let mut b = good.clone();
                    for (name, at) in [(one, at), (two, other_at)] {
                        let place = b.place(name);
                        let len = place.len;
                        *place = Place {
                            at,
                            len,
                            ..long.clone()
                        };
                    }
                    let [a, o] = [one, two].map(|name| b.place(name).clone());
                    let disjoint = a.at + a.len <= o.at || o.at + o.len <= a.at;
                    match bind(&plan, &b).err() {
                        None => assert!(disjoint, "{one} {two} {at} {other_at}"),
                        Some(BindError::Overlap { buffer, other }) => {
                            assert!(!disjoint);
                            let named = [(one, two), (two, one)].contains(&(buffer, other));
                            assert!(named, "{one} {two}, not {buffer} {other}");
                        }
                        Some(e) => panic!("{one} {two}: {e}"),
                    }
                }
            }
        }
    }
    assert_untouched(&good);
    assert_good_call_works(&gpu, &plan, &case);
}

#[test]
fn missing_and_unexpected_buffers() {
    let gpu = gpu();
    let full = case(Config::pytorch());
    let full_plan = plan(&gpu, &full);
    let good = Buffers::apart(&gpu, &full_plan, &full);

    let mut b = good.clone();
    b.affine = None;
    let missing = Some(BindError::Missing { buffer: "affine" });
    for bind in [TRAIN, INFERENCE, BACKWARD, FROZEN] {
        assert_eq!(bind(&full_plan, &b).err(), missing);
    }
    let mut b = good.clone();
    b.running = None;
    let missing = Some(BindError::Missing { buffer: "running" });
    assert_eq!(TRAIN(&full_plan, &b).err(), missing);

    let plain = plan(&gpu, &case(Config::pytorch().with_affine(Affine::None)));
    let unexpected = Some(BindError::Unexpected { buffer: "affine" });
    for bind in [TRAIN, INFERENCE, BACKWARD, FROZEN] {
        assert_eq!(bind(&plain, &good).err(), unexpected);
    }
    let stateless = plan(&gpu, &case(Config::pytorch().without_running()));
    let unexpected = Some(BindError::Unexpected { buffer: "running" });
    assert_eq!(TRAIN(&stateless, &good).err(), unexpected);
    let none_kept = Some(BindError::Config(ConfigError::NoRunningStatistics));
    assert_eq!(INFERENCE(&stateless, &good).err(), none_kept);
    assert_eq!(FROZEN(&stateless, &good).err(), none_kept);

    let missing = |buffer| Some(BindError::Missing { buffer });
    for backward in [good.backward(), good.backward_frozen()] {
        let nowhere = backward.with_accumulate(true).with_grads(None);
        assert_eq!(full_plan.bind_backward(&nowhere).err(), missing("grads"));
    }

    // The second half of backward takes sums, and writes dx alone.
    let count = full_plan.view().count() as f64;
    let sums = SumsRows::new(good.grads.slice(), count);
    let refused = |b: BackwardBuffers<'_>| full_plan.bind_backward(&b.with_sums(sums)).err();
    let unexpected = |buffer| Some(BindError::Unexpected { buffer });
    let given = good.backward().with_grads(None);
    assert_eq!(refused(given), None);
    assert_eq!(refused(given.with_accumulate(true)), missing("grads"));
    assert_eq!(refused(given.with_dx(None)), missing("dx"));
    let grads = good.saved.slice();
    assert_eq!(refused(given.with_grads(grads)), unexpected("grads"));
    let dresidual = given.with_dresidual(good.y.slice());
    assert_eq!(refused(dresidual), unexpected("dresidual"));
    assert_eq!(refused(good.backward_frozen()), unexpected("sums"));

    assert_untouched(&good);
    assert_good_call_works(&gpu, &full_plan, &full);
}

#[test]
fn options_and_shapes_that_cannot_be_planned() {
    let gpu = gpu();
    let plan = |config: Config, shape: &[usize]| gpu.context().plan(&config, shape);
    let base = Config::pytorch();
    let shape_error = |config, shape: &[usize]| match plan(config, shape) {
        Err(PlanError::Shape(e)) => e,
        other => panic!("{shape:?}: {other:?}"),
    };
    for shape in [&[][..], &[3]] {
        let expected = ShapeError::Rank {
            shape: shape.to_vec(),
        };
        assert_eq!(shape_error(base, shape), expected);
    }
    for axis in [2, -3] {
        let shape = vec![3, 4];
        let expected = ShapeError::Axis {
            axis,
            shape: shape.clone(),
        };
        assert_eq!(shape_error(base.with_axis(axis), &shape), expected);
    }
    for shape in [[3, 0], [0, 0]] {
        let expected = ShapeError::Empty {
            shape: shape.to_vec(),
        };
        assert_eq!(shape_error(base, &shape), expected);
    }
    let overflow = shape_error(base, &[usize::MAX, 2]);
    assert!(matches!(overflow, ShapeError::Overflow { .. }));

    for eps in [f32::NAN, f32::INFINITY, -1e-5] {
        let Err(PlanError::Config(ConfigError::Eps { got })) = plan(base.with_eps(eps), &[3, 4])
        else {
            panic!("eps {eps} was planned");
        };
        assert_eq!(got.to_bits(), eps.to_bits());
    }
    for momentum in [f32::NAN, -0.1, 1.1] {
        let config = base.with_momentum(Momentum::new(momentum));
        let Err(PlanError::Config(ConfigError::Momentum { got })) = plan(config, &[3, 4]) else {
            panic!("momentum {momentum} was planned");
        };
        assert_eq!(got.to_bits(), momentum.to_bits());
    }
    let huge = plan(base, &[2, 1 << 30]);
    assert!(matches!(huge, Err(PlanError::TooLarge { .. })), "{huge:?}");
    assert!(plan(base, &[3, 4]).is_ok());
}

#[test]
fn training_without_eps() {
    let gpu = gpu();
    for eps in [0.0, -0.0, 1e-39] {
        let case = case(Config::pytorch().with_eps(eps));
        let plan = plan(&gpu, &case);
        let b = Buffers::apart(&gpu, &plan, &case);
        let expected = Some(BindError::Config(ConfigError::TrainingEps { got: eps }));
        assert_eq!(TRAIN(&plan, &b).err(), expected);
        assert_eq!(BACKWARD(&plan, &b).err(), expected);
        assert_untouched(&b);
        // Inference needs none.
        assert_good_call_works(&gpu, &plan, &case);
    }
}

/// A device with other limits than [`gpu`]'s.
fn device(limits: impl FnOnce(&mut wgpu::Limits)) -> wgpu::Device {
    let adapter = pollster::block_on(adapters()).swap_remove(0);
    record(&adapter.get_info());
    let mut required_limits = wgpu::Limits::default();
    limits(&mut required_limits);
    let request = wgpu::DeviceDescriptor {
        required_limits,
        ..Default::default()
    };
    let device = pollster::block_on(adapter.request_device(&request));
    device.unwrap().0
}

#[test]
fn devices_below_webgpus_defaults() {
    let few = device(|limits| limits.max_storage_buffers_per_shader_stage = 4);
    let Err(DeviceError::Limit {
        limit,
        got,
        expected,
    }) = Context::new(&few)
    else {
        panic!("4 storage buffers were enough");
    };
    assert_eq!(limit, "max_storage_buffers_per_shader_stage");
    assert_eq!((got, expected), (4, 8));
    let wide = Tuning {
        planar_workgroup: 512,
        ..Tuning::DISCRETE
    };
    let narrow = device(|_| ());
    let Err(DeviceError::Limit { limit, .. }) = Context::with_tuning(&narrow, wide) else {
        panic!("WebGPU's 256 invocations were enough for 512");
    };
    assert_eq!(limit, "max_compute_invocations_per_workgroup");
    let ragged = Tuning {
        planar_workgroup: 64,
        planar_team: 24,
        ..Tuning::DISCRETE
    };
    let refused = |tuning| Context::with_tuning(gpu().device(), tuning).unwrap_err();
    let text = refused(ragged).to_string();
    assert!(text.contains("64") && text.contains("24"), "{text}");
    let none = Tuning {
        interleaved_columns: 0,
        ..Tuning::DISCRETE
    };
    assert!(matches!(refused(none), DeviceError::Tuning { .. }));
}

#[test]
fn statistics_beyond_a_binding() {
    // A tensor is cut to bindings; its statistics are not.
    let device = device(|limits| limits.max_storage_buffer_binding_size = 4096);
    let context = Context::new(&device).unwrap();
    let plan = |shape| context.plan(&Config::pytorch(), shape);
    assert_eq!(plan(&[20, 64]).unwrap().schedule().pieces.len(), 2);
    assert!(plan(&[2, 204]).is_ok());
    let expected = PlanError::TooLarge {
        what: "saved statistics",
        got: 5 * 4 * 205,
        limit: "max_storage_buffer_binding_size",
        max: 4096,
    };
    assert_eq!(plan(&[2, 205]).err(), Some(expected));
}
