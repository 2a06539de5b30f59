//! Of several cuts for a GPU, the one that the model expects to take the least time.

use super::hardware::{self, Hardware};
use super::load::Load;
use super::machine::{DeviceClass, Machine, Tuning};
use super::model::{Work, seconds};
use super::pieces::cut_to_bindings;
use super::schedule::{MAX_PIECES, Needs, Schedule, plan_pieces};
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
    let load = Load::of(&view);
    let bytes = load.values() * element.bytes();
    let schedule = fastest(machine, |machine| {
        let pieces = cut_to_bindings(&load.count(&view), bytes, machine);
        plan_pieces(view, element, pieces, machine)
    });
    needs.workspace_fits(&schedule, machine)?;
    Ok(schedule)
}

/// The schedule with the class's own bytes a workgroup, or with more, where the model expects the layer's passes together to
/// take clearly less time so, and hardly more on any device of the class. Sizes of a tuning file were measured, and stay.
fn fastest(machine: &Machine, plan: impl Fn(&Machine) -> Schedule) -> Schedule {
    let mut best = plan(machine);
    let Some((own, class)) = machine
        .tuning
        .workgroup_bytes
        .zip(DeviceClass::of(&machine.tuning))
    else {
        return best;
    };
    // Of a tensor that does not fill the device so, larger workgroups would leave more of it idle.
    let tensor = best.element.bytes_of(best.view.len());
    if tensor < own as u64 * u64::from(machine.tuning.fill) {
        return best;
    }
    let devices: Vec<_> = hardware::ALL
        .iter()
        .filter(|on| on.class == class)
        .collect();
    let took = |schedule: &Schedule| -> Vec<f64> {
        let all = |on: &&&Hardware| WORKS.map(|work| seconds(work, schedule, on)).iter().sum();
        devices.iter().map(|on| all(&on)).collect()
    };
    let times = took(&best);
    let mut least = 1.0 - GAIN;
    for more in TIMES {
        let tuning = Tuning {
            workgroup_bytes: Some(more * own),
            ..machine.tuning
        };
        let schedule = plan(&Machine { tuning, ..*machine });
        let shares: Vec<f64> = took(&schedule)
            .iter()
            .zip(&times)
            .map(|(a, b)| a / b)
            .collect();
        let mean = shares.iter().sum::<f64>() / shares.len() as f64;
        if mean < least && shares.iter().all(|share| *share <= LOSS) {
            (best, least) = (schedule, mean);
        }
    }
    best
}
