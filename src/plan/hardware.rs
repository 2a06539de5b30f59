//! Devices whose time is predicted: a row for each, and the source of each number.
//!
//! A number of a GPU is what somebody published of it, or, where nothing was found, of its next relative; the source
//! says which. None was measured here. Numbers of lavapipe were measured with the command beside them.

use super::figures::Processors;
use super::machine::DeviceClass;

/// Where a number comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Who published it, and where.
    Published(&'static str),
    /// The command that measured it, or the page that says how.
    Measured(&'static str),
}

/// A number and its source.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Number {
    /// In the unit of its field.
    pub value: f64,
    /// Where it comes from.
    pub source: Source,
}

/// What the model knows of one device.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hardware {
    /// What the command line calls it.
    pub name: &'static str,
    /// What its makers call it.
    pub title: &'static str,
    /// How its work is cut.
    pub class: DeviceClass,
    /// From memory and to it, in GB/s.
    pub bandwidth: Number,
    /// The last cache before memory, in bytes.
    pub cache_bytes: Number,
    /// From that cache, in GB/s.
    pub cache_bandwidth: Number,
    /// Until a load from memory arrives where nothing else is on its way, in ns.
    pub latency: Number,
    /// Between a dispatch and the next one that waits for it, in µs.
    pub dispatch: Number,
    /// Lanes times clock, in 10⁹ instructions a second.
    pub instructions: Number,
    /// What a load or a store costs beside the instructions of a GPU's loop, whatever its width, in such instructions.
    pub load: Number,
    /// What each of its values costs besides.
    pub access: Number,
    /// Multiprocessors, and what lives on one.
    pub processors: Processors,
    /// Where these come from.
    pub processors_source: Source,
}

const fn published(value: f64, source: &'static str) -> Number {
    Number {
        value,
        source: Source::Published(source),
    }
}

const fn measured(value: f64, source: &'static str) -> Number {
    Number {
        value,
        source: Source::Measured(source),
    }
}

/// On a GPU an access is one instruction for a whole load, and its time is that of the memory.
const GPU_ACCESS: Number = measured(
    0.0,
    "tests/machine-code/navi31.txt: a load of four values is one instruction for all its lanes",
);

/// No figure of the device's own was found.
const ANY_LAUNCH: Number = published(
    5.0,
    "no figure of this device: a launch by CUDA, 4 to 6 µs (\"From Launch Overhead to CUDA Graph\", 2026)",
);

/// NVIDIA's H100 with SXM5: HBM3, 132 multiprocessors.
pub const H100: Hardware = Hardware {
    name: "h100",
    title: "NVIDIA H100 SXM",
    class: DeviceClass::Discrete,
    bandwidth: published(3350.0, "NVIDIA, H100 data sheet"),
    cache_bytes: published(50e6, "NVIDIA, H100 data sheet"),
    cache_bandwidth: published(
        5500.0,
        "Chips and Cheese, \"Nvidia's H100: Funny L2, and Tons of Bandwidth\" (2023), of the PCIe card",
    ),
    latency: published(
        273.0,
        "Luo et al., arXiv 2402.13499: 479 clocks, at the 1.755 GHz of the PCIe card",
    ),
    dispatch: published(
        0.9,
        "NVIDIA, \"Getting Started with CUDA Graphs\" (2019): kernels of 2.9 µs take 3.8 µs each in a queue (V100)",
    ),
    instructions: published(
        16_750.0,
        "half of 33.5·10¹² for f32 (NVIDIA, H100 data sheet): integers, which most of these are, have half of the lanes",
    ),
    load: GPU_ACCESS,
    access: GPU_ACCESS,
    processors: Processors {
        count: 132,
        registers: 65_536,
        lanes: 2_048,
        workgroups: 32,
    },
    processors_source: Source::Published(
        "NVIDIA, CUDA C++ Programming Guide, compute capability 9.0",
    ),
};

/// AMD's RX 7900 XTX: Navi 31, 96 compute units.
pub const RX_7900_XTX: Hardware = Hardware {
    name: "rx-7900-xtx",
    title: "AMD Radeon RX 7900 XTX",
    class: DeviceClass::Discrete,
    bandwidth: published(960.0, "AMD, product page"),
    cache_bytes: published(96e6, "AMD, product page: Infinity Cache"),
    cache_bandwidth: published(3500.0, "AMD, product page: effective bandwidth"),
    latency: published(
        233.0,
        "Chips and Cheese, \"Ryzen Z1's Tiny iGPU\" (2024), of the same architecture with LPDDR5",
    ),
    dispatch: ANY_LAUNCH,
    instructions: published(
        15_360.0,
        "96 units × 64 lanes × 2.5 GHz (AMD, product page), no two instructions at once",
    ),
    load: GPU_ACCESS,
    access: GPU_ACCESS,
    processors: Processors {
        count: 96,
        registers: 98_304,
        lanes: 1_024,
        workgroups: 16,
    },
    processors_source: Source::Published(
        "AMD, RDNA 3 Instruction Set Architecture (2023): 2 SIMDs a unit, each of 16 waves and 1,536 registers of 32 lanes",
    ),
};

/// Apple's M2 with ten GPU cores.
pub const M2: Hardware = Hardware {
    name: "m2",
    title: "Apple M2, 10 GPU cores",
    class: DeviceClass::Integrated,
    bandwidth: published(102.4, "Apple: LPDDR5-6400, 128 bits"),
    cache_bytes: published(8e6, "philipturner/metal-benchmarks: system level cache"),
    cache_bandwidth: published(
        134.0,
        "Chips and Cheese, \"iGPU Cache Setups Compared, Including M1\" (2022), of the M1",
    ),
    latency: published(
        342.0,
        "Chips and Cheese, \"A Brief Look at Apple's M2 Pro iGPU\" (2023), of the M2 Pro",
    ),
    dispatch: ANY_LAUNCH,
    instructions: published(
        1_789.0,
        "10 cores × 128 lanes × 1.398 GHz (philipturner/metal-benchmarks)",
    ),
    load: GPU_ACCESS,
    access: GPU_ACCESS,
    processors: Processors {
        count: 10,
        registers: 98_304,
        lanes: 3_072,
        workgroups: 32,
    },
    processors_source: Source::Published(
        "philipturner/metal-benchmarks: 384 KB of registers and 3,072 lanes a core",
    ),
};

/// Intel's Iris Xe with 96 execution units: Tiger Lake.
pub const IRIS_XE: Hardware = Hardware {
    name: "iris-xe",
    title: "Intel Iris Xe, 96 units",
    class: DeviceClass::Integrated,
    bandwidth: published(68.3, "Intel: LPDDR4x-4266, 128 bits"),
    cache_bytes: published(
        3.8e6,
        "Intel, Xe-LP API Developer and Optimization Guide: L3",
    ),
    cache_bandwidth: published(
        518.0,
        "6 subslices × 64 bytes a clock (Intel, Architecture of Processor Graphics Gen11) × 1.35 GHz",
    ),
    latency: published(
        342.0,
        "Chips and Cheese, \"A Brief Look at Apple's M2 Pro iGPU\" (2023), which finds Intel's older iGPUs like it",
    ),
    dispatch: ANY_LAUNCH,
    instructions: published(
        1_037.0,
        "96 units × 8 lanes × 1.35 GHz (Intel, Xe-LP API Developer and Optimization Guide)",
    ),
    load: GPU_ACCESS,
    access: GPU_ACCESS,
    processors: Processors {
        count: 6,
        registers: 114_688,
        lanes: 1_792,
        workgroups: 112,
    },
    processors_source: Source::Published(
        "Intel, oneAPI GPU Optimization Guide: 16 units a subslice, 7 threads a unit of 128 registers of 8 lanes; \
         threads of 16 lanes",
    ),
};

/// How lavapipe's numbers were fitted.
const FITTED: &str =
    "docs/measurements/model-2026-11-28.md: fitted to rows of `wgbn bench --suite small,resnet50`";

/// lavapipe, Mesa's Vulkan on the CPU, on two threads of an Intel Xeon.
pub const LAVAPIPE: Hardware = Hardware {
    name: "lavapipe",
    title: "lavapipe on two threads",
    class: DeviceClass::Cpu,
    bandwidth: measured(
        14.7,
        "`wgbn bench --suite small,resnet50 --device gpu`: the median of its buffer copies",
    ),
    cache_bytes: measured(4e6, "`lscpu`: L2 of two cores, 2 MiB each"),
    // Where all is bound by instructions, nothing tells how much faster a cache is.
    cache_bandwidth: measured(
        29.4,
        "docs/measurements/model-2026-11-28.md: twice the memory's, which no row contradicts",
    ),
    // Cores fetch ahead of what is contiguous.
    latency: measured(
        0.0,
        "docs/measurements/model-2026-11-28.md: no row needs one",
    ),
    // Of a submission and its wait as well. This and the instructions are the largest that the search tried.
    dispatch: measured(400.0, FITTED),
    instructions: measured(60.0, FITTED),
    load: measured(20.0, FITTED),
    access: measured(4.0, FITTED),
    processors: Processors {
        count: 2,
        registers: u32::MAX,
        lanes: 64,
        workgroups: 1,
    },
    processors_source: Source::Measured("`nproc`; llvmpipe runs a workgroup's lanes on one thread"),
};

/// All of them; the first of a class stands for it.
pub static ALL: [Hardware; 5] = [H100, RX_7900_XTX, IRIS_XE, M2, LAVAPIPE];

impl Hardware {
    /// The device that stands for a class where nothing else is known.
    pub fn of(class: DeviceClass) -> Option<&'static Self> {
        ALL.iter().find(|hardware| hardware.class == class)
    }

    /// The device of this name.
    #[cfg(any(test, feature = "internals"))]
    pub fn named(name: &str) -> Option<&'static Self> {
        ALL.iter().find(|hardware| hardware.name == name)
    }
}
