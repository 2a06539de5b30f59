//! How many dispatches the recording layer records.

use wgpu_batchnorm::{
    Activation, Affine, Config, Element, Gpu, MomentsBuffers, MomentsRows, Momentum, Plan, SumsRows,
};

use crate::buffers::Buffers;
use testkit::case::Case;
use testkit::data::Kind;
use testkit::gpu::{gpu, narrow};

/// Both patterns, channels that are split among workgroups and tiny ones, all options.
pub fn cases() -> Vec<Case> {
    let base = Config::pytorch();
    let last = base.with_axis(-1);
    [
        (&[2, 3, 101, 53][..], base),
        (&[202, 53, 3], last),
        (&[2, 9, 2], base.with_affine(Affine::None)),
        (&[3, 70], last.with_affine(Affine::Bias)),
        (&[5, 4, 7, 7], base.without_running()),
        (&[61, 5], last.with_momentum(Momentum::Cumulative)),
        (&[4, 64, 6, 6], base),
        (&[40, 64], base),
    ]
    .into_iter()
    .map(|(shape, config)| Case::new(shape, config, Kind::ALL[0], 3))
    .chain(fused())
    .collect()
}

/// Halves, activations and residuals; the first shares words between channels.
fn fused() -> [Case; 2] {
    let base = Config::pytorch();
    let halves = base.with_element(Element::F16);
    [
        (&[40, 6, 5, 3][..], halves.with_activation(Activation::Gelu)),
        (
            &[300, 64],
            base.with_activation(Activation::Relu).with_axis(-1),
        ),
    ]
    .map(|(shape, config)| Case::new(shape, config, Kind::ALL[0], 3).with_residual(8))
}

pub fn plan(gpu: &Gpu, case: &Case) -> Plan {
    gpu.context().plan(&case.config, &case.shape).unwrap()
}

#[test]
fn operations_record_what_the_design_allows() {
    let gpu = gpu();
    for case in cases() {
        let plan = plan(&gpu, &case);
        let b = Buffers::apart(&gpu, &plan, &case);
        let folds = usize::from(plan.schedule().folds);
        let resident = |grid: Option<_>| if grid.is_some() { 1 } else { 2 + folds };
        // Maps of halves by words are dispatches of their own.
        let flat = usize::from(!plan.schedule().flat.is_empty());
        let train = resident(plan.schedule().resident_train);
        assert_eq!(plan.bind_train(&b.train()).unwrap().dispatch_count(), train);
        for dx in [Some(b.dx.slice()), None] {
            for grads in [Some(b.grads.slice()), None] {
                if dx.is_none() && grads.is_none() && b.dresidual.is_none() {
                    continue;
                }
                let backward = b.backward().with_dx(dx).with_grads(grads);
                let binding = plan.bind_backward(&backward).unwrap();
                let maps = flat * usize::from(dx.is_some() || b.dresidual.is_some());
                let expected = match dx {
                    Some(_) => resident(plan.schedule().resident_backward),
                    None => 2 + maps,
                };
                assert_eq!(binding.dispatch_count(), expected);
                if case.running.is_none() {
                    continue;
                }
                let frozen = b.backward_frozen().with_dx(dx).with_grads(grads);
                let binding = plan.bind_backward(&frozen).unwrap();
                assert_eq!(binding.dispatch_count(), 2 + maps);
            }
        }
        if case.running.is_some() {
            let binding = plan.bind_inference(&b.inference()).unwrap();
            assert_eq!(binding.dispatch_count(), 1);
        }
    }
}

#[test]
fn parts_of_a_batch_record_what_the_design_allows() {
    for gpu in [gpu(), narrow(1 << 14)] {
        for case in cases() {
            let plan = plan(&gpu, &case);
            let b = Buffers::apart(&gpu, &plan, &case);
            let pieces = plan.schedule().pieces.len();
            let count = 2.0 * plan.view().count() as f64;
            let [into, other] = b
                .moments
                .each_ref()
                .map(|moments| MomentsRows::new(moments.slice(), count / 2.0));
            let moments = plan.bind_moments(&MomentsBuffers::new(
                b.x.slice(),
                b.moments[0].slice(),
                b.workspace.slice(),
            ));
            let backward = b
                .backward()
                .with_dresidual(None)
                .with_grads(None)
                .with_sums(SumsRows::new(b.grads.slice(), count));
            let sums = b.backward().with_dx(None);
            // Maps of halves by words take what others merged, and leave dresidual to be written by themselves.
            let flat = usize::from(!plan.schedule().flat.is_empty());
            let maps = match b.dresidual {
                Some(_) => flat * pieces,
                None => 0,
            };
            for (binding, expected) in [
                (moments, pieces + 1),
                (plan.bind_merge_moments(&into, &other), 1),
                (
                    plan.bind_train(&b.train().with_moments(into)),
                    pieces + flat,
                ),
                (plan.bind_backward(&sums), pieces + 1 + maps),
                (plan.bind_backward(&backward), pieces + flat),
            ] {
                let got = binding.unwrap().dispatch_count();
                assert_eq!(got, expected, "{}", case.name);
            }
        }
    }
}
