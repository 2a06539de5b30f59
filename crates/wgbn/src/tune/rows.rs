//! What is tried with each set of sizes: shapes and operations.

use std::time::Duration;

use wgpu_batchnorm::internals::plan::{Schedule, Tuning};
use wgpu_batchnorm::internals::tuning::Gain;
use wgpu_batchnorm::{Context, Element};

use crate::bench::bandwidth::patterns::SUMS;
use crate::bench::device::GpuDevice;
use crate::bench::gpu_subject::{GpuSubject, Work};
use crate::bench::inputs::Inputs;
use crate::bench::op::Op;
use crate::bench::results;
use crate::bench::sample::Effort;
use crate::bench::subject::Subject;
use crate::bench::suite::{Case, Layout, Suite};
use crate::bench::timer::{self, Paired};
use crate::failure::Failure;
use crate::table;

/// What is tried on each shape.
pub const OPS: [Op; 3] = [Op::Train, Op::Inference, Op::Backward];

/// Large and small, planar and interleaved, rows, and few channels of many values.
const ON_GPUS: [(&[usize], Layout); 8] = [
    (&[32, 64, 112, 112], Layout::Nchw),
    (&[32, 2048, 7, 7], Layout::Nchw),
    (&[32, 64, 112, 112], Layout::Nhwc),
    (&[32, 256, 14, 14], Layout::Nhwc),
    (&[32, 2048, 7, 7], Layout::Nhwc),
    (&[4096, 512], Layout::Nc),
    (&[256, 1024], Layout::Nc),
    (&[1, 3, 3_000_000], Layout::Nchw),
];

/// The same for adapters to which these would be all that there is time for.
const IN_SOFTWARE: [(&[usize], Layout); 8] = [
    (&[16, 64, 56, 56], Layout::Nchw),
    (&[32, 512, 7, 7], Layout::Nchw),
    (&[16, 64, 56, 56], Layout::Nhwc),
    (&[32, 256, 14, 14], Layout::Nhwc),
    (&[32, 512, 7, 7], Layout::Nhwc),
    (&[4096, 512], Layout::Nc),
    (&[256, 1024], Layout::Nc),
    (&[1, 3, 3_000_000], Layout::Nchw),
];

/// Tensors of a shape that are gone round, in bytes: more than the caches of most devices.
const ROUND: u64 = 128 << 20;
const ROUND_IN_SOFTWARE: u64 = 64 << 20;

pub fn cases(software: bool) -> Vec<Case> {
    let cases = if software { IN_SOFTWARE } else { ON_GPUS };
    let case = |(shape, layout): (&[usize], Layout)| Case {
        suite: Suite::Small,
        shape: shape.to_vec(),
        layout,
        element: Element::F32,
    };
    cases.map(case).into()
}

/// Every shape on the device.
pub struct Subjects<'a> {
    all: Vec<GpuSubject<'a>>,
}

impl<'a> Subjects<'a> {
    pub fn new(device: &'a GpuDevice, inputs: &'a [Inputs]) -> Result<Self, Failure> {
        let round = match device.is_software() {
            true => ROUND_IN_SOFTWARE,
            false => ROUND,
        };
        let subject =
            |inputs: &'a Inputs| GpuSubject::new(device, inputs, inputs.sets(round), SUMS[0]);
        let all = inputs.iter().map(subject).collect::<Result<_, _>>()?;
        Ok(Self { all })
    }
}

/// Sizes, with how they cut each shape.
pub struct Sizes {
    pub tuning: Tuning,
    context: Context,
    schedules: Vec<Schedule>,
}

/// Shapes and operations, to be timed with two sets of sizes in turn.
pub struct Rows<'a, 's> {
    device: &'a GpuDevice,
    subjects: &'s mut Subjects<'a>,
}

/// A row's time with the sizes of the beginning, and with those of the end, in seconds.
pub struct Gained {
    pub case: Case,
    pub op: Op,
    pub before: f64,
    pub after: f64,
}

impl<'a, 's> Rows<'a, 's> {
    pub fn new(device: &'a GpuDevice, subjects: &'s mut Subjects<'a>) -> Self {
        Self { device, subjects }
    }

    /// All rows: a shape's number and an operation.
    pub fn all(&self) -> Vec<(usize, Op)> {
        let shapes = 0..self.subjects.all.len();
        shapes.flat_map(|shape| OPS.map(|op| (shape, op))).collect()
    }

    /// What the sizes make of each shape. Sizes beyond the device's limits are none.
    pub fn sizes(&mut self, tuning: Tuning) -> Result<Option<Sizes>, Failure> {
        let Ok(context) = self.device.gpu.context().retuned(tuning) else {
            return Ok(None);
        };
        let mut schedules = Vec::new();
        for subject in &mut self.subjects.all {
            subject.plan_with(&context)?;
            schedules.push(subject.schedule().clone());
        }
        Ok(Some(Sizes {
            tuning,
            context,
            schedules,
        }))
    }

    /// Whether both cut the row alike, so that there is nothing to time.
    pub fn alike(&self, (shape, op): (usize, Op), a: &Sizes, b: &Sizes) -> bool {
        a.tuning.read_only == b.tuning.read_only
            && alike(op, &a.schedules[shape], &b.schedules[shape])
    }

    /// Times the row with both in turn.
    pub fn paired(
        &mut self,
        row: (usize, Op),
        sizes: [&Sizes; 2],
        effort: Effort,
    ) -> Result<Paired, Failure> {
        let [a, b] = [self.works(row, sizes[0])?, self.works(row, sizes[1])?];
        let (shape, op) = row;
        let bytes = op.ideal_bytes(self.subjects.all[shape].inputs().case.bytes());
        timer::paired(
            self.device,
            effort,
            bytes,
            [&|k, pass| a[k % a.len()].encode(pass), &|k, pass| {
                b[k % b.len()].encode(pass);
            }],
        )
    }

    fn works(&mut self, (shape, op): (usize, Op), sizes: &Sizes) -> Result<Vec<Work>, Failure> {
        let subject = &mut self.subjects.all[shape];
        subject.plan_with(&sizes.context)?;
        subject.works(op)
    }

    /// What the sizes gain over those of the beginning.
    pub fn gains(
        &mut self,
        before: Tuning,
        after: Tuning,
        budget: Duration,
    ) -> Result<Vec<Gained>, Failure> {
        let (Some(before), Some(after)) = (self.sizes(before)?, self.sizes(after)?) else {
            return Err(Failure::Machine(
                "sizes that were measured are refused".to_owned(),
            ));
        };
        let rows = self.all();
        let effort = Effort {
            budget: budget / rows.len() as u32,
            least: 2,
        };
        let mut gains = Vec::new();
        for row in rows {
            let same = self.alike(row, &before, &after);
            let [before, after] = self.paired(row, [&before, &after], effort)?.medians();
            // Of work that is cut alike, what differs is noise.
            let after = if same { before } else { after };
            gains.push(Gained {
                case: self.subjects.all[row.0].inputs().case.clone(),
                op: row.1,
                before,
                after,
            });
        }
        Ok(gains)
    }

    /// Holds every row's results against the reference.
    pub fn check(&mut self, tuning: Tuning) -> Result<(), Failure> {
        self.sizes(tuning)?;
        for (shape, op) in self.all() {
            let subject = &mut self.subjects.all[shape];
            let (inputs, got) = (subject.inputs(), subject.results(op)?);
            results::check(inputs, op, &got).map_err(|failure| {
                let shape = table::shape(&inputs.case.shape);
                failure.map(|text| format!("{text} ({shape} {}, tuned)", op.name()))
            })?;
        }
        Ok(())
    }
}

/// Whether both schedules are one for the operation.
fn alike(op: Op, a: &Schedule, b: &Schedule) -> bool {
    let whole = |schedule: &Schedule| match op {
        Op::Train => schedule.resident_train,
        Op::Backward => schedule.resident_backward,
        _ => None,
    };
    match (op, whole(a), whole(b)) {
        (Op::Inference, ..) => {
            let applied = |schedule: &Schedule| -> Vec<_> {
                let pieces = schedule.pieces.iter();
                pieces.map(|piece| (piece.view, piece.apply)).collect()
            };
            applied(a) == applied(b) && a.flat == b.flat
        }
        (_, Some(a), Some(b)) => a == b,
        (_, None, None) => {
            let split = |schedule: &Schedule| Schedule {
                resident_train: None,
                resident_backward: None,
                ..schedule.clone()
            };
            split(a) == split(b)
        }
        _ => false,
    }
}

impl Gained {
    /// As the file has it.
    pub fn written(&self) -> Gain {
        let lens = self.case.shape.iter();
        Gain {
            shape: lens.map(|&len| len as u64).collect(),
            layout: self.case.layout.name().to_owned(),
            operation: self.op.name().to_owned(),
            before_ms: self.before * 1e3,
            after_ms: self.after * 1e3,
        }
    }
}
