//! Options.

/// An option out of its range, or one that does not fit the operation.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// `eps` negative or not finite.
    #[error("eps is {got:?}, expected a finite number of at least 0")]
    Eps {
        /// The value given.
        got: f32,
    },
    /// `eps` too small for training.
    #[error("eps is {got:?}, training needs at least 1.1754944e-38 (the smallest normal f32)")]
    TrainingEps {
        /// The value given.
        got: f32,
    },
    /// An activation that is not known, or whose numbers do not fit it.
    #[error("the activation is {got:?}, expected {expected}")]
    Activation {
        /// Its text.
        got: String,
        /// What it should be.
        expected: &'static str,
    },
    /// Options that do not go together.
    #[error("{what} cannot be combined with {with}")]
    Combination {
        /// One.
        what: &'static str,
        /// The other.
        with: &'static str,
    },
    /// Too few values per channel: fewer in a batch than in one of its parts, or none in moments that something is normalized with.
    #[error("a batch of {got} values per channel, expected at least {least}")]
    Count {
        /// The count given.
        got: u64,
        /// The fewest: the part's own count, or 1.
        least: u64,
    },
    /// A count of values per channel below 0, above 2^53 or not finite; for a device, also one that is not whole.
    #[error(
        "a count of {got:?} values per channel, expected a number from 0 to 2^53, and for a device a whole one"
    )]
    CountOfValues {
        /// The count given.
        got: f64,
    },
    /// A weight that is negative or not finite.
    #[error("weight {index} is {got:?}, expected a finite number of at least 0")]
    Weight {
        /// Its place among the weights.
        index: usize,
        /// The value given.
        got: f32,
    },
    /// Backward after a forward pass in place.
    #[error("backward needs x, and the forward pass put y over it")]
    InPlace,
    /// A layer of zero channels.
    #[error("a layer has 0 channels, expected at least 1")]
    NoChannels,
    /// Momentum outside [0, 1] or not finite.
    #[error("momentum is {got:?}, expected a number from 0 to 1")]
    Momentum {
        /// The value given.
        got: f32,
    },
    /// One value per channel has no unbiased variance, and normalizes to nothing but the bias.
    #[error(
        "training on (outer, channels, inner) = ({outer}, {channels}, {inner}) has one value per \
         channel, expected more than one (a biased running variance allows one)"
    )]
    OneValuePerChannel {
        /// Product of the axes before the channel axis.
        outer: usize,
        /// Length of the channel axis.
        channels: usize,
        /// Product of the axes after the channel axis.
        inner: usize,
    },
    /// Sub-batches of no samples.
    #[error("sub-batches of 0 samples, expected at least 1")]
    NoSamples,
    /// A sub-batch that has too few values per channel to train on, as a batch of one value has.
    #[error(
        "training on sub-batch {index} of {count}, counted from 0, which has {values} value per channel, expected more than one \
         (a biased running variance allows one)"
    )]
    SubBatch {
        /// Which, counted from 0.
        index: usize,
        /// How many sub-batches there are.
        count: usize,
        /// Its values per channel.
        values: usize,
    },
    /// Inference without running statistics.
    #[error("inference needs running_mean and running_var, and this configuration keeps none")]
    NoRunningStatistics,
    /// A running mean or variance that a channel cannot be normalized by.
    #[error("{statistic} of channel {channel} is {got:?}, expected {expected}")]
    RunningStatistic {
        /// "running_mean" or "running_var".
        statistic: &'static str,
        /// The channel.
        channel: usize,
        /// The value given.
        got: f32,
        /// What was expected.
        expected: &'static str,
    },
    /// Momentum changed where no running statistics are kept.
    #[error("momentum has no meaning here: no running statistics are moved")]
    NoMomentum,
}
