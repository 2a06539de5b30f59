//! Results read back and judged.

use super::forward::Used;
use super::{BatchNorm, Gradients, Saved, read_running, read_saved, row};
use crate::canary::Proof;
use crate::check::{self, Check, Report};
use crate::config::Activation;
use crate::element::Element;
use crate::error::Error;
use crate::shape::View;
use crate::stats::{HostGradients, Parameters, RunningStatistics};
use crate::tensor::Tensor;

impl BatchNorm {
    /// What surrounds the run of a layer that checks, whose outputs are those that are there.
    pub(super) async fn proof(
        &self,
        outputs: &[(&'static str, Option<&Tensor>)],
    ) -> Result<Option<Proof>, Error> {
        if self.check == Check::Off {
            return Ok(None);
        }
        let outputs = outputs.iter().filter_map(|&(name, t)| Some((name, t?)));
        let outputs: Vec<_> = outputs.collect();
        Ok(Some(Proof::before(&self.gpu, &outputs).await?))
    }

    pub(super) async fn host_input(
        &self,
        view: View,
        x: &Tensor,
        residual: Option<&Tensor>,
    ) -> Result<HostInput, Error> {
        let affine = self.affine.read().await?;
        let has = self.config.affine;
        Ok(HostInput {
            view,
            x: x.read().await?,
            residual: match residual {
                Some(residual) => Some(residual.read().await?),
                None => None,
            },
            element: x.element(),
            activation: self.config.activation,
            weight: has.has_weight().then(|| row(&affine, 2, 0)),
            bias: has.has_bias().then(|| row(&affine, 2, 1)),
            eps: self.config.eps,
        })
    }

    pub(super) async fn check_train(
        &self,
        host: &HostInput,
        y: &Tensor,
        saved: &Tensor,
        before: Option<&RunningStatistics>,
    ) -> Result<Report, Error> {
        let after = match &self.running {
            Some(running) => Some(read_running(running).await?),
            None => None,
        };
        let moved = before.zip(after.as_ref()).zip(self.config.running);
        let result = check::TrainResult {
            y: &y.read().await?,
            saved: &read_saved(saved).await?,
            running: moved.map(|((before, after), running)| (before, after, running)),
        };
        Ok(check::train_forward(&host.input(), &result))
    }

    pub(super) async fn check_backward(
        &self,
        view: View,
        x: &Tensor,
        dy: &Tensor,
        saved: &Saved,
        gradients: &Gradients,
        before: Option<&[f32]>,
    ) -> Result<Report, Error> {
        let residual = saved.residual.as_ref();
        let host = self.host_input(view, x, residual).await?;
        let dy = dy.read().await?;
        let result = HostGradients {
            dx: match &gradients.dx {
                Some(dx) => dx.read().await?,
                None => vec![],
            },
            dweight: gradients.dweight().await?,
            dbias: gradients.dbias().await?,
        };
        let before = before.map(|rows| rows.split_at(self.channels));
        let input = host.input();
        let frozen = match &saved.statistics {
            Used::Batch(_) => None,
            Used::Frozen(running) => Some(read_running(running).await?),
        };
        let frozen = frozen.as_ref().map(|r| (&r.mean[..], &r.variance[..]));
        let mut report = match frozen {
            None => check::backward(&input, &dy, &result, before),
            Some((mean, variance)) => {
                check::backward_frozen(&input, &dy, mean, variance, &result, before)
            }
        };
        if let Some(dresidual) = &gradients.dresidual {
            let got = dresidual.read().await?;
            report
                .findings
                .extend(check::dresidual(&input, &dy, frozen, &got).findings);
        }
        Ok(report)
    }
}

/// A forward's inputs, read back for a check.
pub(super) struct HostInput {
    view: View,
    x: Vec<f32>,
    residual: Option<Vec<f32>>,
    element: Element,
    activation: Activation,
    weight: Option<Vec<f32>>,
    bias: Option<Vec<f32>>,
    eps: f32,
}

impl HostInput {
    pub(super) fn input(&self) -> check::Input<'_> {
        check::Input {
            view: self.view,
            x: &self.x,
            parameters: Parameters {
                weight: self.weight.as_deref(),
                bias: self.bias.as_deref(),
            },
            eps: self.eps,
            epilogue: check::Epilogue {
                element: self.element,
                activation: self.activation,
                residual: self.residual.as_deref(),
            },
        }
    }
}
