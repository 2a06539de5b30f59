//! The planner against a simulation of what the shaders do with its grids.
//!
//! What is asserted here is what users need: every element is visited exactly once, limits hold, no loop is
//! too long, scratch is bounded, the same question has the same answer. Which of many such plans it is, a
//! later planner may choose otherwise.

#[cfg(feature = "tuning")]
mod accepted;
mod cache;
mod contract;
mod limits;
mod model;
mod pieces;
mod sizes;
mod visits;

use super::grid::fold;
use super::*;
use crate::element::Element;
use crate::error::PlanError;
use crate::shape::View;

/// What all operations of a layer need.
const LAYER: Needs = Needs {
    what: "saved statistics",
    rows: 5,
    workspace: true,
    looks: 1,
};

/// What moments over any axes need.
const MOMENTS: Needs = Needs {
    what: "moments",
    rows: 3,
    workspace: true,
    looks: 1,
};

/// Most of what is planned does not depend on the element.
fn plan_dense(view: View, machine: &Machine) -> Result<Schedule, PlanError> {
    super::plan_dense(view, Element::F32, &LAYER, machine)
}

fn plan_strided(
    view: View,
    axes: Axes,
    kept_innermost: bool,
    machine: &Machine,
) -> Result<Schedule, PlanError> {
    super::plan_strided(view, Element::F32, axes, kept_innermost, &MOMENTS, machine)
}

/// Compares the lines of the contract that are missed with the list of those that are known to be, one a line. A list that
/// became shorter is written anew as well, from what this prints.
fn assert_missed(found: &[String], known: &str) {
    let new: Vec<_> = found
        .iter()
        .filter(|f| !known.lines().any(|k| k == *f))
        .collect();
    let gone: Vec<_> = known
        .lines()
        .filter(|k| !found.iter().any(|f| f == k))
        .collect();
    assert!(
        new.is_empty() && gone.is_empty(),
        "new: {new:#?}\ngone: {gone:#?}\nall {}:\n{}",
        found.len(),
        found.join("\n")
    );
}

fn machine(tuning: Tuning) -> Machine {
    Machine {
        max_groups_per_dimension: 65_535,
        max_binding_bytes: u64::MAX,
        binding_limit: "max_storage_buffer_binding_size",
        tuning,
    }
}

/// What the planner is used with, and what it would not choose.
fn tunings() -> Vec<Tuning> {
    let cut = |planar_workgroup, planar_team, interleaved_workgroup, fill| Tuning {
        planar_workgroup,
        planar_team,
        interleaved_workgroup,
        interleaved_columns: 12,
        fill,
        lane_columns: 4,
        resident_bytes: 1 << 12,
        workgroup_bytes: None,
        cache_bytes: 0,
        piece_bytes: u64::MAX,
        read_only: false,
    };
    vec![
        Tuning::CPU_ADAPTER,
        Tuning::DISCRETE,
        cut(64, 16, 40, 77),
        cut(32, 1, 8, 5),
        cut(6, 3, 24, 1),
        Tuning {
            workgroup_bytes: Some(1 << 10),
            fill: 1 << 16,
            ..Tuning::DISCRETE
        },
    ]
}

fn view(outer: usize, channels: usize, inner: usize) -> View {
    View::of_lengths(outer, channels, inner)
}

/// Dispatches over the tensor, or over no more than its partials.
#[derive(Clone, Copy, Debug)]
enum Over {
    Reduce,
    Map,
    Apply,
    Merge,
    ResidentTrain,
    ResidentBackward,
}

const DISPATCHES: [Over; 6] = [
    Over::Reduce,
    Over::Map,
    Over::Apply,
    Over::Merge,
    Over::ResidentTrain,
    Over::ResidentBackward,
];

impl Over {
    /// The pieces and their grids.
    fn grids(self, schedule: &Schedule) -> Vec<(Piece, Grid)> {
        let pieces = schedule.pieces.iter();
        let resident = |grid: Option<Grid>| {
            let grids = grid.into_iter().map(|grid| (schedule.whole(), grid));
            grids.collect()
        };
        match self {
            Self::ResidentTrain => resident(schedule.resident_train),
            Self::ResidentBackward => resident(schedule.resident_backward),
            Self::Reduce => pieces.map(|piece| (*piece, piece.reduce)).collect(),
            Self::Map => pieces.map(|piece| (*piece, piece.map)).collect(),
            Self::Apply => pieces.map(|piece| (*piece, piece.apply)).collect(),
            Self::Merge => vec![(schedule.whole(), schedule.merge)],
        }
    }
}

/// Every rank's corners in small: both patterns, odd and tiny runs, one channel and many.
fn views() -> Vec<View> {
    let mut views = vec![
        view(1, 1, 1),
        view(1, 5, 1),
        view(1, 1, 100_001),
        view(100_001, 1, 1),
        view(1, 3, 70_001),
        view(70_001, 3, 1),
        view(3, 257, 221),
        view(1, 70_000, 1),
        view(2, 70_000, 1),
        view(1, 70_000, 2),
        view(700, 8, 49),
        view(5, 64, 16),
        view(1000, 65, 1),
        view(300, 64, 1),
        view(50, 512, 1),
        view(70, 1028, 1),
        view(3, 40, 1),
    ];
    for outer in [1, 2, 7, 64] {
        for channels in [1, 3, 257] {
            for inner in [1, 2, 36, 49, 221] {
                views.push(view(outer, channels, inner));
            }
        }
    }
    views
}

/// Kept axes that a walk takes, and reduced ones.
const AXES: usize = size_of::<Axes>() / 32;

/// No axis at all.
const ONES: Axes = Axes {
    kept: [[1, 0, 0, 0]; AXES],
    reduced: [[1, 0, 0, 0]; AXES],
};

/// The axes of `shape`, in memory order, of which every second one is kept.
fn alternating(shape: &[usize], first_kept: bool) -> (View, Axes, bool) {
    let kept = |k: usize| k.is_multiple_of(2) == first_kept;
    let mut axes = ONES;
    let (mut count, mut channels, mut stride) = (1, 1, 1);
    let (mut kept_axes, mut reduced_axes) = (0, 0);
    for (k, &len) in shape.iter().enumerate().rev() {
        let entry = [len as u32, stride, 0, 0];
        stride *= len as u32;
        if kept(k) {
            axes.kept[kept_axes] = entry;
            kept_axes += 1;
            channels *= len;
        } else {
            axes.reduced[reduced_axes] = entry;
            reduced_axes += 1;
            count *= len;
        }
    }
    (view(count, channels, 1), axes, kept(shape.len() - 1))
}

/// Views of up to 2^31 elements, corner by corner.
fn large_views() -> Vec<View> {
    let mut views = Vec::new();
    for total in [1 << 10, 1 << 20, 10_000_019, 1 << 27, 1 << 31] {
        for channels in [1, 2, 3, 8, 17, 33, 64, 257, 1000, 70_000, 1 << 24] {
            let count: usize = total / channels;
            if count > 0 {
                views.push(view(count, channels, 1));
                views.push(view(1, channels, count));
                views.push(view(count.div_ceil(49), channels, 49));
            }
        }
    }
    views.retain(|view| view.len() <= 1 << 31);
    views
}

/// The plans of a view on machines with and without a limit on bindings.
fn large_plans(view: View, tuning: Tuning) -> Vec<Schedule> {
    let plans = [1 << 27, 1 << 31, u64::MAX].map(|max_binding_bytes| {
        let machine = Machine {
            max_binding_bytes,
            ..machine(tuning)
        };
        plan_dense(view, &machine)
    });
    plans.into_iter().flatten().collect()
}

/// A machine whose bindings hold so many bytes, and whose drivers wait.
fn narrow(max_binding_bytes: u64) -> Machine {
    let tuning = Tuning {
        piece_bytes: u64::MAX,
        ..Tuning::DISCRETE
    };
    Machine {
        max_binding_bytes,
        ..machine(tuning)
    }
}
