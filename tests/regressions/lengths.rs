//! Slices that are not as long as their view says: the reference and the judges panicked on them, and a view of 2⁴⁰
//! channels over four values ended the process for want of memory. Each is an error that names the slice.

use std::cell::RefCell;
use std::collections::BTreeMap;

use wgpu_batchnorm::check::{self, Input, TrainResult};
use wgpu_batchnorm::error::ShapeError;
use wgpu_batchnorm::reference::{self, Moments};
use wgpu_batchnorm::{
    Config, HostGradients, Parameters, RunningStatistics, SavedStatistics, SubBatches, View,
};

const EPS: f32 = 1e-5;

/// What a call is given, by name. All of it is as long as the view says, but for what is told here.
struct Given {
    view: View,
    /// The one slice that has another length.
    wrong: Option<(&'static str, usize)>,
    /// The length of all of them, whatever the view says.
    all: Option<usize>,
    /// What the call was given, and how long each should be.
    asked: RefCell<BTreeMap<&'static str, usize>>,
}

impl Given {
    fn of(view: View) -> Self {
        Self {
            view,
            wrong: None,
            all: None,
            asked: RefCell::default(),
        }
    }

    fn values(&self, name: &'static str, expected: usize) -> Vec<f32> {
        self.asked.borrow_mut().insert(name, expected);
        let wrong = self.wrong.filter(|(wrong, _)| *wrong == name);
        let len = wrong.map_or(expected, |(_, len)| len);
        (0..self.all.unwrap_or(len)).map(|k| k as f32).collect()
    }

    fn tensor(&self, name: &'static str) -> Vec<f32> {
        self.values(name, self.view.len())
    }

    fn row(&self, name: &'static str) -> Vec<f32> {
        self.values(name, self.view.channels())
    }

    fn wide(&self, name: &'static str) -> Vec<f64> {
        self.row(name).into_iter().map(f64::from).collect()
    }

    fn moments(&self) -> Moments {
        let mut moments = Moments::new(vec![], vec![]).unwrap();
        moments.mean = self.wide("mean");
        moments.variance = self.wide("variance");
        moments
    }

    fn running(&self, [mean, variance, batches]: [&'static str; 3]) -> RunningStatistics {
        let mut running = RunningStatistics::new(1).unwrap();
        running.mean = self.row(mean);
        running.variance = self.row(variance);
        running.batches = vec![1; self.row(batches).len()];
        running
    }

    fn saved(&self) -> SavedStatistics {
        let mut saved = SavedStatistics::default();
        saved.pivot = self.row("saved pivot");
        saved.offset = self.row("saved offset");
        saved.inv_std = self.row("saved inv_std");
        saved.batch_mean = self.row("saved batch_mean");
        saved.batch_var = self.row("saved batch_var");
        saved
    }

    fn gradients(&self) -> HostGradients {
        HostGradients::new(self.tensor("dx"), self.row("dweight"), self.row("dbias"))
    }

    /// Of one row each.
    fn sub_batches(&self) -> SubBatches {
        let (outer, channels, inner) = (self.view.outer(), self.view.channels(), self.view.inner());
        SubBatches::new(1, &[outer, channels, inner], 1).unwrap()
    }

    /// Calls `f` with weight and bias.
    fn with_parameters<T>(&self, f: impl FnOnce(Parameters<'_>) -> T) -> T {
        let (weight, bias) = (self.row("weight"), self.row("bias"));
        f(Parameters::default()
            .with_weight(&weight[..])
            .with_bias(&bias[..]))
    }

    /// Calls `f` with all that a judge reads.
    fn with_input<T>(&self, f: impl FnOnce(&Input<'_>) -> T) -> T {
        let (x, residual) = (self.tensor("x"), self.tensor("residual"));
        self.with_parameters(|parameters| {
            let epilogue = check::Epilogue::default().with_residual(&residual[..]);
            f(&Input::new(self.view, &x, parameters, EPS).with_epilogue(epilogue))
        })
    }
}

type Call = fn(&Given) -> Result<(), ShapeError>;

/// Every public function of both modules that takes slices along a view.
const CALLS: [(&str, Call); 18] = [
    ("reference::moments", |given| {
        reference::moments(&given.view, &given.tensor("x")).map(drop)
    }),
    ("reference::train_forward", |given| {
        let x = given.tensor("x");
        given
            .with_parameters(|p| reference::train_forward(&given.view, &x, p, EPS))
            .map(drop)
    }),
    ("reference::normalize", |given| {
        let (x, moments) = (given.tensor("x"), given.moments());
        given
            .with_parameters(|p| reference::normalize(&given.view, &x, &moments, p, EPS))
            .map(drop)
    }),
    ("reference::update_running", |given| {
        let names = ["running mean", "running variance", "running batches"];
        let (old, options) = (given.running(names), Config::pytorch().running.unwrap());
        // The mean of the batch says how many channels there are.
        let mut batch = Moments::new(vec![0.0; 3], vec![0.0; 3]).unwrap();
        batch.variance = given.wide("variance");
        reference::update_running(&old, &batch, 8, options).map(drop)
    }),
    ("reference::backward", |given| {
        let (x, dy, weight) = (given.tensor("x"), given.tensor("dy"), given.row("weight"));
        reference::backward(&given.view, &x, &dy, Some(&weight), EPS).map(drop)
    }),
    ("reference::backward_frozen", |given| {
        let (x, dy, weight) = (given.tensor("x"), given.tensor("dy"), given.row("weight"));
        let frozen = given.moments();
        reference::backward_frozen(&given.view, &x, &dy, &frozen, Some(&weight), EPS).map(drop)
    }),
    ("reference::sub_batched_train_forward", |given| {
        let (x, cut) = (given.tensor("x"), given.sub_batches());
        given
            .with_parameters(|p| reference::sub_batched_train_forward(&cut, &x, p, EPS))
            .map(drop)
    }),
    ("reference::sub_batched_update_running", |given| {
        let names = ["running mean", "running variance", "running batches"];
        let (old, options) = (given.running(names), Config::pytorch().running.unwrap());
        let cut = given.sub_batches();
        let rows = cut.count() * given.view.channels();
        let wide = |name| {
            given
                .values(name, rows)
                .into_iter()
                .map(f64::from)
                .collect()
        };
        let mut moments = Moments::new(vec![], vec![]).unwrap();
        (moments.mean, moments.variance) = (wide("mean"), wide("variance"));
        reference::sub_batched_update_running(&old, &moments, &cut, options).map(drop)
    }),
    ("reference::sub_batched_backward", |given| {
        let (x, dy, weight) = (given.tensor("x"), given.tensor("dy"), given.row("weight"));
        let cut = given.sub_batches();
        reference::sub_batched_backward(&cut, &x, &dy, Some(&weight), EPS).map(drop)
    }),
    ("check::train_forward", |given| {
        let (y, saved) = (given.tensor("y"), given.saved());
        let [before, after] = [
            [
                "running mean before",
                "running variance before",
                "running batches before",
            ],
            [
                "running mean after",
                "running variance after",
                "running batches after",
            ],
        ]
        .map(|names| given.running(names));
        let options = Config::pytorch().running.unwrap();
        let result = TrainResult::new(&y, &saved).with_running((&before, &after, options));
        given
            .with_input(|input| check::train_forward(input, &result))
            .map(drop)
    }),
    ("check::inference", |given| {
        let (mean, variance, y) = (given.row("mean"), given.row("variance"), given.tensor("y"));
        given
            .with_input(|input| check::inference(input, &mean, &variance, &y))
            .map(drop)
    }),
    ("check::normalize", |given| {
        let (moments, y) = (given.moments(), given.tensor("y"));
        given
            .with_input(|input| check::normalize(input, &moments, &y))
            .map(drop)
    }),
    ("check::moments", |given| {
        let (mean, variance) = (given.row("mean"), given.row("variance"));
        check::moments(&given.view, &given.tensor("x"), &mean, &variance).map(drop)
    }),
    ("check::moments_over", |given| {
        let (mean, variance) = (given.row("mean"), given.row("variance"));
        let view = given.view;
        let shape = [view.outer(), view.channels(), view.inner()];
        check::moments_over(&given.tensor("x"), &shape, &[0, 2], &mean, &variance).map(drop)
    }),
    ("check::backward", |given| {
        let (dy, gradients) = (given.tensor("dy"), given.gradients());
        let before = (
            &given.row("dweight before")[..],
            &given.row("dbias before")[..],
        );
        given
            .with_input(|input| check::backward(input, &dy, &gradients, Some(before)))
            .map(drop)
    }),
    ("check::backward_frozen", |given| {
        let (dy, gradients) = (given.tensor("dy"), given.gradients());
        let (mean, variance) = (given.row("mean"), given.row("variance"));
        let before = (
            &given.row("dweight before")[..],
            &given.row("dbias before")[..],
        );
        given
            .with_input(|input| {
                check::backward_frozen(input, &dy, &mean, &variance, &gradients, Some(before))
            })
            .map(drop)
    }),
    ("check::dresidual", |given| {
        let (dy, got) = (given.tensor("dy"), given.tensor("dresidual"));
        given
            .with_input(|input| check::dresidual(input, &dy, None, &got))
            .map(drop)
    }),
    ("check::dresidual, frozen", |given| {
        let (dy, got) = (given.tensor("dy"), given.tensor("dresidual"));
        let (mean, variance) = (given.row("mean"), given.row("variance"));
        let frozen = Some((&mean[..], &variance[..]));
        given
            .with_input(|input| check::dresidual(input, &dy, frozen, &got))
            .map(drop)
    }),
];

#[test]
fn every_slice_is_as_long_as_the_view_says() {
    let view = View::new(&[2, 3, 4], 1).unwrap();
    let mut refused = 0;
    for (function, call) in CALLS {
        let right = Given::of(view);
        assert_eq!(call(&right), Ok(()), "{function}");
        for (tensor, expected) in right.asked.into_inner() {
            for got in [expected - 1, expected + 1] {
                let wrong = Given {
                    wrong: Some((tensor, got)),
                    ..Given::of(view)
                };
                let error = ShapeError::Length {
                    tensor,
                    got,
                    expected,
                };
                assert_eq!(call(&wrong), Err(error), "{function}");
                refused += 1;
            }
        }
    }
    assert_eq!(refused, 2 * 104);
}

#[test]
fn a_view_of_more_channels_than_there_is_memory_for() {
    let view = View::from_lengths(1, 1 << 40, 1).unwrap();
    for (function, call) in CALLS {
        let given = Given {
            all: Some(4),
            ..Given::of(view)
        };
        let result = call(&given);
        if given.asked.into_inner().contains_key("x") {
            let error = ShapeError::Length {
                tensor: "x",
                got: 4,
                expected: 1 << 40,
            };
            assert_eq!(result, Err(error), "{function}");
        }
    }
}

#[test]
fn moments_of_unequal_lengths() {
    for len in [0, 1, 3] {
        let error = ShapeError::Length {
            tensor: "variance",
            got: len,
            expected: 2,
        };
        assert_eq!(Moments::new(vec![0.0; 2], vec![0.0; len]), Err(error));
    }
    let moments = Moments::new(vec![0.0; 2], vec![3.0, 0.0]).unwrap();
    assert_eq!(moments.inv_std(1.0), [0.5, 1.0]);
}
