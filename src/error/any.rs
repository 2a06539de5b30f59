//! Any phase's error, as the layer API and the functional forms return it.

use super::{
    BindError, CheckError, ConfigError, DeviceError, FoldError, PlanError, RunError, ShapeError,
    StateError,
};

/// Whatever can go wrong in the layer API and the functional forms.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// See [`ShapeError`].
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// See [`ConfigError`].
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// See [`DeviceError`].
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// See [`PlanError`]; a wrong shape or option is told as such.
    #[error(transparent)]
    Plan(PlanError),
    /// See [`BindError`]; a wrong option and a failed device are told as such.
    #[error(transparent)]
    Bind(BindError),
    /// See [`RunError`].
    #[error(transparent)]
    Run(#[from] RunError),
    /// See [`StateError`].
    #[error(transparent)]
    State(#[from] StateError),
    /// See [`FoldError`].
    #[error(transparent)]
    Fold(#[from] FoldError),
    /// See [`CheckError`]: what the functions of `checked` return (feature `reference`).
    #[error(transparent)]
    Check(#[from] CheckError),
}

impl From<PlanError> for Error {
    fn from(error: PlanError) -> Self {
        match error {
            PlanError::Shape(error) => Self::Shape(error),
            PlanError::Config(error) => Self::Config(error),
            error => Self::Plan(error),
        }
    }
}

impl From<BindError> for Error {
    fn from(error: BindError) -> Self {
        match error {
            BindError::Config(error) => Self::Config(error),
            BindError::Shape(error) => Self::Shape(error),
            BindError::Run(error) => Self::Run(error),
            error => Self::Bind(error),
        }
    }
}
