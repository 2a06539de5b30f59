//! Images: textures and buffers that do not fit together.

use testkit::gpu::limited;
use wgpu_batchnorm::error::BindError;
use wgpu_batchnorm::wgpu::{self, BufferUsages, Limits, TextureFormat, TextureUsages};
use wgpu_batchnorm::{
    Config, Gpu, ImageInferenceBuffers, ImagePlan, ImageRender, ImageRenderInputs,
    ImageStatisticsBuffers, ImageTexture, ImageTrainBuffers, ImageWarmUp, StatisticsRows,
};

const SIZE: [u32; 2] = [6, 4];
const FORMAT: TextureFormat = TextureFormat::Rgba8Unorm;

/// A device whose handler panics on whatever a call does not catch, wgpu's default.
fn strict() -> Gpu {
    limited(|_| Limits::default())
}

/// Textures that were made for no other format than their own, and buffers of every length.
struct Arguments {
    x: wgpu::Texture,
    y: wgpu::Texture,
    affine: wgpu::Buffer,
    running: wgpu::Buffer,
    saved: wgpu::Buffer,
    workspace: wgpu::Buffer,
}

impl Arguments {
    fn new(gpu: &Gpu) -> Self {
        let image = || {
            gpu.device().create_texture(&wgpu::TextureDescriptor {
                label: None,
                size: wgpu::Extent3d {
                    width: SIZE[0],
                    height: SIZE[1],
                    depth_or_array_layers: 1,
                },
                mip_level_count: 1,
                sample_count: 1,
                dimension: wgpu::TextureDimension::D2,
                format: FORMAT,
                usage: TextureUsages::TEXTURE_BINDING | TextureUsages::STORAGE_BINDING,
                view_formats: &[],
            })
        };
        let buffer = || {
            gpu.device().create_buffer(&wgpu::BufferDescriptor {
                label: None,
                size: 1 << 16,
                usage: BufferUsages::STORAGE,
                mapped_at_creation: false,
            })
        };
        Self {
            x: image(),
            y: image(),
            affine: buffer(),
            running: buffer(),
            saved: buffer(),
            workspace: buffer(),
        }
    }

    fn destroy(&self) {
        for image in [&self.x, &self.y] {
            image.destroy();
        }
        for buffer in [&self.affine, &self.running, &self.saved, &self.workspace] {
            buffer.destroy();
        }
    }

    /// These, but for the one of this name.
    fn but(&self, other: &Self, name: &str) -> Self {
        let buffer = |own: &wgpu::Buffer, others: &wgpu::Buffer, called| match name == called {
            true => others.clone(),
            false => own.clone(),
        };
        let image = |own: &wgpu::Texture, others: &wgpu::Texture, called| match name == called {
            true => others.clone(),
            false => own.clone(),
        };
        Self {
            x: image(&self.x, &other.x, "x"),
            y: image(&self.y, &other.y, "y"),
            affine: buffer(&self.affine, &other.affine, "affine"),
            running: buffer(&self.running, &other.running, "running"),
            saved: buffer(&self.saved, &other.saved, "saved"),
            workspace: buffer(&self.workspace, &other.workspace, "workspace"),
        }
    }
}

/// What every operation that takes `x`, seen so, says.
fn all(
    plan: &ImagePlan,
    render: &ImageRender,
    b: &Arguments,
    format: TextureFormat,
) -> Vec<(Vec<&'static str>, Result<(), BindError>)> {
    let x = ImageTexture::new(&b.x).with_format(format);
    let [affine, running, saved, workspace] =
        [&b.affine, &b.running, &b.saved, &b.workspace].map(|buffer| buffer.slice(..));
    let train = ImageTrainBuffers::new(x, &b.y, saved, workspace)
        .with_affine(affine)
        .with_running(running);
    let inference = ImageInferenceBuffers::new(x, &b.y, running).with_affine(affine);
    let statistics = ImageStatisticsBuffers::new(x, saved, workspace).with_running(running);
    let by_saved = ImageRenderInputs::new(x, StatisticsRows::Saved(saved)).with_affine(affine);
    let by_running =
        ImageRenderInputs::new(x, StatisticsRows::Running(running)).with_affine(affine);
    vec![
        (
            vec!["x", "y", "affine", "running", "saved", "workspace"],
            plan.bind_train(&train).map(drop),
        ),
        (
            vec!["x", "y", "affine", "running"],
            plan.bind_inference(&inference).map(drop),
        ),
        (
            vec!["x", "running", "saved", "workspace"],
            plan.bind_statistics(&statistics).map(drop),
        ),
        (
            vec!["x", "affine", "saved"],
            render.bind(&by_saved).map(drop),
        ),
        (
            vec!["x", "affine", "running"],
            render.bind(&by_running).map(drop),
        ),
    ]
}

fn setup(gpu: &Gpu) -> (ImagePlan, ImageRender) {
    let config = Config::pytorch();
    let plan = gpu.context().plan_image(&config, SIZE[0], SIZE[1]).unwrap();
    let render = gpu.context().image_render(&config, FORMAT).unwrap();
    (plan, render)
}

fn assert_unusable(refused: Result<(), BindError>, name: &str) {
    match refused {
        Err(BindError::Unusable { name: told, reason }) => assert_eq!(told, name, "{reason}"),
        other => panic!("{name}: {other:?}"),
    }
}

/// An image of another device, seen as an sRGB twin that it was not made for: the view that we make would be
/// refused by that other device, in a handler that is not ours.
#[test]
fn foreign_twin() {
    let [here, there] = [(); 2].map(|()| strict());
    let (plan, render) = setup(&here);
    let good = Arguments::new(&here);
    let foreign = Arguments::new(&there);
    for format in [TextureFormat::Rgba8UnormSrgb, FORMAT] {
        for (_, refused) in all(&plan, &render, &good.but(&foreign, "x"), format) {
            assert_unusable(refused, "x");
        }
    }
    // One that is no more, too.
    foreign.destroy();
    let twin = TextureFormat::Rgba8UnormSrgb;
    for (_, refused) in all(&plan, &render, &good.but(&foreign, "x"), twin) {
        assert_unusable(refused, "x");
    }
    // Of this device, the twin alone is at fault.
    for (_, refused) in all(&plan, &render, &good, TextureFormat::Rgba8UnormSrgb) {
        assert_unusable(refused, "x");
    }
    for (_, bound) in all(&plan, &render, &good, FORMAT) {
        bound.unwrap();
    }
}

/// Whatever is of another device or was destroyed is refused by its name.
#[test]
fn unnamed_buffer() {
    let [here, there] = [(); 2].map(|()| strict());
    let (plan, render) = setup(&here);
    let good = Arguments::new(&here);
    let foreign = Arguments::new(&there);
    let destroyed = Arguments::new(&here);
    destroyed.destroy();
    for bad in [&foreign, &destroyed] {
        for name in ["x", "y", "affine", "running", "saved", "workspace"] {
            let b = good.but(bad, name);
            for (names, bound) in all(&plan, &render, &b, FORMAT) {
                match names.contains(&name) {
                    true => assert_unusable(bound, name),
                    false => bound.unwrap(),
                }
            }
        }
    }
}

/// What was compiled ahead is not compiled in the frame.
#[test]
fn first_frame() {
    let gpu = strict();
    let (plan, render) = setup(&gpu);
    let context = gpu.context();
    let count = || context.compiled().len();
    assert_eq!(count(), 0);
    let operations = [
        ImageWarmUp::train(FORMAT),
        ImageWarmUp::inference(FORMAT),
        ImageWarmUp::statistics(),
    ];
    context.warm_up_image(&plan, &operations).unwrap();
    let compiled = count();
    assert!(compiled >= 4, "only {compiled} pipelines");
    let b = Arguments::new(&gpu);
    for (_, bound) in all(&plan, &render, &b, FORMAT) {
        bound.unwrap();
    }
    assert_eq!(count(), compiled);

    let wrong = [ImageWarmUp::train(TextureFormat::Bgra8Unorm)];
    let refused = context.warm_up_image(&plan, &wrong);
    assert!(matches!(
        refused,
        Err(BindError::TextureFormat { texture: "y", .. })
    ));
    let other = wgpu_batchnorm::Context::new(gpu.device()).unwrap();
    let refused = other.warm_up_image(&plan, &operations);
    assert_eq!(refused, Err(BindError::OtherContext));
}
