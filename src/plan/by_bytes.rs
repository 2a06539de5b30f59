//! How work is cut for GPUs: by bytes a workgroup, by lines of memory, and by what registers hold.

use std::cmp::Reverse;

use super::cuts::{Cut, ROUNDS, SplitLimit};
use super::load::Load;
use super::machine::{Tuning, WIDEST_HOLDER};
use crate::shape::{Pattern, View};

/// Bytes that neighbouring lanes read together, where channels lie side by side.
const LINE: u64 = 128;
/// Runs of fewer bytes are short: one alone would leave parts of its first and last sector unused.
const SHORT: u64 = 256;
/// Fewest lanes that read a run together where runs are not short.
const NEIGHBOURS: u32 = 8;

/// Loads that a lane may hold in registers.
const HELD: [u32; 4] = [1, 2, 4, 8];
/// Lanes of a workgroup that holds its channels, 256 only of single values. Eight loads of four values take up to 186
/// registers, those of one value up to 78 (`tests/machine-code/ampere.txt`), so that two workgroups live on a
/// multiprocessor of 65,536.
const HOLDERS: [u32; 2] = [128, WIDEST_HOLDER];
/// Bytes that memory hands out together.
pub(super) const SECTOR: u64 = 32;

fn short(run: u32, load_bytes: u64) -> bool {
    u64::from(run) * load_bytes < SHORT
}

impl Cut {
    /// Loads of a channel that lie side by side. Where axes alternate, the view does not say it: then the walk's fastest
    /// axis is taken to be long.
    pub(super) fn run_of(view: &View, pattern: Pattern, load: Load) -> u32 {
        match (pattern, load, view.inner()) {
            (Pattern::Planar, Load::Scalar, 1) => SHORT as u32,
            (_, _, inner) => inner as u32,
        }
    }

    /// For GPUs: a workgroup is one team, which takes as many channels as keep its lanes busy. Where runs are short, as
    /// on interleaved tensors, where they are one load, its lanes read those of several channels side by side, so that
    /// they fill a line of memory.
    pub(super) fn by_bytes(
        view: View,
        run: u32,
        load_bytes: u64,
        max_positions: usize,
        kept: usize,
        tuning: &Tuning,
    ) -> Self {
        let (channels, count) = (view.channels() as u32, view.count());
        let lanes = tuning.planar_workgroup;
        // Lanes that each have as many loads as are in flight, where there are so many.
        let busy = count.checked_div(ROUNDS).unwrap_or(0).max(1);
        let rows = match short(run, load_bytes) {
            false => busy.max(NEIGHBOURS as usize),
            true => {
                let line = (LINE / load_bytes).max(1).div_ceil(u64::from(run)) as u32;
                let groups = channels.div_ceil(line) as usize;
                let line = match groups * kept < tuning.fill as usize {
                    true => line.div_ceil(2),
                    false => line,
                };
                busy.min((lanes / line.min(lanes)) as usize)
            }
        };
        let rows = 1 << rows.min(lanes as usize).ilog2();
        let cut = Self {
            view,
            load_bytes,
            workgroup: lanes,
            team: lanes,
            columns: 1,
            lane_columns: 1,
            rows,
            adjacent: rows,
            held: 0,
            max_positions,
        };
        cut.beside(run, lanes / rows.max(run).min(lanes))
    }

    /// The same workgroup over so many channels, or over fewer where these then divide evenly, with as many lanes for
    /// each as there is room for.
    fn beside(self, run: u32, columns: u32) -> Self {
        let channels = self.view.channels() as u32;
        let columns = channels.div_ceil(channels.div_ceil(columns.min(channels)));
        let rows = self.workgroup / columns;
        let (rows, adjacent) = match short(run, self.load_bytes) {
            true => (rows / run * run, run),
            false => (rows, rows),
        };
        Self {
            columns,
            rows,
            adjacent,
            ..self
        }
    }

    /// For GPUs: workgroups whose lanes hold their channels in registers, where these have room for one: those that
    /// leave the least room empty, then those that read the widest lines, then the smallest. None holds more bytes than
    /// a workgroup should walk.
    pub(super) fn holding(&self, pattern: Pattern, load: Load, tuning: &Tuning) -> Option<Self> {
        let most = tuning.workgroup_bytes? as u64;
        // A channel that no workgroup holds may have more values than 32 bits count.
        if self.view.count() as u64 * self.load_bytes > most {
            return None;
        }
        let (channels, count) = (self.view.channels() as u32, self.view.count() as u32);
        let line = (LINE / self.load_bytes).max(1) as u32;
        let sector = (SECTOR / self.load_bytes).max(1) as u32;
        let run = Self::run_of(&self.view, pattern, load);
        let holders = match load {
            Load::Scalar => &HOLDERS[..],
            Load::Run4 | Load::Channel4 => &HOLDERS[..1],
        };
        let all = holders
            .iter()
            .flat_map(|&lanes| HELD.map(|held| (lanes, held)));
        let cuts = all.filter_map(|(lanes, held)| {
            let rows = match short(run, self.load_bytes) {
                true => count.div_ceil(held).next_multiple_of(run),
                false => count.div_ceil(held).max(NEIGHBOURS),
            };
            let workgroup = Self {
                workgroup: lanes,
                team: lanes,
                held,
                ..*self
            };
            let cut = (rows <= lanes).then(|| workgroup.beside(run, lanes / rows))?;
            let scattered = run * cut.columns < sector.min(run.saturating_mul(channels));
            let bytes = u64::from(cut.columns) * u64::from(count) * self.load_bytes;
            (bytes <= most && !scattered).then_some(cut)
        });
        let room = |cut: &Self| u64::from(cut.groups()) * u64::from(cut.workgroup * cut.held);
        cuts.min_by_key(|cut| {
            (
                room(cut),
                Reverse((run * cut.columns).min(line)),
                cut.workgroup,
            )
        })
    }

    /// The same channels, with lanes for so many partials of each.
    pub(super) fn merging(&self, partials: u32) -> Self {
        let channels = self.view.channels() as u32;
        let rows = partials.next_power_of_two().min(self.workgroup);
        let rows = 1 << rows.ilog2();
        Self {
            columns: (self.workgroup / rows).min(channels),
            rows,
            adjacent: rows,
            ..*self
        }
    }

    /// Workgroups per channel group, where each is to walk so many bytes.
    pub(super) fn splits_by_bytes(
        &self,
        bytes: usize,
        tuning: &Tuning,
        kept: usize,
    ) -> (u32, SplitLimit) {
        let count = self.view.count();
        let position = self.columns as usize * self.load_bytes as usize;
        let least = count.div_ceil(self.rows as usize * self.max_positions);
        let round = self.rows as usize * ROUNDS * position;
        let tensor = self.view.len() * self.load_bytes as usize;
        let bytes = (tensor / tuning.fill as usize).clamp(round.min(bytes), bytes);
        let wanted = (count * position).div_ceil(bytes);
        if kept.min(wanted) < least {
            (least as u32, SplitLimit::Loop)
        } else if kept < wanted {
            (kept as u32, SplitLimit::Merge)
        } else {
            (wanted as u32, SplitLimit::Bytes)
        }
    }
}
