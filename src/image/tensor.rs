//! Images into tensors, and back.

use wgpu::BufferSlice;

use super::{ImagePlan, ImageTexture, texture};
use crate::binding::Binding;
use crate::bindings::Named;
use crate::error::BindError;
use crate::operation::{Asked, ImageTensor, Operation};
use crate::record::StatisticsRows;
use crate::shaders::Role;

/// How an image lies in a tensor of f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ImageLayout {
    /// `[C][height][width]`: a plane for each channel, as PyTorch and ONNX have it.
    Planar,
    /// `[height][width][C]`: the channels of a pixel side by side, as TensorFlow has it.
    Interleaved,
}

/// What both ways have in common.
#[derive(Clone, Copy, Debug)]
struct Options<'a> {
    statistics: StatisticsRows<'a>,
    layout: ImageLayout,
    alpha: bool,
    affine: Option<BufferSlice<'a>>,
}

impl<'a> Options<'a> {
    fn new(statistics: StatisticsRows<'a>) -> Self {
        Self {
            statistics,
            layout: ImageLayout::Planar,
            alpha: false,
            affine: None,
        }
    }

    fn buffers(&self) -> [Named<'a>; 2] {
        let statistics = match self.statistics {
            StatisticsRows::Saved(saved) => ("saved", Some(saved)),
            StatisticsRows::Running(running) => ("running", Some(running)),
        };
        [("affine", self.affine), statistics]
    }

    fn tensor(&self) -> Option<ImageTensor> {
        Some(ImageTensor {
            planar: self.layout == ImageLayout::Planar,
            alpha: self.alpha,
        })
    }
}

macro_rules! options {
    ($name:ident) => {
        impl<'a> $name<'a> {
            /// Sets how the tensor lies: planar unless it is said.
            pub fn with_layout(mut self, layout: ImageLayout) -> Self {
                self.options.layout = layout;
                self
            }

            /// Sets whether the tensor has alpha as its fourth channel; without it, it has red, green and blue.
            pub fn with_alpha(mut self, alpha: bool) -> Self {
                self.options.alpha = alpha;
                self
            }

            /// Sets weight and bias, `[2][4]` f32, [`affine_bytes`](super::ImagePlan::affine_bytes), read. The plan needs
            /// them unless its configuration has neither.
            pub fn with_affine(mut self, affine: impl Into<Option<BufferSlice<'a>>>) -> Self {
                self.options.affine = affine.into();
                self
            }
        }
    };
}

/// Textures and buffers of an image that becomes a tensor.
#[derive(Clone, Copy, Debug)]
pub struct ImageToTensorBuffers<'a> {
    x: ImageTexture<'a>,
    y: BufferSlice<'a>,
    options: Options<'a>,
}

impl<'a> ImageToTensorBuffers<'a> {
    /// An image into a tensor.
    ///
    /// - `x`: the input, as [`ImageTrainBuffers::new`](super::ImageTrainBuffers::new) takes it.
    /// - `y`: the tensor, f32, [`tensor_bytes`](super::ImagePlan::tensor_bytes), written.
    /// - `statistics`: what `x` is normalized by, of four channels: given ones as running mean, running variance and number of
    ///   batches, or what [`bind_statistics`](super::ImagePlan::bind_statistics) saved of this or another image. Read.
    pub fn new(
        x: impl Into<ImageTexture<'a>>,
        y: BufferSlice<'a>,
        statistics: StatisticsRows<'a>,
    ) -> Self {
        Self {
            x: x.into(),
            y,
            options: Options::new(statistics),
        }
    }
}

options!(ImageToTensorBuffers);

/// Textures and buffers of a tensor that becomes an image.
#[derive(Clone, Copy, Debug)]
pub struct ImageFromTensorBuffers<'a> {
    x: BufferSlice<'a>,
    y: ImageTexture<'a>,
    options: Options<'a>,
}

impl<'a> ImageFromTensorBuffers<'a> {
    /// A tensor into an image. Where the tensor has no alpha, that is 1 before it is normalized.
    ///
    /// To undo a normalization by mean μ and deviation σ, give statistics of mean 0 and variance 1 with `eps` 0, the weight σ and
    /// the bias μ.
    ///
    /// - `x`: the tensor, f32, [`tensor_bytes`](super::ImagePlan::tensor_bytes), read.
    /// - `y`: the output, as [`ImageTrainBuffers::new`](super::ImageTrainBuffers::new) takes it.
    /// - `statistics`: what `x` is normalized by, as [`ImageToTensorBuffers::new`] takes them.
    pub fn new(
        x: BufferSlice<'a>,
        y: impl Into<ImageTexture<'a>>,
        statistics: StatisticsRows<'a>,
    ) -> Self {
        Self {
            x,
            y: y.into(),
            options: Options::new(statistics),
        }
    }
}

options!(ImageFromTensorBuffers);

impl ImagePlan {
    /// Bytes of the image as a tensor of f32: of three channels, or of four with alpha.
    pub fn tensor_bytes(&self, alpha: bool) -> u64 {
        let [width, height] = self.size().map(u64::from);
        4 * width * height * if alpha { 4 } else { 3 }
    }

    /// Binds an image into a tensor: one dispatch.
    ///
    /// ```
    /// use wgpu_batchnorm::{
    ///     Affine, Config, ImageToTensorBuffers, RunningStatistics, StatisticsRows, Tensor, wgpu,
    /// };
    ///
    /// # let gpu = wgpu_batchnorm::Gpu::new_blocking(&wgpu_batchnorm::Adapter::Best)?;
    /// # let frame = gpu.device().create_texture(&wgpu::TextureDescriptor {
    /// #     format: wgpu::TextureFormat::Rgba8Unorm,
    /// #     usage: wgpu::TextureUsages::TEXTURE_BINDING | wgpu::TextureUsages::COPY_DST,
    /// #     label: None,
    /// #     size: wgpu::Extent3d { width: 2, height: 1, depth_or_array_layers: 1 },
    /// #     mip_level_count: 1,
    /// #     sample_count: 1,
    /// #     dimension: wgpu::TextureDimension::D2,
    /// #     view_formats: &[],
    /// # });
    /// # let pixels = [0, 51, 102, 255, 255, 153, 102, 255];
    /// # gpu.queue().write_texture(frame.as_image_copy(), &pixels, Default::default(), frame.size());
    /// // The means and deviations of ImageNet; alpha is left out.
    /// let mean = vec![0.485, 0.456, 0.406, 0.0];
    /// let variance = [0.229f32, 0.224, 0.225, 1.0].map(|d| d * d).to_vec();
    /// let given = RunningStatistics::from_parts(mean, variance, vec![0; 4])?;
    /// let rows = Tensor::upload(&gpu, &[3, 4], &given.to_rows()?)?;
    ///
    /// let config = Config::pytorch().with_eps(0.0).with_affine(Affine::None);
    /// let plan = gpu.context().plan_image(&config, 2, 1)?; // the frame is 2×1
    /// let y = Tensor::empty(&gpu, &[3, 1, 2])?; // plan.tensor_bytes(false) bytes
    /// let statistics = StatisticsRows::Running(rows.slice());
    /// let binding = plan.bind_to_tensor(&ImageToTensorBuffers::new(&frame, y.slice(), statistics))?;
    /// # let mut encoder = gpu.device().create_command_encoder(&Default::default());
    /// # binding.encode(&mut encoder.begin_compute_pass(&Default::default()));
    /// # gpu.queue().submit([encoder.finish()]);
    ///
    /// let red = &y.read_blocking()?[..2]; // of 0 and 255
    /// assert!((red[0] + 2.117904).abs() < 1e-5 && (red[1] - 2.248908).abs() < 1e-5);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Running statistics where the configuration keeps none; a texture and buffers that do not fit.
    pub fn bind_to_tensor(&self, b: &ImageToTensorBuffers<'_>) -> Result<Binding, BindError> {
        let x = texture::read_sized(self.context.device(), &b.x, self.size)?;
        let asked = Asked {
            tensor: b.options.tensor(),
            ..self.asked(&b.x)
        };
        let [affine, statistics] = b.options.buffers();
        let buffers = [("y", Some(b.y)), affine, statistics];
        let textures = [(Role::X, x)];
        self.bind(Operation::ImageToTensor, asked, &buffers, &textures)
    }

    /// Binds a tensor into an image: one dispatch.
    ///
    /// # Errors
    /// As [`ImagePlan::bind_to_tensor`].
    pub fn bind_from_tensor(&self, b: &ImageFromTensorBuffers<'_>) -> Result<Binding, BindError> {
        let (y, format) = texture::write(self.context.device(), &b.y, self.size, None)?;
        let asked = Asked {
            width: self.size[0],
            y_origin: b.y.first(),
            format: Some(format),
            tensor: b.options.tensor(),
            ..Asked::default()
        };
        let [affine, statistics] = b.options.buffers();
        let buffers = [("x", Some(b.x)), affine, statistics];
        let textures = [(Role::Out, y)];
        self.bind(Operation::ImageFromTensor, asked, &buffers, &textures)
    }
}
