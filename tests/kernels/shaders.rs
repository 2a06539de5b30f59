//! The closed list of variants: each is valid WGSL, translates to every backend's language and
//! binds what it says.

use std::collections::BTreeMap;
use std::path::Path;

use naga::back::{self, PipelineConstants};
use naga::valid::{Capabilities, GlobalUse, ModuleInfo, ValidationFlags, Validator};
use naga::{AddressSpace, Module, ShaderStage, StorageAccess};
use wgpu_batchnorm::internals::shaders::{
    Constants, Conversion, Role, Variant, proof_source, render_source,
};

/// What WebGPU grants every stage by default.
const MAX_STORAGE_BUFFERS: usize = 8;

/// All that constants switch on.
const FULL: Constants = Constants {
    workgroup: 64,
    activation: 6,
    residual: true,
    dresidual: true,
    in_place: true,
    held: 8,
    bfloat: true,
};

/// Nothing switched on.
const PLAIN: Constants = Constants {
    workgroup: 64,
    activation: 0,
    residual: false,
    dresidual: false,
    in_place: false,
    held: 1,
    bfloat: false,
};

/// The variant for workgroups of 64, through naga's front end and validator.
fn resolved(variant: Variant, constants: Constants) -> (Module, ModuleInfo) {
    resolved_text(&variant.label(), &variant.source(), constants)
}

fn resolved_text(label: &str, source: &str, constants: Constants) -> (Module, ModuleInfo) {
    let (module, info) = parsed(label, source);
    let named = constants.of(source).into_iter();
    let constants = PipelineConstants::from_iter(named.map(|(name, v)| (name.to_owned(), v)));
    let main = Some((ShaderStage::Compute, "main"));
    let (module, info) =
        back::pipeline_constants::process_overrides(&module, &info, main, &constants)
            .unwrap_or_else(|e| panic!("{label}: {e}"));
    (module.into_owned(), info.into_owned())
}

/// Valid with no capability granted: nothing that an adapter may lack is used.
pub fn parsed(label: &str, source: &str) -> (Module, ModuleInfo) {
    let module = naga::front::wgsl::parse_str(source)
        .unwrap_or_else(|e| panic!("{label}: {}", e.emit_to_string(source)));
    // What WebGPU has and some drivers lack: such a text is taken where it was proved to be right.
    let capabilities = match label.contains("_f16") {
        true => Capabilities::SHADER_FLOAT16_IN_FLOAT32,
        false => Capabilities::empty(),
    };
    let info = Validator::new(ValidationFlags::all(), capabilities).validate(&module);
    let info = info.unwrap_or_else(|e| panic!("{label}: {}", e.emit_to_string(source)));
    (module, info)
}

/// Every global with a binding, by number.
fn bindings(module: &Module) -> BTreeMap<u32, (String, AddressSpace)> {
    let globals = module.global_variables.iter();
    let bound = globals.filter_map(|(_, global)| {
        let binding = global.binding?;
        assert_eq!(binding.group, 0);
        let name = global.name.clone().unwrap_or_default();
        Some((binding.binding, (name, global.space)))
    });
    bound.collect()
}

#[test]
fn the_list_is_closed_and_its_labels_unique() {
    let variants = Variant::all();
    // 8 kernels that walk in 4 widths and 2 that hold in 2, with words, halves and f16 in floats; of single values, all of
    // them with words, and with halves 3 that read and 4 flat ones. 2 that are strided.
    let wide = 3 * (8 * 4 + 2 * 2);
    let single = (8 + 2) + 2 * (3 + 4);
    let strided = 3 * 2;
    // 3 that merge in 4 widths, 1 that finishes in 2. On textures 1 that reads, 2 that write 2 formats, and 1 that writes a
    // tensor or, of one, 2 formats.
    let others = 3 * 4 + 2 + 1 + 2 * 2 + 3;
    // Those that walk or hold with one channel a lane, but are not resident.
    let read_only = 3 * 8 * 2 + 8 + 2 * (3 + 4);
    // With weights, of single values and halves: all that walks or holds, and moments of strided walks; all that merges
    // or finishes in 4 widths; moments and normalization of images.
    let weighted = 2 * (8 * 4 + 2 * 2) + (8 + 2) + (3 + 4) + 2 + 3 * 4 + 1 + 2;
    let plain = wide + single + strided + others + read_only;
    assert_eq!(variants.len(), plain + weighted);
    assert!(plain < 250 && variants.len() < 350);
    let mut labels: Vec<_> = variants.iter().map(Variant::label).collect();
    labels.sort_unstable();
    labels.dedup();
    assert_eq!(labels.len(), variants.len());
}

/// The script that compiles them on Dawn knows all constants: a pipeline without one is refused.
#[test]
fn the_script_for_dawn_gives_every_constant() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/portability/compile.mjs");
    let script = std::fs::read_to_string(script).unwrap();
    let mut known = 0;
    for variant in Variant::all() {
        for (name, _) in FULL.of(&variant.source()) {
            assert!(script.contains(&format!(" {name}: ")), "{name}");
            known += 1;
        }
    }
    assert!(known > 0);
}

/// Leaves a translation where `cargo xtask portability` finds it, for other tools to check.
fn keep(name: &str, extension: &str, text: impl AsRef<[u8]>) {
    if let Some(folder) = std::env::var_os("WGBN_TRANSLATIONS") {
        let file = Path::new(&folder).join(format!("{name}.{extension}"));
        std::fs::write(file, text).expect("WGBN_TRANSLATIONS is a folder");
    }
}

#[test]
fn every_variant_translates_to_every_language() {
    let variants = Variant::all().into_iter();
    let variants = variants.map(|variant| (variant.label(), variant.source()));
    for (name, source) in variants.chain([("proof_f16".to_owned(), proof_source())]) {
        keep(&name, "wgsl", &source);
        for (constants, switched) in [(PLAIN, "plain"), (FULL, "full")] {
            let label = format!("{name}.{switched}");
            let (module, info) = resolved_text(&label, &source, constants);

            let spv = back::spv::write_vec(&module, &info, &back::spv::Options::default(), None);
            let spv = spv.unwrap_or_else(|e| panic!("{label}: {e}"));
            assert!(!spv.is_empty());
            let bytes: Vec<u8> = spv.iter().flat_map(|word| word.to_le_bytes()).collect();
            keep(&label, "spv", bytes);

            let (options, pipeline) = Default::default();
            let msl = back::msl::write_string(&module, &info, &options, &pipeline);
            let (msl, _) = msl.unwrap_or_else(|e| panic!("{label}: {e}"));
            assert!(msl.contains("kernel void main_"), "{label}");
            keep(&label, "metal", msl);

            let (options, pipeline) = Default::default();
            let mut hlsl = String::new();
            back::hlsl::Writer::new(&mut hlsl, &options, &pipeline)
                .write(&module, &info, None)
                .unwrap_or_else(|e| panic!("{label}: {e}"));
            assert!(hlsl.contains("numthreads(64, 1, 1)"), "{label}");
            keep(&label, "hlsl", hlsl);

            let glsl = glsl_es_310(&module, &info, ShaderStage::Compute, "main");
            let glsl = glsl.unwrap_or_else(|e| panic!("{label}: {e}"));
            assert!(glsl.starts_with("#version 310 es"), "{label}");
            keep(&label, "comp", glsl);
        }
    }
}

fn glsl_es_310(
    module: &Module,
    info: &ModuleInfo,
    shader_stage: ShaderStage,
    entry_point: &str,
) -> Result<String, back::glsl::Error> {
    let options = back::glsl::Options {
        version: back::glsl::Version::new_gles(310),
        ..Default::default()
    };
    let pipeline = back::glsl::PipelineOptions {
        shader_stage,
        entry_point: entry_point.to_owned(),
        multiview: None,
    };
    let policies = Default::default();
    let mut glsl = String::new();
    back::glsl::Writer::new(&mut glsl, module, info, &options, &pipeline, policies)?.write()?;
    Ok(glsl)
}

/// Tint sets such a variable to zero once, not in every round of a loop.
#[test]
fn what_is_declared_in_a_block_is_initialized() {
    for variant in Variant::all() {
        let source = variant.source();
        let bare = |line: &&str| line.starts_with("        var ") && !line.contains('=');
        assert_eq!(source.lines().find(bare), None, "{}", variant.label());
    }
}

#[test]
fn every_variant_binds_its_roles_and_no_more_than_webgpu_grants() {
    for variant in Variant::all() {
        let label = variant.label();
        let (module, _) = resolved(variant, FULL);
        let mut bindings = bindings(&module);
        let params = bindings.remove(&0);
        let params = params.unwrap_or_else(|| panic!("{label} has no parameters"));
        assert_eq!(params, ("params".to_owned(), AddressSpace::Uniform));

        let storage = |space: &AddressSpace| matches!(space, AddressSpace::Storage { .. });
        let buffers = bindings.values().filter(|(_, space)| storage(space));
        assert!(buffers.count() <= MAX_STORAGE_BUFFERS, "{label}");

        let roles = variant.roles();
        let numbers: Vec<u32> = roles.iter().map(|&role| role as u32).collect();
        assert!(bindings.keys().copied().eq(numbers), "{label}: {roles:?}");
        for (role, (name, space)) in roles.iter().zip(bindings.values()) {
            let (names, uniform) = naming(*role);
            assert!(
                names.contains(&name.as_str()),
                "{label}: {role:?} is {name}"
            );
            assert_eq!(*space == AddressSpace::Uniform, uniform, "{label}: {name}");
        }
    }
}

/// Six kernels take all eight storage buffers that WebGPU grants, the residual among them, and have none left for weights:
/// with these they leave out another. All others leave one free.
#[test]
fn all_but_six_kernels_leave_a_storage_buffer_free() {
    let mut full: Vec<_> = Variant::all()
        .into_iter()
        .filter(|variant| !variant.weighted)
        .filter(|variant| {
            let (module, _) = resolved(*variant, FULL);
            let bindings = bindings(&module);
            let storage = |space: &AddressSpace| matches!(space, AddressSpace::Storage { .. });
            bindings
                .values()
                .filter(|(_, space)| storage(space))
                .count()
                == MAX_STORAGE_BUFFERS
        })
        .map(|variant| variant.kernel.name())
        .collect();
    full.sort_unstable();
    full.dedup();
    let known = [
        "backward_dx",
        "backward_frozen",
        "backward_held",
        "backward_resident",
        "flat_dx",
        "normalize",
    ];
    assert_eq!(full, known);
}

/// What a variant declares read-only is what it never writes, and all of that; else everything is writable.
#[test]
fn what_is_only_read_is_declared_so() {
    let mut read_only = 0;
    for variant in Variant::all() {
        let label = variant.label();
        let (module, info) = resolved(variant, FULL);
        let main = info.get_entry_point(0);
        for (handle, global) in module.global_variables.iter() {
            let AddressSpace::Storage { access } = global.space else {
                continue;
            };
            let name = global.name.as_deref().unwrap_or_default();
            let number = global.binding.unwrap().binding;
            let role = Role::ALL.into_iter().find(|role| *role as u32 == number);
            let declared = !access.contains(StorageAccess::STORE);
            assert_eq!(
                declared,
                variant.only_reads(role.unwrap()),
                "{label}: {name}"
            );
            let written = main[handle].contains(GlobalUse::WRITE);
            let expected = variant.read_only && !written;
            assert_eq!(declared, expected, "{label}: {name}");
            read_only += usize::from(declared);
        }
    }
    assert!(read_only > 100, "only {read_only} bindings");
}

/// What kernels call a role, and whether it is a uniform.
fn naming(role: Role) -> (&'static [&'static str], bool) {
    match role {
        Role::X => (&["x"], false),
        Role::Out => (&["out"], false),
        Role::Dy => (&["dy"], false),
        Role::Affine => (&["affine"], false),
        Role::Statistics => (&["running", "frozen", "moments"], false),
        Role::Saved => (&["saved"], false),
        Role::Partials => (&["partials"], false),
        Role::Grads => (&["grads"], false),
        Role::Axes => (&["axes"], true),
        Role::Residual => (&["residual"], false),
        Role::Dresidual => (&["dresidual"], false),
        Role::Given => (&["given"], false),
        Role::Weights => (&["weights"], false),
        Role::WeightAxes => (&["weight_axes"], true),
    }
}

#[test]
fn a_workgroup_fits_webgpus_memory() {
    // The widest tree: 256 invocations, a partial of three words, or fours of them.
    for variant in Variant::all() {
        let (module, _) = resolved(variant, FULL);
        let mut layouter = naga::proc::Layouter::default();
        layouter.update(module.to_ctx()).unwrap();
        let globals = module.global_variables.iter();
        let shared = globals.filter(|(_, g)| g.space == AddressSpace::WorkGroup);
        let bytes: u32 = shared.map(|(_, g)| layouter[g.ty].size).sum();
        assert!(bytes / 64 * 256 <= 16_384, "{}", variant.label());
    }
}

#[test]
fn the_render_shader_translates_to_every_language() {
    for target in Conversion::ALL {
        let source = render_source(target);
        let name = format!("render_{target:?}").to_lowercase();
        keep(&name, "wgsl", &source);
        let parsed = naga::front::wgsl::parse_str(&source)
            .unwrap_or_else(|e| panic!("{}", e.emit_to_string(&source)));
        let info = Validator::new(ValidationFlags::all(), Capabilities::empty())
            .validate(&parsed)
            .unwrap_or_else(|e| panic!("{}", e.emit_to_string(&source)));
        for (stage, entry, activation) in [
            (ShaderStage::Vertex, "cover", 0),
            (ShaderStage::Fragment, "shade", 6),
        ] {
            let constants = Constants {
                activation,
                ..Constants::default()
            };
            let named = constants.of(&source).into_iter();
            let constants =
                PipelineConstants::from_iter(named.map(|(name, v)| (name.to_owned(), v)));
            let main = Some((stage, entry));
            let (module, info) =
                back::pipeline_constants::process_overrides(&parsed, &info, main, &constants)
                    .unwrap();
            let name = format!("{name}.{entry}");
            let spv = back::spv::write_vec(&module, &info, &back::spv::Options::default(), None);
            let words = spv.unwrap().into_iter();
            keep(
                &name,
                "spv",
                words.flat_map(u32::to_le_bytes).collect::<Vec<u8>>(),
            );
            let (options, pipeline) = Default::default();
            let msl = back::msl::write_string(&module, &info, &options, &pipeline);
            keep(&name, "metal", msl.unwrap().0);
            let (options, pipeline) = Default::default();
            let mut hlsl = String::new();
            back::hlsl::Writer::new(&mut hlsl, &options, &pipeline)
                .write(&module, &info, None)
                .unwrap();
            keep(&name, "hlsl", hlsl);
            let extension = if stage == ShaderStage::Vertex {
                "vert"
            } else {
                "frag"
            };
            keep(
                &name,
                extension,
                glsl_es_310(&module, &info, stage, entry).unwrap(),
            );
        }
        // Read-only: writable storage in a fragment shader is not granted everywhere.
        let written = StorageAccess::STORE;
        for (_, global) in parsed.global_variables.iter() {
            let AddressSpace::Storage { access } = global.space else {
                continue;
            };
            assert!(!access.contains(written), "{:?}", global.name);
        }
    }
}
