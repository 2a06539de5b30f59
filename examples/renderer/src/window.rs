//! The scene in motion; a key switches the normalization.

use std::error::Error;
use std::sync::Arc;
use std::time::Instant;

use wgpu_batchnorm::wgpu;
use winit::application::ApplicationHandler;
use winit::dpi::PhysicalSize;
use winit::event::{ElementState, KeyEvent, WindowEvent};
use winit::event_loop::{ActiveEventLoop, EventLoop, OwnedDisplayHandle};
use winit::keyboard::{Key, NamedKey};
use winit::window::{Window, WindowId};

use crate::{Look, Renderer};

/// Opens a window and draws into it until it is closed; where there is no display, says so.
pub fn run(size: [u32; 2], look: Look) -> Result<(), Box<dyn Error>> {
    let events = match EventLoop::new() {
        Ok(events) => events,
        // The reason names places in winit's source.
        Err(_) => {
            println!("no window: there is no display");
            return Ok(());
        }
    };
    println!("space switches the normalization, escape ends");
    let mut app = App {
        size,
        look,
        display: events.owned_display_handle(),
        screen: None,
        failed: None,
    };
    events.run_app(&mut app)?;
    app.failed.map_or(Ok(()), Err)
}

struct App {
    size: [u32; 2],
    look: Look,
    display: OwnedDisplayHandle,
    screen: Option<Screen>,
    failed: Option<Box<dyn Error>>,
}

impl ApplicationHandler for App {
    fn resumed(&mut self, event_loop: &ActiveEventLoop) {
        match Screen::open(event_loop, self.display.clone(), self.size, self.look) {
            Ok(screen) => self.screen = Some(screen),
            Err(error) => self.end(event_loop, Some(error)),
        }
    }

    fn window_event(&mut self, event_loop: &ActiveEventLoop, _: WindowId, event: WindowEvent) {
        let Some(screen) = &mut self.screen else {
            return;
        };
        match event {
            WindowEvent::CloseRequested => self.end(event_loop, None),
            WindowEvent::KeyboardInput {
                event:
                    KeyEvent {
                        logical_key: Key::Named(key),
                        state: ElementState::Pressed,
                        repeat: false,
                        ..
                    },
                ..
            } => match key {
                NamedKey::Escape => self.end(event_loop, None),
                NamedKey::Space => screen.toggle(),
                _ => {}
            },
            WindowEvent::Resized(size) => screen.resize(size),
            WindowEvent::RedrawRequested => {
                if let Err(error) = screen.draw() {
                    self.end(event_loop, Some(error));
                }
            }
            _ => {}
        }
    }
}

impl App {
    fn end(&mut self, event_loop: &ActiveEventLoop, error: Option<Box<dyn Error>>) {
        self.failed = error;
        event_loop.exit();
    }
}

struct Screen {
    window: Arc<Window>,
    surface: wgpu::Surface<'static>,
    config: wgpu::SurfaceConfiguration,
    device: wgpu::Device,
    queue: wgpu::Queue,
    renderer: Renderer,
    blit: wgpu::RenderPipeline,
    /// The frame and the normalized frame, to be blitted.
    pictures: [wgpu::BindGroup; 2],
    normalized: bool,
    start: Instant,
}

impl Screen {
    fn open(
        event_loop: &ActiveEventLoop,
        display: OwnedDisplayHandle,
        size: [u32; 2],
        look: Look,
    ) -> Result<Self, Box<dyn Error>> {
        let attributes =
            Window::default_attributes().with_inner_size(PhysicalSize::new(size[0], size[1]));
        let window = Arc::new(event_loop.create_window(attributes)?);
        let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
            backends: wgpu::Backends::from_env().unwrap_or(wgpu::Backends::PRIMARY),
            ..wgpu::InstanceDescriptor::new_with_display_handle(Box::new(display))
        });
        let surface = instance.create_surface(window.clone())?;
        let options = wgpu::RequestAdapterOptions {
            power_preference: wgpu::PowerPreference::HighPerformance,
            compatible_surface: Some(&surface),
            ..Default::default()
        };
        let adapter = pollster::block_on(instance.request_adapter(&options))?;
        let (device, queue) = pollster::block_on(adapter.request_device(&Default::default()))?;
        let inner = window.inner_size();
        let mut config = surface
            .get_default_config(&adapter, inner.width.max(1), inner.height.max(1))
            .ok_or("the adapter cannot draw into the window")?;
        // The pictures are display values already: better a screen that takes them as they are.
        let formats = surface.get_capabilities(&adapter).formats;
        let plain = config.format.remove_srgb_suffix();
        if formats.contains(&plain) {
            config.format = plain;
        }
        surface.configure(&device, &config);

        let renderer = Renderer::new(&device, size, look)?;
        let blit = blit(&device, config.format);
        let sampler = device.create_sampler(&wgpu::SamplerDescriptor {
            mag_filter: wgpu::FilterMode::Linear,
            min_filter: wgpu::FilterMode::Linear,
            ..Default::default()
        });
        let textures = [renderer.scene.frame(), renderer.normalization.result()];
        let pictures = textures.map(|texture| {
            let view = texture.create_view(&Default::default());
            device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: None,
                layout: &blit.get_bind_group_layout(0),
                entries: &[
                    wgpu::BindGroupEntry {
                        binding: 0,
                        resource: wgpu::BindingResource::TextureView(&view),
                    },
                    wgpu::BindGroupEntry {
                        binding: 1,
                        resource: wgpu::BindingResource::Sampler(&sampler),
                    },
                ],
            })
        });
        let mut screen = Self {
            window,
            surface,
            config,
            device,
            queue,
            renderer,
            blit,
            pictures,
            normalized: false,
            start: Instant::now(),
        };
        screen.toggle();
        Ok(screen)
    }

    fn toggle(&mut self) {
        self.normalized = !self.normalized;
        let state = if self.normalized { "on" } else { "off" };
        let title = format!("batch normalization: {state} (space)");
        self.window.set_title(&title);
        self.window.request_redraw();
    }

    fn resize(&mut self, size: PhysicalSize<u32>) {
        self.config.width = size.width.max(1);
        self.config.height = size.height.max(1);
        self.surface.configure(&self.device, &self.config);
        self.window.request_redraw();
    }

    fn draw(&mut self) -> Result<(), Box<dyn Error>> {
        use wgpu::CurrentSurfaceTexture::{Lost, Outdated, Suboptimal, Success, Validation};
        self.window.request_redraw();
        let target = match self.surface.get_current_texture() {
            Success(target) | Suboptimal(target) => target,
            Outdated | Lost => {
                self.surface.configure(&self.device, &self.config);
                return Ok(());
            }
            Validation => return Err("the window's surface is not valid".into()),
            // Hidden, or slow: there will be another frame.
            _ => return Ok(()),
        };
        let view = target.texture.create_view(&Default::default());
        let mut encoder = self.device.create_command_encoder(&Default::default());
        let time = self.start.elapsed().as_secs_f32();
        self.renderer.scene.encode(&self.queue, &mut encoder, time);
        if self.normalized {
            self.renderer.normalization.normalize(&mut encoder)?;
        }
        let mut pass = encoder.begin_render_pass(&wgpu::RenderPassDescriptor {
            label: Some("screen"),
            color_attachments: &[Some(wgpu::RenderPassColorAttachment {
                view: &view,
                depth_slice: None,
                resolve_target: None,
                ops: wgpu::Operations {
                    load: wgpu::LoadOp::Clear(wgpu::Color::BLACK),
                    store: wgpu::StoreOp::Store,
                },
            })],
            ..Default::default()
        });
        pass.set_pipeline(&self.blit);
        pass.set_bind_group(0, &self.pictures[usize::from(self.normalized)], &[]);
        pass.draw(0..3, 0..1);
        drop(pass);
        self.queue.submit([encoder.finish()]);
        self.window.pre_present_notify();
        self.queue.present(target);
        Ok(())
    }
}

fn blit(device: &wgpu::Device, format: wgpu::TextureFormat) -> wgpu::RenderPipeline {
    let module = device.create_shader_module(wgpu::include_wgsl!("blit.wgsl"));
    let srgb = f64::from(u8::from(format.is_srgb()));
    device.create_render_pipeline(&wgpu::RenderPipelineDescriptor {
        label: Some("blit"),
        layout: None,
        vertex: wgpu::VertexState {
            module: &module,
            entry_point: Some("corner"),
            compilation_options: Default::default(),
            buffers: &[],
        },
        primitive: Default::default(),
        depth_stencil: None,
        multisample: Default::default(),
        fragment: Some(wgpu::FragmentState {
            module: &module,
            entry_point: Some("show"),
            compilation_options: wgpu::PipelineCompilationOptions {
                constants: &[("SRGB", srgb)],
                ..Default::default()
            },
            targets: &[Some(format.into())],
        }),
        multiview_mask: None,
        cache: None,
    })
}
