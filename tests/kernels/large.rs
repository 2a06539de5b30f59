//! Tensors larger than one binding at their real size: 300 MB through bindings of 128 MiB, against
//! the reference.
//!
//! `pieces` has the same in small, for every kind of data and every cut of the work; here are
//! offsets, lengths and counts as they occur. A case takes 3 GB, so one runs at a time.

use std::sync::{Mutex, PoisonError};

use wgpu_batchnorm::check::{self, POISON, Report, TrainResult};
use wgpu_batchnorm::{Config, HostGradients, RunningStatistics, View};

use crate::buffers::{Buffers, run};
use testkit::case::Case;
use testkit::data::{Kind, Random};
use testkit::gpu::{narrow, rows, running_of, saved_of};

const BINDING: u64 = 128 << 20;
const LEAST: u64 = 300_000_000;

/// Held by the case that runs.
static MEMORY: Mutex<()> = Mutex::new(());

/// Normals with that mean and standard deviation 1. They repeat, which is quicker to make, after
/// a prime number of elements, which no offset or stride is a multiple of.
fn case(shape: &[usize], config: Config, mean: f64) -> Case {
    let view = View::new(shape, config.axis).unwrap();
    let mut random = Random::new(5);
    let mut repeated = |period, mean| {
        let normals = random.normals(period, mean, 1.0);
        let mut tensor = normals.repeat(view.len().div_ceil(period));
        tensor.truncate(view.len());
        tensor
    };
    let (x, dy) = (repeated(1_000_003, mean), repeated(999_983, 0.1));
    let kind = Kind::Normal { mean, std: 1.0 };
    let per_channel = Case::new(&[1, view.channels()], config.with_axis(1), kind, 6);
    Case {
        shape: shape.to_vec(),
        view,
        config,
        x,
        dy,
        ..per_channel
    }
}

/// The channels that are compared with the reference, each of them whole.
struct Selection {
    view: View,
    channels: Vec<usize>,
}

impl Selection {
    /// A view of those channels alone.
    fn view(&self) -> View {
        let (outer, inner) = (self.view.outer(), self.view.inner());
        View::from_lengths(outer, self.channels.len(), inner).unwrap()
    }

    fn row<T: Copy>(&self, row: &[T]) -> Vec<T> {
        self.channels.iter().map(|&c| row[c]).collect()
    }

    fn running(&self, running: &RunningStatistics) -> RunningStatistics {
        RunningStatistics::from_parts(
            self.row(&running.mean),
            self.row(&running.variance),
            self.row(&running.batches),
        )
        .unwrap()
    }

    /// Of any tensor, all values are numbers: what nothing wrote is NaN.
    fn tensor(&self, values: Vec<f32>) -> Vec<f32> {
        let lost = values.iter().position(|v| !v.is_finite());
        assert_eq!(lost, None, "unwritten");
        if self.channels.len() == self.view.channels() {
            return values;
        }
        let runs = values.chunks_exact(self.view.inner());
        let slabs = runs.collect::<Vec<_>>();
        let slabs = slabs.chunks_exact(self.view.channels());
        let selected = slabs.flat_map(|slab| self.channels.iter().map(|&c| slab[c]));
        selected.flatten().copied().collect()
    }

    fn case(&self, case: Case) -> Case {
        Case {
            view: self.view(),
            x: self.tensor(case.x),
            dy: self.tensor(case.dy),
            weight: case.weight.map(|row| self.row(&row)),
            bias: case.bias.map(|row| self.row(&row)),
            running: case.running.map(|running| self.running(&running)),
            ..case
        }
    }

    fn rows(&self, values: &[f32], count: usize) -> Vec<f32> {
        let rows = values.chunks_exact(values.len() / count);
        rows.flat_map(|row| self.row(row)).collect()
    }
}

/// Inference, training and backward through the batch, in so many pieces; `channels` are compared.
fn assert_right(case: impl FnOnce() -> Case, pieces: usize, channels: &[usize]) {
    let _alone = MEMORY.lock().unwrap_or_else(PoisonError::into_inner);
    let (gpu, case) = (narrow(BINDING), case());
    let plan = gpu.context().plan(&case.config, &case.shape).unwrap();
    assert!(plan.tensor_bytes() >= LEAST);
    assert_eq!(plan.schedule().pieces.len(), pieces);

    let mut b = Buffers::apart(&gpu, &plan, &case);
    // One tensor for every output, or two more copies of it would not fit.
    b.dx = b.y.clone();
    let poison = || b.y.write(&vec![POISON; plan.view().len()]);
    let selection = Selection {
        view: case.view,
        channels: channels.to_vec(),
    };
    let case = selection.case(case);
    let (input, before) = (case.input(), case.running.as_ref().unwrap());

    run(&gpu, &[&plan.bind_inference(&b.inference()).unwrap()]);
    let y = selection.tensor(b.y.read());
    enforce(&check::inference(&input, &before.mean, &before.variance, &y).unwrap());
    drop(y);

    poison();
    run(&gpu, &[&plan.bind_train(&b.train()).unwrap()]);
    let after = running_of(&b.running.as_ref().unwrap().read());
    let after = selection.running(&after);
    let y = selection.tensor(b.y.read());
    let saved = saved_of(&selection.rows(&b.saved.read(), 5));
    let train = TrainResult::new(&y, &saved)
        .with_running(case.config.running.map(|running| (before, &after, running)));
    enforce(&check::train_forward(&input, &train).unwrap());
    drop(y);

    poison();
    run(&gpu, &[&plan.bind_backward(&b.backward()).unwrap()]);
    let grads = selection.rows(&b.grads.read(), 2);
    let [dweight, dbias] = rows(&grads);
    let gradients = HostGradients::new(selection.tensor(b.dx.read()), dweight, dbias);
    enforce(&check::backward(&input, &case.dy, &gradients, None).unwrap());
}

fn enforce(report: &Report) {
    assert!(report.passed(), "{:?}", report.worst());
}

/// Cut along the outer axis.
#[test]
fn images() {
    let case = || case(&[100, 12, 256, 256], Config::pytorch(), 0.3);
    assert_right(case, 3, &Vec::from_iter(0..12));
}

/// Cut between channels; runs are no multiple of four, so loads are single.
#[test]
fn one_image_larger_than_a_binding() {
    let case = || case(&[2, 12, 1811, 1811], Config::pytorch(), 0.3);
    assert_right(case, 4, &Vec::from_iter(0..12));
}

/// Cut inside a run.
#[test]
fn a_plane_larger_than_a_binding() {
    let case = || case(&[1, 2, 39_321_603], Config::pytorch(), 1e4);
    assert_right(case, 4, &[0, 1]);
}

/// The reference walks interleaved channels slowly: some of them, at every place in a load.
#[test]
fn interleaved_images() {
    let config = Config::pytorch().with_axis(-1);
    let case = || case(&[25, 224, 224, 64], config, 1e4);
    assert_right(case, 3, &[0, 5, 18, 31, 44, 63]);
}
