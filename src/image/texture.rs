//! One image of a texture, and whether an operation may read or write it.

use wgpu::{TextureDimension, TextureFormat, TextureUsages};

use crate::error::BindError;
use crate::faults::{unusable, unusable_texture, watched};
use crate::shaders::TexelFormat;

/// A mip level of a layer of a 2D texture, seen as one format.
///
/// Textures and not views of them, because a view does not say what it shows: this can be checked.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ImageTexture<'a> {
    /// The texture.
    pub texture: &'a wgpu::Texture,
    /// The format that it is seen as: its own, or that format's sRGB or linear twin.
    pub format: TextureFormat,
    /// The mip level, from 0.
    pub mip_level: u32,
    /// The array layer, from 0.
    pub array_layer: u32,
    /// The pixel, from the upper left, that the image begins at; where there is none, it is the whole level.
    pub origin: Option<[u32; 2]>,
}

impl<'a> From<&'a wgpu::Texture> for ImageTexture<'a> {
    fn from(texture: &'a wgpu::Texture) -> Self {
        Self::new(texture)
    }
}

impl<'a> ImageTexture<'a> {
    /// The first level and layer, in the texture's own format.
    pub fn new(texture: &'a wgpu::Texture) -> Self {
        Self {
            texture,
            format: texture.format(),
            mip_level: 0,
            array_layer: 0,
            origin: None,
        }
    }

    /// Sets the format that the texture is seen as: its own, or that format's sRGB or linear twin, which
    /// must then be one of the `view_formats` that the texture was made with.
    pub fn with_format(mut self, format: TextureFormat) -> Self {
        self.format = format;
        self
    }

    /// Sets the mip level.
    pub fn with_mip_level(mut self, mip_level: u32) -> Self {
        self.mip_level = mip_level;
        self
    }

    /// Sets the array layer.
    pub fn with_array_layer(mut self, array_layer: u32) -> Self {
        self.array_layer = array_layer;
        self
    }

    /// Takes a rectangle of the level: as large as the plan, and beginning at this pixel, from the upper left. Without an
    /// origin the level has the plan's size.
    pub fn with_origin(mut self, origin: impl Into<Option<[u32; 2]>>) -> Self {
        self.origin = origin.into();
        self
    }

    /// The pixel that the image begins at.
    pub(super) fn first(&self) -> [u32; 2] {
        self.origin.unwrap_or_default()
    }

    /// Width and height of the level, in pixels.
    fn size(&self) -> [u32; 2] {
        let side = |base: u32| base.checked_shr(self.mip_level).unwrap_or(0).max(1);
        [side(self.texture.width()), side(self.texture.height())]
    }

    fn same_image(&self, other: &Self) -> bool {
        self.texture == other.texture
            && self.mip_level == other.mip_level
            && self.array_layer == other.array_layer
    }

    fn view(
        &self,
        device: &wgpu::Device,
        name: &'static str,
        usage: TextureUsages,
    ) -> Result<wgpu::TextureView, BindError> {
        // A view in the texture's own format is good wherever the texture lives, and binding it tells a
        // texture of another device. A twin that was not declared would be refused by that other
        // device, so the texture is asked about first.
        let twin = self.format != self.texture.format();
        if let Some(error) = twin
            .then(|| unusable_texture(device, self.texture))
            .flatten()
        {
            return Err(unusable(device, name, error));
        }
        let view = wgpu::TextureViewDescriptor {
            label: Some("wgpu-batchnorm image"),
            format: Some(self.format),
            dimension: Some(wgpu::TextureViewDimension::D2),
            // An sRGB view of a texture that is also written has no use as storage.
            usage: Some(usage),
            base_mip_level: self.mip_level,
            mip_level_count: Some(1),
            base_array_layer: self.array_layer,
            array_layer_count: Some(1),
            ..Default::default()
        };
        match watched(device, || self.texture.create_view(&view)) {
            (view, None) => Ok(view),
            (_, Some(error)) => Err(unusable(device, name, error)),
        }
    }

    /// What reading and writing have in common.
    fn check(
        &self,
        texture: &'static str,
        usage: TextureUsages,
        formats: &'static [TextureFormat],
    ) -> Result<(), BindError> {
        let inner = self.texture;
        if inner.dimension() != TextureDimension::D2 {
            return Err(BindError::TextureDimension { texture });
        }
        if inner.sample_count() != 1 {
            let samples = inner.sample_count();
            return Err(BindError::Multisampled { texture, samples });
        }
        let (levels, layers) = (inner.mip_level_count(), inner.depth_or_array_layers());
        for (what, got, len) in [
            ("mip level", self.mip_level, levels),
            ("array layer", self.array_layer, layers),
        ] {
            if got >= len {
                return Err(BindError::Subresource {
                    texture,
                    what,
                    got,
                    len,
                });
            }
        }
        if !formats.contains(&self.format) {
            return Err(wrong_format(texture, self.format, formats));
        }
        if inner.format().remove_srgb_suffix() != self.format.remove_srgb_suffix() {
            return Err(BindError::TextureFormat {
                texture,
                got: format!("{:?}", self.format),
                expected: format!("{:?} or its sRGB or linear twin", inner.format()),
            });
        }
        if !inner.usage().contains(usage) {
            return Err(BindError::TextureUsage {
                texture,
                expected: match usage {
                    TextureUsages::STORAGE_BINDING => "STORAGE_BINDING",
                    _ => "TEXTURE_BINDING",
                },
            });
        }
        Ok(())
    }

    fn check_size(&self, texture: &'static str, expected: [u32; 2]) -> Result<(), BindError> {
        let got = self.size();
        let Some(origin) = self.origin else {
            return match got == expected {
                true => Ok(()),
                false => Err(BindError::TextureSize {
                    texture,
                    got,
                    expected,
                }),
            };
        };
        let fits =
            |side: usize| u64::from(origin[side]) + u64::from(expected[side]) <= got[side].into();
        match fits(0) && fits(1) {
            true => Ok(()),
            false => Err(BindError::TextureOrigin {
                texture,
                got,
                origin,
                size: expected,
            }),
        }
    }
}

/// What loads as four values of f32: of channels that a format lacks, red to blue are 0 and alpha is 1.
const READ: [TextureFormat; 11] = [
    TextureFormat::Rgba8Unorm,
    TextureFormat::Rgba8UnormSrgb,
    TextureFormat::Bgra8Unorm,
    TextureFormat::Bgra8UnormSrgb,
    TextureFormat::Rgba16Float,
    TextureFormat::Rgba32Float,
    TextureFormat::R16Float,
    TextureFormat::R32Float,
    TextureFormat::Rg16Float,
    TextureFormat::Rg11b10Ufloat,
    TextureFormat::Rgb10a2Unorm,
];
/// What there are kernels for: [`TexelFormat`].
const WRITTEN: [TextureFormat; 2] = [TextureFormat::Rgba8Unorm, TextureFormat::Rgba16Float];

/// A view of `x` for loads, of any size.
pub(super) fn read(
    device: &wgpu::Device,
    x: &ImageTexture<'_>,
) -> Result<wgpu::TextureView, BindError> {
    x.check("x", TextureUsages::TEXTURE_BINDING, &READ)?;
    // A draw reads to the end of the level.
    x.origin.map_or(Ok(()), |_| x.check_size("x", [1, 1]))?;
    x.view(device, "x", TextureUsages::TEXTURE_BINDING)
}

/// A view of `x` for loads.
pub(super) fn read_sized(
    device: &wgpu::Device,
    x: &ImageTexture<'_>,
    size: [u32; 2],
) -> Result<wgpu::TextureView, BindError> {
    x.check("x", TextureUsages::TEXTURE_BINDING, &READ)?;
    x.check_size("x", size)?;
    x.view(device, "x", TextureUsages::TEXTURE_BINDING)
}

/// How the kernels know a format of `y`.
pub(super) fn written_format(format: TextureFormat) -> Result<TexelFormat, BindError> {
    match format {
        TextureFormat::Rgba8Unorm => Ok(TexelFormat::Rgba8Unorm),
        TextureFormat::Rgba16Float => Ok(TexelFormat::Rgba16Float),
        _ => Err(wrong_format("y", format, &WRITTEN)),
    }
}

fn wrong_format(
    texture: &'static str,
    got: TextureFormat,
    expected: &[TextureFormat],
) -> BindError {
    let expected: Vec<_> = expected
        .iter()
        .map(|format| format!("{format:?}"))
        .collect();
    BindError::TextureFormat {
        texture,
        got: format!("{got:?}"),
        expected: expected.join(", "),
    }
}

/// A view of `y` for stores, and the format of these; `x` is what is read in the same dispatch, where that is a texture.
pub(super) fn write(
    device: &wgpu::Device,
    y: &ImageTexture<'_>,
    size: [u32; 2],
    x: Option<&ImageTexture<'_>>,
) -> Result<(wgpu::TextureView, TexelFormat), BindError> {
    y.check("y", TextureUsages::STORAGE_BINDING, &WRITTEN)?;
    y.check_size("y", size)?;
    if x.is_some_and(|x| y.same_image(x)) {
        return Err(BindError::ReadAndWritten {
            texture: "y",
            other: "x",
        });
    }
    let format = written_format(y.format)?;
    Ok((y.view(device, "y", TextureUsages::STORAGE_BINDING)?, format))
}
