//! Loops, chains and 32-bit arithmetic stay within their limits.

use super::pieces::assert_tiles;
use super::visits::assert_lanes_are_where_they_should;
use super::*;

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
    let maps = schedule.pieces.iter().map(|piece| piece.map);
    let merge = maps.filter(|_| !schedule.folds).chain([schedule.merge]);
    for grid in merge {
        let pushed = schedule.partials.div_ceil(grid.slots);
        assert!(pushed <= 16 * 16 * 32, "{:?}: {pushed}", schedule.view);
    }
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
pub(super) fn assert_32_bits_suffice(schedule: &Schedule) {
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
    let rows = grid.team / grid.columns / grid.adjacent * grid.adjacent;
    assert_eq!(rows, grid.rows, "{at}");
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
