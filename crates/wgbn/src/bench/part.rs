//! Some channels of a large tensor, for the reference to walk.

use std::borrow::Cow;

use wgpu_batchnorm::{RunningStatistics, View};

use super::inputs::Inputs;

/// The reference walks this many values of a tensor; of a larger one, whole channels.
const MOST_VALUES: usize = 1 << 21;

/// Some channels of a tensor, as a smaller tensor.
pub struct Part<'a> {
    pub inputs: &'a Inputs,
    pub view: View,
    channels: Vec<usize>,
}

fn lengths(view: &View) -> (usize, usize, usize) {
    (view.outer(), view.channels(), view.inner())
}

impl<'a> Part<'a> {
    /// As much as the reference walks in a moment.
    pub fn of(inputs: &'a Inputs) -> Self {
        let (outer, all, inner) = lengths(&inputs.view);
        let most = (MOST_VALUES / inputs.view.count()).clamp(1, all);
        // First and last among them, the rest evenly between.
        let pick = |k: usize| k * (all - 1) / (most - 1).max(1);
        let view = View::from_lengths(outer, most, inner);
        Self {
            inputs,
            view: view.expect("a part of a tensor has no length of 0"),
            channels: (0..most).map(pick).collect(),
        }
    }

    fn whole(&self) -> bool {
        self.channels.len() == self.inputs.view.channels()
    }

    /// The part of a tensor; a vector of another length is left for the check to refuse.
    pub fn tensor<'t>(&self, values: &'t [f32]) -> Cow<'t, [f32]> {
        if self.whole() || values.len() != self.inputs.view.len() {
            return values.into();
        }
        let (outer, channels, inner) = lengths(&self.inputs.view);
        let run = |o: usize, c: usize| &values[(o * channels + c) * inner..][..inner];
        let mine = (0..outer).flat_map(|o| self.channels.iter().map(move |&c| (o, c)));
        mine.flat_map(|(o, c)| run(o, c)).copied().collect()
    }

    /// The part of a row of per-channel values.
    pub fn row<T: Copy>(&self, values: &[T]) -> Vec<T> {
        let mine = self.channels.iter();
        mine.filter_map(|&c| values.get(c).copied()).collect()
    }

    pub fn running(&self, r: &RunningStatistics) -> RunningStatistics {
        let mut mine = r.clone();
        mine.mean = self.row(&r.mean);
        mine.variance = self.row(&r.variance);
        mine.batches = self.row(&r.batches);
        mine
    }

    /// What a report says was compared.
    pub fn said(&self) -> String {
        match self.whole() {
            true => "every value against f64".to_owned(),
            false => format!(
                "{} of {} channels against f64",
                self.channels.len(),
                self.inputs.view.channels()
            ),
        }
    }
}
