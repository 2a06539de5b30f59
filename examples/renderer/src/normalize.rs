//! The seam between the renderer and batch norm: a texture in, a texture out.

use std::error::Error;

use wgpu_batchnorm::error::BindError;
use wgpu_batchnorm::wgpu::{self, util::DeviceExt as _};
use wgpu_batchnorm::{
    Binding, Config, Context, ImageInferenceBuffers, ImageStatisticsBuffers, ImageTexture,
    ImageTrainBuffers, Momentum, RunningStatistics,
};

use crate::{MEAN, Rectangle, STD};

/// The format of what comes out: values beyond [0, 1] are kept until something shows them.
pub const FORMAT: wgpu::TextureFormat = wgpu::TextureFormat::Rgba16Float;

/// How much of a new frame goes into an exposure that follows slowly.
const FOLLOW: f32 = 0.05;

/// Normalizes the red, green and blue of one texture into another; alpha goes over as it is.
///
/// Everything is made once; a frame costs what [`Normalization::normalize`] records.
pub struct Normalization {
    /// Moves the exposure, where that follows slowly.
    statistics: Option<Binding>,
    batch_norm: Binding,
    result: wgpu::Texture,
}

impl Normalization {
    /// Normalizes the part `view` of `frame`; what lies outside is not looked at, and stays black in the result.
    ///
    /// Each channel gets mean [`MEAN`] and standard deviation [`STD`]; statistics are taken over the view's pixels. With an
    /// `exposure`, they are of luminance alone, so that hues stay, and follow from frame to frame: they are running statistics.
    pub fn new(
        context: &Context,
        device: &wgpu::Device,
        frame: &wgpu::Texture,
        view: Rectangle,
        exposure: bool,
    ) -> Result<Self, Box<dyn Error>> {
        let [width, height] = view.size;
        // The scene's variances are of the size of PyTorch's eps, which would show in the result.
        let config = Config::pytorch().with_eps(1e-9);
        let config = match exposure {
            // The first frame is taken whole.
            true => config.with_momentum(Momentum::new(1.0)),
            false => config.without_running(),
        };
        let plan = context.plan_image(&config, width, height)?;
        let buffer = |label, bytes| {
            device.create_buffer(&wgpu::BufferDescriptor {
                label: Some(label),
                size: bytes,
                usage: wgpu::BufferUsages::STORAGE,
                mapped_at_creation: false,
            })
        };
        let filled = |label, rows: &[f32]| {
            device.create_buffer_init(&wgpu::util::BufferInitDescriptor {
                label: Some(label),
                contents: bytemuck::cast_slice(rows),
                usage: wgpu::BufferUsages::STORAGE,
            })
        };
        let saved = buffer("saved", plan.saved_bytes());
        let workspace = buffer("workspace", plan.workspace_bytes());
        // Batch norm's weight is the standard deviation that comes out, its bias the mean.
        let affine = filled("affine", &[[STD; 4], [MEAN; 4]].concat());
        let result = device.create_texture(&wgpu::TextureDescriptor {
            label: Some("normalized frame"),
            size: frame.size(),
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format: FORMAT,
            usage: wgpu::TextureUsages::STORAGE_BINDING
                | wgpu::TextureUsages::TEXTURE_BINDING
                | wgpu::TextureUsages::COPY_SRC,
            view_formats: &[],
        });
        let x = ImageTexture::new(frame).with_origin(view.origin);
        let y = ImageTexture::new(&result).with_origin(view.origin);
        let (saved, workspace, affine) = (saved.slice(..), workspace.slice(..), affine.slice(..));
        let (statistics, batch_norm) = if exposure {
            let running = filled("running", &RunningStatistics::new(4)?.to_rows()?);
            let statistics = ImageStatisticsBuffers::new(x, saved, workspace)
                .with_luminance(true)
                .with_running(running.slice(..));
            let by_running = ImageInferenceBuffers::new(x, y, running.slice(..))
                .with_keep_alpha(true)
                .with_affine(affine);
            (
                Some(plan.bind_statistics(&statistics)?),
                plan.bind_inference(&by_running)?,
            )
        } else {
            let buffers = ImageTrainBuffers::new(x, y, saved, workspace)
                .with_keep_alpha(true)
                .with_affine(affine);
            (None, plan.bind_train(&buffers)?)
        };
        Ok(Self {
            statistics,
            batch_norm,
            result,
        })
    }

    /// Records the normalization of what is in the frame by then.
    pub fn normalize(&mut self, encoder: &mut wgpu::CommandEncoder) -> Result<(), BindError> {
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
            label: Some("normalize"),
            timestamp_writes: None,
        });
        if let Some(statistics) = &mut self.statistics {
            statistics.encode(&mut pass);
            // From the second frame on; what was recorded keeps its own.
            statistics.set_momentum(Momentum::new(FOLLOW))?;
        }
        self.batch_norm.encode(&mut pass);
        Ok(())
    }

    /// The normalized frame.
    pub fn result(&self) -> &wgpu::Texture {
        &self.result
    }
}
