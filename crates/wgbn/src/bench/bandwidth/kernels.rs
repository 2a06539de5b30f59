//! Kernels that do nothing but move memory.

use wgpu_batchnorm::wgpu;

use super::super::device::GpuDevice;
use super::patterns::{Grid, Pattern, pattern};

/// Compiled for one pattern and one length, for any buffers.
pub struct Program {
    layout: wgpu::BindGroupLayout,
    stages: Vec<Stage>,
    uniform: wgpu::Buffer,
    groups: u32,
}

#[derive(Clone)]
struct Stage {
    pipeline: wgpu::ComputePipeline,
    groups: u32,
}

/// A program with its buffers.
pub struct Kernel {
    stages: Vec<Stage>,
    bind_group: wgpu::BindGroup,
}

impl Kernel {
    pub fn encode(&self, pass: &mut wgpu::ComputePass<'_>) {
        pass.set_bind_group(0, &self.bind_group, &[]);
        for Stage { pipeline, groups } in &self.stages {
            pass.set_pipeline(pipeline);
            // One dimension of a grid ends at 65,535.
            let rows = groups.div_ceil(32_768);
            pass.dispatch_workgroups(groups.div_ceil(rows), rows, 1);
        }
    }
}

/// Copies a power of two of vectors: bind source and destination.
pub fn copy(device: &GpuDevice, pattern: Pattern, vectors: u32) -> Program {
    let grid = pattern.grid(vectors);
    let entry = if grid.per_lane < 4 { "one" } else { "four" };
    let stages = [(entry, pattern, grid.groups)];
    Program::new(device, include_str!("copy.wgsl"), 1, grid, &stages)
}

/// Sums a power of two of vectors: bind source, partials and the result, one value.
pub fn sum(device: &GpuDevice, pattern: Pattern, vectors: u32) -> Program {
    let grid = pattern.grid(vectors);
    let stages = [("four", pattern, grid.groups), ("finish", FINISH, 1)];
    Program::new(device, include_str!("sum.wgsl"), 2, grid, &stages)
}

/// So many workgroups of 256 lanes that wait for one load after another: bind the chain, and a value for each lane.
pub fn chase(device: &GpuDevice, groups: u32) -> Program {
    let pattern = pattern(256, None, 512);
    let grid = Grid {
        lanes: groups * pattern.workgroup,
        per_lane: pattern.per_lane,
        groups,
    };
    let stages = [("chase", pattern, groups)];
    Program::new(device, include_str!("chase.wgsl"), 1, grid, &stages)
}

const FINISH: Pattern = pattern(64, None, 4);

impl Program {
    /// A module whose first buffer is read and whose others are `written`.
    fn new(
        gpu: &GpuDevice,
        source: &str,
        written: u32,
        grid: Grid,
        stages: &[(&str, Pattern, u32)],
    ) -> Self {
        let device = gpu.device();
        let layout = layout(device, written);
        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some("wgbn bench bandwidth"),
            source: wgpu::ShaderSource::Wgsl(source.into()),
        });
        let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: None,
            bind_group_layouts: &[Some(&layout)],
            immediate_size: 0,
        });
        let stage = |&(entry, pattern, groups): &(&str, Pattern, u32)| {
            let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: Some(entry),
                layout: Some(&pipeline_layout),
                module: &module,
                entry_point: Some(entry),
                compilation_options: wgpu::PipelineCompilationOptions {
                    constants: &[
                        ("WORKGROUP", f64::from(pattern.workgroup)),
                        ("TEAM", f64::from(pattern.team.unwrap_or(0))),
                        ("PER_LANE", f64::from(grid.per_lane)),
                    ],
                    zero_initialize_workgroup_memory: false,
                },
                cache: None,
            });
            Stage { pipeline, groups }
        };
        let uniform = device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: 16,
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let params = [grid.lanes, grid.groups, 0, 0];
        let queue = gpu.gpu.queue();
        queue.write_buffer(&uniform, 0, bytemuck::cast_slice(&params));
        Self {
            stages: stages.iter().map(stage).collect(),
            layout,
            uniform,
            groups: grid.groups,
        }
    }

    /// Room for the partial sums.
    pub fn partials(&self, device: &GpuDevice) -> wgpu::Buffer {
        device.storage(u64::from(self.groups) * 4)
    }

    pub fn bind(&self, device: &GpuDevice, buffers: &[&wgpu::Buffer]) -> Kernel {
        let all = std::iter::once(&self.uniform).chain(buffers.iter().copied());
        let entries: Vec<_> = (0..)
            .zip(all)
            .map(|(binding, buffer)| wgpu::BindGroupEntry {
                binding,
                resource: buffer.as_entire_binding(),
            })
            .collect();
        let bind_group = wgpu::BindGroupDescriptor {
            label: None,
            layout: &self.layout,
            entries: &entries,
        };
        Kernel {
            stages: self.stages.clone(),
            bind_group: device.device().create_bind_group(&bind_group),
        }
    }
}

fn layout(device: &wgpu::Device, written: u32) -> wgpu::BindGroupLayout {
    let entry = |binding, ty| wgpu::BindGroupLayoutEntry {
        binding,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer {
            ty,
            has_dynamic_offset: false,
            min_binding_size: None,
        },
        count: None,
    };
    let storage = |read_only| wgpu::BufferBindingType::Storage { read_only };
    let mut entries = vec![
        entry(0, wgpu::BufferBindingType::Uniform),
        entry(1, storage(true)),
    ];
    entries.extend((0..written).map(|k| entry(2 + k, storage(false))));
    device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
        label: None,
        entries: &entries,
    })
}
