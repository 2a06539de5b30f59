//! Images: textures in, textures or colour targets out, nothing copied through a buffer.

mod buffers;
mod render;
mod texture;

pub use buffers::{
    ImageInferenceBuffers, ImageRenderInputs, ImageStatisticsBuffers, ImageTrainBuffers,
};
pub use render::{ImageDraw, ImageRender};
pub use texture::ImageTexture;

use wgpu::BufferSlice;

use crate::bindings::{Binding, Slot, Stage, Step, bind_textures};
use crate::config::{Affine, Config};
use crate::context::Context;
use crate::error::{BindError, ConfigError, PlanError};
use crate::params::flags;
use crate::plan::describe::describe_image;
use crate::plan::{self, Schedule};
use crate::record::{NEEDS, given};
use crate::shaders::{Kernel, Role, Storage};
use crate::shape::View;

/// Bytes of two values per channel of an image: weight and bias.
const AFFINE_BYTES: u64 = 2 * 4 * 4;
/// Bytes of three: running mean, running variance and number of batches.
const RUNNING_BYTES: u64 = 3 * 4 * 4;
/// Bytes of five: pivot, offset, inv_std, batch_mean, batch_var.
const SAVED_BYTES: u64 = 5 * 4 * 4;

/// Every operation of one configuration on images of one size.
///
/// An image is `[height][width][4]`, and its four channels are normalized each for itself. Red is
/// channel 0, alpha channel 3, also where a format keeps blue first. Values are what a shader loads:
/// k/255 of 8 bits, linear ones through an sRGB format. Per-channel values are f32.
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
    /// let saved = Tensor::empty(&gpu, &[5, 4])?;
    /// let workspace = Tensor::empty(&gpu, &[plan.workspace_bytes() as usize / 4])?;
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
    /// Options that are no batch normalization's; a side of 0 or beyond `max_texture_dimension_2d`;
    /// scratch that one binding cannot hold.
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
        let schedule = plan::plan_image(width as usize * height as usize, &NEEDS, self.machine())?;
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
        describe_image(&self.schedule, self.context.machine(), self.size)
    }

    /// Bytes of weight and bias.
    pub fn affine_bytes(&self) -> u64 {
        AFFINE_BYTES
    }

    /// Bytes of running mean, running variance and number of batches.
    pub fn running_bytes(&self) -> u64 {
        RUNNING_BYTES
    }

    /// Bytes of what training forward saves: pivot, offset, inv_std, batch_mean and batch_var.
    pub fn saved_bytes(&self) -> u64 {
        SAVED_BYTES
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
        self.config.validate_training(&self.view())?;
        let x = texture::read_sized(self.context.device(), &b.x, self.size)?;
        let (y, format) = texture::write(self.context.device(), &b.y, self.size, &b.x)?;
        let mut slots = self.statistics_slots(b.running, b.saved, b.workspace)?;
        slots.extend(affine(&self.config, b.affine)?);
        let storage = Storage::Texture(Some(format));
        let mut steps = self.steps(Kernel::Moments, Stage::Reduce, storage);
        let mut last = self.steps(Kernel::Normalize, Stage::Map, storage);
        for step in &mut last {
            self.moves_running(step);
            self.epilogue(step, b.keep_alpha);
        }
        steps.append(&mut last);
        self.bind(&steps, &slots, &[(Role::X, x), (Role::Out, y)])
    }

    /// Binds inference: one dispatch.
    ///
    /// # Errors
    /// A configuration without running statistics; textures and buffers that do not fit.
    pub fn bind_inference(&self, b: &ImageInferenceBuffers<'_>) -> Result<Binding, BindError> {
        needs_running(&self.config)?;
        let x = texture::read_sized(self.context.device(), &b.x, self.size)?;
        let (y, format) = texture::write(self.context.device(), &b.y, self.size, &b.x)?;
        let mut slots = vec![slot(Role::Statistics, "running", b.running, RUNNING_BYTES)];
        slots.extend(affine(&self.config, b.affine)?);
        let storage = Storage::Texture(Some(format));
        let mut steps = self.steps(Kernel::Inference, Stage::Apply, storage);
        for step in &mut steps {
            self.epilogue(step, b.keep_alpha);
        }
        self.bind(&steps, &slots, &[(Role::X, x), (Role::Out, y)])
    }

    /// Binds the statistics alone, for an [`ImageRender`] to normalize by: what
    /// [`ImagePlan::bind_train`] does, but for `y`. Two dispatches.
    ///
    /// # Errors
    /// Options that do not allow training on this size; a texture and buffers that do not fit.
    pub fn bind_statistics(&self, b: &ImageStatisticsBuffers<'_>) -> Result<Binding, BindError> {
        self.config.validate_training(&self.view())?;
        let x = texture::read_sized(self.context.device(), &b.x, self.size)?;
        let slots = self.statistics_slots(b.running, b.saved, b.workspace)?;
        let mut steps = self.steps(Kernel::Moments, Stage::Reduce, Storage::Texture(None));
        // The kernel of training, over no pixels: all that is left are the statistics.
        let mut last = self.steps(Kernel::Normalize, Stage::Merge, Storage::Single);
        for step in &mut last {
            self.moves_running(step);
            step.params.count = 0;
        }
        steps.append(&mut last);
        self.bind(&steps, &slots, &[(Role::X, x)])
    }

    fn bind(
        &self,
        steps: &[Step],
        slots: &[Slot<'_>],
        textures: &[(Role, wgpu::TextureView)],
    ) -> Result<Binding, BindError> {
        bind_textures(&self.context, &self.schedule, steps, slots, textures)
    }

    fn steps(&self, kernel: Kernel, stage: Stage, storage: Storage) -> Vec<Step> {
        let mut steps = self.schedule.steps(kernel, stage);
        for step in &mut steps {
            step.storage = storage;
            step.params = step.params.with_eps(self.config.eps);
        }
        steps
    }

    fn moves_running(&self, step: &mut Step) {
        let count = self.view().count() as u64;
        step.params = step.params.with_running(&self.config, count);
    }

    /// What there is to do beyond x̂.
    fn epilogue(&self, step: &mut Step, keep_alpha: bool) {
        step.epilogue.activation = self.config.activation.code();
        step.params = step
            .params
            .with_affine(self.config.affine)
            .with_negative_slope(self.config.activation.negative_slope())
            .with_flag(flags::KEEP_ALPHA, keep_alpha);
    }

    fn statistics_slots<'a>(
        &self,
        running: Option<BufferSlice<'a>>,
        saved: BufferSlice<'a>,
        workspace: BufferSlice<'a>,
    ) -> Result<Vec<Slot<'a>>, BindError> {
        let mut slots = vec![
            slot(Role::Saved, "saved", saved, SAVED_BYTES),
            Slot {
                role: Role::Partials,
                name: "workspace",
                slice: workspace,
                bytes: self.workspace_bytes(),
            },
        ];
        let running = given("running", running, self.config.running.is_some())?;
        slots.extend(
            running.map(|running| slot(Role::Statistics, "running", running, RUNNING_BYTES)),
        );
        Ok(slots)
    }
}

fn slot<'a>(role: Role, name: &'static str, slice: BufferSlice<'a>, bytes: u64) -> Slot<'a> {
    Slot {
        role,
        name,
        slice,
        bytes,
    }
}

fn affine<'a>(
    config: &Config,
    slice: Option<BufferSlice<'a>>,
) -> Result<Option<Slot<'a>>, BindError> {
    let slice = given("affine", slice, config.affine != Affine::None)?;
    Ok(slice.map(|slice| slot(Role::Affine, "affine", slice, AFFINE_BYTES)))
}

fn needs_running(config: &Config) -> Result<(), BindError> {
    match config.running {
        Some(_) => Ok(()),
        None => Err(ConfigError::NoRunningStatistics.into()),
    }
}
