//! What is bound read-only and what writable, and what stands in for buffers that are not given.

use wgpu_batchnorm::internals::plan::Tuning;
use wgpu_batchnorm::internals::{Dispatch, Resource};
use wgpu_batchnorm::wgpu::{Buffer, BufferUsages};
use wgpu_batchnorm::{Binding, Config, Context, Gpu, MomentsBuffers, Plan, WarmUp};

use crate::buffers::{Buffers, Place, run};
use testkit::case::Case;
use testkit::data::Kind;
use testkit::gpu::{context, gpu};

/// A channel that is split, with a residual, on a GPU's tuning.
fn split() -> Case {
    Case::new(&[2, 3, 101, 53], Config::pytorch(), Kind::ALL[0], 3).with_residual(4)
}

/// One whose channels one dispatch holds.
fn resident() -> Case {
    Case::new(&[4, 64, 6, 6], Config::pytorch(), Kind::ALL[0], 5)
}

fn plan(context: &Context, case: &Case) -> Plan {
    context.plan(&case.config, &case.shape).unwrap()
}

fn all(plan: &Plan, b: &Buffers) -> Vec<Binding> {
    let moments = MomentsBuffers::new(b.x.slice(), b.moments[0].slice(), b.workspace.slice());
    vec![
        plan.bind_moments(&moments).unwrap(),
        plan.bind_train(&b.train()).unwrap(),
        plan.bind_backward(&b.backward()).unwrap(),
        plan.bind_inference(&b.inference()).unwrap(),
        plan.bind_backward(&b.backward_frozen().with_grads(None))
            .unwrap(),
    ]
}

/// Of the dispatches that walk the tensor, those that bind what they only read so, and the others.
fn counted(bindings: &[Binding]) -> [usize; 2] {
    let dispatches = bindings.iter().flat_map(|binding| binding.dispatches());
    let walks = |d: &&Dispatch| d.variant.source().contains("fn walk(");
    let (reading, writable): (Vec<_>, Vec<_>) = dispatches
        .filter(walks)
        .partition(|dispatch| dispatch.variant.read_only);
    [reading.len(), writable.len()]
}

#[test]
fn what_is_only_read_is_bound_so_where_no_buffer_is_shared() {
    let gpu = gpu();
    for case in [split(), resident()] {
        let results = [Tuning::DISCRETE, Tuning::CPU_ADAPTER].map(|tuning| {
            let plan = plan(&context(&gpu, tuning), &case);
            let apart = Buffers::apart(&gpu, &plan, &case);
            let (pooled, _) = Buffers::pooled(&gpu, &plan, &case);
            let [of_apart, of_pooled] = [&apart, &pooled].map(|b| {
                let bindings = all(&plan, b);
                run(&gpu, &bindings.iter().collect::<Vec<_>>());
                counted(&bindings)
            });
            let whole = of_apart[0] + of_apart[1];
            assert_eq!(of_pooled, [0, whole]);
            assert_eq!(of_apart[usize::from(tuning.read_only)], 0);
            let bits = |b: &Buffers| [&b.y, &b.dx, &b.saved, &b.grads].map(Place::bits);
            assert!(bits(&apart) == bits(&pooled), "{}", case.name);
            whole
        });
        assert!(results.iter().all(|&walking| walking >= 4));
    }
}

/// Inputs may share a buffer, y may go over x, and a slice that is written makes the whole buffer writable.
#[test]
fn one_written_slice_decides() {
    let gpu = gpu();
    let case = split();
    let plan = plan(&context(&gpu, Tuning::DISCRETE), &case);
    let b = Buffers::apart(&gpu, &plan, &case);
    let over_x = plan.bind_train(&b.train().with_y(None)).unwrap();
    assert_eq!(counted(&[over_x])[1], 0);
    let len = b.x.len.next_multiple_of(64);
    let pair = Place::new(&gpu, &vec![1.0; 2 * len]);
    let [first, second] = [0, len].map(|at| Place {
        at,
        len: b.x.len,
        ..pair.clone()
    });
    let inputs = Buffers {
        x: first.clone(),
        residual: Some(second.clone()),
        ..b.clone()
    };
    let inference = plan.bind_inference(&inputs.inference()).unwrap();
    assert_eq!(counted(&[inference]), [1, 0]);
    let output = Buffers {
        x: first,
        y: second,
        ..b
    };
    let inference = plan.bind_inference(&output.inference()).unwrap();
    assert_eq!(counted(&[inference]), [0, 1]);
}

/// wgpu lets a dispatch wait for the one before that bound the same buffer as writable.
#[test]
fn what_stands_in_for_a_buffer_is_the_bindings_own() {
    let gpu = gpu();
    let config = Config::pytorch().without_running();
    for tuning in [Tuning::DISCRETE, Tuning::CPU_ADAPTER] {
        let case = Case::new(&[2, 3, 101, 53], config, Kind::ALL[0], 6);
        let plan = plan(&context(&gpu, tuning), &case);
        let b = Buffers::apart(&gpu, &plan, &case);
        let train = || plan.bind_train(&b.train().with_y(None)).unwrap();
        let [first, second] = [(); 2].map(|()| stand_ins(&train()));
        assert!(!first.is_empty() && first.iter().all(|buffer| !second.contains(buffer)));
    }
}

/// Buffers of the library's own that a binding has as storage; none is bound twice where it is writable.
fn stand_ins(binding: &Binding) -> Vec<Buffer> {
    let mut found = Vec::new();
    for dispatch in binding.dispatches() {
        let mut ranges = Vec::new();
        for (number, bound) in &dispatch.bound {
            let Resource::Buffer(buffer, offset, _) = bound else {
                continue;
            };
            // Nobody can write into them.
            if *number == 0 || buffer.usage().contains(BufferUsages::COPY_DST) {
                continue;
            }
            let range = (buffer.clone(), *offset);
            let only_read = buffer.usage().contains(BufferUsages::UNIFORM);
            assert!(only_read || !ranges.contains(&range));
            ranges.push(range);
            found.push(buffer.clone());
        }
    }
    found
}

#[test]
fn warm_up_knows_no_buffers() {
    let gpu: Gpu = gpu();
    // Nothing is compiled in this one yet.
    let context = Context::with_tuning(gpu.device(), Tuning::DISCRETE).unwrap();
    let case = Case::new(&[2, 3, 40, 9], Config::pytorch(), Kind::ALL[0], 7);
    let plan = plan(&context, &case);
    let warm = [WarmUp::train().with_y(), WarmUp::backward().with_dx()];
    context.warm_up(&plan, &warm).unwrap();
    let compiled = context.compiled().len();
    let (pooled, _) = Buffers::pooled(&gpu, &plan, &case);
    for b in [Buffers::apart(&gpu, &plan, &case), pooled] {
        plan.bind_train(&b.train()).unwrap();
        plan.bind_backward(&b.backward()).unwrap();
    }
    assert_eq!(context.compiled().len(), compiled);
}
