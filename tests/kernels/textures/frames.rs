//! Frames as renderers have them: rectangles of a texture, formats of few channels, luminance.

use testkit::gpu::{context, gpu, saved_of, tunings};
use testkit::texels::{self, ALL_USAGES, judge_loaded, texture, values, write};
use wgpu_batchnorm::error::{BindError, ConfigError};
use wgpu_batchnorm::wgpu::TextureFormat::{
    self, R16Float, R32Float, Rg11b10Ufloat, Rg16Float, Rgb10a2Unorm, Rgba16Float, Rgba32Float,
};
use wgpu_batchnorm::wgpu::{self, TextureUsages};
use wgpu_batchnorm::{
    Activation, Affine, Config, Gpu, ImageFromTensorBuffers, ImageLayout, ImageRenderInputs,
    ImageStatisticsBuffers, ImageTexture, ImageToTensorBuffers, Outside, RunningVariance,
    StatisticsRows, WeightsBuffer,
};

use super::setup::{Setup, loaded, pixels, read, submit};
use crate::buffers::{Place, run};

const FORMATS: [TextureFormat; 5] = [R16Float, R32Float, Rg16Float, Rg11b10Ufloat, Rgb10a2Unorm];

/// Every format is loaded as its bytes say; what it lacks has statistics of a constant.
#[test]
fn hdr_formats_have_statistics_of_the_channels_there_are() {
    let gpu = gpu();
    for (format, there) in FORMATS.into_iter().zip([1, 1, 2, 3, 4]) {
        let bytes = pixels(format, 35, 11);
        let s = Setup::of(
            (&gpu, gpu.context()),
            &Config::pytorch(),
            [7, 5],
            [format, Rgba16Float],
            &bytes,
        );
        let finding = judge_loaded(format, &bytes, &loaded(&gpu, s.x()));
        assert_eq!(finding, None, "{format:?}");
        run(&gpu, &[&s.plan.bind_statistics(&s.statistics()).unwrap()]);
        s.assert_trained(&format!("{format:?}"));
        let saved = saved_of(&s.saved.read());
        for c in 0..4 {
            let lacks = c >= there;
            assert_eq!(saved.batch_var[c] == 0.0, lacks, "{format:?}, {c}");
            if lacks {
                let constant = if c == 3 { 1.0 } else { 0.0 };
                assert_eq!(saved.batch_mean[c], constant, "{format:?}, {c}");
            }
        }
    }
    // By hand: 1, 0.5 and 2; a quarter, all, none and a third.
    let one: u32 = (15 << 6) | (14 << 6) << 11 | (16 << 5) << 22;
    assert_eq!(
        values(Rg11b10Ufloat, &one.to_le_bytes()),
        [1.0, 0.5, 2.0, 1.0]
    );
    let two: u32 = 341 | 1023 << 10 | 1 << 30;
    assert_eq!(
        values(Rgb10a2Unorm, &two.to_le_bytes()),
        [341.0 / 1023.0, 1.0, 0.0, 1.0 / 3.0]
    );
}

/// The draw goes where a kernel cannot store.
#[test]
fn hdr_targets_are_drawn() {
    let gpu = gpu();
    let config = Config::pytorch().without_running();
    for format in FORMATS {
        let usages = format
            .guaranteed_format_features(gpu.device().features())
            .allowed_usages;
        if !usages.contains(TextureUsages::RENDER_ATTACHMENT) {
            testkit::log::skipped(&format!("{format:?} is no target here"));
            continue;
        }
        let s = Setup::new(
            (&gpu, gpu.context()),
            &config,
            [7, 5],
            [format, Rgba16Float],
        );
        let target = texture(
            &gpu,
            [7, 5],
            format,
            ALL_USAGES | TextureUsages::RENDER_ATTACHMENT,
        );
        let render = gpu.context().image_render(&config, format).unwrap();
        let inputs = ImageRenderInputs::new(s.x(), StatisticsRows::Saved(s.saved.slice()))
            .with_affine(s.affine.as_ref().map(Place::slice));
        let draw = render.bind(&inputs).unwrap();
        let statistics = s.plan.bind_statistics(&s.statistics()).unwrap();
        drawn(&gpu, &statistics, &draw, &target);
        let got = values(format, &read(&gpu, ImageTexture::new(&target)));
        let expected = s.expected(false);
        for (i, (got, y)) in got.iter().zip(&expected.y).enumerate() {
            let (low, high, step) = match format {
                R32Float => (f64::MIN, f64::MAX, 1e-5),
                R16Float | Rg16Float => (f64::MIN, f64::MAX, 2e-3 * y.abs().max(1.0)),
                // Six bits and five of a mantissa.
                Rg11b10Ufloat => (0.0, f64::MAX, y.abs().max(1e-3) / 32.0),
                _ => (0.0, 1.0, if i % 4 == 3 { 0.34 } else { 1.1 / 1023.0 }),
            };
            let there = match format {
                R16Float | R32Float => i % 4 < 1,
                Rg16Float => i % 4 < 2,
                Rg11b10Ufloat => i % 4 < 3,
                _ => true,
            };
            let off = f64::from(*got) - y.clamp(low, high);
            assert!(
                !there || off.abs() <= step,
                "{format:?}, {i}: {got} for {y}"
            );
        }
    }
}

fn drawn(
    gpu: &Gpu,
    statistics: &wgpu_batchnorm::Binding,
    draw: &wgpu_batchnorm::ImageDraw,
    target: &wgpu::Texture,
) {
    let view = target.create_view(&Default::default());
    submit(gpu, |encoder| {
        statistics.encode(&mut encoder.begin_compute_pass(&Default::default()));
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
    });
}

/// A rectangle of a texture into a rectangle of another: what lies outside is neither read nor written.
#[test]
fn rectangles_of_textures() {
    let gpu = gpu();
    for (name, tuning) in tunings() {
        let context = context(&gpu, tuning);
        for (size, from, into) in [
            ([4, 3], [3, 2], [1, 4]),
            ([1, 6], [8, 1], [0, 0]),
            ([300, 2], [1, 5], [5, 0]),
        ] {
            let what = format!("{name}, {size:?}");
            let place = (&gpu, &context);
            let s = Setup::new(place, &Config::pytorch(), size, [Rgba32Float, Rgba16Float]);
            let large = [from[0] + size[0] + 2, from[1] + size[1] + 1];
            // NaN around it.
            let x = texture(&gpu, large, Rgba32Float, ALL_USAGES);
            let mut around = vec![f32::NAN; (large[0] * large[1] * 4) as usize];
            copy(&s.case.x, &mut around, size, large, from);
            write(&gpu, (&x).into(), &texels::bytes(Rgba32Float, &around));
            let room = [into[0] + size[0] + 3, into[1] + size[1] + 2];
            let y = texture(
                &gpu,
                room,
                Rgba16Float,
                ALL_USAGES | TextureUsages::STORAGE_BINDING,
            );
            let before = vec![7.0; (room[0] * room[1] * 4) as usize];
            let x = ImageTexture::new(&x).with_origin(from);
            let target = ImageTexture::new(&y).with_origin(into);
            let assert_y = |frozen: bool| {
                let all = values(Rgba16Float, &read(&gpu, (&y).into()));
                let mut inside = vec![0.0; s.case.x.len()];
                let mut outside = all.clone();
                for row in 0..size[1] {
                    let at = (((into[1] + row) * room[0] + into[0]) * 4) as usize;
                    let len = (size[0] * 4) as usize;
                    let to = row as usize * len;
                    inside[to..to + len].copy_from_slice(&all[at..at + len]);
                    outside[at..at + len].fill(7.0);
                }
                s.assert_y(Rgba16Float, &inside, frozen, &what);
                assert!(outside.iter().all(|v| *v == 7.0), "{what}");
            };
            write(&gpu, (&y).into(), &texels::bytes(Rgba16Float, &before));
            let inference = s.inference_between(x, target);
            run(&gpu, &[&s.plan.bind_inference(&inference).unwrap()]);
            assert_y(true);
            write(&gpu, (&y).into(), &texels::bytes(Rgba16Float, &before));
            run(
                &gpu,
                &[&s.plan.bind_train(&s.train_between(x, target)).unwrap()],
            );
            s.assert_trained(&what);
            assert_y(false);
            // Statistics alone, and a draw of the rectangle.
            let alone = Setup::new(place, &Config::pytorch(), size, [Rgba32Float, Rgba16Float]);
            let statistics = alone.plan.bind_statistics(&alone.statistics_of(x)).unwrap();
            let render = context
                .image_render(&Config::pytorch(), Rgba32Float)
                .unwrap();
            let inputs = ImageRenderInputs::new(x, StatisticsRows::Saved(alone.saved.slice()))
                .with_affine(alone.affine.as_ref().map(Place::slice));
            let draw = render.bind(&inputs).unwrap();
            let usages = ALL_USAGES | TextureUsages::RENDER_ATTACHMENT;
            let drawn_to = texture(&gpu, size, Rgba32Float, usages);
            drawn(&gpu, &statistics, &draw, &drawn_to);
            alone.assert_trained(&what);
            let got = values(Rgba32Float, &read(&gpu, (&drawn_to).into()));
            alone.assert_y(Rgba32Float, &got, false, &what);
        }
    }
}

/// Texels of an image to where it begins in a larger one.
fn copy(from: &[f32], into: &mut [f32], size: [u32; 2], large: [u32; 2], origin: [u32; 2]) {
    let len = (size[0] * 4) as usize;
    for (row, texels) in from.chunks(len).enumerate() {
        let at = (((origin[1] as usize + row) * large[0] as usize) + origin[0] as usize) * 4;
        into[at..at + len].copy_from_slice(texels);
    }
}

#[test]
fn a_rectangle_that_leaves_its_texture_is_refused() {
    let gpu = gpu();
    let config = Config::pytorch();
    let s = Setup::new((&gpu, gpu.context()), &config, [4, 3], [Rgba16Float; 2]);
    let large = texture(&gpu, [6, 6], Rgba16Float, ALL_USAGES);
    for origin in [[3, 0], [0, 4], [u32::MAX, 0], [0, u32::MAX]] {
        let x = ImageTexture::new(&large).with_origin(origin);
        let refused = s.plan.bind_statistics(&s.statistics_of(x)).unwrap_err();
        let told = BindError::TextureOrigin {
            texture: "x",
            got: [6, 6],
            origin,
            size: [4, 3],
        };
        assert_eq!(refused, told);
        let render = gpu.context().image_render(&config, Rgba16Float).unwrap();
        let inputs = ImageRenderInputs::new(x, StatisticsRows::Saved(s.saved.slice()));
        let bound = render.bind(&inputs.with_affine(s.affine.as_ref().map(Place::slice)));
        assert_eq!(bound.is_err(), origin.contains(&u32::MAX), "{origin:?}");
    }
    let fits = ImageTexture::new(&large).with_origin([2, 3]);
    assert!(s.plan.bind_statistics(&s.statistics_of(fits)).is_ok());
    // Without an origin it is the whole level.
    let whole = s.statistics_of((&large).into());
    assert!(matches!(
        s.plan.bind_statistics(&whole),
        Err(BindError::TextureSize { .. })
    ));
}

/// One texel of 0.2 among four of 0: the mean of its rectangle.
#[test]
fn lit_pixels() {
    let gpu = gpu();
    let frame = texture(&gpu, [5, 1], R32Float, ALL_USAGES);
    let bytes: Vec<u8> = [0.0f32, 0.0, 0.2, 0.0, 0.0]
        .iter()
        .flat_map(|v| v.to_le_bytes())
        .collect();
    write(&gpu, (&frame).into(), &bytes);
    let config = Config::keras().with_affine(Affine::None);
    for (size, origin, mean) in [
        ([1, 1], [2, 0], 0.2),
        ([2, 1], [2, 0], 0.1),
        ([5, 1], [0, 0], 0.04),
    ] {
        let plan = gpu.context().plan_image(&config, size[0], size[1]).unwrap();
        let saved = Place::new(&gpu, &[f32::NAN; 20]);
        let workspace = Place::new(&gpu, &vec![0.0; plan.workspace_bytes() as usize / 4]);
        let running = Place::new(&gpu, &[0.0; 12]);
        let lit = ImageTexture::new(&frame).with_origin(origin);
        let buffers = ImageStatisticsBuffers::new(lit, saved.slice(), workspace.slice())
            .with_running(running.slice());
        run(&gpu, &[&plan.bind_statistics(&buffers).unwrap()]);
        let got = saved_of(&saved.read()).batch_mean[0];
        assert!((got - mean).abs() < 1e-8, "{got}");
    }
}

/// Statistics of luminance alone, and colours normalized by them.
#[test]
fn luminance_has_one_mean_for_all_channels() {
    let gpu = gpu();
    for (name, tuning) in tunings() {
        let context = context(&gpu, tuning);
        for size in [[7, 5], [129, 33]] {
            let config = Config::pytorch().with_affine(Affine::None);
            let formats = [Rgba32Float, Rgba16Float];
            let s = Setup::new((&gpu, &context), &config, size, formats);
            // The same of an image that is luminance everywhere.
            let luminance: Vec<f32> = s
                .case
                .x
                .chunks(4)
                .flat_map(|v| [0.2126 * v[0] + 0.7152 * v[1] + 0.0722 * v[2]; 4])
                .collect();
            let bytes = texels::bytes(Rgba32Float, &luminance);
            let mut grey = Setup::of((&gpu, &context), &config, size, formats, &bytes);
            grey.case.running.clone_from(&s.case.running);
            let trained = s.plan.bind_train(&s.train().with_luminance(true)).unwrap();
            run(&gpu, &[&trained]);
            let mean = saved_of(&s.saved.read()).batch_mean;
            assert!(mean.iter().all(|m| *m == mean[0]), "{name}: {mean:?}");
            // Judged as if it had seen the grey image.
            grey.saved.write(&s.saved.read());
            let rows = [&grey.running, &s.running].map(|rows| rows.as_ref().unwrap());
            rows[0].write(&rows[1].read());
            grey.assert_trained(&format!("{name}, {size:?}"));
            let saved = saved_of(&s.saved.read());
            let wide = |v: f32| f64::from(v);
            for (i, y) in s.y().iter().enumerate() {
                let c = i % 4;
                let z = (wide(s.case.x[i]) - wide(saved.batch_mean[c])) * wide(saved.inv_std[c]);
                assert!(
                    (wide(*y) - z).abs() <= 1e-3 * z.abs().max(1.0),
                    "{name}, {i}"
                );
            }
            // Statistics alone are the same.
            let alone = Setup::new((&gpu, &context), &config, size, formats);
            let statistics = alone.statistics().with_luminance(true);
            run(&gpu, &[&alone.plan.bind_statistics(&statistics).unwrap()]);
            assert_eq!(alone.saved.read(), s.saved.read(), "{name}");
        }
    }
}

/// A frame into a tensor, by means and deviations that are given: the report's values.
#[test]
fn frame_to_tensor() {
    let gpu = gpu();
    let frame = texture(&gpu, [2, 1], TextureFormat::Rgba8Unorm, ALL_USAGES);
    write(
        &gpu,
        (&frame).into(),
        &[0, 51, 102, 255, 255, 153, 102, 255],
    );
    let mut given = vec![0.485, 0.456, 0.406, 0.0];
    given.extend([0.229f32, 0.224, 0.225, 1.0].map(|d| d * d));
    given.extend([0.0; 4]);
    let rows = Place::new(&gpu, &given);
    let config = Config::pytorch().with_eps(0.0).with_affine(Affine::None);
    let plan = gpu.context().plan_image(&config, 2, 1).unwrap();
    let planar = [
        -2.117904, 2.248908, -1.142857, 0.642857, -0.026667, -0.026667,
    ];
    for (layout, order) in [
        (ImageLayout::Planar, [0, 1, 2, 3, 4, 5]),
        (ImageLayout::Interleaved, [0, 2, 4, 1, 3, 5]),
    ] {
        let y = Place::new(&gpu, &[f32::NAN; 6]);
        let statistics = StatisticsRows::Running(rows.slice());
        let buffers = ImageToTensorBuffers::new(&frame, y.slice(), statistics);
        let buffers = buffers.with_layout(layout);
        run(&gpu, &[&plan.bind_to_tensor(&buffers).unwrap()]);
        for (got, k) in y.read().iter().zip(order) {
            assert!((got - planar[k]).abs() < 2e-6, "{layout:?}: {got}");
        }
    }
}

/// Where each value of an image's texels lies in its tensor.
fn laid_out(texels: &[f32], layout: ImageLayout, channels: usize) -> Vec<f32> {
    let pixels = texels.len() / 4;
    let mut tensor = vec![0.0; pixels * channels];
    for (i, value) in texels.iter().enumerate() {
        let (pixel, c) = (i / 4, i % 4);
        let at = match layout {
            ImageLayout::Planar => c * pixels + pixel,
            _ => pixel * channels + c,
        };
        if c < channels {
            tensor[at] = *value;
        }
    }
    tensor
}

/// The texels that a tensor stands for.
fn gathered(tensor: &[f32], layout: ImageLayout, channels: usize) -> Vec<f32> {
    let pixels = tensor.len() / channels;
    let at = |pixel: usize, c: usize| match layout {
        ImageLayout::Planar => c * pixels + pixel,
        _ => pixel * channels + c,
    };
    let value = |i: usize| match i % 4 < channels {
        true => tensor[at(i / 4, i % 4)],
        false => 1.0,
    };
    (0..4 * pixels).map(value).collect()
}

const LAYOUTS: [ImageLayout; 2] = [ImageLayout::Planar, ImageLayout::Interleaved];

#[test]
fn images_become_tensors_of_every_layout() {
    let gpu = gpu();
    let config = Config::pytorch().with_activation(Activation::HardSwish);
    for (name, tuning) in tunings() {
        let context = context(&gpu, tuning);
        for (size, origin) in [([7, 5], None), ([257, 33], Some([3, 2])), ([1, 1], None)] {
            let config = match size {
                [1, 1] => config.with_running_variance(RunningVariance::Biased),
                _ => config,
            };
            for x_format in [Rgba32Float, TextureFormat::Rgba8UnormSrgb, Rg16Float] {
                let s = Setup::new((&gpu, &context), &config, size, [x_format, Rgba16Float]);
                let [dx, dy] = origin.unwrap_or_default();
                let large = texture(&gpu, [size[0] + dx, size[1] + dy], x_format, ALL_USAGES);
                let x = match origin {
                    None => s.x(),
                    // The image is the lower right of it.
                    Some(origin) => {
                        copy_texture(&gpu, &s.x, &large, origin);
                        ImageTexture::new(&large).with_origin(origin)
                    }
                };
                for (layout, alpha) in LAYOUTS.into_iter().flat_map(|l| [(l, false), (l, true)]) {
                    let channels = if alpha { 4 } else { 3 };
                    let y = Place::new(&gpu, &vec![f32::NAN; s.case.x.len() / 4 * channels]);
                    let affine = s.affine.as_ref().map(Place::slice);
                    let bind = |statistics| {
                        let buffers = ImageToTensorBuffers::new(x, y.slice(), statistics)
                            .with_layout(layout)
                            .with_alpha(alpha)
                            .with_affine(affine);
                        s.plan.bind_to_tensor(&buffers).unwrap()
                    };
                    let what = format!("{name}, {size:?}, {x_format:?}, {layout:?}, {alpha}");
                    let assert_y = |frozen: bool| {
                        let got = y.read();
                        let mut texels = gathered(&got, layout, channels);
                        let expected = s.expected(frozen);
                        if !alpha {
                            let alphas = texels.iter_mut().zip(&expected.y).skip(3).step_by(4);
                            alphas.for_each(|(got, y)| *got = *y as f32);
                        }
                        s.assert_y(Rgba32Float, &texels, frozen, &what);
                    };
                    let running = s.running.as_ref().unwrap().slice();
                    run(&gpu, &[&bind(StatisticsRows::Running(running))]);
                    assert_y(true);
                    // Its own, without moving what the reference takes as frozen.
                    let alone = s.statistics_of(x).with_running(None);
                    let plain = context
                        .plan_image(&config.without_running(), size[0], size[1])
                        .unwrap();
                    if size == [1, 1] {
                        continue;
                    }
                    let statistics = plain.bind_statistics(&alone).unwrap();
                    let to_tensor = bind(StatisticsRows::Saved(s.saved.slice()));
                    run(&gpu, &[&statistics, &to_tensor]);
                    assert_y(false);
                }
            }
        }
    }
}

fn copy_texture(gpu: &Gpu, from: &wgpu::Texture, into: &wgpu::Texture, [x, y]: [u32; 2]) {
    submit(gpu, |encoder| {
        let to = wgpu::TexelCopyTextureInfo {
            origin: wgpu::Origin3d { x, y, z: 0 },
            ..into.as_image_copy()
        };
        encoder.copy_texture_to_texture(from.as_image_copy(), to, from.size());
    });
}

#[test]
fn tensors_become_images() {
    let gpu = gpu();
    for (name, tuning) in tunings() {
        let context = context(&gpu, tuning);
        for y_format in [TextureFormat::Rgba8Unorm, Rgba16Float] {
            let size = [37, 19];
            let place = (&gpu, &context);
            let s = Setup::new(place, &Config::pytorch(), size, [Rgba32Float, y_format]);
            for (layout, alpha) in LAYOUTS.into_iter().flat_map(|l| [(l, false), (l, true)]) {
                let channels = if alpha { 4 } else { 3 };
                let mut grey = Setup::new(place, &Config::pytorch(), size, [Rgba32Float, y_format]);
                if !alpha {
                    grey.case
                        .x
                        .iter_mut()
                        .skip(3)
                        .step_by(4)
                        .for_each(|a| *a = 1.0);
                }
                let x = Place::new(&gpu, &laid_out(&s.case.x, layout, channels));
                let running = grey.running.as_ref().unwrap().slice();
                // A larger texture, whose rest stays.
                let large = texture(
                    &gpu,
                    [size[0] + 3, size[1] + 1],
                    y_format,
                    ALL_USAGES | TextureUsages::STORAGE_BINDING,
                );
                let whole = ImageTexture::new(&grey.y);
                for y in [whole, ImageTexture::new(&large).with_origin([2, 1])] {
                    let statistics = StatisticsRows::Running(running);
                    let buffers = ImageFromTensorBuffers::new(x.slice(), y, statistics)
                        .with_layout(layout)
                        .with_alpha(alpha)
                        .with_affine(grey.affine.as_ref().map(Place::slice));
                    run(&gpu, &[&grey.plan.bind_from_tensor(&buffers).unwrap()]);
                }
                let what = format!("{name}, {y_format:?}, {layout:?}, {alpha}");
                grey.assert_y(y_format, &grey.y(), true, &what);
                let all = values(y_format, &read(&gpu, (&large).into()));
                let width = (size[0] as usize + 3) * 4;
                let rows = all.chunks(width).skip(1);
                let inside: Vec<f32> = rows.flat_map(|row| row[8..width - 4].to_vec()).collect();
                assert_eq!(inside, grey.y(), "{what}");
                let first = all[..width]
                    .iter()
                    .chain(all[width..].iter().step_by(width));
                assert!(first.into_iter().all(|v| *v == 0.0), "{what}");
            }
        }
    }
}

/// Out and back: weight and bias undo what mean and deviation did.
#[test]
fn a_round_trip_gives_the_frame_back() {
    let gpu = gpu();
    let size = [16, 9];
    let bytes = pixels(TextureFormat::Rgba8Unorm, 144, 21);
    let usages = ALL_USAGES | TextureUsages::STORAGE_BINDING;
    let frame = texture(&gpu, size, TextureFormat::Rgba8Unorm, usages);
    write(&gpu, (&frame).into(), &bytes);
    let back = texture(&gpu, size, TextureFormat::Rgba8Unorm, usages);
    let (mean, deviation) = ([0.485, 0.456, 0.406, 0.5], [0.229f32, 0.224, 0.225, 0.25]);
    let variance = deviation.map(|d| d * d);
    let forth = Place::new(&gpu, &[mean, variance, [0.0; 4]].concat());
    let ones = Place::new(&gpu, &[[0.0; 4], [1.0; 4], [0.0; 4]].concat());
    let affine = Place::new(&gpu, &[deviation, mean].concat());
    let config = Config::pytorch().with_eps(0.0);
    let plain = config.with_affine(Affine::None);
    let plan = |config| gpu.context().plan_image(config, size[0], size[1]).unwrap();
    let (forward, backward) = (plan(&plain), plan(&config));
    let tensor = Place::new(&gpu, &vec![f32::NAN; 144 * 4]);
    assert_eq!(forward.tensor_bytes(true), 144 * 16);
    let to = ImageToTensorBuffers::new(
        &frame,
        tensor.slice(),
        StatisticsRows::Running(forth.slice()),
    );
    let from =
        ImageFromTensorBuffers::new(tensor.slice(), &back, StatisticsRows::Running(ones.slice()));
    let bindings = [
        forward.bind_to_tensor(&to.with_alpha(true)).unwrap(),
        backward
            .bind_from_tensor(&from.with_alpha(true).with_affine(affine.slice()))
            .unwrap(),
    ];
    run(&gpu, &bindings.each_ref());
    assert_eq!(read(&gpu, (&back).into()), bytes);
}

#[test]
fn tensors_of_images_that_do_not_fit_are_refused() {
    let gpu = gpu();
    let config = Config::pytorch();
    let s = Setup::new(
        (&gpu, gpu.context()),
        &config,
        [6, 4],
        [Rgba32Float, Rgba16Float],
    );
    let affine = s.affine.as_ref().map(Place::slice);
    let running = StatisticsRows::Running(s.running.as_ref().unwrap().slice());
    // Room for three channels.
    let three = Place::new(&gpu, &[0.0; 72]);
    let to = ImageToTensorBuffers::new(s.x(), three.slice(), running).with_affine(affine);
    let from = ImageFromTensorBuffers::new(three.slice(), &s.y, running).with_affine(affine);
    assert!(s.plan.bind_to_tensor(&to).is_ok() && s.plan.bind_from_tensor(&from).is_ok());
    let size = |buffer| {
        Some(BindError::Size {
            buffer,
            got: 288,
            expected: 384,
        })
    };
    assert_eq!(s.plan.bind_to_tensor(&to.with_alpha(true)).err(), size("y"));
    assert_eq!(
        s.plan.bind_from_tensor(&from.with_alpha(true)).err(),
        size("x")
    );
    let missing = Some(BindError::Missing { buffer: "affine" });
    assert_eq!(s.plan.bind_to_tensor(&to.with_affine(None)).err(), missing);
    // Running statistics of a configuration that has none.
    let stateless = config.without_running();
    let plan = gpu.context().plan_image(&stateless, 6, 4).unwrap();
    assert!(matches!(
        plan.bind_to_tensor(&to),
        Err(BindError::Config(ConfigError::NoRunningStatistics))
    ));
    let saved = StatisticsRows::Saved(s.saved.slice());
    let of_saved = ImageToTensorBuffers::new(s.x(), three.slice(), saved).with_affine(affine);
    assert!(plan.bind_to_tensor(&of_saved).is_ok());
    // No format that kernels store.
    let other = ImageFromTensorBuffers::new(three.slice(), &s.x, running).with_affine(affine);
    assert!(matches!(
        s.plan.bind_from_tensor(&other),
        Err(BindError::TextureFormat { texture: "y", .. })
    ));
    // Statistics and the tensor in one place.
    let overlapping = ImageToTensorBuffers::new(s.x(), s.saved.slice(), saved).with_affine(affine);
    assert!(plan.bind_to_tensor(&overlapping).is_err());
}

/// Pixels with weights: a mask of the whole frame, rows with the same weight, and one pixel of a dark frame.
#[test]
fn weighted_pixels() {
    let gpu = gpu();
    for (name, tuning) in tunings() {
        let place = (&gpu, &context(&gpu, tuning));
        for (format, shape) in [
            (Rgba32Float, [5, 7]),
            (Rgba16Float, [5, 1]),
            (TextureFormat::Rgba8Unorm, [1, 7]),
        ] {
            let config = Config::pytorch();
            let mut s = Setup::new(place, &config, [7, 5], [format, Rgba16Float]);
            let count = shape[0] * shape[1];
            let values: Vec<f32> = (0..count).map(|k| [0.0, 1.0, 2.5][k % 3]).collect();
            let weights = Place::new(&gpu, &values);
            s.case = s
                .case
                .with_weights(&[shape[0], shape[1], 1], values, Outside::Normalize);
            let weights = WeightsBuffer::new(weights.slice(), &shape, Outside::Normalize);
            let train = s.train().with_weights(weights);
            run(&gpu, &[&s.plan.bind_train(&train).unwrap()]);
            s.assert_trained(&format!("{name}: {format:?} {shape:?}"));
        }
        // One texel of 0.2 and four of 0: its mean alone.
        let values = [0.2f32, 0.0, 0.0, 0.0, 0.0];
        let pixels: Vec<f32> = values.iter().flat_map(|&v| [v, v, v, 1.0]).collect();
        let config = Config::pytorch().without_running();
        let bytes = texels::bytes(Rgba32Float, &pixels);
        let s = Setup::of(place, &config, [5, 1], [Rgba32Float, Rgba16Float], &bytes);
        let lit = Place::new(&gpu, &[1.0, 0.0, 0.0, 0.0, 0.0]);
        let weights = WeightsBuffer::new(lit.slice(), &[1, 5], Outside::Normalize);
        let statistics = s.statistics().with_weights(weights);
        run(&gpu, &[&s.plan.bind_statistics(&statistics).unwrap()]);
        let saved = saved_of(&s.saved.read());
        assert_eq!(saved.batch_mean, [0.2, 0.2, 0.2, 1.0], "{name}");
        assert_eq!(saved.batch_var, [0.0; 4], "{name}");
        let wrong = WeightsBuffer::new(lit.slice(), &[5, 5], Outside::Normalize);
        let refused = s.plan.bind_statistics(&s.statistics().with_weights(wrong));
        assert!(matches!(refused.map(drop), Err(BindError::Shape(_))));
    }
}
