//! One shape on the CPU path.

use std::hint::black_box;

use super::bandwidth::host;
use super::inputs::Inputs;
use super::op::Op;
use super::results::Results;
use super::sample::Effort;
use super::subject::Subject;
use super::timer::{self, Timing};
use crate::failure::Failure;
use wgpu_batchnorm::cpu::{self, Input, ParameterGradients, Running};
use wgpu_batchnorm::{HostGradients, RunningStatistics, SavedStatistics};

/// The CPU path.
pub struct CpuSubject<'a> {
    inputs: &'a Inputs,
    sets: Vec<Set>,
    state: State,
}

struct Set {
    x: Vec<f32>,
    dy: Vec<f32>,
    y: Vec<f32>,
    dx: Vec<f32>,
}

/// What runs leave behind besides tensors.
struct State {
    saved: SavedStatistics,
    running: RunningStatistics,
    results: Results,
}

impl<'a> CpuSubject<'a> {
    pub fn new(inputs: &'a Inputs, sets: usize) -> Result<Self, Failure> {
        let len = inputs.x.len();
        let set = |_| Set {
            x: inputs.x.clone(),
            dy: inputs.dy.clone(),
            // Zeros would be mapped when first written to.
            y: vec![1.0; len],
            dx: vec![1.0; len],
        };
        let mut y = vec![0.0; len];
        Ok(Self {
            inputs,
            sets: (0..sets).map(set).collect(),
            state: State {
                saved: cpu::train_forward(&input(inputs, &inputs.x), None, &mut y)?,
                running: inputs.running.clone(),
                results: Results::default(),
            },
        })
    }
}

impl Subject for CpuSubject<'_> {
    fn sets(&self) -> usize {
        self.sets.len()
    }

    fn time(&mut self, op: Op, effort: Effort) -> Result<Timing, Failure> {
        let Self {
            inputs,
            sets,
            state,
        } = self;
        let count = sets.len();
        let mut k = 0;
        let mut call = || {
            run(inputs, op, &mut sets[k % count], state)?;
            k += 1;
            Ok(())
        };
        timer::host(effort, &mut call, &|| Ok(()))
    }

    fn results(&mut self, op: Op) -> Result<Results, Failure> {
        let set = &mut self.sets[0];
        set.y.fill(f32::NAN);
        set.dx.fill(f32::NAN);
        self.state.running = self.inputs.running.clone();
        run(self.inputs, op, set, &mut self.state)?;
        let mut results = std::mem::take(&mut self.state.results);
        let dweight = std::mem::take(&mut results.gradients.dweight);
        let dbias = std::mem::take(&mut results.gradients.dbias);
        Ok(Results {
            y: set.y.clone(),
            saved: self.state.saved.clone(),
            running: Some(self.state.running.clone()),
            gradients: HostGradients::new(set.dx.clone(), dweight, dbias),
            ..results
        })
    }
}

impl Results {
    fn keep_sums(&mut self, sums: ParameterGradients) {
        (self.gradients.dweight, self.gradients.dbias) = (sums.dweight, sums.dbias);
    }
}

fn input<'a>(inputs: &'a Inputs, x: &'a [f32]) -> Input<'a> {
    Input::new(inputs.view, x, inputs.parameters(), inputs.config.eps)
}

fn run(inputs: &Inputs, op: Op, set: &mut Set, state: &mut State) -> Result<(), Failure> {
    let running = &inputs.running;
    let host = input(inputs, &set.x);
    match op {
        Op::Train => {
            let update = inputs.config.running;
            let moved = update.map(|update| Running::new(&mut state.running, update));
            state.saved = cpu::train_forward(&host, moved, &mut set.y)?;
        }
        Op::Inference => cpu::inference(&host, running, &mut set.y)?,
        Op::Backward => {
            let sums = cpu::backward(&host, &set.dy, &state.saved, Some(&mut set.dx))?;
            state.results.keep_sums(sums);
        }
        Op::Frozen => {
            let sums = cpu::backward_frozen(&host, &set.dy, running, Some(&mut set.dx))?;
            state.results.keep_sums(sums);
        }
        Op::Moments => state.results.moments = Some(cpu::moments(&inputs.view, &set.x)?),
        Op::Step => {
            run(inputs, Op::Train, set, state)?;
            run(inputs, Op::Backward, set, state)?;
        }
        Op::Sum => state.results.sum = Some(black_box(host::sum(&set.x))),
    }
    Ok(())
}
