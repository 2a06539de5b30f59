//! The weight of a layer that a batch norm is folded into.

use crate::error::{Error, FoldError};
use crate::shape::{check_len, checked_len};

mod sealed {
    pub trait Sealed {}
}

/// A type of weights: f32, f64, and `half`'s f16 and bf16.
pub trait Float: Copy + std::fmt::Debug + sealed::Sealed {
    /// The value.
    fn to_f64(self) -> f64;
    /// The nearest, ties to even; infinity beyond the largest.
    fn from_f64(value: f64) -> Self;
}

macro_rules! float {
    ($($number:ty: $to:expr, $from:expr;)*) => {$(
        impl sealed::Sealed for $number {}
        impl Float for $number {
            fn to_f64(self) -> f64 {
                $to(self)
            }
            fn from_f64(value: f64) -> Self {
                $from(value)
            }
        }
    )*};
}

float! {
    f32: f64::from, |value| value as f32;
    f64: |value| value, |value| value;
    half::f16: f64::from, half::f16::from_f64;
    half::bf16: f64::from, half::bf16::from_f64;
}

/// The weight of a linear layer or a convolution, row-major, and which channels its axes are.
///
/// The default is PyTorch's `[outputs, inputs, …]`. A transposed convolution's is `[inputs, outputs, …]`. With groups, the
/// second of these axes holds the channels of one group.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct LinearWeight<'a, T> {
    /// The values.
    pub values: &'a [T],
    /// The shape.
    pub shape: &'a [usize],
    /// The axis of the outputs; negative counts from the end.
    pub output_axis: isize,
    /// The axis of the inputs; negative counts from the end.
    pub input_axis: isize,
    /// The groups of channels that do not mix.
    pub groups: usize,
    /// Whether it is a transposed convolution's: groups then share out the axis of the inputs.
    pub transposed: bool,
}

impl<'a, T: Float> LinearWeight<'a, T> {
    /// Of a layer with outputs on axis 0 and inputs on axis 1, as PyTorch has it.
    pub fn new(values: &'a [T], shape: &'a [usize]) -> Self {
        Self {
            values,
            shape,
            output_axis: 0,
            input_axis: 1,
            groups: 1,
            transposed: false,
        }
    }

    /// Of a transposed convolution, inputs on axis 0 and outputs on axis 1, as PyTorch has it.
    pub fn transposed(values: &'a [T], shape: &'a [usize]) -> Self {
        Self {
            output_axis: 1,
            input_axis: 0,
            transposed: true,
            ..Self::new(values, shape)
        }
    }

    /// Sets the axes of outputs and inputs: Keras has (−1, −2) for dense layers and convolutions, and (−2, −1) for
    /// transposed ones.
    pub fn with_axes(mut self, output: isize, input: isize) -> Self {
        (self.output_axis, self.input_axis) = (output, input);
        self
    }

    /// Sets the groups of channels that do not mix.
    pub fn with_groups(mut self, groups: usize) -> Self {
        self.groups = groups;
        self
    }

    pub(super) fn channels(&self) -> Result<Channels, Error> {
        check_len("weight", self.values.len(), checked_len(self.shape)?)?;
        let rank = self.shape.len() as isize;
        let axis = |axis: isize| match axis {
            axis if axis < -rank || axis >= rank => None,
            axis if axis < 0 => Some((axis + rank) as usize),
            axis => Some(axis as usize),
        };
        let (output, input) = match (axis(self.output_axis), axis(self.input_axis)) {
            (Some(output), Some(input)) if output != input => (output, input),
            _ => {
                return Err(FoldError::Axes {
                    shape: self.shape.to_vec(),
                    output: self.output_axis,
                    input: self.input_axis,
                }
                .into());
            }
        };
        let (whole, shared) = match self.transposed {
            false => (self.shape[output], self.shape[input]),
            true => (self.shape[input], self.shape[output]),
        };
        if self.groups == 0 || !whole.is_multiple_of(self.groups) {
            return Err(FoldError::Groups {
                groups: self.groups,
                channels: whole,
                shape: self.shape.to_vec(),
            }
            .into());
        }
        let stride = |axis: usize| self.shape[axis + 1..].iter().product::<usize>();
        let place = |axis| (stride(axis), self.shape[axis]);
        let (whole_axis, shared_axis) = match self.transposed {
            false => (output, input),
            true => (input, output),
        };
        Ok(Channels {
            whole: place(whole_axis),
            shared: place(shared_axis),
            of_a_group: whole / self.groups,
            outputs: if self.transposed {
                shared * self.groups
            } else {
                whole
            },
            inputs: if self.transposed {
                whole
            } else {
                shared * self.groups
            },
            transposed: self.transposed,
        })
    }
}

/// Which channels a weight's values belong to.
pub(super) struct Channels {
    /// Stride and length of the axis whose channels the groups share out.
    whole: (usize, usize),
    /// Stride and length of the axis that holds the channels of one group.
    shared: (usize, usize),
    of_a_group: usize,
    pub(super) outputs: usize,
    pub(super) inputs: usize,
    transposed: bool,
}

impl Channels {
    /// The output and the input channel of a value.
    pub(super) fn of(&self, index: usize) -> (usize, usize) {
        let along = |(stride, len): (usize, usize)| index / stride % len;
        let whole = along(self.whole);
        let shared = whole / self.of_a_group * self.shared.1 + along(self.shared);
        match self.transposed {
            false => (whole, shared),
            true => (shared, whole),
        }
    }
}
