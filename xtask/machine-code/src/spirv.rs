//! SPIR-V of a variant, as wgpu 30 hands it to a driver of Vulkan 1.3: the options are those that
//! `wgpu-hal`'s `vulkan/adapter.rs` and `vulkan/device.rs` choose, and nothing here is of our own but the guards
//! that the library takes off.

use std::collections::BTreeMap;

use naga::back::spv::{
    BindingInfo, Capability, Options, PipelineOptions, WriterFlags,
    ZeroInitializeWorkgroupMemoryMode, write_vec,
};
use naga::back::{PipelineConstants, pipeline_constants::process_overrides};
use naga::proc::{BoundsCheckPolicies, BoundsCheckPolicy};
use naga::valid::{Capabilities, ValidationFlags, Validator};
use naga::{AddressSpace, ShaderStage};
use wgpu_batchnorm::internals::shaders::{Constants, Variant};

use crate::vulkan::Robust;

/// The entry of every kernel.
pub const ENTRY: &str = "main";

/// Capabilities that wgpu lets shaders have on any device of Vulkan 1.3 without optional features.
const CAPABILITIES: [Capability; 9] = [
    Capability::Shader,
    Capability::Matrix,
    Capability::Sampled1D,
    Capability::Image1D,
    Capability::ImageQuery,
    Capability::DerivativeControl,
    Capability::StorageImageExtendedFormats,
    Capability::SampledCubeArray,
    Capability::SampleRateShading,
];

/// A module for a driver.
pub struct Module {
    /// Words of SPIR-V.
    pub spirv: Vec<u32>,
    /// Bytes of workgroup memory that it declares.
    pub shared_bytes: u32,
}

/// The module of a variant.
///
/// # Errors
/// What naga says where it refuses the shader.
pub fn of(variant: &Variant, constants: Constants, robust: Robust) -> Result<Module, String> {
    let source = variant.source();
    let said = |error: &dyn std::fmt::Display| format!("{}: {error}", variant.label());
    let module = naga::front::wgsl::parse_str(&source).map_err(|error| said(&error))?;
    let info = Validator::new(ValidationFlags::all(), Capabilities::all())
        .validate(&module)
        .map_err(|error| said(&error))?;
    let values = constants.of(&source).into_iter();
    let values: PipelineConstants = values
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    let entry = Some((ShaderStage::Compute, ENTRY));
    let (module, info) =
        process_overrides(&module, &info, entry, &values).map_err(|error| said(&error))?;
    let entry = PipelineOptions {
        entry_point: ENTRY.to_owned(),
        shader_stage: ShaderStage::Compute,
    };
    let spirv = write_vec(&module, &info, &options(variant, robust), Some(&entry))
        .map_err(|error| said(&error))?;
    let shared = module.global_variables.iter().map(|(_, variable)| variable);
    let shared = shared.filter(|variable| variable.space == AddressSpace::WorkGroup);
    let bytes = shared.map(|variable| module.types[variable.ty].inner.size(module.to_ctx()));
    Ok(Module {
        shared_bytes: bytes.sum(),
        spirv,
    })
}

fn options(variant: &Variant, robust: Robust) -> Options<'static> {
    let unless = |checked: bool| match checked {
        true => BoundsCheckPolicy::Unchecked,
        false => BoundsCheckPolicy::Restrict,
    };
    Options {
        lang_version: (1, 6),
        flags: WriterFlags::LABEL_VARYINGS | WriterFlags::FORCE_POINT_SIZE,
        fake_missing_bindings: false,
        binding_map: binding_map(variant),
        capabilities: Some(CAPABILITIES.into_iter().collect()),
        bounds_check_policies: BoundsCheckPolicies {
            index: BoundsCheckPolicy::Restrict,
            // Where the device checks, the shader does not.
            buffer: unless(robust.buffers),
            image_load: unless(robust.images),
            binding_array: BoundsCheckPolicy::Unchecked,
        },
        // The library asks for that: it writes what it reads.
        zero_initialize_workgroup_memory: ZeroInitializeWorkgroupMemoryMode::None,
        // As `Context` asks for.
        force_loop_bounding: variant.guarded(),
        emit_int_div_checks: variant.guarded(),
        ..Options::default()
    }
}

/// wgpu numbers the bindings of a layout without gaps.
fn binding_map(variant: &Variant) -> BTreeMap<naga::ResourceBinding, BindingInfo> {
    let roles = variant.roles().into_iter().map(|role| role as u32);
    let numbered = std::iter::once(0).chain(roles).zip(0..);
    let entry = |(binding, number)| {
        let from = naga::ResourceBinding { group: 0, binding };
        let to = BindingInfo {
            descriptor_set: 0,
            binding: number,
            binding_array_size: None,
        };
        (from, to)
    };
    numbered.map(entry).collect()
}
