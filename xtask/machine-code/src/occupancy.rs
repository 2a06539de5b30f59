//! How many workgroups live on a multiprocessor at once: on a compute unit of GCN, on a pair of them
//! (a workgroup processor, as RADV runs compute shaders) of RDNA, on an SM of NVIDIA's.

/// What a workgroup takes.
#[derive(Clone, Copy, Debug)]
pub struct Takes {
    /// Invocations.
    pub lanes: u32,
    /// Invocations of a wave.
    pub wave: u32,
    /// Vector registers of a lane.
    pub registers: u32,
    /// Scalar registers of a wave; those that GCN shares out, RDNA and NVIDIA do not.
    pub scalar_registers: u32,
    /// Bytes of workgroup memory.
    pub shared_bytes: u32,
}

/// What a multiprocessor has.
struct Machine {
    /// Parts with registers of their own, between which waves are dealt out.
    parts: u32,
    /// Most waves of a part, whatever they take.
    waves: u32,
    /// Vector registers of a part, counted for one lane of a 64-lane wave (of a 32-lane wave on NVIDIA).
    registers: u32,
    /// They are given out in multiples of so many.
    granule: u32,
    /// Scalar registers of a part, and their granule.
    scalar: Option<(u32, u32)>,
    /// Workgroup memory of the multiprocessor, the granule, and what each workgroup takes besides.
    shared: (u32, u32, u32),
    /// Most workgroups.
    workgroups: u32,
}

/// Numbers of a family.
///
/// AMD's: Mesa 25.0, `src/amd/compiler/aco_ir.cpp` (`init_program`: registers, granules, waves of a
/// SIMD) and `aco_live_var_analysis.cpp` (`max_suitable_waves`: workgroups, workgroup memory);
/// `src/amd/vulkan/radv_shader.c` (`radv_should_use_wgp_mode`) says that compute shaders get a workgroup
/// processor. RADV's statistic "Subgroups per SIMD" agreed for all variants.
/// NVIDIA's: CUDA C++ Programming Guide, "Technical Specifications per Compute Capability" (7.5 and
/// 8.6), and the Occupancy Calculator of Nsight Compute for granules.
fn machine(family: &str) -> Option<Machine> {
    let gcn = |waves| Machine {
        parts: 4,
        waves,
        registers: 256,
        granule: 4,
        scalar: Some((800, 16)),
        shared: (64 << 10, 512, 0),
        workgroups: 16,
    };
    let rdna = |waves, registers, granule, shared| Machine {
        parts: 4,
        waves,
        registers,
        granule,
        scalar: None,
        shared: (128 << 10, shared, 0),
        workgroups: 32,
    };
    let nvidia = |waves, shared| Machine {
        parts: 4,
        waves,
        registers: 512,
        granule: 8,
        scalar: None,
        shared,
        workgroups: 16,
    };
    Some(match family {
        "polaris12" => gcn(8),
        "vega10" | "raven" | "renoir" => gcn(10),
        "navi10" => rdna(20, 512, 4, 512),
        "navi21" | "gfx1150" => rdna(16, 512, 8, 1024),
        "navi31" => rdna(16, 768, 12, 1024),
        "turing" => nvidia(8, (64 << 10, 256, 0)),
        // Of a workgroup's memory, the system takes 1 KiB.
        "ampere" => nvidia(12, (100 << 10, 128, 1 << 10)),
        _ => return None,
    })
}

/// How many workgroups live on one multiprocessor of the family; nothing where it is not known.
pub fn workgroups(family: &str, takes: Takes) -> Option<u32> {
    let machine = machine(family)?;
    let granted = |count: u32, granule: u32| count.max(1).next_multiple_of(granule);
    let mut waves = machine.registers / granted(takes.registers, machine.granule);
    waves = waves.min(machine.waves);
    if let Some((registers, granule)) = machine.scalar {
        waves = waves.min(registers / granted(takes.scalar_registers, granule));
    }
    let of_a_workgroup = takes.lanes.div_ceil(takes.wave);
    let mut live = waves * machine.parts / of_a_workgroup;
    let (shared, granule, besides) = machine.shared;
    if takes.shared_bytes > 0 {
        let taken = takes.shared_bytes.next_multiple_of(granule) + besides;
        live = live.min(shared / taken);
    }
    Some(live.min(machine.workgroups))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registers_waves_and_workgroup_memory_bound_what_lives() {
        let takes = |wave, registers, shared_bytes| Takes {
            lanes: 256,
            wave,
            registers,
            scalar_registers: 32,
            shared_bytes,
        };
        let cases = [
            // 65,536 registers for 256 lanes of 64: four workgroups; of 65, which 72 are given for: three.
            ("ampere", takes(32, 64, 0), 4),
            ("ampere", takes(32, 65, 0), 3),
            ("ampere", takes(32, 129, 0), 1),
            // 48 waves hold six workgroups of eight; 32 hold four.
            ("ampere", takes(32, 16, 0), 6),
            ("turing", takes(32, 16, 0), 4),
            // 33 KiB each, of 100.
            ("ampere", takes(32, 16, 32 << 10), 3),
            // Ten waves of 64 lanes on each of four SIMDs: 25 registers take 28, nine waves.
            ("vega10", takes(64, 24, 0), 10),
            ("vega10", takes(64, 25, 0), 9),
            ("polaris12", takes(64, 24, 0), 8),
            // 768 registers of 64 lanes, in twelves.
            ("navi31", takes(64, 96, 0), 8),
            ("navi31", takes(64, 97, 0), 7),
            ("navi21", takes(64, 96, 0), 5),
            ("navi10", takes(64, 24, 0), 20),
            ("vega10", takes(64, 24, 16 << 10), 4),
        ];
        for (family, takes, live) in cases {
            assert_eq!(workgroups(family, takes), Some(live), "{family} {takes:?}");
        }
        assert_eq!(workgroups("other", takes(64, 1, 0)), None);
    }
}
