//! The caller's textures and buffers for each operation on images: a constructor takes what every call
//! needs, setters take the rest.

use wgpu::BufferSlice;

use super::ImageTexture;
use crate::record::{StatisticsRows, WeightsBuffer};

/// Textures and buffers of training forward on an image.
#[derive(Clone, Copy, Debug)]
pub struct ImageTrainBuffers<'a> {
    pub(super) x: ImageTexture<'a>,
    pub(super) y: ImageTexture<'a>,
    pub(super) keep_alpha: bool,
    pub(super) affine: Option<BufferSlice<'a>>,
    pub(super) running: Option<BufferSlice<'a>>,
    pub(super) weights: Option<WeightsBuffer<'a>>,
    pub(super) luminance: bool,
    pub(super) saved: BufferSlice<'a>,
    pub(super) workspace: BufferSlice<'a>,
}

impl<'a> ImageTrainBuffers<'a> {
    /// Training forward from one texture into another.
    ///
    /// - `x`: the input, read: of `TextureUsages::TEXTURE_BINDING`, of a format of 8-bit unorm, f16 or f32
    ///   in four channels, or one of `R16Float`, `R32Float`, `Rg16Float`, `Rg11b10Ufloat` and `Rgb10a2Unorm`. Channels that
    ///   it lacks are 0, or 1 for alpha. [`ImageTexture::with_origin`] takes a rectangle of it.
    /// - `y`: the output, written: of `TextureUsages::STORAGE_BINDING`, `Rgba8Unorm` or `Rgba16Float`, and
    ///   another image than `x`. `Rgba8Unorm` clamps to 0..1 and holds 0 where others hold NaN.
    /// - `saved`: pivot, offset, inv_std, batch_mean, batch_var (biased), `[5][4]` f32,
    ///   [`saved_bytes`](super::ImagePlan::saved_bytes), written.
    /// - `workspace`: scratch, [`workspace_bytes`](super::ImagePlan::workspace_bytes).
    pub fn new(
        x: impl Into<ImageTexture<'a>>,
        y: impl Into<ImageTexture<'a>>,
        saved: BufferSlice<'a>,
        workspace: BufferSlice<'a>,
    ) -> Self {
        Self {
            x: x.into(),
            y: y.into(),
            keep_alpha: false,
            affine: None,
            running: None,
            weights: None,
            luminance: false,
            saved,
            workspace,
        }
    }

    /// Sets whether `y` gets the alpha of `x` unchanged. The statistics of alpha are taken all the same.
    pub fn with_keep_alpha(mut self, keep_alpha: bool) -> Self {
        self.keep_alpha = keep_alpha;
        self
    }

    /// Sets weight and bias, `[2][4]` f32, [`affine_bytes`](super::ImagePlan::affine_bytes), read. The plan needs
    /// them unless its configuration has neither.
    pub fn with_affine(mut self, affine: impl Into<Option<BufferSlice<'a>>>) -> Self {
        self.affine = affine.into();
        self
    }

    /// Sets the weights of the pixels, read: of shape `[height, width]`, with 1 in place of either where all rows or columns have
    /// the same; without them each pixel counts as one. Where `y` is written, [`Outside`](crate::Outside) says what it is
    /// outside of the weights.
    pub fn with_weights(mut self, weights: impl Into<Option<WeightsBuffer<'a>>>) -> Self {
        self.weights = weights.into();
        self
    }

    /// Sets whether the statistics are of linear luminance alone, 0.2126·red + 0.7152·green + 0.0722·blue: all four channels then
    /// have the same, and colours are normalized without a change of hue. An sRGB format is linear where it is loaded; values of
    /// others are taken as they are.
    pub fn with_luminance(mut self, luminance: bool) -> Self {
        self.luminance = luminance;
        self
    }

    /// Sets running mean, running variance (f32) and number of batches (u32), `[3][4]`,
    /// [`running_bytes`](super::ImagePlan::running_bytes), updated. The plan needs them where its configuration
    /// keeps running statistics.
    pub fn with_running(mut self, running: impl Into<Option<BufferSlice<'a>>>) -> Self {
        self.running = running.into();
        self
    }
}

/// Textures and buffers of inference on an image.
#[derive(Clone, Copy, Debug)]
pub struct ImageInferenceBuffers<'a> {
    pub(super) x: ImageTexture<'a>,
    pub(super) y: ImageTexture<'a>,
    pub(super) keep_alpha: bool,
    pub(super) affine: Option<BufferSlice<'a>>,
    pub(super) running: BufferSlice<'a>,
}

impl<'a> ImageInferenceBuffers<'a> {
    /// Inference from one texture into another.
    ///
    /// - `x` and `y`: as [`ImageTrainBuffers::new`] takes them.
    /// - `running`: running mean, running variance and number of batches, `[3][4]`,
    ///   [`running_bytes`](super::ImagePlan::running_bytes), read.
    pub fn new(
        x: impl Into<ImageTexture<'a>>,
        y: impl Into<ImageTexture<'a>>,
        running: BufferSlice<'a>,
    ) -> Self {
        Self {
            x: x.into(),
            y: y.into(),
            keep_alpha: false,
            affine: None,
            running,
        }
    }

    /// Sets whether `y` gets the alpha of `x` unchanged.
    pub fn with_keep_alpha(mut self, keep_alpha: bool) -> Self {
        self.keep_alpha = keep_alpha;
        self
    }

    /// Sets weight and bias, `[2][4]` f32, [`affine_bytes`](super::ImagePlan::affine_bytes), read. The plan needs
    /// them unless its configuration has neither.
    pub fn with_affine(mut self, affine: impl Into<Option<BufferSlice<'a>>>) -> Self {
        self.affine = affine.into();
        self
    }
}

/// Texture and buffers of an image's statistics.
#[derive(Clone, Copy, Debug)]
pub struct ImageStatisticsBuffers<'a> {
    pub(super) x: ImageTexture<'a>,
    pub(super) running: Option<BufferSlice<'a>>,
    pub(super) weights: Option<WeightsBuffer<'a>>,
    pub(super) luminance: bool,
    pub(super) saved: BufferSlice<'a>,
    pub(super) workspace: BufferSlice<'a>,
}

impl<'a> ImageStatisticsBuffers<'a> {
    /// The statistics of a texture; `x`, `saved` and `workspace` are as [`ImageTrainBuffers::new`] takes them.
    pub fn new(
        x: impl Into<ImageTexture<'a>>,
        saved: BufferSlice<'a>,
        workspace: BufferSlice<'a>,
    ) -> Self {
        Self {
            x: x.into(),
            running: None,
            weights: None,
            luminance: false,
            saved,
            workspace,
        }
    }

    /// Sets the weights of the pixels, read: of shape `[height, width]`, with 1 in place of either where all rows or columns have
    /// the same; without them each pixel counts as one. Where `y` is written, [`Outside`](crate::Outside) says what it is
    /// outside of the weights.
    pub fn with_weights(mut self, weights: impl Into<Option<WeightsBuffer<'a>>>) -> Self {
        self.weights = weights.into();
        self
    }

    /// Sets whether the statistics are of linear luminance alone, 0.2126·red + 0.7152·green + 0.0722·blue: all four channels then
    /// have the same, and colours are normalized without a change of hue. An sRGB format is linear where it is loaded; values of
    /// others are taken as they are.
    pub fn with_luminance(mut self, luminance: bool) -> Self {
        self.luminance = luminance;
        self
    }

    /// Sets running mean, running variance (f32) and number of batches (u32), `[3][4]`,
    /// [`running_bytes`](super::ImagePlan::running_bytes), updated. The plan needs them where its configuration
    /// keeps running statistics.
    pub fn with_running(mut self, running: impl Into<Option<BufferSlice<'a>>>) -> Self {
        self.running = running.into();
        self
    }
}

/// What a draw reads.
#[derive(Clone, Copy, Debug)]
pub struct ImageRenderInputs<'a> {
    pub(super) x: ImageTexture<'a>,
    pub(super) keep_alpha: bool,
    pub(super) affine: Option<BufferSlice<'a>>,
    pub(super) statistics: StatisticsRows<'a>,
}

impl<'a> ImageRenderInputs<'a> {
    /// A draw of `x`, normalized by `statistics`.
    ///
    /// - `x`: as [`ImageTrainBuffers::new`] takes it.
    /// - `statistics`: what [`ImagePlan::bind_statistics`](super::ImagePlan::bind_statistics) or training forward
    ///   saved, or running statistics, read.
    pub fn new(x: impl Into<ImageTexture<'a>>, statistics: StatisticsRows<'a>) -> Self {
        Self {
            x: x.into(),
            keep_alpha: false,
            affine: None,
            statistics,
        }
    }

    /// Sets whether the target gets the alpha of `x` unchanged.
    pub fn with_keep_alpha(mut self, keep_alpha: bool) -> Self {
        self.keep_alpha = keep_alpha;
        self
    }

    /// Sets weight and bias, `[2][4]` f32, 32 bytes, read. They are needed unless the configuration has neither.
    pub fn with_affine(mut self, affine: impl Into<Option<BufferSlice<'a>>>) -> Self {
        self.affine = affine.into();
        self
    }
}
