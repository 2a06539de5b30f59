//! What one dispatch reads, writes and computes, and how long that is expected to take.

use super::cache::found;
use super::cuts::PARTIAL_BYTES;
use super::figures::Figures;
use super::grid::Grid;
use super::hardware::Hardware;
use super::instructions::{A_MERGE, Body};
use super::pieces::Piece;
use super::schedule::Schedule;

/// Registers that a lane takes at most, and those of a workgroup that holds channels in them.
const REGISTERS: u32 = 80;
const HELD_REGISTERS: u32 = 32_768;
/// Bytes of a value per channel.
const ROW_BYTES: u64 = 4;
/// Rows of values per channel that a workgroup reads before it walks: statistics, weight and bias.
const ROWS_READ: u64 = 4;
/// Latencies of a dispatch that nothing hides: parameters or samples, the first loads, the last stores.
const HOPS: f64 = 3.0;

/// An operation whose time is predicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Training forward.
    Train,
    /// Forward with given statistics.
    Inference,
    /// Backward through batch statistics.
    Backward,
    /// Backward through frozen statistics.
    Frozen,
    /// Moments of every channel.
    Moments,
}

/// What a dispatch does, and with what.
#[derive(Clone, Copy)]
pub(super) enum Stage {
    Reduce(Body),
    Map(Body),
    Apply(Body),
    Merge,
    /// A map by words: whether a pass over the tensor came before, and whether it reads what was merged of that.
    Flat {
        body: Body,
        behind: bool,
        merged: bool,
    },
    Resident(Grid, [Body; 2]),
}

/// What one dispatch is expected to do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Expected {
    /// The operation.
    pub work: Work,
    /// The kernel's name.
    pub kernel: &'static str,
    /// Workgroups that have something to do.
    pub workgroups: u64,
    /// Lanes of a workgroup.
    pub lanes: u32,
    /// Loads of each tensor that a lane walks at most.
    pub loads_per_lane: u64,
    /// Bytes of tensors that are on their way at once.
    pub bytes_in_flight: u64,
    /// Bytes read: tensors, partials, and values per channel.
    pub bytes_read: u64,
    /// Of these, bytes of tensors that a cache is expected to have.
    pub bytes_found: u64,
    /// Bytes written.
    pub bytes_written: u64,
    /// Of the bytes read, those of partials.
    pub partial_bytes_read: u64,
    /// How much more than its share the busiest multiprocessor walks.
    pub imbalance: f64,
    /// Loads that are needed ÷ loads that lanes have room for.
    pub lanes_used: f64,
    /// Bytes that a workgroup walks ÷ bytes of the memory sectors that they lie in.
    pub sectors_used: f64,
    /// How long it takes.
    pub seconds: f64,
}

/// A dispatch on a piece, or on no more than partials.
pub(super) struct Dispatch<'a> {
    pub(super) schedule: &'a Schedule,
    pub(super) on: &'a Hardware,
    pub(super) piece: &'a Piece,
    pub(super) grid: &'a Grid,
    pub(super) stage: Stage,
}

impl Dispatch<'_> {
    pub(super) fn expected(&self, work: Work, kernel: &'static str) -> Expected {
        let figures = Figures::new(self.piece, self.grid, self.bytes_each());
        let idle = Expected {
            work,
            kernel,
            workgroups: figures.workgroups(),
            lanes: self.grid.workgroup,
            loads_per_lane: 0,
            bytes_in_flight: 0,
            bytes_read: self.partials_read() + self.rows_read(),
            bytes_found: 0,
            bytes_written: self.partials_written(),
            partial_bytes_read: self.partials_read(),
            imbalance: 0.0,
            lanes_used: 1.0,
            sectors_used: 1.0,
            seconds: 0.0,
        };
        let mut expected = match self.bodies() {
            [] => idle,
            bodies => self.walking(idle, &figures, bodies),
        };
        expected.seconds = self.seconds(&expected);
        expected
    }

    fn registers(&self) -> u32 {
        match self.grid.held {
            0 => REGISTERS,
            _ => HELD_REGISTERS / self.grid.workgroup,
        }
    }

    /// Workgroups that live at once.
    fn live(&self) -> u64 {
        let processors = &self.on.processors;
        u64::from(processors.live(self.grid.workgroup, self.registers()))
            * u64::from(processors.count)
    }

    /// Tensors read and written, each as often as it is.
    fn tensors(&self) -> (u64, u64) {
        let bodies = self.bodies().iter().map(|body| body.tensors());
        let (first, all) = bodies.fold((None, (0, 0)), |(first, (reads, writes)), (r, w)| {
            (first.or(Some(r)), (reads + r, writes + w))
        });
        match (self.grid.held, first) {
            // What registers hold is read once.
            (1.., Some(reads)) => (reads, all.1),
            _ => all,
        }
    }

    fn bodies(&self) -> &[Body] {
        match &self.stage {
            Stage::Reduce(body)
            | Stage::Map(body)
            | Stage::Apply(body)
            | Stage::Flat { body, .. } => std::slice::from_ref(body),
            Stage::Merge => &[],
            Stage::Resident(_, bodies) => bodies,
        }
    }

    fn walking(&self, idle: Expected, figures: &Figures<'_>, bodies: &[Body]) -> Expected {
        let tensor = self.bytes();
        let (read, written) = self.tensors();
        // Lanes walk the tensors of one body at a time.
        let (together, _) = bodies[0].tensors();
        let unrolled = match self.stage {
            Stage::Flat { body, .. } => body.unrolled_words(),
            _ => bodies[0].unrolled(self.schedule.load, self.schedule.load_bytes()),
        };
        let rounds = self.grid.span.div_ceil(self.grid.rows) * self.grid.lane_columns;
        Expected {
            loads_per_lane: u64::from(rounds),
            bytes_in_flight: together
                * figures.in_flight(&self.on.processors, self.registers(), unrolled),
            bytes_read: idle.bytes_read + read * tensor,
            bytes_found: self.found(figures),
            bytes_written: idle.bytes_written + written * tensor,
            imbalance: figures.imbalance(self.on.processors.count),
            lanes_used: figures.lanes_used(),
            sectors_used: match self.schedule.axes {
                None => figures.sectors_used(),
                // Whole lines for each load at worst; what neighbours share depends on the axes.
                Some(_) => 1.0,
            },
            ..idle
        }
    }

    /// Bytes of one tensor's piece.
    fn bytes(&self) -> u64 {
        self.piece.len() as u64 * self.bytes_each()
    }

    /// Bytes of what the piece counts.
    fn bytes_each(&self) -> u64 {
        self.schedule.bytes_each(self.piece)
    }

    /// Bytes of tensors that the cache has from the pass before.
    fn found(&self, figures: &Figures<'_>) -> u64 {
        let cache = self.on.cache_bytes.value as u64;
        let tensor = self.bytes();
        match self.stage {
            Stage::Map(body)
            | Stage::Flat {
                body, behind: true, ..
            } => {
                // The passes go over all pieces, one after the other.
                let (reads, writes) = body.tensors();
                let whole = self.schedule.element.bytes_of(self.schedule.view.len());
                let found = found(reads * whole, writes * whole, self.schedule.reversed, cache);
                (found as f64 * tensor as f64 / whole as f64) as u64
            }
            Stage::Resident(grid, [first, _]) if grid.held == 0 => {
                // A workgroup reads its own channels again: all of them that live at once share the cache.
                let reads = first.tensors().0 * tensor;
                let together = figures.workgroups().min(self.live());
                match reads / figures.workgroups() * together <= cache {
                    true => reads,
                    false => 0,
                }
            }
            _ => 0,
        }
    }

    /// Channels that the workgroups of this dispatch serve, each as often as workgroups serve it.
    fn channels_served(&self) -> u64 {
        if let Some(flat) = self.piece.flat {
            // Words that are side by side, and the channels that their halves are of.
            let workgroups = u64::from(self.grid.groups) * u64::from(self.grid.splits);
            let beside = u64::from(self.grid.columns) * 2;
            let channels = beside.div_ceil(flat.inner as u64) + 1;
            return workgroups * channels.min(self.schedule.view.channels() as u64);
        }
        let together = self.schedule.view.channels() / self.schedule.loads.channels();
        let groups = u64::from(self.grid.groups) * u64::from(self.grid.splits);
        let columns = u64::from(self.grid.columns * self.grid.lane_columns);
        let all = self.piece.view.channels() as u64 * u64::from(self.grid.splits);
        (groups * columns).min(all) * together as u64
    }

    fn partials_read(&self) -> u64 {
        let each = match self.stage {
            Stage::Flat { merged, .. } => u64::from(merged),
            Stage::Map(_) if self.schedule.folds => 1,
            Stage::Map(_) | Stage::Merge => u64::from(self.schedule.partials),
            _ => 0,
        };
        self.channels_served() * each * PARTIAL_BYTES
    }

    fn partials_written(&self) -> u64 {
        match self.stage {
            Stage::Reduce(_) => self.channels_served() * PARTIAL_BYTES,
            Stage::Merge => self.schedule.view.channels() as u64 * PARTIAL_BYTES,
            _ => 0,
        }
    }

    fn rows_read(&self) -> u64 {
        self.channels_served() * ROWS_READ * ROW_BYTES
    }

    fn seconds(&self, expected: &Expected) -> f64 {
        starts(self.on) + self.moving(expected).max(self.computing(expected))
    }

    /// How long the bytes take.
    fn moving(&self, expected: &Expected) -> f64 {
        let cache = self.on.cache_bandwidth.value * 1e9;
        let read = self.tensors().0 * self.bytes();
        let near = expected.bytes_found + (expected.bytes_read - read);
        let far = (read - expected.bytes_found) + expected.bytes_written;
        let near = near as f64 / cache;
        if expected.bytes_in_flight == 0 {
            return near + far as f64 / (self.on.bandwidth.value * 1e9);
        }
        // As many workgroups as live together move bytes at once; those that are left over move them slower.
        let waves = expected.workgroups as f64 / self.live() as f64;
        let full = rate(expected.bytes_in_flight, self.on);
        let far = far as f64 / expected.sectors_used;
        if waves <= 1.0 {
            return near + far / full;
        }
        let left = waves.fract();
        let last = rate((expected.bytes_in_flight as f64 * left) as u64, self.on);
        let last = if left > 0.0 { left / last } else { 0.0 };
        near + far / waves * (waves.floor() / full + last)
    }

    /// How long the instructions take.
    fn computing(&self, expected: &Expected) -> f64 {
        let on = self.on;
        let halves = if self.piece.flat.is_some() { 2.0 } else { 1.0 };
        let each = self.schedule.load.values() as f64 * halves;
        let values = self.piece.len() as f64 * each;
        let lanes = expected.workgroups as f64 * f64::from(expected.lanes);
        let merged = (expected.partial_bytes_read / PARTIAL_BYTES) as f64;
        let mut instructions = merged * A_MERGE;
        for body in self.bodies() {
            let (reads, writes) = body.tensors();
            let accesses = (reads + writes) as f64;
            let an_access = on.access.value + on.load.value / each;
            let a_value = body.on(self.schedule) + accesses * an_access;
            instructions += values * a_value / expected.lanes_used
                + lanes * body.a_lane(self.schedule.element, self.schedule.load);
        }
        instructions * (1.0 + expected.imbalance) / (on.instructions.value * 1e9)
    }
}

/// From the end of what a dispatch waits for to its first results.
pub(super) fn starts(on: &Hardware) -> f64 {
    on.dispatch.value * 1e-6 + HOPS * on.latency.value * 1e-9
}

/// Bytes a second from memory, with so many on their way.
pub(super) fn rate(in_flight: u64, on: &Hardware) -> f64 {
    let (in_flight, peak) = (in_flight as f64, on.bandwidth.value * 1e9);
    peak * in_flight / (in_flight + peak * on.latency.value * 1e-9)
}
