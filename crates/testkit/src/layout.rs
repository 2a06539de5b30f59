//! Statistics as the kernels keep them, in rows; the sweep and the tests share it.

use wgpu_batchnorm::{RunningStatistics, SavedStatistics};

pub fn rows<const N: usize>(values: &[f32]) -> [Vec<f32>; N] {
    let len = values.len() / N;
    std::array::from_fn(|row| values[row * len..][..len].to_vec())
}

/// `[3][C]`.
pub fn running_rows(running: &RunningStatistics) -> Vec<f32> {
    let counts: Vec<f32> = running.batches.iter().map(|&k| f32::from_bits(k)).collect();
    [&running.mean[..], &running.variance, &counts].concat()
}

/// `[3][C]`.
pub fn running_of(values: &[f32]) -> RunningStatistics {
    let [mean, variance, batches] = rows(values);
    RunningStatistics {
        mean,
        variance,
        batches: batches.into_iter().map(f32::to_bits).collect(),
    }
}

/// `[5][C]`.
pub fn saved_of(values: &[f32]) -> SavedStatistics {
    let [pivot, offset, inv_std, batch_mean, batch_var] = rows(values);
    SavedStatistics {
        pivot,
        offset,
        inv_std,
        batch_mean,
        batch_var,
    }
}
