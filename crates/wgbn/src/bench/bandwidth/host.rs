//! The host's memory: copies and sums by as many threads as the CPU path has.

use std::hint::black_box;

use rayon::prelude::*;

use super::super::sample::Effort;
use super::super::timer::{self, Timing};
use super::{Measured, Meter, THREAD_COPY, THREAD_SUM, TRIAL};
use crate::failure::Failure;
use testkit::data::Random;

/// The best ways of the host, on tensors larger than its caches.
pub struct HostMeter {
    pairs: Vec<[Vec<f32>; 2]>,
    /// Values in a piece of work.
    copy: usize,
    sum: usize,
}

impl HostMeter {
    /// Tries several sizes of pieces.
    pub fn new(rotation_bytes: u64, shown: &dyn Fn()) -> Result<Self, Failure> {
        let len = (rotation_bytes / 16).min(1 << 25) as usize;
        let normals = Random::new(5).normals(1 << 16, 1.0, 1.0);
        let source: Vec<f32> = normals.iter().cycle().take(len).copied().collect();
        let pairs = rotation_bytes.div_ceil(8 * len as u64).clamp(2, 8);
        let mut meter = Self {
            pairs: (0..pairs)
                .map(|_| [source.clone(), vec![1.0; len]])
                .collect(),
            copy: 0,
            sum: 0,
        };
        let pieces = [len.div_ceil(rayon::current_num_threads()), 1 << 20, 1 << 17];
        let (mut copies, mut sums) = (Vec::new(), Vec::new());
        for piece in pieces {
            copies.push(time_copy(&mut meter.pairs, piece, TRIAL)?.summary.median);
            let [from, to] = &mut meter.pairs[0];
            if from != to {
                return Err(Failure::Check("a copy by threads differs".to_owned()));
            }
            // So that the next one is found out, too.
            to.fill(0.0);
            sums.push(time_sum(&meter.pairs, piece, TRIAL)?.summary.median);
            shown();
        }
        (meter.copy, meter.sum) = (fastest(&pieces, &copies), fastest(&pieces, &sums));
        Ok(meter)
    }
}

impl Meter for HostMeter {
    fn measure(&mut self, effort: Effort) -> Result<Vec<Measured>, Failure> {
        let bytes = 4 * self.pairs[0][0].len() as u64;
        let measured = |what, piece: usize, bytes, timing: Timing| Measured {
            what,
            pattern: format!("pieces of {} KiB", piece / 256),
            bytes,
            summary: timing.summary,
        };
        let copy = time_copy(&mut self.pairs, self.copy, effort)?;
        let sum = time_sum(&self.pairs, self.sum, effort)?;
        Ok(vec![
            measured(THREAD_COPY, self.copy, 2 * bytes, copy),
            measured(THREAD_SUM, self.sum, bytes, sum),
        ])
    }
}

fn fastest(pieces: &[usize], seconds: &[f64]) -> usize {
    let both = pieces.iter().zip(seconds);
    let least = both.min_by(|a, b| a.1.total_cmp(b.1));
    least.map_or(1, |(&piece, _)| piece)
}

fn time_copy(pairs: &mut [[Vec<f32>; 2]], piece: usize, effort: Effort) -> Result<Timing, Failure> {
    let mut k = 0;
    let count = pairs.len();
    let mut call = || {
        let [from, to] = &mut pairs[k % count];
        let pieces = to.par_chunks_mut(piece).zip(from.par_chunks(piece));
        pieces.for_each(|(to, from)| to.copy_from_slice(from));
        k += 1;
        Ok(())
    };
    timer::host(effort, &mut call, &|| Ok(()))
}

fn time_sum(pairs: &[[Vec<f32>; 2]], piece: usize, effort: Effort) -> Result<Timing, Failure> {
    let mut k = 0;
    let mut call = || {
        black_box(sum_in_pieces(&pairs[k % pairs.len()][0], piece));
        k += 1;
        Ok(())
    };
    timer::host(effort, &mut call, &|| Ok(()))
}

/// The sum of `values` by as many threads as rayon has.
pub fn sum(values: &[f32]) -> f32 {
    let piece = values.len().div_ceil(4 * rayon::current_num_threads());
    sum_in_pieces(values, piece.max(1 << 12)) as f32
}

fn sum_in_pieces(values: &[f32], piece: usize) -> f64 {
    let pieces = values.par_chunks(piece);
    pieces.map(|piece| f64::from(sum_one(piece))).sum()
}

/// In as many chains as registers hold.
fn sum_one(values: &[f32]) -> f32 {
    let (blocks, rest) = values.as_chunks::<64>();
    let mut chains = [0.0f32; 64];
    for block in blocks {
        for (chain, value) in chains.iter_mut().zip(block) {
            *chain += value;
        }
    }
    chains.iter().chain(rest).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_whole() {
        for len in [1, 63, 64, 65, 4097, 100_000] {
            let values = vec![0.5; len];
            assert_eq!(sum(&values), len as f32 / 2.0);
        }
    }
}
