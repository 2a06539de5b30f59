//! Wall-clock time of calls whose work a device does later.

use std::time::{Duration, Instant};

use burn::tensor::Device;

/// Fewest and most runs of which the quartiles are taken.
const RUNS: (usize, usize) = (3, 100);
/// How long a run lasts at the least, so that its one wait counts little.
const RUN: Duration = Duration::from_millis(20);
/// How much memory the results of one run may hold.
const HELD_BYTES: usize = 1 << 30;

/// Milliseconds a call.
pub struct Times {
    pub low: f64,
    pub median: f64,
    pub high: f64,
    pub runs: usize,
    pub calls: usize,
}

/// Times `call`, which is given a number that counts up. Several calls and one
/// wait are a run; all results live until after the wait, so that nothing is
/// optimized away.
pub fn time<T>(
    device: &Device,
    bytes_of_a_result: usize,
    limit: Duration,
    mut call: impl FnMut(usize) -> T,
) -> Times {
    let mut next = 0;
    let mut run = |calls: usize| {
        let start = Instant::now();
        let results: Vec<T> = (next..next + calls).map(&mut call).collect();
        device.sync().expect("the device computes");
        let time = start.elapsed();
        drop(results);
        device.sync().expect("the device computes");
        next += calls;
        time / calls as u32
    };

    // The first calls compile and tune, and tuning may go on after the first.
    let end = Instant::now() + limit / 2;
    let mut fastest = run(1);
    let mut steady = 0;
    while steady < 3 {
        let time = run(1);
        steady = if time < fastest * 3 / 2 {
            steady + 1
        } else {
            0
        };
        fastest = fastest.min(time);
        if Instant::now() > end && steady > 0 {
            break;
        }
    }
    let most = (HELD_BYTES / bytes_of_a_result).clamp(1, 64);
    let calls = RUN.as_nanos().div_ceil(fastest.as_nanos().max(1)) as usize;
    let calls = calls.clamp(1, most);
    if calls > 1 {
        // A longer chain of calls may be fused, and so tuned, in another way.
        run(calls);
        run(calls);
    }

    let end = Instant::now() + limit / 2;
    let mut times = Vec::new();
    while times.len() < RUNS.0 || (times.len() < RUNS.1 && Instant::now() < end) {
        times.push(run(calls).as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    Times {
        low: quantile(&times, 0.25),
        median: quantile(&times, 0.5),
        high: quantile(&times, 0.75),
        runs: times.len(),
        calls,
    }
}

/// Between the two nearest of the sorted times.
fn quantile(sorted: &[f64], part: f64) -> f64 {
    let position = part * (sorted.len() - 1) as f64;
    let (below, above) = (position.floor() as usize, position.ceil() as usize);
    sorted[below] + (sorted[above] - sorted[below]) * position.fract()
}

#[cfg(test)]
mod tests {
    use super::quantile;

    #[test]
    fn quantiles_lie_between_the_nearest_times() {
        assert_eq!(quantile(&[1.0, 2.0, 4.0], 0.5), 2.0);
        assert_eq!(quantile(&[1.0, 2.0, 4.0], 0.25), 1.5);
        assert_eq!(quantile(&[1.0, 2.0, 4.0], 0.75), 3.0);
        assert_eq!(quantile(&[1.0, 2.0, 4.0, 5.0], 0.5), 3.0);
        assert_eq!(quantile(&[7.0], 0.25), 7.0);
    }
}
