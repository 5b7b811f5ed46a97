//! Activation functions and their derivatives.

use serde::{Deserialize, Serialize};

/// The function applied to a normalised convolution's result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// `z`.
    Identity,
    /// `max(z, 0)`.
    Relu,
    /// `min(max(z, 0), 6)`, as in Keras-MobileNet.
    Relu6,
    /// `z * sigmoid(z)`, also called swish.
    Silu,
}

impl Activation {
    /// Its index in the list above; the CUDA kernels use the same numbers.
    pub fn number(self) -> u32 {
        self as u32
    }

    /// The activation of `z`.
    #[inline(always)]
    pub fn apply(self, z: f32) -> f32 {
        match self {
            Self::Identity => z,
            Self::Relu => z.max(0.0),
            Self::Relu6 => z.clamp(0.0, 6.0),
            Self::Silu => z * sigmoid(z),
        }
    }

    /// The derivative at `z`; 0 at the corners of the ReLUs.
    #[inline(always)]
    pub fn derivative(self, z: f32) -> f32 {
        match self {
            Self::Identity => 1.0,
            Self::Relu => f32::from(z > 0.0),
            Self::Relu6 => f32::from(z > 0.0 && z < 6.0),
            Self::Silu => {
                let s = sigmoid(z);
                s * (1.0 + z * (1.0 - s))
            }
        }
    }
}

/// The logistic function.
#[inline(always)]
pub fn sigmoid(z: f32) -> f32 {
    1.0 / (1.0 + exp(-z))
}

/// `e^x` in straight-line arithmetic, which vectorises; the C library's does not. The relative error is below 2e-7 on
/// [-87, 88], and `x` is clamped to that range. The range is reduced to +-ln(2)/2 in two parts, after Cody & Waite
/// (Software Manual for the Elementary Functions, 1980); then follows the Taylor series to the sixth power.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    /// Adding and subtracting 1.5 * 2^23 rounds to the nearest integer.
    const ROUND: f32 = 12_582_912.0;
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let x = x.clamp(-87.0, 88.0);
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (x - n * LN2_HIGH) - n * LN2_LOW;
    let series = 1.0 / 720.0;
    let series = series * r + 1.0 / 120.0;
    let series = series * r + 1.0 / 24.0;
    let series = series * r + 1.0 / 6.0;
    let series = series * r + 0.5;
    let series = series * r + 1.0;
    let series = series * r + 1.0;
    let power_of_two = f32::from_bits((((n as i32) + 127) as u32) << 23);
    series * power_of_two
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_agrees_with_the_standard_library() {
        for step in -8700..=8800 {
            let x = step as f32 / 100.0;
            let expected = f64::from(x).exp();
            let error = ((f64::from(exp(x)) - expected) / expected).abs();
            assert!(error < 3e-7, "exp({x}): relative error {error}");
        }
        assert!(exp(-1e30) >= 0.0 && exp(1e30).is_finite());
    }

    #[test]
    fn derivatives_agree_with_finite_differences() {
        for activation in [Activation::Identity, Activation::Relu, Activation::Relu6, Activation::Silu] {
            for z in [-3.3, -0.7, 0.4, 2.5, 5.9, 7.5] {
                let numeric = (activation.apply(z + 1e-2) - activation.apply(z - 1e-2)) / 2e-2;
                assert!((numeric - activation.derivative(z)).abs() < 1e-3, "{activation:?} at {z}");
            }
        }
    }
}
