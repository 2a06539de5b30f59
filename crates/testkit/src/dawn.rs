//! Dawn, the WebGPU of browsers, as what runs dispatches: a Node process that gets what a binding
//! made for wgpu, shader text and bytes, and gives back what the buffers and textures hold then.
//!
//! Where `WGBN_DAWN` is not set, wgpu runs them itself.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock};

use serde_json::{Value, json};
use wgpu_batchnorm::internals::Resource;
use wgpu_batchnorm::internals::shaders::{Role, Variant};
use wgpu_batchnorm::wgpu::{
    self, Buffer, BufferUsages, Extent3d, Texture, TextureFormat, TextureUsages,
};
use wgpu_batchnorm::{Binding, Gpu};

const SCRIPT: &str = "tests/portability/replay.mjs";

thread_local! {
    static RAN: RefCell<BTreeSet<String>> = const { RefCell::new(BTreeSet::new()) };
}

/// The variants that the calling test ran.
pub fn ran() -> BTreeSet<String> {
    RAN.take()
}

/// Runs these bindings in one pass.
pub fn run(gpu: &Gpu, bindings: &[&Binding]) {
    static DAWN: OnceLock<Mutex<Child>> = OnceLock::new();
    let dispatches = bindings.iter().flat_map(|b| b.dispatches());
    RAN.with_borrow_mut(|ran| ran.extend(dispatches.map(|d| d.variant.label())));
    if std::env::var_os("WGBN_DAWN").is_none() {
        let mut encoder = gpu.device().create_command_encoder(&Default::default());
        {
            let mut pass = encoder.begin_compute_pass(&Default::default());
            bindings.iter().for_each(|b| b.encode(&mut pass));
        }
        gpu.queue().submit([encoder.finish()]);
        return;
    }
    let mut job = Job::default();
    for dispatch in bindings.iter().flat_map(|b| b.dispatches()) {
        let bound = dispatch.bound.iter();
        let entries: Vec<Value> = bound
            .map(|(binding, bound)| job.entry(*binding, bound, &dispatch.variant))
            .collect();
        let source = dispatch.variant.source();
        let constants = dispatch.constants.of(&source).into_iter();
        job.dispatches.push(json!({
            "label": dispatch.variant.label(),
            "constants": constants.collect::<BTreeMap<_, _>>(),
            "source": source,
            "entries": entries,
            "grid": dispatch.grid,
        }));
    }
    let (request, contents) = job.request(gpu);
    let mut dawn = DAWN.get_or_init(|| Mutex::new(start())).lock().unwrap();
    let results = exchange(&mut dawn, &request, &contents);
    job.put_back(gpu, &results);
}

fn start() -> Child {
    Command::new("node")
        .arg(crate::repository(SCRIPT))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("Node can be started: `cargo xtask portability` says how to get it")
}

/// Both ways: the length of the JSON text, the text, then bytes as many as it says.
fn exchange(dawn: &mut Child, request: &Value, contents: &[u8]) -> Vec<u8> {
    let header = request.to_string();
    let pipe = dawn.stdin.as_mut().unwrap();
    pipe.write_all(&(header.len() as u32).to_le_bytes())
        .unwrap();
    pipe.write_all(header.as_bytes()).unwrap();
    pipe.write_all(contents).unwrap();
    pipe.flush().unwrap();
    let pipe = dawn.stdout.as_mut().unwrap();
    let mut read = |len: usize| {
        let mut bytes = vec![0; len];
        pipe.read_exact(&mut bytes).expect("Node answers");
        bytes
    };
    let len = u32::from_le_bytes(read(4).try_into().unwrap());
    let answer: Value = serde_json::from_slice(&read(len as usize)).unwrap();
    assert_eq!(answer["error"], Value::Null, "Dawn refuses this");
    let results = read(answer["bytes"].as_u64().unwrap() as usize);
    assert_eq!(results.len(), contents.len());
    results
}

/// What bindings use, each once.
#[derive(Default)]
struct Job {
    buffers: Vec<Buffer>,
    textures: Vec<Texture>,
    dispatches: Vec<Value>,
}

fn index_of<T: Clone + PartialEq>(all: &mut Vec<T>, one: &T) -> usize {
    all.iter()
        .position(|other| other == one)
        .unwrap_or_else(|| {
            all.push(one.clone());
            all.len() - 1
        })
}

impl Job {
    fn entry(&mut self, binding: u32, bound: &Resource, variant: &Variant) -> Value {
        let role = Role::ALL.into_iter().find(|role| *role as u32 == binding);
        match bound {
            Resource::Buffer(buffer, offset, size) => json!({
                "binding": binding,
                "type": match role {
                    None | Some(Role::Axes | Role::WeightAxes) => "uniform",
                    Some(role) if variant.only_reads(role) => "read-only-storage",
                    Some(_) => "storage",
                },
                "buffer": index_of(&mut self.buffers, buffer),
                "offset": offset,
                "size": size,
            }),
            Resource::Texture(view) => {
                let written = variant.storage.written_texture();
                let written = written.filter(|_| binding == Role::Out as u32);
                let written = written.map(|format| format.name());
                json!({
                    "binding": binding,
                    "texture": index_of(&mut self.textures, view.texture()),
                    "written": written,
                })
            }
        }
    }

    /// The job in words, and what every buffer and texture holds now.
    fn request(&self, gpu: &Gpu) -> (Value, Vec<u8>) {
        let mut contents = Vec::new();
        for buffer in &self.buffers {
            // A placeholder, which means nothing to any kernel.
            let placeholder = buffer.usage() == BufferUsages::STORAGE;
            contents.extend(match placeholder {
                true => vec![0xff; buffer.size() as usize],
                false => read_buffer(gpu, buffer),
            });
        }
        for texture in &self.textures {
            contents.extend(read_texture(gpu, texture));
        }
        let buffers: Vec<u64> = self.buffers.iter().map(Buffer::size).collect();
        let textures: Vec<Value> = self.textures.iter().map(described).collect();
        let request = json!({
            "buffers": buffers,
            "textures": textures,
            "dispatches": self.dispatches,
            "bytes": contents.len(),
        });
        (request, contents)
    }

    fn put_back(&self, gpu: &Gpu, mut results: &[u8]) {
        let mut next = |len: usize| {
            let (bytes, rest) = results.split_at(len);
            results = rest;
            bytes
        };
        for buffer in &self.buffers {
            let bytes = next(buffer.size() as usize);
            if buffer.usage().contains(BufferUsages::COPY_DST) {
                gpu.queue().write_buffer(buffer, 0, bytes);
            }
        }
        for texture in &self.textures {
            let bytes = next(row_bytes(texture) * texture.height() as usize);
            let layout = wgpu::TexelCopyBufferLayout {
                offset: 0,
                bytes_per_row: Some(row_bytes(texture) as u32),
                rows_per_image: None,
            };
            let whole = texture.as_image_copy();
            gpu.queue()
                .write_texture(whole, bytes, layout, texture.size());
        }
    }
}

fn described(texture: &Texture) -> Value {
    assert_eq!(texture.mip_level_count(), 1, "only whole textures travel");
    assert_eq!(texture.depth_or_array_layers(), 1);
    let format = match texture.format() {
        TextureFormat::Rgba8Unorm => "rgba8unorm",
        TextureFormat::Rgba8UnormSrgb => "rgba8unorm-srgb",
        TextureFormat::Bgra8Unorm => "bgra8unorm",
        TextureFormat::Bgra8UnormSrgb => "bgra8unorm-srgb",
        TextureFormat::Rgba16Float => "rgba16float",
        TextureFormat::Rgba32Float => "rgba32float",
        other => panic!("{other:?} has no name here"),
    };
    json!({
        "size": [texture.width(), texture.height()],
        "row": row_bytes(texture),
        "format": format,
        "storage": texture.usage().contains(TextureUsages::STORAGE_BINDING),
    })
}

fn row_bytes(texture: &Texture) -> usize {
    let texel = texture.format().block_copy_size(None).unwrap();
    (texel * texture.width()) as usize
}

fn read_buffer(gpu: &Gpu, buffer: &Buffer) -> Vec<u8> {
    read(gpu, buffer.size(), |encoder, to| {
        encoder.copy_buffer_to_buffer(buffer, 0, to, 0, buffer.size());
    })
}

fn read_texture(gpu: &Gpu, texture: &Texture) -> Vec<u8> {
    let (row, height) = (row_bytes(texture), texture.height() as usize);
    let padded = row.next_multiple_of(256);
    let size: Extent3d = texture.size();
    let bytes = read(gpu, (padded * height) as u64, |encoder, to| {
        let layout = wgpu::TexelCopyBufferLayout {
            offset: 0,
            bytes_per_row: Some(padded as u32),
            rows_per_image: None,
        };
        let to = wgpu::TexelCopyBufferInfo { buffer: to, layout };
        encoder.copy_texture_to_buffer(texture.as_image_copy(), to, size);
    });
    let rows = bytes.chunks(padded);
    rows.flat_map(|padded| padded[..row].to_vec()).collect()
}

fn read(gpu: &Gpu, bytes: u64, copy: impl FnOnce(&mut wgpu::CommandEncoder, &Buffer)) -> Vec<u8> {
    let staging = gpu.device().create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: bytes,
        usage: BufferUsages::MAP_READ | BufferUsages::COPY_DST,
        mapped_at_creation: false,
    });
    let mut encoder = gpu.device().create_command_encoder(&Default::default());
    copy(&mut encoder, &staging);
    gpu.queue().submit([encoder.finish()]);
    staging
        .slice(..)
        .map_async(wgpu::MapMode::Read, |mapped| mapped.unwrap());
    let waited = gpu.device().poll(wgpu::PollType::wait_indefinitely());
    waited.unwrap();
    staging.slice(..).get_mapped_range().unwrap().to_vec()
}
