//! Values of any type that a file may have, in f32.

use safetensors::tensor::Dtype;

/// What a type's values are in f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// f32 itself, f16 or bf16.
    Float,
    /// Integers so small that f32 holds each.
    Exact,
    /// Each is rounded to the nearest.
    Rounded,
}

/// How values of this type come to f32; `None` for types that are not read.
pub fn width(dtype: Dtype) -> Option<Width> {
    Some(match dtype {
        Dtype::F32 | Dtype::F16 | Dtype::BF16 => Width::Float,
        Dtype::I8 | Dtype::U8 | Dtype::I16 | Dtype::U16 => Width::Exact,
        Dtype::F64 | Dtype::I32 | Dtype::U32 | Dtype::I64 | Dtype::U64 => Width::Rounded,
        _ => return None,
    })
}

/// What is to be said of a tensor of this type: nothing where f32 holds each value.
pub fn note(name: &str, dtype: Dtype) -> Option<String> {
    let rounded = width(dtype) == Some(Width::Rounded);
    rounded.then(|| format!("{name} is {dtype:?} and is rounded to f32"))
}

/// The types that [`width`] knows.
pub const TYPES: &str = "F64, F32, F16, BF16 or integers";

/// A finite value that f32 does not hold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TooLarge {
    /// Its place.
    pub index: usize,
    /// The value.
    pub value: f64,
}

/// Little-endian values in f32, each the nearest, ties to even.
///
/// # Panics
/// For a type that is not read.
pub fn to_f32(dtype: Dtype, bytes: &[u8]) -> Result<Vec<f32>, TooLarge> {
    // Tensors of a file lie at any byte.
    macro_rules! each {
        ($number:ty) => {
            bytes
                .as_chunks()
                .0
                .iter()
                .map(|&bytes| <$number>::from_le_bytes(bytes) as f32)
                .collect()
        };
    }
    let halves = bytes.as_chunks().0.iter();
    Ok(match dtype {
        Dtype::F32 => each!(f32),
        Dtype::F16 => halves
            .map(|&b| half::f16::from_le_bytes(b).to_f32())
            .collect(),
        Dtype::BF16 => halves
            .map(|&b| half::bf16::from_le_bytes(b).to_f32())
            .collect(),
        Dtype::I8 => each!(i8),
        Dtype::U8 => each!(u8),
        Dtype::I16 => each!(i16),
        Dtype::U16 => each!(u16),
        Dtype::I32 => each!(i32),
        Dtype::U32 => each!(u32),
        Dtype::I64 => each!(i64),
        Dtype::U64 => each!(u64),
        Dtype::F64 => {
            let values = bytes.as_chunks().0.iter().map(|&b| f64::from_le_bytes(b));
            let narrow = |(index, value): (usize, f64)| match value as f32 {
                narrow if narrow.is_infinite() && value.is_finite() => {
                    Err(TooLarge { index, value })
                }
                narrow => Ok(narrow),
            };
            values.enumerate().map(narrow).collect::<Result<_, _>>()?
        }
        other => unreachable!("{other:?} is not read"),
    })
}

/// One number as a count: whole, unless `fractions` are rounded down. The text says what is wrong.
pub(super) fn to_count(dtype: Dtype, bytes: &[u8], fractions: bool) -> Result<u64, String> {
    macro_rules! whole {
        ($number:ty) => {{
            let value = bytes.try_into().map(<$number>::from_le_bytes);
            let value = value.map_err(|_| "no number".to_owned())?;
            u64::try_from(value).map_err(|_| value.to_string())
        }};
    }
    let float = |value: f64| {
        let right = value >= 0.0 && value < 2f64.powi(64) && (fractions || value.fract() == 0.0);
        if right {
            Ok(value as u64)
        } else {
            Err(format!("{value:?}"))
        }
    };
    match dtype {
        Dtype::I8 => whole!(i8),
        Dtype::U8 => whole!(u8),
        Dtype::I16 => whole!(i16),
        Dtype::U16 => whole!(u16),
        Dtype::I32 => whole!(i32),
        Dtype::U32 => whole!(u32),
        Dtype::I64 => whole!(i64),
        Dtype::U64 => whole!(u64),
        Dtype::F64 => float(bytes.try_into().map_or(f64::NAN, f64::from_le_bytes)),
        _ => {
            let values = to_f32(dtype, bytes).unwrap_or_default();
            float(values.first().map_or(f64::NAN, |&v| f64::from(v)))
        }
    }
}
