//! What a forward pass leaves for backward passes.

use super::ForwardRequest;
use crate::config::Activation;
use crate::element::Element;
use crate::error::Error;
use crate::error::{BindError, ConfigError};
use crate::shape::{same_element, same_shape};
use crate::stats::SavedStatistics;
use crate::tensor::{Tensor, Version};
use crate::weights::Outside;

/// What a forward pass leaves for its backward passes: the statistics it normalized with.
///
/// It goes with the layer, the input and the residual of its forward pass, and serves any number of backward passes.
#[derive(Debug)]
pub struct Saved {
    shape: Vec<usize>,
    element: Element,
    in_place: bool,
    pub(crate) statistics: Used,
    /// Kept until backward has found where the activation was.
    pub(crate) residual: Option<Tensor>,
    pub(crate) weights: Option<(Tensor, Outside)>,
    read: Read,
}

/// What a forward pass read, as it was then.
#[derive(Debug)]
struct Read {
    x: Version,
    affine: Version,
    /// Where an activation makes backward read it again.
    residual: Option<Version>,
    weights: Option<Version>,
}

/// Rows of statistics.
#[derive(Debug)]
pub(crate) enum Used {
    /// Saved statistics of the batch, `[5][C]`.
    Batch(Tensor),
    /// A copy of the running statistics, `[3][C]`.
    Frozen(Tensor),
}

impl Used {
    pub(crate) fn rows(&self) -> &Tensor {
        match self {
            Self::Batch(rows) | Self::Frozen(rows) => rows,
        }
    }

    pub(super) fn clone_rows(&self) -> Self {
        match self {
            Self::Batch(rows) => Self::Batch(rows.clone()),
            Self::Frozen(rows) => Self::Frozen(rows.clone()),
        }
    }
}

impl Saved {
    pub(super) fn new(
        x: &Tensor,
        request: ForwardRequest<'_>,
        affine: &Tensor,
        activation: Activation,
        statistics: Used,
    ) -> Self {
        let reread = request.residual.filter(|_| activation != Activation::None);
        Self {
            shape: x.shape().to_vec(),
            element: x.element(),
            in_place: request.in_place,
            statistics,
            residual: request.residual.cloned(),
            weights: request
                .weights
                .map(|(weights, outside)| (weights.clone(), outside)),
            read: Read {
                x: x.version(),
                affine: affine.version(),
                residual: reread.map(Tensor::version),
                weights: request.weights.map(|(weights, _)| weights.version()),
            },
        }
    }

    /// Notes that a forward pass has read these tensors anew; they are those that this was made for.
    pub(super) fn renew(&mut self, x: &Tensor, affine: &Tensor) {
        self.read.x = x.version();
        self.read.affine = affine.version();
        if let (Some(read), Some(residual)) = (&mut self.read.residual, &self.residual) {
            *read = residual.version();
        }
        if let (Some(read), Some((weights, _))) = (&mut self.read.weights, &self.weights) {
            *read = weights.version();
        }
    }

    /// Refuses a backward pass whose gradients would be wrong.
    pub(super) fn check(&self, x: &Tensor, affine: &Tensor) -> Result<(), Error> {
        if self.in_place {
            return Err(ConfigError::InPlace.into());
        }
        same_shape("x", x.shape(), &self.shape)?;
        same_element("x", x.element(), self.element)?;
        if !self.read.affine.is_of(affine) {
            return Err(BindError::OtherLayer.into());
        }
        let stale = |tensor| Err(BindError::Stale { tensor }.into());
        // Another tensor may hold the same values: a caller may have stored x elsewhere meanwhile.
        if self.read.x.is_of(x) && !self.read.x.is_current() {
            return stale("x");
        }
        if !self.read.affine.is_current() {
            return stale("affine");
        }
        match (&self.read.residual, &self.read.weights) {
            (Some(residual), _) if !residual.is_current() => stale("residual"),
            (_, Some(weights)) if !weights.is_current() => stale("weights"),
            _ => Ok(()),
        }
    }

    /// The batch's statistics on the host; `None` where running statistics were used.
    ///
    /// # Errors
    /// A device that was lost or reported an error.
    pub async fn read(&self) -> Result<Option<SavedStatistics>, Error> {
        match &self.statistics {
            Used::Batch(rows) => Ok(Some(SavedStatistics::from_rows(&rows.read().await?)?)),
            Used::Frozen(_) => Ok(None),
        }
    }

    /// Blocking twin of [`Saved::read`].
    ///
    /// # Errors
    /// As there.
    #[cfg(feature = "blocking")]
    pub fn read_blocking(&self) -> Result<Option<SavedStatistics>, Error> {
        pollster::block_on(self.read())
    }
}
