//! The model against machine code, and the plans for GPUs against the model.

use super::super::hardware::{self, H100, Hardware, IRIS_XE, M2, RX_7900_XTX};
use super::super::instructions::Body;
use super::super::model::{Work, expect, of_copy, seconds};
use super::contract::{LARGE, Tensor, tensors};
use super::*;

const ELEMENTS: [(Element, &str); 3] = [
    (Element::F32, "f32"),
    (Element::F16, "f16"),
    (Element::Bf16, "bf16"),
];

/// The file that `cargo xtask machine-code` writes for Navi 31, a line for each hot loop.
fn machine_code() -> Vec<Vec<String>> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/machine-code/navi31.txt");
    let text = std::fs::read_to_string(path).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let fields = lines.map(|line| line.split_whitespace().map(str::to_owned).collect());
    fields.collect()
}

#[test]
fn instructions_are_those_of_machine_code() {
    let file = machine_code();
    let column = |name: &str| file[0].iter().position(|field| field == name).unwrap();
    let (vector, instructions) = (column("vector"), column("instr"));
    let values = column("values");
    let bodies = [
        (Body::Moments, "moments", "reduce"),
        (Body::Map, "inference", "map"),
        (Body::Sums, "backward_sums", "reduce"),
        (Body::Dx, "backward_dx", "map"),
        (Body::Frozen, "backward_frozen", "both"),
    ];
    for (body, kernel, hot) in bodies {
        for (element, stored) in ELEMENTS {
            let half = match element {
                Element::F16 => "_f16",
                Element::Bf16 => "_half",
                _ => "",
            };
            for (load, wide, width) in [
                ("_run4", Load::Run4, 0),
                ("_channel4", Load::Channel4, 0),
                ("", Load::Scalar, 1),
            ] {
                // Single halves are mapped by words, and those behind frozen statistics summed first.
                let (kernel, hot) = match (body, load, half) {
                    (_, _, "") | (_, "_run4" | "_channel4", _) => (kernel, hot),
                    (Body::Map, ..) => ("flat_inference", hot),
                    (Body::Dx, ..) => ("flat_dx", hot),
                    (Body::Frozen, ..) => (kernel, "reduce"),
                    _ => (kernel, hot),
                };
                let variant = format!("{kernel}{load}{half}");
                let of = |line: &&Vec<String>| line[..4] == [&variant, stored, "none", hot];
                let line = file
                    .iter()
                    .find(of)
                    .unwrap_or_else(|| panic!("no {variant} {stored}"));
                let number = |at: usize| line[at].parse::<f64>().unwrap();
                let (got, expected) = (body.a_value(element)[width], number(vector));
                assert!(
                    (got / expected - 1.0).abs() < 0.1,
                    "{variant} {stored}: {got}, {expected}"
                );
                let outside = (number(instructions) - number(values) * expected) / 2.0;
                let got = body.a_lane(element, wide);
                assert!(
                    (got / outside - 1.0).abs() < 0.1,
                    "{variant} {stored}: {got}, {outside}"
                );
            }
        }
    }
}

fn plan_for(view: View, element: Element, on: &Hardware) -> Schedule {
    super::super::plan_dense(view, element, &LAYER, &machine(on.class.tuning())).unwrap()
}

/// What the model predicts worse than the contract wants it.
fn faults(tensor: &Tensor) -> Vec<String> {
    let bytes = tensor.element.bytes_of(tensor.view.len());
    if bytes <= LARGE {
        return Vec::new();
    }
    let wanted = match tensor.element {
        Element::F16 => 0.8,
        Element::F32 | Element::Bf16 => 0.9,
    };
    let mut faults = Vec::new();
    for on in [H100, RX_7900_XTX, M2, IRIS_XE] {
        let schedule = plan_for(tensor.view, tensor.element, &on);
        let held = |grid: Option<Grid>| grid.is_some_and(|grid| grid.held > 0);
        for (work, moved, held) in [
            (Work::Inference, 2, false),
            (Work::Train, 3, held(schedule.resident_train)),
            (Work::Backward, 5, held(schedule.resident_backward)),
        ] {
            let got = of_copy(work, &schedule, &on);
            // Where nothing has to be read twice from memory, it is faster than one that does.
            let near = held || (moved * bytes) as f64 <= on.cache_bytes.value;
            let wanted = if near && moved > 2 { 1.0 } else { wanted };
            if got < wanted {
                faults.push(format!(
                    "{}, {} on {}: {got:.2} of copy, wanted {wanted}",
                    tensor.name,
                    work.name(),
                    on.name
                ));
            }
        }
    }
    faults
}

/// Lines of the contract that the model sees missed, each with its figures: 30 of runs of 2 to 9 values, nearly all loaded
/// one by one, and 40 of larger tensors on an H100, whose lanes run about as many instructions before and behind their loops
/// as in them.
const MISSED: &str = include_str!("model-missed.txt");

#[test]
fn predicted_times_miss_no_other_line_of_the_contract() {
    let mut all = tensors();
    let halves: Vec<_> = all.iter().filter(|t| t.element == Element::F16).collect();
    let bf16 = halves.iter().map(|tensor| Tensor {
        name: tensor.name.replace("F16", "Bf16"),
        view: tensor.view,
        element: Element::Bf16,
    });
    let bf16: Vec<_> = bf16.collect();
    all.extend(bf16);
    let faults: Vec<_> = all.iter().flat_map(faults).collect();
    super::assert_missed(&faults, MISSED);
}

/// Drivers give up on a dispatch that lasts: on the slowest machine of each class of GPUs none is planned to last
/// longer than 50 ms.
#[test]
fn no_dispatch_lasts_longer_than_drivers_wait() {
    let mut longest = 0.0_f64;
    for on in [RX_7900_XTX, M2, IRIS_XE] {
        let piece = on.class.tuning().piece_bytes as usize;
        for (element, _) in ELEMENTS {
            // Somewhat more than two pieces of each pattern, with wide loads and with single ones.
            let len = 2 * piece / element.bytes() as usize;
            let views = [
                view(1, 1, len + 4096),
                view(1, 3, len / 3 + 1001),
                view(len / 64 + 640, 64, 1),
                view(len / 63 + 630, 63, 1),
                view(len / 49 / 64 + 40, 64, 49),
            ];
            for view in views {
                let schedule = plan_for(view, element, &on);
                assert!(schedule.pieces.len() > 1, "{view:?}");
                for work in Work::ALL {
                    for dispatch in expect(work, &schedule, &on) {
                        let at = format!("{view:?} {element:?} on {}: {dispatch:?}", on.name);
                        assert!(dispatch.seconds < 0.05, "{at}");
                        longest = longest.max(dispatch.seconds);
                    }
                }
            }
        }
    }
    // The limit is no tighter than it has to be: a residual, an activation and a memory that does not reach its peak
    // come on top.
    assert!(longest > 0.02, "{longest}");
}

#[test]
fn rows_of_the_table_have_names_and_sources() {
    for on in &hardware::ALL {
        assert_eq!(Hardware::named(on.name), Some(on));
        let numbers = [
            on.bandwidth,
            on.cache_bytes,
            on.cache_bandwidth,
            on.latency,
            on.dispatch,
            on.instructions,
            on.load,
            on.access,
        ];
        let sources = numbers.map(|number| number.source);
        for source in sources.into_iter().chain([on.processors_source]) {
            let (hardware::Source::Published(words) | hardware::Source::Measured(words)) = source;
            assert!(words.len() > 5, "{}", on.name);
        }
    }
    assert_eq!(Hardware::named("abacus"), None);
}

/// What is moved is what kernels have to move, and no grid changes it.
#[test]
fn tensors_are_moved_as_often_as_the_kernels_move_them() {
    for view in [
        view(32, 64, 56 * 56),
        view(8192, 4096, 1),
        view(64, 512, 49),
    ] {
        let schedule = plan_for(view, Element::F32, &H100);
        let tensor = 4 * view.len() as u64;
        for work in Work::ALL {
            let dispatches = expect(work, &schedule, &H100);
            let sum = |bytes: fn(&super::super::model::Expected) -> u64| {
                dispatches.iter().map(bytes).sum::<u64>() as f64 / tensor as f64
            };
            let (read, written) = (sum(|e| e.bytes_read), sum(|e| e.bytes_written));
            let held = |grid: Option<Grid>| grid.is_some_and(|grid| grid.held > 0);
            let expected = match work {
                Work::Train if held(schedule.resident_train) => (1.0, 1.0),
                Work::Backward if held(schedule.resident_backward) => (2.0, 1.0),
                Work::Train => (2.0, 1.0),
                Work::Inference => (1.0, 1.0),
                Work::Backward => (4.0, 1.0),
                Work::Frozen => (2.0, 1.0),
                Work::Moments => (1.0, 0.0),
            };
            // Partials and values per channel come on top.
            for (got, least) in [(read, expected.0), (written, expected.1)] {
                assert!(
                    got >= least && got < least + 0.25,
                    "{view:?} {work:?}: {got}"
                );
            }
        }
    }
}

/// By the model, sizes beside those of a GPU's class gain little. Before the planner asked the model how many bytes a
/// workgroup should walk, 14 passes would have gained a fifth and more.
#[test]
fn other_sizes_gain_little_by_the_model() {
    let mut gains = Vec::new();
    for on in [H100, RX_7900_XTX, M2, IRIS_XE] {
        let own = on.class.tuning();
        let others = [
            Tuning {
                workgroup_bytes: Some(16 << 10),
                ..own
            },
            Tuning {
                workgroup_bytes: Some(64 << 10),
                ..own
            },
            Tuning {
                workgroup_bytes: Some(128 << 10),
                ..own
            },
            Tuning {
                resident_bytes: 0,
                ..own
            },
            Tuning {
                cache_bytes: 0,
                ..own
            },
            Tuning {
                interleaved_columns: own.interleaved_columns / 2,
                ..own
            },
        ];
        for Tensor {
            name,
            view,
            element,
        } in tensors()
        {
            let times = |tuning: Tuning| {
                let plan =
                    super::super::plan_dense(view, element, &LAYER, &machine(tuning)).unwrap();
                [Work::Inference, Work::Train, Work::Backward].map(|work| seconds(work, &plan, &on))
            };
            let (own, others) = (times(own), others.map(times));
            for (pass, own) in own.into_iter().enumerate() {
                let best = others.iter().map(|times| times[pass]).fold(own, f64::min);
                gains.push((own / best, format!("{name}, pass {pass} on {}", on.name)));
            }
        }
    }
    let (most, who) = gains.iter().max_by(|a, b| a.0.total_cmp(&b.0)).unwrap();
    assert!(*most < 1.2, "{who}: {most:.3}");
    let logs: f64 = gains.iter().map(|(gain, _)| gain.ln()).sum();
    let mean = (logs / gains.len() as f64).exp();
    assert!(mean < 1.005, "{mean:.4}");
}
