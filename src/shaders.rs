//! The closed list of shader variants and how each is composed from `shaders/`.
//!
//! A kernel file holds the mathematics of one dispatch; what it shares stands in
//! `shaders/shared`. What differs between a lane that walks one channel, which needs no array, and
//! one that walks several stands in `shaders/columns`. Only what changes types or directives is an
//! axis here, spelt out as text: the element's width, the walk, the width of loads and the channels a
//! lane. All else is an override constant, see [`Constants`], or a field of `Params` in
//! `shaders/shared/params.wgsl`.

pub use crate::plan::{COLUMNS, Load};

macro_rules! shader {
    ($path:literal) => {
        include_str!(concat!("../shaders/", $path, ".wgsl"))
    };
}

/// One dispatch's mathematics; the name of its file, its label and its entry in the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kernel {
    /// Training forward 1: partial moments.
    Moments,
    /// Training forward 2: y, saved and running statistics.
    Normalize,
    /// Inference; functional normalization.
    Inference,
    /// Functional moments 2: merged moments.
    MomentsFinish,
    /// Backward 1 through batch statistics: partial sums.
    BackwardSums,
    /// Backward 2 through batch statistics: dx, dweight, dbias.
    BackwardDx,
    /// Backward 1 through frozen statistics: dx and partial sums.
    BackwardFrozen,
    /// Backward 2 where dx is not left to do: dweight, dbias.
    Gradients,
    /// Training forward in one dispatch.
    TrainResident,
    /// Backward through batch statistics in one dispatch.
    BackwardResident,
    /// The moments of two batches into those of both.
    MomentsMerge,
}

/// How the shaders read and write tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Storage {
    /// 32-bit words, one for each value.
    Single,
    /// Two halves a word; the override constant `BFLOAT` says which.
    Half,
    /// Textures, whose texels are loads of four channels: what is written has this format, where the
    /// kernel writes one.
    Texture(Option<TexelFormat>),
}

/// Formats that kernels write: storage textures name theirs in the text. Read is what loads as f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TexelFormat {
    /// 8 bits a channel, k/255.
    Rgba8Unorm,
    /// f16.
    Rgba16Float,
}

impl TexelFormat {
    /// All formats.
    #[cfg(any(test, feature = "internals"))]
    pub const ALL: [Self; 2] = [Self::Rgba8Unorm, Self::Rgba16Float];

    /// WGSL's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rgba8Unorm => "rgba8unorm",
            Self::Rgba16Float => "rgba16float",
        }
    }

    fn conversion(self) -> Conversion {
        match self {
            Self::Rgba8Unorm => Conversion::Unorm,
            Self::Rgba16Float => Conversion::Half,
        }
    }
}

/// What becomes of values before the hardware converts them to a texture's format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Conversion {
    /// NaN becomes 0: for formats without it.
    Unorm,
    /// Rounded to f16, which drivers may truncate to.
    Half,
    /// Nothing.
    Single,
}

impl Conversion {
    /// All conversions.
    #[cfg(any(test, feature = "internals"))]
    pub const ALL: [Self; 3] = [Self::Unorm, Self::Half, Self::Single];

    fn parts(self) -> &'static [&'static str] {
        match self {
            Self::Unorm => &[shader!("shared/convert_unorm")],
            Self::Half => &[shader!("shared/half"), shader!("shared/convert_half")],
            Self::Single => &[shader!("shared/convert_single")],
        }
    }
}

/// How a lane finds a channel's next value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Walk {
    /// A dense `(outer, channels, inner)` view.
    Dense,
    /// Kept and reduced axes that alternate.
    Strided,
}

/// How partials of a workgroup are folded. A place for subgroup reductions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reduce {
    /// A tree in workgroup memory.
    Workgroup,
}

/// One entry of the closed list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Variant {
    /// Its kernel.
    pub kernel: Kernel,
    /// Its storage.
    pub storage: Storage,
    /// Its walk.
    pub walk: Walk,
    /// Its loads.
    pub load: Load,
    /// Its channels a lane, one of [`COLUMNS`].
    pub columns: u32,
    /// Its reduction.
    pub reduce: Reduce,
}

// What kernels and the render pipeline share.
const X_TEXTURE: &str = shader!("shared/x_texture");
const TEXEL: &str = shader!("shared/texel");
const NO_RESIDUAL: &str = shader!("shared/no_residual");
const ACTIVATION: &str = shader!("shared/activation");
const STATISTICS: &str = shader!("shared/statistics");
const SAVED_CHANNEL: &str = shader!("shared/saved_channel");
const FROZEN: &str = shader!("shared/frozen");
const Y: &str = shader!("shared/y");

/// The WGSL of the render pipeline that normalizes into a colour target: `cover` is its vertex
/// shader, `shade` its fragment shader. It is no variant of a kernel, but made of the same parts.
pub fn render_source(target: Conversion) -> String {
    let parts = [
        &[
            shader!("shared/params"),
            shader!("shared/load_channel4"),
            shader!("shared/numerics"),
            X_TEXTURE,
        ],
        target.parts(),
        &[
            TEXEL,
            NO_RESIDUAL,
            ACTIVATION,
            STATISTICS,
            SAVED_CHANNEL,
            FROZEN,
            Y,
            shader!("render/normalize"),
        ],
    ];
    parts.concat().join("\n")
}

impl Kernel {
    /// All kernels.
    #[cfg(any(test, feature = "internals"))]
    pub const ALL: [Self; 11] = [
        Self::Moments,
        Self::Normalize,
        Self::Inference,
        Self::MomentsFinish,
        Self::BackwardSums,
        Self::BackwardDx,
        Self::BackwardFrozen,
        Self::Gradients,
        Self::TrainResident,
        Self::BackwardResident,
        Self::MomentsMerge,
    ];

    /// The name of the kernel's file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Moments => "moments",
            Self::Normalize => "normalize",
            Self::Inference => "inference",
            Self::MomentsFinish => "moments_finish",
            Self::BackwardSums => "backward_sums",
            Self::BackwardDx => "backward_dx",
            Self::BackwardFrozen => "backward_frozen",
            Self::Gradients => "gradients",
            Self::TrainResident => "train_resident",
            Self::BackwardResident => "backward_resident",
            Self::MomentsMerge => "moments_merge",
        }
    }

    fn source(self) -> &'static str {
        match self {
            Self::Moments => shader!("kernels/moments"),
            Self::Normalize => shader!("kernels/normalize"),
            Self::Inference => shader!("kernels/inference"),
            Self::MomentsFinish => shader!("kernels/moments_finish"),
            Self::BackwardSums => shader!("kernels/backward_sums"),
            Self::BackwardDx => shader!("kernels/backward_dx"),
            Self::BackwardFrozen => shader!("kernels/backward_frozen"),
            Self::Gradients => shader!("kernels/gradients"),
            Self::TrainResident => shader!("kernels/train_resident"),
            Self::BackwardResident => shader!("kernels/backward_resident"),
            Self::MomentsMerge => shader!("kernels/moments_merge"),
        }
    }

    /// Whether the kernel reads or writes tensors, or what there is one of a channel alone.
    fn walks(self) -> bool {
        !matches!(
            self,
            Self::MomentsFinish | Self::Gradients | Self::MomentsMerge
        )
    }

    /// Whether the kernel maps `x` to `out`, each value to its own place.
    pub(crate) fn maps(self) -> bool {
        matches!(
            self,
            Self::Normalize | Self::Inference | Self::TrainResident
        )
    }

    /// Whether an activation and a residual come after what the kernel normalizes, or backward goes
    /// through them before it.
    pub(crate) fn activates(self) -> bool {
        self.walks() && self != Self::Moments
    }

    /// The textures that a kernel reads and writes, and what it does with each.
    fn textures(self) -> &'static [&'static str] {
        match self {
            Self::Moments => &[X_TEXTURE],
            _ => &[
                X_TEXTURE,
                TEXEL,
                shader!("shared/out_texture"),
                NO_RESIDUAL,
                ACTIVATION,
            ],
        }
    }

    /// The tensors that a kernel which walks them reads and writes, and what it does with each.
    fn tensors(self, shared: bool) -> &'static [&'static str] {
        const X: &str = shader!("shared/x");
        const X_OR_OUT: &str = shader!("shared/x_or_out");
        const DY: &str = shader!("shared/dy");
        const RESIDUAL: &str = shader!("shared/residual");
        const OUT: [&str; 2] = [shader!("shared/out"), shader!("shared/out_shared")];
        const DRESIDUAL: [&str; 2] = [
            shader!("shared/dresidual"),
            shader!("shared/dresidual_shared"),
        ];
        const MAP: [[&str; 4]; 2] = [
            [OUT[0], X_OR_OUT, RESIDUAL, ACTIVATION],
            [OUT[1], X_OR_OUT, RESIDUAL, ACTIVATION],
        ];
        const SUMS: [[&str; 5]; 2] = [
            [X, DY, RESIDUAL, ACTIVATION, DRESIDUAL[0]],
            [X, DY, RESIDUAL, ACTIVATION, DRESIDUAL[1]],
        ];
        const DX: [[&str; 5]; 2] = [
            [OUT[0], X, DY, RESIDUAL, ACTIVATION],
            [OUT[1], X, DY, RESIDUAL, ACTIVATION],
        ];
        const WHOLE: [[&str; 6]; 2] = [
            [OUT[0], X, DY, RESIDUAL, ACTIVATION, DRESIDUAL[0]],
            [OUT[1], X, DY, RESIDUAL, ACTIVATION, DRESIDUAL[1]],
        ];
        let shared = usize::from(shared);
        match self {
            Self::Moments => &[X],
            Self::Normalize | Self::Inference | Self::TrainResident => &MAP[shared],
            Self::BackwardSums => &SUMS[shared],
            Self::BackwardDx => &DX[shared],
            Self::BackwardFrozen | Self::BackwardResident => &WHOLE[shared],
            Self::MomentsFinish | Self::Gradients | Self::MomentsMerge => &[],
        }
    }

    /// The other parts of `shaders/shared` that not every kernel has.
    fn parts(self) -> &'static [&'static str] {
        const MOMENTS: &str = shader!("shared/partial_moments");
        const SUMS: &str = shader!("shared/partial_sums");
        const REDUCE: &str = shader!("shared/reduce_workgroup");
        const LANE_PARTS: &str = shader!("shared/lane_parts");
        const PIVOT: &str = shader!("shared/pivot");
        const LANE_MOMENTS: &str = shader!("shared/lane_moments");
        const MERGE_MOMENTS: &str = shader!("shared/merge_moments");
        const MERGE_SUMS: &str = shader!("shared/merge_sums");
        const APPLY: &str = shader!("shared/apply");
        const FINISH: &str = shader!("shared/finish_train");
        const SAVED: &str = shader!("shared/saved");
        const PAIR: &str = shader!("shared/gradient_pair");
        const LANE_SUMS: &str = shader!("shared/lane_sums");
        const WRITE_SUMS: &str = shader!("shared/write_sums");
        const GRADIENTS: &str = shader!("shared/write_gradients");
        const DX: &str = shader!("shared/write_dx");
        match self {
            Self::Moments => &[MOMENTS, REDUCE, PIVOT, LANE_MOMENTS, LANE_PARTS],
            Self::Normalize => &[MOMENTS, REDUCE, MERGE_MOMENTS, STATISTICS, Y, APPLY, FINISH],
            Self::TrainResident => &[
                MOMENTS,
                REDUCE,
                PIVOT,
                LANE_MOMENTS,
                LANE_PARTS,
                STATISTICS,
                Y,
                APPLY,
                FINISH,
            ],
            Self::Inference => &[STATISTICS, FROZEN, Y, APPLY],
            Self::MomentsFinish => &[MOMENTS, REDUCE, MERGE_MOMENTS],
            Self::BackwardSums => &[
                SUMS,
                REDUCE,
                STATISTICS,
                SAVED_CHANNEL,
                SAVED,
                PAIR,
                LANE_SUMS,
                LANE_PARTS,
                WRITE_SUMS,
            ],
            Self::BackwardDx => &[
                SUMS,
                REDUCE,
                MERGE_SUMS,
                STATISTICS,
                SAVED_CHANNEL,
                PAIR,
                GRADIENTS,
                DX,
            ],
            Self::BackwardResident => &[
                SUMS,
                REDUCE,
                STATISTICS,
                SAVED_CHANNEL,
                SAVED,
                PAIR,
                LANE_SUMS,
                LANE_PARTS,
                GRADIENTS,
                DX,
            ],
            Self::BackwardFrozen => &[
                SUMS, REDUCE, STATISTICS, FROZEN, PAIR, LANE_SUMS, LANE_PARTS, WRITE_SUMS,
            ],
            Self::Gradients => &[SUMS, REDUCE, MERGE_SUMS, GRADIENTS],
            Self::MomentsMerge => &[MOMENTS],
        }
    }

    /// What applies a kernel's mathematics to the channel, or to each of several, that a lane walks,
    /// with the kernel's `run`: kernels that store partials, map a tensor, or do both at once.
    fn lane(self, several: bool) -> &'static [&'static str] {
        const PARTS: [&str; 2] = [
            shader!("columns/one/parts"),
            shader!("columns/several/parts"),
        ];
        const STORE: [&str; 2] = [
            shader!("columns/one/store"),
            shader!("columns/several/store"),
        ];
        const MAP: [&str; 2] = [shader!("columns/one/map"), shader!("columns/several/map")];
        const WRITE: [&str; 2] = [
            shader!("columns/one/write"),
            shader!("columns/several/write"),
        ];
        const RESIDENT: [&str; 2] = [
            shader!("columns/one/resident"),
            shader!("columns/several/resident"),
        ];
        const STORES: [[&str; 2]; 2] = [[PARTS[0], STORE[0]], [PARTS[1], STORE[1]]];
        const MAPS: [[&str; 2]; 2] = [[WRITE[0], MAP[0]], [WRITE[1], MAP[1]]];
        const RESIDENTS: [[&str; 3]; 2] = [
            [PARTS[0], WRITE[0], RESIDENT[0]],
            [PARTS[1], WRITE[1], RESIDENT[1]],
        ];
        let several = usize::from(several);
        match self {
            Self::Moments | Self::BackwardSums | Self::BackwardFrozen => &STORES[several],
            Self::Normalize | Self::Inference | Self::BackwardDx => &MAPS[several],
            Self::TrainResident | Self::BackwardResident => &RESIDENTS[several],
            // One loop over channels serves every number of them: it has no array.
            Self::MomentsFinish | Self::Gradients | Self::MomentsMerge => &[],
        }
    }
}

impl Variant {
    pub(crate) fn new(
        kernel: Kernel,
        storage: Storage,
        walk: Walk,
        load: Load,
        columns: u32,
    ) -> Self {
        let storage = match storage {
            _ if !kernel.walks() => Storage::Single,
            Storage::Texture(_) if !kernel.maps() => Storage::Texture(None),
            storage => storage,
        };
        Self {
            kernel,
            storage,
            walk: if kernel.walks() { walk } else { Walk::Dense },
            // Per channel, Run4 has what Scalar has.
            load: match load {
                Load::Run4 if !kernel.walks() => Load::Scalar,
                load => load,
            },
            columns,
            reduce: Reduce::Workgroup,
        }
    }

    /// Every variant there is.
    #[cfg(any(test, feature = "internals"))]
    pub fn all() -> Vec<Self> {
        let one = [(Load::Scalar, 1), (Load::Run4, 1)];
        let wide = COLUMNS.map(|columns| (Load::Channel4, columns));
        let mut all = Vec::new();
        for storage in [Storage::Single, Storage::Half] {
            for (load, columns) in one.into_iter().chain(wide) {
                all.extend(
                    Kernel::ALL
                        .map(|kernel| Self::new(kernel, storage, Walk::Dense, load, columns)),
                );
            }
            // Only the functional forms meet alternating axes.
            all.extend(
                [Kernel::Moments, Kernel::Inference]
                    .map(|kernel| Self::new(kernel, storage, Walk::Strided, Load::Scalar, 1)),
            );
        }
        // Images are normalized forward.
        for format in TexelFormat::ALL {
            let storage = Storage::Texture(Some(format));
            all.extend(
                [Kernel::Moments, Kernel::Normalize, Kernel::Inference]
                    .map(|kernel| Self::new(kernel, storage, Walk::Dense, Load::Channel4, 1)),
            );
        }
        let mut seen = std::collections::HashSet::new();
        all.retain(|variant| seen.insert(*variant));
        all
    }

    /// The variant's name in labels and messages.
    pub fn label(&self) -> String {
        let walk = match self.walk {
            Walk::Dense => "",
            Walk::Strided => "_strided",
        };
        let load = match self.load {
            Load::Scalar => "",
            Load::Run4 => "_run4",
            Load::Channel4 => "_channel4",
        };
        let columns = match self.columns {
            1 => String::new(),
            columns => format!("_x{columns}"),
        };
        let storage = match self.storage {
            Storage::Single => "",
            Storage::Half => "_half",
            Storage::Texture(None) => "_texture",
            Storage::Texture(Some(TexelFormat::Rgba8Unorm)) => "_texture_rgba8unorm",
            Storage::Texture(Some(TexelFormat::Rgba16Float)) => "_texture_rgba16float",
        };
        format!("{}{walk}{load}{columns}{storage}", self.kernel.name())
    }

    /// The variant's WGSL.
    pub fn source(&self) -> String {
        let columns = format!("const COLUMNS = {}u;\n", self.columns);
        let format = match self.storage {
            Storage::Texture(Some(format)) => format!(
                "alias Out = texture_storage_2d<{}, write>;\n",
                format.name()
            ),
            _ => String::new(),
        };
        let mut parts = vec![
            shader!("shared/params"),
            &columns,
            &format,
            match self.load {
                Load::Scalar => shader!("shared/load_scalar"),
                Load::Run4 => shader!("shared/load_run4"),
                Load::Channel4 => shader!("shared/load_channel4"),
            },
            shader!("shared/numerics"),
            shader!("shared/lanes"),
        ];
        if self.kernel.walks() {
            parts.push(match self.walk {
                Walk::Dense => shader!("shared/walk_dense"),
                Walk::Strided => shader!("shared/walk_strided"),
            });
            parts.push(shader!("shared/next4"));
            let one = self.load == Load::Scalar;
            parts.extend(match (self.storage, one) {
                (Storage::Single, _) => &[shader!("shared/element_f32")][..],
                (Storage::Half, true) => &[shader!("shared/half"), shader!("shared/element_half1")],
                (Storage::Half, false) => {
                    &[shader!("shared/half"), shader!("shared/element_half4")]
                }
                (Storage::Texture(None), _) => &[],
                (Storage::Texture(Some(format)), _) => format.conversion().parts(),
            });
            parts.extend(match self.storage {
                Storage::Texture(_) => self.kernel.textures(),
                storage => self.kernel.tensors(one && storage == Storage::Half),
            });
        }
        parts.extend(self.kernel.parts());
        parts.push(self.kernel.source());
        parts.extend(self.kernel.lane(self.columns > 1));
        parts.push(shader!("shared/entry"));
        parts.join("\n")
    }

    /// Whether the variant binds a texture for `role`.
    pub(crate) fn binds_texture(&self, role: Role) -> bool {
        matches!(self.storage, Storage::Texture(_)) && matches!(role, Role::X | Role::Out)
    }

    /// What the variant binds, as its WGSL declares it.
    pub fn roles(&self) -> Vec<Role> {
        roles_of(&self.source())
    }
}

/// What a shader binds beside its parameters, as its WGSL declares it.
pub(crate) fn roles_of(source: &str) -> Vec<Role> {
    let declares = |role: &Role| source.contains(&format!("@binding({})", *role as u32));
    Role::ALL.into_iter().filter(declares).collect()
}

/// The override constants of a pipeline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Constants {
    /// Invocations of a workgroup.
    pub workgroup: u32,
    /// [`Activation::code`](crate::Activation::code).
    pub activation: u32,
    /// Whether there is a residual.
    pub residual: bool,
    /// Whether its gradient is wanted.
    pub dresidual: bool,
    /// Whether `out` lies where `x` lay.
    pub in_place: bool,
    /// Whether halves are bf16.
    pub bfloat: bool,
}

impl Constants {
    /// Names and values of those that `source` declares.
    pub fn of(&self, source: &str) -> Vec<(&'static str, f64)> {
        let all = [
            ("WORKGROUP", f64::from(self.workgroup)),
            ("ACTIVATION", f64::from(self.activation)),
            ("RESIDUAL", f64::from(u8::from(self.residual))),
            ("DRESIDUAL", f64::from(u8::from(self.dresidual))),
            ("IN_PLACE", f64::from(u8::from(self.in_place))),
            ("BFLOAT", f64::from(u8::from(self.bfloat))),
        ];
        let declared = |(name, _): &(&str, f64)| source.contains(&format!("override {name}:"));
        all.into_iter().filter(declared).collect()
    }
}

/// What a binding holds; its number in every kernel. Number 0 is the dispatch's parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Role {
    /// The input.
    X = 1,
    /// The output in the input's shape: y or dx.
    Out = 2,
    /// The upstream gradient.
    Dy = 3,
    /// weight and bias, `[2][C]`.
    Affine = 4,
    /// running or frozen statistics, or merged moments, `[3][C]`.
    Statistics = 5,
    /// Saved statistics, `[5][C]`.
    Saved = 6,
    /// Scratch between two dispatches.
    Partials = 7,
    /// dweight and dbias, `[2][C]`.
    Grads = 8,
    /// The axes of a strided walk: a uniform, the one role that is no storage buffer.
    Axes = 9,
    /// What is added before the activation.
    Residual = 10,
    /// Gradient of the residual.
    Dresidual = 11,
    /// Moments that the caller gives, `[3][C]`.
    Given = 12,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 12] = [
        Self::X,
        Self::Out,
        Self::Dy,
        Self::Affine,
        Self::Statistics,
        Self::Saved,
        Self::Partials,
        Self::Grads,
        Self::Axes,
        Self::Residual,
        Self::Dresidual,
        Self::Given,
    ];

    /// Whether it is a tensor in the input's shape.
    pub(crate) fn is_tensor(self) -> bool {
        matches!(
            self,
            Self::X | Self::Out | Self::Dy | Self::Residual | Self::Dresidual
        )
    }
}
