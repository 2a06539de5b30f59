//! What the driver makes of texels by itself, no kernel of this library involved.

use wgpu_batchnorm::wgpu::{self, TextureFormat, TextureUsages};
use wgpu_batchnorm::{Gpu, ImageTexture, Tensor};

use super::setup::read;
use testkit::texels::{ALL_USAGES, texture};

/// The halves that a shader which stores `texel` leaves.
pub fn stored_halves(gpu: &Gpu, texel: [f32; 4]) -> [u16; 4] {
    const SHADER: &str = "
        @group(0) @binding(0) var<storage, read_write> texel: vec4<f32>;
        @group(0) @binding(1) var out: texture_storage_2d<rgba16float, write>;
        @compute @workgroup_size(1)
        fn main() {
            textureStore(out, vec2(0u), texel);
        }";
    let texel = Tensor::upload(gpu, &[4], &texel).unwrap();
    let usage = ALL_USAGES | TextureUsages::STORAGE_BINDING;
    let out = texture(gpu, [1, 1], TextureFormat::Rgba16Float, usage);
    let device = gpu.device();
    let pipeline = testkit::gpu::pipeline(device, SHADER);
    let view = out.create_view(&Default::default());
    let bind_group = device.create_bind_group(&wgpu::BindGroupDescriptor {
        label: None,
        layout: &pipeline.get_bind_group_layout(0),
        entries: &[
            wgpu::BindGroupEntry {
                binding: 0,
                resource: texel.buffer().as_entire_binding(),
            },
            wgpu::BindGroupEntry {
                binding: 1,
                resource: wgpu::BindingResource::TextureView(&view),
            },
        ],
    });
    crate::buffers::submit(gpu, |pass| {
        pass.set_pipeline(&pipeline);
        pass.set_bind_group(0, &bind_group, &[]);
        pass.dispatch_workgroups(1, 1, 1);
    });
    let bytes = read(gpu, ImageTexture::new(&out));
    [0, 2, 4, 6].map(|at| u16::from_le_bytes([bytes[at], bytes[at + 1]]))
}
