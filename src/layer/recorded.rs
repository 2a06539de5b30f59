//! A pass as it was recorded last, to be recorded again while nothing has changed.

use crate::binding::Binding;
use crate::config::Momentum;
use crate::tensor::Tensor;

/// A binding, and what it was made of.
#[derive(Debug)]
pub(super) struct Recorded<const N: usize> {
    pub(super) binding: Binding,
    /// The tensors of each role, in an order of the pass's own.
    tensors: [Option<Tensor>; N],
    /// How fast running statistics move.
    momentum: Option<Momentum>,
    /// Scratch, which a check fills before a run.
    #[cfg_attr(
        not(feature = "reference"),
        expect(dead_code, reason = "checks fill it")
    )]
    pub(super) workspace: Option<Tensor>,
}

impl<const N: usize> Recorded<N> {
    pub(super) fn new(
        binding: Binding,
        tensors: [Option<&Tensor>; N],
        momentum: Option<Momentum>,
        workspace: Option<Tensor>,
    ) -> Self {
        Self {
            binding,
            tensors: tensors.map(Option::<&Tensor>::cloned),
            momentum,
            workspace,
        }
    }

    /// The tensors, each with the name of its role.
    pub(super) fn named(
        &self,
        names: [&'static str; N],
    ) -> impl Iterator<Item = (&'static str, Option<&Tensor>)> {
        let tensors = self.tensors.iter().map(Option::as_ref);
        names.into_iter().zip(tensors)
    }

    /// The tensor of role `k`.
    #[cfg(feature = "reference")]
    pub(super) fn tensor(&self, k: usize) -> Option<&Tensor> {
        self.tensors[k].as_ref()
    }

    /// Whether recording these tensors anew would give the same binding.
    pub(super) fn fits(&self, tensors: [Option<&Tensor>; N], momentum: Option<Momentum>) -> bool {
        let mut pairs = self.tensors.iter().zip(tensors);
        self.momentum == momentum
            && pairs.all(|(bound, given)| match (bound, given) {
                (Some(bound), Some(given)) => bound.is(given),
                (None, None) => true,
                _ => false,
            })
    }
}
