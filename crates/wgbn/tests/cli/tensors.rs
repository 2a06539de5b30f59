//! Safetensors files for `wgbn` to read, and those that it wrote.

use std::collections::BTreeMap;

use half::{bf16, f16};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView, serialize};

/// A file to be.
#[derive(Clone, Debug, Default)]
pub struct Tensors(BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>);

impl Tensors {
    /// Adds or replaces a tensor.
    pub fn with(mut self, name: &str, dtype: Dtype, shape: &[usize], bytes: Vec<u8>) -> Self {
        self.0
            .insert(name.to_owned(), (dtype, shape.to_vec(), bytes));
        self
    }

    pub fn f32(self, name: &str, shape: &[usize], values: &[f32]) -> Self {
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.with(name, Dtype::F32, shape, bytes)
    }

    /// Rounds to f16.
    pub fn f16(self, name: &str, shape: &[usize], values: &[f32]) -> Self {
        let bytes = values.iter().flat_map(|&v| f16::from_f32(v).to_le_bytes());
        self.with(name, Dtype::F16, shape, bytes.collect())
    }

    /// Rounds to bf16.
    pub fn bf16(self, name: &str, shape: &[usize], values: &[f32]) -> Self {
        let bytes = values.iter().flat_map(|&v| bf16::from_f32(v).to_le_bytes());
        self.with(name, Dtype::BF16, shape, bytes.collect())
    }

    pub fn f64(self, name: &str, shape: &[usize], values: &[f64]) -> Self {
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.with(name, Dtype::F64, shape, bytes)
    }

    pub fn count(self, count: i64) -> Self {
        let bytes = count.to_le_bytes().to_vec();
        self.with("num_batches_tracked", Dtype::I64, &[], bytes)
    }

    pub fn without(mut self, name: &str) -> Self {
        assert!(self.0.remove(name).is_some(), "{name}");
        self
    }

    /// The same tensors, all but `x` and `dy` named with `prefix`.
    pub fn under(self, prefix: &str) -> Self {
        let renamed = self.0.into_iter().map(|(name, tensor)| match &*name {
            "x" | "dy" => (name, tensor),
            _ => (format!("{prefix}{name}"), tensor),
        });
        Self(renamed.collect())
    }

    pub fn bytes(&self) -> Vec<u8> {
        let views = self.0.iter().map(|(name, (dtype, shape, bytes))| {
            let view = TensorView::new(*dtype, shape.clone(), bytes);
            (name, view.unwrap())
        });
        serialize(views, None).unwrap()
    }
}

/// A tensor that was read.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredTensor {
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    pub bytes: Vec<u8>,
}

/// A file that was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored(pub BTreeMap<String, StoredTensor>);

impl Stored {
    pub fn read(bytes: &[u8]) -> Self {
        let file = SafeTensors::deserialize(bytes).unwrap();
        let tensors = file.iter().map(|(name, view)| {
            let tensor = StoredTensor {
                dtype: view.dtype(),
                shape: view.shape().to_vec(),
                bytes: view.data().to_vec(),
            };
            (name.to_owned(), tensor)
        });
        Self(tensors.collect())
    }

    pub fn tensor(&self, name: &str) -> &StoredTensor {
        let tensor = self.0.get(name);
        tensor.unwrap_or_else(|| panic!("no {name} among {:?}", self.0.keys()))
    }

    /// The values of a tensor, widened.
    pub fn wide(&self, name: &str) -> Vec<f64> {
        self.tensor(name).wide()
    }

    /// Asserts that the file holds these tensors and no others.
    pub fn assert_holds(&self, expected: &[(&str, Dtype, &[usize])], what: &str) {
        let got = self.0.iter();
        let got = got.map(|(name, t)| (name.as_str(), t.dtype, t.shape.as_slice()));
        let mut expected = expected.to_vec();
        expected.sort_by_key(|(name, ..)| *name);
        assert_eq!(got.collect::<Vec<_>>(), expected, "{what}");
    }
}

impl StoredTensor {
    pub fn wide(&self) -> Vec<f64> {
        let two = || self.bytes.chunks_exact(2).map(|b| [b[0], b[1]]);
        match self.dtype {
            Dtype::F32 => self.f32().into_iter().map(f64::from).collect(),
            Dtype::F16 => two().map(|b| f16::from_le_bytes(b).into()).collect(),
            Dtype::BF16 => two().map(|b| bf16::from_le_bytes(b).into()).collect(),
            Dtype::I64 => {
                let words = self.bytes.chunks_exact(8);
                let words = words.map(|b| i64::from_le_bytes(b.try_into().unwrap()));
                words.map(|v| v as f64).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    pub fn f32(&self) -> Vec<f32> {
        assert_eq!(self.dtype, Dtype::F32);
        let words = self.bytes.chunks_exact(4);
        words
            .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
            .collect()
    }
}

/// What the small tests normalize: 4×3×2, each channel with a mean and a width of its own.
pub const SHAPE: [usize; 3] = [4, 3, 2];
pub const LEN: usize = 24;

/// Values that f16 and bf16 hold as well.
pub fn x() -> Vec<f32> {
    let value = |i: usize| ((i * 7) % 11) as f32 * 0.25 + (i / 2 % 3) as f32;
    (0..LEN).map(value).collect()
}

pub fn dy() -> Vec<f32> {
    let value = |i: usize| ((i * 5) % 13) as f32 * 0.125 - 0.5;
    (0..LEN).map(value).collect()
}

/// Everything a file can hold.
pub fn small() -> Tensors {
    Tensors::default()
        .f32("x", &SHAPE, &x())
        .f32("dy", &SHAPE, &dy())
        .f32("weight", &[3], &[1.5, -0.75, 0.5])
        .f32("bias", &[3], &[0.25, 1.0, -2.0])
        .f32("running_mean", &[3], &[0.5, 1.5, 2.5])
        .f32("running_var", &[3], &[0.75, 1.25, 0.5])
        .count(6)
}

/// `x` alone.
pub fn only_x() -> Tensors {
    Tensors::default().f32("x", &SHAPE, &x())
}
