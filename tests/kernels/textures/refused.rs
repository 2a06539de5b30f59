//! Bad input to images: each mistake has its error, before anything is recorded, and the next good
//! call works.

use wgpu_batchnorm::error::{BindError, ConfigError, PlanError};
use wgpu_batchnorm::wgpu::TextureFormat::{
    self, Bgra8Unorm, Depth32Float, R8Unorm, Rgb9e5Ufloat, Rgba8Uint, Rgba8Unorm, Rgba8UnormSrgb,
    Rgba16Float,
};
use wgpu_batchnorm::wgpu::{self, BufferUsages, Extent3d, TextureDimension, TextureUsages};
use wgpu_batchnorm::{
    Affine, Config, Gpu, ImageRenderInputs, ImageTexture, ImageTrainBuffers, StatisticsRows,
};

use super::setup::{Setup, raw_buffer};
use crate::buffers::{Place, run};
use testkit::gpu::{gpu, limited};
use testkit::texels::{ALL_USAGES, texture, textures};

const SIZE: [u32; 2] = [12, 10];

fn setup(config: &Config) -> Setup {
    let gpu = gpu();
    let context = (&gpu, gpu.context());
    Setup::new(context, config, SIZE, [Rgba8Unorm, Rgba16Float])
}

/// Asserts that nothing was written, and that training works after all.
fn assert_good_call_works(s: &Setup) {
    assert!(s.saved.read().iter().all(|v| v.is_nan()));
    assert!(s.workspace.read().iter().all(|v| v.is_nan()));
    run(&s.gpu, &[&s.plan.bind_train(&s.train()).unwrap()]);
    s.assert_trained("after a refusal");
    s.assert_y(s.y.format(), &s.y(), false, "after a refusal");
}

fn render(s: &Setup) -> ImageRenderInputs<'_> {
    render_of(s, s.x(), StatisticsRows::Saved(s.saved.slice()))
}

fn render_of<'a>(
    s: &'a Setup,
    x: ImageTexture<'a>,
    statistics: StatisticsRows<'a>,
) -> ImageRenderInputs<'a> {
    ImageRenderInputs::new(x, statistics).with_affine(s.affine.as_ref().map(Place::slice))
}

/// What every operation that reads says of this x.
fn of_x(s: &Setup, x: ImageTexture<'_>) -> Vec<BindError> {
    let y = ImageTexture::new(&s.y);
    let train = s.plan.bind_train(&s.train_between(x, y));
    let inference = s.plan.bind_inference(&s.inference_between(x, y));
    let statistics = s.plan.bind_statistics(&s.statistics_of(x));
    [train, inference, statistics]
        .map(|bound| bound.unwrap_err())
        .into()
}

/// The same, where a draw refuses it as well: it knows no size.
fn of_any_x(s: &Setup, x: ImageTexture<'_>) -> Vec<BindError> {
    let pipeline = s.gpu.context().image_render(&s.case.config, Rgba8UnormSrgb);
    let draw = render_of(s, x, StatisticsRows::Saved(s.saved.slice()));
    let draw = pipeline.unwrap().bind(&draw);
    let mut all = of_x(s, x);
    all.push(draw.unwrap_err());
    all
}

/// What every operation that writes says of this y.
fn of_y(s: &Setup, y: ImageTexture<'_>) -> Vec<BindError> {
    let train = s.plan.bind_train(&s.train_between(s.x(), y));
    let inference = s.plan.bind_inference(&s.inference_between(s.x(), y));
    [train, inference].map(|bound| bound.unwrap_err()).into()
}

fn assert_all(got: Vec<BindError>, expected: BindError) {
    for got in got {
        assert_eq!(got, expected, "{got}");
    }
}

fn writable(gpu: &Gpu, size: [u32; 2], format: TextureFormat) -> wgpu::Texture {
    texture(
        gpu,
        size,
        format,
        ALL_USAGES | TextureUsages::STORAGE_BINDING,
    )
}

#[test]
fn textures_without_their_usage() {
    let s = setup(&Config::pytorch());
    let usage = TextureUsages::COPY_DST | TextureUsages::STORAGE_BINDING;
    let x = texture(&s.gpu, SIZE, Rgba8Unorm, usage);
    let expected = |texture, expected| BindError::TextureUsage { texture, expected };
    assert_all(of_any_x(&s, (&x).into()), expected("x", "TEXTURE_BINDING"));
    let y = texture(&s.gpu, SIZE, Rgba16Float, ALL_USAGES);
    assert_all(of_y(&s, (&y).into()), expected("y", "STORAGE_BINDING"));
    assert_good_call_works(&s);
}

#[test]
fn what_wgpu_refuses_is_an_error_on_a_callers_device_too() {
    // Whose own handler, wgpu's default, would panic.
    let device = || limited(|_| wgpu::Limits::default());
    let gpu = device();
    let context = (&gpu, gpu.context());
    let config = Config::pytorch();
    let s = Setup::new(context, &config, SIZE, [Rgba8Unorm, Rgba16Float]);
    let extent = Extent3d {
        width: SIZE[0],
        height: SIZE[1],
        depth_or_array_layers: 1,
    };
    let x = gpu.device().create_texture(&wgpu::TextureDescriptor {
        label: None,
        size: extent,
        mip_level_count: 1,
        sample_count: 1,
        dimension: TextureDimension::D2,
        format: Rgba8Unorm,
        usage: ALL_USAGES,
        view_formats: &[],
    });
    let refused = |errors: Vec<BindError>| {
        let all = errors
            .iter()
            .all(|e| matches!(e, BindError::Unusable { name: "x", .. }));
        assert!(all, "{errors:?}");
    };
    // A view in a format that the texture was not made for.
    let twin = ImageTexture::new(&x).with_format(Rgba8UnormSrgb);
    refused(of_any_x(&s, twin));
    // A texture of another device.
    let other = device();
    let foreign = texture(&other, SIZE, Rgba8Unorm, ALL_USAGES);
    refused(of_any_x(&s, (&foreign).into()));
    assert_good_call_works(&s);
}

#[test]
fn images_of_another_size() {
    let s = setup(&Config::pytorch());
    for got in [[12, 9], [11, 10], [10, 12], [24, 20]] {
        let error = |texture| BindError::TextureSize {
            texture,
            got,
            expected: SIZE,
        };
        assert_all(
            of_x(&s, (&writable(&s.gpu, got, Rgba8Unorm)).into()),
            error("x"),
        );
        assert_all(
            of_y(&s, (&writable(&s.gpu, got, Rgba8Unorm)).into()),
            error("y"),
        );
    }
    // The level counts, not the texture.
    let levels = textures(&s.gpu, [12, 10, 1], 2, Rgba8Unorm, ALL_USAGES);
    let error = BindError::TextureSize {
        texture: "x",
        got: [6, 5],
        expected: SIZE,
    };
    assert_all(
        of_x(&s, ImageTexture::new(&levels).with_mip_level(1)),
        error,
    );
    assert_good_call_works(&s);
}

#[test]
fn formats_that_do_not_fit() {
    let s = setup(&Config::pytorch());
    let refused = |errors: Vec<BindError>, name: &str, format: TextureFormat| {
        for error in errors {
            let BindError::TextureFormat {
                texture,
                got,
                expected,
            } = error
            else {
                panic!("{error}");
            };
            assert_eq!((texture, got), (name, format!("{format:?}")));
            assert!(expected.contains("Rgba8Unorm"), "{expected}");
        }
    };
    for format in [R8Unorm, Rgba8Uint] {
        let x = texture(&s.gpu, SIZE, format, ALL_USAGES);
        refused(of_any_x(&s, (&x).into()), "x", format);
    }
    for format in [Bgra8Unorm, R8Unorm] {
        let y = texture(&s.gpu, SIZE, format, ALL_USAGES);
        refused(of_y(&s, (&y).into()), "y", format);
    }
    // sRGB frames are no storage textures, and a view has its texture's bits.
    let y = writable(&s.gpu, SIZE, Rgba8Unorm);
    let y = ImageTexture::new(&y);
    refused(of_y(&s, y.with_format(Rgba8UnormSrgb)), "y", Rgba8UnormSrgb);
    refused(of_y(&s, y.with_format(Rgba16Float)), "y", Rgba16Float);
    refused(
        of_any_x(&s, s.x().with_format(Rgba16Float)),
        "x",
        Rgba16Float,
    );
    assert_good_call_works(&s);
}

#[test]
fn textures_that_are_not_flat() {
    let s = setup(&Config::pytorch());
    for (dimension, height) in [(TextureDimension::D3, 10), (TextureDimension::D1, 1)] {
        let flat = s.gpu.device().create_texture(&wgpu::TextureDescriptor {
            label: None,
            size: Extent3d {
                width: 12,
                height,
                depth_or_array_layers: 1,
            },
            mip_level_count: 1,
            sample_count: 1,
            dimension,
            format: Rgba8Unorm,
            usage: ALL_USAGES | TextureUsages::STORAGE_BINDING,
            view_formats: &[],
        });
        let expected = |texture| BindError::TextureDimension { texture };
        assert_all(of_any_x(&s, (&flat).into()), expected("x"));
        assert_all(of_y(&s, (&flat).into()), expected("y"));
    }
    assert_good_call_works(&s);
}

#[test]
fn multisampled_textures() {
    let s = setup(&Config::pytorch());
    let many = s.gpu.device().create_texture(&wgpu::TextureDescriptor {
        label: None,
        size: s.x.size(),
        mip_level_count: 1,
        sample_count: 4,
        dimension: TextureDimension::D2,
        format: Rgba8Unorm,
        usage: TextureUsages::TEXTURE_BINDING | TextureUsages::RENDER_ATTACHMENT,
        view_formats: &[],
    });
    let expected = |texture| BindError::Multisampled {
        texture,
        samples: 4,
    };
    assert_all(of_any_x(&s, (&many).into()), expected("x"));
    assert_all(of_y(&s, (&many).into()), expected("y"));
    assert_good_call_works(&s);
}

#[test]
fn levels_and_layers_that_do_not_exist() {
    let s = setup(&Config::pytorch());
    let y = ImageTexture::new(&s.y);
    for (what, got) in [
        ("mip level", 1),
        ("array layer", 1),
        ("mip level", u32::MAX),
    ] {
        let expected = |texture| BindError::Subresource {
            texture,
            what,
            got,
            len: 1,
        };
        let (level, layer) = match what {
            "mip level" => (got, 0),
            _ => (0, got),
        };
        let x = s.x().with_mip_level(level).with_array_layer(layer);
        assert_all(of_any_x(&s, x), expected("x"));
        let y = y.with_mip_level(level).with_array_layer(layer);
        assert_all(of_y(&s, y), expected("y"));
    }
    assert_good_call_works(&s);
}

#[test]
fn one_image_for_both() {
    let s = setup(&Config::pytorch());
    let both = s.gpu.device().create_texture(&wgpu::TextureDescriptor {
        label: None,
        size: s.y.size(),
        mip_level_count: 1,
        sample_count: 1,
        dimension: TextureDimension::D2,
        format: Rgba8Unorm,
        usage: ALL_USAGES | TextureUsages::STORAGE_BINDING,
        view_formats: &[Rgba8UnormSrgb],
    });
    let image = ImageTexture::new(&both);
    let expected = BindError::ReadAndWritten {
        texture: "y",
        other: "x",
    };
    // By an sRGB view, too.
    for x in [image, image.with_format(Rgba8UnormSrgb)] {
        let train = s.train_between(x, image);
        let inference = s.inference_between(x, image);
        assert_eq!(s.plan.bind_train(&train).err(), Some(expected.clone()));
        assert_eq!(
            s.plan.bind_inference(&inference).err(),
            Some(expected.clone())
        );
    }
    assert_good_call_works(&s);
}

#[test]
fn buffers_that_do_not_fit() {
    let s = setup(&Config::pytorch());
    let error = |b: ImageTrainBuffers<'_>| s.plan.bind_train(&b).unwrap_err();
    let short = raw_buffer(&s.gpu, 16, BufferUsages::STORAGE);
    let size = |buffer, expected| BindError::Size {
        buffer,
        got: 16,
        expected,
    };
    let slice = short.slice(..);
    let (saved, workspace) = (s.saved.slice(), s.workspace.slice());
    assert_eq!(error(s.train_into(slice, workspace)), size("saved", 80));
    let b = s.train().with_affine(slice);
    assert_eq!(error(b), size("affine", 32));
    let b = s.train().with_running(slice);
    assert_eq!(error(b), size("running", 48));
    let tiny = raw_buffer(&s.gpu, 4, BufferUsages::STORAGE);
    let expected = s.plan.workspace_bytes();
    assert_eq!(
        error(s.train_into(saved, tiny.slice(..))),
        BindError::Size {
            buffer: "workspace",
            got: 4,
            expected
        }
    );
    let useless = raw_buffer(&s.gpu, 4096, BufferUsages::COPY_DST);
    let b = s.train_into(useless.slice(..), workspace);
    assert_eq!(
        error(b),
        BindError::Usage {
            buffer: "saved",
            expected: "STORAGE"
        }
    );
    assert!(matches!(
        error(s.train_into(workspace, workspace)),
        BindError::Overlap { .. } | BindError::Size { .. }
    ));

    let pipeline = s
        .gpu
        .context()
        .image_render(&s.case.config, Rgba8Unorm)
        .unwrap();
    let of_draw = |statistics| {
        let inputs = render_of(&s, s.x(), statistics);
        pipeline.bind(&inputs).unwrap_err()
    };
    assert_eq!(of_draw(StatisticsRows::Saved(slice)), size("saved", 80));
    assert_eq!(of_draw(StatisticsRows::Running(slice)), size("running", 48));
    let unusable = StatisticsRows::Saved(useless.slice(..));
    assert_eq!(
        of_draw(unusable),
        BindError::Usage {
            buffer: "saved",
            expected: "STORAGE"
        }
    );
    assert_good_call_works(&s);
}

#[test]
fn missing_and_unexpected_buffers() {
    let s = setup(&Config::pytorch());
    let missing = |buffer| Some(BindError::Missing { buffer });
    let unexpected = |buffer| Some(BindError::Unexpected { buffer });
    let train = s.train().with_affine(None);
    assert_eq!(s.plan.bind_train(&train).err(), missing("affine"));
    let inference = s.inference().with_affine(None);
    assert_eq!(s.plan.bind_inference(&inference).err(), missing("affine"));
    let statistics = s.statistics().with_running(None);
    assert_eq!(
        s.plan.bind_statistics(&statistics).err(),
        missing("running")
    );
    let pipeline = s
        .gpu
        .context()
        .image_render(&s.case.config, Rgba8Unorm)
        .unwrap();
    let draw = render(&s).with_affine(None);
    assert_eq!(pipeline.bind(&draw).err(), missing("affine"));

    let bare = Config::pytorch()
        .without_running()
        .with_affine(Affine::None);
    let plan = s.gpu.context().plan_image(&bare, SIZE[0], SIZE[1]).unwrap();
    let train = s.train().with_affine(None);
    assert_eq!(plan.bind_train(&train).err(), unexpected("running"));
    let train = s.train().with_running(None);
    assert_eq!(plan.bind_train(&train).err(), unexpected("affine"));
    let none_kept = Some(BindError::Config(ConfigError::NoRunningStatistics));
    assert_eq!(plan.bind_inference(&s.inference()).err(), none_kept);
    let pipeline = s.gpu.context().image_render(&bare, Rgba8Unorm).unwrap();
    let running = StatisticsRows::Running(s.running.as_ref().unwrap().slice());
    let draw = ImageRenderInputs::new(s.x(), running);
    assert_eq!(pipeline.bind(&draw).err(), none_kept);
    assert_eq!(pipeline.bind(&render(&s)).err(), unexpected("affine"));
    assert_good_call_works(&s);
}

#[test]
fn options_that_do_not_allow_training() {
    let s = setup(&Config::pytorch().with_eps(0.0));
    let expected = Some(BindError::Config(ConfigError::TrainingEps { got: 0.0 }));
    assert_eq!(s.plan.bind_train(&s.train()).err(), expected);
    assert_eq!(s.plan.bind_statistics(&s.statistics()).err(), expected);
    assert!(s.plan.bind_inference(&s.inference()).is_ok());

    let gpu = gpu();
    let context = (&gpu, gpu.context());
    let one = Setup::new(
        context,
        &Config::pytorch(),
        [1, 1],
        [Rgba8Unorm, Rgba8Unorm],
    );
    let refused = [
        one.plan.bind_train(&one.train()).err(),
        one.plan.bind_statistics(&one.statistics()).err(),
    ];
    for refused in refused {
        // One pixel of four channels.
        let expected = ConfigError::OneValuePerChannel {
            outer: 1,
            channels: 4,
            inner: 1,
        };
        assert_eq!(refused, Some(BindError::Config(expected)));
    }
}

#[test]
fn sizes_and_options_that_cannot_be_planned() {
    let gpu = gpu();
    let max = gpu.device().limits().max_texture_dimension_2d.min(1 << 15);
    let plan = |width, height| gpu.context().plan_image(&Config::pytorch(), width, height);
    for (width, height) in [
        (0, 5),
        (5, 0),
        (max + 1, 1),
        (1, max + 1),
        (u32::MAX, u32::MAX),
    ] {
        let expected = PlanError::ImageSize { width, height, max };
        assert_eq!(plan(width, height).err(), Some(expected));
    }
    let largest = plan(max, max).unwrap();
    assert_eq!(largest.size(), [max, max]);
    assert_eq!(largest.view().count(), max as usize * max as usize);
    let bad = gpu
        .context()
        .plan_image(&Config::pytorch().with_eps(-1.0), 5, 5);
    assert_eq!(bad.err(), Some(ConfigError::Eps { got: -1.0 }.into()));
}

#[test]
fn targets_that_take_no_colors() {
    let gpu = gpu();
    let make = |format| gpu.context().image_render(&Config::pytorch(), format);
    for format in [
        Rgba8Uint,
        Depth32Float,
        Rgb9e5Ufloat,
        TextureFormat::Bc1RgbaUnorm,
    ] {
        let expected = PlanError::TargetFormat {
            got: format!("{format:?}"),
        };
        assert_eq!(make(format).err(), Some(expected));
    }
    let bad = gpu
        .context()
        .image_render(&Config::pytorch().with_eps(-1.0), Rgba8Unorm);
    assert_eq!(bad.err(), Some(ConfigError::Eps { got: -1.0 }.into()));
}
