//! What an operation wrote, held against the f64 reference.

use wgpu_batchnorm::check::{self, Epilogue, Input, Report, TrainResult};
use wgpu_batchnorm::error::ShapeError;
use wgpu_batchnorm::{HostGradients, Moments, Parameters, RunningStatistics, SavedStatistics};

use super::inputs::Inputs;
use super::op::Op;
use super::part::Part;
use crate::failure::Failure;

/// Results of one run, back on the host; those that the operation has.
#[derive(Debug, Default)]
pub struct Results {
    pub y: Vec<f32>,
    pub saved: SavedStatistics,
    /// After training.
    pub running: Option<RunningStatistics>,
    pub gradients: HostGradients,
    pub moments: Option<Moments>,
    pub sum: Option<f32>,
}

/// Holds `results` against the reference and says what was compared.
pub fn check(inputs: &Inputs, op: Op, results: &Results) -> Result<String, Failure> {
    if op == Op::Sum {
        return check_sum(&inputs.x, results.sum);
    }
    let part = Part::of(inputs);
    let (x, weight, bias) = (
        part.tensor(&inputs.x),
        part.row(&inputs.weight),
        part.row(&inputs.bias),
    );
    let parameters = Parameters::default()
        .with_weight(&weight[..])
        .with_bias(&bias[..]);
    let stored = Epilogue::default().with_element(inputs.config.element);
    let input = Input::new(part.view, &x, parameters, inputs.config.eps).with_epilogue(stored);
    let frozen = part.running(&inputs.running);
    let reports = match op {
        Op::Train => vec![train(&part, &input, results)?],
        Op::Inference => {
            let y = part.tensor(&results.y);
            vec![check::inference(
                &input,
                &frozen.mean,
                &frozen.variance,
                &y,
            )?]
        }
        Op::Backward | Op::Frozen => vec![backward(&part, &input, op, results)?],
        Op::Step => vec![
            train(&part, &input, results)?,
            backward(&part, &input, op, results)?,
        ],
        Op::Moments | Op::Sum => vec![moments(&part, &input, results)?],
    };
    for report in reports {
        report.enforce()?;
    }
    Ok(part.said())
}

fn train(part: &Part<'_>, input: &Input<'_>, results: &Results) -> Result<Report, ShapeError> {
    let s = &results.saved;
    let mut saved = SavedStatistics::default();
    saved.pivot = part.row(&s.pivot);
    saved.offset = part.row(&s.offset);
    saved.inv_std = part.row(&s.inv_std);
    saved.batch_mean = part.row(&s.batch_mean);
    saved.batch_var = part.row(&s.batch_var);
    let before = part.running(&part.inputs.running);
    let after = results.running.as_ref().map(|r| part.running(r));
    let moved = after.as_ref().zip(part.inputs.config.running);
    let y = part.tensor(&results.y);
    let result =
        TrainResult::new(&y, &saved).with_running(moved.map(|(after, how)| (&before, after, how)));
    check::train_forward(input, &result)
}

fn backward(
    part: &Part<'_>,
    input: &Input<'_>,
    op: Op,
    results: &Results,
) -> Result<Report, ShapeError> {
    let g = &results.gradients;
    let gradients = HostGradients::new(
        part.tensor(&g.dx).into_owned(),
        part.row(&g.dweight),
        part.row(&g.dbias),
    );
    let dy = part.tensor(&part.inputs.dy);
    match op {
        Op::Frozen => {
            let frozen = part.running(&part.inputs.running);
            let (mean, variance) = (&frozen.mean, &frozen.variance);
            check::backward_frozen(input, &dy, mean, variance, &gradients, None)
        }
        _ => check::backward(input, &dy, &gradients, None),
    }
}

fn moments(part: &Part<'_>, input: &Input<'_>, results: &Results) -> Result<Report, ShapeError> {
    let narrow = |values: Vec<f64>| -> Vec<f32> {
        part.row(&values).into_iter().map(|v| v as f32).collect()
    };
    let moments = results.moments.as_ref();
    let mean = moments.map_or(vec![], |m| narrow(m.mean()));
    let variance = moments.map_or(vec![], |m| narrow(m.variance()));
    check::moments(&input.view, input.x, &mean, &variance)
}

/// Plain f32 sums round with every addition; one that misses a part is off by far more.
pub const SUM_BOUND: f64 = 1e-4;

fn check_sum(x: &[f32], sum: Option<f32>) -> Result<String, Failure> {
    let wide = || x.iter().map(|&v| f64::from(v));
    let (expected, scale) = (wide().sum::<f64>(), wide().map(f64::abs).sum::<f64>());
    let got = sum.map_or(f64::NAN, f64::from);
    let error = (got - expected).abs() / scale;
    match error <= SUM_BOUND {
        true => Ok("the sum against f64".to_owned()),
        false => Err(Failure::Check(format!(
            "check failed: sum is {got:e}, expected {expected:e}"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use wgpu_batchnorm::{Element, cpu};

    use super::super::suite::{Case, Layout, Suite};
    use super::*;

    fn inputs(shape: &[usize], layout: Layout) -> Inputs {
        Inputs::new(&Case {
            suite: Suite::Small,
            shape: shape.to_vec(),
            layout,
            element: Element::F32,
        })
        .unwrap()
    }

    fn inference(inputs: &Inputs) -> Results {
        let mut y = vec![0.0; inputs.x.len()];
        let (view, parameters) = (inputs.view, inputs.parameters());
        let input = cpu::Input::new(view, &inputs.x, parameters, inputs.config.eps);
        cpu::inference(&input, &inputs.running, &mut y).unwrap();
        Results {
            y,
            ..Default::default()
        }
    }

    #[test]
    fn a_wrong_value_anywhere_is_found() {
        let inputs = inputs(&[4, 6, 5, 5], Layout::Nhwc);
        let mut results = inference(&inputs);
        let said = check(&inputs, Op::Inference, &results).unwrap();
        assert_eq!(said, "every value against f64");
        for at in [0, 299, 599] {
            let right = results.y[at];
            results.y[at] += 1e-3;
            assert!(check(&inputs, Op::Inference, &results).is_err(), "{at}");
            results.y[at] = right;
        }
        results.y.pop();
        assert!(check(&inputs, Op::Inference, &results).is_err());
    }

    #[test]
    fn of_a_large_tensor_whole_channels_are_compared() {
        for (layout, last) in [(Layout::Nchw, 1_200_000), (Layout::Nhwc, 3 * 1_200_000 - 1)] {
            let inputs = inputs(&[1, 3, 1000, 1200], layout);
            let mut results = inference(&inputs);
            let said = check(&inputs, Op::Inference, &results).unwrap();
            assert_eq!(said, "1 of 3 channels against f64");
            // The first channel is looked at to its end, the second not at all.
            results.y[last] = f32::NAN;
            assert!(check(&inputs, Op::Inference, &results).is_ok());
            let first = if layout == Layout::Nchw {
                last - 1
            } else {
                last - 2
            };
            results.y[first] = f32::NAN;
            assert!(check(&inputs, Op::Inference, &results).is_err());
        }
    }

    #[test]
    fn nothing_computed_is_nothing_right() {
        let inputs = inputs(&[4, 6, 5], Layout::Nchw);
        for op in [
            Op::Train,
            Op::Backward,
            Op::Frozen,
            Op::Moments,
            Op::Step,
            Op::Sum,
        ] {
            assert!(check(&inputs, op, &Results::default()).is_err(), "{op:?}");
        }
    }

    #[test]
    fn a_sum_that_misses_a_part_is_found() {
        let x = vec![1.5f32; 10_000];
        assert!(check_sum(&x, Some(15_000.0)).is_ok());
        assert!(check_sum(&x, Some(14_980.0)).is_err());
        assert!(check_sum(&x, None).is_err());
    }
}
