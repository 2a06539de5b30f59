//! The planner against a simulation of what the shaders do with its grids.

use super::cuts::{Cut, MAX_POSITIONS, MIN_POSITIONS, PARTIAL_BYTES, TILE};
use super::grid::fold;
use super::machine::ALIGNMENT;
use super::pieces::ranges;
use super::schedule::MAX_PIECES;
use super::*;
use crate::element::Element;
use crate::error::PlanError;
use crate::shape::View;

/// What all operations of a layer need.
const LAYER: Needs = Needs {
    what: "saved statistics",
    rows: 5,
    workspace: true,
};

/// What moments over any axes need.
const MOMENTS: Needs = Needs {
    what: "moments",
    rows: 3,
    workspace: true,
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
    };
    vec![
        Tuning::CPU_ADAPTER,
        Tuning::DISCRETE,
        cut(64, 16, 40, 77),
        cut(32, 1, 8, 5),
        cut(6, 3, 24, 1),
    ]
}

fn view(outer: usize, channels: usize, inner: usize) -> View {
    View::of_lengths(outer, channels, inner)
}

/// `Lane` and `locate` of `shaders/shared/lanes.wgsl`, as far as a walk needs them.
struct Lane {
    channel: u32,
    live: bool,
    slot: u32,
    split: u32,
    first: u32,
    len: u32,
}

fn locate(view: &View, grid: &Grid, workgroup: u32, index: u32) -> Lane {
    let (channels, count) = (view.channels() as u32, view.count() as u32);
    let (team, in_team) = (index / grid.team, index % grid.team);
    let (row, column) = (in_team / grid.columns, in_team % grid.columns);
    let channel = (workgroup / grid.splits) * grid.columns * grid.lane_columns + column;
    let live = row < grid.rows && channel < channels;
    let split = workgroup % grid.splits;
    let start = (split * (grid.workgroup / grid.team) + team) * grid.span;
    let end = (start + grid.span).min(count);
    let first = start + row;
    let len = match live && first < end {
        true => (end - first).div_ceil(grid.rows),
        false => 0,
    };
    Lane {
        channel: channel.min(channels - 1),
        live,
        slot: team * grid.rows + row,
        split,
        first,
        len,
    }
}

/// The addresses of `shaders/shared/walk_dense.wgsl`. Stepping past the end may wrap.
fn dense_walk(piece: &Piece, grid: &Grid, lane: &Lane) -> impl Iterator<Item = u32> + use<> {
    let (channels, inner) = (piece.view.channels() as u32, piece.view.inner() as u32);
    let outer = lane.first / inner;
    let mut place = lane.first % inner;
    // A lane with nothing to do has an address that nobody reads.
    let mut address = (outer.wrapping_mul(channels).wrapping_add(lane.channel))
        .wrapping_mul(inner)
        .wrapping_add(place)
        .wrapping_add(piece.base as u32);
    let (step, inner_step, wrap) = (grid.address_step, grid.inner_step, grid.wrap_step);
    (0..lane.len).map(move |_| {
        let here = address;
        address = address.wrapping_add(step);
        place += inner_step;
        if place >= inner {
            place -= inner;
            address = address.wrapping_add(wrap);
        }
        here
    })
}

/// The addresses of `shaders/shared/walk_strided.wgsl`.
fn strided_walk(axes: &Axes, grid: &Grid, lane: &Lane) -> impl Iterator<Item = u32> + use<> {
    let address = |table: [[u32; 4]; AXES], mut rest: u32| -> u32 {
        let digits = table.into_iter().map(|[len, stride, ..]| {
            let digit = rest % len;
            rest /= len;
            digit * stride
        });
        digits.sum()
    };
    let (axes, rows, first) = (*axes, grid.rows, lane.first);
    let base = address(axes.kept, lane.channel);
    (0..lane.len).map(move |k| base + address(axes.reduced, first + k * rows))
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

/// Every element is visited exactly once, by a lane of its own channel; every partial is written
/// once, one lane speaks for each channel, and every workgroup lies in the dispatch.
fn assert_covers(schedule: &Schedule, over: Over, channel_of: &dyn Fn(usize) -> usize) {
    let at = format!("{:?} {over:?}", schedule.view);
    if over.grids(schedule).is_empty() {
        return;
    }
    let channels = schedule.loads.channels();
    let elements = schedule.load_bytes() as usize / 4;
    let together = schedule.view.channels() / channels;
    let partials = match over {
        Over::Reduce | Over::Map => schedule.partials as usize,
        _ => 1,
    };
    let mut visits = vec![0u8; schedule.loads.len()];
    let mut written = vec![0u8; channels * partials];
    let mut spoken = vec![0u8; channels];
    for (piece, grid) in over.grids(schedule) {
        let workgroups = grid.groups * grid.splits;
        let [width, height] = grid.dispatch;
        assert!(workgroups <= width * height && workgroups > width * (height - 1));
        assert_eq!(grid.workgroup % grid.team, 0);
        assert_eq!(grid.slots, grid.rows * (grid.workgroup / grid.team));
        assert!(grid.slots * grid.columns <= grid.workgroup);
        // `reduce` counts on it.
        assert!(grid.lane_columns == 1 || grid.slots == 1);
        for workgroup in 0..workgroups {
            for index in 0..grid.workgroup {
                let lane = locate(&piece.view, &grid, workgroup, index);
                for k in 0..grid.lane_columns {
                    let beside = k * grid.columns;
                    let channel = piece.first_channel + (lane.channel + beside) as usize;
                    if lane.live && lane.slot == 0 {
                        let partial = (piece.first_partial + lane.split) as usize;
                        if !matches!(over, Over::Apply) {
                            written[channel * partials + partial] += 1;
                            spoken[channel] += u8::from(partial == 0);
                        }
                    }
                    let mut visit = |address: u32| {
                        let address = piece.binding_start() + (address + beside) as usize;
                        let of = channel_of(address * elements) / together;
                        assert_eq!(of, channel, "{at}");
                        visits[address] += 1;
                    };
                    match &schedule.axes {
                        None => dense_walk(&piece, &grid, &lane).for_each(&mut visit),
                        Some(axes) => strided_walk(axes, &grid, &lane).for_each(&mut visit),
                    }
                }
            }
        }
    }
    assert!(visits.iter().all(|&n| n == 1), "{at}");
    let each = u8::from(!matches!(over, Over::Apply));
    assert!(written.iter().all(|&n| n == each), "{at}");
    assert!(spoken.iter().all(|&n| n == each), "{at}");
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

#[test]
fn dense_grids_visit_every_element_once() {
    for tuning in tunings() {
        for view in views() {
            let schedule = plan_dense(view, &machine(tuning)).unwrap();
            assert_eq!(schedule.pieces.len(), 1);
            for over in DISPATCHES {
                assert_covers(&schedule, over, &|index| view.channel_of(index));
            }
        }
    }
}

#[test]
fn pieces_visit_every_element_once_and_fit_their_bindings() {
    let mut cut = 0;
    for tuning in tunings() {
        for max_binding_bytes in [1 << 13, 50_000, 1 << 18] {
            let machine = Machine {
                max_binding_bytes,
                ..machine(tuning)
            };
            for view in views() {
                let Ok(schedule) = plan_dense(view, &machine) else {
                    // Statistics or partials of so many channels in so many pieces do not fit.
                    let pieces = view.len() as u64 * 4 / max_binding_bytes + 1;
                    assert!(view.channels() as u64 * 64 * pieces > max_binding_bytes);
                    continue;
                };
                cut += usize::from(schedule.pieces.len() > 1);
                for piece in &schedule.pieces {
                    let load = schedule.load_bytes() as usize;
                    let bytes = piece.binding_len() * load;
                    assert!(bytes as u64 <= max_binding_bytes, "{view:?} {piece:?}");
                    assert_eq!(piece.binding_start() * load % ALIGNMENT, 0);
                    let end = piece.binding_start() + piece.binding_len();
                    assert!(end <= schedule.loads.len());
                }
                assert!(schedule.workspace_bytes() <= max_binding_bytes);
                for over in DISPATCHES {
                    assert_covers(&schedule, over, &|index| view.channel_of(index));
                }
            }
        }
    }
    assert!(cut > 150, "{cut}");
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

#[test]
fn strided_grids_visit_every_element_once() {
    let shapes: [&[usize]; 8] = [
        &[2; 2 * AXES],
        &[3, 5, 7],
        &[2, 3, 4, 5],
        &[2, 3, 2, 3, 2, 3, 2, 3],
        &[1, 3000, 2, 7],
        &[40, 2, 221],
        &[257, 3, 2, 9],
        &[5, 1, 1, 64],
    ];
    for tuning in tunings() {
        for shape in shapes {
            for first_kept in [true, false] {
                let (view, axes, innermost) = alternating(shape, first_kept);
                // The channel of an element: its digits along kept axes.
                let channel_of = |index: usize| {
                    let (mut rest, mut channel, mut weight) = (index, 0, 1);
                    for (k, len) in shape.iter().enumerate().rev() {
                        if k.is_multiple_of(2) == first_kept {
                            channel += rest % len * weight;
                            weight *= len;
                        }
                        rest /= len;
                    }
                    channel
                };
                let schedule = plan_strided(view, axes, innermost, &machine(tuning)).unwrap();
                for over in DISPATCHES {
                    assert_covers(&schedule, over, &channel_of);
                }
            }
        }
    }
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

#[test]
fn no_lane_loops_beyond_its_budget() {
    for tuning in tunings() {
        for view in large_views() {
            for dense in large_plans(view, tuning) {
                assert_budget(&dense, 32_768);
            }
            for innermost in [true, false] {
                // One binding holds it all, or it is refused.
                let strided = plan_strided(view, ONES, innermost, &machine(tuning));
                assert_eq!(strided.is_ok(), view.len() as u64 * 4 <= LARGEST_BINDING);
                let Ok(strided) = strided else { continue };
                // A loop over the axes at every position.
                assert_budget(&strided, 65_535 / (AXES as u32 + 1));
            }
        }
    }
}

fn assert_budget(schedule: &Schedule, positions: u32) {
    for piece in &schedule.pieces {
        for grid in [piece.reduce, piece.map, piece.apply] {
            let at = format!("{:?} {piece:?}", schedule.view);
            let loads = grid.span.div_ceil(grid.rows) * grid.lane_columns;
            assert!(loads <= positions, "{at}");
            // No index on the way leaves 32 bits.
            let teams = u64::from(grid.workgroup / grid.team);
            let reach = u64::from(grid.splits) * teams * u64::from(grid.span);
            assert!(reach + u64::from(grid.rows) <= 1 << 32, "{at}");
            assert!(
                u64::from(grid.groups) * u64::from(grid.splits) < 1 << 32,
                "{at}"
            );
        }
    }
    if let [piece] = &schedule.pieces[..] {
        // The last workgroup has work.
        let grid = piece.map;
        let share = u64::from(grid.workgroup / grid.team) * u64::from(grid.span);
        assert!(u64::from(grid.splits - 1) * share < schedule.loads.count() as u64);
    }
    assert_eq!(schedule.merge.splits, 1);
}

#[test]
fn merging_takes_short_chains() {
    for tuning in [Tuning::CPU_ADAPTER, Tuning::DISCRETE] {
        for view in large_views() {
            let dense = large_plans(view, tuning);
            dense.iter().for_each(assert_short_chains);
            // Strided lanes walk less, so there are more of them to merge: 2 GiB is the end.
            if view.len() <= 1 << 29 {
                let strided = plan_strided(view, ONES, true, &machine(tuning)).unwrap();
                assert_short_chains(&strided);
            }
        }
    }
}

/// A lane's share of the partials is a cascade of 16 by 16 by at most 32.
fn assert_short_chains(schedule: &Schedule) {
    let grids = schedule.pieces.iter().map(|piece| piece.map);
    for grid in grids.chain([schedule.merge]) {
        let pushed = schedule.partials.div_ceil(grid.slots);
        assert!(pushed <= 16 * 16 * 32, "{:?}: {pushed}", schedule.view);
    }
}

#[test]
fn grids_fold_where_a_dimension_is_too_short() {
    let folded = |view, tuning| plan_dense(view, &machine(tuning)).unwrap().pieces[0].map;
    let grid = folded(view(1, 200_000, 7), Tuning::CPU_ADAPTER);
    assert_eq!((grid.groups, grid.splits), (200_000, 1));
    assert_eq!(grid.dispatch, [50_000, 4]);
    // One more than a row: two of half a row each, not one row of nothing but that one.
    let grid = folded(view(1, 65_536, 7), Tuning::CPU_ADAPTER);
    assert_eq!(grid.dispatch, [32_768, 2]);
    for tuning in tunings() {
        for view in large_views() {
            let schedule = plan_dense(view, &machine(tuning)).unwrap();
            for (_, grid) in DISPATCHES.iter().flat_map(|over| over.grids(&schedule)) {
                let [width, height] = grid.dispatch;
                let room = u64::from(width) * u64::from(height);
                let workgroups = u64::from(grid.groups) * u64::from(grid.splits);
                assert!(width <= 65_535 && height <= 65_535, "{view:?} {grid:?}");
                assert!((workgroups..workgroups + u64::from(height)).contains(&room));
            }
        }
    }
    // A machine with short dimensions folds as well, and still visits everything.
    let short = Machine {
        max_groups_per_dimension: 7,
        ..machine(Tuning::CPU_ADAPTER)
    };
    let view = view(3, 40, 9);
    let schedule = plan_dense(view, &short).unwrap();
    assert_eq!(schedule.pieces[0].map.dispatch, [7, 6]);
    assert_covers(&schedule, Over::Map, &|index| view.channel_of(index));
}

/// What a grid is folded into has room for all, in rows as few and as short as they can be.
fn assert_folds(total: u64, most: u32) {
    let at = format!("{total} in dimensions of {most}");
    let [x, y] = fold(total, most).map(u64::from);
    assert!(x <= u64::from(most) && y <= u64::from(most), "{at}");
    assert!(x * y >= total, "{at}");
    // No row less would do, nor a shorter one, which leaves fewer than one a row over.
    assert!((y - 1) * u64::from(most) < total, "{at}");
    assert!((x - 1) * y < total, "{at}");
    assert!(x * y - total < y, "{at}");
    // The last row has work, and so does its first workgroup.
    assert!(x * (y - 1) < total, "{at}");
}

#[test]
fn folded_grids_have_less_than_a_workgroup_a_row_too_many() {
    for total in 1..=1_000_000 {
        assert_folds(total, 65_535);
    }
    for most in [1, 2, 7, 64] {
        for total in 1..=u64::from(most * most) {
            assert_folds(total, most);
        }
    }
    // Around each row more, up to the last that there can be.
    let most = 65_535;
    for rows in 1..=u64::from(most) {
        for beside in [-1, 0, 1, 2, 1009, 30_011] {
            let total = (rows * u64::from(most)).saturating_add_signed(beside);
            if total <= u64::from(most) * u64::from(most) {
                assert_folds(total, most);
            }
        }
    }
}

/// `main` of `shaders/shared/entry.wgsl` numbers a dispatch's workgroups by the grid that it is given.
#[test]
fn a_folded_grid_counts_every_workgroup_once() {
    for (total, most) in [
        (1u32, 7),
        (7, 7),
        (8, 7),
        (22, 7),
        (43, 7),
        (49, 7),
        (70_001, 65_535),
    ] {
        let [width, height] = fold(total.into(), most);
        let mut ran = vec![0u8; total as usize];
        let mut idle = 0;
        for (x, y) in (0..height).flat_map(|y| (0..width).map(move |x| (x, y))) {
            match ran.get_mut((y * width + x) as usize) {
                Some(ran) => *ran += 1,
                None => idle += 1,
            }
        }
        assert!(ran.iter().all(|&n| n == 1), "{total}");
        assert!(idle < height, "{total}: {idle} of {height} rows");
    }
}

#[test]
fn scratch_stays_small() {
    for tuning in tunings() {
        for view in large_views() {
            let (channels, tensor) = (view.channels() as u64, view.len() as u64 * 4);
            for schedule in large_plans(view, tuning) {
                let bytes = schedule.workspace_bytes();
                assert!(bytes >= channels * 16);
                // Two partials a channel (one a piece, where it is cut), or a hundredth of the tensor.
                let pieces = schedule.pieces.len() as u64;
                let bound = (channels * 16 * pieces.max(2)).max(tensor / 100);
                assert!(bytes <= bound, "{view:?}: {bytes} > {bound}");
            }
        }
    }
}

#[test]
fn merging_reads_far_less_than_the_tensor() {
    for tuning in [Tuning::CPU_ADAPTER, Tuning::DISCRETE] {
        for view in large_views() {
            for schedule in large_plans(view, tuning) {
                let partials = u64::from(schedule.partials);
                let least = schedule.partials as usize == schedule.pieces.len();
                // Each workgroup of a channel reads all of its partials.
                let few = partials * partials <= view.count() as u64 / 4;
                assert!(least || few, "{view:?}: {partials}");
            }
        }
    }
}

#[test]
fn few_channels_fill_the_device() {
    for tuning in [Tuning::CPU_ADAPTER, Tuning::DISCRETE] {
        for view in [view(1, 3, 10_000_000), view(10_000_000, 3, 1)] {
            let schedule = plan_dense(view, &machine(tuning)).unwrap();
            let grid = schedule.pieces[0].reduce;
            assert!(grid.groups * grid.splits >= tuning.fill * 2 / 3, "{grid:?}");
        }
    }
}

#[test]
fn the_rows_of_a_resnet_keep_a_gpu_busy() {
    let spatial = [
        (64, 112),
        (64, 56),
        (256, 56),
        (512, 28),
        (1024, 14),
        (2048, 7),
    ];
    let planar = spatial.map(|(c, side)| view(32, c, side * side));
    let interleaved = spatial.map(|(c, side)| view(32 * side * side, c, 1));
    for view in planar.into_iter().chain(interleaved) {
        let schedule = plan_dense(view, &machine(Tuning::DISCRETE)).unwrap();
        let [piece] = &schedule.pieces[..] else {
            panic!("{view:?} is cut");
        };
        let lanes = |grid: &Grid| grid.groups * grid.splits * grid.workgroup;
        // Or each lane has no more than some loads.
        let loads = schedule.loads.len() as u32;
        assert!(
            lanes(&piece.apply) >= (1 << 17).min(loads / 64),
            "{piece:?}"
        );
        assert!(
            lanes(&piece.reduce) >= (1 << 14).min(loads / 128),
            "{piece:?}"
        );
    }
}

/// A machine whose bindings hold so many bytes.
fn narrow(max_binding_bytes: u64) -> Machine {
    Machine {
        max_binding_bytes,
        ..machine(Tuning::DISCRETE)
    }
}

#[test]
fn pieces_tile_the_tensor_and_fit_a_binding() {
    let gib = 1 << 30;
    for (view, limit) in [
        (view(9, 5, 77), 8192),
        (view(3, 7, 900), 8192),
        (view(2, 3, 5000), 8192),
        (view(1, 1, 10_007), 8192),
        (view(9001, 2, 1), 4096),
        (view(1, 8, (1 << 22) + 1), 1 << 27),
        // More than 2³¹ and 2³² elements.
        (view(64, 256, 1 << 18), 1 << 27),
        (view(1, 3, 1 << 31), 2 * gib),
        (view(1 << 30, 5, 1), gib),
        (view(2, 2, 1 << 31), u64::MAX),
    ] {
        let schedule = plan_dense(view, &narrow(limit)).unwrap();
        assert!(schedule.pieces.len() > 1, "{view:?}");
        assert_tiles(&schedule, limit);
    }
}

#[test]
fn parts_are_few_and_of_one_length() {
    for most in [1, 2, 7, 64, 1000] {
        for len in 1..3000usize {
            let parts: Vec<_> = ranges(len, most).collect();
            assert_eq!(parts.len(), len.div_ceil(most), "{len} by {most}");
            let longest = parts[0].1;
            let mut next = 0;
            for (k, &(start, part)) in parts.iter().enumerate() {
                assert_eq!(start, next);
                assert!(part == longest || k + 1 == parts.len());
                next += part;
            }
            assert_eq!(next, len);
            let last = parts[parts.len() - 1].1;
            assert!(longest <= most && longest - last < parts.len());
        }
    }
}

/// Pieces follow each other without gaps, their bindings hold them, and so do their partials.
fn assert_tiles(schedule: &Schedule, limit: u64) {
    let mut next = 0;
    let (view, loads) = (schedule.view, schedule.loads);
    let mut partials = vec![0u32; loads.channels()];
    for piece in &schedule.pieces {
        assert_eq!(piece.start, next);
        next += piece.view.len();
        assert_eq!(piece.binding_start() + piece.binding_len(), next);
        let load = schedule.load_bytes();
        assert!(piece.binding_len() as u64 * load <= limit.min(LARGEST_BINDING));
        assert_eq!(piece.binding_start() as u64 * load % 256, 0);
        for k in 0..piece.view.channels() {
            let c = piece.first_channel + k;
            assert_eq!(piece.first_partial, partials[c], "they follow each other");
            partials[c] += piece.reduce.splits;
            assert_eq!(loads.channel_of(piece.start + k * loads.inner()), c);
        }
    }
    assert_eq!(next, loads.len());
    assert!(partials.iter().all(|&n| n == schedule.partials), "{view:?}");
}

/// 2³¹ elements and some more: both patterns, few channels and many, with loads of every width.
fn beyond_31_bits() -> Vec<View> {
    let views = vec![
        view(1, 1, (1 << 31) + 11),
        view(1, 2, (1 << 30) + 4),
        view(7, 3, 102_261_127),
        view(5, 70_001, 6137),
        view(33, 20_000, 3256),
        view(43_826_197, 7, 7),
        view(((1 << 31) / 3) + 2, 3, 1),
        view((1 << 29) + 1, 4, 1),
        view(32_769, 65_536, 1),
        view(8195, 262_147, 1),
    ];
    assert!(views.iter().all(|view| view.len() > 1 << 31));
    views
}

#[test]
fn more_than_31_bits_of_elements_are_planned() {
    let limits = [1 << 27, 1 << 31, u64::MAX];
    let mut planned = 0;
    for tuning in tunings() {
        for view in beyond_31_bits() {
            for max_binding_bytes in limits {
                let machine = Machine {
                    max_binding_bytes,
                    ..machine(tuning)
                };
                let Ok(schedule) = plan_dense(view, &machine) else {
                    // Of so many channels in so many pieces, the partials fit no binding.
                    let pieces = view.len() as u64 * 4 / max_binding_bytes + 1;
                    assert!(view.channels() as u64 * 16 * pieces > max_binding_bytes);
                    continue;
                };
                planned += 1;
                assert_tiles(&schedule, max_binding_bytes);
                assert_budget(&schedule, 32_768);
                if [Tuning::CPU_ADAPTER, Tuning::DISCRETE].contains(&tuning) {
                    assert_short_chains(&schedule);
                }
                assert_32_bits_suffice(&schedule);
                for over in DISPATCHES {
                    let grids = over.grids(&schedule);
                    for (piece, grid) in &grids {
                        assert_grid_reaches_all(&piece.view, grid);
                    }
                    // Pieces of one size have one grid.
                    let first_and_last = grids.first().into_iter().chain(grids.last());
                    for (piece, grid) in first_and_last {
                        assert_lanes_are_where_they_should(&schedule, piece, grid, over);
                    }
                }
            }
        }
    }
    // All but the one of most channels where bindings hold least.
    let all = beyond_31_bits().len() * limits.len() - 1;
    assert_eq!(planned, all * tunings().len());
}

/// What dispatches are told and what they index, as 64-bit arithmetic has it.
fn assert_32_bits_suffice(schedule: &Schedule) {
    let at = format!("{:?}", schedule.view);
    let fits = |value: usize| assert!(u32::try_from(value).is_ok(), "{at}: {value}");
    let channels = schedule.loads.channels();
    for piece in &schedule.pieces {
        // Addresses, and the positions that lead to them.
        fits(piece.binding_len());
        fits(piece.view.count());
        let partials = piece.first_partial as usize + piece.reduce.splits as usize;
        assert!(partials <= schedule.partials as usize, "{at}");
    }
    fits(channels * schedule.partials as usize);
    // Five rows of statistics.
    fits(5 * channels);
}

/// Teams walk `span` positions each, one after the other: together all, and so do the groups of
/// channels; steps and workgroup ids have lost no bits.
fn assert_grid_reaches_all(view: &View, grid: &Grid) {
    let at = format!("{view:?} {grid:?}");
    let wide = |n: u32| n as usize;
    let teams = wide(grid.workgroup / grid.team) * wide(grid.splits);
    let positions = teams * wide(grid.span);
    assert!(positions >= view.count(), "{at}");
    // A team's end is computed before it is cut off at the last position.
    assert!(u32::try_from(positions).is_ok(), "{at}");
    let together = wide(grid.columns * grid.lane_columns);
    assert_eq!(
        wide(grid.groups),
        view.channels().div_ceil(together),
        "{at}"
    );
    assert_eq!(grid.team / grid.columns, grid.rows, "{at}");
    let (runs, step) = (
        wide(grid.rows) / view.inner(),
        wide(grid.rows) % view.inner(),
    );
    let address_step = runs * view.channels() * view.inner() + step;
    assert_eq!(wide(grid.address_step), address_step, "{at}");
    assert_eq!(wide(grid.inner_step), step, "{at}");
    let wrap_step = (view.channels() - 1) * view.inner();
    assert_eq!(wide(grid.wrap_step), wrap_step, "{at}");
    let [width, height] = grid.dispatch.map(wide);
    assert!(width <= 65_535 && height <= 65_535, "{at}");
    assert!(u32::try_from(width * height).is_ok(), "{at}");
    assert!(width * height >= wide(grid.groups) * wide(grid.splits));
}

/// Lanes at the edges of the grid walk what 64-bit arithmetic gives them, through every address,
/// to the end.
fn assert_lanes_are_where_they_should(schedule: &Schedule, piece: &Piece, grid: &Grid, over: Over) {
    let (view, wide) = (&piece.view, |n: u32| n as usize);
    let (last_group, last_split) = (grid.groups - 1, grid.splits - 1);
    for group in [0, grid.groups / 2, last_group] {
        for split in [0, grid.splits / 2, last_split] {
            for index in [0, grid.workgroup / 2, grid.workgroup - 1] {
                let at = format!("{view:?} {over:?} {grid:?} {group} {split} {index}");
                let lane = locate(view, grid, group * grid.splits + split, index);
                let (team, in_team) = (wide(index / grid.team), wide(index % grid.team));
                let teams = wide(grid.workgroup / grid.team);
                let start = (wide(split) * teams + team) * wide(grid.span);
                let end = view.count().min(start + wide(grid.span));
                let first = start + in_team / wide(grid.columns);
                assert_eq!(wide(lane.first), first, "{at}");
                if lane.live {
                    let positions = (first..end).step_by(wide(grid.rows));
                    assert_eq!(wide(lane.len), positions.len(), "{at}");
                }
                if matches!(over, Over::Merge) {
                    // Of the tensor, which no binding has to hold, it reads nothing.
                    continue;
                }
                for (k, address) in dense_walk(piece, grid, &lane).enumerate() {
                    let (channel, position) = (wide(lane.channel), first + k * wide(grid.rows));
                    let run = position / view.inner() * view.channels() + channel;
                    let expected = piece.base + run * view.inner() + position % view.inner();
                    assert_eq!(wide(address), expected, "{at}");
                    let element = piece.binding_start() + expected;
                    let of = schedule.loads.channel_of(element);
                    assert_eq!(of, piece.first_channel + channel, "{at}");
                }
            }
        }
    }
}

#[test]
fn tensors_beyond_a_binding_are_cut() {
    let small = narrow(1 << 27);
    let pieces = |view| plan_dense(view, &small).unwrap().pieces;
    assert_eq!(pieces(view(1, 8, 1 << 22)).len(), 1);
    assert_eq!(pieces(view(1, 8, (1 << 22) + 1)).len(), 2);
    // One more than four: pieces start where bindings may.
    assert_eq!(pieces(view(1, 1, 1 << 27)).len(), 5);
    // Without such a limit, 32-bit sizes are one.
    let unlimited = machine(Tuning::DISCRETE);
    let pieces = |view| plan_dense(view, &unlimited).unwrap().pieces;
    assert_eq!(pieces(view(1, 8, (1 << 27) - 8)).len(), 1);
    assert_eq!(pieces(view(1, 8, 1 << 27)).len(), 2);
    assert_eq!(pieces(view(2, 8, (1 << 27) + 1)).len(), 4);
}

/// Whatever a device offers, no binding that the planner makes has 4 GiB, in whatever loads and pattern.
#[test]
fn no_binding_reaches_4_gib() {
    let elements = [Element::F32, Element::F16, Element::Bf16];
    for max_binding_bytes in [
        LARGEST_BINDING - 4,
        LARGEST_BINDING,
        1 << 32,
        1 << 40,
        u64::MAX,
    ] {
        let machine = narrow(max_binding_bytes);
        for element in elements {
            let most = LARGEST_BINDING.min(max_binding_bytes) / element.bytes();
            for beside in [0, 1, 2, 4, 256, 1 << 30] {
                let len = (most + beside) as usize;
                // Scalars and fours along a run; scalars and fours of channels.
                for view in [
                    view(1, 1, len),
                    view(2, 3, len.div_ceil(6)),
                    view(1, 2, len.div_ceil(2).next_multiple_of(4)),
                    view(len.div_ceil(3), 3, 1),
                    view(len.div_ceil(64), 64, 1),
                ] {
                    let schedule = super::plan_dense(view, element, &LAYER, &machine).unwrap();
                    let at = format!("{element:?} {view:?} {max_binding_bytes}");
                    let fits = element.bytes_of(view.len()) <= most * element.bytes();
                    assert_eq!(schedule.pieces.len() == 1, fits, "{at}");
                    assert_tiles(&schedule, max_binding_bytes);
                    assert_32_bits_suffice(&schedule);
                    for piece in &schedule.pieces {
                        // As `Slot::range` rounds it.
                        let bytes = piece.binding_len() as u64 * schedule.load_bytes();
                        let bytes = u32::try_from(bytes.next_multiple_of(4)).expect(&at);
                        assert!(u64::from(bytes) <= max_binding_bytes, "{at}");
                    }
                    u32::try_from(schedule.workspace_bytes()).expect(&at);
                }
            }
        }
    }
}

/// What there is one of for each channel is bound whole, so that it is refused where it has 4 GiB.
#[test]
fn rows_and_scratch_of_4_gib_are_refused() {
    let unlimited = machine(Tuning::DISCRETE);
    let channels = (LARGEST_BINDING / 20) as usize;
    assert!(plan_dense(view(2, channels, 1), &unlimited).is_ok());
    let refused = |plan: Result<Schedule, PlanError>| {
        let PlanError::TooLarge {
            what, limit, max, ..
        } = plan.unwrap_err()
        else {
            panic!("expected TooLarge");
        };
        assert_eq!((limit, max), ("what 32-bit sizes reach", LARGEST_BINDING));
        what
    };
    let more = view(2, channels + 1, 1);
    assert_eq!(refused(plan_dense(more, &unlimited)), "saved statistics");
    // A partial of 16 bytes for each channel in each of two pieces.
    let pieces = view(9, channels / 2 + 40_000_000, 1);
    assert_eq!(refused(plan_dense(pieces, &unlimited)), "a workspace");
    // Halves of functional forms, a binding each: their statistics are larger than they are.
    let most = (LARGEST_BINDING / 2) as usize;
    let strided = |channels| {
        let view = view(1, channels, 1);
        super::plan_strided(view, Element::F16, ONES, true, &MOMENTS, &unlimited)
    };
    assert_eq!(refused(strided(most + 1)), "a tensor");
    assert_eq!(refused(strided(most)), "moments");
    let most = (LARGEST_BINDING / 12) as usize;
    assert_eq!(refused(strided(most)), "a workspace");
    assert!(strided((LARGEST_BINDING / PARTIAL_BYTES) as usize).is_ok());
}

#[test]
fn what_cannot_be_cut_is_refused_by_the_limits_name() {
    let small = narrow(1 << 20);
    let refused = |plan: Result<Schedule, PlanError>, what, bytes| {
        let expected = PlanError::TooLarge {
            what,
            got: bytes,
            limit: "max_storage_buffer_binding_size",
            max: 1 << 20,
        };
        let text = expected.to_string();
        assert!(text.contains("max_storage_buffer_binding_size"), "{text}");
        assert_eq!(plan, Err(expected));
    };
    // Per-channel statistics: five rows are saved.
    let most = (1 << 20) / 20;
    assert!(plan_dense(view(2, most, 1), &small).is_ok());
    refused(
        plan_dense(view(2, most + 1, 1), &small),
        "saved statistics",
        (most as u64 + 1) * 20,
    );
    // Channels that 32 bits do not count, in fours too.
    for (channels, inner) in [(1 << 32, 3), (1 << 34, 1)] {
        let plan = plan_dense(view(1, channels, inner), &small);
        refused(plan, "saved statistics", channels as u64 * 20);
    }
    // More pieces than anyone would dispatch.
    let endless = plan_dense(view(1, 1, usize::MAX >> 4), &small);
    let PlanError::TooLarge { what, max, .. } = endless.unwrap_err() else {
        panic!("expected TooLarge");
    };
    assert_eq!((what, max), ("a tensor", 1 << 36));
    // A strided tensor.
    let (strided, axes, innermost) = alternating(&[64, 64, 65], true);
    refused(
        plan_strided(strided, axes, innermost, &small),
        "a tensor",
        64 * 64 * 65 * 4,
    );
    // Without such a limit, 32-bit sizes are one.
    let unlimited = machine(Tuning::DISCRETE);
    assert!(plan_strided(view((1 << 27) - 8, 8, 1), ONES, true, &unlimited).is_ok());
    let refused = plan_strided(view((1 << 27) - 7, 8, 1), ONES, true, &unlimited);
    let PlanError::TooLarge { limit, max, .. } = refused.unwrap_err() else {
        panic!("expected TooLarge");
    };
    assert_eq!((limit, max), ("what 32-bit sizes reach", LARGEST_BINDING));
}

#[test]
fn classes_differ_as_their_devices_do() {
    for class in DeviceClass::ALL {
        assert_eq!(DeviceClass::of(&class.tuning()), Some(class));
    }
    assert_eq!(DeviceClass::of(&tunings()[2]), None);
    // More cores to fill, less cache for each.
    let [cpu, integrated, discrete] = DeviceClass::ALL.map(DeviceClass::tuning);
    assert!(cpu.fill < integrated.fill && integrated.fill < discrete.fill);
    assert!(cpu.resident_bytes > discrete.resident_bytes);
    assert!(discrete.resident_bytes > integrated.resident_bytes);
    assert!(integrated.resident_bytes >= 1 << 10);
}

#[test]
fn one_dispatch_does_a_channel_where_that_pays() {
    let resident = |view: View, machine: &Machine| {
        let schedule = plan_dense(view, machine).unwrap();
        let dispatches = [schedule.resident_train, schedule.resident_backward];
        (schedule.partials, dispatches.map(|grid| grid.is_some()))
    };
    let cpu = machine(Tuning::CPU_ADAPTER);
    // Nothing to split: one dispatch, in the same grid.
    assert_eq!(resident(view(2, 64, 7), &cpu), (1, [true, true]));
    // Channels in cache, and enough of them: split they would be, and need not be.
    let channels = cpu.tuning.fill as usize / 2;
    let values = |bytes: usize| bytes / 4;
    let small = view(1, channels, values(cpu.tuning.resident_bytes / 2));
    let (partials, dispatches) = resident(small, &cpu);
    assert!(partials > 1);
    assert_eq!(dispatches, [true, true]);
    // Backward has two tensors to keep.
    let larger = view(1, channels, values(cpu.tuning.resident_bytes));
    assert_eq!(resident(larger, &cpu).1, [true, false]);
    let large = view(1, channels, values(cpu.tuning.resident_bytes) + 4);
    assert_eq!(resident(large, &cpu).1, [false, false]);
    // Too few to fill the device.
    assert_eq!(resident(view(1, 2, 4096), &cpu).1, [false, false]);
    // In pieces, or more than a lane may walk.
    assert_eq!(resident(view(2, 64, 7), &narrow(2048)).1, [false, false]);
    let endless = Tuning {
        fill: 1,
        resident_bytes: usize::MAX >> 8,
        ..Tuning::CPU_ADAPTER
    };
    let beyond = view(1, 1, 4 * 8 * MAX_POSITIONS + 4);
    assert_eq!(resident(beyond, &machine(endless)).1, [false, false]);
}

#[test]
fn images_need_no_binding() {
    let pixels = 1 << 16;
    let schedule = plan_image(pixels, &LAYER, &narrow(4096)).unwrap();
    assert_eq!(schedule.pieces.len(), 1);
    // Nor do 32-bit sizes cut it: the largest textures there are have 32,768² pixels.
    let largest = plan_image(1 << 30, &LAYER, &machine(Tuning::DISCRETE)).unwrap();
    assert_eq!(largest.pieces.len(), 1);
    assert_eq!(largest.pieces[0].view.count(), 1 << 30);
    assert_budget(&largest, 32_768);
    // There is no such kernel.
    let few = plan_image(1 << 6, &LAYER, &machine(Tuning::CPU_ADAPTER)).unwrap();
    assert_eq!((few.resident_train, few.resident_backward), (None, None));
}

#[test]
fn the_limit_of_pieces_counts_bytes() {
    let machine = narrow(1024);
    let most = (MAX_PIECES * 1024 / 2) as usize;
    let refused = |values: usize| {
        let plan = super::plan_dense(view(1, 1, values), Element::F16, &LAYER, &machine);
        let PlanError::TooLarge { what, got, .. } = plan.unwrap_err() else {
            panic!("expected TooLarge");
        };
        (what, got)
    };
    // As many as planned: here it is their partials that are too many.
    assert_eq!(refused(most).0, "a workspace");
    assert_eq!(refused(most + 4), ("a tensor", MAX_PIECES * 1024 + 8));
}

#[test]
fn sizes_are_the_limit_where_bindings_reach_as_far() {
    let of = |max_binding_bytes| narrow(max_binding_bytes).binding_bytes();
    let sizes = ("what 32-bit sizes reach", (1 << 32) - 256);
    assert_eq!(of(sizes.1 - 1).1, sizes.1 - 1);
    assert_ne!(of(sizes.1 - 1).0, sizes.0);
    assert_eq!(of(sizes.1), sizes);
    assert_eq!(of(1 << 32), sizes);
    assert_eq!(of(1 << 40), sizes);
}

/// 16 channels in one group, 8 lanes for each, in two teams.
fn lanes_of_eight(count: usize) -> Cut {
    Cut {
        view: view(count, 16, 1),
        load_bytes: 4,
        workgroup: 64,
        team: 32,
        columns: 8,
        lane_columns: 2,
        max_positions: 64,
    }
}

#[test]
fn splits_stop_at_the_first_of_their_bounds() {
    let splits = |count, fill, mergeable| lanes_of_eight(count).splits(fill, mergeable);
    // Ten shares of the least that is worth a lane each, or five.
    let worth = 8 * MIN_POSITIONS;
    assert_eq!(splits(10 * worth, 10, 10), (10, SplitLimit::Fill));
    assert_eq!(splits(5 * worth, 10, 10), (5, SplitLimit::Share));
    assert_eq!(splits(10 * worth, 10, 3), (3, SplitLimit::Merge));
    assert_eq!(splits(1, 10, 10), (1, SplitLimit::Share));
    assert_eq!(splits(1, 10, 0), (1, SplitLimit::Share));
    // As much as two workgroups can walk.
    assert_eq!(splits(2 * 8 * 64, 2, 10), (2, SplitLimit::Fill));
    assert_eq!(splits(2 * 8 * 64, 1, 10), (2, SplitLimit::Loop));
    assert_eq!(splits(2 * 8 * 64 + 1, 2, 10), (3, SplitLimit::Loop));
}

#[test]
fn one_workgroup_finishes_what_its_lanes_can_walk() {
    assert!(lanes_of_eight(8 * 64).finishes());
    assert!(!lanes_of_eight(8 * 64 + 1).finishes());
}

#[test]
fn resident_is_what_the_channels_of_a_workgroup_take() {
    let resident = |count, fill| {
        let tuning = Tuning {
            fill,
            resident_bytes: 16 * 32 * 4 * 2,
            ..Tuning::CPU_ADAPTER
        };
        lanes_of_eight(count).resident(2, &tuning)
    };
    assert!(resident(32, 2));
    assert!(!resident(33, 2));
    assert!(!resident(32, 3));
}

#[test]
fn long_shares_are_whole_tiles_and_short_ones_whole_rows() {
    let span = |share: usize| {
        let grid = lanes_of_eight(2 * share).grid(1, false, &machine(Tuning::CPU_ADAPTER));
        grid.span as usize
    };
    let tile = 4 * TILE;
    assert_eq!(span(27), 28);
    assert_eq!(span(tile - 4), tile - 4);
    assert_eq!(span(tile), tile);
    assert_eq!(span(tile + 1), 2 * tile);
}
