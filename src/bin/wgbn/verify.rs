//! `wgbn verify`: every operation, both memory patterns, all kinds of data, against the reference.

use serde_json::{Value, json};
use wgpu_batchnorm::check::{Finding, Report};
use wgpu_batchnorm::{Config, Element, LayerState, Pattern, RunningStatistics, View, functional};

use crate::args::{Mode, VerifyArgs};
use crate::backward::check_gradients;
use crate::data::{Kind, Random};
use crate::engine::{Engine, Job};
use crate::failure::Failure;
use crate::forward::{check, input, mode};
use crate::{fused, parts, progress, say, table};

/// Shape classes: a shape and its channel axis.
const SHAPES: [(&[usize], isize); 12] = [
    (&[16, 10], 1),
    (&[8, 3, 28, 28], 1),
    (&[4, 28, 28, 3], -1),
    (&[6, 5, 17], 1),
    (&[512, 128], 1),
    (&[8, 64, 7, 7], 1),
    (&[8, 7, 7, 64], -1),
    (&[2, 16, 13, 17], 1),
    (&[2, 4, 6, 8, 5], 1),
    (&[3, 1000, 2], 1),
    (&[64, 300], 0),
    (&[1, 1, 1_000_000], 1),
];
const QUICK: usize = 6;

/// How much of what only adapters have one round of the sweep tries.
#[derive(Clone, Copy, PartialEq)]
enum Fuse {
    Nothing,
    Relu,
    All,
}

/// The worst of one operation on one memory pattern.
struct Row {
    operation: &'static str,
    pattern: Pattern,
    element: Element,
    cases: usize,
    worst: Finding,
    case: String,
}

pub fn run(args: &VerifyArgs) -> Result<(), Failure> {
    let engine = Engine::open(&args.device)?;
    let shapes = &SHAPES[..if args.quick { QUICK } else { SHAPES.len() }];
    let bar = progress::bar(shapes.len() * Kind::ALL.len());
    let mut rows: Vec<Row> = Vec::new();
    for (k, &(shape, axis)) in shapes.iter().enumerate() {
        for (seed, kind) in Kind::ALL.into_iter().enumerate() {
            bar.set_message(table::shape(shape));
            // Compiling is what takes time: a quick run fuses on one shape of either pattern.
            let fuse = match (k, seed) {
                (0..2, 0) if args.quick => Fuse::Relu,
                _ if args.quick => Fuse::Nothing,
                (0..2, 0) => Fuse::All,
                _ => Fuse::Relu,
            };
            sweep(&engine, shape, axis, kind, seed as u64, fuse, &mut rows)?;
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    let failed = rows.iter().filter(|row| !row.worst.passed()).count();
    match args.json {
        true => say!("{}", as_json(&engine, &rows))?,
        false => print(&engine, &rows)?,
    }
    match failed {
        0 => Ok(()),
        n => Err(Failure::Check(format!(
            "{n} operations are beyond their bounds"
        ))),
    }
}

fn sweep(
    engine: &Engine,
    shape: &[usize],
    axis: isize,
    kind: Kind,
    seed: u64,
    fuse: Fuse,
    rows: &mut Vec<Row>,
) -> Result<(), Failure> {
    let config = Config::pytorch().with_axis(axis);
    let view = View::new(shape, axis)?;
    let mut random = Random::new(seed + 1);
    let x = kind.tensor(&mut random, &view);
    let dy = random.normals(x.len(), 0.1, 1.0);
    let constant = vec![1.0; x.len()];
    let c = view.channels;
    let state = LayerState {
        weight: Some(random.normals(c, 1.0, 0.5)),
        bias: Some(random.normals(c, 0.0, 1.0)),
        running: Some(RunningStatistics {
            mean: (0..c).map(|c| x[c * view.inner]).collect(),
            variance: (0..c).map(|_| (0.5 + random.uniform()) as f32).collect(),
            batches: vec![3; c],
        }),
        num_batches_tracked: 3,
    };
    let job = Job {
        config,
        shape,
        view,
        state: &state,
        x: &x,
    };
    let mut add_stored = |operation, element, report: Report| {
        let case = format!("{} axis {axis}, {kind}", table::shape(shape));
        add(rows, (operation, view.pattern(), element), report, case);
    };
    let mut add = |operation, report| add_stored(operation, Element::F32, report);
    for (at, forward, backward) in [
        (Mode::Train, "train forward", "backward"),
        (Mode::Eval, "inference", "backward, frozen"),
    ] {
        let result = engine.forward(&job, mode(at))?;
        add(forward, check(&job, &result));
        for dy in [&dy, &constant] {
            let (gradients, _) = engine.backward(&job, dy, mode(at))?;
            add(backward, check_gradients(&job, dy, at, &gradients));
        }
    }
    // All axes but the channel's.
    let rank = shape.len() as isize;
    let others: Vec<isize> = (0..rank).filter(|&k| k != axis.rem_euclid(rank)).collect();
    let every_second: Vec<isize> = (0..rank).step_by(2).collect();
    for (operation, axes) in [("moments", others), ("moments, other axes", every_second)] {
        let (moments, ..) = engine.moments(shape, &x, &axes, false)?;
        let round = |v: Vec<f64>| -> Vec<f32> { v.into_iter().map(|v| v as f32).collect() };
        let (mean, variance) = (round(moments.mean()), round(moments.variance()));
        let report = functional::check_moments(&x, shape, &axes, &mean, &variance)?;
        add(operation, report);
    }
    // Large tensors have nothing here that small ones lack.
    let wanted = fuse != Fuse::Nothing && fused::fits_f16(&x) && x.len() < 100_000;
    if let (Engine::Gpu(gpu), true) = (engine, wanted) {
        if let Some(report) = parts::sweep(gpu, &job, &dy, &input(&job))? {
            add_stored("two parts, merged", Element::F32, report);
        }
        if x.len() >= 1024 {
            add_stored("image to image", Element::F16, parts::image(gpu, &job, &x)?);
        }
        fused::sweep(gpu, &job, &dy, fuse == Fuse::All, add_stored)?;
    }
    Ok(())
}

fn add(
    rows: &mut Vec<Row>,
    (operation, pattern, element): (&'static str, Pattern, Element),
    report: Report,
    case: String,
) {
    let Some(worst) = report.worst() else { return };
    let known = rows
        .iter_mut()
        .find(|r| (r.operation, r.pattern, r.element) == (operation, pattern, element));
    match known {
        None => rows.push(Row {
            operation,
            pattern,
            element,
            cases: 1,
            worst: worst.clone(),
            case,
        }),
        Some(row) => {
            row.cases += 1;
            if worst.error / worst.bound > row.worst.error / row.worst.bound {
                (row.worst, row.case) = (worst.clone(), case);
            }
        }
    }
}

fn print(engine: &Engine, rows: &[Row]) -> Result<(), Failure> {
    if let Some(note) = engine.note() {
        say!("{note}")?;
    }
    say!("against the f64 reference, on {}\n", engine.name())?;
    if let Engine::Cpu { .. } = engine {
        say!("the CPU path has f32 alone: no halves, residuals, activations, parts or images\n")?;
    }
    let heading = [
        "operation",
        "pattern",
        "element",
        "cases",
        "worst error",
        "bound",
        "",
        "where",
    ];
    let mut table = table::Table::new(&heading);
    for row in rows {
        let worst = &row.worst;
        table.row(&[
            row.operation.to_owned(),
            pattern(row.pattern).to_owned(),
            fused::name(row.element).to_owned(),
            row.cases.to_string(),
            table::error(worst.error),
            table::error(worst.bound),
            if worst.passed() { "ok" } else { "FAILED" }.to_owned(),
            format!("{}[{}], {}", worst.tensor, worst.index, row.case),
        ]);
    }
    say::text(format_args!("{table}"))
}

fn as_json(engine: &Engine, rows: &[Row]) -> Value {
    let row = |row: &Row| {
        json!({
            "operation": row.operation, "pattern": pattern(row.pattern), "element": fused::name(row.element),
            "cases": row.cases, "error": row.worst.error, "bound": row.worst.bound,
            "tensor": row.worst.tensor, "index": row.worst.index, "case": row.case,
            "passed": row.worst.passed(),
        })
    };
    let rows: Value = rows.iter().map(row).collect();
    json!({ "device": engine.name(), "note": engine.note(), "rows": rows })
}

fn pattern(pattern: Pattern) -> &'static str {
    match pattern {
        Pattern::Planar => "planar",
        Pattern::Interleaved => "interleaved",
    }
}
