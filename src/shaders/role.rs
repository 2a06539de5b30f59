//! What bindings hold.

/// What a shader binds beside its parameters, as its WGSL declares it.
pub(crate) fn roles_of(source: &str) -> Vec<Role> {
    let declares = |role: &Role| source.contains(&format!("@binding({})", *role as u32));
    Role::ALL.into_iter().filter(declares).collect()
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
    /// The axes of a strided walk: a uniform.
    Axes = 9,
    /// What is added before the activation.
    Residual = 10,
    /// Gradient of the residual.
    Dresidual = 11,
    /// Moments that the caller gives, `[3][C]`.
    Given = 12,
    /// Weights of values, f32.
    Weights = 13,
    /// Where the weight of each value lies: a uniform.
    WeightAxes = 14,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 14] = [
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
        Self::Weights,
        Self::WeightAxes,
    ];

    /// Whether it is a uniform, and no storage buffer.
    pub(crate) fn is_uniform(self) -> bool {
        matches!(self, Self::Axes | Self::WeightAxes)
    }

    /// Whether it is a tensor in the input's shape.
    pub(crate) fn is_tensor(self) -> bool {
        matches!(
            self,
            Self::X | Self::Out | Self::Dy | Self::Residual | Self::Dresidual
        )
    }
}
