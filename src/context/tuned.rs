//! Contexts with sizes of their own.

#[cfg(feature = "internals")]
use std::sync::Arc;

use super::Context;
#[cfg(feature = "tuning")]
use super::PARTIAL_BYTES;
#[cfg(feature = "internals")]
use crate::error::DeviceError;
#[cfg(feature = "tuning")]
use crate::error::TuningError;
#[cfg(feature = "internals")]
use crate::plan::Tuning;
#[cfg(feature = "tuning")]
use crate::tuning::{AdapterId, TuningFile};

#[cfg(feature = "internals")]
impl Context {
    /// [`Context::new`] with the planner's sizes given: for measurements and tests.
    ///
    /// # Errors
    /// As [`Context::new`]; sizes that do not go together.
    pub fn with_tuning(device: &wgpu::Device, tuning: Tuning) -> Result<Self, DeviceError> {
        let (workgroup, team) = (tuning.planar_workgroup, tuning.planar_team);
        let whole_teams = team > 0 && workgroup > 0 && workgroup.is_multiple_of(team);
        let interleaved = [
            tuning.interleaved_workgroup,
            tuning.interleaved_columns,
            tuning.lane_columns,
        ];
        if !whole_teams || interleaved.contains(&0) {
            return Err(DeviceError::Tuning { workgroup, team });
        }
        Self::tuned(device, tuning, None)
    }

    /// The same device, its work planned with these sizes, and the pipelines that were compiled so far: for a
    /// search that tries many.
    ///
    /// # Errors
    /// As [`Context::with_tuning`].
    pub fn retuned(&self, tuning: Tuning) -> Result<Self, DeviceError> {
        let mut retuned = Self::with_tuning(self.device(), tuning)?;
        // It was made just now, and nobody else has it.
        if let Some(shared) = Arc::get_mut(&mut retuned.shared) {
            shared.pipelines = Arc::clone(&self.shared.pipelines);
        }
        retuned.trust_f16(self.f16_proved());
        Ok(retuned)
    }
}

#[cfg(feature = "tuning")]
impl Context {
    /// [`Context::new`] with the sizes of a tuning file. Where the file says that the device has f16 right by its
    /// float instructions, that is taken as [`Context::calibrate`] would find it.
    ///
    /// # Errors
    /// A file of another adapter or of another driver, workgroups beyond the device's limits, and what
    /// [`Context::new`] refuses.
    pub fn with_tuning_file(device: &wgpu::Device, file: &TuningFile) -> Result<Self, TuningError> {
        file.is_of(&AdapterId::from(&device.adapter_info()))?;
        let tuning = file.contents().sizes;
        let limits = device.limits();
        let widest = tuning.widest();
        for (limit, needed, max) in [
            (
                "max_compute_invocations_per_workgroup",
                widest,
                limits.max_compute_invocations_per_workgroup,
            ),
            (
                "max_compute_workgroup_size_x",
                widest,
                limits.max_compute_workgroup_size_x,
            ),
            (
                "max_compute_workgroup_storage_size",
                widest * PARTIAL_BYTES,
                limits.max_compute_workgroup_storage_size,
            ),
        ] {
            if needed > max {
                return Err(TuningError::Limit {
                    limit,
                    needed: needed.into(),
                    max: max.into(),
                });
            }
        }
        let context = Self::tuned(device, tuning, Some(file.made().to_owned()))?;
        context.trust_f16(file.contents().figures.f16_proved);
        Ok(context)
    }
}

#[cfg(feature = "tuning")]
impl From<&wgpu::AdapterInfo> for AdapterId {
    fn from(info: &wgpu::AdapterInfo) -> Self {
        Self {
            name: info.name.clone(),
            backend: info.backend.to_string(),
            vendor: info.vendor,
            device: info.device,
            driver: info.driver.clone(),
            driver_info: info.driver_info.clone(),
        }
    }
}
