//! The closed list of operations.

/// All operations there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Training forward.
    Train,
    /// Training forward on a part of a batch, from the moments of the whole.
    TrainPart,
    /// Inference.
    Inference,
    /// The moments of a batch, or of a part of one.
    Moments,
    /// The moments of two parts into those of both.
    MergeMoments,
    /// Backward through batch statistics; without dx, the sums of a part of a batch.
    Backward,
    /// dx of a part of a batch, from the sums of the whole.
    BackwardPart,
    /// Backward with running statistics held constant.
    BackwardFrozen,
    /// Training forward on an image.
    ImageTrain,
    /// Inference on an image.
    ImageInference,
    /// The statistics of an image, for a render pass to normalize by.
    ImageStatistics,
    /// A render pass that normalizes an image by what training saved.
    ImageRenderSaved,
    /// The same by running statistics.
    ImageRenderRunning,
    /// An image into a tensor, normalized by given statistics.
    ImageToTensor,
    /// A tensor into an image, normalized by given statistics.
    ImageFromTensor,
    /// The functional normalization by given statistics.
    Normalize,
}

impl Operation {
    /// All of them.
    #[cfg(any(test, feature = "internals"))]
    pub const ALL: [Self; 16] = [
        Self::Train,
        Self::TrainPart,
        Self::Inference,
        Self::Moments,
        Self::MergeMoments,
        Self::Backward,
        Self::BackwardPart,
        Self::BackwardFrozen,
        Self::ImageTrain,
        Self::ImageInference,
        Self::ImageStatistics,
        Self::ImageRenderSaved,
        Self::ImageRenderRunning,
        Self::ImageToTensor,
        Self::ImageFromTensor,
        Self::Normalize,
    ];

    /// What it is called in debug groups.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "training forward",
            Self::TrainPart => "training forward of a part",
            Self::Inference => "inference",
            Self::Moments => "moments",
            Self::MergeMoments => "merge of moments",
            Self::Backward => "backward",
            Self::BackwardPart => "backward of a part",
            Self::BackwardFrozen => "backward, frozen statistics",
            Self::ImageTrain => "image training forward",
            Self::ImageInference => "image inference",
            Self::ImageStatistics => "image statistics",
            Self::ImageRenderSaved | Self::ImageRenderRunning => "image render",
            Self::ImageToTensor => "image to tensor",
            Self::ImageFromTensor => "image from tensor",
            Self::Normalize => "normalize",
        }
    }
}
