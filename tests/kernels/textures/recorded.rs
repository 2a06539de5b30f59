//! What images record: how many dispatches, and nothing but these.

use wgpu_batchnorm::wgpu;
use wgpu_batchnorm::wgpu::TextureFormat::{Rgba8Unorm, Rgba8UnormSrgb, Rgba16Float};
use wgpu_batchnorm::wgpu::TextureUsages;
use wgpu_batchnorm::{
    Binding, Config, Context, ImageDraw, ImagePlan, ImageRender, ImageRenderInputs, Momentum,
    StatisticsRows,
};

use super::setup::Setup;
use crate::buffers::{Place, run};
use testkit::gpu::{counted, gpu, limited, running_of};
use testkit::texels::{ALL_USAGES, texture};

/// Recorded on any thread, from any thread.
const _: () = {
    const fn shared<T: Send + Sync>() {}
    shared::<ImagePlan>();
    shared::<ImageRender>();
    shared::<ImageDraw>();
};

fn bindings(s: &Setup) -> [Binding; 3] {
    [
        s.plan.bind_train(&s.train()).unwrap(),
        s.plan.bind_statistics(&s.statistics()).unwrap(),
        s.plan.bind_inference(&s.inference()).unwrap(),
    ]
}

#[test]
fn two_dispatches_train_and_one_infers() {
    let gpu = gpu();
    for size in [[2, 1], [7, 5], [257, 129]] {
        let context = (&gpu, gpu.context());
        let s = Setup::new(context, &Config::pytorch(), size, [Rgba8Unorm, Rgba16Float]);
        assert_eq!(bindings(&s).map(|b| b.dispatch_count()), [2, 2, 1]);
    }
}

#[test]
fn no_limit_on_buffers_cuts_an_image() {
    // The image takes 64 KiB, a binding holds 8.
    let gpu = limited(|offered| wgpu::Limits {
        max_storage_buffer_binding_size: 1 << 13,
        max_buffer_size: offered.max_buffer_size,
        ..wgpu::Limits::default()
    });
    let context = (&gpu, gpu.context());
    let s = Setup::new(
        context,
        &Config::pytorch(),
        [128, 64],
        [Rgba16Float, Rgba16Float],
    );
    let bound = bindings(&s);
    assert_eq!(bound.each_ref().map(Binding::dispatch_count), [2, 2, 1]);
    run(&gpu, &[&bound[0]]);
    s.assert_trained("a narrow device");
    s.assert_y(s.y.format(), &s.y(), false, "a narrow device");
}

#[test]
fn a_plan_says_what_it_chose() {
    let gpu = gpu();
    let plan = gpu
        .context()
        .plan_image(&Config::pytorch(), 257, 129)
        .unwrap();
    let text = plan.describe();
    let names: Vec<&str> = text
        .lines()
        .map(|line| line.split(' ').next().unwrap())
        .collect();
    let expected = [
        "image",
        "device",
        "splits",
        "train",
        "statistics",
        "inference",
        "render",
        "workspace",
    ];
    assert_eq!(names, expected, "{text}");
    assert!(text.contains("257x129"), "{text}");
}

#[test]
fn momentum_changes_after_binding() {
    let gpu = gpu();
    let context = (&gpu, gpu.context());
    let s = Setup::new(
        context,
        &Config::pytorch(),
        [7, 5],
        [Rgba8Unorm, Rgba8Unorm],
    );
    let [mut train, _, mut inference] = bindings(&s);
    train.set_momentum(Momentum::new(0.0)).unwrap();
    assert!(inference.set_momentum(Momentum::new(0.0)).is_err());
    run(&gpu, &[&train]);
    let (before, after) = (
        s.case.running.as_ref().unwrap(),
        s.running.as_ref().unwrap(),
    );
    assert_eq!(running_of(&after.read()).mean, before.mean);
}

#[test]
fn recording_makes_nothing() {
    let (instance, gpu) = counted();
    let counts = || {
        let hub = instance.generate_report().expect("a native backend").hub;
        let made = [
            hub.devices,
            hub.queues,
            hub.buffers,
            hub.textures,
            hub.texture_views,
            hub.samplers,
            hub.bind_groups,
            hub.bind_group_layouts,
            hub.pipeline_layouts,
            hub.shader_modules,
            hub.compute_pipelines,
            hub.render_pipelines,
            hub.command_encoders,
            hub.command_buffers,
        ];
        made.map(|objects| objects.num_kept_from_user)
    };
    let context = Context::new(gpu.device()).unwrap();
    let config = Config::pytorch();
    let s = Setup::new(
        (&gpu, &context),
        &config,
        [61, 23],
        [Rgba8UnormSrgb, Rgba16Float],
    );
    let usage = ALL_USAGES | TextureUsages::RENDER_ATTACHMENT;
    let target = texture(&gpu, [61, 23], Rgba8Unorm, usage);
    let view = target.create_view(&Default::default());
    let before = counts();
    let bindings = bindings(&s);
    let render = context.image_render(&config, Rgba8Unorm).unwrap();
    let inputs = ImageRenderInputs::new(s.x(), StatisticsRows::Saved(s.saved.slice()))
        .with_keep_alpha(true)
        .with_affine(s.affine.as_ref().map(Place::slice));
    let draw = render.bind(&inputs).unwrap();
    assert_ne!(counts(), before, "binding makes what is counted");

    let mut encoder = gpu.device().create_command_encoder(&Default::default());
    let bound = counts();
    let mut pass = encoder.begin_compute_pass(&Default::default());
    bindings
        .iter()
        .for_each(|binding| binding.encode(&mut pass));
    drop(pass);
    let mut pass = encoder.begin_render_pass(&wgpu::RenderPassDescriptor {
        color_attachments: &[Some(wgpu::RenderPassColorAttachment {
            view: &view,
            depth_slice: None,
            resolve_target: None,
            ops: Default::default(),
        })],
        ..Default::default()
    });
    draw.draw(&mut pass);
    drop(pass);
    assert_eq!(counts(), bound);
    // Nothing ran that was not submitted.
    drop(encoder);
    assert!(s.saved.read().iter().all(|v| v.is_nan()));
}
