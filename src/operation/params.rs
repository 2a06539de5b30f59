//! What one dispatch is told, as the shaders' `Params` lays it out.

use super::asked::AskedWeights;
use crate::config::{Activation, Affine, Config, Momentum, NonFinite, RunningVariance};
use crate::plan::{Grid, Piece, Schedule};
use crate::weights::Outside;

/// Mirrors `Params` in `shaders/shared/params.wgsl`; a test compares the two.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
#[allow(missing_docs, reason = "documented in the shader that reads them")]
pub struct Params {
    pub channels: u32,
    pub inner: u32,
    pub count: u32,
    pub base: u32,
    pub first_channel: u32,
    pub all_channels: u32,
    pub total: f32,
    pub team: u32,
    pub columns: u32,
    pub rows: u32,
    pub adjacent: u32,
    pub slots: u32,
    pub groups: u32,
    pub splits: u32,
    pub span: u32,
    pub address_step: u32,
    pub inner_step: u32,
    pub wrap_step: u32,
    pub partials: u32,
    pub first_partial: u32,
    pub partials_start: u32,
    pub flags: u32,
    pub zero: u32,
    pub eps: f32,
    pub momentum: f32,
    pub correction: f32,
    pub given_total: f32,
    pub activation_a: f32,
    pub activation_b: f32,
    pub period: u32,
    pub skip: u32,
    pub end: u32,
    pub width: u32,
    pub x_origin: u32,
    pub y_origin: u32,
    pub texel_step: u32,
    pub channel_step: u32,
    pub weights_first: u32,
    pub weight_axes: u32,
    pub weight_step: u32,
}

/// Bits of [`Params::flags`], as the shaders name them.
pub mod flags {
    #![allow(missing_docs, reason = "named as in the shader")]
    pub const HAS_WEIGHT: u32 = 1;
    pub const HAS_BIAS: u32 = 2;
    pub const HAS_RUNNING: u32 = 4;
    pub const CUMULATIVE: u32 = 8;
    pub const SKIP_NON_FINITE: u32 = 16;
    pub const HAS_GRADS: u32 = 32;
    pub const ACCUMULATE: u32 = 64;
    pub const HAS_DX: u32 = 128;
    pub const FROM_MOMENTS: u32 = 256;
    pub const FROM_SUMS: u32 = 512;
    pub const KEEP_ALPHA: u32 = 1024;
    pub const REVERSED: u32 = 2048;
    pub const FOLDS: u32 = 4096;
    pub const LUMINANCE: u32 = 8192;
    pub const HAS_ALPHA: u32 = 16384;
    pub const FROM_RUNNING: u32 = 32768;
    pub const ZERO_OUTSIDE: u32 = 65536;
    pub const WEIGHTS_APART: u32 = 131_072;
    pub const UNBIASED: u32 = 262_144;
    pub const PER_WEIGHT: u32 = 524_288;
}

impl Params {
    /// The parameters of a dispatch over `grid` on `piece`; options are added by the methods below.
    pub(crate) fn new(schedule: &Schedule, piece: &Piece, grid: &Grid) -> Self {
        let (view, flat) = (&piece.view, piece.flat);
        let inner = flat.map_or(view.inner(), |flat| flat.inner) as u32;
        // Shaders divide by these and count to those, with no guard: see `shader_module`.
        let divisors = [
            grid.team,
            grid.columns,
            grid.rows,
            grid.adjacent,
            grid.splits,
            inner,
            flat.map_or(1, |flat| flat.period as u32),
            flat.map_or(1, |_| grid.address_step),
        ];
        assert!(!divisors.contains(&0) && (grid.slots | schedule.partials) < 1 << 31);
        Self {
            channels: view.channels() as u32,
            inner,
            count: view.count() as u32,
            base: piece.base as u32,
            first_channel: piece.first_channel as u32,
            all_channels: schedule.loads.channels() as u32,
            total: schedule.view.count() as f32,
            team: grid.team,
            columns: grid.columns,
            rows: grid.rows,
            adjacent: grid.adjacent,
            slots: grid.slots,
            groups: grid.groups,
            splits: grid.splits,
            span: grid.span,
            address_step: grid.address_step,
            inner_step: grid.inner_step,
            wrap_step: grid.wrap_step,
            partials: schedule.partials,
            first_partial: piece.first_partial,
            partials_start: 0,
            flags: 0,
            zero: 0,
            eps: 0.0,
            momentum: 0.0,
            correction: 1.0,
            given_total: 0.0,
            activation_a: 0.0,
            activation_b: 0.0,
            period: flat.map_or(1, |flat| flat.period as u32),
            skip: flat.map_or(0, |flat| flat.skip as u32),
            end: flat.map_or(0, |flat| flat.end as u32),
            width: 0,
            x_origin: 0,
            y_origin: 0,
            texel_step: 0,
            channel_step: 0,
            weights_first: 0,
            weight_axes: 0,
            weight_step: 0,
        }
    }

    /// A tensor of an image of so many pixels: where `planar`, a plane for each channel; else texels side by side.
    pub(crate) fn with_tensor(mut self, pixels: u32, planar: bool, alpha: bool) -> Self {
        let channels = if alpha { 4 } else { 3 };
        (self.texel_step, self.channel_step) = match planar {
            true => (1, pixels),
            false => (channels, 1),
        };
        self.with_flag(flags::HAS_ALPHA, alpha)
    }

    /// An image of this width that begins at these texels of x and y.
    pub(crate) fn with_image(mut self, width: u32, x: [u32; 2], y: [u32; 2]) -> Self {
        // No side of a texture is above 2¹⁵.
        let packed = |[x, y]: [u32; 2]| y << 16 | x;
        (self.width, self.x_origin, self.y_origin) = (width, packed(x), packed(y));
        self
    }

    /// Weights that lie as `weights` says beside a piece that begins at element `first` of its tensor.
    pub(crate) fn with_weights(mut self, weights: &AskedWeights, first: u32) -> Self {
        self.weights_first = first;
        self.weight_axes = weights.places.axes().len() as u32;
        let step = weights.places.step_of_four();
        self.weight_step = step.unwrap_or(0) as u32;
        self.with_flag(flags::WEIGHTS_APART, step.is_none())
            .with_flag(flags::ZERO_OUTSIDE, weights.outside == Outside::Zero)
            .with_flag(flags::PER_WEIGHT, weights.per_weight)
    }

    pub(crate) fn with_flag(mut self, flag: u32, set: bool) -> Self {
        self.flags = self.flags & !flag | if set { flag } else { 0 };
        self
    }

    /// The partials as a dispatch before left them: one a channel, behind the `partials` a channel that it read. It has
    /// written the gradients.
    pub(crate) fn with_finished(mut self) -> Self {
        self.partials_start = self.all_channels * self.partials;
        self.partials = 1;
        self.flags &= !flags::HAS_GRADS;
        self
    }

    pub(crate) fn with_affine(self, affine: Affine) -> Self {
        self.with_flag(flags::HAS_WEIGHT, affine.has_weight())
            .with_flag(flags::HAS_BIAS, affine.has_bias())
    }

    pub(crate) fn with_activation(mut self, activation: Activation) -> Self {
        [self.activation_a, self.activation_b] = activation.numbers();
        self
    }

    /// Statistics of `count` values per channel, where the tensor is a part of the batch.
    pub(crate) fn with_count(mut self, count: f64) -> Self {
        self.total = count as f32;
        self
    }

    pub(crate) fn with_eps(mut self, eps: f32) -> Self {
        self.eps = eps;
        self
    }

    pub(crate) fn with_running(mut self, config: &Config, count: f64) -> Self {
        let Some(running) = config.running else {
            return self;
        };
        let unbiased = running.variance == RunningVariance::Unbiased;
        if unbiased {
            self.correction = (count / (count - 1.0)) as f32;
        }
        self.with_flag(flags::HAS_RUNNING, true)
            .with_flag(flags::UNBIASED, unbiased)
            .with_flag(
                flags::SKIP_NON_FINITE,
                running.non_finite == NonFinite::Skip,
            )
            .with_momentum(running.momentum)
    }

    pub(crate) fn with_momentum(mut self, momentum: Momentum) -> Self {
        self.flags &= !flags::CUMULATIVE;
        match momentum {
            Momentum::Exponential(momentum) => {
                self.momentum = momentum;
                self
            }
            Momentum::Cumulative => self.with_flag(flags::CUMULATIVE, true),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Axes;
    use crate::shaders::{Kernel, Load, Storage, Variant, Walk};
    use std::mem::offset_of;

    /// Name, offset and size of every member of `name` as naga lays it out, and its whole size.
    fn layout(module: &naga::Module, name: &str) -> (Vec<(String, usize)>, usize) {
        let mut types = module.types.iter().map(|(_, ty)| ty);
        let ty = types.find(|ty| ty.name.as_deref() == Some(name));
        let naga::TypeInner::Struct { members, span } = &ty.unwrap().inner else {
            panic!("{name} is no struct");
        };
        let members = members.iter();
        let members = members.map(|m| (m.name.clone().unwrap(), m.offset as usize));
        (members.collect(), *span as usize)
    }

    fn module() -> naga::Module {
        let source = Variant::new(
            Kernel::Moments,
            Storage::Single,
            Walk::Strided,
            Load::Scalar,
            1,
        )
        .source();
        naga::front::wgsl::parse_str(&source).unwrap()
    }

    macro_rules! host_layout {
        ($host:ident { $($field:ident),* $(,)? }) => {{
            // Every field stands in the list, or this does not compile.
            let $host { $($field: _),* } = <$host as bytemuck::Zeroable>::zeroed();
            let members = vec![$((stringify!($field).to_owned(), offset_of!($host, $field))),*];
            (members, size_of::<$host>())
        }};
    }

    #[test]
    fn structs_are_laid_out_as_in_the_shaders() {
        let module = module();
        let params = host_layout!(Params {
            channels,
            inner,
            count,
            base,
            first_channel,
            all_channels,
            total,
            team,
            columns,
            rows,
            adjacent,
            slots,
            groups,
            splits,
            span,
            address_step,
            inner_step,
            wrap_step,
            partials,
            first_partial,
            partials_start,
            flags,
            zero,
            eps,
            momentum,
            correction,
            given_total,
            activation_a,
            activation_b,
            period,
            skip,
            end,
            width,
            x_origin,
            y_origin,
            texel_step,
            channel_step,
            weights_first,
            weight_axes,
            weight_step,
        });
        assert_eq!(layout(&module, "Params"), params);
        assert_eq!(
            layout(&module, "Axes"),
            host_layout!(Axes { kept, reduced })
        );
    }

    #[test]
    fn scalars_are_of_the_shaders_types() {
        let module = module();
        let (_, params) = module
            .types
            .iter()
            .find(|(_, ty)| ty.name.as_deref() == Some("Params"))
            .unwrap();
        let naga::TypeInner::Struct { members, .. } = &params.inner else {
            panic!("Params is no struct");
        };
        for member in members {
            let name = member.name.as_deref().unwrap();
            let scalar = match name {
                "total" | "eps" | "momentum" | "correction" | "given_total" | "activation_a"
                | "activation_b" => naga::Scalar::F32,
                _ => naga::Scalar::U32,
            };
            let inner = &module.types[member.ty].inner;
            assert_eq!(*inner, naga::TypeInner::Scalar(scalar), "{name}");
        }
    }

    #[test]
    fn flags_are_the_shaders_constants() {
        let module = module();
        let mut constants: Vec<_> = module
            .constants
            .iter()
            .map(|(_, constant)| {
                let naga::Expression::Literal(naga::Literal::U32(value)) =
                    module.global_expressions[constant.init]
                else {
                    panic!("{:?} is no u32", constant.name);
                };
                (value, constant.name.as_deref().unwrap())
            })
            .filter(|(_, name)| *name != "COLUMNS")
            .collect();
        constants.sort_unstable();
        let flags = [
            (flags::HAS_WEIGHT, "HAS_WEIGHT"),
            (flags::HAS_BIAS, "HAS_BIAS"),
            (flags::HAS_RUNNING, "HAS_RUNNING"),
            (flags::CUMULATIVE, "CUMULATIVE"),
            (flags::SKIP_NON_FINITE, "SKIP_NON_FINITE"),
            (flags::HAS_GRADS, "HAS_GRADS"),
            (flags::ACCUMULATE, "ACCUMULATE"),
            (flags::HAS_DX, "HAS_DX"),
            (flags::FROM_MOMENTS, "FROM_MOMENTS"),
            (flags::FROM_SUMS, "FROM_SUMS"),
            (flags::KEEP_ALPHA, "KEEP_ALPHA"),
            (flags::REVERSED, "REVERSED"),
            (flags::FOLDS, "FOLDS"),
            (flags::LUMINANCE, "LUMINANCE"),
            (flags::HAS_ALPHA, "HAS_ALPHA"),
            (flags::FROM_RUNNING, "FROM_RUNNING"),
            (flags::ZERO_OUTSIDE, "ZERO_OUTSIDE"),
            (flags::WEIGHTS_APART, "WEIGHTS_APART"),
            (flags::UNBIASED, "UNBIASED"),
            (flags::PER_WEIGHT, "PER_WEIGHT"),
        ];
        assert_eq!(constants, flags);
    }
}
