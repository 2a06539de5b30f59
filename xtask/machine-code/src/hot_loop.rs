//! A variant's hot loops: which of a shader's loops they are, and what one round of them takes.

use wgpu_batchnorm::internals::shaders::{Kernel, Load, Storage, Variant};

use crate::isa::{Arithmetic, Block, Kind, loops};

/// One of a kernel's loops over tensors, as its text has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HotLoop {
    /// What it does.
    pub pass: Pass,
    /// Tensors that it reads.
    reads: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// Reads alone: moments, or sums of gradients.
    Reduce,
    /// Writes a value for each that it reads.
    Map,
    /// Both at once.
    Both,
}

impl Pass {
    pub fn name(self) -> &'static str {
        match self {
            Self::Reduce => "reduce",
            Self::Map => "map",
            Self::Both => "both",
        }
    }
}

/// The hot loops of a variant, with an activation or without; none where it reads no tensor.
pub fn of(variant: &Variant, activates: bool) -> Vec<HotLoop> {
    let halves = matches!(variant.storage, Storage::Half | Storage::F16);
    let hot = |pass, reads| HotLoop { pass, reads };
    match variant.kernel {
        Kernel::Moments => vec![hot(Pass::Reduce, 1)],
        Kernel::Normalize
        | Kernel::Inference
        | Kernel::FlatNormalize
        | Kernel::FlatInference
        | Kernel::Texels => {
            vec![hot(Pass::Map, 1)]
        }
        Kernel::TrainResident => vec![hot(Pass::Reduce, 1), hot(Pass::Map, 1)],
        Kernel::BackwardSums => vec![hot(Pass::Reduce, 2)],
        Kernel::BackwardDx | Kernel::FlatDx => vec![hot(Pass::Map, 2)],
        Kernel::FlatFrozenDx if activates => vec![hot(Pass::Map, 2)],
        // dx is dy times a number.
        Kernel::FlatFrozenDx => vec![hot(Pass::Map, 1)],
        // Single halves are written by a flat map.
        Kernel::BackwardFrozen if halves && variant.load == Load::Scalar => {
            vec![hot(Pass::Reduce, 2)]
        }
        Kernel::BackwardFrozen => vec![hot(Pass::Both, 2)],
        Kernel::BackwardResident => vec![hot(Pass::Reduce, 2), hot(Pass::Map, 2)],
        // Registers hold the tensor: there is no loop over it.
        Kernel::TrainHeld
        | Kernel::BackwardHeld
        | Kernel::MomentsFinish
        | Kernel::TrainFinish
        | Kernel::Gradients
        | Kernel::MomentsMerge => vec![],
    }
}

impl HotLoop {
    /// Loads of each tensor in a round: where a lane walks several columns, a map takes one of each.
    fn loads(self, variant: &Variant) -> u32 {
        match self.pass {
            Pass::Map if variant.columns > 1 => variant.columns,
            pass => variant.loads_in_flight(pass == Pass::Map) * variant.columns,
        }
    }

    /// Values of each tensor in a round.
    pub fn values(self, variant: &Variant) -> u32 {
        let of_a_load = match variant.load {
            Load::Scalar if variant.kernel.is_flat() => 2,
            Load::Scalar => 1,
            Load::Run4 | Load::Channel4 => 4,
        };
        self.loads(variant) * of_a_load
    }

    /// Bytes that a lane reads in a round.
    fn bytes(self, variant: &Variant) -> u32 {
        let one = variant.load == Load::Scalar;
        let of_a_load = match variant.storage {
            Storage::Single if one => 4,
            Storage::Single => 16,
            // The word that holds the half, or both.
            Storage::Half | Storage::F16 if one => 4,
            Storage::Half | Storage::F16 => 8,
            // The hardware widens texels.
            Storage::Texture(_) | Storage::TextureIn | Storage::TextureOut(_) => 16,
        };
        // A flat map also has a load of what it writes, for words of which one half stays.
        let stays = u32::from(variant.kernel.is_flat());
        self.loads(variant) * (self.reads + stays) * of_a_load
    }

    /// The instructions of one round, and the values of each tensor in it.
    ///
    /// # Errors
    /// No loop of the shader reads what a round has to read by the plan.
    pub fn round(self, variant: &Variant, blocks: &[Block]) -> Result<(Round, u32), String> {
        let loops = loops(blocks);
        let depth = |inside: &[usize]| {
            let around =
                |other: &&Vec<usize>| inside.iter().all(|b| other.binary_search(b).is_ok());
            loops.iter().filter(around).count()
        };
        let rounds = loops.iter().map(|inside| {
            let kinds = inside.iter().flat_map(|&block| &blocks[block].kinds);
            (Round::of(kinds.copied()), depth(inside))
        });
        let writes = |round: &Round| round.stores + round.atomics > 0;
        let rounds: Vec<(Round, usize)> = rounds
            .filter(|(round, _)| round.loads > 0 && writes(round) == (self.pass != Pass::Reduce))
            .collect();
        let bytes = self.bytes(variant);
        // Where a lane walks several columns, a driver may leave the loop over them a loop.
        [1, variant.columns]
            .into_iter()
            .find_map(|columns| {
                let matching = rounds.iter();
                let matching = matching.filter(|(round, _)| round.load_bytes * columns == bytes);
                let innermost = matching.max_by_key(|(round, depth)| (*depth, !round.instructions));
                innermost.map(|(round, _)| (*round, self.values(variant) / columns))
            })
            .ok_or_else(|| {
                let found = rounds.iter().map(|(round, _)| round.load_bytes.to_string());
                format!(
                    "the plan reads {bytes} bytes a round of {}, the loops read {}",
                    self.pass.name(),
                    found.collect::<Vec<_>>().join(", ")
                )
            })
    }
}

/// Counts of instructions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Round {
    pub instructions: u32,
    /// By [`Arithmetic`], in its order.
    pub vector: [u32; 7],
    pub scalar: u32,
    pub scalar_loads: u32,
    pub loads: u32,
    pub load_bytes: u32,
    pub stores: u32,
    pub store_bytes: u32,
    pub atomics: u32,
    pub branches: u32,
}

impl Round {
    pub fn of(kinds: impl Iterator<Item = Kind>) -> Self {
        let mut round = Self::default();
        for kind in kinds {
            round.instructions += 1;
            match kind {
                Kind::Vector(arithmetic) => round.vector[arithmetic as usize] += 1,
                Kind::Scalar => round.scalar += 1,
                Kind::ScalarLoad => round.scalar_loads += 1,
                Kind::Load(bytes) => {
                    round.loads += 1;
                    round.load_bytes += bytes;
                }
                Kind::Store(bytes) => {
                    round.stores += 1;
                    round.store_bytes += bytes;
                }
                Kind::Atomic => round.atomics += 1,
                Kind::Branch => round.branches += 1,
                Kind::Shared | Kind::Private | Kind::Other => {}
            }
        }
        round
    }

    /// Vector instructions of one kind.
    pub fn vector(&self, kind: Arithmetic) -> u32 {
        self.vector[kind as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variant(label: &str) -> Variant {
        let mut all = Variant::all().into_iter();
        all.find(|v| v.label() == label)
            .expect("there is such a variant")
    }

    fn block(kinds: &[Kind], next: &[usize]) -> Block {
        Block {
            kinds: kinds.to_vec(),
            next: next.to_vec(),
        }
    }

    #[test]
    fn a_round_has_the_values_and_bytes_of_the_plan() {
        let cases = [
            ("moments_run4", 16, 64),
            ("moments", 4, 16),
            ("moments_channel4_x2", 32, 128),
            ("flat_inference_half", 16, 64),
            ("inference_channel4_x2", 8, 32),
            ("backward_dx_run4_half", 16, 64),
            ("flat_dx_half", 8, 48),
            ("backward_frozen_run4", 16, 128),
            ("inference_channel4_texture_rgba8unorm", 16, 64),
        ];
        for (label, values, bytes) in cases {
            let variant = variant(label);
            let hot = of(&variant, false)[0];
            assert_eq!(hot.values(&variant), values, "{label}");
            assert_eq!(hot.bytes(&variant), bytes, "{label}");
        }
    }

    #[test]
    fn the_hot_loop_is_the_innermost_that_reads_a_whole_round() {
        let float = Kind::Vector(Arithmetic::Float);
        let load = Kind::Load(16);
        let blocks = [
            block(&[load], &[1]),
            block(&[Kind::Scalar], &[2]),
            block(&[load, load, load, load, float, Kind::Branch], &[2, 3]),
            block(&[float, Kind::Branch], &[1, 4]),
            // What is left over, one load at a time.
            block(&[load, float, Kind::Branch], &[4, 5]),
            block(&[], &[]),
        ];
        let moments = variant("moments_run4");
        let round = of(&moments, false)[0].round(&moments, &blocks);
        let (round, values) = round.expect("block 2 is the loop");
        assert_eq!(values, 16);
        assert_eq!(
            (round.instructions, round.loads, round.load_bytes),
            (6, 4, 64)
        );
        assert_eq!((round.vector(Arithmetic::Float), round.branches), (1, 1));

        let inference = variant("inference_run4");
        let round = of(&inference, false)[0].round(&inference, &blocks);
        assert!(round.is_err(), "nothing is written");

        // Fours of two columns: eight loads, or four in a loop over the columns.
        let columns = variant("moments_channel4_x2");
        let round = of(&columns, false)[0].round(&columns, &blocks);
        assert_eq!(round.map(|(_, values)| values), Ok(16));
    }
}
