//! The GPU as an implementation, through the recording layer, outputs poisoned first.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};

use wgpu_batchnorm::check::POISON;
use wgpu_batchnorm::internals::plan::Tuning;
use wgpu_batchnorm::{
    Adapter, BackwardBuffers, Context, Element, Gpu, HostGradients, InferenceBuffers,
    StatisticsRows, Tensor, TrainBuffers, WeightsBuffer, adapters, wgpu,
};

use crate::case::Case;
use crate::cuts::{LANES_ALONE, SMALL_SHARES};
pub use crate::layout::{rows, running_of, running_rows, saved_of};
use crate::log::append;
use crate::outcome::{Engine, Frozen, Outcome};

/// The device of the tests: one, so that a pipeline is compiled once. Software adapters take seconds
/// for some, and not all of them keep what they compiled.
static SHARED: LazyLock<Gpu> = LazyLock::new(open);

/// That device for the calling test, which is put on record: a run in which no test got one is red.
pub fn gpu() -> Gpu {
    record(SHARED.info());
    SHARED.clone()
}

/// One that the calling test may lose.
pub fn own_gpu() -> Gpu {
    let gpu = open();
    record(gpu.info());
    gpu
}

fn open() -> Gpu {
    let gpu = Gpu::new_blocking(&Adapter::Best)
        .expect("these tests need an adapter: `cargo xtask test` says how to get one");
    running(gpu)
}

/// A device that was seen to run a kernel. Some tests compare what a device gives twice, which on one
/// that executes nothing is the same.
fn running(gpu: Gpu) -> Gpu {
    gpu.probe_blocking()
        .expect("these tests need an adapter that runs kernels");
    gpu
}

/// Pipelines for work that is cut so; those on the tests' device are one for all tests.
pub fn context(gpu: &Gpu, tuning: Tuning) -> Context {
    static CONTEXTS: LazyLock<Mutex<HashMap<Tuning, Context>>> = LazyLock::new(Mutex::default);
    let fresh = || gpu.with_tuning(tuning).unwrap().context().clone();
    if gpu.device() != SHARED.device() {
        return fresh();
    }
    let mut contexts = CONTEXTS.lock().unwrap_or_else(PoisonError::into_inner);
    let context = contexts.entry(tuning);
    context.or_insert_with(fresh).clone()
}

/// One of an instance of its own, which can be asked how much there is of everything.
pub fn counted() -> (wgpu::Instance, Gpu) {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
        backends: wgpu::Backends::from_env().unwrap_or(wgpu::Backends::PRIMARY),
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    });
    let adapter = pollster::block_on(instance.request_adapter(&Default::default())).unwrap();
    record(&adapter.get_info());
    let gpu = Gpu::open_blocking(&adapter).unwrap();
    (instance, running(gpu))
}

/// A device with the limits that `choose` makes of what the adapter offers.
pub fn limited(choose: impl FnOnce(wgpu::Limits) -> wgpu::Limits) -> Gpu {
    let adapters = pollster::block_on(adapters());
    let adapter = adapters.first().expect("an adapter");
    record(&adapter.get_info());
    let request = wgpu::DeviceDescriptor {
        required_limits: choose(adapter.limits()),
        ..Default::default()
    };
    let (device, queue) = pollster::block_on(adapter.request_device(&request)).unwrap();
    running(Gpu::with_device(device, queue).unwrap())
}

/// A device with these features and WebGPU's default limits, where an adapter has them.
pub fn featured(features: wgpu::Features) -> Option<Gpu> {
    let adapters = pollster::block_on(adapters());
    let mut adapters = adapters.iter();
    let adapter = adapters.find(|adapter| adapter.features().contains(features))?;
    record(&adapter.get_info());
    let request = wgpu::DeviceDescriptor {
        required_features: features,
        ..Default::default()
    };
    let (device, queue) = pollster::block_on(adapter.request_device(&request)).unwrap();
    Some(running(Gpu::with_device(device, queue).unwrap()))
}

/// A device that binds so few bytes at most, so that smaller tensors need several bindings; one of
/// each kind, as with [`gpu`].
pub fn narrow(bytes: u64) -> Gpu {
    static NARROW: LazyLock<Mutex<HashMap<u64, Gpu>>> = LazyLock::new(Mutex::default);
    let mut all = NARROW.lock().unwrap_or_else(PoisonError::into_inner);
    let narrow = |offered: wgpu::Limits| wgpu::Limits {
        max_storage_buffer_binding_size: bytes,
        max_buffer_size: offered.max_buffer_size,
        ..wgpu::Limits::default()
    };
    let gpu = all.entry(bytes).or_insert_with(|| limited(narrow));
    record(gpu.info());
    gpu.clone()
}

/// The one entry point of a shader, its layout as the shader says.
pub fn pipeline(device: &wgpu::Device, source: &str) -> wgpu::ComputePipeline {
    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: None,
        source: wgpu::ShaderSource::Wgsl(source.into()),
    });
    device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: None,
        layout: None,
        module: &module,
        entry_point: None,
        compilation_options: Default::default(),
        cache: None,
    })
}

/// Puts adapter, backend and test on record.
pub fn record(info: &wgpu::AdapterInfo) {
    append("WGBN_ADAPTER_LOG", &[&info.name, &info.backend.to_string()]);
}

/// Ways to cut the work that the tests try: the planner's own and some that it would not choose.
pub fn tunings() -> Vec<(&'static str, Tuning)> {
    vec![
        ("cpu adapter", Tuning::CPU_ADAPTER),
        ("gpu", Tuning::DISCRETE),
        SMALL_SHARES,
        LANES_ALONE,
    ]
}

pub struct GpuEngine {
    pub gpu: Gpu,
    context: Context,
    tuning: Tuning,
    name: String,
}

impl GpuEngine {
    pub fn new(gpu: &Gpu, name: &str, tuning: Tuning) -> Self {
        Self {
            gpu: gpu.clone(),
            context: context(gpu, tuning),
            tuning,
            name: format!("gpu ({name})"),
        }
    }

    /// The same with pipelines of its own, not compiled yet.
    pub fn anew(&self) -> Self {
        Self {
            gpu: self.gpu.clone(),
            context: self.gpu.with_tuning(self.tuning).unwrap().context().clone(),
            tuning: self.tuning,
            name: self.name.clone(),
        }
    }

    pub fn all(gpu: &Gpu) -> Vec<Self> {
        let tunings = tunings().into_iter();
        tunings
            .map(|(name, tuning)| Self::new(gpu, name, tuning))
            .collect()
    }
}

/// A tensor of what no result holds: what is not written does not pass, even where NaN is right.
pub fn poisoned(gpu: &Gpu, shape: &[usize]) -> Tensor {
    poisoned_as(gpu, shape, Element::F32)
}

pub fn poisoned_as(gpu: &Gpu, shape: &[usize], element: Element) -> Tensor {
    let len = shape.iter().product();
    Tensor::upload_as(gpu, shape, element, &vec![POISON; len]).unwrap()
}

impl Engine for GpuEngine {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn run(&self, case: &Case) -> Outcome {
        let gpu = &self.gpu;
        let plan = self.context.plan(&case.config, &case.shape).unwrap();
        let c = case.view.channels();
        let upload = |shape: &[usize], values: &[f32]| Tensor::upload(gpu, shape, values).unwrap();
        let element = case.config.element;
        let stored = |values: &[f32]| Tensor::upload_as(gpu, &case.shape, element, values).unwrap();
        let output = || poisoned_as(gpu, &case.shape, element);
        let x = stored(&case.x);
        let dy = stored(&case.dy);
        let residual = case.residual.as_deref().map(stored);
        let residual = residual.as_ref().map(|t| t.slice());
        // Rows of parameters that do not exist hold NaN: they must not be read.
        let nan = vec![f32::NAN; c];
        let weight = case.weight.as_deref().unwrap_or(&nan);
        let bias = case.bias.as_deref().unwrap_or(&nan);
        let affine = upload(&[2, c], &[weight, bias].concat());
        let has_affine = case.weight.is_some() || case.bias.is_some();
        let affine = has_affine.then_some(&affine).map(|t| t.slice());
        let weights = case.weights.as_ref().map(|weights| {
            let values = upload(&weights.shape, &weights.values);
            (values, &weights.shape[..], weights.outside)
        });
        let weights = weights
            .as_ref()
            .map(|(values, shape, outside)| WeightsBuffer::new(values.slice(), shape, *outside));
        let running = case
            .running
            .as_ref()
            .map(|r| upload(&[3, c], &running_rows(r)));
        let frozen = case.running.as_ref().filter(|_| case.has_frozen_backward());
        let frozen = frozen.map(|r| upload(&[3, c], &running_rows(r)));

        let y = output();
        let saved = poisoned(gpu, &[5, c]);
        let dx = output();
        let (dresidual, frozen_dresidual) = (output(), output());
        let with_residual = |t| residual.is_some().then_some(t);
        let grads = poisoned(gpu, &[2, c]);
        let workspace = poisoned(gpu, &[plan.workspace_bytes() as usize / 4]);
        let workspace = workspace.slice();
        let train = plan.bind_train(
            &TrainBuffers::new(x.slice(), saved.slice(), workspace)
                .with_weights(weights)
                .with_y(y.slice())
                .with_residual(residual)
                .with_affine(affine)
                .with_running(running.as_ref().map(|t| t.slice())),
        );
        let backward = plan.bind_backward(
            &BackwardBuffers::new(
                x.slice(),
                dy.slice(),
                StatisticsRows::Saved(saved.slice()),
                workspace,
            )
            .with_weights(weights)
            .with_dx(dx.slice())
            .with_residual(residual)
            .with_dresidual(with_residual(dresidual.slice()))
            .with_affine(affine)
            .with_grads(grads.slice()),
        );
        let mut bindings = vec![train.unwrap(), backward.unwrap()];

        let frozen_y = output();
        let frozen_dx = output();
        let frozen_grads = poisoned(gpu, &[2, c]);
        if let Some(running) = &frozen {
            let inference = plan.bind_inference(
                &InferenceBuffers::new(x.slice(), running.slice())
                    .with_weights(weights)
                    .with_y(frozen_y.slice())
                    .with_residual(residual)
                    .with_affine(affine),
            );
            let backward = plan.bind_backward(
                &BackwardBuffers::new(
                    x.slice(),
                    dy.slice(),
                    StatisticsRows::Running(running.slice()),
                    workspace,
                )
                .with_weights(weights)
                .with_dx(frozen_dx.slice())
                .with_residual(residual)
                .with_dresidual(with_residual(frozen_dresidual.slice()))
                .with_affine(affine)
                .with_grads(frozen_grads.slice()),
            );
            bindings.extend([inference.unwrap(), backward.unwrap()]);
        }

        crate::dawn::run(gpu, &bindings.iter().collect::<Vec<_>>());
        let read = |tensor: &Tensor| tensor.read_blocking().unwrap();
        let gradients = |dx: &Tensor, grads: &Tensor| {
            let [dweight, dbias] = rows(&read(grads));
            HostGradients::new(read(dx), dweight, dbias)
        };
        Outcome {
            y: read(&y),
            saved: saved_of(&read(&saved)),
            running: running.as_ref().map(|t| running_of(&read(t))),
            gradients: gradients(&dx, &grads),
            dresidual: residual.map_or(vec![], |_| read(&dresidual)),
            frozen: frozen.is_some().then(|| Frozen {
                y: read(&frozen_y),
                gradients: gradients(&frozen_dx, &frozen_grads),
                dresidual: residual.map_or(vec![], |_| read(&frozen_dresidual)),
            }),
        }
    }
}
