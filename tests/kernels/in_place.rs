//! y over x, and halves that share a word with somebody else's.

use wgpu_batchnorm::check::{self, Report, TrainResult};
use wgpu_batchnorm::internals::plan::Tuning;
use wgpu_batchnorm::{
    Activation, BackwardBuffers, Config, Element, Gpu, InferenceBuffers, StatisticsRows, Tensor,
    TrainBuffers,
};

use super::buffers::run;
use testkit::case::Case;
use testkit::data::Kind;
use testkit::gpu::{context, gpu, poisoned, poisoned_as, running_of, running_rows, saved_of};

/// Everything that one forward pass and one backward pass touch.
struct Bound {
    x: Tensor,
    y: Tensor,
    dy: Tensor,
    dx: Tensor,
    residual: Tensor,
    dresidual: Tensor,
    affine: Tensor,
    running: Tensor,
    saved: Tensor,
    workspace: Tensor,
}

impl Bound {
    fn new(gpu: &Gpu, case: &Case, workspace: u64) -> Self {
        let (c, element) = (case.view.channels(), case.config.element);
        let upload = |values: &[f32]| Tensor::upload_as(gpu, &case.shape, element, values).unwrap();
        let output = || poisoned_as(gpu, &case.shape, element);
        let rows = [&case.weight, &case.bias].map(|row| row.clone().unwrap());
        let running = running_rows(case.running.as_ref().unwrap());
        Self {
            x: upload(&case.x),
            y: output(),
            dy: upload(&case.dy),
            dx: output(),
            residual: upload(case.residual.as_deref().unwrap()),
            dresidual: output(),
            affine: Tensor::upload(gpu, &[2, c], &rows.concat()).unwrap(),
            running: Tensor::upload(gpu, &[3, c], &running).unwrap(),
            saved: poisoned(gpu, &[5, c]),
            workspace: poisoned(gpu, &[workspace as usize / 4]),
        }
    }

    fn train(&self, in_place: bool) -> TrainBuffers<'_> {
        TrainBuffers::new(self.x.slice(), self.saved.slice(), self.workspace.slice())
            .with_y((!in_place).then(|| self.y.slice()))
            .with_residual(self.residual.slice())
            .with_affine(self.affine.slice())
            .with_running(self.running.slice())
    }

    fn inference(&self, in_place: bool) -> InferenceBuffers<'_> {
        InferenceBuffers::new(self.x.slice(), self.running.slice())
            .with_y((!in_place).then(|| self.y.slice()))
            .with_residual(self.residual.slice())
            .with_affine(self.affine.slice())
    }

    fn backward(&self) -> BackwardBuffers<'_> {
        BackwardBuffers::new(
            self.x.slice(),
            self.dy.slice(),
            StatisticsRows::Saved(self.saved.slice()),
            self.workspace.slice(),
        )
        .with_dx(self.dx.slice())
        .with_residual(self.residual.slice())
        .with_dresidual(self.dresidual.slice())
        .with_affine(self.affine.slice())
    }
}

/// What training left, with y in this tensor.
fn trained(case: &Case, b: &Bound, y: &Tensor) -> Report {
    let read = |tensor: &Tensor| tensor.read_blocking().unwrap();
    let before = case.running.as_ref().unwrap();
    let after = running_of(&read(&b.running));
    let (y, saved) = (read(y), saved_of(&read(&b.saved)));
    let result =
        TrainResult::new(&y, &saved).with_running((before, &after, case.config.running.unwrap()));
    check::train_forward(&case.input(), &result).unwrap()
}

/// What inference made of x, in this tensor.
fn inferred(case: &Case, y: &Tensor) -> Report {
    let running = case.running.as_ref().unwrap();
    let y = y.read_blocking().unwrap();
    check::inference(&case.input(), &running.mean, &running.variance, &y).unwrap()
}

fn bits(tensor: &Tensor) -> Vec<u32> {
    let values = tensor.read_blocking().unwrap();
    values.into_iter().map(f32::to_bits).collect()
}

/// One value a load and four, in both patterns; odd lengths among them.
const SHAPES: [(&[usize], isize); 5] = [
    (&[3, 5, 7, 7], 1),
    (&[3, 6, 8, 18], 1),
    (&[67, 9], 1),
    (&[90, 64], 1),
    (&[1, 3, 4001], 1),
];

fn cases() -> impl Iterator<Item = Case> {
    let elements = [Element::F32, Element::F16, Element::Bf16].into_iter();
    elements.flat_map(|element| {
        SHAPES.map(|(shape, axis)| {
            let config = Config::pytorch().with_axis(axis).with_element(element);
            let config = config.with_activation(Activation::Relu);
            Case::new(shape, config, Kind::ALL[0], 71).with_residual(72)
        })
    })
}

/// The kernels of both are pipelines of their own, in which drivers may contract what is multiplied and
/// added differently: both are within the bounds, and each, run again, gives the same bits.
#[test]
fn y_over_x_is_as_good_as_y_beside_it() {
    let gpu = gpu();
    for tuning in [Tuning::CPU_ADAPTER, Tuning::DISCRETE] {
        let context = context(&gpu, tuning);
        for case in cases() {
            let plan = context.plan(&case.config, &case.shape).unwrap();
            let bound = || Bound::new(&gpu, &case, plan.workspace_bytes());
            let within = |report: Report| {
                assert!(report.passed(), "{}: {:?}", case.name, report.worst());
            };
            let [beside, over, again] = [bound(), bound(), bound()];
            let train = |b: &Bound, in_place| plan.bind_train(&b.train(in_place)).unwrap();
            let (a, b, c) = (
                train(&beside, false),
                train(&over, true),
                train(&again, true),
            );
            assert_eq!(a.dispatch_count(), b.dispatch_count(), "{}", case.name);
            run(&gpu, &[&a, &b, &c]);
            within(trained(&case, &beside, &beside.y));
            within(trained(&case, &over, &over.x));
            assert_eq!(bits(&beside.x), bits(&bound().x), "{}", case.name);
            let all = |b: &Bound| [&b.x, &b.saved, &b.running].map(bits);
            assert_eq!(all(&again), all(&over), "{}", case.name);

            let [beside, over, again] = [bound(), bound(), bound()];
            let infer = |b: &Bound, in_place| plan.bind_inference(&b.inference(in_place)).unwrap();
            run(
                &gpu,
                &[
                    &infer(&beside, false),
                    &infer(&over, true),
                    &infer(&again, true),
                ],
            );
            within(inferred(&case, &beside.y));
            within(inferred(&case, &over.x));
            assert_eq!(bits(&again.x), bits(&over.x), "{}", case.name);
        }
    }
}

#[test]
fn y_over_x_has_to_be_said() {
    let gpu = gpu();
    let case = cases().next().unwrap();
    let plan = gpu.context().plan(&case.config, &case.shape).unwrap();
    let bound = Bound::new(&gpu, &case, plan.workspace_bytes());
    let train = bound.train(false).with_y(bound.x.slice());
    let refused = plan.bind_train(&train).unwrap_err().to_string();
    assert!(refused.contains("overlap"), "{refused}");
}

#[test]
fn an_epilogue_costs_no_dispatch() {
    let gpu = gpu();
    for case in cases() {
        let context = gpu.context();
        let plan = context.plan(&case.config, &case.shape).unwrap();
        let plain = case.config.with_activation(Activation::None);
        let plain = context.plan(&plain, &case.shape).unwrap();
        let b = Bound::new(&gpu, &case, plan.workspace_bytes());
        let alone = b.train(false).with_residual(None);
        let count = plain.bind_train(&alone).unwrap().dispatch_count();
        assert_eq!(
            plan.bind_train(&b.train(false)).unwrap().dispatch_count(),
            count
        );
        assert_eq!(
            plan.bind_inference(&b.inference(false))
                .unwrap()
                .dispatch_count(),
            1
        );
        let alone = b.backward().with_residual(None).with_dresidual(None);
        let count = plain.bind_backward(&alone).unwrap().dispatch_count();
        assert_eq!(
            plan.bind_backward(&b.backward()).unwrap().dispatch_count(),
            count
        );
    }
}

#[test]
fn a_neighbours_half_of_a_word_stays() {
    let gpu = gpu();
    let odd = cases().filter(|case| case.view.len() % 2 == 1);
    let mut checked = 0;
    for case in odd.filter(|case| case.config.element != Element::F32) {
        let plan = gpu.context().plan(&case.config, &case.shape).unwrap();
        let b = Bound::new(&gpu, &case, plan.workspace_bytes());
        assert_eq!(plan.tensor_bytes(), case.view.len() as u64 * 2 + 2);
        let last = plan.tensor_bytes() - 4;
        // The high half of the last word is nobody's here.
        for tensor in [&b.y, &b.dx, &b.dresidual, &b.x] {
            let mut word = [0; 4];
            let values = tensor.read_blocking().unwrap();
            let half = match case.config.element {
                Element::F16 => half::f16::from_f32(*values.last().unwrap()).to_bits(),
                _ => half::bf16::from_f32(*values.last().unwrap()).to_bits(),
            };
            word[..2].copy_from_slice(&half.to_le_bytes());
            word[2..].copy_from_slice(&0xabcd_u16.to_le_bytes());
            gpu.queue().write_buffer(tensor.buffer(), last, &word);
        }
        let high = |tensor: &Tensor| {
            // As two channels of one more value, the neighbour's half included.
            let whole = Tensor::empty_as(&gpu, &[case.view.len() + 1], Element::Bf16).unwrap();
            let mut encoder = gpu.device().create_command_encoder(&Default::default());
            let (from, bytes) = (tensor.buffer(), tensor.buffer().size());
            encoder.copy_buffer_to_buffer(from, 0, whole.buffer(), 0, bytes);
            gpu.queue().submit([encoder.finish()]);
            whole.read_blocking().unwrap().last().unwrap().to_bits() >> 16
        };
        let train = plan.bind_train(&b.train(false)).unwrap();
        let backward = plan.bind_backward(&b.backward()).unwrap();
        let over = plan.bind_inference(&b.inference(true)).unwrap();
        run(&gpu, &[&train, &backward, &over]);
        for tensor in [&b.y, &b.dx, &b.dresidual, &b.x] {
            assert_eq!(high(tensor), 0xabcd, "{}", case.name);
            checked += 1;
        }
    }
    assert!(checked >= 16, "{checked}");
}

#[test]
fn a_buffer_that_ends_within_a_word_is_refused() {
    let gpu = gpu();
    let config = Config::pytorch().with_element(Element::F16);
    let case = Case::new(&[3, 5, 7, 7], config, Kind::ALL[0], 73).with_residual(74);
    let plan = gpu.context().plan(&config, &case.shape).unwrap();
    let b = Bound::new(&gpu, &case, plan.workspace_bytes());
    let exact = case.view.len() as u64 * 2;
    let train = b.train(false).with_y(b.y.buffer().slice(..exact));
    let refused = plan.bind_train(&train).unwrap_err().to_string();
    let expected = (exact + 2).to_string();
    assert!(
        refused.contains("y") && refused.contains(&expected),
        "{refused}"
    );
}
