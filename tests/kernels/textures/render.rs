//! Statistics in a compute pass, y through a render pass into the caller's target.

use wgpu_batchnorm::wgpu::TextureFormat::{
    self, Bgra8Unorm, Rgba8Unorm, Rgba8UnormSrgb, Rgba16Float, Rgba32Float,
};
use wgpu_batchnorm::wgpu::{self, TextureUsages};
use wgpu_batchnorm::{
    Activation, Binding, Config, ImageDraw, ImageRenderInputs, ImageTexture, StatisticsRows,
};

use super::setup::{Setup, pixels, read, submit};
use crate::buffers::{Place, run};
use testkit::gpu::gpu;
use testkit::texels::{ALL_USAGES, texture, values};

/// What a target is cleared to.
const CLEAR: wgpu::Color = wgpu::Color {
    r: 0.25,
    g: 0.5,
    b: 1.0,
    a: 0.0,
};

fn target(s: &Setup, size: [u32; 2], format: TextureFormat) -> wgpu::Texture {
    texture(
        &s.gpu,
        size,
        format,
        ALL_USAGES | TextureUsages::RENDER_ATTACHMENT,
    )
}

fn inputs<'a>(s: &'a Setup, statistics: StatisticsRows<'a>) -> ImageRenderInputs<'a> {
    ImageRenderInputs::new(s.x(), statistics).with_affine(s.affine.as_ref().map(Place::slice))
}

fn saved(s: &Setup) -> ImageRenderInputs<'_> {
    inputs(s, StatisticsRows::Saved(s.saved.slice()))
}

/// The target's values after the statistics and a draw, red first; sRGB ones as stored.
fn drawn(s: &Setup, draw: &ImageDraw, target: &wgpu::Texture, format: TextureFormat) -> Vec<f32> {
    let statistics = s.plan.bind_statistics(&s.statistics()).unwrap();
    drawn_after(s, &[&statistics], draw, target, format)
}

/// The same after other operations, in one submission.
fn drawn_after(
    s: &Setup,
    before: &[&Binding],
    draw: &ImageDraw,
    target: &wgpu::Texture,
    format: TextureFormat,
) -> Vec<f32> {
    let view = target.create_view(&wgpu::TextureViewDescriptor {
        format: Some(format),
        ..Default::default()
    });
    submit(&s.gpu, |encoder| {
        let mut pass = encoder.begin_compute_pass(&Default::default());
        before.iter().for_each(|binding| binding.encode(&mut pass));
        drop(pass);
        let mut pass = encoder.begin_render_pass(&wgpu::RenderPassDescriptor {
            color_attachments: &[Some(wgpu::RenderPassColorAttachment {
                view: &view,
                depth_slice: None,
                resolve_target: None,
                ops: wgpu::Operations {
                    load: wgpu::LoadOp::Clear(CLEAR),
                    store: wgpu::StoreOp::Store,
                },
            })],
            ..Default::default()
        });
        draw.draw(&mut pass);
    });
    values(
        format.remove_srgb_suffix(),
        &read(&s.gpu, ImageTexture::new(target)),
    )
}

fn setup(config: &Config, size: [u32; 2], x: TextureFormat) -> Setup {
    let gpu = gpu();
    let context = (&gpu, gpu.context());
    Setup::new(context, config, size, [x, Rgba8Unorm])
}

#[test]
fn every_target_gets_y() {
    for size in [[7, 5], [130, 57]] {
        for x in [Rgba8UnormSrgb, Rgba16Float] {
            for activation in [Activation::None, Activation::Silu] {
                let config = Config::pytorch().with_activation(activation);
                let s = setup(&config, size, x);
                for format in [
                    Rgba8Unorm,
                    Rgba8UnormSrgb,
                    Bgra8Unorm,
                    Rgba16Float,
                    Rgba32Float,
                ] {
                    let render = s.gpu.context().image_render(&config, format).unwrap();
                    let target = target(&s, size, format);
                    let draw = render.bind(&saved(&s)).unwrap();
                    s.assert_y(format, &drawn(&s, &draw, &target, format), false, "drawn");
                }
            }
        }
    }
}

#[test]
fn running_statistics_normalize_as_in_inference() {
    let config = Config::pytorch();
    let s = setup(&config, [61, 23], Rgba8Unorm);
    // A copy, which the statistics pass does not move.
    let running = Place::new(&s.gpu, &s.running.as_ref().unwrap().read());
    let inputs = inputs(&s, StatisticsRows::Running(running.slice()));
    for format in [Rgba8UnormSrgb, Rgba16Float] {
        let render = s.gpu.context().image_render(&config, format).unwrap();
        let target = target(&s, [61, 23], format);
        let draw = render.bind(&inputs).unwrap();
        s.assert_y(format, &drawn(&s, &draw, &target, format), true, "drawn");
    }
}

#[test]
fn alpha_is_kept_by_choice() {
    let config = Config::pytorch();
    let s = setup(&config, [61, 23], Rgba16Float);
    let render = s.gpu.context().image_render(&config, Rgba16Float).unwrap();
    let target = target(&s, [61, 23], Rgba16Float);
    let inputs = saved(&s);
    let without = drawn(&s, &render.bind(&inputs).unwrap(), &target, Rgba16Float);
    let inputs = inputs.with_keep_alpha(true);
    let with = drawn(&s, &render.bind(&inputs).unwrap(), &target, Rgba16Float);
    for ((with, without), x) in with
        .chunks(4)
        .zip(without.chunks(4))
        .zip(s.case.x.chunks(4))
    {
        assert_eq!(with[..3], without[..3]);
        assert_eq!(with[3].to_bits(), x[3].to_bits());
    }
    assert_ne!(with, without);
}

#[test]
fn a_larger_target_keeps_what_lies_beyond_the_image() {
    let config = Config::pytorch();
    let s = setup(&config, [7, 5], Rgba8Unorm);
    let render = s.gpu.context().image_render(&config, Rgba16Float).unwrap();
    let target = target(&s, [10, 8], Rgba16Float);
    let got = drawn(&s, &render.bind(&saved(&s)).unwrap(), &target, Rgba16Float);
    let (mut inside, mut beyond) = (Vec::new(), Vec::new());
    for (k, pixel) in got.chunks(4).enumerate() {
        let part = if k % 10 < 7 && k / 10 < 5 {
            &mut inside
        } else {
            &mut beyond
        };
        part.extend_from_slice(pixel);
    }
    s.assert_y(Rgba16Float, &inside, false, "inside");
    assert!(
        beyond
            .chunks(4)
            .all(|pixel| *pixel == [0.25, 0.5, 1.0, 0.0])
    );
}

#[test]
fn a_channel_that_is_not_finite_is_nan_or_zero() {
    let gpu = gpu();
    let mut bytes = pixels(Rgba16Float, 37 * 11, 9);
    bytes[8 * 100 + 2..][..2].copy_from_slice(&[0x00, 0x7e]);
    let config = Config::pytorch();
    let formats = [Rgba16Float, Rgba8Unorm];
    let s = Setup::of((&gpu, gpu.context()), &config, [37, 11], formats, &bytes);
    for format in [Rgba16Float, Rgba32Float, Rgba8Unorm] {
        let render = gpu.context().image_render(&config, format).unwrap();
        let target = target(&s, [37, 11], format);
        let got = drawn(&s, &render.bind(&saved(&s)).unwrap(), &target, format);
        let green = |i: usize| i % 4 == 1;
        let spoilt = |v: f32| {
            if format == Rgba8Unorm {
                v == 0.0
            } else {
                v.is_nan()
            }
        };
        assert!(
            got.iter().enumerate().all(|(i, &v)| !green(i) || spoilt(v)),
            "{format:?}"
        );
        assert!(got.iter().enumerate().any(|(i, &v)| !green(i) && v > 0.0));
        assert!(
            !got.iter()
                .enumerate()
                .any(|(i, &v)| !green(i) && v.is_nan())
        );
    }
}

#[test]
fn a_draw_reads_what_training_saved() {
    // By no statistics of its own, as a renderer does with those of the frame before.
    let config = Config::pytorch();
    let s = setup(&config, [61, 23], Rgba8Unorm);
    run(&s.gpu, &[&s.plan.bind_train(&s.train()).unwrap()]);
    s.assert_y(Rgba8Unorm, &s.y(), false, "trained");
    let render = s.gpu.context().image_render(&config, Rgba8Unorm).unwrap();
    let target = target(&s, [61, 23], Rgba8Unorm);
    let draw = render.bind(&saved(&s)).unwrap();
    let got = drawn_after(&s, &[], &draw, &target, Rgba8Unorm);
    // Its pipeline is another than training's: within the same bounds, not the same bits.
    s.assert_y(Rgba8Unorm, &got, false, "drawn");
}
