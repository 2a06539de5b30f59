//! How many dispatches the recording layer records.

use wgpu_batchnorm::{Affine, Config, Gpu, Momentum, Plan};

use crate::buffers::Buffers;
use crate::common::case::Case;
use crate::common::data::Kind;
use crate::common::gpu::gpu;

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
    .collect()
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
        let resident = |grid: Option<_>| if grid.is_some() { 1 } else { 2 };
        let train = resident(plan.schedule().resident_train);
        assert_eq!(plan.bind_train(&b.train()).unwrap().dispatch_count(), train);
        for dx in [Some(b.dx.slice()), None] {
            for grads in [Some(b.grads.slice()), None] {
                let mut backward = b.backward();
                (backward.dx, backward.grads) = (dx, grads);
                let binding = plan.bind_backward(&backward).unwrap();
                let expected = match dx {
                    Some(_) => resident(plan.schedule().resident_backward),
                    None => 2,
                };
                assert_eq!(binding.dispatch_count(), expected);
                if case.running.is_none() {
                    continue;
                }
                let mut frozen = b.backward_frozen();
                (frozen.dx, frozen.grads) = (dx, grads);
                let binding = plan.bind_backward_frozen(&frozen).unwrap();
                assert_eq!(binding.dispatch_count(), 2);
            }
        }
        if case.running.is_some() {
            let binding = plan.bind_inference(&b.inference()).unwrap();
            assert_eq!(binding.dispatch_count(), 1);
        }
    }
}
