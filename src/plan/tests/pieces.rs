//! Tensors larger than a binding.

use super::super::pieces::ranges;
use super::super::schedule::MAX_PIECES;
use super::limits::assert_32_bits_suffice;
use super::*;

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
fn parts_are_few() {
    for most in [1, 2, 7, 64, 1000] {
        for len in 1..3000usize {
            let parts: Vec<_> = ranges(len, most).collect();
            assert_eq!(parts.len(), len.div_ceil(most), "{len} by {most}");
            let mut next = 0;
            for &(start, part) in &parts {
                assert_eq!(start, next);
                assert!((1..=most).contains(&part));
                next += part;
            }
            assert_eq!(next, len);
        }
    }
}

/// Pieces follow each other without gaps, their bindings hold them, and so do their partials.
pub(super) fn assert_tiles(schedule: &Schedule, limit: u64) {
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

#[test]
fn tensors_beyond_a_binding_are_cut() {
    let small = narrow(1 << 27);
    let pieces = |view, machine: &Machine| plan_dense(view, machine).unwrap().pieces.len();
    assert_eq!(pieces(view(1, 8, 1 << 22), &small), 1);
    assert_eq!(pieces(view(1, 8, (1 << 22) + 1), &small), 2);
    // Four bindings' worth, or one more: pieces start where bindings may.
    assert!((4..=5).contains(&pieces(view(1, 1, 1 << 27), &small)));
    // Without such a limit, 32-bit sizes are one.
    let unlimited = narrow(u64::MAX);
    assert_eq!(pieces(view(1, 8, (1 << 27) - 8), &unlimited), 1);
    assert_eq!(pieces(view(1, 8, 1 << 27), &unlimited), 2);
    assert!(pieces(view(2, 8, (1 << 27) + 1), &unlimited) > 2);
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
                    let schedule =
                        super::super::plan_dense(view, element, &LAYER, &machine).unwrap();
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
    let unlimited = narrow(u64::MAX);
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
        super::super::plan_strided(view, Element::F16, ONES, true, &MOMENTS, &unlimited)
    };
    assert_eq!(refused(strided(most + 1)), "a tensor");
    assert_eq!(refused(strided(most)), "moments");
    let most = (LARGEST_BINDING / 12) as usize;
    assert_eq!(refused(strided(most)), "a workspace");
    assert!(strided((LARGEST_BINDING / 16) as usize).is_ok());
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
    let unlimited = narrow(u64::MAX);
    assert!(plan_strided(view((1 << 27) - 8, 8, 1), ONES, true, &unlimited).is_ok());
    let refused = plan_strided(view((1 << 27) - 7, 8, 1), ONES, true, &unlimited);
    let PlanError::TooLarge { limit, max, .. } = refused.unwrap_err() else {
        panic!("expected TooLarge");
    };
    assert_eq!((limit, max), ("what 32-bit sizes reach", LARGEST_BINDING));
}

#[test]
fn the_limit_of_pieces_counts_bytes() {
    let machine = narrow(1024);
    let most = (MAX_PIECES * 1024 / 2) as usize;
    let refused = |values: usize| {
        let plan = super::super::plan_dense(view(1, 1, values), Element::F16, &LAYER, &machine);
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
