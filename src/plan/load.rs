//! How wide a lane's loads are, and how many channels it walks.

use crate::shape::{Pattern, View};

/// How wide a lane's loads are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Load {
    /// One value.
    Scalar,
    /// Four neighbours of one channel's run.
    Run4,
    /// The same position of four neighbouring channels.
    Channel4,
}

/// How many channels, or fours of them, one lane may walk at once; 1 where it walks one.
pub const COLUMNS: [u32; 3] = [1, 2, 4];

impl Load {
    /// The widest load that a dense view allows.
    pub(crate) fn of(view: &View) -> Self {
        match view.pattern() {
            Pattern::Planar if view.inner().is_multiple_of(4) => Self::Run4,
            Pattern::Interleaved if view.channels().is_multiple_of(4) => Self::Channel4,
            _ => Self::Scalar,
        }
    }

    /// The view in loads of this width.
    pub(crate) fn count(self, view: &View) -> View {
        match self {
            Self::Scalar => *view,
            Self::Run4 => view.with_inner(view.inner() / 4),
            Self::Channel4 => view.with_channels(view.channels() / 4),
        }
    }

    /// Values of a load.
    pub(crate) fn values(self) -> u64 {
        match self {
            Self::Scalar => 1,
            Self::Run4 | Self::Channel4 => 4,
        }
    }
}
