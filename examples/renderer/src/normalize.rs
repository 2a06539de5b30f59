//! The seam between the renderer and batch norm: a texture in, a texture out.

use std::error::Error;

use wgpu_batchnorm::wgpu::{self, util::DeviceExt as _};
use wgpu_batchnorm::{Binding, Config, Context, ImageTrainBuffers};

/// The format of what comes out: values beyond [0, 1] are kept until something shows them.
pub const FORMAT: wgpu::TextureFormat = wgpu::TextureFormat::Rgba16Float;

/// Normalizes the red, green and blue of one texture into another; alpha goes over as it is.
///
/// Everything is made once; a frame costs what [`Normalization::normalize`] records. A channel's
/// statistics are taken over the frame's pixels.
pub struct Normalization {
    batch_norm: Binding,
    result: wgpu::Texture,
}

impl Normalization {
    /// Each channel of `frame` gets this mean and this standard deviation.
    pub fn new(
        context: &Context,
        device: &wgpu::Device,
        frame: &wgpu::Texture,
        mean: f32,
        std: f32,
    ) -> Result<Self, Box<dyn Error>> {
        let size = frame.size();
        // The scene's variances are of the size of PyTorch's eps, which would show in the result.
        let config = Config::pytorch().with_eps(1e-9).without_running();
        let plan = context.plan_image(&config, size.width, size.height)?;
        let buffer = |label, bytes| {
            device.create_buffer(&wgpu::BufferDescriptor {
                label: Some(label),
                size: bytes,
                usage: wgpu::BufferUsages::STORAGE,
                mapped_at_creation: false,
            })
        };
        let saved = buffer("saved", plan.saved_bytes());
        let workspace = buffer("workspace", plan.workspace_bytes());
        // Batch norm's weight is the standard deviation that comes out, its bias the mean.
        let affine = device.create_buffer_init(&wgpu::util::BufferInitDescriptor {
            label: Some("affine"),
            contents: bytemuck::cast_slice(&[[std; 4], [mean; 4]]),
            usage: wgpu::BufferUsages::STORAGE,
        });
        let result = device.create_texture(&wgpu::TextureDescriptor {
            label: Some("normalized frame"),
            size,
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format: FORMAT,
            usage: wgpu::TextureUsages::STORAGE_BINDING
                | wgpu::TextureUsages::TEXTURE_BINDING
                | wgpu::TextureUsages::COPY_SRC,
            view_formats: &[],
        });
        let buffers = ImageTrainBuffers::new(frame, &result, saved.slice(..), workspace.slice(..))
            .with_keep_alpha(true)
            .with_affine(affine.slice(..));
        let batch_norm = plan.bind_train(&buffers)?;
        Ok(Self { batch_norm, result })
    }

    /// Records the normalization of what is in the frame by then.
    pub fn normalize(&self, encoder: &mut wgpu::CommandEncoder) {
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
            label: Some("normalize"),
            timestamp_writes: None,
        });
        self.batch_norm.encode(&mut pass);
    }

    /// The normalized frame.
    pub fn result(&self) -> &wgpu::Texture {
        &self.result
    }
}
