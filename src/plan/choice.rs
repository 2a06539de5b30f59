//! Of several cuts for a GPU, the one that the model expects to take the least time.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::hardware::{self, Hardware};
use super::load::Load;
use super::machine::{DeviceClass, Machine, Tuning};
use super::model::{Work, seconds};
use super::pieces::cut_to_bindings;
use super::schedule::{MAX_PIECES, Needs, Schedule, plan_nothing, plan_pieces};
use crate::element::Element;
use crate::error::PlanError;
use crate::shape::View;

/// Bytes a workgroup that are tried, as times of the class's own.
const TIMES: [usize; 2] = [2, 4];
/// The share of the time that another cut has to save: less is within the model's error.
const GAIN: f64 = 0.03;
/// Time over the time before that it may take on a single device of the class.
const LOSS: f64 = 1.02;
/// What a layer does.
const WORKS: [Work; 3] = [Work::Train, Work::Inference, Work::Backward];

/// Plans operations of these needs on a dense view.
///
/// # Errors
/// Scratch or per-channel values that one binding cannot hold; a tensor that would need tens of
/// thousands of bindings.
pub fn plan_dense(
    view: View,
    element: Element,
    needs: &Needs,
    machine: &Machine,
) -> Result<Schedule, PlanError> {
    needs.rows_fit(&view, machine)?;
    if view.is_empty() {
        return Ok(plan_nothing(view, element, machine));
    }
    let (limit, max) = machine.binding_bytes();
    let max = max.saturating_mul(MAX_PIECES);
    let tensor = view.len() as u64 * element.bytes();
    if tensor > max {
        return Err(PlanError::TooLarge {
            what: "a tensor",
            got: tensor,
            limit,
            max,
        });
    }
    let times = times(view, element, machine);
    let schedule = plan_times(times, view, element, machine);
    needs.workspace_fits(&schedule, machine)?;
    Ok(schedule)
}

/// The schedule with so many times the class's own bytes a workgroup.
fn plan_times(times: usize, view: View, element: Element, machine: &Machine) -> Schedule {
    let own = machine.tuning.workgroup_bytes;
    let tuning = Tuning {
        workgroup_bytes: own.map(|own| times * own),
        ..machine.tuning
    };
    let machine = Machine { tuning, ..*machine };
    let load = Load::of(&view);
    let bytes = load.values() * element.bytes();
    let pieces = cut_to_bindings(&load.count(&view), bytes, &machine);
    plan_pieces(view, element, pieces, &machine)
}

/// What was chosen before. Asking the model takes a thousand times as long as planning, and programs plan for few views.
static CHOSEN: Mutex<BTreeMap<Question, usize>> = Mutex::new(BTreeMap::new());
/// More answers than that are forgotten.
const MOST: usize = 1024;

/// What is asked: the lengths of the view, the element, the class, and the limits that a plan depends on.
type Question = (
    (usize, usize, usize),
    &'static str,
    &'static str,
    (u64, u32),
);

/// How many times the class's own bytes a workgroup should walk: more than once where the model expects the layer's passes
/// together to take clearly less time so, and hardly more on any device of the class. Sizes of a tuning file were measured,
/// and stay.
fn times(view: View, element: Element, machine: &Machine) -> usize {
    let own = machine.tuning.workgroup_bytes;
    let Some((own, class)) = own.zip(DeviceClass::of(&machine.tuning)) else {
        return 1;
    };
    // Of a tensor that does not fill the device so, larger workgroups would leave more of it idle.
    if element.bytes_of(view.len()) < own as u64 * u64::from(machine.tuning.fill) {
        return 1;
    }
    let (_, piece) = machine.piece_bytes();
    let limits = (piece, machine.max_groups_per_dimension);
    let question = (view.lengths(), element.name(), class.devices(), limits);
    // What panicked elsewhere left no half of an answer.
    let chosen = || CHOSEN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(times) = chosen().get(&question) {
        return *times;
    }
    let times = fastest(class, |times| plan_times(times, view, element, machine));
    let mut chosen = chosen();
    if chosen.len() >= MOST {
        chosen.clear();
    }
    chosen.insert(question, times);
    times
}

/// Asks the model.
fn fastest(class: DeviceClass, plan: impl Fn(usize) -> Schedule) -> usize {
    let devices = || hardware::ALL.iter().filter(|on| on.class == class);
    let took = |schedule: &Schedule| -> Vec<f64> {
        let on = |on: &Hardware| WORKS.map(|work| seconds(work, schedule, on)).iter().sum();
        devices().map(on).collect()
    };
    let once = took(&plan(1));
    let (mut best, mut least) = (1, 1.0 - GAIN);
    for times in TIMES {
        let more = took(&plan(times));
        let shares = || more.iter().zip(&once).map(|(more, once)| more / once);
        let mean = shares().sum::<f64>() / once.len() as f64;
        if mean < least && shares().all(|share| share <= LOSS) {
            (best, least) = (times, mean);
        }
    }
    best
}
