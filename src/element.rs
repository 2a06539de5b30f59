//! How the values of tensors are stored.

/// How tensors are stored. Statistics and parameters are f32 always.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Element {
    /// IEEE single precision.
    F32,
    /// IEEE half precision: packed, two values a 32-bit word, no device feature needed.
    F16,
    /// The upper half of an f32, packed likewise.
    Bf16,
}

impl Element {
    /// `f32`, `f16` or `bf16`.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
        }
    }

    /// Bytes of a value.
    pub fn bytes(self) -> u64 {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
        }
    }

    /// Bytes of `len` values: whole 32-bit words. Where 64 bits do not hold them, the most that they hold, which is
    /// beyond every limit.
    pub fn bytes_of(self, len: usize) -> u64 {
        let bytes = (len as u64).saturating_mul(self.bytes());
        bytes.checked_next_multiple_of(4).unwrap_or(u64::MAX)
    }
}
