//! How the shaders read and write tensors.

/// How the shaders read and write tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Storage {
    /// 32-bit words, one for each value.
    Single,
    /// Two halves a word; the override constant `BFLOAT` says which. They are read and rounded by integers.
    Half,
    /// Two f16 a word, read and rounded by float instructions that the device was proved to have right. That is a text
    /// of its own, since wgpu refuses `unpack2x16float` on some devices.
    F16,
    /// Textures, whose texels are loads of four channels: what is written has this format, where the
    /// kernel writes one.
    Texture(Option<TexelFormat>),
    /// A texture that is read, and a tensor of f32 that is written.
    TextureIn,
    /// A tensor of f32 that is read, and a texture of this format that is written.
    TextureOut(Option<TexelFormat>),
}

impl Storage {
    /// Whether x is a texture.
    pub fn reads_texture(self) -> bool {
        matches!(self, Self::Texture(_) | Self::TextureIn)
    }

    /// The format of the texture that is written.
    pub fn written_texture(self) -> Option<TexelFormat> {
        match self {
            Self::Texture(format) | Self::TextureOut(format) => format,
            _ => None,
        }
    }

    /// Whether what is written is a texture.
    pub fn writes_texture(self) -> bool {
        matches!(self, Self::Texture(_) | Self::TextureOut(_))
    }

    /// Whether loads are texels.
    pub fn is_of_texels(self) -> bool {
        self.reads_texture() || self.writes_texture()
    }
}

/// Formats that kernels write: storage textures name theirs in the text. Read is what loads as f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TexelFormat {
    /// 8 bits a channel, k/255.
    Rgba8Unorm,
    /// f16.
    Rgba16Float,
}

impl TexelFormat {
    /// All formats.
    #[cfg(any(test, feature = "internals"))]
    pub const ALL: [Self; 2] = [Self::Rgba8Unorm, Self::Rgba16Float];

    /// WGSL's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rgba8Unorm => "rgba8unorm",
            Self::Rgba16Float => "rgba16float",
        }
    }

    pub(super) fn conversion(self) -> Conversion {
        match self {
            Self::Rgba8Unorm => Conversion::Unorm,
            Self::Rgba16Float => Conversion::Half,
        }
    }
}

/// What becomes of values before the hardware converts them to a texture's format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Conversion {
    /// NaN becomes 0: for formats without it.
    Unorm,
    /// Rounded to f16, which drivers may truncate to.
    Half,
    /// Nothing.
    Single,
}

impl Conversion {
    /// All conversions.
    #[cfg(any(test, feature = "internals"))]
    pub const ALL: [Self; 3] = [Self::Unorm, Self::Half, Self::Single];

    /// The file that does it.
    pub(super) fn file(self) -> &'static str {
        match self {
            Self::Unorm => "shared/convert_unorm",
            Self::Half => "shared/convert_half",
            Self::Single => "shared/convert_single",
        }
    }
}
