//! What a second pass finds in a cache: a simulation of plans' addresses, line by line, against a cache that drops what
//! was used the longest ago.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::super::cache::{found, reverses};
use super::super::figures::Lane;
use super::visits::dense_walk;
use super::*;

const LINE: u64 = 128;

/// A tensor of the simulation, as lines are told apart.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Tensor {
    X,
    Y,
}

#[derive(Default)]
struct Lru {
    lines: usize,
    clock: u64,
    used: HashMap<(Tensor, u64), u64>,
    oldest: BTreeMap<u64, (Tensor, u64)>,
}

impl Lru {
    fn of_bytes(bytes: u64) -> Self {
        Self {
            lines: (bytes / LINE) as usize,
            ..Self::default()
        }
    }

    /// Whether the line was there. It is now, and the youngest.
    fn touch(&mut self, line: (Tensor, u64)) -> bool {
        self.clock += 1;
        let before = self.used.insert(line, self.clock);
        if let Some(time) = before {
            self.oldest.remove(&time);
        }
        self.oldest.insert(self.clock, line);
        if self.used.len() > self.lines
            && let Some((_, dropped)) = self.oldest.pop_first()
        {
            self.used.remove(&dropped);
        }
        before.is_some()
    }
}

/// The lines of x that each workgroup walks, in the order of its loads.
fn lines(schedule: &Schedule, grid: &Grid, workgroup: u32) -> Vec<u64> {
    let piece = &schedule.pieces[0];
    let mut rounds: Vec<(usize, u64)> = Vec::new();
    for index in 0..grid.workgroup {
        let lane = Lane::locate(piece, grid, workgroup, index);
        let walk = dense_walk(piece, grid, &lane).enumerate();
        rounds
            .extend(walk.map(|(round, at)| (round, u64::from(at) * schedule.load_bytes() / LINE)));
    }
    // Lanes go side by side.
    rounds.sort_by_key(|&(round, _)| round);
    rounds.into_iter().map(|(_, line)| line).collect()
}

/// Bytes of x that the map of training forward finds after the first dispatch, in this order.
fn simulated(schedule: &Schedule, reversed: bool, cache: u64) -> u64 {
    let (piece, mut lru) = (&schedule.pieces[0], Lru::of_bytes(cache));
    for workgroup in 0..piece.reduce.groups * piece.reduce.splits {
        for line in lines(schedule, &piece.reduce, workgroup) {
            lru.touch((Tensor::X, line));
        }
    }
    let (mut hits, mut seen) = (0, HashSet::new());
    let workgroups = piece.map.groups * piece.map.splits;
    for k in 0..workgroups {
        let workgroup = if reversed { workgroups - 1 - k } else { k };
        for line in lines(schedule, &piece.map, workgroup) {
            let hit = lru.touch((Tensor::X, line));
            hits += u64::from(seen.insert(line) && hit);
            lru.touch((Tensor::Y, line));
        }
    }
    hits * LINE
}

fn plan(view: View, cache_bytes: u64) -> Schedule {
    let tuning = Tuning {
        cache_bytes,
        ..Tuning::DISCRETE
    };
    plan_dense(view, &machine(tuning)).unwrap()
}

/// A quarter of a MiB, in both patterns.
fn tensors() -> [View; 3] {
    [view(8, 8, 1024), view(1, 3, 20_000), view(1024, 64, 1)]
}

#[test]
fn the_formulas_are_what_a_cache_does() {
    for view in tensors() {
        let tensor = view.len() as u64 * 4;
        for quarters in [1, 2, 3, 4, 5, 6, 7, 8, 12] {
            let cache = tensor * quarters / 4;
            let schedule = plan(view, cache);
            for reversed in [false, true] {
                let (got, expected) = (
                    simulated(&schedule, reversed, cache),
                    found(tensor, tensor, reversed, cache),
                );
                // A workgroup's own order, and lines that channels share.
                let apart = got.abs_diff(expected) as f64 / tensor as f64;
                let at = format!("{view:?} {quarters}/4 {reversed}: {got}, not {expected}");
                assert!(apart < 0.04, "{at}");
            }
        }
    }
}

/// The rule turns exactly those passes that then find more.
#[test]
fn passes_are_turned_where_a_cache_then_has_more() {
    for view in tensors() {
        let tensor = view.len() as u64 * 4;
        for quarters in [1, 3, 4, 5, 7, 9, 12] {
            let cache = tensor * quarters / 4;
            let schedule = plan(view, cache);
            let [there, back] = [false, true].map(|to| simulated(&schedule, to, cache));
            let more = back as f64 - there as f64 > 0.02 * tensor as f64;
            assert_eq!(
                reverses(tensor, tensor, cache),
                more,
                "{view:?} {quarters}/4"
            );
            assert!(
                back as f64 >= there as f64 - 0.01 * tensor as f64,
                "{view:?} {quarters}/4"
            );
        }
    }
}

#[test]
fn the_choice_flips_with_the_caches_size() {
    let view = view(32, 64, 56 * 56);
    // Backward's second pass reads two tensors of 26 MB and writes one.
    let most = 3 * 4 * view.len() as u64;
    for (cache, reversed) in [
        (most - 1, true),
        (most, false),
        (32 << 20, true),
        (0, false),
    ] {
        assert_eq!(plan(view, cache).reversed, reversed, "{cache}");
    }
    let reversed = |tuning| plan_dense(view, &machine(tuning)).unwrap().reversed;
    assert!(reversed(Tuning::DISCRETE) && reversed(Tuning::INTEGRATED));
    // Software adapters keep the order that they were measured with.
    assert!(!reversed(Tuning::CPU_ADAPTER));
}
