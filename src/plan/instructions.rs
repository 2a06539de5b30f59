//! Vector instructions that the kernels run: those of `tests/machine-code/navi31.txt`, which a test compares.

use super::figures::{UNROLLED, UNROLLED_HALVES};
use super::load::Load;
use super::schedule::Schedule;
use crate::element::Element;

/// What the hot loop of a kernel does with each value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    Moments,
    Map,
    Sums,
    Dx,
    Frozen,
}

impl Body {
    /// Tensors read and written.
    pub(super) fn tensors(self) -> (u64, u64) {
        match self {
            Self::Moments => (1, 0),
            Self::Map => (1, 1),
            Self::Sums => (2, 0),
            Self::Dx | Self::Frozen => (2, 1),
        }
    }

    /// Loads of each tensor that a lane has on their way at once, as the shaders' texts have it.
    pub(super) fn unrolled(self, load: Load, load_bytes: u64) -> u64 {
        let narrow = load_bytes == 8;
        match (self, load) {
            (Self::Moments, Load::Run4) | (Self::Map, _) if narrow => UNROLLED_HALVES,
            // Two pairs.
            (Self::Dx, _) if load_bytes != 8 && load_bytes != 2 => UNROLLED / 2,
            _ => UNROLLED,
        }
    }

    /// Instructions a value, for loads of four values and of one.
    pub(super) fn a_value(self, element: Element) -> [f64; 2] {
        match (self, element) {
            (Self::Moments, Element::F32) => [8.0, 14.8],
            (Self::Moments, Element::F16) => [18.5, 28.3],
            (Self::Moments, Element::Bf16) => [8.9, 18.8],
            (Self::Map, Element::F32) => [6.7, 11.8],
            (Self::Map, Element::F16) => [45.0, 56.8],
            (Self::Map, Element::Bf16) => [13.3, 25.0],
            (Self::Sums, Element::F32) => [8.2, 14.0],
            (Self::Sums, Element::F16) => [29.3, 39.5],
            (Self::Sums, Element::Bf16) => [10.2, 21.0],
            (Self::Dx, Element::F32) => [9.7, 14.8],
            (Self::Dx, Element::F16) => [58.4, 70.8],
            (Self::Dx, Element::Bf16) => [17.2, 30.0],
            (Self::Frozen, Element::F32) => [10.1, 16.0],
            (Self::Frozen, Element::F16) => [58.9, 72.0],
            (Self::Frozen, Element::Bf16) => [17.7, 31.3],
        }
    }

    /// Instructions a lane runs once, before and behind its loop: half of the kernel's that are not in the
    /// hot loop. The others are scalar ones, tails, and branches that one lane takes.
    pub(super) fn a_lane(self) -> f64 {
        match self {
            Self::Moments => 470.0,
            Self::Map => 240.0,
            Self::Sums => 300.0,
            Self::Dx => 360.0,
            Self::Frozen => 350.0,
        }
    }

    /// Instructions a value on this schedule.
    pub(super) fn on(self, schedule: &Schedule) -> f64 {
        let [wide, narrow] = self.a_value(schedule.element);
        let walked = match schedule.load {
            Load::Scalar => narrow,
            Load::Run4 | Load::Channel4 => wide,
        };
        match schedule.axes {
            Some(_) => walked + A_STRIDED_ADDRESS,
            None => walked,
        }
    }
}

/// What a strided address costs more than a dense one.
pub(super) const A_STRIDED_ADDRESS: f64 = 20.0;
/// Instructions that merge a partial of one channel into another.
pub(super) const A_MERGE: f64 = 50.0;
