//! Kernels that do nothing but move memory, along several patterns.

use wgpu_batchnorm::wgpu;

use super::super::device::GpuDevice;

/// How lanes go through memory, in vectors of four f32.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pattern {
    pub workgroup: u32,
    /// Lanes side by side in a contiguous chunk; all of them where there is none.
    pub team: Option<u32>,
    /// Vectors of one lane; four are in flight at once where there are as many.
    pub per_lane: u32,
}

/// What a kernel is told.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Grid {
    pub lanes: u32,
    pub per_lane: u32,
    pub groups: u32,
}

const fn pattern(workgroup: u32, team: Option<u32>, per_lane: u32) -> Pattern {
    Pattern {
        workgroup,
        team,
        per_lane,
    }
}

/// Wide strides and blocks are for GPUs; small teams with chunks of their own for software.
pub const COPIES: [Pattern; 9] = [
    pattern(256, None, 1),
    pattern(256, None, 16),
    pattern(256, Some(256), 4),
    pattern(256, Some(256), 16),
    pattern(8, Some(8), 32),
    pattern(8, Some(8), 256),
    pattern(8, Some(8), 2048),
    pattern(64, Some(8), 256),
    pattern(64, Some(8), 2048),
];

pub const SUMS: [Pattern; 8] = [
    pattern(256, None, 8),
    pattern(256, None, 32),
    pattern(256, Some(256), 16),
    pattern(256, Some(256), 64),
    pattern(8, Some(8), 256),
    pattern(8, Some(8), 2048),
    pattern(64, Some(8), 256),
    pattern(64, Some(8), 2048),
];

/// Fewer lanes leave a device idle.
const FEWEST_LANES: u32 = 1024;

impl Pattern {
    /// The grid for a power of two of vectors, with shorter lanes where there are few.
    pub fn grid(&self, vectors: u32) -> Grid {
        let mut per_lane = self.per_lane;
        while per_lane > 4 && vectors / per_lane < FEWEST_LANES {
            per_lane /= 2;
        }
        let lanes = vectors / per_lane;
        Grid {
            lanes,
            per_lane,
            groups: lanes.div_ceil(self.workgroup),
        }
    }
}

impl std::fmt::Display for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            workgroup,
            per_lane,
            ..
        } = self;
        match self.team {
            None => write!(f, "grid-wide stride")?,
            Some(team) => write!(f, "{team} lanes a chunk")?,
        }
        write!(f, ", {per_lane} vec4 a lane, workgroups of {workgroup}")
    }
}

/// A dispatch with its buffers.
pub struct Kernel {
    pipeline: wgpu::ComputePipeline,
    bind_group: wgpu::BindGroup,
    groups: u32,
}

impl Kernel {
    pub fn encode(&self, pass: &mut wgpu::ComputePass<'_>) {
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &self.bind_group, &[]);
        // One dimension of a grid ends at 65,535.
        let rows = self.groups.div_ceil(32_768);
        pass.dispatch_workgroups(self.groups.div_ceil(rows), rows, 1);
    }
}

/// A copy of `vectors` vectors.
pub fn copy(
    device: &GpuDevice,
    pattern: Pattern,
    source: &wgpu::Buffer,
    destination: &wgpu::Buffer,
    vectors: u32,
) -> Kernel {
    let grid = pattern.grid(vectors);
    let entry = if grid.per_lane < 4 { "one" } else { "four" };
    let program = Program::new(device, include_str!("copy.wgsl"), 1);
    program.kernel(
        device,
        entry,
        (pattern, grid, grid.groups),
        &[source, destination],
    )
}

/// A sum of a power of two of vectors, in two dispatches; `result` holds one value.
pub fn sum(
    device: &GpuDevice,
    pattern: Pattern,
    source: &wgpu::Buffer,
    result: &wgpu::Buffer,
    vectors: u32,
) -> [Kernel; 2] {
    let grid = pattern.grid(vectors);
    let partials = device.storage(u64::from(grid.groups) * 4);
    let program = Program::new(device, include_str!("sum.wgsl"), 2);
    let buffers = [source, &partials, result];
    [
        program.kernel(device, "four", (pattern, grid, grid.groups), &buffers),
        program.kernel(device, "finish", (FINISH, grid, 1), &buffers),
    ]
}

const FINISH: Pattern = pattern(64, None, 4);

/// A module whose first buffer is read and whose others are written.
struct Program {
    module: wgpu::ShaderModule,
    layout: wgpu::BindGroupLayout,
}

impl Program {
    fn new(device: &GpuDevice, source: &str, written: u32) -> Self {
        let device = device.device();
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
        Self {
            module: device.create_shader_module(wgpu::ShaderModuleDescriptor {
                label: Some("wgbn bench bandwidth"),
                source: wgpu::ShaderSource::Wgsl(source.into()),
            }),
            layout: device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
                label: None,
                entries: &entries,
            }),
        }
    }

    fn kernel(
        &self,
        gpu: &GpuDevice,
        entry: &str,
        (pattern, grid, groups): (Pattern, Grid, u32),
        buffers: &[&wgpu::Buffer],
    ) -> Kernel {
        let device = gpu.device();
        let layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: None,
            bind_group_layouts: &[Some(&self.layout)],
            immediate_size: 0,
        });
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(entry),
            layout: Some(&layout),
            module: &self.module,
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
        let uniform = device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: 16,
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let params = [grid.lanes, grid.groups, 0, 0];
        gpu.gpu
            .queue()
            .write_buffer(&uniform, 0, bytemuck::cast_slice(&params));
        let all = std::iter::once(&uniform).chain(buffers.iter().copied());
        let entries: Vec<_> = (0u32..)
            .zip(all)
            .map(|(binding, buffer)| wgpu::BindGroupEntry {
                binding,
                resource: buffer.as_entire_binding(),
            })
            .collect();
        let bind_group = device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout: &self.layout,
            entries: &entries,
        });
        Kernel {
            pipeline,
            bind_group,
            groups,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every vector is visited once, by the rule of the shaders.
    #[test]
    fn grids_visit_each_vector_once() {
        for pattern in COPIES.iter().chain(&SUMS) {
            for vectors in [1 << 12, 1 << 16] {
                let Grid {
                    lanes,
                    per_lane,
                    groups,
                } = pattern.grid(vectors);
                let team = pattern.team.unwrap_or(lanes);
                let mut visits = vec![0; vectors as usize];
                for lane in 0..lanes {
                    let first = lane / team * team * per_lane + lane % team;
                    for k in 0..per_lane {
                        visits[(first + k * team) as usize] += 1;
                    }
                }
                assert!(visits.iter().all(|&n| n == 1), "{pattern}, {vectors}");
                assert!(groups * pattern.workgroup >= lanes);
                // Software adapters end an invocation after 65,535 rounds.
                assert!(per_lane < 65_535 && groups / 64 < 65_535);
            }
        }
    }

    #[test]
    fn unrolled_loops_come_out_even() {
        for pattern in COPIES.iter().chain(&SUMS) {
            for log in 12..26 {
                let per_lane = pattern.grid(1 << log).per_lane;
                assert!(per_lane == 1 || per_lane.is_multiple_of(4), "{pattern}");
            }
        }
        assert!(SUMS.iter().all(|pattern| pattern.per_lane >= 4));
    }
}
