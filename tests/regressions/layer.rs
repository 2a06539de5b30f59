//! The layer, its tensors and its state.

use std::sync::Arc;

use testkit::gpu::{gpu, own_gpu};
use wgpu_batchnorm::checked::Checked;
use wgpu_batchnorm::error::{BindError, ConfigError, PlanError, ShapeError};
use wgpu_batchnorm::{
    Activation, BackwardRequest, BatchNorm, Binding, Config, Context, Element, Error, Forward,
    ForwardRequest, Gpu, Gradients, LayerState, Mode, Plan, RunningStatistics, Saved, Tensor, View,
    cpu, wgpu,
};

const SHAPE: [usize; 3] = [4, 3, 5];

/// Whole numbers that are not the same in any two channels.
fn values(seed: usize) -> Vec<f32> {
    (0..60).map(|k| ((k * 7 + seed) % 23) as f32).collect()
}

fn upload(gpu: &Gpu, seed: usize) -> Tensor {
    Tensor::upload(gpu, &SHAPE, &values(seed)).unwrap()
}

fn bits(tensor: &Tensor) -> Vec<u32> {
    let values = tensor.read_blocking().unwrap();
    values.into_iter().map(f32::to_bits).collect()
}

fn all(gradients: &Gradients) -> [Vec<u32>; 2] {
    [
        bits(gradients.dx.as_ref().unwrap()),
        bits(&gradients.parameters),
    ]
}

fn is_stale<T>(result: Result<T, Error>, name: &str) -> bool {
    matches!(result, Err(Error::Bind(BindError::Stale { tensor })) if tensor == name)
}

/// Two backward passes from one forward pass: the same gradients twice.
#[test]
fn two_backwards() {
    let gpu = gpu();
    let mut layer = Checked::new(BatchNorm::new(&gpu, 3, Config::pytorch()).unwrap());
    let (x, dy) = (upload(&gpu, 1), upload(&gpu, 2));
    for mode in [Mode::Train, Mode::Eval] {
        let saved = layer.forward_blocking(&x, mode).unwrap().saved;
        let once = all(&layer.backward_blocking(&x, &dy, &saved).unwrap());
        let twice = all(&layer.backward_blocking(&x, &dy, &saved).unwrap());
        assert_eq!(once, twice);
    }
}

/// Gradients that one layer made, given to another that reused the rest of the first one's tensors: they are the
/// second layer's.
#[test]
fn gradients_of_another_layer() {
    let gpu = gpu();
    let layer = |weight: f32| {
        let config = Config::pytorch();
        let mut state = LayerState::new(3, &config).unwrap();
        state.weight = Some(vec![weight; 3]);
        BatchNorm::with_state(&gpu, 3, config, &state).unwrap()
    };
    let (mut first, mut second) = (layer(1.0), layer(4.0));
    let (x, dy) = (upload(&gpu, 1), upload(&gpu, 2));
    let mut forward = first.forward(&x, Mode::Train).unwrap();
    let mut gradients = first.backward(&x, &dy, &forward.saved).unwrap();
    second.forward_into(&x, Mode::Train, &mut forward).unwrap();
    let fresh = all(&second.backward(&x, &dy, &forward.saved).unwrap());
    let given = second.backward_into(&x, &dy, &forward.saved, &mut gradients);
    given.unwrap();
    assert_eq!(all(&gradients), fresh);
}

/// A `dy` of a wrong shape, then the right one: nothing was consumed.
#[test]
fn eaten_saved() {
    let gpu = gpu();
    let mut layer = BatchNorm::new(&gpu, 3, Config::pytorch()).unwrap();
    let (x, dy) = (upload(&gpu, 1), upload(&gpu, 2));
    let wrong = Tensor::empty(&gpu, &[4, 3, 4]).unwrap();
    let saved = layer.forward(&x, Mode::Train).unwrap().saved;
    let refused = layer.backward(&x, &wrong, &saved).unwrap_err();
    assert!(matches!(
        refused,
        Error::Shape(ShapeError::Mismatch { tensor: "dy", .. })
    ));
    let mut gradients = layer.backward(&x, &dy, &saved).unwrap();
    let before = all(&gradients);
    // Nor is what outputs are given in.
    let refused = layer.backward_into(&x, &wrong, &saved, &mut gradients);
    assert!(refused.is_err());
    assert_eq!(all(&gradients), before);
    let mut forward = layer.forward(&x, Mode::Eval).unwrap();
    let y = bits(&forward.y);
    let refused = layer.forward_into(&wrong, Mode::Eval, &mut forward);
    assert!(matches!(
        refused,
        Err(Error::Shape(ShapeError::Mismatch { tensor: "y", .. }))
    ));
    assert_eq!(bits(&forward.y), y);
    layer.backward(&x, &dy, &forward.saved).unwrap();
}

/// Backward after another in-place forward over the same x, or a write to it, or to whatever else backward reads
/// again: an error, and no wrong gradients.
#[test]
fn stale_saved() {
    let gpu = gpu();
    let config = Config::pytorch().with_activation(Activation::Silu);
    let mut layer = BatchNorm::new(&gpu, 3, config).unwrap();
    let dy = upload(&gpu, 2);
    for mode in [Mode::Train, Mode::Eval] {
        let x = upload(&gpu, 1);
        let saved = layer.forward(&x, mode).unwrap().saved;
        layer.backward(&x, &dy, &saved).unwrap();
        // A clone shares the buffer.
        let over = ForwardRequest::new(mode).with_in_place(true);
        layer.forward(&x.clone(), over).unwrap();
        assert!(is_stale(layer.backward(&x, &dy, &saved), "x"));

        let saved = layer.forward(&x, mode).unwrap().saved;
        x.write(&values(3)).unwrap();
        assert!(is_stale(layer.backward(&x, &dy, &saved), "x"));
        // The same values elsewhere are as good.
        let saved = layer.forward(&x, mode).unwrap().saved;
        let moved = Tensor::upload(&gpu, &SHAPE, &x.read_blocking().unwrap()).unwrap();
        x.write(&values(4)).unwrap();
        layer.backward(&moved, &dy, &saved).unwrap();

        // What a later pass wrote over.
        let mut first = layer.forward(&x, mode).unwrap();
        let y = first.y.clone();
        let saved = layer.forward(&y, mode).unwrap().saved;
        layer.backward(&y, &dy, &saved).unwrap();
        layer.forward_into(&x, mode, &mut first).unwrap();
        assert!(is_stale(layer.backward(&y, &dy, &saved), "x"));

        let residual = upload(&gpu, 5);
        let request = ForwardRequest::new(mode).with_residual(&residual);
        let saved = layer.forward(&x, request).unwrap().saved;
        layer.backward(&x, &dy, &saved).unwrap();
        residual.write(&values(6)).unwrap();
        assert!(is_stale(layer.backward(&x, &dy, &saved), "residual"));

        let saved = layer.forward(&x, mode).unwrap().saved;
        layer.affine().write(&[2.0; 6]).unwrap();
        assert!(is_stale(layer.backward(&x, &dy, &saved), "affine"));
        let mut gradients = {
            let saved = layer.forward(&x, mode).unwrap().saved;
            layer.backward(&x, &dy, &saved).unwrap()
        };
        let into = layer.backward_into(&x, &dy, &saved, &mut gradients);
        assert!(is_stale(into, "affine"));
    }
    // Without an activation the residual's values do not matter to backward.
    let mut plain = BatchNorm::new(&gpu, 3, Config::pytorch()).unwrap();
    let (x, residual) = (upload(&gpu, 1), upload(&gpu, 5));
    let request = ForwardRequest::new(Mode::Train).with_residual(&residual);
    let saved = plain.forward(&x, request).unwrap().saved;
    residual.write(&values(6)).unwrap();
    plain.backward(&x, &dy, &saved).unwrap();
    // Another layer's statistics.
    let refused = layer.backward(&x, &dy, &saved);
    assert!(matches!(refused, Err(Error::Bind(BindError::OtherLayer))));
}

/// 2⁴⁰ and 2⁶² channels: refused before anything is allocated.
#[test]
fn huge_channels() {
    let gpu = gpu();
    for channels in [1 << 40, 1 << 62, usize::MAX] {
        for config in [Config::pytorch(), Config::pytorch().without_running()] {
            let state = LayerState::default();
            for refused in [
                BatchNorm::new(&gpu, channels, config),
                BatchNorm::with_state(&gpu, channels, config, &state),
            ] {
                let refused = refused.unwrap_err();
                assert!(
                    matches!(refused, Error::Plan(PlanError::TooLarge { .. })),
                    "{refused}"
                );
            }
        }
    }
}

/// A count of batches at 2⁶³ and at 2⁶⁴ − 1 goes through a file, and stays where it is at the end.
#[test]
fn last_count() {
    let gpu = gpu();
    let config = Config::pytorch();
    let x = upload(&gpu, 1);
    for count in [0, 1, i64::MAX as u64, 1 << 63, u64::MAX - 1, u64::MAX] {
        let mut state = LayerState::new(3, &config).unwrap();
        state.num_batches_tracked = count;
        let mut running = RunningStatistics::new(3).unwrap();
        running.batches = vec![u32::try_from(count).unwrap_or(u32::MAX); 3];
        state.running = Some(running);
        let bytes = state.to_safetensors("bn.").unwrap();
        let again = LayerState::from_safetensors(&bytes, "bn.", 3, &config).unwrap();
        assert_eq!(again, state);

        let mut layer = BatchNorm::with_state(&gpu, 3, config, &state).unwrap();
        layer.forward(&x, Mode::Train).unwrap();
        assert_eq!(layer.num_batches_tracked(), count.saturating_add(1));
        // The counts of channels are 32 bits on the device, and stay at their end too.
        let after = layer.state_blocking().unwrap();
        let least = u32::try_from(count).unwrap_or(u32::MAX).saturating_add(1);
        assert_eq!(after.running.unwrap().batches, [least; 3]);
    }
}

/// Training on one value a channel with an unbiased variance, on the CPU path: refused as on the device, and nothing
/// moves.
#[test]
fn one_value_on_the_cpu() {
    let view = View::new(&[1, 2], 1).unwrap();
    let mut options = Config::pytorch().running.unwrap();
    options.non_finite = wgpu_batchnorm::NonFinite::Propagate;
    let mut running = RunningStatistics::new(2).unwrap();
    let mut y = [7.0; 2];
    let moved = Some(cpu::Running::new(&mut running, options));
    let input = cpu::Input::new(view, &[1.0, 2.0], Default::default(), 1e-5);
    let refused = cpu::train_forward(&input, moved, &mut y);
    assert!(matches!(
        refused,
        Err(Error::Config(ConfigError::OneValuePerChannel { .. }))
    ));
    assert_eq!((running, y), (RunningStatistics::new(2).unwrap(), [7.0; 2]));
    let refused = cpu::train_forward(&input, None, &mut y);
    assert!(refused.is_err());
    // Slices that do not fit are errors as well.
    let short = cpu::Input::new(view, &[1.0], Default::default(), 1e-5);
    let refused = cpu::train_forward(&short, None, &mut y);
    assert!(refused.is_err());
    assert!(cpu::moments(&view, &[1.0]).is_err());
}

/// Tensors of one wgpu device, made with two `Gpu`s.
#[test]
fn same_device() {
    let made = own_gpu();
    let second = || Gpu::with_device(made.device().clone(), made.queue().clone()).unwrap();
    let (a, b) = (second(), second());
    let mut layer = Checked::new(BatchNorm::new(&a, 3, Config::pytorch()).unwrap());
    let (x, dy) = (upload(&b, 1), upload(&made, 2));
    let saved = layer.forward_blocking(&x, Mode::Train).unwrap().saved;
    layer.backward_blocking(&x, &dy, &saved).unwrap();
    let foreign = upload(&own_gpu(), 1);
    let refused = layer.forward_blocking(&foreign, Mode::Train);
    assert!(matches!(
        refused,
        Err(Error::Bind(BindError::OtherDevice { tensor: "x" }))
    ));
}

/// Inference takes no more than a shared layer.
#[test]
fn eight_threads_infer_with_one_layer() {
    let gpu = gpu();
    for config in [Config::pytorch(), Config::pytorch().without_running()] {
        let mut layer = BatchNorm::new(&gpu, 3, config).unwrap();
        for seed in 0..3 {
            layer.forward(&upload(&gpu, seed), Mode::Train).unwrap();
        }
        let inputs: Vec<_> = (0..8).map(|seed| upload(&gpu, seed)).collect();
        let expected: Vec<_> = inputs
            .iter()
            .map(|x| bits(&layer.forward(x, Mode::Eval).unwrap().y))
            .collect();
        let before = layer.state_blocking().unwrap();
        let layer = Arc::new(layer);
        std::thread::scope(|scope| {
            for (x, expected) in inputs.iter().zip(&expected) {
                let layer = layer.clone();
                scope.spawn(move || {
                    for _ in 0..20 {
                        assert_eq!(bits(&layer.infer(x).unwrap()), *expected);
                    }
                });
            }
        });
        assert_eq!(layer.state_blocking().unwrap(), before);
    }
}

/// What threads may share and hand over.
#[test]
fn threads_may_share() {
    fn shared<T: Send + Sync>() {}
    shared::<BatchNorm>();
    shared::<Tensor>();
    shared::<Gpu>();
    shared::<Saved>();
    shared::<Forward>();
    shared::<Gradients>();
    shared::<Plan>();
    shared::<Binding>();
    shared::<Context>();
    shared::<Checked>();
    shared::<Error>();
}

/// After its first round a training step makes no buffer, bind group, pipeline or query set and writes none, by wgpu's
/// own counters.
#[test]
fn a_step_makes_nothing() {
    let gpu = own_gpu();
    let config = Config::pytorch().with_activation(Activation::Relu);
    let mut layer = BatchNorm::new(&gpu, 3, config).unwrap();
    let (x, dy, residual) = (upload(&gpu, 1), upload(&gpu, 2), upload(&gpu, 3));
    let train = ForwardRequest::new(Mode::Train).with_residual(&residual);
    let mut forward = layer.forward(&x, train).unwrap();
    fn request(saved: &Saved) -> BackwardRequest<'_> {
        BackwardRequest::new(saved).with_dresidual(true)
    }
    let mut gradients = layer.backward(&x, &dy, request(&forward.saved)).unwrap();
    let mut frozen = layer.forward(&x, Mode::Eval).unwrap();
    let large = Tensor::empty(&gpu, &[1 << 24, 1]).unwrap();
    let mut busy = BatchNorm::new(&gpu, 1, Config::pytorch()).unwrap();
    let mut work = busy.forward(&large, Mode::Eval).unwrap();
    gpu.check_blocking().unwrap();

    // The queue is busy from here on, so that what a step made would still be there when it is counted.
    for _ in 0..8 {
        busy.forward_into(&large, Mode::Eval, &mut work).unwrap();
    }
    let made = |gpu: &Gpu| {
        let hal = gpu.device().get_internal_counters().hal;
        [
            hal.buffers.read(),
            hal.bind_groups.read(),
            hal.bind_group_layouts.read(),
            hal.pipeline_layouts.read(),
            hal.compute_pipelines.read(),
            hal.shader_modules.read(),
            hal.query_sets.read(),
        ]
    };
    let before = made(&gpu);
    for _ in 0..5 {
        layer.forward_into(&x, train, &mut forward).unwrap();
        let request = request(&forward.saved);
        layer
            .backward_into(&x, &dy, request, &mut gradients)
            .unwrap();
        layer.forward_into(&x, Mode::Eval, &mut frozen).unwrap();
    }
    assert_eq!(made(&gpu), before);
    // The counters do count: a buffer's worth of writing, and passes with outputs of their own.
    residual.write(&values(3)).unwrap();
    let written = made(&gpu);
    assert!(written[0] > before[0], "{written:?} after {before:?}");
    let fresh = layer.forward(&x, train).unwrap();
    let after = made(&gpu);
    assert!(after[0] > written[0] && after[1] > written[1], "{after:?}");

    // And the results are those of fresh passes.
    assert_eq!(layer.num_batches_tracked(), 7);
    assert_eq!(bits(&forward.y), bits(&fresh.y));
    let again = layer.backward(&x, &dy, request(&fresh.saved)).unwrap();
    assert_eq!(all(&gradients), all(&again));
}

/// Passes into given outputs follow what changes: the input, the request, the momentum, the place of an output.
#[test]
fn given_outputs_follow_changes() {
    let gpu = gpu();
    let mut layer = BatchNorm::new(&gpu, 3, Config::pytorch()).unwrap();
    let mut twin = BatchNorm::new(&gpu, 3, Config::pytorch()).unwrap();
    let inputs = [1, 2].map(|seed| upload(&gpu, seed));
    let (residual, dy) = (upload(&gpu, 3), upload(&gpu, 4));
    let mut forward = layer.forward(&inputs[0], Mode::Train).unwrap();
    twin.forward(&inputs[0], Mode::Train).unwrap();
    let requests = [
        ForwardRequest::new(Mode::Train),
        ForwardRequest::new(Mode::Train).with_residual(&residual),
        ForwardRequest::new(Mode::Eval),
        ForwardRequest::new(Mode::Eval).with_residual(&residual),
        ForwardRequest::new(Mode::Train),
    ];
    let mut gradients = layer.backward(&inputs[0], &dy, &forward.saved).unwrap();
    for (k, request) in requests.into_iter().enumerate() {
        for x in &inputs {
            for momentum in [0.1, 0.5] {
                let momentum = wgpu_batchnorm::Momentum::new(momentum);
                layer.set_momentum(momentum).unwrap();
                twin.set_momentum(momentum).unwrap();
                layer.forward_into(x, request, &mut forward).unwrap();
                let expected = twin.forward(x, request).unwrap();
                assert_eq!(bits(&forward.y), bits(&expected.y));
                let running = [&layer, &twin].map(|layer| layer.state_blocking().unwrap());
                assert_eq!(running[0], running[1]);
                let wanted = BackwardRequest::new(&forward.saved).with_dx(k % 2 == 0);
                layer.backward_into(x, &dy, wanted, &mut gradients).unwrap();
                let wanted = BackwardRequest::new(&expected.saved).with_dx(k % 2 == 0);
                let expected = twin.backward(x, &dy, wanted).unwrap();
                assert_eq!(bits(&gradients.parameters), bits(&expected.parameters));
                let dx = [&gradients, &expected].map(|g| g.dx.as_ref().map(bits));
                assert_eq!(dx[0], dx[1]);
                assert_eq!(dx[0].is_some(), k % 2 == 0);
            }
        }
    }
    // An output of the caller's.
    let own = Tensor::empty(&gpu, &SHAPE).unwrap();
    forward.y = own.clone();
    layer
        .forward_into(&inputs[0], Mode::Train, &mut forward)
        .unwrap();
    let expected = twin.forward(&inputs[0], Mode::Train).unwrap();
    assert_eq!(bits(&own), bits(&expected.y));
    // In place, and apart again.
    let x = upload(&gpu, 1);
    let over = ForwardRequest::new(Mode::Train).with_in_place(true);
    layer.forward_into(&x, over, &mut forward).unwrap();
    assert_eq!(bits(&x), bits(&expected.y));
    layer
        .forward_into(&inputs[0], Mode::Train, &mut forward)
        .unwrap();
    assert_eq!(bits(&forward.y), bits(&expected.y));
}

/// A caller's buffer as a tensor, halves and all; what does not fit is named.
#[test]
fn wrapped_buffers() {
    let gpu = own_gpu();
    let buffer = |gpu: &Gpu, size, usage| {
        gpu.device().create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size,
            usage,
            mapped_at_creation: false,
        })
    };
    use wgpu::BufferUsages as Usage;
    let whole = Usage::STORAGE | Usage::COPY_DST | Usage::COPY_SRC;
    let mut layer = Checked::new(BatchNorm::new(&gpu, 3, Config::pytorch()).unwrap());
    for element in [Element::F32, Element::F16, Element::Bf16] {
        // Longer than the tensor, as a pool's are, and an odd number of halves.
        let shape = [5, 3, 3];
        let wrapped = buffer(&gpu, 4096, whole);
        let x = Tensor::from_buffer(&gpu, wrapped.clone(), &shape, element).unwrap();
        let values: Vec<f32> = (0..45).map(|k| (k % 7) as f32).collect();
        let stored = Tensor::upload_as(&gpu, &shape, element, &values).unwrap();
        let bytes = stored.read_bytes_blocking().unwrap();
        x.write_bytes(&bytes).unwrap();
        assert_eq!(x.read_blocking().unwrap(), values);
        assert_eq!(x.read_bytes_blocking().unwrap(), bytes);
        assert!(x.write_bytes(&bytes[1..]).is_err());
        assert!(*x.buffer() == wrapped);
        let y = layer.forward_blocking(&x, Mode::Train).unwrap().y;
        let expected = layer.forward_blocking(&stored, Mode::Train).unwrap().y;
        assert_eq!(bits(&y), bits(&expected));
        assert_eq!(y.element(), element);
    }
    let refused = |gpu: &Gpu, buffer| {
        let refused = Tensor::from_buffer(gpu, buffer, &SHAPE, Element::F32);
        refused.unwrap_err().to_string()
    };
    let text = refused(&gpu, buffer(&gpu, 240, Usage::COPY_DST));
    assert!(
        text.contains("tensor's buffer") && text.contains("STORAGE"),
        "{text}"
    );
    let text = refused(&gpu, buffer(&gpu, 236, whole));
    assert!(
        text.contains("tensor's buffer") && text.contains("240"),
        "{text}"
    );
    let gone = buffer(&gpu, 240, whole);
    gone.destroy();
    let text = refused(&gpu, gone);
    assert!(text.contains("tensor's buffer"), "{text}");
    let text = refused(&gpu, buffer(&own_gpu(), 240, whole));
    assert!(text.contains("tensor's buffer"), "{text}");
    let empty = Tensor::from_buffer(&gpu, buffer(&gpu, 240, whole), &[3, 0], Element::F32);
    assert!(matches!(empty, Err(Error::Shape(ShapeError::Empty { .. }))));
    // Storage alone is enough for kernels; copies name what they need.
    let storage = buffer(&gpu, 240, Usage::STORAGE);
    let x = Tensor::from_buffer(&gpu, storage, &SHAPE, Element::F32).unwrap();
    layer.layer_mut().forward(&x, Mode::Train).unwrap();
    let text = x.write(&values(1)).unwrap_err().to_string();
    assert!(text.contains("COPY_DST"), "{text}");
    let text = x.read_blocking().unwrap_err().to_string();
    assert!(text.contains("COPY_SRC"), "{text}");
    gpu.check_blocking().unwrap();
}

/// Several layers in one file, out and in again.
#[test]
fn several_layers_in_a_file() {
    let gpu = gpu();
    let configs = [
        Config::pytorch(),
        Config::pytorch().without_running(),
        Config::keras().with_axis(1),
    ];
    let mut states = Vec::new();
    for config in configs {
        let mut layer = BatchNorm::new(&gpu, 3, config).unwrap();
        layer
            .forward(&upload(&gpu, states.len()), Mode::Train)
            .unwrap();
        states.push(layer.state_blocking().unwrap());
    }
    let prefixes = ["features.0.bn.", "features.10.bn.", ""];
    let layers: Vec<_> = prefixes.into_iter().zip(&states).collect();
    let bytes = LayerState::all_to_safetensors(&layers).unwrap();
    for ((prefix, state), config) in layers.iter().zip(configs) {
        let again = LayerState::from_safetensors(&bytes, prefix, 3, &config).unwrap();
        assert_eq!(again, **state);
    }
    let twice = [layers[0], layers[1], layers[0]];
    let refused = LayerState::all_to_safetensors(&twice).unwrap_err();
    assert!(refused.to_string().contains("features.0.bn."), "{refused}");
}

/// A tensor that was destroyed after it was bound is named by the pass that records nothing anew.
#[test]
fn destroyed_after_it_was_bound() {
    fn wanted(saved: &Saved) -> BackwardRequest<'_> {
        BackwardRequest::new(saved).with_dresidual(true)
    }
    let gpu = gpu();
    let config = Config::pytorch().with_activation(Activation::Relu);
    let named = |result: Result<(), Error>, name: &str| match result {
        Err(Error::Bind(BindError::Unusable { name: told, reason })) => {
            assert_eq!(told, name, "{reason}");
            assert!(reason.contains("batch norm, "), "{reason}");
        }
        other => panic!("{name}: {other:?}"),
    };
    for mode in [Mode::Train, Mode::Eval] {
        for name in [
            "x",
            "y",
            "residual",
            "affine",
            "running",
            "dy",
            "dx",
            "dresidual",
            "grads",
        ] {
            let mut layer = BatchNorm::new(&gpu, 3, config).unwrap();
            let (x, dy, residual) = (upload(&gpu, 1), upload(&gpu, 2), upload(&gpu, 3));
            let request = ForwardRequest::new(mode).with_residual(&residual);
            let mut forward = layer.forward(&x, request).unwrap();
            let mut gradients = layer.backward(&x, &dy, wanted(&forward.saved)).unwrap();
            let destroyed = match name {
                "x" => &x,
                "y" => &forward.y,
                "residual" => &residual,
                "affine" => layer.affine(),
                "running" => layer.running().unwrap(),
                "dy" => &dy,
                "dx" => gradients.dx.as_ref().unwrap(),
                "dresidual" => gradients.dresidual.as_ref().unwrap(),
                _ => &gradients.parameters,
            };
            destroyed.buffer().destroy();
            let before = layer.num_batches_tracked();
            if ["x", "y", "residual", "affine", "running"].contains(&name) {
                named(layer.forward_into(&x, request, &mut forward), name);
            }
            if !["y", "running"].contains(&name) {
                let wanted = wanted(&forward.saved);
                named(layer.backward_into(&x, &dy, wanted, &mut gradients), name);
            }
            assert_eq!(layer.num_batches_tracked(), before);
        }
    }
    gpu.check_blocking().unwrap();
}

/// A batch of no examples: y and the gradients of tensors are empty, those of parameters are 0, and nothing moves.
#[test]
fn empty_batch() {
    let gpu = gpu();
    let shape = [0, 3, 2];
    let activations = [Activation::None, Activation::Relu];
    for (activation, element) in activations.into_iter().zip([Element::F32, Element::F16]) {
        let config = Config::keras().with_axis(1).with_activation(activation);
        let mut layer = Checked::new(BatchNorm::new(&gpu, 3, config).unwrap());
        // What a batch of four left.
        let some = Tensor::upload_as(&gpu, &SHAPE, element, &values(3)).unwrap();
        let mut forward = layer.forward_blocking(&some, Mode::Train).unwrap();
        let before = layer.layer().state_blocking().unwrap();
        let x = Tensor::upload_as(&gpu, &shape, element, &[]).unwrap();
        assert!(x.is_empty() && x.read_bytes_blocking().unwrap().is_empty());
        for mode in [Mode::Train, Mode::Eval] {
            let request = ForwardRequest::new(mode).with_residual(&x);
            let pass = layer.forward_blocking(&x, request).unwrap();
            assert_eq!(pass.y.shape(), shape);
            assert!(pass.y.read_blocking().unwrap().is_empty());
            let request = BackwardRequest::new(&pass.saved).with_dresidual(true);
            let gradients = layer.backward_blocking(&x, &x, request).unwrap();
            assert!(gradients.dx.as_ref().unwrap().is_empty());
            assert!(gradients.dresidual.as_ref().unwrap().is_empty());
            assert_eq!(gradients.parameters.read_blocking().unwrap(), [0.0; 6]);
            // Added to what is there, that stays.
            let there = Tensor::upload(&gpu, &[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap();
            let request = BackwardRequest::new(&pass.saved).with_add_into(&there);
            layer.backward_blocking(&x, &x, request).unwrap();
            let kept = there.read_blocking().unwrap();
            assert_eq!(kept, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
            if mode == Mode::Train {
                let saved = pass.saved.read_blocking().unwrap().unwrap();
                assert!(saved.batch_mean.iter().all(|v| v.is_nan()));
            }
        }
        assert!(layer.infer_blocking(&x).unwrap().is_empty());
        assert_eq!(layer.layer().state_blocking().unwrap(), before);
        // Reused by a batch of nothing, and by one of something again.
        let y = Tensor::empty_as(&gpu, &shape, element).unwrap();
        forward.y = y;
        let bare = layer.layer_mut();
        bare.forward_into(&x, Mode::Train, &mut forward).unwrap();
        assert_eq!(bare.state_blocking().unwrap(), before);
        forward.y = Tensor::empty_as(&gpu, &SHAPE, element).unwrap();
        bare.forward_into(&some, Mode::Train, &mut forward).unwrap();
        let after = bare.state_blocking().unwrap();
        assert_eq!(after.num_batches_tracked, before.num_batches_tracked + 1);
    }
    // Another axis of length 0, and no channels.
    let layer = BatchNorm::new(&gpu, 3, Config::pytorch()).unwrap();
    for shape in [[2, 3, 0], [2, 0, 3]] {
        let refused = Tensor::upload(&gpu, &shape, &[]).unwrap_err();
        assert!(matches!(refused, Error::Shape(ShapeError::Empty { .. })));
    }
    let last = Config::pytorch().with_axis(0);
    assert!(matches!(
        last.view(&[0, 3]),
        Err(ShapeError::Empty { shape }) if shape == [0, 3]
    ));
    // One channel of rank 1.
    let vector = Config::onnx().view(&[0]).unwrap();
    assert_eq!((vector.channels(), vector.count()), (1, 0));
    // A layer without running statistics.
    drop(layer);
    let bare = BatchNorm::new(&gpu, 3, Config::pytorch().without_running()).unwrap();
    let x = Tensor::empty(&gpu, &shape).unwrap();
    assert!(Checked::new(bare).infer_blocking(&x).unwrap().is_empty());
}

/// The CPU path of it.
#[test]
fn empty_batch_on_the_cpu_path() {
    for shape in [[0, 3, 2], [0, 3, 1]] {
        let view = View::new(&shape, 1).unwrap();
        for update in [Config::keras(), Config::pytorch()] {
            let mut running = RunningStatistics::new(3).unwrap();
            let input = cpu::Input::new(view, &[], Default::default(), 1e-5);
            let moved = cpu::Running::new(&mut running, update.running.unwrap());
            let saved = cpu::train_forward(&input, Some(moved), &mut []).unwrap();
            assert_eq!(running, RunningStatistics::new(3).unwrap());
            cpu::inference(&input, &running, &mut []).unwrap();
            for sums in [
                cpu::backward(&input, &[], &saved, Some(&mut [])).unwrap(),
                cpu::backward_frozen(&input, &[], &running, Some(&mut [])).unwrap(),
            ] {
                assert_eq!((sums.dweight, sums.dbias), (vec![0.0; 3], vec![0.0; 3]));
            }
        }
    }
}

/// A second forward with the batch's statistics that moves nothing, and two backward passes from one forward.
#[test]
fn recompute() {
    let gpu = gpu();
    let x = Tensor::upload(&gpu, &[2, 1], &[0.0, 2.0]).unwrap();
    let dy = Tensor::upload(&gpu, &[2, 1], &[1.0, 3.0]).unwrap();
    let mut layer = Checked::new(BatchNorm::new(&gpu, 1, Config::pytorch()).unwrap());
    let mut first = layer.forward_blocking(&x, Mode::Train).unwrap();
    let moved = layer.layer().state_blocking().unwrap();
    assert_eq!(moved.num_batches_tracked, 1);
    let running = moved.running.as_ref().unwrap();
    assert!((running.mean[0] - 0.1).abs() < 1e-7 && (running.variance[0] - 1.1).abs() < 1e-6);
    let request = ForwardRequest::new(Mode::Train).with_keep_running(true);
    let second = layer.forward_blocking(&x, request).unwrap();
    assert_eq!(bits(&second.y), bits(&first.y));
    assert_eq!(layer.layer().state_blocking().unwrap(), moved);
    // Into what the first gave, and back to one that moves.
    let bare = layer.layer_mut();
    bare.forward_into(&x, request, &mut first).unwrap();
    assert_eq!(bare.state_blocking().unwrap(), moved);
    bare.forward_into(&x, Mode::Train, &mut first).unwrap();
    assert_eq!(bare.state_blocking().unwrap().num_batches_tracked, 2);
    let gradients = [&first.saved, &first.saved, &second.saved]
        .map(|saved| all(&layer.backward_blocking(&x, &dy, saved).unwrap()));
    assert_eq!(gradients[0], gradients[1]);
    assert_eq!(gradients[0], gradients[2]);
}
