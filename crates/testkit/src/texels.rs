//! Textures' bytes to the host and back, and what may be expected of them; the sweep and the tests
//! share it.

use half::f16;
use wgpu_batchnorm::check::{self, FORWARD_BOUND, Finding};
use wgpu_batchnorm::error::ShapeError;
use wgpu_batchnorm::internals::epilogue::{activate, steepest};
use wgpu_batchnorm::wgpu::{
    self, Extent3d, TextureDescriptor, TextureDimension, TextureFormat, TextureUsages,
};
use wgpu_batchnorm::{Activation, Error, Gpu, ImageTexture, RunningStatistics, Tensor, reference};

pub const ALL_USAGES: TextureUsages = TextureUsages::TEXTURE_BINDING
    .union(TextureUsages::COPY_DST)
    .union(TextureUsages::COPY_SRC);

/// A 2D texture; one that is storage too is linear.
pub fn texture(
    gpu: &Gpu,
    [width, height]: [u32; 2],
    format: TextureFormat,
    usage: TextureUsages,
) -> wgpu::Texture {
    textures(gpu, [width, height, 1], 1, format, usage)
}

/// The same with layers and mip levels.
pub fn textures(
    gpu: &Gpu,
    [width, height, depth_or_array_layers]: [u32; 3],
    mip_level_count: u32,
    format: TextureFormat,
    usage: TextureUsages,
) -> wgpu::Texture {
    gpu.device().create_texture(&TextureDescriptor {
        label: None,
        size: Extent3d {
            width,
            height,
            depth_or_array_layers,
        },
        mip_level_count,
        sample_count: 1,
        dimension: TextureDimension::D2,
        // No storage texture is sRGB.
        format: match usage.contains(TextureUsages::STORAGE_BINDING) {
            true => format.remove_srgb_suffix(),
            false => format,
        },
        usage,
        view_formats: &[],
    })
}

fn texel_bytes(format: TextureFormat) -> u32 {
    format.block_copy_size(None).unwrap_or(4)
}

fn level(image: ImageTexture<'_>) -> (wgpu::TexelCopyTextureInfo<'_>, Extent3d) {
    let info = wgpu::TexelCopyTextureInfo {
        texture: image.texture,
        mip_level: image.mip_level,
        origin: wgpu::Origin3d {
            x: 0,
            y: 0,
            z: image.array_layer,
        },
        aspect: wgpu::TextureAspect::All,
    };
    let size = Extent3d {
        width: image.texture.width() >> image.mip_level,
        height: image.texture.height() >> image.mip_level,
        depth_or_array_layers: 1,
    };
    (info, size)
}

pub fn write(gpu: &Gpu, image: ImageTexture<'_>, bytes: &[u8]) {
    let (info, size) = level(image);
    let layout = wgpu::TexelCopyBufferLayout {
        offset: 0,
        bytes_per_row: Some(size.width * texel_bytes(image.format)),
        rows_per_image: None,
    };
    gpu.queue().write_texture(info, bytes, layout, size);
}

/// Its bytes; what the device reported on the way is an error here.
pub fn read(gpu: &Gpu, image: ImageTexture<'_>) -> Result<Vec<u8>, Error> {
    let (info, size) = level(image);
    let row = (size.width * texel_bytes(image.format)) as usize;
    let padded = row.next_multiple_of(256);
    let copy = Tensor::empty(gpu, &[padded / 4 * size.height as usize])?;
    let mut encoder = gpu.device().create_command_encoder(&Default::default());
    let to = wgpu::TexelCopyBufferInfo {
        buffer: copy.buffer(),
        layout: wgpu::TexelCopyBufferLayout {
            offset: 0,
            bytes_per_row: Some(padded as u32),
            rows_per_image: None,
        },
    };
    encoder.copy_texture_to_buffer(info, to, size);
    gpu.queue().submit([encoder.finish()]);
    let words = copy.read_blocking()?;
    let bytes: Vec<u8> = words
        .iter()
        .flat_map(|v| v.to_bits().to_le_bytes())
        .collect();
    let rows = bytes.chunks(padded).flat_map(|padded| &padded[..row]);
    Ok(rows.copied().collect())
}

/// Red, green, blue and alpha of every texel as bytes of a format, which may lack some of them.
pub fn bytes(format: TextureFormat, values: &[f32]) -> Vec<u8> {
    let byte = |v: &f32| (v.clamp(0.0, 1.0) * 255.0).round() as u8;
    match format.remove_srgb_suffix() {
        TextureFormat::Rgba16Float => values
            .iter()
            .flat_map(|&v| f16::from_f32(v).to_le_bytes())
            .collect(),
        TextureFormat::Rgba32Float => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        TextureFormat::Bgra8Unorm => {
            let swapped = values.chunks(4).flat_map(|v| [v[2], v[1], v[0], v[3]]);
            swapped.map(|v| byte(&v)).collect()
        }
        TextureFormat::R32Float => {
            let red = values.iter().step_by(4);
            red.flat_map(|v| v.to_le_bytes()).collect()
        }
        TextureFormat::R16Float => {
            let red = values.iter().step_by(4);
            red.flat_map(|&v| f16::from_f32(v).to_le_bytes()).collect()
        }
        TextureFormat::Rg16Float => {
            let two = values.chunks(4).flat_map(|texel| &texel[..2]);
            two.flat_map(|&v| f16::from_f32(v).to_le_bytes()).collect()
        }
        // An f16 without its sign, and without its last mantissa bits.
        TextureFormat::Rg11b10Ufloat => {
            let short = |v: f32, bits: u32| {
                let half = u32::from(f16::from_f32(v.max(0.0)).to_bits());
                half >> (15 - bits)
            };
            let words = values
                .chunks(4)
                .map(|v| short(v[0], 11) | short(v[1], 11) << 11 | short(v[2], 10) << 22);
            words.flat_map(u32::to_le_bytes).collect()
        }
        TextureFormat::Rgb10a2Unorm => {
            let short = |v: f32, most: f32| (v.clamp(0.0, 1.0) * most).round() as u32;
            let words = values.chunks(4).map(|v| {
                let [r, g, b] = [0, 1, 2].map(|k| short(v[k], 1023.0));
                r | g << 10 | b << 20 | short(v[3], 3.0) << 30
            });
            words.flat_map(u32::to_le_bytes).collect()
        }
        _ => values.iter().map(byte).collect(),
    }
}

/// What the bytes of a linear format stand for, four values a texel: of channels that it lacks 0, and 1 for alpha.
pub fn values(format: TextureFormat, bytes: &[u8]) -> Vec<f32> {
    let unorm = |b: u8| f32::from(b) / 255.0;
    match format {
        TextureFormat::Rgba16Float => {
            let halves = bytes.as_chunks::<2>().0.iter();
            halves.map(|&b| f16::from_le_bytes(b).to_f32()).collect()
        }
        TextureFormat::Rgba32Float => {
            let singles = bytes.as_chunks::<4>().0.iter();
            singles.map(|&b| f32::from_le_bytes(b)).collect()
        }
        TextureFormat::Bgra8Unorm => {
            let swapped = bytes.chunks(4).flat_map(|b| [b[2], b[1], b[0], b[3]]);
            swapped.map(unorm).collect()
        }
        TextureFormat::R32Float => {
            let red = bytes.as_chunks::<4>().0.iter();
            red.flat_map(|&b| [f32::from_le_bytes(b), 0.0, 0.0, 1.0])
                .collect()
        }
        TextureFormat::R16Float => {
            let red = bytes.as_chunks::<2>().0.iter();
            red.flat_map(|&b| [f16::from_le_bytes(b).to_f32(), 0.0, 0.0, 1.0])
                .collect()
        }
        TextureFormat::Rg16Float => {
            let two = bytes.as_chunks::<4>().0.iter();
            let half = |low, high| f16::from_le_bytes([low, high]).to_f32();
            two.flat_map(|&[a, b, c, d]| [half(a, b), half(c, d), 0.0, 1.0])
                .collect()
        }
        TextureFormat::Rg11b10Ufloat => {
            let wide = |bits: u32, len: u32| f16::from_bits((bits << (15 - len)) as u16).to_f32();
            let words = bytes.as_chunks::<4>().0.iter();
            let words = words.map(|&b| u32::from_le_bytes(b));
            words
                .flat_map(|w| {
                    let (red, green) = (wide(w & 0x7ff, 11), wide(w >> 11 & 0x7ff, 11));
                    [red, green, wide(w >> 22, 10), 1.0]
                })
                .collect()
        }
        TextureFormat::Rgb10a2Unorm => {
            let words = bytes.as_chunks::<4>().0.iter();
            let words = words.map(|&b| u32::from_le_bytes(b));
            words
                .flat_map(|w| {
                    let [r, g, b] = [0, 10, 20].map(|at| (w >> at & 0x3ff) as f32 / 1023.0);
                    [r, g, b, (w >> 30) as f32 / 3.0]
                })
                .collect()
        }
        _ => bytes.iter().map(|&b| unorm(b)).collect(),
    }
}

/// Bytes of a level.
pub fn len(image: ImageTexture<'_>) -> usize {
    let (_, size) = level(image);
    (size.width * size.height * texel_bytes(image.format)) as usize
}

/// Whether shaders load what the bytes stand for: floats as they are; k/255 within two units in the last
/// place, since hardware multiplies; sRGB within three quarters of a step of its curve, as where it is stored.
pub fn judge_loaded(format: TextureFormat, bytes: &[u8], loaded: &[f32]) -> Option<Finding> {
    let linear = format.remove_srgb_suffix();
    let given = values(linear, bytes);
    let right = |k: usize| {
        let (got, given) = (f64::from(loaded[k]), f64::from(given[k]));
        let srgb = format.is_srgb() && k % 4 != 3;
        match linear {
            TextureFormat::Rgba16Float
            | TextureFormat::Rgba32Float
            | TextureFormat::R16Float
            | TextureFormat::R32Float
            | TextureFormat::Rg16Float
            | TextureFormat::Rg11b10Ufloat => got == given,
            _ if srgb => (encoded(got) - given).abs() <= 0.75 / 255.0,
            _ => (got - given).abs() <= 2.0 * f64::from(f32::EPSILON),
        }
    };
    let index = match loaded.len() == given.len() {
        true => (0..given.len()).find(|&k| !right(k))?,
        false => loaded.len().min(given.len()),
    };
    let value = |values: &[f32]| values.get(index).copied().unwrap_or(f32::NAN);
    let tensor = "x as shaders load it";
    Some(Finding::new(
        tensor,
        index,
        value(loaded),
        value(&given).into(),
    ))
}

/// The image's values as this device's shaders load them.
pub fn loaded(gpu: &Gpu, image: ImageTexture<'_>) -> Result<Vec<f32>, Error> {
    const SHADER: &str = "
        @group(0) @binding(0) var x: texture_2d<f32>;
        @group(0) @binding(1) var<storage, read_write> values: array<vec4<f32>>;
        @compute @workgroup_size(64)
        fn main(@builtin(global_invocation_id) at: vec3<u32>) {
            let width = textureDimensions(x).x;
            if (at.x < width) {
                values[at.y * width + at.x] = textureLoad(x, at.xy, 0);
            }
        }";
    let (_, size) = level(image);
    let len = (size.width * size.height * 4) as usize;
    let out = Tensor::upload(gpu, &[len], &vec![check::POISON; len])?;
    let device = gpu.device();
    let pipeline = crate::gpu::pipeline(device, SHADER);
    let view = image.texture.create_view(&wgpu::TextureViewDescriptor {
        format: Some(image.format),
        dimension: Some(wgpu::TextureViewDimension::D2),
        usage: Some(TextureUsages::TEXTURE_BINDING),
        base_mip_level: image.mip_level,
        mip_level_count: Some(1),
        base_array_layer: image.array_layer,
        array_layer_count: Some(1),
        ..Default::default()
    });
    let bind_group = device.create_bind_group(&wgpu::BindGroupDescriptor {
        label: None,
        layout: &pipeline.get_bind_group_layout(0),
        entries: &[
            wgpu::BindGroupEntry {
                binding: 0,
                resource: wgpu::BindingResource::TextureView(&view),
            },
            wgpu::BindGroupEntry {
                binding: 1,
                resource: out.buffer().as_entire_binding(),
            },
        ],
    });
    let mut encoder = device.create_command_encoder(&Default::default());
    {
        let mut pass = encoder.begin_compute_pass(&Default::default());
        pass.set_pipeline(&pipeline);
        pass.set_bind_group(0, &bind_group, &[]);
        pass.dispatch_workgroups(size.width.div_ceil(64), size.height, 1);
    }
    gpu.queue().submit([encoder.finish()]);
    Ok(out.read_blocking()?)
}

/// y of an image by the reference, before it is stored, and per channel what errors are measured in.
pub struct Expected {
    pub y: Vec<f64>,
    scale: [f64; 4],
}

impl Expected {
    /// By the batch's statistics, or by frozen ones.
    pub fn of(
        input: &check::Input<'_>,
        frozen: Option<&RunningStatistics>,
    ) -> Result<Self, ShapeError> {
        let (view, parameters, eps) = (&input.view, input.parameters, input.eps);
        let z = match frozen {
            Some(running) => {
                let wide = |v: &[f32]| v.iter().map(|&v| f64::from(v)).collect();
                let frozen = reference::Moments::new(wide(&running.mean), wide(&running.variance))?;
                reference::normalize(view, input.x, &frozen, parameters, eps)?
            }
            None => reference::train_forward(view, input.x, parameters, eps)?.0,
        };
        let activation = input.epilogue.activation;
        let mut scale = [0.0; 4];
        for (i, z) in z.iter().enumerate().filter(|(_, z)| z.is_finite()) {
            let bias = f64::from(parameters.bias(i % 4));
            let mut here = (z - bias).abs() + bias.abs();
            if activation != Activation::None {
                here = here * steepest(activation) + activate(activation, *z).abs();
            }
            scale[i % 4] = f64::max(scale[i % 4], here);
        }
        Ok(Self {
            y: z.into_iter().map(|z| activate(activation, z)).collect(),
            scale,
        })
    }

    /// The worst of what was stored, beyond what the format rounds away. Alpha may be that of the image
    /// `kept`; nothing beyond rounding is allowed there.
    pub fn judge(&self, format: TextureFormat, got: &[f32], kept: Option<&[f32]>) -> Finding {
        let finding = |index, got, expected, error| {
            Finding::new("y", index, got, expected).with_error(error, FORWARD_BOUND)
        };
        let error = match got.len() == self.y.len() {
            true => -1.0,
            false => f64::INFINITY,
        };
        let index = got.len().min(self.y.len());
        let mut worst = finding(index, f32::NAN, f64::NAN, error);
        for (index, (&got, &y)) in got.iter().zip(&self.y).enumerate() {
            let alpha = index % 4 == 3;
            let (y, scale) = match kept {
                Some(x) if alpha => (x[index].into(), 0.0),
                _ => (y, self.scale[index % 4]),
            };
            let (expected, free, steepest) = stored(format, y, alpha);
            let off = (f64::from(got) - expected).abs() - free;
            let error = match (got.is_nan(), expected.is_nan()) {
                (true, true) => 0.0,
                (false, false) => off.max(0.0) / (steepest * scale).max(1e-38),
                _ => f64::INFINITY,
            };
            if error > worst.error {
                worst = finding(index, got, expected, error);
            }
        }
        worst
    }
}

/// What a texture of this format holds of `y`, how far off a driver may store it, and how steep its
/// curve is at most.
fn stored(format: TextureFormat, y: f64, alpha: bool) -> (f64, f64, f64) {
    // Read as f32, k/255 is 3e-8 off.
    let steps = |steps: f64| steps / 255.0 + 6e-8;
    match format {
        TextureFormat::Rgba16Float => {
            let exponent = y.abs().max(2f64.powi(-14)).log2().floor();
            (y, (exponent - 11.0).exp2(), 1.0)
        }
        TextureFormat::Rgba32Float => (y, 0.0, 1.0),
        // Formats without NaN get 0.
        _ => {
            let y = if y.is_nan() { 0.0 } else { y.clamp(0.0, 1.0) };
            match format.is_srgb() && !alpha {
                // Half a step is rounding; drivers may round a little differently, and Direct3D, the
                // strictest there is, grants them 0.6.
                false => (y, steps(0.6), 1.0),
                // Vulkan and WebGPU name no bound here; lavapipe's approximate curve is 0.61 off.
                true => (encoded(y), steps(0.75), 12.92),
            }
        }
    }
}

/// What an 8-bit sRGB target stores for a linear value.
fn encoded(linear: f64) -> f64 {
    match linear <= 0.0031308 {
        true => linear * 12.92,
        false => 1.055 * linear.powf(1.0 / 2.4) - 0.055,
    }
}
