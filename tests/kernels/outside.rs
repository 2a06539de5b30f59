//! Nobody reads or writes behind what a dispatch binds. A device drops or moves such an access, each in its own way,
//! so that its results may be right; here the bindings go on, and what lies behind is seen.

use wgpu_batchnorm::internals::Resource;
use wgpu_batchnorm::internals::plan::Tuning;
use wgpu_batchnorm::wgpu::{BindGroupDescriptor, BindGroupEntry};
use wgpu_batchnorm::{Binding, Config, Element, Gpu, MomentsBuffers};

use crate::buffers::{Buffers, Place, submit};
use testkit::case::Case;
use testkit::data::Kind;
use testkit::gpu::{context, gpu};

/// Runs the dispatches with each buffer bound to its end.
fn run_to_the_end(gpu: &Gpu, bindings: &[Binding]) {
    let dispatches = bindings.iter().flat_map(|binding| binding.dispatches());
    let wider = dispatches.map(|dispatch| {
        let entries = dispatch.bound.iter().map(|(number, resource)| {
            let resource = match resource {
                // The uniforms of all dispatches lie in one buffer.
                Resource::Buffer(buffer, offset, _) if *number != 0 => {
                    Resource::Buffer(buffer.clone(), *offset, buffer.size() - offset)
                }
                other => other.clone(),
            };
            (*number, resource)
        });
        let entries = entries.collect::<Vec<_>>();
        let entries = entries.iter().map(|(number, resource)| BindGroupEntry {
            binding: *number,
            resource: resource.resource(),
        });
        let group = gpu.device().create_bind_group(&BindGroupDescriptor {
            label: None,
            layout: &dispatch.pipeline.get_bind_group_layout(0),
            entries: &entries.collect::<Vec<_>>(),
        });
        (&dispatch.pipeline, group, dispatch.grid)
    });
    let wider = wider.collect::<Vec<_>>();
    submit(gpu, |pass| {
        for (pipeline, group, [x, y]) in &wider {
            pass.set_pipeline(pipeline);
            pass.set_bind_group(0, group, &[]);
            pass.dispatch_workgroups(*x, *y, 1);
        }
    });
}

#[test]
fn nothing_behind_a_binding_is_read_or_written() {
    let gpu = gpu();
    let halves = [
        // Rows of two images, of which the last has one.
        (&[5, 3, 7, 5][..], 1, Element::F16),
        (&[33, 13, 5, 1], -1, Element::Bf16),
        (&[257, 3], -1, Element::F16),
        // Runs so long that lanes walk along them.
        (&[3, 2, 1101], 1, Element::Bf16),
        (&[3, 8, 64], 1, Element::F16),
    ];
    let singles = [
        (&[2, 3, 101, 53][..], 1, Element::F32),
        (&[4, 64, 6, 6], 1, Element::F32),
        (&[46, 29, 4], -1, Element::F32),
        (&[301, 7], -1, Element::F32),
    ];
    for (shape, axis, element) in halves.into_iter().chain(singles) {
        let config = Config::pytorch().with_axis(axis).with_element(element);
        let case = Case::new(shape, config, Kind::ALL[0], 5).with_residual(6);
        for tuning in [Tuning::DISCRETE, Tuning::CPU_ADAPTER] {
            let plan = context(&gpu, tuning).plan(&config, shape).unwrap();
            let [exact, wide] = [false, true].map(|wide| {
                let b = Buffers::followed(&gpu, &plan, &case);
                let moments =
                    MomentsBuffers::new(b.x.slice(), b.moments[0].slice(), b.workspace.slice());
                let bindings = [
                    plan.bind_moments(&moments).unwrap(),
                    plan.bind_train(&b.train()).unwrap(),
                    plan.bind_backward(&b.backward()).unwrap(),
                    plan.bind_inference(&b.inference()).unwrap(),
                    plan.bind_backward(&b.backward_frozen()).unwrap(),
                ];
                match wide {
                    true => run_to_the_end(&gpu, &bindings),
                    false => crate::buffers::run(&gpu, &bindings.iter().collect::<Vec<_>>()),
                }
                b
            });
            for (k, (exact, wide)) in exact.all().zip(wide.all()).enumerate() {
                assert!(wide.kept_behind(), "{}, buffer {k}, behind", case.name);
                assert!(exact.kept_behind(), "{}, buffer {k}", case.name);
            }
            let results = |b: &Buffers| {
                let written = [&b.y, &b.dx, &b.saved, &b.grads, &b.moments[0]];
                written
                    .into_iter()
                    .chain(&b.dresidual)
                    .map(Place::bits)
                    .collect::<Vec<_>>()
            };
            assert!(results(&exact) == results(&wide), "{}", case.name);
        }
    }
}
