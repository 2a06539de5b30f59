//! NumPy's files of one array. Sizes in a header are never trusted.

use std::io::Read;

use npyz::{Endianness, Order, TypeChar};
use safetensors::tensor::Dtype;

use crate::failure::Failure;

pub const MAGIC: &[u8] = b"\x93NUMPY";
/// A NumPy header of a plain array is some hundred bytes; a longer one is not parsed.
const LONGEST_HEADER: usize = 1024;

/// An array as safetensors would hold it: little endian, in C order.
#[derive(Debug)]
pub struct Array {
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    pub bytes: Vec<u8>,
}

/// Why an array is not read.
#[derive(Debug)]
pub enum Refused {
    /// It holds texts or dates.
    NoNumbers(Failure),
    /// It is not what it says, or of numbers that are not read.
    Damaged(Failure),
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Self::Damaged(failure)
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::NoNumbers(failure) | Refused::Damaged(failure) => failure,
        }
    }
}

fn bad(text: impl Into<String>) -> Failure {
    Failure::Input(text.into())
}

fn invalid(why: &dyn std::fmt::Display) -> Failure {
    bad(format!("not a valid .npy file: {why}"))
}

/// What stands before an array's data.
struct Header {
    dtype: Dtype,
    /// Bytes of a number, the last of the largest first.
    width: usize,
    big_endian: bool,
    fortran: bool,
    shape: Vec<usize>,
    /// Bytes of data.
    len: usize,
}

impl Array {
    /// The array of a file. No more is read than its header's size and one byte, which then is one too many.
    pub fn read(mut file: impl Read) -> Result<Self, Refused> {
        let header = Header::read(&mut file)?;
        let mut bytes = Vec::new();
        let most = (header.len as u64).saturating_add(1);
        file.take(most)
            .read_to_end(&mut bytes)
            .map_err(|e| invalid(&e))?;
        if bytes.len() != header.len {
            let more = if bytes.len() > header.len {
                "more than "
            } else {
                ""
            };
            let got = bytes.len().min(header.len);
            return Err(invalid(&format!(
                "{more}{got} bytes of data, expected {}",
                header.len
            ))
            .into());
        }
        if header.big_endian {
            let numbers = bytes.chunks_exact_mut(header.width);
            numbers.for_each(<[u8]>::reverse);
        }
        if header.fortran {
            bytes = c_order(&bytes, &header.shape, header.width);
        }
        Ok(Self {
            dtype: header.dtype,
            shape: header.shape,
            bytes,
        })
    }
}

impl Header {
    fn read(file: &mut impl Read) -> Result<Self, Refused> {
        // Magic, version, header length (2 bytes in version 1, else 4), header, data.
        let mut text = Vec::new();
        let mut more = |len: usize, text: &mut Vec<u8>| {
            let before = text.len();
            let read = file.by_ref().take(len as u64).read_to_end(text);
            match read {
                Ok(_) if text.len() == before + len => Ok(()),
                Ok(_) => Err(invalid(&"it ends within the header")),
                Err(error) => Err(invalid(&error)),
            }
        };
        more(MAGIC.len(), &mut text).map_err(|_| invalid(&"it does not begin as one"))?;
        if text != MAGIC {
            return Err(invalid(&"it does not begin as one").into());
        }
        more(2, &mut text)?;
        let header_len = match text[6] > 1 {
            true => {
                more(4, &mut text)?;
                u32::from_le_bytes([text[8], text[9], text[10], text[11]]) as usize
            }
            false => {
                more(2, &mut text)?;
                usize::from(u16::from_le_bytes([text[8], text[9]]))
            }
        };
        if header_len > LONGEST_HEADER {
            return Err(invalid(&format!("a header of {header_len} bytes")).into());
        }
        let start = text.len();
        more(header_len, &mut text)?;
        guard(&text[start..]).map_err(|why| invalid(&why))?;
        let header = npyz::NpyHeader::from_reader(&text[..]).map_err(|e| {
            // The lines after the first draw the header.
            invalid(&e.to_string().lines().next().unwrap_or_default())
        })?;
        let plain = |kinds: &[TypeChar]| match header.dtype() {
            npyz::DType::Plain(kind) => kinds.contains(&kind.type_char()),
            _ => false,
        };
        let others = [
            TypeChar::UnicodeStr,
            TypeChar::ByteStr,
            TypeChar::DateTime,
            TypeChar::TimeDelta,
        ];
        Self::of(&header).map_err(|failure| match plain(&others) {
            true => Refused::NoNumbers(failure),
            false => Refused::Damaged(failure),
        })
    }

    fn of(header: &npyz::NpyHeader) -> Result<Self, Failure> {
        let descr = header.dtype().descr();
        let npyz::DType::Plain(number) = header.dtype() else {
            return Err(bad(format!(
                "the array has dtype {descr}, expected numbers"
            )));
        };
        let dtype = match (number.type_char(), number.size_field()) {
            (TypeChar::Float, 2) => Dtype::F16,
            (TypeChar::Float, 4) => Dtype::F32,
            (TypeChar::Float, 8) => Dtype::F64,
            (TypeChar::Int, 1) => Dtype::I8,
            (TypeChar::Int, 2) => Dtype::I16,
            (TypeChar::Int, 4) => Dtype::I32,
            (TypeChar::Int, 8) => Dtype::I64,
            (TypeChar::Uint, 1) => Dtype::U8,
            (TypeChar::Uint, 2) => Dtype::U16,
            (TypeChar::Uint, 4) => Dtype::U32,
            (TypeChar::Uint, 8) => Dtype::U64,
            _ => {
                return Err(bad(format!(
                    "the array has dtype {descr}, expected floats of 2, 4 or 8 bytes or integers"
                )));
            }
        };
        let width = number.size_field() as usize;
        let shape: Option<Vec<usize>> = header.shape().iter().map(|&n| n.try_into().ok()).collect();
        let len = shape
            .as_ref()
            .and_then(|shape| shape.iter().try_fold(width, |n, &len| n.checked_mul(len)));
        let (Some(shape), Some(len)) = (shape, len) else {
            return Err(invalid(&"its shape overflows"));
        };
        Ok(Self {
            dtype,
            width,
            big_endian: number.endianness() == Endianness::Big,
            fortran: header.order() == Order::Fortran,
            shape,
            len,
        })
    }
}

/// Refuses what npyz cannot take: nested brackets, in which it tries every combination, and axes
/// whose product overflows.
fn guard(text: &[u8]) -> Result<(), &'static str> {
    let count = |bracket| text.iter().filter(|&&b| b == bracket).count();
    if count(b'[') > 0 || count(b'{') > 1 || count(b'(') > 1 {
        return Err("its header is not that of a plain array");
    }
    let mut product = 1u64;
    for word in text.split(|b| !b.is_ascii_alphanumeric() && *b != b'_') {
        if !word.first().is_some_and(u8::is_ascii_digit) {
            continue;
        }
        let number = str::from_utf8(word).ok().and_then(|word| word.parse().ok());
        let next = number.and_then(|number: u64| product.checked_mul(number.max(1)));
        product = next.ok_or("its shape overflows, or is not of plain numbers")?;
    }
    Ok(())
}

/// Numbers whose first index moves fastest, in the order in which the last one does.
fn c_order(bytes: &[u8], shape: &[usize], width: usize) -> Vec<u8> {
    let mut strides = Vec::with_capacity(shape.len());
    let mut stride = width;
    for &len in shape {
        strides.push(stride);
        stride *= len;
    }
    let mut index = vec![0; shape.len()];
    let mut at = 0;
    let mut ordered = Vec::with_capacity(bytes.len());
    while ordered.len() < bytes.len() {
        ordered.extend_from_slice(&bytes[at..at + width]);
        for axis in (0..shape.len()).rev() {
            index[axis] += 1;
            at += strides[axis];
            if index[axis] < shape[axis] {
                break;
            }
            at -= strides[axis] * index[axis];
            index[axis] = 0;
        }
    }
    ordered
}
