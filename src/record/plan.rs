//! Every operation of one configuration on one shape, and the sizes of its buffers.

use crate::config::Config;
use crate::context::Context;
use crate::error::PlanError;
use crate::operation::{Operation, rows};
use crate::plan::describe::describe;
use crate::plan::{self, Schedule};
use crate::shape::View;

/// Every operation of one configuration on one shape.
///
/// `bind_*` checks the caller's buffers and makes bind groups. The [`Binding`](crate::Binding) that it gives records the
/// dispatches. Buffers may be slices of one pooled buffer. C is the channel count; per-channel values are
/// f32. Tensors hold the configuration's [`Element`](crate::Element), rounded up to whole words of four
/// bytes.
#[derive(Clone, Debug)]
pub struct Plan {
    pub(super) context: Context,
    pub(super) config: Config,
    pub(super) shape: Vec<usize>,
    pub(super) schedule: Schedule,
}

impl Context {
    /// Plans every operation of `config` on tensors of `shape`.
    ///
    /// Planning is arithmetic. The pipelines, which are slow to make, are kept by the context.
    ///
    /// A tensor larger than one storage binding is bound in pieces, a dispatch each; the caller's
    /// buffers and results are the same.
    ///
    /// ```
    /// use wgpu_batchnorm::{BatchNorm, Config, Gpu, Mode, Tensor, wgpu};
    ///
    /// # let adapters = wgpu_batchnorm::adapters_blocking();
    /// # let adapter = adapters.first().expect("an adapter");
    /// let request = wgpu::DeviceDescriptor {
    ///     required_limits: wgpu::Limits {
    ///         max_storage_buffer_binding_size: 16 << 10, // most have 128 MiB and more
    ///         ..adapter.limits()
    ///     },
    ///     ..Default::default()
    /// };
    /// let (device, queue) = pollster::block_on(adapter.request_device(&request))?;
    /// let gpu = Gpu::with_device(device, queue)?;
    ///
    /// let shape = [8, 4, 33, 33]; // 136 KiB
    /// let plan = gpu.context().plan(&Config::pytorch(), &shape)?;
    /// println!("{}", plan.describe()); // tells of the pieces
    ///
    /// let mut layer = BatchNorm::new(&gpu, 4, Config::pytorch())?;
    /// let values: Vec<f32> = (0..8 * 4 * 33 * 33).map(|i| 1e3 + (i % 13) as f32).collect();
    /// let forward = layer.forward(&Tensor::upload(&gpu, &shape, &values)?, Mode::Train)?;
    /// let sum: f32 = forward.y.read_blocking()?.iter().sum();
    /// assert!(sum.abs() / 34_848.0 < 1e-5); // y has mean 0 over all its pieces
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// A shape or options out of range, or scratch or statistics that no binding can hold.
    pub fn plan(&self, config: &Config, shape: &[usize]) -> Result<Plan, PlanError> {
        config.validate()?;
        let view = config.view(shape)?;
        // No operation has longer rows.
        let needs = Operation::Train.needs();
        let schedule = plan::plan_dense(view, config.element, &needs, self.machine())?;
        Ok(Plan {
            context: self.clone(),
            config: *config,
            shape: shape.to_vec(),
            schedule,
        })
    }
}

impl Plan {
    /// The view planned for.
    pub fn view(&self) -> View {
        self.schedule.view
    }

    /// How each dispatch divides the work.
    #[cfg(feature = "internals")]
    pub fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// What was chosen for each operation, and why, a line each.
    pub fn describe(&self) -> String {
        describe(
            &self.schedule,
            self.context.machine(),
            self.context.tuned_on(),
        )
    }

    /// Bytes of a tensor in the input's shape: `x`, `y`, `dy`, `dx`, `residual` and `dresidual`.
    pub fn tensor_bytes(&self) -> u64 {
        self.config.element.bytes_of(self.view().len())
    }

    /// Bytes of weight and bias.
    pub fn affine_bytes(&self) -> u64 {
        self.row_bytes(rows::AFFINE)
    }

    /// Bytes of running mean, running variance and number of batches.
    pub fn running_bytes(&self) -> u64 {
        self.row_bytes(rows::RUNNING)
    }

    /// Bytes of what training forward saves: pivot, offset, inv_std, batch_mean and batch_var.
    pub fn saved_bytes(&self) -> u64 {
        self.row_bytes(rows::SAVED)
    }

    /// Bytes of dweight and dbias.
    pub fn grads_bytes(&self) -> u64 {
        self.row_bytes(rows::GRADS)
    }

    /// Bytes of the moments of a part of a batch: pivot, offset and m2.
    pub fn moments_bytes(&self) -> u64 {
        self.row_bytes(rows::MOMENTS)
    }

    /// Bytes of scratch that any one operation of this plan needs. Operations that run one after
    /// another can share it. It is never more than 1 MiB, 4 % of the tensor, or 32 bytes for each channel
    /// in each piece of a tensor that needs several bindings, whichever is the most.
    pub fn workspace_bytes(&self) -> u64 {
        self.schedule.workspace_bytes()
    }

    fn row_bytes(&self, rows: u64) -> u64 {
        rows::bytes(rows, self.view().channels())
    }
}
