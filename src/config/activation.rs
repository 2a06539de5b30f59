//! What comes after the normalization.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use crate::error::ConfigError;

/// What comes after the normalization and the residual: `y = g(BN(x) + residual)`.
///
/// Slopes at kinks are PyTorch's. Where one of relu, relu6 and the hard ones is flat, nothing comes back, not even an infinite
/// gradient.
///
/// Its text is a name with its numbers, as the command line takes it:
///
/// ```
/// use wgpu_batchnorm::Activation;
/// let activation: Activation = "hard-tanh:-1,1".parse()?;
/// assert_eq!(activation, Activation::HardTanh(-1.0, 1.0));
/// assert_eq!(activation.to_string(), "hard-tanh:-1,1");
/// # Ok::<_, wgpu_batchnorm::error::ConfigError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Activation {
    /// g(z) = z.
    None,
    /// max(z, 0); slope 0 at 0.
    Relu,
    /// min(max(z, 0), 6); slope 0 at 0 and at 6.
    Relu6,
    /// z where it is positive, else z times this slope, also at 0.
    LeakyRelu(f32),
    /// z, and no less than the first number and no more than the second; slope 0 at both.
    HardTanh(f32, f32),
    /// z/6 + ½, from 0 to 1; slope 0 at both ends.
    HardSigmoid,
    /// z times the hard sigmoid; slope 0 at −3 and 1 at 3.
    HardSwish,
    /// z where it is positive, else e^z − 1 times this number, which is the slope at 0.
    Elu(f32),
    /// 1/(1 + e^−z).
    Sigmoid,
    /// ln(1 + e^z).
    Softplus,
    /// tanh z.
    Tanh,
    /// z/(1 + e^−z).
    Silu,
    /// z·Φ(z), Φ the normal distribution.
    Gelu,
    /// gelu with tanh in place of Φ: z·(1 + tanh(√(2/π)·(z + 0.044715·z³)))/2.
    GeluTanh,
}

/// Names and what stands for each; numbers that are not given are these.
const NAMES: [(&str, Activation); 14] = [
    ("none", Activation::None),
    ("relu", Activation::Relu),
    ("relu6", Activation::Relu6),
    ("leaky-relu", Activation::LeakyRelu(0.01)),
    ("hard-tanh", Activation::HardTanh(-1.0, 1.0)),
    ("hard-sigmoid", Activation::HardSigmoid),
    ("hard-swish", Activation::HardSwish),
    ("elu", Activation::Elu(1.0)),
    ("sigmoid", Activation::Sigmoid),
    ("softplus", Activation::Softplus),
    ("tanh", Activation::Tanh),
    ("silu", Activation::Silu),
    ("gelu", Activation::Gelu),
    ("gelu-tanh", Activation::GeluTanh),
];

impl Activation {
    /// Its number in the shaders.
    pub(crate) fn code(self) -> u32 {
        match self {
            Self::None => 0,
            Self::Relu => 1,
            Self::LeakyRelu(_) => 2,
            Self::Sigmoid => 3,
            Self::Tanh => 4,
            Self::Silu => 5,
            Self::Gelu => 6,
            Self::Relu6 | Self::HardTanh(..) => 7,
            Self::HardSigmoid => 8,
            Self::HardSwish => 9,
            Self::Elu(_) => 10,
            Self::Softplus => 11,
            Self::GeluTanh => 12,
        }
    }

    /// The two numbers that the shaders compute it with, in their order; 0 where it needs none.
    pub(crate) fn numbers(self) -> [f32; 2] {
        match self {
            Self::LeakyRelu(number) | Self::Elu(number) => [number, 0.0],
            Self::Relu6 => [0.0, 6.0],
            Self::HardTanh(low, high) => [low, high],
            _ => [0.0; 2],
        }
    }

    /// Refuses numbers that are not finite, and ends that are not in order.
    pub(crate) fn validate(self) -> Result<(), ConfigError> {
        let [a, b] = self.numbers();
        let expected = match self {
            Self::HardTanh(low, high) if low.partial_cmp(&high) != Some(Ordering::Less) => {
                "two numbers, the smaller one first"
            }
            _ if !(a.is_finite() && b.is_finite()) => "finite numbers",
            _ => return Ok(()),
        };
        Err(ConfigError::Activation {
            got: self.to_string(),
            expected,
        })
    }

    fn name(self) -> &'static str {
        let same = |(_, other): &&(&str, Self)| {
            std::mem::discriminant(other) == std::mem::discriminant(&self)
        };
        // A test finds each variant there.
        NAMES.iter().find(same).map_or("", |(name, _)| name)
    }
}

impl fmt::Display for Activation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            Self::LeakyRelu(number) | Self::Elu(number) => write!(f, ":{number}"),
            Self::HardTanh(low, high) => write!(f, ":{low},{high}"),
            _ => Ok(()),
        }
    }
}

impl FromStr for Activation {
    type Err = ConfigError;

    /// A name and, behind a colon, its numbers; without them it has PyTorch's.
    fn from_str(text: &str) -> Result<Self, ConfigError> {
        let refused = |expected| ConfigError::Activation {
            got: text.to_owned(),
            expected,
        };
        let (name, numbers) = match text.split_once(':') {
            Some((name, numbers)) => (name, Some(numbers)),
            None => (text, None),
        };
        let named = NAMES.iter().find(|(known, _)| *known == name);
        let (_, activation) = named.ok_or_else(|| {
            refused(
                "none, relu, relu6, leaky-relu, hard-tanh, hard-sigmoid, hard-swish, elu, sigmoid, softplus, tanh, silu, gelu or gelu-tanh",
            )
        })?;
        let Some(numbers) = numbers else {
            return Ok(*activation);
        };
        let numbers: Result<Vec<f32>, _> = numbers.split(',').map(str::parse).collect();
        let numbers = numbers.map_err(|_| refused("numbers behind the colon"))?;
        let activation = match (activation, &numbers[..]) {
            (Self::LeakyRelu(_), &[slope]) => Self::LeakyRelu(slope),
            (Self::Elu(_), &[number]) => Self::Elu(number),
            (Self::HardTanh(..), &[low, high]) => Self::HardTanh(low, high),
            (Self::LeakyRelu(_) | Self::Elu(_), _) => return Err(refused("one number")),
            (Self::HardTanh(..), _) => return Err(refused("two numbers")),
            _ => return Err(refused("no numbers")),
        };
        activation.validate()?;
        Ok(activation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_back() {
        let mut codes = Vec::new();
        for (name, activation) in NAMES {
            assert_eq!(activation.name(), name);
            assert_eq!(name.parse(), Ok(activation));
            assert_eq!(activation.to_string().parse(), Ok(activation));
            assert!(activation.validate().is_ok());
            codes.push(activation.code());
        }
        codes.sort_unstable();
        // Relu6 is a hard tanh.
        assert_eq!(codes, [0, 1, 2, 3, 4, 5, 6, 7, 7, 8, 9, 10, 11, 12]);
        assert_eq!("elu:0.5".parse(), Ok(Activation::Elu(0.5)));
    }

    #[test]
    fn numbers_that_do_not_fit_are_refused() {
        for (text, needle) in [
            ("", "relu6"),
            ("Relu", "relu6"),
            ("relu:1", "no numbers"),
            ("leaky-relu:", "numbers behind"),
            ("leaky-relu:1,2", "one number"),
            ("leaky-relu:inf", "finite"),
            ("elu:NaN", "finite"),
            ("hard-tanh:1", "two numbers"),
            ("hard-tanh:1,1", "smaller one first"),
            ("hard-tanh:2,1", "smaller one first"),
            ("hard-tanh:NaN,1", "smaller one first"),
            ("hard-tanh:0,inf", "finite"),
        ] {
            let refused = text.parse::<Activation>().unwrap_err().to_string();
            assert!(refused.contains(needle), "{text}: {refused}");
            assert!(refused.contains(&format!("{text:?}")), "{refused}");
        }
    }
}
