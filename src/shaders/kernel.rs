//! The kernels.

use super::role::Role;

/// Declares [`Kernel`]: each with the name of its file in `shaders/kernels`.
macro_rules! kernels {
    ($($(#[$doc:meta])* $kernel:ident = $file:literal,)*) => {
        /// One dispatch's mathematics; the name of its file, its label and its entry in the cache.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Kernel {
            $($(#[$doc])* $kernel,)*
        }

        impl Kernel {
            /// All kernels.
            #[cfg(any(test, feature = "internals"))]
            pub const ALL: [Self; [$($file),*].len()] = [$(Self::$kernel),*];

            /// The name of the kernel's file.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$kernel => $file,)*
                }
            }
        }
    };
}

kernels! {
    /// Training forward 1: partial moments.
    Moments = "moments",
    /// Training forward 2: y, saved and running statistics.
    Normalize = "normalize",
    /// Inference; functional normalization.
    Inference = "inference",
    /// Functional moments 2: merged moments.
    MomentsFinish = "moments_finish",
    /// Training forward between 1 and 2: partials to one, saved and running statistics.
    TrainFinish = "train_finish",
    /// Backward 1 through batch statistics: partial sums.
    BackwardSums = "backward_sums",
    /// Backward 2 through batch statistics: dx, dweight, dbias.
    BackwardDx = "backward_dx",
    /// Backward 1 through frozen statistics: dx and partial sums.
    BackwardFrozen = "backward_frozen",
    /// Backward 2 where dx is not left to do, or between 1 and 2: dweight, dbias.
    Gradients = "gradients",
    /// Training forward in one dispatch.
    TrainResident = "train_resident",
    /// Backward through batch statistics in one dispatch.
    BackwardResident = "backward_resident",
    /// Training forward in one dispatch, of channels that registers hold.
    TrainHeld = "train_held",
    /// Backward through batch statistics in one dispatch, of channels that registers hold.
    BackwardHeld = "backward_held",
    /// The moments of two batches into those of both.
    MomentsMerge = "moments_merge",
    /// Training forward 3, of single halves: y.
    FlatNormalize = "flat_normalize",
    /// Inference and functional normalization of single halves.
    FlatInference = "flat_inference",
    /// Backward 3 through batch statistics, of single halves: dx, dresidual.
    FlatDx = "flat_dx",
    /// Backward 3 through frozen statistics, of single halves: dx, dresidual.
    FlatFrozenDx = "flat_frozen_dx",
    /// A texture into a tensor, or the reverse: y.
    Texels = "texels",
}

impl Kernel {
    /// Whether the kernel reads or writes tensors, or what there is one of a channel alone.
    pub(crate) fn walks(self) -> bool {
        !matches!(
            self,
            Self::MomentsFinish | Self::Gradients | Self::MomentsMerge | Self::TrainFinish
        )
    }

    /// Whether the kernel maps words of two halves, whatever channels these are of.
    pub fn is_flat(self) -> bool {
        use Kernel::{FlatDx, FlatFrozenDx, FlatInference, FlatNormalize};
        matches!(self, FlatNormalize | FlatInference | FlatDx | FlatFrozenDx)
    }

    /// Whether there is something to do for lanes of several channels. What holds channels is of plans that have none of
    /// these.
    #[cfg(any(test, feature = "internals"))]
    pub(crate) fn takes_columns(self) -> bool {
        !self.holds()
    }

    /// Whether the kernel keeps its channels in registers. Each of its lanes has one.
    #[cfg(any(test, feature = "internals"))]
    pub fn holds(self) -> bool {
        matches!(self, Self::TrainHeld | Self::BackwardHeld)
    }

    /// Whether the kernel maps `x` to `out`, each value to its own place.
    pub(crate) fn maps(self) -> bool {
        matches!(
            self,
            Self::Normalize
                | Self::Inference
                | Self::TrainResident
                | Self::TrainHeld
                | Self::FlatNormalize
                | Self::FlatInference
                | Self::Texels
        )
    }

    /// What the kernel writes, of what it binds. A test holds its text against this.
    pub(crate) fn writes(self) -> &'static [Role] {
        use Role::{Dresidual, Grads, Out, Partials, Saved, Statistics};
        match self {
            Self::Moments => &[Partials],
            Self::TrainFinish => &[Statistics, Saved, Partials],
            Self::Normalize | Self::TrainResident | Self::TrainHeld => &[Out, Statistics, Saved],
            Self::Inference | Self::FlatNormalize | Self::FlatInference | Self::Texels => &[Out],
            Self::FlatDx | Self::FlatFrozenDx => &[Out, Dresidual],
            Self::MomentsFinish | Self::MomentsMerge => &[Statistics],
            Self::BackwardSums => &[Dresidual, Partials],
            Self::BackwardDx => &[Out, Grads],
            Self::BackwardFrozen => &[Out, Dresidual, Partials],
            Self::BackwardResident | Self::BackwardHeld => &[Out, Dresidual, Grads],
            Self::Gradients => &[Grads, Partials],
        }
    }

    /// Whether the kernel reads `x` alone of the tensors, some loads at a time, and may read eight at once.
    pub(crate) fn takes_eight(self) -> bool {
        matches!(
            self,
            Self::Moments
                | Self::Normalize
                | Self::Inference
                | Self::TrainResident
                | Self::FlatNormalize
                | Self::FlatInference
        )
    }

    /// Whether it has a text for values with weights.
    pub(crate) fn takes_weights(self) -> bool {
        !matches!(self, Self::MomentsMerge | Self::Texels)
    }

    /// Whether it binds so much that, of a residual and weights, it takes one.
    pub(crate) fn leaves_residual_for_weights(self) -> bool {
        matches!(
            self,
            Self::BackwardFrozen | Self::BackwardResident | Self::BackwardHeld | Self::FlatDx
        )
    }

    /// Whether an activation and a residual come after what the kernel normalizes, or backward goes
    /// through them before it.
    pub(crate) fn activates(self) -> bool {
        self.walks() && self != Self::Moments
    }
}
