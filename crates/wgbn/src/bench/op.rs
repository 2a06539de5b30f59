//! The operations, and the bytes each must move.

use clap::ValueEnum;

/// What is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ValueEnum)]
pub enum Op {
    /// Training forward.
    Train,
    /// Forward with running statistics.
    Inference,
    /// Backward through batch statistics.
    Backward,
    /// Backward through frozen statistics.
    Frozen,
    /// Mean and variance of every channel.
    Moments,
    /// Training forward and backward.
    Step,
    /// The plain sum of a tensor, by this benchmark's own kernel: the yardstick of a reduction.
    Sum,
}

/// Tensor-sized reads and writes of an operation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Traffic {
    /// In passes that only read.
    pub read_only: u64,
    /// In passes that read and write.
    pub mixed: u64,
}

impl Op {
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Inference => "inference",
            Self::Backward => "backward",
            Self::Frozen => "frozen",
            Self::Moments => "moments",
            Self::Step => "step",
            Self::Sum => "sum",
        }
    }

    /// What a run without caches cannot avoid.
    pub fn traffic(self) -> Traffic {
        let (read_only, mixed) = match self {
            Self::Train => (1, 2),
            Self::Inference => (0, 2),
            Self::Backward => (2, 3),
            Self::Frozen => (0, 3),
            Self::Moments | Self::Sum => (1, 0),
            Self::Step => (3, 5),
        };
        Traffic { read_only, mixed }
    }

    /// Bytes that must move for a tensor of `bytes`.
    pub fn ideal_bytes(self, bytes: u64) -> u64 {
        let Traffic { read_only, mixed } = self.traffic();
        (read_only + mixed) * bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ideal_bytes_are_those_of_the_operations() {
        let tensors = |op: Op| op.ideal_bytes(1);
        let expected = [3, 2, 5, 3, 1, 8, 1];
        let got: Vec<_> = Op::value_variants().iter().map(|&op| tensors(op)).collect();
        assert_eq!(got, expected);
        assert_eq!(
            tensors(Op::Step),
            tensors(Op::Train) + tensors(Op::Backward)
        );
    }
}
