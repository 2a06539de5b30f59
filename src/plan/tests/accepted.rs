//! Sizes that a file may bring: whatever is accepted can be planned with.

use proptest::prelude::*;

use super::visits::assert_covers;
use super::*;

/// Values at which arithmetic goes wrong: ends, powers of two and what is beside them.
fn odd(most: u64) -> impl Strategy<Value = u64> {
    let around = (0u32..64, -1i64..=1);
    let around = around.prop_map(|(log, beside)| (1u64 << log).saturating_add_signed(beside));
    prop_oneof![
        6 => around.clone().prop_map(move |n| n.min(most)),
        1 => Just(0),
        1 => Just(most),
        3 => 0..=most.min(1 << 11),
    ]
}

/// Powers of two up to what files may hold.
fn width(least: u32) -> impl Strategy<Value = u32> {
    (least.ilog2()..=10).prop_map(|log| 1 << log)
}

/// Whatever is accepted, its ends before all.
fn sizes() -> impl Strategy<Value = Tuning> {
    let widths = (
        width(1),
        width(1),
        width(8),
        odd(1024),
        prop_oneof![Just(1u32), Just(2), Just(4)],
    );
    let rest = (
        odd(1 << 16),
        odd(u64::MAX),
        proptest::option::of(odd(1 << 30)),
        odd(u64::MAX),
        odd(u64::MAX),
        any::<bool>(),
    );
    (widths, rest).prop_map(|(widths, rest)| {
        let (planar_workgroup, planar_team, interleaved_workgroup, columns, lane_columns) = widths;
        let (fill, resident_bytes, workgroup_bytes, cache_bytes, piece_bytes, read_only) = rest;
        let workgroup_bytes = workgroup_bytes.map(|bytes| bytes.max(1 << 10) as usize);
        let planar_workgroup = match workgroup_bytes {
            Some(_) => planar_workgroup.max(128),
            None => planar_workgroup,
        };
        let tuning = Tuning {
            planar_workgroup,
            planar_team: planar_team.min(planar_workgroup),
            interleaved_workgroup,
            interleaved_columns: columns.max(1) as u32,
            lane_columns,
            fill: fill.max(1) as u32,
            resident_bytes: resident_bytes as usize,
            workgroup_bytes,
            cache_bytes,
            piece_bytes: piece_bytes.max(128 << 20),
            read_only,
        };
        assert_eq!(tuning.accepted(), Ok(()));
        tuning
    })
}

fn length() -> impl Strategy<Value = usize> {
    prop_oneof![
        1usize..70,
        odd(1 << 31).prop_map(|n| n.max(1) as usize),
        Just(49),
        Just(127)
    ]
}

fn element() -> impl Strategy<Value = Element> {
    prop_oneof![Just(Element::F32), Just(Element::F16), Just(Element::Bf16)]
}

/// A tensor of up to so many values.
fn tensor(most: usize) -> impl Strategy<Value = View> {
    (length(), length(), length()).prop_map(move |(outer, channels, inner)| {
        // Whatever is too long is cut to what is left.
        let channels = channels.min(most);
        let inner = inner.min(most / channels).max(1);
        view(outer.min(most / channels / inner).max(1), channels, inner)
    })
}

/// Limits of grids hold, and no lane walks further than software adapters let it.
fn assert_sound(schedule: &Schedule, machine: &Machine) {
    let at = format!("{:?} {:?}", schedule.view, machine.tuning);
    let grids = DISPATCHES.into_iter().flat_map(|over| {
        let grids = over.grids(schedule).into_iter();
        grids.map(move |(_, grid)| (over, grid))
    });
    for (over, grid) in grids {
        let [width, height] = grid.dispatch;
        let most = machine.max_groups_per_dimension;
        assert!((1..=most).contains(&width), "{at}");
        assert!((1..=most).contains(&height), "{at}");
        let workgroups = u64::from(grid.groups) * u64::from(grid.splits);
        assert!(workgroups <= u64::from(width) * u64::from(height), "{at}");
        assert!(grid.workgroup <= machine.tuning.widest(), "{at}");
        assert!(grid.rows > 0 && grid.columns > 0, "{at}");
        assert!(
            grid.rows * grid.columns <= grid.team && grid.team <= grid.workgroup,
            "{at}"
        );
        // What only merges walks no tensor.
        let walked = u64::from(grid.span.div_ceil(grid.rows)) * u64::from(grid.lane_columns);
        assert!(
            matches!(over, Over::Merge) || walked <= 32_768 + 64,
            "{at} {over:?}: {walked}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn accepted_sizes_plan_tensors_of_any_size(
        tuning in sizes(),
        view in tensor(1 << 33),
        element in element(),
        binding in prop_oneof![Just(1u64 << 27), Just(1 << 31), Just(u64::MAX)],
    ) {
        let machine = Machine { max_binding_bytes: binding, ..machine(tuning) };
        if let Ok(schedule) = super::super::plan_dense(view, element, &LAYER, &machine) {
            assert_sound(&schedule, &machine);
            for made in [None, Some("2026-11-28T12:00:00Z")] {
                prop_assert!(describe::describe(&schedule, &machine, made).contains("workgroups"));
            }
        }
    }

    #[test]
    fn accepted_sizes_visit_every_element_once(tuning in sizes(), view in tensor(1 << 12)) {
        let schedule = plan_dense(view, &machine(tuning)).unwrap();
        for over in DISPATCHES {
            if !matches!(over, Over::Merge) {
                assert_covers(&schedule, over, &|index| view.channel_of(index));
            }
        }
    }

    #[test]
    fn accepted_sizes_plan_alternating_axes_and_images(
        tuning in sizes(),
        shape in proptest::collection::vec(1usize..40, 2..6),
        first_kept in any::<bool>(),
        pixels in 1usize..1 << 26,
    ) {
        let machine = machine(tuning);
        let (view, axes, innermost) = alternating(&shape, first_kept);
        if let Ok(schedule) = plan_strided(view, axes, innermost, &machine) {
            assert_sound(&schedule, &machine);
        }
        if let Ok(schedule) = plan_image(pixels, &LAYER, &machine) {
            assert_sound(&schedule, &machine);
        }
    }
}

/// What describe says of the sizes' origin.
#[test]
fn plans_say_whose_sizes_they_have() {
    let tuning = Tuning::CPU_ADAPTER;
    let schedule = plan_dense(view(8, 64, 49), &machine(tuning)).unwrap();
    let machine = machine(tuning);
    let of_class = describe::describe(&schedule, &machine, None);
    assert!(
        of_class.contains("sizes of software adapters"),
        "{of_class}"
    );
    assert!(of_class.contains("expected"), "{of_class}");
    let of_file = describe::describe(&schedule, &machine, Some("2026-11-28T12:00:00Z"));
    assert!(
        of_file.contains("sizes of a tuning file made on 2026-11-28T12:00:00Z"),
        "{of_file}"
    );
    // No device of the model's table has them.
    assert!(!of_file.contains("expected"), "{of_file}");
}
