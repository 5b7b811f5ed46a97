//! The channels of a picture.

use serde::{Deserialize, Serialize};

/// The channels of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Colours {
    /// Brightness only.
    Luma,
    /// Red, green, blue.
    Rgb,
}

impl Colours {
    /// Number of channels.
    pub fn count(self) -> usize {
        match self {
            Self::Luma => 1,
            Self::Rgb => 3,
        }
    }
}
