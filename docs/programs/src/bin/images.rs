//! A renderer's frame, normalized into a second texture in the encoder that drew it.

use programs::{Result, buffer, open, read};
use wgpu_batchnorm::{Affine, Config, Context, ImageTrainBuffers, wgpu};

fn main() -> Result {
    let (_, device, queue) = open()?;
    let context = Context::new(&device)?;
    let texture = |usage| {
        device.create_texture(&wgpu::TextureDescriptor {
            label: None,
            size: wgpu::Extent3d {
                width: 2,
                height: 1,
                depth_or_array_layers: 1,
            },
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format: wgpu::TextureFormat::Rgba8Unorm,
            usage,
            view_formats: &[],
        })
    };
    let frame = texture(wgpu::TextureUsages::TEXTURE_BINDING | wgpu::TextureUsages::COPY_DST);
    let result = texture(wgpu::TextureUsages::STORAGE_BINDING);
    let pixels = [0, 51, 102, 255, 255, 153, 102, 255]; // red, green, blue, alpha of two pixels
    queue.write_texture(
        frame.as_image_copy(),
        &pixels,
        Default::default(),
        frame.size(),
    );

    let config = Config::pytorch()
        .without_running()
        .with_affine(Affine::None);
    let plan = context.plan_image(&config, frame.width(), frame.height())?;
    let saved = buffer(&device, plan.saved_bytes());
    let workspace = buffer(&device, plan.workspace_bytes());
    let buffers = ImageTrainBuffers::new(&frame, &result, saved.slice(..), workspace.slice(..));
    let normalize = plan.bind_train(&buffers.with_keep_alpha(true))?;

    let mut encoder = device.create_command_encoder(&Default::default());
    // ... your own passes, which draw the frame ...
    normalize.encode(&mut encoder.begin_compute_pass(&Default::default()));
    queue.submit([encoder.finish()]);

    // The fourth row of `saved` holds the means of red, green, blue and alpha.
    let saved = read(&device, &queue, &saved)?;
    let near = saved[12..16].iter().zip([0.5, 0.4, 0.4, 1.0]);
    assert!(
        near.into_iter().all(|(mean, v)| (mean - v).abs() < 1e-6),
        "{saved:?}"
    );
    Ok(())
}
