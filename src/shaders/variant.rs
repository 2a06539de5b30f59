//! The closed list of variants.

use super::compose::{compose, weighted};
use super::kernel::Kernel;
use super::role::{Role, roles_of};
use super::storage::{Conversion, Storage, TexelFormat};
#[cfg(any(test, feature = "internals"))]
use crate::plan::COLUMNS;
use crate::plan::Load;

/// How a lane finds a channel's next value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Walk {
    /// A dense `(outer, channels, inner)` view.
    Dense,
    /// Kept and reduced axes that alternate.
    Strided,
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
    /// Whether what it only reads is declared so, or all of it writable.
    pub read_only: bool,
    /// Whether values have weights.
    pub weighted: bool,
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
            read_only: false,
            weighted: false,
        }
    }

    /// The variant for values with weights.
    pub(crate) fn weighted(self) -> Self {
        Self {
            weighted: true,
            read_only: false,
            ..self
        }
    }

    /// The variant with what it only reads declared so, where there is one. Kernels that walk no tensor read
    /// little, textures are never writable where they are read, lanes of several channels are those of software
    /// adapters, which gain nothing, and resident kernels, strided walks and weights are what GPUs seldom meet.
    pub(crate) fn reading(self) -> Self {
        let texture = self.storage.is_of_texels();
        let seldom = self.walk == Walk::Strided
            || self.weighted
            || matches!(
                self.kernel,
                Kernel::TrainResident | Kernel::BackwardResident
            );
        Self {
            read_only: self.kernel.walks() && !texture && self.columns == 1 && !seldom,
            ..self
        }
    }

    /// Whether the variant declares that it only reads what is bound for `role`.
    pub fn only_reads(&self, role: Role) -> bool {
        self.read_only && !self.kernel.writes().contains(&role)
    }

    /// Every variant there is.
    #[cfg(any(test, feature = "internals"))]
    pub fn all() -> Vec<Self> {
        let one = [(Load::Scalar, 1), (Load::Run4, 1)];
        let wide = COLUMNS.map(|columns| (Load::Channel4, columns));
        let mut all = Vec::new();
        for storage in [Storage::Single, Storage::Half, Storage::F16] {
            for (load, columns) in one.into_iter().chain(wide) {
                all.extend(
                    Kernel::ALL
                        .map(|kernel| Self::new(kernel, storage, Walk::Dense, load, columns)),
                );
            }
            // Only the functional forms meet alternating axes.
            all.extend(
                [Kernel::Moments, Kernel::Inference, Kernel::FlatInference]
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
        // And go to tensors and come from them.
        let out = TexelFormat::ALL.map(|format| Storage::TextureOut(Some(format)));
        all.extend(
            out.into_iter()
                .chain([Storage::TextureIn])
                .map(|storage| Self::new(Kernel::Texels, storage, Walk::Dense, Load::Channel4, 1)),
        );
        all.retain(|v| v.columns == 1 || v.kernel.takes_columns());
        all.retain(Self::is_planned);
        let reading: Vec<_> = all.iter().map(|variant| variant.reading()).collect();
        // With weights, f16 are read by integers, and nothing is declared as only read.
        let weighted = all.iter().filter(|v| {
            // Neither images nor the functional normalization have any where the batch moves no statistics.
            let special = v.storage.is_of_texels() || v.walk == Walk::Strided;
            let inferred = matches!(v.kernel, Kernel::Inference | Kernel::FlatInference) && special;
            v.kernel.takes_weights() && v.storage != Storage::F16 && !inferred
        });
        let weighted: Vec<_> = weighted.map(|variant| variant.weighted()).collect();
        all.extend(reading.into_iter().chain(weighted));
        // Without weights, no plan of lanes of several channels has a dispatch that finishes training for a pass behind it.
        all.retain(|v| v.columns == 1 || v.weighted || v.kernel != Kernel::TrainFinish);
        let mut seen = std::collections::HashSet::new();
        all.retain(|variant| seen.insert(*variant));
        all
    }

    /// Whether there are plans of it: single halves are mapped by words, and nothing else is.
    #[cfg(any(test, feature = "internals"))]
    fn is_planned(&self) -> bool {
        let reads = matches!(
            self.kernel,
            Kernel::Moments | Kernel::BackwardSums | Kernel::BackwardFrozen
        );
        let tensors = matches!(self.storage, Storage::TextureIn | Storage::TextureOut(_));
        if tensors || self.kernel == Kernel::Texels {
            return tensors && self.kernel == Kernel::Texels;
        }
        match self.of_single_halves() {
            true => reads || self.kernel.is_flat(),
            false => !self.kernel.is_flat(),
        }
    }

    /// Whether its loads are single halves, of which two share a word.
    fn of_single_halves(&self) -> bool {
        self.load == Load::Scalar && matches!(self.storage, Storage::Half | Storage::F16)
    }

    /// Whether wgpu is to bound its loops and guard its divisions. A strided walk's loop over axes is unrolled into
    /// twice the code where it is not bounded.
    pub fn guarded(&self) -> bool {
        self.walk == Walk::Strided
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
            Storage::F16 => "_f16",
            Storage::Texture(None) => "_texture",
            Storage::Texture(Some(TexelFormat::Rgba8Unorm)) => "_texture_rgba8unorm",
            Storage::Texture(Some(TexelFormat::Rgba16Float)) => "_texture_rgba16float",
            Storage::TextureIn => "_texture_in",
            Storage::TextureOut(None) => "_texture_out",
            Storage::TextureOut(Some(TexelFormat::Rgba8Unorm)) => "_texture_out_rgba8unorm",
            Storage::TextureOut(Some(TexelFormat::Rgba16Float)) => "_texture_out_rgba16float",
        };
        let access = if self.read_only { "_read" } else { "" };
        let weights = if self.weighted { "_weighted" } else { "" };
        format!(
            "{}{walk}{load}{columns}{storage}{access}{weights}",
            self.kernel.name()
        )
    }

    /// The variant's WGSL.
    pub fn source(&self) -> String {
        let mut given = format!("const COLUMNS = {}u;\n", self.columns);
        if let Some(format) = self.storage.written_texture() {
            let name = format.name();
            given += &format!("alias Out = texture_storage_2d<{name}, write>;\n");
        }
        let kernel = format!("kernels/{}", self.kernel.name());
        let mut source = compose(&kernel, &given, &|name| self.choice(name));
        for role in Role::ALL {
            if self.only_reads(role) {
                let declared = |access| format!("@binding({}) var<storage, {access}>", role as u32);
                source = source.replace(&declared("read_write"), &declared("read"));
            }
        }
        source
    }

    /// Loads of x that a lane has on their way at once, where it writes what it maps them to (`maps`) or reduces them:
    /// eight of 8 bytes, or four. Moments of fours of channels would take too many registers with eight.
    pub fn loads_in_flight(&self, maps: bool) -> u32 {
        let narrow = matches!(self.storage, Storage::Half | Storage::F16);
        let eight = narrow && self.columns == 1 && self.kernel.takes_eight();
        match self.load {
            Load::Run4 if eight => 8,
            Load::Channel4 if eight && maps => 8,
            _ if maps && self.kernel.is_flat() && self.kernel.takes_eight() => 8,
            _ => 4,
        }
    }

    /// The file that serves for `name` in this variant, where there are several that might.
    fn choice(&self, name: &str) -> Option<&'static str> {
        match weighted(name) {
            Some(file) if self.weighted => Some(file),
            _ => self.choice_without_weights(name),
        }
    }

    fn choice_without_weights(&self, name: &str) -> Option<&'static str> {
        let one = self.load == Load::Scalar;
        let flat = self.kernel.is_flat();
        let single_halves = self.of_single_halves();
        let texture = self.storage.is_of_texels();
        let several = self.columns > 1;
        let reads_pairs = matches!(self.kernel, Kernel::BackwardDx | Kernel::BackwardResident);
        Some(match name {
            "load" => load_file(self.load),
            "walk" if texture => "shared/walk_texture",
            "walk" if flat => "shared/walk_flat",
            "flat_channel" if self.walk == Walk::Strided => "shared/flat_channel_strided",
            "walk" => match self.walk {
                Walk::Dense => "shared/walk_dense",
                Walk::Strided => "shared/walk_strided",
            },
            "element" => match self.storage {
                Storage::Half | Storage::F16 if one => "shared/element_half1",
                Storage::Half | Storage::F16 => "shared/element_half4",
                _ => "shared/element_f32",
            },
            "decode" => match self.storage {
                Storage::F16 if one => "shared/decode_f16_1",
                Storage::F16 => "shared/decode_f16_4",
                _ if one => "shared/decode_half1",
                _ => "shared/decode_half4",
            },
            "subnormal" if self.storage == Storage::F16 => "shared/subnormal_float",
            "subnormal" => "shared/subnormal_integer",
            "convert" => match self.storage.written_texture() {
                Some(format) => format.conversion().file(),
                None => Conversion::Single.file(),
            },
            "x" if self.storage.reads_texture() => "shared/x_texture",
            "x" if texture => "shared/x_planes",
            "out" if self.storage == Storage::TextureIn => "shared/out_planes",
            "x" if self.kernel.maps() => "shared/x_or_out",
            "out" if texture => "shared/out_texture",
            "out" if flat => "shared/out_flat",
            "dresidual" if flat => "shared/dresidual_flat",
            "out" if single_halves => "shared/no_out",
            "dresidual" if single_halves => "shared/no_dresidual",
            "residual" if texture || self.leaves_residual() => "shared/no_residual",
            "weight" => match self.load {
                Load::Scalar => "shared/weight_scalar",
                Load::Run4 => "shared/weight_run4",
                Load::Channel4 => "shared/weight_channel4",
            },
            "weight_element" if texture => "shared/weight_element_texture",
            "parts" if several => "columns/several/parts",
            "parts" => "columns/one/parts",
            "store" if several => "columns/several/store",
            "store" => "columns/one/store",
            "mapped_four" if reads_pairs && self.storage == Storage::Single => {
                "shared/mapped_pairs"
            }
            "lane_parts" if self.loads_in_flight(false) == 8 => "shared/lane_parts_eight",
            "write" if self.loads_in_flight(true) == 8 => "columns/one/write_eight",
            "write" if several => "columns/several/write",
            "write" => "columns/one/write",
            "stretch" if self.loads_in_flight(true) == 8 => "columns/flat/stretch_eight",
            "stretch" => "columns/flat/stretch",
            "map" if flat => "columns/flat/map",
            "map" if several => "columns/several/map",
            "map" => "columns/one/map",
            "resident" if several => "columns/several/resident",
            "resident" => "columns/one/resident",
            _ => return None,
        })
    }

    /// Whether no binding is left for a residual: the least that devices have are 8 storage buffers.
    fn leaves_residual(&self) -> bool {
        self.weighted && self.kernel.leaves_residual_for_weights()
    }

    /// Whether the variant binds a texture for `role`.
    pub(crate) fn binds_texture(&self, role: Role) -> bool {
        match role {
            Role::X => self.storage.reads_texture(),
            Role::Out => self.storage.writes_texture(),
            _ => false,
        }
    }

    /// What the variant binds, as its WGSL declares it.
    pub fn roles(&self) -> Vec<Role> {
        roles_of(&self.source())
    }
}

fn load_file(load: Load) -> &'static str {
    match load {
        Load::Scalar => "shared/load_scalar",
        Load::Run4 => "shared/load_run4",
        Load::Channel4 => "shared/load_channel4",
    }
}

/// The WGSL of the kernel that shows what a device makes of f16. It is no variant of a kernel, but reads and rounds with
/// the text that they do.
pub fn proof_source() -> String {
    compose("proof/halves", "", &|name| {
        Some(match name {
            "load" => load_file(Load::Run4),
            "element" => "shared/element_half4",
            "decode" => "shared/decode_f16_4",
            "subnormal" => "shared/subnormal_float",
            _ => return None,
        })
    })
}

/// The WGSL of the render pipeline that normalizes into a colour target: `cover` is its vertex
/// shader, `shade` its fragment shader. It is no variant of a kernel, but made of the same parts.
pub fn render_source(target: Conversion) -> String {
    compose("render/normalize", "", &|name| {
        Some(match name {
            "load" => load_file(Load::Channel4),
            "convert" => target.file(),
            "subnormal" => "shared/subnormal_integer",
            "x" => "shared/x_texture",
            "residual" => "shared/no_residual",
            _ => return None,
        })
    })
}
