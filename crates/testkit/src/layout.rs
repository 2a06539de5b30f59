//! Statistics as the kernels keep them, in rows; the sweep and the tests share it.

use wgpu_batchnorm::{RunningStatistics, SavedStatistics};

pub fn rows<const N: usize>(values: &[f32]) -> [Vec<f32>; N] {
    let len = values.len() / N;
    std::array::from_fn(|row| values[row * len..][..len].to_vec())
}

/// `[3][C]`.
pub fn running_rows(running: &RunningStatistics) -> Vec<f32> {
    running.to_rows().unwrap()
}

/// `[3][C]`.
pub fn running_of(values: &[f32]) -> RunningStatistics {
    RunningStatistics::from_rows(values).expect("three rows")
}

/// `[5][C]`.
pub fn saved_of(values: &[f32]) -> SavedStatistics {
    SavedStatistics::from_rows(values).expect("five rows")
}
