//! Training on the GPU: z = g(BN(Wu)), the paper's form of a layer, and a readout behind it.
//!
//! `cargo run --release --example train_step`
//!
//! Two spirals are to be told apart: u → W u → batch norm → relu → v·z → logistic loss. W has no
//! bias: batch norm takes the mean away, and any bias with it; its own bias takes that place
//! (Ioffe & Szegedy 2015, section 3.2). Forward, backward and the SGD step on W, on batch norm's
//! weight and bias and on v are recorded into one compute pass; only losses come back.

use std::error::Error;
use std::f32::consts::PI;

use wgpu::util::DeviceExt as _;
use wgpu_batchnorm::{
    Activation, Adapter, BackwardBuffers, Binding, Config, Gpu, InferenceBuffers, StatisticsRows,
    Tensor, TrainBuffers, wgpu,
};

/// Points, their coordinates, and the hidden layer's channels.
const POINTS: usize = 512;
const INPUTS: usize = 2;
const HIDDEN: usize = 64;

const STEPS: usize = 800;
const REPORT: usize = 80;
const RATE: f32 = 1.0;

/// The grid on which the trained layer is drawn.
const GRID: [usize; 2] = [61, 29];

fn main() -> Result<(), Box<dyn Error>> {
    pollster::block_on(run())
}

async fn run() -> Result<(), Box<dyn Error>> {
    let gpu = Gpu::new(&Adapter::Best).await?;
    println!("adapter: {}", gpu.info().name);
    let mut random = Random(1);
    let (points, labels) = spirals(&mut random);

    // The parameters. weight is 1 as usual; bias is spread, so that channels bend at different
    // places from the start.
    let parameters = Parameters {
        w: random.normals(&gpu, &[INPUTS, HIDDEN], 1.0)?,
        affine: {
            let bias = (0..HIDDEN).map(|_| random.normal());
            let rows: Vec<f32> = [1.0; HIDDEN].into_iter().chain(bias).collect();
            Tensor::upload(&gpu, &[2, HIDDEN], &rows)?
        },
        running: {
            let rows = [[0.0; HIDDEN], [1.0; HIDDEN], [0.0; HIDDEN]].concat();
            Tensor::upload(&gpu, &[3, HIDDEN], &rows)?
        },
        v: random.normals(&gpu, &[HIDDEN, 1], 0.1)?,
    };
    let kernels = Kernels::new(&gpu);
    let training = Training::new(&gpu, &kernels, &parameters, &points, &labels)?;

    println!("{POINTS} points of two spirals, {HIDDEN} channels, {STEPS} steps of SGD\n");
    let mut losses = Vec::new();
    for step in 0..=STEPS {
        let mut encoder = gpu.device().create_command_encoder(&Default::default());
        training.encode(&mut encoder.begin_compute_pass(&Default::default()));
        gpu.queue().submit([encoder.finish()]);
        if step % REPORT == 0 {
            let loss = training.loss().await?;
            let bar = "=".repeat((loss * 60.0).round() as usize);
            println!("step {step:4}  loss {loss:.4}  {bar}");
            losses.push(loss);
        }
    }

    // The trained layer on points it has not seen, with running statistics.
    let grid = grid();
    let scores = infer(&gpu, &kernels, &parameters, &grid).await?;
    println!("\nwhat it says of the plane, and of the training points (o, x):\n");
    draw(&scores, &points, &labels);
    let (unseen, truth) = spirals(&mut random);
    let scores = infer(&gpu, &kernels, &parameters, &unseen).await?;
    let right = scores.iter().zip(&truth).filter(|(s, t)| *s * *t > 0.0);
    let accuracy = right.count() as f32 / POINTS as f32;
    println!(
        "\nright on new points, with running statistics: {:.1} %",
        accuracy * 100.0
    );

    let (first, last) = (losses[0], losses[losses.len() - 1]);
    if !(first > 0.5 && last < 0.03 && accuracy > 0.98) {
        return Err(format!("it did not learn: {losses:?}, accuracy {accuracy}").into());
    }
    Ok(())
}

/// Batch norm with relu behind it, in the same dispatches.
fn layer() -> Config {
    Config::pytorch().with_activation(Activation::Relu)
}

/// What is trained, and the statistics kept on the way.
struct Parameters {
    /// `[INPUTS, HIDDEN]`.
    w: Tensor,
    /// Batch norm's weight and bias, `[2, HIDDEN]`.
    affine: Tensor,
    /// Its running statistics, `[3, HIDDEN]`.
    running: Tensor,
    /// The readout, `[HIDDEN, 1]`.
    v: Tensor,
}

/// One step, bound once and recorded as often as wanted.
struct Training {
    forward: [Step; 4],
    backward: [Step; 4],
    update: [Step; 3],
    /// Gradients of the scores, then the losses.
    scored: Tensor,
}

impl Training {
    fn new(
        gpu: &Gpu,
        kernels: &Kernels,
        parameters: &Parameters,
        points: &[f32],
        labels: &[f32],
    ) -> Result<Self, Box<dyn Error>> {
        let Parameters {
            w,
            affine,
            running,
            v,
        } = parameters;
        let tensor = |shape: &[usize]| Tensor::empty(gpu, shape);
        let u = Tensor::upload(gpu, &[POINTS, INPUTS], points)?;
        let labels = Tensor::upload(gpu, &[POINTS, 1], labels)?;
        let hidden = [POINTS, HIDDEN];
        let (x, z) = (tensor(&hidden)?, tensor(&hidden)?);
        let (dx, dz) = (tensor(&hidden)?, tensor(&hidden)?);
        let (dw, dv) = (tensor(w.shape())?, tensor(v.shape())?);
        // In the layout of `affine`, so one SGD step moves weight and bias together.
        let grads = tensor(affine.shape())?;
        let scores = tensor(&[POINTS, 1])?;
        let scored = tensor(&[2, POINTS, 1])?;

        let plan = gpu.context().plan(&layer(), &hidden)?;
        let buffer = |bytes: u64| tensor(&[bytes as usize / 4]);
        let saved = buffer(plan.saved_bytes())?;
        let workspace = buffer(plan.workspace_bytes())?;
        let buffers = TrainBuffers::new(x.slice(), saved.slice(), workspace.slice())
            .with_y(z.slice())
            .with_affine(affine.slice())
            .with_running(running.slice());
        let forward = plan.bind_train(&buffers)?;
        // Where relu let through comes from x again: nothing was kept of it.
        let statistics = StatisticsRows::Saved(saved.slice());
        let buffers = BackwardBuffers::new(x.slice(), dz.slice(), statistics, workspace.slice())
            .with_dx(dx.slice())
            .with_affine(affine.slice())
            .with_grads(grads.slice());
        let backward = plan.bind_backward(&buffers)?;
        Ok(Self {
            forward: [
                kernels.matmul([&u, w, &x], [POINTS, HIDDEN, INPUTS], [false, false]),
                Step::BatchNorm(forward),
                kernels.matmul([&z, v, &scores], [POINTS, 1, HIDDEN], [false, false]),
                kernels.bind(
                    "logistic",
                    &[&scores, &labels, &scored],
                    [POINTS, 1, 0],
                    [false; 2],
                ),
            ],
            backward: [
                kernels.matmul([&z, &scored, &dv], [HIDDEN, 1, POINTS], [true, false]),
                kernels.matmul([&scored, v, &dz], [POINTS, HIDDEN, 1], [false, true]),
                Step::BatchNorm(backward),
                kernels.matmul([&u, &dx, &dw], [INPUTS, HIDDEN, POINTS], [true, false]),
            ],
            update: [(&dw, w), (&grads, affine), (&dv, v)].map(|(gradient, parameter)| {
                kernels.bind(
                    "sgd",
                    &[gradient, parameter],
                    [parameter.len(), 1, 0],
                    [false; 2],
                )
            }),
            scored,
        })
    }

    fn encode(&self, pass: &mut wgpu::ComputePass<'_>) {
        let steps = self
            .forward
            .iter()
            .chain(&self.backward)
            .chain(&self.update);
        steps.for_each(|step| step.encode(pass));
    }

    /// The mean loss of the last step, before its update.
    async fn loss(&self) -> Result<f32, Box<dyn Error>> {
        let scored = self.scored.read().await?;
        Ok(scored[POINTS..].iter().sum::<f32>() / POINTS as f32)
    }
}

/// The scores of `points` through running statistics.
async fn infer(
    gpu: &Gpu,
    kernels: &Kernels,
    parameters: &Parameters,
    points: &[f32],
) -> Result<Vec<f32>, Box<dyn Error>> {
    let count = points.len() / INPUTS;
    let u = Tensor::upload(gpu, &[count, INPUTS], points)?;
    let hidden = || Tensor::empty(gpu, &[count, HIDDEN]);
    let (x, z) = (hidden()?, hidden()?);
    let scores = Tensor::empty(gpu, &[count, 1])?;
    let plan = gpu.context().plan(&layer(), x.shape())?;
    let buffers = InferenceBuffers::new(x.slice(), parameters.running.slice())
        .with_y(z.slice())
        .with_affine(parameters.affine.slice());
    let inference = plan.bind_inference(&buffers)?;
    let steps = [
        kernels.matmul([&u, &parameters.w, &x], [count, HIDDEN, INPUTS], [false; 2]),
        Step::BatchNorm(inference),
        kernels.matmul([&z, &parameters.v, &scores], [count, 1, HIDDEN], [false; 2]),
    ];
    let mut encoder = gpu.device().create_command_encoder(&Default::default());
    let mut pass = encoder.begin_compute_pass(&Default::default());
    steps.iter().for_each(|step| step.encode(&mut pass));
    drop(pass);
    gpu.queue().submit([encoder.finish()]);
    Ok(scores.read().await?)
}

/// A dispatch of the example's own, or batch norm.
enum Step {
    Own {
        pipeline: wgpu::ComputePipeline,
        bind_group: wgpu::BindGroup,
        groups: u32,
    },
    BatchNorm(Binding),
}

impl Step {
    fn encode(&self, pass: &mut wgpu::ComputePass<'_>) {
        match self {
            Self::Own {
                pipeline,
                bind_group,
                groups,
            } => {
                pass.set_pipeline(pipeline);
                pass.set_bind_group(0, bind_group, &[]);
                pass.dispatch_workgroups(*groups, 1, 1);
            }
            Self::BatchNorm(binding) => binding.encode(pass),
        }
    }
}

/// The example's own kernels.
struct Kernels {
    device: wgpu::Device,
    module: wgpu::ShaderModule,
}

impl Kernels {
    fn new(gpu: &Gpu) -> Self {
        let source = include_str!("train_step/kernels.wgsl");
        let module = gpu
            .device()
            .create_shader_module(wgpu::ShaderModuleDescriptor {
                label: Some("train_step"),
                source: wgpu::ShaderSource::Wgsl(source.into()),
            });
        Self {
            device: gpu.device().clone(),
            module,
        }
    }

    /// c = a·b; `transposed` says of a and b whether they are stored so.
    fn matmul(&self, [a, b, c]: [&Tensor; 3], sizes: [usize; 3], transposed: [bool; 2]) -> Step {
        self.bind("matmul", &[a, b, c], sizes, transposed)
    }

    /// `entry` with `tensors` as a, b and c.
    fn bind(
        &self,
        entry: &str,
        tensors: &[&Tensor],
        [rows, columns, inner]: [usize; 3],
        transposed: [bool; 2],
    ) -> Step {
        let pipeline = self
            .device
            .create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: Some(entry),
                layout: None,
                module: &self.module,
                entry_point: Some(entry),
                compilation_options: Default::default(),
                cache: None,
            });
        let sizes = [
            rows as u32,
            columns as u32,
            inner as u32,
            0,
            transposed[0].into(),
            transposed[1].into(),
            RATE.to_bits(),
            0,
        ];
        let sizes = self
            .device
            .create_buffer_init(&wgpu::util::BufferInitDescriptor {
                label: Some("sizes"),
                contents: bytemuck::cast_slice(&sizes),
                usage: wgpu::BufferUsages::UNIFORM,
            });
        let buffers = std::iter::once(&sizes).chain(tensors.iter().map(|t| t.buffer()));
        let entries: Vec<_> = (0..)
            .zip(buffers)
            .map(|(binding, buffer)| wgpu::BindGroupEntry {
                binding,
                resource: buffer.as_entire_binding(),
            })
            .collect();
        let bind_group = self.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(entry),
            layout: &pipeline.get_bind_group_layout(0),
            entries: &entries,
        });
        Step::Own {
            pipeline,
            bind_group,
            groups: (rows * columns).div_ceil(64) as u32,
        }
    }
}

/// Points of two spirals, and which they are of: 1 or −1.
fn spirals(random: &mut Random) -> (Vec<f32>, Vec<f32>) {
    let mut points = Vec::new();
    let mut labels = Vec::new();
    for k in 0..POINTS {
        let label = if k % 2 == 0 { 1.0 } else { -1.0 };
        let radius = 0.1 + 0.9 * random.uniform().sqrt();
        let angle = 2.7 * PI * radius;
        for coordinate in [angle.cos(), angle.sin()] {
            points.push(label * radius * coordinate + 0.02 * random.normal());
        }
        labels.push(label);
    }
    (points, labels)
}

/// The points that are drawn, row by row from above, a little beyond the spirals.
fn grid() -> Vec<f32> {
    let [width, height] = GRID;
    let at = |k: usize, n: usize| 1.2 * (2.0 * k as f32 / (n - 1) as f32 - 1.0);
    let rows = (0..height).rev();
    rows.flat_map(|row| (0..width).flat_map(move |column| [at(column, width), at(row, height)]))
        .collect()
}

/// Scores of the grid as shades, and the training points on them.
fn draw(scores: &[f32], points: &[f32], labels: &[f32]) {
    let [width, height] = GRID;
    let shade = |score: &f32| if *score > 0.0 { '░' } else { ' ' };
    let mut cells: Vec<char> = scores.iter().map(shade).collect();
    let cell = |at: f32, n: usize| ((at / 1.2 + 1.0) / 2.0 * (n - 1) as f32).round() as usize;
    for (point, label) in points.chunks_exact(INPUTS).zip(labels) {
        let row = height - 1 - cell(point[1], height);
        cells[row * width + cell(point[0], width)] = if *label > 0.0 { 'o' } else { 'x' };
    }
    for row in cells.chunks_exact(width) {
        println!("  {}", row.iter().collect::<String>());
    }
}

/// Numbers that are the same in every run (splitmix64).
struct Random(u64);

impl Random {
    /// In [0, 1).
    fn uniform(&mut self) -> f32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 40) as f32 / (1 << 24) as f32
    }

    fn normal(&mut self) -> f32 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (2.0 * PI * self.uniform()).cos()
    }

    fn normals(
        &mut self,
        gpu: &Gpu,
        shape: &[usize],
        scale: f32,
    ) -> Result<Tensor, wgpu_batchnorm::Error> {
        let len = shape.iter().product();
        let values: Vec<f32> = (0..len).map(|_| scale * self.normal()).collect();
        Tensor::upload(gpu, shape, &values)
    }
}

#[test]
fn the_loss_falls() {
    main().unwrap();
}
