//! A batch in parts: moments and sums merged between the two halves, on the device or on the host,
//! give what one whole batch gives.

use wgpu_batchnorm::check::{self, Report, TrainResult};
use wgpu_batchnorm::plan::Tuning;
use wgpu_batchnorm::{
    Activation, Affine, BackwardBuffers, Binding, Config, Context, Element, Gpu, HostGradients,
    Moments, MomentsBuffers, MomentsRows, Plan, Tensor, TrainBuffers,
};

use super::buffers::run;
use crate::common::case::Case;
use crate::common::data::Kind;
use crate::common::gpu::{
    context, gpu, poisoned, poisoned_as, rows, running_of, running_rows, saved_of,
};

/// Samples of each part; the axis of samples is the first.
const PARTS: [usize; 4] = [3, 1, 5, 2];

/// Where moments and sums are merged.
#[derive(Clone, Copy, PartialEq)]
pub enum Merge {
    Device,
    Host,
}

/// A part of a case: its own plan and tensors.
struct Part {
    plan: Plan,
    count: u64,
    x: Tensor,
    dy: Tensor,
    y: Tensor,
    dx: Tensor,
    moments: Tensor,
    grads: Tensor,
    saved: Tensor,
    workspace: Tensor,
}

impl Part {
    fn all(gpu: &Gpu, context: &Context, case: &Case) -> Vec<Self> {
        let (c, element) = (case.view.channels, case.config.element);
        let sample = case.view.len() / case.shape[0];
        let mut start = 0;
        let part = |samples: usize| {
            let shape = [&[samples], &case.shape[1..]].concat();
            let values = start * sample..(start + samples) * sample;
            start += samples;
            let plan = context.plan(&case.config, &shape).unwrap();
            let upload = |values| Tensor::upload_as(gpu, &shape, element, values).unwrap();
            Self {
                count: plan.view().count() as u64,
                x: upload(&case.x[values.clone()]),
                dy: upload(&case.dy[values]),
                y: poisoned_as(gpu, &shape, element),
                dx: poisoned_as(gpu, &shape, element),
                moments: poisoned(gpu, &[3, c]),
                grads: poisoned(gpu, &[2, c]),
                saved: poisoned(gpu, &[5, c]),
                workspace: poisoned(gpu, &[plan.workspace_bytes() as usize / 4]),
                plan,
            }
        };
        PARTS.into_iter().map(part).collect()
    }

    fn rows(&self, count: u64) -> MomentsRows<'_> {
        MomentsRows {
            rows: self.moments.buffer().slice(..),
            count,
        }
    }

    fn moments(&self) -> Binding {
        let buffers = MomentsBuffers {
            x: self.x.buffer().slice(..),
            moments: self.moments.buffer().slice(..),
            workspace: self.workspace.buffer().slice(..),
        };
        self.plan.bind_moments(&buffers).unwrap()
    }

    fn train_with(
        &self,
        affine: &Tensor,
        running: Option<&Tensor>,
        moments: &MomentsRows<'_>,
    ) -> Binding {
        let buffers = TrainBuffers {
            x: self.x.buffer().slice(..),
            y: Some(self.y.buffer().slice(..)),
            residual: None,
            affine: Some(affine.buffer().slice(..)),
            running: running.map(|t| t.buffer().slice(..)),
            saved: self.saved.buffer().slice(..),
            workspace: self.workspace.buffer().slice(..),
        };
        self.plan.bind_train_with(&buffers, moments).unwrap()
    }

    /// Into the gradients of `sums`.
    fn backward<'a>(&'a self, affine: &'a Tensor, sums: &'a Tensor) -> BackwardBuffers<'a> {
        BackwardBuffers {
            x: self.x.buffer().slice(..),
            dy: self.dy.buffer().slice(..),
            dx: None,
            residual: None,
            dresidual: None,
            affine: Some(affine.buffer().slice(..)),
            saved: self.saved.buffer().slice(..),
            grads: Some(sums.buffer().slice(..)),
            accumulate: false,
            workspace: self.workspace.buffer().slice(..),
        }
    }
}

pub fn judged(gpu: &Gpu, context: &Context, case: &Case, merge: Merge) -> Report {
    let parts = Part::all(gpu, context, case);
    let c = case.view.channels;
    let rows_of = [&case.weight, &case.bias].map(|row| row.clone().unwrap());
    let affine = Tensor::upload(gpu, &[2, c], &rows_of.concat()).unwrap();
    let before = case.running.as_ref().unwrap();
    let running = Tensor::upload(gpu, &[3, c], &running_rows(before)).unwrap();
    let read = |tensor: &Tensor| tensor.read_blocking().unwrap();

    let halves: Vec<Binding> = parts.iter().map(Part::moments).collect();
    let mut total = parts[0].count;
    match merge {
        Merge::Device => {
            let mut bindings: Vec<&Binding> = halves.iter().collect();
            let merges: Vec<Binding> = parts[1..]
                .iter()
                .map(|part| {
                    let into = parts[0].rows(total);
                    total += part.count;
                    let merge = parts[0]
                        .plan
                        .bind_merge_moments(&into, &part.rows(part.count));
                    merge.unwrap()
                })
                .collect();
            assert!(merges.iter().all(|binding| binding.dispatch_count() == 1));
            bindings.extend(&merges);
            run(gpu, &bindings);
        }
        Merge::Host => {
            run(gpu, &halves.iter().collect::<Vec<_>>());
            let all = parts
                .iter()
                .map(|part| Moments::from_rows(part.count, &read(&part.moments)));
            let whole = all.reduce(|a, b| a.merge(&b)).unwrap();
            total = whole.count;
            parts[0].moments.write(&whole.rows()).unwrap();
        }
    }
    assert_eq!(total, case.view.count() as u64, "counts are exact");

    let moments = parts[0].rows(total);
    let first = |k: usize| (k == 0).then_some(&running);
    let trains = parts.iter().enumerate();
    let trains: Vec<Binding> = trains
        .map(|(k, part)| part.train_with(&affine, first(k), &moments))
        .collect();
    assert!(trains.iter().all(|binding| binding.dispatch_count() == 1));
    run(gpu, &trains.iter().collect::<Vec<_>>());

    // Sums of all parts: added up on the way, or read, added and written back.
    let sums = &parts[0].grads;
    let firsts: Vec<Binding> = parts
        .iter()
        .enumerate()
        .map(|(k, part)| {
            let into = if merge == Merge::Device {
                sums
            } else {
                &part.grads
            };
            let buffers = BackwardBuffers {
                accumulate: merge == Merge::Device && k > 0,
                ..part.backward(&affine, into)
            };
            part.plan.bind_backward(&buffers).unwrap()
        })
        .collect();
    run(gpu, &firsts.iter().collect::<Vec<_>>());
    if merge == Merge::Host {
        let mut whole = vec![0.0f64; 2 * c];
        for part in &parts {
            let grads = read(&part.grads);
            whole
                .iter_mut()
                .zip(grads)
                .for_each(|(sum, g)| *sum += f64::from(g));
        }
        let whole: Vec<f32> = whole.into_iter().map(|sum| sum as f32).collect();
        sums.write(&whole).unwrap();
    }
    let seconds: Vec<Binding> = parts
        .iter()
        .map(|part| {
            let buffers = BackwardBuffers {
                dx: Some(part.dx.buffer().slice(..)),
                ..part.backward(&affine, sums)
            };
            part.plan.bind_backward_with(&buffers, total).unwrap()
        })
        .collect();
    assert!(seconds.iter().all(|binding| binding.dispatch_count() == 1));
    run(gpu, &seconds.iter().collect::<Vec<_>>());

    let joined = |tensor: fn(&Part) -> &Tensor| -> Vec<f32> {
        parts.iter().flat_map(|part| read(tensor(part))).collect()
    };
    let bits = |part: &Part| -> Vec<u32> {
        let saved = read(&part.saved);
        saved.into_iter().map(f32::to_bits).collect()
    };
    for part in &parts[1..] {
        assert_eq!(bits(part), bits(&parts[0]), "parts agree on the whole");
    }
    let saved = saved_of(&read(&parts[0].saved));
    let after = running_of(&read(&running));
    let result = TrainResult {
        y: &joined(|part| &part.y),
        saved: &saved,
        running: Some((before, &after, case.config.running.unwrap())),
    };
    let [dweight, dbias] = rows(&read(sums), 2).try_into().unwrap();
    let gradients = HostGradients {
        dx: joined(|part| &part.dx),
        dweight,
        dbias,
    };
    let mut report = check::train_forward(&case.input(), &result);
    report
        .findings
        .extend(check::backward(&case.input(), &case.dy, &gradients, None).findings);
    report
}

#[test]
fn parts_give_what_the_whole_gives() {
    let gpu = gpu();
    let large_mean = Kind::Normal {
        mean: 1e4,
        std: 1.0,
    };
    let relu = Config::pytorch().with_activation(Activation::Relu);
    let half = Config::keras().with_axis(1).with_element(Element::F16);
    for tuning in [Tuning::CPU_ADAPTER, Tuning::DISCRETE] {
        let context = context(&gpu, tuning);
        for (shape, config, kind) in [
            (&[11, 5, 9, 16][..], Config::pytorch(), large_mean),
            (
                &[11, 31, 9, 12],
                Config::pytorch().with_axis(-1),
                large_mean,
            ),
            // Several columns a lane.
            (&[11, 13, 64], Config::pytorch().with_axis(-1), large_mean),
            // A part of one value per channel.
            (&[11, 64], Config::pytorch(), Kind::ALL[0]),
            (&[11, 3, 7, 7], relu, Kind::ALL[0]),
            (&[11, 3, 5, 5], half, Kind::ALL[0]),
        ] {
            let case = Case::new(shape, config, kind, 61);
            for merge in [Merge::Device, Merge::Host] {
                let report = judged(&gpu, &context, &case, merge);
                assert!(report.passed(), "{}: {:?}", case.name, report.worst());
            }
        }
    }
}

#[test]
fn a_channel_that_is_not_finite_in_one_part_is_so_in_all() {
    let gpu = gpu();
    let context = gpu.context();
    let mut case = Case::new(&[11, 5, 9, 16], Config::pytorch(), Kind::ALL[0], 62);
    let last = case.view.runs(3).last().unwrap().start;
    case.x[last] = f32::INFINITY;
    for merge in [Merge::Device, Merge::Host] {
        let report = judged(&gpu, context, &case, merge);
        assert!(report.passed(), "{:?}", report.worst());
    }
}

#[test]
fn what_does_not_fit_a_part_is_refused() {
    let gpu = gpu();
    let case = Case::new(&[11, 5, 4], Config::pytorch(), Kind::ALL[0], 63);
    let parts = Part::all(&gpu, gpu.context(), &case);
    let affine = poisoned(&gpu, &[2, 5]);
    assert_ne!(case.config.affine, Affine::None);
    let part = &parts[0];
    let refused = |count: u64| {
        let train = TrainBuffers {
            x: part.x.buffer().slice(..),
            y: Some(part.y.buffer().slice(..)),
            residual: None,
            affine: Some(affine.buffer().slice(..)),
            running: None,
            saved: part.saved.buffer().slice(..),
            workspace: part.workspace.buffer().slice(..),
        };
        let train = part
            .plan
            .bind_train_with(&train, &part.rows(count))
            .map(drop);
        let backward = BackwardBuffers {
            dx: Some(part.dx.buffer().slice(..)),
            ..part.backward(&affine, &part.grads)
        };
        let backward = part.plan.bind_backward_with(&backward, count).map(drop);
        [train, backward].map(|result| result.map_err(|e| e.to_string()))
    };
    let own = part.count;
    assert!(refused(own).iter().all(Result::is_ok));
    for refused in refused(own - 1) {
        let error = refused.unwrap_err();
        assert!(error.contains(&format!("{}", own - 1)), "{error}");
        assert!(error.contains(&format!("at least the {own}")), "{error}");
    }
    let merge = part
        .plan
        .bind_merge_moments(&part.rows(0), &parts[1].rows(4));
    assert!(merge.unwrap_err().to_string().contains("at least the 1"));
    let no_dx = part
        .plan
        .bind_backward_with(&part.backward(&affine, &part.grads), own);
    assert!(no_dx.unwrap_err().to_string().contains("dx"));
}
