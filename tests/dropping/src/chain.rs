//! The way from the loader to the driver: how a layer is found, and how it finds what comes after it.

use std::collections::HashMap;
use std::ffi::{CStr, c_char, c_void};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use ash::vk::{self, Handle};

use crate::commands::{self, Device};
use crate::functions::{typed, untyped};

/// `VkNegotiateLayerInterface` of the loader's interface.
#[repr(C)]
struct Negotiate {
    s_type: i32,
    next: *mut c_void,
    version: u32,
    get_instance_proc_addr: Option<vk::PFN_vkGetInstanceProcAddr>,
    get_device_proc_addr: Option<vk::PFN_vkGetDeviceProcAddr>,
    get_physical_device_proc_addr: Option<vk::PFN_vkGetInstanceProcAddr>,
}

/// `VkLayerInstanceCreateInfo` and `VkLayerDeviceCreateInfo`, which have one layout.
#[repr(C)]
struct LayerCreateInfo {
    s_type: vk::StructureType,
    next: *mut c_void,
    function: i32,
    link: *mut Link,
}

/// `VkLayerInstanceLink` and `VkLayerDeviceLink`. In the first, the last function is another one, which is not called here.
#[repr(C)]
struct Link {
    next: *mut Link,
    get_instance_proc_addr: vk::PFN_vkGetInstanceProcAddr,
    get_device_proc_addr: Option<vk::PFN_vkGetDeviceProcAddr>,
}

/// `VK_LAYER_LINK_INFO`: the others say something else.
const LINK_INFO: i32 = 0;

struct Instance {
    handle: vk::Instance,
    get_proc_addr: vk::PFN_vkGetInstanceProcAddr,
}

/// By the loader's pointer, which an instance shares with its physical devices.
static INSTANCES: LazyLock<Mutex<HashMap<usize, Instance>>> = LazyLock::new(Mutex::default);

fn instances() -> MutexGuard<'static, HashMap<usize, Instance>> {
    INSTANCES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The first word of an object that functions are called on: one for an instance and its physical devices, one for
/// a device, its queues and its command buffers.
///
/// # Safety
/// `handle` must be a live one of these.
pub unsafe fn key(handle: impl Handle) -> usize {
    // SAFETY: the loader demands that such objects begin with its pointer.
    unsafe { *(handle.as_raw() as *const usize) }
}

/// What the loader calls first.
///
/// # Safety
/// Called by the loader alone, as its interface says.
#[unsafe(no_mangle)]
unsafe extern "system" fn vkNegotiateLoaderLayerInterfaceVersion(
    negotiate: *mut Negotiate,
) -> vk::Result {
    // SAFETY: the loader gives a structure that may be written.
    let negotiate = unsafe { &mut *negotiate };
    if negotiate.version < 2 {
        return vk::Result::ERROR_INITIALIZATION_FAILED;
    }
    negotiate.version = 2;
    negotiate.get_instance_proc_addr = Some(get_instance_proc_addr);
    negotiate.get_device_proc_addr = Some(get_device_proc_addr);
    negotiate.get_physical_device_proc_addr = None;
    vk::Result::SUCCESS
}

/// Takes this layer's link off the chain that hangs on a create info.
///
/// # Safety
/// `next` must be the `pNext` of what the loader gave to a layer.
unsafe fn take_link(mut next: *const c_void, s_type: vk::StructureType) -> Option<Link> {
    while !next.is_null() {
        let info = next as *mut LayerCreateInfo;
        // SAFETY: every structure of the chain begins with its type and its successor, and one of this type is
        // the loader's own, which a layer is meant to write.
        unsafe {
            if (*info).s_type == s_type && (*info).function == LINK_INFO {
                let link = (*info).link.read();
                (*info).link = link.next;
                return Some(link);
            }
            next = (*info).next;
        }
    }
    None
}

unsafe extern "system" fn create_instance(
    info: *const vk::InstanceCreateInfo<'_>,
    allocator: *const vk::AllocationCallbacks<'_>,
    instance: *mut vk::Instance,
) -> vk::Result {
    // SAFETY: these are the loader's arguments, handed on with the chain that begins behind this layer.
    unsafe {
        let link = take_link(
            (*info).p_next,
            vk::StructureType::LOADER_INSTANCE_CREATE_INFO,
        );
        let Some(link) = link else {
            return vk::Result::ERROR_INITIALIZATION_FAILED;
        };
        let get = link.get_instance_proc_addr;
        let Some(create) = get(vk::Instance::null(), c"vkCreateInstance".as_ptr()) else {
            return vk::Result::ERROR_INITIALIZATION_FAILED;
        };
        let create = typed!(create => PFN_vkCreateInstance);
        let result = create(info, allocator, instance);
        if result == vk::Result::SUCCESS {
            let handle = *instance;
            let ours = Instance {
                handle,
                get_proc_addr: get,
            };
            instances().insert(key(handle), ours);
        }
        result
    }
}

unsafe extern "system" fn destroy_instance(
    instance: vk::Instance,
    allocator: *const vk::AllocationCallbacks<'_>,
) {
    if instance.is_null() {
        return;
    }
    // SAFETY: the caller gives a live instance, of this layer's.
    unsafe {
        let ours = instances().remove(&key(instance));
        let get = ours.map(|ours| ours.get_proc_addr);
        let destroy = get.and_then(|get| get(instance, c"vkDestroyInstance".as_ptr()));
        if let Some(destroy) = destroy {
            let destroy = typed!(destroy => PFN_vkDestroyInstance);
            destroy(instance, allocator);
        }
    }
}

unsafe extern "system" fn create_device(
    physical: vk::PhysicalDevice,
    info: *const vk::DeviceCreateInfo<'_>,
    allocator: *const vk::AllocationCallbacks<'_>,
    device: *mut vk::Device,
) -> vk::Result {
    // SAFETY: these are the loader's arguments, handed on with the chain that begins behind this layer.
    unsafe {
        let of = key(physical);
        let instance = instances().get(&of).map(|ours| ours.handle);
        let link = take_link((*info).p_next, vk::StructureType::LOADER_DEVICE_CREATE_INFO);
        let (Some(instance), Some(link)) = (instance, link) else {
            return vk::Result::ERROR_INITIALIZATION_FAILED;
        };
        let create = (link.get_instance_proc_addr)(instance, c"vkCreateDevice".as_ptr());
        let (Some(create), Some(get)) = (create, link.get_device_proc_addr) else {
            return vk::Result::ERROR_INITIALIZATION_FAILED;
        };
        let create = typed!(create => PFN_vkCreateDevice);
        let result = create(physical, info, allocator, device);
        if result != vk::Result::SUCCESS {
            return result;
        }
        match Device::new(*device, get) {
            Some(ours) => commands::add(*device, ours),
            None => return vk::Result::ERROR_INITIALIZATION_FAILED,
        }
        result
    }
}

unsafe extern "system" fn get_instance_proc_addr(
    instance: vk::Instance,
    name: *const c_char,
) -> vk::PFN_vkVoidFunction {
    // SAFETY: the name is a C string; functions are given without their types, and the caller knows them by name.
    unsafe {
        let text = CStr::from_ptr(name).to_bytes();
        let ours = match text {
            b"vkGetInstanceProcAddr" => {
                untyped!(get_instance_proc_addr => PFN_vkGetInstanceProcAddr)
            }
            b"vkCreateInstance" => untyped!(create_instance => PFN_vkCreateInstance),
            b"vkDestroyInstance" => untyped!(destroy_instance => PFN_vkDestroyInstance),
            b"vkCreateDevice" => untyped!(create_device => PFN_vkCreateDevice),
            b"vkGetDeviceProcAddr" => untyped!(get_device_proc_addr => PFN_vkGetDeviceProcAddr),
            _ => commands::ours(text),
        };
        if ours.is_some() {
            return ours;
        }
        if instance.is_null() {
            return None;
        }
        let of = key(instance);
        let get = instances().get(&of).map(|ours| ours.get_proc_addr);
        get.and_then(|get| get(instance, name))
    }
}

unsafe extern "system" fn get_device_proc_addr(
    device: vk::Device,
    name: *const c_char,
) -> vk::PFN_vkVoidFunction {
    // SAFETY: the name is a C string, and the device a live one; functions are given without their types.
    unsafe {
        let text = CStr::from_ptr(name).to_bytes();
        if text == b"vkGetDeviceProcAddr" {
            return untyped!(get_device_proc_addr => PFN_vkGetDeviceProcAddr);
        }
        match commands::ours(text) {
            Some(ours) => Some(ours),
            None => (commands::of(device).get_proc_addr)(device, name),
        }
    }
}
