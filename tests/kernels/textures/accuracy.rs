//! y, saved and running statistics of images against the reference, on the values that shaders load.

use wgpu_batchnorm::wgpu::TextureFormat::{
    self, Bgra8Unorm, Bgra8UnormSrgb, R16Float, R32Float, Rg11b10Ufloat, Rg16Float, Rgb10a2Unorm,
    Rgba8Unorm, Rgba8UnormSrgb, Rgba16Float, Rgba32Float,
};
use wgpu_batchnorm::wgpu::TextureUsages;
use wgpu_batchnorm::{Activation, Affine, Config, ImageTexture, Momentum, NonFinite};

use super::driver::stored_halves;
use super::setup::{Setup, loaded, pixels, read};
use crate::buffers::run;
use testkit::gpu::{context, gpu, running_of, tunings};
use testkit::log::skipped;
use testkit::texels::{ALL_USAGES, texture, textures, values, write};
use wgpu_batchnorm::Element;

const SIZES: [[u32; 2]; 4] = [[7, 5], [2, 1], [1000, 3], [257, 129]];
const READ: [TextureFormat; 11] = [
    Rgba8Unorm,
    Rgba8UnormSrgb,
    Bgra8Unorm,
    Bgra8UnormSrgb,
    Rgba16Float,
    Rgba32Float,
    R16Float,
    R32Float,
    Rg16Float,
    Rg11b10Ufloat,
    Rgb10a2Unorm,
];
const WRITTEN: [TextureFormat; 2] = [Rgba8Unorm, Rgba16Float];

/// Inference, then training, judged.
fn assert_right(s: &Setup, what: &str) {
    let format = s.y.format();
    if s.case.running.is_some() {
        run(&s.gpu, &[&s.plan.bind_inference(&s.inference()).unwrap()]);
        s.assert_y(format, &s.y(), true, what);
    }
    run(&s.gpu, &[&s.plan.bind_train(&s.train()).unwrap()]);
    s.assert_trained(what);
    s.assert_y(format, &s.y(), false, what);
}

#[test]
fn every_format_and_size_matches_the_reference() {
    let gpu = gpu();
    for size in SIZES {
        for (k, x) in READ.into_iter().enumerate() {
            for y in WRITTEN {
                // The reference takes its time over many pixels: every other pair will do there.
                if size[0] * size[1] > 10_000 && (y == Rgba16Float) != (k % 2 == 0) {
                    continue;
                }
                let context = (&gpu, gpu.context());
                let s = Setup::new(context, &Config::pytorch(), size, [x, y]);
                assert_right(&s, &format!("{size:?} {x:?} to {y:?}"));
            }
        }
    }
}

#[test]
fn every_option_matches_the_reference() {
    let gpu = gpu();
    let base = Config::pytorch();
    for config in [
        Config::keras(),
        base.with_momentum(Momentum::Cumulative),
        base.with_affine(Affine::None),
        base.with_affine(Affine::Bias),
        base.without_running(),
        base.with_activation(Activation::Relu),
        base.with_activation(Activation::LeakyRelu(0.1)),
        base.with_activation(Activation::Silu),
        // Neither means anything to a texture.
        base.with_axis(7).with_element(Element::Bf16),
    ] {
        for y in WRITTEN {
            let context = (&gpu, gpu.context());
            let s = Setup::new(context, &config, [61, 23], [Rgba16Float, y]);
            assert_right(&s, &format!("{config:?} to {y:?}"));
        }
    }
}

#[test]
fn however_the_work_is_cut() {
    let gpu = gpu();
    for (name, tuning) in tunings() {
        let context = context(&gpu, tuning);
        for size in [[127, 65], [3, 1]] {
            let s = Setup::new(
                (&gpu, &context),
                &Config::pytorch(),
                size,
                [Rgba8Unorm, Rgba16Float],
            );
            assert_right(&s, &format!("{name} {size:?}"));
        }
    }
}

#[test]
fn one_pixel_is_its_bias_where_the_options_allow_it() {
    let gpu = gpu();
    let context = (&gpu, gpu.context());
    let s = Setup::new(context, &Config::keras(), [1, 1], [Rgba8Unorm, Rgba16Float]);
    assert_right(&s, "one pixel");
}

#[test]
fn loads_are_what_the_formats_say() {
    let gpu = gpu();
    let all: Vec<u8> = (0..=255).flat_map(|k| [k; 4]).collect();
    for format in READ {
        let image = texture(&gpu, [16, 16], format, ALL_USAGES);
        let image = ImageTexture::new(&image).with_format(format);
        let bytes = match format {
            // Bytes that stand for a number in each of them.
            Rgba8Unorm | Rgba8UnormSrgb | Bgra8Unorm | Bgra8UnormSrgb | Rgb10a2Unorm => all.clone(),
            _ => pixels(format, 256, 1),
        };
        write(&gpu, image, &bytes);
        let linear = values(format.remove_srgb_suffix(), &bytes);
        for (i, (got, stored)) in loaded(&gpu, image).into_iter().zip(linear).enumerate() {
            // Alpha has no transfer function.
            if !format.is_srgb() || i % 4 == 3 {
                let unorm = [Rgba8Unorm, Bgra8Unorm, Rgb10a2Unorm];
                let exact = !unorm.contains(&format.remove_srgb_suffix());
                let bound = if exact { 0.0 } else { 6e-8 };
                assert!(
                    (got - stored).abs() <= bound,
                    "{format:?} {i}: {got} for {stored}"
                );
                continue;
            }
            // Half a step of the stored value either way: neither Vulkan nor WebGPU says how exact
            // the conversion is, Direct3D grants so much.
            let linear = |v: f64| match v <= 0.04045 {
                true => v / 12.92,
                false => ((v + 0.055) / 1.055).powf(2.4),
            };
            let [low, high] = [-0.5, 0.5].map(|step| linear(f64::from(stored) + step / 255.0));
            let got = f64::from(got);
            assert!(
                (low..=high).contains(&got),
                "{format:?} {i}: {got} for {stored}"
            );
        }
    }
}

#[test]
fn a_channel_that_is_not_finite_is_nan_and_no_other() {
    let gpu = gpu();
    let context = (&gpu, gpu.context());
    // Two halves are a word, and SwiftShader lets a NaN in the lower set a bit of the upper.
    let mut infinite = 2;
    if stored_halves(&gpu, [1.0, 1.0, f32::NAN, 1.0])[3] != 0x3c00 {
        skipped("blue that is not finite, which changes alpha where this driver stores it");
        infinite = 3;
    }
    let mut bytes = pixels(Rgba16Float, 37 * 11, 9);
    // Green of one pixel is NaN, another channel of another infinite.
    bytes[8 * 100 + 2..][..2].copy_from_slice(&[0x00, 0x7e]);
    bytes[8 * 300 + 2 * infinite..][..2].copy_from_slice(&[0x00, 0x7c]);
    let is_spoilt = |c: usize| c == 1 || c == infinite;
    for non_finite in [NonFinite::Skip, NonFinite::Propagate] {
        let config = Config::pytorch().with_non_finite(non_finite);
        for y in WRITTEN {
            let s = Setup::of(context, &config, [37, 11], [Rgba16Float, y], &bytes);
            run(&gpu, &[&s.plan.bind_train(&s.train()).unwrap()]);
            let got = s.y();
            if y == Rgba16Float {
                let spoilt = |v: &f32, c: usize| v.is_nan() == is_spoilt(c);
                assert!(got.iter().enumerate().all(|(i, v)| spoilt(v, i % 4)));
            } else {
                let blank = |c: usize| got.iter().skip(c).step_by(4).all(|v| *v == 0.0);
                assert_eq!([0, 1, 2, 3].map(blank), [0, 1, 2, 3].map(is_spoilt));
            }
            s.assert_y(y, &got, false, "not finite");
            s.assert_trained("not finite");
            if non_finite == NonFinite::Skip {
                let after = running_of(&s.running.as_ref().unwrap().read());
                let before = s.case.running.as_ref().unwrap();
                for c in [1, infinite] {
                    assert_eq!(after.mean[c], before.mean[c]);
                }
            }
        }
    }
}

#[test]
fn a_pixel_that_is_no_number_is_zero_where_there_is_no_nan() {
    let gpu = gpu();
    let mut bytes = pixels(Rgba16Float, 37 * 11, 9);
    bytes[8 * 100 + 2..][..2].copy_from_slice(&[0x00, 0x7e]);
    let formats = [Rgba16Float, Rgba8Unorm];
    let context = (&gpu, gpu.context());
    let s = Setup::of(context, &Config::pytorch(), [37, 11], formats, &bytes);
    run(&gpu, &[&s.plan.bind_inference(&s.inference()).unwrap()]);
    let got = s.y();
    assert_eq!(got[4 * 100 + 1], 0.0);
    s.assert_y(Rgba8Unorm, &got, true, "NaN is 0");
}

#[test]
fn alpha_is_rounded_to_the_nearest_of_another_format() {
    let gpu = gpu();
    for format in [Rgba32Float, Rgba8Unorm] {
        let bytes = pixels(format, 61 * 23, 4);
        let (context, formats) = ((&gpu, gpu.context()), [format, Rgba16Float]);
        let s = Setup::of(context, &Config::pytorch(), [61, 23], formats, &bytes);
        let train = s.train().with_keep_alpha(true);
        run(&gpu, &[&s.plan.bind_train(&train).unwrap()]);
        let alpha = |values: Vec<f32>| values.into_iter().skip(3).step_by(4);
        let expected = alpha(loaded(&gpu, s.x())).map(|a| half::f16::from_f32(a).to_f32());
        assert!(alpha(s.y()).eq(expected), "{format:?}");
    }
}

#[test]
fn alpha_is_kept_bit_for_bit_and_the_rest_is_as_without() {
    let gpu = gpu();
    let context = (&gpu, gpu.context());
    for format in WRITTEN {
        let mut bytes = pixels(format, 61 * 23, 4);
        if format == Rgba16Float {
            // Among them a subnormal half, −0, the largest and infinity.
            let mut special = vec![0x0001u16, 0x8000, 0x7bff, 0x7c00];
            if stored_halves(&gpu, [f32::INFINITY; 4])[3] != 0x7c00 {
                skipped("an infinite alpha, which this driver stores as NaN");
                special.pop();
            }
            for (k, half) in special.into_iter().enumerate() {
                bytes[8 * k + 6..][..2].copy_from_slice(&half.to_le_bytes());
            }
        }
        let s = Setup::of(
            context,
            &Config::pytorch(),
            [61, 23],
            [format, format],
            &bytes,
        );
        let y = || read(&gpu, ImageTexture::new(&s.y));
        let bind = |keep_alpha| {
            let (train, inference) = (s.train(), s.inference());
            let train = train.with_keep_alpha(keep_alpha);
            let inference = inference.with_keep_alpha(keep_alpha);
            [
                s.plan.bind_train(&train).unwrap(),
                s.plan.bind_inference(&inference).unwrap(),
            ]
        };
        for (kept, moved) in bind(true).iter().zip(&bind(false)) {
            // Running statistics move with every step: back to where they were.
            let reset = || {
                let rows = testkit::gpu::running_rows(s.case.running.as_ref().unwrap());
                s.running.as_ref().unwrap().write(&rows);
            };
            reset();
            run(&gpu, &[kept]);
            let with = y();
            reset();
            run(&gpu, &[moved]);
            let without = y();
            let size = bytes.len() / (61 * 23);
            let (color, alpha) = (size * 3 / 4, size / 4);
            for ((with, without), x) in with
                .chunks(size)
                .zip(without.chunks(size))
                .zip(bytes.chunks(size))
            {
                assert_eq!(with[..color], without[..color]);
                assert_eq!(with[color..], x[color..], "{alpha} bytes of alpha");
            }
            assert_ne!(with, without);
        }
    }
}

#[test]
fn levels_and_layers_are_images_of_their_own() {
    let gpu = gpu();
    let context = (&gpu, gpu.context());
    let s = Setup::new(
        context,
        &Config::pytorch(),
        [31, 9],
        [Rgba8Unorm, Rgba8Unorm],
    );
    run(&gpu, &[&s.plan.bind_train(&s.train()).unwrap()]);
    let expected = read(&gpu, ImageTexture::new(&s.y));
    let statistics = s.saved.bits();

    // Level 1 of 62×18 is 31×9; x and y are layers of one texture.
    let usage = ALL_USAGES | TextureUsages::STORAGE_BINDING;
    let all = textures(&gpu, [62, 18, 3], 2, Rgba8Unorm, usage);
    let image = |layer| {
        ImageTexture::new(&all)
            .with_mip_level(1)
            .with_array_layer(layer)
    };
    let (x, y) = (image(2), image(0));
    write(&gpu, x, &read(&gpu, s.x()));
    let b = s.train_between(x, y);
    run(&gpu, &[&s.plan.bind_train(&b).unwrap()]);
    assert_eq!(read(&gpu, y), expected);
    assert_eq!(s.saved.bits(), statistics);
}

#[test]
fn statistics_alone_are_those_of_training() {
    let gpu = gpu();
    for size in [[7, 5], [257, 129]] {
        let setup = || {
            let context = (&gpu, gpu.context());
            Setup::new(
                context,
                &Config::pytorch(),
                size,
                [Rgba8UnormSrgb, Rgba16Float],
            )
        };
        let (alone, trained) = (setup(), setup());
        run(
            &gpu,
            &[&alone.plan.bind_statistics(&alone.statistics()).unwrap()],
        );
        run(&gpu, &[&trained.plan.bind_train(&trained.train()).unwrap()]);
        // Pipelines of their own: within the same bounds, not the same bits.
        alone.assert_trained("statistics");
        trained.assert_trained("training");
        let batches = |s: &Setup| running_of(&s.running.as_ref().unwrap().read()).batches;
        assert_eq!(batches(&alone), batches(&trained));
        assert_ne!(batches(&alone), [0; 4], "batches count");
    }
}
