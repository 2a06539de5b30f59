//! What the planner knows of a device.

/// Lanes of the largest workgroup that holds its channels in registers, where work is cut by bytes.
pub(super) const WIDEST_HOLDER: u32 = 256;
/// Bindings start at multiples of 256 bytes at most.
pub(super) const ALIGNMENT: usize = 256;

/// The most bytes that the planner puts into one binding, whatever a device offers. Metal's shaders
/// learn the sizes of bindings as 32-bit numbers, into which wgpu clamps what is larger, and their
/// bounds checks would then cut off the end; HLSL and several Vulkan drivers count the bytes of an
/// address in 32 bits, which would wrap. It is a multiple of every alignment and load. In loads it is
/// below 2³¹, so that positions past the end, as far as a span reaches, have an index as well.
pub const LARGEST_BINDING: u64 = (1 << 32) - ALIGNMENT as u64;

/// What the planner knows of a device: limits, and how it likes its work cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Machine {
    /// `max_compute_workgroups_per_dimension`.
    pub max_groups_per_dimension: u32,
    /// Largest tensor that one binding holds, in bytes.
    pub max_binding_bytes: u64,
    /// The name of the limit behind `max_binding_bytes`.
    pub binding_limit: &'static str,
    /// How work is cut.
    pub tuning: Tuning,
}

/// How work is cut: sizes that change speed and never results beyond rounding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "tuning",
    derive(serde::Serialize, serde::Deserialize),
    serde(deny_unknown_fields)
)]
pub struct Tuning {
    /// Invocations of a workgroup on planar tensors; a multiple of `planar_team`.
    pub planar_workgroup: u32,
    /// Lanes that share one contiguous stream of a planar tensor.
    pub planar_team: u32,
    /// Most invocations of a workgroup on interleaved tensors; a workgroup is one team there.
    pub interleaved_workgroup: u32,
    /// Most channels, or fours of them, side by side in a team on interleaved tensors: enough for
    /// contiguous reads, few enough to make many workgroups.
    pub interleaved_columns: u32,
    /// Most columns that a lane walks on interleaved tensors, so that one team of `planar_team` lanes
    /// covers whole rows; 1 where neighbouring teams do as well.
    pub lane_columns: u32,
    /// Workgroups that fill the device.
    pub fill: u32,
    /// Most bytes of a tensor that a workgroup may read twice and still find in fast memory.
    pub resident_bytes: usize,
    /// Bytes of a tensor that a workgroup walks in one dispatch, where work is cut by bytes: many workgroups
    /// balance themselves on a GPU of any size. `None` where it is cut to `fill` the device.
    // A field that is left out would else count as null.
    #[cfg_attr(
        feature = "tuning",
        serde(deserialize_with = "serde::Deserialize::deserialize")
    )]
    pub workgroup_bytes: Option<usize>,
    /// Bytes of the last cache before memory, which decide in which order a second pass over a tensor goes: 0
    /// where it keeps the order of the first.
    pub cache_bytes: u64,
    /// Most bytes of a tensor that one dispatch walks, so that none lasts so long that a driver gives up on it.
    pub piece_bytes: u64,
    /// Whether kernels bind what they only read as read-only, where each buffer that is written holds nothing
    /// else.
    pub read_only: bool,
}

/// What kind of device it is, as far as the planner cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeviceClass {
    /// An adapter that runs on the CPU.
    Cpu,
    /// A GPU that shares the host's memory.
    Integrated,
    /// A GPU with memory of its own, or one that does not say what it is.
    Discrete,
}

impl DeviceClass {
    pub(super) const ALL: [Self; 3] = [Self::Cpu, Self::Integrated, Self::Discrete];

    /// The class whose tuning this is.
    pub(crate) fn of(tuning: &Tuning) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|class| class.tuning() == *tuning)
    }

    /// The devices of this class.
    pub fn devices(self) -> &'static str {
        match self {
            Self::Cpu => "software adapters",
            Self::Integrated => "integrated GPUs",
            Self::Discrete => "discrete GPUs",
        }
    }

    /// How this class likes its work cut.
    pub fn tuning(self) -> Tuning {
        match self {
            Self::Cpu => Tuning::CPU_ADAPTER,
            Self::Integrated => Tuning::INTEGRATED,
            Self::Discrete => Tuning::DISCRETE,
        }
    }
}

impl Tuning {
    /// Adapters that run on the CPU: each of their few threads runs a workgroup's lanes in
    /// subgroups of eight, one after the other, pays for every barrier, and reads fast only what
    /// is contiguous for a subgroup. Measured on lavapipe.
    pub const CPU_ADAPTER: Self = Self {
        planar_workgroup: 8,
        planar_team: 8,
        interleaved_workgroup: 64,
        interleaved_columns: 64,
        lane_columns: 4,
        fill: 16,
        resident_bytes: 256 << 10,
        workgroup_bytes: None,
        // Workgroups do not start in order of their numbers on threads that take them by turns.
        cache_bytes: 0,
        // Nobody waits for a CPU with a watch.
        piece_bytes: u64::MAX,
        read_only: false,
    };
    /// Integrated GPUs: fewer cores to fill, smaller caches. Not yet measured on one.
    pub const INTEGRATED: Self = Self {
        fill: 256,
        resident_bytes: 16 << 10,
        // From 3.8 MB of an Iris Xe to 8 MB of an M2.
        cache_bytes: 4 << 20,
        // An Iris Xe's memory moves four times as many in 31 ms; a test asks the model.
        piece_bytes: 512 << 20,
        ..Self::DISCRETE
    };
    /// Discrete GPUs. Not yet measured on one.
    pub const DISCRETE: Self = Self {
        planar_workgroup: 256,
        planar_team: 256,
        interleaved_workgroup: 256,
        interleaved_columns: 32,
        lane_columns: 1,
        fill: 528,
        resident_bytes: 32 << 10,
        workgroup_bytes: Some(32 << 10),
        // GPUs of the last years have 24 to 96 MB, older ones about 5. Too small a number reverses
        // some passes needlessly, which costs nothing.
        cache_bytes: 32 << 20,
        // Four times as many take 45 ms at 96 GB/s, a tenth of an RX 7900 XTX.
        piece_bytes: 1 << 30,
        read_only: true,
    };
}

impl Tuning {
    /// Invocations of the largest workgroup.
    pub(crate) fn widest(&self) -> u32 {
        let holders = match self.workgroup_bytes {
            Some(_) => WIDEST_HOLDER,
            None => 1,
        };
        self.planar_workgroup
            .max(self.interleaved_workgroup)
            .max(holders)
    }
}

impl Machine {
    /// The most bytes that the planner puts into one binding, and the limit's name.
    pub(crate) fn binding_bytes(&self) -> (&'static str, u64) {
        match self.max_binding_bytes {
            max if max < LARGEST_BINDING => (self.binding_limit, max),
            _ => ("what 32-bit sizes reach", LARGEST_BINDING),
        }
    }

    /// The most bytes of a tensor that one dispatch walks, and why.
    pub(crate) fn piece_bytes(&self) -> (&'static str, u64) {
        match self.binding_bytes() {
            (_, binding) if binding <= self.tuning.piece_bytes => ("one binding holds", binding),
            _ => (
                "a dispatch that drivers wait for walks",
                self.tuning.piece_bytes,
            ),
        }
    }
}
