//! The figures of each variant: a row for each of its hot loops.

use serde_json::{Value, json};
use wgpu_batchnorm::Activation;
use wgpu_batchnorm::internals::activation_code;
use wgpu_batchnorm::internals::plan::Tuning;
use wgpu_batchnorm::internals::shaders::{Constants, Load, Storage, Variant};

use crate::hot_loop::{self, Round};
use crate::isa::{self, Arithmetic, Block};
use crate::occupancy::{self, Takes};
use crate::spirv::{self, Module};
use crate::vulkan::{Device, Executable};

/// A pipeline: a variant with its constants.
pub struct Case {
    variant: Variant,
    constants: Constants,
    element: &'static str,
    activation: &'static str,
}

/// The pipelines that are compiled: every variant, with each element that it stores; and with relu
/// where a GPU's plan may choose the variant.
pub fn cases(weighted: bool) -> Vec<Case> {
    let mut cases = Vec::new();
    let variants = Variant::all().into_iter();
    for variant in variants.filter(|variant| variant.weighted == weighted) {
        let elements: &[(&str, bool)] = match variant.storage {
            Storage::Single => &[("f32", false)],
            Storage::Half => &[("f16", false), ("bf16", true)],
            Storage::F16 => &[("f16", false)],
            Storage::Texture(_) | Storage::TextureIn | Storage::TextureOut(_) => {
                &[("texel", false)]
            }
        };
        let on_gpus = variant.columns <= Tuning::DISCRETE.lane_columns;
        let relu = on_gpus && variant.source().contains("override ACTIVATION:");
        for &(element, bfloat) in elements {
            let plain = Constants {
                workgroup: workgroup(&variant),
                held: if variant.kernel.holds() { 8 } else { 0 },
                bfloat,
                ..Constants::default()
            };
            let case = |activation, constants| Case {
                variant,
                constants,
                element,
                activation,
            };
            cases.push(case("none", plain));
            if relu {
                let activation = activation_code(Activation::Relu);
                cases.push(case(
                    "relu",
                    Constants {
                        activation,
                        ..plain
                    },
                ));
            }
        }
    }
    cases
}

/// Invocations of a workgroup in plans of the discrete class.
fn workgroup(variant: &Variant) -> u32 {
    let tuning = Tuning::DISCRETE;
    match variant.load {
        Load::Run4 | Load::Channel4 if variant.kernel.holds() => 128,
        Load::Run4 => tuning.planar_workgroup,
        Load::Channel4 if variant.columns > 1 => tuning.planar_team,
        Load::Channel4 => tuning.interleaved_workgroup,
        // Either.
        Load::Scalar => tuning.planar_workgroup.max(tuning.interleaved_workgroup),
    }
}

impl Case {
    /// Compiles it and gives its rows.
    pub fn rows(&self, family: &str, device: &Device) -> Result<Vec<Value>, String> {
        let module = spirv::of(&self.variant, self.constants, device.robust)?;
        let executable = device.compile(&self.variant, &module.spirv)?;
        let code = Code::read(&executable, &module)?;
        let takes = Takes {
            lanes: self.constants.workgroup,
            wave: executable.subgroup,
            registers: code.registers,
            scalar_registers: code.scalar_registers.unwrap_or(0),
            shared_bytes: code.shared_bytes,
        };
        let live = occupancy::workgroups(family, takes);
        let row =
            |name: &str, values: Option<u32>, round: Option<Round>, problem: Option<String>| {
                json!({
                    "variant": self.variant.label(),
                    "element": self.element,
                    "activation": self.activation,
                    "loop": name,
                    "problem": problem,
                    "figures": merged(code.figures(takes.lanes, live), loop_figures(values, round)),
                })
            };
        let hot = hot_loop::of(&self.variant, self.activation != "none");
        if hot.is_empty() {
            let kinds = code.blocks.iter().flat_map(|block| &block.kinds);
            return Ok(vec![row(
                "body",
                None,
                Some(Round::of(kinds.copied())),
                None,
            )]);
        }
        let rows = hot.into_iter().map(|hot| {
            let name = hot.pass.name();
            match hot.round(&self.variant, &code.blocks) {
                Ok((round, values)) => row(name, Some(values), Some(round), None),
                Err(problem) => row(name, None, None, Some(problem)),
            }
        });
        Ok(rows.collect())
    }
}

/// What is known of a shader as a whole.
struct Code {
    registers: u32,
    scalar_registers: Option<u32>,
    spills: Option<u32>,
    scratch: u32,
    shared_bytes: u32,
    instructions: u32,
    blocks: Vec<Block>,
}

impl Code {
    /// From what RADV or NVK told.
    fn read(executable: &Executable, module: &Module) -> Result<Self, String> {
        let find = |name: &str| {
            let mut all = executable.statistics.iter();
            all.find(|(other, _)| other == name).map(|(_, n)| *n as u32)
        };
        let need = |name: &str| find(name).ok_or_else(|| format!("the driver tells no `{name}`"));
        let text = |name: &str| {
            let mut all = executable.representations.iter();
            let found = all.find(|(other, _)| other == name);
            found.map(|(_, text)| text.as_str())
        };
        if let Some(registers) = find("Number of GPRs") {
            return Ok(Self {
                registers,
                scalar_registers: None,
                // Spilled or indexed, it is all in local memory.
                spills: None,
                scratch: need("SLM Size")?,
                shared_bytes: module.shared_bytes,
                instructions: need("Instruction count")?,
                blocks: isa::nvidia::blocks(text("NAK assembly").unwrap_or_default()),
            });
        }
        Ok(Self {
            registers: need("VGPRs")?,
            scalar_registers: Some(need("SGPRs")?),
            spills: Some(need("Spilled SGPRs")? + need("Spilled VGPRs")?),
            // RADV counts a wave's.
            scratch: need("Scratch size")? / executable.subgroup.max(1),
            shared_bytes: need("LDS size")?,
            instructions: need("Instructions")?,
            blocks: isa::amd::blocks(text("Assembly").unwrap_or_default()),
        })
    }

    fn figures(&self, lanes: u32, live: Option<u32>) -> Value {
        json!({
            "lanes": lanes,
            "registers": self.registers,
            "scalar_registers": self.scalar_registers,
            "spills": self.spills,
            "scratch": self.scratch,
            "shared": self.shared_bytes,
            "live": live,
            "instructions": self.instructions,
        })
    }
}

/// What a round takes: arithmetic by the value, all else by the round; of a whole body, all by the
/// body.
fn loop_figures(values: Option<u32>, round: Option<Round>) -> Value {
    let Some(round) = round else {
        return json!({});
    };
    let by_value = |count: u32| f64::from(count) / f64::from(values.unwrap_or(1));
    let kind = |kind| by_value(round.vector(kind));
    let width = |bytes: u32, count: u32| (count > 0).then(|| f64::from(bytes) / f64::from(count));
    json!({
        "values": values,
        "vector": by_value(round.vector.iter().sum()),
        "float": kind(Arithmetic::Float),
        "integer": kind(Arithmetic::Integer),
        "compare": kind(Arithmetic::Compare),
        "move": kind(Arithmetic::Move),
        "convert": kind(Arithmetic::Convert),
        "transcendental": kind(Arithmetic::Transcendental),
        "dual": kind(Arithmetic::Dual),
        "scalar": round.scalar,
        "scalar_loads": round.scalar_loads,
        "loads": round.loads,
        "load_width": width(round.load_bytes, round.loads),
        "stores": round.stores,
        "store_width": width(round.store_bytes, round.stores),
        "atomics": round.atomics,
        "branches": round.branches,
    })
}

fn merged(mut whole: Value, part: Value) -> Value {
    if let (Some(whole), Value::Object(part)) = (whole.as_object_mut(), part) {
        whole.extend(part);
    }
    whole
}
