//! A trained batch norm on the host.

use crate::error::{ConfigError, Error};
use crate::shape::check_len;
use crate::state::LayerState;
use crate::stats::{Parameters, variance_taken};

/// A trained batch norm as inference sees it, `[C]` each.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Trained<'a> {
    /// γ and β.
    pub parameters: Parameters<'a>,
    /// Running mean.
    pub mean: &'a [f32],
    /// Running variance.
    pub variance: &'a [f32],
    /// Added to the variance.
    pub eps: f32,
}

impl<'a> Trained<'a> {
    /// From parameters, running mean and running variance, `[C]` each, and what is added to the variance.
    pub fn new(parameters: Parameters<'a>, mean: &'a [f32], variance: &'a [f32], eps: f32) -> Self {
        Self {
            parameters,
            mean,
            variance,
            eps,
        }
    }

    /// Of a layer's state, as [`BatchNorm::state`](crate::BatchNorm::state) gives it and files hold it.
    ///
    /// # Errors
    /// A state without running statistics.
    pub fn of(state: &'a LayerState, eps: f32) -> Result<Self, ConfigError> {
        let running = state.running.as_ref();
        let running = running.ok_or(ConfigError::NoRunningStatistics)?;
        let parameters = Parameters {
            weight: state.weight.as_deref(),
            bias: state.bias.as_deref(),
        };
        Ok(Self::new(parameters, &running.mean, &running.variance, eps))
    }

    /// What each channel is multiplied by, and what then is added: `y = x·scale + shift`.
    pub(super) fn steps(&self) -> Result<Vec<[f64; 2]>, Error> {
        let channels = self.mean.len();
        if channels == 0 {
            return Err(ConfigError::NoChannels.into());
        }
        if !(self.eps.is_finite() && self.eps >= 0.0) {
            return Err(ConfigError::Eps { got: self.eps }.into());
        }
        let length = |tensor, got| check_len(tensor, got, channels);
        length("running_var", self.variance.len())?;
        let parameters = self.parameters;
        parameters.weight.map_or(Ok(()), |w| length("γ", w.len()))?;
        parameters.bias.map_or(Ok(()), |b| length("β", b.len()))?;
        let step = |c| {
            self.check_channel(c)?;
            let variance = f64::from(self.variance[c]) + f64::from(self.eps);
            let scale = f64::from(parameters.weight(c)) / variance.sqrt();
            Ok([
                scale,
                f64::from(parameters.bias(c)) - f64::from(self.mean[c]) * scale,
            ])
        };
        (0..channels).map(step).collect()
    }

    /// Refuses a channel that would fold into weights that are no numbers, or into zeros.
    fn check_channel(&self, c: usize) -> Result<(), ConfigError> {
        let (mean, variance) = (self.mean[c], self.variance[c]);
        let refuse = |statistic, got, expected| {
            Err(ConfigError::RunningStatistic {
                statistic,
                channel: c,
                got,
                expected,
            })
        };
        if !mean.is_finite() {
            return refuse("running_mean", mean, "a finite number");
        }
        if !variance.is_finite() || !variance_taken(variance, self.eps) {
            let expected = "a finite number of at least 0, or one that eps brings above 0";
            return refuse("running_var", variance, expected);
        }
        if variance == 0.0 && self.eps == 0.0 {
            return refuse("running_var", variance, "a number above 0, as eps is 0");
        }
        Ok(())
    }
}
