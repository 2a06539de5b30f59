//! The shapes and operations, the same for every peer.

#[derive(Clone, Copy)]
pub enum Suite {
    ResNet50,
    Small,
}

impl Suite {
    pub fn parse(name: &str) -> Option<Self> {
        [Self::ResNet50, Self::Small]
            .into_iter()
            .find(|suite| suite.name() == name)
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::ResNet50 => "resnet50",
            Self::Small => "small",
        }
    }

    pub fn shapes(self) -> &'static [&'static [usize]] {
        match self {
            Self::ResNet50 => &[
                &[32, 64, 112, 112],
                &[32, 64, 56, 56],
                &[32, 256, 56, 56],
                &[32, 512, 28, 28],
                &[32, 1024, 14, 14],
                &[32, 2048, 7, 7],
                &[4096, 512],
                &[256, 1024],
            ],
            Self::Small => &[
                &[8, 64, 56, 56],
                &[16, 64, 56, 56],
                &[32, 256, 14, 14],
                &[32, 512, 7, 7],
                &[4096, 512],
                &[256, 1024],
                &[50176, 64],
                &[1, 3, 3_000_000],
            ],
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Op {
    Train,
    Inference,
    /// A training forward and its backward pass.
    Step,
}

impl Op {
    pub const ALL: [Self; 3] = [Self::Train, Self::Inference, Self::Step];

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|op| op.name() == name)
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Inference => "inference",
            Self::Step => "step",
        }
    }

    /// How many tensors the operation reads or writes at the least.
    pub fn traffic(self) -> usize {
        match self {
            Self::Train => 3,
            Self::Inference => 2,
            Self::Step => 8,
        }
    }
}
