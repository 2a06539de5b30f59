//! Pipelines compiled before they are needed.

use super::Plan;
use crate::config::{Activation, Config};
use crate::context::Context;
use crate::error::BindError;
use crate::operation::{Asked, Operation};
use crate::shaders::Role;
use crate::weights::Outside;

/// An operation to compile ahead, with the options that the later call to `bind_*` will give, because an
/// option can need another pipeline. The setters have the names of the buffers' setters.
#[derive(Clone, Debug)]
pub struct WarmUp {
    operation: Operation,
    /// Options that will be given, by the names of their buffers.
    options: Vec<&'static str>,
    /// What is outside of the weights that will be given.
    weights: Option<Outside>,
}

impl WarmUp {
    /// [`Plan::bind_train`] with `y` over `x`.
    pub fn train() -> Self {
        Self::of(Operation::Train)
    }

    /// [`Plan::bind_inference`] with `y` over `x`.
    pub fn inference() -> Self {
        Self::of(Operation::Inference)
    }

    /// [`Plan::bind_backward`] through batch statistics.
    pub fn backward() -> Self {
        Self::of(Operation::Backward)
    }

    /// [`Plan::bind_backward`] through frozen statistics: [`StatisticsRows::Running`](crate::StatisticsRows::Running).
    pub fn backward_frozen() -> Self {
        Self::of(Operation::BackwardFrozen)
    }

    /// [`Plan::bind_moments`].
    pub fn moments() -> Self {
        Self::of(Operation::Moments)
    }

    /// [`Plan::bind_merge_moments`].
    pub fn merge_moments() -> Self {
        Self::of(Operation::MergeMoments)
    }

    fn of(operation: Operation) -> Self {
        Self {
            operation,
            options: Vec::new(),
            weights: None,
        }
    }

    fn with(mut self, option: &'static str) -> Self {
        self.options.push(option);
        self
    }

    /// With an output of its own.
    pub fn with_y(self) -> Self {
        self.with("y")
    }

    /// With a residual.
    pub fn with_residual(self) -> Self {
        self.with("residual")
    }

    /// With the input's gradient.
    pub fn with_dx(self) -> Self {
        self.with("dx")
    }

    /// With the residual's gradient.
    pub fn with_dresidual(self) -> Self {
        self.with("dresidual")
    }

    /// With weights, and what becomes of values without.
    pub fn with_weights(self, outside: Outside) -> Self {
        Self {
            weights: Some(outside),
            ..self.with("weights")
        }
    }

    /// With given moments: the second half of training forward in parts.
    pub fn with_moments(self) -> Self {
        self.with("moments")
    }

    /// With given sums: the second half of backward in parts, which writes `dx`.
    pub fn with_sums(self) -> Self {
        self.with("sums").with("dx")
    }

    /// The operation and what is asked of it, of a batch of `count` values per channel.
    fn asked(&self, config: &Config, count: f64) -> Result<(Operation, Asked), BindError> {
        let operation = match self.operation {
            Operation::Train if self.options.contains(&"moments") => Operation::TrainPart,
            Operation::Backward if self.options.contains(&"sums") => Operation::BackwardPart,
            operation => operation,
        };
        let mut asked = Asked {
            count: Some(count),
            other_count: 1.0,
            ..Asked::default()
        };
        let frozen = [Operation::Inference, Operation::BackwardFrozen];
        asked = asked.with_some_weights(self.weights, !frozen.contains(&operation));
        for &option in &self.options {
            let mut buffers = operation.buffers().iter();
            match buffers.find(|buffer| buffer.name == option) {
                Some(buffer) => asked.give(buffer.role),
                None => return Err(BindError::Unexpected { buffer: option }),
            }
        }
        asked.through_residual = asked.has(Role::Residual) && config.activation != Activation::None;
        Ok((operation, asked))
    }
}

impl Context {
    /// Compiles what `bind_*` of `plan` will need, so that it compiles nothing in a frame.
    ///
    /// This blocks until everything is compiled, which takes some drivers a second. Any thread may call it
    /// while others bind and record; only a thread that needs a pipeline which is being compiled waits. Warm
    /// up each plan; pipelines that plans share are compiled once.
    ///
    /// ```
    /// use wgpu_batchnorm::{Config, WarmUp};
    ///
    /// # let gpu = wgpu_batchnorm::Gpu::new_blocking(&wgpu_batchnorm::Adapter::Best)?;
    /// # let context = gpu.context().clone();
    /// let plan = context.plan(&Config::pytorch(), &[8, 16, 32, 32])?;
    /// let loading = std::thread::spawn(move || {
    ///     let operations = [WarmUp::train().with_y(), WarmUp::backward().with_dx()];
    ///     context.warm_up(&plan, &operations)
    /// });
    /// // The program loads what else it needs, and then:
    /// loading.join().unwrap()?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// A plan of another context; an option that the operation does not have; options that do not allow an
    /// operation on the plan's shape; a pipeline that the device does not make; a device that was lost or has
    /// no memory.
    pub fn warm_up(&self, plan: &Plan, operations: &[WarmUp]) -> Result<(), BindError> {
        self.is_that_of(&plan.context)?;
        // A part is one of a larger batch.
        let count = (plan.view().count() as f64).max(2.0);
        for operation in operations {
            let (operation, asked) = operation.asked(&plan.config, count)?;
            operation.validate(&plan.config, &plan.view(), &asked)?;
            self.compile(operation, &plan.config, &plan.schedule, asked)?;
        }
        Ok(())
    }
}
