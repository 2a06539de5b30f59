//! A renderer that batch-normalizes its frames: the parts of the program, for it and its test.

pub mod histogram;
mod mesh;
pub mod normalize;
pub mod picture;
pub mod scene;
#[cfg(feature = "window")]
pub mod window;

use std::error::Error;

use normalize::Normalization;
use picture::{Picture, Readback};
use scene::Scene;
use wgpu_batchnorm::{Context, wgpu};

/// What each channel of the normalized frame is to have. Values three deviations out still fit
/// between 0 and 1.
pub const MEAN: f32 = 0.5;
pub const STD: f32 = 0.16;

/// How frames are shown.
#[derive(Clone, Copy, Debug, Default)]
pub struct Look {
    /// Between black bars, in the proportions of a cinema.
    pub letterbox: bool,
    /// By an exposure that follows the scene's brightness slowly; hues stay.
    pub exposure: bool,
}

/// A part of a frame, in pixels from the upper left.
#[derive(Clone, Copy, Debug)]
pub struct Rectangle {
    pub origin: [u32; 2],
    pub size: [u32; 2],
}

impl Look {
    /// Where the scene is in a frame of this size.
    pub fn view(self, [width, height]: [u32; 2]) -> Rectangle {
        let inner = match self.letterbox {
            true => (9 * width / 21).clamp(1, height),
            false => height,
        };
        Rectangle {
            origin: [0, (height - inner) / 2],
            size: [width, inner],
        }
    }
}

/// The best adapter there is, for off-screen work.
pub fn device() -> Result<(wgpu::Device, wgpu::Queue), Box<dyn Error>> {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
        backends: wgpu::Backends::from_env().unwrap_or(wgpu::Backends::PRIMARY),
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    });
    let options = wgpu::RequestAdapterOptions {
        power_preference: wgpu::PowerPreference::HighPerformance,
        ..Default::default()
    };
    let adapter = pollster::block_on(instance.request_adapter(&options))?;
    Ok(pollster::block_on(
        adapter.request_device(&Default::default()),
    )?)
}

/// The scene and its normalization on one device.
pub struct Renderer {
    pub scene: Scene,
    pub normalization: Normalization,
}

impl Renderer {
    pub fn new(device: &wgpu::Device, size: [u32; 2], look: Look) -> Result<Self, Box<dyn Error>> {
        let view = look.view(size);
        let scene = Scene::new(device, size, view);
        let context = Context::new(device)?;
        let frame = scene.frame();
        let normalization = Normalization::new(&context, device, frame, view, look.exposure)?;
        Ok(Self {
            scene,
            normalization,
        })
    }

    /// The frame at `time` before and after: drawn, normalized and copied out by one encoder.
    pub fn pictures(
        &mut self,
        device: &wgpu::Device,
        queue: &wgpu::Queue,
        time: f32,
    ) -> Result<[Picture; 2], Box<dyn Error>> {
        let mut encoder = device.create_command_encoder(&Default::default());
        self.scene.encode(queue, &mut encoder, time);
        self.normalization.normalize(&mut encoder)?;
        let textures = [self.scene.frame(), self.normalization.result()];
        let [before, after] =
            textures.map(|texture| Readback::encode(device, &mut encoder, texture));
        queue.submit([encoder.finish()]);
        Ok([before.read(device)?, after.read(device)?])
    }
}
