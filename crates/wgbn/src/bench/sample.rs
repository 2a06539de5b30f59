//! From many runs to one figure, and which timestamps to believe.

use std::time::{Duration, Instant};

use crate::failure::Failure;

/// What the time was read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// The adapter's own, at both ends of a compute pass.
    Timestamps,
    /// The host's, around a batch of runs and the wait for it.
    Wall,
}

impl Clock {
    pub fn name(self) -> &'static str {
        match self {
            Self::Timestamps => "timestamps",
            Self::Wall => "wall",
        }
    }
}

/// How long to measure.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    pub budget: Duration,
    /// Samples to take however long they last.
    pub least: usize,
}

/// Before the first sample, runs go on for as long as clocks and caches take to settle.
const WARM_UP: Duration = Duration::from_millis(15);
const WARM_UP_RUNS: usize = 3;
/// Samples stop here however short they are.
const MOST: usize = 2000;
/// A sample of short runs is a batch that lasts this long.
const BATCH: f64 = 4e-3;
/// Runs in a batch at most.
pub const LONGEST_BATCH: usize = 256;

/// Seconds of one run: the median and the quartiles.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    pub median: f64,
    pub low: f64,
    pub high: f64,
    /// Runs measured.
    pub runs: usize,
}

/// Calls `run` with a number of runs to do until the effort is spent, and gives the seconds of
/// one run from each sample. `run` gives none where it believes none of its times.
pub fn sample(
    effort: Effort,
    run: &mut dyn FnMut(usize) -> Result<Vec<f64>, Failure>,
) -> Result<(Vec<f64>, usize), Failure> {
    let (mut done, mut batch) = (0, 1);
    let start = Instant::now();
    let one = loop {
        let began = Instant::now();
        run(batch)?;
        let one = began.elapsed().as_secs_f64() / batch as f64;
        done += batch;
        if done >= WARM_UP_RUNS && start.elapsed() >= WARM_UP {
            break one;
        }
        batch = (2 * batch).min(LONGEST_BATCH);
    };
    let batch = batch_of(one);
    let (mut samples, mut tries) = (Vec::new(), 0);
    let start = Instant::now();
    while tries < effort.least || start.elapsed() < effort.budget && samples.len() < MOST {
        samples.extend(run(batch)?);
        tries += 1;
    }
    Ok((samples, tries * batch))
}

/// Runs in a batch, where one takes so many seconds.
pub fn batch_of(one: f64) -> usize {
    let batch = (BATCH / one.max(1e-9)).round();
    (batch as usize).clamp(1, LONGEST_BATCH)
}

/// Median and quartiles, none of no samples. Quantiles lie between samples where they must.
pub fn summary(mut samples: Vec<f64>, runs: usize) -> Option<Summary> {
    if samples.is_empty() {
        return None;
    }
    samples.sort_unstable_by(f64::total_cmp);
    let quantile = |q: f64| {
        let at = q * (samples.len() - 1) as f64;
        let (low, high) = (samples[at.floor() as usize], samples[at.ceil() as usize]);
        low + (high - low) * at.fract()
    };
    Some(Summary {
        median: quantile(0.5),
        low: quantile(0.25),
        high: quantile(0.75),
        runs,
    })
}

/// No memory moves this many bytes in a second, caches included.
const IMPOSSIBLE: f64 = 1e14;

/// The seconds between pairs of timestamps, where they can be true: later at the end than at the
/// beginning, long enough for `bytes`, and all together no longer than the `wall` clock saw.
pub fn believed(pairs: &[[u64; 2]], period_ns: f64, bytes: u64, wall: f64) -> Vec<f64> {
    let least = bytes as f64 / IMPOSSIBLE;
    let seconds = |&[begin, end]: &[u64; 2]| {
        let ticks = end.checked_sub(begin).filter(|_| begin > 0)?;
        let seconds = ticks as f64 * period_ns / 1e9;
        (seconds > 0.0 && seconds >= least).then_some(seconds)
    };
    let believed: Vec<_> = pairs.iter().filter_map(seconds).collect();
    match believed.iter().sum::<f64>() <= wall {
        true => believed,
        false => vec![],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(samples: &[f64]) -> Option<Summary> {
        summary(samples.to_vec(), samples.len())
    }

    #[test]
    fn medians_and_quartiles() {
        assert_eq!(of(&[]), None);
        let expected = |low, median, high, runs| {
            Some(Summary {
                median,
                low,
                high,
                runs,
            })
        };
        assert_eq!(of(&[7.0]), expected(7.0, 7.0, 7.0, 1));
        assert_eq!(of(&[3.0, 1.0]), expected(1.5, 2.0, 2.5, 2));
        assert_eq!(of(&[5.0, 1.0, 4.0, 2.0, 3.0]), expected(2.0, 3.0, 4.0, 5));
        // One run that was disturbed moves nothing.
        assert_eq!(of(&[5.0, 1.0, 900.0, 2.0, 3.0]), expected(2.0, 3.0, 5.0, 5));
    }

    #[test]
    fn timestamps_that_cannot_be_are_not_believed() {
        let believe = |pairs: &[[u64; 2]], bytes| believed(pairs, 1.0, bytes, 1.0);
        assert_eq!(believe(&[[1_000, 3_000]], 8), [2e-6]);
        for nonsense in [[0, 0], [0, 5_000], [7, 7], [3_000, 1_000]] {
            assert!(believe(&[nonsense], 8).is_empty(), "{nonsense:?}");
            assert_eq!(believe(&[nonsense, [1_000, 3_000]], 8), [2e-6]);
        }
        // A gigabyte in two microseconds.
        assert!(believe(&[[1_000, 3_000]], 1 << 30).is_empty());
        // Longer than the host waited.
        assert!(believe(&[[1_000, 2_000_000_000]], 8).is_empty());
        let two = [[1_000, 600_000_000], [600_000_000, 1_200_000_000]];
        assert!(believe(&two, 8).is_empty());
        assert_eq!(believed(&[[10, 20]], 2.5, 0, 1.0), [25e-9]);
    }

    #[test]
    fn sampling_fills_its_budget_in_batches() {
        let mut asked = Vec::new();
        let effort = Effort {
            budget: Duration::from_millis(20),
            least: 3,
        };
        let (samples, runs) = sample(effort, &mut |runs| {
            asked.push(runs);
            std::thread::sleep(Duration::from_millis(1));
            Ok(vec![1.0])
        })
        .unwrap();
        assert_eq!(asked[..3], [1, 2, 4], "warming up");
        let measured = &asked[asked.len() - samples.len()..];
        assert!(samples.len() >= 3);
        assert_eq!(runs, measured.iter().sum::<usize>());
        assert!(measured.iter().all(|&runs| runs == measured[0]));
    }

    #[test]
    fn slow_runs_are_still_sampled() {
        let effort = Effort {
            budget: Duration::ZERO,
            least: 3,
        };
        let mut run = |runs| {
            std::thread::sleep(Duration::from_millis(10));
            Ok(vec![1e-2 / runs as f64])
        };
        let (samples, runs) = sample(effort, &mut run).unwrap();
        assert_eq!((samples.len(), runs), (3, 3));
        // A clock that is never believed ends, too.
        let (samples, _) = sample(effort, &mut |_| Ok(vec![])).unwrap();
        assert!(samples.is_empty());
    }
}
