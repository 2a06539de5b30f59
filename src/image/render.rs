//! Normalization through a render pass, into whatever colour target the caller has.

use wgpu::TextureFormat;

use super::{CHANNELS, ImageRenderInputs, texture};
use crate::binding::{timestamps, uniforms};
use crate::bindings::{arguments, check, named};
use crate::config::Config;
use crate::context::{Context, READ_TEXTURE, buffer};
use crate::error::{BindError, EncodeError, PlanError};
use crate::faults::{made, watched};
use crate::operation::params::Params;
use crate::operation::{Asked, Holds, Operation, rows};
use crate::record::StatisticsRows;
use crate::shaders::{Constants, Conversion, Role, render_source, roles_of};
use crate::shape::View;

/// A render pipeline that normalizes images into colour targets of one format, sRGB ones too.
///
/// It is compiled when made: keep it, and bind it to any number of images.
#[derive(Clone, Debug)]
pub struct ImageRender {
    context: Context,
    config: Config,
    pipeline: wgpu::RenderPipeline,
    layout: wgpu::BindGroupLayout,
    /// The storage buffers of the fragment shader.
    buffers: Vec<Role>,
}

/// A bound draw, ready to be recorded any number of times.
#[derive(Clone, Debug)]
pub struct ImageDraw {
    device: wgpu::Device,
    pipeline: wgpu::RenderPipeline,
    bind_group: wgpu::BindGroup,
}

impl ImageDraw {
    /// Records one draw into the caller's pass, which has one colour target, of the format given to
    /// [`Context::image_render`], and neither depth nor multisampling.
    ///
    /// Pixel (i, j) of the target becomes pixel (i, j) of the image, which reaches from its origin to the end of the texture, within
    /// the viewport and the scissor rectangle. Other pixels stay as they are. The target is another image than the one read.
    /// Nothing is blended. NaN is 0 in formats without it.
    ///
    /// The draw stands in a debug group of its own. Afterwards its pipeline and its bind group 0 are still set in
    /// the pass.
    pub fn draw(&self, pass: &mut wgpu::RenderPass<'_>) {
        pass.push_debug_group(LABEL);
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &self.bind_group, &[]);
        pass.draw(0..3, 0..1);
        pass.pop_debug_group();
    }

    /// [`ImageDraw::draw`] between two timestamps, as
    /// [`Binding::encode_timed`](crate::Binding::encode_timed) writes them.
    ///
    /// # Errors
    /// As there.
    pub fn draw_timed(
        &self,
        pass: &mut wgpu::RenderPass<'_>,
        queries: &wgpu::QuerySet,
        first: u32,
    ) -> Result<(), EncodeError> {
        let last = timestamps(&self.device, queries, first)?;
        pass.write_timestamp(queries, first);
        self.draw(pass);
        pass.write_timestamp(queries, last);
        Ok(())
    }
}

impl Context {
    /// Makes the render pipeline that normalizes images into colour targets of `target`.
    ///
    /// ```
    /// use wgpu_batchnorm::{
    ///     Affine, Config, ImageRenderInputs, ImageStatisticsBuffers, StatisticsRows, Tensor, wgpu,
    /// };
    ///
    /// # let gpu = wgpu_batchnorm::Gpu::new_blocking(&wgpu_batchnorm::Adapter::Best)?;
    /// # let (device, queue, context) = (gpu.device(), gpu.queue(), gpu.context());
    /// # let format = wgpu::TextureFormat::Bgra8Unorm;
    /// # let texture = |usage| device.create_texture(&wgpu::TextureDescriptor {
    /// #     label: None,
    /// #     size: wgpu::Extent3d { width: 64, height: 1, depth_or_array_layers: 1 },
    /// #     mip_level_count: 1,
    /// #     sample_count: 1,
    /// #     dimension: wgpu::TextureDimension::D2,
    /// #     format,
    /// #     usage,
    /// #     view_formats: &[],
    /// # });
    /// # use wgpu::TextureUsages as Usages;
    /// # let frame = texture(Usages::TEXTURE_BINDING | Usages::COPY_DST);
    /// # let surface = texture(Usages::RENDER_ATTACHMENT | Usages::COPY_SRC);
    /// # let pixels: Vec<u8> = (0..64 * 4).map(|k| if k < 128 { 64 } else { 191 }).collect();
    /// # queue.write_texture(frame.as_image_copy(), &pixels, Default::default(), frame.size());
    /// # let view = surface.create_view(&Default::default());
    /// let config = Config::pytorch().without_running().with_affine(Affine::None);
    /// let plan = context.plan_image(&config, frame.width(), frame.height())?;
    /// let render = context.image_render(&config, format)?; // once for each format of a target
    ///
    /// let buffer = |bytes: u64| Tensor::empty(&gpu, &[bytes as usize / 4]);
    /// let saved = buffer(plan.saved_bytes())?;
    /// let workspace = buffer(plan.workspace_bytes())?;
    /// let buffers = ImageStatisticsBuffers::new(&frame, saved.slice(), workspace.slice());
    /// let statistics = plan.bind_statistics(&buffers)?;
    /// let inputs = ImageRenderInputs::new(&frame, StatisticsRows::Saved(saved.slice()));
    /// let draw = render.bind(&inputs.with_keep_alpha(true))?;
    ///
    /// let mut encoder = device.create_command_encoder(&Default::default());
    /// statistics.encode(&mut encoder.begin_compute_pass(&Default::default()));
    /// let mut pass = encoder.begin_render_pass(&wgpu::RenderPassDescriptor {
    ///     color_attachments: &[Some(wgpu::RenderPassColorAttachment {
    ///         view: &view, // of the surface
    ///         // ...
    /// #       depth_slice: None,
    /// #       resolve_target: None,
    /// #       ops: Default::default(),
    ///     })],
    ///     ..Default::default()
    /// });
    /// draw.draw(&mut pass);
    /// drop(pass);
    /// # let copy = Tensor::empty(&gpu, &[64])?;
    /// # let to = wgpu::TexelCopyBufferInfo { buffer: copy.buffer(), layout: Default::default() };
    /// # encoder.copy_texture_to_buffer(surface.as_image_copy(), to, surface.size());
    /// queue.submit([encoder.finish()]);
    /// # let texels: Vec<u32> = copy.read_blocking()?.iter().map(|v| v.to_bits()).collect();
    /// # assert_eq!((texels[0], texels[63]), (0x4000_0000, 0xbfff_ffff)); // -1 and 1, alpha kept
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Options out of range; a format that takes no colours, or integers.
    pub fn image_render(
        &self,
        config: &Config,
        target: TextureFormat,
    ) -> Result<ImageRender, PlanError> {
        config.validate()?;
        let features = self.device().features();
        let usages = target.guaranteed_format_features(features).allowed_usages;
        let sampled = target.sample_type(None, Some(features));
        let floats = matches!(sampled, Some(wgpu::TextureSampleType::Float { .. }));
        let renders = usages.contains(wgpu::TextureUsages::RENDER_ATTACHMENT);
        if !(floats && renders && target.has_color_aspect()) {
            return Err(PlanError::TargetFormat {
                got: format!("{target:?}"),
            });
        }
        let source = render_source(conversion(target));
        let mut buffers = roles_of(&source);
        buffers.retain(|&role| role != Role::X);
        let ((pipeline, layout), error) = watched(self.device(), || {
            compile(self, config, target, source, &buffers)
        });
        if let Some(error) = error {
            return Err(PlanError::Pipeline {
                reason: error.to_string(),
            });
        }
        Ok(ImageRender {
            context: self.clone(),
            config: *config,
            pipeline,
            layout,
            buffers,
        })
    }
}

impl ImageRender {
    /// Binds a draw.
    ///
    /// # Errors
    /// Running statistics where the configuration keeps none; a texture and buffers that do not fit.
    pub fn bind(&self, b: &ImageRenderInputs<'_>) -> Result<ImageDraw, BindError> {
        let (operation, statistics) = match b.statistics {
            StatisticsRows::Saved(saved) => (Operation::ImageRenderSaved, ("saved", Some(saved))),
            StatisticsRows::Running(running) => {
                (Operation::ImageRenderRunning, ("running", Some(running)))
            }
        };
        let mut asked = Asked {
            keep_alpha: b.keep_alpha,
            ..Asked::default()
        };
        operation.validate(&self.config, &View::of_lengths(1, CHANNELS, 1), &asked)?;
        let device = self.context.device();
        let x = texture::read(device, &b.x)?;
        let bytes = |holds| match holds {
            Holds::Rows(rows) => rows::bytes(rows, CHANNELS),
            _ => 0,
        };
        let buffers = [("affine", b.affine), statistics];
        let arguments = arguments(operation, &self.config, bytes, &buffers)?;
        check(device, &arguments)?;
        arguments
            .iter()
            .for_each(|argument| asked.give(argument.role));
        let params = Params {
            // Counted in loads, like addresses: the four channels are one.
            all_channels: 1,
            ..bytemuck::Zeroable::zeroed()
        }
        .with_image(0, b.x.first(), [0; 2]);
        let params = operation.options(params, &self.config, &asked);
        let uniforms = made(device, || uniforms(device, &[bytemuck::bytes_of(&params)]))?;
        let mut entries = vec![
            wgpu::BindGroupEntry {
                binding: 0,
                resource: uniforms.as_entire_binding(),
            },
            wgpu::BindGroupEntry {
                binding: Role::X as u32,
                resource: wgpu::BindingResource::TextureView(&x),
            },
        ];
        entries.extend(self.buffers.iter().map(|&role| {
            let given = arguments.iter().find(|argument| argument.role == role);
            wgpu::BindGroupEntry {
                binding: role as u32,
                resource: match given {
                    Some(argument) => wgpu::BindingResource::Buffer(argument.all()),
                    // Any bytes that are only read.
                    None => uniforms.as_entire_binding(),
                },
            }
        }));
        let group = wgpu::BindGroupDescriptor {
            label: Some(LABEL),
            layout: &self.layout,
            entries: &entries,
        };
        let bind_group = made(device, || device.create_bind_group(&group))
            .map_err(|error| named(device, &arguments, [("x", &x)].into_iter(), error))?;
        Ok(ImageDraw {
            device: device.clone(),
            pipeline: self.pipeline.clone(),
            bind_group,
        })
    }
}

const LABEL: &str = "wgpu-batchnorm render";

fn compile(
    context: &Context,
    config: &Config,
    target: TextureFormat,
    source: String,
    buffers: &[Role],
) -> (wgpu::RenderPipeline, wgpu::BindGroupLayout) {
    let device = context.device();
    let constants = Constants {
        activation: config.activation.code(),
        ..Constants::default()
    };
    let constants = constants.of(&source);
    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: Some(LABEL),
        source: wgpu::ShaderSource::Wgsl(source.into()),
    });
    let entry = |binding, ty| wgpu::BindGroupLayoutEntry {
        binding,
        visibility: wgpu::ShaderStages::FRAGMENT,
        ty,
        count: None,
    };
    let mut entries = vec![
        entry(0, buffer(wgpu::BufferBindingType::Uniform)),
        entry(Role::X as u32, READ_TEXTURE),
    ];
    // Read-only: writable storage in a fragment shader is not to be had everywhere.
    let storage = buffer(wgpu::BufferBindingType::Storage { read_only: true });
    entries.extend(buffers.iter().map(|&role| entry(role as u32, storage)));
    let layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
        label: Some(LABEL),
        entries: &entries,
    });
    let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
        label: Some(LABEL),
        bind_group_layouts: &[Some(&layout)],
        immediate_size: 0,
    });
    let compilation_options = wgpu::PipelineCompilationOptions {
        constants: &constants,
        ..Default::default()
    };
    let pipeline = device.create_render_pipeline(&wgpu::RenderPipelineDescriptor {
        label: Some(LABEL),
        layout: Some(&pipeline_layout),
        vertex: wgpu::VertexState {
            module: &module,
            entry_point: Some("cover"),
            compilation_options: compilation_options.clone(),
            buffers: &[],
        },
        fragment: Some(wgpu::FragmentState {
            module: &module,
            entry_point: Some("shade"),
            compilation_options,
            targets: &[Some(target.into())],
        }),
        primitive: wgpu::PrimitiveState::default(),
        depth_stencil: None,
        multisample: wgpu::MultisampleState::default(),
        multiview_mask: None,
        cache: context.pipeline_cache().as_ref(),
    });
    (pipeline, layout)
}

fn conversion(target: TextureFormat) -> Conversion {
    use TextureFormat::{R16Float, R32Float, Rg16Float, Rg32Float, Rgba16Float, Rgba32Float};
    match target {
        R16Float | Rg16Float | Rgba16Float => Conversion::Half,
        R32Float | Rg32Float | Rgba32Float => Conversion::Single,
        _ => Conversion::Unorm,
    }
}
