//! `wgbn info` for a class of devices, or for a machine of the model's table, instead of the adapters here.

use serde_json::{Value, json};
use wgpu_batchnorm::internals::operation::Operation;
use wgpu_batchnorm::internals::plan::describe::describe_on;
use wgpu_batchnorm::internals::plan::hardware::Hardware;
use wgpu_batchnorm::internals::plan::model::{Expected, Work, expect};
use wgpu_batchnorm::internals::plan::{LARGEST_BINDING, Machine, plan_dense};
use wgpu_batchnorm::{Error, View};

use crate::args::{Class, InfoArgs};
use crate::failure::Failure;

/// The machine that is asked for, or the one that stands for the class that is.
pub fn for_whom(args: &InfoArgs) -> Option<&'static Hardware> {
    let class = args.class.map(Class::planned);
    args.machine.or_else(|| Hardware::of(class?))
}

pub fn run(args: &InfoArgs, shape: &[usize], on: &Hardware) -> Result<(), Failure> {
    let view = View::new(shape, args.axis).map_err(Error::from)?;
    let element = args.element.element();
    let stored = element.name();
    // A device that sets no limit of its own, but WebGPU's on the grid.
    let machine = Machine {
        max_groups_per_dimension: 65_535,
        max_binding_bytes: LARGEST_BINDING,
        binding_limit: "max_storage_buffer_binding_size",
        tuning: on.class.tuning(),
    };
    let needs = Operation::Train.needs();
    let schedule = plan_dense(view, element, &needs, &machine).map_err(Error::from)?;
    let text = describe_on(&schedule, &machine, Some(on));
    if !args.json {
        say!("plan of {shape:?} in {stored}, channel axis {}", args.axis)?;
        for line in text.lines() {
            say!("  {line}")?;
        }
        return Ok(());
    }
    let works = Work::ALL.into_iter();
    let dispatches = works.flat_map(|work| expect(work, &schedule, on));
    let json = json!({
        "machine": on.name, "shape": shape, "axis": args.axis, "element": stored,
        "plan": text.lines().collect::<Value>(),
        "dispatches": dispatches.map(|dispatch| as_json(&dispatch)).collect::<Value>(),
    });
    say!("{json}")
}

fn as_json(dispatch: &Expected) -> Value {
    json!({
        "operation": dispatch.work.name(),
        "kernel": dispatch.kernel,
        "workgroups": dispatch.workgroups,
        "lanes": dispatch.lanes,
        "loads_per_lane": dispatch.loads_per_lane,
        "bytes_in_flight": dispatch.bytes_in_flight,
        "bytes_read": dispatch.bytes_read,
        "bytes_found": dispatch.bytes_found,
        "bytes_written": dispatch.bytes_written,
        "partial_bytes_read": dispatch.partial_bytes_read,
        "imbalance": dispatch.imbalance,
        "lanes_used": dispatch.lanes_used,
        "sectors_used": dispatch.sectors_used,
        "predicted_us": dispatch.seconds * 1e6,
    })
}
