//! An image with all that its operations bind, and the textures' bytes to the host and back.

use half::f16;
use wgpu_batchnorm::check::{self, Finding, TrainResult};
use wgpu_batchnorm::reference::epilogue::{activate, steepest};
use wgpu_batchnorm::wgpu::{
    self, BufferUsages, CommandEncoder, Extent3d, TextureDescriptor, TextureDimension,
    TextureFormat, TextureUsages,
};
use wgpu_batchnorm::{
    Activation, Config, Context, Element, Gpu, ImageInferenceBuffers, ImagePlan,
    ImageStatisticsBuffers, ImageTexture, ImageTrainBuffers, Tensor, reference,
};

use crate::buffers::Place;
use crate::common::case::Case;
use crate::common::data::{Kind, Random};
use crate::common::gpu::{running_of, running_rows, saved_of};

pub const ALL_USAGES: TextureUsages = TextureUsages::TEXTURE_BINDING
    .union(TextureUsages::COPY_DST)
    .union(TextureUsages::COPY_SRC);

/// A 2D texture, with the sRGB or linear twin of its format to view it as. One that is storage too
/// is linear.
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
    let linear = format.remove_srgb_suffix();
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
        format: match usage.contains(TextureUsages::STORAGE_BINDING) {
            true => linear,
            false => format,
        },
        usage,
        view_formats: &[linear, format.add_srgb_suffix()],
    })
}

fn texel_bytes(format: TextureFormat) -> u32 {
    format.block_copy_size(None).unwrap()
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
pub fn read(gpu: &Gpu, image: ImageTexture<'_>) -> Vec<u8> {
    let (info, size) = level(image);
    let row = (size.width * texel_bytes(image.format)) as usize;
    let padded = row.next_multiple_of(256);
    let copy = Tensor::empty(gpu, &[padded / 4 * size.height as usize]).unwrap();
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
    let words = copy.read_blocking().unwrap();
    let bytes: Vec<u8> = words
        .iter()
        .flat_map(|v| v.to_bits().to_le_bytes())
        .collect();
    bytes
        .chunks(padded)
        .flat_map(|padded| padded[..row].to_vec())
        .collect()
}

/// What the bytes of a linear format stand for.
pub fn values(format: TextureFormat, bytes: &[u8]) -> Vec<f32> {
    let half = |b: &[u8]| f16::from_le_bytes([b[0], b[1]]).to_f32();
    let single = |b: &[u8]| f32::from_le_bytes(b.try_into().unwrap());
    match format {
        TextureFormat::Rgba16Float => bytes.chunks(2).map(half).collect(),
        TextureFormat::Rgba32Float => bytes.chunks(4).map(single).collect(),
        TextureFormat::Bgra8Unorm => {
            let swapped = bytes.chunks(4).flat_map(|b| [b[2], b[1], b[0], b[3]]);
            swapped.map(|b| f32::from(b) / 255.0).collect()
        }
        _ => bytes.iter().map(|&b| f32::from(b) / 255.0).collect(),
    }
}

/// Pixels of a made-up photograph: four channels of different brightness and contrast.
pub fn pixels(format: TextureFormat, count: usize, seed: u64) -> Vec<u8> {
    let mut random = Random::new(seed);
    let channels = [(0.55, 0.2), (0.3, 0.05), (0.9, 0.01), (0.5, 0.3)];
    let mut bytes = Vec::new();
    for (mean, deviation) in std::iter::repeat_n(channels, count).flatten() {
        let value = mean + deviation * random.normal();
        match format {
            TextureFormat::Rgba16Float => bytes.extend(f16::from_f64(8.0 * value).to_le_bytes()),
            TextureFormat::Rgba32Float => bytes.extend((8.0 * value as f32).to_le_bytes()),
            _ => bytes.push((value.clamp(0.0, 1.0) * 255.0).round() as u8),
        }
    }
    bytes
}

/// The image's values as this device's shaders load them.
pub fn loaded(gpu: &Gpu, image: ImageTexture<'_>) -> Vec<f32> {
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
    let out = Tensor::upload(gpu, &[len], &vec![f32::NAN; len]).unwrap();
    let device = gpu.device();
    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: None,
        source: wgpu::ShaderSource::Wgsl(SHADER.into()),
    });
    let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: None,
        layout: None,
        module: &module,
        entry_point: None,
        compilation_options: Default::default(),
        cache: None,
    });
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
    crate::buffers::submit(gpu, |pass| {
        pass.set_pipeline(&pipeline);
        pass.set_bind_group(0, &bind_group, &[]);
        pass.dispatch_workgroups(size.width.div_ceil(64), size.height, 1);
    });
    out.read_blocking().unwrap()
}

/// A plan, the textures and the buffers of one image.
pub struct Setup {
    pub gpu: Gpu,
    pub plan: ImagePlan,
    /// The image as a tensor of the values that shaders load.
    pub case: Case,
    pub x: wgpu::Texture,
    pub x_format: TextureFormat,
    pub y: wgpu::Texture,
    pub affine: Option<Place>,
    pub running: Option<Place>,
    pub saved: Place,
    pub workspace: Place,
}

impl Setup {
    pub fn new(
        context: (&Gpu, &Context),
        config: &Config,
        size: [u32; 2],
        [x_format, y_format]: [TextureFormat; 2],
    ) -> Self {
        let pixels = pixels(x_format, (size[0] * size[1]) as usize, 7);
        Self::of(context, config, size, [x_format, y_format], &pixels)
    }

    /// With these bytes in `x`.
    pub fn of(
        (gpu, context): (&Gpu, &Context),
        config: &Config,
        size: [u32; 2],
        [x_format, y_format]: [TextureFormat; 2],
        pixels: &[u8],
    ) -> Self {
        let plan = context.plan_image(config, size[0], size[1]).unwrap();
        let x = texture(gpu, size, x_format, ALL_USAGES);
        let image = ImageTexture::new(&x).with_format(x_format);
        write(gpu, image, pixels);
        let y = texture(
            gpu,
            size,
            y_format,
            ALL_USAGES | TextureUsages::STORAGE_BINDING,
        );
        let [width, height] = size.map(|side| side as usize);
        let shape = [height, width, 4];
        let mut case = Case::new(&shape, config.with_axis(-1), Kind::ALL[0], 3);
        case.x = match x_format {
            // Exact, as a test of its own says.
            TextureFormat::Rgba16Float | TextureFormat::Rgba32Float => values(x_format, pixels),
            _ => loaded(gpu, image),
        };
        // Most of y lies between 0 and 1, and some of it does not.
        let mut random = Random::new(5);
        let mut near = |mean, deviation| random.normals(4, mean, deviation);
        case.weight = config.affine.has_weight().then(|| near(0.3, 0.1));
        case.bias = config.affine.has_bias().then(|| near(0.5, 0.1));
        if let Some(running) = &mut case.running {
            running.mean = case.x[..4]
                .iter()
                .map(|v| if v.is_finite() { *v } else { 0.5 })
                .collect();
            running.variance = near(0.1, 0.01);
        }
        let nan = vec![f32::NAN; 4];
        let rows = [&case.weight, &case.bias].map(|row| row.as_ref().unwrap_or(&nan).clone());
        let has_affine = case.weight.is_some() || case.bias.is_some();
        let place = |values: &[f32]| Place::new(gpu, values);
        Self {
            affine: has_affine.then(|| place(&rows.concat())),
            running: case.running.as_ref().map(|r| place(&running_rows(r))),
            saved: place(&[f32::NAN; 20]),
            workspace: place(&vec![f32::NAN; plan.workspace_bytes() as usize / 4]),
            gpu: gpu.clone(),
            plan,
            case,
            x,
            x_format,
            y,
        }
    }

    pub fn x(&self) -> ImageTexture<'_> {
        ImageTexture::new(&self.x).with_format(self.x_format)
    }

    pub fn train(&self) -> ImageTrainBuffers<'_> {
        ImageTrainBuffers {
            x: self.x(),
            y: ImageTexture::new(&self.y),
            keep_alpha: false,
            affine: self.affine.as_ref().map(Place::slice),
            running: self.running.as_ref().map(Place::slice),
            saved: self.saved.slice(),
            workspace: self.workspace.slice(),
        }
    }

    pub fn inference(&self) -> ImageInferenceBuffers<'_> {
        ImageInferenceBuffers {
            x: self.x(),
            y: ImageTexture::new(&self.y),
            keep_alpha: false,
            affine: self.affine.as_ref().map(Place::slice),
            running: self.running.as_ref().unwrap().slice(),
        }
    }

    pub fn statistics(&self) -> ImageStatisticsBuffers<'_> {
        ImageStatisticsBuffers {
            x: self.x(),
            running: self.running.as_ref().map(Place::slice),
            saved: self.saved.slice(),
            workspace: self.workspace.slice(),
        }
    }

    /// `y` as stored.
    pub fn y(&self) -> Vec<f32> {
        values(
            self.y.format(),
            &read(&self.gpu, ImageTexture::new(&self.y)),
        )
    }

    /// Asserts what training leaves in `saved` and `running`, and `y`, where it is of halves.
    pub fn assert_trained(&self, halves: Option<&[f32]>, what: &str) {
        let saved = saved_of(&self.saved.read());
        let after = self.running.as_ref().map(|r| running_of(&r.read()));
        let mut input = self.case.input();
        input.epilogue.element = Element::F16;
        let running = self.case.running.as_ref().zip(after.as_ref());
        let result = TrainResult {
            y: halves.unwrap_or(&self.case.x),
            saved: &saved,
            running: running
                .zip(self.case.config.running)
                .map(|((b, a), r)| (b, a, r)),
        };
        let mut report = check::train_forward(&input, &result);
        let about_y = |finding: &Finding| finding.tensor == "y";
        report
            .findings
            .retain(|finding| halves.is_some() || !about_y(finding));
        report.enforce().unwrap_or_else(|e| panic!("{what}: {e}"));
    }

    /// y by the batch's statistics or by frozen ones, and how far f32 may be off it.
    pub fn expected(&self, frozen: bool) -> (Vec<f64>, Vec<f64>) {
        let Case {
            view, x, config, ..
        } = &self.case;
        let parameters = self.case.parameters();
        let z = match (frozen, &self.case.running) {
            (true, Some(running)) => {
                let wide = |v: &[f32]| v.iter().map(|&v| f64::from(v)).collect();
                let frozen = reference::Moments {
                    mean: wide(&running.mean),
                    variance: wide(&running.variance),
                };
                reference::normalize(view, x, &frozen, parameters, config.eps)
            }
            _ => reference::train_forward(view, x, parameters, config.eps).0,
        };
        let activation = config.activation;
        let bias = |c: usize| self.case.bias.as_ref().map_or(0.0, |b| f64::from(b[c]));
        let mut scale = [0.0; 4];
        for (i, z) in z.iter().enumerate().filter(|(_, z)| z.is_finite()) {
            let bias = bias(i % 4);
            let mut here = (z - bias).abs() + bias.abs();
            if activation != Activation::None {
                here = here * steepest(activation) + activate(activation, *z).abs();
            }
            scale[i % 4] = f64::max(scale[i % 4], here);
        }
        let error = (0..z.len()).map(|i| check::FORWARD_BOUND * scale[i % 4]);
        let y = z.iter().map(|&z| activate(activation, z));
        (y.collect(), error.collect())
    }
}

/// [`assert_stored`] where 8 bits are linear. Half a step is rounding; drivers may round a little
/// differently, and Direct3D, the strictest there is, grants them 0.6.
pub fn assert_unorm(got: &[f32], expected: &(Vec<f64>, Vec<f64>), what: &str) {
    assert_stored(got, expected, 0.6, what);
}

/// Asserts 8-bit values between 0 and 1: clamped, NaN as 0, at most so many steps of 1/255 off
/// beyond the error given with each.
pub fn assert_stored(
    got: &[f32],
    (expected, error): &(Vec<f64>, Vec<f64>),
    steps: f64,
    what: &str,
) {
    assert_eq!(got.len(), expected.len());
    for (i, &got) in got.iter().enumerate() {
        let clamped = match expected[i].is_nan() {
            true => 0.0,
            false => expected[i].clamp(0.0, 1.0),
        };
        // Written as f32, k/255 is 3e-8 off.
        let bound = steps / 255.0 + error[i] + 6e-8;
        let off = (f64::from(got) - clamped).abs();
        assert!(
            off <= bound,
            "{what}: y[{i}] is {got}, expected {clamped}: {off} > {bound}"
        );
    }
}

/// A storage buffer that is too short, or none at all, of the given usage.
pub fn raw_buffer(gpu: &Gpu, size: u64, usage: BufferUsages) -> wgpu::Buffer {
    gpu.device().create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size,
        usage,
        mapped_at_creation: false,
    })
}

/// Submits what `record` puts into an encoder.
pub fn submit(gpu: &Gpu, record: impl FnOnce(&mut CommandEncoder)) {
    let mut encoder = gpu.device().create_command_encoder(&Default::default());
    record(&mut encoder);
    gpu.queue().submit([encoder.finish()]);
}

pub fn with_alpha(b: ImageTrainBuffers<'_>, keep_alpha: bool) -> ImageTrainBuffers<'_> {
    ImageTrainBuffers { keep_alpha, ..b }
}
