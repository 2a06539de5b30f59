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

    /// Words of each tensor that a lane has on their way at once in a flat map.
    pub(super) fn unrolled_words(self) -> u64 {
        match self {
            Self::Map => UNROLLED_HALVES,
            _ => UNROLLED,
        }
    }

    /// Instructions a value, for loads of four values and of one. Single halves are mapped by words.
    pub(super) fn a_value(self, element: Element) -> [f64; 2] {
        match (self, element) {
            (Self::Moments, Element::F32) => [7.6, 13.8],
            (Self::Moments, Element::F16) => [7.6, 16.8],
            (Self::Moments, Element::Bf16) => [8.6, 17.8],
            (Self::Map, Element::F32) => [6.2, 10.8],
            (Self::Map, Element::F16) => [19.6, 26.2],
            (Self::Map, Element::Bf16) => [13.1, 20.2],
            (Self::Sums, Element::F32) => [7.9, 13.0],
            (Self::Sums, Element::F16) => [7.9, 18.0],
            (Self::Sums, Element::Bf16) => [9.9, 20.0],
            (Self::Dx, Element::F32) => [9.4, 13.8],
            (Self::Dx, Element::F16) => [22.8, 29.4],
            (Self::Dx, Element::Bf16) => [17.2, 24.9],
            (Self::Frozen, Element::F32) => [10.4, 15.0],
            (Self::Frozen, Element::F16) => [23.0, 18.0],
            (Self::Frozen, Element::Bf16) => [17.4, 20.0],
        }
    }

    /// Instructions a lane runs once, before and behind its loop, for loads of four values of a run, of four channels,
    /// and of one value: half of the kernel's that are not in the hot loop. The others are scalar ones, tails, and
    /// branches that one lane takes.
    pub(super) fn a_lane(self, element: Element, load: Load) -> f64 {
        let each = match (self, element) {
            (Self::Moments, Element::F32) => [619.0, 869.0, 586.0],
            (Self::Moments, Element::F16) => [763.0, 881.0, 608.0],
            (Self::Moments, Element::Bf16) => [779.0, 890.0, 611.0],
            (Self::Map, Element::F32) => [253.0, 286.0, 226.0],
            (Self::Map, Element::F16) => [599.0, 635.0, 728.0],
            (Self::Map, Element::Bf16) => [471.0, 507.0, 641.0],
            (Self::Sums, Element::F32) => [368.0, 477.0, 340.0],
            (Self::Sums, Element::F16) => [368.0, 476.0, 356.0],
            (Self::Sums, Element::Bf16) => [383.0, 492.0, 360.0],
            (Self::Dx, Element::F32) => [386.0, 480.0, 342.0],
            (Self::Dx, Element::F16) => [525.0, 618.0, 502.0],
            (Self::Dx, Element::Bf16) => [464.0, 551.0, 462.0],
            (Self::Frozen, Element::F32) => [423.0, 557.0, 384.0],
            (Self::Frozen, Element::F16) => [549.0, 684.0, 374.0],
            (Self::Frozen, Element::Bf16) => [497.0, 631.0, 378.0],
        };
        match load {
            Load::Run4 => each[0],
            Load::Channel4 => each[1],
            Load::Scalar => each[2],
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
