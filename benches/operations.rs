//! Wall-clock time of whole operations through the recording layer and on the CPU path, each
//! answer asserted after the run. `cargo bench` measures; `cargo test --all-targets` runs each
//! once. `wgbn bench` measures more, and against bandwidth.

use std::time::Instant;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use wgpu_batchnorm::check::{self, Finding, Input, POISON, TrainResult};
use wgpu_batchnorm::functional::{self, DeviceMoments};
use wgpu_batchnorm::{
    Adapter, BackwardBuffers, Binding, Config, Gpu, HostGradients, InferenceBuffers, Moments,
    Parameters, Plan, RunningStatistics, SavedStatistics, StatisticsRows, Tensor, TrainBuffers,
    View, cpu, wgpu,
};

const SHAPES: [(&str, [usize; 4], isize); 2] = [
    ("nchw 8x64x28x28", [8, 64, 28, 28], 1),
    ("nhwc 8x28x28x64", [8, 28, 28, 64], -1),
];
const EPS: f32 = 1e-5;

/// One layer's numbers on the host.
struct Layer {
    name: &'static str,
    shape: [usize; 4],
    axis: isize,
    view: View,
    x: Vec<f32>,
    dy: Vec<f32>,
    weight: Vec<f32>,
    bias: Vec<f32>,
    running: RunningStatistics,
}

fn layers() -> impl Iterator<Item = Layer> {
    SHAPES.into_iter().map(|(name, shape, axis)| {
        let view = View::new(&shape, axis).unwrap();
        let c = view.channels();
        let values = |step: usize| -> Vec<f32> {
            (0..view.len())
                .map(|i| (i * step % 1024) as f32 / 512.0 + view.channel_of(i) as f32)
                .collect()
        };
        Layer {
            name,
            shape,
            axis,
            view,
            x: values(7919),
            dy: values(104_729),
            weight: (0..c).map(|c| 1.0 + c as f32 / 64.0).collect(),
            bias: (0..c).map(|c| c as f32 / 8.0).collect(),
            running: RunningStatistics::from_parts(
                (0..c).map(|c| c as f32 + 0.75).collect(),
                vec![0.5; c],
                vec![1; c],
            )
            .unwrap(),
        }
    })
}

impl Layer {
    fn parameters(&self) -> Parameters<'_> {
        Parameters::default()
            .with_weight(&self.weight[..])
            .with_bias(&self.bias[..])
    }

    fn input(&self) -> Input<'_> {
        Input::new(self.view, &self.x, self.parameters(), EPS)
    }

    fn assert_train(&self, y: &[f32], saved: &SavedStatistics) {
        let running = None;
        let result = TrainResult::new(y, saved).with_running(running);
        check::train_forward(&self.input(), &result)
            .unwrap()
            .enforce()
            .unwrap();
    }

    fn assert_inference(&self, y: &[f32]) {
        let RunningStatistics { mean, variance, .. } = &self.running;
        let report = check::inference(&self.input(), mean, variance, y).unwrap();
        report.enforce().unwrap();
    }

    fn assert_backward(&self, gradients: &HostGradients) {
        assert_eq!(gradients.dx.len(), self.x.len());
        let report = check::backward(&self.input(), &self.dy, gradients, None).unwrap();
        report.enforce().unwrap();
    }

    fn assert_moments(&self, moments: &Moments) {
        let narrow = |v: Vec<f64>| -> Vec<f32> { v.into_iter().map(|v| v as f32).collect() };
        let (mean, variance) = (narrow(moments.mean()), narrow(moments.variance()));
        let report = check::moments(&self.view, &self.x, &mean, &variance).unwrap();
        report.enforce().unwrap();
    }

    fn axes(&self) -> Vec<isize> {
        let channels = self.axis.rem_euclid(4);
        (0..4).filter(|&axis| axis != channels).collect()
    }
}

/// What is timed, what waits for it, and what asserts the answer it left behind; none but the first two
/// within the time.
struct Case<'a, S> {
    group: &'a str,
    layer: &'a Layer,
    /// Tensors of traffic.
    tensors: u64,
    /// Fills outputs with what no result holds.
    blank: &'a dyn Fn(&mut S),
    run: &'a dyn Fn(&mut S),
    wait: &'a dyn Fn(),
    assert: &'a dyn Fn(&S),
}

fn bench<S>(criterion: &mut Criterion, state: &mut S, case: &Case<'_, S>) {
    let mut group = criterion.benchmark_group(case.group);
    let bytes = case.tensors * 4 * case.layer.x.len() as u64;
    group.throughput(Throughput::Bytes(bytes));
    group.bench_function(case.layer.name, |bencher| {
        bencher.iter_custom(|runs| {
            (case.blank)(state);
            (case.wait)();
            let start = Instant::now();
            (0..runs).for_each(|_| (case.run)(state));
            (case.wait)();
            let time = start.elapsed();
            (case.assert)(state);
            time
        });
    });
    group.finish();
}

/// What the CPU path writes.
#[derive(Default)]
struct Host {
    out: Vec<f32>,
    saved: SavedStatistics,
    gradients: HostGradients,
    moments: Option<Moments>,
}

fn cpu_path(criterion: &mut Criterion) {
    for layer in &layers().collect::<Vec<_>>() {
        let Layer { view, x, dy, .. } = layer;
        let input = cpu::Input::new(*view, x, layer.parameters(), EPS);
        let mut host = Host {
            out: vec![POISON; x.len()],
            gradients: HostGradients::new(vec![POISON; x.len()], vec![], vec![]),
            ..Default::default()
        };
        // Backward needs this where a filter leaves training out.
        host.saved = cpu::train_forward(&input, None, &mut host.out).unwrap();
        let mut case = |group: &str, tensors, run: &dyn Fn(&mut Host), assert: &dyn Fn(&Host)| {
            let wait = &|| {};
            let blank = &|host: &mut Host| {
                host.out.fill(POISON);
                host.gradients.dx.fill(POISON);
            };
            let case = Case {
                group,
                layer,
                tensors,
                blank,
                run,
                wait,
                assert,
            };
            bench(criterion, &mut host, &case);
        };
        case(
            "cpu/train",
            3,
            &|h| h.saved = cpu::train_forward(&input, None, &mut h.out).unwrap(),
            &|h| layer.assert_train(&h.out, &h.saved),
        );
        case(
            "cpu/inference",
            2,
            &|h| cpu::inference(&input, &layer.running, &mut h.out).unwrap(),
            &|h| layer.assert_inference(&h.out),
        );
        case(
            "cpu/backward",
            5,
            &|h| {
                let dx = Some(&mut h.gradients.dx[..]);
                let sums = cpu::backward(&input, dy, &h.saved, dx).unwrap();
                (h.gradients.dweight, h.gradients.dbias) = (sums.dweight, sums.dbias);
            },
            &|h| layer.assert_backward(&h.gradients),
        );
        case(
            "cpu/moments",
            1,
            &|h| h.moments = Some(cpu::moments(view, x).unwrap()),
            &|h| layer.assert_moments(h.moments.as_ref().unwrap()),
        );
    }
}

fn fill_with_poison(tensor: &Tensor) {
    tensor.write(&vec![POISON; tensor.len()]).unwrap();
}

/// A layer's tensors on an adapter.
struct Device<'a> {
    gpu: &'a Gpu,
    plan: Plan,
    x: Tensor,
    dy: Tensor,
    out: Tensor,
    affine: Tensor,
    running: Tensor,
    saved: Tensor,
    grads: Tensor,
    workspace: Tensor,
}

impl<'a> Device<'a> {
    fn new(gpu: &'a Gpu, layer: &Layer) -> Self {
        let config = Config::pytorch().with_axis(layer.axis);
        let plan = gpu.context().plan(&config, &layer.shape).unwrap();
        let c = layer.view.channels();
        let upload = |shape: &[usize], values: &[f32]| Tensor::upload(gpu, shape, values).unwrap();
        let empty = |shape: &[usize]| {
            let tensor = Tensor::empty(gpu, shape).unwrap();
            fill_with_poison(&tensor);
            tensor
        };
        let affine = [&layer.weight[..], &layer.bias].concat();
        let RunningStatistics { mean, variance, .. } = &layer.running;
        Self {
            gpu,
            x: upload(&layer.shape, &layer.x),
            dy: upload(&layer.shape, &layer.dy),
            out: empty(&layer.shape),
            affine: upload(&[2, c], &affine),
            running: upload(&[3, c], &[&mean[..], variance, &vec![0.0; c]].concat()),
            saved: empty(&[5, c]),
            grads: empty(&[2, c]),
            workspace: empty(&[plan.workspace_bytes().div_ceil(4) as usize]),
            plan,
        }
    }

    /// Fills what operations write with what no result holds; what training saved, backward reads.
    fn blank(&self) {
        [&self.out, &self.grads, &self.workspace]
            .into_iter()
            .for_each(fill_with_poison);
    }

    /// Asserts that the device holds what it was given.
    fn assert_held(&self, layer: &Layer) {
        for (tensor, given) in [(&self.x, &layer.x), (&self.dy, &layer.dy)] {
            let held = tensor.read_blocking().unwrap();
            assert_eq!(Finding::held("an input", &held, given), None);
        }
    }

    fn train(&self) -> Binding {
        // Training moves statistics: those of inference are left alone.
        let running = Tensor::empty(self.gpu, self.running.shape()).unwrap();
        let buffers = TrainBuffers::new(self.x.slice(), self.saved.slice(), self.workspace.slice())
            .with_y(self.out.slice())
            .with_affine(self.affine.slice())
            .with_running(running.slice());
        self.plan.bind_train(&buffers).unwrap()
    }

    fn inference(&self) -> Binding {
        let buffers = InferenceBuffers::new(self.x.slice(), self.running.slice())
            .with_y(self.out.slice())
            .with_affine(self.affine.slice());
        self.plan.bind_inference(&buffers).unwrap()
    }

    fn backward(&self) -> Binding {
        let buffers = BackwardBuffers::new(
            self.x.slice(),
            self.dy.slice(),
            StatisticsRows::Saved(self.saved.slice()),
            self.workspace.slice(),
        )
        .with_dx(self.out.slice())
        .with_affine(self.affine.slice())
        .with_grads(self.grads.slice());
        self.plan.bind_backward(&buffers).unwrap()
    }

    fn submit(&self, binding: &Binding) {
        let mut encoder = self
            .gpu
            .device()
            .create_command_encoder(&Default::default());
        binding.encode(&mut encoder.begin_compute_pass(&Default::default()));
        self.gpu.queue().submit([encoder.finish()]);
    }

    fn wait(&self) {
        let polled = self.gpu.device().poll(wgpu::PollType::wait_indefinitely());
        polled.unwrap();
    }

    fn rows<const N: usize>(&self, tensor: &Tensor) -> [Vec<f32>; N] {
        let values = tensor.read_blocking().unwrap();
        let c = values.len() / N;
        std::array::from_fn(|row| values[row * c..][..c].to_vec())
    }

    fn saved(&self) -> SavedStatistics {
        let rows = self.saved.read_blocking().unwrap();
        SavedStatistics::from_rows(&rows).unwrap()
    }

    fn gradients(&self) -> HostGradients {
        let [dweight, dbias] = self.rows(&self.grads);
        let dx = self.out.read_blocking().unwrap();
        HostGradients::new(dx, dweight, dbias)
    }
}

fn adapter(criterion: &mut Criterion) {
    let gpu = Gpu::new_blocking(&Adapter::Best).expect("an adapter");
    gpu.probe_blocking().expect("one that runs kernels");
    for layer in &layers().collect::<Vec<_>>() {
        let device = &Device::new(&gpu, layer);
        device.assert_held(layer);
        let mut moments: Option<DeviceMoments> = None;
        let wait = &|| device.wait();
        let bindings = [device.train(), device.inference(), device.backward()];
        // Backward needs what this saves where a filter leaves training out.
        device.submit(&bindings[0]);
        let y = || device.out.read_blocking().unwrap();
        let asserts: [&dyn Fn(); 3] = [
            &|| layer.assert_train(&y(), &device.saved()),
            &|| layer.assert_inference(&y()),
            &|| layer.assert_backward(&device.gradients()),
        ];
        let groups = [("gpu/train", 3), ("gpu/inference", 2), ("gpu/backward", 5)];
        for (((group, tensors), binding), assert) in groups.into_iter().zip(&bindings).zip(asserts)
        {
            let case = Case {
                group,
                layer,
                tensors,
                blank: &|()| device.blank(),
                run: &|()| device.submit(binding),
                wait,
                assert: &|()| assert(),
            };
            bench(criterion, &mut (), &case);
        }
        let axes = layer.axes();
        let case = Case {
            group: "gpu/moments",
            layer,
            tensors: 1,
            blank: &|state| *state = None,
            run: &|state: &mut Option<DeviceMoments>| {
                let moments = functional::moments(&device.x, &axes, false);
                *state = Some(moments.unwrap());
            },
            wait,
            assert: &|state| {
                let moments = state.as_ref().unwrap();
                layer.assert_moments(&moments.read_blocking().unwrap());
            },
        };
        bench(criterion, &mut moments, &case);
    }
}

criterion_group!(operations, adapter, cpu_path);
criterion_main!(operations);
