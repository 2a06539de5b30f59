//! The seam between the renderer and batch norm: a texture in, a texture out.

use std::error::Error;

use wgpu_batchnorm::wgpu::{self, util::DeviceExt as _};
use wgpu_batchnorm::{Binding, Config, Context, TrainBuffers};

/// The format of what comes out: values beyond [0, 1] are kept until something shows them.
pub const FORMAT: wgpu::TextureFormat = wgpu::TextureFormat::Rgba16Float;

/// Normalizes the red, green and blue of one texture into another; alpha goes over as it is.
///
/// Everything is made once; a frame costs what [`Normalization::normalize`] records. A frame is
/// a batch of one image in NHWC, so its pixels are what a channel's statistics are taken over.
pub struct Normalization {
    unpack: Kernel,
    batch_norm: Binding,
    pack: Kernel,
    result: wgpu::Texture,
}

impl Normalization {
    /// Each channel of `frame` gets this mean and this standard deviation.
    pub fn new(
        context: &Context,
        device: &wgpu::Device,
        frame: &wgpu::Texture,
        mean: f32,
        std: f32,
    ) -> Result<Self, Box<dyn Error>> {
        let size = frame.size();
        let shape = [1, size.height as usize, size.width as usize, 3];
        // The scene's variances are of the size of PyTorch's eps, which would show in the result.
        let config = Config::pytorch()
            .with_axis(-1)
            .with_eps(1e-9)
            .without_running();
        let plan = context.plan(&config, &shape)?;
        let buffer = |label, bytes| {
            device.create_buffer(&wgpu::BufferDescriptor {
                label: Some(label),
                size: bytes,
                usage: wgpu::BufferUsages::STORAGE,
                mapped_at_creation: false,
            })
        };
        let x = buffer("x", plan.tensor_bytes());
        let y = buffer("y", plan.tensor_bytes());
        let saved = buffer("saved", 5 * 3 * 4);
        let workspace = buffer("workspace", plan.workspace_bytes());
        // Batch norm's weight is the standard deviation that comes out, its bias the mean.
        let affine = device.create_buffer_init(&wgpu::util::BufferInitDescriptor {
            label: Some("affine"),
            contents: bytemuck::cast_slice(&[[std; 3], [mean; 3]]),
            usage: wgpu::BufferUsages::STORAGE,
        });
        let batch_norm = plan.bind_train(&TrainBuffers {
            x: x.slice(..),
            y: Some(y.slice(..)),
            residual: None,
            affine: Some(affine.slice(..)),
            running: None,
            saved: saved.slice(..),
            workspace: workspace.slice(..),
        })?;

        let result = device.create_texture(&wgpu::TextureDescriptor {
            label: Some("normalized frame"),
            size,
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format: FORMAT,
            usage: wgpu::TextureUsages::STORAGE_BINDING
                | wgpu::TextureUsages::TEXTURE_BINDING
                | wgpu::TextureUsages::COPY_SRC,
            view_formats: &[],
        });
        let module = device.create_shader_module(wgpu::include_wgsl!("normalize.wgsl"));
        let source = frame.create_view(&Default::default());
        let target = result.create_view(&Default::default());
        let view = wgpu::BindingResource::TextureView;
        let groups = [size.width.div_ceil(8), size.height.div_ceil(8)];
        let kernel = |entry, bindings| Kernel::new(device, &module, entry, bindings, groups);
        Ok(Self {
            unpack: kernel(
                "unpack",
                vec![(0, view(&source)), (1, x.as_entire_binding())],
            ),
            batch_norm,
            pack: kernel(
                "pack",
                vec![
                    (0, view(&source)),
                    (1, y.as_entire_binding()),
                    (2, view(&target)),
                ],
            ),
            result,
        })
    }

    /// Records the normalization of what is in the frame by then.
    pub fn normalize(&self, encoder: &mut wgpu::CommandEncoder) {
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
            label: Some("normalize"),
            timestamp_writes: None,
        });
        self.unpack.encode(&mut pass);
        self.batch_norm.encode(&mut pass);
        self.pack.encode(&mut pass);
    }

    /// The normalized frame.
    pub fn result(&self) -> &wgpu::Texture {
        &self.result
    }
}

struct Kernel {
    pipeline: wgpu::ComputePipeline,
    bind_group: wgpu::BindGroup,
    groups: [u32; 2],
}

impl Kernel {
    fn new(
        device: &wgpu::Device,
        module: &wgpu::ShaderModule,
        entry: &str,
        bindings: Vec<(u32, wgpu::BindingResource<'_>)>,
        groups: [u32; 2],
    ) -> Self {
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(entry),
            layout: None,
            module,
            entry_point: Some(entry),
            compilation_options: Default::default(),
            cache: None,
        });
        let entries: Vec<_> = bindings
            .into_iter()
            .map(|(binding, resource)| wgpu::BindGroupEntry { binding, resource })
            .collect();
        let bind_group = device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(entry),
            layout: &pipeline.get_bind_group_layout(0),
            entries: &entries,
        });
        Self {
            pipeline,
            bind_group,
            groups,
        }
    }

    fn encode(&self, pass: &mut wgpu::ComputePass<'_>) {
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &self.bind_group, &[]);
        pass.dispatch_workgroups(self.groups[0], self.groups[1], 1);
    }
}
