//! From a view to grids: teams and lanes, and how often a channel is split.

use super::grid::{Grid, fold};
use super::load::{COLUMNS, Load};
use super::machine::{Machine, Tuning};
use crate::element::Element;
use crate::shape::{Pattern, View};

/// Bytes of a partial: (count, offset, m2, pivot) or two sums.
pub(super) const PARTIAL_BYTES: u64 = 16;
/// Most positions, each a load, that a lane may walk. Software adapters end an invocation silently
/// after 65,535 loop iterations, nested ones counted; and a lane's cascade folds 8,192 tiles of four.
pub(super) const MAX_POSITIONS: usize = 32_768;
/// The same for a strided walk, which loops over up to eight axes at every position.
pub(super) const MAX_POSITIONS_STRIDED: usize = 4_096;
/// Fewest positions that make a lane worth starting.
pub(super) const MIN_POSITIONS: usize = 16;
/// A lane's share is a multiple of so many loads, so that few are left over beside its tiles of four.
pub(super) const TILE: usize = 16;

/// Loads that a lane has in flight.
pub(super) const ROUNDS: usize = 4;

/// What decided how often a channel is split.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SplitLimit {
    /// The device is full.
    Fill,
    /// A lane's share would be too small to start one for.
    Share,
    /// A workgroup walks as many bytes as it should.
    Bytes,
    /// Merging and keeping more partials would cost more than it gains.
    Merge,
    /// A lane could not finish a larger share.
    Loop,
}

/// Partials per channel that may be left.
pub(super) fn most_partials(view: &View, load: Load, element: Element, machine: &Machine) -> usize {
    match machine.tuning.workgroup_bytes {
        Some(_) => kept(view, element, machine),
        None => mergeable(view, load, element),
    }
}

/// Partials per channel that are cheap to merge and to keep. Every workgroup of the second dispatch
/// reads all of its channels: what they read together, partials², stays far below the channel's own
/// loads. And scratch stays below a hundredth of the tensor, or two partials a channel.
fn mergeable(view: &View, load: Load, element: Element) -> usize {
    let merged = load.count(view).count().isqrt() / 4;
    let kept = view.count() * element.bytes() as usize / (100 * PARTIAL_BYTES as usize);
    merged.min(kept.max(2))
}

/// The same for GPUs, where merging may be a dispatch of its own: as many partials as a fiftieth of the tensor, and
/// as scratch holds in the larger of a twenty-fifth of the tensor and 1 MiB, and in a binding.
fn kept(view: &View, element: Element, machine: &Machine) -> usize {
    let (_, binding) = machine.binding_bytes();
    let scratch = (element.bytes_of(view.len()) / 25)
        .max(1 << 20)
        .min(binding);
    let partials = scratch / (PARTIAL_BYTES * view.channels() as u64);
    // One more is what they are folded to.
    let cheap = element.bytes_of(view.count()) / (50 * PARTIAL_BYTES);
    (partials.saturating_sub(1).min(cheap) as usize).max(1)
}

/// What the grids of one schedule share.
#[derive(Clone, Copy)]
pub(super) struct Cut {
    pub(super) view: View,
    pub(super) load_bytes: u64,
    pub(super) workgroup: u32,
    pub(super) team: u32,
    pub(super) columns: u32,
    pub(super) lane_columns: u32,
    /// Lanes of a team that walk one channel, and how many of them are adjacent: they read what lies side by side.
    pub(super) rows: u32,
    pub(super) adjacent: u32,
    /// Loads that a lane holds, 0 where it keeps none.
    pub(super) held: u32,
    pub(super) max_positions: usize,
}

impl Cut {
    pub(super) fn new(
        view: View,
        pattern: Pattern,
        load: Load,
        load_bytes: u64,
        max_positions: usize,
        kept: usize,
        tuning: &Tuning,
    ) -> Self {
        if tuning.workgroup_bytes.is_some() {
            let run = Self::run_of(&view, pattern, load);
            return Self::by_bytes(view, run, load_bytes, max_positions, kept, tuning);
        }
        let cut = |workgroup, team, columns, lane_columns| Self {
            view,
            load_bytes,
            workgroup,
            team,
            columns,
            lane_columns,
            rows: team / columns,
            adjacent: 1,
            held: 0,
            max_positions: max_positions / lane_columns as usize,
        };
        let team = tuning.planar_team;
        if pattern == Pattern::Planar {
            return cut(tuning.planar_workgroup, team, 1, 1);
        }
        let channels = view.channels() as u32;
        if load == Load::Channel4 {
            let divides = |k: &u32| *k <= tuning.lane_columns && channels.is_multiple_of(team * k);
            let widths = COLUMNS.into_iter().rev().filter(|&k| k > 1).filter(divides);
            let mut cuts = widths.map(|k| cut(team, team, team, k));
            // The widest, unless a narrower one finds its channels in fast memory again.
            let widest = cuts.next();
            let resident = |cut: &Self| cut.resident(2, tuning);
            let resident = widest.into_iter().chain(cuts).find(resident);
            if let Some(cut) = resident.or(widest) {
                return cut;
            }
        }
        let most = tuning.interleaved_workgroup;
        let columns = channels.min(tuning.interleaved_columns).min(most);
        // Small teams where they cost least; else as many rows as there is room for.
        let team = match tuning.interleaved_columns < most {
            true => most,
            false => channels.next_multiple_of(8).clamp(most.min(32), most),
        };
        cut(team, team, columns, 1)
    }

    fn teams(&self) -> u32 {
        self.workgroup / self.team
    }

    pub(super) fn groups(&self) -> u32 {
        (self.view.channels() as u32).div_ceil(self.columns * self.lane_columns)
    }

    /// Workgroups per channel group: enough to fill the device, none too small to be worth it,
    /// none that a lane could not finish, no more than are `mergeable`.
    pub(super) fn splits(&self, tuning: &Tuning, mergeable: usize) -> (u32, SplitLimit) {
        if let Some(bytes) = tuning.workgroup_bytes {
            return self.splits_by_bytes(bytes, tuning, mergeable.max(1));
        }
        let fill = tuning.fill;
        let count = self.view.count();
        let slots = (self.rows * self.teams()) as usize;
        let least = count.div_ceil(slots * self.max_positions);
        let worthwhile = (count / (slots * MIN_POSITIONS)).max(1);
        let wanted = fill.div_ceil(self.groups()) as usize;
        let (mut splits, mut bound) = (wanted, SplitLimit::Fill);
        for (fewer, why) in [
            (worthwhile, SplitLimit::Share),
            (mergeable.max(1), SplitLimit::Merge),
        ] {
            if fewer < splits {
                (splits, bound) = (fewer, why);
            }
        }
        if splits < least {
            (splits, bound) = (least, SplitLimit::Loop);
        }
        (splits as u32, bound)
    }

    /// The grid of a dispatch that merges nothing.
    pub(super) fn unmerged(&self, machine: &Machine) -> Grid {
        let (splits, _) = self.splits(&machine.tuning, usize::MAX);
        self.grid(splits, true, machine)
    }

    /// Whether a lane of one workgroup can walk all that is its own of a channel.
    pub(super) fn finishes(&self) -> bool {
        let slots = (self.rows * self.teams()) as usize;
        self.view.count() <= slots * self.max_positions
    }

    /// Whether a workgroup finds its channels in fast memory again, and the channels fill the device.
    pub(super) fn resident(&self, tensors: usize, tuning: &Tuning) -> bool {
        let count = self.view.count();
        let bytes = (self.columns * self.lane_columns) as usize
            * count
            * self.load_bytes as usize
            * tensors;
        bytes <= tuning.resident_bytes && self.groups() * 2 >= tuning.fill
    }

    /// The grid of so many splits; `trim` leaves out those that have nothing to do.
    pub(super) fn grid(&self, splits: u32, trim: bool, machine: &Machine) -> Grid {
        let (_, channels, inner) = self.view.lengths();
        let count = self.view.count();
        let (rows, teams) = (self.rows, self.teams());
        // Whole tiles, so that only the last team of a channel has a remainder.
        let share = count.div_ceil((splits * teams) as usize);
        let granule = if machine.tuning.workgroup_bytes.is_some() {
            rows as usize * ROUNDS
        } else if share >= rows as usize * TILE {
            rows as usize * TILE
        } else {
            rows as usize
        };
        let span = share.next_multiple_of(granule);
        let splits = match trim {
            true => count.div_ceil(span * teams as usize) as u32,
            false => splits,
        };
        // `rows` positions on: so many runs, and so far within one.
        let (runs, step) = (rows as usize / inner, rows as usize % inner);
        let groups = self.groups();
        let total = u64::from(groups) * u64::from(splits);
        Grid {
            workgroup: self.workgroup,
            team: self.team,
            columns: self.columns,
            lane_columns: self.lane_columns,
            rows,
            slots: rows * teams,
            held: self.held,
            adjacent: self.adjacent,
            groups,
            splits,
            span: span as u32,
            address_step: (runs * channels * inner + step) as u32,
            inner_step: step as u32,
            wrap_step: ((channels - 1) * inner) as u32,
            dispatch: fold(total, machine.max_groups_per_dimension),
        }
    }
}
