//! What the layer API and the functional forms return: any phase's error.

use crate::check::CheckError;
use crate::error::{
    BindError, ConfigError, DeviceError, PlanError, RunError, ShapeError, StateError,
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
    /// See [`PlanError`].
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// See [`BindError`].
    #[error(transparent)]
    Bind(#[from] BindError),
    /// See [`RunError`].
    #[error(transparent)]
    Run(#[from] RunError),
    /// See [`StateError`].
    #[error(transparent)]
    State(#[from] StateError),
    /// See [`CheckError`].
    #[error(transparent)]
    Check(#[from] CheckError),
}
