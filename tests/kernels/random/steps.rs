//! Training forward, inference, backward and frozen backward, on the device and on the CPU path.

use proptest::prelude::*;
use proptest::sample::{Index, select};
use wgpu_batchnorm::internals::plan::Tuning;
use wgpu_batchnorm::{
    Activation, Affine, Config, Element, Momentum, NonFinite, RunningUpdate, RunningVariance, View,
};

use super::data::{Data, data};
use super::{elements, eps, run, shapes};
use testkit::case::Case;
use testkit::data::{Kind, Random};
use testkit::gpu::{GpuEngine, gpu, narrow};
use testkit::outcome::{Cpu, Engine, Outcome, judge};

/// A case in few words.
#[derive(Clone, Debug)]
struct Draw {
    shape: Vec<usize>,
    config: Config,
    residual: bool,
    data: Data,
    spoilt: Option<Spoilt>,
    /// Which way to cut the work.
    cut: Index,
    seed: u64,
}

/// One element that is not finite.
#[derive(Clone, Debug)]
struct Spoilt {
    tensor: Tensor,
    element: Index,
    value: f32,
}

#[derive(Clone, Copy, Debug)]
enum Tensor {
    X,
    Dy,
    Residual,
}

/// How tensors are stored and what comes after the normalization: a closed list, since each takes
/// pipelines of its own.
fn styles() -> impl Strategy<Value = (Element, Activation, bool)> {
    let plain = elements().prop_map(|element| (element, Activation::None, false));
    let fused = select(vec![
        (Element::F32, Activation::None, true),
        (Element::F32, Activation::Relu, true),
        (Element::F32, Activation::LeakyRelu(0.1), false),
        (Element::F32, Activation::Gelu, false),
        (Element::F16, Activation::Silu, true),
        (Element::F16, Activation::Tanh, false),
        (Element::Bf16, Activation::Sigmoid, false),
        (Element::Bf16, Activation::None, true),
    ]);
    prop_oneof![1 => plain, 1 => fused]
}

fn running() -> impl Strategy<Value = Option<RunningUpdate>> {
    let momentum = prop_oneof![
        2 => (0.0..=1.0f32).prop_map(Momentum::new),
        1 => select(vec![0.0, 1.0]).prop_map(Momentum::new),
        1 => Just(Momentum::Cumulative),
    ];
    let variance = select(vec![RunningVariance::Unbiased, RunningVariance::Biased]);
    let non_finite = select(vec![NonFinite::Skip, NonFinite::Propagate]);
    let running = (momentum, variance, non_finite).prop_map(|(momentum, variance, non_finite)| {
        RunningUpdate::new(momentum, variance, non_finite)
    });
    prop_oneof![1 => Just(None), 4 => running.prop_map(Some)]
}

fn spoilt() -> impl Strategy<Value = Option<Spoilt>> {
    let tensor = select(vec![Tensor::X, Tensor::Dy, Tensor::Residual]);
    let value = select(vec![f32::NAN, f32::INFINITY, f32::NEG_INFINITY]);
    let spoilt = (tensor, any::<Index>(), value).prop_map(|(tensor, element, value)| Spoilt {
        tensor,
        element,
        value,
    });
    prop_oneof![4 => Just(None), 1 => spoilt.prop_map(Some)]
}

fn draws() -> impl Strategy<Value = Draw> {
    let axis = any::<Index>();
    let affine = select(vec![
        Affine::Both,
        Affine::Weight,
        Affine::Bias,
        Affine::None,
    ]);
    let config = (axis, eps(), affine, running(), styles());
    (
        shapes(),
        config,
        data(),
        spoilt(),
        any::<Index>(),
        any::<u64>(),
    )
        .prop_map(
            |(shape, (axis, eps, affine, running, style), data, spoilt, cut, seed)| {
                let rank = shape.len();
                let (element, activation, residual) = style;
                let mut config = Config::pytorch()
                    .with_axis(axis.index(2 * rank) as isize - rank as isize)
                    .with_eps(eps)
                    .with_affine(affine)
                    .with_element(element)
                    .with_activation(activation);
                config.running = running;
                if View::new(&shape, config.axis).unwrap().count() == 1 {
                    // One value per channel: only this can be trained.
                    config.running = Config::keras().running;
                }
                // What is certain of subnormal data is that it stays finite.
                let subnormal = matches!(data, Data::Subnormal);
                Draw {
                    shape,
                    config,
                    residual,
                    data,
                    spoilt: spoilt.filter(|_| !subnormal),
                    cut,
                    seed,
                }
            },
        )
}

impl Draw {
    fn case(&self) -> Case {
        let mut case = Case::new(&self.shape, self.config, Kind::Constant, self.seed);
        if self.residual {
            case = case.with_residual(self.seed ^ 1);
        }
        let (view, element) = (case.view, self.config.element);
        let random = &mut Random::new(self.seed ^ 2);
        for c in 0..view.channels() {
            let values = self.data.channel(random, element, c, view.count());
            let indices = view.runs(c).flatten();
            indices.zip(&values).for_each(|(i, &v)| case.x[i] = v);
            if let Some(running) = &mut case.running {
                // Near the batch, so that inference normalizes to ordinary numbers.
                running.mean[c] = values[0];
            }
        }
        if let Some(spoilt) = &self.spoilt {
            let tensor = match (spoilt.tensor, &mut case.residual) {
                (Tensor::X, _) => &mut case.x,
                (Tensor::Residual, Some(residual)) => residual,
                _ => &mut case.dy,
            };
            tensor[spoilt.element.index(view.len())] = spoilt.value;
        }
        case
    }
}

/// The case as the CPU path can do it: in f32, with nothing after the normalization.
fn plain(case: &Case) -> Case {
    let mut case = case.clone();
    case.config.element = Element::F32;
    case.config.activation = Activation::None;
    case.residual = None;
    case
}

/// `None` where the results pass, else why not.
fn failure(draw: &Draw, case: &Case, outcome: &Outcome) -> Option<String> {
    // f16 has them as zeros.
    let subnormal = matches!(draw.data, Data::Subnormal);
    if subnormal && case.config.element != Element::F16 {
        let finite = |bits: &u32| f32::from_bits(*bits).is_finite();
        let mut tensors = outcome.bits().into_iter();
        let bad = tensors.find(|(_, values)| !values.iter().all(finite));
        return bad.map(|(name, _)| format!("{name} is not finite"));
    }
    let report = judge(case, outcome);
    (!report.passed()).then(|| report.worst().unwrap().to_string())
}

#[test]
fn random_steps() {
    let gpu = gpu();
    let mut cuts = GpuEngine::all(&gpu);
    let narrow = narrow(1 << 15);
    let pieces = GpuEngine::new(&narrow, "in pieces", Tuning::CPU_ADAPTER);
    cuts.push(pieces);
    let regressions = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/kernels/random/regressions/steps.txt"
    );
    run(regressions, draws(), |draw| {
        let case = draw.case();
        let device = &cuts[draw.cut.index(cuts.len())];
        let on_device = failure(&draw, &case, &device.run(&case));
        prop_assert_eq!(on_device, None, "{}", device.name());
        let case = plain(&case);
        let on_cpu = failure(&draw, &case, &Cpu.run(&case));
        prop_assert_eq!(on_cpu, None, "cpu");
        Ok(())
    });
}
