//! Buffers, submissions and readbacks of a [`Gpu`].

use super::Gpu;
use crate::canary::{self, Canary};
use crate::error::{BindError, Error, RunError};
use crate::faults::{allocated, cause, is_lost, unusable_buffer, watched_as};
use crate::readback::read;
use crate::tensor::Tensor;

impl Gpu {
    /// A zeroed storage buffer.
    pub(crate) fn storage(&self, label: &str, bytes: u64) -> Result<wgpu::Buffer, RunError> {
        let usage = wgpu::BufferUsages::STORAGE
            | wgpu::BufferUsages::COPY_SRC
            | wgpu::BufferUsages::COPY_DST;
        allocated(self.device(), label, bytes, usage)
    }

    /// Refuses a buffer of another device or one that is destroyed: wgpu tells that of a buffer that is bound.
    pub(crate) fn holds(&self, name: &'static str, buffer: &wgpu::Buffer) -> Result<(), BindError> {
        let Some(error) = unusable_buffer(self.device(), buffer) else {
            return Ok(());
        };
        Err(match cause(self.device(), error) {
            RunError::Device { reason } => BindError::Unusable { name, reason },
            lost_or_full => BindError::Run(lost_or_full),
        })
    }

    /// Does `work`; what wgpu reports of it at once is the error, with the operation's name.
    pub(crate) fn watch<T>(
        &self,
        operation: &'static str,
        work: impl FnOnce() -> T,
    ) -> Result<T, RunError> {
        watched_as(operation, self.device(), work)
    }

    /// Submits what `record` puts into one compute pass, after `before` recorded its copies, and a canary
    /// in a command buffer of its own where there is one.
    ///
    /// # Errors
    /// What wgpu reports at once: nothing of the submission runs then.
    pub(crate) fn submit(
        &self,
        operation: &'static str,
        before: impl FnOnce(&mut wgpu::CommandEncoder),
        record: impl FnOnce(&mut wgpu::ComputePass<'_>),
        canary: Option<&Canary>,
    ) -> Result<(), RunError> {
        self.shared.late.began(operation);
        self.watch(operation, || {
            let encoder = || self.device().create_command_encoder(&Default::default());
            let mut work = encoder();
            before(&mut work);
            record(&mut work.begin_compute_pass(&Default::default()));
            let last = canary.map(|canary| {
                let mut encoder = encoder();
                canary.encode(&mut encoder.begin_compute_pass(&Default::default()));
                encoder.finish()
            });
            self.queue().submit([work.finish()].into_iter().chain(last));
        })
    }

    /// What to say of work that was refused with `error`: which of `tensors` is unusable, where one is. It may have been
    /// destroyed since it was bound. They are tried one by one only here, so work that is accepted pays nothing for it.
    pub(crate) fn blame<'t>(
        &self,
        error: RunError,
        tensors: impl IntoIterator<Item = (&'static str, Option<&'t Tensor>)>,
    ) -> Error {
        let RunError::Device { reason } = error else {
            return error.into();
        };
        let mut given = tensors.into_iter();
        let unusable = given.find_map(|(name, tensor)| {
            unusable_buffer(self.device(), tensor?.buffer()).map(|_| name)
        });
        match unusable {
            Some(name) => BindError::Unusable { name, reason }.into(),
            None => RunError::Device { reason }.into(),
        }
    }

    /// The canary's pipeline, compiled when first asked for, and kept.
    pub(crate) fn canary_pipeline(&self) -> Result<wgpu::ComputePipeline, BindError> {
        if let Some(pipeline) = self.shared.canary.get() {
            return Ok(pipeline.clone());
        }
        let pipeline = canary::pipeline(self.device())?;
        Ok(self.shared.canary.get_or_init(|| pipeline).clone())
    }

    /// Runs a small kernel, and returns an error if its result is missing: some drivers accept work and
    /// execute nothing.
    ///
    /// # Errors
    /// [`RunError::NothingRan`]; a device that was lost, that has no memory left, or that does not
    /// compile the kernel.
    pub async fn probe(&self) -> Result<(), crate::Error> {
        let canary = Canary::new(self)?;
        self.submit("probe", |_| {}, |_| {}, Some(&canary))?;
        match canary.ran().await? {
            true => Ok(()),
            false => Err(RunError::NothingRan.into()),
        }
    }

    /// Waits until the device has done what was submitted to it, and returns the error that the device found
    /// after the calls had returned. Every read does the same.
    ///
    /// On native targets this waits on the calling thread; in browsers it yields.
    ///
    /// # Errors
    /// A device that was lost, or an error that it reported since the last read or check. Each error is
    /// returned once and names the operation after which it came. A lost device is an error each time.
    pub async fn check(&self) -> Result<(), RunError> {
        #[cfg(not(target_arch = "wasm32"))]
        let waited = self.device().poll(wgpu::PollType::wait_indefinitely());
        #[cfg(target_arch = "wasm32")]
        let waited: Result<(), wgpu::PollError> = {
            let (sender, receiver) = futures_intrusive::channel::shared::oneshot_channel();
            self.queue().on_submitted_work_done(move || {
                let _ = sender.send(());
            });
            receiver.receive().await;
            Ok(())
        };
        self.fault()?;
        let reason = match waited {
            Err(error) => error.to_string(),
            Ok(_) => "found by a probe".to_owned(),
        };
        match is_lost(self.device()) {
            true => Err(RunError::DeviceLost { reason }),
            false => Ok(()),
        }
    }

    /// Copies `bytes` of a buffer to the host.
    ///
    /// On native targets this waits for the device on the calling thread; in browsers it yields.
    pub(crate) async fn read<T: bytemuck::Pod>(
        &self,
        buffer: &wgpu::Buffer,
        bytes: u64,
    ) -> Result<Vec<T>, RunError> {
        read(self.device(), self.queue(), buffer, bytes, || self.fault()).await
    }

    /// What the device reported since the last call.
    fn fault(&self) -> Result<(), RunError> {
        self.shared.late.take().map_or(Ok(()), Err)
    }
}
