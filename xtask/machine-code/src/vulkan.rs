//! The one device of Vulkan that is there, opened as wgpu opens it, and what its driver tells of a
//! pipeline: VK_KHR_pipeline_executable_properties.

use std::ffi::{CStr, CString, c_char};

use ash::{khr, vk};
use wgpu_batchnorm::internals::shaders::{Role, Variant};

use crate::spirv::ENTRY;

/// Which accesses the device itself keeps within bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Robust {
    pub buffers: bool,
    pub images: bool,
}

/// A device, for the life of the process.
pub struct Device {
    // Its functions are in the library that the entry keeps loaded.
    _entry: ash::Entry,
    raw: ash::Device,
    executables: khr::pipeline_executable_properties::Device,
    /// What it says it is.
    pub name: String,
    /// Driver and version.
    pub driver: String,
    pub robust: Robust,
}

/// What a driver tells of a pipeline.
pub struct Executable {
    /// Lanes of a wave.
    pub subgroup: u32,
    /// Names and numbers.
    pub statistics: Vec<(String, u64)>,
    /// Names and text: the compiler's stages, machine code last.
    pub representations: Vec<(String, String)>,
}

fn text(chars: &[c_char]) -> String {
    let bytes: Vec<u8> = chars.iter().map(|&c| c as u8).collect();
    let text = CStr::from_bytes_until_nul(&bytes).unwrap_or_default();
    text.to_string_lossy().into_owned()
}

impl Device {
    /// The first device there is.
    ///
    /// # Errors
    /// A loader or a device that is not there, or cannot say what it compiles to.
    pub fn open() -> Result<Self, String> {
        // SAFETY: the loader is a library like any other; what it runs when loaded is its own.
        #[allow(unsafe_code)]
        let entry = unsafe { ash::Entry::load() }.map_err(|error| error.to_string())?;
        let said = |what: &str| {
            let what = what.to_owned();
            move |error: vk::Result| format!("{what}: {error}")
        };
        let application = vk::ApplicationInfo::default().api_version(vk::API_VERSION_1_3);
        let create = vk::InstanceCreateInfo::default().application_info(&application);
        // SAFETY: `create` borrows from locals that live on; handles are used with the instance and
        // the device that they come from, which are never destroyed.
        #[allow(unsafe_code)]
        unsafe {
            let instance = entry
                .create_instance(&create, None)
                .map_err(said("no instance of Vulkan"))?;
            let devices = instance
                .enumerate_physical_devices()
                .map_err(said("no devices of Vulkan"))?;
            let physical = *devices.first().ok_or("Vulkan has no device here")?;

            let mut driver = vk::PhysicalDeviceDriverProperties::default();
            let mut properties = vk::PhysicalDeviceProperties2::default().push_next(&mut driver);
            instance.get_physical_device_properties2(physical, &mut properties);
            let name = text(&properties.properties.device_name);
            let driver = format!(
                "{} {}",
                text(&driver.driver_name),
                text(&driver.driver_info)
            );

            let extensions = instance
                .enumerate_device_extension_properties(physical)
                .map_err(said("no list of extensions"))?;
            let has = |name: &CStr| {
                let mut names = extensions.iter().map(|e| text(&e.extension_name));
                names.any(|extension| *extension == *name.to_string_lossy())
            };
            if !has(khr::pipeline_executable_properties::NAME) {
                return Err(format!(
                    "{name} has no VK_KHR_pipeline_executable_properties"
                ));
            }
            let mut enabled = vec![khr::pipeline_executable_properties::NAME.as_ptr()];
            let robust2 = has(ash::ext::robustness2::NAME);
            if robust2 {
                enabled.push(ash::ext::robustness2::NAME.as_ptr());
            }

            // What wgpu enables of it, it enables wherever it is there.
            let mut found = vk::PhysicalDeviceRobustness2FeaturesEXT::default();
            let mut found13 = vk::PhysicalDeviceVulkan13Features::default();
            let mut features = vk::PhysicalDeviceFeatures2::default().push_next(&mut found13);
            if robust2 {
                features = features.push_next(&mut found);
            }
            instance.get_physical_device_features2(physical, &mut features);
            let core = vk::PhysicalDeviceFeatures::default()
                .robust_buffer_access(features.features.robust_buffer_access != 0);
            let robust = Robust {
                buffers: found.robust_buffer_access2 != 0,
                images: match robust2 {
                    true => found.robust_image_access2 != 0,
                    false => found13.robust_image_access != 0,
                },
            };

            let mut info = vk::PhysicalDevicePipelineExecutablePropertiesFeaturesKHR::default()
                .pipeline_executable_info(true);
            let mut robustness2 = vk::PhysicalDeviceRobustness2FeaturesEXT::default()
                .robust_buffer_access2(robust.buffers)
                .robust_image_access2(found.robust_image_access2 != 0);
            let mut image_robustness = vk::PhysicalDeviceImageRobustnessFeatures::default()
                .robust_image_access(robust.images);
            let queues = [vk::DeviceQueueCreateInfo::default()
                .queue_family_index(0)
                .queue_priorities(&[1.0])];
            let mut create = vk::DeviceCreateInfo::default()
                .queue_create_infos(&queues)
                .enabled_extension_names(&enabled)
                .enabled_features(&core)
                .push_next(&mut info)
                .push_next(&mut image_robustness);
            if robust2 {
                create = create.push_next(&mut robustness2);
            }
            let raw = instance
                .create_device(physical, &create, None)
                .map_err(said("the device cannot be opened"))?;
            Ok(Self {
                executables: khr::pipeline_executable_properties::Device::new(&instance, &raw),
                _entry: entry,
                raw,
                name,
                driver,
                robust,
            })
        }
    }

    /// Compiles a variant and says what came of it.
    ///
    /// # Errors
    /// What the driver refuses.
    pub fn compile(&self, variant: &Variant, spirv: &[u32]) -> Result<Executable, String> {
        let said = |error: vk::Result| format!("{}: {error}", variant.label());
        let bindings = layout(variant);
        let entry = CString::new(ENTRY).map_err(|error| error.to_string())?;
        // SAFETY: naga validated the module and wrote it; every structure borrows from locals that
        // live on, and every handle is of this device and destroyed once, after its last use.
        #[allow(unsafe_code)]
        unsafe {
            let create = vk::ShaderModuleCreateInfo::default().code(spirv);
            let module = self.raw.create_shader_module(&create, None).map_err(said)?;
            let create = vk::DescriptorSetLayoutCreateInfo::default().bindings(&bindings);
            let set = self
                .raw
                .create_descriptor_set_layout(&create, None)
                .map_err(said)?;
            let sets = [set];
            let create = vk::PipelineLayoutCreateInfo::default().set_layouts(&sets);
            let layout = self
                .raw
                .create_pipeline_layout(&create, None)
                .map_err(said)?;
            let stage = vk::PipelineShaderStageCreateInfo::default()
                .stage(vk::ShaderStageFlags::COMPUTE)
                .module(module)
                .name(&entry);
            let create = vk::ComputePipelineCreateInfo::default()
                .stage(stage)
                .layout(layout)
                .flags(
                    vk::PipelineCreateFlags::CAPTURE_STATISTICS_KHR
                        | vk::PipelineCreateFlags::CAPTURE_INTERNAL_REPRESENTATIONS_KHR,
                );
            let pipelines = self
                .raw
                .create_compute_pipelines(vk::PipelineCache::null(), &[create], None)
                .map_err(|(_, error)| said(error))?;
            let executable = self.executable(pipelines[0]).map_err(said);
            for pipeline in pipelines {
                self.raw.destroy_pipeline(pipeline, None);
            }
            self.raw.destroy_pipeline_layout(layout, None);
            self.raw.destroy_descriptor_set_layout(set, None);
            self.raw.destroy_shader_module(module, None);
            executable
        }
    }

    fn executable(&self, pipeline: vk::Pipeline) -> Result<Executable, vk::Result> {
        let whole = vk::PipelineInfoKHR::default().pipeline(pipeline);
        // A compute pipeline has one executable.
        let first = vk::PipelineExecutableInfoKHR::default().pipeline(pipeline);
        // SAFETY: the caller's pipeline is of this device and was made with both flags of capturing.
        #[allow(unsafe_code)]
        let (properties, statistics) = unsafe {
            (
                self.executables
                    .get_pipeline_executable_properties(&whole)?,
                self.executables
                    .get_pipeline_executable_statistics(&first)?,
            )
        };
        let number = |s: &vk::PipelineExecutableStatisticKHR<'_>| match s.format {
            // SAFETY: the format says which field of the union the driver wrote.
            #[allow(unsafe_code)]
            vk::PipelineExecutableStatisticFormatKHR::FLOAT64 => unsafe { s.value.f64 as u64 },
            // SAFETY: all others are whole numbers of 64 bits, or of 32 in their low half, and
            // nothing is negative.
            #[allow(unsafe_code)]
            _ => unsafe { s.value.u64 },
        };
        Ok(Executable {
            subgroup: properties.first().map_or(0, |p| p.subgroup_size),
            statistics: statistics
                .iter()
                .map(|s| (text(&s.name), number(s)))
                .collect(),
            representations: self.representations(&first)?,
        })
    }

    /// The texts. (`ash` asks for their lengths alone.)
    fn representations(
        &self,
        executable: &vk::PipelineExecutableInfoKHR<'_>,
    ) -> Result<Vec<(String, String)>, vk::Result> {
        // SAFETY: as in `executable`.
        #[allow(unsafe_code)]
        let mut found = unsafe {
            self.executables
                .get_pipeline_executable_internal_representations(executable)?
        };
        let mut texts: Vec<Vec<u8>> = found.iter().map(|r| vec![0; r.data_size]).collect();
        for (representation, text) in found.iter_mut().zip(&mut texts) {
            representation.p_data = text.as_mut_ptr().cast();
        }
        let mut count = found.len() as u32;
        let read = self
            .executables
            .fp()
            .get_pipeline_executable_internal_representations_khr;
        // SAFETY: `count` entries lie at the pointer, each with room for `data_size` bytes.
        #[allow(unsafe_code)]
        unsafe {
            read(
                self.raw.handle(),
                executable,
                &mut count,
                found.as_mut_ptr(),
            )
            .result()?;
        }
        let texts = texts.into_iter().map(|text| {
            let text = String::from_utf8_lossy(&text).into_owned();
            text.trim_end_matches('\0').to_owned()
        });
        Ok(found.iter().map(|r| text(&r.name)).zip(texts).collect())
    }
}

/// The bindings of a variant, numbered as wgpu numbers them.
fn layout(variant: &Variant) -> Vec<vk::DescriptorSetLayoutBinding<'static>> {
    let of = |role: &Role| match role {
        Role::X if variant.storage.reads_texture() => vk::DescriptorType::SAMPLED_IMAGE,
        Role::Out if variant.storage.writes_texture() => vk::DescriptorType::STORAGE_IMAGE,
        Role::Axes | Role::WeightAxes => vk::DescriptorType::UNIFORM_BUFFER,
        _ => vk::DescriptorType::STORAGE_BUFFER,
    };
    let roles = variant.roles();
    let types = std::iter::once(vk::DescriptorType::UNIFORM_BUFFER).chain(roles.iter().map(of));
    let binding = |(number, ty)| {
        vk::DescriptorSetLayoutBinding::default()
            .binding(number)
            .descriptor_type(ty)
            .descriptor_count(1)
            .stage_flags(vk::ShaderStageFlags::COMPUTE)
    };
    (0..).zip(types).map(binding).collect()
}
