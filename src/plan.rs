//! The planner: from a view and a machine to grids and scratch. Pure host code, no device.

use crate::element::Element;
use crate::error::PlanError;
use crate::shaders::{COLUMNS, Load};
use crate::shape::{Pattern, View};

/// Lengths and strides of a strided walk, fastest first; mirrors `Axes` in
/// `shaders/shared/walk_strided.wgsl`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, bytemuck::Pod, bytemuck::Zeroable)]
pub struct Axes {
    /// Kept axes: (length, stride, 0, 0).
    pub kept: [[u32; 4]; 8],
    /// Reduced axes: (length, stride, 0, 0).
    pub reduced: [[u32; 4]; 8],
}

/// What the planner knows of a device: limits, and how it likes its work cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Machine {
    /// `max_compute_workgroups_per_dimension`.
    pub max_groups_per_dimension: u32,
    /// Largest tensor that one binding holds, in bytes.
    pub max_binding_bytes: u64,
    /// The name of the limit behind `max_binding_bytes`.
    pub binding_limit: &'static str,
    /// How work is cut.
    pub tuning: Tuning,
}

/// How work is cut: sizes that change speed and never results beyond rounding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tuning {
    /// Invocations of a workgroup on planar tensors; a multiple of `planar_team`.
    pub planar_workgroup: u32,
    /// Lanes that share one contiguous stream of a planar tensor.
    pub planar_team: u32,
    /// Most invocations of a workgroup on interleaved tensors; a workgroup is one team there.
    pub interleaved_workgroup: u32,
    /// Most channels, or fours of them, side by side in a team on interleaved tensors: enough for
    /// contiguous reads, few enough to make many workgroups.
    pub interleaved_columns: u32,
    /// Most columns that a lane walks on interleaved tensors, so that one team of `planar_team` lanes
    /// covers whole rows; 1 where neighbouring teams do as well.
    pub lane_columns: u32,
    /// Workgroups that fill the device.
    pub fill: u32,
    /// Most bytes of a tensor that a workgroup may read twice and still find in fast memory.
    pub resident_bytes: usize,
}

/// What kind of device it is, as far as the planner cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeviceClass {
    /// An adapter that runs on the CPU.
    Cpu,
    /// A GPU that shares the host's memory.
    Integrated,
    /// A GPU with memory of its own, or one that does not say what it is.
    Discrete,
}

impl DeviceClass {
    const ALL: [Self; 3] = [Self::Cpu, Self::Integrated, Self::Discrete];

    /// The class whose tuning this is.
    pub(crate) fn of(tuning: &Tuning) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|class| class.tuning() == *tuning)
    }

    /// How this class likes its work cut.
    pub fn tuning(self) -> Tuning {
        match self {
            Self::Cpu => Tuning::CPU_ADAPTER,
            Self::Integrated => Tuning::INTEGRATED,
            Self::Discrete => Tuning::DISCRETE,
        }
    }
}

impl Tuning {
    /// Adapters that run on the CPU: each of their few threads runs a workgroup's lanes in
    /// subgroups of eight, one after the other, pays for every barrier, and reads fast only what
    /// is contiguous for a subgroup. Measured on lavapipe.
    pub const CPU_ADAPTER: Self = Self {
        planar_workgroup: 8,
        planar_team: 8,
        interleaved_workgroup: 64,
        interleaved_columns: 64,
        lane_columns: 4,
        fill: 16,
        resident_bytes: 256 << 10,
    };
    /// Integrated GPUs: fewer cores to fill, smaller caches. Not yet measured on one.
    pub const INTEGRATED: Self = Self {
        fill: 256,
        resident_bytes: 16 << 10,
        ..Self::DISCRETE
    };
    /// Discrete GPUs. Not yet measured on one.
    pub const DISCRETE: Self = Self {
        planar_workgroup: 256,
        planar_team: 256,
        interleaved_workgroup: 256,
        interleaved_columns: 32,
        lane_columns: 1,
        fill: 1024,
        resident_bytes: 32 << 10,
    };
}

/// How one dispatch divides the work; the fields mean what `Params` in the shaders says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "documented in `shaders/shared/params.wgsl`")]
pub struct Grid {
    pub workgroup: u32,
    pub team: u32,
    pub columns: u32,
    /// Channels that one lane walks, `columns` apart: a constant of the shader's variant.
    pub lane_columns: u32,
    pub rows: u32,
    pub slots: u32,
    pub groups: u32,
    pub splits: u32,
    pub span: u32,
    pub address_step: u32,
    pub inner_step: u32,
    pub wrap_step: u32,
    /// Workgroups along x and y, which a shader numbers `y·width + x`; the last few of the last row
    /// may have nothing to do.
    pub dispatch: [u32; 2],
}

/// A part of a tensor that one binding holds, itself a dense view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Piece {
    /// Its first element in the tensor.
    pub start: usize,
    /// Its first element in its binding, which has to start at a multiple of so many.
    pub base: usize,
    /// Its view.
    pub view: View,
    /// Its first channel among all.
    pub first_channel: usize,
    /// Which of its channels' partials are its own: the first.
    pub first_partial: u32,
    /// First dispatches: they reduce the piece to partials.
    pub reduce: Grid,
    /// Dispatches that merge those partials and write a tensor.
    pub map: Grid,
    /// Dispatches that write a tensor and have nothing to merge.
    pub apply: Grid,
}

/// What decided how often a channel is split.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Bound {
    /// The device is full.
    Fill,
    /// A lane's share would be too small to start one for.
    Share,
    /// Merging and keeping more partials would cost more than it gains.
    Merge,
    /// A lane could not finish a larger share.
    Loop,
}

/// The grids of every operation on one view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// The view planned for.
    pub view: View,
    /// How its values are stored.
    pub element: Element,
    /// How wide loads are. All that follows counts in loads where it says channels, positions or
    /// elements.
    pub load: Load,
    /// The view in loads.
    pub loads: View,
    /// Axes of a strided walk, where the view is not dense.
    pub axes: Option<Axes>,
    /// The tensor's pieces in memory order: one where a binding holds it all.
    pub pieces: Vec<Piece>,
    /// Partials per channel, over all pieces.
    pub partials: u32,
    /// Why there are not more of them, or not fewer.
    pub bound: Bound,
    /// Dispatches that only merge partials.
    pub merge: Grid,
    /// Training forward in one dispatch, where that pays.
    pub resident_train: Option<Grid>,
    /// Backward through batch statistics in one dispatch, where that pays.
    pub resident_backward: Option<Grid>,
}

/// Bytes of a partial: (count, offset, m2, pivot) or two sums.
const PARTIAL_BYTES: u64 = 16;
/// Bytes per channel of what training saves, the longest rows there are.
const SAVED_BYTES: u64 = 20;

/// Most positions, each a load, that a lane may walk. Software adapters end an invocation silently
/// after 65,535 loop iterations, nested ones counted; and a lane's cascade folds 8,192 tiles of four.
const MAX_POSITIONS: usize = 32_768;
/// The same for a strided walk, which loops over up to eight axes at every position.
const MAX_POSITIONS_STRIDED: usize = 4_096;
/// Fewest positions that make a lane worth starting.
const MIN_POSITIONS: usize = 16;
/// A lane's share is a multiple of so many loads, so that few are left over beside its tiles of four.
const TILE: usize = 16;

/// Bindings start at multiples of 256 bytes at most.
const ALIGNMENT: usize = 256;

/// The most bytes that the planner puts into one binding, whatever a device offers. Metal's shaders
/// learn the sizes of bindings as 32-bit numbers, into which wgpu clamps what is larger, and their
/// bounds checks would then cut off the end; HLSL and several Vulkan drivers count the bytes of an
/// address in 32 bits, which would wrap. It is a multiple of every alignment and load. In loads it is
/// below 2³¹, so that positions past the end, as far as a span reaches, have an index as well.
pub const LARGEST_BINDING: u64 = (1 << 32) - ALIGNMENT as u64;

/// So many bindings' worth of tensor are planned at most: each piece is a dispatch, with a bind group.
const MAX_PIECES: u64 = 1 << 16;

/// Plans every operation on a dense view.
///
/// # Errors
/// Scratch or per-channel statistics that one binding cannot hold; a tensor that would need tens of
/// thousands of bindings.
pub fn plan_dense(view: View, element: Element, machine: &Machine) -> Result<Schedule, PlanError> {
    let rows = view.channels() as u64 * SAVED_BYTES;
    fits("saved statistics", rows, machine)?;
    let (limit, max) = machine.binding_bytes();
    let max = max.saturating_mul(MAX_PIECES);
    let tensor = view.len() as u64 * element.bytes();
    if tensor > max {
        return Err(PlanError::TooLarge {
            what: "a tensor",
            got: tensor,
            limit,
            max,
        });
    }
    let load = Load::of(&view);
    let bytes = load.values() * element.bytes();
    let pieces = cut_to_bindings(&load.count(&view), bytes, machine);
    plan_pieces(view, element, pieces, machine)
}

/// Plans every operation on a dense view that was cut into these pieces, still without grids.
fn plan_pieces(
    view: View,
    element: Element,
    mut pieces: Vec<Piece>,
    machine: &Machine,
) -> Result<Schedule, PlanError> {
    let load = Load::of(&view);
    let loads = load.count(&view);
    let bytes = load.values() * element.bytes();
    let cut = |part| {
        Cut::new(
            part,
            view.pattern(),
            load,
            bytes,
            MAX_POSITIONS,
            &machine.tuning,
        )
    };
    let sharing = pieces.iter().map(|piece| piece.first_partial as usize + 1);
    let sharing = sharing.max().unwrap_or(1);
    // Pieces of one tensor leave equally many partials, so that these have one stride.
    let largest = cut(pieces[0].view);
    let (splits, bound) = largest.splits(
        machine.tuning.fill,
        mergeable(&view, load, element) / sharing,
    );
    let whole = pieces.len() == 1;
    for piece in &mut pieces {
        let cut = cut(piece.view);
        let grid = cut.grid(splits, whole, machine);
        (piece.reduce, piece.map) = (grid, grid);
        piece.apply = cut.unmerged(machine);
    }
    let splits = pieces[0].reduce.splits;
    for piece in &mut pieces {
        piece.first_partial *= splits;
    }
    let per_channel = pieces.iter().map(|piece| piece.first_partial).max();
    let resident = |tensors| {
        // Where nothing is split, two dispatches would have the same grid.
        let fits =
            cut(loads).finishes() && (splits == 1 || cut(loads).resident(tensors, &machine.tuning));
        (whole && fits).then(|| cut(loads).grid(1, true, machine))
    };
    let schedule = Schedule {
        view,
        element,
        load,
        loads,
        axes: None,
        pieces,
        partials: per_channel.unwrap_or(0) + splits,
        bound,
        merge: cut(loads).grid(1, true, machine),
        resident_train: resident(1),
        resident_backward: resident(2),
    };
    fits("a workspace", schedule.workspace_bytes(), machine)?;
    Ok(schedule)
}

/// Plans an image of so many pixels, four channels each, for kernels that bind it as a texture: no
/// limit on buffers cuts it, and only scratch has to fit one.
///
/// # Errors
/// Scratch that one binding cannot hold.
pub fn plan_image(pixels: usize, machine: &Machine) -> Result<Schedule, PlanError> {
    let view = View::of_lengths(pixels, 4, 1);
    // Halves: what a pixel takes at most, as far as scratch has to be small beside it.
    let element = Element::F16;
    let load = Load::of(&view);
    let bytes = load.values() * element.bytes();
    let whole = Piece::new(0, load.count(&view), 0, 0, bytes);
    Ok(Schedule {
        resident_train: None,
        resident_backward: None,
        ..plan_pieces(view, element, vec![whole], machine)?
    })
}

/// Plans the functional forms where kept and reduced axes alternate. `view` is
/// `(reduced, kept, 1)`; `kept_innermost` says whether neighbours in memory are neighbouring
/// channels.
///
/// # Errors
/// A tensor that one binding cannot hold.
pub fn plan_strided(
    view: View,
    element: Element,
    axes: Axes,
    kept_innermost: bool,
    machine: &Machine,
) -> Result<Schedule, PlanError> {
    fits("a tensor", element.bytes_of(view.len()), machine)?;
    let pattern = match kept_innermost {
        true => Pattern::Interleaved,
        false => Pattern::Planar,
    };
    let cut = Cut::new(
        view,
        pattern,
        Load::Scalar,
        element.bytes(),
        MAX_POSITIONS_STRIDED,
        &machine.tuning,
    );
    let (splits, bound) = cut.splits(machine.tuning.fill, mergeable(&view, Load::Scalar, element));
    let grid = cut.grid(splits, true, machine);
    let schedule = Schedule {
        view,
        element,
        load: Load::Scalar,
        loads: view,
        axes: Some(axes),
        pieces: vec![Piece {
            reduce: grid,
            map: grid,
            apply: cut.unmerged(machine),
            ..Piece::new(0, view, 0, 0, element.bytes())
        }],
        partials: grid.splits,
        bound,
        merge: cut.grid(1, true, machine),
        resident_train: None,
        resident_backward: None,
    };
    fits("a workspace", schedule.workspace_bytes(), machine)?;
    Ok(schedule)
}

/// Refuses `bytes` that one binding cannot hold.
fn fits(what: &'static str, bytes: u64, machine: &Machine) -> Result<(), PlanError> {
    let (limit, max) = machine.binding_bytes();
    if bytes <= max {
        return Ok(());
    }
    Err(PlanError::TooLarge {
        what,
        got: bytes,
        limit,
        max,
    })
}

/// Partials per channel that are cheap to merge and to keep. Every workgroup of the second dispatch
/// reads all of its channels: what they read together, partials², stays far below the channel's own
/// loads. And scratch stays below a hundredth of the tensor, or two partials a channel.
fn mergeable(view: &View, load: Load, element: Element) -> usize {
    let merged = load.count(view).count().isqrt() / 4;
    let kept = view.count() * element.bytes() as usize / (100 * PARTIAL_BYTES as usize);
    merged.min(kept.max(2))
}

/// Cuts a tensor into pieces that one binding holds: along the outer axis, or, where one outer
/// index is larger than that, between channels, or, where one run is, inside it. Lengths are in loads
/// of so many bytes.
fn cut_to_bindings(view: &View, load_bytes: u64, machine: &Machine) -> Vec<Piece> {
    let (outer, channels, inner) = view.lengths();
    let (_, bytes) = machine.binding_bytes();
    if (view.len() as u64 * load_bytes).next_multiple_of(4) <= bytes {
        return vec![Piece::new(0, *view, 0, 0, load_bytes)];
    }
    let most = (bytes as usize).saturating_sub(ALIGNMENT) / load_bytes as usize;
    let most = most.max(1);
    let view = View::of_lengths;
    let slab = channels * inner;
    let mut pieces = Vec::new();
    if slab <= most {
        for (k, (o, len)) in ranges(outer, most / slab).enumerate() {
            pieces.push(Piece::new(
                o * slab,
                view(len, channels, inner),
                0,
                k,
                load_bytes,
            ));
        }
    } else if inner <= most {
        for o in 0..outer {
            for (c, len) in ranges(channels, most / inner) {
                pieces.push(Piece::new(
                    o * slab + c * inner,
                    view(1, len, inner),
                    c,
                    o,
                    load_bytes,
                ));
            }
        }
    } else {
        let cuts = inner.div_ceil(most);
        for run in 0..outer * channels {
            for (k, (i, len)) in ranges(inner, most).enumerate() {
                let (o, c) = (run / channels, run % channels);
                pieces.push(Piece::new(
                    run * inner + i,
                    view(1, 1, len),
                    c,
                    o * cuts + k,
                    load_bytes,
                ));
            }
        }
    }
    pieces
}

/// `0..len` in as few parts of at most `most` as there can be: start and length of each. They are equally
/// long but for the last, which may be shorter by less than one for each part: however little was left, it
/// would leave as many partials as the largest.
fn ranges(len: usize, most: usize) -> impl Iterator<Item = (usize, usize)> {
    let part = len.div_ceil(len.div_ceil(most));
    let starts = (0..len).step_by(part);
    starts.map(move |start| (start, part.min(len - start)))
}

impl Piece {
    /// A piece without its grids; `index` counts the pieces that share its channels.
    fn new(start: usize, view: View, first_channel: usize, index: usize, load_bytes: u64) -> Self {
        let base = start % (ALIGNMENT / load_bytes as usize);
        Self {
            start,
            base,
            view,
            first_channel,
            first_partial: index as u32,
            reduce: Grid::default(),
            map: Grid::default(),
            apply: Grid::default(),
        }
    }

    /// The binding's first element: the piece's, less what its offset has to be rounded down.
    pub(crate) fn binding_start(&self) -> usize {
        self.start - self.base
    }

    /// Elements of the binding.
    pub(crate) fn binding_len(&self) -> usize {
        self.base + self.view.len()
    }
}

impl Machine {
    /// The most bytes that the planner puts into one binding, and the limit's name.
    pub(crate) fn binding_bytes(&self) -> (&'static str, u64) {
        match self.max_binding_bytes {
            max if max < LARGEST_BINDING => (self.binding_limit, max),
            _ => ("what 32-bit sizes reach", LARGEST_BINDING),
        }
    }
}

/// What the grids of one schedule share.
#[derive(Clone, Copy)]
struct Cut {
    view: View,
    load_bytes: u64,
    workgroup: u32,
    team: u32,
    columns: u32,
    lane_columns: u32,
    max_positions: usize,
}

impl Cut {
    fn new(
        view: View,
        pattern: Pattern,
        load: Load,
        load_bytes: u64,
        max_positions: usize,
        tuning: &Tuning,
    ) -> Self {
        let cut = |workgroup, team, columns, lane_columns| Self {
            view,
            load_bytes,
            workgroup,
            team,
            columns,
            lane_columns,
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

    fn rows(&self) -> u32 {
        self.team / self.columns
    }

    fn teams(&self) -> u32 {
        self.workgroup / self.team
    }

    fn groups(&self) -> u32 {
        (self.view.channels() as u32).div_ceil(self.columns * self.lane_columns)
    }

    /// Workgroups per channel group: enough to fill the device, none too small to be worth it,
    /// none that a lane could not finish, no more than are `mergeable`.
    fn splits(&self, fill: u32, mergeable: usize) -> (u32, Bound) {
        let count = self.view.count();
        let slots = (self.rows() * self.teams()) as usize;
        let least = count.div_ceil(slots * self.max_positions);
        let worthwhile = (count / (slots * MIN_POSITIONS)).max(1);
        let wanted = fill.div_ceil(self.groups()) as usize;
        let (mut splits, mut bound) = (wanted, Bound::Fill);
        for (fewer, why) in [(worthwhile, Bound::Share), (mergeable.max(1), Bound::Merge)] {
            if fewer < splits {
                (splits, bound) = (fewer, why);
            }
        }
        if splits < least {
            (splits, bound) = (least, Bound::Loop);
        }
        (splits as u32, bound)
    }

    /// The grid of a dispatch that merges nothing.
    fn unmerged(&self, machine: &Machine) -> Grid {
        let (splits, _) = self.splits(machine.tuning.fill, usize::MAX);
        self.grid(splits, true, machine)
    }

    /// Whether a lane of one workgroup can walk all that is its own of a channel.
    fn finishes(&self) -> bool {
        let slots = (self.rows() * self.teams()) as usize;
        self.view.count() <= slots * self.max_positions
    }

    /// Whether a workgroup finds its channels in fast memory again, and the channels fill the device.
    fn resident(&self, tensors: usize, tuning: &Tuning) -> bool {
        let count = self.view.count();
        let bytes = (self.columns * self.lane_columns) as usize
            * count
            * self.load_bytes as usize
            * tensors;
        bytes <= tuning.resident_bytes && self.groups() * 2 >= tuning.fill
    }

    /// The grid of so many splits; `trim` leaves out those that have nothing to do.
    fn grid(&self, splits: u32, trim: bool, machine: &Machine) -> Grid {
        let (_, channels, inner) = self.view.lengths();
        let count = self.view.count();
        let (rows, teams) = (self.rows(), self.teams());
        // Whole tiles, so that only the last team of a channel has a remainder.
        let share = count.div_ceil((splits * teams) as usize);
        let granule = if share >= rows as usize * TILE {
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

/// A grid of `total` workgroups, folded into as few rows as dimensions of at most `most` allow, and
/// those as short as they can be. With `y = ⌈total/most⌉` rows of `x = ⌈total/y⌉`, fewer than `y` of the
/// `x·y` workgroups are left over, since `x·y < total + y`. As long as `total ≤ most²`, `x` is at least
/// `y`, so that all of these are in the last row.
fn fold(total: u64, most: u32) -> [u32; 2] {
    let rows = total.div_ceil(u64::from(most));
    [total.div_ceil(rows) as u32, rows as u32]
}

impl Schedule {
    /// The tensor as one piece, for dispatches that bind none of it.
    pub(crate) fn whole(&self) -> Piece {
        Piece::new(0, self.loads, 0, 0, self.load_bytes())
    }

    /// Bytes of a load.
    pub(crate) fn load_bytes(&self) -> u64 {
        self.load.values() * self.element.bytes()
    }

    /// Scratch that any one operation needs, in bytes.
    pub fn workspace_bytes(&self) -> u64 {
        self.view.channels() as u64 * u64::from(self.partials) * PARTIAL_BYTES
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
