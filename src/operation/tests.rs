//! The table of buffers against the shaders, and what dispatches are told.

use std::collections::HashSet;

use super::params::flags;
use super::*;
use crate::config::{Affine, Config};
use crate::element::Element;
use crate::error::ConfigError;
use crate::plan::hardware::H100;
use crate::plan::model::{Work, expect};
use crate::plan::{DeviceClass, Machine, Schedule, Tuning, plan_dense, plan_image};
use crate::shaders::{Conversion, Kernel, Role, TexelFormat, render_source, roles_of};
use crate::shape::View;
use crate::weights::{Broadcast, Outside};

fn machine(max_binding_bytes: u64) -> Machine {
    Machine {
        max_groups_per_dimension: 65_535,
        max_binding_bytes,
        binding_limit: "max_storage_buffer_binding_size",
        tuning: DeviceClass::Cpu.tuning(),
    }
}

/// Channels that one dispatch holds, split ones, and those of a tensor in pieces.
fn schedules() -> Vec<Schedule> {
    let needs = Operation::Train.needs();
    let plan = |outer, channels, inner, bytes| {
        let view = View::from_lengths(outer, channels, inner).unwrap();
        plan_dense(view, Element::F32, &needs, &machine(bytes)).unwrap()
    };
    let schedules = vec![
        plan(2, 64, 7, 1 << 27),
        plan(1, 2, 100_000, 1 << 27),
        plan(9, 5, 77, 1 << 13),
    ];
    assert!(schedules[0].resident_train.is_some() && schedules[0].resident_backward.is_some());
    assert!(schedules[1].resident_train.is_none() && schedules[1].partials > 1);
    assert!(schedules[2].pieces.len() > 1);
    schedules
}

fn image() -> Schedule {
    plan_image(100, &Operation::ImageTrain.needs(), &machine(1 << 27)).unwrap()
}

/// Everything that the operation may be given, given.
fn all(operation: Operation) -> Asked {
    let mut asked = Asked {
        format: Some(TexelFormat::Rgba16Float),
        other_count: 7.0,
        tensor: matches!(
            operation,
            Operation::ImageToTensor | Operation::ImageFromTensor
        )
        .then_some(ImageTensor {
            planar: true,
            alpha: true,
        }),
        ..Asked::default()
    };
    operation
        .buffers()
        .iter()
        .for_each(|buffer| asked.give(buffer.role));
    asked
}

/// The same without weights and with them, where it may be given some.
fn all_ways(operation: Operation) -> Vec<Asked> {
    let plain = all(operation);
    let mut ways = vec![plain];
    if plain.has(Role::Weights) {
        ways.push(Asked {
            weights: Some(AskedWeights {
                places: Broadcast::SAME,
                outside: Outside::Zero,
                per_weight: false,
            }),
            ..plain
        });
    }
    ways
}

fn schedules_of(operation: Operation) -> Vec<Schedule> {
    match operation {
        Operation::ImageTrain
        | Operation::ImageInference
        | Operation::ImageStatistics
        | Operation::ImageToTensor
        | Operation::ImageFromTensor => vec![image()],
        _ => schedules(),
    }
}

/// What the model predicts is what runs: the same kernels, on as many workgroups.
#[test]
fn the_model_expects_the_dispatches_that_run() {
    let needs = Operation::Train.needs();
    let mut schedules = schedules();
    for class in [DeviceClass::Discrete, DeviceClass::Integrated] {
        for (outer, channels, inner) in [(32, 64, 3136), (8192, 4096, 1), (64, 512, 49)] {
            let machine = Machine {
                tuning: class.tuning(),
                ..machine(1 << 27)
            };
            let view = View::from_lengths(outer, channels, inner).unwrap();
            schedules.push(plan_dense(view, Element::F32, &needs, &machine).unwrap());
        }
    }
    assert!(schedules.iter().any(|schedule| schedule.folds));
    assert!(schedules.iter().any(|schedule| schedule.reversed));
    for (work, operation) in [
        (Work::Train, Operation::Train),
        (Work::Inference, Operation::Inference),
        (Work::Backward, Operation::Backward),
        (Work::Frozen, Operation::BackwardFrozen),
        (Work::Moments, Operation::Moments),
    ] {
        for schedule in &schedules {
            let steps = operation.steps(&Config::pytorch(), schedule, &all(operation));
            let mut run: Vec<_> = steps
                .iter()
                .map(|step| {
                    let grid = &step.grid;
                    let workgroups = u64::from(grid.groups) * u64::from(grid.splits);
                    (step.variant.kernel.name(), workgroups, grid.workgroup)
                })
                .collect();
            let expected = expect(work, schedule, &H100);
            let mut expected: Vec<_> = expected
                .iter()
                .map(|dispatch| (dispatch.kernel, dispatch.workgroups, dispatch.lanes))
                .collect();
            // A reversed pass takes its pieces the other way round.
            run.sort_unstable();
            expected.sort_unstable();
            assert_eq!(run, expected, "{operation:?} {:?}", schedule.view);
        }
    }
}

/// A second pass alone goes backwards, its pieces too, and that only behind a first.
#[test]
fn second_passes_go_backwards_where_the_plan_says_so() {
    let needs = Operation::Train.needs();
    let machine = Machine {
        tuning: Tuning {
            cache_bytes: 1 << 10,
            ..Tuning::DISCRETE
        },
        ..machine(1 << 20)
    };
    let view = View::from_lengths(4, 3, 100_000).unwrap();
    let schedule = plan_dense(view, Element::F32, &needs, &machine).unwrap();
    assert!(schedule.reversed && schedule.pieces.len() > 1);
    for operation in Operation::ALL {
        if !matches!(schedules_of(operation).len(), 3) {
            continue;
        }
        let steps = operation.steps(&Config::pytorch(), &schedule, &all(operation));
        let (turned, others): (Vec<_>, Vec<_>) = steps
            .iter()
            .partition(|step| step.params.flags & flags::REVERSED != 0);
        let expected = matches!(operation, Operation::Train | Operation::Backward);
        assert_eq!(!turned.is_empty(), expected, "{operation:?}");
        assert!(turned.is_sorted_by(|a, b| a.piece.start > b.piece.start));
        for step in turned {
            assert!(matches!(
                step.variant.kernel,
                Kernel::Normalize | Kernel::BackwardDx
            ));
        }
        let reduces = |step: &&&Step| matches!(step.variant.kernel, Kernel::Moments);
        let firsts: Vec<_> = others.iter().filter(reduces).collect();
        assert!(firsts.is_sorted_by(|a, b| a.piece.start < b.piece.start));
    }
}

#[test]
fn a_table_names_each_role_once() {
    let mut names = HashSet::new();
    for operation in Operation::ALL {
        let buffers = operation.buffers();
        let roles: HashSet<_> = buffers.iter().map(|buffer| buffer.role).collect();
        let words: HashSet<_> = buffers.iter().map(|buffer| buffer.name).collect();
        assert_eq!((roles.len(), words.len()), (buffers.len(), buffers.len()));
        names.insert(operation.name());
    }
    // Both ways to render are one operation to a profiler.
    assert_eq!(names.len(), Operation::ALL.len() - 1);
}

/// No buffer is asked for that no kernel binds.
#[test]
fn every_buffer_is_bound_by_a_kernel() {
    for operation in Operation::ALL {
        let mut bound = HashSet::new();
        for schedule in schedules_of(operation) {
            for asked in all_ways(operation) {
                let steps = operation.steps(&Config::pytorch(), &schedule, &asked);
                bound.extend(steps.iter().flat_map(|step| step.variant.roles()));
            }
        }
        if operation.kernels(&image(), &Asked::default()).is_empty() {
            bound.extend(roles_of(&render_source(Conversion::Unorm)));
        }
        for buffer in operation.buffers() {
            assert!(bound.contains(&buffer.role), "{operation:?} {buffer:?}");
        }
    }
}

/// What a kernel writes or reads, it finds: what it names and the operation has no buffer for is
/// behind a flag or a constant that is off.
#[test]
fn what_a_kernel_needs_is_in_the_table() {
    let optional = [
        (Kernel::Normalize, Role::Given, flags::FROM_MOMENTS),
        (Kernel::TrainFinish, Role::Given, flags::FROM_MOMENTS),
        (Kernel::TrainFinish, Role::Affine, flags::HAS_WEIGHT),
        (Kernel::Normalize, Role::Affine, flags::HAS_WEIGHT),
        (Kernel::BackwardDx, Role::Grads, flags::HAS_GRADS),
    ];
    for operation in Operation::ALL {
        let ways = all_ways(operation);
        let schedules = schedules_of(operation);
        let cases = schedules
            .iter()
            .flat_map(|s| ways.iter().map(move |w| (s, w)));
        for (schedule, asked) in cases {
            for step in operation.steps(&Config::pytorch(), schedule, asked) {
                let kernel = step.variant.kernel;
                for role in step.variant.roles() {
                    let off = optional.iter().any(|&(of, what, flag)| {
                        (of, what) == (kernel, role) && step.params.flags & flag == 0
                    });
                    let constant = matches!(role, Role::Residual | Role::Dresidual)
                        && !step.constants.residual
                        || role == Role::Dresidual && !step.constants.dresidual;
                    // Over no pixels, or with y over x.
                    let empty = step.params.count == 0 || step.constants.in_place;
                    let unused = empty && matches!(role, Role::X | Role::Out | Role::Affine);
                    let axes = role == Role::WeightAxes && asked.weights.is_some();
                    let known = asked.has(role) || axes || off || constant || unused;
                    assert!(known, "{operation:?} {kernel:?} {role:?}");
                }
            }
        }
    }
}

#[test]
fn sizes_limit_what_has_them() {
    let needs = |operation: Operation| {
        let needs = operation.needs();
        (needs.what, needs.rows, needs.workspace)
    };
    assert_eq!(needs(Operation::Train), ("saved statistics", 5, true));
    assert_eq!(needs(Operation::Moments), ("moments", 3, true));
    assert_eq!(needs(Operation::Normalize), ("statistics", 3, false));
    assert_eq!(needs(Operation::Inference), ("running", 3, false));
    // A layer's plan is for all of these.
    let longest = Operation::ALL.iter().map(|op| op.needs().rows).max();
    assert_eq!(longest, Some(Operation::Train.needs().rows));
}

fn flags_of(operation: Operation, config: &Config, asked: &Asked) -> Vec<Vec<u32>> {
    let steps = |schedule: &Schedule| {
        let steps = operation.steps(config, schedule, asked);
        steps.iter().map(|step| step.params.flags).collect()
    };
    schedules_of(operation).iter().map(steps).collect()
}

#[test]
fn running_statistics_move_once_where_they_are_given() {
    let config = Config::pytorch();
    let moves = |flags: &[u32]| -> Vec<bool> {
        let moves = |flags: &u32| flags & flags::HAS_RUNNING != 0;
        flags.iter().map(moves).collect()
    };
    for operation in [
        Operation::Train,
        Operation::ImageTrain,
        Operation::ImageStatistics,
    ] {
        let mut asked = all(operation);
        for flags in flags_of(operation, &config, &asked) {
            let moves = moves(&flags);
            // Of a tensor in pieces, every dispatch knows; the one of a channel's first partial moves.
            assert!(moves.last().unwrap() & (moves.len() == 1 || !moves[0]));
        }
        asked.given &= !(1 << Role::Statistics as u32);
        let kept = config.without_running();
        let none = flags_of(operation, &kept, &asked);
        assert!(none.iter().all(|flags| !moves(flags).contains(&true)));
    }
    let asked = all(Operation::BackwardFrozen);
    let frozen = flags_of(Operation::BackwardFrozen, &config, &asked);
    assert!(frozen.iter().all(|flags| !moves(flags).contains(&true)));
}

#[test]
fn flags_say_what_was_given() {
    let config = Config::pytorch();
    let last = |operation, asked: &Asked| {
        let flags = flags_of(operation, &config, asked);
        *flags[1].last().unwrap()
    };
    let affine = flags::HAS_WEIGHT | flags::HAS_BIAS;
    let mut asked = all(Operation::Backward);
    let flags = last(Operation::Backward, &asked);
    assert_eq!(flags, affine | flags::HAS_GRADS | flags::HAS_DX);
    asked.accumulate = true;
    assert_ne!(last(Operation::Backward, &asked) & flags::ACCUMULATE, 0);
    // The sums of a whole batch are no gradients to be written.
    let flags = last(Operation::BackwardPart, &all(Operation::BackwardPart));
    assert_eq!(flags, affine | flags::HAS_DX | flags::FROM_SUMS);
    let flags = last(Operation::TrainPart, &all(Operation::TrainPart));
    assert_ne!(flags & flags::FROM_MOMENTS, 0);
    // A weight alone, or none.
    let config = config.with_affine(Affine::Weight);
    let flags = flags_of(Operation::Inference, &config, &all(Operation::Inference));
    assert_eq!(flags[0][0] & affine, flags::HAS_WEIGHT);
    let none = Config::pytorch().with_affine(Affine::None);
    let flags = flags_of(Operation::Inference, &none, &all(Operation::Inference));
    assert_eq!(flags[0][0] & affine, 0);
}

#[test]
fn counts_are_those_of_the_whole_batch() {
    let schedule = &schedules()[1];
    let total = |operation: Operation, asked: &Asked| {
        let steps = operation.steps(&Config::pytorch(), schedule, asked);
        let params = steps.last().unwrap().params;
        (params.total, params.given_total)
    };
    let mut asked = all(Operation::Train);
    assert_eq!(total(Operation::Train, &asked), (100_000.0, 7.0));
    asked.count = Some(400_000.0);
    assert_eq!(total(Operation::TrainPart, &asked), (400_000.0, 7.0));
    assert_eq!(total(Operation::MergeMoments, &asked), (400_000.0, 7.0));
}

#[test]
fn a_kernel_without_an_activation_has_one_pipeline() {
    let activated = Config::pytorch().with_activation(crate::Activation::Gelu);
    let constants = |config: &Config| {
        let steps = Operation::Backward.steps(config, &schedules()[1], &Asked::default());
        steps.iter().map(|step| step.constants).collect::<Vec<_>>()
    };
    let (plain, gelu) = (constants(&Config::pytorch()), constants(&activated));
    assert_ne!(plain[0], gelu[0]);
    assert_eq!(plain[1], gelu[1]);
}

#[test]
fn the_statistics_of_an_image_write_no_pixel() {
    let operation = Operation::ImageStatistics;
    let steps = operation.steps(&Config::pytorch(), &image(), &all(operation));
    let counts: Vec<_> = steps.iter().map(|step| step.params.count).collect();
    assert_eq!(counts, [100, 0]);
    assert_eq!(steps[1].params.total, 100.0);
}

#[test]
fn options_that_rule_an_operation_out_are_told() {
    let view = View::from_lengths(1, 3, 1).unwrap();
    let refused = |operation: Operation, config: &Config, asked: &Asked| {
        operation.validate(config, &view, asked).unwrap_err()
    };
    let (config, asked) = (Config::pytorch(), Asked::default());
    for operation in [
        Operation::Train,
        Operation::ImageTrain,
        Operation::TrainPart,
    ] {
        let refused = refused(operation, &config, &asked);
        assert!(matches!(refused, ConfigError::OneValuePerChannel { .. }));
    }
    // The sums of one value are a part's; its dx is that of a batch.
    assert!(Operation::Backward.validate(&config, &view, &asked).is_ok());
    let whole = all(Operation::Backward);
    assert!(
        Operation::Backward
            .validate(&config, &view, &whole)
            .is_err()
    );
    let none = config.without_running();
    for operation in [Operation::Inference, Operation::BackwardFrozen] {
        let refused = refused(operation, &none, &asked);
        assert_eq!(refused, ConfigError::NoRunningStatistics);
    }
}
