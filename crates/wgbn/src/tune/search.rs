//! The search: whole sets of sizes first, then one move at a time, kept where it wins by more than noise.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use wgpu_batchnorm::internals::plan::{DeviceClass, Tuning};

use super::moves::{Move, moves};
use super::rows::{Rows, Sizes};
use crate::bench::op::Op;
use crate::bench::sample::Effort;
use crate::bench::sample::summary;
use crate::failure::Failure;

/// Rounds that tell whether a move is worth a closer look, and those that then decide. Classes are further apart.
const ONE: Effort = rounds(1);
const FEW: Effort = rounds(2);
const MORE: Effort = rounds(5);
/// The mean gain that a move has to show: less is noise.
const GAIN: f64 = 0.01;
/// Time over the time before that a single row may reach by moves, all that were kept together.
const LOSS: f64 = 1.03;
/// Sizes of a class that gain so much in few rounds need no more.
const CLEAR_GAIN: f64 = 0.8;
/// A row that takes so much longer in every one of few rounds ends a move's trial.
const CLEAR_LOSS: f64 = 1.1;
/// So does a mean loss of this much over a set of sizes, as a logarithm.
const HOPELESS: f64 = 0.5;

const fn rounds(least: usize) -> Effort {
    Effort {
        budget: Duration::ZERO,
        least,
    }
}

/// A trial, and what came of it.
pub struct Tried {
    pub what: String,
    /// Rows whose work the sizes cut otherwise.
    pub rows: usize,
    /// Time over the time before, the geometric mean over all rows, where it was measured to the end.
    pub ratio: Option<f64>,
    pub end: End,
}

/// How a trial ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum End {
    /// It wins.
    Kept,
    /// It wins too little, or a row loses too much.
    Left,
    /// It lost before all was timed.
    Slower,
    /// There was no time to end it.
    OutOfTime,
}

/// Sizes that are the best so far, and what was tried.
pub struct Search<'r, 'a, 's> {
    rows: &'r mut Rows<'a, 's>,
    best: Sizes,
    /// What moves have made of each row that they changed: time over the time with the class's own sizes.
    moved: HashMap<(usize, Op), f64>,
    seen: HashSet<Tuning>,
    tried: Vec<Tried>,
    /// Whether no move is left to try.
    complete: bool,
    deadline: Instant,
}

/// What a set of sizes may lose.
#[derive(Clone, Copy, PartialEq)]
enum Terms {
    /// A class's: single rows may lose, where all together gain.
    Together,
    /// A move's: no row may lose.
    Each,
}

impl<'r, 'a, 's> Search<'r, 'a, 's> {
    /// From these sizes, until the deadline.
    pub fn new(
        rows: &'r mut Rows<'a, 's>,
        from: Tuning,
        deadline: Instant,
    ) -> Result<Self, Failure> {
        let best = rows.sizes(from)?.ok_or_else(|| {
            Failure::Input("this adapter's limits are below what these sizes need".to_owned())
        })?;
        Ok(Self {
            rows,
            best,
            moved: HashMap::new(),
            seen: HashSet::from([from]),
            tried: vec![],
            complete: false,
            deadline,
        })
    }

    /// Tries the sizes of every other class, whatever the time: the distance between two is more than any move
    /// gains.
    pub fn classes(&mut self, from: DeviceClass, say: &dyn Fn(String)) -> Result<(), Failure> {
        for class in [
            DeviceClass::Cpu,
            DeviceClass::Integrated,
            DeviceClass::Discrete,
        ] {
            if class != from {
                let to = Move {
                    what: format!("the sizes of {}", class.devices()),
                    tuning: Tuning {
                        piece_bytes: self.best.tuning.piece_bytes,
                        ..class.tuning()
                    },
                };
                say(to.what.clone());
                self.attempt(to, Terms::Together)?;
            }
        }
        Ok(())
    }

    /// Tries moves until none is left, or no time.
    pub fn moves(&mut self, cache: Option<u64>, say: &dyn Fn(String)) -> Result<(), Failure> {
        while Instant::now() < self.deadline {
            let mut all = moves(&self.best.tuning, cache).into_iter();
            let Some(next) = all.find(|to| !self.seen.contains(&to.tuning)) else {
                self.complete = true;
                break;
            };
            say(next.what.clone());
            self.attempt(next, Terms::Each)?;
        }
        Ok(())
    }

    /// The best sizes, what was tried, and whether no move was left.
    pub fn end(self) -> (Tuning, Vec<Tried>, bool) {
        (self.best.tuning, self.tried, self.complete)
    }

    fn attempt(&mut self, to: Move, terms: Terms) -> Result<(), Failure> {
        self.seen.insert(to.tuning);
        let Some(sizes) = self.rows.sizes(to.tuning)? else {
            return Ok(());
        };
        let rows: Vec<_> = self.rows.all();
        let changed: Vec<_> = rows
            .iter()
            .filter(|&&row| !self.rows.alike(row, &self.best, &sizes))
            .copied()
            .collect();
        // What cuts no row otherwise is no other choice.
        if changed.is_empty() {
            return Ok(());
        }
        let verdict = self.judge(&sizes, &changed, rows.len(), terms)?;
        self.tried.push(Tried {
            what: to.what,
            rows: changed.len(),
            ratio: verdict.ratio,
            end: verdict.end,
        });
        if verdict.end == End::Kept {
            self.best = sizes;
            match terms {
                Terms::Together => self.moved.clear(),
                Terms::Each => {
                    for (row, ratio) in changed.iter().zip(verdict.rows) {
                        *self.moved.entry(*row).or_insert(1.0) *= ratio;
                    }
                }
            }
        }
        Ok(())
    }

    fn judge(
        &mut self,
        sizes: &Sizes,
        changed: &[(usize, Op)],
        of: usize,
        terms: Terms,
    ) -> Result<Verdict, Failure> {
        let mut ratios: Vec<Vec<f64>> = vec![vec![]; changed.len()];
        let mut verdict = Verdict::cut_short(End::OutOfTime);
        let first = match terms {
            Terms::Together => ONE,
            Terms::Each => FEW,
        };
        for effort in [first, MORE] {
            for (k, &row) in changed.iter().enumerate() {
                if terms == Terms::Each && Instant::now() >= self.deadline {
                    return Ok(Verdict::cut_short(End::OutOfTime));
                }
                let paired = self.rows.paired(row, [&self.best, sizes], effort)?;
                ratios[k].extend(paired.rounds.iter().map(|[a, b]| b / a));
                if hopeless(&ratios[..=k], terms) {
                    return Ok(Verdict::cut_short(End::Slower));
                }
            }
            let moved = changed.iter().map(|row| self.moved.get(row).copied());
            let moved: Vec<_> = moved.map(|ratio| ratio.unwrap_or(1.0)).collect();
            verdict = Verdict::of(&ratios, &moved, of, terms);
            let clear = verdict.ratio.is_some_and(|ratio| ratio < CLEAR_GAIN);
            if verdict.end != End::Kept || (clear && terms == Terms::Together) {
                break;
            }
        }
        Ok(verdict)
    }
}

/// Whether the rows so far show that the rest need not be timed.
fn hopeless(ratios: &[Vec<f64>], terms: Terms) -> bool {
    match (terms, ratios.last()) {
        (Terms::Each, Some(last)) => last.iter().all(|&ratio| ratio > CLEAR_LOSS),
        (Terms::Together, _) => {
            let medians = ratios.iter().filter_map(|row| summary(row.clone(), 0));
            let logs: f64 = medians.map(|row| row.median.ln()).sum();
            ratios.len() >= 3 && logs > HOPELESS * ratios.len() as f64
        }
        _ => false,
    }
}

/// What the ratios of a trial say.
#[derive(Clone, Debug)]
struct Verdict {
    ratio: Option<f64>,
    /// Of each row that changed.
    rows: Vec<f64>,
    end: End,
}

impl Verdict {
    /// It was not measured to the end.
    fn cut_short(end: End) -> Self {
        Self {
            ratio: None,
            rows: vec![],
            end,
        }
    }

    /// Of the ratios of each row that changed, among so many rows, and of what moves made of these before.
    fn of(ratios: &[Vec<f64>], moved: &[f64], of: usize, terms: Terms) -> Self {
        let rows = ratios.iter();
        let rows: Vec<_> = rows
            .filter_map(|row| summary(row.clone(), row.len()))
            .collect();
        let logs: f64 = rows.iter().map(|row| row.median.ln()).sum();
        let ratio = (logs / of as f64).exp();
        // By more than noise: three quarters of a row's rounds.
        let wins = rows.iter().any(|row| row.high < 1.0);
        let both = rows.iter().zip(moved);
        let loses = { both }.any(|(row, moved)| row.median > 1.0 && row.median * moved > LOSS);
        Self {
            ratio: Some(ratio),
            rows: rows.iter().map(|row| row.median).collect(),
            end: match ratio < 1.0 - GAIN && wins && (terms == Terms::Together || !loses) {
                true => End::Kept,
                false => End::Left,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(ratios: &[[f64; 5]], of: usize, terms: Terms) -> bool {
        let ratios: Vec<_> = ratios.iter().map(|row| row.to_vec()).collect();
        Verdict::of(&ratios, &vec![1.0; ratios.len()], of, terms).end == End::Kept
    }

    const SAME: [f64; 5] = [0.99, 1.01, 1.0, 0.995, 1.005];
    const FASTER: [f64; 5] = [0.8, 0.81, 0.79, 0.8, 0.82];
    const SLOWER: [f64; 5] = [1.1, 1.12, 1.09, 1.1, 1.11];
    const NOISY: [f64; 5] = [0.5, 1.6, 0.9, 0.7, 1.4];

    #[test]
    fn a_move_is_kept_where_it_wins_by_more_than_noise() {
        assert!(kept(&[FASTER, SAME], 2, Terms::Each));
        assert!(!kept(&[SAME, SAME], 2, Terms::Each));
        // The same gain on one row of many is none.
        assert!(!kept(&[FASTER], 100, Terms::Each));
        assert!(!kept(&[NOISY], 1, Terms::Each));
    }

    #[test]
    fn a_move_harms_no_row_and_a_class_may() {
        assert!(!kept(&[FASTER, FASTER, SLOWER], 3, Terms::Each));
        assert!(kept(&[FASTER, FASTER, SLOWER], 3, Terms::Together));
        assert!(!kept(&[FASTER, SLOWER, SLOWER, SLOWER], 4, Terms::Together));
    }

    #[test]
    fn losses_of_several_moves_add_up() {
        const SLIGHTLY: [f64; 5] = [1.02, 1.021, 1.019, 1.02, 1.022];
        let ratios = [FASTER.to_vec(), SLIGHTLY.to_vec()];
        let kept = |moved: [f64; 2]| Verdict::of(&ratios, &moved, 2, Terms::Each).end == End::Kept;
        assert!(kept([1.0, 1.0]));
        assert!(!kept([1.0, 1.02]));
        // What gains again may stay above the mark.
        assert!(kept([1.1, 0.9]));
    }

    #[test]
    fn trials_end_early_where_they_lose() {
        let rows = |rows: &[[f64; 2]]| -> Vec<_> { rows.iter().map(|row| row.to_vec()).collect() };
        assert!(hopeless(&rows(&[[1.2, 1.3]]), Terms::Each));
        assert!(!hopeless(&rows(&[[1.2, 1.0]]), Terms::Each));
        assert!(!hopeless(&rows(&[[9.0, 9.0], [9.0, 9.0]]), Terms::Together));
        let three = rows(&[[9.0, 9.0], [9.0, 9.0], [1.0, 1.0]]);
        assert!(hopeless(&three, Terms::Together));
        assert!(!hopeless(
            &rows(&[[0.5, 0.5], [9.0, 9.0], [0.2, 0.2]]),
            Terms::Together
        ));
    }
}
