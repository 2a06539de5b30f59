//! The tensors of one shape on an adapter.

use wgpu_batchnorm::check::Finding;
use wgpu_batchnorm::{HostGradients, RunningStatistics, SavedStatistics, Tensor, wgpu};

use super::device::GpuDevice;
use super::inputs::Inputs;
use crate::failure::Failure;

/// Tensors of the input's shape; several sets are gone round.
pub struct Set {
    pub x: Tensor,
    pub dy: Tensor,
    pub y: Tensor,
    pub dx: Tensor,
}

/// What every set shares.
pub struct Shared {
    pub affine: Tensor,
    /// Moved by training.
    pub running: Tensor,
    /// What inference and backward through frozen statistics read.
    pub frozen: Tensor,
    pub saved: Tensor,
    pub grads: Tensor,
    pub workspace: Tensor,
    pub sum: Tensor,
}

/// As many sets as asked for, all with the same values and all written to once, so that their
/// memory is there.
pub fn sets(device: &GpuDevice, inputs: &Inputs, count: usize) -> Result<Vec<Set>, Failure> {
    let shape = inputs.case.stored();
    let set = |_| -> Result<Set, Failure> {
        let empty = || Tensor::empty_as(&device.gpu, &shape, inputs.case.element);
        Ok(Set {
            x: empty()?,
            dy: empty()?,
            y: empty()?,
            dx: empty()?,
        })
    };
    let sets = (0..count).map(set).collect::<Result<Vec<_>, _>>()?;
    sets[0].x.write(&inputs.x)?;
    sets[0].dy.write(&inputs.dy)?;
    let copy = |encoder: &mut wgpu::CommandEncoder, from: &Tensor, to: &Tensor| {
        let (from, to) = (from.buffer(), to.buffer());
        encoder.copy_buffer_to_buffer(from, 0, to, 0, from.size());
    };
    device.submit(|encoder| {
        for set in &sets {
            encoder.clear_buffer(set.y.buffer(), 0, None);
            encoder.clear_buffer(set.dx.buffer(), 0, None);
        }
        for set in &sets[1..] {
            copy(encoder, &sets[0].x, &set.x);
            copy(encoder, &sets[0].dy, &set.dy);
        }
    });
    Ok(sets)
}

/// An error where the device does not hold the inputs as the host has them, bit for bit.
pub fn held(set: &Set, shared: &Shared, inputs: &Inputs) -> Result<(), Failure> {
    let affine = [&inputs.weight[..], &inputs.bias].concat();
    let running = inputs.running.to_rows()?;
    for (name, tensor, given) in [
        ("x on the device", &set.x, &inputs.x),
        ("dy on the device", &set.dy, &inputs.dy),
        ("affine on the device", &shared.affine, &affine),
        (
            "running statistics on the device",
            &shared.running,
            &running,
        ),
        ("frozen statistics on the device", &shared.frozen, &running),
    ] {
        if let Some(finding) = Finding::held(name, &tensor.read_blocking()?, given) {
            return Err(Failure::Check(format!("check failed: {finding}")));
        }
    }
    Ok(())
}

impl Shared {
    pub fn new(device: &GpuDevice, inputs: &Inputs, workspace_bytes: u64) -> Result<Self, Failure> {
        let gpu = &device.gpu;
        let c = inputs.view.channels();
        let affine = [&inputs.weight[..], &inputs.bias].concat();
        let running = inputs.running.to_rows()?;
        let words = workspace_bytes.div_ceil(4).max(1);
        Ok(Self {
            affine: Tensor::upload(gpu, &[2, c], &affine)?,
            running: Tensor::upload(gpu, &[3, c], &running)?,
            frozen: Tensor::upload(gpu, &[3, c], &running)?,
            saved: Tensor::empty(gpu, &[5, c])?,
            grads: Tensor::empty(gpu, &[2, c])?,
            workspace: Tensor::empty(gpu, &[words as usize])?,
            sum: Tensor::empty(gpu, &[1])?,
        })
    }

    /// Scratch of so many bytes at least; what is bound already keeps its own.
    pub fn make_room(&mut self, device: &GpuDevice, bytes: u64) -> Result<(), Failure> {
        let words = bytes.div_ceil(4) as usize;
        if words > self.workspace.len() {
            self.workspace = Tensor::empty(&device.gpu, &[words])?;
        }
        Ok(())
    }

    /// Statistics as they were before any training.
    pub fn reset(&self, inputs: &Inputs) -> Result<(), Failure> {
        Ok(self.running.write(&inputs.running.to_rows()?)?)
    }

    pub fn read_saved(&self) -> Result<SavedStatistics, Failure> {
        let rows = self.saved.read_blocking()?;
        Ok(SavedStatistics::from_rows(&rows)?)
    }

    pub fn read_running(&self) -> Result<RunningStatistics, Failure> {
        let rows = self.running.read_blocking()?;
        Ok(RunningStatistics::from_rows(&rows)?)
    }

    pub fn read_gradients(&self, dx: &Tensor) -> Result<HostGradients, Failure> {
        let [dweight, dbias] = rows(&self.grads)?;
        let dx = dx.read_blocking()?;
        Ok(HostGradients::new(dx, dweight, dbias))
    }
}

/// The `N` rows of a tensor.
fn rows<const N: usize>(tensor: &Tensor) -> Result<[Vec<f32>; N], Failure> {
    let values = tensor.read_blocking()?;
    let c = values.len() / N;
    Ok(std::array::from_fn(|row| values[row * c..][..c].to_vec()))
}
