//! Ruins on the sea floor: an ordinary renderer with depth, shadows and antialiasing, which knows
//! nothing of batch norm. Its frame is dim, of low contrast, and blue-green.

use std::f32::consts::FRAC_PI_2;

// WebGPU's clip space is DirectX's.
use glam::camera::rh::{proj::directx, view::look_at_mat4};
use glam::{Mat4, Quat, Vec3, Vec4};
use wgpu_batchnorm::wgpu::{self, util::DeviceExt as _};

use crate::Rectangle;
use crate::mesh::{Mesh, Vertex};

/// Half floats: a dim frame in eight bits would keep a few dozen levels of each channel.
pub const FRAME_FORMAT: wgpu::TextureFormat = wgpu::TextureFormat::Rgba16Float;

const DEPTH_FORMAT: wgpu::TextureFormat = wgpu::TextureFormat::Depth32Float;
const SAMPLES: u32 = 4;
const SHADOW_SIZE: u32 = 2048;

/// Besides a gloss, what a surface is made of; as in `scene.wgsl`.
const STONE: f32 = 0.0;
const SAND: f32 = 2.0;
const WATER: f32 = 3.0;

pub struct Scene {
    pipeline: wgpu::RenderPipeline,
    shadow_pipeline: wgpu::RenderPipeline,
    globals: wgpu::Buffer,
    globals_group: wgpu::BindGroup,
    sun_group: wgpu::BindGroup,
    shadow_group: wgpu::BindGroup,
    shadow_map: wgpu::TextureView,
    objects: Vec<Object>,
    target: Target,
    /// Where it is drawn in the frame; the rest is black.
    view: Rectangle,
}

/// One mesh, drawn in several places.
struct Object {
    vertices: wgpu::Buffer,
    indices: wgpu::Buffer,
    instances: wgpu::Buffer,
    index_count: u32,
    instance_count: u32,
    casts_shadow: bool,
}

/// What depends on the size.
struct Target {
    colour: wgpu::TextureView,
    depth: wgpu::TextureView,
    frame: wgpu::Texture,
}

impl Scene {
    pub fn new(device: &wgpu::Device, size: [u32; 2], view: Rectangle) -> Self {
        let module = device.create_shader_module(wgpu::include_wgsl!("scene.wgsl"));
        let globals = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("globals"),
            size: size_of::<Globals>() as u64,
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let pipeline = pipeline(device, &module, true);
        let shadow_pipeline = self::pipeline(device, &module, false);
        let shadow_map = texture(device, "shadow map", [SHADOW_SIZE; 2], DEPTH_FORMAT, 1)
            .create_view(&Default::default());
        let sampler = device.create_sampler(&wgpu::SamplerDescriptor {
            compare: Some(wgpu::CompareFunction::LessEqual),
            mag_filter: wgpu::FilterMode::Linear,
            min_filter: wgpu::FilterMode::Linear,
            ..Default::default()
        });
        let group =
            |pipeline: &wgpu::RenderPipeline, index, resources: Vec<wgpu::BindingResource<'_>>| {
                let entries: Vec<_> = (0..)
                    .zip(resources)
                    .map(|(binding, resource)| wgpu::BindGroupEntry { binding, resource })
                    .collect();
                device.create_bind_group(&wgpu::BindGroupDescriptor {
                    label: None,
                    layout: &pipeline.get_bind_group_layout(index),
                    entries: &entries,
                })
            };
        // Layouts that wgpu derives belong to one pipeline each.
        let globals_group = group(&pipeline, 0, vec![globals.as_entire_binding()]);
        let sun_group = group(&shadow_pipeline, 0, vec![globals.as_entire_binding()]);
        let shadow_group = group(
            &pipeline,
            1,
            vec![
                wgpu::BindingResource::TextureView(&shadow_map),
                wgpu::BindingResource::Sampler(&sampler),
            ],
        );
        Self {
            pipeline,
            shadow_pipeline,
            globals,
            globals_group,
            sun_group,
            shadow_group,
            shadow_map,
            objects: objects(device),
            target: Target::new(device, size),
            view,
        }
    }

    /// The frame, drawn over by each [`Scene::encode`]: display values, and in alpha what the
    /// water lets through.
    pub fn frame(&self) -> &wgpu::Texture {
        &self.target.frame
    }

    /// Records the frame at `time` in seconds: the shadow map, then the scene.
    pub fn encode(&self, queue: &wgpu::Queue, encoder: &mut wgpu::CommandEncoder, time: f32) {
        let [x, y] = self.view.origin.map(|side| side as f32);
        let [width, height] = self.view.size.map(|side| side as f32);
        let globals = Globals::new(width / height, time);
        queue.write_buffer(&self.globals, 0, bytemuck::bytes_of(&globals));
        let depth = |view, store| wgpu::RenderPassDepthStencilAttachment {
            view,
            depth_ops: Some(wgpu::Operations {
                load: wgpu::LoadOp::Clear(1.0),
                store,
            }),
            stencil_ops: None,
        };
        let mut pass = encoder.begin_render_pass(&wgpu::RenderPassDescriptor {
            label: Some("shadow map"),
            depth_stencil_attachment: Some(depth(&self.shadow_map, wgpu::StoreOp::Store)),
            ..Default::default()
        });
        pass.set_pipeline(&self.shadow_pipeline);
        pass.set_bind_group(0, &self.sun_group, &[]);
        for object in self.objects.iter().filter(|object| object.casts_shadow) {
            object.draw(&mut pass);
        }
        drop(pass);

        let frame = self.target.frame.create_view(&Default::default());
        let mut pass = encoder.begin_render_pass(&wgpu::RenderPassDescriptor {
            label: Some("scene"),
            color_attachments: &[Some(wgpu::RenderPassColorAttachment {
                view: &self.target.colour,
                depth_slice: None,
                resolve_target: Some(&frame),
                ops: wgpu::Operations {
                    load: wgpu::LoadOp::Clear(wgpu::Color::BLACK),
                    store: wgpu::StoreOp::Discard,
                },
            })],
            depth_stencil_attachment: Some(depth(&self.target.depth, wgpu::StoreOp::Discard)),
            ..Default::default()
        });
        pass.set_viewport(x, y, width, height, 0.0, 1.0);
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &self.globals_group, &[]);
        pass.set_bind_group(1, &self.shadow_group, &[]);
        for object in &self.objects {
            object.draw(&mut pass);
        }
    }
}

#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
struct Globals {
    view_projection: Mat4,
    sun_projection: Mat4,
    eye: Vec3,
    time: f32,
    sun: Vec4,
}

impl Globals {
    fn new(aspect: f32, time: f32) -> Self {
        let sway = 0.25 * (0.2 * time).sin();
        let eye = Vec3::new(1.1 + 3.0 * sway, 1.75, 6.6);
        let view = look_at_mat4(eye, Vec3::new(0.1, 1.35, 0.0), Vec3::Y);
        let projection = directx::perspective(0.82, aspect, 0.1, 200.0);
        let sun = Vec3::new(-0.52, 0.8, 0.34).normalize();
        let sun_view = look_at_mat4(20.0 * sun, Vec3::ZERO, Vec3::Y);
        Self {
            view_projection: projection * view,
            sun_projection: directx::orthographic(-11.0, 11.0, -11.0, 11.0, 1.0, 45.0) * sun_view,
            eye,
            time,
            sun: sun.extend(0.0),
        }
    }
}

/// Where a mesh stands, its colour, and its gloss or what it is made of.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
struct Instance {
    place: Mat4,
    colour: Vec4,
}

impl Instance {
    fn new(scale: Vec3, turn: Quat, at: [f32; 3], colour: [f32; 3], made_of: f32) -> Self {
        Self {
            place: Mat4::from_scale_rotation_translation(scale, turn, at.into()),
            colour: Vec3::from(colour).extend(made_of),
        }
    }
}

/// What there is to see.
fn objects(device: &wgpu::Device) -> Vec<Object> {
    let still = Quat::IDENTITY;
    let stone = [0.62, 0.58, 0.50];
    let ball = |radius, at, colour| Instance::new(Vec3::splat(radius), still, at, colour, 0.8);
    let balls = [
        ball(0.62, [-1.75, 0.60, 2.2], [0.80, 0.10, 0.06]),
        ball(0.42, [2.30, 0.40, 2.3], [0.85, 0.52, 0.05]),
        ball(0.50, [1.25, 0.48, 1.2], [0.60, 0.58, 0.55]),
        ball(0.27, [-0.85, 0.25, 2.75], [0.12, 0.42, 0.10]),
        ball(0.30, [0.15, 0.28, 2.5], [0.42, 0.10, 0.42]),
        ball(0.22, [1.02, 0.20, 2.75], [0.06, 0.16, 0.70]),
    ];
    let ring = [
        Instance::new(
            Vec3::splat(1.55),
            Quat::from_rotation_y(0.35) * Quat::from_rotation_x(-0.12),
            [-0.25, 1.35, 0.0],
            [0.70, 0.38, 0.12],
            0.35,
        ),
        Instance::new(
            Vec3::splat(0.55),
            Quat::from_rotation_x(FRAC_PI_2 + 0.25) * Quat::from_rotation_y(0.1),
            [3.2, 0.16, 1.6],
            [0.70, 0.38, 0.12],
            0.35,
        ),
    ];
    // Two rows of columns, some of them broken, and one that fell.
    let heights = [3.3, 3.3, 1.7, 3.3, 3.3, 2.4, 3.3, 3.3];
    let standing = (0..16).map(|k| {
        let (row, side) = (k / 2, if k % 2 == 0 { -1.0 } else { 1.0 });
        let height = heights[(row + 3 * (k % 2)) % heights.len()];
        ([side * 3.4 + 0.2, 0.2, 1.0 - 3.0 * row as f32], height)
    });
    let mut columns = Vec::new();
    let mut slabs = Vec::new();
    for (at @ [x, y, z], height) in standing {
        let turn = Quat::from_rotation_y(x + z);
        columns.push(Instance::new(
            Vec3::new(0.36, height, 0.36),
            turn,
            at,
            stone,
            STONE,
        ));
        slabs.push(Instance::new(
            Vec3::new(0.55, 0.2, 0.55),
            still,
            [x, 0.0, z],
            stone,
            STONE,
        ));
        if height > 3.0 {
            let top = [x, y + height + 0.1, z];
            slabs.push(Instance::new(
                Vec3::new(0.5, 0.12, 0.5),
                still,
                top,
                stone,
                STONE,
            ));
        }
    }
    let fallen = Quat::from_rotation_y(0.5) * Quat::from_rotation_z(-FRAC_PI_2 + 0.06);
    columns.push(Instance::new(
        Vec3::new(0.34, 2.2, 0.34),
        fallen,
        [0.6, 0.2, -1.9],
        stone,
        STONE,
    ));
    let sand = [0.70, 0.60, 0.42];
    let floor = Instance::new(Vec3::new(120.0, 1.0, 120.0), still, [0.0; 3], sand, SAND);
    let dome = Instance::new(Vec3::splat(150.0), still, [0.0; 3], [0.0; 3], WATER);
    vec![
        Object::new(device, &Mesh::plane(), &[floor], false),
        Object::new(device, &Mesh::sphere(), &balls, true),
        Object::new(device, &Mesh::torus(0.2), &ring, true),
        Object::new(device, &Mesh::column(), &columns, true),
        Object::new(device, &Mesh::cube(), &slabs, true),
        Object::new(device, &Mesh::sphere(), &[dome], false),
    ]
}

impl Object {
    fn new(device: &wgpu::Device, mesh: &Mesh, instances: &[Instance], casts_shadow: bool) -> Self {
        let buffer = |label, contents: &[u8], usage| {
            device.create_buffer_init(&wgpu::util::BufferInitDescriptor {
                label: Some(label),
                contents,
                usage,
            })
        };
        let vertex = wgpu::BufferUsages::VERTEX;
        Self {
            vertices: buffer("vertices", bytemuck::cast_slice(&mesh.vertices), vertex),
            indices: buffer(
                "indices",
                bytemuck::cast_slice(&mesh.indices),
                wgpu::BufferUsages::INDEX,
            ),
            instances: buffer("instances", bytemuck::cast_slice(instances), vertex),
            index_count: mesh.indices.len() as u32,
            instance_count: instances.len() as u32,
            casts_shadow,
        }
    }

    fn draw(&self, pass: &mut wgpu::RenderPass<'_>) {
        pass.set_vertex_buffer(0, self.vertices.slice(..));
        pass.set_vertex_buffer(1, self.instances.slice(..));
        pass.set_index_buffer(self.indices.slice(..), wgpu::IndexFormat::Uint32);
        pass.draw_indexed(0..self.index_count, 0, 0..self.instance_count);
    }
}

impl Target {
    fn new(device: &wgpu::Device, size: [u32; 2]) -> Self {
        let multisampled = |label, format| {
            texture(device, label, size, format, SAMPLES).create_view(&Default::default())
        };
        Self {
            colour: multisampled("colour", FRAME_FORMAT),
            depth: multisampled("depth", DEPTH_FORMAT),
            frame: texture(device, "frame", size, FRAME_FORMAT, 1),
        }
    }
}

fn texture(
    device: &wgpu::Device,
    label: &str,
    [width, height]: [u32; 2],
    format: wgpu::TextureFormat,
    sample_count: u32,
) -> wgpu::Texture {
    let mut usage = wgpu::TextureUsages::RENDER_ATTACHMENT;
    if sample_count == 1 {
        usage |= wgpu::TextureUsages::TEXTURE_BINDING | wgpu::TextureUsages::COPY_SRC;
    }
    device.create_texture(&wgpu::TextureDescriptor {
        label: Some(label),
        size: wgpu::Extent3d {
            width,
            height,
            depth_or_array_layers: 1,
        },
        mip_level_count: 1,
        sample_count,
        dimension: wgpu::TextureDimension::D2,
        format,
        usage,
        view_formats: &[],
    })
}

/// The scene's pipeline, or the one that draws depth alone, as the sun sees it.
fn pipeline(device: &wgpu::Device, module: &wgpu::ShaderModule, lit: bool) -> wgpu::RenderPipeline {
    let targets = [Some(FRAME_FORMAT.into())];
    device.create_render_pipeline(&wgpu::RenderPipelineDescriptor {
        label: Some(if lit { "scene" } else { "shadow map" }),
        layout: None,
        vertex: wgpu::VertexState {
            module,
            entry_point: Some(if lit { "vertex" } else { "shadow_vertex" }),
            compilation_options: Default::default(),
            buffers: &[
                Some(wgpu::VertexBufferLayout {
                    array_stride: size_of::<Vertex>() as u64,
                    step_mode: wgpu::VertexStepMode::Vertex,
                    attributes: &wgpu::vertex_attr_array![0 => Float32x3, 1 => Float32x3],
                }),
                Some(wgpu::VertexBufferLayout {
                    array_stride: size_of::<Instance>() as u64,
                    step_mode: wgpu::VertexStepMode::Instance,
                    attributes: &wgpu::vertex_attr_array![
                        2 => Float32x4, 3 => Float32x4, 4 => Float32x4, 5 => Float32x4,
                        6 => Float32x4
                    ],
                }),
            ],
        },
        primitive: Default::default(),
        depth_stencil: Some(wgpu::DepthStencilState {
            format: DEPTH_FORMAT,
            depth_write_enabled: Some(true),
            depth_compare: Some(wgpu::CompareFunction::Less),
            stencil: Default::default(),
            bias: Default::default(),
        }),
        multisample: wgpu::MultisampleState {
            count: if lit { SAMPLES } else { 1 },
            ..Default::default()
        },
        fragment: lit.then(|| wgpu::FragmentState {
            module,
            entry_point: Some("fragment"),
            compilation_options: Default::default(),
            targets: &targets,
        }),
        multiview_mask: None,
        cache: None,
    })
}
