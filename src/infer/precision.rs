//! The precision with which a network is computed (`--precision`).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::choice::Choice;

/// How many digits a network is computed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// f32: the same numbers on every machine that has the same instructions, with or without those of bf16.
    #[default]
    Auto,
    /// 32 bits throughout.
    F32,
    /// 1x1 convolutions on inputs and weights of 16 bits, summed in 32; everything else in 32 on the CPU, stored in 16 on a card.
    Bf16,
    /// On a card only: inputs and weights of 16 bits with more digits and a smaller range than bf16's, summed in 32.
    F16,
}

impl Choice for Precision {
    const CHOICES: &'static [(Self, &'static str, &'static str)] = &[
        (
            Self::Auto,
            "auto",
            "f32: the same numbers on every machine that has the same instructions, with or without those of bf16",
        ),
        (Self::F32, "f32", "32 bits throughout"),
        (
            Self::Bf16,
            "bf16",
            "1x1 convolutions on inputs and weights of 16 bits, summed in 32; everything else in 32 on the CPU, stored in 16 on a card",
        ),
        (
            Self::F16,
            "f16",
            "on a card only: inputs and weights of 16 bits with more digits and a smaller range than bf16's, summed in 32",
        ),
    ];
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
