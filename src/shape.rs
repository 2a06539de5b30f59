//! From a shape and a channel axis to the one view that every kernel works on.

use crate::element::Element;
use crate::error::ShapeError;

/// A tensor seen from its channel axis: `(outer, channels, inner)`, row-major. Of an empty batch `outer` is 0; the others never
/// are.
///
/// NCHW is `(N, C, H·W)`, NHWC is `(N·H·W, C, 1)`, `(N, C)` is `(N, C, 1)`; any axis of any
/// rank is one of these. Element `(o, c, i)` lies at `(o·channels + c)·inner + i`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct View {
    outer: usize,
    channels: usize,
    inner: usize,
}

/// How a channel's values lie in memory. In a [`View`] the channels are either neighbours or not, so this enum is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pattern {
    /// Contiguous runs of `inner` values of one channel.
    Planar,
    /// Neighbours in memory are neighbouring channels (`inner` is 1).
    Interleaved,
}

impl View {
    /// Collapses `shape` around the channel axis; a negative `axis` counts from the end.
    ///
    /// # Errors
    /// Rank below 2, an axis out of range, an axis of length zero (but for the first, of a batch, where it is not the channel
    /// axis), or more elements than can be addressed.
    pub fn new(shape: &[usize], axis: isize) -> Result<Self, ShapeError> {
        if shape.len() < 2 {
            return Err(ShapeError::Rank {
                shape: shape.to_vec(),
            });
        }
        let axis = resolve_axis(shape, axis)?;
        batch_len(shape)?;
        if shape[axis] == 0 {
            return Err(ShapeError::Empty {
                shape: shape.to_vec(),
            });
        }
        Ok(Self {
            outer: shape[..axis].iter().product(),
            channels: shape[axis],
            inner: shape[axis + 1..].iter().product(),
        })
    }

    /// The view of these lengths.
    ///
    /// # Errors
    /// Channels or an `inner` of zero, or more elements than can be addressed.
    pub fn from_lengths(outer: usize, channels: usize, inner: usize) -> Result<Self, ShapeError> {
        batch_len(&[outer, channels, inner])?;
        Ok(Self::of_lengths(outer, channels, inner))
    }

    /// The view of lengths that were checked before, such as those of a part of another view.
    pub(crate) fn of_lengths(outer: usize, channels: usize, inner: usize) -> Self {
        debug_assert!(channels > 0 && inner > 0);
        Self {
            outer,
            channels,
            inner,
        }
    }

    /// Product of the axes before the channel axis.
    pub fn outer(&self) -> usize {
        self.outer
    }

    /// Length of the channel axis, C.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Product of the axes after the channel axis.
    pub fn inner(&self) -> usize {
        self.inner
    }

    pub(crate) fn with_channels(self, channels: usize) -> Self {
        Self { channels, ..self }
    }

    pub(crate) fn with_inner(self, inner: usize) -> Self {
        Self { inner, ..self }
    }

    /// `(outer, channels, inner)`: the one place that takes a view apart.
    pub(crate) fn lengths(&self) -> (usize, usize, usize) {
        (self.outer, self.channels, self.inner)
    }

    /// Values per channel: the reduced axes' product, `m`.
    pub fn count(&self) -> usize {
        self.outer * self.inner
    }

    /// Elements of the whole tensor.
    pub fn len(&self) -> usize {
        self.outer * self.channels * self.inner
    }

    /// Whether it is of a batch of no examples.
    pub fn is_empty(&self) -> bool {
        self.outer == 0
    }

    /// The memory pattern. A single channel is planar however it is written.
    pub fn pattern(&self) -> Pattern {
        if self.inner > 1 || self.channels == 1 {
            Pattern::Planar
        } else {
            Pattern::Interleaved
        }
    }

    /// The channel that element `index` of the tensor belongs to.
    pub fn channel_of(&self, index: usize) -> usize {
        index / self.inner % self.channels
    }

    /// The contiguous runs of channel `c`, first to last, as ranges of element indices; none where there is no such
    /// channel.
    pub fn runs(&self, c: usize) -> impl Iterator<Item = std::ops::Range<usize>> + use<> {
        let (outer, channels, inner) = self.lengths();
        let outer = if c < channels { outer } else { 0 };
        (0..outer).map(move |o| {
            let start = (o * channels + c) * inner;
            start..start + inner
        })
    }
}

/// The non-negative form of `axis`, which may count from the end.
///
/// # Errors
/// An axis outside `-rank..rank`.
pub fn resolve_axis(shape: &[usize], axis: isize) -> Result<usize, ShapeError> {
    let rank = shape.len() as isize;
    let resolved = if axis < 0 { axis + rank } else { axis };
    if (0..rank).contains(&resolved) {
        Ok(resolved as usize)
    } else {
        Err(ShapeError::Axis {
            axis,
            shape: shape.to_vec(),
        })
    }
}

/// The element count of `shape`.
///
/// # Errors
/// An axis of length zero, or a product of more elements than can be addressed.
pub fn checked_len(shape: &[usize]) -> Result<usize, ShapeError> {
    if shape.contains(&0) {
        return Err(ShapeError::Empty {
            shape: shape.to_vec(),
        });
    }
    shape
        .iter()
        .try_fold(1usize, |len, &n| len.checked_mul(n))
        // Byte counts are computed from element counts everywhere: leave them room.
        .filter(|&len| len <= isize::MAX as usize / 8)
        .ok_or_else(|| ShapeError::Overflow {
            shape: shape.to_vec(),
        })
}

/// The element count of a tensor whose first axis, that of the batch, may be of length zero.
///
/// # Errors
/// Another axis of length zero, or a product of more elements than can be addressed.
pub(crate) fn batch_len(shape: &[usize]) -> Result<usize, ShapeError> {
    let refused = |error| match error {
        ShapeError::Empty { .. } => ShapeError::Empty {
            shape: shape.to_vec(),
        },
        other => other,
    };
    match shape {
        [0, rest @ ..] => checked_len(rest).map(|_| 0).map_err(refused),
        _ => checked_len(shape),
    }
}

/// Refuses a shape other than `expected`.
pub(crate) fn same_shape(
    tensor: &'static str,
    got: &[usize],
    expected: &[usize],
) -> Result<(), ShapeError> {
    if got == expected {
        return Ok(());
    }
    Err(ShapeError::Mismatch {
        tensor,
        got: got.to_vec(),
        expected: expected.to_vec(),
    })
}

/// Refuses a slice that is not as long as the whole tensor.
#[cfg(any(feature = "cpu", feature = "reference"))]
pub(crate) fn check_tensor<T>(
    view: &View,
    tensor: &'static str,
    values: &[T],
) -> Result<(), ShapeError> {
    check_len(tensor, values.len(), view.len())
}

/// Refuses a slice that has not one value for each channel.
#[cfg(any(feature = "cpu", feature = "reference"))]
pub(crate) fn check_channels<T>(
    view: &View,
    tensor: &'static str,
    values: &[T],
) -> Result<(), ShapeError> {
    check_len(tensor, values.len(), view.channels())
}

/// Refuses a slice of another length than `expected`.
pub(crate) fn check_len(
    tensor: &'static str,
    got: usize,
    expected: usize,
) -> Result<(), ShapeError> {
    match got == expected {
        true => Ok(()),
        false => Err(ShapeError::Length {
            tensor,
            got,
            expected,
        }),
    }
}

/// Refuses an element type other than `expected`.
pub(crate) fn same_element(
    tensor: &'static str,
    got: Element,
    expected: Element,
) -> Result<(), ShapeError> {
    match got == expected {
        true => Ok(()),
        false => Err(ShapeError::Element {
            tensor,
            got,
            expected,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_layout_collapses_to_one_view() {
        let view = |shape: &[usize], axis| View::new(shape, axis).unwrap().lengths();
        assert_eq!(view(&[2, 3, 4, 5], 1), (2, 3, 20));
        assert_eq!(view(&[2, 4, 5, 3], -1), (40, 3, 1));
        assert_eq!(view(&[7, 3], 1), (7, 3, 1));
        assert_eq!(view(&[7, 3], 0), (1, 7, 3));
        assert_eq!(view(&[2, 3, 4, 5, 6], -4), (2, 3, 120));
    }

    #[test]
    fn a_channel_that_is_not_there_has_no_runs() {
        let view = View::new(&[2, 3, 4], 1).unwrap();
        assert_eq!(view.runs(3).count(), 0);
        assert_eq!(view.runs(usize::MAX).count(), 0);
    }

    #[test]
    fn runs_cover_a_channel_once() {
        let view = View::new(&[2, 3, 4], 1).unwrap();
        let indices: Vec<_> = view.runs(1).flatten().collect();
        assert_eq!(indices, [4, 5, 6, 7, 16, 17, 18, 19]);
        assert!(indices.iter().all(|&i| view.channel_of(i) == 1));
    }

    #[test]
    fn bad_shapes_are_named() {
        assert!(matches!(View::new(&[], 0), Err(ShapeError::Rank { .. })));
        assert!(matches!(View::new(&[3], 0), Err(ShapeError::Rank { .. })));
        assert!(matches!(
            View::new(&[3, 4], 2),
            Err(ShapeError::Axis { axis: 2, .. })
        ));
        assert!(matches!(
            View::new(&[3, 4], -3),
            Err(ShapeError::Axis { axis: -3, .. })
        ));
        assert!(matches!(
            View::new(&[3, 0], 1),
            Err(ShapeError::Empty { .. })
        ));
        assert!(matches!(
            View::new(&[usize::MAX, 2], 1),
            Err(ShapeError::Overflow { .. })
        ));
    }

    #[test]
    fn a_view_has_no_length_of_zero_but_of_an_empty_batch() {
        for lengths in [[0, 0, 4], [2, 0, 4], [2, 3, 0], [0, 0, 0]] {
            let [outer, channels, inner] = lengths;
            let refused = View::from_lengths(outer, channels, inner);
            let shape = lengths.to_vec();
            assert_eq!(refused, Err(ShapeError::Empty { shape }));
        }
        let empty = View::new(&[0, 3, 4], 1).unwrap();
        assert_eq!((empty.lengths(), empty.is_empty()), ((0, 3, 4), true));
        assert_eq!((empty.count(), empty.runs(1).count()), (0, 0));
        let empty = View::new(&[0, 4, 3], -1).unwrap();
        assert_eq!(empty.lengths(), (0, 3, 1));
        for (shape, axis) in [(&[0, 3][..], 0), (&[2, 0, 3], -1), (&[0, 0, 3], -1)] {
            let shape = shape.to_vec();
            let refused = View::new(&shape, axis);
            assert_eq!(refused, Err(ShapeError::Empty { shape }));
        }
        let refused = View::new(&[0, usize::MAX, 2], 1);
        assert!(matches!(refused, Err(ShapeError::Overflow { .. })));
        let refused = View::from_lengths(usize::MAX, 2, 3);
        assert!(matches!(refused, Err(ShapeError::Overflow { .. })));
        let view = View::from_lengths(2, 3, 4);
        assert_eq!(view, View::new(&[2, 3, 4], 1));
    }

    #[test]
    fn a_view_counts_its_elements_and_tells_its_pattern() {
        let view = |shape: &[usize]| View::new(shape, 1).unwrap();
        let planar = view(&[2, 3, 5]);
        assert_eq!((planar.count(), planar.len()), (10, 30));
        assert_eq!(planar.pattern(), Pattern::Planar);
        assert_eq!(view(&[7, 3]).pattern(), Pattern::Interleaved);
        assert_eq!(view(&[7, 1]).pattern(), Pattern::Planar);
    }

    #[test]
    fn lengths_reach_what_leaves_room_for_bytes() {
        let most = isize::MAX as usize / 8;
        assert_eq!(checked_len(&[most, 1]), Ok(most));
        assert!(checked_len(&[most + 1, 1]).is_err());
        assert_eq!(checked_len(&[2, 3, 4]), Ok(24));
        assert_eq!(resolve_axis(&[2, 3, 4], 0), Ok(0));
        assert_eq!(resolve_axis(&[2, 3, 4], -1), Ok(2));
    }

    #[test]
    fn tensors_that_differ_are_refused() {
        assert_eq!(same_shape("dy", &[2, 3], &[2, 3]), Ok(()));
        assert!(same_shape("dy", &[3, 2], &[2, 3]).is_err());
        assert_eq!(same_element("dy", Element::F16, Element::F16), Ok(()));
        assert!(same_element("dy", Element::F16, Element::Bf16).is_err());
    }
}
