//! Images: textures in, textures or colour targets out, nothing copied through a buffer.

mod buffers;
mod render;
mod tensor;
mod texture;
mod warm_up;

pub use buffers::{
    ImageInferenceBuffers, ImageRenderInputs, ImageStatisticsBuffers, ImageTrainBuffers,
};
pub use render::{ImageDraw, ImageRender};
pub use tensor::{ImageFromTensorBuffers, ImageLayout, ImageToTensorBuffers};
pub use texture::ImageTexture;
pub use warm_up::ImageWarmUp;

use crate::binding::Binding;
use crate::bindings::{Named, Request, bind};
use crate::config::Config;
use crate::context::Context;
use crate::error::{BindError, PlanError};
use crate::operation::{Asked, AskedWeights, Operation, rows};
use crate::plan::describe::describe_image;
use crate::plan::{self, Schedule};
use crate::record::WeightsBuffer;
use crate::shaders::Role;
use crate::shape::View;
use crate::weights::Broadcast;

/// Channels of an image.
const CHANNELS: usize = 4;

/// Every operation of one configuration on images of one size.
///
/// An image is `[height][width][4]`, and its four channels are normalized independently. Red is channel 0,
/// alpha channel 3, also where a format keeps blue first. Values are what a shader loads: k/255 for 8 bits,
/// and linear values for an sRGB format. Per-channel values are f32.
#[derive(Clone, Debug)]
pub struct ImagePlan {
    context: Context,
    config: Config,
    size: [u32; 2],
    schedule: Schedule,
}

impl Context {
    /// Plans every operation of `config` on images of `width`×`height` pixels. The configuration's
    /// axis and element have no meaning here: textures bring their own.
    ///
    /// ```
    /// use wgpu_batchnorm::{Affine, Config, ImageTrainBuffers, Tensor, wgpu};
    ///
    /// # let gpu = wgpu_batchnorm::Gpu::new_blocking(&wgpu_batchnorm::Adapter::Best)?;
    /// # let (device, queue, context) = (gpu.device(), gpu.queue(), gpu.context());
    /// let texture = |usage| device.create_texture(&wgpu::TextureDescriptor {
    ///     format: wgpu::TextureFormat::Rgba8Unorm,
    ///     usage,
    /// #   label: None,
    /// #   size: wgpu::Extent3d { width: 2, height: 1, depth_or_array_layers: 1 },
    /// #   mip_level_count: 1,
    /// #   sample_count: 1,
    /// #   dimension: wgpu::TextureDimension::D2,
    /// #   view_formats: &[],
    ///     // ...
    /// });
    /// let frame = texture(wgpu::TextureUsages::TEXTURE_BINDING | wgpu::TextureUsages::COPY_DST);
    /// let result = texture(wgpu::TextureUsages::STORAGE_BINDING);
    /// # let pixels = [0, 51, 102, 255, 255, 153, 102, 255];
    /// # queue.write_texture(frame.as_image_copy(), &pixels, Default::default(), frame.size());
    ///
    /// let config = Config::pytorch().without_running().with_affine(Affine::None);
    /// let plan = context.plan_image(&config, frame.width(), frame.height())?;
    /// let buffer = |bytes: u64| Tensor::empty(&gpu, &[bytes as usize / 4]);
    /// let saved = buffer(plan.saved_bytes())?;
    /// let workspace = buffer(plan.workspace_bytes())?;
    /// let buffers = ImageTrainBuffers::new(&frame, &result, saved.slice(), workspace.slice());
    /// let binding = plan.bind_train(&buffers.with_keep_alpha(true))?;
    /// let mut encoder = device.create_command_encoder(&Default::default());
    /// binding.encode(&mut encoder.begin_compute_pass(&Default::default()));
    /// queue.submit([encoder.finish()]);
    ///
    /// let means = &saved.read_blocking()?[3 * 4..4 * 4]; // red, green, blue, alpha
    /// assert!(means.iter().zip([0.5, 0.4, 0.4, 1.0]).all(|(m, v)| (m - v).abs() < 1e-6));
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Options out of range; a side of 0 or beyond `max_texture_dimension_2d`; scratch that one binding
    /// cannot hold.
    pub fn plan_image(
        &self,
        config: &Config,
        width: u32,
        height: u32,
    ) -> Result<ImagePlan, PlanError> {
        config.validate()?;
        // Addresses are u32, and a lane's last step reaches past the end.
        let max = self.device().limits().max_texture_dimension_2d.min(1 << 15);
        if [width, height].iter().any(|side| !(1..=max).contains(side)) {
            return Err(PlanError::ImageSize { width, height, max });
        }
        let schedule = {
            let pixels = width as usize * height as usize;
            plan::plan_image(pixels, &Operation::ImageTrain.needs(), self.machine())?
        };
        Ok(ImagePlan {
            context: self.clone(),
            config: *config,
            size: [width, height],
            schedule,
        })
    }
}

impl ImagePlan {
    /// The image as a tensor: `(width·height, 4, 1)`.
    pub fn view(&self) -> View {
        self.schedule.view
    }

    /// Width and height, in pixels.
    pub fn size(&self) -> [u32; 2] {
        self.size
    }

    /// What was chosen for each operation, and why, a line each.
    pub fn describe(&self) -> String {
        describe_image(
            &self.schedule,
            self.context.machine(),
            self.context.tuned_on(),
            self.size,
        )
    }

    /// Bytes of weight and bias.
    pub fn affine_bytes(&self) -> u64 {
        rows::bytes(rows::AFFINE, CHANNELS)
    }

    /// Bytes of running mean, running variance and number of batches.
    pub fn running_bytes(&self) -> u64 {
        rows::bytes(rows::RUNNING, CHANNELS)
    }

    /// Bytes of what training forward saves: pivot, offset, inv_std, batch_mean and batch_var.
    pub fn saved_bytes(&self) -> u64 {
        rows::bytes(rows::SAVED, CHANNELS)
    }

    /// Bytes of scratch that any one operation of this plan needs. Operations that run one after
    /// another can share it.
    pub fn workspace_bytes(&self) -> u64 {
        self.schedule.workspace_bytes()
    }

    /// Binds training forward: two dispatches.
    ///
    /// # Errors
    /// Options that do not allow training on this size; textures and buffers that do not fit.
    pub fn bind_train(&self, b: &ImageTrainBuffers<'_>) -> Result<Binding, BindError> {
        let x = texture::read_sized(self.context.device(), &b.x, self.size)?;
        let (y, format) = texture::write(self.context.device(), &b.y, self.size, Some(&b.x))?;
        let asked = Asked {
            keep_alpha: b.keep_alpha,
            luminance: b.luminance,
            weights: self.weights(b.weights.as_ref())?,
            format: Some(format),
            y_origin: b.y.first(),
            ..self.asked(&b.x)
        };
        let buffers = [
            ("weights", b.weights.map(|weights| weights.values)),
            ("affine", b.affine),
            ("running", b.running),
            ("saved", Some(b.saved)),
            ("workspace", Some(b.workspace)),
        ];
        let textures = [(Role::X, x), (Role::Out, y)];
        self.bind(Operation::ImageTrain, asked, &buffers, &textures)
    }

    /// Binds inference: one dispatch.
    ///
    /// # Errors
    /// A configuration without running statistics; textures and buffers that do not fit.
    pub fn bind_inference(&self, b: &ImageInferenceBuffers<'_>) -> Result<Binding, BindError> {
        let x = texture::read_sized(self.context.device(), &b.x, self.size)?;
        let (y, format) = texture::write(self.context.device(), &b.y, self.size, Some(&b.x))?;
        let asked = Asked {
            keep_alpha: b.keep_alpha,
            format: Some(format),
            y_origin: b.y.first(),
            ..self.asked(&b.x)
        };
        let buffers = [("affine", b.affine), ("running", Some(b.running))];
        let textures = [(Role::X, x), (Role::Out, y)];
        self.bind(Operation::ImageInference, asked, &buffers, &textures)
    }

    /// Binds the statistics alone, for an [`ImageRender`] to normalize by: what
    /// [`ImagePlan::bind_train`] does, but for `y`. Two dispatches.
    ///
    /// # Errors
    /// Options that do not allow training on this size; a texture and buffers that do not fit.
    pub fn bind_statistics(&self, b: &ImageStatisticsBuffers<'_>) -> Result<Binding, BindError> {
        let x = texture::read_sized(self.context.device(), &b.x, self.size)?;
        let buffers = [
            ("weights", b.weights.map(|weights| weights.values)),
            ("running", b.running),
            ("saved", Some(b.saved)),
            ("workspace", Some(b.workspace)),
        ];
        let textures = [(Role::X, x)];
        let asked = Asked {
            luminance: b.luminance,
            weights: self.weights(b.weights.as_ref())?,
            ..self.asked(&b.x)
        };
        self.bind(Operation::ImageStatistics, asked, &buffers, &textures)
    }

    /// Weights of the pixels.
    fn weights(
        &self,
        weights: Option<&WeightsBuffer<'_>>,
    ) -> Result<Option<AskedWeights>, BindError> {
        let Some(weights) = weights else {
            return Ok(None);
        };
        let [width, height] = self.size.map(|side| side as usize);
        let shape = [weights.shape, &[1]].concat();
        let places = Broadcast::new(&[height, width, 4], |axis| axis == 2, &shape)?;
        Ok(Some(AskedWeights {
            places,
            outside: weights.outside,
            per_weight: false,
        }))
    }

    fn asked(&self, x: &ImageTexture<'_>) -> Asked {
        Asked {
            width: self.size[0],
            x_origin: x.first(),
            ..Asked::default()
        }
    }

    fn bind(
        &self,
        operation: Operation,
        asked: Asked,
        buffers: &[Named<'_>],
        textures: &[(Role, wgpu::TextureView)],
    ) -> Result<Binding, BindError> {
        bind(
            &self.context,
            &Request {
                operation,
                config: &self.config,
                schedule: &self.schedule,
                asked,
                buffers,
                textures,
            },
        )
    }
}
