//! Every buffer that one case needs, apart or in one pool, for tests that bind by hand.

use half::{bf16, f16};
use wgpu_batchnorm::check::POISON;
use wgpu_batchnorm::wgpu::{BufferSlice, ComputePass};
use wgpu_batchnorm::{
    Affine, BackwardBuffers, Binding, Element, Gpu, InferenceBuffers, Plan, StatisticsRows, Tensor,
    TrainBuffers,
};

use testkit::case::Case;
use testkit::gpu::running_rows;

/// Sentinels behind each buffer of [`Buffers::followed`]: more than a row of words.
const BEHIND: usize = 1 << 15;

/// A range of a buffer, counted in f32.
#[derive(Clone)]
pub struct Place {
    pub tensor: Tensor,
    pub at: usize,
    pub len: usize,
}

impl Place {
    /// A buffer of its own.
    pub fn new(gpu: &Gpu, values: &[f32]) -> Self {
        Self {
            tensor: Tensor::upload(gpu, &[values.len()], values).unwrap(),
            at: 0,
            len: values.len(),
        }
    }

    pub fn slice(&self) -> BufferSlice<'_> {
        let (start, end) = (self.at as u64 * 4, (self.at + self.len) as u64 * 4);
        self.tensor.buffer().slice(start..end)
    }

    pub fn read(&self) -> Vec<f32> {
        let values = self.tensor.read_blocking().unwrap();
        values[self.at..][..self.len].to_vec()
    }

    pub fn bits(&self) -> Vec<u32> {
        self.read().into_iter().map(f32::to_bits).collect()
    }

    /// Whether the sentinels behind it, of [`Buffers::followed`], are as they were.
    pub fn kept_behind(&self) -> bool {
        let values = self.tensor.read_blocking().unwrap();
        let mut behind = values.iter().enumerate().skip(self.len);
        values.len() == self.len + BEHIND
            && behind.all(|(at, value)| value.to_bits() == sentinel(at).to_bits())
    }

    /// Overwrites the start of the range.
    pub fn write(&self, values: &[f32]) {
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let queue = self.tensor.gpu().queue();
        queue.write_buffer(self.tensor.buffer(), self.at as u64 * 4, &bytes);
    }
}

/// The buffers of every operation on one case. What is written starts as NaN.
#[derive(Clone)]
pub struct Buffers {
    pub x: Place,
    pub y: Place,
    pub dy: Place,
    pub dx: Place,
    pub affine: Option<Place>,
    pub running: Option<Place>,
    pub saved: Place,
    pub grads: Place,
    pub workspace: Place,
    /// Where the case has one.
    pub residual: Option<Place>,
    pub dresidual: Option<Place>,
    /// Of two parts.
    pub moments: [Place; 2],
}

impl Buffers {
    /// A buffer for each.
    pub fn apart(gpu: &Gpu, plan: &Plan, case: &Case) -> Self {
        let place = |values: Vec<f32>| Place::new(gpu, &values);
        Self::from(case, contents(plan, case).map(place))
    }

    /// A buffer for each, which goes on behind what it is for.
    pub fn followed(gpu: &Gpu, plan: &Plan, case: &Case) -> Self {
        let place = |values: Vec<f32>| {
            let len = values.len();
            let behind = (len..len + BEHIND).map(sentinel);
            Place {
                len,
                ..Place::new(gpu, &values.into_iter().chain(behind).collect::<Vec<_>>())
            }
        };
        Self::from(case, contents(plan, case).map(place))
    }

    /// One buffer for all, each at the first aligned offset that leaves a sentinel before it; and
    /// what the buffer holds.
    pub fn pooled(gpu: &Gpu, plan: &Plan, case: &Case) -> (Self, Vec<f32>) {
        let alignment = gpu.device().limits().min_storage_buffer_offset_alignment as usize / 4;
        let mut pool = Vec::new();
        let pad = |pool: &mut Vec<f32>| {
            let aligned = (pool.len() + 1).next_multiple_of(alignment);
            pool.extend((pool.len()..aligned).map(sentinel));
        };
        pad(&mut pool);
        let ranges = contents(plan, case).map(|values| {
            let range = (pool.len(), values.len());
            pool.extend(values);
            pad(&mut pool);
            range
        });
        let tensor = Tensor::upload(gpu, &[pool.len()], &pool).unwrap();
        let place = |(at, len)| Place {
            tensor: tensor.clone(),
            at,
            len,
        };
        (Self::from(case, ranges.map(place)), pool)
    }

    pub fn all(&self) -> impl Iterator<Item = &Place> {
        let tensors = [&self.x, &self.y, &self.dy, &self.dx];
        let rest = [&self.saved, &self.grads, &self.workspace];
        let optional = [&self.affine, &self.running, &self.residual, &self.dresidual];
        let optional = optional.into_iter().flatten().chain(&self.moments);
        tensors.into_iter().chain(rest).chain(optional)
    }

    /// Whether a pool that held `before` still does, outside of every tensor.
    pub fn kept_between(&self, before: &[f32]) -> bool {
        let mut outside = vec![true; before.len()];
        for place in self.all() {
            outside[place.at..][..place.len].fill(false);
        }
        let after = self.x.tensor.read_blocking().unwrap();
        let mut pairs = after.iter().zip(before).zip(outside);
        pairs.all(|((after, before), outside)| !outside || after.to_bits() == before.to_bits())
    }

    fn from(case: &Case, places: [Place; 13]) -> Self {
        let [
            x,
            y,
            dy,
            dx,
            affine,
            running,
            saved,
            grads,
            workspace,
            rest @ ..,
        ] = places;
        let [residual, dresidual, moments @ ..] = rest;
        let has_residual = case.residual.is_some();
        Self {
            x,
            y,
            dy,
            dx,
            affine: (case.config.affine != Affine::None).then_some(affine),
            running: case.running.is_some().then_some(running),
            saved,
            grads,
            workspace,
            residual: has_residual.then_some(residual),
            dresidual: has_residual.then_some(dresidual),
            moments,
        }
    }

    /// The place of an argument, by its name in errors.
    ///
    /// # Panics
    /// For one that this case does not have.
    pub fn place(&mut self, name: &str) -> &mut Place {
        match name {
            "x" => &mut self.x,
            "y" => &mut self.y,
            "dy" => &mut self.dy,
            "dx" => &mut self.dx,
            "affine" => self.affine.as_mut().unwrap(),
            "running" => self.running.as_mut().unwrap(),
            "saved" => &mut self.saved,
            "grads" => &mut self.grads,
            "workspace" => &mut self.workspace,
            _ => panic!("no argument is named {name}"),
        }
    }

    fn affine(&self) -> Option<BufferSlice<'_>> {
        self.affine.as_ref().map(Place::slice)
    }

    fn residual(&self) -> Option<BufferSlice<'_>> {
        self.residual.as_ref().map(Place::slice)
    }

    pub fn train(&self) -> TrainBuffers<'_> {
        TrainBuffers::new(self.x.slice(), self.saved.slice(), self.workspace.slice())
            .with_y(self.y.slice())
            .with_residual(self.residual())
            .with_affine(self.affine())
            .with_running(self.running.as_ref().map(Place::slice))
    }

    /// # Panics
    /// Without running statistics.
    pub fn inference(&self) -> InferenceBuffers<'_> {
        InferenceBuffers::new(self.x.slice(), self.running.as_ref().unwrap().slice())
            .with_y(self.y.slice())
            .with_residual(self.residual())
            .with_affine(self.affine())
    }

    pub fn backward(&self) -> BackwardBuffers<'_> {
        self.backward_by(StatisticsRows::Saved(self.saved.slice()))
    }

    /// # Panics
    /// Without running statistics.
    pub fn backward_frozen(&self) -> BackwardBuffers<'_> {
        let running = self.running.as_ref().unwrap();
        self.backward_by(StatisticsRows::Running(running.slice()))
    }

    fn backward_by<'a>(&'a self, statistics: StatisticsRows<'a>) -> BackwardBuffers<'a> {
        let (x, dy) = (self.x.slice(), self.dy.slice());
        BackwardBuffers::new(x, dy, statistics, self.workspace.slice())
            .with_dx(self.dx.slice())
            .with_residual(self.residual())
            .with_dresidual(self.dresidual.as_ref().map(Place::slice))
            .with_affine(self.affine())
            .with_grads(self.grads.slice())
    }
}

/// No result, and another one at every place.
fn sentinel(at: usize) -> f32 {
    f32::from_bits(0x4f00_0000 | at as u32)
}

/// In the order of the fields.
fn contents(plan: &Plan, case: &Case) -> [Vec<f32>; 13] {
    let c = case.view.channels();
    let nan = |len: usize| vec![POISON; len];
    let element = case.config.element;
    let tensor = |values: &[f32]| words(element, values);
    let no_tensor = || tensor(&nan(case.x.len()));
    let row = |values: &Option<Vec<f32>>| values.clone().unwrap_or_else(|| nan(c));
    [
        tensor(&case.x),
        no_tensor(),
        tensor(&case.dy),
        no_tensor(),
        [row(&case.weight), row(&case.bias)].concat(),
        case.running.as_ref().map_or(nan(3 * c), running_rows),
        nan(5 * c),
        nan(2 * c),
        nan(plan.workspace_bytes() as usize / 4),
        case.residual.as_deref().map_or(vec![f32::NAN], tensor),
        case.residual
            .as_ref()
            .map_or(vec![f32::NAN], |_| no_tensor()),
        nan(3 * c),
        nan(3 * c),
    ]
}

/// The values as they are stored, two halves a word.
fn words(element: Element, values: &[f32]) -> Vec<f32> {
    let narrow = |v: f32| match element {
        Element::F16 => f16::from_f32(v).to_bits(),
        Element::Bf16 => bf16::from_f32(v).to_bits(),
        other => unreachable!("{other:?} is not stored as halves"),
    };
    if element == Element::F32 {
        return values.to_vec();
    }
    let pairs = values.chunks(2).map(|pair| {
        let high = pair.get(1).map_or(0, |&v| narrow(v));
        f32::from_bits(u32::from(high) << 16 | u32::from(narrow(pair[0])))
    });
    pairs.collect()
}

/// Submits one pass.
pub fn submit(gpu: &Gpu, record: impl FnOnce(&mut ComputePass<'_>)) {
    let mut encoder = gpu.device().create_command_encoder(&Default::default());
    record(&mut encoder.begin_compute_pass(&Default::default()));
    gpu.queue().submit([encoder.finish()]);
}

/// Runs these bindings in one pass.
pub fn run(gpu: &Gpu, bindings: &[&Binding]) {
    testkit::dawn::run(gpu, bindings);
}
