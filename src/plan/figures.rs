//! What a grid makes of a tensor: how many bytes it has in flight, how evenly it divides the work, how many
//! lanes and how much of each memory sector it uses. It is arithmetic on the grid; nothing runs.

use std::collections::BTreeMap;

use super::by_bytes::SECTOR;
use super::grid::Grid;
use super::pieces::Piece;

/// Lanes that a GPU runs in step, at least: a workgroup's lanes count in multiples of it.
const WAVE: u32 = 32;
/// Loads of a tensor that a lane has in flight: its walk goes by fours.
pub const UNROLLED: u64 = 4;
/// And where it goes by eights: maps of halves in fours, and their moments along runs.
pub const UNROLLED_HALVES: u64 = 8;

/// What of a GPU decides how many workgroups live on it at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Processors {
    /// Multiprocessors; a workgroup runs on one.
    pub count: u32,
    /// 32-bit registers of a multiprocessor.
    pub registers: u32,
    /// Lanes that live on a multiprocessor at most.
    pub lanes: u32,
    /// Workgroups that live on a multiprocessor at most.
    pub workgroups: u32,
}

impl Processors {
    /// Workgroups of so many lanes, of so many registers each, that live on one multiprocessor.
    pub(super) fn live(&self, lanes: u32, registers: u32) -> u32 {
        let by_registers = self.registers / (lanes * registers);
        let live = by_registers.min(self.lanes / lanes);
        // A driver makes room for one.
        live.min(self.workgroups).max(1)
    }
}

/// A grid on a piece of a tensor.
#[derive(Clone, Copy, Debug)]
pub struct Figures<'a> {
    piece: &'a Piece,
    grid: &'a Grid,
    load_bytes: u64,
}

impl<'a> Figures<'a> {
    /// Of a grid on a piece whose loads have so many bytes.
    pub fn new(piece: &'a Piece, grid: &'a Grid, load_bytes: u64) -> Self {
        Self {
            piece,
            grid,
            load_bytes,
        }
    }

    /// Workgroups that have something to do.
    pub fn workgroups(&self) -> u64 {
        u64::from(self.grid.groups) * u64::from(self.grid.splits)
    }

    /// Bytes of a tensor that are on their way at once: of all workgroups that live together, each lane's `unrolled`
    /// loads.
    pub fn in_flight(&self, on: &Processors, registers: u32, unrolled: u64) -> u64 {
        let live = u64::from(on.live(self.grid.workgroup, registers)) * u64::from(on.count);
        let lanes = u64::from(self.grid.columns * self.grid.slots);
        let each = self.piece.view.len() as u64 / self.workgroups();
        let unrolled = match self.grid.held {
            0 => unrolled,
            held => u64::from(held),
        };
        let loads = (lanes * unrolled).min(each);
        self.workgroups().min(live) * loads * self.load_bytes
    }

    /// How much more than its share the busiest of so many multiprocessors has to walk, where each takes the
    /// next workgroup when it is done with one: 0 is even, 1 is twice as much.
    pub fn imbalance(&self, processors: u32) -> f64 {
        // Multiprocessors by what they have walked so far: many have walked the same, and workgroups alike are handed out
        // together.
        let mut work = BTreeMap::from([(0, u64::from(processors))]);
        let mut walks = self.walks().peekable();
        while let Some(slots) = walks.next() {
            let mut alike = 1;
            while walks.next_if_eq(&slots).is_some() {
                alike += 1;
            }
            while alike > 0 {
                let Some((walked, idle)) = work.pop_first() else {
                    break;
                };
                let given = idle.min(alike);
                alike -= given;
                *work.entry(walked + slots).or_default() += given;
                if idle > given {
                    work.insert(walked, idle - given);
                }
            }
        }
        let total: u64 = work.iter().map(|(walked, count)| walked * count).sum();
        let busiest = work.last_key_value().map_or(0, |(walked, _)| *walked);
        busiest as f64 * f64::from(processors) / total as f64 - 1.0
    }

    /// Loads that are needed ÷ loads that lanes have room for, where a wave is as long as its longest lane.
    pub fn lanes_used(&self) -> f64 {
        self.piece.view.len() as f64 / self.walks().sum::<u64>() as f64
    }

    /// Bytes that one workgroup walks ÷ bytes of the memory sectors that they lie in.
    pub fn sectors_used(&self) -> f64 {
        let (group, split) = (self.grid.groups / 2, self.grid.splits / 2);
        let (mut loads, mut sectors) = (0, Vec::new());
        for lane in (0..self.grid.workgroup).map(|index| self.lane(group, split, index)) {
            for k in 0..lane.len {
                for column in 0..self.grid.lane_columns {
                    let channel = lane.channel + column * self.grid.columns;
                    let at = self.address(channel, lane.first + k * self.grid.rows);
                    let bytes = at * self.load_bytes..(at + 1) * self.load_bytes;
                    sectors.extend(bytes.start / SECTOR..=(bytes.end - 1) / SECTOR);
                    loads += 1;
                }
            }
        }
        sectors.sort_unstable();
        sectors.dedup();
        (loads * self.load_bytes) as f64 / (sectors.len() as u64 * SECTOR) as f64
    }

    /// What each workgroup walks, in the order that they start: groups, and splits of each.
    fn walks(&self) -> impl Iterator<Item = u64> + use<'_> {
        let (groups, splits) = (self.grid.groups, self.grid.splits);
        // The last group has fewer channels; the last splits have fewer positions; all others are alike.
        let walked = |group: u32| -> Vec<u64> {
            let share = u64::from(self.grid.span) * u64::from(self.grid.workgroup / self.grid.team);
            let whole = (self.piece.view.count() as u64 / share).min(splits.into()) as u32;
            let first = (whole > 0).then(|| self.slots_walked(group, 0));
            let alike = first
                .into_iter()
                .flat_map(|slots| (0..whole).map(move |_| slots));
            let others = (whole..splits).map(|split| self.slots_walked(group, split));
            alike.chain(others).collect()
        };
        let (most, last) = (walked(0), walked(groups - 1));
        (0..groups).flat_map(move |group| match group + 1 == groups {
            true => last.clone(),
            false => most.clone(),
        })
    }

    /// Loads that the waves of one workgroup have room for.
    fn slots_walked(&self, group: u32, split: u32) -> u64 {
        let waves = (0..self.grid.workgroup)
            .step_by(WAVE as usize)
            .map(|first| {
                let lanes = first..(first + WAVE).min(self.grid.workgroup);
                let longest = lanes.map(|index| self.lane(group, split, index).len).max();
                u64::from(longest.unwrap_or(0)) * u64::from(WAVE)
            });
        waves.sum::<u64>() * u64::from(self.grid.lane_columns)
    }

    fn lane(&self, group: u32, split: u32, index: u32) -> Lane {
        Lane::locate(
            self.piece,
            self.grid,
            group * self.grid.splits + split,
            index,
        )
    }

    /// Where a position of a channel lies in the tensor, in loads.
    fn address(&self, channel: u32, position: u32) -> u64 {
        let (_, channels, inner) = self.piece.view.lengths();
        let (channels, inner) = (channels as u64, inner as u64);
        let (outer, place) = (u64::from(position) / inner, u64::from(position) % inner);
        self.piece.start as u64 + (outer * channels + u64::from(channel)) * inner + place
    }
}

/// `Lane` and `locate` of `shaders/shared/lanes.wgsl`, as far as a walk needs them.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "tests of what lanes visit read the rest")
)]
pub(super) struct Lane {
    pub(super) channel: u32,
    pub(super) live: bool,
    pub(super) slot: u32,
    pub(super) split: u32,
    pub(super) first: u32,
    pub(super) len: u32,
}

impl Lane {
    pub(super) fn locate(piece: &Piece, grid: &Grid, workgroup: u32, index: u32) -> Self {
        let (channels, count) = (piece.view.channels() as u32, piece.view.count() as u32);
        let (team, in_team) = (index / grid.team, index % grid.team);
        let across = in_team / grid.adjacent;
        let row = (across / grid.columns) * grid.adjacent + in_team % grid.adjacent;
        let column = across % grid.columns;
        let channel = (workgroup / grid.splits) * grid.columns * grid.lane_columns + column;
        let live = row < grid.rows && column < grid.columns && channel < channels;
        let split = workgroup % grid.splits;
        let start = (split * (grid.workgroup / grid.team) + team) * grid.span;
        let end = (start + grid.span).min(count);
        let first = start + row;
        let len = match live && first < end {
            true => (end - first).div_ceil(grid.rows),
            false => 0,
        };
        Self {
            channel: channel.min(channels - 1),
            live,
            slot: team * grid.rows + row,
            split,
            first,
            len,
        }
    }
}
