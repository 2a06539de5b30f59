//! From a view and a machine to the grids of every operation.

use super::cache::reverses;
use super::cuts::{
    Cut, MAX_POSITIONS, MAX_POSITIONS_STRIDED, PARTIAL_BYTES, SplitLimit, most_partials,
};
use super::flat::{WORD_BYTES, flat};
use super::grid::Grid;
use super::load::Load;
use super::machine::Machine;
use super::pieces::Piece;
use crate::element::Element;
use crate::error::PlanError;
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
    /// The pieces in words, where dispatches that write a tensor go by these: maps of halves that no wide load fits.
    pub flat: Vec<Piece>,
    /// Partials per channel, over all pieces.
    pub partials: u32,
    /// Why there are not more of them, or not fewer.
    pub bound: SplitLimit,
    /// Dispatches that only merge partials.
    pub merge: Grid,
    /// Whether one dispatch merges the partials of a channel to one, before those that write a tensor: where
    /// each of these would have too many to merge, or is a flat map.
    pub folds: bool,
    /// Whether the dispatches that merge partials and write a tensor go over it from its end to its start, where a
    /// cache then has more of what was read before.
    pub reversed: bool,
    /// Training forward in one dispatch, where that pays.
    pub resident_train: Option<Grid>,
    /// Backward through batch statistics in one dispatch, where that pays.
    pub resident_backward: Option<Grid>,
}

/// So many bindings' worth of tensor are planned at most: each piece is a dispatch, with a bind group.
pub(super) const MAX_PIECES: u64 = 1 << 16;

/// What operations bind beside tensors, as far as it limits the tensors that can be planned for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// The longest rows of per-channel values.
    pub what: &'static str,
    /// How many rows those are.
    pub rows: u64,
    /// Whether there is scratch between dispatches.
    pub workspace: bool,
    /// How often a lane may walk its positions in one dispatch: twice, where it first looks for a value that has weight.
    pub looks: u32,
}

impl Needs {
    /// Refuses rows of so many channels that one binding cannot hold.
    pub(super) fn rows_fit(&self, view: &View, machine: &Machine) -> Result<(), PlanError> {
        let bytes = (view.channels() as u64).saturating_mul(4 * self.rows);
        fits(self.what, bytes, machine)
    }

    pub(super) fn workspace_fits(
        &self,
        schedule: &Schedule,
        machine: &Machine,
    ) -> Result<(), PlanError> {
        match self.workspace {
            true => fits("a workspace", schedule.workspace_bytes(), machine),
            false => Ok(()),
        }
    }
}

/// The schedule of a dense view that was cut into these pieces, still without grids.
pub(super) fn plan_pieces(
    view: View,
    element: Element,
    mut pieces: Vec<Piece>,
    machine: &Machine,
) -> Schedule {
    let load = Load::of(&view);
    let loads = load.count(&view);
    let bytes = load.values() * element.bytes();
    let most = most_partials(&view, load, element, machine);
    let cut = |part| {
        Cut::new(
            part,
            view.pattern(),
            load,
            bytes,
            MAX_POSITIONS,
            most,
            &machine.tuning,
        )
    };
    let sharing = pieces.iter().map(|piece| piece.first_partial as usize + 1);
    let sharing = sharing.max().unwrap_or(1);
    // Pieces of one tensor leave equally many partials, so that these have one stride.
    let largest = cut(pieces[0].view);
    let by_bytes = machine.tuning.workgroup_bytes.is_some();
    let (splits, bound) = largest.splits(&machine.tuning, most / sharing);
    let whole = pieces.len() == 1;
    for piece in &mut pieces {
        let cut = cut(piece.view);
        piece.reduce = cut.grid(splits, whole, machine);
        piece.apply = cut.unmerged(machine);
        // What merges for itself has as few workgroups as merging allows.
        piece.map = if by_bytes { piece.apply } else { piece.reduce };
    }
    let splits = pieces[0].reduce.splits;
    for piece in &mut pieces {
        piece.first_partial *= splits;
    }
    let per_channel = pieces.iter().map(|piece| piece.first_partial).max();
    let holding = cut(loads).holding(view.pattern(), load, &machine.tuning);
    let held = holding
        .filter(|_| whole)
        .map(|cut| cut.grid(1, true, machine));
    let resident = |tensors| {
        // Where nothing is split, two dispatches would have the same grid.
        let fits =
            cut(loads).finishes() && (splits == 1 || cut(loads).resident(tensors, &machine.tuning));
        held.or((whole && fits).then(|| cut(loads).grid(1, true, machine)))
    };
    let partials = per_channel.unwrap_or(0) + splits;
    let flat = flat(&pieces, (element, load), false, machine);
    let by_words = !flat.is_empty();
    let maps = pieces.iter().map(|piece| piece.map.splits).sum();
    Schedule {
        view,
        element,
        load,
        loads,
        axes: None,
        pieces,
        partials,
        bound,
        merge: merge_grid(&cut(loads), partials, machine),
        folds: by_words || too_many(&view, element, partials, maps, machine),
        reversed: reversed(&view, element, machine),
        resident_train: resident(1).filter(|_| !by_words),
        resident_backward: resident(2).filter(|_| !by_words),
        flat,
    }
}

/// The schedule of an empty batch: no pieces and no partials, and a grid for what merges none.
pub(super) fn plan_nothing(view: View, element: Element, machine: &Machine) -> Schedule {
    let one = View::of_lengths(1, view.channels(), view.inner());
    let load = Load::of(&one);
    let loads = load.count(&one);
    let bytes = load.values() * element.bytes();
    let whole = Piece::new(0, loads, 0, 0, bytes);
    Schedule {
        view,
        pieces: vec![],
        flat: vec![],
        partials: 0,
        folds: false,
        reversed: false,
        resident_train: None,
        resident_backward: None,
        ..plan_pieces(one, element, vec![whole], machine)
    }
}

/// Plans an image of so many pixels, four channels each, for kernels that bind it as a texture: no
/// limit on buffers cuts it, and only scratch has to fit one.
///
/// # Errors
/// Scratch that one binding cannot hold.
pub fn plan_image(pixels: usize, needs: &Needs, machine: &Machine) -> Result<Schedule, PlanError> {
    let view = View::of_lengths(pixels, 4, 1);
    // Halves: what a pixel takes at most, as far as scratch has to be small beside it.
    let element = Element::F16;
    let load = Load::of(&view);
    let bytes = load.values() * element.bytes();
    let whole = Piece::new(0, load.count(&view), 0, 0, bytes);
    let schedule = Schedule {
        resident_train: None,
        resident_backward: None,
        ..plan_pieces(view, element, vec![whole], machine)
    };
    needs.workspace_fits(&schedule, machine)?;
    Ok(schedule)
}

/// Plans the functional forms where kept and reduced axes alternate. `view` is
/// `(reduced, kept, 1)`; `kept_innermost` says whether neighbours in memory are neighbouring
/// channels.
///
/// # Errors
/// A tensor, scratch or per-channel values that one binding cannot hold.
pub fn plan_strided(
    view: View,
    element: Element,
    axes: Axes,
    kept_innermost: bool,
    needs: &Needs,
    machine: &Machine,
) -> Result<Schedule, PlanError> {
    let positions = MAX_POSITIONS_STRIDED / needs.looks as usize;
    fits("a tensor", element.bytes_of(view.len()), machine)?;
    needs.rows_fit(&view, machine)?;
    let pattern = match kept_innermost {
        true => Pattern::Interleaved,
        false => Pattern::Planar,
    };
    let most = most_partials(&view, Load::Scalar, element, machine);
    let cut = Cut::new(
        view,
        pattern,
        Load::Scalar,
        element.bytes(),
        positions,
        most,
        &machine.tuning,
    );
    let (splits, bound) = cut.splits(&machine.tuning, most);
    let grid = cut.grid(splits, true, machine);
    let piece = Piece {
        reduce: grid,
        map: grid,
        apply: cut.unmerged(machine),
        ..Piece::new(0, view, 0, 0, element.bytes())
    };
    let flat = flat(&[piece], (element, Load::Scalar), true, machine);
    let schedule = Schedule {
        view,
        element,
        load: Load::Scalar,
        loads: view,
        axes: Some(axes),
        pieces: vec![piece],
        partials: grid.splits,
        bound,
        merge: merge_grid(&cut, grid.splits, machine),
        folds: too_many(&view, element, grid.splits, grid.splits, machine),
        flat,
        reversed: reversed(&view, element, machine),
        resident_train: None,
        resident_backward: None,
    };
    needs.workspace_fits(&schedule, machine)?;
    Ok(schedule)
}

/// Whether so many partials a channel are too many for each workgroup of a map to merge for itself: together they
/// would read more than a fiftieth of the tensor. A binding has to hold what they are folded to as well.
fn too_many(view: &View, element: Element, partials: u32, maps: u32, machine: &Machine) -> bool {
    let read = u64::from(maps) * u64::from(partials) * PARTIAL_BYTES;
    let (_, binding) = machine.binding_bytes();
    let kept = (u64::from(partials) + 1) * PARTIAL_BYTES * view.channels() as u64;
    let by_bytes = machine.tuning.workgroup_bytes.is_some();
    by_bytes && partials > 1 && read > element.bytes_of(view.count()) / 50 && kept <= binding
}

/// Whether the second pass of backward, which reads two tensors and writes one, finds more in reverse. That of
/// training forward reads one less, and never finds less in reverse.
fn reversed(view: &View, element: Element, machine: &Machine) -> bool {
    let tensor = element.bytes_of(view.len());
    reverses(2 * tensor, tensor, machine.tuning.cache_bytes)
}

/// The grid of dispatches that merge so many partials a channel and walk no tensor.
fn merge_grid(cut: &Cut, partials: u32, machine: &Machine) -> Grid {
    match machine.tuning.workgroup_bytes {
        Some(_) => cut.merging(partials).grid(1, true, machine),
        None => cut.grid(1, true, machine),
    }
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

impl Schedule {
    /// The tensor as one piece, for dispatches that bind none of it.
    pub(crate) fn whole(&self) -> Piece {
        Piece::new(0, self.loads, 0, 0, self.load_bytes())
    }

    /// Bytes of a load.
    pub(crate) fn load_bytes(&self) -> u64 {
        self.load.values() * self.element.bytes()
    }

    /// Bytes of what the piece counts.
    pub(crate) fn bytes_each(&self, piece: &Piece) -> u64 {
        match piece.flat {
            Some(_) => WORD_BYTES,
            None => self.load_bytes(),
        }
    }

    /// The element of the tensor that a dispatch over this piece finds at address 0, which may lie before the tensor's
    /// first: addresses wrap.
    pub(crate) fn first_element(&self, piece: &Piece) -> u32 {
        let values = self.bytes_each(piece) / self.element.bytes();
        (piece.binding_start() as u64 * values) as u32
    }

    /// Scratch that any one operation needs, in bytes.
    pub fn workspace_bytes(&self) -> u64 {
        let partials = u64::from(self.partials) + u64::from(self.folds);
        self.view.channels() as u64 * partials * PARTIAL_BYTES
    }
}
