//! The functions of a device that the layer stands before.

use std::collections::{HashMap, HashSet};
use std::env;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use ash::vk::{self, Handle};

use crate::chain::key;
use crate::functions::{typed, untyped};
use crate::{Mode, VARIABLE};

/// The functions behind the layer that it calls.
#[derive(Clone, Copy)]
pub struct Device {
    pub get_proc_addr: vk::PFN_vkGetDeviceProcAddr,
    destroy_device: vk::PFN_vkDestroyDevice,
    create_buffer: vk::PFN_vkCreateBuffer,
    destroy_buffer: vk::PFN_vkDestroyBuffer,
    begin_command_buffer: vk::PFN_vkBeginCommandBuffer,
    copy_buffer: vk::PFN_vkCmdCopyBuffer,
    copy_buffer_to_image: vk::PFN_vkCmdCopyBufferToImage,
    fill_buffer: vk::PFN_vkCmdFillBuffer,
    clear_color_image: vk::PFN_vkCmdClearColorImage,
    dispatch: vk::PFN_vkCmdDispatch,
    draw: vk::PFN_vkCmdDraw,
}

impl Device {
    /// # Safety
    /// `get` must be the next layer's or the driver's, and `device` a live device of it.
    pub unsafe fn new(device: vk::Device, get: vk::PFN_vkGetDeviceProcAddr) -> Option<Self> {
        macro_rules! next {
            ($name:literal => $type:ident) => {
                typed!(get(device, $name.as_ptr())? => $type)
            };
        }
        // SAFETY: what is found by a function's name is that function or nothing.
        unsafe {
            Some(Self {
                get_proc_addr: get,
                destroy_device: next!(c"vkDestroyDevice" => PFN_vkDestroyDevice),
                create_buffer: next!(c"vkCreateBuffer" => PFN_vkCreateBuffer),
                destroy_buffer: next!(c"vkDestroyBuffer" => PFN_vkDestroyBuffer),
                begin_command_buffer: next!(c"vkBeginCommandBuffer" => PFN_vkBeginCommandBuffer),
                copy_buffer: next!(c"vkCmdCopyBuffer" => PFN_vkCmdCopyBuffer),
                copy_buffer_to_image: next!(c"vkCmdCopyBufferToImage" => PFN_vkCmdCopyBufferToImage),
                fill_buffer: next!(c"vkCmdFillBuffer" => PFN_vkCmdFillBuffer),
                clear_color_image: next!(c"vkCmdClearColorImage" => PFN_vkCmdClearColorImage),
                dispatch: next!(c"vkCmdDispatch" => PFN_vkCmdDispatch),
                draw: next!(c"vkCmdDraw" => PFN_vkCmdDraw),
            })
        }
    }
}

/// What the layer remembers.
#[derive(Default)]
struct State {
    devices: HashMap<usize, Device>,
    /// Buffers that can be nothing but the source of a copy, each with its device.
    sources: HashSet<(usize, u64)>,
    /// How many dispatches were recorded into each command buffer since it was begun.
    dispatches: HashMap<u64, u32>,
}

static STATE: LazyLock<Mutex<State>> = LazyLock::new(Mutex::default);

fn state() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A name that is not known ends the process: a test that drops nothing must not look like one that does.
static MODE: LazyLock<Mode> = LazyLock::new(|| {
    let Some(name) = env::var_os(VARIABLE) else {
        return Mode::Nothing;
    };
    let mode = name.to_str().and_then(Mode::from_name);
    mode.unwrap_or_else(|| {
        eprintln!("{VARIABLE}={}: no such mode", name.display());
        std::process::abort()
    })
});

/// # Safety
/// `device` must be live.
pub unsafe fn add(device: vk::Device, ours: Device) {
    // Says at once what is wrong with the mode.
    LazyLock::force(&MODE);
    // SAFETY: it is live.
    let key = unsafe { key(device) };
    state().devices.insert(key, ours);
}

/// The functions behind the layer of a device, or of one of its queues or command buffers.
///
/// # Safety
/// `handle` must be a live one of these.
pub unsafe fn of(handle: impl Handle) -> Device {
    // SAFETY: it is live.
    let key = unsafe { key(handle) };
    let device = state().devices.get(&key).copied();
    // Unwinding must not leave a function that C calls, and does not: such a panic ends the process.
    device.expect("a device that was created through this layer")
}

/// The layer's own function of this name.
pub fn ours(name: &[u8]) -> vk::PFN_vkVoidFunction {
    // SAFETY: functions are given without their types, and the caller knows them by name.
    unsafe {
        match name {
            b"vkDestroyDevice" => untyped!(destroy_device => PFN_vkDestroyDevice),
            b"vkCreateBuffer" => untyped!(create_buffer => PFN_vkCreateBuffer),
            b"vkDestroyBuffer" => untyped!(destroy_buffer => PFN_vkDestroyBuffer),
            b"vkBeginCommandBuffer" => untyped!(begin => PFN_vkBeginCommandBuffer),
            b"vkCmdCopyBuffer" => untyped!(copy_buffer => PFN_vkCmdCopyBuffer),
            b"vkCmdCopyBufferToImage" => {
                untyped!(copy_buffer_to_image => PFN_vkCmdCopyBufferToImage)
            }
            b"vkCmdDispatch" => untyped!(dispatch => PFN_vkCmdDispatch),
            b"vkCmdDraw" => untyped!(draw => PFN_vkCmdDraw),
            _ => None,
        }
    }
}

unsafe extern "system" fn destroy_device(
    device: vk::Device,
    allocator: *const vk::AllocationCallbacks<'_>,
) {
    if device.is_null() {
        return;
    }
    // SAFETY: the caller's arguments are handed on.
    unsafe {
        let next = of(device);
        state().devices.remove(&key(device));
        (next.destroy_device)(device, allocator);
    }
}

unsafe extern "system" fn create_buffer(
    device: vk::Device,
    info: *const vk::BufferCreateInfo<'_>,
    allocator: *const vk::AllocationCallbacks<'_>,
    buffer: *mut vk::Buffer,
) -> vk::Result {
    // SAFETY: the caller's arguments are handed on; what was created is there to read.
    unsafe {
        let result = (of(device).create_buffer)(device, info, allocator, buffer);
        let source = (*info).usage == vk::BufferUsageFlags::TRANSFER_SRC;
        if result == vk::Result::SUCCESS && source {
            state().sources.insert((key(device), (*buffer).as_raw()));
        }
        result
    }
}

unsafe extern "system" fn destroy_buffer(
    device: vk::Device,
    buffer: vk::Buffer,
    allocator: *const vk::AllocationCallbacks<'_>,
) {
    // SAFETY: the caller's arguments are handed on.
    unsafe {
        state().sources.remove(&(key(device), buffer.as_raw()));
        (of(device).destroy_buffer)(device, buffer, allocator);
    }
}

unsafe extern "system" fn begin(
    commands: vk::CommandBuffer,
    info: *const vk::CommandBufferBeginInfo<'_>,
) -> vk::Result {
    state().dispatches.insert(commands.as_raw(), 0);
    // SAFETY: the caller's arguments are handed on.
    unsafe { (of(commands).begin_command_buffer)(commands, info) }
}

/// Whether a copy from `source` is an upload that is dropped.
///
/// # Safety
/// `commands` must be live.
unsafe fn is_dropped(commands: vk::CommandBuffer, source: vk::Buffer) -> bool {
    // SAFETY: it is live.
    let key = unsafe { key(commands) };
    *MODE == Mode::Uploads && state().sources.contains(&(key, source.as_raw()))
}

unsafe extern "system" fn copy_buffer(
    commands: vk::CommandBuffer,
    source: vk::Buffer,
    target: vk::Buffer,
    count: u32,
    regions: *const vk::BufferCopy,
) {
    // SAFETY: the caller's arguments are handed on, or the same bytes of the target are filled; wgpu copies whole
    // words, as a fill has to.
    unsafe {
        let next = of(commands);
        if !is_dropped(commands, source) {
            return (next.copy_buffer)(commands, source, target, count, regions);
        }
        for region in std::slice::from_raw_parts(regions, count as usize) {
            (next.fill_buffer)(commands, target, region.dst_offset, region.size, 0);
        }
    }
}

unsafe extern "system" fn copy_buffer_to_image(
    commands: vk::CommandBuffer,
    source: vk::Buffer,
    target: vk::Image,
    layout: vk::ImageLayout,
    count: u32,
    regions: *const vk::BufferImageCopy,
) {
    // SAFETY: the caller's arguments are handed on, or the same layers of the target are cleared, which a target of
    // copies allows.
    unsafe {
        let next = of(commands);
        if !is_dropped(commands, source) {
            return (next.copy_buffer_to_image)(commands, source, target, layout, count, regions);
        }
        for region in std::slice::from_raw_parts(regions, count as usize) {
            let layers = region.image_subresource;
            let range = vk::ImageSubresourceRange {
                aspect_mask: layers.aspect_mask,
                base_mip_level: layers.mip_level,
                level_count: 1,
                base_array_layer: layers.base_array_layer,
                layer_count: layers.layer_count,
            };
            let zero = vk::ClearColorValue::default();
            (next.clear_color_image)(commands, target, layout, &zero, 1, &range);
        }
    }
}

unsafe extern "system" fn dispatch(commands: vk::CommandBuffer, x: u32, y: u32, z: u32) {
    let index = {
        let mut state = state();
        let count = state.dispatches.entry(commands.as_raw()).or_default();
        *count += 1;
        *count - 1
    };
    if let Some([x, y, z]) = MODE.grid([x, y, z], index) {
        // SAFETY: the caller's arguments are handed on, or a smaller grid.
        unsafe { (of(commands).dispatch)(commands, x, y, z) }
    }
}

unsafe extern "system" fn draw(
    commands: vk::CommandBuffer,
    vertices: u32,
    instances: u32,
    first_vertex: u32,
    first_instance: u32,
) {
    if *MODE != Mode::Dispatches {
        // SAFETY: the caller's arguments are handed on.
        unsafe {
            let draw = of(commands).draw;
            draw(commands, vertices, instances, first_vertex, first_instance)
        }
    }
}
