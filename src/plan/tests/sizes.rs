//! Grids, scratch and workgroups.

use super::visits::assert_covers;
use super::*;

/// Workgroups without work cost a launch each: at most one in sixteen, or one a row.
fn assert_folds(workgroups: u64, [x, y]: [u32; 2], most: u32, at: &str) {
    assert!((1..=most).contains(&x) && (1..=most).contains(&y), "{at}");
    let room = u64::from(x) * u64::from(y);
    assert!(room >= workgroups, "{at}: {room} for {workgroups}");
    let idle = room - workgroups;
    assert!(idle <= (workgroups / 16).max(y.into()), "{at}: {idle} idle");
}

#[test]
fn grids_fold_where_a_dimension_is_too_short() {
    let mut folded = 0;
    for tuning in tunings() {
        for view in large_views() {
            let schedule = plan_dense(view, &machine(tuning)).unwrap();
            for (_, grid) in DISPATCHES.iter().flat_map(|over| over.grids(&schedule)) {
                let workgroups = u64::from(grid.groups) * u64::from(grid.splits);
                assert_folds(workgroups, grid.dispatch, 65_535, &format!("{view:?}"));
                folded += usize::from(grid.dispatch[1] > 1);
            }
        }
    }
    assert!(folded > 0);
    // A machine with short dimensions folds as well, and still visits everything.
    let short = Machine {
        max_groups_per_dimension: 7,
        ..machine(Tuning::CPU_ADAPTER)
    };
    let view = view(3, 40, 9);
    let schedule = plan_dense(view, &short).unwrap();
    let grid = schedule.pieces[0].map;
    let workgroups = u64::from(grid.groups) * u64::from(grid.splits);
    assert_folds(workgroups, grid.dispatch, 7, "short dimensions");
    assert!(grid.dispatch[1] > 1);
    assert_covers(&schedule, Over::Map, &|index| view.channel_of(index));
}

#[test]
fn folded_grids_have_room_for_all_and_little_more() {
    let check = |total: u64, most: u32| {
        assert_folds(
            total,
            fold(total, most),
            most,
            &format!("{total} by {most}"),
        );
    };
    for total in 1..=1_000_000 {
        check(total, 65_535);
    }
    for most in [1, 2, 7, 64] {
        (1..=u64::from(most * most)).for_each(|total| check(total, most));
    }
    // Around each row more, up to the last that there can be.
    let most = 65_535;
    for rows in 1..=u64::from(most) {
        for beside in [-1, 0, 1, 2, 1009, 30_011] {
            let total = (rows * u64::from(most)).saturating_add_signed(beside);
            if total <= u64::from(most) * u64::from(most) {
                check(total, most);
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
        for (x, y) in (0..height).flat_map(|y| (0..width).map(move |x| (x, y))) {
            if let Some(ran) = ran.get_mut((y * width + x) as usize) {
                *ran += 1;
            }
        }
        assert!(ran.iter().all(|&n| n == 1), "{total}");
    }
}

/// As [`Plan::workspace_bytes`](crate::Plan::workspace_bytes) says.
#[test]
fn scratch_is_bounded() {
    for tuning in tunings() {
        for view in large_views() {
            let (channels, tensor) = (view.channels() as u64, view.len() as u64 * 4);
            for schedule in large_plans(view, tuning) {
                let bytes = schedule.workspace_bytes();
                let pieces = schedule.pieces.len() as u64;
                let bound = (32 * channels * pieces).max(tensor / 25).max(1 << 20);
                assert!(bytes > 0 && bytes <= bound, "{view:?}: {bytes} > {bound}");
            }
        }
    }
}

/// Each workgroup of a map reads all partials of its channels, of 16 bytes each, unless one dispatch folds them.
/// Where a channel has more than one in each piece, that is less than the tensor is.
#[test]
fn merging_reads_less_than_the_tensor() {
    for tuning in [Tuning::CPU_ADAPTER, Tuning::DISCRETE] {
        for view in large_views() {
            for schedule in large_plans(view, tuning) {
                let partials = u64::from(schedule.partials);
                let least = schedule.partials as usize == schedule.pieces.len();
                let maps = schedule
                    .pieces
                    .iter()
                    .map(|piece| u64::from(piece.map.splits));
                let readers = if schedule.folds { 1 } else { maps.sum() };
                let few = readers * partials * 16 <= view.count() as u64 * 4;
                assert!(least || few, "{view:?}: {partials}");
            }
        }
    }
}

/// The largest GPUs have 132 multiprocessors: none is without work on a tensor of 100 MB.
#[test]
fn large_tensors_give_each_multiprocessor_work() {
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
    let few_channels = [view(1, 3, 10_000_000), view(10_000_000, 3, 1)];
    let views = planar.into_iter().chain(interleaved).chain(few_channels);
    let mut large = 0;
    for view in views.filter(|view| view.len() * 4 > 100_000_000) {
        large += 1;
        let schedule = plan_dense(view, &machine(Tuning::DISCRETE)).unwrap();
        let [piece] = &schedule.pieces[..] else {
            panic!("{view:?} is cut");
        };
        for grid in [piece.reduce, piece.map, piece.apply] {
            assert!(grid.groups * grid.splits >= 132, "{view:?} {grid:?}");
        }
    }
    assert!(large >= 6, "{large}");
}

#[test]
fn the_same_question_has_the_same_answer() {
    for tuning in tunings() {
        for view in views() {
            let machine = machine(tuning);
            assert_eq!(plan_dense(view, &machine), plan_dense(view, &machine));
        }
    }
}

#[test]
fn a_tuning_tells_its_class() {
    for class in DeviceClass::ALL {
        assert_eq!(DeviceClass::of(&class.tuning()), Some(class));
    }
    assert_eq!(DeviceClass::of(&tunings()[2]), None);
}

/// One dispatch needs the channel in one piece, and a lane that can finish its share.
#[test]
fn one_dispatch_does_what_a_workgroup_can_finish() {
    let resident = |view: View, machine: &Machine| {
        let schedule = plan_dense(view, machine).unwrap();
        [schedule.resident_train, schedule.resident_backward].map(|grid| grid.is_some())
    };
    // A small tensor is one dispatch.
    let cpu = machine(Tuning::CPU_ADAPTER);
    assert_eq!(resident(view(2, 64, 7), &cpu), [true, true]);
    assert_eq!(resident(view(2, 64, 7), &narrow(2048)), [false, false]);
    let endless = Tuning {
        fill: 1,
        resident_bytes: usize::MAX >> 8,
        workgroup_bytes: None,
        read_only: false,
        ..Tuning::CPU_ADAPTER
    };
    let beyond = view(1, 1, 1 << 22);
    assert_eq!(resident(beyond, &machine(endless)), [false, false]);
}
