//! What is measured: suites of shapes.

use clap::ValueEnum;
use wgpu_batchnorm::{Config, Element, View};

use super::op::Op;
use crate::failure::Failure;

/// A named set of shapes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Suite {
    /// Shapes that fit a software adapter.
    Small,
    /// The layers of ResNet-50 at batch 32, and two dense ones.
    Resnet50,
    /// 10³ elements up to what fits, at 1, 64 and 1,024 channels.
    Sweep,
    /// Sums and moments of whole tensors and of channels.
    Reductions,
    /// What recording, binding, submitting and the first result cost on the host.
    Host,
}

/// Where the channels lie in memory. Shapes are N, C, then the rest, whatever the layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    Nchw,
    Nhwc,
    Nc,
}

/// A shape in a layout, of one suite, and how its values are stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    pub suite: Suite,
    pub shape: Vec<usize>,
    pub layout: Layout,
    pub element: Element,
}

/// Beyond this many elements no suite goes.
pub const MOST_ELEMENTS: usize = 1 << 27;
/// Nor does `--quick` beyond this many.
pub const QUICK_ELEMENTS: usize = 1 << 18;

const RESNET50: [&[usize]; 8] = [
    &[32, 64, 112, 112],
    &[32, 64, 56, 56],
    &[32, 256, 56, 56],
    &[32, 512, 28, 28],
    &[32, 1024, 14, 14],
    &[32, 2048, 7, 7],
    &[4096, 512],
    &[256, 1024],
];

const SMALL: [&[usize]; 8] = [
    &[8, 64, 56, 56],
    &[16, 64, 56, 56],
    &[32, 256, 14, 14],
    &[32, 512, 7, 7],
    &[4096, 512],
    &[256, 1024],
    &[50176, 64],
    &[1, 3, 3_000_000],
];

impl Suite {
    pub fn name(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Resnet50 => "resnet50",
            Self::Sweep => "sweep",
            Self::Reductions => "reductions",
            Self::Host => "host",
        }
    }

    /// Its shapes; none for [`Suite::Host`], which has a list of its own.
    pub fn cases(self) -> Vec<Case> {
        match self {
            Self::Small => self.both_layouts(&SMALL),
            Self::Resnet50 => self.both_layouts(&RESNET50),
            Self::Sweep => self.sweep(),
            Self::Reductions => {
                let mut cases: Vec<_> = [14, 18, 22, 24]
                    .map(|log| self.case(vec![1, 1, 1 << log], Layout::Nchw))
                    .into();
                cases.extend(self.both_layouts(&[&[16, 64, 64, 64], &[16384, 256]]));
                cases
            }
            Self::Host => vec![],
        }
    }

    /// The operations of `wanted` that this suite has, its usual ones where nothing is.
    pub fn ops(self, wanted: Option<&[Op]>) -> Vec<Op> {
        let has = |op: &&Op| match self {
            Self::Reductions => matches!(op, Op::Sum | Op::Moments),
            Self::Host => false,
            _ => **op != Op::Sum,
        };
        let usual: &[Op] = match self {
            Self::Reductions => &[Op::Sum, Op::Moments],
            Self::Sweep => &[Op::Train, Op::Inference, Op::Backward],
            _ => &[Op::Train, Op::Inference, Op::Backward, Op::Step],
        };
        wanted
            .unwrap_or(usual)
            .iter()
            .filter(has)
            .copied()
            .collect()
    }

    fn case(self, shape: Vec<usize>, layout: Layout) -> Case {
        Case {
            suite: self,
            shape,
            layout,
            element: Element::F32,
        }
    }

    fn both_layouts(self, shapes: &[&[usize]]) -> Vec<Case> {
        let mut cases = Vec::new();
        for shape in shapes {
            let layouts: &[Layout] = match shape.len() {
                2 => &[Layout::Nc],
                4 => &[Layout::Nchw, Layout::Nhwc],
                _ => &[Layout::Nchw],
            };
            let shape = || shape.to_vec();
            cases.extend(layouts.iter().map(|&layout| self.case(shape(), layout)));
        }
        cases
    }

    fn sweep(self) -> Vec<Case> {
        let mut cases = Vec::new();
        for log in (10..=MOST_ELEMENTS.ilog2()).step_by(2).chain([27]) {
            let elements = 1usize << log;
            for channels in [1, 64, 1024] {
                let count = elements / channels;
                if count < 16 {
                    continue;
                }
                cases.push(self.case(vec![8, channels, count / 8], Layout::Nchw));
                if channels > 1 {
                    cases.push(self.case(vec![count, channels], Layout::Nc));
                }
            }
        }
        cases
    }
}

impl Layout {
    pub fn name(self) -> &'static str {
        match self {
            Self::Nchw => "nchw",
            Self::Nhwc => "nhwc",
            Self::Nc => "nc",
        }
    }
}

impl Case {
    /// The shape as it lies in memory.
    pub fn stored(&self) -> Vec<usize> {
        let mut shape = self.shape.clone();
        if self.layout == Layout::Nhwc {
            shape[1..].rotate_left(1);
        }
        shape
    }

    /// The layout, and the storage where it is not f32.
    pub fn stored_as(&self) -> String {
        let layout = self.layout.name();
        match self.element {
            Element::F32 => layout.to_owned(),
            element => format!("{layout} {}", element.name()),
        }
    }

    pub fn config(&self) -> Config {
        let config = Config::pytorch().with_axis(match self.layout {
            Layout::Nhwc => -1,
            Layout::Nchw | Layout::Nc => 1,
        });
        config.with_element(self.element)
    }

    pub fn view(&self) -> Result<View, Failure> {
        Ok(View::new(&self.stored(), self.config().axis)?)
    }

    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    pub fn bytes(&self) -> u64 {
        self.elements() as u64 * self.element.bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_keep_the_channels() {
        for suite in Suite::value_variants() {
            for case in suite.cases() {
                let view = case.view().unwrap();
                assert_eq!(view.channels(), case.shape[1], "{case:?}");
                assert_eq!(view.len(), case.elements(), "{case:?}");
                assert!(view.count() > 1, "{case:?}");
                assert_eq!(case.layout == Layout::Nchw, view.inner() > 1, "{case:?}");
            }
        }
    }

    #[test]
    fn the_sweep_goes_all_the_way() {
        let cases = Suite::Sweep.cases();
        let sizes = |channels| {
            let mine = cases.iter().filter(move |case| case.shape[1] == channels);
            mine.map(Case::elements)
        };
        for channels in [1, 64, 1024] {
            assert_eq!(sizes(channels).max(), Some(MOST_ELEMENTS));
        }
        assert_eq!(sizes(1).min(), Some(1024));
    }

    #[test]
    fn sums_are_reductions_only() {
        let all = Some(Op::value_variants());
        assert_eq!(Suite::Reductions.ops(all), [Op::Moments, Op::Sum]);
        assert!(!Suite::Small.ops(all).contains(&Op::Sum));
        assert!(Suite::Reductions.ops(Some(&[Op::Train])).is_empty());
        assert!(Suite::Host.ops(None).is_empty());
        for case in Suite::Reductions.cases() {
            assert!(case.elements().is_power_of_two(), "for the sum kernels");
        }
    }
}
