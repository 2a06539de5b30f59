//! What the recording layer records: how many dispatches, into pooled buffers too, and any number
//! of bindings in a pass.

use wgpu_batchnorm::{Affine, Config, Gpu, Momentum, Plan};

use crate::buffers::{Buffers, run};
use crate::common::case::Case;
use crate::common::data::Kind;
use crate::common::gpu::gpu;

/// Both patterns, channels that are split among workgroups and tiny ones, all options.
fn cases() -> Vec<Case> {
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

fn plan(gpu: &Gpu, case: &Case) -> Plan {
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

/// Inference, backward through those statistics, training and backward through the batch's, in
/// one pass; results of the first two into buffers of their own. All bits that were written.
fn everything(gpu: &Gpu, plan: &Plan, first: &Buffers, second: &Buffers) -> Vec<Vec<u32>> {
    let mut bindings = Vec::new();
    if second.running.is_some() {
        bindings.push(plan.bind_inference(&first.inference()).unwrap());
        bindings.push(plan.bind_backward_frozen(&first.backward_frozen()).unwrap());
    }
    bindings.push(plan.bind_train(&second.train()).unwrap());
    bindings.push(plan.bind_backward(&second.backward()).unwrap());
    run(gpu, &bindings.iter().collect::<Vec<_>>());
    let places = [first, second].map(|b| [&b.y, &b.dx, &b.grads, &b.saved]);
    let running = second.running.as_ref();
    let places = places.as_flattened().iter().copied().chain(running);
    places.map(|place| place.bits()).collect()
}

#[test]
fn one_pooled_buffer_gives_the_bits_of_separate_ones() {
    let gpu = gpu();
    for case in cases() {
        let plan = plan(&gpu, &case);
        let apart = || Buffers::apart(&gpu, &plan, &case);
        let pooled = || Buffers::pooled(&gpu, &plan, &case);
        let separate = everything(&gpu, &plan, &apart(), &apart());
        let pool = pooled();
        let together = everything(&gpu, &plan, &pooled(), &pool);
        assert!(separate == together, "{}", case.name);
        // Nothing was written between the tensors.
        let whole = pool.x.tensor.read_blocking().unwrap();
        let mut outside = vec![true; whole.len()];
        let optional = [&pool.affine, &pool.running].into_iter().flatten();
        let tensors = [&pool.x, &pool.y, &pool.dy, &pool.dx];
        let rest = [&pool.saved, &pool.grads, &pool.workspace];
        for place in tensors.into_iter().chain(rest).chain(optional) {
            outside[place.at..place.at + place.len].fill(false);
        }
        let gaps = whole.iter().zip(outside).filter(|&(_, outside)| outside);
        assert!(gaps.map(|(v, _)| v).all(|v| v.is_nan()), "{}", case.name);
    }
}

#[test]
fn two_bindings_of_one_plan_share_a_pass_and_a_workspace() {
    let gpu = gpu();
    for case in cases() {
        let plan = plan(&gpu, &case);
        let other = Case {
            x: case.x.iter().rev().map(|x| x * 2.0).collect(),
            ..case.clone()
        };
        let alone = [&case, &other].map(|case| {
            let b = Buffers::apart(&gpu, &plan, case);
            run(&gpu, &[&plan.bind_train(&b.train()).unwrap()]);
            (b.y.bits(), b.saved.bits())
        });
        let a = Buffers::apart(&gpu, &plan, &case);
        let mut b = Buffers::apart(&gpu, &plan, &other);
        b.workspace = a.workspace.clone();
        let (first, second) = (plan.bind_train(&a.train()), plan.bind_train(&b.train()));
        run(&gpu, &[&first.unwrap(), &second.unwrap()]);
        let together = [a, b].map(|b| (b.y.bits(), b.saved.bits()));
        assert!(alone == together, "{}", case.name);
    }
}

#[test]
fn a_binding_encoded_twice_steps_twice() {
    let gpu = gpu();
    for case in cases() {
        let plan = plan(&gpu, &case);
        let results = [true, false].map(|one_pass| {
            let b = Buffers::apart(&gpu, &plan, &case);
            let binding = plan.bind_train(&b.train()).unwrap();
            if one_pass {
                run(&gpu, &[&binding, &binding]);
            } else {
                run(&gpu, &[&binding]);
                run(&gpu, &[&binding]);
            }
            (b.y.bits(), b.running.map(|running| running.bits()))
        });
        let [once, twice] = &results;
        assert!(once == twice, "{}", case.name);
        if let (_, Some(running)) = once {
            let c = case.view.channels;
            let before = &case.running.as_ref().unwrap().batches;
            let moved = running[2 * c..].iter().zip(before);
            assert!(
                moved
                    .into_iter()
                    .all(|(&after, &before)| after == before + 2)
            );
        }
    }
}
