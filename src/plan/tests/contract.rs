//! What plans for GPUs must be, tensor by tensor: enough bytes in flight, even work, few partials, lanes and memory
//! sectors used.

use super::super::figures::Figures;
use super::super::hardware::H100;
use super::super::instructions::Body;
use super::*;

/// Registers that a kernel may take, and those of a workgroup that holds channels in them.
const REGISTERS: u32 = 80;
const HELD_REGISTERS: u32 = 32_768;
/// Bytes that a multiprocessor of it wants in flight.
const IN_FLIGHT: u64 = 48 << 10;
/// Above so many bytes there is work enough for each multiprocessor to have its share.
pub(super) const LARGE: u64 = 25_000_000;

/// A tensor that users bring.
pub(super) struct Tensor {
    pub(super) name: String,
    pub(super) view: View,
    pub(super) element: Element,
}

pub(super) fn tensors() -> Vec<Tensor> {
    let mut views = Vec::new();
    // ResNet-50 at a batch of 32: every batch normalization in it.
    let layers = [
        (64, 112),
        (64, 56),
        (256, 56),
        (128, 56),
        (128, 28),
        (512, 28),
        (256, 28),
        (256, 14),
        (1024, 14),
        (512, 14),
        (512, 7),
        (2048, 7),
    ];
    for (channels, side) in layers {
        let name = format!("32×{channels}×{side}×{side}");
        views.push((format!("{name} NCHW"), view(32, channels, side * side)));
        views.push((format!("{name} NHWC"), view(32 * side * side, channels, 1)));
    }
    for (rows, channels) in [(4096, 512), (256, 1024), (50_176, 64), (8192, 4096)] {
        views.push((format!("{rows}×{channels}"), view(rows, channels, 1)));
    }
    // Short runs.
    for (rows, channels, inner) in [
        (50_000, 64, 2),
        (20_000, 96, 4),
        (20_000, 64, 6),
        (10_000, 70, 9),
    ] {
        views.push((
            format!("{rows}×{channels}×{inner}"),
            view(rows, channels, inner),
        ));
    }
    views.push(("1×3×3000000".to_owned(), view(1, 3, 3_000_000)));
    views.push((
        "1920×1080, three channels".to_owned(),
        view(1, 3, 1920 * 1080),
    ));
    views.push((
        "1920×1080, four channels".to_owned(),
        view(1920 * 1080, 4, 1),
    ));
    let elements = [Element::F32, Element::F16];
    let each = |(name, view): (String, View)| {
        elements.map(|element| Tensor {
            name: format!("{name} {element:?}"),
            view,
            element,
        })
    };
    views.into_iter().flat_map(each).collect()
}

/// The dispatches that walk the tensor, what each does with a value, and whether it merges partials.
fn walks(schedule: &Schedule) -> Vec<(&'static str, Grid, Body, bool)> {
    let piece = &schedule.pieces[0];
    if let Some(words) = schedule.flat.first() {
        return vec![
            ("inference, flat", words.map, Body::Map, false),
            ("train, moments", piece.reduce, Body::Moments, false),
            ("train, y, flat", words.map, Body::Map, true),
            ("backward, sums", piece.reduce, Body::Sums, false),
            ("backward, dx, flat", words.map, Body::Dx, true),
        ];
    }
    let mut walks = vec![("inference", piece.apply, Body::Map, false)];
    match schedule.resident_train {
        Some(grid) => walks.push(("train", grid, Body::Moments, false)),
        None => walks.extend([
            ("train, moments", piece.reduce, Body::Moments, false),
            ("train, y", piece.map, Body::Map, true),
        ]),
    }
    match schedule.resident_backward {
        Some(grid) => walks.push(("backward", grid, Body::Sums, false)),
        None => walks.extend([
            ("backward, sums", piece.reduce, Body::Sums, false),
            ("backward, dx", piece.map, Body::Dx, true),
        ]),
    }
    walks
}

/// What is wrong with the plan of one tensor.
fn faults(tensor: &Tensor) -> Vec<String> {
    let schedule = super::super::plan_dense(
        tensor.view,
        tensor.element,
        &LAYER,
        &machine(Tuning::DISCRETE),
    )
    .unwrap();
    let bytes = tensor.element.bytes_of(tensor.view.len());
    let mut faults = Vec::new();
    for (name, grid, body, merges) in walks(&schedule) {
        let (tensors, _) = body.tensors();
        let (piece, unrolled) = match name.ends_with("flat") {
            true => (&schedule.flat[0], body.unrolled_words()),
            false => {
                let unrolled = body.unrolled(schedule.load, schedule.load_bytes());
                (&schedule.pieces[0], unrolled)
            }
        };
        let figures = Figures::new(piece, &grid, schedule.bytes_each(piece));
        let mut fault = |what: &str, got: f64, wanted: f64| {
            faults.push(format!(
                "{}, {name}: {what} {got:.3}, wanted {wanted:.3}",
                tensor.name
            ));
        };
        let registers = match grid.held {
            0 => REGISTERS,
            _ => HELD_REGISTERS / grid.workgroup,
        };
        let in_flight = tensors * figures.in_flight(&H100.processors, registers, unrolled);
        let wanted = (IN_FLIGHT * u64::from(H100.processors.count)).min(tensors * bytes);
        if in_flight < wanted {
            fault("MB in flight", in_flight as f64 / 1e6, wanted as f64 / 1e6);
        }
        if bytes > LARGE {
            for processors in [96, 108, 132] {
                let more = figures.imbalance(processors);
                if more > 0.15 {
                    fault(&format!("more on the busiest of {processors}"), more, 0.15);
                }
            }
        }
        // Once to merge them to one, or once in each workgroup.
        let readers = match schedule.folds {
            true => schedule.loads.channels() as u64,
            false => figures.workgroups() * u64::from(grid.columns),
        };
        let each = 16 * (schedule.view.channels() / schedule.loads.channels()) as u64;
        let reread = readers * u64::from(schedule.partials) * each;
        if merges && reread as f64 > 0.02 * bytes as f64 {
            fault(
                "partials read, of the tensor",
                reread as f64 / bytes as f64,
                0.02,
            );
        }
        if figures.lanes_used() < 0.85 {
            fault("lanes used", figures.lanes_used(), 0.85);
        }
        let sectors = match (tensor.view.inner(), tensor.element) {
            (49, Element::F16) => 0.75,
            _ => 0.85,
        };
        if figures.sectors_used() < sectors {
            fault("sectors used", figures.sectors_used(), sectors);
        }
    }
    faults
}

/// Lines of the contract that the plans of some tensors still miss, each with its figures; the planner before work was cut by
/// bytes missed 452. All but one are bytes in flight: loads of halves and of odd runs are narrow, and the last workgroups of
/// small tensors wait for a place.
const MISSED: &str = include_str!("contract-missed.txt");

#[test]
fn plans_for_gpus_miss_no_other_line_of_the_contract() {
    let faults: Vec<_> = tensors().iter().flat_map(faults).collect();
    super::assert_missed(&faults, MISSED);
}
