//! From a shape and any set of reduced axes to a view, dense where the axes allow it.

use crate::element::Element;
use crate::error::{PlanError, ShapeError};
use crate::plan::{self, Axes, Machine, Needs, Schedule};
#[cfg(any(feature = "cpu", feature = "reference"))]
use crate::shape::check_len;
use crate::shape::{View, batch_len, resolve_axis};
use crate::weights::Broadcast;
#[cfg(any(feature = "cpu", feature = "reference"))]
use crate::weights::Weights;

/// Kept or reduced axes that a strided walk takes, each kind on its own.
const MAX_GROUPS: usize = 8;

/// A split of a tensor's axes into kept ones, the channels of the kernels, and reduced ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reduction {
    shape: Vec<usize>,
    kept: Vec<bool>,
}

/// Neighbouring axes of one kind, as one.
struct Group {
    kept: bool,
    len: usize,
    stride: usize,
}

impl Reduction {
    /// Reduces `axes` of `shape`; negative axes count from the end.
    pub(crate) fn over(shape: &[usize], axes: &[isize]) -> Result<Self, ShapeError> {
        if shape.is_empty() {
            return Err(ShapeError::Rank { shape: vec![] });
        }
        batch_len(shape)?;
        let mut kept = vec![true; shape.len()];
        for &axis in axes {
            let axis = resolve_axis(shape, axis)?;
            if !std::mem::replace(&mut kept[axis], false) {
                return Err(ShapeError::RepeatedAxis { axis });
            }
        }
        Self {
            shape: shape.to_vec(),
            kept,
        }
        .with_channels()
    }

    /// Refuses the batch axis of an empty batch as one that is kept: there are no channels then.
    fn with_channels(self) -> Result<Self, ShapeError> {
        match self.counts().1 {
            0 => Err(ShapeError::Empty { shape: self.shape }),
            _ => Ok(self),
        }
    }

    /// Keeps the axes over which a tensor of shape `statistics` varies, aligned from the right as
    /// in NumPy's broadcasting.
    pub(crate) fn broadcast(
        shape: &[usize],
        tensor: &'static str,
        statistics: &[usize],
    ) -> Result<Self, ShapeError> {
        if shape.is_empty() {
            return Err(ShapeError::Rank { shape: vec![] });
        }
        batch_len(shape)?;
        let refused = || ShapeError::Broadcast {
            tensor,
            got: statistics.to_vec(),
            x: shape.to_vec(),
        };
        let missing = shape.len().checked_sub(statistics.len());
        let missing = missing.ok_or_else(refused)?;
        let mut kept = vec![false; missing];
        for (&len, &wanted) in statistics.iter().zip(&shape[missing..]) {
            if len != wanted && len != 1 {
                return Err(refused());
            }
            // An axis of length 1 is not varied over.
            kept.push(len == wanted && len > 1);
        }
        Self {
            shape: shape.to_vec(),
            kept,
        }
        .with_channels()
    }

    /// Where weights of this shape lie, which do not vary along kept axes.
    pub(crate) fn places_of(&self, weights: &[usize]) -> Result<Broadcast, ShapeError> {
        Broadcast::new(&self.shape, |k| self.kept[k], weights)
    }

    /// The same split of a tensor of another shape; `None` where the statistics of both do not fit.
    pub(crate) fn on(&self, shape: &[usize]) -> Result<Option<Self>, ShapeError> {
        batch_len(shape)?;
        let mut axes = self.shape.iter().zip(shape).zip(&self.kept);
        let fits = shape.len() == self.shape.len() && axes.all(|((a, b), kept)| !kept || a == b);
        Ok(fits.then(|| Self {
            shape: shape.to_vec(),
            kept: self.kept.clone(),
        }))
    }

    /// Whether both give every element the same statistic: axes of length 1 are kept and reduced
    /// alike.
    pub(crate) fn splits_like(&self, other: &Self) -> bool {
        let mut axes = self.shape.iter().zip(self.kept.iter().zip(&other.kept));
        self.shape == other.shape && axes.all(|(&len, (a, b))| len == 1 || a == b)
    }

    /// The shape of the statistics.
    pub(crate) fn statistics_shape(&self, keep_dims: bool) -> Vec<usize> {
        let axes = self.shape.iter().zip(&self.kept);
        axes.filter(|&(_, &kept)| kept || keep_dims)
            .map(|(&len, &kept)| if kept { len } else { 1 })
            .collect()
    }

    /// Values behind each statistic, and how many statistics there are.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let product = |wanted| {
            let axes = self.shape.iter().zip(&self.kept);
            axes.filter(|&(_, &kept)| kept == wanted)
                .map(|(&len, _)| len)
                .product()
        };
        (product(false), product(true))
    }

    /// Plans the functional forms over this split.
    pub(crate) fn plan(
        &self,
        element: Element,
        needs: &Needs,
        machine: &Machine,
    ) -> Result<Schedule, PlanError> {
        match self.dense() {
            Some(view) => plan::plan_dense(view, element, needs, machine),
            None => {
                let (axes, innermost) = self.axes()?;
                let (count, channels) = self.counts();
                let view = View::of_lengths(count, channels, 1);
                plan::plan_strided(view, element, axes, innermost, needs, machine)
            }
        }
    }

    /// Refuses a slice that is not as long as the shape.
    #[cfg(any(feature = "cpu", feature = "reference"))]
    pub(crate) fn check_len(&self, tensor: &'static str, values: &[f32]) -> Result<(), ShapeError> {
        check_len(tensor, values.len(), self.shape.iter().product())
    }

    /// `values` reordered so that every statistic's values are one run, and the view of that:
    /// what the reference works on.
    #[cfg(any(feature = "cpu", feature = "reference"))]
    pub(crate) fn gather(&self, values: &[f32]) -> (Vec<f32>, View) {
        let (count, channels) = self.counts();
        let view = match count {
            0 => View::of_lengths(0, channels, 1),
            _ => View::of_lengths(1, channels, count),
        };
        let mut filled = vec![0; channels];
        let mut gathered = vec![0.0; values.len()];
        for (index, &value) in values.iter().enumerate() {
            let k = self.statistic_of(index);
            gathered[k * count + filled[k]] = value;
            filled[k] += 1;
        }
        (gathered, view)
    }

    /// Weights in the order of one run of [`Reduction::gather`]: they are the same for each statistic.
    #[cfg(any(feature = "cpu", feature = "reference"))]
    pub(crate) fn gather_weights(&self, weights: &Weights<'_>) -> Vec<f32> {
        let spread: Vec<f32> = (0..self.shape.iter().product())
            .map(|index| weights.of(index))
            .collect();
        let mut gathered = self.gather(&spread).0;
        gathered.truncate(self.counts().0);
        gathered
    }

    /// The statistic that element `index` in memory order belongs to.
    #[cfg(any(feature = "cpu", feature = "reference"))]
    fn statistic_of(&self, index: usize) -> usize {
        let (mut rest, mut statistic, mut stride) = (index, 0, 1);
        for (&len, &kept) in self.shape.iter().zip(&self.kept).rev() {
            if kept {
                statistic += rest % len * stride;
                stride *= len;
            }
            rest /= len;
        }
        statistic
    }

    /// The dense view, where kept and reduced axes collapse to one.
    pub(crate) fn dense(&self) -> Option<View> {
        let (count, channels) = self.counts();
        if count == 0 {
            return Some(View::of_lengths(0, channels, 1));
        }
        let groups = self.groups();
        let lens: Vec<_> = groups.iter().map(|g| (g.kept, g.len)).collect();
        let (outer, channels, inner) = match lens[..] {
            [] => (1, 1, 1),
            [(true, c)] => (1, c, 1),
            [(false, n)] => (1, 1, n),
            [(true, c), (false, n)] => (1, c, n),
            [(false, n), (true, c)] => (n, c, 1),
            [(false, n), (true, c), (false, i)] => (n, c, i),
            _ => return None,
        };
        Some(View::of_lengths(outer, channels, inner))
    }

    /// Lengths and strides for a strided walk, and whether the innermost axis is a kept one.
    fn axes(&self) -> Result<(Axes, bool), ShapeError> {
        let groups = self.groups();
        let mut axes = Axes {
            kept: [[1, 0, 0, 0]; MAX_GROUPS],
            reduced: [[1, 0, 0, 0]; MAX_GROUPS],
        };
        for wanted in [true, false] {
            let table = match wanted {
                true => &mut axes.kept,
                false => &mut axes.reduced,
            };
            let fastest_first = groups.iter().rev().filter(|g| g.kept == wanted);
            for (k, group) in fastest_first.enumerate() {
                let entry = table.get_mut(k).ok_or_else(|| ShapeError::Alternations {
                    shape: self.shape.clone(),
                    got: groups.len(),
                    limit: 2 * MAX_GROUPS,
                })?;
                *entry = [group.len as u32, group.stride as u32, 0, 0];
            }
        }
        Ok((axes, groups.last().is_some_and(|g| g.kept)))
    }

    /// Axes of length 1 dropped, neighbours of one kind joined.
    fn groups(&self) -> Vec<Group> {
        let mut groups: Vec<Group> = Vec::new();
        let mut stride = self.shape.iter().product();
        for (&len, &kept) in self.shape.iter().zip(&self.kept) {
            stride /= len;
            match groups.last_mut() {
                _ if len == 1 => {}
                Some(last) if last.kept == kept => {
                    last.len *= len;
                    last.stride = stride;
                }
                _ => groups.push(Group { kept, len, stride }),
            }
        }
        groups
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_that_collapse_are_dense() {
        let dense = |shape: &[usize], axes: &[isize]| {
            let view = Reduction::over(shape, axes).unwrap().dense();
            view.map(|v| v.lengths())
        };
        assert_eq!(dense(&[2, 3, 4, 5], &[0, 2, 3]), Some((2, 3, 20)));
        assert_eq!(dense(&[2, 3, 4, 5], &[0, 1, 2]), Some((24, 5, 1)));
        assert_eq!(dense(&[2, 3, 4, 5], &[2, -1]), Some((1, 6, 20)));
        assert_eq!(dense(&[2, 3], &[0, 1]), Some((1, 1, 6)));
        assert_eq!(dense(&[2, 3], &[]), Some((1, 6, 1)));
        assert_eq!(dense(&[2, 1, 3], &[1]), Some((1, 6, 1)));
        assert_eq!(dense(&[1, 1], &[0]), Some((1, 1, 1)));
        assert_eq!(dense(&[2, 3, 4], &[1]), None);
    }

    #[test]
    fn statistics_follow_elements() {
        let reduction = Reduction::over(&[2, 3, 4], &[1]).unwrap();
        assert_eq!(reduction.counts(), (3, 8));
        assert_eq!(reduction.statistics_shape(false), [2, 4]);
        assert_eq!(reduction.statistics_shape(true), [2, 1, 4]);
        let element = |a: usize, b: usize, c: usize| (a * 3 + b) * 4 + c;
        assert_eq!(reduction.statistic_of(element(1, 2, 3)), 7);
        assert_eq!(reduction.statistic_of(element(0, 1, 2)), 2);
    }

    #[test]
    fn broadcasting_is_numpys() {
        let kept = |statistics: &[usize]| {
            let r = Reduction::broadcast(&[2, 3, 4], "mean", statistics);
            r.map(|r| r.kept)
        };
        assert_eq!(kept(&[4]), Ok(vec![false, false, true]));
        assert_eq!(kept(&[3, 1]), Ok(vec![false, true, false]));
        assert_eq!(kept(&[2, 1, 4]), Ok(vec![true, false, true]));
        assert_eq!(kept(&[]), Ok(vec![false, false, false]));
        assert!(kept(&[3]).is_err());
        assert!(kept(&[1, 2, 3, 4]).is_err());
    }

    #[test]
    fn bad_axes_are_named() {
        let over = |axes: &[isize]| Reduction::over(&[2, 3], axes);
        assert!(matches!(over(&[2]), Err(ShapeError::Axis { axis: 2, .. })));
        let repeated = over(&[0, -2]);
        assert!(matches!(
            repeated,
            Err(ShapeError::RepeatedAxis { axis: 0 })
        ));
        assert!(Reduction::over(&[], &[]).is_err());
        assert!(Reduction::over(&[2, 0], &[0]).is_err());
    }
    #[test]
    fn axes_of_length_one_split_alike() {
        let over = |axes: &[isize]| Reduction::over(&[2, 1, 3], axes).unwrap();
        assert!(over(&[0]).splits_like(&over(&[0, 1])));
        assert!(!over(&[0]).splits_like(&over(&[2])));
        assert!(!over(&[0]).splits_like(&over(&[])));
        // The same axes of another shape.
        let other = Reduction::over(&[2, 1, 4], &[0]).unwrap();
        assert!(!over(&[0]).splits_like(&other));
    }

    #[test]
    fn an_axis_of_length_one_is_not_varied_over() {
        let kept = Reduction::broadcast(&[2, 1, 4], "mean", &[2, 1, 1]).unwrap();
        assert_eq!(kept.kept, [true, false, false]);
        assert_eq!(kept.shape, [2, 1, 4]);
    }

    #[test]
    fn alternating_axes_are_walked_by_their_strides() {
        // Kept, reduced, reduced, kept, reduced: 2·(3·4)·5·(1·6).
        let shape = [2, 3, 4, 5, 1, 6];
        let reduction = Reduction::over(&shape, &[1, 2, -1]).unwrap();
        let (axes, kept_innermost) = reduction.axes().unwrap();
        let unused = [1, 0, 0, 0];
        assert_eq!(axes.kept[..3], [[5, 6, 0, 0], [2, 360, 0, 0], unused]);
        assert_eq!(axes.reduced[..3], [[6, 1, 0, 0], [12, 30, 0, 0], unused]);
        assert!(!kept_innermost);
        let (_, kept_innermost) = Reduction::over(&shape, &[1, 2]).unwrap().axes().unwrap();
        assert!(kept_innermost);
    }

    #[test]
    fn what_alternates_too_often_is_refused_with_the_limit() {
        // Axes of length 2, every second of them reduced.
        let alternating = |rank: usize| {
            let axes: Vec<isize> = (0..rank as isize).step_by(2).collect();
            Reduction::over(&vec![2; rank], &axes).unwrap().axes()
        };
        assert!(alternating(16).is_ok());
        let refused = alternating(17).unwrap_err();
        let ShapeError::Alternations { got, limit, .. } = refused else {
            panic!("{refused}");
        };
        assert_eq!((got, limit), (17, 16));
    }

    #[test]
    fn gathering_gives_every_statistic_a_run() {
        let reduction = Reduction::over(&[2, 3, 2], &[1]).unwrap();
        let values: Vec<f32> = (0..12).map(|i| i as f32).collect();
        let (gathered, view) = reduction.gather(&values);
        let expected = [0, 2, 4, 1, 3, 5, 6, 8, 10, 7, 9, 11].map(|i| i as f32);
        assert_eq!(gathered, expected);
        assert_eq!((view.outer(), view.channels(), view.inner()), (1, 4, 3));
        assert_eq!(reduction.check_len("x", &values), Ok(()));
        assert!(reduction.check_len("x", &values[1..]).is_err());
    }
}
