//! The planner against a simulation of what the shaders do with its grids.

use super::*;

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
        fill,
    };
    vec![
        Tuning::CPU_ADAPTER,
        Tuning::GPU,
        cut(64, 16, 40, 77),
        cut(32, 1, 8, 5),
        cut(6, 3, 24, 1),
    ]
}

fn view(outer: usize, channels: usize, inner: usize) -> View {
    View {
        outer,
        channels,
        inner,
    }
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
    let (channels, count) = (view.channels as u32, view.count() as u32);
    let (team, in_team) = (index / grid.team, index % grid.team);
    let (row, column) = (in_team / grid.columns, in_team % grid.columns);
    let channel = (workgroup / grid.splits) * grid.columns + column;
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
fn dense_walk(view: &View, grid: &Grid, lane: &Lane) -> impl Iterator<Item = u32> + use<> {
    let (channels, inner) = (view.channels as u32, view.inner as u32);
    let outer = lane.first / inner;
    let mut place = lane.first % inner;
    // A lane with nothing to do has an address that nobody reads.
    let mut address = (outer.wrapping_mul(channels).wrapping_add(lane.channel))
        .wrapping_mul(inner)
        .wrapping_add(place);
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
    let address = |table: [[u32; 4]; 4], mut rest: u32| -> u32 {
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

/// Every element is visited exactly once, by a lane of its own channel; every channel's partials
/// are written once each, and every workgroup lies in the dispatch.
fn assert_covers(schedule: &Schedule, grid: &Grid, channel_of: &dyn Fn(usize) -> usize) {
    let view = &schedule.view;
    let mut visits = vec![0u8; view.len()];
    let mut writers = vec![0u8; view.channels * grid.splits as usize];
    let workgroups = grid.groups * grid.splits;
    let [width, height] = grid.dispatch;
    assert!(workgroups <= width * height && workgroups > width * (height - 1));
    let teams = grid.workgroup / grid.team;
    assert_eq!(grid.workgroup % grid.team, 0);
    assert_eq!(grid.slots, grid.rows * teams);
    assert!(grid.slots * grid.columns <= grid.workgroup);
    for workgroup in 0..workgroups {
        for index in 0..grid.workgroup {
            let lane = locate(view, grid, workgroup, index);
            if lane.live && lane.slot == 0 {
                writers[lane.channel as usize * grid.splits as usize + lane.split as usize] += 1;
            }
            let mut visit = |address: u32| {
                let address = address as usize;
                assert_eq!(channel_of(address), lane.channel as usize, "{grid:?}");
                visits[address] += 1;
            };
            match &schedule.axes {
                None => dense_walk(view, grid, &lane).for_each(&mut visit),
                Some(axes) => strided_walk(axes, grid, &lane).for_each(&mut visit),
            }
        }
    }
    assert!(visits.iter().all(|&n| n == 1), "{view:?} {grid:?}");
    assert!(writers.iter().all(|&n| n == 1), "{view:?} {grid:?}");
}

#[test]
fn dense_grids_visit_every_element_once() {
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
    ];
    for outer in [1, 2, 7, 64] {
        for channels in [1, 3, 257] {
            for inner in [1, 2, 49, 221] {
                views.push(view(outer, channels, inner));
            }
        }
    }
    for tuning in tunings() {
        for view in &views {
            let schedule = plan_dense(*view, &machine(tuning)).unwrap();
            for grid in [
                schedule.pieces[0].reduce,
                schedule.pieces[0].map,
                schedule.merge,
            ] {
                assert_covers(&schedule, &grid, &|index| view.channel_of(index));
            }
        }
    }
}

/// No axis at all.
const ONES: Axes = Axes {
    kept: [[1, 0, 0, 0]; 4],
    reduced: [[1, 0, 0, 0]; 4],
};

/// The axes of `shape`, in memory order, of which every second one is kept.
fn alternating(shape: &[usize], first_kept: bool) -> (View, Axes, bool) {
    let kept = |k: usize| (k % 2 == 0) == first_kept;
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
    let shapes: [&[usize]; 7] = [
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
                        if (k % 2 == 0) == first_kept {
                            channel += rest % len * weight;
                            weight *= len;
                        }
                        rest /= len;
                    }
                    channel
                };
                let schedule = plan_strided(view, axes, innermost, &machine(tuning)).unwrap();
                for grid in [
                    schedule.pieces[0].reduce,
                    schedule.pieces[0].map,
                    schedule.merge,
                ] {
                    assert_covers(&schedule, &grid, &channel_of);
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

#[test]
fn no_lane_loops_beyond_its_budget() {
    for tuning in tunings() {
        let machine = machine(tuning);
        for view in large_views() {
            let dense = plan_dense(view, &machine).unwrap();
            assert_budget(&dense, 32_768);
            for innermost in [true, false] {
                let strided = plan_strided(view, ONES, innermost, &machine).unwrap();
                assert_budget(&strided, 8_192);
            }
        }
    }
}

fn assert_budget(schedule: &Schedule, positions: u32) {
    for grid in [schedule.pieces[0].reduce, schedule.pieces[0].map] {
        let at = format!("{:?} {grid:?}", schedule.view);
        assert!(grid.span.div_ceil(grid.rows) <= positions, "{at}");
        // No index on the way leaves 32 bits.
        let teams = u64::from(grid.workgroup / grid.team);
        let reach = u64::from(grid.splits) * teams * u64::from(grid.span);
        assert!(reach + u64::from(grid.rows) <= 1 << 32, "{at}");
        let workgroups = u64::from(grid.groups) * u64::from(grid.splits);
        assert!(workgroups < 1 << 32, "{at}");
        // The last workgroup has work.
        assert!(
            u64::from(grid.splits - 1) * teams * u64::from(grid.span)
                < schedule.view.count() as u64
        );
    }
    assert_eq!(schedule.merge.splits, 1);
    assert_eq!(schedule.merge.slots, schedule.pieces[0].map.slots);
}

#[test]
fn merging_takes_short_chains() {
    for tuning in [Tuning::CPU_ADAPTER, Tuning::GPU] {
        for view in large_views() {
            let dense = plan_dense(view, &machine(tuning)).unwrap();
            assert_short_chains(&dense);
            // Strided lanes walk less, so there are more of them to merge: 4 GiB is the end.
            if view.len() <= 1 << 30 {
                let strided = plan_strided(view, ONES, true, &machine(tuning)).unwrap();
                assert_short_chains(&strided);
            }
        }
    }
}

/// A lane's share of the partials is a cascade of 16 by 16 by at most 32.
fn assert_short_chains(schedule: &Schedule) {
    let pushed = schedule.pieces[0]
        .reduce
        .splits
        .div_ceil(schedule.pieces[0].map.slots);
    assert!(pushed <= 16 * 16 * 32, "{:?}: {pushed}", schedule.view);
}

#[test]
fn grids_fold_where_a_dimension_is_too_short() {
    let folded = |view, tuning| plan_dense(view, &machine(tuning)).unwrap().pieces[0].map;
    let grid = folded(view(1, 200_000, 7), Tuning::CPU_ADAPTER);
    assert_eq!((grid.groups, grid.splits), (200_000, 1));
    assert_eq!(grid.dispatch, [65_535, 4]);
    for tuning in tunings() {
        for view in large_views() {
            let schedule = plan_dense(view, &machine(tuning)).unwrap();
            for grid in [
                schedule.pieces[0].reduce,
                schedule.pieces[0].map,
                schedule.merge,
            ] {
                let [width, height] = grid.dispatch;
                let room = u64::from(width) * u64::from(height);
                let workgroups = u64::from(grid.groups) * u64::from(grid.splits);
                assert!(width <= 65_535 && height <= 65_535, "{view:?} {grid:?}");
                assert!((workgroups..workgroups + u64::from(width)).contains(&room));
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
    assert_covers(&schedule, &schedule.pieces[0].map, &|index| {
        view.channel_of(index)
    });
}

#[test]
fn scratch_stays_small() {
    for tuning in tunings() {
        for view in large_views() {
            let schedule = plan_dense(view, &machine(tuning)).unwrap();
            let (channels, tensor) = (view.channels as u64, view.len() as u64 * 4);
            let bytes = schedule.workspace_bytes();
            assert!(bytes >= channels * 16);
            // One partial a channel, or a fraction of the tensor.
            let bound = (channels * 16).max(tensor / 8);
            assert!(bytes <= bound, "{view:?}: {bytes} > {bound}");
        }
    }
}

#[test]
fn few_channels_fill_the_device() {
    for tuning in [Tuning::CPU_ADAPTER, Tuning::GPU] {
        for view in [view(1, 3, 10_000_000), view(10_000_000, 3, 1)] {
            let schedule = plan_dense(view, &machine(tuning)).unwrap();
            let grid = schedule.pieces[0].reduce;
            assert!(grid.groups * grid.splits >= tuning.fill * 3 / 4, "{grid:?}");
        }
    }
}

/// A machine whose bindings hold so many bytes.
fn narrow(max_binding_bytes: u64) -> Machine {
    Machine {
        max_binding_bytes,
        ..machine(Tuning::GPU)
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
        let mut next = 0;
        let mut partials = vec![0u32; view.channels];
        for piece in &schedule.pieces {
            assert_eq!(piece.start, next);
            next += piece.view.len();
            assert!(piece.binding_len() as u64 * 4 <= limit.min(1 << 33));
            assert_eq!(piece.binding_start() % 64, 0);
            for c in piece.first_channel..piece.first_channel + piece.view.channels {
                assert_eq!(
                    piece.first_partial, partials[c],
                    "partials follow each other"
                );
                partials[c] += piece.reduce.splits;
                assert_eq!(
                    view.channel_of(piece.start + (c - piece.first_channel) * view.inner),
                    c
                );
            }
        }
        assert_eq!(next, view.len());
        assert!(partials.iter().all(|&n| n == schedule.partials), "{view:?}");
    }
}

#[test]
fn a_pieces_grid_visits_every_element_of_it() {
    for view in [
        view(9, 5, 77),
        view(3, 7, 900),
        view(2, 3, 5000),
        view(9001, 2, 1),
    ] {
        let schedule = plan_dense(view, &narrow(8192)).unwrap();
        for piece in &schedule.pieces {
            let alone = Schedule {
                view: piece.view,
                ..schedule.clone()
            };
            assert_covers(&alone, &piece.reduce, &|index| piece.view.channel_of(index));
        }
    }
}

#[test]
fn what_cannot_be_cut_is_refused_by_the_limits_name() {
    let small = narrow(1 << 27);
    assert!(plan_strided(view(1 << 22, 8, 1), ONES, true, &small).is_ok());
    let refused = plan_strided(view((1 << 22) + 1, 8, 1), ONES, true, &small);
    let expected = PlanError::TooLarge {
        got: (1 << 27) + 32,
        limit: "max_storage_buffer_binding_size",
        max: 1 << 27,
    };
    assert_eq!(refused, Err(expected));

    // Without such a limit, 32-bit indices are one.
    let refused = plan_strided(view((1 << 28) + 1, 8, 1), ONES, true, &machine(Tuning::GPU));
    let PlanError::TooLarge { limit, max, .. } = refused.unwrap_err() else {
        panic!("expected TooLarge");
    };
    assert_eq!((limit, max), ("what 32-bit indices reach", 1 << 33));

    // Scratch is one binding.
    let refused = plan_dense(view(2, 1 << 23, 1), &narrow(1 << 20));
    assert!(matches!(refused, Err(PlanError::TooLarge { .. })));
}
